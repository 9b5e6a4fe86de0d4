/*
 * test_tls.c - who is let in, in both directions: each kind of bad certificate ends in the handshake, before
 * the handler or libcurl's caller sees a byte, and the reason given tells the kinds apart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../lib/net_kit.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DAY 86400

struct fix {
    struct net_kit *k;
    struct hx_server_net *server;
    struct hx_client *client;
    char url[64];
    int requests, refusals, ends, err, first, last;
    char refused[256], why[600];
    struct hx_peer peer;
};

static void on_request(void *ctx, struct hx_request *r, uint64_t conn, const struct hx_peer *peer,
                       struct hx_bytes body)
{
    (void)conn;
    struct fix *f = ctx;
    f->requests++;
    f->peer = *peer;
    hx_request_reply(r, body);
}

static void on_refused(void *ctx, const char *why)
{
    struct fix *f = ctx;
    f->refusals++;
    snprintf(f->refused, sizeof f->refused, "%s", why);
}

static void on_done(void *ctx, int err, struct hx_bytes body)
{
    (void)body;
    struct fix *f = ctx;
    f->ends++;
    f->err = err;
    snprintf(f->why, sizeof f->why, "%s", err ? hx_client_why(f->client) : "");
    hx_loop_stop(f->k->loop);
}

static void start_server(struct fix *f, const char *cert)
{
    char why[256] = "";
    struct hx_server_cfg cfg = {.listen = "127.0.0.1:0", .tls = net_kit_tls(f->k, cert), .body_max = 1024,
                                .request = on_request, .refused = on_refused, .ctx = f};
    if (hx_server_net_new(f->k->loop, &cfg, &f->server, why))
        fail_msg("server: %s", why);
    snprintf(f->url, sizeof f->url, "https://127.0.0.1:%d", hx_server_net_port(f->server));
}

static void start_client(struct fix *f, const char *cert)
{
    char why[256] = "";
    struct hx_tls_cfg tls = net_kit_tls(f->k, cert);
    if (hx_client_new(f->k->loop, &tls, &f->client, why))
        fail_msg("client: %s", why);
}

static int post(struct fix *f, const char *name)
{
    struct iovec iov = {(void *)(uintptr_t)"hello", 5};
    assert_int_equal(hx_client_post(f->client, f->url, name, &iov, 1, 0, on_done, f, NULL), 0);
    net_kit_run(f->k);
    return f->err;
}

static void stop(struct fix *f)
{
    hx_client_free(f->client);
    hx_server_net_free(f->server);
    f->client = NULL;
    f->server = NULL;
}

/* A client with the certificate F against a good server: refused, with WHY at the server, ALERT at the client. */
static void client_is_refused(struct net_kit *k, const struct net_kit_forgery *forged, const char *why)
{
    struct fix f = {.k = k};
    net_kit_forge(k, forged);
    start_server(&f, "a1");
    start_client(&f, forged->file);
    int err = post(&f, "a1");
    if (err != HX_E_TLS || !strstr(f.why, "refuses our certificate"))
        fail_msg("%s: error %d, %s", forged->file, err, f.why);
    if (!strstr(f.refused, why))
        fail_msg("%s: the server says: %s", forged->file, f.refused);
    assert_int_equal(f.requests, 0);
    assert_int_equal(f.refusals, 1);
    stop(&f);
}

/* A good client against a server with the certificate F. */
static void server_is_refused(struct net_kit *k, const struct net_kit_forgery *forged, const char *why)
{
    struct fix f = {.k = k};
    net_kit_forge(k, forged);
    start_server(&f, forged->file);
    start_client(&f, "w");
    int err = post(&f, "a1");
    if (err != HX_E_TLS || !strstr(f.why, why))
        fail_msg("%s: error %d, %s", forged->file, err, f.why);
    assert_int_equal(f.requests, 0);
    stop(&f);
}

static void good_ones(struct net_kit *k)
{
    net_kit_cert(k, HX_ROLE_SEGMENT, "a1");
    net_kit_cert(k, HX_ROLE_SEGMENT, "a2");
    net_kit_cert(k, HX_ROLE_WRITER, "w");
}

/* Promise: every role is let in with a good certificate, and the handler learns role and name. */
static void good_certificates_are_let_in(void **state)
{
    struct net_kit *k = *state;
    good_ones(k);
    net_kit_cert(k, HX_ROLE_ADMIN, "adm");
    net_kit_cert(k, HX_ROLE_READER, "rd");
    const struct {
        const char *name;
        enum hx_role role;
    } peers[] = {{"a2", HX_ROLE_SEGMENT}, {"w", HX_ROLE_WRITER}, {"adm", HX_ROLE_ADMIN}, {"rd", HX_ROLE_READER}};
    for (size_t i = 0; i < HX_ARRAY_LEN(peers); i++) {
        struct fix f = {.k = k};
        start_server(&f, "a1");
        start_client(&f, peers[i].name);
        if (post(&f, "a1"))
            fail_msg("%s: %s", peers[i].name, f.why);
        assert_int_equal(f.requests, 1);
        assert_int_equal(f.peer.role, peers[i].role);
        assert_string_equal(f.peer.name, peers[i].name);
        stop(&f);
    }
}

/* Promise: a server refuses each kind of bad client certificate in the handshake, and says which. */
static void a_server_refuses_bad_clients(void **state)
{
    struct net_kit *k = *state;
    static const char *const w = "hexad://writer/w";
    good_ones(k);
    client_is_refused(k, &(struct net_kit_forgery){"c-old", "ca", {w}, "clientAuth", -2 * DAY, -60}, "expired");
    client_is_refused(k, &(struct net_kit_forgery){"c-new", "ca", {w}, "clientAuth", 3600, DAY}, "not valid yet");
    client_is_refused(k, &(struct net_kit_forgery){"c-other", "other", {w}, "clientAuth", -60, DAY}, "another CA");
    client_is_refused(k, &(struct net_kit_forgery){"c-self", NULL, {w}, "clientAuth", -60, DAY}, "by itself");
    client_is_refused(k, &(struct net_kit_forgery){"c-role", "ca", {"hexad://pirate/w"}, "clientAuth", -60, DAY},
                      "known role");
    client_is_refused(k, &(struct net_kit_forgery){"c-none", "ca", {NULL}, "clientAuth", -60, DAY}, "known role");
    client_is_refused(k, &(struct net_kit_forgery){"c-two", "ca", {w, "hexad://admin/w"}, "clientAuth", -60, DAY},
                      "exactly one");
    client_is_refused(k, &(struct net_kit_forgery){"c-long", "ca", {"hexad://writer/w/x"}, "clientAuth", -60, DAY},
                      "exactly one");
    client_is_refused(k, &(struct net_kit_forgery){"c-eku", "ca", {w}, "serverAuth", -60, DAY}, "extended key usage");
    client_is_refused(k, &(struct net_kit_forgery){"c-no-eku", "ca", {w}, NULL, -60, DAY}, "extended key usage");
}

/* Promise: a client refuses each kind of bad server certificate in the handshake, and says which. */
static void a_client_refuses_bad_servers(void **state)
{
    struct net_kit *k = *state;
    static const char *const a1 = "hexad://segment/a1";
    good_ones(k);
    server_is_refused(k, &(struct net_kit_forgery){"s-old", "ca", {a1}, "serverAuth", -2 * DAY, -60}, "expired");
    server_is_refused(k, &(struct net_kit_forgery){"s-new", "ca", {a1}, "serverAuth", 3600, DAY}, "not valid yet");
    server_is_refused(k, &(struct net_kit_forgery){"s-other", "other", {a1}, "serverAuth", -60, DAY}, "another CA");
    server_is_refused(k, &(struct net_kit_forgery){"s-self", NULL, {a1}, "serverAuth", -60, DAY}, "by itself");
    server_is_refused(k, &(struct net_kit_forgery){"s-role", "ca", {"hexad://admin/a1"}, "serverAuth", -60, DAY},
                      "is for hexad://admin/a1, not for hexad://segment/a1");
    server_is_refused(k, &(struct net_kit_forgery){"s-name", "ca", {"hexad://segment/a2"}, "serverAuth", -60, DAY},
                      "is for hexad://segment/a2, not for hexad://segment/a1");
    server_is_refused(k, &(struct net_kit_forgery){"s-none", "ca", {NULL}, "serverAuth", -60, DAY}, "known role");
    server_is_refused(k, &(struct net_kit_forgery){"s-two", "ca", {a1, "hexad://segment/a2"}, "serverAuth", -60, DAY},
                      "exactly one");
    server_is_refused(k, &(struct net_kit_forgery){"s-eku", "ca", {a1}, "clientAuth", -60, DAY}, "extended key usage");
    server_is_refused(k, &(struct net_kit_forgery){"s-no-eku", "ca", {a1}, NULL, -60, DAY}, "extended key usage");
}

/* Promise: a connection to a1 is not lent to a call that wants a2 at the same address, nor the reverse. */
static void a_kept_connection_serves_its_own_name_only(void **state)
{
    struct fix f = {.k = *state};
    good_ones(f.k);
    start_server(&f, "a1");
    start_client(&f, "w");
    assert_int_equal(post(&f, "a1"), 0);
    assert_int_equal(post(&f, "a2"), HX_E_TLS);
    assert_non_null(strstr(f.why, "is for hexad://segment/a1, not for hexad://segment/a2"));
    assert_int_equal(post(&f, "A1"), HX_E_TLS); /* names are not host names: case counts */
    assert_int_equal(post(&f, "a1"), 0);
    assert_int_equal(f.requests, 2);
    stop(&f);
}

struct raw {
    struct net_kit *k;
    int port, version;
    const char *cert;
};

/* Tries a handshake and a request; writes the first bytes of the answer, or why there is none. */
static void raw_request(void *arg, int out)
{
    const struct raw *r = arg;
    static const char request[] = "POST /v1/msg HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";
    char text[512] = "";
    SSL *ssl = net_kit_connect(r->k, r->port, r->cert, r->version);
    int n = -1;
    if (ssl && SSL_write(ssl, request, sizeof request - 1) > 0)
        n = SSL_read(ssl, text, sizeof text);
    if (n <= 0) {
        unsigned long e = ERR_get_error();
        n = snprintf(text, sizeof text, "failed: %s", e ? ERR_reason_error_string(e) : "closed");
    }
    if (write(out, text, (size_t)n) != n)
        _exit(1);
}

static void raw_says(struct fix *f, const char *cert, int version, const char *want)
{
    struct raw r = {f->k, hx_server_net_port(f->server), version, cert};
    char *text = net_kit_child(f->k, raw_request, &r, NULL);
    if (!text || !strstr(text, want))
        fail_msg("wanted %s, got %s", want, text ? text : "nothing");
    free(text);
}

/* Promise: without a certificate, or with TLS 1.2, no request gets through; the same request with
 * both is answered, so it was nothing else. */
static void no_certificate_and_old_tls_are_refused(void **state)
{
    struct fix f = {.k = *state};
    good_ones(f.k);
    start_server(&f, "a1");
    raw_says(&f, "w", TLS1_3_VERSION, "HTTP/1.1 200");
    assert_int_equal(f.requests, 1);
    raw_says(&f, NULL, TLS1_3_VERSION, "certificate required");
    raw_says(&f, "w", TLS1_2_VERSION, "protocol version");
    assert_int_equal(f.requests, 1);
    stop(&f);
}

/* Promise: no session ticket is ever sent, so nothing can be resumed or sent early. */
static void ticket_count(void *arg, int out)
{
    const struct raw *r = arg;
    char text[512] = "";
    SSL *ssl = net_kit_connect(r->k, r->port, r->cert, r->version);
    static const char request[] = "POST /v1/msg HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    /* A ticket would come before the answer; not to its end, for an error makes a session not resumable. */
    if (!ssl || SSL_write(ssl, request, sizeof request - 1) <= 0 || SSL_read(ssl, text, sizeof text) <= 0)
        _exit(1);
    dprintf(out, "resumable %d early %u", SSL_SESSION_is_resumable(SSL_get0_session(ssl)),
            SSL_SESSION_get_max_early_data(SSL_get0_session(ssl)));
}

static void nothing_can_be_resumed(void **state)
{
    struct fix f = {.k = *state};
    good_ones(f.k);
    start_server(&f, "a1");
    struct raw r = {f.k, hx_server_net_port(f.server), TLS1_3_VERSION, "w"};
    char *text = net_kit_child(f.k, ticket_count, &r, NULL);
    assert_non_null(text);
    assert_string_equal(text, "resumable 0 early 0");
    assert_int_equal(f.requests, 1);
    free(text);
    stop(&f);
}

/* A server of TLS 1.2, for one connection; nothing but its port is written. */
static void old_server(void *arg, int out)
{
    struct net_kit *k = arg;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_use_certificate_file(ctx, net_kit_path(k, "a1", ".crt"), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(ctx, net_kit_path(k, "a1", ".key"), SSL_FILETYPE_PEM);
    int port, fd = net_kit_listen(&port);
    if (fd < 0)
        _exit(1);
    dprintf(out, "%d\n", port);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, net_kit_accept(fd));
    dprintf(out, "handshake %d\n", SSL_accept(ssl));
}

static void on_old_port(void *arg, const char *text)
{
    struct fix *f = arg;
    struct iovec iov = {(void *)(uintptr_t)"hello", 5};
    if (f->url[0])
        return;
    snprintf(f->url, sizeof f->url, "https://127.0.0.1:%d", atoi(text));
    assert_int_equal(hx_client_post(f->client, f->url, "a1", &iov, 1, 0, on_done, f, NULL), 0);
}

/* Promise: a client does not talk to a server of TLS 1.2, even with a good certificate. */
static void an_old_server_is_refused(void **state)
{
    struct fix f = {.k = *state};
    good_ones(f.k);
    start_client(&f, "w");
    char *text = net_kit_dialogue(f.k, old_server, f.k, on_old_port, &f);
    assert_int_equal(f.err, HX_E_TLS);
    assert_non_null(strstr(text, "handshake -1"));
    free(text);
    stop(&f);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, net_kit_setup, net_kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(good_certificates_are_let_in),
        CASE(a_server_refuses_bad_clients),
        CASE(a_client_refuses_bad_servers),
        CASE(a_kept_connection_serves_its_own_name_only),
        CASE(no_certificate_and_old_tls_are_refused),
        CASE(nothing_can_be_resumed),
        CASE(an_old_server_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
