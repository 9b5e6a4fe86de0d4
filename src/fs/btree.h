/*
 * btree.h - the one B+tree of the volume (btree.c).  Private to src/fs and its tests.
 *
 * Items and pointers into them are borrowed until the next edit of the tree or the end of the operation.
 * Reads answer HX_E_MISS when a page is absent; edits happen inside a mini-transaction only.
 */
#ifndef HEXAD_FS_BTREE_H
#define HEXAD_FS_BTREE_H

#include "alloc.h"
#include "tnode.h"

#define HX_BTREE_FINGERS 8u

/* "Keys in [low, high) are in this leaf": true for as long as the tree's shape is the same. */
struct hx_finger {
    uint64_t shape, leaf; /* leaf 0: empty */
    struct hx_key low, high;
    bool endless; /* no upper bound */
};
struct hx_btree {
    struct hx_pager *p;
    struct hx_alloc *alloc;
    uint64_t root;
    uint64_t shape; /* raised whenever a leaf's place or range may have changed, also by an abort */
    bool reshaped;  /* in this mini-transaction */
    struct hx_finger fingers[HX_BTREE_FINGERS];
    unsigned next_finger;
};

void hx_btree_init(struct hx_btree *t, struct hx_pager *p, struct hx_alloc *alloc, uint64_t root);
void hx_btree_begin(struct hx_btree *t);
void hx_btree_aborted(struct hx_btree *t);

/* HX_E_NOENT: no such item.  Floor: the last item with key <= KEY; ceil: the first with key >= KEY. */
int hx_btree_find(struct hx_btree *t, struct hx_key key, struct hx_item *ret);
int hx_btree_floor(struct hx_btree *t, struct hx_key key, struct hx_item *ret);
int hx_btree_ceil(struct hx_btree *t, struct hx_key key, struct hx_item *ret);
/* For one who goes through the keys from FROM to TO and has missed a leaf: up to N leaves from FROM's on, as far as one
 * node knows them, are asked for together.  0, also when they are there; an error when the way to them is absent. */
int hx_btree_want(struct hx_btree *t, struct hx_key from, struct hx_key to, unsigned n);
/* The item's value, to be changed in place; *ret_len bytes. */
int hx_btree_edit(struct hx_btree *t, struct hx_key key, uint8_t **ret_val, size_t *ret_len);
int hx_btree_insert(struct hx_btree *t, struct hx_key key, const void *val, size_t len); /* HX_E_EXIST */
int hx_btree_delete(struct hx_btree *t, struct hx_key key);                             /* HX_E_NOENT */

/* Of the leaf for KEY: is it, or a node on the way to it, at or above page KEEP; where the keys of the next leaf begin,
 * unless ENDLESS. */
int hx_btree_look(struct hx_btree *t, struct hx_key key, uint64_t keep, bool *ret_high, struct hx_key *ret_next,
                  bool *ret_endless);
/* Inside a mini-transaction: moves the first such node to another page. */
int hx_btree_lower(struct hx_btree *t, struct hx_key key, uint64_t keep);

/* Every node and item in order, for verify: NODE gets each page number once (false stops: HX_E_CORRUPT). */
struct hx_btree_visitor {
    void *arg;
    bool (*node)(void *arg, uint64_t page);
    int (*item)(void *arg, const struct hx_item *it);
};
int hx_btree_walk(struct hx_btree *t, const struct hx_btree_visitor *v, const char **ret_why);

#endif
