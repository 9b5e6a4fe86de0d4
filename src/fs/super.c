/*
 * super.c - page 0: what says that this volume holds a filesystem, of which version, and its counters.
 *
 *    0  "HEXADFS" and a NUL   8 u32 version   12 u32 pages in an allocation group   16 u64 root of the tree
 *   24  u64 seed of the name hash   32 u64 next inode number   40 u64 pages used   48 u64 inodes
 *   56  u64 group of the last data allocation   64 i64, 72 u32 time of format
 *
 * The counters are read from the page each time: nothing is remembered that an abort would have to undo.
 * What never changes (magic to seed) is checked once by hx_op_ready (op.c).  Pure; allocates nothing.
 */
#include "super.h"

#include "alloc.h"

static const char magic[8] = "HEXADFS";

void hx_super_init(uint8_t *page, uint64_t seed, const struct hx_fs_time *now)
{
    memcpy(page, magic, sizeof magic);
    hx_put_u32(page + 8, HX_SUPER_VERSION_MIN);
    hx_put_u32(page + 12, HX_ALLOC_GROUP_PAGES);
    hx_put_u64(page + 16, HX_SUPER_ROOT_PAGE);
    hx_put_u64(page + 24, seed);
    hx_put_u64(page + HX_SUPER_NEXT_INO, HX_FS_ROOT + 1);
    hx_put_u64(page + 64, (uint64_t)now->s);
    hx_put_u32(page + 72, now->ns);
}

int hx_super_check(struct hx_pager *p, uint64_t *ret_seed)
{
    static const uint8_t zeros[HX_PAGE_SIZE];
    const uint8_t *page;
    int rc = hx_pager_get(p, HX_PAGE(0), &page);
    if (rc)
        return rc;
    if (memcmp(page, magic, sizeof magic) != 0)
        return memcmp(page, zeros, sizeof zeros) == 0 ? HX_E_NOENT : HX_E_CORRUPT;
    if (hx_get_u32(page + 8) < HX_SUPER_VERSION_MIN || hx_get_u32(page + 8) > HX_SUPER_VERSION)
        return HX_E_VERSION;
    if (hx_get_u32(page + 12) != HX_ALLOC_GROUP_PAGES || hx_get_u64(page + 16) != HX_SUPER_ROOT_PAGE)
        return HX_E_CORRUPT;
    *ret_seed = hx_get_u64(page + 24);
    return 0;
}

int hx_super_get(struct hx_pager *p, enum hx_super_field f, uint64_t *ret)
{
    const uint8_t *page;
    int rc = hx_pager_get(p, HX_PAGE(0), &page);
    if (rc)
        return rc;
    *ret = hx_get_u64(page + f);
    return 0;
}

int hx_super_add(struct hx_pager *p, enum hx_super_field f, int64_t delta, uint64_t *ret)
{
    uint8_t *page;
    int rc = hx_pager_edit(p, HX_PAGE(0), HX_EDIT_KEEP, &page);
    if (rc)
        return rc;
    uint64_t v = hx_get_u64(page + f) + (uint64_t)delta;
    hx_put_u64(page + f, v);
    if (ret)
        *ret = v;
    return 0;
}

int hx_super_raise(struct hx_pager *p)
{
    const uint8_t *now;
    uint8_t *page;
    int rc = hx_pager_get(p, HX_PAGE(0), &now);
    if (rc || hx_get_u32(now + 8) == HX_SUPER_VERSION)
        return rc;
    rc = hx_pager_edit(p, HX_PAGE(0), HX_EDIT_KEEP, &page);
    if (rc == 0)
        hx_put_u32(page + 8, HX_SUPER_VERSION);
    return rc;
}

int hx_super_set(struct hx_pager *p, enum hx_super_field f, uint64_t v)
{
    uint8_t *page;
    int rc = hx_pager_edit(p, HX_PAGE(0), HX_EDIT_KEEP, &page);
    if (rc)
        return rc;
    hx_put_u64(page + f, v);
    return 0;
}
