/*
 * test_renew.c - certificates that change while client and server run: what is taken into use, what is refused, and
 * what happens to connections meanwhile.
 *
 * Method: a server and a client in one loop, each with a renewal and files of its own.  Which certificate is
 * presented is seen by who still believes it: a client that trusts only one of two authorities.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../lib/net_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY 86400

struct end { /* one of the two */
    struct fix *f;
    struct hx_tls_cfg tls;
    struct hx_renewal *renewal;
    int told[HX_RENEWAL_DUE + 1];
    char text[256];
};
struct fix {
    struct net_kit *k;
    char path[6][256];
    struct end s, c;
    struct hx_server_net *server;
    struct hx_client *client;
    char url[64];
    int err;
    char why[600];
    uint64_t last_conn;
    bool stop_on_news;
};

static void on_request(void *ctx, struct hx_request *r, uint64_t conn, const struct hx_peer *peer, struct hx_bytes body)
{
    struct fix *f = ctx;
    (void)peer;
    f->last_conn = conn;
    hx_request_reply(r, body);
}

static void on_news(void *ctx, enum hx_renewal_news news, const char *text)
{
    struct end *e = ctx;
    e->told[news]++;
    snprintf(e->text, sizeof e->text, "%s", text);
    if (e->f->stop_on_news)
        hx_loop_stop(e->f->k->loop);
}

/* ---- files ---- */
static void copy(struct net_kit *k, const char *from, const char *to, bool append)
{
    char buf[8192];
    FILE *a = fopen(net_kit_path(k, from, ""), "re"), *b = fopen(net_kit_path(k, to, ""), append ? "ae" : "we");
    assert_true(a && b);
    size_t n = fread(buf, 1, sizeof buf, a);
    assert_true(n > 0 && n < sizeof buf);
    assert_int_equal(fwrite(buf, 1, n, b), n);
    fclose(a);
    assert_int_equal(fclose(b), 0);
    if (strstr(to, ".key"))
        assert_int_equal(chmod(net_kit_path(k, to, ""), 0600), 0);
}

/* A certificate for NAME by the authority CA, into OUT.crt and OUT.key in place of what is there. */
static void issue(struct net_kit *k, const char *ca, enum hx_role role, const char *name, const char *out, int days)
{
    char why[256] = "";
    unlink(net_kit_path(k, out, ".crt"));
    unlink(net_kit_path(k, out, ".key"));
    if (hx_cert_create(net_kit_path(k, ca, ".crt"), net_kit_path(k, ca, ".key"), net_kit_path(k, out, ""), role, name,
                       NULL, days, why))
        fail_msg("certificate %s: %s", out, why);
}

static void end_start(struct fix *f, struct end *e, bool server, char path[3][256], const char *name, uint32_t look_ms)
{
    char why[256] = "";
    snprintf(path[0], 256, "%s", net_kit_path(f->k, server ? "trust-s" : "trust-c", ".crt"));
    snprintf(path[1], 256, "%s", net_kit_path(f->k, name, ".crt"));
    snprintf(path[2], 256, "%s", net_kit_path(f->k, name, ".key"));
    e->f = f;
    e->tls = (struct hx_tls_cfg){path[0], path[1], path[2]};
    struct hx_server_cfg cfg = {.listen = "127.0.0.1:0", .tls = e->tls, .body_max = 1024, .request = on_request,
                                .ctx = f};
    if (server ? hx_server_net_new(f->k->loop, &cfg, &f->server, why)
               : hx_client_new(f->k->loop, &e->tls, &f->client, why))
        fail_msg("%s: %s", name, why);
    struct hx_renewal_cfg rc = {.client = server ? NULL : f->client, .server = server ? f->server : NULL,
                                .look_ms = look_ms, .tell = on_news, .ctx = e};
    if (hx_renewal_new(f->k->loop, &e->tls, &rc, &e->renewal, why))
        fail_msg("renewal of %s: %s", name, why);
}

static void start(struct fix *f, struct net_kit *k, uint32_t look_ms)
{
    *f = (struct fix){.k = k};
    copy(k, "ca.crt", "trust-s.crt", false);
    copy(k, "ca.crt", "trust-c.crt", false);
    issue(k, "ca", HX_ROLE_SEGMENT, "a1", "a1", 90);
    issue(k, "ca", HX_ROLE_WRITER, "w", "w", 90);
    end_start(f, &f->s, true, f->path, "a1", look_ms);
    end_start(f, &f->c, false, f->path + 3, "w", look_ms);
    snprintf(f->url, sizeof f->url, "https://127.0.0.1:%d", hx_server_net_port(f->server));
}

static void stop(struct fix *f)
{
    hx_renewal_free(f->s.renewal);
    hx_renewal_free(f->c.renewal);
    hx_client_free(f->client);
    hx_server_net_free(f->server);
}

static void on_done(void *ctx, int err, struct hx_bytes body)
{
    struct fix *f = ctx;
    (void)body;
    f->err = err;
    hx_loop_stop(f->k->loop);
}

static int post(struct fix *f, struct hx_client *c)
{
    struct iovec iov = {(void *)(uintptr_t)"hello", 5};
    bool stops = f->stop_on_news;
    f->stop_on_news = false;
    assert_int_equal(hx_client_post(c, f->url, "a1", &iov, 1, 0, on_done, f, NULL), 0);
    net_kit_run(f->k);
    snprintf(f->why, sizeof f->why, "%s", f->err ? hx_client_why(c) : "");
    f->stop_on_news = stops;
    return f->err;
}

/* A request of somebody who comes now, with the certificate CERT and TRUST as his authorities. */
static int post_as(struct fix *f, const char *trust, const char *cert)
{
    char why[256] = "";
    struct hx_client *c;
    struct hx_tls_cfg tls = {net_kit_path(f->k, trust, ".crt"), net_kit_path(f->k, cert, ".crt"),
                             net_kit_path(f->k, cert, ".key")};
    if (hx_client_new(f->k->loop, &tls, &c, why))
        fail_msg("client: %s", why);
    int err = post(f, c);
    hx_client_free(c);
    return err;
}

static void taken(struct end *e)
{
    int before = e->told[HX_RENEWAL_TAKEN];
    hx_renewal_look(e->renewal);
    if (e->told[HX_RENEWAL_TAKEN] != before + 1)
        fail_msg("not taken: %s", e->text);
}

/* Promise: an authority is replaced, by way of both, with everybody's certificates; connections that there are go on,
 * each new one uses the new ones, and at the end the old authority's are refused. */
static void an_authority_is_replaced(void **state)
{
    struct net_kit *k = *state;
    struct fix f;
    start(&f, k, 0);
    issue(k, "ca", HX_ROLE_WRITER, "w", "oldest", 90);
    issue(k, "other", HX_ROLE_WRITER, "w", "newest", 90);
    assert_int_equal(post(&f, f.client), 0);
    uint64_t kept = f.last_conn;
    assert_int_equal(post_as(&f, "trust-c", "newest"), HX_E_TLS); /* not yet */
    copy(k, "other.crt", "trust-s.crt", true);
    copy(k, "other.crt", "trust-c.crt", true);
    taken(&f.s);
    taken(&f.c);
    assert_int_equal(post_as(&f, "ca", "newest"), 0); /* both count; and the server still has the old one */
    assert_int_equal(post_as(&f, "ca", "oldest"), 0);
    issue(k, "other", HX_ROLE_SEGMENT, "a1", "a1", 90);
    taken(&f.s);
    assert_int_equal(post_as(&f, "ca", "oldest"), HX_E_TLS);
    assert_non_null(strstr(f.why, "another CA"));
    assert_int_equal(post_as(&f, "other", "newest"), 0);
    issue(k, "other", HX_ROLE_WRITER, "w", "w", 90);
    taken(&f.c);
    copy(k, "other.crt", "trust-s.crt", false);
    copy(k, "other.crt", "trust-c.crt", false);
    taken(&f.s);
    taken(&f.c);
    assert_int_equal(post(&f, f.client), 0);
    assert_int_equal(f.last_conn, kept); /* all the time the same connection */
    assert_int_equal(post_as(&f, "other", "newest"), 0);
    assert_int_equal(post_as(&f, "other", "oldest"), HX_E_TLS);
    assert_non_null(strstr(f.why, "refuses our certificate"));
    hx_renewal_free(f.s.renewal); /* the server ends: the client's next connection is a new one */
    hx_server_net_free(f.server);
    end_start(&f, &f.s, true, f.path, "a1", 0);
    snprintf(f.url, sizeof f.url, "https://127.0.0.1:%d", hx_server_net_port(f.server));
    assert_int_equal(post(&f, f.client), 0); /* with the new authority's */
    stop(&f);
}

/* ---- what cannot be used ---- */
static void cut(struct net_kit *k, const char *name)
{
    struct stat st;
    assert_int_equal(stat(net_kit_path(k, name, ""), &st), 0);
    assert_int_equal(truncate(net_kit_path(k, name, ""), st.st_size / 2), 0);
}

static void other_key(struct net_kit *k) { copy(k, "spare.key", "a1.key", false); }
static void half_certificate(struct net_kit *k) { cut(k, "a1.crt"); }
static void half_key(struct net_kit *k) { cut(k, "a1.key"); }
static void no_certificate(struct net_kit *k) { assert_int_equal(unlink(net_kit_path(k, "a1", ".crt")), 0); }
static void open_key(struct net_kit *k) { assert_int_equal(chmod(net_kit_path(k, "a1", ".key"), 0644), 0); }
static void other_name(struct net_kit *k) { issue(k, "ca", HX_ROLE_SEGMENT, "a2", "a1", 90); }
static void other_role(struct net_kit *k) { issue(k, "ca", HX_ROLE_ADMIN, "a1", "a1", 90); }
static void other_authority(struct net_kit *k) { issue(k, "other", HX_ROLE_SEGMENT, "a1", "a1", 90); }
static void expired(struct net_kit *k)
{
    net_kit_forge(k, &(struct net_kit_forgery){"a1", "ca", {"hexad://segment/a1"}, "serverAuth,clientAuth", -2 * DAY,
                                               -60});
}
static void half_second_authority(struct net_kit *k)
{
    copy(k, "other.crt", "half.crt", false);
    cut(k, "half.crt");
    copy(k, "half.crt", "trust-s.crt", true);
}

/* Promise: what does not fit together, is half there, has expired or is somebody else's is refused with the reason,
 * said once; the server goes on with what it had, and takes what is sound as soon as it is there. */
static void unsound_files_are_refused(void **state)
{
    static const struct {
        const char *name;
        void (*spoil)(struct net_kit *k);
        const char *why;
    } cases[] = {
        {"a key of another pair", other_key, "does not belong"},
        {"half a certificate", half_certificate, "a1.crt"},
        {"half a key", half_key, "a1.key"},
        {"no certificate", no_certificate, "No such file"},
        {"a key that others can read", open_key, "others can read it"},
        {"another name", other_name, "is for hexad://segment/a2, not for hexad://segment/a1"},
        {"another role", other_role, "is for hexad://admin/a1, not for hexad://segment/a1"},
        {"another authority", other_authority, "another CA"},
        {"an expired one", expired, "expired"},
        {"half of a second authority", half_second_authority, "trust-s.crt"},
    };
    struct net_kit *k = *state;
    for (size_t i = 0; i < HX_ARRAY_LEN(cases); i++) {
        struct fix f;
        start(&f, k, 0);
        issue(k, "ca", HX_ROLE_SEGMENT, "a1", "spare", 90);
        cases[i].spoil(k);
        hx_renewal_look(f.s.renewal);
        if (f.s.told[HX_RENEWAL_REFUSED] != 1 || f.s.told[HX_RENEWAL_TAKEN] || !strstr(f.s.text, cases[i].why))
            fail_msg("%s: refused %d times, taken %d times, says: %s", cases[i].name, f.s.told[HX_RENEWAL_REFUSED],
                     f.s.told[HX_RENEWAL_TAKEN], f.s.text);
        if (post_as(&f, "ca", "w"))
            fail_msg("%s: a new connection: %s", cases[i].name, f.why);
        copy(k, "ca.crt", "trust-s.crt", false);
        issue(k, "ca", HX_ROLE_SEGMENT, "a1", "a1", 90);
        taken(&f.s);
        assert_int_equal(post_as(&f, "ca", "w"), 0);
        stop(&f);
    }
}

/* Promise: nobody has to ask: changed files are noticed, sound ones taken, and a refusal is told once for one state of
 * the files, and not before it has lasted for two looks. */
static void files_are_looked_at(void **state)
{
    struct net_kit *k = *state;
    struct fix f;
    start(&f, k, 5);
    f.stop_on_news = true;
    issue(k, "ca", HX_ROLE_SEGMENT, "a1", "a1", 90);
    net_kit_run(k);
    assert_int_equal(f.s.told[HX_RENEWAL_TAKEN], 1);
    other_name(k);
    net_kit_run(k);
    assert_int_equal(f.s.told[HX_RENEWAL_REFUSED], 1);
    issue(k, "ca", HX_ROLE_WRITER, "w", "w", 90); /* many looks of the server pass until the client has taken it */
    net_kit_run(k);
    assert_int_equal(f.c.told[HX_RENEWAL_TAKEN], 1);
    assert_int_equal(f.s.told[HX_RENEWAL_REFUSED], 1);
    issue(k, "ca", HX_ROLE_SEGMENT, "a1", "a1", 90);
    net_kit_run(k);
    assert_int_equal(f.s.told[HX_RENEWAL_TAKEN], 2);
    assert_int_equal(f.c.told[HX_RENEWAL_REFUSED], 0);
    stop(&f);
}

/* Promise: a certificate that ends within two weeks is named when it comes into use, with the days that are left. */
static void the_end_is_told_before(void **state)
{
    struct net_kit *k = *state;
    struct fix f;
    start(&f, k, 0);
    hx_renewal_look(f.s.renewal);
    assert_int_equal(f.s.told[HX_RENEWAL_DUE], 0);
    issue(k, "ca", HX_ROLE_SEGMENT, "a1", "a1", 13);
    hx_renewal_look(f.s.renewal);
    assert_int_equal(f.s.told[HX_RENEWAL_DUE], 1);
    assert_true(strstr(f.s.text, "a1.crt ends in 12 days") || strstr(f.s.text, "a1.crt ends in 13 days"));
    assert_true(hx_cert_days_left(0) < 0);
    stop(&f);
}

/* Promise: renewing keeps key, identity, hosts and rights, and the result is a pair that is sound; what is no
 * certificate of a server or client is refused, and left as it was. */
static void a_certificate_is_renewed(void **state)
{
    struct net_kit *k = *state;
    char why[256] = "", text[4096], again[4096];
    int64_t end = 0, later = 0;
    char ca[256], key[256], crt[256];
    snprintf(ca, sizeof ca, "%s", net_kit_path(k, "ca", ".crt"));
    snprintf(key, sizeof key, "%s", net_kit_path(k, "ca", ".key"));
    snprintf(crt, sizeof crt, "%s", net_kit_path(k, "s", ".crt"));
    assert_int_equal(hx_cert_create(ca, key, net_kit_path(k, "s", ""), HX_ROLE_SEGMENT, "s", "db1.example.org,10.0.0.1",
                                    7, why), 0);
    assert_int_equal(hx_cert_end(crt, &end, why), 0);
    assert_int_equal(chmod(crt, 0640), 0);
    assert_int_equal(hx_cert_show(crt, text, sizeof text), 0);
    assert_int_equal(hx_cert_renew(ca, key, crt, 30, why), 0);
    assert_int_equal(hx_cert_end(crt, &later, why), 0);
    assert_true(later - end >= 22 * DAY && later - end <= 24 * DAY);
    assert_int_equal(hx_cert_show(crt, again, sizeof again), 0);
    assert_string_not_equal(text, again);
    static const char *const want[] = {"hexad://segment/s", "DNS:db1.example.org", "IP Address:10.0.0.1"};
    for (size_t i = 0; i < HX_ARRAY_LEN(want); i++)
        assert_non_null(strstr(again, want[i]));
    struct hx_tls_cfg tls = {ca, crt, net_kit_path(k, "s", ".key")};
    if (hx_tls_check(&tls, why))
        fail_msg("%s", why);
    struct stat st;
    assert_int_equal(stat(crt, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(hx_cert_renew(ca, key, net_kit_path(k, "other", ".crt"), 30, why), HX_E_TLS);
    assert_int_equal(hx_cert_renew(crt, tls.key_file, crt, 30, why), HX_E_TLS);
    assert_int_equal(hx_cert_renew(ca, key, net_kit_path(k, "none", ".crt"), 30, why), HX_E_NOENT);
    assert_int_equal(hx_cert_renew(ca, key, crt, 0, why), HX_E_INVAL);
    assert_int_equal(hx_cert_show(crt, text, sizeof text), 0);
    assert_string_equal(text, again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_authority_is_replaced, net_kit_setup, net_kit_teardown),
        cmocka_unit_test_setup_teardown(unsound_files_are_refused, net_kit_setup, net_kit_teardown),
        cmocka_unit_test_setup_teardown(files_are_looked_at, net_kit_setup, net_kit_teardown),
        cmocka_unit_test_setup_teardown(the_end_is_told_before, net_kit_setup, net_kit_teardown),
        cmocka_unit_test_setup_teardown(a_certificate_is_renewed, net_kit_setup, net_kit_teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("renew", tests, NULL, NULL);
}
