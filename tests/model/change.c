/*
 * change.c - what changes beside the log: announced VDLs, removal of void records, damage, lost and older disks.
 *
 * Membership is in member.c.  A wiped member is lost: its incarnation never answers again (a replacement is another
 * member).
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
}
