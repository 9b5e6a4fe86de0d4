/*
 * test_quorum.c - quorum algebra, exhaustively: all 64 sets, all pairs, all orders of SCLs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hexad/quorum.h"

/* The dumb twin: counts by walking. */
static unsigned twin_count(unsigned set)
{
    unsigned n = 0;
    for (unsigned i = 0; i < 6; i++)
        n += set >> i & 1;
    return n;
}

/* Promise: 4 of 6 and 3 of 6, for every set. */
static void thresholds_are_four_and_three(void **state)
{
    (void)state;
    for (unsigned s = 0; s < 64; s++) {
        assert_int_equal(hx_members_count((hx_members)s), twin_count(s));
        assert_int_equal(hx_quorum_write((hx_members)s), twin_count(s) >= 4);
        assert_int_equal(hx_quorum_read((hx_members)s), twin_count(s) >= 3);
        assert_int_equal(hx_quorum_denies((hx_members)s), twin_count(63 & ~s) < 4);
    }
}

/* Promise: a write quorum meets every read quorum and every write quorum; who denies meets every write
 * quorum.  All pairs of sets. */
static void quorums_meet(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 64; a++)
        for (unsigned b = 0; b < 64; b++) {
            if (!hx_quorum_write((hx_members)a))
                continue;
            if (hx_quorum_write((hx_members)b) || hx_quorum_read((hx_members)b) || hx_quorum_denies((hx_members)b))
                assert_true((a & b) != 0);
        }
}

/* Promise: with any zone lost writes go on; with a zone and one more reads do; writes do not. */
static void a_zone_and_one_more(void **state)
{
    (void)state;
    for (unsigned zone = 0; zone < 3; zone++) {
        unsigned left = 63 & ~(3u << 2 * zone);
        assert_true(hx_quorum_write((hx_members)left));
        for (unsigned k = 0; k < 6; k++) {
            if (!(left >> k & 1))
                continue;
            assert_true(hx_quorum_read((hx_members)(left & ~(1u << k))));
            assert_false(hx_quorum_write((hx_members)(left & ~(1u << k))));
        }
    }
}

/* Promise: the K-th largest SCL is what at least K members have reached, and no higher one is.  Every
 * assignment of values 0..3 to six members, every K. */
static void kth_is_reached_by_k_members(void **state)
{
    (void)state;
    for (unsigned code = 0; code < 4096; code++) {
        struct hx_lsn scl[6];
        for (unsigned i = 0; i < 6; i++)
            scl[i] = HX_LSN(code >> 2 * i & 3);
        for (unsigned k = 1; k <= 6; k++) {
            uint64_t best = 0;
            for (uint64_t v = 0; v < 4; v++) {
                unsigned n = 0;
                for (unsigned i = 0; i < 6; i++)
                    n += scl[i].v >= v;
                if (n >= k)
                    best = v;
            }
            assert_true(hx_quorum_kth(scl, k).v == best);
        }
        assert_true(hx_quorum_pgcl(scl).v == hx_quorum_kth(scl, 4).v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thresholds_are_four_and_three),
        cmocka_unit_test(quorums_meet),
        cmocka_unit_test(a_zone_and_one_more),
        cmocka_unit_test(kth_is_reached_by_k_members),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("quorum", tests, NULL, NULL);
}
