/*
 * geometry.c - servers, protection groups, members: checks, placement, bytes (hexad/geometry.h).
 *
 * Does not decide when to grow or whom to ask: growth.c and create.c do.  Memory: lists are owned; on an
 * error the destination is unchanged.
 */
#include "hexad/geometry.h"

#include <stdlib.h>

#define GEOMETRY_VERSION 1u
#define PG_BYTES_ON_WIRE (2u * HX_COPIES)
#define PG_COUNT_MAX (UINT32_C(1) << 28)

void hx_geometry_fini(struct hx_geometry *g)
{
    free(g->servers);
    free(g->pgs);
    *g = (struct hx_geometry){0};
}

int hx_geometry_copy(struct hx_geometry *dst, const struct hx_geometry *src)
{
    struct hx_geometry g = *src;
    g.servers = malloc((src->server_count + 1u) * sizeof *g.servers);
    g.pgs = malloc(((size_t)src->pg_count + 1u) * sizeof *g.pgs);
    if (!g.servers || !g.pgs) {
        free(g.servers);
        free(g.pgs);
        return HX_E_NOMEM;
    }
    if (src->server_count)
        memcpy(g.servers, src->servers, src->server_count * sizeof *g.servers);
    if (src->pg_count)
        memcpy(g.pgs, src->pgs, src->pg_count * sizeof *g.pgs);
    if (dst != src)
        hx_geometry_fini(dst);
    *dst = g;
    return 0;
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

int hx_geometry_compare(const struct hx_geometry *a, const struct hx_geometry *b)
{
    int c = compare_u64(a->epoch.v, b->epoch.v);
    if (!c)
        c = compare_u64(a->g, b->g);
    return c ? c : compare_u64(a->m, b->m);
}

static bool server_equal(const struct hx_server *a, const struct hx_server *b)
{
    return !strcmp(a->name, b->name) && !strcmp(a->zone, b->zone) && !strcmp(a->url, b->url) &&
           hx_uuid_eq(&a->incarnation, &b->incarnation);
}

bool hx_geometry_equal(const struct hx_geometry *a, const struct hx_geometry *b)
{
    if (hx_geometry_compare(a, b) || !hx_uuid_eq(&a->volume, &b->volume) || strcmp(a->name, b->name) ||
        a->pg_bytes != b->pg_bytes || a->lal != b->lal || a->created_us != b->created_us)
        return false;
    if (a->server_count != b->server_count || a->pg_count != b->pg_count)
        return false;
    for (uint32_t i = 0; i < a->server_count; i++)
        if (!server_equal(&a->servers[i], &b->servers[i]))
            return false;
    for (uint32_t i = 0; i < a->pg_count; i++)
        if (memcmp(a->pgs[i].server, b->pgs[i].server, sizeof a->pgs[i].server))
            return false;
    return true;
}

static bool name_ok(const char *s)
{
    size_t len = strlen(s);
    if (len == 0 || len > HX_NAME_MAX)
        return false;
    for (; *s; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || *s == '-' ||
              *s == '_' || *s == '.'))
            return false;
    return true;
}

static int check_members(const struct hx_geometry *g, const struct hx_pg_members *p)
{
    for (unsigned i = 0; i < HX_COPIES; i++) {
        if (p->server[i] >= g->server_count)
            return HX_E_INVAL;
        for (unsigned j = 0; j < i; j++)
            if (p->server[i] == p->server[j])
                return HX_E_INVAL;
    }
    return 0;
}

int hx_geometry_check(const struct hx_geometry *g)
{
    if (!name_ok(g->name) || hx_uuid_is_zero(&g->volume) || g->lal == 0 || g->epoch.v == 0)
        return HX_E_INVAL;
    if (g->pg_bytes < HX_PG_SIZE_MIN || g->pg_bytes > HX_PG_SIZE_MAX || g->pg_bytes % HX_PG_SIZE_MIN)
        return HX_E_INVAL;
    if (g->g != g->pg_count || g->server_count > HX_SERVERS_MAX || g->pg_count > PG_COUNT_MAX)
        return HX_E_INVAL;
    for (uint32_t i = 0; i < g->server_count; i++)
        if (!name_ok(g->servers[i].name) || !name_ok(g->servers[i].zone) || !g->servers[i].url[0])
            return HX_E_INVAL;
    for (uint32_t i = 0; i < g->pg_count; i++)
        if (check_members(g, &g->pgs[i]))
            return HX_E_INVAL;
    return 0;
}

int hx_geometry_add_server(struct hx_geometry *g, const struct hx_server *s)
{
    if (g->server_count >= HX_SERVERS_MAX)
        return HX_E_TOOBIG;
    struct hx_server *p = realloc(g->servers, (g->server_count + 1u) * sizeof *p);
    if (!p)
        return HX_E_NOMEM;
    g->servers = p;
    p[g->server_count++] = *s;
    return 0;
}

int hx_geometry_add_pg(struct hx_geometry *g, const struct hx_pg_members *m)
{
    if (check_members(g, m))
        return HX_E_INVAL;
    if (g->pg_count >= PG_COUNT_MAX)
        return HX_E_TOOBIG;
    struct hx_pg_members *p = realloc(g->pgs, ((size_t)g->pg_count + 1u) * sizeof *p);
    if (!p)
        return HX_E_NOMEM;
    g->pgs = p;
    p[g->pg_count++] = *m;
    g->g = g->pg_count;
    return 0;
}

/* Segments that each server holds; caller frees. */
static uint32_t *loads(const struct hx_geometry *g)
{
    uint32_t *load = calloc(g->server_count + 1u, sizeof *load);
    if (!load)
        return NULL;
    for (uint32_t i = 0; i < g->pg_count; i++)
        for (unsigned k = 0; k < HX_COPIES; k++)
            load[g->pgs[i].server[k]]++;
    return load;
}

/* The least loaded server of ZONE other than NOT; -1 for none. */
static long best_of_zone(const struct hx_geometry *g, const uint32_t *load, const char *zone, long not)
{
    long best = -1;
    for (uint32_t i = 0; i < g->server_count; i++)
        if ((long)i != not && !strcmp(g->servers[i].zone, zone) && (best < 0 || load[i] < load[best]))
            best = (long)i;
    return best;
}

/* A zone that counts here: first server of its zone, and not the only one; *ret: its two best. */
static bool zone_pair(const struct hx_geometry *g, const uint32_t *load, uint32_t first, long ret[2])
{
    for (uint32_t i = 0; i < first; i++)
        if (!strcmp(g->servers[i].zone, g->servers[first].zone))
            return false;
    ret[0] = best_of_zone(g, load, g->servers[first].zone, -1);
    ret[1] = best_of_zone(g, load, g->servers[first].zone, ret[0]);
    return ret[1] >= 0;
}

int hx_geometry_place(const struct hx_geometry *g, struct hx_pg_members *ret)
{
    uint32_t *load = loads(g);
    if (!load)
        return HX_E_NOMEM;
    /* The three zones whose pair of least loaded servers is least loaded; earlier zones win ties. */
    long pick[3][2];
    uint64_t cost[3];
    unsigned zones = 0;
    for (uint32_t i = 0; i < g->server_count; i++) {
        long pair[2];
        if (!zone_pair(g, load, i, pair))
            continue;
        uint64_t c = (uint64_t)load[pair[0]] + load[pair[1]];
        unsigned at = zones < 3 ? zones : 3;
        while (at > 0 && cost[at - 1] > c) {
            if (at < 3) {
                cost[at] = cost[at - 1];
                memcpy(pick[at], pick[at - 1], sizeof pick[at]);
            }
            at--;
        }
        if (at < 3) {
            cost[at] = c;
            memcpy(pick[at], pair, sizeof pair);
            zones += zones < 3;
        }
    }
    free(load);
    if (zones < 3)
        return HX_E_INVAL;
    for (unsigned z = 0; z < 3; z++)
        for (unsigned k = 0; k < 2; k++)
            ret->server[2 * z + k] = (uint16_t)pick[z][k];
    return 0;
}

size_t hx_geometry_encoded_len(const struct hx_geometry *g)
{
    size_t len = 2 + 16 + 2 + strlen(g->name) + 8 + 8 + 8 + 8 + 4 + 4 + 4 + 4;
    for (uint32_t i = 0; i < g->server_count; i++)
        len += 6 + strlen(g->servers[i].name) + strlen(g->servers[i].zone) + strlen(g->servers[i].url) + 16;
    return len + (size_t)g->pg_count * PG_BYTES_ON_WIRE;
}

void hx_geometry_encode(const struct hx_geometry *g, struct hx_enc *e)
{
    hx_enc_u16(e, GEOMETRY_VERSION);
    hx_enc_uuid(e, &g->volume);
    hx_enc_str(e, g->name);
    hx_enc_u64(e, g->pg_bytes);
    hx_enc_u64(e, g->lal);
    hx_enc_u64(e, g->created_us);
    hx_enc_u64(e, g->epoch.v);
    hx_enc_u32(e, g->g);
    hx_enc_u32(e, g->m);
    hx_enc_u32(e, g->server_count);
    hx_enc_u32(e, g->pg_count);
    for (uint32_t i = 0; i < g->server_count; i++) {
        hx_enc_str(e, g->servers[i].name);
        hx_enc_str(e, g->servers[i].zone);
        hx_enc_str(e, g->servers[i].url);
        hx_enc_uuid(e, &g->servers[i].incarnation);
    }
    for (uint32_t i = 0; i < g->pg_count; i++)
        for (unsigned k = 0; k < HX_COPIES; k++)
            hx_enc_u16(e, g->pgs[i].server[k]);
}

static int decode_lists(struct hx_geometry *g, struct hx_dec *d, uint32_t servers, uint32_t pgs)
{
    for (uint32_t i = 0; i < servers; i++) {
        struct hx_server s = {0};
        hx_dec_str(d, s.name, sizeof s.name);
        hx_dec_str(d, s.zone, sizeof s.zone);
        hx_dec_str(d, s.url, sizeof s.url);
        s.incarnation = hx_dec_uuid(d);
        int err = d->err ? d->err : hx_geometry_add_server(g, &s);
        if (err)
            return err;
    }
    if ((size_t)pgs * PG_BYTES_ON_WIRE > d->len - d->off)
        return HX_E_BADMSG;
    g->pgs = malloc(((size_t)pgs + 1u) * sizeof *g->pgs);
    if (!g->pgs)
        return HX_E_NOMEM;
    for (g->pg_count = 0; g->pg_count < pgs; g->pg_count++)
        for (unsigned k = 0; k < HX_COPIES; k++)
            g->pgs[g->pg_count].server[k] = hx_dec_u16(d);
    return d->err;
}

int hx_geometry_decode(struct hx_geometry *g, struct hx_dec *d)
{
    struct hx_geometry n = {0};
    if (hx_dec_u16(d) != GEOMETRY_VERSION && !d->err)
        return d->err = HX_E_VERSION;
    n.volume = hx_dec_uuid(d);
    hx_dec_str(d, n.name, sizeof n.name);
    n.pg_bytes = hx_dec_u64(d);
    n.lal = hx_dec_u64(d);
    n.created_us = hx_dec_u64(d);
    n.epoch = HX_EPOCH(hx_dec_u64(d));
    n.g = hx_dec_u32(d);
    n.m = hx_dec_u32(d);
    uint32_t servers = hx_dec_u32(d), pgs = hx_dec_u32(d);
    int err = d->err;
    if (!err && (servers > HX_SERVERS_MAX || pgs > PG_COUNT_MAX))
        err = HX_E_BADMSG;
    if (!err)
        err = decode_lists(&n, d, servers, pgs);
    if (!err && hx_geometry_check(&n))
        err = HX_E_BADMSG;
    if (err) {
        hx_geometry_fini(&n);
        return d->err = err;
    }
    hx_geometry_fini(g);
    *g = n;
    return 0;
}
