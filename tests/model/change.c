/*
 * change.c - what changes beside the log: announced VDLs, damage, wiped disks, growth, membership.
 *
 * Membership is modelled before it is built (issue 6); these are the rules that it has to keep:
 *   C1 The geometry has versions; a writer goes from one to the next, from {A..F} to ({A..F} and {A..E,G}) to
 *      {A..E,G}, or back.  A version is in use once it is stored by PG 0's write quorum of the version before
 * *and* of itself; until then the writer counts by the version before. C2 A newcomer is made (FORMAT, with
 * the writer's history) before a version names it, and the version that lets recovery read from the list with
 * it is published only when it is complete through everything that the writer had acknowledged. C3 Writes,
 * write backs, claims and openings need their quorum in every list; recovery reads from the first. C4 Whoever
 * has a history of PG 0 has the geometry that was stored before it: ADOPT and gossip of histories carry it.
 *   C5 "Declare lost" is an attempt that claims with all survivors (as many as a read quorum), decides from
 * what they have, and binds a version that names the replacements and the survivors.  Until a plain version
 * follows, every claim under it and every storing of it needs all survivors besides the new list's write
 * quorum. Growth is the same with one more PG instead of another list. A wiped member is lost: its
 * incarnation never answers again (a replacement is another member).
 */
#include "model.h"

#include <string.h>

static struct md_step step_of(enum md_kind kind, unsigned a, unsigned pg, unsigned slot, unsigned rec)
{
    return (struct md_step){(uint8_t)kind, (uint8_t)a, (uint8_t)pg, (uint8_t)slot, (uint8_t)rec};
}

/* ---- announced VDLs ---- */

/* Is A's entry in the history that has attempt H at its top? */
static bool contains(const struct md_state *s, unsigned h, unsigned a)
{
    while (h != a && h != 0)
        h = md_parent(s->a[h]);
    return h == a;
}

/* The VDL as it is, or as it was.  It travels alone, and late, and in the frames that peers give each other:
 * so neither the promise matters nor that its epoch is still the member's top; but the member has heard of
 * it. */
static void announce(struct md_ctx *c, const struct md_state *s, unsigned a, unsigned pg, unsigned slot)
{
    uint64_t m = s->m[slot];
    unsigned valid = c->f.valid[md_hist(m)];
    unsigned known = valid & (md_exposed(c, &c->f, s, a) | (MD_MUT(c, HINT_EARLY) ? c->recs[a] : 0));
    if (md_status(s->a[a]) != MD_OPEN || !md_active(m) || !contains(s, md_hist(m), a))
        return;
    for (unsigned rest = known & c->cpl_mask & ~md_below(md_hint(m)); rest; rest &= rest - 1) {
        unsigned place = (unsigned)__builtin_ctz(rest) + 1;
        struct md_state t = *s;
        t.m[slot] = md_hint_set(md_held_set(m, md_held(m) & (valid | ~md_below(place))), place);
        md_emit(c, &t, step_of(MD_S_ANNOUNCE, a, pg, slot, place), (int)slot);
    }
}

/* Void records go for good once the member has seen a record of the epoch that voids them: so that it is
 * open. */
static void purge(struct md_ctx *c, const struct md_state *s, unsigned pg, unsigned slot)
{
    uint64_t m = s->m[slot];
    unsigned h = md_hist(m), kept = md_held(m) & c->f.valid[h];
    for (unsigned a = 0; a < c->cfg->attempts; a++)
        if (c->num[a] > c->num[h]) /* of epochs that it has not heard of, it cannot say */
            kept |= md_held(m) & c->recs[a];
    if (!md_active(m) || kept == md_held(m) || !(kept & c->recs[h]))
        return;
    struct md_state t = *s;
    t.m[slot] = md_held_set(m, kept);
    md_emit(c, &t, step_of(MD_S_PURGE, h, pg, slot, 0), (int)slot);
}

/* ---- faults ---- */

static void damage(struct md_ctx *c, const struct md_state *s, unsigned pg, unsigned slot)
{
    uint64_t m = s->m[slot];
    if (!md_damages(s->world) || md_unknown(m) || !md_active(m))
        return;
    for (unsigned rest = md_held(m); rest; rest &= rest - 1) {
        unsigned r = (unsigned)__builtin_ctz(rest);
        struct md_state t = *s;
        t.world = md_damages_set(t.world, md_damages(t.world) - 1);
        t.m[slot] = md_unknown_set(md_held_set(m, md_held(m) & ~(1u << r)), r + 1);
        md_emit(c, &t, step_of(MD_S_DAMAGE, 0, pg, slot, r), (int)slot);
    }
}

/* The member's disk is gone.  What it had answered stays answered. */
static uint64_t wiped(const struct md_ctx *c, uint64_t m)
{
    m = md_held_set(md_unknown_set(md_hint_set(m, 0), 0), 0);
    m = md_geo_set(md_geo_by_set(md_hist_set(md_promise_set(m, 0), 0), 0), 0);
    return MD_MUT(c, WIPED_VOTES) ? m : md_lost_set(m, 1);
}

/* An older image of the disk: without its newest records, perhaps without the last promise, perhaps without
 * history. */
static void roll_back(struct md_ctx *c, const struct md_state *s, unsigned pg, unsigned slot)
{
    uint64_t m = s->m[slot];
    for (unsigned place = md_top(md_held(m)) + 1; place > 0; place--) {
        unsigned held = md_held(m) & md_below(place - 1);
        if (place <= md_top(md_held(m)) && !(md_held(m) >> (place - 1) & 1))
            continue;
        for (unsigned how = 0; how < 3; how++) {
            struct md_state t = *s;
            uint64_t old = md_rolled_set(md_held_set(m, held), 1);
            old = md_hint_set(old, md_hint(m) < place ? md_hint(m) : place - 1);
            if (how > 0)
                old = md_promise_set(old, how == 1 ? md_hist(m) : 0);
            if (how > 1)
                old = md_hist_set(old, 0);
            t.world = md_wipes_set(t.world, md_wipes(t.world) - 1);
            t.m[slot] = old;
            md_emit(c, &t, step_of(MD_S_ROLLBACK, 0, pg, slot, 0), (int)slot);
        }
    }
}

static void faults(struct md_ctx *c, const struct md_state *s, unsigned pg, unsigned slot)
{
    uint64_t m = s->m[slot];
    struct md_state t = *s;
    if (!md_wipes(s->world) || !md_active(m) || md_rolled(m))
        return;
    if (c->cfg->flags & MD_ROLLS) {
        roll_back(c, s, pg, slot);
        return;
    }
    t.world = md_wipes_set(t.world, md_wipes(t.world) - 1);
    if (MD_MUT(c, LATE_PROMISE)) {
        t.m[slot] = md_promise_set(m, md_hist(m));
        md_emit(c, &t, step_of(MD_S_CRASH, 0, pg, slot, 0), (int)slot);
    } else if (!MD_MUT(c, LATE_FLUSH)) {
        t.m[slot] = wiped(c, m);
        md_emit(c, &t, step_of(MD_S_WIPE, 0, pg, slot, 0), (int)slot);
    }
}

/* All members lose their power; a record that was acknowledged before it was flushed is nowhere. */
static void power_cut(struct md_ctx *c, const struct md_state *s)
{
    if (!MD_MUT(c, LATE_FLUSH) || !md_wipes(s->world))
        return;
    for (unsigned r = 0; r < c->rec_count; r++) {
        struct md_state t = *s;
        t.world = md_wipes_set(t.world, md_wipes(t.world) - 1);
        for (unsigned i = 0; i < c->slot_count; i++)
            t.m[i] = md_held_set(t.m[i], md_held(t.m[i]) & ~(1u << r));
        md_emit(c, &t, step_of(MD_S_CRASH, 0, MD_PGS, 0, r), -1);
    }
}

/* ---- growth and membership ---- */

static unsigned next_version(const struct md_ctx *c, const struct md_state *s, unsigned a)
{
    unsigned ver = md_ver(s->a[a]), next = ver + (MD_MUT(c, SWAP_ONE_STEP) ? 2 : 1);
    if (md_status(s->a[a]) != MD_OPEN || next >= c->versions)
        return 0;
    /* A declaration is ended by its plain list. */
    return c->cfg->flags & MD_DECLARE && !c->view[ver].must ? 0 : next;
}

/* C2: may the writer begin to publish the next version? */
static bool ready(const struct md_ctx *c, const struct md_state *s, unsigned a, unsigned next)
{
    unsigned pg = c->cfg->moving, acked = md_exposed(c, &c->f, s, a) & c->pg_mask[pg];
    unsigned readers = c->view[next].list[pg][0] & c->cfg->newcomers;
    unsigned all =
        readers | (c->view[next].lists[pg] > 1 ? c->view[next].list[pg][1] & c->cfg->newcomers : 0);
    for (unsigned i = 0; i < c->slots[pg]; i++) {
        uint64_t m = s->m[c->first[pg] + i];
        if (!(all >> i & 1))
            continue;
        if (!md_active(m))
            return false;
        if (!(readers >> i & 1) || MD_MUT(c, SWAP_UNHYDRATED))
            continue;
        bool reports = md_hist(m) == a && c->num[md_promise(m)] == c->num[a];
        if (!reports || md_scl(c, &c->f, a, md_held(m), pg) < md_top(acked))
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
        return (unsigned)__builtin_popcount(set & c->view[ver].list[0][0]) >= c->cfg->w;
    if (MD_MUT(c, SWAP_NEW_ONLY)) {
        unsigned last = c->view[next].lists[0] - 1;
        return (unsigned)__builtin_popcount(set & c->view[next].list[0][last]) >= c->cfg->w;
    }
    return md_store_quorum(c, ver, set) && md_store_quorum(c, next, set); /* C1 */
}

static void publish(struct md_ctx *c, const struct md_state *s, unsigned a, unsigned slot)
{
    uint64_t m = s->m[slot];
    unsigned next = next_version(c, s, a);
    if (!next || !md_flag(s->a[a]) || !md_accepts(c, m, a))
        return;
    m = md_take_geometry(c, md_done_set(md_raise(c, m, a), a, 1), a, next);
    struct md_state t = *s;
    t.m[slot] = m;
    if (stored(c, &t, a, next)) {
        t.a[a] = md_flag_set(md_ver_set(t.a[a], next), 0);
        for (unsigned i = 0; i < c->slot_count; i++)
            t.m[i] = md_done_set(t.m[i], a, 0);
    }
    if (memcmp(&t, s, sizeof t))
        md_emit(c, &t, step_of(MD_S_GEOMETRY, a, 0, slot, next), t.a[a] == s->a[a] ? (int)slot : -1);
}

static void membership(struct md_ctx *c, const struct md_state *s, unsigned a)
{
    unsigned next = next_version(c, s, a), first = c->first[c->cfg->moving];
    if (!next)
        return;
    if (!md_flag(s->a[a]) && ready(c, s, a, next)) {
        struct md_state t = *s;
        t.a[a] = md_flag_set(t.a[a], 1);
        md_emit(c, &t, step_of(MD_S_PUBLISH, a, 0, 0, next), MD_MUT(c, SWAP_EARLY) ? -1 : (int)c->slot_count);
    }
    for (unsigned i = 0; i < c->slots[c->cfg->moving] && !(c->cfg->flags & MD_DECLARE); i++)
        if (md_absent(s->m[first + i])) {
            struct md_state t = *s;
            t.m[first + i] = md_hist_set(md_promise_set(0, a), a);
            md_emit(c, &t, step_of(MD_S_FORMAT, a, c->cfg->moving, first + i, 0), (int)(first + i));
        }
    for (unsigned i = 0; i < c->slots[0]; i++)
        publish(c, s, a, i);
}

void md_change_expand(struct md_ctx *c, const struct md_state *s)
{
    const struct md_cfg *cfg = c->cfg;
    for (unsigned p = 0; p < cfg->pgs; p++)
        for (unsigned i = c->first[p]; i < c->first[p] + c->slots[p]; i++) {
            if (i > c->first[p] && s->m[i] == s->m[i - 1] && c->class_of[i] == c->class_of[i - 1])
                continue;
            for (unsigned a = 0; cfg->flags & MD_HINTS && a < cfg->attempts; a++)
                announce(c, s, a, p, i);
            if (cfg->flags & MD_PURGE)
                purge(c, s, p, i);
            damage(c, s, p, i);
            faults(c, s, p, i);
        }
    power_cut(c, s);
    for (unsigned a = 0; c->versions > 1 && a < cfg->attempts; a++)
        membership(c, s, a);
}
