/*
 * node_rig.h - six segment servers (hexad/node.h), or fewer, or two spares besides, over disks in memory, driven by
 * hand: builds the messages, decodes the answers, carries messages between the servers.  For tests of store and node.
 */
#ifndef HX_TEST_NODE_RIG_H
#define HX_TEST_NODE_RIG_H

#include "hexad/frame.h"
#include "hexad/geometry.h"
#include "hexad/history.h"
#include "hexad/msg.h"
#include "hexad/node.h"
#include "mem_disk.h"

#define HX_RIG_LAL 1000u
#define HX_RIG_SERVERS (HX_COPIES + 2u) /* the last two are in no geometry that the rig makes */
struct hx_rig_reply;
struct hx_rig {
    unsigned count; /* servers that run; the first six are always in the geometry */
    struct hx_mem_farm *farm[HX_RIG_SERVERS];
    struct hx_disk_farm *other[HX_RIG_SERVERS]; /* borrowed: the server runs over this one instead */
    struct hx_node *node[HX_RIG_SERVERS];
    bool cut[HX_RIG_SERVERS]; /* no messages to or from it */
    bool lazy;                /* answers of peers are not flushed one by one: the next tick does it */
    struct hx_geometry geometry;
    struct hx_history history; /* (1, 0, 0, lal) */
    struct hx_uuid owner;
    uint64_t now_ms, token;
    uint32_t gossip_most; /* as in struct hx_node_cfg */
    uint32_t log_file_bytes, scrub_cycle_s, scrub_bytes_per_s, repair_bytes_per_s;
    struct hx_frame_builder *builder;
    uint8_t frame[HX_FRAME_MAX];
    /* requests between servers that are under way */
    struct hx_rig_post *posts;
    size_t post_count;
    uint64_t delivered;
    /* Called before server FROM gets the answer to its message of TYPE. */
    void (*hook)(struct hx_rig *r, unsigned from, unsigned type);
    /* May change what TO answered to a message of TYPE before FROM gets it. */
    void (*edit)(struct hx_rig *r, unsigned from, unsigned to, unsigned type, struct hx_rig_reply *a);
};
void hx_rig_init(struct hx_rig *r, unsigned count, uint64_t pg_bytes, uint32_t pgs, uint32_t log_file_bytes);
void hx_rig_fini(struct hx_rig *r);
struct hx_uuid hx_rig_uuid(unsigned x);
/* hx_node_new over the farm as it is; its error. */
int hx_rig_start(struct hx_rig *r, unsigned i);
void hx_rig_stop(struct hx_rig *r, unsigned i); /* frees the node; the disk stays as it is */
struct hx_disk_place hx_rig_place(const struct hx_rig *r, uint32_t pg);

struct hx_rig_ask {
    unsigned type, role; /* role 0: writer */
    uint32_t pg, g;
    uint64_t epoch;          /* 0: 1 */
    struct hx_uuid owner;    /* zero: the rig's */
    struct hx_uuid server;   /* zero: the one that is asked */
    const char *name;        /* of the certificate; NULL: "w" */
    uint64_t conn;
    struct hx_bytes body;
};
struct hx_rig_reply {
    bool came;
    struct hx_reply_head head;
    uint8_t *bytes; /* owned */
    struct hx_bytes body;
};
void hx_rig_reply_fini(struct hx_rig_reply *a);
/* Request only; its token. */
uint64_t hx_rig_ask(struct hx_rig *r, unsigned i, const struct hx_rig_ask *q);
/* Effects of node I: the reply to TOKEN into *ret (may be NULL), messages to peers into the post. */
void hx_rig_take(struct hx_rig *r, unsigned i, uint64_t token, struct hx_rig_reply *ret);
/* Request, flush, reply. Returns the status. */
int hx_rig_call(struct hx_rig *r, unsigned i, const struct hx_rig_ask *q, struct hx_rig_reply *ret);

/* Shorthands; each returns the status. */
int hx_rig_format(struct hx_rig *r, unsigned i, uint32_t pg);
int hx_rig_learn(struct hx_rig *r, unsigned i, uint32_t pg); /* FORMAT of a learner */
/* With what its driver allows: bytes a second. */
int hx_rig_learn_at(struct hx_rig *r, unsigned i, uint32_t pg, uint32_t rate);
/* HOW: the byte behind the history; below 0: there is none. */
int hx_rig_format_as(struct hx_rig *r, unsigned i, uint32_t pg, const struct hx_geometry *g, const struct hx_history *h,
                     uint64_t epoch, int how);
int hx_rig_fence(struct hx_rig *r, unsigned i, uint32_t pg, uint64_t epoch, unsigned owner, struct hx_inventory *ret);
int hx_rig_adopt(struct hx_rig *r, unsigned i, uint32_t pg, uint64_t epoch, const struct hx_history *h,
                 uint64_t *ret_top, uint64_t *ret_scl);
int hx_rig_repair(struct hx_rig *r, unsigned i, uint32_t pg, uint64_t epoch, const struct hx_history *h,
                  const uint8_t *frames, size_t len, uint64_t *ret_scl);
/* APPEND of one frame (LEN 0: announcement); *ret_scl from its ack.  Status: the ack's, or the answer's. */
int hx_rig_append(struct hx_rig *r, unsigned i, uint64_t epoch, uint64_t vdl, uint64_t floor,
                  const uint8_t *frame, size_t len, uint64_t *ret_scl);
/* One page; data may be NULL. */
int hx_rig_read(struct hx_rig *r, unsigned i, uint32_t pg, uint64_t epoch, uint64_t point, uint32_t page,
                uint8_t *data, struct hx_read_page *ret);
/* The same in short; the part that says which life it is. */
int hx_rig_part(struct hx_rig *r, unsigned i, uint32_t pg, struct hx_segment_part *ret);
int hx_rig_members(struct hx_rig *r, unsigned i, uint32_t pg, uint64_t epoch, const struct hx_geometry *g,
                   uint64_t *ret_life);
int hx_rig_delete(struct hx_rig *r, unsigned i, uint32_t pg, uint64_t epoch, const struct hx_geometry *g,
                  uint64_t life);
int hx_rig_status(struct hx_rig *r, unsigned i, uint32_t pg, struct hx_segment_status *ret);

/* A record for hx_rig_frame. */
struct hx_rig_rec {
    uint64_t lsn;
    uint32_t page;
    uint8_t kind, flags;
    const uint8_t *payload;
    size_t len;
};
struct hx_rig_marks {
    uint64_t vdl, floor, gc;
};
/* A sealed frame into r->frame; its length. */
size_t hx_rig_frame(struct hx_rig *r, uint32_t pg, uint64_t epoch, uint64_t prev,
                    const struct hx_rig_rec *recs, size_t count, struct hx_rig_marks m);
/* COUNT sparse records (8 bytes of content: the LSN) on page lsn % 16, from FIRST on, the last one a CPL. */
size_t hx_rig_run(struct hx_rig *r, uint32_t pg, uint64_t epoch, uint64_t prev, uint64_t first,
                  unsigned count, uint64_t vdl);

/* Timers of all running servers at now_ms += MS, then carries messages until none is left. */
void hx_rig_step(struct hx_rig *r, uint64_t ms);
/* Steps until every running server has SCL in PG, at most STEPS; true when they have. */
bool hx_rig_settle(struct hx_rig *r, uint32_t pg, uint64_t scl, unsigned steps);

#endif
