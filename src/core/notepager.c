/*
 * notepager.c - the page cache as operations see it: the same pages, and a note of those that were missing.
 *
 * Does not fetch: the session does (session_ops.c), and wakes exactly the operations that lacked a page.  A page is
 * noted once per run of an operation.  Memory: one list that grows to the largest operation and stays.
 */
#include "notepager.h"

#include "hexad/err.h"

#include <stdlib.h>

static struct hx_notepager *of(struct hx_pager *p)
{
    return HX_CONTAINER_OF(p, struct hx_notepager, base);
}

static void note(struct hx_notepager *n, struct hx_pageno page)
{
    for (size_t i = n->count; i > 0 && n->count - i < 8; i--) /* repeats come soon after one another, */
        if (n->pages[i - 1].v == page.v)                      /* and one that slips through does no harm */
            return;
    if (n->count == n->cap) {
        size_t cap = n->cap ? 2 * n->cap : 256;
        struct hx_pageno *pages = realloc(n->pages, cap * sizeof(*pages));
        if (!pages) {
            n->nomem = true;
            return;
        }
        n->pages = pages;
        n->cap = cap;
    }
    n->pages[n->count++] = page;
}

static int np_get(struct hx_pager *p, struct hx_pageno page, const uint8_t **ret)
{
    int err = hx_pager_get(of(p)->inner, page, ret);
    if (err == HX_E_MISS)
        note(of(p), page);
    return err;
}

static bool np_want(struct hx_pager *p, struct hx_pageno page)
{
    bool there = hx_pager_want(of(p)->inner, page);
    if (!there)
        note(of(p), page);
    return there;
}

static int np_begin(struct hx_pager *p)
{
    return hx_pager_begin(of(p)->inner);
}

static int np_edit(struct hx_pager *p, struct hx_pageno page, enum hx_edit how, uint8_t **ret)
{
    int err = hx_pager_edit(of(p)->inner, page, how, ret);
    if (err == HX_E_MISS)
        note(of(p), page);
    return err;
}

static int np_free(struct hx_pager *p, struct hx_pageno page)
{
    int err = hx_pager_free_page(of(p)->inner, page);
    if (err == HX_E_MISS)
        note(of(p), page);
    return err;
}

static int np_commit(struct hx_pager *p, struct hx_lsn *ret_lsn)
{
    return hx_pager_commit(of(p)->inner, ret_lsn);
}

static void np_abort(struct hx_pager *p)
{
    hx_pager_abort(of(p)->inner);
}

static uint64_t np_pages(const struct hx_pager *p)
{
    return hx_pager_pages(HX_CONTAINER_OF(p, const struct hx_notepager, base)->inner);
}

static uint64_t np_mtr_max(const struct hx_pager *p)
{
    return hx_pager_mtr_max(HX_CONTAINER_OF(p, const struct hx_notepager, base)->inner);
}

static const struct hx_pager_ops ops = {np_get,  np_want,   np_begin, np_edit,   np_free,
                                        np_commit, np_abort, np_pages, np_mtr_max};

void hx_notepager_init(struct hx_notepager *n, struct hx_pager *inner)
{
    *n = (struct hx_notepager){.base = {&ops}, .inner = inner};
}

void hx_notepager_fini(struct hx_notepager *n)
{
    free(n->pages);
    *n = (struct hx_notepager){0};
}

void hx_notepager_reset(struct hx_notepager *n)
{
    n->count = 0;
    n->nomem = false;
}
