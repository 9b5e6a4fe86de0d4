/*
 * oracle.c - the oracle as a whole, and what it judges of sessions: openings, VDL and VCL, what programs were
 * told, what caches are filled with (oracle.h).
 *
 * Openings may be told late: an attempt that was bound, and then overtaken, still opens when its last answer
 * arrives.  It takes its place among the epochs, and is cut where the next one says.
 */
#include "oracle_int.h"

#include <stdlib.h>

struct hx_oracle *hx_oracle_new(struct hx_sim *s)
{
    struct hx_oracle *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->s = s;
    o->raw = malloc(HX_FRAME_RAW_MAX);
    o->page = malloc(HX_PAGE_SIZE);
    if (!o->raw || !o->page || hx_frame_opener_new(&o->opener)) {
        hx_oracle_free(o);
        return NULL;
    }
    return o;
}

static void epoch_free(struct oc_epoch *e)
{
    hx_history_fini(&e->h);
    hx_geometry_fini(&e->g);
    free(e->recs);
    free(e->frames);
    free(e->pgs);
    free(e);
}

void hx_oracle_free(struct hx_oracle *o)
{
    if (!o)
        return;
    for (size_t i = 0; i < o->epoch_count; i++)
        epoch_free(o->epochs[i]);
    for (size_t i = 0; i < o->attempt_count; i++) {
        hx_history_fini(&o->attempts[i]->h);
        hx_geometry_fini(&o->attempts[i]->g);
        free(o->attempts[i]->complete);
        free(o->attempts[i]->inventory);
        free(o->attempts[i]->asked);
        free(o->attempts[i]->heard);
        free(o->attempts[i]->absent);
        oc_denied_forget(o->attempts[i]);
        free(o->attempts[i]);
    }
    for (size_t i = 0; i < o->growth_count; i++) {
        hx_geometry_fini(&o->growths[i]->g);
        free(o->growths[i]);
    }
    for (size_t i = 0; i < o->pg_count; i++) {
        oc_pages_free(&o->pgs[i]);
        free(o->pgs[i].log);
    }
    for (size_t i = 0; i < o->server_count; i++) {
        for (size_t k = 0; k < o->servers[i].seg_count; k++)
            hx_history_fini(&o->servers[i].segs[k].h);
        free(o->servers[i].segs);
    }
    for (struct oc_chunk *c = o->arena, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(o->epochs);
    free(o->attempts);
    free(o->growths);
    free(o->pgs);
    free(o->servers);
    free(o->clients);
    hx_frame_opener_free(o->opener);
    free(o->raw);
    free(o->page);
    free(o);
}

uint64_t hx_oracle_excused(const struct hx_oracle *o)
{
    return o->excused;
}

struct hx_lsn hx_oracle_committed(const struct hx_oracle *o)
{
    return HX_LSN(o->committed);
}

/* ---- what clients send ---- */
enum { Q_TYPE = 6, Q_VOLUME = 16, Q_EPOCH = 48, Q_OWNER = 56, Q_PG = 72 };

/* A read point of the session: durable, and nothing that it needs is given up by the floor that it has
 * announced.  (An idle PG is read at its last record, which may be older than the floor.) */
static void check_point(struct hx_oracle *o, uint32_t client, uint64_t epoch, uint32_t pg, uint64_t r)
{
    const struct oc_epoch *e = oc_epoch_find(o, epoch);
    if (!e || e->client != client || r > e->vdl)
        hx_sim_broken(o->s, "I6",
                      "client %u reads pages at %llu in epoch %llu, which four of every PG do not hold",
                      client, (oc_ull)r, (oc_ull)epoch);
    else if (r < e->floor && e->floor <= e->cut && oc_log_last(o, pg, e->floor) > r)
        hx_sim_broken(o->s, "I10",
                      "client %u reads PG %u at %llu, but its read floor is %llu and LSN %llu is between",
                      client, pg, (oc_ull)r, (oc_ull)e->floor, (oc_ull)oc_log_last(o, pg, e->floor));
}

void hx_oracle_sent(struct hx_oracle *o, uint32_t client, const uint8_t *msg, size_t len)
{
    if (o->blind || hx_sim_over(o->s) || len < HX_MSG_HEAD || memcmp(msg + Q_VOLUME, o->s->volume.b, 16))
        return;
    unsigned type = hx_get_u16(msg + Q_TYPE);
    uint64_t epoch = hx_get_u64(msg + Q_EPOCH);
    const uint8_t *body = msg + HX_MSG_HEAD;
    if (type == HX_MSG_APPEND)
        oc_log_append(o, client, epoch, body, len - HX_MSG_HEAD);
    else if (type == HX_MSG_REPAIR || type == HX_MSG_ADOPT || type == HX_MSG_GEOMETRY || type == HX_MSG_FENCE)
        oc_attempt_sent(o, client, type, msg, len);
    else if (type == HX_MSG_READ && len >= HX_MSG_HEAD + 8)
        check_point(o, client, epoch, hx_get_u32(msg + Q_PG), hx_get_u64(body));
}

/* ---- openings ---- */
/* Was LSN of a lower epoch lost to lies?  An opening hears four members: only if four that can be heard have
 * not got it, some of them because they lied. */
static bool lost_to_lies(struct hx_oracle *o, const struct oc_epoch *e, uint64_t lsn)
{
    for (uint32_t pg = 0; pg < e->g.pg_count; pg++) {
        uint64_t need = oc_log_last(o, pg, lsn);
        unsigned out = 0;
        for (uint32_t k = 0; k < o->server_count; k++)
            out +=
                pg < o->servers[k].seg_count && (oc_held(&o->servers[k].segs[pg]) >= need || oc_gone(o, k));
        if (oc_liars(o, pg) && out <= HX_COPIES - HX_WRITE_QUORUM) {
            o->excused++;
            return true;
        }
    }
    return false;
}

/* Nothing committed before may be above the cut (I1), nothing written above the end (I3). */
static void check_kept(struct hx_oracle *o, const struct oc_epoch *n)
{
    for (size_t i = 0; i < o->epoch_count; i++) {
        struct oc_epoch *e = o->epochs[i];
        if (e->epoch >= n->epoch)
            break;
        uint64_t last = e->rec_count ? e->end + e->rec_count : 0;
        if (last > n->end)
            hx_sim_broken(o->s, "I3", "epoch %llu begins above %llu, but epoch %llu has written LSN %llu",
                          (oc_ull)n->epoch, (oc_ull)n->end, (oc_ull)e->epoch, (oc_ull)last);
        if (e->vdl <= n->vdl0)
            continue;
        if (!lost_to_lies(o, e, e->vdl))
            hx_sim_broken(
                o->s, "I1",
                "epoch %llu is cut at %llu, but four members of every PG held LSN %llu of epoch %llu",
                (oc_ull)n->epoch, (oc_ull)n->vdl0, (oc_ull)e->vdl, (oc_ull)e->epoch);
        e->vdl = n->vdl0;
    }
}

/* Every LSN of the log up to the cut was written. */
static void check_whole(struct hx_oracle *o, const struct oc_epoch *before, const struct oc_epoch *n)
{
    for (uint64_t lsn = before->end + 1; lsn <= n->vdl0; lsn++) {
        if (oc_rec_find(before, lsn))
            continue;
        hx_sim_broken(o->s, "I3", "epoch %llu is cut at %llu, but LSN %llu was never written",
                      (oc_ull)n->epoch, (oc_ull)n->vdl0, (oc_ull)lsn);
        return;
    }
}

static void check_geometry(struct hx_oracle *o, const struct oc_epoch *n)
{
    const struct oc_growth *w = NULL;
    for (size_t i = o->growth_count; i-- > 0 && !w;)
        if (hx_geometry_equal(&o->growths[i]->g, &n->g))
            w = o->growths[i];
    if (!w || !w->published)
        hx_sim_broken(o->s, "I9",
                      "epoch %llu opened with a geometry of %u PGs that four of PG 0 have not stored",
                      (oc_ull)n->epoch, n->g.pg_count);
    if (n->g.pg_count < o->published && n == oc_newest(o) && !oc_excuse(o, 0))
        hx_sim_broken(o->s, "I9", "epoch %llu opened with %u PGs, but %u were published", (oc_ull)n->epoch,
                      n->g.pg_count, o->published);
}

static const struct oc_attempt *bound_as(const struct hx_oracle *o, const struct hx_history *h)
{
    for (size_t i = o->attempt_count; i-- > 0;) {
        const struct oc_attempt *a = o->attempts[i];
        if (a->bound && a->epoch == oc_top(h) && a->h.count == h->count && oc_continues(&a->h, h))
            return a;
    }
    return NULL;
}

static struct oc_epoch *epoch_new(struct hx_oracle *o, uint32_t client, const struct hx_history *h,
                                  const struct hx_geometry *g)
{
    struct oc_epoch *e = oc_zalloc(o, sizeof *e);
    if (!e)
        return NULL;
    const struct hx_history_entry *top = &h->e[h->count - 1];
    e->pgs = oc_grow(o, NULL, &e->pg_cap, g->pg_count, sizeof *e->pgs);
    if (!e->pgs || hx_history_copy(&e->h, h) || hx_geometry_copy(&e->g, g)) {
        epoch_free(e);
        return NULL;
    }
    e->epoch = top->epoch.v;
    e->vdl = e->vdl0 = e->floor = e->told = top->vdl.v;
    e->floor = 0;
    e->end = e->walked = top->end.v;
    e->lal = top->lal;
    e->client = client;
    e->cut = e->ceiling = UINT64_MAX;
    for (uint32_t pg = 0; pg < g->pg_count; pg++)
        e->pgs[pg].last = oc_log_last(o, pg, e->vdl0);
    return e;
}

/* Into its place; the one before it ends where it begins. */
static void insert(struct hx_oracle *o, struct oc_epoch *n)
{
    struct oc_epoch **p = oc_grow(o, o->epochs, &o->epoch_cap, o->epoch_count + 1, sizeof(*p));
    if (!p) {
        epoch_free(n);
        return;
    }
    o->epochs = p;
    size_t i = o->epoch_count++;
    for (; i > 0 && p[i - 1]->epoch > n->epoch; i--)
        p[i] = p[i - 1];
    p[i] = n;
    if (i + 1 < o->epoch_count) {
        n->cut = p[i + 1]->vdl0;
        n->ceiling = p[i + 1]->end;
        if (!oc_continues(&p[i + 1]->h, &n->h) && !oc_excuse(o, 0))
            hx_sim_broken(o->s, "I3", "epoch %llu opened, but the history of epoch %llu has not got it",
                          (oc_ull)n->epoch, (oc_ull)p[i + 1]->epoch);
    }
    if (i == 0)
        return;
    struct oc_epoch *before = p[i - 1];
    if (!oc_continues(&n->h, &before->h) && !oc_excuse(o, 0))
        hx_sim_broken(o->s, "I3", "the history of epoch %llu has not got epoch %llu, which was open",
                      (oc_ull)n->epoch, (oc_ull)before->epoch);
    before->cut = n->vdl0;
    before->ceiling = n->end;
    if (i + 1 < o->epoch_count)
        return; /* it was void before it opened */
    check_whole(o, before, n);
    oc_log_cut(o, before);
}

void hx_oracle_opened(struct hx_oracle *o, uint32_t client, const struct hx_history *h,
                      const struct hx_geometry *g)
{
    if (o->blind || hx_sim_over(o->s) || h->count == 0)
        return;
    uint64_t epoch = oc_top(h);
    if (!o->pg_pages)
        o->pg_pages = g->pg_bytes / HX_PAGE_SIZE;
    if (!bound_as(o, h)) {
        hx_sim_broken(o->s, "I3",
                      "client %u opened epoch %llu, but no four members of PG 0 have adopted that history",
                      client, (oc_ull)epoch);
        return;
    }
    const struct oc_epoch *old = oc_epoch_find(o, epoch);
    if (old && old->epoch == epoch) {
        hx_sim_broken(o->s, "I3", "clients %u and %u opened epoch %llu", old->client, client, (oc_ull)epoch);
        return;
    }
    struct oc_epoch *n = epoch_new(o, client, h, g);
    if (!n)
        return;
    check_kept(o, n);
    insert(o, n);
    check_geometry(o, n);
    if (n == oc_newest(o))
        o->committed = n->vdl0 > o->committed || o->excused ? n->vdl0 : o->committed;
}

/* ---- what sessions say ---- */
static struct oc_client *client_of(struct hx_oracle *o, uint32_t client)
{
    if (client >= o->client_count) {
        struct oc_client *p = oc_grow(o, o->clients, &o->client_cap, client + (size_t)1, sizeof *p);
        if (!p)
            return NULL;
        o->clients = p;
        o->client_count = client + (size_t)1;
    }
    return &o->clients[client];
}

void hx_oracle_writer(struct hx_oracle *o, uint32_t client, struct hx_epoch epoch, struct hx_lsn vdl,
                      struct hx_lsn vcl, struct hx_lsn last)
{
    struct oc_client *c = client_of(o, client);
    if (!c || o->blind || hx_sim_over(o->s))
        return;
    if (c->epoch == epoch.v && c->vdl == vdl.v && c->vcl == vcl.v && c->last == last.v)
        return;
    const struct oc_epoch *e = oc_epoch_find(o, epoch.v);
    if (!e || e->client != client) {
        hx_sim_broken(o->s, "I3", "client %u writes epoch %llu, which it has not opened", client,
                      (oc_ull)epoch.v);
        return;
    }
    uint64_t from = vdl.v > e->end ? vdl.v : e->end;
    const struct oc_rec *r = oc_rec_find(e, vdl.v);
    if (epoch.v < c->epoch || (epoch.v == c->epoch && (vdl.v < c->vdl || vcl.v < c->vcl || last.v < c->last)))
        hx_sim_broken(o->s, "I5",
                      "client %u: epoch %llu, VDL %llu, VCL %llu, last %llu after %llu, %llu, %llu, %llu",
                      client, (oc_ull)epoch.v, (oc_ull)vdl.v, (oc_ull)vcl.v, (oc_ull)last.v, (oc_ull)c->epoch,
                      (oc_ull)c->vdl, (oc_ull)c->vcl, (oc_ull)c->last);
    else if (vdl.v > vcl.v || (vcl.v > last.v && vcl.v != e->vdl0 && vcl.v != e->end))
        hx_sim_broken(o->s, "I5", "client %u: VDL %llu, VCL %llu, last %llu are not in order", client,
                      (oc_ull)vdl.v, (oc_ull)vcl.v, (oc_ull)last.v);
    else if (vdl.v > e->vdl || vcl.v > (e->walked > e->vdl0 ? e->walked : e->vdl0))
        hx_sim_broken(o->s, "I5", "client %u: VDL %llu, VCL %llu, but four of every PG hold %llu, %llu",
                      client, (oc_ull)vdl.v, (oc_ull)vcl.v, (oc_ull)e->vdl, (oc_ull)e->walked);
    else if (vdl.v != e->vdl0 && !(r && r->flags & HX_REC_CPL))
        hx_sim_broken(o->s, "I5", "client %u: no mini-transaction ends at VDL %llu", client, (oc_ull)vdl.v);
    else if (last.v > from + e->lal)
        hx_sim_broken(o->s, "I5", "client %u allocated LSN %llu, beyond %llu + %llu", client, (oc_ull)last.v,
                      (oc_ull)from, (oc_ull)e->lal);
    *c = (struct oc_client){epoch.v, vdl.v, vcl.v, last.v};
}

void hx_oracle_durable(struct hx_oracle *o, uint32_t client, struct hx_epoch epoch, struct hx_lsn lsn)
{
    if (o->blind || hx_sim_over(o->s))
        return;
    const struct oc_epoch *e = oc_epoch_find(o, epoch.v);
    if (!e || e->client != client)
        hx_sim_broken(o->s, "I3", "client %u says durable in epoch %llu, which it has not opened", client,
                      (oc_ull)epoch.v);
    else if (lsn.v > e->vdl && lsn.v > e->end)
        hx_sim_broken(o->s, "I1",
                      "client %u: a program was told that LSN %llu of epoch %llu is durable; %llu is", client,
                      (oc_ull)lsn.v, (oc_ull)epoch.v, (oc_ull)e->vdl);
    else if (lsn.v > e->cut && lsn.v > e->end && !o->excused)
        hx_sim_broken(
            o->s, "I1",
            "client %u: a program was told that LSN %llu of epoch %llu is durable, but it was cut at %llu",
            client, (oc_ull)lsn.v, (oc_ull)epoch.v, (oc_ull)e->cut);
}

void hx_oracle_filled(struct hx_oracle *o, uint32_t client, struct hx_epoch epoch, struct hx_lsn r,
                      uint64_t page, const uint8_t *data)
{
    static const uint8_t zeros[HX_PAGE_SIZE];
    if (o->blind || hx_sim_over(o->s) || !o->pg_pages)
        return;
    uint32_t pg = (uint32_t)(page / o->pg_pages);
    uint64_t lsn;
    check_point(o, client, epoch.v, pg, r.v);
    if (hx_sim_over(o->s) || r.v > oc_epoch_find(o, epoch.v)->cut)
        return;
    const uint8_t *want = oc_page_at(o, pg, (uint32_t)(page % o->pg_pages), r.v, &lsn);
    if (memcmp(want, data ? data : zeros, HX_PAGE_SIZE))
        hx_sim_broken(o->s, "I6",
                      "client %u: page %llu at %llu is not what its records make of it (to LSN %llu)", client,
                      (oc_ull)page, (oc_ull)r.v, (oc_ull)lsn);
}
