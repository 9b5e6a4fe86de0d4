/*
 * test_fs.c - the filesystem's names and inodes: one story a promise.  test_fs_data.c has the bytes.
 */
#include "../lib/fs_kit.h"

#include "../../src/fs/fs_private.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#define PAGES 4096
#define NAME(buf, i) (snprintf(buf, sizeof buf, "name-%u", (unsigned)(i)), buf)

/* Every page absent before every operation: the hardest weather. */
static struct fs_kit open_cold(void)
{
    struct fs_kit k = kit_open(PAGES, PAGES, 1);
    k.m->drop_percent = 100;
    k.m->room_percent = 10;
    return k;
}

static void close_verified(struct fs_kit *k)
{
    kit_verify(k);
    kit_close(k);
}

static int rename_(struct fs_kit *k, uint64_t d, const char *n, uint64_t nd, const char *nn, unsigned flags)
{
    return kit_run(k, hx_fs_rename(k->fs, &k->who, d, n, nd, nn, flags));
}

static int unlink_(struct fs_kit *k, uint64_t dir, const char *name)
{
    return kit_run(k, hx_fs_unlink(k->fs, &k->who, dir, name));
}

static int rmdir_(struct fs_kit *k, uint64_t dir, const char *name)
{
    return kit_run(k, hx_fs_rmdir(k->fs, &k->who, dir, name));
}

static int link_(struct fs_kit *k, uint64_t ino, uint64_t dir, const char *name)
{
    struct hx_fs_attr a;
    return kit_run(k, hx_fs_link(k->fs, &k->who, ino, dir, name, &a));
}

static unsigned list(struct fs_kit *k, uint64_t dir)
{
    struct hx_fs_dirent e = {.cookie = 0};
    unsigned n = 0;
    int rc;
    while ((rc = kit_run(k, hx_fs_readdir(k->fs, dir, e.cookie, &e))) == 1)
        n++;
    assert_int_equal(rc, 0);
    return n;
}

/* Promise: probe tells an empty volume, ours, a newer one and garbage apart.  Method: each kind of page 0. */
static void probe_tells_what_is_there(void **state)
{
    (void)state;
    struct mem_pager *m = mem_pager_new(256, 256, 1);
    struct hx_fs_who who = {.now = {1, 2}};
    struct hx_fs *fs;
    struct hx_lsn lsn;
    uint8_t *p;
    assert_int_equal(hx_fs_new(&m->base, &fs), 0);
    assert_int_equal(MEM_RUN(m, hx_fs_probe(fs)), HX_E_NOENT);
    assert_int_equal(MEM_RUN(m, hx_fs_format(&m->base, &who)), 0);
    mem_pager_drop_all(m);
    assert_int_equal(hx_fs_probe(fs), HX_E_MISS);
    assert_int_equal(MEM_RUN(m, hx_fs_probe(fs)), 0);
    hx_fs_free(fs);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(hx_fs_new(&m->base, &fs), 0);
        assert_int_equal(hx_pager_begin(&m->base), 0);
        assert_int_equal(hx_pager_edit(&m->base, HX_PAGE(0), HX_EDIT_KEEP, &p), 0);
        p[i == 0 ? 8 : 0] = 99;
        assert_int_equal(hx_pager_commit(&m->base, &lsn), 0);
        assert_int_equal(MEM_RUN(m, hx_fs_probe(fs)), i == 0 ? HX_E_VERSION : HX_E_CORRUPT);
        hx_fs_free(fs);
    }
    mem_pager_free(m);
}

/* Promise: page 0 and the root's inode have these bytes.  Method: golden bytes, by hand from doc/FS.md. */
static void format_writes_the_documented_bytes(void **state)
{
    (void)state;
    static const uint8_t head[32] = {'H', 'E', 'X', 'A', 'D', 'F', 'S', 0, 1, 0, 0, 0, 0, 0x80, 0, 0, 2};
    static const uint8_t root_item[99] = {
        1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 80, 0, 0xed, 0x41, 0, 0, 2, 0, 0, 0,
        0xe8, 3, 0, 0, 100};
    struct fs_kit k = kit_open(256, 256, 1);
    const uint8_t *p = mem_pager_page(k.m, 0), *t = mem_pager_page(k.m, 2);
    assert_memory_equal(p, head, 24);
    assert_int_equal(hx_get_u64(p + 32), 2); /* next inode */
    assert_int_equal(hx_get_u64(p + 40), 1); /* pages used: the root of the tree */
    assert_int_equal(hx_get_u64(p + 48), 1); /* inodes */
    assert_int_equal(mem_pager_page(k.m, 1)[0], 4);
    assert_memory_equal(t, "HXTN", 4);
    assert_int_equal(hx_get_u16(t + 6), 1);
    assert_int_equal(hx_get_u16(t + 24), HX_PAGE_SIZE - sizeof root_item);
    assert_memory_equal(t + HX_PAGE_SIZE - sizeof root_item, root_item, 32);
    close_verified(&k);
}

/* Promise: a new file has the caller's owner, mode and time, and is found by name.  Method: all kinds. */
static void what_is_made_is_found_with_its_attributes(void **state)
{
    (void)state;
    struct fs_kit k = open_cold();
    static const uint32_t modes[] = {S_IFREG | 0640, S_IFIFO | 0600, S_IFSOCK | 0755, S_IFCHR | 0666, S_IFBLK | 04755};
    char name[32];
    struct hx_fs_attr a, b;
    for (unsigned i = 0; i < HX_ARRAY_LEN(modes); i++) {
        assert_int_equal(kit_run(&k, hx_fs_mknod(k.fs, &k.who, 1, NAME(name, i), modes[i], 0x1234, &a)), 0);
        assert_int_equal(a.mode, modes[i]);
        assert_int_equal(a.uid, 1000);
        assert_int_equal(a.gid, 100);
        assert_int_equal(a.nlink, 1);
        assert_int_equal(a.rdev, S_ISCHR(a.mode) || S_ISBLK(a.mode) ? 0x1234 : 0);
        assert_true(a.mtime.s == 1000000 && a.mtime.ns == 5 && a.atime.ns == 5 && a.ctime.s == 1000000);
        assert_int_equal(kit_run(&k, hx_fs_lookup(k.fs, 1, name, &b)), 0);
        assert_true(a.ino == b.ino && a.mode == b.mode && a.rdev == b.rdev && a.mtime.ns == b.mtime.ns);
        assert_int_equal(kit_run(&k, hx_fs_mknod(k.fs, &k.who, 1, name, modes[i], 0, &b)), HX_E_EXIST);
    }
    assert_int_equal(kit_run(&k, hx_fs_mknod(k.fs, &k.who, 1, "x", S_IFDIR | 0755, 0, &a)), HX_E_INVAL);
    assert_int_equal(kit_run(&k, hx_fs_mknod(k.fs, &k.who, 1, "x", S_IFLNK | 0755, 0, &a)), HX_E_INVAL);
    assert_int_equal(kit_attr(&k, 1).size, HX_ARRAY_LEN(modes));
    close_verified(&k);
}

/* Promise: names are checked.  Method: empty, with a slash, 255 and 256 bytes, the dots. */
static void odd_names_are_refused_or_kept_whole(void **state)
{
    (void)state;
    struct fs_kit k = open_cold();
    char longest[258];
    struct hx_fs_attr a;
    memset(longest, 'n', sizeof longest);
    longest[256] = 0;
    assert_int_equal(kit_run(&k, hx_fs_mkdir(k.fs, &k.who, 1, longest, 0755, &a)), HX_E_NAMETOOLONG);
    assert_int_equal(kit_run(&k, hx_fs_lookup(k.fs, 1, longest, &a)), HX_E_NAMETOOLONG);
    longest[255] = 0;
    assert_int_equal(kit_run(&k, hx_fs_mkdir(k.fs, &k.who, 1, longest, 0755, &a)), 0);
    assert_true(kit_find(&k, 1, longest) == a.ino);
    assert_int_equal(kit_run(&k, hx_fs_mkdir(k.fs, &k.who, 1, "", 0755, &a)), HX_E_INVAL);
    assert_int_equal(kit_run(&k, hx_fs_mkdir(k.fs, &k.who, 1, "a/b", 0755, &a)), HX_E_INVAL);
    assert_int_equal(kit_run(&k, hx_fs_mkdir(k.fs, &k.who, 1, ".", 0755, &a)), HX_E_EXIST);
    assert_int_equal(kit_run(&k, hx_fs_mkdir(k.fs, &k.who, 1, "..", 0755, &a)), HX_E_EXIST);
    assert_int_equal(unlink_(&k, 1, "."), HX_E_ISDIR);
    assert_int_equal(rmdir_(&k, 1, "."), HX_E_INVAL);
    assert_int_equal(rmdir_(&k, 1, ".."), HX_E_NOTEMPTY);
    assert_int_equal(rename_(&k, 1, ".", 1, "x", 0), HX_E_INVAL);
    uint64_t d = kit_mkdir(&k, 1, "d");
    assert_true(kit_find(&k, d, ".") == d);
    assert_true(kit_find(&k, d, "..") == 1);
    close_verified(&k);
}

/* Promise: a thousand names list once each, in a stable order, while others come and go.  Method: list half,
 * then remove what was listed and add new names, and list on: every name that stayed appears once. */
static void listing_is_stable_while_names_come_and_go(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(PAGES, PAGES, 1);
    static uint8_t seen[2000];
    char name[32];
    struct hx_fs_dirent e = {.cookie = 0};
    k.m->drop_percent = 20;
    memset(seen, 0, sizeof seen);
    for (unsigned i = 0; i < 1000; i++)
        kit_create(&k, 1, NAME(name, i));
    for (unsigned n = 0; kit_run(&k, hx_fs_readdir(k.fs, 1, e.cookie, &e)) == 1; n++) {
        assert_true(e.cookie != 0 && e.cookie <= INT64_MAX);
        if (n < 2) {
            assert_string_equal(e.name, n == 0 ? "." : "..");
            continue;
        }
        unsigned i = (unsigned)strtoul(e.name + 5, NULL, 10);
        assert_int_equal(seen[i]++, 0);
        if (i < 1000 && i % 2 == 0)
            assert_int_equal(unlink_(&k, 1, e.name), 0);
        if (n % 3 == 0)
            kit_create(&k, 1, NAME(name, 1000 + n / 3));
    }
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(seen[i], 1);
    close_verified(&k);
}

/* Promise: names whose hashes collide are exact.  Method: other names put into a name's bucket by hand (a
 * real collision would take 2^43 names), around it and removed again. */
static void names_with_one_hash_are_told_apart(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(PAGES, PAGES, 1);
    uint64_t dir = kit_mkdir(&k, 1, "d"), bucket = hx_hash_name(k.fs->seed, dir, "wanted", 6);
    char name[32];
    struct hx_dirent e;
    for (unsigned i = 0; i < 50; i++) {
        e = (struct hx_dirent){bucket + i + (i >= 20), 1000 + i, S_IFREG}; /* rank 20 stays free */
        assert_int_equal(hx_op_begin(k.fs, HX_OP_ORDINARY), 0);
        assert_int_equal(hx_op_end(k.fs, hx_dir_insert(k.fs, dir, NAME(name, i), &e)), 0);
    }
    assert_int_equal(kit_run(&k, hx_dir_find(k.fs, dir, "wanted", &e)), HX_E_NOENT);
    assert_true(e.k == bucket + 20);
    uint64_t ino = kit_create(&k, dir, "wanted");
    assert_true(kit_find(&k, dir, "wanted") == ino);
    assert_int_equal(kit_run(&k, hx_dir_find(k.fs, dir, "wanted", &e)), 0);
    assert_true(e.k == bucket + 20);
    assert_int_equal(unlink_(&k, dir, "wanted"), 0);
    assert_true(kit_find(&k, dir, "wanted") == 0);
    assert_int_equal(list(&k, dir), 52);
    kit_close(&k);
}

/* Promise: 100,000 names in one directory: look-ups stay logarithmic.  Method: count the pages of one cold
 * look-up. */
static void a_look_up_among_many_names_reads_few_pages(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(8192, 8192, 1);
    char name[32];
    for (unsigned i = 0; i < 30000; i++) {
        kit_create(&k, 1, NAME(name, i));
        hx_fs_forget(k.fs, i + 2, 1);
    }
    kit_remount(&k);
    mem_pager_drop_all(k.m);
    k.m->misses = 0;
    assert_true(kit_find(&k, 1, NAME(name, 17171)) == 17171 + 2);
    assert_in_range(k.m->misses, 1, 8); /* superblock, and one path to each of three items */
    close_verified(&k);
}

/* Promise: directories count links, know their parent, and go only when empty.  Method: a small tree. */
static void directories_count_links_and_go_only_when_empty(void **state)
{
    (void)state;
    struct fs_kit k = open_cold();
    uint64_t a = kit_mkdir(&k, 1, "a"), b = kit_mkdir(&k, a, "b");
    kit_create(&k, b, "f");
    assert_int_equal(kit_attr(&k, 1).nlink, 3);
    assert_int_equal(kit_attr(&k, a).nlink, 3);
    assert_int_equal(kit_attr(&k, b).nlink, 2);
    assert_int_equal(rmdir_(&k, a, "b"), HX_E_NOTEMPTY);
    assert_int_equal(rmdir_(&k, b, "f"), HX_E_NOTDIR);
    assert_int_equal(unlink_(&k, a, "b"), HX_E_ISDIR);
    assert_int_equal(unlink_(&k, b, "f"), 0);
    assert_int_equal(rmdir_(&k, a, "b"), 0);
    assert_int_equal(kit_attr(&k, a).nlink, 2);
    assert_int_equal(rmdir_(&k, a, "b"), HX_E_NOENT);
    /* b is gone but still known: nothing can be made in it, and it lists nothing. */
    struct hx_fs_attr at;
    assert_int_equal(kit_attr(&k, b).nlink, 0);
    assert_int_equal(kit_run(&k, hx_fs_mkdir(k.fs, &k.who, b, "x", 0755, &at)), HX_E_NOENT);
    assert_int_equal(list(&k, b), 0);
    close_verified(&k);
}

/* Promise: a set-gid directory hands on its group, and the bit to directories.  Method: one of each. */
static void set_gid_directories_hand_their_group_on(void **state)
{
    (void)state;
    struct fs_kit k = open_cold();
    uint64_t d = kit_mkdir(&k, 1, "d");
    struct hx_fs_attr in = {.mode = 02775, .gid = 77}, out;
    assert_int_equal(kit_run(&k, hx_fs_setattr(k.fs, &k.who, d, &in, HX_FS_SET_MODE | HX_FS_SET_GID, &out)), 0);
    struct hx_fs_attr f = kit_attr(&k, kit_create(&k, d, "f")), s = kit_attr(&k, kit_mkdir(&k, d, "s"));
    assert_int_equal(f.gid, 77);
    assert_int_equal(f.mode, S_IFREG | 0644);
    assert_int_equal(s.gid, 77);
    assert_int_equal(s.mode, S_IFDIR | 02755);
    close_verified(&k);
}

/* Promise: symbolic links of 1 to 4095 bytes come back whole.  Method: lengths around the chunk's ends. */
static void symlinks_come_back_whole(void **state)
{
    (void)state;
    static const size_t lens[] = {1, 59, 999, 1000, 1001, 2000, 4094, 4095};
    struct fs_kit k = open_cold();
    char target[4097], back[4096], name[32];
    struct hx_fs_attr a;
    for (unsigned i = 0; i < HX_ARRAY_LEN(lens); i++) {
        for (size_t j = 0; j < lens[i]; j++)
            target[j] = (char)('a' + (j * 7 + i) % 26);
        target[lens[i]] = 0;
        assert_int_equal(kit_run(&k, hx_fs_symlink(k.fs, &k.who, 1, NAME(name, i), target, &a)), 0);
        assert_true(a.size == lens[i]);
        assert_int_equal(a.mode, S_IFLNK | 0777);
        assert_int_equal(kit_run(&k, hx_fs_readlink(k.fs, a.ino, back, lens[i] + 1)), 0);
        assert_string_equal(back, target);
        assert_int_equal(kit_run(&k, hx_fs_readlink(k.fs, a.ino, back, lens[i])), HX_E_TOOBIG);
        hx_fs_forget(k.fs, a.ino, 1);
    }
    kit_verify(&k);
    memset(target, 'x', 4096);
    target[4096] = 0;
    assert_int_equal(kit_run(&k, hx_fs_symlink(k.fs, &k.who, 1, "l", target, &a)), HX_E_NAMETOOLONG);
    assert_int_equal(kit_run(&k, hx_fs_symlink(k.fs, &k.who, 1, "l", "", &a)), HX_E_NOENT);
    for (unsigned i = 0; i < HX_ARRAY_LEN(lens); i++)
        assert_int_equal(unlink_(&k, 1, NAME(name, i)), 0);
    kit_reap(&k);
    assert_true(kit_inodes(&k) == 1);
    close_verified(&k);
}

/* Promise: hard links count, and the file lives until the last is gone.  Method: three names. */
static void a_file_lives_until_its_last_link_is_gone(void **state)
{
    (void)state;
    struct fs_kit k = open_cold();
    uint64_t d = kit_mkdir(&k, 1, "d"), f = kit_create(&k, 1, "a");
    kit_write(&k, f, 0, "hello", 5);
    assert_int_equal(link_(&k, f, d, "b"), 0);
    assert_int_equal(link_(&k, f, 1, "c"), 0);
    assert_int_equal(link_(&k, f, 1, "c"), HX_E_EXIST);
    assert_int_equal(link_(&k, d, 1, "e"), HX_E_PERM);
    assert_int_equal(kit_attr(&k, f).nlink, 3);
    assert_int_equal(unlink_(&k, 1, "a"), 0);
    assert_int_equal(unlink_(&k, d, "b"), 0);
    hx_fs_forget(k.fs, f, 3);
    kit_reap(&k);
    assert_true(kit_find(&k, 1, "c") == f);
    assert_int_equal(unlink_(&k, 1, "c"), 0);
    assert_true(hx_fs_has_work(k.fs));
    kit_reap(&k);
    struct hx_fs_attr at;
    assert_int_equal(kit_run(&k, hx_fs_getattr(k.fs, f, &at)), HX_E_STALE);
    assert_int_equal(link_(&k, f, 1, "z"), HX_E_STALE);
    close_verified(&k);
}

/* Promise: an open file works on without a name, is freed by its release, and after a crash by the first
 * reaping; forgetting alone does not free what is open.  Method: the same story with and without the crash. */
static void an_open_file_outlives_its_name_but_not_a_crash(void **state)
{
    (void)state;
    struct fs_kit k = open_cold();
    uint64_t before = kit_free_pages(&k), f = kit_create(&k, 1, "f");
    char back[6] = {0};
    hx_fs_opened(k.fs, f);
    kit_write(&k, f, 0, "hello", 5);
    assert_int_equal(unlink_(&k, 1, "f"), 0);
    hx_fs_forget(k.fs, f, 1);
    kit_reap(&k);
    kit_write(&k, f, 1, "a", 1);
    assert_int_equal(kit_read(&k, f, 0, back, 5), 5);
    assert_string_equal(back, "hallo");
    assert_int_equal(link_(&k, f, 1, "again"), HX_E_NOENT);
    kit_verify(&k);
    struct fs_kit c = kit_crash(&k);
    kit_verify(&c);
    assert_true(hx_fs_has_work(c.fs));
    kit_reap(&c);
    assert_true(kit_free_pages(&c) == before && kit_inodes(&c) == 1);
    close_verified(&c);
    hx_fs_released(k.fs, f);
    assert_true(hx_fs_has_work(k.fs));
    kit_reap(&k);
    assert_true(kit_free_pages(&k) == before && kit_inodes(&k) == 1);
    close_verified(&k);
}

/* Promise: an orphan that is opened before it is reaped stays until it is released.  Method: nobody knows the
 * inode when its name goes, then somebody opens it by number. */
static void an_orphan_that_is_opened_late_waits_for_its_release(void **state)
{
    (void)state;
    struct fs_kit k = open_cold();
    uint64_t f = kit_create(&k, 1, "f");
    hx_fs_forget(k.fs, f, 1);
    assert_int_equal(unlink_(&k, 1, "f"), 0);
    hx_fs_opened(k.fs, f);
    kit_reap(&k);
    assert_int_equal(kit_attr(&k, f).nlink, 0);
    hx_fs_released(k.fs, f);
    assert_true(hx_fs_has_work(k.fs));
    kit_reap(&k);
    assert_true(kit_inodes(&k) == 1);
    close_verified(&k);
}

/* Promise: rename keeps the inode, replaces files and empty directories, and refuses what POSIX refuses. */
static void rename_replaces_what_it_may(void **state)
{
    (void)state;
    struct fs_kit k = open_cold();
    uint64_t d = kit_mkdir(&k, 1, "d"), e = kit_mkdir(&k, 1, "e"), f = kit_create(&k, 1, "f");
    uint64_t g = kit_create(&k, d, "g");
    assert_int_equal(rename_(&k, 1, "none", 1, "x", 0), HX_E_NOENT);
    assert_int_equal(rename_(&k, 1, "f", 1, "d", 0), HX_E_ISDIR);
    assert_int_equal(rename_(&k, 1, "d", 1, "f", 0), HX_E_NOTDIR);
    assert_int_equal(rename_(&k, 1, "e", 1, "d", 0), HX_E_NOTEMPTY);
    assert_int_equal(rename_(&k, 1, "f", d, "g", HX_FS_RENAME_NOREPLACE), HX_E_EXIST);
    assert_int_equal(rename_(&k, 1, "f", d, "h", HX_FS_RENAME_EXCHANGE), HX_E_NOENT);
    assert_int_equal(rename_(&k, 1, "f", d, "h", HX_FS_RENAME_EXCHANGE | HX_FS_RENAME_NOREPLACE), HX_E_INVAL);
    assert_int_equal(rename_(&k, 1, "f", d, "h", 64), HX_E_INVAL);
    assert_int_equal(rename_(&k, 1, "f", d, "g", 0), 0);
    assert_true(kit_find(&k, d, "g") == f && kit_find(&k, 1, "f") == 0);
    assert_int_equal(kit_attr(&k, g).nlink, 0);
    assert_int_equal(rename_(&k, 1, "d", 1, "e", 0), 0);
    assert_true(kit_find(&k, 1, "e") == d && kit_find(&k, d, "g") == f);
    assert_int_equal(kit_attr(&k, e).nlink, 0);
    assert_int_equal(kit_attr(&k, 1).nlink, 3);
    assert_int_equal(kit_attr(&k, 1).size, 1);
    assert_int_equal(link_(&k, f, 1, "same"), 0);
    assert_int_equal(rename_(&k, 1, "same", d, "g", 0), 0); /* two names of one file: both stay */
    assert_true(kit_find(&k, 1, "same") == f && kit_find(&k, d, "g") == f);
    assert_int_equal(rename_(&k, d, "g", d, "g", 0), 0);
    kit_verify(&k);
    hx_fs_forget(k.fs, g, 1);
    hx_fs_forget(k.fs, e, 1);
    kit_reap(&k);
    assert_true(kit_inodes(&k) == 3);
    close_verified(&k);
}

/* Promise: a directory is never moved below itself; moving it elsewhere moves its parent link. */
static void a_directory_is_never_moved_below_itself(void **state)
{
    (void)state;
    struct fs_kit k = open_cold();
    uint64_t a = kit_mkdir(&k, 1, "a"), b = kit_mkdir(&k, a, "b"), c = kit_mkdir(&k, b, "c");
    uint64_t x = kit_mkdir(&k, 1, "x");
    assert_int_equal(rename_(&k, 1, "a", a, "y", 0), HX_E_INVAL);
    assert_int_equal(rename_(&k, 1, "a", c, "y", 0), HX_E_INVAL);
    assert_int_equal(rename_(&k, 1, "a", b, "c", HX_FS_RENAME_EXCHANGE), HX_E_INVAL);
    assert_int_equal(rename_(&k, b, "c", 1, "a", HX_FS_RENAME_EXCHANGE), HX_E_INVAL);
    assert_int_equal(rename_(&k, a, "b", 1, "a", 0), HX_E_NOTEMPTY);
    assert_int_equal(rename_(&k, a, "b", x, "b2", 0), 0);
    assert_true(kit_find(&k, b, "..") == x);
    assert_int_equal(kit_attr(&k, a).nlink, 2);
    assert_int_equal(kit_attr(&k, x).nlink, 3);
    assert_int_equal(rename_(&k, 1, "a", c, "y", 0), 0);
    close_verified(&k);
}

/* Promise: exchange swaps two entries of any kinds in one step.  Method: file with directory, two directories. */
static void exchange_swaps_entries_of_any_kind(void **state)
{
    (void)state;
    struct fs_kit k = open_cold();
    uint64_t a = kit_mkdir(&k, 1, "a"), b = kit_mkdir(&k, 1, "b"), f = kit_create(&k, a, "f");
    uint64_t s = kit_mkdir(&k, b, "s"), t = kit_mkdir(&k, a, "t");
    assert_int_equal(rename_(&k, a, "f", b, "s", HX_FS_RENAME_EXCHANGE), 0);
    assert_true(kit_find(&k, a, "f") == s && kit_find(&k, b, "s") == f);
    assert_true(kit_find(&k, s, "..") == a);
    assert_int_equal(kit_attr(&k, a).nlink, 4);
    assert_int_equal(kit_attr(&k, b).nlink, 2);
    assert_int_equal(rename_(&k, a, "f", a, "t", HX_FS_RENAME_EXCHANGE), 0);
    assert_true(kit_find(&k, a, "f") == t && kit_find(&k, a, "t") == s);
    uint64_t commits = k.m->commits;
    assert_int_equal(rename_(&k, 1, "a", 1, "b", HX_FS_RENAME_EXCHANGE), 0);
    assert_true(k.m->commits == commits + 1);
    assert_true(kit_find(&k, 1, "a") == b);
    close_verified(&k);
}

/* Promise: a file that is open and replaced by rename can be read until it is closed (editors, SQLite). */
static void rename_over_an_open_file_keeps_its_bytes(void **state)
{
    (void)state;
    struct fs_kit k = open_cold();
    uint64_t old = kit_create(&k, 1, "f"), new = kit_create(&k, 1, "tmp");
    char back[4] = {0};
    hx_fs_opened(k.fs, old);
    kit_write(&k, old, 0, "old", 3);
    kit_write(&k, new, 0, "new", 3);
    assert_int_equal(rename_(&k, 1, "tmp", 1, "f", 0), 0);
    hx_fs_forget(k.fs, old, 1);
    kit_reap(&k);
    assert_int_equal(kit_read(&k, old, 0, back, 4), 3);
    assert_string_equal(back, "old");
    hx_fs_released(k.fs, old);
    kit_reap(&k);
    assert_true(kit_inodes(&k) == 2);
    close_verified(&k);
}

/* Promise: attributes are set as asked, nanoseconds too, and ctime follows.  Method: each bit by itself. */
static void attributes_are_set_one_by_one(void **state)
{
    (void)state;
    struct fs_kit k = open_cold();
    uint64_t f = kit_create(&k, 1, "f");
    struct hx_fs_attr in = {.mode = 04711, .uid = 7, .gid = 8, .atime = {-5, 1}, .mtime = {1ll << 40, 999999999},
                            .ctime = {3, 4}}, a;
    k.who.now.s++;
    assert_int_equal(kit_run(&k, hx_fs_setattr(k.fs, &k.who, f, &in, HX_FS_SET_MODE, &a)), 0);
    assert_true(a.mode == (S_IFREG | 04711u) && a.uid == 1000 && a.ctime.s == k.who.now.s && a.mtime.s == 1000000);
    assert_int_equal(kit_run(&k, hx_fs_setattr(k.fs, &k.who, f, &in, HX_FS_SET_UID | HX_FS_SET_GID, &a)), 0);
    assert_true(a.uid == 7 && a.gid == 8);
    assert_int_equal(kit_run(&k, hx_fs_setattr(k.fs, &k.who, f, &in,
                                               HX_FS_SET_ATIME | HX_FS_SET_MTIME | HX_FS_SET_CTIME, &a)), 0);
    a = kit_attr(&k, f);
    assert_true(a.atime.s == -5 && a.atime.ns == 1 && a.mtime.s == 1ll << 40 && a.mtime.ns == 999999999);
    assert_true(a.ctime.s == 3 && a.ctime.ns == 4);
    assert_int_equal(kit_run(&k, hx_fs_touch_atime(k.fs, f, (struct hx_fs_time){9, 9})), 0);
    a = kit_attr(&k, f);
    assert_true(a.atime.s == 9 && a.mtime.ns == 999999999 && a.ctime.s == 3);
    assert_int_equal(kit_run(&k, hx_fs_setattr(k.fs, &k.who, 1, &in, HX_FS_SET_SIZE, &a)), HX_E_ISDIR);
    close_verified(&k);
}

/* Promise: making a file in a warm directory changes few pages by few bytes.  Method: the pager's count. */
static void making_a_file_is_a_small_change(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(PAGES, PAGES, 1);
    char name[32];
    uint64_t pages = 0, bytes = 0;
    for (unsigned i = 0; i < 2000; i++) {
        kit_create(&k, 1, NAME(name, i));
        pages += k.m->last_pages;
        bytes += k.m->last_bytes;
    }
    assert_in_range(pages / 20, 200, 480); /* hundredths of a page: superblock, entry, inode, directory */
    assert_in_range(bytes / 2000, 50, 600);
    close_verified(&k);
}

/* Promise: a full volume says so, loses nothing, and can be emptied.  Method: fill it with files, then remove
 * all; each refusal must leave a verifiable volume. */
static void a_full_volume_can_be_emptied(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(512, 512, 1);
    char name[32];
    struct hx_fs_attr a;
    unsigned n = 0;
    uint64_t at;
    int rc, wrc = 0;
    k.m->drop_percent = 30;
    while ((rc = kit_run(&k, hx_fs_mknod(k.fs, &k.who, 1, NAME(name, n), S_IFREG | 0644, 0, &a))) == 0) {
        n++;
        wrc = kit_run(&k, hx_fs_write(k.fs, &k.who, a.ino, 0, name, sizeof name, false, false, &at));
        hx_fs_forget(k.fs, a.ino, 1);
    }
    assert_int_equal(rc, HX_E_GROW);
    assert_int_equal(wrc, HX_E_GROW);
    assert_true(n > 300);
    kit_verify(&k);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(unlink_(&k, 1, NAME(name, i)), 0);
        if (i % 10 == 0)
            kit_reap(&k);
    }
    kit_reap(&k);
    assert_true(kit_inodes(&k) == 1);
    assert_true(kit_free_pages(&k) == 512 - 3 - HX_ALLOC_RESERVE);
    close_verified(&k);
}

/* Promise (hexad/room.h): while the servers' room is scarce, bytes that need a page more are refused, also where the
 * volume has free ones; bytes in place, names and whatever frees go on.  With none left only the last, and attributes.
 * Each refusal changes nothing; with room again all goes on. */
static void scarce_room_refuses_what_grows(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(4096, 4096, 1);
    static char data[8 * HX_PAGE_SIZE];
    struct hx_fs_attr a;
    uint64_t at, done, f = kit_create(&k, 1, "f");
    kit_fill(&k, f, 0, 64 * HX_PAGE_SIZE, 1);
    for (int none = 0; none < 2; none++) {
        hx_fs_room(k.fs, none ? HX_ROOM_NONE : HX_ROOM_SCARCE);
        int ordinary = none ? HX_E_NOSPACE : 0;
        uint64_t size = kit_attr(&k, f).size, free_pages = kit_free_pages(&k);
        assert_int_equal(kit_run(&k, hx_fs_write(k.fs, &k.who, f, size, data, sizeof data, false, false, &at)),
                         HX_E_NOSPACE);
        done = 0;
        assert_int_equal(kit_run(&k, hx_fs_fallocate(k.fs, &k.who, f, 0, size, 4096, &done)), HX_E_NOSPACE);
        assert_true(kit_attr(&k, f).size == size && kit_free_pages(&k) == free_pages);
        assert_int_equal(kit_run(&k, hx_fs_write(k.fs, &k.who, f, 0, data, sizeof data, false, false, &at)), ordinary);
        assert_int_equal(kit_run(&k, hx_fs_mknod(k.fs, &k.who, 1, "g", S_IFREG | 0644, 0, &a)), ordinary);
        assert_int_equal(kit_run(&k, hx_fs_rename(k.fs, &k.who, 1, "f", 1, "h", 0)), ordinary);
        if (!none) {
            assert_int_equal(kit_run(&k, hx_fs_rename(k.fs, &k.who, 1, "h", 1, "f", 0)), 0);
            assert_int_equal(unlink_(&k, 1, "g"), 0);
            hx_fs_forget(k.fs, a.ino, 1);
        }
        const struct hx_fs_attr to = {.mode = 0600, .size = size - HX_PAGE_SIZE};
        assert_int_equal(kit_run(&k, hx_fs_setattr(k.fs, &k.who, f, &to, HX_FS_SET_MODE | HX_FS_SET_SIZE, &a)), 0);
        done = 0;
        assert_int_equal(kit_run(&k, hx_fs_fallocate(k.fs, &k.who, f, HX_FS_FALLOC_PUNCH | HX_FS_FALLOC_KEEP_SIZE, 0,
                                                     8 * HX_PAGE_SIZE, &done)), 0);
        kit_reap(&k);
        assert_true(kit_free_pages(&k) > free_pages);
        kit_verify(&k);
        hx_fs_room(k.fs, HX_ROOM_PLENTY);
        assert_int_equal(kit_run(&k, hx_fs_write(k.fs, &k.who, f, 0, data, sizeof data, false, false, &at)), 0);
    }
    hx_fs_room(k.fs, HX_ROOM_NONE);
    assert_int_equal(unlink_(&k, 1, "f"), 0);
    hx_fs_forget(k.fs, f, 1);
    kit_reap(&k);
    close_verified(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scarce_room_refuses_what_grows),
        cmocka_unit_test(probe_tells_what_is_there),
        cmocka_unit_test(format_writes_the_documented_bytes),
        cmocka_unit_test(what_is_made_is_found_with_its_attributes),
        cmocka_unit_test(odd_names_are_refused_or_kept_whole),
        cmocka_unit_test(listing_is_stable_while_names_come_and_go),
        cmocka_unit_test(names_with_one_hash_are_told_apart),
        cmocka_unit_test(a_look_up_among_many_names_reads_few_pages),
        cmocka_unit_test(directories_count_links_and_go_only_when_empty),
        cmocka_unit_test(set_gid_directories_hand_their_group_on),
        cmocka_unit_test(symlinks_come_back_whole),
        cmocka_unit_test(a_file_lives_until_its_last_link_is_gone),
        cmocka_unit_test(an_open_file_outlives_its_name_but_not_a_crash),
        cmocka_unit_test(an_orphan_that_is_opened_late_waits_for_its_release),
        cmocka_unit_test(rename_replaces_what_it_may),
        cmocka_unit_test(a_directory_is_never_moved_below_itself),
        cmocka_unit_test(exchange_swaps_entries_of_any_kind),
        cmocka_unit_test(rename_over_an_open_file_keeps_its_bytes),
        cmocka_unit_test(attributes_are_set_one_by_one),
        cmocka_unit_test(making_a_file_is_a_small_change),
        cmocka_unit_test(a_full_volume_can_be_emptied),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("fs", tests, NULL, NULL);
}
