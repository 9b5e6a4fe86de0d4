/*
 * session.h - one opening of one volume by one client: from a name to an open volume, operations that wait, growth,
 * fencing, closing.
 *
 * Owns the recovery, writer, page cache, reader and growth of the volume and the operations that wait
 * (hexad/parking.h), and decides between them.  Performs no I/O, looks at no clock, draws no randomness: src/vol
 * gives it time and answers and carries its effects out over HTTPS; the simulator drives the very same object.
 *
 *   LOOKUP ---> RECOVERY ---> OPEN ---> CLOSING ---> CLOSED
 *      |            |           |          |
 *      +--> FAILED <+           +-> FENCED <+ (then CLOSED)
 *
 *   LOOKUP    asks all configured servers for the volume; a living writer ends it (BUSY) unless takeover
 *   RECOVERY  hexad/recovery.h; waits as long as the quorum is missing (soft_ms bounds it)
 *   OPEN      operations run
 *   FENCED    a newer writer owns the volume: every waiting and every later operation gets HX_E_FENCED, for ever
 *   CLOSING   waits until everything is durable, then says goodbye
 *   CLOSED    the end; also FAILED moves here by close or abandon
 *
 * How it is driven, by one thread:
 *
 *     an event (answer, failed, tick, or any call below that takes now_ms); several, if they came together
 *     while (hx_session_next(s, &e))       carry out; an operation that RUN gives may call anything below
 *         ...
 *     hx_session_wait(s)                   so many ms later at the latest: hx_session_tick, and a drain
 *
 * hx_session_next does not only hand out: between effects it moves the state machine on, so it is drained after
 * every batch of events, until it gives 0.  (A caller that must give others a turn may stop at any effect but
 * CANCEL_PART and go on with the drain later.)  Times never go backwards: an earlier now_ms counts as the latest
 * seen.
 *
 * Invariants:
 *   S1 an operation that hx_session_park_durable let through, or that was parked there and came back with err 0, is
 *      durable: VDL >= its LSN (V1 of hexad/vol.h; I1 of the fault model).
 *   S2 nothing calls back: what is to be done comes out of hx_session_next.
 *   S3 when FENCED has been drained, or CLOSED is told, no parked operation is left: each came back through RUN.
 *   S4 a request is answered, fails, or is canceled, at most once; answers to requests of parts that are gone are
 *      ignored.
 *   S5 RUN gives an operation at most once for each time that it was parked.
 *
 * A crash of the client is hx_session_free: nothing here is stored, the log holds what it holds (doc/PROTOCOL.md).
 * A late or repeated answer changes nothing.  Memory: that of the parts, bounded by the configuration.
 */
#ifndef HEXAD_SESSION_H
#define HEXAD_SESSION_H

#include "hexad/effect.h"
#include "hexad/pager.h"
#include "hexad/parking.h"
#include "hexad/reader.h"
#include "hexad/recovery.h"
#include "hexad/writer.h"

enum hx_session_state {
    HX_SESSION_LOOKUP = 1, HX_SESSION_RECOVERY, HX_SESSION_OPEN, HX_SESSION_FENCED, HX_SESSION_CLOSING,
    HX_SESSION_CLOSED, HX_SESSION_FAILED
};
const char *hx_session_state_name(enum hx_session_state state);

#define HX_SESSION_CACHE_DEFAULT (UINT64_C(64) << 20)
#define HX_SESSION_WINDOW_DEFAULT (UINT64_C(20) << 20) /* of frames that not all have */
#define HX_SESSION_RUN_BATCH 256u      /* operations run in a row before requests are handed out again */
#define HX_SESSION_ASK_MS 3000u        /* time limit of LOOKUP and HELLO */
#define HX_SESSION_ASK_AGAIN_MS 500u   /* after LOOKUP failed, or told too little */
#define HX_SESSION_LOOKUP_AGE_MS 3000u /* while others are waited for, an answer is asked for again after this */
#define HX_SESSION_ROOM_AGE_MS 10000u  /* what servers said of their disks is asked again after this */
#define HX_SESSION_GROW_PAUSE_MS 1000u /* after growth failed, before it is tried again */
#define HX_SESSION_STALL_MS 2000u      /* without progress for this long, say what is missing */
#define HX_SESSION_OPEN_TELL_MS 1000u  /* the same while opening */
#define HX_SESSION_GOODBYE_MS 3000u
#define HX_SESSION_IDLE_MS 1000u       /* longest time that tick gives */

struct hx_session_cfg {
    const char *name;                  /* of the volume; copied */
    const struct hx_server *servers;   /* as configured (name, zone, url); borrowed until free */
    uint32_t server_count;
    bool takeover;                     /* fence a writer that is alive */
    bool read_only;
    uint64_t cache_bytes, window_bytes; /* 0: default; the cache at least 4 MiB (hexad/pager.h) */
    uint32_t soft_ms;                  /* longest wait of an operation, and of the opening; 0: for ever */
    uint64_t repair_after_ms;          /* members silent for this long are replaced; 0: default, HX_HEAL_NEVER */
    const struct hx_uuid *lost;        /* an operator's word (hexad/recovery.h); borrowed until it is open, or failed */
    uint32_t lost_count;
    uint32_t repair_rate;              /* bytes a second to all new members together; 0: what their servers allow */
    struct hx_uuid owner;              /* 128 random bits, fresh for each session */
    uint64_t seed;                     /* 64 random bits: all further randomness is drawn from it */
    uint64_t now_ms;
};
struct hx_session;
struct hx_move;
struct hx_heal;
/* Starts in LOOKUP; the first drain sends.  HX_E_NOMEM, HX_E_INVAL (no server, or a name too long). */
int hx_session_new(const struct hx_session_cfg *cfg, struct hx_session **ret);
/* In any state, NULL too: a crash, for whoever is outside.  Requests under way must be canceled by the caller first
 * (their bytes are the session's memory).  Operations that are still parked are taken off its lists, not run: they
 * stay the caller's memory, and must be there until this has returned. */
void hx_session_free(struct hx_session *s);

/* ---- events ---- */
/* NOW_US: monotonic microseconds, for round trips.  BODY: a whole answer, borrowed until return. */
void hx_session_answer(struct hx_session *s, uint64_t now_ms, uint64_t now_us, uint64_t call, struct hx_bytes body);
/* ERR: HX_E_*, of the transport (HX_E_TIMEOUT, HX_E_CONNECT, HX_E_TLS, ...). */
void hx_session_failed(struct hx_session *s, uint64_t now_ms, uint64_t call, int err);
/* Timers of all parts.  Returns ms until the next call is due, if nothing else happens: at most HX_SESSION_IDLE_MS. */
uint64_t hx_session_tick(struct hx_session *s, uint64_t now_ms);
/* After a drain: the same, with what the drain did taken into account. */
uint64_t hx_session_wait(const struct hx_session *s);
/* Time has passed: for what follows that takes no now_ms.  No event. */
void hx_session_set_now(struct hx_session *s, uint64_t now_ms);
/* Wall-clock microseconds for frames sealed from now on; may be called at any time. */
void hx_session_set_time(struct hx_session *s, uint64_t time_us);
/* JSON text about this writer that goes along with heartbeats; OPEN and later (hx_writer_set_info). */
void hx_session_set_info(struct hx_session *s, const char *text);

/* As one that the servers keep for it (hexad/wish.h).  HX_E_AGAIN also: not OPEN, or it only reads. */
struct hx_wish;
int hx_session_wish(struct hx_session *s, const struct hx_wish *w);

/* ---- effects ---- */
enum hx_session_effect_kind {
    HX_SESSION_SEND = 1,    /* net: a request; its completion comes back through answer or failed */
    HX_SESSION_CANCEL,      /* net.call: no completion any more, and its bytes are not looked at from now on */
    HX_SESSION_CANCEL_PART, /* part: the same for all requests under way of this part (hx_call_part); the next call of
                             * hx_session_next frees their bytes */
    HX_SESSION_RUN,         /* op: not parked any more: op->err 0: run it again; else give up with that */
    HX_SESSION_STATE,       /* state: has changed to this */
    HX_SESSION_WAITING,     /* text: what is waited for, when that changes; "": no longer */
    HX_SESSION_GREW,        /* count: protection groups now */
    HX_SESSION_NOT_GREW,    /* err: the volume could not grow; tried again when somebody needs it */
    HX_SESSION_BAD_PAGE,    /* page, err: cannot be read, on any copy */
    HX_SESSION_SUCCESSOR,   /* after FENCED: it is known now who took over (hx_session_lookup) */
    HX_SESSION_IDLE         /* OPEN, and nothing is left to do just now: background work may run an operation.  At most
                             * once after each tick, when nothing else is left of the drain */
};
struct hx_session_effect {
    enum hx_session_effect_kind kind;
    struct hx_effect net;       /* SEND, CANCEL */
    enum hx_part part;          /* CANCEL_PART */
    struct hx_parked *op;       /* RUN */
    enum hx_session_state state; /* STATE */
    const char *text;           /* WAITING; borrowed until the next call of hx_session_next */
    uint32_t count;             /* GREW */
    int err;                    /* NOT_GREW, BAD_PAGE */
    struct hx_pageno page;      /* BAD_PAGE */
};
/* 1 and *ret, or 0 when there is nothing left to carry out.  Order: news (STATE, WAITING, ...; but CLOSED only when all
 * operations have come back); then requests; then, after a step of the state machine, operations that may run, up to
 * HX_SESSION_RUN_BATCH in a row, so that what they append goes out together. */
int hx_session_next(struct hx_session *s, struct hx_session_effect *ret);

/* ---- what it is ---- */
enum hx_session_state hx_session_state(const struct hx_session *s);
uint64_t hx_session_now(const struct hx_session *s); /* latest now_ms seen */
/* FAILED, FENCED, CLOSED: the error (0: all is well), and words about it.  Borrowed until the next event. */
int hx_session_error(const struct hx_session *s);
const char *hx_session_why(const struct hx_session *s);
/* Why operations, or the opening, wait now ("" if nothing is missing).  Borrowed until the next event. */
const char *hx_session_waiting(const struct hx_session *s);
/* What LOOKUP answered: before opening, and after FENCED about the successor (highest epoch, who that writer says it
 * is).  Borrowed until the next event. */
const struct hx_lookup_sum *hx_session_lookup(const struct hx_session *s);
/* The parts, to look at: NULL before OPEN. */
struct hx_writer *hx_session_writer(const struct hx_session *s);
struct hx_cache *hx_session_cache(const struct hx_session *s);
struct hx_reader *hx_session_reader(const struct hx_session *s);
/* Changes of members, and who is lost (hexad/move.h, hexad/heal.h); NULL: it is not open, or only reads.  After a call
 * that changes the driver, the session is drained. */
struct hx_move *hx_session_driver(const struct hx_session *s);
const struct hx_heal *hx_session_heal(const struct hx_session *s);
const struct hx_recovery *hx_session_recovery(const struct hx_session *s); /* while in RECOVERY */
struct hx_lsn hx_session_last(const struct hx_session *s); /* last LSN allocated; OPEN and later */
struct hx_lsn hx_session_vdl(const struct hx_session *s);
uint64_t hx_session_unsafe(const struct hx_session *s);    /* records that are not durable yet */
size_t hx_session_parked(const struct hx_session *s);
/* The PG with the fewest members that answer, and how many these are; OPEN and later. */
unsigned hx_session_weakest(const struct hx_session *s, uint32_t *ret_pg);

/* ---- operations; OPEN only.  hexad/op.h is the way of one operation over these ---- */
struct hx_pager *hx_session_pager(struct hx_session *s); /* the cache, and notes what an operation lacks */
void hx_session_begin(struct hx_session *s);             /* before each run of an operation */
/* A change must wait for its turn without being tried: others wait for room already. */
bool hx_session_gated(const struct hx_session *s);
/* ERR is what the operation answered: HX_E_MISS, HX_E_ROOM, HX_E_GROW; HX_E_ROOM also for hx_session_gated.  0:
 * parked, RUN will give it.  Negative: give up with that. */
int hx_session_park(struct hx_session *s, uint64_t now_ms, struct hx_parked *op, int err);
/* OP is parked until LSN is durable (0), also when it is already; negative: give up with that. */
int hx_session_park_durable(struct hx_session *s, uint64_t now_ms, struct hx_parked *op, struct hx_lsn lsn);
void hx_session_cancel(struct hx_session *s, struct hx_parked *op, int err); /* comes back through RUN with ERR */
/* How many pages are free: the volume grows ahead of need. */
void hx_session_note_free(struct hx_session *s, uint64_t now_ms, uint64_t free_pages);
/*
 * The volume is to end after KEEP pages, one group earlier than now: nothing lives beyond, nothing will be written
 * there, and what emptied it is durable.  The group's row is released when it is idle, and hx_session_pages falls.  0;
 * HX_E_BUSY: the volume grows, or a version is in the air: later.  HX_E_INVAL: that is not where the last group begins.
 * Taken back by pages that are wanted after all (growth), and by hx_session_unrelease, which is HX_E_BUSY when it is
 * too late: then those who want pages wait, and get the group again.
 */
int hx_session_release(struct hx_session *s, uint64_t now_ms, uint64_t keep);
int hx_session_unrelease(struct hx_session *s);
bool hx_session_releasing(const struct hx_session *s);
uint64_t hx_session_unit(const struct hx_session *s); /* pages of a group */
/* Bytes that the volume could still take, from what servers said last of their disks; asks them again when that is
 * old.  0 and *ret, or HX_E_AGAIN: not known (yet). */
int hx_session_room(struct hx_session *s, uint64_t now_ms, uint64_t *ret_bytes);

/* ---- ending ---- */
/* Makes everything durable, says goodbye, then CLOSED; what waits is sent home with HX_E_CANCELED.  In other states
 * than OPEN: as abandon. */
void hx_session_close(struct hx_session *s, uint64_t now_ms);
/* CLOSED now: whatever waits gets HX_E_CANCELED. */
void hx_session_abandon(struct hx_session *s, uint64_t now_ms);

#endif
