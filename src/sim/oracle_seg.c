/*
 * oracle_seg.c - what segments hold, as hx_node_look tells: everything that must only rise rises, over
 * restarts never below what was answered; an SCL is the LSN of a record that is valid there.
 *
 * Within a life a look is compared with the one before, where something changed.  After a restart it is
 * compared with what the server had answered: only that it must keep.
 */
#include "oracle_int.h"
#include "server.h"

#include <stdlib.h>

bool oc_look(const struct hx_oracle *o, uint32_t server, uint32_t pg, struct hx_segment_look *ret)
{
    const struct hx_node *n = server < o->server_count ? o->servers[server].node : NULL;
    struct hx_disk_place at = {o->s->volume, pg};
    return n && !hx_node_look(n, at, ret);
}

void hx_oracle_attach(struct hx_oracle *o, uint32_t server, struct hx_node *node)
{
    struct oc_server *v = oc_server_get(o, server);
    if (!v)
        return;
    v->node = node;
    v->changes = UINT64_MAX;
}

static void seg_restarted(struct oc_seg *s, bool kept_promises)
{
    s->fresh = true;
    s->failed = false;
    if (kept_promises)
        return;
    s->lied = s->lied || s->exists;
    s->exists = false;
    s->answered_promise = s->answered_top = s->acked = s->repaired = s->repaired_epoch = s->acked_epoch =
        s->fence_epoch = 0;
    s->g_epoch = s->g = s->m = 0;
}

void oc_life(struct hx_oracle *o, uint32_t server, uint32_t pg, struct oc_seg *s)
{
    struct hx_segment_look l;
    const struct oc_epoch *e = oc_newest(o);
    if (!oc_look(o, server, pg, &l) || (l.life == s->life && l.retired == s->retired))
        return;
    const struct hx_geometry *next = e ? oc_in_the_air(o, e) : NULL;
    const uint8_t *id = o->servers[server].incarnation;
    bool older = s->lied && l.life <= s->life; /* an older image of the disk has come back */
    if (l.retired && !older && e && (oc_slot(&e->g, pg, id) >= 0 || (next && oc_slot(next, pg, id) >= 0)))
        hx_sim_broken(o->s, "M6", "server %u gives up its segment of PG %u, but a version in use names it", server, pg);
    bool first = s->life == 0;
    s->life = l.life;
    s->retired = l.retired;
    s->began_us = o->s->now_us;
    if (first && !l.retired)
        return;
    s->fresh = true;
    s->seen = false;
    s->lied = older;
    s->had = oc_held(s) > s->had ? oc_held(s) : s->had;
    s->acked = s->repaired = s->repaired_epoch = s->acked_epoch = 0;
    s->filled_at = s->lied ? l.base.v : 0;
    s->filled_from = s->lied ? l.oldest.v : 0;
    s->was = (struct hx_segment_look){0};
    for (size_t i = 0; i < o->epoch_count && !older; i++) /* a writer has counted what it acknowledged */
        if (pg < o->epochs[i]->g.pg_count)
            o->epochs[i]->pgs[pg].scl[server] = 0;
}

void hx_oracle_restarted(struct hx_oracle *o, uint32_t server, bool kept_promises)
{
    struct oc_server *v = oc_server_get(o, server);
    if (!v)
        return;
    v->node = NULL;
    for (size_t i = 0; i < v->seg_count; i++)
        seg_restarted(&v->segs[i], kept_promises);
}

void hx_oracle_reopened(struct hx_oracle *o, uint32_t server, uint32_t pg, bool kept_promises)
{
    struct oc_seg *s = oc_seg_get(o, server, pg);
    if (s)
        seg_restarted(s, kept_promises);
}

void hx_oracle_disk_failed(struct hx_oracle *o, uint32_t server, uint32_t pg)
{
    struct oc_seg *s = oc_seg_get(o, server, pg);
    if (s)
        s->failed = true;
}

/* ---- histories ---- */
/* The history has changed from s->h to what L shows: the SCL may sink to what is not cut off, and what was
 * acknowledged above it is void. */
uint64_t oc_cut_above(const struct hx_history *h, uint64_t epoch)
{
    uint64_t cut = UINT64_MAX;
    for (size_t i = h->count; i-- > 0 && h->e[i].epoch.v > epoch;)
        cut = h->e[i].vdl.v < cut ? h->e[i].vdl.v : cut;
    return cut;
}

uint64_t oc_after_cut(const struct hx_oracle *o, uint32_t pg, uint64_t scl, uint64_t cut)
{
    if (scl <= cut)
        return scl;
    return oc_log_last(o, pg, cut);
}

static void history_changed(struct hx_oracle *o, uint32_t server, uint32_t pg, struct oc_seg *s,
                            const struct hx_segment_look *l)
{
    uint64_t top = oc_top(l->history), cut = s->seen ? oc_cut_between(&s->h, l->history) : UINT64_MAX;
    if (!s->fresh && top < oc_top(&s->h))
        hx_sim_broken(o->s, "I3", "server %u, PG %u: history %llu was replaced by the lower %llu", server, pg,
                      (oc_ull)oc_top(&s->h), (oc_ull)top);
    /* What was acknowledged or completed was judged under a history of its own (that of the epoch, or the one
     * in the message): only later epochs cut it. */
    s->acked = oc_after_cut(o, pg, s->acked, oc_cut_above(l->history, s->acked_epoch));
    s->repaired = oc_after_cut(o, pg, s->repaired, oc_cut_above(l->history, s->repaired_epoch));
    s->was.scl.v = oc_after_cut(o, pg, s->was.scl.v, cut);
    if (hx_history_copy(&s->h, l->history))
        hx_sim_harness(o->s, "the oracle has no memory left");
}

void hx_oracle_unread(struct hx_oracle *o, uint32_t server)
{
    struct oc_server *v = oc_server_get(o, server);
    struct hx_segment_look l;
    if (v && !v->node)
        hx_oracle_attach(o, server, o->s->servers[server].node);
    for (uint32_t pg = 0; v && pg < v->seg_count; pg++) {
        struct oc_seg *s = &v->segs[pg];
        if (!s->exists || s->lied || !oc_look(o, server, pg, &l) || l.error)
            continue;
        uint64_t acked = oc_after_cut(o, pg, s->acked, oc_cut_above(l.history, s->acked_epoch));
        if (l.scl.v >= acked)
            continue;
        if (!l.unknowns)
            hx_sim_broken(o->s, "I11", "server %u, PG %u: a place cannot be read, and LSN %llu to %llu are gone",
                          server, pg, (oc_ull)l.scl.v + 1, (oc_ull)acked);
        seg_restarted(s, false);
    }
}

/* ---- one segment ---- */
static void check_scl(struct hx_oracle *o, uint32_t server, uint32_t pg, const struct oc_seg *s,
                      const struct hx_segment_look *l, bool same_history)
{
    uint64_t scl = l->scl.v;
    if (scl < s->acked && !s->lied)
        hx_sim_broken(o->s, "I5", "server %u, PG %u: SCL is %llu, but %llu was acknowledged", server, pg,
                      (oc_ull)scl, (oc_ull)s->acked);
    if (!s->fresh && scl < s->was.scl.v)
        hx_sim_broken(o->s, "I5", "server %u, PG %u: SCL fell from %llu to %llu", server, pg,
                      (oc_ull)s->was.scl.v, (oc_ull)scl);
    if (scl == 0 || scl == s->filled_at || (same_history && scl == s->was.scl.v))
        return;
    uint64_t epoch = oc_epoch_of(l->history, scl);
    const struct oc_rec *r = epoch ? oc_rec_find(oc_epoch_find(o, epoch), scl) : NULL;
    if (!r || r->pg != pg)
        hx_sim_broken(o->s, "I4",
                      "server %u, PG %u: SCL %llu is no record that is valid under its history (top %llu)",
                      server, pg, (oc_ull)scl, (oc_ull)oc_top(l->history));
}

/* The writer says what all members have; so do they to each other.  Who forgot it had it, the one that says so, too:
 * the frames from which it learns it again name the mark. */
static bool all_have(const struct hx_oracle *o, uint32_t server, uint32_t pg, const struct hx_segment_look *l)
{
    uint64_t lsn = oc_log_last(o, pg, l->gc.v);
    unsigned n = 0;
    for (uint32_t i = 0; i < o->server_count; i++) {
        const struct oc_seg *s = pg < o->servers[i].seg_count ? &o->servers[i].segs[pg] : NULL;
        n += s && ((i == server ? l->scl.v : s->was.scl.v) >= lsn || s->had >= lsn || s->lied);
    }
    return n >= oc_least(o, pg).members;
}

static void check_marks(struct hx_oracle *o, uint32_t server, uint32_t pg, const struct oc_seg *s,
                        const struct hx_segment_look *l)
{
    if (l->hint.v > o->committed)
        hx_sim_broken(o->s, "I5", "server %u, PG %u: takes VDL %llu for durable, but %llu is", server, pg,
                      (oc_ull)l->hint.v, (oc_ull)o->committed);
    if (l->hint.v && !oc_epoch_of(l->history, l->hint.v) && !o->excused)
        hx_sim_broken(o->s, "I5", "server %u, PG %u: takes LSN %llu for durable, which its history makes void",
                      server, pg, (oc_ull)l->hint.v);
    uint64_t from = s->filled_from > s->filled_at ? s->filled_from : s->filled_at;
    if (!l->filling && l->oldest.v > from && l->oldest.v > l->floor.v && l->oldest.v > o->floor_told)
        hx_sim_broken(o->s, "I10",
                      "server %u, PG %u: versions below %llu are gone, but the read floor is %llu", server,
                      pg, (oc_ull)l->oldest.v, (oc_ull)o->floor_told);
    /* What all have had stays said over a restart, whatever damage has taken from some of them since. */
    bool gc_new = l->gc.v > o->gc_told && l->gc.v > s->was.gc.v;
    if (l->floor.v > o->floor_told || (gc_new && !all_have(o, server, pg, l)))
        hx_sim_broken(o->s, "I10", "server %u, PG %u: floor %llu, gc %llu, but %llu and %llu were announced",
                      server, pg, (oc_ull)l->floor.v, (oc_ull)l->gc.v, (oc_ull)o->floor_told,
                      (oc_ull)o->gc_told);
    if (!s->fresh && (l->hint.v < s->was.hint.v || l->floor.v < s->was.floor.v || l->gc.v < s->was.gc.v ||
                      l->oldest.v < s->was.oldest.v || l->base.v < s->was.base.v))
        hx_sim_broken(o->s, "I5", "server %u, PG %u: VDL, floor, gc, oldest or base fell", server, pg);
}

static void check_geometry(struct hx_oracle *o, uint32_t server, uint32_t pg, struct oc_seg *s,
                           const struct hx_segment_look *l)
{
    const struct hx_geometry *g = l->geometry;
    bool lower = g->epoch.v != s->g_epoch ? g->epoch.v < s->g_epoch
                 : g->g != s->g           ? g->g < s->g
                                          : g->m < s->m;
    if (lower && !s->fresh)
        hx_sim_broken(o->s, "I5", "server %u, PG %u: geometry fell from (%llu, %u, %u) to (%llu, %u, %u)",
                      server, pg, (oc_ull)s->g_epoch, s->g, s->m, (oc_ull)g->epoch.v, g->g, g->m);
    s->g_epoch = g->epoch.v;
    s->g = g->g;
    s->m = g->m;
}

static void check(struct hx_oracle *o, uint32_t server, const struct hx_segment_look *l)
{
    uint32_t pg = l->at.pg;
    struct oc_seg *s = oc_seg_get(o, server, pg);
    if (s)
        oc_life(o, server, pg, s);
    if (!s || l->error)
        return; /* it answers nothing: what it had answered is judged when it runs again */
    uint64_t top = oc_top(l->history);
    bool same = s->seen && !s->fresh && oc_top(&s->h) == top;
    if (!same)
        history_changed(o, server, pg, s, l);
    if (l->promised.v < s->answered_promise || top < s->answered_top)
        hx_sim_broken(o->s, "I5",
                      "server %u, PG %u: promise %llu, history %llu, but it has answered %llu and %llu",
                      server, pg, (oc_ull)l->promised.v, (oc_ull)top, (oc_ull)s->answered_promise,
                      (oc_ull)s->answered_top);
    if (!s->fresh && l->promised.v < s->was.promised.v)
        hx_sim_broken(o->s, "I5", "server %u, PG %u: promise fell from %llu to %llu", server, pg,
                      (oc_ull)s->was.promised.v, (oc_ull)l->promised.v);
    if (top > l->promised.v)
        hx_sim_broken(o->s, "I5", "server %u, PG %u: history %llu is above its promise %llu", server, pg,
                      (oc_ull)top, (oc_ull)l->promised.v);
    if (s->was.filling && !l->filling) {
        s->filled_at = l->base.v;
        s->filled_from = l->oldest.v;
    }
    check_scl(o, server, pg, s, l, same);
    check_marks(o, server, pg, s, l);
    check_geometry(o, server, pg, s, l);
    s->was = *l;
    s->seen = true;
    s->fresh = false;
}

void hx_oracle_server(struct hx_oracle *o, uint32_t server)
{
    struct oc_server *v = oc_server_get(o, server);
    if (v && o->s->servers && v->node != o->s->servers[server].node)
        hx_oracle_attach(o, server, o->s->servers[server].node);
    if (!v || !v->node || o->blind || hx_sim_over(o->s) || v->changes == hx_node_changes(v->node))
        return;
    bool first = v->changes == UINT64_MAX;
    v->changes = hx_node_changes(v->node);
    for (size_t i = 0; i < hx_node_places(v->node); i++) {
        struct hx_segment_look l;
        hx_node_look_at(v->node, i, &l);
        struct oc_seg *s = memcmp(l.at.volume.b, o->s->volume.b, 16) ? NULL : oc_seg_get(o, server, l.at.pg);
        if (s && (!s->seen || s->fresh || l.serial != s->was.serial))
            check(o, server, &l);
    }
    for (uint32_t pg = 0; first && pg < v->seg_count; pg++) {
        struct hx_segment_look l;
        if (v->segs[pg].exists && !oc_look(o, server, pg, &l))
            hx_sim_broken(o->s, "I5", "server %u: PG %u is gone", server, pg);
    }
}

/* ---- duplicates ---- */
/* What differs; NULL: nothing that matters.  Announcements (hint, floor, gc) are passed on to other segments
 * now and then only, so the second time may be the first for them; and with the hint what need not be held
 * goes.  The owner tells in PG 0 only. */
static const char *difference(const struct hx_segment_look *a, const struct hx_segment_look *b)
{
    if (a->promised.v != b->promised.v || (a->at.pg == 0 && !hx_uuid_eq(&a->owner, &b->owner)))
        return "promise";
    /* Fewer are no change: what is void, or need not be held, is let go at the segment's own pace. */
    if (a->scl.v != b->scl.v || a->highest.v > b->highest.v || (a->hint.v == b->hint.v && a->held > b->held))
        return "records";
    /* Not by number: a question to a peer, which a repeated GOSSIP brings about, parts damage in two at the SCL. */
    return a->doubt.v < b->doubt.v ? "damage" : a->error != b->error ? "error" : NULL;
}

void hx_oracle_again(struct hx_oracle *o, uint32_t server, uint64_t since_us, bool after)
{
    struct oc_server *v = oc_server_get(o, server);
    if (!v || !v->node || o->blind || hx_sim_over(o->s))
        return;
    for (size_t i = 0; i < hx_node_places(v->node); i++) {
        struct hx_segment_look l;
        hx_node_look_at(v->node, i, &l);
        struct oc_seg *s = oc_seg_get(o, server, l.at.pg);
        if (!s)
            return;
        if (!after) {
            s->again = l;
            s->again_top = oc_top(l.history);
            continue;
        }
        /* M10: a FORMAT that comes late, over a tombstone, begins another life; so may one since the first time. */
        if (l.life != s->again.life || s->began_us >= since_us)
            continue;
        const char *what = oc_top(l.history) != s->again_top ? "history" : difference(&l, &s->again);
        if (s->again.serial && what)
            hx_sim_broken(
                o->s, "I14",
                "server %u, PG %u: a request that came again changed what it holds: %s (SCL %llu to %llu, "
                "highest %llu to %llu, held %llu to %llu)",
                server, l.at.pg, what, (oc_ull)s->again.scl.v, (oc_ull)l.scl.v, (oc_ull)s->again.highest.v,
                (oc_ull)l.highest.v, (oc_ull)s->again.held, (oc_ull)l.held);
    }
}
