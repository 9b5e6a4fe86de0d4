/*
 * test_degrade_open.c - openings of groups of which a zone was given up (D1 of doc/MEMBERSHIP.md): four members, three
 * of them are enough, and what is outside counts for nothing.
 */
#include "recovery_kit.h"

#define OUT 0x0cu /* slots 2 and 3 */

/* A fleet whose groups are degraded: all of them, or group 0 only. */
static struct fleet *degraded(uint32_t servers, uint32_t pgs, uint32_t first, uint32_t last)
{
    struct fleet *f = fleet_new(servers, pgs, LAL);
    for (uint32_t pg = first; pg <= last; pg++) {
        f->geometry.pgs[pg].kind = HX_ROW_DEGRADED;
        f->geometry.pgs[pg].survivors = 63 & ~OUT;
    }
    f->geometry.m++;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        struct fleet_seg *s = fleet_seg_at(f, 0, i);
        if (!(OUT >> i & 1))
            assert_int_equal(hx_geometry_copy(&s->geometry, &f->geometry), 0);
    }
    return f;
}

/* Promise: any three of the four open, group 0 and others; two do not, and what is said counts by four; two of the four
 * with those that went do not, either. */
static void any_three_of_the_four_open(void **state)
{
    (void)state;
    for (uint32_t pg = 0; pg < 2; pg++)
        for (unsigned lost = 0; lost < HX_COPIES; lost++) {
            if (OUT >> lost & 1)
                continue;
            struct fleet *f = degraded(12, 2, 0, 1);
            put(f, pg, 63 & ~OUT & ~(1u << lost), 1, 1, 0, true, 0);
            down(f, pg, (hx_members)(OUT | 1u << lost));
            struct hx_recovery *r = open_volume(f, 1);
            assert_int_equal(top(r)->vdl.v, 1);
            assert_int_equal(hx_recovery_result(r)->geometry.pgs[pg].kind, HX_ROW_DEGRADED);
            assert_int_equal(hx_recovery_result(r)->pgs[pg].scl[2].v, 0);
            finish(f, r);
            fleet_free(f);
            f = degraded(12, 2, 0, 1);
            unsigned another = lost == 0 ? 1 : 0;
            down(f, pg, (hx_members)(1u << lost | 1u << another));
            r = start(f, 1, 1);
            assert_false(run_for(f, r, 20000));
            waiting_has(r, "2 of 4 servers");
            waiting_has(r, "3 needed");
            waiting_has(r, pg ? "answered" : "granted"); /* so that one disk that forgot hides nothing */
            finish(f, r);
            fleet_free(f);
        }
}

/* Promise (M9): what those who went still hold is nothing, though it is there: a record that only they and one of the
 * four have was never acknowledged, and is not found; one that only they have is not even seen. */
static void who_went_says_nothing(void **state)
{
    (void)state;
    for (unsigned one = 0; one < 2; one++) {
        struct fleet *f = degraded(6, 1, 0, 0);
        put(f, 0, 63, 1, 1, 0, true, 1);
        put(f, 0, (hx_members)OUT, 2, 1, 1, true, 1);
        if (one)
            put(f, 0, 0x01, 2, 1, 1, true, 1);
        struct hx_recovery *r = open_volume(f, 1);
        /* Seen by one of the four: it may be kept, and then it is on three; by none: it is not. */
        if (!one)
            assert_int_equal(top(r)->vdl.v, 1);
        for (unsigned i = 0; i < HX_COPIES; i++)
            if (OUT >> i & 1)
                assert_true(fleet_seg_at(f, 0, i)->promised.v < top(r)->epoch.v);
        finish(f, r);
        fleet_free(f);
    }
}

/* Promise: what three of four acknowledged survives any one of the four absent. */
static void what_three_acknowledged_survives_any_one_absent(void **state)
{
    (void)state;
    static const unsigned four[] = {0, 1, 4, 5};
    for (unsigned miss = 0; miss < 4; miss++)
        for (unsigned gone = 0; gone < 4; gone++) {
            struct fleet *f = degraded(12, 2, 0, 1);
            hx_members had = (hx_members)(63 & ~OUT & ~(1u << four[miss]));
            put(f, 1, had, 1, 1, 0, true, 0);
            put(f, 0, had, 2, 1, 0, true, 0);
            down(f, 1, (hx_members)(1u << four[gone]));
            struct hx_recovery *r = open_volume(f, 1);
            assert_int_equal(top(r)->vdl.v, 2);
            finish(f, r);
            fleet_free(f);
        }
}

/* Promise (M7): who comes with a list of before, or with the degraded one when the group is whole again, is led to the
 * one in use; also when the zone is silent. */
static void an_older_list_leads_there(void **state)
{
    (void)state;
    for (unsigned back = 0; back < 2; back++) {
        struct fleet *f = back ? fleet_new(6, 1, LAL) : degraded(6, 1, 0, 0);
        struct hx_geometry hint = {0};
        struct hx_recovery *r = NULL;
        assert_int_equal(hx_geometry_copy(&hint, &f->geometry), 0);
        if (back) {
            hint.pgs[0].kind = HX_ROW_DEGRADED;
            hint.pgs[0].survivors = 63 & ~OUT;
            for (unsigned i = 0; i < HX_COPIES; i++)
                fleet_seg_at(f, 0, i)->geometry.m = 3;
            hint.m = 2;
        } else {
            hint.pgs[0].kind = HX_ROW_PLAIN;
            hint.pgs[0].survivors = 0;
            hint.m--;
            down(f, 0, (hx_members)OUT);
        }
        struct hx_recovery_cfg cfg = {.hint = &hint, .epoch_seen = HX_EPOCH(1), .seed = 1, .now_ms = f->now_ms};
        assert_int_equal(hx_recovery_new(&cfg, &r), 0);
        hx_geometry_fini(&hint);
        assert_true(run_for(f, r, 60000));
        assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
        assert_int_equal(hx_recovery_result(r)->geometry.pgs[0].kind, back ? HX_ROW_PLAIN : HX_ROW_DEGRADED);
        finish(f, r);
        fleet_free(f);
    }
}

/* Promise: all four were complete when the group was degraded, so one that has no segment forgot it: it counts for
 * nothing, is not made anew, and the other three open. */
static void one_that_forgot_counts_for_nothing(void **state)
{
    (void)state;
    struct fleet *f = degraded(12, 2, 1, 1);
    put(f, 1, 0x13, 1, 1, 0, true, 0);
    fleet_seg_at(f, 1, 0)->there = false;
    struct hx_recovery *r = open_volume(f, 1);
    assert_int_equal(top(r)->vdl.v, 1);
    assert_false(fleet_seg_at(f, 1, 0)->there);
    finish(f, r);
    fleet_free(f);
    f = degraded(12, 2, 1, 1);
    fleet_seg_at(f, 1, 0)->there = fleet_seg_at(f, 1, 1)->there = false;
    r = start(f, 1, 1);
    assert_false(run_for(f, r, 20000));
    finish(f, r);
    fleet_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_three_of_the_four_open),
        cmocka_unit_test(who_went_says_nothing),
        cmocka_unit_test(what_three_acknowledged_survives_any_one_absent),
        cmocka_unit_test(an_older_list_leads_there),
        cmocka_unit_test(one_that_forgot_counts_for_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("degrade_open", tests, NULL, NULL);
}
