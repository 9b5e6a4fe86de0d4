/*
 * ops_name.c - requests about names: lookup, create, mknod, mkdir, symlink, link, unlink, rmdir, rename, readlink.
 *
 * Each is one call of hexad/fs.h between the kernel's words and ours; permission checks are the kernel's
 * (default_permissions).  The name .hexad in the root is reserved (virtual.c).
 * A crash leaves the operation whole or not at all (one mini-transaction).  Memory: none.
 */
#include "fuse_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

void hx_stat_fill(const struct hx_fs_attr *a, struct stat *st)
{
    *st = (struct stat){
        .st_ino = a->ino,
        .st_mode = a->mode,
        .st_nlink = a->nlink,
        .st_uid = a->uid,
        .st_gid = a->gid,
        .st_rdev = a->rdev,
        .st_size = (off_t)a->size,
        .st_blocks = (blkcnt_t)a->blocks,
        .st_blksize = HX_PAGE_SIZE,
        .st_atim = {a->atime.s, (long)a->atime.ns},
        .st_mtim = {a->mtime.s, (long)a->mtime.ns},
        .st_ctim = {a->ctime.s, (long)a->ctime.ns},
    };
}

static void fill_entry(const struct hx_mount *m, const struct hx_fs_attr *a, struct fuse_entry_param *e)
{
    *e = (struct fuse_entry_param){
        .ino = a->ino,
        .generation = a->generation,
        .attr_timeout = m->opts->attr_s,
        .entry_timeout = m->opts->entry_s,
    };
    hx_stat_fill(a, &e->attr);
}

int hx_reply_entry(struct hx_req *r, const struct hx_fs_attr *a)
{
    struct fuse_entry_param e;
    fill_entry(r->m, a, &e);
    int err = fuse_reply_entry(r->fr, &e);
    if (err)
        (void)hx_fs_forget(r->m->fs, a->ino, 1); /* the kernel did not take the reference */
    return err;
}

/* ---- lookup ---- */
static int run_lookup(struct hx_req *r)
{
    struct hx_fs_attr a;
    int err = hx_fs_lookup(r->m->fs, r->ino, r->name, &a);
    if (err == HX_E_NOENT) { /* the kernel remembers that it does not exist */
        struct fuse_entry_param e = {.entry_timeout = r->m->opts->negative_s};
        fuse_reply_entry(r->fr, &e);
        return 0;
    }
    if (err == 0)
        hx_reply_entry(r, &a);
    return err;
}

static void op_lookup(fuse_req_t fr, fuse_ino_t dir, const char *name)
{
    if (hx_virt_is(dir) || hx_virt_is_name(dir, name)) {
        hx_virt_lookup(fr, dir, name);
        return;
    }
    struct hx_req r = hx_req_of(fr, dir, run_lookup);
    r.name = name;
    hx_req_start(&r);
}

/* ---- making ---- */
static bool refuse_name(fuse_req_t fr, fuse_ino_t dir, const char *name, int eno)
{
    if (!hx_virt_is(dir) && !hx_virt_is_name(dir, name))
        return false;
    fuse_reply_err(fr, eno);
    return true;
}

static int run_mknod(struct hx_req *r)
{
    struct hx_fs_attr a;
    int err = hx_fs_mknod(r->m->fs, &r->who, r->ino, r->name, r->attr.mode, r->attr.rdev, &a);
    if (err == 0)
        hx_reply_entry(r, &a);
    return err;
}

static void op_mknod(fuse_req_t fr, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev)
{
    if (refuse_name(fr, dir, name, EPERM))
        return;
    struct hx_req r = hx_req_of(fr, dir, run_mknod);
    r.name = name;
    r.attr.mode = mode;
    r.attr.rdev = rdev;
    r.op.changes = true;
    hx_req_start(&r);
}

static int run_mkdir(struct hx_req *r)
{
    struct hx_fs_attr a;
    int err = hx_fs_mkdir(r->m->fs, &r->who, r->ino, r->name, r->attr.mode, &a);
    if (err == 0)
        hx_reply_entry(r, &a);
    return err;
}

static void op_mkdir(fuse_req_t fr, fuse_ino_t dir, const char *name, mode_t mode)
{
    if (refuse_name(fr, dir, name, EPERM))
        return;
    struct hx_req r = hx_req_of(fr, dir, run_mkdir);
    r.name = name;
    r.attr.mode = mode;
    r.op.changes = true;
    hx_req_start(&r);
}

static int run_symlink(struct hx_req *r)
{
    struct hx_fs_attr a;
    int err = hx_fs_symlink(r->m->fs, &r->who, r->ino, r->name, r->name2, &a);
    if (err == 0)
        hx_reply_entry(r, &a);
    return err;
}

static void op_symlink(fuse_req_t fr, const char *target, fuse_ino_t dir, const char *name)
{
    if (refuse_name(fr, dir, name, EPERM))
        return;
    struct hx_req r = hx_req_of(fr, dir, run_symlink);
    r.name = name;
    r.name2 = target;
    r.op.changes = true;
    hx_req_start(&r);
}

static int run_link(struct hx_req *r)
{
    struct hx_fs_attr a;
    int err = hx_fs_link(r->m->fs, &r->who, r->ino2, r->ino, r->name, &a);
    if (err == 0)
        hx_reply_entry(r, &a);
    return err;
}

static void op_link(fuse_req_t fr, fuse_ino_t ino, fuse_ino_t dir, const char *name)
{
    if (refuse_name(fr, dir, name, EPERM))
        return;
    if (hx_virt_is(ino)) {
        fuse_reply_err(fr, EPERM);
        return;
    }
    struct hx_req r = hx_req_of(fr, dir, run_link);
    r.ino2 = ino;
    r.name = name;
    r.op.changes = true;
    hx_req_start(&r);
}

/* ---- create: a new file, open ---- */
static int reply_create(struct hx_req *r, const struct hx_fs_attr *a)
{
    struct fuse_entry_param e;
    struct fuse_file_info fi = {.flags = r->flags, .keep_cache = !r->m->opts->strictatime};
    fi.noflush = (r->flags & O_ACCMODE) == O_RDONLY;
    struct hx_file *f = hx_file_new(r->m, a->ino, r->flags);
    if (!f) {
        (void)hx_fs_forget(r->m->fs, a->ino, 1);
        return HX_E_NOMEM;
    }
    fi.fh = (uint64_t)(uintptr_t)f;
    fill_entry(r->m, a, &e);
    if (fuse_reply_create(r->fr, &e, &fi)) {
        hx_file_free(r->m, f);
        (void)hx_fs_forget(r->m->fs, a->ino, 1);
    }
    return 0;
}

static int run_tmpfile(struct hx_req *r)
{
    struct hx_fs_attr a;
    int err = hx_fs_tmpfile(r->m->fs, &r->who, r->ino, r->attr.mode, &a);
    return err ? err : reply_create(r, &a);
}

static int run_create(struct hx_req *r)
{
    struct hx_fs_attr a;
    int err = hx_fs_mknod(r->m->fs, &r->who, r->ino, r->name, r->attr.mode, 0, &a);
    if (err == HX_E_EXIST && !(r->flags & O_EXCL)) { /* the kernel did not know of it */
        err = hx_fs_lookup(r->m->fs, r->ino, r->name, &a);
        if (err == 0 && r->flags & O_TRUNC && a.size > 0) {
            const struct hx_fs_attr empty = {0};
            unsigned kill = r->kills ? HX_FS_SET_KILL : 0;
            uint64_t ino = a.ino;
            err = hx_fs_setattr(r->m->fs, &r->who, ino, &empty, HX_FS_SET_SIZE | kill, &a);
            if (err)
                (void)hx_fs_forget(r->m->fs, ino, 1);
        }
    }
    return err ? err : reply_create(r, &a);
}

static void op_create(fuse_req_t fr, fuse_ino_t dir, const char *name, mode_t mode, struct fuse_file_info *fi)
{
    if (refuse_name(fr, dir, name, EPERM))
        return;
    const struct hx_wire *w = &hx_mount_of(fr)->wire;
    struct hx_req r = hx_req_of(fr, dir, w->tmpfile ? run_tmpfile : run_create);
    r.name = name;
    r.kills = w->kills;
    r.attr.mode = S_IFREG | (mode & 07777);
    r.flags = fi->flags;
    r.op.changes = true;
    hx_req_start(&r);
}

/* ---- taking away ---- */
static int run_unlink(struct hx_req *r)
{
    int err = hx_fs_unlink(r->m->fs, &r->who, r->ino, r->name);
    if (err == 0)
        fuse_reply_err(r->fr, 0);
    return err;
}

static void op_unlink(fuse_req_t fr, fuse_ino_t dir, const char *name)
{
    if (refuse_name(fr, dir, name, EPERM))
        return;
    struct hx_req r = hx_req_of(fr, dir, run_unlink);
    r.name = name;
    r.op.changes = true;
    hx_req_start(&r);
}

static int run_rmdir(struct hx_req *r)
{
    int err = hx_fs_rmdir(r->m->fs, &r->who, r->ino, r->name);
    if (err == 0)
        fuse_reply_err(r->fr, 0);
    return err;
}

static void op_rmdir(fuse_req_t fr, fuse_ino_t dir, const char *name)
{
    if (refuse_name(fr, dir, name, EPERM))
        return;
    struct hx_req r = hx_req_of(fr, dir, run_rmdir);
    r.name = name;
    r.op.changes = true;
    hx_req_start(&r);
}

static int run_rename(struct hx_req *r)
{
    int err = hx_fs_rename(r->m->fs, &r->who, r->ino, r->name, r->ino2, r->name2, r->mask);
    if (err == 0)
        fuse_reply_err(r->fr, 0);
    return err;
}

static void op_rename(fuse_req_t fr, fuse_ino_t dir, const char *name, fuse_ino_t new_dir, const char *new_name,
                      unsigned int flags)
{
    if (refuse_name(fr, dir, name, EPERM) || refuse_name(fr, new_dir, new_name, EPERM))
        return;
    const unsigned known = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;
    if (flags & ~known) {
        fuse_reply_err(fr, EINVAL);
        return;
    }
    struct hx_req r = hx_req_of(fr, dir, run_rename);
    r.name = name;
    r.ino2 = new_dir;
    r.name2 = new_name;
    r.mask = flags & RENAME_NOREPLACE ? HX_FS_RENAME_NOREPLACE : 0;
    r.mask |= flags & RENAME_EXCHANGE ? HX_FS_RENAME_EXCHANGE : 0;
    r.mask |= flags & RENAME_WHITEOUT ? HX_FS_RENAME_WHITEOUT : 0;
    r.op.changes = true;
    hx_req_start(&r);
}

static int run_readlink(struct hx_req *r)
{
    char target[HX_FS_SYMLINK_MAX + 1];
    int err = hx_fs_readlink(r->m->fs, r->ino, target, sizeof target);
    if (err)
        return err;
    fuse_reply_readlink(r->fr, target);
    hx_touch_atime(r);
    return 0;
}

static void op_readlink(fuse_req_t fr, fuse_ino_t ino)
{
    struct hx_req r = hx_req_of(fr, ino, run_readlink);
    hx_req_start(&r);
}

void hx_ops_name(struct fuse_lowlevel_ops *ops)
{
    ops->lookup = op_lookup;
    ops->mknod = op_mknod;
    ops->mkdir = op_mkdir;
    ops->symlink = op_symlink;
    ops->link = op_link;
    ops->create = op_create;
    ops->unlink = op_unlink;
    ops->rmdir = op_rmdir;
    ops->rename = op_rename;
    ops->readlink = op_readlink;
}
