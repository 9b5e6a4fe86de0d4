/*
 * steps.c - the steps of the log and of recovery: which message a member takes, and what an opening decides.
 *
 * One function for each row of the table in doc/PROTOCOL.md, under the row's name.  Every sent message may
 * arrive at any time, often; so each function asks only whether it was ever sent (from the attempt's status),
 * and whether the member accepts it.  Steps that change nothing are not taken. M1 Rule 0: a message of an
 * epoch below the promise is refused; an accepted one raises the promise. M2 A write back, an APPEND and an
 * adoption are atomic and durable; the mutants ack-before-flush and promise-not-flushed excepted (change.c).
 * Branches with MD_MUT are the rules broken on purpose (mutants.c).
 */
#include "model.h"

#include <string.h>

bool md_active(uint64_t m)
{
    return !md_absent(m) && !md_lost(m);
}

bool md_accepts(const struct md_ctx *c, uint64_t m, unsigned a)
{
    return md_active(m) && c->num[a] >= c->num[md_promise(m)];
}

uint64_t md_raise(const struct md_ctx *c, uint64_t m, unsigned a)
{
    if (c->num[a] <= c->num[md_promise(m)] || MD_MUT(c, PROMISE_FENCE))
        return m;
    return md_promise_set(m, a);
}

uint64_t md_take_geometry(const struct md_ctx *c, uint64_t m, unsigned by, unsigned ver)
{
    unsigned own = md_geo_by(m);
    if (c->num[by] > c->num[own] || (by == own && ver > md_geo(m)))
        m = md_geo_set(md_geo_by_set(m, by), ver);
    return m;
}

void md_emit(struct md_ctx *c, struct md_state *t, struct md_step step, int slot)
{
    if (c->succ_count == MD_SUCC)
        __builtin_trap(); /* MD_SUCC is too small for the configuration */
    md_settle(c, t, slot);
    c->step[c->succ_count] = step;
    c->succ[c->succ_count++] = *t;
}

/* The state with member SLOT changed to M, if that is a change. */
static void emit_member(struct md_ctx *c, const struct md_state *s, unsigned slot, uint64_t m,
                        struct md_step step)
{
    if (m == s->m[slot])
        return;
    struct md_state t = *s;
    t.m[slot] = m;
    md_emit(c, &t, step, (int)slot);
}

static uint64_t store(uint64_t m, unsigned set)
{
    unsigned lost = md_unknown(m);
    if (lost && set >> (lost - 1) & 1)
        m = md_unknown_set(m, 0);
    return md_held_set(m, md_held(m) | set);
}

static unsigned done_set(const struct md_ctx *c, const struct md_state *s, unsigned a, unsigned pg)
{
    unsigned set = 0;
    for (unsigned i = 0; i < c->slots[pg]; i++)
        set |= md_done(s->m[c->first[pg] + i], a) << i;
    return set;
}

static void clear_done(const struct md_ctx *c, struct md_state *s, unsigned a)
{
    for (unsigned i = 0; i < c->slot_count; i++)
        s->m[i] = md_rep_set(md_done_set(s->m[i], a, 0), a, 0);
}

/* ---- steps 1 to 3: FENCE ---- */

/* The inventory, as the answer has it: everything held above the member's hint. */
static void take_inventory(const struct md_ctx *c, struct md_state *t, unsigned a, unsigned pg, unsigned slot)
{
    uint64_t m = t->m[slot];
    uint32_t w = t->a[a];
    unsigned inventory = md_held(m) & ~md_below(md_hint(m));
    if (MD_MUT(c, MAX_SCL))
        inventory &= md_below(md_scl_of(c, &c->f, md_hist(m), m, pg));
    w = md_union_set(w, md_union(w) | inventory);
    if (c->f.lsn[md_hint(m)] > c->f.lsn[md_vdl(w)])
        w = md_vdl_set(w, md_hint(m));
    if (pg == 0 && !md_flag(w)) {
        if (c->num[md_hist(m)] > c->num[md_parent(w)] && !MD_MUT(c, PARENT_FIRST))
            w = md_parent_set(w, md_hist(m));
        unsigned by = md_geo_by(m), best = md_ver_by(w);
        bool newer = c->num[by] > c->num[best] || (c->num[by] == c->num[best] && md_geo(m) > md_ver(w));
        if (newer && !MD_MUT(c, GEOMETRY_FIRST) && !MD_MUT(c, SWAP_STALE))
            w = md_ver_by_set(md_ver_set(w, md_geo(m)), by);
    }
    t->a[a] = w;
    t->m[slot] = md_rep_set(md_done_set(m, a, 1), a, md_unknown(m));
    if (pg == 0 && md_claim_quorum(c, md_ver(w), done_set(c, t, a, 0), a))
        t->a[a] = md_flag_set(w, 1);
}

static void step_fence(struct md_ctx *c, const struct md_state *s, unsigned a, unsigned pg, unsigned slot)
{
    uint64_t m = s->m[slot];
    bool owned = md_promise(m) == a, higher = c->num[a] > c->num[md_promise(m)];
    bool granted = pg == 0 ? higher || owned : c->num[a] >= c->num[md_promise(m)];
    struct md_step step = {MD_S_FENCE, (uint8_t)a, (uint8_t)pg, (uint8_t)slot, 0};
    bool early = md_status(s->a[a]) == MD_CLAIM;
    if (MD_MUT(c, OWNER))
        granted = c->num[a] >= c->num[md_promise(m)];
    if (!md_active(m) || (early && pg > 0 && !md_flag(s->a[a])))
        return; /* PG 0 first: it says which others there are */
    if (early && pg > 0 && pg >= c->view[md_ver(s->a[a])].pgs)
        return;
    bool split = early && (MD_MUT(c, INVENTORY_FIRST) || (MD_MUT(c, FENCE_PG0) && pg > 0));
    if (split && !md_done(m, a)) {
        struct md_state t = *s;
        take_inventory(c, &t, a, pg, slot);
        step.kind = MD_S_INVENTORY;
        md_emit(c, &t, step, (int)slot);
    }
    if (!granted || (MD_MUT(c, FENCE_PG0) && pg > 0))
        return;
    struct md_state t = *s;
    t.m[slot] = md_promise_set(m, a);
    if (early && !split && (!md_done(m, a) || md_rep(m, a))) /* damaged ones are asked again */
        take_inventory(c, &t, a, pg, slot);
    else
        step.kind = MD_S_FENCE_LATE;
    if (t.m[slot] != m || t.a[a] != s->a[a])
        md_emit(c, &t, step, (int)slot);
}

/* ---- steps 4 and 5: DECIDE ---- */

/* Without the filter, whatever has the next LSN is taken, and the jumps of H come second. */
static unsigned walk_raw(const struct md_ctx *c, const struct md_facts *f, const struct md_state *s,
                         unsigned found, unsigned h)
{
    unsigned at = 0, vdl = 0;
    for (bool more = true; more;) {
        unsigned next = 0;
        for (unsigned rest = found; rest && !next; rest &= rest - 1)
            if (f->lsn[__builtin_ctz(rest) + 1] == at + 1)
                next = (unsigned)__builtin_ctz(rest) + 1;
        for (unsigned a = h; a > 0 && !next; a = md_parent(s->a[a]))
            for (unsigned rest = found; rest && f->lsn[md_vdl(s->a[a])] == at && !next; rest &= rest - 1)
                if (f->lsn[__builtin_ctz(rest) + 1] == f->end[a] + 1)
                    next = (unsigned)__builtin_ctz(rest) + 1;
        more = next != 0;
        if (more) {
            at = f->lsn[next];
            vdl = c->cpl_mask >> (next - 1) & 1 ? next : vdl;
        }
    }
    return vdl;
}

int md_walk(const struct md_ctx *c, const struct md_facts *f, const struct md_state *s,
            const struct md_answers *v, unsigned *ret_start)
{
    unsigned h = v->parent, valid = f->valid[h], cut = md_vdl(s->a[h]), start = 0;
    if (c->cfg->flags & MD_HINTS) {
        if (v->start && !(valid >> (v->start - 1) & 1))
            return -MD_LOSS_CLAIMED; /* a durable point that PG 0's history does not contain */
        start = v->start > cut && !MD_MUT(c, HINT_NO_START) ? v->start : cut;
    }
    *ret_start = start;
    if (MD_MUT(c, UNION_RAW))
        return (int)walk_raw(c, f, s, v->found, h);
    unsigned missing = valid & ~v->found & ~md_below(start);
    unsigned reached = missing ? valid & ((missing & -missing) - 1) : valid;
    unsigned vdl = md_top(reached & (MD_MUT(c, VDL_VCL) ? ~0u : c->cpl_mask));
    for (unsigned p = 0; missing && p < c->view[v->ver].pgs; p++) {
        unsigned nack = v->set[p], stop = (unsigned)__builtin_ctz(missing) + 1;
        for (unsigned i = 0; i < c->slots[p] && !MD_MUT(c, UNKNOWN_NACK); i++)
            if (v->damaged[p][i] == stop)
                nack &= ~(1u << i);
        if (!md_denied(c, p, v->ver, nack) && !(MD_MUT(c, SHORT_FENCE) && nack == v->set[p]))
            return MD_WAIT;
    }
    vdl = vdl > start ? vdl : start;
    return vdl < cut ? -MD_WEDGED : (int)vdl;
}

static bool answered(const struct md_ctx *c, const struct md_state *s, unsigned a, unsigned pg, unsigned set)
{
    unsigned ver = md_ver(s->a[a]);
    unsigned left = c->view[md_declared(c, a)].left;
    if (pg == 0 && md_declared(c, a) && !left)
        return md_claim_quorum(c, ver, set, a);
    if (pg == c->cfg->moving && left) /* an operator's word that nobody else of it will ever answer */
        return (unsigned)__builtin_popcount(left & ~set) <= (MD_MUT(c, DECLARE_SHORT) ? 1 : 0);
    if (MD_MUT(c, INVENTORY_FIRST)) {
        unsigned fenced = 0;
        for (unsigned i = 0; i < c->slots[pg]; i++)
            fenced |= (unsigned)(md_promise(s->m[c->first[pg] + i]) == a) << i;
        set &= fenced;
    }
    if (MD_MUT(c, SHORT_FENCE) && pg + 1 == c->cfg->pgs)
        return (unsigned)__builtin_popcount(set) + 1 >= c->cfg->r;
    if (MD_MUT(c, FENCE_READ))
        return md_read_quorum(c, pg, ver, set);
    /* A write quorum's worth: it meets every write quorum in two members, so one may have forgotten. */
    unsigned w = c->view[ver].w[pg] ? c->view[ver].w[pg] : c->cfg->w;
    return (unsigned)__builtin_popcount(set & c->view[ver].list[pg][0]) >=
           (c->cfg->claim ? c->cfg->claim : w) - (MD_MUT(c, SHORT_CLAIM) ? 1 : 0);
}

static void step_decide(struct md_ctx *c, const struct md_state *s, unsigned a)
{
    uint32_t w = s->a[a];
    struct md_answers v = {.parent = md_parent(w), .ver = md_ver(w), .start = md_vdl(w)};
    if (md_status(w) != MD_CLAIM || !md_flag(w) || c->num[v.parent] >= c->num[a])
        return;
    if (MD_MUT(c, INVENTORY_FIRST) && !md_claim_quorum(c, v.ver, done_set(c, s, a, 0), a))
        return;
    for (unsigned p = 0; p < c->view[v.ver].pgs; p++) {
        v.set[p] = done_set(c, s, a, p);
        if (!answered(c, s, a, p, v.set[p]))
            return;
        for (unsigned i = 0; i < c->slots[p]; i++)
            v.damaged[p][i] = md_rep(s->m[c->first[p] + i], a);
    }
    v.found = MD_MUT(c, UNION_RAW) ? md_union(w) : md_union(w) & c->f.valid[v.parent];
    unsigned start = 0;
    int vdl = md_walk(c, &c->f, s, &v, &start);
    if (vdl == MD_WAIT)
        return;
    struct md_state t = *s;
    if (vdl < 0) {
        t.world = md_broken_set(t.world, (unsigned)-vdl);
        vdl = (int)md_vdl(s->a[v.parent]);
    }
    unsigned back = v.found & md_below((unsigned)vdl) & ~md_below(start);
    bool skip = MD_MUT(c, NO_REPAIR) || MD_MUT(c, LATE_REPAIR);
    unsigned next = skip || MD_MUT(c, ADOPT_FIRST) ? MD_ADOPT : MD_REPAIR;
    t.a[a] = md_ver_set(
        md_union_set(md_vdl_set(md_parent_set(md_status_set(0, next), v.parent), (unsigned)vdl), back),
        v.ver);
    if (md_declared(c, a)) /* what is declared is the next version, whatever was found */
        t.a[a] = md_ver_set(t.a[a], md_declared(c, a));
    clear_done(c, &t, a);
    md_emit(c, &t, (struct md_step){MD_S_DECIDE, (uint8_t)a, 0, 0, 0}, -1);
}

/* ---- step 6: REPAIR ---- */

/* Four complete members, by what they answered. */
static bool repaired(const struct md_ctx *c, const struct md_state *s, const struct md_facts *f, unsigned a,
                     unsigned pg)
{
    unsigned done = done_set(c, s, a, pg), ver = md_ver(s->a[a]), mine = c->pg_mask[pg];
    unsigned last = md_top(c->cfg->flags & MD_HINTS ? md_union(s->a[a]) & mine : f->log[a] & mine), best = 0,
             set = 0;
    if (c->cfg->flags & MD_HINTS && !last) {
        /* An idle PG: the highest answer of enough of them, if enough say the same. */
        for (unsigned i = 0; i < c->slots[pg]; i++)
            best = md_rep(s->m[c->first[pg] + i], a) > best ? md_rep(s->m[c->first[pg] + i], a) : best;
        last = best;
    }
    for (unsigned i = 0; i < c->slots[pg]; i++)
        if (done >> i & 1 && md_rep(s->m[c->first[pg] + i], a) == last)
            set |= 1u << i;
    if (MD_MUT(c, DECLARE_EMPTY))
        set |= c->cfg->newcomers;
    if (MD_MUT(c, SHORT_REPAIR))
        return (unsigned)__builtin_popcount(set) + 1 >= c->cfg->w;
    return md_write_quorum(c, pg, ver, set);
}

static void after_repair(struct md_ctx *c, struct md_state *t, const struct md_facts *f, unsigned a)
{
    for (unsigned p = 0; p < c->view[md_ver(t->a[a])].pgs; p++)
        if (!repaired(c, t, f, a, p))
            return;
    for (unsigned p = 0; p < c->view[md_ver(t->a[a])].pgs && c->cfg->flags & MD_HINTS; p++) {
        unsigned best = 0;
        for (unsigned i = 0; i < c->slots[p]; i++)
            best = md_rep(t->m[c->first[p] + i], a) > best ? md_rep(t->m[c->first[p] + i], a) : best;
        if (best != md_top(f->log[a] & c->pg_mask[p])) /* the first new record's link would leave some out */
            t->world = md_broken_set(t->world, MD_SHORT);
    }
    t->a[a] = md_status_set(t->a[a], c->versions > 1 ? MD_GEOMETRY : MD_ADOPT);
    if (MD_MUT(c, ADOPT_FIRST))
        t->a[a] = md_status_set(t->a[a], MD_OPEN);
    clear_done(c, t, a);
}

static void step_repair(struct md_ctx *c, const struct md_state *s, unsigned a, unsigned pg, unsigned slot)
{
    uint64_t m = s->m[slot];
    unsigned status = md_status(s->a[a]);
    bool counted = status == MD_REPAIR;
    if (status < MD_REPAIR || MD_MUT(c, NO_REPAIR) || (MD_MUT(c, LATE_REPAIR) && status != MD_OPEN))
        return;
    if (pg >= c->view[md_ver(s->a[a])].pgs)
        return;
    if (md_absent(m) && md_declared(c, a)) /* FORMAT of a replacement */
        m = md_hist_set(md_promise_set(md_absent_set(m, 0), a), md_parent(s->a[a]));
    if (!md_accepts(c, m, a) && !(MD_MUT(c, REPAIR_PROMISE) && md_active(m)))
        return;
    if (!MD_MUT(c, REPAIR_PROMISE))
        m = md_raise(c, m, a);
    m = store(m, md_union(s->a[a]) & c->pg_mask[pg]);
    if (MD_MUT(c, HINT_REPAIR) && md_vdl(s->a[a]) > md_hint(m))
        m = md_hint_set(m, md_vdl(s->a[a]));
    struct md_state t = *s;
    if (counted) {
        unsigned scl = md_scl_of(c, &c->f, a, m, pg);
        if (scl > md_top(c->f.log[a] & c->pg_mask[pg]) && !c->mut)
            t.world = md_broken_set(t.world, MD_BEYOND);
        /* Who is damaged above its SCL cannot say where an idle PG ends. */
        bool sure = md_unknown(m) <= scl || !(c->cfg->flags & MD_HINTS) || MD_MUT(c, IDLE_DAMAGE);
        m = sure ? md_rep_set(md_done_set(m, a, 1), a, scl) : m;
    }
    t.m[slot] = m;
    if (counted)
        after_repair(c, &t, &c->f, a);
    if (memcmp(&t, s, sizeof t))
        md_emit(c, &t, (struct md_step){MD_S_REPAIR, (uint8_t)a, (uint8_t)pg, (uint8_t)slot, 0},
                t.a[a] == s->a[a] ? (int)slot : -1);
}

/* A laggard below the inventories gets the parent history, under the promise of the attempt. */
static void step_parent(struct md_ctx *c, const struct md_state *s, unsigned a, unsigned pg, unsigned slot)
{
    uint64_t m = s->m[slot];
    unsigned parent = md_parent(s->a[a]);
    if (!(c->cfg->flags & MD_PARENT_ADOPT) || md_status(s->a[a]) != MD_REPAIR || !md_accepts(c, m, a) ||
        c->num[parent] <= c->num[md_hist(m)])
        return;
    emit_member(c, s, slot, md_hist_set(md_raise(c, m, a), parent),
                (struct md_step){MD_S_PARENT, (uint8_t)a, (uint8_t)pg, (uint8_t)slot, 0});
}

/* ---- step 7: GEOMETRY and ADOPT at PG 0, and ADOPT elsewhere once it is open ---- */

static bool stored_enough(const struct md_ctx *c, const struct md_state *s, unsigned a)
{
    unsigned set = done_set(c, s, a, 0);
    unsigned ver = md_ver(s->a[a]);
    bool geometry = md_status(s->a[a]) == MD_GEOMETRY && !MD_MUT(c, DECLARE_FEW);
    /* Whoever binds a declaration stores it on all survivors: no quorum of the old list shall overlook it. */
    if (geometry && (md_declared(c, a) || !MD_MUT(c, DECLARE_ONCE)))
        return md_store_quorum(c, ver, set);
    if (MD_MUT(c, SHORT_OPEN))
        return (unsigned)__builtin_popcount(set) + 1 >= c->cfg->w;
    return md_write_quorum(c, 0, ver, set);
}

static void step_geometry(struct md_ctx *c, const struct md_state *s, unsigned a, unsigned slot)
{
    uint64_t m = s->m[slot];
    unsigned ver = md_ver(s->a[a]);
    if (md_status(s->a[a]) < MD_GEOMETRY || a == 0 || c->versions == 1 || !md_accepts(c, m, a))
        return;
    m = md_take_geometry(c, md_raise(c, m, a), a, ver);
    struct md_state t = *s;
    bool counted = md_status(s->a[a]) == MD_GEOMETRY;
    t.m[slot] = counted ? md_done_set(m, a, 1) : m;
    if (counted && stored_enough(c, &t, a)) {
        t.a[a] = md_status_set(t.a[a], MD_ADOPT);
        clear_done(c, &t, a);
    }
    if (memcmp(&t, s, sizeof t))
        md_emit(c, &t, (struct md_step){MD_S_GEOMETRY, (uint8_t)a, 0, (uint8_t)slot, (uint8_t)ver},
                (int)slot);
}

static void step_adopt(struct md_ctx *c, const struct md_state *s, unsigned a, unsigned pg, unsigned slot)
{
    uint64_t m = s->m[slot];
    unsigned status = md_status(s->a[a]);
    bool sent = status == MD_OPEN || (status == MD_ADOPT && pg == 0);
    if (!sent || pg >= c->view[md_ver(s->a[a])].pgs || (a == 0 && !MD_MUT(c, ADOPT_LOWER)))
        return;
    if (!md_accepts(c, m, a) && !(MD_MUT(c, ADOPT_PROMISE) && md_active(m)))
        return;
    if (!MD_MUT(c, ADOPT_PROMISE))
        m = md_raise(c, m, a);
    if (c->num[a] > c->num[md_hist(m)] || MD_MUT(c, ADOPT_LOWER)) {
        m = md_hist_set(m, a);
        if (MD_MUT(c, PURGE_ADOPT))
            m = md_held_set(m, md_held(m) & c->f.valid[a]);
    }
    if (pg == 0 && c->versions > 1 && !MD_MUT(c, ADOPT_BARE)) /* whoever has the history knows its geometry */
        m = md_take_geometry(c, m, a, md_ver(s->a[a]));
    struct md_state t = *s;
    bool counted = status == MD_ADOPT && c->num[md_hist(m)] == c->num[a];
    t.m[slot] = counted ? md_done_set(m, a, 1) : m;
    if (counted && stored_enough(c, &t, a)) {
        t.a[a] = md_status_set(t.a[a], MD_MUT(c, ADOPT_FIRST) ? MD_REPAIR : MD_OPEN);
        clear_done(c, &t, a);
    }
    if (memcmp(&t, s, sizeof t))
        md_emit(c, &t, (struct md_step){MD_S_ADOPT, (uint8_t)a, (uint8_t)pg, (uint8_t)slot, 0},
                t.a[a] == s->a[a] ? (int)slot : -1);
}

/* ---- the log: APPEND, gossip ---- */

static void step_append(struct md_ctx *c, const struct md_state *s, unsigned a, unsigned k)
{
    unsigned r = c->base[a] + k, pg = c->rec_pg[r], vdl = c->f.lsn[md_vdl_place(c, s, a)], end = c->f.end[a];
    unsigned ver = MD_MUT(c, GROW_EARLY) && md_target(c, s, a) ? md_target(c, s, a) : md_ver(s->a[a]);
    if (c->cfg->lal && c->f.lsn[r + 1] > (vdl > end ? vdl : end) + c->cfg->lal)
        return; /* not allocated yet */
    if (pg >= c->view[ver].pgs)
        return; /* nothing is routed to a PG that is not published */
    for (unsigned i = c->first[pg]; i < c->first[pg] + c->slots[pg]; i++) {
        uint64_t m = s->m[i];
        bool knows = c->num[md_hist(m)] == c->num[a] || MD_MUT(c, NO_NEED_HISTORY);
        if (!knows || (!md_accepts(c, m, a) && !(MD_MUT(c, APPEND_PROMISE) && md_active(m))))
            continue;
        if (i > c->first[pg] && m == s->m[i - 1] && c->class_of[i] == c->class_of[i - 1])
            continue;
        if (!MD_MUT(c, APPEND_PROMISE))
            m = md_raise(c, m, a);
        emit_member(c, s, i, store(m, 1u << r),
                    (struct md_step){MD_S_APPEND, (uint8_t)a, (uint8_t)pg, (uint8_t)i, (uint8_t)r});
    }
}

static bool twin(const struct md_ctx *c, const struct md_state *s, unsigned slot, unsigned first)
{
    return slot > first && s->m[slot] == s->m[slot - 1] && c->class_of[slot] == c->class_of[slot - 1];
}

/* The member takes the history of a PEER, and on PG 0 the geometry with it. */
static void gossip_history(struct md_ctx *c, const struct md_state *s, unsigned pg, unsigned slot,
                           uint64_t peer)
{
    uint64_t m = s->m[slot];
    unsigned top = md_hist(peer);
    if (c->num[top] <= c->num[md_hist(m)] ||
        (c->num[top] < c->num[md_promise(m)] && !MD_MUT(c, GOSSIP_PROMISE)))
        return;
    m = md_hist_set(md_raise(c, m, top), top);
    if (MD_MUT(c, PURGE_ADOPT))
        m = md_held_set(m, md_held(m) & c->f.valid[top]);
    if (pg == 0 && c->versions > 1 && !MD_MUT(c, ADOPT_BARE))
        m = md_take_geometry(c, m, md_geo_by(peer), md_geo(peer));
    emit_member(c, s, slot, m, (struct md_step){MD_S_HISTORY, (uint8_t)top, (uint8_t)pg, (uint8_t)slot, 0});
}

/* Records and histories that members of PG have from each other. */
static void gossip(struct md_ctx *c, const struct md_state *s, unsigned pg)
{
    unsigned first = c->first[pg], end = first + c->slots[pg], have[MD_ATTEMPTS] = {0}, tops = 0;
    for (unsigned i = first; i < end; i++)
        if (md_active(s->m[i])) {
            have[md_hist(s->m[i])] |= md_held(s->m[i]);
            tops |= 1u << md_hist(s->m[i]);
        }
    for (unsigned i = first; i < end; i++) {
        uint64_t m = s->m[i];
        unsigned h = md_hist(m);
        if (!md_active(m) || twin(c, s, i, first))
            continue;
        unsigned offered = have[h] & ~md_held(m) & (MD_MUT(c, GOSSIP_RAW) ? ~0u : c->f.valid[h]);
        if (c->cfg->flags & MD_HINTS) /* at or below the hint, what is not valid is ignored for ever */
            offered &= c->f.valid[h] | ~md_below(md_hint(m));
        for (; offered; offered &= offered - 1) {
            unsigned r = (unsigned)__builtin_ctz(offered);
            emit_member(c, s, i, store(m, 1u << r),
                        (struct md_step){MD_S_RECORD, (uint8_t)h, (uint8_t)pg, (uint8_t)i, (uint8_t)r});
        }
        if (!(c->cfg->flags & MD_NO_HISTORY_GOSSIP))
            for (unsigned j = first; tops & (tops - 1) && j < end; j++)
                if (md_active(s->m[j]) && !twin(c, s, j, first))
                    gossip_history(c, s, pg, i, s->m[j]);
    }
}

/* ---- all ---- */

static void attempt_steps(struct md_ctx *c, const struct md_state *s, unsigned a)
{
    step_decide(c, s, a);
    for (unsigned p = 0; p < c->cfg->pgs; p++)
        for (unsigned i = c->first[p]; i < c->first[p] + c->slots[p]; i++) {
            if (twin(c, s, i, c->first[p]))
                continue;
            if (a > 0)
                step_fence(c, s, a, p, i);
            if (a > 0)
                step_repair(c, s, a, p, i);
            step_parent(c, s, a, p, i);
            if (p == 0)
                step_geometry(c, s, a, i);
            step_adopt(c, s, a, p, i);
        }
    for (unsigned k = 0; k < c->count[a] && md_status(s->a[a]) == MD_OPEN; k++)
        step_append(c, s, a, k);
}

void md_expand_raw(struct md_ctx *c, const struct md_state *s)
{
    c->succ_count = 0;
    md_facts(c, s);
    if (md_broken(s->world))
        return;
    for (unsigned a = 0; a < c->cfg->attempts; a++)
        attempt_steps(c, s, a);
    for (unsigned p = 0; p < c->cfg->pgs && !(c->cfg->flags & MD_NO_GOSSIP); p++)
        gossip(c, s, p);
    md_change_expand(c, s);
    md_member_expand(c, s);
}

void md_expand(struct md_ctx *c, const struct md_state *s)
{
    md_expand_raw(c, s);
    for (unsigned k = 0; k < c->succ_count; k++)
        md_normal(c, &c->succ[k], NULL);
}
