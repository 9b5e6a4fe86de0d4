/*
 * framebuild.c - gathers records into a frame and seals it (layout: hexad/frame.h).
 *
 * Invariants: B1 what fits says true for is never refused by add; B2 a sealed frame passes
 * hx_frame_head_decode, hx_frame_body and a whole walk (asserted by the tests, not at run time).
 *
 * Compression is tried when it may pay; after failures fewer attempts are made (a bulk load of random bytes
 * costs one attempt in 16), and the first success resets that.
 * Memory: one allocation per builder, reused; seal writes into the caller's buffer.
 */
#include "hexad/assert.h"
#include "hexad/crc.h"
#include "hexad/frame.h"

#include <stdlib.h>
#include <zstd.h>

#define COMPRESS_MIN 128u    /* bytes: below that the zstd header eats the gain */
#define COMPRESS_LEVEL 1
#define SKIP_MAX 15u
#define HEADS_MAX (HX_FRAME_RECORDS_MAX * HX_REC_HEAD)

struct hx_frame_builder {
    ZSTD_CCtx *zstd;
    struct hx_uuid volume;
    uint32_t pg, count;
    struct hx_epoch epoch;
    struct hx_lsn prev, first, last;
    size_t payload_len;
    unsigned skip, skip_next; /* attempts to compress still to be left out; how many after the next failure */
    /* From here on nothing is cleared when a builder is made.
     * Heads gather in their own array and are moved in front of the payloads when the frame is sealed,
     * so that the body is contiguous and no payload is copied twice. */
    uint8_t heads[HEADS_MAX];
    uint8_t body[HEADS_MAX + HX_FRAME_RAW_MAX];
};

int hx_frame_builder_new(struct hx_frame_builder **ret)
{
    struct hx_frame_builder *b = malloc(sizeof *b);
    if (!b)
        return HX_E_NOMEM;
    memset(b, 0, offsetof(struct hx_frame_builder, heads));
    b->zstd = ZSTD_createCCtx();
    if (!b->zstd) {
        free(b);
        return HX_E_NOMEM;
    }
    ZSTD_CCtx_setParameter(b->zstd, ZSTD_c_compressionLevel, COMPRESS_LEVEL);
    ZSTD_CCtx_setParameter(b->zstd, ZSTD_c_contentSizeFlag, 1);
    *ret = b;
    return 0;
}

void hx_frame_builder_free(struct hx_frame_builder *b)
{
    if (!b)
        return;
    ZSTD_freeCCtx(b->zstd);
    free(b);
}

void hx_frame_builder_reset(struct hx_frame_builder *b, const struct hx_uuid *volume, uint32_t pg,
                            struct hx_epoch epoch, struct hx_lsn prev)
{
    b->volume = *volume;
    b->pg = pg;
    b->epoch = epoch;
    b->prev = prev;
    b->first = b->last = prev;
    b->count = 0;
    b->payload_len = 0;
}

bool hx_frame_builder_fits(const struct hx_frame_builder *b, size_t payload_len)
{
    return hx_frame_builder_raw_len(b) + HX_REC_HEAD + payload_len <= HX_FRAME_RAW_MAX;
}

void hx_frame_builder_add(struct hx_frame_builder *b, struct hx_lsn lsn, uint32_t page, uint8_t kind,
                          uint8_t flags, struct hx_bytes a, struct hx_bytes c)
{
    size_t len = a.len + c.len;
    hx_assert(hx_frame_builder_fits(b, len) && len <= HX_PAGE_SIZE); /* B1 */
    hx_assert(lsn.v > b->last.v);
    if (b->count == 0)
        b->first = lsn;
    hx_assert(lsn.v - b->first.v <= UINT32_MAX);
    struct hx_enc e = hx_enc_init(b->heads + (size_t)b->count * HX_REC_HEAD, HX_REC_HEAD);
    hx_enc_u32(&e, (uint32_t)(lsn.v - b->first.v));
    hx_enc_u32(&e, page);
    hx_enc_u16(&e, (uint16_t)len);
    hx_enc_u8(&e, kind);
    hx_enc_u8(&e, flags);
    uint8_t *at = b->body + HEADS_MAX + b->payload_len;
    if (a.len)
        memcpy(at, a.p, a.len);
    if (c.len)
        memcpy(at + a.len, c.p, c.len);
    b->payload_len += len;
    b->last = lsn;
    b->count++;
}

uint32_t hx_frame_builder_count(const struct hx_frame_builder *b)
{
    return b->count;
}

size_t hx_frame_builder_raw_len(const struct hx_frame_builder *b)
{
    return (size_t)b->count * HX_REC_HEAD + b->payload_len;
}

struct hx_lsn hx_frame_builder_first(const struct hx_frame_builder *b)
{
    hx_assert(b->count > 0);
    return b->first;
}

struct hx_lsn hx_frame_builder_last(const struct hx_frame_builder *b)
{
    hx_assert(b->count > 0);
    return b->last;
}

size_t hx_frame_builder_sealed_max(const struct hx_frame_builder *b)
{
    return HX_FRAME_HEAD + hx_frame_builder_raw_len(b);
}

/* Bytes written to OUT, or 0: not worth it. */
static size_t compress(struct hx_frame_builder *b, const uint8_t *raw, size_t len, uint8_t *out)
{
    if (len < COMPRESS_MIN)
        return 0;
    if (b->skip > 0) {
        b->skip--;
        return 0;
    }
    /* The room given is the gain that is asked for: 1/16 at least. */
    size_t n = ZSTD_compress2(b->zstd, out, len - len / 16, raw, len);
    if (!ZSTD_isError(n)) {
        b->skip_next = 0;
        return n;
    }
    b->skip = b->skip_next;
    b->skip_next = b->skip_next * 2 + 1 > SKIP_MAX ? SKIP_MAX : b->skip_next * 2 + 1;
    return 0;
}

size_t hx_frame_builder_seal(struct hx_frame_builder *b, struct hx_lsn vdl, struct hx_lsn floor,
                             struct hx_lsn gc, uint64_t time_us, uint8_t *out)
{
    hx_assert(b->count > 0);
    size_t heads = (size_t)b->count * HX_REC_HEAD, raw_len = hx_frame_builder_raw_len(b);
    uint8_t *raw = b->body + HEADS_MAX - heads;
    memcpy(raw, b->heads, heads);
    uint8_t *body = out + HX_FRAME_HEAD;
    size_t n = compress(b, raw, raw_len, body);
    struct hx_frame_head h = {
        .volume = b->volume, .pg = b->pg, .count = b->count, .epoch = b->epoch,
        .first = b->first, .last = b->last, .prev = b->prev,
        .vdl = vdl, .floor = floor, .gc = gc, .time_us = time_us,
        .codec = n > 0, .raw_len = (uint32_t)raw_len, .body_len = (uint32_t)(n ? n : raw_len),
    };
    if (!n)
        memcpy(body, raw, raw_len);
    h.body_crc = hx_crc32c(0, body, h.body_len);
    hx_frame_head_encode(&h, out);
    return hx_frame_bytes(&h);
}
