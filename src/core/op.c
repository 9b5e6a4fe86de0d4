/*
 * op.c - the way of one operation: tried, parked, run again, answered exactly once (hexad/op.h).
 *
 * Decides nothing about who may run when (parking.c).  Invariants O1..O4 are in the header.  The session calls
 * nobody, so whoever drains it brings each operation here (hx_op_again).  Memory: the caller's; after done, or after
 * a fail that keep did not precede, OP is not touched any more.
 */
#include "hexad/op.h"

#include "hexad/mutant.h"

#define ANSWER_WAITS 1 /* from hx_op_when_durable: OP may be gone */

static void end(struct hx_op *op, int err)
{
    if (err)
        op->calls->fail(op, err);
    if (op->calls->done)
        op->calls->done(op);
}

static bool must_wait(int err)
{
    return err == HX_E_MISS || err == HX_E_ROOM || err == HX_E_GROW;
}

static void settle(struct hx_session *s, struct hx_op *op, int err)
{
    if (err == ANSWER_WAITS)
        return;
    if (must_wait(err)) {
        struct hx_op *kept = op->calls->keep(op);
        if (!kept) {
            end(op, HX_E_NOMEM);
            return;
        }
        op = kept;
        err = hx_session_park(s, hx_session_now(s), &op->park, err);
        if (err == 0)
            return;
    }
    end(op, err);
}

/* Runs it; where no page is free, frees what can be freed, a step at a time, before that is the answer (O4). */
static int attempt(struct hx_session *s, struct hx_op *op)
{
    for (;;) {
        hx_session_begin(s);
        int err = op->calls->run(op);
        if (err != HX_E_GROW || !op->calls->reclaim)
            return err;
        hx_session_begin(s);
        int freed = op->calls->reclaim(op);
        if (freed == HX_E_MISS || freed == HX_E_ROOM)
            return freed; /* wait for what the freeing lacks, then try again */
        if (freed <= 0)
            return err;
    }
}

static void run(struct hx_session *s, struct hx_op *op)
{
    if (op->changes && !op->park.had_turn && hx_session_gated(s)) /* O3 */
        settle(s, op, HX_E_ROOM);
    else
        settle(s, op, attempt(s, op));
}

/* What an operation gets before it is tried, in the states in which none may run; 0: run. */
static int refusal(const struct hx_session *s)
{
    switch (hx_session_state(s)) {
    case HX_SESSION_OPEN:
        return 0;
    case HX_SESSION_FENCED:
        return HX_MUTANT(FENCED_READS) ? 0 : HX_E_FENCED;
    default:
        return HX_E_IO;
    }
}

void hx_op_start(struct hx_session *s, uint64_t now_ms, struct hx_op *op)
{
    hx_session_set_now(s, now_ms);
    int err = refusal(s);
    if (err)
        end(op, err);
    else
        run(s, op);
}

int hx_op_when_durable(struct hx_session *s, struct hx_op *op)
{
    struct hx_lsn lsn = hx_session_last(s);
    op->committed = true;
    if (hx_session_vdl(s).v >= lsn.v || HX_MUTANT(DURABLE_AT_ONCE)) { /* S1 */
        op->calls->durable(op);
        return 0;
    }
    struct hx_op *kept = op->calls->keep(op);
    if (!kept)
        return HX_E_NOMEM;
    int err = hx_session_park_durable(s, hx_session_now(s), &kept->park, lsn);
    if (err)
        end(kept, err);
    return ANSWER_WAITS;
}

void hx_op_again(struct hx_session *s, uint64_t now_ms, struct hx_parked *parked)
{
    struct hx_op *op = HX_CONTAINER_OF(parked, struct hx_op, park);
    hx_session_set_now(s, now_ms);
    if (op->park.err) {
        end(op, op->park.err);
    } else if (op->committed) {
        op->calls->durable(op);
        end(op, 0);
    } else {
        run(s, op);
    }
}
