/*
 * inode.c - inode items: one file, directory or other thing, without its name and its data.
 *
 * Value of (ino, INODE, 0), 80 bytes:
 *    0 u32 mode   4 u32 nlink   8 u32 uid  12 u32 gid  16 u64 size  24 u64 pages
 *   32 i64 mtime s  40 i64 ctime s  48 u32 mtime ns  52 u32 ctime ns
 *   56 i64 atime s  64 u32 atime ns  68 u32 flags  72 u64 aux (device number, or a directory's parent)
 * What a write changes (size, pages, mtime, ctime) is one run of bytes, so that it travels as one patch.
 *
 * Numbers are never used twice (a 64-bit counter), so the generation is always 1.  Allocates nothing.
 */
#include "fs_private.h"

#include <sys/stat.h>

void hx_inode_encode(const struct hx_inode *in, uint8_t out[HX_INODE_SIZE])
{
    hx_put_u32(out, in->mode);
    hx_put_u32(out + 4, in->nlink);
    hx_put_u32(out + 8, in->uid);
    hx_put_u32(out + 12, in->gid);
    hx_put_u64(out + 16, in->size);
    hx_put_u64(out + 24, in->pages);
    hx_put_u64(out + 32, (uint64_t)in->mtime.s);
    hx_put_u64(out + 40, (uint64_t)in->ctime.s);
    hx_put_u32(out + 48, in->mtime.ns);
    hx_put_u32(out + 52, in->ctime.ns);
    hx_put_u64(out + 56, (uint64_t)in->atime.s);
    hx_put_u32(out + 64, in->atime.ns);
    hx_put_u32(out + 68, in->flags);
    hx_put_u64(out + 72, in->aux);
}

int hx_inode_decode(const struct hx_item *it, struct hx_inode *ret)
{
    const uint8_t *v = it->val;
    if (it->len != HX_INODE_SIZE)
        return HX_E_CORRUPT;
    *ret = (struct hx_inode){
        .ino = it->key.ino,
        .mode = hx_get_u32(v),
        .nlink = hx_get_u32(v + 4),
        .uid = hx_get_u32(v + 8),
        .gid = hx_get_u32(v + 12),
        .size = hx_get_u64(v + 16),
        .pages = hx_get_u64(v + 24),
        .mtime = {(int64_t)hx_get_u64(v + 32), hx_get_u32(v + 48)},
        .ctime = {(int64_t)hx_get_u64(v + 40), hx_get_u32(v + 52)},
        .atime = {(int64_t)hx_get_u64(v + 56), hx_get_u32(v + 64)},
        .flags = hx_get_u32(v + 68),
        .aux = hx_get_u64(v + 72),
    };
    return 0;
}

int hx_inode_get(struct hx_fs *fs, uint64_t ino, struct hx_inode *ret)
{
    struct hx_item it;
    int rc = hx_btree_find(&fs->tree, HX_KEY(ino, HX_T_INODE, 0), &it);
    if (rc == HX_E_NOENT)
        return HX_E_STALE;
    return rc ? rc : hx_inode_decode(&it, ret);
}

int hx_inode_get_dir(struct hx_fs *fs, uint64_t ino, struct hx_inode *ret)
{
    int rc = hx_inode_get(fs, ino, ret);
    if (rc)
        return rc;
    if (!S_ISDIR(ret->mode))
        return HX_E_NOTDIR;
    return ret->nlink == 0 ? HX_E_NOENT : 0;
}

int hx_inode_get_file(struct hx_fs *fs, uint64_t ino, struct hx_inode *ret)
{
    int rc = hx_inode_get(fs, ino, ret);
    if (rc)
        return rc;
    if (S_ISDIR(ret->mode))
        return HX_E_ISDIR;
    return S_ISREG(ret->mode) ? 0 : HX_E_INVAL;
}

int hx_inode_put(struct hx_fs *fs, const struct hx_inode *in)
{
    uint8_t *val;
    size_t len;
    int rc = hx_btree_edit(&fs->tree, HX_KEY(in->ino, HX_T_INODE, 0), &val, &len);
    if (rc)
        return rc == HX_E_NOENT ? HX_E_CORRUPT : rc;
    if (len != HX_INODE_SIZE)
        return HX_E_CORRUPT;
    hx_inode_encode(in, val);
    return 0;
}

int hx_inode_add(struct hx_fs *fs, struct hx_inode *in)
{
    uint8_t val[HX_INODE_SIZE];
    uint64_t next;
    int rc = hx_super_add(fs->p, HX_SUPER_NEXT_INO, 1, &next);
    if (rc == 0)
        rc = hx_super_add(fs->p, HX_SUPER_INODES, 1, NULL);
    if (rc)
        return rc;
    in->ino = next - 1;
    hx_inode_encode(in, val);
    return hx_btree_insert(&fs->tree, HX_KEY(in->ino, HX_T_INODE, 0), val, sizeof val);
}

int hx_inode_drop(struct hx_fs *fs, uint64_t ino)
{
    int rc = hx_super_add(fs->p, HX_SUPER_INODES, -1, NULL);
    return rc ? rc : hx_btree_delete(&fs->tree, HX_KEY(ino, HX_T_INODE, 0));
}

void hx_inode_attr(const struct hx_inode *in, struct hx_fs_attr *ret)
{
    bool device = S_ISCHR(in->mode) || S_ISBLK(in->mode);
    *ret = (struct hx_fs_attr){
        .ino = in->ino,
        .generation = 1,
        .size = in->size,
        .blocks = in->pages * (HX_PAGE_SIZE / 512),
        .mode = in->mode,
        .nlink = in->nlink,
        .uid = in->uid,
        .gid = in->gid,
        .rdev = device ? in->aux : 0,
        .atime = in->atime,
        .mtime = in->mtime,
        .ctime = in->ctime,
    };
}
