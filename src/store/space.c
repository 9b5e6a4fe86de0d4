/*
 * space.c - background work of a segment, in bounded pieces: sidecars of closed files, materialised pages,
 * pruning, compaction, deletion.
 *
 *   B1 A log file is deleted only when (a) nothing points into it, (b) every record in it is at or below gc, so
 *      that every member has it, (c) whatever superseded or copied its content is in files that have sidecars,
 *      so that damage to the tail cannot bring a page back to "never written", (d) the meta slots hold the
 *      base and the oldest read point that follow from its absence, and (e) a file with a higher number is durable:
 *      so a number is never given out twice, and no sidecar whose removal a power loss undid meets a new file.
 *      The base does not pass blind damage before every page is confirmed: above the base a restart finds again that
 *      records are missing (load.c R5), below it nothing would say so, and pages would pass for whole.
 *   B2 A page is materialised only at or below the hint: what is there cannot be annulled (pitfall 21).
 *   B3 Compaction copies records as they are; the index moves from the old place to the new one when the copy
 *      is durable (index.c: a local record takes over the place of its twin).
 *   B4 Log files take at most 1.5 x what of them is used, and a constant besides: 1.25 files while records come (where
 *      files are small, because little is used: one of these and SPARE_MIN), a sixteenth of a file when nobody has
 *      written for some seconds.  Only what all members have can be tidied, so
 *      while one is down, what it lacks comes on top.
 *   B5 On a full disk the room for all that is the reserve's (reserve.c): files that it cannot hold twice are left.
 *   B6 While small commits come in, a tick does one thing that has to be flushed, and little of it, and comes the
 *      more often: commits that come meanwhile wait for that.  Copies are not flushed at all then: the next commit
 *      takes them along, or a tick some time later.  What is written to files of its own is flushed beside
 *      (hexad/disk.h).
 *   B7 ... nor does it starve: how much is copied follows from how much comes in, and from time (OWED: to make room
 *      for one byte may take two copies, and every second tick does something else), files are closed before anything
 *      is put into the batch, and compaction has every second turn when there is too much.
 * Nothing here is needed for correctness of reads; everything may be interrupted by a crash at any point.
 */
#include "store.h"

#include "hexad/mutant.h"

#include <stdlib.h>

#define WORK_PAGES 4096u           /* pages looked at per piece of a sweep */
#define WORK_BYTES (1u << 20)      /* payload copied, and images made, per piece of a compaction */
#define WORK_BUSY_BYTES (128u << 10)
#define WORK_BUSY_LEAST (16u << 10) /* less is not worth its own frame */
#define WORK_BUSY_PAGES 512u
#define WORK_MS 20u
#define WORK_BUSY_MS 2u
#define READ_COST 4u                /* so many bytes are read as quickly as one is copied */
#define OWED_EACH 4u                /* bytes, for each that came */
#define OWED_MS 4096u               /* and for each ms */
#define OWED_MAX (4u << 20)
#define BUSY_MS 1000u
#define SEAL_MS 2000u
#define BULK (32u << 10)            /* frames so large come from who has much to write */
#define CLOSE_MIN (16u << 20)
#define SPARE_MIN (24u << 20)
#define WORK_QUIET_BYTES (4u << 20)
#define CHAIN_LONG 16u
#define CHAIN_PRESSED 4u           /* when the lists have half of their memory */
#define SMALL_FILES 8u /* closed files of less than a sixteenth, that are left as they are */
#define QUIET_MS 5000u /* without a record from outside: nobody is in the way, and what is left over may be tidied */

/* The longest chains first: one that is found while there is no room takes the place of the shortest, if that is
 * shorter. */
void hx_space_long_chain(struct hx_seg *s, uint32_t page, unsigned patches)
{
    struct hx_seg_work *w = &s->work;
    struct hx_long_chain *shortest = &w->todo[0];
    for (uint32_t i = 0; i < w->todo_count; i++) {
        if (w->todo[i].page == page) {
            w->todo[i].patches = patches;
            return;
        }
        if (w->todo[i].patches < shortest->patches)
            shortest = &w->todo[i];
    }
    if (w->todo_count < HX_ARRAY_LEN(w->todo))
        shortest = &w->todo[w->todo_count++];
    else if (shortest->patches >= patches)
        return; /* the sweep finds it */
    *shortest = (struct hx_long_chain){page, patches};
}

uint64_t hx_space_bytes(const struct hx_seg *s)
{
    uint64_t n = 2 * HX_META_RESERVE + s->reserve.bytes + hx_reuse_bytes(s, false);
    for (size_t i = 0; i < s->log.slot_count; i++)
        if (s->log.files[i])
            n += s->log.files[i]->filled > s->log.files[i]->end ? s->log.files[i]->filled : s->log.files[i]->end;
    n += s->ckpt.bytes;
    return n;
}

/* B6: are there commits, of the kind that somebody waits for? */
static bool busy(const struct hx_seg *s)
{
    return s->work.came_bytes && !s->work.bulk && s->work.ticked_ms - s->work.came_ms < BUSY_MS;
}

/* ---- local frames ---- */
int hx_local_close(struct hx_local *o)
{
    struct hx_seg *s = o->s;
    if (!o->open)
        return 0;
    o->open = false;
    size_t n = hx_frame_builder_seal(s->env->builder, HX_LSN(0), HX_LSN(0), HX_LSN(0), 0, s->env->scratch);
    return hx_log_put(s, HX_ENV_LOCAL, 0, s->env->scratch, n);
}

int hx_local_add(struct hx_local *o, uint64_t lsn, uint32_t page, uint8_t kind, const uint8_t *payload, size_t len)
{
    struct hx_frame_builder *b = o->s->env->builder;
    if (o->open && (lsn <= o->last || !hx_frame_builder_fits(b, len) ||
                    lsn - hx_frame_builder_first(b).v > UINT32_MAX)) {
        int err = hx_local_close(o);
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

/* Versions in lists of which background work could make fewer: not those above the hint, of which there may be a whole
 * window of the writer when this member is late; to look at them again and again would make it later still. */
static uint64_t ripe_nodes(const struct hx_seg *s)
{
    uint64_t n = s->index.nodes;
    return n > s->chain.held_count ? n - s->chain.held_count : 0;
}

/* Patches that make an image worth while: fewer when the lists of the index get large. */
static unsigned chain_long(const struct hx_seg *s)
{
    uint64_t n = ripe_nodes(s);
    return n < HX_INDEX_NODES / 2 ? CHAIN_LONG : n < HX_INDEX_NODES ? CHAIN_PRESSED : 1;
}

/* What of PAGE one image at or below POINT would stand for: the newest version there, the patches down to a base. */
struct chain_at {
    uint64_t lsn; /* 0: nothing there */
    unsigned patches;
    uint64_t bytes; /* of these patches */
};

static struct chain_at chain_at(const struct hx_seg *s, uint32_t page, uint64_t point)
{
    struct chain_at c = {0};
    struct hx_version v;
    for (struct hx_index_walk w = hx_index_walk(&s->index, page); hx_index_next(&w, &v);) {
        if (v.lsn > point)
            continue;
        if (hx_rec_is_base(v.kind))
            break;
        c.lsn = c.lsn ? c.lsn : v.lsn;
        c.patches++;
        c.bytes += v.len + HX_REC_HEAD;
    }
    return c;
}

/* The newest point at which pages may be made (B2); 0 while there is none: a segment whose SCL fell to damage below
 * what it had pruned lacks versions there (as a reader would hear: TOO_OLD). */
static uint64_t settled(const struct hx_seg *s)
{
    uint64_t point = s->chain.hint < s->chain.scl ? s->chain.hint : s->chain.scl;
    point = point < s->oldest ? 0 : point;
    return HX_MUTANT(IMAGE_ABOVE_HINT) ? UINT64_MAX : point;
}

static int put_image(struct hx_seg *s, struct hx_local *o, uint32_t page, uint64_t lsn, bool *ret_done)
{
    struct hx_read_page r;
    uint8_t *data = s->env->page;
    *ret_done = false;
    int err = hx_page_read(s, page, lsn, 0, data, &r);
    if (err || r.state != HX_READ_RAW)
        return err;
    size_t len = HX_PAGE_SIZE;
    while (len && !data[len - 1])
        len--;
    err = hx_local_add(o, lsn, page, len ? HX_REC_IMAGE : HX_REC_ZERO, data, len);
    *ret_done = !err;
    return err;
}

static int by_patches(const void *a, const void *b)
{
    const struct hx_long_chain *x = a, *y = b;
    return x->patches < y->patches ? -1 : x->patches > y->patches;
}

/* Images of some pages that wait for one, those with the longest chains. */
static int materialise(struct hx_seg *s, size_t most)
{
    struct hx_seg_work *w = &s->work;
    struct page_at list[HX_ARRAY_LEN(w->todo)];
    size_t n = 0;
    qsort(w->todo, w->todo_count, sizeof *w->todo, by_patches);
    while (w->todo_count && n < most) {
        uint32_t page = w->todo[--w->todo_count].page;
        struct chain_at c = chain_at(s, page, settled(s));
        if (c.patches >= chain_long(s))
            list[n++] = (struct page_at){c.lsn, page};
    }
    qsort(list, n, sizeof *list, by_lsn);
    struct hx_local o = {.s = s};
    int err = 0;
    bool done;
    for (size_t i = 0; i < n && !err; i++)
        err = put_image(s, &o, list[i].page, list[i].lsn, &done);
    int close = hx_local_close(&o);
    return err ? err : close;
}

/* ---- sweeping: prune what the floor has passed, find long chains that were not noticed ---- */
static bool sweep(struct hx_seg *s)
{
    struct hx_seg_work *w = &s->work;
    const struct hx_index *x = &s->index;
    if (!w->sweeping) {
        bool pressed = ripe_nodes(s) >= HX_INDEX_NODES / 2 && s->chain.hint > w->sweep_hint;
        if (!pressed && !w->missed && (s->floor <= w->sweep_floor || x->versions <= x->pages + x->pages / 8))
            return false;
        w->sweeping = true;
        w->missed = false;
        w->sweep_floor = s->floor;
        w->sweep_hint = s->chain.hint;
        w->sweep_page = 0;
    }
    for (unsigned left = busy(s) ? WORK_BUSY_PAGES : WORK_PAGES; left > 0; left--) {
        w->sweep_page = hx_index_after(x, w->sweep_page);
        w->sweeping = w->sweep_page != HX_NONE;
        if (!w->sweeping)
            return false;
        uint32_t page = w->sweep_page++;
        if (!hx_index_listed(x, page))
            continue;
        hx_index_prune(s, page);
        struct chain_at c = chain_at(s, page, settled(s));
        if (c.patches < chain_long(s))
            continue;
        w->missed |= w->todo_count == HX_ARRAY_LEN(w->todo);
        hx_space_long_chain(s, page, c.patches);
    }
    return true;
}

/* ---- how much there is, and how much there may be ---- */
/* What of F's bytes is still used: frames are compressed, what the index points to is counted raw. */
static uint64_t used_of(const struct hx_logfile *f)
{
    if (!f->raw) /* its sidecar does not know */
        return f->live < f->end ? f->live : f->end;
    if (f->live >= f->raw)
        return f->end;
    return f->end * (f->live * 65536 / f->raw) / 65536;
}

static uint64_t size_of(const struct hx_logfile *f)
{
    return f->filled > f->end ? f->filled : f->end;
}

struct room {
    uint64_t size, used; /* of all log files, and spares but for one (reuse.c) */
    uint64_t spare;      /* B4: what there may be besides */
    bool quiet;
};

/* Files wait for each other when they go (B1), so where little is used small ones cost less room. */
static uint64_t close_at(const struct room *r)
{
    return r->used / 4 > CLOSE_MIN ? r->used / 4 : CLOSE_MIN;
}

static struct room measure(const struct hx_seg *s)
{
    uint64_t file = hx_seg_file_bytes(s);
    struct room r = {.size = hx_reuse_bytes(s, true), .quiet = s->work.quiet};
    for (size_t i = 0; i < s->log.slot_count; i++) {
        const struct hx_logfile *f = s->log.files[i];
        r.size += f ? size_of(f) : 0;
        r.used += f ? used_of(f) : 0;
    }
    uint64_t most = file + file / 4, small = close_at(&r) + SPARE_MIN;
    r.spare = r.quiet ? file / 16 : small < most ? small : most;
    return r;
}

static bool too_much(const struct room *r)
{
    return r->size > r->used + r->used / 2 + r->spare;
}

/* ---- compaction ---- */
static bool all_have(const struct hx_seg *s, const struct hx_logfile *f)
{
    return (f->max_lsn <= s->gc || HX_MUTANT(GC_BEFORE_ALL_HAVE)) && f->max_lsn <= s->chain.anchor;
}

struct hx_space hx_space_of(const struct hx_seg *s)
{
    struct room r = measure(s);
    struct hx_space ret = {.size = r.size, .used = r.used, .limit = r.used + r.used / 2 + r.spare};
    for (size_t i = 0; i < s->log.slot_count; i++) {
        const struct hx_logfile *f = s->log.files[i];
        if (!f)
            continue;
        ret.ahead += size_of(f) - f->end;
        if (!all_have(s, f))
            ret.history += f->end - used_of(f);
        else if (!f->refs)
            ret.dead += f->end;
    }
    return ret;
}

/*
 * The file of which the smallest part is used.  Nearly empty ones at any time, others only when there is too much: what
 * waits may die by itself, and costs nothing then.  Rotten ones at once; and when nobody is in the way, one of many
 * small ones.  What a file was filled with ahead does not count here: the copy would be filled ahead, too, and so for
 * ever.
 */
static uint32_t choose_victim(const struct hx_seg *s, const struct room *r)
{
    uint32_t best = HX_NONE, small = HX_NONE, smalls = 0;
    uint64_t best_part = too_much(r) || s->nospace ? 7 * 65536 / 8 : 65536 / 8;
    for (size_t i = 0; i < s->log.slot_count; i++) {
        const struct hx_logfile *f = s->log.files[i];
        if (!f || !f->sided || !f->refs || !all_have(s, f) || (f->damaged && !f->rotten))
            continue;
        hx_assert(f->end); /* something points into it */
        if (f->end < hx_seg_file_bytes(s) / 16) {
            smalls++;
            small = small == HX_NONE || f->end < s->log.files[small]->end ? (uint32_t)i : small;
        }
        uint64_t part = f->rotten ? 0 : used_of(f) * 65536 / f->end;
        if (part >= best_part || (s->nospace && used_of(f) > hx_reserve_wanted(s) * 3 / 4))
            continue;
        best = (uint32_t)i;
        best_part = part;
    }
    return best == HX_NONE && r->quiet && smalls > SMALL_FILES ? small : best;
}

/* Pages that a piece of a compaction has decided about: LSN of the image that it made (what that stands for need not be
 * copied), or 0.  The index knows of none of these images before the flush, so what is forgotten is made again. */
#define IMAGED 4096u
#define IMAGED_MAX (IMAGED / 4 * 3) /* and then what is left of the frame is copied as it is */
struct imaged {
    uint32_t count;
    struct imaged_page {
        uint64_t lsn;
        uint32_t page;
        bool used;
    } e[IMAGED];
};
_Static_assert(WORK_QUIET_BYTES / HX_PAGE_SIZE < IMAGED_MAX, "the images of a piece have room");

static struct imaged_page *imaged_at(struct imaged *m, uint32_t page)
{
    uint32_t i = page * UINT32_C(0x9e3779b1) >> 20;
    while (m->e[i].used && m->e[i].page != page)
        i = (i + 1) % IMAGED;
    return &m->e[i];
}

/* Is the record at LSN of PAGE covered by an image at the read floor, made now if it pays? */
static int in_image(struct hx_seg *s, struct imaged *m, uint32_t page, uint64_t lsn, struct hx_local *o, size_t *copied,
                    bool *ret)
{
    struct imaged_page *e = imaged_at(m, page);
    *ret = e->used && lsn <= e->lsn;
    if (e->used || m->count == IMAGED_MAX)
        return 0;
    hx_index_prune(s, page);
    uint64_t floor = s->floor < settled(s) ? s->floor : settled(s);
    struct chain_at c = chain_at(s, page, floor);
    if (lsn > c.lsn)
        return 0;
    bool pays = c.patches >= CHAIN_LONG / 2 || c.bytes >= HX_PAGE_SIZE / 2;
    int err = pays ? put_image(s, o, page, c.lsn, ret) : 0;
    if (err)
        return err;
    *e = (struct imaged_page){*ret ? c.lsn : 0, page, true};
    m->count++;
    *copied += *ret ? HX_PAGE_SIZE : 0;
    return 0;
}

/* A record of the victim, when the index points to it. */
static int copy_record(struct hx_seg *s, const struct hx_side_frame *f, const struct hx_side_rec *r, struct hx_local *o,
                       size_t *copied)
{
    struct hx_version v;
    struct hx_index_walk w = hx_index_walk(&s->index, r->page);
    while (hx_index_next(&w, &v)) {
        struct hx_bytes b;
        if (v.lsn != f->first + r->lsn_off || !hx_place_within(v.file, v.pos, v.codec, s->work.victim, f))
            continue;
        int err = hx_page_payload(s, r->page, &v, HX_PAGES_MANY, s->env->page + HX_PAGE_SIZE, &b);
        if (err == HX_E_CORRUPT) {
            s->log.files[s->work.victim]->damaged = true; /* stays until a peer has repaired it */
            return 0;
        }
        if (!err)
            err = hx_local_add(o, v.lsn, r->page, v.kind, b.p, b.len);
        *copied += b.len + HX_REC_HEAD;
        return err;
    }
    return 0;
}

/* Copies what is still used of a frame of the victim. */
static int copy_frame(struct hx_seg *s, const struct hx_side_frame *f, const uint8_t *recs, struct hx_local *o,
                      struct imaged *m, size_t *copied)
{
    int err = 0;
    size_t was = *copied;
    for (uint32_t k = 0; k < f->count && !err; k++, recs += HX_LOG_SIDE_REC) {
        struct hx_side_rec r;
        bool covered;
        hx_side_rec_decode(recs, &r);
        err = in_image(s, m, r.page, f->first + r.lsn_off, o, copied, &covered);
        if (!err && !covered)
            err = copy_record(s, f, &r, o, copied);
    }
    if (*copied > was && *copied - was < f->body_len / READ_COST) /* all of it was read */
        *copied = was + f->body_len / READ_COST;
    return err;
}

/* How much may be copied now; 0: not worth while.  Of what is owed an eighth: so pieces are as even as commits. */
static size_t piece(const struct hx_seg *s)
{
    if (!busy(s))
        return s->work.quiet ? WORK_QUIET_BYTES : WORK_BYTES;
    size_t n = s->work.owed / 8 < WORK_BUSY_BYTES ? (size_t)s->work.owed / 8 : WORK_BUSY_BYTES;
    n = n > WORK_BUSY_LEAST ? n : WORK_BUSY_LEAST;
    return n <= s->work.owed ? n : 0;
}

static void pay(struct hx_seg *s, size_t copied)
{
    s->work.owed -= copied < s->work.owed ? copied : s->work.owed;
}

/* What the next piece reads should be in memory by then; COPIED: what this one had, of the window before. */
static void expect_next(struct hx_seg *s, size_t copied)
{
    const struct hx_seg_work *w = &s->work;
    size_t off = w->side_off;
    struct hx_side_frame f;
    const uint8_t *recs;
    if (w->victim != HX_NONE && hx_side_next(w->side.p, w->side.len, &off, &f, &recs) > 0)
        hx_seg_expect(s, s->log.files[w->victim]->id, f.off, copied + 2 * WORK_BYTES);
}

static bool compact(struct hx_seg *s, const struct room *r, size_t most)
{
    struct hx_seg_work *w = &s->work;
    if (w->victim == HX_NONE) {
        if (s->log.batch.len)
            return false; /* images were just made: where they belong shows after the flush */
        w->victim = choose_victim(s, r);
        w->side_off = 0;
        if (w->victim == HX_NONE) {
            w->owed = w->owed < WORK_BUSY_LEAST ? w->owed : WORK_BUSY_LEAST;
            return false;
        }
        if (hx_side_load(s, s->log.files[w->victim], &w->side)) {
            s->log.files[w->victim]->damaged = true;
            s->log.files[w->victim]->rotten = false;
            w->victim = HX_NONE;
            return true;
        }
        expect_next(s, 0);
        if (busy(s)) /* it is not read yet */
            return true;
    }
    struct imaged *m = calloc(1, sizeof *m);
    struct hx_local o = {.s = s};
    size_t copied = 0;
    struct hx_side_frame f;
    const uint8_t *recs;
    int err = m ? 0 : HX_E_NOMEM, more = 1;
    while (!err && copied < most && (more = hx_side_next(w->side.p, w->side.len, &w->side_off, &f, &recs)) > 0)
        if (!(f.flags & HX_ENV_DAMAGED))
            err = copy_frame(s, &f, recs, &o, m, &copied);
    int close = hx_local_close(&o);
    free(m);
    pay(s, copied);
    if (err || close || more <= 0) { /* on an error: as far as it came, and again later */
        s->log.files[w->victim]->rotten &= err || close; /* what cannot be read stays, until it is mended */
        w->victim = HX_NONE;
        hx_buf_fini(&w->side);
    }
    expect_next(s, copied);
    return !err && !close;
}

/* ---- deletion ---- */
/* Dead now; what superseded it may be in any file up to the newest one (B1 c). */
static bool dead(struct hx_seg *s, struct hx_logfile *f)
{
    if (!f->sided || f->vague || f->refs || !all_have(s, f))
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
        if (s->log.files[i] && s->log.files[i]->id <= id && !s->log.files[i]->sided && s->log.files[i]->end)
            return false;
    return true;
}

/* 0: one file more has its sidecar; 1: its flush goes on; else there is none to be saved, or on a full disk, later. */
static int save_sides(struct hx_seg *s)
{
    struct hx_logfile *next = NULL;
    for (size_t i = 0; i < s->log.slot_count; i++) {
        struct hx_logfile *f = s->log.files[i];
        if (f && f->sealed && !f->sided && (!next || f->siding)) /* one that was begun is brought to its end first */
            next = f;
    }
    return next ? hx_side_save_beside(s, next) : HX_E_NOENT;
}

/* May F, which is dead, become the next one?  The others that are dead go. */
static bool use_again(struct hx_seg *s, const struct hx_logfile *f)
{
    struct room r = measure(s);
    for (size_t i = 0; i < s->log.slot_count; i++) {
        const struct hx_logfile *other = s->log.files[i];
        r.size -= other && other != f && other->dead_id && !other->refs ? size_of(other) : 0;
    }
    return !r.quiet && hx_reuse_take(s, f, !too_much(&r));
}

static void remove_file(struct hx_seg *s, size_t slot)
{
    struct hx_logfile *f = s->log.files[slot];
    /* The log file first: a sidecar alone is swept away by the next restart, a log file alone would be scanned. */
    if (!use_again(s, f) && hx_seg_discard(s, f->id))
        return;
    hx_seg_discard(s, f->id | HX_LOG_SIDE_BIT);
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

/* May the base be LSN?  Damage that it passes is mended from the point of the confirmation on: no read goes below that
 * once the floor is there. */
static bool base_may_be(struct hx_seg *s, uint64_t lsn)
{
    for (size_t i = 0; i < s->unknown_count; i++) {
        const struct hx_unknown *u = &s->unknowns[i];
        if (!u->blind || u->from <= s->meta.base.v || u->from > lsn)
            continue;
        if (!hx_seg_is_mended(s, u) || s->sound.at > s->floor)
            return false;
        s->oldest = s->sound.at > s->oldest ? s->sound.at : s->oldest;
    }
    return true;
}

/* B1 d: what a restart cannot learn from the files any more is in the meta slots. */
static bool base_saved(struct hx_seg *s, const struct hx_logfile *f)
{
    bool saved = s->meta.base.v >= f->max_lsn && s->meta.oldest.v >= f->dead_oldest;
    if (saved || HX_MUTANT(DELETE_WITHOUT_BASE))
        return !s->meta_dirty;
    if (!base_may_be(s, f->max_lsn))
        return false;
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

/* What waits for the tail to be closed, or is in it and could go if it were.  While something is copied all the time
 * (B6) the tail is closed for much only: what follows would be in the way of the next file that goes.  While there are
 * commits it is closed seldom, for the next one pays for a new file. */
static bool worth_sealing(const struct hx_seg *s, const struct room *r, uint64_t waiting)
{
    if (s->log.batch.len || s->log.tail == HX_NONE || !s->log.files[s->log.tail]->end)
        return false;
    if ((s->work.copied && waiting < 2 * s->log.close_at) || (s->meta_dirty && busy(s))) /* B6, B7 */
        return false;
    if (busy(s) && !s->nospace && s->log.files[s->log.tail]->end < s->log.close_at / 4 &&
        s->work.sealed_ms && s->work.ticked_ms - s->work.sealed_ms < SEAL_MS)
        return false;
    if (waiting && (s->nospace || waiting >= r->size / 5 || ((too_much(r) || r->quiet) && waiting >= r->spare / 4)))
        return true;
    const struct hx_logfile *f = s->log.files[s->log.tail];
    uint64_t unused = f->end - used_of(f); /* not what is only filled with zeros: a new file has that, too */
    return too_much(r) && all_have(s, f) && unused >= r->spare / 2 && unused >= f->end / 4;
}

/* Does F, which is dead, wait for the tail to be closed? */
static bool for_tail(const struct hx_seg *s, const struct hx_logfile *f)
{
    return s->log.tail != HX_NONE && s->log.files[s->log.tail]->id <= f->dead_id;
}

static bool delete_dead(struct hx_seg *s)
{
    uint64_t waiting = 0, last = 0, highest = highest_durable(s);
    bool any = false;
    for (size_t i = 0; i < s->log.slot_count; i++) {
        struct hx_logfile *f = s->log.files[i];
        if (!f || !dead(s, f))
            continue;
        if (f->id == highest) { /* B1 e */
            last = f->end;
            continue;
        }
        any = true;
        hx_ckpt_disown(s);
        if (!all_sided(s, f->dead_id) && !HX_MUTANT(DELETE_UNSIDED))
            waiting += for_tail(s, f) ? size_of(f) : 0; /* else for a flush that goes on, or for room */
        else if (base_saved(s, f))
            remove_file(s, i);
    }
    struct room r = measure(s);
    if (worth_sealing(s, &r, waiting)) {
        s->work.sealed_ms = s->work.ticked_ms;
        return hx_log_seal(s) == 0;
    }
    if (r.quiet && last > r.spare && s->log.tail == HX_NONE) /* a new file, so that this one may go */
        return hx_log_start(s) == 0;
    return any && waiting == 0;
}

static void notice_quiet(struct hx_seg *s, uint64_t now_ms)
{
    struct hx_seg_work *w = &s->work;
    if (s->log.taken != w->quiet_taken) {
        w->quiet_taken = s->log.taken;
        w->quiet_ms = now_ms;
    }
    w->quiet = now_ms - w->quiet_ms >= QUIET_MS;
    uint64_t bytes = s->log.taken_bytes - w->came_bytes, frames = s->log.taken - w->came_frames;
    uint64_t gone = now_ms - w->ticked_ms < BUSY_MS ? now_ms - w->ticked_ms : BUSY_MS;
    if (frames) {
        w->came_ms = now_ms;
        w->bulk = bytes / frames >= BULK;
    }
    w->owed += OWED_EACH * bytes + OWED_MS * gone;
    w->owed = w->owed < OWED_MAX ? w->owed : OWED_MAX;
    w->came_bytes = s->log.taken_bytes;
    w->came_frames = s->log.taken;
    w->ticked_ms = now_ms;
}

/*
 * A full disk: only what gives room back.  Where that needs room itself, the reserve is given up for it.  Never more
 * than a piece a tick: what finds no room would not find it sooner.
 */
static bool work_full(struct hx_seg *s)
{
    struct room r = measure(s);
    delete_dead(s);
    bool waits = s->work.victim != HX_NONE || choose_victim(s, &r) != HX_NONE;
    for (size_t i = 0; i < s->log.slot_count; i++) {
        struct hx_logfile *f = s->log.files[i];
        waits |= f && ((f->sealed && !f->sided) || dead(s, f));
    }
    if (!waits)
        return false;
    if (!s->reserve.tight && s->reserve.bytes) {
        s->reserve.tight = hx_reserve_release(s);
        hx_seg_touch(s);
    }
    if (s->reserve.tight && !s->log.batch.len)
        compact(s, &r, piece(s));
    return false;
}

/*
 * What is copied twice before it is durable would stay twice: so only when nothing waits for the flush.  A load that
 * makes chains long all the time has images to be made in every tick; when there is too much (B7) every second one is
 * left to compaction, which cannot choose a file while images wait.
 */
static bool copy(struct hx_seg *s)
{
    struct hx_seg_work *w = &s->work;
    bool more = false;
    if (s->log.batch.len)
        return false;
    struct room r = measure(s);
    s->log.close_at = close_at(&r);
    size_t most = piece(s);
    w->imaged = w->todo_count && !(w->imaged && too_much(&r));
    if (w->imaged && most) {
        more |= materialise(s, most / HX_PAGE_SIZE) == 0;
        pay(s, most);
    }
    more |= sweep(s);
    more |= !most || compact(s, &r, most);
    w->put_ms = w->ticked_ms;
    return more;
}

bool hx_space_waits(const struct hx_seg *s, uint64_t now_ms)
{
    return busy(s) && s->log.batch.len && !s->meta_dirty && now_ms - s->work.put_ms < WORK_MS;
}

unsigned hx_space_pause(const struct hx_seg *s)
{
    return busy(s) ? WORK_BUSY_MS : WORK_MS;
}

static bool reuse(struct hx_seg *s)
{
    if (!s->reuse.active)
        return false;
    struct room r = measure(s);
    return hx_reuse_work(s, too_much(&r), r.quiet);
}

bool hx_space_work(struct hx_seg *s, uint64_t now_ms)
{
    struct hx_seg_work *w = &s->work;
    if (s->error)
        return false;
    notice_quiet(s, now_ms);
    int saved = save_sides(s);
    bool more = saved == 0, again = reuse(s);
    if (s->error)
        return false;
    if (s->nospace) {
        w->copied = false;
        return work_full(s);
    }
    more |= hx_reserve_work(s);
    bool one = busy(s); /* B6 */
    if (one && more)
        return !s->error;
    more |= saved > 0 || again;
    if (!one) /* before there is something in the batch, for then no file is closed, and what is dead waits for that */
        more |= delete_dead(s);
    if (!one || !w->copied) {
        more |= copy(s);
        w->copied = s->log.batch.len > 0;
        if (one && w->copied)
            return true;
    }
    more |= (one && delete_dead(s)) || w->copied;
    if ((!one || !s->meta_dirty) && !s->filling) /* its chain is not what a start would begin with */
        more |= hx_ckpt_work(s);
    w->copied &= !one;
    return more && !s->error;
}
