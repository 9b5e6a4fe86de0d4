/*
 * test_fs_faults.c - every call to the pager fails once, for every operation; and hx_fs_verify finds what it
 * says that it finds.
 */
#include "../lib/fs_kit.h"

#include "../../src/fs/fs_private.h"
#include "hexad/crc.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#define PAGE ((uint64_t)HX_PAGE_SIZE)

/* A volume with some of everything; D holds, by name: file f of 3 pages, big of 1,100, crumbs of many extents
 * (with a tail), empty directory e, symlink l, and s in directory sub. */
struct scene {
    struct fs_kit k;
    uint64_t d, f, big, crumbs, sub, open_orphan;
};

static void crumble(struct fs_kit *k, uint64_t ino)
{
    for (unsigned i = 0; i < 75; i++)
        kit_fill(k, ino, 2 * i * PAGE, PAGE, 3);
}

static struct scene scene_open(void)
{
    struct scene s = {.k = kit_open(4096, 4096, 1)};
    struct hx_fs_attr a;
    char target[1500];
    memset(target, 't', sizeof target);
    target[sizeof target - 1] = 0;
    s.d = kit_mkdir(&s.k, 1, "d");
    s.f = kit_create(&s.k, s.d, "f");
    s.big = kit_create(&s.k, s.d, "big");
    s.crumbs = kit_create(&s.k, s.d, "crumbs");
    s.sub = kit_mkdir(&s.k, s.d, "sub");
    kit_mkdir(&s.k, s.d, "e");
    kit_create(&s.k, s.sub, "s");
    assert_int_equal(kit_run(&s.k, hx_fs_symlink(s.k.fs, &s.k.who, s.d, "l", target, &a)), 0);
    kit_fill(&s.k, s.f, 0, 3 * PAGE, 1);
    kit_fill(&s.k, s.big, 0, 1100 * PAGE, 2);
    crumble(&s.k, s.crumbs);
    s.open_orphan = kit_create(&s.k, s.d, "gone");
    kit_fill(&s.k, s.open_orphan, 0, 2 * PAGE, 4);
    assert_int_equal(kit_run(&s.k, hx_fs_unlink(s.k.fs, &s.k.who, s.d, "gone")), 0);
    return s;
}

static uint32_t volume_sum(const struct mem_pager *m)
{
    uint32_t sum = 0;
    for (uint64_t i = 0; i < m->pages; i++)
        sum = (sum ^ (m->at[i].now ? m->at[i].sum : 0)) * 2654435761u + 1;
    return sum;
}

/* --- one attempt of each operation ------------------------------------------------------------- */

static int op_mknod(struct scene *s)
{
    struct hx_fs_attr a;
    return hx_fs_mknod(s->k.fs, &s->k.who, s->d, "new", S_IFREG | 0600, 0, &a);
}

static int op_mkdir(struct scene *s)
{
    struct hx_fs_attr a;
    return hx_fs_mkdir(s->k.fs, &s->k.who, s->sub, "new", 0700, &a);
}

static int op_symlink(struct scene *s)
{
    struct hx_fs_attr a;
    char target[4000];
    memset(target, 'y', sizeof target);
    target[sizeof target - 1] = 0;
    return hx_fs_symlink(s->k.fs, &s->k.who, s->d, "new", target, &a);
}

static int op_link(struct scene *s)
{
    struct hx_fs_attr a;
    return hx_fs_link(s->k.fs, &s->k.who, s->f, s->sub, "new", &a);
}

static int op_unlink(struct scene *s)
{
    return hx_fs_unlink(s->k.fs, &s->k.who, s->d, "big");
}

static int op_rmdir(struct scene *s)
{
    return hx_fs_rmdir(s->k.fs, &s->k.who, s->d, "e");
}

static int op_replace(struct scene *s)
{
    return hx_fs_rename(s->k.fs, &s->k.who, s->d, "f", s->sub, "s", 0);
}

static int op_move_dir(struct scene *s)
{
    return hx_fs_rename(s->k.fs, &s->k.who, s->d, "sub", 1, "e", 0);
}

static int op_exchange(struct scene *s)
{
    return hx_fs_rename(s->k.fs, &s->k.who, s->d, "e", s->sub, "s", HX_FS_RENAME_EXCHANGE);
}

static int op_write(struct scene *s)
{
    static const uint8_t buf[20 * HX_PAGE_SIZE] = {1};
    uint64_t at;
    return hx_fs_write(s->k.fs, &s->k.who, s->f, PAGE + 5, buf, sizeof buf, false, true, &at);
}

static int op_fill_crumbs(struct scene *s)
{
    static const uint8_t buf[100 * HX_PAGE_SIZE] = {1};
    uint64_t at;
    return hx_fs_write(s->k.fs, &s->k.who, s->crumbs, 7, buf, sizeof buf, false, false, &at);
}

static int set_size(struct scene *s, uint64_t ino, uint64_t size)
{
    struct hx_fs_attr in = {.size = size}, out;
    return hx_fs_setattr(s->k.fs, &s->k.who, ino, &in, HX_FS_SET_SIZE, &out);
}

static int op_cut_few_pages(struct scene *s)
{
    return set_size(s, s->f, PAGE + 9);
}

static int op_cut_few_extents(struct scene *s)
{
    return set_size(s, s->big, 50);
}

static int op_cut_crumbs(struct scene *s)
{
    return set_size(s, s->crumbs, 50);
}

static int op_punch(struct scene *s)
{
    uint64_t done = 0;
    return hx_fs_fallocate(s->k.fs, &s->k.who, s->crumbs, HX_FS_FALLOC_PUNCH | HX_FS_FALLOC_KEEP_SIZE, 0, 40 * PAGE,
                           &done);
}

static int op_fallocate(struct scene *s)
{
    uint64_t done = 0;
    return hx_fs_fallocate(s->k.fs, &s->k.who, s->crumbs, 0, 0, 60 * PAGE, &done);
}

static int op_reap(struct scene *s)
{
    hx_fs_forget(s->k.fs, s->open_orphan, 1);
    int rc = hx_fs_reap(s->k.fs);
    return rc == 1 ? 0 : rc;
}

static int op_atime(struct scene *s)
{
    return hx_fs_touch_atime(s->k.fs, s->f, (struct hx_fs_time){5, 5});
}

/* Promise: whichever call to the pager fails, the operation says so, nothing has changed, nothing wrong is
 * remembered, and the same operation succeeds afterwards.  Method: fail the 1st, 2nd, ... n-th call until one
 * run passes, comparing the whole volume each time. */
static void any_failing_call_leaves_everything_as_it_was(void **state)
{
    (void)state;
    static int (*const ops[])(struct scene *) = {
        op_mknod, op_mkdir, op_symlink, op_link, op_unlink, op_rmdir, op_replace, op_move_dir, op_exchange, op_write,
        op_fill_crumbs, op_cut_few_pages, op_cut_few_extents, op_cut_crumbs, op_punch, op_fallocate, op_reap, op_atime,
    };
    for (unsigned i = 0; i < HX_ARRAY_LEN(ops); i++) {
        struct scene s = scene_open();
        uint32_t before = volume_sum(s.k.m);
        uint64_t n = 1;
        for (;; n++) {
            s.k.m->fail_at = n;
            int rc = ops[i](&s);
            (void)mem_pager_again(s.k.m, 0);
            if (s.k.m->fail_at > 0) { /* there was no n-th call */
                s.k.m->fail_at = 0;
                assert_true(rc == 0 || rc == HX_E_AGAIN);
                break;
            }
            assert_int_equal(rc, HX_E_FENCED);
            assert_true(volume_sum(s.k.m) == before);
            if (n % 5 == 0)
                kit_verify(&s.k);
        }
        assert_true(n > 5 && volume_sum(s.k.m) != before);
        kit_verify(&s.k);
        kit_close(&s.k);
    }
}

/* --- what verify finds ---------------------------------------------------------------------- */

static void inode_field(struct scene *s, uint64_t ino, size_t at, uint8_t add)
{
    uint8_t *val;
    size_t len;
    assert_int_equal(hx_btree_edit(&s->k.fs->tree, HX_KEY(ino, HX_T_INODE, 0), &val, &len), 0);
    val[at] = (uint8_t)(val[at] + add);
}

static void bad_link_count(struct scene *s)
{
    inode_field(s, s->f, 4, 1);
}

static void bad_dir_links(struct scene *s)
{
    inode_field(s, s->d, 4, 1);
}

static void bad_entry_count(struct scene *s)
{
    inode_field(s, s->d, 16, 1);
}

static void bad_page_count(struct scene *s)
{
    inode_field(s, s->f, 24, 1);
}

static void bad_parent(struct scene *s)
{
    inode_field(s, s->sub, 72, 1);
}

static void bad_type(struct scene *s)
{
    inode_field(s, s->f, 1, 0x40); /* from S_IFREG to S_IFSOCK */
}

static void tail_without_item(struct scene *s)
{
    inode_field(s, s->f, 68, HX_INODE_HAS_TAIL);
}

static void lost_inode(struct scene *s)
{
    assert_int_equal(hx_btree_delete(&s->k.fs->tree, HX_KEY(s->f, HX_T_INODE, 0)), 0);
}

static void lost_orphan_item(struct scene *s)
{
    assert_int_equal(hx_btree_delete(&s->k.fs->tree, HX_KEY(0, HX_T_ORPHAN, s->open_orphan)), 0);
}

static void orphan_with_a_link(struct scene *s)
{
    assert_int_equal(hx_reap_add_orphan(s->k.fs, s->f), 0);
}

static void orphan_of_nothing(struct scene *s)
{
    assert_int_equal(hx_reap_add_orphan(s->k.fs, 99999), 0);
}

static void tail_of_nothing(struct scene *s)
{
    uint8_t from[8] = {1};
    assert_int_equal(hx_btree_insert(&s->k.fs->tree, HX_KEY(0, HX_T_TAIL, 99999), from, 8), 0);
}

static void lost_extent(struct scene *s)
{
    assert_int_equal(hx_btree_delete(&s->k.fs->tree, HX_KEY(s->f, HX_T_EXTENT, 0)), 0);
}

static void overlapping_extents(struct scene *s)
{
    uint8_t val[12] = {0};
    hx_put_u64(val, 3900);
    val[8] = 1;
    assert_int_equal(hx_btree_insert(&s->k.fs->tree, HX_KEY(s->f, HX_T_EXTENT, 1), val, 12), 0);
}

static void page_used_twice(struct scene *s)
{
    struct hx_extent e;
    uint8_t val[12] = {0};
    assert_int_equal(hx_extent_at(s->k.fs, s->big, 0, &e), 0);
    hx_put_u64(val, e.pp + 5);
    val[8] = 1;
    assert_int_equal(hx_btree_insert(&s->k.fs->tree, HX_KEY(s->f, HX_T_EXTENT, 50), val, 12), 0);
    inode_field(s, s->f, 24, 1);
}

static void page_outside(struct scene *s)
{
    uint8_t val[12] = {0};
    hx_put_u64(val, 5000);
    val[8] = 1;
    assert_int_equal(hx_btree_insert(&s->k.fs->tree, HX_KEY(s->f, HX_T_EXTENT, 50), val, 12), 0);
}

static void extent_of_nothing(struct scene *s)
{
    uint8_t val[12] = {0};
    hx_put_u64(val, 3900);
    val[8] = 1;
    assert_int_equal(hx_btree_insert(&s->k.fs->tree, HX_KEY(77777, HX_T_EXTENT, 0), val, 12), 0);
}

static void lost_symlink_text(struct scene *s)
{
    struct hx_dirent e;
    assert_int_equal(hx_dir_find(s->k.fs, s->d, "l", &e), 0);
    assert_int_equal(hx_btree_delete(&s->k.fs->tree, HX_KEY(e.ino, HX_T_SYMLINK, 1)), 0);
}

static void unknown_item(struct scene *s)
{
    assert_int_equal(hx_btree_insert(&s->k.fs->tree, HX_KEY(s->f, 99, 0), "x", 1), 0);
}

static void entry_in_wrong_bucket(struct scene *s)
{
    struct hx_dirent e = {12345678901, s->f, S_IFREG};
    assert_int_equal(hx_dir_insert(s->k.fs, s->d, "other", &e), 0);
    inode_field(s, s->f, 4, 1);
    inode_field(s, s->d, 16, 1);
}

static void counter(struct scene *s, enum hx_super_field f, int64_t delta)
{
    assert_int_equal(hx_super_add(s->k.fs->p, f, delta, NULL), 0);
}

static void bad_used_counter(struct scene *s)
{
    counter(s, HX_SUPER_USED, -1);
}

static void bad_inode_counter(struct scene *s)
{
    counter(s, HX_SUPER_INODES, 1);
}

static void bad_next_number(struct scene *s)
{
    counter(s, HX_SUPER_NEXT_INO, -5);
}

static void leaked_page(struct scene *s)
{
    uint8_t *bm;
    assert_int_equal(hx_pager_edit(s->k.fs->p, HX_PAGE(1), HX_EDIT_KEEP, &bm), 0);
    bm[3999 / 8] |= 128;
}

static void page_marked_free(struct scene *s)
{
    uint8_t *bm;
    struct hx_extent e;
    assert_int_equal(hx_extent_at(s->k.fs, s->big, 500, &e), 0);
    assert_int_equal(hx_pager_edit(s->k.fs->p, HX_PAGE(1), HX_EDIT_KEEP, &bm), 0);
    bm[e.pp / 8] = (uint8_t)(bm[e.pp / 8] & ~(1u << e.pp % 8));
}

static void ring_of_directories(struct scene *s)
{
    /* sub loses its entry in d and gets one in itself: its parent is itself, its counts agree. */
    struct hx_dirent e;
    assert_int_equal(hx_dir_find(s->k.fs, s->d, "sub", &e), 0);
    assert_int_equal(hx_dir_remove(s->k.fs, s->d, e.k), 0);
    inode_field(s, s->d, 16, 255);
    inode_field(s, s->d, 4, 255);
    assert_int_equal(hx_dir_find(s->k.fs, s->sub, "self", &e), HX_E_NOENT);
    e.ino = s->sub;
    e.type = S_IFDIR;
    assert_int_equal(hx_dir_insert(s->k.fs, s->sub, "self", &e), 0);
    inode_field(s, s->sub, 16, 1);
    inode_field(s, s->sub, 4, 1);
    inode_field(s, s->sub, 72, (uint8_t)(s->sub - s->d));
}

static void damaged_separator(struct scene *s)
{
    uint8_t *root;
    assert_int_equal(hx_pager_edit(s->k.fs->p, HX_PAGE(HX_SUPER_ROOT_PAGE), HX_EDIT_KEEP, &root), 0);
    assert_true(hx_tnode_level(root) > 0 && hx_tnode_count(root) > 1);
    hx_tnode_value(root, 1)[-19] ^= 0x40; /* the key is 19 bytes before the value */
}

static void tail_inside_the_file(struct scene *s)
{
    uint8_t from[8] = {1};
    assert_int_equal(hx_btree_insert(&s->k.fs->tree, HX_KEY(0, HX_T_TAIL, s->f), from, 8), 0);
    inode_field(s, s->f, 68, HX_INODE_HAS_TAIL);
}

/* Promise: hx_fs_verify refuses each of these, and nothing else in the same volume.  Method: one damage at a
 * time; the reason must name something. */
static void verify_finds_each_kind_of_damage(void **state)
{
    (void)state;
    static void (*const damages[])(struct scene *) = {
        bad_link_count, bad_dir_links, bad_entry_count, bad_page_count, bad_parent, bad_type, tail_without_item,
        lost_inode, lost_orphan_item, orphan_with_a_link, orphan_of_nothing, tail_of_nothing, lost_extent,
        overlapping_extents, page_used_twice, page_outside, extent_of_nothing, lost_symlink_text, unknown_item,
        entry_in_wrong_bucket, bad_used_counter, bad_inode_counter, bad_next_number, leaked_page, page_marked_free,
        ring_of_directories, damaged_separator, tail_inside_the_file,
    };
    struct scene sound = scene_open();
    for (unsigned i = 0; i < HX_ARRAY_LEN(damages); i++) {
        struct scene s = sound;
        char why[256];
        s.k = kit_crash(&sound.k);
        kit_verify(&s.k);
        assert_int_equal(hx_op_begin(s.k.fs, HX_OP_ORDINARY), 0);
        damages[i](&s);
        assert_int_equal(hx_op_end(s.k.fs, 0), 0);
        int rc = kit_run(&s.k, hx_fs_verify(s.k.fs, why));
        if (rc != HX_E_CORRUPT)
            print_error("damage %u was not found\n", i);
        assert_int_equal(rc, HX_E_CORRUPT);
        assert_true(strlen(why) > 10);
        kit_close(&s.k);
    }
    kit_close(&sound.k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_failing_call_leaves_everything_as_it_was),
        cmocka_unit_test(verify_finds_each_kind_of_damage),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("fs_faults", tests, NULL, NULL);
}
