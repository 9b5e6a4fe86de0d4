/*
 * test_nomem_recovery.c - an opening, a creation and a growth whose k-th allocation fails, once or from then on, for
 * every k.
 *
 * Method (alloc_fault.h): scripted servers (fake_fleet.h) which do not fail.  Each attempt ends with what it was for or
 * with NOMEM, says so in words, asks nothing more, leaks nothing (the sanitizers watch); and the next attempt, with
 * memory, finds nothing that the failed one has spoilt: the same volume, the same records.
 */
#include "recovery_kit.h"

#include "alloc_fault.h"

/* ---- calls in which allocations fail ---- */

static struct fleet_part honest;

static int faulty_next(void *o, struct hx_effect *e)
{
    int more;
    ALLOC_FAULTS(more = honest.next(o, e));
    return more;
}
static void faulty_answer(void *o, uint64_t now, uint64_t call, struct hx_bytes body)
{
    ALLOC_FAULTS(honest.answer(o, now, call, body));
}
static void faulty_failed(void *o, uint64_t now, uint64_t call, int err)
{
    ALLOC_FAULTS(honest.failed(o, now, call, err));
}
static uint64_t faulty_tick(void *o, uint64_t now)
{
    uint64_t ms;
    ALLOC_FAULTS(ms = honest.tick(o, now));
    return ms;
}

static struct fleet_part faulty(struct fleet_part p)
{
    honest = p;
    return (struct fleet_part){p.obj, faulty_next, faulty_answer, faulty_failed, faulty_tick};
}

static bool struck, plan_always;

static void lift(void)
{
    struck |= alloc_fault_happened();
    alloc_fault_plan(0, false);
}

static void for_each(void (*script)(uint64_t k))
{
    uint64_t k = 1;
    for (unsigned always = 0; always < 2; always++)
        for (k = 1, struck = true; struck; k++) {
            struck = false;
            plan_always = always;
            alloc_fault_plan(k, always);
            script(k);
            lift();
        }
    print_message("# %llu allocations\n", (unsigned long long)k - 2);
    assert_true(k > 20);
}

/* ---- opening ---- */

/* A record of a page full of one byte: its frame is compressed. */
static void put_page(struct fleet *f, uint32_t pg, hx_members set, uint64_t lsn, uint64_t prev)
{
    static uint8_t page[HX_PAGE_SIZE];
    memset(page, (int)lsn, sizeof page);
    struct fleet_rec rec = {.lsn = HX_LSN(lsn), .prev = HX_LSN(prev), .epoch = HX_EPOCH(1), .cpl = true, .page = 1,
                            .kind = HX_REC_IMAGE, .len = HX_PAGE_SIZE, .payload = page};
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (hx_members_has(set, i))
            assert_int_equal(fleet_append(f, pg, i, &rec, HX_LSN(0)), 0);
}

/* Two groups on twelve servers; records that members lack, above the start and below it; one segment never made. */
static struct fleet *volume(void)
{
    struct fleet *f = fleet_new(12, 2, LAL);
    put(f, 0, 0x0f, 1, 1, 0, true, 0);
    put(f, 1, 0x0f, 2, 1, 0, true, 1);
    for (uint64_t n = 3; n < 12; n++)
        if (n % 2)
            put_page(f, 0, n == 3 ? 0x3c : 0x03, n, n == 3 ? 1 : n - 2);
        else
            put_page(f, 1, 0x05, n, n == 4 ? 2 : n - 2);
    hx_history_fini(&fleet_seg_at(f, 1, 5)->history);
    fleet_seg_at(f, 1, 5)->there = false;
    return f;
}

static int claim(struct fleet *f, struct hx_recovery **ret)
{
    struct hx_geometry hint = {0};
    int err;
    assert_int_equal(hx_geometry_copy(&hint, &f->geometry), 0);
    hint.g = hint.pg_count = 1; /* of the one group, and of six servers: more come to light */
    hint.server_count = 6;
    struct hx_recovery_cfg cfg = {.hint = &hint, .epoch_seen = HX_EPOCH(1), .seed = 1, .now_ms = f->now_ms};
    memset(cfg.owner.b, 5, 16);
    ALLOC_FAULTS(err = hx_recovery_new(&cfg, ret));
    hx_geometry_fini(&hint);
    return err;
}

static void opening(uint64_t k)
{
    struct fleet *f = volume();
    struct hx_recovery *r = NULL;
    int err = claim(f, &r);
    (void)k;
    if (err != 0) {
        assert_int_equal(err, HX_E_NOMEM);
    } else {
        struct fleet_part p = faulty(fleet_recovery(r));
        for (int i = 0; i < STEPS_MAX && !at_end(r); i++) {
            fleet_step(f, &p, 1);
            if (i % 64 == 63)
                fleet_gossip(f);
        }
        assert_true(at_end(r));
        if (hx_recovery_state(r) == HX_RECOVERY_FAILED) {
            assert_int_equal(hx_recovery_error(r), HX_E_NOMEM);
            waiting_has(r, "out of memory");
            for (struct hx_effect e; faulty_next(r, &e);)
                assert_int_equal(e.kind, HX_EFFECT_CANCEL);
        } else {
            assert_int_equal(top(r)->vdl.v, 11);
        }
        fleet_abandon(f, r);
    }
    hx_recovery_free(r);
    lift();
    r = open_volume(f, 1);
    assert_int_equal(top(r)->vdl.v, 11);
    assert_int_equal(hx_recovery_result(r)->pgs[0].last.v, 11);
    assert_int_equal(hx_recovery_result(r)->pgs[1].last.v, 10);
    finish(f, r);
    fleet_free(f);
}

static void an_opening_without_memory_ends_with_that(void **state)
{
    (void)state;
    for_each(opening);
}

/* ---- creation ---- */

static int make(struct fleet *f, struct hx_create **ret)
{
    struct hx_server s[12];
    int err;
    for (uint32_t i = 0; i < f->server_count; i++) {
        s[i] = f->servers[i].s;
        memset(s[i].incarnation.b, 0, 16);
    }
    struct hx_create_cfg cfg = {.name = "vol0", .created_us = 5, .now_ms = f->now_ms, .servers = s,
                                .server_count = f->server_count};
    memset(cfg.volume.b, 8, 16);
    memset(cfg.owner.b, 8, 16);
    ALLOC_FAULTS(err = hx_create_new(&cfg, ret));
    if (err != 0)
        return err;
    struct fleet_part p = faulty(fleet_create(*ret));
    for (int i = 0; i < STEPS_MAX && hx_create_state(*ret) == HX_E_AGAIN; i++)
        fleet_step(f, &p, 1);
    return hx_create_state(*ret);
}

static void leave_two(struct fleet *f, uint64_t k)
{
    struct hx_create *c = NULL;
    alloc_fault_plan(0, false);
    assert_int_equal(make(f, &c), 0);
    fleet_abandon(f, c);
    hx_create_free(c);
    for (uint32_t i = 2; i < 6; i++) {
        struct fleet_seg *s = &f->servers[i].segs[0];
        hx_history_fini(&s->history);
        hx_geometry_fini(&s->geometry);
        s->there = false;
    }
    alloc_fault_plan(k, plan_always);
}

static void creation_at(struct fleet *f)
{
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        struct hx_create *c = NULL;
        int err = make(f, &c);
        if (err == HX_E_NOMEM && attempt == 0 && c != NULL)
            assert_string_equal(hx_create_why(c), "out of memory");
        else if (err != HX_E_NOMEM || attempt == 1)
            assert_true(err == 0 || (attempt == 1 && err == HX_E_EXISTS_VOLUME));
        if (c != NULL)
            fleet_abandon(f, c);
        hx_create_free(c);
        lift();
    }
    for (uint32_t i = 0; i < 6; i++)
        assert_true(f->servers[i].segs[0].there && f->servers[i].segs[0].geometry.volume.b[0] == 8);
    fleet_free(f);
}

static void creation(uint64_t k)
{
    (void)k;
    creation_at(fleet_new_bare(6));
}

static void creation_over_a_leftover(uint64_t k)
{
    struct fleet *f = fleet_new_bare(6);
    leave_two(f, k);
    creation_at(f);
}

static void a_creation_without_memory_is_finished_by_the_next(void **state)
{
    (void)state;
    for_each(creation);
    for_each(creation_over_a_leftover);
}

/* ---- growth ---- */

static void growing(uint64_t k)
{
    struct fleet *f = fleet_new(12, 1, LAL);
    struct hx_writer_pg pgs[1] = {0};
    struct hx_history h = {0};
    struct hx_uuid owner = {{4}};
    struct hx_writer *w;
    struct hx_growth *g = NULL;
    int err;
    (void)k;
    push(&h, 1, 0, 0);
    struct hx_writer_cfg cfg = {.geometry = &f->geometry, .history = &h, .owner = owner, .pgs = pgs,
                                .now_ms = f->now_ms};
    assert_int_equal(hx_writer_new(&cfg, &w), 0);
    for (unsigned i = 0; i < HX_COPIES; i++)
        fleet_seg_at(f, 0, i)->owner = owner;
    ALLOC_FAULTS(err = hx_growth_new(w, NULL, &owner, f->now_ms, &g));
    if (err == 0) {
        struct fleet_part p = faulty(fleet_growth(g));
        for (int i = 0; i < STEPS_MAX && hx_growth_state(g) == HX_E_AGAIN; i++)
            fleet_step(f, &p, 1);
        err = hx_growth_state(g);
        fleet_abandon(f, g);
    }
    assert_true(err == 0 || err == HX_E_NOMEM);
    hx_growth_free(g);
    g = NULL;
    lift();
    assert_int_equal(hx_growth_new(w, NULL, &owner, f->now_ms, &g), 0);
    struct fleet_part p = fleet_growth(g);
    for (int i = 0; i < STEPS_MAX && hx_growth_state(g) == HX_E_AGAIN; i++)
        fleet_step(f, &p, 1);
    assert_int_equal(hx_growth_state(g), 0);
    fleet_abandon(f, g);
    hx_growth_free(g);
    hx_writer_free(w);
    hx_history_fini(&h);
    fleet_free(f);
}

static void a_growth_without_memory_is_begun_again(void **state)
{
    (void)state;
    for_each(growing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_opening_without_memory_ends_with_that),
        cmocka_unit_test(a_creation_without_memory_is_finished_by_the_next),
        cmocka_unit_test(a_growth_without_memory_is_begun_again),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("nomem_recovery", tests, NULL, NULL);
}
