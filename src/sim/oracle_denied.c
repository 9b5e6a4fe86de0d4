/*
 * oracle_denied.c - may an opening end the log where it does?  (I11)
 *
 * The log ends at the first LSN that nobody holds.  That LSN is annulled for good, so in every group three of those
 * who were heard must deny it: a member with a damaged record that it could be does not.  Inventories are kept as
 * the attempt got them, until it decides; some may have come after the decision, so the end is looked for up to
 * where all of them together would put it.
 */
#include "oracle_int.h"

#include <stdlib.h>

void oc_denied_keep(struct hx_oracle *o, struct oc_attempt *a, uint32_t pg, uint32_t server, struct hx_inventory *v)
{
    size_t i = 0;
    while (i < a->inv_count && (a->inv[i].pg != pg || a->inv[i].server != server))
        i++;
    struct oc_inventory *p = oc_grow(o, a->inv, &a->inv_cap, i + 1, sizeof *p);
    if (!p)
        return;
    a->inv = p;
    if (i == a->inv_count)
        p[a->inv_count++] = (struct oc_inventory){.pg = pg, .server = server};
    hx_inventory_fini(&p[i].v);
    p[i].v = *v;
    *v = (struct hx_inventory){0};
}

void oc_denied_forget(struct oc_attempt *a)
{
    for (size_t i = 0; i < a->inv_count; i++)
        hx_inventory_fini(&a->inv[i].v);
    free(a->inv);
    a->inv = NULL;
    a->inv_count = a->inv_cap = 0;
}

static bool may_be_damaged(const struct hx_inventory *v, uint64_t lsn)
{
    for (uint32_t i = 0; i < v->unknown_count; i++)
        if (v->unknowns[i].from.v <= lsn && lsn <= v->unknowns[i].to.v)
            return true;
    return false;
}

static bool held(const struct oc_attempt *a, uint64_t lsn, uint64_t epoch)
{
    for (size_t i = 0; i < a->inv_count; i++)
        for (uint32_t k = 0; k < a->inv[i].v.entry_count; k++)
            if (a->inv[i].v.entries[k].lsn.v == lsn && a->inv[i].v.entries[k].epoch.v == epoch)
                return true;
    return false;
}

static bool denied(const struct hx_oracle *o, const struct oc_attempt *a, uint64_t lsn)
{
    for (uint32_t pg = 0; pg < a->heard_count; pg++) {
        unsigned n = 0;
        for (size_t i = 0; i < a->inv_count; i++)
            n += a->inv[i].pg == pg && !may_be_damaged(&a->inv[i].v, lsn);
        if (n < oc_least(o, pg).read)
            return false;
    }
    return true;
}

void oc_denied_check(struct hx_oracle *o, struct oc_attempt *a)
{
    if (a->h.count < 2 || a->inv_count == 0)
        return;
    const struct hx_history_entry *p = &a->h.e[a->h.count - 2];
    uint64_t vdl = p[1].vdl.v, lsn = (vdl > p->end.v ? vdl : p->end.v) + 1;
    while (!denied(o, a, lsn)) {
        if (!held(a, lsn, p->epoch.v)) {
            hx_sim_broken(o->s, "I11", "epoch %llu is cut at %llu, but fewer than three of a group deny LSN %llu",
                          (oc_ull)a->epoch, (oc_ull)vdl, (oc_ull)lsn);
            break;
        }
        lsn++;
    }
    oc_denied_forget(a);
}
