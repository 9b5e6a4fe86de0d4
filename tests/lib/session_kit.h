/*
 * session_kit.h - clients (hx_session) with operations, over the world of reopen_world.h: six real segment servers on
 * disks in memory, messages in random order, virtual time.
 *
 * What every client checks by itself: each operation is answered exactly once (O1, S3, S5), a durable answer comes only
 * when VDL >= its LSN (S1), nothing comes after CLOSED is told, and no request of a part that has gone is under way.
 */
#ifndef HEXAD_TESTS_SESSION_KIT_H
#define HEXAD_TESTS_SESSION_KIT_H

#include "reopen_world.h"

#include "hexad/fs.h"
#include "hexad/op.h"
#include "hexad/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define STEPS_MAX 200000
#define PG_PAGES 256u
#define CACHE (4u << 20)
#define WINDOW (4u * 300 * 1024)
#define LAL 500u

/* ---- clients and operations ---- */
struct client {
    struct world *w;
    struct hx_session *s;
    unsigned told;              /* bits: states that were told */
    enum hx_session_state last; /* of them */
    char waiting[512];
    unsigned idles, grew, not_grew, successors, waits_told;
    unsigned idle_this_tick;
    bool secretive;             /* does not say who it is */
    size_t under_way;           /* operations begun and not answered */
    unsigned row, row_max;      /* operations run between two requests */
};

enum what { WRITE, READ, CALL, SYNC };
struct todo {
    struct hx_op op;
    struct client *c;
    enum what what;
    int (*call)(struct todo *t); /* CALL: of the filesystem */
    struct hx_fs *fs;
    uint64_t page, value;       /* written; read */
    bool sync;
    unsigned answers, runs, kept;
    unsigned reclaims;          /* steps of freeing that are left */
    int (*reclaim)(struct todo *t);
    bool no_memory;             /* to keep it */
    int err;
    struct hx_lsn lsn;
    uint64_t order;             /* of the answer */
};

static uint64_t answers_given;

static inline struct todo *todo_of(struct hx_op *op)
{
    return HX_CONTAINER_OF(op, struct todo, op);
}

static inline void answer(struct todo *t, int err)
{
    assert_int_equal(++t->answers, 1); /* O1 */
    t->err = err;
    t->order = ++answers_given;
    t->c->under_way--;
}

static inline int run_write(struct todo *t)
{
    struct hx_pager *p = hx_session_pager(t->c->s);
    uint8_t *q;
    if (t->page >= hx_pager_pages(p))
        return HX_E_GROW;
    int err = hx_pager_begin(p);
    if (err)
        return err;
    err = hx_pager_edit(p, HX_PAGE(t->page), HX_EDIT_KEEP, &q);
    if (err) {
        hx_pager_abort(p);
        return err;
    }
    hx_put_u64(q, t->value);
    for (size_t i = 8; i < HX_PAGE_SIZE; i += 8) /* large records, that no compression makes small */
        hx_put_u64(q + i, (t->value + i) * UINT64_C(0x9e3779b97f4a7c15) ^ i << 33);
    err = hx_pager_commit(p, &t->lsn);
    if (err)
        return err;
    if (t->sync)
        return hx_op_when_durable(t->c->s, &t->op);
    answer(t, 0);
    return 0;
}

static inline int run_read(struct todo *t)
{
    const uint8_t *q;
    int err = hx_pager_get(hx_session_pager(t->c->s), HX_PAGE(t->page), &q);
    if (err)
        return err;
    t->value = hx_get_u64(q);
    answer(t, 0);
    return 0;
}

static inline int run_call(struct todo *t)
{
    int err = t->call(t);
    if (err)
        return err;
    answer(t, 0);
    return 0;
}

static inline int call_run(struct hx_op *op)
{
    struct todo *t = todo_of(op);
    t->runs++;
    if (t->what == SYNC)
        return hx_op_when_durable(t->c->s, &t->op);
    return t->what == WRITE ? run_write(t) : t->what == READ ? run_read(t) : run_call(t);
}

static inline void call_durable(struct hx_op *op)
{
    struct todo *t = todo_of(op);
    assert_true(hx_session_vdl(t->c->s).v >= t->lsn.v); /* S1 */
    answer(t, 0);
}

static inline void call_fail(struct hx_op *op, int err)
{
    assert_int_not_equal(err, 0);
    answer(todo_of(op), err);
}

static inline struct hx_op *call_keep(struct hx_op *op)
{
    todo_of(op)->kept++;
    return todo_of(op)->no_memory ? NULL : op;
}

static inline void call_done(struct hx_op *op)
{
    assert_int_equal(todo_of(op)->answers, 1);
}

static inline int call_reclaim(struct hx_op *op)
{
    struct todo *t = todo_of(op);
    if (t->reclaim)
        return t->reclaim(t);
    if (t->fs) /* as the mount does it */
        return hx_fs_has_work(t->fs) ? hx_fs_reap(t->fs) : 0;
    if (t->reclaims == 0)
        return 0;
    t->reclaims--;
    return 1;
}

static const struct hx_op_calls calls = {call_run, call_durable, call_fail, call_keep, call_done, call_reclaim};

static inline void start_with_garbage(struct client *c, struct todo *t, enum what what, uint64_t page, uint64_t value,
                               bool sync, unsigned reclaims)
{
    *t = (struct todo){.op = {.calls = &calls, .changes = what == WRITE}, .c = c, .what = what, .page = page,
                       .value = value, .sync = sync, .reclaims = reclaims};
    c->under_way++;
    hx_op_start(c->s, c->w->now_ms, &t->op);
}

static inline void start(struct client *c, struct todo *t, enum what what, uint64_t page, uint64_t value, bool sync)
{
    start_with_garbage(c, t, what, page, value, sync, 0);
}

/* ---- the session as a part of the world ---- */
static inline void told(struct client *c, enum hx_session_state to)
{
    assert_int_not_equal(c->last, HX_SESSION_CLOSED);
    c->told |= 1u << to;
    c->last = to;
    if (to != HX_SESSION_FENCED) /* which asks who it was */
        assert_int_equal(world_under_way(c->w, c, HX_PART_LOOKUP), 0);
    if (to != HX_SESSION_RECOVERY)
        assert_int_equal(world_under_way(c->w, c, HX_PART_RECOVERY), 0);
    if (to == HX_SESSION_FENCED || to == HX_SESSION_CLOSED)
        assert_int_equal(world_under_way(c->w, c, HX_PART_GROWTH), 0);
    if (to == HX_SESSION_FAILED)
        assert_int_equal(world_under_way(c->w, c, 0), 0);
    if (to == HX_SESSION_OPEN && !c->secretive)
        hx_session_set_info(c->s, "{\"host\":\"h\"}");
    if (to == HX_SESSION_CLOSED)
        assert_int_equal(c->under_way, 0); /* S3 */
}

static inline int part_next(void *obj, struct hx_effect *ret)
{
    struct client *c = obj;
    struct hx_session_effect e;
    while (hx_session_next(c->s, &e)) {
        switch (e.kind) {
        case HX_SESSION_SEND:
        case HX_SESSION_CANCEL:
            assert_true(c->last != HX_SESSION_CLOSED && c->last != HX_SESSION_FAILED);
            if (c->last == HX_SESSION_FENCED && e.kind == HX_SESSION_SEND)
                assert_int_equal(hx_call_part(e.net.call), HX_PART_LOOKUP); /* W3 */
            c->row = 0;
            *ret = e.net;
            return 1;
        case HX_SESSION_CANCEL_PART:
            world_cancel_part(c->w, c, e.part);
            break;
        case HX_SESSION_RUN:
            if (++c->row > c->row_max)
                c->row_max = c->row;
            hx_op_again(c->s, c->w->now_ms, e.op);
            break;
        case HX_SESSION_STATE:
            assert_int_equal(e.state, hx_session_state(c->s));
            told(c, e.state);
            break;
        case HX_SESSION_WAITING:
            snprintf(c->waiting, sizeof c->waiting, "%s", e.text);
            c->waits_told += e.text[0] != '\0';
            break;
        case HX_SESSION_GREW:
            c->grew = e.count;
            break;
        case HX_SESSION_NOT_GREW:
            c->not_grew++;
            break;
        case HX_SESSION_BAD_PAGE:
            fail_msg("page %llu: error %d", (unsigned long long)e.page.v, e.err);
            break;
        case HX_SESSION_SUCCESSOR:
            c->successors++;
            break;
        case HX_SESSION_IDLE:
            assert_int_equal(hx_session_state(c->s), HX_SESSION_OPEN);
            assert_int_equal(++c->idle_this_tick, 1);
            c->idles++;
            break;
        }
    }
    return 0;
}

static inline void part_answer(void *obj, uint64_t now, uint64_t call, struct hx_bytes body)
{
    hx_session_answer(((struct client *)obj)->s, now, now * 1000, call, body);
}

static inline void part_failed(void *obj, uint64_t now, uint64_t call, int err)
{
    hx_session_failed(((struct client *)obj)->s, now, call, err);
}

static inline uint64_t part_tick(void *obj, uint64_t now)
{
    struct client *c = obj;
    c->idle_this_tick = 0;
    return hx_session_tick(c->s, now);
}

static inline struct hx_session_cfg config(struct world *w)
{
    struct hx_session_cfg cfg = {.name = "v", .servers = w->servers, .server_count = WORLD_SERVERS,
                                 .cache_bytes = CACHE, .window_bytes = WINDOW, .seed = world_random(w),
                                 .now_ms = w->now_ms};
    hx_put_u64(cfg.owner.b, world_random(w));
    hx_put_u64(cfg.owner.b + 8, world_random(w));
    return cfg;
}

static inline void begin(struct client *c, struct world *w, const struct hx_session_cfg *cfg)
{
    *c = (struct client){.w = w};
    assert_int_equal(hx_session_new(cfg, &c->s), 0);
    world_join(w, (struct world_part){c, part_next, part_answer, part_failed, part_tick});
}

/* As kill -9. */
static inline void vanish(struct client *c)
{
    world_leave(c->w, c);
    hx_session_free(c->s);
    c->s = NULL;
    c->under_way = 0;
}

/* Steps until COND; the test ends when it does not come. */
#define UNTIL(w, cond)                                                                                  \
    do {                                                                                                \
        int steps_ = 0;                                                                                 \
        while (!(cond)) {                                                                               \
            if (++steps_ > STEPS_MAX)                                                                   \
                fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #cond);                                \
            world_step(w);                                                                              \
        }                                                                                               \
    } while (0)

static inline void pass(struct world *w, uint64_t ms)
{
    uint64_t until = w->now_ms + ms;
    UNTIL(w, w->now_ms >= until);
}

static inline void open_now(struct client *c, struct world *w, bool takeover)
{
    struct hx_session_cfg cfg = config(w);
    cfg.takeover = takeover;
    begin(c, w, &cfg);
    UNTIL(w, c->last == HX_SESSION_OPEN || c->last == HX_SESSION_FAILED);
    if (c->last != HX_SESSION_OPEN)
        fail_msg("not open: %d %s", hx_session_error(c->s), hx_session_why(c->s));
}

static inline void close_now(struct client *c)
{
    hx_session_close(c->s, c->w->now_ms);
    UNTIL(c->w, c->last == HX_SESSION_CLOSED);
    assert_int_equal(hx_session_error(c->s), 0);
    vanish(c);
}

static inline uint64_t read_now(struct client *c, uint64_t page)
{
    struct todo t;
    start(c, &t, READ, page, 0, false);
    UNTIL(c->w, t.answers);
    assert_int_equal(t.err, 0);
    return t.value;
}

static inline void write_now(struct client *c, uint64_t page, uint64_t value)
{
    struct todo t;
    start(c, &t, WRITE, page, value, true);
    UNTIL(c->w, t.answers);
    assert_int_equal(t.err, 0);
}

/* ---- the world with a volume in it ---- */
static inline int create_next(void *o, struct hx_effect *e)
{
    return hx_create_next(o, e);
}
static inline void create_answer(void *o, uint64_t now, uint64_t call, struct hx_bytes b)
{
    hx_create_answer(o, now, call, b);
}
static inline void create_failed(void *o, uint64_t now, uint64_t call, int err)
{
    hx_create_failed(o, now, call, err);
}
static inline uint64_t create_tick(void *o, uint64_t now)
{
    return hx_create_tick(o, now);
}

static inline struct world *new_world(uint64_t seed, bool with_volume)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    world_init(w, seed);
    if (!with_volume)
        return w;
    struct hx_create *c;
    struct hx_create_cfg cfg = {.name = "v", .pg_bytes = PG_PAGES * HX_PAGE_SIZE, .lal = LAL, .created_us = 1,
                                .now_ms = w->now_ms, .servers = w->servers, .server_count = WORLD_SERVERS};
    hx_put_u64(cfg.volume.b, 77);
    hx_put_u64(cfg.owner.b, 78);
    assert_int_equal(hx_create_new(&cfg, &c), 0);
    world_join(w, (struct world_part){c, create_next, create_answer, create_failed, create_tick});
    UNTIL(w, hx_create_state(c) != HX_E_AGAIN);
    assert_int_equal(hx_create_state(c), 0);
    world_leave(w, c);
    hx_create_free(c);
    return w;
}

static inline void free_world(struct world *w)
{
    world_fini(w);
    free(w);
}

static inline void crash_servers(struct world *w, unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++)
        world_crash(w, i);
}

static inline void start_servers(struct world *w, unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++)
        world_start(w, i);
}

#endif
