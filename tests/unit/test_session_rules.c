/*
 * test_session_rules.c - the rules of operations, waiting, growth, room and late answers of a session (hexad/session.h,
 * hexad/op.h) one by one, where test_session.c tells whole stories.
 *
 * Method: one client over six real servers in virtual time (session_kit.h); each test brings about one situation.
 */
#include "session_kit.h"

#include "hexad/frame.h"

/* ---- operations ---- */

static void start_call(struct client *c, struct todo *t, int (*call)(struct todo *t))
{
    *t = (struct todo){.op = {.calls = &calls}, .c = c, .what = CALL, .call = call};
    c->under_way++;
    hx_op_start(c->s, c->w->now_ms, &t->op);
}

/* Promise (S1): a sync is answered at once when everything is durable, and else when it is, not before; also when
 * there is nothing to write. */
static void a_sync_waits_exactly_for_what_is_not_durable(void **state)
{
    (void)state;
    struct world *w = new_world(31, true);
    struct client c;
    struct todo sync, lazy;
    open_now(&c, w, false);
    start(&c, &sync, SYNC, 0, 0, true);
    assert_int_equal(sync.answers, 1);
    assert_int_equal(sync.err, 0);
    assert_int_equal(sync.kept, 0);
    write_now(&c, 3, 1);
    start(&c, &lazy, WRITE, 3, 2, false);
    assert_int_equal(lazy.answers, 1);
    start(&c, &sync, SYNC, 0, 0, true);
    sync.lsn = lazy.lsn;
    assert_int_equal(sync.answers, 0);
    UNTIL(w, sync.answers);
    assert_int_equal(sync.err, 0);
    assert_true(hx_session_vdl(c.s).v >= lazy.lsn.v);
    close_now(&c);
    free_world(w);
}

/* Promise (O1): an operation that there is no memory to keep fails with that, once, wherever it would have waited. */
static void an_operation_that_cannot_be_kept_fails_once(void **state)
{
    (void)state;
    struct world *w = new_world(32, true);
    struct client c;
    struct todo t, lazy;
    open_now(&c, w, false);
    write_now(&c, 3, 1);
    close_now(&c);
    open_now(&c, w, false);
    t = (struct todo){.op = {.calls = &calls}, .c = &c, .what = READ, .page = 3, .no_memory = true};
    c.under_way++;
    hx_op_start(c.s, w->now_ms, &t.op);
    assert_int_equal(t.err, HX_E_NOMEM);
    assert_int_equal(read_now(&c, 3), 1);
    start(&c, &lazy, WRITE, 3, 2, false);
    t = (struct todo){.op = {.calls = &calls}, .c = &c, .what = SYNC, .no_memory = true};
    c.under_way++;
    hx_op_start(c.s, w->now_ms, &t.op);
    assert_int_equal(t.err, HX_E_NOMEM);
    assert_int_equal(t.answers, 1);
    assert_int_equal(hx_session_parked(c.s), 0);
    close_now(&c); /* what it would have waited for is durable all the same */
    open_now(&c, w, false);
    assert_int_equal(read_now(&c, 3), 2);
    close_now(&c);
    free_world(w);
}

/* Promise (S3): between the word of a newer writer and the next drain nothing is let through, nor parked. */
static void nothing_waits_for_durability_after_the_fence(void **state)
{
    (void)state;
    struct world *w = new_world(33, true);
    struct client c;
    struct todo lazy, sync;
    open_now(&c, w, false);
    write_now(&c, 3, 1);
    start(&c, &lazy, WRITE, 3, 2, false);
    hx_writer_fence(hx_session_writer(c.s));
    start(&c, &sync, SYNC, 0, 0, true);
    assert_int_equal(sync.answers, 1);
    assert_int_equal(sync.err, HX_E_FENCED);
    UNTIL(w, c.last == HX_SESSION_FENCED);
    vanish(&c);
    free_world(w);
}

/* Promise (K5): the bound is for the whole operation: one whose time is up does not wait once more. */
static void an_operation_whose_time_is_up_does_not_wait_again(void **state)
{
    (void)state;
    struct world *w = new_world(34, true);
    struct client c;
    struct todo t;
    open_now(&c, w, false);
    write_now(&c, 3, 1);
    close_now(&c);
    open_now(&c, w, false);
    for (unsigned over = 0; over < 2; over++) {
        t = (struct todo){.op = {.calls = &calls}, .c = &c, .what = READ, .page = 3};
        t.op.park.since_ms = w->now_ms - 100; /* it has waited before */
        t.op.park.deadline_ms = over ? w->now_ms + 1000 : w->now_ms;
        c.under_way++;
        hx_op_start(c.s, w->now_ms, &t.op);
        assert_int_equal(t.answers, !over);
        UNTIL(w, t.answers);
        assert_int_equal(t.err, over ? 0 : HX_E_TIMEOUT);
    }
    close_now(&c);
    free_world(w);
}

static int get_three(struct todo *t)
{
    struct hx_pager *p = hx_session_pager(t->c->s);
    const uint8_t *q;
    bool there = hx_pager_want(p, HX_PAGE(7));
    there = hx_pager_want(p, HX_PAGE(7)) && there;
    there = hx_pager_want(p, HX_PAGE(9)) && there;
    int err = hx_pager_get(p, HX_PAGE(8), &q);
    return err ? err : there ? 0 : HX_E_MISS;
}

/* Promise (K4): an operation says at once all that it lacks, waits for all of it, and runs twice in all. */
static void pages_asked_for_together_are_waited_for_together(void **state)
{
    (void)state;
    struct world *w = new_world(35, true);
    struct client c;
    struct todo t;
    open_now(&c, w, false);
    for (uint64_t i = 7; i < 10; i++)
        write_now(&c, i, i);
    close_now(&c);
    open_now(&c, w, false);
    start_call(&c, &t, get_three);
    assert_int_equal(t.op.park.page_count, 3);
    UNTIL(w, t.answers);
    assert_int_equal(t.err, 0);
    assert_int_equal(t.runs, 2);
    close_now(&c);
    free_world(w);
}

/* Promise: at most HX_SESSION_RUN_BATCH operations run in a row; then what they appended is sent.  Method: 300 writes
 * wait for one page. */
static void operations_run_in_bounded_rows(void **state)
{
    (void)state;
    struct world *w = new_world(36, true);
    struct client c;
    enum { N = 300 };
    struct todo *t = calloc(N, sizeof *t);
    open_now(&c, w, false);
    write_now(&c, 3, 1);
    close_now(&c);
    open_now(&c, w, false);
    for (unsigned i = 0; i < N; i++)
        start(&c, &t[i], WRITE, 3, 100 + i, false);
    assert_int_equal(hx_session_parked(c.s), N);
    UNTIL(w, c.under_way == 0);
    assert_int_equal(c.row_max, HX_SESSION_RUN_BATCH);
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(t[i].err, 0);
    close_now(&c);
    free(t);
    free_world(w);
}

static unsigned count_of_pages;

static int write_many(struct todo *t)
{
    struct hx_pager *p = hx_session_pager(t->c->s);
    uint64_t x = count_of_pages + t->value * 1000003 + 1;
    int err = hx_pager_begin(p);
    for (unsigned i = 0; i < count_of_pages && err == 0; i++) {
        uint8_t *q;
        err = hx_pager_edit(p, HX_PAGE(i), HX_EDIT_ZEROS, &q);
        for (size_t k = 0; k < HX_PAGE_SIZE && err == 0; k += 8) { /* nothing makes it smaller */
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            hx_put_u64(q + k, x);
        }
        if (err) {
            hx_pager_abort(p);
            return err;
        }
    }
    return err ? err : hx_pager_commit(p, &t->lsn);
}

static bool hung; /* what goes to the last server is swallowed: neither answer nor failure comes back */

static int hanging_next(void *obj, struct hx_effect *ret)
{
    static uint64_t swallowed[64];
    static unsigned n;
    struct client *c = obj;
    while (part_next(obj, ret)) {
        bool there = false;
        for (unsigned i = 0; i < n; i++)
            there |= swallowed[i] == ret->call;
        if (!hung || (ret->kind == HX_EFFECT_CANCEL && !there))
            return 1;
        if (ret->kind == HX_EFFECT_SEND) {
            if (strcmp(ret->server->name, c->w->servers[WORLD_SERVERS - 1].name) != 0)
                return 1;
            swallowed[n++ % HX_ARRAY_LEN(swallowed)] = ret->call;
        }
    }
    return 0;
}

/* Promise (W5, S2): an operation that waits for room goes on when there is room, also when nothing becomes durable at
 * that moment: all is durable already, and a hung server's request, which pinned the log, was cancelled. */
static void room_alone_lets_operations_go_on(void **state)
{
    (void)state;
    struct world *w = new_world(44, true);
    struct client c = {.w = w};
    struct todo t;
    struct hx_session_cfg cfg = config(w);
    hung = false;
    assert_int_equal(hx_session_new(&cfg, &c.s), 0);
    world_join(w, (struct world_part){&c, hanging_next, part_answer, part_failed, part_tick});
    UNTIL(w, c.last == HX_SESSION_OPEN);
    write_now(&c, 1, 1);
    UNTIL(w, world_under_way(w, &c, HX_PART_WRITER) == 0);
    hung = true;
    unsigned waited = 0;
    for (unsigned round = 0; round < 3; round++) {
        count_of_pages = round == 0 ? 110 : 220;
        start_call(&c, &t, write_many);
        waited += t.answers == 0;
        UNTIL(w, t.answers);
        assert_int_equal(t.err, 0);
        start(&c, &t, SYNC, 0, 0, true);
        UNTIL(w, t.answers);
        assert_int_equal(t.err, 0);
    }
    assert_true(waited > 0);
    vanish(&c);
    free_world(w);
}

/* ---- freeing before growth ---- */

static int lacks_a_page_first(struct todo *t)
{
    const uint8_t *q;
    int err = hx_pager_get(hx_session_pager(t->c->s), HX_PAGE(3), &q);
    t->reclaims += err == 0;
    return err;
}

static int lacks_room_first(struct todo *t)
{
    return t->reclaims++ == 0 ? HX_E_ROOM : 0;
}

/* Promise (O4): where freeing itself lacks a page, or room in the log, the operation waits for that, and the volume
 * grows only after the freeing had its turn. */
static void freeing_may_wait_and_comes_before_growth(void **state)
{
    static int (*const ways[])(struct todo *) = {lacks_a_page_first, lacks_room_first};
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(ways); i++) {
        struct world *w = new_world(37, true);
        struct client c;
        struct todo t, lazy;
        open_now(&c, w, false);
        write_now(&c, 3, 1);
        close_now(&c);
        open_now(&c, w, false);
        read_now(&c, 40);
        start(&c, &lazy, WRITE, 40, 1, false); /* what the log has yet to carry */
        assert_int_equal(lazy.answers, 1);
        t = (struct todo){.op = {.calls = &calls, .changes = true}, .c = &c, .what = WRITE, .page = PG_PAGES,
                          .value = 1, .reclaim = ways[i]};
        c.under_way++;
        hx_op_start(c.s, w->now_ms, &t.op);
        assert_int_equal(t.answers, 0);
        assert_int_equal(t.op.park.place, i == 0 ? HX_PARK_PAGES : HX_PARK_TURN);
        assert_int_equal(world_under_way(w, &c, HX_PART_GROWTH), 0);
        UNTIL(w, t.answers);
        assert_int_equal(t.err, 0);
        assert_true(t.reclaims > 0);
        assert_int_equal(c.grew, 2);
        close_now(&c);
        free_world(w);
    }
}

static const struct hx_op_calls few_calls = {call_run, call_durable, call_fail, call_keep, NULL, NULL};

/* Promise: who has nothing to free and nothing to clean up need not say so. */
static void an_operation_without_freeing_grows_at_once(void **state)
{
    (void)state;
    struct world *w = new_world(38, true);
    struct client c;
    struct todo t = {.op = {.calls = &few_calls, .changes = true}, .c = &c, .what = WRITE, .page = PG_PAGES,
                     .value = 1, .sync = true};
    open_now(&c, w, false);
    c.under_way++;
    hx_op_start(c.s, w->now_ms, &t.op);
    UNTIL(w, t.answers);
    assert_int_equal(t.err, 0);
    assert_int_equal(c.grew, 2);
    close_now(&c);
    free_world(w);
}

/* Promise: a volume grows ahead of need only while it is open for writing, once at a time. */
static void a_volume_grows_only_where_it_may(void **state)
{
    (void)state;
    struct world *w = new_world(39, true);
    struct client c;
    struct hx_session_cfg cfg = config(w);
    cfg.read_only = true;
    begin(&c, w, &cfg);
    hx_session_note_free(c.s, w->now_ms, 0); /* not open yet */
    UNTIL(w, c.last == HX_SESSION_OPEN);
    hx_session_note_free(c.s, w->now_ms, 0);
    pass(w, 3000);
    assert_int_equal(c.grew | c.not_grew, 0);
    close_now(&c);
    open_now(&c, w, false);
    for (unsigned i = 0; i < 5; i++)
        hx_session_note_free(c.s, w->now_ms, 0);
    UNTIL(w, c.grew == 2);
    pass(w, 3000);
    assert_int_equal(c.grew, 2);
    struct todo lazy;
    read_now(&c, 1);
    crash_servers(w, 0, 3);
    start(&c, &lazy, WRITE, 1, 1, false);
    assert_int_equal(lazy.err, 0);
    hx_session_close(c.s, w->now_ms);
    hx_session_note_free(c.s, w->now_ms, 0);
    pass(w, 3000);
    assert_int_equal(c.last, HX_SESSION_CLOSING);
    assert_int_equal(world_under_way(w, &c, HX_PART_GROWTH), 0);
    start_servers(w, 0, 3);
    UNTIL(w, c.last == HX_SESSION_CLOSED);
    assert_int_equal(c.grew, 2);
    vanish(&c);
    free_world(w);
}

/* ---- what is not open takes nothing ---- */

/* Promise (S3): on a session that is ending nothing can be parked that would never come out; what is no wait is given
 * back.  Method: the calls themselves, for operations of none of the tests' kinds. */
static void nothing_is_parked_where_nothing_comes_out(void **state)
{
    (void)state;
    struct world *w = new_world(40, true);
    struct client c;
    struct hx_parked op = {0};
    struct todo lazy;
    open_now(&c, w, false);
    assert_int_equal(hx_session_park(c.s, w->now_ms, &op, HX_E_CORRUPT), HX_E_CORRUPT);
    crash_servers(w, 0, 3);
    start(&c, &lazy, WRITE, 1, 1, false);
    hx_session_close(c.s, w->now_ms);
    assert_int_equal(hx_session_state(c.s), HX_SESSION_CLOSING);
    hx_session_close(c.s, w->now_ms); /* once more: the same */
    assert_int_equal(hx_session_state(c.s), HX_SESSION_CLOSING);
    assert_int_equal(hx_session_park(c.s, w->now_ms, &op, HX_E_ROOM), HX_E_CANCELED);
    assert_int_equal(hx_session_park_durable(c.s, w->now_ms, &op, hx_session_last(c.s)), HX_E_CANCELED);
    hx_writer_fence(hx_session_writer(c.s));
    UNTIL(w, c.last == HX_SESSION_FENCED);
    assert_int_equal(hx_session_park(c.s, w->now_ms, &op, HX_E_ROOM), HX_E_FENCED);
    assert_int_equal(hx_session_park_durable(c.s, w->now_ms, &op, HX_LSN(0)), HX_E_FENCED);
    assert_int_equal(hx_session_parked(c.s), 0);
    hx_session_close(c.s, w->now_ms);
    UNTIL(w, c.last == HX_SESSION_CLOSED);
    hx_session_close(c.s, w->now_ms);
    hx_session_abandon(c.s, w->now_ms);
    pass(w, 1000);
    assert_int_equal(hx_session_error(c.s), HX_E_FENCED);
    vanish(&c);
    free_world(w);
}

/* Promise (S4): an answer or a failure of a call that nobody has under way changes nothing, in any state, whichever
 * part it names. */
static void answers_to_nobody_change_nothing(void **state)
{
    static const enum hx_part parts[] = {HX_PART_WRITER, HX_PART_READER, HX_PART_RECOVERY,
                                         HX_PART_GROWTH, HX_PART_LOOKUP, HX_PART_HELLO};
    static const uint8_t junk[HX_REPLY_HEAD] = {1};
    (void)state;
    struct world *w = new_world(41, true);
    struct client c;
    struct hx_session_cfg cfg = config(w);
    begin(&c, w, &cfg);
    for (unsigned open = 0; open < 2; open++) {
        enum hx_session_state was = hx_session_state(c.s);
        for (size_t i = 0; i < HX_ARRAY_LEN(parts); i++) {
            uint64_t call = (uint64_t)parts[i] << 56 | 0x77777777;
            part_answer(&c, w->now_ms, call, (struct hx_bytes){junk, sizeof junk});
            part_failed(&c, w->now_ms, call, HX_E_TIMEOUT);
            assert_int_equal(hx_session_state(c.s), was);
        }
        UNTIL(w, c.last == HX_SESSION_OPEN);
    }
    write_now(&c, 1, 5);
    assert_int_equal(read_now(&c, 1), 5);
    close_now(&c);
    free_world(w);
}

/* ---- configuration and words ---- */

/* Promise: a name longer than names are is refused; sizes that are not given have their defaults; each state has a
 * name of its own, and what is no state none. */
static void what_is_configured_is_checked_or_has_a_default(void **state)
{
    (void)state;
    struct world *w = new_world(42, true);
    struct client c;
    struct hx_session *s = NULL;
    struct hx_session_cfg cfg = config(w);
    char name[HX_NAME_MAX + 2];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    cfg.name = name;
    assert_int_equal(hx_session_new(&cfg, &s), HX_E_INVAL);
    cfg.name = "v";
    cfg.cache_bytes = cfg.window_bytes = 0;
    begin(&c, w, &cfg);
    UNTIL(w, c.last == HX_SESSION_OPEN);
    for (uint64_t i = 0; i < PG_PAGES; i++)
        write_now(&c, i, i + 1);
    for (uint64_t i = 0; i < PG_PAGES; i++)
        assert_int_equal(read_now(&c, i), i + 1);
    close_now(&c);
    free_world(w);
    for (int a = HX_SESSION_LOOKUP; a <= HX_SESSION_FAILED; a++) {
        assert_string_not_equal(hx_session_state_name(a), "?");
        for (int b = HX_SESSION_LOOKUP; b < a; b++)
            assert_string_not_equal(hx_session_state_name(a), hx_session_state_name(b));
    }
    assert_string_equal(hx_session_state_name(HX_SESSION_FAILED + 1), "?");
}

static uint64_t time_of_newest_frame(const struct world *w)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < w->mail_count; i++) {
        const struct world_mail *m = w->mail[i];
        struct hx_msg_head h;
        struct hx_append_head a;
        struct hx_frame_head f;
        struct hx_bytes body;
        if (m->from_node >= 0 || hx_msg_decode(m->bytes, m->len, &h, &body) != 0 || h.type != HX_MSG_APPEND)
            continue;
        struct hx_dec d = hx_dec_init(body.p, body.len);
        hx_append_head_decode(&a, &d);
        assert_int_equal(d.err, 0);
        for (uint32_t k = 0; k < a.frame_count; k++) {
            assert_int_equal(hx_frame_head_decode(body.p + d.off, body.len - d.off, &f), 0);
            newest = f.time_us > newest ? f.time_us : newest;
            d.off += hx_frame_bytes(&f);
        }
    }
    return newest;
}

/* Promise (pitfall 75): records are labelled with the time that the session was told last, before it opened or after;
 * a clock that steps back does not take the labels with it. */
static void records_are_labelled_with_the_time(void **state)
{
    (void)state;
    struct world *w = new_world(43, true);
    struct client c;
    struct todo t;
    struct hx_session_cfg cfg = config(w);
    static const uint64_t told[] = {5000000, 7000000, 6000000};
    static const uint64_t label[] = {5000000, 7000000, 7000000};
    begin(&c, w, &cfg);
    hx_session_set_info(c.s, "{}"); /* nobody to tell it yet */
    for (size_t i = 0; i < HX_ARRAY_LEN(told); i++) {
        hx_session_set_time(c.s, told[i]);
        UNTIL(w, c.last == HX_SESSION_OPEN && world_under_way(w, &c, HX_PART_WRITER) == 0);
        start(&c, &t, WRITE, 3, i, true);
        UNTIL(w, time_of_newest_frame(w) == label[i]);
        UNTIL(w, t.answers);
    }
    close_now(&c);
    free_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sync_waits_exactly_for_what_is_not_durable),
        cmocka_unit_test(an_operation_that_cannot_be_kept_fails_once),
        cmocka_unit_test(nothing_waits_for_durability_after_the_fence),
        cmocka_unit_test(an_operation_whose_time_is_up_does_not_wait_again),
        cmocka_unit_test(pages_asked_for_together_are_waited_for_together),
        cmocka_unit_test(operations_run_in_bounded_rows),
        cmocka_unit_test(room_alone_lets_operations_go_on),
        cmocka_unit_test(freeing_may_wait_and_comes_before_growth),
        cmocka_unit_test(an_operation_without_freeing_grows_at_once),
        cmocka_unit_test(a_volume_grows_only_where_it_may),
        cmocka_unit_test(nothing_is_parked_where_nothing_comes_out),
        cmocka_unit_test(answers_to_nobody_change_nothing),
        cmocka_unit_test(what_is_configured_is_checked_or_has_a_default),
        cmocka_unit_test(records_are_labelled_with_the_time),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("session_rules", tests, NULL, NULL);
}
