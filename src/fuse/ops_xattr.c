/*
 * ops_xattr.c - requests about extended attributes, POSIX ACLs among them.
 *
 * Who may read or write which is the kernel's decision, but that trusted.* is listed to root only, which is ours.
 * Files below .hexad have none.  Memory: none.
 */
#include "fuse_private.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

_Static_assert(HX_FS_XATTR_CREATE == XATTR_CREATE && HX_FS_XATTR_REPLACE == XATTR_REPLACE, "passed on as they are");

static int reply(struct hx_req *r, const void *buf, size_t len)
{
    if (r->len == 0)
        fuse_reply_xattr(r->fr, len);
    else
        fuse_reply_buf(r->fr, buf, len);
    return 0;
}

static size_t cap_of(const struct hx_req *r)
{
    return r->len < HX_FS_XATTR_VALUE_MAX ? (size_t)r->len : HX_FS_XATTR_VALUE_MAX;
}

static int run_getxattr(struct hx_req *r)
{
    char buf[HX_FS_XATTR_VALUE_MAX];
    size_t len;
    int err = hx_fs_getxattr(r->m->fs, r->ino, r->name, buf, cap_of(r), &len);
    return err ? err : reply(r, buf, len);
}

static void op_getxattr(fuse_req_t fr, fuse_ino_t ino, const char *name, size_t size)
{
    if (hx_virt_is(ino)) {
        fuse_reply_err(fr, ENODATA);
        return;
    }
    struct hx_req r = hx_req_of(fr, ino, run_getxattr);
    r.name = name;
    r.len = size;
    hx_req_start(&r);
}

static int run_listxattr(struct hx_req *r)
{
    char buf[HX_FS_XATTR_LIST_MAX];
    size_t len;
    int err = hx_fs_listxattr(r->m->fs, r->ino, r->who.uid == 0, buf, cap_of(r), &len);
    return err ? err : reply(r, buf, len);
}

static void op_listxattr(fuse_req_t fr, fuse_ino_t ino, size_t size)
{
    struct hx_req r = hx_req_of(fr, ino, run_listxattr);
    r.len = size;
    if (hx_virt_is(ino))
        reply(&r, "", 0);
    else
        hx_req_start(&r);
}

static int run_setxattr(struct hx_req *r)
{
    if (strcmp(r->name, HX_FS_ACL_ACCESS) == 0)
        r->who.stranger = hx_req_stranger(r);
    int err = hx_fs_setxattr(r->m->fs, &r->who, r->ino, r->name, r->data, r->data_len, (unsigned)r->flags);
    if (err == 0)
        fuse_reply_err(r->fr, 0);
    return err;
}

static void op_setxattr(fuse_req_t fr, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
    if (hx_virt_is(ino)) {
        fuse_reply_err(fr, EPERM);
        return;
    }
    struct hx_req r = hx_req_of(fr, ino, run_setxattr);
    r.name = name;
    r.data = value;
    r.data_len = size;
    r.flags = flags;
    r.op.changes = true;
    hx_req_start(&r);
}

static int run_removexattr(struct hx_req *r)
{
    int err = hx_fs_removexattr(r->m->fs, &r->who, r->ino, r->name);
    if (err == 0)
        fuse_reply_err(r->fr, 0);
    return err;
}

static void op_removexattr(fuse_req_t fr, fuse_ino_t ino, const char *name)
{
    if (hx_virt_is(ino)) {
        fuse_reply_err(fr, EPERM);
        return;
    }
    struct hx_req r = hx_req_of(fr, ino, run_removexattr);
    r.name = name;
    r.op.changes = true;
    hx_req_start(&r);
}

void hx_ops_xattr(struct fuse_lowlevel_ops *ops)
{
    ops->getxattr = op_getxattr;
    ops->listxattr = op_listxattr;
    ops->setxattr = op_setxattr;
    ops->removexattr = op_removexattr;
}
