/*
 * frame.c - heads of frames, their bodies, and the walk over their records (layout: hexad/frame.h).
 *
 * Decoding treats every byte as hostile: lengths are checked against what is there before anything is
 * read or decompressed, and decompression is bounded by HX_FRAME_RAW_MAX.  A walk that ends with 0 has
 * seen exactly the bytes of the body.  Building frames: framebuild.c.  Memory: all borrowed.
 */
#include "hexad/frame.h"

#include "hexad/crc.h"
#include "hexad/mutant.h"

#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { CODEC_RAW = 0, CODEC_ZSTD = 1 };

void hx_frame_head_encode(const struct hx_frame_head *h, uint8_t out[HX_FRAME_HEAD])
{
    struct hx_enc e = hx_enc_init(out, HX_FRAME_HEAD);
    hx_enc_u32(&e, HX_FRAME_MAGIC);
    hx_enc_u16(&e, HX_FRAME_VERSION);
    hx_enc_u8(&e, h->codec);
    hx_enc_u8(&e, 0);
    hx_enc_uuid(&e, &h->volume);
    hx_enc_u32(&e, h->pg);
    hx_enc_u32(&e, h->count);
    hx_enc_u64(&e, h->epoch.v);
    hx_enc_u64(&e, h->first.v);
    hx_enc_u64(&e, h->last.v);
    hx_enc_u64(&e, h->prev.v);
    hx_enc_u64(&e, h->vdl.v);
    hx_enc_u64(&e, h->floor.v);
    hx_enc_u64(&e, h->gc.v);
    hx_enc_u64(&e, h->time_us);
    hx_enc_u32(&e, h->raw_len);
    hx_enc_u32(&e, h->body_len);
    hx_enc_u32(&e, h->body_crc);
    hx_enc_u32(&e, hx_crc32c(0, out, HX_FRAME_HEAD - 4));
}

static bool head_sane(const struct hx_frame_head *h)
{
    if (h->codec > CODEC_ZSTD || h->count == 0 || h->count > HX_FRAME_RECORDS_MAX)
        return false;
    if (h->raw_len > HX_FRAME_RAW_MAX || h->raw_len < h->count * HX_REC_HEAD)
        return false;
    if (h->body_len > HX_FRAME_MAX - HX_FRAME_HEAD || (h->codec == CODEC_RAW && h->body_len != h->raw_len))
        return false;
    return h->first.v > h->prev.v && h->last.v >= h->first.v && h->last.v - h->first.v <= UINT32_MAX;
}

int hx_frame_head_decode(const uint8_t *p, size_t len, struct hx_frame_head *ret)
{
    struct hx_frame_head h;
    struct hx_dec d = hx_dec_init(p, len);
    if (len < HX_FRAME_HEAD)
        return HX_E_EOF;
    if (hx_dec_u32(&d) != HX_FRAME_MAGIC)
        return HX_E_BADMSG;
    if (hx_get_u32(p + HX_FRAME_HEAD - 4) != hx_crc32c(0, p, HX_FRAME_HEAD - 4))
        return HX_E_BADMSG;
    if (hx_dec_u16(&d) != HX_FRAME_VERSION)
        return HX_E_VERSION;
    h.codec = hx_dec_u8(&d);
    if (hx_dec_u8(&d) != 0)
        return HX_E_VERSION;
    h.volume = hx_dec_uuid(&d);
    h.pg = hx_dec_u32(&d);
    h.count = hx_dec_u32(&d);
    h.epoch = HX_EPOCH(hx_dec_u64(&d));
    h.first = HX_LSN(hx_dec_u64(&d));
    h.last = HX_LSN(hx_dec_u64(&d));
    h.prev = HX_LSN(hx_dec_u64(&d));
    h.vdl = HX_LSN(hx_dec_u64(&d));
    h.floor = HX_LSN(hx_dec_u64(&d));
    h.gc = HX_LSN(hx_dec_u64(&d));
    h.time_us = hx_dec_u64(&d);
    h.raw_len = hx_dec_u32(&d);
    h.body_len = hx_dec_u32(&d);
    h.body_crc = hx_dec_u32(&d);
    if (!head_sane(&h))
        return HX_E_BADMSG;
    *ret = h;
    return 0;
}

struct hx_frame_opener {
    ZSTD_DCtx *zstd;
};

int hx_frame_opener_new(struct hx_frame_opener **ret)
{
    struct hx_frame_opener *o = malloc(sizeof *o);
    ZSTD_DCtx *zstd = o ? ZSTD_createDCtx() : NULL;
    if (!zstd) {
        free(o);
        return HX_E_NOMEM;
    }
    o->zstd = zstd;
    *ret = o;
    return 0;
}

void hx_frame_opener_free(struct hx_frame_opener *o)
{
    if (!o)
        return;
    ZSTD_freeDCtx(o->zstd);
    free(o);
}

/* O NULL: a state for this one. */
static int open_with(struct hx_frame_opener *o, const struct hx_frame_head *h, const uint8_t *body, uint8_t *buf,
                     const uint8_t **ret_raw)
{
    if (hx_crc32c(0, body, h->body_len) != h->body_crc && !HX_MUTANT(CHECKSUM_IGNORED))
        return HX_E_CORRUPT;
    if (h->codec == CODEC_RAW) {
        *ret_raw = body;
        return 0;
    }
    size_t n = o ? ZSTD_decompressDCtx(o->zstd, buf, h->raw_len, body, h->body_len)
                 : ZSTD_decompress(buf, h->raw_len, body, h->body_len);
    if (ZSTD_isError(n) && ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
        return HX_E_NOMEM; /* says nothing about the bytes */
    if (ZSTD_isError(n) || n != h->raw_len)
        return HX_E_BADMSG;
    *ret_raw = buf;
    return 0;
}

int hx_frame_open(struct hx_frame_opener *o, const struct hx_frame_head *h, const uint8_t *body, uint8_t *buf,
                  const uint8_t **ret_raw)
{
    return open_with(o, h, body, buf, ret_raw);
}

int hx_frame_body(const struct hx_frame_head *h, const uint8_t *body, uint8_t *buf, const uint8_t **ret_raw)
{
    return open_with(NULL, h, body, buf, ret_raw);
}

void hx_frame_walk_init(struct hx_frame_walk *w, const struct hx_frame_head *h, const uint8_t *raw)
{
    *w = (struct hx_frame_walk){h, raw, 0, h->count * HX_REC_HEAD, h->prev};
}

int hx_frame_walk_next(struct hx_frame_walk *w, struct hx_rec *ret)
{
    const struct hx_frame_head *h = w->head;
    if (w->index == h->count)
        return w->payload_off == h->raw_len && w->prev.v == h->last.v ? 0 : HX_E_BADMSG;
    struct hx_dec d = hx_dec_init(w->raw + w->index * HX_REC_HEAD, HX_REC_HEAD);
    struct hx_rec r;
    r.lsn = HX_LSN(h->first.v + hx_dec_u32(&d));
    r.page = hx_dec_u32(&d);
    r.len = hx_dec_u16(&d);
    r.kind = hx_dec_u8(&d);
    r.flags = hx_dec_u8(&d);
    r.prev = w->prev;
    r.epoch = h->epoch;
    r.payload = w->raw + w->payload_off;
    if (r.kind < HX_REC_PATCH || r.kind > HX_REC_SPARSE || r.flags & ~HX_REC_CPL || r.len > HX_PAGE_SIZE)
        return HX_E_BADMSG;
    if (r.lsn.v <= w->prev.v || r.lsn.v > h->last.v || (w->index == 0 && r.lsn.v != h->first.v))
        return HX_E_BADMSG;
    if (r.len > h->raw_len - w->payload_off)
        return HX_E_BADMSG;
    w->payload_off += r.len;
    w->prev = r.lsn;
    w->index++;
    *ret = r;
    return 1;
}
