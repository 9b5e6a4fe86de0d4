/*
 * tree_private.h - what tree.c lends to tree_act.c: nodes and entries as such.
 */
#ifndef HX_SIM_TREE_PRIVATE_H
#define HX_SIM_TREE_PRIVATE_H

#include "tree.h"

struct hx_tree_inode *hx_tree_add_node(struct hx_tree *t, const struct hx_fs_attr *a);
void hx_tree_add_entry(struct hx_tree *t, struct hx_tree_inode *dir, uint32_t name, uint64_t ino);
void hx_tree_drop_entry(struct hx_tree *t, struct hx_tree_inode *dir, struct hx_entry *e);
void hx_tree_settle(struct hx_tree *t, struct hx_tree_inode *n); /* goes when it has no link, holder and operation */

#endif
