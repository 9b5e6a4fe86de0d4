/*
 * test_growth.c - one more protection group: made before it is published, published before it is used (I9).
 */
#include "fake_fleet.h"

#include "hexad/quorum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define STEPS_MAX 20000

struct stage {
    struct fleet *f;
    struct hx_writer *w;
    struct hx_uuid owner;
};

/* A fleet's volume, opened at epoch 2, and its writer. */
static struct stage set_up_over(struct fleet *f)
{
    struct stage s = {.f = f};
    struct hx_recovery *r;
    memset(s.owner.b, 4, 16);
    struct hx_recovery_cfg cfg = {
        .hint = &s.f->geometry, .epoch_seen = HX_EPOCH(1), .now_ms = s.f->now_ms, .owner = s.owner};
    assert_int_equal(hx_recovery_new(&cfg, &r), 0);
    struct fleet_part p = fleet_recovery(r);
    for (int i = 0; i < STEPS_MAX && hx_recovery_state(r) < HX_RECOVERY_OPEN; i++)
        fleet_step(s.f, &p, 1);
    const struct hx_recovery_result *res = hx_recovery_result(r);
    struct hx_writer_cfg wcfg = {.geometry = &res->geometry, .history = &res->history, .owner = res->owner,
                                 .pgs = res->pgs, .now_ms = s.f->now_ms};
    assert_int_equal(hx_writer_new(&wcfg, &s.w), 0);
    fleet_abandon(s.f, r);
    hx_recovery_free(r);
    return s;
}

/* A volume of one PG. */
static struct stage set_up(uint32_t servers)
{
    return set_up_over(fleet_new(servers, 1, 1000));
}

static void tear_down(struct stage *s)
{
    hx_writer_free(s->w);
    fleet_free(s->f);
}

static struct hx_growth *start(struct stage *s)
{
    struct hx_growth *g;
    assert_int_equal(hx_growth_new(s->w, NULL, &s->owner, s->f->now_ms, &g), 0);
    return g;
}

static int run_for(struct stage *s, struct hx_growth *g, uint64_t ms)
{
    struct fleet_part p = fleet_growth(g);
    uint64_t until = s->f->now_ms + ms;
    for (int i = 0; i < STEPS_MAX && hx_growth_state(g) == HX_E_AGAIN && s->f->now_ms < until; i++)
        fleet_step(s->f, &p, 1);
    return hx_growth_state(g);
}

static void finish(struct stage *s, struct hx_growth *g)
{
    fleet_abandon(s->f, g);
    hx_growth_free(g);
}

static unsigned made(struct stage *s, uint32_t pg)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < s->f->server_count; i++)
        n += pg < s->f->servers[i].seg_count && s->f->servers[i].segs[pg].there;
    return n;
}

static unsigned published(struct stage *s, uint32_t g)
{
    unsigned n = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        n += fleet_seg_at(s->f, 0, i)->geometry.g == g;
    return n;
}

/* No GEOMETRY arrives before four segments are there; FORMAT has a slice, GEOMETRY the whole. */
static int order(void *ctx, struct fleet *f, uint32_t server, const struct hx_msg_head *h, struct hx_bytes body)
{
    struct stage *s = ctx;
    (void)f;
    (void)server;
    struct hx_geometry g = {0};
    struct hx_dec d = hx_dec_init(body.p, body.len);
    assert_int_equal(hx_geometry_decode_any(&g, &d), 0);
    assert_int_equal(g.slice, h->type == HX_MSG_FORMAT ? h->pg : 0); /* a new member keeps only what is its own */
    hx_geometry_fini(&g);
    if (h->type == HX_MSG_GEOMETRY)
        assert_true(made(s, s->f->geometry.pg_count) >= HX_WRITE_QUORUM);
    return 0;
}

static void all_six_are_made_and_four_publish(void **state)
{
    /* Promise (N1, N2): with everybody up, six segments under this epoch's history, then g + 1 on four of PG 0. */
    (void)state;
    struct stage s = set_up(12);
    s.f->hook = order;
    s.f->hook_ctx = &s;
    struct hx_growth *g = start(&s);
    assert_int_equal(run_for(&s, g, 60000), 0);
    assert_int_equal(hx_growth_geometry(g)->g, 2);
    assert_int_equal(hx_growth_geometry(g)->epoch.v, 2);
    assert_int_equal(made(&s, 1), 6);
    assert_true(published(&s, 2) >= 4);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        uint32_t at = hx_growth_geometry(g)->pgs[1].server[i];
        assert_int_equal(hx_history_top(&s.f->servers[at].segs[1].history).v, 2);
        assert_int_equal(s.f->servers[at].segs[1].promised.v, 2);
    }
    finish(&s, g);
    tear_down(&s);
}

static void any_four_make_it_and_no_three_do(void **state)
{
    /* Promise: all 64 sets of live members (PG 0 and PG 1 are on the same six): published iff four are up; with two
     * silent, not before they had their chance. */
    (void)state;
    for (unsigned set = 0; set < 64; set++) {
        struct stage s = set_up(6);
        s.f->hook = order;
        s.f->hook_ctx = &s;
        for (uint32_t i = 0; i < 6; i++)
            s.f->servers[i].down = !hx_members_has((hx_members)set, i);
        uint64_t from = s.f->now_ms;
        struct hx_growth *g = start(&s);
        bool four = hx_quorum_write((hx_members)set);
        assert_int_equal(run_for(&s, g, 20000), four ? 0 : HX_E_AGAIN);
        assert_int_equal(published(&s, 2) >= 4, four);
        if (!four)
            assert_int_equal(published(&s, 2), 0);
        if (four && set != 63)
            assert_true(s.f->now_ms >= from + 2000); /* virtual time */
        finish(&s, g);
        tear_down(&s);
    }
}

/* SECONDS pass; the writer's announcements to the servers of SET fail, those to the others stay under way. */
static void writer_misses(struct stage *s, hx_members set, unsigned seconds)
{
    struct hx_effect e;
    for (; seconds > 0; seconds--) {
        s->f->now_ms += HX_WRITER_ANNOUNCE_MS;
        hx_writer_tick(s->w, s->f->now_ms);
        while (hx_writer_next(s->w, &e) == 1)
            for (uint32_t i = 0; i < HX_COPIES; i++)
                if (hx_members_has(set, i) && strcmp(e.server->name, s->f->servers[i].s.name) == 0)
                    hx_writer_failed(s->w, s->f->now_ms, e.call, HX_E_TIMEOUT);
    }
}

static void who_is_known_to_be_silent_is_not_waited_for(void **state)
{
    /* Promise (N1): all 15 pairs of servers that have not answered the writer for two seconds: published as soon as
     * the four others made it, and not before; with three dead it waits for ever.  A server that was silent and makes
     * the segment counts. */
    (void)state;
    for (unsigned set = 0; set < 64; set++) {
        struct stage s = set_up(6);
        hx_members dead = (hx_members)(63 & ~set);
        if (hx_members_count((hx_members)set) > 4 || hx_members_count((hx_members)set) < 3) {
            tear_down(&s);
            continue;
        }
        s.f->hook = order;
        s.f->hook_ctx = &s;
        for (uint32_t i = 0; i < 6; i++)
            s.f->servers[i].down = hx_members_has(dead, i);
        writer_misses(&s, dead, 2);
        uint64_t from = s.f->now_ms;
        struct hx_growth *g = start(&s);
        bool four = hx_quorum_write((hx_members)set);
        assert_int_equal(run_for(&s, g, 1000), four ? 0 : HX_E_AGAIN);
        assert_int_equal(made(&s, 1), hx_members_count((hx_members)set));
        if (!four) {
            assert_int_equal(published(&s, 2), 0);
            for (uint32_t i = 0; i < 6; i++)
                s.f->servers[i].down = false;
            assert_int_equal(run_for(&s, g, 60000), 0);
        } else {
            assert_true(s.f->now_ms < from + 1000); /* virtual time */
        }
        finish(&s, g);
        tear_down(&s);
    }
}

static void a_server_that_fell_silent_lately_is_waited_for(void **state)
{
    /* Promise (N1): two of six that are being restarted just now still become members: they are not given up
     * before they have been silent for the whole time, though the writer has missed an answer already. */
    (void)state;
    struct stage s = set_up(6);
    hx_members dead = 1u << 2 | 1u << 5;
    writer_misses(&s, dead, 1);
    s.f->servers[2].down = s.f->servers[5].down = true;
    uint64_t from = s.f->now_ms;
    struct hx_growth *g = start(&s);
    assert_int_equal(run_for(&s, g, 500), HX_E_AGAIN);
    assert_int_equal(made(&s, 1), 4);
    hx_writer_tick(s.w, s.f->now_ms);
    assert_int_equal(run_for(&s, g, 400), HX_E_AGAIN);
    hx_writer_tick(s.w, from + 2000);
    assert_int_equal(run_for(&s, g, 10000), 0);
    assert_true(s.f->now_ms < from + 2000); /* virtual time: counted from when they fell silent */
    finish(&s, g);
    tear_down(&s);
}

static void a_process_that_stood_still_waits_anew(void **state)
{
    /* Promise (N1): the time in which the process of the growth was frozen is not the others' time: two that did not
     * answer before are given theirs when it goes on, whoever else has answered meanwhile.  Method: two are down, the
     * process stands still for a minute, and hears the four when it wakes; the two come up then. */
    (void)state;
    struct stage s = set_up(6);
    s.f->servers[2].down = s.f->servers[5].down = true;
    struct hx_growth *g = start(&s);
    assert_int_equal(run_for(&s, g, 300), HX_E_AGAIN);
    assert_int_equal(made(&s, 1), 4);
    writer_misses(&s, 1u << 2 | 1u << 5, 60);
    s.f->servers[2].down = s.f->servers[5].down = false;
    assert_int_equal(run_for(&s, g, 60000), 0);
    assert_int_equal(made(&s, 1), 6);
    assert_int_equal(hx_growth_made(g), HX_MEMBERS_ALL);
    finish(&s, g);
    tear_down(&s);
}

static int refuse(void *ctx, struct fleet *f, uint32_t server, const struct hx_msg_head *h, struct hx_bytes body)
{
    (void)f;
    (void)body;
    return server == 2 && h->type == *(uint16_t *)ctx ? HX_E_FENCED : 0;
}

static void fenced_ends_it_for_ever(void **state)
{
    /* Promise (N3): one FENCED at FORMAT or at GEOMETRY; nothing is sent afterwards. */
    static const uint16_t types[] = {HX_MSG_FORMAT, HX_MSG_GEOMETRY};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct stage s = set_up(6);
        uint16_t type = types[i];
        s.f->hook = refuse;
        s.f->hook_ctx = &type;
        struct hx_growth *g = start(&s);
        assert_int_equal(run_for(&s, g, 60000), HX_E_FENCED);
        struct hx_effect e;
        while (hx_growth_next(g, &e) == 1)
            assert_int_equal(e.kind, HX_EFFECT_CANCEL);
        hx_growth_tick(g, s.f->now_ms + 100000);
        assert_int_equal(hx_growth_next(g, &e), 0);
        finish(&s, g);
        tear_down(&s);
    }
}

static void a_growth_that_died_anywhere_is_repeated_or_found(void **state)
{
    /* Promise: stopped after any number of deliveries, an opening finds g or g + 1, never a group that cannot be
     * opened; and growing again works.  Method: every stop point, one server of six dead. */
    (void)state;
    for (uint64_t stop = 0; stop < 16; stop++) {
        struct stage s = set_up(6);
        s.f->servers[5].down = true;
        struct hx_growth *g = start(&s);
        struct fleet_part p = fleet_growth(g);
        uint64_t from = s.f->delivered;
        for (int i = 0; i < STEPS_MAX && s.f->delivered - from < stop && hx_growth_state(g) == HX_E_AGAIN; i++)
            fleet_step(s.f, &p, 1);
        bool done = hx_growth_state(g) == 0;
        finish(&s, g);
        s.f->servers[5].down = false;
        s.f->servers[1].down = true;
        struct hx_recovery *r;
        struct hx_recovery_cfg cfg = {.hint = &s.f->geometry, .epoch_seen = HX_EPOCH(2), .now_ms = s.f->now_ms};
        assert_int_equal(hx_recovery_new(&cfg, &r), 0);
        struct fleet_part pr = fleet_recovery(r);
        for (int i = 0; i < STEPS_MAX && hx_recovery_state(r) < HX_RECOVERY_OPEN; i++)
            fleet_step(s.f, &pr, 1);
        assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
        const struct hx_recovery_result *res = hx_recovery_result(r);
        assert_true(res->geometry.g == 2 || (res->geometry.g == 1 && !done));
        hx_writer_free(s.w);
        struct hx_writer_cfg wcfg = {.geometry = &res->geometry, .history = &res->history, .owner = res->owner,
                                     .pgs = res->pgs, .now_ms = s.f->now_ms};
        assert_int_equal(hx_writer_new(&wcfg, &s.w), 0);
        uint32_t next = res->geometry.g + 1;
        fleet_abandon(s.f, r);
        hx_recovery_free(r);
        g = start(&s);
        assert_int_equal(run_for(&s, g, 60000), 0);
        assert_int_equal(hx_growth_geometry(g)->g, next);
        finish(&s, g);
        tear_down(&s);
    }
}

static int full(void *ctx, struct fleet *f, uint32_t server, const struct hx_msg_head *h, struct hx_bytes body)
{
    (void)f;
    (void)body;
    if (server != 4 || h->type != HX_MSG_FORMAT)
        return 0;
    ++*(unsigned *)ctx;
    return HX_E_NOSPACE;
}

static void a_full_server_is_tried_again_and_not_waited_for(void **state)
{
    /* Promise: NOSPACE at one of six delays, and does not prevent. */
    (void)state;
    struct stage s = set_up(6);
    unsigned asked = 0;
    s.f->hook = full;
    s.f->hook_ctx = &asked;
    struct hx_growth *g = start(&s);
    assert_int_equal(run_for(&s, g, 60000), 0);
    assert_int_equal(made(&s, 1), 5);
    assert_true(asked > 1);
    finish(&s, g);
    tear_down(&s);
}

static void answers_to_calls_that_were_never_made_change_nothing(void **state)
{
    /* Promise (A3): not even one that says FENCED. */
    (void)state;
    struct stage s = set_up(6);
    struct hx_growth *g = start(&s);
    struct hx_effect e;
    assert_int_equal(hx_growth_next(g, &e), 1);
    struct hx_reply_head h = {.type = HX_MSG_FORMAT, .status = HX_E_FENCED, .server = e.server->incarnation,
                              .req_id = e.call + 1};
    uint8_t reply[HX_REPLY_HEAD];
    hx_reply_head_encode(&h, NULL, 0, reply);
    hx_growth_answer(g, s.f->now_ms, e.call + 1, (struct hx_bytes){reply, sizeof reply});
    hx_growth_failed(g, s.f->now_ms, e.call + 1, HX_E_FENCED);
    assert_int_equal(hx_growth_state(g), HX_E_AGAIN);
    finish(&s, g);
    tear_down(&s);
}

static unsigned cleared; /* bits of servers */

/* What a server says to MEMBERS and DELETE (N4): a segment of the former life is there until it is deleted. */
static int former_life(void *ctx, struct fleet *f, uint32_t server, const struct hx_msg_head *h, struct hx_bytes body)
{
    struct hx_dec d = hx_dec_init(body.p, body.len);
    struct hx_geometry g = {0};
    (void)ctx;
    assert_int_equal(hx_geometry_decode_any(&g, &d), 0);
    const struct hx_pg_members *row = hx_geometry_row(&g, h->pg);
    struct fleet_seg *s = &f->servers[server].segs[h->pg];
    if (h->type == HX_MSG_MEMBERS || h->type == HX_MSG_DELETE)
        assert_int_equal(row->kind, HX_ROW_RELEASED);
    if (h->type == HX_MSG_FORMAT) {
        assert_int_equal(row->kind, HX_ROW_PLAIN);
        assert_true(cleared >> server & 1u); /* nothing of the former life */
    }
    hx_geometry_fini(&g);
    if (h->type == HX_MSG_DELETE) {
        assert_int_equal(hx_dec_u64(&d), 1);
        s->there = false;
        cleared |= 1u << server;
        return HX_E_NO_SEGMENT;
    }
    return 0;
}

static void a_released_group_comes_first_and_has_nothing(void **state)
{
    /* Promise (N4): a released row is used again before there is another one; what a server still has of it goes
     * before; and it is not published with fewer than six. */
    (void)state;
    for (unsigned missing = 0; missing < 2; missing++) {
        struct fleet *f = fleet_new(6, 2, 1000);
        for (unsigned i = 0; i < HX_COPIES; i++) {
            struct hx_geometry *g = &fleet_seg_at(f, 0, i)->geometry;
            g->pgs[1].kind = HX_ROW_RELEASED;
            g->m++;
        }
        f->geometry.pgs[1].kind = HX_ROW_RELEASED;
        f->geometry.m++;
        struct stage open = set_up_over(f);
        cleared = 0;
        f->hook = former_life;
        f->servers[5].down = missing;
        struct hx_growth *g = start(&open);
        assert_int_equal(run_for(&open, g, 60000), missing ? HX_E_AGAIN : 0);
        if (missing) {
            assert_true(published(&open, 2) == HX_COPIES); /* g is what it was */
            assert_int_equal(hx_geometry_live(&fleet_seg_at(f, 0, 0)->geometry), 1);
            f->servers[5].down = false;
            assert_int_equal(run_for(&open, g, 60000), 0);
        }
        assert_int_equal(hx_growth_geometry(g)->g, 2);
        assert_int_equal(hx_geometry_live(hx_growth_geometry(g)), 2);
        assert_int_equal(made(&open, 1), 6);
        assert_int_equal(hx_writer_pages(open.w), hx_geometry_pg_pages(&f->geometry));
        assert_int_equal(hx_writer_add_pg(open.w, hx_growth_geometry(g), hx_growth_made(g)), 0);
        assert_int_equal(hx_writer_pages(open.w), 2 * hx_geometry_pg_pages(&f->geometry));
        finish(&open, g);
        tear_down(&open);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_six_are_made_and_four_publish),
        cmocka_unit_test(any_four_make_it_and_no_three_do),
        cmocka_unit_test(who_is_known_to_be_silent_is_not_waited_for),
        cmocka_unit_test(a_server_that_fell_silent_lately_is_waited_for),
        cmocka_unit_test(a_process_that_stood_still_waits_anew),
        cmocka_unit_test(fenced_ends_it_for_ever),
        cmocka_unit_test(a_growth_that_died_anywhere_is_repeated_or_found),
        cmocka_unit_test(a_full_server_is_tried_again_and_not_waited_for),
        cmocka_unit_test(a_released_group_comes_first_and_has_nothing),
        cmocka_unit_test(answers_to_calls_that_were_never_made_change_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("growth", tests, NULL, NULL);
}
