/*
 * codec.h - explicit little-endian puts and gets over a bounded buffer.
 *
 * Writer and reader are sticky: after the first overrun every call is a no-op and .err is set, so an
 * encoder or decoder checks once, at its end.  No struct is ever overlaid on bytes.
 * Pure; nothing allocates; buffers are borrowed.
 */
#ifndef HEXAD_CODEC_H
#define HEXAD_CODEC_H

#include "hexad/err.h"
#include "hexad/types.h"

static inline void hx_put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void hx_put_u32(uint8_t *p, uint32_t v)
{
    hx_put_u16(p, (uint16_t)v);
    hx_put_u16(p + 2, (uint16_t)(v >> 16));
}
static inline void hx_put_u64(uint8_t *p, uint64_t v)
{
    hx_put_u32(p, (uint32_t)v);
    hx_put_u32(p + 4, (uint32_t)(v >> 32));
}
static inline uint16_t hx_get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)(p[1] << 8));
}
static inline uint32_t hx_get_u32(const uint8_t *p)
{
    return (uint32_t)hx_get_u16(p) | (uint32_t)hx_get_u16(p + 2) << 16;
}
static inline uint64_t hx_get_u64(const uint8_t *p)
{
    return (uint64_t)hx_get_u32(p) | (uint64_t)hx_get_u32(p + 4) << 32;
}

struct hx_enc {
    uint8_t *p;
    size_t len, cap; /* bytes used, bytes there */
    int err;         /* 0 or HX_E_TOOBIG */
};
struct hx_dec {
    const uint8_t *p;
    size_t off, len; /* next byte, bytes there */
    int err;         /* 0 or HX_E_EOF */
};

static inline struct hx_enc hx_enc_init(uint8_t *p, size_t cap)
{
    return (struct hx_enc){p, 0, cap, 0};
}
static inline struct hx_dec hx_dec_init(const uint8_t *p, size_t len)
{
    return (struct hx_dec){p, 0, len, 0};
}

void hx_enc_u8(struct hx_enc *e, uint8_t v);
void hx_enc_u16(struct hx_enc *e, uint16_t v);
void hx_enc_u32(struct hx_enc *e, uint32_t v);
void hx_enc_u64(struct hx_enc *e, uint64_t v);
void hx_enc_bytes(struct hx_enc *e, const void *p, size_t len);
void hx_enc_uuid(struct hx_enc *e, const struct hx_uuid *id);
/* u16 length, then the bytes; a string longer than 65535 is HX_E_TOOBIG. */
void hx_enc_str(struct hx_enc *e, const char *s);

uint8_t hx_dec_u8(struct hx_dec *d);
uint16_t hx_dec_u16(struct hx_dec *d);
uint32_t hx_dec_u32(struct hx_dec *d);
uint64_t hx_dec_u64(struct hx_dec *d);
struct hx_uuid hx_dec_uuid(struct hx_dec *d);
/* LEN bytes, borrowed from the reader's buffer; NULL after an overrun. */
const uint8_t *hx_dec_bytes(struct hx_dec *d, size_t len);
/* A string into BUF of CAP bytes, NUL-terminated; one with a NUL inside or too long is HX_E_BADMSG. */
void hx_dec_str(struct hx_dec *d, char *buf, size_t cap);
/* 0, or the first error; bytes left over are HX_E_BADMSG. */
int hx_dec_end(const struct hx_dec *d);

#endif
