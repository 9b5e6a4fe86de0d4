/*
 * client.c - POST of a body to a segment server over HTTPS: calls, names and URLs, lanes, queues, time limits.
 *
 * Does not: make, judge or use connections (link.c, on libcurl), retry, or look into a body.
 *
 * A host is a server's name together with the URL where it is asked.  It has up to LANES lanes; a lane is
 * a kept-alive connection that is used for one call after the other.  Calls beyond the lanes wait in the host's
 * queue, first in, first out.
 *
 *   1. A call is in exactly one place: the queue of its host, or a lane.  Its end (answer, failure,
 *      timeout, cancel) takes it out of there first, frees it, and only then calls DONE.
 *   2. DONE is never called from inside hx_client_post: links are driven by the loop only.
 *   3. A connection that was opened for one name is never used for another: it belongs to a lane of its host.
 *   4. The body of an answer is its link's, until the loop runs again.
 *
 * A duplicate: a request is sent again when a reused connection turns out to be dead (link.c 4), so a server
 * may see it twice.  A late answer to a call that timed out or was canceled is never seen: its
 * connection is closed.
 *
 * Threads: libcurl resolves a URL with a host name (not an address) in a short-lived thread of its own; there is
 * no other.  Memory: a host and its lanes live as long as the client.
 */
#include "link.h"
#include "loop_int.h"
#include "renew.h"

#include "hexad/assert.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LANES 4
#define CONNECT_MS 2000

struct host;

struct hx_call {
    struct hx_call *next, **prev; /* in the queue of its host; prev NULL: not there */
    struct host *host;
    struct lane *lane; /* NULL: in the queue */
    struct event timeout;
    uint32_t timeout_ms;
    struct iovec *iov, small[4]; /* our copy of the list, not of the bytes */
    int iovcnt;
    size_t len; /* of the body */
    void (*done)(void *ctx, int err, struct hx_bytes body);
    void *ctx;
};

struct lane {
    struct lane *next; /* of the host's idle ones */
    struct lane *all;  /* of the host */
    struct host *host;
    struct hx_call *call;
    struct hx_link *link;
};

struct host {
    struct host *next;
    struct hx_client *client;
    char *key;                   /* NAME SPACE URL; what the tree is sorted by */
    char name[HX_NAME_MAX + 1];
    const char *url;             /* inside key */
    char *head;                  /* of each request */
    struct lane *lanes, *idle;
    int lane_count;
    struct hx_call *queue, **queue_end;
};

struct hx_client {
    struct event_base *base;
    struct hx_loop *loop;
    struct hx_curlio *io;
    struct hx_tls tls;
    void *tree; /* hosts by key */
    struct host *hosts;
    struct hx_call *spare; /* freed calls */
    struct hx_client_stats stats;
    int in_done;
    char why[HX_WHY_MAX + 256];
};

static void host_dispatch(struct host *h);

/* ---- calls ---- */

static void queue_out(struct hx_call *call)
{
    if (!call->prev)
        return;
    *call->prev = call->next;
    if (call->next)
        call->next->prev = call->prev;
    else
        call->host->queue_end = call->prev;
    call->prev = NULL;
}

static void queue_in(struct hx_call *call)
{
    struct host *h = call->host;
    call->next = NULL;
    call->prev = h->queue_end;
    *h->queue_end = call;
    h->queue_end = &call->next;
}

static void call_free(struct hx_call *call)
{
    struct hx_client *c = call->host->client;
    event_del(&call->timeout);
    if (call->iov != call->small)
        free(call->iov);
    call->next = c->spare;
    c->spare = call;
}

/* Takes a call out of where it is (1); the lane, if it had one, is idle then. */
static void call_detach(struct hx_call *call)
{
    struct lane *ln = call->lane;
    queue_out(call);
    if (!ln)
        return;
    hx_link_stop(ln->link);
    ln->call = NULL;
    call->lane = NULL;
    ln->next = call->host->idle;
    call->host->idle = ln;
}

static void call_end(struct hx_call *call, int err, struct hx_bytes body)
{
    struct host *h = call->host;
    struct hx_client *c = h->client;
    void (*done)(void *ctx, int err, struct hx_bytes body) = call->done;
    void *ctx = call->ctx;
    call_detach(call);
    call_free(call);
    if (err)
        c->stats.failures++;
    else
        c->stats.bytes_received += body.len;
    c->in_done++;
    done(ctx, err, body);
    c->in_done--;
    host_dispatch(h);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct hx_call *call = arg;
    struct host *h = call->host;
    snprintf(h->client->why, sizeof h->client->why, "%s at %s: no answer within %u ms", h->name, h->url,
             call->timeout_ms);
    call_end(call, HX_E_TIMEOUT, (struct hx_bytes){0});
}

static struct hx_call *call_new(struct host *h, const struct iovec *iov, int iovcnt, uint32_t timeout_ms)
{
    struct hx_client *c = h->client;
    struct hx_call *call = c->spare;
    if (call)
        c->spare = call->next;
    else if (!(call = malloc(sizeof *call)))
        return NULL;
    memset(call, 0, sizeof *call);
    call->host = h;
    evtimer_assign(&call->timeout, c->base, on_timeout, call);
    call->timeout_ms = timeout_ms;
    call->iov = call->small;
    call->iovcnt = iovcnt;
    if ((size_t)iovcnt > HX_ARRAY_LEN(call->small)) {
        call->iov = malloc((size_t)iovcnt * sizeof *iov);
        if (!call->iov) {
            call->iov = call->small;
            call_free(call);
            return NULL;
        }
    }
    for (int i = 0; i < iovcnt; i++) {
        call->iov[i] = iov[i];
        call->len += iov[i].iov_len;
    }
    return call;
}

/* ---- lanes ---- */

static void on_done(void *ctx, int err, struct hx_bytes body, const char *why);

static void lane_free(struct lane *ln)
{
    hx_link_free(ln->link);
    free(ln);
}

static struct lane *lane_new(struct host *h)
{
    struct lane *ln = calloc(1, sizeof *ln);
    if (!ln)
        return NULL;
    ln->host = h;
    struct hx_client *c = h->client;
    const struct hx_link_cfg cfg = {c->loop, c->io, &c->tls, h->name, h->url, h->head, on_done, ln};
    ln->link = hx_link_new(&cfg);
    if (!ln->link) {
        free(ln);
        return NULL;
    }
    ln->all = h->lanes;
    h->lanes = ln;
    h->lane_count++;
    return ln;
}

/* On failure the lane is idle again. */
static int lane_start(struct lane *ln, struct hx_call *call)
{
    int err = hx_link_start(ln->link, call->iov, call->iovcnt, call->len,
                            call->timeout_ms && call->timeout_ms < CONNECT_MS ? call->timeout_ms : CONNECT_MS);
    if (err) {
        ln->next = ln->host->idle;
        ln->host->idle = ln;
        return err;
    }
    ln->call = call;
    call->lane = ln;
    return 0;
}

/* An idle lane, or a new one, or NULL: all are busy. */
static struct lane *lane_take(struct host *h)
{
    struct lane *ln = h->idle;
    if (ln)
        h->idle = ln->next;
    else if (h->lane_count < LANES)
        ln = lane_new(h);
    return ln;
}

/* Starts waiting calls while there are lanes.  Without memory they wait for the next end or timeout;
 * hx_client_post sees to it that nothing waits without a busy lane. */
static void host_dispatch(struct host *h)
{
    while (h->queue) {
        struct hx_call *call = h->queue;
        struct lane *ln = lane_take(h);
        if (!ln)
            return;
        queue_out(call);
        if (!lane_start(ln, call))
            continue;
        snprintf(h->client->why, sizeof h->client->why, "%s", hx_err_text(HX_E_NOMEM));
        call_end(call, HX_E_NOMEM, (struct hx_bytes){0}); /* dispatches the rest */
        return;
    }
}

/* ---- the end of a request ---- */

static void on_done(void *ctx, int err, struct hx_bytes body, const char *why)
{
    struct lane *ln = ctx;
    struct host *h = ln->host;
    hx_assert(ln->call);
    if (err)
        snprintf(h->client->why, sizeof h->client->why, "%s at %s: %s", h->name, h->url, why);
    call_end(ln->call, err, body); /* 4 */
}

/* ---- hosts ---- */

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct host *)a)->key, ((const struct host *)b)->key);
}

/* URL is https://HOST:PORT and nothing more. */
static int host_head(struct host *h)
{
    char *host = NULL, *port = NULL, *path = NULL;
    CURLU *u = curl_url();
    int err = u ? HX_E_INVAL : HX_E_NOMEM;
    if (u && !strncmp(h->url, "https://", 8) && !strpbrk(h->url, "@?#") &&
        !curl_url_set(u, CURLUPART_URL, h->url, 0) && !curl_url_get(u, CURLUPART_HOST, &host, 0) &&
        !curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) &&
        !curl_url_get(u, CURLUPART_PATH, &path, 0) && !strcmp(path, "/")) {
        err = asprintf(&h->head, "POST /v1/msg HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: application/octet-stream\r\n"
                       "Content-Length: ", host, port) < 0 ? HX_E_NOMEM : 0;
        h->head = err ? NULL : h->head;
    }
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_url_cleanup(u);
    return err;
}

static void host_free(struct host *h)
{
    for (struct lane *ln = h->lanes, *next; ln; ln = next) {
        next = ln->all;
        lane_free(ln);
    }
    free(h->head);
    free(h->key);
    free(h);
}

static int host_new(struct hx_client *c, const char *key, size_t name_len, struct host **ret)
{
    struct host *h = calloc(1, sizeof *h);
    if (!h || !(h->key = strdup(key))) {
        free(h);
        return HX_E_NOMEM;
    }
    h->client = c;
    memcpy(h->name, key, name_len);
    h->url = h->key + name_len + 1;
    h->queue_end = &h->queue;
    int err = host_head(h);
    if (!err && !tsearch(h, &c->tree, by_key))
        err = HX_E_NOMEM;
    if (err) {
        host_free(h);
        return err;
    }
    h->next = c->hosts;
    c->hosts = h;
    *ret = h;
    return 0;
}

static int host_get(struct hx_client *c, const char *url, const char *name, struct host **ret)
{
    char key[1024];
    size_t name_len = strlen(name);
    if (!hx_tls_name_ok(name, name_len) ||
        snprintf(key, sizeof key, "%s %s", name, url) >= (int)sizeof key)
        return HX_E_INVAL;
    struct host wanted = {.key = key};
    struct host **found = tfind(&wanted, &c->tree, by_key);
    if (!found)
        return host_new(c, key, name_len, ret);
    *ret = *found;
    return 0;
}

/* ---- the public face ---- */

int hx_client_post(struct hx_client *c, const char *url, const char *name, const struct iovec *iov, int iovcnt,
                   uint32_t timeout_ms, void (*done)(void *ctx, int err, struct hx_bytes body), void *ctx,
                   struct hx_call **ret)
{
    hx_assert(iovcnt >= 0);
    struct host *h;
    int err = host_get(c, url, name, &h);
    if (err) {
        snprintf(c->why, sizeof c->why, "%s at %s: not a server's name and https://HOST:PORT", name, url);
        return err;
    }
    struct hx_call *call = call_new(h, iov, iovcnt, timeout_ms);
    if (!call)
        return HX_E_NOMEM;
    call->done = done;
    call->ctx = ctx;
    struct lane *ln = h->queue ? NULL : lane_take(h);
    if (ln)
        err = lane_start(ln, call);
    else if (h->lane_count == 0)
        err = HX_E_NOMEM;
    else
        queue_in(call);
    if (err) {
        call_free(call);
        return err;
    }
    if (timeout_ms) {
        struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
        event_add(&call->timeout, &tv);
    }
    c->stats.requests++;
    c->stats.bytes_sent += call->len;
    if (ret)
        *ret = call;
    return 0;
}

void hx_call_cancel(struct hx_call *call)
{
    if (!call)
        return;
    struct host *h = call->host;
    call_detach(call);
    call_free(call);
    host_dispatch(h);
}

const char *hx_client_why(const struct hx_client *c)
{
    return c->why;
}

void hx_client_stats(const struct hx_client *c, struct hx_client_stats *ret)
{
    *ret = c->stats;
}

int hx_client_new(struct hx_loop *l, const struct hx_tls_cfg *cfg, struct hx_client **ret, char why[256])
{
    struct hx_client *c = calloc(1, sizeof *c);
    if (!c)
        return HX_E_NOMEM;
    c->loop = l;
    c->base = hx_loop_base(l);
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
        free(c);
        return HX_E_NOMEM;
    }
    int err = hx_tls_load(cfg, &c->tls, why);
    if (!err)
        err = hx_curlio_new(l, hx_link_connected, NULL, &c->io);
    if (err) {
        hx_client_free(c);
        return err;
    }
    *ret = c;
    return 0;
}

int hx_client_use(struct hx_client *c, const struct hx_tls *t)
{
    struct hx_tls fresh;
    int err = hx_tls_share(t, &fresh);
    if (err)
        return err;
    hx_tls_fini(&c->tls); /* connections have references of their own */
    c->tls = fresh;
    return 0;
}

static void nothing(void *p)
{
    (void)p;
}

void hx_client_free(struct hx_client *c)
{
    if (!c)
        return;
    hx_assert(!c->in_done);
    for (struct host *h = c->hosts; h; h = h->next) {
        for (struct lane *ln = h->lanes; ln; ln = ln->all)
            if (ln->call) {
                struct hx_call *call = ln->call;
                call_detach(call);
                call_free(call);
            }
        while (h->queue) {
            struct hx_call *call = h->queue;
            queue_out(call);
            call_free(call);
        }
    }
    tdestroy(c->tree, nothing);
    for (struct host *h = c->hosts, *next; h; h = next) {
        next = h->next;
        host_free(h);
    }
    hx_curlio_free(c->io);
    for (struct hx_call *call = c->spare, *next; call; call = next) {
        next = call->next;
        free(call);
    }
    hx_tls_fini(&c->tls);
    curl_global_cleanup();
    free(c);
}
