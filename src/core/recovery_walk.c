/*
 * recovery_walk.c - steps 3 to 5 of opening: the union of inventories, the walk over it, the decision.
 *
 * Definitions.  H: the parent history.  Start: the highest VDL that an answer names, or H's top vdl if that
 * is higher; everything up to it is on a write quorum, for a VDL is announced only then.  Inventories list
 * what is held above each member's own hint, so all of them cover what is above the start.
 * Invariants:
 *   K1 above the start only H's top epoch has valid records, so an LSN names one record.
 *   K2 the walk ends only at an LSN that, in every PG, three hydrated answers exclude (rec_denied): with
 *      three of six outside no write quorum can have held it (I1, I11).
 *   K3 VDL' is the start or a CPL of the walk above it; the chain is exactly the records in (start, VDL'],
 *      and its links inside a PG name their predecessors (I7).
 * Does no requests; recovery.c asks those with damaged records again.  Run again after every answer while
 * it says HX_E_AGAIN; nothing is kept in between.  Memory: the union, 48 bytes an entry held.
 */
#include "recovery_int.h"

#include "hexad/assert.h"
#include "hexad/mutant.h"

#include <stdlib.h>

void rec_chain_free(struct hx_recovery *r)
{
    for (size_t i = 0; i < r->chain_count; i++)
        free(r->chain[i].data);
    free(r->chain);
    r->chain = NULL;
    r->chain_count = 0;
}

bool rec_may_hold(const struct hx_inventory *v, struct hx_lsn lsn)
{
    for (uint32_t i = 0; i < v->unknown_count && !HX_MUTANT(UNKNOWN_IS_NACK); i++)
        if (v->unknowns[i].from.v <= lsn.v && lsn.v <= v->unknowns[i].to.v)
            return true;
    return false;
}

hx_members rec_evidence(const struct rec_pg *p, hx_members set)
{
    unsigned absent = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (hx_members_has(set, i) && p->m[i].absent && ++absent > HX_COPIES - HX_WRITE_QUORUM)
            set &= (hx_members)~hx_members_add(0, i);
    return set;
}

bool rec_denied(const struct hx_recovery *r, const struct rec_pg *p, struct hx_lsn lsn)
{
    hx_members nack = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (p->m[i].answered && p->m[i].inv.hydrated && !rec_may_hold(&p->m[i].inv, lsn))
            nack = hx_members_add(nack, i);
    return hx_row_denies(rec_was(r, p), rec_evidence(p, nack));
}

/* The highest durable point named by anyone, and at least where the geometry says: below that a group that was released
 * since has taken records with it (S2 of doc/MEMBERSHIP.md).  One that H does not contain: H is not the newest. */
static int find_start(struct hx_recovery *r)
{
    struct hx_lsn from = r->geometry.walk_from;
    r->start = hx_lsn_max(hx_history_top_entry(&r->parent)->vdl, from);
    if (hx_history_point(&r->parent, from).v != from.v) {
        rec_fail(r, HX_E_DATA_LOSS, "the geometry knows LSN %llu as durable, but no history of PG 0 contains it",
                 (unsigned long long)from.v);
        return HX_E_DATA_LOSS;
    }
    for (uint32_t p = 0; p < r->pg_count; p++) {
        for (unsigned i = 0; i < HX_COPIES; i++) {
            const struct rec_member *m = &r->pgs[p]->m[i];
            if (!m->answered)
                continue;
            if (hx_history_point(&r->parent, m->inv.vdl_hint).v != m->inv.vdl_hint.v) {
                rec_fail(r, HX_E_DATA_LOSS,
                         "PG %u: server %s knows LSN %llu as durable, but no history of PG 0 contains it", p,
                         hx_ask_server(&r->ask, rec_server_of(r, p, i))->name,
                         (unsigned long long)m->inv.vdl_hint.v);
                return HX_E_DATA_LOSS;
            }
            if (!HX_MUTANT(HINT_IGNORED))
                r->start = hx_lsn_max(r->start, m->inv.vdl_hint);
        }
    }
    return 0;
}

static bool counts(const struct hx_recovery *r, const struct hx_inv_entry *e)
{
    return e->lsn.v > r->start.v &&
           (hx_history_valid(&r->parent, e->lsn, e->epoch) || HX_MUTANT(UNION_UNFILTERED));
}

/* All valid entries above the start, one per holder. */
static int gather(const struct hx_recovery *r, struct rec_entry **ret, size_t *ret_count)
{
    size_t n = 0;
    for (uint32_t p = 0; p < r->pg_count; p++)
        for (unsigned i = 0; i < HX_COPIES; i++)
            for (uint32_t k = 0; k < r->pgs[p]->m[i].inv.entry_count; k++)
                n += counts(r, &r->pgs[p]->m[i].inv.entries[k]);
    struct rec_entry *u = malloc((n + 1) * sizeof *u);
    if (u == NULL)
        return HX_E_NOMEM;
    size_t at = 0;
    for (uint32_t p = 0; p < r->pg_count; p++) {
        for (unsigned i = 0; i < HX_COPIES; i++) {
            const struct hx_inventory *v = &r->pgs[p]->m[i].inv;
            for (uint32_t k = 0; k < v->entry_count; k++) {
                const struct hx_inv_entry *e = &v->entries[k];
                if (counts(r, e))
                    u[at++] = (struct rec_entry){.lsn = e->lsn, .prev = e->prev, .pg = p, .sum = e->sum,
                                                 .flags = e->flags, .held = hx_members_add(0, i)};
            }
        }
    }
    hx_assert(at == n);
    *ret = u;
    *ret_count = n;
    return 0;
}

static int by_lsn(const void *a, const void *b)
{
    const struct rec_entry *x = a, *y = b;
    return x->lsn.v < y->lsn.v ? -1 : x->lsn.v > y->lsn.v;
}

static int by_pg(const void *a, const void *b)
{
    const struct rec_entry *x = a, *y = b;
    return x->pg != y->pg ? (x->pg < y->pg ? -1 : 1) : by_lsn(a, b);
}

/* One entry per LSN with all its holders.  Two that differ under one LSN and epoch: somebody's bytes are wrong. */
static int merge(struct hx_recovery *r, struct rec_entry *u, size_t *count)
{
    size_t out = 0;
    qsort(u, *count, sizeof *u, by_lsn);
    for (size_t i = 0; i < *count; i++) {
        struct rec_entry *last = out > 0 ? &u[out - 1] : NULL;
        if (last == NULL || last->lsn.v != u[i].lsn.v) {
            u[out++] = u[i];
            continue;
        }
        if (last->pg != u[i].pg || last->sum != u[i].sum || last->prev.v != u[i].prev.v ||
            last->flags != u[i].flags) {
            rec_fail(r, HX_E_CORRUPT, "LSN %llu of epoch %llu has two contents (PG %u and PG %u)",
                     (unsigned long long)u[i].lsn.v, (unsigned long long)hx_history_top(&r->parent).v, last->pg,
                     u[i].pg);
            return HX_E_CORRUPT;
        }
        last->held |= u[i].held;
    }
    *count = out;
    return 0;
}

/* Step 4: the run of successors from the start; *ret_keep: entries up to VDL'. */
static int walk(struct hx_recovery *r, const struct rec_entry *u, size_t count, size_t *ret_keep)
{
    struct hx_lsn next = hx_history_successor(&r->parent, r->start);
    size_t keep = 0, i = 0;
    r->vdl = r->start; /* it was a VDL, so it is a CPL */
    for (; i < count && u[i].lsn.v == next.v; i++) {
        if (u[i].flags & HX_INV_CPL || HX_MUTANT(OPEN_AT_VCL)) {
            r->vdl = u[i].lsn;
            keep = i + 1;
        }
        next = HX_LSN(next.v + 1); /* K1: one epoch from here on */
    }
    r->stop = next;
    for (uint32_t p = 0; p < r->pg_count; p++)
        if (!rec_denied(r, r->pgs[p], next))
            return HX_E_AGAIN; /* K2 */
    *ret_keep = keep;
    return 0;
}

/* Slices the chain by PG and checks that each record's link names the one before it (K3). */
static int link_chain(struct hx_recovery *r)
{
    qsort(r->chain, r->chain_count, sizeof *r->chain, by_pg);
    for (size_t i = 0; i < r->chain_count; i++) {
        struct rec_entry *e = &r->chain[i];
        struct rec_pg *p = r->pgs[e->pg];
        bool ok = p->entry_count == 0 ? e->prev.v <= r->start.v : e->prev.v == e[-1].lsn.v;
        if (!ok) {
            rec_fail(r, HX_E_CORRUPT, "PG %u: LSN %llu follows LSN %llu, which is not the record before it", e->pg,
                     (unsigned long long)e->lsn.v, (unsigned long long)e->prev.v);
            return HX_E_CORRUPT;
        }
        if (p->entry_count++ == 0)
            p->entry = e;
        p->last = e->lsn;
        p->last_known = true;
    }
    return 0;
}

/* Step 5: H' := H + (e, VDL', max(VDL', end of H's top) + its lal, lal). */
static int make_child(struct hx_recovery *r)
{
    const struct hx_history_entry *top = hx_history_top_entry(&r->parent);
    uint64_t from = r->vdl.v > top->end.v ? r->vdl.v : top->end.v;
    if (top->lal > UINT64_MAX - from) {
        rec_fail(r, HX_E_CORRUPT, "the history of PG 0 ends above all LSNs");
        return HX_E_CORRUPT;
    }
    struct hx_lsn end = HX_LSN(from + top->lal);
    if (HX_MUTANT(END_AS_PRINTED))
        end = HX_LSN(r->vdl.v + top->lal > top->end.v ? r->vdl.v + top->lal : top->end.v + 1);
    if (HX_MUTANT(REUSE_LSN) && r->vdl.v > top->end.v)
        end = r->vdl;
    struct hx_history_entry e = {r->epoch, r->vdl, end, r->geometry.lal};
    int err = hx_history_copy(&r->child, &r->parent);
    if (err == 0)
        err = hx_history_push(&r->child, e);
    if (err != 0)
        rec_fail(r, err, "the new history cannot be made: %s", hx_err_text(err));
    return err;
}

int rec_decide(struct hx_recovery *r)
{
    struct rec_entry *u = NULL;
    size_t count = 0, keep = 0;
    int err = find_start(r);
    if (err != 0)
        return err;
    err = gather(r, &u, &count);
    if (err != 0) {
        rec_fail(r, err, "out of memory for the union of inventories");
        return err;
    }
    err = merge(r, u, &count);
    if (err == 0)
        err = walk(r, u, count, &keep);
    if (err != 0) {
        free(u);
        return err;
    }
    struct rec_entry *fit = realloc(u, (keep + 1) * sizeof *u);
    r->chain = fit != NULL ? fit : u;
    r->chain_count = keep;
    err = link_chain(r);
    return err != 0 ? err : make_child(r);
}
