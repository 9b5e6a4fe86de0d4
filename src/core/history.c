/*
 * history.c - the epoch history and the validity of records under it (doc/PROTOCOL.md).
 *
 * Invariants, kept by push and checked by decode:
 *   H1 epochs ascend strictly;
 *   H2 vdl <= end of the same entry, vdl >= the vdl of the entry before;
 *   H3 end > the end of the entry before (end' = max(VDL', end_p) + lal_p with lal >= 1).
 * So the LSN ranges of epochs never overlap, and the void between them belongs to nobody.
 * Memory: the list is owned; a failed copy or decode leaves the destination as it was.
 */
#include "hexad/history.h"

#include "hexad/assert.h"

#include <stdlib.h>

#define ENTRY_BYTES 32u

void hx_history_fini(struct hx_history *h)
{
    free(h->e);
    *h = (struct hx_history){0};
}

int hx_history_copy(struct hx_history *dst, const struct hx_history *src)
{
    struct hx_history h = {0};
    if (src->count) {
        h.e = malloc(src->count * sizeof *h.e);
        if (!h.e)
            return HX_E_NOMEM;
        memcpy(h.e, src->e, src->count * sizeof *h.e);
        h.count = h.cap = src->count;
    }
    hx_history_fini(dst);
    *dst = h;
    return 0;
}

static bool may_follow(const struct hx_history_entry *prev, const struct hx_history_entry *e)
{
    if (e->vdl.v > e->end.v || e->epoch.v == 0 || e->lal == 0)
        return false;
    if (!prev)
        return true;
    return e->epoch.v > prev->epoch.v && e->vdl.v >= prev->vdl.v && e->end.v > prev->end.v;
}

int hx_history_push(struct hx_history *h, struct hx_history_entry e)
{
    if (!may_follow(hx_history_top_entry(h), &e))
        return HX_E_INVAL;
    if (h->count == h->cap) {
        size_t cap = h->cap ? 2 * h->cap : 8;
        struct hx_history_entry *p = realloc(h->e, cap * sizeof *p);
        if (!p)
            return HX_E_NOMEM;
        h->e = p;
        h->cap = cap;
    }
    h->e[h->count++] = e;
    return 0;
}

const struct hx_history_entry *hx_history_top_entry(const struct hx_history *h)
{
    return h->count ? &h->e[h->count - 1] : NULL;
}

struct hx_epoch hx_history_top(const struct hx_history *h)
{
    const struct hx_history_entry *top = hx_history_top_entry(h);
    return top ? top->epoch : HX_EPOCH(0);
}

/* Index of the entry of EPOCH, or -1: binary search, epochs ascend (H1). */
static long find(const struct hx_history *h, struct hx_epoch epoch)
{
    size_t lo = 0, hi = h->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (h->e[mid].epoch.v < epoch.v)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < h->count && h->e[lo].epoch.v == epoch.v ? (long)lo : -1;
}

bool hx_history_valid(const struct hx_history *h, struct hx_lsn lsn, struct hx_epoch epoch)
{
    long i = find(h, epoch);
    if (i < 0 || lsn.v <= h->e[i].end.v)
        return false;
    /* The cuts rise (H2), so the next entry's is the lowest of all later ones. */
    return (size_t)i + 1 == h->count || lsn.v <= h->e[i + 1].vdl.v;
}

struct hx_lsn hx_history_successor(const struct hx_history *h, struct hx_lsn n)
{
    /* The highest entry cut at n; cuts rise, so search from the top. */
    for (size_t i = h->count; i-- > 1;) {
        if (h->e[i].vdl.v == n.v)
            return HX_LSN(h->e[i].end.v + 1);
        if (h->e[i].vdl.v < n.v)
            break;
    }
    /* The first entry cuts an empty log: its end is where LSNs begin. */
    if (h->count && n.v <= h->e[0].vdl.v)
        return HX_LSN(h->e[0].end.v + 1);
    return HX_LSN(n.v + 1);
}

struct hx_lsn hx_history_point(const struct hx_history *h, struct hx_lsn n)
{
    size_t lo = 0, hi = h->count; /* entries before lo have end < n */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (h->e[mid].end.v < n.v)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0)
        return HX_LSN(0); /* below where LSNs begin */
    /* It belongs to the entry before lo; cuts rise, so that of lo is the lowest of all later ones. */
    return lo < h->count && n.v > h->e[lo].vdl.v ? h->e[lo].vdl : n;
}

bool hx_history_equal(const struct hx_history *a, const struct hx_history *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->e[i].epoch.v != b->e[i].epoch.v || a->e[i].vdl.v != b->e[i].vdl.v ||
            a->e[i].end.v != b->e[i].end.v || a->e[i].lal != b->e[i].lal)
            return false;
    return true;
}

size_t hx_history_encoded_len(const struct hx_history *h)
{
    return 4 + ENTRY_BYTES * h->count;
}

void hx_history_encode(const struct hx_history *h, struct hx_enc *e)
{
    hx_enc_u32(e, (uint32_t)h->count);
    for (size_t i = 0; i < h->count; i++) {
        hx_enc_u64(e, h->e[i].epoch.v);
        hx_enc_u64(e, h->e[i].vdl.v);
        hx_enc_u64(e, h->e[i].end.v);
        hx_enc_u64(e, h->e[i].lal);
    }
}

int hx_history_decode(struct hx_history *h, struct hx_dec *d)
{
    uint32_t count = hx_dec_u32(d);
    if (d->err)
        return d->err;
    /* Nothing is allocated on a peer's word: the bytes must be there. */
    if (count > HX_HISTORY_MAX || (size_t)count * ENTRY_BYTES > d->len - d->off)
        return d->err = HX_E_BADMSG;
    struct hx_history n = {0};
    for (uint32_t i = 0; i < count; i++) {
        struct hx_history_entry e;
        e.epoch = HX_EPOCH(hx_dec_u64(d));
        e.vdl = HX_LSN(hx_dec_u64(d));
        e.end = HX_LSN(hx_dec_u64(d));
        e.lal = hx_dec_u64(d);
        int err = hx_history_push(&n, e);
        if (err) {
            hx_history_fini(&n);
            return d->err = err == HX_E_INVAL ? HX_E_BADMSG : err;
        }
    }
    hx_history_fini(h);
    *h = n;
    return 0;
}
