/*
 * test_ahead.c - read-ahead (hexad/ahead.h): who is kept ahead of, how far, and what it may cost others.
 *
 * Method: readers as sequences of (offset, length); the ranges that are given are checked against what was asked for
 * before and against the rules A1..A4.  Each case was seen to fail with its rule taken out of src/fs/ahead.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hexad/ahead.h"

#include <stdlib.h>

#define U HX_AHEAD_UNIT
#define KIB (UINT64_C(1) << 10)

static bool reads(struct hx_ahead *a, struct hx_ahead_stream *s, uint64_t off, uint64_t len, uint64_t *from,
                  uint64_t *to)
{
    *from = *to = 0;
    bool yes = hx_ahead_read(a, s, off, len, from, to);
    assert_true(a->held <= a->budget); /* A2 */
    assert_true(!yes || (*from < *to && *to % U == 0)); /* A3 */
    assert_int_equal(yes, *from < *to);
    return yes;
}

/* Promise: a file that is read through in order is asked for once, without gaps, in whole units; the reader is soon
 * more than half a full window ahead of, and stays so. */
static void a_sequential_reader_is_kept_ahead_of(void **state)
{
    (void)state;
    static const uint64_t lens[] = {4 * KIB, 128 * KIB, U, 1024 * KIB};
    for (unsigned k = 0; k < HX_ARRAY_LEN(lens); k++) {
        struct hx_ahead a;
        struct hx_ahead_stream s = {0};
        uint64_t from, to, known = 0, far = 0;
        hx_ahead_init(&a, 16 * U, 64 * U);
        for (uint64_t off = 0; off < 256 * U; off += lens[k]) {
            if (reads(&a, &s, off, lens[k], &from, &to)) {
                assert_true(from == (known > off + lens[k] ? known : off + lens[k]));
                known = to;
            }
            uint64_t next = off + lens[k];
            assert_true(known <= next + 16 * U);
            if (off >= 32 * U)
                assert_true(known > next + 7 * U);
            far = known;
        }
        assert_true(far >= 256 * U);
        hx_ahead_drop(&a, &s);
        assert_true(a.held == 0 && a.count == 0 && !a.newest && !a.oldest);
    }
}

/* Promise: one who jumps gets nothing (A1), also in small steps backwards; nor who reads a file's first piece only. */
static void a_reader_that_jumps_gets_nothing(void **state)
{
    (void)state;
    struct hx_ahead a;
    struct hx_ahead_stream s = {0};
    uint64_t from, to, random = 7;
    hx_ahead_init(&a, 16 * U, 64 * U);
    assert_false(reads(&a, &s, 0, U, &from, &to));
    for (unsigned i = 0; i < 1000; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint64_t off = (random >> 20) % 100000 * 2 * 4 * KIB;
        assert_false(off != s.next && reads(&a, &s, off, 4 * KIB, &from, &to));
    }
    for (uint64_t off = 1000; off > 0; off--)
        assert_false(reads(&a, &s, off * 4 * KIB, 4 * KIB, &from, &to));
    assert_true(a.held == 0);
    for (uint64_t i = 8; i > 0; i--) /* an offset that no file has: nothing overflows */
        assert_false(reads(&a, &s, UINT64_MAX - i * KIB, KIB, &from, &to));
}

/* Promise: a jump gives back what was held, and the reader has to prove itself again. */
static void a_jump_ends_it(void **state)
{
    (void)state;
    struct hx_ahead a;
    struct hx_ahead_stream s = {0};
    uint64_t from, to;
    hx_ahead_init(&a, 16 * U, 64 * U);
    for (uint64_t i = 0; i < 8; i++)
        reads(&a, &s, i * U, U, &from, &to);
    assert_true(a.held > 0);
    assert_false(reads(&a, &s, 1000 * U, U, &from, &to));
    assert_true(a.held == 0);
    assert_false(reads(&a, &s, 1001 * U, U, &from, &to));
    assert_true(reads(&a, &s, 1002 * U, U, &from, &to));
    assert_true(from == 1003 * U);
}

/* Promise: requests that overtake one another are no jump (A4). */
static void late_requests_are_no_jump(void **state)
{
    (void)state;
    struct hx_ahead a;
    struct hx_ahead_stream s = {0};
    uint64_t from, to, known = 0;
    hx_ahead_init(&a, 16 * U, 64 * U);
    for (uint64_t i = 0; i < 8; i++)
        if (reads(&a, &s, i * U, U, &from, &to))
            known = to;
    for (uint64_t i = 8; i < 64; i += 2) { /* in pairs, the second first */
        if (reads(&a, &s, (i + 1) * U, U, &from, &to)) {
            assert_true(from >= known);
            known = to;
        }
        if (reads(&a, &s, i * U, U, &from, &to)) {
            assert_true(from >= known);
            known = to;
        }
        assert_true(known > (i + 2) * U);
    }
}

/* Promise: all together stay within the budget; one who has stopped gives way to one who goes on, and when he goes
 * on himself he is kept ahead of again (A2). */
static void idle_readers_give_way(void **state)
{
    (void)state;
    struct hx_ahead a;
    struct hx_ahead_stream s[40] = {{0}};
    uint64_t from, to;
    hx_ahead_init(&a, 16 * U, 32 * U);
    for (unsigned k = 0; k < 40; k++)
        for (uint64_t i = 0; i < 20; i++)
            reads(&a, &s[k], i * U, U, &from, &to);
    assert_true(s[39].until > s[39].next); /* the last one got its part, though 39 had taken theirs and stopped */
    bool again = false;
    for (uint64_t i = 20; i < 40 && !again; i++)
        again = reads(&a, &s[0], i * U, U, &from, &to);
    assert_true(again && s[0].until > s[0].next);
    for (unsigned k = 0; k < 40; k++)
        hx_ahead_drop(&a, &s[k]);
    assert_true(a.held == 0 && a.count == 0);
}

/* Promise: readers who all go on have a share each and do not take from one another; more of them than there are units
 * of the budget take turns, and none is starved. */
static void readers_share(void **state)
{
    (void)state;
    static const unsigned counts[] = {8, 40};
    for (unsigned c = 0; c < HX_ARRAY_LEN(counts); c++) {
        struct hx_ahead a;
        struct hx_ahead_stream s[40] = {{0}};
        uint64_t from, to, got[40] = {0};
        hx_ahead_init(&a, 16 * U, 32 * U);
        for (uint64_t i = 0; i < 200; i++)
            for (unsigned k = 0; k < counts[c]; k++) {
                if (reads(&a, &s[k], i * U, U, &from, &to))
                    got[k] += to - from;
                assert_true(counts[c] > 8 || i < 20 || (s[k].window == 4 * U && s[k].until > s[k].next + U));
            }
        for (unsigned k = 0; k < counts[c]; k++)
            assert_true(got[k] >= (counts[c] > 8 ? 100 : 190) * U);
    }
}

/* Promise: the end of the file holds nothing beyond it; a window of 0 is no read-ahead; a budget below a unit, too. */
static void ends_and_limits(void **state)
{
    (void)state;
    struct hx_ahead a;
    struct hx_ahead_stream s = {0};
    uint64_t from, to;
    hx_ahead_init(&a, 16 * U, 64 * U);
    for (uint64_t i = 0; i < 3; i++)
        reads(&a, &s, i * U, U, &from, &to);
    assert_true(s.until > 4 * U);
    hx_ahead_end(&a, &s, 4 * U + 5);
    assert_true(a.held == U + 5);
    hx_ahead_end(&a, &s, 2 * U);
    assert_true(a.held == 0 && a.count == 0);
    hx_ahead_drop(&a, &s);
    for (unsigned k = 0; k < 2; k++) {
        hx_ahead_init(&a, k ? 16 * U : U - 1, k ? U - 1 : 64 * U);
        for (uint64_t i = 0; i < 20; i++)
            assert_false(reads(&a, &s, i * U, U, &from, &to));
        hx_ahead_drop(&a, &s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sequential_reader_is_kept_ahead_of),
        cmocka_unit_test(a_reader_that_jumps_gets_nothing),
        cmocka_unit_test(a_jump_ends_it),
        cmocka_unit_test(late_requests_are_no_jump),
        cmocka_unit_test(idle_readers_give_way),
        cmocka_unit_test(readers_share),
        cmocka_unit_test(ends_and_limits),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
