/*
 * verify.c - the checker of everything that this directory promises; for tests and the simulator.
 *
 * It changes nothing.  One walk over the tree collects what every item says; then the collected facts are
 * compared with each other, with the bitmaps and with the superblock:
 *   V1 the tree's structure and order (btree.c: T1 to T3, N1 to N3), every page in it once;
 *   V2 extents: E1, E2, inside the volume, no page used twice by anything;
 *   V3 bitmaps are exactly the pages in use, and the superblock counts them (A2);
 *   V4 entries: the inode is there, type and hash are right; M1, M2, M4; every directory is below the root;
 *   V5 M3, R1, X1, X2, flags and items of tails agree; symlink texts are whole; inode counter and next number.
 * Memory: one bit a page, and some bytes for each inode and entry.
 */
#include "fs_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct fact { /* of one inode */
    struct hx_inode in;
    uint64_t entries, subdirs, named, pages, text;
    uint64_t xattr_next; /* k of the chunk that must come next; 0: none */
    size_t xattr_left;   /* bytes of its value that are to come */
    uint32_t xattr_flags; /* what flags say of the attributes that there are */
    bool orphan, has_tail, linked_up;
    uint64_t tail_from;
};
struct entry {
    uint64_t dir, ino;
    uint32_t type;
};
struct listed { /* an item of the orphan or tail list */
    uint64_t ino, from;
    bool used;
};
struct vec {
    void *at;
    size_t count, cap;
};
struct check {
    struct hx_fs *fs;
    char *why;
    uint64_t pages, used;
    uint8_t *seen; /* a bit a page */
    struct vec facts, entries, orphans, tails;
    uint64_t extent_ino, extent_end; /* of the last extent */
};

static int bad(struct check *c, const char *what, uint64_t about)
{
    snprintf(c->why, 256, "%s (%llu)", what, (unsigned long long)about);
    return HX_E_CORRUPT;
}

static void *push(struct vec *v, size_t size)
{
    if (v->count == v->cap) {
        size_t cap = v->cap ? 2 * v->cap : 64;
        void *more = realloc(v->at, cap * size);
        if (!more)
            return NULL;
        v->at = more;
        v->cap = cap;
    }
    return (char *)v->at + v->count++ * size;
}

static bool mark(struct check *c, uint64_t page)
{
    if (page >= c->pages || hx_alloc_is_fixed(page) || c->seen[page / 8] >> (page % 8) & 1)
        return false;
    c->seen[page / 8] = (uint8_t)(c->seen[page / 8] | 1u << (page % 8));
    c->used++;
    return true;
}

static bool see_node(void *arg, uint64_t page)
{
    return mark(arg, page);
}

/* Facts, orphans and tails are collected in rising order of inode numbers. */
static struct fact *fact_of(struct check *c, uint64_t ino)
{
    struct fact *f = c->facts.at;
    size_t lo = 0, hi = c->facts.count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (f[mid].in.ino < ino)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < c->facts.count && f[lo].in.ino == ino ? &f[lo] : NULL;
}

static struct listed *listed_of(struct vec *v, uint64_t ino)
{
    struct listed *l = v->at;
    size_t lo = 0, hi = v->count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (l[mid].ino < ino)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < v->count && l[lo].ino == ino ? &l[lo] : NULL;
}

/* --- items -------------------------------------------------------------------------------------- */

static int see_listed(struct check *c, struct vec *v, const struct hx_item *it, size_t len)
{
    if (it->key.ino != 0 || it->len != len)
        return bad(c, "a list item is malformed", it->key.k);
    struct listed *l = push(v, sizeof *l);
    if (!l)
        return HX_E_NOMEM;
    *l = (struct listed){.ino = it->key.k, .from = len == 8 ? hx_get_u64(it->val) : 0};
    return 0;
}

static int see_inode(struct check *c, const struct hx_item *it)
{
    struct hx_inode in;
    if (it->key.k != 0 || it->key.ino == 0 || hx_inode_decode(it, &in))
        return bad(c, "an inode item is malformed", it->key.ino);
    struct fact *f = push(&c->facts, sizeof *f);
    if (!f)
        return HX_E_NOMEM;
    *f = (struct fact){.in = in};
    struct listed *o = listed_of(&c->orphans, in.ino), *t = listed_of(&c->tails, in.ino);
    if (o)
        o->used = f->orphan = true;
    if (t) {
        t->used = f->has_tail = true;
        f->tail_from = t->from;
    }
    return 0;
}

static int see_entry(struct check *c, const struct hx_item *it, struct fact *f)
{
    struct hx_dirent e;
    const char *name;
    size_t len;
    if (!S_ISDIR(f->in.mode) || hx_dir_decode(it, &e, &name, &len))
        return bad(c, "an entry is malformed, or not in a directory", it->key.ino);
    if (memchr(name, '/', len) || memchr(name, '\0', len))
        return bad(c, "an entry's name is no name", it->key.ino);
    if (e.k >> 20 != hx_hash_name(c->fs->seed, it->key.ino, name, len) >> 20)
        return bad(c, "an entry is not in the bucket of its name (D2)", it->key.ino);
    struct entry *to = push(&c->entries, sizeof *to);
    if (!to)
        return HX_E_NOMEM;
    *to = (struct entry){it->key.ino, e.ino, e.type};
    f->entries++;
    return 0;
}

static int see_extent(struct check *c, const struct hx_item *it, struct fact *f)
{
    struct hx_extent e;
    uint64_t ino = it->key.ino;
    if (hx_extent_decode(it, &e))
        return bad(c, "an extent is malformed", ino);
    if (f ? !S_ISREG(f->in.mode) : !listed_of(&c->orphans, ino))
        return bad(c, "an extent belongs to nothing", ino);
    if (ino == c->extent_ino && e.lp < c->extent_end)
        return bad(c, "extents overlap (E1)", ino);
    if (e.pp / HX_ALLOC_GROUP_PAGES != (e.pp + e.count - 1) / HX_ALLOC_GROUP_PAGES)
        return bad(c, "an extent leaves its group (E2)", ino);
    c->extent_ino = ino;
    c->extent_end = e.lp + e.count;
    for (uint64_t i = 0; i < e.count; i++)
        if (!mark(c, e.pp + i))
            return bad(c, "a page is used twice, or does not exist", e.pp + i);
    if (f)
        f->pages += e.count;
    else
        listed_of(&c->orphans, ino)->used = true;
    return 0;
}

static int see_symlink(struct check *c, const struct hx_item *it, struct fact *f)
{
    if (!S_ISLNK(f->in.mode))
        return bad(c, "a symlink's text belongs to something else", it->key.ino);
    f->text += it->len;
    return 0;
}

static int see_xattr(struct check *c, const struct hx_item *it, struct fact *f)
{
    struct hx_xattr_part p;
    uint64_t ino = it->key.ino;
    if (hx_xattr_decode(it, &p))
        return bad(c, "an attribute is malformed", ino);
    if (f->xattr_left > 0 ? it->key.k != f->xattr_next || p.bytes > f->xattr_left : p.chunk != 0)
        return bad(c, "an attribute is not whole (X1)", ino);
    if (p.chunk == 0) {
        if (p.bucket != hx_hash_name(c->fs->seed, ino, p.name, p.name_len))
            return bad(c, "an attribute is not in the bucket of its name", ino);
        f->xattr_left = p.value_len;
        f->xattr_flags |= hx_xattr_flags(p.name, p.name_len);
    }
    f->xattr_left -= p.bytes;
    f->xattr_next = it->key.k + 1;
    return 0;
}

static int see_item(void *arg, const struct hx_item *it)
{
    struct check *c = arg;
    struct fact *f = c->facts.count > 0 ? (struct fact *)c->facts.at + c->facts.count - 1 : NULL;
    if (f && f->in.ino != it->key.ino)
        f = NULL;
    switch (it->key.type) {
    case HX_T_ORPHAN:
        return see_listed(c, &c->orphans, it, 0);
    case HX_T_TAIL:
        return see_listed(c, &c->tails, it, 8);
    case HX_T_INODE:
        return see_inode(c, it);
    case HX_T_EXTENT:
        return see_extent(c, it, f);
    default:
        break;
    }
    if (f && it->key.type == HX_T_DIRENT)
        return see_entry(c, it, f);
    if (f && it->key.type == HX_T_SYMLINK)
        return see_symlink(c, it, f);
    if (f && it->key.type == HX_T_XATTR)
        return see_xattr(c, it, f);
    return bad(c, "an item of no known type, or of no inode", it->key.ino);
}

/* --- facts against each other ------------------------------------------------------------------- */

static int check_entries(struct check *c)
{
    const struct entry *e = c->entries.at;
    for (size_t i = 0; i < c->entries.count; i++) {
        struct fact *f = fact_of(c, e[i].ino), *d = fact_of(c, e[i].dir);
        if (!f)
            return bad(c, "an entry dangles", e[i].ino);
        if (e[i].type != (f->in.mode & S_IFMT))
            return bad(c, "an entry has the wrong type", e[i].ino);
        f->named++;
        if (!S_ISDIR(f->in.mode))
            continue;
        d->subdirs++;
        if (f->in.aux != e[i].dir)
            return bad(c, "a directory does not know its parent (M4)", e[i].ino);
    }
    return 0;
}

static int check_links(struct check *c, const struct fact *f)
{
    uint64_t named = f->named + (f->in.ino == HX_FS_ROOT);
    bool dir = S_ISDIR(f->in.mode);
    uint64_t links = !dir ? f->named : named == 0 ? 0 : 2 + f->subdirs;
    if (f->in.nlink != links || (dir && named > 1))
        return bad(c, "a link count is wrong (M1)", f->in.ino);
    if (dir && f->in.size != f->entries)
        return bad(c, "a directory's number of entries is wrong (M2)", f->in.ino);
    if (f->orphan != (f->in.nlink == 0))
        return bad(c, "no link and not an orphan, or the reverse (M3)", f->in.ino);
    return 0;
}

static int check_data(struct check *c, const struct fact *f)
{
    if (f->in.pages != f->pages)
        return bad(c, "an inode's number of pages is wrong", f->in.ino);
    if (S_ISLNK(f->in.mode) && f->in.size != f->text)
        return bad(c, "a symlink's text is not whole", f->in.ino);
    if (f->has_tail != !!(f->in.flags & HX_INODE_HAS_TAIL))
        return bad(c, "a tail without its flag, or the reverse", f->in.ino);
    if (f->has_tail && f->tail_from < (f->in.size + HX_PAGE_SIZE - 1) / HX_PAGE_SIZE)
        return bad(c, "a tail begins before the end of the file (R1)", f->in.ino);
    return 0;
}

static int check_flags(struct check *c, const struct fact *f)
{
    const uint32_t named = HX_INODE_HAS_ACCESS | HX_INODE_HAS_DEFAULT | HX_INODE_HAS_CAPS;
    if (f->xattr_left > 0)
        return bad(c, "an attribute is not whole (X1)", f->in.ino);
    if ((f->xattr_flags & ~f->in.flags) || (f->in.flags & named) != (f->xattr_flags & named))
        return bad(c, "an attribute without its flag, or the reverse (X2)", f->in.ino);
    if (f->in.flags & HX_INODE_TMPFILE && f->in.nlink > 0)
        return bad(c, "a name, and the flag of a file that has none", f->in.ino);
    if (f->in.flags & ~(named | HX_INODE_HAS_TAIL | HX_INODE_HAS_XATTR | HX_INODE_TMPFILE))
        return bad(c, "an unknown flag", f->in.ino);
    return 0;
}

/* Every named directory's parents lead to the root: no rings (M4). */
static int check_way_up(struct check *c, struct fact *f)
{
    struct fact *at = f;
    for (size_t steps = 0; at && !at->linked_up && at->in.ino != HX_FS_ROOT; steps++) {
        if (steps > c->facts.count)
            return bad(c, "a directory is not below the root (M4)", f->in.ino);
        at = fact_of(c, at->in.aux);
    }
    if (!at)
        return bad(c, "a directory's parent is gone (M4)", f->in.ino);
    for (at = f; !at->linked_up && at->in.ino != HX_FS_ROOT; at = fact_of(c, at->in.aux))
        at->linked_up = true;
    return 0;
}

static int check_facts(struct check *c)
{
    struct fact *f = c->facts.at;
    uint64_t next, inodes;
    int rc = hx_super_get(c->fs->p, HX_SUPER_NEXT_INO, &next);
    if (rc == 0)
        rc = hx_super_get(c->fs->p, HX_SUPER_INODES, &inodes);
    for (size_t i = 0; rc == 0 && i < c->facts.count; i++) {
        if (f[i].in.ino >= next)
            return bad(c, "an inode's number is yet to be given", f[i].in.ino);
        rc = check_links(c, &f[i]);
        if (rc == 0)
            rc = check_data(c, &f[i]);
        if (rc == 0)
            rc = check_flags(c, &f[i]);
        if (rc == 0 && S_ISDIR(f[i].in.mode) && f[i].in.nlink > 0)
            rc = check_way_up(c, &f[i]);
    }
    if (rc == 0 && inodes != c->facts.count)
        return bad(c, "the superblock's number of inodes is wrong", inodes);
    if (rc == 0 && !fact_of(c, HX_FS_ROOT))
        return bad(c, "there is no root directory", HX_FS_ROOT);
    return rc;
}

static int check_lists(struct check *c)
{
    const struct listed *o = c->orphans.at, *t = c->tails.at;
    for (size_t i = 0; i < c->orphans.count; i++)
        if (!o[i].used)
            return bad(c, "an orphan that is nothing", o[i].ino);
    for (size_t i = 0; i < c->tails.count; i++)
        if (!t[i].used)
            return bad(c, "a tail of no file", t[i].ino);
    return 0;
}

static int check_bitmaps(struct check *c)
{
    uint64_t groups = hx_alloc_groups(c->pages), used;
    bool missed = false;
    int rc = hx_super_get(c->fs->p, HX_SUPER_USED, &used);
    if (rc)
        return rc;
    if (used != c->used)
        return bad(c, "the superblock's number of used pages is wrong (A2)", used);
    for (uint64_t g = 0; g < groups; g++)
        missed |= !hx_pager_want(c->fs->p, HX_PAGE(hx_alloc_bitmap_page(g)));
    if (missed)
        return HX_E_MISS;
    for (uint64_t g = 0; g < groups; g++) {
        const uint8_t *bm;
        rc = hx_pager_get(c->fs->p, HX_PAGE(hx_alloc_bitmap_page(g)), &bm);
        if (rc)
            return rc;
        for (uint64_t i = 0; i < HX_ALLOC_GROUP_PAGES; i++) {
            uint64_t page = g * HX_ALLOC_GROUP_PAGES + i;
            bool in_use = page < c->pages && (c->seen[page / 8] >> (page % 8) & 1);
            if (hx_alloc_bit(bm, page) != in_use)
                return bad(c, in_use ? "a page in use is marked free" : "a page that nothing uses is taken", page);
        }
    }
    return 0;
}

static int run(struct check *c)
{
    static const struct hx_btree_visitor visitor = {NULL, see_node, see_item};
    struct hx_btree_visitor v = visitor;
    const char *why = NULL;
    v.arg = c;
    int rc = hx_btree_walk(&c->fs->tree, &v, &why);
    if (rc && why)
        return bad(c, why, 0);
    if (rc == 0)
        rc = check_entries(c);
    if (rc == 0)
        rc = check_facts(c);
    if (rc == 0)
        rc = check_lists(c);
    return rc ? rc : check_bitmaps(c);
}

int hx_fs_verify(struct hx_fs *fs, char why[256])
{
    struct check c = {.fs = fs, .why = why, .pages = hx_pager_pages(fs->p)};
    why[0] = '\0';
    int rc = hx_op_ready(fs);
    if (rc)
        return rc;
    c.seen = calloc(1, c.pages / 8 + 1);
    rc = c.seen ? run(&c) : HX_E_NOMEM;
    free(c.seen);
    free(c.facts.at);
    free(c.entries.at);
    free(c.orphans.at);
    free(c.tails.at);
    return rc;
}
