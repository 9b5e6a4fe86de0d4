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

static unsigned pick(struct md_ctx *c, uint64_t *rng)
{
    unsigned kinds[MD_S_END] = {0}, n = 0, of[MD_S_END];
    for (unsigned k = 0; k < c->succ_count; k++)
        kinds[c->step[k].kind]++;
    for (unsigned k = 0; k < MD_S_END; k++)
        if (kinds[k])
            of[n++] = k;
    unsigned kind = of[draw(rng) % n], left = (unsigned)(draw(rng) % kinds[kind]);
    for (unsigned k = 0;; k++)
        if (c->step[k].kind == kind && left-- == 0)
            return k;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* One walk; true when it met something broken. */
static bool walk(struct md_ctx *c, uint64_t seed, bool tell, struct md_result *ret)
{
    struct md_state s;
    uint64_t rng = seed * 0x2545f4914f6cdd1du;
    md_state_first(c, &s);
    for (unsigned i = 0; i < c->slot_count; i++)
        c->names[i] = (char)('A' + i);
    for (unsigned step = 0; step < WALK_STEPS; step++) {
        md_expand_raw(c, &s);
        if (c->succ_count == 0)
            return false;
        unsigned k = pick(c, &rng);
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
    double start = now();
    *ret = (struct md_result){0};
    for (uint64_t k = 0; k < walks; k++) {
        ret->walks++;
        if (walk(c, seed + k, false, ret)) {
            struct md_result again = *ret;
            if (!limits->quiet)
                walk(c, seed + k, true, &again);
            break;
        }
        if (limits->seconds > 0 && now() - start > limits->seconds)
            break;
    }
    ret->seconds = now() - start;
}
