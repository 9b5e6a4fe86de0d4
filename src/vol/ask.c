/*
 * ask.c - one question to each of several servers: LOOKUP when a volume is opened, HELLO for the room on their disks.
 *
 * A round asks all servers at once and asks those that failed again after a pause, until it is stopped.  What
 * an answer means is the business of whoever started the round.  Memory: one block per round; the servers are
 * borrowed.
 */
#include "vol_private.h"

#include <stdlib.h>
#include <stdio.h>

static void ask(struct hx_vol *v, struct hx_vol_round *r, struct hx_vol_ask *a);

static struct hx_vol_round *round_of(struct hx_vol *v, const struct hx_vol_ask *a)
{
    return a >= v->lookup.asks && a < v->lookup.asks + v->lookup.count ? &v->lookup : &v->hello;
}

static void answer(void *ctx, int err, struct hx_bytes body)
{
    struct hx_vol_ask *a = ctx;
    struct hx_vol *v = a->v;
    a->net = NULL;
    a->err = err;
    a->answered = err == 0;
    a->again_ms = hx_vol_now(v) + HX_VOL_ASK_AGAIN_MS;
    if (err)
        snprintf(a->why, sizeof(a->why), "%s", hx_client_why(v->client));
    round_of(v, a)->answer(v, a, err, body);
    hx_vol_kick(v);
}

static void ask(struct hx_vol *v, struct hx_vol_round *r, struct hx_vol_ask *a)
{
    struct hx_msg_head h = {.type = r->type, .req_id = hx_random_u64()};
    struct hx_enc e = hx_enc_init(a->msg + HX_MSG_HEAD, sizeof(a->msg) - HX_MSG_HEAD);
    if (r->type == HX_MSG_LOOKUP)
        hx_enc_str(&e, v->name);
    struct hx_bytes body = {a->msg + HX_MSG_HEAD, e.len};
    hx_msg_head_encode(&h, &body, 1, a->msg);
    a->iov = (struct iovec){a->msg, HX_MSG_HEAD + e.len};
    int err = hx_client_post(v->client, a->server->url, a->server->name, &a->iov, 1, HX_VOL_ASK_MS, answer, a, &a->net);
    if (err) {
        a->net = NULL;
        a->err = err;
        a->again_ms = hx_vol_now(v) + HX_VOL_ASK_AGAIN_MS;
    }
}

int hx_vol_round_start(struct hx_vol *v, struct hx_vol_round *r, uint16_t type, const struct hx_server *servers,
                       uint32_t count)
{
    hx_vol_round_stop(r);
    r->asks = calloc(count ? count : 1, sizeof(*r->asks));
    if (!r->asks)
        return HX_E_NOMEM;
    r->count = count;
    r->type = type;
    for (uint32_t i = 0; i < count; i++) {
        r->asks[i].v = v;
        r->asks[i].server = &servers[i];
        ask(v, r, &r->asks[i]);
    }
    return 0;
}

void hx_vol_round_stop(struct hx_vol_round *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->asks[i].net)
            hx_call_cancel(r->asks[i].net);
    free(r->asks);
    r->asks = NULL;
    r->count = 0;
}

uint64_t hx_vol_round_tick(struct hx_vol *v, struct hx_vol_round *r)
{
    uint64_t now = hx_vol_now(v), next = UINT64_MAX;
    for (uint32_t i = 0; i < r->count; i++) {
        struct hx_vol_ask *a = &r->asks[i];
        if (a->net || a->answered)
            continue;
        if (a->again_ms <= now)
            ask(v, r, a);
        else if (a->again_ms - now < next)
            next = a->again_ms - now;
    }
    return next;
}
