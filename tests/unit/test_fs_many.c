/*
 * test_fs_many.c - a directory of many names: what finding, missing, making and listing one of them costs, in pages.
 *
 * Method: the pager's list of pages that an operation touched; the height of the tree is read from its root.
 * The bounds are those of the tree (a way from the root down for each key that is looked for), not of the
 * directory's size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/fs/btree.h"
#include "../../src/fs/super.h"
#include "fs_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#define MOST 40000u /* HEXAD_NAMES=1000000: that many */

static void name_of(unsigned i, char name[32])
{
    snprintf(name, 32, "%u.some-name", i);
}

static unsigned height(const struct fs_kit *k)
{
    const uint8_t *root = mem_pager_page(k->m, 2);
    assert_non_null(root);
    return hx_tnode_level(root) + 1;
}

/* Ends the operation, which answered RC; how many pages it touched. */
static size_t cost(struct fs_kit *k, int rc, int expected)
{
    size_t n = k->m->touched_count;
    assert_int_equal(rc, expected);
    assert_false(mem_pager_again(k->m, rc));
    return n;
}

static void make(struct fs_kit *k, uint64_t dir, unsigned from, unsigned to)
{
    struct hx_fs_attr a;
    char name[32];
    for (unsigned i = from; i < to; i++) {
        name_of(i, name);
        assert_int_equal(kit_run(k, hx_fs_mknod(k->fs, &k->who, dir, name, S_IFREG | 0600, 0, &a)), 0);
        assert_int_equal(hx_fs_forget(k->fs, a.ino, 1), 0);
    }
}

/* A leaf has 20 items at least, an inner node 25 children: then two items a name are this high at most. */
static unsigned height_bound(unsigned names)
{
    unsigned h = 1;
    for (unsigned nodes = 2 * names / 20; nodes > 1; nodes = (nodes + 24) / 25)
        h++;
    return h;
}

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Promise: the cost of one name grows as the height of the tree, which grows as the logarithm of the names.  A finger
 * that happens to know the way makes it less, never more. */
static void a_name_costs_the_height_of_the_tree(void **state)
{
    (void)state;
    const char *env = getenv("HEXAD_NAMES");
    unsigned most = env ? (unsigned)strtoul(env, NULL, 10) : MOST, made = 0, h = 0, last = 0;
    struct fs_kit k = kit_open(32768 + most / 10, 32768 + most / 10, 1);
    uint64_t dir = kit_mkdir(&k, 1, "d"), random = 9;
    struct hx_fs_attr a;
    struct hx_fs_dirent e;
    char name[32];
    for (unsigned size = 40; last < most; size *= 10) {
        size = size < most ? size : most;
        double start = cpu_us();
        make(&k, dir, made, size);
        double each = (cpu_us() - start) / (size - made);
        made = last = size;
        h = height(&k);
        printf("# %u names: height %u, %.1f us of a processor to make one\n", size, h, each);
        assert_true(h <= height_bound(size));
        for (unsigned i = 0; i < 200; i++) {
            name_of((unsigned)(mem_pager_random(&random) % size), name);
            /* the superblock, the directory's inode, the entry, the file's inode */
            assert_true(cost(&k, hx_fs_lookup(k.fs, dir, name, &a), 0) <= 1 + 3 * h);
            assert_int_equal(hx_fs_forget(k.fs, a.ino, 1), 0);
            name_of(most + (unsigned)(mem_pager_random(&random) % size), name);
            assert_true(cost(&k, hx_fs_lookup(k.fs, dir, name, &a), HX_E_NOENT) <= 1 + 2 * h);
            uint64_t at = mem_pager_random(&random) % (UINT64_C(1) << 62) + 3;
            /* a directory's place: the inode, the leaf of the place and perhaps the one behind it */
            assert_true(cost(&k, hx_fs_readdir(k.fs, dir, at, &e), 1) <= 1 + 3 * h);
        }
        for (unsigned i = 0; i < 50; i++) {
            name_of(2 * most + size + i, name);
            int rc = hx_fs_mknod(k.fs, &k.who, dir, name, S_IFREG | 0600, 0, &a);
            /* beside the ways down: a bitmap, and a split's new node on each level of two ways */
            assert_true(cost(&k, rc, 0) <= 2 + 3 * h + 2 * h);
            assert_int_equal(hx_fs_forget(k.fs, a.ino, 1), 0);
        }
    }
    assert_true(h >= 3);
    kit_close(&k);
}

/* Promise: who lists a directory that is in no cache waits once for many leaves, not once for each.  Method: the waits
 * are counted with and without hx_fs_prefetch_dir; both see every name once. */
static unsigned list_cold(struct fs_kit *k, uint64_t dir, bool ahead, unsigned expected)
{
    struct hx_fs_dirent e = {.cookie = 0};
    unsigned waits = 0, seen = 0;
    mem_pager_drop_all(k->m);
    for (;;) {
        uint64_t cookie = e.cookie;
        int rc = hx_fs_readdir(k->fs, dir, cookie, &e);
        if (rc == HX_E_MISS) {
            waits++;
            if (ahead)
                hx_fs_prefetch_dir(k->fs, dir, cookie);
        }
        if (mem_pager_again(k->m, rc))
            continue;
        assert_true(rc >= 0);
        if (rc == 0)
            break;
        seen++;
    }
    assert_int_equal(seen, expected + 2);
    return waits;
}

static void a_cold_listing_waits_once_for_many_leaves(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(16384, 16384, 1);
    uint64_t before = kit_mkdir(&k, 1, "before"), dir = kit_mkdir(&k, 1, "d"), after = kit_mkdir(&k, 1, "after");
    make(&k, before, 0, 300);
    make(&k, dir, 0, 8000);
    make(&k, after, 0, 3000);
    kit_remount(&k);
    unsigned one = list_cold(&k, dir, false, 8000), many = list_cold(&k, dir, true, 8000);
    assert_true(one > 100);
    assert_true(many <= one / 20 + 10);
    /* nothing behind the directory's end is asked for */
    size_t cached = 0;
    assert_true(list_cold(&k, before, true, 300) <= 8);
    for (uint64_t p = 0; p < k.m->pages; p++)
        cached += k.m->at[p].cached;
    assert_true(cached < 30);
    /* nor does it matter when there is nothing to want, or nothing is known */
    hx_fs_prefetch_dir(k.fs, dir, UINT64_MAX);
    mem_pager_drop_all(k.m);
    hx_fs_prefetch_dir(k.fs, dir, 3);
    assert_true(k.m->touched_count <= 1);
    assert_true(mem_pager_again(k.m, HX_E_MISS));
    kit_remount(&k);
    hx_fs_prefetch_dir(k.fs, dir, 3); /* before the superblock is known */
    assert_true(k.m->touched_count == 0);
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_costs_the_height_of_the_tree),
        cmocka_unit_test(a_cold_listing_waits_once_for_many_leaves),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
