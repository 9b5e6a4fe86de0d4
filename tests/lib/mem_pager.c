/*
 * mem_pager.c - a pager in memory for tests.
 *
 * It keeps committed pages and the edits of the one mini-transaction apart, so an abort needs no undoing;
 * and it is stricter than a real cache, so that code which passes here is right on any pager:
 *   - an edit gives another buffer than get gave before (P2 promises no more than that the old one stays);
 *   - HX_EDIT_WHOLE starts as garbage, HX_EDIT_ZEROS fails the test when the page is not zeros (P3);
 *   - a page is absent until somebody has asked for it, and leaves again at random;
 *   - when the operation ends, old buffers are poisoned and pages that were read are compared with their checksum.
 */
#include "mem_pager.h"

#include "hexad/assert.h"
#include "hexad/crc.h"

#include <stdlib.h>

#include "kit_alloc.h"

static struct mem_pager *of(struct hx_pager *p)
{
    return HX_CONTAINER_OF(p, struct mem_pager, base);
}

static const uint8_t zeros[HX_PAGE_SIZE];

uint64_t mem_pager_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static bool chance(struct mem_pager *m, unsigned percent)
{
    return percent > 0 && mem_pager_random(&m->random) % 100 < percent;
}

static bool fails_now(struct mem_pager *m)
{
    return m->fail_at > 0 && --m->fail_at == 0;
}

static uint8_t *page_new(const uint8_t *from)
{
    uint8_t *b = malloc(HX_PAGE_SIZE);
    hx_assert(b);
    memcpy(b, from ? from : zeros, HX_PAGE_SIZE);
    return b;
}

static void bury(struct mem_pager *m, uint8_t *b)
{
    if (!b)
        return;
    if (m->grave_count == m->grave_cap) {
        m->grave_cap = m->grave_cap ? 2 * m->grave_cap : 64;
        m->grave = realloc(m->grave, m->grave_cap * sizeof *m->grave);
        hx_assert(m->grave);
    }
    m->grave[m->grave_count++] = b;
}

static void touch(struct mem_pager *m, uint64_t page)
{
    if (m->at[page].listed)
        return;
    m->at[page].listed = true;
    if (m->touched_count == m->touched_cap) {
        m->touched_cap = m->touched_cap ? 2 * m->touched_cap : 64;
        m->touched = realloc(m->touched, m->touched_cap * sizeof *m->touched);
        hx_assert(m->touched);
    }
    m->touched[m->touched_count++] = page;
    if (page >= m->high)
        m->high = page + 1;
}

static int get(struct hx_pager *p, struct hx_pageno page, const uint8_t **ret)
{
    struct mem_pager *m = of(p);
    if (fails_now(m))
        return HX_E_FENCED;
    if (page.v >= m->pages)
        return HX_E_INVAL;
    struct mem_page *at = &m->at[page.v];
    touch(m, page.v);
    if (!at->edit && !at->cached) {
        at->wanted = true;
        m->misses++;
        return HX_E_MISS;
    }
    at->got = true;
    *ret = at->edit ? at->edit : at->now ? at->now : zeros;
    return 0;
}

static bool want(struct hx_pager *p, struct hx_pageno page)
{
    struct mem_pager *m = of(p);
    if (page.v >= m->pages)
        return true; /* get says what is wrong */
    struct mem_page *at = &m->at[page.v];
    if (at->cached || at->edit)
        return true;
    touch(m, page.v);
    at->wanted = true;
    return false;
}

static int begin(struct hx_pager *p)
{
    struct mem_pager *m = of(p);
    hx_assert(!m->in_mtr); /* P1 */
    if (fails_now(m))
        return HX_E_FENCED;
    m->in_mtr = true;
    return 0;
}

static int edit(struct hx_pager *p, struct hx_pageno page, enum hx_edit how, uint8_t **ret)
{
    struct mem_pager *m = of(p);
    hx_assert(m->in_mtr); /* P1 */
    if (fails_now(m))
        return HX_E_FENCED;
    if (page.v >= m->pages)
        return HX_E_INVAL;
    struct mem_page *at = &m->at[page.v];
    touch(m, page.v);
    const uint8_t *content = at->edit ? at->edit : at->now ? at->now : zeros;
    if (how == HX_EDIT_KEEP && !at->edit && !at->cached) {
        at->wanted = true;
        m->misses++;
        return HX_E_MISS;
    }
    if (how == HX_EDIT_ZEROS)
        hx_assert(memcmp(content, zeros, HX_PAGE_SIZE) == 0); /* P3 */
    if (!at->edit)
        at->edit = page_new(content);
    if (how == HX_EDIT_WHOLE)
        memset(at->edit, 0xa5, HX_PAGE_SIZE);
    *ret = at->edit;
    return 0;
}

static int free_page(struct hx_pager *p, struct hx_pageno page)
{
    struct mem_pager *m = of(p);
    hx_assert(m->in_mtr);
    if (fails_now(m))
        return HX_E_FENCED;
    if (page.v >= m->pages)
        return HX_E_INVAL;
    struct mem_page *at = &m->at[page.v];
    touch(m, page.v);
    bury(m, at->edit);
    at->edit = page_new(NULL);
    return 0;
}

static void rollback(struct hx_pager *p)
{
    struct mem_pager *m = of(p);
    hx_assert(m->in_mtr);
    for (size_t i = 0; i < m->touched_count; i++) {
        struct mem_page *at = &m->at[m->touched[i]];
        bury(m, at->edit);
        at->edit = NULL;
    }
    m->in_mtr = false;
    m->aborts++;
}

static uint64_t bytes_changed(const uint8_t *a, const uint8_t *b)
{
    uint64_t n = 0;
    for (size_t i = 0; i < HX_PAGE_SIZE; i++)
        n += a[i] != b[i];
    return n;
}

static void apply(struct mem_pager *m, struct mem_page *at)
{
    uint64_t n = bytes_changed(at->now ? at->now : zeros, at->edit);
    m->last_pages += n > 0;
    m->last_bytes += n;
    bury(m, at->now);
    at->now = at->edit;
    at->edit = NULL;
    if (memcmp(at->now, zeros, HX_PAGE_SIZE) == 0) {
        m->last_freed += n > 0;
        bury(m, at->now);
        at->now = NULL;
    }
    at->sum = at->now ? hx_crc32c(0, at->now, HX_PAGE_SIZE) : 0;
    at->cached = true; /* it has a record above the VDL */
}

static int commit(struct hx_pager *p, struct hx_lsn *ret_lsn)
{
    struct mem_pager *m = of(p);
    hx_assert(m->in_mtr);
    bool fenced = fails_now(m);
    if (fenced || chance(m, m->room_percent)) {
        rollback(p);
        return fenced ? HX_E_FENCED : HX_E_ROOM;
    }
    uint64_t edited = 0;
    for (size_t i = 0; i < m->touched_count; i++)
        edited += m->at[m->touched[i]].edit != NULL;
    if (edited > m->mtr_max) {
        rollback(p);
        return HX_E_TOOBIG;
    }
    m->last_pages = m->last_bytes = m->last_freed = 0;
    for (size_t i = 0; i < m->touched_count; i++)
        if (m->at[m->touched[i]].edit)
            apply(m, &m->at[m->touched[i]]);
    m->in_mtr = false;
    m->commits++;
    m->lsn += m->last_pages;
    *ret_lsn = HX_LSN(m->lsn);
    if (m->on_commit)
        m->on_commit(m->on_commit_arg);
    return 0;
}

static uint64_t pages(const struct hx_pager *p)
{
    return HX_CONTAINER_OF((struct hx_pager *)(uintptr_t)p, struct mem_pager, base)->pages;
}

static uint64_t mtr_max(const struct hx_pager *p)
{
    return HX_CONTAINER_OF((struct hx_pager *)(uintptr_t)p, struct mem_pager, base)->mtr_max;
}

static const struct hx_pager_ops ops = {get, want, begin, edit, free_page, commit, rollback, pages, mtr_max};

struct mem_pager *mem_pager_new(uint64_t page_count, uint64_t pages_max, uint64_t seed)
{
    struct mem_pager *m = calloc(1, sizeof *m);
    hx_assert(m);
    m->at = calloc(pages_max, sizeof *m->at);
    hx_assert(m->at);
    m->base.ops = &ops;
    m->pages = page_count;
    m->pages_max = pages_max;
    m->mtr_max = 4096;
    m->random = seed;
    for (uint64_t i = 0; i < pages_max; i++)
        m->at[i].cached = true;
    return m;
}

/* *ret_fetched: how many wanted pages came in, when FETCH. */
static void end_operation(struct mem_pager *m, bool fetch, uint64_t *ret_fetched)
{
    hx_assert(!m->in_mtr); /* every begin has its end */
    for (size_t i = 0; i < m->grave_count; i++) {
        memset(m->grave[i], 0x5a, HX_PAGE_SIZE);
        free(m->grave[i]);
    }
    m->grave_count = 0;
    *ret_fetched = 0;
    for (size_t i = 0; i < m->touched_count; i++) {
        struct mem_page *at = &m->at[m->touched[i]];
        if (at->got && at->now)
            hx_assert(hx_crc32c(0, at->now, HX_PAGE_SIZE) == at->sum);
        if (at->wanted && fetch) {
            *ret_fetched += !at->cached;
            at->cached = true;
        }
        at->got = at->wanted = at->listed = false;
    }
    m->touched_count = 0;
}

void mem_pager_free(struct mem_pager *m)
{
    uint64_t fetched;
    if (!m)
        return;
    end_operation(m, false, &fetched);
    for (uint64_t i = 0; i < m->pages_max; i++)
        free(m->at[i].now);
    free(m->at);
    free(m->grave);
    free(m->touched);
    free(m);
}

struct mem_pager *mem_pager_clone(const struct mem_pager *m)
{
    struct mem_pager *c = mem_pager_new(m->pages, m->pages_max, 1);
    for (uint64_t i = 0; i < m->pages; i++)
        if (m->at[i].now) {
            c->at[i].now = page_new(m->at[i].now);
            c->at[i].sum = m->at[i].sum;
            c->high = i + 1;
        }
    return c;
}

bool mem_pager_again(struct mem_pager *m, int rc)
{
    uint64_t fetched;
    end_operation(m, rc == HX_E_MISS, &fetched);
    if (rc == HX_E_MISS) {
        hx_assert(fetched > 0); /* else it would go round for ever */
        return true;
    }
    if (rc == HX_E_ROOM)
        return true;
    if (rc == HX_E_GROW && m->pages < m->pages_max) {
        uint64_t unit = 256; /* 1 MiB, the smallest protection group */
        m->pages = m->pages_max - m->pages < unit ? m->pages_max : m->pages + unit;
        return true;
    }
    for (uint64_t i = 0; m->drop_percent > 0 && i < m->high; i++)
        if (chance(m, m->drop_percent))
            m->at[i].cached = false;
    return false;
}

void mem_pager_drop_all(struct mem_pager *m)
{
    for (uint64_t i = 0; i < m->pages_max; i++)
        m->at[i].cached = false;
}

const uint8_t *mem_pager_page(const struct mem_pager *m, uint64_t page)
{
    return m->at[page].now;
}

bool mem_pager_is_zeros(const struct mem_pager *m, uint64_t page)
{
    return !m->at[page].now;
}
