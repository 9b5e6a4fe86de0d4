/*
 * reap.c - freeing what nobody can see any more, in bounded steps: the orphan list and cut-off tails.
 *
 * Freeing a page is a record, so a large file is never freed at once.  What makes it invisible (the last
 * link gone, the size set) and what remembers it for later are one mini-transaction; then each step frees
 * at most step_pages pages in one mini-transaction of its own.  A crash between steps loses nothing:
 * the items are in the volume, and the first hx_fs_reap after a mount goes on.
 *
 *   (0, ORPHAN, n), no value: everything of number n is to go, as soon as nobody has it open.  n is an inode
 *      without a link, or a number without an inode that only extents were handed to.
 *   (0, TAIL, n), value u64 from: the extents of file n at or after page `from` are to go; flag HAS_TAIL.
 *
 * Cutting a file off (truncate) takes the first way that is bounded:
 *   1. few pages: they are freed at once;
 *   2. few extents: they are handed to a fresh number on the orphan list;
 *   3. otherwise a TAIL.  It must be gone before the file can grow again, or old data would show up: an
 *      operation that grows the file finishes it first (hx_reap_finish_tail).
 * Invariants:
 *   R1 `from` is at or beyond the end of the file: reads, which end there, never see a tail.
 *   R2 a file with a TAIL gets no larger size, and no new extent at or beyond `from`.
 */
#include "fs_private.h"

#include "hexad/mutant.h"

#include <sys/stat.h>

#define TAIL_SIZE 8u

static struct hx_key orphan_key(uint64_t ino)
{
    return HX_KEY(0, HX_T_ORPHAN, ino);
}

static struct hx_key tail_key(uint64_t ino)
{
    return HX_KEY(0, HX_T_TAIL, ino);
}

void hx_reap_wake(struct hx_fs *fs, uint64_t ino)
{
    fs->may_work = true;
    if (ino < fs->reap_from)
        fs->reap_from = ino;
}

void hx_reap_unlinked(struct hx_fs *fs, uint64_t ino)
{
    struct hx_ref *r = hx_refs_find(&fs->refs, ino);
    if (r)
        r->unlinked = true;
    else
        hx_reap_wake(fs, ino);
}

bool hx_fs_has_work(const struct hx_fs *fs)
{
    return fs->may_work;
}

int hx_reap_add_orphan(struct hx_fs *fs, uint64_t ino)
{
    return hx_btree_insert(&fs->tree, orphan_key(ino), NULL, 0);
}

int hx_reap_drop_orphan(struct hx_fs *fs, uint64_t ino)
{
    int rc = hx_btree_delete(&fs->tree, orphan_key(ino));
    return rc == HX_E_NOENT ? HX_E_CORRUPT : rc;
}

/* Way 2: extents from FROM on go to a number of their own. */
static int hand_over(struct hx_fs *fs, struct hx_inode *in, uint64_t from, uint64_t pages)
{
    uint64_t next;
    int rc = hx_super_add(fs->p, HX_SUPER_NEXT_INO, 1, &next);
    if (rc == 0)
        rc = hx_extent_move(fs, in->ino, from, next - 1);
    if (rc == 0)
        rc = hx_reap_add_orphan(fs, next - 1);
    if (rc)
        return rc;
    in->pages -= pages;
    hx_reap_wake(fs, next - 1); /* an abort leaves it awake for nothing: harmless */
    return 0;
}

/* Way 3. */
static int leave_tail(struct hx_fs *fs, struct hx_inode *in, uint64_t from)
{
    uint8_t val[TAIL_SIZE], *old;
    size_t len;
    hx_put_u64(val, from);
    fs->may_work = true;
    if (!(in->flags & HX_INODE_HAS_TAIL)) {
        in->flags |= HX_INODE_HAS_TAIL;
        return hx_btree_insert(&fs->tree, tail_key(in->ino), val, sizeof val);
    }
    int rc = hx_btree_edit(&fs->tree, tail_key(in->ino), &old, &len);
    if (rc || len != TAIL_SIZE)
        return rc && rc != HX_E_NOENT ? rc : HX_E_CORRUPT;
    hx_put_u64(old, from);
    return 0;
}

int hx_reap_cut(struct hx_fs *fs, struct hx_inode *in, uint64_t from)
{
    unsigned extents;
    uint64_t pages;
    if (in->flags & HX_INODE_HAS_TAIL)
        return leave_tail(fs, in, from);
    int rc = hx_extent_count(fs, in->ino, from, &extents, &pages);
    if (rc || extents == 0)
        return rc;
    if (extents > fs->step_extents)
        return leave_tail(fs, in, from);
    if (pages > fs->step_pages)
        return hand_over(fs, in, from, pages);
    return hx_extent_clear(fs, in->ino, from, HX_FILE_PAGES, &in->pages);
}

/* Frees extents of INO at or after FROM, from the end, as much as one step may.  *ret_left: some are left. */
static int free_some(struct hx_fs *fs, uint64_t ino, uint64_t from, uint64_t *io_pages, bool *ret_left)
{
    uint64_t budget = fs->step_pages;
    for (unsigned n = 0; n < fs->step_extents && budget > 0; n++) {
        struct hx_extent e;
        int rc = hx_extent_last(fs, ino, &e);
        if (rc && rc != HX_E_NOENT)
            return rc;
        uint64_t end = rc ? 0 : e.lp + e.count;
        if (end <= from) {
            *ret_left = false;
            return 0;
        }
        uint64_t lo = e.lp > from ? e.lp : from;
        if (end - lo > budget)
            lo = end - budget;
        rc = hx_extent_clear(fs, ino, lo, end, io_pages);
        if (rc)
            return rc;
        budget -= end - lo;
    }
    *ret_left = true;
    return 0;
}

/* Inside a mini-transaction: one step of *in's tail. */
static int tail_step(struct hx_fs *fs, struct hx_inode *in)
{
    struct hx_item it;
    bool left;
    int rc = hx_btree_find(&fs->tree, tail_key(in->ino), &it);
    if (rc || it.len != TAIL_SIZE)
        return rc && rc != HX_E_NOENT ? rc : HX_E_CORRUPT;
    rc = free_some(fs, in->ino, hx_get_u64(it.val), &in->pages, &left);
    if (rc == 0 && !left) {
        in->flags &= ~HX_INODE_HAS_TAIL;
        rc = hx_btree_delete(&fs->tree, tail_key(in->ino));
    }
    return rc ? rc : hx_inode_put(fs, in);
}

int hx_reap_finish_tail(struct hx_fs *fs, struct hx_inode *in)
{
    while (in->flags & HX_INODE_HAS_TAIL) {
        int rc = hx_op_begin(fs, HX_OP_FREEING);
        if (rc)
            return rc;
        rc = hx_op_end(fs, tail_step(fs, in));
        if (rc)
            return rc;
    }
    return 0;
}

/* The symlink's text, or nothing. */
static int drop_symlink(struct hx_fs *fs, uint64_t ino)
{
    for (;;) {
        struct hx_item it;
        int rc = hx_btree_ceil(&fs->tree, HX_KEY(ino, HX_T_SYMLINK, 0), &it);
        if (rc == HX_E_NOENT || (rc == 0 && (it.key.ino != ino || it.key.type != HX_T_SYMLINK)))
            return 0;
        if (rc == 0)
            rc = hx_btree_delete(&fs->tree, it.key);
        if (rc)
            return rc;
    }
}

/* Inside a mini-transaction: one step of an orphan. */
static int orphan_step(struct hx_fs *fs, uint64_t ino)
{
    struct hx_inode in;
    uint64_t no_pages = UINT64_MAX / 2;
    bool left;
    int rc = hx_inode_get(fs, ino, &in);
    if (rc && rc != HX_E_STALE)
        return rc;
    bool has_inode = rc == 0;
    if (has_inode && in.nlink > 0)
        return HX_E_CORRUPT;
    if (has_inode && in.flags & HX_INODE_HAS_TAIL)
        return tail_step(fs, &in);
    rc = free_some(fs, ino, 0, has_inode ? &in.pages : &no_pages, &left);
    if (rc == 0 && left)
        return has_inode ? hx_inode_put(fs, &in) : 0;
    if (rc == 0 && has_inode && S_ISLNK(in.mode))
        rc = drop_symlink(fs, ino);
    if (rc == 0 && has_inode && in.flags & HX_INODE_HAS_XATTR)
        rc = hx_xattr_drop_all(fs, ino);
    if (rc == 0 && has_inode)
        rc = hx_inode_drop(fs, ino);
    return rc ? rc : hx_btree_delete(&fs->tree, orphan_key(ino));
}

/* The first orphan at or after fs->reap_from that nobody has open; HX_E_NOENT. */
static int find_orphan(struct hx_fs *fs, uint64_t *ret_ino)
{
    for (;;) {
        struct hx_item it;
        int rc = hx_btree_ceil(&fs->tree, orphan_key(fs->reap_from), &it);
        if (rc)
            return rc;
        if (it.key.ino != 0 || it.key.type != HX_T_ORPHAN)
            return HX_E_NOENT;
        *ret_ino = fs->reap_from = it.key.k;
        struct hx_ref *r = hx_refs_find(&fs->refs, it.key.k);
        if (!r || HX_MUTANT(ORPHAN_REAPED_OPEN))
            return 0;
        r->unlinked = true; /* so that its last release or forget comes back to it */
        fs->reap_from++;
    }
}

static int reap_orphan(struct hx_fs *fs, uint64_t ino)
{
    int rc = hx_op_begin(fs, HX_OP_FREEING);
    if (rc)
        return rc;
    rc = hx_op_end(fs, orphan_step(fs, ino));
    return rc ? rc : 1;
}

static int reap_tail(struct hx_fs *fs, uint64_t ino)
{
    struct hx_inode in;
    int rc = hx_inode_get(fs, ino, &in);
    if (rc == 0)
        rc = hx_op_begin(fs, HX_OP_FREEING);
    if (rc)
        return rc;
    rc = hx_op_end(fs, tail_step(fs, &in));
    return rc ? rc : 1;
}

int hx_fs_reap(struct hx_fs *fs)
{
    struct hx_item it;
    uint64_t ino;
    if (!fs->may_work)
        return 0;
    int rc = hx_op_ready(fs);
    if (rc)
        return rc;
    rc = find_orphan(fs, &ino);
    if (rc != HX_E_NOENT)
        return rc ? rc : reap_orphan(fs, ino);
    rc = hx_btree_ceil(&fs->tree, tail_key(0), &it);
    if (rc && rc != HX_E_NOENT)
        return rc;
    if (rc == 0 && it.key.ino == 0 && it.key.type == HX_T_TAIL)
        return reap_tail(fs, it.key.k);
    fs->may_work = false;
    fs->reap_from = UINT64_MAX;
    return 0;
}
