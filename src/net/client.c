/*
 * client.c - POST of a body to a segment server over HTTPS, on libcurl's multi interface.
 *
 * Does not: drive sockets (curlio.c), judge certificates (tls.c), retry, or look into a body.
 *
 * A host is a server's name together with the URL where it is asked.  It has up to LANES lanes; a lane is
 * a libcurl easy handle that is set up once and used for one call after the other, on a kept-alive
 * connection.  Calls beyond the lanes wait in the host's queue, first in, first out.
 *
 *   1. A call is in exactly one place: the queue of its host, or a lane.  Its end (answer, failure,
 *      timeout, cancel) takes it out of there first, frees it, and only then calls DONE.
 *   2. DONE is never called from inside hx_client_post: libcurl is driven by the loop only.
 *   3. A connection that was opened for one name is never used for another: libcurl's pool goes by host
 *      name, so a host's URL names NAME.hexad, and CONNECT_TO leads it to the real address.
 *   4. The check of the server's certificate (tls.c) and of its name is part of the handshake.
 *   5. The body of an answer lies in its lane's buffer, which the next answer of that lane overwrites: not
 *      before the loop runs again.
 *
 * A duplicate: libcurl sends a request again when a reused connection turns out to be dead, so a server
 * may see it twice.  A late answer to a call that timed out or was canceled is never seen: its
 * connection is closed.
 *
 * Threads: libcurl resolves a URL with a host name (not an address) in a short-lived thread of its own; there is
 * no other.  Memory: a host and its lanes live as long as the client.
 */
#include "curlio.h"
#include "loop_int.h"
#include "tls.h"

#include "hexad/assert.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LANES 4
#define CONNECT_MS 2000
#define FLAT_MAX 65536u             /* a scattered body up to this is copied together */
#define KEEP_MAX (272u << 10)       /* a larger answer's buffer is not kept; 64 pages and their heads are not larger */
#define UPLOAD_SMALL 16384L          /* libcurl allocates it for each request */
#define UPLOAD_LARGE (512L << 10)
#define IDLE_MAX_S 100L             /* below a server's default idle_ms */

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
    CURL *easy;
    long connect_ms, upload_buffer; /* as set in EASY */
    bool streamed;   /* as set in EASY: body by on_send, not POSTFIELDS */
    uint8_t *flat;   /* FLAT_MAX bytes, once needed */
    int iov_at;      /* where on_send goes on */
    size_t iov_off;
    uint8_t *body; /* the answer */
    size_t body_len, body_cap;
    int failed; /* why on_body refused to go on */
    char error[CURL_ERROR_SIZE];
};

struct host {
    struct host *next;
    struct hx_client *client;
    char *key;                   /* NAME SPACE URL; what the tree is sorted by */
    char name[HX_NAME_MAX + 1];
    const char *url;             /* inside key */
    char *request_url;           /* 3 */
    struct curl_slist *connect_to;
    struct lane *lanes, *idle;
    int lane_count;
    struct hx_call *queue, **queue_end;
    char tls_why[HX_WHY_MAX]; /* of the last handshake that our check ended */
};

struct hx_client {
    struct event_base *base;
    struct hx_curlio *io;
    struct hx_tls tls;
    struct curl_slist *headers;
    void *tree; /* hosts by key */
    struct host *hosts;
    size_t host_count;
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
    hx_curlio_remove(call->host->client->io, ln->easy);
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

/* ---- libcurl asks for the body, and brings the answer ---- */

static size_t on_send(char *out, size_t size, size_t count, void *arg)
{
    struct lane *ln = arg;
    const struct hx_call *call = ln->call;
    size_t room = size * count, n = 0;
    while (n < room && ln->iov_at < call->iovcnt) {
        const struct iovec *v = &call->iov[ln->iov_at];
        size_t part = v->iov_len - ln->iov_off;
        if (part > room - n)
            part = room - n;
        if (part)
            memcpy(out + n, (const uint8_t *)v->iov_base + ln->iov_off, part);
        n += part;
        ln->iov_off += part;
        if (ln->iov_off == v->iov_len) {
            ln->iov_at++;
            ln->iov_off = 0;
        }
    }
    return n;
}

/* libcurl sends a request again from its start when a reused connection was dead. */
static int on_rewind(void *arg, curl_off_t offset, int origin)
{
    struct lane *ln = arg;
    if (origin != SEEK_SET || offset < 0 || (size_t)offset > ln->call->len)
        return CURL_SEEKFUNC_FAIL;
    size_t off = (size_t)offset;
    ln->iov_at = 0;
    while (ln->iov_at < ln->call->iovcnt && off >= ln->call->iov[ln->iov_at].iov_len)
        off -= ln->call->iov[ln->iov_at++].iov_len;
    ln->iov_off = off;
    return CURL_SEEKFUNC_OK;
}

static int body_reserve(struct lane *ln, size_t need)
{
    if (need > HX_NET_ANSWER_MAX)
        return HX_E_TOOBIG;
    if (need <= ln->body_cap)
        return 0;
    curl_off_t total = 0;
    if (!curl_easy_getinfo(ln->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &total) &&
        total > (curl_off_t)need && total <= (curl_off_t)HX_NET_ANSWER_MAX)
        need = (size_t)total;
    size_t cap = need < 4096 ? 4096 : need;
    if (cap < ln->body_cap * 2)
        cap = ln->body_cap * 2;
    uint8_t *p = realloc(ln->body, cap);
    if (!p)
        return HX_E_NOMEM;
    ln->body = p;
    ln->body_cap = cap;
    return 0;
}

static size_t on_body(char *p, size_t size, size_t count, void *arg)
{
    struct lane *ln = arg;
    size_t n = size * count;
    long status = 0;
    curl_easy_getinfo(ln->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        return n; /* text for people; the status says enough */
    ln->failed = body_reserve(ln, ln->body_len + n);
    if (ln->failed)
        return CURL_WRITEFUNC_ERROR;
    memcpy(ln->body + ln->body_len, p, n);
    ln->body_len += n;
    return n;
}

/* ---- TLS ---- */

static int on_verify(X509_STORE_CTX *peer, void *arg)
{
    struct host *h = arg;
    struct hx_peer who;
    int code = hx_tls_verify(&h->client->tls, peer, true, &who, h->tls_why);
    if (code == X509_V_OK && (who.role != HX_ROLE_SEGMENT || strcmp(who.name, h->name))) {
        snprintf(h->tls_why, sizeof h->tls_why, "its certificate is for hexad://%s/%s, not for hexad://segment/%s",
                 hx_role_name(who.role), who.name, h->name);
        code = X509_V_ERR_HOSTNAME_MISMATCH;
    }
    X509_STORE_CTX_set_error(peer, code);
    return code == X509_V_OK;
}

static CURLcode on_ssl_ctx(CURL *easy, void *ssl_ctx, void *arg)
{
    (void)easy;
    struct host *h = arg;
    SSL_CTX *ctx = ssl_ctx;
    if (hx_tls_apply(&h->client->tls, ctx))
        return CURLE_SSL_CERTPROBLEM;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, on_verify, h);
    return CURLE_OK;
}

/* ---- lanes ---- */

#define SET(option, value) (code = code ? code : curl_easy_setopt(easy, option, value))

static CURLcode set_http(CURL *easy, struct lane *ln)
{
    CURLcode code = CURLE_OK;
    struct host *h = ln->host;
    SET(CURLOPT_URL, h->request_url);
    SET(CURLOPT_CONNECT_TO, h->connect_to);
    SET(CURLOPT_PROXY, ""); /* whatever the environment says */
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_HTTPHEADER, h->client->headers);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_MAXAGE_CONN, IDLE_MAX_S);
    SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)HX_NET_ANSWER_MAX);
    SET(CURLOPT_READFUNCTION, on_send);
    SET(CURLOPT_READDATA, ln);
    SET(CURLOPT_SEEKFUNCTION, on_rewind);
    SET(CURLOPT_SEEKDATA, ln);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, ln);
    SET(CURLOPT_ERRORBUFFER, ln->error);
    SET(CURLOPT_PRIVATE, ln);
    return code;
}

static CURLcode set_tls(CURL *easy, struct host *h)
{
    CURLcode code = CURLE_OK;
    SET(CURLOPT_SSLVERSION, (long)(CURL_SSLVERSION_TLSv1_3 | CURL_SSLVERSION_MAX_TLSv1_3));
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 0L); /* the identity is the URI: on_verify */
    SET(CURLOPT_CAINFO, NULL);       /* or each connection would read the system's list */
    SET(CURLOPT_CAPATH, NULL);
    SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
    SET(CURLOPT_SSL_ENABLE_ALPN, 0L);
    SET(CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
    SET(CURLOPT_SSL_CTX_DATA, h);
    return code;
}

static void lane_free(struct lane *ln)
{
    if (ln->easy)
        curl_easy_cleanup(ln->easy);
    free(ln->flat);
    free(ln->body);
    free(ln);
}

static struct lane *lane_new(struct host *h)
{
    struct lane *ln = calloc(1, sizeof *ln);
    if (!ln)
        return NULL;
    ln->host = h;
    ln->easy = curl_easy_init();
    if (!ln->easy || set_http(ln->easy, ln) || set_tls(ln->easy, h) ||
        hx_curlio_prepare(h->client->io, ln->easy)) {
        lane_free(ln);
        return NULL;
    }
    ln->all = h->lanes;
    h->lanes = ln;
    h->lane_count++;
    return ln;
}

/* The body as one piece where that is cheap, else through on_send. */
static CURLcode lane_set_body(struct lane *ln, const struct hx_call *call)
{
    CURL *easy = ln->easy;
    CURLcode code = CURLE_OK;
    const uint8_t *flat = call->iovcnt == 1 ? call->iov[0].iov_base : NULL;
    if (!flat && call->len <= FLAT_MAX) {
        if (!ln->flat && !(ln->flat = malloc(FLAT_MAX)))
            return CURLE_OUT_OF_MEMORY;
        size_t at = 0;
        for (int i = 0; i < call->iovcnt; at += call->iov[i++].iov_len)
            if (call->iov[i].iov_len)
                memcpy(ln->flat + at, call->iov[i].iov_base, call->iov[i].iov_len);
        flat = ln->flat;
    }
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->len);
    if (flat || !ln->streamed)
        SET(CURLOPT_POSTFIELDS, flat);
    ln->streamed = !flat;
    ln->iov_at = 0;
    ln->iov_off = 0;
    return code;
}

static int lane_start(struct lane *ln, struct hx_call *call)
{
    CURL *easy = ln->easy;
    CURLcode code = CURLE_OK;
    long connect_ms = call->timeout_ms && call->timeout_ms < CONNECT_MS ? (long)call->timeout_ms : CONNECT_MS;
    if (connect_ms != ln->connect_ms)
        SET(CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    ln->connect_ms = connect_ms;
    long upload_buffer = call->len > FLAT_MAX ? UPLOAD_LARGE : UPLOAD_SMALL;
    if (upload_buffer != ln->upload_buffer)
        SET(CURLOPT_UPLOAD_BUFFERSIZE, upload_buffer);
    ln->upload_buffer = upload_buffer;
    ln->body_len = 0;
    ln->failed = 0;
    ln->error[0] = '\0';
    ln->host->tls_why[0] = '\0';
    if (code || lane_set_body(ln, call))
        return HX_E_NOMEM;
    int err = hx_curlio_add(ln->host->client->io, ln->easy);
    if (err)
        return err;
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
        ln->next = h->idle;
        h->idle = ln;
        snprintf(h->client->why, sizeof h->client->why, "%s", hx_err_text(HX_E_NOMEM));
        call_end(call, HX_E_NOMEM, (struct hx_bytes){0}); /* dispatches the rest */
        return;
    }
}

/* ---- the end of a transfer ---- */

static int say(struct host *h, int err, const char *text)
{
    snprintf(h->client->why, sizeof h->client->why, "%s at %s: %s", h->name, h->url, text);
    return err;
}

static int judge_status(struct lane *ln)
{
    long status = 0;
    curl_easy_getinfo(ln->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200)
        return 0;
    char text[64];
    snprintf(text, sizeof text, "HTTP status %ld", status);
    return say(ln->host, status == 413 ? HX_E_TOOBIG : HX_E_IO, text);
}

/* Did TLS itself end the connection, by an alert from there or an error here? */
static int judge_tls(struct lane *ln, int otherwise)
{
    char text[CURL_ERROR_SIZE + 64];
    if (strstr(ln->error, "alert")) {
        const char *alert = strstr(ln->error, "alert");
        snprintf(text, sizeof text, "it refuses our certificate or protocol: %s", alert);
        return say(ln->host, HX_E_TLS, text);
    }
    if (strstr(ln->error, "SSL routines") && !strstr(ln->error, "unexpected eof"))
        return say(ln->host, HX_E_TLS, ln->error);
    return say(ln->host, otherwise, ln->error[0] ? ln->error : hx_err_text(otherwise));
}

static int judge(struct lane *ln, CURLcode code)
{
    struct host *h = ln->host;
    long eno = 0;
    switch (code) {
    case CURLE_OK:
        return judge_status(ln);
    case CURLE_COULDNT_CONNECT:
        curl_easy_getinfo(ln->easy, CURLINFO_OS_ERRNO, &eno);
        return say(h, HX_E_CONNECT, eno ? strerror((int)eno) : "cannot connect");
    case CURLE_COULDNT_RESOLVE_HOST:
        return say(h, HX_E_CONNECT, "unknown host");
    case CURLE_OPERATION_TIMEDOUT:
        return say(h, HX_E_CONNECT, "no connection in time");
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
        return h->tls_why[0] ? say(h, HX_E_TLS, h->tls_why) : judge_tls(ln, HX_E_CONNECT);
    case CURLE_SSL_CERTPROBLEM:
        return say(h, HX_E_TLS, "our own certificate cannot be used");
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_FAIL_REWIND:
        return judge_tls(ln, HX_E_CLOSED);
    case CURLE_FILESIZE_EXCEEDED:
        return say(h, HX_E_TOOBIG, "the answer is too large");
    case CURLE_WRITE_ERROR:
        return say(h, ln->failed ? ln->failed : HX_E_IO, hx_err_text(ln->failed ? ln->failed : HX_E_IO));
    case CURLE_OUT_OF_MEMORY:
        return say(h, HX_E_NOMEM, hx_err_text(HX_E_NOMEM));
    default:
        return say(h, HX_E_IO, ln->error[0] ? ln->error : curl_easy_strerror(code));
    }
}

static void on_done(void *ctx, CURL *easy, CURLcode code)
{
    (void)ctx;
    struct lane *ln = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&ln);
    hx_assert(ln->call);
    int err = judge(ln, code);
    struct hx_bytes body = {err ? NULL : ln->body, err ? 0 : ln->body_len};
    call_end(ln->call, err, body); /* 5 */
    if (ln->body_cap > KEEP_MAX) {
        free(ln->body);
        ln->body = NULL;
        ln->body_cap = 0;
    }
}

/* ---- hosts ---- */

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct host *)a)->key, ((const struct host *)b)->key);
}

/* A name as a host name: libcurl compares those without case and refuses some characters. */
static void encode_name(const char *name, char out[3 * HX_NAME_MAX + 1])
{
    size_t n = 0;
    for (; *name; name++) {
        bool plain = (*name >= 'a' && *name <= 'z') || (*name >= '0' && *name <= '9') || *name == '-';
        if (plain)
            out[n++] = *name;
        else
            n += (size_t)sprintf(out + n, "_%02x", (unsigned)(uint8_t)*name);
    }
    out[n] = '\0';
}

/* 3.  URL is https://HOST:PORT and nothing more. */
static int host_route(struct host *h)
{
    char *host = NULL, *port = NULL, *path = NULL, label[3 * HX_NAME_MAX + 1], *to = NULL;
    CURLU *u = curl_url();
    int err = u ? HX_E_INVAL : HX_E_NOMEM;
    if (u && !strncmp(h->url, "https://", 8) && !strpbrk(h->url, "@?#") &&
        !curl_url_set(u, CURLUPART_URL, h->url, 0) && !curl_url_get(u, CURLUPART_HOST, &host, 0) &&
        !curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) &&
        !curl_url_get(u, CURLUPART_PATH, &path, 0) && !strcmp(path, "/")) {
        encode_name(h->name, label);
        err = asprintf(&h->request_url, "https://%s.hexad:%s/v1/msg", label, port) < 0 ? HX_E_NOMEM : 0;
        if (err)
            h->request_url = NULL;
        else if (asprintf(&to, "::%s:%s", host, port) < 0 ||
                 !(h->connect_to = curl_slist_append(NULL, to)))
            err = HX_E_NOMEM;
    }
    free(to);
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
    curl_slist_free_all(h->connect_to);
    free(h->request_url);
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
    int err = host_route(h);
    if (!err && !tsearch(h, &c->tree, by_key))
        err = HX_E_NOMEM;
    if (err) {
        host_free(h);
        return err;
    }
    h->next = c->hosts;
    c->hosts = h;
    hx_curlio_keep(c->io, ++c->host_count * LANES);
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
    if (ln && (err = lane_start(ln, call))) {
        ln->next = h->idle;
        h->idle = ln;
    } else if (!ln && h->lane_count == 0) {
        err = HX_E_NOMEM;
    } else if (!ln) {
        queue_in(call);
    }
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
    c->base = hx_loop_base(l);
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
        free(c);
        return HX_E_NOMEM;
    }
    int err = hx_tls_load(cfg, &c->tls, why);
    if (!err)
        err = hx_curlio_new(l, on_done, c, &c->io);
    static const char *const headers[] = {"Expect:", "Accept:", "Content-Type: application/octet-stream"};
    for (size_t i = 0; !err && i < HX_ARRAY_LEN(headers); i++) {
        struct curl_slist *s = curl_slist_append(c->headers, headers[i]);
        if (s)
            c->headers = s;
        else
            err = HX_E_NOMEM;
    }
    if (err) {
        hx_client_free(c);
        return err;
    }
    *ret = c;
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
    curl_slist_free_all(c->headers);
    hx_tls_fini(&c->tls);
    curl_global_cleanup();
    free(c);
}
