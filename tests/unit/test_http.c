/*
 * test_http.c - what the server makes of HTTP that libcurl would not send, and of peers that are slow, silent, or
 * too many.  A child process speaks TLS by hand and writes down what it was answered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../lib/net_kit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define HELD_MAX 8

struct fix {
    struct net_kit *k;
    struct hx_server_net *server;
    int requests;
    size_t bytes;
    bool hold;
    struct hx_request *held[HELD_MAX];
};

static void on_request(void *ctx, struct hx_request *r, uint64_t conn, const struct hx_peer *peer,
                       struct hx_bytes body)
{
    (void)conn;
    (void)peer;
    struct fix *f = ctx;
    f->bytes += body.len;
    if (f->hold)
        f->held[f->requests++] = r;
    else {
        f->requests++;
        hx_request_reply(r, body);
    }
}

static struct fix begin(void **state)
{
    struct fix f = {.k = *state};
    net_kit_cert(f.k, HX_ROLE_SEGMENT, "a1");
    net_kit_cert(f.k, HX_ROLE_WRITER, "w");
    return f;
}

static void start(struct fix *f, uint32_t request_ms, uint32_t idle_ms, uint32_t connections)
{
    char why[256] = "";
    struct hx_server_cfg cfg = {.listen = "127.0.0.1:0", .tls = net_kit_tls(f->k, "a1"), .body_max = 4096,
                                .request_ms = request_ms, .idle_ms = idle_ms, .connections_max = connections,
                                .request = on_request, .ctx = f};
    if (hx_server_net_new(f->k->loop, &cfg, &f->server, why))
        fail_msg("server: %s", why);
}

static void end(struct fix *f)
{
    hx_server_net_free(f->server);
}

/* ---- the child ---- */

struct talk {
    struct net_kit *k;
    int port;
    const char *text; /* what is sent */
    size_t len, piece; /* so many bytes at a time; 0: all at once */
    rlim_t soft;       /* the child's own limit of descriptors */
};

static SSL *dial(const struct talk *t)
{
    SSL *ssl = net_kit_connect(t->k, t->port, "w", TLS1_3_VERSION);
    if (!ssl)
        _exit(1);
    return ssl;
}

static void copy_answer(SSL *ssl, int out)
{
    char buf[4096];
    for (int n; (n = SSL_read(ssl, buf, sizeof buf)) > 0;)
        if (write(out, buf, (size_t)n) != n)
            _exit(1);
}

/* Sends the text and writes down the answer, until the server closes. */
static void say(void *arg, int out)
{
    const struct talk *t = arg;
    SSL *ssl = dial(t);
    size_t piece = t->piece ? t->piece : t->len;
    for (size_t at = 0; at < t->len; at += piece) {
        size_t n = t->len - at < piece ? t->len - at : piece;
        if (SSL_write(ssl, t->text + at, (int)n) <= 0)
            break;
    }
    copy_answer(ssl, out);
    if (write(out, "[closed]", 8) != 8)
        _exit(1);
}

static char *answer_to(struct fix *f, const char *text, size_t piece)
{
    struct talk t = {.k = f->k, .port = hx_server_net_port(f->server), .text = text, .len = strlen(text),
                     .piece = piece};
    char *got = net_kit_child(f->k, say, &t, NULL);
    assert_non_null(got);
    return got;
}

static void expect(struct fix *f, const char *text, size_t piece, const char *want)
{
    char *got = answer_to(f, text, piece);
    if (strncmp(got, want, strlen(want)))
        fail_msg("to %.60s...: wanted %s, got %s", text, want, got);
    assert_non_null(strstr(got, "[closed]"));
    free(got);
}

/* As expect, but where the time limit under test may also strike early on a busy machine: some try succeeds. */
static void expect_once(struct fix *f, const char *text, size_t piece, const char *want)
{
    for (int i = 0; i < 50; i++) {
        char *got = answer_to(f, text, piece);
        bool hit = !strncmp(got, want, strlen(want)), closed = strstr(got, "[closed]");
        free(got);
        assert_true(closed);
        if (hit)
            return;
    }
    fail_msg("never %s", want);
}

#define HOST "Host: x\r\n"
#define CLOSE "Connection: close\r\n"

/* ---- requests ---- */

/* Promise: only POST of exactly /v1/msg with one plain Content-Length reaches the handler; everything else has its
 * status, and the connection is closed. */
static void only_a_plain_post_is_accepted(void **state)
{
    struct fix f = begin(state);
    start(&f, 0, 0, 0);
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"POST /v1/msgs HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi", "HTTP/1.1 404"},
        {"POST /v1/msg?x=1 HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi", "HTTP/1.1 404"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi", "HTTP/1.1 404"},
        {"POST http://x/v1/msg HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi", "HTTP/1.1 404"},
        {"GET /v1/msg HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 405"},
        {"HEAD /v1/msg HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 405"},
        {"PUT /v1/msg HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi", "HTTP/1.1 405"},
        {"OPTIONS /v1/msg HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 405"},
        {"POST /v1/msg HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 411"},
        {"POST /v1/msg HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "HTTP/1.1 400"},
        {"POST /v1/msg HTTP/1.1\r\n" HOST "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "HTTP/1.1 400"},
        {"POST /v1/msg HTTP/1.1\r\n" HOST "Content-Length: 2\r\nTransfer-Encoding: gzip\r\n\r\nhi", "HTTP/1.1 400"},
        {"POST /v1/msg HTTP/1.1\r\n" HOST "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.1 400"},
        {"POST /v1/msg HTTP/1.1\r\n" HOST "Content-Length: +2\r\n\r\nhi", "HTTP/1.1 400"},
        {"POST /v1/msg HTTP/1.1\r\n" HOST "Content-Length: 0x2\r\n\r\nhi", "HTTP/1.1 400"},
        {"POST /v1/msg HTTP/1.1\r\n" HOST "Content-Length: -2\r\n\r\nhi", "HTTP/1.1 400"},
        {"POST /v1/msg HTTP/1.1\r\nno colon\r\n\r\n", "HTTP/1.1 400"},
        {"\x16\x03\x01 nonsense and more nonsense\r\n\r\n", "HTTP/1.1 400"},
    };
    for (size_t i = 0; i < HX_ARRAY_LEN(cases); i++)
        expect(&f, cases[i].text, 0, cases[i].want);
    char *got = answer_to(&f, "BREW /v1/msg HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi", 0);
    assert_null(strstr(got, " 200 "));
    free(got);
    assert_int_equal(f.requests, 0);
    expect(&f, "POST /v1/msg HTTP/1.1\r\n" HOST CLOSE "Content-Length: 2\r\n\r\nhi", 0, "HTTP/1.1 200");
    assert_int_equal(f.requests, 1);
    end(&f);
}

/* Promise: the size of a body is judged by its Content-Length alone: a terabyte is refused before a byte of it
 * is sent, so nothing can have been set aside for it. */
static void a_huge_length_is_refused_before_the_body(void **state)
{
    struct fix f = begin(state);
    start(&f, 0, 0, 0);
    expect(&f, "POST /v1/msg HTTP/1.1\r\n" HOST "Content-Length: 4097\r\n\r\n", 0, "HTTP/1.1 413");
    expect(&f, "POST /v1/msg HTTP/1.1\r\n" HOST "Content-Length: 1099511627776\r\n\r\n", 0, "HTTP/1.1 413");
    expect(&f, "POST /v1/msg HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\n", 0, "HTTP/1.1 413");
    assert_int_equal(f.requests, 0);
    end(&f);
}

/* Promise: heads of more than 8 KiB are refused, in one line or in many. */
static void long_heads_are_refused(void **state)
{
    struct fix f = begin(state);
    start(&f, 0, 0, 0);
    char *text = calloc(1, 20000);
    assert_non_null(text);
    strcpy(text, "POST /v1/msg HTTP/1.1\r\nX: ");
    memset(text + strlen(text), 'x', 9000);
    strcat(text, "\r\nContent-Length: 0\r\n\r\n");
    expect(&f, text, 0, "HTTP/1.1 400");
    strcpy(text, "POST /v1/msg HTTP/1.1\r\n");
    for (int i = 0; i < 900; i++)
        strcat(text, "A: 1234567\r\n");
    strcat(text, "Content-Length: 0\r\n\r\n");
    expect(&f, text, 0, "HTTP/1.1 400");
    assert_int_equal(f.requests, 0);
    free(text);
    end(&f);
}

/* Promise: a request that arrives byte by byte, each in a TLS record of its own, is one request. */
static void a_request_may_arrive_byte_by_byte(void **state)
{
    struct fix f = begin(state);
    start(&f, 0, 0, 0);
    char *got = answer_to(&f, "POST /v1/msg HTTP/1.1\r\n" HOST CLOSE "Content-Length: 10\r\n\r\n0123456789", 1);
    assert_non_null(strstr(got, "\r\n\r\n0123456789[closed]"));
    assert_int_equal(f.requests, 1);
    free(got);
    end(&f);
}

/* Promise: a hundred requests that are sent without waiting are answered one by one and in order, also
 * when they arrive in records that end anywhere; nothing is left lying in a buffer. */
static void pipelined_requests_are_answered_in_order(void **state)
{
    struct fix f = begin(state);
    start(&f, 0, 0, 0);
    static const size_t pieces[] = {0, 1000, 3123, 16000};
    char *text = calloc(1, 400000), *got;
    assert_non_null(text);
    size_t at = 0;
    for (int i = 0; i < 100; i++)
        at += (size_t)sprintf(text + at, "POST /v1/msg HTTP/1.1\r\n%sContent-Length: 3000\r\n\r\n<%04d>%2994d",
                              i == 99 ? CLOSE : "", i, 0);
    for (size_t p = 0; p < HX_ARRAY_LEN(pieces); p++) {
        got = answer_to(&f, text, pieces[p]);
        const char *next = got;
        for (int i = 0; i < 100; i++) {
            char mark[16];
            sprintf(mark, "<%04d>", i);
            next = strstr(next, mark);
            if (!next)
                fail_msg("pieces of %zu: no answer %d", pieces[p], i);
        }
        assert_int_equal(f.requests, 100 * (int)(p + 1));
        free(got);
    }
    free(text);
    end(&f);
}

/* ---- time ---- */

/* Connects, says nothing or something plain, and waits for the end. */
static void tcp_only(void *arg, int out)
{
    const struct talk *t = arg;
    int fd = net_kit_tcp(t->port);
    char buf[64];
    if (fd < 0 || (t->len && write(fd, t->text, t->len) != (ssize_t)t->len))
        _exit(1);
    while (read(fd, buf, sizeof buf) > 0)
        ;
    if (write(out, "[closed]", 8) != 8)
        _exit(1);
}

static void closes_tcp(struct fix *f, const char *text)
{
    struct talk t = {.k = f->k, .port = hx_server_net_port(f->server), .text = text, .len = strlen(text)};
    char *got = net_kit_child(f->k, tcp_only, &t, NULL);
    assert_string_equal(got, "[closed]");
    free(got);
}

/* Promise: who connects and does not shake hands is dropped, silent or talking without TLS. */
static void a_peer_without_handshake_is_dropped(void **state)
{
    struct fix f = begin(state);
    start(&f, 40, 100000, 0);
    closes_tcp(&f, "");
    closes_tcp(&f, "POST /v1/msg HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi");
    assert_int_equal(f.requests, 0);
    end(&f);
}

/* Promise: a request that does not come to its end is dropped, whether its head or its body is missing, also
 * as the second one of a connection. */
static void an_unfinished_request_is_dropped(void **state)
{
    struct fix f = begin(state);
    start(&f, 40, 100000, 0);
    expect(&f, "POST /v1/msg HT", 1, "[closed]");
    expect(&f, "POST /v1/msg HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nh", 1, "[closed]");
    assert_int_equal(f.requests, 0);
    expect_once(&f, "POST /v1/msg HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhiPOST /v1", 30, "HTTP/1.1 200");
    assert_true(f.requests >= 1);
    end(&f);
}

/* Promise: a connection without a request is closed after idle_ms, a fresh one and one that was used. */
static void an_idle_connection_is_closed(void **state)
{
    struct fix f = begin(state);
    start(&f, 100000, 40, 0);
    expect(&f, "", 0, "[closed]");
    expect_once(&f, "POST /v1/msg HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi", 0, "HTTP/1.1 200");
    end(&f);
}

static void on_done(void *ctx, int err, struct hx_bytes body)
{
    struct fix *f = ctx;
    (void)body;
    assert_int_equal(err, 0);
    hx_loop_stop(f->k->loop);
}

/* Promise: a request whose answer the handler still owes has no time limit.  It outlives another connection that is
 * closed for its silence, and is answered then. */
static void a_pending_request_is_not_late(void **state)
{
    struct fix f = begin(state);
    char why[256] = "", url[64];
    struct hx_client *c;
    struct hx_tls_cfg tls = net_kit_tls(f.k, "w");
    struct iovec iov = {(void *)(uintptr_t)"x", 1};
    f.hold = true;
    start(&f, 100000, 40, 0);
    assert_int_equal(hx_client_new(f.k->loop, &tls, &c, why), 0);
    snprintf(url, sizeof url, "https://127.0.0.1:%d", hx_server_net_port(f.server));
    assert_int_equal(hx_client_post(c, url, "a1", &iov, 1, 0, on_done, &f, NULL), 0);
    while (!f.requests)
        net_kit_turn(f.k->loop);
    expect(&f, "", 0, "[closed]");
    expect(&f, "", 0, "[closed]");
    hx_request_reply(f.held[0], (struct hx_bytes){0});
    net_kit_run(f.k);
    hx_client_free(c);
    end(&f);
}

/* ---- numbers ---- */

static void round_trip(SSL *ssl)
{
    static const char request[] = "POST /v1/msg HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi";
    char buf[1024];
    if (SSL_write(ssl, request, sizeof request - 1) <= 0 || SSL_read(ssl, buf, sizeof buf) <= 0)
        _exit(1);
}

/* Uses one connection while a second one knocks; then closes the first. */
static void two_connections(void *arg, int out)
{
    const struct talk *t = arg;
    struct rlimit limit;
    char c;
    if (t->soft && !getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = t->soft;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    SSL *first = dial(t), *second;
    round_trip(first);
    int fd = net_kit_tcp(t->port);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_use_certificate_file(ctx, net_kit_path(t->k, "w", ".crt"), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(ctx, net_kit_path(t->k, "w", ".key"), SSL_FILETYPE_PEM);
    second = SSL_new(ctx);
    SSL_set_fd(second, fd);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (fd < 0 || SSL_connect(second) == 1)
        _exit(1);
    for (int i = 0; i < 5; i++) /* with room, the server would greet the second one meanwhile */
        round_trip(first);
    const char *greeted = recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 1 ? "greeted, " : "waits, ";
    SSL_shutdown(first);
    close(SSL_get_fd(first));
    fcntl(fd, F_SETFL, 0);
    int ok = SSL_connect(second);
    if (ok == 1)
        round_trip(second);
    dprintf(out, "%sthen %s", greeted, ok == 1 ? "served" : "refused");
}

/* Promise: beyond connections_max a connection waits, and is served when another one ends. */
static void connections_beyond_the_limit_wait(void **state)
{
    struct fix f = begin(state);
    start(&f, 0, 0, 1);
    struct talk t = {.k = f.k, .port = hx_server_net_port(f.server)};
    char *got = net_kit_child(f.k, two_connections, &t, NULL);
    assert_string_equal(got, "waits, then served");
    assert_int_equal(f.requests, 7);
    free(got);
    end(&f);
}

/* Promise: without descriptors the server does not give up on who knocks: it accepts when there are some again.  The
 * limit leaves room for the two ends of net_kit_child's pipe, one of which it closes: one connection. */
static void a_lack_of_descriptors_passes(void **state)
{
    struct fix f = begin(state);
    start(&f, 0, 0, 0);
    struct rlimit before, tight;
    int p[2];
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(pipe(p), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)(p[0] < p[1] ? p[1] : p[0]) + 1;
    close(p[0]);
    close(p[1]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    struct talk t = {.k = f.k, .port = hx_server_net_port(f.server), .soft = before.rlim_cur};
    char *got = net_kit_child(f.k, two_connections, &t, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_string_equal(got, "waits, then served");
    assert_int_equal(f.requests, 7);
    free(got);
    end(&f);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, net_kit_setup, net_kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(only_a_plain_post_is_accepted),
        CASE(a_huge_length_is_refused_before_the_body),
        CASE(long_heads_are_refused),
        CASE(a_request_may_arrive_byte_by_byte),
        CASE(pipelined_requests_are_answered_in_order),
        CASE(a_peer_without_handshake_is_dropped),
        CASE(an_unfinished_request_is_dropped),
        CASE(an_idle_connection_is_closed),
        CASE(a_pending_request_is_not_late),
        CASE(connections_beyond_the_limit_wait),
        CASE(a_lack_of_descriptors_passes),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
