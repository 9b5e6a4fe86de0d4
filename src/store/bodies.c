/*
 * bodies.c - a small cache of raw frame bodies, so that reading pages out of one compressed frame does not
 * decompress it again for each of them; and of windows of log files, for reads of many pages.
 *
 * Entries are known by (segment, log file, offset); log files are never written twice below what is durable while
 * a process lives, so an entry never gets stale.  Every body was checked against its crc when it came in, and the head
 * of its frame against its own; a window is what the disk gave: who reads it compares with the sum of the record.
 * Commits are small, so most frames are: what is bounded is the bytes, and the entries only because they are
 * searched one by one.  The one that was not used for longest goes first.
 * Patches are small, and those of one page mostly stand near those of others that are read soon: they are read by
 * blocks, each of which has one place where it may be.  One that was read while it was rotten is not believed: who
 * finds that a sum does not match reads the record by itself.
 * Memory: HX_BLOCKS x HX_BLOCK bytes for these, and at most HX_BODIES_BYTES, each entry as large as its body; shared by
 * all segments of a node.  A body that was given out stays until the next one is asked for.
 */
#include "store.h"

#include <stdlib.h>

#define FIRST (8u << 10) /* read at once: most frames of single commits are smaller */
#define GAP 4096u /* what stands between the payloads of two frames: heads of at most 64 pages */
#define WINDOW (HX_FRAME_RAW_MAX + GAP)
#define SMALL 1024u /* a payload that is not worth a read of its own */

int hx_bodies_init(struct hx_bodies *b)
{
    *b = (struct hx_bodies){0};
    b->frame = malloc(HX_FRAME_MAX);
    return b->frame ? 0 : HX_E_NOMEM;
}

static void drop(struct hx_bodies *b, size_t i)
{
    free(b->e[i].p);
    b->bytes -= b->e[i].len;
    b->e[i] = b->e[--b->count];
}

void hx_bodies_fini(struct hx_bodies *b)
{
    hx_assert(!b->count); /* every segment has forgotten its own */
    free(b->frame);
    free(b->blocks);
    *b = (struct hx_bodies){0};
}

void hx_bodies_forget(struct hx_bodies *b, const struct hx_seg *s)
{
    for (size_t i = b->count; i-- > 0;)
        if (b->e[i].seg == s)
            drop(b, i);
    for (size_t i = 0; b->blocks && i < HX_BLOCKS; i++)
        if (b->block[i].seg == s)
            b->block[i].len = 0;
}

/* Room for LEN bytes more, and an entry for them. */
static void make_room(struct hx_bodies *b, size_t len)
{
    while (b->count == HX_BODIES || (b->count && b->bytes + len > HX_BODIES_BYTES)) {
        size_t oldest = 0;
        for (size_t i = 1; i < b->count; i++)
            if (b->e[i].used < b->e[oldest].used)
                oldest = i;
        drop(b, oldest);
    }
}

/* The entry, or NULL. */
static struct hx_body *known(struct hx_bodies *b, const struct hx_seg *s, const struct hx_version *v)
{
    uint64_t file = s->log.files[v->file]->id, end = (uint64_t)v->pos + v->len;
    bool window = v->codec == 0;
    b->clock++;
    for (size_t i = 0; i < b->count; i++) {
        struct hx_body *e = &b->e[i];
        if (e->file != file || e->seg != s || e->window != window)
            continue;
        if (window ? v->pos >= e->off && end <= (uint64_t)e->off + e->len : e->off == v->pos) {
            e->used = b->clock;
            return e;
        }
    }
    return NULL;
}

/* A new entry of LEN bytes for V, which are not there yet. */
static struct hx_body *fresh(struct hx_bodies *b, const struct hx_seg *s, const struct hx_version *v, size_t len)
{
    make_room(b, len);
    uint8_t *p = malloc(len);
    if (!p)
        return NULL;
    struct hx_body *e = &b->e[b->count++];
    *e = (struct hx_body){s, s->log.files[v->file]->id, b->clock, v->pos, (uint32_t)len, 0, 0, 0, v->codec == 0, p};
    b->bytes += len;
    return e;
}

/* No more than what is wanted: a run of pages mostly ends in the middle of a frame. */
static size_t window_len(uint64_t left, const struct hx_version *v, uint32_t pages)
{
    size_t len = pages < WINDOW / HX_PAGE_SIZE ? pages * HX_PAGE_SIZE + GAP : WINDOW;
    len = len < v->len ? v->len : len;
    return left < len ? (size_t)left : len;
}

const uint8_t *hx_bodies_window(struct hx_bodies *b, struct hx_seg *s, const struct hx_version *v, uint32_t pages)
{
    struct hx_body *e = known(b, s, v);
    if (!e) {
        const struct hx_logfile *f = s->log.files[v->file];
        hx_assert(v->len && f->durable >= (uint64_t)v->pos + v->len); /* as all that is indexed; and never changes */
        size_t len = window_len(f->durable - v->pos, v, pages), got = 0;
        e = fresh(b, s, v, len);
        if (!e)
            return NULL;
        if (s->disk->ops->read(s->disk, f->id, v->pos, e->p, len, &got) || got < len) {
            drop(b, b->count - 1);
            return NULL;
        }
    }
    return e->p + (v->pos - e->off);
}

/* The one place where block AT of FILE may be; neighbours do not meet. */
static size_t place_of(const struct hx_seg *s, uint64_t file, uint32_t at)
{
    uint64_t x = hx_get_u32(s->at.volume.b) + s->at.pg * UINT64_C(0xc2b2ae3d) + file;
    return ((x * UINT64_C(0x9e3779b97f4a7c15) >> 32) + at) & (HX_BLOCKS - 1);
}

static bool in_block(const struct hx_version *v)
{
    return !v->codec && v->len && v->len <= SMALL && v->pos % HX_BLOCK + v->len <= HX_BLOCK;
}

void hx_bodies_expect(const struct hx_bodies *b, const struct hx_seg *s, const struct hx_version *v)
{
    if (!b->blocks || !in_block(v))
        return;
    const uint8_t *p = b->blocks + place_of(s, s->log.files[v->file]->id, v->pos / HX_BLOCK) * HX_BLOCK;
    __builtin_prefetch(p + v->pos % HX_BLOCK);
    __builtin_prefetch(p + v->pos % HX_BLOCK + v->len - 1);
}

const uint8_t *hx_bodies_block(struct hx_bodies *b, struct hx_seg *s, const struct hx_version *v)
{
    const struct hx_logfile *f = s->log.files[v->file];
    uint32_t at = v->pos / HX_BLOCK, from = v->pos % HX_BLOCK;
    if (!in_block(v) || (!b->blocks && !(b->blocks = malloc((size_t)HX_BLOCKS * HX_BLOCK))))
        return NULL;
    size_t i = place_of(s, f->id, at), got = 0;
    struct hx_block *k = &b->block[i];
    uint8_t *p = b->blocks + i * HX_BLOCK;
    if (k->seg != s || k->file != f->id || k->at != at || k->len < from + v->len) {
        uint64_t off = (uint64_t)at * HX_BLOCK, left = f->durable - off; /* what is durable never changes */
        *k = (struct hx_block){s, f->id, at, 0};
        if (s->disk->ops->read(s->disk, f->id, off, p, left < HX_BLOCK ? (size_t)left : HX_BLOCK, &got) ||
            got < from + v->len)
            return NULL;
        k->len = (uint32_t)got;
    }
    return p + from;
}

/* The frame whose entry V names, into b->frame; its head is good. */
static int read_frame(struct hx_bodies *b, struct hx_seg *s, const struct hx_version *v, struct hx_frame_head *h)
{
    uint64_t at = (uint64_t)v->pos + HX_LOG_ENV, file = s->log.files[v->file]->id;
    size_t got = 0, first = FIRST;
    int err = s->disk->ops->read(s->disk, file, at, b->frame, first, &got);
    if (err == HX_E_IO) { /* the bad sector may be another frame's: no more than this one */
        first = HX_FRAME_HEAD;
        err = s->disk->ops->read(s->disk, file, at, b->frame, first, &got);
    }
    if (err || got < HX_FRAME_HEAD)
        return err && err != HX_E_NOENT ? err : HX_E_CORRUPT;
    if (hx_frame_head_decode(b->frame, got, h) || !hx_uuid_eq(&h->volume, &s->at.volume) || h->pg != s->at.pg)
        return HX_E_CORRUPT;
    size_t len = hx_frame_bytes(h);
    if (len <= got)
        return 0;
    return got < first ? HX_E_CORRUPT : hx_log_read(s, v->file, at + got, b->frame + got, len - got);
}

static int fill(struct hx_bodies *b, struct hx_seg *s, const struct hx_version *v, struct hx_body **ret)
{
    struct hx_frame_head h;
    const uint8_t *raw;
    int err = read_frame(b, s, v, &h);
    if (err)
        return err;
    struct hx_body *e = fresh(b, s, v, h.raw_len);
    if (!e)
        return HX_E_NOMEM;
    err = hx_frame_open(s->env->opener, &h, b->frame + HX_FRAME_HEAD, e->p, &raw);
    if (err) {
        drop(b, b->count - 1);
        return err == HX_E_BADMSG ? HX_E_CORRUPT : err;
    }
    if (raw != e->p)
        memcpy(e->p, raw, h.raw_len);
    e->records = h.count;
    *ret = e;
    return 0;
}

/* Where the payload of record AT begins: it is behind those of the records before it.  Whoever asks for one after the
 * other (compaction, scrubbing) walks over each head once: a frame of freed pages has 20,000 of them. */
static uint64_t payload_at(struct hx_bodies *b, const struct hx_body *e, uint32_t at)
{
    bool on = e->next > 0 && e->next <= at;
    uint64_t off = on ? e->next_off : (uint64_t)e->records * HX_REC_HEAD;
    for (uint32_t i = on ? e->next : 0; i < at; i++, b->heads_walked++)
        off += hx_get_u16(e->p + (size_t)i * HX_REC_HEAD + 8);
    return off;
}

int hx_bodies_get(struct hx_bodies *b, struct hx_seg *s, const struct hx_version *v, const uint8_t **ret,
                  uint16_t *ret_len)
{
    struct hx_body *e = known(b, s, v);
    int err = e ? 0 : fill(b, s, v, &e);
    if (err)
        return err;
    if (v->at >= e->records)
        return HX_E_CORRUPT;
    uint64_t off = payload_at(b, e, v->at);
    uint16_t len = hx_get_u16(e->p + (size_t)v->at * HX_REC_HEAD + 8);
    if (len > HX_PAGE_SIZE || off + len > e->len)
        return HX_E_CORRUPT;
    e->next = v->at + 1;
    e->next_off = (uint32_t)off + len;
    *ret = e->p + off;
    *ret_len = len;
    return 0;
}
