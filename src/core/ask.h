/*
 * ask.h - requests of recovery, creation and growth: bounded per server, numbered, tried again after pauses.
 *
 * A task is something that one server is to be asked; its owner embeds it and says which message comes
 * next.  A call is one message under way for a task; it owns every byte that an effect lends out.
 * Does not know what the messages mean; the owner builds each when its turn comes and judges the answer.
 *
 *   A1 at most HX_ASK_CALLS_MAX calls are under way per server; one, while the server keeps failing.
 *   A2 a task is in one place: idle, in its server's queue, under way, or in the timer heap.
 *   A3 a call number is used once; an answer to any number that is not under way is nobody's.
 *   A4 what an effect lends lives until answer, failure, or until the hx_ask_cancel_next after the one that
 *      gave its CANCEL (so the caller has carried it out).
 *
 *            hx_ask_queue         hx_ask_pop, hx_ask_send           hx_ask_answer/_failed
 *     IDLE ---------------> QUEUED ------------------------> SENT ------------------------> IDLE
 *       `--- hx_ask_pause --> PAUSED -- tick, when due --> QUEUED             hx_ask_drop: any -> IDLE
 *
 * Duplicates and late input: A3.  Pure; allocates in hx_ask_servers, _reserve and _send.
 */
#ifndef HX_CORE_ASK_H
#define HX_CORE_ASK_H

#include "hexad/effect.h"
#include "hexad/msg.h"

#define HX_ASK_CALLS_MAX 4u
#define HX_ASK_PAUSE_MIN_MS 50u
#define HX_ASK_PAUSE_MAX_MS 1000u
#define HX_ASK_TIMEOUT_MS 5000u
#define HX_ASK_BULK_TIMEOUT_MS 10000u
#define HX_ASK_IDLE_MS 100u /* what tick answers when no timer runs: an event may start one before the next call */

enum hx_ask_state { HX_ASK_IDLE = 0, HX_ASK_QUEUED, HX_ASK_SENT, HX_ASK_PAUSED };

struct hx_ask_timer {
    uint64_t due_ms;
    size_t at;     /* place in the heap plus one; 0: not there */
    bool of_server;
};
struct hx_ask_call;
/* Zeroed is valid and idle. */
struct hx_ask_task {
    struct hx_ask_task *prev, *next;
    struct hx_ask_call *call;
    struct hx_ask_timer timer;
    uint32_t server; /* index */
    uint16_t msg;    /* enum hx_msg_type that is sent next */
    uint8_t state;
    uint8_t owner_kind; /* the owner's own */
    uint32_t pauses; /* in a row: decides the next pause */
    int last_err;    /* of the last answer or failure */
};
struct hx_ask_server;
struct hx_ask {
    enum hx_part part;
    uint64_t now_ms, sequence;
    struct hx_ask_server **servers;
    uint32_t server_count, server_cap;
    uint32_t ready_head, ready_tail; /* servers with a queue and room; index + 1 */
    struct hx_ask_call **calls;      /* by slot */
    size_t slots;
    size_t *free_slots, free_count;
    struct hx_ask_timer **heap;
    size_t heap_count, heap_cap;
    struct hx_ask_call *cancel, *carried; /* to be cancelled; being carried out */
};
struct hx_ask_reply {
    struct hx_ask_task *task; /* idle again */
    int err;                  /* 0, the server's status, or why there is no answer */
    struct hx_reply_head head; /* zeroed when there is no whole answer */
    struct hx_bytes body;      /* borrowed from the answer */
};

void hx_ask_init(struct hx_ask *a, enum hx_part part, uint64_t now_ms);
void hx_ask_fini(struct hx_ask *a);
/* Cancels all that is under way, forgets all servers and tasks (whose memory may go). */
void hx_ask_reset(struct hx_ask *a);
/* Adds servers (copied): indexes go on from those there are.  HX_E_NOMEM. */
int hx_ask_servers(struct hx_ask *a, const struct hx_server *servers, uint32_t count);
/* So many tasks may be in use from now on (room in the timer heap).  HX_E_NOMEM. */
int hx_ask_reserve(struct hx_ask *a, size_t tasks);
const struct hx_server *hx_ask_server(const struct hx_ask *a, uint32_t server);
/* Incarnation learnt from HELLO. */
void hx_ask_set_incarnation(struct hx_ask *a, uint32_t server, const struct hx_uuid *incarnation);
int hx_ask_server_error(const struct hx_ask *a, uint32_t server); /* 0: answers, or not asked yet */

void hx_ask_queue(struct hx_ask *a, struct hx_ask_task *t, uint32_t server, uint16_t msg);
/* As queue, but after the task's own growing pause. */
void hx_ask_pause(struct hx_ask *a, struct hx_ask_task *t, uint32_t server, uint16_t msg);
void hx_ask_drop(struct hx_ask *a, struct hx_ask_task *t);
/* Takes queued and paused tasks back; what is under way stays so. */
void hx_ask_unqueue(struct hx_ask *a, struct hx_ask_task *t);

/* The next effect to carry out is a CANCEL: 1 and *ret. */
int hx_ask_cancel_next(struct hx_ask *a, struct hx_effect *ret);
/* Whose turn it is, or NULL; the caller sends or drops it at once. */
struct hx_ask_task *hx_ask_pop(struct hx_ask *a);
/* Fills request id, server and body fields of HEAD.  BODY (malloc'ed, may be NULL) is moved in any case.
 * HX_E_NOMEM: the task is idle. */
int hx_ask_send(struct hx_ask *a, struct hx_ask_task *t, struct hx_msg_head *head, uint8_t *body, size_t len,
                struct hx_effect *ret);
/* 1: *ret is the owner's to judge; 0: nobody's. */
int hx_ask_answer(struct hx_ask *a, uint64_t now_ms, uint64_t call, struct hx_bytes answer, struct hx_ask_reply *ret);
int hx_ask_failed(struct hx_ask *a, uint64_t now_ms, uint64_t call, int err, struct hx_ask_reply *ret);
/* Ms until the next call. */
uint64_t hx_ask_tick(struct hx_ask *a, uint64_t now_ms);

#endif
