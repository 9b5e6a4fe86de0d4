/*
 * oracle_int.h - what the files of the oracle share (oracle.h says what it judges).
 *
 *   oracle.c          sessions: opened, writer, durable, filled          oracle_log.c   records, frames,
 * APPEND oracle_attempt.c  openings: FENCE, REPAIR, ADOPT; who is bound       oracle_page.c  versions of
 * pages, folds oracle_answer.c   what servers answer: acks, reads, inventories      oracle_seg.c   what
 * segments hold oracle_end.c      the end                                            oracle_util.c histories,
 * sets, memory
 *
 * Words.  Attempt: one (epoch, owner).  Bound: four members of PG 0 answered ADOPT of its history; every
 * later opening must continue it.  Opened: a session said so.  Committed: LSN that four members of every PG
 * hold, by their answers. Cut of an epoch: the vdl of the next opened one; what it has above that is
 * annulled. Memory: everything is owned by the oracle until hx_oracle_free; payloads lie in an arena that
 * only grows.
 */
#ifndef HX_SIM_ORACLE_INT_H
#define HX_SIM_ORACLE_INT_H

#include "hexad/codec.h"
#include "hexad/crc.h"
#include "hexad/frame.h"
#include "hexad/msg.h"
#include "oracle.h"

#define OC_SERVERS 64u /* most that there may be: sets of them are u64 */
#define OC_NONE UINT32_MAX
#define OC_PRESENT 0x80u /* flag of a record that was written */

struct oc_rec { /* of an epoch; index = LSN - end - 1 */
    uint64_t prev;
    const uint8_t *payload;
    uint32_t pg, page, frame;
    uint16_t len;
    uint8_t kind, flags;
};
struct oc_frame {               /* as first sent */
    uint64_t first, last, mark; /* mark: crc of head and body */
};
struct oc_pg_acks {                      /* of one PG in one epoch */
    uint64_t scl[OC_SERVERS], pgcl; /* by server, whichever version names it */
    uint64_t last;                  /* newest record that was sent */
};
struct oc_epoch { /* an opened one */
    uint64_t epoch, vdl0, end, lal;
    uint32_t client;
    struct hx_history h;
    struct hx_geometry g;
    struct oc_rec *recs;
    size_t rec_count, rec_cap; /* up to the highest that was sent */
    struct oc_frame *frames;
    size_t frame_count, frame_cap;
    struct oc_pg_acks *pgs; /* g.pg_count of them */
    size_t pg_cap;
    uint64_t walked, vdl;  /* committed: all, CPLs */
    uint64_t cut, ceiling; /* vdl and end of the next opened epoch; UINT64_MAX: none yet */
    uint64_t told, floor;  /* highest VDL and floor that it announced */
};
struct oc_fence {
    uint64_t req_id;
    uint32_t pg;
};
struct oc_inventory { /* an answer to FENCE, as the client got it */
    uint32_t pg, server;
    struct hx_inventory v;
};
struct oc_told { /* what an answer to FENCE says of how far the member is, where nothing is damaged */
    uint64_t through;     /* 1 + the SCL; 0: it says nothing */
    uint64_t last, epoch; /* of the highest record that it holds above its hint; epoch 0: there is none */
};
struct oc_attempt {
    uint64_t epoch;
    struct hx_uuid owner;
    bool decided, bound, told; /* told: H' was sent to be kept */
    uint64_t hash;             /* of the bytes of its H' */
    struct hx_history h;       /* H' */
    uint32_t client;
    struct oc_fence *asked; /* FENCE requests that it sent */
    size_t asked_count, asked_cap;
    uint64_t *heard; /* by PG: servers whose FENCE answers its client has got */
    size_t heard_count, heard_cap;
    uint64_t *absent; /* by PG: servers that said to it that they have no such segment */
    size_t absent_count, absent_cap;
    struct oc_inventory *inv; /* until it has decided */
    size_t inv_count, inv_cap;
    uint64_t parent;       /* highest top among the first four of PG 0 */
    uint64_t parent_least; /* among as many as the least write quorum is */
    uint64_t adopted;   /* servers that answered ADOPT(H') in PG 0 */
    uint64_t *complete; /* [pg * OC_SERVERS + server]: 1 + the SCL that REPAIR was answered with */
    size_t pg_count, pg_cap;
    struct oc_told *inventory; /* [pg * OC_SERVERS + server]: of its answer to FENCE */
    size_t inventory_cap;
    struct hx_geometry g; /* that it sent with GEOMETRY */
};
struct oc_growth { /* a geometry on its way to be published */
    struct hx_geometry g;
    uint64_t stored; /* servers of PG 0 */
    bool published;
};
struct oc_ver {
    uint64_t lsn;
    const uint8_t *payload;
    uint16_t len;
    uint8_t kind;
};
#define OC_MARK_EVERY 64u
struct oc_page {
    struct oc_ver *v;
    uint32_t count, cap;
    uint32_t image_at; /* IMAGE is the page as of v[image_at]; OC_NONE: there is none */
    uint8_t *image;
    uint8_t **marks; /* marks[i]: as of v[(i + 1) * OC_MARK_EVERY - 1]; NULL: not made */
    uint32_t mark_count;
};
struct oc_pg { /* of the volume */
    struct oc_page **pages;
    uint64_t page_count;
    uint64_t *log; /* LSNs of its official records, ascending */
    size_t log_count, log_cap;
    uint64_t formatted; /* servers that answered FORMAT well */
};
struct oc_seg {       /* of one server */
    bool seen, fresh; /* fresh: not looked at since the restart */
    bool exists, failed, lied;
    bool retired;      /* a tombstone */
    uint64_t had;       /* what it held in the lives before */
    uint64_t filled_from; /* its oldest read point then: higher where the point moved down meanwhile (fill.c H1) */
    uint64_t filled_at; /* as of which its pages were copied when it was a learner: it never had older ones */
    uint64_t life;     /* which of those that follow each other here */
    uint64_t began_us; /* when it was first seen */
    uint64_t answered_promise, answered_top, acked; /* what it must keep */
    uint64_t acked_epoch;                           /* under which it did that */
    uint64_t fence_epoch;                           /* of its newest grant, and to whom */
    struct hx_uuid fence_owner;
    uint64_t repaired,
        repaired_epoch; /* it said that it is complete to here, under the history of that opening */
    uint64_t g_epoch;   /* its geometry: version */
    uint32_t g, m;
    struct hx_segment_look was;
    struct hx_history h;          /* as of the last look */
    struct hx_segment_look again; /* before a duplicate */
    uint64_t again_top;
};
#define OC_LIVES 8u
struct oc_server {
    struct hx_node *node;
    uint8_t incarnation[16];      /* in its last answer */
    uint8_t was[OC_LIVES][16];    /* those before, each ended by a wipe */
    unsigned was_count;
    uint64_t changes;
    struct oc_seg *segs; /* by PG */
    size_t seg_count, seg_cap;
};
struct oc_client {
    uint64_t epoch, vdl, vcl, last;
};
struct oc_chunk {
    struct oc_chunk *next;
    size_t used, cap;
    uint8_t bytes[];
};
struct hx_oracle {
    struct hx_sim *s;
    struct oc_chunk *arena;
    struct oc_epoch **epochs; /* ascending */
    size_t epoch_count, epoch_cap;
    struct oc_attempt **attempts; /* in the order in which they were first heard of */
    size_t attempt_count, attempt_cap;
    struct oc_attempt *bound; /* the highest that is bound */
    struct oc_growth **growths;
    size_t growth_count, growth_cap;
    struct oc_pg *pgs;
    size_t pg_count, pg_cap;
    uint64_t pg_pages;
    uint32_t published; /* PGs of the newest geometry that is published */
    struct oc_server *servers;
    size_t server_count, server_cap;
    struct oc_client *clients;
    size_t client_count, client_cap;
    uint64_t floor_told, gc_told, committed;
    uint64_t excused;
    uint32_t behind_pg, behind_server; /* who was not settled when last asked */
    bool scrub_found;                  /* the scrub met a damaged page */
    uint64_t sound_at;                 /* after so many events a scrub found every page as it should be; 0: not */
    bool blind;                        /* a lie went so deep that nothing can be judged any more */
    uint8_t *raw, *page;               /* scratch: a body, a page */
    struct hx_frame_opener *opener;
};

/* ---- oracle_util.c ---- */
/* What a server has said that it holds of a PG. */
static inline uint64_t oc_held(const struct oc_seg *s)
{
    return s->acked > s->repaired ? s->acked : s->repaired;
}
void *oc_grow(struct hx_oracle *o, void *array, size_t *cap, size_t need,
              size_t size); /* NULL: told the harness */
void *oc_zalloc(struct hx_oracle *o, size_t size);
const uint8_t *oc_keep(struct hx_oracle *o, const uint8_t *p, size_t len);
uint64_t oc_epoch_of(const struct hx_history *h, uint64_t lsn); /* whose LSN this is under H; 0: nobody's */
bool oc_valid(const struct hx_history *h, uint64_t lsn, uint64_t epoch);
bool oc_continues(const struct hx_history *h, const struct hx_history *older);
uint64_t oc_top(const struct hx_history *h);
/* The vdl of the first entry of NOW that WAS has not got in this place; UINT64_MAX: WAS has them all. */
uint64_t oc_cut_between(const struct hx_history *was, const struct hx_history *now);
/* The vdl of the first entry after EPOCH: what was complete then is void above it.  UINT64_MAX: there is
 * none. */
uint64_t oc_cut_after(const struct hx_history *h, uint64_t epoch);
uint64_t oc_hash(const uint8_t *p, size_t len);
struct oc_epoch *oc_epoch_find(const struct hx_oracle *o, uint64_t epoch);
struct oc_epoch *oc_newest(const struct hx_oracle *o);
struct oc_pg *oc_pg_get(struct hx_oracle *o, uint32_t pg);
struct oc_server *oc_server_get(struct hx_oracle *o, uint32_t server);
struct oc_seg *oc_seg_get(struct hx_oracle *o, uint32_t server, uint32_t pg);
/* Slot of the server of that incarnation in PG; -1: none. */
int oc_slot(const struct hx_geometry *g, uint32_t pg, const uint8_t incarnation[16]);
/* Which server gave an answer, wiped since or not; OC_NONE: nobody knows it. */
uint32_t oc_whose(const struct hx_oracle *o, const uint8_t incarnation[16]);
/* Its servers, wiped since or not. */
uint64_t oc_row(const struct hx_oracle *o, const struct hx_geometry *g, uint32_t pg);
/* By the row's kind: 4 of six, 3 of a degraded four; of a group that is not there as of a plain one. */
unsigned oc_write_quorum(const struct hx_geometry *g, uint32_t pg);
/* The least of all versions that were ever to be stored: what an attempt may go by whose version is not known yet. */
struct oc_least { unsigned write, read, members; };
struct oc_least oc_least(const struct hx_oracle *o, uint32_t pg);
bool oc_gone(const struct hx_oracle *o, uint32_t server);  /* wiped: nobody hears of it any more */
unsigned oc_liars(const struct hx_oracle *o, uint32_t pg); /* members that have lied and still answer */
/* A breach of what two quorums of four share, two members of PG.  True: two have lied, it is excused. */
bool oc_excuse(struct hx_oracle *o, uint32_t pg);

/* ---- oracle_end.c, oracle_lack.c ---- */
/* A request of the newest writer, or of PEER if that is not NULL, to a member, and its answer into *RET (borrowed until
 * the next call of the node).  False: refused, or none. */
bool oc_ask(struct hx_oracle *o, uint32_t server, const char *peer, const struct oc_epoch *e, uint16_t type,
            uint32_t pg, uint8_t *msg, size_t len, struct hx_bytes *ret, int *ret_status);
/* Its disk forgot what all six had: peers may have let it go. */
bool oc_beyond_gossip(const struct hx_oracle *o, uint32_t pg, uint32_t server);

/* ---- oracle_log.c ---- */
const struct oc_rec *oc_rec_find(const struct oc_epoch *e, uint64_t lsn); /* NULL: was never written */
/* The last official record of PG at or below LSN; 0: none. */
uint64_t oc_log_last(const struct hx_oracle *o, uint32_t pg, uint64_t lsn);
/* The first above LSN; 0: none. */
uint64_t oc_log_next(const struct hx_oracle *o, uint32_t pg, uint64_t lsn);
void oc_log_append(struct hx_oracle *o, uint32_t client, uint64_t epoch, const uint8_t *body, size_t len);
/* Every record of the frames in these bytes is one that was written; with H, valid under it and at or below
 * TO. */
void oc_log_copies(struct hx_oracle *o, const char *what, uint32_t server, const uint8_t *p, size_t len,
                   const struct hx_history *h, uint64_t to);
/* E is opened, the one before it ends at its cut: what is above becomes void. */
void oc_log_cut(struct hx_oracle *o, const struct oc_epoch *e);

/* ---- oracle_attempt.c ---- */
struct oc_attempt *oc_attempt_get(struct hx_oracle *o, uint64_t epoch, const uint8_t owner[16]);
void oc_attempt_sent(struct hx_oracle *o, uint32_t client, unsigned type, const uint8_t *msg, size_t len);
void oc_attempt_told(struct hx_oracle *o, struct oc_attempt *a, uint32_t pg, uint32_t server,
                     const struct hx_inventory *v);
/* Did SERVER's inventory tell the opening of EPOCH that it is complete through NEED? */
bool oc_attempt_heard_of(const struct hx_oracle *o, uint64_t epoch, uint32_t pg, uint32_t server, uint64_t need);
void oc_attempt_repaired(struct hx_oracle *o, struct oc_attempt *a, uint32_t pg, uint32_t server,
                         uint64_t through);
void oc_attempt_adopted(struct hx_oracle *o, struct oc_attempt *a, uint32_t server, uint64_t top);
/* A version that the writer of E has sent, and that is not in use yet: groups count by it, too (M2).  NULL: none. */
const struct hx_geometry *oc_in_the_air(const struct hx_oracle *o, const struct oc_epoch *e);
void oc_attempt_stored(struct hx_oracle *o, uint32_t server, const uint8_t *body, size_t len);

/* ---- oracle_page.c ---- */
void oc_page_add(struct hx_oracle *o, const struct oc_rec *r, uint64_t lsn);
void oc_page_cut(struct hx_oracle *o, uint32_t pg, uint32_t page, uint64_t lsn); /* drops versions above */
/* The page as of R, borrowed until the next call, and the LSN of its newest record. */
const uint8_t *oc_page_at(struct hx_oracle *o, uint32_t pg, uint32_t page, uint64_t r, uint64_t *ret_lsn);
void oc_pages_free(struct oc_pg *p);

/* ---- oracle_answer.c, oracle_seg.c ---- */
void oc_committed(struct hx_oracle *o, struct oc_epoch *e); /* acknowledgements have come: VCL and VDL move */
/* The version in use, or in the air, has changed: counted anew. */
void oc_turned(struct hx_oracle *o, struct oc_epoch *e, bool in_the_air);
/* Is it still the segment that it was?  A retired one is a tombstone, one that is made over that begins anew. */
void oc_life(struct hx_oracle *o, uint32_t server, uint32_t pg, struct oc_seg *s);
/* What is left of SCL in PG when records above CUT are void (oracle_seg.c). */
uint64_t oc_cut_above(const struct hx_history *h, uint64_t epoch); /* lowest VDL of its entries above EPOCH */
uint64_t oc_after_cut(const struct hx_oracle *o, uint32_t pg, uint64_t scl, uint64_t cut);
bool oc_look(const struct hx_oracle *o, uint32_t server, uint32_t pg, struct hx_segment_look *ret);
/* Judges a READ's answer. */
void oc_read_check(struct hx_oracle *o, uint32_t server, uint64_t epoch, uint32_t pg, const uint8_t *ask,
                   size_t ask_len, const uint8_t *p, size_t len);

static inline unsigned oc_count(uint64_t set)
{
    unsigned n = 0;
    for (; set; set &= set - 1)
        n++;
    return n;
}
typedef unsigned long long oc_ull;

/* ---- oracle_denied.c: what an attempt has heard of records, until it decides ---- */
void oc_denied_keep(struct hx_oracle *o, struct oc_attempt *a, uint32_t pg, uint32_t server, struct hx_inventory *v);
void oc_denied_check(struct hx_oracle *o, struct oc_attempt *a);
void oc_denied_forget(struct oc_attempt *a);

#endif
