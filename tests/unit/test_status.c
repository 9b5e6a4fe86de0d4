/*
 * test_status.c - how `hexad status` judges what servers say (src/admin/status_judge.c, pure).
 * Method: a volume of two PGs on six servers, all answers made up; each case changes some of them.
 */
#include "../../src/admin/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PGS 2
static struct hx_server names[HX_COPIES];
static struct hx_pg_members pgs[PGS];
static struct server_view servers[HX_COPIES];
static struct seg_view segs[PGS * HX_COPIES];
static struct status s;

/* All answer; PG 0 is complete to 100, PG 1 to 40, VDL 100. */
static int setup(void **state)
{
    (void)state;
    memset(names, 0, sizeof names);
    memset(servers, 0, sizeof servers);
    memset(segs, 0, sizeof segs);
    memset(&s, 0, sizeof s);
    for (uint16_t i = 0; i < HX_COPIES; i++) {
        snprintf(names[i].name, sizeof names[i].name, "%c%d", "abc"[i / 2], i % 2 + 1);
        servers[i].server = names[i];
        for (uint32_t pg = 0; pg < PGS; pg++) {
            struct seg_view *v = &segs[pg * HX_COPIES + i];
            pgs[pg].server[i] = i;
            *v = (struct seg_view){.pg = pg, .server = i, .known = true};
            v->st.scl = v->st.highest = HX_LSN(pg == 0 ? 100 : 40);
            v->st.vdl = HX_LSN(100);
            v->st.pages = 3;
        }
    }
    s.volume = "v";
    s.sum.found = true;
    s.sum.geometry = (struct hx_geometry){.pg_bytes = 1 << 20, .server_count = HX_COPIES, .pg_count = PGS,
                                          .servers = names, .pgs = pgs};
    s.servers = servers;
    s.segs = segs;
    s.seg_count = PGS * HX_COPIES;
    return 0;
}
static void down(unsigned server, int err)
{
    servers[server].err = err;
    for (unsigned pg = 0; pg < PGS; pg++)
        segs[pg * HX_COPIES + server].known = false;
}
static void judged(int err, const char *word)
{
    status_judge(&s);
    json_decref(s.writer);
    s.writer = NULL;
    assert_int_equal(s.err, err);
    assert_string_equal(s.word, word);
}

/* Promise: all well is OK; a group that nobody writes to is not behind although the VDL is far ahead of it. */
static void an_idle_group_is_not_behind(void **state)
{
    (void)state;
    judged(0, "OK");
    for (size_t i = 0; i < s.seg_count; i++) {
        assert_int_equal(segs[i].state, SEG_OK);
        assert_int_equal(segs[i].lag, 0);
    }
    assert_int_equal(s.used_bytes, 2 * 3 * HX_PAGE_SIZE);
    assert_string_equal(s.action, "");
}

/* Promise: the thresholds of the quorums, by the number of servers that do not answer. */
static void quorums_are_counted(void **state)
{
    static const struct {
        int err;
        const char *word;
    } expect[] = {{0, "OK"},
                  {HX_E_DEGRADED, "DEGRADED"},
                  {HX_E_DEGRADED, "DEGRADED"},
                  {HX_E_NO_WRITE_QUORUM, "NO WRITE QUORUM"},
                  {HX_E_NO_READ_QUORUM, "NO READ QUORUM"},
                  {HX_E_NO_READ_QUORUM, "NO READ QUORUM"},
                  {HX_E_NO_READ_QUORUM, "NO READ QUORUM"}};
    for (unsigned n = 0; n <= HX_COPIES; n++) {
        setup(state);
        for (unsigned i = 0; i < n; i++)
            down(i, HX_E_CONNECT);
        judged(expect[n].err, expect[n].word);
    }
}

/* Promise: the weakest group decides, and each lost segment is called by its own word. */
static void the_weakest_group_decides(void **state)
{
    (void)state;
    segs[HX_COPIES + 0].known = false;
    segs[HX_COPIES + 1].st.state = HX_E_POISONED;
    servers[2].stranger = true;
    judged(HX_E_NO_WRITE_QUORUM, "NO WRITE QUORUM");
    assert_int_equal(segs[HX_COPIES + 0].state, SEG_MISSING);
    assert_int_equal(segs[0].state, SEG_OK);
    assert_int_equal(servers[0].worst, SEG_MISSING);
    assert_int_equal(servers[1].worst, SEG_POISONED);
    assert_int_equal(segs[2].state, SEG_STRANGER);
    assert_non_null(strstr(s.text, "a1 (MISSING), a2 (POISONED), b1 (STRANGER)"));
}

/* Promise: a full or damaged member serves reads, but takes no appends. */
static void a_full_member_serves_reads_only(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        segs[i].st.state = i ? HX_E_NOSPACE : HX_E_CORRUPT;
    judged(HX_E_NO_WRITE_QUORUM, "NO WRITE QUORUM");
    assert_non_null(strstr(s.text, "reads 6/6"));
    assert_int_equal(segs[0].state, SEG_DAMAGED);
    assert_int_equal(segs[1].state, SEG_FULL);
}

/* Promise: lag is what the best member of the same group has and the VDL covers; what is above the VDL is not owed. */
static void lag_is_counted_within_the_group_up_to_the_vdl(void **state)
{
    (void)state;
    segs[0].st.scl = HX_LSN(130); /* ahead of the VDL */
    segs[3].st.scl = HX_LSN(90);
    segs[HX_COPIES + 3].st.scl = HX_LSN(15);
    judged(0, "OK"); /* it takes writes and catches up */
    assert_int_equal(segs[1].lag, 0);
    assert_int_equal(segs[3].lag, 10);
    assert_int_equal(segs[3].state, SEG_BEHIND);
    assert_int_equal(servers[3].lag, 25);
    assert_int_equal(servers[3].worst, SEG_BEHIND);
}

/* Promise: the SCL of a stranger is nobody's measure. */
static void a_stranger_does_not_set_the_measure(void **state)
{
    (void)state;
    servers[5].stranger = true;
    segs[5].st.scl = HX_LSN(100);
    for (unsigned i = 0; i < 5; i++)
        segs[i].st.scl = HX_LSN(80);
    judged(HX_E_DEGRADED, "DEGRADED");
    assert_int_equal(segs[0].lag, 0);
}

/* Promise: refused certificates are told apart from a server that is down, and the advice fits. */
static void refused_is_not_down(void **state)
{
    (void)state;
    down(4, HX_E_TLS);
    judged(HX_E_DEGRADED, "DEGRADED");
    assert_int_equal(segs[4].state, SEG_REFUSED);
    assert_non_null(strstr(s.action, "certificates"));
    setup(state);
    down(4, HX_E_TIMEOUT);
    judged(HX_E_DEGRADED, "DEGRADED");
    assert_int_equal(segs[4].state, SEG_DOWN);
    assert_non_null(strstr(s.action, "start"));
}

static void zones_of_pairs(void)
{
    for (unsigned i = 0; i < HX_COPIES; i++)
        snprintf(servers[i].server.zone, sizeof servers[i].server.zone, "az-%c", "abc"[i / 2]);
}

static void zones_judged(unsigned may_go)
{
    status_judge(&s);
    json_decref(s.writer);
    s.writer = NULL;
    assert_int_equal(status_judge_zones(&s), 0);
    assert_int_equal(s.zone_count, 3);
    unsigned got = 0;
    for (unsigned k = 0; k < 3; k++) {
        got |= (unsigned)s.zones[k].may_go << k;
        assert_int_equal(s.zones[k].may_go, !s.zones[k].why[0]);
    }
    assert_int_equal(got, may_go);
}

/* Promise: a zone may be taken when each group keeps four members of the others that answer, take writes and have all
 * but what is on its way; who is missing is named. */
static void a_zone_may_go_when_the_rest_is_complete(void **state)
{
    zones_of_pairs();
    zones_judged(7);
    free(s.zones);
    setup(state);
    zones_of_pairs();
    down(2, HX_E_CONNECT); /* b1: only its own zone may go */
    zones_judged(2);
    assert_string_equal(s.zones[0].why, "b1 is DOWN, and belongs to group 0");
    free(s.zones);
    setup(state);
    zones_of_pairs();
    for (unsigned i = 0; i < HX_COPIES; i++) { /* c2 has only just come back, in the second group */
        segs[HX_COPIES + i].st.scl = HX_LSN(i == 5 ? 1000 : 900000);
        segs[HX_COPIES + i].st.vdl = HX_LSN(900000);
    }
    zones_judged(4);
    assert_string_equal(s.zones[0].why, "c2 has to catch up, 899000 LSNs in group 1");
    free(s.zones);
    setup(state);
    zones_of_pairs();
    segs[4].st.scl = HX_LSN(99); /* what is on its way holds nobody up */
    zones_judged(7);
    free(s.zones);
    setup(state);
    zones_of_pairs();
    down(0, HX_E_CONNECT);
    down(4, HX_E_CONNECT);
    zones_judged(0);
    free(s.zones);
}

/* Promise: groups that look the same share a line, the worst come first, and every group is in one of them. */
static void the_map_sums_groups_up(void **state)
{
    (void)state;
    enum { N = 40 };
    static struct hx_pg_members rows[N];
    static struct seg_view many[N * HX_COPIES];
    struct status_map m;
    char text[400];
    for (uint32_t pg = 0; pg < N; pg++)
        for (uint16_t i = 0; i < HX_COPIES; i++) {
            many[pg * HX_COPIES + i] = (struct seg_view){.pg = pg, .server = i, .known = true};
            rows[pg].server[i] = i;
        }
    many[7 * HX_COPIES + 3].known = false; /* b2 has lost one */
    many[20 * HX_COPIES].server = 1;       /* another order is another line */
    many[20 * HX_COPIES + 1].server = 0;
    s.segs = many;
    s.seg_count = N * HX_COPIES;
    s.sum.geometry.pg_count = N;
    s.sum.geometry.pgs = rows;
    status_judge(&s);
    json_decref(s.writer);
    assert_int_equal(status_map(&s, &m), 0);
    assert_int_equal(m.count, 3);
    status_map_groups(&m.alike[0], text, sizeof text);
    assert_string_equal(text, "7");
    assert_int_equal(m.alike[0].good, 5);
    status_map_members(&s, &m.alike[0], text, sizeof text);
    assert_string_equal(text, "a1 a2 | b1 b2(MISSING) | c1 c2");
    status_map_groups(&m.alike[1], text, sizeof text);
    assert_string_equal(text, "0-6,8-19,21-39");
    status_map_groups(&m.alike[1], text, 9);
    assert_string_equal(text, "0-6...");
    status_map_members(&s, &m.alike[2], text, sizeof text);
    assert_string_equal(text, "a2 a1 | b1 b2 | c1 c2");
    assert_int_equal(m.alike[0].count + m.alike[1].count + m.alike[2].count, N);
    status_map_fini(&m);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup(f, setup)
    const struct CMUnitTest tests[] = {
        CASE(an_idle_group_is_not_behind),
        CASE(quorums_are_counted),
        CASE(the_weakest_group_decides),
        CASE(a_full_member_serves_reads_only),
        CASE(lag_is_counted_within_the_group_up_to_the_vdl),
        CASE(a_stranger_does_not_set_the_measure),
        CASE(refused_is_not_down),
        CASE(a_zone_may_go_when_the_rest_is_complete),
        CASE(the_map_sums_groups_up),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
