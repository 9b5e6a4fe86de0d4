/*
 * tree_private.h - what tree.c lends to tree_act.c and tree_xattr.c: nodes and entries as such; and they to each other.
 */
#ifndef HX_SIM_TREE_PRIVATE_H
#define HX_SIM_TREE_PRIVATE_H

#include "tree.h"

struct hx_tree_inode *hx_tree_add_node(struct hx_tree *t, const struct hx_fs_attr *a);
void hx_tree_add_entry(struct hx_tree *t, struct hx_tree_inode *dir, uint32_t name, uint64_t ino);
void hx_tree_drop_entry(struct hx_tree *t, struct hx_tree_inode *dir, struct hx_entry *e);
void hx_tree_settle(struct hx_tree *t, struct hx_tree_inode *n); /* goes when it has no link, holder and operation */

/* tree_xattr.c */
int hx_tree_xattr_predict(const struct hx_tree *t, const struct hx_act *a);
void hx_tree_xattr_apply(struct hx_tree *t, struct hx_tree_inode *n, const struct hx_act *a);
void hx_tree_drop_xattrs(struct hx_tree *t, struct hx_tree_inode *n);
void hx_tree_drop_caps(struct hx_tree *t, struct hx_tree_inode *n);
void hx_tree_acl_follow(struct hx_tree *t, struct hx_tree_inode *n); /* its mode has been set */
void hx_tree_acl_inherit(struct hx_tree *t, const struct hx_tree_inode *dir, struct hx_tree_inode *n, uint32_t umask);

#endif
