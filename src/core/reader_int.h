/*
 * reader_int.h - inside of the reader: reader.c (batches, choice of member, requests), reader_answer.c (answers).
 *
 * A *batch* is up to HX_READER_RUN pages of one PG that are asked together.  A *round* ends when all six members
 * have been asked.
 *
 *   READY   wants a request (or a hedge)   --next-->  WAITING | PAUSED (all six asked)
 *   WAITING a request is under way         --answer, failure-->  READY | ENDING | TAKEN up by hx_reader_take
 *   PAUSED  until resume_ms                --tick-->  READY
 *   FAILED  pages with an error to be taken --take-->  PAUSED (some are left) | ENDING
 *   ENDING  all pages delivered; a second request is still under way, whose memory is lent
 */
#ifndef HX_CORE_READER_INT_H
#define HX_CORE_READER_INT_H

#include "writer_int.h"

#include "hexad/msg.h"
#include "hexad/quorum.h"
#include "hexad/reader.h"

#define HX_READER_HEDGE_MIN_MS 20u
#define HX_READER_HEDGE_FACTOR 4u
#define HX_READER_EXPLORE 32u
#define HX_READER_LATENCY_US 1000u /* of a server not heard yet */
#define HX_READER_TIMEOUT_MS 5000u
#define HX_READER_WAKE_MS 2u /* between looks at a PG whose members are being told the history */
#define HX_READER_PAUSE_MIN_MS 100u
#define HX_READER_PAUSE_MAX_MS 1000u
#define HX_READER_CORRUPT_ROUNDS 3u /* before members that do not answer at all count as unable to */

enum hx_batch_state { HX_BATCH_FREE = 0, HX_BATCH_READY, HX_BATCH_WAITING, HX_BATCH_PAUSED, HX_BATCH_FAILED,
                      HX_BATCH_ENDING, HX_BATCH_STATES };
struct hx_batch_page {
    struct hx_cache_want want;
    hx_members corrupt; /* who says that its copy is damaged */
    bool done;
    int err; /* to be delivered instead of bytes */
};
struct hx_batch_call {
    uint64_t id; /* 0: free */
    uint64_t sent_ms;
    struct hx_lsn vdl; /* when it was sent: no version that it may read is collected */
    uint32_t server;   /* index in the geometry */
    uint8_t slot, count;
    uint8_t ask[HX_READER_RUN]; /* index of the batch's page for each page asked */
    struct iovec iov[2];
    uint8_t head[HX_MSG_HEAD];
    uint8_t body[12 + 4 * HX_READER_RUN];
};
struct hx_batch {
    struct hx_batch *prev, *next;
    uint32_t index, pg;
    uint8_t state, count, left;
    bool late;         /* READY for a hedge, not for the first request */
    hx_members asked;  /* in this round */
    hx_members silent; /* of them, those that gave no answer at all */
    uint32_t rounds, requests;
    uint32_t m; /* version of the members that asked, silent and corrupt speak of */
    uint64_t resume_ms;
    struct hx_batch_call call[2];
    struct hx_batch_page page[HX_READER_RUN];
};
struct hx_reader_list {
    struct hx_batch *head, *tail;
};
/* What the reader remembers of a server. */
struct hx_reader_server {
    uint64_t latency_us; /* smoothed; 0: not known yet */
    uint32_t under_way;
};
struct hx_reader {
    struct hx_writer *w;
    uint64_t now_ms, random;
    uint32_t serial;
    struct hx_reader_list list[HX_BATCH_STATES];
    struct hx_batch **batch; /* by index */
    uint32_t batch_count, batch_cap, free_count;
    struct hx_reader_server *server;
    uint32_t server_count;
    /* The answer that is being taken. */
    struct {
        struct hx_batch *batch;
        struct hx_batch_call *call;
        const uint8_t *entries, *raw;
        unsigned at;
    } taking;
    struct hx_reader_done lost[HX_READER_FETCH_MAX]; /* wants for which there was no memory, or no such page */
    size_t lost_count;
    struct hx_reader_stats stats;
};

/* reader.c */
void hx_reader_move(struct hx_reader *r, struct hx_batch *b, enum hx_batch_state to);
void hx_reader_floor(struct hx_reader *r);
/* Before each event: the time, and what was not taken of the last answer. */
void hx_reader_event(struct hx_reader *r, uint64_t now_ms);
/* The slot that was asked still has the same member: what it said counts for the slot. */
/* Slots of the group that nobody has: it is degraded. */
hx_members hx_reader_nobody(const struct hx_reader *r, uint32_t pg);
bool hx_reader_still_there(const struct hx_reader *r, const struct hx_batch *b, const struct hx_batch_call *c);
/* A request is over, by whatever. */
void hx_reader_end_call(struct hx_reader *r, struct hx_batch *b, struct hx_batch_call *c);
/* Where the batch goes when nothing more is to be done for it now. */
void hx_reader_settle(struct hx_reader *r, struct hx_batch *b);
/* All batches fail with HX_E_FENCED. */
void hx_reader_fail_all(struct hx_reader *r);
/* reader_answer.c */
void hx_reader_drop_taking(struct hx_reader *r);

#endif
