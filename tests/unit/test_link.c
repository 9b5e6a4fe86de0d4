/*
 * test_link.c - a client and servers that answer oddly, or not at all (src/net/link.c): what they say is
 * taken for what it is, and what is not certain is not used again.  Ordinary answers are test_net.c's.
 *
 * Method: the server is a child with a script, over real sockets and TLS; names are looked up by the test itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../lib/net_kit.h"

#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LARGE (4u << 20)
#define CALLS_MAX 8

/* Stands in for libc's: of these names one is known, one is not, one is looked up until the test lets it go. */
static sem_t slow;
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (hints->ai_flags & AI_NUMERICHOST)
        return real(host, port, hints, ret);
    if (!strcmp(host, "slow.test"))
        while (sem_wait(&slow))
            ;
    return strcmp(host, "unknown.test") ? real("127.0.0.1", port, hints, ret) : EAI_NONAME;
}

/*
 * What the server does, step by step: A accept; R read a request; H hang up without a word; C say goodbye and close;
 * and each piece of text goes out by itself: S as it is, B byte by byte, T twice, in two records that arrive as one.
 * L: the head of a request, then an answer without taking the rest, until the client gives up; X: without waiting;
 * E: the same, and the connection stays as it is.
 */
struct step {
    char what;
    const char *text;
};
struct script {
    struct net_kit *k;
    const struct step *steps; /* ends with 0 */
};

static bool read_request(SSL *ssl)
{
    static char b[1 << 16];
    size_t n = 0, len;
    const char *end = NULL;
    while (!end) {
        int part = SSL_read(ssl, b + n, (int)(sizeof b - n));
        if (part <= 0)
            return false;
        n += (size_t)part;
        end = memmem(b, n, "\r\n\r\n", 4);
    }
    const char *length = memmem(b, n, "Content-Length: ", 16);
    len = length ? strtoul(length + 16, NULL, 10) : 0;
    return n == (size_t)(end + 4 - b) + len;
}

static void serve(void *arg, int out)
{
    const struct script *s = arg;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate_file(ctx, net_kit_path(s->k, "a1", ".crt"), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(ctx, net_kit_path(s->k, "a1", ".key"), SSL_FILETYPE_PEM);
    SSL_CTX_set_num_tickets(ctx, 0);
    int port, fd = net_kit_listen(&port);
    SSL *ssl = NULL;
    char b[1000];
    dprintf(out, "%d\n", port);
    for (const struct step *t = s->steps; t->what; t++) {
        if (t->what == 'A') {
            ssl = SSL_new(ctx);
            SSL_set_fd(ssl, net_kit_accept(fd));
            if (SSL_accept(ssl) != 1)
                _exit(1);
            dprintf(out, "A");
        }
        if (t->what == 'R' && !read_request(ssl))
            _exit(2);
        if (t->what == 'T')
            setsockopt(SSL_get_fd(ssl), IPPROTO_TCP, TCP_CORK, &(int){1}, sizeof(int));
        if (t->what == 'S' || t->what == 'T')
            SSL_write(ssl, t->text, (int)strlen(t->text));
        if (t->what == 'T') {
            SSL_write(ssl, t->text, (int)strlen(t->text));
            setsockopt(SSL_get_fd(ssl), IPPROTO_TCP, TCP_CORK, &(int){0}, sizeof(int));
        }
        for (const char *p = t->text; t->what == 'B' && *p; p++)
            SSL_write(ssl, p, 1);
        if (t->what == 'C')
            SSL_shutdown(ssl);
        if (t->what == 'H' || t->what == 'C')
            close(SSL_get_fd(ssl));
        if (t->what == 'L' || t->what == 'X' || t->what == 'E') {
            SSL_read(ssl, b, sizeof b);
            SSL_write(ssl, t->text, (int)strlen(t->text));
        }
        if (t->what == 'L' || t->what == 'X') {
            shutdown(SSL_get_fd(ssl), SHUT_WR);
            while (t->what == 'L' && recv(SSL_get_fd(ssl), b, sizeof b, 0) > 0)
                ;
            close(SSL_get_fd(ssl));
        }
    }
    dprintf(out, ".\n");
}

struct talk {
    struct net_kit *k;
    struct hx_client *client;
    char url[64], why[512];
    const char *host; /* NULL: the address */
    int calls, err[CALLS_MAX], ends;
    size_t size; /* of each request */
    uint8_t *bytes;
    size_t len[CALLS_MAX];
    char first[CALLS_MAX];
};

static void on_done(void *ctx, int err, struct hx_bytes body);

static void post(struct talk *t)
{
    struct iovec iov = {t->bytes, t->size};
    assert_int_equal(hx_client_post(t->client, t->url, "a1", &iov, 1, 20000, on_done, t, NULL), 0);
}

static void on_done(void *ctx, int err, struct hx_bytes body)
{
    struct talk *t = ctx;
    t->err[t->ends] = err;
    t->len[t->ends] = body.len;
    t->first[t->ends] = body.len ? (char)body.p[0] : '\0';
    if (err)
        snprintf(t->why, sizeof t->why, "%s", hx_client_why(t->client));
    if (++t->ends < t->calls)
        post(t);
}

static void on_port(void *ctx, const char *text)
{
    struct talk *t = ctx;
    if (t->url[0])
        return;
    snprintf(t->url, sizeof t->url, "https://%s:%d", t->host ? t->host : "127.0.0.1", atoi(text));
    post(t);
}

static struct talk begin(void **state)
{
    struct talk t = {.k = *state, .calls = 1, .size = 3};
    char why[256] = "";
    net_kit_cert(t.k, HX_ROLE_SEGMENT, "a1");
    net_kit_cert(t.k, HX_ROLE_WRITER, "w");
    struct hx_tls_cfg tls = net_kit_tls(t.k, "w");
    assert_int_equal(hx_client_new(t.k->loop, &tls, &t.client, why), 0);
    t.bytes = calloc(1, LARGE);
    assert_non_null(t.bytes);
    return t;
}

static void end(struct talk *t)
{
    hx_client_free(t->client);
    free(t->bytes);
}

/* CALLS one after the other to a server with STEPS; it made CONNECTIONS and went through all of them. */
static struct talk talk(void **state, int calls, size_t size, const struct step *steps, unsigned connections)
{
    struct talk t = begin(state);
    struct script s = {t.k, steps};
    char want[CALLS_MAX + 3];
    t.calls = calls;
    t.size = size;
    char *text = net_kit_dialogue(t.k, serve, &s, on_port, &t);
    while (t.ends < t.calls)
        net_kit_turn(t.k->loop);
    memset(want, 'A', connections);
    strcpy(want + connections, ".\n");
    assert_non_null(strchr(text, '\n'));
    assert_string_equal(strchr(text, '\n') + 1, want);
    free(text);
    end(&t);
    return t;
}

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

/* Promise: an answer is the same in whatever pieces it comes, and what is said before it does not count. */
static void pieces_do_not_matter(void **state)
{
    static const struct step steps[] = {
        {'A', NULL}, {'R', NULL}, {'B', OK "ok"},
        {'R', NULL}, {'S', "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX: y\r\n\r\n" OK "ok"},
        {'R', NULL}, {'S', "HTTP/1.1 100 Continue\r\n\r\n"}, {'S', OK}, {'S', "o"}, {'S', "k"},
        {'R', NULL}, {'S', "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}, {0, NULL}};
    struct talk t = talk(state, 4, 3, steps, 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(t.err[i], 0);
        assert_int_equal(t.len[i], i < 3 ? 2 : 0);
        assert_int_equal(t.first[i], i < 3 ? 'o' : 0);
    }
}

/* Promise: a connection whose answer had more behind it, in its record or another one, or that the server wants to
 * close, or that brought an error, is not used again. */
static void an_uncertain_connection_is_not_used_again(void **state)
{
    static const struct step steps[] = {
        {'A', NULL}, {'R', NULL}, {'S', OK "ok and more"}, /* in the same record */
        {'A', NULL}, {'R', NULL}, {'T', OK "ok"},          /* and in one behind it, received with it */
        {'A', NULL}, {'R', NULL}, {'S', "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"},
        {'A', NULL}, {'R', NULL}, {'S', "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"},
        {'A', NULL}, {'R', NULL}, {'S', OK "ok"}, {0, NULL}};
    struct talk t = talk(state, 5, 3, steps, 5);
    static const int want[] = {0, 0, 0, HX_E_IO, 0};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(t.err[i], want[i]);
        assert_int_equal(t.len[i], want[i] ? 0 : 2);
    }
    assert_non_null(strstr(t.why, "HTTP status 500"));
}

/* Promise: what is no answer is an error of its own, and the next call has a new connection. */
static void what_is_no_answer_is_an_error(void **state)
{
    static const struct step steps[] = {
        {'A', NULL}, {'R', NULL}, {'S', "SSH-2.0-nonsense\r\n"},
        {'A', NULL}, {'R', NULL}, {'S', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
        {'A', NULL}, {'R', NULL}, {'S', "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"},
        {'A', NULL}, {'R', NULL}, {'S', "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nno"}, {'H', NULL},
        {'A', NULL}, {'R', NULL}, {'S', "HTTP/1.1 200 OK\r\n\r\nno"}, /* where does it end? */
        {'A', NULL}, {'R', NULL}, {'C', NULL},
        {'A', NULL}, {'R', NULL}, {'S', OK "ok"}, {0, NULL}};
    struct talk t = talk(state, 7, 3, steps, 7);
    static const int want[] = {HX_E_IO, HX_E_IO, HX_E_TOOBIG, HX_E_CLOSED, HX_E_IO, HX_E_CLOSED, 0};
    for (int i = 0; i < 7; i++)
        assert_int_equal(t.err[i], want[i]);
}

/* Promise: a request that dies with a connection that was used before is sent again, but once only, and not when an
 * answer had begun. */
static void a_request_is_repeated_once(void **state)
{
    static const struct step steps[] = {
        {'A', NULL}, {'R', NULL}, {'S', OK "ok"}, {'R', NULL}, {'H', NULL}, {'A', NULL}, {'R', NULL}, {'H', NULL},
        {'A', NULL}, {'R', NULL}, {'S', OK "ok"}, {'R', NULL}, {'S', "H"}, {'H', NULL},
        {'A', NULL}, {'R', NULL}, {'S', OK "ok"}, {'C', NULL}, {'A', NULL}, {'R', NULL}, {'S', OK "ok"}, {0, NULL}};
    struct talk t = talk(state, 6, 3, steps, 5);
    static const int want[] = {0, HX_E_CLOSED, 0, HX_E_CLOSED, 0, 0};
    for (int i = 0; i < 6; i++)
        assert_int_equal(t.err[i], want[i]);
}

/* Promise: a server that answers a large request before it has read it is heard, also when nothing can be sent to it
 * any more; and that connection is not used again. */
static void an_early_answer_is_heard(void **state)
{
    static const struct step steps[] = {
        {'A', NULL}, {'L', "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"},
        {'A', NULL}, {'X', "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"},
        {'A', NULL}, {'L', OK "ok"},
        {'A', NULL}, {'L', "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"}, {0, NULL}};
    struct talk t = talk(state, 4, LARGE, steps, 4);
    assert_int_equal(t.err[0], HX_E_TOOBIG);
    assert_int_equal(t.err[1], HX_E_TOOBIG);
    assert_int_equal(t.err[2], 0);
    assert_int_equal(t.err[3], HX_E_IO);
    assert_non_null(strstr(t.why, "HTTP status 503"));
}

/* Promise: nor is one whose answer came before all of the request was sent, though all is well and the server has not
 * said that it will close: what is left of the request would pass for the head of the next one. */
static void an_early_answer_ends_the_connection(void **state)
{
    static const struct step steps[] = {
        {'A', NULL}, {'E', OK "ok"}, {'A', NULL}, {'E', OK "ok"}, {0, NULL}};
    struct talk t = talk(state, 2, LARGE, steps, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(t.err[i], 0);
        assert_int_equal(t.len[i], 2);
    }
}

/* Promise: a host may be a name; one that nobody knows is said to be so; and who waits for a name server can be
 * canceled, time out, or go. */
static void names_are_looked_up(void **state)
{
    static const struct step steps[] = {{'A', NULL}, {'R', NULL}, {'S', OK "ok"}, {0, NULL}};
    struct talk t = begin(state);
    struct script s = {t.k, steps};
    struct iovec iov = {t.bytes, 1};
    struct hx_call *call;
    t.host = "known.test";
    char *text = net_kit_dialogue(t.k, serve, &s, on_port, &t);
    free(text);
    while (t.ends < 1)
        net_kit_turn(t.k->loop);
    assert_int_equal(t.err[0], 0);
    assert_int_equal(hx_client_post(t.client, "https://unknown.test:1", "a1", &iov, 1, 0, on_done, &t, NULL), 0);
    while (t.ends < 2)
        net_kit_turn(t.k->loop);
    assert_int_equal(t.err[1], HX_E_CONNECT);
    assert_non_null(strstr(t.why, "unknown host"));
    t.calls = 0; /* no more by themselves */
    assert_int_equal(hx_client_post(t.client, "https://slow.test:1", "a1", &iov, 1, 50, on_done, &t, NULL), 0);
    assert_int_equal(hx_client_post(t.client, "https://slow.test:1", "a1", &iov, 1, 0, on_done, &t, &call), 0);
    while (t.ends < 3)
        net_kit_turn(t.k->loop);
    assert_true(t.err[2] == HX_E_TIMEOUT || t.err[2] == HX_E_CONNECT); /* whichever limit is looked at first */
    hx_call_cancel(call);
    sem_post(&slow); /* the answers of both come to nobody */
    sem_post(&slow);
    assert_int_equal(hx_client_post(t.client, "https://slow.test:1", "a1", &iov, 1, 0, on_done, &t, NULL), 0);
    net_kit_turn(t.k->loop);
    end(&t);
    assert_int_equal(t.ends, 3);
    sem_post(&slow); /* its thread finds that all have gone */
}

int main(void)
{
    sem_init(&slow, 0, 0);
#define CASE(f) cmocka_unit_test_setup_teardown(f, net_kit_setup, net_kit_teardown)
    const struct CMUnitTest tests[] = {
        CASE(pieces_do_not_matter),       CASE(an_uncertain_connection_is_not_used_again),
        CASE(what_is_no_answer_is_an_error), CASE(a_request_is_repeated_once),
        CASE(an_early_answer_is_heard),   CASE(an_early_answer_ends_the_connection),
        CASE(names_are_looked_up),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
