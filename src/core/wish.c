/*
 * wish.c - see hexad/wish.h: bytes of a wish, and what it makes of a geometry.
 *
 * Removing is refused while a row names the server; adding, where another one has its name or address, for an operator
 * would not know which is meant.  One that left and comes back with the same directory gets its old place.
 */
#include "hexad/wish.h"

#include "hexad/err.h"
#include "hexad/quorum.h"

const char *hx_wish_kind_name(unsigned kind)
{
    static const char *const names[] = {"?", "add", "drain", "undo", "remove", "degrade"};
    return kind < HX_ARRAY_LEN(names) ? names[kind] : names[0];
}

void hx_wish_encode(const struct hx_wish *w, struct hx_enc *e)
{
    hx_enc_u8(e, w->kind);
    hx_enc_u64(e, w->epoch.v);
    hx_enc_u32(e, w->g);
    hx_enc_u32(e, w->m);
    hx_enc_str(e, w->server.name);
    hx_enc_str(e, w->server.zone);
    hx_enc_str(e, w->server.url);
    hx_enc_str(e, w->server.host);
    hx_enc_uuid(e, &w->server.incarnation);
}

int hx_wish_decode(struct hx_wish *w, struct hx_dec *d)
{
    *w = (struct hx_wish){.kind = hx_dec_u8(d)};
    w->epoch = HX_EPOCH(hx_dec_u64(d));
    w->g = hx_dec_u32(d);
    w->m = hx_dec_u32(d);
    hx_dec_str(d, w->server.name, sizeof w->server.name);
    hx_dec_str(d, w->server.zone, sizeof w->server.zone);
    hx_dec_str(d, w->server.url, sizeof w->server.url);
    hx_dec_str(d, w->server.host, sizeof w->server.host);
    w->server.incarnation = hx_dec_uuid(d);
    if (!d->err && (w->kind == 0 || w->kind >= HX_WISH_KINDS || !w->server.name[0]))
        d->err = HX_E_BADMSG;
    return d->err;
}

long hx_wish_find(const struct hx_geometry *g, const char *name)
{
    long burnt = -1;
    for (uint32_t i = 0; i < g->server_count; i++) {
        if (strcmp(g->servers[i].name, name) || g->servers[i].state == HX_SERVER_GONE)
            continue;
        if (g->servers[i].state != HX_SERVER_BURNT)
            return (long)i;
        burnt = (long)i; /* unless another one has its name since */
    }
    return burnt;
}

/* Its place, by the directory that it has; -1: it never had one. */
static long find_incarnation(const struct hx_geometry *g, const struct hx_uuid *incarnation)
{
    for (uint32_t i = 0; i < g->server_count; i++)
        if (hx_uuid_eq(&g->servers[i].incarnation, incarnation))
            return (long)i;
    return -1;
}

bool hx_wish_granted(const struct hx_wish *w, const struct hx_geometry *g)
{
    long i = w->kind == HX_WISH_ADD ? find_incarnation(g, &w->server.incarnation) : hx_wish_find(g, w->server.name);
    if (i < 0)
        return w->kind == HX_WISH_REMOVE;
    switch ((enum hx_wish_kind)w->kind) {
    case HX_WISH_ADD: return g->servers[i].state == HX_SERVER_IN || g->servers[i].state == HX_SERVER_DRAINED;
    case HX_WISH_DRAIN: return g->servers[i].state == HX_SERVER_DRAINED;
    case HX_WISH_DEGRADE: return g->servers[i].state == HX_SERVER_AWAY;
    case HX_WISH_UNDO: return g->servers[i].state == HX_SERVER_IN;
    default: return false;
    }
}

static int add(const struct hx_wish *w, struct hx_geometry *g)
{
    struct hx_server s = w->server;
    long was = find_incarnation(g, &s.incarnation);
    s.state = HX_SERVER_IN;
    if (hx_uuid_is_zero(&s.incarnation) || !s.zone[0] || !s.url[0])
        return HX_E_INVAL;
    for (uint32_t i = 0; i < g->server_count; i++)
        if (g->servers[i].state != HX_SERVER_GONE && g->servers[i].state != HX_SERVER_BURNT &&
            (!strcmp(g->servers[i].name, s.name) || !strcmp(g->servers[i].url, s.url)))
            return HX_E_EXIST;
    if (was < 0)
        return hx_geometry_add_server(g, &s);
    if (g->servers[was].state != HX_SERVER_GONE)
        return HX_E_INVAL; /* burnt */
    return strcmp(g->servers[was].url, s.url) ? HX_E_EXIST : hx_geometry_set_state(g, (uint32_t)was, HX_SERVER_IN);
}

static bool is_named(const struct hx_geometry *g, long server)
{
    for (uint32_t pg = 0; pg < g->pg_count; pg++)
        for (unsigned k = 0; k < HX_COPIES && g->pgs[pg].kind != HX_ROW_RELEASED; k++)
            if (g->pgs[pg].server[k] == server)
                return true;
    return false;
}

/* R3: also while places of the one before are not filled again. */
static bool another_zone_is_away(const struct hx_geometry *g, long server)
{
    const char *zone = g->servers[server].zone;
    for (uint32_t i = 0; i < g->server_count; i++)
        if (g->servers[i].state == HX_SERVER_AWAY && strcmp(g->servers[i].zone, zone))
            return true;
    for (uint32_t pg = 0; pg < hx_geometry_live(g); pg++)
        for (unsigned k = 0; k < HX_COPIES; k++)
            if (!hx_members_has(hx_row_slots(&g->pgs[pg]), k) && strcmp(g->servers[g->pgs[pg].server[k]].zone, zone))
                return true;
    return false;
}

int hx_wish_grant(const struct hx_wish *w, struct hx_geometry *g)
{
    static const enum hx_server_state to[] = {[HX_WISH_DRAIN] = HX_SERVER_DRAINED, [HX_WISH_UNDO] = HX_SERVER_IN,
                                              [HX_WISH_REMOVE] = HX_SERVER_GONE, [HX_WISH_DEGRADE] = HX_SERVER_AWAY};
    uint32_t m = g->m;
    long i = hx_wish_find(g, w->server.name);
    int err;
    if (g->slice || w->kind == 0 || w->kind >= HX_WISH_KINDS)
        return HX_E_INVAL;
    if (hx_wish_granted(w, g))
        return 0;
    if (w->kind == HX_WISH_ADD)
        err = add(w, g);
    else if (i < 0)
        err = HX_E_NOENT;
    else if (w->kind == HX_WISH_DEGRADE && another_zone_is_away(g, i))
        err = HX_E_IN_USE;
    else if (w->kind == HX_WISH_REMOVE && is_named(g, i))
        err = HX_E_IN_USE;
    else
        err = hx_geometry_set_state(g, (uint32_t)i, to[w->kind]);
    if (!err)
        err = hx_geometry_check(g);
    g->m = m;
    return err;
}
