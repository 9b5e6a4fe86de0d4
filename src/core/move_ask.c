/*
 * move_ask.c - what the driver of changes asks, and what the answers mean (hexad/move.h; the messages:
 * doc/PROTOCOL.md).
 *
 * Every refusal that speaks of a newer epoch ends the driver; whatever else goes wrong is tried again after a pause,
 * for ever: who drives the moves gives up, not this.  Answers to calls of a change that has gone are nobody's (ask.h
 * A3). Memory: bodies, for as long as their requests are under way.
 */
#include "move_int.h"

#include "writer_int.h"

#include "hexad/assert.h"
#include "hexad/err.h"

#include <stdlib.h>

static struct move_change *change_of(const struct hx_ask_task *t)
{
    switch (t->owner_kind) {
    case MOVE_TASK_CHANGE:
        return HX_CONTAINER_OF(t, struct move_change, task);
    case MOVE_TASK_TELL:
    case MOVE_TASK_RETIRE:
        return HX_CONTAINER_OF(t, struct move_tell, task)->of;
    default:
        return NULL;
    }
}

/* ---- answers ---- */

/* FORMAT of a learner, and MEMBERS, say which life of the segment answered. */
static uint64_t life_of(struct hx_bytes body)
{
    struct hx_dec d = hx_dec_init(body.p, body.len);
    uint64_t life = hx_dec_u64(&d);
    return d.err ? 0 : life;
}

/* Nothing is to be deleted there (any more): it is gone, or is somebody's again, or another disk has taken its
 * place. */
static bool nothing_to_delete(int err)
{
    return err == 0 || err == HX_E_NO_SEGMENT || err == HX_E_NO_VOLUME || err == HX_E_MADE_ANEW ||
           err == HX_E_WRONG_MEMBER || err == HX_E_STRANGER;
}

static bool settled(const struct move_change *c)
{
    bool idle = c->retire.task.state == HX_ASK_IDLE && c->task.state == HX_ASK_IDLE;
    for (unsigned i = 0; i < HX_COPIES; i++)
        idle = idle && c->tell[i].task.state == HX_ASK_IDLE;
    return idle;
}

uint32_t move_share(const struct hx_move *m, const struct move_change *c)
{
    uint32_t n = 0;
    for (const struct move_change *o = m->changes; o; o = o->next)
        n += !o->orphan && (o->state == HX_CHANGE_MAKE || o->state == HX_CHANGE_FILL);
    uint32_t share = m->rate / (n ? n : 1);
    return c->plain || m->rate == 0 ? 0 : share ? share : 1;
}

static void judge_change(struct hx_move *m, struct move_change *c, const struct hx_ask_reply *reply)
{
    struct hx_ask_task *t = reply->task;
    if (t->msg == HX_MSG_FORMAT && c->rate_asked && reply->err == HX_E_BADMSG)
        c->plain = true; /* a server of before */
    else if (t->msg == HX_MSG_FORMAT && !reply->err)
        c->rate = c->rate_asked;
    if (t->msg == HX_MSG_FORMAT && c->state != HX_CHANGE_MAKE) { /* its rate, as long as it is filled */
        if (reply->err && c->state == HX_CHANGE_FILL)
            hx_ask_pause(&m->ask, t, t->server, t->msg);
        return;
    }
    c->last_error = reply->err;
    if (t->msg == HX_MSG_DELETE) {
        if (nothing_to_delete(reply->err))
            move_drop(m, c);
        else
            hx_ask_pause(&m->ask, t, t->server, t->msg);
    } else if (reply->err) {
        hx_ask_pause(&m->ask, t, t->server, t->msg);
    } else {
        c->life = life_of(reply->body);
        c->made = true; /* M8 */
    }
}

static void judge_retire(struct hx_move *m, struct move_change *c, const struct hx_ask_reply *reply)
{
    struct hx_ask_task *t = reply->task;
    if (nothing_to_delete(reply->err) && (reply->err || t->msg == HX_MSG_DELETE))
        return;
    if (reply->err) {
        hx_ask_pause(&m->ask, t, t->server, t->msg);
        return;
    }
    c->old_life = life_of(reply->body); /* M10: this one is meant, whatever is made there later */
    hx_ask_queue(&m->ask, t, t->server, HX_MSG_DELETE);
}

void move_judge(struct hx_move *m, const struct hx_ask_reply *reply)
{
    struct hx_ask_task *t = reply->task;
    struct move_change *c = change_of(t);
    if (reply->err == HX_E_FENCED || reply->head.promised.v > hx_writer_epoch(m->writer).v) {
        move_end(m, HX_E_FENCED);
        return;
    }
    switch (t->owner_kind) {
    case MOVE_TASK_CHANGE:
        judge_change(m, c, reply);
        return;
    case MOVE_TASK_TELL: /* who is replaced meanwhile, or is another by now, need not be told */
        if (reply->err && !nothing_to_delete(reply->err))
            hx_ask_pause(&m->ask, t, t->server, t->msg);
        break;
    case MOVE_TASK_WISH:
        if (reply->err == 0)
            move_wish_answer(m, reply->body);
        return;
    case MOVE_TASK_GREET:
        if (reply->err && !nothing_to_delete(reply->err))
            hx_ask_pause(&m->ask, t, t->server, t->msg);
        return;
    case MOVE_TASK_RETIRE:
        judge_retire(m, c, reply);
        break;
    case MOVE_TASK_STATUS:
        if (reply->err == 0)
            move_status_answer(m, t->server, reply->body);
        return;
    default:
        if (reply->err)
            hx_ask_pause(&m->ask, t, t->server, t->msg);
        else
            move_stored(m, (size_t)(t - m->publish));
        return;
    }
    if (c->state == HX_CHANGE_TELL && settled(c))
        move_drop(m, c);
}

/* ---- requests ---- */

/* What a message about a change's group says: the geometry, and what comes behind it. */
static int body_of(const struct hx_move *m, const struct hx_geometry *whole, const struct hx_ask_task *t,
                   struct move_change *c, uint8_t **ret, size_t *ret_len)
{
    const struct hx_history *h = hx_writer_history(m->writer);
    struct hx_geometry g = {0};
    int rc = hx_geometry_slice(whole, c ? c->pg : 0, &g); /* what a segment of that group keeps */
    size_t cap = rc ? 0 : hx_geometry_encoded_len(&g) + hx_history_encoded_len(h) + 8;
    uint8_t *p = rc ? NULL : malloc(cap);
    if (!p) {
        hx_geometry_fini(&g);
        return HX_E_NOMEM;
    }
    struct hx_enc e = hx_enc_init(p, cap);
    hx_geometry_encode(&g, &e);
    hx_geometry_fini(&g);
    if (t->msg == HX_MSG_FORMAT) {
        hx_history_encode(h, &e);
        hx_enc_u8(&e, 1);
        c->rate_asked = move_share(m, c);
        if (c->rate_asked)
            hx_enc_u32(&e, c->rate_asked);
    } else if (t->msg == HX_MSG_DELETE) {
        hx_enc_u64(&e, t->owner_kind == MOVE_TASK_RETIRE ? c->old_life : c->life);
    }
    hx_assert(e.err == 0);
    *ret = p;
    *ret_len = e.len;
    return 0;
}

static int build(struct hx_move *m, struct hx_ask_task *t, struct hx_msg_head *head, uint8_t **ret, size_t *ret_len)
{
    const struct hx_geometry *g = t->owner_kind == MOVE_TASK_PUBLISH ? &m->next : move_geometry(m);
    struct move_change *c = change_of(t);
    *head = (struct hx_msg_head){.volume = g->volume, .owner = m->owner, .epoch = hx_writer_epoch(m->writer), .g = g->g,
                                 .m = g->m, .pg = c ? c->pg : 0};
    if (t->msg == HX_MSG_STATUS) {
        head->g = HX_STATUS_PARTS;
        m->server[t->server]->asked = m->serial;
        return 0;
    }
    if (t->msg == HX_MSG_WISH)
        return 0;
    return body_of(m, g, t, c, ret, ret_len);
}

int hx_move_next(struct hx_move *m, struct hx_effect *ret)
{
    uint8_t *body = NULL;
    size_t len = 0;
    if (hx_ask_cancel_next(&m->ask, ret))
        return 1;
    struct hx_ask_task *t = m->state == 0 ? hx_ask_pop(&m->ask) : NULL;
    if (!t)
        return 0;
    struct hx_msg_head head;
    int err = build(m, t, &head, &body, &len);
    if (!err)
        err = hx_ask_send(&m->ask, t, &head, body, len, ret);
    if (!err)
        return 1;
    hx_ask_pause(&m->ask, t, t->server, t->msg); /* there was no memory: a moment later */
    return 0;
}
