/*
 * cache_mem.h - memory of the page cache: entries in slabs, and the scratch memory of one mini-transaction.
 *
 * Slabs are never given back: the cache's bound is their bound.  Scratch memory above SCRATCH_KEEP chunks is
 * given back when the mini-transaction ends.  Entries are named by index, so lists cost 4 bytes a link; an
 * entry and its page never move (P2).
 */
#ifndef HX_CORE_CACHE_MEM_H
#define HX_CORE_CACHE_MEM_H

#include "hexad/types.h"

#define HX_CACHE_NONE UINT32_MAX

enum hx_entry_state {
    HX_ENTRY_FREE = 0,
    HX_ENTRY_NEW,      /* made by this mini-transaction, or about to be noted; has no content yet */
    HX_ENTRY_WANTED,   /* to be fetched */
    HX_ENTRY_FETCHING, /* given out by take_wants */
    HX_ENTRY_VALID,
    HX_ENTRY_BAD       /* no copy is readable: until it is written */
};
enum hx_entry_list { HX_LIST_NONE = 0, HX_LIST_LRU, HX_LIST_PINNED, HX_LIST_WANTED, HX_LIST_COUNT };

struct hx_entry {
    uint64_t page;
    uint64_t fetch;      /* number of its fetch, in FETCHING */
    struct hx_lsn lsn;   /* its last record made here; 0 for none */
    uint32_t hash_next, prev, next;
    uint32_t edit;       /* index in the mini-transaction's edits, HX_CACHE_NONE for none */
    uint8_t state, list;
    uint8_t patches;     /* patches made here since a record that needs none before it (cache_mtr.c M4) */
    bool fresh;          /* filled and not looked at yet: gets a second chance in the LRU list */
    uint8_t *data;       /* HX_PAGE_SIZE bytes in the slab */
};

struct hx_cache_slab;
struct hx_cache_slabs {
    struct hx_cache_slab **slab;
    uint32_t count, cap;
    uint32_t free; /* first free entry, linked by next */
};
void hx_cache_slabs_fini(struct hx_cache_slabs *s);
/* An entry in state NEW on no list, or HX_CACHE_NONE: out of memory. */
uint32_t hx_cache_slabs_take(struct hx_cache_slabs *s);
void hx_cache_slabs_give(struct hx_cache_slabs *s, uint32_t index);
struct hx_entry *hx_cache_slabs_at(const struct hx_cache_slabs *s, uint32_t index);

struct hx_cache_chunk;
struct hx_cache_scratch {
    struct hx_cache_chunk *first, *now;
};
void hx_cache_scratch_fini(struct hx_cache_scratch *s);
/* HX_PAGE_SIZE bytes that stay until reset, or NULL. */
uint8_t *hx_cache_scratch_page(struct hx_cache_scratch *s);
/* Gives back all but LEN bytes of what the last hx_cache_scratch_page gave. */
void hx_cache_scratch_trim(struct hx_cache_scratch *s, size_t len);
void hx_cache_scratch_reset(struct hx_cache_scratch *s);

#endif
