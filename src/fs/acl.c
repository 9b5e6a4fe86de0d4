/*
 * acl.c - POSIX access control lists: what their bytes mean for the permission bits, and the reverse.
 *
 * It does not decide who may do what: the kernel does, with these lists (default_permissions).  It does not store
 * anything (xattr.c), nor know inodes (attr.c, namei.c).
 *
 * Invariants: A-1 functions but hx_acl_ok are given only what hx_acl_ok accepted.  A-2 the group bits of a mode are
 * the mask, where there is one, else the group's entry.  Pure; allocates nothing.
 */
#include "acl.h"

#include <string.h>

enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };
#define VERSION 2u
#define NO_ID UINT32_MAX

static unsigned count_of(size_t len)
{
    return (unsigned)((len - HX_ACL_HEAD) / HX_ACL_ENTRY);
}

static unsigned tag_of(const uint8_t *acl, unsigned i)
{
    return hx_get_u16(acl + HX_ACL_HEAD + i * HX_ACL_ENTRY);
}

static uint32_t perm_of(const uint8_t *acl, unsigned i)
{
    return hx_get_u16(acl + HX_ACL_HEAD + i * HX_ACL_ENTRY + 2);
}

static void set_perm(uint8_t *acl, unsigned i, uint32_t perm)
{
    hx_put_u16(acl + HX_ACL_HEAD + i * HX_ACL_ENTRY + 2, (uint16_t)(perm & 7));
}

/* Which entry has TAG, which is there at most once; -1. */
static int find(const uint8_t *acl, size_t len, unsigned tag)
{
    for (unsigned i = 0; i < count_of(len); i++)
        if (tag_of(acl, i) == tag)
            return (int)i;
    return -1;
}

bool hx_acl_ok(const uint8_t *acl, size_t len)
{
    unsigned seen = 0;
    if (len < HX_ACL_HEAD + 3 * HX_ACL_ENTRY || len > HX_ACL_MAX || (len - HX_ACL_HEAD) % HX_ACL_ENTRY != 0 ||
        hx_get_u32(acl) != VERSION)
        return false;
    for (unsigned i = 0; i < count_of(len); i++) {
        unsigned tag = tag_of(acl, i);
        bool named = tag == USER || tag == GROUP;
        bool known = named || tag == USER_OBJ || tag == GROUP_OBJ || tag == MASK || tag == OTHER;
        if (!known || perm_of(acl, i) > 7 || (i > 0 && tag < tag_of(acl, i - 1)) || (!named && seen & tag))
            return false;
        if (named && hx_get_u32(acl + HX_ACL_HEAD + i * HX_ACL_ENTRY + 4) == NO_ID)
            return false;
        seen |= tag;
    }
    unsigned must = USER_OBJ | GROUP_OBJ | OTHER | (seen & (USER | GROUP) ? MASK : 0);
    return (seen & must) == must;
}

static unsigned group_tag(const uint8_t *acl, size_t len)
{
    return find(acl, len, MASK) >= 0 ? MASK : GROUP_OBJ; /* */
}

uint32_t hx_acl_mode(const uint8_t *acl, size_t len, uint32_t mode)
{
    uint32_t u = perm_of(acl, (unsigned)find(acl, len, USER_OBJ)), o = perm_of(acl, (unsigned)find(acl, len, OTHER));
    uint32_t g = perm_of(acl, (unsigned)find(acl, len, group_tag(acl, len)));
    return (mode & ~(uint32_t)0777) | u << 6 | g << 3 | o;
}

bool hx_acl_is_mode(const uint8_t *acl, size_t len)
{
    (void)acl;
    return count_of(len) == 3;
}

void hx_acl_chmod(uint8_t *acl, size_t len, uint32_t mode)
{
    set_perm(acl, (unsigned)find(acl, len, USER_OBJ), mode >> 6);
    set_perm(acl, (unsigned)find(acl, len, group_tag(acl, len)), mode >> 3);
    set_perm(acl, (unsigned)find(acl, len, OTHER), mode);
}

uint32_t hx_acl_inherit(uint8_t *acl, size_t len, uint32_t mode)
{
    mode &= hx_acl_mode(acl, len, 0) | ~(uint32_t)0777;
    hx_acl_chmod(acl, len, mode);
    return mode;
}
