/*
 * refs.h - who still knows an inode: lookup counts and open handles, in memory (refs.c).  Private to src/fs.
 */
#ifndef HEXAD_FS_REFS_H
#define HEXAD_FS_REFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hx_ref {
    uint64_t ino; /* 0: an empty place */
    uint64_t lookups;
    uint32_t opens;
    bool hole_seen; /* zeros of a hole were read: somebody may have these pages in memory, and change them there */
    bool cached;    /* the kernel was given bytes to keep since hx_fs_uncache */
    bool unlinked; /* on the orphan list: to be freed when the counts are zero */
};
struct hx_refs {
    struct hx_ref *at;
    size_t cap, count; /* cap: 0 or a power of two */
};

void hx_refs_fini(struct hx_refs *r);
/* Makes room for MORE new inodes: what follows cannot fail.  HX_E_NOMEM. */
int hx_refs_reserve(struct hx_refs *r, size_t more);
struct hx_ref *hx_refs_find(const struct hx_refs *r, uint64_t ino); /* NULL: nobody knows it */
/* The entry of INO, made when there is none (room must have been reserved). */
struct hx_ref *hx_refs_get(struct hx_refs *r, uint64_t ino);
/* Drops the entry when its counts are zero: true when that leaves an unlinked inode to be freed. */
bool hx_refs_settle(struct hx_refs *r, uint64_t ino);

#endif
