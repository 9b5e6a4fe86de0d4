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
