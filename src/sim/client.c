/*
 * client.c - see client.h: carries the effects of a session to the simulated network and its events back.
 *
 * Does what src/vol and src/fuse do around the same session, and decides nothing but when a process gives up:
 * an opening that failed, and a mount that was fenced, die after a pause in which programs go on trying.
 *
 * Memory: one session and one set of programs a client; freed at its death.
 */
#include "client.h"

#include "faults.h"
#include "net.h"
#include "oracle.h"
#include "server.h"
#include "work.h"

#include "hexad/assert.h"
#include "hexad/err.h"
#include "hexad/heal.h"
#include "hexad/wish.h"
#include "hexad/msg.h"
#include "hexad/op.h"
#include "hexad/session.h"

#include <stdlib.h>
#include <string.h>

struct hx_sim_client {
    struct hx_sim *s;
    uint32_t i, life;
    struct hx_session *session; /* owned; NULL: not alive */
    struct hx_work *work;       /* owned; from OPEN on */
    struct hx_rng rng;
    uint64_t frozen_until, timer_serial;
    /* Counted in drains, so that it happens when much is under way; 0: never. */
    uint64_t pumps, dies_at, stops_at, closes_at;
    uint32_t soft_ms;
    bool pumping, dying;
};

static void pump(struct hx_sim_client *c);

static struct hx_sim_client *at(const struct hx_sim *s, uint32_t i)
{
    return &s->clients[i];
}

int hx_sim_clients_new(struct hx_sim *s)
{
    s->clients = calloc(s->client_count, sizeof *s->clients);
    if (!s->clients)
        return HX_E_NOMEM;
    for (uint32_t i = 0; i < s->client_count; i++)
        s->clients[i] = (struct hx_sim_client){.s = s, .i = i};
    return 0;
}

static void let_go(struct hx_sim_client *c)
{
    hx_session_free(c->session); /* it unlinks the operations that are parked in it: they are the programs' memory */
    hx_work_free(c->work);
    c->work = NULL;
    c->session = NULL;
}

void hx_sim_clients_free(struct hx_sim *s)
{
    for (uint32_t i = 0; s->clients && i < s->client_count; i++)
        let_go(at(s, i));
    free(s->clients);
    s->clients = NULL;
}

/* ---- what programs need of the mount (work.h) ---- */
static void op_start(void *ctx, struct hx_op *op)
{
    struct hx_sim_client *c = ctx;
    hx_op_start(c->session, hx_sim_ms(c->s), op);
}

static void op_begin(void *ctx)
{
    hx_session_begin(((struct hx_sim_client *)ctx)->session);
}

static int op_when_durable(void *ctx, struct hx_op *op)
{
    return hx_op_when_durable(((struct hx_sim_client *)ctx)->session, op);
}

/* As a signal to the program that waits. */
static bool op_cancel(void *ctx, struct hx_op *op)
{
    if (op->park.place == HX_PARK_NONE || op->park.place == HX_PARK_READY)
        return false;
    hx_session_cancel(((struct hx_sim_client *)ctx)->session, &op->park, HX_E_CANCELED);
    return true;
}

static struct hx_lsn op_last(void *ctx)
{
    return hx_session_last(((struct hx_sim_client *)ctx)->session);
}

static bool op_open(void *ctx)
{
    return hx_session_state(((struct hx_sim_client *)ctx)->session) == HX_SESSION_OPEN;
}

static bool op_gated(void *ctx)
{
    return hx_session_gated(((struct hx_sim_client *)ctx)->session);
}

static void op_durable(void *ctx, struct hx_lsn lsn)
{
    struct hx_sim_client *c = ctx;
    hx_sim_note(c->s, HX_NOTE_BARRIER, 'c', c->i, lsn.v, 0, 0);
    hx_oracle_durable(c->s->oracle, c->i, hx_writer_epoch(hx_session_writer(c->session)), lsn);
}

static void op_note_free(void *ctx, uint64_t pages)
{
    struct hx_sim_client *c = ctx;
    /* At times before there is need, so that growth meets everything else. */
    if (hx_writer_geometry(hx_session_writer(c->session))->pg_count < HX_OPT(c->s, pgs_max))
        hx_session_note_free(c->session, hx_sim_ms(c->s), hx_rng_below(&c->rng, 8) ? pages : 0);
}

/* ---- life ---- */
static void die_later(struct hx_sim *s, void *ctx, uint64_t life)
{
    struct hx_sim_client *c = ctx;
    if (c->session && c->life == life)
        hx_sim_client_crash(s, c->i);
}

static void plan_death(struct hx_sim_client *c)
{
    if (c->dying)
        return;
    c->dying = true;
    hx_sim_at(c->s, c->s->now_us + hx_rng_range(&c->rng, 1000, 500000), die_later, c, c->life);
}

static void opened(struct hx_sim_client *c)
{
    static const struct hx_work_host calls = {.start = op_start,
                                              .begin = op_begin,
                                              .when_durable = op_when_durable,
                                              .cancel = op_cancel,
                                              .last = op_last,
                                              .open = op_open,
                                              .gated = op_gated,
                                              .durable = op_durable,
                                              .note_free = op_note_free};
    const struct hx_writer *w = hx_session_writer(c->session);
    hx_sim_note(c->s, HX_NOTE_OPEN, 'c', c->i, hx_writer_epoch(w).v, hx_writer_vdl(w).v,
                hx_writer_geometry(w)->pg_count);
    hx_oracle_opened(c->s->oracle, c->i, hx_writer_history(w), hx_writer_geometry(w));
    struct hx_work_host host = calls;
    host.ctx = c;
    if (hx_sim_over(c->s))
        return;
    c->work = hx_work_new(c->s, c->i, &host, hx_session_pager(c->session), hx_writer_history(w));
    if (!c->work)
        hx_sim_harness(c->s, "no memory for programs");
}

/* A living writer is a reason to give up; nothing else in a world without operators. */
static void open_failed(struct hx_sim_client *c)
{
    int err = hx_session_error(c->session);
    hx_sim_note(c->s, HX_NOTE_DIE, 'c', c->i, (uint64_t)-err, 0, 0);
    plan_death(c);
    if (err == HX_E_BUSY || hx_oracle_excused(c->s->oracle) ||
        (err == HX_E_DATA_LOSS && hx_oracle_forgotten(c->s->oracle, c->i)) ||
        (c->soft_ms && hx_err_info(err)->class == HX_CLASS_RETRY)) /* did not wait for the quorum */
        return;
    if (err == HX_E_DATA_LOSS || err == HX_E_CORRUPT)
        hx_sim_broken(c->s, "I1", "an opening gives up: %s: %s", hx_err_text(err),
                      hx_session_why(c->session));
    else
        hx_sim_harness(c->s, "an opening gives up: %s: %s", hx_err_text(err), hx_session_why(c->session));
}

static void state_changed(struct hx_sim_client *c, enum hx_session_state state)
{
    switch (state) {
    case HX_SESSION_OPEN:
        opened(c);
        break;
    case HX_SESSION_FENCED:
        hx_sim_note(c->s, HX_NOTE_FENCED, 'c', c->i, 0, 0, 0);
        if (c->work)
            hx_work_fenced(c->work);
        plan_death(c);
        break;
    case HX_SESSION_FAILED:
        open_failed(c);
        break;
    case HX_SESSION_CLOSED:
        if (c->work && hx_session_error(c->session) == 0)
            hx_work_closed(c->work);
        if (c->work)
            hx_work_fenced(c->work);
        plan_death(c);
        break;
    default:
        break;
    }
}

/* ---- effects ---- */
static uint32_t server_of(const struct hx_sim *s, const struct hx_server *v)
{
    for (uint32_t i = 0; i < s->server_count; i++)
        if (strcmp(s->servers[i].name, v->name) == 0)
            return i;
    hx_assert(false);
}

static void carry_out(struct hx_sim_client *c, const struct hx_session_effect *e)
{
    struct hx_sim *s = c->s;
    switch (e->kind) {
    case HX_SESSION_SEND:
        hx_sim_faults_sent(s, hx_call_part(e->net.call));
        hx_sim_net_request(s, c->i, e->net.call, server_of(s, e->net.server), e->net.iov, e->net.iovcnt,
                           e->net.timeout_ms);
        break;
    case HX_SESSION_CANCEL:
        hx_sim_net_cancel(s, c->i, e->net.call);
        break;
    case HX_SESSION_CANCEL_PART:
        hx_sim_net_cancel_part(s, c->i, e->part);
        break;
    case HX_SESSION_RUN:
        hx_op_again(c->session, hx_sim_ms(s), e->op);
        break;
    case HX_SESSION_STATE:
        state_changed(c, e->state);
        break;
    case HX_SESSION_GREW:
        hx_sim_note(s, HX_NOTE_GROW, 'c', c->i, e->count, 0, 0);
        break;
    case HX_SESSION_BAD_PAGE:
        hx_sim_note(s, HX_NOTE_CHECK, 'c', c->i, e->page.v, (uint64_t)-e->err, 0);
        break;
    case HX_SESSION_IDLE:
        if (c->work)
            hx_work_background(c->work);
        /* As when memory is short: what is read from then on comes from the servers. */
        if (hx_session_state(c->session) == HX_SESSION_OPEN && hx_rng_below(&c->rng, 16) == 0)
            hx_cache_drop_clean(hx_session_cache(c->session));
        break;
    default:
        break;
    }
}

static void drain(struct hx_sim_client *c)
{
    struct hx_session_effect e;
    while (!hx_sim_over(c->s) && hx_session_next(c->session, &e))
        carry_out(c, &e);
}

/* When all that was written is durable, a cached page is what the official log makes of it: one page, now and
 * then (I6). */
static void show_page(struct hx_sim_client *c, const struct hx_writer *w)
{
    struct hx_cache *cache = hx_session_cache(c->session);
    uint64_t pick = (c->s->now_us ^ c->i << 20) * UINT64_C(0x9e3779b97f4a7c15);
    pick ^= pick >> 31; /* no chance: it decides nothing */
    struct hx_pageno page =
        HX_PAGE(pick % (pick >> 44 & 1 ? 64 : hx_writer_pages(w))); /* the first are used most */
    const uint8_t *data;
    if (hx_writer_vdl(w).v == hx_writer_last(w).v && hx_cache_has(cache, page) &&
        !hx_pager_get(hx_cache_pager(cache), page, &data))
        hx_oracle_filled(c->s->oracle, c->i, hx_writer_epoch(w), hx_writer_vdl(w), page.v, data);
}

static void tell_oracle(struct hx_sim_client *c)
{
    const struct hx_writer *w = hx_session_writer(c->session);
    if (!w || hx_session_state(c->session) != HX_SESSION_OPEN)
        return;
    show_page(c, w);
    hx_oracle_writer(c->s->oracle, c->i, hx_writer_epoch(w), hx_writer_vdl(w), hx_writer_vcl(w),
                     hx_writer_last(w));
}

static void timer(struct hx_sim *s, void *ctx, uint64_t serial)
{
    struct hx_sim_client *c = ctx;
    if (!c->session || serial != c->timer_serial)
        return;
    if (c->frozen_until > s->now_us) {
        hx_sim_at(s, c->frozen_until, timer, c, serial);
        return;
    }
    hx_sim_note(s, HX_NOTE_TICK, 'c', c->i, 0, 0, 0);
    pump(c);
}

/* How long this life may be, in drains: most deaths and stops should come while something is under way. */
static void draw_fate(struct hx_sim_client *c)
{
    struct hx_sim *s = c->s;
    struct hx_rng r = hx_rng_fork(s->opts.seed, "fate", (uint64_t)c->i << 32 | c->life);
    c->pumps = c->dies_at = c->stops_at = c->closes_at = c->soft_ms = 0;
    if (s->script)
        return; /* whoever wrote it says when */
    bool dies = HX_OPT(s, client_crash_ppm) && hx_rng_below(&r, 3) == 0;
    bool stops = HX_OPT(s, freeze_ppm) && hx_rng_below(&r, 3) == 0;
    c->dies_at = dies ? hx_rng_below(&r, UINT64_C(8) << hx_rng_below(&r, 8)) + 1 : 0;
    c->stops_at = stops ? hx_rng_below(&r, UINT64_C(8) << hx_rng_below(&r, 8)) + 1 : 0;
    c->closes_at = hx_rng_below(&r, 8) == 0 ? hx_rng_below(&r, 1000) + 1 : 0;
    c->soft_ms = hx_rng_below(&r, 8) == 0 ? 1000u << hx_rng_below(&r, 6) : 0;
}

/* True: it is dead, or has drained once more. */
static bool meets_its_fate(struct hx_sim_client *c)
{
    struct hx_sim *s = c->s;
    c->pumps++;
    if (s->phase != HX_PHASE_SAFETY || hx_sim_over(s))
        return false;
    if (c->pumps == c->stops_at)
        hx_sim_client_freeze(s, c->i, s->now_us + hx_rng_range(&c->rng, 1000, 10000000));
    if (c->pumps == c->dies_at)
        hx_sim_client_crash(s, c->i);
    else if (c->pumps == c->closes_at)
        hx_sim_client_close(s, c->i);
    else
        return false;
    return true;
}

/* As src/vol's: until nothing is left to do, then a timer. */
static void pump(struct hx_sim_client *c)
{
    struct hx_sim *s = c->s;
    if (c->pumping)
        return;
    c->pumping = true;
    hx_session_set_time(c->session, UINT64_C(1700000000000000) + s->now_us);
    drain(c);
    uint64_t next = c->work && !hx_sim_over(s) ? hx_work_step(c->work) : UINT64_MAX;
    drain(c);
    uint64_t ms = hx_session_tick(c->session, hx_sim_ms(s));
    drain(c);
    tell_oracle(c);
    c->pumping = false;
    if (c->work && hx_work_gave_up(c->work))
        plan_death(c); /* mount says why, and ends */
    if (meets_its_fate(c))
        return;
    uint64_t due = s->now_us + (ms ? ms : 1) * 1000;
    hx_sim_at(s, due < next ? due : next, timer, c, ++c->timer_serial);
}

/* FENCED, to an open mount: whatever it is about, the volume is somebody else's. */
static bool fenced_by(const struct hx_sim_client *c, uint64_t call, int err, struct hx_bytes body)
{
    struct hx_reply_head h;
    struct hx_bytes inner;
    enum hx_part part = hx_call_part(call);
    if (err || hx_session_state(c->session) != HX_SESSION_OPEN || part == HX_PART_HELLO || part == HX_PART_LOOKUP)
        return false;
    return hx_reply_decode(body.p, body.len, &h, &inner) == 0 && h.status == HX_E_FENCED;
}

void hx_sim_client_answer(struct hx_sim *s, uint32_t i, uint64_t call, int err, struct hx_bytes body)
{
    struct hx_sim_client *c = at(s, i);
    if (!c->session)
        return;
    bool fenced = fenced_by(c, call, err, body);
    uint32_t life = c->life;
    if (err) {
        hx_session_failed(c->session, hx_sim_ms(s), call, err);
    } else {
        hx_oracle_heard(s->oracle, i, body.p, body.len);
        hx_session_answer(c->session, hx_sim_ms(s), s->now_us, call, body);
    }
    pump(c);
    if (fenced && c->session && c->life == life && hx_session_state(c->session) == HX_SESSION_OPEN)
        hx_sim_broken(s, "I13", "client %u was told that it is fenced, and goes on", i);
}

void hx_sim_client_start(struct hx_sim *s, uint32_t i, bool takeover)
{
    struct hx_sim_client *c = at(s, i);
    if (c->session)
        return;
    c->life++;
    c->rng = hx_rng_fork(s->opts.seed, "client", (uint64_t)i << 32 | c->life);
    c->frozen_until = 0;
    c->dying = false;
    draw_fate(c);
    struct hx_session_cfg cfg = {.name = HX_SIM_VOLUME,
                                 .servers = s->servers_of.servers,
                                 .server_count = s->server_count,
                                 .takeover = takeover,
                                 .cache_bytes = HX_OPT(s, cache_kb) << 10,
                                 .window_bytes = HX_OPT(s, window_kb) << 10,
                                 .soft_ms = c->soft_ms,
                                 .repair_after_ms = HX_OPT(s, repair_ms) ? HX_OPT(s, repair_ms) : HX_HEAL_NEVER,
                                 .seed = hx_rng_u64(&c->rng),
                                 .now_ms = hx_sim_ms(s)};
    for (unsigned k = 0; k < sizeof cfg.owner.b; k += 8) {
        uint64_t x = hx_rng_u64(&c->rng);
        memcpy(cfg.owner.b + k, &x, 8);
    }
    hx_sim_note(s, HX_NOTE_OPENING, 'c', i, c->life, takeover, 0);
    int err = hx_session_new(&cfg, &c->session);
    if (err) {
        hx_sim_harness(s, "no session: %s", hx_err_text(err));
        return;
    }
    pump(c);
}

void hx_sim_client_crash(struct hx_sim *s, uint32_t i)
{
    struct hx_sim_client *c = at(s, i);
    if (!c->session)
        return;
    hx_sim_note(s, HX_NOTE_DIE, 'c', i, c->life, 0, 0);
    struct hx_sim_host me = {HX_HOST_CLIENT, i};
    hx_sim_net_gone(s, me);
    let_go(c);
    c->timer_serial++;
    for (uint32_t k = 0; k < s->server_count; k++)
        hx_sim_server_closed(s, k, hx_sim_net_conn(me, c->life));
}

static unsigned others_in(const struct hx_geometry *g, uint32_t server)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < g->server_count; i++)
        n += i != server && g->servers[i].state == HX_SERVER_IN && !strcmp(g->servers[i].zone, g->servers[server].zone);
    return n;
}

void hx_sim_client_wish(struct hx_sim *s, uint32_t i, struct hx_rng *r)
{
    struct hx_sim_client *c = at(s, i);
    const struct hx_geometry *g = hx_writer_geometry(hx_session_writer(c->session));
    uint32_t server = (uint32_t)hx_rng_below(r, g->server_count);
    bool drained = g->servers[server].state == HX_SERVER_DRAINED;
    struct hx_wish w = {.kind = drained ? HX_WISH_UNDO : HX_WISH_DRAIN, .epoch = g->epoch, .g = g->g, .m = g->m,
                        .server = g->servers[server]};
    if (!drained && others_in(g, server) < 2)
        return; /* growth needs two of each zone */
    (void)hx_session_wish(c->session, &w);
    pump(c);
}

void hx_sim_client_degrade(struct hx_sim *s, uint32_t i, struct hx_rng *r)
{
    struct hx_sim_client *c = at(s, i);
    const struct hx_geometry *g = hx_writer_geometry(hx_session_writer(c->session));
    uint32_t k = 0, server = (uint32_t)hx_rng_below(r, g->server_count);
    while (k < g->server_count && g->servers[k].state != HX_SERVER_AWAY)
        k++;
    bool back = k < g->server_count;
    const char *zone = g->servers[back ? k : server].zone;
    for (k = 0; k < g->server_count; k++) {
        struct hx_wish w = {.kind = back ? HX_WISH_UNDO : HX_WISH_DEGRADE, .epoch = g->epoch, .g = g->g, .m = g->m,
                            .server = g->servers[k]};
        if (!strcmp(zone, g->servers[k].zone) && (!back || g->servers[k].state == HX_SERVER_AWAY))
            (void)hx_session_wish(c->session, &w);
    }
    pump(c);
}

void hx_sim_client_freeze(struct hx_sim *s, uint32_t i, uint64_t until_us)
{
    if (!at(s, i)->session)
        return;
    hx_sim_note(s, HX_NOTE_FREEZE, 'c', i, until_us, 0, 0);
    at(s, i)->frozen_until = until_us;
}

uint64_t hx_sim_client_frozen_until(const struct hx_sim *s, uint32_t i)
{
    return at(s, i)->session ? at(s, i)->frozen_until : 0;
}

uint32_t hx_sim_client_life(const struct hx_sim *s, uint32_t i)
{
    return at(s, i)->life;
}

bool hx_sim_client_alive(const struct hx_sim *s, uint32_t i)
{
    return at(s, i)->session != NULL;
}

bool hx_sim_client_is_open(const struct hx_sim *s, uint32_t i)
{
    const struct hx_sim_client *c = at(s, i);
    return c->session && c->work && hx_session_state(c->session) == HX_SESSION_OPEN &&
           hx_work_mounted(c->work);
}

struct hx_session *hx_sim_client_session(const struct hx_sim *s, uint32_t i)
{
    return at(s, i)->session;
}

/* ---- the end game ---- */
void hx_sim_client_drain(struct hx_sim *s, uint32_t i)
{
    hx_work_drain(at(s, i)->work, true);
    pump(at(s, i));
}

void hx_sim_client_compare(struct hx_sim *s, uint32_t i)
{
    hx_work_compare(at(s, i)->work);
    pump(at(s, i));
}

/* ---- changes of members that nobody needs ---- */

static struct hx_move *driver(struct hx_sim *s, uint32_t i)
{
    struct hx_session *session = at(s, i)->session;
    bool open = session && hx_session_state(session) == HX_SESSION_OPEN && at(s, i)->frozen_until <= s->now_us;
    return open ? hx_session_driver(session) : NULL;
}

static bool in_row(const struct hx_pg_members *row, uint32_t server)
{
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (row->server[i] == server)
            return true;
    return false;
}

void hx_sim_client_move(struct hx_sim *s, uint32_t i, struct hx_rng *r)
{
    struct hx_move *m = driver(s, i);
    struct hx_change_view v;
    if (!m)
        return;
    const struct hx_geometry *g = hx_writer_geometry(hx_session_writer(at(s, i)->session));
    if (hx_rng_below(r, 4) == 0 && hx_move_view(m, hx_rng_below(r, 3), &v)) {
        (void)hx_move_undo(m, v.pg, v.slot);
    } else {
        uint32_t pg = hx_rng_below(r, 3) ? (uint32_t)hx_rng_below(r, g->pg_count) : 0;
        unsigned slot = (unsigned)hx_rng_below(r, HX_COPIES);
        uint32_t to = (uint32_t)hx_rng_below(r, g->server_count), was = g->pgs[pg].server[slot];
        for (uint32_t k = 0; hx_rng_below(r, 8) && k < g->server_count; k++, to = (to + 1) % g->server_count)
            if (!strcmp(g->servers[to].zone, g->servers[was].zone) && !in_row(&g->pgs[pg], to))
                break;
        (void)hx_move_start(m, pg, slot, to); /* EXIST: as an operator is told */
    }
    pump(at(s, i));
}

void hx_sim_client_unmove(struct hx_sim *s, uint32_t i)
{
    struct hx_move *m = driver(s, i);
    struct hx_change_view v;
    for (size_t k = 0; m && hx_move_view(m, k, &v); k++)
        if (v.state <= HX_CHANGE_READY && (hx_sim_faults_gone(s) >> v.to & 1) && hx_move_undo(m, v.pg, v.slot))
            k = SIZE_MAX; /* the list is another one: from its beginning */
    if (m)
        pump(at(s, i));
}

bool hx_sim_client_idle(const struct hx_sim *s, uint32_t i)
{
    const struct hx_sim_client *c = at(s, i);
    return c->work && hx_work_idle(c->work) && hx_work_compared(c->work);
}

void hx_sim_client_close(struct hx_sim *s, uint32_t i)
{
    if (!at(s, i)->session)
        return;
    if (at(s, i)->work)
        hx_work_drain(at(s, i)->work, false);
    hx_session_close(at(s, i)->session, hx_sim_ms(s));
    pump(at(s, i));
}
