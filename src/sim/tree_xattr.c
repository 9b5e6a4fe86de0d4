/*
 * tree_xattr.c - the model's extended attributes: their names, bytes and rules, and what ACLs do to modes.
 *
 * A value is a tag, as the bytes of a file are (span.h).  The tag of an ACL is what it allows, three bits for each
 * entry, so that the model computes with permissions and never reads the bytes that the filesystem keeps.
 */
#include "tree_private.h"

#include "hexad/codec.h"
#include "hexad/err.h"

#include <string.h>
#include <sys/stat.h>

/* The parts of an ACL's tag. */
enum { OWNER = 0, GROUP = 3, OTHER = 6, MASK = 9, USER_1 = 12, GROUP_1 = 15, HAS_MASK = 18, HAS_USER_1, HAS_GROUP_1 };
#define HEAD 4u
#define ENTRY 8u

const char *hx_tree_xattr_name(uint32_t name)
{
    static char longest[HX_FS_NAME_MAX + 1], longer[HX_FS_NAME_MAX + 2];
    static const char *const names[HX_XATTR_ALL] = {
        "user.one", longest, "trusted.two", "security.capability", HX_FS_ACL_ACCESS, HX_FS_ACL_DEFAULT,
        "user.", longer, "system.other", "plain",
    };
    if (!longest[0]) {
        memset(longest, 'l', sizeof longest - 1);
        memset(longer, 'm', sizeof longer - 1);
        memcpy(longest, "user.", 5);
        memcpy(longer, "user.", 5);
    }
    return name < HX_XATTR_ALL ? names[name] : NULL;
}

bool hx_tree_xattr_is_acl(uint32_t name)
{
    return name == HX_XATTR_ACCESS || name == HX_XATTR_DEFAULT;
}

/* ---- ACLs ---- */
static uint64_t perm(uint64_t acl, unsigned at)
{
    return acl >> at & 7;
}

static uint64_t with_perm(uint64_t acl, unsigned at, uint64_t to)
{
    return (acl & ~(UINT64_C(7) << at)) | (to & 7) << at;
}

static bool has(uint64_t acl, unsigned bit)
{
    return acl >> bit & 1;
}

static unsigned entries(uint64_t acl)
{
    return 3u + has(acl, HAS_MASK) + has(acl, HAS_USER_1) + has(acl, HAS_GROUP_1);
}

size_t hx_tree_acl_len(uint64_t acl)
{
    return HEAD + (size_t)entries(acl) * ENTRY;
}

uint64_t hx_tree_acl_draw(uint64_t x)
{
    uint64_t acl = x & ((UINT64_C(1) << HAS_MASK) - 1);
    if (x >> 32 & 7)
        acl |= (x >> 40 & 3) << HAS_USER_1 | UINT64_C(1) << HAS_MASK; /* named entries need a mask */
    return acl;
}

static uint8_t *put_entry(uint8_t *at, unsigned tag, uint64_t perms, uint32_t id)
{
    hx_put_u16(at, (uint16_t)tag);
    hx_put_u16(at + 2, (uint16_t)perms);
    hx_put_u32(at + 4, id);
    return at + ENTRY;
}

static void fill_acl(uint64_t acl, uint8_t *buf, size_t len)
{
    uint8_t all[HEAD + 6 * ENTRY] = {0}, *at = all + HEAD;
    hx_put_u32(all, 2);
    at = put_entry(at, 1, perm(acl, OWNER), UINT32_MAX);
    if (has(acl, HAS_USER_1))
        at = put_entry(at, 2, perm(acl, USER_1), 7);
    at = put_entry(at, 4, perm(acl, GROUP), UINT32_MAX);
    if (has(acl, HAS_GROUP_1))
        at = put_entry(at, 8, perm(acl, GROUP_1), 8);
    if (has(acl, HAS_MASK))
        at = put_entry(at, 16, perm(acl, MASK), UINT32_MAX);
    put_entry(at, 32, perm(acl, OTHER), UINT32_MAX);
    memset(buf, 0, len);
    memcpy(buf, all, len < sizeof all ? len : sizeof all);
}

void hx_tree_xattr_fill(uint32_t name, uint64_t tag, uint8_t *buf, size_t len)
{
    if (hx_tree_xattr_is_acl(name))
        fill_acl(tag, buf, len);
    else
        hx_pattern_fill(tag, 0, buf, len);
}

static unsigned group_part(uint64_t acl)
{
    return has(acl, HAS_MASK) ? MASK : GROUP;
}

static uint32_t acl_mode(uint64_t acl)
{
    return (uint32_t)(perm(acl, OWNER) << 6 | perm(acl, group_part(acl)) << 3 | perm(acl, OTHER));
}

static uint64_t acl_chmod(uint64_t acl, uint32_t mode)
{
    acl = with_perm(acl, OWNER, mode >> 6);
    acl = with_perm(acl, group_part(acl), mode >> 3);
    return with_perm(acl, OTHER, mode);
}

/* ---- rules ---- */
static int check_name(uint32_t name)
{
    static const int refusals[] = {HX_E_INVAL, HX_E_RANGE, HX_E_NOTSUP, HX_E_NOTSUP};
    return name < HX_XATTR_NAMES ? 0 : refusals[(name - HX_XATTR_NAMES) % HX_ARRAY_LEN(refusals)];
}

static int check_acl(const struct hx_tree_inode *n, const struct hx_act *a)
{
    if (S_ISLNK(n->a.mode))
        return HX_E_NOTSUP;
    if (a->name == HX_XATTR_DEFAULT && !S_ISDIR(n->a.mode))
        return HX_E_ACCES;
    return a->len == hx_tree_acl_len(a->tag) ? 0 : HX_E_INVAL;
}

int hx_tree_xattr_predict(const struct hx_tree *t, const struct hx_act *a)
{
    const struct hx_tree_inode *n = hx_tree_node(t, a->ino);
    int rc = a->kind == HX_ACT_XLIST ? 0 : check_name(a->name);
    if (rc || !n)
        return rc ? rc : HX_E_STALE;
    if (a->kind == HX_ACT_XLIST)
        return 0;
    bool there = n->attrs[a->name].len1 > 0;
    if (a->kind != HX_ACT_XSET)
        return there || (a->kind == HX_ACT_XDROP && hx_tree_xattr_is_acl(a->name)) ? 0 : HX_E_NODATA;
    if (a->len > HX_FS_XATTR_VALUE_MAX || a->mask & ~(HX_FS_XATTR_CREATE | HX_FS_XATTR_REPLACE))
        return HX_E_INVAL;
    rc = hx_tree_xattr_is_acl(a->name) ? check_acl(n, a) : 0;
    if (rc)
        return rc;
    if (there)
        return a->mask & HX_FS_XATTR_CREATE ? HX_E_EXIST : 0;
    return a->mask & HX_FS_XATTR_REPLACE ? HX_E_NODATA : 0;
}

static void put(struct hx_tree *t, struct hx_tree_inode *n, uint32_t name, uint64_t tag, size_t len1)
{
    t->attr_bytes += len1;
    t->attr_bytes -= n->attrs[name].len1;
    n->attrs[name] = (struct hx_xattr_value){tag, (uint32_t)len1};
}

void hx_tree_drop_xattrs(struct hx_tree *t, struct hx_tree_inode *n)
{
    for (uint32_t i = 0; i < HX_XATTR_NAMES; i++)
        put(t, n, i, 0, 0);
}

void hx_tree_drop_caps(struct hx_tree *t, struct hx_tree_inode *n)
{
    put(t, n, HX_XATTR_CAPS, 0, 0);
}

static void put_access(struct hx_tree *t, struct hx_tree_inode *n, uint64_t acl)
{
    bool kept = entries(acl) > 3; /* else the mode says it all */
    put(t, n, HX_XATTR_ACCESS, acl, kept ? hx_tree_acl_len(acl) + 1 : 0);
}

void hx_tree_xattr_apply(struct hx_tree *t, struct hx_tree_inode *n, const struct hx_act *a)
{
    if (a->kind == HX_ACT_XDROP) {
        if (n->attrs[a->name].len1 == 0)
            return;
        put(t, n, a->name, 0, 0);
    } else if (a->name == HX_XATTR_ACCESS) {
        n->a.mode &= ~(uint32_t)(a->who.stranger ? S_ISGID : 0);
        n->a.mode = (n->a.mode & ~(uint32_t)0777) | acl_mode(a->tag);
        put_access(t, n, a->tag);
    } else {
        put(t, n, a->name, a->tag, (size_t)a->len + 1);
    }
    n->a.ctime = a->who.now;
}

void hx_tree_acl_follow(struct hx_tree *t, struct hx_tree_inode *n)
{
    const struct hx_xattr_value *v = &n->attrs[HX_XATTR_ACCESS];
    if (v->len1 > 0)
        put_access(t, n, acl_chmod(v->tag, n->a.mode));
}

void hx_tree_acl_inherit(struct hx_tree *t, const struct hx_tree_inode *dir, struct hx_tree_inode *n, uint32_t umask)
{
    const struct hx_xattr_value v = dir->attrs[HX_XATTR_DEFAULT];
    if (S_ISLNK(n->a.mode))
        return;
    n->a.mode &= ~(v.len1 ? 0777 & ~acl_mode(v.tag) : umask & 0777);
    if (v.len1 == 0)
        return;
    put_access(t, n, acl_chmod(v.tag, n->a.mode));
    if (S_ISDIR(n->a.mode))
        put(t, n, HX_XATTR_DEFAULT, v.tag, v.len1);
}
