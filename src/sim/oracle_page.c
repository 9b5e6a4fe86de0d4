/*
 * oracle_page.c - every version of every page, and what a page is as of a read point: the fold of its
 * records.
 *
 * A page has its records in the order of their LSNs.  One image, of where it was asked for last, is rolled
 * forward; every OC_MARK_EVERY records it is copied, so that an older read point costs that many records at
 * most.  The meaning of a record is written again from doc/PROTOCOL.md.
 */
#include "oracle_int.h"

#include <stdlib.h>

static struct oc_page *page_get(struct hx_oracle *o, uint32_t pg, uint32_t page)
{
    struct oc_pg *p = oc_pg_get(o, pg);
    if (!p)
        return NULL;
    if (!p->pages) {
        p->pages = oc_zalloc(o, (o->pg_pages + 1) * sizeof(struct oc_page *));
        p->page_count = p->pages ? o->pg_pages : 0;
    }
    if (page >= p->page_count)
        return NULL;
    if (!p->pages[page] && (p->pages[page] = oc_zalloc(o, sizeof(struct oc_page))))
        p->pages[page]->image_at = OC_NONE;
    return p->pages[page];
}

void oc_pages_free(struct oc_pg *p)
{
    for (uint64_t i = 0; i < p->page_count; i++) {
        struct oc_page *g = p->pages[i];
        if (!g)
            continue;
        for (uint32_t k = 0; k < g->mark_count; k++)
            free(g->marks[k]);
        free(g->marks);
        free(g->image);
        free(g->v);
        free(g);
    }
    free(p->pages);
}

/* Nothing that was made from v[i] or later is true any more. */
static void forget_from(struct oc_page *g, uint32_t i)
{
    if (g->image_at != OC_NONE && g->image_at >= i)
        g->image_at = OC_NONE;
    for (uint32_t k = i / OC_MARK_EVERY; k < g->mark_count; k++) {
        free(g->marks[k]);
        g->marks[k] = NULL;
    }
}

void oc_page_add(struct hx_oracle *o, const struct oc_rec *r, uint64_t lsn)
{
    struct oc_page *g = page_get(o, r->pg, r->page);
    if (!g) {
        if (!o->blind)
            hx_sim_broken(o->s, "I9", "LSN %llu is for page %u of PG %u, which does not exist", (oc_ull)lsn,
                          r->page, r->pg);
        return;
    }
    size_t cap = g->cap;
    struct oc_ver *v = oc_grow(o, g->v, &cap, g->count + 1, sizeof *v);
    if (!v)
        return;
    g->v = v;
    g->cap = (uint32_t)cap;
    uint32_t i = g->count++;
    for (; i > 0 && v[i - 1].lsn > lsn; i--)
        v[i] = v[i - 1];
    v[i] = (struct oc_ver){lsn, r->payload, r->len, r->kind};
    if (i + 1 < g->count)
        forget_from(g, i);
}

void oc_page_cut(struct hx_oracle *o, uint32_t pg, uint32_t page, uint64_t lsn)
{
    struct oc_page *g = page_get(o, pg, page);
    while (g && g->count && g->v[g->count - 1].lsn > lsn)
        g->count--;
    if (g)
        forget_from(g, g->count);
}

/* ---- what a record does ---- */
static void patch(uint8_t *page, const uint8_t *p, size_t len)
{
    while (len >= 4) {
        size_t off = hx_get_u16(p), n = hx_get_u16(p + 2);
        if (n > len - 4 || off + n > HX_PAGE_SIZE)
            return; /* the writer's mistake: every copy refuses it in the same way (I6 compares) */
        memcpy(page + off, p + 4, n);
        p += 4 + n;
        len -= 4 + n;
    }
}

static bool over_zeros(const struct oc_ver *v)
{
    return v->kind != HX_REC_PATCH;
}

static void apply(uint8_t *page, const struct oc_ver *v)
{
    if (over_zeros(v))
        memset(page, 0, HX_PAGE_SIZE);
    if (v->kind == HX_REC_IMAGE && v->len <= HX_PAGE_SIZE && v->len)
        memcpy(page, v->payload, v->len);
    else if (v->kind == HX_REC_PATCH || v->kind == HX_REC_SPARSE)
        patch(page, v->payload, v->len);
}

/* ---- folds ---- */
static void keep_mark(struct hx_oracle *o, struct oc_page *g, uint32_t i)
{
    uint32_t k = i / OC_MARK_EVERY;
    if ((i + 1) % OC_MARK_EVERY || (k < g->mark_count && g->marks[k]))
        return;
    size_t cap = g->mark_count;
    uint8_t **marks = k < g->mark_count ? g->marks : oc_grow(o, g->marks, &cap, k + 1, sizeof *marks);
    if (!marks)
        return;
    g->marks = marks;
    g->mark_count = (uint32_t)cap;
    marks[k] = oc_zalloc(o, HX_PAGE_SIZE);
    if (marks[k])
        memcpy(marks[k], g->image, HX_PAGE_SIZE);
}

/* TO, which is the page as of v[at] (OC_NONE: zeros), becomes the page as of v[i]. */
static void roll(struct hx_oracle *o, struct oc_page *g, uint8_t *to, uint32_t at, uint32_t i)
{
    uint32_t from = at == OC_NONE ? 0 : at + 1, k = i + 1;
    while (k > from && !over_zeros(&g->v[k - 1]))
        k--;
    if (k > from)
        from = k - 1; /* what is before is overwritten */
    else if (at == OC_NONE)
        memset(to, 0, HX_PAGE_SIZE);
    for (k = from; k <= i; k++) {
        apply(to, &g->v[k]);
        if (to == g->image)
            keep_mark(o, g, k);
    }
}

/* An older one than the image: from the mark before it. */
static void roll_older(struct hx_oracle *o, struct oc_page *g, uint32_t i)
{
    uint32_t k = (i + 1) / OC_MARK_EVERY, at = OC_NONE; /* marks below k are at or before i */
    while (k > 0 && (k > g->mark_count || !g->marks[k - 1]))
        k--;
    if (k > 0) {
        memcpy(o->page, g->marks[k - 1], HX_PAGE_SIZE);
        at = k * OC_MARK_EVERY - 1;
    }
    if (at == OC_NONE || at < i)
        roll(o, g, o->page, at, i);
}

const uint8_t *oc_page_at(struct hx_oracle *o, uint32_t pg, uint32_t page, uint64_t r, uint64_t *ret_lsn)
{
    static const uint8_t zeros[HX_PAGE_SIZE];
    const struct oc_pg *p = pg < o->pg_count ? &o->pgs[pg] : NULL;
    struct oc_page *g = p && page < p->page_count ? p->pages[page] : NULL;
    *ret_lsn = 0;
    if (!g || !g->count || g->v[0].lsn > r)
        return zeros;
    uint32_t lo = 0, hi = g->count; /* v[lo - 1] is at or below R, v[hi] is above */
    if (g->v[hi - 1].lsn <= r)
        lo = hi;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (g->v[mid].lsn <= r)
            lo = mid + 1;
        else
            hi = mid;
    }
    uint32_t i = lo - 1;
    *ret_lsn = g->v[i].lsn;
    if (!g->image && !(g->image = oc_zalloc(o, HX_PAGE_SIZE)))
        return zeros;
    if (g->image_at != OC_NONE && g->image_at > i) {
        roll_older(o, g, i);
        return o->page;
    }
    if (g->image_at != i)
        roll(o, g, g->image, g->image_at, i);
    g->image_at = i;
    return g->image;
}
