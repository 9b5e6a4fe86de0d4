/* reopen_world.c - see reopen_world.h. */
#include "reopen_world.h"

#include "hexad/assert.h"

#include <stdio.h>
#include <stdlib.h>

#define ROLES_CLIENT (HX_NODE_ROLE_WRITER | HX_NODE_ROLE_ADMIN)
#define PEER_TIMEOUT_MS 2000u
#define CONN_CLIENTS 100u /* below: the servers' */

uint64_t world_random(struct world *w)
{
    uint64_t x = w->rng += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

unsigned world_below(struct world *w, unsigned n)
{
    return (unsigned)(world_random(w) % n);
}

void world_start(struct world *w, unsigned i)
{
    const struct hx_server *s = &w->servers[i];
    struct hx_node_cfg cfg = {.name = s->name, .zone = s->zone, .incarnation = s->incarnation,
                              .farm = hx_mem_farm(w->farm[i]), .gossip_ms = 100, .seed = world_random(w),
                              .log_file_bytes = w->log_file_bytes};
    hx_assert(w->node[i] == NULL);
    hx_assert(hx_node_new(&cfg, w->now_ms, &w->node[i]) == 0);
}

void world_init(struct world *w, uint64_t seed)
{
    *w = (struct world){.rng = seed * 7919, .now_ms = 1000};
    for (unsigned i = 0; i < WORLD_SERVERS; i++) {
        struct hx_server *s = &w->servers[i];
        snprintf(s->name, sizeof s->name, "%c%u", 'a' + (char)(i / 2), i % 2 + 1);
        snprintf(s->zone, sizeof s->zone, "az-%c", 'a' + (char)(i / 2));
        snprintf(s->url, sizeof s->url, "https://127.0.0.1:%u", 9000 + i);
        memset(s->incarnation.b, (int)(i + 1), 16);
        w->farm[i] = hx_mem_farm_new();
        world_start(w, i);
    }
}

static void mail_remove(struct world *w, size_t at)
{
    struct world_mail *m = w->mail[at];
    w->mail[at] = w->mail[--w->mail_count];
    free(m->bytes);
    free(m->reply);
    free(m);
}

void world_fini(struct world *w)
{
    while (w->mail_count > 0)
        mail_remove(w, 0);
    free(w->mail);
    for (unsigned i = 0; i < WORLD_SERVERS; i++) {
        hx_node_free(w->node[i]);
        hx_mem_farm_free(w->farm[i]);
    }
}

static uint32_t server_of(const struct world *w, const char *url)
{
    uint32_t i = 0;
    while (i < WORLD_SERVERS && strcmp(w->servers[i].url, url) != 0)
        i++;
    return i;
}

static struct world_mail *mail_new(struct world *w, uint32_t to, uint64_t call, uint32_t timeout_ms)
{
    if (w->mail_count == w->mail_cap) {
        w->mail_cap = w->mail_cap ? 2 * w->mail_cap : 64;
        w->mail = realloc(w->mail, w->mail_cap * sizeof(struct world_mail *));
        hx_assert(w->mail != NULL);
    }
    struct world_mail *m = calloc(1, sizeof *m);
    hx_assert(m != NULL);
    *m = (struct world_mail){
        .state = to < WORLD_SERVERS ? MAIL_SENT : MAIL_LOST, /* an address that nobody has */
        .from_node = -1, .to = to, .call = call, .due_ms = w->now_ms + timeout_ms};
    return w->mail[w->mail_count++] = m;
}

static uint8_t *copy(struct hx_bytes b)
{
    uint8_t *p = malloc(b.len + 1);
    hx_assert(p != NULL);
    memcpy(p, b.p, b.len);
    return p;
}

void world_crash(struct world *w, unsigned i)
{
    for (size_t k = 0; k < w->mail_count;) {
        struct world_mail *m = w->mail[k];
        if (m->from_node == (int)i) {
            mail_remove(w, k);
            continue;
        }
        if (m->to == i && m->state == MAIL_AT_NODE)
            m->state = MAIL_LOST;
        k++;
    }
    hx_node_free(w->node[i]);
    w->node[i] = NULL;
    hx_mem_crash(w->farm[i], world_random(w));
    w->crashes++;
}

void world_join(struct world *w, struct world_part p)
{
    hx_assert(w->part_count < WORLD_PARTS);
    w->conn[w->part_count] = CONN_CLIENTS + w->conns++;
    w->parts[w->part_count++] = p;
}

void world_leave(struct world *w, void *obj)
{
    for (size_t i = 0; i < w->part_count; i++) {
        if (w->parts[i].obj != obj)
            continue;
        for (unsigned n = 0; n < WORLD_SERVERS; n++)
            if (w->node[n] != NULL)
                hx_node_closed(w->node[n], w->now_ms, w->conn[i]);
        w->conn[i] = w->conn[w->part_count - 1];
        w->parts[i--] = w->parts[--w->part_count];
    }
    for (size_t k = 0; k < w->mail_count; k++)
        if (w->mail[k]->obj == obj)
            w->mail[k]->obj = NULL;
}

void world_cancel_part(struct world *w, void *obj, unsigned part)
{
    for (size_t k = 0; k < w->mail_count; k++)
        if (w->mail[k]->obj == obj && (unsigned)hx_call_part(w->mail[k]->call) == part)
            w->mail[k]->obj = NULL;
}

size_t world_under_way(const struct world *w, const void *obj, unsigned part)
{
    size_t n = 0;
    for (size_t k = 0; k < w->mail_count; k++)
        n += w->mail[k]->obj == obj && (part == 0 || (unsigned)hx_call_part(w->mail[k]->call) == part);
    return n;
}

static void take_effect(struct world *w, void *obj, uint64_t conn, const struct hx_effect *e)
{
    if (e->kind == HX_EFFECT_CANCEL) {
        for (size_t k = 0; k < w->mail_count; k++)
            if (w->mail[k]->obj == obj && w->mail[k]->call == e->call)
                w->mail[k]->obj = NULL;
        return;
    }
    struct world_mail *m = mail_new(w, server_of(w, e->server->url), e->call, e->timeout_ms);
    m->obj = obj;
    m->conn = conn;
    for (int i = 0; i < e->iovcnt; i++)
        m->len += e->iov[i].iov_len;
    m->bytes = malloc(m->len);
    hx_assert(m->bytes != NULL);
    size_t at = 0;
    for (int i = 0; i < e->iovcnt; i++) {
        memcpy(m->bytes + at, e->iov[i].iov_base, e->iov[i].iov_len);
        at += e->iov[i].iov_len;
    }
}

static void drain_node(struct world *w, unsigned i)
{
    struct hx_node_effect e;
    while (hx_node_next(w->node[i], &e) == 1) {
        if (e.kind == HX_NODE_SEND) {
            struct world_mail *m = mail_new(w, server_of(w, e.url), e.call, PEER_TIMEOUT_MS);
            m->from_node = (int)i;
            m->bytes = copy(e.body);
            m->len = e.body.len;
            continue;
        }
        for (size_t k = 0; k < w->mail_count; k++) {
            struct world_mail *m = w->mail[k];
            if (m->state != MAIL_AT_NODE || m->token != e.token)
                continue;
            m->reply = copy(e.body);
            m->reply_len = e.body.len;
            m->state = MAIL_ANSWERED;
        }
    }
}

static void flush_all(struct world *w)
{
    for (unsigned i = 0; i < WORLD_SERVERS; i++) {
        if (w->node[i] == NULL)
            continue;
        hx_node_flush(w->node[i]);
        if (hx_mem_is_off(w->farm[i]))
            world_crash(w, i); /* in the middle of a write or flush: what it answers is lost with it */
        else
            drain_node(w, i);
    }
}

static const struct world_part *part_of(const struct world *w, const void *obj)
{
    for (size_t i = 0; i < w->part_count; i++)
        if (w->parts[i].obj == obj)
            return &w->parts[i];
    return NULL;
}

static void hand_over(struct world *w, size_t at, int err)
{
    struct world_mail *m = w->mail[at];
    struct hx_bytes body = {m->reply, m->reply_len};
    const struct world_part *p = m->obj != NULL ? part_of(w, m->obj) : NULL;
    m->obj = NULL;
    if (m->from_node >= 0 && w->node[m->from_node] != NULL)
        hx_node_answer(w->node[m->from_node], w->now_ms, m->call, err, body);
    else if (p != NULL && err != 0)
        p->failed(p->obj, w->now_ms, m->call, err);
    else if (p != NULL)
        p->answer(p->obj, w->now_ms, m->call, body);
    mail_remove(w, at);
}

/* True when something happened. */
static bool deliver(struct world *w, size_t at)
{
    struct world_mail *m = w->mail[at];
    if (m->state == MAIL_ANSWERED) {
        if (world_below(w, 1000) < w->loss) {
            m->state = MAIL_LOST;
            return true;
        }
        hand_over(w, at, 0);
        return true;
    }
    if (m->state != MAIL_SENT)
        return false;
    struct hx_node *n = w->node[m->to];
    if (n == NULL || world_below(w, 1000) < w->loss ||
        (m->obj == NULL && m->from_node < 0 && world_below(w, 2) == 0)) {
        m->state = MAIL_LOST;
        return true;
    }
    m->token = ++w->token;
    m->state = MAIL_AT_NODE;
    w->delivered++;
    bool peer = m->from_node >= 0;
    hx_node_request(n, w->now_ms, w->now_ms * 1000, m->token, peer ? 1 + (uint64_t)m->from_node : m->conn,
                    peer ? HX_NODE_ROLE_SEGMENT : ROLES_CLIENT, peer ? w->servers[m->from_node].name : "w",
                    (struct hx_bytes){m->bytes, m->len});
    return true;
}

static void pass_time(struct world *w)
{
    uint64_t wait = 100;
    for (size_t k = 0; k < w->mail_count; k++)
        if (w->mail[k]->due_ms > w->now_ms && w->mail[k]->due_ms - w->now_ms < wait)
            wait = w->mail[k]->due_ms - w->now_ms;
    w->now_ms += 1 + world_below(w, (unsigned)wait + 1);
    for (size_t k = 0; k < w->mail_count;) {
        if (w->mail[k]->due_ms <= w->now_ms)
            hand_over(w, k, HX_E_TIMEOUT);
        else
            k++;
    }
    for (size_t i = 0; i < w->part_count; i++)
        w->parts[i].tick(w->parts[i].obj, w->now_ms);
    for (unsigned i = 0; i < WORLD_SERVERS; i++)
        if (w->node[i] != NULL)
            hx_node_tick(w->node[i], w->now_ms);
}

void world_step(struct world *w)
{
    struct hx_effect e;
    for (size_t i = 0; i < w->part_count; i++)
        while (w->parts[i].next(w->parts[i].obj, &e) == 1)
            take_effect(w, w->parts[i].obj, w->conn[i], &e);
    if (world_below(w, 3) == 0)
        flush_all(w);
    size_t from = w->mail_count > 0 ? world_below(w, (unsigned)w->mail_count) : 0;
    for (size_t k = 0; k < w->mail_count; k++)
        if (deliver(w, (from + k) % w->mail_count))
            return;
    flush_all(w);
    pass_time(w);
    flush_all(w);
}

void world_ask(struct world *w, unsigned i, struct hx_msg_head *h, struct hx_bytes body, struct hx_bytes *ret_reply)
{
    uint8_t *p = malloc(HX_MSG_HEAD + body.len);
    hx_assert(p != NULL && w->node[i] != NULL);
    h->server = w->servers[i].incarnation;
    hx_msg_head_encode(h, &body, 1, p);
    memcpy(p + HX_MSG_HEAD, body.p, body.len);
    struct world_mail *m = mail_new(w, i, 0, 1000000);
    m->state = MAIL_AT_NODE;
    m->token = ++w->token;
    m->bytes = p;
    m->len = HX_MSG_HEAD + body.len;
    hx_node_request(w->node[i], w->now_ms, w->now_ms * 1000, m->token, 99, ROLES_CLIENT, "w",
                    (struct hx_bytes){p, m->len});
    hx_node_flush(w->node[i]);
    drain_node(w, i);
    hx_assert(m->state == MAIL_ANSWERED);
    *ret_reply = (struct hx_bytes){m->reply, m->reply_len};
    m->reply = NULL;
    for (size_t k = 0; k < w->mail_count; k++) {
        if (w->mail[k] == m) {
            mail_remove(w, k);
            return;
        }
    }
}
