/*
 * tree.c - the model's store: nodes, entries, names, who holds what.  What operations do to it: tree_act.c,
 * tree_xattr.c.
 *
 * Inodes and entries are found by hashing; an entry is also in the list of its directory.  Order of lists and places
 * depends on the operations only, so a run repeats exactly (sim.h, S1).
 */
#include "tree_private.h"

#include "hexad/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const hx_act_name[HX_ACT_COUNT] = {
#define X(name) #name,
    HX_ACTS(X)
#undef X
};

static uint64_t mix(uint64_t x)
{
    x *= UINT64_C(0x9e3779b97f4a7c15);
    return x ^ x >> 32;
}

/* ---- names ---- */
void hx_name_text(uint32_t name, char text[HX_FS_NAME_MAX + 2])
{
    size_t len = name % 13 == 0 ? HX_FS_NAME_MAX : name % 5 == 0 ? 40 : 0;
    if (name == HX_NAME_TOO_LONG)
        len = HX_FS_NAME_MAX + 1;
    int n = snprintf(text, HX_FS_NAME_MAX + 2, "n%x", name);
    if (len == 0)
        return;
    memset(text + n, '_', len - (size_t)n);
    text[len] = '\0';
}

uint32_t hx_name_number(const char *text)
{
    char again[HX_FS_NAME_MAX + 2];
    uint32_t name = 0;
    for (const char *p = text + (text[0] == 'n'); *p && *p != '_'; p++)
        name = name << 4 | (uint32_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
    hx_name_text(name, again);
    return strcmp(text, again) == 0 ? name : UINT32_MAX - 1;
}

void hx_symlink_text(uint64_t tag, size_t len, char *text)
{
    hx_pattern_fill(tag & ~HX_TAG_FLAT, 0, (uint8_t *)text, len);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + (text[i] & 15));
    text[len] = '\0';
}

/* ---- nodes ---- */
struct hx_tree_inode *hx_tree_node(const struct hx_tree *t, uint64_t ino)
{
    struct hx_tree_inode *n = t->bucket_count ? t->buckets[mix(ino) & (t->bucket_count - 1)] : NULL;
    while (n && n->a.ino != ino)
        n = n->next;
    return n;
}

static void link_node(struct hx_tree *t, struct hx_tree_inode *n)
{
    struct hx_tree_inode **b = &t->buckets[mix(n->a.ino) & (t->bucket_count - 1)];
    n->next = *b;
    *b = n;
}

static void more_buckets(struct hx_tree *t)
{
    free(t->buckets);
    t->bucket_count = t->bucket_count ? 2 * t->bucket_count : 64;
    t->buckets = calloc(t->bucket_count, sizeof(struct hx_tree_inode *));
    hx_assert(t->buckets);
    for (size_t i = 0; i < t->count; i++)
        link_node(t, t->all[i]);
}

struct hx_tree_inode *hx_tree_add_node(struct hx_tree *t, const struct hx_fs_attr *a)
{
    struct hx_tree_inode *n = calloc(1, sizeof *n);
    hx_assert(n);
    if (t->count == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->all = realloc(t->all, t->cap * sizeof(struct hx_tree_inode *));
        hx_assert(t->all);
    }
    if (t->count >= t->bucket_count)
        more_buckets(t);
    n->a = *a;
    n->place = t->count;
    t->all[t->count++] = n;
    link_node(t, n);
    if (a->ino > t->top_ino)
        t->top_ino = a->ino;
    return n;
}

static void free_node(struct hx_tree_inode *n)
{
    hx_spans_fini(&n->data);
    hx_spans_fini(&n->pages);
    free(n);
}

/* A node without link, holder and operation goes. */
void hx_tree_settle(struct hx_tree *t, struct hx_tree_inode *n)
{
    if (t->keep || n->a.nlink > 0 || n->held > 0 || n->owed > 0 || n->pins > 0)
        return;
    struct hx_tree_inode **b = &t->buckets[mix(n->a.ino) & (t->bucket_count - 1)];
    while (*b != n)
        b = &(*b)->next;
    *b = n->next;
    t->all[n->place] = t->all[--t->count];
    t->all[n->place]->place = n->place;
    t->data_pages -= n->pages.total;
    hx_tree_drop_xattrs(t, n);
    free_node(n);
}

void hx_tree_hold(struct hx_tree *t, uint64_t ino)
{
    struct hx_tree_inode *n = hx_tree_node(t, ino);
    if (n)
        n->held++;
}

/* What is owed when no operation is under way. */
static uint64_t pay(struct hx_tree *t, struct hx_tree_inode *n)
{
    if (n->pins > 0)
        return 0;
    uint64_t owed = n->owed;
    n->owed = 0;
    hx_tree_settle(t, n);
    return owed;
}

uint64_t hx_tree_let_go(struct hx_tree *t, uint64_t ino)
{
    struct hx_tree_inode *n = hx_tree_node(t, ino);
    if (!n || n->held == 0)
        return 0;
    n->held--;
    n->owed++;
    return pay(t, n);
}

void hx_tree_pin(struct hx_tree *t, uint64_t ino)
{
    struct hx_tree_inode *n = hx_tree_node(t, ino);
    if (n)
        n->pins++;
}

uint64_t hx_tree_unpin(struct hx_tree *t, uint64_t ino)
{
    struct hx_tree_inode *n = hx_tree_node(t, ino);
    if (!n || n->pins == 0)
        return 0;
    n->pins--;
    return pay(t, n);
}

void hx_tree_forget_all(struct hx_tree *t)
{
    bool keep = t->keep;
    t->keep = false;
    for (size_t i = t->count; i-- > 0;) {
        struct hx_tree_inode *n = t->all[i];
        n->held = n->owed = 0;
        n->pins = 0;
        hx_tree_settle(t, n);
    }
    t->keep = keep;
}

/* ---- entries ---- */
static uint32_t *entry_bucket(const struct hx_tree *t, uint64_t dir, uint32_t name)
{
    return &t->entry_buckets[mix(mix(dir) + name) & (t->entry_bucket_count - 1)];
}

struct hx_entry *hx_tree_entry(const struct hx_tree *t, uint64_t dir, uint32_t name)
{
    uint32_t i = t->entry_bucket_count ? *entry_bucket(t, dir, name) : 0;
    while (i && (t->entries[i - 1].dir != dir || t->entries[i - 1].name != name))
        i = t->entries[i - 1].hash_next;
    return i ? &t->entries[i - 1] : NULL;
}

struct hx_entry *hx_tree_first(const struct hx_tree *t, const struct hx_tree_inode *dir)
{
    return dir->first ? &t->entries[dir->first - 1] : NULL;
}

struct hx_entry *hx_tree_next(const struct hx_tree *t, const struct hx_entry *e)
{
    return e->next ? &t->entries[e->next - 1] : NULL;
}

static void more_entries(struct hx_tree *t)
{
    uint32_t cap = t->entry_cap ? 2 * t->entry_cap : 64;
    t->entries = realloc(t->entries, cap * sizeof *t->entries);
    free(t->entry_buckets);
    t->entry_buckets = calloc(cap, sizeof *t->entry_buckets);
    hx_assert(t->entries && t->entry_buckets);
    t->entry_cap = t->entry_bucket_count = cap;
    for (uint32_t i = 0; i < t->entry_count; i++) {
        struct hx_entry *e = &t->entries[i];
        uint32_t *b = entry_bucket(t, e->dir, e->name);
        if (e->dir == 0)
            continue; /* free */
        e->hash_next = *b;
        *b = i + 1;
    }
}

void hx_tree_add_entry(struct hx_tree *t, struct hx_tree_inode *dir, uint32_t name, uint64_t ino)
{
    uint32_t i = t->free_entry;
    if (i) {
        t->free_entry = t->entries[i - 1].next;
    } else {
        if (t->entry_count == t->entry_cap)
            more_entries(t);
        i = ++t->entry_count;
    }
    struct hx_entry *e = &t->entries[i - 1];
    uint32_t *b = entry_bucket(t, dir->a.ino, name);
    *e = (struct hx_entry){.dir = dir->a.ino, .ino = ino, .born = t->changes, .name = name, .next = dir->first,
                           .hash_next = *b};
    *b = i;
    if (dir->first)
        t->entries[dir->first - 1].prev = i;
    dir->first = i;
}

void hx_tree_drop_entry(struct hx_tree *t, struct hx_tree_inode *dir, struct hx_entry *e)
{
    uint32_t i = (uint32_t)(e - t->entries) + 1, *b = entry_bucket(t, e->dir, e->name);
    while (*b != i)
        b = &t->entries[*b - 1].hash_next;
    *b = e->hash_next;
    if (e->prev)
        t->entries[e->prev - 1].next = e->next;
    else
        dir->first = e->next;
    if (e->next)
        t->entries[e->next - 1].prev = e->prev;
    *e = (struct hx_entry){.next = t->free_entry};
    t->free_entry = i;
}

bool hx_tree_is_below(const struct hx_tree *t, uint64_t dir, uint64_t ino)
{
    while (dir != ino && dir != HX_FS_ROOT) {
        const struct hx_tree_inode *n = hx_tree_node(t, dir);
        hx_assert(n);
        dir = n->parent;
    }
    return dir == ino;
}

/* ---- the whole ---- */
struct hx_tree *hx_tree_new(void)
{
    struct hx_tree *t = calloc(1, sizeof *t);
    hx_assert(t);
    return t;
}

void hx_tree_free(struct hx_tree *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        free_node(t->all[i]);
    free(t->all);
    free(t->buckets);
    free(t->entries);
    free(t->entry_buckets);
    free(t);
}

struct hx_tree *hx_tree_clone(const struct hx_tree *t)
{
    struct hx_tree *c = hx_tree_new();
    c->formatted = t->formatted;
    for (size_t i = 0; i < t->count; i++) {
        const struct hx_tree_inode *from = t->all[i];
        struct hx_tree_inode *n = hx_tree_add_node(c, &from->a), links = *n;
        *n = *from;
        n->next = links.next;
        n->place = links.place;
        hx_spans_copy(&n->data, &from->data);
        hx_spans_copy(&n->pages, &from->pages);
    }
    c->top_ino = t->top_ino;
    c->changes = t->changes;
    c->data_pages = t->data_pages;
    c->attr_bytes = t->attr_bytes;
    c->entry_count = t->entry_count;
    c->entry_cap = t->entry_cap;
    c->free_entry = t->free_entry;
    c->entry_bucket_count = t->entry_bucket_count;
    if (t->entry_cap == 0)
        return c;
    c->entries = malloc(t->entry_cap * sizeof *c->entries);
    c->entry_buckets = malloc(t->entry_cap * sizeof *c->entry_buckets);
    hx_assert(c->entries && c->entry_buckets);
    memcpy(c->entries, t->entries, t->entry_count * sizeof *c->entries);
    memcpy(c->entry_buckets, t->entry_buckets, t->entry_cap * sizeof *c->entry_buckets);
    return c;
}
