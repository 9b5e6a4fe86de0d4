/*
 * model.h - a small model of the protocol, to be searched whole: states, configurations, who calls whom.
 *
 * It is the text of doc/PROTOCOL.md with everything taken away that cannot matter to it: no bytes, no time,
 * no requests.  A state is what the members have on disk and how far each opening has come; a step is one
 * message taken by one member, or one decision of an opening.  Whatever was sent may arrive at any time and
 * any number of times, so slow, dead and frozen are the same thing, and an opening may die at every point.
 *
 *   config.c   configurations: how many members, openings, records, which membership changes
 *   state.c    what follows from a state: LSNs, validity, SCL, quorums; normal form (symmetry)
 *   steps.c    the steps of recovery and of the log          change.c  announced VDLs, damage, lost disks
 *   member.c   growth, membership, hydration, lost members   check.c   the invariants, after every step
 *   search.c   all states, breadth first                     walks.c   random walks, where there are too many
 *   words.c    a step in words                               quorums.c the algebra of quorums, all subsets
 *   mutants.c  rules broken on purpose
 *
 * Definitions.  Attempt: one epoch number with one owner; attempt 0 is epoch 1, open from the start.  A
 * history is named by the attempt whose entry is its top, for an attempt decides once.  Records are numbered
 * through all attempts (epoch by epoch, in the order of their LSNs); how many each attempt writes, to which
 * PG, and where its MTRs end is fixed by the configuration.  A "place" is a record's number plus one, 0:
 * before all. Memory: a state is a fixed array of words, copied by value.
 */
#ifndef HX_TESTS_MODEL_H
#define HX_TESTS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MD_ATTEMPTS 4
#define MD_RECORDS 12
#define MD_PGS 2
#define MD_SLOTS 14 /* members of all PGs */
#define MD_VERSIONS 8
#define MD_SUCC 400

/* ---- configurations ---- */

/* One version of the geometry and membership: how many PGs, and for each of them one list of members or two.
 * A version follows another one only if it has a higher number. */
struct md_view {
    unsigned pgs;
    unsigned lists[MD_PGS];   /* writes and claims need their quorum in each list; reads in the first */
    unsigned list[MD_PGS][2]; /* sets of slots */
    unsigned must; /* slots of PG 0 that every claim and every storing of it needs besides: survivors */
    unsigned w[MD_PGS], r[MD_PGS]; /* quorums, where they are others than the configuration's */
    unsigned to;                   /* versions that may follow; 0: the next one */
    unsigned left;                 /* slots of the moving PG that an operator's word says are all there is */
};

enum md_flag {
    MD_NO_HISTORY_GOSSIP = 1 << 0,
    MD_NO_GOSSIP = 1 << 1,
    MD_PARENT_ADOPT = 1 << 2, /* an opening gives laggards its parent history (step 6) */
    MD_HINTS = 1 << 3,        /* inventories begin at the highest VDL that was announced to the member */
    MD_PURGE = 1 << 4,   /* void records are removed once the epoch that voids them is known to be open */
    MD_DECLARE = 1 << 6, /* attempt 1 is an operator's "declare lost": it binds version 1 */
    MD_ROLLS = 1 << 8,   /* instead of being wiped, a disk comes back as an older image, under its old name */
    MD_RIVAL_DECLARE = 1 << 7, /* attempt 2, too, the other half: version 3 */
    MD_DIRECT = 1 << 9,  /* a change is one version; until it is stored, the writer counts by both */
    MD_HYDRATE = 1 << 10 /* who has nothing copies pages from peers */
};

struct md_cfg {
    const char *name, *about;
    unsigned n, w, r;              /* of one list */
    unsigned claim;                /* grants of PG 0; 0: w */
    unsigned attempts;             /* with attempt 0 */
    unsigned num[MD_ATTEMPTS];     /* epoch numbers, ascending; 0: 1, 2, 3... */
    const char *plan[MD_ATTEMPTS]; /* records: the digit of the PG, a dot after the last one of an MTR */
    unsigned lal;                  /* 0: no gap between epochs */
    unsigned flags, damage, wipes;
    unsigned pgs;           /* that ever exist */
    unsigned slots[MD_PGS]; /* members that ever exist; 0: n */
    unsigned versions;      /* 0: one, with all PGs and slots 0..n-1 */
    struct md_view view[MD_VERSIONS];
    unsigned moving;    /* PG whose members change */
    unsigned newcomers; /* slots of it that do not exist at first */
    unsigned weight;    /* 1: in make check; 2: check-model; 3: larger than that, to a bound */
};

extern const struct md_cfg md_configs[];
const struct md_cfg *md_config_find(const char *name);

/* ---- mutants: a bit each ---- */

#define MD_MUTANTS(X) /* identifier, name */                                                                 \
    X(INVENTORY_FIRST, "inventory-before-fence")                                                             \
    X(APPEND_PROMISE, "append-ignores-promise")                                                              \
    X(ADOPT_PROMISE, "adopt-ignores-promise")                                                                \
    X(REPAIR_PROMISE, "repair-ignores-promise")                                                              \
    X(NO_REPAIR, "no-write-back")                                                                            \
    X(LATE_REPAIR, "write-back-after-open")                                                                  \
    X(SHORT_REPAIR, "write-back-to-too-few")                                                                 \
    X(SHORT_OPEN, "open-with-too-few")                                                                       \
    X(SHORT_FENCE, "fence-too-few")                                                                          \
    X(FENCE_PG0, "fence-only-pg-0")                                                                          \
    X(SHORT_CLAIM, "claim-with-too-few")                                                                     \
    X(OWNER, "owner-not-compared")                                                                           \
    X(PROMISE_FENCE, "promise-raised-by-fence-only")                                                         \
    X(ADOPT_LOWER, "adopt-replaces-higher-history")                                                          \
    X(PARENT_FIRST, "history-ignored")                                                                       \
    X(UNION_RAW, "union-not-filtered")                                                                       \
    X(SCL_RAW, "scl-not-filtered")                                                                           \
    X(SCL_MAX, "scl-highest-held")                                                                           \
    X(VDL_VCL, "vdl-is-vcl")                                                                                 \
    X(ACK_RECORD, "ack-per-record")                                                                          \
    X(MAX_SCL, "recover-highest-scl")                                                                        \
    X(END_TEXT, "end-from-vdl-only")                                                                         \
    X(GEOMETRY_FIRST, "geometry-before-fence")                                                               \
    X(UNKNOWN_NACK, "unknown-counts-as-missing")                                                             \
    X(ADOPT_FIRST, "history-before-write-back")                                                              \
    X(NO_NEED_HISTORY, "need-history-dropped")                                                               \
    X(GOSSIP_PROMISE, "history-gossip-ignores-promise")                                                      \
    X(PURGE_ADOPT, "removal-at-adopt")                                                                       \
    X(GOSSIP_RAW, "gossip-not-filtered")                                                                     \
    X(LATE_FLUSH, "ack-before-flush")                                                                        \
    X(LATE_PROMISE, "promise-not-flushed")                                                                   \
    X(WIPED_VOTES, "wiped-member-votes")                                                                     \
    X(HINT_REPAIR, "repair-raises-hint")                                                                     \
    X(HINT_EARLY, "hint-above-vdl")                                                                          \
    X(HINT_NO_START, "walk-from-parent-cut")                                                                 \
    X(IDLE_DAMAGE, "damage-counts-in-idle-pg")                                                               \
    X(FENCE_READ, "fence-by-read-quorum")                                                                    \
    X(GROW_EARLY, "use-pg-before-published")                                                                 \
    X(SWAP_LITERAL, "swap-either-list-reads")                                                                \
    X(SWAP_UNHYDRATED, "swap-unhydrated")                                                                    \
    X(SWAP_ONE_STEP, "swap-in-one-step")                                                                     \
    X(SWAP_EARLY, "swap-counts-before-stored")                                                               \
    X(SWAP_OLD_ONLY, "swap-stored-by-old-list-only")                                                         \
    X(SWAP_NEW_ONLY, "swap-stored-by-new-list-only")                                                         \
    X(SWAP_STALE, "swap-claim-keeps-its-hint")                                                               \
    X(ADOPT_BARE, "adopt-without-geometry")                                                                  \
    X(DECLARE_FEW, "declare-stored-by-some-survivors")                                                       \
    X(DECLARE_ONCE, "declare-not-stored-again")                                                              \
    X(DECLARE_SHORT, "declare-fences-too-few")                                                               \
    X(DECLARE_CLAIM, "declare-claimed-without-survivors")                                                    \
    X(DECLARE_EMPTY, "declare-counts-empty-members")                                                         \
    X(MOVE_UNREADY, "move-before-copied")                                                                    \
    X(MOVE_BY_OLD, "move-counts-by-old-alone")                                                               \
    X(MOVE_BY_NEW, "move-counts-by-new-alone")                                                               \
    X(MOVE_TURN, "move-turns-before-stored")                                                                 \
    X(FORMAT_BARE, "format-without-geometry")                                                                \
    X(FORMAT_EARLY, "format-without-history")                                                                \
    X(HYDRATE_TAIL, "hydrate-above-durable")                                                                 \
    X(HYDRATE_MIXED, "hydrate-at-two-points")                                                                \
    X(HYDRATE_HALF, "hydrate-counts-half-way")                                                               \
    X(HYDRATE_LAGGARD, "hydrate-from-laggard")                                                               \
    X(NAME_UNHEARD, "names-who-has-not-answered")                                                            \
    X(RETIRE_EARLY, "retired-before-stored")                                                                  \
    X(RETIRED_WIPED, "retired-member-starts-anew")

enum md_mutant_bit {
#define X(id, name) MD_BIT_##id,
    MD_MUTANTS(X)
#undef X
        MD_BIT_END
};
#define MD_MUT(c, id) (((c)->mut >> MD_BIT_##id & 1) != 0)

/* Broken on purpose, where it must be seen, and by what.  Without an invariant: known to do no harm there by
 * itself. */
struct md_mutant {
    const char *name; /* a rule's, or several joined by '+'; "none": the configuration itself must fail */
    const char *config;
    const char
        *caught; /* names of invariants of which one must be broken; NULL: none, the search must end clean */
    unsigned depth;   /* of the shortest counterexample */
    bool heavy;       /* left to make check-model */
    const char *walk; /* walks with six members that see it, too; NULL: not tried */
    unsigned walks;   /* the first one, of those from seed 1 on */
    const char *about;
};
extern const struct md_mutant md_mutants[];
/* The bits of a name, or of several joined by '+'; 0: unknown. */
uint64_t md_mutant_bits(const char *name);
const char *md_mutant_rule(unsigned bit);

/* ---- states ---- */

/* A member: one word. */
#define MD_FIELD(type, name, shift, bits)                                                                    \
    static inline unsigned name(type w)                                                                      \
    {                                                                                                        \
        return (unsigned)(w >> (shift) & ((1u << (bits)) - 1));                                              \
    }                                                                                                        \
    static inline type name##_set(type w, unsigned v)                                                        \
    {                                                                                                        \
        return (type)((w & ~((type)((1u << (bits)) - 1) << (shift))) | (type)v << (shift));                  \
    }
MD_FIELD(uint64_t, md_promise, 0, 3)  /* attempt */
MD_FIELD(uint64_t, md_hist, 3, 3)     /* attempt */
MD_FIELD(uint64_t, md_held, 6, 12)    /* set of records on disk */
MD_FIELD(uint64_t, md_unknown, 18, 4) /* place of a damaged one */
MD_FIELD(uint64_t, md_hint, 22, 4)    /* place: highest VDL announced */
MD_FIELD(uint64_t, md_geo_by, 46, 3)  /* PG 0: attempt that wrote the geometry it has */
MD_FIELD(uint64_t, md_geo, 49, 3)     /* PG 0: its version */
MD_FIELD(uint64_t, md_absent, 52, 1)  /* not made yet */
MD_FIELD(uint64_t, md_lost, 53, 1)    /* wiped: its incarnation never answers again */
MD_FIELD(uint64_t, md_rolled, 54, 1)  /* its disk came back as an older image */
MD_FIELD(uint64_t, md_base, 55, 4)    /* place: it has the pages as of here, copied from peers */
MD_FIELD(uint64_t, md_point, 59, 4)   /* place that it is copying pages of: */
MD_FIELD(uint64_t, md_half, 63, 1)    /* it has the first half of them */

/* Per attempt: 4 bits of what it knows of the member (CLAIM: the damage in its inventory; REPAIR: the SCL
 * that it answered; OPEN: the SCL acknowledged; all as places), and whether it counts for the present step.
 */
static inline unsigned md_rep(uint64_t w, unsigned a)
{
    return (unsigned)(w >> (26 + 4 * a) & 15);
}
static inline uint64_t md_rep_set(uint64_t w, unsigned a, unsigned v)
{
    return (w & ~((uint64_t)15 << (26 + 4 * a))) | (uint64_t)v << (26 + 4 * a);
}
static inline unsigned md_done(uint64_t w, unsigned a)
{
    return (unsigned)(w >> (42 + a) & 1);
}
static inline uint64_t md_done_set(uint64_t w, unsigned a, unsigned v)
{
    return (w & ~((uint64_t)1 << (42 + a))) | (uint64_t)v << (42 + a);
}

/* An attempt: half a word. */
enum md_status { MD_CLAIM, MD_REPAIR, MD_GEOMETRY, MD_ADOPT, MD_OPEN };
MD_FIELD(uint32_t, md_status, 0, 3)
MD_FIELD(uint32_t, md_parent, 3, 3)  /* attempt; CLAIM: of the grants so far */
MD_FIELD(uint32_t, md_vdl, 6, 4)     /* place: VDL'; CLAIM: highest hint in the answers so far */
MD_FIELD(uint32_t, md_union, 10, 12) /* records of the inventories; later those that are written back */
MD_FIELD(uint32_t, md_acked, 22, 3)  /* OPEN: how many of its records the VDL has passed */
MD_FIELD(uint32_t, md_ver, 25, 3)    /* geometry version bound, or in use */
MD_FIELD(uint32_t, md_ver_by, 28, 3) /* CLAIM: attempt that wrote it; OPEN and publishing: the version */
MD_FIELD(uint32_t, md_flag, 31,
         1) /* CLAIM: enough grants, geometry and history are fixed; OPEN: publishing */

/* The rest: half a word. */
MD_FIELD(uint32_t, md_broken, 0, 4) /* a step that must not happen: enum md_break */
MD_FIELD(uint32_t, md_damages, 4, 2)
MD_FIELD(uint32_t, md_wipes, 6, 2)
MD_FIELD(uint32_t, md_early, 8, 2) /* geometry-before-fence: the version read, plus one */
MD_FIELD(uint32_t, md_early_by, 10, 3)
enum md_break { MD_FINE, MD_WEDGED, MD_LOSS_CLAIMED, MD_BEYOND, MD_SHORT };

struct md_state {
    uint32_t a[MD_ATTEMPTS];
    uint32_t world;
    uint64_t m[MD_SLOTS];
};
#define MD_WORDS(c) (3 + (c)->slot_count) /* of a state that are in use */

enum md_kind {
    MD_S_START,
    MD_S_FENCE,
    MD_S_FENCE_LATE,
    MD_S_INVENTORY,
    MD_S_DECIDE,
    MD_S_REPAIR,
    MD_S_PARENT,
    MD_S_GEOMETRY,
    MD_S_ADOPT,
    MD_S_APPEND,
    MD_S_RECORD,
    MD_S_HISTORY,
    MD_S_ANNOUNCE,
    MD_S_PURGE,
    MD_S_DAMAGE,
    MD_S_CRASH,
    MD_S_WIPE,
    MD_S_ROLLBACK,
    MD_S_READ_GEOMETRY,
    MD_S_PUBLISH,
    MD_S_FORMAT,
    MD_S_HALF,
    MD_S_HYDRATED,
    MD_S_RETIRE,
    MD_S_END
};
struct md_step {
    uint8_t kind, a, pg, slot, rec;
};

/* What follows from the attempts of a state alone. */
struct md_facts {
    unsigned valid[MD_ATTEMPTS]; /* records that are valid under this history; its own epoch's whole plan */
    unsigned log[MD_ATTEMPTS];   /* decided: those at or below its VDL' */
    unsigned end[MD_ATTEMPTS];
    unsigned lsn[MD_RECORDS + 1]; /* by place; 0 where the epoch has none yet */
    bool decided[MD_ATTEMPTS];
};

struct md_ctx {
    const struct md_cfg *cfg;
    uint64_t mut;
    unsigned num[MD_ATTEMPTS], base[MD_ATTEMPTS], count[MD_ATTEMPTS], recs[MD_ATTEMPTS]; /* recs: set */
    unsigned rec_count, pg_mask[MD_PGS], cpl_mask, rec_pg[MD_RECORDS], rec_by[MD_RECORDS];
    unsigned slot_count, first[MD_PGS], slots[MD_PGS], class_of[MD_SLOTS], versions;
    struct md_view view[MD_VERSIONS];
    struct md_facts f; /* of the state being expanded or checked */
    uint32_t facts_of[MD_ATTEMPTS];
    bool facts_known;
    bool plain; /* without reduction N2, to see that it changes nothing but numbers */
    struct md_state succ[MD_SUCC];
    struct md_step step[MD_SUCC];
    unsigned succ_count;
    char names[MD_SLOTS + 1]; /* of the members, by slot, as the words have them */
};

/* state.c */
int md_ctx_init(struct md_ctx *c, const struct md_cfg *cfg, uint64_t mut);
void md_state_first(const struct md_ctx *c, struct md_state *s);
const struct md_facts *md_facts(struct md_ctx *c, const struct md_state *s); /* into c->f */
unsigned md_scl(const struct md_ctx *c, const struct md_facts *f, unsigned hist, unsigned held, unsigned pg);
/* The same of a member, whose copied pages stand for the records below them. */
unsigned md_scl_of(const struct md_ctx *c, const struct md_facts *f, unsigned hist, uint64_t m, unsigned pg);
unsigned md_lsn_of(const struct md_facts *f, unsigned place);
unsigned md_vdl_place(const struct md_ctx *c, const struct md_state *s, unsigned a); /* of an open attempt */
unsigned md_exposed(const struct md_ctx *c, const struct md_facts *f, const struct md_state *s, unsigned a);
bool md_write_quorum(const struct md_ctx *c, unsigned pg, unsigned ver, unsigned set);
bool md_read_quorum(const struct md_ctx *c, unsigned pg, unsigned ver, unsigned set);
/* BY: the attempt that claims. */
bool md_claim_quorum(const struct md_ctx *c, unsigned ver, unsigned set, unsigned by);
bool md_store_quorum(const struct md_ctx *c, unsigned ver, unsigned set); /* of a geometry, on PG 0 */
bool md_denied(const struct md_ctx *c, unsigned pg, unsigned ver, unsigned nack);
unsigned md_declared(const struct md_ctx *c, unsigned a); /* the version that A declares, or 0 */
/* Sorts like members; PERM (may be NULL): new place -> old place. */
void md_normal(const struct md_ctx *c, struct md_state *s, unsigned *perm);
/* After a step that touched SLOT (-1: all): acknowledgements count at once; what cannot matter any more is
 * zeroed. */
void md_settle(struct md_ctx *c, struct md_state *s, int slot);
static inline unsigned md_below(unsigned place) /* set of the records at or below it */
{
    return (1u << place) - 1;
}
static inline unsigned md_top(unsigned set) /* place of the highest */
{
    return set ? 32u - (unsigned)__builtin_clz(set) : 0;
}

/* steps.c */
void md_expand(struct md_ctx *c, const struct md_state *s);     /* all successors in normal form, into c */
void md_expand_raw(struct md_ctx *c, const struct md_state *s); /* the same, members where they were */
void md_emit(struct md_ctx *c, struct md_state *t, struct md_step step, int slot);
bool md_accepts(const struct md_ctx *c, uint64_t member, unsigned a); /* rule 0 */
/* M with the geometry VER that attempt BY wrote, if that is newer than its own. */
uint64_t md_take_geometry(const struct md_ctx *c, uint64_t m, unsigned by, unsigned ver);
uint64_t md_raise(const struct md_ctx *c, uint64_t member, unsigned a);
/* What an opening finds in SET answers: place of the VDL, or a md_break below 0. */
struct md_answers {
    unsigned set[MD_PGS];        /* who answered */
    unsigned damaged[MD_PGS][8]; /* place of the damage in the answer */
    unsigned parent, ver, start, found;
};
enum { MD_WAIT = -100 };
int md_walk(const struct md_ctx *c, const struct md_facts *f, const struct md_state *s,
            const struct md_answers *v, unsigned *ret_start);
bool md_active(uint64_t member); /* exists, and may answer */

/* change.c, member.c */
void md_change_expand(struct md_ctx *c, const struct md_state *s);
void md_member_expand(struct md_ctx *c, const struct md_state *s);
/* Slots of PG that version VER names. */
unsigned md_listed(const struct md_ctx *c, unsigned pg, unsigned ver);
/* The version that open attempt A is storing, or 0. */
unsigned md_target(const struct md_ctx *c, const struct md_state *s, unsigned a);
/* The versions that may follow VER. */
unsigned md_next_of(const struct md_ctx *c, unsigned ver);

/* check.c: NULL, or the name of what is broken, and why. */
const char *md_check(struct md_ctx *c, const struct md_state *s, char *why, size_t why_size);

/* words.c: members by their letters (c->names). */
void md_words_step(struct md_ctx *c, const struct md_state *before, const struct md_state *after,
                   const struct md_step *step, char *out, size_t size);
void md_words_state(struct md_ctx *c, const struct md_state *s);
const char *md_words_set(const struct md_ctx *c, unsigned pg, unsigned set,
                         char *out); /* OUT: MD_SLOTS + 1 */

/* search.c, walks.c */
struct md_limits {
    uint64_t states, bytes;
    double seconds;
    bool quiet;
};
struct md_result {
    const char *broken; /* invariant, or NULL */
    char why[256];
    uint64_t states, steps;
    unsigned depth; /* of the search, or of the counterexample */
    bool whole;     /* every state that can be reached was seen */
    double seconds, cpu;
    uint64_t bytes, walks;
};
int md_search(struct md_ctx *c, const struct md_limits *limits,
              struct md_result *ret); /* -1: out of memory */
void md_walks(struct md_ctx *c, uint64_t walks, uint64_t seed, const struct md_limits *limits,
              struct md_result *ret);

/* quorums.c: number of cases, or 0 when a law does not hold; prints what it found. */
int md_quorums(bool quiet, uint64_t *ret_cases);

#endif
