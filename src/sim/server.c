/*
 * server.c - see server.h.
 *
 * A start is a batch as well: it reads and writes the disk, and the power may go in it.  A server whose node
 * cannot be made
 * (an error while it opens) tries again a second later, as a service manager would.
 */
#include "server.h"

#include "disk.h"
#include "oracle.h"

#include "hexad/assert.h"
#include "hexad/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESTART_US 1000000u
#define WORK_US 3u /* of one message, beside the disk */

static struct hx_sim_server *at(const struct hx_sim *s, uint32_t i)
{
    return &s->servers[i];
}

static uint64_t wall_us(const struct hx_sim_server *v)
{
    return (uint64_t)((int64_t)(UINT64_C(1700000000000000) + v->s->now_us) + v->clock_off_us);
}

bool hx_sim_server_is_up(const struct hx_sim *s, uint32_t i)
{
    return at(s, i)->node != NULL;
}

uint32_t hx_sim_server_life(const struct hx_sim *s, uint32_t i)
{
    return at(s, i)->life;
}

/* ---- passes: one at a time, as early as the server is free ---- */
static void pass(struct hx_sim *s, void *ctx, uint64_t serial);

static void plan_pass(struct hx_sim_server *v, uint64_t at_us)
{
    if (at_us < v->busy_until_us)
        at_us = v->busy_until_us;
    if (v->pass_at_us <= at_us)
        return;
    v->pass_at_us = at_us;
    hx_sim_at(v->s, at_us, pass, v, ++v->pass_serial);
}

static bool enqueue(struct hx_sim_server *v, struct hx_sim_arrival a)
{
    if (v->queue_count == v->queue_cap) {
        size_t cap = v->queue_cap ? 2 * v->queue_cap : 16;
        struct hx_sim_arrival *q = realloc(v->queue, cap * sizeof *q);
        if (!q) {
            hx_sim_harness(v->s, "no memory for arrivals");
            return false;
        }
        v->queue = q;
        v->queue_cap = cap;
    }
    v->queue[v->queue_count++] = a;
    plan_pass(v, v->s->now_us);
    return true;
}

void hx_sim_server_arrived(struct hx_sim *s, uint32_t i, struct hx_sim_packet *p)
{
    if (!enqueue(at(s, i), (struct hx_sim_arrival){.p = p}))
        hx_sim_net_no_reply(s, p);
}

void hx_sim_server_answer(struct hx_sim *s, uint32_t i, uint64_t call, int err, struct hx_bytes body)
{
    struct hx_sim_arrival a = {.call = call, .err = err, .len = body.len};
    if (!at(s, i)->node)
        return;
    if (body.len && !(a.bytes = malloc(body.len))) {
        hx_sim_harness(s, "no memory for an answer");
        return;
    }
    if (body.len)
        memcpy(a.bytes, body.p, body.len);
    if (!enqueue(at(s, i), a))
        free(a.bytes);
}

void hx_sim_server_closed(struct hx_sim *s, uint32_t i, uint64_t conn)
{
    if (!at(s, i)->node)
        return;
    hx_node_closed(at(s, i)->node, hx_sim_ms(s), conn);
    plan_pass(at(s, i), s->now_us);
}

static uint64_t remember(struct hx_sim_server *v, struct hx_sim_packet *p)
{
    if (v->pending_count == v->pending_cap) {
        size_t cap = v->pending_cap ? 2 * v->pending_cap : 16;
        struct hx_sim_pending *q = realloc(v->pending, cap * sizeof *q);
        if (!q) {
            hx_sim_harness(v->s, "no memory for pending requests");
            hx_sim_net_no_reply(v->s, p);
            return 0;
        }
        v->pending = q;
        v->pending_cap = cap;
    }
    v->pending[v->pending_count++] = (struct hx_sim_pending){++v->token, p};
    return v->token;
}

static struct hx_sim_packet *recall(struct hx_sim_server *v, uint64_t token)
{
    for (size_t i = 0; i < v->pending_count; i++)
        if (v->pending[i].token == token) {
            struct hx_sim_packet *p = v->pending[i].p;
            v->pending[i] = v->pending[--v->pending_count];
            return p;
        }
    return NULL;
}

/* A copy of a request that this life has carried out, alone in its batch: it must change nothing (I14). */
static bool repeats(const struct hx_sim_server *v)
{
    return v->queue_count == 1 && v->queue[0].p && hx_sim_packet_again(v->queue[0].p, v->life);
}

static void feed(struct hx_sim_server *v)
{
    struct hx_sim *s = v->s;
    /* Arrivals of this pass only: nothing that the node does in between adds to the queue. */
    for (size_t i = 0; i < v->queue_count; i++) {
        struct hx_sim_arrival *a = &v->queue[i];
        if (a->p) {
            struct hx_sim_host from = hx_sim_packet_from(a->p);
            bool peer = from.kind == HX_HOST_SERVER;
            uint64_t token = remember(v, a->p);
            if (token)
                hx_node_request(v->node, hx_sim_ms(s), wall_us(v), token, hx_sim_packet_conn(a->p),
                                peer ? HX_NODE_ROLE_SEGMENT : HX_NODE_ROLE_WRITER,
                                peer ? at(s, from.i)->name : "client", hx_sim_packet_bytes(a->p));
        } else {
            hx_node_answer(v->node, hx_sim_ms(s), a->call, a->err, (struct hx_bytes){a->bytes, a->len});
            free(a->bytes);
        }
    }
    v->queue_count = 0;
}

static uint32_t find_server(const struct hx_sim *s, const char *name)
{
    for (uint32_t i = 0; i < s->server_count; i++)
        if (strcmp(at(s, i)->name, name) == 0)
            return i;
    return UINT32_MAX;
}

static void carry_out(struct hx_sim_server *v, uint64_t done_us)
{
    struct hx_sim *s = v->s;
    struct hx_node_effect e;
    while (hx_node_next(v->node, &e)) {
        if (e.kind == HX_NODE_SEND) {
            uint32_t to = find_server(s, e.name);
            hx_assert(to != UINT32_MAX);
            hx_sim_net_peer_request(s, v->i, e.call, to, e.body, e.timeout_ms);
            continue;
        }
        struct hx_sim_packet *p = recall(v, e.token);
        if (!p) {
            hx_sim_broken(s, "N3", "server %s answers twice, or what was not asked", v->name);
            continue;
        }
        struct hx_bytes q = hx_sim_packet_bytes(p);
        if (hx_oracle_answered(s->oracle, v->i, q.p, q.len, e.body.p, e.body.len))
            hx_sim_packet_served(p, v->life, v->s->now_us);
        hx_sim_net_reply(s, v->i, p, done_us, e.body);
    }
}

/* Has the disk kept its word so far?  What one lie has put at risk may show at any restart. */
static bool honest(const struct hx_sim_server *v)
{
    struct hx_sim_disk_stats st;
    hx_sim_disk_stats(v->disk, &st);
    return st.lies == 0;
}

/* What the disk did to the segments: after a flush that failed they must not acknowledge anything any more, until they
 * have been read again (I12). */
static void tell_failed(struct hx_sim_server *v)
{
    uint32_t pg;
    struct hx_sim_disk_stats st;
    hx_sim_disk_stats(v->disk, &st);
    if (st.misuses)
        hx_sim_broken(v->s, "D", "server %s writes a file while it is flushed, or ends a flush not begun", v->name);
    while (hx_sim_disk_take_reopened(v->disk, &pg))
        hx_oracle_reopened(v->s->oracle, v->i, pg, honest(v));
    while (hx_sim_disk_take_failed(v->disk, &pg))
        hx_oracle_disk_failed(v->s->oracle, v->i, pg);
    if (st.unread != v->unread)
        hx_oracle_unread(v->s->oracle, v->i);
    v->unread = st.unread;
}

/* Calls that have failed so far. */
static uint64_t disk_errors(const struct hx_sim_server *v)
{
    struct hx_sim_disk_stats st;
    hx_sim_disk_stats(v->disk, &st);
    return st.errors;
}

static void pass(struct hx_sim *s, void *ctx, uint64_t serial)
{
    struct hx_sim_server *v = ctx;
    if (serial != v->pass_serial || !v->node)
        return;
    v->pass_at_us = UINT64_MAX;
    size_t work = v->queue_count;
    bool again = repeats(v);
    uint64_t since_us = again ? hx_sim_packet_served_us(v->queue[0].p) : 0; /* it may be gone after the flush */
    uint64_t errors = disk_errors(v);
    if (again)
        hx_oracle_again(s->oracle, v->i, since_us, false);
    feed(v);
    hx_node_flush(v->node);
    tell_failed(v);
    /* The flush also takes along what background work has left for the next one; where that fails, the disk has changed
     * the segment, not the request. */
    if (again && !hx_sim_disk_is_off(v->disk) && disk_errors(v) == errors)
        hx_oracle_again(s->oracle, v->i, since_us, true);
    if (s->now_us >= v->tick_at_us) {
        uint64_t ms = hx_node_tick(v->node, hx_sim_ms(s));
        v->tick_at_us = ms > 3600000 ? s->now_us + UINT64_C(3600000000) : s->now_us + (ms ? ms * 1000 : 1000);
        hx_node_flush(v->node);
    }
    uint64_t cost = (hx_sim_disk_take_us(v->disk, v->slow) + work * WORK_US * v->slow);
    hx_sim_note(s, HX_NOTE_FLUSH, 's', v->i, work, cost, 0);
    if (hx_sim_disk_is_off(v->disk)) {
        struct hx_rng r = hx_rng_fork(s->opts.seed, "back", s->now_us ^ v->i);
        uint64_t back_us = s->now_us + hx_rng_range(&r, 1000, 3000000);
        if (hx_rng_below(&r, 3))
            hx_sim_server_crash(s, v->i, back_us);
        else
            hx_sim_server_kill(s, v->i, back_us);
        return;
    }
    v->busy_until_us = s->now_us + cost;
    carry_out(v, v->busy_until_us);
    tell_failed(v); /* of timers: what is answered came before */
    hx_oracle_server(s->oracle, v->i);
    plan_pass(v, v->queue_count ? v->busy_until_us : v->tick_at_us);
}

/* ---- life and death ---- */
static struct hx_uuid incarnation(struct hx_sim_server *v)
{
    struct hx_rng r = hx_rng_fork(v->s->opts.seed, "incarnation", (uint64_t)v->i << 32 | v->incarnations++);
    struct hx_uuid u;
    for (unsigned i = 0; i < sizeof u.b; i += 8) {
        uint64_t x = hx_rng_u64(&r);
        memcpy(u.b + i, &x, 8);
    }
    return u;
}

static void die(struct hx_sim_server *v)
{
    struct hx_sim *s = v->s;
    hx_node_free(v->node);
    v->node = NULL;
    v->pass_serial++;
    v->pass_at_us = UINT64_MAX;
    for (size_t i = 0; i < v->queue_count; i++)
        if (v->queue[i].p)
            hx_sim_net_no_reply(s, v->queue[i].p);
        else
            free(v->queue[i].bytes);
    v->queue_count = 0;
    for (size_t i = 0; i < v->pending_count; i++)
        hx_sim_net_no_reply(s, v->pending[i].p);
    v->pending_count = 0;
    if (s->net)
        hx_sim_net_gone(s, (struct hx_sim_host){HX_HOST_SERVER, v->i});
}

static void start_event(struct hx_sim *s, void *ctx, uint64_t life)
{
    struct hx_sim_server *v = ctx;
    if (v->life == life && !v->node)
        hx_sim_server_start(s, v->i);
}

static void off(struct hx_sim_server *v, uint64_t back_us)
{
    hx_sim_disk_power_off(v->disk);
    die(v);
    v->start_at_us = back_us;
    hx_sim_at(v->s, back_us, start_event, v, v->life);
}

void hx_sim_server_crash(struct hx_sim *s, uint32_t i, uint64_t back_us)
{
    struct hx_sim_server *v = at(s, i);
    if (!v->node)
        return;
    hx_sim_note(s, HX_NOTE_CRASH, 's', i, back_us, 0, 0);
    off(v, back_us);
    hx_sim_disk_power_on(v->disk);
    hx_oracle_restarted(s->oracle, i, honest(v));
}

void hx_sim_server_kill(struct hx_sim *s, uint32_t i, uint64_t back_us)
{
    struct hx_sim_server *v = at(s, i);
    hx_sim_note(s, HX_NOTE_CRASH, 's', i, back_us, 1, 0);
    die(v);
    hx_sim_disk_killed(v->disk);
    v->start_at_us = back_us;
    hx_sim_at(v->s, back_us, start_event, v, v->life);
    hx_oracle_restarted(s->oracle, i, honest(v));
}

void hx_sim_server_wipe(struct hx_sim *s, uint32_t i, uint64_t back_us)
{
    struct hx_sim_server *v = at(s, i);
    hx_sim_server_crash(s, i, back_us);
    hx_sim_note(s, HX_NOTE_WIPE, 's', i, back_us, 0, 0);
    hx_sim_disk_wipe(v->disk);
    v->incarnation = incarnation(v);
    v->gone = true;
    hx_oracle_restarted(s->oracle, i, false);
}

void hx_sim_server_rollback(struct hx_sim *s, uint32_t i, uint64_t back_us)
{
    struct hx_sim_server *v = at(s, i);
    hx_sim_server_crash(s, i, back_us);
    if (!hx_sim_disk_rollback(v->disk))
        return;
    hx_sim_note(s, HX_NOTE_ROLLBACK, 's', i, back_us, 0, 0);
    hx_oracle_restarted(s->oracle, i, false);
}

void hx_sim_server_start(struct hx_sim *s, uint32_t i)
{
    struct hx_sim_server *v = at(s, i);
    if (v->node)
        return;
    v->life++;
    for (uint32_t pg; hx_sim_disk_take_failed(v->disk, &pg);) /* in the life before */
        ;
    struct hx_node_cfg cfg = {.name = v->name,
                              .zone = v->zone,
                              .incarnation = v->incarnation,
                              .farm = hx_sim_disk_farm(v->disk),
                              .gossip_ms = (uint32_t)HX_OPT(s, gossip_ms),
                              .gossip_most = HX_OPT(s, gossip_ms) == 100, /* few groups take turns in some runs, too */
                              .log_file_bytes = (uint32_t)HX_OPT(s, log_kb) << 10,
                              .scrub_cycle_s = (uint32_t)HX_OPT(s, scrub_s),
                              .seed = s->opts.seed * 1000 + v->life * 16 + i};
    int err = hx_node_new(&cfg, hx_sim_ms(s), &v->node);
    hx_sim_note(s, HX_NOTE_START, 's', i, v->life, (uint64_t)-err, 0);
    bool lost_power = hx_sim_disk_is_off(v->disk);
    if (err || lost_power) {
        hx_node_free(v->node);
        v->node = NULL;
        if (lost_power) {
            hx_sim_disk_power_on(v->disk);
            hx_oracle_restarted(s->oracle, i, honest(v));
        }
        hx_sim_at(s, s->now_us + RESTART_US, start_event, v, v->life);
        return;
    }
    v->busy_until_us = s->now_us + hx_sim_disk_take_us(v->disk, v->slow);
    v->tick_at_us = v->busy_until_us;
    v->pass_at_us = UINT64_MAX;
    for (uint32_t pg; hx_sim_disk_take_reopened(v->disk, &pg);) /* it is a restart */
        ;
    if (!honest(v)) /* what was stored may have gone bad since it died, or while it started */
        hx_oracle_restarted(s->oracle, i, false);
    tell_failed(v);
    hx_oracle_server(s->oracle, i);
    plan_pass(v, v->busy_until_us);
}

int hx_sim_servers_new(struct hx_sim *s)
{
    s->servers = calloc(s->server_count, sizeof *s->servers);
    if (!s->servers)
        return HX_E_NOMEM;
    for (uint32_t i = 0; i < s->server_count; i++) {
        struct hx_sim_server *v = at(s, i);
        *v = (struct hx_sim_server){.s = s, .i = i, .slow = 1, .pass_at_us = UINT64_MAX};
        snprintf(v->name, sizeof v->name, "%c%u", 'a' + (char)(i % 3), i / 3 + 1);
        snprintf(v->zone, sizeof v->zone, "az-%c", 'a' + (char)(i % 3));
        snprintf(v->url, sizeof v->url, "https://%s:1", v->name);
        v->incarnation = incarnation(v);
        v->disk = hx_sim_disk_new(&s->opts, i);
        if (!v->disk)
            return HX_E_NOMEM;
        hx_sim_disk_clock(v->disk, &s->now_us);
    }
    return 0;
}

void hx_sim_servers_free(struct hx_sim *s)
{
    for (uint32_t i = 0; s->servers && i < s->server_count; i++) {
        struct hx_sim_server *v = at(s, i);
        die(v);
        hx_sim_disk_free(v->disk);
        free(v->queue);
        free(v->pending);
    }
    free(s->servers);
    s->servers = NULL;
}
