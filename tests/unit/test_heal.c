/*
 * test_heal.c - who is replaced by whom, and who is not (E1 to E5 of hexad/heal.h), in virtual time: scripted servers
 * behind a writer and a driver, whose learners are never filled here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_members.h"

#include "hexad/err.h"
#include "hexad/heal.h"

#include <stdlib.h>

#define AFTER 60000u

struct world {
    struct rig r;
    struct hx_move *d;
    struct hx_heal *h;
    unsigned down;  /* bit per server: takes nothing, and what is asked there fails */
    unsigned mute;  /* makes no learner */
};

static int hook(void *ctx, struct fake *f, unsigned server, const struct hx_msg_head *h, struct hx_bytes body,
                struct hx_enc *e)
{
    const struct world *w = ctx;
    (void)f;
    (void)body;
    (void)e;
    if (h->type == HX_MSG_STATUS)
        return HX_E_NO_VOLUME;
    if (h->type == HX_MSG_FORMAT && w->mute >> server & 1u)
        return HX_E_IO;
    return h->type == HX_MSG_DELETE || h->type == HX_MSG_MEMBERS || h->type == HX_MSG_GEOMETRY ? 0 : 1;
}

static void world_open(struct world *w, uint32_t servers, uint32_t pgs, uint64_t after)
{
    *w = (struct world){.down = 0};
    rig_open(&w->r, &(struct rig_opts){.pgs = pgs, .servers = servers});
    w->r.f.hook = hook;
    w->r.f.hook_ctx = w;
    assert_int_equal(hx_move_new(w->r.w, &w->r.f.owner, w->r.now, &w->d), 0);
    assert_int_equal(hx_heal_new(w->r.w, w->d, after, w->r.now, &w->h), 0);
}

static void world_close(struct world *w)
{
    hx_heal_free(w->h);
    hx_move_free(w->d);
    rig_close(&w->r);
}

static void pump(struct world *w)
{
    struct hx_effect e;
    while (hx_writer_next(w->r.w, &e))
        fake_effect(&w->r.f, &e);
    while (hx_move_next(w->d, &e))
        fake_effect(&w->r.f, &e);
}

static void run(struct world *w)
{
    pump(w);
    while (w->r.f.count > 0) {
        uint64_t call = w->r.f.queue[0].call;
        bool dead = w->down >> w->r.f.queue[0].server & 1u, move = hx_call_part(call) == HX_PART_MOVE;
        struct hx_bytes b = dead ? (struct hx_bytes){NULL, 0} : fake_answer(&w->r.f, 0);
        fake_forget(&w->r.f, 0);
        if (dead && move)
            hx_move_failed(w->d, w->r.now, call, HX_E_CONNECT);
        else if (dead)
            hx_writer_failed(w->r.w, w->r.now, call, HX_E_CONNECT);
        else if (move)
            hx_move_answer(w->d, w->r.now, call, b);
        else
            hx_writer_answer(w->r.w, w->r.now, call, b);
        free((void *)(uintptr_t)b.p);
        pump(w);
    }
}

static void pass(struct world *w, uint64_t ms)
{
    for (uint64_t end = w->r.now + ms; w->r.now < end; w->r.now += 100) {
        hx_writer_tick(w->r.w, w->r.now);
        hx_heal_tick(w->h, w->r.now);
        hx_move_tick(w->d, w->r.now);
        run(w);
    }
}

static unsigned changes(const struct world *w)
{
    struct hx_change_view v;
    unsigned n = 0;
    for (size_t i = 0; hx_move_view(w->d, i, &v); i++)
        n += v.state <= HX_CHANGE_TURN;
    return n;
}

static struct hx_change_view first(const struct world *w)
{
    struct hx_change_view v;
    assert_true(hx_move_view(w->d, 0, &v));
    return v;
}

static uint32_t member(const struct world *w, uint32_t pg, unsigned slot)
{
    return w->r.g.pgs[pg].server[slot];
}

static const char *zone(const struct world *w, uint32_t server)
{
    return w->r.g.servers[server].zone;
}

static uint64_t no_spare(const struct world *w)
{
    struct hx_heal_view v;
    hx_heal_view(w->h, &v);
    return v.no_spare;
}

/* Promise (E1): silent for repair-after, and no less, without a break; then by a server of its zone. */
static void who_is_silent_long_enough_is_replaced(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 12, 1, AFTER);
    pass(&w, 3000);
    uint32_t lost = member(&w, 0, 3);
    w.down = 1u << lost;
    pass(&w, AFTER - 3000);
    assert_int_equal(changes(&w), 0);
    pass(&w, 6000);
    assert_int_equal(changes(&w), 1);
    struct hx_change_view v = first(&w);
    assert_int_equal(v.from, lost);
    assert_int_equal(v.slot, 3);
    assert_string_equal(zone(&w, v.to), zone(&w, lost));
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_not_equal(v.to, member(&w, 0, i));
    world_close(&w);
}

/* Promise (E1): one that comes and goes is never replaced, however often. */
static void a_flapping_server_causes_nothing(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 12, 1, AFTER);
    pass(&w, 3000);
    for (unsigned k = 0; k < 10; k++) {
        w.down = 1u << member(&w, 0, 0);
        pass(&w, AFTER - 10000);
        assert_int_equal(changes(&w), 0);
        w.down = 0;
        pass(&w, 3000);
        assert_int_equal(changes(&w), 0);
    }
    world_close(&w);
}

/* Promise (E2): one that is back before it is replaced stays, and the learner is taken back. */
static void who_is_back_stays(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 12, 3, AFTER);
    pass(&w, 3000);
    w.down = 1u << member(&w, 0, 1);
    pass(&w, AFTER + 5000);
    assert_true(changes(&w) > 0);
    w.down = 0;
    pass(&w, 10000);
    assert_int_equal(changes(&w), 0);
    world_close(&w);
}

/* Promise (E3): while group 0 has no write quorum nothing is begun; it is as soon as there is one. */
static void without_a_quorum_nothing_is_begun(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 12, 1, AFTER);
    pass(&w, 3000);
    w.down = 1u << member(&w, 0, 0) | 1u << member(&w, 0, 2) | 1u << member(&w, 0, 4);
    pass(&w, 2 * AFTER);
    assert_int_equal(changes(&w), 0);
    w.down = 1u << member(&w, 0, 0);
    pass(&w, 5000);
    assert_int_equal(changes(&w), 1);
    world_close(&w);
}

/* Promise (E4): so many are filled at a time, and so many on one server. */
static void fills_are_bounded(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 12, 60, AFTER);
    pass(&w, 3000);
    w.down = 1u << member(&w, 0, 0);
    pass(&w, AFTER + 20000);
    unsigned of[FAKE_SERVERS_MAX] = {0};
    struct hx_change_view v;
    for (size_t i = 0; hx_move_view(w.d, i, &v); i++)
        of[v.to]++;
    assert_in_range(changes(&w), HX_HEAL_FILLS_SERVER, HX_HEAL_FILLS_MAX);
    for (unsigned i = 0; i < FAKE_SERVERS_MAX; i++)
        assert_true(of[i] <= HX_HEAL_FILLS_SERVER);
    assert_int_equal(no_spare(&w), 0); /* the others wait for one that is busy */
    world_close(&w);
}

/* Promise (E5, L2): who takes a segment is the placer's choice: of two spares the one whose disk has room for it; in a
 * group that lost both of its zone's members the second one has another spare than the first. */
static void spares_are_chosen_by_room(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        struct world w;
        world_open(&w, 12, 1, AFTER);
        uint32_t lost = member(&w, 0, 0), two[2], n = 0;
        for (uint32_t i = 0; i < 12; i++)
            if (!strcmp(zone(&w, i), zone(&w, lost)) && i != member(&w, 0, 0) && i != member(&w, 0, 1))
                two[n++] = i;
        assert_int_equal(n, 2);
        for (uint32_t i = 0; i < 12; i++)
            hx_heal_disk(w.h, i, UINT64_C(1) << 40, i == two[k] ? 4096 : UINT64_C(1) << 39);
        pass(&w, 3000);
        w.down = 1u << lost;
        pass(&w, AFTER + 5000);
        assert_int_equal(changes(&w), 1);
        assert_int_equal(first(&w).to, two[!k]);
        w.down |= 1u << member(&w, 0, 1);
        pass(&w, AFTER + 5000);
        struct hx_change_view v;
        assert_int_equal(changes(&w), 2);
        assert_true(hx_move_view(w.d, 1, &v));
        assert_int_equal(v.to, two[k]);
        world_close(&w);
    }
}

/* Promise (E5): without a spare in the zone nobody is moved, and it is said; others are. */
static void without_a_spare_it_is_said(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 6, 1, AFTER);
    pass(&w, 3000);
    w.down = 1u << member(&w, 0, 0) | 1u << member(&w, 0, 1);
    pass(&w, AFTER + 5000);
    assert_int_equal(changes(&w), 0);
    assert_int_equal(no_spare(&w), 2);
    w.down = 0;
    pass(&w, 5000);
    assert_int_equal(no_spare(&w), 0);
    world_close(&w);
}

static void want(struct world *w, unsigned kind, uint32_t server)
{
    const struct hx_geometry *g = hx_writer_geometry(w->r.w);
    struct hx_wish x = {.kind = (uint8_t)kind, .epoch = g->epoch, .g = g->g, .m = g->m};
    memcpy(x.server.name, g->servers[server].name, sizeof x.server.name);
    assert_int_equal(hx_move_wish(w->d, &x), 0);
    pass(w, 500);
}

/* Promise (E6): a server that is to be emptied gives its segments to others of its zone, though it is well, and though
 * repair-after is never; nobody gives it one; when it is to stay, what is under way is taken back; it has no spare: it
 * is said. */
static void a_drained_server_is_emptied(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        struct world w;
        struct hx_heal_view h;
        world_open(&w, k ? 6 : 12, 3, HX_HEAL_NEVER);
        pass(&w, 3000);
        uint32_t who = member(&w, 0, 0);
        unsigned had = 0;
        for (uint32_t pg = 0; pg < 3; pg++)
            for (unsigned i = 0; i < HX_COPIES; i++)
                had += member(&w, pg, i) == who;
        want(&w, HX_WISH_DRAIN, who);
        pass(&w, 5000);
        hx_heal_view(w.h, &h);
        assert_int_equal(h.draining, had);
        assert_int_equal(h.lost, 0);
        assert_int_equal(h.no_spare, k ? had : 0);
        assert_int_equal(changes(&w), k ? 0 : had);
        struct hx_change_view v;
        for (size_t i = 0; hx_move_view(w.d, i, &v); i++) {
            assert_int_equal(v.from, who);
            assert_string_equal(zone(&w, v.to), zone(&w, who));
        }
        want(&w, HX_WISH_UNDO, who);
        pass(&w, 5000);
        hx_heal_view(w.h, &h);
        assert_int_equal(changes(&w) + h.draining + h.no_spare, 0);
        world_close(&w);
    }
}

/* Promise (E6): a spare that is to be emptied takes nothing, and what it was about to take goes elsewhere. */
static void a_drained_spare_takes_nothing(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 12, 1, AFTER);
    pass(&w, 3000);
    w.down = 1u << member(&w, 0, 0);
    pass(&w, AFTER + 5000);
    assert_int_equal(changes(&w), 1);
    uint32_t one = first(&w).to;
    want(&w, HX_WISH_DRAIN, one);
    pass(&w, 5000);
    assert_int_equal(changes(&w), 1);
    for (size_t i = 0;; i++) {
        struct hx_change_view v;
        assert_true(hx_move_view(w.d, i, &v));
        if (v.state > HX_CHANGE_TURN)
            continue;
        assert_int_not_equal(v.to, one);
        break;
    }
    world_close(&w);
}

/* Promise: a spare that makes no learner is left for a while, and another one is taken. */
static void a_spare_that_does_not_make_it_is_avoided(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 12, 1, AFTER);
    pass(&w, 3000);
    w.down = 1u << member(&w, 0, 0);
    pass(&w, AFTER - 3000);
    w.mute = 0xfff;
    pass(&w, 6000);
    assert_int_equal(changes(&w), 1);
    uint32_t one = first(&w).to;
    w.mute = 1u << one;
    pass(&w, HX_HEAL_MAKE_MS + 3000);
    assert_int_equal(changes(&w), 1);
    assert_int_not_equal(first(&w).to, one);
    assert_int_equal(first(&w).state, HX_CHANGE_FILL);
    world_close(&w);
}

static bool is_member(const struct world *w, uint32_t server)
{
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (member(w, 0, i) == server)
            return true;
    return false;
}

/* Promise: a change that somebody else began, to a server that makes no learner, does not keep its place for ever. */
static void a_change_of_anybody_that_leads_nowhere_is_taken_back(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, 9, 1, AFTER);
    uint32_t to = 0, from = member(&w, 0, 0);
    while (is_member(&w, to) || strcmp(zone(&w, to), zone(&w, from)) != 0)
        to++;
    w.mute = 1u << to;
    assert_int_equal(hx_move_start(w.d, 0, 0, to), 0);
    pass(&w, 2000);
    assert_int_equal(changes(&w), 1); /* nobody is lost: that is no reason */
    pass(&w, HX_HEAL_MAKE_MS + 3000);
    assert_int_equal(changes(&w), 0);
    world_close(&w);
}

/* Promise (E1): a process that stood still has heard nobody, and replaces nobody for that. */
static void while_we_sleep_nobody_is_silent(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 12, 1, AFTER);
    pass(&w, 3000);
    w.down = 1u << member(&w, 0, 5);
    pass(&w, 5000);
    w.r.now += 10 * AFTER;
    pass(&w, AFTER - 5000);
    assert_int_equal(changes(&w), 0);
    pass(&w, 10000);
    assert_int_equal(changes(&w), 1);
    world_close(&w);
}

static void never_is_never(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 12, 1, HX_HEAL_NEVER);
    w.down = 1u << member(&w, 0, 0);
    pass(&w, 20 * AFTER);
    assert_int_equal(changes(&w), 0);
    world_close(&w);
}

/* Promise: a full disk is no loss; a failed one is, though its server answers. */
static void a_failed_disk_is_replaced_and_a_full_one_is_not(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        struct world w;
        world_open(&w, 12, 1, AFTER);
        pass(&w, 3000);
        w.r.f.server[member(&w, 0, 2)].seg[0].refuse = k ? HX_E_POISONED : HX_E_NOSPACE;
        for (unsigned i = 0; i < AFTER / 500 + 20; i++) {
            uint64_t page = 3;
            struct hx_lsn cpl;
            assert_int_equal(rig_append(&w.r, &page, 1, 100, &cpl), 0);
            hx_writer_want(w.r.w, w.r.now, cpl);
            pass(&w, 500);
        }
        assert_int_equal(changes(&w), k);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_silent_long_enough_is_replaced),
        cmocka_unit_test(a_flapping_server_causes_nothing),
        cmocka_unit_test(who_is_back_stays),
        cmocka_unit_test(without_a_quorum_nothing_is_begun),
        cmocka_unit_test(fills_are_bounded),
        cmocka_unit_test(a_drained_server_is_emptied),
        cmocka_unit_test(a_drained_spare_takes_nothing),
        cmocka_unit_test(spares_are_chosen_by_room),
        cmocka_unit_test(without_a_spare_it_is_said),
        cmocka_unit_test(a_spare_that_does_not_make_it_is_avoided),
        cmocka_unit_test(a_change_of_anybody_that_leads_nowhere_is_taken_back),
        cmocka_unit_test(while_we_sleep_nobody_is_silent),
        cmocka_unit_test(never_is_never),
        cmocka_unit_test(a_failed_disk_is_replaced_and_a_full_one_is_not),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("heal", tests, NULL, NULL);
}
