/*
 * place.c - which servers hold a group (rules L1 to L5: hexad/place.h).
 *
 * Each call makes a view: segments and groups of each server, its weight, its zone as a number.  A choice is one
 * pass over the servers of a zone that compares costs; after each, the groups of who was chosen say what others share
 * with him.
 * Does not decide when to move or grow, nor how many at a time.
 */
#include "hexad/place.h"

#include "hexad/assert.h"
#include "hexad/quorum.h"

#include <stdlib.h>

#define ZONES 3u
#define PER_ZONE 2u
#define WEIGHT 8u /* of a server of mean size */
#define LOAD_ONE 2048u

struct view {
    const struct hx_geometry *g;
    const struct hx_place_known *known;
    uint32_t *begin;   /* per server and one more: where its groups begin in .groups */
    uint32_t *groups;  /* by server */
    uint32_t *shared;  /* groups in common with the chosen ones */
    uint32_t *zone;    /* the first server of the same zone */
    uint32_t *weight;
    uint16_t chosen[HX_COPIES];
    unsigned count;
    uint32_t group; /* for which one chooses */
    bool away_too; /* servers of a zone that was given up may be named: the group will be a degraded one */
    long not; /* this one is not to be chosen, either; -1: none */
};
struct cost {
    uint32_t avoid, hosts;
    uint64_t load;
    uint32_t shared, luck;
};

static void view_fini(struct view *v)
{
    free(v->begin);
    free(v->groups);
    free(v->shared);
    free(v->zone);
    free(v->weight);
}

static uint32_t segments(const struct view *v, uint32_t server)
{
    return v->begin[server + 1] - v->begin[server];
}

/* Does the slot's server hold a segment, as the row means it? */
static bool is_held(const struct hx_pg_members *row, unsigned slot)
{
    return row->kind != HX_ROW_RELEASED && hx_members_has(hx_row_slots(row), slot);
}

/* The groups of each server, ascending: counted, summed up, filled in from the end. */
static void list_groups(struct view *v)
{
    const struct hx_geometry *g = v->g;
    for (uint32_t i = 0; i < g->pg_count; i++)
        for (unsigned k = 0; k < HX_COPIES; k++)
            v->begin[g->pgs[i].server[k]] += is_held(&g->pgs[i], k);
    for (uint32_t i = 1; i <= g->server_count; i++)
        v->begin[i] += v->begin[i - 1];
    for (uint32_t i = g->pg_count; i-- > 0;)
        for (unsigned k = 0; k < HX_COPIES; k++)
            if (is_held(&g->pgs[i], k))
                v->groups[--v->begin[g->pgs[i].server[k]]] = i;
}

static void list_zones(struct view *v)
{
    const struct hx_geometry *g = v->g;
    for (uint32_t i = 0; i < g->server_count; i++) {
        uint32_t k = 0; /* firsts of zones only: a zone's first server is its own */
        while (k < i && (v->zone[k] != k || strcmp(g->servers[k].zone, g->servers[i].zone) != 0))
            k++;
        v->zone[i] = k;
    }
}

static void weigh(struct view *v)
{
    uint64_t sum = 0, n = 0;
    for (uint32_t i = 0; v->known && i < v->g->server_count; i++) {
        sum += v->known[i].total >> HX_PAGE_SHIFT;
        n += v->known[i].total != 0;
    }
    uint64_t mean = n ? sum / n : 0;
    for (uint32_t i = 0; i < v->g->server_count; i++) {
        uint64_t own = v->known ? v->known[i].total >> HX_PAGE_SHIFT : 0;
        uint64_t w = own && mean ? (own * WEIGHT + mean / 2) / mean : WEIGHT;
        v->weight[i] = w ? (uint32_t)w : 1;
    }
}

static int view_init(struct view *v, const struct hx_geometry *g, const struct hx_place_known *known)
{
    size_t n = g->server_count + 1u;
    if (g->slice)
        return HX_E_INVAL;
    *v = (struct view){.g = g, .known = known, .not = -1, .group = g->pg_count, .begin = calloc(n, sizeof *v->begin),
                       .groups = malloc((HX_COPIES * (size_t)g->pg_count + 1) * sizeof *v->groups),
                       .shared = calloc(n, sizeof *v->shared), .zone = malloc(n * sizeof *v->zone),
                       .weight = malloc(n * sizeof *v->weight)};
    if (!v->begin || !v->groups || !v->shared || !v->zone || !v->weight) {
        view_fini(v);
        return HX_E_NOMEM;
    }
    list_groups(v);
    list_zones(v);
    weigh(v);
    return 0;
}

static bool may_take(const struct view *v, uint32_t i)
{
    uint8_t state = v->g->servers[i].state;
    return state == HX_SERVER_IN || (v->away_too && state == HX_SERVER_AWAY);
}

static uint32_t avoid_of(const struct view *v, uint32_t i)
{
    const struct hx_place_known *k = v->known ? &v->known[i] : NULL;
    if (v->g->servers[i].state == HX_SERVER_AWAY)
        return HX_PLACE_SILENT + 1; /* a zone that was given up comes last of all */
    if (!k)
        return HX_PLACE_FINE;
    return k->avoid < HX_PLACE_FULL && k->total && k->free < v->g->pg_bytes ? HX_PLACE_FULL : k->avoid;
}

/* What a server would bear with MORE segments, in units that take its size into account. */
static uint64_t load_of(const struct view *v, uint32_t i, uint32_t more)
{
    return (uint64_t)(segments(v, i) + more) * LOAD_ONE / v->weight[i];
}

static bool is_chosen(const struct view *v, uint32_t i)
{
    if (v->not == (long)i)
        return true;
    for (unsigned k = 0; k < v->count; k++)
        if (v->chosen[k] == i)
            return true;
    return false;
}

static void choose(struct view *v, uint16_t i)
{
    hx_assert(v->count < HX_COPIES);
    v->chosen[v->count++] = i;
    for (uint32_t at = v->begin[i]; at < v->begin[i + 1]; at++)
        for (unsigned k = 0; k < HX_COPIES; k++)
            v->shared[v->g->pgs[v->groups[at]].server[k]]++;
}

/* Among equals another one for each group: with a fixed order those at its end would always be left to each other.
 * Group 0, which a creation places and perhaps a second one again, gets the first. */
static uint32_t luck_of(uint32_t group, uint32_t server)
{
    if (group == 0)
        return server;
    uint32_t x = (group + 1) * UINT32_C(0x9e3779b1) ^ server * UINT32_C(0x85ebca6b);
    x = (x ^ x >> 15) * UINT32_C(0x2c1b3c6d);
    x = (x ^ x >> 12) * UINT32_C(0x297a2d39);
    return x ^ x >> 15;
}

static struct cost cost_of(const struct view *v, uint32_t i)
{
    const char *host = v->g->servers[i].host;
    struct cost c = {.avoid = avoid_of(v, i), .load = load_of(v, i, 0), .shared = v->shared[i],
                     .luck = luck_of(v->group, i)};
    for (unsigned k = 0; k < v->count && host[0]; k++)
        c.hosts += strcmp(host, v->g->servers[v->chosen[k]].host) == 0;
    return c;
}

static bool better(const struct cost *a, const struct cost *b)
{
    if (a->avoid != b->avoid)
        return a->avoid < b->avoid;
    if (a->hosts != b->hosts)
        return a->hosts < b->hosts;
    if (a->load != b->load)
        return a->load < b->load;
    return a->shared != b->shared ? a->shared < b->shared : a->luck < b->luck;
}

/* The best of a zone that is not chosen yet; -1: nobody. */
static long best_of(const struct view *v, uint32_t zone, struct cost *ret)
{
    long best = -1;
    for (uint32_t i = zone; i < v->g->server_count; i++) {
        if (v->zone[i] != zone || !may_take(v, i) || is_chosen(v, i))
            continue;
        struct cost c = cost_of(v, i);
        if (best >= 0 && !better(&c, ret))
            continue;
        best = (long)i;
        *ret = c;
    }
    return best;
}

/* ---- a group ---- */

struct zone_cost {
    uint32_t zone, avoid, level; /* level: how many are as good as the best: how free a choice it leaves */
    uint64_t load;
};

/* What the two best of a zone cost, hosts and groups aside; false: it has no two. */
static bool weigh_zone(const struct view *v, uint32_t zone, struct zone_cost *ret)
{
    struct cost low[PER_ZONE] = {{0}};
    unsigned n = 0;
    *ret = (struct zone_cost){.zone = zone};
    for (uint32_t i = zone; i < v->g->server_count; i++) {
        if (v->zone[i] != zone || !may_take(v, i))
            continue;
        struct cost c = {.avoid = avoid_of(v, i), .load = load_of(v, i, 0)};
        if (n == 0 || better(&c, &low[0])) {
            low[1] = low[0];
            low[0] = c;
            ret->level = 1;
        } else {
            ret->level += !better(&low[0], &c);
            if (n == 1 || better(&c, &low[1]))
                low[1] = c;
        }
        n++;
    }
    if (n < PER_ZONE)
        return false;
    ret->avoid = low[0].avoid + low[1].avoid;
    ret->load = low[0].load + low[1].load;
    return true;
}

static bool zone_better(const struct zone_cost *a, const struct zone_cost *b)
{
    return a->avoid != b->avoid ? a->avoid < b->avoid : a->load < b->load;
}

static int best_zones(const struct view *v, struct zone_cost best[ZONES])
{
    unsigned n = 0;
    for (uint32_t i = 0; i < v->g->server_count; i++) {
        struct zone_cost c;
        if (v->zone[i] != i || !weigh_zone(v, i, &c))
            continue;
        unsigned at = n < ZONES ? n++ : ZONES;
        for (; at > 0 && zone_better(&c, &best[at - 1]); at--)
            if (at < ZONES)
                best[at] = best[at - 1];
        if (at < ZONES)
            best[at] = c;
    }
    return n < ZONES ? HX_E_INVAL : 0;
}

static void put(struct hx_pg_members *row, unsigned at, uint16_t server)
{
    while (at % PER_ZONE && row->server[at - 1] > server) {
        row->server[at] = row->server[at - 1];
        at--;
    }
    row->server[at] = server;
}

/* Chooses in the zone first that leaves the fewest choices; the row then has its zones by their first servers. */
static void choose_six(struct view *v, struct zone_cost z[ZONES], struct hx_pg_members *ret)
{
    *ret = (struct hx_pg_members){0};
    for (unsigned turn = 0; turn < ZONES; turn++) {
        unsigned next = ZONES, slot = 0;
        for (unsigned k = 0; k < ZONES; k++)
            if (z[k].level && (next == ZONES || z[k].level < z[next].level))
                next = k;
        z[next].level = 0;
        for (unsigned k = 0; k < ZONES; k++)
            slot += z[k].zone < z[next].zone ? PER_ZONE : 0;
        for (unsigned k = 0; k < PER_ZONE; k++) {
            struct cost c;
            long i = best_of(v, z[next].zone, &c);
            hx_assert(i >= 0); /* weigh_zone has seen two */
            choose(v, (uint16_t)i);
            put(ret, slot + k, (uint16_t)i);
        }
    }
}

/* Places of a zone that was given up stay empty (D1). */
static void leave_out(const struct hx_geometry *g, struct hx_pg_members *row)
{
    hx_members in = 0;
    for (unsigned k = 0; k < HX_COPIES; k++)
        if (g->servers[row->server[k]].state == HX_SERVER_IN)
            in = hx_members_add(in, k);
    if (in != HX_MEMBERS_ALL) {
        row->kind = HX_ROW_DEGRADED;
        row->survivors = in;
    }
}

int hx_place_group(const struct hx_geometry *g, const struct hx_place_known *known, struct hx_pg_members *ret)
{
    struct view v;
    struct zone_cost z[ZONES];
    int err = view_init(&v, g, known);
    if (err)
        return err;
    v.away_too = true;
    err = best_zones(&v, z);
    if (!err)
        choose_six(&v, z, ret);
    view_fini(&v);
    if (!err)
        leave_out(g, ret);
    return err;
}

/* ---- spares ---- */

static int spare(struct view *v, uint32_t pg, unsigned slot, uint16_t *ret)
{
    const struct hx_pg_members *row = &v->g->pgs[pg];
    struct cost c;
    memset(v->shared, 0, (v->g->server_count + 1u) * sizeof *v->shared);
    v->count = 0;
    v->group = pg;
    for (unsigned k = 0; k < HX_COPIES; k++)
        if (k != slot && is_held(row, k))
            choose(v, row->server[k]);
    v->not = is_held(row, slot) ? row->server[slot] : -1; /* who had an empty place may have it again */
    long i = best_of(v, v->zone[row->server[slot]], &c);
    if (i < 0)
        return HX_E_NOSPACE;
    *ret = (uint16_t)i;
    return 0;
}

int hx_place_spare(const struct hx_geometry *g, const struct hx_place_known *known, uint32_t pg, unsigned slot,
                   uint16_t *ret)
{
    struct view v;
    if (g->slice || pg >= g->pg_count || slot >= HX_COPIES)
        return HX_E_INVAL;
    int err = view_init(&v, g, known);
    if (err)
        return err;
    err = spare(&v, pg, slot, ret);
    view_fini(&v);
    return err;
}

int hx_place_drain(const struct hx_geometry *g, const struct hx_place_known *known, long server, uint32_t from,
                   struct hx_place_move *ret)
{
    if (g->slice)
        return HX_E_INVAL;
    for (uint32_t pg = from; pg < g->pg_count; pg++) {
        for (unsigned k = 0; k < HX_COPIES; k++) {
            uint16_t i = g->pgs[pg].server[k];
            bool wanted = server >= 0 ? server == i : g->servers[i].state != HX_SERVER_IN;
            if (!wanted || !is_held(&g->pgs[pg], k))
                continue;
            *ret = (struct hx_place_move){.pg = pg, .slot = k};
            return hx_place_spare(g, known, pg, k, &ret->to);
        }
    }
    return HX_E_NOENT;
}

/* ---- relief ---- */

static bool is_pressed(const struct view *v, uint32_t i)
{
    uint32_t avoid = avoid_of(v, i);
    return avoid == HX_PLACE_BUSY || avoid == HX_PLACE_FULL;
}

/* Is it better with a segment more on TO and one less on FROM? */
static bool helps(const struct view *v, uint32_t from, uint32_t to)
{
    if (avoid_of(v, to) != HX_PLACE_FINE)
        return false;
    return is_pressed(v, from) || load_of(v, to, 1) < load_of(v, from, 0);
}

/* The worst server that was not tried: pressed ones first, then by load; -1: all were. */
static long worst_of(const struct view *v, const bool *tried)
{
    long worst = -1;
    for (uint32_t i = 0; i < v->g->server_count; i++) {
        if (tried[i] || v->g->servers[i].state != HX_SERVER_IN || avoid_of(v, i) == HX_PLACE_SILENT)
            continue;
        bool p = is_pressed(v, i), q = worst >= 0 && is_pressed(v, (uint32_t)worst);
        if (worst < 0 || (p != q ? p : load_of(v, i, 0) > load_of(v, (uint32_t)worst, 0)))
            worst = (long)i;
    }
    return worst;
}

/* Could anybody of its zone take a segment of FROM?  So that an even fleet is not searched group by group. */
static bool has_taker(const struct view *v, uint32_t from)
{
    for (uint32_t i = v->zone[from]; i < v->g->server_count; i++)
        if (v->zone[i] == v->zone[from] && i != from && v->g->servers[i].state == HX_SERVER_IN && helps(v, from, i))
            return true;
    return false;
}

/* The newest of FROM's groups that somebody can take. */
static bool relieve(struct view *v, uint32_t from, struct hx_place_move *ret)
{
    for (uint32_t at = v->begin[from + 1]; at-- > v->begin[from] && v->groups[at] != 0;) {
        const struct hx_pg_members *row = &v->g->pgs[v->groups[at]];
        unsigned slot = 0;
        while (row->server[slot] != from || !is_held(row, slot))
            slot++;
        *ret = (struct hx_place_move){.pg = v->groups[at], .slot = slot};
        if (spare(v, ret->pg, slot, &ret->to) == 0 && helps(v, from, ret->to))
            return true;
    }
    return false;
}

int hx_place_relief(const struct hx_geometry *g, const struct hx_place_known *known, struct hx_place_move *ret)
{
    struct view v;
    int err = view_init(&v, g, known);
    if (err)
        return err;
    bool *tried = calloc(g->server_count + 1u, sizeof *tried);
    err = tried ? HX_E_NOENT : HX_E_NOMEM;
    for (long i; err == HX_E_NOENT && (i = worst_of(&v, tried)) >= 0; tried[i] = true)
        if (has_taker(&v, (uint32_t)i) && relieve(&v, (uint32_t)i, ret))
            err = 0;
    free(tried);
    view_fini(&v);
    return err;
}
