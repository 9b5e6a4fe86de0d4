/*
 * opts.c - the options of a run, drawn from its seed: each fault with a rate of its own, many of them off
 * (swarm testing:
 * Groce et al., ISSTA 2012: a run with few features on finds what a run with all of them on hides).
 *
 * One seed in eight has no fault at all.  Every option can be set by hand afterwards; what was not set keeps
 * what the seed
 * drew for it (S2).
 */
#include "sim.h"

#include "hexad/err.h"

#include <stdio.h>
#include <string.h>

const char *const hx_sim_opt_name[HX_SIM_OPT_COUNT] = {
#define X(name, text) #name,
    HX_SIM_OPTS(X)
#undef X
};
const char *const hx_sim_opt_text[HX_SIM_OPT_COUNT] = {
#define X(name, text) text,
    HX_SIM_OPTS(X)
#undef X
};

struct draw {
    struct hx_sim_opts *o;
    bool quiet; /* no faults */
};

static uint64_t of(const struct hx_sim_opts *o, enum hx_sim_opt which, uint64_t lo, uint64_t hi)
{
    struct hx_rng r = hx_rng_fork(o->seed, hx_sim_opt_name[which], 0);
    return hx_rng_range(&r, lo, hi);
}

/* On in ON_PCT of the seeds; then between LO and HI, with small values as likely as large ones. */
static void fault(struct draw *d, enum hx_sim_opt which, unsigned on_pct, uint64_t lo, uint64_t hi)
{
    struct hx_rng r = hx_rng_fork(d->o->seed, hx_sim_opt_name[which], 1);
    d->o->v[which] = 0;
    if (hx_rng_below(&r, 100) >= on_pct || d->quiet)
        return;
    uint64_t v = lo;
    while (v < hi && hx_rng_below(&r, 3))
        v = v * 2 + hx_rng_below(&r, v + 1);
    d->o->v[which] = v < hi ? v : hi;
}

static void draw_world(struct hx_sim_opts *o)
{
    o->v[HX_OPT_servers] = of(o, HX_OPT_servers, 0, 3) ? 6 : of(o, HX_OPT_clients, 7, 9);
    /* Whole fleets, whose lost members are replaced: drawn among those of more than six only. */
    if (o->v[HX_OPT_servers] > 6 && of(o, HX_OPT_repair_ms, 0, 1)) {
        o->v[HX_OPT_servers] = of(o, HX_OPT_scrub_s, 7, 12);
        o->v[HX_OPT_repair_ms] = UINT64_C(250) << of(o, HX_OPT_lie_decay_ppm, 0, 4);
    }
    o->v[HX_OPT_clients] = of(o, HX_OPT_clients, 1, 3);
    o->v[HX_OPT_programs] = of(o, HX_OPT_programs, 1, 6);
    o->v[HX_OPT_ops] = UINT64_C(100) << of(o, HX_OPT_ops, 0, 3);
    o->v[HX_OPT_pg_pages] = UINT64_C(256) << of(o, HX_OPT_pg_pages, 0, 2);
    o->v[HX_OPT_pgs_max] = of(o, HX_OPT_pgs_max, 1, 4);
    o->v[HX_OPT_lal] = UINT64_C(64) << of(o, HX_OPT_lal, 2, 8);
    o->v[HX_OPT_window_kb] = UINT64_C(1536) << of(o, HX_OPT_window_kb, 0, 4);
    o->v[HX_OPT_cache_kb] = UINT64_C(4096) << of(o, HX_OPT_cache_kb, 0, 1);
    o->v[HX_OPT_log_kb] = UINT64_C(16) << of(o, HX_OPT_log_kb, 0, 5);
    o->v[HX_OPT_gossip_ms] = UINT64_C(50) << of(o, HX_OPT_gossip_ms, 0, 4);
    o->v[HX_OPT_think_us] = UINT64_C(500) << of(o, HX_OPT_think_us, 0, 6);
    o->v[HX_OPT_fsync_pct] = of(o, HX_OPT_fsync_pct, 2, 40);
    o->v[HX_OPT_big_pct] = of(o, HX_OPT_big_pct, 0, 1) ? 0 : of(o, HX_OPT_window_kb, 2, 20);
    /* A run's time goes where its bytes go, and what can break breaks between messages: most seeds have few bytes. */
    o->v[HX_OPT_big_kb] = of(o, HX_OPT_big_kb, 0, 7) ? UINT64_C(16) << of(o, HX_OPT_big_pct, 0, 2) : 1024;
    o->v[HX_OPT_small_pct] = 15 * of(o, HX_OPT_small_pct, 0, 6);
    o->v[HX_OPT_dense] = of(o, HX_OPT_dense, 0, 2) > 0;
    o->v[HX_OPT_meta_pct] = of(o, HX_OPT_meta_pct, 5, 70);
    o->v[HX_OPT_net_delay_us] = UINT64_C(50) << of(o, HX_OPT_net_delay_us, 0, 7);
    o->v[HX_OPT_net_jitter_us] = o->v[HX_OPT_net_delay_us] * of(o, HX_OPT_net_jitter_us, 0, 4);
    o->v[HX_OPT_beside_us] = of(o, HX_OPT_beside_us, 0, 4) ? UINT64_C(200) << of(o, HX_OPT_discard_pct, 0, 11) : 0;
    o->v[HX_OPT_discard_pct] = 10 * of(o, HX_OPT_torn_pct, 0, 5);
    o->v[HX_OPT_torn_pct] = of(o, HX_OPT_torn_pct, 0, 100);
}

void hx_sim_opts_draw(struct hx_sim_opts *o, uint64_t seed)
{
    memset(o, 0, sizeof *o);
    o->seed = seed;
    draw_world(o);
    struct hx_rng r = hx_rng_fork(seed, "quiet", 0);
    struct draw d = {o, hx_rng_below(&r, 8) == 0};
    fault(&d, HX_OPT_net_late_ppm, 50, 500, 50000);
    fault(&d, HX_OPT_net_loss_ppm, 50, 1000, 100000);
    fault(&d, HX_OPT_net_dup_ppm, 50, 1000, 100000);
    fault(&d, HX_OPT_net_replay_ppm, 40, 1000, 50000);
    fault(&d, HX_OPT_net_cut_ppm, 30, 1000, 20000);
    fault(&d, HX_OPT_part_ppm, 50, 3000, 40000);
    fault(&d, HX_OPT_crash_ppm, 50, 3000, 40000);
    fault(&d, HX_OPT_crash_call_ppm, 50, 3000, 60000);
    fault(&d, HX_OPT_power_ppm, 25, 1000, 10000);
    fault(&d, HX_OPT_slow_ppm, 30, 2000, 20000);
    fault(&d, HX_OPT_client_crash_ppm, 60, 4000, 40000);
    fault(&d, HX_OPT_freeze_ppm, 40, 1000, 10000);
    fault(&d, HX_OPT_rival_ppm, 40, 3000, 30000);
    fault(&d, HX_OPT_clock_ppm, 30, 1000, 10000);
    fault(&d, HX_OPT_wipe_ppm, 15, 1000, 10000);
    fault(&d, HX_OPT_rollback_ppm, 10, 1000, 10000);
    fault(&d, HX_OPT_eio_read_ppm, 20, 100, 5000);
    fault(&d, HX_OPT_eio_write_ppm, 20, 50, 2000);
    fault(&d, HX_OPT_eio_flush_ppm, 20, 50, 2000);
    fault(&d, HX_OPT_full_ppm, 25, 1000, 10000);
    fault(&d, HX_OPT_lie_flush_ppm, 10, 200, 20000);
    fault(&d, HX_OPT_lie_rot_ppm, 35, 500, 10000);
    fault(&d, HX_OPT_lie_misplace_ppm, 20, 300, 5000);
    fault(&d, HX_OPT_lie_stale_ppm, 20, 300, 5000);
    fault(&d, HX_OPT_lie_aim_ppm, 25, 2000, 20000);
    o->v[HX_OPT_victims] = d.quiet ? 0 : of(o, HX_OPT_victims, 0, 3);
    if (o->v[HX_OPT_servers] > 6)
        fault(&d, HX_OPT_move_ppm, 60, 5000, 100000);
    if (o->v[HX_OPT_repair_ms] && !d.quiet) { /* who is gone for good is what this is about */
        fault(&d, HX_OPT_wipe_ppm, 75, 10000, 100000);
        o->v[HX_OPT_victims] = of(o, HX_OPT_victims, 1, 3);
    }
}

int hx_sim_opts_set(struct hx_sim_opts *o, const char *name_value)
{
    const char *eq = strchr(name_value, '=');
    if (!eq || !eq[1])
        return HX_E_INVAL;
    uint64_t v = 0;
    for (const char *p = eq + 1; *p; p++) {
        if (*p < '0' || *p > '9' || v > UINT32_MAX)
            return HX_E_INVAL;
        v = v * 10 + (uint64_t)(*p - '0');
    }
    for (unsigned i = 0; i < HX_SIM_OPT_COUNT; i++)
        if (strlen(hx_sim_opt_name[i]) == (size_t)(eq - name_value) &&
            memcmp(hx_sim_opt_name[i], name_value, (size_t)(eq - name_value)) == 0) {
            o->v[i] = v;
            return 0;
        }
    return HX_E_INVAL;
}

int hx_sim_opts_print(const struct hx_sim_opts *o, char *text, size_t cap)
{
    int n = 0;
    for (unsigned i = 0; i < HX_SIM_OPT_COUNT; i++) {
        bool full = (size_t)n >= cap;
        n += snprintf(full ? NULL : text + n, full ? 0 : cap - (size_t)n, "%s%s=%llu", i ? " " : "", hx_sim_opt_name[i],
                      (unsigned long long)o->v[i]);
    }
    return n;
}
