/*
 * test_cache.c - the page cache over a writer with six scripted members: fills, mini-transactions, eviction.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_members.h"

#include "hexad/err.h"
#include "hexad/pager.h"

#include <stdlib.h>

#define CACHE_BYTES (4u << 20)
#define CACHE_PAGES (CACHE_BYTES / HX_PAGE_SIZE)

struct bench {
    struct rig r;
    struct hx_cache *c;
    struct hx_pager *p;
};

/* A volume in its second epoch: PGs have records from before, so their pages are not known to be zeros. */
static void open_bench(struct bench *b, uint32_t pgs, uint64_t old_vdl, bool read_only)
{
    struct rig_opts o = {.pgs = pgs, .lal = 20000};
    if (old_vdl)
        o = (struct rig_opts){.pgs = pgs, .lal = 20000, .epoch = 2, .vdl = old_vdl};
    rig_open(&b->r, &o);
    rig_run(&b->r, 0);
    struct hx_cache_cfg cfg = {.cache_bytes = CACHE_BYTES, .read_only = read_only};
    assert_int_equal(hx_cache_new(&cfg, b->r.w, &b->c), 0);
    b->p = hx_cache_pager(b->c);
}

static void close_bench(struct bench *b)
{
    hx_cache_free(b->c);
    rig_close(&b->r);
}

static struct hx_cache_want one_want(struct bench *b)
{
    struct hx_cache_want w[4];
    assert_int_equal(hx_cache_take_wants(b->c, w, 4), 1);
    return w[0];
}

/* Brings a page in with all bytes V. */
static void fetch(struct bench *b, uint64_t page, uint8_t v)
{
    uint8_t data[HX_PAGE_SIZE];
    const uint8_t *p;
    memset(data, v, sizeof data);
    assert_int_equal(hx_pager_get(b->p, HX_PAGE(page), &p), HX_E_MISS);
    hx_cache_fill(b->c, one_want(b), data);
}

static bool all_bytes(const uint8_t *p, uint8_t v)
{
    for (size_t i = 0; i < HX_PAGE_SIZE; i++)
        if (p[i] != v)
            return false;
    return true;
}

static const uint8_t *must_get(struct bench *b, uint64_t page)
{
    const uint8_t *p = NULL;
    assert_int_equal(hx_pager_get(b->p, HX_PAGE(page), &p), 0);
    return p;
}

static struct hx_lsn commit(struct bench *b)
{
    struct hx_lsn cpl;
    assert_int_equal(hx_pager_commit(b->p, &cpl), 0);
    return cpl;
}

static void durable(struct bench *b)
{
    hx_writer_want(b->r.w, b->r.now, hx_writer_last(b->r.w));
    rig_wait(&b->r, 50, 0);
    assert_int_equal(hx_writer_vdl(b->r.w).v, hx_writer_last(b->r.w).v);
}

/* The newest record that member 0 holds. */
static const struct fake_rec *newest(struct bench *b, uint32_t pg)
{
    durable(b);
    const struct fake_segment *s = &b->r.f.server[0].seg[pg];
    assert_true(s->count > 0);
    return &s->rec[s->count - 1];
}

/* ---- fetching ---- */

/* Promise: a miss is noted once, given out once, and filled once; data NULL means zeros. */
static void a_miss_is_fetched_once(void **state)
{
    (void)state;
    struct bench b;
    struct hx_cache_want w[8];
    const uint8_t *p;
    open_bench(&b, 1, 100, false);
    for (unsigned k = 0; k < 3; k++)
        assert_int_equal(hx_pager_get(b.p, HX_PAGE(7), &p), HX_E_MISS);
    assert_false(hx_pager_want(b.p, HX_PAGE(7)));
    assert_false(hx_pager_want(b.p, HX_PAGE(8)));
    assert_int_equal(hx_cache_take_wants(b.c, w, 8), 2);
    assert_int_equal(w[0].page.v, 7);
    assert_int_equal(hx_cache_take_wants(b.c, w + 2, 6), 0);
    assert_int_equal(hx_pager_get(b.p, HX_PAGE(7), &p), HX_E_MISS);
    assert_int_equal(hx_cache_take_wants(b.c, w + 2, 6), 0);
    hx_cache_fill(b.c, w[0], NULL);
    assert_true(all_bytes(must_get(&b, 7), 0));
    assert_true(hx_cache_has(b.c, HX_PAGE(7)));
    assert_false(hx_cache_has(b.c, HX_PAGE(8)));
    assert_int_equal(hx_pager_get(b.p, HX_PAGE(256), &p), HX_E_INVAL);
    close_bench(&b);
}

/* Promise: pages of a PG that has no record need no fetch: growth costs no reads. */
static void pages_of_a_new_pg_are_zeros_without_a_fetch(void **state)
{
    (void)state;
    struct bench b;
    uint8_t *q;
    struct hx_cache_want w;
    open_bench(&b, 2, 0, false);
    assert_true(all_bytes(must_get(&b, 300), 0));
    assert_int_equal(hx_pager_begin(b.p), 0);
    assert_int_equal(hx_pager_edit(b.p, HX_PAGE(3), HX_EDIT_KEEP, &q), 0);
    q[5] = 1;
    commit(&b);
    const uint8_t *p;
    assert_int_equal(hx_pager_get(b.p, HX_PAGE(4), &p), 0); /* nothing durable there yet */
    durable(&b);
    assert_int_equal(hx_pager_get(b.p, HX_PAGE(5), &p), HX_E_MISS);
    assert_int_equal(hx_cache_take_wants(b.c, &w, 1), 1);
    close_bench(&b);
}

/* Promise (C3): a fill that was asked for before the page was written is dropped, whether the page is still
 * there or was evicted and is being fetched anew. */
static void stale_fills_are_dropped(void **state)
{
    (void)state;
    struct bench b;
    const uint8_t *p;
    uint8_t *q, old[HX_PAGE_SIZE], new[HX_PAGE_SIZE];
    memset(old, 1, sizeof old);
    memset(new, 2, sizeof new);
    open_bench(&b, 1, 100, false);
    assert_int_equal(hx_pager_get(b.p, HX_PAGE(9), &p), HX_E_MISS);
    struct hx_cache_want w = one_want(&b);
    assert_int_equal(hx_pager_begin(b.p), 0);
    assert_int_equal(hx_pager_edit(b.p, HX_PAGE(9), HX_EDIT_WHOLE, &q), 0);
    memset(q, 2, HX_PAGE_SIZE);
    commit(&b);
    hx_cache_fill(b.c, w, old);
    assert_true(all_bytes(must_get(&b, 9), 2));
    durable(&b);
    hx_cache_drop_clean(b.c);
    assert_int_equal(hx_pager_get(b.p, HX_PAGE(9), &p), HX_E_MISS);
    struct hx_cache_want again = one_want(&b);
    hx_cache_fill(b.c, w, old);
    assert_false(hx_cache_has(b.c, HX_PAGE(9)));
    hx_cache_fill(b.c, again, new);
    hx_cache_fill(b.c, again, old); /* a repeated one changes nothing */
    assert_true(all_bytes(must_get(&b, 9), 2));
    close_bench(&b);
}

/* Promise: a fetch that failed is asked for again by the next get; HX_E_CORRUPT stays until the page is
 * written. */
static void failed_fetches_are_retried_and_corrupt_ones_stick(void **state)
{
    (void)state;
    struct bench b;
    const uint8_t *p;
    uint8_t *q;
    open_bench(&b, 1, 100, false);
    assert_int_equal(hx_pager_get(b.p, HX_PAGE(9), &p), HX_E_MISS);
    hx_cache_fill_failed(b.c, one_want(&b), HX_E_NOMEM);
    assert_int_equal(hx_pager_get(b.p, HX_PAGE(9), &p), HX_E_MISS);
    hx_cache_fill_failed(b.c, one_want(&b), HX_E_CORRUPT);
    for (unsigned k = 0; k < 2; k++)
        assert_int_equal(hx_pager_get(b.p, HX_PAGE(9), &p), HX_E_CORRUPT);
    assert_int_equal(hx_pager_begin(b.p), 0);
    assert_int_equal(hx_pager_edit(b.p, HX_PAGE(9), HX_EDIT_KEEP, &q), HX_E_CORRUPT);
    assert_int_equal(hx_pager_edit(b.p, HX_PAGE(9), HX_EDIT_WHOLE, &q), 0);
    hx_pager_abort(b.p);
    assert_int_equal(hx_pager_get(b.p, HX_PAGE(9), &p), HX_E_CORRUPT);
    assert_int_equal(hx_pager_begin(b.p), 0);
    assert_int_equal(hx_pager_edit(b.p, HX_PAGE(9), HX_EDIT_WHOLE, &q), 0);
    memset(q, 4, HX_PAGE_SIZE);
    commit(&b);
    assert_true(all_bytes(must_get(&b, 9), 4));
    close_bench(&b);
}

/* ---- mini-transactions ---- */

/* Promise (M1, P4): abort puts back every page byte for byte; pages that were not cached, wanted or being
 * fetched are as they were, and a fetch under way still counts. */
static void abort_restores_byte_for_byte(void **state)
{
    (void)state;
    struct bench b;
    const uint8_t *p;
    uint8_t *q, data[HX_PAGE_SIZE];
    open_bench(&b, 1, 100, false);
    for (uint64_t i = 0; i < 3; i++)
        fetch(&b, i, (uint8_t)(i + 1));
    assert_int_equal(hx_pager_get(b.p, HX_PAGE(20), &p), HX_E_MISS);
    struct hx_cache_want fetching = one_want(&b);
    assert_int_equal(hx_pager_get(b.p, HX_PAGE(21), &p), HX_E_MISS); /* wanted */
    uint64_t last = hx_writer_last(b.r.w).v;
    assert_int_equal(hx_pager_begin(b.p), 0);
    static const enum hx_edit how[] = {HX_EDIT_KEEP, HX_EDIT_WHOLE, HX_EDIT_ZEROS};
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(hx_pager_edit(b.p, HX_PAGE(i), how[i], &q), 0);
        memset(q + 100, 0xee, 1000);
    }
    assert_int_equal(hx_pager_free_page(b.p, HX_PAGE(1)), 0);
    for (uint64_t i = 20; i < 24; i++) {
        assert_int_equal(hx_pager_edit(b.p, HX_PAGE(i), HX_EDIT_WHOLE, &q), 0);
        memset(q, 0xdd, HX_PAGE_SIZE);
        assert_true(all_bytes(must_get(&b, i), 0xdd)); /* inside, edits are seen */
    }
    assert_int_equal(hx_pager_edit(b.p, HX_PAGE(50), HX_EDIT_KEEP, &q), HX_E_MISS);
    hx_pager_abort(b.p);
    for (uint64_t i = 0; i < 3; i++)
        assert_true(all_bytes(must_get(&b, i), (uint8_t)(i + 1)));
    for (uint64_t i = 20; i < 24; i++)
        assert_false(hx_cache_has(b.c, HX_PAGE(i)));
    memset(data, 7, sizeof data);
    hx_cache_fill(b.c, fetching, data);
    assert_true(all_bytes(must_get(&b, 20), 7));
    struct hx_cache_want w[8];
    assert_int_equal(hx_cache_take_wants(b.c, w, 8), 2); /* 21 still, and 50 */
    assert_int_equal(hx_writer_last(b.r.w).v, last);
    close_bench(&b);
}

/* Promise (M1): a commit that the log window refuses (HX_E_ROOM) or that meets the fence changes nothing. */
static void a_refused_commit_restores_everything(void **state)
{
    (void)state;
    struct bench b;
    struct hx_lsn cpl;
    uint8_t *q;
    open_bench(&b, 1, 0, false);
    for (unsigned n = 0; n < 20000; n++) { /* lal */
        assert_int_equal(hx_pager_begin(b.p), 0);
        assert_int_equal(hx_pager_edit(b.p, HX_PAGE(1), HX_EDIT_KEEP, &q), 0);
        hx_put_u32(q, n + 1);
        commit(&b);
    }
    for (unsigned k = 0; k < 2; k++) {
        assert_int_equal(hx_pager_begin(b.p), 0);
        assert_int_equal(hx_pager_edit(b.p, HX_PAGE(1), HX_EDIT_KEEP, &q), 0);
        memset(q, 0xff, HX_PAGE_SIZE);
        assert_int_equal(hx_pager_edit(b.p, HX_PAGE(2), HX_EDIT_ZEROS, &q), 0);
        memset(q, 0xff, HX_PAGE_SIZE);
        if (k == 1)
            hx_writer_fence(b.r.w);
        assert_int_equal(hx_pager_commit(b.p, &cpl), k == 1 ? HX_E_FENCED : HX_E_ROOM);
        uint8_t expected[HX_PAGE_SIZE] = {0};
        hx_put_u32(expected, 20000);
        assert_memory_equal(must_get(&b, 1), expected, HX_PAGE_SIZE);
        assert_false(hx_cache_has(b.c, HX_PAGE(2)));
    }
    assert_int_equal(hx_pager_begin(b.p), HX_E_FENCED);
    close_bench(&b);
}

/* Promise (M2): each way of editing makes the record it should: few bytes a patch, a new page over zeros a
 * sparse record, a whole new content an image, no change none, freeing FREE; unknown former content never a
 * patch. */
static void records_are_the_smallest_that_are_right(void **state)
{
    (void)state;
    struct bench b;
    uint8_t *q;
    open_bench(&b, 1, 100, false);
    static const struct {
        enum hx_edit how;
        bool cached;
        unsigned bytes; /* set to 0x55 from offset 10 on */
        uint8_t kind;   /* 0: no record */
    } rows[] = {
        {HX_EDIT_KEEP, true, 4, HX_REC_PATCH},    {HX_EDIT_KEEP, true, 0, 0},
        {HX_EDIT_WHOLE, true, 4, HX_REC_PATCH},   {HX_EDIT_WHOLE, false, 4, HX_REC_SPARSE},
        {HX_EDIT_WHOLE, false, 0, HX_REC_ZERO},   {HX_EDIT_WHOLE, false, 4086, HX_REC_IMAGE},
        {HX_EDIT_ZEROS, false, 4, HX_REC_SPARSE}, {HX_EDIT_ZEROS, false, 0, 0},
        {HX_EDIT_ZEROS, false, 4086, HX_REC_IMAGE},
    };
    for (unsigned i = 0; i < HX_ARRAY_LEN(rows); i++) {
        uint64_t page = 40 + i;
        if (rows[i].cached)
            fetch(&b, page, 0);
        uint64_t last = hx_writer_last(b.r.w).v;
        assert_int_equal(hx_pager_begin(b.p), 0);
        assert_int_equal(hx_pager_edit(b.p, HX_PAGE(page), rows[i].how, &q), 0);
        if (rows[i].how == HX_EDIT_WHOLE)
            memset(q, 0, HX_PAGE_SIZE);
        memset(q + 10, 0x55, rows[i].bytes);
        struct hx_lsn cpl = commit(&b);
        if (!rows[i].kind) {
            assert_int_equal(cpl.v, last);
            continue;
        }
        const struct fake_rec *rec = newest(&b, 0);
        assert_int_equal(rec->lsn.v, cpl.v);
        if (rows[i].kind == HX_REC_SPARSE || rows[i].kind == HX_REC_IMAGE)
            assert_true(hx_rec_is_base(rec->kind)); /* which of the two is smaller is the encoder's affair */
        else
            assert_int_equal(rec->kind, rows[i].kind);
        assert_int_equal(rec->flags, HX_REC_CPL);
    }
    assert_int_equal(hx_pager_begin(b.p), 0);
    assert_int_equal(hx_pager_free_page(b.p, HX_PAGE(200)), 0); /* not cached: no fetch needed */
    commit(&b);
    assert_int_equal(newest(&b, 0)->kind, HX_REC_FREE);
    assert_true(all_bytes(must_get(&b, 200), 0));
    close_bench(&b);
}

/* Promise (M4): a page that is changed again and again goes as a whole after fifteen patches, whatever commits between;
 * one that did not change still makes no record, and an aborted change counts for nothing. */
static void a_long_chain_of_patches_ends_with_the_page(void **state)
{
    (void)state;
    struct bench b;
    uint8_t *q, page[HX_PAGE_SIZE];
    open_bench(&b, 1, 100, false);
    fetch(&b, 3, 0xa5);
    memset(page, 0xa5, sizeof page);
    for (unsigned i = 1; i <= 64; i++) {
        assert_int_equal(hx_pager_begin(b.p), 0); /* and thinks better of it */
        assert_int_equal(hx_pager_edit(b.p, HX_PAGE(3), HX_EDIT_KEEP, &q), 0);
        q[0] ^= 1;
        hx_pager_abort(b.p);
        struct hx_lsn last = hx_writer_last(b.r.w);
        assert_int_equal(hx_pager_begin(b.p), 0); /* and changes nothing */
        assert_int_equal(hx_pager_edit(b.p, HX_PAGE(3), HX_EDIT_KEEP, &q), 0);
        assert_int_equal(commit(&b).v, last.v);
        assert_int_equal(hx_pager_begin(b.p), 0);
        assert_int_equal(hx_pager_edit(b.p, HX_PAGE(3), HX_EDIT_KEEP, &q), 0);
        q[i] = page[i] = (uint8_t)i;
        commit(&b);
        const struct fake_rec *r = newest(&b, 0);
        assert_int_equal(r->page, 3);
        assert_int_equal(r->kind, i % 16 ? HX_REC_PATCH : HX_REC_IMAGE);
        if (r->kind == HX_REC_IMAGE) {
            assert_int_equal(r->len, sizeof page);
            assert_memory_equal(r->payload, page, sizeof page);
        }
    }
    close_bench(&b);
}

/* Promise (M2): only the last thing done to a page counts: freed and taken again is a change, changed and
 * freed is FREE. */
static void freed_and_taken_again_is_no_free(void **state)
{
    (void)state;
    struct bench b;
    uint8_t *q, page[HX_PAGE_SIZE];
    open_bench(&b, 1, 100, false);
    fetch(&b, 5, 9);
    assert_int_equal(hx_pager_begin(b.p), 0);
    assert_int_equal(hx_pager_free_page(b.p, HX_PAGE(5)), 0);
    assert_int_equal(hx_pager_edit(b.p, HX_PAGE(5), HX_EDIT_ZEROS, &q), 0);
    q[4000] = 3;
    commit(&b);
    durable(&b);
    fake_page(&b.r.f, 2, 0, 5, hx_writer_vdl(b.r.w), page);
    assert_int_equal(page[4000], 3);
    assert_int_equal(page[3999], 0);
    assert_int_equal(hx_pager_begin(b.p), 0);
    assert_int_equal(hx_pager_edit(b.p, HX_PAGE(5), HX_EDIT_KEEP, &q), 0);
    q[0] = 1;
    assert_int_equal(hx_pager_free_page(b.p, HX_PAGE(5)), 0);
    commit(&b);
    assert_int_equal(newest(&b, 0)->kind, HX_REC_FREE);
    close_bench(&b);
}

/* Promise (M2): the word that a page is zeros does not hide content that is known.  Method: a cached page of 9s, edited
 * from zeros and left so: the record says it. */
static void known_content_counts_more_than_the_word(void **state)
{
    (void)state;
    struct bench b;
    uint8_t *q, page[HX_PAGE_SIZE];
    open_bench(&b, 1, 100, false);
    fetch(&b, 5, 9);
    assert_int_equal(hx_pager_begin(b.p), 0);
    assert_int_equal(hx_pager_edit(b.p, HX_PAGE(5), HX_EDIT_ZEROS, &q), 0);
    commit(&b);
    assert_int_equal(newest(&b, 0)->kind, HX_REC_ZERO);
    durable(&b);
    fake_page(&b.r.f, 2, 0, 5, hx_writer_vdl(b.r.w), page);
    assert_true(all_bytes(page, 0));
    close_bench(&b);
}

/* Promise (P5): records come in the order of the first edits, one per page, with consecutive LSNs, the last
 * one the CPL. */
static void a_mini_transaction_is_consecutive_in_edit_order(void **state)
{
    (void)state;
    struct bench b;
    uint8_t *q;
    static const uint64_t pages[] = {9, 3, 300, 5, 3, 9};
    open_bench(&b, 2, 0, false);
    assert_int_equal(hx_pager_begin(b.p), 0);
    for (unsigned i = 0; i < HX_ARRAY_LEN(pages); i++) {
        assert_int_equal(hx_pager_edit(b.p, HX_PAGE(pages[i]), HX_EDIT_KEEP, &q), 0);
        q[i] = 1;
    }
    struct hx_lsn cpl = commit(&b);
    assert_int_equal(cpl.v, 4);
    durable(&b);
    const struct fake_segment *s = &b.r.f.server[1].seg[0], *t = &b.r.f.server[1].seg[1];
    assert_int_equal(s->count, 3);
    assert_int_equal(t->count, 1);
    assert_int_equal(s->rec[0].page, 9);
    assert_int_equal(s->rec[1].page, 3);
    assert_int_equal(t->rec[0].lsn.v, 3);
    assert_int_equal(s->rec[2].lsn.v, 4);
    assert_int_equal(s->rec[0].flags | s->rec[1].flags | t->rec[0].flags, 0);
    assert_int_equal(s->rec[2].flags, HX_REC_CPL);
    close_bench(&b);
}

/* Promise (P1, limits): a read-only cache begins nothing; one mini-transaction edits at most mtr_pages_max
 * pages. */
static void limits_are_errors(void **state)
{
    (void)state;
    struct bench b;
    uint8_t *q;
    open_bench(&b, 1, 0, true);
    assert_int_equal(hx_pager_begin(b.p), HX_E_READ_ONLY);
    close_bench(&b);
    open_bench(&b, 1, 0, false);
    struct hx_cache_cfg cfg = {.cache_bytes = CACHE_BYTES, .mtr_pages_max = 3};
    struct hx_cache *c;
    assert_int_equal(hx_cache_new(&cfg, b.r.w, &c), 0);
    struct hx_pager *p = hx_cache_pager(c);
    assert_int_equal(hx_pager_begin(p), 0);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(hx_pager_edit(p, HX_PAGE(i), HX_EDIT_ZEROS, &q), 0);
    assert_int_equal(hx_pager_edit(p, HX_PAGE(3), HX_EDIT_ZEROS, &q), HX_E_TOOBIG);
    assert_int_equal(hx_pager_edit(p, HX_PAGE(2), HX_EDIT_KEEP, &q), 0);
    hx_pager_abort(p);
    hx_cache_free(c);
    cfg.cache_bytes = CACHE_BYTES - 1;
    assert_int_equal(hx_cache_new(&cfg, b.r.w, &c), HX_E_INVAL);
    close_bench(&b);
}

/* Promise: a page beyond the volume cannot be had, changed or freed, inside a mini-transaction or not, and the rest of
 * that one is not hurt.  want says nothing of it: get does. */
static void pages_beyond_the_volume_are_errors(void **state)
{
    (void)state;
    struct bench b;
    uint8_t *q;
    const uint8_t *p;
    open_bench(&b, 1, 0, false);
    assert_true(hx_pager_want(b.p, HX_PAGE(256)));
    assert_int_equal(hx_pager_get(b.p, HX_PAGE(256), &p), HX_E_INVAL);
    assert_int_equal(hx_pager_begin(b.p), 0);
    assert_int_equal(hx_pager_edit(b.p, HX_PAGE(255), HX_EDIT_ZEROS, &q), 0);
    q[0] = 1;
    assert_int_equal(hx_pager_edit(b.p, HX_PAGE(256), HX_EDIT_ZEROS, &q), HX_E_INVAL);
    assert_int_equal(hx_pager_free_page(b.p, HX_PAGE(256)), HX_E_INVAL);
    commit(&b);
    assert_int_equal(must_get(&b, 255)[0], 1);
    struct hx_cache_want w[2];
    assert_int_equal(hx_cache_take_wants(b.c, w, 2), 0);
    close_bench(&b);
}

/* Promise: a free counts towards the bound on pages as an edit does. */
static void freeing_is_bounded_as_editing_is(void **state)
{
    (void)state;
    struct bench b;
    uint8_t *q;
    struct hx_cache *c;
    open_bench(&b, 1, 0, false);
    struct hx_cache_cfg cfg = {.cache_bytes = CACHE_BYTES, .mtr_pages_max = 2};
    assert_int_equal(hx_cache_new(&cfg, b.r.w, &c), 0);
    struct hx_pager *p = hx_cache_pager(c);
    assert_int_equal(hx_pager_begin(p), 0);
    assert_int_equal(hx_pager_free_page(p, HX_PAGE(1)), 0);
    assert_int_equal(hx_pager_edit(p, HX_PAGE(2), HX_EDIT_ZEROS, &q), 0);
    assert_int_equal(hx_pager_free_page(p, HX_PAGE(3)), HX_E_TOOBIG);
    assert_int_equal(hx_pager_free_page(p, HX_PAGE(2)), 0); /* it is one of them */
    hx_pager_abort(p);
    hx_cache_free(c);
    cfg.cache_bytes = (size_t)UINT32_MAX / 2 * HX_PAGE_SIZE;
    assert_int_equal(hx_cache_new(&cfg, b.r.w, &c), HX_E_INVAL);
    close_bench(&b);
}

/* Promise (M2): what is known of a page counts more than the word ZEROS: on a page with content the record says what
 * is to vanish; on one that is all zeros, but for its first byte or not, it is the smallest that is right.  Method: the
 * members' pages afterwards. */
static void zeros_said_of_a_known_page_are_checked(void **state)
{
    (void)state;
    struct bench b;
    uint8_t content[HX_PAGE_SIZE], page[HX_PAGE_SIZE];
    open_bench(&b, 1, 100, false);
    for (unsigned kind = 0; kind < 3; kind++) {
        const uint8_t *p;
        uint8_t *q;
        memset(content, 0, sizeof content);
        content[kind == 1 ? 0 : 4000] = kind > 0;
        assert_int_equal(hx_pager_get(b.p, HX_PAGE(kind), &p), HX_E_MISS);
        hx_cache_fill(b.c, one_want(&b), content);
        assert_int_equal(hx_pager_begin(b.p), 0);
        assert_int_equal(hx_pager_edit(b.p, HX_PAGE(kind), HX_EDIT_ZEROS, &q), 0);
        assert_true(all_bytes(q, 0));
        q[100] = 7;
        commit(&b);
        const struct fake_rec *rec = newest(&b, 0);
        assert_int_equal(rec->page, kind);
        memcpy(page, content, sizeof page);
        assert_int_equal(hx_rec_apply(page, rec->kind, rec->payload, rec->len), 0);
        assert_int_equal(page[100], 7);
        page[100] = 0;
        assert_true(all_bytes(page, 0));
    }
    close_bench(&b);
}

/* Promise (C3): the answer to a fetch that was given up, or that came already, changes nothing. */
static void answers_to_fetches_that_are_over_change_nothing(void **state)
{
    (void)state;
    struct bench b;
    struct hx_cache_want w;
    const uint8_t *p;
    uint8_t ones[HX_PAGE_SIZE];
    memset(ones, 1, sizeof ones);
    open_bench(&b, 1, 100, false);
    assert_int_equal(hx_pager_get(b.p, HX_PAGE(3), &p), HX_E_MISS);
    w = one_want(&b);
    hx_cache_fill_failed(b.c, w, HX_E_TIMEOUT);
    hx_cache_fill_failed(b.c, w, HX_E_CORRUPT);
    hx_cache_fill(b.c, w, ones);
    assert_false(hx_cache_has(b.c, HX_PAGE(3)));
    fetch(&b, 3, 2);
    hx_cache_fill_failed(b.c, w, HX_E_CORRUPT);
    hx_cache_fill(b.c, w, ones);
    assert_true(all_bytes(must_get(&b, 3), 2));
    close_bench(&b);
}

/* ---- eviction ---- */

/* Promise (C4): an empty log takes a mini-transaction that is larger than the cache: its pages stay until they are
 * durable, before-images and all, and can be put back; then the cache shrinks again. */
static void a_mini_transaction_may_be_larger_than_the_cache(void **state)
{
    (void)state;
    enum { N = CACHE_PAGES + 100 };
    struct bench b;
    struct hx_cache_stats s;
    uint8_t *q;
    open_bench(&b, 8, 0, false);
    struct hx_cache_cfg cfg = {.cache_bytes = CACHE_BYTES, .mtr_pages_max = N};
    hx_cache_free(b.c);
    assert_int_equal(hx_cache_new(&cfg, b.r.w, &b.c), 0);
    b.p = hx_cache_pager(b.c);
    for (unsigned round = 0; round < 3; round++) {
        struct hx_lsn cpl;
        assert_int_equal(hx_pager_begin(b.p), 0);
        for (uint64_t i = 0; i < N; i++) {
            assert_int_equal(hx_pager_edit(b.p, HX_PAGE(i), HX_EDIT_KEEP, &q), 0);
            assert_int_equal(hx_get_u64(q), round == 2 ? i + 1 : 0);
            hx_put_u64(q, i + (round == 2 ? 2 : 1));
        }
        if (round == 0) {
            hx_pager_abort(b.p);
            continue;
        }
        assert_int_equal(hx_pager_commit(b.p, &cpl), 0);
        hx_cache_trim(b.c);
        hx_cache_stats(b.c, &s);
        assert_int_equal(s.pages, N);
        durable(&b);
        assert_int_equal(hx_cache_has(b.c, HX_PAGE(0)), true);
    }
    hx_cache_trim(b.c);
    hx_cache_stats(b.c, &s);
    assert_int_equal(s.pages, CACHE_PAGES);
    close_bench(&b);
}

/* Edits page I so that it holds I + 1; what commit answers. */
static int edit_page(struct bench *b, uint64_t i)
{
    struct hx_lsn cpl;
    uint8_t *q;
    assert_int_equal(hx_pager_begin(b->p), 0);
    assert_int_equal(hx_pager_edit(b->p, HX_PAGE(i), HX_EDIT_ZEROS, &q), 0);
    hx_put_u64(q, i + 1);
    return hx_pager_commit(b->p, &cpl);
}

/* Promise (C2, pitfall 34; C4): a page with a record above the VDL never leaves, whatever the pressure; such pages
 * fill half of the cache at most, then commit answers ROOM, so that there is a place for reads; when the VDL has
 * passed them, there is room again.  Method: edits until ROOM, then reads of three times the cache. */
static void pages_above_the_vdl_stay_and_leave_room_for_reads(void **state)
{
    (void)state;
    struct bench b;
    struct hx_cache_stats s;
    uint64_t n = 0;
    open_bench(&b, 16, 0, false);
    while (edit_page(&b, n) == 0) {
        n++;
        hx_cache_trim(b.c);
    }
    assert_int_equal(n, CACHE_PAGES / 2);
    assert_int_equal(edit_page(&b, n), HX_E_ROOM); /* and again */
    assert_int_equal(edit_page(&b, 0), 0);         /* a page that stays anyway needs no room */
    for (uint64_t i = 0; i < 3 * CACHE_PAGES; i++) {
        (void)must_get(&b, n + i % (15 * 256 - n));
        hx_cache_trim(b.c);
    }
    for (uint64_t i = 0; i < n; i++)
        assert_int_equal(hx_get_u64(must_get(&b, i)), i + 1);
    hx_cache_drop_clean(b.c);
    hx_cache_stats(b.c, &s);
    assert_int_equal(s.pages, n);
    durable(&b);
    assert_int_equal(edit_page(&b, n), 0);
    durable(&b);
    hx_cache_drop_clean(b.c);
    hx_cache_stats(b.c, &s);
    assert_int_equal(s.pages, 0);
    close_bench(&b);
}

/* Promise: a cache of any size finds each of its pages.  Method: 20,000 pages of a new group, which are zeros without a
 * fetch, more than the first tables for them hold. */
static void a_large_cache_finds_all_its_pages(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct bench b;
    struct hx_cache_stats s;
    rig_open(&b.r, &(struct rig_opts){.pg_bytes = UINT64_C(128) << 20});
    rig_run(&b.r, 0);
    struct hx_cache_cfg cfg = {.cache_bytes = (size_t)N * HX_PAGE_SIZE};
    assert_int_equal(hx_cache_new(&cfg, b.r.w, &b.c), 0);
    b.p = hx_cache_pager(b.c);
    for (uint64_t i = 0; i < N; i++)
        (void)must_get(&b, i);
    hx_cache_trim(b.c);
    for (uint64_t i = 0; i < N; i++)
        assert_true(hx_cache_has(b.c, HX_PAGE(i)));
    assert_false(hx_cache_has(b.c, HX_PAGE(N)));
    hx_cache_stats(b.c, &s);
    assert_int_equal(s.pages, N);
    assert_int_equal(s.evicted, 0);
    (void)must_get(&b, N);
    hx_cache_trim(b.c);
    hx_cache_stats(b.c, &s);
    assert_int_equal(s.evicted, 1);
    assert_false(hx_cache_has(b.c, HX_PAGE(0))); /* used first */
    close_bench(&b);
}

/* Promise: what was used last leaves last; a page just fetched survives one trim, so that the operation
 * that waits for it finds it. */
static void eviction_is_least_recently_used_with_a_second_chance_for_the_fetched(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 8, 3000, false);
    for (uint64_t i = 0; i < CACHE_PAGES; i++) {
        fetch(&b, i, 1);
        must_get(&b, i);
    }
    for (uint64_t i = 0; i < 10; i++)
        fetch(&b, 1500 + i, 2); /* nobody has looked at them yet */
    for (uint64_t i = 1; i <= CACHE_PAGES; i++)
        must_get(&b, i % CACHE_PAGES);
    hx_cache_trim(b.c);
    assert_true(hx_cache_has(b.c, HX_PAGE(0)));
    for (uint64_t i = 1; i <= 10; i++)
        assert_false(hx_cache_has(b.c, HX_PAGE(i)));
    assert_true(hx_cache_has(b.c, HX_PAGE(11)));
    for (uint64_t i = 0; i < 10; i++)
        assert_true(hx_cache_has(b.c, HX_PAGE(1500 + i)));
    close_bench(&b);
}

/* ---- everything together ---- */

static uint64_t draw(uint64_t *x, uint64_t below)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x % below;
}

/* Serves the wants from member 0's log as of the VDL. */
static void serve(struct bench *b)
{
    struct hx_cache_want w;
    uint8_t data[HX_PAGE_SIZE];
    while (hx_cache_take_wants(b->c, &w, 1)) {
        fake_page(&b->r.f, 0, (uint32_t)(w.page.v / 256), (uint32_t)(w.page.v % 256), hx_writer_vdl(b->r.w), data);
        hx_cache_fill(b->c, w, data);
    }
}

static void random_edits(struct bench *b, uint64_t *x, uint8_t *shadow, size_t pages)
{
    uint64_t touched[12];
    size_t n = 0, want = 1 + draw(x, 12);
    struct hx_lsn cpl;
    assert_int_equal(hx_pager_begin(b->p), 0);
    uint8_t *before = malloc(pages * HX_PAGE_SIZE);
    memcpy(before, shadow, pages * HX_PAGE_SIZE);
    while (n < want) {
        uint64_t page = draw(x, pages), what = draw(x, 10);
        uint8_t *mine = shadow + page * HX_PAGE_SIZE, *q;
        int rc;
        if (what == 0)
            rc = hx_pager_free_page(b->p, HX_PAGE(page));
        else
            rc = hx_pager_edit(b->p, HX_PAGE(page), what < 7 ? HX_EDIT_KEEP : HX_EDIT_WHOLE, &q);
        if (rc == HX_E_MISS)
            break;
        assert_int_equal(rc, 0);
        touched[n++] = page;
        if (what == 0) {
            memset(mine, 0, HX_PAGE_SIZE);
            continue;
        }
        if (what >= 7)
            memset(mine, (int)draw(x, 256), HX_PAGE_SIZE);
        size_t at = draw(x, 4000);
        memset(mine + at, (int)draw(x, 256), draw(x, 96));
        memcpy(q, mine, HX_PAGE_SIZE);
    }
    if (n < want || draw(x, 5) == 0) {
        memcpy(shadow, before, pages * HX_PAGE_SIZE);
        hx_pager_abort(b->p);
    } else {
        assert_int_equal(hx_pager_commit(b->p, &cpl), 0);
    }
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p;
        int rc = hx_pager_get(b->p, HX_PAGE(touched[i]), &p);
        assert_true(rc == HX_E_MISS || memcmp(p, shadow + touched[i] * HX_PAGE_SIZE, HX_PAGE_SIZE) == 0);
    }
    free(before);
}

/* Promise: under random edits, aborts, evictions and fills the cache shows what a plain array shows, and so
 * do the pages that a member builds from the log.  Fixed seeds. */
static void cache_and_log_agree_with_a_plain_array(void **state)
{
    (void)state;
    enum { PAGES = 3 * 256 };
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct bench b;
        uint64_t x = seed * 991;
        uint8_t *shadow = calloc(PAGES, HX_PAGE_SIZE), page[HX_PAGE_SIZE];
        open_bench(&b, 3, 0, false);
        for (unsigned step = 0; step < 400; step++) {
            random_edits(&b, &x, shadow, PAGES);
            if (draw(&x, 4) == 0)
                durable(&b);
            if (draw(&x, 3) == 0)
                hx_cache_drop_clean(b.c);
            serve(&b);
        }
        durable(&b);
        for (uint64_t i = 0; i < PAGES; i++) {
            fake_page(&b.r.f, (unsigned)(i % FAKE_SERVERS), (uint32_t)(i / 256), (uint32_t)(i % 256),
                      hx_writer_vdl(b.r.w), page);
            assert_memory_equal(page, shadow + i * HX_PAGE_SIZE, HX_PAGE_SIZE);
        }
        free(shadow);
        close_bench(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_miss_is_fetched_once),
        cmocka_unit_test(pages_of_a_new_pg_are_zeros_without_a_fetch),
        cmocka_unit_test(stale_fills_are_dropped),
        cmocka_unit_test(failed_fetches_are_retried_and_corrupt_ones_stick),
        cmocka_unit_test(abort_restores_byte_for_byte),
        cmocka_unit_test(a_refused_commit_restores_everything),
        cmocka_unit_test(records_are_the_smallest_that_are_right),
        cmocka_unit_test(a_long_chain_of_patches_ends_with_the_page),
        cmocka_unit_test(freed_and_taken_again_is_no_free),
        cmocka_unit_test(known_content_counts_more_than_the_word),
        cmocka_unit_test(a_mini_transaction_is_consecutive_in_edit_order),
        cmocka_unit_test(limits_are_errors),
        cmocka_unit_test(pages_beyond_the_volume_are_errors),
        cmocka_unit_test(freeing_is_bounded_as_editing_is),
        cmocka_unit_test(zeros_said_of_a_known_page_are_checked),
        cmocka_unit_test(answers_to_fetches_that_are_over_change_nothing),
        cmocka_unit_test(a_mini_transaction_may_be_larger_than_the_cache),
        cmocka_unit_test(a_large_cache_finds_all_its_pages),
        cmocka_unit_test(pages_above_the_vdl_stay_and_leave_room_for_reads),
        cmocka_unit_test(eviction_is_least_recently_used_with_a_second_chance_for_the_fetched),
        cmocka_unit_test(cache_and_log_agree_with_a_plain_array),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
