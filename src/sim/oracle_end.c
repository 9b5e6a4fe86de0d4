/*
 * oracle_end.c - the end: all live members of a PG have the same history, the same SCL, and every page as the
 * official log makes it.
 *
 * Pages are read through the door that clients use (READ).  Nothing else may be under way in the nodes: what
 * they want to send meanwhile is dropped.
 */
#include "oracle_int.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH 16u  /* pages in one READ: what fits into a near cache is read and compared there */
#define BEHIND 64u /* pages read behind the last one that was written */
#define BODY (12u + 4u * BATCH)

bool oc_ask(struct hx_oracle *o, uint32_t server, const char *peer, const struct oc_epoch *e, uint16_t type,
            uint32_t pg, uint8_t *msg, size_t len, struct hx_bytes *ret, int *ret_status)
{
    struct oc_server *v = &o->servers[server];
    struct hx_msg_head h = {.type = type,
                            .req_id = 1,
                            .volume = o->s->volume,
                            .epoch = HX_EPOCH(e->epoch),
                            .pg = pg,
                            .g = e->g.g,
                            .m = e->g.m};
    struct hx_bytes body = {msg + HX_MSG_HEAD, len};
    memcpy(h.server.b, v->incarnation, 16);
    hx_msg_head_encode(&h, &body, 1, msg);
    hx_node_request(v->node, hx_sim_ms(o->s), 0, UINT64_MAX, UINT64_MAX,
                    peer ? HX_NODE_ROLE_SEGMENT : HX_NODE_ROLE_WRITER, peer ? peer : "the end",
                    (struct hx_bytes){msg, HX_MSG_HEAD + len});
    hx_node_flush(v->node);
    struct hx_node_effect f;
    while (hx_node_next(v->node, &f)) {
        struct hx_reply_head a = {0};
        if (f.kind != HX_NODE_REPLY || f.token != UINT64_MAX)
            continue;
        *ret_status = hx_reply_decode(f.body.p, f.body.len, &a, ret);
        *ret_status = *ret_status ? *ret_status : a.status;
        return *ret_status == 0;
    }
    *ret_status = HX_E_TIMEOUT;
    return false;
}

static void read_batch(struct hx_oracle *o, uint32_t server, const struct oc_epoch *e, uint32_t pg, uint64_t r,
                       const uint32_t *pages, uint32_t n, bool mended)
{
    uint8_t msg[HX_MSG_HEAD + BODY], *body = msg + HX_MSG_HEAD;
    size_t len = 12 + 4 * (size_t)n;
    struct hx_bytes b;
    int status;
    hx_put_u64(body, r);
    hx_put_u32(body + 8, n);
    for (uint32_t i = 0; i < n; i++)
        hx_put_u32(body + 12 + 4 * (size_t)i, pages[i]);
    if (!oc_ask(o, server, NULL, e, HX_MSG_READ, pg, msg, len, &b, &status)) {
        hx_sim_broken(o->s, "I15", "server %u, PG %u: no page can be read at %llu at the end (%s)", server, pg,
                      (oc_ull)r, hx_err_text(status));
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (b.len < (i + 1) * (size_t)HX_READ_PAGE_BYTES || b.p[i * (size_t)HX_READ_PAGE_BYTES] != HX_READ_CORRUPT)
            continue;
        o->scrub_found = true;
        if (mended)
            hx_sim_broken(o->s, "I15", "server %u, PG %u: page %u is still damaged at the end", server, pg, pages[i]);
    }
    oc_read_check(o, server, e->epoch, pg, body, len, b.p, b.len);
}

/* A member of an idle PG hears of the newest epoch, as it would before the next READ or APPEND. */
static void adopt(struct hx_oracle *o, uint32_t server, const struct oc_epoch *e, uint32_t pg)
{
    size_t len = hx_history_encoded_len(&e->h);
    uint8_t *msg = malloc(HX_MSG_HEAD + len);
    struct hx_bytes b;
    int status = HX_E_NOMEM;
    if (msg) {
        struct hx_enc d = hx_enc_init(msg + HX_MSG_HEAD, len);
        hx_history_encode(&e->h, &d);
        if (oc_ask(o, server, NULL, e, HX_MSG_ADOPT, pg, msg, len, &b, &status))
            status = 0;
    }
    if (status)
        hx_sim_broken(o->s, "I15", "server %u, PG %u: does not adopt the newest history at the end (%s)",
                      server, pg, hx_err_text(status));
    free(msg);
}

/* The pages of PG that a record was ever for, and at least the first ones. */
static uint64_t pages_used(const struct hx_oracle *o, uint32_t pg)
{
    uint64_t n = pg < o->pg_count ? o->pgs[pg].page_count : 0;
    while (n > 0 && !o->pgs[pg].pages[n - 1])
        n--;
    n += BEHIND;
    return n < o->pg_pages ? n : o->pg_pages;
}

/* A copy whose disk forgot what all six had had waits to be built anew.  Until then it must refuse, not lie: what it
 * answers is judged as ever. */
/* Is SERVER a member of PG that must be there? */
static bool counts(const struct hx_oracle *o, const struct oc_epoch *e, uint32_t pg, uint32_t server,
                   uint64_t skip)
{
    return !(skip >> server & 1) && oc_slot(&e->g, pg, o->servers[server].incarnation) >= 0 &&
           !oc_beyond_gossip(o, pg, server);
}

/* The record that its SCL stands for: one that was a learner is complete to the point as of which it was filled, where
 * no record of the group need be. */
static uint64_t reaches(const struct hx_oracle *o, uint32_t server, uint32_t pg, const struct hx_segment_look *l)
{
    return l->scl.v == o->servers[server].segs[pg].filled_at ? oc_log_last(o, pg, l->scl.v) : l->scl.v;
}

/* Complete?  An idle PG may not have heard of the newest epoch: then its members only must be equal (FIRST:
 * the first one that was looked at), and what is void among them is so by the next ADOPT.  Damage above the last record
 * of the PG stays in doubt until the next one: nothing says that nothing was there. */
static bool complete(const struct hx_oracle *o, const struct oc_epoch *e, uint32_t pg, uint32_t server,
                     struct hx_segment_look *first)
{
    struct hx_segment_look l;
    uint64_t last = oc_log_last(o, pg, UINT64_MAX);
    if (!oc_look(o, server, pg, &l) || l.error || l.doubt.v <= l.scl.v || l.scl.v < last)
        return false;
    if (l.geometry && l.geometry->m > e->g.m)
        return false; /* of a driver that died; the next one says MEMBERS (V6 of move.c) */
    l.scl.v = reaches(o, server, pg, &l);
    if (!first->history)
        *first = l;
    return oc_top(l.history) == oc_top(first->history) && l.scl.v == first->scl.v &&
           (oc_top(l.history) < e->epoch || l.scl.v == last);
}

bool hx_oracle_settled(struct hx_oracle *o, uint64_t skip)
{
    const struct oc_epoch *e = oc_newest(o);
    if (!e)
        return false;
    for (uint32_t i = 0; i < e->g.pg_count; i++) {
        uint32_t pg = (o->behind_pg + i) % e->g.pg_count; /* the one that was not, first */
        struct hx_segment_look first = {0};
        for (uint32_t k = 0; k < o->server_count; k++) {
            if (!counts(o, e, pg, k, skip) || complete(o, e, pg, k, &first))
                continue;
            o->behind_pg = pg;
            o->behind_server = k;
            return false;
        }
    }
    return true;
}

void hx_oracle_unsettled(const struct hx_oracle *o, char *text, size_t cap)
{
    const struct oc_epoch *e = oc_newest(o);
    struct hx_segment_look l;
    if (!e)
        snprintf(text, cap, "no epoch has opened");
    else if (!oc_look(o, o->behind_server, o->behind_pg, &l))
        snprintf(text, cap, "server %u has no PG %u", o->behind_server, o->behind_pg);
    else
        snprintf(
            text, cap,
            "server %u, PG %u: error %d, history %llu of %llu, SCL %llu of %llu, hint %llu, %llu damaged",
            o->behind_server, o->behind_pg, l.error, (oc_ull)oc_top(l.history), (oc_ull)e->epoch,
            (oc_ull)l.scl.v, (oc_ull)oc_log_last(o, o->behind_pg, UINT64_MAX), (oc_ull)l.hint.v,
            (oc_ull)l.unknowns);
}

/* Pages as of R: all of them, or those that have changed since. */
static void read_all(struct hx_oracle *o, uint32_t server, const struct oc_epoch *e, uint32_t pg, uint64_t r,
                     bool changed, bool mended)
{
    uint64_t most = pages_used(o, pg);
    uint32_t list[BATCH], n = 0;
    for (uint64_t i = 0; i < most && !hx_sim_over(o->s); i++) {
        const struct oc_page *g = pg < o->pg_count && i < o->pgs[pg].page_count ? o->pgs[pg].pages[i] : NULL;
        if (!changed || (g && g->count && g->v[g->count - 1].lsn > r))
            list[n++] = (uint32_t)i;
        if (n && (n == BATCH || i + 1 == most)) {
            read_batch(o, server, e, pg, r, list, n, mended);
            n = 0;
        }
    }
}

/* Some point that the member says it can still be read at: another one on each. */
static uint64_t old_point(const struct hx_oracle *o, uint32_t server, uint32_t pg, uint64_t oldest)
{
    size_t lo = 0, hi = pg < o->pg_count ? o->pgs[pg].log_count : 0;
    while (lo < hi && o->pgs[pg].log[lo] < oldest)
        lo++;
    return lo < hi ? o->pgs[pg].log[lo + (hi - lo) * (server % 8) / 8] : oldest;
}

static void end_member(struct hx_oracle *o, uint32_t server, const struct oc_epoch *e, uint32_t pg,
                       bool mended)
{
    struct hx_segment_look l;
    uint64_t scl = oc_log_last(o, pg, UINT64_MAX);
    if (oc_look(o, server, pg, &l) && oc_top(l.history) < e->epoch)
        adopt(o, server, e, pg);
    if (!oc_look(o, server, pg, &l))
        hx_sim_broken(o->s, "I15", "server %u has no PG %u at the end", server, pg);
    else if (l.error || oc_top(l.history) != e->epoch || reaches(o, server, pg, &l) != scl || l.doubt.v <= scl)
        hx_sim_broken(
            o->s, "I15",
            "server %u, PG %u at the end: error %d, history %llu of %llu, SCL %llu of %llu, %llu damaged",
            server, pg, l.error, (oc_ull)oc_top(l.history), (oc_ull)e->epoch, (oc_ull)l.scl.v, (oc_ull)scl,
            (oc_ull)l.unknowns);
    else if (!mended)
        read_all(o, server, e, pg, old_point(o, server, pg, l.oldest.v), true, false);
    if (!hx_sim_over(o->s))
        read_all(o, server, e, pg, l.oldest.v > scl ? l.oldest.v : scl, false, mended);
}

static void all_members(struct hx_oracle *o, uint64_t skip, bool mended)
{
    const struct oc_epoch *e = oc_newest(o);
    for (uint32_t pg = 0; e && pg < e->g.pg_count && !o->blind; pg++)
        for (uint32_t k = 0; k < o->server_count && !hx_sim_over(o->s); k++)
            if (counts(o, e, pg, k, skip))
                end_member(o, k, e, pg, mended);
}

bool hx_oracle_scrub(struct hx_oracle *o, uint64_t skip)
{
    o->scrub_found = false;
    all_members(o, skip, false);
    o->sound_at = o->scrub_found || hx_sim_over(o->s) ? 0 : o->s->events;
    return o->scrub_found;
}

void hx_oracle_end(struct hx_oracle *o, uint64_t skip)
{
    if (!o->sound_at || o->sound_at != o->s->events) /* else this very state has been looked at */
        all_members(o, skip, true);
}
