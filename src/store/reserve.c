/*
 * reserve.c - room that is kept for making room: a file of zeros, which is given up when the disk is full.
 *
 * To give space back, a segment has to write first: sidecars, the end of a file, copies of what is still used.  On a
 * full disk that would never come to pass.  So every segment keeps a file of a quarter of a log file, 16 MiB at most
 * (while there is hardly anything in its log, enough to write that once more: of thousands most may be like that):
 *   Z1 It is there before it is needed, or the disk has no room for it: made by background work, anew when it was used.
 *   Z2 While it is given up the segment is TIGHT: nothing comes in from outside (NOSPACE), so that what it left is for
 *      space.c alone.  That ends when the file is whole again.
 * Fencing, promises and histories do not need it: the meta slots have their room from the start (meta.c).
 * Nothing is ever read from it, and it is not flushed: a crash leaves a shorter one, which is made whole.
 */
#include "store.h"

#define RESERVE_MAX (16u << 20)
#define HARDLY_ANY (8u << 10)
#define PIECE (1u << 20)
#define PAUSE 64u /* ticks until it is tried again, on a disk that is nearly full */

uint64_t hx_reserve_wanted(const struct hx_seg *s)
{
    uint64_t n = hx_seg_file_bytes(s) / 4, held = 0;
    for (size_t i = 0; i < s->log.slot_count; i++)
        held += s->log.files[i] ? s->log.files[i]->end : 0;
    if (held <= HARDLY_ANY && n > 2 * HARDLY_ANY)
        n = 2 * HARDLY_ANY;
    return n < RESERVE_MAX ? n : RESERVE_MAX;
}

static void look(struct hx_seg *s)
{
    struct hx_disk_file d;
    size_t n = 0;
    s->reserve.looked = !s->disk->ops->list(s->disk, HX_RESERVE_FILE, &d, 1, &n);
    s->reserve.bytes = s->reserve.looked && n && d.id == HX_RESERVE_FILE ? d.bytes : 0;
    if (s->reserve.looked && s->reserve.bytes < hx_reserve_wanted(s))
        s->reserve.tight = true; /* the process before may have given it up */
}

bool hx_reserve_work(struct hx_seg *s)
{
    static const uint8_t zeros[64u << 10];
    struct hx_seg_reserve *r = &s->reserve;
    uint64_t wanted = hx_reserve_wanted(s);
    if (!r->looked)
        look(s);
    if (r->pause)
        r->pause--;
    if (!r->looked || s->nospace || r->pause)
        return false;
    for (uint64_t end = r->bytes + PIECE; r->bytes < wanted && r->bytes < end;) {
        size_t n = wanted - r->bytes < sizeof zeros ? (size_t)(wanted - r->bytes) : sizeof zeros;
        int err = s->disk->ops->write(s->disk, HX_RESERVE_FILE, r->bytes, zeros, n);
        if (err) { /* it may be shorter than what was written before */
            s->nospace = r->tight && err == HX_E_NOSPACE;
            r->pause = r->tight ? 0 : PAUSE;
            hx_reserve_release(s);
            return false;
        }
        r->bytes += n;
    }
    if (r->bytes >= wanted && r->tight) {
        r->tight = false;
        hx_seg_touch(s);
    }
    return r->bytes < wanted;
}

bool hx_reserve_release(struct hx_seg *s)
{
    struct hx_seg_reserve *r = &s->reserve;
    if (s->disk->ops->remove(s->disk, HX_RESERVE_FILE)) {
        r->looked = false;
        return false;
    }
    r->bytes = 0;
    return true;
}
