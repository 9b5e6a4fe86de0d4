/*
 * fake_members.h - the six servers of a small volume as the client's pure parts see them: requests go in as
 * effects, answers come out as bytes when the test says so.  A dumb twin of the segment's rules: it keeps records
 * in an array, finds the SCL by walking the backlinks, and builds a page by applying records one after another.
 *
 * Requests under way lie in a queue; the test delivers, loses, repeats or delays them.  Virtual time only.
 */
#ifndef HEXAD_TESTS_FAKE_MEMBERS_H
#define HEXAD_TESTS_FAKE_MEMBERS_H

#include "hexad/effect.h"
#include "hexad/msg.h"
#include "hexad/writer.h"

#define FAKE_SERVERS 6u /* where nothing else is said */
#define FAKE_SERVERS_MAX 13u
#define FAKE_PGS_MAX 320u

struct fake_rec {
    struct hx_lsn lsn, prev;
    uint32_t page;
    uint8_t kind, flags;
    uint16_t len;
    uint8_t *payload;
};
struct fake_segment {
    bool absent;      /* NO_SEGMENT until FORMAT */
    bool no_history;  /* NEED_HISTORY until ADOPT */
    int refuse;       /* answers of this segment have this status */
    bool full;        /* announcements are told so; frames are taken */
    bool rotten;      /* its pages are CORRUPT */
    bool lies;        /* its pages are not what their checksums say */
    uint32_t rotten_page; /* number + 1 of a page that is CORRUPT; 0: none */
    unsigned doubles;     /* records that came once more */
    struct hx_lsn start, scl; /* SCL begins here (what was there before the epoch) */
    struct fake_rec *rec;     /* in the order of arrival, no doubles */
    size_t count, cap;
};
struct fake_server {
    struct hx_uuid incarnation;
    int refuse;                /* every answer has this status */
    bool no_volume;            /* NO_VOLUME until FORMAT */
    struct hx_epoch promised;  /* 0: the writer's */
    struct fake_segment seg[FAKE_PGS_MAX];
    unsigned adopts, formats, appends, announcements, goodbyes, reads;
    struct hx_append_head last_head; /* of the last APPEND or announcement */
};
struct fake_request {
    uint64_t call, serial;
    uint32_t server, timeout_ms;
    uint16_t type;
    uint32_t frames; /* in an APPEND */
    size_t len;
    uint8_t *p;        /* as it was given out */
    struct iovec *iov; /* what is lent meanwhile: must not change */
    int iovcnt;
};
struct fake;
/* Answers what these members do not understand by themselves: a status, or 1: they do as usual. */
typedef int (*fake_hook)(void *ctx, struct fake *f, unsigned server, const struct hx_msg_head *h, struct hx_bytes body,
                         struct hx_enc *e);
struct fake {
    fake_hook hook; /* NULL: none */
    void *hook_ctx;
    struct hx_geometry geometry;
    struct hx_uuid owner;
    struct hx_epoch epoch;
    struct fake_server server[FAKE_SERVERS_MAX];
    struct fake_request *queue; /* under way, oldest first */
    size_t count, cap;
    uint64_t serial;
    unsigned cancels;
    uint32_t append_flags; /* of answers to APPEND */
};

/* A geometry of SERVERS in three zones with PGS protection groups of 1 MiB. */
void fake_geometry(struct hx_geometry *g, uint32_t servers, uint32_t pgs, uint64_t lal);
void fake_init(struct fake *f, const struct hx_geometry *g, struct hx_epoch epoch);
void fake_fini(struct fake *f);
/* Carries one effect out: a request joins the queue, a cancel takes it away. */
void fake_effect(struct fake *f, const struct hx_effect *e);
/* Does what request I asks, and gives the whole answer (malloc'ed; the request stays in the queue). */
struct hx_bytes fake_answer(struct fake *f, size_t i);
/* Takes request I out of the queue. */
void fake_forget(struct fake *f, size_t i);
/* The server loses all records of the PG but the first KEEP to arrive. */
void fake_lose_records(struct fake *f, unsigned server, uint32_t pg, size_t keep);
/* The record's twin rules. */
struct hx_lsn fake_scl(struct fake *f, unsigned server, uint32_t pg);
/* The page as of AT from what this server holds. */
void fake_page(struct fake *f, unsigned server, uint32_t pg, uint32_t page, struct hx_lsn at,
               uint8_t out[HX_PAGE_SIZE]);

/* ---- a writer together with its members ---- */
struct rig {
    struct hx_geometry g;
    struct hx_history h;
    struct hx_writer *w;
    struct fake f;
    uint64_t now;
};
struct rig_opts {
    uint32_t pgs;        /* 0: 1 */
    uint32_t servers;    /* 0: 6 */
    uint64_t pg_bytes;   /* 0: 1 MiB */
    uint64_t lal;        /* 0: 4096 */
    size_t window_bytes;
    uint64_t epoch;      /* 0: 1; higher: begins above vdl and end */
    uint64_t vdl, end;      /* 0: 0 and lal */
};
void rig_open(struct rig *r, const struct rig_opts *o);
void rig_close(struct rig *r);
/* Takes all effects the writer has now. */
void rig_pump(struct rig *r);
/* Delivers request I and its answer to the writer, then pumps. */
void rig_deliver(struct rig *r, size_t i);
/* The request, or its answer, is lost: the writer hears of it as ERR; then pumps. */
void rig_lose(struct rig *r, size_t i, int err);
/* Delivers everything in order until nothing is under way; servers in the mask STOPPED take nothing. */
void rig_run(struct rig *r, unsigned stopped);
/* Lets time pass in steps of at most 10 ms, running after each. */
void rig_wait(struct rig *r, uint64_t ms, unsigned stopped);
/* A mini-transaction of COUNT records, one on each of the pages given; LEN bytes of payload (an image). */
int rig_append(struct rig *r, const uint64_t *pages, size_t count, uint16_t len, struct hx_lsn *ret_cpl);

#endif
