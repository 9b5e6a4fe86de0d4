/*
 * test_geometry.c - placement, checks and bytes of a volume's geometry.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hexad/geometry.h"
#include "hexad/place.h"

#include <stdio.h>

static void make(struct hx_geometry *g, unsigned zones, unsigned per_zone)
{
    *g = (struct hx_geometry){.pg_bytes = 1 << 20, .lal = 100, .epoch = {1}};
    memset(g->volume.b, 7, sizeof g->volume.b);
    strcpy(g->name, "vol0");
    for (unsigned z = 0; z < zones; z++)
        for (unsigned k = 0; k < per_zone; k++) {
            struct hx_server s = {0};
            snprintf(s.name, sizeof s.name, "%c%u", (int)('a' + z), k + 1);
            snprintf(s.zone, sizeof s.zone, "az-%c", (int)('a' + z));
            snprintf(s.url, sizeof s.url, "https://127.0.0.1:%u", 9000 + 10 * z + k);
            assert_int_equal(hx_geometry_add_server(g, &s), 0);
        }
}

/* Promise: every PG has two servers of each of three zones, and over many PGs no server of the fleet holds
 * two segments more than another of its zone.  Fleets of 3 to 5 zones, 2 to 5 servers each. */
static void placement_is_two_by_three_and_even(void **state)
{
    (void)state;
    for (unsigned zones = 3; zones <= 5; zones++)
        for (unsigned per = 2; per <= 5; per++) {
            struct hx_geometry g;
            make(&g, zones, per);
            unsigned load[25] = {0};
            for (unsigned i = 0; i < 60; i++) {
                struct hx_pg_members m;
                assert_int_equal(hx_place_group(&g, NULL, &m), 0);
                for (unsigned z = 0; z < 3; z++) {
                    const char *a = g.servers[m.server[2 * z]].zone;
                    assert_string_equal(a, g.servers[m.server[2 * z + 1]].zone);
                    for (unsigned y = 0; y < z; y++)
                        assert_string_not_equal(a, g.servers[m.server[2 * y]].zone);
                }
                for (unsigned k = 0; k < 6; k++)
                    load[m.server[k]]++;
                assert_int_equal(hx_geometry_add_pg(&g, &m), 0);
            }
            unsigned low = 1000, high = 0;
            for (unsigned i = 0; i < zones * per; i++) {
                low = load[i] < low ? load[i] : low;
                high = load[i] > high ? load[i] : high;
            }
            assert_true(high - low <= 2);
            assert_int_equal(g.g, 60);
            assert_int_equal(hx_geometry_check(&g), 0);
            hx_geometry_fini(&g);
        }
}

/* Promise: without three zones of two servers nothing is placed. */
static void too_few_zones_are_refused(void **state)
{
    (void)state;
    struct hx_geometry g;
    struct hx_pg_members m;
    make(&g, 2, 6);
    assert_int_equal(hx_place_group(&g, NULL, &m), HX_E_INVAL);
    hx_geometry_fini(&g);
    make(&g, 6, 1);
    assert_int_equal(hx_place_group(&g, NULL, &m), HX_E_INVAL);
    hx_geometry_fini(&g);
}

/* Promise: bytes and geometry are the same thing; every truncation and every member out of range is refused. */
static void encoding_round_trip(void **state)
{
    (void)state;
    struct hx_geometry g, h = {0};
    struct hx_pg_members m;
    uint8_t buf[2048];
    make(&g, 3, 2);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(hx_place_group(&g, NULL, &m), 0);
        assert_int_equal(hx_geometry_add_pg(&g, &m), 0);
    }
    struct hx_enc e = hx_enc_init(buf, sizeof buf);
    hx_geometry_encode(&g, &e);
    assert_int_equal(e.err, 0);
    assert_int_equal(e.len, hx_geometry_encoded_len(&g));
    struct hx_dec d = hx_dec_init(buf, e.len);
    assert_int_equal(hx_geometry_decode(&h, &d), 0);
    assert_int_equal(hx_dec_end(&d), 0);
    assert_int_equal(hx_geometry_compare(&g, &h), 0);
    assert_int_equal(h.pg_count, 3);
    assert_string_equal(h.servers[4].name, "c1");
    for (size_t len = 0; len < e.len; len++) {
        d = hx_dec_init(buf, len);
        assert_true(hx_geometry_decode(&h, &d) < 0);
    }
    hx_put_u16(buf + e.len - 2, 6);
    d = hx_dec_init(buf, e.len);
    assert_int_equal(hx_geometry_decode(&h, &d), HX_E_BADMSG);
    assert_int_equal(h.pg_count, 3);
    hx_geometry_fini(&g);
    hx_geometry_fini(&h);
}

/* Promise: versions order by epoch first, so that a fenced writer's leftover never outranks its successor's. */
static void versions_order_by_epoch_first(void **state)
{
    (void)state;
    struct hx_geometry a = {.epoch = {2}, .g = 1, .m = 0}, b = {.epoch = {1}, .g = 9, .m = 9};
    assert_true(hx_geometry_compare(&a, &b) > 0);
    b.epoch = a.epoch;
    assert_true(hx_geometry_compare(&a, &b) < 0);
    b.g = 1;
    assert_true(hx_geometry_compare(&a, &b) < 0);
    b.m = 0;
    assert_true(hx_geometry_compare(&a, &b) == 0);
}

/* Promise: geometries are equal only when everything is: one version has one content (I9). */
static void every_field_tells_two_geometries_apart(void **state)
{
    (void)state;
    struct hx_geometry a, b = {0};
    struct hx_pg_members m;
    make(&a, 3, 2);
    assert_int_equal(hx_place_group(&a, NULL, &m), 0);
    assert_int_equal(hx_geometry_add_pg(&a, &m), 0);
#define DIFFERS(change)                                 \
    do {                                                \
        assert_int_equal(hx_geometry_copy(&b, &a), 0);  \
        assert_true(hx_geometry_equal(&a, &b));         \
        change;                                         \
        assert_false(hx_geometry_equal(&a, &b));        \
    } while (0)
    DIFFERS(b.epoch.v++);
    DIFFERS(b.g++);
    DIFFERS(b.m++);
    DIFFERS(b.volume.b[3]++);
    DIFFERS(b.name[0]++);
    DIFFERS(b.pg_bytes++);
    DIFFERS(b.lal++);
    DIFFERS(b.created_us++);
    DIFFERS(b.server_count--);
    DIFFERS(b.pg_count--);
    DIFFERS(b.servers[2].name[0]++);
    DIFFERS(b.servers[2].zone[0]++);
    DIFFERS(b.servers[2].url[0]++);
    DIFFERS(b.servers[2].incarnation.b[0]++);
    DIFFERS(b.pgs[0].server[5]--);
    DIFFERS(b.walk_from.v++);
    DIFFERS(b.slice++);
    DIFFERS(b.servers[2].host[0]++);
    DIFFERS(b.servers[2].state++);
    DIFFERS(b.pgs[0].unmade++);
    DIFFERS(b.pgs[0].kind++);
    DIFFERS(b.pgs[0].survivors++);
    hx_geometry_fini(&a);
    hx_geometry_fini(&b);
}

/* Promise: limits and members are checked before anything is allocated or read. */
static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct hx_geometry g;
    struct hx_pg_members m;
    struct hx_server s = {.name = "x", .zone = "z", .url = "u"};
    make(&g, 3, 2);
    assert_int_equal(hx_place_group(&g, NULL, &m), 0);
    m.server[1] = m.server[0];
    assert_int_equal(hx_geometry_add_pg(&g, &m), HX_E_INVAL);
    m.server[1] = 6;
    assert_int_equal(hx_geometry_add_pg(&g, &m), HX_E_INVAL);
    assert_int_equal(hx_place_group(&g, NULL, &m), 0);
    struct hx_geometry full = g;
    full.server_count = HX_SERVERS_MAX;
    assert_int_equal(hx_geometry_add_server(&full, &s), HX_E_TOOBIG);
    full.server_count = HX_SERVERS_MAX + 1;
    assert_int_equal(hx_geometry_check(&full), HX_E_INVAL);
    full = g;
    full.pg_count = full.g = UINT32_C(1) << 28;
    assert_int_equal(hx_geometry_add_pg(&full, &m), HX_E_TOOBIG);
    full.pg_count = full.g = (UINT32_C(1) << 28) + 1;
    assert_int_equal(hx_geometry_check(&full), HX_E_INVAL);
    full = g;
    full.g = 1;
    assert_int_equal(hx_geometry_check(&full), HX_E_INVAL);
    assert_int_equal(hx_geometry_check(&g), 0);
    full = g;
    assert_int_equal(hx_geometry_copy(&full, &full), 0); /* a shallow copy gets lists of its own */
    hx_geometry_fini(&g);
    assert_int_equal(hx_geometry_check(&full), 0);
    hx_geometry_fini(&full);
}

/* ---- version 2 and slices ---- */

/* A fleet with a row of each kind, made and unmade members, servers in every state, hosts of their own. */
static void make_rich(struct hx_geometry *g)
{
    static const struct hx_pg_members row[] = {
        {{0, 1, 3, 4, 6, 7}, 0, HX_ROW_PLAIN, 0},
        {{1, 2, 4, 5, 7, 8}, 0x21, HX_ROW_PLAIN, 0},
        {{0, 2, 3, 5, 6, 8}, 0, HX_ROW_DEGRADED, 0x0f},
        {{2, 1, 5, 4, 8, 7}, 0x38, HX_ROW_DECLARED, 0x07},
        {{1, 2, 9, 5, 7, 8}, 0, HX_ROW_RELEASED, 0},
        {{8, 7, 6, 5, 4, 3}, 0, HX_ROW_PLAIN, 0}};
    make(g, 3, 3);
    struct hx_server more = {.name = "d1", .zone = "az-b", .url = "https://10.0.0.7:1", .host = "rack9", .state = 3};
    g->servers[2].state = HX_SERVER_DRAINED;
    g->servers[5].state = HX_SERVER_BURNT;
    assert_int_equal(hx_geometry_add_server(g, &more), 0);
    for (unsigned i = 0; i < g->server_count; i++)
        memset(g->servers[i].incarnation.b, (int)i + 1, 16);
    for (unsigned i = 0; i < HX_ARRAY_LEN(row); i++)
        assert_int_equal(hx_geometry_add_pg(g, &row[i]), 0);
    g->walk_from = HX_LSN(77);
    g->m = 12;
    assert_int_equal(hx_geometry_check(g), 0);
}

static size_t encode(const struct hx_geometry *g, uint8_t *buf, size_t cap)
{
    struct hx_enc e = hx_enc_init(buf, cap);
    hx_geometry_encode(g, &e);
    assert_int_equal(e.err, 0);
    assert_int_equal(e.len, hx_geometry_encoded_len(g));
    return e.len;
}

/* Identity; no truncation is taken; a flipped bit is refused or is another geometry, which keeps the rules. */
static void check_bytes(const struct hx_geometry *g)
{
    static uint8_t buf[4096], again[4096];
    struct hx_geometry h = {0};
    size_t len = encode(g, buf, sizeof buf);
    assert_int_equal(hx_get_u16(buf), 2);
    struct hx_dec d = hx_dec_init(buf, len);
    assert_int_equal(hx_geometry_decode_any(&h, &d), 0);
    assert_int_equal(hx_dec_end(&d), 0);
    assert_true(hx_geometry_equal(g, &h));
    assert_int_equal(encode(&h, again, sizeof again), len);
    assert_memory_equal(buf, again, len);
    for (size_t n = 0; n < len; n++) {
        d = hx_dec_init(buf, n);
        assert_true(hx_geometry_decode_any(&h, &d) < 0);
        assert_true(hx_geometry_equal(g, &h)); /* as it was */
    }
    unsigned refused = 0;
    for (size_t bit = 0; bit < 8 * len; bit++) {
        struct hx_geometry f = {0};
        buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
        d = hx_dec_init(buf, len);
        if (hx_geometry_decode_any(&f, &d)) {
            refused++;
        } else if (hx_dec_end(&d) == 0) {
            assert_false(hx_geometry_equal(g, &f));
            assert_int_equal(hx_geometry_check(&f), 0);
        }
        hx_geometry_fini(&f);
        buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(refused > 100);
    hx_geometry_fini(&h);
}

/* Promise: whatever version 2 says comes back from its bytes, whole or as a slice. */
static void version_2_round_trip(void **state)
{
    (void)state;
    struct hx_geometry g, s = {0};
    make_rich(&g);
    check_bytes(&g);
    for (uint32_t pg = 1; pg < g.pg_count; pg++) {
        assert_int_equal(hx_geometry_slice(&g, pg, &s), 0);
        check_bytes(&s);
    }
    static uint8_t buf[4096];
    struct hx_dec d = hx_dec_init(buf, encode(&s, buf, sizeof buf));
    assert_int_equal(hx_geometry_decode(&g, &d), HX_E_BADMSG); /* who wants the whole is not given a slice */
    assert_int_equal(d.err, HX_E_BADMSG);
    assert_int_equal(g.slice, 0);
    hx_geometry_fini(&s);
    hx_geometry_fini(&g);
}

/* Promise: what version 1 can say is written as version 1, as older programs write it; what it cannot say makes it a
 * version 2. */
static void what_version_1_can_say_is_version_1(void **state)
{
    (void)state;
    static uint8_t buf[4096];
    struct hx_geometry g, h = {0};
    struct hx_pg_members m;
    make(&g, 3, 2);
    assert_int_equal(hx_place_group(&g, NULL, &m), 0);
    assert_int_equal(hx_geometry_add_pg(&g, &m), 0);
    size_t len = encode(&g, buf, sizeof buf);
    assert_int_equal(hx_get_u16(buf), 1);
    assert_int_equal(len, 2 + 16 + 2 + 4 + 4 * 8 + 4 * 4 + 6 * (6 + 2 + 4 + 22 + 16) + 12);
    struct hx_dec d = hx_dec_init(buf, len);
    assert_int_equal(hx_geometry_decode_any(&h, &d), 0);
    assert_true(hx_geometry_equal(&g, &h));
    assert_string_equal(h.servers[3].host, "127.0.0.1");
#define NEEDS_2(change)                                 \
    do {                                                \
        assert_int_equal(hx_geometry_copy(&h, &g), 0);  \
        change;                                         \
        encode(&h, buf, sizeof buf);                    \
        assert_int_equal(hx_get_u16(buf), 2);           \
    } while (0)
    NEEDS_2(h.walk_from.v = 1);
    NEEDS_2(h.servers[5].state = HX_SERVER_DRAINED);
    NEEDS_2(strcpy(h.servers[5].host, "other"));
    NEEDS_2(h.servers[0].host[0] = '\0');
    NEEDS_2(h.pgs[0].unmade = 1);
    NEEDS_2(h.pgs[0].kind = HX_ROW_DEGRADED);
    NEEDS_2(h.pgs[0].survivors = 1);
    assert_int_equal(hx_geometry_copy(&h, &g), 0);
    h.servers[5].state = HX_SERVER_AWAY; /* and what version 2 cannot say, a version 3 */
    len = encode(&h, buf, sizeof buf);
    assert_int_equal(hx_get_u16(buf), 3);
    d = hx_dec_init(buf, len);
    assert_int_equal(hx_geometry_decode_any(&h, &d), 0);
    assert_int_equal(h.servers[5].state, HX_SERVER_AWAY);
    hx_put_u16(buf, 4);
    d = hx_dec_init(buf, sizeof buf);
    assert_int_equal(hx_geometry_decode_any(&h, &d), HX_E_VERSION);
    hx_geometry_fini(&g);
    hx_geometry_fini(&h);
}

/* Promise: a slice has the head, both rows and the servers that they name, of which it says the same as the whole. */
static void a_slice_says_what_the_whole_says(void **state)
{
    (void)state;
    struct hx_geometry g, s = {0}, t = {0};
    make_rich(&g);
    for (uint32_t pg = 1; pg < g.pg_count; pg++) {
        assert_int_equal(hx_geometry_slice(&g, pg, &s), 0);
        assert_int_equal(hx_geometry_check(&s), 0);
        assert_int_equal(s.slice, pg);
        assert_int_equal(hx_geometry_compare(&g, &s), 0);
        assert_true(s.walk_from.v == 77 && s.pg_count == g.pg_count && s.created_us == g.created_us);
        for (uint32_t q = 0; q < g.pg_count; q++) {
            const struct hx_pg_members *in = hx_geometry_row(&s, q), *all = hx_geometry_row(&g, q);
            assert_int_equal(in != NULL, q == 0 || q == pg);
            for (unsigned k = 0; in && k < HX_COPIES; k++) {
                assert_string_equal(s.servers[in->server[k]].name, g.servers[all->server[k]].name);
                assert_int_equal(s.servers[in->server[k]].state, g.servers[all->server[k]].state);
            }
            if (in)
                assert_true(in->unmade == all->unmade && in->kind == all->kind && in->survivors == all->survivors);
        }
        assert_int_equal(hx_geometry_slice(&s, pg, &t), 0);
        assert_true(hx_geometry_equal(&s, &t));
        assert_int_equal(hx_geometry_slice(&s, 0, &t), HX_E_INVAL);
        assert_int_equal(hx_geometry_slice(&s, pg ^ 1, &t), HX_E_INVAL);
        assert_int_equal(hx_geometry_add_pg(&s, &s.pgs[1]), HX_E_INVAL);
        assert_int_equal(hx_geometry_set_members(&s, 0, &s.pgs[0]), HX_E_INVAL);
        assert_int_equal(hx_geometry_set_state(&s, 0, HX_SERVER_IN), HX_E_INVAL);
    }
    assert_null(hx_geometry_row(&g, g.pg_count));
    assert_int_equal(hx_geometry_slice(&g, g.pg_count, &s), HX_E_INVAL);
    assert_int_equal(hx_geometry_slice(&g, 0, &s), 0);
    assert_true(hx_geometry_equal(&g, &s));
    assert_int_equal(hx_geometry_slice(&s, 3, &s), 0); /* in place */
    assert_int_equal(s.slice, 3);
    assert_int_equal(s.server_count, 9); /* 0 1 3 4 6 7 and 2 5 8: the tenth is not named */
    s.slice = g.pg_count;
    assert_int_equal(hx_geometry_check(&s), HX_E_INVAL);
    s.slice = 3;
    assert_int_equal(hx_geometry_add_server(&s, &g.servers[9]), 0);
    assert_int_equal(hx_geometry_check(&s), HX_E_INVAL);
    hx_geometry_fini(&g);
    hx_geometry_fini(&s);
    hx_geometry_fini(&t);
}

/* Promise: a change of rows or states is a version more, and what breaks a rule changes nothing. */
static void changes_keep_the_rules(void **state)
{
    (void)state;
    struct hx_geometry g, was = {0};
    make_rich(&g);
    assert_int_equal(hx_geometry_copy(&was, &g), 0);
    struct hx_pg_members bad[] = {
        {{0, 1, 3, 4, 6, 6}, 0, 0, 0},                   /* a server twice */
        {{0, 1, 3, 4, 6, 10}, 0, 0, 0},                  /* one that is not there */
        {{0, 1, 3, 4, 6, 9}, 0, 0, 0},                   /* one that is gone */
        {{0, 1, 3, 4, 6, 7}, 0x07, 0, 0},                /* three made */
        {{0, 1, 3, 4, 6, 7}, 0x40, 0, 0},                /* a seventh slot */
        {{0, 1, 3, 4, 6, 7}, 0, HX_ROW_PLAIN, 0x01},     /* survivors of a plain one */
        {{0, 1, 3, 4, 6, 7}, 0, HX_ROW_DEGRADED, 0x07},  /* three members */
        {{0, 1, 3, 4, 6, 7}, 0, HX_ROW_DECLARED, 0},     /* nobody left */
        {{0, 1, 3, 4, 6, 7}, 0, HX_ROW_DECLARED, 0x3f},  /* nobody lost */
        {{0, 1, 3, 4, 6, 7}, 0, HX_ROW_RELEASED, 1},
        {{0, 1, 3, 4, 6, 7}, 0, HX_ROW_KINDS, 0}};
    for (unsigned i = 0; i < HX_ARRAY_LEN(bad); i++)
        assert_int_equal(hx_geometry_set_members(&g, 1, &bad[i]), HX_E_INVAL);
    struct hx_pg_members released = {.server = {0, 1, 2, 3, 4, 5}, .kind = HX_ROW_RELEASED};
    assert_int_equal(hx_geometry_set_members(&g, 0, &released), HX_E_INVAL);
    assert_int_equal(hx_geometry_set_members(&g, g.pg_count, &released), HX_E_INVAL);
    assert_int_equal(hx_geometry_set_state(&g, 5, HX_SERVER_IN), HX_E_INVAL); /* burnt for good */
    assert_int_equal(hx_geometry_set_state(&g, 0, HX_SERVER_GONE), HX_E_INVAL);
    assert_int_equal(hx_geometry_set_state(&g, 0, HX_SERVER_STATES), HX_E_INVAL);
    assert_int_equal(hx_geometry_set_state(&g, 10, HX_SERVER_IN), HX_E_INVAL);
    assert_true(hx_geometry_equal(&g, &was));
    assert_int_equal(hx_geometry_set_members(&g, 5, &released), 0);
    assert_int_equal(g.m, was.m + 1);
    assert_true(hx_geometry_compare(&g, &was) > 0);
    assert_int_equal(hx_geometry_set_state(&g, 9, HX_SERVER_IN), 0);
    assert_int_equal(hx_geometry_set_state(&g, 9, HX_SERVER_GONE), 0); /* only a released row names it */
    assert_int_equal(g.m, was.m + 3);
    assert_int_equal(hx_geometry_check(&g), 0);
    g.m = UINT32_MAX;
    assert_int_equal(hx_geometry_set_members(&g, 5, &released), HX_E_TOOBIG);
    assert_int_equal(hx_geometry_set_state(&g, 9, HX_SERVER_IN), HX_E_TOOBIG);
    hx_geometry_fini(&g);
    hx_geometry_fini(&was);
}

/* Promise: the host is what is between scheme and port. */
static void hosts_come_from_urls(void **state)
{
    (void)state;
    static const struct { const char *url, *host; } t[] = {
        {"https://a.example:9621", "a.example"}, {"https://10.0.0.3", "10.0.0.3"}, {"https://[::1]:9621/x", "::1"},
        {"h:1", "h"}, {"https://h/p?q", "h"}, {"https://:9", ""}, {"https://[::1", "::1"}, {"", ""}};
    char host[HX_HOST_MAX + 1];
    for (unsigned i = 0; i < HX_ARRAY_LEN(t); i++) {
        hx_geometry_host_of(t[i].url, host);
        assert_string_equal(host, t[i].host);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_tells_two_geometries_apart),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(placement_is_two_by_three_and_even),
        cmocka_unit_test(too_few_zones_are_refused),
        cmocka_unit_test(encoding_round_trip),
        cmocka_unit_test(versions_order_by_epoch_first),
        cmocka_unit_test(version_2_round_trip),
        cmocka_unit_test(what_version_1_can_say_is_version_1),
        cmocka_unit_test(a_slice_says_what_the_whole_says),
        cmocka_unit_test(changes_keep_the_rules),
        cmocka_unit_test(hosts_come_from_urls),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("geometry", tests, NULL, NULL);
}
