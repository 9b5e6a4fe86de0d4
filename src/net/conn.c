/*
 * conn.c - accepted TLS connections: bytes in and out below OpenSSL, the check of the peer, time limits.
 *
 * Does not: know HTTP (evhttp, through server.c), own the listening socket.
 *
 * evhttp owns a bufferevent, which owns an SSL, which owns the hx_conn (its ex_data) and a BIO of ours.  So
 * an hx_conn ends exactly when its SSL does, whoever decides that.
 *
 *   1. The BIO receives as much as there is with one call and hands it on piece by piece, where OpenSSL by
 *      itself receives each record with two.  What is left when libevent stops reading would not wake it
 *      again; so whenever something may be left, `resume` runs at the end of the iteration and
 *      makes the bufferevent read again.
 *   2. The peer's certificate, role and name are checked inside the handshake; a peer that fails
 *      gets an alert and no byte of its HTTP is parsed.
 *   3. The side that closes first would, with unread bytes, make the kernel send a reset that destroys the alert
 *      or answer just written.  So the descriptor is closed by us, not by libevent: after the
 *      peer's end, or LINGER_MS, or LINGER_BYTES.
 *   4. Each phase but PENDING has a time limit, checked by one timer for all connections: it shuts the socket
 *      down, and evhttp sees an end like any other.
 *   5. A read-ahead buffer belongs to at most one connection, and to none while nothing is left in it.
 *
 * Memory: a connection at rest holds no read-ahead buffer, and OpenSSL's are released.  The input of
 * a bufferevent is bounded by the largest request and a little more.
 */
#include "conn.h"
#include "loop_int.h"

#include "hexad/assert.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/bufferevent_struct.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_AHEAD (64u << 10)
#define READ_AT_ONCE (32768 - 64) /* a libevent buffer of 32 KiB with its head */
#define INPUT_SLACK (64u << 10)   /* heads and pipelined bytes beyond the largest body */
#define LINGER_MS 2000
#define LINGER_BYTES (64u << 20)
#define LINGER_MAX 64
#define BYTES_PER_MS 64 /* slowest body that is put up with: 64 KB/s */

struct hx_readahead {
    struct hx_readahead *next; /* among the free ones */
    size_t off, len;
    uint8_t data[READ_AHEAD];
};

struct leaving {
    struct leaving *next, **prev;
    struct hx_conns *set;
    struct event ev;
    int fd;
    size_t bytes;
};

struct hx_conns {
    struct hx_loop *loop;
    struct event_base *base;
    struct hx_conns_cfg cfg;
    struct hx_tls tls;
    SSL_CTX *ssl_ctx;
    struct hx_conn *list;
    size_t count;
    uint64_t last_number;
    struct hx_readahead *spare;
    struct leaving *lingers;
    size_t linger_count;
    struct hx_timer *sweep;
    uint32_t sweep_ms;
};

static int ex_index = -1; /* where an SSL keeps its hx_conn; set once */
static BIO_METHOD *bio_method;

/* ---- lingering (3) ---- */

static void linger_end(struct leaving *g)
{
    event_del(&g->ev);
    close(g->fd);
    *g->prev = g->next;
    if (g->next)
        g->next->prev = g->prev;
    g->set->linger_count--;
    free(g);
}

static void on_linger(evutil_socket_t fd, short what, void *arg)
{
    struct leaving *g = arg;
    static uint8_t sink[READ_AHEAD];
    ssize_t n = what & EV_TIMEOUT ? 0 : recv(fd, sink, sizeof sink, 0);
    if (n > 0)
        g->bytes += (size_t)n;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || g->bytes > LINGER_BYTES)
        linger_end(g);
}

/* Takes over FD; the peer sees our end of the stream after what was written. */
static void linger_start(struct hx_conns *s, int fd)
{
    struct leaving *g = s->linger_count < LINGER_MAX ? calloc(1, sizeof *g) : NULL;
    shutdown(fd, SHUT_WR);
    if (!g) {
        close(fd);
        return;
    }
    static const struct timeval tv = {LINGER_MS / 1000, LINGER_MS % 1000 * 1000};
    g->set = s;
    g->fd = fd;
    event_assign(&g->ev, s->base, fd, EV_READ | EV_PERSIST, on_linger, g);
    event_add(&g->ev, &tv);
    g->next = s->lingers;
    g->prev = &s->lingers;
    if (g->next)
        g->next->prev = &g->next;
    s->lingers = g;
    s->linger_count++;
}

/* ---- the BIO (1) ---- */

static void set_phase(struct hx_conn *c, enum hx_conn_phase phase)
{
    c->phase = phase;
    c->since_ms = hx_loop_now_ms(c->set->loop);
    c->bytes = 0;
}

static void ahead_release(struct hx_conn *c)
{
    c->ahead->next = c->set->spare;
    c->set->spare = c->ahead;
    c->ahead = NULL;
}

static bool ahead_take(struct hx_conn *c)
{
    c->ahead = c->set->spare;
    if (c->ahead)
        c->set->spare = c->ahead->next;
    else
        c->ahead = malloc(sizeof *c->ahead);
    return c->ahead != NULL;
}

/* Receives what there is; false: nothing (EAGAIN), or the end, or an error. */
static bool ahead_fill(struct hx_conn *c, BIO *b)
{
    if (!ahead_take(c))
        return false;
    ssize_t n = recv(c->fd, c->ahead->data, READ_AHEAD, 0);
    if (n <= 0) {
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            BIO_set_retry_read(b);
        else
            c->eof = true;
        ahead_release(c);
        return false;
    }
    c->ahead->off = 0;
    c->ahead->len = (size_t)n;
    c->left_before = 0;
    event_active(&c->resume, EV_TIMEOUT, 0);
    return true;
}

static int bio_read(BIO *b, char *out, int len)
{
    struct hx_conn *c = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (!c || !c->set || len <= 0)
        return -1;
    if (!c->ahead && !ahead_fill(c, b))
        return c->eof ? 0 : -1;
    if (c->phase == HX_CONN_IDLE || (c->phase == HX_CONN_HANDSHAKE && SSL_is_init_finished(c->ssl)))
        set_phase(c, HX_CONN_RECEIVING);
    struct hx_readahead *a = c->ahead;
    size_t n = a->len - a->off < (size_t)len ? a->len - a->off : (size_t)len;
    memcpy(out, a->data + a->off, n);
    a->off += n;
    c->bytes += n;
    if (a->off == a->len)
        ahead_release(c); /* 5 */
    return (int)n;
}

static int bio_write(BIO *b, const char *p, int len)
{
    struct hx_conn *c = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (!c || c->fd < 0)
        return -1;
    ssize_t n = send(c->fd, p, (size_t)len, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(b);
    else if (n < 0)
        c->eof = true;
    else if (c->set && c->phase == HX_CONN_IDLE)
        c->since_ms = hx_loop_now_ms(c->set->loop); /* an answer that is being taken is not idleness */
    return (int)n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *p)
{
    (void)num;
    (void)p;
    const struct hx_conn *c = BIO_get_data(b);
    switch (cmd) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return !c || c->eof;
    case BIO_CTRL_PENDING:
        return c && c->ahead ? (long)(c->ahead->len - c->ahead->off) : 0;
    case BIO_C_GET_FD:
        return -1; /* 3: or libevent would close it */
    default:
        return 0;
    }
}

/* Received and not yet in the bufferevent's input: here, or as the rest of a record in OpenSSL. */
static size_t left_over(const struct hx_conn *c)
{
    return (c->ahead ? c->ahead->len - c->ahead->off : 0) + (size_t)SSL_pending(c->ssl);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct hx_conn *c = arg;
    size_t left = left_over(c);
    if (!left || !(bufferevent_get_enabled(c->bev) & EV_READ))
        return; /* reading goes on with hx_conn_replied */
    if (left == c->left_before)
        return; /* so it does with an input that is full */
    c->left_before = left;
    event_active(&c->bev->ev_read, EV_READ, 0);
    event_active(&c->resume, EV_TIMEOUT, 0);
}

/* ---- life of a connection ---- */

/* Once evhttp has given the bufferevent its socket, and before a byte is read: put our BIO in. */
static void on_setup(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct hx_conn *c = arg;
    c->bio = BIO_new(bio_method);
    if (!c->bio)
        return; /* OpenSSL's own does it too */
    c->fd = bufferevent_getfd(c->bev);
    BIO_set_data(c->bio, c);
    BIO_set_init(c->bio, 1);
    SSL_set_bio(c->ssl, c->bio, c->bio);
}

static void conn_unlink(struct hx_conn *c)
{
    if (!c->set)
        return;
    *c->prev = c->next;
    if (c->next)
        c->next->prev = c->prev;
    if (c->ahead)
        ahead_release(c);
    c->set->count--;
    c->set = NULL;
}

/* The SSL is being freed. */
static void conn_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
    (void)parent;
    (void)ad;
    (void)idx;
    (void)argl;
    (void)argp;
    struct hx_conn *c = ptr;
    if (!c)
        return;
    struct hx_conns *s = c->set;
    event_del(&c->setup);
    event_del(&c->resume);
    if (s)
        s->cfg.gone(s->cfg.ctx, c);
    conn_unlink(c);
    if (c->bio)
        BIO_set_data(c->bio, NULL);
    if (c->fd >= 0 && s && !c->eof)
        linger_start(s, c->fd);
    else if (c->fd >= 0)
        close(c->fd);
    free(c);
    if (s)
        s->cfg.count(s->cfg.ctx, s->count);
}

static struct hx_conn *conn_new(struct hx_conns *s)
{
    struct hx_conn *c = calloc(1, sizeof *c);
    SSL *ssl = c ? SSL_new(s->ssl_ctx) : NULL;
    if (!ssl || !SSL_set_ex_data(ssl, ex_index, c)) {
        SSL_free(ssl);
        free(c);
        return NULL;
    }
    c->fd = -1;
    c->ssl = ssl;
    c->number = ++s->last_number;
    evtimer_assign(&c->setup, s->base, on_setup, c);
    evtimer_assign(&c->resume, s->base, on_resume, c);
    c->set = s;
    c->next = s->list;
    c->prev = &s->list;
    if (c->next)
        c->next->prev = &c->next;
    s->list = c;
    s->count++;
    set_phase(c, HX_CONN_HANDSHAKE);
    return c;
}

struct bufferevent *hx_conn_accept(struct hx_conns *s)
{
    struct hx_conn *c = conn_new(s);
    if (!c)
        return NULL;
    if (s->count == 1)
        hx_timer_set(s->sweep, s->sweep_ms);
    c->bev = bufferevent_openssl_socket_new(s->base, -1, c->ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (!c->bev) {
        SSL_free(c->ssl);
        return NULL;
    }
    bufferevent_setwatermark(c->bev, EV_READ, 0, s->cfg.body_max + INPUT_SLACK);
    bufferevent_set_max_single_read(c->bev, READ_AT_ONCE);
    event_active(&c->setup, EV_TIMEOUT, 0);
    s->cfg.count(s->cfg.ctx, s->count);
    return c->bev;
}

struct hx_conn *hx_conn_of(struct bufferevent *bev)
{
    SSL *ssl = bev ? bufferevent_openssl_get_ssl(bev) : NULL;
    return ssl ? SSL_get_ex_data(ssl, ex_index) : NULL;
}

void hx_conn_delivered(struct hx_conn *c)
{
    set_phase(c, HX_CONN_PENDING);
}

void hx_conn_replied(struct hx_conn *c)
{
    bool more = left_over(c) || evbuffer_get_length(bufferevent_get_input(c->bev)); /* the next request has begun */
    set_phase(c, more ? HX_CONN_RECEIVING : HX_CONN_IDLE);
    /* Head and body leave as one record, and at the end of this iteration: by itself libevent waits
     * for epoll to say that an empty socket buffer has room. */
    struct evbuffer *out = bufferevent_get_output(c->bev);
    if (evbuffer_get_length(out) <= SSL3_RT_MAX_PLAIN_LENGTH)
        evbuffer_pullup(out, -1);
    event_active(&c->bev->ev_write, EV_WRITE, 0);
    c->left_before = 0;
    if (left_over(c))
        event_active(&c->resume, EV_TIMEOUT, 0); /* 1: libevent reads again from now on */
}

void hx_conn_end(struct hx_conn *c)
{
    if (c->set)
        c->set->cfg.gone(c->set->cfg.ctx, c);
}

/* ---- time limits (4) ---- */

static bool is_late(const struct hx_conns *s, const struct hx_conn *c, uint64_t now)
{
    uint64_t passed = now - c->since_ms;
    switch (c->phase) {
    case HX_CONN_HANDSHAKE:
        if (SSL_is_init_finished(c->ssl))
            return passed > s->cfg.idle_ms;
        /* fall through */
    case HX_CONN_RECEIVING:
        return passed > s->cfg.request_ms + c->bytes / BYTES_PER_MS;
    case HX_CONN_IDLE:
        return passed > s->cfg.idle_ms;
    case HX_CONN_PENDING:
        break;
    }
    return false;
}

static void on_sweep(void *arg)
{
    struct hx_conns *s = arg;
    uint64_t now = hx_loop_now_ms(s->loop);
    for (struct hx_conn *c = s->list; c; c = c->next)
        if (c->fd >= 0 && is_late(s, c, now)) {
            c->eof = true;
            shutdown(c->fd, SHUT_RDWR);
        }
    if (s->count)
        hx_timer_set(s->sweep, s->sweep_ms);
}

/* ---- TLS (2) ---- */

static int on_verify(X509_STORE_CTX *peer, void *arg)
{
    struct hx_conns *s = arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(peer, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct hx_conn *c = SSL_get_ex_data(ssl, ex_index);
    char why[HX_WHY_MAX];
    int code = hx_tls_verify(&s->tls, peer, false, &c->peer, why);
    X509_STORE_CTX_set_error(peer, code);
    if (code && s->cfg.refused)
        s->cfg.refused(s->cfg.ctx, why);
    return code == X509_V_OK;
}

static SSL_CTX *ssl_ctx_new(struct hx_conns *s)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        return NULL;
    if (hx_tls_apply(&s->tls, ctx)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, on_verify, s);
    return ctx;
}

int hx_conns_use(struct hx_conns *s, const struct hx_tls *t)
{
    struct hx_tls fresh, old = s->tls;
    int err = hx_tls_share(t, &fresh);
    if (err)
        return err;
    s->tls = fresh;
    SSL_CTX *ctx = ssl_ctx_new(s);
    if (!ctx) {
        s->tls = old;
        hx_tls_fini(&fresh);
        return HX_E_TLS;
    }
    SSL_CTX_free(s->ssl_ctx); /* connections hold it as long as they need it */
    s->ssl_ctx = ctx;
    hx_tls_fini(&old);
    return 0;
}

/* ---- the set ---- */

static bool once(void)
{
    if (ex_index < 0)
        ex_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, conn_free);
    if (!bio_method) {
        BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hexad");
        if (!m || !BIO_meth_set_read(m, bio_read) || !BIO_meth_set_write(m, bio_write) ||
            !BIO_meth_set_ctrl(m, bio_ctrl)) {
            BIO_meth_free(m);
            return false;
        }
        bio_method = m;
    }
    return ex_index >= 0;
}

static uint32_t sweep_period(const struct hx_conns_cfg *cfg)
{
    uint32_t ms = (cfg->idle_ms < cfg->request_ms ? cfg->idle_ms : cfg->request_ms) / 4;
    return ms < 10 ? 10 : ms > 1000 ? 1000 : ms;
}

int hx_conns_new(struct hx_loop *l, const struct hx_conns_cfg *cfg, struct hx_conns **ret, char why[HX_WHY_MAX])
{
    struct hx_conns *s = calloc(1, sizeof *s);
    if (!s || !once()) {
        free(s);
        return HX_E_NOMEM;
    }
    s->loop = l;
    s->base = hx_loop_base(l);
    s->cfg = *cfg;
    s->sweep_ms = sweep_period(cfg);
    int err = hx_tls_load(&cfg->tls, &s->tls, why);
    if (!err && !(s->ssl_ctx = ssl_ctx_new(s))) {
        char text[128];
        snprintf(why, HX_WHY_MAX, "certificate %s: %s", cfg->tls.cert_file, hx_tls_error(text, sizeof text));
        err = HX_E_TLS;
    }
    if (!err)
        err = hx_timer_new(l, on_sweep, s, &s->sweep);
    if (err) {
        hx_conns_free(s);
        return err;
    }
    *ret = s;
    return 0;
}

void hx_conns_free(struct hx_conns *s)
{
    if (!s)
        return;
    while (s->list) {
        event_del(&s->list->setup);
        event_del(&s->list->resume);
        conn_unlink(s->list);
    }
    while (s->lingers)
        linger_end(s->lingers);
    while (s->spare) {
        struct hx_readahead *a = s->spare;
        s->spare = a->next;
        free(a);
    }
    hx_timer_free(s->sweep);
    SSL_CTX_free(s->ssl_ctx);
    hx_tls_fini(&s->tls);
    free(s);
}
