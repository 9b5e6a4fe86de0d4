/*
 * test_btree.c - the B+tree against a sorted array, with absent pages, aborts and damaged nodes.
 */
#include "../lib/fs_kit.h"

#include "../../src/fs/fs_private.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define TYPE 200 /* no type of ours: these trees hold nothing but what the test puts in */
#define MODEL_MAX 4000u

struct model_item {
    struct hx_key key;
    size_t len;
    uint8_t fill;
};
struct model {
    struct model_item at[MODEL_MAX];
    size_t count;
};

static size_t lower_bound(const struct model *md, struct hx_key key)
{
    size_t i = 0;
    while (i < md->count && hx_key_cmp(md->at[i].key, key) < 0)
        i++;
    return i;
}

static bool has(const struct model *md, size_t i, struct hx_key key)
{
    return i < md->count && hx_key_cmp(md->at[i].key, key) == 0;
}

/* One change in one mini-transaction; ABORT: taken back at the end. */
static int change(struct fs_kit *k, const struct model_item *mi, bool insert, bool give_up)
{
    uint8_t val[HX_TNODE_VALUE_MAX];
    memset(val, mi->fill, sizeof val);
    int rc = hx_op_begin(k->fs, HX_OP_FREEING);
    if (rc)
        return rc;
    rc = insert ? hx_btree_insert(&k->fs->tree, mi->key, val, mi->len) : hx_btree_delete(&k->fs->tree, mi->key);
    if (rc == 0 && give_up)
        rc = HX_E_CANCELED;
    return hx_op_end(k->fs, rc);
}

static void assert_item(const struct hx_item *it, const struct model_item *mi)
{
    assert_int_equal(hx_key_cmp(it->key, mi->key), 0);
    assert_int_equal(it->len, mi->len);
    for (size_t i = 0; i < it->len; i++)
        assert_int_equal(it->val[i], mi->fill);
}

static int find_and_check(struct fs_kit *k, const struct model *md, struct hx_key key)
{
    struct hx_item it;
    size_t i = lower_bound(md, key);
    int rc = hx_btree_find(&k->fs->tree, key, &it);
    if (rc == 0) {
        assert_true(has(md, i, key));
        assert_item(&it, &md->at[i]);
    } else if (rc == HX_E_NOENT) {
        assert_false(has(md, i, key));
    }
    return rc;
}

static int bounds_and_check(struct fs_kit *k, const struct model *md, struct hx_key key)
{
    struct hx_item it;
    size_t i = lower_bound(md, key);
    int rc = hx_btree_ceil(&k->fs->tree, key, &it);
    if (rc == 0)
        assert_item(&it, &md->at[i]);
    if (rc == HX_E_NOENT)
        assert_true(i == md->count);
    if (rc && rc != HX_E_NOENT)
        return rc;
    rc = hx_btree_floor(&k->fs->tree, key, &it);
    if (rc == 0 && it.key.type == TYPE)
        assert_item(&it, &md->at[has(md, i, key) ? i : i - 1]);
    else if (rc == 0 || rc == HX_E_NOENT) /* the root directory's inode is below all of ours */
        assert_true(i == 0 && !has(md, i, key));
    return rc;
}

static struct hx_key random_key(uint64_t *r, unsigned range)
{
    return HX_KEY(10 + mem_pager_random(r) % 3, TYPE, mem_pager_random(r) % range);
}

static void model_insert(struct model *md, size_t i, const struct model_item *mi)
{
    memmove(&md->at[i + 1], &md->at[i], (md->count - i) * sizeof *mi);
    md->at[i] = *mi;
    md->count++;
}

static void model_remove(struct model *md, size_t i)
{
    md->count--;
    memmove(&md->at[i], &md->at[i + 1], (md->count - i) * sizeof md->at[0]);
}

static bool see_node(void *arg, uint64_t page)
{
    (void)page;
    ++*(uint64_t *)arg;
    return true;
}

static int see_item(void *arg, const struct hx_item *it)
{
    (void)arg;
    (void)it;
    return 0;
}

/* The whole tree is well formed: the number of its nodes. */
static uint64_t walk(struct fs_kit *k)
{
    uint64_t nodes;
    struct hx_btree_visitor v = {&nodes, see_node, see_item};
    const char *why = NULL;
    int rc = kit_run(k, (nodes = 0, hx_btree_walk(&k->fs->tree, &v, &why)));
    if (rc)
        print_error("%s\n", why ? why : "?");
    assert_int_equal(rc, 0);
    return nodes;
}

static void one_random_step(struct fs_kit *k, struct model *md, uint64_t *r, bool growing)
{
    static const size_t lens[] = {0, 8, 12, 40, 80, 264, 1000, HX_TNODE_VALUE_MAX};
    struct model_item mi = {random_key(r, 3000), lens[mem_pager_random(r) % 8], (uint8_t)mem_pager_random(r)};
    size_t i = lower_bound(md, mi.key);
    bool there = has(md, i, mi.key), insert = mem_pager_random(r) % 100 < (growing ? 70u : 30u);
    bool give_up = mem_pager_random(r) % 8 == 0;
    if (!insert && !there && md->count > 0) { /* removals should mostly find something */
        i = mem_pager_random(r) % md->count;
        mi.key = md->at[i].key;
        there = true;
    }
    int expected = insert ? (there ? HX_E_EXIST : 0) : (there ? 0 : HX_E_NOENT);
    if (expected == 0 && give_up)
        expected = HX_E_CANCELED;
    assert_int_equal(kit_run(k, change(k, &mi, insert, give_up)), expected);
    if (expected == 0 && insert)
        model_insert(md, i, &mi);
    if (expected == 0 && !insert)
        model_remove(md, i);
    struct hx_key probe = random_key(r, 3100);
    (void)kit_run(k, find_and_check(k, md, probe));
    (void)kit_run(k, bounds_and_check(k, md, probe));
    (void)kit_run(k, find_and_check(k, md, mi.key));
}

/* Promise: any sequence of changes, with pages absent at random, full windows and aborts, leaves what a
 * sorted array holds.  Method: seeds, growing and shrinking phases, look-ups after each step. */
static void random_changes_agree_with_a_sorted_array(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct fs_kit k = kit_open(2048, 4096, seed);
        struct model *md = calloc(1, sizeof *md);
        uint64_t r = seed * 77;
        assert_non_null(md);
        k.m->drop_percent = seed % 2 ? 10 : 100;
        k.m->room_percent = 5;
        for (unsigned step = 0; step < 3000 && md->count < MODEL_MAX - 1; step++) {
            one_random_step(&k, md, &r, step / 700 % 2 == 0);
            if (step % 500 == 499)
                walk(&k);
        }
        walk(&k);
        free(md);
        kit_close(&k);
    }
}

/* Promise: removing everything gives every page back but the root's.  Method: rising keys, random order out. */
static void an_emptied_tree_is_one_page(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(2048, 2048, 1);
    uint64_t before = kit_free_pages(&k), r = 9;
    static uint64_t order[2000];
    for (uint64_t i = 0; i < 2000; i++) {
        struct model_item mi = {HX_KEY(10, TYPE, i), 100, 1};
        assert_int_equal(kit_run(&k, change(&k, &mi, true, false)), 0);
        uint64_t j = mem_pager_random(&r) % (i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    assert_true(walk(&k) > 50);
    for (uint64_t i = 0; i < 2000; i++) {
        struct model_item mi = {HX_KEY(10, TYPE, order[i]), 100, 1};
        assert_int_equal(kit_run(&k, change(&k, &mi, false, false)), 0);
    }
    assert_int_equal(walk(&k), 1);
    assert_true(kit_free_pages(&k) == before);
    kit_verify(&k);
    kit_close(&k);
}

/* Promise: rising keys leave full leaves behind.  Method: count nodes against what the bytes need. */
static void rising_keys_fill_the_leaves(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(2048, 2048, 1);
    for (uint64_t i = 0; i < 4000; i++) {
        struct model_item mi = {HX_KEY(10, TYPE, i), 80, 1};
        assert_int_equal(kit_run(&k, change(&k, &mi, true, false)), 0);
    }
    uint64_t needed = 4000 * hx_tnode_cost(80) / hx_tnode_capacity() + 1;
    assert_in_range(walk(&k), needed, needed + needed / 20 + 3);
    kit_close(&k);
}

/* Promise: an insertion that fits is a change of few bytes in one page.  Method: the pager counts bytes. */
static void a_small_insertion_is_a_small_change(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(256, 256, 1);
    for (uint64_t i = 0; i < 20; i++) {
        struct model_item mi = {HX_KEY(10, TYPE, 2 * i), 40, 7};
        assert_int_equal(kit_run(&k, change(&k, &mi, true, false)), 0);
    }
    struct model_item mi = {HX_KEY(10, TYPE, 11), 40, 7};
    assert_int_equal(kit_run(&k, change(&k, &mi, true, false)), 0);
    assert_int_equal(k.m->last_pages, 1);
    assert_in_range(k.m->last_bytes, 40, 40 + 19 + 2 * 21 + 8);
    assert_int_equal(kit_run(&k, change(&k, &mi, false, false)), 0);
    assert_in_range(k.m->last_bytes, 1, 2 * 21 + 8);
    kit_close(&k);
}

/* Promise: an item that comes and goes (a journal, an orphan) uses the same bytes again: no compaction, which
 * would change the whole page.  Method: 300 rounds, the largest change counts. */
static void an_item_that_comes_and_goes_costs_little(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(256, 256, 1);
    struct model_item mi;
    for (uint8_t i = 20; i > 0; i--) { /* falling keys and different bytes: a compaction would move them all */
        mi = (struct model_item){HX_KEY(10, TYPE, 2 * i), 80, i};
        assert_int_equal(kit_run(&k, change(&k, &mi, true, false)), 0);
    }
    mi.key.k = 11;
    for (unsigned i = 0; i < 300; i++) {
        assert_int_equal(kit_run(&k, change(&k, &mi, true, false)), 0);
        assert_in_range(k.m->last_bytes, 1, 160);
        assert_int_equal(kit_run(&k, change(&k, &mi, false, false)), 0);
        assert_in_range(k.m->last_bytes, 1, 160);
    }
    kit_close(&k);
}

static void damage(struct fs_kit *k, uint64_t page, uint64_t *r)
{
    struct hx_lsn lsn;
    uint8_t *b;
    assert_int_equal(hx_pager_begin(&k->m->base), 0);
    assert_int_equal(hx_pager_edit(&k->m->base, HX_PAGE(page), HX_EDIT_KEEP, &b), 0);
    unsigned flips = 1 + (unsigned)(mem_pager_random(r) % 4);
    for (unsigned i = 0; i < flips; i++) { /* mostly where it hurts: header and slots */
        size_t at = mem_pager_random(r) % (mem_pager_random(r) % 4 ? 80 : HX_PAGE_SIZE);
        b[at] = (uint8_t)mem_pager_random(r);
    }
    assert_int_equal(hx_pager_commit(&k->m->base, &lsn), 0);
    (void)mem_pager_again(k->m, 0);
}

/* Promise: a damaged node is an error or a wrong item, never a crash or an endless loop.  Method: random
 * bytes into nodes, then every operation; the sanitizers and the test's end are the judges. */
static void damaged_nodes_end_in_errors(void **state)
{
    (void)state;
    unsigned refused = 0;
    uint64_t r = 5;
    for (unsigned round = 0; round < 300; round++) {
        struct fs_kit k = kit_open(256, 256, 1);
        for (uint64_t i = 0; i < 150; i++) {
            struct model_item mi = {HX_KEY(10, TYPE, i), 80, 1};
            assert_int_equal(kit_run(&k, change(&k, &mi, true, false)), 0);
        }
        damage(&k, round % 2 ? HX_SUPER_ROOT_PAGE : HX_SUPER_ROOT_PAGE + 1 + mem_pager_random(&r) % 4, &r);
        for (uint64_t i = 0; i < 160; i += 3) {
            struct model_item mi = {HX_KEY(10, TYPE, i), 80, 1};
            struct hx_item it;
            refused += kit_run(&k, hx_btree_find(&k.fs->tree, mi.key, &it)) == HX_E_CORRUPT;
            refused += kit_run(&k, hx_btree_ceil(&k.fs->tree, mi.key, &it)) == HX_E_CORRUPT;
            refused += kit_run(&k, hx_btree_floor(&k.fs->tree, mi.key, &it)) == HX_E_CORRUPT;
            refused += kit_run(&k, change(&k, &mi, i % 2, false)) == HX_E_CORRUPT;
        }
        kit_close(&k);
    }
    assert_true(refused > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_agree_with_a_sorted_array),
        cmocka_unit_test(an_emptied_tree_is_one_page),
        cmocka_unit_test(rising_keys_fill_the_leaves),
        cmocka_unit_test(a_small_insertion_is_a_small_change),
        cmocka_unit_test(an_item_that_comes_and_goes_costs_little),
        cmocka_unit_test(damaged_nodes_end_in_errors),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("btree", tests, NULL, NULL);
}
