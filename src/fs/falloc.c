/*
 * falloc.c - space in a file without bytes: allocating ahead, punching holes, zeroing, finding data and holes.
 *
 * Large ranges go in parts, each one mini-transaction: HX_E_AGAIN and *io_done say how far.  Allocated pages
 * are zeros already (extent.c, E3), so allocating edits no data page.  The size is set by the last part.
 */
#include "fs_private.h"

struct range {
    uint64_t off, end;
    bool keep_size;
};

static uint64_t page_up(uint64_t off)
{
    return (off + HX_PAGE_SIZE - 1) >> HX_PAGE_SHIFT;
}

/* Allocates holes from *io_at on, at most step_extents runs, up to page LAST. */
static int fill_some(struct hx_fs *fs, struct hx_inode *in, uint64_t *io_at, uint64_t last)
{
    unsigned runs = fs->step_extents, looks = 4 * fs->step_extents;
    while (*io_at < last && runs > 0 && looks-- > 0) {
        struct hx_extent e;
        uint64_t n;
        int rc = hx_extent_at(fs, in->ino, *io_at, &e);
        if (rc)
            return rc;
        n = e.count < last - *io_at ? e.count : last - *io_at;
        if (e.pp == 0)
            rc = hx_extent_fill(fs, in, *io_at, n, &runs, &n);
        if (rc)
            return rc;
        *io_at += n;
    }
    return 0;
}

static int allocate_part(struct hx_fs *fs, struct hx_inode *in, const struct range *r, uint64_t *io_at)
{
    uint64_t at = *io_at >> HX_PAGE_SHIFT, last = page_up(r->end);
    int rc = fill_some(fs, in, &at, last);
    if (rc)
        return rc;
    *io_at = at < last ? at << HX_PAGE_SHIFT : r->end;
    if (at == last && !r->keep_size && r->end > in->size)
        in->size = r->end;
    return hx_inode_put(fs, in);
}

/* Punches from *io_at on: one part-page, or as many whole pages as a step may free. */
static int punch_part(struct hx_fs *fs, struct hx_inode *in, const struct range *r, uint64_t *io_at)
{
    uint64_t at = *io_at, lp = at >> HX_PAGE_SHIFT, page_end = (lp + 1) << HX_PAGE_SHIFT;
    struct hx_extent e;
    if (at % HX_PAGE_SIZE != 0 || r->end < page_end) {
        *io_at = page_end < r->end ? page_end : r->end;
        int rc = hx_extent_wipe(fs, in->ino, at, *io_at);
        return rc ? rc : hx_inode_put(fs, in);
    }
    int rc = hx_extent_at(fs, in->ino, lp, &e);
    if (rc)
        return rc;
    uint64_t hi = r->end >> HX_PAGE_SHIFT;
    if (e.pp == 0) {
        if (e.lp + e.count < hi)
            hi = e.lp + e.count;
    } else {
        if (hi - lp > fs->step_pages)
            hi = lp + fs->step_pages;
        rc = hx_extent_clear(fs, in->ino, lp, hi, &in->pages);
    }
    *io_at = hi << HX_PAGE_SHIFT;
    return rc ? rc : hx_inode_put(fs, in);
}

/* Zeros of pages that are there, in place: they stay where they are; holes are filled. */
static int zero_run(struct hx_fs *fs, struct hx_inode *in, uint64_t lp, uint64_t count, uint64_t *ret_done)
{
    struct hx_extent e;
    unsigned runs = 1;
    int rc = hx_extent_at(fs, in->ino, lp, &e);
    if (rc)
        return rc;
    uint64_t n = e.count < count ? e.count : count;
    if (e.pp == 0)
        return hx_extent_fill(fs, in, lp, n, &runs, ret_done);
    if (n > fs->step_pages)
        n = fs->step_pages;
    for (uint64_t i = 0; rc == 0 && i < n; i++) {
        uint8_t *page;
        rc = hx_pager_edit(fs->p, HX_PAGE(e.pp + i), HX_EDIT_WHOLE, &page);
        if (rc == 0)
            memset(page, 0, HX_PAGE_SIZE);
    }
    *ret_done = n;
    return rc == HX_E_INVAL ? HX_E_CORRUPT : rc;
}

/* As punch_part, but the pages are there afterwards. */
static int zero_part(struct hx_fs *fs, struct hx_inode *in, const struct range *r, uint64_t *io_at)
{
    uint64_t at = *io_at, lp = at >> HX_PAGE_SHIFT, page_end = (lp + 1) << HX_PAGE_SHIFT, done = 1;
    int rc;
    if (at % HX_PAGE_SIZE != 0 || r->end < page_end) {
        unsigned runs = 1;
        struct hx_extent e;
        *io_at = page_end < r->end ? page_end : r->end;
        rc = hx_extent_at(fs, in->ino, lp, &e);
        if (rc == 0)
            rc = e.pp == 0 ? hx_extent_fill(fs, in, lp, 1, &runs, &done) : hx_extent_wipe(fs, in->ino, at, *io_at);
    } else {
        rc = zero_run(fs, in, lp, (r->end >> HX_PAGE_SHIFT) - lp, &done);
        *io_at = (lp + done) << HX_PAGE_SHIFT;
    }
    if (rc)
        return rc;
    if (*io_at == r->end && !r->keep_size && r->end > in->size)
        in->size = r->end;
    return hx_inode_put(fs, in);
}

static int do_part(struct hx_fs *fs, struct hx_inode *in, unsigned mode, const struct range *r, uint64_t *io_at)
{
    int rc = hx_perm_drop_caps(fs, in);
    if (rc)
        return rc;
    if (mode & HX_FS_FALLOC_PUNCH)
        return punch_part(fs, in, r, io_at);
    return mode & HX_FS_FALLOC_ZERO ? zero_part(fs, in, r, io_at) : allocate_part(fs, in, r, io_at);
}

static int check(struct hx_fs *fs, uint64_t ino, unsigned mode, uint64_t off, uint64_t len, struct hx_inode *ret)
{
    if (mode & ~(HX_FS_FALLOC_KEEP_SIZE | HX_FS_FALLOC_PUNCH | HX_FS_FALLOC_ZERO | HX_FS_FALLOC_KILL) ||
        (mode & HX_FS_FALLOC_PUNCH && mode & HX_FS_FALLOC_ZERO))
        return HX_E_NOTSUP;
    if (len == 0 || (mode & HX_FS_FALLOC_PUNCH && !(mode & HX_FS_FALLOC_KEEP_SIZE)))
        return HX_E_INVAL;
    int rc = hx_op_ready(fs);
    if (rc == 0)
        rc = hx_inode_get_file(fs, ino, ret);
    if (rc)
        return rc;
    return off > HX_FS_FILE_MAX || len > HX_FS_FILE_MAX - off ? HX_E_FBIG : 0;
}

int hx_fs_fallocate(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t ino, unsigned mode, uint64_t off,
                    uint64_t len, uint64_t *io_done)
{
    struct hx_inode in;
    int rc = check(fs, ino, mode, off, len, &in);
    if (rc || *io_done >= len)
        return rc;
    bool punch = mode & HX_FS_FALLOC_PUNCH;
    struct range r = {off, off + len, mode & HX_FS_FALLOC_KEEP_SIZE};
    uint64_t at = off + *io_done;
    if (!punch)
        rc = hx_reap_finish_tail(fs, &in);
    if (rc == 0)
        rc = hx_op_begin(fs, punch ? HX_OP_FREEING : HX_OP_ORDINARY);
    if (rc)
        return rc;
    in.mtime = in.ctime = who->now;
    if (mode & HX_FS_FALLOC_KILL)
        hx_perm_kill_ids(&in, who);
    rc = hx_op_end(fs, do_part(fs, &in, mode, &r, &at));
    if (rc)
        return rc;
    *io_done = at - off;
    return at < r.end ? HX_E_AGAIN : 0;
}

bool hx_fs_hole_seen(const struct hx_fs *fs, uint64_t ino)
{
    const struct hx_ref *r = hx_refs_find(&fs->refs, ino);
    return r && r->hole_seen;
}

int hx_fs_seek(struct hx_fs *fs, uint64_t ino, uint64_t off, bool data, uint64_t *ret_off)
{
    struct hx_inode in;
    int rc = hx_op_ready(fs);
    if (rc == 0)
        rc = hx_inode_get_file(fs, ino, &in);
    if (rc)
        return rc;
    while (off < in.size) {
        struct hx_extent e;
        rc = hx_extent_at(fs, ino, off >> HX_PAGE_SHIFT, &e);
        if (rc)
            return rc;
        if ((e.pp != 0) == data) {
            *ret_off = off;
            return 0;
        }
        off = (e.lp + e.count) << HX_PAGE_SHIFT;
        if (off >= in.size && !data) {
            *ret_off = in.size; /* the end of a file counts as a hole */
            return 0;
        }
    }
    return HX_E_EOF;
}
