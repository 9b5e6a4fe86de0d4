/*
 * test_move.c - the driver of changes of members against nine scripted servers in virtual time: what it asks in which
 * order, when a version is published, who is told, who is deleted.  The rules M1 to M10 are doc/MEMBERSHIP.md's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_members.h"

#include "../../src/core/writer_int.h"

#include "hexad/err.h"
#include "hexad/move.h"

#include <stdio.h>
#include <stdlib.h>

#define SERVERS 9u
#define PGS 4u
#define PG_PAGES 256u

/* What a server has of a group, besides the log. */
struct copy {
    bool there, learner, retired;
    uint64_t life;
    uint32_t m, rate;
};
struct world {
    struct rig r;
    struct hx_move *d;
    struct copy copy[SERVERS + 1][PGS + 1]; /* one more that may be added */
    uint32_t stored[SERVERS]; /* m of the geometry that it keeps for PG 0 */
    bool fill;                /* learners have all pages as soon as they are asked */
    unsigned formats, geometries, members, deletes, statuses;
    uint32_t published; /* highest m in a GEOMETRY */
    struct hx_wish wish; /* what each server keeps, if .kind */
    unsigned wishes;     /* that were asked for */
    unsigned down;      /* bit per server: takes nothing */
    unsigned old, sick; /* bit per server: of before, knows no rate; fails when it is told one */
    uint64_t rng;
};

static struct hx_uuid incarnation[SERVERS + 1];

static bool named(const struct hx_geometry *g, uint32_t pg, unsigned server)
{
    const struct hx_pg_members *row = hx_geometry_row(g, pg);
    for (unsigned i = 0; row && row->kind != HX_ROW_RELEASED && i < HX_COPIES; i++)
        if (hx_uuid_eq(&g->servers[row->server[i]].incarnation, &incarnation[server])) /* a slice has its own table */
            return true;
    return false;
}

static struct hx_geometry decoded(struct hx_bytes body, struct hx_dec *ret)
{
    struct hx_geometry g = {0};
    *ret = hx_dec_init(body.p, body.len);
    assert_int_equal(hx_geometry_decode_any(&g, ret), 0);
    return g;
}

static int make(struct world *w, unsigned server, uint32_t pg, struct hx_bytes body, struct hx_enc *e)
{
    struct hx_dec d;
    struct hx_history h = {0};
    struct hx_geometry g = decoded(body, &d);
    struct copy *c = &w->copy[server][pg];
    assert_int_equal(hx_history_decode(&h, &d), 0);
    if (d.off == d.len) { /* a member's, by the writer */
        hx_geometry_fini(&g);
        hx_history_fini(&h);
        return 1;
    }
    assert_int_equal(hx_dec_u8(&d), 1);
    if ((w->old | w->sick) >> server & 1u && d.off < d.len) {
        hx_geometry_fini(&g);
        hx_history_fini(&h);
        return w->sick >> server & 1u ? HX_E_IO : HX_E_BADMSG;
    }
    uint32_t rate = d.off < d.len ? hx_dec_u32(&d) : 0;
    assert_int_equal(hx_dec_end(&d), 0);
    assert_false(named(&g, pg, server));
    w->formats++;
    if (!c->there || c->retired)
        *c = (struct copy){.there = true, .learner = true, .life = c->life + 1, .m = g.m};
    c->rate = rate;
    w->r.f.server[server].seg[pg].absent = false;
    hx_enc_u64(e, c->life);
    hx_geometry_fini(&g);
    hx_history_fini(&h);
    return 0;
}

static int status(struct world *w, unsigned server, uint32_t asked, struct hx_enc *e)
{
    uint32_t n = 0;
    assert_int_equal(asked, HX_STATUS_PARTS);
    w->statuses++;
    for (uint32_t pg = 0; pg <= PGS; pg++)
        n += w->copy[server][pg].there;
    hx_enc_u32(e, n);
    for (uint32_t pg = 0; pg <= PGS; pg++) {
        struct hx_segment_status s = {.volume = w->r.g.volume, .pg = pg};
        if (w->copy[server][pg].there)
            hx_segment_status_encode(&s, e);
    }
    for (uint32_t pg = 0; pg <= PGS; pg++) {
        struct copy *c = &w->copy[server][pg];
        if (c->learner && w->fill) {
            c->learner = false; /* its pages are as of what is durable now */
            w->r.f.server[server].seg[pg].start = hx_writer_pgcl(w->r.w, pg);
        }
        struct hx_segment_part p = {.life = c->life, .filled = 5, .of = 10, .m = c->m,
                                    .flags = (c->learner ? HX_PART_LEARNER : 0) | (c->retired ? HX_PART_RETIRED : 0)};
        if (c->there)
            hx_segment_part_encode(&p, e);
    }
    return 0;
}

static int delete(struct world *w, unsigned server, uint32_t pg, struct hx_bytes body)
{
    struct hx_dec d;
    struct hx_geometry g = decoded(body, &d);
    struct copy *c = &w->copy[server][pg];
    uint64_t life = hx_dec_u64(&d);
    bool mine = named(&g, pg, server);
    assert_int_equal(hx_dec_end(&d), 0);
    assert_true(g.m <= hx_writer_geometry(w->r.w)->m); /* M6: a version in use */
    assert_false(mine);
    assert_false(named(hx_writer_geometry(w->r.w), pg, server));
    hx_geometry_fini(&g);
    w->deletes++;
    if (!c->there || life != c->life)
        return c->there ? HX_E_MADE_ANEW : HX_E_NO_SEGMENT;
    c->retired = true;
    c->learner = false;
    return 0;
}

static int hook(void *ctx, struct fake *f, unsigned server, const struct hx_msg_head *h, struct hx_bytes body,
                struct hx_enc *e)
{
    struct world *w = ctx;
    struct hx_dec d;
    struct hx_geometry g = {0};
    (void)f;
    switch (h->type) {
    case HX_MSG_FORMAT:
        return make(w, server, h->pg, body, e);
    case HX_MSG_STATUS:
        return status(w, server, h->g, e);
    case HX_MSG_DELETE:
        return delete(w, server, h->pg, body);
    case HX_MSG_MEMBERS:
        g = decoded(body, &d);
        assert_true(g.m <= hx_writer_geometry(w->r.w)->m);
        w->members++;
        w->copy[server][h->pg].m = g.m;
        hx_geometry_fini(&g);
        if (w->copy[server][h->pg].retired || !w->copy[server][h->pg].there)
            return HX_E_NO_SEGMENT;
        hx_enc_u64(e, w->copy[server][h->pg].life);
        return 0;
    case HX_MSG_GEOMETRY:
        g = decoded(body, &d);
        w->geometries++;
        w->published = g.m > w->published ? g.m : w->published;
        w->stored[server] = g.m > w->stored[server] ? g.m : w->stored[server];
        hx_geometry_fini(&g);
        return 0;
    case HX_MSG_WISH:
        w->wishes++;
        hx_enc_u32(e, w->wish.kind ? 1 : 0);
        if (w->wish.kind)
            hx_wish_encode(&w->wish, e);
        return 0;
    default:
        return 1;
    }
}

static void world_open(struct world *w)
{
    *w = (struct world){.fill = true, .rng = 1};
    rig_open(&w->r, &(struct rig_opts){.pgs = PGS, .servers = SERVERS});
    for (unsigned i = 0; i < SERVERS; i++)
        incarnation[i] = w->r.g.servers[i].incarnation;
    w->r.f.hook = hook;
    w->r.f.hook_ctx = w;
    for (uint32_t pg = 0; pg < PGS; pg++)
        for (unsigned i = 0; i < HX_COPIES; i++)
            w->copy[w->r.g.pgs[pg].server[i]][pg] = (struct copy){.there = true, .life = 1};
}

static void drive(struct world *w)
{
    assert_int_equal(hx_move_new(w->r.w, &w->r.f.owner, w->r.now, &w->d), 0);
}

static void world_close(struct world *w)
{
    hx_move_free(w->d);
    rig_close(&w->r);
}

static void pump(struct world *w)
{
    struct hx_effect e;
    bool any;
    do {
        any = false;
        while (hx_writer_next(w->r.w, &e))
            fake_effect(&w->r.f, &e), any = true;
        while (hx_move_next(w->d, &e))
            fake_effect(&w->r.f, &e), any = true;
    } while (any);
}

static void deliver(struct world *w, size_t i)
{
    uint64_t call = w->r.f.queue[i].call;
    struct hx_bytes b = fake_answer(&w->r.f, i);
    fake_forget(&w->r.f, i);
    if (hx_call_part(call) == HX_PART_MOVE)
        hx_move_answer(w->d, w->r.now, call, b);
    else
        hx_writer_answer(w->r.w, w->r.now, call, b);
    free((void *)(uintptr_t)b.p);
    pump(w);
}

static void run(struct world *w)
{
    pump(w);
    for (size_t i = 0; i < w->r.f.count;) {
        if (w->down >> w->r.f.queue[i].server & 1u) {
            i++;
            continue;
        }
        deliver(w, i);
        i = 0;
    }
}

static void pass(struct world *w, uint64_t ms)
{
    for (uint64_t end = w->r.now + ms; w->r.now < end; w->r.now += 10) {
        hx_writer_tick(w->r.w, w->r.now);
        hx_move_tick(w->d, w->r.now);
        run(w);
    }
}

static struct hx_lsn commit(struct world *w, uint32_t pg)
{
    uint64_t p = (uint64_t)pg * PG_PAGES + 3;
    struct hx_lsn cpl;
    assert_int_equal(rig_append(&w->r, &p, 1, 100, &cpl), 0);
    hx_writer_want(w->r.w, w->r.now, cpl);
    return cpl;
}

static uint32_t spare(const struct world *w, uint32_t pg, unsigned nth)
{
    for (uint32_t i = 0;; i++) {
        assert_true(i < SERVERS);
        if (hx_writer_slot(w->r.w, pg, i) < 0 && nth-- == 0)
            return i;
    }
}

static uint32_t holder(const struct world *w, uint32_t pg, unsigned slot)
{
    return hx_writer_geometry(w->r.w)->pgs[pg].server[slot];
}

static enum hx_change_state state_of(const struct world *w, size_t i)
{
    struct hx_change_view v;
    return hx_move_view(w->d, i, &v) ? v.state : 0;
}

/* Promise (hexad/move.h): made, filled, named, stored, told, and the one replaced is deleted, in the life that it
 * said. */
static void a_member_moves(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    drive(&w);
    w.fill = false;
    struct hx_lsn cpl = commit(&w, 1);
    pass(&w, 100);
    assert_int_equal(hx_writer_vdl(w.r.w).v, cpl.v);
    uint32_t to = spare(&w, 1, 0), from = holder(&w, 1, 2);
    w.copy[from][1].life = 7;
    assert_int_equal(hx_move_start(w.d, 1, 2, to), 0);
    assert_int_equal(hx_move_start(w.d, 1, 2, spare(&w, 1, 1)), HX_E_EXIST);
    assert_int_equal(hx_move_start(w.d, 1, 3, to), HX_E_EXIST);
    assert_int_equal(hx_move_start(w.d, 1, 3, from), HX_E_EXIST);
    assert_int_equal(hx_move_start(w.d, PGS, 0, to), HX_E_INVAL);
    pass(&w, 5000);
    struct hx_change_view v;
    assert_true(hx_move_view(w.d, 0, &v));
    assert_int_equal(v.state, HX_CHANGE_FILL);
    assert_int_equal(v.bytes * 2, v.of);
    assert_int_equal(w.geometries, 0); /* H4, M1: also though it was sent all that is new */
    w.fill = true;
    pass(&w, 3000);
    assert_int_equal(holder(&w, 1, 2), to);
    assert_int_equal(hx_writer_geometry(w.r.w)->m, 1);
    assert_int_equal(w.formats, 1);
    assert_int_equal(w.deletes, 1);
    assert_true(w.copy[from][1].retired);
    assert_int_equal(w.copy[to][1].m, 1);
    assert_int_equal(state_of(&w, 0), 0);
    assert_int_equal(hx_move_versions(w.d), 1);
    cpl = commit(&w, 1);
    pass(&w, 100);
    assert_int_equal(hx_writer_vdl(w.r.w).v, cpl.v);
    assert_int_equal(hx_writer_scl(w.r.w, 1, 2).v, cpl.v);
    world_close(&w);
}

/* Promise (V6): a driver of a volume whose members have changed before says MEMBERS to those of group 0, once, also to
 * one that was away then; where nothing has ever changed it says nothing. */
static void who_drives_next_says_the_members(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    drive(&w);
    pass(&w, 3000);
    assert_int_equal(w.members, 0);
    assert_int_equal(hx_move_start(w.d, 2, 2, spare(&w, 2, 0)), 0);
    pass(&w, 5000);
    assert_int_equal(hx_writer_geometry(w.r.w)->m, 1);
    hx_move_free(w.d);
    w.members = 0;
    w.down = 1u << holder(&w, 0, 4);
    drive(&w);
    pass(&w, 3000);
    assert_int_equal(w.members, HX_COPIES - 1);
    w.down = 0;
    pass(&w, 30000);
    assert_int_equal(w.members, HX_COPIES);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(w.copy[holder(&w, 0, i)][0].m, 1);
    world_close(&w);
}

static struct hx_wish wish(const struct world *w, unsigned kind, const char *name)
{
    const struct hx_geometry *g = hx_writer_geometry(w->r.w);
    struct hx_wish x = {.kind = (uint8_t)kind, .epoch = g->epoch, .g = g->g, .m = g->m};
    snprintf(x.server.name, sizeof x.server.name, "%s", name);
    return x;
}

/* Promise (hexad/wish.h): the driver asks for wishes when it hears that some wait, and not otherwise; it grants them in
 * a version of its own, or together with a change; one of yore does nothing (R1), nor does one that is granted (R2). */
static void wishes_are_granted(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    drive(&w);
    pass(&w, 3000);
    assert_int_equal(w.wishes, 0);
    const struct hx_geometry *g = hx_writer_geometry(w.r.w);
    uint32_t who = holder(&w, 1, 2), n = g->server_count;
    struct hx_wish drain = wish(&w, HX_WISH_DRAIN, g->servers[who].name), undo = drain;
    w.wish = drain;
    w.r.f.append_flags = HX_REPLY_WISHES;
    pass(&w, 3000);
    assert_true(w.wishes > 0);
    g = hx_writer_geometry(w.r.w);
    assert_int_equal(g->m, 1);
    assert_int_equal(g->servers[who].state, HX_SERVER_DRAINED);
    assert_int_equal(w.members + w.deletes, 0);
    pass(&w, 3000);
    assert_int_equal(hx_writer_geometry(w.r.w)->m, 1);
    undo.kind = HX_WISH_UNDO; /* it saw version 0 */
    assert_int_equal(hx_move_wish(w.d, &undo), HX_E_AGAIN);
    undo = wish(&w, HX_WISH_UNDO, drain.server.name);
    assert_int_equal(hx_move_wish(w.d, &undo), 0);
    pass(&w, 3000); /* the servers still keep the drain */
    g = hx_writer_geometry(w.r.w);
    assert_int_equal(g->m, 2);
    assert_int_equal(g->servers[who].state, HX_SERVER_IN);
    assert_int_equal(hx_move_wish(w.d, &drain), HX_E_AGAIN);
    w.r.f.append_flags = 0;

    struct hx_wish leave = wish(&w, HX_WISH_REMOVE, drain.server.name), more = wish(&w, HX_WISH_ADD, "new");
    assert_int_equal(hx_move_wish(w.d, &leave), HX_E_IN_USE);
    more.server.incarnation = (struct hx_uuid){{9, 9, 9}};
    snprintf(more.server.zone, sizeof more.server.zone, "%s", g->servers[0].zone);
    snprintf(more.server.url, sizeof more.server.url, "https://new:1");
    assert_int_equal(hx_move_start(w.d, 1, 2, spare(&w, 1, 0)), 0);
    hx_move_hold(w.d, true);
    pass(&w, 3000);
    assert_int_equal(state_of(&w, 0), HX_CHANGE_READY);
    assert_int_equal(hx_move_wish(w.d, &more), 0);
    assert_int_equal(hx_move_wish(w.d, &more), 0);
    assert_int_equal(n, SERVERS);
    assert_int_equal(hx_geometry_add_server(&w.r.f.geometry, &more.server), 0);
    w.r.f.server[n].incarnation = incarnation[n] = more.server.incarnation;
    hx_move_hold(w.d, false);
    pass(&w, 3000);
    g = hx_writer_geometry(w.r.w);
    assert_int_equal(g->m, 3);
    assert_int_equal(g->server_count, n + 1);
    assert_string_equal(g->servers[n].name, "new");
    assert_int_equal(hx_writer_slot(w.r.w, 1, who) < HX_COPIES && hx_writer_slot(w.r.w, 1, who) >= 0, false);
    assert_int_equal(hx_move_start(w.d, 3, 0, n), 0); /* it can be given something at once */
    assert_true(hx_move_undo(w.d, 3, 0));
    struct hx_lsn cpl = commit(&w, 1);
    pass(&w, 100);
    assert_int_equal(hx_writer_vdl(w.r.w).v, cpl.v);
    /* The next driver: what was wished of the one before is of yore. */
    hx_move_free(w.d);
    drive(&w);
    assert_int_equal(hx_move_wish(w.d, &leave), HX_E_AGAIN);
    world_close(&w);
}

/* Promise: a segment that a member of before left, and that cannot catch up, does not hold a change up for ever: it is
 * deleted in its life, and the change that is begun then ends. */
static void what_was_left_is_no_learner(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    drive(&w);
    pass(&w, 2000);
    commit(&w, 1);
    pass(&w, 100);
    uint32_t to = spare(&w, 1, 0), from = holder(&w, 1, 2);
    w.copy[to][1] = (struct copy){.there = true, .life = 3};
    w.r.f.server[to].seg[1].start = HX_LSN(0);
    assert_int_equal(hx_move_start(w.d, 1, 2, to), 0);
    pass(&w, 8000);
    assert_int_equal(w.deletes, 0);
    assert_int_equal(state_of(&w, 0), HX_CHANGE_FILL);
    pass(&w, 8000);
    assert_int_equal(w.deletes, 1);
    assert_true(w.copy[to][1].retired);
    assert_int_equal(state_of(&w, 0), 0);
    assert_int_equal(holder(&w, 1, 2), from);
    assert_int_equal(hx_move_start(w.d, 1, 2, to), 0);
    pass(&w, 5000);
    assert_int_equal(holder(&w, 1, 2), to);
    assert_int_equal(w.copy[to][1].life, 4);
    world_close(&w);
}

/* Promise (V2): a version is in use when four of O and four of N of group 0 stored it; nobody is told or deleted
 * before. Meanwhile no other version begins (M3), and the change cannot be taken back. */
static void a_version_is_stored_by_both(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    drive(&w);
    uint32_t to = spare(&w, 0, 0), to2 = spare(&w, 1, 0);
    pass(&w, 100);
    assert_int_equal(hx_move_start(w.d, 0, 0, to), 0);
    for (unsigned k = 0; k < 200 && state_of(&w, 0) != HX_CHANGE_READY && w.geometries == 0; k++) {
        hx_move_hold(w.d, true);
        pass(&w, 50);
    }
    assert_int_equal(state_of(&w, 0), HX_CHANGE_READY);
    /* Of O three answer, of N three and the newcomer. */
    for (unsigned i = 3; i < HX_COPIES; i++)
        if (i != 4)
            w.down |= 1u << holder(&w, 0, i);
    w.down |= 1u << holder(&w, 0, 0);
    hx_move_hold(w.d, false);
    pass(&w, 300);
    assert_int_equal(state_of(&w, 0), HX_CHANGE_TURN);
    assert_int_equal(w.stored[to], 1);
    assert_false(hx_move_undo(w.d, 0, 0));
    assert_int_equal(hx_move_start(w.d, 1, 0, to2), 0);
    pass(&w, 4000);
    assert_int_equal(w.published, 1);
    assert_int_equal(w.members + w.deletes, 0);
    assert_int_equal(hx_writer_geometry(w.r.w)->m, 0);
    w.down = 0;
    pass(&w, 6000);
    assert_int_equal(hx_writer_geometry(w.r.w)->m, 2);
    assert_int_equal(holder(&w, 0, 0), to);
    assert_int_equal(holder(&w, 1, 0), to2);
    world_close(&w);
}

/* Promise (V2, M4): what is ready goes into one version, but of group 0 one member. */
static void what_is_ready_goes_together(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    drive(&w);
    hx_move_hold(w.d, true);
    for (uint32_t pg = 0; pg < PGS; pg++)
        for (unsigned k = 0; k < 2; k++)
            assert_int_equal(hx_move_start(w.d, pg, k, spare(&w, pg, k)), 0);
    pass(&w, 5000);
    for (unsigned i = 0; i < 2 * PGS; i++)
        assert_int_equal(state_of(&w, i), HX_CHANGE_READY);
    hx_move_hold(w.d, false);
    pass(&w, 5000);
    assert_int_equal(hx_move_versions(w.d), 2);
    assert_int_equal(w.deletes, 2 * PGS);
    for (uint32_t pg = 0; pg < PGS; pg++) {
        struct hx_lsn cpl = commit(&w, pg);
        pass(&w, 100);
        assert_int_equal(hx_writer_vdl(w.r.w).v, cpl.v);
    }
    world_close(&w);
}

/* Promise: up to the turn a change is taken back: the learner is deleted, the members are who they were.  The same
 * server may be taken again. */
static void a_change_is_taken_back(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    drive(&w);
    w.fill = false;
    uint32_t to = spare(&w, 2, 0), from = holder(&w, 2, 5);
    assert_int_equal(hx_move_start(w.d, 2, 5, to), 0);
    pass(&w, 2000);
    assert_true(hx_move_undo(w.d, 2, 5));
    pass(&w, 2000);
    assert_true(w.copy[to][2].retired);
    assert_int_equal(state_of(&w, 0), 0);
    assert_int_equal(holder(&w, 2, 5), from);
    assert_int_equal(w.geometries, 0);
    w.fill = true;
    assert_int_equal(hx_move_start(w.d, 2, 5, to), 0);
    pass(&w, 5000);
    assert_int_equal(holder(&w, 2, 5), to);
    assert_int_equal(w.copy[to][2].life, 2);
    assert_int_equal(hx_move_start(w.d, 2, 5, from), 0); /* the same change backwards */
    pass(&w, 5000);
    assert_int_equal(holder(&w, 2, 5), from);
    assert_int_equal(w.copy[from][2].life, 2);
    world_close(&w);
}

/* Promise: learners that nobody names are deleted by the next driver; members, tombstones and what growth has made of a
 * group that no version has yet are left. */
static void what_nobody_names_is_deleted(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    uint32_t a = spare(&w, 1, 0), b = spare(&w, 2, 0), c = spare(&w, 3, 0);
    w.copy[a][1] = (struct copy){.there = true, .learner = true, .life = 3};
    w.copy[b][2] = (struct copy){.there = true, .life = 4}; /* retired, but DELETE never came */
    w.copy[c][3] = (struct copy){.there = true, .retired = true, .life = 5};
    w.copy[a][PGS] = (struct copy){.there = true, .life = 1};
    w.fill = false;
    drive(&w);
    pass(&w, 3000);
    assert_true(w.copy[a][1].retired);
    assert_true(w.copy[b][2].retired);
    assert_int_equal(w.deletes, 2);
    assert_false(w.copy[a][PGS].retired);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_false(w.copy[holder(&w, 1, i)][1].retired);
    world_close(&w);
}

/* Promise: a learner that is made anew behind the driver's back is not taken for the one that was filled. */
static void another_life_is_another_learner(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    drive(&w);
    w.fill = false;
    uint32_t to = spare(&w, 1, 0);
    assert_int_equal(hx_move_start(w.d, 1, 0, to), 0);
    pass(&w, 2000);
    assert_int_equal(state_of(&w, 0), HX_CHANGE_FILL);
    w.copy[to][1].life = 7; /* made by somebody else */
    pass(&w, 2000);
    assert_int_equal(w.formats, 2);
    w.copy[to][1] = (struct copy){.there = true, .retired = true, .life = 1};
    pass(&w, 2000);
    assert_int_equal(w.formats, 3);
    assert_int_equal(w.copy[to][1].life, 2);
    assert_int_equal(w.geometries, 0);
    w.fill = true;
    pass(&w, 5000);
    assert_int_equal(holder(&w, 1, 0), to);
    world_close(&w);
}

/* Promise (V4): a driver that meets a newer epoch asks nothing any more, and the writer is fenced. */
static void a_fenced_driver_is_silent(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    drive(&w);
    w.fill = false;
    uint32_t to = spare(&w, 1, 0);
    assert_int_equal(hx_move_start(w.d, 1, 0, to), 0);
    pass(&w, 500);
    w.r.f.server[to].promised = HX_EPOCH(99);
    pass(&w, 3000);
    assert_int_equal(hx_move_state(w.d), HX_E_FENCED);
    assert_int_equal(hx_writer_state(w.r.w), HX_E_FENCED);
    assert_int_equal(hx_move_start(w.d, 1, 1, to), HX_E_FENCED);
    assert_true(hx_move_undo(w.d, 1, 0));
    unsigned asked = w.statuses + w.deletes + w.formats;
    pass(&w, 5000);
    assert_int_equal(w.statuses + w.deletes + w.formats, asked);
    world_close(&w);
}

static uint64_t draw(struct world *w, uint64_t n)
{
    w->rng = w->rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (w->rng >> 33) % n;
}

/* Promise: whatever moves in whatever order, with servers that stop and go on: every record becomes durable, the rows
 * have six different servers, and nothing is left over. */
static void random_moves_end_well(void **state)
{
    (void)state;
    unsigned versions = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world w;
        world_open(&w);
        w.rng = seed;
        drive(&w);
        struct hx_lsn cpl = {0};
        for (unsigned k = 0; k < 60; k++) {
            uint32_t pg = (uint32_t)draw(&w, PGS);
            unsigned slot = (unsigned)draw(&w, HX_COPIES);
            if (draw(&w, 3) > 0)
                cpl = commit(&w, pg);
            if (draw(&w, 4) == 0)
                (void)hx_move_start(w.d, pg, slot, (uint32_t)draw(&w, SERVERS));
            if (draw(&w, 12) == 0)
                (void)hx_move_undo(w.d, pg, slot);
            w.down = draw(&w, 3) == 0 ? 1u << draw(&w, SERVERS) : 0;
            w.fill = draw(&w, 2);
            pass(&w, draw(&w, 400));
        }
        w.down = 0;
        w.fill = true;
        pass(&w, 20000);
        assert_int_equal(hx_writer_vdl(w.r.w).v, cpl.v);
        assert_int_equal(hx_geometry_check(hx_writer_geometry(w.r.w)), 0);
        assert_int_equal(state_of(&w, 0), 0);
        for (uint32_t pg = 0; pg < PGS; pg++)
            for (unsigned i = 0; i < HX_COPIES; i++) {
                const struct copy *c = &w.copy[holder(&w, pg, i)][pg];
                assert_true(c->there && !c->retired && !c->learner);
                assert_int_equal(hx_writer_scl(w.r.w, pg, i).v, w.r.w->pg[pg].last.v);
            }
        versions += (unsigned)hx_move_versions(w.d);
        world_close(&w);
    }
    assert_true(versions > 100);
}

/* Promise (V5, S1, S2): the last group is released when nothing of it is under way and all six answer; the version says
 * that openings walk from the VDL on, group 0 stored it before anybody is deleted, and the others go on. */
static void the_last_group_is_released(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    drive(&w);
    pass(&w, 100);
    assert_int_equal(hx_move_release(w.d, 1), HX_E_INVAL);
    assert_int_equal(hx_move_release(w.d, PGS), HX_E_INVAL);
    w.down = 1u << holder(&w, 3, 5);
    commit(&w, 3);
    assert_int_equal(hx_move_release(w.d, 3), 0);
    assert_int_equal(hx_move_start(w.d, 3, 0, spare(&w, 3, 0)), HX_E_BUSY);
    pass(&w, 5000);
    assert_int_equal(w.geometries, 0); /* its record is not on all members, and one is silent */
    assert_int_equal(hx_move_release(w.d, 0), 0); /* after all not */
    w.down = 0;
    pass(&w, 5000);
    assert_int_equal(hx_move_releasing(w.d), 0);
    assert_int_equal(w.geometries, 0);
    assert_int_equal(hx_move_release(w.d, 3), 0);
    for (unsigned i = 0; i < 3; i++)
        w.down |= 1u << holder(&w, 0, i);
    unsigned of_3 = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        of_3 |= 1u << holder(&w, 3, i);
    if (!(of_3 & w.down)) { /* three of group 0 do not store it: nobody is deleted */
        pass(&w, 3000);
        assert_int_equal(w.deletes, 0);
    }
    w.down = 0;
    pass(&w, 5000);
    const struct hx_geometry *g = hx_writer_geometry(w.r.w);
    assert_int_equal(g->pgs[3].kind, HX_ROW_RELEASED);
    assert_int_equal(g->pg_count, PGS);
    assert_int_equal(hx_geometry_live(g), 3);
    assert_int_equal(g->walk_from.v, hx_writer_vdl(w.r.w).v);
    assert_true(g->walk_from.v > 0);
    assert_int_equal(hx_writer_pages(w.r.w), 3 * PG_PAGES);
    assert_int_equal(w.deletes, HX_COPIES);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_true(w.copy[g->pgs[3].server[i]][3].retired);
    assert_int_equal(hx_move_releasing(w.d), 0);
    uint64_t p = 3 * PG_PAGES + 1;
    struct hx_lsn cpl;
    assert_int_equal(rig_append(&w.r, &p, 1, 100, &cpl), HX_E_INVAL);
    cpl = commit(&w, 2);
    pass(&w, 100);
    assert_int_equal(hx_writer_vdl(w.r.w).v, cpl.v);
    world_close(&w);
}

/* Promise (S1): a version that releases a group with something under way, another one than the last, or with the walk
 * above the VDL or below its records, is not let into the air, whoever drives. */
static void nothing_that_lives_is_released(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    drive(&w);
    commit(&w, 3);
    commit(&w, 1);
    struct hx_geometry g = {0};
    assert_int_equal(hx_geometry_copy(&g, hx_writer_geometry(w.r.w)), 0);
    g.m++;
    g.pgs[3].kind = HX_ROW_RELEASED;
    assert_int_equal(hx_writer_turn(w.r.w, &g), HX_E_LAGGING);
    pass(&w, 1000);
    assert_int_equal(hx_writer_turn(w.r.w, &g), HX_E_LAGGING); /* openings would look for its records */
    g.walk_from = HX_LSN(hx_writer_vdl(w.r.w).v + 1);
    assert_int_equal(hx_writer_turn(w.r.w, &g), HX_E_INVAL);
    g.walk_from = hx_writer_vdl(w.r.w);
    assert_int_equal(hx_writer_turn(w.r.w, &g), 0);
    uint64_t p = 3 * PG_PAGES + 1;
    struct hx_lsn cpl;
    assert_int_equal(rig_append(&w.r, &p, 1, 100, &cpl), HX_E_INVAL); /* from the turn on */
    assert_true(hx_writer_pg_blank(w.r.w, 3));
    hx_writer_turned(w.r.w);
    assert_int_equal(hx_writer_pages(w.r.w), 3 * PG_PAGES);
    hx_geometry_fini(&g);
    world_close(&w);
}

/* Promise (V7): the rate is divided evenly among the learners, each is told when his part changes; a server of before
 * makes its learner without; without a rate nobody hears of one. */
static void learners_share_a_rate(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.fill = false;
    drive(&w);
    pass(&w, 200);
    const uint32_t rate = 1u << 20;
    uint32_t to[3];
    for (uint32_t pg = 0; pg < 3; pg++)
        for (to[pg] = 0; named(&w.r.g, pg, to[pg]); to[pg]++)
            ;
    assert_int_equal(hx_move_start(w.d, 0, 0, to[0]), 0);
    pass(&w, 500);
    assert_int_equal(w.copy[to[0]][0].rate, 0);
    hx_move_rate(w.d, rate);
    pass(&w, 500);
    assert_int_equal(w.copy[to[0]][0].rate, rate);
    w.old = 1u << to[1];
    assert_int_equal(hx_move_start(w.d, 1, 0, to[1]), 0);
    pass(&w, 5000);
    assert_true(w.copy[to[1]][1].learner);
    assert_int_equal(w.copy[to[1]][1].rate, 0);
    w.old = 0;
    assert_int_equal(hx_move_start(w.d, 2, 0, to[2]), 0);
    pass(&w, 5000);
    assert_int_equal(w.copy[to[0]][0].rate, rate / 3);
    assert_int_equal(w.copy[to[2]][2].rate, rate / 3);
    assert_true(hx_move_undo(w.d, 0, 0));
    assert_true(hx_move_undo(w.d, 1, 0));
    pass(&w, 5000);
    assert_int_equal(w.copy[to[2]][2].rate, rate);
    unsigned formats = w.formats;
    pass(&w, 5000);
    assert_int_equal(w.formats, formats); /* told once */
    w.fill = true;
    pass(&w, 5000);
    assert_int_equal(hx_writer_geometry(w.r.w)->pgs[2].server[0], to[2]);
    world_close(&w);
}

/* Promise (V7): a learner that has gone while it was being told its rate is made again. */
static void a_learner_that_goes_while_it_is_told_is_made_again(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.fill = false;
    drive(&w);
    pass(&w, 200);
    uint32_t to = 0;
    while (named(&w.r.g, 1, to))
        to++;
    assert_int_equal(hx_move_start(w.d, 1, 0, to), 0);
    pass(&w, 500);
    w.sick = 1u << to; /* it is told again and again */
    hx_move_rate(w.d, 1u << 20);
    w.copy[to][1] = (struct copy){.there = true, .retired = true, .life = 7};
    pass(&w, 5000);
    assert_false(w.copy[to][1].learner);
    w.sick = 0;
    pass(&w, 5000);
    assert_true(w.copy[to][1].learner);
    assert_int_equal(w.copy[to][1].life, 8);
    w.fill = true;
    pass(&w, 5000);
    assert_int_equal(hx_writer_geometry(w.r.w)->pgs[1].server[0], to);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_moves),
        cmocka_unit_test(wishes_are_granted),
        cmocka_unit_test(what_was_left_is_no_learner),
        cmocka_unit_test(who_drives_next_says_the_members),
        cmocka_unit_test(a_version_is_stored_by_both),
        cmocka_unit_test(what_is_ready_goes_together),
        cmocka_unit_test(a_change_is_taken_back),
        cmocka_unit_test(what_nobody_names_is_deleted),
        cmocka_unit_test(another_life_is_another_learner),
        cmocka_unit_test(a_fenced_driver_is_silent),
        cmocka_unit_test(random_moves_end_well),
        cmocka_unit_test(the_last_group_is_released),
        cmocka_unit_test(nothing_that_lives_is_released),
        cmocka_unit_test(learners_share_a_rate),
        cmocka_unit_test(a_learner_that_goes_while_it_is_told_is_made_again),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("move", tests, NULL, NULL);
}
