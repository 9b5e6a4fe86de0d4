/*
 * extent.c - where the data of a file is: runs of consecutive pages of the volume.
 *
 * It does not know about sizes, times or bytes (file.c, attr.c), and bounds nothing: callers say how much.
 *
 * Key (ino, EXTENT, page of the file), value: u64 first page of the volume, u32 count.
 * Invariants:
 *   E1 extents of an inode do not overlap, and have at least one page.
 *   E2 an extent lies in one allocation group (a group starts with its bitmap, so runs end there).
 *   E3 bytes of an allocated page that no write has set are zeros: pages start as zeros, a cut or a punched
 *      edge is wiped.  So there are no "unwritten" extents, and fallocate only allocates.
 * A write at the end of a file makes its last extent longer when the next page of the volume is free: a
 * change of four bytes in the tree.  Allocates no memory.
 */
#include "fs_private.h"

#define EXTENT_SIZE 12u

int hx_extent_decode(const struct hx_item *it, struct hx_extent *ret)
{
    if (it->len != EXTENT_SIZE)
        return HX_E_CORRUPT;
    struct hx_extent e = {it->key.k, hx_get_u64(it->val), hx_get_u32(it->val + 8)};
    if (e.count == 0 || e.lp > HX_FILE_PAGES || e.count > HX_FILE_PAGES - e.lp)
        return HX_E_CORRUPT;
    *ret = e;
    return 0;
}

static int decode_if_of(const struct hx_item *it, uint64_t ino, struct hx_extent *ret)
{
    if (it->key.ino != ino || it->key.type != HX_T_EXTENT)
        return HX_E_NOENT;
    return hx_extent_decode(it, ret);
}

/* The last extent that starts at or before page LP. */
static int floor_extent(struct hx_fs *fs, uint64_t ino, uint64_t lp, struct hx_extent *ret)
{
    struct hx_item it;
    int rc = hx_btree_floor(&fs->tree, HX_KEY(ino, HX_T_EXTENT, lp), &it);
    return rc ? rc : decode_if_of(&it, ino, ret);
}

/* The first extent with a page at or after LP. */
static int next_extent(struct hx_fs *fs, uint64_t ino, uint64_t lp, struct hx_extent *ret)
{
    struct hx_item it;
    int rc = floor_extent(fs, ino, lp, ret);
    if (rc == 0 && lp < ret->lp + ret->count)
        return 0;
    if (rc && rc != HX_E_NOENT)
        return rc;
    rc = hx_btree_ceil(&fs->tree, HX_KEY(ino, HX_T_EXTENT, lp + 1), &it);
    return rc ? rc : decode_if_of(&it, ino, ret);
}

int hx_extent_at(struct hx_fs *fs, uint64_t ino, uint64_t lp, struct hx_extent *ret)
{
    struct hx_extent e;
    int rc = next_extent(fs, ino, lp, &e);
    if (rc == HX_E_NOENT) {
        *ret = (struct hx_extent){lp, 0, HX_FILE_PAGES - lp};
        return 0;
    }
    if (rc)
        return rc;
    if (lp < e.lp)
        *ret = (struct hx_extent){lp, 0, e.lp - lp};
    else
        *ret = (struct hx_extent){lp, e.pp + (lp - e.lp), e.count - (lp - e.lp)};
    return 0;
}

int hx_extent_last(struct hx_fs *fs, uint64_t ino, struct hx_extent *ret)
{
    return floor_extent(fs, ino, UINT64_MAX, ret);
}

static int insert(struct hx_fs *fs, uint64_t ino, const struct hx_extent *e)
{
    uint8_t val[EXTENT_SIZE];
    hx_put_u64(val, e->pp);
    hx_put_u32(val + 8, (uint32_t)e->count);
    return hx_btree_insert(&fs->tree, HX_KEY(ino, HX_T_EXTENT, e->lp), val, sizeof val);
}

static int set_count(struct hx_fs *fs, uint64_t ino, uint64_t lp, uint64_t count)
{
    uint8_t *val;
    size_t len;
    int rc = hx_btree_edit(&fs->tree, HX_KEY(ino, HX_T_EXTENT, lp), &val, &len);
    if (rc)
        return rc;
    if (len != EXTENT_SIZE)
        return HX_E_CORRUPT;
    hx_put_u32(val + 8, (uint32_t)count);
    return 0;
}

/* Adds RUN to the map: to *prev when it goes on where that ends, which then includes it. */
static int append(struct hx_fs *fs, uint64_t ino, struct hx_extent *prev, const struct hx_extent *run)
{
    bool joins = prev->count > 0 && prev->lp + prev->count == run->lp && prev->pp + prev->count == run->pp;
    if (joins) {
        prev->count += run->count;
        return set_count(fs, ino, prev->lp, prev->count);
    }
    *prev = *run;
    return insert(fs, ino, run);
}

int hx_extent_fill(struct hx_fs *fs, struct hx_inode *in, uint64_t lp, uint64_t count, unsigned *io_runs,
                   uint64_t *ret_done)
{
    struct hx_extent prev = {0, 0, 0};
    uint64_t done = 0;
    int rc = lp > 0 ? floor_extent(fs, in->ino, lp - 1, &prev) : HX_E_NOENT;
    if (rc && rc != HX_E_NOENT)
        return rc;
    if (rc)
        prev = (struct hx_extent){0, 0, 0};
    for (; done < count && *io_runs > 0; --*io_runs) {
        struct hx_extent run = {.lp = lp + done};
        uint64_t goal = prev.count > 0 && prev.lp + prev.count == run.lp ? prev.pp + prev.count : 0;
        /* A file that has to move on goes where it can grow by what it has: few extents, however it grows. */
        uint32_t n, room = in->pages < HX_STEP_PAGES ? (uint32_t)in->pages : HX_STEP_PAGES;
        uint64_t want = count - done < HX_ALLOC_GROUP_PAGES ? count - done : HX_ALLOC_GROUP_PAGES;
        rc = hx_alloc_run(&fs->alloc, goal, (uint32_t)want, room, &run.pp, &n);
        if (rc)
            return rc;
        run.count = n;
        rc = append(fs, in->ino, &prev, &run);
        if (rc)
            return rc;
        in->pages += n;
        done += n;
    }
    *ret_done = done;
    return 0;
}

/* Takes [a, b) out of extent E, whose rest stays in the map. */
static int cut_out(struct hx_fs *fs, uint64_t ino, const struct hx_extent *e, uint64_t a, uint64_t b)
{
    uint64_t end = e->lp + e->count;
    struct hx_extent right = {b, e->pp + (b - e->lp), end - b};
    int rc = e->lp < a ? set_count(fs, ino, e->lp, a - e->lp)
                       : hx_btree_delete(&fs->tree, HX_KEY(ino, HX_T_EXTENT, e->lp));
    if (rc == 0 && b < end)
        rc = insert(fs, ino, &right);
    return rc;
}

int hx_extent_clear(struct hx_fs *fs, uint64_t ino, uint64_t lo, uint64_t hi, uint64_t *io_pages)
{
    while (lo < hi) {
        struct hx_extent e;
        int rc = next_extent(fs, ino, lo, &e);
        if (rc == HX_E_NOENT)
            return 0;
        if (rc)
            return rc;
        uint64_t a = e.lp > lo ? e.lp : lo, end = e.lp + e.count, b = end < hi ? end : hi;
        if (a >= hi)
            return 0;
        rc = cut_out(fs, ino, &e, a, b);
        if (rc == 0)
            rc = hx_alloc_free(&fs->alloc, e.pp + (a - e.lp), (uint32_t)(b - a));
        if (rc)
            return rc;
        *io_pages -= b - a;
        lo = b;
    }
    return 0;
}

int hx_extent_before(struct hx_fs *fs, uint64_t ino, uint64_t lp, uint64_t *ret_pp)
{
    struct hx_extent e;
    int rc = lp > 0 ? floor_extent(fs, ino, lp - 1, &e) : HX_E_NOENT;
    *ret_pp = rc == 0 && e.lp + e.count == lp ? e.pp + e.count : 0;
    return rc == HX_E_NOENT ? 0 : rc;
}

int hx_extent_replace(struct hx_fs *fs, uint64_t ino, const struct hx_extent *new)
{
    struct hx_extent e, prev = {0, 0, 0};
    int rc = floor_extent(fs, ino, new->lp, &e);
    if (rc == 0 && e.lp + e.count < new->lp + new->count)
        rc = HX_E_CORRUPT;
    if (rc == 0)
        rc = cut_out(fs, ino, &e, new->lp, new->lp + new->count);
    if (rc)
        return rc;
    if (new->lp > 0) {
        rc = floor_extent(fs, ino, new->lp - 1, &prev);
        if (rc && rc != HX_E_NOENT)
            return rc;
        if (rc)
            prev = (struct hx_extent){0, 0, 0};
    }
    return append(fs, ino, &prev, new);
}

int hx_extent_wipe(struct hx_fs *fs, uint64_t ino, uint64_t from, uint64_t to)
{
    struct hx_extent e;
    uint8_t *page;
    if (from >= to)
        return 0;
    int rc = hx_extent_at(fs, ino, from >> HX_PAGE_SHIFT, &e);
    if (rc || e.pp == 0)
        return rc;
    rc = hx_pager_edit(fs->p, HX_PAGE(e.pp), HX_EDIT_KEEP, &page);
    if (rc == 0)
        memset(page + from % HX_PAGE_SIZE, 0, to - from);
    return rc;
}

int hx_extent_count(struct hx_fs *fs, uint64_t ino, uint64_t from, unsigned *ret_extents, uint64_t *ret_pages)
{
    unsigned n = 0;
    uint64_t pages = 0;
    while (n <= fs->step_extents) {
        struct hx_extent e;
        int rc = next_extent(fs, ino, from, &e);
        if (rc == HX_E_NOENT)
            break;
        if (rc)
            return rc;
        uint64_t a = e.lp > from ? e.lp : from;
        pages += e.lp + e.count - a;
        from = e.lp + e.count;
        n++;
    }
    *ret_extents = n;
    *ret_pages = pages;
    return 0;
}

int hx_extent_move(struct hx_fs *fs, uint64_t ino, uint64_t from, uint64_t to)
{
    for (unsigned n = 0; n < fs->step_extents; n++) {
        struct hx_extent e;
        int rc = next_extent(fs, ino, from, &e);
        if (rc == HX_E_NOENT)
            return 0;
        if (rc)
            return rc;
        uint64_t end = e.lp + e.count, a = e.lp > from ? e.lp : from;
        struct hx_extent moved = {a, e.pp + (a - e.lp), end - a};
        rc = cut_out(fs, ino, &e, a, end);
        if (rc == 0)
            rc = insert(fs, to, &moved);
        if (rc)
            return rc;
        from = end;
    }
    return 0;
}
