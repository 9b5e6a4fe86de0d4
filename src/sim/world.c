/*
 * world.c - a run from birth to verdict: the volume is made, programs run among faults, everything heals, nothing may
 * be missing.
 *
 *   birth     servers start, the volume is created; no faults
 *   safety    faults; somebody always tries to have the volume open; ends after OPTS.ops operations, or SAFETY_US
 *   liveness  faults end; within CALM_US an open mount must have answered every operation and barrier (I15), and its
 *             tree must be what the model says; then that mount dies as if killed, another opens the volume: again (I7)
 *             who is gone for good has been replaced within MEND_US, in fleets that do that
 *   end       segments have caught up with each other within SETTLE_US, lose power once more, and are equal (I4, I6,
 *             I15), at old read points, too
 * Where three members of a group wait to be built anew nothing can be written: then the run ends early (promise 3).
 *
 * Memory: everything is owned by struct hx_sim; fini lets go of events that are left in the queue.
 */
#include "world.h"

#include "client.h"
#include "disk.h"
#include "faults.h"
#include "net.h"
#include "oracle.h"
#include "queue.h"
#include "server.h"
#include "work.h"

#include "hexad/err.h"
#include "hexad/recovery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIRTH_US 60000000u
#define SAFETY_US UINT64_C(300000000)
#define CALM_US UINT64_C(120000000)
#define MEND_US UINT64_C(300000000) /* a spare that was slow is not tried again for two minutes */
#define SETTLE_US UINT64_C(120000000)
#define SCRUBS 8u /* looks at all pages before the last one, at most */
#define WATCH_US 20000u
#define EVENTS_MAX UINT64_C(200000000) /* a busy loop in virtual time has no other end */

/* ---- events ---- */
bool hx_sim_step(struct hx_sim *s)
{
    struct hx_sim_event e;
    if (hx_sim_over(s) || !hx_sim_queue_take(&s->queue, &e))
        return false;
    s->now_us = e.at_us;
    if (++s->events == EVENTS_MAX)
        hx_sim_stuck(s, "%llu events and no end: a busy loop", (unsigned long long)s->events);
    e.run(s, e.ctx, e.arg);
    return true;
}

/* Until DONE says so (then true), or the time is over. */
static bool run_until(struct hx_sim *s, uint64_t end_us, bool (*done)(struct hx_sim *s))
{
    while (!done(s)) {
        if (s->queue.count == 0 || s->queue.heap[0].at_us > end_us) {
            s->now_us = end_us;
            return false;
        }
        if (!hx_sim_step(s))
            return false;
    }
    return true;
}

static void phase(struct hx_sim *s, enum hx_sim_phase p)
{
    s->phase = p;
    hx_sim_note(s, HX_NOTE_PHASE, 0, 0, (uint64_t)p, s->events, 0);
}

/* ---- birth ---- */
static void creator_effects(struct hx_sim *s)
{
    struct hx_effect e;
    while (s->create && hx_create_next(s->create, &e)) {
        if (e.kind == HX_EFFECT_CANCEL) {
            hx_sim_net_cancel(s, s->client_count, e.call);
            continue;
        }
        uint32_t to = 0;
        while (to + 1 < s->server_count && strcmp(s->servers[to].name, e.server->name) != 0)
            to++;
        hx_sim_net_request(s, s->client_count, e.call, to, e.iov, e.iovcnt, e.timeout_ms);
    }
}

static void creator_tick(struct hx_sim *s, void *ctx, uint64_t arg)
{
    (void)ctx;
    (void)arg;
    if (!s->create)
        return;
    uint64_t ms = hx_create_tick(s->create, hx_sim_ms(s));
    creator_effects(s);
    hx_sim_at(s, s->now_us + (ms && ms < 100 ? ms : 100) * 1000, creator_tick, NULL, 0);
}

void hx_sim_creator_answer(struct hx_sim *s, uint64_t call, int err, struct hx_bytes body)
{
    if (!s->create)
        return;
    if (err)
        hx_create_failed(s->create, hx_sim_ms(s), call, err);
    else
        hx_create_answer(s->create, hx_sim_ms(s), call, body);
    creator_effects(s);
}

static bool created(struct hx_sim *s)
{
    return hx_create_state(s->create) != HX_E_AGAIN;
}

static int configure(struct hx_sim *s)
{
    for (uint32_t i = 0; i < s->server_count; i++) {
        struct hx_server v = {0};
        snprintf(v.name, sizeof v.name, "%s", s->servers[i].name);
        snprintf(v.zone, sizeof v.zone, "%s", s->servers[i].zone);
        snprintf(v.url, sizeof v.url, "%s", s->servers[i].url);
        int err = hx_geometry_add_server(&s->servers_of, &v);
        if (err)
            return err;
    }
    return 0;
}

static struct hx_uuid uuid(struct hx_sim *s, const char *what)
{
    struct hx_rng r = hx_rng_fork(s->opts.seed, what, 0);
    struct hx_uuid u;
    for (unsigned i = 0; i < sizeof u.b; i += 8) {
        uint64_t x = hx_rng_u64(&r);
        memcpy(u.b + i, &x, 8);
    }
    return u;
}

static void create_volume(struct hx_sim *s)
{
    s->volume = uuid(s, "volume");
    struct hx_create_cfg cfg = {.name = HX_SIM_VOLUME,
                                .volume = s->volume,
                                .owner = uuid(s, "creator"),
                                .pg_bytes = HX_OPT(s, pg_pages) << HX_PAGE_SHIFT,
                                .lal = HX_OPT(s, lal),
                                .created_us = 1,
                                .now_ms = hx_sim_ms(s),
                                .servers = s->servers_of.servers,
                                .server_count = s->server_count};
    int err = hx_create_new(&cfg, &s->create);
    if (err) {
        hx_sim_harness(s, "the volume cannot be created: %s", hx_err_text(err));
        return;
    }
    creator_effects(s);
    creator_tick(s, NULL, 0);
    if (!run_until(s, s->now_us + BIRTH_US, created) || hx_create_state(s->create))
        hx_sim_harness(s, "the volume is not created: %s", hx_create_why(s->create));
    hx_create_free(s->create);
    s->create = NULL;
}

int hx_sim_begin(struct hx_sim *s)
{
    s->server_count = (uint32_t)HX_OPT(s, servers);
    s->client_count = (uint32_t)HX_OPT(s, clients);
    s->hash = s->opts.seed;
    int err = hx_sim_servers_new(s);
    if (err == 0)
        err = configure(s);
    if (err == 0)
        err = hx_sim_clients_new(s);
    if (err)
        return err;
    s->net = hx_sim_net_new(s);
    s->oracle = hx_oracle_new(s);
    s->journal = hx_journal_new(s);
    s->faults = hx_sim_faults_new(s);
    if (!s->net || !s->oracle || !s->journal || !s->faults)
        return HX_E_NOMEM;
    for (uint32_t i = 0; i < s->server_count; i++)
        hx_sim_server_start(s, i);
    create_volume(s);
    return 0;
}

/* ---- somebody has the volume open, or tries ---- */
static bool anybody(struct hx_sim *s, bool running)
{
    for (uint32_t i = 0; i < s->client_count; i++)
        if (hx_sim_client_alive(s, i) && (!running || hx_sim_client_frozen_until(s, i) <= s->now_us))
            return true;
    return false;
}

static void watch(struct hx_sim *s, void *ctx, uint64_t arg)
{
    (void)ctx;
    (void)arg;
    struct hx_rng r = hx_rng_fork(s->opts.seed, "watch", s->now_us);
    if (!anybody(s, s->phase != HX_PHASE_SAFETY) && (s->phase != HX_PHASE_SAFETY || hx_rng_below(&r, 4) == 0))
        hx_sim_client_start(s, (uint32_t)hx_rng_below(&r, s->client_count), hx_rng_below(&r, 2));
    hx_sim_at(s, s->now_us + WATCH_US, watch, NULL, 0);
}

/* ---- safety ---- */
static bool enough(struct hx_sim *s)
{
    return s->ops_begun >= HX_OPT(s, ops);
}

static uint32_t open_client(struct hx_sim *s)
{
    for (uint32_t i = 0; i < s->client_count; i++)
        if (hx_sim_client_is_open(s, i) && hx_sim_client_frozen_until(s, i) <= s->now_us)
            return i;
    return UINT32_MAX;
}

/* ---- liveness ---- */
static bool all_awake(struct hx_sim *s)
{
    for (uint32_t i = 0; i < s->client_count; i++)
        if (hx_sim_client_alive(s, i) && hx_sim_client_frozen_until(s, i) > s->now_us)
            return false;
    return true;
}

static bool somebody_open(struct hx_sim *s)
{
    return open_client(s) != UINT32_MAX;
}

static bool quiet(struct hx_sim *s)
{
    uint32_t i = open_client(s);
    return i != UINT32_MAX && hx_sim_client_idle(s, i);
}

/* A mount that was open may find out now that it was fenced: then another opens, within the same time. */
static void calm(struct hx_sim *s, const char *what, void (*ask)(struct hx_sim *s, uint32_t client))
{
    uint64_t end_us = s->now_us + CALM_US;
    uint32_t asked = UINT32_MAX, life = 0;
    while (!hx_sim_over(s)) {
        if (!run_until(s, end_us, somebody_open))
            break;
        uint32_t i = open_client(s);
        if (i != asked || hx_sim_client_life(s, i) != life) {
            asked = i;
            life = hx_sim_client_life(s, i);
            ask(s, i);
        }
        if (quiet(s))
            return;
        if (s->now_us >= end_us || !hx_sim_step(s))
            break;
    }
    if (!hx_sim_over(s) && !hx_oracle_hopeless(s->oracle))
        hx_sim_stuck(s, "%s: not done %u s after the faults ended", what, (unsigned)(CALM_US / 1000000));
}

static bool mended(struct hx_sim *s)
{
    return hx_oracle_mended(s->oracle);
}

/* Who is gone for good is replaced where his zone has another server (E1, E5 of heal.h). */
static void mend(struct hx_sim *s)
{
    if (!HX_OPT(s, repair_ms) || hx_sim_over(s) || hx_oracle_hopeless(s->oracle) ||
        run_until(s, s->now_us + MEND_US, mended) || hx_sim_over(s))
        return;
    hx_sim_stuck(s, "members that are gone are not replaced %u s after the faults ended",
                 (unsigned)(MEND_US / 1000000));
}

static void liveness(struct hx_sim *s)
{
    phase(s, HX_PHASE_LIVENESS);
    hx_sim_faults_heal(s);
    if (!run_until(s, s->now_us + 2 * CALM_US, all_awake) && !hx_sim_over(s))
        hx_sim_harness(s, "a client does not thaw");
    calm(s, "operations and barriers", hx_sim_client_drain);
    calm(s, "comparing the tree", hx_sim_client_compare);
    mend(s);
    for (uint32_t i = 0; i < s->client_count && !hx_sim_over(s); i++)
        hx_sim_client_crash(s, i);
    calm(s, "opening once more", hx_sim_client_compare);
    calm(s, "a last barrier", hx_sim_client_drain);
}

/* ---- the end ---- */
static bool settled(struct hx_sim *s)
{
    return hx_oracle_settled(s->oracle, hx_sim_faults_gone(s));
}

static void settle(struct hx_sim *s, const char *after)
{
    char who[200];
    if (hx_sim_over(s) || run_until(s, s->now_us + SETTLE_US, settled) || hx_sim_over(s))
        return;
    hx_oracle_lacking(s->oracle);
    if (hx_sim_over(s))
        return;
    hx_oracle_unsettled(s->oracle, who, sizeof who);
    hx_sim_stuck(s, "segments differ %u s after %s: %s", (unsigned)(SETTLE_US / 1000000), after, who);
}

static void end(struct hx_sim *s)
{
    phase(s, HX_PHASE_END);
    if (hx_oracle_hopeless(s->oracle))
        return; /* an opening may be half way for ever */
    settle(s, "the last write");
    for (uint32_t i = 0; i < s->server_count && !hx_sim_over(s); i++)
        hx_sim_server_crash(s, i, s->now_us);
    settle(s, "the last power loss");
    /* What a server has in its memory hides the rot beneath: each look reads more of the disk than the one before. */
    bool found = true;
    for (unsigned i = 0; i < SCRUBS && found && !hx_sim_over(s); i++) {
        found = hx_oracle_scrub(s->oracle, hx_sim_faults_gone(s));
        settle(s, "the scrub");
    }
    if (!hx_sim_over(s))
        hx_oracle_end(s->oracle, hx_sim_faults_gone(s));
}

void hx_sim_run(struct hx_sim *s)
{
    int err = hx_sim_begin(s);
    if (err) {
        hx_sim_harness(s, "the world cannot be made: %s", hx_err_text(err));
        return;
    }
    watch(s, NULL, 0);
    hx_sim_faults_begin(s);
    run_until(s, s->now_us + SAFETY_US, enough);
    if (!hx_sim_over(s))
        liveness(s);
    if (!hx_sim_over(s))
        end(s);
}

void hx_sim_fini(struct hx_sim *s)
{
    struct hx_sim_event e;
    while (hx_sim_queue_take(&s->queue, &e))
        hx_sim_net_drop(&e);
    hx_create_free(s->create);
    hx_sim_clients_free(s);
    hx_sim_servers_free(s);
    while (hx_sim_queue_take(&s->queue, &e))
        hx_sim_net_drop(&e);
    hx_sim_net_free(s->net);
    hx_oracle_free(s->oracle);
    hx_journal_free(s->journal);
    hx_sim_faults_free(s->faults);
    hx_geometry_fini(&s->servers_of);
    hx_sim_queue_fini(&s->queue);
}
