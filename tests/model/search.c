/*
 * search.c - every state that can be reached, breadth first; a shortest counterexample in words.
 *
 * States are kept whole, so two are never taken for one: a table of (32 bits of hash, number) pairs finds the
 * number, and the words are compared.  A state costs 8 bytes for each member and 28 more, and about 13 in the
 * table; address space is reserved at once, memory is used as it fills. S1 A state is checked when it is
 * found, so the first broken one has the fewest steps. S2 "Whole" is said only when the last state was
 * expanded. Memory: three mappings, given back at the end.
 */
#include "model.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct search {
    struct md_ctx *c;
    uint64_t *words; /* states, MD_WORDS each */
    uint32_t *parent;
    uint64_t *table; /* hash's upper half, number + 1 */
    uint64_t count, cap, slots;
};

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *reserve(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static uint64_t hash_of(const struct md_ctx *c, const uint64_t *w)
{
    uint64_t h = 0x9e3779b97f4a7c15u;
    for (unsigned i = 0; i < MD_WORDS(c); i++) {
        h = (h ^ w[i]) * 0xff51afd7ed558ccdu;
        h ^= h >> 29;
    }
    return h ^ h >> 32;
}

static bool same(const struct md_ctx *c, const uint64_t *a, const uint64_t *b)
{
    return memcmp(a, b, MD_WORDS(c) * sizeof *a) == 0;
}

static uint64_t *state_at(const struct search *s, uint64_t i)
{
    return s->words + i * MD_WORDS(s->c);
}

static int rehash(struct search *s)
{
    uint64_t slots = s->slots * 2, *table = reserve(slots * sizeof *table);
    if (!table)
        return -1;
    for (uint64_t i = 0; i < s->count; i++) {
        uint64_t h = hash_of(s->c, state_at(s, i)), at = h & (slots - 1);
        while (table[at])
            at = (at + 1) & (slots - 1);
        table[at] = (h & 0xffffffff00000000u) | (i + 1);
    }
    munmap(s->table, s->slots * sizeof *s->table);
    s->table = table;
    s->slots = slots;
    return 0;
}

/* 1: new, added as number count - 1; 0: known. */
static int insert(struct search *s, const uint64_t *w, uint64_t h, uint32_t parent)
{
    uint64_t at = h & (s->slots - 1), tag = h & 0xffffffff00000000u;
    for (; s->table[at]; at = (at + 1) & (s->slots - 1))
        if ((s->table[at] & 0xffffffff00000000u) == tag &&
            same(s->c, w, state_at(s, (s->table[at] & 0xffffffffu) - 1)))
            return 0;
    memcpy(state_at(s, s->count), w, MD_WORDS(s->c) * sizeof *w);
    s->parent[s->count] = parent;
    s->table[at] = tag | ++s->count;
    return 1;
}

static void load(const struct search *s, uint64_t i, struct md_state *ret)
{
    memset(ret, 0, sizeof *ret);
    memcpy(ret, state_at(s, i), MD_WORDS(s->c) * sizeof(uint64_t));
}

/* ---- counterexamples ---- */

/* The raw step from BEFORE to the normal form AFTER; prints it, and lets the names follow the members. */
static void tell(struct search *s, unsigned number, const struct md_state *before,
                 const struct md_state *after)
{
    struct md_ctx *c = s->c;
    md_expand_raw(c, before);
    for (unsigned k = 0; k < c->succ_count; k++) {
        struct md_state raw = c->succ[k], t = raw;
        unsigned perm[MD_SLOTS];
        char words[600], names[MD_SLOTS];
        md_normal(c, &t, perm);
        if (!same(c, (const uint64_t *)&t, (const uint64_t *)after))
            continue;
        md_words_step(c, before, &raw, &c->step[k], words, sizeof words);
        printf("%4u. %s\n", number, words);
        memcpy(names, c->names, sizeof names);
        for (unsigned i = 0; i < c->slot_count; i++)
            c->names[i] = names[perm[i]];
        return;
    }
}

static void explain(struct search *s, uint64_t last, struct md_result *ret)
{
    uint32_t path[256];
    unsigned depth = 0;
    struct md_state before, after;
    for (uint64_t i = last; i != 0 && depth < 256; i = s->parent[i])
        path[depth++] = (uint32_t)i;
    load(s, 0, &before);
    for (unsigned k = 0; k < depth; k++) {
        load(s, path[depth - 1 - k], &after);
        tell(s, k + 1, &before, &after);
        before = after;
    }
    md_check(s->c, &before, ret->why, sizeof ret->why); /* once more: with these names */
    printf("   -> %s: %s\n", ret->broken, ret->why);
    md_words_state(s->c, &before);
}

/* ---- the search ---- */

static int search_new(struct search *s, struct md_ctx *c, const struct md_limits *limits)
{
    uint64_t each = MD_WORDS(c) * sizeof(uint64_t) + sizeof(uint32_t) + 24;
    *s = (struct search){.c = c, .cap = limits->bytes / each, .slots = 1u << 16};
    if (limits->states && limits->states < s->cap)
        s->cap = limits->states;
    if (s->cap > UINT32_MAX - 1)
        s->cap = UINT32_MAX - 1;
    s->words = reserve((s->cap + 1) * MD_WORDS(c) * sizeof(uint64_t));
    s->parent = reserve((s->cap + 1) * sizeof *s->parent);
    s->table = reserve(s->slots * sizeof *s->table);
    return s->words && s->parent && s->table ? 0 : -1;
}

static void search_free(struct search *s)
{
    if (s->words)
        munmap(s->words, (s->cap + 1) * MD_WORDS(s->c) * sizeof(uint64_t));
    if (s->parent)
        munmap(s->parent, (s->cap + 1) * sizeof *s->parent);
    if (s->table)
        munmap(s->table, s->slots * sizeof *s->table);
}

/* All successors of state I: 0, 1 when one is broken, -1 out of memory, -2 full. */
static int expand(struct search *s, uint64_t i, struct md_result *ret)
{
    struct md_ctx *c = s->c;
    struct md_state state;
    uint64_t hash[MD_SUCC];
    load(s, i, &state);
    md_expand(c, &state);
    ret->steps += c->succ_count;
    for (unsigned k = 0; k < c->succ_count; k++) {
        hash[k] = hash_of(c, (const uint64_t *)&c->succ[k]);
        __builtin_prefetch(&s->table[hash[k] & (s->slots - 1)]);
    }
    for (unsigned k = 0; k < c->succ_count; k++) {
        if (s->count >= s->cap)
            return -2;
        if (!insert(s, (const uint64_t *)&c->succ[k], hash[k], (uint32_t)i))
            continue;
        ret->broken = md_check(c, &c->succ[k], ret->why, sizeof ret->why);
        if (ret->broken)
            return 1;
        if (s->count * 5 > s->slots * 3) {
            if (rehash(s))
                return -1;
            for (unsigned l = k + 1; l < c->succ_count; l++)
                __builtin_prefetch(&s->table[hash[l] & (s->slots - 1)]);
        }
    }
    return 0;
}

int md_search(struct md_ctx *c, const struct md_limits *limits, struct md_result *ret)
{
    struct search s;
    struct md_state first;
    double start = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    *ret = (struct md_result){0};
    if (search_new(&s, c, limits)) {
        search_free(&s);
        return -1;
    }
    md_state_first(c, &first);
    md_normal(c, &first, NULL);
    insert(&s, (const uint64_t *)&first, hash_of(c, (const uint64_t *)&first), 0);
    uint64_t level_end = 1, i = 0;
    int rc = 0;
    for (; i < s.count && !rc; i++) {
        if (i == level_end) {
            ret->depth++;
            level_end = s.count;
        }
        rc = expand(&s, i, ret);
        if (!rc && limits->seconds > 0 && (i & 4095) == 0 && now(CLOCK_MONOTONIC) - start > limits->seconds)
            rc = -2;
    }
    ret->whole = rc == 0;
    ret->states = s.count;
    ret->bytes = s.count * (MD_WORDS(c) * sizeof(uint64_t) + sizeof(uint32_t)) + s.slots * sizeof *s.table;
    if (rc == 1) {
        ret->depth++;
        if (!limits->quiet)
            explain(&s, s.count - 1, ret);
    }
    ret->cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    ret->seconds = now(CLOCK_MONOTONIC) - start;
    search_free(&s);
    return rc == -1 ? -1 : 0;
}
