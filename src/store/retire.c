/*
 * retire.c - what DELETE leaves of a segment: a tombstone, and room for a learner that begins anew (rules M6, M10 of
 * doc/MEMBERSHIP.md; who may say so: rules.c).
 *
 *   T1 The tombstone first: both meta slots say RETIRED before a file goes.  So a power loss leaves the whole segment
 *      or a tombstone, and a restart gives back what a tombstone still has.
 *   T2 From the moment that it was decided the segment answers NO_SEGMENT; what waited for the same flush does, too.
 *      Should the slots not be written, for want of room or memory, it is tried again; after a failed write or flush
 *      what the disk has is read again, and is one or the other.  So it is when the files cannot be removed durably: a
 *      flush that follows a failed one proves nothing (T4), so the tombstone is read again (revive.c) before a learner
 *      begins over it.
 *   T3 A tombstone keeps promise, history and geometry, so that LOOKUP finds the way from it to the members of today.
 *      It is never a member again, only a learner, which has nothing; but when its group was released, which it knows
 *      by MEMBERS or DELETE, and a newer version uses the group again, all six members are new: FORMAT of a member
 *      makes one with nothing.
 *   T4 Nothing of a former life is taken for the next one's.  What was removed is durably gone before the slots say
 *      that there is a learner.  What was discarded may come back all the same: log files below .first_file are not
 *      looked at, nor is a checkpoint that ends there.
 * Memory: a tombstone has its meta slots' content, nothing else.
 */
#include "store.h"

#include <stdlib.h>

int hx_retire_remove_all(struct hx_seg *s)
{
    struct hx_disk_file d;
    size_t n = 1;
    int err = 0;
    for (uint64_t from = HX_RESERVE_FILE; !err && n; from = d.id + 1) {
        err = s->disk->ops->list(s->disk, from, &d, 1, &n);
        if (!err && n)
            err = s->disk->ops->remove(s->disk, d.id);
    }
    return err;
}

/* T4.  Any flush of the directory does; a slot is there. */
int hx_retire_empty(struct hx_seg *s)
{
    int err = hx_retire_remove_all(s);
    return err ? err : s->disk->ops->flush(s->disk, 1);
}

/* T2 */
static void empty_or_again(struct hx_seg *s)
{
    if (!hx_retire_empty(s))
        return;
    s->error = 0;
    hx_seg_poison(s, HX_E_POISONED);
}

void hx_retire_begin(struct hx_seg *s)
{
    s->meta.flags = HX_META_RETIRED;
    s->meta.first_file = s->log.next_id + 1; /* a checkpoint may name the file that would have come next */
    s->meta_dirty = true;
    s->retiring = true;
    s->error = HX_E_NO_SEGMENT;
    hx_seg_touch(s);
}

/* Nobody who holds a pointer to the segment need know: the struct stays. */
void hx_retire_done(struct hx_seg *s)
{
    hx_seg_drop(s);
    const struct hx_seg was = *s;
    *s = (struct hx_seg){.disk = was.disk, .at = was.at, .env = was.env, .queued = was.queued,
                         .round_error = was.round_error, .meta = was.meta, .error = HX_E_NO_SEGMENT, .retired = true};
    hx_seg_blank(s);
    hx_seg_touch(s);
    empty_or_again(s); /* T1 */
}

int hx_retire_opened(struct hx_seg *s, bool uneven)
{
    int err = uneven ? hx_meta_save(s->disk, &s->at, &s->env->server, &s->meta) : 0;
    if (err)
        return err;
    s->error = HX_E_NO_SEGMENT;
    s->retired = true;
    struct hx_disk_file d;
    size_t n = 0;
    if (!s->disk->ops->list(s->disk, HX_RESERVE_FILE, &d, 1, &n) && n)
        empty_or_again(s);
    return 0;
}

void hx_retire_anew(struct hx_seg *s, bool learner)
{
    s->meta.life++;
    s->meta.flags = learner ? HX_META_FILLING : 0;
    s->meta.base = s->meta.oldest = HX_LSN(0);
    s->meta_dirty = true;
    s->log.next_id = s->meta.first_file;
    s->reserve.looked = true; /* there is none */
    s->error = 0;
    s->retired = false;
    s->filling = learner;
    hx_seg_touch(s);
}
