/*
 * test_nomem_session.c - hx_session, the volume client without its sockets, when its k-th allocation fails, once or
 * from then on, for every k: opening, operations that wait, growth, closing.  The six servers keep their memory.
 *
 * Method (alloc_fault.h): faults are armed around calls of the session only.  A session that cannot be made or opened
 * says NOMEM; an operation that cannot wait, or is given up, says NOMEM; none is lost (each that was parked comes
 * back); and a session with memory then finds everything that was durable.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "alloc_fault.h"
#include "reopen_world.h"

#include "hexad/place.h"
#include "hexad/session.h"

#include <stdlib.h>

#define STEPS_MAX 1000
#define PAGES 5u

struct user {
    struct world w;
    struct hx_geometry geometry;
    struct hx_session *s;
    struct hx_parked op;
    bool back;     /* op came back through RUN */
    uint8_t durable[PAGES];
    uint8_t who;
};
static bool struck;

static void lift(void)
{
    struck |= alloc_fault_happened();
    alloc_fault_plan(0, false);
}

/* ---- the session as a part of the world ---- */
static void cancel_part(struct user *u, enum hx_part part)
{
    for (size_t i = 0; i < u->w.mail_count; i++)
        if (u->w.mail[i]->obj == u && hx_call_part(u->w.mail[i]->call) == part)
            u->w.mail[i]->obj = NULL;
}

static int next(void *o, struct hx_effect *ret)
{
    struct user *u = o;
    struct hx_session_effect e;
    int more;
    for (;;) {
        ALLOC_FAULTS(more = hx_session_next(u->s, &e));
        if (!more)
            return 0;
        if (e.kind == HX_SESSION_SEND || e.kind == HX_SESSION_CANCEL) {
            *ret = e.net;
            return 1;
        }
        if (e.kind == HX_SESSION_CANCEL_PART)
            cancel_part(u, e.part);
        if (e.kind == HX_SESSION_RUN) {
            assert_ptr_equal(e.op, &u->op);
            assert_false(u->back);
            u->back = true;
        }
    }
}

static void answered(void *o, uint64_t now, uint64_t call, struct hx_bytes body)
{
    ALLOC_FAULTS(hx_session_answer(((struct user *)o)->s, now, now * 1000, call, body));
}

static void failed(void *o, uint64_t now, uint64_t call, int err)
{
    ALLOC_FAULTS(hx_session_failed(((struct user *)o)->s, now, call, err));
}

static uint64_t tick(void *o, uint64_t now)
{
    uint64_t wait;
    ALLOC_FAULTS(wait = hx_session_tick(((struct user *)o)->s, now));
    return wait;
}

/* A volume of one group, made past the network. */
static void make(struct user *u)
{
    uint8_t b[4096];
    struct hx_pg_members m;
    struct hx_history h = {0};
    u->geometry = (struct hx_geometry){.volume = {{77}}, .name = "v", .pg_bytes = HX_PG_SIZE_MIN, .lal = 500,
                                       .created_us = 1, .epoch = {1}};
    for (unsigned i = 0; i < WORLD_SERVERS; i++)
        assert_int_equal(hx_geometry_add_server(&u->geometry, &u->w.servers[i]), 0);
    assert_int_equal(hx_place_group(&u->geometry, NULL, &m), 0);
    assert_int_equal(hx_geometry_add_pg(&u->geometry, &m), 0);
    assert_int_equal(hx_history_push(&h, (struct hx_history_entry){{1}, {0}, {0}, 500}), 0);
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_geometry_encode(&u->geometry, &e);
    hx_history_encode(&h, &e);
    for (unsigned i = 0; i < WORLD_SERVERS; i++) {
        struct hx_msg_head q = {.type = HX_MSG_FORMAT, .volume = u->geometry.volume, .epoch = {1}, .g = 1};
        struct hx_bytes reply;
        world_ask(&u->w, i, &q, (struct hx_bytes){b, e.len}, &reply);
        free((void *)(uintptr_t)reply.p);
    }
    hx_history_fini(&h);
}

static void leave(struct user *u)
{
    world_leave(&u->w, u);
    hx_session_free(u->s);
    u->s = NULL;
}

static int open_session(struct user *u)
{
    struct hx_session_cfg cfg = {.name = "v", .servers = u->w.servers, .server_count = WORLD_SERVERS,
                                 .takeover = true, .cache_bytes = 4u << 20, .window_bytes = 4u * 300 * 1024,
                                 .owner = {{++u->who, 9}}, .seed = 3, .now_ms = u->w.now_ms};
    int err;
    ALLOC_FAULTS(err = hx_session_new(&cfg, &u->s));
    if (err)
        return err;
    world_join(&u->w, (struct world_part){u, next, answered, failed, tick});
    for (int i = 0; i < STEPS_MAX && hx_session_state(u->s) < HX_SESSION_OPEN; i++)
        world_step(&u->w);
    if (hx_session_state(u->s) == HX_SESSION_OPEN)
        return 0;
    if (hx_session_state(u->s) == HX_SESSION_FAILED) {
        err = hx_session_error(u->s);
    } else { /* it tries for as long as it may, and says what is missing */
        assert_non_null(strstr(hx_session_waiting(u->s), "out of memory"));
        err = HX_E_NOMEM;
    }
    leave(u);
    return err;
}

/* ---- one operation at a time ---- */
static int once(struct user *u, uint64_t page, uint8_t byte, struct hx_lsn *ret)
{
    struct hx_pager *p = hx_session_pager(u->s);
    uint8_t *q;
    hx_session_begin(u->s);
    if (hx_session_gated(u->s))
        return HX_E_ROOM;
    if (page >= hx_pager_pages(p))
        return HX_E_GROW;
    int err = hx_pager_begin(p);
    if (err)
        return err;
    err = hx_pager_edit(p, HX_PAGE(page), HX_EDIT_KEEP, &q);
    if (err) {
        hx_pager_abort(p);
        return err;
    }
    memset(q, byte, 900);
    return hx_pager_commit(p, ret);
}

/* Waits until the parked operation comes back: every one does. */
static int come_back(struct user *u)
{
    for (int i = 0; i < STEPS_MAX && !u->back; i++)
        world_step(&u->w);
    if (!u->back && alloc_fault_happened()) { /* for as long as there is no memory it may wait */
        lift();
        for (int i = 0; i < STEPS_MAX && !u->back; i++)
            world_step(&u->w);
    }
    assert_true(u->back);
    return u->op.err;
}

/* 0, or the error that it is given up with. */
static int write_page(struct user *u, uint64_t page, uint8_t byte)
{
    struct hx_lsn lsn = {0};
    for (int tries = 0; tries < 40; tries++) {
        int err;
        ALLOC_FAULTS(err = once(u, page, byte, &lsn));
        if (err == 0)
            break;
        if (err != HX_E_MISS && err != HX_E_ROOM && err != HX_E_GROW)
            return err;
        u->back = false;
        ALLOC_FAULTS(err = hx_session_park(u->s, u->w.now_ms, &u->op, err));
        if (err || (err = come_back(u)))
            return err;
    }
    assert_int_not_equal(lsn.v, 0);
    u->back = false;
    int err;
    ALLOC_FAULTS(err = hx_session_park_durable(u->s, u->w.now_ms, &u->op, lsn));
    if (err == 0)
        err = come_back(u);
    if (err == 0 && page < PAGES)
        u->durable[page] = byte;
    return err;
}

static void check(struct user *u)
{
    for (unsigned i = 0; i < PAGES; i++) {
        const uint8_t *q;
        int err = HX_E_MISS;
        for (int tries = 0; tries < 40 && err == HX_E_MISS; tries++) {
            hx_session_begin(u->s);
            err = hx_pager_get(hx_session_pager(u->s), HX_PAGE(i), &q);
            if (err == HX_E_MISS) {
                u->back = false;
                assert_int_equal(hx_session_park(u->s, u->w.now_ms, &u->op, err), 0);
                assert_int_equal(come_back(u), 0);
            }
        }
        assert_int_equal(err, 0);
        if (q[899] != u->durable[i])
            fail_msg("page %u is %u, durable was %u", i, q[899], u->durable[i]);
    }
}

static void close_session(struct user *u)
{
    ALLOC_FAULTS(hx_session_close(u->s, u->w.now_ms));
    for (int i = 0; i < STEPS_MAX && hx_session_state(u->s) != HX_SESSION_CLOSED; i++)
        world_step(&u->w);
    assert_int_equal(hx_session_state(u->s), HX_SESSION_CLOSED);
    leave(u);
}

static void assert_nomem(int err, const char *what, uint64_t k)
{
    if (err != HX_E_NOMEM)
        fail_msg("%s, allocation %llu failed: %d", what, (unsigned long long)k, err);
}

static void life(struct user *u, uint64_t k)
{
    uint64_t room;
    int err = open_session(u);
    if (err) {
        assert_nomem(err, "opening", k);
        lift();
        assert_int_equal(open_session(u), 0);
    }
    for (unsigned i = 0; i < PAGES; i++) {
        err = write_page(u, i, (uint8_t)(10 + i));
        if (err)
            assert_nomem(err, "a write", k);
    }
    ALLOC_FAULTS(err = hx_session_room(u->s, u->w.now_ms, &room));
    assert_true(err == 0 || err == HX_E_AGAIN || err == HX_E_NOMEM);
    err = write_page(u, 300, 7); /* in a group that is not there yet */
    if (err && err != HX_E_NOSPACE)
        assert_nomem(err, "a write that needs growth", k);
    close_session(u);
    lift();
    assert_int_equal(open_session(u), 0);
    check(u);
    for (unsigned i = 0; i < PAGES; i++)
        assert_int_equal(write_page(u, i, (uint8_t)(30 + i)), 0);
    assert_int_equal(write_page(u, 300, 8), 0);
    check(u);
    close_session(u);
}

/* Promise: a session without memory says so, forgets no operation, and leaves what was durable to the next one. */
static void a_session_without_memory_loses_nothing(void **state)
{
    uint64_t k = 1;
    (void)state;
    for (unsigned always = 0; always < 2; always++)
        for (k = 1, struck = true; struck; k++) {
            struct user *u = calloc(1, sizeof *u);
            assert_non_null(u);
            world_init(&u->w, 3);
            make(u);
            struck = false;
            alloc_fault_plan(k, always);
            life(u, k);
            lift();
            world_fini(&u->w);
            hx_geometry_fini(&u->geometry);
            free(u);
        }
    print_message("# %llu allocations\n", (unsigned long long)k - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_without_memory_loses_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("nomem_session", tests, NULL, NULL);
}
