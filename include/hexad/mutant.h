/*
 * mutant.h - deliberately broken variants of the pure layers, to prove that the simulator's checkers see.
 *
 * X(name, option, pitfall, invariant, what is broken): OPTION is what `hexad-sim-mutants --mutant` takes, PITFALL
 * the number under which comments know the mistake, INVARIANT (doc/PROTOCOL.md) what is expected to catch it.
 *
 * HX_MUTANT(NAME) stands in the production code where that rule is kept, as a clause of its own.  It is the
 * constant false, so that nothing of it is left in the programs (tests/hardening.sh looks); only the libraries
 * that are compiled once more with HX_WITH_MUTANTS, which no installed program links, compare it with the one
 * mutant that the test program has selected.
 */
#ifndef HEXAD_MUTANT_H
#define HEXAD_MUTANT_H

#include <stdbool.h>

/* clang-format off */
#define HX_MUTANTS(X) \
    /* opening a volume */ \
    X(FENCE_AFTER_INVENTORY, "fence-after-inventory", 1, "I1", \
      "FENCE answers, but the promise is raised by later messages only") \
    X(FENCE_ONLY_PG0, "fence-only-pg0", 9, "I1", "groups other than 0 give an inventory without a promise") \
    X(READ_QUORUM_2, "read-quorum-2", 9, "I1", "two of six answers fence a group and deny a record") \
    X(CLAIM_AT_3, "claim-at-3", 2, "I3", "an epoch number is claimed with three grants") \
    X(OWNER_NOT_COMPARED, "owner-not-compared", 2, "I3", "an epoch number is granted to a second claimant") \
    X(PARENT_LOWEST, "parent-lowest", 6, "I1", "the lowest history of group 0's grants is bound, not the highest") \
    X(GEOMETRY_BEFORE_FENCE, "geometry-before-fence", 13, "I9", "the geometry known before the claim is bound") \
    X(HINT_IGNORED, "hint-ignored", 3, "I1", \
      "the walk begins at the parent's VDL, whatever is known as durable above") \
    X(UNION_UNFILTERED, "union-unfiltered", 15, "I1", "annulled records are in the union of inventories") \
    X(UNKNOWN_IS_NACK, "unknown-is-nack", 44, "I11", \
      "a member with a damaged record counts as one that never had it") \
    X(OPEN_AT_VCL, "open-at-vcl", 8, "I7", "VDL' is the last record of the walk, not the last CPL") \
    X(END_AS_PRINTED, "end-as-printed", 18, "I3", \
      "end' = VDL' + lal, whatever the parent's writer may have allocated") \
    X(REUSE_LSN, "reuse-lsn", 17, "I3", "end' = VDL': the LSNs after it are given out again") \
    X(NO_WRITE_BACK, "no-write-back", 5, "I1", "a record found on one copy is opened without being written back") \
    X(WRITE_BACK_AT_3, "write-back-at-3", 5, "I1", "three complete members of a group are enough to open") \
    X(REPAIR_ANNOUNCES, "repair-announces", 14, "I1", \
      "write-back announces VDL' as durable before the epoch is open") \
    X(OPEN_AT_3, "open-at-3", 6, "I3", "geometry and history on three of group 0 are enough to open") \
    /* what a segment may do */ \
    X(PROMISE_NOT_DURABLE, "promise-not-durable", 1, "I5", "FENCE is answered before the promise is on the disk") \
    X(HISTORY_NOT_DURABLE, "history-not-durable", 14, "I3", "ADOPT is answered before the history is on the disk") \
    X(APPEND_IGNORES_PROMISE, "append-ignores-promise", 11, "I2", \
      "APPEND of an older epoch than promised is taken and acknowledged") \
    X(ADOPT_IGNORES_PROMISE, "adopt-ignores-promise", 6, "I3", "ADOPT of an older epoch than promised is taken") \
    X(GEOMETRY_STEPS_BACK, "geometry-steps-back", 60, "I5", "a late GEOMETRY replaces a newer one") \
    X(SCL_OVER_HOLES, "scl-over-holes", 24, "I5", "the SCL is the largest LSN held") \
    X(SCL_UNFILTERED, "scl-unfiltered", 15, "I4", "annulled records count in the SCL") \
    X(ACK_HIGHEST, "ack-highest", 26, "I1", "an acknowledgement names the highest LSN held, not the SCL") \
    X(GOSSIP_ANNULLED, "gossip-annulled", 16, "I4", "gossip sends and takes annulled records, and they count") \
    X(DAMAGE_NOT_TOLD, "damage-not-told", 44, "I11", "damaged records are missing in the inventory, not unknown") \
    X(REPAIR_DAMAGED, "repair-damaged", 44, "I11", \
      "an answer to REPAIR does not tell that what ends it may be damage") \
    X(FETCH_UNVERIFIED, "fetch-unverified", 58, "I11", "records go to a peer as the disk gives them, unchecked") \
    X(READ_BEYOND_SCL, "read-beyond-scl", 32, "I6", \
      "READ at a point that the segment is not complete through is answered") \
    X(READ_BELOW_FLOOR, "read-below-floor", 36, "I6", "READ at a point whose versions are gone is answered") \
    X(INCARNATION_IGNORED, "incarnation-ignored", 46, "I1", \
      "a server whose disk was wiped passes for the one that was there") \
    /* a segment's disk */ \
    X(ACK_BEFORE_FLUSH, "ack-before-flush", 23, "I1", "records are acknowledged without a flush of the log") \
    X(FLUSH_RETRIED, "flush-retried", 42, "I12", \
      "a flush that failed is tried again, and the second result believed") \
    X(NOSPACE_IGNORED, "nospace-ignored", 47, "I1", "a write that found the disk full counts as done") \
    X(RESTART_TRUSTS_CACHE, "restart-trusts-cache", 12, "I5", \
      "a restart takes for durable what it read before any flush") \
    X(META_ONE_SLOT, "meta-one-slot", 60, "I5", "one of the two meta slots keeps its first content") \
    X(CHECKSUM_IGNORED, "checksum-ignored", 45, "I11", "the checksum of a frame's body is not looked at") \
    X(SUM_IGNORED, "sum-ignored", 45, "I11", "the checksum of a payload read from the disk is not looked at") \
    X(IDENTITY_UNCHECKED, "identity-unchecked", 45, "I11", \
      "a log entry counts wherever it stands and whatever it follows") \
    X(SIDECAR_UNCHECKED, "sidecar-unchecked", 45, "I11", "the checksum of a sidecar is not looked at") \
    X(TAIL_CUT_AT_DAMAGE, "tail-cut-at-damage", 43, "I11", "damage in the log passes for its torn end") \
    X(ANNOUNCE_ANY_TOP, "announce-any-top", 14, "I4", "an announcement counts under whatever history the segment has") \
    X(BLIND_IGNORED, "blind-ignored", 44, "I11", "a page is read though what was lost may have been about it") \
    X(IMAGE_ABOVE_HINT, "image-above-hint", 21, "I4", "pages are materialised above the highest VDL announced") \
    X(FLOOR_IGNORED, "floor-ignored", 35, "I10", "versions are pruned that read points above the floor need") \
    X(GC_BEFORE_ALL_HAVE, "gc-before-all-have", 35, "I10", "log files are deleted that some member still lacks") \
    X(DELETE_WITHOUT_BASE, "delete-without-base", 39, "I5", \
      "a log file is deleted before the base says what was in it") \
    X(DELETE_UNSIDED, "delete-unsided", 39, "I11", \
      "a log file is deleted before the one that its content was moved to has a sidecar") \
    X(MANY_AS_ONE, "many-as-one", 42, "I12", "of flushes at the same time the first one tells for all") \
    /* the writer */ \
    X(PGCL_AT_3, "pgcl-at-3", 25, "I1", "three copies make a record durable") \
    X(PGCL_FALLS, "pgcl-falls", 25, "I6", "what was durable in a group is so no longer when members forget it") \
    X(ACK_COUNTED_TWICE, "ack-counted-twice", 25, "I1", "a repeated acknowledgement counts for another member") \
    X(VDL_IS_VCL, "vdl-is-vcl", 62, "I5", "the VDL stops inside a mini-transaction") \
    X(VCL_ONE_PG, "vcl-one-pg", 62, "I1", "records of groups other than 0 count as complete at once") \
    X(CPL_EVERYWHERE, "cpl-everywhere", 62, "I7", "every record ends a mini-transaction") \
    X(LAL_IGNORED, "lal-ignored", 18, "I5", "more LSNs are allocated than the history allows") \
    X(LINK_NAMES_END, "link-names-end", 19, "I15", \
      "the first link of an epoch names its end, not the last survivor") \
    X(LINK_DROPPED, "link-dropped", 24, "I5", "frames do not name the record before them") \
    X(ANNOUNCE_LAST, "announce-last", 14, "I5", "the last LSN given out is announced as durable") \
    X(FENCED_IGNORED, "fenced-ignored", 10, "I2", "a writer that was told FENCED goes on") \
    X(GROWTH_UNPUBLISHED, "growth-unpublished", 59, "I9", \
      "a new group is used without its geometry being published") \
    X(GROWTH_AT_1, "growth-at-1", 59, "I9", "a geometry that one member stored counts as published") \
    X(GROWTH_UNMADE, "growth-unmade", 59, "I9", "a new group is published before its members made it") \
    /* cache, reader, waiting operations */ \
    X(READ_AT_MEMBER_SCL, "read-at-member-scl", 32, "I6", \
      "a read asks a member for what it has, not for the read point") \
    X(EVICT_ABOVE_VDL, "evict-above-vdl", 34, "I6", "pages whose last record is not durable leave the cache") \
    X(FILL_OVER_NEWER, "fill-over-newer", 37, "I6", "a late answer to READ replaces what was written meanwhile") \
    X(FSYNC_EARLY, "fsync-early", 63, "I1", "what waits for an LSN goes on at any VDL") \
    X(DURABLE_AT_ONCE, "durable-at-once", 69, "I1", "a barrier waits for nothing") \
    X(FENCED_BARRIER_OK, "fenced-barrier-ok", 10, "I13", "barriers that wait when the mount is fenced succeed") \
    X(FENCED_READS, "fenced-reads", 10, "I13", "operations of a fenced mount are tried") \
    /* moves */ \
    X(MOVE_BEFORE_COPIED, "move-before-copied", 56, "M1", "a learner is named before it is filled") \
    X(RETIRED_BEFORE_STORED, "retired-before-stored", 56, "M6", \
      "one member has stored a version: it is in use, and whom it replaces is deleted") \
    /* the filesystem */ \
    X(CREATE_IN_TWO, "create-in-two", 64, "I7", "inode and directory entry are two mini-transactions") \
    X(RENAME_IN_TWO, "rename-in-two", 64, "I7", "a rename takes the old name away before it makes the new one") \
    X(SIZE_AFTER_DATA, "size-after-data", 64, "I7", "data and size of a write are two mini-transactions") \
    X(SIZE_BEFORE_DATA, "size-before-data", 64, "I7", "the size of a write is set before its data") \
    X(ORPHAN_NOT_RECORDED, "orphan-not-recorded", 64, "I7", "a file whose last name went is not on the orphan list") \
    X(ORPHAN_REAPED_OPEN, "orphan-reaped-open", 70, "I7", "a file without a name is freed while it is open") \
    X(TRUNCATE_NO_WIPE, "truncate-no-wipe", 64, "I7", "a cut leaves the rest of the last page as it was") \
    X(FREED_NOT_ZEROED, "freed-not-zeroed", 64, "I7", "a page that is freed keeps its content") \
    X(BITMAP_LEAK, "bitmap-leak", 64, "I7", "a page that is freed stays marked as taken") \
    X(DOUBLE_ALLOCATION, "double-allocation", 64, "I7", "a page that is handed out is not marked as taken") \
    X(LINK_NOT_COUNTED, "link-not-counted", 64, "I7", "a second name does not count as a link")
/* clang-format on */

#define HX_MUTANT_ID(name, option, pitfall, invariant, text) HX_MUTANT_##name,
enum hx_mutant { HX_MUTANT_NONE, HX_MUTANTS(HX_MUTANT_ID) HX_MUTANT_END };
#undef HX_MUTANT_ID

#ifdef HX_WITH_MUTANTS
extern enum hx_mutant hx_mutant_selected; /* the program that links these libraries defines it */
#define HX_MUTANT(NAME) (hx_mutant_selected == HX_MUTANT_##NAME)
#else
#define HX_MUTANT(NAME) false
#endif

#endif
