/*
 * tree_act.c - what each operation must answer, and what it does to the model (tree.h).
 *
 * The order of refusals is that of the documents of each call (which of two errors comes first is part of what
 * programs see, and the same on every run); everything else is POSIX as hexad/fs.h narrows it.
 */
#include "tree_private.h"

#include "hexad/assert.h"
#include "hexad/err.h"

#include <string.h>
#include <sys/stat.h>

#define STEP_PAGES 16u /* a cut of fewer pages frees them at once, on the smallest log, too: then blocks are exact */

/* ---- what must be answered ---- */
static int file_of(const struct hx_tree *t, uint64_t ino, const struct hx_tree_inode **ret)
{
    const struct hx_tree_inode *n = *ret = hx_tree_node(t, ino);
    if (!n)
        return HX_E_STALE;
    return S_ISREG(n->a.mode) ? 0 : S_ISDIR(n->a.mode) ? HX_E_ISDIR : HX_E_INVAL;
}

static int dir_of(const struct hx_tree *t, uint64_t ino)
{
    const struct hx_tree_inode *n = hx_tree_node(t, ino);
    if (!n)
        return HX_E_STALE;
    return !S_ISDIR(n->a.mode) ? HX_E_NOTDIR : n->a.nlink == 0 ? HX_E_NOENT : 0;
}

static int find(const struct hx_tree *t, uint64_t dir, uint32_t name, const struct hx_tree_inode **ret)
{
    *ret = NULL;
    if (name == HX_NAME_TOO_LONG)
        return HX_E_NAMETOOLONG;
    int rc = dir_of(t, dir);
    if (rc)
        return rc;
    const struct hx_entry *e = hx_tree_entry(t, dir, name);
    *ret = e ? hx_tree_node(t, e->ino) : NULL;
    return *ret ? 0 : HX_E_NOENT;
}

static int vacant(const struct hx_tree *t, uint64_t dir, uint32_t name)
{
    const struct hx_tree_inode *n;
    int rc = find(t, dir, name, &n);
    return rc == 0 ? HX_E_EXIST : rc == HX_E_NOENT && dir_of(t, dir) == 0 ? 0 : rc;
}

static int predict_link(const struct hx_tree *t, const struct hx_act *a)
{
    const struct hx_tree_inode *n = hx_tree_node(t, a->ino);
    int rc = vacant(t, a->ino2, a->name);
    if (rc)
        return rc;
    return !n ? HX_E_STALE : S_ISDIR(n->a.mode) ? HX_E_PERM : n->a.nlink == 0 && !n->nameless ? HX_E_NOENT : 0;
}

static int predict_remove(const struct hx_tree *t, const struct hx_act *a)
{
    const struct hx_tree_inode *n;
    int rc = find(t, a->ino, a->name, &n);
    if (rc)
        return rc;
    if (a->kind == HX_ACT_UNLINK)
        return S_ISDIR(n->a.mode) ? HX_E_ISDIR : 0;
    return !S_ISDIR(n->a.mode) ? HX_E_NOTDIR : n->a.size > 0 ? HX_E_NOTEMPTY : 0;
}

static int predict_rename(const struct hx_tree *t, const struct hx_act *a)
{
    const struct hx_tree_inode *from, *to;
    bool swap = a->mask & HX_FS_RENAME_EXCHANGE;
    if (a->mask & ~(HX_FS_RENAME_NOREPLACE | HX_FS_RENAME_EXCHANGE | HX_FS_RENAME_WHITEOUT) ||
        (swap && a->mask != HX_FS_RENAME_EXCHANGE))
        return HX_E_INVAL;
    if (a->name == HX_NAME_TOO_LONG || a->name2 == HX_NAME_TOO_LONG)
        return HX_E_NAMETOOLONG;
    int rc = dir_of(t, a->ino);
    if (rc == 0)
        rc = dir_of(t, a->ino2);
    if (rc == 0)
        rc = find(t, a->ino, a->name, &from);
    if (rc)
        return rc;
    rc = find(t, a->ino2, a->name2, &to);
    if (rc && rc != HX_E_NOENT)
        return rc;
    if (to && a->mask & HX_FS_RENAME_NOREPLACE)
        return HX_E_EXIST;
    if (!to && swap)
        return HX_E_NOENT;
    if (a->ino != a->ino2 && S_ISDIR(from->a.mode) && hx_tree_is_below(t, a->ino2, from->a.ino))
        return HX_E_INVAL;
    if (swap && a->ino != a->ino2 && S_ISDIR(to->a.mode) && hx_tree_is_below(t, a->ino, to->a.ino))
        return HX_E_INVAL;
    if (!to || swap)
        return 0;
    if (S_ISDIR(from->a.mode) != S_ISDIR(to->a.mode))
        return S_ISDIR(from->a.mode) ? HX_E_NOTDIR : HX_E_ISDIR;
    return S_ISDIR(to->a.mode) && to->a.size > 0 ? HX_E_NOTEMPTY : 0;
}

static int predict_setattr(const struct hx_tree *t, const struct hx_act *a)
{
    const struct hx_tree_inode *n = hx_tree_node(t, a->ino);
    if (!n)
        return HX_E_STALE;
    if (!(a->mask & HX_FS_SET_SIZE))
        return 0;
    return S_ISDIR(n->a.mode) ? HX_E_ISDIR
                              : !S_ISREG(n->a.mode) ? HX_E_INVAL : a->set_size > HX_FS_FILE_MAX ? HX_E_FBIG : 0;
}

static int predict_data(const struct hx_tree *t, const struct hx_act *a)
{
    const struct hx_tree_inode *n;
    uint64_t at;
    bool punch = a->mask & HX_FS_FALLOC_PUNCH;
    uint32_t known = HX_FS_FALLOC_KEEP_SIZE | HX_FS_FALLOC_PUNCH | HX_FS_FALLOC_ZERO | HX_FS_FALLOC_KILL;
    if (a->kind == HX_ACT_FALLOC && (a->mask & ~known || (punch && a->mask & HX_FS_FALLOC_ZERO)))
        return HX_E_NOTSUP;
    if (a->kind == HX_ACT_FALLOC && (a->len == 0 || (punch && !(a->mask & HX_FS_FALLOC_KEEP_SIZE))))
        return HX_E_INVAL;
    int rc = file_of(t, a->ino, &n);
    if (rc || a->kind == HX_ACT_READ)
        return rc;
    if (a->kind == HX_ACT_SEEK)
        return hx_tree_seek(n, a->off, a->data, &at);
    uint64_t off = a->append ? n->a.size : a->off;
    return off > HX_FS_FILE_MAX || a->len > HX_FS_FILE_MAX - off ? HX_E_FBIG : 0;
}

int hx_tree_predict(const struct hx_tree *t, const struct hx_act *a)
{
    const struct hx_tree_inode *n;
    switch (a->kind) {
    case HX_ACT_LOOKUP:
        return find(t, a->ino, a->name, &n);
    case HX_ACT_SYMLINK:
        if (a->len == 0 || a->len > HX_FS_SYMLINK_MAX)
            return a->len ? HX_E_NAMETOOLONG : HX_E_NOENT;
        return vacant(t, a->ino, a->name);
    case HX_ACT_CREATE:
    case HX_ACT_MKDIR:
        return vacant(t, a->ino, a->name);
    case HX_ACT_LINK:
        return predict_link(t, a);
    case HX_ACT_UNLINK:
    case HX_ACT_RMDIR:
        return predict_remove(t, a);
    case HX_ACT_RENAME:
        return predict_rename(t, a);
    case HX_ACT_SETATTR:
        return predict_setattr(t, a);
    case HX_ACT_GETATTR:
    case HX_ACT_ATIME:
        return hx_tree_node(t, a->ino) ? 0 : HX_E_STALE;
    case HX_ACT_READLINK:
        n = hx_tree_node(t, a->ino);
        return !n ? HX_E_STALE : S_ISLNK(n->a.mode) ? 0 : HX_E_INVAL;
    case HX_ACT_READ:
    case HX_ACT_WRITE:
    case HX_ACT_FALLOC:
    case HX_ACT_SEEK:
        return predict_data(t, a);
    case HX_ACT_TMPFILE:
        return dir_of(t, a->ino);
    case HX_ACT_XSET:
    case HX_ACT_XDROP:
    case HX_ACT_XGET:
    case HX_ACT_XLIST:
        return hx_tree_xattr_predict(t, a);
    case HX_ACT_READDIR: {
        int rc = dir_of(t, a->ino);
        return rc == HX_E_NOENT ? 0 : rc; /* removed: empty */
    }
    default:
        return 0;
    }
}

int hx_tree_seek(const struct hx_tree_inode *n, uint64_t off, bool data, uint64_t *ret_off)
{
    while (off < n->a.size) {
        uint64_t end;
        bool there = hx_spans_at(&n->pages, off >> HX_PAGE_SHIFT, &end) != 0;
        if (there == data) {
            *ret_off = off;
            return 0;
        }
        uint64_t next = end > n->a.size >> HX_PAGE_SHIFT ? n->a.size : end << HX_PAGE_SHIFT;
        if (next >= n->a.size && !data) {
            *ret_off = n->a.size;
            return 0;
        }
        off = next;
    }
    return HX_E_EOF;
}

bool hx_tree_leaves_whiteout(const struct hx_tree *t, const struct hx_act *a)
{
    const struct hx_entry *to = hx_tree_entry(t, a->ino2, a->name2);
    return a->mask & HX_FS_RENAME_WHITEOUT && !(to && to->ino == hx_tree_entry(t, a->ino, a->name)->ino);
}

/* ---- what it does ---- */
static void set_pages(struct hx_tree *t, struct hx_tree_inode *n, uint64_t from, uint64_t to, uint64_t tag)
{
    t->data_pages -= n->pages.total;
    hx_spans_set(&n->pages, from, to, tag);
    t->data_pages += n->pages.total;
    n->a.blocks = n->pages.total * (HX_PAGE_SIZE / 512);
}

static void changed(struct hx_tree_inode *n, const struct hx_act *a, bool content)
{
    n->a.ctime = a->who.now;
    if (content)
        n->a.mtime = a->who.now;
}

static void set_entry(struct hx_tree *t, struct hx_tree_inode *dir, uint32_t name, struct hx_tree_inode *n,
                      const struct hx_act *a)
{
    struct hx_entry *e = hx_tree_entry(t, dir->a.ino, name);
    if (e && n)
        e->ino = n->a.ino;
    else if (n)
        hx_tree_add_entry(t, dir, name, n->a.ino);
    else
        hx_tree_drop_entry(t, dir, e);
    if (!e || !n)
        dir->a.size += n ? 1u : UINT64_MAX;
    if (n && S_ISDIR(n->a.mode))
        n->parent = dir->a.ino;
    changed(dir, a, true);
}

static void lose_link(struct hx_tree_inode *n, struct hx_tree_inode *dir, const struct hx_act *a)
{
    changed(n, a, false);
    if (S_ISDIR(n->a.mode)) {
        n->a.nlink = 0;
        dir->a.nlink--;
    } else {
        n->a.nlink--;
    }
}

static void apply_make(struct hx_tree *t, const struct hx_act *a)
{
    struct hx_tree_inode *d = hx_tree_node(t, a->ino);
    struct hx_fs_attr in = {.ino = a->made, .generation = 1, .nlink = 1, .uid = a->who.uid};
    in.gid = d->a.mode & S_ISGID ? d->a.gid : a->who.gid;
    in.atime = in.mtime = in.ctime = a->who.now;
    if (a->kind == HX_ACT_MKDIR) {
        in.mode = S_IFDIR | (a->mode & 07777);
        in.nlink = 2;
        d->a.nlink++;
    } else if (a->kind == HX_ACT_SYMLINK) {
        in.mode = S_IFLNK | 0777;
        in.size = a->len;
    } else if (a->kind == HX_ACT_TMPFILE) {
        in.mode = S_IFREG | (a->mode & 07777);
        in.nlink = 0;
    } else {
        in.mode = a->mode & (S_IFMT | 07777);
        in.rdev = S_ISCHR(in.mode) || S_ISBLK(in.mode) ? a->rdev : 0;
    }
    struct hx_tree_inode *n = hx_tree_add_node(t, &in);
    n->text = a->tag;
    hx_tree_acl_inherit(t, d, n, a->who.umask);
    if (a->kind == HX_ACT_MKDIR)
        n->a.mode |= d->a.mode & S_ISGID;
    if (a->kind == HX_ACT_TMPFILE)
        n->nameless = true;
    else
        set_entry(t, d, a->name, n, a);
}

static struct hx_tree_inode *add_whiteout(struct hx_tree *t, const struct hx_tree_inode *dir, const struct hx_act *a)
{
    struct hx_fs_attr in = {.ino = a->made, .generation = 1, .mode = S_IFCHR, .nlink = 1, .uid = a->who.uid};
    in.gid = dir->a.mode & S_ISGID ? dir->a.gid : a->who.gid;
    in.atime = in.mtime = in.ctime = a->who.now;
    return hx_tree_add_node(t, &in);
}

static void apply_rename(struct hx_tree *t, const struct hx_act *a)
{
    struct hx_tree_inode *d = hx_tree_node(t, a->ino), *e = hx_tree_node(t, a->ino2);
    struct hx_entry *to_entry = hx_tree_entry(t, a->ino2, a->name2);
    struct hx_tree_inode *from = hx_tree_node(t, hx_tree_entry(t, a->ino, a->name)->ino);
    struct hx_tree_inode *to = to_entry ? hx_tree_node(t, to_entry->ino) : NULL;
    bool swap = a->mask & HX_FS_RENAME_EXCHANGE;
    if (from == to)
        return;
    changed(from, a, false);
    if (to && swap)
        changed(to, a, false);
    else if (to)
        lose_link(to, e, a);
    if (S_ISDIR(from->a.mode))
        d->a.nlink--, e->a.nlink++;
    if (to && swap && S_ISDIR(to->a.mode))
        e->a.nlink--, d->a.nlink++;
    set_entry(t, d, a->name, swap ? to : a->mask & HX_FS_RENAME_WHITEOUT ? add_whiteout(t, d, a) : NULL, a);
    set_entry(t, e, a->name2, from, a);
    if (to && !swap)
        hx_tree_settle(t, to);
}

static void apply_remove(struct hx_tree *t, const struct hx_act *a)
{
    struct hx_tree_inode *d = hx_tree_node(t, a->ino), *n = hx_tree_node(t, hx_tree_entry(t, a->ino, a->name)->ino);
    lose_link(n, d, a);
    set_entry(t, d, a->name, NULL, a);
    hx_tree_settle(t, n);
}

static void apply_size(struct hx_tree *t, struct hx_tree_inode *n, uint64_t size)
{
    if (size < n->a.size) {
        uint64_t cut = (size + HX_PAGE_SIZE - 1) >> HX_PAGE_SHIFT, before = n->pages.total;
        hx_spans_set(&n->data, size, UINT64_MAX, 0);
        set_pages(t, n, cut, UINT64_MAX, 0);
        n->loose_blocks |= before - n->pages.total > STEP_PAGES;
    }
    n->a.size = size;
}

/* Set-id bits of what is not a directory, when somebody who may not keep them changed it. */
static void kill_ids(struct hx_tree_inode *n, const struct hx_act *a)
{
    if (S_ISDIR(n->a.mode))
        return;
    n->a.mode &= ~(uint32_t)S_ISUID;
    if (n->a.mode & S_IXGRP || a->who.stranger)
        n->a.mode &= ~(uint32_t)S_ISGID;
}

static void apply_setattr(struct hx_tree *t, const struct hx_act *a)
{
    struct hx_tree_inode *n = hx_tree_node(t, a->ino);
    if (a->mask & HX_FS_SET_KILL)
        kill_ids(n, a);
    if (a->mask & HX_FS_SET_MODE) {
        n->a.mode = (n->a.mode & S_IFMT) | (a->mode & 07777);
        hx_tree_acl_follow(t, n);
    }
    if (a->mask & (HX_FS_SET_UID | HX_FS_SET_GID | HX_FS_SET_SIZE) && !S_ISDIR(n->a.mode))
        hx_tree_drop_caps(t, n);
    if (a->mask & HX_FS_SET_UID)
        n->a.uid = a->set_uid;
    if (a->mask & HX_FS_SET_GID)
        n->a.gid = a->set_gid;
    changed(n, a, a->mask & HX_FS_SET_SIZE);
    if (a->mask & HX_FS_SET_ATIME)
        n->a.atime = a->set_atime;
    if (a->mask & HX_FS_SET_MTIME)
        n->a.mtime = a->set_mtime;
    if (a->mask & HX_FS_SET_CTIME)
        n->a.ctime = a->set_ctime;
    if (a->mask & HX_FS_SET_SIZE)
        apply_size(t, n, a->set_size);
}

static void apply_write(struct hx_tree *t, const struct hx_act *a)
{
    struct hx_tree_inode *n = hx_tree_node(t, a->ino);
    uint64_t off = a->append ? n->a.size : a->off, end = off + a->len;
    if (a->len == 0)
        return;
    changed(n, a, true);
    hx_spans_set(&n->data, off, end, a->tag);
    set_pages(t, n, off >> HX_PAGE_SHIFT, (end + HX_PAGE_SIZE - 1) >> HX_PAGE_SHIFT, 1);
    if (end > n->a.size)
        n->a.size = end;
    if (a->kill_priv)
        kill_ids(n, a);
    hx_tree_drop_caps(t, n);
}

static void apply_falloc(struct hx_tree *t, const struct hx_act *a)
{
    struct hx_tree_inode *n = hx_tree_node(t, a->ino);
    uint64_t from = a->off + a->done, to = a->off + a->done_to, end = a->off + a->len;
    changed(n, a, true);
    hx_tree_drop_caps(t, n);
    if (a->mask & HX_FS_FALLOC_KILL)
        kill_ids(n, a);
    if (a->mask & (HX_FS_FALLOC_PUNCH | HX_FS_FALLOC_ZERO))
        hx_spans_set(&n->data, from, to, 0);
    if (a->mask & HX_FS_FALLOC_PUNCH) {
        set_pages(t, n, (from + HX_PAGE_SIZE - 1) >> HX_PAGE_SHIFT, to >> HX_PAGE_SHIFT, 0);
        return;
    }
    set_pages(t, n, from >> HX_PAGE_SHIFT, (to + HX_PAGE_SIZE - 1) >> HX_PAGE_SHIFT, 1);
    if (to == end && !(a->mask & HX_FS_FALLOC_KEEP_SIZE) && end > n->a.size)
        n->a.size = end;
}

static void apply_format(struct hx_tree *t, const struct hx_act *a)
{
    struct hx_fs_attr root = {.ino = HX_FS_ROOT, .generation = 1, .mode = S_IFDIR | 0755, .nlink = 2};
    root.uid = a->who.uid;
    root.gid = a->who.gid;
    root.atime = root.mtime = root.ctime = a->who.now;
    hx_tree_add_node(t, &root)->parent = HX_FS_ROOT;
    t->formatted = true;
}

void hx_tree_apply(struct hx_tree *t, const struct hx_act *a)
{
    struct hx_tree_inode *n;
    t->changes++;
    switch (a->kind) {
    case HX_ACT_FORMAT:
        apply_format(t, a);
        break;
    case HX_ACT_CREATE:
    case HX_ACT_MKDIR:
    case HX_ACT_SYMLINK:
    case HX_ACT_TMPFILE:
        apply_make(t, a);
        break;
    case HX_ACT_LINK:
        n = hx_tree_node(t, a->ino);
        n->a.nlink++;
        n->nameless = false;
        changed(n, a, false);
        set_entry(t, hx_tree_node(t, a->ino2), a->name, n, a);
        break;
    case HX_ACT_UNLINK:
    case HX_ACT_RMDIR:
        apply_remove(t, a);
        break;
    case HX_ACT_RENAME:
        apply_rename(t, a);
        break;
    case HX_ACT_SETATTR:
        apply_setattr(t, a);
        break;
    case HX_ACT_WRITE:
        apply_write(t, a);
        break;
    case HX_ACT_FALLOC:
        apply_falloc(t, a);
        break;
    case HX_ACT_ATIME:
        hx_tree_node(t, a->ino)->a.atime = a->who.now;
        break;
    case HX_ACT_XSET:
    case HX_ACT_XDROP:
        hx_tree_xattr_apply(t, hx_tree_node(t, a->ino), a);
        break;
    default: /* changes nothing */
        break;
    }
}

/* ---- comparing ---- */
static bool same_time(struct hx_fs_time a, struct hx_fs_time b)
{
    return a.s == b.s && a.ns == b.ns;
}

const char *hx_tree_differs(const struct hx_tree_inode *n, const struct hx_fs_attr *a, bool blocks)
{
    const struct hx_fs_attr *m = &n->a;
    if (a->ino != m->ino || a->generation != m->generation)
        return "inode number";
    if (a->mode != m->mode)
        return "mode";
    if (a->nlink != m->nlink)
        return "number of links";
    if (a->size != m->size)
        return "size";
    if (a->uid != m->uid || a->gid != m->gid)
        return "owner";
    if (a->rdev != m->rdev)
        return "device";
    if (!same_time(a->mtime, m->mtime))
        return "mtime";
    if (!same_time(a->ctime, m->ctime))
        return "ctime";
    if (!same_time(a->atime, m->atime))
        return "atime";
    if (blocks ? a->blocks != m->blocks : a->blocks < m->blocks)
        return "blocks";
    return NULL;
}
