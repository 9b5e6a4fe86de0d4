/*
 * super.h - page 0 (super.c).  Private to src/fs and its tests.
 */
#ifndef HEXAD_FS_SUPER_H
#define HEXAD_FS_SUPER_H

#include "hexad/codec.h"
#include "hexad/fs.h"

/* 1 has no extended attributes and none of the inode flags that came with them; a volume becomes 2 when it gets the
 * first of these, in the same mini-transaction. */
#define HX_SUPER_VERSION_MIN 1u
#define HX_SUPER_VERSION 2u
#define HX_SUPER_ROOT_PAGE 2u /* the tree's root never moves */
#define HX_SUPER_PAGES_MIN 16u

/* Offsets of the fields that change, all u64; together, so that a change of several is one patch. */
enum hx_super_field {
    HX_SUPER_NEXT_INO = 32,
    HX_SUPER_USED = 40,   /* pages whose bit is set */
    HX_SUPER_INODES = 48, /* inode items */
    HX_SUPER_ROVER = 56,  /* allocation group that data went to last: where the search starts after a mount */
};

/* An empty superblock into PAGE, which is zeros. */
void hx_super_init(uint8_t *page, uint64_t seed, const struct hx_fs_time *now);
/* 0 and *ret_seed; HX_E_NOENT: the page is zeros; HX_E_VERSION; HX_E_CORRUPT; HX_E_MISS. */
int hx_super_check(struct hx_pager *p, uint64_t *ret_seed);
int hx_super_get(struct hx_pager *p, enum hx_super_field f, uint64_t *ret);
/* Inside a mini-transaction: adds DELTA, gives the value after. */
int hx_super_add(struct hx_pager *p, enum hx_super_field f, int64_t delta, uint64_t *ret);
/* Inside a mini-transaction: what only version 2 has is written. */
int hx_super_raise(struct hx_pager *p);
int hx_super_set(struct hx_pager *p, enum hx_super_field f, uint64_t v);

#endif
