/*
 * oracle_lack.c - members that do not catch up: is it slow, is it lost, or did somebody let go what they need?  (I10)
 *
 * A member whose disk kept its word and that lacks a record gets it from a peer.  If none of those that claim to be
 * complete through it gives it away any more, it was let go while somebody needed it.  A member whose disk lied may
 * lack what all six once had; it waits to be built anew, and counts as one that is down.
 */
#include "oracle_int.h"
#include "server.h"
#include "hexad/quorum.h"

bool oc_beyond_gossip(const struct hx_oracle *o, uint32_t pg, uint32_t server)
{
    const struct oc_server *v = &o->servers[server];
    struct hx_segment_look mine, l;
    if (pg >= v->seg_count || !v->segs[pg].lied || !oc_look(o, server, pg, &mine))
        return false;
    if (mine.error == HX_E_CORRUPT || mine.retired)
        return true; /* no meta slot is left: it cannot even say what it has promised; or an old tombstone is back */
    for (uint32_t k = 0; k < o->server_count; k++)
        if (k != server && oc_look(o, k, pg, &l) && (l.gc.v > mine.scl.v || l.base.v > mine.scl.v))
            return true;
    return false;
}

static bool has_segment(const struct hx_oracle *o, uint32_t server, uint32_t pg)
{
    struct hx_segment_look l;
    return oc_look(o, server, pg, &l);
}

/* Its disk came back as of before the group: it made the segment, and has none. */
static bool forgot(const struct hx_oracle *o, uint32_t server, uint32_t pg)
{
    const struct oc_server *v = &o->servers[server];
    return pg < v->seg_count && v->segs[pg].lied && o->pgs[pg].formatted >> server & 1;
}

bool hx_oracle_forgotten(const struct hx_oracle *o, uint32_t client)
{
    const struct oc_attempt *a = NULL;
    for (size_t i = o->attempt_count; i-- > 0 && !a;)
        a = o->attempts[i]->client == client ? o->attempts[i] : NULL;
    for (uint32_t pg = 1; a && pg < a->absent_count && pg < o->pg_count; pg++) {
        unsigned n = 0;
        for (uint32_t k = 0; k < o->server_count; k++)
            n += a->absent[pg] >> k & 1 && forgot(o, k, pg);
        if (oc_count(a->absent[pg]) >= HX_WRITE_QUORUM && n >= 2)
            return true;
    }
    return false;
}

static bool is(const struct hx_oracle *o, const struct oc_epoch *e, uint32_t server, enum hx_server_state state)
{
    for (uint32_t i = 0; i < e->g.server_count; i++)
        if (oc_whose(o, e->g.servers[i].incarnation.b) == server)
            return e->g.servers[i].state == state;
    return false;
}

/* To be emptied, by the list of this epoch. */
static bool drained(const struct hx_oracle *o, const struct oc_epoch *e, uint32_t server)
{
    return is(o, e, server, HX_SERVER_DRAINED);
}

/* May SERVER take a place of PG? */
static bool spare(const struct hx_oracle *o, const struct oc_epoch *e, uint32_t pg, uint32_t server)
{
    bool takes = !drained(o, e, server) && !is(o, e, server, HX_SERVER_AWAY);
    return takes && !oc_gone(o, server) && !(oc_row(o, &e->g, pg) >> server & 1);
}

bool hx_oracle_mended(const struct hx_oracle *o)
{
    const struct oc_epoch *e = oc_newest(o);
    for (uint32_t pg = 0; e && pg < e->g.pg_count; pg++)
        for (uint32_t k = 0; k < o->server_count; k++) {
            if (hx_row_slots(&e->g.pgs[pg]) != HX_MEMBERS_ALL)
                continue; /* its empty places may take the zone's last one (E7) */
            bool leaves = (oc_gone(o, k) || drained(o, e, k)) && oc_row(o, &e->g, pg) >> k & 1;
            for (uint32_t i = k % 3; leaves && i < o->server_count; i += 3)
                if (spare(o, e, pg, i))
                    return false;
        }
    return true;
}

/* Group PG, as G has it, can have no write quorum any more. */
static bool is_lost(const struct hx_oracle *o, const struct hx_geometry *g, uint32_t pg)
{
    unsigned lost = 0, none = 0, forgetful = 0;
    for (uint32_t k = 0; k < o->server_count; k++) {
        bool member = oc_slot(g, pg, o->servers[k].incarnation) >= 0;
        bool has = has_segment(o, k, pg);
        lost += (oc_gone(o, k) && oc_row(o, g, pg) >> k & 1) || (member && oc_beyond_gossip(o, pg, k));
        none += member && !has;
        forgetful += member && !has && forgot(o, k, pg);
    }
    unsigned all = hx_members_count(hx_row_slots(&g->pgs[pg]));
    return lost + hx_row_write_quorum(&g->pgs[pg]) > all || (pg && none >= HX_WRITE_QUORUM && forgetful >= 2);
}

bool hx_oracle_hopeless(const struct hx_oracle *o)
{
    const struct oc_epoch *e = oc_newest(o);
    const struct hx_geometry *next = e ? oc_in_the_air(o, e) : NULL;
    for (uint32_t pg = 0; e && pg < e->g.pg_count; pg++)
        if (is_lost(o, &e->g, pg))
            return true;
    /* A version that is in the air cannot be taken back: if group 0's quorum of it is lost meanwhile, it waits. */
    return next && is_lost(o, next, 0);
}

/* Does GIVER, which says that it is complete through LSN, give it to TAKER? */
static bool gives(struct hx_oracle *o, const struct oc_epoch *e, uint32_t pg, uint32_t giver, uint32_t taker,
                  uint64_t lsn)
{
    uint8_t msg[HX_MSG_HEAD + 21], *body = msg + HX_MSG_HEAD;
    struct hx_bytes b;
    int status;
    hx_put_u64(body, lsn - 1);
    hx_put_u64(body + 8, lsn);
    hx_put_u32(body + 16, 1u << 20);
    body[20] = 0;
    return oc_ask(o, giver, o->s->servers[taker].name, e, HX_MSG_FETCH, pg, msg, 21, &b, &status) && b.len > 0;
}

void hx_oracle_lacking(struct hx_oracle *o)
{
    const struct oc_epoch *newest = oc_newest(o);
    uint32_t pg = o->behind_pg, taker = o->behind_server, claim = UINT32_MAX;
    struct hx_segment_look mine, l;
    if (!newest || o->blind || !oc_look(o, taker, pg, &mine) || mine.error)
        return;
    uint64_t lsn = oc_log_next(o, pg, mine.scl.v);
    struct oc_epoch e = *newest; /* an idle group may not have heard of the newest */
    e.epoch = oc_top(mine.history);
    for (uint32_t k = 0; lsn && k < o->server_count; k++) {
        if (k == taker || !oc_look(o, k, pg, &l) || l.error || l.scl.v < lsn || oc_top(l.history) != e.epoch)
            continue;
        claim = k;
        if (gives(o, &e, pg, k, taker, lsn))
            return;
    }
    if (claim != UINT32_MAX)
        hx_sim_broken(o->s, "I10", "server %u lacks LSN %llu of PG %u, which nobody has any more (server %u had)",
                      taker, (oc_ull)lsn, pg, claim);
}
