/*
 * heal.h - who is lost, and by whom he is replaced: members that have been silent, or whose disk has failed, for longer
 * than repair_after are moved to servers of the same zone (doc/MEMBERSHIP.md, 3; the moves: hexad/move.h).
 *
 *   E1 only a member that was bad without a break for repair_after is replaced: one good answer begins the time anew,
 *      so a server that comes and goes causes nothing.  While this process stands still nobody is silent.
 *   E2 one that comes back and has everything before it is replaced stays, and the learner is taken back.
 *   E3 nothing is begun while group 0 has no write quorum that answers: no version could be stored.
 *   E4 at most HX_HEAL_FILLS_MAX are being filled at a time, HX_HEAL_FILLS_SERVER of them on one server; groups that
 *      lack more than one member come first.
 *   E5 a spare is chosen by hexad/place.h; those that are busy are waited for.  Without one in the zone a group stays
 *      as it is, and hx_heal_view says so; it is looked for again and again.
 *   E6 a member on a server that is DRAINED is moved like one that is lost, after those, also where repair_after is
 *      HX_HEAL_NEVER; when the server is IN again, what has not been named yet is taken back.
 *
 *   E7 members on servers that are AWAY, of a zone that was given up, are not replaced: their groups are degraded
 *      (move.h).  Once the zone is no more given up, the empty places of degraded groups are filled like drained ones.
 *
 * Pure; allocates a little per look.  Without memory it looks again later.
 */
#ifndef HEXAD_HEAL_H
#define HEXAD_HEAL_H

#include "hexad/move.h"

#define HX_HEAL_AFTER_DEFAULT_MS 600000u
#define HX_HEAL_NEVER UINT64_MAX
#define HX_HEAL_LOOK_MS 1000u
#define HX_HEAL_FILLS_MAX 16u
#define HX_HEAL_FILLS_SERVER 4u
#define HX_HEAL_MAKE_MS 10000u   /* a server that has not made its learner by then is not one to take */
#define HX_HEAL_AVOID_MS 120000u /* nor is it tried again before that */

struct hx_heal;
/* Writer and move are borrowed until free. */
int hx_heal_new(struct hx_writer *w, struct hx_move *m, uint64_t after_ms, uint64_t now_ms, struct hx_heal **ret);
void hx_heal_free(struct hx_heal *h);
/* What the server (index in the geometry) said of its disk: placement goes by it (hexad/place.h). */
void hx_heal_disk(struct hx_heal *h, uint32_t server, uint64_t total, uint64_t free);
/* Looks, if it is time.  Ms until the next look. */
uint64_t hx_heal_tick(struct hx_heal *h, uint64_t now_ms);

struct hx_heal_view {
    uint64_t after_ms;
    uint32_t lost;       /* servers that are being replaced, or would be */
    uint64_t draining;   /* members on servers that are to be emptied */
    uint64_t empty;      /* places of degraded groups that are to be filled again (E7) */
    uint64_t degraded;   /* groups */
    uint64_t no_spare;   /* members that nobody can replace, or take over */
    uint32_t no_spare_server; /* the server of one of them */
};
void hx_heal_view(const struct hx_heal *h, struct hx_heal_view *ret);

#endif
