/*
 * codec.c - the sticky little-endian writer and reader of hexad/codec.h.  Pure.
 */
#include "hexad/codec.h"

static uint8_t *room(struct hx_enc *e, size_t len)
{
    if (e->err || len > e->cap - e->len) {
        e->err = HX_E_TOOBIG;
        return NULL;
    }
    uint8_t *at = e->p + e->len;
    e->len += len;
    return at;
}

void hx_enc_u8(struct hx_enc *e, uint8_t v)
{
    uint8_t *at = room(e, 1);
    if (at)
        *at = v;
}

void hx_enc_u16(struct hx_enc *e, uint16_t v)
{
    uint8_t *at = room(e, 2);
    if (at)
        hx_put_u16(at, v);
}

void hx_enc_u32(struct hx_enc *e, uint32_t v)
{
    uint8_t *at = room(e, 4);
    if (at)
        hx_put_u32(at, v);
}

void hx_enc_u64(struct hx_enc *e, uint64_t v)
{
    uint8_t *at = room(e, 8);
    if (at)
        hx_put_u64(at, v);
}

void hx_enc_bytes(struct hx_enc *e, const void *p, size_t len)
{
    uint8_t *at = room(e, len);
    if (at && len)
        memcpy(at, p, len);
}

void hx_enc_uuid(struct hx_enc *e, const struct hx_uuid *id)
{
    hx_enc_bytes(e, id->b, sizeof id->b);
}

void hx_enc_str(struct hx_enc *e, const char *s)
{
    size_t len = strlen(s);
    if (len > UINT16_MAX) {
        e->err = HX_E_TOOBIG;
        return;
    }
    hx_enc_u16(e, (uint16_t)len);
    hx_enc_bytes(e, s, len);
}

const uint8_t *hx_dec_bytes(struct hx_dec *d, size_t len)
{
    if (d->err || len > d->len - d->off) {
        if (!d->err)
            d->err = HX_E_EOF;
        return NULL;
    }
    const uint8_t *at = d->p + d->off;
    d->off += len;
    return at;
}

uint8_t hx_dec_u8(struct hx_dec *d)
{
    const uint8_t *at = hx_dec_bytes(d, 1);
    return at ? *at : 0;
}

uint16_t hx_dec_u16(struct hx_dec *d)
{
    const uint8_t *at = hx_dec_bytes(d, 2);
    return at ? hx_get_u16(at) : 0;
}

uint32_t hx_dec_u32(struct hx_dec *d)
{
    const uint8_t *at = hx_dec_bytes(d, 4);
    return at ? hx_get_u32(at) : 0;
}

uint64_t hx_dec_u64(struct hx_dec *d)
{
    const uint8_t *at = hx_dec_bytes(d, 8);
    return at ? hx_get_u64(at) : 0;
}

struct hx_uuid hx_dec_uuid(struct hx_dec *d)
{
    struct hx_uuid id = {{0}};
    const uint8_t *at = hx_dec_bytes(d, sizeof id.b);
    if (at)
        memcpy(id.b, at, sizeof id.b);
    return id;
}

void hx_dec_str(struct hx_dec *d, char *buf, size_t cap)
{
    size_t len = hx_dec_u16(d);
    const uint8_t *at = hx_dec_bytes(d, len);
    buf[0] = '\0';
    if (!at)
        return;
    if (len >= cap || memchr(at, '\0', len)) {
        d->err = HX_E_BADMSG;
        return;
    }
    memcpy(buf, at, len);
    buf[len] = '\0';
}

int hx_dec_end(const struct hx_dec *d)
{
    if (d->err)
        return d->err;
    return d->off == d->len ? 0 : HX_E_BADMSG;
}
