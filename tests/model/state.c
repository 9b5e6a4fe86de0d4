/*
 * state.c - what follows from a state (LSNs, validity, SCL, quorums, acknowledgements), and its normal form.
 *
 * Takes no steps.  Two reductions, both exact:
 *   N1 members of a PG that play the same part in every membership are interchangeable: they are sorted.
 *   N2 what an attempt knows is forgotten as soon as it cannot matter: answers of one that can no longer
 *      reach its quorum (too many members promised more), acknowledgements that the VDL has passed.  Not
 * under mutants, where "can no longer" would have to be thought through again (--plain leaves it away, too).
 * Acknowledgements count at the earliest instant (whatever a member could report, the writer knows at once):
 * an invariant that holds of everything ever acknowledged holds of whatever a slower network lets through.
 */
#include "model.h"

#include <string.h>

static const uint8_t bits_in[256] = {
#define B2(n) n, n + 1, n + 1, n + 2
#define B4(n) B2(n), B2(n + 1), B2(n + 1), B2(n + 2)
#define B6(n) B4(n), B4(n + 1), B4(n + 1), B4(n + 2)
    B6(0), B6(1), B6(1), B6(2)};
static unsigned count(unsigned set)
{
    return bits_in[set & 255];
}

/* ---- configuration ---- */

static int read_plans(struct md_ctx *c, const struct md_cfg *cfg)
{
    for (unsigned a = 0; a < cfg->attempts; a++) {
        c->num[a] = cfg->num[a] ? cfg->num[a] : a + 1;
        c->base[a] = c->rec_count;
        for (const char *p = cfg->plan[a]; p && *p; p++) {
            if (*p == '.') {
                c->cpl_mask |= 1u << (c->rec_count - 1);
                continue;
            }
            if (c->rec_count == MD_RECORDS)
                return -1;
            c->rec_pg[c->rec_count] = (unsigned)(*p - '0');
            c->rec_by[c->rec_count] = a;
            c->pg_mask[*p - '0'] |= 1u << c->rec_count;
            c->recs[a] |= 1u << c->rec_count++;
        }
        c->count[a] = c->rec_count - c->base[a];
        if (c->count[a] > 4 && MD_MUT(c, ACK_RECORD))
            return -1;
    }
    return 0;
}

/* Members with equal numbers are interchangeable: they are in the same lists. */
static unsigned class_of(const struct md_ctx *c, unsigned pg, unsigned slot)
{
    unsigned id = pg;
    for (unsigned v = 0; v < c->versions; v++) {
        for (unsigned l = 0; l < c->view[v].lists[pg]; l++)
            id = id * 2 + (c->view[v].list[pg][l] >> slot & 1);
        if (c->view[v].must)
            id = id * 2 + (c->view[v].must >> slot & 1);
        if (c->view[v].left)
            id = id * 2 + (c->view[v].left >> slot & 1);
    }
    return id;
}

int md_ctx_init(struct md_ctx *c, const struct md_cfg *cfg, uint64_t mut)
{
    *c = (struct md_ctx){.cfg = cfg, .mut = mut};
    if (read_plans(c, cfg))
        return -1;
    c->versions = cfg->versions ? cfg->versions : 1;
    for (unsigned p = 0; p < cfg->pgs; p++) {
        c->first[p] = c->slot_count;
        c->slots[p] = cfg->slots[p] ? cfg->slots[p] : cfg->n;
        c->slot_count += c->slots[p];
    }
    for (unsigned i = 0; i < c->slot_count; i++)
        c->names[i] = (char)('A' + i);
    for (unsigned v = 0; v < c->versions; v++) {
        c->view[v] = cfg->view[v];
        if (!cfg->versions)
            c->view[v].pgs = cfg->pgs;
        for (unsigned p = 0; p < cfg->pgs; p++)
            if (!c->view[v].lists[p]) {
                c->view[v].lists[p] = 1;
                c->view[v].list[p][0] = (1u << cfg->n) - 1;
            }
    }
    for (unsigned p = 0; p < cfg->pgs; p++)
        for (unsigned i = 0; i < c->slots[p]; i++)
            c->class_of[c->first[p] + i] = class_of(c, p, i);
    return c->slot_count <= MD_SLOTS ? 0 : -1;
}

void md_state_first(const struct md_ctx *c, struct md_state *s)
{
    memset(s, 0, sizeof *s);
    s->a[0] = md_status_set(0, MD_OPEN);
    for (unsigned i = 0; i < c->slots[c->cfg->moving]; i++)
        if (c->cfg->newcomers >> i & 1)
            s->m[c->first[c->cfg->moving] + i] = md_absent_set(0, 1);
    s->world = md_wipes_set(md_damages_set(0, c->cfg->damage), c->cfg->wipes);
}

/* ---- quorums ---- */

static unsigned w_of(const struct md_ctx *c, unsigned pg, unsigned ver)
{
    return c->view[ver].w[pg] ? c->view[ver].w[pg] : c->cfg->w;
}

bool md_write_quorum(const struct md_ctx *c, unsigned pg, unsigned ver, unsigned set)
{
    const struct md_view *v = &c->view[ver];
    for (unsigned l = 0; l < v->lists[pg]; l++)
        if (count(set & v->list[pg][l]) < w_of(c, pg, ver))
            return false;
    return true;
}

bool md_read_quorum(const struct md_ctx *c, unsigned pg, unsigned ver, unsigned set)
{
    const struct md_view *v = &c->view[ver];
    bool any = MD_MUT(c, SWAP_LITERAL) && v->lists[pg] > 1 && count(set & v->list[pg][1]) >= c->cfg->r;
    return any || count(set & v->list[pg][0]) >= (v->r[pg] ? v->r[pg] : c->cfg->r);
}

bool md_denied(const struct md_ctx *c, unsigned pg, unsigned ver, unsigned nack)
{
    const struct md_view *v = &c->view[ver];
    bool any = MD_MUT(c, SWAP_LITERAL) && v->lists[pg] > 1 && count(v->list[pg][1] & ~nack) < c->cfg->w;
    return any || count(v->list[pg][0] & ~nack) < w_of(c, pg, ver);
}

unsigned md_declared(const struct md_ctx *c, unsigned a)
{
    if (a == 1 && c->cfg->flags & MD_DECLARE)
        return 1;
    return a == 2 && c->cfg->flags & MD_RIVAL_DECLARE ? 3 : 0;
}

bool md_claim_quorum(const struct md_ctx *c, unsigned ver, unsigned set, unsigned by)
{
    const struct md_view *v = &c->view[ver];
    unsigned need = c->cfg->claim ? c->cfg->claim : w_of(c, 0, ver), declares = md_declared(c, by);
    if (MD_MUT(c, SHORT_CLAIM))
        need--;
    if (declares && !c->view[declares].left) /* of PG 0 itself */
        return count(set & c->view[declares].must) + (MD_MUT(c, DECLARE_SHORT) ? 1 : 0) >=
               count(c->view[declares].must);
    for (unsigned l = 0; l < v->lists[0]; l++)
        if (count(set & v->list[0][l]) < need)
            return false;
    return (set & v->must) == v->must || MD_MUT(c, DECLARE_CLAIM);
}

bool md_store_quorum(const struct md_ctx *c, unsigned ver, unsigned set)
{
    return md_write_quorum(c, 0, ver, set) && (set & c->view[ver].must) == c->view[ver].must;
}

/* ---- facts ---- */

unsigned md_lsn_of(const struct md_facts *f, unsigned place)
{
    return f->lsn[place];
}

/* Records of SET with LSNs that an entry leaves valid. */
static unsigned cut(const struct md_facts *f, unsigned set, unsigned vdl)
{
    unsigned kept = 0;
    for (unsigned rest = set; rest; rest &= rest - 1) {
        unsigned lsn = f->lsn[__builtin_ctz(rest) + 1];
        if (lsn <= vdl)
            kept |= rest & -rest;
    }
    return kept;
}

static void compute(const struct md_ctx *c, const uint32_t *key, struct md_facts *f)
{
    memset(f, 0, sizeof *f);
    /* A parent has a lower number, but where a mutant makes it otherwise: then the attempt stays undecided.
     */
    for (unsigned a = 0; a < c->cfg->attempts; a++) {
        if (!key[a])
            continue;
        f->decided[a] = true;
        if (a > 0) {
            unsigned parent = md_parent(key[a]), vdl = f->lsn[md_vdl(key[a])];
            unsigned from = MD_MUT(c, END_TEXT) || f->end[parent] < vdl ? vdl : f->end[parent];
            f->end[a] = c->cfg->lal ? from + c->cfg->lal : vdl;
            f->log[a] = cut(f, f->valid[parent], vdl);
        }
        f->valid[a] = f->log[a] | c->recs[a];
        for (unsigned k = 0; k < c->count[a]; k++)
            f->lsn[c->base[a] + k + 1] = f->end[a] + 1 + k;
    }
}

/* Equal keys have equal facts. */
static void key_of(const struct md_ctx *c, const struct md_state *s, uint32_t *key)
{
    memset(key, 0, MD_ATTEMPTS * sizeof *key);
    for (unsigned a = 0; a < c->cfg->attempts; a++)
        if (md_status(s->a[a]) != MD_CLAIM)
            key[a] = md_vdl_set(md_parent_set(1, md_parent(s->a[a])), md_vdl(s->a[a]));
}

const struct md_facts *md_facts(struct md_ctx *c, const struct md_state *s)
{
    uint32_t key[MD_ATTEMPTS];
    key_of(c, s, key);
    if (!c->facts_known || memcmp(key, c->facts_of, sizeof key)) {
        compute(c, key, &c->f);
        memcpy(c->facts_of, key, sizeof key);
        c->facts_known = true;
    }
    return &c->f;
}

/* The chain by links over everything that is held, valid or not: what a member would do without the filter.
 */
static unsigned scl_raw(const struct md_ctx *c, const struct md_facts *f, unsigned held, unsigned pg)
{
    unsigned at = 0, place = 0;
    for (bool more = true; more;) {
        unsigned best = 0;
        for (unsigned rest = held & c->pg_mask[pg]; rest; rest &= rest - 1) {
            unsigned r = (unsigned)__builtin_ctz(rest), lsn = f->lsn[r + 1];
            unsigned link = f->lsn[md_top(f->valid[c->rec_by[r]] & c->pg_mask[pg] & md_below(r))];
            if (link <= at && at < lsn && (!best || lsn < f->lsn[best]))
                best = r + 1;
        }
        more = best != 0;
        if (more) {
            at = f->lsn[best];
            place = best;
        }
    }
    return place;
}

unsigned md_scl(const struct md_ctx *c, const struct md_facts *f, unsigned hist, unsigned held, unsigned pg)
{
    unsigned all = f->valid[hist] & c->pg_mask[pg], missing = all & ~held;
    if (MD_MUT(c, SCL_RAW))
        return scl_raw(c, f, held, pg);
    if (MD_MUT(c, SCL_MAX))
        return md_top(all & held);
    return md_top(missing ? all & ((missing & -missing) - 1) : all);
}

unsigned md_scl_of(const struct md_ctx *c, const struct md_facts *f, unsigned hist, uint64_t m, unsigned pg)
{
    return md_scl(c, f, hist, md_held(m) | md_below(md_base(m)), pg);
}

unsigned md_vdl_place(const struct md_ctx *c, const struct md_state *s, unsigned a)
{
    unsigned acked = md_acked(s->a[a]);
    return acked ? c->base[a] + acked : md_vdl(s->a[a]);
}

unsigned md_exposed(const struct md_ctx *c, const struct md_facts *f, const struct md_state *s, unsigned a)
{
    return f->log[a] | (c->recs[a] & md_below(c->base[a] + md_acked(s->a[a])));
}

/* ---- acknowledgements ---- */

static bool reports(const struct md_ctx *c, uint64_t m, unsigned a)
{
    return md_active(m) && (c->num[md_promise(m)] == c->num[a] || MD_MUT(c, APPEND_PROMISE));
}

/* A member that takes records without the history (a mutant) answers the SCL of its own history, a bare
 * number. */
static int report_blindly(const struct md_ctx *c, const struct md_facts *f, struct md_state *s, unsigned pg,
                          unsigned slot)
{
    uint64_t *m = &s->m[slot];
    unsigned a = md_promise(*m), last = 0;
    if (!md_active(*m) || a == md_hist(*m) || md_status(s->a[a]) != MD_OPEN || !(md_held(*m) & c->recs[a]))
        return -1;
    unsigned scl = f->lsn[md_scl_of(c, f, md_hist(*m), *m, pg)];
    for (unsigned rest = f->valid[a] & c->pg_mask[pg]; rest; rest &= rest - 1)
        if (f->lsn[__builtin_ctz(rest) + 1] <= scl)
            last = (unsigned)__builtin_ctz(rest) + 1;
    if (last <= md_rep(*m, a))
        return -1;
    *m = md_rep_set(*m, a, last);
    return (int)a;
}

/* What the writer of M's top epoch learns from it now; the attempt, or -1. */
static int report(const struct md_ctx *c, const struct md_facts *f, struct md_state *s, unsigned pg,
                  unsigned slot)
{
    uint64_t *m = &s->m[slot];
    unsigned a = md_hist(*m);
    if (MD_MUT(c, NO_NEED_HISTORY) && md_promise(*m) != a)
        return report_blindly(c, f, s, pg, slot);
    if (md_status(s->a[a]) != MD_OPEN || !reports(c, *m, a))
        return -1;
    unsigned scl = md_scl_of(c, f, a, *m, pg), passed = c->base[a] + md_acked(s->a[a]);
    if (MD_MUT(c, ACK_RECORD))
        scl = (md_held(*m) & c->recs[a] & c->pg_mask[pg]) >> c->base[a];
    else if (scl <= passed)
        return -1;
    if (scl <= md_rep(*m, a) && !MD_MUT(c, ACK_RECORD))
        return -1;
    *m = md_rep_set(*m, a, MD_MUT(c, ACK_RECORD) ? scl | md_rep(*m, a) : scl);
    return (int)a;
}

static unsigned acking(const struct md_ctx *c, const struct md_state *s, unsigned a, unsigned k, unsigned pg)
{
    unsigned set = 0;
    for (unsigned i = 0; i < c->slots[pg]; i++) {
        unsigned rep = md_rep(s->m[c->first[pg] + i], a);
        if (MD_MUT(c, ACK_RECORD) ? rep >> k & 1 : rep >= c->base[a] + k + 1)
            set |= 1u << i;
    }
    return set;
}

/* Advances the VDL of open attempt A. */
static void advance(const struct md_ctx *c, struct md_state *s, unsigned a)
{
    unsigned ver = md_ver(s->a[a]), was = md_acked(s->a[a]), vdl = was, target = md_target(c, s, a);
    if (target && (MD_MUT(c, SWAP_EARLY) || MD_MUT(c, MOVE_BY_NEW)))
        ver = target;
    unsigned and = c->cfg->flags & MD_DIRECT && target && !MD_MUT(c, MOVE_BY_OLD) ? target : ver;
    for (unsigned k = was; k < c->count[a]; k++) {
        unsigned r = c->base[a] + k, set = acking(c, s, a, k, c->rec_pg[r]);
        if (!md_write_quorum(c, c->rec_pg[r], ver, set) || !md_write_quorum(c, c->rec_pg[r], and, set))
            break;
        if (c->cpl_mask >> r & 1 || MD_MUT(c, VDL_VCL))
            vdl = k + 1;
    }
    if (vdl == was)
        return;
    s->a[a] = md_acked_set(s->a[a], vdl);
    for (unsigned i = 0; i < c->slot_count && !MD_MUT(c, ACK_RECORD); i++) /* N2 */
        if (md_rep(s->m[i], a) <= c->base[a] + vdl)
            s->m[i] = md_rep_set(s->m[i], a, 0);
}

/* ---- N2 ---- */

/* Those of PG that count for A already or may still come to. */
static unsigned possible(const struct md_ctx *c, const struct md_state *s, unsigned a, unsigned pg,
                         bool claim)
{
    unsigned set = 0;
    for (unsigned i = 0; i < c->slots[pg]; i++) {
        uint64_t m = s->m[c->first[pg] + i];
        unsigned promise = md_promise(m);
        bool may = claim ? c->num[promise] < c->num[a] || promise == a : c->num[promise] <= c->num[a];
        if (md_done(m, a) || md_absent(m) || (may && md_active(m)))
            set |= 1u << i;
    }
    return set;
}

static bool may_claim(const struct md_ctx *c, const struct md_state *s, unsigned a, unsigned ver)
{
    for (unsigned p = 1; p < c->view[ver].pgs; p++)
        if (count(possible(c, s, a, p, false) & c->view[ver].list[p][0]) < w_of(c, p, ver) &&
            !(md_declared(c, a) && c->view[md_declared(c, a)].left))
            return false;
    return md_claim_quorum(c, ver, possible(c, s, a, 0, true), a);
}

static bool hopeless(const struct md_ctx *c, const struct md_state *s, unsigned a)
{
    unsigned ver = md_ver(s->a[a]);
    switch (md_status(s->a[a])) {
    case MD_CLAIM:
        for (unsigned v = 0; v < c->versions; v++)
            if ((v == ver || !md_flag(s->a[a])) && may_claim(c, s, a, v))
                return false;
        return true;
    case MD_REPAIR:
        for (unsigned p = 0; p < c->view[ver].pgs; p++)
            if (!md_write_quorum(c, p, ver, possible(c, s, a, p, false)))
                return true;
        return false;
    case MD_GEOMETRY:
        return !md_store_quorum(c, ver, possible(c, s, a, 0, false));
    case MD_ADOPT:
        return !md_write_quorum(c, 0, ver, possible(c, s, a, 0, false));
    default:
        return false;
    }
}

/* Can the VDL of the open attempt not pass its next record any more, by this version or a later one? */
static bool finished(const struct md_ctx *c, const struct md_state *s, unsigned a)
{
    unsigned k = md_acked(s->a[a]);
    if (k == c->count[a])
        return true;
    unsigned r = c->base[a] + k, pg = c->rec_pg[r];
    unsigned set = acking(c, s, a, k, pg) | possible(c, s, a, pg, false);
    for (unsigned v = md_ver(s->a[a]); v < c->versions; v++)
        if (md_write_quorum(c, pg, v, set))
            return false;
    return true;
}

/* Can the open attempt not publish its next version any more? */
static bool stuck(const struct md_ctx *c, const struct md_state *s, unsigned a)
{
    unsigned ver = md_ver(s->a[a]), set = possible(c, s, a, 0, false), target = md_target(c, s, a);
    return !target || !md_store_quorum(c, ver, set) || !md_store_quorum(c, target, set);
}

static void drop(const struct md_ctx *c, struct md_state *s, unsigned a, bool done, bool rep)
{
    for (unsigned i = 0; i < c->slot_count; i++) {
        s->m[i] = done ? md_done_set(s->m[i], a, 0) : s->m[i];
        s->m[i] = rep ? md_rep_set(s->m[i], a, 0) : s->m[i];
    }
}

static void forget(const struct md_ctx *c, struct md_state *s)
{
    if (c->cfg->flags & MD_ROLLS && md_wipes(s->world))
        return; /* a promise may yet be forgotten */
    for (unsigned a = 0; a < c->cfg->attempts; a++) {
        if (md_status(s->a[a]) == MD_OPEN) {
            if (finished(c, s, a))
                drop(c, s, a, false, true);
            if (stuck(c, s, a))
                drop(c, s, a, true, false);
        } else if (hopeless(c, s, a)) {
            drop(c, s, a, true, true);
            if (md_status(s->a[a]) == MD_CLAIM)
                s->a[a] = 0;
        }
    }
}

void md_settle(struct md_ctx *c, struct md_state *s, int slot)
{
    struct md_facts other;
    const struct md_facts *f = &c->f;
    uint32_t key[MD_ATTEMPTS];
    key_of(c, s, key);
    if (memcmp(key, c->facts_of, sizeof key)) {
        compute(c, key, &other);
        f = &other;
    }
    for (unsigned p = 0; p < c->cfg->pgs; p++)
        for (unsigned i = c->first[p]; i < c->first[p] + c->slots[p]; i++) {
            int a = slot < 0 || i == (unsigned)slot ? report(c, f, s, p, i) : -1;
            if (a >= 0)
                advance(c, s, (unsigned)a);
        }
    if (slot < 0)
        for (unsigned a = 0; a < c->cfg->attempts; a++)
            if (md_status(s->a[a]) == MD_OPEN)
                advance(c, s, a);
    if (!c->mut && !c->plain)
        forget(c, s);
}

/* ---- N1 ---- */

void md_normal(const struct md_ctx *c, struct md_state *s, unsigned *perm)
{
    for (unsigned i = 0; perm && i < c->slot_count; i++)
        perm[i] = i;
    for (unsigned i = 1; i < c->slot_count; i++) {
        uint64_t m = s->m[i];
        unsigned was = perm ? perm[i] : 0, at = i;
        for (; at > 0 && c->class_of[at - 1] == c->class_of[i] && s->m[at - 1] < m; at--) {
            s->m[at] = s->m[at - 1];
            if (perm)
                perm[at] = perm[at - 1];
        }
        s->m[at] = m;
        if (perm)
            perm[at] = was;
    }
}
