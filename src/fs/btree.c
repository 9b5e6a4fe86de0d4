/*
 * btree.c - the one B+tree of the volume: inodes, directories, extents, everything that is not file data.
 *
 * It does not know what values mean, and never waits: an absent page is HX_E_MISS, and an error within a
 * mini-transaction is undone by the pager's abort (whoever began it calls hx_btree_aborted, too).
 *
 * A leaf holds items; an inner node holds cells whose key is a separator and whose value is a child's page.
 * Invariants:
 *   T1 the root stays on its page: growing copies it down, shrinking copies its only child up.
 *   T2 child i of a node holds the keys from its separator up to the next one, and separator 0 of a node is
 *      the separator of the node itself (the root's: the zero key).  So a search never falls off the left.
 *   T3 all leaves are at level 0, a child is one level below its parent.
 *   T4 nodes have no sibling links: the neighbour is found from the top by the bound of the leaf.  So a split
 *      changes two nodes and the parent, no more.
 *   T5 a finger is used only when its shape is the tree's: any split, merge, growth, and an abort after one,
 *      raises the shape.  Insertions and removals inside a leaf do not matter to it.
 * A leaf may be empty, when its neighbours were too full to merge with.
 *
 * Allocates nothing.
 */
#include "btree.h"

#include "hexad/assert.h"

struct path {
    unsigned depth; /* nodes in it; the last is the leaf */
    uint64_t page[HX_TNODE_LEVELS];
    unsigned pos[HX_TNODE_LEVELS]; /* which cell of that (inner) node leads on */
    struct hx_finger leaf;
};

void hx_btree_init(struct hx_btree *t, struct hx_pager *p, struct hx_alloc *alloc, uint64_t root)
{
    *t = (struct hx_btree){.p = p, .alloc = alloc, .root = root};
}

void hx_btree_begin(struct hx_btree *t)
{
    t->reshaped = false;
}

void hx_btree_aborted(struct hx_btree *t)
{
    if (t->reshaped)
        t->shape++;
    t->reshaped = false;
}

static void reshape(struct hx_btree *t)
{
    t->shape++;
    t->reshaped = true;
}

static int get_node(struct hx_btree *t, uint64_t page, const uint8_t **ret)
{
    int rc = hx_pager_get(t->p, HX_PAGE(page), ret);
    if (rc == HX_E_INVAL)
        return HX_E_CORRUPT; /* a pointer to nowhere */
    if (rc == 0 && !hx_tnode_head_ok(*ret, page))
        return HX_E_CORRUPT;
    return rc;
}

static int edit_node(struct hx_btree *t, uint64_t page, uint8_t **ret)
{
    int rc = hx_pager_edit(t->p, HX_PAGE(page), HX_EDIT_KEEP, ret);
    if (rc == 0 && !hx_tnode_ok(*ret, page))
        return HX_E_CORRUPT;
    return rc;
}

/* One step down: which child of N leads to KEY, narrowing the bounds in *f. */
static int step(const uint8_t *n, struct hx_key key, unsigned *ret_pos, uint64_t *ret_child, struct hx_finger *f)
{
    bool found;
    struct hx_item it;
    int i = hx_tnode_search(n, key, &found);
    if (i < 0)
        return i;
    if (!found && i-- == 0)
        return HX_E_CORRUPT; /* T2 */
    if (!hx_tnode_at(n, (unsigned)i, &it))
        return HX_E_CORRUPT;
    *ret_pos = (unsigned)i;
    *ret_child = hx_tnode_child(&it);
    f->low = it.key;
    if ((unsigned)i + 1 < hx_tnode_count(n)) {
        if (!hx_tnode_at(n, (unsigned)i + 1, &it))
            return HX_E_CORRUPT;
        f->high = it.key;
        f->endless = false;
    }
    return 0;
}

/* From the root to the leaf for KEY. */
static int descend(struct hx_btree *t, struct hx_key key, struct path *ret)
{
    uint64_t page = t->root;
    unsigned level = HX_TNODE_LEVELS;
    ret->leaf = (struct hx_finger){.shape = t->shape, .endless = true};
    for (unsigned d = 0; d < HX_TNODE_LEVELS; d++) {
        const uint8_t *n;
        int rc = get_node(t, page, &n);
        if (rc)
            return rc;
        if (d > 0 && hx_tnode_level(n) + 1 != level)
            return HX_E_CORRUPT; /* T3 */
        level = hx_tnode_level(n);
        ret->page[d] = page;
        ret->depth = d + 1;
        if (level == 0) {
            ret->leaf.leaf = page;
            return 0;
        }
        rc = step(n, key, &ret->pos[d], &page, &ret->leaf);
        if (rc)
            return rc;
    }
    return HX_E_CORRUPT;
}

static bool finger_holds(const struct hx_btree *t, const struct hx_finger *f, struct hx_key key)
{
    return f->leaf != 0 && f->shape == t->shape && hx_key_cmp(f->low, key) <= 0 &&
           (f->endless || hx_key_cmp(key, f->high) < 0);
}

/* The leaf for KEY: from a finger when one knows it, else from the root. */
static int find_leaf(struct hx_btree *t, struct hx_key key, const uint8_t **ret_node, struct hx_finger *ret)
{
    struct path path;
    for (unsigned i = 0; i < HX_BTREE_FINGERS; i++)
        if (finger_holds(t, &t->fingers[i], key)) {
            *ret = t->fingers[i];
            return get_node(t, ret->leaf, ret_node);
        }
    int rc = descend(t, key, &path);
    if (rc)
        return rc;
    *ret = t->fingers[t->next_finger++ % HX_BTREE_FINGERS] = path.leaf;
    return get_node(t, ret->leaf, ret_node);
}

static int item_at(const uint8_t *n, int i, struct hx_item *ret)
{
    return hx_tnode_at(n, (unsigned)i, ret) ? 0 : HX_E_CORRUPT;
}

int hx_btree_find(struct hx_btree *t, struct hx_key key, struct hx_item *ret)
{
    const uint8_t *n;
    struct hx_finger f;
    bool found;
    int rc = find_leaf(t, key, &n, &f);
    if (rc)
        return rc;
    int i = hx_tnode_search(n, key, &found);
    if (i < 0)
        return i;
    return found ? item_at(n, i, ret) : HX_E_NOENT;
}

/* The key just below KEY; false when KEY is the zero key. */
static bool before(struct hx_key *key)
{
    if (key->k-- > 0)
        return true;
    if (key->type-- > 0)
        return true;
    return key->ino-- > 0;
}

int hx_btree_floor(struct hx_btree *t, struct hx_key key, struct hx_item *ret)
{
    for (;;) {
        const uint8_t *n;
        struct hx_finger f;
        bool found;
        int rc = find_leaf(t, key, &n, &f);
        if (rc)
            return rc;
        int i = hx_tnode_search(n, key, &found);
        if (i < 0)
            return i;
        if (found || i > 0)
            return item_at(n, found ? i : i - 1, ret);
        if (hx_key_cmp(f.low, key) > 0)
            return HX_E_CORRUPT; /* separators out of order: would go round for ever */
        key = f.low;
        if (!before(&key))
            return HX_E_NOENT;
    }
}

int hx_btree_ceil(struct hx_btree *t, struct hx_key key, struct hx_item *ret)
{
    for (;;) {
        const uint8_t *n;
        struct hx_finger f;
        bool found;
        int rc = find_leaf(t, key, &n, &f);
        if (rc)
            return rc;
        int i = hx_tnode_search(n, key, &found);
        if (i < 0)
            return i;
        if ((unsigned)i < hx_tnode_count(n))
            return item_at(n, i, ret);
        if (f.endless)
            return HX_E_NOENT;
        if (hx_key_cmp(f.high, key) <= 0)
            return HX_E_CORRUPT; /* separators out of order: would go round for ever */
        key = f.high;
    }
}

int hx_btree_want(struct hx_btree *t, struct hx_key from, struct hx_key to, unsigned n)
{
    uint64_t page = t->root;
    for (unsigned d = 0; d < HX_TNODE_LEVELS; d++) {
        const uint8_t *node;
        unsigned pos = 0;
        uint64_t child;
        struct hx_finger bounds = {0};
        struct hx_item it;
        int rc = get_node(t, page, &node);
        if (rc || hx_tnode_level(node) == 0)
            return rc;
        rc = step(node, from, &pos, &child, &bounds);
        if (rc)
            return rc;
        page = child;
        if (hx_tnode_level(node) > 1)
            continue;
        for (; n > 0 && pos < hx_tnode_count(node); n--, pos++) {
            if (!hx_tnode_at(node, pos, &it))
                return HX_E_CORRUPT;
            if (hx_key_cmp(it.key, to) > 0)
                break;
            (void)hx_pager_want(t->p, HX_PAGE(hx_tnode_child(&it)));
        }
        return 0;
    }
    return HX_E_CORRUPT;
}

int hx_btree_edit(struct hx_btree *t, struct hx_key key, uint8_t **ret_val, size_t *ret_len)
{
    const uint8_t *n;
    uint8_t *e;
    struct hx_finger f;
    struct hx_item it;
    bool found;
    int rc = find_leaf(t, key, &n, &f);
    if (rc)
        return rc;
    int i = hx_tnode_search(n, key, &found);
    if (i < 0)
        return i;
    if (!found)
        return HX_E_NOENT;
    rc = item_at(n, i, &it);
    if (rc == 0)
        rc = edit_node(t, f.leaf, &e);
    if (rc)
        return rc;
    *ret_len = it.len;
    *ret_val = hx_tnode_value(e, (unsigned)i);
    return 0;
}

/* --- growing ------------------------------------------------------------------------------------ */

/* A fresh page; never one of PATH, which a damaged bitmap may call free: it would be split into itself. */
static int new_node(struct hx_btree *t, const struct path *path, uint64_t *ret_page, uint8_t **ret)
{
    int rc = hx_alloc_node(t->alloc, ret_page);
    for (unsigned d = 0; rc == 0 && d < path->depth; d++)
        if (path->page[d] == *ret_page)
            rc = HX_E_CORRUPT;
    return rc ? rc : hx_pager_edit(t->p, HX_PAGE(*ret_page), HX_EDIT_ZEROS, ret);
}

/* Puts the root's content one level down (T1), so that there is a parent to split under. */
static int grow_root(struct hx_btree *t, struct path *path)
{
    uint64_t page;
    uint8_t *root, *child, ref[8];
    if (path->depth == HX_TNODE_LEVELS)
        return HX_E_NOSPACE; /* beyond any volume: more than 60^15 items */
    int rc = edit_node(t, t->root, &root);
    if (rc == 0)
        rc = new_node(t, path, &page, &child);
    if (rc)
        return rc;
    hx_tnode_copy(child, root, page);
    hx_tnode_init(root, t->root, hx_tnode_level(child) + 1);
    hx_put_u64(ref, page);
    hx_tnode_insert(root, 0, HX_KEY(0, 0, 0), ref, sizeof ref);
    for (unsigned d = path->depth; d > 0; d--) {
        path->page[d] = path->page[d - 1];
        path->pos[d] = path->pos[d - 1];
    }
    path->page[1] = page;
    path->pos[0] = 0;
    path->depth++;
    return 0;
}

/* How many cells stay in a node that is split when a value of LEN bytes comes to index POS. */
static unsigned split_point(const uint8_t *n, unsigned pos, size_t len)
{
    unsigned count = hx_tnode_count(n), i;
    if (pos == count && hx_tnode_level(n) == 0)
        return count; /* rising keys: leave this leaf full */
    size_t half = (hx_tnode_used(n) + hx_tnode_cost(len)) / 2, sum = 0;
    for (i = 0; i < count && sum < half; i++) {
        struct hx_item it;
        bool inside = hx_tnode_at(n, i, &it);
        hx_assert(inside); /* hx_tnode_ok has looked */
        if (i == pos) {
            sum += hx_tnode_cost(len);
            if (sum >= half)
                break; /* the new one ends the left half */
        }
        sum += hx_tnode_cost(it.len);
    }
    return i < count ? i : count - 1;
}

static int insert_at(struct hx_btree *t, struct path *path, unsigned d, unsigned pos, struct hx_key key,
                     const uint8_t *val, size_t len);

/* Splits node D of the path and inserts into the right half of the two. */
static int split(struct hx_btree *t, struct path *path, unsigned d, unsigned pos, struct hx_key key,
                 const uint8_t *val, size_t len)
{
    uint64_t right_page;
    uint8_t *left, *right, ref[8];
    struct hx_item first;
    int rc = edit_node(t, path->page[d], &left);
    if (rc)
        return rc;
    if (hx_tnode_count(left) < 2)
        return HX_E_CORRUPT; /* full with one item: not ours */
    rc = new_node(t, path, &right_page, &right);
    if (rc)
        return rc;
    unsigned stay = split_point(left, pos, len);
    hx_tnode_init(right, right_page, hx_tnode_level(left));
    hx_tnode_move_tail(right, left, stay);
    if (pos < stay || (pos == stay && pos > 0 && hx_tnode_count(right) > 0 && hx_tnode_fits(left, len)))
        hx_tnode_insert(left, pos, key, val, len);
    else
        hx_tnode_insert(right, pos - stay, key, val, len);
    bool inside = hx_tnode_at(right, 0, &first);
    hx_assert(inside);
    hx_put_u64(ref, right_page);
    return insert_at(t, path, d - 1, path->pos[d - 1] + 1, first.key, ref, sizeof ref);
}

static int insert_at(struct hx_btree *t, struct path *path, unsigned d, unsigned pos, struct hx_key key,
                     const uint8_t *val, size_t len)
{
    uint8_t *n;
    int rc = edit_node(t, path->page[d], &n);
    if (rc)
        return rc;
    if (hx_tnode_fits(n, len)) {
        hx_tnode_insert(n, pos, key, val, len);
        return 0;
    }
    reshape(t);
    if (d == 0) {
        rc = grow_root(t, path);
        if (rc)
            return rc;
        d = 1;
    }
    return split(t, path, d, pos, key, val, len);
}

int hx_btree_insert(struct hx_btree *t, struct hx_key key, const void *val, size_t len)
{
    const uint8_t *n;
    struct hx_finger f;
    struct path path;
    bool found;
    hx_assert(len <= HX_TNODE_VALUE_MAX);
    int rc = find_leaf(t, key, &n, &f);
    if (rc)
        return rc;
    int i = hx_tnode_search(n, key, &found);
    if (i < 0)
        return i;
    if (found)
        return HX_E_EXIST;
    if (hx_tnode_fits(n, len)) { /* the leaf is all that is needed */
        path.depth = 1;
        path.page[0] = f.leaf;
        return insert_at(t, &path, 0, (unsigned)i, key, val, len);
    }
    rc = descend(t, key, &path);
    return rc ? rc : insert_at(t, &path, path.depth - 1, (unsigned)i, key, val, len);
}

/* --- shrinking ---------------------------------------------------------------------------------- */

/* While the root is an inner node with one child, the child takes its place (T1). */
static int shrink_root(struct hx_btree *t)
{
    for (;;) {
        const uint8_t *n, *c;
        uint8_t *root;
        struct hx_item it;
        int rc = get_node(t, t->root, &n);
        if (rc || hx_tnode_level(n) == 0 || hx_tnode_count(n) != 1)
            return rc;
        if (!hx_tnode_at(n, 0, &it))
            return HX_E_CORRUPT;
        uint64_t child = hx_tnode_child(&it);
        rc = get_node(t, child, &c);
        if (rc == 0 && hx_tnode_level(c) + 1 != hx_tnode_level(n))
            rc = HX_E_CORRUPT; /* T3 */
        if (rc == 0)
            rc = hx_pager_edit(t->p, HX_PAGE(t->root), HX_EDIT_KEEP, &root);
        if (rc)
            return rc;
        hx_tnode_copy(root, c, t->root);
        rc = hx_alloc_free(t->alloc, child, 1);
        if (rc)
            return rc;
    }
}

static int child_at(struct hx_btree *t, uint64_t parent, unsigned pos, uint64_t *ret_page, const uint8_t **ret)
{
    const uint8_t *n;
    struct hx_item it;
    int rc = get_node(t, parent, &n);
    if (rc)
        return rc;
    if (!hx_tnode_at(n, pos, &it))
        return HX_E_CORRUPT;
    *ret_page = hx_tnode_child(&it);
    rc = get_node(t, *ret_page, ret);
    return rc == 0 && hx_tnode_level(*ret) + 1 != hx_tnode_level(n) ? HX_E_CORRUPT : rc; /* T3 */
}

/* Merges child POS + 1 of PARENT into child POS when that leaves some room: 1 done, 0 not. */
static int merge(struct hx_btree *t, uint64_t parent, unsigned pos)
{
    uint64_t lp, rp;
    const uint8_t *l, *r;
    uint8_t *left, *right, *up;
    int rc = child_at(t, parent, pos, &lp, &l);
    if (rc == 0)
        rc = child_at(t, parent, pos + 1, &rp, &r);
    if (rc == 0 && lp == rp)
        rc = HX_E_CORRUPT; /* one child twice: it would be merged into itself */
    if (rc)
        return rc;
    size_t used = hx_tnode_used(l) + hx_tnode_used(r), cap = hx_tnode_capacity();
    bool empty = hx_tnode_count(l) == 0 || hx_tnode_count(r) == 0;
    if (used > (empty ? cap : cap / 4 * 3))
        return 0;
    reshape(t);
    rc = edit_node(t, lp, &left);
    if (rc == 0)
        rc = edit_node(t, rp, &right);
    if (rc == 0)
        rc = edit_node(t, parent, &up);
    if (rc)
        return rc;
    hx_tnode_move_tail(left, right, 0);
    hx_tnode_remove(up, pos + 1);
    rc = hx_alloc_free(t->alloc, rp, 1);
    return rc ? rc : 1;
}

/* Node D of the path has lost something: merges upwards while nodes are less than a quarter full. */
static int rebalance(struct hx_btree *t, const struct path *path, unsigned d)
{
    for (; d > 0; d--) {
        const uint8_t *n, *up;
        uint64_t parent = path->page[d - 1];
        unsigned pos = path->pos[d - 1];
        int rc = get_node(t, path->page[d], &n);
        if (rc == 0)
            rc = get_node(t, parent, &up);
        if (rc)
            return rc;
        if (hx_tnode_used(n) >= hx_tnode_capacity() / 4)
            return 0;
        unsigned siblings = hx_tnode_count(up);
        if (pos > 0)
            rc = merge(t, parent, pos - 1);
        if (rc == 0 && pos + 1 < siblings)
            rc = merge(t, parent, pos);
        if (rc <= 0)
            return rc;
    }
    return shrink_root(t);
}

int hx_btree_delete(struct hx_btree *t, struct hx_key key)
{
    const uint8_t *n;
    uint8_t *e;
    struct hx_finger f;
    struct path path;
    bool found;
    int rc = find_leaf(t, key, &n, &f);
    if (rc)
        return rc;
    int i = hx_tnode_search(n, key, &found);
    if (i < 0)
        return i;
    if (!found)
        return HX_E_NOENT;
    rc = edit_node(t, f.leaf, &e);
    if (rc)
        return rc;
    hx_tnode_remove(e, (unsigned)i);
    if (hx_tnode_used(e) >= hx_tnode_capacity() / 4 || f.leaf == t->root)
        return 0;
    rc = descend(t, key, &path);
    return rc ? rc : rebalance(t, &path, path.depth - 1);
}

/* --- moving nodes ------------------------------------------------------------------------------- */

/* The first node of the path below the root (which stays, T1) at or above page KEEP; 0: none. */
static unsigned high_node(const struct path *path, uint64_t keep)
{
    for (unsigned d = 1; d < path->depth; d++)
        if (path->page[d] >= keep)
            return d;
    return 0;
}

int hx_btree_look(struct hx_btree *t, struct hx_key key, uint64_t keep, bool *ret_high, struct hx_key *ret_next,
                  bool *ret_endless)
{
    struct path path;
    int rc = descend(t, key, &path);
    if (rc)
        return rc;
    *ret_high = high_node(&path, keep) > 0;
    *ret_next = path.leaf.high;
    *ret_endless = path.leaf.endless;
    return hx_key_cmp(path.leaf.high, key) > 0 || path.leaf.endless ? 0 : HX_E_CORRUPT; /* else round for ever */
}

int hx_btree_lower(struct hx_btree *t, struct hx_key key, uint64_t keep)
{
    struct path path;
    struct hx_item it;
    const uint8_t *old;
    uint8_t *up, *new;
    uint64_t page;
    int rc = descend(t, key, &path);
    unsigned d = rc ? 0 : high_node(&path, keep);
    if (d == 0)
        return rc;
    reshape(t);
    rc = edit_node(t, path.page[d - 1], &up);
    if (rc == 0)
        rc = get_node(t, path.page[d], &old);
    if (rc == 0 && (!hx_tnode_ok(old, path.page[d]) || !hx_tnode_at(up, path.pos[d - 1], &it) || it.len != 8))
        rc = HX_E_CORRUPT;
    if (rc == 0)
        rc = new_node(t, &path, &page, &new);
    if (rc)
        return rc;
    hx_tnode_copy(new, old, page);
    hx_put_u64(hx_tnode_value(up, path.pos[d - 1]), page);
    return hx_alloc_free(t->alloc, path.page[d], 1);
}

/* --- walking, for verify ------------------------------------------------------------------------ */

struct walk {
    struct hx_btree *t;
    const struct hx_btree_visitor *v;
    const char *why;
    bool missed; /* some page was absent: the walk went on to ask for the others, too */
};

static int bad(struct walk *w, const char *why)
{
    w->why = why;
    return HX_E_CORRUPT;
}

static int walk_node(struct walk *w, uint64_t page, unsigned level, const struct hx_finger *range);

/* Cell I of inner node N, and its subtree. */
static int walk_child(struct walk *w, const uint8_t *n, unsigned i, const struct hx_finger *range)
{
    struct hx_item it, next;
    struct hx_finger sub = *range;
    if (!hx_tnode_at(n, i, &it) || it.len != 8)
        return bad(w, "a cell of an inner node is no child");
    if (i == 0 && hx_key_cmp(it.key, range->low) != 0)
        return bad(w, "the first separator of a node is not its own (T2)");
    sub.low = it.key;
    if (i + 1 < hx_tnode_count(n)) {
        if (!hx_tnode_at(n, i + 1, &next))
            return bad(w, "a cell is outside its page");
        sub.high = next.key;
        sub.endless = false;
    }
    return walk_node(w, hx_tnode_child(&it), hx_tnode_level(n) - 1, &sub);
}

static int walk_cells(struct walk *w, const uint8_t *n, const struct hx_finger *range)
{
    struct hx_key last = range->low;
    for (unsigned i = 0; i < hx_tnode_count(n); i++) {
        struct hx_item it;
        if (!hx_tnode_at(n, i, &it))
            return bad(w, "a cell is outside its page");
        int c = hx_key_cmp(last, it.key);
        if (c > 0 || (i > 0 && c == 0))
            return bad(w, "keys do not rise, or lie below the node's separator");
        if (!range->endless && hx_key_cmp(it.key, range->high) >= 0)
            return bad(w, "a key lies beyond the next separator");
        last = it.key;
        int rc = 0;
        if (hx_tnode_level(n) > 0)
            rc = walk_child(w, n, i, range);
        else if (!w->missed)
            rc = w->v->item(w->v->arg, &it);
        if (rc)
            return rc;
    }
    return 0;
}

static int walk_node(struct walk *w, uint64_t page, unsigned level, const struct hx_finger *range)
{
    const uint8_t *n;
    int rc = hx_pager_get(w->t->p, HX_PAGE(page), &n);
    if (rc == HX_E_MISS) {
        w->missed = true;
        return 0;
    }
    if (rc)
        return bad(w, "a node cannot be read");
    if (!hx_tnode_ok(n, page))
        return bad(w, "a page of the tree is no node");
    if (level != HX_TNODE_LEVELS && hx_tnode_level(n) != level)
        return bad(w, "a child is not one level below its parent (T3)");
    if (hx_tnode_level(n) > 0 && hx_tnode_count(n) == 0)
        return bad(w, "an inner node is empty");
    if (!w->v->node(w->v->arg, page))
        return bad(w, "a page is used twice");
    return walk_cells(w, n, range);
}

int hx_btree_walk(struct hx_btree *t, const struct hx_btree_visitor *v, const char **ret_why)
{
    struct walk w = {t, v, NULL, false};
    struct hx_finger all = {.endless = true};
    int rc = walk_node(&w, t->root, HX_TNODE_LEVELS, &all);
    if (rc == 0 && w.missed)
        rc = HX_E_MISS;
    *ret_why = w.why;
    return rc;
}
