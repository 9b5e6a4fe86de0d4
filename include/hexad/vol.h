/*
 * vol.h - a mounted volume: opens it, carries out what the client's pure parts ask for, lets operations wait.
 *
 * Carries out what a session (hexad/session.h) decides, in one thread, on one event loop: sends its requests over
 * HTTPS, gives it time and answers.  What stands on the volume (the mount) gives it operations (hexad/op.h) and is
 * called when one may run again.
 *
 *   LOOKUP ---> RECOVERY ---> OPEN ---> CLOSING ---> CLOSED
 *      |            |           |          |
 *      +--> FAILED <+           +-> FENCED +--> CLOSED
 *
 *   LOOKUP    asks all configured servers for the volume; a living writer ends it (BUSY) unless takeover
 *   RECOVERY  hexad/recovery.h; waits as long as the quorum is missing (soft_ms bounds it)
 *   OPEN      operations run
 *   FENCED    a newer writer owns the volume: every waiting and every later operation gets HX_E_FENCED, for ever
 *   CLOSING   waits until everything is durable, then says goodbye
 *
 * Invariants:
 *   V1 an operation that is answered by its durable is durable: VDL >= its LSN.
 *   V2 callbacks come from the event loop, never from inside a call of this header, but hx_vol_close and
 *      hx_vol_abandon.
 *   V3 after FENCED or CLOSED no parked operation is left: each came back through run.
 *
 * A crash leaves what the log holds (doc/PROTOCOL.md); nothing here is stored.  Threads: one.
 */
#ifndef HEXAD_VOL_H
#define HEXAD_VOL_H

#include "hexad/conf.h"
#include "hexad/net.h"
#include "hexad/op.h"
#include "hexad/room.h"
#include "hexad/session.h"

/* The session's states, as they are told. */
enum hx_vol_state {
    HX_VOL_LOOKUP = 1, HX_VOL_RECOVERY, HX_VOL_OPEN, HX_VOL_FENCED, HX_VOL_CLOSING, HX_VOL_CLOSED, HX_VOL_FAILED
};
const char *hx_vol_state_name(enum hx_vol_state state);

#define HX_VOL_CACHE_DEFAULT HX_SESSION_CACHE_DEFAULT
#define HX_VOL_CACHE_MIN (UINT64_C(8) << 20)

struct hx_vol_cfg {
    struct hx_loop *loop;              /* borrowed until hx_vol_free */
    const struct hx_client_conf *conf; /* borrowed until hx_vol_free */
    const char *name;                  /* of the volume; copied */
    const char *where;                 /* mount point, for others to read; copied */
    bool takeover;                     /* fence a writer that is alive */
    bool read_only;
    uint64_t cache_bytes, window_bytes; /* 0: default */
    uint32_t soft_ms;                  /* longest wait of an operation, and of the opening; 0: for ever */
    uint64_t repair_after_ms;          /* members silent for this long are replaced; 0: default, HX_HEAL_NEVER */
    const struct hx_uuid *lost;        /* an operator's word (hexad/recovery.h); borrowed until hx_vol_free */
    uint32_t lost_count;
    uint32_t repair_rate;              /* bytes a second to all new members together; 0: what their servers allow */
    void (*state)(void *ctx, enum hx_vol_state now); /* the state has changed */
    void (*waiting)(void *ctx, const char *text);    /* what is waited for, when that changes; "": no longer */
    void (*run)(void *ctx, struct hx_parked *op);    /* not parked any more: hx_vol_again */
    void (*idle)(void *ctx);           /* nothing is left to do just now: background work may run an operation */
    void *ctx;
};
struct hx_vol;
/* Starts opening; the outcome comes through state (OPEN, FAILED).  HX_E_TLS, HX_E_KEY_MODE...: WHY says which
 * file. */
int hx_vol_open(const struct hx_vol_cfg *cfg, struct hx_vol **ret, char why[HX_WHY_MAX]);
void hx_vol_free(struct hx_vol *v); /* in any state; nothing may be parked: see hx_vol_abandon */

enum hx_vol_state hx_vol_state(const struct hx_vol *v);
/* FAILED, FENCED: the error, and words about it (who holds the volume, what is missing).  Borrowed. */
int hx_vol_error(const struct hx_vol *v);
const char *hx_vol_why(const struct hx_vol *v);
/* Why operations wait now ("" if nothing is missing).  Borrowed. */
const char *hx_vol_waiting(const struct hx_vol *v);

/* ---- operations; OPEN only ---- */
struct hx_pager *hx_vol_pager(struct hx_vol *v); /* the cache, and notes what an operation lacks */
void hx_vol_begin(struct hx_vol *v);             /* before each run of an operation */
/* Changes wait for room: work that can as well be done later does not queue behind them. */
bool hx_vol_gated(const struct hx_vol *v);
/* hexad/op.h, at this moment. */
void hx_vol_start(struct hx_vol *v, struct hx_op *op);
void hx_vol_again(struct hx_vol *v, struct hx_parked *op);
int hx_vol_when_durable(struct hx_vol *v, struct hx_op *op);
void hx_vol_cancel(struct hx_vol *v, struct hx_parked *op, int err); /* comes back through run with ERR */
struct hx_lsn hx_vol_last(const struct hx_vol *v); /* last LSN allocated */
struct hx_lsn hx_vol_vdl(const struct hx_vol *v);
size_t hx_vol_parked(const struct hx_vol *v);
struct hx_session *hx_vol_session(struct hx_vol *v); /* to look at */
/* Something was done outside of a callback of this header (a request ran): see to it that effects are carried out. */
void hx_vol_kick(struct hx_vol *v);
void hx_vol_wrote(struct hx_vol *v, uint64_t bytes); /* counts what programs write, for status */
/* How many pages are free: the volume grows ahead of need. */
void hx_vol_note_free(struct hx_vol *v, uint64_t free_pages);
/* The volume is to end earlier: hx_session_release and its like. */
int hx_vol_release(struct hx_vol *v, uint64_t keep);
int hx_vol_unrelease(struct hx_vol *v);
bool hx_vol_releasing(const struct hx_vol *v);
uint64_t hx_vol_unit(const struct hx_vol *v);

/* ---- ending ---- */
void hx_vol_close(struct hx_vol *v);   /* makes everything durable, says goodbye; CLOSED comes through state */
void hx_vol_abandon(struct hx_vol *v); /* now: whatever waits gets HX_E_CANCELED; CLOSED comes through state */
/* Records that are not durable yet. */
uint64_t hx_vol_unsafe(const struct hx_vol *v);

/* ---- looking at it ---- */
/* Bytes that may still be written, from what servers said last of their disks; asks them again when that is old.
 * 0 and *ret, or HX_E_AGAIN: not known (yet). */
int hx_vol_room(struct hx_vol *v, uint64_t *ret_bytes);
/* What may be written, as room on the servers' disks is (hexad/room.h); and whether what was taken cannot be made
 * durable for want of it. */
enum hx_room_level hx_vol_level(const struct hx_vol *v);
bool hx_vol_full(const struct hx_vol *v);
/* Filesystem figures that the owner of the mount adds to status. */
struct hx_vol_usage {
    uint64_t pages, pages_free, inodes, requests;
    const uint64_t *by_kind;       /* requests of each kind; NULL: not told */
    const char *const *kind_names; /* NULL where a kind has no name */
    unsigned kind_count;
};
/* The document behind .hexad/status.json, the same in words, Prometheus text.  Caller frees with free(); NULL:
 * no memory. */
char *hx_vol_status_json(struct hx_vol *v, const struct hx_vol_usage *u);
char *hx_vol_status_text(struct hx_vol *v, const struct hx_vol_usage *u);
char *hx_vol_metrics(struct hx_vol *v, const struct hx_vol_usage *u);

#endif
