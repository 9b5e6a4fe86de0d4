/*
 * rules.c - who may do what to a segment: doc/PROTOCOL.md, one function for each row of its table.
 *
 *   Rule 0  A message of epoch e < promised is FENCED.  An accepted one raises the promise to e, in the same
 *           durable step as its effect.
 *   Q1 The promise never sinks; the history is only replaced by one with a higher top; top <= promised.
 *   Q2 Nothing here writes: effects are durable, and may be answered, after hx_seg_flush returned 0.  The caller
 *      looks at the promise again before it answers: an epoch that was fenced meanwhile gets FENCED.
 *   Q3 On any error nothing has changed, but that an accepted epoch's promise may have been raised.
 * A duplicate of any message leaves the same state (I14).  Late ones fall to Rule 0 (I2).
 * I1 to I16: doc/PROTOCOL.md, "The invariants".
 */
#include "store.h"

#include "hexad/mutant.h"
#include "hexad/quorum.h"

#include <stdlib.h>

int hx_rules_zero(struct hx_seg *s, struct hx_epoch e, const struct hx_uuid *owner)
{
    if (s->error)
        return s->error;
    if (e.v < s->meta.promised.v)
        return HX_E_FENCED;
    if (e.v > s->meta.promised.v) {
        s->meta.promised = e;
        s->meta.owner = *owner;
        s->meta_dirty = true;
    }
    return 0;
}

/* Is this server one of the PG's members? */
static bool member(const struct hx_seg *s, const struct hx_geometry *g)
{
    const struct hx_pg_members *row = hx_geometry_row(g, s->at.pg);
    for (unsigned i = 0; row && row->kind != HX_ROW_RELEASED && i < HX_COPIES; i++) {
        const struct hx_server *m = &g->servers[row->server[i]];
        if (hx_members_has(hx_row_slots(row), i) && !strcmp(m->name, s->env->name) &&
            (hx_uuid_eq(&m->incarnation, &s->env->server) || HX_MUTANT(INCARNATION_IGNORED)))
            return true;
    }
    return false;
}

static int take_history(struct hx_seg *s, struct hx_history *h)
{
    hx_history_fini(&s->meta.history);
    s->meta.history = *h;
    *h = (struct hx_history){0};
    s->meta_dirty = s->meta_dirty || !HX_MUTANT(HISTORY_NOT_DURABLE);
    int err = hx_apply_history(s);
    if (err)
        hx_seg_poison(s, err); /* chain and index are half way: only a restart puts them right */
    return err;
}

bool hx_rules_named(const struct hx_seg *s)
{
    return member(s, &s->meta.geometry);
}

static void take_geometry(struct hx_seg *s, struct hx_geometry *g)
{
    hx_geometry_fini(&s->meta.geometry);
    s->meta.geometry = *g;
    *g = (struct hx_geometry){0};
    s->meta_dirty = true;
}

/* Do A and B name the same members of the segment's group? */
static bool same_members(const struct hx_seg *s, const struct hx_geometry *a, const struct hx_geometry *b)
{
    const struct hx_pg_members *x = hx_geometry_row(a, s->at.pg), *y = hx_geometry_row(b, s->at.pg);
    for (unsigned i = 0; x && y && i < HX_COPIES; i++)
        if (!hx_uuid_eq(&a->servers[x->server[i]].incarnation, &b->servers[y->server[i]].incarnation))
            return false;
    return x && y && hx_row_slots(x) == hx_row_slots(y);
}

/* A geometry that a message brought about this segment: of its volume and group, and no newer than who says it. */
static bool fits(const struct hx_seg *s, struct hx_epoch e, const struct hx_geometry *g)
{
    return hx_uuid_eq(&g->volume, &s->at.volume) && hx_geometry_row(g, s->at.pg) && (s->at.pg || !g->slice) &&
           g->epoch.v <= e.v && g->pg_bytes == s->meta.geometry.pg_bytes;
}

static bool released(const struct hx_seg *s, const struct hx_geometry *g)
{
    const struct hx_pg_members *row = hx_geometry_row(g, s->at.pg);
    return row && row->kind == HX_ROW_RELEASED;
}

/* A learner over a tombstone (M10, T3 of retire.c); a member only where that knows that the group was released, and the
 * newer version uses it again (S1): all six begin with nothing then. */
static int format_anew(struct hx_seg *s, const struct hx_msg_head *m, struct hx_geometry *g, struct hx_history *h,
                       bool learner)
{
    if (!fits(s, m->epoch, g))
        return HX_E_INVAL;
    if (!learner && !released(s, &s->meta.geometry))
        return HX_E_WRONG_MEMBER;
    if (m->epoch.v < s->meta.promised.v)
        return HX_E_FENCED;
    if (hx_geometry_compare(g, &s->meta.geometry) < !learner)
        return HX_E_WRONG_MEMBER; /* said before the DELETE was: a late one */
    hx_seg_index_init(s, g);
    s->meta.promised = m->epoch;
    s->meta.owner = m->owner;
    take_geometry(s, g);
    if (hx_history_top(h).v > hx_seg_top(s).v) {
        hx_history_fini(&s->meta.history);
        s->meta.history = *h;
        *h = (struct hx_history){0};
    }
    hx_retire_anew(s, learner);
    return 0;
}

/* What is there already, of a learner's FORMAT: it follows members and history, and its pages go on to be copied. */
static int format_again(struct hx_seg *s, struct hx_geometry *g, struct hx_history *h)
{
    if (hx_geometry_compare(g, &s->meta.geometry) > 0 && g->pg_bytes == s->meta.geometry.pg_bytes) {
        take_geometry(s, g);
    }
    return hx_history_top(h).v > hx_seg_top(s).v ? take_history(s, h) : 0;
}

int hx_rules_format(struct hx_seg *s, const struct hx_msg_head *m, struct hx_geometry *g,
                    struct hx_history *h, unsigned how)
{
    bool fresh = how & HX_RULES_FRESH, learner = how & HX_RULES_LEARNER;
    if (!hx_uuid_eq(&g->volume, &s->at.volume) || h->count == 0 || hx_history_top(h).v > m->epoch.v)
        return HX_E_INVAL;
    if (!hx_geometry_row(g, s->at.pg) || member(s, g) == learner)
        return HX_E_WRONG_MEMBER;
    int err = hx_geometry_slice(g, s->at.pg, g);
    if (err)
        return err;
    if (s->retired) /* POISONED: T2 of retire.c */
        return s->error == HX_E_NO_SEGMENT ? format_anew(s, m, g, h, learner) : s->error;
    bool was_virgin = !s->chain.scl && !s->chain.held_count && !s->chain.span_count && !s->log.slot_count;
    /* A learner of an empty group has nothing when it is filled, either: its own FORMAT may come again, or late. */
    int step = hx_geometry_compare(g, &s->meta.geometry);
    bool unused = step == 0 && member(s, &s->meta.geometry); /* it was named by a version that was never published */
    bool later = learner ? step > 0 || unused : m->epoch.v > s->meta.promised.v;
    bool newer = fresh || (was_virgin && later && g->pg_bytes == s->meta.geometry.pg_bytes);
    if (s->filling || (learner && !newer)) { /* one that has records, and is not named: it catches up like any other */
        int zero = hx_rules_zero(s, m->epoch, &m->owner);
        return zero || !s->filling ? zero : format_again(s, g, h);
    }
    err = hx_rules_zero(s, m->epoch, &m->owner);
    if (err || !newer)
        return err; /* it is there already: idempotent */
    if (fresh) {
        s->reserve.looked = true; /* there is none */
        hx_seg_index_init(s, g);
    }
    /* Also an orphan that a growth left behind which never was published: without records, it takes the members
     * of the growth that was, for that one's version is higher.  One that is lower comes from an opening that has not
     * heard of another attempt's: it will say a higher one once it is open (I5). */
    if (fresh || learner || hx_geometry_compare(g, &s->meta.geometry) > 0) {
        hx_geometry_fini(&s->meta.geometry);
        s->meta.geometry = *g;
        *g = (struct hx_geometry){0};
    }
    if (hx_history_top(h).v > hx_seg_top(s).v) {
        hx_history_fini(&s->meta.history);
        s->meta.history = *h;
        *h = (struct hx_history){0};
    }
    s->filling = learner;
    s->meta.flags = learner ? HX_META_FILLING : 0;
    s->meta_dirty = true;
    return 0;
}

int hx_rules_fence(struct hx_seg *s, struct hx_epoch e, const struct hx_uuid *owner)
{
    if (s->error)
        return s->error;
    bool same = e.v == s->meta.promised.v && (hx_uuid_eq(owner, &s->meta.owner) || HX_MUTANT(OWNER_NOT_COMPARED));
    if (s->at.pg == 0 ? !(e.v > s->meta.promised.v || same) : e.v < s->meta.promised.v)
        return HX_E_FENCED;
    if (HX_MUTANT(FENCE_AFTER_INVENTORY) || (HX_MUTANT(FENCE_ONLY_PG0) && s->at.pg != 0))
        return 0;
    if (!same) {
        s->meta.promised = e;
        s->meta.owner = *owner;
        s->meta_dirty = s->meta_dirty || !HX_MUTANT(PROMISE_NOT_DURABLE);
    }
    return 0;
}

int hx_rules_adopt(struct hx_seg *s, struct hx_epoch e, const struct hx_uuid *owner, struct hx_history *g)
{
    if (g->count == 0 || hx_history_top(g).v > e.v)
        return HX_E_INVAL;
    int err = hx_rules_zero(s, e, owner);
    if (HX_MUTANT(ADOPT_IGNORES_PROMISE) && err == HX_E_FENCED)
        err = 0;
    if (err || hx_history_top(g).v <= hx_seg_top(s).v)
        return err; /* the own one stays; the answer names it */
    return take_history(s, g);
}

int hx_rules_geometry(struct hx_seg *s, struct hx_epoch e, const struct hx_uuid *owner, struct hx_geometry *g)
{
    if (s->at.pg != 0 || !hx_uuid_eq(&g->volume, &s->at.volume) || g->pg_bytes != s->meta.geometry.pg_bytes ||
        g->pg_count == 0 || g->epoch.v > e.v)
        return HX_E_INVAL;
    int err = hx_rules_zero(s, e, owner);
    int newer = hx_geometry_compare(g, &s->meta.geometry);
    /* Two contents under one version would let a later opening bind either. */
    if (!err && newer == 0 && !hx_geometry_equal(g, &s->meta.geometry))
        return HX_E_INVAL;
    if (err || (newer <= 0 && !HX_MUTANT(GEOMETRY_STEPS_BACK)))
        return err;
    if (!same_members(s, g, &s->meta.geometry))
        s->meta.flags |= HX_META_TURNING; /* E7 of gossip.c */
    take_geometry(s, g);
    return 0;
}

/* A tombstone is told nothing but that its group was released: then it may become a member's again (format_anew).  It
 * answers what it always does; should the word not reach the disk, FORMAT is refused, and it is told once more. */
static int tombstone_members(struct hx_seg *s, struct hx_epoch e, struct hx_geometry *g)
{
    if (e.v >= s->meta.promised.v && released(s, g) && hx_geometry_compare(g, &s->meta.geometry) > 0) {
        take_geometry(s, g);
        hx_seg_touch(s);
    }
    return s->error;
}

int hx_rules_members(struct hx_seg *s, struct hx_epoch e, const struct hx_uuid *owner, struct hx_geometry *g)
{
    if (!fits(s, e, g))
        return s->retired ? s->error : HX_E_INVAL;
    int err = hx_geometry_slice(g, s->at.pg, g);
    if (!err && s->retired)
        return tombstone_members(s, e, g);
    err = err ? err : hx_rules_zero(s, e, owner);
    int newer = hx_geometry_compare(g, &s->meta.geometry);
    if (!err && newer == 0 && !hx_geometry_equal(g, &s->meta.geometry))
        return HX_E_INVAL; /* as in GEOMETRY */
    if (!err && newer > 0)
        take_geometry(s, g);
    if (!err && newer >= 0 && s->meta.flags & HX_META_TURNING) {
        s->meta.flags &= (uint16_t)~HX_META_TURNING;
        s->meta_dirty = true;
    }
    return err;
}

int hx_rules_delete(struct hx_seg *s, const struct hx_msg_head *m, struct hx_geometry *g, uint64_t life)
{
    if (!fits(s, m->epoch, g))
        return HX_E_INVAL;
    if (s->retired || s->retiring)
        return m->epoch.v < s->meta.promised.v ? HX_E_FENCED : life == s->meta.life ? 0 : HX_E_MADE_ANEW;
    int newer = hx_geometry_compare(g, &s->meta.geometry);
    if (member(s, g))
        return HX_E_WRONG_MEMBER;
    int err = hx_geometry_slice(g, s->at.pg, g);
    err = err ? err : hx_rules_zero(s, m->epoch, &m->owner);
    if (err)
        return err;
    if (life != s->meta.life)
        return HX_E_MADE_ANEW; /* M10 */
    if (newer < 0 && member(s, &s->meta.geometry))
        return HX_E_WRONG_MEMBER; /* M6 */
    if (newer == 0 && !hx_geometry_equal(g, &s->meta.geometry))
        return HX_E_INVAL;
    if (newer > 0)
        take_geometry(s, g);
    hx_retire_begin(s);
    return 0;
}

/* Everything of the frame is here already. */
static bool have_all(const struct hx_seg *s, const struct hx_frame_head *h)
{
    const struct hx_chain *c = &s->chain;
    if (!hx_history_valid(&s->meta.history, h->first, h->epoch) ||
        !hx_history_valid(&s->meta.history, h->last, h->epoch))
        return false;
    if (s->unknown_count && hx_seg_lost_within(s, h->first.v, h->last.v))
        return false;
    return h->last.v <= c->scl || hx_chain_has_run(c, h->first.v, h->last.v, h->epoch.v, h->count);
}

static int store(struct hx_seg *s, const uint8_t *frame, const struct hx_frame_head *h, uint8_t flags)
{
    if (have_all(s, h))
        return 0;
    if (s->reserve.tight)
        return HX_E_NOSPACE; /* Z2 */
    int err = hx_log_put(s, HX_ENV_FRAME, flags, frame, hx_frame_bytes(h));
    if (err)
        return err == HX_E_CORRUPT ? HX_E_BADMSG : err;
    return s->log.batch.len >= HX_LOG_BATCH_MAX ? hx_seg_flush(s) : 0;
}

int hx_rules_append(struct hx_seg *s, struct hx_epoch e, const uint8_t *frame, const struct hx_frame_head *h)
{
    if (s->error)
        return s->error;
    if (e.v < s->meta.promised.v && !HX_MUTANT(APPEND_IGNORES_PROMISE))
        return HX_E_FENCED;
    if (hx_seg_top(s).v != e.v)
        return HX_E_NEED_HISTORY;
    if (h->epoch.v != e.v || !hx_history_valid(&s->meta.history, h->first, e))
        return HX_E_BADMSG;
    return store(s, frame, h, HX_ENV_BELIEVED);
}

void hx_rules_announce(struct hx_seg *s, struct hx_epoch e, struct hx_lsn vdl, struct hx_lsn floor)
{
    if (s->error || e.v < s->meta.promised.v || (hx_seg_top(s).v != e.v && !HX_MUTANT(ANNOUNCE_ANY_TOP)))
        return;
    hx_apply_hint(s, vdl.v);
    hx_apply_floor(s, floor.v, 0);
}

int hx_rules_repair(struct hx_seg *s, const struct hx_history *h, const uint8_t *frame, const struct hx_frame_head *fh)
{
    if (!hx_history_valid(h, fh->first, fh->epoch) || !hx_history_valid(h, fh->last, fh->epoch))
        return HX_E_BADMSG;
    /* Not believed: the recoverer framed it, and its VDL is not open yet. */
    return store(s, frame, fh, HX_MUTANT(REPAIR_ANNOUNCES) ? HX_ENV_BELIEVED : 0);
}

int hx_rules_gossip(struct hx_seg *s, const uint8_t *frame, const struct hx_frame_head *h)
{
    if (s->error)
        return s->error;
    bool valid = hx_history_valid(&s->meta.history, h->first, h->epoch) &&
                 hx_history_valid(&s->meta.history, h->last, h->epoch);
    if (!valid && !HX_MUTANT(GOSSIP_ANNULLED))
        return HX_E_BADMSG;
    return store(s, frame, h, HX_ENV_BELIEVED);
}

int hx_rules_gossip_history(struct hx_seg *s, struct hx_history *h)
{
    struct hx_epoch top = hx_history_top(h);
    if (s->error)
        return s->error;
    if (top.v <= hx_seg_top(s).v || top.v < s->meta.promised.v)
        return 0; /* ignored */
    if (top.v > s->meta.promised.v) {
        s->meta.promised = top;
        s->meta.owner = (struct hx_uuid){{0}};
    }
    return take_history(s, h);
}

int hx_rules_read(const struct hx_seg *s, struct hx_epoch e, uint64_t point)
{
    if (s->error)
        return s->error;
    if (e.v < s->meta.promised.v)
        return HX_E_FENCED;
    if (hx_seg_top(s).v != e.v)
        return HX_E_NEED_HISTORY;
    if (s->filling)
        return HX_E_LAGGING;
    if (point > s->chain.scl && !HX_MUTANT(READ_BEYOND_SCL))
        return HX_E_LAGGING;
    return point < s->oldest && !HX_MUTANT(READ_BELOW_FLOOR) ? HX_E_TOO_OLD : 0;
}

int hx_rules_fetch(const struct hx_seg *s, struct hx_epoch e, bool raw)
{
    if (s->error)
        return s->error;
    if (!raw && s->filling)
        return HX_E_LAGGING;
    return raw || hx_seg_top(s).v == e.v ? 0 : HX_E_NEED_HISTORY;
}

/* Damage without an end is not about this record: it was read whole at the restart, or has come since. */
static bool in_doubt(const struct hx_seg *s, uint64_t lsn)
{
    for (size_t i = 0; i < s->unknown_count; i++)
        if (lsn >= s->unknowns[i].from && lsn <= s->unknowns[i].to && s->unknowns[i].to != UINT64_MAX)
            return true;
    return false;
}

int hx_rules_inventory(struct hx_seg *s, struct hx_inventory *ret)
{
    const struct hx_chain *c = &s->chain;
    struct hx_inventory v = {
        .scl = HX_LSN(c->scl), .base = s->meta.base, .vdl_hint = HX_LSN(c->hint), .hydrated = !s->filling};
    int err = hx_history_copy(&v.history, &s->meta.history);
    if (!err && s->at.pg == 0) {
        v.has_geometry = true;
        err = hx_geometry_copy(&v.geometry, &s->meta.geometry);
    }
    v.entries = malloc((c->held_count + 1) * sizeof *v.entries);
    v.unknowns = malloc((s->unknown_count + 1) * sizeof *v.unknowns);
    if (err || !v.entries || !v.unknowns) {
        hx_inventory_fini(&v);
        return HX_E_NOMEM;
    }
    for (size_t i = 0; i < c->held_count; i++) {
        const struct hx_held *r = &c->held[c->held_at + i];
        if (s->unknown_count && in_doubt(s, r->lsn))
            continue; /* UNKNOWN, not held */
        v.entries[v.entry_count++] = (struct hx_inv_entry){
            HX_LSN(r->lsn), HX_LSN(r->prev), HX_EPOCH(r->epoch), r->flags & HX_REC_CPL ? HX_INV_CPL : 0, r->sum};
    }
    for (size_t i = 0; i < s->unknown_count && !HX_MUTANT(DAMAGE_NOT_TOLD); i++)
        v.unknowns[v.unknown_count++] = (struct hx_inv_unknown){HX_LSN(s->unknowns[i].from), HX_LSN(s->unknowns[i].to)};
    *ret = v;
    return 0;
}
