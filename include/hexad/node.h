/*
 * node.h - a whole segment server without its sockets: all segments of all volumes that it hosts, their
 * stores, gossip among peers.  Pure over hexad/disk.h: the daemon, the tests and the simulator drive it.
 *
 * One call per event; effects come out of hx_node_next as data:
 *
 *     hx_node_request(...)       any number of them, as they arrive
 *     hx_node_flush(...)         ends the batch: one flush per segment that has something to make durable
 *     while (hx_node_next(...))  carry out: answers, requests to peers
 *
 * An answer that depends on durability comes out only after the flush that covers it returned 0 (N1).
 * Rule 0 of doc/PROTOCOL.md, promise and effect in the same durable step, holds for each segment (N2).
 * An answer is given exactly once per request (N3).
 */
#ifndef HEXAD_NODE_H
#define HEXAD_NODE_H

#include "hexad/disk.h"
#include "hexad/msg.h"
#include "hexad/types.h"

struct hx_node;
struct hx_node_cfg {
    const char *name, *zone;       /* copied */
    struct hx_uuid incarnation;    /* of the data directory */
    struct hx_disk_farm *farm;     /* borrowed until hx_node_free */
    uint32_t gossip_ms;            /* interval; 0: 500 */
    uint32_t gossip_most;          /* segments without news that a round tells of; 0: 512 */
    uint32_t log_file_bytes;       /* size at which a log file is closed; 0: 64 MiB, but at most 4 x PG size */
    uint64_t seed;                 /* for the choice of peers */
    uint32_t scrub_cycle_s;        /* everything stored is read again in this time; 0: on demand only */
    uint32_t scrub_bytes_per_s;    /* but never faster than this; 0: 16 MiB */
    uint32_t repair_bytes_per_s;   /* at most this much is copied from peers to fill new members; 0: 64 MiB */
};
/* Opens every segment in the farm.  One that cannot be opened is answered with its error, the others work. */
int hx_node_new(const struct hx_node_cfg *cfg, uint64_t now_ms, struct hx_node **ret);
void hx_node_free(struct hx_node *n);

#define HX_NODE_ROLE_SEGMENT 1u /* same bits as enum hx_role of net.h */
#define HX_NODE_ROLE_WRITER 2u
#define HX_NODE_ROLE_ADMIN 4u
#define HX_NODE_ROLE_READER 8u
/*
 * A message (whole body of a POST).  TOKEN comes back with the answer; CONN tells connections apart;
 * ROLE and NAME are the certificate's.  BODY is borrowed until return (what has to be kept is written to the disk
 * or copied).  Malformed bytes are answered, too (status BADMSG).
 */
void hx_node_request(struct hx_node *n, uint64_t now_ms, uint64_t time_us, uint64_t token, uint64_t conn,
                     unsigned role, const char *name, struct hx_bytes body);
void hx_node_closed(struct hx_node *n, uint64_t now_ms, uint64_t conn); /* the connection is gone */
/* The answer (or failure) of a request to a peer that came out of hx_node_next. */
void hx_node_answer(struct hx_node *n, uint64_t now_ms, uint64_t call, int err, struct hx_bytes body);
/* Timers: gossip, background materialisation and clean-up.  Returns ms until it wants to be called again. */
uint64_t hx_node_tick(struct hx_node *n, uint64_t now_ms);
void hx_node_flush(struct hx_node *n);

enum hx_node_effect_kind { HX_NODE_REPLY = 1, HX_NODE_SEND };
struct hx_node_effect {
    enum hx_node_effect_kind kind;
    uint64_t token;          /* REPLY: of the request */
    uint64_t call;           /* SEND: number for hx_node_answer */
    const char *url, *name;  /* SEND: peer; borrowed until the next call on this node */
    struct hx_bytes body;    /* both: borrowed until the next call of hx_node_next (the caller copies or sends) */
    uint32_t timeout_ms;
};
/* 1 and *ret, or 0 when there is nothing left to carry out. */
int hx_node_next(struct hx_node *n, struct hx_node_effect *ret);

struct hx_node_stats {
    uint64_t segments, requests, appends, append_bytes, flushes, pages_read, gossip_records, errors;
    uint64_t failures, revived; /* segments whose disk failed; that came back after that */
    uint64_t read_only;         /* segments whose disk takes no writes any more, now */
};
void hx_node_stats(const struct hx_node *n, struct hx_node_stats *ret);

/* What a segment holds just now, for checkers and status: some of it (promise, history, geometry before the next flush;
 * hint, floor, gc always) may be lost by a crash.  Pure.  Pointers are borrowed until the next call on this node. */
struct hx_segment_look {
    struct hx_disk_place at;
    uint64_t serial; /* moves whenever anything below may have changed */
    struct hx_epoch promised;
    struct hx_uuid owner;
    const struct hx_history *history;
    const struct hx_geometry *geometry; /* PG 0: the volume's; else as of FORMAT */
    struct hx_lsn scl, highest;         /* complete to here; largest LSN held */
    struct hx_lsn hint;                 /* highest VDL announced: what is at or below it cannot be annulled */
    struct hx_lsn base, floor, gc;      /* base: files at or below it may be gone */
    struct hx_lsn oldest;               /* reads below it are TOO_OLD */
    struct hx_lsn doubt;                /* lowest LSN that may be damaged here; LSN_MAX: none */
    uint64_t held, unknowns, damaged;   /* records above the hint; damaged places now, and since the start */
    uint64_t scrubs, scrub_found, scrub_rewritten; /* cycles finished; what they found; slots, sidecars renewed */
    uint64_t life;                      /* which of the segments that were here it is */
    bool filling, retired;              /* a learner; a tombstone (.error is NO_SEGMENT) */
    int error;                          /* why it answers nothing; 0 */
    bool nospace;
};
uint64_t hx_node_changes(const struct hx_node *n); /* as serial, over all segments; also when one is made */
size_t hx_node_places(const struct hx_node *n);
void hx_node_look_at(const struct hx_node *n, size_t i, struct hx_segment_look *ret); /* i < places */
int hx_node_look(const struct hx_node *n, struct hx_disk_place at, struct hx_segment_look *ret); /* HX_E_NO_SEGMENT */

#endif
