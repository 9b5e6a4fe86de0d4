/*
 * cache_mtr.c - mini-transactions on the page cache: before-images, and records made by comparing.
 *
 * Does not decide durability (the writer) nor what a mini-transaction contains (the filesystem).
 *
 *   M1 before the first edit of a cached page its content is copied; abort, and a commit that fails, put every
 *      page back byte for byte, and pages that were not cached are not cached again (P4).
 *   M2 the record of a page leads from its content before the mini-transaction to its content at commit: pages that
 *      did not change make none; the order is that of the first edits.
 *   M3 an edited page is PINNED at commit with the LSN of its record (C2).
 *   M4 the record after PATCHES_MAX patches to a page says all of it.  Each server makes an image of a page with more
 *      (src/store/space.c): it reads, opens and checks all of their frames for that and flushes once more, where the
 *      page lies here, complete.  Pages that every commit changes (an inode's leaf, the superblock) cost the servers
 *      about a seventh of their time that way; so they cost 256 bytes a record, before compression.
 *
 * Memory: before-images and payloads lie in scratch chunks that stay for the next mini-transaction.
 */
#include "cache_int.h"

#include "hexad/assert.h"
#include "hexad/err.h"
#include "hexad/frame.h"

#define PATCHES_MAX 15u /* below CHAIN_LONG of src/store/space.c */

static struct hx_cache *of(struct hx_pager *p)
{
    return HX_CONTAINER_OF(p, struct hx_cache, pager);
}

int hx_cache_mtr_begin(struct hx_pager *p)
{
    struct hx_cache *c = of(p);
    hx_assert(!c->in_mtr); /* P1 */
    if (c->read_only)
        return HX_E_READ_ONLY;
    int rc = hx_writer_state(c->writer);
    if (rc)
        return rc;
    c->in_mtr = true;
    c->edit_count = 0;
    return 0;
}

/* The page's place among the edits, made at the first one (M1).  HX_E_MISS and so on as hx_cache_need. */
static int touch(struct hx_cache *c, uint64_t page, bool need_content, struct hx_cache_edit **ret)
{
    uint32_t i = hx_cache_find(c, page);
    if (i != HX_CACHE_NONE && hx_cache_at(c, i)->edit != HX_CACHE_NONE) {
        *ret = &c->edit[hx_cache_at(c, i)->edit];
        return 0;
    }
    if (c->edit_count == c->edit_max)
        return HX_E_TOOBIG;
    int rc = need_content ? hx_cache_need(c, page, &i) : 0;
    if (rc)
        return rc;
    bool valid = i != HX_CACHE_NONE && hx_cache_at(c, i)->state == HX_ENTRY_VALID;
    uint8_t *before = valid ? hx_cache_scratch_page(&c->scratch) : NULL;
    if (valid && !before)
        return HX_E_NOMEM;
    if (i == HX_CACHE_NONE)
        i = hx_cache_make(c, page);
    if (i == HX_CACHE_NONE)
        return HX_E_NOMEM;
    struct hx_entry *e = hx_cache_at(c, i);
    if (before)
        memcpy(before, e->data, HX_PAGE_SIZE);
    e->edit = (uint32_t)c->edit_count;
    *ret = &c->edit[c->edit_count++];
    **ret = (struct hx_cache_edit){.entry = i, .was = e->state, .before = before};
    if (!valid) {
        hx_cache_move(c, i, HX_LIST_NONE); /* it is not wanted while we have it */
        hx_cache_now_valid(c, i);
    }
    return 0;
}

static bool all_zeros(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, HX_PAGE_SIZE - 1) == 0;
}

int hx_cache_mtr_edit(struct hx_pager *p, struct hx_pageno page, enum hx_edit how, uint8_t **ret)
{
    struct hx_cache *c = of(p);
    struct hx_cache_edit *ed;
    size_t had = c->edit_count;
    hx_assert(c->in_mtr); /* P1 */
    if (page.v >= hx_writer_pages(c->writer))
        return HX_E_INVAL;
    int rc = touch(c, page.v, how == HX_EDIT_KEEP, &ed);
    if (rc)
        return rc;
    uint8_t *data = hx_cache_at(c, ed->entry)->data;
    if (how == HX_EDIT_ZEROS) {
        /* Only at the first touch is it a word about the content before the mini-transaction; what is known of
         * that content counts more than the word. */
        if (c->edit_count > had)
            ed->zeros = !ed->before || all_zeros(ed->before);
        memset(data, 0, HX_PAGE_SIZE);
    }
    ed->freed = false;
    *ret = data;
    return 0;
}

int hx_cache_mtr_free(struct hx_pager *p, struct hx_pageno page)
{
    struct hx_cache *c = of(p);
    struct hx_cache_edit *ed;
    hx_assert(c->in_mtr); /* P1 */
    if (page.v >= hx_writer_pages(c->writer))
        return HX_E_INVAL;
    int rc = touch(c, page.v, false, &ed);
    if (rc)
        return rc;
    memset(hx_cache_at(c, ed->entry)->data, 0, HX_PAGE_SIZE);
    ed->freed = true;
    return 0;
}

/* The record of one edit (M2): its kind, 0 for none; HX_E_NOMEM. */
static int make_record(struct hx_cache *c, const struct hx_cache_edit *ed, struct hx_writer_rec *ret)
{
    const struct hx_entry *e = hx_cache_at(c, ed->entry);
    ret->page = HX_PAGE(e->page);
    ret->len = 0;
    ret->payload = e->data;
    if (ed->freed)
        return ret->kind = HX_REC_FREE;
    uint8_t *out = hx_cache_scratch_page(&c->scratch);
    if (!out)
        return HX_E_NOMEM;
    int kind = hx_rec_diff(ed->before, e->data, ed->zeros, out, &ret->len);
    if (kind == HX_REC_PATCH && e->patches >= PATCHES_MAX) /* M4 */
        kind = hx_rec_diff(NULL, e->data, false, out, &ret->len);
    ret->kind = (uint8_t)kind;
    if (kind == HX_REC_PATCH || kind == HX_REC_SPARSE) {
        ret->payload = out;
        hx_cache_scratch_trim(&c->scratch, ret->len);
    } else {
        hx_cache_scratch_trim(&c->scratch, 0); /* an image's payload is the page itself */
    }
    return kind;
}

static void restore(struct hx_cache *c, const struct hx_cache_edit *ed)
{
    struct hx_entry *e = hx_cache_at(c, ed->entry);
    e->edit = HX_CACHE_NONE;
    if (ed->before) {
        memcpy(e->data, ed->before, HX_PAGE_SIZE);
        return;
    }
    if (ed->was == HX_ENTRY_NEW) {
        hx_cache_drop(c, ed->entry);
        return;
    }
    /* It was wanted, being fetched or bad: still is. */
    c->stats.pages--;
    e->state = ed->was;
    if (ed->was == HX_ENTRY_WANTED)
        hx_cache_move(c, ed->entry, HX_LIST_WANTED);
}

static void end(struct hx_cache *c)
{
    c->in_mtr = false;
    c->edit_count = 0;
    hx_cache_scratch_reset(&c->scratch);
}

void hx_cache_mtr_abort(struct hx_pager *p)
{
    struct hx_cache *c = of(p);
    hx_assert(c->in_mtr); /* P1 */
    for (size_t i = 0; i < c->edit_count; i++)
        restore(c, &c->edit[i]); /* M1 */
    end(c);
}

/* All is in the log: pages with a record are pinned, the others are as clean as before. */
static void settle(struct hx_cache *c, struct hx_lsn first, size_t recs)
{
    size_t at = 0;
    for (size_t i = 0; i < c->edit_count; i++) {
        uint32_t index = c->edit[i].entry;
        struct hx_entry *e = hx_cache_at(c, index);
        e->edit = HX_CACHE_NONE;
        e->fresh = false;
        if (at < recs && c->rec[at].page.v == e->page) {
            e->lsn = HX_LSN(first.v + at);
            e->patches = c->rec[at].kind == HX_REC_PATCH ? (uint8_t)(e->patches + 1) : 0;
            at++;
            hx_cache_move(c, index, HX_LIST_PINNED); /* M3 */
        } else if (e->list == HX_LIST_NONE) {
            hx_cache_move(c, index, HX_LIST_LRU);
        }
    }
    hx_assert(at == recs);
}

/* C4: would more than half of the cache have to stay?  An empty log takes any mini-transaction. */
static bool too_many_pinned(struct hx_cache *c)
{
    uint64_t more = 0;
    hx_cache_unpin(c);
    const uint64_t pinned = c->list[HX_LIST_PINNED].count;
    for (size_t i = 0; i < c->edit_count; i++)
        more += hx_cache_at(c, c->edit[i].entry)->list != HX_LIST_PINNED;
    return pinned > 0 && pinned + more > c->pages_max / 2;
}

int hx_cache_mtr_commit(struct hx_pager *p, struct hx_lsn *ret_lsn)
{
    struct hx_cache *c = of(p);
    struct hx_lsn first = HX_LSN(0), cpl = hx_writer_last(c->writer);
    size_t n = 0;
    int rc = hx_writer_state(c->writer);
    hx_assert(c->in_mtr); /* P1 */
    for (size_t i = 0; i < c->edit_count && rc >= 0; i++) {
        rc = make_record(c, &c->edit[i], &c->rec[n]);
        n += rc > 0;
    }
    if (rc > 0)
        rc = 0;
    if (rc == 0 && n > 0 && too_many_pinned(c))
        rc = HX_E_ROOM;
    if (rc == 0 && n > 0)
        rc = hx_writer_append(c->writer, hx_writer_now(c->writer), c->rec, n, &first, &cpl);
    if (rc) {
        hx_cache_mtr_abort(p);
        return rc;
    }
    settle(c, first, n);
    end(c);
    *ret_lsn = cpl;
    return 0;
}
