/*
 * quorum.h - arithmetic of answers from the members of a PG; sets are bit masks of slots 0..5.  Pure.
 */
#ifndef HEXAD_QUORUM_H
#define HEXAD_QUORUM_H

#include "hexad/geometry.h"
#include "hexad/types.h"

typedef uint8_t hx_members; /* bit i: slot i */
#define HX_MEMBERS_ALL ((hx_members)((1u << HX_COPIES) - 1))

static inline hx_members hx_members_add(hx_members set, unsigned slot)
{
    return (hx_members)(set | 1u << slot);
}
static inline bool hx_members_has(hx_members set, unsigned slot)
{
    return (unsigned)set >> slot & 1u;
}
unsigned hx_members_count(hx_members set);
bool hx_quorum_write(hx_members set); /* at least 4 of 6 */
bool hx_quorum_read(hx_members set);  /* at least 3 of 6 */
/* No member of any write quorum can be outside: enough to say that a record was never acknowledged. */
bool hx_quorum_denies(hx_members nack);
/*
 * The same by kind of row (doc/MEMBERSHIP.md, D1, D2): a degraded one has four members, its .survivors, and W = 3,
 * R = 2; a declared one those who were left, all of them W, one of them R.  Bits of other slots count for nothing.  Of
 * a released row all six, which mean nothing.
 */
hx_members hx_row_slots(const struct hx_pg_members *row);
unsigned hx_row_write_quorum(const struct hx_pg_members *row);
unsigned hx_row_read_quorum(const struct hx_pg_members *row);
bool hx_row_write(const struct hx_pg_members *row, hx_members set);
bool hx_row_read(const struct hx_pg_members *row, hx_members set);
/* Those who stay meet every write quorum of the row, so nothing that it acknowledged is on the others alone. */
bool hx_row_meets(const struct hx_pg_members *row, hx_members stay);
bool hx_row_denies(const struct hx_pg_members *row, hx_members nack);
/* The K-th largest of the six SCLs (k = 4: PGCL; k = 6: everybody has it). */
struct hx_lsn hx_quorum_kth(const struct hx_lsn scl[HX_COPIES], unsigned k);
/* Highest LSN that a write quorum is complete through: the PGCL. */
static inline struct hx_lsn hx_quorum_pgcl(const struct hx_lsn scl[HX_COPIES])
{
    return hx_quorum_kth(scl, HX_WRITE_QUORUM);
}

#endif
