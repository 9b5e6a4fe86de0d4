/*
 * test_room.c - room on the servers' disks (hexad/room.h): when new data is refused, what df may say, when to ask.
 *
 * Method: a geometry of six or more servers, answers and bytes written told by hand.  Each case was seen to fail with
 * its rule taken out of src/fs/room.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hexad/room.h"

#include <stdio.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)
#define TOTAL (1024 * MIB)
#define RESERVE hx_room_reserve(TOTAL)
#define WINDOW (20 * MIB)

struct bed {
    struct hx_geometry g;
    struct hx_room room;
    uint64_t now;
};

/* Servers of three zones in turn; groups of six neighbours each. */
static void bed_open(struct bed *b, uint32_t servers, uint32_t groups)
{
    *b = (struct bed){.now = 1000};
    for (uint32_t i = 0; i < servers; i++) {
        struct hx_server s = {.incarnation = {{(uint8_t)(i + 1)}}};
        snprintf(s.name, sizeof s.name, "s%u", i);
        snprintf(s.zone, sizeof s.zone, "z%u", i % 6 / 2);
        assert_int_equal(hx_geometry_add_server(&b->g, &s), 0);
    }
    for (uint32_t pg = 0; pg < groups; pg++) {
        struct hx_pg_members m;
        for (unsigned k = 0; k < HX_COPIES; k++)
            m.server[k] = (uint16_t)((pg * HX_COPIES + k) % servers);
        assert_int_equal(hx_geometry_add_pg(&b->g, &m), 0);
    }
    hx_room_init(&b->room, WINDOW);
    assert_int_equal(hx_room_servers(&b->room, &b->g), 0);
}

static void bed_close(struct bed *b)
{
    hx_room_fini(&b->room);
    hx_geometry_fini(&b->g);
}

static void hears(struct bed *b, uint32_t i, uint64_t free_bytes)
{
    hx_room_heard(&b->room, i, b->room.settled, TOTAL, free_bytes);
}

static enum hx_room_level level(const struct bed *b)
{
    return hx_room_level(&b->room, b->now, &b->g);
}

static uint64_t left(const struct bed *b)
{
    uint64_t n;
    assert_true(hx_room_left(&b->room, b->now, &b->g, &n));
    return n;
}

static bool asks(struct bed *b)
{
    uint64_t ticket;
    return hx_room_ask(&b->room, b->now, &b->g, &ticket);
}

/* Promise (R1, R2): two servers without room, or of which nothing is known, change nothing; the third does, and which
 * of the reserve's halves it has reached says what may still be written. */
static void four_of_six_need_room(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b, 6, 1);
    assert_int_equal(level(&b), HX_ROOM_PLENTY);
    hears(&b, 0, 0);
    hears(&b, 3, 0);
    assert_int_equal(level(&b), HX_ROOM_PLENTY);
    hears(&b, 5, RESERVE);
    assert_int_equal(level(&b), HX_ROOM_PLENTY);
    hears(&b, 5, RESERVE - 1);
    assert_int_equal(level(&b), HX_ROOM_SCARCE);
    hears(&b, 5, RESERVE / 2);
    assert_int_equal(level(&b), HX_ROOM_SCARCE);
    hears(&b, 5, RESERVE / 2 - 1);
    assert_int_equal(level(&b), HX_ROOM_NONE);
    hears(&b, 0, TOTAL);
    assert_int_equal(level(&b), HX_ROOM_PLENTY);
    bed_close(&b);
}

/* Promise (R2): what counts are members of one group, in whichever group they are. */
static void three_in_one_group(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b, 12, 2);
    hears(&b, 0, 0);
    hears(&b, 6, 0);
    hears(&b, 7, 0);
    assert_int_equal(level(&b), HX_ROOM_PLENTY);
    hears(&b, 11, 0);
    assert_int_equal(level(&b), HX_ROOM_NONE);
    bed_close(&b);
}

/* Promise (R3): what has been written since a server answered counts, at most a window of what was in flight when it
 * was asked; and a late answer does not bring old room back. */
static void what_is_in_flight_counts(void **state)
{
    (void)state;
    struct bed b;
    uint64_t ticket;
    bed_open(&b, 6, 1);
    for (uint32_t i = 0; i < 6; i++)
        hears(&b, i, RESERVE + 30 * MIB);
    hx_room_written(&b.room, 30 * MIB, false);
    assert_int_equal(level(&b), HX_ROOM_PLENTY);
    assert_int_equal(left(&b), 0);
    hx_room_written(&b.room, 30 * MIB + 1, false);
    assert_int_equal(level(&b), HX_ROOM_SCARCE);
    assert_true(hx_room_ask(&b.room, b.now, &b.g, &ticket));
    assert_int_equal(ticket, 10 * MIB + 1);
    for (uint32_t i = 0; i < 6; i++)
        hx_room_heard(&b.room, i, ticket, TOTAL, RESERVE + 21 * MIB);
    assert_int_equal(level(&b), HX_ROOM_PLENTY);
    assert_int_equal(left(&b), MIB);
    for (uint32_t i = 0; i < 6; i++)
        hx_room_heard(&b.room, i, 0, TOTAL, TOTAL); /* asked before */
    assert_int_equal(left(&b), MIB);
    hx_room_written(&b.room, 200 * MIB, false); /* a guess refuses new data, nothing else */
    assert_int_equal(level(&b), HX_ROOM_SCARCE);
    bed_close(&b);
}

/* Promise: refusals of three members of a group are full disks, also when what the disks say sounds well; that holds
 * for a while, and ends at once when all has become durable. */
static void refusals_count_for_a_while(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b, 6, 1);
    for (uint32_t i = 0; i < 6; i++)
        hears(&b, i, TOTAL);
    hx_room_written(&b.room, MIB, false);
    hx_room_refused(&b.room, b.now, 2);
    assert_false(hx_room_full(&b.room, b.now));
    assert_int_equal(level(&b), HX_ROOM_PLENTY);
    hx_room_refused(&b.room, b.now, 3);
    hx_room_refused(&b.room, b.now, 0);
    assert_true(hx_room_full(&b.room, b.now));
    assert_int_equal(level(&b), HX_ROOM_NONE);
    assert_int_equal(left(&b), 0);
    b.now += HX_ROOM_FULL_MS - 1;
    assert_true(hx_room_full(&b.room, b.now));
    b.now++;
    assert_false(hx_room_full(&b.room, b.now));
    hx_room_refused(&b.room, b.now, 6);
    hx_room_written(&b.room, MIB, true);
    assert_false(hx_room_full(&b.room, b.now));
    assert_int_equal(level(&b), HX_ROOM_PLENTY);
    bed_close(&b);
}

/* Promise: df says what a write quorum can take; with more servers than six, what two of each zone can; nothing while
 * new data is refused; and does not know before anybody has answered. */
static void what_is_left(void **state)
{
    (void)state;
    struct bed b;
    uint64_t n;
    bed_open(&b, 6, 1);
    assert_false(hx_room_left(&b.room, b.now, &b.g, &n));
    for (uint32_t i = 0; i < 6; i++)
        hears(&b, i, RESERVE + (i + 1) * 10 * MIB);
    assert_int_equal(left(&b), 30 * MIB); /* the fourth largest */
    hears(&b, 0, 0);
    hears(&b, 1, 0);
    assert_int_equal(left(&b), 30 * MIB);
    hears(&b, 2, 0);
    assert_int_equal(left(&b), 0);
    bed_close(&b);

    bed_open(&b, 12, 2);
    for (uint32_t i = 0; i < 12; i++)
        hears(&b, i, RESERVE + 100 * MIB);
    assert_int_equal(left(&b), 200 * MIB);
    hears(&b, 0, RESERVE + 40 * MIB);
    assert_int_equal(left(&b), 170 * MIB);
    bed_close(&b);
}

/* Promise: a server that has another disk than before, or is new, starts unknown; the others keep what they said. */
static void servers_come_and_change(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b, 6, 1);
    for (uint32_t i = 0; i < 6; i++)
        hears(&b, i, i < 3 ? 0 : TOTAL);
    assert_int_equal(level(&b), HX_ROOM_NONE);
    b.g.servers[1].incarnation.b[5] = 7;
    struct hx_server s = {.name = "s6", .zone = "z0", .incarnation = {{99}}};
    assert_int_equal(hx_geometry_add_server(&b.g, &s), 0);
    assert_int_equal(hx_room_servers(&b.room, &b.g), 0);
    assert_int_equal(level(&b), HX_ROOM_PLENTY);
    hears(&b, 6, 0);
    hears(&b, 1, 0);
    assert_int_equal(level(&b), HX_ROOM_NONE);
    hx_room_heard(&b.room, 7, 0, TOTAL, 0); /* nobody */
    bed_close(&b);
}

/* Promise: the less is left and the more is written, the sooner servers are asked; never in every turn of the loop. */
static void when_to_ask(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b, 6, 1);
    assert_true(asks(&b));
    assert_false(asks(&b));
    for (uint32_t i = 0; i < 6; i++)
        hears(&b, i, RESERVE + 160 * MIB);
    hx_room_written(&b.room, 1, true);
    assert_int_equal(hx_room_wait(&b.room, b.now, &b.g), 1000);
    hx_room_written(&b.room, 10 * MIB, true); /* a sixteenth of what is left */
    assert_int_equal(hx_room_wait(&b.room, b.now, &b.g), 50);
    b.now += 50;
    assert_true(asks(&b));
    assert_int_equal(hx_room_wait(&b.room, b.now, &b.g), 10000);
    hx_room_want(&b.room);
    assert_int_equal(hx_room_wait(&b.room, b.now, &b.g), 1000);
    b.now += 999;
    assert_false(asks(&b));
    b.now++;
    assert_true(asks(&b));
    for (uint32_t i = 0; i < 6; i++)
        hears(&b, i, 0);
    assert_int_equal(hx_room_wait(&b.room, b.now, &b.g), 500);
    hx_room_written(&b.room, 11 * MIB - 1, true); /* now a guess is what it hangs on */
    assert_int_equal(hx_room_wait(&b.room, b.now, &b.g), 50);
    bed_close(&b);
}

/* Promise: the reserve is a small part of a large disk, and leaves most of a small one. */
static void the_reserve(void **state)
{
    (void)state;
    assert_int_equal(hx_room_reserve(0), 0);
    assert_int_equal(hx_room_reserve(100 * MIB), 25 * MIB);
    assert_int_equal(hx_room_reserve(1024 * MIB), HX_ROOM_RESERVE_MIN);
    assert_int_equal(hx_room_reserve(4096 * MIB), 256 * MIB);
    assert_int_equal(hx_room_reserve(UINT64_MAX), HX_ROOM_RESERVE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_of_six_need_room),      cmocka_unit_test(three_in_one_group),
        cmocka_unit_test(what_is_in_flight_counts),   cmocka_unit_test(refusals_count_for_a_while),
        cmocka_unit_test(what_is_left),               cmocka_unit_test(servers_come_and_change),
        cmocka_unit_test(when_to_ask),                cmocka_unit_test(the_reserve),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("room", tests, NULL, NULL);
}
