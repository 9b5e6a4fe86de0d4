/*
 * quorum.c - counts over sets of members (hexad/quorum.h; I8).  Pure; compared with a dumb twin over all
 * 64 sets and all pairs in tests/unit/test_quorum.c.
 */
#include "hexad/quorum.h"

#include "hexad/assert.h"
#include "hexad/mutant.h"

unsigned hx_members_count(hx_members set)
{
    return (unsigned)__builtin_popcount((unsigned)(set & HX_MEMBERS_ALL));
}

bool hx_quorum_write(hx_members set)
{
    return hx_members_count(set) >= HX_WRITE_QUORUM;
}

bool hx_quorum_read(hx_members set)
{
    return hx_members_count(set) >= (HX_MUTANT(READ_QUORUM_2) ? HX_READ_QUORUM - 1 : HX_READ_QUORUM);
}

bool hx_quorum_denies(hx_members nack)
{
    /* The others are too few for a write quorum: 6 - 3 < 4. */
    return HX_COPIES - hx_members_count(nack) < (HX_MUTANT(READ_QUORUM_2) ? HX_WRITE_QUORUM + 1 : HX_WRITE_QUORUM);
}

/* ---- by kind of row ---- */

#define DEGRADED_WRITE_QUORUM 3u
#define DEGRADED_READ_QUORUM 2u
_Static_assert(DEGRADED_WRITE_QUORUM + DEGRADED_READ_QUORUM > 4, "a read quorum of four meets a write quorum");
_Static_assert(DEGRADED_WRITE_QUORUM + HX_WRITE_QUORUM > HX_COPIES, "and a write quorum of six meets one of four (M4)");

static bool has_left(const struct hx_pg_members *row)
{
    return row->kind == HX_ROW_DEGRADED || row->kind == HX_ROW_DECLARED;
}

hx_members hx_row_slots(const struct hx_pg_members *row)
{
    return has_left(row) ? row->survivors : HX_MEMBERS_ALL;
}

unsigned hx_row_write_quorum(const struct hx_pg_members *row)
{
    if (row->kind == HX_ROW_DECLARED)
        return hx_members_count(row->survivors);
    return row->kind == HX_ROW_DEGRADED ? DEGRADED_WRITE_QUORUM : HX_WRITE_QUORUM;
}

unsigned hx_row_read_quorum(const struct hx_pg_members *row)
{
    if (row->kind == HX_ROW_DECLARED)
        return 1;
    return row->kind == HX_ROW_DEGRADED ? DEGRADED_READ_QUORUM : HX_READ_QUORUM;
}

bool hx_row_write(const struct hx_pg_members *row, hx_members set)
{
    if (!has_left(row))
        return hx_quorum_write(set);
    return hx_members_count(set & row->survivors) >= hx_row_write_quorum(row);
}

bool hx_row_read(const struct hx_pg_members *row, hx_members set)
{
    if (!has_left(row))
        return hx_quorum_read(set);
    return hx_members_count(set & row->survivors) >= hx_row_read_quorum(row);
}

bool hx_row_denies(const struct hx_pg_members *row, hx_members nack)
{
    if (!has_left(row))
        return hx_quorum_denies(nack);
    return hx_members_count(row->survivors & (hx_members)~nack) < hx_row_write_quorum(row);
}

bool hx_row_meets(const struct hx_pg_members *row, hx_members stay)
{
    hx_members all = hx_row_slots(row);
    return hx_members_count(stay & all) + hx_row_write_quorum(row) > hx_members_count(all);
}

struct hx_lsn hx_quorum_kth(const struct hx_lsn scl[HX_COPIES], unsigned k)
{
    struct hx_lsn sorted[HX_COPIES];
    hx_assert(k >= 1 && k <= HX_COPIES);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        unsigned at = i;
        while (at > 0 && sorted[at - 1].v < scl[i].v) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = scl[i];
    }
    return sorted[k - 1];
}
