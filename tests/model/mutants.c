/*
 * mutants.c - the rules, each broken on purpose, and the invariant that must see it.
 *
 * A search that never fails proves nothing; these are its teeth.  Each entry names the configuration in which
 * it is searched and the depth of the shortest counterexample, which the test compares: a change of the model
 * that makes it blind is noticed.  Entries with no invariant are harmless by themselves, which is also worth
 * knowing: the rule is a second line there, and the combination below it shows what it is for.
 */
#include "model.h"

#include <string.h>

const struct md_mutant md_mutants[] = {
    {"inventory-before-fence", "three", "I1", 7, "a zombie completes a quorum between inventory and fence"},
    {"append-ignores-promise", "three", "I1", 5, "a zombie acknowledges after the decision"},
    {"adopt-ignores-promise", "three", "I1 I3 I4", 14,
     "a late ADOPT completes an opening after a higher FENCE: two open writers"},
    {"repair-ignores-promise", "three", "I1 WEDGE", 10,
     "a write back is counted that a later inventory never saw"},
    {"no-write-back", "three", "I1 WEDGE", 5, "a record on one copy is shown; other survivors lack it"},
    {"write-back-after-open", "three", "I1 WEDGE", 5, "the same until it is written back"},
    {"write-back-to-too-few", "four-small", "I1 WEDGE", 8, "W - 1 copies"},
    {"open-with-too-few", "four-small", "I1 I4", 18, "the next claim misses the history"},
    {"fence-too-few", "four-pgs", "I1", 8, "a write quorum without a fenced member"},
    {"fence-only-pg-0", "two-pgs", "I1", 9, "a zombie completes in PG 1"},
    {"claim-with-too-few", "four-rivals", "I1 I3", 17, "two owners of one epoch"},
    {"owner-not-compared", "three-rivals", "I1 I3", 14, "the same"},
    {"promise-raised-by-fence-only", "three-rivals", NULL, 0, "history order alone is enough here"},
    {"adopt-replaces-higher-history", "three", NULL, 0, "the promise alone is enough here"},
    {"promise-raised-by-fence-only+adopt-replaces-higher-history", "three-rivals", "I1 I3 I4", 14,
     "an old ADOPT replaces a newer history"},
    {"history-ignored", "three", "I1", 12, "records of epoch 2 are void in epoch 3"},
    {"union-not-filtered", "three", "I1", 10,
     "an annulled record fills the run, an acknowledged one is left out"},
    {"scl-not-filtered", "three", "I6", 10, "void records in a page"},
    {"scl-highest-held", "three", "I6", 2, "a hole in a page"},
    {"vdl-is-vcl", "three-mtr", "I5", 2, "half an MTR"},
    {"ack-per-record", "three-small", NULL, 0, "harmless with the union of inventories"},
    {"recover-highest-scl", "three-small", NULL, 0, "harmless when acknowledgements are counted by SCL"},
    {"ack-per-record+recover-highest-scl", "three", "I1", 7, "pitfall 3"},
    {"end-from-vdl-only", "three", "I3", 14, "an LSN is allocated twice"},
    {"geometry-before-fence", "grow", "I1", 10, "the new PG is never asked"},
    {"use-pg-before-published", "grow", "I1", 5, "the same"},
    {"unknown-counts-as-missing", "four-damage", "I1", 4,
     "a damaged copy helps to annul an acknowledged record"},
    {"history-before-write-back", "three", "I1 WEDGE", 5, "a history is bound whose records are nowhere"},
    {"damage-counts-in-idle-pg", "three-hints-damage", "I11", 9,
     "two damaged copies and a laggard say that an idle PG ends before a durable record"},
    {NULL, NULL, NULL, 0, NULL},
};

static const char *const names[] = {
#define X(id, name) name,
    MD_MUTANTS(X)
#undef X
};

const char *md_mutant_rule(unsigned bit)
{
    return bit < MD_BIT_END ? names[bit] : NULL;
}

uint64_t md_mutant_bits(const char *name)
{
    uint64_t bits = 0;
    while (*name) {
        size_t len = strcspn(name, "+");
        unsigned bit = 0;
        while (bit < MD_BIT_END && (strlen(names[bit]) != len || strncmp(names[bit], name, len) != 0))
            bit++;
        if (bit == MD_BIT_END)
            return 0;
        bits |= (uint64_t)1 << bit;
        name += len + (name[len] == '+');
    }
    return bits;
}
