/*
 * test_cert.c - making, showing and loading certificates.
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

static mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static void read_file(const char *path, char text[4096])
{
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    size_t n = fread(text, 1, 4095, f);
    text[n] = '\0';
    fclose(f);
}

/* Promise: a certificate is readable by all and its key by the owner only, whatever the umask. */
static void keys_are_private_and_certificates_public(void **state)
{
    struct net_kit *k = *state;
    mode_t before = umask(077);
    net_kit_cert(k, HX_ROLE_SEGMENT, "tight");
    umask(0);
    net_kit_cert(k, HX_ROLE_SEGMENT, "loose");
    umask(before);
    assert_int_equal(mode_of(net_kit_path(k, "tight", ".crt")), 0644);
    assert_int_equal(mode_of(net_kit_path(k, "tight", ".key")), 0600);
    assert_int_equal(mode_of(net_kit_path(k, "loose", ".crt")), 0644);
    assert_int_equal(mode_of(net_kit_path(k, "loose", ".key")), 0600);
    assert_int_equal(mode_of(net_kit_path(k, "ca", ".key")), 0600);
}

/* Promise: neither a certificate nor a key is ever overwritten, and a refusal leaves nothing behind. */
static void nothing_is_overwritten(void **state)
{
    struct net_kit *k = *state;
    char why[256] = "", old[4096], now[4096];
    net_kit_cert(k, HX_ROLE_WRITER, "w");
    read_file(net_kit_path(k, "w", ".key"), old);
    assert_int_equal(hx_cert_create(net_kit_path(k, "ca", ".crt"), net_kit_path(k, "ca", ".key"),
                                    net_kit_path(k, "w", ""), HX_ROLE_WRITER, "w", NULL, 7, why), HX_E_EXIST);
    assert_non_null(strstr(why, "w.crt"));
    assert_int_equal(hx_cert_create_ca(net_kit_path(k, "ca", ""), "CA", 7, why), HX_E_EXIST);
    assert_int_equal(unlink(net_kit_path(k, "w", ".crt")), 0);
    assert_int_equal(hx_cert_create(net_kit_path(k, "ca", ".crt"), net_kit_path(k, "ca", ".key"),
                                    net_kit_path(k, "w", ""), HX_ROLE_WRITER, "w", NULL, 7, why), HX_E_EXIST);
    assert_non_null(strstr(why, "w.key"));
    assert_int_not_equal(access(net_kit_path(k, "w", ".crt"), F_OK), 0);
    read_file(net_kit_path(k, "w", ".key"), now);
    assert_string_equal(old, now);
}

/* Promise: a certificate shows role, name, hosts, validity, issuer and fingerprint. */
static void show_names_everything(void **state)
{
    struct net_kit *k = *state;
    char why[256] = "", text[4096];
    assert_int_equal(hx_cert_create(net_kit_path(k, "ca", ".crt"), net_kit_path(k, "ca", ".key"),
                                    net_kit_path(k, "s", ""), HX_ROLE_SEGMENT, "a-1.b_2",
                                    "db1.example.org, 10.0.0.1,::1", 7, why), 0);
    assert_int_equal(hx_cert_show(net_kit_path(k, "s", ".crt"), text, sizeof text), 0);
    static const char *const want[] = {"segment", "a-1.b_2", "URI:hexad://segment/a-1.b_2", "DNS:db1.example.org",
                                       "IP Address:10.0.0.1", "valid until", "test CA", "sha256"};
    for (size_t i = 0; i < HX_ARRAY_LEN(want); i++)
        if (!strstr(text, want[i]))
            fail_msg("%s is missing in:\n%s", want[i], text);
    assert_null(strstr(text, "EXPIRED"));
    assert_int_equal(hx_cert_show(net_kit_path(k, "ca", ".crt"), text, sizeof text), 0);
    assert_non_null(strstr(text, "CA"));
    assert_int_equal(hx_cert_show(net_kit_path(k, "s", ".crt"), text, 20), HX_E_TOOBIG);
    assert_int_equal(hx_cert_show(net_kit_path(k, "none", ".crt"), text, sizeof text), HX_E_NOENT);
    assert_int_equal(hx_cert_show(net_kit_path(k, "s", ".key"), text, sizeof text), HX_E_TLS);
}

/* Promise: an expired certificate and one of the future say so when shown. */
static void show_says_expired(void **state)
{
    struct net_kit *k = *state;
    char text[4096];
    net_kit_forge(k, &(struct net_kit_forgery){"old", "ca", {"hexad://writer/w"}, "clientAuth", -9000, -60});
    net_kit_forge(k, &(struct net_kit_forgery){"new", "ca", {"hexad://writer/w"}, "clientAuth", 3600, 9000});
    assert_int_equal(hx_cert_show(net_kit_path(k, "old", ".crt"), text, sizeof text), 0);
    assert_non_null(strstr(text, "EXPIRED"));
    assert_int_equal(hx_cert_show(net_kit_path(k, "new", ".crt"), text, sizeof text), 0);
    assert_non_null(strstr(text, "NOT YET"));
}

/* Promise: names, roles and days that are not allowed are refused before a file exists. */
static void bad_requests_are_refused(void **state)
{
    struct net_kit *k = *state;
    char why[256], longest[HX_NAME_MAX + 2];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    const char *bad[] = {"", "a/b", "a b", ".a", "-a", "a\n", "\xc3\xa4", longest};
    const char *ca = net_kit_path(k, "ca", ".crt"), *key = net_kit_path(k, "ca", ".key");
    for (size_t i = 0; i < HX_ARRAY_LEN(bad); i++)
        assert_int_equal(hx_cert_create(ca, key, net_kit_path(k, "x", ""), HX_ROLE_ADMIN, bad[i], NULL, 7, why),
                         HX_E_INVAL);
    ca = net_kit_path(k, "ca", ".crt"), key = net_kit_path(k, "ca", ".key");
    assert_int_equal(hx_cert_create(ca, key, net_kit_path(k, "x", ""), HX_ROLE_NONE, "x", NULL, 7, why), HX_E_INVAL);
    assert_int_equal(hx_cert_create(ca, key, net_kit_path(k, "x", ""), HX_ROLE_ADMIN, "x", NULL, 0, why), HX_E_INVAL);
    assert_int_not_equal(access(net_kit_path(k, "x", ".crt"), F_OK), 0);
    longest[HX_NAME_MAX] = '\0'; /* 63 bytes are fine */
    ca = net_kit_path(k, "ca", ".crt"), key = net_kit_path(k, "ca", ".key");
    assert_int_equal(hx_cert_create(ca, key, net_kit_path(k, "x", ""), HX_ROLE_ADMIN, longest, NULL, 7, why), 0);
}

/* Promise: only a CA signs: an end certificate, or a key of another CA, is refused. */
static void only_a_ca_signs(void **state)
{
    struct net_kit *k = *state;
    char why[256] = "";
    net_kit_cert(k, HX_ROLE_ADMIN, "adm");
    assert_int_equal(hx_cert_create(net_kit_path(k, "adm", ".crt"), net_kit_path(k, "adm", ".key"),
                                    net_kit_path(k, "x", ""), HX_ROLE_WRITER, "x", NULL, 7, why), HX_E_TLS);
    assert_int_equal(hx_cert_create(net_kit_path(k, "ca", ".crt"), net_kit_path(k, "other", ".key"),
                                    net_kit_path(k, "x", ""), HX_ROLE_WRITER, "x", NULL, 7, why), HX_E_TLS);
    assert_non_null(strstr(why, "not the certificate and key of a CA"));
}

static int check(struct net_kit *k, const char *ca, const char *crt, const char *key, char why[256])
{
    struct hx_tls_cfg cfg = {net_kit_path(k, ca, ""), net_kit_path(k, crt, ""), net_kit_path(k, key, "")};
    return hx_tls_check(&cfg, why);
}

/* Promise: the check before a start finds each fault of the three files, and names the file. */
static void the_check_before_a_start_finds_what_is_wrong(void **state)
{
    struct net_kit *k = *state;
    char why[256];
    net_kit_cert(k, HX_ROLE_WRITER, "w");
    net_kit_cert(k, HX_ROLE_WRITER, "v");
    net_kit_forge(k, &(struct net_kit_forgery){"old", "ca", {"hexad://writer/w"}, "clientAuth", -9000, -60});
    net_kit_forge(k, &(struct net_kit_forgery){"odd", "ca", {"hexad://pirate/w"}, "clientAuth", -9000, 9000});
    assert_int_equal(check(k, "ca.crt", "w.crt", "w.key", why), 0);
    assert_int_equal(check(k, "ca.crt", "w.crt", "v.key", why), HX_E_TLS);
    assert_non_null(strstr(why, "v.key does not belong"));
    assert_int_equal(check(k, "no.crt", "w.crt", "w.key", why), HX_E_NOENT);
    assert_non_null(strstr(why, "no.crt"));
    assert_int_equal(check(k, "ca.key", "w.crt", "w.key", why), HX_E_TLS);
    assert_int_equal(check(k, "ca.crt", "w.key", "w.key", why), HX_E_TLS);
    assert_int_equal(check(k, "other.crt", "w.crt", "w.key", why), HX_E_TLS);
    assert_non_null(strstr(why, "another CA"));
    assert_int_equal(check(k, "ca.crt", "old.crt", "old.key", why), HX_E_TLS);
    assert_non_null(strstr(why, "expired"));
    assert_int_equal(check(k, "ca.crt", "odd.crt", "odd.key", why), HX_E_TLS);
    assert_non_null(strstr(why, "role"));
}

/* Promise: a key that anybody else could read is refused, by the check, the client and the server. */
static void a_key_that_others_can_read_is_refused(void **state)
{
    struct net_kit *k = *state;
    char why[256] = "";
    net_kit_cert(k, HX_ROLE_SEGMENT, "a1");
    struct hx_tls_cfg tls = net_kit_tls(k, "a1");
    static const mode_t bad[] = {0640, 0604, 0620, 0601};
    struct hx_client *c;
    struct hx_server_net *s;
    struct hx_server_cfg cfg = {.listen = "127.0.0.1:0", .tls = tls, .body_max = 1};
    for (size_t i = 0; i < HX_ARRAY_LEN(bad); i++) {
        assert_int_equal(chmod(tls.key_file, bad[i]), 0);
        assert_int_equal(hx_tls_check(&tls, why), HX_E_KEY_MODE);
        assert_non_null(strstr(why, "a1.key"));
        assert_int_equal(hx_client_new(k->loop, &tls, &c, why), HX_E_KEY_MODE);
        assert_int_equal(hx_server_net_new(k->loop, &cfg, &s, why), HX_E_KEY_MODE);
    }
    assert_int_equal(chmod(tls.key_file, 0400), 0);
    assert_int_equal(hx_tls_check(&tls, why), 0);
}

/* Promise: roles and their names map both ways. */
static void roles_have_names(void **state)
{
    (void)state;
    enum hx_role role;
    for (unsigned r = 1; r <= 8; r *= 2) {
        assert_int_equal(hx_role_parse(hx_role_name((enum hx_role)r), &role), 0);
        assert_int_equal(role, r);
    }
    assert_int_equal(hx_role_parse("none", &role), HX_E_INVAL);
    assert_int_equal(hx_role_parse("Writer", &role), HX_E_INVAL);
    assert_int_equal(hx_role_parse("", &role), HX_E_INVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_are_private_and_certificates_public, net_kit_setup, net_kit_teardown),
        cmocka_unit_test_setup_teardown(nothing_is_overwritten, net_kit_setup, net_kit_teardown),
        cmocka_unit_test_setup_teardown(show_names_everything, net_kit_setup, net_kit_teardown),
        cmocka_unit_test_setup_teardown(show_says_expired, net_kit_setup, net_kit_teardown),
        cmocka_unit_test_setup_teardown(bad_requests_are_refused, net_kit_setup, net_kit_teardown),
        cmocka_unit_test_setup_teardown(only_a_ca_signs, net_kit_setup, net_kit_teardown),
        cmocka_unit_test_setup_teardown(the_check_before_a_start_finds_what_is_wrong, net_kit_setup, net_kit_teardown),
        cmocka_unit_test_setup_teardown(a_key_that_others_can_read_is_refused, net_kit_setup, net_kit_teardown),
        cmocka_unit_test(roles_have_names),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("cert", tests, NULL, NULL);
}
