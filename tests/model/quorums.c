/*
 * quorums.c - the algebra of quorums: every set of members against every other, for up to nine members.
 *
 * A rule says of a set of members whether it is a quorum: so many of one list, of each of several lists, or
 * of any of them.  A law says that every quorum of one rule meets every quorum of another; it is proved by
 * trying all pairs of subsets.  Laws that are known to fail (the read set that the 2018 paper prints for a
 * change of membership is one) must fail, with a witness: a table in which everything holds would prove
 * nothing. "Hydrated": members that hold everything acknowledged under the older rule count as part of each
 * of its quorums.
 */
#include "model.h"

#include <inttypes.h>
#include <stdio.h>

struct rule {
    const char *name;
    bool any; /* one of the lists is enough */
    unsigned lists, list[4], need[4];
    unsigned full, full_need; /* besides: so many of these (0: none); */
    unsigned or_all;          /* or, instead of everything else, all of these (0: nothing) */
};

struct law {
    const char *text;
    const struct rule *a, *b;
    unsigned hydrated; /* added to every quorum of A */
    unsigned kept;     /* A's quorums are first copied until so many ... */
    unsigned kept_of;  /* ... of these have it */
    bool fails;
};

enum { A = 1, B = 2, C = 4, D = 8, E = 16, F = 32, G = 64, H = 128, I = 256 };
#define SETS 512u
#define OLD (A | B | C | D | E | F)
#define NEW (A | B | C | D | E | G)
#define OTHER (A | B | C | D | H | F) /* E to H */
#define BOTH (A | B | C | D | H | G)

static const struct rule w1 = {"4 of ABCDEF", false, 1, {OLD}, {4}, 0, 0, 0};
static const struct rule r1 = {"3 of ABCDEF", false, 1, {OLD}, {3}, 0, 0, 0};
static const struct rule w2 = {"4 of ABCDEF and 4 of ABCDEG", false, 2, {OLD, NEW}, {4, 4}, 0, 0, 0};
static const struct rule r2 = {"3 of ABCDEF or 3 of ABCDEG", true, 2, {OLD, NEW}, {3, 3}, 0, 0, 0};
static const struct rule w3 = {"4 of ABCDEG", false, 1, {NEW}, {4}, 0, 0, 0};
static const struct rule r3 = {"3 of ABCDEG", false, 1, {NEW}, {3}, 0, 0, 0};
static const struct rule w4 = {
    "4 of each of ABCDEF, ABCDEG, ABCDHF, ABCDHG", false, 4, {OLD, NEW, OTHER, BOTH}, {4, 4, 4, 4}, 0, 0, 0};
static const struct rule r4 = {
    "3 of any of ABCDEF, ABCDEG, ABCDHF, ABCDHG", true, 4, {OLD, NEW, OTHER, BOTH}, {3, 3, 3, 3}, 0, 0, 0};
static const struct rule w5 = {"4 of ABCDHG", false, 1, {BOTH}, {4}, 0, 0, 0};
static const struct rule r5 = {"3 of ABCDHG", false, 1, {BOTH}, {3}, 0, 0, 0};
static const struct rule w34 = {"3 of ABCD", false, 1, {A | B | C | D}, {3}, 0, 0, 0};
static const struct rule r24 = {"2 of ABCD", false, 1, {A | B | C | D}, {2}, 0, 0, 0};
static const struct rule wft = {"4 of ABCDEF, or all of ACE", false, 1, {OLD}, {4}, 0, 0, A | C | E};
static const struct rule rft = {"3 of ABCDEF with one of ACE", false, 1, {OLD}, {3}, A | C | E, 1, 0};
static const struct rule rft_bare = {"3 of ABCDEF", false, 1, {OLD}, {3}, 0, 0, 0};
static const struct rule declared = {
    "4 of ABCGHI with A, B and C", false, 1, {A | B | C | G | H | I}, {4}, A | B | C, 3, 0};
static const struct rule declared_bare = {"4 of ABCGHI", false, 1, {A | B | C | G | H | I}, {4}, 0, 0, 0};

static const struct law laws[] = {
    {"writes meet writes", &w1, &w1, 0, 0, 0, false},
    {"writes meet reads", &w1, &r1, 0, 0, 0, false},
    {"swap, both lists: writes meet writes", &w2, &w2, 0, 0, 0, false},
    {"swap, both lists: writes meet either list's reads", &w2, &r2, 0, 0, 0, false},
    {"swap, step 1: writes meet writes", &w1, &w2, 0, 0, 0, false},
    {"swap, step 1: old writes meet the old list's reads", &w1, &r1, 0, 0, 0, false},
    {"swap, step 1: both lists' writes meet the old list's reads", &w2, &r1, 0, 0, 0, false},
    {"swap, step 1, as published in 2018: old writes meet either list's reads", &w1, &r2, 0, 0, 0, true},
    {"swap, step 1, G hydrated: old writes meet either list's reads", &w1, &r2, G, 0, 0, false},
    {"swap, step 2: writes meet writes", &w2, &w3, 0, 0, 0, false},
    {"swap, step 2: both lists' writes meet new reads", &w2, &r3, 0, 0, 0, false},
    {"swap, step 2: old writes meet new reads", &w1, &r3, 0, 0, 0, true},
    {"swap, step 2, G hydrated: old writes meet new reads", &w1, &r3, G, 0, 0, false},
    {"swap, step 2: new writes meet the old list's reads", &w3, &r1, 0, 0, 0, true},
    {"swap undone: both lists' writes meet old reads", &w2, &r1, 0, 0, 0, false},
    {"swap in one step: writes meet writes", &w1, &w3, 0, 0, 0, false},
    {"two swaps at once, four lists: writes meet writes", &w1, &w4, 0, 0, 0, false},
    {"two swaps at once, four lists: its writes meet its reads", &w4, &r4, 0, 0, 0, false},
    {"two swaps at once: old writes meet any list's reads", &w1, &r4, 0, 0, 0, true},
    {"two swaps at once, G and H hydrated: old writes meet any list's reads", &w1, &r4, G | H, 0, 0, false},
    {"two swaps at once: four lists' writes meet new writes", &w4, &w5, 0, 0, 0, false},
    {"two swaps at once: four lists' writes meet new reads", &w4, &r5, 0, 0, 0, false},
    {"two swaps at once, G and H hydrated: old writes meet new reads", &w1, &r5, G | H, 0, 0, false},
    {"two swaps in one step: writes meet writes", &w1, &w5, 0, 0, 0, true},
    {"a zone is given up: old writes meet 2 of 4", &w1, &r24, 0, 0, 0, true},
    {"a zone is given up: old writes meet 3 of 4", &w1, &w34, 0, 0, 0, false},
    {"a zone is given up, each record first on 3 of 4: old writes meet 2 of 4", &w1, &r24, 0, 3,
     A | B | C | D, false},
    {"the zone is taken back: 3 of 4 meet the claims of all six", &w34, &w1, 0, 0, 0, false},
    {"the zone is taken back: 3 of 4 meet any three", &w34, &r1, 0, 0, 0, true},
    {"the zone is taken back, each record first on 4 of 6: 3 of 4 meet any three", &w34, &r1, 0, 4, OLD, false},
    {"one member in one version: old writes meet new reads", &w1, &r3, 0, 0, 0, true},
    {"one member in one version, each record first on 4 of the new: old writes meet new reads", &w1, &r3, 0, 4, NEW,
     false},
    {"two members in one version, each record first on 4 of the new: old writes meet new reads", &w1, &r5, 0, 4, BOTH,
     false},
    {"three full copies: writes meet writes", &wft, &wft, 0, 0, 0, false},
    {"three full copies: writes meet reads with a full one", &wft, &rft, 0, 0, 0, false},
    {"three full copies: writes meet any three", &wft, &rft_bare, 0, 0, 0, true},
    {"D, E, F declared lost, G, H, I in: claims of the old list meet claims with all survivors", &w1,
     &declared, 0, 0, 0, false},
    {"D, E, F declared lost, G, H, I in: claims of the old list meet claims without all of them", &w1,
     &declared_bare, 0, 0, 0, true},
};

static unsigned count(unsigned set)
{
    return (unsigned)__builtin_popcount(set);
}

static bool holds(const struct rule *r, unsigned set)
{
    unsigned met = 0;
    if (r->or_all && (set & r->or_all) == r->or_all)
        return true;
    for (unsigned l = 0; l < r->lists; l++)
        met += count(set & r->list[l]) >= r->need[l];
    return (r->any ? met > 0 : met == r->lists) && count(set & r->full) >= r->full_need;
}

static void letters(unsigned set, char *out)
{
    for (unsigned i = 0; i < 9; i++)
        if (set >> i & 1)
            *out++ = (char)('A' + i);
    *out = '\0';
}

/* Some way to copy SET's data to KEPT of OF leaves it without a common member with B. */
static bool missed(const struct law *w, unsigned a, unsigned b)
{
    unsigned held = a | w->hydrated;
    if (!w->kept)
        return !(held & b);
    for (unsigned more = 0; more < SETS; more++)
        if ((more & held) == held && (more & ~held & ~w->kept_of) == 0 &&
            count(more & w->kept_of) >= w->kept && !(more & b))
            return true;
    return false;
}

static bool prove(const struct law *w, uint64_t *cases, unsigned *ret_a, unsigned *ret_b)
{
    for (unsigned a = 0; a < SETS; a++)
        for (unsigned b = 0; b < SETS && holds(w->a, a); b++) {
            if (!holds(w->b, b))
                continue;
            ++*cases;
            if (missed(w, a, b)) {
                *ret_a = a;
                *ret_b = b;
                return false;
            }
        }
    return true;
}

/* All n up to 8 and all sizes: two quorums meet iff their sizes add up to more than n; and the same over a
 * swap. */
static int arithmetic(uint64_t *cases)
{
    int broken = 0;
    for (unsigned n = 1; n <= 8; n++)
        for (unsigned w = 1; w <= n; w++)
            for (unsigned r = 1; r <= n; r++) {
                struct rule a = {NULL, false, 1, {(1u << n) - 1}, {w}, 0, 0, 0};
                struct rule b = {NULL, false, 1, {(1u << n) - 1}, {r}, 0, 0, 0};
                struct law l = {NULL, &a, &b, 0, 0, 0, false};
                unsigned x, y;
                broken += prove(&l, cases, &x, &y) != (w + r > n);
                if (n == 8 || w + r <= n)
                    continue;
                /* The last member gives way to a hydrated newcomer: what was acknowledged is still found. */
                b.list[0] = (1u << (n - 1)) - 1 + (1u << n);
                l.hydrated = 1u << n;
                broken += !prove(&l, cases, &x, &y);
            }
    return broken;
}

int md_quorums(bool quiet, uint64_t *ret_cases)
{
    int broken = 0;
    *ret_cases = 0;
    for (size_t i = 0; i < sizeof laws / sizeof *laws; i++) {
        const struct law *w = &laws[i];
        unsigned a = 0, b = 0;
        bool proved = prove(w, ret_cases, &a, &b);
        char one[10], other[10];
        broken += proved == w->fails;
        letters(a, one);
        letters(b, other);
        if (!quiet && proved)
            printf("%s  %s: %s / %s\n", w->fails ? "WRONG" : "holds", w->text, w->a->name, w->b->name);
        else if (!quiet)
            printf("%s  %s: %s has %s, %s has %s\n", w->fails ? "fails" : "WRONG", w->text, w->a->name, one,
                   w->b->name, other);
    }
    broken += arithmetic(ret_cases);
    if (!quiet)
        printf("%" PRIu64 " pairs of sets, %d laws not as expected\n", *ret_cases, broken);
    return broken;
}
