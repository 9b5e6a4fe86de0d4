/*
 * cache_mem.c - slabs of entries and scratch chunks of the page cache (cache_mem.h).
 *
 * Knows nothing of pages' meaning.  Pure but for malloc: a slab or chunk at a time, never per page.
 */
#include "cache_mem.h"

#include "hexad/assert.h"

#include <stdlib.h>

#define SLAB_ENTRIES 256u
#define CHUNK_BYTES (64u * HX_PAGE_SIZE)
#define SCRATCH_KEEP 16u /* chunks that stay between mini-transactions */

struct hx_cache_slab {
    uint8_t *data;
    struct hx_entry e[SLAB_ENTRIES];
};

struct hx_cache_chunk {
    struct hx_cache_chunk *next;
    size_t used;
    uint8_t p[CHUNK_BYTES];
};

struct hx_entry *hx_cache_slabs_at(const struct hx_cache_slabs *s, uint32_t index)
{
    return &s->slab[index / SLAB_ENTRIES]->e[index % SLAB_ENTRIES];
}

static bool more(struct hx_cache_slabs *s)
{
    if (s->count == s->cap) {
        uint32_t cap = s->cap ? 2 * s->cap : 64;
        struct hx_cache_slab **grown = realloc(s->slab, cap * sizeof(struct hx_cache_slab *));
        if (!grown)
            return false;
        s->slab = grown;
        s->cap = cap;
    }
    struct hx_cache_slab *slab = calloc(1, sizeof *slab);
    uint8_t *data = slab ? aligned_alloc(HX_PAGE_SIZE, SLAB_ENTRIES * (size_t)HX_PAGE_SIZE) : NULL;
    if (!data) {
        free(slab);
        return false;
    }
    slab->data = data;
    uint32_t base = s->count * SLAB_ENTRIES;
    s->slab[s->count++] = slab;
    for (uint32_t i = 0; i < SLAB_ENTRIES; i++) {
        slab->e[i].data = data + (size_t)i * HX_PAGE_SIZE;
        slab->e[i].next = i + 1 < SLAB_ENTRIES ? base + i + 1 : HX_CACHE_NONE;
    }
    s->free = base;
    return true;
}

uint32_t hx_cache_slabs_take(struct hx_cache_slabs *s)
{
    if ((s->count == 0 || s->free == HX_CACHE_NONE) && !more(s))
        return HX_CACHE_NONE;
    uint32_t index = s->free;
    struct hx_entry *e = hx_cache_slabs_at(s, index);
    uint8_t *data = e->data;
    s->free = e->next;
    *e = (struct hx_entry){.state = HX_ENTRY_NEW, .prev = HX_CACHE_NONE, .next = HX_CACHE_NONE,
                           .hash_next = HX_CACHE_NONE, .edit = HX_CACHE_NONE, .data = data};
    return index;
}

void hx_cache_slabs_give(struct hx_cache_slabs *s, uint32_t index)
{
    struct hx_entry *e = hx_cache_slabs_at(s, index);
    hx_assert(e->list == HX_LIST_NONE && e->state != HX_ENTRY_FREE);
    e->state = HX_ENTRY_FREE;
    e->next = s->free;
    s->free = index;
}

void hx_cache_slabs_fini(struct hx_cache_slabs *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        free(s->slab[i]->data);
        free(s->slab[i]);
    }
    free(s->slab);
    *s = (struct hx_cache_slabs){0};
}

uint8_t *hx_cache_scratch_page(struct hx_cache_scratch *s)
{
    while (!s->now || CHUNK_BYTES - s->now->used < HX_PAGE_SIZE) {
        struct hx_cache_chunk **link = s->now ? &s->now->next : &s->first;
        if (!*link) {
            *link = malloc(sizeof **link);
            if (!*link)
                return NULL;
            (*link)->next = NULL;
        }
        s->now = *link;
        s->now->used = 0;
    }
    s->now->used += HX_PAGE_SIZE;
    return s->now->p + s->now->used - HX_PAGE_SIZE;
}

void hx_cache_scratch_trim(struct hx_cache_scratch *s, size_t len)
{
    hx_assert(len <= HX_PAGE_SIZE && s->now && s->now->used >= HX_PAGE_SIZE);
    s->now->used -= HX_PAGE_SIZE - len;
}

static void free_chunks(struct hx_cache_chunk *c)
{
    while (c) {
        struct hx_cache_chunk *next = c->next;
        free(c);
        c = next;
    }
}

void hx_cache_scratch_reset(struct hx_cache_scratch *s)
{
    struct hx_cache_chunk *c = s->first;
    for (unsigned i = 1; c && i < SCRATCH_KEEP; i++)
        c = c->next;
    if (c) {
        free_chunks(c->next);
        c->next = NULL;
    }
    s->now = s->first;
    if (s->now)
        s->now->used = 0;
}

void hx_cache_scratch_fini(struct hx_cache_scratch *s)
{
    free_chunks(s->first);
    *s = (struct hx_cache_scratch){0};
}
