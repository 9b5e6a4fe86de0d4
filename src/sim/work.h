/*
 * work.h - programs on a mount, and the judgement of everything that it answers.
 *
 * A mount is a session with a filesystem on it.  Its programs each have one operation under way: begun, maybe
 * parked (for pages, room, growth), accepted (its MTR is in the log, or it changed nothing), answered.
 * Operations are accepted one after the other; the model (tree.h) applies each at that moment and compares
 * everything: error, attributes, bytes, names.  So any wrong byte or error is seen when it is served (I6, I7,
 * I13), not only at the end.
 *
 * Operations go the way of hexad/op.h, as FUSE requests do: tried at once, parked on MISS, ROOM and GROW,
 * changes behind those that wait for room, fsync until durable, answered exactly once.  What stands below is
 * the host's: the session in the simulator (client.c), a pager in memory in tests.
 *
 * Verdicts: FS a wrong answer; I7 the tree after an opening is not the official prefix, or its structure is damaged;
 * I1 a barrier that a later history leaves out (journal.h); I13 success after a fence; I15 answered twice or never.
 *
 * A crash of the mount: hx_work_free, when the session has been freed; parked operations are forgotten, nothing is
 * answered.
 */
#ifndef HX_SIM_WORK_H
#define HX_SIM_WORK_H

#include "hexad/history.h"
#include "hexad/op.h"
#include "hexad/pager.h"
#include "journal.h"
#include "sim.h"

struct hx_work_host {
    void *ctx;
    void (*start)(void *ctx, struct hx_op *op);       /* hx_op_start */
    void (*begin)(void *ctx);                         /* hx_session_begin, between two parts of one run */
    int (*when_durable)(void *ctx, struct hx_op *op); /* hx_op_when_durable */
    /* Sends a waiting operation home, with HX_E_CANCELED, a little later; false: it does not wait. */
    bool (*cancel)(void *ctx, struct hx_op *op);
    struct hx_lsn (*last)(void *ctx);                 /* last LSN allocated */
    bool (*open)(void *ctx);                          /* operations may still succeed */
    bool (*gated)(void *ctx);                         /* a change would have to queue: background work stays away */
    /* A program is about to be told that everything through LSN is durable. */
    void (*durable)(void *ctx, struct hx_lsn lsn);
    void (*note_free)(void *ctx, uint64_t pages);     /* pages that are free now: the volume grows ahead of need */
};

/* The programs of a mount that has just opened with HISTORY's top epoch.  The filesystem is made if the volume is all
 * zeros.  PAGER and what HOST points at are borrowed until hx_work_free. */
struct hx_work *hx_work_new(struct hx_sim *s, uint32_t client, const struct hx_work_host *host, struct hx_pager *pager,
                            const struct hx_history *history);
void hx_work_free(struct hx_work *w);
/* Programs whose pause is over begin operations; returns when the next one wants to (virtual us; UINT64_MAX: none). */
uint64_t hx_work_step(struct hx_work *w);
/* Nothing else to do just now: frees space of deleted files, says how much is free. */
void hx_work_background(struct hx_work *w);
/* The session is fenced or closed: from now on every operation fails, none succeeds (I13). */
void hx_work_fenced(struct hx_work *w);
/* The session was closed in order: everything that was accepted is durable (I1). */
void hx_work_closed(struct hx_work *w);
/* No new operations; with SYNC every program ends with an fsync.  True when all are answered. */
bool hx_work_drain(struct hx_work *w, bool sync);
bool hx_work_idle(const struct hx_work *w);    /* nothing is under way */
bool hx_work_mounted(const struct hx_work *w); /* the filesystem was found or made, and is served */
bool hx_work_gave_up(const struct hx_work *w); /* it could neither be found nor made: mount ends with an error */
/* Compares the whole tree with the model through the filesystem's own calls, and hx_fs_verify, as soon as
 * nothing else is under way; hx_work_compared: all that was asked for is done.  Also runs by itself, at random,
 * right after an opening. */
void hx_work_compare(struct hx_work *w);
bool hx_work_compared(const struct hx_work *w);

struct hx_work_stats {
    uint64_t begun, accepted, refused, failed; /* refused: as predicted; failed: no space, fenced, ... */
    uint64_t barriers, compares, entries;      /* entries: listed */
    uint64_t canceled;
    uint64_t kinds[HX_ACT_COUNT];              /* accepted, by kind */
};
void hx_work_stats(const struct hx_work *w, struct hx_work_stats *ret);

#endif
