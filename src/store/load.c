/*
 * load.c - a restart: meta slots, sidecars or log files, then chain and index as they were.
 *
 * First pass: every file's counters, from its sidecar, or by a scan where there is none.  They give the hint
 * (highest VDL that was believed), floor, gc, and the anchor to which the chain is known to be complete.
 * Second pass: all records, in the order of the files, through apply.c.
 *   R1 The highest file is flushed before anything is answered, also when it ends with END: a process may have
 *      died between write and flush, and what the system has in memory is not yet on the disk.
 *   R2 Damage that no restart can repair is remembered (hx_seg_unknown); it never passes for "not there".
 *   R3 Where damage ends is known when anything that was written later is left: every entry and every sidecar names
 *      the highest LSN before it.  Else the log is endless, and what is written from now on names none.
 *   R4 A checkpoint (ckpt.c) stands in for the files before it; with damage anywhere behind it, it does not count.
 *   R5 Every record above the saved base is in some file, for only files below it were deleted.  One that is not there
 *      although the chain was complete beyond it was lost without a trace (a flush that did nothing took a file, or its
 *      end): that is blind damage like any other.
 *   R6 The hint is in the own history: an opening takes one that is not for the loss of an epoch.
 *   R7 A sidecar without its log file is no rest of a deletion when something is left that needs the file: it was lost
 *      whole.  Its list tells what was in it, so pages point there and are CORRUPT, not older; the range is UNKNOWN.
 *      With nothing that needs it the file counts as one that is empty of use, and goes for good (space.c).
 */
#include "store.h"

#include "hexad/mutant.h"

#include <stdlib.h>

/* Slots ascend by number (ckpt.c relies on it, too). */
static int add_file(struct hx_seg *s, const struct hx_disk_file *d, bool lost)
{
    struct hx_logfile *f = calloc(1, sizeof *f);
    uint32_t slot;
    if (!f)
        return HX_E_NOMEM;
    f->id = d->id;
    f->filled = d->bytes;
    f->min_lsn = UINT64_MAX;
    f->lost = f->sided = lost;
    int err = hx_log_slot(&s->log, f, &slot);
    if (err) {
        free(f);
        return err;
    }
    struct hx_logfile **p = s->log.files;
    for (; slot > 0 && p[slot - 1]->id > f->id; slot--) {
        p[slot] = p[slot - 1];
        p[slot - 1] = f;
    }
    return 0;
}

static struct hx_logfile *file_of(struct hx_seg *s, uint64_t id)
{
    for (size_t i = 0; i < s->log.slot_count; i++)
        if (s->log.files[i]->id == id)
            return s->log.files[i];
    return NULL;
}

static int list_files(struct hx_seg *s)
{
    struct hx_disk_file d[64];
    size_t n = HX_ARRAY_LEN(d);
    int err = 0;
    for (uint64_t from = HX_LOG_FIRST_ID; n == HX_ARRAY_LEN(d) && !err;) {
        err = s->disk->ops->list(s->disk, from, d, HX_ARRAY_LEN(d), &n);
        for (size_t i = 0; i < n && !err; i++) {
            from = d[i].id + 1;
            if ((d[i].id & ~HX_LOG_SIDE_BIT) < s->meta.first_file) { /* T4 of retire.c */
                err = hx_seg_discard(s, d[i].id);
            } else if (d[i].id < HX_LOG_SIDE_BIT) {
                err = add_file(s, &d[i], false);
            } else {
                struct hx_logfile *f = file_of(s, d[i].id & ~HX_LOG_SIDE_BIT);
                if (f)
                    f->sided = true;
                else /* R7: its log file went first (space.c), or was lost */
                    err = add_file(s, &(struct hx_disk_file){d[i].id & ~HX_LOG_SIDE_BIT, 0}, true);
            }
        }
    }
    return err;
}

static void fold(struct hx_load_pass *p, const struct hx_logfile *f, uint64_t stable)
{
    p->stable = stable > p->stable ? stable : p->stable;
    p->vdl = f->vdl > p->vdl ? f->vdl : p->vdl;
    p->floor = f->floor > p->floor ? f->floor : p->floor;
    p->gc = f->gc > p->gc ? f->gc : p->gc;
    p->highest = f->max_lsn > p->highest ? f->max_lsn : p->highest;
}

static int first_pass(struct hx_seg *s, struct hx_load_pass *p)
{
    struct hx_log *l = &s->log;
    for (size_t i = 0; i < l->slot_count; i++) {
        struct hx_logfile *f = l->files[i];
        bool last = i + 1 == l->slot_count;
        uint64_t stable = 0, bytes = f->filled;
        int err = f->sided ? hx_side_head(s, f, &stable) : HX_E_NOENT;
        if (!err && bytes > f->end) { /* closed early, and not cut off yet (reuse.c) */
            f->filled = bytes;
            f->stale = true;
        }
        if (err == HX_E_NOMEM || err == HX_E_VERSION)
            return err;
        if (err) /* also when it cannot be read: it is written anew then */
            err = hx_scan_file(s, f, last && !f->sided, &stable);
        if (err)
            return err;
        fold(p, f, stable);
        l->next_id = f->id + 1;
        if (last && !f->sealed)
            l->tail = (uint32_t)i;
    }
    return 0;
}

/* Files from number FROM on. */
static int second_pass(struct hx_seg *s, uint64_t from)
{
    struct hx_log *l = &s->log;
    struct hx_buf side = {0};
    int err = 0;
    for (size_t i = 0; i < l->slot_count && !err; i++) {
        struct hx_logfile *f = l->files[i];
        if (f->id < from)
            continue;
        if (f->sided) {
            err = hx_side_load(s, f, &side);
            if (err == HX_E_CORRUPT || err == HX_E_NOENT || err == HX_E_IO) {
                uint64_t stable;
                f->filled = f->end;
                err = hx_scan_file(s, f, false, &stable);
            } else if (!err) {
                err = hx_apply_side(s, (uint32_t)i, side.p, side.len, true);
                continue;
            }
        }
        if (!err)
            err = hx_apply_side(s, (uint32_t)i, f->side.p, f->side.len, true);
    }
    hx_buf_fini(&side);
    return err;
}

/*
 * What the chain reaches over is there after all (it was refilled by a peer, or sent again): only blind damage
 * stays in doubt.  At or below BASE, where the chain began, it reaches over everything and says nothing: damage
 * there is blind, too.
 */
static void settle_unknowns(struct hx_seg *s, uint64_t base)
{
    for (size_t i = 0; i < s->unknown_count; i++)
        s->unknowns[i].blind |= s->unknowns[i].from <= base;
    for (size_t i = s->unknown_count; i-- > 0;)
        if (!s->unknowns[i].blind && s->unknowns[i].to <= s->chain.scl)
            s->unknowns[i] = s->unknowns[--s->unknown_count];
    for (size_t i = 0; i < s->unknown_count; i++)
        s->log.endless = s->log.endless || s->unknowns[i].to == UINT64_MAX;
}

/* R3: each file learns from the later ones how far the log went when they were written.  The least of these counts:
 * what came after the next file cannot have been in this one, else old damage would grow at each restart, up to records
 * that an opening has to decide about. */
static void look_back(struct hx_seg *s, const struct hx_load_pass *p)
{
    struct hx_log *l = &s->log;
    uint64_t most = 0, later = 0;
    for (size_t i = l->slot_count; i-- > 0;) {
        uint64_t own = l->files[i]->highest;
        l->files[i]->later = later;
        most = own > most ? own : most;
        later = own && (!later || own < later) ? own : later;
    }
    l->highest = p->highest > most ? p->highest : most;
    l->highest = s->meta.base.v > l->highest ? s->meta.base.v : l->highest;
}

/* What everything else is applied on top of. */
static void begin(struct hx_seg *s, const struct hx_load_pass *p)
{
    uint64_t base = s->meta.base.v > p->stable ? s->meta.base.v : p->stable;
    /* A file that went may have ended in records that a later epoch made void: its highest LSN was no VDL (R6). */
    base = hx_history_point(&s->meta.history, HX_LSN(base)).v;
    s->chain.anchor = s->chain.scl = base;
    s->chain.hint = p->vdl > base ? p->vdl : base;
    s->oldest = s->meta.oldest.v;
    s->floor = s->gc = 0;
    hx_apply_floor(s, p->floor, p->gc);
    hx_chain_fini(s->proof);
    s->proof->scl = s->meta.base.v;
}

static void begin_again(struct hx_seg *s, const struct hx_load_pass *p)
{
    hx_index_fini(&s->index);
    hx_chain_fini(&s->chain);
    s->unknown_count = 0;
    s->damaged = 0;
    for (size_t i = 0; i < s->log.slot_count; i++) {
        s->log.files[i]->refs = 0;
        s->log.files[i]->live = 0;
    }
    begin(s, p);
    hx_seg_index_init(s, &s->meta.geometry);
}

static bool any_damage(const struct hx_seg *s)
{
    bool any = s->unknown_count > 0;
    for (size_t i = 0; i < s->log.slot_count; i++)
        any |= s->log.files[i]->damaged;
    return any;
}

/* R5: what is missing between where the proof begins and ANCHOR. */
static int prove(struct hx_seg *s, uint64_t anchor)
{
    const struct hx_chain *proof = s->proof;
    uint64_t x = proof->scl;
    int err = 0;
    for (size_t i = 0; i < proof->span_count && !err; i++) {
        const struct hx_span *p = &proof->spans[i];
        uint64_t to = p->prev < anchor ? p->prev : anchor;
        if (to > x)
            err = hx_seg_unknown(s, x + 1, to, HX_NONE, true);
        x = p->last > x ? p->last : x;
    }
    return err || x >= anchor ? err : hx_seg_unknown(s, x + 1, anchor, HX_NONE, true);
}

/* The checkpoint and what came since; when that is not whole, the sidecars of all files (R4). */
static int apply_all(struct hx_seg *s, const struct hx_load_pass *p)
{
    uint64_t tail, base;
    begin(s, p);
    base = s->chain.anchor;
    int err = hx_ckpt_load(s, begin_again, p, &tail);
    if (err)
        return err;
    if (tail) {
        hx_apply_floor(s, p->floor, p->gc); /* the hint is higher now */
        err = second_pass(s, tail);
        if (!err)
            err = prove(s, base);
        if (err || !any_damage(s))
            return err;
        s->ckpt.loaded = 0;
        s->ckpt.strange[0] = s->ckpt.strange[1] = true;
        begin_again(s, p);
    }
    err = second_pass(s, 0);
    return err ? err : prove(s, base);
}

/* The newest version of PAGE in the file of SLOT that no read point from the oldest on needs. */
static bool unneeded(const struct hx_seg *s, uint32_t page, uint32_t slot, struct hx_version *ret)
{
    bool covered = false; /* by a base, that may be the image of a patch with the same LSN */
    for (struct hx_index_walk w = hx_index_walk(&s->index, page); hx_index_next(&w, ret);) {
        if (covered && ret->file == slot)
            return true;
        covered |= hx_rec_is_base(ret->kind) && ret->lsn <= s->oldest;
    }
    return false;
}

/* R7, for a file whose sidecar is good. */
static int settle_lost(struct hx_seg *s, uint32_t slot)
{
    struct hx_logfile *f = s->log.files[slot];
    struct hx_buf side = {0};
    struct hx_side_frame d;
    const uint8_t *recs;
    size_t off = 0;
    int err = hx_side_load(s, f, &side);
    while (!err && hx_side_next(side.p, side.len, &off, &d, &recs) > 0)
        for (uint32_t i = 0; i < d.count; i++) {
            struct hx_side_rec r;
            struct hx_version v;
            hx_side_rec_decode(recs + (size_t)i * HX_LOG_SIDE_REC, &r);
            while (unneeded(s, r.page, slot, &v))
                hx_index_remove(s, r.page, &v);
        }
    hx_buf_fini(&side);
    if (err == HX_E_NOMEM)
        return err;
    if (!f->refs && f->max_lsn <= s->meta.base.v)
        return 0;
    f->rotten = true;
    return f->min_lsn <= f->max_lsn ? hx_seg_unknown(s, f->min_lsn, f->max_lsn, HX_NONE, false) : 0;
}

static int settle(struct hx_seg *s, uint64_t base)
{
    int err = 0;
    settle_unknowns(s, base);
    for (size_t i = 0; i < s->log.slot_count && !err; i++)
        if (s->log.files[i]->lost && s->log.files[i]->sided)
            err = settle_lost(s, (uint32_t)i);
    return err;
}

int hx_load(struct hx_seg *s)
{
    struct hx_load_pass p = {0};
    int err = list_files(s);
    if (!err)
        err = first_pass(s, &p);
    if (err)
        return err;
    const struct hx_logfile *last = s->log.slot_count ? s->log.files[s->log.slot_count - 1] : NULL;
    bool flush = last && !last->sided && !last->lost && !HX_MUTANT(RESTART_TRUSTS_CACHE);
    if (flush && s->env->opening && !last->sealed)
        s->late = last->id; /* R1: all segments' together (node.c) */
    else if (flush && s->disk->ops->flush(s->disk, last->id)) /* R1 */
        return HX_E_POISONED;
    err = hx_revive_write_again(s);
    if (err)
        return err;
    look_back(s, &p);
    struct hx_chain proof = {0};
    s->proof = &proof;
    err = apply_all(s, &p);
    s->proof = NULL;
    hx_chain_fini(&proof);
    if (!err)
        err = settle(s, s->meta.base.v > p.stable ? s->meta.base.v : p.stable);
    if (err)
        return err;
    for (size_t i = 0; i < s->log.slot_count; i++) {
        struct hx_logfile *f = s->log.files[i];
        if (f->sealed && !f->sided && hx_side_save(s, f) && s->error)
            return s->error;
    }
    return 0;
}
