/*
 * room.c - asks the segment servers how much room their disks have, for the decisions of hexad/room.h.
 *
 * Decides nothing.  Asks in the OPEN state only: a fenced mount writes nothing more, and a closing one has taken all
 * that it will.  A server that does not answer is asked again with the others; it is never taken to be full for that.
 * Late answers: none; a question is canceled with the volume.  Memory: one small block per server.
 */
#include "vol_private.h"

#include <stdlib.h>

#define ASK_TIMEOUT_MS 5000u

struct hx_vol_ask {
    struct hx_vol *v;
    uint32_t index;       /* of the server in the geometry */
    struct hx_call *call; /* under way, or NULL */
    uint64_t ticket;
    struct hx_server server; /* the geometry may be replaced meanwhile */
    struct iovec iov;
    uint8_t msg[HX_MSG_HEAD];
};

static const struct hx_geometry *geometry_of(const struct hx_vol *v)
{
    const struct hx_writer *w = hx_session_writer(v->session);
    return w ? hx_writer_geometry(w) : NULL;
}

/* ---- asking ---- */
static void answered(void *ctx, int err, struct hx_bytes whole)
{
    struct hx_vol_ask *a = ctx;
    struct hx_reply_head head;
    struct hx_bytes body;
    struct hx_hello h;
    a->call = NULL;
    if (err || hx_reply_decode(whole.p, whole.len, &head, &body) || head.type != HX_MSG_HELLO || head.status)
        return;
    struct hx_dec d = hx_dec_init(body.p, body.len);
    if (hx_hello_decode(&h, &d) || !hx_uuid_eq(&head.server, &a->server.incarnation))
        return;
    hx_room_heard(&a->v->room, a->index, a->ticket, h.disk_total, h.disk_free);
    hx_vol_kick(a->v);
}

static void ask(struct hx_vol *v, struct hx_vol_ask *a, const struct hx_server *s, uint64_t ticket)
{
    if (a->call)
        return;
    struct hx_msg_head h = {.type = HX_MSG_HELLO, .req_id = hx_random_u64()};
    hx_msg_head_encode(&h, NULL, 0, a->msg);
    a->iov = (struct iovec){a->msg, sizeof a->msg};
    a->server = *s;
    a->ticket = ticket;
    if (hx_client_post(v->client, a->server.url, a->server.name, &a->iov, 1, ASK_TIMEOUT_MS, answered, a, &a->call))
        a->call = NULL;
}

/* One block per server of the geometry. */
static int make_asks(struct hx_vol *v, const struct hx_geometry *g)
{
    if (v->ask_count >= g->server_count)
        return 0;
    struct hx_vol_ask **more = realloc(v->asks, g->server_count * sizeof *more);
    if (!more)
        return HX_E_NOMEM;
    v->asks = more;
    while (v->ask_count < g->server_count) {
        struct hx_vol_ask *a = calloc(1, sizeof *a);
        if (!a)
            return HX_E_NOMEM;
        a->v = v;
        a->index = v->ask_count;
        v->asks[v->ask_count++] = a;
    }
    return 0;
}

/* The most members of one group that refuse records for want of room. */
static unsigned most_full(struct hx_vol *v, const struct hx_geometry *g)
{
    unsigned most = 0;
    for (uint32_t pg = 0, live = hx_geometry_live(g); pg < live; pg++) {
        unsigned full = 0;
        for (unsigned slot = 0; slot < HX_COPIES; slot++) {
            struct hx_member_view m;
            hx_writer_member(hx_session_writer(v->session), pg, slot, hx_vol_now(v), &m);
            full += m.state == HX_MEMBER_DOWN && m.last_error == HX_E_NOSPACE;
        }
        if (full) /* of fewer than six it can spare fewer */
            full += HX_COPIES - HX_WRITE_QUORUM + hx_row_write_quorum(&g->pgs[pg]) -
                    hx_members_count(hx_row_slots(&g->pgs[pg]));
        most = full > most ? full : most;
    }
    return most;
}

static void tell(struct hx_vol *v, enum hx_room_level level)
{
    if (level == v->level)
        return;
    if (level == HX_ROOM_PLENTY)
        hx_log_every(60000, HX_LOG_NOTE, "volume %s: there is room again for new data", v->name);
    else if (v->level == HX_ROOM_PLENTY)
        hx_log_every(60000, HX_LOG_WARN, "volume %s: the segment servers' disks are full: new data gets ENOSPC",
                     v->name);
    v->level = level;
}

uint64_t hx_vol_room_work(struct hx_vol *v)
{
    const struct hx_geometry *g = geometry_of(v);
    uint64_t ticket, now = hx_vol_now(v);
    struct hx_writer_stats w;
    if (!g || hx_session_state(v->session) != HX_SESSION_OPEN)
        return UINT64_MAX;
    if (hx_room_servers(&v->room, g) || make_asks(v, g))
        return HX_VOL_INFO_MS; /* without memory nobody is refused; tried again */
    hx_writer_stats(hx_session_writer(v->session), &w);
    hx_room_written(&v->room, w.record_bytes, hx_session_unsafe(v->session) == 0);
    if (hx_session_parked(v->session) > 0 && now - v->full_look_ms >= HX_VOL_FULL_LOOK_MS) {
        v->full_look_ms = now;
        hx_room_refused(&v->room, now, most_full(v, g));
    }
    if (hx_room_ask(&v->room, now, g, &ticket))
        for (uint32_t i = 0; i < g->server_count; i++)
            ask(v, v->asks[i], &g->servers[i], ticket);
    tell(v, hx_room_level(&v->room, now, g));
    return hx_room_wait(&v->room, now, g);
}

void hx_vol_room_fini(struct hx_vol *v)
{
    for (uint32_t i = 0; i < v->ask_count; i++) {
        if (v->asks[i]->call)
            hx_call_cancel(v->asks[i]->call);
        free(v->asks[i]);
    }
    free(v->asks);
    v->asks = NULL;
    v->ask_count = 0;
    hx_room_fini(&v->room);
}

/* ---- what it says ---- */
enum hx_room_level hx_vol_level(const struct hx_vol *v)
{
    return v->level;
}

bool hx_vol_full(const struct hx_vol *v)
{
    return hx_room_full(&v->room, hx_loop_now_ms(v->cfg.loop));
}

int hx_vol_room(struct hx_vol *v, uint64_t *ret_bytes)
{
    const struct hx_geometry *g = geometry_of(v);
    hx_room_want(&v->room);
    hx_vol_kick(v);
    return g && hx_room_left(&v->room, hx_vol_now(v), g, ret_bytes) ? 0 : HX_E_AGAIN;
}
