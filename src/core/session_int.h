/*
 * session_int.h - what the files of a session share (hexad/session.h).
 */
#ifndef HX_CORE_SESSION_INT_H
#define HX_CORE_SESSION_INT_H

#include "hexad/heal.h"
#include "hexad/move.h"
#include "hexad/msg.h"
#include "hexad/session.h"
#include "notepager.h"

/* ---- session_round.c: one question to each of several servers ---- */
struct hx_session_ask {
    const struct hx_server *server;
    uint8_t msg[HX_MSG_HEAD + 2 + HX_NAME_MAX + 1];
    struct iovec iov;
    uint64_t call;       /* under way, or 0 */
    uint64_t again_ms;   /* when to ask (again) */
    bool answered;
    uint8_t *last;       /* owned: LOOKUP's last answer, while it opens */
    size_t last_len;
    uint64_t last_ms;
    uint64_t free_bytes, total_bytes; /* HELLO */
    int err;             /* of the last try */
};
struct hx_session_asks {
    struct hx_session_asks *next_dying;
    struct hx_server *servers; /* owned, or NULL: the configured ones */
    uint32_t count;
    struct hx_session_ask ask[];
};
struct hx_session_round {
    enum hx_part part;
    uint16_t type;
    uint64_t due_ms;      /* nobody is to be asked before */
    struct hx_session_asks *asks; /* owned; NULL: no round */
};

/* Where a drain stands: TICK -> CARRY -> STEP -> RUN, again while anything moved, then REST. */
enum hx_session_phase { HX_PHASE_TICK = 0, HX_PHASE_CARRY, HX_PHASE_STEP, HX_PHASE_RUN, HX_PHASE_REST };

/* News that are not a state: bits. */
#define HX_NEWS_WAITING 1u
#define HX_NEWS_GREW 2u
#define HX_NEWS_NOT_GREW 4u
#define HX_NEWS_BAD_PAGE 8u
#define HX_NEWS_SUCCESSOR 16u

struct hx_session {
    char name[HX_NAME_MAX + 1];
    const struct hx_server *servers; /* borrowed */
    uint32_t server_count;
    bool takeover, read_only;
    const struct hx_uuid *lost; /* borrowed */
    uint32_t lost_count;
    uint64_t cache_bytes, window_bytes;
    uint32_t soft_ms;
    struct hx_uuid owner;  /* configured; the writer's once it is open */
    uint64_t rng, next_call;

    enum hx_session_state state, told;
    int error;
    char why[512], waiting[512];
    uint64_t now_ms, time_us;
    uint64_t opened_ms;    /* when opening began */

    enum hx_session_phase phase;
    bool moved;            /* something happened in this turn of the drain */
    bool idle_due;
    unsigned ran;          /* operations in a row */
    uint64_t wait_ms;      /* what the last tick of the parts gave */
    unsigned news;         /* HX_NEWS_* not told yet */
    int grow_news_err, bad_err;
    struct hx_pageno bad_page;
    unsigned cancel_parts; /* 1 << enum hx_part: to be told */
    struct hx_session_asks *dying; /* freed when all CANCEL_PART are carried out */
    struct hx_recovery *dying_recovery;
    struct hx_growth *dying_growth;
    struct hx_move *dying_driver;
    struct hx_heal *dying_heal;

    struct hx_session_round lookup, hello;
    struct hx_lookup_sum sum;

    struct hx_recovery *recovery;
    struct hx_writer *writer;
    struct hx_cache *cache;
    struct hx_reader *reader;
    struct hx_growth *growth;
    struct hx_move *driver; /* of changes of members; NULL: a mount that only reads */
    struct hx_heal *heal;   /* NULL with the driver */
    uint64_t repair_after_ms;
    uint32_t repair_rate;
    uint64_t versions;      /* that the driver has brought into use, and we know of */
    struct hx_notepager pager;
    struct hx_parking parking; /* buckets NULL: not open yet */

    struct hx_lsn vdl;
    uint64_t room_serial;
    uint64_t progress_ms;  /* when the VDL moved, or when it had reached the last LSN */
    uint64_t grow_again_ms;
    int grow_err;
    uint64_t room_ms, room_bytes, goodbye_ms, close_ms;
    bool room_known, said_goodbye;
    bool grow_wanted;      /* once no version is in the air */
};

/* session.c */
uint64_t hx_session_random(struct hx_session *s);
void hx_session_move(struct hx_session *s, enum hx_session_state to);
void hx_session_fail(struct hx_session *s, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void hx_session_say_waiting(struct hx_session *s, const char *text);
/* The part's requests are to be canceled; then its memory may go.  Each tolerates that there is none. */
void hx_session_bury_recovery(struct hx_session *s);
void hx_session_bury_growth(struct hx_session *s);
void hx_session_bury_driver(struct hx_session *s);

/* session_round.c */
/* SERVERS is borrowed until free, or (OWNED) moved on success only. */
int hx_session_round_start(struct hx_session *s, struct hx_session_round *r, uint16_t type,
                           const struct hx_server *servers, uint32_t count, bool owned);
/* N more servers, whose entries are copied, in a round that is under way; what was answered is kept.  Asks may move. */
int hx_session_round_extend(struct hx_session *s, struct hx_session_round *r, const struct hx_server *const *more,
                            uint32_t n);
void hx_session_round_stop(struct hx_session *s, struct hx_session_round *r);
int hx_session_round_next(struct hx_session *s, struct hx_session_round *r, struct hx_effect *ret);
/* The ask whose call this was, over now, or NULL.  ERR 0: it answered. */
struct hx_session_ask *hx_session_round_over(struct hx_session_round *r, uint64_t call, int err);
void hx_session_round_again(struct hx_session_round *r, struct hx_session_ask *a, uint64_t at_ms); /* ask again then */
void hx_session_asks_free(struct hx_session_asks *a);
uint64_t hx_session_round_wait(const struct hx_session *s, const struct hx_session_round *r);

/* session_open.c: LOOKUP and RECOVERY, and who fenced us */
int hx_session_open_start(struct hx_session *s);
bool hx_session_open_step(struct hx_session *s); /* true: something changed */
void hx_session_lookup_answer(struct hx_session *s, uint64_t call, int err, struct hx_bytes body);
void hx_session_who_fenced(struct hx_session *s);

/* session_ops.c: operations that wait, pages, growth */
bool hx_session_growth_step(struct hx_session *s);
bool hx_session_driver_step(struct hx_session *s);
void hx_session_take_pages(struct hx_session *s);

/* session_view.c: what is missing, and room */
void hx_session_describe_quorum(const struct hx_session *s, bool writing, char *text, size_t cap);
void hx_session_room_answer(struct hx_session *s, uint64_t call, int err, struct hx_bytes body);

#endif
