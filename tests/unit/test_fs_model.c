/*
 * test_fs_model.c - random operations against a plain tree in memory, under every fault the pager can make.
 *
 * Each step draws an operation, runs it on the filesystem, predicts its answer from the model, and compares.
 * Of some steps every commit is kept: the state after each commit but the last must be the model before the
 * step (what a long operation finishes first is invisible), the state after the last is the model after it.
 * So "crash at any consistency point" is compared in full: names, attributes, bytes, links, structure.
 * The seed is printed with a failure; the same seed is the same run.
 */
#include "../lib/fs_kit.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#define FILE_MAX ((size_t)6 << 20)
#define NAMES 24u
#define NODES_MAX 4096u
#define PAGES_MAX 24000u
#define ATTRS 3u

struct node {
    uint64_t ino;
    struct hx_fs_attr a; /* what getattr must say, but for blocks */
    uint8_t *data;       /* of a file; of a symlink its target */
    size_t cap;
    struct node *entry[NAMES]; /* of a directory: by number of the name */
    struct node *parent;
    uint64_t lookups;
    unsigned opens;
    bool nameless;               /* made without a name, and has had none */
    size_t attr[ATTRS];          /* length of each attribute's value and 1; 0: there is none */
};
struct world {
    struct fs_kit k;
    struct node *all[NODES_MAX]; /* every node that still exists, also those without a name */
    unsigned count;
    uint64_t random, seed;
    unsigned step;
    struct mem_pager *kept[600]; /* states after commits of this step */
    unsigned kept_count;
    bool keeping;
};

static const char *name_of(unsigned i)
{
    static char name[NAMES][HX_FS_NAME_MAX + 1];
    if (!name[i][0])
        memset(name[i], 'a' + (int)i, i % 5 == 0 ? HX_FS_NAME_MAX : 3 + i);
    return name[i];
}

static uint64_t draw(struct world *w, uint64_t below)
{
    return mem_pager_random(&w->random) % below;
}

static void say(struct world *w, const char *what)
{
    print_error("seed %llu, step %u: %s\n", (unsigned long long)w->seed, w->step, what);
}

#define check(w, cond) \
    do { \
        if (!(cond)) { \
            say(w, #cond); \
            fail(); \
        } \
    } while (0)

/* --- comparing ---------------------------------------------------------------------------------- */

static void compare_attr(struct world *w, const struct hx_fs_attr *a, const struct hx_fs_attr *b)
{
    check(w, a->ino == b->ino && a->mode == b->mode && a->nlink == b->nlink && a->size == b->size);
    check(w, a->uid == b->uid && a->gid == b->gid && a->rdev == b->rdev);
    check(w, a->mtime.s == b->mtime.s && a->mtime.ns == b->mtime.ns);
    check(w, a->ctime.s == b->ctime.s && a->ctime.ns == b->ctime.ns);
    check(w, a->atime.s == b->atime.s && a->atime.ns == b->atime.ns);
}

static const char *attr_name(unsigned i)
{
    static const char *const names[ATTRS] = {"user.one", "trusted.two", "user.a longer name of an attribute"};
    return names[i];
}

/* The value of attribute I is told by its length. */
static const uint8_t *attr_value(unsigned i, size_t len)
{
    static uint8_t buf[HX_FS_XATTR_VALUE_MAX];
    memset(buf, (int)(len % 251 + i), len);
    return buf;
}

static void compare_attrs(struct world *w, struct fs_kit *k, const struct node *n)
{
    static uint8_t buf[HX_FS_XATTR_VALUE_MAX];
    size_t len, names = 0;
    for (unsigned i = 0; i < ATTRS; i++) {
        int rc = kit_run(k, hx_fs_getxattr(k->fs, n->ino, attr_name(i), buf, sizeof buf, &len));
        check(w, rc == (n->attr[i] ? 0 : HX_E_NODATA));
        if (rc == 0)
            check(w, len == n->attr[i] - 1 && memcmp(buf, attr_value(i, len), len) == 0);
        names += rc == 0 ? strlen(attr_name(i)) + 1 : 0;
    }
    check(w, kit_run(k, hx_fs_listxattr(k->fs, n->ino, true, NULL, 0, &len)) == 0 && len == names);
}

static void compare_node(struct world *w, struct fs_kit *k, const struct node *n)
{
    static uint8_t buf[FILE_MAX + 1];
    struct hx_fs_attr a = kit_attr(k, n->ino);
    compare_attr(w, &a, &n->a);
    compare_attrs(w, k, n);
    if (S_ISREG(a.mode)) {
        check(w, kit_read(k, n->ino, 0, buf, sizeof buf) == n->a.size);
        check(w, n->a.size == 0 || memcmp(buf, n->data, n->a.size) == 0);
    }
    if (S_ISLNK(a.mode)) {
        check(w, kit_run(k, hx_fs_readlink(k->fs, n->ino, (char *)buf, sizeof buf)) == 0);
        check(w, strcmp((char *)buf, (char *)n->data) == 0);
    }
}

static unsigned name_number(const char *name)
{
    for (unsigned i = 0; i < NAMES; i++)
        if (strcmp(name, name_of(i)) == 0)
            return i;
    return NAMES;
}

static void compare_tree(struct world *w, struct fs_kit *k, const struct node *dir)
{
    struct hx_fs_dirent e = {.cookie = 0};
    unsigned count = 0, expected = 0;
    int rc;
    compare_node(w, k, dir);
    while ((rc = kit_run(k, hx_fs_readdir(k->fs, dir->ino, e.cookie, &e))) == 1) {
        if (strcmp(e.name, ".") == 0)
            check(w, e.ino == dir->ino);
        else if (strcmp(e.name, "..") == 0)
            check(w, e.ino == dir->parent->ino);
        else {
            unsigned i = name_number(e.name);
            check(w, i < NAMES && dir->entry[i] && dir->entry[i]->ino == e.ino);
            check(w, e.type == (dir->entry[i]->a.mode & S_IFMT));
            count++;
        }
    }
    check(w, rc == 0);
    for (unsigned i = 0; i < NAMES; i++) {
        if (!dir->entry[i])
            continue;
        expected++;
        check(w, kit_find(k, dir->ino, name_of(i)) == dir->entry[i]->ino);
        if (S_ISDIR(dir->entry[i]->a.mode))
            compare_tree(w, k, dir->entry[i]);
        else
            compare_node(w, k, dir->entry[i]);
    }
    check(w, count == expected);
}

static unsigned nodes_with_a_link(const struct world *w)
{
    unsigned n = 0;
    for (unsigned i = 0; i < w->count; i++)
        n += w->all[i]->a.nlink > 0;
    return n;
}

/* A state as a crash leaves it: sound, equal to the model, and everything nameless goes. */
static void compare_crash(struct world *w, struct mem_pager *m)
{
    struct fs_kit c = {.m = m, .who = w->k.who};
    check(w, hx_fs_new(&m->base, &c.fs) == 0);
    kit_verify(&c);
    compare_tree(w, &c, w->all[0]);
    kit_reap(&c);
    kit_verify(&c);
    check(w, kit_inodes(&c) == nodes_with_a_link(w));
    kit_close(&c);
}

static void keep_state(void *arg)
{
    struct world *w = arg;
    if (w->keeping && w->kept_count < HX_ARRAY_LEN(w->kept))
        w->kept[w->kept_count++] = mem_pager_clone(w->k.m);
}

/* Called between the operation on the filesystem and the same on the model. */
static void before_model(struct world *w, bool committed)
{
    for (; w->kept_count > (committed ? 1u : 0u); w->kept_count--) {
        compare_crash(w, w->kept[0]);
        memmove(w->kept, w->kept + 1, (w->kept_count - 1) * sizeof w->kept[0]);
    }
}

/* --- the model's own steps ---------------------------------------------------------------------- */

static struct node *node_new(struct world *w, const struct hx_fs_attr *a)
{
    struct node *n = calloc(1, sizeof *n);
    check(w, n && w->count < NODES_MAX);
    n->ino = a->ino;
    n->a = *a;
    w->all[w->count++] = n;
    return n;
}

static void node_free(struct world *w, unsigned i)
{
    free(w->all[i]->data);
    free(w->all[i]);
    w->all[i] = w->all[--w->count];
}

static void touch(struct world *w, struct node *n, bool content)
{
    n->a.ctime = w->k.who.now;
    if (content)
        n->a.mtime = w->k.who.now;
}

static void resize(struct world *w, struct node *n, size_t size)
{
    if (size > n->cap) {
        n->data = realloc(n->data, size);
        check(w, n->data);
        n->cap = size;
    }
    if (size > n->a.size)
        memset(n->data + n->a.size, 0, size - n->a.size);
    n->a.size = size;
}

static void set_entry(struct world *w, struct node *dir, unsigned name, struct node *n)
{
    dir->a.size += (n != NULL);
    dir->a.size -= (dir->entry[name] != NULL);
    dir->entry[name] = n;
    touch(w, dir, true);
    if (n && S_ISDIR(n->a.mode))
        n->parent = dir;
}

static void lose_link(struct world *w, struct node *n, struct node *dir)
{
    touch(w, n, false);
    if (S_ISDIR(n->a.mode)) {
        n->a.nlink = 0;
        dir->a.nlink--;
    } else {
        n->a.nlink--;
    }
}

static struct node *any(struct world *w, bool (*is)(const struct node *))
{
    for (unsigned tries = 0; tries < 30; tries++) {
        struct node *n = w->all[draw(w, w->count)];
        if (is(n))
            return n;
    }
    return is(w->all[0]) ? w->all[0] : NULL; /* the root is a directory, always */
}

static bool is_dir(const struct node *n)
{
    return S_ISDIR(n->a.mode) && n->a.nlink > 0;
}

static bool is_file(const struct node *n)
{
    return S_ISREG(n->a.mode);
}

static bool is_any(const struct node *n)
{
    return n->a.nlink > 0;
}

static bool is_open(const struct node *n)
{
    return n->opens > 0;
}

static bool is_above(const struct node *a, const struct node *below)
{
    for (; below->parent != below; below = below->parent)
        if (below == a)
            return true;
    return below == a;
}

/* The volume cannot grow any more: a refusal that changes nothing. */
static bool is_full(struct world *w, int rc)
{
    check(w, rc != HX_E_GROW || w->k.m->pages == PAGES_MAX);
    return rc == HX_E_GROW;
}

/* --- operations --------------------------------------------------------------------------------- */

static void do_make(struct world *w)
{
    struct node *d = any(w, is_dir);
    unsigned name = (unsigned)draw(w, NAMES), kind = (unsigned)draw(w, 10);
    const struct hx_fs_who *who = &w->k.who;
    struct hx_fs_attr a;
    char target[2500];
    size_t len = 1 + draw(w, sizeof target - 1);
    int rc;
    memset(target, 'q', len);
    target[len - 1] = 0;
    if (kind < 3) {
        rc = kit_run(&w->k, hx_fs_mkdir(w->k.fs, who, d->ino, name_of(name), 0755, &a));
    } else if (kind < 4 && len > 1) {
        rc = kit_run(&w->k, hx_fs_symlink(w->k.fs, who, d->ino, name_of(name), target, &a));
    } else {
        kind = 9;
        rc = kit_run(&w->k, hx_fs_mknod(w->k.fs, who, d->ino, name_of(name), S_IFREG | 0600, 0, &a));
    }
    before_model(w, rc == 0);
    check(w, rc == (d->entry[name] ? HX_E_EXIST : 0) || is_full(w, rc));
    if (rc)
        return;
    struct node *n = node_new(w, &a);
    check(w, a.nlink == (kind < 3 ? 2u : 1u) && a.uid == who->uid && a.mtime.s == who->now.s);
    n->lookups = 1;
    if (kind == 3) {
        n->data = malloc(len);
        check(w, n->data && a.size == len - 1);
        memcpy(n->data, target, len);
    }
    d->a.nlink += kind < 3;
    set_entry(w, d, name, n);
}

static void do_tmpfile(struct world *w)
{
    struct node *d = any(w, is_dir);
    struct hx_fs_attr a;
    int rc = kit_run(&w->k, hx_fs_tmpfile(w->k.fs, &w->k.who, d->ino, 0600, &a));
    before_model(w, rc == 0);
    check(w, rc == 0 || is_full(w, rc));
    if (rc)
        return;
    check(w, a.nlink == 0 && a.size == 0 && S_ISREG(a.mode));
    struct node *n = node_new(w, &a);
    n->lookups = 1;
    n->nameless = true;
}

static void do_xattr(struct world *w)
{
    struct node *n = any(w, is_any);
    unsigned i = (unsigned)draw(w, ATTRS);
    size_t len = draw(w, 4) ? draw(w, 2000) : draw(w, HX_FS_XATTR_VALUE_MAX + 1);
    bool set = draw(w, 3);
    if (draw(w, 4) == 0 && n->attr[i])
        len = n->attr[i] - 1; /* in place */
    int rc = set ? kit_run(&w->k, hx_fs_setxattr(w->k.fs, &w->k.who, n->ino, attr_name(i), attr_value(i, len), len, 0))
                 : kit_run(&w->k, hx_fs_removexattr(w->k.fs, &w->k.who, n->ino, attr_name(i)));
    before_model(w, rc == 0);
    check(w, rc == (set || n->attr[i] ? 0 : HX_E_NODATA) || is_full(w, rc));
    if (rc)
        return;
    n->attr[i] = set ? len + 1 : 0;
    touch(w, n, false);
}

static void do_link(struct world *w)
{
    struct node *d = any(w, is_dir), *n = w->all[draw(w, w->count)];
    unsigned name = (unsigned)draw(w, NAMES);
    struct hx_fs_attr a;
    int rc = kit_run(&w->k, hx_fs_link(w->k.fs, &w->k.who, n->ino, d->ino, name_of(name), &a));
    before_model(w, rc == 0);
    bool gone = n->a.nlink == 0 && !n->nameless;
    int expected = d->entry[name] ? HX_E_EXIST : S_ISDIR(n->a.mode) ? HX_E_PERM : gone ? HX_E_NOENT : 0;
    if (n->a.nlink == 0 && rc == HX_E_STALE)
        return; /* reaped already */
    check(w, rc == expected || is_full(w, rc));
    if (rc)
        return;
    n->nameless = false;
    n->a.nlink++;
    n->lookups++;
    touch(w, n, false);
    set_entry(w, d, name, n);
}

static void do_remove(struct world *w)
{
    struct node *d = any(w, is_dir);
    unsigned name = (unsigned)draw(w, NAMES);
    bool dir = draw(w, 4) == 0;
    int rc = dir ? kit_run(&w->k, hx_fs_rmdir(w->k.fs, &w->k.who, d->ino, name_of(name)))
                 : kit_run(&w->k, hx_fs_unlink(w->k.fs, &w->k.who, d->ino, name_of(name)));
    before_model(w, rc == 0);
    struct node *n = d->entry[name];
    int expected = !n ? HX_E_NOENT : 0;
    if (n && dir)
        expected = !S_ISDIR(n->a.mode) ? HX_E_NOTDIR : n->a.size > 0 ? HX_E_NOTEMPTY : 0;
    else if (n)
        expected = S_ISDIR(n->a.mode) ? HX_E_ISDIR : 0;
    check(w, rc == expected);
    if (rc)
        return;
    lose_link(w, n, d);
    set_entry(w, d, name, NULL);
}

static int predict_rename(const struct node *a, const struct node *d, const struct node *b, const struct node *e,
                          unsigned flags)
{
    if (!a)
        return HX_E_NOENT;
    if (b && flags & HX_FS_RENAME_NOREPLACE)
        return HX_E_EXIST;
    if (!b && flags & HX_FS_RENAME_EXCHANGE)
        return HX_E_NOENT;
    if (S_ISDIR(a->a.mode) && is_above(a, e))
        return HX_E_INVAL;
    if (flags & HX_FS_RENAME_EXCHANGE)
        return S_ISDIR(b->a.mode) && is_above(b, d) ? HX_E_INVAL : 0;
    if (!b)
        return 0;
    if (S_ISDIR(a->a.mode) != S_ISDIR(b->a.mode))
        return S_ISDIR(a->a.mode) ? HX_E_NOTDIR : HX_E_ISDIR;
    return a != b && S_ISDIR(b->a.mode) && b->a.size > 0 ? HX_E_NOTEMPTY : 0;
}

static void model_rename(struct world *w, struct node *d, unsigned from, struct node *e, unsigned to, bool swap)
{
    struct node *a = d->entry[from], *b = e->entry[to];
    if (a == b)
        return;
    touch(w, a, false);
    if (b && swap)
        touch(w, b, false);
    else if (b)
        lose_link(w, b, e);
    if (S_ISDIR(a->a.mode))
        d->a.nlink--, e->a.nlink++;
    if (b && swap && S_ISDIR(b->a.mode))
        e->a.nlink--, d->a.nlink++;
    set_entry(w, d, from, swap ? b : NULL);
    set_entry(w, e, to, a);
}

static void do_rename(struct world *w)
{
    static const unsigned kinds[] = {0, 0, 0, HX_FS_RENAME_NOREPLACE, HX_FS_RENAME_EXCHANGE, HX_FS_RENAME_EXCHANGE};
    struct node *d = any(w, is_dir), *e = draw(w, 3) ? any(w, is_dir) : d;
    unsigned from = (unsigned)draw(w, NAMES), to = (unsigned)draw(w, NAMES), flags = kinds[draw(w, 6)];
    for (unsigned i = 0; i < 10 && !d->entry[from]; i++)
        from = (unsigned)draw(w, NAMES);
    int rc = kit_run(&w->k, hx_fs_rename(w->k.fs, &w->k.who, d->ino, name_of(from), e->ino, name_of(to), flags));
    struct node *a = d->entry[from], *b = e->entry[to];
    before_model(w, rc == 0 && a != b);
    int expected = predict_rename(a, d, b, e, flags);
    /* Onto itself: which refusal comes first is no promise. */
    check(w, rc == expected || is_full(w, rc) || (a == b && rc <= 0));
    if (rc == 0)
        model_rename(w, d, from, e, to, flags & HX_FS_RENAME_EXCHANGE);
}

static void do_write(struct world *w)
{
    static uint8_t buf[1 << 20];
    static const size_t lens[] = {1, 10, 4096, 4096, 4097, 20000, 100000, 1 << 20};
    struct node *n = any(w, is_file);
    if (!n)
        return;
    size_t len = lens[draw(w, 8)], off = draw(w, FILE_MAX - len);
    bool append = draw(w, 3) == 0 && n->a.size + len <= FILE_MAX;
    uint64_t at;
    if (draw(w, 2))
        off = off / HX_PAGE_SIZE * HX_PAGE_SIZE;
    memset(buf, 1 + (int)draw(w, 255), len);
    int rc = kit_run(&w->k, hx_fs_write(w->k.fs, &w->k.who, n->ino, off, buf, len, append, false, &at));
    before_model(w, rc == 0);
    if (rc == HX_E_STALE && n->a.nlink == 0)
        return;
    check(w, rc == 0 || is_full(w, rc));
    if (rc)
        return;
    check(w, at == (append ? n->a.size : off));
    if (at + len > n->a.size)
        resize(w, n, at + len);
    memcpy(n->data + at, buf, len);
    touch(w, n, true);
}

/* Many small islands: what makes a file of many extents. */
static void do_scatter(struct world *w)
{
    struct node *n = any(w, is_file);
    if (!n)
        return;
    size_t from = draw(w, 600) * HX_PAGE_SIZE;
    uint8_t byte = (uint8_t)(1 + draw(w, 255));
    w->keeping = false;
    for (size_t i = 0; i < 80; i++) {
        size_t off = from + i * 2 * HX_PAGE_SIZE;
        uint64_t at;
        int rc = kit_run(&w->k, hx_fs_write(w->k.fs, &w->k.who, n->ino, off, &byte, 1, false, false, &at));
        if (rc)
            return;
        if (off + 1 > n->a.size)
            resize(w, n, off + 1);
        n->data[off] = byte;
        touch(w, n, true);
    }
}

static void do_truncate(struct world *w)
{
    struct node *n = any(w, is_file);
    if (!n)
        return;
    size_t size = draw(w, 3) == 0 ? 0 : draw(w, 2) ? draw(w, FILE_MAX) : draw(w, n->a.size + 1);
    struct hx_fs_attr in = {.size = size}, out;
    int rc = kit_run(&w->k, hx_fs_setattr(w->k.fs, &w->k.who, n->ino, &in, HX_FS_SET_SIZE, &out));
    before_model(w, rc == 0);
    if (rc == HX_E_STALE && n->a.nlink == 0)
        return;
    check(w, rc == 0);
    resize(w, n, size);
    touch(w, n, true);
}

static void do_fallocate(struct world *w)
{
    struct node *n = any(w, is_file);
    if (!n)
        return;
    size_t len = 1 + draw(w, FILE_MAX / 2), off = draw(w, FILE_MAX / 2);
    bool punch = draw(w, 2), zero = !punch && draw(w, 2), keep = punch || draw(w, 2);
    unsigned mode = (punch ? HX_FS_FALLOC_PUNCH : 0) | (zero ? HX_FS_FALLOC_ZERO : 0) |
                    (keep ? HX_FS_FALLOC_KEEP_SIZE : 0);
    uint64_t done = 0;
    int rc;
    w->keeping = false; /* its parts are separate operations */
    while ((rc = kit_run(&w->k, hx_fs_fallocate(w->k.fs, &w->k.who, n->ino, mode, off, len, &done))) == HX_E_AGAIN)
        ;
    if (rc == HX_E_STALE && n->a.nlink == 0)
        return;
    check(w, rc == 0 || is_full(w, rc));
    if (!punch && !keep && rc == 0 && off + len > n->a.size)
        resize(w, n, off + len);
    size_t to = rc ? off + done : off + len;
    if ((punch || zero) && off < n->a.size)
        memset(n->data + off, 0, (to < n->a.size ? to : n->a.size) - off);
    if (rc == 0 || done > 0)
        touch(w, n, true);
}

static void do_setattr(struct world *w)
{
    struct node *n = any(w, is_any);
    struct hx_fs_attr in = {.mode = (uint32_t)draw(w, 01000), .uid = (uint32_t)draw(w, 9), .mtime = {-3, 3}}, out;
    unsigned mask = (unsigned)draw(w, 4) | (draw(w, 2) ? HX_FS_SET_MTIME : 0);
    int rc = kit_run(&w->k, hx_fs_setattr(w->k.fs, &w->k.who, n->ino, &in, mask, &out));
    before_model(w, rc == 0);
    check(w, rc == 0);
    touch(w, n, false);
    if (mask & HX_FS_SET_MODE)
        n->a.mode = (n->a.mode & S_IFMT) | in.mode;
    if (mask & HX_FS_SET_UID)
        n->a.uid = in.uid;
    if (mask & HX_FS_SET_MTIME)
        n->a.mtime = in.mtime;
    compare_attr(w, &out, &n->a);
}

static void do_open_or_close(struct world *w)
{
    struct node *n = draw(w, 2) ? any(w, is_open) : NULL;
    if (n) {
        n->opens--;
        hx_fs_released(w->k.fs, n->ino);
        return;
    }
    n = any(w, is_any);
    if (n->lookups == 0)
        return;
    n->opens++;
    hx_fs_opened(w->k.fs, n->ino);
}

static void do_forget(struct world *w)
{
    struct node *n = w->all[draw(w, w->count)];
    if (n->lookups == 0)
        return;
    uint64_t count = 1 + draw(w, n->lookups);
    n->lookups -= count;
    hx_fs_forget(w->k.fs, n->ino, count);
}

static void do_reap(struct world *w)
{
    int rc = kit_run(&w->k, hx_fs_reap(w->k.fs));
    before_model(w, rc == 1);
    check(w, rc == 0 || rc == 1);
}

/* The client dies: what has no name goes, nothing is known or open any more. */
static void do_remount(struct world *w)
{
    kit_remount(&w->k);
    for (unsigned i = 0; i < w->count; i++) {
        w->all[i]->opens = 0;
        w->all[i]->lookups = 0;
    }
}

/* --- a run -------------------------------------------------------------------------------------- */

/* Nodes that the filesystem is free to forget are forgotten by the model, too. */
static void drop_unreachable(struct world *w)
{
    for (unsigned i = w->count; i-- > 1;)
        if (w->all[i]->a.nlink == 0 && w->all[i]->opens == 0 && w->all[i]->lookups == 0)
            node_free(w, i);
}

static void one_step(struct world *w)
{
    static void (*const ops[])(struct world *) = {
        do_make, do_make, do_make, do_make, do_link, do_remove, do_remove, do_remove, do_rename, do_rename,
        do_rename, do_write, do_write, do_write, do_truncate, do_truncate, do_setattr, do_open_or_close,
        do_open_or_close, do_forget, do_forget, do_reap, do_reap, do_fallocate,
        do_fallocate, do_tmpfile, do_xattr, do_xattr, do_xattr,
    };
    unsigned dice = (unsigned)draw(w, 1000);
    w->k.who.now.ns = (w->k.who.now.ns + 1) % 1000000000;
    w->keeping = draw(w, 12) == 0;
    if (dice < 2)
        do_remount(w);
    else if (dice < 22)
        do_scatter(w);
    else
        ops[draw(w, HX_ARRAY_LEN(ops))](w);
    for (unsigned i = 0; i < w->kept_count; i++)
        compare_crash(w, w->kept[i]);
    w->kept_count = 0;
    drop_unreachable(w);
}

static void compare_all(struct world *w)
{
    kit_verify(&w->k);
    compare_tree(w, &w->k, w->all[0]);
    for (unsigned i = 0; i < w->count; i++)
        if (w->all[i]->a.nlink == 0) /* open or known, without a name */
            compare_node(w, &w->k, w->all[i]);
}

static void run(uint64_t seed, unsigned steps, unsigned drop_percent, unsigned room_percent)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->k = kit_open(512, PAGES_MAX, seed);
    w->seed = w->random = seed;
    struct hx_fs_attr root = kit_attr(&w->k, HX_FS_ROOT);
    node_new(w, &root)->parent = w->all[0];
    w->k.m->drop_percent = drop_percent;
    w->k.m->room_percent = room_percent;
    w->k.m->on_commit = keep_state;
    w->k.m->on_commit_arg = w;
    for (w->step = 0; w->step < steps; w->step++) {
        one_step(w);
        if (w->step % 250 == 249)
            compare_all(w);
    }
    w->keeping = false;
    kit_reap(&w->k);
    compare_all(w);
    compare_crash(w, mem_pager_clone(w->k.m));
    while (w->count > 0)
        node_free(w, w->count - 1);
    kit_close(&w->k);
    free(w);
}

/* Promise: the filesystem is the model, at every consistency point.  Method: see the top; one weather each. */
static void random_operations_agree_with_the_model_warm(void **state)
{
    (void)state;
    run(1, 1500, 0, 0);
}

static void random_operations_agree_with_the_model_with_absent_pages(void **state)
{
    (void)state;
    run(2, 800, 30, 5);
    run(3, 600, 5, 30);
}

static void random_operations_agree_with_the_model_with_every_page_absent(void **state)
{
    (void)state;
    run(4, 700, 100, 10);
}

/* HEXAD_SEED=n: one more run with that seed, for fresh seeds and for replaying one. */
static void random_operations_agree_with_the_model_from_a_given_seed(void **state)
{
    (void)state;
    const char *seed = getenv("HEXAD_SEED");
    uint64_t s = seed ? strtoull(seed, NULL, 0) : 5;
    run(s, seed ? 3000 : 400, (unsigned)(s % 4) * 33, (unsigned)(s % 3) * 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_agree_with_the_model_warm),
        cmocka_unit_test(random_operations_agree_with_the_model_with_absent_pages),
        cmocka_unit_test(random_operations_agree_with_the_model_with_every_page_absent),
        cmocka_unit_test(random_operations_agree_with_the_model_from_a_given_seed),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("fs_model", tests, NULL, NULL);
}
