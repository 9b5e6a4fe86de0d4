/*
 * test_session_view.c - what a session says: which servers keep an opening waiting, which quorum is missing, how much
 * room there is, who took over (session_open.c, session_view.c).
 *
 * Method: as test_session_rules.c; for what only strange servers say, answers made by hand.
 */
#include "session_kit.h"

#include "fake_fleet.h"

/* ---- opening ---- */

/* A session alone: its requests are answered by hand. */
struct alone {
    struct hx_session *s;
    uint64_t call[6];
    unsigned calls;
    enum hx_session_state last;
};

static void drain(struct alone *a)
{
    struct hx_session_effect e;
    while (hx_session_next(a->s, &e)) {
        if (e.kind == HX_SESSION_SEND && a->calls < 6)
            a->call[a->calls++] = e.net.call;
        if (e.kind == HX_SESSION_STATE)
            a->last = e.state;
    }
}

static void refuse(struct alone *a, unsigned i, uint64_t now_ms, int status)
{
    struct hx_reply_head h = {.type = HX_MSG_LOOKUP, .status = status};
    uint8_t reply[HX_REPLY_HEAD];
    hx_reply_head_encode(&h, NULL, 0, reply);
    hx_session_answer(a->s, now_ms, now_ms * 1000, a->call[i], (struct hx_bytes){reply, sizeof reply});
}

static void begin_alone(struct alone *a, const struct hx_server *servers, uint64_t now_ms)
{
    struct world w = {.rng = 5};
    struct hx_session_cfg cfg = config(&w);
    *a = (struct alone){0};
    cfg.servers = servers;
    cfg.now_ms = now_ms;
    assert_int_equal(hx_session_new(&cfg, &a->s), 0);
    drain(a);
    assert_int_equal(a->calls, 6);
}

/* Promise: where every server refuses the certificate's role, waiting would not help; where one only has not answered
 * yet, it waits. */
static void a_role_that_all_refuse_ends_the_opening(void **state)
{
    (void)state;
    const struct hx_server servers[6] = {{.name = "a"}, {.name = "b"}, {.name = "c"},
                                         {.name = "d"}, {.name = "e"}, {.name = "f"}};
    struct alone a;
    begin_alone(&a, servers, 1000);
    for (unsigned i = 0; i < 5; i++)
        refuse(&a, i, 2000, i % 2 ? HX_E_ROLE : HX_E_TLS);
    drain(&a);
    assert_int_equal(hx_session_state(a.s), HX_SESSION_LOOKUP);
    refuse(&a, 5, 2000, HX_E_ROLE);
    drain(&a);
    assert_int_equal(a.last, HX_SESSION_FAILED);
    assert_int_equal(hx_session_error(a.s), HX_E_ROLE);
    hx_session_free(a.s);
}

/* Promise: what is waited for is named as far as there is room, whatever the names.  Method: names of 63 bytes. */
static void long_names_are_cut_not_overrun(void **state)
{
    (void)state;
    struct hx_server servers[6] = {{.name = ""}};
    struct alone a;
    for (unsigned i = 0; i < 6; i++)
        memset(servers[i].name, 'a' + (int)i, HX_NAME_MAX);
    begin_alone(&a, servers, 1000);
    for (unsigned i = 0; i < 6; i++)
        hx_session_failed(a.s, 1500, a.call[i], HX_E_CONNECT);
    hx_session_tick(a.s, 1000 + HX_SESSION_OPEN_TELL_MS);
    drain(&a);
    const char *text = hx_session_waiting(a.s);
    assert_non_null(strstr(text, "no answer from aaaa"));
    assert_non_null(strstr(text, "bbbb"));
    assert_in_range(strlen(text), 300, 511);
    hx_session_free(a.s);
}

/* Promise: one or two of a volume's servers are enough to find it; the others are asked by what those say, and missed
 * by name. */
static void any_few_configured_servers_lead_to_the_others(void **state)
{
    (void)state;
    for (uint32_t few = 1; few <= 2; few++) {
        struct world *w = new_world(51, true);
        struct client c;
        struct hx_session_cfg cfg = config(w);
        cfg.server_count = few;
        begin(&c, w, &cfg);
        UNTIL(w, c.last == HX_SESSION_OPEN);
        close_now(&c);
        crash_servers(w, few, WORLD_SERVERS - few); /* those whom nobody configured are missed by name */
        begin(&c, w, &cfg);
        pass(w, 10000);
        assert_int_equal(hx_session_state(c.s), HX_SESSION_LOOKUP);
        assert_non_null(strstr(c.waiting, "no answer from "));
        for (uint32_t i = 0; i < WORLD_SERVERS; i++)
            assert_int_equal(strstr(c.waiting, w->servers[i].name) != NULL, i >= few);
        start_servers(w, few, WORLD_SERVERS - few);
        UNTIL(w, c.last == HX_SESSION_OPEN);
        close_now(&c);
        free_world(w);
    }
}

/* Promise: an opening that was claimed, and then finds only three servers, fails for want of a write quorum, in time:
 * three do not suffice to fence.  Method: two groups; three servers go as soon as the first is claimed. */
static void an_opening_that_loses_its_servers_says_which_quorum(void **state)
{
    (void)state;
    struct world *w = new_world(52, true);
    struct client c;
    open_now(&c, w, false);
    write_now(&c, PG_PAGES, 1);
    close_now(&c);
    struct hx_session_cfg cfg = config(w);
    cfg.soft_ms = 5000;
    begin(&c, w, &cfg);
    UNTIL(w, hx_session_recovery(c.s) && hx_recovery_state(hx_session_recovery(c.s)) == HX_RECOVERY_FENCE);
    crash_servers(w, 0, 3);
    UNTIL(w, c.last == HX_SESSION_FAILED);
    assert_int_equal(hx_session_error(c.s), HX_E_NO_WRITE_QUORUM);
    assert_non_null(strstr(hx_session_why(c.s), "4 needed"));
    vanish(&c);
    free_world(w);
}

/* ---- open ---- */

static void says(const struct client *c, const char *words)
{
    if (strstr(c->waiting, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, c->waiting);
}

/* Promise: without progress the session says which quorum is missing, in which group, who is silent.
 * Method: a read with all servers gone, a write with three gone. */
static void the_missing_quorum_is_named(void **state)
{
    (void)state;
    struct world *w = new_world(53, true);
    struct client c;
    struct todo t;
    uint32_t pg = 9;
    open_now(&c, w, false);
    write_now(&c, 1, 1);
    write_now(&c, PG_PAGES, 1);
    close_now(&c);
    open_now(&c, w, false);
    UNTIL(w, hx_session_weakest(c.s, &pg) == 6);
    assert_int_equal(pg, 0);
    crash_servers(w, 0, 6);
    start(&c, &t, READ, 1, 0, false);
    pass(w, 10000);
    says(&c, "read quorum missing: 0 of 6 segment servers answer in PG 0 (need 3); silent: ");
    start_servers(w, 0, 6);
    UNTIL(w, t.answers);
    UNTIL(w, c.waiting[0] == '\0');
    write_now(&c, 1, 2);
    crash_servers(w, 0, 3);
    start(&c, &t, WRITE, 1, 3, true);
    pass(w, 10000);
    says(&c, "write quorum missing: 3 of 6 segment servers keep up in PG 0 (need 4); silent: ");
    start_servers(w, 0, 3);
    UNTIL(w, t.answers);
    close_now(&c);
    free_world(w);
}

/* ---- a session over scripted servers ---- */

static int alone_next(void *o, struct hx_effect *ret)
{
    struct hx_session_effect e;
    while (hx_session_next(o, &e))
        if (e.kind == HX_SESSION_SEND || e.kind == HX_SESSION_CANCEL) {
            *ret = e.net;
            return 1;
        }
    return 0;
}
static void alone_answer(void *o, uint64_t now, uint64_t call, struct hx_bytes body)
{
    hx_session_answer(o, now, now * 1000, call, body);
}
static void alone_failed(void *o, uint64_t now, uint64_t call, int err)
{
    hx_session_failed(o, now, call, err);
}
static uint64_t alone_tick(void *o, uint64_t now)
{
    return hx_session_tick(o, now);
}

/* Promise: where four servers answer, and damage keeps them from saying that a record never was, the decision lacks a
 * read quorum: that is what the opening fails with, in words that name the damaged ones. */
static void a_decision_that_damage_prevents_lacks_a_read_quorum(void **state)
{
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    struct hx_session *s;
    struct hx_session_cfg cfg = {.name = "vol0", .servers = f->geometry.servers, .server_count = 6, .now_ms = f->now_ms,
                                 .cache_bytes = CACHE, .window_bytes = WINDOW, .seed = 3, .soft_ms = 8000};
    for (unsigned i = 0; i < 2; i++) {
        fleet_seg_at(f, 0, i)->unknown = (struct hx_inv_unknown){HX_LSN(1), HX_LSN(2)};
        f->servers[fleet_server_at(f, 0, 5 - i)].down = true;
    }
    assert_int_equal(hx_session_new(&cfg, &s), 0);
    struct fleet_part p = {s, alone_next, alone_answer, alone_failed, alone_tick};
    for (int i = 0; i < STEPS_MAX && hx_session_state(s) != HX_SESSION_FAILED; i++)
        fleet_step(f, &p, 1);
    assert_int_equal(hx_session_error(s), HX_E_NO_READ_QUORUM);
    assert_non_null(strstr(hx_session_why(s), "2 of 6 servers surely never had LSN 1, 3 needed"));
    assert_non_null(strstr(hx_session_why(s), "has a damaged record there"));
    assert_non_null(strstr(hx_session_waiting(s), hx_err_text(HX_E_NO_READ_QUORUM)));
    fleet_abandon(f, s);
    hx_session_free(s);
    fleet_free(f);
}

/* ---- room ---- */

enum odd { HONEST, GARBAGE, REFUSED, SHORT };

/* Makes the answers to HELLO of server 0 that are under way odd. */
static void twist_hello(struct world *w, enum odd how)
{
    for (size_t i = 0; i < w->mail_count; i++) {
        struct world_mail *m = w->mail[i];
        struct hx_msg_head q;
        struct hx_reply_head h;
        struct hx_bytes body;
        if (m->from_node >= 0 || m->to != 0 || m->reply == NULL || m->state != MAIL_ANSWERED ||
            hx_msg_decode(m->bytes, m->len, &q, &body) != 0 || q.type != HX_MSG_HELLO ||
            hx_reply_decode(m->reply, m->reply_len, &h, &body) != 0)
            continue;
        size_t keep = how == SHORT ? 3 : 0;
        if (how == GARBAGE)
            m->reply[1] ^= 1;
        if (how != REFUSED && how != SHORT)
            continue;
        h.status = how == REFUSED ? HX_E_AGAIN : 0;
        struct hx_bytes piece = {m->reply + HX_REPLY_HEAD, keep};
        uint8_t head[HX_REPLY_HEAD];
        hx_reply_head_encode(&h, &piece, 1, head);
        memcpy(m->reply, head, sizeof head);
        m->reply_len = HX_REPLY_HEAD + keep;
    }
}

/* Promise: the room of a volume is what its servers can take; one of six whose answer says nothing about its disk, or
 * that does not answer, does not make the volume full: it is taken to be as its zone's others.  Before it is open
 * nothing is known; what is known stays when it is open no more, and is asked again when it is old. */
static void one_odd_answer_does_not_make_a_volume_full(void **state)
{
    (void)state;
    uint64_t honest = 0;
    for (enum odd how = HONEST; how <= SHORT; how++) {
        struct world *w = new_world(54, true);
        struct client c;
        uint64_t room = 0;
        struct hx_session_cfg cfg = config(w);
        begin(&c, w, &cfg);
        assert_int_equal(hx_session_room(c.s, w->now_ms, &room), HX_E_AGAIN);
        int steps = 0;
        do {
            twist_hello(w, how);
            world_step(w);
            assert_true(++steps < STEPS_MAX);
        } while (c.last != HX_SESSION_OPEN || world_under_way(w, &c, HX_PART_HELLO) > 0);
        assert_int_equal(hx_session_room(c.s, w->now_ms, &room), 0);
        assert_true(room > 0);
        honest = how == HONEST ? room : honest;
        assert_int_equal(room, honest);
        assert_int_equal(hx_session_room(c.s, w->now_ms, &room), 0);
        world_step(w);
        assert_int_equal(world_under_way(w, &c, HX_PART_HELLO), 0); /* young enough */
        pass(w, HX_SESSION_ROOM_AGE_MS + 1);
        assert_int_equal(hx_session_room(c.s, w->now_ms, &room), 0);
        world_step(w);
        assert_int_equal(world_under_way(w, &c, HX_PART_HELLO), 6);
        UNTIL(w, world_under_way(w, &c, HX_PART_HELLO) == 0);
        crash_servers(w, 1, 3);
        struct todo lazy;
        start(&c, &lazy, WRITE, 1, 1, false);
        hx_session_close(c.s, w->now_ms); /* which takes its time */
        pass(w, HX_SESSION_ROOM_AGE_MS + 1);
        assert_int_equal(c.last, HX_SESSION_CLOSING);
        assert_int_equal(hx_session_room(c.s, w->now_ms, &room), 0);
        assert_int_equal(room, honest);
        world_step(w);
        UNTIL(w, world_under_way(w, &c, HX_PART_HELLO) == 0);
        hx_writer_fence(hx_session_writer(c.s));
        UNTIL(w, c.last == HX_SESSION_FENCED);
        assert_int_equal(hx_session_room(c.s, w->now_ms, &room), 0);
        assert_in_range(room, honest - (64 << 20), honest); /* a little was written */
        world_step(w);
        assert_int_equal(world_under_way(w, &c, HX_PART_HELLO), 0);
        vanish(&c);
        free_world(w);
    }
}

/* ---- endings ---- */

/* Promise: who took over is learnt from a server that the newer one has written to; one that was away and only knows
 * us, or is still away, does not count.  Method: the takeover goes without servers 0 and 1; then 0 is back. */
static void servers_that_missed_a_takeover_do_not_name_us(void **state)
{
    (void)state;
    for (uint64_t seed = 60; seed < 64; seed++) {
        struct world *w = new_world(seed, true);
        struct client a, b;
        struct todo t;
        open_now(&a, w, false);
        write_now(&a, 1, 1);
        UNTIL(w, world_under_way(w, &a, 0) == 0);
        world_leave(w, &a);
        crash_servers(w, 0, 2);
        struct hx_session_cfg cfg = config(w);
        cfg.takeover = true;
        begin(&b, w, &cfg);
        b.secretive = true;
        UNTIL(w, b.last == HX_SESSION_OPEN);
        write_now(&b, 2, 22);
        UNTIL(w, world_under_way(w, &b, 0) == 0);
        world_leave(w, &b);
        world_start(w, 0);
        world_join(w, (struct world_part){&a, part_next, part_answer, part_failed, part_tick});
        start(&a, &t, WRITE, 3, 3, true);
        UNTIL(w, a.last == HX_SESSION_FENCED);
        pass(w, 6000);
        assert_int_equal(a.successors, 0);
        world_join(w, (struct world_part){&b, part_next, part_answer, part_failed, part_tick});
        hx_session_set_info(b.s, "{\"host\":\"b\"}");
        UNTIL(w, a.successors == 1);
        assert_string_equal(hx_session_lookup(a.s)->writer_text, "{\"host\":\"b\"}");
        vanish(&a);
        vanish(&b);
        free_world(w);
    }
}

/* Promise: closing does not wait for ever for a goodbye that nobody hears: all is durable already. */
static void a_goodbye_that_nobody_hears_is_bounded(void **state)
{
    (void)state;
    struct world *w = new_world(55, true);
    struct client c;
    open_now(&c, w, false);
    write_now(&c, 1, 1);
    hx_session_close(c.s, w->now_ms);
    UNTIL(w, hx_session_unsafe(c.s) == 0 && world_under_way(w, &c, HX_PART_WRITER) > 0);
    crash_servers(w, 0, 6);
    uint64_t from = w->now_ms;
    UNTIL(w, c.last == HX_SESSION_CLOSED);
    assert_int_equal(hx_session_error(c.s), 0);
    assert_in_range(w->now_ms - from, 0, HX_SESSION_GOODBYE_MS + 1000);
    vanish(&c);
    free_world(w);
}

static bool refusing;
static unsigned refused;

/* Answers of server 0 to the writer say, while REFUSING, that its disk is full. */
static void refuse_answers(void *obj, uint64_t now, uint64_t call, struct hx_bytes whole)
{
    struct hx_reply_head h;
    struct hx_bytes body;
    uint8_t head[HX_REPLY_HEAD];
    bool of_zero = hx_call_part(call) == HX_PART_WRITER && (call >> 40 & 0xffff) == 0;
    if (refusing && of_zero && hx_reply_decode(whole.p, whole.len, &h, &body) == 0) {
        h.status = HX_E_NOSPACE;
        refused++;
        hx_reply_head_encode(&h, NULL, 0, head);
        whole = (struct hx_bytes){head, sizeof head};
    }
    part_answer(obj, now, call, whole);
}

static struct client *refused_client(struct world *w, struct client *c)
{
    struct hx_session_cfg cfg = config(w);
    *c = (struct client){.w = w};
    refusing = false;
    assert_int_equal(hx_session_new(&cfg, &c->s), 0);
    world_join(w, (struct world_part){c, part_next, refuse_answers, part_failed, part_tick});
    UNTIL(w, c->last == HX_SESSION_OPEN);
    return c;
}

/* Promise: who answers that its disk is full is not called silent: what to do is not the same. */
static void a_full_disk_is_not_called_silence(void **state)
{
    (void)state;
    struct world *w = new_world(57, true);
    struct client c;
    struct todo t;
    refused_client(w, &c);
    write_now(&c, 1, 1);
    refusing = true;
    crash_servers(w, 4, 2);
    start(&c, &t, WRITE, 1, 3, true);
    pass(w, 10000);
    says(&c, "write quorum missing: 3 of 6 segment servers keep up in PG 0 (need 4); silent: ");
    says(&c, "; disk full: a1");
    refusing = false;
    UNTIL(w, t.answers);
    start_servers(w, 4, 2);
    close_now(&c);
    free_world(w);
}

/* Promise: nor for one that a server answers, and refuses for ever. */
static void a_goodbye_that_is_refused_is_bounded(void **state)
{
    (void)state;
    struct world *w = new_world(56, true);
    struct client c;
    refused_client(w, &c);
    write_now(&c, 1, 1);
    UNTIL(w, world_under_way(w, &c, HX_PART_WRITER) == 0);
    refusing = true;
    refused = 0;
    uint64_t from = w->now_ms;
    hx_session_close(c.s, w->now_ms);
    UNTIL(w, c.last == HX_SESSION_CLOSED);
    assert_int_equal(hx_session_error(c.s), 0);
    assert_in_range(w->now_ms - from, 0, HX_SESSION_GOODBYE_MS + 1000);
    assert_in_range(refused, 1, 10); /* with growing pauses between them */
    vanish(&c);
    free_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_role_that_all_refuse_ends_the_opening),
        cmocka_unit_test(long_names_are_cut_not_overrun),
        cmocka_unit_test(any_few_configured_servers_lead_to_the_others),
        cmocka_unit_test(an_opening_that_loses_its_servers_says_which_quorum),
        cmocka_unit_test(the_missing_quorum_is_named),
        cmocka_unit_test(a_decision_that_damage_prevents_lacks_a_read_quorum),
        cmocka_unit_test(one_odd_answer_does_not_make_a_volume_full),
        cmocka_unit_test(servers_that_missed_a_takeover_do_not_name_us),
        cmocka_unit_test(a_goodbye_that_nobody_hears_is_bounded),
        cmocka_unit_test(a_goodbye_that_is_refused_is_bounded),
        cmocka_unit_test(a_full_disk_is_not_called_silence),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("session_view", tests, NULL, NULL);
}
