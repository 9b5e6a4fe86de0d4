/*
 * op.c - the frame around an operation: making ready, the mini-transaction, and the life of the filesystem.
 *
 * "The general way to change something" is: 1. hx_op_ready; 2. read and check whatever may be absent or
 * refuse; 3. hx_op_begin; 4. edit; 5. hx_op_end(fs, rc), which commits or aborts; 6. after a commit only,
 * what lives in memory (refs).  Step 2 is for speed: an absent page found in step 4 is as right, because
 * the abort puts back every page, and everything remembered in memory is either a hint (alloc.c, A3) or
 * carries the shape of the tree that it was true for (btree.c, T5).
 */
#include "fs_private.h"

#include <stdlib.h>
#include <sys/stat.h>

int hx_op_ready(struct hx_fs *fs)
{
    if (fs->ready)
        return 0;
    int rc = hx_super_check(fs->p, &fs->seed);
    if (rc == 0)
        fs->ready = true;
    return rc;
}

int hx_op_begin(struct hx_fs *fs, enum hx_op_kind kind)
{
    if (fs->room == HX_ROOM_NONE && kind != HX_OP_FREEING)
        return HX_E_NOSPACE;
    int rc = hx_pager_begin(fs->p);
    if (rc)
        return rc;
    hx_btree_begin(&fs->tree);
    hx_alloc_begin(&fs->alloc, kind == HX_OP_FREEING);
    return 0;
}

int hx_op_end(struct hx_fs *fs, int rc)
{
    struct hx_lsn lsn;
    if (rc)
        hx_pager_abort(fs->p);
    else
        rc = hx_pager_commit(fs->p, &lsn);
    if (rc) {
        hx_btree_aborted(&fs->tree);
        hx_alloc_aborted(&fs->alloc);
    }
    fs->alloc.may_use_reserve = false;
    return rc;
}

static int format(struct hx_pager *p, const struct hx_fs_who *who)
{
    uint8_t *page, val[HX_INODE_SIZE];
    struct hx_inode root = {.mode = S_IFDIR | 0755, .nlink = 2, .uid = who->uid, .gid = who->gid, .aux = HX_FS_ROOT};
    root.atime = root.mtime = root.ctime = who->now;
    uint64_t seed = ((uint64_t)who->now.s << 30 ^ who->now.ns) * UINT64_C(0xd1342543de82ef95) + 1;
    int rc = hx_pager_edit(p, HX_PAGE(0), HX_EDIT_ZEROS, &page);
    if (rc)
        return rc;
    hx_super_init(page, seed, &who->now);
    rc = hx_super_set(p, HX_SUPER_INODES, 1);
    if (rc == 0)
        rc = hx_alloc_format(p);
    if (rc == 0)
        rc = hx_pager_edit(p, HX_PAGE(HX_SUPER_ROOT_PAGE), HX_EDIT_ZEROS, &page);
    if (rc)
        return rc;
    hx_inode_encode(&root, val);
    hx_tnode_init(page, HX_SUPER_ROOT_PAGE, 0);
    hx_tnode_insert(page, 0, HX_KEY(HX_FS_ROOT, HX_T_INODE, 0), val, sizeof val);
    return 0;
}

int hx_fs_format(struct hx_pager *p, const struct hx_fs_who *who)
{
    struct hx_lsn lsn;
    if (hx_pager_pages(p) < HX_SUPER_PAGES_MIN)
        return HX_E_INVAL;
    int rc = hx_pager_begin(p);
    if (rc)
        return rc;
    rc = format(p, who);
    if (rc) {
        hx_pager_abort(p);
        return rc;
    }
    return hx_pager_commit(p, &lsn);
}

/* A step takes half of what one mini-transaction may change: the rest is for the tree and the bitmaps, a few pages for
 * each extent. */
static void set_steps(struct hx_fs *fs)
{
    uint64_t most = hx_pager_mtr_max(fs->p);
    uint64_t pages = most / 2, extents = most / 8;
    fs->step_pages = pages > HX_STEP_PAGES ? HX_STEP_PAGES : pages > 0 ? (uint32_t)pages : 1;
    fs->step_extents = extents > HX_STEP_EXTENTS ? HX_STEP_EXTENTS : extents > 0 ? (uint32_t)extents : 1;
}

int hx_fs_new(struct hx_pager *p, struct hx_fs **ret)
{
    struct hx_fs *fs = calloc(1, sizeof *fs);
    if (!fs)
        return HX_E_NOMEM;
    fs->p = p;
    set_steps(fs);
    fs->may_work = true; /* what a crash left is not known yet */
    hx_alloc_init(&fs->alloc, p);
    hx_btree_init(&fs->tree, p, &fs->alloc, HX_SUPER_ROOT_PAGE);
    *ret = fs;
    return 0;
}

void hx_fs_free(struct hx_fs *fs)
{
    if (!fs)
        return;
    hx_alloc_fini(&fs->alloc);
    hx_refs_fini(&fs->refs);
    free(fs);
}

void hx_fs_room(struct hx_fs *fs, enum hx_room_level level)
{
    fs->room = level;
    fs->alloc.scarce = level != HX_ROOM_PLENTY;
}

int hx_fs_probe(struct hx_fs *fs)
{
    return hx_op_ready(fs);
}

int hx_fs_statfs(struct hx_fs *fs, struct hx_fs_statfs *ret)
{
    struct hx_fs_statfs s = {.pages = hx_pager_pages(fs->p)};
    int rc = hx_op_ready(fs);
    if (rc == 0)
        rc = hx_alloc_left(&fs->alloc, &s.pages_free);
    if (rc == 0)
        rc = hx_super_get(fs->p, HX_SUPER_INODES, &s.inodes);
    if (rc == 0)
        *ret = s;
    return rc;
}
