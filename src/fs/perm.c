/*
 * perm.c - what changes permissions without being asked to: set-id bits and capabilities that a change of data or
 * owner takes away, and ACLs that are handed on and follow the mode.
 *
 * Who may do what is the kernel's work (default_permissions); so is the question whether a caller may keep set-id
 * bits.  Here is what follows, in the same mini-transaction as the change.  acl.c knows the bytes of an ACL.
 * Allocates nothing.
 */
#include "fs_private.h"

#include <sys/stat.h>

void hx_perm_kill_ids(struct hx_inode *in, const struct hx_fs_who *who)
{
    if (S_ISDIR(in->mode))
        return;
    in->mode &= ~(uint32_t)S_ISUID;
    if (in->mode & S_IXGRP || who->stranger) /* without x for the group the bit once meant mandatory locks */
        in->mode &= ~(uint32_t)S_ISGID;
}

int hx_perm_drop_caps(struct hx_fs *fs, struct hx_inode *in)
{
    return in->flags & HX_INODE_HAS_CAPS ? hx_xattr_drop(fs, in, HX_CAPS_NAME) : 0;
}

int hx_perm_inherit(struct hx_fs *fs, const struct hx_fs_who *who, const struct hx_inode *dir, struct hx_inode *in,
                    struct hx_perm_acls *ret)
{
    size_t len;
    ret->access_len = ret->default_len = 0;
    if (S_ISLNK(in->mode))
        return 0;
    if (!(dir->flags & HX_INODE_HAS_DEFAULT)) {
        in->mode &= ~(who->umask & 0777);
        return 0;
    }
    int rc = hx_xattr_get(fs, dir, HX_FS_ACL_DEFAULT, ret->def, sizeof ret->def, &len);
    if (rc || !hx_acl_ok(ret->def, len))
        return rc && rc != HX_E_NODATA && rc != HX_E_RANGE ? rc : HX_E_CORRUPT;
    memcpy(ret->access, ret->def, len);
    in->mode = hx_acl_inherit(ret->access, len, in->mode);
    ret->access_len = hx_acl_is_mode(ret->access, len) ? 0 : len;
    ret->default_len = S_ISDIR(in->mode) ? len : 0;
    return 0;
}

int hx_perm_put_acls(struct hx_fs *fs, struct hx_inode *in, const struct hx_perm_acls *acls)
{
    int rc = 0;
    if (acls->access_len == 0 && acls->default_len == 0)
        return 0;
    if (acls->access_len > 0)
        rc = hx_xattr_put(fs, in, HX_FS_ACL_ACCESS, acls->access, acls->access_len);
    if (rc == 0 && acls->default_len > 0)
        rc = hx_xattr_put(fs, in, HX_FS_ACL_DEFAULT, acls->def, acls->default_len);
    return rc ? rc : hx_inode_put(fs, in);
}

int hx_perm_chmod(struct hx_fs *fs, struct hx_inode *in)
{
    uint8_t acl[HX_ACL_MAX];
    size_t len;
    if (!(in->flags & HX_INODE_HAS_ACCESS))
        return 0;
    int rc = hx_xattr_get(fs, in, HX_FS_ACL_ACCESS, acl, sizeof acl, &len);
    if (rc || !hx_acl_ok(acl, len))
        return rc && rc != HX_E_NODATA && rc != HX_E_RANGE ? rc : HX_E_CORRUPT;
    hx_acl_chmod(acl, len, in->mode);
    return hx_xattr_put(fs, in, HX_FS_ACL_ACCESS, acl, len);
}
