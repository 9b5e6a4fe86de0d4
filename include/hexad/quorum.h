/*
 * quorum.h - arithmetic of answers from the members of a PG; sets are bit masks of slots 0..5.  Pure.
 */
#ifndef HEXAD_QUORUM_H
#define HEXAD_QUORUM_H

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
/* The K-th largest of the six SCLs (k = 4: PGCL; k = 6: everybody has it). */
struct hx_lsn hx_quorum_kth(const struct hx_lsn scl[HX_COPIES], unsigned k);
/* Highest LSN that a write quorum is complete through: the PGCL. */
static inline struct hx_lsn hx_quorum_pgcl(const struct hx_lsn scl[HX_COPIES])
{
    return hx_quorum_kth(scl, HX_WRITE_QUORUM);
}

#endif
