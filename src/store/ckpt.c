/*
 * ckpt.c - the checkpoint: the index and the chain as they were, so that a restart reads it and the files since,
 * instead of the sidecars of all files (bytes: doc/FORMAT.md).
 *
 * It is a shortcut, never a source: everything in it can be found in log files and sidecars, nothing is deleted because
 * it is in a checkpoint, and whatever does not fit makes the restart read the sidecars, as if there were none.
 *
 * Written now and then by background work, in pieces, while the segment goes on.  Let T be the open file and H the hint
 * when it was begun:
 *   K1 Begun only when every file before T has a sidecar and nothing is known to be damaged; given up when damage is
 *      found, or the disk is full, before it is whole.  What is in the index is durable, so what is written is.
 *   K2 Chain (anchor, spans, held records) is as of the beginning.  Of the pages, visited one by one, it has the
 *      versions at or below H: nothing can annul them.  What is above H is held, and so in the list of held records, or
 *      comes later, and so is in T or behind.
 *   K3 A restart takes it only when every file before T is as it was then (length, sidecar) or gone, T and all behind
 *      were read without damage, and the log is no shorter than what was durable when it was begun (T) and when it was
 *      whole (END): a page that was visited in between may have nothing but an image above H, as what that image
 *      superseded is not in the index any more.  Were the image lost with the log's end (a write that the disk
 *      dropped), the page would be one that never was; the sidecars still have what was before.  Then T and all behind
 *      are applied on top, as a restart without it would: what is there twice is dropped (apply.c A3).
 *   K4 So an old checkpoint is as good as a new one, only slower.  A version in a file that is gone was copied or
 *      superseded before that file went (space.c B1), by something in a file at or behind T: it is left out.
 *      That holds for what the index came from.  After a start that did not take a checkpoint which is there, or could
 *      not be read just then, the index may know a record by another copy, in a file before T (it came twice): such a
 *      checkpoint is removed, durably, before any log file goes.
 *   K5 Every block has a checksum over its content, its number, the segment and the generation: damaged, swapped,
 *      stale and mixed blocks are all the same, no checkpoint.
 * Two files in turn, the older one is overwritten, so that a crash at any point leaves the other one; it is removed
 * when the new one is durable.  A flush that fails here poisons nothing: the file goes.
 * Memory: one block while it is written or read.
 */
#include "store.h"

#include <stdlib.h>

#define MAGIC 0x31435848u       /* "HXC1" */
#define BLOCK_MAGIC 0x42435848u /* "HXCB" */
#define VERSION 1u
#define HELD_MAX (64u << 10) /* with more there is no checkpoint now: they are written in one go */
#define PIECE_BLOCKS 64u     /* written between two requests */
#define PIECE_PAGES (64u << 10)
#define LOG_FACTOR 32u       /* bytes of log behind a checkpoint, for each of its own, before the next one */
#define LOG_FILES 4u         /* and so many files at least */
#define SMALL (1u << 20)     /* log files that only tests and the simulator make so small: each brings one */
_Static_assert(HX_CKPT_BLOCK % 4096 == 0 && HX_CKPT_HEAD <= HX_CKPT_START, "layout");

/* ---- bytes ---- */
void hx_ckpt_head_encode(const struct hx_ckpt_head *h, uint8_t out[HX_CKPT_HEAD])
{
    struct hx_enc e = hx_enc_init(out, HX_CKPT_HEAD);
    hx_enc_u32(&e, MAGIC);
    hx_enc_u16(&e, VERSION);
    hx_enc_u16(&e, 0);
    hx_enc_u64(&e, h->generation);
    hx_enc_u32(&e, h->salt);
    hx_enc_u32(&e, h->blocks);
    hx_enc_u64(&e, h->tail);
    hx_enc_u64(&e, h->tail_end);
    hx_enc_u64(&e, h->hint);
    hx_enc_u64(&e, h->anchor);
    hx_enc_u64(&e, h->oldest);
    hx_enc_u64(&e, h->pages);
    hx_enc_u32(&e, 0);
    hx_enc_u32(&e, hx_crc32c(0, out, HX_CKPT_HEAD - 4));
    hx_assert(!e.err && e.len == HX_CKPT_HEAD);
}

int hx_ckpt_head_decode(const uint8_t *p, size_t len, struct hx_ckpt_head *ret)
{
    struct hx_dec d = hx_dec_init(p, len);
    int err = hx_version_check(p, len, MAGIC, VERSION, HX_CKPT_HEAD - 4);
    if (err == HX_E_CORRUPT)
        return err;
    hx_dec_u64(&d);
    struct hx_ckpt_head h = {.generation = hx_dec_u64(&d)};
    ret->salt = h.salt = hx_dec_u32(&d);
    if (err)
        return err;
    h.blocks = hx_dec_u32(&d);
    h.tail = hx_dec_u64(&d);
    h.tail_end = hx_dec_u64(&d);
    h.hint = hx_dec_u64(&d);
    h.anchor = hx_dec_u64(&d);
    h.oldest = hx_dec_u64(&d);
    h.pages = hx_dec_u64(&d);
    if (h.anchor > h.hint || h.tail < HX_LOG_FIRST_ID || h.hint == UINT64_MAX)
        return HX_E_CORRUPT;
    *ret = h;
    return 0;
}

/* K5.  The block's bytes from its generation on. */
static uint32_t block_crc(const uint8_t *p, uint32_t salt)
{
    uint8_t s[4];
    hx_put_u32(s, salt);
    return hx_crc32c(hx_crc32c(0, s, sizeof s), p + 8, HX_CKPT_BLOCK - 8);
}

void hx_ckpt_block_seal(uint8_t *p, const struct hx_ckpt_head *h, uint32_t number, uint16_t kind, uint32_t len)
{
    hx_assert(len <= HX_CKPT_ROOM);
    hx_put_u32(p, BLOCK_MAGIC);
    hx_put_u64(p + 8, h->generation);
    hx_put_u32(p + 16, number);
    hx_put_u16(p + 20, kind);
    hx_put_u16(p + 22, 0);
    hx_put_u32(p + 24, len);
    hx_put_u32(p + 28, 0);
    memset(p + HX_CKPT_BLOCK_HEAD + len, 0, HX_CKPT_ROOM - len);
    hx_put_u32(p + 4, block_crc(p, h->salt));
}

int hx_ckpt_block_check(const uint8_t *p, const struct hx_ckpt_head *h, uint32_t number, uint16_t *ret_kind,
                        uint32_t *ret_len)
{
    if (hx_get_u32(p) != BLOCK_MAGIC || hx_get_u32(p + 4) != block_crc(p, h->salt) ||
        hx_get_u64(p + 8) != h->generation || hx_get_u32(p + 16) != number || hx_get_u32(p + 24) > HX_CKPT_ROOM)
        return HX_E_CORRUPT;
    *ret_kind = hx_get_u16(p + 20);
    *ret_len = hx_get_u32(p + 24);
    return 0;
}

static void version_encode(struct hx_enc *e, uint32_t page, const struct hx_version *v, uint64_t file)
{
    hx_enc_u32(e, page);
    hx_enc_u32(e, (uint32_t)file);
    hx_enc_u64(e, v->lsn);
    hx_enc_u32(e, v->pos);
    hx_enc_u32(e, v->at);
    hx_enc_u32(e, v->sum);
    hx_enc_u16(e, v->len);
    hx_enc_u8(e, v->kind);
    hx_enc_u8(e, v->codec);
}

int hx_ckpt_version_decode(struct hx_dec *d, uint64_t pages, uint32_t *ret_page, struct hx_version *ret)
{
    uint32_t page = hx_dec_u32(d);
    struct hx_version v = {.file = hx_dec_u32(d)};
    v.lsn = hx_dec_u64(d);
    v.pos = hx_dec_u32(d);
    v.at = hx_dec_u32(d);
    v.sum = hx_dec_u32(d);
    v.len = hx_dec_u16(d);
    v.kind = hx_dec_u8(d);
    v.codec = hx_dec_u8(d);
    if (d->err || page >= pages || v.kind < HX_REC_PATCH || v.kind > HX_REC_SPARSE || v.codec > 1 ||
        v.len > HX_PAGE_SIZE || (v.codec ? v.at >= HX_FRAME_RECORDS_MAX || v.len % 256 || v.pos % 8 : v.at != 0))
        return HX_E_CORRUPT;
    *ret_page = page;
    *ret = v;
    return 0;
}

static uint64_t file_id(unsigned turn)
{
    return HX_CKPT_FILE + turn % 2;
}

/* ---- writing ---- */
static void give_up(struct hx_seg *s)
{
    struct hx_seg_ckpt *c = &s->ckpt;
    if (c->active)
        hx_seg_discard(s, file_id((unsigned)c->head.generation));
    c->active = c->flushing = false;
    free(c->block);
    c->block = NULL;
}

void hx_ckpt_fini(struct hx_seg *s)
{
    free(s->ckpt.block);
    s->ckpt = (struct hx_seg_ckpt){0};
}

void hx_ckpt_disown(struct hx_seg *s)
{
    struct hx_seg_ckpt *c = &s->ckpt;
    for (unsigned i = 0; i < 2; i++) {
        if (!c->strange[i])
            continue;
        if (c->active && c->head.generation % 2 == i)
            give_up(s);
        s->meta_dirty = true; /* a removal is durable with the next flush (disk.h D2): deletions wait for it */
        if (s->disk->ops->remove(s->disk, file_id(i)))
            return;
        c->strange[i] = false;
        if (c->good % 2 == i)
            c->good = c->bytes = 0;
    }
}

/* The block that is being filled goes to the disk.  After an error nothing more does: .err tells in the end. */
static void put_block(struct hx_seg *s)
{
    struct hx_seg_ckpt *c = &s->ckpt;
    uint64_t off = HX_CKPT_START + (uint64_t)c->head.blocks * HX_CKPT_BLOCK;
    if (!c->used)
        return;
    hx_ckpt_block_seal(c->block, &c->head, c->head.blocks, c->kind, c->used);
    if (!c->err)
        c->err = s->disk->ops->write(s->disk, file_id((unsigned)c->head.generation), off, c->block, HX_CKPT_BLOCK);
    c->head.blocks++;
    c->used = 0;
}

/* Room for an item of LEN bytes of KIND. */
static struct hx_enc item(struct hx_seg *s, enum hx_ckpt_kind kind, size_t len)
{
    struct hx_seg_ckpt *c = &s->ckpt;
    if (c->kind != kind || c->used + len > HX_CKPT_ROOM)
        put_block(s);
    c->kind = (uint16_t)kind;
    c->used += (uint32_t)len;
    return hx_enc_init(c->block + HX_CKPT_BLOCK_HEAD + c->used - len, len);
}

static void put_files(struct hx_seg *s)
{
    for (size_t i = 0; i < s->log.slot_count; i++) {
        const struct hx_logfile *f = s->log.files[i];
        if (!f || f->id >= s->ckpt.head.tail)
            continue;
        struct hx_enc e = item(s, HX_CKPT_FILES, HX_CKPT_FILE_BYTES);
        hx_enc_u64(&e, f->id);
        hx_enc_u64(&e, f->end);
        hx_enc_u32(&e, f->side_crc);
        hx_enc_u32(&e, 0);
    }
}

static void put_chain(struct hx_seg *s)
{
    const struct hx_chain *c = &s->chain;
    for (size_t i = 0; i < c->span_count; i++) {
        struct hx_enc e = item(s, HX_CKPT_SPANS, HX_CKPT_SPAN_BYTES);
        hx_enc_u64(&e, c->spans[i].prev);
        hx_enc_u64(&e, c->spans[i].last);
    }
    for (size_t i = 0; i < c->held_count; i++) {
        const struct hx_held *r = &c->held[c->held_at + i];
        struct hx_enc e = item(s, HX_CKPT_HELD, HX_CKPT_HELD_BYTES);
        struct hx_version v = {.lsn = r->lsn, .pos = r->pos, .at = r->at, .sum = r->sum, .len = r->len,
                               .kind = r->kind, .codec = r->codec};
        version_encode(&e, r->page, &v, s->log.files[r->file]->id);
        hx_enc_u64(&e, r->prev);
        hx_enc_u64(&e, r->epoch);
        hx_enc_u32(&e, r->flags);
        hx_enc_u32(&e, 0);
    }
}

/* K3: how far the log is durable by now. */
static void put_end(struct hx_seg *s)
{
    const struct hx_logfile *last = NULL;
    for (size_t i = 0; i < s->log.slot_count; i++) {
        const struct hx_logfile *f = s->log.files[i];
        last = f && (!last || f->id > last->id) ? f : last;
    }
    bool tail = last && s->log.tail != HX_NONE && last == s->log.files[s->log.tail];
    struct hx_enc e = item(s, HX_CKPT_END, HX_CKPT_END_BYTES);
    hx_enc_u64(&e, last ? last->id : 0);
    hx_enc_u64(&e, !last ? 0 : tail ? last->durable : last->end);
    hx_enc_u64(&e, last && last->min_lsn <= last->max_lsn ? last->max_lsn : 0);
}

/* K1 */
static bool sound(const struct hx_seg *s)
{
    bool good = !s->unknown_count && !s->log.endless && !s->nospace && !s->error;
    for (size_t i = 0; i < s->log.slot_count && good; i++) {
        const struct hx_logfile *f = s->log.files[i];
        good = !f || !(f->damaged || f->rotten);
    }
    return good;
}

static bool due(const struct hx_seg *s)
{
    uint64_t log = 0, file = hx_seg_file_bytes(s), most = file < SMALL ? file : LOG_FILES * file,
             own = file < SMALL ? 0 : LOG_FACTOR * HX_CKPT_VERSION_BYTES * s->index.versions;
    for (size_t i = 0; i < s->log.slot_count; i++) {
        const struct hx_logfile *f = s->log.files[i];
        if (!f)
            continue;
        if (f->sealed && !f->sided)
            return false;
        log += f->id >= s->ckpt.since ? f->end : 0;
    }
    return log >= (own > most ? own : most) && s->chain.held_count <= HELD_MAX;
}

static int begin(struct hx_seg *s)
{
    struct hx_seg_ckpt *c = &s->ckpt;
    const struct hx_logfile *tail = s->log.tail != HX_NONE ? s->log.files[s->log.tail] : NULL;
    c->block = malloc(HX_CKPT_BLOCK);
    if (!c->block)
        return HX_E_NOMEM;
    uint64_t generation = c->head.generation + 1;
    generation += c->good && generation % 2 == c->good % 2; /* the good one is not overwritten */
    c->head = (struct hx_ckpt_head){
        .generation = generation, .salt = hx_log_salt(&s->at, &s->env->server), .hint = s->chain.hint,
        .anchor = s->chain.anchor, .tail = tail ? tail->id : s->log.next_id, .tail_end = tail ? tail->durable : 0,
        .pages = hx_geometry_pg_pages(&s->meta.geometry)};
    c->active = true;
    c->since = c->head.tail;
    c->page = c->used = 0;
    c->err = 0;
    put_files(s);
    put_chain(s);
    return c->err;
}

static void put_page(struct hx_seg *s, uint32_t page)
{
    struct hx_version v;
    for (struct hx_index_walk w = hx_index_walk(&s->index, page); hx_index_next(&w, &v);) {
        if (v.lsn > s->ckpt.head.hint) /* K2 */
            continue;
        struct hx_enc e = item(s, HX_CKPT_VERSIONS, HX_CKPT_VERSION_BYTES);
        version_encode(&e, page, &v, s->log.files[v.file]->id);
    }
}

/* The last block, and the head, which says how many there are; when that is durable it counts. */
static int write_head(struct hx_seg *s)
{
    struct hx_seg_ckpt *c = &s->ckpt;
    uint8_t head[HX_CKPT_HEAD];
    uint64_t id = file_id((unsigned)c->head.generation);
    put_end(s);
    put_block(s);
    c->head.oldest = s->oldest;
    hx_ckpt_head_encode(&c->head, head);
    int err = c->err;
    return err ? err : s->disk->ops->write(s->disk, id, 0, head, sizeof head);
}

/* Now it counts.  The other one may come back after a crash: K4. */
static void finish(struct hx_seg *s)
{
    struct hx_seg_ckpt *c = &s->ckpt;
    hx_seg_discard(s, file_id((unsigned)c->head.generation + 1));
    c->active = false;
    c->strange[c->head.generation % 2] = false;
    c->good = c->head.generation;
    c->bytes = HX_CKPT_START + (uint64_t)c->head.blocks * HX_CKPT_BLOCK;
    free(c->block);
    c->block = NULL;
}

static int flush(struct hx_seg *s)
{
    struct hx_seg_ckpt *c = &s->ckpt;
    int err = hx_seg_flush_beside(s, file_id((unsigned)c->head.generation));
    c->flushing = err > 0;
    if (!err && c->page == c->head.pages)
        finish(s);
    return err < 0 ? err : 0;
}

static int go_on(struct hx_seg *s)
{
    struct hx_seg_ckpt *c = &s->ckpt;
    if (c->flushing)
        return flush(s);
    uint64_t last = c->page + PIECE_PAGES < c->head.pages ? c->page + PIECE_PAGES : c->head.pages;
    uint32_t until = c->head.blocks + PIECE_BLOCKS, from = c->head.blocks;
    for (; c->page < last && c->head.blocks < until; c->page++)
        put_page(s, (uint32_t)c->page);
    bool last_one = c->page == c->head.pages;
    int err = last_one ? write_head(s) : c->err;
    if (err || (!last_one && c->head.blocks == from))
        return err;
    return flush(s); /* of each piece, lest the last one has it all */
}

bool hx_ckpt_work(struct hx_seg *s)
{
    struct hx_seg_ckpt *c = &s->ckpt;
    int err;
    if (c->active && !sound(s)) {
        give_up(s);
        return false;
    }
    if (!c->active) {
        if (!due(s) || !sound(s))
            return false;
        err = begin(s);
    } else {
        err = go_on(s);
    }
    if (err) /* another time; the log behind the last one has to grow no further for that */
        give_up(s);
    return c->active;
}

/* ---- reading ---- */
struct reading {
    struct hx_seg *s;
    struct hx_ckpt_head head;
    uint64_t last_span;
    bool whole; /* END was there */
};

static uint32_t slot_of(const struct hx_seg *s, uint64_t id)
{
    size_t lo = 0, hi = s->log.slot_count; /* at a restart slots ascend by number */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->log.files[mid]->id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < s->log.slot_count && s->log.files[lo]->id == id ? (uint32_t)lo : HX_NONE;
}

/* The number of its file becomes a slot (HX_NONE: gone).  HX_E_CORRUPT: it is not that long (K3). */
static int locate(const struct hx_seg *s, struct hx_version *v)
{
    v->file = slot_of(s, v->file);
    if (v->file == HX_NONE)
        return 0;
    uint64_t need = v->codec ? HX_LOG_ENV + HX_FRAME_HEAD : v->len;
    return v->pos + need <= s->log.files[v->file]->end ? 0 : HX_E_CORRUPT;
}

static int take_version(struct reading *r, struct hx_dec *d)
{
    struct hx_version v;
    uint32_t page;
    int err = hx_ckpt_version_decode(d, r->head.pages, &page, &v);
    if (!err)
        err = v.lsn > r->head.hint ? HX_E_CORRUPT : locate(r->s, &v);
    if (!err && v.file == HX_NONE) /* K4; nothing above the base was ever deleted: such a file is lost */
        return v.lsn <= r->s->meta.base.v ? 0 : HX_E_CORRUPT;
    if (err)
        return err;
    return hx_index_insert(r->s, page, &v, false, false);
}

static int take_held(struct reading *r, struct hx_dec *d)
{
    struct hx_seg *s = r->s;
    struct hx_version v;
    uint32_t page;
    int err = hx_ckpt_version_decode(d, r->head.pages, &page, &v);
    struct hx_held h = {.prev = hx_dec_u64(d), .epoch = hx_dec_u64(d)};
    uint32_t flags = hx_dec_u32(d);
    hx_dec_u32(d);
    if (!err && (d->err || flags & ~HX_REC_CPL || h.prev >= v.lsn || v.lsn <= r->head.hint))
        err = HX_E_CORRUPT;
    if (!err)
        err = locate(s, &v);
    if (err)
        return err;
    if (v.file == HX_NONE) /* a file goes when the chain is complete beyond it (B1) */
        return v.lsn <= s->meta.base.v ? 0 : HX_E_CORRUPT;
    h.lsn = v.lsn;
    h.page = page;
    h.sum = v.sum;
    h.file = v.file;
    h.pos = v.pos;
    h.at = v.at;
    h.len = v.len;
    h.kind = v.kind;
    h.codec = v.codec;
    h.flags = (uint8_t)flags;
    return hx_apply_held(s, &h, false);
}

static int take_span(struct reading *r, struct hx_dec *d)
{
    uint64_t prev = hx_dec_u64(d), last = hx_dec_u64(d);
    if (d->err || prev >= last || prev < r->last_span || last > r->head.hint)
        return HX_E_CORRUPT;
    r->last_span = last;
    return last <= r->s->chain.scl ? 0 : hx_chain_span(&r->s->chain, prev, last);
}

/* K3: a file before T. */
static int take_file(struct reading *r, struct hx_dec *d)
{
    uint64_t id = hx_dec_u64(d), end = hx_dec_u64(d);
    uint32_t crc = hx_dec_u32(d), slot = slot_of(r->s, id);
    hx_dec_u32(d);
    if (d->err || id >= r->head.tail)
        return HX_E_CORRUPT;
    if (slot == HX_NONE)
        return 0;
    struct hx_logfile *f = r->s->log.files[slot];
    f->in_ckpt = f->end == end && f->side_crc == crc; /* it has a sidecar: fits() looked */
    return f->in_ckpt ? 0 : HX_E_CORRUPT;
}

/* K3.  A file that is gone was deleted, as the base says, or lost. */
static int take_end(struct reading *r, struct hx_dec *d)
{
    uint64_t id = hx_dec_u64(d), end = hx_dec_u64(d), lsn = hx_dec_u64(d);
    uint32_t slot = slot_of(r->s, id);
    if (d->err || r->whole)
        return HX_E_CORRUPT;
    r->whole = true;
    if (slot != HX_NONE)
        return r->s->log.files[slot]->end >= end ? 0 : HX_E_CORRUPT;
    return end == 0 || r->s->meta.base.v >= lsn ? 0 : HX_E_CORRUPT;
}

static int take_block(struct reading *r, uint16_t kind, const uint8_t *p, size_t len)
{
    static int (*const take[HX_CKPT_KINDS])(struct reading *, struct hx_dec *) = {
        [HX_CKPT_VERSIONS] = take_version, [HX_CKPT_HELD] = take_held, [HX_CKPT_SPANS] = take_span,
        [HX_CKPT_FILES] = take_file, [HX_CKPT_END] = take_end};
    struct hx_dec d = hx_dec_init(p, len);
    int err = kind < HX_CKPT_KINDS && take[kind] ? 0 : HX_E_CORRUPT;
    while (!err && d.off < d.len)
        err = take[kind](r, &d);
    return err;
}

static int read_blocks(struct reading *r, uint64_t id)
{
    struct hx_seg *s = r->s;
    uint8_t *p = malloc(HX_CKPT_BLOCK);
    int err = p ? 0 : HX_E_NOMEM;
    for (uint32_t i = 0; i < r->head.blocks && !err; i++) {
        size_t got = 0;
        uint16_t kind;
        uint32_t len;
        err = s->disk->ops->read(s->disk, id, HX_CKPT_START + (uint64_t)i * HX_CKPT_BLOCK, p, HX_CKPT_BLOCK, &got);
        if (!err && got < HX_CKPT_BLOCK)
            err = HX_E_CORRUPT;
        if (!err)
            err = hx_ckpt_block_check(p, &r->head, i, &kind, &len);
        if (!err)
            err = take_block(r, kind, p + HX_CKPT_BLOCK_HEAD, len);
    }
    free(p);
    return err;
}

/* K3, what can be said before its blocks are read. */
static bool fits(const struct hx_seg *s, const struct hx_ckpt_head *h)
{
    if (h->tail < s->meta.first_file)
        return false; /* T4 of retire.c */
    if (h->salt != hx_log_salt(&s->at, &s->env->server) || h->pages != hx_geometry_pg_pages(&s->meta.geometry))
        return false;
    bool tail = h->tail_end == 0;
    for (size_t i = 0; i < s->log.slot_count; i++) {
        const struct hx_logfile *f = s->log.files[i];
        tail |= f->id == h->tail;
        if (f->damaged || (f->id == h->tail && f->end < h->tail_end) || (f->id < h->tail && !f->sided))
            return false;
    }
    /* T was deleted since, as the base says, or a flush that did nothing took it: then the sidecars tell. */
    return tail || s->meta.base.v >= h->anchor;
}

/* All of it, or an error: then index and chain are to be made anew. */
static int take_all(struct hx_seg *s, const struct hx_ckpt_head *h, uint64_t id)
{
    struct reading r = {.s = s, .head = *h};
    struct hx_chain *c = &s->chain;
    c->hint = h->hint > c->hint ? h->hint : c->hint;
    c->anchor = c->scl = h->anchor > c->anchor ? h->anchor : c->anchor;
    s->oldest = h->oldest > s->oldest ? h->oldest : s->oldest;
    s->proof->scl = h->anchor > s->proof->scl ? h->anchor : s->proof->scl; /* load.c R5: of what came since */
    for (size_t i = 0; i < s->log.slot_count; i++)
        s->log.files[i]->in_ckpt = false;
    s->loading = true;
    int err = read_blocks(&r, id);
    s->loading = false;
    if (!err && !r.whole)
        err = HX_E_CORRUPT; /* as older programs wrote them */
    for (size_t i = 0; i < s->log.slot_count && !err; i++)
        if (s->log.files[i]->id < h->tail && !s->log.files[i]->in_ckpt)
            err = HX_E_CORRUPT; /* it is not from that log */
    hx_chain_advance(c);
    return err;
}

int hx_ckpt_load(struct hx_seg *s, void (*again)(struct hx_seg *s, const struct hx_load_pass *p),
                 const struct hx_load_pass *p, uint64_t *ret_tail)
{
    struct hx_seg_ckpt *c = &s->ckpt;
    struct hx_ckpt_head h[2];
    bool there[2] = {false, false};
    *ret_tail = 0;
    for (unsigned i = 0; i < 2; i++) {
        uint8_t b[HX_CKPT_HEAD];
        size_t got = 0;
        int err = s->disk->ops->read(s->disk, file_id(i), 0, b, sizeof b, &got);
        c->strange[i] = err != HX_E_NOENT;
        err = err ? err : hx_ckpt_head_decode(b, got, &h[i]);
        if (err == HX_E_VERSION && h[i].salt == hx_log_salt(&s->at, &s->env->server))
            return err; /* it would be overwritten */
        there[i] = !err && h[i].generation % 2 == i;
        if (there[i] && h[i].generation > c->head.generation)
            c->head.generation = h[i].generation; /* the next one is higher, also than one that is no good */
    }
    for (unsigned k = 0; k < 2; k++) {
        unsigned i = there[0] && there[1] ? (h[0].generation > h[1].generation ? k : 1 - k) : k;
        if (!there[i] || !fits(s, &h[i]))
            continue;
        int err = take_all(s, &h[i], file_id(i));
        if (!err) {
            c->since = *ret_tail = h[i].tail;
            c->bytes = HX_CKPT_START + (uint64_t)h[i].blocks * HX_CKPT_BLOCK;
            c->good = c->loaded = h[i].generation;
            c->strange[i] = false;
            c->strange[1 - i] = c->strange[1 - i] && !(there[1 - i] && h[1 - i].generation < h[i].generation);
            return 0;
        }
        if (err != HX_E_CORRUPT && err != HX_E_IO && err != HX_E_NOENT)
            return err;
        again(s, p);
    }
    return 0;
}
