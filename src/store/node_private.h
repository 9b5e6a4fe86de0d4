/*
 * node_private.h - what the files of the node share (node.c, verbs.c, out.c, volume.c, gossip.c).
 *
 * Memory rule: the node owns everything; items own their bodies and histories until they have been answered.
 */
#ifndef HX_NODE_PRIVATE_H
#define HX_NODE_PRIVATE_H

#include "hexad/node.h"
#include "hexad/wish.h"
#include "store.h"

/* Something that goes out by hx_node_next, now or after the next flush. */
enum item_kind {
    ITEM_PLAIN = 1, /* status only */
    ITEM_BODY,      /* body is ready */
    ITEM_ACKS,      /* APPEND */
    ITEM_FENCE,
    ITEM_REPAIR,
    ITEM_ADOPT,
    ITEM_READ,      /* made when it is taken, so that memory holds one answer at a time */
    ITEM_FETCH,
    ITEM_DIGEST,
    ITEM_LIFE,      /* which life the segment is in */
    ITEM_DELETE,
    ITEM_SEND
};
struct hx_item {
    enum item_kind kind;
    uint16_t type;
    int status;
    uint32_t flags, count;      /* READ: pages; ACKS: PGs */
    uint64_t token, req_id;     /* SEND: token is the call */
    struct hx_epoch epoch;      /* of the request */
    struct hx_seg *seg;         /* borrowed; segments live as long as the node */
    size_t arg;                 /* READ: offset of the page list in node.args; ACKS: index in node.acks */
    uint64_t point;             /* READ */
    struct hx_fetch fetch;
    struct hx_history history;  /* REPAIR: H' */
    struct hx_buf body;         /* BODY, SEND: SEND has name and url, NUL-terminated, behind the message */
    size_t body_len;
};
struct hx_items {
    struct hx_item *p;
    size_t at, count, cap; /* [at, count) */
};
struct hx_node_ack {
    struct hx_seg *seg; /* NULL: there is none */
    uint32_t pg;
    int status;
    uint64_t scl;
};

/* What is known of a volume beyond its segments. */
#define HX_NODE_CONNS_MAX 64u
struct hx_kept_wish {
    struct hx_wish wish;
    uint64_t ms; /* when it was last said */
};
struct hx_volume {
    struct hx_uuid id;
    struct hx_epoch epoch; /* newest that an accepted APPEND had */
    uint64_t heard_ms, vdl;
    bool heard, goodbye;
    char text[HX_WRITER_INFO_MAX];
    uint64_t conns[HX_NODE_CONNS_MAX];
    unsigned conn_count;
    uint64_t announced_ms; /* when all segments were last told VDL and floor */
    uint64_t gossip_ms;    /* next round */
    uint64_t rounds;       /* that there were */
    uint32_t turn;
    struct hx_kept_wish *wishes; /* oldest first; NULL: none */
    uint32_t wish_count;
    size_t wish_cap;
};
struct hx_peer {
    struct hx_uuid server;
    uint64_t old_until_ms; /* it did not understand who asks (HX_PEER_NAMED) */
    unsigned fails;
    uint64_t not_before_ms;
};
struct hx_call {
    uint64_t id;
    uint16_t type;
    struct hx_uuid volume, peer;
    struct hx_seg *seg; /* NULL for GOSSIP */
    struct hx_epoch top;
    uint64_t point;
    uint32_t pages[HX_MEND_PAGES], page_count; /* READ */
    bool compare; /* it is compare.c's */
    bool fill;    /* hydrate.c's */
    bool learner; /* of a GOSSIP: some segment in it is no member */
    bool named;   /* it says who asks, and the m of each segment */
};

struct hx_node {
    char name[HX_NAME_MAX + 1], zone[HX_NAME_MAX + 1];
    struct hx_uuid server;
    struct hx_disk_farm *farm;
    uint32_t gossip_ms, gossip_most;
    uint64_t rng, now_ms, next_call;
    struct hx_seg_env env;
    struct hx_seg **segs; /* ascending by (volume, pg) */
    size_t seg_count, seg_cap;
    struct hx_volume **volumes; /* ascending by id */
    size_t volume_count, volume_cap;
    struct hx_seg **dirty;
    size_t dirty_count, dirty_cap;
    struct hx_items wait, ready;
    struct hx_node_ack *acks;
    size_t ack_count, ack_cap;
    struct hx_buf args, out;
    struct hx_item taken; /* the item whose body hx_node_next lent out last */
    struct hx_peer *peers;
    size_t peer_count, peer_cap;
    struct hx_call *calls;
    size_t call_count, call_cap;
    size_t work_at; /* segment whose turn for background work it is */
    struct hx_pace {
        uint64_t cycle_ms, rate_max; /* bytes a second */
        uint64_t last_ms, requests;  /* at the last tick */
        int64_t credit;              /* bytes x 1000 that may be read; below 0: were read too early */
    } pace;
    struct hx_repair { /* hydrate.c */
        uint64_t rate;   /* bytes a second that learners may take */
        uint64_t last_ms;
        int64_t credit;  /* bytes x 1000; below 0: came already */
    } repair;
    struct hx_node_stats stats;
};

/* A request under way. */
struct hx_req {
    uint64_t now_ms, time_us, token, conn;
    unsigned role;
    const char *name;
    struct hx_msg_head head;
    struct hx_dec body;
    struct hx_seg *seg; /* of head.volume and head.pg, or NULL */
};

/* node.c */
struct hx_seg *hx_node_find(const struct hx_node *n, const struct hx_uuid *volume, uint32_t pg);
/* Segments of VOLUME: [*ret_from, returned end). */
size_t hx_node_range(const struct hx_node *n, const struct hx_uuid *volume, size_t *ret_from);
int hx_node_add(struct hx_node *n, struct hx_seg *s);
void hx_node_dirty(struct hx_node *n, struct hx_seg *s);
void hx_node_forget(struct hx_node *n, struct hx_seg *s); /* nothing points to it */
/* revive.c: reads again what a failed disk has left, one segment at most; true when another one is due. */
bool hx_revive_tick(struct hx_node *n);
/* out.c: an item for the request; NULL when there is no memory for even that (the caller's connection times out). */
struct hx_item *hx_out_push(struct hx_items *q, const struct hx_item *i);
void hx_out_plain(struct hx_node *n, const struct hx_req *r, int status);
struct hx_item hx_out_item(const struct hx_req *r, enum item_kind kind);
void hx_out_item_fini(struct hx_item *i);
/* Answers with BODY; moved, also on failure. */
void hx_out_body(struct hx_node *n, const struct hx_req *r, struct hx_buf *body);
/* Finishes what waited for the flush. */
void hx_out_settle(struct hx_node *n);
/* verbs.c: 0 when the request has been queued, else the status to answer. */
int hx_verbs_handle(struct hx_node *n, struct hx_req *r);
/* volume.c */
struct hx_volume *hx_volume_get(struct hx_node *n, const struct hx_uuid *id, bool make);
void hx_volume_heard(struct hx_node *n, const struct hx_req *r, const struct hx_append_head *a);
void hx_volume_closed(struct hx_node *n, uint64_t conn);
/* wish.c */
bool hx_wish_waits(struct hx_volume *v, uint64_t now_ms);
int hx_wish_verb(struct hx_node *n, struct hx_req *r);
int hx_volume_lookup(struct hx_node *n, const struct hx_req *r, const char *name);
void hx_volume_status(struct hx_node *n, const struct hx_req *r);
/* pace.c */
void hx_pace_init(struct hx_node *n, const struct hx_node_cfg *cfg);
uint64_t hx_pace_tick(struct hx_node *n); /* ms until it wants to be called again */
void hx_pace_ask(struct hx_node *n, const struct hx_uuid *volume); /* zero: of all */
/* digest.c: heads of what Q asks for, as many as one answer has; *ret_read: pages whose bytes were read. */
int hx_digest_heads(struct hx_seg *s, const struct hx_digest_ask *q, struct hx_read_page *ret, uint32_t *ret_count,
                    size_t *ret_read);
int hx_digest_ask(struct hx_node *n, const struct hx_req *r, const struct hx_digest_ask *q); /* queues the answer */
int hx_digest_body(struct hx_node *n, const struct hx_item *i);                               /* and makes it */
/* gossip.c */
uint64_t hx_gossip_tick(struct hx_node *n);
/* Is who asks R the member of S that it says, or, of an older program, one of that name?  NULL: neither. */
const struct hx_server *hx_gossip_asker(const struct hx_node *n, const struct hx_seg *s, const struct hx_req *r);
/* M: of the geometry of who tells. */
void hx_gossip_heard(struct hx_node *n, const struct hx_req *r, const struct hx_gossip_entry *e, uint32_t m);
void hx_gossip_flushed(struct hx_node *n, struct hx_seg *s);
/* Member SLOT of the segment's PG; NULL when that is ourselves. */
const struct hx_server *hx_gossip_member(const struct hx_node *n, const struct hx_seg *s, unsigned slot);
/* The slot of this server in the segment's row; HX_COPIES: it has none. */
unsigned hx_gossip_own_slot(const struct hx_node *n, const struct hx_seg *s);
bool hx_gossip_reachable(struct hx_node *n, const struct hx_server *m); /* it has not just been silent */
bool hx_gossip_may_call(const struct hx_node *n, const struct hx_seg *s);
struct hx_call hx_gossip_call(struct hx_seg *s, enum hx_msg_type type);
/* Queues a message to M; BODY moved.  CALL says what the answer belongs to; its number is n->next_call. */
int hx_gossip_post(struct hx_node *n, const struct hx_server *m, struct hx_call call, uint32_t pg, struct hx_buf *body);
/* READ of the pages and at the point that C names. */
int hx_gossip_ask_pages(struct hx_node *n, struct hx_seg *s, const struct hx_server *m, const struct hx_call *c);
/* A page as a peer has it at a point that nothing can annul (DATA NULL: zeros): a local image, in place of what is
 * damaged here.  The sum of its record. */
uint32_t hx_gossip_put_page(struct hx_node *n, struct hx_seg *s, uint32_t page, uint64_t lsn, const uint8_t *data);
/* hydrate.c */
#define HX_NODE_LEARNER UINT32_MAX /* .m of a request to a peer: who asks is no member (yet), and says so */
void hx_hydrate_init(struct hx_node *n, const struct hx_node_cfg *cfg);
uint64_t hx_hydrate_tick(struct hx_node *n); /* ms until it wants to be called again */
void hx_hydrate_answer(struct hx_node *n, const struct hx_call *call, int err, struct hx_dec *d);
void hx_hydrate_flushed(struct hx_node *n, struct hx_seg *s);
/* compare.c */
bool hx_compare_ready(const struct hx_node *n, const struct hx_seg *s);
size_t hx_compare_step(struct hx_node *n, struct hx_seg *s); /* the next question; what it cost */
void hx_compare_answer(struct hx_node *n, const struct hx_call *call, int err, struct hx_dec *d);

#endif
