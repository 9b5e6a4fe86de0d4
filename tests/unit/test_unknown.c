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

/* Promise: damage from below the SCL to above it is settled for itself below.  Blind: page by page there, and above by
 * what comes; lost by a restart without an end: the chain reaches over what is below; with an end: what is below is
 * looked for in the files.  None is where nothing can be told yet: above the hint. */
static void damage_across_the_scl_is_split(void **state)
{
    (void)state;
    static const struct {
        uint64_t from, to;
        bool blind;
        uint64_t hint, scl;
        uint64_t low_to, high_from; /* 0: there is none */
    } cases[] = {
        {10, 20, true, 15, 15, 15, 16},        {10, 20, true, 30, 15, 15, 16},
        {10, 20, true, 14, 15, 20, 0},         {10, 20, true, 30, 20, 20, 0},
        {10, 20, true, 30, 9, 20, 0},          {10, UINT64_MAX, true, 30, 15, 15, 16},
        {10, UINT64_MAX, false, 14, 15, 0, 16}, {10, UINT64_MAX, false, 30, 9, 0, 10},
        {10, 20, false, 30, 15, 15, 16},       {10, 20, false, 14, 15, 20, 0},
        {10, 20, false, 30, 9, 20, 0},         {10, 20, false, 30, 20, 20, 0},
    };
    for (size_t i = 0; i < HX_ARRAY_LEN(cases); i++) {
        struct hx_seg_env env = {0};
        struct hx_seg s = {.env = &env, .chain = {.hint = cases[i].hint, .scl = cases[i].scl}};
        assert_int_equal(hx_seg_unknown(&s, cases[i].from, cases[i].to, HX_NONE, cases[i].blind), 0);
        hx_seg_unknown_split(&s, 0);
        unsigned low = 0, high = 0;
        for (size_t k = 0; k < s.unknown_count; k++) {
            const struct hx_unknown *u = &s.unknowns[k];
            low += u->from == 10 && u->to == cases[i].low_to;
            high += u->from == cases[i].high_from && u->to == cases[i].to;
            if (cases[i].low_to && cases[i].high_from)
                assert_int_equal(u->blind, cases[i].blind && u->from == 10);
        }
        if (low != (cases[i].low_to > 0) || high != (cases[i].high_from > 0) || s.unknown_count != low + high)
            fail_msg("case %u: %u below, %u above, %u in all", (unsigned)i, low, high, (unsigned)s.unknown_count);
        free(s.unknowns);
    }
}

/* Promise: damage of a page's record is that page's, and stays one. */
static void damage_of_a_page_is_not_split(void **state)
{
    (void)state;
    struct hx_seg_env env = {0};
    struct hx_seg s = {.env = &env, .chain = {.hint = 30, .scl = 15}};
    assert_int_equal(hx_seg_unknown(&s, 10, 20, 3, false), 0);
    hx_seg_unknown_split(&s, 0);
    assert_int_equal(s.unknown_count, 1);
    assert_true(s.unknowns[0].from == 10 && s.unknowns[0].to == 20 && s.unknowns[0].page == 3);
    free(s.unknowns);
}

/* Promise: of no record at all nothing is lost, wherever damage is. */
static void an_empty_range_is_lost_nowhere(void **state)
{
    (void)state;
    struct hx_seg_env env = {0};
    struct hx_seg s = {.env = &env};
    assert_int_equal(hx_seg_unknown(&s, 10, 20, HX_NONE, true), 0);
    assert_false(hx_seg_lost_within(&s, 16, 15));
    assert_true(hx_seg_lost_within(&s, 15, 15));
    assert_true(hx_seg_lost_within(&s, 20, 30) && hx_seg_lost_within(&s, 1, 10));
    assert_false(hx_seg_lost_within(&s, 21, 30) || hx_seg_lost_within(&s, 1, 9));
    free(s.unknowns);
}

/* Promise: that a peer has confirmed a page counts for damage up to where it was confirmed, for read points from there
 * on, and for this page; an image counts when it is just the one that was asked for. */
static void what_was_confirmed_counts_so_far(void **state)
{
    (void)state;
    uint8_t bits[2] = {0};
    struct hx_seg_env env = {0};
    struct hx_seg s = {.env = &env, .sound = {.bits = bits, .at = 50, .to = 50, .want_count = 2}};
    const struct hx_unknown within = {10, 50, HX_NONE, true}, beyond = {10, 51, HX_NONE, true},
                            lost = {10, 50, HX_NONE, false};
    s.sound.want[0] = (struct hx_sound_page){3, 40};
    s.sound.want[1] = (struct hx_sound_page){9, 41};
    hx_seg_mended(&s, 3, 39, 0); /* an older one of that page */
    hx_seg_mended(&s, 9, 40, 0);
    assert_true(bits[0] == 0 && bits[1] == 0);
    hx_seg_mended(&s, 9, 41, 0);
    assert_true(bits[0] == 0 && bits[1] == 2);
    assert_true(hx_seg_is_sound(&s, &within, 9, 50));
    assert_false(hx_seg_is_sound(&s, &within, 9, 49));
    assert_false(hx_seg_is_sound(&s, &within, 3, 50));
    assert_false(hx_seg_is_sound(&s, &beyond, 9, 50));
    assert_false(hx_seg_is_mended(&s, &within));
    s.sound.whole = true;
    assert_true(hx_seg_is_mended(&s, &within));
    assert_false(hx_seg_is_mended(&s, &beyond) || hx_seg_is_mended(&s, &lost));
    s.sound.bits = NULL;
    assert_false(hx_seg_is_sound(&s, &within, 9, 50));
}

/* Promise: what was lost without an end ends where the next history cuts the volume: it was of an older epoch. */
static void the_next_history_ends_what_had_no_end(void **state)
{
    (void)state;
    for (unsigned above = 0; above < 2; above++) {
        struct hx_seg_env env = {0};
        struct hx_seg s = {.env = &env, .log = {.endless = true, .highest = above ? 30 : 15}};
        assert_int_equal(hx_history_push(&s.meta.history, (struct hx_history_entry){{1}, {0}, {0}, 100}), 0);
        assert_int_equal(hx_history_push(&s.meta.history, (struct hx_history_entry){{2}, {20}, {120}, 100}), 0);
        assert_int_equal(hx_seg_unknown(&s, 10, UINT64_MAX, HX_NONE, false), 0);
        assert_int_equal(hx_seg_unknown(&s, 21, UINT64_MAX, HX_NONE, true), 0); /* there was nothing */
        assert_int_equal(hx_seg_unknown(&s, 3, 8, HX_NONE, true), 0);
        assert_int_equal(hx_apply_history(&s), 0);
        assert_int_equal(s.unknown_count, 2);
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(s.unknowns[i].to, s.unknowns[i].from == 3 ? 8 : 20);
        assert_false(s.log.endless);
        assert_int_equal(s.log.highest, above ? 30 : 20);
        free(s.unknowns);
        hx_history_fini(&s.meta.history);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_across_the_scl_is_split),
        cmocka_unit_test(damage_of_a_page_is_not_split),
        cmocka_unit_test(an_empty_range_is_lost_nowhere),
        cmocka_unit_test(the_next_history_ends_what_had_no_end),
        cmocka_unit_test(what_was_confirmed_counts_so_far),
        cmocka_unit_test(records_put_a_lost_tail_right_in_order),
        cmocka_unit_test(no_record_puts_blind_damage_right),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
