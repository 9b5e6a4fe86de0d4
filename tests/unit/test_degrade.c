/*
 * test_degrade.c - groups of which a zone was given up (D1 of doc/MEMBERSHIP.md): the arithmetic of four, what the
 * writer counts, what the driver publishes, what the heal fills again; scripted servers in virtual time.  How such a
 * volume is opened: test_degrade_open.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_members.h"

#include "../../src/core/writer_int.h"

#include "hexad/err.h"
#include "hexad/heal.h"
#include "hexad/place.h"

#include <stdio.h>
#include <stdlib.h>

#define AFTER 60000u
#define PG_PAGES 256u

/* ---- arithmetic ---- */

/* Promise (D1): 3 of the four and 2 of them; who is not of the four counts for nothing; a write quorum meets every
 * read quorum, every write quorum, and every write quorum of the six (M4).  All sets, all pairs that are left out. */
static void of_four_three_write_and_two_read(void **state)
{
    (void)state;
    for (unsigned out = 0; out < 64; out++) {
        if (__builtin_popcount(out) != 2)
            continue;
        const struct hx_pg_members row = {.kind = HX_ROW_DEGRADED, .survivors = (uint8_t)(63 & ~out)};
        assert_int_equal(hx_row_slots(&row), 63 & ~out);
        for (unsigned a = 0; a < 64; a++) {
            unsigned n = (unsigned)__builtin_popcount(a & ~out);
            assert_int_equal(hx_row_write(&row, (hx_members)a), n >= hx_row_write_quorum(&row) && n >= 3);
            assert_int_equal(hx_row_read(&row, (hx_members)a), n >= hx_row_read_quorum(&row) && n >= 2);
            assert_int_equal(hx_row_denies(&row, (hx_members)a), n >= 2);
            for (unsigned b = 0; hx_row_write(&row, (hx_members)a) && b < 64; b++)
                if (hx_row_write(&row, (hx_members)b) || hx_row_read(&row, (hx_members)b) ||
                    hx_row_denies(&row, (hx_members)b) || hx_quorum_write((hx_members)b))
                    assert_true((a & b & ~out) != 0);
        }
    }
    const struct hx_pg_members plain = {.kind = HX_ROW_PLAIN};
    for (unsigned a = 0; a < 64; a++) {
        assert_int_equal(hx_row_write(&plain, (hx_members)a), hx_quorum_write((hx_members)a));
        assert_int_equal(hx_row_read(&plain, (hx_members)a), hx_quorum_read((hx_members)a));
        assert_int_equal(hx_row_denies(&plain, (hx_members)a), hx_quorum_denies((hx_members)a));
    }
}

/* ---- the writer ---- */

static struct hx_geometry without(const struct rig *r, uint32_t pg, hx_members out)
{
    struct hx_geometry g = {0};
    assert_int_equal(hx_geometry_copy(&g, hx_writer_geometry(r->w)), 0);
    g.m++;
    g.pgs[pg].kind = HX_ROW_DEGRADED;
    g.pgs[pg].survivors = (uint8_t)(63 & ~(unsigned)out);
    return g;
}

static unsigned bits(const struct rig *r, uint32_t pg, hx_members slots)
{
    unsigned set = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        set |= hx_members_has(slots, i) ? 1u << r->g.pgs[pg].server[i] : 0;
    return set;
}

static struct hx_lsn commit(struct rig *r, uint32_t pg)
{
    uint64_t p = (uint64_t)pg * PG_PAGES + 3;
    struct hx_lsn cpl;
    assert_int_equal(rig_append(r, &p, 1, 100, &cpl), 0);
    hx_writer_want(r->w, r->now, cpl);
    rig_pump(r);
    return cpl;
}

/* Promise (D1, M2): a group gives two up only when the other four have everything; while the version is in the air it
 * counts by both, then by three of the four; who went is sent nothing, and counts nowhere. */
static void the_writer_counts_by_three_of_four(void **state)
{
    (void)state;
    for (uint32_t pg = 0; pg < 2; pg++) {
        struct rig r;
        rig_open(&r, &(struct rig_opts){.pgs = 2, .servers = 9});
        rig_run(&r, 0);
        hx_members out = 0x0c;
        struct hx_geometry next = without(&r, pg, out);
        struct hx_lsn a = commit(&r, pg);
        rig_run(&r, bits(&r, pg, 0x21)); /* slots 1 to 4: two of them are to go */
        assert_int_equal(hx_writer_vdl(r.w).v, a.v);
        assert_int_equal(hx_writer_turn(r.w, &next), HX_E_LAGGING);
        rig_wait(&r, 3000, bits(&r, pg, 0x20)); /* three of the four have it: not enough yet */
        assert_int_equal(hx_writer_turn(r.w, &next), HX_E_LAGGING);
        rig_wait(&r, 3000, bits(&r, pg, out)); /* the zone is silent now */
        assert_int_equal(hx_writer_turn(r.w, &next), 0);
        struct hx_lsn b = commit(&r, pg);
        rig_wait(&r, 500, bits(&r, pg, out) | bits(&r, pg, 0x01));
        assert_int_equal(hx_writer_vdl(r.w).v, a.v); /* three of four would do, four of six would not */
        rig_wait(&r, 3000, bits(&r, pg, out));
        assert_int_equal(hx_writer_vdl(r.w).v, b.v);
        struct hx_lsn both = commit(&r, pg);
        rig_wait(&r, 500, bits(&r, pg, 0x03)); /* four of six have it, but two of the four only */
        assert_int_equal(hx_writer_vdl(r.w).v, b.v);
        rig_wait(&r, 3000, bits(&r, pg, out));
        b = both;
        assert_int_equal(hx_writer_vdl(r.w).v, b.v);
        hx_writer_turned(r.w);
        struct hx_lsn c = commit(&r, pg);
        rig_wait(&r, 500, bits(&r, pg, 0x03));
        assert_int_equal(hx_writer_vdl(r.w).v, b.v); /* two of the four, and those who went */
        rig_wait(&r, 3000, bits(&r, pg, 0x01));
        assert_int_equal(hx_writer_vdl(r.w).v, c.v);
        rig_wait(&r, 3000, 0);
        for (unsigned i = 0; i < HX_COPIES; i++) {
            const struct fake_segment *s = &r.f.server[r.g.pgs[pg].server[i]].seg[pg];
            bool has = false;
            for (size_t k = 0; k < s->count; k++)
                has = has || s->rec[k].lsn.v == c.v;
            assert_int_equal(has, !hx_members_has(out, i));
        }
        hx_geometry_fini(&next);
        rig_close(&r);
    }
}

/* Promise (M4): of group 0 nothing else changes with it; nobody is named in the empty places who was not filled. */
static void group_0_gives_up_two_and_nothing_else(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, &(struct rig_opts){.pgs = 1, .servers = 9});
    rig_run(&r, 0);
    uint32_t spare = 0;
    while (hx_writer_slot(r.w, 0, spare) >= 0)
        spare++;
    assert_int_equal(hx_writer_learner_add(r.w, 0, 0, spare), 0);
    rig_wait(&r, 100, 0);
    hx_writer_learner_filled(r.w, 0, 0);
    rig_wait(&r, 100, 0);
    struct hx_geometry next = without(&r, 0, 0x30);
    next.pgs[0].server[0] = (uint16_t)spare;
    assert_int_equal(hx_writer_turn(r.w, &next), HX_E_INVAL);
    hx_geometry_fini(&next);
    hx_writer_learner_drop(r.w, 0, 0);
    rig_wait(&r, 100, 0);
    next = without(&r, 0, 0x30);
    assert_int_equal(hx_writer_turn(r.w, &next), 0);
    hx_writer_turned(r.w);
    hx_geometry_fini(&next);
    next = without(&r, 0, 0);
    next.pgs[0].kind = HX_ROW_PLAIN;
    next.pgs[0].survivors = 0;
    assert_int_equal(hx_writer_turn(r.w, &next), HX_E_INVAL); /* they were given up: only learners come back */
    hx_geometry_fini(&next);
    rig_close(&r);
}

/* ---- the driver and the heal ---- */

struct copy {
    bool there, learner, retired;
    uint64_t life;
};
struct world {
    struct rig r;
    struct hx_move *d;
    struct hx_heal *h;
    unsigned down;
    struct copy copy[FAKE_SERVERS_MAX][4];
    unsigned deletes;
    unsigned published[4]; /* GEOMETRY: kinds of group 0's row that were seen */
};

static int hook(void *ctx, struct fake *f, unsigned server, const struct hx_msg_head *h, struct hx_bytes body,
                struct hx_enc *e)
{
    struct world *w = ctx;
    struct copy *c = h->pg < 4 ? &w->copy[server][h->pg] : NULL;
    struct hx_geometry g = {0};
    struct hx_dec d = hx_dec_init(body.p, body.len);
    uint32_t n = 0;
    switch (h->type) {
    case HX_MSG_GEOMETRY:
        assert_int_equal(hx_geometry_decode_any(&g, &d), 0);
        w->published[g.pgs[0].kind]++;
        hx_geometry_fini(&g);
        return 0;
    case HX_MSG_FORMAT:
        if (!c->there || c->retired)
            *c = (struct copy){.there = true, .learner = true, .life = c->life + 1};
        f->server[server].seg[h->pg].absent = false;
        hx_enc_u64(e, c->life);
        return 0;
    case HX_MSG_MEMBERS:
        if (!c->there || c->retired)
            return HX_E_NO_SEGMENT;
        hx_enc_u64(e, c->life);
        return 0;
    case HX_MSG_DELETE:
        w->deletes++;
        c->retired = true;
        c->learner = false;
        return 0;
    case HX_MSG_STATUS:
        for (unsigned pg = 0; pg < 4; pg++)
            n += w->copy[server][pg].there;
        hx_enc_u32(e, n);
        for (unsigned pg = 0; pg < 4; pg++) {
            struct hx_segment_status s = {.volume = w->r.g.volume, .pg = pg};
            if (w->copy[server][pg].there)
                hx_segment_status_encode(&s, e);
        }
        for (unsigned pg = 0; pg < 4; pg++) {
            struct copy *o = &w->copy[server][pg];
            if (o->learner) {
                o->learner = false; /* its pages are as of what is durable now */
                f->server[server].seg[pg].start = hx_writer_pgcl(w->r.w, pg);
            }
            struct hx_segment_part p = {.life = o->life, .flags = o->retired ? HX_PART_RETIRED : 0};
            if (o->there)
                hx_segment_part_encode(&p, e);
        }
        return 0;
    default:
        return 1;
    }
}

static void world_open(struct world *w, uint32_t servers, uint32_t pgs)
{
    *w = (struct world){.down = 0};
    rig_open(&w->r, &(struct rig_opts){.pgs = pgs, .servers = servers});
    w->r.f.hook = hook;
    w->r.f.hook_ctx = w;
    for (uint32_t pg = 0; pg < pgs; pg++)
        for (unsigned i = 0; i < HX_COPIES; i++)
            w->copy[w->r.g.pgs[pg].server[i]][pg] = (struct copy){.there = true, .life = 1};
    assert_int_equal(hx_move_new(w->r.w, &w->r.f.owner, w->r.now, &w->d), 0);
    assert_int_equal(hx_heal_new(w->r.w, w->d, AFTER, w->r.now, &w->h), 0);
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
    for (uint64_t end = w->r.now + ms; w->r.now < end; w->r.now += 50) {
        hx_writer_tick(w->r.w, w->r.now);
        hx_heal_tick(w->h, w->r.now);
        hx_move_tick(w->d, w->r.now);
        run(w);
    }
}

static const struct hx_geometry *geometry(const struct world *w)
{
    return hx_writer_geometry(w->r.w);
}

static unsigned zone_of(const struct world *w, const char *zone)
{
    unsigned set = 0;
    for (uint32_t i = 0; i < geometry(w)->server_count; i++)
        set |= strcmp(geometry(w)->servers[i].zone, zone) ? 0 : 1u << i;
    return set;
}

static void want(struct world *w, unsigned kind, unsigned servers)
{
    for (uint32_t i = 0; i < geometry(w)->server_count; i++) {
        const struct hx_geometry *g = geometry(w);
        struct hx_wish x = {.kind = (uint8_t)kind, .epoch = g->epoch, .g = g->g, .m = g->m};
        if (!(servers >> i & 1u))
            continue;
        memcpy(x.server.name, g->servers[i].name, sizeof x.server.name);
        assert_int_equal(hx_move_wish(w->d, &x), 0);
        pass(w, 500);
    }
}

static unsigned kind(const struct world *w, unsigned of)
{
    unsigned n = 0;
    for (uint32_t pg = 0; pg < geometry(w)->pg_count; pg++)
        n += geometry(w)->pgs[pg].kind == of;
    return n;
}

static void goes_on(struct world *w, uint32_t pgs)
{
    for (uint32_t pg = 0; pg < pgs; pg++) {
        struct hx_lsn cpl = commit(&w->r, pg);
        pass(w, 2000);
        assert_int_equal(hx_writer_vdl(w->r.w).v, cpl.v);
    }
}

/* Promise (V8, E7): a zone that is given up degrades all groups, group 0 as well, though two servers of it are silent;
 * writes then go on with one more server lost; nobody is replaced for it; when it is no more given up each group gets
 * its two places filled, and is plain; who held the places before is deleted, then filled anew. */
static void a_zone_is_given_up_and_taken_back(void **state)
{
    (void)state;
    for (unsigned spares = 0; spares < 2; spares++) {
        struct world w;
        struct hx_heal_view v;
        world_open(&w, spares ? 12 : 6, 3);
        pass(&w, 2000);
        goes_on(&w, 3);
        unsigned zone = zone_of(&w, "az-b"), others = zone_of(&w, "az-a") | zone_of(&w, "az-c");
        w.down = zone;
        pass(&w, 3000);
        want(&w, HX_WISH_DEGRADE, zone);
        pass(&w, 3000);
        assert_int_equal(kind(&w, HX_ROW_DEGRADED), 3);
        assert_true(w.published[HX_ROW_DEGRADED] >= 4);
        hx_heal_view(w.h, &v);
        assert_int_equal(v.degraded, 3);
        assert_int_equal(v.empty + v.lost + v.no_spare, 0);
        unsigned one = 1u << geometry(&w)->pgs[0].server[0];
        assert_true(one & others);
        w.down |= one;
        goes_on(&w, 3);
        w.down = zone;
        pass(&w, 2 * AFTER);
        assert_int_equal(kind(&w, HX_ROW_DEGRADED), 3);
        w.down = 0;
        goes_on(&w, 3);
        pass(&w, 5000);
        assert_int_equal(w.deletes, 6); /* two of each */
        assert_int_equal(kind(&w, HX_ROW_DEGRADED), 3);
        want(&w, HX_WISH_UNDO, zone);
        pass(&w, 60000);
        assert_int_equal(kind(&w, HX_ROW_PLAIN), 3);
        hx_heal_view(w.h, &v);
        assert_int_equal(v.degraded + v.empty + v.lost + v.no_spare, 0);
        for (uint32_t pg = 0; pg < 3; pg++)
            for (unsigned i = 0; i < HX_COPIES; i++)
                assert_true(w.copy[geometry(&w)->pgs[pg].server[i]][pg].there &&
                            !w.copy[geometry(&w)->pgs[pg].server[i]][pg].retired);
        w.down = one | 1u << geometry(&w)->pgs[0].server[1];
        goes_on(&w, 3);
        world_close(&w);
    }
}

/* Promise (V8): a group that programs write to without a pause, so that its learners never are level at one moment,
 * gets its places back all the same. */
static void under_load_it_is_taken_back(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 6, 1);
    pass(&w, 2000);
    goes_on(&w, 1);
    unsigned zone = zone_of(&w, "az-b");
    w.down = zone;
    want(&w, HX_WISH_DEGRADE, zone);
    pass(&w, 2000);
    assert_int_equal(kind(&w, HX_ROW_DEGRADED), 1);
    w.down = 0;
    pass(&w, 5000);
    w.down = zone;
    want(&w, HX_WISH_UNDO, zone);
    unsigned one = zone & (~zone + 1);
    for (unsigned i = 0; i < 60 && kind(&w, HX_ROW_DEGRADED); i++) {
        w.down = i % 2 ? one : zone & ~one; /* each in turn misses something, and gets it while the other one does */
        (void)commit(&w.r, 0);
        pass(&w, 1000);
    }
    assert_int_equal(kind(&w, HX_ROW_PLAIN), 1);
    world_close(&w);
}

/* Promise (D1): a group whose four are not all complete is not degraded until they are. */
static void who_is_behind_is_waited_for(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 6, 2);
    pass(&w, 2000);
    uint32_t slow = geometry(&w)->pgs[0].server[0];
    assert_true(1u << slow & ~zone_of(&w, "az-c"));
    w.down = 1u << slow;
    goes_on(&w, 2);
    want(&w, HX_WISH_DEGRADE, zone_of(&w, "az-c"));
    pass(&w, 5000);
    assert_int_equal(kind(&w, HX_ROW_DEGRADED), 0);
    w.down = 0;
    pass(&w, 5000);
    assert_int_equal(kind(&w, HX_ROW_DEGRADED), 2);
    world_close(&w);
}

/* Promise (R3): a second zone is not given up. */
static void one_zone_at_a_time(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 9, 1);
    pass(&w, 2000);
    want(&w, HX_WISH_DEGRADE, zone_of(&w, "az-b"));
    pass(&w, 2000);
    assert_int_equal(kind(&w, HX_ROW_DEGRADED), 1);
    const struct hx_geometry *g = geometry(&w);
    struct hx_wish x = {.kind = HX_WISH_DEGRADE, .epoch = g->epoch, .g = g->g, .m = g->m};
    memcpy(x.server.name, g->servers[0].name, sizeof x.server.name);
    assert_string_equal(g->servers[0].zone, "az-a");
    assert_int_equal(hx_move_wish(w.d, &x), HX_E_IN_USE);
    world_close(&w);
}

/* Promise (D1): a member of a degraded group is replaced like any other, by a server of its zone. */
static void a_member_of_four_is_replaced(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 12, 2);
    pass(&w, 2000);
    goes_on(&w, 2);
    unsigned zone = zone_of(&w, "az-b");
    w.down = zone;
    want(&w, HX_WISH_DEGRADE, zone);
    pass(&w, 2000);
    assert_int_equal(kind(&w, HX_ROW_DEGRADED), 2);
    uint32_t lost = geometry(&w)->pgs[0].server[4];
    w.down |= 1u << lost;
    pass(&w, AFTER + 20000);
    assert_int_equal(kind(&w, HX_ROW_DEGRADED), 2);
    assert_int_not_equal(geometry(&w)->pgs[0].server[4], lost);
    assert_string_equal(geometry(&w)->servers[geometry(&w)->pgs[0].server[4]].zone, "az-c");
    goes_on(&w, 2);
    world_close(&w);
}

/* Promise (place.h, L1): a new group avoids a zone that is given up where there are three others; else it is a degraded
 * one with its places there empty; spares for those come from the zone, and may be who had them. */
static void new_groups_and_spares(void **state)
{
    (void)state;
    struct hx_geometry g;
    struct hx_pg_members row;
    uint16_t to;
    fake_geometry(&g, 6, 1, 4096);
    g.servers[2].state = g.servers[3].state = HX_SERVER_AWAY;
    assert_int_equal(hx_place_group(&g, NULL, &row), 0);
    assert_int_equal(row.kind, HX_ROW_DEGRADED);
    assert_int_equal(hx_members_count(row.survivors), 4);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_members_has(row.survivors, i), g.servers[row.server[i]].state == HX_SERVER_IN);
    assert_int_equal(hx_geometry_add_pg(&g, &row), 0);
    unsigned out = (unsigned)__builtin_ctz(~(unsigned)row.survivors);
    assert_int_equal(hx_place_spare(&g, NULL, 1, out, &to), HX_E_NOSPACE);
    g.servers[2].state = g.servers[3].state = HX_SERVER_IN;
    assert_int_equal(hx_place_spare(&g, NULL, 1, out, &to), 0);
    assert_true(to == 2 || to == 3);
    struct hx_server more = {.state = HX_SERVER_IN};
    strcpy(more.zone, "az-d");
    for (unsigned i = 0; i < 2; i++) {
        snprintf(more.name, sizeof more.name, "d%u", i);
        snprintf(more.url, sizeof more.url, "https://127.0.0.1:%u", 7100 + i);
        memset(more.incarnation.b, (int)(0x50 + i), sizeof more.incarnation.b);
        assert_int_equal(hx_geometry_add_server(&g, &more), 0);
    }
    g.servers[2].state = g.servers[3].state = HX_SERVER_AWAY;
    assert_int_equal(hx_place_group(&g, NULL, &row), 0);
    assert_int_equal(row.kind, HX_ROW_PLAIN);
    hx_geometry_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_four_three_write_and_two_read),
        cmocka_unit_test(the_writer_counts_by_three_of_four),
        cmocka_unit_test(group_0_gives_up_two_and_nothing_else),
        cmocka_unit_test(a_zone_is_given_up_and_taken_back),
        cmocka_unit_test(under_load_it_is_taken_back),
        cmocka_unit_test(who_is_behind_is_waited_for),
        cmocka_unit_test(one_zone_at_a_time),
        cmocka_unit_test(a_member_of_four_is_replaced),
        cmocka_unit_test(new_groups_and_spares),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("degrade", tests, NULL, NULL);
}
