/*
 * reader.h - which segment is asked for which page, when another one is asked too, and the read floor.
 *
 * Reads go to one segment that has everything of the PG that is durable (SCL >= PGCL), as of read point
 * R = min(VDL, PGCL) fixed per request (pitfall 40); no quorum reads.  The fastest is preferred, others are
 * tried now and then; a late answer is hedged with a second request to another member; LAGGING, CORRUPT or
 * failure go to the next; when all have been asked, the round starts again after a pause (a read waits, it
 * never guesses).  A page whose bytes fail their crc is asked of a peer.
 * Runs of pages of one PG share a request (up to HX_READER_RUN pages); long ones are spread over members.
 * Pure; allocates per batch of pages, HX_E_NOMEM fails those pages only.
 */
#ifndef HEXAD_READER_H
#define HEXAD_READER_H

#include "hexad/effect.h"
#include "hexad/pager.h"
#include "hexad/writer.h"

#define HX_READER_RUN 64u /* pages in one request */

struct hx_reader;
/* The writer tells SCLs, PGCL, VDL, and takes the floor.  Borrowed.  SEED: for the choice among equals. */
int hx_reader_new(struct hx_writer *w, uint64_t seed, struct hx_reader **ret);
void hx_reader_free(struct hx_reader *r);
/* Is a page of the group being fetched? */
bool hx_reader_busy(const struct hx_reader *r, uint32_t pg);
/* Pages to fetch (from hx_cache_take_wants), at most HX_READER_FETCH_MAX; drain hx_reader_take between calls. */
#define HX_READER_FETCH_MAX 4096u
void hx_reader_fetch(struct hx_reader *r, uint64_t now_ms, const struct hx_cache_want *wants, size_t count);
/* BODY is borrowed until hx_reader_take has given 0, or until the next event on this reader: pages are handed on
 * without a copy.  What was not taken by then is asked for again. */
void hx_reader_answer(struct hx_reader *r, uint64_t now_ms, uint64_t now_us, uint64_t call, struct hx_bytes body);
void hx_reader_failed(struct hx_reader *r, uint64_t now_ms, uint64_t call, int err);
/* Hedges and retries.  Returns ms until the next call. */
uint64_t hx_reader_tick(struct hx_reader *r, uint64_t now_ms);
int hx_reader_next(struct hx_reader *r, struct hx_effect *ret);
/* Pages that have arrived, one at a time: 1 or 0.  data NULL with err 0: zeros; data is borrowed until the next
 * event on this reader.  err: HX_E_CORRUPT only when every member that answers says so, and four at least do. */
struct hx_reader_done {
    struct hx_cache_want want;
    const uint8_t *data;
    int err;
};
int hx_reader_take(struct hx_reader *r, struct hx_reader_done *ret);

struct hx_reader_stats {
    uint64_t requests, pages, hedges, retries, corrupt;
};
void hx_reader_stats(const struct hx_reader *r, struct hx_reader_stats *ret);

#endif
