/*
 * ops_data.c - reading and writing.
 *
 * A read is answered with a vector that points into the page cache; a write goes from libfuse's buffer into
 * cached pages: no other copy, unless the write must wait.  O_SYNC and O_DSYNC writes are answered when they
 * are durable.
 *
 * A write that fails leaves no trace in the volume (one mini-transaction), nor in the kernel's cache: of a write
 * through the cache the kernel drops the pages itself; of a page that it wrote back (mmap) we tell it to (notify.c).
 *
 * A write with O_DIRECT goes past the kernel's cache. The kernel drops the pages before it, and after it only when the
 * writer waits; with asynchronous calls a page that somebody read meanwhile would stay as it was. So its answer waits
 * until they are dropped, where there may be any: where bytes of the file were read or written through the cache since
 * the last such write.  (Reads of a mapping of a file that is open with O_DIRECT cannot be told from direct ones.)
 *
 * A reader that goes through a file in order is kept ahead of (hexad/ahead.h): the kernel's own read-ahead then
 * finds the pages in our cache.
 *
 * atime is kept as with relatime: when it is not newer than mtime or ctime, or a day old; a read never waits or fails
 * because of it.  Memory: none.
 */
#include "fuse_private.h"

#include <fcntl.h>

#define RELATIME_S (24 * 60 * 60)

/* ---- read ---- */
static bool not_after(struct hx_fs_time a, struct hx_fs_time b)
{
    return a.s < b.s || (a.s == b.s && a.ns <= b.ns);
}

void hx_touch_atime(struct hx_req *r)
{
    struct hx_fs_attr a;
    const struct hx_mount *m = r->m;
    if (m->opts->noatime || m->opts->read_only || hx_vol_gated(m->vol) || hx_vol_state(m->vol) != HX_VOL_OPEN)
        return;
    hx_vol_begin(r->m->vol);
    if (hx_fs_getattr(m->fs, r->ino, &a))
        return;
    if (m->opts->strictatime || not_after(a.atime, a.mtime) || not_after(a.atime, a.ctime) ||
        r->who.now.s - a.atime.s >= RELATIME_S)
        (void)hx_fs_touch_atime(m->fs, r->ino, r->who.now);
}

static int run_read(struct hx_req *r)
{
    struct iovec iov[HX_FUSE_IO_MAX / HX_PAGE_SIZE + 2];
    size_t count, len;
    int err = hx_fs_read(r->m->fs, r->ino, r->off, (size_t)r->len, iov, HX_ARRAY_LEN(iov), &count, &len);
    if (err)
        return err;
    if (!(r->flags & O_DIRECT))
        hx_fs_cached(r->m->fs, r->ino);
    fuse_reply_iov(r->fr, iov, (int)count);
    if (!(r->flags & O_NOATIME))
        hx_touch_atime(r);
    return 0;
}

/* ---- read-ahead: nobody is answered, so whatever goes wrong is left for the reader to find ---- */
static void prefetch_failed(struct hx_mount *m, int err)
{
    (void)m;
    (void)err;
}

static int run_prefetch(struct hx_req *r)
{
    uint64_t size;
    bool all;
    if (r->done)
        return 0; /* what was absent has come */
    int err = hx_fs_prefetch(r->m->fs, r->ino, r->off, r->len, &size, &all);
    r->done = all;
    if (r->file && (err == 0 || all))
        hx_ahead_end(&r->m->ahead, &r->file->ahead, size);
    r->file = NULL; /* may be closed by the time that this runs again */
    return err;
}

static void read_ahead(struct hx_mount *m, struct hx_file *f, uint64_t off, uint64_t len)
{
    uint64_t from, to;
    if (!f || !hx_ahead_read(&m->ahead, &f->ahead, off, len, &from, &to))
        return;
    struct hx_req r = {.op = {.calls = &hx_req_calls},
                       .m = m,
                       .run = run_prefetch,
                       .failed = prefetch_failed,
                       .ino = f->ino,
                       .off = from,
                       .len = to - from,
                       .file = f};
    hx_req_start(&r);
}

static void op_read(fuse_req_t fr, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    if (hx_virt_is(ino)) {
        hx_virt_read(fr, (const struct hx_file *)(uintptr_t)fi->fh, size, off);
        return;
    }
    struct hx_req r = hx_req_of(fr, ino, run_read);
    r.off = (uint64_t)off;
    r.len = size < HX_FUSE_IO_MAX ? size : HX_FUSE_IO_MAX;
    r.flags = fi->flags;
    struct hx_mount *m = r.m;
    hx_req_start(&r); /* first: what is wanted now is asked for before what may be wanted soon */
    read_ahead(m, (struct hx_file *)(uintptr_t)fi->fh, (uint64_t)off, size);
}

/* ---- write ---- */
static void reply_written(struct hx_req *r)
{
    fuse_reply_write(r->fr, (size_t)r->len);
}

static int answer_write(struct hx_req *r)
{
    if (r->flags & (O_SYNC | O_DSYNC)) {
        r->data_len = 0; /* only the answer waits: the bytes need not be kept */
        return hx_req_when_durable(r, reply_written);
    }
    reply_written(r);
    return 0;
}

static void dropped(void *ctx)
{
    hx_req_resume(ctx);
}

/* R was written with O_DIRECT: true when its answer waits until the kernel has dropped what it kept of these bytes.
 * What waits is another request, with an answer to give and nothing to change: R itself has run, and goes. */
static bool drop_first(const struct hx_req *r)
{
    if (!hx_fs_uncache(r->m->fs, r->ino))
        return false;
    struct hx_req a = {.op = {.calls = &hx_req_calls},
                       .m = r->m,
                       .fr = r->fr,
                       .run = answer_write,
                       .ino = r->ino,
                       .off = r->off,
                       .len = r->len,
                       .flags = r->flags};
    struct hx_req *k = hx_req_hold(&a);
    if (!k)
        return false;
    if (hx_note_drop(r->m->note, r->ino, r->off, r->len, dropped, k))
        hx_req_resume(k);
    return true;
}

static int run_write(struct hx_req *r)
{
    uint64_t at;
    r->who.stranger = r->kills && hx_req_stranger(r);
    int err = hx_fs_write(r->m->fs, &r->who, r->ino, r->off, r->data, r->data_len, false, r->kills, &at);
    if (err == 0)
        hx_vol_wrote(r->m->vol, r->len);
    if (err == 0 && !(r->flags & O_DIRECT))
        hx_fs_cached(r->m->fs, r->ino);
    else if (err == 0 && drop_first(r))
        return 0;
    return err ? err : answer_write(r);
}

static void op_write(fuse_req_t fr, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct hx_req r = hx_req_of(fr, ino, run_write);
    r.off = (uint64_t)off;
    r.data = buf;
    if (r.off < HX_FS_FILE_MAX && size > HX_FS_FILE_MAX - r.off)
        size = (size_t)(HX_FS_FILE_MAX - r.off); /* what fits is written */
    r.data_len = r.len = size;
    r.flags = fi->writepage ? 0 : fi->flags;
    r.write_back = fi->writepage;
    r.kills = r.m->wire.kills;
    r.op.changes = true;
    hx_req_start(&r);
}

void hx_ops_data(struct fuse_lowlevel_ops *ops)
{
    ops->read = op_read;
    ops->write = op_write;
}
