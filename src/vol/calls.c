/*
 * calls.c - carries the effects of the pure parts out: requests through the HTTPS client, answers back to their part.
 *
 * Decides nothing.  A call is in the table from its SEND until its completion or CANCEL; a completion that finds the
 * part gone (a recovery that has ended) is dropped.  Memory: one small block per request under way.
 */
#include "vol_private.h"

#include "hexad/assert.h"

#include <stdlib.h>

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

/* Pages that have come go to the cache, and wake those who wait for them. */
static void take_pages(struct hx_vol *v)
{
    struct hx_reader_done d;
    while (hx_reader_take(v->reader, &d)) {
        if (d.err) {
            hx_log_every(1000, HX_LOG_ERR, "page %llu cannot be read: HX%04d %s", (unsigned long long)d.want.page.v,
                         hx_err_info(d.err)->code, hx_err_text(d.err));
            hx_cache_fill_failed(v->cache, d.want, d.err);
        } else {
            hx_cache_fill(v->cache, d.want, d.data);
        }
        hx_parking_page(&v->parking, d.want.page);
    }
}

static void answered(struct hx_vol *v, uint64_t id, struct hx_bytes body)
{
    uint64_t now = hx_vol_now(v);
    switch (hx_call_part(id)) {
    case HX_PART_WRITER:
        if (v->writer)
            hx_writer_answer(v->writer, now, id, body);
        break;
    case HX_PART_READER:
        if (v->reader) {
            hx_reader_answer(v->reader, now, hx_clock_mono_us(), id, body);
            take_pages(v);
        }
        break;
    case HX_PART_RECOVERY:
        if (v->recovery)
            hx_recovery_answer(v->recovery, now, id, body);
        break;
    case HX_PART_GROWTH:
        if (v->growth)
            hx_growth_answer(v->growth, now, id, body);
        break;
    default:
        hx_assert(false);
    }
}

static void failed(struct hx_vol *v, uint64_t id, int err)
{
    uint64_t now = hx_vol_now(v);
    switch (hx_call_part(id)) {
    case HX_PART_WRITER:
        if (v->writer)
            hx_writer_failed(v->writer, now, id, err);
        break;
    case HX_PART_READER:
        if (v->reader) {
            hx_reader_failed(v->reader, now, id, err);
            take_pages(v);
        }
        break;
    case HX_PART_RECOVERY:
        if (v->recovery)
            hx_recovery_failed(v->recovery, now, id, err);
        break;
    case HX_PART_GROWTH:
        if (v->growth)
            hx_growth_failed(v->growth, now, id, err);
        break;
    default:
        hx_assert(false);
    }
}

static void done(void *ctx, int err, struct hx_bytes body)
{
    struct hx_vol_call *call = ctx;
    struct hx_vol *v = call->v;
    uint64_t id = call->id;
    struct hx_vol_call **at = find(v, id);
    hx_assert(*at == call);
    *at = call->next;
    v->call_count--;
    free(call);
    if (err) {
        hx_log(HX_LOG_DEBUG, "call %llx failed: %s", (unsigned long long)id, hx_client_why(v->client));
        failed(v, id, err);
    } else {
        answered(v, id, body);
    }
    hx_vol_kick(v);
}

static void send(struct hx_vol *v, const struct hx_effect *e)
{
    struct hx_vol_call *call = malloc(sizeof(*call));
    if (!call) {
        failed(v, e->call, HX_E_NOMEM);
        return;
    }
    struct hx_vol_call **at = bucket(v, e->call);
    *call = (struct hx_vol_call){.v = v, .next = *at, .id = e->call};
    *at = call;
    v->call_count++;
    int err = hx_client_post(v->client, e->server->url, e->server->name, e->iov, e->iovcnt, e->timeout_ms, done, call,
                             &call->net);
    if (err) {
        *find(v, e->call) = call->next;
        v->call_count--;
        free(call);
        failed(v, e->call, err);
    }
}

static void carry(struct hx_vol *v, const struct hx_effect *e)
{
    if (e->kind == HX_EFFECT_SEND) {
        send(v, e);
        return;
    }
    struct hx_vol_call **at = find(v, e->call);
    if (*at) {
        struct hx_vol_call *call = *at;
        *at = call->next;
        v->call_count--;
        hx_call_cancel(call->net);
        free(call);
    }
}

bool hx_vol_carry_out(struct hx_vol *v)
{
    struct hx_effect e;
    bool any = false;
    if (v->recovery)
        while (hx_recovery_next(v->recovery, &e))
            carry(v, &e), any = true;
    if (v->writer)
        while (hx_writer_next(v->writer, &e))
            carry(v, &e), any = true;
    if (v->reader)
        while (hx_reader_next(v->reader, &e))
            carry(v, &e), any = true;
    if (v->growth)
        while (hx_growth_next(v->growth, &e))
            carry(v, &e), any = true;
    return any;
}

void hx_vol_cancel_part(struct hx_vol *v, enum hx_part part)
{
    for (size_t i = 0; i < HX_VOL_CALL_BUCKETS; i++)
        for (struct hx_vol_call **at = &v->calls[i]; *at;) {
            struct hx_vol_call *call = *at;
            if (part && hx_call_part(call->id) != part) {
                at = &call->next;
                continue;
            }
            *at = call->next;
            v->call_count--;
            hx_call_cancel(call->net);
            free(call);
        }
}
