/*
 * link.c - one kept-alive HTTPS connection of a client (hexad/net.h), on OpenSSL and our loop.
 *
 * Does not: know names, queues or time limits of requests (client.c), judge certificates (tls.c), read heads
 * (httphead.c), look into a body.
 *
 *   1. All links that were started in one iteration begin together at its end; nothing happens inside
 *      hx_link_start, so DONE is never called from there.
 *   2. What there is to receive is received with one call into a buffer that all links share, where OpenSSL by
 *      itself receives each record with two.  It is empty whenever a link returns to the loop: OpenSSL takes all of
 *      it, or the connection ends.
 *   3. An idle connection is watched: when anything comes, the end of the peer too, it is closed, and the next
 *      request makes a new one.  So it is when it has been idle for IDLE_MAX_MS, which is below a server's limit.
 *   4. A request on a connection that was used before, to which not one byte was answered, is sent again, once, on a
 *      new one: the peer may have closed the old one while it was on its way.  So a server may see it twice.
 *   5. After a request that did not end with a whole answer that was asked for, the connection is closed.  A late
 *      answer is never seen.
 *   6. An answer may come before all of the request has been sent, and the peer may then hang up: what it said counts.
 *   7. DONE is the last thing that a function does: the link may be gone then.
 *
 * Memory: a link keeps what an answer of up to KEEP_MAX needs, and OpenSSL's buffers while there is a connection.
 */
#include "link.h"
#include "httphead.h"
#include "loop_int.h"
#include "resolve.h"

#include "hexad/assert.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE (128u << 10)
#define RECORD SSL3_RT_MAX_PLAIN_LENGTH
#define KEEP_MAX (272u << 10) /* 64 pages and their heads are not larger */
#define BODY_FIRST 4096u
#define IDLE_MAX_MS 100000u

enum state {
    CLOSED,
    RESOLVING,
    CONNECTING,
    HANDSHAKE,
    IDLE,   /* connected, no request */
    ASKING, /* a request is being sent, or its answer awaited */
};

struct hx_links {
    struct hx_loop *loop;
    struct event_base *base;
    SSL_CTX *ctx;
    BIO_METHOD *method;
    struct hx_resolver *resolver;
    struct hx_defer *kick;
    struct hx_link *started, **started_end; /* 1 */
    struct hx_link **beginning;  /* the rest of those that begin now */
    struct hx_link *owner;       /* of what is left in received */
    size_t at, len;              /* 2 */
    uint8_t received[RECEIVE];
    uint8_t record[RECORD];      /* what is encrypted next */
};

struct hx_link {
    struct hx_links *set;
    struct hx_link_peer peer;
    enum state state;
    struct hx_link *next; /* among the started ones */
    bool listed;
    struct hx_resolve *resolve;
    struct addrinfo *addresses, *address; /* the one that is tried */
    int fd;
    SSL *ssl;
    struct event rd, wr, late;
    bool wr_on, eof;
    int sys_errno;          /* of the last failed call on the socket */
    uint64_t idle_since_ms;
    char why[HX_WHY_MAX];   /* of the check of the peer's certificate */

    bool busy;              /* a request: from start to DONE */
    bool reused, answered;  /* 4: the connection was used before; a byte of the answer has come */
    bool sent, refused;     /* all of the request; it cannot be sent any further (6) */
    uint32_t connect_ms;
    const struct iovec *iov;
    int iovcnt;
    size_t body_len, total, at; /* of the request; with its head; bytes of that that were sent */
    char length[24];            /* the rest of the head */

    char *head;             /* of the answer, HX_HTTPHEAD_MAX bytes while it is being read */
    size_t head_len;
    struct hx_httphead answer; /* .len 0: its head is not complete */
    uint8_t *body;
    size_t got, cap;
};

static void fail(struct hx_link *k, int err, const char *why);
static void begin(struct hx_link *k);

/* ---- the BIO (2) ---- */

static int bio_read(BIO *b, char *out, int len)
{
    struct hx_link *k = BIO_get_data(b);
    struct hx_links *s = k->set;
    BIO_clear_retry_flags(b);
    if (s->owner != k) {
        hx_assert(!s->owner);
        ssize_t n = recv(k->fd, s->received, sizeof s->received, 0);
        if (n <= 0) {
            k->eof = n == 0;
            k->sys_errno = n < 0 ? errno : 0;
            if (n < 0 && (errno == EAGAIN || errno == EINTR))
                BIO_set_retry_read(b);
            return n == 0 ? 0 : -1;
        }
        s->owner = k;
        s->at = 0;
        s->len = (size_t)n;
    }
    size_t n = s->len - s->at < (size_t)len ? s->len - s->at : (size_t)len;
    memcpy(out, s->received + s->at, n);
    s->at += n;
    if (s->at == s->len)
        s->owner = NULL;
    return (int)n;
}

static int bio_write(BIO *b, const char *p, int len)
{
    struct hx_link *k = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    ssize_t n = send(k->fd, p, (size_t)len, MSG_NOSIGNAL);
    k->sys_errno = n < 0 ? errno : 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(b);
    return (int)n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *p)
{
    (void)num;
    (void)p;
    const struct hx_link *k = BIO_get_data(b);
    return cmd == BIO_CTRL_FLUSH || (cmd == BIO_CTRL_EOF && k->eof);
}

/* ---- the connection ---- */

static void watch_writing(struct hx_link *k, bool on)
{
    if (on == k->wr_on)
        return;
    if (on)
        event_add(&k->wr, NULL);
    else
        event_del(&k->wr);
    k->wr_on = on;
}

static void disconnect(struct hx_link *k)
{
    if (k->resolve)
        hx_resolve_cancel(k->resolve);
    k->resolve = NULL;
    if (k->addresses)
        freeaddrinfo(k->addresses);
    k->addresses = k->address = NULL;
    event_del(&k->late);
    if (k->fd >= 0) {
        event_del(&k->rd);
        watch_writing(k, false);
        if (k->ssl && k->state >= IDLE)
            SSL_shutdown(k->ssl); /* says goodbye, and does not wait for an answer */
        SSL_free(k->ssl);
        close(k->fd);
    }
    if (k->set->owner == k)
        k->set->owner = NULL;
    k->ssl = NULL;
    k->fd = -1;
    k->eof = k->reused = false;
    k->sys_errno = 0;
    k->state = CLOSED;
    ERR_clear_error();
}

static void answer_reset(struct hx_link *k)
{
    k->answered = k->sent = k->refused = false;
    k->at = k->head_len = k->got = 0;
    k->answer = (struct hx_httphead){0};
    if (k->cap > KEEP_MAX) {
        free(k->body);
        k->body = NULL;
        k->cap = 0;
    }
}

/* The end of the request (7). */
static void finish(struct hx_link *k, int err, int status, const char *why)
{
    struct hx_bytes body = {err || status != 200 ? NULL : k->body, err || status != 200 ? 0 : k->got};
    k->busy = false;
    free(k->head);
    k->head = NULL;
    if (k->state == ASKING)
        k->state = IDLE;
    k->idle_since_ms = hx_loop_now_ms(k->set->loop);
    bool more = k->set->owner == k || (k->ssl && SSL_pending(k->ssl)); /* than was announced */
    if (err || !k->sent || k->answer.close || !k->answer.has_length || more)
        disconnect(k); /* 5 */
    k->reused = k->state == IDLE;
    k->peer.done(k->peer.ctx, err, status, body, why);
}

static void fail(struct hx_link *k, int err, const char *why)
{
    char text[HX_WHY_MAX];
    snprintf(text, sizeof text, "%s", why);
    disconnect(k);
    finish(k, err, 0, text);
}

/* What ended TLS or the connection: an alert of the peer, an error here, or the network; OTHERWISE for that. */
static void fail_tls(struct hx_link *k, int otherwise)
{
    char text[HX_WHY_MAX];
    unsigned long e = ERR_peek_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL, *alert = reason ? strstr(reason, "alert") : NULL;
    bool eof = e && ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    if (k->why[0]) {
        fail(k, HX_E_TLS, k->why);
    } else if (alert) {
        snprintf(text, sizeof text, "it refuses our certificate or protocol: %s", alert);
        fail(k, HX_E_TLS, text);
    } else if (e && ERR_GET_LIB(e) == ERR_LIB_SSL && !eof) {
        fail(k, HX_E_TLS, reason ? reason : "a TLS error");
    } else {
        fail(k, otherwise, k->sys_errno ? strerror(k->sys_errno) : "it has closed the connection");
    }
}

/* The connection has ended while an answer was awaited. */
static void lost(struct hx_link *k)
{
    if (!k->reused || k->answered) {
        fail_tls(k, HX_E_CLOSED);
        return;
    }
    disconnect(k); /* 4 */
    begin(k);
}

/* ---- the answer ---- */

static int body_reserve(struct hx_link *k)
{
    size_t need = k->answer.has_length ? (size_t)k->answer.length : k->got + 1;
    if (need <= k->cap)
        return 0;
    size_t cap = need > BODY_FIRST ? need : BODY_FIRST;
    if (!k->answer.has_length && cap < 2 * k->cap)
        cap = 2 * k->cap;
    uint8_t *p = realloc(k->body, cap);
    if (!p)
        return HX_E_NOMEM;
    k->body = p;
    k->cap = cap;
    return 0;
}

/* A whole head; what came behind it belongs to the body.  0: go on, else an error. */
static int head_complete(struct hx_link *k)
{
    size_t rest = k->head_len - k->answer.len;
    bool interim = k->answer.status < 200;
    if (k->answer.has_length && k->answer.length > HX_NET_ANSWER_MAX)
        return HX_E_TOOBIG;
    if (interim) { /* 100 Continue and the like: the answer is behind it */
        memmove(k->head, k->head + k->answer.len, rest);
        k->head_len = rest;
        k->answer = (struct hx_httphead){0};
        return 0;
    }
    if (k->answer.has_length && rest > k->answer.length)
        return HX_E_BADMSG; /* more than was announced */
    k->got = rest;
    int err = body_reserve(k);
    if (err == 0 && rest)
        memcpy(k->body, k->head + k->answer.len, rest);
    return err;
}

static int take_head(struct hx_link *k, size_t n)
{
    k->head_len += n;
    for (;;) {
        int whole = hx_httphead_parse(k->head, k->head_len, &k->answer);
        if (whole < 0)
            return whole;
        if (whole == 0) {
            k->answer.len = 0;
            return 0;
        }
        int err = head_complete(k);
        if (err || k->answer.len)
            return err;
    }
}

static bool complete(const struct hx_link *k)
{
    return k->answer.len && k->answer.has_length && k->got == k->answer.length;
}

static void fail_answer(struct hx_link *k, int err)
{
    if (err == HX_E_BADMSG)
        fail(k, HX_E_IO, "what it answers is not HTTP");
    else
        fail(k, err, err == HX_E_TOOBIG ? "the answer is too large" : hx_err_text(err));
}

/* Where the next bytes of the answer go; 0: there is room. */
static int room(struct hx_link *k, uint8_t **ret, size_t *ret_len)
{
    if (!k->answer.len) {
        if (!k->head && !(k->head = malloc(HX_HTTPHEAD_MAX)))
            return HX_E_NOMEM;
        *ret = (uint8_t *)k->head + k->head_len;
        *ret_len = HX_HTTPHEAD_MAX - k->head_len; /* a full one was refused */
        return 0;
    }
    int err = k->got >= HX_NET_ANSWER_MAX ? HX_E_TOOBIG : body_reserve(k);
    *ret = k->body + k->got;
    *ret_len = (k->answer.has_length ? (size_t)k->answer.length : k->cap) - k->got;
    return err;
}

/* Takes what has come of the answer; false: the request has ended, and the link may be gone. */
static bool receive(struct hx_link *k)
{
    while (!complete(k)) {
        uint8_t *p;
        size_t len;
        int err = room(k, &p, &len);
        if (err) {
            fail_answer(k, err);
            return false;
        }
        int n = SSL_read(k->ssl, p, len < INT32_MAX ? (int)len : INT32_MAX);
        if (n <= 0) {
            int why = SSL_get_error(k->ssl, n);
            if (why == SSL_ERROR_WANT_READ && !k->refused)
                return true;
            if (why == SSL_ERROR_ZERO_RETURN && k->answer.len && !k->answer.has_length)
                break; /* so its body ends here */
            lost(k);
            return false;
        }
        k->answered = true;
        if (k->answer.len)
            k->got += (size_t)n;
        else if ((err = take_head(k, (size_t)n)) != 0) {
            fail_answer(k, err);
            return false;
        }
    }
    finish(k, 0, k->answer.status, "");
    return false;
}

/* ---- the request ---- */

/* Copies up to CAP bytes of the request from OFF on: head, the length, the body. */
static size_t gather(const struct hx_link *k, size_t off, uint8_t *out, size_t cap)
{
    const struct iovec fixed[2] = {{(void *)k->peer.head, strlen(k->peer.head)},
                                   {(void *)k->length, strlen(k->length)}};
    size_t n = 0;
    for (int i = -2; i < k->iovcnt && n < cap; i++) {
        const struct iovec *v = i < 0 ? &fixed[i + 2] : &k->iov[i];
        if (off >= v->iov_len) {
            off -= v->iov_len;
            continue;
        }
        size_t part = v->iov_len - off < cap - n ? v->iov_len - off : cap - n;
        memcpy(out + n, (const uint8_t *)v->iov_base + off, part);
        n += part;
        off = 0;
    }
    return n;
}

/* Sends what can be sent now; false: the request has ended. */
static bool transmit(struct hx_link *k)
{
    while (k->at < k->total && !k->refused) {
        size_t n = gather(k, k->at, k->set->record, sizeof k->set->record);
        int done = SSL_write(k->ssl, k->set->record, (int)n);
        if (done > 0) {
            k->at += (size_t)done;
            continue;
        }
        if (SSL_get_error(k->ssl, done) == SSL_ERROR_WANT_WRITE) {
            watch_writing(k, true);
            return true;
        }
        k->refused = true; /* 6 */
    }
    watch_writing(k, false);
    k->sent = k->at == k->total;
    return k->refused ? receive(k) : true;
}

static void ask(struct hx_link *k)
{
    k->state = ASKING;
    if (transmit(k) && k->set->owner == k) /* 2: something came with the end of the handshake */
        receive(k);
}

/* ---- a new connection ---- */

static void handshake(struct hx_link *k)
{
    int n = SSL_do_handshake(k->ssl);
    if (n == 1) {
        event_del(&k->late);
        watch_writing(k, false);
        ask(k);
        return;
    }
    int why = SSL_get_error(k->ssl, n);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        watch_writing(k, why == SSL_ERROR_WANT_WRITE);
    else
        fail_tls(k, HX_E_CONNECT);
}

static bool tls_new(struct hx_link *k)
{
    BIO *b = BIO_new(k->set->method);
    k->ssl = b ? SSL_new(k->set->ctx) : NULL;
    if (!k->ssl) {
        BIO_free(b);
        return false;
    }
    BIO_set_data(b, k);
    BIO_set_init(b, 1);
    SSL_set_bio(k->ssl, b, b);
    SSL_set_app_data(k->ssl, k);
    SSL_set_connect_state(k->ssl);
    return SSL_set_tlsext_host_name(k->ssl, k->peer.sni) == 1;
}

static void on_event(evutil_socket_t fd, short what, void *arg);

static int open_socket(struct hx_link *k, const struct addrinfo *a)
{
    int one = 1;
    k->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (k->fd < 0)
        return -1;
    setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(k->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    event_assign(&k->rd, k->set->base, k->fd, EV_READ | EV_PERSIST, on_event, k);
    event_assign(&k->wr, k->set->base, k->fd, EV_WRITE | EV_PERSIST, on_event, k);
    return connect(k->fd, a->ai_addr, a->ai_addrlen) && errno != EINPROGRESS ? -1 : 0;
}

/* Tries the address at k->address, and the ones behind it. */
static void try_addresses(struct hx_link *k)
{
    for (; k->address; k->address = k->address->ai_next) {
        if (open_socket(k, k->address) == 0) {
            k->state = CONNECTING;
            watch_writing(k, true); /* writable: connected, or not */
            return;
        }
        k->sys_errno = errno;
        if (k->fd >= 0)
            close(k->fd);
        k->fd = -1;
    }
    fail(k, HX_E_CONNECT, strerror(k->sys_errno));
}

static void connected(struct hx_link *k)
{
    int eno = 0;
    socklen_t len = sizeof eno;
    if (getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &eno, &len))
        eno = errno;
    watch_writing(k, false);
    if (eno) {
        close(k->fd);
        k->fd = -1;
        k->sys_errno = eno;
        k->address = k->address->ai_next;
        try_addresses(k);
        return;
    }
    if (!tls_new(k)) {
        fail(k, HX_E_NOMEM, hx_err_text(HX_E_NOMEM));
        return;
    }
    event_add(&k->rd, NULL);
    k->state = HANDSHAKE;
    handshake(k);
}

static void resolved(void *ctx, struct addrinfo *list)
{
    struct hx_link *k = ctx;
    k->resolve = NULL;
    k->addresses = k->address = list;
    if (list)
        try_addresses(k);
    else
        fail(k, HX_E_CONNECT, "unknown host");
}

static void open_connection(struct hx_link *k)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *list;
    struct timeval tv = {.tv_sec = k->connect_ms / 1000, .tv_usec = k->connect_ms % 1000 * 1000};
    event_add(&k->late, &tv);
    k->why[0] = '\0';
    if (getaddrinfo(k->peer.host, k->peer.port, &hints, &list) == 0) {
        resolved(k, list);
        return;
    }
    k->state = RESOLVING;
    if (hx_resolve_start(k->set->resolver, k->peer.host, k->peer.port, resolved, k, &k->resolve))
        fail(k, HX_E_NOMEM, hx_err_text(HX_E_NOMEM));
}

static void begin(struct hx_link *k)
{
    answer_reset(k);
    if (k->state == IDLE && hx_loop_now_ms(k->set->loop) - k->idle_since_ms > IDLE_MAX_MS)
        disconnect(k); /* 3 */
    if (k->state == IDLE)
        ask(k);
    else
        open_connection(k);
}

/* ---- events ---- */

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct hx_link *k = arg;
    (void)fd;
    ERR_clear_error();
    switch (k->state) {
    case CONNECTING:
        connected(k);
        break;
    case HANDSHAKE:
        handshake(k);
        break;
    case IDLE:
        disconnect(k); /* 3 */
        break;
    case ASKING:
        if (what & EV_READ ? receive(k) : transmit(k))
            hx_assert(k->set->owner != k); /* 2: OpenSSL has asked for more than there was */
        break;
    case CLOSED:
    case RESOLVING:
        break;
    }
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    fail(arg, HX_E_CONNECT, "no connection in time");
}

static void on_kick(void *arg)
{
    struct hx_links *s = arg;
    ERR_clear_error();
    struct hx_link *list = s->started;
    s->started = NULL;
    s->started_end = &s->started; /* what is started meanwhile waits for the next iteration */
    s->beginning = &list;
    while (list) {
        struct hx_link *k = list;
        list = k->next;
        k->listed = false;
        begin(k);
    }
    s->beginning = NULL;
}

/* Rare: a request that has not begun is canceled. */
static bool take_out(struct hx_link **list, const struct hx_link *k)
{
    while (*list && *list != k)
        list = &(*list)->next;
    bool found = *list;
    if (found)
        *list = k->next;
    return found;
}

static void unlist(struct hx_link *k)
{
    struct hx_links *s = k->set;
    if (!k->listed)
        return;
    k->listed = false;
    if (s->beginning && take_out(s->beginning, k))
        return;
    take_out(&s->started, k);
    s->started_end = &s->started;
    while (*s->started_end)
        s->started_end = &(*s->started_end)->next;
}

/* ---- life ---- */

void hx_link_start(struct hx_link *k, const struct iovec *iov, int iovcnt, size_t len, uint32_t connect_ms)
{
    struct hx_links *s = k->set;
    hx_assert(!k->busy);
    k->busy = true;
    k->connect_ms = connect_ms;
    k->iov = iov;
    k->iovcnt = iovcnt;
    k->body_len = len;
    snprintf(k->length, sizeof k->length, "%zu\r\n\r\n", len);
    k->total = strlen(k->peer.head) + strlen(k->length) + len;
    k->next = NULL;
    k->listed = true;
    *s->started_end = k;
    s->started_end = &k->next;
    hx_defer_call_now(s->kick);
}

void hx_link_stop(struct hx_link *k)
{
    if (!k->busy)
        return;
    bool waits = k->listed;
    unlist(k);
    k->busy = false;
    free(k->head);
    k->head = NULL;
    if (!waits) /* else nothing of it has been sent */
        disconnect(k);
}

struct hx_link *hx_link_new(struct hx_links *s, const struct hx_link_peer *peer)
{
    struct hx_link *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->set = s;
    k->peer = *peer;
    k->fd = -1;
    evtimer_assign(&k->late, s->base, on_late, k);
    return k;
}

void hx_link_free(struct hx_link *k)
{
    if (!k)
        return;
    unlist(k);
    disconnect(k);
    free(k->head);
    free(k->body);
    free(k);
}

static int on_verify(X509_STORE_CTX *peer, void *arg)
{
    (void)arg;
    const SSL *ssl = X509_STORE_CTX_get_ex_data(peer, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct hx_link *k = SSL_get_app_data(ssl);
    int code = k->peer.verify(k->peer.ctx, peer, k->why);
    X509_STORE_CTX_set_error(peer, code);
    return code == X509_V_OK;
}

static SSL_CTX *ctx_new(const struct hx_tls *tls)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || hx_tls_apply(tls, ctx)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, on_verify, NULL);
    return ctx;
}

int hx_links_new(struct hx_loop *l, const struct hx_tls *tls, struct hx_links **ret)
{
    struct hx_links *s = calloc(1, sizeof *s);
    if (!s)
        return HX_E_NOMEM;
    s->loop = l;
    s->base = hx_loop_base(l);
    s->started_end = &s->started;
    s->ctx = ctx_new(tls);
    s->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hexad link");
    if (!s->ctx || !s->method || !BIO_meth_set_read(s->method, bio_read) ||
        !BIO_meth_set_write(s->method, bio_write) || !BIO_meth_set_ctrl(s->method, bio_ctrl) ||
        hx_resolver_new(l, &s->resolver) || hx_defer_new(l, on_kick, s, &s->kick)) {
        hx_links_free(s);
        return HX_E_NOMEM;
    }
    *ret = s;
    return 0;
}

void hx_links_free(struct hx_links *s)
{
    if (!s)
        return;
    hx_assert(!s->started);
    if (s->kick)
        hx_defer_free(s->kick);
    hx_resolver_free(s->resolver);
    SSL_CTX_free(s->ctx);
    BIO_meth_free(s->method);
    free(s);
}
