/*
 * session_round.c - one question to each of several servers: LOOKUP when a volume is opened, HELLO for the room on
 * their disks.
 *
 * A round asks all servers at once.  What an answer means, and whether and when that server is asked again, is the
 * business of whoever started the round.
 * Late answers: a call number is used once in a session, so one of a round that was stopped finds nothing.
 * Memory: one block per round; a stopped one stays until its requests have been canceled (hx_session_next).
 */
#include "session_int.h"

#include "hexad/assert.h"

#include <stdlib.h>

int hx_session_round_start(struct hx_session *s, struct hx_session_round *r, uint16_t type,
                           const struct hx_server *servers, uint32_t count, bool owned)
{
    struct hx_session_asks *asks = calloc(1, sizeof(*asks) + count * sizeof(asks->ask[0]));
    if (!asks)
        return HX_E_NOMEM;
    hx_session_round_stop(s, r);
    if (owned)
        asks->servers = (struct hx_server *)servers;
    asks->count = count;
    for (uint32_t i = 0; i < count; i++)
        asks->ask[i].server = &servers[i];
    r->asks = asks;
    r->type = type;
    r->part = type == HX_MSG_LOOKUP ? HX_PART_LOOKUP : HX_PART_HELLO;
    r->due_ms = 0;
    return 0;
}

int hx_session_round_extend(struct hx_session *s, struct hx_session_round *r, const struct hx_server *const *more,
                            uint32_t n)
{
    struct hx_session_asks *was = r->asks;
    uint32_t count = was->count;
    struct hx_server *servers = malloc((count + (size_t)n) * sizeof(*servers));
    if (!servers)
        return HX_E_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        servers[i] = *was->ask[i].server;
    for (uint32_t i = 0; i < n; i++)
        servers[count + i] = *more[i];
    int err = hx_session_round_start(s, r, r->type, servers, count + n, true);
    if (err) {
        free(servers);
        return err;
    }
    for (uint32_t i = 0; i < count; i++) { /* what was under way is asked again, what was answered stays so */
        struct hx_session_ask *a = &r->asks->ask[i], *b = &was->ask[i];
        a->last = b->last;
        a->last_len = b->last_len;
        a->last_ms = b->last_ms;
        a->err = b->err;
        a->answered = b->answered;
        a->again_ms = b->call ? 0 : b->again_ms;
        b->last = NULL;
    }
    return 0;
}

void hx_session_round_stop(struct hx_session *s, struct hx_session_round *r)
{
    if (!r->asks)
        return;
    s->cancel_parts |= 1u << r->part;
    r->asks->next_dying = s->dying;
    s->dying = r->asks;
    r->asks = NULL;
}

static void ask(struct hx_session *s, const struct hx_session_round *r, struct hx_session_ask *a,
                struct hx_effect *ret)
{
    struct hx_msg_head h = {.type = r->type, .req_id = hx_session_random(s)};
    struct hx_enc e = hx_enc_init(a->msg + HX_MSG_HEAD, sizeof(a->msg) - HX_MSG_HEAD);
    if (r->type == HX_MSG_LOOKUP)
        hx_enc_str(&e, s->name);
    struct hx_bytes body = {a->msg + HX_MSG_HEAD, e.len};
    hx_msg_head_encode(&h, &body, 1, a->msg);
    a->iov = (struct iovec){a->msg, HX_MSG_HEAD + e.len};
    a->call = (uint64_t)r->part << 56 | ++s->next_call;
    *ret = (struct hx_effect){
        .kind = HX_EFFECT_SEND,
        .call = a->call,
        .server = a->server,
        .iov = &a->iov,
        .iovcnt = 1,
        .timeout_ms = HX_SESSION_ASK_MS,
    };
}

/* When the next one is to be asked. */
static uint64_t due(const struct hx_session_round *r)
{
    uint64_t at = UINT64_MAX;
    for (uint32_t i = 0; i < r->asks->count; i++) {
        const struct hx_session_ask *a = &r->asks->ask[i];
        if (!a->call && a->again_ms < at)
            at = a->again_ms;
    }
    return at;
}

int hx_session_round_next(struct hx_session *s, struct hx_session_round *r, struct hx_effect *ret)
{
    if (!r->asks || r->due_ms > s->now_ms)
        return 0;
    struct hx_session_ask *a = r->asks->ask;
    while (a->call || a->again_ms > s->now_ms)
        a++;
    hx_assert(a < r->asks->ask + r->asks->count); /* that is what due_ms says */
    ask(s, r, a, ret);
    r->due_ms = due(r);
    return 1;
}

struct hx_session_ask *hx_session_round_over(struct hx_session_round *r, uint64_t call, int err)
{
    for (uint32_t i = 0; r->asks && i < r->asks->count; i++) {
        struct hx_session_ask *a = &r->asks->ask[i];
        if (a->call != call)
            continue;
        a->call = 0;
        a->err = err;
        a->answered = err == 0;
        a->again_ms = UINT64_MAX;
        r->due_ms = due(r);
        return a;
    }
    return NULL;
}

void hx_session_round_again(struct hx_session_round *r, struct hx_session_ask *a, uint64_t at_ms)
{
    a->again_ms = at_ms;
    r->due_ms = due(r);
}

void hx_session_asks_free(struct hx_session_asks *a)
{
    for (uint32_t i = 0; i < a->count; i++)
        free(a->ask[i].last);
    free(a->servers);
    free(a);
}

uint64_t hx_session_round_wait(const struct hx_session *s, const struct hx_session_round *r)
{
    if (!r->asks || r->due_ms == UINT64_MAX)
        return UINT64_MAX;
    return r->due_ms <= s->now_ms ? 0 : r->due_ms - s->now_ms;
}
