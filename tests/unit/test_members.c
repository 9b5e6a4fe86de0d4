/*
 * test_members.c - who counts as a member of a group among its servers: what a peer told as another one, or in another
 * life, and under a version of which nobody said that it is in use (E7 of gossip.c, M9 of doc/MEMBERSHIP.md).
 *
 * Method: learner_kit.h: six members with the same pages.  Server 5 leaves, begins anew, and is named again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "learner_kit.h"

#define OLD 5u

/* The rig's geometry with M more changes; server 6 in the place of OLD when OUT. */
static struct hx_geometry version(const struct hx_rig *r, uint32_t m, bool out)
{
    struct hx_geometry g = {0};
    assert_int_equal(hx_geometry_copy(&g, &r->geometry), 0);
    g.m += m;
    if (out) {
        struct hx_server s = g.servers[0];
        memcpy(s.name, "a3", 3);
        s.incarnation = hx_rig_uuid(106);
        assert_int_equal(hx_geometry_add_server(&g, &s), 0);
        for (uint32_t pg = 0; pg < g.pg_count; pg++)
            g.pgs[pg].server[OLD] = (uint16_t)(g.server_count - 1);
    }
    return g;
}

static void steps(struct hx_rig *r, unsigned count)
{
    for (unsigned k = 0; k < count; k++)
        hx_rig_step(r, 100);
}

/* VDL and floor at the end of the log, to all but OLD. */
static void raise_floor(struct hx_rig *r, struct hx_model *m)
{
    m->vdl = m->floor = m->acked;
    for (unsigned i = 0; i < OLD; i++)
        assert_int_equal(hx_rig_append(r, i, 1, m->vdl, m->floor, NULL, 0, NULL), 0);
}

static struct hx_segment_look look_in(struct hx_rig *r, unsigned i, uint32_t pg)
{
    struct hx_segment_look l;
    assert_int_equal(hx_node_look(r->node[i], hx_rig_place(r, pg), &l), 0);
    return l;
}

/* What OLD told everybody before it left comes now. */
static void late_message(struct hx_rig *r, const struct hx_model *m)
{
    uint8_t b[4 + HX_GOSSIP_ENTRY + HX_GOSSIP_M];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_enc_u32(&e, 1);
    hx_gossip_entry_encode(&(struct hx_gossip_entry){PG, HX_EPOCH(1), HX_LSN(m->acked)}, &e);
    hx_enc_u32(&e, r->geometry.m);
    for (unsigned i = 0; i < OLD; i++)
        assert_int_equal(hx_rig_call(r, i, &(struct hx_rig_ask){.type = HX_MSG_GOSSIP, .role = HX_NODE_ROLE_SEGMENT,
                                                                .g = HX_PEER_NAMED, .name = "c2",
                                                                .owner = hx_rig_uuid(100 + OLD), .body = {b, e.len}},
                                     NULL), 0);
}

/* Promise (E7, I10): what a server told before it left says nothing of the learner that it came back as, also for a
 * member that never heard that it was gone: no file goes that the learner needs. */
static void what_was_told_in_a_life_before_does_not_count(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    (void)state;
    start(&r, &m, 1);
    steps(&r, 40); /* everybody has told everybody */
    r.cut[OLD] = true;
    struct hx_geometry gone = version(&r, 1, true), back = version(&r, 2, false);
    assert_int_equal(hx_rig_delete(&r, OLD, PG, 1, &gone, 1), 0);
    assert_int_equal(hx_rig_format_as(&r, OLD, PG, &gone, &r.history, 1, 1), 0);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_members(&r, i, PG, 1, &back, NULL), 0);
    late_message(&r, &m);
    raise_floor(&r, &m);
    steps(&r, 60);
    for (unsigned i = 0; i < OLD; i++) {
        assert_int_equal(look(&r, i).floor.v, m.acked);
        assert_true(look(&r, i).gc.v < m.acked);
    }
    r.cut[OLD] = false;
    for (unsigned k = 0; k < 100 && look(&r, OLD).scl.v < m.acked; k++)
        steps(&r, 10);
    assert_int_equal(look(&r, OLD).scl.v, m.acked);
    steps(&r, 100);
    for (unsigned i = 0; i < OLD; i++)
        assert_int_equal(look(&r, i).gc.v, m.acked); /* and now it does */
    hx_geometry_fini(&gone);
    hx_geometry_fini(&back);
    finish(&r, &m);
}

/* MEMBERS of the version before *NEXT, which says nothing of that one, and of another version of the same number, which
 * is refused. */
static void say_what_is_not_in_use(struct hx_rig *r, const struct hx_geometry *next)
{
    struct hx_geometry other = {0};
    assert_int_equal(hx_geometry_copy(&other, next), 0);
    other.pgs[0].server[4] = next->pgs[0].server[5];
    other.pgs[0].server[5] = next->pgs[0].server[4];
    for (unsigned i = 0; i < HX_COPIES; i++) {
        assert_int_equal(hx_rig_members(r, i, 0, 1, &r->geometry, NULL), 0);
        assert_int_equal(hx_rig_members(r, i, 0, 1, &other, NULL), HX_E_INVAL);
    }
    hx_geometry_fini(&other);
}

/* Promise (E7): while group 0 has a version with other members that nobody said to be in use, a restart included, no
 * file of it goes for the sake of gossip, for the version before may be bound; from MEMBERS on it does. */
static void group_0_waits_until_a_version_is_in_use(void **state)
{
    struct hx_rig r;
    const uint64_t last = 40;
    (void)state;
    hx_rig_init(&r, HX_COPIES + 1, GROUP, 1, 64u << 10);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_format(&r, i, 0), 0);
    size_t n = hx_rig_run(&r, 0, 1, 0, 1, (unsigned)last, 0);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_append(&r, i, 1, 0, 0, r.frame, n, NULL), 0);
    struct hx_geometry next = version(&r, 1, false);
    next.pgs[0].server[4] = 5; /* other places are other members, too */
    next.pgs[0].server[5] = 4;
    uint8_t body[16384];
    struct hx_enc e = hx_enc_init(body, sizeof body);
    hx_geometry_encode(&next, &e);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_call(&r, i, &(struct hx_rig_ask){.type = HX_MSG_GEOMETRY, .body = {body, e.len}}, NULL),
                         0);
    hx_rig_stop(&r, 0);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    say_what_is_not_in_use(&r, &next);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_append(&r, i, 1, last, last, NULL, 0, NULL), 0);
    steps(&r, 100);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(look_in(&r, i, 0).gc.v, 0);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_members(&r, i, 0, 1, &next, NULL), 0);
    steps(&r, 100);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(look_in(&r, i, 0).gc.v, last);
    hx_geometry_fini(&next);
    hx_rig_fini(&r);
}

static int fetch_as(struct hx_rig *r, const char *name, unsigned server, uint32_t g)
{
    uint8_t b[21] = {0};
    hx_put_u64(b + 8, 5);
    hx_put_u32(b + 16, 4096);
    return hx_rig_call(r, 0, &(struct hx_rig_ask){.type = HX_MSG_FETCH, .role = HX_NODE_ROLE_SEGMENT, .pg = PG, .g = g,
                                                  .name = name, .owner = hx_rig_uuid(server), .body = {b, sizeof b}},
                       NULL);
}

/* Promise (M9): a server is known by its incarnation: one that was made anew under the name of a member is none. */
static void a_name_is_not_enough(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    (void)state;
    start(&r, &m, 3);
    assert_int_equal(fetch_as(&r, "a2", 101, HX_PEER_NAMED), 0);
    assert_int_equal(fetch_as(&r, "a2", 777, HX_PEER_NAMED), HX_E_WRONG_MEMBER);
    assert_int_equal(fetch_as(&r, "a2", 102, HX_PEER_NAMED), HX_E_WRONG_MEMBER); /* another member's */
    assert_int_equal(fetch_as(&r, "a2", 777, 0), 0); /* an older program does not say it */
    assert_int_equal(fetch_as(&r, "a3", 777, 0), HX_E_WRONG_MEMBER);
    finish(&r, &m);
}

/* The next GOSSIP of server 0: its number, and how it is said; NULL body: it is answered BADMSG. */
static bool next_gossip(struct hx_rig *r, struct hx_msg_head *ret, size_t *ret_len)
{
    for (unsigned k = 0; k < 200; k++) {
        struct hx_node_effect e;
        r->now_ms += 50;
        hx_node_tick(r->node[0], r->now_ms);
        while (hx_node_next(r->node[0], &e)) {
            struct hx_bytes body;
            if (e.kind != HX_NODE_SEND)
                continue;
            assert_int_equal(hx_msg_decode(e.body.p, e.body.len, ret, &body), 0);
            uint8_t out[HX_REPLY_HEAD];
            struct hx_reply_head a = {.type = ret->type, .req_id = ret->req_id, .server = ret->server,
                                      .status = HX_E_BADMSG};
            hx_reply_head_encode(&a, &(struct hx_bytes){NULL, 0}, 1, out);
            *ret_len = body.len;
            uint64_t call = e.call;
            hx_node_answer(r->node[0], r->now_ms, call, 0, (struct hx_bytes){out, sizeof out});
            if (ret->type == HX_MSG_GOSSIP)
                return true;
        }
    }
    return false;
}

/* Promise: a peer of a program of before, which does not know what is added, is told in its words from then on. */
static void an_older_peer_is_told_in_its_words(void **state)
{
    struct hx_rig r;
    struct hx_msg_head h;
    struct hx_uuid first[HX_COPIES];
    unsigned named = 0, plain = 0;
    size_t len;
    (void)state;
    hx_rig_init(&r, HX_COPIES, GROUP, 1, 64u << 10);
    assert_int_equal(hx_rig_format(&r, 0, 0), 0);
    for (unsigned k = 0; k < 15; k++) {
        assert_true(next_gossip(&r, &h, &len));
        bool known = false;
        for (unsigned i = 0; i < named; i++)
            known |= hx_uuid_eq(&first[i], &h.server);
        const struct hx_uuid self = hx_rig_uuid(100);
        assert_int_equal(h.g, known ? 0 : HX_PEER_NAMED);
        assert_int_equal(len, 4 + HX_GOSSIP_ENTRY + (known ? 0 : HX_GOSSIP_M));
        assert_true(hx_uuid_eq(&h.owner, &self));
        plain += known;
        if (!known)
            first[named++] = h.server;
    }
    assert_int_equal(named, HX_COPIES - 1);
    assert_int_equal(plain, 10);
    hx_rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_told_in_a_life_before_does_not_count),
        cmocka_unit_test(group_0_waits_until_a_version_is_in_use),
        cmocka_unit_test(a_name_is_not_enough),
        cmocka_unit_test(an_older_peer_is_told_in_its_words),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("members", tests, NULL, NULL);
}
