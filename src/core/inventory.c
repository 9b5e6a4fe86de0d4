/*
 * inventory.c - the answer to FENCE as bytes: history, SCL, base, hint, what is held above it, what is
 * damaged (layout: hexad/msg.h, doc/PROTOCOL.md).
 *
 * Nothing is allocated on a peer's word: counts are compared with the bytes that are there.
 * Memory: the lists are owned; a failed decode leaves the destination as it was.
 */
#include "hexad/msg.h"

#include <stdlib.h>

#define UNKNOWN_BYTES 16u
#define FIXED_BYTES (3u * 8u + 1u + 1u + 4u + 4u)
#define FLAG_GEOMETRY 1u
#define FLAG_HYDRATED 2u

void hx_inventory_fini(struct hx_inventory *v)
{
    hx_history_fini(&v->history);
    hx_geometry_fini(&v->geometry);
    free(v->entries);
    free(v->unknowns);
    *v = (struct hx_inventory){0};
}

size_t hx_inventory_encoded_len(const struct hx_inventory *v)
{
    size_t len = FIXED_BYTES + hx_history_encoded_len(&v->history);
    len += (size_t)v->entry_count * HX_INV_ENTRY + (size_t)v->unknown_count * UNKNOWN_BYTES;
    return len + (v->has_geometry ? hx_geometry_encoded_len(&v->geometry) : 0);
}

void hx_inventory_encode(const struct hx_inventory *v, struct hx_enc *e)
{
    hx_enc_u64(e, v->scl.v);
    hx_enc_u64(e, v->base.v);
    hx_enc_u64(e, v->vdl_hint.v);
    hx_enc_u8(e, (uint8_t)((v->has_geometry ? FLAG_GEOMETRY : 0) | (v->hydrated ? FLAG_HYDRATED : 0)));
    hx_enc_u8(e, 0);
    hx_enc_u32(e, v->entry_count);
    hx_enc_u32(e, v->unknown_count);
    hx_history_encode(&v->history, e);
    for (uint32_t i = 0; i < v->entry_count; i++) {
        const struct hx_inv_entry *r = &v->entries[i];
        hx_enc_u64(e, r->lsn.v);
        hx_enc_u64(e, r->epoch.v);
        hx_enc_u64(e, r->prev.v);
        hx_enc_u32(e, r->flags);
        hx_enc_u32(e, r->sum);
        hx_enc_u32(e, 0);
    }
    for (uint32_t i = 0; i < v->unknown_count; i++) {
        hx_enc_u64(e, v->unknowns[i].from.v);
        hx_enc_u64(e, v->unknowns[i].to.v);
    }
    if (v->has_geometry)
        hx_geometry_encode(&v->geometry, e);
}

static int decode_lists(struct hx_inventory *v, struct hx_dec *d, uint32_t entries, uint32_t unknowns)
{
    if ((size_t)entries * HX_INV_ENTRY + (size_t)unknowns * UNKNOWN_BYTES > d->len - d->off)
        return HX_E_BADMSG;
    v->entries = malloc(((size_t)entries + 1) * sizeof *v->entries);
    v->unknowns = malloc(((size_t)unknowns + 1) * sizeof *v->unknowns);
    if (!v->entries || !v->unknowns)
        return HX_E_NOMEM;
    for (; v->entry_count < entries; v->entry_count++) {
        struct hx_inv_entry *r = &v->entries[v->entry_count];
        r->lsn = HX_LSN(hx_dec_u64(d));
        r->epoch = HX_EPOCH(hx_dec_u64(d));
        r->prev = HX_LSN(hx_dec_u64(d));
        r->flags = hx_dec_u32(d);
        r->sum = hx_dec_u32(d);
        hx_dec_u32(d);
        if (r->prev.v >= r->lsn.v || r->flags & ~HX_INV_CPL)
            return HX_E_BADMSG;
    }
    for (; v->unknown_count < unknowns; v->unknown_count++) {
        struct hx_inv_unknown *u = &v->unknowns[v->unknown_count];
        u->from = HX_LSN(hx_dec_u64(d));
        u->to = HX_LSN(hx_dec_u64(d));
        if (u->to.v < u->from.v)
            return HX_E_BADMSG;
    }
    return d->err;
}

int hx_inventory_decode(struct hx_inventory *v, struct hx_dec *d)
{
    struct hx_inventory n = {0};
    n.scl = HX_LSN(hx_dec_u64(d));
    n.base = HX_LSN(hx_dec_u64(d));
    n.vdl_hint = HX_LSN(hx_dec_u64(d));
    uint8_t flags = hx_dec_u8(d);
    hx_dec_u8(d);
    uint32_t entries = hx_dec_u32(d), unknowns = hx_dec_u32(d);
    n.has_geometry = flags & FLAG_GEOMETRY;
    n.hydrated = flags & FLAG_HYDRATED;
    int err = d->err ? d->err : hx_history_decode(&n.history, d);
    if (!err)
        err = decode_lists(&n, d, entries, unknowns);
    if (!err && n.has_geometry)
        err = hx_geometry_decode(&n.geometry, d);
    if (err) {
        hx_inventory_fini(&n);
        return d->err = err;
    }
    hx_inventory_fini(v);
    *v = n;
    return 0;
}
