/*
 * test_alloc.c - which pages are taken: runs, groups, growth, the reserve, aborts, and what is not looked at.
 */
#include "../lib/fs_kit.h"

#include "../../src/fs/fs_private.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define GROUP HX_ALLOC_GROUP_PAGES

struct run {
    uint64_t first;
    uint32_t count;
};

static int take_once(struct fs_kit *k, enum hx_op_kind kind, uint64_t goal, uint32_t want, struct run *ret,
                     bool give_up)
{
    int rc = hx_op_begin(k->fs, kind);
    if (rc)
        return rc;
    rc = hx_alloc_run(&k->fs->alloc, goal, want, 0, &ret->first, &ret->count);
    return hx_op_end(k->fs, rc == 0 && give_up ? HX_E_CANCELED : rc);
}

static struct run take(struct fs_kit *k, uint64_t goal, uint32_t want)
{
    struct run r = {0, 0};
    assert_int_equal(kit_run(k, take_once(k, HX_OP_ORDINARY, goal, want, &r, false)), 0);
    return r;
}

static int give_once(struct fs_kit *k, uint64_t first, uint32_t count)
{
    int rc = hx_op_begin(k->fs, HX_OP_FREEING);
    return rc ? rc : hx_op_end(k->fs, hx_alloc_free(&k->fs->alloc, first, count));
}

/* Promise: a file that grows page by page gets consecutive pages.  Method: goal = the page after the last. */
static void growing_at_a_goal_is_consecutive(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(1024, 1024, 1);
    struct run r = take(&k, 0, 1);
    for (unsigned i = 0; i < 200; i++) {
        struct run n = take(&k, r.first + r.count, 1);
        assert_true(n.first == r.first + r.count);
        r.count += n.count;
    }
    kit_close(&k);
}

/* Promise: every page is handed out once, none of them fixed, until none is left; then HX_E_GROW.  Method:
 * three groups, the last a partial one, runs of all lengths, a map of what was given. */
static void every_page_is_given_once_until_none_is_left(void **state)
{
    (void)state;
    const uint64_t pages = 2 * GROUP + 777;
    struct fs_kit k = kit_open(pages, pages, 1);
    uint8_t *given = calloc(1, pages);
    uint64_t r = 3, total = 0;
    struct run got;
    int rc;
    assert_non_null(given);
    while ((rc = kit_run(&k, take_once(&k, HX_OP_FREEING, 0, 1 + (uint32_t)(mem_pager_random(&r) % 3000), &got,
                                       false))) == 0) {
        total += got.count;
        for (uint64_t p = got.first; p < got.first + got.count; p++) {
            assert_true(p < pages);
            assert_false(hx_alloc_is_fixed(p));
            assert_false(given[p]++);
        }
    }
    assert_int_equal(rc, HX_E_GROW);
    assert_true(total == pages - 3 /* bitmaps */ - 1 /* superblock */ - 1 /* root */);
    free(given);
    kit_close(&k);
}

/* Promise: ordinary operations leave the reserve to those that free space.  Method: fill, then both kinds. */
static void the_reserve_is_for_operations_that_free_space(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(512, 512, 1);
    struct run got;
    int rc;
    while ((rc = kit_run(&k, take_once(&k, HX_OP_ORDINARY, 0, 7, &got, false))) == 0)
        ;
    assert_int_equal(rc, HX_E_GROW);
    assert_true(kit_free_pages(&k) == 0);
    unsigned left = 0;
    while (kit_run(&k, take_once(&k, HX_OP_FREEING, 0, 1, &got, false)) == 0)
        left++;
    assert_int_equal(left, HX_ALLOC_RESERVE);
    kit_close(&k);
}

/* The volume gets MORE pages; the filesystem keeps its pointer to the pager. */
static void grow(struct fs_kit *k, uint64_t more)
{
    struct mem_pager *bigger = mem_pager_new(k->m->pages + more, k->m->pages + more, 1);
    for (uint64_t i = 0; i < k->m->pages; i++) {
        bigger->at[i] = k->m->at[i];
        k->m->at[i].now = NULL;
    }
    struct mem_pager swap = *k->m;
    *k->m = *bigger;
    *bigger = swap;
    mem_pager_free(bigger);
}

/* Promise: pages that appear when the volume grows are found, also in a group that ended early.  Method:
 * fill, grow by the smallest unit, again and again across a group's end. */
static void grown_pages_are_found(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(GROUP - 512, GROUP - 512, 1);
    struct run got;
    for (unsigned step = 0; step < 5; step++) {
        while (kit_run(&k, take_once(&k, HX_OP_FREEING, 0, 5000, &got, false)) == 0)
            ;
        grow(&k, 256);
        got = take(&k, 0, 100);
        assert_int_equal(got.count, 100);
        assert_true(got.first >= k.m->pages - 256);
    }
    assert_true(k.m->pages > GROUP);
    kit_close(&k);
}

/* Two groups, the first with one free page, the second (GROUP - EARLY pages long) full and known to be. */
static struct fs_kit open_with_a_full_last_group(uint64_t early)
{
    uint64_t pages = 2 * GROUP - early;
    struct fs_kit k = kit_open(pages, pages, 1);
    struct run got = take(&k, 0, GROUP - 3);
    assert_true(got.first == 3);
    k.fs->alloc.rover_data = GROUP + 1;
    int rc = kit_run(&k, take_once(&k, HX_OP_FREEING, 0, (uint32_t)(GROUP - early - 1), &got, false));
    assert_int_equal(rc, 0);
    assert_true(got.first == GROUP + 1 && got.count == GROUP - early - 1);
    assert_int_equal(kit_run(&k, give_once(&k, 100, HX_ALLOC_RESERVE + 2)), 0);
    k.fs->alloc.rover_data = GROUP + 1;
    got = take(&k, 0, 1);
    assert_true(got.first == 100);
    assert_int_equal(k.fs->alloc.run_max[1], 0);
    return k;
}

/* Promise: a group that was full is looked at again when it has become longer.  Method: known to be full, then
 * grown within the group, and by a group more. */
static void a_full_group_that_grows_is_looked_at_again(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct fs_kit k = open_with_a_full_last_group(512);
        grow(&k, i == 0 ? 256 : 512 + 256);
        k.fs->alloc.rover_data = 2;
        struct run got = take(&k, 0, 256);
        assert_true(got.first == 2 * GROUP - 512 && got.count == 256);
        kit_close(&k);
    }
}

/* Promise: a group that was full is looked at again when something in it was freed.  Method: as above. */
static void a_full_group_that_was_freed_in_is_looked_at_again(void **state)
{
    (void)state;
    struct fs_kit k = open_with_a_full_last_group(512);
    assert_int_equal(kit_run(&k, give_once(&k, GROUP + 500, 200)), 0);
    k.fs->alloc.rover_data = 2;
    struct run got = take(&k, 0, 200);
    assert_true(got.first == GROUP + 500 && got.count == 200);
    kit_close(&k);
}

/* Promise: a group that was full only within an aborted mini-transaction is looked at again.  Method: fill group
 * 0, learn it, give up; fill group 1; group 0 must be found. */
static void a_group_that_an_abort_emptied_is_looked_at_again(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(2 * GROUP, 2 * GROUP, 1);
    struct hx_alloc *a = &k.fs->alloc;
    struct run r;
    assert_int_equal(hx_op_begin(k.fs, HX_OP_ORDINARY), 0);
    assert_int_equal(hx_alloc_run(a, 0, GROUP - 3, 0, &r.first, &r.count), 0);
    assert_true(r.first == 3 && r.count == GROUP - 3);
    a->rover_data = 2;
    assert_int_equal(hx_alloc_run(a, 0, 1, 0, &r.first, &r.count), 0);
    assert_true(r.first / GROUP == 1 && a->run_max[0] == 0);
    assert_int_equal(hx_op_end(k.fs, HX_E_CANCELED), HX_E_CANCELED);
    (void)mem_pager_again(k.m, 0);
    r = take(&k, GROUP + 1, GROUP - 1);
    assert_true(r.count == GROUP - 1);
    r = take(&k, 0, 1);
    assert_true(r.first / GROUP == 0);
    kit_close(&k);
}

/* Promise: freeing what is free, fixed, or outside is refused and changes nothing.  Method: each in turn. */
static void freeing_what_is_not_taken_is_corruption(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(512, 512, 1);
    struct run r = take(&k, 0, 10);
    uint64_t before = kit_free_pages(&k);
    assert_int_equal(kit_run(&k, give_once(&k, r.first + 5, 10)), HX_E_CORRUPT);
    assert_int_equal(kit_run(&k, give_once(&k, 0, 1)), HX_E_CORRUPT);
    assert_int_equal(kit_run(&k, give_once(&k, 1, 1)), HX_E_CORRUPT);
    assert_int_equal(kit_run(&k, give_once(&k, 600, 1)), HX_E_CORRUPT);
    assert_int_equal(kit_run(&k, give_once(&k, UINT64_MAX, 1)), HX_E_CORRUPT);
    assert_int_equal(kit_run(&k, give_once(&k, r.first, 0)), HX_E_CORRUPT);
    assert_true(kit_free_pages(&k) == before);
    assert_int_equal(kit_run(&k, give_once(&k, r.first, 10)), 0);
    assert_int_equal(kit_run(&k, give_once(&k, r.first, 10)), HX_E_CORRUPT);
    assert_true(kit_free_pages(&k) == before + 10);
    kit_verify(&k);
    kit_close(&k);
}

/* Promise: what an abort gives back is found again.  Method: take everything and give up, many times, so that
 * the group is learned to be full within the aborted one; then take it for good. */
static void an_abort_gives_pages_back_and_forgets_what_it_learned(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(512, 512, 1);
    uint64_t free_pages = kit_free_pages(&k);
    for (unsigned i = 0; i < 3; i++) {
        struct run r;
        int rc = hx_op_begin(k.fs, HX_OP_ORDINARY);
        assert_int_equal(rc, 0);
        while ((rc = hx_alloc_run(&k.fs->alloc, 0, 64, 0, &r.first, &r.count)) == 0)
            ;
        assert_int_equal(hx_op_end(k.fs, rc), HX_E_GROW);
        (void)mem_pager_again(k.m, 0);
        assert_true(kit_free_pages(&k) == free_pages);
    }
    struct run r = take(&k, 0, (uint32_t)free_pages);
    assert_true(r.count == free_pages);
    kit_close(&k);
}

/* Promise: a group known to be full costs no further look.  Method: fill the first of three groups, drop the
 * cache, and see which bitmaps the next allocations miss. */
static void full_groups_are_not_looked_at_again(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(3 * GROUP, 3 * GROUP, 1);
    struct run r = take(&k, 0, GROUP - 3); /* all but superblock, bitmap and root */
    assert_true(r.first == 3 && r.count == GROUP - 3);
    k.fs->alloc.rover_data = 2; /* as if something had sent it back */
    (void)take(&k, 0, 1);
    k.fs->alloc.rover_data = 2;
    mem_pager_drop_all(k.m);
    (void)take(&k, 0, 1);
    assert_false(k.m->at[hx_alloc_bitmap_page(0)].cached);
    kit_close(&k);
}

/* Promise: a mount of a large volume starts where the last one left, without looking at every group.  Method:
 * 40 full groups, remount, one allocation: the pages it missed. */
static void a_mount_starts_in_the_group_of_the_last_allocation(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(40 * GROUP, 40 * GROUP, 1);
    for (uint64_t g = 0; g < 30; g++)
        (void)take(&k, 0, GROUP - 2);
    kit_remount(&k);
    mem_pager_drop_all(k.m);
    k.m->misses = 0;
    (void)take(&k, 0, 1);
    assert_in_range(k.m->misses, 1, 3); /* superblock, one bitmap, perhaps the next */
    kit_close(&k);
}

/* Promise: in a group of holes, a run that is asked for is found when it exists, else the longest.  Method:
 * random holes, compared with a plain loop over the bits. */
static void the_run_that_fits_is_found_among_holes(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(4096, 4096, 1);
    uint64_t r = 11;
    struct run all = take(&k, 0, (uint32_t)kit_free_pages(&k));
    for (unsigned round = 0; round < 60; round++) {
        uint64_t at = all.first + mem_pager_random(&r) % (all.count - 40);
        (void)kit_run(&k, give_once(&k, at, 1 + (uint32_t)(mem_pager_random(&r) % 30)));
        const uint8_t *bm = mem_pager_page(k.m, 1);
        uint32_t longest = 0, run = 0, want = 1 + (uint32_t)(mem_pager_random(&r) % 20);
        for (uint64_t p = 2; p < k.m->pages; p++) {
            run = hx_alloc_bit(bm, p) ? 0 : run + 1;
            longest = run > longest ? run : longest;
        }
        if (round % 3 != 0 || kit_free_pages(&k) < want)
            continue;
        struct run got = take(&k, 0, want);
        assert_int_equal(got.count, want < longest ? want : longest);
    }
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growing_at_a_goal_is_consecutive),
        cmocka_unit_test(every_page_is_given_once_until_none_is_left),
        cmocka_unit_test(the_reserve_is_for_operations_that_free_space),
        cmocka_unit_test(grown_pages_are_found),
        cmocka_unit_test(a_full_group_that_grows_is_looked_at_again),
        cmocka_unit_test(a_full_group_that_was_freed_in_is_looked_at_again),
        cmocka_unit_test(a_group_that_an_abort_emptied_is_looked_at_again),
        cmocka_unit_test(freeing_what_is_not_taken_is_corruption),
        cmocka_unit_test(an_abort_gives_pages_back_and_forgets_what_it_learned),
        cmocka_unit_test(full_groups_are_not_looked_at_again),
        cmocka_unit_test(a_mount_starts_in_the_group_of_the_last_allocation),
        cmocka_unit_test(the_run_that_fits_is_found_among_holes),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
