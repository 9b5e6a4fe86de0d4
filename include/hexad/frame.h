/*
 * frame.h - redo records, and the frames in which they travel and are stored.
 *
 * A record is one change to one page.  A frame holds records of one PG and one epoch, in LSN order;
 * each record's backlink (prev) is the record before it in the PG.  The writer encodes, compresses
 * and checksums a frame once; the same bytes go to all six members and into their logs.
 *
 * Frame head, HX_FRAME_HEAD bytes, little-endian:
 *    0 u32 magic "HXF1"     4 u16 version (1)   6 u8 codec (0 raw, 1 zstd)   7 u8 flags (0)
 *    8 uuid volume         24 u32 pg           28 u32 count (records, >= 1)
 *   32 u64 epoch           40 u64 first LSN    48 u64 last LSN   56 u64 prev (backlink of the first)
 *   64 u64 vdl             72 u64 floor        80 u64 gc         88 u64 time, us since 1970
 *   96 u32 raw_len        100 u32 body_len    104 u32 crc of body as stored
 *  108 u32 crc of bytes 0..107
 * Body (after decompression, raw_len bytes): COUNT record heads of HX_REC_HEAD bytes, then the
 * payloads in the same order:
 *    0 u32 lsn - first LSN    4 u32 page within its PG   8 u16 payload length  10 u8 kind  11 u8 flags
 *
 * Pure.  The encoder and decoder borrow buffers; nothing is allocated but the zstd contexts.
 */
#ifndef HEXAD_FRAME_H
#define HEXAD_FRAME_H

#include "hexad/codec.h"
#include "hexad/types.h"

#define HX_FRAME_MAGIC 0x31465848u /* "HXF1" */
#define HX_FRAME_VERSION 1
#define HX_FRAME_HEAD 112u
#define HX_REC_HEAD 12u
#define HX_FRAME_RAW_MAX (256u << 10) /* bytes of a body before compression */
#define HX_FRAME_RECORDS_MAX (HX_FRAME_RAW_MAX / HX_REC_HEAD)
#define HX_FRAME_MAX (HX_FRAME_HEAD + HX_FRAME_RAW_MAX + 4096u) /* bytes of any valid frame */

enum hx_rec_kind {
    HX_REC_PATCH = 1, /* ranges over the page as it was: { u16 offset, u16 length, bytes } ... */
    HX_REC_IMAGE = 2, /* the whole page; trailing zeros left out, so 0..4096 bytes */
    HX_REC_ZERO = 3,  /* the page is zeros; no payload */
    HX_REC_FREE = 4,  /* the page is unused, and reads as zeros; no payload */
    HX_REC_SPARSE = 5 /* as PATCH, but over zeros: does not need the page as it was */
};
#define HX_REC_CPL 1u /* flag: last record of its mini-transaction, a consistency point */

/* A decoded record; payload is borrowed from the decompressed body. */
struct hx_rec {
    struct hx_lsn lsn, prev; /* prev: the record before it in this PG, 0 for none */
    struct hx_epoch epoch;
    uint32_t page; /* within the PG */
    uint8_t kind, flags;
    uint16_t len;
    const uint8_t *payload;
};

struct hx_frame_head {
    struct hx_uuid volume;
    uint32_t pg, count;
    struct hx_epoch epoch;
    struct hx_lsn first, last, prev;
    struct hx_lsn vdl, floor, gc; /* VDL and read floor when sealed; gc: all six members are complete to here */
    uint64_t time_us;
    uint8_t codec;
    uint32_t raw_len, body_len, body_crc;
};

/* True for kinds that give the page without its former content. */
static inline bool hx_rec_is_base(uint8_t kind)
{
    return kind != HX_REC_PATCH;
}

/* Decode and check a head (magic, version, crc, lengths within bounds). 0, HX_E_EOF (fewer than
 * HX_FRAME_HEAD bytes), HX_E_VERSION, HX_E_BADMSG. */
int hx_frame_head_decode(const uint8_t *p, size_t len, struct hx_frame_head *ret);
void hx_frame_head_encode(const struct hx_frame_head *h, uint8_t out[HX_FRAME_HEAD]);
/* Bytes of the whole frame. */
static inline size_t hx_frame_bytes(const struct hx_frame_head *h)
{
    return HX_FRAME_HEAD + (size_t)h->body_len;
}

/* Checks the body's crc, and decompresses it into BUF where the codec asks for that (BUF of at least
 * HX_FRAME_RAW_MAX; untouched for raw).  *ret_raw: raw_len bytes, borrowed from BODY or BUF.
 * HX_E_CORRUPT (crc), HX_E_BADMSG, HX_E_NOMEM (zstd's, for a moment). */
int hx_frame_body(const struct hx_frame_head *h, const uint8_t *body, uint8_t *buf, const uint8_t **ret_raw);
/* The same for whoever opens many: zstd's state is kept, and making it costs more than a small body does. */
struct hx_frame_opener;
int hx_frame_opener_new(struct hx_frame_opener **ret); /* HX_E_NOMEM */
void hx_frame_opener_free(struct hx_frame_opener *o);
int hx_frame_open(struct hx_frame_opener *o, const struct hx_frame_head *h, const uint8_t *body, uint8_t *buf,
                  const uint8_t **ret_raw);

/* Walks the records of a decompressed body.  Zeroed .index starts; the walk checks every length. */
struct hx_frame_walk {
    const struct hx_frame_head *head;
    const uint8_t *raw;
    uint32_t index, payload_off;
    struct hx_lsn prev;
};
void hx_frame_walk_init(struct hx_frame_walk *w, const struct hx_frame_head *h, const uint8_t *raw);
/* 1: *ret is the next record; 0: end, all consistent; negative: HX_E_BADMSG. */
int hx_frame_walk_next(struct hx_frame_walk *w, struct hx_rec *ret);

/* Builds a frame.  Memory: heads and payloads gather in the builder, about 2 x HX_FRAME_RAW_MAX. */
struct hx_frame_builder;
int hx_frame_builder_new(struct hx_frame_builder **ret); /* HX_E_NOMEM */
void hx_frame_builder_free(struct hx_frame_builder *b);
/* Starts over for PG and EPOCH; prev is the backlink of the first record. */
void hx_frame_builder_reset(struct hx_frame_builder *b, const struct hx_uuid *volume, uint32_t pg,
                            struct hx_epoch epoch, struct hx_lsn prev);
bool hx_frame_builder_fits(const struct hx_frame_builder *b, size_t payload_len);
/* LSNs ascend; the record must fit.  Payload given in two parts to spare a copy (either may be empty). */
void hx_frame_builder_add(struct hx_frame_builder *b, struct hx_lsn lsn, uint32_t page, uint8_t kind,
                          uint8_t flags, struct hx_bytes a, struct hx_bytes c);
uint32_t hx_frame_builder_count(const struct hx_frame_builder *b);
size_t hx_frame_builder_raw_len(const struct hx_frame_builder *b);
struct hx_lsn hx_frame_builder_first(const struct hx_frame_builder *b); /* count > 0 */
struct hx_lsn hx_frame_builder_last(const struct hx_frame_builder *b);
/* Upper bound of what seal writes. */
size_t hx_frame_builder_sealed_max(const struct hx_frame_builder *b);
/* Writes the frame to OUT (at least sealed_max bytes); returns its length.  Compresses when that pays:
 * adaptive, skips most attempts while the content proves incompressible. */
size_t hx_frame_builder_seal(struct hx_frame_builder *b, struct hx_lsn vdl, struct hx_lsn floor,
                             struct hx_lsn gc, uint64_t time_us, uint8_t *out);

/* Applies a record to a page (in place).  0 or HX_E_BADMSG (page untouched). */
int hx_rec_apply(uint8_t page[HX_PAGE_SIZE], uint8_t kind, const uint8_t *payload, size_t len);

/* Compares a page with its before-image and gives the smallest record that leads from one to the
 * other.  Payload goes to OUT (HX_PAGE_SIZE bytes), but an IMAGE's is the first *ret_len bytes of AFTER itself.
 * Returns the kind, or 0 when nothing changed; *ret_len is the payload's length.
 * over_zeros: the former content is known to be zeros; SPARSE, IMAGE or ZERO is made, which needs no older
 * record.  BEFORE NULL and not over_zeros: the former content is unknown; likewise, and never 0. */
int hx_rec_diff(const uint8_t *before, const uint8_t after[HX_PAGE_SIZE], bool over_zeros,
                uint8_t out[HX_PAGE_SIZE], uint16_t *ret_len);

#endif
