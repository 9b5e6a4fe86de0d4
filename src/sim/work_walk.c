/*
 * work_walk.c - the whole tree against the model: attributes, names, bytes, holes, links; then every structure.
 *
 * It goes through the filesystem's own calls, in steps: a step that must wait is taken again, those before it are not.
 * Nothing changes meanwhile (work.c, W4), so the model's nodes are simply visited in order.  Of a file, every written
 * byte is read, and of each hole its two ends; holes are found by seeking.
 */
#include "work_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define READ_BYTES (256u << 10)
#define LIST_ENTRIES 32u

enum stage { ATTR = 0, XATTRS, BYTES, HOLES, TEXT, LIST, NAMES, NEXT };
struct hx_walk {
    size_t node;
    enum stage stage;
    uint64_t off;    /* BYTES, HOLES */
    uint64_t cookie; /* LIST */
    uint32_t entry;  /* NAMES, XATTRS: how many are done */
};

void hx_walk_free(struct hx_walk *k)
{
    free(k);
}

/* Runs ONE with p->act set for it. */
static int part(struct hx_prog *p, enum hx_act_kind kind, uint64_t ino, uint64_t off, uint64_t len,
                int (*one)(struct hx_prog *))
{
    const struct hx_act was = p->act;
    p->act = (struct hx_act){.kind = kind, .ino = ino, .off = off, .len = len, .name = was.name, .data = was.data};
    p->w->host.begin(p->w->host.ctx);
    return one(p);
}

/* Where to read next: all that is written, the first and the last page of what is not.  False: the end. */
static bool next_range(const struct hx_tree_inode *n, uint64_t off, uint64_t *ret_len)
{
    uint64_t end;
    if (off >= n->a.size)
        return false;
    hx_spans_at(&n->data, off, &end);
    uint64_t len = end - off < n->a.size - off ? end - off : n->a.size - off;
    *ret_len = len < READ_BYTES ? len : READ_BYTES;
    return true;
}

static int walk_bytes(struct hx_prog *p, struct hx_walk *k, const struct hx_tree_inode *n)
{
    uint64_t len, end;
    while (next_range(n, k->off, &len)) {
        int rc = part(p, HX_ACT_READ, n->a.ino, k->off, len, hx_work_read);
        if (rc)
            return rc;
        k->off += len;
        if (hx_spans_at(&n->data, k->off, &end) == 0 && end > k->off && k->off < n->a.size) {
            uint64_t last = end < n->a.size ? end : n->a.size;
            if (last - k->off > READ_BYTES + HX_PAGE_SIZE)
                k->off = last - HX_PAGE_SIZE; /* within a hole */
        }
    }
    return 0;
}

static int walk_holes(struct hx_prog *p, struct hx_walk *k, const struct hx_tree_inode *n)
{
    while (k->off < n->a.size) {
        uint64_t data = n->a.size, hole = n->a.size;
        p->act.data = true;
        int rc = part(p, HX_ACT_SEEK, n->a.ino, k->off, 0, hx_work_seek);
        if (rc && rc != HX_E_EOF)
            return rc;
        (void)hx_tree_seek(n, k->off, true, &data);
        p->act.data = false;
        rc = part(p, HX_ACT_SEEK, n->a.ino, data, 0, hx_work_seek);
        if (rc && rc != HX_E_EOF)
            return rc;
        (void)hx_tree_seek(n, data, false, &hole);
        k->off = hole > k->off ? hole : n->a.size;
    }
    return 0;
}

static int walk_list(struct hx_prog *p, struct hx_walk *k, const struct hx_tree_inode *n)
{
    do {
        if (k->cookie == 0) {
            p->serial = ++p->w->listings;
            p->born = p->w->tree->changes;
        }
        int rc = part(p, HX_ACT_READDIR, n->a.ino, k->cookie, LIST_ENTRIES, hx_work_list);
        if (rc)
            return rc;
        k->cookie = p->cookie;
    } while (k->cookie != 0);
    return 0;
}

static int walk_names(struct hx_prog *p, struct hx_walk *k, const struct hx_tree_inode *n)
{
    const struct hx_tree *t = p->w->tree;
    uint32_t at = 0;
    for (const struct hx_entry *e = hx_tree_first(t, n); e; e = hx_tree_next(t, e)) {
        if (at++ < k->entry)
            continue;
        p->act.name = e->name;
        int rc = part(p, HX_ACT_LOOKUP, n->a.ino, 0, 0, hx_work_lookup);
        if (rc)
            return rc;
        uint64_t ino = p->attr.ino, owed = hx_tree_let_go(p->w->tree, ino);
        if (owed)
            hx_fs_forget(p->w->fs, ino, owed);
        k->entry++;
    }
    return 0;
}

/* Their names, then each value; whether one is not there, the list says. */
static int walk_xattrs(struct hx_prog *p, struct hx_walk *k, const struct hx_tree_inode *n)
{
    if (k->entry == 0) {
        int rc = part(p, HX_ACT_XLIST, n->a.ino, 0, 0, hx_work_xlist);
        if (rc)
            return rc;
    }
    for (; k->entry < HX_XATTR_NAMES; k->entry++) {
        if (n->attrs[k->entry].len1 == 0)
            continue;
        p->act.name = k->entry;
        int rc = part(p, HX_ACT_XGET, n->a.ino, 0, 0, hx_work_xget);
        if (rc)
            return rc;
    }
    return 0;
}

static int walk_attr(struct hx_prog *p, struct hx_tree_inode *n)
{
    if (!p->w->reap_all && !hx_fs_has_work(p->w->fs))
        n->loose_blocks = false; /* everything that is to be freed has been */
    return part(p, HX_ACT_GETATTR, n->a.ino, 0, 0, hx_work_getattr);
}

static int stage(struct hx_prog *p, struct hx_walk *k, struct hx_tree_inode *n)
{
    uint32_t type = n->a.mode & S_IFMT;
    switch (k->stage) {
    case ATTR:
        return walk_attr(p, n);
    case XATTRS:
        return walk_xattrs(p, k, n);
    case BYTES:
        return type == S_IFREG ? walk_bytes(p, k, n) : 0;
    case HOLES:
        return type == S_IFREG ? walk_holes(p, k, n) : 0;
    case TEXT:
        return type == S_IFLNK ? part(p, HX_ACT_READLINK, n->a.ino, 0, 0, hx_work_readlink) : 0;
    case LIST:
        return type == S_IFDIR && n->a.nlink > 0 ? walk_list(p, k, n) : 0;
    default:
        return type == S_IFDIR && n->a.nlink > 0 ? walk_names(p, k, n) : 0;
    }
}

static int walk_node(struct hx_prog *p, struct hx_walk *k, struct hx_tree_inode *n)
{
    for (; k->stage < NEXT; k->stage++) {
        int rc = stage(p, k, n);
        if (rc)
            return rc;
        k->off = k->cookie = 0;
        k->entry = 0;
    }
    k->stage = ATTR;
    return 0;
}

/* The structure; and that there are as many inodes as there should be. */
static int verify(struct hx_prog *p)
{
    struct hx_work *w = p->w;
    struct hx_fs_statfs st;
    char why[256];
    w->host.begin(w->host.ctx);
    int rc = hx_fs_verify(w->fs, why);
    if (rc && !hx_work_must_wait(rc) && !hx_work_is_failure(rc))
        hx_work_wrong(p, "%s: %s", hx_err_info(rc)->name, why);
    if (rc)
        return rc;
    w->host.begin(w->host.ctx);
    rc = hx_fs_statfs(w->fs, &st);
    if (rc)
        return rc;
    bool reaped = !w->reap_all && !hx_fs_has_work(w->fs);
    if (reaped ? st.inodes != w->tree->count : st.inodes < w->tree->count)
        hx_work_wrong(p, "%llu inodes instead of %llu", (unsigned long long)st.inodes,
                      (unsigned long long)w->tree->count);
    return 0;
}

int hx_walk_run(struct hx_prog *p)
{
    struct hx_work *w = p->w;
    const struct hx_act act = p->act;
    struct hx_walk *k = w->walk;
    int rc = 0;
    if (!k) {
        k = w->walk = calloc(1, sizeof *k);
        hx_assert(k);
    }
    while (rc == 0 && k->node < w->tree->count && !hx_sim_over(w->s)) {
        rc = walk_node(p, k, w->tree->all[k->node]);
        k->node += rc == 0;
    }
    if (rc == 0) {
        p->act = act;
        rc = verify(p);
    }
    p->act = act;
    p->judged = !hx_work_must_wait(rc);
    if (rc)
        return rc;
    hx_walk_free(k);
    w->walk = NULL;
    w->compare = false;
    w->stats.compares++;
    hx_sim_note(w->s, HX_NOTE_CHECK, 'c', w->client, w->epoch.v, w->tree->count, w->tree->data_pages);
    return 0;
}
