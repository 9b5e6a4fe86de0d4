/*
 * pager.h - the pager interface: what the filesystem stands on, and the page cache that provides it.
 *
 * Operations are *restartable*.  The filesystem runs an operation from start to end without waiting; a
 * page that is not in the cache is HX_E_MISS and is noted; the operation aborts its mini-transaction,
 * returns HX_E_MISS, and whoever called it fetches the pages and calls it again.  So nothing blocks,
 * nothing is half done, and a million operations may be waiting.  In the same way HX_E_ROOM (the log
 * window is full: call again when the VDL has moved) and HX_E_GROW (no free page: call again when the
 * volume has grown).
 *
 * Rules for callers, numbered because code and tests cite them:
 *   P1 One mini-transaction at a time; begin .. commit or abort; edits only inside.
 *   P2 Pointers from get and edit stay valid until the operation ends (op_end), not longer.
 *   P3 A page that is not allocated reads as zeros: freeing a page makes it zeros.  So an allocated
 *      page needs no initial read (HX_EDIT_ZEROS).
 *   P4 After HX_E_MISS, HX_E_ROOM or any error between begin and commit, abort; nothing has changed.
 *   P5 commit: all edits become records with consecutive LSNs, the last one is the CPL.
 */
#ifndef HEXAD_PAGER_H
#define HEXAD_PAGER_H

#include "hexad/types.h"

enum hx_edit {
    HX_EDIT_KEEP = 1, /* needs the present content: HX_E_MISS when it is not cached */
    HX_EDIT_WHOLE,    /* the caller overwrites all 4,096 bytes; content undefined until then */
    HX_EDIT_ZEROS     /* the page is known to be zeros now (P3), and starts so; never misses */
};

struct hx_pager;
struct hx_pager_ops {
    /* *ret: the page's 4,096 bytes.  Inside a mini-transaction sees its edits.  HX_E_MISS: noted.
     * HX_E_INVAL: at or beyond pages(). HX_E_CORRUPT: a fetch failed for good on all copies. */
    int (*get)(struct hx_pager *p, struct hx_pageno page, const uint8_t **ret);
    /* Note that the page will be wanted, so that a multi-page operation misses once: true if cached. */
    bool (*want)(struct hx_pager *p, struct hx_pageno page);
    int (*begin)(struct hx_pager *p); /* HX_E_FENCED, HX_E_READ_ONLY */
    int (*edit)(struct hx_pager *p, struct hx_pageno page, enum hx_edit how, uint8_t **ret);
    int (*free)(struct hx_pager *p, struct hx_pageno page); /* becomes zeros; a FREE record */
    /* 0 (*ret_lsn: its CPL, or the last LSN so far when nothing changed), HX_E_ROOM, HX_E_FENCED. On an
     * error everything is as before begin, and the mini-transaction is over (as after abort). */
    int (*commit)(struct hx_pager *p, struct hx_lsn *ret_lsn);
    void (*abort)(struct hx_pager *p);
    uint64_t (*pages)(const struct hx_pager *p); /* pages 0 .. pages - 1 exist; grows, and falls when
                                                  * the last ones are taken away (hx_session_release) */
    /* Most pages that one mini-transaction may change; more is HX_E_TOOBIG, for ever.  Never changes. */
    uint64_t (*mtr_max)(const struct hx_pager *p);
};
struct hx_pager {
    const struct hx_pager_ops *ops;
};

static inline int hx_pager_get(struct hx_pager *p, struct hx_pageno page, const uint8_t **ret)
{
    return p->ops->get(p, page, ret);
}
static inline bool hx_pager_want(struct hx_pager *p, struct hx_pageno page)
{
    return p->ops->want(p, page);
}
static inline int hx_pager_begin(struct hx_pager *p)
{
    return p->ops->begin(p);
}
static inline int hx_pager_edit(struct hx_pager *p, struct hx_pageno page, enum hx_edit how, uint8_t **ret)
{
    return p->ops->edit(p, page, how, ret);
}
static inline int hx_pager_free_page(struct hx_pager *p, struct hx_pageno page)
{
    return p->ops->free(p, page);
}
static inline int hx_pager_commit(struct hx_pager *p, struct hx_lsn *ret_lsn)
{
    return p->ops->commit(p, ret_lsn);
}
static inline void hx_pager_abort(struct hx_pager *p)
{
    p->ops->abort(p);
}
static inline uint64_t hx_pager_pages(const struct hx_pager *p)
{
    return p->ops->pages(p);
}
static inline uint64_t hx_pager_mtr_max(const struct hx_pager *p)
{
    return p->ops->mtr_max(p);
}

/*
 * The page cache over the writer (src/core/cache.c).  A page with a record above the VDL stays (the
 * 2017 paper, section 4.2.3, says >=; the rule is <=: pitfall 34); others leave in LRU order.
 */
struct hx_cache;
struct hx_writer;
struct hx_cache_cfg {
    size_t cache_bytes; /* bound on cached pages; at least 4 MiB */
    size_t mtr_pages_max; /* most pages that one mini-transaction may edit; 0: 4096 */
    bool read_only;
};
struct hx_cache_stats {
    uint64_t hits, misses, pages, evicted, user_bytes; /* user_bytes: counted by add_user_bytes */
};
int hx_cache_new(const struct hx_cache_cfg *cfg, struct hx_writer *writer, struct hx_cache **ret);
void hx_cache_free(struct hx_cache *c);
struct hx_pager *hx_cache_pager(struct hx_cache *c);
/* Pages noted by HX_E_MISS and want() since the last call which no fetch is under way for: marks them as
 * being fetched, and gives page and fetch number (used by fill).  Returns how many; call until 0. */
struct hx_cache_want {
    struct hx_pageno page;
    uint64_t fetch;
};
size_t hx_cache_take_wants(struct hx_cache *c, struct hx_cache_want *ret, size_t max);
/* The answer to a fetch; DATA (NULL: zeros) is copied.  A fill whose page was written meanwhile is dropped. */
void hx_cache_fill(struct hx_cache *c, struct hx_cache_want w, const uint8_t *data);
/* The fetch failed.  ERR HX_E_CORRUPT sticks until the page is written; others let the next get ask again. */
void hx_cache_fill_failed(struct hx_cache *c, struct hx_cache_want w, int err);
bool hx_cache_has(const struct hx_cache *c, struct hx_pageno page);
/* Between operations: evict down to the bound (rule above).  Pages with a record above the VDL stay. */
void hx_cache_trim(struct hx_cache *c);
/* Drop all that is clean: for tests, and for "drop caches" before cold reads. */
void hx_cache_drop_clean(struct hx_cache *c);
void hx_cache_add_user_bytes(struct hx_cache *c, uint64_t bytes);
void hx_cache_stats(const struct hx_cache *c, struct hx_cache_stats *ret);

#endif
