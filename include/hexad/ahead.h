/*
 * ahead.h - read-ahead: which bytes of a file to ask for before the reader wants them.
 *
 * The kernel reads ahead a little (256 KiB), one request after the other; a volume answers a request after a network
 * round trip, and has six members that can answer at once.  So a reader that goes through a file in order is kept a
 * window ahead, which doubles as long as it goes on.  Decides only; fetches nothing (hx_fs_prefetch does).
 *
 * Invariants:
 *   A1 a reader that jumps gets nothing: it has to go on where it was HX_AHEAD_PROOF times first.
 *   A2 what is asked for and not read yet is at most `budget` bytes over all streams; a stream that needs more takes it
 *      from those that have read nothing for the longest time, whose pages the cache will have dropped first; and
 *      a window is at most the stream's share, so that readers who all go on do not take from one another.
 *   A3 nothing is asked for twice while a reader goes forward and keeps what it holds (A2); ranges end at multiples of
 *      HX_AHEAD_UNIT, so that the pages of one request are many.
 *   A4 requests of one reader may come in another order than it made them: within the window that is no jump.
 *
 * Pure.  Nothing is stored, nothing is allocated: a stream is part of the caller's open file.
 */
#ifndef HEXAD_AHEAD_H
#define HEXAD_AHEAD_H

#include "hexad/types.h"

#define HX_AHEAD_UNIT (UINT64_C(256) << 10) /* 64 pages: as much as one server is asked for at once */
#define HX_AHEAD_PROOF 2u

struct hx_ahead_stream { /* zeroed at the start */
    struct hx_ahead_stream *newer, *older; /* those that hold something, by their last read */
    uint64_t next;   /* where the reader goes on */
    uint64_t until;  /* asked for up to here; holds until - next, when that is positive */
    uint64_t window;
    uint32_t proof;  /* reads that went on */
    bool listed;
};
struct hx_ahead {
    uint64_t window_max, budget, held;
    uint32_t count; /* streams that are listed */
    struct hx_ahead_stream *newest, *oldest;
};

/* WINDOW_MAX 0: no read-ahead.  Both are rounded down to units. */
void hx_ahead_init(struct hx_ahead *a, uint64_t window_max, uint64_t budget);
/* The reader asked for LEN bytes at OFF.  True: ask for [*ret_from, *ret_to), too. */
bool hx_ahead_read(struct hx_ahead *a, struct hx_ahead_stream *s, uint64_t off, uint64_t len, uint64_t *ret_from,
                   uint64_t *ret_to);
/* The file ends at SIZE: nothing is held beyond. */
void hx_ahead_end(struct hx_ahead *a, struct hx_ahead_stream *s, uint64_t size);
/* The reader has gone. */
void hx_ahead_drop(struct hx_ahead *a, struct hx_ahead_stream *s);

#endif
