/*
 * link.c - one kept-alive HTTPS connection of a client: libcurl makes it, encrypts it, and sends and receives on it
 * (CURLOPT_CONNECT_ONLY); what is said on it, a request and its answer at a time, is written and read here.
 *
 * Does not: know queues or time limits of requests (client.c), drive libcurl while it connects (curlio.c), judge
 * certificates (tls.c), read heads (httphead.c), look into a body.
 *
 * Why: a whole transfer of libcurl has a URL parsed, a connection looked for and asked whether it lives, a poll, and
 * two receives for each TLS record: more than half of what a commit cost the mount.
 *
 *   1. A connection is looked at with a send as soon as libcurl reports it, and belongs to this handle from then on:
 *      libcurl's own care for idle connections (age, number, do they live) does not touch it.  It ends when we take the
 *      handle out of the multi handle, and only then is the descriptor closed; our events are gone before.
 *   2. Nothing happens inside hx_link_start: on a kept connection an event of ours does it at the end of the iteration.
 *   3. An idle connection is watched: when anything comes, the end of the peer too, it is closed, and the next
 *      request makes a new one.  So it is when it has been idle for IDLE_MAX_MS, which is below a server's limit.
 *   4. A request on a connection that was used before, to which not one byte was answered, is sent again, once, on a
 *      new one: the peer may have closed the old one while it was on its way.  So a server may see it twice.
 *   5. After a request that did not end with a whole answer that was asked for, and nothing behind it, the connection
 *      is closed.  A late answer is never seen.
 *   6. An answer may come before all of the request has been sent, and the peer may then hang up: what it said counts.
 *   7. DONE is the last thing that a function does.
 *
 * OpenSSL receives as much as there is with one call (read-ahead), so what a socket says is not all: a link that awaits
 * something reads until libcurl says CURLE_AGAIN.
 *
 * Memory: a link keeps OUT_MAX and what an answer of up to KEEP_MAX needs.
 */
#include "link.h"
#include "httphead.h"
#include "loop_int.h"

#include "hexad/assert.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define OUT_MAX 65536u        /* a request up to this leaves with one call */
#define RECEIVE (64u << 10)
#define IN_MIN 4096u
#define KEEP_MAX (272u << 10) /* 64 pages and their heads are not larger */
#define IDLE_MAX_MS 100000u   /* below a server's default idle_ms */

struct hx_link {
    struct hx_link_cfg cfg;
    CURL *easy;
    long connect_ms;  /* as set in EASY */
    bool added;       /* EASY is in the multi handle: it connects, or is connected */
    bool up;          /* connected */
    struct event rd, wr; /* while UP */
    uint64_t idle_since_ms;

    bool busy;            /* a request: from start to DONE */
    bool reused;          /* 4: the connection was used before */
    bool sent, broken;    /* all of the request; it cannot be sent any further (6) */
    const struct iovec *iov;
    int iovcnt, iov_at;   /* iov_at and iov_off: what goes to OUT next */
    size_t iov_off, len;
    uint8_t *out;
    size_t out_at, out_len;

    uint8_t *in; /* the answer: head and body */
    size_t in_len, in_cap;
    struct hx_httphead head; /* .len 0: not complete yet */

    char tls_why[HX_WHY_MAX]; /* of a handshake that our check ended */
    char error[CURL_ERROR_SIZE];
};

/* ---- TLS ---- */

static int on_verify(X509_STORE_CTX *peer, void *arg)
{
    struct hx_link *k = arg;
    struct hx_peer who;
    int code = hx_tls_verify(k->cfg.tls, peer, true, &who, k->tls_why);
    if (code == X509_V_OK && (who.role != HX_ROLE_SEGMENT || strcmp(who.name, k->cfg.name))) {
        snprintf(k->tls_why, sizeof k->tls_why, "its certificate is for hexad://%s/%s, not for hexad://segment/%s",
                 hx_role_name(who.role), who.name, k->cfg.name);
        code = X509_V_ERR_HOSTNAME_MISMATCH;
    }
    X509_STORE_CTX_set_error(peer, code);
    return code == X509_V_OK;
}

static CURLcode on_ssl_ctx(CURL *easy, void *ssl_ctx, void *arg)
{
    (void)easy;
    struct hx_link *k = arg;
    SSL_CTX *ctx = ssl_ctx;
    if (hx_tls_apply(k->cfg.tls, ctx))
        return CURLE_SSL_CERTPROBLEM;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, on_verify, k);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, RECEIVE);
    return CURLE_OK;
}

/* ---- the connection ---- */

static void rewind_request(struct hx_link *k)
{
    k->iov_at = -1; /* the head */
    k->iov_off = k->out_at = k->out_len = k->in_len = 0;
    k->sent = k->broken = false;
    k->head.len = 0;
}

static int dial(struct hx_link *k)
{
    k->error[0] = k->tls_why[0] = '\0';
    int err = hx_curlio_add(k->cfg.io, k->easy);
    k->added = !err;
    return err;
}

static void hang_up(struct hx_link *k)
{
    if (k->up) {
        event_del(&k->rd); /* 1 */
        event_del(&k->wr);
    }
    if (k->added)
        hx_curlio_remove(k->cfg.io, k->easy);
    k->added = k->up = k->reused = false;
}

/* Has more come than the answer that is complete? */
static bool more_came(struct hx_link *k)
{
    struct curl_tlssessioninfo *tls = NULL;
    if (k->in_len > k->head.len + k->head.length)
        return true;
    return curl_easy_getinfo(k->easy, CURLINFO_TLS_SSL_PTR, &tls) || !tls->internals || SSL_has_pending(tls->internals);
}

/* ---- the end of a request ---- */

static void finish(struct hx_link *k, int err, struct hx_bytes body, const char *why)
{
    if (err || !k->sent || k->head.close || more_came(k))
        hang_up(k); /* 5 */
    k->reused = k->up;
    k->busy = false;
    k->idle_since_ms = hx_loop_now_ms(k->cfg.loop);
    k->cfg.done(k->cfg.ctx, err, body, why);
}

static void fail(struct hx_link *k, int err, const char *why)
{
    finish(k, err, (struct hx_bytes){0}, why);
}

/* Did TLS itself end the connection, by an alert from there or an error here? */
static void fail_tls(struct hx_link *k, int otherwise)
{
    char text[CURL_ERROR_SIZE + 64];
    const char *alert = strstr(k->error, "alert");
    snprintf(text, sizeof text, "it refuses our certificate or protocol: %s", alert ? alert : "");
    if (alert)
        fail(k, HX_E_TLS, text);
    else if (strstr(k->error, "SSL routines") && !strstr(k->error, "unexpected eof"))
        fail(k, HX_E_TLS, k->error);
    else
        fail(k, otherwise, k->error[0] ? k->error : hx_err_text(otherwise));
}

static void fail_curl(struct hx_link *k, CURLcode code)
{
    long eno = 0;
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        curl_easy_getinfo(k->easy, CURLINFO_OS_ERRNO, &eno);
        fail(k, HX_E_CONNECT, eno ? strerror((int)eno) : "cannot connect");
        return;
    case CURLE_COULDNT_RESOLVE_HOST:
        fail(k, HX_E_CONNECT, "unknown host");
        return;
    case CURLE_OPERATION_TIMEDOUT:
        fail(k, HX_E_CONNECT, "no connection in time");
        return;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
        if (k->tls_why[0])
            fail(k, HX_E_TLS, k->tls_why);
        else
            fail_tls(k, HX_E_CONNECT);
        return;
    case CURLE_SSL_CERTPROBLEM:
        fail(k, HX_E_TLS, "our own certificate cannot be used");
        return;
    case CURLE_OUT_OF_MEMORY:
        fail(k, HX_E_NOMEM, hx_err_text(HX_E_NOMEM));
        return;
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_UNSUPPORTED_PROTOCOL: /* 1: it had ended before our first send */
        fail_tls(k, HX_E_CLOSED);
        return;
    default:
        fail(k, HX_E_IO, k->error[0] ? k->error : curl_easy_strerror(code));
    }
}

/* The connection has ended while an answer was awaited. */
static void lost(struct hx_link *k, CURLcode code)
{
    bool again = k->reused && !k->in_len; /* 4 */
    if (again) {
        hang_up(k);
        rewind_request(k);
    }
    if (!again)
        fail_curl(k, code);
    else if (dial(k))
        fail(k, HX_E_NOMEM, hx_err_text(HX_E_NOMEM));
}

/* ---- the answer ---- */

static int in_reserve(struct hx_link *k)
{
    size_t need = k->head.len ? k->head.len + (size_t)k->head.length : k->in_len + IN_MIN;
    if (need <= k->in_cap)
        return 0;
    uint8_t *p = realloc(k->in, need);
    if (!p)
        return HX_E_NOMEM;
    k->in = p;
    k->in_cap = need;
    return 0;
}

/* 1: an answer is here, or an error is certain, and DONE was called; 0: there is more to come. */
static int judge_answer(struct hx_link *k)
{
    char text[32];
    int got = 1;
    while (!k->head.len && (got = hx_httphead_parse(k->in, k->in_len, &k->head)) == 1 && k->head.status < 200) {
        k->in_len -= k->head.len; /* 100 Continue and the like: the answer is behind it */
        memmove(k->in, k->in + k->head.len, k->in_len);
        k->head.len = 0;
    }
    if (got == 0)
        return 0;
    if (got < 0) {
        fail(k, HX_E_IO, "its answer is not that of a segment server");
    } else if (k->head.status != 200) {
        snprintf(text, sizeof text, "HTTP status %d", k->head.status);
        fail(k, k->head.status == 413 ? HX_E_TOOBIG : HX_E_IO, text);
    } else if (k->head.length > HX_NET_ANSWER_MAX) {
        fail(k, HX_E_TOOBIG, "the answer is too large");
    } else if (k->in_len >= k->head.len + k->head.length) {
        finish(k, 0, (struct hx_bytes){k->in + k->head.len, (size_t)k->head.length}, NULL);
    } else {
        return 0;
    }
    return 1;
}

static void receive(struct hx_link *k)
{
    size_t n = 0;
    do {
        if (in_reserve(k)) {
            fail(k, HX_E_NOMEM, hx_err_text(HX_E_NOMEM));
            return;
        }
        CURLcode code = curl_easy_recv(k->easy, k->in + k->in_len, k->in_cap - k->in_len, &n);
        if (code == CURLE_AGAIN)
            return;
        if (code || n == 0) {
            lost(k, code ? code : CURLE_GOT_NOTHING);
            return;
        }
        k->in_len += n;
    } while (!judge_answer(k));
}

/* ---- the request ---- */

/* What is sent next: the head, then the body, as much as there is room for. */
static void fill_out(struct hx_link *k)
{
    k->out_at = k->out_len = 0;
    if (k->iov_at < 0) {
        k->out_len = (size_t)snprintf((char *)k->out, OUT_MAX, "%s%zu\r\n\r\n", k->cfg.head, k->len);
        hx_assert(k->out_len < OUT_MAX);
        k->iov_at = 0;
    }
    while (k->out_len < OUT_MAX && k->iov_at < k->iovcnt) {
        const struct iovec *v = &k->iov[k->iov_at];
        size_t part = v->iov_len - k->iov_off, room = OUT_MAX - k->out_len;
        part = part < room ? part : room;
        if (part)
            memcpy(k->out + k->out_len, (const uint8_t *)v->iov_base + k->iov_off, part);
        k->out_len += part;
        k->iov_off += part;
        if (k->iov_off == v->iov_len) {
            k->iov_at++;
            k->iov_off = 0;
        }
    }
}

static void send_request(struct hx_link *k)
{
    while (!k->sent && !k->broken) {
        size_t n = 0;
        if (k->out_at == k->out_len)
            fill_out(k);
        CURLcode code = curl_easy_send(k->easy, k->out + k->out_at, k->out_len - k->out_at, &n);
        if (code == CURLE_AGAIN) {
            event_add(&k->wr, NULL);
            return;
        }
        k->broken = code != CURLE_OK;
        k->out_at += n;
        k->sent = k->out_at == k->out_len && k->iov_at == k->iovcnt;
    }
    if (k->broken)
        receive(k); /* 6: what it has said, or why it is gone */
}

/* ---- events ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct hx_link *k = arg;
    if (k->busy)
        receive(k);
    else
        hang_up(k); /* 3 */
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    send_request(arg);
}

void hx_link_connected(void *ctx, CURL *easy, CURLcode code)
{
    (void)ctx;
    struct hx_link *k = NULL;
    curl_socket_t fd = CURL_SOCKET_BAD;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&k);
    if (!code)
        code = curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd);
    if (code || fd == CURL_SOCKET_BAD) {
        fail_curl(k, code ? code : CURLE_UNSUPPORTED_PROTOCOL);
        return;
    }
    struct event_base *base = hx_loop_base(k->cfg.loop);
    event_assign(&k->rd, base, fd, EV_READ | EV_PERSIST, on_readable, k);
    event_assign(&k->wr, base, fd, EV_WRITE, on_writable, k);
    event_add(&k->rd, NULL);
    k->up = true;
    send_request(k); /* 1 */
}

/* ---- life ---- */

#define SET(option, value) (code = code ? code : curl_easy_setopt(easy, option, value))

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    (void)arg;
    (void)purpose;
    return socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
}

static CURLcode set_options(struct hx_link *k)
{
    CURLcode code = CURLE_OK;
    CURL *easy = k->easy;
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
    SET(CURLOPT_URL, k->cfg.url);
    SET(CURLOPT_CONNECT_ONLY, 1L);
    SET(CURLOPT_PROXY, ""); /* whatever the environment says */
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* or whoever gives up while a name is looked up would wait for that */
    SET(CURLOPT_ERRORBUFFER, k->error);
    SET(CURLOPT_PRIVATE, k);
    SET(CURLOPT_SSLVERSION, (long)(CURL_SSLVERSION_TLSv1_3 | CURL_SSLVERSION_MAX_TLSv1_3));
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 0L); /* the identity is the URI: on_verify */
    SET(CURLOPT_CAINFO, NULL);       /* or each connection would read the system's list */
    SET(CURLOPT_CAPATH, NULL);
    SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
    SET(CURLOPT_SSL_ENABLE_ALPN, 0L);
    SET(CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
    SET(CURLOPT_SSL_CTX_DATA, k);
    return code;
}

struct hx_link *hx_link_new(const struct hx_link_cfg *cfg)
{
    struct hx_link *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->cfg = *cfg;
    k->out = malloc(OUT_MAX);
    k->easy = curl_easy_init();
    if (!k->out || !k->easy || set_options(k)) {
        hx_link_free(k);
        return NULL;
    }
    return k;
}

void hx_link_free(struct hx_link *k)
{
    hang_up(k);
    if (k->easy)
        curl_easy_cleanup(k->easy);
    free(k->out);
    free(k->in);
    free(k);
}

int hx_link_start(struct hx_link *k, const struct iovec *iov, int iovcnt, size_t len, uint32_t connect_ms)
{
    hx_assert(!k->busy);
    if (k->in_cap > KEEP_MAX) {
        free(k->in);
        k->in = NULL;
        k->in_cap = 0;
    }
    k->iov = iov;
    k->iovcnt = iovcnt;
    k->len = len;
    rewind_request(k);
    if (k->connect_ms != (long)connect_ms && curl_easy_setopt(k->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms))
        return HX_E_NOMEM;
    k->connect_ms = (long)connect_ms;
    if (k->up && hx_loop_now_ms(k->cfg.loop) - k->idle_since_ms > IDLE_MAX_MS)
        hang_up(k); /* 3 */
    int err = k->up ? 0 : dial(k);
    if (!err && k->up)
        event_active(&k->wr, EV_WRITE, 0); /* 2 */
    k->busy = !err;
    return err;
}

void hx_link_stop(struct hx_link *k)
{
    if (k->busy)
        hang_up(k);
    k->busy = false;
}
