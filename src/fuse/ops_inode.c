/*
 * ops_inode.c - requests about inodes: attributes, open and close, forget, fsync, statfs, space and holes.
 *
 * fsync of whatever (files, directories, read-only descriptors, data only or not) means the same: everything logged
 * when it arrived is durable (total order: doc/PROTOCOL.md I7), so it is answered at VDL >= last LSN.
 *
 * Opening counts nothing in the filesystem: the kernel keeps its lookup reference as long as anything is open, and
 * that keeps an unlinked inode alive.
 * Memory: one block per open file description.
 */
#include "fuse_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- open files ---- */
struct hx_file *hx_file_new(struct hx_mount *m, uint64_t ino, int flags)
{
    struct hx_file *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->ino = ino;
    f->writable = (flags & O_ACCMODE) != O_RDONLY;
    f->mappable = (flags & O_ACCMODE) == O_RDWR;
    f->next = m->files;
    if (m->files)
        m->files->prev = f;
    m->files = f;
    return f;
}

void hx_file_free(struct hx_mount *m, struct hx_file *f)
{
    hx_ahead_drop(&m->ahead, &f->ahead);
    if (f->prev)
        f->prev->next = f->next;
    else
        m->files = f->next;
    if (f->next)
        f->next->prev = f->prev;
    free(f->text);
    free(f);
}

static struct hx_file *file_of(const struct fuse_file_info *fi)
{
    return (struct hx_file *)(uintptr_t)fi->fh;
}

/* ---- attributes ---- */
int hx_reply_attr(struct hx_req *r, const struct hx_fs_attr *a)
{
    struct stat st;
    hx_stat_fill(a, &st);
    return fuse_reply_attr(r->fr, &st, r->m->opts->attr_s);
}

static int run_getattr(struct hx_req *r)
{
    struct hx_fs_attr a;
    int err = hx_fs_getattr(r->m->fs, r->ino, &a);
    if (err == 0)
        hx_reply_attr(r, &a);
    return err;
}

static void op_getattr(fuse_req_t fr, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    if (hx_virt_is(ino)) {
        hx_virt_getattr(fr, ino);
        return;
    }
    struct hx_req r = hx_req_of(fr, ino, run_getattr);
    hx_req_start(&r);
}

static int run_setattr(struct hx_req *r)
{
    struct hx_fs_attr a;
    if (r->mask & HX_FS_SET_KILL)
        r->who.stranger = hx_req_stranger(r);
    int err = hx_fs_setattr(r->m->fs, &r->who, r->ino, &r->attr, r->mask, &a);
    if (err == 0)
        hx_reply_attr(r, &a);
    return err;
}

static struct hx_fs_time time_of(const struct timespec *t)
{
    return (struct hx_fs_time){t->tv_sec, (uint32_t)t->tv_nsec};
}

static void set_times(struct hx_req *r, const struct stat *st, int to_set)
{
    if (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW)) {
        r->attr.atime = to_set & FUSE_SET_ATTR_ATIME_NOW ? r->who.now : time_of(&st->st_atim);
        r->mask |= HX_FS_SET_ATIME;
    }
    if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) {
        r->attr.mtime = to_set & FUSE_SET_ATTR_MTIME_NOW ? r->who.now : time_of(&st->st_mtim);
        r->mask |= HX_FS_SET_MTIME;
    }
    if (to_set & FUSE_SET_ATTR_CTIME) {
        r->attr.ctime = time_of(&st->st_ctim);
        r->mask |= HX_FS_SET_CTIME;
    }
}

static void op_setattr(fuse_req_t fr, fuse_ino_t ino, struct stat *st, int to_set, struct fuse_file_info *fi)
{
    (void)fi;
    if (hx_virt_is(ino)) {
        fuse_reply_err(fr, EPERM);
        return;
    }
    struct hx_req r = hx_req_of(fr, ino, run_setattr);
    if (to_set & FUSE_SET_ATTR_MODE) {
        r.attr.mode = st->st_mode;
        r.mask |= HX_FS_SET_MODE;
    }
    if (to_set & FUSE_SET_ATTR_UID) {
        r.attr.uid = st->st_uid;
        r.mask |= HX_FS_SET_UID;
    }
    if (to_set & FUSE_SET_ATTR_GID) {
        r.attr.gid = st->st_gid;
        r.mask |= HX_FS_SET_GID;
    }
    if (to_set & FUSE_SET_ATTR_SIZE) {
        r.attr.size = (uint64_t)st->st_size;
        r.mask |= HX_FS_SET_SIZE;
    }
    set_times(&r, st, to_set);
    if (r.m->wire.kills)
        r.mask |= HX_FS_SET_KILL;
    r.op.changes = true;
    hx_req_start(&r);
}

/* ---- open, close, forget ---- */
static int run_open(struct hx_req *r)
{
    struct fuse_file_info fi = {.flags = r->flags, .keep_cache = !r->m->opts->strictatime};
    fi.noflush = (r->flags & O_ACCMODE) == O_RDONLY; /* op_flush has nothing to say to it */
    if (r->flags & O_TRUNC) {
        struct hx_fs_attr a;
        const struct hx_fs_attr empty = {0};
        unsigned kill = r->kills ? HX_FS_SET_KILL : 0;
        r->who.stranger = kill && hx_req_stranger(r);
        int err = hx_fs_setattr(r->m->fs, &r->who, r->ino, &empty, HX_FS_SET_SIZE | kill, &a);
        if (err)
            return err;
    }
    struct hx_file *f = hx_file_new(r->m, r->ino, r->flags);
    if (!f)
        return HX_E_NOMEM;
    fi.fh = (uint64_t)(uintptr_t)f;
    if (fuse_reply_open(r->fr, &fi))
        hx_file_free(r->m, f);
    return 0;
}

static void op_open(fuse_req_t fr, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (hx_virt_is(ino)) {
        hx_virt_open(fr, ino, fi);
        return;
    }
    struct hx_req r = hx_req_of(fr, ino, run_open);
    r.flags = fi->flags;
    r.kills = r.m->wire.kills;
    r.op.changes = fi->flags & O_TRUNC;
    hx_req_start(&r);
}

static void op_release(fuse_req_t fr, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    hx_file_free(hx_mount_of(fr), file_of(fi));
    fuse_reply_err(fr, 0);
}

/* close: reports what is known to be lost; it is not a promise of durability (close(2)). */
static void op_flush(fuse_req_t fr, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct hx_mount *m = hx_mount_of(fr);
    (void)ino;
    struct hx_file *f = file_of(fi);
    int eno = hx_vol_state(m->vol) == HX_VOL_FENCED && f->writable ? EROFS : f->lost;
    f->lost = 0;
    fuse_reply_err(fr, eno);
}

static void forget_one(struct hx_mount *m, uint64_t ino, uint64_t count)
{
    if (!hx_virt_is(ino) && ino != HX_FS_ROOT)
        (void)hx_fs_forget(m->fs, ino, count); /* what it leaves to do is done in idle moments */
}

static void op_forget(fuse_req_t fr, fuse_ino_t ino, uint64_t count)
{
    forget_one(hx_mount_of(fr), ino, count);
    fuse_reply_none(fr);
}

static void op_forget_multi(fuse_req_t fr, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        forget_one(hx_mount_of(fr), forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(fr);
}

/* ---- durability ---- */
static void reply_done(struct hx_req *r)
{
    fuse_reply_err(r->fr, 0);
}

static int run_fsync(struct hx_req *r)
{
    return hx_req_when_durable(r, reply_done);
}

static void op_fsync(fuse_req_t fr, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync;
    (void)fi;
    struct hx_req r = hx_req_of(fr, ino, run_fsync);
    r.durable = reply_done; /* so that a fenced mount answers EROFS */
    hx_req_start(&r);
}

/* ---- the whole volume ---- */
void hx_usage(struct hx_mount *m, struct hx_vol_usage *ret)
{
    struct hx_fs_statfs s = {0};
    hx_vol_begin(m->vol);
    (void)hx_fs_statfs(m->fs, &s); /* its page is cached as long as anybody uses the mount */
    *ret = (struct hx_vol_usage){s.pages,       s.pages_free,  s.inodes,     m->requests,
                                 m->wire.counts, hx_wire_kinds, HX_WIRE_KINDS};
}

/*
 * Size and room for df: used is what is allocated; free is what the volume may still take, growth included,
 * that is what the servers' disks have room for.  While that is not known, what is free without growing.
 */
static int run_statfs(struct hx_req *r)
{
    struct hx_fs_statfs s;
    uint64_t room;
    int err = hx_fs_statfs(r->m->fs, &s);
    if (err)
        return err;
    uint64_t free_pages = hx_vol_room(r->m->vol, &room) == 0 ? room / HX_PAGE_SIZE : s.pages_free;
    struct statvfs st = {
        .f_bsize = HX_PAGE_SIZE,
        .f_frsize = HX_PAGE_SIZE,
        .f_blocks = s.pages - s.pages_free + free_pages,
        .f_bfree = free_pages,
        .f_bavail = free_pages,
        .f_files = s.inodes + free_pages,
        .f_ffree = free_pages,
        .f_favail = free_pages,
        .f_namemax = HX_FS_NAME_MAX,
    };
    fuse_reply_statfs(r->fr, &st);
    return 0;
}

static void op_statfs(fuse_req_t fr, fuse_ino_t ino)
{
    struct hx_req r = hx_req_of(fr, ino, run_statfs);
    hx_req_start(&r);
}

/* ---- space and holes ---- */
/* What it would take is more than there is: as a local disk says before it begins. */
static int room_for(struct hx_req *r)
{
    struct hx_fs_attr a;
    uint64_t room;
    bool beyond = r->off > HX_FS_FILE_MAX || r->len > HX_FS_FILE_MAX - r->off; /* EFBIG, whatever room there is */
    if (r->mask & HX_FS_FALLOC_PUNCH || beyond || r->done || hx_vol_room(r->m->vol, &room))
        return 0;
    int err = hx_fs_getattr(r->m->fs, r->ino, &a);
    return err == 0 && r->len > room + a.blocks * 512 ? HX_E_NOSPACE : err;
}

static int run_fallocate(struct hx_req *r)
{
    int err = room_for(r);
    if (err)
        return err;
    if (r->mask & HX_FS_FALLOC_KILL)
        r->who.stranger = hx_req_stranger(r);
    do
        err = hx_fs_fallocate(r->m->fs, &r->who, r->ino, r->mask, r->off, r->len, &r->done);
    while (err == HX_E_AGAIN);
    if (err == 0)
        fuse_reply_err(r->fr, 0);
    return err;
}

static void op_fallocate(fuse_req_t fr, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
    (void)fi;
    struct hx_req r = hx_req_of(fr, ino, run_fallocate);
    if (mode & FALLOC_FL_KEEP_SIZE)
        r.mask |= HX_FS_FALLOC_KEEP_SIZE;
    if (mode & FALLOC_FL_PUNCH_HOLE)
        r.mask |= HX_FS_FALLOC_PUNCH;
    if (mode & FALLOC_FL_ZERO_RANGE)
        r.mask |= HX_FS_FALLOC_ZERO;
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
        fuse_reply_err(fr, EOPNOTSUPP);
        return;
    }
    if (r.who.uid != 0) /* the kernel does not say whether the caller may keep set-id bits */
        r.mask |= HX_FS_FALLOC_KILL;
    r.off = (uint64_t)off;
    r.len = (uint64_t)len;
    r.op.changes = true;
    hx_req_start(&r);
}

/* Pages that a program has changed through a shared mapping come here only when the kernel writes them back:
 * until then a hole may have data that nobody but the kernel knows.  It has read that hole before.  So it is told to
 * forget the file's pages, which makes it write these first; a kernel that does not wait for them is told that all of
 * the file is data. */
static bool may_be_mapped(const struct hx_mount *m, uint64_t ino)
{
    if (!hx_fs_hole_seen(m->fs, ino))
        return false;
    for (const struct hx_file *f = m->files; f; f = f->next)
        if (f->ino == ino && f->mappable)
            return true;
    return false;
}

#define SEEK_ALL_DATA 1u /* mask of the request */
/* The whole file as data: always a right answer. */
static int seek_all_data(struct hx_req *r, uint64_t *ret_at)
{
    struct hx_fs_attr a;
    int err = hx_fs_getattr(r->m->fs, r->ino, &a);
    if (err == 0 && r->off >= a.size)
        err = HX_E_EOF;
    if (err == 0)
        *ret_at = r->flags == SEEK_DATA ? r->off : a.size;
    return err;
}

static int run_lseek(struct hx_req *r)
{
    uint64_t at;
    int err = r->mask == SEEK_ALL_DATA ? seek_all_data(r, &at)
                                       : hx_fs_seek(r->m->fs, r->ino, r->off, r->flags == SEEK_DATA, &at);
    if (err == 0)
        fuse_reply_lseek(r->fr, (off_t)at);
    return err;
}

static void flushed(void *ctx)
{
    hx_req_resume(ctx);
}

static void op_lseek(fuse_req_t fr, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
    (void)fi;
    if (hx_virt_is(ino) || (whence != SEEK_DATA && whence != SEEK_HOLE)) {
        fuse_reply_err(fr, EINVAL);
        return;
    }
    struct hx_req r = hx_req_of(fr, ino, run_lseek);
    r.off = (uint64_t)off;
    r.flags = whence;
    bool mapped = may_be_mapped(r.m, ino);
    struct hx_req *k = mapped && r.m->flushes ? hx_req_hold(&r) : NULL;
    if (k && hx_note_drop(r.m->note, ino, 0, 0, flushed, k) == 0)
        return;
    r.mask = mapped ? SEEK_ALL_DATA : 0;
    if (k) {
        k->mask = r.mask;
        hx_req_resume(k);
    } else {
        hx_req_start(&r);
    }
}

void hx_ops_inode(struct fuse_lowlevel_ops *ops)
{
    ops->getattr = op_getattr;
    ops->setattr = op_setattr;
    ops->open = op_open;
    ops->release = op_release;
    ops->flush = op_flush;
    ops->forget = op_forget;
    ops->forget_multi = op_forget_multi;
    ops->fsync = op_fsync;
    ops->fsyncdir = op_fsync;
    ops->statfs = op_statfs;
    ops->fallocate = op_fallocate;
    ops->lseek = op_lseek;
}
