/*
 * tree.h - a model of the filesystem in plain memory: what each call must answer, and what the tree is after it.
 *
 * It shares nothing with src/fs but the meaning of hexad/fs.h.  A file is a map from bytes to tags (span.h) and
 * a map of the pages that it has; a name is a number (hx_name_text); so a model of thousands of files is small,
 * and an operation is one record (struct hx_act) that can be kept and replayed.
 *
 * The way of an operation: hx_tree_predict says which error it must give (0: none); when the filesystem gave 0
 * as well, hx_tree_apply changes the model.  What is only known from outside is in the record: the number of a
 * new inode.
 *
 * Holding: a mount holds inodes (lookup counts); one without a link lives as long as somebody holds it, or an
 * operation on it is under way (pins).  A new mount holds nothing: hx_tree_forget_all.
 * Memory: all owned by the tree; none left ends the process.
 */
#ifndef HX_SIM_TREE_H
#define HX_SIM_TREE_H

#include "hexad/fs.h"
#include "span.h"

#define HX_ACTS(X)                                                                                                   \
    X(FORMAT) X(LOOKUP) X(GETATTR) X(SETATTR) X(CREATE) X(MKDIR) X(SYMLINK) X(READLINK) X(LINK) X(UNLINK) X(RMDIR)    \
    X(RENAME) X(READ) X(WRITE) X(ATIME) X(FALLOC) X(SEEK) X(READDIR) X(STATFS) X(TMPFILE) X(XSET) X(XDROP) X(XGET)   \
    X(XLIST) X(FSYNC) X(REAP) X(COMPARE)
enum hx_act_kind {
#define X(name) HX_ACT_##name,
    HX_ACTS(X)
#undef X
    HX_ACT_COUNT
};
extern const char *const hx_act_name[HX_ACT_COUNT];

#define HX_NAME_TOO_LONG UINT32_MAX /* the number of a name of 256 bytes */

/* Names of attributes, by number (tree_xattr.c); those from HX_XATTR_NAMES on are refused. */
enum { HX_XATTR_CAPS = 3, HX_XATTR_ACCESS = 4, HX_XATTR_DEFAULT = 5, HX_XATTR_NAMES = 6, HX_XATTR_ALL = 10 };
struct hx_xattr_value {
    uint64_t tag; /* bytes, as of a file; of an ACL what it allows (tree_xattr.c) */
    uint32_t len1; /* length and 1; 0: there is none */
};
struct hx_act {
    enum hx_act_kind kind;
    uint32_t name, name2;  /* numbers of names; X*: of an attribute's */
    uint64_t ino, ino2;    /* LINK: ino gets a name in directory ino2.  RENAME: from directory ino to ino2 */
    uint64_t off, len;     /* READDIR: cookie, entries; SYMLINK: length of the text; XSET: of the value */
    uint64_t tag;          /* WRITE, XSET: bytes; SYMLINK: text */
    uint32_t mode;         /* CREATE, MKDIR; SETATTR */
    uint32_t mask;         /* SETATTR: HX_FS_SET_*; FALLOC: HX_FS_FALLOC_*; RENAME, XSET: flags */
    uint32_t set_uid, set_gid;
    uint64_t set_size, rdev;
    struct hx_fs_time set_atime, set_mtime, set_ctime;
    struct hx_fs_who who;
    bool append, kill_priv; /* WRITE */
    bool sync;              /* WRITE: answered when durable */
    bool data;              /* SEEK */
    uint64_t made;          /* the inode that came of it (from the filesystem); of a RENAME: the whiteout */
    uint64_t done, done_to; /* FALLOC: this part is [done, done_to) of len */
};

struct hx_tree_inode {
    struct hx_tree_inode *next;   /* of its bucket */
    size_t place;           /* in all */
    struct hx_fs_attr a;    /* what getattr must say */
    struct hx_spans data;   /* bytes to tags */
    struct hx_spans pages;  /* pages that it has: tag 1 */
    uint64_t parent;        /* of a directory */
    uint64_t text;          /* tag of a symlink's text */
    uint32_t first;         /* entry of a directory */
    uint64_t held, owed;    /* lookup counts; those to be given back when no operation is under way */
    uint32_t pins;
    bool loose_blocks;      /* pages behind its end may be freed later: blocks may be more */
    bool nameless;          /* made without a name, and may be given one */
    struct hx_xattr_value attrs[HX_XATTR_NAMES];
};
struct hx_entry {
    uint64_t dir, ino, born; /* born: number of the change that made it */
    uint32_t name, next, prev, hash_next; /* entries by number + 1 */
    uint32_t seen;           /* listing that has met it */
};
struct hx_tree {
    bool formatted;
    bool keep;               /* nodes without a link stay until hx_tree_forget_all: later acts may be about them */
    struct hx_tree_inode **all, **buckets; /* owned */
    size_t count, cap, bucket_count;
    struct hx_entry *entries; /* owned */
    uint32_t *entry_buckets;
    uint32_t entry_count, entry_cap, free_entry, entry_bucket_count;
    uint64_t changes, top_ino, data_pages;
    uint64_t attr_bytes;     /* of all values of attributes */
};

struct hx_tree *hx_tree_new(void);
void hx_tree_free(struct hx_tree *t);
struct hx_tree *hx_tree_clone(const struct hx_tree *t);
/* Nobody holds anything: what has no link goes. */
void hx_tree_forget_all(struct hx_tree *t);

struct hx_tree_inode *hx_tree_node(const struct hx_tree *t, uint64_t ino); /* NULL: none */
struct hx_entry *hx_tree_entry(const struct hx_tree *t, uint64_t dir, uint32_t name); /* NULL: none */
struct hx_entry *hx_tree_first(const struct hx_tree *t, const struct hx_tree_inode *dir);
struct hx_entry *hx_tree_next(const struct hx_tree *t, const struct hx_entry *e);
/* Lookup counts of the mount: MORE; gives back how many may be told to the filesystem now. */
void hx_tree_hold(struct hx_tree *t, uint64_t ino);
uint64_t hx_tree_let_go(struct hx_tree *t, uint64_t ino);
void hx_tree_pin(struct hx_tree *t, uint64_t ino);
uint64_t hx_tree_unpin(struct hx_tree *t, uint64_t ino);

/* What the call must give: 0 or HX_E_*. */
int hx_tree_predict(const struct hx_tree *t, const struct hx_act *a);
/* Of a call that was predicted to give 0, and did. */
void hx_tree_apply(struct hx_tree *t, const struct hx_act *a);
/* After a RENAME with a whiteout that was predicted to give 0: was there one to make? */
bool hx_tree_leaves_whiteout(const struct hx_tree *t, const struct hx_act *a);
/* What SEEK must give; HX_E_EOF. */
int hx_tree_seek(const struct hx_tree_inode *n, uint64_t off, bool data, uint64_t *ret_off);
/* NULL, or the word for what differs. */
const char *hx_tree_differs(const struct hx_tree_inode *n, const struct hx_fs_attr *a, bool blocks);
/* Does DIR lie at or below INO? */
bool hx_tree_is_below(const struct hx_tree *t, uint64_t dir, uint64_t ino);

/* The text of a name by its number, and the number again: UINT32_MAX - 1 when it is none of ours. */
void hx_name_text(uint32_t name, char text[HX_FS_NAME_MAX + 2]);
uint32_t hx_name_number(const char *text);
void hx_symlink_text(uint64_t tag, size_t len, char *text); /* LEN bytes and a NUL */

/* tree_xattr.c: attributes.  NULL: there is no name of this number. */
const char *hx_tree_xattr_name(uint32_t name);
/* The bytes of a value; of ACLs LEN is hx_tree_acl_len(tag) or the value is malformed. */
void hx_tree_xattr_fill(uint32_t name, uint64_t tag, uint8_t *buf, size_t len);
bool hx_tree_xattr_is_acl(uint32_t name);
size_t hx_tree_acl_len(uint64_t acl);
/* What an ACL allows, drawn from X; an eighth of them say no more than a mode does. */
uint64_t hx_tree_acl_draw(uint64_t x);

#endif
