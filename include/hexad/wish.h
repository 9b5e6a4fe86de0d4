/*
 * wish.h - what an operator wants of a volume's roster: a server more, one to be emptied, or that again undone, one to
 * leave for good (message WISH; doc/MEMBERSHIP.md, 7).
 *
 * A wish is not stored: what it asks for is the next version of the geometry, and that is.  Servers keep it in memory
 * for HX_WISH_MS after it was last said, and the answer to an announcement says that some wait; the driver asks for
 * them and publishes the version.  Who wishes says it again until the geometry shows it.
 *   R1 A wish names the version that its author saw.  One that saw less than the last version that a wish has made, or
 *      than what the driver found when it began, is of yore: it does nothing.  So none is granted twice, and a drain
 *      that was undone does not come back.
 *   R2 One that asks for what is, does nothing, and is no error.
 *   R3 The servers of one zone at most are given up at a time (DEGRADE, said of each of them; UNDO takes it back), and
 *      the next one only when all places of the one before are filled again.
 * Pure.
 */
#ifndef HEXAD_WISH_H
#define HEXAD_WISH_H

#include "hexad/geometry.h"

#define HX_WISH_MS 10000u
#define HX_WISHES_MAX 64u /* that a server keeps of one volume: the oldest goes, and is said again */

enum hx_wish_kind { HX_WISH_ADD = 1, HX_WISH_DRAIN, HX_WISH_UNDO, HX_WISH_REMOVE, HX_WISH_DEGRADE, HX_WISH_KINDS };
struct hx_wish {
    uint8_t kind;
    struct hx_epoch epoch; /* R1: (epoch, g, m) */
    uint32_t g, m;
    struct hx_server server; /* ADD: all but the state; else the name only */
};
const char *hx_wish_kind_name(unsigned kind);
void hx_wish_encode(const struct hx_wish *w, struct hx_enc *e);
#define HX_WISH_BYTES (1u + 8 + 4 + 4 + 4 * 2 + 2 * HX_NAME_MAX + HX_URL_MAX + HX_HOST_MAX + 16) /* at most */
int hx_wish_decode(struct hx_wish *w, struct hx_dec *d); /* HX_E_BADMSG: no such kind, an empty name */
/* As a body: u32 n, n wishes; the last place that is read by who takes one alone. */

/* The server in the table that the name means: the one that has not left for good, else -1. */
long hx_wish_find(const struct hx_geometry *g, const char *name);
/* Is it so already? */
bool hx_wish_granted(const struct hx_wish *w, const struct hx_geometry *g);
/* G as it is wished for; .m stays.  HX_E_NOENT: there is no such server; HX_E_EXIST: another one has that name or
 * address; HX_E_IN_USE: it has segments, and cannot leave, or
 * another zone is given up (R3); HX_E_INVAL: it was burnt, or is no server; HX_E_NOMEM. */
int hx_wish_grant(const struct hx_wish *w, struct hx_geometry *g);

#endif
