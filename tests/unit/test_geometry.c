/*
 * test_geometry.c - placement, checks and bytes of a volume's geometry.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hexad/geometry.h"

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
                assert_int_equal(hx_geometry_place(&g, &m), 0);
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
    assert_int_equal(hx_geometry_place(&g, &m), HX_E_INVAL);
    hx_geometry_fini(&g);
    make(&g, 6, 1);
    assert_int_equal(hx_geometry_place(&g, &m), HX_E_INVAL);
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
        assert_int_equal(hx_geometry_place(&g, &m), 0);
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
    assert_int_equal(hx_geometry_place(&a, &m), 0);
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
    assert_int_equal(hx_geometry_place(&g, &m), 0);
    m.server[1] = m.server[0];
    assert_int_equal(hx_geometry_add_pg(&g, &m), HX_E_INVAL);
    m.server[1] = 6;
    assert_int_equal(hx_geometry_add_pg(&g, &m), HX_E_INVAL);
    assert_int_equal(hx_geometry_place(&g, &m), 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_tells_two_geometries_apart),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(placement_is_two_by_three_and_even),
        cmocka_unit_test(too_few_zones_are_refused),
        cmocka_unit_test(encoding_round_trip),
        cmocka_unit_test(versions_order_by_epoch_first),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("geometry", tests, NULL, NULL);
}
