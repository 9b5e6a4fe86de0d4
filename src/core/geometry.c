/*
 * geometry.c - servers, protection groups, members: checks, changes, slices, bytes (hexad/geometry.h).
 *
 * Does not decide when to grow or whom to ask: growth.c and create.c do.  Memory: lists are owned; on an
 * error the destination is unchanged.
 */
#include "hexad/geometry.h"

#include <stdlib.h>

#define GEOMETRY_VERSION 3u
#define ROW_BYTES_1 (2u * HX_COPIES)
#define ROW_BYTES_2 (ROW_BYTES_1 + 3u)
#define SLOTS_ALL ((1u << HX_COPIES) - 1u)
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
    uint32_t rows = hx_geometry_rows(src);
    g.pgs = malloc(((size_t)rows + 1u) * sizeof *g.pgs);
    if (!g.servers || !g.pgs) {
        free(g.servers);
        free(g.pgs);
        return HX_E_NOMEM;
    }
    if (src->server_count)
        memcpy(g.servers, src->servers, src->server_count * sizeof *g.servers);
    if (rows)
        memcpy(g.pgs, src->pgs, rows * sizeof *g.pgs);
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
           !strcmp(a->host, b->host) && a->state == b->state && hx_uuid_eq(&a->incarnation, &b->incarnation);
}

static bool row_equal(const struct hx_pg_members *a, const struct hx_pg_members *b)
{
    return !memcmp(a->server, b->server, sizeof a->server) && a->unmade == b->unmade && a->kind == b->kind &&
           a->survivors == b->survivors;
}

bool hx_geometry_equal(const struct hx_geometry *a, const struct hx_geometry *b)
{
    if (hx_geometry_compare(a, b) || !hx_uuid_eq(&a->volume, &b->volume) || strcmp(a->name, b->name) ||
        a->pg_bytes != b->pg_bytes || a->lal != b->lal || a->created_us != b->created_us)
        return false;
    if (a->server_count != b->server_count || a->pg_count != b->pg_count || a->slice != b->slice ||
        a->walk_from.v != b->walk_from.v)
        return false;
    for (uint32_t i = 0; i < a->server_count; i++)
        if (!server_equal(&a->servers[i], &b->servers[i]))
            return false;
    for (uint32_t i = 0; i < hx_geometry_rows(a); i++)
        if (!row_equal(&a->pgs[i], &b->pgs[i]))
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

/* How many of six are in these bits? */
static unsigned slots(unsigned bits)
{
    return (unsigned)__builtin_popcount(bits);
}

/* Bits of a row: a plain one is published with a write quorum made (B2), a degraded one has four members. */
static bool bits_ok(const struct hx_pg_members *p, uint32_t pg)
{
    if ((p->unmade | p->survivors) > SLOTS_ALL)
        return false;
    unsigned left = slots(p->survivors), made = slots(SLOTS_ALL & ~(unsigned)p->unmade);
    switch ((enum hx_row_kind)p->kind) {
    case HX_ROW_PLAIN: return left == 0 && made >= HX_WRITE_QUORUM;
    case HX_ROW_DEGRADED: return left == HX_WRITE_QUORUM;
    case HX_ROW_DECLARED: return left > 0 && left < HX_COPIES;
    case HX_ROW_RELEASED: return left == 0 && pg != 0;
    case HX_ROW_KINDS: break;
    }
    return false;
}

/* Does the row mean the server in this slot?  An empty place only remembers who had it. */
static bool is_meant(const struct hx_pg_members *p, unsigned slot)
{
    bool left = p->kind == HX_ROW_DEGRADED || p->kind == HX_ROW_DECLARED;
    return !left || p->survivors >> slot & 1;
}

static int check_row(const struct hx_geometry *g, const struct hx_pg_members *p, uint32_t pg)
{
    if (!bits_ok(p, pg))
        return HX_E_INVAL;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        if (p->server[i] >= g->server_count)
            return HX_E_INVAL;
        if (g->servers[p->server[i]].state == HX_SERVER_GONE && p->kind != HX_ROW_RELEASED)
            return HX_E_INVAL;
        for (unsigned j = 0; j < i; j++)
            if (p->server[i] == p->server[j] && is_meant(p, i) && is_meant(p, j))
                return HX_E_INVAL;
    }
    return 0;
}

static bool server_ok(const struct hx_server *s)
{
    return name_ok(s->name) && name_ok(s->zone) && s->url[0] && s->state < HX_SERVER_STATES;
}

/* Is SERVER named by a row that means it?  Those of released groups mean nothing. */
static bool is_named(const struct hx_geometry *g, uint32_t server, bool released_too)
{
    for (uint32_t i = 0; i < hx_geometry_rows(g); i++)
        for (unsigned k = 0; k < HX_COPIES; k++)
            if (g->pgs[i].server[k] == server && (released_too || g->pgs[i].kind != HX_ROW_RELEASED))
                return true;
    return false;
}

/* A slice is of a group other than 0, and has no server that its rows do not name. */
static bool slice_ok(const struct hx_geometry *g)
{
    if (g->slice >= g->pg_count || g->server_count > 2 * HX_COPIES)
        return false;
    for (uint32_t i = 0; i < g->server_count; i++)
        if (!is_named(g, i, true))
            return false;
    return true;
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
        if (!server_ok(&g->servers[i]))
            return HX_E_INVAL;
    for (uint32_t i = 0; i < hx_geometry_rows(g); i++)
        if (check_row(g, &g->pgs[i], g->slice && i ? g->slice : i))
            return HX_E_INVAL;
    return g->slice && !slice_ok(g) ? HX_E_INVAL : 0;
}

void hx_geometry_host_of(const char *url, char ret[HX_HOST_MAX + 1])
{
    const char *p = strchr(url, ':');
    p = p && !strncmp(p, "://", 3) ? p + 3 : url;
    size_t len = *p == '[' ? strcspn(++p, "]") : strcspn(p, ":/?#");
    len = len > HX_HOST_MAX ? HX_HOST_MAX : len;
    memcpy(ret, p, len);
    ret[len] = '\0';
}

static int push_server(struct hx_geometry *g, const struct hx_server *s)
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

int hx_geometry_add_server(struct hx_geometry *g, const struct hx_server *s)
{
    int err = push_server(g, s);
    struct hx_server *last = err ? NULL : &g->servers[g->server_count - 1];
    if (last && !last->host[0])
        hx_geometry_host_of(last->url, last->host);
    return err;
}

int hx_geometry_add_pg(struct hx_geometry *g, const struct hx_pg_members *m)
{
    if (g->slice || check_row(g, m, g->pg_count))
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

int hx_geometry_set_members(struct hx_geometry *g, uint32_t pg, const struct hx_pg_members *row)
{
    if (g->slice || pg >= g->pg_count || check_row(g, row, pg))
        return HX_E_INVAL;
    if (g->m == UINT32_MAX)
        return HX_E_TOOBIG;
    g->pgs[pg] = *row;
    g->m++;
    return 0;
}

int hx_geometry_set_state(struct hx_geometry *g, uint32_t server, enum hx_server_state state)
{
    if (g->slice || server >= g->server_count || state >= HX_SERVER_STATES)
        return HX_E_INVAL;
    if (g->servers[server].state == HX_SERVER_BURNT && state != HX_SERVER_BURNT)
        return HX_E_INVAL;
    if (state == HX_SERVER_GONE && is_named(g, server, false))
        return HX_E_INVAL;
    if (g->m == UINT32_MAX)
        return HX_E_TOOBIG;
    g->servers[server].state = (uint8_t)state;
    g->m++;
    return 0;
}

uint32_t hx_geometry_live(const struct hx_geometry *g)
{
    uint32_t n = g->pg_count;
    while (!g->slice && n > 1 && g->pgs[n - 1].kind == HX_ROW_RELEASED)
        n--;
    return n;
}

const struct hx_pg_members *hx_geometry_row(const struct hx_geometry *g, uint32_t pg)
{
    if (!g->slice)
        return pg < g->pg_count ? &g->pgs[pg] : NULL;
    return pg == 0 ? &g->pgs[0] : pg == g->slice ? &g->pgs[1] : NULL;
}

/* ---- slices ---- */

/* The place of server OLD of G in N's table, at the end when it is new there. */
static int slice_place(const struct hx_geometry *g, struct hx_geometry *n, uint16_t from[], uint16_t *place)
{
    uint32_t i = 0;
    while (i < n->server_count && from[i] != *place)
        i++;
    if (i == n->server_count) {
        int err = push_server(n, &g->servers[*place]);
        if (err)
            return err;
        from[i] = *place;
    }
    *place = (uint16_t)i;
    return 0;
}

int hx_geometry_slice(const struct hx_geometry *g, uint32_t pg, struct hx_geometry *ret)
{
    struct hx_geometry n = *g;
    uint16_t from[2 * HX_COPIES];
    if (pg == g->slice && pg < g->pg_count)
        return ret == g ? 0 : hx_geometry_copy(ret, g);
    if (g->slice || pg >= g->pg_count)
        return HX_E_INVAL;
    n.slice = pg;
    n.server_count = 0;
    n.servers = NULL;
    n.pgs = malloc(2 * sizeof *n.pgs);
    int err = n.pgs ? 0 : HX_E_NOMEM;
    for (unsigned row = 0; row < 2 && !err; row++) {
        n.pgs[row] = g->pgs[row ? pg : 0];
        for (unsigned k = 0; k < HX_COPIES && !err; k++)
            err = slice_place(g, &n, from, &n.pgs[row].server[k]);
    }
    if (err) {
        hx_geometry_fini(&n);
        return err;
    }
    hx_geometry_fini(ret);
    *ret = n;
    return 0;
}

/* ---- bytes ---- */

/* The oldest version that says it all. */
static unsigned version_of(const struct hx_geometry *g)
{
    for (uint32_t i = 0; i < g->server_count; i++)
        if (g->servers[i].state == HX_SERVER_AWAY)
            return 3;
    if (g->slice || g->walk_from.v)
        return 2;
    for (uint32_t i = 0; i < g->server_count; i++) {
        char host[HX_HOST_MAX + 1];
        hx_geometry_host_of(g->servers[i].url, host);
        if (g->servers[i].state || strcmp(host, g->servers[i].host))
            return 2;
    }
    for (uint32_t i = 0; i < g->pg_count; i++)
        if (g->pgs[i].unmade || g->pgs[i].kind || g->pgs[i].survivors)
            return 2;
    return 1;
}

size_t hx_geometry_encoded_len(const struct hx_geometry *g)
{
    bool newer = version_of(g) > 1;
    size_t len = 2 + 16 + 2 + strlen(g->name) + 8 + 8 + 8 + 8 + 4 + 4 + 4 + 4 + (newer ? 8 + 4 : 0);
    for (uint32_t i = 0; i < g->server_count; i++) {
        const struct hx_server *s = &g->servers[i];
        len += 6 + strlen(s->name) + strlen(s->zone) + strlen(s->url) + 16 + (newer ? 2 + strlen(s->host) + 1 : 0);
    }
    return len + (size_t)hx_geometry_rows(g) * (newer ? ROW_BYTES_2 : ROW_BYTES_1);
}

static void encode_row(const struct hx_pg_members *p, bool newer, struct hx_enc *e)
{
    for (unsigned k = 0; k < HX_COPIES; k++)
        hx_enc_u16(e, p->server[k]);
    if (!newer)
        return;
    hx_enc_u8(e, (uint8_t)(SLOTS_ALL & ~(unsigned)p->unmade));
    hx_enc_u8(e, p->kind);
    hx_enc_u8(e, p->survivors);
}

void hx_geometry_encode(const struct hx_geometry *g, struct hx_enc *e)
{
    unsigned version = version_of(g);
    bool newer = version > 1;
    hx_enc_u16(e, (uint16_t)version);
    hx_enc_uuid(e, &g->volume);
    hx_enc_str(e, g->name);
    hx_enc_u64(e, g->pg_bytes);
    hx_enc_u64(e, g->lal);
    hx_enc_u64(e, g->created_us);
    hx_enc_u64(e, g->epoch.v);
    hx_enc_u32(e, g->g);
    hx_enc_u32(e, g->m);
    if (newer) {
        hx_enc_u64(e, g->walk_from.v);
        hx_enc_u32(e, g->slice);
    }
    hx_enc_u32(e, g->server_count);
    hx_enc_u32(e, hx_geometry_rows(g));
    for (uint32_t i = 0; i < g->server_count; i++) {
        hx_enc_str(e, g->servers[i].name);
        hx_enc_str(e, g->servers[i].zone);
        hx_enc_str(e, g->servers[i].url);
        hx_enc_uuid(e, &g->servers[i].incarnation);
        if (newer) {
            hx_enc_str(e, g->servers[i].host);
            hx_enc_u8(e, g->servers[i].state);
        }
    }
    for (uint32_t i = 0; i < hx_geometry_rows(g); i++)
        encode_row(&g->pgs[i], newer, e);
}

static struct hx_pg_members decode_row(struct hx_dec *d, bool newer)
{
    struct hx_pg_members p = {0};
    for (unsigned k = 0; k < HX_COPIES; k++)
        p.server[k] = hx_dec_u16(d);
    if (newer) {
        p.unmade = (uint8_t)(hx_dec_u8(d) ^ SLOTS_ALL); /* bits above the six stay, and are refused */
        p.kind = hx_dec_u8(d);
        p.survivors = hx_dec_u8(d);
    }
    return p;
}

static int decode_server(struct hx_geometry *g, struct hx_dec *d, bool newer)
{
    struct hx_server s = {0};
    hx_dec_str(d, s.name, sizeof s.name);
    hx_dec_str(d, s.zone, sizeof s.zone);
    hx_dec_str(d, s.url, sizeof s.url);
    s.incarnation = hx_dec_uuid(d);
    if (newer) {
        hx_dec_str(d, s.host, sizeof s.host);
        s.state = hx_dec_u8(d);
    } else {
        hx_geometry_host_of(s.url, s.host);
    }
    return d->err ? d->err : push_server(g, &s);
}

static int decode_lists(struct hx_geometry *g, struct hx_dec *d, uint32_t servers, bool newer)
{
    uint32_t rows = hx_geometry_rows(g);
    for (uint32_t i = 0; i < servers; i++) {
        int err = decode_server(g, d, newer);
        if (err)
            return err;
    }
    if ((size_t)rows * (newer ? ROW_BYTES_2 : ROW_BYTES_1) > d->len - d->off)
        return HX_E_BADMSG;
    g->pgs = malloc(((size_t)rows + 1u) * sizeof *g->pgs);
    if (!g->pgs)
        return HX_E_NOMEM;
    for (uint32_t i = 0; i < rows; i++)
        g->pgs[i] = decode_row(d, newer);
    return d->err;
}

int hx_geometry_decode(struct hx_geometry *g, struct hx_dec *d)
{
    struct hx_geometry n = {0};
    int err = hx_geometry_decode_any(&n, d);
    if (!err && n.slice)
        err = d->err = HX_E_BADMSG;
    if (err) {
        hx_geometry_fini(&n);
        return err;
    }
    hx_geometry_fini(g);
    *g = n;
    return 0;
}

int hx_geometry_decode_any(struct hx_geometry *g, struct hx_dec *d)
{
    struct hx_geometry n = {0};
    unsigned version = hx_dec_u16(d);
    if ((version < 1 || version > GEOMETRY_VERSION) && !d->err)
        return d->err = HX_E_VERSION;
    n.volume = hx_dec_uuid(d);
    hx_dec_str(d, n.name, sizeof n.name);
    n.pg_bytes = hx_dec_u64(d);
    n.lal = hx_dec_u64(d);
    n.created_us = hx_dec_u64(d);
    n.epoch = HX_EPOCH(hx_dec_u64(d));
    n.g = n.pg_count = hx_dec_u32(d);
    n.m = hx_dec_u32(d);
    if (version > 1) {
        n.walk_from = HX_LSN(hx_dec_u64(d));
        n.slice = hx_dec_u32(d);
    }
    uint32_t servers = hx_dec_u32(d), rows = hx_dec_u32(d);
    int err = d->err;
    if (!err && (servers > HX_SERVERS_MAX || n.pg_count > PG_COUNT_MAX || rows != hx_geometry_rows(&n)))
        err = HX_E_BADMSG;
    if (!err)
        err = decode_lists(&n, d, servers, version > 1);
    if (!err && (hx_geometry_check(&n) || (version > 2 && version_of(&n) < version)))
        err = HX_E_BADMSG; /* the newest one is written only for what no older one can say */
    if (err) {
        hx_geometry_fini(&n);
        return d->err = err;
    }
    hx_geometry_fini(g);
    *g = n;
    return 0;
}
