/*
 * recovery_lost.c - an operator's word that some servers are gone for good, in an opening (doc/MEMBERSHIP.md, D2).
 *
 *   B1 their incarnations are burnt in the table, with the version that the word makes, for good.
 *   D2 a group of which fewer than a write quorum are left goes on with those: its row is declared, all that are left
 *      are its members, all of them W.  They meet every write quorum of the list before, so what was acknowledged is
 *      on one of them at least; who was declared lost, and lives, can do nothing without one of them.  Every claim,
 *      every storing and every write needs all of them until the places are filled again, and the row is plain.
 *   D3 where they would not meet it, the word is refused: what was acknowledged may be nowhere, and nothing is guessed.
 * The version is one higher, so that it is in use only when W of group 0 stored it; a crash before leaves nothing.
 */
#include "recovery_int.h"

#include "hexad/err.h"

static bool is_lost(const struct hx_recovery *r, const struct hx_server *s)
{
    for (uint32_t i = 0; i < r->lost_count; i++)
        if (hx_uuid_eq(&r->lost[i], &s->incarnation))
            return true;
    return false;
}

int rec_declare_row(const struct hx_recovery *r, const struct hx_geometry *g, struct hx_pg_members *row)
{
    hx_members stay = hx_row_slots(row);
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (is_lost(r, &g->servers[row->server[i]]))
            stay &= (hx_members)~hx_members_add(0, i);
    if (!r->lost_count || hx_row_write(row, stay))
        return 0; /* they can be replaced as ever */
    if (!hx_row_meets(row, stay)) /* D3 */
        return HX_E_DATA_LOSS;
    row->kind = HX_ROW_DECLARED;
    row->survivors = stay;
    row->unmade = 0;
    return 1;
}

int rec_declare(const struct hx_recovery *r, struct hx_geometry *g, bool *ret_changed, uint32_t *ret_pg)
{
    *ret_changed = false;
    for (uint32_t pg = 0; r->lost_count && pg < hx_geometry_live(g); pg++) {
        int rc = rec_declare_row(r, g, &g->pgs[pg]);
        *ret_pg = pg;
        if (rc < 0)
            return rc;
        *ret_changed = *ret_changed || rc > 0;
    }
    for (uint32_t i = 0; i < g->server_count; i++)
        if (is_lost(r, &g->servers[i]) && g->servers[i].state != HX_SERVER_BURNT) { /* B1 */
            g->servers[i].state = HX_SERVER_BURNT;
            *ret_changed = true;
        }
    return 0;
}
