/*
 * space.c - background work of a segment, in bounded pieces: sidecars of closed files, materialised pages,
 * pruning, compaction, deletion.
 *
 *   B1 A log file is deleted only when (a) nothing points into it, (b) every record in it is at or below gc, so
 *      that every member has it, (c) whatever superseded or copied its content is in files that have sidecars,
 *      so that damage to the tail cannot bring a page back to "never written", (d) the meta slots hold the
 *      base and the oldest read point that follow from its absence, and (e) a file with a higher number is durable:
 *      so a number is never given out twice, and no sidecar whose removal a power loss undid meets a new file.
 *   B2 A page is materialised only at or below the hint: what is there cannot be annulled (pitfall 21).
 *   B3 Compaction copies records as they are; the index moves from the old place to the new one when the copy
 *      is durable (index.c: a local record takes over the place of its twin).
 * Nothing here is needed for correctness of reads; everything may be interrupted by a crash at any point.
 */
#include "store.h"

#include "hexad/mutant.h"

#include <stdlib.h>

#define WORK_PAGES 4096u           /* pages looked at per piece of a sweep */
#define WORK_BYTES (1u << 20)      /* payload copied per piece of a compaction */
#define CHAIN_LONG 16u
#define CHAIN_PRESSED 4u           /* when the lists have half of their memory */

void hx_space_long_chain(struct hx_seg *s, uint32_t page)
{
    struct hx_seg_work *w = &s->work;
    if (w->todo_count < HX_ARRAY_LEN(w->todo)) /* else the sweep finds it */
        w->todo[w->todo_count++] = page;
}

uint64_t hx_space_bytes(const struct hx_seg *s)
{
    uint64_t n = 2 * HX_META_RESERVE;
    for (size_t i = 0; i < s->log.slot_count; i++)
        if (s->log.files[i])
            n += s->log.files[i]->filled > s->log.files[i]->end ? s->log.files[i]->filled : s->log.files[i]->end;
    n += s->ckpt.bytes;
    return n;
}

/* ---- local frames ---- */
struct out { /* records of our own making, gathered into frames */
    struct hx_seg *s;
    uint64_t last;
    bool open;
};

static int out_close(struct out *o)
{
    struct hx_seg *s = o->s;
    if (!o->open)
        return 0;
    o->open = false;
    size_t n = hx_frame_builder_seal(s->env->builder, HX_LSN(0), HX_LSN(0), HX_LSN(0), 0, s->env->scratch);
    return hx_log_put(s, HX_ENV_LOCAL, 0, s->env->scratch, n);
}

static int out_add(struct out *o, uint64_t lsn, uint32_t page, uint8_t kind, const uint8_t *payload, size_t len)
{
    struct hx_frame_builder *b = o->s->env->builder;
    if (o->open && (lsn <= o->last || !hx_frame_builder_fits(b, len) ||
                    lsn - hx_frame_builder_first(b).v > UINT32_MAX)) {
        int err = out_close(o);
        if (err)
            return err;
    }
    if (!o->open)
        hx_frame_builder_reset(b, &o->s->at.volume, o->s->at.pg, hx_seg_top(o->s), HX_LSN(0));
    o->open = true;
    o->last = lsn;
    hx_frame_builder_add(b, HX_LSN(lsn), page, kind, 0, (struct hx_bytes){payload, len}, (struct hx_bytes){NULL, 0});
    return 0;
}

/* ---- materialising ---- */
struct page_at {
    uint64_t lsn;
    uint32_t page;
};

static int by_lsn(const void *a, const void *b)
{
    const struct page_at *x = a, *y = b;
    return x->lsn < y->lsn ? -1 : x->lsn > y->lsn;
}

/* Patches that make an image worth while: fewer when the lists of the index get large. */
static unsigned chain_long(const struct hx_seg *s)
{
    uint64_t n = s->index.nodes;
    return n < HX_INDEX_NODES / 2 ? CHAIN_LONG : n < HX_INDEX_NODES ? CHAIN_PRESSED : 1;
}

/* The newest version of PAGE that may be materialised, if its chain is long; 0 if not. */
static uint64_t worth_image(struct hx_seg *s, uint32_t page)
{
    uint64_t point = s->chain.hint < s->chain.scl ? s->chain.hint : s->chain.scl, lsn = 0; /* B2 */
    point = HX_MUTANT(IMAGE_ABOVE_HINT) ? UINT64_MAX : point;
    unsigned patches = 0;
    struct hx_version v;
    for (struct hx_index_walk w = hx_index_walk(&s->index, page); hx_index_next(&w, &v);) {
        if (v.lsn > point)
            continue;
        if (hx_rec_is_base(v.kind))
            break;
        lsn = lsn ? lsn : v.lsn;
        patches++;
    }
    return patches >= chain_long(s) ? lsn : 0;
}

static int materialise(struct hx_seg *s)
{
    struct hx_seg_work *w = &s->work;
    struct page_at list[HX_ARRAY_LEN(w->todo)];
    size_t n = 0;
    for (uint32_t i = 0; i < w->todo_count; i++) {
        list[n] = (struct page_at){worth_image(s, w->todo[i]), w->todo[i]};
        n += list[n].lsn > 0;
    }
    w->todo_count = 0;
    qsort(list, n, sizeof *list, by_lsn);
    struct out o = {.s = s};
    int err = 0;
    for (size_t i = 0; i < n && !err; i++) {
        struct hx_read_page r;
        uint8_t *data = s->env->page;
        if (i && list[i].lsn == list[i - 1].lsn)
            continue; /* the page was listed twice */
        err = hx_page_read(s, list[i].page, list[i].lsn, false, data, &r);
        if (err || r.state != HX_READ_RAW)
            continue;
        size_t len = HX_PAGE_SIZE;
        while (len && !data[len - 1])
            len--;
        err = out_add(&o, list[i].lsn, list[i].page, len ? HX_REC_IMAGE : HX_REC_ZERO, data, len);
    }
    int close = out_close(&o);
    return err ? err : close;
}

/* ---- sweeping: prune what the floor has passed, find long chains that were not noticed ---- */
static bool sweep(struct hx_seg *s)
{
    struct hx_seg_work *w = &s->work;
    uint64_t pages = hx_geometry_pg_pages(&s->meta.geometry);
    if (!w->sweeping) {
        const struct hx_index *x = &s->index;
        bool pressed = x->nodes >= HX_INDEX_NODES / 2 && s->chain.hint > w->sweep_hint;
        if (!pressed && (s->floor <= w->sweep_floor || x->versions <= x->pages + x->pages / 8))
            return false;
        w->sweeping = true;
        w->sweep_floor = s->floor;
        w->sweep_hint = s->chain.hint;
        w->sweep_page = 0;
    }
    uint64_t end = w->sweep_page + WORK_PAGES < pages ? w->sweep_page + WORK_PAGES : pages;
    for (; w->sweep_page < end && w->todo_count < HX_ARRAY_LEN(w->todo); w->sweep_page++) {
        if (!hx_index_listed(&s->index, w->sweep_page))
            continue;
        hx_index_prune(s, w->sweep_page);
        if (worth_image(s, w->sweep_page))
            hx_space_long_chain(s, w->sweep_page);
    }
    w->sweeping = w->sweep_page < pages;
    return w->sweeping;
}

/* ---- compaction ---- */
static bool all_have(const struct hx_seg *s, const struct hx_logfile *f)
{
    return (f->max_lsn <= s->gc || HX_MUTANT(GC_BEFORE_ALL_HAVE)) && f->max_lsn <= s->chain.anchor;
}

static uint32_t choose_victim(const struct hx_seg *s)
{
    uint32_t best = HX_NONE;
    for (size_t i = 0; i < s->log.slot_count; i++) {
        const struct hx_logfile *f = s->log.files[i];
        if (!f || !f->sided || !f->refs || !all_have(s, f))
            continue;
        if (!f->rotten && (f->damaged || f->live >= f->end / 2))
            continue;
        if (best == HX_NONE || f->live < s->log.files[best]->live)
            best = (uint32_t)i;
    }
    return best;
}

/* A record of the victim, when the index points to it. */
static int copy_record(struct hx_seg *s, const struct hx_side_frame *f, const struct hx_side_rec *r, struct out *o,
                       size_t *copied)
{
    struct hx_version v;
    struct hx_index_walk w = hx_index_walk(&s->index, r->page);
    while (hx_index_next(&w, &v)) {
        struct hx_bytes b;
        if (v.lsn != f->first + r->lsn_off || !hx_place_within(v.file, v.pos, v.codec, s->work.victim, f))
            continue;
        int err = hx_page_payload(s, r->page, &v, true, s->env->page + HX_PAGE_SIZE, &b);
        if (err == HX_E_CORRUPT) {
            s->log.files[s->work.victim]->damaged = true; /* stays until a peer has repaired it */
            return 0;
        }
        if (!err)
            err = out_add(o, v.lsn, r->page, v.kind, b.p, b.len);
        *copied += b.len + HX_REC_HEAD;
        return err;
    }
    return 0;
}

/* Copies what is still used of a frame of the victim. */
static int copy_frame(struct hx_seg *s, const struct hx_side_frame *f, const uint8_t *recs, struct out *o,
                      size_t *copied)
{
    int err = 0;
    for (uint32_t k = 0; k < f->count && !err; k++, recs += HX_LOG_SIDE_REC) {
        struct hx_side_rec r;
        hx_side_rec_decode(recs, &r);
        err = copy_record(s, f, &r, o, copied);
    }
    return err;
}

static bool compact(struct hx_seg *s)
{
    struct hx_seg_work *w = &s->work;
    if (w->victim == HX_NONE) {
        if (s->log.batch.len)
            return false; /* images were just made: where they belong shows after the flush */
        w->victim = choose_victim(s);
        w->side_off = 0;
        if (w->victim == HX_NONE)
            return false;
        if (hx_side_load(s, s->log.files[w->victim], &w->side)) {
            s->log.files[w->victim]->damaged = true;
            s->log.files[w->victim]->rotten = false;
            w->victim = HX_NONE;
            return true;
        }
    }
    struct out o = {.s = s};
    size_t copied = 0;
    struct hx_side_frame f;
    const uint8_t *recs;
    int err = 0, more = 1;
    while (!err && copied < WORK_BYTES && (more = hx_side_next(w->side.p, w->side.len, &w->side_off, &f, &recs)) > 0)
        if (!(f.flags & HX_ENV_DAMAGED))
            err = copy_frame(s, &f, recs, &o, &copied);
    int close = out_close(&o);
    if (err || close || more <= 0) { /* on an error: as far as it came, and again later */
        s->log.files[w->victim]->rotten &= err || close; /* what cannot be read stays, until it is mended */
        w->victim = HX_NONE;
        hx_buf_fini(&w->side);
    }
    return !err && !close;
}

/* ---- deletion ---- */
/* Dead now; what superseded it may be in any file up to the newest one (B1 c). */
static bool dead(struct hx_seg *s, struct hx_logfile *f)
{
    if (!f || !f->sided || f->vague || f->refs || !all_have(s, f))
        return false;
    if (!f->dead_id) {
        f->dead_id = s->log.next_id - 1;
        f->dead_oldest = s->oldest;
    }
    return true;
}

static bool all_sided(const struct hx_seg *s, uint64_t id)
{
    for (size_t i = 0; i < s->log.slot_count; i++)
        if (s->log.files[i] && s->log.files[i]->id <= id && !s->log.files[i]->sided)
            return false;
    return true;
}

static bool save_sides(struct hx_seg *s)
{
    for (size_t i = 0; i < s->log.slot_count; i++) {
        struct hx_logfile *f = s->log.files[i];
        if (f && f->sealed && !f->sided)
            return hx_side_save(s, f) == 0; /* on a full disk: later */
    }
    return false;
}

static void remove_file(struct hx_seg *s, size_t slot)
{
    struct hx_logfile *f = s->log.files[slot];
    /* The log file first: a sidecar alone is swept away by the next restart, a log file alone would be scanned. */
    if (s->disk->ops->remove(s->disk, f->id))
        return;
    s->disk->ops->remove(s->disk, f->id | HX_LOG_SIDE_BIT);
    if (s->fetch_file == f->id)
        s->fetch_file = 0;
    if (s->work.victim == slot) {
        s->work.victim = HX_NONE;
        hx_buf_fini(&s->work.side);
    }
    hx_bodies_forget(&s->env->bodies, s);
    hx_buf_fini(&f->side);
    free(f);
    s->log.files[slot] = NULL;
}

/* B1 d: what a restart cannot learn from the files any more is in the meta slots. */
static bool base_saved(struct hx_seg *s, const struct hx_logfile *f)
{
    bool saved = s->meta.base.v >= f->max_lsn && s->meta.oldest.v >= f->dead_oldest;
    if (saved || HX_MUTANT(DELETE_WITHOUT_BASE))
        return !s->meta_dirty;
    s->meta.base = HX_LSN(f->max_lsn > s->meta.base.v ? f->max_lsn : s->meta.base.v); /* not more: see side.c */
    s->meta.oldest = HX_LSN(s->oldest);
    s->meta_dirty = true; /* with the next flush */
    return false;
}

/* The highest number that stays whatever power loss does. */
static uint64_t highest_durable(const struct hx_seg *s)
{
    uint64_t id = 0;
    for (size_t i = 0; i < s->log.slot_count; i++) {
        const struct hx_logfile *f = s->log.files[i];
        if (f && f->durable && f->id > id)
            id = f->id;
    }
    return id;
}

static bool delete_dead(struct hx_seg *s)
{
    uint64_t waiting = 0, all = 0, highest = highest_durable(s);
    bool any = false;
    for (size_t i = 0; i < s->log.slot_count; i++) {
        struct hx_logfile *f = s->log.files[i];
        if (!f)
            continue;
        all += f->end;
        if (!dead(s, f) || f->id == highest) /* B1 e */
            continue;
        any = true;
        if (!all_sided(s, f->dead_id))
            waiting += f->end;
        else if (base_saved(s, f))
            remove_file(s, i);
    }
    /* Dead files wait for the tail to be closed; when they are a fifth of everything it is closed now. */
    if (waiting && waiting >= all / 5 && !s->log.batch.len && s->log.tail != HX_NONE)
        return hx_log_seal(s) == 0;
    return any && waiting == 0;
}

bool hx_space_work(struct hx_seg *s)
{
    if (s->error)
        return false;
    bool more = save_sides(s);
    if (s->nospace) { /* copies need room that is not there: deletion only */
        more |= delete_dead(s);
        return more && !s->error;
    }
    if (!s->log.batch.len) { /* what is copied twice before it is durable would stay twice */
        if (s->work.todo_count)
            more |= materialise(s) == 0;
        more |= sweep(s);
        more |= compact(s);
    }
    more |= delete_dead(s);
    more |= hx_ckpt_work(s);
    return more && !s->error;
}
