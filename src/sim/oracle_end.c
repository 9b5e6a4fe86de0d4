/*
 * oracle_end.c - the end: all live members of a PG have the same history, the same SCL, and every page as the
 * official log makes it.
 *
 * Pages are read through the door that clients use (READ).  Nothing else may be under way in the nodes: what
 * they want to send meanwhile is dropped.
 */
#include "oracle_int.h"

#include <stdlib.h>

#define BATCH 256u /* pages in one READ */
#define BODY (12u + 4u * BATCH)

static void read_batch(struct hx_oracle *o, uint32_t server, const struct oc_epoch *e, uint32_t pg,
                       uint64_t r, uint64_t from, uint32_t n)
{
    uint8_t msg[HX_MSG_HEAD + BODY];
    struct oc_server *v = &o->servers[server];
    struct hx_msg_head h = {.type = HX_MSG_READ,
                            .req_id = UINT64_MAX - from,
                            .volume = o->s->volume,
                            .epoch = HX_EPOCH(e->epoch),
                            .pg = pg,
                            .g = e->g.g,
                            .m = e->g.m};
    memcpy(h.server.b, v->incarnation, 16);
    hx_put_u64(msg + HX_MSG_HEAD, r);
    hx_put_u32(msg + HX_MSG_HEAD + 8, n);
    for (uint32_t i = 0; i < n; i++)
        hx_put_u32(msg + HX_MSG_HEAD + 12 + 4 * (size_t)i, (uint32_t)(from + i));
    struct hx_bytes body = {msg + HX_MSG_HEAD, 12 + 4 * (size_t)n};
    hx_msg_head_encode(&h, &body, 1, msg);
    hx_node_request(v->node, hx_sim_ms(o->s), 0, UINT64_MAX, UINT64_MAX, HX_NODE_ROLE_WRITER, "the end",
                    (struct hx_bytes){msg, HX_MSG_HEAD + body.len});
    hx_node_flush(v->node);
    struct hx_node_effect f;
    while (hx_node_next(v->node, &f)) {
        struct hx_reply_head a = {0};
        struct hx_bytes b;
        if (f.kind != HX_NODE_REPLY || f.token != UINT64_MAX)
            continue;
        if (hx_reply_decode(f.body.p, f.body.len, &a, &b) || a.status) {
            hx_sim_broken(o->s, "I15", "server %u, PG %u: no page can be read at the end (%s)", server, pg,
                          hx_err_info(a.status)->name);
            continue;
        }
        for (uint32_t i = 0; i < n; i++)
            if (b.len >= (i + 1) * (size_t)HX_READ_PAGE_BYTES &&
                b.p[i * (size_t)HX_READ_PAGE_BYTES] == HX_READ_CORRUPT)
                hx_sim_broken(o->s, "I15", "server %u, PG %u: page %llu is still damaged at the end", server,
                              pg, (oc_ull)(from + i));
        oc_read_check(o, server, e->epoch, pg, body.p, body.len, b.p, b.len);
    }
}

/* The pages of PG that a record was ever for, and at least the first ones. */
static uint64_t pages_used(const struct hx_oracle *o, uint32_t pg)
{
    uint64_t n = pg < o->pg_count ? o->pgs[pg].page_count : 0;
    while (n > 0 && !o->pgs[pg].pages[n - 1])
        n--;
    n += BATCH;
    return n < o->pg_pages ? n : o->pg_pages;
}

/* Is the server no member, out, or complete? */
static bool complete(const struct hx_oracle *o, const struct oc_epoch *e, uint32_t pg, uint32_t server,
                     uint64_t skip)
{
    struct hx_segment_look l;
    if (skip >> server & 1 || server >= o->server_count ||
        oc_slot(&e->g, pg, o->servers[server].incarnation) < 0)
        return true;
    return oc_look(o, server, pg, &l) && !l.error && !l.unknowns && oc_top(l.history) == e->epoch &&
           l.scl.v == oc_log_last(o, pg, UINT64_MAX);
}

bool hx_oracle_settled(struct hx_oracle *o, uint64_t skip)
{
    const struct oc_epoch *e = oc_newest(o);
    if (!e || (o->behind_pg < e->g.pg_count && !complete(o, e, o->behind_pg, o->behind_server, skip)))
        return false;
    for (uint32_t pg = 0; pg < e->g.pg_count; pg++) {
        for (uint32_t k = 0; k < o->server_count; k++) {
            if (complete(o, e, pg, k, skip))
                continue;
            o->behind_pg = pg;
            o->behind_server = k;
            return false;
        }
    }
    return true;
}

static void end_member(struct hx_oracle *o, uint32_t server, const struct oc_epoch *e, uint32_t pg,
                       uint64_t scl)
{
    struct hx_segment_look l;
    if (!oc_look(o, server, pg, &l)) {
        hx_sim_broken(o->s, "I15", "server %u has no PG %u at the end", server, pg);
        return;
    }
    if (l.error || oc_top(l.history) != e->epoch || l.scl.v != scl || l.unknowns) {
        hx_sim_broken(
            o->s, "I15",
            "server %u, PG %u at the end: error %d, history %llu of %llu, SCL %llu of %llu, %llu damaged",
            server, pg, l.error, (oc_ull)oc_top(l.history), (oc_ull)e->epoch, (oc_ull)l.scl.v, (oc_ull)scl,
            (oc_ull)l.unknowns);
        return;
    }
    uint64_t most = pages_used(o, pg);
    for (uint64_t at = 0; at < most && !hx_sim_over(o->s); at += BATCH)
        read_batch(o, server, e, pg, scl, at, (uint32_t)(most - at < BATCH ? most - at : BATCH));
}

void hx_oracle_end(struct hx_oracle *o, uint64_t skip)
{
    const struct oc_epoch *e = oc_newest(o);
    if (!e || o->blind || hx_sim_over(o->s))
        return;
    for (uint32_t pg = 0; pg < e->g.pg_count; pg++) {
        uint64_t scl = oc_log_last(o, pg, UINT64_MAX);
        for (uint32_t k = 0; k < o->server_count && !hx_sim_over(o->s); k++)
            if (!(skip >> k & 1) && oc_slot(&e->g, pg, o->servers[k].incarnation) >= 0)
                end_member(o, k, e, pg, scl);
    }
}
