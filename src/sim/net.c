/*
 * net.c - messages under way: delay, loss, doubling, replay, cuts, partitions, time limits.
 *
 * A packet is one block: the request's bytes, and who waits for its answer.  It lives as long as anything
 * refers to it: an
 * arrival in the queue (also a late copy), a server that works on it, a time limit, an answer under way. OPEN
 * says that
 * its maker still waits; a completion closes it, so there is at most one (N1).
 */
#include "net.h"

#include "client.h"
#include "oracle.h"
#include "server.h"
#include "world.h"

#include "hexad/assert.h"
#include "hexad/effect.h"
#include "hexad/err.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024u

struct hx_sim_packet {
    struct hx_sim_packet *next, *prev; /* in its bucket, while open */
    uint64_t call;
    struct hx_sim_host from;
    uint32_t to, refs, from_life, served_life; /* served: life of the server that has carried out a copy of it */
    uint64_t served_us;
    bool open;
    size_t len;
    uint8_t bytes[];
};
struct answer { /* an answer under way */
    struct hx_sim_packet *p;
    int err;
    size_t len;
    uint8_t bytes[];
};
struct hx_sim_net {
    struct hx_sim *s;
    struct hx_rng delay, loss, dup, replay, cut, late;
    struct hx_sim_packet *buckets[BUCKETS];
    uint32_t hosts;
    uint64_t *blocked; /* owned: hosts x hosts, until when */
    uint32_t *slow;    /* owned */
    bool healed;
};

static uint32_t host_index(const struct hx_sim *s, struct hx_sim_host h)
{
    return h.kind == HX_HOST_CLIENT ? h.i : s->client_count + 1 + h.i;
}

static char letter(struct hx_sim_host h)
{
    return h.kind == HX_HOST_CLIENT ? 'c' : 's';
}

struct hx_sim_net *hx_sim_net_new(struct hx_sim *s)
{
    struct hx_sim_net *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    uint64_t seed = s->opts.seed;
    n->s = s;
    n->hosts = s->client_count + 1 + s->server_count;
    n->delay = hx_rng_fork(seed, "net-delay", 0);
    n->loss = hx_rng_fork(seed, "net-loss", 0);
    n->dup = hx_rng_fork(seed, "net-dup", 0);
    n->replay = hx_rng_fork(seed, "net-replay", 0);
    n->cut = hx_rng_fork(seed, "net-cut", 0);
    n->late = hx_rng_fork(seed, "net-late", 0);
    n->blocked = calloc((size_t)n->hosts * n->hosts, sizeof *n->blocked);
    n->slow = calloc(n->hosts, sizeof *n->slow);
    if (!n->blocked || !n->slow) {
        hx_sim_net_free(n);
        return NULL;
    }
    hx_sim_net_heal(n);
    return n;
}

static void put(struct hx_sim_packet *p)
{
    if (--p->refs == 0)
        free(p);
}

static struct hx_sim_packet **bucket(struct hx_sim_net *n, struct hx_sim_host from, uint64_t call)
{
    uint64_t h = (call ^ (uint64_t)(from.kind * 97 + from.i) << 40) * UINT64_C(0x9e3779b97f4a7c15);
    return &n->buckets[h >> 54];
}

static void close_packet(struct hx_sim_net *n, struct hx_sim_packet *p)
{
    p->open = false;
    if (p->prev)
        p->prev->next = p->next;
    else
        *bucket(n, p->from, p->call) = p->next;
    if (p->next)
        p->next->prev = p->prev;
    put(p);
}

/* Events that refer to packets are in the queue still: the world empties it through hx_sim_net_drop. */
void hx_sim_net_free(struct hx_sim_net *n)
{
    if (!n)
        return;
    for (unsigned b = 0; b < BUCKETS; b++)
        while (n->buckets[b])
            close_packet(n, n->buckets[b]);
    free(n->blocked);
    free(n->slow);
    free(n);
}

void hx_sim_net_heal(struct hx_sim_net *n)
{
    memset(n->blocked, 0, (size_t)n->hosts * n->hosts * sizeof *n->blocked);
    for (uint32_t i = 0; i < n->hosts; i++)
        n->slow[i] = 1;
    n->healed = true;
}

void hx_sim_net_faults(struct hx_sim_net *n)
{
    n->healed = false;
}

void hx_sim_net_block(struct hx_sim_net *n, struct hx_sim_host a, struct hx_sim_host b, uint64_t until_us)
{
    uint64_t *at = &n->blocked[(size_t)host_index(n->s, a) * n->hosts + host_index(n->s, b)];
    if (*at < until_us)
        *at = until_us;
}

void hx_sim_net_slow(struct hx_sim_net *n, struct hx_sim_host a, uint32_t factor)
{
    n->slow[host_index(n->s, a)] = factor;
}

static bool blocked(const struct hx_sim_net *n, struct hx_sim_host a, struct hx_sim_host b)
{
    return n->blocked[(size_t)host_index(n->s, a) * n->hosts + host_index(n->s, b)] > n->s->now_us;
}

static uint64_t delay(struct hx_sim_net *n, struct hx_sim_host a, struct hx_sim_host b)
{
    struct hx_sim *s = n->s;
    uint64_t us = HX_OPT(s, net_delay_us) / 2 + hx_rng_below(&n->delay, HX_OPT(s, net_delay_us) + 1) +
                  hx_rng_below(&n->delay, HX_OPT(s, net_jitter_us) + 1);
    us *= (uint64_t)n->slow[host_index(s, a)] * n->slow[host_index(s, b)];
    if (!n->healed && hx_rng_ppm(&n->late, HX_OPT(s, net_late_ppm)))
        us += hx_rng_below(&n->late, 10000000);
    return us;
}

static bool chance(struct hx_sim_net *n, struct hx_rng *r, uint64_t ppm)
{
    return !n->healed && hx_rng_ppm(r, ppm);
}

/* ---- completions ---- */
static void complete(struct hx_sim *s, struct hx_sim_packet *p, int err, struct hx_bytes body)
{
    if (!p->open)
        return;
    p->refs++;
    close_packet(s->net, p);
    hx_sim_note(s, err ? HX_NOTE_FAIL : HX_NOTE_ANSWER, letter(p->from), p->from.i, p->call, p->to,
                err ? (uint64_t)-err : body.len);
    if (p->from.kind == HX_HOST_CLIENT && p->from.i == s->client_count)
        hx_sim_creator_answer(s, p->call, err, body);
    else if (p->from.kind == HX_HOST_CLIENT)
        hx_sim_client_answer(s, p->from.i, p->call, err, body);
    else
        hx_sim_server_answer(s, p->from.i, p->call, err, body);
    put(p);
}

/* A stopped process takes nothing until it goes on; then in the order in which things came. */
static bool held_back(struct hx_sim *s, struct hx_sim_host h, void (*run)(struct hx_sim *, void *, uint64_t),
                      void *ctx, uint64_t arg)
{
    bool client = h.kind == HX_HOST_CLIENT && h.i < s->client_count;
    uint64_t until = client ? hx_sim_client_frozen_until(s, h.i) : 0;
    if (until <= s->now_us)
        return false;
    hx_sim_at(s, until, run, ctx, arg);
    return true;
}

static void timed_out(struct hx_sim *s, void *ctx, uint64_t arg)
{
    struct hx_sim_packet *p = ctx;
    if (p->open && held_back(s, p->from, timed_out, ctx, arg))
        return;
    complete(s, p, HX_E_TIMEOUT, (struct hx_bytes){NULL, 0});
    put(p);
}

static void failed(struct hx_sim *s, void *ctx, uint64_t arg)
{
    struct hx_sim_packet *p = ctx;
    if (p->open && held_back(s, p->from, failed, ctx, arg))
        return;
    complete(s, p, HX_E_CONNECT, (struct hx_bytes){NULL, 0});
    put(p);
}

static void answer_came(struct hx_sim *s, void *ctx, uint64_t arg)
{
    struct answer *a = ctx;
    if (a->p->open && held_back(s, a->p->from, answer_came, ctx, arg))
        return;
    complete(s, a->p, 0, (struct hx_bytes){a->bytes, a->len});
    put(a->p);
    free(a);
}

/* ---- requests ---- */
static void arrives(struct hx_sim *s, void *ctx, uint64_t copy)
{
    struct hx_sim_packet *p = ctx;
    if (hx_sim_server_is_up(s, p->to)) {
        hx_sim_note(s, HX_NOTE_DELIVER, 's', p->to, p->call, copy, p->len);
        hx_sim_server_arrived(s, p->to, p); /* takes over the reference */
        return;
    }
    if (copy == 0 && p->open) {
        p->refs++;
        hx_sim_at(s, s->now_us + delay(s->net, p->from, p->from), failed, p, 0);
    }
    put(p);
}

static void send_copy(struct hx_sim *s, struct hx_sim_packet *p, uint64_t at_us, uint64_t copy)
{
    p->refs++;
    hx_sim_at(s, at_us, arrives, p, copy);
}

static void request(struct hx_sim *s, struct hx_sim_packet *p, uint32_t timeout_ms)
{
    struct hx_sim_net *n = s->net;
    struct hx_sim_host to = {HX_HOST_SERVER, p->to};
    struct hx_sim_packet **b = bucket(n, p->from, p->call);
    p->next = *b;
    if (*b)
        (*b)->prev = p;
    *b = p;
    p->open = true;
    p->refs = 1;
    hx_sim_note(s, HX_NOTE_SEND, letter(p->from), p->from.i, p->call, p->to, p->len);
    p->refs++;
    hx_sim_at(s, s->now_us + (uint64_t)timeout_ms * 1000, timed_out, p, 0);
    bool lost = blocked(n, p->from, to) || chance(n, &n->loss, HX_OPT(s, net_loss_ppm));
    if (lost) {
        hx_sim_note(s, HX_NOTE_LOSE, letter(p->from), p->from.i, p->call, p->to, 0);
        return;
    }
    if (chance(n, &n->cut, HX_OPT(s, net_cut_ppm)))
        p->len = hx_rng_below(&n->cut, p->len + 1);
    send_copy(s, p, s->now_us + delay(n, p->from, to), 0);
    if (chance(n, &n->dup, HX_OPT(s, net_dup_ppm)))
        send_copy(s, p, s->now_us + delay(n, p->from, to) + hx_rng_below(&n->dup, 100000), 1);
    if (chance(n, &n->replay, HX_OPT(s, net_replay_ppm)))
        send_copy(s, p, s->now_us + hx_rng_range(&n->replay, 1000000, 120000000), 2);
}

static struct hx_sim_packet *new_packet(struct hx_sim *s, struct hx_sim_host from, uint64_t call,
                                        uint32_t server, size_t len)
{
    struct hx_sim_packet *p = malloc(sizeof *p + len);
    if (!p) {
        hx_sim_harness(s, "no memory for a message");
        return NULL;
    }
    *p = (struct hx_sim_packet){.call = call, .from = from, .to = server, .len = len};
    return p;
}

void hx_sim_net_request(struct hx_sim *s, uint32_t client, uint64_t call, uint32_t server,
                        const struct iovec *iov, int iovcnt, uint32_t timeout_ms)
{
    size_t len = 0;
    for (int i = 0; i < iovcnt; i++)
        len += iov[i].iov_len;
    struct hx_sim_packet *p = new_packet(s, (struct hx_sim_host){HX_HOST_CLIENT, client}, call, server, len);
    if (!p)
        return;
    size_t at = 0;
    for (int i = 0; i < iovcnt; at += iov[i++].iov_len)
        memcpy(p->bytes + at, iov[i].iov_base, iov[i].iov_len);
    p->from_life = client < s->client_count ? hx_sim_client_life(s, client) : 0;
    hx_oracle_sent(s->oracle, client, p->bytes, p->len);
    request(s, p, timeout_ms);
}

void hx_sim_net_peer_request(struct hx_sim *s, uint32_t from, uint64_t call, uint32_t server,
                             struct hx_bytes body, uint32_t timeout_ms)
{
    struct hx_sim_packet *p =
        new_packet(s, (struct hx_sim_host){HX_HOST_SERVER, from}, call, server, body.len);
    if (!p)
        return;
    memcpy(p->bytes, body.p, body.len);
    p->from_life = hx_sim_server_life(s, from);
    request(s, p, timeout_ms);
}

void hx_sim_net_cancel(struct hx_sim *s, uint32_t client, uint64_t call)
{
    struct hx_sim_host from = {HX_HOST_CLIENT, client};
    for (struct hx_sim_packet *p = *bucket(s->net, from, call); p; p = p->next)
        if (p->call == call && p->from.kind == from.kind && p->from.i == from.i) {
            close_packet(s->net, p);
            return;
        }
}

void hx_sim_net_cancel_part(struct hx_sim *s, uint32_t client, unsigned part)
{
    for (unsigned b = 0; b < BUCKETS; b++)
        for (struct hx_sim_packet *p = s->net->buckets[b], *next; p; p = next) {
            next = p->next;
            if (p->from.kind == HX_HOST_CLIENT && p->from.i == client && hx_call_part(p->call) == part)
                close_packet(s->net, p);
        }
}

void hx_sim_net_gone(struct hx_sim *s, struct hx_sim_host who)
{
    for (unsigned b = 0; b < BUCKETS; b++)
        for (struct hx_sim_packet *p = s->net->buckets[b], *next; p; p = next) {
            next = p->next;
            if (p->from.kind == who.kind && p->from.i == who.i)
                close_packet(s->net, p);
        }
}

/* ---- answers ---- */
void hx_sim_net_reply(struct hx_sim *s, uint32_t server, struct hx_sim_packet *p, uint64_t at_us,
                      struct hx_bytes body)
{
    struct hx_sim_net *n = s->net;
    struct hx_sim_host me = {HX_HOST_SERVER, server};
    bool lost = !p->open || blocked(n, me, p->from) || chance(n, &n->loss, HX_OPT(s, net_loss_ppm));
    struct answer *a = lost ? NULL : malloc(sizeof *a + body.len);
    if (!a) {
        put(p);
        return;
    }
    *a = (struct answer){.p = p, .len = body.len};
    memcpy(a->bytes, body.p, body.len);
    if (chance(n, &n->cut, HX_OPT(s, net_cut_ppm)))
        a->len = hx_rng_below(&n->cut, a->len + 1);
    hx_sim_at(s, at_us + delay(n, me, p->from), answer_came, a, 0);
}

void hx_sim_net_no_reply(struct hx_sim *s, struct hx_sim_packet *p)
{
    (void)s;
    put(p);
}

struct hx_bytes hx_sim_packet_bytes(const struct hx_sim_packet *p)
{
    return (struct hx_bytes){p->bytes, p->len};
}

struct hx_sim_host hx_sim_packet_from(const struct hx_sim_packet *p)
{
    return p->from;
}

bool hx_sim_packet_again(const struct hx_sim_packet *p, uint32_t life)
{
    return p->served_life == life;
}

uint64_t hx_sim_packet_served_us(const struct hx_sim_packet *p)
{
    return p->served_us;
}

void hx_sim_packet_served(struct hx_sim_packet *p, uint32_t life, uint64_t now_us)
{
    p->served_life = life;
    p->served_us = now_us;
}

uint64_t hx_sim_net_conn(struct hx_sim_host from, uint32_t life)
{
    return (uint64_t)from.kind << 48 | (uint64_t)from.i << 32 | life;
}

uint64_t hx_sim_packet_conn(const struct hx_sim_packet *p)
{
    return hx_sim_net_conn(p->from, p->from_life);
}

/* ---- the end of a world: what is in the queue is let go ---- */
void hx_sim_net_drop(struct hx_sim_event *e)
{
    if (e->run == arrives || e->run == timed_out || e->run == failed) {
        put(e->ctx);
    } else if (e->run == answer_came) {
        struct answer *a = e->ctx;
        put(a->p);
        free(a);
    }
}
