/*
 * test_net.c - calls and requests over real sockets on loopback: bodies, order, cancel, timeouts, ends of
 * connections, limits.  Who is let in is test_tls.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../lib/net_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HELD_MAX 256

enum manner { ECHO, HOLD, TWICE_AS_LONG };

struct fix {
    struct net_kit *k;
    struct hx_server_net *server;
    struct hx_client *client;
    char url[64];
    enum manner manner;
    /* server */
    int requests, closes, stop_at_requests, stop_at_closes;
    uint64_t last_conn, closed_conn[HELD_MAX];
    struct hx_request *held[HELD_MAX];
    struct hx_bytes held_body[HELD_MAX];
    struct hx_defer *batch;
    int batches, batch_sizes[8];
    size_t seen_len;
    /* client */
    int ends, good, stop_at_ends, err[HELD_MAX];
    uint8_t *answer;
    size_t answer_len;
    struct hx_call *to_cancel;
    void (*after)(void *ctx, int err, struct hx_bytes body);
};

static void on_request(void *ctx, struct hx_request *r, uint64_t conn, const struct hx_peer *peer,
                       struct hx_bytes body)
{
    (void)peer;
    struct fix *f = ctx;
    f->last_conn = conn;
    f->seen_len = body.len;
    if (f->manner == HOLD) {
        f->held[f->requests] = r;
        f->held_body[f->requests] = body;
    }
    f->requests++;
    if (f->batch)
        hx_defer_call(f->batch);
    if (f->manner == ECHO) {
        hx_request_reply(r, body);
    } else if (f->manner == TWICE_AS_LONG) {
        uint8_t *p = calloc(1, 2 * body.len);
        assert_non_null(p);
        hx_request_reply(r, (struct hx_bytes){p, 2 * body.len});
        free(p);
    }
    if (f->requests == f->stop_at_requests)
        hx_loop_stop(f->k->loop);
}

static void on_closed(void *ctx, uint64_t conn)
{
    struct fix *f = ctx;
    assert_true(f->closes < HELD_MAX);
    f->closed_conn[f->closes++] = conn;
    if (f->closes == f->stop_at_closes)
        hx_loop_stop(f->k->loop);
}

static void on_done(void *ctx, int err, struct hx_bytes body)
{
    struct fix *f = ctx;
    assert_true(f->ends < HELD_MAX);
    f->err[f->ends++] = err;
    if (!err) {
        f->good++;
        f->answer = realloc(f->answer, body.len + 1);
        assert_non_null(f->answer);
        if (body.len)
            memcpy(f->answer, body.p, body.len);
        f->answer_len = body.len;
    }
    if (f->to_cancel) {
        hx_call_cancel(f->to_cancel);
        f->to_cancel = NULL;
    }
    if (f->ends == f->stop_at_ends)
        hx_loop_stop(f->k->loop);
}

static struct hx_server_cfg server_cfg(struct fix *f)
{
    return (struct hx_server_cfg){.listen = "127.0.0.1:0", .tls = net_kit_tls(f->k, "a1"), .body_max = 8u << 20,
                                  .request = on_request, .closed = on_closed, .ctx = f};
}

static void start_server(struct fix *f, const struct hx_server_cfg *cfg)
{
    char why[256] = "";
    if (hx_server_net_new(f->k->loop, cfg, &f->server, why))
        fail_msg("server: %s", why);
    snprintf(f->url, sizeof f->url, "https://127.0.0.1:%d", hx_server_net_port(f->server));
}

static void start_client(struct fix *f, struct hx_loop *l)
{
    char why[256] = "";
    struct hx_tls_cfg tls = net_kit_tls(f->k, "w");
    if (hx_client_new(l, &tls, &f->client, why))
        fail_msg("client: %s", why);
}

static struct fix begin(void **state)
{
    struct fix f = {.k = *state};
    net_kit_cert(f.k, HX_ROLE_SEGMENT, "a1");
    net_kit_cert(f.k, HX_ROLE_WRITER, "w");
    return f;
}

static void begin_both(struct fix *f)
{
    struct hx_server_cfg cfg = server_cfg(f);
    start_server(f, &cfg);
    start_client(f, f->k->loop);
}

static void end(struct fix *f)
{
    hx_client_free(f->client);
    hx_server_net_free(f->server);
    free(f->answer);
}

static struct hx_call *post(struct fix *f, const void *p, size_t len, uint32_t timeout_ms)
{
    struct iovec iov = {(void *)(uintptr_t)p, len};
    struct hx_call *call = NULL;
    if (hx_client_post(f->client, f->url, "a1", &iov, 1, timeout_ms, on_done, f, &call))
        fail_msg("post: %s", hx_client_why(f->client));
    return call;
}

static void run_until_ends(struct fix *f, int ends)
{
    f->stop_at_ends = ends;
    net_kit_run(f->k);
    assert_int_equal(f->ends, ends);
}

static uint8_t *pattern(size_t len)
{
    uint8_t *p = malloc(len ? len : 1);
    uint32_t x = 12345;
    assert_non_null(p);
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        p[i] = (uint8_t)(x >> 24);
    }
    return p;
}

/* ---- bodies ---- */

/* Promise: bodies of every size around the borders inside (records, buffers, flat or scattered) arrive
 * whole, and so do their answers; the empty one too. */
static void bodies_of_all_sizes_arrive_whole(void **state)
{
    struct fix f = begin(state);
    static const size_t sizes[] = {0, 1, 4096, 16383, 16384, 16385, 32700, 65535, 65536, 65537, 131072, 1u << 20};
    begin_both(&f);
    for (size_t i = 0; i < HX_ARRAY_LEN(sizes); i++) {
        uint8_t *p = pattern(sizes[i]);
        post(&f, p, sizes[i], 0);
        run_until_ends(&f, (int)i + 1);
        assert_int_equal(f.err[i], 0);
        assert_int_equal(f.answer_len, sizes[i]);
        assert_memory_equal(f.answer, p, sizes[i]);
        free(p);
    }
    struct hx_client_stats st;
    hx_client_stats(f.client, &st);
    assert_int_equal(st.requests, HX_ARRAY_LEN(sizes));
    assert_int_equal(st.failures, 0);
    assert_int_equal(st.bytes_sent, st.bytes_received);
    end(&f);
}

/* Promise: a 4 MiB body in a thousand pieces of uneven size, some empty, arrives in one run and in order; and a
 * small scattered one too. */
static void scattered_bodies_arrive_in_order(void **state)
{
    struct fix f = begin(state);
    begin_both(&f);
    for (int round = 0; round < 2; round++) {
        size_t len = round ? 4u << 20 : 5000, pieces = 1000, at = 0;
        uint8_t *p = pattern(len);
        struct iovec *iov = calloc(pieces, sizeof *iov);
        for (size_t i = 0; i < pieces; i++) {
            size_t n = i == pieces - 1 ? len - at : i % 7 == 3 ? 0 : (len / pieces) / 2 + i % 3;
            iov[i] = (struct iovec){n ? p + at : NULL, n};
            at += n;
        }
        assert_int_equal(hx_client_post(f.client, f.url, "a1", iov, (int)pieces, 0, on_done, &f, NULL), 0);
        free(iov); /* only the bytes are borrowed */
        run_until_ends(&f, round + 1);
        assert_int_equal(f.err[round], 0);
        assert_int_equal(f.answer_len, len);
        assert_memory_equal(f.answer, p, len);
        free(p);
    }
    end(&f);
}

/* Promise: a body above the limit is refused as too large, without the handler; the next call works. */
static void a_body_above_the_limit_is_too_big(void **state)
{
    struct fix f = begin(state);
    struct hx_server_cfg cfg = server_cfg(&f);
    cfg.body_max = 65536;
    start_server(&f, &cfg);
    start_client(&f, f.k->loop);
    uint8_t *p = pattern(4u << 20);
    post(&f, p, 65536, 0);
    run_until_ends(&f, 1);
    post(&f, p, 65537, 0);
    run_until_ends(&f, 2);
    post(&f, p, 4u << 20, 0);
    run_until_ends(&f, 3);
    post(&f, p, 65536, 0);
    run_until_ends(&f, 4);
    assert_int_equal(f.err[0], 0);
    assert_int_equal(f.err[1], HX_E_TOOBIG);
    assert_int_equal(f.err[2], HX_E_TOOBIG);
    assert_int_equal(f.err[3], 0);
    assert_int_equal(f.requests, 2);
    free(p);
    end(&f);
}

/* Promise: an answer above HX_NET_ANSWER_MAX is an error at the client, not memory. */
static void an_answer_above_the_limit_is_too_big(void **state)
{
    struct fix f = begin(state);
    struct hx_server_cfg cfg = server_cfg(&f);
    cfg.body_max = HX_NET_ANSWER_MAX;
    f.manner = TWICE_AS_LONG;
    start_server(&f, &cfg);
    start_client(&f, f.k->loop);
    uint8_t *p = pattern(HX_NET_ANSWER_MAX / 2 + 1);
    post(&f, p, HX_NET_ANSWER_MAX / 2 + 1, 0);
    run_until_ends(&f, 1);
    assert_int_equal(f.err[0], HX_E_TOOBIG);
    post(&f, p, HX_NET_ANSWER_MAX / 2, 0);
    run_until_ends(&f, 2);
    assert_int_equal(f.err[1], 0);
    assert_int_equal(f.answer_len, HX_NET_ANSWER_MAX);
    free(p);
    end(&f);
}

/* ---- many calls ---- */

/* Promise: a hundred calls at once are all answered, over no more than four connections. */
static void a_hundred_calls_at_once_are_answered(void **state)
{
    struct fix f = begin(state);
    begin_both(&f);
    uint8_t *p = pattern(20000);
    for (size_t i = 0; i < 100; i++)
        post(&f, p, i * 200, 0);
    assert_int_equal(f.ends, 0); /* never from inside post */
    run_until_ends(&f, 100);
    assert_int_equal(f.good, 100);
    assert_int_equal(f.requests, 100);
    assert_in_range(f.last_conn, 1, 4);
    free(p);
    end(&f);
}

static void on_batch(void *ctx)
{
    struct fix *f = ctx;
    int from = 0;
    for (int i = 0; i < f->batches; i++)
        from += f->batch_sizes[i];
    f->batch_sizes[f->batches++] = f->requests - from;
    for (int i = from; i < f->requests; i++)
        hx_request_reply(f->held[i], f->held_body[i]);
}

/* Promise: requests that are there at the same time give one deferred call, so one flush.  The client has its
 * own loop here: four requests are written while the server does not look. */
static void requests_of_one_moment_are_one_batch(void **state)
{
    struct fix f = begin(state);
    struct hx_server_cfg cfg = server_cfg(&f);
    struct hx_loop *other;
    f.manner = HOLD;
    start_server(&f, &cfg);
    assert_int_equal(hx_loop_new(&other), 0);
    start_client(&f, other);
    for (int i = 0; i < 4; i++)
        post(&f, "x", 1, 0);
    while (f.requests < 4) { /* four connections, and a request on each */
        net_kit_turn(other);
        net_kit_turn(f.k->loop);
    }
    assert_int_equal(hx_defer_new(f.k->loop, on_batch, &f, &f.batch), 0);
    on_batch(&f);
    while (f.ends < 4) {
        net_kit_turn(other);
        net_kit_turn(f.k->loop);
    }
    for (int i = 0; i < 4; i++)
        post(&f, "y", 1, 0);
    net_kit_turn(other);
    net_kit_turn(other);
    while (f.ends < 8) {
        net_kit_turn(f.k->loop);
        net_kit_turn(other);
    }
    assert_int_equal(f.batches, 2);
    assert_int_equal(f.batch_sizes[1], 4);
    end(&f);
    hx_defer_free(f.batch);
    hx_loop_free(other);
}

static void post_again(void *ctx, int err, struct hx_bytes body)
{
    (void)body;
    struct fix *f = ctx;
    struct iovec iov = {(void *)(uintptr_t)"again", 5};
    f->err[f->ends++] = err;
    if (f->ends < 50)
        assert_int_equal(hx_client_post(f->client, f->url, "a1", &iov, 1, 0, post_again, f, NULL), 0);
    else
        hx_loop_stop(f->k->loop);
}

/* Promise: DONE may post again; one connection carries them all. */
static void done_may_post_again(void **state)
{
    struct fix f = begin(state);
    begin_both(&f);
    struct iovec iov = {(void *)(uintptr_t)"first", 5};
    assert_int_equal(hx_client_post(f.client, f.url, "a1", &iov, 1, 0, post_again, &f, NULL), 0);
    net_kit_run(f.k);
    for (int i = 0; i < 50; i++)
        assert_int_equal(f.err[i], 0);
    assert_int_equal(f.requests, 50);
    assert_int_equal(f.last_conn, 1);
    end(&f);
}

/* ---- cancel, timeouts, ends ---- */

/* Promise: a canceled call never calls DONE, wherever it is: not started, waiting for a lane, under way, or
 * canceled from inside another one's DONE; and its body may be freed at once. */
static void a_canceled_call_is_silent(void **state)
{
    struct fix f = begin(state);
    f.manner = HOLD;
    begin_both(&f);
    uint8_t *p = pattern(1u << 20);
    hx_call_cancel(post(&f, p, 1u << 20, 0)); /* not started */
    struct hx_call *calls[6];
    for (int i = 0; i < 6; i++)
        calls[i] = post(&f, "x", 1, 0);
    hx_call_cancel(calls[5]); /* waiting */
    f.stop_at_requests = 4;
    net_kit_run(f.k);
    hx_call_cancel(calls[0]);               /* under way; the waiting fifth takes its lane */
    struct hx_call *large = post(&f, p, 1u << 20, 0);
    hx_call_cancel(large);
    free(p);
    f.stop_at_requests = 5;
    net_kit_run(f.k);
    f.to_cancel = calls[2]; /* from inside DONE of another */
    for (int i = 0; i < 5; i++)
        if (f.held[i])
            hx_request_reply(f.held[i], f.held_body[i]);
    run_until_ends(&f, 3);
    assert_int_equal(f.good, 3);
    end(&f);
    assert_int_equal(f.ends, 3);
}

/* Promise: without an answer a call ends with TIMEOUT, once, under way or still waiting for a lane; the answer
 * that comes later is dropped. */
static void silence_is_a_timeout(void **state)
{
    struct fix f = begin(state);
    f.manner = HOLD;
    begin_both(&f);
    for (int i = 0; i < 6; i++)
        post(&f, "x", 1, i == 5 ? 20 : 300); /* the sixth has no lane yet */
    run_until_ends(&f, 6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(f.err[i], HX_E_TIMEOUT);
    assert_non_null(strstr(hx_client_why(f.client), "no answer within 300 ms"));
    for (int i = 0; i < f.requests; i++)
        hx_request_reply(f.held[i], f.held_body[i]);
    f.manner = ECHO;
    post(&f, "y", 1, 0);
    run_until_ends(&f, 7);
    assert_int_equal(f.err[6], 0);
    end(&f);
}

/* Promise: a client that leaves before the answer costs nothing: its body stays until the answer, which is
 * dropped; its connection is reported as closed, once. */
static void a_client_may_leave_before_the_answer(void **state)
{
    struct fix f = begin(state);
    f.manner = HOLD;
    begin_both(&f);
    uint8_t *p = pattern(100000);
    struct hx_call *call = post(&f, p, 100000, 0);
    f.stop_at_requests = 1;
    net_kit_run(f.k);
    hx_call_cancel(call);
    hx_client_free(f.client);
    f.client = NULL;
    net_kit_turn(f.k->loop);
    assert_memory_equal(f.held_body[0].p, p, 100000);
    hx_request_reply(f.held[0], f.held_body[0]);
    f.stop_at_closes = 1;
    net_kit_run(f.k);
    assert_int_equal(f.closed_conn[0], f.last_conn);
    net_kit_turn(f.k->loop);
    assert_int_equal(f.closes, 1);
    assert_int_equal(f.ends, 0);
    free(p);
    end(&f);
}

/* Promise: each connection is reported as closed exactly once, and none after the server's end. */
static void each_connection_closes_once(void **state)
{
    struct fix f = begin(state);
    begin_both(&f);
    for (int i = 0; i < 4; i++)
        post(&f, "x", 1, 0);
    run_until_ends(&f, 4);
    assert_int_equal(f.closes, 0);
    hx_client_free(f.client);
    f.stop_at_closes = 4;
    net_kit_run(f.k);
    net_kit_turn(f.k->loop);
    assert_int_equal(f.closes, 4);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            assert_int_not_equal(f.closed_conn[i], f.closed_conn[j]);
    start_client(&f, f.k->loop);
    post(&f, "x", 1, 0);
    run_until_ends(&f, 5);
    assert_true(f.last_conn > 4); /* never reused */
    hx_server_net_free(f.server);
    f.server = NULL;
    net_kit_turn(f.k->loop);
    assert_int_equal(f.closes, 4);
    end(&f);
}

/* Promise: a server that ends with calls under way ends them as CLOSED; its pending requests can still be
 * answered, into the void; calls to a port where nobody listens are CONNECT; and a server that comes back is
 * found again, over connections that were dead. */
static void a_server_may_end_and_come_back(void **state)
{
    struct fix f = begin(state);
    char at[64], why[256];
    begin_both(&f);
    struct hx_server_cfg cfg = server_cfg(&f);
    snprintf(at, sizeof at, "127.0.0.1:%d", hx_server_net_port(f.server));
    post(&f, "x", 1, 0);
    run_until_ends(&f, 1);
    f.manner = HOLD;
    post(&f, "x", 1, 0);
    f.stop_at_requests = 2;
    net_kit_run(f.k);
    hx_server_net_free(f.server);
    run_until_ends(&f, 2);
    hx_request_reply(f.held[1], f.held_body[1]);
    assert_true(f.err[1] == HX_E_CLOSED || f.err[1] == HX_E_CONNECT); /* libcurl may have tried once more */
    post(&f, "x", 1, 0);
    run_until_ends(&f, 3);
    assert_int_equal(f.err[2], HX_E_CONNECT);
    assert_non_null(strstr(hx_client_why(f.client), "refused"));
    cfg.listen = at;
    f.manner = ECHO;
    assert_int_equal(hx_server_net_new(f.k->loop, &cfg, &f.server, why), 0);
    for (int i = 0; i < 4; i++)
        post(&f, "x", 1, 0);
    run_until_ends(&f, 7);
    assert_int_equal(f.good, 5);
    hx_server_net_free(f.server); /* with idle connections at the client */
    assert_int_equal(hx_server_net_new(f.k->loop, &cfg, &f.server, why), 0);
    uint8_t *p = pattern(300000);
    struct iovec two[2] = {{p, 100000}, {p + 100000, 200000}}; /* by the callback that can be rewound */
    assert_int_equal(hx_client_post(f.client, f.url, "a1", two, 2, 0, on_done, &f, NULL), 0);
    run_until_ends(&f, 8);
    assert_int_equal(f.err[7], 0);
    assert_int_equal(f.answer_len, 300000);
    assert_memory_equal(f.answer, p, 300000);
    free(p);
    end(&f);
}

/* ---- libcurl's own repetition ---- */

#define AGAIN_LEN 300000

static SSL *greet(SSL_CTX *ctx, int listening)
{
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, net_kit_accept(listening));
    if (SSL_accept(ssl) != 1)
        _exit(1);
    return ssl;
}

/* Reads a request of LEN body bytes and checks them. */
static void take(SSL *ssl, size_t len)
{
    uint8_t *want = pattern(len), *got = malloc(len + 4096), *body = NULL;
    size_t n = 0;
    while (!body || (size_t)(got + n - body) < len) {
        int part = SSL_read(ssl, got + n, (int)(len + 4096 - n));
        if (part <= 0)
            _exit(1);
        n += (size_t)part;
        body = memmem(got, n, "\r\n\r\n", 4);
        body = body ? body + 4 : NULL;
    }
    if (memcmp(body, want, len))
        _exit(2);
}

/* Answers the first request, takes the second and hangs up, and expects it again on a new connection. */
static void forgetful_server(void *arg, int out)
{
    struct net_kit *k = arg;
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate_file(ctx, net_kit_path(k, "a1", ".crt"), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(ctx, net_kit_path(k, "a1", ".key"), SSL_FILETYPE_PEM);
    int port, fd = net_kit_listen(&port);
    dprintf(out, "%d\n", port);
    SSL *ssl = greet(ctx, fd);
    take(ssl, 1);
    SSL_write(ssl, answer, sizeof answer - 1);
    take(ssl, AGAIN_LEN);
    close(SSL_get_fd(ssl));
    ssl = greet(ctx, fd);
    take(ssl, AGAIN_LEN);
    SSL_write(ssl, answer, sizeof answer - 1);
    dprintf(out, "twice");
}

static void on_first(void *ctx, int err, struct hx_bytes body)
{
    (void)body;
    struct fix *f = ctx;
    assert_int_equal(err, 0);
    struct iovec two[2] = {{f->answer, 1000}, {f->answer + 1000, AGAIN_LEN - 1000}};
    assert_int_equal(hx_client_post(f->client, f->url, "a1", two, 2, 0, f->after, f, NULL), 0);
}

static void on_port(void *ctx, const char *text)
{
    struct fix *f = ctx;
    if (f->url[0])
        return;
    snprintf(f->url, sizeof f->url, "https://127.0.0.1:%d", atoi(text));
    struct iovec iov = {f->answer, 1};
    assert_int_equal(hx_client_post(f->client, f->url, "a1", &iov, 1, 0, on_first, f, NULL), 0);
}

static void on_second(void *ctx, int err, struct hx_bytes body)
{
    struct fix *f = ctx;
    f->err[f->ends++] = err;
    assert_int_equal(body.len, 2);
}

/* Promise: a request that dies with a reused connection is sent again whole, also a scattered one that is read
 * piece by piece; the caller sees one answer. */
static void a_request_is_repeated_whole(void **state)
{
    struct fix f = begin(state);
    start_client(&f, f.k->loop);
    f.answer = pattern(AGAIN_LEN);
    f.after = on_second;
    char *text = net_kit_dialogue(f.k, forgetful_server, f.k, on_port, &f);
    assert_non_null(strstr(text, "twice"));
    net_kit_turn(f.k->loop);
    while (!f.ends)
        net_kit_turn(f.k->loop);
    assert_int_equal(f.err[0], 0);
    free(text);
    end(&f);
}

/* Promise: a client may be freed with calls under way and waiting; none of them calls DONE. */
static void a_client_may_be_freed_while_busy(void **state)
{
    struct fix f = begin(state);
    f.manner = HOLD;
    begin_both(&f);
    for (int i = 0; i < 9; i++)
        post(&f, "x", 1, 1000);
    f.stop_at_requests = 2;
    net_kit_run(f.k);
    hx_client_free(f.client);
    f.client = NULL;
    net_kit_turn(f.k->loop);
    assert_int_equal(f.ends, 0);
    for (int i = 0; i < f.requests; i++)
        hx_request_reply(f.held[i], f.held_body[i]);
    end(&f);
}

/* Promise: what is not https://HOST:PORT, or not a server's name, is refused at once. */
static void odd_urls_and_names_are_refused(void **state)
{
    struct fix f = begin(state);
    begin_both(&f);
    static const char *const urls[] = {"", "http://127.0.0.1:1", "https://127.0.0.1:1/x", "https://u@127.0.0.1:1",
                                       "https://127.0.0.1:99999", "https://127.0.0.1:1?x", "ftp://x", "https://"};
    struct iovec iov = {NULL, 0};
    for (size_t i = 0; i < HX_ARRAY_LEN(urls); i++)
        assert_int_equal(hx_client_post(f.client, urls[i], "a1", &iov, 1, 0, on_done, &f, NULL), HX_E_INVAL);
    assert_int_equal(hx_client_post(f.client, f.url, "a 1", &iov, 1, 0, on_done, &f, NULL), HX_E_INVAL);
    assert_int_equal(hx_client_post(f.client, f.url, "", &iov, 1, 0, on_done, &f, NULL), HX_E_INVAL);
    end(&f);
}

/* Promise: addresses to listen on are checked, and one in use is named. */
static void addresses_to_listen_on_are_checked(void **state)
{
    struct fix f = begin(state);
    begin_both(&f);
    static const char *const bad[] = {"", "127.0.0.1", "127.0.0.1:", ":1", "::1:1", "127.0.0.1:x", "127.0.0.1:65536x"};
    char why[256], at[64];
    struct hx_server_net *s;
    struct hx_server_cfg cfg = server_cfg(&f);
    for (size_t i = 0; i < HX_ARRAY_LEN(bad); i++) {
        cfg.listen = bad[i];
        assert_int_equal(hx_server_net_new(f.k->loop, &cfg, &s, why), HX_E_INVAL);
        assert_non_null(strstr(why, "listen"));
    }
    snprintf(at, sizeof at, "127.0.0.1:%d", hx_server_net_port(f.server));
    cfg.listen = at;
    assert_int_equal(hx_server_net_new(f.k->loop, &cfg, &s, why), HX_E_BUSY);
    assert_non_null(strstr(why, at));
    end(&f);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, net_kit_setup, net_kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(bodies_of_all_sizes_arrive_whole),
        CASE(scattered_bodies_arrive_in_order),
        CASE(a_body_above_the_limit_is_too_big),
        CASE(an_answer_above_the_limit_is_too_big),
        CASE(a_hundred_calls_at_once_are_answered),
        CASE(requests_of_one_moment_are_one_batch),
        CASE(done_may_post_again),
        CASE(a_canceled_call_is_silent),
        CASE(silence_is_a_timeout),
        CASE(a_client_may_leave_before_the_answer),
        CASE(each_connection_closes_once),
        CASE(a_server_may_end_and_come_back),
        CASE(a_request_is_repeated_whole),
        CASE(a_client_may_be_freed_while_busy),
        CASE(odd_urls_and_names_are_refused),
        CASE(addresses_to_listen_on_are_checked),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
