/*
 * test_nomem_client.c - the client's pure parts (creation, lookup, opening, writer, page cache, reader, growth) when
 * their k-th allocation fails, once or from then on, for every k.  The six servers are real (reopen_world.h) and keep
 * their memory.
 *
 * Method (alloc_fault.h): faults are armed around calls of the client's parts only.  A part that runs out of memory
 * says NOMEM, or goes on when the same can be had later; nothing crashes or leaks; afterwards the same thing is done
 * with memory, and every page that was made durable is what it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "alloc_fault.h"
#define WORLD_DO ALLOC_FAULTS /* faults strike inside of the parts only */
#include "world_parts.h"

#include "hexad/pager.h"
#include "hexad/reader.h"
#include "hexad/recovery.h"
#include "hexad/writer.h"

#include <stdlib.h>

#define STEPS_MAX 6000
#define PAGES 12u

struct client {
    struct world w;
    struct hx_geometry geometry;
    struct hx_writer *writer;
    struct hx_cache *cache;
    struct hx_reader *reader;
    struct world_reader part;
    uint8_t durable[PAGES]; /* first byte of each page that is durable */
    uint64_t failed_reads;
};
static bool struck; /* the plan of this run met an allocation */

static void lift(void)
{
    struck |= alloc_fault_happened();
    alloc_fault_plan(0, false);
}

static void for_each(void (*script)(struct client *c, uint64_t k))
{
    uint64_t k = 1;
    for (unsigned always = 0; always < 2; always++)
        for (k = 1, struck = true; struck; k++) {
            struct client *c = calloc(1, sizeof *c);
            assert_non_null(c);
            world_init(&c->w, 3);
            struck = false;
            alloc_fault_plan(k, always);
            script(c, k);
            lift();
            world_fini(&c->w);
            hx_geometry_fini(&c->geometry);
            free(c);
        }
    print_message("# %llu allocations\n", (unsigned long long)k - 2);
}

static void look(void *ctx, const struct hx_reader_done *d)
{
    if (d->err && d->err != HX_E_NOMEM)
        fail_msg("a page could not be read: %d", d->err);
    ((struct client *)ctx)->failed_reads += d->err != 0;
}

/* ---- making and opening ---- */
static int make(struct client *c)
{
    struct hx_create *cr;
    struct hx_create_cfg cfg = {.name = "v", .volume = {{77}}, .owner = {{78}}, .pg_bytes = HX_PG_SIZE_MIN, .lal = 500,
                                .created_us = 1, .now_ms = c->w.now_ms, .servers = c->w.servers,
                                .server_count = WORLD_SERVERS};
    int err;
    ALLOC_FAULTS(err = hx_create_new(&cfg, &cr));
    if (err)
        return err;
    world_join(&c->w, world_part_create(cr));
    for (int i = 0; i < STEPS_MAX && hx_create_state(cr) == HX_E_AGAIN; i++)
        world_step(&c->w);
    err = hx_create_state(cr);
    if (err == 0)
        assert_int_equal(hx_geometry_copy(&c->geometry, hx_create_geometry(cr)), 0);
    world_leave(&c->w, cr);
    hx_create_free(cr);
    return err;
}

static int begin(struct client *c, const struct hx_recovery_result *res)
{
    struct hx_writer_cfg cfg = {.geometry = &res->geometry, .history = &res->history, .owner = res->owner,
                                .pgs = res->pgs, .window_bytes = 2u << 20, .now_ms = c->w.now_ms};
    int err;
    ALLOC_FAULTS(err = hx_writer_new(&cfg, &c->writer));
    if (!err) {
        ALLOC_FAULTS(err = hx_cache_new(&(struct hx_cache_cfg){.cache_bytes = 4u << 20}, c->writer, &c->cache));
        if (err)
            hx_writer_free(c->writer);
    }
    if (!err) {
        ALLOC_FAULTS(err = hx_reader_new(c->writer, 5, &c->reader));
        if (err) {
            hx_cache_free(c->cache);
            hx_writer_free(c->writer);
        }
    }
    if (err)
        return err;
    world_join(&c->w, world_part_writer(c->writer));
    c->part = (struct world_reader){c->reader, c->cache, look, c};
    world_join(&c->w, world_part_reader(&c->part));
    return 0;
}

static int open_volume(struct client *c, uint8_t who)
{
    struct hx_recovery *r;
    struct hx_recovery_cfg cfg = {.hint = &c->geometry, .epoch_seen = {1}, .seed = who, .owner = {{who, 3}},
                                  .now_ms = c->w.now_ms};
    int err;
    ALLOC_FAULTS(err = hx_recovery_new(&cfg, &r));
    if (err)
        return err;
    world_join(&c->w, world_part_recovery(r));
    for (int i = 0; i < STEPS_MAX && hx_recovery_state(r) < HX_RECOVERY_OPEN; i++)
        world_step(&c->w);
    err = hx_recovery_state(r) == HX_RECOVERY_OPEN ? 0 : hx_recovery_error(r);
    if (err == 0)
        err = begin(c, hx_recovery_result(r));
    else
        assert_int_equal(hx_recovery_state(r), HX_RECOVERY_FAILED); /* not for ever under way */
    world_leave(&c->w, r);
    hx_recovery_free(r);
    return err;
}

static void leave(struct client *c)
{
    world_leave(&c->w, c->writer);
    world_leave(&c->w, &c->part);
    hx_reader_free(c->reader);
    hx_cache_free(c->cache);
    hx_writer_free(c->writer);
}

/* ---- pages ---- */
static void fetch(struct client *c)
{
    struct hx_cache_want w[8];
    size_t n;
    while ((n = hx_cache_take_wants(c->cache, w, HX_ARRAY_LEN(w))) > 0)
        ALLOC_FAULTS(hx_reader_fetch(c->reader, c->w.now_ms, w, n); world_reader_take(&c->part));
    for (int i = 0; i < 40; i++)
        world_step(&c->w);
}

static int edit_once(struct client *c, unsigned page, uint8_t byte, struct hx_lsn *ret)
{
    struct hx_pager *p = hx_cache_pager(c->cache);
    uint8_t *q;
    int err = hx_pager_begin(p);
    if (err)
        return err;
    for (unsigned i = 0; i < 2 && err == 0; i++) {
        err = hx_pager_edit(p, HX_PAGE(page + 100 * i), i ? HX_EDIT_WHOLE : HX_EDIT_KEEP, &q);
        if (err == 0)
            memset(q, byte, i ? HX_PAGE_SIZE : 300);
    }
    if (err) {
        hx_pager_abort(p);
        return err;
    }
    return hx_pager_commit(p, ret);
}

/* Page PAGE becomes BYTE durably; 0 or NOMEM. */
static int edit(struct client *c, unsigned page, uint8_t byte)
{
    struct hx_lsn cpl = {0};
    int err = HX_E_MISS;
    for (int i = 0; i < 50 && err == HX_E_MISS; i++) {
        ALLOC_FAULTS(err = edit_once(c, page, byte, &cpl));
        if (err == HX_E_MISS)
            fetch(c);
    }
    if (err == HX_E_MISS && alloc_fault_happened())
        return HX_E_NOMEM; /* the pages could not be fetched */
    if (err)
        return err;
    hx_writer_want(c->writer, c->w.now_ms, cpl);
    for (int i = 0; i < STEPS_MAX && hx_writer_vdl(c->writer).v < cpl.v; i++)
        world_step(&c->w);
    if (hx_writer_vdl(c->writer).v >= cpl.v)
        c->durable[page] = byte;
    else
        assert_true(alloc_fault_happened());
    return 0;
}

static void check(struct client *c)
{
    hx_cache_drop_clean(c->cache);
    for (unsigned i = 0; i < PAGES; i++) {
        const uint8_t *p;
        int err = HX_E_MISS;
        for (int k = 0; k < 200 && err == HX_E_MISS; k++) {
            err = hx_pager_get(hx_cache_pager(c->cache), HX_PAGE(i), &p);
            if (err == HX_E_MISS)
                fetch(c);
        }
        assert_int_equal(err, 0);
        if (p[299] != c->durable[i])
            fail_msg("page %u is %u, durable was %u", i, p[299], c->durable[i]);
    }
}

static void assert_nomem(int err, const char *what, uint64_t k)
{
    if (err != HX_E_NOMEM)
        fail_msg("%s, allocation %llu failed: %d", what, (unsigned long long)k, err);
}

/* ---- scripts ---- */
static void creation(struct client *c, uint64_t k)
{
    int err = make(c);
    if (err)
        assert_nomem(err, "creation", k);
    lift();
    if (err)
        assert_int_equal(make(c), 0);
    assert_int_equal(open_volume(c, 1), 0);
    leave(c);
}

/* Promise: a creation without memory ends with NOMEM, and creating the volume again works. */
static void creation_without_memory_can_be_repeated(void **state)
{
    (void)state;
    for_each(creation);
}

/* With what the first writer left: durable pages, and some records that are not. */
static void prepare(struct client *c)
{
    assert_int_equal(make(c), 0);
    assert_int_equal(open_volume(c, 1), 0);
    for (unsigned i = 0; i < PAGES; i++)
        assert_int_equal(edit(c, i, (uint8_t)(i + 1)), 0);
}

static void unplanned(void (*what)(struct client *c), struct client *c)
{
    bool was = alloc_fault_suspend();
    what(c);
    alloc_fault_resume(was);
}

static void opening(struct client *c, uint64_t k)
{
    struct hx_lsn cpl;
    unplanned(prepare, c);
    bool was = alloc_fault_suspend();
    for (unsigned i = 0; i < 3; i++) { /* to be written back by the opening */
        assert_int_equal(edit_once(c, i, (uint8_t)(i + 1), &cpl), 0);
        hx_writer_want(c->writer, c->w.now_ms, cpl);
        for (int n = 0; n < 5; n++)
            world_step(&c->w);
    }
    leave(c);
    alloc_fault_resume(was);
    int err = open_volume(c, 2);
    if (err)
        assert_nomem(err, "opening", k);
    lift();
    if (err)
        assert_int_equal(open_volume(c, 3), 0);
    check(c);
    leave(c);
}

/* Promise: an opening without memory fails with NOMEM, and the next one has everything that was durable. */
static void an_opening_without_memory_loses_nothing(void **state)
{
    (void)state;
    for_each(opening);
}

/* Another client, with an empty cache. */
static void reopen(struct client *c)
{
    leave(c);
    assert_int_equal(open_volume(c, 7), 0);
}

static void working(struct client *c, uint64_t k)
{
    unplanned(prepare, c);
    unplanned(reopen, c);
    for (unsigned i = 0; i < 6; i++) {
        int err = edit(c, i, (uint8_t)(i + 50));
        if (err)
            assert_nomem(err, "a mini-transaction", k);
    }
    lift();
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(edit(c, i, (uint8_t)(i + 80)), 0);
    check(c);
    leave(c);
    assert_int_equal(open_volume(c, 2), 0);
    check(c);
    leave(c);
}

/* Promise: a mini-transaction without memory changes nothing and says NOMEM; reads and writes go on when it is back. */
static void a_mini_transaction_without_memory_changes_nothing(void **state)
{
    (void)state;
    for_each(working);
}

static int grow(struct client *c)
{
    struct hx_growth *g;
    struct hx_uuid owner = {{5}};
    int err;
    ALLOC_FAULTS(err = hx_growth_new(c->writer, NULL, &owner, c->w.now_ms, &g));
    if (err)
        return err;
    world_join(&c->w, world_part_growth(g));
    for (int i = 0; i < STEPS_MAX && hx_growth_state(g) == HX_E_AGAIN; i++)
        world_step(&c->w);
    err = hx_growth_state(g);
    if (err == 0)
        ALLOC_FAULTS(err = hx_writer_add_pg(c->writer, hx_growth_geometry(g), hx_growth_made(g)));
    if (err && hx_growth_state(g) == 0) { /* published, though the writer does not know it yet: the same once more */
        lift();
        err = hx_writer_add_pg(c->writer, hx_growth_geometry(g), hx_growth_made(g));
    }
    world_leave(&c->w, g);
    hx_growth_free(g);
    return err;
}

static void growing(struct client *c, uint64_t k)
{
    unplanned(prepare, c);
    uint64_t pages = hx_writer_pages(c->writer);
    int err = grow(c);
    if (err)
        assert_nomem(err, "growth", k);
    lift();
    if (err)
        assert_int_equal(grow(c), 0);
    assert_int_equal(hx_writer_pages(c->writer), 2 * pages);
    assert_int_equal(edit(c, 1, 99), 0);
    check(c);
    leave(c);
}

/* Promise: a growth without memory says NOMEM, and growing again works. */
static void growth_without_memory_can_be_repeated(void **state)
{
    (void)state;
    for_each(growing);
}

static void looking_up(struct client *c, uint64_t k)
{
    struct hx_lookup_sum sum = {0};
    bool was = alloc_fault_suspend();
    assert_int_equal(make(c), 0);
    alloc_fault_resume(was);
    for (unsigned i = 0; i < 2 * WORLD_SERVERS; i++) {
        struct hx_msg_head q = {.type = HX_MSG_LOOKUP};
        struct hx_bytes reply;
        int err;
        if (i == WORLD_SERVERS)
            lift();
        world_ask(&c->w, i % WORLD_SERVERS, &q, (struct hx_bytes){(const uint8_t *)"\1\0v", 3}, &reply);
        ALLOC_FAULTS(err = hx_lookup_sum_add(&sum, reply));
        if (err)
            assert_nomem(err, "lookup", k);
        free((void *)(uintptr_t)reply.p);
    }
    assert_true(sum.found && sum.answers == WORLD_SERVERS && hx_lookup_sum_enough(&sum));
    hx_lookup_sum_fini(&sum);
}

/* Promise: an answer that could not be taken for want of memory can be given once more. */
static void lookup_without_memory_can_be_repeated(void **state)
{
    (void)state;
    for_each(looking_up);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookup_without_memory_can_be_repeated),
        cmocka_unit_test(creation_without_memory_can_be_repeated),
        cmocka_unit_test(growth_without_memory_can_be_repeated),
        cmocka_unit_test(an_opening_without_memory_loses_nothing),
        cmocka_unit_test(a_mini_transaction_without_memory_changes_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("nomem_client", tests, NULL, NULL);
}
