/*
 * test_client.c - the whole client (recovery, writer, page cache, reader) against six real segment servers over
 * disks that lose power: random mini-transactions on pages, small caches, lost and late messages, reopenings.
 *
 * Oracle: a list of all mini-transactions with the content that they gave each page.  While a client lives, every page
 * that it shows is the newest; after each reopening it is what the mini-transactions up to the cut made of it (I6, I7),
 * and nothing that was durable is missing (I1).  One seed, one story; the seed is in every message.
 */
#include "world_parts.h"

#include "hexad/pager.h"
#include "hexad/reader.h"
#include "hexad/recovery.h"
#include "hexad/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define EDITS_MAX 6000u
#define REIGNS 4u
#define STEPS_MAX 200000
#define STORIES 5

/* A page as one mini-transaction left it: zeros but for some bytes that follow from the seed. */
struct edit {
    uint64_t cpl;
    uint32_t page;
    uint64_t sum; /* of the whole page */
};
struct story {
    struct world w;
    uint64_t seed;
    struct hx_geometry geometry;
    struct hx_writer *writer;
    struct hx_cache *cache;
    struct hx_reader *reader;
    struct world_reader part;
    struct edit edit[EDITS_MAX];
    size_t edit_count;
    uint64_t misses, checked;
};

static uint64_t sum_of(const uint8_t *page)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < HX_PAGE_SIZE; i++)
        h = (h ^ page[i]) * 1099511628211u;
    return h;
}

static uint64_t sum_of_zeros(void)
{
    static const uint8_t zeros[HX_PAGE_SIZE];
    return sum_of(zeros);
}

/* No page may be lost here. */
static void look(void *ctx, const struct hx_reader_done *d)
{
    if (d->err)
        fail_msg("seed %llu: page %llu: error %d", (unsigned long long)((struct story *)ctx)->seed,
                 (unsigned long long)d->want.page.v, d->err);
}

/* ---- servers ---- */

static unsigned down_count(const struct story *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < WORLD_SERVERS; i++)
        n += s->w.node[i] == NULL;
    return n;
}

/* At most two are down at a time. */
static void step(struct story *s, bool storm)
{
    unsigned i = world_below(&s->w, WORLD_SERVERS);
    if (storm && world_below(&s->w, 150) == 0) {
        if (s->w.node[i] == NULL)
            world_start(&s->w, i);
        else if (down_count(s) < 2)
            world_crash(&s->w, i);
    }
    world_step(&s->w);
}

/* ---- opening and leaving ---- */

static void make_volume(struct story *s)
{
    struct hx_create *c;
    struct hx_create_cfg cfg = {.name = "v", .pg_bytes = 1 << 20, .lal = 500, .created_us = 1, .now_ms = s->w.now_ms,
                                .servers = s->w.servers, .server_count = WORLD_SERVERS};
    hx_put_u64(cfg.volume.b, 77);
    hx_put_u64(cfg.owner.b, 78);
    assert_int_equal(hx_create_new(&cfg, &c), 0);
    world_join(&s->w, world_part_create(c));
    for (int i = 0; i < STEPS_MAX && hx_create_state(c) == HX_E_AGAIN; i++)
        world_step(&s->w);
    assert_int_equal(hx_create_state(c), 0);
    assert_int_equal(hx_geometry_copy(&s->geometry, hx_create_geometry(c)), 0);
    world_leave(&s->w, c);
    hx_create_free(c);
}

static void begin(struct story *s, const struct hx_recovery_result *res)
{
    struct hx_writer_cfg cfg = {.geometry = &res->geometry, .history = &res->history, .owner = res->owner,
                                .pgs = res->pgs, .window_bytes = 4u << 20, .now_ms = s->w.now_ms};
    struct hx_cache_cfg cache = {.cache_bytes = 4u << 20};
    assert_int_equal(hx_writer_new(&cfg, &s->writer), 0);
    assert_int_equal(hx_cache_new(&cache, s->writer, &s->cache), 0);
    assert_int_equal(hx_reader_new(s->writer, world_random(&s->w), &s->reader), 0);
    assert_int_equal(hx_geometry_copy(&s->geometry, &res->geometry), 0);
    world_join(&s->w, world_part_writer(s->writer));
    s->part = (struct world_reader){s->reader, s->cache, look, s};
    world_join(&s->w, world_part_reader(&s->part));
}

static uint64_t open_volume(struct story *s)
{
    struct hx_recovery *r;
    struct hx_recovery_cfg cfg = {.hint = &s->geometry, .epoch_seen = HX_EPOCH(1), .seed = world_random(&s->w),
                                  .now_ms = s->w.now_ms};
    hx_put_u64(cfg.owner.b, world_random(&s->w));
    hx_put_u64(cfg.owner.b + 8, world_random(&s->w));
    assert_int_equal(hx_recovery_new(&cfg, &r), 0);
    world_join(&s->w, world_part_recovery(r));
    for (int i = 0; i < STEPS_MAX && hx_recovery_state(r) < HX_RECOVERY_OPEN; i++)
        step(s, true);
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    begin(s, hx_recovery_result(r));
    world_leave(&s->w, r);
    hx_recovery_free(r);
    return hx_writer_vdl(s->writer).v;
}

static void leave(struct story *s)
{
    world_leave(&s->w, s->writer);
    world_leave(&s->w, &s->part);
    hx_reader_free(s->reader);
    hx_cache_free(s->cache);
    hx_writer_free(s->writer);
}

static void grow(struct story *s)
{
    struct hx_growth *g;
    struct hx_uuid owner = {{0}};
    hx_put_u64(owner.b, world_random(&s->w));
    assert_int_equal(hx_growth_new(s->writer, NULL, &owner, s->w.now_ms, &g), 0);
    world_join(&s->w, world_part_growth(g));
    for (int i = 0; i < STEPS_MAX && hx_growth_state(g) == HX_E_AGAIN; i++)
        step(s, true);
    assert_int_equal(hx_growth_state(g), 0);
    assert_int_equal(hx_writer_add_pg(s->writer, hx_growth_geometry(g), hx_growth_made(g)), 0);
    world_leave(&s->w, g);
    hx_growth_free(g);
}

/* ---- pages ---- */

/* What the list says of the page. */
static uint64_t expected(const struct story *s, uint32_t page)
{
    for (size_t i = s->edit_count; i-- > 0;)
        if (s->edit[i].page == page)
            return s->edit[i].sum;
    return sum_of_zeros();
}

/* Fetches what was missed, until it is there. */
static void fetch(struct story *s)
{
    struct hx_cache_want w[64];
    size_t n;
    s->misses++;
    while ((n = hx_cache_take_wants(s->cache, w, HX_ARRAY_LEN(w))) > 0) {
        hx_reader_fetch(s->reader, s->w.now_ms, w, n);
        for (size_t k = 0; k < n; k++)
            for (int i = 0; i < STEPS_MAX && !hx_cache_has(s->cache, w[k].page); i++)
                step(s, true);
    }
}

static void check_page(struct story *s, uint32_t page)
{
    const uint8_t *p;
    int rc;
    while ((rc = hx_pager_get(hx_cache_pager(s->cache), HX_PAGE(page), &p)) == HX_E_MISS)
        fetch(s);
    assert_int_equal(rc, 0);
    if (sum_of(p) != expected(s, page))
        fail_msg("seed %llu: page %u is not what it should be", (unsigned long long)s->seed, page);
    s->checked++;
}

static int edit_pages(struct story *s, uint64_t seed, struct edit *edit, size_t n, struct hx_lsn *ret_cpl)
{
    struct hx_pager *p = hx_cache_pager(s->cache);
    uint64_t x = seed;
    int rc = hx_pager_begin(p);
    assert_int_equal(rc, 0);
    for (size_t i = 0; i < n; i++) {
        uint8_t *q;
        x = x * 6364136223846793005u + 1442695040888963407u;
        bool whole = x >> 60 == 0;
        rc = hx_pager_edit(p, HX_PAGE(edit[i].page), whole ? HX_EDIT_WHOLE : HX_EDIT_KEEP, &q);
        if (rc) {
            hx_pager_abort(p);
            return rc;
        }
        if (whole)
            memset(q, (int)(x >> 20), HX_PAGE_SIZE);
        for (unsigned k = 0; k < 5; k++)
            hx_put_u64(q + (x >> (8 + 7 * k)) % (HX_PAGE_SIZE - 8), x + k);
        edit[i].sum = sum_of(q);
    }
    return hx_pager_commit(p, ret_cpl);
}

static void one_mtr(struct story *s)
{
    struct edit edit[5];
    struct hx_lsn cpl;
    uint64_t seed = world_random(&s->w);
    size_t n = 1 + world_below(&s->w, 4);
    uint32_t first = world_below(&s->w, (unsigned)hx_writer_pages(s->writer) - 8 * 5);
    for (size_t i = 0; i < n; i++) /* distinct pages */
        edit[i].page = first + (uint32_t)i * 8 + world_below(&s->w, 8);
    for (;;) {
        int rc = edit_pages(s, seed, edit, n, &cpl);
        if (rc == 0)
            break;
        if (rc == HX_E_MISS) {
            fetch(s);
            continue;
        }
        assert_int_equal(rc, HX_E_ROOM);
        hx_writer_want(s->writer, s->w.now_ms, hx_writer_last(s->writer));
        step(s, true);
    }
    for (size_t i = 0; i < n && s->edit_count < EDITS_MAX; i++) {
        s->edit[s->edit_count] = edit[i];
        s->edit[s->edit_count++].cpl = cpl.v;
    }
    if (world_below(&s->w, 3) == 0)
        hx_writer_want(s->writer, s->w.now_ms, cpl);
}

static void work(struct story *s, unsigned mtrs)
{
    while (mtrs > 0 && s->edit_count < EDITS_MAX - 8) {
        step(s, true);
        switch (world_below(&s->w, 12)) {
        case 0:
        case 1:
        case 2:
            one_mtr(s);
            mtrs--;
            break;
        case 3:
            check_page(s, world_below(&s->w, (unsigned)hx_writer_pages(s->writer)));
            break;
        case 4:
            if (world_below(&s->w, 4) == 0)
                hx_cache_drop_clean(s->cache);
            break;
        default:
            break;
        }
    }
}

/* The new client sees exactly the mini-transactions up to the cut: the others never were. */
static void cut_at(struct story *s, uint64_t vdl, uint64_t durable)
{
    assert_true(vdl >= durable); /* I1 */
    while (s->edit_count > 0 && s->edit[s->edit_count - 1].cpl > vdl)
        s->edit_count--;
    for (uint32_t page = 0; page < hx_writer_pages(s->writer); page++)
        check_page(s, page);
}

static void one_story(uint64_t seed, uint64_t *misses, uint64_t *checked, uint64_t *crashes)
{
    struct story *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->seed = seed;
    world_init(&s->w, seed);
    make_volume(s);
    s->w.loss = (unsigned)(seed % 3) * 10;
    uint64_t durable = 0;
    for (unsigned reign = 0; reign < REIGNS; reign++) {
        uint64_t vdl = open_volume(s);
        cut_at(s, vdl, durable);
        work(s, 75);
        if (reign < 2)
            grow(s);
        work(s, 75);
        durable = hx_writer_vdl(s->writer).v;
        leave(s);
    }
    uint64_t vdl = open_volume(s);
    cut_at(s, vdl, durable);
    leave(s);
    *misses += s->misses;
    *checked += s->checked;
    *crashes += s->w.crashes;
    hx_geometry_fini(&s->geometry);
    world_fini(&s->w);
    free(s);
}

/* Promise: see the head of this file.  Fixed seeds. */
static void pages_are_what_the_mini_transactions_made_of_them(void **state)
{
    (void)state;
    uint64_t misses = 0, checked = 0, crashes = 0;
    for (uint64_t seed = 1; seed <= STORIES; seed++)
        one_story(seed, &misses, &checked, &crashes);
    print_message("# %llu misses, %llu pages checked, %llu crashes\n", (unsigned long long)misses,
                  (unsigned long long)checked, (unsigned long long)crashes);
    assert_true(misses > 1000 && crashes > 100); /* the stories are not idle */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_what_the_mini_transactions_made_of_them),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
