/*
 * test_conf.c - configuration files, units, names, suggestions (src/sys: ini.c, conf_*.c, text.c).
 * Method: real files in a private directory; the environment is set and unset per case.
 */
#include "hexad/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], path[128];
static char why[HX_WHY_MAX];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/hexad-conf-XXXXXX");
    return mkdtemp(dir) ? snprintf(path, sizeof path, "%s/x.conf", dir) < 0 : -1;
}
static int teardown(void **state)
{
    char cmd[128];
    (void)state;
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd);
}
static void put_as(const char *name, const char *text, size_t len)
{
    char p[256];
    snprintf(p, sizeof p, "%s/%s", dir, name);
    FILE *f = fopen(p, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
}
static void put_text(const char *name, const char *text)
{
    put_as(name, text, strlen(text));
}
static void put(const char *text)
{
    put_text("x.conf", text);
}

#define TLS "[tls]\nca = tls/ca.crt\ncert = /abs/c.crt\nkey = c.key\n"
#define A1 "[servers]\na1 = az-a https://127.0.0.1:9621\n"

/* The file says FRAGMENT-bearing WHY, and nothing is kept. */
static void refused(const char *text, const char *fragment)
{
    struct hx_client_conf c;
    memset(&c, 0xff, sizeof c);
    put(text);
    assert_int_equal(hx_client_conf_load(path, &c, why), HX_E_CONFIG);
    if (!strstr(why, fragment))
        fail_msg("'%s' should contain '%s'", why, fragment);
    assert_null(c.ca);
    assert_null(c.servers);
    assert_int_equal(c.server_count, 0);
}

/* Promise: a good file gives all values; relative paths belong to its directory, absolute ones stay. */
static void a_client_file_gives_servers_and_paths(void **state)
{
    struct hx_client_conf c;
    char expect[200];
    (void)state;
    put("# comment\n" TLS "; comment\n" A1 "b-2 = az_b https://[::1]:443\r\n");
    assert_int_equal(hx_client_conf_load(path, &c, why), 0);
    snprintf(expect, sizeof expect, "%s/tls/ca.crt", dir);
    assert_string_equal(c.ca, expect);
    assert_string_equal(c.cert, "/abs/c.crt");
    assert_int_equal(c.server_count, 2);
    assert_string_equal(c.servers[1].name, "b-2");
    assert_string_equal(c.servers[1].zone, "az_b");
    assert_string_equal(c.servers[1].url, "https://[::1]:443");
    assert_true(hx_uuid_is_zero(&c.servers[0].incarnation));
    hx_client_conf_free(&c);
    assert_null(c.servers);
}

/* Promise: words that mean nothing are refused with file, line and the nearest name. */
static void unknown_words_are_refused_with_line_and_suggestion(void **state)
{
    (void)state;
    refused("[tls]\nca = x\ncrt = y\n", "x.conf:3: unknown key 'crt' in [tls]; is it 'cert'?");
    refused(TLS "[severs]\na = b\n", "x.conf:6: unknown section [severs]; is it 'servers'?");
    refused("ca = x\n", "x.conf:1: 'ca' stands before the first [section]");
    refused("[tls]\nzzzzzzz = y\n", "unknown key 'zzzzzzz' in [tls]");
    refused("[tls]\nnonsense\n", "x.conf:2: neither");
    refused("[tls\nca = x\n", "x.conf:1: neither");
}

/* Promise: a key once more in the same file is refused and both places are named. */
static void a_duplicate_key_is_refused(void **state)
{
    (void)state;
    refused("[tls]\nca = x\n[servers]\n[tls]\nca = y\n", "x.conf:5: 'ca' once more in [tls]; first at ");
    refused(TLS A1 "a1 = az-b https://h:1\n", "x.conf:7: 'a1' once more");
}

/* Promise: an over-long line is refused, not cut; one of the greatest length is taken whole. */
static void a_long_line_is_refused_not_cut(void **state)
{
    char text[1024], value[400];
    struct hx_client_conf c;
    (void)state;
    memset(value, 'v', sizeof value);
    snprintf(text, sizeof text, "[tls]\nca = /%.*s\n", 300, value);
    refused(text, "x.conf:2: line longer than");
    snprintf(text, sizeof text, "[tls]\nca = /%.*s\ncert = c\nkey = k\n" A1, 190, value);
    put(text);
    assert_int_equal(hx_client_conf_load(path, &c, why), 0);
    assert_int_equal(strlen(c.ca), 191);
    hx_client_conf_free(&c);
}

/* Promise: an indented line is a key of its own (libinih would make it part of the value before). */
static void an_indented_line_is_a_line_of_its_own(void **state)
{
    struct hx_client_conf c;
    (void)state;
    put("[tls]\n  ca = a\n\tcert = b\n   key = c\n" A1);
    assert_int_equal(hx_client_conf_load(path, &c, why), 0);
    assert_non_null(strstr(c.cert, "/b"));
    hx_client_conf_free(&c);
}

/* Promise: a NUL byte does not hide the rest of a line. */
static void a_nul_byte_is_refused(void **state)
{
    static const char text[] = "[tls]\nca = a\0b\ncert = c\nkey = k\n" A1;
    struct hx_client_conf c;
    (void)state;
    put_as("x.conf", text, sizeof text - 1);
    assert_int_equal(hx_client_conf_load(path, &c, why), HX_E_CONFIG);
    assert_non_null(strstr(why, "x.conf:2: a NUL byte"));
}

/* Promise: addresses are https with a port and nothing behind it; two servers do not share one. */
static void server_addresses_are_checked(void **state)
{
    static const char *const bad[] = {"http://h:1",   "https://h",     "https://h:0",  "https://h:70000",
                                      "https://h:1/", "https://u@h:1", "https://:443", "h:1", ""};
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(bad); i++) {
        char text[300];
        snprintf(text, sizeof text, TLS "[servers]\na1 = az-a %s\n", bad[i]);
        refused(text, "x.conf:6");
    }
    refused(TLS A1 "a2 = az-a https://127.0.0.1:9621\n", "same address");
    refused(TLS "[servers]\n-x = az-a https://h:1\n", "is not a name");
    refused(TLS, "no server in [servers]");
    refused("[tls]\nca = x\ncert = y\n" A1, "'key' is missing in [tls]");
    refused("[tls]\nca =\n", "x.conf:2: 'ca' has no value");
}

/* Promise: FILE.d/ *.conf override the file in the order of their names, the environment overrides them. */
static void later_sources_override_earlier_ones(void **state)
{
    struct hx_client_conf c;
    char d[128];
    (void)state;
    put(TLS A1);
    snprintf(d, sizeof d, "%s/x.conf.d", dir);
    assert_int_equal(mkdir(d, 0700), 0);
    put_text("x.conf.d/20.conf", "[tls]\nca = /second\n");
    put_text("x.conf.d/10.conf",
             "[tls]\nca = /first\ncert = rel\n[servers]\na1 = az-z https://h:1\nz = z https://z:1\n");
    put_text("x.conf.d/30.conf.bak", "[nonsense\n");
    assert_int_equal(hx_client_conf_load(path, &c, why), 0);
    assert_string_equal(c.ca, "/second");
    assert_non_null(strstr(c.cert, "/x.conf.d/rel"));
    assert_int_equal(c.server_count, 2);
    assert_string_equal(c.servers[0].zone, "az-z");
    hx_client_conf_free(&c);

    setenv("HEXAD_TLS_CA", "/env", 1);
    setenv("HEXAD_SERVERS", "q1 az-q https://q:1,  q2 az-q https://q:2 , q3  az-r  https://q:3", 1);
    assert_int_equal(hx_client_conf_load(path, &c, why), 0);
    assert_string_equal(c.ca, "/env");
    assert_int_equal(c.server_count, 3);
    assert_string_equal(c.servers[2].url, "https://q:3");
    hx_client_conf_free(&c);
    setenv("HEXAD_SERVERS", "q1 az-q", 1);
    assert_int_equal(hx_client_conf_load(path, &c, why), HX_E_CONFIG);
    unsetenv("HEXAD_SERVERS");
    unsetenv("HEXAD_TLS_CA");
}

/* Promise: HEXAD_CONFIG names the file when no path is given; a file that is named must exist. */
static void the_file_is_found(void **state)
{
    struct hx_client_conf c;
    char other[128];
    (void)state;
    put(TLS A1);
    setenv("HEXAD_CONFIG", path, 1);
    assert_int_equal(hx_client_conf_load(NULL, &c, why), 0);
    assert_string_equal(c.path, path);
    hx_client_conf_free(&c);
    snprintf(other, sizeof other, "%s/absent.conf", dir);
    setenv("HEXAD_CONFIG", other, 1);
    assert_int_equal(hx_client_conf_load(NULL, &c, why), HX_E_NOENT);
    assert_non_null(strstr(why, "absent.conf"));
    assert_int_equal(hx_client_conf_load(path, &c, why), 0);
    hx_client_conf_free(&c);
    unsetenv("HEXAD_CONFIG");
}

#define SERVER "[server]\nname = a1\nzone = az-a\nlisten = 127.0.0.1:9621\ndata = data/a1\n"

static void server_refused(const char *text, const char *fragment)
{
    struct hx_segmentd_conf c;
    put(text);
    assert_int_equal(hx_segmentd_conf_load(path, NULL, &c, why), HX_E_CONFIG);
    if (!strstr(why, fragment))
        fail_msg("'%s' should contain '%s'", why, fragment);
    assert_null(c.name);
}

/* Promise: a server's file gives values and defaults; the command line overrides it. */
static void a_server_file_gives_values_and_defaults(void **state)
{
    struct hx_segmentd_conf c;
    const struct hx_segmentd_override over = {.listen = "[::1]:0", .data = "elsewhere"};
    (void)state;
    put(SERVER TLS "[limits]\nidle = 2min\nlog-file = 8MiB\n");
    assert_int_equal(hx_segmentd_conf_load(path, NULL, &c, why), 0);
    assert_string_equal(c.name, "a1");
    assert_non_null(strstr(c.data, "/data/a1"));
    assert_int_equal(c.idle_ms, 120000);
    assert_int_equal(c.log_file_bytes, 8 << 20);
    assert_int_equal(c.connections_max, 1024);
    assert_int_equal(c.gossip_ms, 500);
    assert_int_equal(c.scrub_cycle_s, 14 * 86400);
    assert_int_equal(c.scrub_bytes_per_s, 16 << 20);
    assert_int_equal(c.repair_bytes_per_s, 64 << 20);
    hx_segmentd_conf_free(&c);
    put(SERVER TLS "[limits]\nscrub-cycle = 0s\nscrub-rate = 1MiB\nrepair-rate = 2MiB\n");
    assert_int_equal(hx_segmentd_conf_load(path, &over, &c, why), 0);
    assert_int_equal(c.scrub_cycle_s, 0);
    assert_int_equal(c.scrub_bytes_per_s, 1 << 20);
    assert_int_equal(c.repair_bytes_per_s, 2 << 20);
    assert_string_equal(c.listen, "[::1]:0");
    assert_string_equal(c.data, "elsewhere");
    hx_segmentd_conf_free(&c);
}

/* Promise: numbers without units, out of bounds, and bad names or addresses are refused with file and line. */
static void server_values_are_checked(void **state)
{
    (void)state;
    server_refused(SERVER TLS "[limits]\nidle = 120\n", "x.conf:11: idle = '120': write a time with unit");
    server_refused(SERVER TLS "[limits]\nlog-file = 64\n", "write a size with unit");
    server_refused(SERVER TLS "[limits]\nscrub-cycle = 50d\n", "from 0 to 4233600000 ms");
    server_refused(SERVER TLS "[limits]\nscrub-rate = 1KiB\n", "from 65536 to");
    server_refused(SERVER TLS "[limits]\nlog-file = 1KiB\n", "from 1048576 to");
    server_refused(SERVER TLS "[limits]\nconnections = 5s\n", "write a whole number");
    server_refused(SERVER TLS "[limits]\nconections = 5\n", "is it 'connections'?");
    server_refused("[server]\nname = a1\n" TLS, "'zone' is missing in [server]");
    server_refused("[server]\nname = a/1\nzone = z\nlisten = h:1\ndata = d\n" TLS, "'a/1' is not a name");
    server_refused("[server]\nname = a\nzone = z\nlisten = 9621\ndata = d\n" TLS, "write HOST:PORT");
}

/* Promise: sizes and times need a unit, are exact, and never wrap around. */
static void sizes_and_times_need_units(void **state)
{
    uint64_t v = 7;
    (void)state;
    assert_int_equal(hx_parse_size("64GiB", &v), 0);
    assert_true(v == UINT64_C(64) << 30);
    assert_int_equal(hx_parse_size("10 MB", &v), 0);
    assert_int_equal(v, 10000000);
    assert_int_equal(hx_parse_size("0B", &v), 0);
    assert_int_equal(v, 0);
    static const char *const bad[] = {"64", "GiB", "", "1.5GiB", "-1B", "1gib", "1GiBs", "0x1B", "1 GiB "};
    for (size_t i = 0; i < HX_ARRAY_LEN(bad); i++)
        assert_int_equal(hx_parse_size(bad[i], &v), HX_E_INVAL);
    assert_int_equal(hx_parse_size("16384PiB", &v), HX_E_TOOBIG);
    assert_int_equal(hx_parse_size("18446744073709551616B", &v), HX_E_TOOBIG);
    assert_int_equal(hx_parse_size("99999999999999999999999999B", &v), HX_E_TOOBIG);
    assert_int_equal(v, 0);
    assert_int_equal(hx_parse_time("250ms", &v), 0);
    assert_int_equal(v, 250);
    assert_int_equal(hx_parse_time("1h", &v), 0);
    assert_int_equal(v, 3600000);
    assert_int_equal(hx_parse_time("5", &v), HX_E_INVAL);
    assert_int_equal(hx_parse_time("5m", &v), HX_E_INVAL);
}

/* Promise: what is shown reads well at the borders of units. */
static void sizes_and_times_are_shown(void **state)
{
    char b[24];
    (void)state;
    assert_string_equal(hx_format_size(0, b, sizeof b), "0 B");
    assert_string_equal(hx_format_size(1023, b, sizeof b), "1023 B");
    assert_string_equal(hx_format_size(1024, b, sizeof b), "1.0 KiB");
    assert_string_equal(hx_format_size(UINT64_C(9771050598), b, sizeof b), "9.1 GiB");
    assert_string_equal(hx_format_size(UINT64_MAX, b, sizeof b), "16.0 EiB");
    assert_string_equal(hx_format_time(134000, b, sizeof b), "2m14s");
    assert_string_equal(hx_format_time(59999, b, sizeof b), "59s");
    assert_string_equal(hx_format_time(90000000, b, sizeof b), "1d1h");
    char far[HX_PROGRESS_TEXT];
    assert_string_equal(hx_format_progress(12 << 20, 20 << 20, 3000, far),
                        "[############........] 60%, 12.0 MiB of 20.0 MiB, 4.0 MiB/s, 2s left");
    assert_string_equal(hx_format_progress(0, 20 << 20, 3000, far), "[....................] 0%, 0 B of 20.0 MiB");
    assert_string_equal(hx_format_progress(0, 0, 0, far), "[....................] 0%, 0 B of 0 B");
    assert_string_equal(hx_format_progress(9, 8, 1000, far), "[####################] 100%, 9 B of 8 B");
}

/* Promise: a few slips of the finger find the word; a word of another kind finds none. */
static void the_nearest_name_is_near(void **state)
{
    static const char *const names[] = {"status", "mount", "umount", "create", "cert"};
    (void)state;
    assert_string_equal(hx_nearest("muont", names, 5), "mount");
    assert_string_equal(hx_nearest("statu", names, 5), "status");
    assert_string_equal(hx_nearest("craete", names, 5), "create");
    assert_null(hx_nearest("xyzzy", names, 5));
    assert_null(hx_nearest("", names, 5));
    assert_null(hx_nearest("mount", names, 0));
}

/* Promise: names fit into file names, URLs and certificates. */
static void names_are_plain(void **state)
{
    char longest[HX_NAME_MAX + 2];
    (void)state;
    memset(longest, 'n', sizeof longest);
    longest[HX_NAME_MAX] = '\0';
    assert_true(hx_name_ok(longest));
    longest[HX_NAME_MAX] = 'n';
    longest[HX_NAME_MAX + 1] = '\0';
    assert_false(hx_name_ok(longest));
    assert_true(hx_name_ok("az-b_2.x"));
    static const char *const bad[] = {"", "-a", ".a", "a/b", "a b", "a\n", "\xc3\xa4"};
    for (size_t i = 0; i < HX_ARRAY_LEN(bad); i++)
        assert_false(hx_name_ok(bad[i]));
}

/* Promise: the three lines, with the table's hint or the caller's. */
static void a_complaint_has_three_lines(void **state)
{
    char b[1024];
    (void)state;
    hx_complain_text(HX_E_NO_WRITE_QUORUM, "cannot mount v on /d", "3 of 6 answered (need 4)", NULL, b, sizeof b);
    assert_string_equal(b, "hexad: cannot mount v on /d: write quorum missing: 3 of 6 answered (need 4)\n"
                           "hint:  hexad status VOLUME\n"
                           "see:   HX0104, hexad-errors(7)\n");
    hx_complain_text(HX_E_LOCKED, "w", NULL, "do", b, sizeof b);
    assert_non_null(strstr(b, "hint:  do\n"));
    assert_int_equal(hx_exit_code(HX_E_NO_WRITE_QUORUM), HX_EXIT_NO_WRITE);
    assert_int_equal(hx_exit_code(HX_E_KEY_MODE), HX_EXIT_REFUSED);
    assert_int_equal(hx_exit_code(0), 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_client_file_gives_servers_and_paths),
        CASE(unknown_words_are_refused_with_line_and_suggestion),
        CASE(a_duplicate_key_is_refused),
        CASE(a_long_line_is_refused_not_cut),
        CASE(an_indented_line_is_a_line_of_its_own),
        CASE(a_nul_byte_is_refused),
        CASE(server_addresses_are_checked),
        CASE(later_sources_override_earlier_ones),
        CASE(the_file_is_found),
        CASE(a_server_file_gives_values_and_defaults),
        CASE(server_values_are_checked),
        CASE(sizes_and_times_need_units),
        CASE(sizes_and_times_are_shown),
        CASE(the_nearest_name_is_near),
        CASE(names_are_plain),
        CASE(a_complaint_has_three_lines),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
