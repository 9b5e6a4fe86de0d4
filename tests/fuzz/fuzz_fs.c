/*
 * fuzz_fs.c - the filesystem on pages that somebody has damaged: operations answer, they do not crash, loop or touch
 * what is not theirs.
 *
 * A volume is made once by the filesystem itself; an input is a list of changes to its pages, then a script of
 * operations.  The pager behind it lies as a damaged volume would: pages that are said to be zeros need not be (P3), so
 * it does not check that.  It does check P1, that every begin has its end, that no page beyond the volume is touched
 * successfully, and that one operation asks for no more than PAGES_ASKED_MAX pages: more is a loop.
 */
#include "fuzz.h"

#include "hexad/codec.h"
#include "hexad/err.h"
#include "hexad/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define PAGES 600u
#define PAGES_ASKED_MAX 2000000u
#define OPS_MAX 40u
#define CHANGES_MAX 64u
#define WHOLE_MAX (1u << 16)

static uint8_t template[PAGES][HX_PAGE_SIZE];
static uint16_t used[PAGES]; /* pages of the template that are not zeros */
static unsigned used_count;

static struct {
    struct hx_pager base;
    uint8_t now[PAGES][HX_PAGE_SIZE], edit[PAGES][HX_PAGE_SIZE];
    bool edited[PAGES], dirty[PAGES]; /* dirty: not as in the template */
    uint16_t edits[PAGES];
    unsigned edit_count;
    bool in_mtr;
    uint64_t asked, lsn;
} disk;

static int asked(uint64_t page)
{
    fuzz_check(++disk.asked < PAGES_ASKED_MAX);
    return page < PAGES ? 0 : HX_E_INVAL;
}

static int pager_get(struct hx_pager *p, struct hx_pageno page, const uint8_t **ret)
{
    (void)p;
    int err = asked(page.v);
    if (!err)
        *ret = disk.edited[page.v] ? disk.edit[page.v] : disk.now[page.v];
    return err;
}

static bool pager_want(struct hx_pager *p, struct hx_pageno page)
{
    (void)p;
    asked(page.v);
    return true;
}

static int pager_begin(struct hx_pager *p)
{
    (void)p;
    fuzz_check(!disk.in_mtr); /* P1 */
    disk.in_mtr = true;
    return 0;
}

static int pager_edit(struct hx_pager *p, struct hx_pageno page, enum hx_edit how, uint8_t **ret)
{
    (void)p;
    fuzz_check(disk.in_mtr); /* P1 */
    int err = asked(page.v);
    if (err)
        return err;
    if (!disk.edited[page.v]) {
        memcpy(disk.edit[page.v], disk.now[page.v], HX_PAGE_SIZE);
        disk.edits[disk.edit_count++] = (uint16_t)page.v;
    }
    if (how != HX_EDIT_KEEP) /* as the page cache: a page that is said to be zeros is zeros from now on */
        memset(disk.edit[page.v], how == HX_EDIT_WHOLE ? 0xa5 : 0, HX_PAGE_SIZE);
    disk.edited[page.v] = true;
    *ret = disk.edit[page.v];
    return 0;
}

static int pager_free(struct hx_pager *p, struct hx_pageno page)
{
    uint8_t *at;
    int err = pager_edit(p, page, HX_EDIT_WHOLE, &at);
    if (!err)
        memset(at, 0, HX_PAGE_SIZE);
    return err;
}

static void end_mtr(bool keep)
{
    fuzz_check(disk.in_mtr);
    for (unsigned k = 0; k < disk.edit_count; k++) {
        unsigned i = disk.edits[k];
        if (keep)
            memcpy(disk.now[i], disk.edit[i], HX_PAGE_SIZE);
        disk.dirty[i] |= keep;
        disk.edited[i] = false;
    }
    disk.edit_count = 0;
    disk.in_mtr = false;
}

static int pager_commit(struct hx_pager *p, struct hx_lsn *ret_lsn)
{
    (void)p;
    end_mtr(true);
    *ret_lsn = HX_LSN(++disk.lsn);
    return 0;
}

static void pager_abort(struct hx_pager *p)
{
    (void)p;
    end_mtr(false);
}

static uint64_t pager_pages(const struct hx_pager *p)
{
    (void)p;
    return PAGES;
}

static uint64_t pager_mtr_max(const struct hx_pager *p)
{
    (void)p;
    return 4096;
}

static const struct hx_pager_ops ops = {pager_get,    pager_want,  pager_begin, pager_edit,   pager_free,
                                        pager_commit, pager_abort, pager_pages, pager_mtr_max};
static const struct hx_fs_who who = {.uid = 1000, .gid = 100, .now = {1000000, 5}};

/* ---- the volume that inputs damage ---- */
static void fill(struct hx_fs *fs, uint64_t ino, uint64_t off, size_t len)
{
    static uint8_t data[WHOLE_MAX];
    uint64_t at;
    memset(data, 'x', len);
    fuzz_check(hx_fs_write(fs, &who, ino, off, data, len, false, false, &at) == 0);
}

static void build(struct hx_fs *fs)
{
    struct hx_fs_attr a, d;
    char name[HX_FS_NAME_MAX + 1], target[3000];
    fuzz_check(hx_fs_mkdir(fs, &who, HX_FS_ROOT, "dir", 0755, &d) == 0);
    for (unsigned i = 0; i < 120; i++) { /* several tree nodes */
        snprintf(name, sizeof name, "%0*u", 10 + (int)(i % 5) * 50, i);
        fuzz_check(hx_fs_mknod(fs, &who, i % 3 ? d.ino : HX_FS_ROOT, name, S_IFREG | 0644, 0, &a) == 0);
        if (i % 10 == 0)
            fill(fs, a.ino, (uint64_t)i * 3000, 5000);
    }
    fuzz_check(hx_fs_mknod(fs, &who, HX_FS_ROOT, "big", S_IFREG | 0644, 0, &a) == 0);
    for (unsigned i = 0; i < 20; i++) /* many extents */
        fill(fs, a.ino, (uint64_t)i * 65536, 4096 + i * 512);
    memset(target, 't', sizeof target - 1);
    target[sizeof target - 1] = '\0';
    fuzz_check(hx_fs_symlink(fs, &who, HX_FS_ROOT, "link", target, &a) == 0);
    fuzz_check(hx_fs_mknod(fs, &who, HX_FS_ROOT, "pipe", S_IFIFO | 0600, 0, &a) == 0);
    fuzz_check(hx_fs_mknod(fs, &who, HX_FS_ROOT, "orphan", S_IFREG | 0644, 0, &a) == 0);
    fill(fs, a.ino, 0, 9000);
    hx_fs_opened(fs, a.ino);
    fuzz_check(hx_fs_unlink(fs, &who, HX_FS_ROOT, "orphan") == 0);
    fuzz_check(hx_fs_mknod(fs, &who, HX_FS_ROOT, "tail", S_IFREG | 0644, 0, &a) == 0);
    for (unsigned i = 0; i < 70; i++)
        fill(fs, a.ino, (uint64_t)i * 12288, 10);
    struct hx_fs_attr cut = {.size = 5};
    fuzz_check(hx_fs_setattr(fs, &who, a.ino, &cut, HX_FS_SET_SIZE, &a) == 0);
}

/* What came with format version 2: attributes of one and of several items, ACLs, a nameless file, a whiteout. */
static void build_more(struct hx_fs *fs)
{
    static const uint8_t acl[] = {2,   0,   0,   0,   1, 0, 7, 0, 255, 255, 255, 255, 2,   0,   5,
                                  0,   7,   0,   0,   0, 4, 0, 5, 0,   255, 255, 255, 255, 16,  0,
                                  7,   0,   255, 255, 255, 255, 32, 0, 4, 0,  255, 255, 255, 255};
    static uint8_t value[5000];
    struct hx_fs_attr d, a;
    uint64_t at;
    fuzz_check(hx_fs_mkdir(fs, &who, HX_FS_ROOT, "shared", 0755, &d) == 0);
    fuzz_check(hx_fs_setxattr(fs, &who, d.ino, HX_FS_ACL_DEFAULT, acl, sizeof acl, 0) == 0);
    fuzz_check(hx_fs_mknod(fs, &who, d.ino, "heir", S_IFREG | 0666, 0, &a) == 0);
    fuzz_check(hx_fs_setxattr(fs, &who, a.ino, "user.long", value, sizeof value, 0) == 0);
    fuzz_check(hx_fs_setxattr(fs, &who, a.ino, "security.capability", value, 20, 0) == 0);
    fuzz_check(hx_fs_rename(fs, &who, d.ino, "heir", d.ino, "moved", HX_FS_RENAME_WHITEOUT) == 0);
    fuzz_check(hx_fs_tmpfile(fs, &who, d.ino, 0600, &a) == 0);
    fuzz_check(hx_fs_write(fs, &who, a.ino, 0, value, sizeof value, false, false, &at) == 0);
}

static void make_template(void)
{
    struct hx_fs *fs;
    char why[256];
    disk.base.ops = &ops;
    fuzz_check(hx_fs_format(&disk.base, &who) == 0 && hx_fs_new(&disk.base, &fs) == 0);
    build(fs);
    build_more(fs);
    fuzz_check(hx_fs_verify(fs, why) == 0);
    hx_fs_free(fs);
    memcpy(template, disk.now, sizeof template);
    for (unsigned i = 0; i < PAGES; i++)
        for (size_t k = 0; k < HX_PAGE_SIZE; k++)
            if (template[i][k]) {
                used[used_count++] = (uint16_t)i;
                break;
            }
}

/* ---- an input ---- */

/* Changes: u8 count, each { u16 page (of those in use; high bit: any page), u16 offset, u8 length, bytes }. */
static void damage(struct fuzz_in *in)
{
    unsigned count = fuzz_u8(in) % (CHANGES_MAX + 1);
    for (unsigned i = 0; i < count && in->len; i++) {
        uint16_t sel = fuzz_u16(in), off = fuzz_u16(in) % HX_PAGE_SIZE;
        size_t page = sel & 0x8000 ? (size_t)(sel & 0x7fff) % PAGES : used[sel % used_count];
        struct hx_bytes b = fuzz_take(in, fuzz_u8(in));
        disk.dirty[page] = true;
        size_t n = b.len < HX_PAGE_SIZE - off ? b.len : HX_PAGE_SIZE - off;
        if (n)
            memcpy(disk.now[page] + off, b.p, n);
        else
            memcpy(disk.now[page], template[(size_t)off % PAGES], HX_PAGE_SIZE); /* a misplaced page */
    }
}

static const char *pick_name(uint8_t x)
{
    static const char *const names[] = {"dir", "big", "link", "pipe", "tail", "0000000000", "fresh", "..", "orphan",
                                        "000000000000000000000000000000000000000000000000000000000001"};
    return names[x % HX_ARRAY_LEN(names)];
}

static void list_all(struct hx_fs *fs, uint64_t dir)
{
    struct hx_fs_dirent e = {0};
    for (unsigned i = 0; i < 300 && hx_fs_readdir(fs, dir, e.cookie, &e) == 1; i++)
        fuzz_check(memchr(e.name, '\0', sizeof e.name) && e.name[0] && !strchr(e.name, '/'));
}

static void read_some(struct hx_fs *fs, uint64_t ino, uint64_t off, size_t len)
{
    struct iovec v[HX_FS_NAME_MAX];
    size_t count, got, sum = 0;
    if (hx_fs_read(fs, ino, off, len, v, HX_ARRAY_LEN(v), &count, &got))
        return;
    fuzz_check(count <= HX_ARRAY_LEN(v) && got <= len);
    uint8_t x = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *p = v[i].iov_base;
        for (size_t k = 0; k < v[i].iov_len; k += 509)
            x ^= p[k];
        if (v[i].iov_len)
            x ^= p[v[i].iov_len - 1];
        sum += v[i].iov_len;
    }
    fuzz_check(sum == got && (x | 1));
}

static void change_op(struct hx_fs *fs, struct fuzz_in *in, uint8_t op, uint64_t ino, const char *name)
{
    static uint8_t data[WHOLE_MAX];
    struct hx_fs_attr a = {0};
    uint64_t at, done = 0;
    switch (op % 12) {
    case 0:
        hx_fs_write(fs, &who, ino, (uint64_t)fuzz_u32(in) * 97, data, fuzz_u16(in), fuzz_u8(in) & 1, false, &at);
        break;
    case 1:
        a.size = (uint64_t)fuzz_u32(in) * 19;
        hx_fs_setattr(fs, &who, ino, &a, HX_FS_SET_SIZE | (fuzz_u8(in) & HX_FS_SET_UID), &a);
        break;
    case 2:
        hx_fs_mknod(fs, &who, ino, name, S_IFREG | 0600, 0, &a);
        break;
    case 3:
        hx_fs_mkdir(fs, &who, ino, name, 0700, &a);
        break;
    case 4:
        hx_fs_symlink(fs, &who, ino, name, "somewhere", &a);
        break;
    case 5:
        hx_fs_link(fs, &who, ino, HX_FS_ROOT, name, &a);
        break;
    case 6:
        hx_fs_unlink(fs, &who, ino, name);
        break;
    case 7:
        hx_fs_rmdir(fs, &who, ino, name);
        break;
    case 8:
        hx_fs_rename(fs, &who, ino, name, HX_FS_ROOT, pick_name(fuzz_u8(in)), fuzz_u8(in) % 3);
        break;
    case 9: {
        unsigned mode = fuzz_u8(in) % 4;
        uint64_t off = (uint64_t)fuzz_u32(in) * 31, len = (uint64_t)fuzz_u32(in) % 3000000;
        for (unsigned i = 0; i < 8; i++)
            if (hx_fs_fallocate(fs, &who, ino, mode, off, len, &done) != HX_E_AGAIN)
                break;
        break;
    }
    case 10:
        hx_fs_touch_atime(fs, ino, who.now);
        break;
    default:
        for (unsigned i = 0; i < 40 && hx_fs_reap(fs) == 1; i++)
            ;
    }
}

static const char *pick_attribute(uint8_t x)
{
    static const char *const names[] = {"user.long", "security.capability", HX_FS_ACL_ACCESS, HX_FS_ACL_DEFAULT,
                                        "user.fresh", "trusted.t", "user.", "system.other"};
    return names[x % HX_ARRAY_LEN(names)];
}

static void read_attributes(struct hx_fs *fs, uint64_t ino, const char *attribute)
{
    static char buf[HX_FS_XATTR_VALUE_MAX];
    size_t len;
    if (hx_fs_getxattr(fs, ino, attribute, buf, sizeof buf, &len) == 0)
        fuzz_check(len <= sizeof buf);
    if (hx_fs_listxattr(fs, ino, true, buf, sizeof buf, &len) == 0)
        fuzz_check(len <= sizeof buf && (len == 0 || buf[len - 1] == '\0'));
}

/* Operations of format version 2, and flags; in places of their own, so that older inputs mean what they meant. */
static void newer_op(struct hx_fs *fs, struct fuzz_in *in, unsigned op, const char *name)
{
    static uint8_t value[HX_FS_XATTR_VALUE_MAX];
    struct hx_fs_attr a;
    uint64_t ino = fuzz_u8(in), done = 0;
    const char *attribute = pick_attribute(fuzz_u8(in));
    switch (op) {
    case 1: {
        struct hx_bytes b = fuzz_take(in, fuzz_u8(in));
        if (b.len)
            memcpy(value, b.p, b.len);
        unsigned flags = fuzz_u8(in);
        size_t len = flags & 4 ? fuzz_u16(in) : b.len;
        hx_fs_setxattr(fs, &who, ino, attribute, value, len, flags % 4);
        break;
    }
    case 2:
        hx_fs_removexattr(fs, &who, ino, attribute);
        break;
    case 3:
        read_attributes(fs, ino, attribute);
        break;
    case 4:
        if (hx_fs_tmpfile(fs, &who, ino, 06755, &a) == 0 && fuzz_u8(in) & 1)
            hx_fs_link(fs, &who, a.ino, HX_FS_ROOT, name, &a);
        break;
    case 5: {
        unsigned mode = HX_FS_FALLOC_ZERO | (fuzz_u8(in) & (HX_FS_FALLOC_KEEP_SIZE | HX_FS_FALLOC_KILL));
        uint64_t off = (uint64_t)fuzz_u32(in) * 31, len = (uint64_t)fuzz_u32(in) % 3000000;
        for (unsigned i = 0; i < 8; i++)
            if (hx_fs_fallocate(fs, &who, ino, mode, off, len, &done) != HX_E_AGAIN)
                break;
        break;
    }
    case 6:
        hx_fs_rename(fs, &who, ino, name, HX_FS_ROOT, pick_name(fuzz_u8(in)), HX_FS_RENAME_WHITEOUT);
        break;
    default:
        a.mode = fuzz_u16(in);
        hx_fs_setattr(fs, &who, ino, &a, HX_FS_SET_MODE | (fuzz_u8(in) & HX_FS_SET_KILL), &a);
    }
}

static void one_op(struct hx_fs *fs, struct fuzz_in *in)
{
    struct hx_fs_attr a;
    struct hx_fs_statfs st;
    char text[HX_FS_SYMLINK_MAX + 1], why[256];
    uint8_t op = fuzz_u8(in);
    uint64_t ino = fuzz_u8(in), at;
    const char *name = pick_name(fuzz_u8(in));
    disk.asked = 0;
    switch (op % 16) {
    case 0:
    case 1:
        if (hx_fs_lookup(fs, ino % 2 ? HX_FS_ROOT : ino, name, &a) == 0 && op & 64)
            hx_fs_forget(fs, a.ino, 1);
        break;
    case 2:
        hx_fs_getattr(fs, ino, &a);
        break;
    case 3:
        list_all(fs, ino % 2 ? HX_FS_ROOT : ino);
        break;
    case 4:
        read_some(fs, ino, (uint64_t)fuzz_u32(in) % 2000000, fuzz_u32(in) % (200 * HX_PAGE_SIZE));
        break;
    case 5:
        if (hx_fs_readlink(fs, ino, text, sizeof text) == 0)
            fuzz_check(memchr(text, '\0', sizeof text));
        break;
    case 6:
        hx_fs_seek(fs, ino, fuzz_u32(in), fuzz_u8(in) & 1, &at);
        break;
    case 7:
        if (ino % 8 == 0)
            hx_fs_statfs(fs, &st);
        else
            newer_op(fs, in, ino % 8, name);
        break;
    case 8:
        hx_fs_verify(fs, why);
        break;
    default:
        change_op(fs, in, (uint8_t)(op / 16 + op % 16), ino, name);
    }
    fuzz_check(!disk.in_mtr);
}

static void run(const uint8_t *p, size_t len)
{
    struct fuzz_in in = {p, len};
    struct hx_fs *fs;
    char why[256];
    if (!used_count)
        make_template();
    for (unsigned i = 0; i < PAGES; i++)
        if (disk.dirty[i])
            memcpy(disk.now[i], template[i], HX_PAGE_SIZE);
    memset(disk.dirty, 0, sizeof disk.dirty);
    disk.asked = disk.lsn = 0;
    damage(&in);
    if (hx_fs_new(&disk.base, &fs))
        return;
    for (unsigned i = 0; i < OPS_MAX && in.len; i++)
        one_op(fs, &in);
    disk.asked = 0;
    hx_fs_verify(fs, why);
    for (unsigned i = 0; i < 40 && hx_fs_reap(fs) == 1; i++)
        disk.asked = 0;
    list_all(fs, HX_FS_ROOT);
    hx_fs_free(fs);
    fuzz_check(!disk.in_mtr);
}

static void seeds(void)
{
    uint8_t b[400] = {0};
    for (unsigned i = 0; i < 40; i++) { /* no damage: every operation on the first inodes */
        b[1 + 5 * i] = (uint8_t)i;
        b[2 + 5 * i] = (uint8_t)(i / 3 + 1);
        b[3 + 5 * i] = (uint8_t)(7 * i);
    }
    fuzz_seed("sound", b, 201);
    uint8_t newer[1 + 63 * 9] = {0}; /* each newer operation on nine inodes near the end */
    for (unsigned i = 0; i < 63; i++) {
        uint8_t *op = newer + 1 + 9 * i;
        op[0] = 7;
        op[1] = (uint8_t)(1 + i % 7);
        op[2] = (uint8_t)i;
        op[3] = (uint8_t)(123 + i / 7); /* inode: from "big" to the last one */
        op[4] = (uint8_t)i;
        op[5] = i % 7 == 0 ? 1 : (uint8_t)i;
    }
    fuzz_seed("newer", newer, sizeof newer);
    /* A bitmap that calls everything free: nodes are split into pages that are nodes already. */
    uint8_t lost[90 + 40 * 10] = {1, 1, 0, 0, 0, 75};
    for (unsigned i = 0; i < 40; i++) {
        uint8_t *op = lost + 6 + 75 + 10 * i;
        op[0] = 0x39; /* a write, far from the others */
        op[1] = i & 1 ? 123 : 60;
        hx_put_u32(op + 3, 7000 + 900 * i);
        hx_put_u16(op + 7, 100);
    }
    fuzz_seed("bitmap-lost", lost, sizeof lost);
    for (unsigned page = 0; page < 12; page++) {
        char name[32];
        uint8_t c[60] = {1, (uint8_t)page, 0, (uint8_t)(page * 3 + 4), 0, 2, 0xff, 0xff};
        for (unsigned i = 8; i < sizeof c; i++)
            c[i] = (uint8_t)(i * 5 + page);
        snprintf(name, sizeof name, "damage-%u", page);
        fuzz_seed(name, c, sizeof c);
    }
}

const struct fuzz_target fuzz_target = {
    .name = "fs", .len_max = 2048, .run = run, .seeds = seeds, .sources = "src/core src/fs"};
