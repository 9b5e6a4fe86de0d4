/*
 * faults.c - see faults.h.
 *
 * What is promised bounds what is done: any number of servers may be down or cut off at a time, for a while;
 * at most two lose
 * their disk for good, so that the volume can be opened and written (promise 2); only victims' disks lie.
 * One stream a kind of fault (S2).
 */
#include "faults.h"

#include "client.h"
#include "disk.h"
#include "net.h"
#include "oracle.h"
#include "server.h"

#include <stdlib.h>

#define STEP_US 100000u
#define OP_US 3000u /* a fault that an operation brings comes within this */
#define WIPES_MAX 2u

enum kind {
    PART,
    CRASH,
    CRASH_CALL,
    POWER,
    SLOW,
    CLIENT_CRASH,
    FREEZE,
    RIVAL,
    CLOCK,
    WIPE,
    ROLLBACK,
    FULL,
    SAVE,
    ROT,
    WHEN, /* no fault: the stream that says when those of an operation come */
    AIM,
    MOVE,
    DRAIN,
    DEGRADE,
    KINDS
};
struct hx_sim_faults {
    struct hx_rng rng[KINDS];
    uint32_t wipes;
    bool on;
};

struct hx_sim_faults *hx_sim_faults_new(struct hx_sim *s)
{
    struct hx_sim_faults *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    for (unsigned k = 0; k < KINDS; k++)
        f->rng[k] = hx_rng_fork(s->opts.seed, "fault", k);
    struct hx_rng r = hx_rng_fork(s->opts.seed, "victims", 0);
    for (uint64_t n = HX_OPT(s, victims), tries = 0; n > 0 && tries < 1000; tries++) {
        struct hx_sim_server *v = &s->servers[hx_rng_below(&r, s->server_count)];
        if (v->victim)
            continue;
        v->victim = true;
        n--;
    }
    return f;
}

void hx_sim_faults_free(struct hx_sim_faults *f)
{
    free(f);
}

uint64_t hx_sim_faults_gone(const struct hx_sim *s)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < s->server_count; i++)
        bits |= (uint64_t)s->servers[i].gone << i;
    return bits;
}

/* Between LO and HI, each order of magnitude as likely as the next. */
static uint64_t spread(struct hx_rng *r, uint64_t lo, uint64_t hi)
{
    uint64_t top = lo;
    while (top < hi && hx_rng_below(r, 4))
        top *= 4;
    return hx_rng_range(r, lo, top < hi ? top : hi);
}

static uint32_t any_server(struct hx_sim *s, struct hx_rng *r)
{
    return (uint32_t)hx_rng_below(r, s->server_count);
}

static struct hx_sim_host server_host(uint32_t i)
{
    return (struct hx_sim_host){HX_HOST_SERVER, i};
}

/* ---- partitions ---- */
static struct hx_sim_host host(const struct hx_sim *s, uint32_t n)
{
    return n < s->client_count ? (struct hx_sim_host){HX_HOST_CLIENT, n} : server_host(n - s->client_count);
}

static bool inside(const struct hx_sim *s, struct hx_sim_host h, uint32_t zone, uint32_t one, bool whole_zone)
{
    (void)s;
    if (h.kind != HX_HOST_SERVER)
        return false;
    return whole_zone ? h.i % 3 == zone : h.i == one;
}

static void partition(struct hx_sim *s, struct hx_rng *r)
{
    uint64_t until = s->now_us + spread(r, 10000, 20000000);
    uint32_t hosts = s->client_count + s->server_count, one = any_server(s, r), zone = one % 3;
    uint64_t kind = hx_rng_below(r, 4), ways = hx_rng_range(r, 1, 3);
    hx_sim_note(s, HX_NOTE_PARTITION, 's', one, kind, ways, until);
    if (kind == 0) { /* one pair */
        struct hx_sim_host a = host(s, (uint32_t)hx_rng_below(r, hosts));
        if (ways & 1)
            hx_sim_net_block(s->net, a, server_host(one), until);
        if (ways & 2)
            hx_sim_net_block(s->net, server_host(one), a, until);
        return;
    }
    for (uint32_t i = 0; i < hosts; i++)
        for (uint32_t j = 0; j < hosts; j++) {
            struct hx_sim_host a = host(s, i), b = host(s, j);
            bool in_a = inside(s, a, zone, one, kind == 1), in_b = inside(s, b, zone, one, kind == 1);
            if (in_a && !in_b && ways & 1)
                hx_sim_net_block(s->net, a, b, until);
            if (!in_a && in_b && ways & 2)
                hx_sim_net_block(s->net, a, b, until);
        }
}

/* ---- servers ---- */
static uint64_t back_at(struct hx_sim *s, struct hx_rng *r)
{
    return s->now_us + spread(r, 1000, 5000000);
}

static void power_cut(struct hx_sim *s, struct hx_rng *r)
{
    for (uint32_t i = 0; i < s->server_count; i++) {
        hx_sim_server_crash(s, i, back_at(s, r));
        if (hx_rng_below(r, 4) == 0)
            hx_sim_disk_power_off_at(s->servers[i].disk, hx_rng_range(r, 1, 30));
    }
}

static void fast_again(struct hx_sim *s, void *ctx, uint64_t arg)
{
    struct hx_sim_server *v = ctx;
    (void)arg;
    v->slow = 1;
    hx_sim_net_slow(s->net, server_host(v->i), 1);
}

static void slow_down(struct hx_sim *s, struct hx_rng *r)
{
    struct hx_sim_server *v = &s->servers[any_server(s, r)];
    bool disk = hx_rng_below(r, 2);
    hx_sim_note(s, HX_NOTE_FAULT, 's', v->i, SLOW, disk, 0);
    if (disk)
        v->slow = 100;
    else
        hx_sim_net_slow(s->net, server_host(v->i), 100);
    hx_sim_at(s, s->now_us + spread(r, 100000, 20000000), fast_again, v, 0);
}

static void room_again(struct hx_sim *s, void *ctx, uint64_t arg)
{
    (void)s;
    (void)arg;
    hx_sim_disk_limit(((struct hx_sim_server *)ctx)->disk, 0);
}

static void fill_up(struct hx_sim *s, struct hx_rng *r)
{
    struct hx_sim_server *v = &s->servers[any_server(s, r)];
    hx_sim_note(s, HX_NOTE_FAULT, 's', v->i, FULL, 0, 0);
    hx_sim_disk_limit(v->disk, hx_sim_disk_used(v->disk) + 1 + hx_rng_below(r, 65536));
    hx_sim_at(s, s->now_us + spread(r, 100000, 20000000), room_again, v, 0);
}

static struct hx_sim_server *a_victim(struct hx_sim *s, struct hx_rng *r)
{
    struct hx_sim_server *v = &s->servers[any_server(s, r)];
    return v->victim && !v->gone ? v : NULL;
}

/* What was stored long ago goes bad, on some victims at once. */
static void rot(struct hx_sim *s, struct hx_rng *r)
{
    for (uint32_t i = 0; i < s->server_count; i++)
        if (s->servers[i].victim && hx_rng_below(r, 2))
            for (uint64_t n = hx_rng_range(r, 1, 8); n > 0; n--)
                hx_sim_disk_flip(s->servers[i].disk, r);
}

static void wipe(struct hx_sim *s, struct hx_sim_faults *f, struct hx_rng *r)
{
    struct hx_sim_server *v = a_victim(s, r);
    if (!v || f->wipes >= WIPES_MAX)
        return;
    f->wipes++;
    hx_sim_server_wipe(s, v->i, back_at(s, r));
}

/* ---- clients ---- */
/* All at the same moment: they claim the same epoch. */
static void everybody(struct hx_sim *s)
{
    for (uint32_t i = 0; i < s->client_count; i++)
        hx_sim_client_start(s, i, true);
}

static void client_fault(struct hx_sim *s, enum kind kind, struct hx_rng *r)
{
    uint32_t i = (uint32_t)hx_rng_below(r, s->client_count);
    bool alive = hx_sim_client_alive(s, i);
    if (kind == RIVAL) {
        if (hx_rng_below(r, 2))
            everybody(s);
        else if (!alive)
            hx_sim_client_start(s, i, true);
    } else if (alive && kind == CLIENT_CRASH) {
        hx_sim_client_crash(s, i);
        if (hx_rng_below(r, 3) == 0)
            everybody(s);
    } else if (alive && hx_sim_client_frozen_until(s, i) <= s->now_us) {
        hx_sim_client_freeze(s, i, s->now_us + hx_rng_range(r, 1000000, 60000000));
        if (s->client_count > 1 && hx_rng_below(r, 2))
            hx_sim_client_start(s, (i + 1) % s->client_count, true);
    }
}

static void jump(struct hx_sim *s, struct hx_rng *r)
{
    int64_t day = INT64_C(86400000000);
    struct hx_sim_server *v = &s->servers[any_server(s, r)];
    v->clock_off_us = (int64_t)hx_rng_range(r, 0, 2 * (uint64_t)day) - day;
    hx_sim_note(s, HX_NOTE_FAULT, 's', v->i, CLOCK, (uint64_t)v->clock_off_us, 0);
}

/* ---- correlated damage ---- */
/* Two that are sound cannot be reached for a while, so that an opening hears of the damaged ones first. */
static void hide_others(struct hx_sim *s, struct hx_rng *r)
{
    uint64_t until = s->now_us + spread(r, 10000, 5000000);
    for (uint32_t i = any_server(s, r), n = 0, tries = 0; n < 2 && tries < s->server_count; tries++) {
        i = (i + 1) % s->server_count;
        if (s->servers[i].victim)
            continue;
        n++;
        for (uint32_t k = 0; k < s->client_count; k++)
            hx_sim_net_block(s->net, (struct hx_sim_host){HX_HOST_CLIENT, k}, server_host(i), until);
    }
}

/*
 * The same entry of one group's log, or the end of it, goes bad on several victims, and they start again: at least
 * three others have sound copies of whatever was stored.  Then the writer dies, mostly.
 */
static void aim(struct hx_sim *s, struct hx_rng *r)
{
    uint32_t pg = (uint32_t)hx_rng_below(r, HX_OPT(s, pgs_max)), from = any_server(s, r);
    enum hx_sim_hurt how = (enum hx_sim_hurt)hx_rng_below(r, HX_HURT_COPY + 1);
    if (HX_OPT(s, lie_aim_how))
        how = (enum hx_sim_hurt)((HX_OPT(s, lie_aim_how) - 1) % (HX_HURT_COPY + 1));
    bool aimed = how >= HX_HURT_END;
    uint64_t lsn = 0;
    if (hx_rng_below(r, 3) == 0)
        pg = 0;
    for (uint32_t k = 0; k < s->server_count; k++) {
        struct hx_sim_server *v = &s->servers[(from + k) % s->server_count];
        if (!v->victim || v->gone || (!aimed && !hx_sim_disk_aim(v->disk, pg, r, &lsn)))
            continue;
        aimed = true;
        uint64_t back_us = s->now_us + spread(r, 100, 100000);
        hx_sim_server_crash(s, v->i, back_us);
        if (hx_sim_disk_hurt(v->disk, pg, lsn, how, r)) {
            hx_sim_note(s, HX_NOTE_FAULT, 's', v->i, AIM, how, lsn);
            hx_oracle_restarted(s->oracle, v->i, false);
        }
    }
    if (!aimed)
        return;
    if (hx_rng_below(r, 2))
        hide_others(s, r);
    for (uint32_t i = 0; i < s->client_count && hx_rng_below(r, 4); i++)
        hx_sim_client_crash(s, i);
    if (hx_rng_below(r, 2))
        everybody(s);
}

/* Whoever has the volume open is told what an operator wishes. */
static void wish_all(struct hx_sim *s, enum kind kind, struct hx_rng *r)
{
    for (uint32_t i = 0; i < s->client_count; i++) {
        if (!hx_sim_client_is_open(s, i) || hx_sim_client_frozen_until(s, i) > s->now_us)
            continue;
        hx_sim_note(s, HX_NOTE_FAULT, 'c', i, kind, 0, 0);
        if (kind == DRAIN)
            hx_sim_client_wish(s, i, r);
        else
            hx_sim_client_degrade(s, i, r);
    }
}

static void happen(struct hx_sim *s, struct hx_sim_faults *f, enum kind kind)
{
    struct hx_rng *r = &f->rng[kind];
    switch (kind) {
    case PART:
        partition(s, r);
        break;
    case CRASH: {
        uint32_t i = any_server(s, r);
        hx_sim_server_crash(s, i, back_at(s, r));
        break;
    }
    case CRASH_CALL:
        hx_sim_disk_power_off_at(s->servers[any_server(s, r)].disk, hx_rng_range(r, 1, 20));
        break;
    case POWER:
        power_cut(s, r);
        break;
    case SLOW:
        slow_down(s, r);
        break;
    case CLIENT_CRASH:
    case FREEZE:
    case RIVAL:
        client_fault(s, kind, r);
        break;
    case CLOCK:
        jump(s, r);
        break;
    case WIPE:
        wipe(s, f, r);
        break;
    case ROLLBACK: {
        struct hx_sim_server *v = a_victim(s, r);
        if (v)
            hx_sim_server_rollback(s, v->i, back_at(s, r));
        break;
    }
    case SAVE: {
        struct hx_sim_server *v = a_victim(s, r);
        if (v)
            hx_sim_disk_save(v->disk);
        break;
    }
    case FULL:
        fill_up(s, r);
        break;
    case ROT:
        rot(s, r);
        break;
    case AIM:
        aim(s, r);
        break;
    case MOVE:
        for (uint32_t i = 0; i < s->client_count; i++)
            hx_sim_client_move(s, i, r);
        break;
    case DRAIN:
    case DEGRADE:
        wish_all(s, kind, r);
        break;
    case WHEN:
    case KINDS:
        break;
    }
}

static void rival_event(struct hx_sim *s, void *ctx, uint64_t arg)
{
    (void)ctx;
    (void)arg;
    if (s->faults->on)
        everybody(s);
}

static void draw_all(struct hx_sim *s, struct hx_sim_faults *f)
{
    static const enum hx_sim_opt rate[KINDS] = {[PART] = HX_OPT_part_ppm,
                                                [CRASH] = HX_OPT_crash_ppm,
                                                [CRASH_CALL] = HX_OPT_crash_call_ppm,
                                                [POWER] = HX_OPT_power_ppm,
                                                [SLOW] = HX_OPT_slow_ppm,
                                                [CLIENT_CRASH] = HX_OPT_client_crash_ppm,
                                                [FREEZE] = HX_OPT_freeze_ppm,
                                                [RIVAL] = HX_OPT_rival_ppm,
                                                [CLOCK] = HX_OPT_clock_ppm,
                                                [WIPE] = HX_OPT_wipe_ppm,
                                                [ROLLBACK] = HX_OPT_rollback_ppm,
                                                [FULL] = HX_OPT_full_ppm,
                                                [SAVE] = HX_OPT_rollback_ppm,
                                                [ROT] = HX_OPT_lie_decay_ppm,
                                                [AIM] = HX_OPT_lie_aim_ppm,
                                                [MOVE] = HX_OPT_move_ppm,
                                                [DRAIN] = HX_OPT_drain_ppm,
                                                [DEGRADE] = HX_OPT_degrade_ppm};
    for (unsigned k = 0; f->on && k < KINDS; k++)
        if (k != WHEN && hx_rng_ppm(&f->rng[k], s->opts.v[rate[k]]))
            happen(s, f, (enum kind)k);
}

static void step(struct hx_sim *s, void *ctx, uint64_t arg)
{
    (void)arg;
    draw_all(s, ctx);
    if (s->faults->on)
        hx_sim_at(s, s->now_us + STEP_US, step, ctx, 0);
}

static void op_step(struct hx_sim *s, void *ctx, uint64_t arg)
{
    (void)arg;
    draw_all(s, ctx);
}

void hx_sim_faults_op(struct hx_sim *s)
{
    if (s->faults && s->faults->on)
        hx_sim_at(s, s->now_us + hx_rng_below(&s->faults->rng[WHEN], OP_US), op_step, s->faults, 0);
}

void hx_sim_faults_sent(struct hx_sim *s, enum hx_part part)
{
    if (!s->faults || !s->faults->on)
        return;
    if (part == HX_PART_RECOVERY && hx_rng_below(&s->faults->rng[WHEN], 6) == 0)
        hx_sim_faults_op(s);
    /* Who takes over while the volume grows must still find every group. */
    if (part == HX_PART_GROWTH && HX_OPT(s, rival_ppm) && hx_rng_below(&s->faults->rng[WHEN], 8) == 0)
        hx_sim_at(s, s->now_us + hx_rng_below(&s->faults->rng[WHEN], OP_US), rival_event, s->faults, 0);
}

void hx_sim_faults_begin(struct hx_sim *s)
{
    s->faults->on = true;
    hx_sim_net_faults(s->net);
    for (uint32_t i = 0; i < s->server_count; i++)
        hx_sim_disk_faults(s->servers[i].disk, true, s->servers[i].victim);
    hx_sim_at(s, s->now_us + STEP_US, step, s->faults, 0);
}

void hx_sim_faults_heal(struct hx_sim *s)
{
    s->faults->on = false;
    hx_sim_net_heal(s->net);
    for (uint32_t i = 0; i < s->server_count; i++) {
        struct hx_sim_server *v = &s->servers[i];
        hx_sim_disk_faults(v->disk, false, false);
        hx_sim_disk_power_off_at(v->disk, 0);
        hx_sim_disk_limit(v->disk, 0);
        v->slow = 1;
        hx_sim_server_start(s, i); /* a segment whose disk has failed comes back by itself (revive.c) */
    }
    for (uint32_t i = 0; i < s->client_count; i++)
        hx_sim_client_unmove(s, i);
}
