/*
 * test_place.c - which servers hold a group: small fleets that must come out even, a thousand servers, spares, relief.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "hexad/place.h"

#define GIB (UINT64_C(1) << 30)

static void add(struct hx_geometry *g, unsigned zone, const char *host)
{
    struct hx_server s = {0};
    snprintf(s.name, sizeof s.name, "s%u", g->server_count);
    snprintf(s.zone, sizeof s.zone, "az-%u", zone);
    snprintf(s.url, sizeof s.url, "https://10.%u.%u.%u:9621", zone, g->server_count / 250, g->server_count % 250);
    snprintf(s.host, sizeof s.host, "%s", host);
    assert_int_equal(hx_geometry_add_server(g, &s), 0);
}

/* Servers of the zones take turns in the table. */
static struct hx_geometry fleet(unsigned servers, unsigned zones)
{
    struct hx_geometry g = {.name = "vol0", .volume = {{1}}, .pg_bytes = 10 * GIB, .lal = 100, .epoch = {1}};
    for (unsigned i = 0; i < servers; i++)
        add(&g, i % zones, "");
    return g;
}

static void grow(struct hx_geometry *g, const struct hx_place_known *known, unsigned groups)
{
    struct hx_pg_members m;
    for (unsigned i = 0; i < groups; i++) {
        assert_int_equal(hx_place_group(g, known, &m), 0);
        assert_int_equal(hx_geometry_add_pg(g, &m), 0);
        for (unsigned k = 0; k < HX_COPIES; k += 2) { /* L1 */
            const char *zone = g->servers[m.server[k]].zone;
            assert_string_equal(zone, g->servers[m.server[k + 1]].zone);
            assert_true(k == 0 || strcmp(zone, g->servers[m.server[k - 1]].zone) != 0);
            assert_true(k < 4 || strcmp(zone, g->servers[m.server[0]].zone) != 0);
        }
    }
}

static unsigned *segments(const struct hx_geometry *g)
{
    unsigned *n = calloc(g->server_count + 1u, sizeof *n);
    assert_non_null(n);
    for (uint32_t i = 0; i < g->pg_count; i++)
        for (unsigned k = 0; k < HX_COPIES; k++)
            n[g->pgs[i].server[k]]++;
    return n;
}

static void span(const struct hx_geometry *g, unsigned *low, unsigned *high)
{
    unsigned *n = segments(g);
    *low = UINT32_MAX;
    *high = 0;
    for (uint32_t i = 0; i < g->server_count; i++) {
        *low = n[i] < *low ? n[i] : *low;
        *high = n[i] > *high ? n[i] : *high;
    }
    free(n);
}

/* Promise (L4): 15 servers and five groups: two segments each; any number of groups on fleets of 3 to 6 equal zones: no
 * server has two more than another of its zone, at any moment. */
static void small_fleets_come_out_even(void **state)
{
    (void)state;
    unsigned low, high;
    struct hx_geometry g = fleet(15, 3);
    grow(&g, NULL, 5);
    span(&g, &low, &high);
    assert_true(low == 2 && high == 2);
    hx_geometry_fini(&g);
    for (unsigned zones = 3; zones <= 6; zones++)
        for (unsigned per = 2; per <= 7; per++) {
            g = fleet(zones * per, zones);
            for (unsigned i = 0; i < 40; i++) {
                grow(&g, NULL, 1);
                unsigned *n = segments(&g);
                for (uint32_t a = 0; a < g.server_count; a++)
                    for (uint32_t b = a % zones; b < g.server_count; b += zones)
                        assert_true(n[a] <= n[b] + 1);
                free(n);
            }
            span(&g, &low, &high);
            assert_true(high - low <= 2);
            assert_int_equal(hx_geometry_check(&g), 0);
            hx_geometry_fini(&g);
        }
}

/* Promise (L4): a disk of twice the size holds twice the segments; unknown sizes are the mean. */
static void larger_servers_hold_more(void **state)
{
    (void)state;
    struct hx_geometry g = fleet(12, 3);
    struct hx_place_known known[12] = {0};
    for (unsigned i = 0; i < 12; i++)
        known[i] = (struct hx_place_known){.total = (i < 6 ? 2000 : 1000) * GIB, .free = 900 * GIB};
    grow(&g, known, 60);
    unsigned *n = segments(&g);
    for (unsigned i = 0; i < 6; i++)
        assert_true(n[i] >= 19 * n[6 + i] / 10 && n[i] <= 22 * n[6 + i] / 10);
    free(n);
    hx_geometry_fini(&g);
}

/* Promise (L1): servers that are not IN are never named, nor is a group placed without three zones of two. */
static void only_servers_in_and_three_zones(void **state)
{
    (void)state;
    static const enum hx_server_state out[] = {HX_SERVER_DRAINED, HX_SERVER_BURNT, HX_SERVER_GONE};
    struct hx_pg_members m;
    uint16_t to;
    for (unsigned i = 0; i < HX_ARRAY_LEN(out); i++) {
        struct hx_geometry g = fleet(9, 3);
        g.servers[4].state = (uint8_t)out[i];
        for (unsigned n = 0; n < 20; n++) {
            assert_int_equal(hx_place_group(&g, NULL, &m), 0);
            for (unsigned k = 0; k < HX_COPIES; k++)
                assert_int_not_equal(m.server[k], 4);
            assert_int_equal(hx_geometry_add_pg(&g, &m), 0);
        }
        assert_int_equal(hx_place_spare(&g, NULL, 0, 2, &to), HX_E_NOSPACE); /* both of its zone are in */
        g.servers[7].state = (uint8_t)out[i];
        assert_int_equal(hx_place_group(&g, NULL, &m), HX_E_INVAL);
        hx_geometry_fini(&g);
    }
    struct hx_geometry g = fleet(12, 2);
    assert_int_equal(hx_place_group(&g, NULL, &m), HX_E_INVAL);
    hx_geometry_fini(&g);
    g = fleet(6, 6);
    assert_int_equal(hx_place_group(&g, NULL, &m), HX_E_INVAL);
    hx_geometry_fini(&g);
    g = fleet(6, 3);
    grow(&g, NULL, 2);
    assert_int_equal(hx_geometry_slice(&g, 1, &g), 0);
    struct hx_place_move move;
    assert_int_equal(hx_place_group(&g, NULL, &m), HX_E_INVAL);
    assert_int_equal(hx_place_spare(&g, NULL, 0, 0, &to), HX_E_INVAL);
    assert_int_equal(hx_place_drain(&g, NULL, 0, 0, &move), HX_E_INVAL);
    assert_int_equal(hx_place_relief(&g, NULL, &move), HX_E_INVAL);
    hx_geometry_fini(&g);
}

/* Promise (L2): silent, full and busy ones, and those without room, are taken only where nobody better is. */
static void those_to_be_avoided_come_last(void **state)
{
    (void)state;
    for (unsigned avoid = HX_PLACE_BUSY; avoid <= HX_PLACE_SILENT + 1; avoid++) {
        struct hx_geometry g = fleet(9, 3);
        struct hx_place_known known[9] = {0};
        if (avoid > HX_PLACE_SILENT)
            known[0] = (struct hx_place_known){.total = 100 * GIB, .free = 10 * GIB - 1};
        else
            known[0].avoid = (uint8_t)avoid;
        grow(&g, known, 10);
        unsigned *n = segments(&g);
        assert_int_equal(n[0], 0);
        assert_int_equal(n[3], 10);
        free(n);
        known[3].avoid = HX_PLACE_SILENT; /* two of the zone's three are needed */
        grow(&g, known, 1);
        n = segments(&g);
        assert_int_equal(n[0], 1);
        free(n);
        hx_geometry_fini(&g);
    }
}

/* Promise (L3): no two members on one host where that can be had; where it cannot, groups are placed all the same. */
static void members_do_not_share_hosts(void **state)
{
    (void)state;
    static const char *const host[] = {"p", "p", "q", "q", "r", "s"};
    struct hx_geometry g = {.name = "vol0", .volume = {{1}}, .pg_bytes = 10 * GIB, .lal = 100, .epoch = {1}};
    for (unsigned zone = 0; zone < 3; zone++)
        for (unsigned i = 0; i < 6; i++) {
            char name[8];
            snprintf(name, sizeof name, "%s%u", host[i], zone);
            add(&g, zone, name);
        }
    grow(&g, NULL, 50);
    for (uint32_t i = 0; i < g.pg_count; i++)
        for (unsigned k = 0; k < HX_COPIES; k++)
            for (unsigned j = 0; j < k; j++)
                assert_string_not_equal(g.servers[g.pgs[i].server[k]].host, g.servers[g.pgs[i].server[j]].host);
    hx_geometry_fini(&g);
    g = fleet(6, 3);
    for (unsigned i = 0; i < 6; i++)
        strcpy(g.servers[i].host, "127.0.0.1");
    grow(&g, NULL, 3);
    hx_geometry_fini(&g);
}

/* Groups that A and B have both. */
static unsigned *partners(const struct hx_geometry *g, uint32_t a)
{
    unsigned *n = calloc(g->server_count, sizeof *n);
    assert_non_null(n);
    for (uint32_t i = 0; i < g->pg_count; i++)
        for (unsigned k = 0; k < HX_COPIES; k++)
            for (unsigned j = 0; j < HX_COPIES && g->pgs[i].server[k] == a; j++)
                n[g->pgs[i].server[j]]++;
    return n;
}

/* Promise (L4, L5): 1,000 servers in three zones, 13,107 groups: 78 or 79 segments each; all of a server's partners
 * but a few are different ones, so that its segments are rebuilt from everywhere; lost, they go to as many others. */
static void a_thousand_servers(void **state)
{
    (void)state;
    unsigned low, high, fewest = UINT32_MAX, most_shared = 0;
    struct hx_geometry g = fleet(1000, 3);
    struct timespec a, b, c;
    clock_gettime(CLOCK_MONOTONIC, &a);
    grow(&g, NULL, 13106);
    clock_gettime(CLOCK_MONOTONIC, &b);
    grow(&g, NULL, 1);
    clock_gettime(CLOCK_MONOTONIC, &c);
    print_message("# 13,107 placements in %.2f s, the last one in %.0f us\n",
                  (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9,
                  (double)(c.tv_sec - b.tv_sec) * 1e6 + (double)(c.tv_nsec - b.tv_nsec) / 1e3);
    span(&g, &low, &high);
    assert_true(low == 78 && high == 79);
    for (uint32_t i = 0; i < 1000; i += 7) {
        unsigned *n = partners(&g, i), different = 0;
        for (uint32_t k = 0; k < 1000; k++) {
            different += k != i && n[k] > 0;
            most_shared = k != i && n[k] > most_shared ? n[k] : most_shared;
        }
        fewest = different < fewest ? different : fewest;
        free(n);
    }
    print_message("# at least %u partners, at most %u groups in common\n", fewest, most_shared);
    assert_true(fewest >= 383 && most_shared <= 2);
    struct hx_place_move m;
    uint8_t takers[1000] = {0};
    unsigned moved = 0, others = 0;
    assert_int_equal(hx_geometry_set_state(&g, 501, HX_SERVER_BURNT), 0);
    for (uint32_t pg = 0; hx_place_drain(&g, NULL, -1, pg, &m) == 0; pg = m.pg) {
        struct hx_pg_members row = g.pgs[m.pg];
        assert_int_equal(row.server[m.slot], 501);
        assert_string_equal(g.servers[m.to].zone, g.servers[501].zone);
        row.server[m.slot] = m.to;
        assert_int_equal(hx_geometry_set_members(&g, m.pg, &row), 0);
        others += takers[m.to]++ == 0;
        moved++;
    }
    assert_true(moved >= 78 && moved == others);
    hx_geometry_fini(&g);
}

/* Promise: a drain names each segment of who is not IN once, group after group, and a spare of the same zone; without a
 * spare it says so, names the segment, and the caller may go on behind it. */
static void a_drain_empties_and_says_where_it_cannot(void **state)
{
    (void)state;
    struct hx_geometry g = fleet(9, 3);
    struct hx_place_move m;
    grow(&g, NULL, 12);
    unsigned *n = segments(&g), had = n[4], moved = 0;
    free(n);
    assert_int_equal(hx_place_drain(&g, NULL, -1, 0, &m), HX_E_NOENT);
    assert_int_equal(hx_geometry_set_state(&g, 4, HX_SERVER_DRAINED), 0);
    for (uint32_t pg = 0; hx_place_drain(&g, NULL, -1, pg, &m) == 0; pg = m.pg) {
        struct hx_pg_members row = g.pgs[m.pg];
        row.server[m.slot] = m.to;
        assert_int_equal(hx_geometry_set_members(&g, m.pg, &row), 0);
        moved++;
    }
    assert_true(had > 0 && moved == had);
    assert_int_equal(hx_place_drain(&g, NULL, 4, 0, &m), HX_E_NOENT);
    assert_int_equal(hx_place_drain(&g, NULL, 1, 0, &m), HX_E_NOSPACE);
    assert_true(m.pg == 0 && g.pgs[0].server[m.slot] == 1);
    assert_int_equal(hx_place_drain(&g, NULL, 1, 1, &m), HX_E_NOSPACE);
    assert_true(m.pg >= 1);
    for (uint32_t pg = 1; pg < g.pg_count; pg++) { /* released groups hold nothing */
        struct hx_pg_members row = {.kind = HX_ROW_RELEASED};
        memcpy(row.server, g.pgs[pg].server, sizeof row.server);
        assert_int_equal(hx_geometry_set_members(&g, pg, &row), 0);
    }
    assert_int_equal(hx_place_drain(&g, NULL, 1, 1, &m), HX_E_NOENT);
    assert_int_equal(hx_place_spare(&g, NULL, g.pg_count, 0, &m.to), HX_E_INVAL);
    hx_geometry_fini(&g);
}

/* Moves until nothing helps; how many. */
static unsigned relieve(struct hx_geometry *g, const struct hx_place_known *known)
{
    struct hx_place_move m;
    unsigned n = 0;
    while (hx_place_relief(g, known, &m) == 0) {
        struct hx_pg_members row = g->pgs[m.pg];
        assert_int_not_equal(m.pg, 0);
        assert_string_equal(g->servers[row.server[m.slot]].zone, g->servers[m.to].zone);
        row.server[m.slot] = m.to;
        assert_int_equal(hx_geometry_set_members(g, m.pg, &row), 0);
        assert_true(++n < 1000);
    }
    return n;
}

/* Promise: a server that joins gets its share, with no move more than that takes; a full or busy one is emptied into
 * those that are neither; an even fleet is left alone. */
static void relief_ends_when_it_is_even(void **state)
{
    (void)state;
    struct hx_geometry g = fleet(9, 3);
    struct hx_place_known known[10] = {0};
    grow(&g, NULL, 30);
    assert_int_equal(relieve(&g, NULL), 0);
    add(&g, 0, "");
    assert_int_equal(relieve(&g, NULL), 15); /* 60 segments of a zone on four */
    unsigned *n = segments(&g);
    assert_int_equal(n[9], 15);
    free(n);
    for (unsigned avoid = HX_PLACE_BUSY; avoid <= HX_PLACE_FULL; avoid++) {
        known[9].avoid = (uint8_t)avoid;
        known[0].avoid = (uint8_t)avoid;
        unsigned moves = relieve(&g, known);
        n = segments(&g);
        assert_true(moves > 0 || avoid == HX_PLACE_FULL);
        assert_true(n[9] + n[0] <= 20 + 1);
        free(n);
    }
    hx_geometry_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_fleets_come_out_even),
        cmocka_unit_test(larger_servers_hold_more),
        cmocka_unit_test(only_servers_in_and_three_zones),
        cmocka_unit_test(those_to_be_avoided_come_last),
        cmocka_unit_test(members_do_not_share_hosts),
        cmocka_unit_test(a_thousand_servers),
        cmocka_unit_test(a_drain_empties_and_says_where_it_cannot),
        cmocka_unit_test(relief_ends_when_it_is_even),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}
