/*
 * test_fs_xattr.c - extended attributes, ACLs and files without a name, in the filesystem: one story a promise.
 * tests/fault/test_posix.sh compares the same things with a local filesystem, through the kernel.
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

#define PAGES 8192
static uint8_t value[HX_FS_XATTR_VALUE_MAX], got[HX_FS_XATTR_VALUE_MAX];

/* Every page absent before every operation, and some windows full. */
static struct fs_kit open_cold(void)
{
    struct fs_kit k = kit_open(PAGES, PAGES, 1);
    k.m->drop_percent = 100;
    k.m->room_percent = 10;
    return k;
}

static const uint8_t *fill(size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        value[i] = (uint8_t)(i * 7 + (i >> 8) + seed);
    return value;
}

static int set(struct fs_kit *k, uint64_t ino, const char *name, const void *v, size_t len, unsigned flags)
{
    return kit_run(k, hx_fs_setxattr(k->fs, &k->who, ino, name, v, len, flags));
}

static int drop(struct fs_kit *k, uint64_t ino, const char *name)
{
    return kit_run(k, hx_fs_removexattr(k->fs, &k->who, ino, name));
}

static int get(struct fs_kit *k, uint64_t ino, const char *name, size_t cap, size_t *ret_len)
{
    *ret_len = 0;
    return kit_run(k, hx_fs_getxattr(k->fs, ino, name, got, cap, ret_len));
}

static void assert_has(struct fs_kit *k, uint64_t ino, const char *name, const void *v, size_t len)
{
    size_t n;
    assert_int_equal(get(k, ino, name, sizeof got, &n), 0);
    assert_int_equal(n, len);
    assert_true(len == 0 || memcmp(got, v, len) == 0);
}

static void assert_none(struct fs_kit *k, uint64_t ino, const char *name)
{
    size_t n;
    assert_int_equal(get(k, ino, name, sizeof got, &n), HX_E_NODATA);
}

static uint32_t version(const struct fs_kit *k)
{
    return hx_get_u32(mem_pager_page(k->m, 0) + 8);
}

/* Promise: a value of any length up to 64 KiB comes back, also in the place of a longer, shorter or equally long one,
 * and nothing of it is left behind.  Method: lengths around each border of a chunk, cold. */
static void values_of_all_lengths_come_back(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 986, 987, 988, 1987, 1988, 5000, 5000, 65536, 65536, 3, 0};
    struct fs_kit k = open_cold();
    uint64_t f = kit_create(&k, HX_FS_ROOT, "f");
    for (unsigned i = 0; i < HX_ARRAY_LEN(lens); i++) {
        size_t n;
        assert_int_equal(set(&k, f, "user.abc", fill(lens[i], i), lens[i], 0), 0);
        assert_has(&k, f, "user.abc", value, lens[i]);
        assert_int_equal(get(&k, f, "user.abc", 0, &n), 0);
        assert_int_equal(n, lens[i]);
        if (lens[i] > 1)
            assert_int_equal(get(&k, f, "user.abc", lens[i] - 1, &n), HX_E_RANGE);
        kit_verify(&k);
    }
    assert_int_equal(drop(&k, f, "user.abc"), 0);
    assert_none(&k, f, "user.abc");
    kit_verify(&k);
    kit_close(&k);
}

/* Promise: the errors are those of Linux.  Method: each once. */
static void refusals(void **state)
{
    (void)state;
    char name[300] = "user.";
    struct fs_kit k = kit_open(PAGES, PAGES, 1);
    uint64_t f = kit_create(&k, HX_FS_ROOT, "f");
    memset(name + 5, 'n', 251);
    assert_int_equal(set(&k, f, "user.", "", 0, 0), HX_E_INVAL);
    assert_int_equal(set(&k, f, "system.x", "", 0, 0), HX_E_NOTSUP);
    assert_int_equal(set(&k, f, "x", "", 0, 0), HX_E_NOTSUP);
    assert_int_equal(set(&k, f, name, "", 0, 0), HX_E_RANGE);
    assert_int_equal(set(&k, f, "user.a", value, HX_FS_XATTR_VALUE_MAX + 1, 0), HX_E_INVAL);
    assert_int_equal(set(&k, f, "user.a", "", 0, HX_FS_XATTR_REPLACE), HX_E_NODATA);
    assert_int_equal(set(&k, f, "user.a", "", 0, HX_FS_XATTR_CREATE), 0);
    assert_int_equal(set(&k, f, "user.a", "", 0, HX_FS_XATTR_CREATE), HX_E_EXIST);
    assert_int_equal(set(&k, f, "user.a", "", 0, 4), HX_E_INVAL);
    assert_int_equal(drop(&k, f, "user.b"), HX_E_NODATA);
    assert_int_equal(set(&k, f + 1, "user.a", "", 0, 0), HX_E_STALE);
    kit_verify(&k);
    kit_close(&k);
}

/* Promise: names with one hash are as good as others, and a full list of names is refused, not truncated.  Method:
 * many names on one inode, in three orders; the list against what was set. */
static void many_names_of_one_inode(void **state)
{
    (void)state;
    char name[64], *list = malloc(HX_FS_XATTR_LIST_MAX);
    size_t len, n = 0;
    struct fs_kit k = kit_open(PAGES, PAGES, 1);
    uint64_t f = kit_create(&k, HX_FS_ROOT, "f");
    assert_non_null(list);
    int rc = 0;
    for (; n < 5000; n++) {
        snprintf(name, sizeof name, "user.%040zu", n);
        rc = set(&k, f, name, name, strlen(name), 0);
        if (rc)
            break;
    }
    assert_int_equal(rc, HX_E_NOSPACE);
    assert_int_equal(n, HX_FS_XATTR_LIST_MAX / 46);
    assert_int_equal(kit_run(&k, hx_fs_listxattr(k.fs, f, true, list, HX_FS_XATTR_LIST_MAX, &len)), 0);
    assert_int_equal(len, n * 46);
    assert_int_equal(kit_run(&k, hx_fs_listxattr(k.fs, f, true, list, 45, &len)), HX_E_RANGE);
    for (size_t i = 0; i < n; i += 2) {
        snprintf(name, sizeof name, "user.%040zu", i);
        assert_int_equal(drop(&k, f, name), 0);
    }
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "user.%040zu", i);
        if (i % 2)
            assert_has(&k, f, name, name, strlen(name));
        else
            assert_none(&k, f, name);
    }
    assert_int_equal(set(&k, f, "trusted.t", "", 0, 0), 0);
    assert_int_equal(kit_run(&k, hx_fs_listxattr(k.fs, f, false, NULL, 0, &len)), 0);
    assert_int_equal(len, n / 2 * 46);
    kit_verify(&k);
    free(list);
    kit_close(&k);
}

/* Promise: attributes go with their inode, all of them.  Method: free pages and inodes before and after. */
static void attributes_go_with_their_inode(void **state)
{
    (void)state;
    struct fs_kit k = open_cold();
    uint64_t pages = kit_free_pages(&k), inodes = kit_inodes(&k);
    uint64_t f = kit_create(&k, HX_FS_ROOT, "f");
    char name[32];
    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "user.%u", i);
        assert_int_equal(set(&k, f, name, fill(20000, i), 20000, 0), 0);
    }
    assert_int_equal(kit_run(&k, hx_fs_unlink(k.fs, &k.who, HX_FS_ROOT, "f")), 0);
    kit_verify(&k);
    assert_has(&k, f, name, value, 20000); /* it is still known */
    struct fs_kit c = kit_crash(&k);
    kit_reap(&c);
    kit_verify(&c);
    assert_int_equal(kit_inodes(&c), inodes);
    assert_int_equal(kit_free_pages(&c), pages);
    kit_close(&c);
    kit_run(&k, hx_fs_forget(k.fs, f, 1));
    kit_reap(&k);
    assert_int_equal(kit_free_pages(&k), pages);
    kit_verify(&k);
    kit_close(&k);
}

/* Promise: a volume stays at version 1, which older programs read, until it holds what they do not know; then it says
 * so in the same mini-transaction.  Method: the version after each operation. */
static void the_version_rises_with_the_first_attribute(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(PAGES, PAGES, 1);
    struct hx_fs_attr a;
    uint64_t f = kit_create(&k, HX_FS_ROOT, "f");
    kit_fill(&k, f, 0, 10000, 1);
    assert_int_equal(drop(&k, f, "user.a"), HX_E_NODATA);
    assert_int_equal(version(&k), 1);
    uint64_t commits = k.m->commits;
    assert_int_equal(set(&k, f, "user.a", "1", 1, 0), 0);
    assert_int_equal(k.m->commits, commits + 1);
    assert_int_equal(version(&k), 2);
    kit_remount(&k);
    assert_has(&k, f, "user.a", "1", 1);
    kit_close(&k);
    k = kit_open(PAGES, PAGES, 1);
    assert_int_equal(kit_run(&k, hx_fs_tmpfile(k.fs, &k.who, HX_FS_ROOT, 0600, &a)), 0);
    assert_int_equal(version(&k), 2);
    kit_close(&k);
}

/* Promise: an operation is one mini-transaction: a crash leaves the value before or the one after, whole.  Method: a
 * copy at each commit. */
struct crashes {
    struct fs_kit *k;
    uint64_t f;
    unsigned before, after;
};

static void at_commit(void *arg)
{
    struct crashes *c = arg;
    struct fs_kit crash = kit_crash(c->k);
    size_t n;
    kit_verify(&crash);
    assert_int_equal(get(&crash, c->f, "user.v", sizeof got, &n), 0);
    if (n == 30000)
        c->before++;
    else
        c->after += n == 50000 && memcmp(got, value, n) == 0;
    kit_close(&crash);
}

static void a_crash_leaves_one_value_whole(void **state)
{
    (void)state;
    struct fs_kit k = open_cold();
    struct crashes c = {.k = &k, .f = kit_create(&k, HX_FS_ROOT, "f")};
    assert_int_equal(set(&k, c.f, "user.v", fill(30000, 1), 30000, 0), 0);
    fill(50000, 2);
    k.m->on_commit = at_commit;
    k.m->on_commit_arg = &c;
    assert_int_equal(set(&k, c.f, "user.v", value, 50000, 0), 0);
    k.m->on_commit = NULL;
    assert_int_equal(c.before, 0);
    assert_int_equal(c.after, 1);
    kit_close(&k);
}

/* ---- ACLs ---- */
struct entry {
    uint16_t tag, perm;
    uint32_t id;
};

static size_t make_acl(uint8_t *buf, const struct entry *e, size_t count)
{
    hx_put_u32(buf, 2);
    for (size_t i = 0; i < count; i++) {
        hx_put_u16(buf + 4 + 8 * i, e[i].tag);
        hx_put_u16(buf + 6 + 8 * i, e[i].perm);
        hx_put_u32(buf + 8 + 8 * i, e[i].id);
    }
    return 4 + 8 * count;
}

static const struct entry named[] = {{1, 7, ~0u}, {2, 6, 50}, {2, 5, 60}, {4, 7, ~0u}, {8, 1, 70}, {16, 5, ~0u},
                                     {32, 1, ~0u}};

/* Promise: lists that are none are refused.  Method: a right one, and each way to be wrong. */
static void lists_that_are_none_are_refused(void **state)
{
    (void)state;
    uint8_t a[4096 + 64];
    struct entry e[HX_ARRAY_LEN(named)];
    const size_t n = HX_ARRAY_LEN(named), len = make_acl(a, named, n);
    assert_true(hx_acl_ok(a, len));
    for (size_t cut = 0; cut < len; cut++)
        assert_false(hx_acl_ok(a, cut)); /* nothing shorter is whole: the last entry must be there */
    for (size_t i = 0; i < n; i++) {
        memcpy(e, named, sizeof e);
        e[i].perm = 8;
        assert_false(hx_acl_ok(a, make_acl(a, e, n)));
        memcpy(e, named, sizeof e);
        e[i].tag = 64;
        assert_false(hx_acl_ok(a, make_acl(a, e, n)));
        memmove(e, named, i * sizeof *e); /* without entry i: only one of two named ones can be missing */
        memcpy(e + i, named + i + 1, (n - 1 - i) * sizeof *e);
        assert_int_equal(hx_acl_ok(a, make_acl(a, e, n - 1)), named[i].tag == 2 || named[i].tag == 8);
        if (i + 1 < n && named[i].tag != named[i + 1].tag) {
            memcpy(e, named, sizeof e);
            e[i] = named[i + 1];
            e[i + 1] = named[i];
            assert_false(hx_acl_ok(a, make_acl(a, e, n)));
        }
    }
    memcpy(e, named, sizeof e);
    e[1].id = ~0u;
    assert_false(hx_acl_ok(a, make_acl(a, e, n)));
    make_acl(a, named, n);
    a[0] = 1;
    assert_false(hx_acl_ok(a, len));
}

/* Promise: list and mode say the same, whichever of them was set.  Method: all modes, both ways. */
static void list_and_mode_agree(void **state)
{
    (void)state;
    uint8_t a[128];
    size_t len = make_acl(a, named, HX_ARRAY_LEN(named)), n;
    struct fs_kit k = kit_open(PAGES, PAGES, 1);
    uint64_t f = kit_create(&k, HX_FS_ROOT, "f");
    assert_int_equal(set(&k, f, HX_FS_ACL_ACCESS, a, len, 0), 0);
    assert_int_equal(kit_attr(&k, f).mode, S_IFREG | 0751);
    for (uint32_t mode = 0; mode < 01000; mode++) {
        struct hx_fs_attr in = {.mode = mode}, out;
        assert_int_equal(kit_run(&k, hx_fs_setattr(k.fs, &k.who, f, &in, HX_FS_SET_MODE, &out)), 0);
        assert_int_equal(get(&k, f, HX_FS_ACL_ACCESS, sizeof got, &n), 0);
        assert_int_equal(n, len);
        assert_int_equal(hx_acl_mode(got, n, 0), mode);
        assert_int_equal(hx_get_u16(got + 4 + 8 * 3 + 2), 7); /* the group's own entry stays: there is a mask */
    }
    static const struct entry plain[] = {{1, 6, ~0u}, {4, 4, ~0u}, {32, 0, ~0u}};
    len = make_acl(a, plain, 3);
    assert_int_equal(set(&k, f, HX_FS_ACL_ACCESS, a, len, 0), 0);
    assert_none(&k, f, HX_FS_ACL_ACCESS);
    assert_int_equal(kit_attr(&k, f).mode, S_IFREG | 0640);
    assert_int_equal(set(&k, f, HX_FS_ACL_DEFAULT, a, len, 0), HX_E_ACCES);
    assert_int_equal(set(&k, f, HX_FS_ACL_ACCESS, a, len - 1, 0), HX_E_INVAL);
    assert_int_equal(drop(&k, f, HX_FS_ACL_ACCESS), 0);
    kit_verify(&k);
    kit_close(&k);
}

/* Promise: a default list is handed on instead of the umask, in the mini-transaction that makes the file.  Method: a
 * file, a directory and what is in it; the number of commits. */
static void a_default_list_is_handed_on(void **state)
{
    (void)state;
    uint8_t a[128];
    size_t len = make_acl(a, named, HX_ARRAY_LEN(named)), n;
    struct fs_kit k = open_cold();
    struct hx_fs_attr at;
    uint64_t d = kit_mkdir(&k, HX_FS_ROOT, "d");
    assert_int_equal(set(&k, d, HX_FS_ACL_DEFAULT, a, len, 0), 0);
    assert_int_equal(kit_attr(&k, d).mode, S_IFDIR | 0755);
    k.who.umask = 0777;
    uint64_t commits = k.m->commits;
    assert_int_equal(kit_run(&k, hx_fs_mknod(k.fs, &k.who, d, "f", S_IFREG | 0664, 0, &at)), 0);
    assert_int_equal(k.m->commits, commits + 1);
    assert_int_equal(at.mode, S_IFREG | 0640);
    assert_int_equal(get(&k, at.ino, HX_FS_ACL_ACCESS, sizeof got, &n), 0);
    assert_int_equal(hx_acl_mode(got, n, 0), 0640);
    assert_none(&k, at.ino, HX_FS_ACL_DEFAULT);
    assert_int_equal(kit_run(&k, hx_fs_mkdir(k.fs, &k.who, d, "sub", 0777, &at)), 0);
    assert_int_equal(at.mode, S_IFDIR | 0751);
    assert_has(&k, at.ino, HX_FS_ACL_DEFAULT, a, len);
    assert_int_equal(kit_run(&k, hx_fs_symlink(k.fs, &k.who, d, "l", "x", &at)), 0);
    assert_int_equal(at.mode, S_IFLNK | 0777);
    assert_none(&k, at.ino, HX_FS_ACL_ACCESS);
    assert_int_equal(kit_run(&k, hx_fs_mknod(k.fs, &k.who, HX_FS_ROOT, "g", S_IFREG | 0664, 0, &at)), 0);
    assert_int_equal(at.mode, S_IFREG);
    kit_verify(&k);
    kit_close(&k);
}

/* Promise: a default list of three entries says no more than a mode: what is made gets that mode and no list of its
 * own, and directories hand it on.  Method: made below one, cold. */
static void a_default_list_of_three_becomes_a_mode(void **state)
{
    (void)state;
    static const struct entry plain[] = {{1, 7, ~0u}, {4, 5, ~0u}, {32, 1, ~0u}};
    uint8_t a[128];
    size_t len = make_acl(a, plain, HX_ARRAY_LEN(plain));
    struct fs_kit k = open_cold();
    struct hx_fs_attr at;
    uint64_t d = kit_mkdir(&k, HX_FS_ROOT, "d");
    assert_int_equal(set(&k, d, HX_FS_ACL_DEFAULT, a, len, 0), 0);
    k.who.umask = 077;
    assert_int_equal(kit_run(&k, hx_fs_mknod(k.fs, &k.who, d, "f", S_IFREG | 0666, 0, &at)), 0);
    assert_int_equal(at.mode, S_IFREG | 0640);
    assert_none(&k, at.ino, HX_FS_ACL_ACCESS);
    assert_none(&k, at.ino, HX_FS_ACL_DEFAULT);
    assert_int_equal(kit_run(&k, hx_fs_mkdir(k.fs, &k.who, d, "sub", 0777, &at)), 0);
    assert_int_equal(at.mode, S_IFDIR | 0751);
    assert_none(&k, at.ino, HX_FS_ACL_ACCESS);
    assert_has(&k, at.ino, HX_FS_ACL_DEFAULT, a, len);
    kit_verify(&k);
    kit_close(&k);
}

/* Promise: a list set by one who is not in the group takes the set-gid bit; set by others it does not, and no other
 * attribute does; set-uid stays.  Method: each of these on a fresh mode. */
static void a_strangers_list_takes_the_set_gid_bit(void **state)
{
    (void)state;
    uint8_t a[128];
    size_t len = make_acl(a, named, HX_ARRAY_LEN(named));
    struct fs_kit k = kit_open(PAGES, PAGES, 1);
    uint64_t f = kit_create(&k, HX_FS_ROOT, "f"), d = kit_mkdir(&k, HX_FS_ROOT, "d");
    const struct {
        uint64_t ino;
        const char *name;
        bool stranger;
        uint32_t left;
    } t[] = {{f, HX_FS_ACL_ACCESS, true, 04000}, {f, HX_FS_ACL_ACCESS, false, 06000},
             {d, HX_FS_ACL_ACCESS, true, 04000},
             {d, HX_FS_ACL_DEFAULT, true, 06000}, {f, "user.a", true, 06000}, {f, HX_CAPS_NAME, true, 06000}};
    for (unsigned i = 0; i < HX_ARRAY_LEN(t); i++) {
        struct hx_fs_attr in = {.mode = 06755}, out;
        k.who.stranger = t[i].stranger;
        assert_int_equal(kit_run(&k, hx_fs_setattr(k.fs, &k.who, t[i].ino, &in, HX_FS_SET_MODE, &out)), 0);
        assert_int_equal(set(&k, t[i].ino, t[i].name, a, len, 0), 0);
        assert_int_equal(kit_attr(&k, t[i].ino).mode & 06000, t[i].left);
    }
    kit_verify(&k);
    kit_close(&k);
}

/* Puts BYTES where a list belongs, whatever they are. */
static void plant(struct fs_kit *k, uint64_t ino, const char *name, const uint8_t *bytes, size_t len)
{
    struct hx_inode in;
    assert_int_equal(hx_inode_get(k->fs, ino, &in), 0);
    assert_int_equal(hx_op_begin(k->fs, HX_OP_ORDINARY), 0);
    int rc = hx_xattr_put(k->fs, &in, name, bytes, len);
    assert_int_equal(hx_op_end(k->fs, rc ? rc : hx_inode_put(k->fs, &in)), 0);
}

/* Promise: bytes that are no list are damage, which is said, and neither handed on nor followed: what is made or
 * changed by them is not made or changed.  Method: a version, a length and a value too long for any list. */
static void a_list_that_is_none_is_damage(void **state)
{
    (void)state;
    uint8_t a[128];
    size_t len = make_acl(a, named, HX_ARRAY_LEN(named));
    struct fs_kit k = kit_open(PAGES, PAGES, 1);
    uint64_t f = kit_create(&k, HX_FS_ROOT, "f"), d = kit_mkdir(&k, HX_FS_ROOT, "d");
    struct hx_fs_attr in = {.mode = 0600}, at;
    for (unsigned i = 0; i < 3; i++) {
        memcpy(value, a, len);
        value[0] = i == 0 ? 3 : a[0];
        size_t n = i == 1 ? len - 1 : i == 2 ? HX_FS_XATTR_VALUE_MAX : len;
        plant(&k, f, HX_FS_ACL_ACCESS, value, n);
        plant(&k, d, HX_FS_ACL_DEFAULT, value, n);
        uint64_t commits = k.m->commits;
        assert_int_equal(kit_run(&k, hx_fs_setattr(k.fs, &k.who, f, &in, HX_FS_SET_MODE, &at)), HX_E_CORRUPT);
        assert_int_equal(kit_run(&k, hx_fs_mknod(k.fs, &k.who, d, "x", S_IFREG | 0600, 0, &at)), HX_E_CORRUPT);
        assert_int_equal(kit_run(&k, hx_fs_mkdir(k.fs, &k.who, d, "x", 0700, &at)), HX_E_CORRUPT);
        assert_int_equal(k.m->commits, commits);
        assert_int_equal(kit_attr(&k, f).mode, S_IFREG | 0644);
    }
    kit_close(&k);
}

/* Promise: everything that the kernel knows is told, each once, for a fence makes it forget it.  Method: files looked
 * up, some forgotten. */
static void what_is_known_is_listed(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(PAGES, PAGES, 1);
    char name[8];
    uint64_t ino[100], seen = 0, sum = 0, want = 0;
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "%u", i);
        ino[i] = kit_create(&k, HX_FS_ROOT, name);
        want += ino[i];
    }
    size_t at = 0;
    for (uint64_t one; (one = hx_fs_known(k.fs, &at)) != 0; seen++)
        sum += one;
    assert_true(seen == 100 && sum == want);
    for (unsigned i = 0; i < 100; i += 2) {
        want -= ino[i];
        assert_int_equal(hx_fs_forget(k.fs, ino[i], 1), 0);
    }
    for (at = 0, seen = sum = 0; (ino[0] = hx_fs_known(k.fs, &at)) != 0; seen++)
        sum += ino[0];
    assert_true(seen == 50 && sum == want);
    kit_close(&k);
}

/* ---- what a change takes away ---- */

/* Promise: security.capability goes with the data that it was given for, and only then.  Method: each change. */
static void capabilities_go_with_the_data(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(PAGES, PAGES, 1);
    uint64_t f = kit_create(&k, HX_FS_ROOT, "f"), done = 0;
    struct hx_fs_attr in = {.mode = 0700, .size = 10}, out;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(set(&k, f, HX_CAPS_NAME, "caps", 4, 0), 0);
        assert_int_equal(kit_run(&k, hx_fs_setattr(k.fs, &k.who, f, &in, HX_FS_SET_MODE, &out)), 0);
        assert_has(&k, f, HX_CAPS_NAME, "caps", 4);
        if (i == 0)
            kit_write(&k, f, 0, "x", 1);
        else if (i == 1)
            kit_truncate(&k, f, 10);
        else if (i < 4)
            assert_int_equal(
                kit_run(&k, hx_fs_setattr(k.fs, &k.who, f, &in, i == 2 ? HX_FS_SET_UID : HX_FS_SET_GID, &out)), 0);
        else
            assert_int_equal(kit_run(&k, hx_fs_fallocate(k.fs, &k.who, f, 0, 0, 5000, &done)), 0);
        assert_none(&k, f, HX_CAPS_NAME);
        kit_verify(&k);
    }
    kit_close(&k);
}

/* Promise: set-id bits go as Linux takes them.  Method: each mode, by members of the group and others. */
static void set_id_bits_go(void **state)
{
    (void)state;
    static const struct {
        uint32_t mode, member, stranger;
    } t[] = {
        {06755, 0755, 0755}, {06766, 02766, 0766}, {04644, 0644, 0644}, {02644, 02644, 0644}, {01777, 01777, 01777}};
    struct fs_kit k = kit_open(PAGES, PAGES, 1);
    uint64_t f = kit_create(&k, HX_FS_ROOT, "f"), d = kit_mkdir(&k, HX_FS_ROOT, "d"), at;
    for (unsigned i = 0; i < HX_ARRAY_LEN(t) * 2; i++) {
        struct hx_fs_attr in = {.mode = t[i / 2].mode}, out;
        k.who.stranger = i % 2;
        assert_int_equal(kit_run(&k, hx_fs_setattr(k.fs, &k.who, f, &in, HX_FS_SET_MODE, &out)), 0);
        assert_int_equal(kit_run(&k, hx_fs_write(k.fs, &k.who, f, 0, "x", 1, false, true, &at)), 0);
        assert_int_equal(kit_attr(&k, f).mode & 07777, i % 2 ? t[i / 2].stranger : t[i / 2].member);
        assert_int_equal(kit_run(&k, hx_fs_setattr(k.fs, &k.who, d, &in, HX_FS_SET_MODE, &out)), 0);
        assert_int_equal(kit_run(&k, hx_fs_setattr(k.fs, &k.who, d, &in, HX_FS_SET_UID | HX_FS_SET_KILL, &out)), 0);
        assert_int_equal(kit_attr(&k, d).mode & 07777, t[i / 2].mode);
    }
    kit_close(&k);
}

/* ---- files without a name ---- */

/* Promise: a file made without a name can be given one, lives without while it is known, and is gone after a crash.
 * Method: all three. */
static void files_without_a_name(void **state)
{
    (void)state;
    struct fs_kit k = open_cold();
    struct hx_fs_attr a, b, l;
    uint64_t inodes = kit_inodes(&k), pages = kit_free_pages(&k);
    assert_int_equal(kit_run(&k, hx_fs_tmpfile(k.fs, &k.who, HX_FS_ROOT, 0640, &a)), 0);
    assert_int_equal(kit_run(&k, hx_fs_tmpfile(k.fs, &k.who, HX_FS_ROOT, 0640, &b)), 0);
    assert_int_equal(a.nlink, 0);
    kit_fill(&k, a.ino, 0, 50000, 7);
    kit_fill(&k, b.ino, 0, 50000, 8);
    kit_verify(&k);
    kit_reap(&k);
    assert_int_equal(kit_attr(&k, b.ino).size, 50000);
    struct fs_kit c = kit_crash(&k);
    kit_reap(&c);
    assert_int_equal(kit_inodes(&c), inodes);
    assert_int_equal(kit_free_pages(&c), pages);
    kit_verify(&c);
    kit_close(&c);
    assert_int_equal(kit_run(&k, hx_fs_link(k.fs, &k.who, a.ino, HX_FS_ROOT, "a", &l)), 0);
    assert_int_equal(l.nlink, 1);
    kit_verify(&k);
    kit_run(&k, hx_fs_forget(k.fs, a.ino, 2));
    kit_run(&k, hx_fs_forget(k.fs, b.ino, 1));
    kit_reap(&k);
    kit_verify(&k);
    assert_int_equal(kit_find(&k, HX_FS_ROOT, "a"), a.ino);
    assert_int_equal(kit_attr(&k, a.ino).size, 50000);
    assert_int_equal(kit_run(&k, hx_fs_getattr(k.fs, b.ino, &b)), HX_E_STALE);
    /* Once it has had a name, it is as any other: its last name goes, and cannot come back. */
    assert_int_equal(kit_run(&k, hx_fs_lookup(k.fs, HX_FS_ROOT, "a", &l)), 0);
    assert_int_equal(kit_run(&k, hx_fs_unlink(k.fs, &k.who, HX_FS_ROOT, "a")), 0);
    assert_int_equal(kit_run(&k, hx_fs_link(k.fs, &k.who, a.ino, HX_FS_ROOT, "b", &l)), HX_E_NOENT);
    kit_run(&k, hx_fs_forget(k.fs, a.ino, 1));
    kit_reap(&k);
    assert_int_equal(kit_free_pages(&k), pages);
    kit_close(&k);
}

/* Promise: an inode is found by its number alone (handles), as long as it is not on its way out. */
static void inodes_are_found_by_number(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(PAGES, PAGES, 1);
    struct hx_fs_attr a;
    uint64_t f = kit_create(&k, HX_FS_ROOT, "f"), d = kit_mkdir(&k, HX_FS_ROOT, "d");
    kit_remount(&k);
    assert_int_equal(kit_run(&k, hx_fs_lookup(k.fs, f, ".", &a)), 0);
    assert_int_equal(a.ino, f);
    assert_int_equal(kit_run(&k, hx_fs_lookup(k.fs, f, "..", &a)), HX_E_NOTDIR);
    assert_int_equal(kit_run(&k, hx_fs_lookup(k.fs, d, "..", &a)), 0);
    assert_int_equal(a.ino, HX_FS_ROOT);
    assert_int_equal(kit_run(&k, hx_fs_unlink(k.fs, &k.who, HX_FS_ROOT, "f")), 0);
    assert_int_equal(kit_run(&k, hx_fs_lookup(k.fs, f, ".", &a)), 0); /* still known */
    kit_run(&k, hx_fs_forget(k.fs, f, 2));
    assert_int_equal(kit_run(&k, hx_fs_lookup(k.fs, f, ".", &a)), HX_E_STALE);
    kit_reap(&k);
    assert_int_equal(kit_run(&k, hx_fs_lookup(k.fs, f, ".", &a)), HX_E_STALE);
    kit_close(&k);
}

/* Promise: a whiteout stands where the file was, in the same mini-transaction.  Method: to a new name and over one. */
static void a_rename_may_leave_a_whiteout(void **state)
{
    (void)state;
    struct fs_kit k = open_cold();
    struct hx_fs_attr a;
    uint64_t f = kit_create(&k, HX_FS_ROOT, "f");
    kit_create(&k, HX_FS_ROOT, "old");
    for (unsigned i = 0; i < 2; i++) {
        const char *from = i ? "g" : "f", *to = i ? "old" : "g";
        uint64_t commits = k.m->commits;
        assert_int_equal(kit_run(&k, hx_fs_rename(k.fs, &k.who, HX_FS_ROOT, from, HX_FS_ROOT, to,
                                                  HX_FS_RENAME_WHITEOUT)), 0);
        assert_int_equal(k.m->commits, commits + 1);
        assert_int_equal(kit_find(&k, HX_FS_ROOT, to), f);
        assert_int_equal(kit_run(&k, hx_fs_lookup(k.fs, HX_FS_ROOT, from, &a)), 0);
        assert_int_equal(a.mode, S_IFCHR);
        assert_int_equal(a.rdev, 0);
        kit_verify(&k);
    }
    kit_close(&k);
}

/* Promise: a zeroed range is zeros and is allocated, its neighbours stay, the size is as asked.  Method: ranges around
 * the borders of pages, over data, holes and the end, against a model; cold. */
static void ranges_are_zeroed(void **state)
{
    (void)state;
    static const struct {
        uint64_t off, len;
    } t[] = {{0, 4096}, {100, 50}, {100, 8000}, {4096, 8192}, {4000, 30000}, {45000, 20000}, {70000, 5}, {0, 5000000}};
    static uint8_t model[6000000], buf[6000000];
    for (unsigned i = 0; i < HX_ARRAY_LEN(t) * 2; i++) {
        struct fs_kit k = open_cold();
        uint64_t f = kit_create(&k, HX_FS_ROOT, "f"), done = 0, off = t[i / 2].off, end = off + t[i / 2].len, seen;
        bool keep = i % 2;
        memset(model, 0, sizeof model);
        memset(model, 9, 10000);
        memset(model + 30000, 9, 20000);
        kit_fill(&k, f, 0, 10000, 9);
        kit_fill(&k, f, 30000, 20000, 9);
        memset(model + off, 0, t[i / 2].len);
        unsigned mode = HX_FS_FALLOC_ZERO | (keep ? HX_FS_FALLOC_KEEP_SIZE : 0);
        int rc;
        do
            rc = kit_run(&k, hx_fs_fallocate(k.fs, &k.who, f, mode, off, end - off, &done));
        while (rc == HX_E_AGAIN);
        assert_int_equal(rc, 0);
        uint64_t size = keep || end < 50000 ? 50000 : end;
        assert_int_equal(kit_attr(&k, f).size, size);
        assert_int_equal(kit_read(&k, f, 0, buf, sizeof buf), size);
        assert_memory_equal(buf, model, size);
        rc = kit_run(&k, hx_fs_seek(k.fs, f, off, false, &seen)); /* the next hole is not in the range */
        assert_true(rc == HX_E_EOF || seen >= (end < size ? end : size));
        kit_verify(&k);
        kit_close(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_all_lengths_come_back),
        cmocka_unit_test(refusals),
        cmocka_unit_test(many_names_of_one_inode),
        cmocka_unit_test(attributes_go_with_their_inode),
        cmocka_unit_test(the_version_rises_with_the_first_attribute),
        cmocka_unit_test(a_crash_leaves_one_value_whole),
        cmocka_unit_test(lists_that_are_none_are_refused),
        cmocka_unit_test(list_and_mode_agree),
        cmocka_unit_test(a_default_list_is_handed_on),
        cmocka_unit_test(a_default_list_of_three_becomes_a_mode),
        cmocka_unit_test(a_strangers_list_takes_the_set_gid_bit),
        cmocka_unit_test(a_list_that_is_none_is_damage),
        cmocka_unit_test(what_is_known_is_listed),
        cmocka_unit_test(capabilities_go_with_the_data),
        cmocka_unit_test(set_id_bits_go),
        cmocka_unit_test(files_without_a_name),
        cmocka_unit_test(inodes_are_found_by_number),
        cmocka_unit_test(a_rename_may_leave_a_whiteout),
        cmocka_unit_test(ranges_are_zeroed),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("fs_xattr", tests, NULL, NULL);
}
