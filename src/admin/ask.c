/*
 * ask.c - asks many servers at once and waits for all answers or the time limit.
 *
 * Does not look into answers beyond their head.  A server that does not answer has an error in its struct;
 * only when nothing could be sent at all does the whole fail.
 * Threads: one; runs a loop of its own.  Memory: a message per question until the end of the call.
 */
#include "admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct question {
    struct round *round;
    struct admin_ask *ask;
    struct hx_call *call; /* under way */
    uint64_t sent_us;
    uint8_t head[HX_MSG_HEAD];
    struct iovec iov[2];
};
struct round {
    struct hx_loop *loop;
    struct hx_client *client;
    size_t waiting;
};

_Static_assert(HX_WHY_MAX >= HX_MSG_VERSION_WHY, "why has room for it");

static void take(struct admin_ask *a, struct hx_bytes whole)
{
    struct hx_bytes body;
    a->err = hx_reply_decode(whole.p, whole.len, &a->head, &body);
    if (!a->err)
        a->err = a->head.status;
    if (!a->err && (a->head.type != (uint16_t)a->type))
        a->err = HX_E_BADMSG;
    if (!a->err && body.len) {
        a->answer = malloc(body.len);
        if (!a->answer)
            a->err = HX_E_NOMEM;
        else
            memcpy(a->answer, body.p, body.len);
        a->answer_len = a->err ? 0 : body.len;
    }
    if (a->err && !(a->err == HX_E_VERSION && hx_msg_version_why(whole, HX_MSG_VERSION, a->why)))
        snprintf(a->why, sizeof a->why, "%s", hx_err_text(a->err));
}

static void done(void *ctx, int err, struct hx_bytes body)
{
    struct question *q = ctx;
    q->call = NULL;
    q->ask->us = hx_clock_mono_us() - q->sent_us;
    q->ask->err = err;
    if (err) {
        const char *why = hx_client_why(q->round->client);
        snprintf(q->ask->why, sizeof q->ask->why, "%s", why && *why ? why : hx_err_text(err));
    } else {
        take(q->ask, body);
    }
    if (--q->round->waiting == 0)
        hx_loop_stop(q->round->loop);
}

static void send_one(struct round *r, struct question *q, struct admin_ask *a, uint64_t id, uint32_t timeout_ms)
{
    struct hx_msg_head h = {
        .type = (uint16_t)a->type, .req_id = id, .volume = a->volume, .server = a->server->incarnation};
    q->round = r;
    q->ask = a;
    hx_msg_head_encode(&h, &a->body, a->body.len ? 1 : 0, q->head);
    q->iov[0] = (struct iovec){q->head, sizeof q->head};
    q->iov[1] = (struct iovec){(void *)(uintptr_t)a->body.p, a->body.len};
    q->sent_us = hx_clock_mono_us();
    a->err = hx_client_post(r->client, a->server->url, a->server->name, q->iov, a->body.len ? 2 : 1, timeout_ms, done,
                            q, &q->call);
    if (a->err)
        snprintf(a->why, sizeof a->why, "%s", hx_err_text(a->err));
    else
        r->waiting++;
}

int admin_ask_all(const struct hx_client_conf *conf, struct admin_ask *asks, size_t count, uint32_t timeout_ms,
                  char why[HX_WHY_MAX])
{
    const struct hx_tls_cfg tls = {conf->ca, conf->cert, conf->key};
    struct round r = {0};
    struct question *qs = calloc(count + 1, sizeof *qs);
    why[0] = '\0';
    int err = qs ? hx_loop_new(&r.loop) : HX_E_NOMEM;
    if (!err)
        err = hx_client_new(r.loop, &tls, &r.client, why);
    if (!err) {
        for (size_t i = 0; i < count; i++)
            send_one(&r, &qs[i], &asks[i], i + 1, timeout_ms);
        if (r.waiting)
            err = hx_loop_run(r.loop);
    }
    hx_client_free(r.client);
    hx_loop_free(r.loop);
    free(qs);
    return err;
}

void admin_ask_fini(struct admin_ask *asks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(asks[i].answer);
        asks[i].answer = NULL;
    }
}
