/*
 * cache.c - the page cache over the writer: lookup, fills, eviction (second half of hexad/pager.h).
 *
 * Does not fetch (the reader does, carried by whoever drives) and does not edit (cache_mtr.c).
 *
 *   C1 a page is on exactly one list: LRU (clean or durable: may leave), PINNED (its last record is above the VDL
 *      as far as known; in LSN order), WANTED (to be given out by take_wants), or none (being fetched, bad).
 *   C2 only a page whose last record is at or below the VDL leaves (pitfall 34).
 *   C3 a fill counts only while its page is FETCHING under the same number: so bytes that were read before a
 *      write, or for an older fetch, never replace newer content.
 *   C4 pinned pages are at most half of the bound (one mini-transaction alone may need more): commit answers ROOM.
 *      So reads go on while nothing can become durable, and small patches of many pages do not grow the cache.
 *
 * Crash: the cache is lost, the log is not.  Late and repeated fills: C3.
 * Memory: entries in slabs up to the bound, and beyond it only for what one operation needs until the next
 * hx_cache_trim.
 */
#include "cache_int.h"

#include "hexad/assert.h"
#include "hexad/err.h"
#include "hexad/mutant.h"

#include <stdlib.h>

#define CACHE_MIN (4u << 20)
#define MTR_PAGES_DEFAULT 4096u

/* ---- lists ---- */

static void list_add(struct hx_cache *c, uint32_t index, enum hx_entry_list which)
{
    struct hx_entry *e = hx_cache_at(c, index);
    struct hx_cache_list *l = &c->list[which];
    hx_assert(e->list == HX_LIST_NONE); /* C1 */
    e->list = (uint8_t)which;
    e->prev = l->tail;
    e->next = HX_CACHE_NONE;
    if (l->tail != HX_CACHE_NONE)
        hx_cache_at(c, l->tail)->next = index;
    else
        l->head = index;
    l->tail = index;
    l->count++;
}

static void list_remove(struct hx_cache *c, uint32_t index)
{
    struct hx_entry *e = hx_cache_at(c, index);
    struct hx_cache_list *l = &c->list[e->list];
    if (e->list == HX_LIST_NONE)
        return;
    if (e->prev != HX_CACHE_NONE)
        hx_cache_at(c, e->prev)->next = e->next;
    else
        l->head = e->next;
    if (e->next != HX_CACHE_NONE)
        hx_cache_at(c, e->next)->prev = e->prev;
    else
        l->tail = e->prev;
    l->count--;
    e->list = HX_LIST_NONE;
    e->prev = e->next = HX_CACHE_NONE;
}

void hx_cache_move(struct hx_cache *c, uint32_t index, enum hx_entry_list to)
{
    list_remove(c, index);
    if (to != HX_LIST_NONE)
        list_add(c, index, to);
}

/* ---- lookup ---- */

static uint32_t *bucket(const struct hx_cache *c, uint64_t page)
{
    uint64_t h = page * UINT64_C(0x9e3779b97f4a7c15);
    return &c->bucket[h >> 32 & (c->bucket_count - 1)];
}

uint32_t hx_cache_find(const struct hx_cache *c, uint64_t page)
{
    uint32_t i = *bucket(c, page);
    while (i != HX_CACHE_NONE && hx_cache_at(c, i)->page != page)
        i = hx_cache_at(c, i)->hash_next;
    return i;
}

static uint32_t *make_buckets(uint32_t count)
{
    uint32_t *b = malloc((size_t)count * sizeof *b);
    for (uint32_t i = 0; b && i < count; i++)
        b[i] = HX_CACHE_NONE;
    return b;
}

/* More buckets when there are more entries; without memory the chains just get longer. */
static void rehash(struct hx_cache *c)
{
    uint32_t old_count = c->bucket_count, *old = c->bucket;
    hx_assert(old_count <= UINT32_MAX / 2); /* more pages than there is memory for */
    uint32_t *b = make_buckets(2 * old_count);
    if (!b)
        return;
    c->bucket = b;
    c->bucket_count = 2 * old_count;
    for (uint32_t k = 0; k < old_count; k++) {
        for (uint32_t i = old[k]; i != HX_CACHE_NONE;) {
            struct hx_entry *e = hx_cache_at(c, i);
            uint32_t next = e->hash_next, *to = bucket(c, e->page);
            e->hash_next = *to;
            *to = i;
            i = next;
        }
    }
    free(old);
}

uint32_t hx_cache_make(struct hx_cache *c, uint64_t page)
{
    uint32_t i = hx_cache_slabs_take(&c->slabs);
    if (i == HX_CACHE_NONE)
        return i;
    if (c->entries >= c->bucket_count)
        rehash(c);
    struct hx_entry *e = hx_cache_at(c, i);
    uint32_t *b = bucket(c, page);
    e->page = page;
    e->hash_next = *b;
    *b = i;
    c->entries++;
    return i;
}

void hx_cache_drop(struct hx_cache *c, uint32_t index)
{
    struct hx_entry *e = hx_cache_at(c, index);
    uint32_t *link = bucket(c, e->page);
    hx_assert(e->edit == HX_CACHE_NONE);
    while (*link != index)
        link = &hx_cache_at(c, *link)->hash_next;
    *link = e->hash_next;
    list_remove(c, index);
    c->stats.pages -= e->state == HX_ENTRY_VALID;
    c->entries--;
    hx_cache_slabs_give(&c->slabs, index);
}

void hx_cache_now_valid(struct hx_cache *c, uint32_t index)
{
    struct hx_entry *e = hx_cache_at(c, index);
    c->stats.pages += e->state != HX_ENTRY_VALID;
    e->state = HX_ENTRY_VALID;
}

/* No record of its PG exists: zeros, nobody need be asked. */
static bool blank(struct hx_cache *c, uint64_t page)
{
    const struct hx_geometry *g = hx_writer_geometry(c->writer);
    return hx_writer_pg_blank(c->writer, hx_geometry_pg_of(g, HX_PAGE(page)));
}

int hx_cache_need(struct hx_cache *c, uint64_t page, uint32_t *ret)
{
    uint32_t i = hx_cache_find(c, page);
    if (i != HX_CACHE_NONE) {
        uint8_t state = hx_cache_at(c, i)->state;
        *ret = i;
        if (state == HX_ENTRY_VALID) {
            c->stats.hits++;
            hx_cache_at(c, i)->fresh = false;
            return 0;
        }
        c->stats.misses += state != HX_ENTRY_BAD;
        return state == HX_ENTRY_BAD ? HX_E_CORRUPT : HX_E_MISS;
    }
    i = hx_cache_make(c, page);
    if (i == HX_CACHE_NONE)
        return HX_E_NOMEM;
    *ret = i;
    if (blank(c, page)) {
        memset(hx_cache_at(c, i)->data, 0, HX_PAGE_SIZE);
        hx_cache_now_valid(c, i);
        hx_cache_move(c, i, HX_LIST_LRU);
        return 0;
    }
    c->stats.misses++;
    hx_cache_at(c, i)->state = HX_ENTRY_WANTED;
    hx_cache_move(c, i, HX_LIST_WANTED);
    return HX_E_MISS;
}

static int cache_get(struct hx_pager *p, struct hx_pageno page, const uint8_t **ret)
{
    struct hx_cache *c = HX_CONTAINER_OF(p, struct hx_cache, pager);
    uint32_t i;
    if (page.v >= hx_writer_pages(c->writer))
        return HX_E_INVAL;
    int rc = hx_cache_need(c, page.v, &i);
    if (rc)
        return rc;
    if (hx_cache_at(c, i)->list == HX_LIST_LRU && c->list[HX_LIST_LRU].tail != i)
        hx_cache_move(c, i, HX_LIST_LRU);
    *ret = hx_cache_at(c, i)->data;
    return 0;
}

static bool cache_want(struct hx_pager *p, struct hx_pageno page)
{
    struct hx_cache *c = HX_CONTAINER_OF(p, struct hx_cache, pager);
    uint32_t i;
    if (page.v >= hx_writer_pages(c->writer))
        return true; /* get says what is wrong */
    int rc = hx_cache_need(c, page.v, &i);
    return rc != HX_E_MISS;
}

static uint64_t cache_pages(const struct hx_pager *p)
{
    return hx_writer_pages(HX_CONTAINER_OF(p, const struct hx_cache, pager)->writer);
}

/* Each page that has changed is a record, and an empty window takes as many as the history allows. */
static uint64_t cache_mtr_max(const struct hx_pager *p)
{
    const struct hx_cache *c = HX_CONTAINER_OF(p, const struct hx_cache, pager);
    uint64_t lal = hx_history_top_entry(hx_writer_history(c->writer))->lal;
    return lal < c->edit_max ? lal : c->edit_max;
}

/* ---- fetching ---- */

size_t hx_cache_take_wants(struct hx_cache *c, struct hx_cache_want *ret, size_t max)
{
    size_t n = 0;
    while (n < max && c->list[HX_LIST_WANTED].head != HX_CACHE_NONE) {
        uint32_t i = c->list[HX_LIST_WANTED].head;
        struct hx_entry *e = hx_cache_at(c, i);
        hx_cache_move(c, i, HX_LIST_NONE);
        e->state = HX_ENTRY_FETCHING;
        e->fetch = ++c->fetches;
        ret[n++] = (struct hx_cache_want){HX_PAGE(e->page), e->fetch};
    }
    return n;
}

/* The entry that waits for this fetch (C3), or HX_CACHE_NONE. */
static uint32_t waiting(const struct hx_cache *c, struct hx_cache_want w)
{
    uint32_t i = hx_cache_find(c, w.page.v);
    if (i == HX_CACHE_NONE)
        return i;
    const struct hx_entry *e = hx_cache_at(c, i);
    bool waits = e->state == HX_ENTRY_FETCHING && e->fetch == w.fetch;
    return waits || HX_MUTANT(FILL_OVER_NEWER) ? i : HX_CACHE_NONE;
}

void hx_cache_fill(struct hx_cache *c, struct hx_cache_want w, const uint8_t *data)
{
    uint32_t i = waiting(c, w);
    hx_assert(!c->in_mtr);
    if (i == HX_CACHE_NONE)
        return;
    struct hx_entry *e = hx_cache_at(c, i);
    if (data)
        memcpy(e->data, data, HX_PAGE_SIZE);
    else
        memset(e->data, 0, HX_PAGE_SIZE);
    e->fresh = true;
    hx_cache_now_valid(c, i);
    hx_cache_move(c, i, HX_LIST_LRU);
}

void hx_cache_fill_failed(struct hx_cache *c, struct hx_cache_want w, int err)
{
    uint32_t i = waiting(c, w);
    hx_assert(!c->in_mtr);
    if (i == HX_CACHE_NONE)
        return;
    if (err == HX_E_CORRUPT)
        hx_cache_at(c, i)->state = HX_ENTRY_BAD;
    else
        hx_cache_drop(c, i); /* the next get asks again */
}

bool hx_cache_has(const struct hx_cache *c, struct hx_pageno page)
{
    uint32_t i = hx_cache_find(c, page.v);
    return i != HX_CACHE_NONE && hx_cache_at(c, i)->state == HX_ENTRY_VALID;
}

/* ---- eviction ---- */

void hx_cache_unpin(struct hx_cache *c)
{
    struct hx_lsn vdl = hx_writer_vdl(c->writer);
    while (c->list[HX_LIST_PINNED].head != HX_CACHE_NONE) {
        uint32_t i = c->list[HX_LIST_PINNED].head;
        if (hx_cache_at(c, i)->lsn.v > vdl.v && !HX_MUTANT(EVICT_ABOVE_VDL))
            return;
        hx_cache_move(c, i, HX_LIST_LRU);
    }
}

static void evict(struct hx_cache *c, uint32_t index)
{
    bool durable = hx_cache_at(c, index)->lsn.v <= hx_writer_vdl(c->writer).v;
    hx_assert(durable || HX_MUTANT(EVICT_ABOVE_VDL) || HX_MUTANT(FILL_OVER_NEWER)); /* C2 */
    hx_cache_drop(c, index);
    c->stats.evicted++;
}

void hx_cache_trim(struct hx_cache *c)
{
    hx_assert(!c->in_mtr);
    hx_cache_unpin(c);
    while (c->stats.pages > c->pages_max && c->list[HX_LIST_LRU].head != HX_CACHE_NONE) {
        uint32_t i = c->list[HX_LIST_LRU].head;
        struct hx_entry *e = hx_cache_at(c, i);
        if (e->fresh) {
            e->fresh = false; /* once: whoever waited for it may not have run yet */
            hx_cache_move(c, i, HX_LIST_LRU);
            continue;
        }
        evict(c, i);
    }
}

void hx_cache_drop_clean(struct hx_cache *c)
{
    hx_assert(!c->in_mtr);
    hx_cache_unpin(c);
    while (c->list[HX_LIST_LRU].head != HX_CACHE_NONE)
        evict(c, c->list[HX_LIST_LRU].head);
}

/* ---- life ---- */

static const struct hx_pager_ops ops = {
    .get = cache_get, .want = cache_want, .begin = hx_cache_mtr_begin, .edit = hx_cache_mtr_edit,
    .free = hx_cache_mtr_free, .commit = hx_cache_mtr_commit, .abort = hx_cache_mtr_abort, .pages = cache_pages,
    .mtr_max = cache_mtr_max,
};

int hx_cache_new(const struct hx_cache_cfg *cfg, struct hx_writer *writer, struct hx_cache **ret)
{
    if (cfg->cache_bytes < CACHE_MIN || cfg->cache_bytes / HX_PAGE_SIZE > UINT32_MAX / 4)
        return HX_E_INVAL;
    struct hx_cache *c = calloc(1, sizeof *c);
    if (!c)
        return HX_E_NOMEM;
    c->pager.ops = &ops;
    c->writer = writer;
    c->pages_max = cfg->cache_bytes / HX_PAGE_SIZE;
    c->edit_max = cfg->mtr_pages_max ? cfg->mtr_pages_max : MTR_PAGES_DEFAULT;
    c->read_only = cfg->read_only;
    c->bucket_count = 1024;
    while (c->bucket_count < c->pages_max)
        c->bucket_count *= 2;
    for (unsigned i = 0; i < HX_LIST_COUNT; i++)
        c->list[i] = (struct hx_cache_list){HX_CACHE_NONE, HX_CACHE_NONE, 0};
    c->bucket = make_buckets(c->bucket_count);
    c->edit = calloc(c->edit_max, sizeof *c->edit);
    c->rec = calloc(c->edit_max, sizeof *c->rec);
    if (!c->bucket || !c->edit || !c->rec) {
        hx_cache_free(c);
        return HX_E_NOMEM;
    }
    *ret = c;
    return 0;
}

void hx_cache_free(struct hx_cache *c)
{
    if (!c)
        return;
    hx_cache_slabs_fini(&c->slabs);
    hx_cache_scratch_fini(&c->scratch);
    free(c->bucket);
    free(c->edit);
    free(c->rec);
    free(c);
}

struct hx_pager *hx_cache_pager(struct hx_cache *c)
{
    return &c->pager;
}

void hx_cache_add_user_bytes(struct hx_cache *c, uint64_t bytes)
{
    c->stats.user_bytes += bytes;
}

void hx_cache_stats(const struct hx_cache *c, struct hx_cache_stats *ret)
{
    *ret = c->stats;
}
