/*
 * history.h - the epoch history: which (epoch, LSN) pairs exist (doc/PROTOCOL.md).
 *
 * An entry (epoch, vdl, end, lal) says: this epoch was opened with the volume cut at vdl; its own
 * LSNs begin at end + 1; its writer may allocate up to max(VDL, end) + lal.  Ascending by epoch.  The
 * first entry of a volume is (1, 0, 0, lal).
 *
 * valid(r, H): epoch(r) is in H, lsn(r) > end of that entry, and lsn(r) <= vdl of every later entry.
 * Pure.  A zeroed history is a valid empty one.
 */
#ifndef HEXAD_HISTORY_H
#define HEXAD_HISTORY_H

#include "hexad/codec.h"
#include "hexad/types.h"

/* Bounds of lal.  A mini-transaction of more records than lal would wait for room for ever (HX_E_TOOBIG): every
 * operation on names and sizes fits into HX_LAL_MIN, freeing goes in steps that fit; a write of n pages needs about
 * n + 100. */
#define HX_LAL_MIN 100u
#define HX_LAL_MAX (UINT64_C(1) << 28) /* no writer has the memory for more */

struct hx_history_entry {
    struct hx_epoch epoch;
    struct hx_lsn vdl, end;
    uint64_t lal;
};
struct hx_history {
    struct hx_history_entry *e; /* owned */
    size_t count, cap;
};
#define HX_HISTORY_MAX 1000000u /* entries that a decoder accepts */

void hx_history_fini(struct hx_history *h);
int hx_history_copy(struct hx_history *dst, const struct hx_history *src); /* HX_E_NOMEM: dst unchanged */
/* Appends; HX_E_INVAL unless epoch ascends, vdl <= end, vdl >= the last entry's vdl, end > the last's end. */
int hx_history_push(struct hx_history *h, struct hx_history_entry e);
/* The last entry's epoch; 0 for an empty one. */
struct hx_epoch hx_history_top(const struct hx_history *h);
const struct hx_history_entry *hx_history_top_entry(const struct hx_history *h); /* NULL when empty */
bool hx_history_valid(const struct hx_history *h, struct hx_lsn lsn, struct hx_epoch epoch);
/* The LSN after N in the official log: n + 1, and of an entry's vdl the next entry's end + 1 (of the
 * highest entry that has this vdl: epochs that wrote nothing are stepped over). */
struct hx_lsn hx_history_successor(const struct hx_history *h, struct hx_lsn n);
/* The highest LSN at or below N that H does not make void: N itself, or the vdl that cut N off; 0: none. */
struct hx_lsn hx_history_point(const struct hx_history *h, struct hx_lsn n);
bool hx_history_equal(const struct hx_history *a, const struct hx_history *b);
size_t hx_history_encoded_len(const struct hx_history *h); /* 4 + 32 x count */
void hx_history_encode(const struct hx_history *h, struct hx_enc *e);
/* Replaces *h on success only; checks the order rules of push.  HX_E_BADMSG, HX_E_NOMEM. */
int hx_history_decode(struct hx_history *h, struct hx_dec *d);

#endif
