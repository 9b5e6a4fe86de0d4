/*
 * oracle_attempt.c - openings, as far as messages show them: what each attempt decided, who wrote back, who
 * is bound.
 *
 *   An attempt decides once: every history with its epoch on top that it sends is the same (I3).
 *   It continues the highest history that was bound under a lower epoch, whatever the order in which answers
 * arrive (I3). Nobody is told to keep it before four members of every PG said that they are complete through
 * its cut (I1). The new entry is what the formula says, its cut is a CPL (I3, I5).
 */
#include "oracle_int.h"

#include <stdlib.h>

struct oc_attempt *oc_attempt_get(struct hx_oracle *o, uint64_t epoch, const uint8_t owner[16])
{
    for (size_t i = o->attempt_count; i-- > 0;)
        if (o->attempts[i]->epoch == epoch && !memcmp(o->attempts[i]->owner.b, owner, 16))
            return o->attempts[i];
    struct oc_attempt **p = oc_grow(o, o->attempts, &o->attempt_cap, o->attempt_count + 1, sizeof(*p));
    struct oc_attempt *a = p ? oc_zalloc(o, sizeof *a) : NULL;
    if (p)
        o->attempts = p;
    if (!a)
        return NULL;
    a->epoch = epoch;
    memcpy(a->owner.b, owner, 16);
    p[o->attempt_count++] = a;
    return a;
}

/* ---- the decision ---- */
static bool is_cpl(const struct hx_oracle *o, const struct hx_history *h, size_t entries, uint64_t lsn)
{
    struct hx_history parent = {h->e, entries, 0};
    if (lsn == 0)
        return true;
    const struct oc_rec *r = oc_rec_find(oc_epoch_find(o, oc_epoch_of(&parent, lsn)), lsn);
    return r && r->flags & HX_REC_CPL;
}

static void check_entry(struct hx_oracle *o, const struct oc_attempt *a)
{
    const struct hx_history *h = &a->h;
    if (h->count < 2) {
        hx_sim_broken(o->s, "I3", "epoch %llu has no parent", (oc_ull)a->epoch);
        return;
    }
    const struct hx_history_entry *e = &h->e[h->count - 1], *p = e - 1;
    uint64_t most = e->vdl.v > p->end.v ? e->vdl.v : p->end.v;
    if (e->end.v != most + p->lal || e->vdl.v < p->vdl.v || e->epoch.v <= p->epoch.v)
        hx_sim_broken(o->s, "I3", "epoch %llu: end %llu is not max(%llu, %llu) + %llu", (oc_ull)a->epoch,
                      (oc_ull)e->end.v, (oc_ull)e->vdl.v, (oc_ull)p->end.v, (oc_ull)p->lal);
    else if (e->vdl.v != p->vdl.v && !is_cpl(o, h, h->count - 1, e->vdl.v))
        hx_sim_broken(o->s, "I5", "epoch %llu is cut at LSN %llu, where no mini-transaction ends",
                      (oc_ull)a->epoch, (oc_ull)e->vdl.v);
}

/* ---- what it has heard ---- */
enum {
    Q_REQ = 8,
    Q_EPOCH = 48,
    Q_OWNER = 56,
    Q_PG = 72,
    P_TYPE = 6,
    P_REQ = 8,
    P_STATUS = 16,
    P_SERVER = 24
};

static void asked(struct hx_oracle *o, struct oc_attempt *a, uint32_t client, const uint8_t *msg)
{
    struct oc_fence *p = oc_grow(o, a->asked, &a->asked_cap, a->asked_count + 1, sizeof *p);
    if (!p)
        return;
    uint32_t pg = hx_get_u32(msg + Q_PG);
    unsigned n = a->heard_count ? oc_count(a->heard[0]) : 0;
    if (pg && n < oc_least(o, 0).write)
        hx_sim_broken(o->s, "I3", "client %u fences PG %u for epoch %llu with %u grants of PG 0", client, pg,
                      (oc_ull)a->epoch, n);
    a->client = client;
    a->asked = p;
    p[a->asked_count++] = (struct oc_fence){hx_get_u64(msg + Q_REQ), pg};
}

/* The attempt of CLIENT that sent this FENCE: the newest, for numbers begin anew in each life. */
static struct oc_attempt *asker(struct hx_oracle *o, uint32_t client, uint64_t req_id, uint32_t *ret_pg)
{
    for (size_t i = o->attempt_count; i-- > 0;) {
        struct oc_attempt *a = o->attempts[i];
        for (size_t k = a->client == client ? a->asked_count : 0; k-- > 0;) {
            if (a->asked[k].req_id != req_id)
                continue;
            *ret_pg = a->asked[k].pg;
            return a;
        }
    }
    return NULL;
}

static void heard_grant(struct hx_oracle *o, struct oc_attempt *a, uint32_t pg, uint64_t server, uint64_t top)
{
    uint64_t *p = pg < 1u << 20 ? oc_grow(o, a->heard, &a->heard_cap, pg + (size_t)1, sizeof *p) : NULL;
    if (!p)
        return;
    a->heard = p;
    a->heard_count = pg + (size_t)1 > a->heard_count ? pg + (size_t)1 : a->heard_count;
    if (pg == 0 && !(p[0] & server) && oc_count(p[0]) < HX_WRITE_QUORUM && top > a->parent)
        a->parent = top;
    if (pg == 0 && !(p[0] & server) && oc_count(p[0]) < oc_least(o, 0).write && top > a->parent_least)
        a->parent_least = top;
    p[pg] |= server;
}

static void heard_absent(struct hx_oracle *o, struct oc_attempt *a, uint32_t pg, uint32_t server)
{
    uint64_t *p = pg < 1u << 20 ? oc_grow(o, a->absent, &a->absent_cap, pg + (size_t)1, sizeof *p) : NULL;
    if (!p)
        return;
    a->absent = p;
    a->absent_count = pg + (size_t)1 > a->absent_count ? pg + (size_t)1 : a->absent_count;
    p[pg] |= UINT64_C(1) << server;
}

void hx_oracle_heard(struct hx_oracle *o, uint32_t client, const uint8_t *answer, size_t len)
{
    if (o->blind || hx_sim_over(o->s) || len < HX_REPLY_HEAD || hx_get_u16(answer + P_TYPE) != HX_MSG_FENCE)
        return;
    uint32_t pg = 0, status = hx_get_u32(answer + P_STATUS);
    if (status) {
        struct oc_attempt *a = status == -HX_E_NO_SEGMENT ? asker(o, client, hx_get_u64(answer + P_REQ), &pg) : NULL;
        uint32_t k = a ? oc_whose(o, answer + P_SERVER) : OC_NONE;
        if (k != OC_NONE)
            heard_absent(o, a, pg, k);
        return;
    }
    struct oc_attempt *a = asker(o, client, hx_get_u64(answer + P_REQ), &pg);
    struct hx_inventory v = {0};
    struct hx_dec d = hx_dec_init(answer + HX_REPLY_HEAD, len - HX_REPLY_HEAD);
    if (!a || hx_inventory_decode(&v, &d))
        return;
    uint32_t k = oc_whose(o, answer + P_SERVER);
    if (k != OC_NONE)
        heard_grant(o, a, pg, UINT64_C(1) << k, oc_top(&v.history));
    if (k != OC_NONE && !a->decided)
        oc_denied_keep(o, a, pg, k, &v);
    hx_inventory_fini(&v);
}

/* Groups published under epochs below EPOCH: what a claim of EPOCH cannot miss.  (An attempt that was overtaken
 * repeats what it had decided before its successor grew; nobody stores that.) */
static uint32_t published_before(const struct hx_oracle *o, uint64_t epoch)
{
    uint32_t most = 0;
    for (size_t i = 0; i < o->growth_count; i++) {
        const struct oc_growth *w = o->growths[i];
        if (w->published && w->g.epoch.v < epoch && w->g.pg_count > most)
            most = w->g.pg_count;
    }
    return most;
}

/* Nobody decides before four members of every group that is published have promised, and said what they hold.
 */
static void check_heard(struct hx_oracle *o, const struct oc_attempt *a, uint32_t pgs)
{
    for (uint32_t pg = 0; pg < pgs; pg++) {
        unsigned n = pg < a->heard_count ? oc_count(a->heard[pg]) : 0;
        if (n < oc_least(o, pg).write)
            hx_sim_broken(o->s, pg ? "I1" : "I3",
                          "epoch %llu was decided when only %u members of PG %u were heard", (oc_ull)a->epoch,
                          n, pg);
    }
}

/* The parent is the highest history among the four grants that won the claim. */
static void check_parent(struct hx_oracle *o, const struct oc_attempt *a)
{
    uint64_t parent = a->h.count > 1 ? a->h.e[a->h.count - 2].epoch.v : 0;
    if (parent != a->parent && parent != a->parent_least) /* the fourth one may have come too late: D1 */
        hx_sim_broken(o->s, "I3", "epoch %llu continues epoch %llu, but its grants told of epoch %llu",
                      (oc_ull)a->epoch, (oc_ull)parent, (oc_ull)a->parent);
}

static void check_continues(struct hx_oracle *o, const struct oc_attempt *a, const struct oc_attempt *bound)
{
    if (!oc_continues(&a->h, &bound->h) && !oc_excuse(o, 0))
        hx_sim_broken(o->s, "I3",
                      "epoch %llu was decided without epoch %llu, which four members of PG 0 have adopted",
                      (oc_ull)a->epoch, (oc_ull)bound->epoch);
}

/* Reads a history.  False: it is none. */
static bool read_history(struct hx_history *h, const uint8_t *p, size_t len, size_t *ret_len)
{
    struct hx_dec d = hx_dec_init(p, len);
    if (hx_history_decode(h, &d))
        return false;
    *ret_len = d.off;
    return true;
}

/* A message of A names a history.  True: it is H'; false: the parent, for a laggard, or none. */
static bool decide(struct hx_oracle *o, struct oc_attempt *a, const uint8_t *body, size_t len)
{
    if (len < 4 + 32)
        return false;
    uint64_t bytes = 4 + 32 * (uint64_t)hx_get_u32(body), hash;
    if (bytes < 4 + 32 || bytes > len || hx_get_u64(body + bytes - 32) != a->epoch)
        return false;
    hash = oc_hash(body, bytes);
    if (a->decided) {
        if (hash != a->hash)
            hx_sim_broken(o->s, "I3", "an opening of epoch %llu decided twice", (oc_ull)a->epoch);
    } else if (read_history(&a->h, body, len, &len)) {
        a->decided = true;
        a->hash = hash;
        check_entry(o, a);
        uint32_t pgs = published_before(o, a->epoch); /* a later opening may have grown the volume since */
        check_heard(o, a, pgs ? pgs : 1);
        oc_denied_check(o, a);
        const struct oc_attempt *best = NULL;
        for (size_t i = 0; i < o->attempt_count; i++) {
            const struct oc_attempt *b = o->attempts[i];
            if (b->bound && b->epoch < a->epoch && (!best || b->epoch > best->epoch))
                best = b;
        }
        if (best)
            check_continues(o, a, best);
        check_parent(o, a);
    }
    return a->decided;
}

/* ---- write-back ---- */
void oc_attempt_repaired(struct hx_oracle *o, struct oc_attempt *a, uint32_t pg, uint32_t server,
                         uint64_t through)
{
    if (pg >= 1u << 20)
        return;
    size_t cap = a->pg_cap * OC_SERVERS;
    uint64_t *p = oc_grow(o, a->complete, &cap, (pg + 1) * (size_t)OC_SERVERS, sizeof *p);
    if (!p)
        return;
    a->complete = p;
    a->pg_cap = cap / OC_SERVERS;
    uint64_t *at = &p[pg * (size_t)OC_SERVERS + server];
    *at = through + 1 > *at ? through + 1 : *at;
    struct oc_seg *s = oc_seg_get(o, server, pg);
    if (s && (through > s->repaired || a->epoch > s->repaired_epoch)) {
        s->repaired = through;
        s->repaired_epoch = a->epoch;
    }
}

void oc_attempt_told(struct hx_oracle *o, struct oc_attempt *a, uint32_t pg, uint32_t server,
                     const struct hx_inventory *v)
{
    if (pg >= 1u << 20 || !v->hydrated || v->unknown_count)
        return;
    struct oc_told *p = oc_grow(o, a->inventory, &a->inventory_cap, (pg + 1) * (size_t)OC_SERVERS, sizeof *p);
    if (!p)
        return;
    a->inventory = p;
    struct oc_told t = {.through = v->scl.v + 1};
    for (uint32_t i = 0; i < v->entry_count; i++)
        if (v->entries[i].lsn.v >= t.last) {
            t.last = v->entries[i].lsn.v;
            t.epoch = v->entries[i].epoch.v;
        }
    p[pg * (size_t)OC_SERVERS + server] = t;
}

/* Did the member's inventory say that it is complete through NEED, whatever H' makes void? */
static bool told(const struct oc_attempt *a, uint32_t pg, uint32_t server, uint64_t need)
{
    size_t at = pg * (size_t)OC_SERVERS + server;
    if (at >= a->inventory_cap || a->inventory[at].through <= need)
        return false;
    const struct oc_told *t = &a->inventory[at];
    return !t->epoch || (t->last + 1 == t->through && oc_valid(&a->h, t->last, t->epoch));
}

bool oc_attempt_heard_of(const struct hx_oracle *o, uint64_t epoch, uint32_t pg, uint32_t server, uint64_t need)
{
    for (size_t i = 0; i < o->attempt_count; i++)
        if (o->attempts[i]->epoch == epoch && o->attempts[i]->bound)
            return told(o->attempts[i], pg, server, need);
    return false;
}

/* Was SERVER a member of PG?  One that was wiped has another incarnation now. */
static bool was_member(const struct hx_oracle *o, const struct hx_geometry *g, uint32_t pg, uint32_t server)
{
    const struct oc_server *v = &o->servers[server];
    return oc_slot(g, pg, v->incarnation) >= 0 || (pg < v->seg_count && v->segs[pg].lied);
}

/* Members of PG that said that they are complete through NEED. */
static unsigned complete(const struct hx_oracle *o, const struct oc_attempt *a, uint32_t pg, uint64_t need)
{
    uint64_t set = 0;
    for (uint32_t k = 0; k < o->server_count; k++) {
        bool repaired = pg < a->pg_cap && a->complete[pg * (size_t)OC_SERVERS + k] > need;
        if ((repaired || told(a, pg, k, need)) && was_member(o, &a->g, pg, k))
            set |= UINT64_C(1) << k;
    }
    return oc_count(set);
}

static void check_write_back(struct hx_oracle *o, const struct oc_attempt *a)
{
    uint64_t vdl = a->h.e[a->h.count - 1].vdl.v;
    check_heard(o, a, a->g.pg_count);
    if (!a->g.pg_count)
        hx_sim_broken(o->s, "I9", "epoch %llu is to be adopted before its geometry is stored",
                      (oc_ull)a->epoch);
    for (uint32_t pg = 0; pg < a->g.pg_count; pg++) {
        uint64_t need = oc_log_last(o, pg, vdl);
        unsigned n = complete(o, a, pg, need);
        if (n < oc_write_quorum(&a->g, pg))
            hx_sim_broken(o->s, "I1",
                          "epoch %llu is to be adopted, but only %u members of PG %u have its LSN %llu",
                          (oc_ull)a->epoch, n, pg, (oc_ull)need);
    }
}

/* ---- bound ---- */
void oc_attempt_adopted(struct hx_oracle *o, struct oc_attempt *a, uint32_t server, uint64_t top)
{
    if (top != a->epoch || !a->decided)
        return;
    a->adopted |= UINT64_C(1) << server;
    if (a->bound || oc_count(a->adopted) < oc_write_quorum(&a->g, 0))
        return;
    a->bound = true;
    for (size_t i = 0; i < o->attempt_count; i++) {
        const struct oc_attempt *b = o->attempts[i];
        if (b != a && b->bound && b->epoch == a->epoch && !oc_excuse(o, 0))
            hx_sim_broken(o->s, "I3", "epoch %llu was opened by two", (oc_ull)a->epoch);
    }
    if (!o->bound || o->bound->epoch < a->epoch)
        o->bound = a;
}

/* ---- geometry ---- */
static struct oc_growth *growth_of(struct hx_oracle *o, const struct hx_geometry *g)
{
    for (size_t i = o->growth_count; i-- > 0;)
        if (hx_geometry_compare(&o->growths[i]->g, g) == 0)
            return o->growths[i];
    struct oc_growth **p = oc_grow(o, o->growths, &o->growth_cap, o->growth_count + 1, sizeof(*p));
    struct oc_growth *n = p ? oc_zalloc(o, sizeof *n) : NULL;
    if (p)
        o->growths = p;
    if (!n || hx_geometry_copy(&n->g, g)) {
        free(n);
        return NULL;
    }
    p[o->growth_count++] = n;
    return n;
}

static void check_members(struct hx_oracle *o, const struct hx_geometry *g, uint32_t pg)
{
    uint64_t set = 0;
    for (uint32_t k = 0; k < o->server_count && pg < o->pg_count; k++)
        if (o->pgs[pg].formatted >> k & 1 && was_member(o, g, pg, k))
            set |= UINT64_C(1) << k;
    if (oc_count(set) < oc_write_quorum(g, pg))
        hx_sim_broken(o->s, "I9", "PG %u is published with %u members made", pg, oc_count(set));
}

static void publish(struct hx_oracle *o, struct oc_growth *w)
{
    struct oc_epoch *e = oc_epoch_find(o, w->g.epoch.v);
    w->published = true;
    for (uint32_t pg = o->published; o->published && pg < w->g.pg_count; pg++)
        check_members(o, &w->g, pg);
    if (w->g.pg_count > o->published)
        o->published = w->g.pg_count;
    if (!e || hx_geometry_compare(&w->g, &e->g) <= 0)
        return;
    struct oc_pg_acks *p = oc_grow(o, e->pgs, &e->pg_cap, w->g.pg_count, sizeof *p);
    if (p)
        e->pgs = p;
    struct hx_geometry copy = {0};
    if (p && !hx_geometry_copy(&copy, &w->g)) {
        for (uint32_t pg = 0; pg < e->g.pg_count; pg++) {
            uint64_t was = oc_row(o, &e->g, pg), is = oc_row(o, &copy, pg);
            if (was != is)
                hx_sim_note(o->s, HX_NOTE_TURN, ' ', pg, was, is, copy.m);
        }
        hx_geometry_fini(&e->g);
        e->g = copy;
        oc_turned(o, e, false);
    }
}

const struct hx_geometry *oc_in_the_air(const struct hx_oracle *o, const struct oc_epoch *e)
{
    for (size_t i = o->growth_count; i-- > 0;) {
        const struct oc_growth *w = o->growths[i];
        if (!w->published && w->g.epoch.v == e->epoch && hx_geometry_compare(&w->g, &e->g) > 0)
            return &w->g;
    }
    return NULL;
}

/* Four of its own group 0 have it, and four of that of the version before (second line of M4). */
static bool stored(const struct hx_oracle *o, const struct oc_growth *w)
{
    const struct oc_epoch *e = oc_epoch_find(o, w->g.epoch.v);
    return oc_count(w->stored & oc_row(o, &w->g, 0)) >= oc_write_quorum(&w->g, 0) &&
           (!e || oc_count(w->stored & oc_row(o, &e->g, 0)) >= oc_write_quorum(&e->g, 0));
}

void oc_attempt_stored(struct hx_oracle *o, uint32_t server, const uint8_t *body, size_t len)
{
    struct hx_geometry g = {0};
    struct hx_dec d = hx_dec_init(body, len);
    if (hx_geometry_decode(&g, &d))
        return;
    struct oc_growth *w = growth_of(o, &g);
    if (w && !hx_geometry_equal(&w->g, &g))
        hx_sim_broken(o->s, "I9", "two geometries are (epoch %llu, g %u, m %u)", (oc_ull)g.epoch.v, g.g, g.m);
    hx_geometry_fini(&g);
    if (!w)
        return;
    w->stored |= UINT64_C(1) << server;
    if (!w->published && stored(o, w))
        publish(o, w);
}

static void sent_geometry(struct hx_oracle *o, struct oc_attempt *a, const uint8_t *body, size_t len)
{
    struct hx_geometry g = {0};
    struct hx_dec d = hx_dec_init(body, len);
    if (hx_geometry_decode(&g, &d))
        return;
    if (g.pg_count < published_before(o, a->epoch) && !oc_excuse(o, 0))
        hx_sim_broken(o->s, "I9", "epoch %llu stores a geometry of %u PGs, but %u were published",
                      (oc_ull)a->epoch, g.pg_count, published_before(o, a->epoch));
    if (!growth_of(o, &g)) {
        hx_geometry_fini(&g);
        return;
    }
    hx_geometry_fini(&a->g);
    a->g = g;
    struct oc_epoch *e = oc_epoch_find(o, a->epoch);
    if (e && e == oc_newest(o) && oc_in_the_air(o, e)) /* of a writer that another one has followed nobody takes it */
        oc_turned(o, e, true);
}

static void sent_repair(struct hx_oracle *o, struct oc_attempt *a, uint32_t client, const uint8_t *body,
                        size_t len)
{
    if (!decide(o, a, body, len))
        return;
    size_t used = 4 + 32 * (size_t)hx_get_u32(body);
    oc_log_copies(o, "a repair by client", client, body + used, len - used, &a->h,
                  a->h.e[a->h.count - 1].vdl.v);
}

void oc_attempt_sent(struct hx_oracle *o, uint32_t client, unsigned type, const uint8_t *msg, size_t len)
{
    struct oc_attempt *a = oc_attempt_get(o, hx_get_u64(msg + Q_EPOCH), msg + Q_OWNER);
    const uint8_t *body = msg + HX_MSG_HEAD;
    len -= HX_MSG_HEAD;
    if (!a)
        return;
    if (type == HX_MSG_FENCE) {
        asked(o, a, client, msg);
    } else if (type == HX_MSG_GEOMETRY) {
        sent_geometry(o, a, body, len);
    } else if (type == HX_MSG_REPAIR) {
        sent_repair(o, a, client, body, len);
    } else if (decide(o, a, body, len) && !a->told) { /* ADOPT of H' */
        a->told = true;
        check_write_back(o, a);
    }
}
