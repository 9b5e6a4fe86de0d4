/*
 * member.c - growth, changes of membership, hydration, retired members (doc/MEMBERSHIP.md).
 *
 * These are the rules that issue 6 has to keep; they are searched before they are built.
 *   C1 The geometry has versions; a writer goes from one to another that may follow it (the configuration says
 *      which), and a version is in use once it is stored by PG 0's write quorum of the version before *and* of
 *      itself.
 *   C2 Two ways are modelled.  By way of both lists: {A..F} to ({A..F} and {A..E,G}) to {A..E,G}, each a
 *      version; the writer counts by the version in use, the newcomer is complete before the last one is published;
 *      writes, write backs, claims and openings need their quorum in every list, recovery reads from the first.
 *      Directly (MD_DIRECT): {A..F} to {A..E,G} in one version; it may be published when what was acknowledged is
 *      on a write quorum of it, and from that moment until it is stored the writer counts by both; one at a time.
 *   C3 A newcomer is made (FORMAT) with the writer's promise, history and, in PG 0, geometry, before a version
 *      names it; nobody is named who has not promised to the writer.
 *   C4 Whoever has a history of PG 0 has the geometry that was stored before it: ADOPT and gossip of histories
 *      carry it.
 *   C5 "Declare lost" is an attempt.  In PG 0 it claims with all survivors (as many as a read quorum), decides
 *      from what they have, and binds a version that names the replacements and the survivors.  Until a plain
 *      version follows, every claim under it and every storing of it needs all survivors besides the new list's
 *      write quorum.  In another PG the claim is an ordinary one; the survivors' answers stand for the PG's.
 *   C6 Hydration: pages as of one point that is known to be durable, copied in two halves from one peer or two;
 *      the copy counts for the records below the point when both are there.
 *   C7 A member may be deleted once a version in use does not name it; then it never answers again.
 * Growth is the same with one more PG instead of another list.
 */
#include "model.h"

#include <string.h>

static struct md_step step_of(enum md_kind kind, unsigned a, unsigned pg, unsigned slot, unsigned rec)
{
    return (struct md_step){(uint8_t)kind, (uint8_t)a, (uint8_t)pg, (uint8_t)slot, (uint8_t)rec};
}

/* ---- versions ---- */

unsigned md_listed(const struct md_ctx *c, unsigned pg, unsigned ver)
{
    const struct md_view *v = &c->view[ver];
    return pg >= v->pgs ? 0 : v->list[pg][0] | (v->lists[pg] > 1 ? v->list[pg][1] : 0);
}

unsigned md_next_of(const struct md_ctx *c, unsigned ver)
{
    unsigned step = MD_MUT(c, SWAP_ONE_STEP) ? 2 : 1;
    if (c->cfg->flags & MD_DECLARE && !c->view[ver].must && !c->view[ver].left)
        return 0; /* a declaration is ended by its plain list */
    if (c->view[ver].to)
        return c->view[ver].to;
    return ver + step < c->versions ? 1u << (ver + step) : 0;
}

unsigned md_target(const struct md_ctx *c, const struct md_state *s, unsigned a)
{
    (void)c;
    return md_status(s->a[a]) == MD_OPEN && md_flag(s->a[a]) ? md_ver_by(s->a[a]) : 0;
}

/* What was acknowledged is on a write quorum of NEXT, by what its members report to A. */
static bool copied(const struct md_ctx *c, const struct md_state *s, unsigned a, unsigned next)
{
    unsigned pg = c->cfg->moving, acked = md_exposed(c, &c->f, s, a) & c->pg_mask[pg], set = 0;
    for (unsigned i = 0; i < c->slots[pg]; i++) {
        uint64_t m = s->m[c->first[pg] + i];
        bool reports = md_active(m) && md_hist(m) == a && c->num[md_promise(m)] == c->num[a];
        if (reports && md_scl_of(c, &c->f, a, m, pg) >= md_top(acked))
            set |= 1u << i;
    }
    return md_write_quorum(c, pg, next, set) || MD_MUT(c, MOVE_UNREADY);
}

/* C3: whom NEXT names and the version in use does not is there, and promised to A: else a late word of an older driver
 * could yet have it deleted. */
static bool heard(const struct md_ctx *c, const struct md_state *s, unsigned a, unsigned next)
{
    unsigned pg = c->cfg->moving, others = md_listed(c, pg, next) & ~md_listed(c, pg, md_ver(s->a[a]));
    for (unsigned i = 0; i < c->slots[pg]; i++) {
        uint64_t m = s->m[c->first[pg] + i];
        if (!(others >> i & 1))
            continue;
        if (!md_active(m) || (c->num[md_promise(m)] != c->num[a] && !MD_MUT(c, NAME_UNHEARD)))
            return false;
    }
    return true;
}

/* C2: may the writer begin to publish this version? */
static bool ready(const struct md_ctx *c, const struct md_state *s, unsigned a, unsigned next)
{
    unsigned pg = c->cfg->moving, acked = md_exposed(c, &c->f, s, a) & c->pg_mask[pg];
    unsigned readers = c->view[next].list[pg][0] & c->cfg->newcomers;
    unsigned all = md_listed(c, pg, next) & c->cfg->newcomers;
    if (c->cfg->flags & MD_DIRECT)
        return heard(c, s, a, next) && copied(c, s, a, next);
    for (unsigned i = 0; i < c->slots[pg]; i++) {
        uint64_t m = s->m[c->first[pg] + i];
        if (!(all >> i & 1))
            continue;
        if (!md_active(m))
            return false;
        if (!(readers >> i & 1) || MD_MUT(c, SWAP_UNHYDRATED))
            continue;
        bool reports = md_hist(m) == a && c->num[md_promise(m)] == c->num[a];
        if (!reports || md_scl_of(c, &c->f, a, m, pg) < md_top(acked))
            return false;
    }
    return true;
}

static bool stored(const struct md_ctx *c, const struct md_state *s, unsigned a, unsigned next)
{
    unsigned set = 0, ver = md_ver(s->a[a]);
    for (unsigned i = 0; i < c->slots[0]; i++)
        set |= md_done(s->m[i], a) << i;
    if (MD_MUT(c, SWAP_OLD_ONLY))
        return md_store_quorum(c, ver, set);
    if (MD_MUT(c, SWAP_NEW_ONLY) && c->cfg->flags & MD_DIRECT)
        return md_store_quorum(c, next, set);
    if (MD_MUT(c, SWAP_NEW_ONLY)) {
        unsigned last = c->view[next].lists[0] - 1;
        return (unsigned)__builtin_popcount(set & c->view[next].list[0][last]) >= c->cfg->w;
    }
    return md_store_quorum(c, ver, set) && md_store_quorum(c, next, set); /* C1 */
}

/* GEOMETRY with the version being published reaches a member of PG 0. */
static void publish(struct md_ctx *c, const struct md_state *s, unsigned a, unsigned slot)
{
    uint64_t m = s->m[slot];
    unsigned next = md_target(c, s, a);
    if (!next || !md_accepts(c, m, a))
        return;
    m = md_take_geometry(c, md_done_set(md_raise(c, m, a), a, 1), a, next);
    struct md_state t = *s;
    t.m[slot] = m;
    if (stored(c, &t, a, next)) {
        t.a[a] = md_ver_by_set(md_flag_set(md_ver_set(t.a[a], next), 0), 0);
        for (unsigned i = 0; i < c->slot_count; i++)
            t.m[i] = md_done_set(t.m[i], a, 0);
    }
    if (memcmp(&t, s, sizeof t))
        md_emit(c, &t, step_of(MD_S_GEOMETRY, a, 0, slot, next), t.a[a] == s->a[a] ? (int)slot : -1);
}

/* The writer sets out to publish NEXT. */
static void begin(struct md_ctx *c, const struct md_state *s, unsigned a, unsigned next)
{
    unsigned target = md_target(c, s, a);
    bool early = MD_MUT(c, SWAP_EARLY) || MD_MUT(c, MOVE_BY_NEW);
    if ((target && (!MD_MUT(c, MOVE_TURN) || next <= target)) || !ready(c, s, a, next))
        return;
    struct md_state t = *s;
    t.a[a] = md_ver_by_set(md_flag_set(t.a[a], 1), next);
    for (unsigned i = 0; target && i < c->slot_count; i++)
        t.m[i] = md_done_set(t.m[i], a, 0);
    md_emit(c, &t, step_of(MD_S_PUBLISH, a, 0, 0, next), early || target ? -1 : (int)c->slot_count);
}

/* C3 */
static void format(struct md_ctx *c, const struct md_state *s, unsigned a, unsigned slot)
{
    unsigned pg = c->cfg->moving;
    uint64_t m = 0;
    struct md_state t = *s;
    if (!md_absent(s->m[slot]) || c->cfg->flags & MD_DECLARE)
        return;
    if (!MD_MUT(c, FORMAT_EARLY))
        m = md_hist_set(md_promise_set(0, a), a);
    if (pg == 0 && !MD_MUT(c, FORMAT_BARE) && !MD_MUT(c, ADOPT_BARE))
        m = md_take_geometry(c, m, a, md_ver(s->a[a]));
    t.m[slot] = m;
    md_emit(c, &t, step_of(MD_S_FORMAT, a, pg, slot, 0), (int)slot);
}

/* C7: the writer has the segment of a member deleted. */
static void retire(struct md_ctx *c, const struct md_state *s, unsigned a, unsigned slot)
{
    unsigned pg = c->cfg->moving, i = slot - c->first[pg], ver = md_ver(s->a[a]), target = md_target(c, s, a);
    uint64_t m = s->m[slot];
    if (target && MD_MUT(c, RETIRE_EARLY))
        ver = target;
    else if (target)
        return;
    bool was = false; /* it had its time: newcomers wait for theirs */
    for (unsigned v = 0; v < ver; v++)
        was |= (md_listed(c, pg, v) >> i & 1) != 0;
    if (!was || md_listed(c, pg, ver) >> i & 1 || !md_accepts(c, m, a))
        return;
    struct md_state t = *s;
    if (MD_MUT(c, RETIRED_WIPED))
        t.m[slot] = 0;
    else /* what it answered stays answered */
        t.m[slot] = md_lost_set(m & ~(md_hint_set(0, 15) | md_held_set(0, 4095) | md_unknown_set(0, 15)), 1);
    md_emit(c, &t, step_of(MD_S_RETIRE, a, pg, slot, 0), (int)slot);
}

static void membership(struct md_ctx *c, const struct md_state *s, unsigned a)
{
    unsigned first = c->first[c->cfg->moving];
    if (md_status(s->a[a]) != MD_OPEN)
        return;
    for (unsigned next = md_next_of(c, md_ver(s->a[a])); next; next &= next - 1)
        begin(c, s, a, (unsigned)__builtin_ctz(next));
    for (unsigned i = 0; i < c->slots[c->cfg->moving]; i++)
        if (md_next_of(c, md_ver(s->a[a])))
            format(c, s, a, first + i);
    for (unsigned i = 0; c->cfg->flags & MD_DIRECT && i < c->slots[c->cfg->moving]; i++)
        if (md_active(s->m[first + i]))
            retire(c, s, a, first + i);
    for (unsigned i = 0; i < c->slots[0]; i++)
        publish(c, s, a, i);
}

/* ---- hydration (C6) ---- */

/* The records in the first or the second half of the pages. */
static unsigned half_of(unsigned half)
{
    return half ? 0xaaau : 0x555u;
}

/* Member SLOT copies half of the pages as of POINT from PEER. */
static void copy(struct md_ctx *c, const struct md_state *s, unsigned pg, unsigned slot, uint64_t peer, unsigned point)
{
    uint64_t m = s->m[slot];
    unsigned half = md_half(m), valid = c->f.valid[md_hist(peer)] & c->pg_mask[pg];
    struct md_state t = *s;
    m = md_held_set(m, md_held(m) | (md_held(peer) & valid & md_below(point) & half_of(half)));
    if (!half && !MD_MUT(c, HYDRATE_HALF)) {
        m = md_point_set(md_half_set(m, 1), point);
    } else {
        unsigned at = md_point(m) > point ? md_point(m) : point;
        m = md_base_set(md_point_set(md_half_set(m, 0), 0), at);
        if (!MD_MUT(c, HYDRATE_TAIL)) /* at or below what is durable, what is not valid never will be */
            m = md_held_set(m, md_held(m) & (c->f.valid[md_hist(m)] | ~md_below(at)));
        if (!MD_MUT(c, HYDRATE_TAIL) && at > md_hint(m))
            m = md_hint_set(m, at);
    }
    t.m[slot] = m;
    md_emit(c, &t, step_of(half ? MD_S_HYDRATED : MD_S_HALF, 0, pg, slot, point), (int)slot);
}

static void hydrate(struct md_ctx *c, const struct md_state *s, unsigned pg, unsigned slot)
{
    uint64_t m = s->m[slot];
    unsigned first = c->first[pg], scl = md_scl_of(c, &c->f, md_hist(m), m, pg);
    if (!md_active(m))
        return;
    for (unsigned j = first; j < first + c->slots[pg]; j++) {
        uint64_t peer = s->m[j];
        if (j == slot || !md_active(peer) || md_hist(peer) != md_hist(m))
            continue;
        if (j > first && peer == s->m[j - 1] && j - 1 != slot)
            continue;
        unsigned has = md_scl_of(c, &c->f, md_hist(peer), peer, pg);
        unsigned top = MD_MUT(c, HYDRATE_TAIL) ? md_top(md_held(peer)) : md_hint(peer);
        for (unsigned point = scl + 1; point <= top; point++) {
            bool there = md_top(c->f.valid[md_hist(peer)] & c->pg_mask[pg] & md_below(point)) <= has;
            bool cpl = (c->cpl_mask & c->f.valid[md_hist(peer)]) >> (point - 1) & 1;
            if (!cpl || (!there && !MD_MUT(c, HYDRATE_LAGGARD)))
                continue;
            if (!md_half(m) || point == md_point(m) || MD_MUT(c, HYDRATE_MIXED))
                copy(c, s, pg, slot, peer, point);
        }
    }
}

void md_member_expand(struct md_ctx *c, const struct md_state *s)
{
    const struct md_cfg *cfg = c->cfg;
    for (unsigned i = 0; cfg->flags & MD_HYDRATE && i < c->slots[cfg->moving]; i++)
        hydrate(c, s, cfg->moving, c->first[cfg->moving] + i);
    for (unsigned a = 0; c->versions > 1 && a < cfg->attempts; a++)
        membership(c, s, a);
}
