/*
 * attr.c - attributes of an inode: reading them, setting them, and setting the size.
 *
 * A smaller size wipes the rest of the last page and cuts off the pages behind it (reap.c), so that a later
 * larger size shows zeros (extent.c, E3).  A larger size allocates nothing.
 */
#include "fs_private.h"

#include "hexad/mutant.h"

#include <sys/stat.h>

int hx_fs_getattr(struct hx_fs *fs, uint64_t ino, struct hx_fs_attr *ret)
{
    struct hx_inode in;
    int rc = hx_op_ready(fs);
    if (rc == 0)
        rc = hx_inode_get(fs, ino, &in);
    if (rc == 0)
        hx_inode_attr(&in, ret);
    return rc;
}

/* Inside a mini-transaction. */
static int set_size(struct hx_fs *fs, struct hx_inode *in, uint64_t size)
{
    int rc = 0;
    if (size < in->size) {
        uint64_t page_end = (size + HX_PAGE_SIZE - 1) / HX_PAGE_SIZE * HX_PAGE_SIZE;
        if (!HX_MUTANT(TRUNCATE_NO_WIPE))
            rc = hx_extent_wipe(fs, in->ino, size, page_end);
        if (rc == 0)
            rc = hx_reap_cut(fs, in, page_end >> HX_PAGE_SHIFT);
    }
    in->size = size;
    return rc;
}

static int check_size(struct hx_fs *fs, struct hx_inode *in, uint64_t size)
{
    if (S_ISDIR(in->mode))
        return HX_E_ISDIR;
    if (!S_ISREG(in->mode))
        return HX_E_INVAL;
    if (size > HX_FS_FILE_MAX)
        return HX_E_FBIG;
    return size > in->size ? hx_reap_finish_tail(fs, in) : 0;
}

static void apply(struct hx_inode *in, const struct hx_fs_who *who, const struct hx_fs_attr *from, unsigned mask)
{
    if (mask & HX_FS_SET_KILL)
        hx_perm_kill_ids(in, who);
    if (mask & HX_FS_SET_MODE)
        in->mode = (in->mode & S_IFMT) | (from->mode & 07777);
    if (mask & HX_FS_SET_UID)
        in->uid = from->uid;
    if (mask & HX_FS_SET_GID)
        in->gid = from->gid;
    if (mask & HX_FS_SET_SIZE)
        in->mtime = who->now; /* also when the size stays: as ftruncate does */
    if (mask & HX_FS_SET_ATIME)
        in->atime = from->atime;
    if (mask & HX_FS_SET_MTIME)
        in->mtime = from->mtime;
    in->ctime = mask & HX_FS_SET_CTIME ? from->ctime : who->now;
}

int hx_fs_setattr(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t ino, const struct hx_fs_attr *in,
                  unsigned mask, struct hx_fs_attr *ret)
{
    struct hx_inode node;
    int rc = hx_op_ready(fs);
    if (rc == 0)
        rc = hx_inode_get(fs, ino, &node);
    if (rc == 0 && mask & HX_FS_SET_SIZE)
        rc = check_size(fs, &node, in->size);
    if (rc == 0)
        rc = hx_op_begin(fs, HX_OP_FREEING);
    if (rc)
        return rc;
    apply(&node, who, in, mask);
    if (mask & HX_FS_SET_MODE)
        rc = hx_perm_chmod(fs, &node);
    if (rc == 0 && mask & (HX_FS_SET_UID | HX_FS_SET_GID | HX_FS_SET_SIZE) && !S_ISDIR(node.mode))
        rc = hx_perm_drop_caps(fs, &node);
    if (rc == 0 && mask & HX_FS_SET_SIZE)
        rc = set_size(fs, &node, in->size);
    if (rc == 0)
        rc = hx_inode_put(fs, &node);
    rc = hx_op_end(fs, rc);
    if (rc == 0)
        hx_inode_attr(&node, ret);
    return rc;
}

int hx_fs_touch_atime(struct hx_fs *fs, uint64_t ino, struct hx_fs_time now)
{
    struct hx_inode in;
    int rc = hx_op_ready(fs);
    if (rc == 0)
        rc = hx_inode_get(fs, ino, &in);
    if (rc == 0)
        rc = hx_op_begin(fs, HX_OP_ORDINARY);
    if (rc)
        return rc;
    in.atime = now;
    return hx_op_end(fs, hx_inode_put(fs, &in));
}
