/*
 * test_unknown.c - which damage a record that comes back puts right (src/store/seg.c).
 *
 * Promise: damage is never returned as data.  What was lost in a tail are records, and each that a peer gives again is
 * there again.  What was lost blind are also pages and copies of older records, which the store had made by itself and
 * whose originals may be deleted: no record brings those back, only a peer's pages do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/store.h"

#include <stdlib.h>

static void records_put_a_lost_tail_right_in_order(void **state)
{
    (void)state;
    struct hx_seg_env env = {0};
    struct hx_seg s = {.env = &env};
    assert_int_equal(hx_seg_unknown(&s, 10, 20, HX_NONE, false), 0);
    hx_seg_known(&s, 12, 14); /* not the first that is missing */
    assert_int_equal(s.unknowns[0].from, 10);
    hx_seg_known(&s, 7, 12);
    assert_int_equal(s.unknowns[0].from, 13);
    hx_seg_known(&s, 12, 20);
    assert_int_equal(s.unknown_count, 0);
    free(s.unknowns);
}

static void no_record_puts_blind_damage_right(void **state)
{
    (void)state;
    struct hx_seg_env env = {0};
    struct hx_seg s = {.env = &env};
    assert_int_equal(hx_seg_unknown(&s, 10, 20, HX_NONE, true), 0);
    assert_int_equal(hx_seg_unknown(&s, 10, 20, HX_NONE, false), 0);
    hx_seg_known(&s, 9, 15);
    hx_seg_known(&s, 15, 20);
    assert_int_equal(s.unknown_count, 1);
    assert_true(s.unknowns[0].blind);
    assert_int_equal(s.unknowns[0].from, 10);
    assert_int_equal(s.unknowns[0].to, 20);
    free(s.unknowns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_put_a_lost_tail_right_in_order),
        cmocka_unit_test(no_record_puts_blind_damage_right),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
