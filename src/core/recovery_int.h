/*
 * recovery_int.h - what the files of recovery share.  Contract: hexad/recovery.h; law: doc/PROTOCOL.md.
 *
 *   recovery.c         attempts, states, events: who moves when
 *   recovery_msg.c     requests as bytes
 *   recovery_walk.c    steps 3 to 5: union, walk, decision
 *   recovery_lost.c    what an operator's word makes of a geometry
 *   recovery_repair.c  step 6: fetch, write back, laggards
 *   recovery_text.c    what is waited for, in words
 */
#ifndef HX_CORE_RECOVERY_INT_H
#define HX_CORE_RECOVERY_INT_H

#include "ask.h"

#include "hexad/quorum.h"
#include "hexad/recovery.h"

#define REC_BODY_BYTES (1u << 20) /* of records in a FETCH answer or a REPAIR, about */

/* A record's content on its way from a member that holds it to those that lack it. */
struct rec_data {
    uint64_t time_us; /* of the frame it came in */
    uint32_t page;
    uint16_t len;
    uint8_t kind;
    uint8_t payload[];
};

/* A record of the union that survives: above the start, at or below VDL'.  Its epoch is the parent's top. */
struct rec_entry {
    struct hx_lsn lsn, prev;
    uint32_t pg, sum, flags;
    hx_members held;       /* slots of its PG that hold it */
    hx_members bad;        /* of these: could not give it when asked */
    hx_members empty;      /* of these: answered without it */
    struct rec_data *data; /* owned; NULL until fetched */
};

enum rec_task { REC_TASK_MEMBER = 1, REC_TASK_FETCH, REC_TASK_META };

struct rec_member {
    struct hx_ask_task task;
    uint32_t pg;
    uint8_t slot;
    bool answered;    /* granted FENCE in this attempt; inv is its answer */
    bool refused;     /* PG 0: has granted this epoch number to another claimant */
    bool absent;      /* had no segment: was never made, or forgot it */
    bool parent_sent; /* has the parent history, or a higher one, as far as we know */
    bool scl_known;   /* has answered REPAIR */
    bool unsure;      /* and is damaged above that */
    struct hx_lsn scl; /* under H' */
    uint32_t batch_from, batch_to; /* entries of the REPAIR under way, within the PG's */
    struct hx_inventory inv;
};

struct rec_pg {
    struct rec_member m[HX_COPIES];
    struct hx_ask_task fetch;
    uint32_t index;
    uint8_t fetch_slot;  /* source of the FETCH under way or due */
    uint32_t fetch_at;   /* entry that it begins with */
    uint32_t fetch_done; /* every needed entry before this one has its data */
    struct hx_pg_members was; /* the row as it was found, before a word: it says what was acknowledged */
    bool ready;          /* enough answers to FENCE */
    bool complete;       /* enough members are complete through last */
    bool behind;         /* a member lacks something below the start: histories must agree for gossip */
    bool last_known;
    struct hx_lsn last;  /* last record <= VDL'; not known: highest SCL answered so far */
    struct rec_entry *entry; /* slice of the chain */
    uint32_t entry_count;
};

struct hx_recovery {
    struct hx_ask ask;
    enum hx_recovery_state state;
    int error;
    char why[256];
    uint64_t now_ms, seed, pause_until_ms; /* pause_until_ms: 0 when not between attempts */
    uint32_t attempts;
    struct hx_uuid first_owner, owner;
    struct hx_epoch epoch_seen, epoch;
    struct hx_geometry hint, geometry; /* geometry: decided in step 2 */
    struct hx_uuid *lost; /* an operator's word */
    uint32_t lost_count;
    struct hx_history parent, child;   /* H and H' */
    struct rec_pg **pgs;
    uint32_t pg_count, ready_count, complete_count;
    struct hx_lsn start, stop, vdl; /* of the walk */
    struct rec_entry *chain;        /* owned; by PG, then LSN */
    size_t chain_count;
    struct hx_frame_builder *builder;
    uint8_t *scratch; /* HX_FRAME_RAW_MAX */
    struct hx_ask_task meta[HX_COPIES]; /* GEOMETRY and ADOPT at PG 0 */
    hx_members meta_done;
    struct hx_recovery_result result;
};

static inline struct rec_member *rec_member_of(struct hx_ask_task *t)
{
    return HX_CONTAINER_OF(t, struct rec_member, task);
}

/* recovery.c */
void rec_fail(struct hx_recovery *r, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));
void rec_to_geometry(struct hx_recovery *r);
void rec_start_over(struct hx_recovery *r); /* all PGs are freed */
uint32_t rec_server_of(const struct hx_recovery *r, uint32_t pg, unsigned slot);
/* The row that counts: of the geometry that is bound, before that of the hint. */
const struct hx_pg_members *rec_row(const struct hx_recovery *r, uint32_t pg);
/* What says whether a record was acknowledged: the row as it was before this attempt's word, if there was one. */
static inline const struct hx_pg_members *rec_was(const struct hx_recovery *r, const struct rec_pg *p)
{
    return r->lost_count ? &p->was : rec_row(r, p->index);
}
static inline bool rec_is_member(const struct hx_recovery *r, uint32_t pg, unsigned slot)
{
    return hx_members_has(hx_row_slots(rec_row(r, pg)), slot);
}

/* recovery_msg.c: the request that the popped task stands for; errors as hx_ask_send. */
int rec_send(struct hx_recovery *r, struct hx_ask_task *t, struct hx_effect *ret);

/* recovery_lost.c: what a word makes of a geometry (D2).  HX_E_DATA_LOSS: of group *RET_PG too few are left. */
int rec_declare(const struct hx_recovery *r, struct hx_geometry *g, bool *ret_changed, uint32_t *ret_pg);
/* The same for one row of G: 1: it is declared now; 0: it stays as it is; HX_E_DATA_LOSS. */
int rec_declare_row(const struct hx_recovery *r, const struct hx_geometry *g, struct hx_pg_members *row);

/* recovery_walk.c: 0: start, vdl, child and the chain are decided; HX_E_AGAIN: more answers are needed; else failed. */
int rec_decide(struct hx_recovery *r);
/* SET without those of its members beyond the first two that had no segment (recovery.c R5). */
hx_members rec_evidence(const struct rec_pg *p, hx_members set);
bool rec_may_hold(const struct hx_inventory *v, struct hx_lsn lsn); /* has an UNKNOWN that could be it */
/* Whether enough of the PG's members surely never held the LSN. */
bool rec_denied(const struct hx_recovery *r, const struct rec_pg *p, struct hx_lsn lsn);
void rec_chain_free(struct hx_recovery *r);

/* recovery_repair.c */
void rec_repair_start(struct hx_recovery *r);
void rec_repair_late(struct hx_recovery *r, struct rec_member *m); /* its FENCE answer came after the decision */
void rec_repair_answer(struct hx_recovery *r, struct rec_member *m, const struct hx_ask_reply *reply);
void rec_fetch_answer(struct hx_recovery *r, struct rec_pg *p, const struct hx_ask_reply *reply);
bool rec_complete(const struct rec_pg *p, const struct rec_member *m);
static inline bool rec_lacks(const struct rec_member *m, const struct rec_entry *e)
{
    return !hx_members_has(e->held, m->slot);
}

#endif
