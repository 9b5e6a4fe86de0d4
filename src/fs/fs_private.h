/*
 * fs_private.h - what the files of src/fs share: the filesystem in memory, item types, and each room's door.
 */
#ifndef HEXAD_FS_PRIVATE_H
#define HEXAD_FS_PRIVATE_H

#include "hexad/fs.h"

#include "acl.h"
#include "alloc.h"
#include "btree.h"
#include "refs.h"
#include "super.h"

/* Types of items: the second part of a key.  doc/FS.md describes the values. */
enum hx_type {
    HX_T_INODE = 1,   /* (ino, INODE, 0) */
    HX_T_SYMLINK = 2, /* (ino, SYMLINK, chunk) */
    HX_T_DIRENT = 3,  /* (dir, DIRENT, hash of the name and rank) */
    HX_T_EXTENT = 4,  /* (ino, EXTENT, page of the file) */
    HX_T_ORPHAN = 5,  /* (0, ORPHAN, ino): no link is left, or only extents are */
    HX_T_TAIL = 6,    /* (0, TAIL, ino): extents from a page on are to be freed */
    HX_T_XATTR = 7,   /* (ino, XATTR, hash of the name, rank and chunk): version 2 */
};

#define HX_LINK_MAX 0x7fffffffu
#define HX_STEP_PAGES 1024u  /* most pages that one mini-transaction frees, where the log takes as many (hx_fs_new) */
#define HX_STEP_EXTENTS 64u  /* most extents that one frees, moves or makes; likewise */
#define HX_WRITE_MAX (1u << 20)

/* shrink.c: how far the pages from .keep on are empty; keep 0: they are not to be. */
struct hx_shrink {
    uint64_t keep;
    struct hx_key at; /* the search goes on here */
    bool searching;
};

struct hx_fs {
    struct hx_pager *p;
    struct hx_btree tree;
    struct hx_alloc alloc;
    struct hx_refs refs;
    uint32_t step_pages, step_extents; /* the bounds of a step on this volume */
    uint64_t seed;  /* of the name hash; valid when ready */
    enum hx_room_level room; /* on the servers' disks */
    struct hx_shrink shrink;
    bool ready;     /* the superblock has been read and is ours */
    bool may_work;  /* the orphan list may hold something that can be freed */
    uint64_t reap_from; /* no orphan below this can be freed */
};

/* op.c: the frame around an operation. */
int hx_op_ready(struct hx_fs *fs);
enum hx_op_kind { HX_OP_ORDINARY, HX_OP_FREEING }; /* FREEING may use the reserve of pages */
int hx_op_begin(struct hx_fs *fs, enum hx_op_kind kind);
/* Commits when RC is 0, else aborts; 0 or the error.  Every begin is followed by one end. */
int hx_op_end(struct hx_fs *fs, int rc);
/* What mutants do to one mini-transaction: two. */
static inline int hx_op_split(struct hx_fs *fs)
{
    int rc = hx_op_end(fs, 0), begun = hx_op_begin(fs, HX_OP_FREEING);
    return rc ? rc : begun;
}

/* inode.c */
#define HX_INODE_SIZE 80u
#define HX_INODE_HAS_TAIL 1u /* a TAIL item exists */
/* From here on version 2.  HAS_XATTR: there are, or were, XATTR items; the next three name some that there are. */
#define HX_INODE_HAS_XATTR 2u
#define HX_INODE_HAS_ACCESS 4u  /* an access ACL */
#define HX_INODE_HAS_DEFAULT 8u /* a default ACL */
#define HX_INODE_HAS_CAPS 16u   /* security.capability, which a change of the data takes away */
#define HX_INODE_TMPFILE 32u    /* has no name, and may be given one */
struct hx_inode {
    uint64_t ino;
    uint32_t mode, nlink, uid, gid;
    uint64_t size;  /* bytes; of a directory: entries */
    uint64_t pages; /* data pages that extents name */
    struct hx_fs_time atime, mtime, ctime;
    uint32_t flags;
    uint64_t aux; /* of a device: rdev; of a directory: its parent */
};
void hx_inode_encode(const struct hx_inode *in, uint8_t out[HX_INODE_SIZE]);
int hx_inode_decode(const struct hx_item *it, struct hx_inode *ret);
int hx_inode_get(struct hx_fs *fs, uint64_t ino, struct hx_inode *ret); /* HX_E_STALE: there is none */
/* A directory that is still in the tree: HX_E_NOTDIR, HX_E_NOENT (removed), HX_E_STALE. */
int hx_inode_get_dir(struct hx_fs *fs, uint64_t ino, struct hx_inode *ret);
int hx_inode_get_file(struct hx_fs *fs, uint64_t ino, struct hx_inode *ret); /* HX_E_ISDIR, HX_E_INVAL */
int hx_inode_put(struct hx_fs *fs, const struct hx_inode *in);
int hx_inode_add(struct hx_fs *fs, struct hx_inode *in); /* takes a fresh number: in->ino */
int hx_inode_drop(struct hx_fs *fs, uint64_t ino);
void hx_inode_attr(const struct hx_inode *in, struct hx_fs_attr *ret);

/* hash.c: a name in INO as the first of a bucket of 2^HX_HASH_RANK_BITS numbers, never 0 and below 2^63. */
#define HX_HASH_RANK_BITS 20
uint64_t hx_hash_name(uint64_t seed, uint64_t ino, const char *name, size_t len);

/* dir.c */
struct hx_dirent {
    uint64_t k; /* third part of the key, and readdir's cookie */
    uint64_t ino;
    uint32_t type; /* S_IFMT bits */
};
int hx_dir_check_name(const char *name); /* HX_E_NAMETOOLONG, HX_E_INVAL: not a name of one entry */
bool hx_dir_is_dots(const char *name);
/* HX_E_NOENT: ret->k is where it would go (0: the bucket is full). */
int hx_dir_find(struct hx_fs *fs, uint64_t dir, const char *name, struct hx_dirent *ret);
int hx_dir_insert(struct hx_fs *fs, uint64_t dir, const char *name, const struct hx_dirent *e);
int hx_dir_repoint(struct hx_fs *fs, uint64_t dir, const struct hx_dirent *e);
int hx_dir_remove(struct hx_fs *fs, uint64_t dir, uint64_t k);
/* Gives the parts of an entry's item; HX_E_CORRUPT.  *ret_name is not terminated. */
int hx_dir_decode(const struct hx_item *it, struct hx_dirent *ret, const char **ret_name, size_t *ret_len);

/* extent.c */
struct hx_extent {
    uint64_t lp; /* page of the file */
    uint64_t pp; /* page of the volume; 0: a hole */
    uint64_t count;
};
#define HX_FILE_PAGES (HX_FS_FILE_MAX >> HX_PAGE_SHIFT)
int hx_extent_decode(const struct hx_item *it, struct hx_extent *ret);
/* What page LP of the file is, and how many after it go on the same way (a hole: up to the next extent). */
int hx_extent_at(struct hx_fs *fs, uint64_t ino, uint64_t lp, struct hx_extent *ret);
/* The last extent; HX_E_NOENT. */
int hx_extent_last(struct hx_fs *fs, uint64_t ino, struct hx_extent *ret);
/* Gives COUNT pages from LP on, which is a hole, pages of zeros; at most *io_runs runs.  *ret_done pages. */
int hx_extent_fill(struct hx_fs *fs, struct hx_inode *in, uint64_t lp, uint64_t count, unsigned *io_runs,
                   uint64_t *ret_done);
/* Makes [lo, hi) a hole and frees its pages; the caller bounds how many there are.  *io_pages goes down. */
int hx_extent_clear(struct hx_fs *fs, uint64_t ino, uint64_t lo, uint64_t hi, uint64_t *io_pages);
/* Zeros of bytes [from, to) of one page of the file, when it is not a hole. */
int hx_extent_wipe(struct hx_fs *fs, uint64_t ino, uint64_t from, uint64_t to);
/* Hands extents from page FROM on to inode number TO: at most step_extents of them. */
int hx_extent_move(struct hx_fs *fs, uint64_t ino, uint64_t from, uint64_t to);
/* The page of the volume that goes on what is mapped just before LP; 0: nothing is. */
int hx_extent_before(struct hx_fs *fs, uint64_t ino, uint64_t lp, uint64_t *ret_pp);
/* The file's pages from NEW->lp on, all of one extent, are those of NEW; whose they were is the caller's. */
int hx_extent_replace(struct hx_fs *fs, uint64_t ino, const struct hx_extent *new);
/* How many extents (at most step_extents + 1) and pages lie at or after page FROM. */
int hx_extent_count(struct hx_fs *fs, uint64_t ino, uint64_t from, unsigned *ret_extents, uint64_t *ret_pages);

/* xattr.c, perm.c: inside a mini-transaction, they change *in and do not put it. */
int hx_xattr_put(struct hx_fs *fs, struct hx_inode *in, const char *name, const uint8_t *value, size_t len);
int hx_xattr_drop(struct hx_fs *fs, struct hx_inode *in, const char *name); /* 0 also when there is none */
int hx_xattr_drop_all(struct hx_fs *fs, uint64_t ino);
/* HX_E_NODATA; HX_E_RANGE: longer than CAP.  CAP 0: only the length. */
int hx_xattr_get(struct hx_fs *fs, const struct hx_inode *in, const char *name, uint8_t *buf, size_t cap,
                 size_t *ret_len);
/* For verify: the parts of an item. */
struct hx_xattr_part {
    uint64_t bucket;  /* k without rank and chunk */
    unsigned chunk;
    size_t name_len, value_len, bytes; /* of the value: in all (chunk 0 only), in this item */
    const char *name;
};
uint32_t hx_xattr_flags(const char *name, size_t len); /* flags of an inode that has this attribute */
int hx_xattr_decode(const struct hx_item *it, struct hx_xattr_part *ret);

/* perm.c */
#define HX_CAPS_NAME "security.capability"
/* What a changed owner, size or content does to set-id bits (KILL: whoever did it may not keep them) and to
 * capabilities.  The second is no more than a test of a flag for nearly all inodes. */
void hx_perm_kill_ids(struct hx_inode *in, const struct hx_fs_who *who);
int hx_perm_drop_caps(struct hx_fs *fs, struct hx_inode *in);
/* The mode of what is made in *dir; its ACLs, once its inode has been added. */
struct hx_perm_acls {
    size_t access_len, default_len; /* 0: none */
    uint8_t access[HX_ACL_MAX], def[HX_ACL_MAX];
};
int hx_perm_inherit(struct hx_fs *fs, const struct hx_fs_who *who, const struct hx_inode *dir, struct hx_inode *in,
                    struct hx_perm_acls *ret);
int hx_perm_put_acls(struct hx_fs *fs, struct hx_inode *in, const struct hx_perm_acls *acls);
int hx_perm_chmod(struct hx_fs *fs, struct hx_inode *in); /* the access ACL follows the mode */

/* reap.c */
int hx_reap_add_orphan(struct hx_fs *fs, uint64_t ino);
int hx_reap_drop_orphan(struct hx_fs *fs, uint64_t ino); /* it gets a name */
/* Cuts the file off at page FROM: frees now, or leaves an orphan or a tail; updates *in, does not put it. */
int hx_reap_cut(struct hx_fs *fs, struct hx_inode *in, uint64_t from);
/* Finishes the tail of *in, in mini-transactions of its own, and reads *in again; before a file grows. */
int hx_reap_finish_tail(struct hx_fs *fs, struct hx_inode *in);
/* INO may have become free to reap. */
void hx_reap_wake(struct hx_fs *fs, uint64_t ino);
/* After a commit that took INO's last link. */
void hx_reap_unlinked(struct hx_fs *fs, uint64_t ino);

#endif
