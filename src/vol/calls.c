/*
 * calls.c - carries the session's requests through the HTTPS client, and their answers back.
 *
 * Decides nothing.  A call is in the table from its SEND until its completion or CANCEL, so a completion is told at
 * most once.  Memory: one small block per request under way.
 */
#include "vol_private.h"

#include "hexad/assert.h"

#include <stdlib.h>
#include <string.h>

#define TELL_VERSION_MS 10000u

static struct hx_vol_call **bucket(struct hx_vol *v, uint64_t id)
{
    return &v->calls[(id * UINT64_C(0x9E3779B97F4A7C15)) >> 56];
}

static struct hx_vol_call **find(struct hx_vol *v, uint64_t id)
{
    struct hx_vol_call **at = bucket(v, id);
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

/* Servers of another version count as silent ones; that it is not their network should be known. */
static void tell_version(struct hx_vol *v, const char *server, struct hx_bytes answer)
{
    char why[HX_MSG_VERSION_WHY];
    uint64_t now = hx_vol_now(v);
    if ((v->version_told && now < v->version_told + TELL_VERSION_MS) ||
        !hx_msg_version_why(answer, HX_MSG_VERSION, why))
        return;
    v->version_told = now;
    hx_log(HX_LOG_WARN, "%s refuses, or cannot be understood: %s", server, why);
}

static void done(void *ctx, int err, struct hx_bytes body)
{
    struct hx_vol_call *call = ctx;
    struct hx_vol *v = call->v;
    uint64_t id = call->id;
    struct hx_vol_call **at = find(v, id);
    hx_assert(*at == call);
    *at = call->next;
    if (!err)
        tell_version(v, call->server, body);
    free(call);
    if (err) {
        hx_log(HX_LOG_DEBUG, "call %llx failed: %s", (unsigned long long)id, hx_client_why(v->client));
        hx_session_failed(v->session, hx_vol_now(v), id, err);
    } else {
        hx_session_answer(v->session, hx_vol_now(v), hx_clock_mono_us(), id, body);
    }
    hx_vol_kick(v);
}

void hx_vol_send(struct hx_vol *v, const struct hx_effect *e)
{
    struct hx_vol_call *call = malloc(sizeof(*call));
    if (!call) {
        hx_session_failed(v->session, hx_vol_now(v), e->call, HX_E_NOMEM);
        return;
    }
    struct hx_vol_call **at = bucket(v, e->call);
    *call = (struct hx_vol_call){.v = v, .next = *at, .id = e->call};
    memcpy(call->server, e->server->name, sizeof call->server);
    *at = call;
    int err = hx_client_post(v->client, e->server->url, e->server->name, e->iov, e->iovcnt, e->timeout_ms, done, call,
                             &call->net);
    if (err) {
        *find(v, e->call) = call->next;
        free(call);
        hx_session_failed(v->session, hx_vol_now(v), e->call, err);
    }
}

static void drop(struct hx_vol_call **at)
{
    struct hx_vol_call *call = *at;
    *at = call->next;
    hx_call_cancel(call->net);
    free(call);
}

void hx_vol_cancel_call(struct hx_vol *v, uint64_t id)
{
    struct hx_vol_call **at = find(v, id);
    if (*at)
        drop(at);
}

void hx_vol_cancel_part(struct hx_vol *v, enum hx_part part)
{
    for (size_t i = 0; i < HX_VOL_CALL_BUCKETS; i++)
        for (struct hx_vol_call **at = &v->calls[i]; *at;) {
            if (part && hx_call_part((*at)->id) != part)
                at = &(*at)->next;
            else
                drop(at);
        }
}
