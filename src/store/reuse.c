/*
 * reuse.c - log files that nobody needs any more become the next ones.
 *
 * A file that grows makes each flush write what says where its bytes are, and that they are written, too; one whose
 * blocks are there and written has nothing but data to flush.  So a log file that may go (space.c B1) is not always
 * deleted, but becomes a spare (files 9 and 10), and a spare the next log file:
 *   U1 What it held in its former life counts for nothing: each entry names its file and place (log.c L2), no number of
 *      a log file is given out twice (space.c B1 e), and a spare that a start finds is thrown away, not used.  So
 *      entries of another life are of another file; to a scan they are like zeros.
 *   U2 Log file to spare: durable before anything is written to it, for until then a crash may bring the log file back.
 *      That flush goes on beside; one that fails poisons the segment (I12), like that of any name.
 *   U3 Spare to log file: durable with the first flush of the log file, before anybody is told of what is in it.  A
 *      crash before leaves a spare, whatever is in it (U1).
 *   U4 One spare is kept while records come, the other one within the budget only (space.c B4).  They go, and what is
 *      old behind the end of the tail is cut off, when the disk is full and when nobody has written for some seconds.
 *   U5 A start reads what is behind the end of the tail, for it looks for proof of damage there (scan.c).  So not more
 *      than SEGMENTS_MAX of a node use files again at the same time.
 * Without rename of hexad/disk.h nothing of this is done.
 */
#include "store.h"

#define SEGMENTS_MAX 16u
#define CUT_PIECE (4u << 20)

static uint64_t file_of(size_t i)
{
    return HX_SPARE_FILE + i;
}

static bool any(const struct hx_seg *s)
{
    for (size_t i = 0; i < HX_SPARES; i++)
        if (s->reuse.spare[i].state != HX_SPARE_NONE)
            return true;
    return s->log.tail != HX_NONE && s->log.files[s->log.tail]->stale;
}

/* U5 */
static bool may(struct hx_seg *s)
{
    if (!s->reuse.counted && s->env->reusing >= SEGMENTS_MAX)
        return false;
    s->env->reusing += !s->reuse.counted;
    s->reuse.counted = true;
    return true;
}

void hx_reuse_forget(struct hx_seg *s)
{
    s->env->reusing -= s->reuse.counted;
    s->reuse.counted = false;
}

uint64_t hx_reuse_bytes(const struct hx_seg *s, bool more)
{
    uint64_t n = 0;
    for (size_t i = more; i < HX_SPARES; i++)
        n += s->reuse.spare[i].bytes;
    return n;
}

bool hx_reuse_take(struct hx_seg *s, const struct hx_logfile *f, bool room)
{
    const struct hx_disk_ops *ops = s->disk->ops;
    uint64_t bytes = f->filled > f->end ? f->filled : f->end, full = hx_log_close_at(s);
    bool sound = !f->damaged && !f->lost && !s->nospace && !s->reserve.tight;
    bool fits = bytes >= full / 2 && bytes <= full + full / 4; /* else it would be cut, or grow, again and again */
    size_t i = 0;
    if (!ops->rename || !s->reuse.looked || !sound || !fits)
        return false;
    while (i < HX_SPARES && s->reuse.spare[i].state != HX_SPARE_NONE)
        i++;
    if (i == HX_SPARES || (i && !room) || !may(s))
        return false;
    s->reuse.active = true;
    s->reuse.looked = !ops->rename(s->disk, f->id, file_of(i)); /* else it may be there all the same */
    if (s->reuse.looked)
        s->reuse.spare[i] = (struct hx_spare){HX_SPARE_NAMED, bytes};
    return s->reuse.looked;
}

void hx_reuse_give(struct hx_seg *s, struct hx_logfile *f)
{
    for (size_t i = 0; i < HX_SPARES; i++) {
        struct hx_spare *p = &s->reuse.spare[i];
        if (p->state != HX_SPARE_READY)
            continue;
        uint64_t bytes = p->bytes;
        *p = (struct hx_spare){HX_SPARE_NONE, 0};
        if (!s->disk->ops->rename(s->disk, file_of(i), f->id)) {
            f->filled = bytes;
            f->stale = true;
            return;
        }
        s->reuse.looked = false; /* it may still be there */
    }
}

/* U1: of a process before, or of a rename that went wrong. */
static void look(struct hx_seg *s)
{
    struct hx_disk_file d[HX_SPARES];
    size_t n = 0;
    bool gone = !s->disk->ops->list(s->disk, HX_SPARE_FILE, d, HX_SPARES, &n);
    for (size_t i = 0; i < n && gone; i++) {
        uint64_t k = d[i].id - HX_SPARE_FILE;
        gone = k >= HX_SPARES || s->reuse.spare[k].state != HX_SPARE_NONE || !hx_seg_discard(s, d[i].id);
    }
    s->reuse.looked = gone;
}

/* More is to be done: 1. */
static int settle(struct hx_seg *s, size_t i, bool drop)
{
    struct hx_spare *p = &s->reuse.spare[i];
    if (drop) {
        if (hx_seg_discard(s, file_of(i)))
            return 0; /* tried again */
        *p = (struct hx_spare){HX_SPARE_NONE, 0};
    } else if (p->state == HX_SPARE_NAMED) { /* U2 */
        int err = hx_seg_flush_beside(s, file_of(i));
        if (err > 0)
            return 1;
        if (err)
            hx_seg_poison(s, HX_E_POISONED);
        p->state = HX_SPARE_READY;
    }
    return 0;
}

/* U4: what is old behind the end of F; true while there is more of it. */
static bool cut(struct hx_seg *s, struct hx_logfile *f)
{
    uint64_t to = f->filled > f->end + CUT_PIECE ? f->filled - CUT_PIECE : f->end;
    if (f->filled > f->end && (!s->disk->ops->cut || s->disk->ops->cut(s->disk, f->id, to)))
        return false;
    f->filled = to;
    f->stale = to > f->end;
    return f->stale;
}

bool hx_reuse_work(struct hx_seg *s, bool full, bool quiet)
{
    bool more = false, old = false;
    if (!s->disk->ops->rename || !s->reuse.active)
        return false;
    if (!s->reuse.looked)
        look(s);
    for (size_t i = 0; i < HX_SPARES && !s->error; i++)
        if (s->reuse.spare[i].state != HX_SPARE_NONE)
            more |= settle(s, i, quiet || s->nospace || (i && full)) > 0;
    for (size_t i = 0; i < s->log.slot_count && !s->error && !more; i++) {
        struct hx_logfile *f = s->log.files[i];
        if (!f || !f->stale)
            continue;
        /* A closed one keeps a little: it may become a spare again. */
        bool wanted = f->sealed ? f->filled - f->end > f->filled / 8 && f->sided : quiet || s->nospace;
        more = wanted && cut(s, f);
        old |= f->stale && !f->sided;
    }
    if (!any(s))
        hx_reuse_forget(s);
    s->reuse.active = more || old || !s->reuse.looked || any(s);
    return more;
}
