/*
 * pace.c - when a server scrubs, which segment, and how much at a time.
 *
 * Everything that is stored is read again within one cycle: the rate follows from what there is, up to a limit.  On
 * demand (SCRUB) the segments of a volume come first, as fast as the limit allows.
 *   T1 A piece is at most PIECE bytes and comes after the requests of its turn; while requests come in, what was asked
 *      for on demand goes at a quarter of the limit: foreground work waits for a piece at most.
 *   T2 The segment with the fewest cycles behind it goes next, and cycles survive a restart (scrub.c): a server that is
 *      started every day gets through all the same.
 * Does not read anything itself.  Time is what the caller says; late or missing ticks only make it slower.
 */
#include "node_private.h"

#define PIECE (512u << 10)
#define PIECE_MIN (128u << 10) /* smaller ones are not worth a wake-up */
#define RATE_MIN 1024u
#define RATE_MAX_DEFAULT (16u << 20)
#define PAUSE_MAX 60000u
#define ANSWER_MS 20u /* a peer's answer takes about as long */

void hx_pace_init(struct hx_node *n, const struct hx_node_cfg *cfg)
{
    struct hx_pace *p = &n->pace;
    p->cycle_ms = (uint64_t)cfg->scrub_cycle_s * 1000;
    p->rate_max = cfg->scrub_bytes_per_s ? cfg->scrub_bytes_per_s : RATE_MAX_DEFAULT;
    p->last_ms = n->now_ms;
}

/* Of a segment without an error. */
static bool urgent(const struct hx_seg *s)
{
    return s->scrub.asked > s->scrub.cycles;
}

/* T2; NULL: nothing to do. */
static struct hx_seg *choose(const struct hx_node *n)
{
    struct hx_seg *best = NULL;
    for (size_t i = 0; i < n->seg_count; i++) {
        struct hx_seg *s = n->segs[i];
        if (s->error || s->filling || (!n->pace.cycle_ms && !urgent(s)))
            continue;
        if (!s->scrub.loaded)
            hx_scrub_load(s);
        if (s->error || (s->scrub.comparing && !hx_compare_ready(n, s)))
            continue;
        if (!best || (urgent(s) && !urgent(best)) ||
            (urgent(s) == urgent(best) && s->scrub.cycles < best->scrub.cycles))
            best = s;
    }
    return best;
}

/* Bytes a second. */
static uint64_t rate(const struct hx_node *n, bool demand, bool busy)
{
    const struct hx_pace *p = &n->pace;
    uint64_t total = 0;
    if (demand)
        return busy ? p->rate_max / 4 + 1 : p->rate_max;
    for (size_t i = 0; i < n->seg_count; i++)
        total += hx_scrub_total(n->segs[i]) + (n->segs[i]->index.pages << HX_PAGE_SHIFT);
    total += total / 4; /* sidecars, slots, what comes meanwhile */
    hx_assert(p->cycle_ms >= 1000); /* without a cycle there is only demand: choose() */
    uint64_t r = total / (p->cycle_ms / 1000) + RATE_MIN;
    return r < p->rate_max ? r : p->rate_max;
}

void hx_pace_ask(struct hx_node *n, const struct hx_uuid *volume)
{
    for (size_t i = 0; i < n->seg_count; i++)
        if (!n->segs[i]->error && (hx_uuid_is_zero(volume) || hx_uuid_eq(volume, &n->segs[i]->at.volume)))
            hx_scrub_ask(n->segs[i]);
}

static bool comparing(const struct hx_node *n)
{
    for (size_t i = 0; i < n->seg_count; i++)
        if (n->segs[i]->scrub.comparing && !n->segs[i]->error)
            return true;
    return false;
}

static void spend(struct hx_node *n, struct hx_seg *s)
{
    struct hx_pace *p = &n->pace;
    while (s && p->credit >= (int64_t)PIECE_MIN * 1000) {
        if (s->log.batch.len) { /* copies that wait for a commit (space.c B6) */
            hx_node_dirty(n, s);
            hx_node_flush(n);
            if (s->error || s->log.batch.len)
                return;
        }
        size_t used = s->scrub.comparing ? hx_compare_step(n, s) : hx_scrub_step(s, (size_t)(p->credit / 1000));
        p->credit -= (int64_t)used * 1000;
        if (s->meta_dirty)
            hx_node_dirty(n, s);
        s = choose(n);
    }
}

uint64_t hx_pace_tick(struct hx_node *n)
{
    struct hx_pace *p = &n->pace;
    uint64_t gone = n->now_ms > p->last_ms ? n->now_ms - p->last_ms : 0;
    struct hx_seg *s = choose(n);
    bool busy = n->stats.requests != p->requests, answers = comparing(n);
    p->last_ms = n->now_ms;
    p->requests = n->stats.requests;
    if (!s) {
        p->credit = p->credit < 0 ? p->credit : 0;
        return answers ? ANSWER_MS : PAUSE_MAX;
    }
    uint64_t r = rate(n, urgent(s), busy);
    p->credit += (int64_t)((gone < 1000 ? gone : 1000) * r);
    p->credit = p->credit < (int64_t)PIECE * 1000 ? p->credit : (int64_t)PIECE * 1000;
    bool spends = p->credit >= (int64_t)PIECE_MIN * 1000;
    spend(n, s);
    int64_t lack = (int64_t)PIECE_MIN * 1000 - p->credit;
    uint64_t pause = lack > 0 ? (uint64_t)lack / r + 1 : 1;
    answers = spends ? comparing(n) : answers; /* nobody else changes what is compared */
    pause = answers && pause < ANSWER_MS ? ANSWER_MS : pause;
    return pause < PAUSE_MAX ? pause : PAUSE_MAX;
}
