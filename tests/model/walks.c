/*
 * walks.c - random walks through the model, where there are too many states to see them all (n = 6, two PGs).
 *
 * A walk goes from the first state until nothing can happen any more, or for WALK_STEPS steps; every state is
 * checked as in the search.  A kind of step is drawn first, then one of that kind: otherwise gossip, of which
 * there is most, would be nearly all that happens.  The same seed gives the same walks; walk K of seed S is
 * walk 1 of seed S + K - 1, so that a failure is replayed alone.
 */
#include "model.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define WALK_STEPS 400

static uint64_t draw(uint64_t *rng)
{
    uint64_t x = *rng += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* How a walk goes: one opening after the other begins; most steps are those of the newest, the rest are old
 * messages, gossip and faults.  Drawn for each walk: how long an opening has for itself, and how much of the
 * time. */
struct course {
    uint64_t rng;
    unsigned newest, left, spell, focus;
};

static struct course course_of(uint64_t seed)
{
    static const uint8_t focus[] = {0, 8, 12, 14, 15};
    struct course w = {.rng = seed * 0x2545f4914f6cdd1du};
    w.spell = 8 + (unsigned)(draw(&w.rng) % 56);
    w.left = 1 + (unsigned)(draw(&w.rng) % w.spell);
    w.focus = focus[draw(&w.rng) % sizeof focus];
    return w;
}

/* Which kinds of a step may be drawn now: of the newest opening alone, or of all that have begun. */
static bool open_to(const struct md_step *s, const struct course *w, bool focused)
{
    bool gossip = s->kind == MD_S_RECORD || s->kind == MD_S_HISTORY || s->kind == MD_S_FENCE_LATE;
    return focused ? s->a == w->newest && !gossip : s->a <= w->newest;
}

static unsigned pick(struct md_ctx *c, struct course *w)
{
    bool focused = draw(&w->rng) % 16 < w->focus;
    if (w->left-- == 0) {
        w->newest += w->newest + 1 < c->cfg->attempts;
        w->left = 1 + (unsigned)(draw(&w->rng) % w->spell);
    }
    for (;; focused = false) {
        unsigned kinds[MD_S_END] = {0}, n = 0, of[MD_S_END];
        for (unsigned k = 0; k < c->succ_count; k++)
            kinds[c->step[k].kind] += open_to(&c->step[k], w, focused);
        for (unsigned k = 0; k < MD_S_END; k++)
            if (kinds[k])
                of[n++] = k;
        if (n == 0 && !focused)
            w->newest++; /* nothing left of those that have begun */
        if (n == 0)
            continue;
        unsigned kind = of[draw(&w->rng) % n], left = (unsigned)(draw(&w->rng) % kinds[kind]);
        for (unsigned k = 0; k < c->succ_count; k++)
            if (c->step[k].kind == kind && open_to(&c->step[k], w, focused) && left-- == 0)
                return k;
    }
}

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* One walk; true when it met something broken. */
static bool walk(struct md_ctx *c, uint64_t seed, bool tell, struct md_result *ret)
{
    struct md_state s;
    struct course w = course_of(seed);
    md_state_first(c, &s);
    for (unsigned i = 0; i < c->slot_count; i++)
        c->names[i] = (char)('A' + i);
    for (unsigned step = 0; step < WALK_STEPS; step++) {
        md_expand_raw(c, &s);
        if (c->succ_count == 0)
            return false;
        unsigned k = pick(c, &w);
        struct md_state t = c->succ[k];
        if (tell) {
            char words[600];
            md_words_step(c, &s, &t, &c->step[k], words, sizeof words);
            printf("%4u. %s\n", step + 1, words);
        }
        unsigned perm[MD_SLOTS];
        char names[MD_SLOTS];
        memcpy(names, c->names, sizeof names);
        md_normal(c, &t, perm);
        for (unsigned i = 0; i < c->slot_count; i++)
            c->names[i] = names[perm[i]];
        ret->steps++;
        ret->broken = md_check(c, &t, ret->why, sizeof ret->why);
        s = t;
        if (!ret->broken)
            continue;
        ret->depth = step + 1;
        if (tell) {
            printf("   -> %s: %s\n", ret->broken, ret->why);
            md_words_state(c, &s);
        }
        return true;
    }
    return false;
}

void md_walks(struct md_ctx *c, uint64_t walks, uint64_t seed, const struct md_limits *limits,
              struct md_result *ret)
{
    double start = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    *ret = (struct md_result){0};
    for (uint64_t k = 0; k < walks; k++) {
        ret->walks++;
        if (walk(c, seed + k, false, ret)) {
            struct md_result again = *ret;
            if (!limits->quiet)
                walk(c, seed + k, true, &again);
            break;
        }
        if (limits->seconds > 0 && now(CLOCK_MONOTONIC) - start > limits->seconds)
            break;
    }
    ret->cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    ret->seconds = now(CLOCK_MONOTONIC) - start;
}
