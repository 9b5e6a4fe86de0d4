/*
 * test_nomem_session.c - a session for which the k-th allocation fails, once or from then on: while it looks the volume
 * up, recovers, runs operations, grows and closes.
 *
 * Method (alloc_fault.h): one script runs for each k until it has fewer allocations; faults are armed inside the
 * session only.  Memory that lacks once is borne, or ends the opening with NOMEM, or is the answer of an operation;
 * when it lacks for good, so much is said.  Either way each operation is answered once, and afterwards a session with
 * memory opens the volume and finds what was durable.
 */
#include "reopen_world.h"

#include "alloc_fault.h"
#include "hexad/op.h"
#include "hexad/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define STEPS_MAX 60000
#define PG_PAGES 256u
#define TODOS 12u

struct client;
struct todo {
    struct hx_op op;
    struct client *c;
    uint64_t page, value;
    bool write;
    unsigned answers;
    int err;
};
struct client {
    struct world w;
    struct hx_session *s;
    struct todo t[TODOS];
    enum hx_session_state last;
    uint64_t durable[TODOS]; /* value per page number */
    unsigned nomem;          /* operations that were answered so */
};
static bool struck;

static void lift(void)
{
    struck |= alloc_fault_happened();
    alloc_fault_plan(0, false);
}

/* ---- operations ---- */
static struct todo *of(struct hx_op *op)
{
    return HX_CONTAINER_OF(op, struct todo, op);
}

static void answer(struct todo *t, int err)
{
    assert_int_equal(++t->answers, 1); /* O1 */
    t->err = err;
    t->c->nomem += err == HX_E_NOMEM;
}

static int run(struct hx_op *op)
{
    struct todo *t = of(op);
    struct hx_pager *p = hx_session_pager(t->c->s);
    const uint8_t *q;
    uint8_t *edit;
    struct hx_lsn lsn;
    int err;
    if (t->page >= hx_pager_pages(p))
        return HX_E_GROW;
    if (!t->write) {
        err = hx_pager_get(p, HX_PAGE(t->page), &q);
        if (err == 0) {
            t->value = hx_get_u64(q);
            answer(t, 0);
        }
        return err;
    }
    err = hx_pager_begin(p);
    if (err)
        return err;
    err = hx_pager_edit(p, HX_PAGE(t->page), HX_EDIT_KEEP, &edit);
    if (err) {
        hx_pager_abort(p);
        return err;
    }
    hx_put_u64(edit, t->value);
    err = hx_pager_commit(p, &lsn);
    return err ? err : hx_op_when_durable(t->c->s, op);
}

static void durable(struct hx_op *op)
{
    answer(of(op), 0);
}

static void fail_op(struct hx_op *op, int err)
{
    answer(of(op), err);
}

static struct hx_op *keep(struct hx_op *op)
{
    return op;
}

static const struct hx_op_calls calls = {run, durable, fail_op, keep, NULL, NULL};

static void start(struct client *c, unsigned i, uint64_t page, bool write, uint64_t value)
{
    c->t[i] = (struct todo){
        .op = {.calls = &calls, .changes = write}, .c = c, .page = page, .value = value, .write = write};
    ALLOC_FAULTS(hx_op_start(c->s, c->w.now_ms, &c->t[i].op));
}

/* ---- the session in the world: faults strike inside of it ---- */
static int part_next(void *obj, struct hx_effect *ret)
{
    struct client *c = obj;
    struct hx_session_effect e;
    int more;
    for (;;) {
        ALLOC_FAULTS(more = hx_session_next(c->s, &e));
        if (!more)
            return 0;
        if (e.kind == HX_SESSION_SEND || e.kind == HX_SESSION_CANCEL) {
            *ret = e.net;
            return 1;
        }
        if (e.kind == HX_SESSION_CANCEL_PART)
            world_cancel_part(&c->w, c, e.part);
        else if (e.kind == HX_SESSION_RUN)
            ALLOC_FAULTS(hx_op_again(c->s, c->w.now_ms, e.op));
        else if (e.kind == HX_SESSION_STATE)
            c->last = e.state;
    }
}

static void part_answer(void *obj, uint64_t now, uint64_t call, struct hx_bytes body)
{
    ALLOC_FAULTS(hx_session_answer(((struct client *)obj)->s, now, now * 1000, call, body));
}

static void part_failed(void *obj, uint64_t now, uint64_t call, int err)
{
    ALLOC_FAULTS(hx_session_failed(((struct client *)obj)->s, now, call, err));
}

static uint64_t part_tick(void *obj, uint64_t now)
{
    uint64_t ms;
    ALLOC_FAULTS(ms = hx_session_tick(((struct client *)obj)->s, now));
    return ms;
}

static int create_next(void *o, struct hx_effect *e)
{
    return hx_create_next(o, e);
}
static void create_answer(void *o, uint64_t now, uint64_t call, struct hx_bytes b)
{
    hx_create_answer(o, now, call, b);
}
static void create_failed(void *o, uint64_t now, uint64_t call, int err)
{
    hx_create_failed(o, now, call, err);
}
static uint64_t create_tick(void *o, uint64_t now)
{
    return hx_create_tick(o, now);
}

static void make_volume(struct client *c)
{
    struct hx_create *v;
    struct hx_create_cfg cfg = {.name = "v", .pg_bytes = PG_PAGES * HX_PAGE_SIZE, .lal = 500, .created_us = 1,
                                .now_ms = c->w.now_ms, .servers = c->w.servers, .server_count = WORLD_SERVERS};
    hx_put_u64(cfg.volume.b, 77);
    hx_put_u64(cfg.owner.b, 78);
    assert_int_equal(hx_create_new(&cfg, &v), 0);
    world_join(&c->w, (struct world_part){v, create_next, create_answer, create_failed, create_tick});
    for (int i = 0; i < STEPS_MAX && hx_create_state(v) == HX_E_AGAIN; i++)
        world_step(&c->w);
    assert_int_equal(hx_create_state(v), 0);
    world_leave(&c->w, v);
    hx_create_free(v);
}

/* 0, or why there is none. */
static int begin(struct client *c)
{
    int err;
    struct hx_session_cfg cfg = {.name = "v", .servers = c->w.servers, .server_count = WORLD_SERVERS,
                                 .takeover = true, .cache_bytes = 4u << 20, .window_bytes = 2u << 20,
                                 .soft_ms = 20000, .seed = world_random(&c->w), .now_ms = c->w.now_ms};
    hx_put_u64(cfg.owner.b, world_random(&c->w));
    c->last = 0;
    ALLOC_FAULTS(err = hx_session_new(&cfg, &c->s));
    if (err)
        return err;
    world_join(&c->w, (struct world_part){c, part_next, part_answer, part_failed, part_tick});
    for (int i = 0; i < STEPS_MAX && c->last != HX_SESSION_OPEN && c->last != HX_SESSION_FAILED; i++)
        world_step(&c->w);
    assert_true(c->last == HX_SESSION_OPEN || c->last == HX_SESSION_FAILED);
    return hx_session_error(c->s);
}

static bool all_answered(const struct client *c)
{
    for (unsigned i = 0; i < TODOS; i++)
        if (c->t[i].c && !c->t[i].answers)
            return false;
    return true;
}

static void settle(struct client *c)
{
    for (int i = 0; i < STEPS_MAX && !all_answered(c); i++)
        world_step(&c->w);
    assert_true(all_answered(c));
}

static void leave(struct client *c)
{
    world_leave(&c->w, c);
    hx_session_free(c->s);
    c->s = NULL;
    memset(c->t, 0, sizeof c->t);
}

static bool may_lack(int err)
{
    /* TIMEOUT: it was asked for again and again, until the bound. */
    return err == 0 || err == HX_E_NOMEM || err == HX_E_TIMEOUT || err == HX_E_NO_WRITE_QUORUM ||
           err == HX_E_NO_READ_QUORUM || err == HX_E_CANCELED;
}

/* Opens, writes, reads, grows, closes. */
static void script(struct client *c, uint64_t k, bool always)
{
    make_volume(c);
    assert_int_equal(begin(c), 0);
    start(c, 0, 200, true, 1); /* pages of a group without a record would not be asked for */
    settle(c);
    leave(c);
    alloc_fault_plan(k, always);
    int err = begin(c);
    if (!may_lack(err))
        fail_msg("k %llu: opening: %d", (unsigned long long)k, err);
    if (err == 0) {
        for (unsigned i = 0; i < TODOS; i++)
            start(c, i, i == 11 ? PG_PAGES + 1 : i * 9, i % 4 != 3, 100 + i);
        settle(c);
        for (unsigned i = 0; i < TODOS; i++) {
            if (!may_lack(c->t[i].err))
                fail_msg("k %llu: operation %u: %d", (unsigned long long)k, i, c->t[i].err);
            if (c->t[i].write && c->t[i].err == 0)
                c->durable[i] = c->t[i].value;
        }
    }
    lift(); /* memory is back: it can still end in order */
    if (c->s) {
        hx_session_close(c->s, c->w.now_ms);
        for (int i = 0; i < STEPS_MAX && c->last != HX_SESSION_CLOSED; i++)
            world_step(&c->w);
        assert_int_equal(c->last, HX_SESSION_CLOSED);
        leave(c);
    }
    assert_int_equal(begin(c), 0);
    for (unsigned i = 0; i < TODOS; i++)
        if (c->durable[i]) {
            start(c, i, i * 9, false, 0);
            settle(c);
            assert_int_equal(c->t[i].err, 0);
            assert_int_equal(c->t[i].value, c->durable[i]);
        }
    leave(c);
}

/* Promise: see the head of this file.  Every k of the first 300, then one of ten. */
static void a_session_bears_want_of_memory(void **state)
{
    (void)state;
    for (unsigned always = 0; always < 2; always++) {
        uint64_t k = 1, answered = 0, runs = 0;
        for (struck = true; struck; k += k < 300 ? 1 : 10) {
            struct client *c = calloc(1, sizeof *c);
            assert_non_null(c);
            world_init(&c->w, 3);
            struck = false;
            script(c, k, always);
            answered += c->nomem;
            runs++;
            world_fini(&c->w);
            free(c);
        }
        print_message("# about %llu allocations, %llu runs, %llu operations answered with NOMEM\n",
                      (unsigned long long)k, (unsigned long long)runs, (unsigned long long)answered);
        assert_true(answered > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_bears_want_of_memory),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("nomem_session", tests, NULL, NULL);
}
