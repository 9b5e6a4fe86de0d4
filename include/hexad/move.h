/*
 * move.h - the driver of changes of members: one server of a protection group is replaced by another one, many groups
 * at a time, while the volume is used (doc/MEMBERSHIP.md, 1; rules M1 to M10).
 *
 *   MAKE --FORMAT answered--> FILL --it has all pages, and everything acknowledged--> READY
 *     |                        |                                                       | a version is published
 *     +---- undo --------------+-------------------------------------------------+     v
 *     v                                                                          |   TURN --stored--> TELL --> gone
 *   UNDO --the learner is deleted--> gone  <-------------------------------------+
 *
 * Groups with two members on servers that are AWAY are degraded by itself (D1): as soon as nothing else is being
 * changed there, and the other four have everything acknowledged.  The two places are taken again together, by two
 * changes.
 * Does not decide who moves where (heal.c, placement); tells the writer what counts (hexad/writer.h).
 * Pure; allocates in start and for each request.  After FENCED nothing is asked any more, for ever.
 * A crash anywhere leaves learners that nobody names, which the next driver finds by STATUS and deletes, or a version
 * on some of PG 0's members, which the next opening binds or not (M2: both are right).
 */
#ifndef HEXAD_MOVE_H
#define HEXAD_MOVE_H

#include "hexad/effect.h"
#include "hexad/geometry.h"
#include "hexad/wish.h"
#include "hexad/writer.h"

struct hx_move;
/* The writer is borrowed until free. */
int hx_move_new(struct hx_writer *w, const struct hx_uuid *owner, uint64_t now_ms, struct hx_move **ret);
void hx_move_free(struct hx_move *m);

/*
 * The member in SLOT of PG is to be replaced by SERVER (index in the geometry).  HX_E_EXIST: that slot is being
 * changed, or the server has a place in that group, or is to get one.  HX_E_INVAL: there is no such.  HX_E_NOMEM.
 */
int hx_move_start(struct hx_move *m, uint32_t pg, unsigned slot, uint32_t server);
/* Takes the change back, if the version that names the newcomer is not in the air yet; true: done, or there was
 * none. */
bool hx_move_undo(struct hx_move *m, uint32_t pg, unsigned slot);
/* Is granted with the next version (hexad/wish.h), as those are that the servers keep.  HX_E_AGAIN: it is of yore (R1);
 * what hx_wish_grant says. */
int hx_move_wish(struct hx_move *m, const struct hx_wish *w);
/* All learners together may be given so many bytes of pages a second; 0: what their servers allow.  Each gets an equal
 * part, and is told again when there are more or fewer of them. */
void hx_move_rate(struct hx_move *m, uint32_t bytes_per_s);
/* While HOLD no version is published: something else (growth) is about to publish one (M3). */
void hx_move_hold(struct hx_move *m, bool hold);
/* A version is in the air. */
/*
 * PG, the last one that is not released, holds nothing that anybody wants, and gets no more records: its row becomes
 * released as soon as it is idle and all of its members answer, and then they are deleted (MEMBERSHIP.md, S1 and S2).
 * 0: none after all; HX_E_BUSY: too late for that.  HX_E_INVAL: not the last one, or a version is in the air.
 */
int hx_move_release(struct hx_move *m, uint32_t pg);
/* The group that is to be released; 0: none (any more). */
uint32_t hx_move_releasing(const struct hx_move *m);
bool hx_move_turning(const struct hx_move *m);
/* Counts the versions that this driver has brought into use. */
uint64_t hx_move_versions(const struct hx_move *m);
int hx_move_state(const struct hx_move *m); /* 0, or HX_E_FENCED, HX_E_NOMEM: it does nothing any more */

enum hx_change_state {
    HX_CHANGE_MAKE = 1, HX_CHANGE_FILL, HX_CHANGE_READY, HX_CHANGE_TURN, HX_CHANGE_TELL, HX_CHANGE_UNDO
};
struct hx_change_view {
    uint32_t pg, from, to; /* servers: indexes in the geometry */
    unsigned slot;
    enum hx_change_state state;
    uint64_t bytes, of;    /* pages copied */
    uint64_t since_ms;     /* in this state */
    int last_error;        /* of the newcomer; 0: none */
    bool gives_up;         /* nobody comes: the place is given up with its zone (D1); .to is .from */
};
/* The I-th change; false: there are not so many. */
bool hx_move_view(const struct hx_move *m, size_t i, struct hx_change_view *ret);
const char *hx_change_state_name(enum hx_change_state s);

void hx_move_answer(struct hx_move *m, uint64_t now_ms, uint64_t call, struct hx_bytes body);
void hx_move_failed(struct hx_move *m, uint64_t now_ms, uint64_t call, int err);
uint64_t hx_move_tick(struct hx_move *m, uint64_t now_ms);
int hx_move_next(struct hx_move *m, struct hx_effect *ret);

#endif
