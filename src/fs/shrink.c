/*
 * shrink.c - the volume is to end earlier: the last pages are closed to the allocator, and what lives there moves out.
 *
 * It does not know what a protection group is, nor when its end may go: whoever calls says how many pages stay, waits
 * until the last move is durable, and then takes the pages away (doc/MEMBERSHIP.md, S1).
 * Invariants:
 *   K1 from the first step on nothing is allocated at or above .keep (alloc.c, A4); so what was moved out stays out.
 *      That is known in memory only: after a crash, or when the volume grows, those pages are like all others.
 *   K2 each step is one mini-transaction: a node of the tree with its parent's cell, or some pages of an extent with
 *      the map.  A crash between two leaves a tree like any other.
 *   K3 the answer "empty" comes from the bitmaps, not from the search: an extent that was handed to another inode
 *      behind the search (reap.c) makes one more round.
 * The search goes through the leaves in the order of their keys: there is no list of who uses a page.
 * Memory: none.
 */
#include "fs_private.h"

#define MOVE_PAGES (HX_FS_SHRINK_STEP >> HX_PAGE_SHIFT) /* of data, that one step copies */
#define LOOK_LEAVES 64u

bool hx_fs_shrink_pays(uint64_t pages, uint64_t left, uint64_t unit)
{
    return unit > 0 && pages >= 2 * unit && left >= unit + unit / 4;
}

/* Outside of a mini-transaction: all COUNT pages from PP on are in the cache. */
static int have_pages(struct hx_fs *fs, uint64_t pp, uint64_t count)
{
    int rc = 0;
    for (uint64_t i = 0; i < count; i++)
        (void)hx_pager_want(fs->p, HX_PAGE(pp + i));
    for (uint64_t i = 0; i < count && (rc == 0 || rc == HX_E_MISS); i++) {
        const uint8_t *page;
        int one = hx_pager_get(fs->p, HX_PAGE(pp + i), &page);
        rc = one ? one : rc;
    }
    return rc;
}

static int copy_page(struct hx_fs *fs, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[HX_PAGE_SIZE];
    const uint8_t *old;
    uint8_t *new;
    int rc = hx_pager_get(fs->p, HX_PAGE(from), &old);
    if (rc || memcmp(old, zeros, sizeof zeros) == 0)
        return rc; /* a fresh page is zeros */
    rc = hx_pager_edit(fs->p, HX_PAGE(to), HX_EDIT_ZEROS, &new);
    if (rc == 0)
        memcpy(new, old, HX_PAGE_SIZE);
    return rc;
}

/* Inside a mini-transaction: the first pages of E, as many as there is a run for, live elsewhere then. */
static int move_pages(struct hx_fs *fs, uint64_t ino, const struct hx_extent *e, uint32_t most)
{
    struct hx_extent new = {.lp = e->lp};
    uint32_t n;
    uint64_t goal = 0;
    int rc = hx_extent_before(fs, ino, e->lp, &goal);
    if (rc == 0)
        rc = hx_alloc_run(&fs->alloc, goal, most, 0, &new.pp, &n);
    if (rc)
        return rc;
    new.count = n;
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = copy_page(fs, e->pp + i, new.pp + i);
    if (rc == 0)
        rc = hx_extent_replace(fs, ino, &new);
    return rc ? rc : hx_alloc_free(&fs->alloc, e->pp, n);
}

static int move_extent(struct hx_fs *fs, uint64_t ino, struct hx_extent e, uint64_t keep)
{
    uint32_t most = fs->step_pages / 4 < MOVE_PAGES ? fs->step_pages / 4 + 1 : MOVE_PAGES;
    if (e.pp < keep) { /* the first part may stay */
        e.lp += keep - e.pp;
        e.count -= keep - e.pp;
        e.pp = keep;
    }
    most = e.count < most ? (uint32_t)e.count : most;
    int rc = have_pages(fs, e.pp, most);
    if (rc == 0)
        rc = hx_op_begin(fs, HX_OP_ORDINARY);
    if (rc)
        return rc;
    rc = hx_op_end(fs, move_pages(fs, ino, &e, most));
    return rc ? rc : 1;
}

static int move_node(struct hx_fs *fs)
{
    int rc = hx_op_begin(fs, HX_OP_ORDINARY);
    if (rc)
        return rc;
    rc = hx_op_end(fs, hx_btree_lower(&fs->tree, fs->shrink.at, fs->shrink.keep));
    return rc ? rc : 1;
}

/* What is at or after .at, and before NEXT unless ENDLESS, in the tree: 1: something was moved; 0: it may all stay. */
static int move_one(struct hx_fs *fs, struct hx_key next, bool endless)
{
    for (;;) {
        struct hx_item it;
        int rc = hx_btree_ceil(&fs->tree, fs->shrink.at, &it);
        if (rc == HX_E_NOENT || (rc == 0 && !endless && hx_key_cmp(it.key, next) >= 0))
            return 0;
        if (rc)
            return rc;
        fs->shrink.at = it.key;
        if (it.key.type == HX_T_EXTENT) {
            struct hx_extent e;
            rc = hx_extent_decode(&it, &e);
            if (rc)
                return rc;
            if (e.pp + e.count > fs->shrink.keep)
                return move_extent(fs, it.key.ino, e, fs->shrink.keep);
        }
        fs->shrink.at.k++; /* types and inode numbers have no last k that could be passed over: ceil goes on */
        if (fs->shrink.at.k == 0 && ++fs->shrink.at.type == 0)
            fs->shrink.at.ino++;
    }
}

/* Some leaves of the search: 1: something was moved, or there is more to look at; 0: the end. */
static int search(struct hx_fs *fs)
{
    for (unsigned n = 0; n < LOOK_LEAVES; n++) {
        struct hx_key next;
        bool endless, high;
        int rc = hx_btree_look(&fs->tree, fs->shrink.at, fs->shrink.keep, &high, &next, &endless);
        if (rc == 0)
            rc = high ? move_node(fs) : move_one(fs, next, endless);
        if (rc || endless)
            return rc;
        fs->shrink.at = next;
    }
    return 1;
}

void hx_fs_shrink_stop(struct hx_fs *fs)
{
    hx_alloc_close(&fs->alloc, 0);
    fs->shrink = (struct hx_shrink){0};
}

int hx_fs_shrink(struct hx_fs *fs, uint64_t keep)
{
    uint64_t left, live;
    int rc = hx_op_ready(fs);
    if (rc)
        return rc;
    if (keep < HX_SUPER_PAGES_MIN || keep >= hx_pager_pages(fs->p))
        return HX_E_INVAL;
    if (fs->shrink.keep != keep || !hx_alloc_closed(&fs->alloc)) {
        hx_alloc_close(&fs->alloc, keep); /* K1 */
        fs->shrink = (struct hx_shrink){.keep = keep};
    }
    rc = hx_alloc_left(&fs->alloc, &left);
    if (rc == 0 && left == 0)
        rc = HX_E_GROW;
    if (rc == 0 && !fs->shrink.searching) {
        rc = hx_alloc_live(&fs->alloc, keep, &live);
        if (rc == 0 && live == 0)
            return 0; /* K3 */
        fs->shrink.at = HX_KEY(0, 0, 0);
        fs->shrink.searching = rc == 0;
    }
    if (rc == 0) {
        rc = search(fs);
        fs->shrink.searching = rc != 0;
        rc = rc == 0 ? 1 : rc;
    }
    if (rc == HX_E_GROW)
        hx_fs_shrink_stop(fs);
    return rc;
}
