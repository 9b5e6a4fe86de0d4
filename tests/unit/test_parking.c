/*
 * test_parking.c - who waits for what, and who may run next (hexad/parking.h).
 *
 * Method: small stories with the order of hx_parking_take as the outcome; then random walks with fixed seeds in
 * which hx_parking_check holds after every step and everybody who was parked comes out exactly once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hexad/parking.h"

#include <string.h>

#define BUDGET 8u

static struct hx_parking lot;

static int start(void **state)
{
    (void)state;
    return hx_parking_init(&lot, BUDGET);
}

static void send_all_home(void)
{
    hx_parking_fail_all(&lot, HX_E_CANCELED);
    while (hx_parking_take(&lot))
        ;
}

static int stop(void **state)
{
    (void)state;
    send_all_home();
    hx_parking_fini(&lot);
    return 0;
}

static void on_pages(struct hx_parked *op, uint64_t first, uint32_t count)
{
    struct hx_pageno pages[32];
    for (uint32_t i = 0; i < count; i++)
        pages[i] = HX_PAGE(first + i);
    assert_int_equal(hx_parking_on_pages(&lot, op, 1, 0, pages, count), 0);
    assert_true(hx_parking_check(&lot));
}

/* Promise: an operation runs when the last of its pages has come, not before.  Method: three pages, one twice. */
static void operation_runs_when_its_last_page_has_come(void **state)
{
    (void)state;
    struct hx_parked a = {0}, b = {0};
    on_pages(&a, 10, 3);
    on_pages(&b, 12, 2);
    hx_parking_page(&lot, HX_PAGE(10));
    hx_parking_page(&lot, HX_PAGE(10)); /* a duplicate does not count */
    hx_parking_page(&lot, HX_PAGE(99)); /* nobody waits for it */
    hx_parking_page(&lot, HX_PAGE(11));
    assert_null(hx_parking_take(&lot));
    hx_parking_page(&lot, HX_PAGE(12));
    assert_ptr_equal(hx_parking_take(&lot), &a);
    assert_null(hx_parking_take(&lot));
    hx_parking_page(&lot, HX_PAGE(13));
    assert_ptr_equal(hx_parking_take(&lot), &b);
    assert_int_equal(lot.in_flight, 0);
}

/* Promise: pages in flight stay within the budget; who waits for it comes in order; a giant goes alone. */
static void pages_in_flight_stay_within_the_budget(void **state)
{
    (void)state;
    struct hx_parked a = {0}, b = {0}, c = {0}, giant = {0};
    on_pages(&a, 0, BUDGET - 2);
    assert_true(hx_parking_admits(&lot, 2));
    assert_false(hx_parking_admits(&lot, 3));
    hx_parking_on_budget(&lot, &b, 1, 0, 3);
    hx_parking_on_budget(&lot, &c, 1, 0, 1);
    assert_null(hx_parking_take(&lot)); /* c would fit, but b is first */
    for (uint64_t i = 0; i < BUDGET - 2; i++)
        hx_parking_page(&lot, HX_PAGE(i));
    assert_ptr_equal(hx_parking_take(&lot), &a);
    assert_ptr_equal(hx_parking_take(&lot), &b);
    assert_true(hx_parking_admits(&lot, 3 * BUDGET));
    on_pages(&giant, 100, 3 * BUDGET);
    assert_null(hx_parking_take(&lot)); /* c waits for the giant */
    hx_parking_cancel(&lot, &giant, HX_E_CANCELED);
    assert_ptr_equal(hx_parking_take(&lot), &giant);
    assert_int_equal(giant.err, HX_E_CANCELED);
    assert_ptr_equal(hx_parking_take(&lot), &c);
}

/* Promise: first come, first served; whoever must wait again keeps its place, and nobody overtakes it meanwhile. */
static void who_must_wait_for_room_again_keeps_its_place(void **state)
{
    (void)state;
    struct hx_parked a = {0}, b = {0}, c = {0};
    assert_false(hx_parking_gated(&lot));
    hx_parking_on_turn(&lot, &a, 1, 0, HX_E_ROOM);
    assert_true(hx_parking_gated(&lot));
    hx_parking_on_turn(&lot, &b, 1, 0, HX_E_ROOM);
    assert_null(hx_parking_take(&lot));
    hx_parking_open(&lot, HX_E_GROW); /* not what the first one waits for */
    assert_null(hx_parking_take(&lot));
    hx_parking_open(&lot, HX_E_ROOM);
    assert_ptr_equal(hx_parking_take(&lot), &a);
    hx_parking_on_turn(&lot, &a, 2, 0, HX_E_GROW);
    hx_parking_on_turn(&lot, &c, 2, 0, HX_E_ROOM);
    assert_null(hx_parking_take(&lot));
    assert_int_equal(hx_parking_turn_why(&lot), HX_E_GROW);
    hx_parking_open(&lot, HX_E_GROW);
    assert_ptr_equal(hx_parking_take(&lot), &a);
    assert_ptr_equal(hx_parking_take(&lot), &b);
    assert_ptr_equal(hx_parking_take(&lot), &c);
    assert_null(hx_parking_take(&lot));
    assert_false(hx_parking_gated(&lot));
}

/*
 * Promise: an event that came while somebody else stood in front is not lost when that one gives up.
 * Method: room comes while the first waits for growth; the first is canceled, or its time is up; nothing else happens.
 */
static void an_event_is_not_lost_when_the_first_gives_up(void **state)
{
    (void)state;
    struct hx_parked first = {0}, hurried = {0}, second = {0};
    hx_parking_on_turn(&lot, &first, 1, 0, HX_E_GROW);
    hx_parking_on_turn(&lot, &hurried, 1, 50, HX_E_ROOM);
    hx_parking_on_turn(&lot, &second, 1, 0, HX_E_ROOM);
    hx_parking_open(&lot, HX_E_ROOM);
    assert_null(hx_parking_take(&lot)); /* first come, first served */
    hx_parking_cancel(&lot, &first, HX_E_CANCELED);
    assert_ptr_equal(hx_parking_take(&lot), &first);
    assert_ptr_equal(hx_parking_take(&lot), &hurried);
    hx_parking_on_turn(&lot, &hurried, 1, 50, HX_E_GROW);
    hx_parking_open(&lot, HX_E_ROOM);
    assert_null(hx_parking_take(&lot));
    hx_parking_tick(&lot, 1000);
    assert_ptr_equal(hx_parking_take(&lot), &hurried);
    assert_int_equal(hurried.err, HX_E_TIMEOUT);
    assert_ptr_equal(hx_parking_take(&lot), &second);
    assert_int_equal(second.err, 0);
    assert_null(hx_parking_take(&lot));
}

/* Promise: a wait for an LSN ends exactly when the VDL reaches it, in order, also if they were parked out of order. */
static void vdl_releases_exactly_what_it_covers(void **state)
{
    (void)state;
    struct hx_parked op[5] = {{0}};
    const uint64_t lsn[5] = {10, 20, 20, 15, 30};
    const int order[5] = {0, 3, 1, 2, 4};
    for (int i = 0; i < 5; i++)
        hx_parking_on_lsn(&lot, &op[i], 1, 0, HX_LSN(lsn[i]));
    assert_true(hx_parking_check(&lot));
    hx_parking_vdl(&lot, HX_LSN(9));
    assert_null(hx_parking_take(&lot));
    hx_parking_vdl(&lot, HX_LSN(29));
    for (int i = 0; i < 4; i++) {
        struct hx_parked *got = hx_parking_take(&lot);
        assert_ptr_equal(got, &op[order[i]]);
        assert_int_equal(got->err, 0);
    }
    assert_null(hx_parking_take(&lot));
    hx_parking_vdl(&lot, HX_LSN(30));
    assert_ptr_equal(hx_parking_take(&lot), &op[4]);
}

/* Promise: a deadline holds over several waits, ends the wait with TIMEOUT, and tick tells when to look again. */
static void a_deadline_is_not_prolonged_by_waiting_elsewhere(void **state)
{
    (void)state;
    struct hx_parked a = {0}, b = {0};
    hx_parking_on_turn(&lot, &a, 1000, 500, HX_E_ROOM);
    hx_parking_on_lsn(&lot, &b, 1000, 0, HX_LSN(7)); /* no deadline */
    assert_int_equal(hx_parking_tick(&lot, 1200), 300);
    hx_parking_open(&lot, HX_E_ROOM);
    assert_ptr_equal(hx_parking_take(&lot), &a);
    hx_parking_on_lsn(&lot, &a, 1400, 500, HX_LSN(5));
    assert_int_equal(hx_parking_tick(&lot, 1499), 1);
    assert_null(hx_parking_take(&lot));
    assert_int_equal(hx_parking_tick(&lot, 1500), UINT64_MAX);
    assert_ptr_equal(hx_parking_take(&lot), &a);
    assert_int_equal(a.err, HX_E_TIMEOUT);
    assert_null(hx_parking_take(&lot));
    hx_parking_vdl(&lot, HX_LSN(7));
    assert_ptr_equal(hx_parking_take(&lot), &b);
}

/* Promise: a failure of all (fenced) reaches everybody, wherever they wait, once. */
static void failing_all_reaches_every_place(void **state)
{
    (void)state;
    struct hx_parked op[6] = {{0}};
    on_pages(&op[0], 1, 2);
    hx_parking_on_budget(&lot, &op[1], 1, 0, 9);
    hx_parking_on_turn(&lot, &op[2], 1, 0, HX_E_ROOM);
    hx_parking_on_lsn(&lot, &op[3], 1, 0, HX_LSN(3));
    hx_parking_on_lsn(&lot, &op[4], 1, 0, HX_LSN(4));
    hx_parking_vdl(&lot, HX_LSN(3)); /* op[3] is READY */
    hx_parking_fail_all(&lot, HX_E_FENCED);
    assert_true(hx_parking_check(&lot));
    for (int i = 0; i < 5; i++)
        assert_int_equal(hx_parking_take(&lot)->err, HX_E_FENCED);
    assert_null(hx_parking_take(&lot));
    assert_int_equal(lot.count, 0);
}

/* Promise (K5): the first time counts, even when it was at the clock's zero. */
static void a_wait_that_began_at_zero_is_not_prolonged(void **state)
{
    (void)state;
    struct hx_parked a = {0};
    hx_parking_on_turn(&lot, &a, 0, 500, HX_E_ROOM);
    hx_parking_open(&lot, HX_E_ROOM);
    assert_ptr_equal(hx_parking_take(&lot), &a);
    hx_parking_on_lsn(&lot, &a, 300, 500, HX_LSN(5));
    assert_int_equal(hx_parking_tick(&lot, 400), 100);
    send_all_home();
}

/* Promise: an operation may wait for any number of pages; each wakes only those that wait for it.  Method: more pages
 * than there are buckets, so that many share one; two operations, every second page. */
static void pages_that_share_a_bucket_are_told_apart(void **state)
{
    (void)state;
    enum { N = 3 * HX_PARKING_BUCKETS };
    static struct hx_pageno pages[N / 2];
    struct hx_parked even = {0}, odd = {0};
    for (unsigned i = 0; i < N / 2; i++)
        pages[i] = HX_PAGE(2 * (uint64_t)i);
    assert_int_equal(hx_parking_on_pages(&lot, &even, 1, 0, pages, N / 2), 0);
    for (unsigned i = 0; i < N / 2; i++)
        pages[i] = HX_PAGE(2 * (uint64_t)i + 1);
    assert_int_equal(hx_parking_on_pages(&lot, &odd, 1, 0, pages, N / 2), 0);
    for (uint64_t i = 0; i < N; i += 2)
        hx_parking_page(&lot, HX_PAGE(i));
    assert_ptr_equal(hx_parking_take(&lot), &even);
    assert_null(hx_parking_take(&lot));
    assert_int_equal(odd.missing, N / 2);
    send_all_home();
}

/* Promise: nobody waits for a turn: there is no reason to tell. */
static void without_a_turn_there_is_no_reason(void **state)
{
    (void)state;
    assert_int_equal(hx_parking_turn_why(&lot), 0);
}

/* Each spoils one thing; hx_parking_check must see it.  op: 0 pages, 1 budget, 2 turn, 3 and 4 lsn, 5 ready. */
static void spoil(unsigned what, struct hx_parked *op)
{
    switch (what) {
    case 0: op[1].place = HX_PARK_TURN; break;
    case 1: op[2].place = HX_PARK_BUDGET; break;
    case 2: op[3].place = HX_PARK_TURN; break;
    case 3: op[5].place = HX_PARK_LSN; break;
    case 4: op[4].prev = NULL; break;
    case 5: op[3].lsn = HX_LSN(100); break; /* above the next one */
    case 6: lot.lsn.count++; break;
    case 7: lot.lsn.tail = &op[3]; break;
    case 8: op[0].missing++; break;
    case 9: op[0].missing = op[0].page_count = 0; break; /* waits for nothing */
    case 10: lot.count++; break;
    case 11: lot.on_pages++; break;
    case 12: lot.in_flight++; break;
    case 13: lot.ready.tail = NULL; break;
    case 14: lot.page_budget = 1; break;
    default: op[0].place = HX_PARK_READY;
    }
}

/* Promise: the check by which tests and the simulator watch the rules K1..K4 sees each of them broken. */
static void the_check_sees_every_rule_broken(void **state)
{
    (void)state;
    for (unsigned what = 0; what <= 15; what++) {
        struct hx_parked op[7] = {{0}};
        on_pages(&op[0], 1, 2);
        on_pages(&op[6], 5, 2);
        hx_parking_on_budget(&lot, &op[1], 1, 0, 9);
        hx_parking_on_turn(&lot, &op[2], 1, 0, HX_E_ROOM);
        hx_parking_on_lsn(&lot, &op[3], 1, 0, HX_LSN(13));
        hx_parking_on_lsn(&lot, &op[4], 1, 0, HX_LSN(14));
        hx_parking_on_lsn(&lot, &op[5], 1, 0, HX_LSN(3));
        hx_parking_vdl(&lot, HX_LSN(3));
        assert_true(hx_parking_check(&lot));
        struct hx_parking good = lot;
        struct hx_parked was[7];
        memcpy(was, op, sizeof op);
        spoil(what, op);
        if (hx_parking_check(&lot))
            fail_msg("breach %u is not seen", what);
        lot = good;
        memcpy(op, was, sizeof op);
        assert_true(hx_parking_check(&lot));
        send_all_home();
    }
}

static uint64_t seed;
static uint32_t roll(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % below;
}

static void park_somewhere(struct hx_parked *op, uint64_t now, uint64_t lsn)
{
    struct hx_pageno pages[4];
    uint32_t n = 1 + roll(4), first = roll(40);
    switch (roll(3)) {
    case 0:
        for (uint32_t i = 0; i < n; i++)
            pages[i] = HX_PAGE(first + i);
        if (hx_parking_admits(&lot, n))
            assert_int_equal(hx_parking_on_pages(&lot, op, now, roll(2) * 50, pages, n), 0);
        else
            hx_parking_on_budget(&lot, op, now, 0, n);
        break;
    case 1:
        hx_parking_on_turn(&lot, op, now, roll(2) * 50, roll(2) ? HX_E_ROOM : HX_E_GROW);
        break;
    default:
        hx_parking_on_lsn(&lot, op, now, roll(2) * 50, HX_LSN(lsn + roll(10)));
    }
}

/* Promise: the rules hold after every step of any story.  Method: 40 random walks of 2,000 steps, checked. */
static void rules_hold_on_random_walks(void **state)
{
    (void)state;
    for (uint64_t walk = 1; walk <= 40; walk++) {
        static struct hx_parked ops[60];
        seed = walk;
        uint64_t vdl = 0;
        for (size_t i = 0; i < HX_ARRAY_LEN(ops); i++)
            ops[i] = (struct hx_parked){0};
        for (uint64_t now = 1; now < 2000; now++) {
            struct hx_parked *op = &ops[roll(HX_ARRAY_LEN(ops))];
            switch (roll(6)) {
            case 0:
                if (op->place == HX_PARK_NONE)
                    park_somewhere(op, now, vdl);
                break;
            case 1:
                hx_parking_page(&lot, HX_PAGE(roll(44)));
                break;
            case 2:
                hx_parking_vdl(&lot, HX_LSN(++vdl));
                hx_parking_open(&lot, HX_E_ROOM);
                break;
            case 3:
                hx_parking_tick(&lot, now);
                break;
            case 4:
                if (roll(4) == 0)
                    hx_parking_cancel(&lot, op, HX_E_CANCELED);
                break;
            default:
                op = hx_parking_take(&lot);
                if (op)
                    assert_int_equal(op->place, HX_PARK_NONE);
            }
            assert_true(hx_parking_check(&lot));
        }
        size_t left = lot.count, out = 0;
        hx_parking_fail_all(&lot, HX_E_CANCELED);
        while (hx_parking_take(&lot))
            out++;
        assert_int_equal(left, out);
        assert_int_equal(lot.in_flight, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(operation_runs_when_its_last_page_has_come, start, stop),
        cmocka_unit_test_setup_teardown(pages_in_flight_stay_within_the_budget, start, stop),
        cmocka_unit_test_setup_teardown(who_must_wait_for_room_again_keeps_its_place, start, stop),
        cmocka_unit_test_setup_teardown(an_event_is_not_lost_when_the_first_gives_up, start, stop),
        cmocka_unit_test_setup_teardown(vdl_releases_exactly_what_it_covers, start, stop),
        cmocka_unit_test_setup_teardown(a_deadline_is_not_prolonged_by_waiting_elsewhere, start, stop),
        cmocka_unit_test_setup_teardown(failing_all_reaches_every_place, start, stop),
        cmocka_unit_test_setup_teardown(a_wait_that_began_at_zero_is_not_prolonged, start, stop),
        cmocka_unit_test_setup_teardown(pages_that_share_a_bucket_are_told_apart, start, stop),
        cmocka_unit_test_setup_teardown(without_a_turn_there_is_no_reason, start, stop),
        cmocka_unit_test_setup_teardown(the_check_sees_every_rule_broken, start, stop),
        cmocka_unit_test_setup_teardown(rules_hold_on_random_walks, start, stop),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("parking", tests, NULL, NULL);
}
