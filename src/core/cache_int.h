/*
 * cache_int.h - inside of the page cache: cache.c (lookup, fills, eviction), cache_mtr.c (mini-transactions).
 */
#ifndef HX_CORE_CACHE_INT_H
#define HX_CORE_CACHE_INT_H

#include "cache_mem.h"
#include "writer_int.h"

#include "hexad/pager.h"

struct hx_cache_list {
    uint32_t head, tail;
    uint64_t count;
};
/* One page touched by the mini-transaction under way. */
struct hx_cache_edit {
    uint32_t entry;
    uint8_t was;      /* state of the entry before */
    bool zeros;       /* before the mini-transaction, the page was zeros by the caller's word (P3) */
    bool freed;       /* the last thing done to it was to free it */
    uint8_t *before;  /* content before the first edit; NULL where there was none */
};
struct hx_cache {
    struct hx_pager pager;
    struct hx_writer *writer; /* borrowed */
    uint64_t pages_max;
    bool read_only, in_mtr;
    struct hx_cache_slabs slabs;
    uint32_t *bucket, bucket_count;
    uint64_t entries, fetches;
    struct hx_cache_list list[HX_LIST_COUNT];
    struct hx_cache_edit *edit;
    struct hx_writer_rec *rec;
    size_t edit_count, edit_max;
    struct hx_cache_scratch scratch; /* before-images and payloads */
    struct hx_cache_stats stats;
};

static inline struct hx_entry *hx_cache_at(const struct hx_cache *c, uint32_t index)
{
    return hx_cache_slabs_at(&c->slabs, index);
}
/* cache.c */
uint32_t hx_cache_find(const struct hx_cache *c, uint64_t page);
uint32_t hx_cache_make(struct hx_cache *c, uint64_t page); /* HX_CACHE_NONE: out of memory */
void hx_cache_drop(struct hx_cache *c, uint32_t index);
void hx_cache_move(struct hx_cache *c, uint32_t index, enum hx_entry_list to);
void hx_cache_unpin(struct hx_cache *c); /* pages whose last record has become durable may leave from now on */
void hx_cache_now_valid(struct hx_cache *c, uint32_t index);
/* 0 and a VALID entry; HX_E_MISS (noted), HX_E_CORRUPT, HX_E_NOMEM. */
int hx_cache_need(struct hx_cache *c, uint64_t page, uint32_t *ret);
/* cache_mtr.c: the pager's calls */
int hx_cache_mtr_begin(struct hx_pager *p);
int hx_cache_mtr_edit(struct hx_pager *p, struct hx_pageno page, enum hx_edit how, uint8_t **ret);
int hx_cache_mtr_free(struct hx_pager *p, struct hx_pageno page);
int hx_cache_mtr_commit(struct hx_pager *p, struct hx_lsn *ret_lsn);
void hx_cache_mtr_abort(struct hx_pager *p);

#endif
