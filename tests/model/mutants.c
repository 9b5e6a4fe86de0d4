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
    {"inventory-before-fence", "three", "I1", 7, false, "six-walk", 9,
     "a zombie completes a quorum between inventory and fence"},
    {"append-ignores-promise", "three", "I1", 5, false, "six-walk", 3,
     "a zombie acknowledges after the decision"},
    {"adopt-ignores-promise", "three", "I1 I3 I4", 14, false, "six-walk", 6,
     "a late ADOPT completes an opening after a higher FENCE: two open writers"},
    {"repair-ignores-promise", "three", "I1 WEDGE", 10, false, NULL, 0,
     "a write back is counted that a later inventory never saw"},
    {"no-write-back", "three", "I1 WEDGE", 5, false, "six-walk", 3,
     "a record on one copy is shown; other survivors lack it"},
    {"write-back-after-open", "three", "I1 WEDGE", 5, false, "six-walk", 3,
     "the same until it is written back"},
    {"write-back-to-too-few", "four-small", "I1 WEDGE", 8, false, "six-walk", 32,
     "W - 1 copies of what is shown"},
    {"open-with-too-few", "four-small", "I1 I3 I4", 18, false, "six-walk", 97,
     "the next claim misses the history"},
    {"fence-too-few", "four-pgs", "I1", 8, false, "six-walk", 7, "a write quorum without a fenced member"},
    {"fence-only-pg-0", "two-pgs", "I1", 9, false, "six-walk", 7,
     "a zombie completes in PG 1, whose inventory was taken"},
    {"fence-by-read-quorum", "four-pgs", NULL, 0, false, NULL, 0,
     "three answers of a group are enough, unless a disk forgets"},
    {"fence-by-read-quorum", "four-rolled-back-pg1", "I1", 10, false, NULL, 0,
     "a rolled-back disk among three answers hides an acknowledged record"},
    {"claim-with-too-few", "four-rivals", "I1 I3 I4", 17, false, "six-walk-rivals", 1356,
     "two owners of one epoch"},
    {"claim-with-too-few", "four-rolled-back", "I1 I3 I4", 7, false, NULL, 0,
     "a rolled-back disk hides what the claim should find"},
    {"owner-not-compared", "three-rivals", "I1 I3 I4", 14, false, "six-walk-rivals", 310,
     "two owners of one epoch"},
    {"promise-raised-by-fence-only", "three-rivals", NULL, 0, false, NULL, 0,
     "the order of histories stands behind it"},
    {"adopt-replaces-higher-history", "three", NULL, 0, false, NULL, 0, "the promise stands behind it"},
    {"promise-raised-by-fence-only+adopt-replaces-higher-history", "three-rivals", "I1", 14, false,
     "six-walk", 1274, "an old ADOPT replaces a newer history (F2)"},
    {"history-ignored", "three", "I1", 12, false, "six-walk", 1, "records of epoch 2 are void in epoch 3"},
    {"union-not-filtered", "three", "I1", 10, false, "six-walk", 51,
     "an annulled record fills the run, an acknowledged one is left out"},
    {"scl-not-filtered", "three", "I6", 10, false, "six-walk", 4, "void records in a page"},
    {"scl-highest-held", "three", "I6", 2, false, NULL, 0, "a hole in a page"},
    {"vdl-is-vcl", "three-mtr", "I5", 2, false, "six-walk", 1, "half an MTR"},
    {"ack-per-record", "three-small", NULL, 0, false, NULL, 0, "the union of inventories stands behind it"},
    {"recover-highest-scl", "three-small", NULL, 0, false, NULL, 0, "counting by SCL stands behind it"},
    {"ack-per-record+recover-highest-scl", "three", "I1", 7, false, NULL, 0,
     "pitfall 3: each record on a quorum, no member with all of them"},
    {"end-from-vdl-only", "three", "I3", 14, false, "six-walk", 2, "an LSN is allocated twice (F1)"},
    {"geometry-before-fence", "grow", "I1", 10, false, NULL, 0, "the new PG is never asked (F3)"},
    {"use-pg-before-published", "grow", "I1", 5, false, NULL, 0, "the same"},
    {"unknown-counts-as-missing", "four-damage", "I1", 4, false, NULL, 0,
     "a damaged copy helps to annul an acknowledged record (F7)"},
    {"history-before-write-back", "three", "I1 WEDGE", 5, false, NULL, 0,
     "a history is bound whose records are nowhere (F10)"},
    {"need-history-dropped", "three", NULL, 0, true, NULL, 0, "the gap between epochs stands behind it"},
    {"need-history-dropped", "three-no-gap", "I1", 10, false, NULL, 0,
     "a member without the history counts a void record with the same LSN"},
    {"gossip-not-filtered", "three-small", NULL, 0, false, NULL, 0, "SCL and recovery filter"},
    {"removal-at-adopt", "three-small", NULL, 0, false, NULL, 0,
     "the promise of every message stands behind it"},
    {"history-gossip-ignores-promise", "three-small", NULL, 0, false, NULL, 0,
     "nothing is removed before the epoch is open"},
    {"history-gossip-ignores-promise+removal-at-adopt", "three-small", "I1 WEDGE", 14, false, NULL, 0,
     "records are removed for an opening that never opens (F11)"},
    {"ack-before-flush", "three-wiped", "I1", 3, false, NULL, 0, "a power cut takes what was acknowledged"},
    {"promise-not-flushed", "three-wiped", "I1", 6, false, NULL, 0, "a restart forgets the fence"},
    {"wiped-member-votes", "three-wiped", "I1", 3, false, NULL, 0,
     "an empty disk under its old name says \"never had it\""},
    {"repair-raises-hint", "three-hints", "I11", 10, false, NULL, 0,
     "the VDL of an opening that never opens passes for durable"},
    {"hint-above-vdl", "three-hints", "I11", 6, false, NULL, 0, "what was only sent passes for durable"},
    {"walk-from-parent-cut", "three-hints", "I1", 3, false, NULL, 0,
     "records below the hints are in no inventory"},
    {"damage-counts-in-idle-pg", "three-hints-damage", "I11", 9, false, NULL, 0,
     "a damaged copy and a laggard say that an idle PG ends before a durable record"},
    {"swap-either-list-reads", "swap", "I1", 6, false, "six-walk-swap", 9,
     "the read set that the 2018 paper prints"},
    {"swap-either-list-reads", "swap-pg1", "I1", 5, false, NULL, 0, "the same in another PG"},
    {"swap-unhydrated", "swap", "I1", 8, false, NULL, 0,
     "the newcomer counts before it holds what was acknowledged"},
    {"swap-unhydrated", "swap-pg1", "I1", 8, false, NULL, 0, "the same in another PG"},
    {"swap-in-one-step", "swap", "I1", 5, false, "six-walk-swap", 9, "pitfall 52"},
    {"swap-counts-before-stored", "swap-pg1", "I1", 7, false, NULL, 0,
     "the writer counts by the new list before recovery can know it"},
    {"swap-stored-by-new-list-only", "swap", "I1", 9, false, NULL, 0,
     "claims of the old list do not see the change"},
    {"swap-claim-keeps-its-hint", "swap", "I1", 12, false, NULL, 0,
     "a claim that finds a newer list goes on with the old one"},
    {"move-before-copied", "move-small", "I1", 8, false, NULL, 0,
     "what only the retired member and its quorum have is not asked for any more"},
    {"move-before-copied", "degrade-pg1", "I1", 4, false, NULL, 0, "two of the four that are left have nothing"},
    {"move-counts-by-old-alone", "move-small", "I1", 8, false, NULL, 0,
     "a version on one member of PG 0 is bound while the writer counts by the one before"},
    {"move-counts-by-new-alone", "move-small", "I1", 5, false, NULL, 0,
     "the version before is bound while the writer counts by the new one"},
    {"move-turns-before-stored", "move-pg1-fork", "I1", 8, false, NULL, 0,
     "two versions in the air, the writer counts by one of them"},
    {"adopt-without-geometry", "move-small", "I1 WEDGE", 15, false, NULL, 0,
     "a history is known, its members are not"},
    {"names-who-has-not-answered", "degrade-pg1", "I8", 22, false, NULL, 0,
     "a fenced writer's late word deletes a member that was just taken back"},
    {"retired-before-stored", "degrade-pg1", "I8", 2, false, NULL, 0, "a loss that nobody suffered"},
    {"retired-member-starts-anew", "move-chain-1", "I1", 17, false, NULL, 0,
     "retired members, made anew, are a claim of an old list"},
    {"swap-stored-by-new-list-only", "move-small", NULL, 0, true, NULL, 0,
     "where one member changes, write quorums of both lists meet"},
    {"swap-stored-by-old-list-only", "move-small", NULL, 0, true, NULL, 0, "the same"},
    {"swap-claim-keeps-its-hint", "move-small", NULL, 0, true, NULL, 0, "the same"},
    {"format-without-history", "move-small", NULL, 0, true, NULL, 0, "a newcomer is a laggard like any other"},
    {"format-without-geometry", "move-small", NULL, 0, true, NULL, 0, "the same"},
    {"none", "move-two", "I1", 20, true, NULL, 0, "not a rule: two members of PG 0 in one version; claims do not meet"},
    {"hydrate-above-durable", "hydrate-small", "I6", 13, false, NULL, 0, "annulled records in copied pages"},
    {"hydrate-at-two-points", "hydrate-small", "I6", 14, false, NULL, 0,
     "half of the pages as of an earlier point, taken for the later one"},
    {"hydrate-counts-half-way", "hydrate-small", "I6", 6, false, NULL, 0, "the other half is missing"},
    {"hydrate-from-laggard", "hydrate-pg1", "I6", 6, false, NULL, 0,
     "who has heard of the point is not complete through it"},
    {"declare-fences-too-few+fence-too-few", "declare-small", "I1", 5, false, NULL, 0,
     "the old writer goes on with those who were declared lost"},
    {"declare-fences-too-few+fence-too-few", "declare-pg1", "I1", 8, false, NULL, 0, "the same in another PG"},
    {"declare-fences-too-few+fence-too-few", "declare-shrink", "I1", 5, false, NULL, 0,
     "the same where those that are left go on alone"},
    {"declare-fences-too-few", "declare-pg1", NULL, 0, true, NULL, 0,
     "the walk's denials stand behind it: three of four have not answered"},
    {"declare-counts-empty-members", "declare-pg1", NULL, 0, true, NULL, 0,
     "who was never made does not answer (an opening that makes it is another matter: R5)"},
    {"declare-stored-by-some-survivors", "declare-small", "I1", 13, false, NULL, 0,
     "a claim of the old list overlooks the declaration"},
    {"declare-not-stored-again", "declare-small", "I1", 21, true, NULL, 0,
     "the same after an attempt that died while declaring"},
    {"declare-claimed-without-survivors", "declare-small", "I1", 21, true, NULL, 0,
     "a half-stored declaration is claimed by one survivor and two empty newcomers"},
    {"declare-counts-empty-members", "declare-small", "I1 WEDGE", 17, false, NULL, 0,
     "replacements count before they are filled"},
    {"none", "declare-twice", "I1", 16, true, NULL, 0,
     "not a rule: two operators declare the other half lost; nothing can hold then"},
    {"adopt-without-geometry", "swap-pg1", NULL, 0, true, NULL, 0,
     "in a plain swap both lists stand behind it"},
    {"adopt-without-geometry", "declare-small", "I1 WEDGE", 11, false, NULL, 0,
     "a history is known where the declaration that it was opened under is not"},
    {NULL, NULL, NULL, 0, false, NULL, 0, NULL},
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
