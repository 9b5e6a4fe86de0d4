/*
 * server.c - the HTTPS server: POST /v1/msg, on libevent's evhttp.
 *
 * Does not: look into a body, decide who may do what (the handler knows role and name of the peer), touch
 * bytes below HTTP (conn.c).
 *
 *   1. Only a POST of exactly /v1/msg with one plain Content-Length and no Transfer-Encoding reaches the
 *      handler.  Anything else is answered (404, 405, 411, 400, 413) and its connection closed.
 *   2. The size of a body is judged by its Content-Length, before memory is spent on it.
 *   3. A connection answers one request after the other; the handler owes at most one answer for each.
 *   4. A request belongs to the handler until hx_request_reply, its body too.  When the connection goes
 *      first, the request is detached, and the answer is dropped.
 *   5. `closed` is called exactly once for each connection number that the handler was shown, and never after
 *      hx_server_net_free began.
 *   6. Where there are connections_max connections, or no descriptors, further ones wait in the
 *      kernel's queue.
 *   7. evhttp falls back to a connection without TLS when it cannot get one from us (no memory): such a one
 *      is closed without an answer.
 *
 * Memory: a request and its body are freed by hx_request_reply.
 */
#include "conn.h"
#include "loop_int.h"
#include "renew.h"

#include "hexad/assert.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATH "/v1/msg"
#define HEADERS_MAX 8192
#define IDLE_MS 120000
#define REQUEST_MS 10000
#define CONNECTIONS_MAX 1024
#define BACKLOG 1024
#define ACCEPT_PAUSE_MS 100

struct hx_server_net {
    struct hx_server_net *next; /* all servers of the process: evconnlistener names none */
    struct hx_server_cfg cfg;
    struct hx_conns *conns;
    struct evhttp *http;
    struct evconnlistener *listener;
    struct hx_timer *accept_again;
    bool full;
    int port;
};

struct hx_request {
    struct hx_conn *conn; /* NULL: the client has gone */
    struct evhttp_request *http;
    struct evbuffer *body;
};

static struct hx_server_net *servers;

/* ---- requests ---- */

static void refuse(struct evhttp_request *http, int status, const char *reason)
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(http);
    evhttp_add_header(out, "Connection", "close");
    if (status == 405)
        evhttp_add_header(out, "Allow", "POST");
    evhttp_send_reply(http, status, reason, NULL);
}

/* 0, or the HTTP status of what is wrong with the head. */
static int judge_head(struct evhttp_request *http, const char **ret_reason)
{
    const struct evkeyval *h, *length = NULL;
    int lengths = 0, encodings = 0;
    *ret_reason = "Bad Request";
    for (h = evhttp_request_get_input_headers(http)->tqh_first; h; h = h->next.tqe_next) {
        if (!strcasecmp(h->key, "Content-Length")) {
            length = h;
            lengths++;
        }
        encodings += !strcasecmp(h->key, "Transfer-Encoding");
    }
    if (encodings || lengths > 1)
        return 400;
    if (strcmp(evhttp_request_get_uri(http), PATH)) {
        *ret_reason = "Not Found";
        return 404;
    }
    if (evhttp_request_get_command(http) != EVHTTP_REQ_POST) {
        *ret_reason = "Method Not Allowed";
        return 405;
    }
    if (!length) {
        *ret_reason = "Length Required";
        return 411;
    }
    size_t digits = strspn(length->value, "0123456789");
    return digits && !length->value[digits] ? 0 : 400;
}

static void on_evhttp_closed(struct evhttp_connection *evcon, void *arg);

static struct hx_request *request_new(struct hx_conn *c, struct evhttp_request *http)
{
    struct hx_request *r = calloc(1, sizeof *r);
    if (!r || !(r->body = evbuffer_new())) {
        free(r);
        return NULL;
    }
    r->conn = c;
    r->http = http;
    evbuffer_add_buffer(r->body, evhttp_request_get_input_buffer(http)); /* moves the pieces */
    if (evbuffer_get_length(r->body) && !evbuffer_pullup(r->body, -1)) {
        evbuffer_free(r->body);
        free(r);
        return NULL;
    }
    return r;
}

static void request_free(struct hx_request *r)
{
    evbuffer_free(r->body);
    free(r);
}

static void on_request(struct evhttp_request *http, void *arg)
{
    struct hx_server_net *s = arg;
    struct evhttp_connection *evcon = evhttp_request_get_connection(http);
    struct hx_conn *c = hx_conn_of(evhttp_connection_get_bufferevent(evcon));
    if (!c || c->peer.role == HX_ROLE_NONE) { /* 7 */
        evhttp_connection_free(evcon);
        return;
    }
    if (!c->user) {
        c->user = evcon;
        evhttp_connection_set_closecb(evcon, on_evhttp_closed, c);
    }
    const char *reason;
    int status = judge_head(http, &reason);
    struct hx_request *r = status ? NULL : request_new(c, http);
    if (!r) {
        refuse(http, status ? status : 503, status ? reason : "Service Unavailable");
        return;
    }
    hx_assert(!c->pending); /* 3 */
    c->pending = r;
    c->announced = true;
    hx_conn_delivered(c);
    size_t len = evbuffer_get_length(r->body);
    struct hx_bytes body = {len ? evbuffer_pullup(r->body, -1) : NULL, len};
    s->cfg.request(s->cfg.ctx, r, c->number, &c->peer, body);
}

void hx_request_reply(struct hx_request *r, struct hx_bytes body)
{
    struct hx_conn *c = r->conn;
    if (c) {
        struct evbuffer *out = evhttp_request_get_output_buffer(r->http);
        c->pending = NULL;
        if (body.len && evbuffer_add(out, body.p, body.len))
            refuse(r->http, 503, "Service Unavailable");
        else
            evhttp_send_reply(r->http, 200, "OK", NULL);
        hx_conn_replied(c);
    }
    request_free(r);
}

/* ---- connections ---- */

/* 4: the request outlives its connection. */
static void detach(struct hx_conn *c)
{
    struct hx_request *r = c->pending;
    if (!r)
        return;
    c->pending = NULL;
    r->conn = NULL;
    if (!evhttp_request_get_connection(r->http))
        evhttp_request_free(r->http); /* evhttp has let go of it; else it frees it with the connection */
    r->http = NULL;
}

static void on_gone(void *ctx, struct hx_conn *c)
{
    struct hx_server_net *s = ctx;
    detach(c);
    if (c->announced && !c->closed && s->cfg.closed) {
        c->closed = true; /* 5 */
        s->cfg.closed(s->cfg.ctx, c->number);
    }
}

static void on_evhttp_closed(struct evhttp_connection *evcon, void *arg)
{
    (void)evcon;
    struct hx_conn *c = arg;
    hx_conn_end(c);
}

static void on_refused(void *ctx, const char *why)
{
    struct hx_server_net *s = ctx;
    s->cfg.refused(s->cfg.ctx, why);
}

static void on_count(void *ctx, size_t connections)
{
    struct hx_server_net *s = ctx;
    bool full = connections >= s->cfg.connections_max;
    if (full == s->full || !s->listener)
        return;
    s->full = full;
    if (full)
        evconnlistener_disable(s->listener);
    else
        evconnlistener_enable(s->listener);
}

static void on_accept_again(void *ctx)
{
    struct hx_server_net *s = ctx;
    if (!s->full)
        evconnlistener_enable(s->listener);
}

/* accept failed, mostly for want of descriptors; the queue stays readable, so pause. */
static void on_accept_failed(struct evconnlistener *listener, void *arg)
{
    (void)arg;
    struct hx_server_net *s = servers;
    while (s && s->listener != listener)
        s = s->next;
    if (!s)
        return;
    evconnlistener_disable(listener);
    hx_timer_set(s->accept_again, ACCEPT_PAUSE_MS);
}

static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    (void)base;
    struct hx_server_net *s = arg;
    return hx_conn_accept(s->conns);
}

/* ---- listening ---- */

/* "host:port" or "[host]:port" into its two parts. */
static int split_listen(const char *listen_at, char host[256], char port[16])
{
    const char *colon = strrchr(listen_at, ':');
    if (!colon || strlen(colon + 1) >= 16 || !colon[1])
        return HX_E_INVAL;
    size_t len = (size_t)(colon - listen_at);
    if (len >= 2 && listen_at[0] == '[' && colon[-1] == ']') {
        listen_at++;
        len -= 2;
    } else if (memchr(listen_at, ':', len)) {
        return HX_E_INVAL; /* an IPv6 address without brackets */
    }
    if (len == 0 || len >= 256)
        return HX_E_INVAL;
    memcpy(host, listen_at, len);
    host[len] = '\0';
    strcpy(port, colon + 1);
    return 0;
}

static int bind_to(const struct addrinfo *a)
{
    int one = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    /* TCP_NODELAY is inherited by what is accepted; without it each answer waits up to 40 ms. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) ||
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) ||
        bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, BACKLOG)) {
        int eno = errno;
        close(fd);
        errno = eno;
        return -1;
    }
    return fd;
}

static int listen_on(const char *listen_at, int *ret_fd, char why[HX_WHY_MAX])
{
    char host[256], port[16];
    int err = split_listen(listen_at, host, port);
    if (err) {
        snprintf(why, HX_WHY_MAX, "listen = %s: not ADDRESS:PORT", listen_at);
        return err;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *list;
    int bad = getaddrinfo(host, port, &hints, &list);
    if (bad) {
        snprintf(why, HX_WHY_MAX, "listen = %s: %s", listen_at, gai_strerror(bad));
        return HX_E_INVAL;
    }
    int fd = -1;
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
        fd = bind_to(a);
    int eno = errno;
    freeaddrinfo(list);
    if (fd < 0) {
        snprintf(why, HX_WHY_MAX, "cannot listen on %s: %s", listen_at, strerror(eno));
        return eno == EADDRINUSE ? HX_E_BUSY : hx_err_from_errno(eno);
    }
    *ret_fd = fd;
    return 0;
}

static int port_of(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    if (getsockname(fd, (struct sockaddr *)&ss, &len))
        return 0;
    return ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
                                          : ((struct sockaddr_in *)&ss)->sin_port);
}

/* ---- life ---- */

static int start_http(struct hx_server_net *s, struct event_base *base, int fd)
{
    s->listener = evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (!s->listener) {
        close(fd);
        return HX_E_NOMEM;
    }
    s->http = evhttp_new(base);
    if (!s->http || !evhttp_bind_listener(s->http, s->listener)) {
        evconnlistener_free(s->listener);
        s->listener = NULL;
        return HX_E_NOMEM;
    }
    evconnlistener_set_error_cb(s->listener, on_accept_failed);
    evhttp_set_bevcb(s->http, on_accept, s);
    evhttp_set_gencb(s->http, on_request, s);
    evhttp_set_max_headers_size(s->http, HEADERS_MAX);
    evhttp_set_max_body_size(s->http, (ev_ssize_t)s->cfg.body_max);
    evhttp_set_default_content_type(s->http, "application/octet-stream");
    /* Every method, so that the answer to the others is ours. */
    evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
                                            EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
                                            EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    return 0;
}

static void fill_cfg(struct hx_server_cfg *cfg)
{
    cfg->idle_ms = cfg->idle_ms ? cfg->idle_ms : IDLE_MS;
    cfg->request_ms = cfg->request_ms ? cfg->request_ms : REQUEST_MS;
    cfg->connections_max = cfg->connections_max ? cfg->connections_max : CONNECTIONS_MAX;
}

int hx_server_net_new(struct hx_loop *l, const struct hx_server_cfg *cfg, struct hx_server_net **ret, char why[256])
{
    struct hx_server_net *s = calloc(1, sizeof *s);
    if (!s)
        return HX_E_NOMEM;
    why[0] = '\0';
    s->cfg = *cfg;
    fill_cfg(&s->cfg);
    struct hx_conns_cfg cc = {.tls = cfg->tls, .body_max = cfg->body_max, .idle_ms = s->cfg.idle_ms,
                              .request_ms = s->cfg.request_ms, .count = on_count, .gone = on_gone,
                              .refused = cfg->refused ? on_refused : NULL, .ctx = s};
    int fd = -1, err = hx_conns_new(l, &cc, &s->conns, why);
    if (!err)
        err = hx_timer_new(l, on_accept_again, s, &s->accept_again);
    if (!err)
        err = listen_on(cfg->listen, &fd, why);
    if (!err) {
        s->port = port_of(fd);
        err = start_http(s, hx_loop_base(l), fd);
    }
    if (err) {
        hx_server_net_free(s);
        return err;
    }
    s->next = servers;
    servers = s;
    *ret = s;
    return 0;
}

void hx_server_net_free(struct hx_server_net *s)
{
    if (!s)
        return;
    for (struct hx_server_net **p = &servers; *p; p = &(*p)->next)
        if (*p == s) {
            *p = s->next;
            break;
        }
    s->cfg.closed = NULL; /* 5 */
    s->listener = NULL;   /* evhttp frees it */
    if (s->http)
        evhttp_free(s->http);
    hx_conns_free(s->conns);
    hx_timer_free(s->accept_again);
    free(s);
}

int hx_server_net_use(struct hx_server_net *s, const struct hx_tls *t)
{
    return hx_conns_use(s->conns, t);
}

int hx_server_net_port(const struct hx_server_net *s)
{
    return s->port;
}
