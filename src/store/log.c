/*
 * log.c - the log of a segment: batches in, one write and one flush out (bytes: doc/FORMAT.md).
 *
 *   L1 Nothing of a batch counts (chain, index, answers) before the flush that covers it has returned 0 (I1).
 *   L2 Every entry says where it stands (file, offset, number in the file), which entry it follows (the crc
 *      of that one's envelope), and how much of its file was durable when it was written: so a restart can
 *      tell a torn end from damage, and stale bytes behind the end from entries.
 *   L3 A file ends with an END entry before the next one is begun, and is never written again.
 *   L4 A batch that could not be written for want of space leaves the log as it was: the next one goes to the
 *      same place.  Any other failure of write or flush poisons the segment.
 *
 * Small batches go into space that was filled with zeros ahead, so that a flush has no metadata to write;
 * large ones extend the file.  A file that was one before (reuse.c) has space for both.
 */
#include "store.h"

#include "hexad/mutant.h"

#include <stdlib.h>

uint32_t hx_log_salt(const struct hx_disk_place *at, const struct hx_uuid *server)
{
    uint8_t pg[4];
    hx_put_u32(pg, at->pg);
    uint32_t crc = hx_crc32c(0, at->volume.b, sizeof at->volume.b);
    return hx_crc32c(hx_crc32c(crc, pg, sizeof pg), server->b, sizeof server->b);
}

/* All fields but the crc are read back from an unfinished envelope, too (place_entry). */
static void env_get(const uint8_t *p, struct hx_env *e)
{
    struct hx_dec d = hx_dec_init(p + 4, HX_LOG_ENV - 4);
    e->kind = hx_dec_u8(&d);
    e->flags = hx_dec_u8(&d);
    e->version = hx_dec_u16(&d);
    e->body_len = hx_dec_u32(&d);
    e->seq = hx_dec_u32(&d);
    e->chain = hx_dec_u32(&d);
    e->salt = hx_dec_u32(&d);
    e->file = hx_dec_u64(&d);
    e->off = hx_dec_u64(&d);
    e->durable = hx_dec_u64(&d);
    e->stable = hx_dec_u64(&d);
    e->first = hx_dec_u64(&d);
    e->last = hx_dec_u64(&d);
    e->prev_first = hx_dec_u64(&d);
    e->prev_last = hx_dec_u64(&d);
    uint32_t reach = hx_dec_u32(&d); /* above stable, plus 1 */
    e->highest = reach && reach - 1 <= UINT64_MAX - e->stable ? e->stable + reach - 1 : 0;
}

void hx_env_encode(const struct hx_env *v, uint8_t out[HX_LOG_ENV])
{
    struct hx_enc e = hx_enc_init(out, HX_LOG_ENV);
    hx_enc_u32(&e, HX_LOG_ENV_MAGIC);
    hx_enc_u8(&e, v->kind);
    hx_enc_u8(&e, v->flags);
    hx_enc_u16(&e, HX_LOG_VERSION);
    hx_enc_u32(&e, v->body_len);
    hx_enc_u32(&e, v->seq);
    hx_enc_u32(&e, v->chain);
    hx_enc_u32(&e, v->salt);
    hx_enc_u64(&e, v->file);
    hx_enc_u64(&e, v->off);
    hx_enc_u64(&e, v->durable);
    hx_enc_u64(&e, v->stable);
    hx_enc_u64(&e, v->first);
    hx_enc_u64(&e, v->last);
    hx_enc_u64(&e, v->prev_first);
    hx_enc_u64(&e, v->prev_last);
    hx_assert(!v->highest || v->highest >= v->stable);
    bool reach = v->highest && v->highest - v->stable < UINT32_MAX;
    hx_enc_u32(&e, reach ? (uint32_t)(v->highest - v->stable) + 1 : 0);
    hx_enc_u32(&e, hx_crc32c(0, out, HX_LOG_ENV - 4));
    hx_assert(!e.err && e.len == HX_LOG_ENV);
}

int hx_env_decode(const uint8_t *p, struct hx_env *ret)
{
    if (hx_get_u32(p) != HX_LOG_ENV_MAGIC || hx_get_u32(p + HX_LOG_ENV - 4) != hx_crc32c(0, p, HX_LOG_ENV - 4))
        return HX_E_BADMSG;
    env_get(p, ret);
    if (ret->version > HX_LOG_VERSION)
        return HX_E_VERSION;
    bool whole = ret->kind == HX_ENV_FRAME || ret->kind == HX_ENV_LOCAL;
    if (hx_get_u32(p + HX_LOG_ENV - 8) && !ret->highest)
        return HX_E_BADMSG; /* no entry reaches beyond the last LSN */
    if (ret->kind < HX_ENV_FRAME || ret->kind > HX_ENV_END || ret->body_len > HX_FRAME_MAX ||
        whole != (ret->body_len > 0))
        return HX_E_BADMSG;
    /* What damage may have held is taken from here: a range the wrong way round would be in no inventory. */
    if (ret->last < ret->first || ret->prev_last < ret->prev_first || ret->stable == UINT64_MAX)
        return HX_E_BADMSG;
    return 0;
}

/* ---- files ---- */
int hx_log_slot(struct hx_log *l, struct hx_logfile *f, uint32_t *ret)
{
    size_t i = 0;
    while (i < l->slot_count && l->files[i])
        i++;
    if (i == l->slot_count) {
        int err = hx_buf_grow(&l->files, &l->slot_cap, l->slot_count, sizeof *l->files);
        if (err)
            return err;
        l->slot_count++;
    }
    l->files[i] = f;
    *ret = (uint32_t)i;
    return 0;
}

void hx_log_fini(struct hx_log *l)
{
    for (size_t i = 0; i < l->slot_count; i++) {
        if (l->files[i])
            hx_buf_fini(&l->files[i]->side);
        free(l->files[i]);
    }
    free(l->files);
    hx_buf_fini(&l->batch);
    hx_buf_fini(&l->side);
    *l = (struct hx_log){.tail = HX_NONE};
}

void hx_log_note(struct hx_logfile *f, uint64_t first, uint64_t last)
{
    f->min_lsn = first < f->min_lsn ? first : f->min_lsn;
    f->max_lsn = last > f->max_lsn ? last : f->max_lsn;
}

static int new_tail(struct hx_seg *s)
{
    if (s->log.tail != HX_NONE)
        return 0;
    struct hx_logfile *f = calloc(1, sizeof *f);
    if (!f)
        return HX_E_NOMEM;
    f->id = s->log.next_id;
    f->min_lsn = UINT64_MAX;
    int err = hx_log_slot(&s->log, f, &s->log.tail);
    if (err) {
        free(f);
        return err;
    }
    s->log.next_id++;
    hx_reuse_give(s, f);
    return 0;
}

int hx_log_read(struct hx_seg *s, uint32_t slot, uint64_t off, void *buf, size_t len)
{
    size_t got = 0;
    int err = s->disk->ops->read(s->disk, s->log.files[slot]->id, off, buf, len, &got);
    if (err == HX_E_NOENT || (!err && got < len))
        return HX_E_CORRUPT;
    return err;
}

/* ---- batches ---- */
static void believe(struct hx_seg *s, const struct hx_frame_head *h)
{
    struct hx_log *l = &s->log;
    l->batch_vdl = h->vdl.v > l->batch_vdl ? h->vdl.v : l->batch_vdl;
    l->batch_floor = h->floor.v > l->batch_floor ? h->floor.v : l->batch_floor;
    l->batch_gc = h->gc.v > l->batch_gc ? h->gc.v : l->batch_gc;
}

int hx_log_describe(struct hx_seg *s, const struct hx_frame_head *h, const uint8_t *body, struct hx_side_frame *f,
                    struct hx_buf *side)
{
    const uint8_t *raw;
    size_t was = side->len;
    uint64_t pages = hx_geometry_pg_pages(&s->meta.geometry);
    if (!hx_uuid_eq(&h->volume, &s->at.volume) || h->pg != s->at.pg)
        return HX_E_BADMSG;
    int err = hx_frame_open(s->env->opener, h, body, s->env->raw, &raw);
    uint8_t *p = err ? NULL : hx_buf_add(side, HX_LOG_SIDE_FRAME + (size_t)h->count * HX_LOG_SIDE_REC);
    if (!p)
        return err ? err : HX_E_NOMEM;
    f->count = h->count;
    f->len = (uint32_t)hx_frame_bytes(h);
    f->raw_len = h->raw_len;
    f->body_len = h->body_len;
    f->body_crc = h->body_crc;
    f->codec = h->codec;
    f->first = h->first.v;
    f->last = h->last.v;
    f->prev = h->prev.v;
    f->epoch = h->epoch.v;
    hx_side_frame_encode(f, p);
    p += HX_LOG_SIDE_FRAME;
    struct hx_frame_walk w;
    struct hx_rec r;
    hx_frame_walk_init(&w, h, raw);
    while ((err = hx_frame_walk_next(&w, &r)) > 0) {
        struct hx_side_rec d = {(uint32_t)(r.lsn.v - f->first), r.page, hx_store_sum(r.kind, r.page, r.payload, r.len),
                                r.len, r.kind, r.flags};
        if (r.page >= pages)
            break;
        hx_side_rec_encode(&d, p);
        p += HX_LOG_SIDE_REC;
    }
    if (err) {
        side->len = was;
        return err < 0 ? err : HX_E_BADMSG;
    }
    return 0;
}

int hx_log_put(struct hx_seg *s, enum hx_env_kind kind, uint8_t flags, const uint8_t *frame, size_t len)
{
    struct hx_log *l = &s->log;
    struct hx_frame_head h;
    int err = hx_frame_head_decode(frame, len, &h);
    hx_assert(!err && hx_frame_bytes(&h) == len); /* who calls has looked at the head, or made it */
    size_t n = hx_env_bytes((uint32_t)len);
    if (!l->batch.p && len >= HX_PAGE_SIZE) {
        l->batch = s->env->spare;
        s->env->spare = (struct hx_buf){0};
    }
    err = hx_buf_reserve(&l->batch, n);
    struct hx_side_frame f = {.off = (uint32_t)l->batch.len, .kind = (uint8_t)kind, .flags = flags};
    if (!err)
        err = hx_log_describe(s, &h, frame + HX_FRAME_HEAD, &f, &l->side);
    if (err)
        return err;
    uint8_t *p = hx_buf_add(&l->batch, n);
    struct hx_env e = {
        .kind = (uint8_t)kind, .flags = flags, .body_len = (uint32_t)len, .first = f.first, .last = f.last};
    hx_env_encode(&e, p);
    memcpy(p + HX_LOG_ENV, frame, len);
    memset(p + HX_LOG_ENV + len, 0, n - HX_LOG_ENV - len);
    l->taken += kind == HX_ENV_FRAME;
    l->taken_bytes += kind == HX_ENV_FRAME ? len : 0;
    l->fresh += kind == HX_ENV_FRAME ? len : 0;
    if (flags & HX_ENV_BELIEVED)
        believe(s, &h);
    return 0;
}

/* An entry without a body at the end of the batch. */
static int put_bare(struct hx_seg *s, enum hx_env_kind kind)
{
    uint8_t *p = hx_buf_add(&s->log.batch, HX_LOG_ENV);
    if (!p)
        return HX_E_NOMEM;
    struct hx_env e = {.kind = (uint8_t)kind};
    hx_env_encode(&e, p);
    return 0;
}

/* Completes the envelopes of LEN bytes at P that will stand at OFF of the tail; F follows (L2). */
static void place(struct hx_seg *s, struct hx_logfile *f, uint8_t *p, size_t len, uint64_t off)
{
    uint32_t salt = hx_log_salt(&s->at, &s->env->server);
    struct hx_log *l = &s->log;
    for (size_t at = 0; at < len;) {
        struct hx_env e;
        env_get(p + at, &e);
        e.seq = ++f->seq;
        e.chain = f->chain;
        e.salt = salt;
        e.file = f->id;
        e.off = off + at;
        e.durable = f->durable;
        e.stable = f->stable = s->chain.anchor;
        l->highest = e.stable > l->highest ? e.stable : l->highest;
        e.highest = l->endless ? 0 : l->highest;
        l->highest = e.last > l->highest ? e.last : l->highest;
        e.prev_first = f->prev_first;
        e.prev_last = f->prev_last;
        hx_env_encode(&e, p + at);
        f->chain = hx_get_u32(p + at + HX_LOG_ENV - 4);
        f->prev_first = e.first;
        f->prev_last = e.last;
        at += hx_env_bytes(e.body_len);
    }
}

uint64_t hx_log_close_at(const struct hx_seg *s)
{
    uint64_t most = hx_seg_file_bytes(s);
    return s->log.close_at && s->log.close_at < most ? s->log.close_at : most;
}

/*
 * Twice as much each time that small batches have used up what there was; a little again after a large one went beyond
 * it, for then zeros were written for nothing, as during a compaction; a little with copies that small ones take along.
 */
static void fill_ahead(struct hx_seg *s, struct hx_logfile *f, size_t batch_len)
{
    static const uint8_t zeros[64u << 10];
    struct hx_log *l = &s->log;
    if (f->filled >= f->end)
        return;
    /* What background work writes need not be quick, and a file that it closes soon should not be larger than it is. */
    if (!l->fresh || l->fresh >= HX_LOG_BULK) {
        f->filled = f->end;
        l->fill = 0;
        return;
    }
    uint32_t first = f->id == HX_LOG_FIRST_ID && f->end < HX_LOG_FILL_FIRST / 2 ? HX_LOG_FILL_FIRST : HX_LOG_FILL_MIN;
    l->fill = l->fill && batch_len < HX_LOG_BULK ? 2 * l->fill : first;
    l->fill = l->fill < HX_LOG_FILL_MAX ? l->fill : HX_LOG_FILL_MAX;
    uint64_t to = (f->end + l->fill / 2) / l->fill * l->fill + l->fill;
    uint64_t limit = hx_log_close_at(s);
    to = to < limit ? to : limit;
    f->filled = f->end;
    while (f->filled < to) {
        size_t n = to - f->filled < sizeof zeros ? (size_t)(to - f->filled) : sizeof zeros;
        if (s->disk->ops->write(s->disk, f->id, f->filled, zeros, n))
            return; /* a full disk: the entries themselves have their place */
        f->filled += n;
    }
}

void hx_log_drop(struct hx_seg *s)
{
    struct hx_log *l = &s->log;
    l->batch.len = l->side.len = 0;
    if (l->batch.cap > HX_LOG_BULK) { /* large buffers go round, one is kept for all segments */
        struct hx_buf *spare = &s->env->spare;
        if (!spare->p) {
            *spare = l->batch;
            l->batch = (struct hx_buf){0};
        }
        hx_buf_fini(&l->batch);
    }
    l->batch_vdl = l->batch_floor = l->batch_gc = 0;
    l->fresh = 0;
}

/* Offsets in the batch become offsets in the file. */
static void shift_side(struct hx_buf *side, uint64_t by)
{
    size_t off = 0;
    struct hx_side_frame f;
    const uint8_t *recs;
    while (off < side->len) {
        uint8_t *p = side->p + off;
        int got = hx_side_next(side->p, side->len, &off, &f, &recs);
        hx_assert(got > 0);
        hx_put_u32(p, (uint32_t)(f.off + by));
    }
}

/* Where there are old bytes a block that is written in part has to be read first: so zeros up to its end are written,
 * too.  How many stand behind the batch. */
static size_t whole_blocks(struct hx_log *l, const struct hx_logfile *f)
{
    uint64_t end = f->end + l->batch.len, left = f->filled > end ? f->filled - end : 0;
    size_t n = f->stale ? (size_t)(-end % HX_PAGE_SIZE) : 0;
    n = n < left ? n : (size_t)left;
    if (!n || hx_buf_reserve(&l->batch, n))
        return 0;
    memset(l->batch.p + l->batch.len, 0, n);
    return n;
}

static int write_batch(struct hx_seg *s, struct hx_logfile *f)
{
    struct hx_log *l = &s->log;
    const struct hx_logfile was = *f;
    size_t zeros = whole_blocks(l, f);
    place(s, f, l->batch.p, l->batch.len, f->end);
    int err = s->disk->ops->write(s->disk, f->id, f->end, l->batch.p, l->batch.len + zeros);
    if (HX_MUTANT(NOSPACE_IGNORED) && err == HX_E_NOSPACE)
        err = 0;
    if (err) {
        *f = was; /* L4 */
        return err;
    }
    f->end += l->batch.len;
    fill_ahead(s, f, l->batch.len);
    return 0;
}

static int flush_file(struct hx_seg *s, const struct hx_logfile *f)
{
    int err = HX_MUTANT(ACK_BEFORE_FLUSH) ? 0 : s->disk->ops->flush(s->disk, f->id);
    if (err && HX_MUTANT(FLUSH_RETRIED))
        err = s->disk->ops->flush(s->disk, f->id);
    return err;
}

/* The batch, the last thing written to F, is durable. */
static void now_durable(struct hx_seg *s, struct hx_logfile *f)
{
    struct hx_log *l = &s->log;
    f->durable = f->end;
    f->vdl = l->batch_vdl > f->vdl ? l->batch_vdl : f->vdl;
    f->floor = l->batch_floor > f->floor ? l->batch_floor : f->floor;
    f->gc = l->batch_gc > f->gc ? l->batch_gc : f->gc;
    shift_side(&l->side, f->end - l->batch.len);
}

static int take_side(struct hx_seg *s, struct hx_logfile *f)
{
    struct hx_log *l = &s->log;
    uint8_t *p = l->side.len ? hx_buf_add(&f->side, l->side.len) : NULL;
    if (l->side.len && !p)
        return HX_E_NOMEM;
    if (p)
        memcpy(p, l->side.p, l->side.len);
    int err = hx_apply_side(s, l->tail, l->side.p, l->side.len, false);
    hx_apply_hint(s, l->batch_vdl);
    hx_apply_floor(s, l->batch_floor, l->batch_gc);
    return err;
}

static int failed(struct hx_seg *s, const struct hx_logfile *f, int err)
{
    if (err != HX_E_NOSPACE && err != HX_E_NOMEM) {
        s->suspect.file = f->id;
        s->suspect.from = f->durable;
        hx_seg_poison(s, HX_E_POISONED);
    }
    s->nospace = err == HX_E_NOSPACE || (s->nospace && s->reserve.tight);
    return s->error ? s->error : err;
}

/* One that is used again is full when what comes next would make it grow. */
static bool is_full(const struct hx_seg *s, const struct hx_logfile *f)
{
    uint64_t most = hx_log_close_at(s), end = f->end + s->log.batch.len + HX_LOG_ENV;
    bool again = f->stale && f->filled >= most / 2 && f->filled <= most + most / 4;
    return again ? end + s->log.batch.len >= f->filled && end >= f->filled / 4 * 3 : end >= most;
}

/* The batch is written, and the file closed with it if SEAL or it is full; nothing of it counts yet (L1). */
static int begin_batch(struct hx_seg *s, bool seal)
{
    struct hx_log *l = &s->log;
    int err = new_tail(s);
    if (err)
        return err;
    struct hx_logfile *f = l->files[l->tail];
    l->sealing = seal || is_full(s, f) || f->side.len + l->side.len >= HX_LOG_SIDE_MAX;
    if (l->sealing)
        err = put_bare(s, HX_ENV_END); /* L3 */
    if (!err)
        err = write_batch(s, f);
    return err ? failed(s, f, err) : 0;
}

/* FLUSHED: what the flush of the tail said. */
static int end_batch(struct hx_seg *s, int flushed)
{
    struct hx_log *l = &s->log;
    struct hx_logfile *f = l->files[l->tail];
    if (flushed) /* after a flush nothing may be tried again */
        return failed(s, f, flushed == HX_E_NOSPACE ? HX_E_IO : flushed);
    now_durable(s, f);
    s->nospace = s->nospace && s->reserve.tight; /* what found room was given it (reserve.c) */
    int err = take_side(s, f);
    if (l->sealing) {
        f->sealed = true;
        l->tail = HX_NONE;
    }
    if (err)
        hx_seg_poison(s, err); /* on the disk, but not in chain and index: only a restart brings them together */
    return err;
}

static int flush_batch(struct hx_seg *s, bool seal)
{
    int err = begin_batch(s, seal);
    return err ? err : end_batch(s, flush_file(s, s->log.files[s->log.tail]));
}

int hx_log_begin(struct hx_seg *s, uint64_t *ret_file)
{
    *ret_file = 0;
    if (!s->log.batch.len)
        return 0;
    int err = begin_batch(s, false);
    if (err)
        hx_log_drop(s);
    else
        *ret_file = s->log.files[s->log.tail]->id;
    return err;
}

int hx_log_end(struct hx_seg *s, int flushed)
{
    int err = end_batch(s, flushed);
    hx_log_drop(s);
    return err;
}

int hx_log_flush(struct hx_seg *s)
{
    if (!s->log.batch.len)
        return 0;
    int err = flush_batch(s, false);
    hx_log_drop(s);
    return err;
}

int hx_log_seal(struct hx_seg *s)
{
    hx_assert(s->log.tail != HX_NONE);
    int err = flush_batch(s, true);
    hx_log_drop(s);
    return err;
}

int hx_log_start(struct hx_seg *s)
{
    hx_assert(s->log.tail == HX_NONE);
    if (s->log.batch.len)
        return 0; /* that begins one */
    int err = put_bare(s, HX_ENV_MARK);
    if (!err)
        err = flush_batch(s, false);
    hx_log_drop(s);
    return err;
}

int hx_log_mark(struct hx_seg *s)
{
    struct hx_log *l = &s->log;
    hx_assert(l->tail != HX_NONE && !s->error);
    if (l->batch.len)
        return 0;
    struct hx_logfile *f = l->files[l->tail], was = *f;
    struct hx_env e = {.kind = HX_ENV_MARK};
    uint8_t p[HX_LOG_ENV];
    hx_env_encode(&e, p);
    place(s, f, p, sizeof p, f->end);
    int err = s->disk->ops->write(s->disk, f->id, f->end, p, sizeof p);
    if (err)
        *f = was;
    else
        f->end += sizeof p;
    return err;
}
