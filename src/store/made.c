/*
 * made.c - a few pages that were made of a base and patches, kept as they came out.
 *
 * A page that is read often is mostly one that is changed often: its chain is long until it gets an image, and each
 * read would go through all of it.  Pages without patches are not kept, the system's cache has them.
 *   E1 A page is known by its records, oldest first, each by LSN and sum: where they lie now and how often they were
 *      moved does not matter, but one that was replaced after damage is another one.  What is kept was made of records
 *      whose sums were right; who asks has looked whether the page is damaged.
 *   E2 If the records that are kept are the oldest of those asked for, only the rest remains to be applied.
 *   E3 A page is kept when it comes for the second time before another one came that has the same place.  So pages that
 *      are read once do not push out those that are read often, nor do they cost a copy.
 * Pure.  Each page has one place where it may be.  Memory: HX_MADE x 4.3 KiB once a page was to be kept, shared by all
 * segments of a node; without memory nothing is kept.
 */
#include "store.h"

#include <stdlib.h>

static struct hx_made_page *place_of(const struct hx_made *m, const struct hx_seg *s, uint32_t page)
{
    uint64_t x = hx_get_u32(s->at.volume.b) + s->at.pg * UINT64_C(0xc2b2ae3d) + page;
    return &m->p[(x * UINT64_C(0x9e3779b97f4a7c15) >> 32) % HX_MADE];
}

size_t hx_made_get(const struct hx_made *m, const struct hx_seg *s, uint32_t page, const struct hx_version *path,
                   size_t n, uint8_t data[HX_PAGE_SIZE], uint32_t *ret_crc)
{
    const struct hx_made_page *e = m->p ? place_of(m, s, page) : NULL;
    if (!e || e->seg != s || e->page != page || e->count > n)
        return n;
    const struct hx_version *v = path + n;
    for (unsigned i = 0; i < e->count; i++) /* E1 */
        if (e->of[i].lsn != (--v)->lsn || e->of[i].sum != v->sum)
            return n;
    memcpy(data, e->data, HX_PAGE_SIZE);
    *ret_crc = e->crc;
    return n - e->count; /* E2 */
}

void hx_made_keep(struct hx_made *m, const struct hx_seg *s, uint32_t page, const struct hx_version *path, size_t n,
                  const uint8_t data[HX_PAGE_SIZE], uint32_t crc)
{
    if (n < HX_MADE_LEAST || n > HX_MADE_MOST || (!m->p && !(m->p = calloc(HX_MADE, sizeof *m->p))))
        return;
    struct hx_made_page *e = place_of(m, s, page);
    bool again = (e->seg == s && e->page == page) || (e->wanted_by == s && e->wanted == page);
    e->wanted_by = s;
    e->wanted = page;
    if (!again) /* E3 */
        return;
    e->seg = s;
    e->page = page;
    e->count = (uint32_t)n;
    e->crc = crc;
    for (size_t i = 0; i < n; i++)
        e->of[i] = (struct hx_made_rec){path[n - 1 - i].lsn, path[n - 1 - i].sum};
    memcpy(e->data, data, HX_PAGE_SIZE);
}

void hx_made_forget(struct hx_made *m, const struct hx_seg *s)
{
    for (size_t i = 0; m->p && i < HX_MADE; i++)
        if (m->p[i].seg == s)
            m->p[i].seg = NULL;
}

void hx_made_fini(struct hx_made *m)
{
    free(m->p);
    *m = (struct hx_made){0};
}
