/*
 * op.h - the way of one operation on an open volume: tried at once; parked if it must wait; run again; answered exactly
 * once.
 *
 * Does not know what operations mean (the filesystem's callers do) nor what they wait for (hexad/parking.h decides).
 * src/fuse and the simulator's programs both go this way.
 *
 *   start --run--> answered                     run gave 0 (it has answered) or an error (fail)
 *     |  \--MISS, ROOM, GROW--> kept, parked --RUN--> again --run--> ...
 *     \--hx_op_when_durable---> kept, parked --RUN--> durable
 *
 * Invariants:
 *   O1 an operation is answered exactly once: by run, by durable, or by fail.
 *   O2 an operation that waits has changed nothing, or (durable) is committed and only its answer waits.
 *   O3 a change does not overtake changes that wait for room: it queues behind them untried.
 *   O4 GROW is answered as "no space" only after reclaim found nothing to free and the volume cannot grow.
 *
 * A crash leaves what its mini-transaction left: all of it or nothing.  Pure; allocates nothing itself.
 */
#ifndef HEXAD_OP_H
#define HEXAD_OP_H

#include "hexad/session.h"

struct hx_op;
struct hx_op_calls {
    /* Runs the operation from its start (pager.h).  0: done and answered.  MISS, ROOM, GROW: nothing happened, wait
     * and run again.  What hx_op_when_durable gave.  Other errors: fail answers. */
    int (*run)(struct hx_op *op);
    void (*durable)(struct hx_op *op);       /* answers; NULL if hx_op_when_durable is never used */
    void (*fail)(struct hx_op *op, int err); /* answers */
    /* OP must wait: the copy that may stay in memory (or OP itself, if it may).  NULL: no memory, OP fails. */
    struct hx_op *(*keep)(struct hx_op *op);
    void (*done)(struct hx_op *op);          /* answered: what keep made may go.  The last call.  May be NULL */
    /* Before GROW is waited for: 1 freed something, try again; 0 nothing to free; negative: as run.  One bounded
     * step; may be NULL. */
    int (*reclaim)(struct hx_op *op);
};
struct hx_op {
    struct hx_parked park;
    const struct hx_op_calls *calls; /* borrowed for the operation's life */
    bool changes;                    /* it is a change: O3 */
    bool committed;                  /* waits, or has waited, for being durable */
};

/* OP may be on the stack: keep copies it if it must wait.  Not OPEN: fails with HX_E_FENCED or HX_E_IO. */
void hx_op_start(struct hx_session *s, uint64_t now_ms, struct hx_op *op);
/* For HX_SESSION_RUN. */
void hx_op_again(struct hx_session *s, uint64_t now_ms, struct hx_parked *parked);
/* For a run, or in an operation that has no other run: answers through durable once everything logged so far is
 * durable.  Run returns what this gives, and does not touch OP any more. */
int hx_op_when_durable(struct hx_session *s, struct hx_op *op);

#endif
