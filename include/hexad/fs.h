/*
 * fs.h - the filesystem: a POSIX tree over a pager (hexad/pager.h).
 *
 * Every call is one operation and at most one mini-transaction, restartable: HX_E_MISS, HX_E_ROOM and
 * HX_E_GROW mean "nothing happened, call again later" (pager.h).  No call blocks, no I/O, no clock: the
 * time comes in with the caller (struct hx_fs_who).  Permission checks are the kernel's
 * (default_permissions), except what it cannot do (sticky bits in rename and unlink are its work, too).
 *
 * Every call may answer HX_E_NOENT while there is no filesystem, and HX_E_STALE for an inode that is gone.
 * HX_E_GROW: call hx_fs_reap while hx_fs_has_work, then grow; it is "no space" only when neither helps.
 *
 * Lookup counts and open handles live in memory: an inode with no link and no opener is freed; one with
 * an opener is on the orphan list in the volume, which mount empties after a crash (hx_fs_reap).
 */
#ifndef HEXAD_FS_H
#define HEXAD_FS_H

#include "hexad/pager.h"
#include "hexad/room.h"
#include "hexad/types.h"

#include <sys/uio.h>

#define HX_FS_ROOT 1u /* inode number of the root */
#define HX_FS_NAME_MAX 255u
#define HX_FS_SYMLINK_MAX 4095u
#define HX_FS_FILE_MAX (UINT64_C(16) << 40) /* bytes in a file */

struct hx_fs;
struct hx_fs_time {
    int64_t s;
    uint32_t ns;
};
struct hx_fs_who {
    uint32_t uid, gid;
    struct hx_fs_time now;
    uint32_t umask; /* of what it makes, where the directory has no default ACL */
    bool stranger;  /* not in the group of the inode that it changes, nor above such rules: no set-gid bit stays */
};
struct hx_fs_attr {
    uint64_t ino, generation, size;
    uint64_t blocks; /* of 512 bytes */
    uint32_t mode;   /* as st_mode: type and permission bits */
    uint32_t nlink, uid, gid;
    uint64_t rdev;
    struct hx_fs_time atime, mtime, ctime;
};

/* Writes an empty filesystem (root directory, mode 0755, owner WHO) into a volume of zeros: one MTR. */
int hx_fs_format(struct hx_pager *p, const struct hx_fs_who *who);
/* Memory only; the first operation reads the superblock.  HX_E_NOMEM. */
int hx_fs_new(struct hx_pager *p, struct hx_fs **ret);
void hx_fs_free(struct hx_fs *fs);
/* How much room the servers have (hexad/room.h), from now on.  SCARCE: bytes that need a page more get HX_E_NOSPACE,
 * also where the volume has free ones; NONE: so does everything but what frees space, and attributes.  Without a call:
 * PLENTY. */
void hx_fs_room(struct hx_fs *fs, enum hx_room_level level);
/* 0 a filesystem is there, HX_E_NOENT the volume is all zeros, HX_E_VERSION, HX_E_CORRUPT, HX_E_MISS. */
int hx_fs_probe(struct hx_fs *fs);
/*
 * Background work, one bounded step (one MTR) a call: frees orphans and the tails of large truncated or
 * deleted files.  1: did something, call again; 0: nothing left to do; negative: as operations.
 * Call until 0 after mounting, and after operations that leave work (hx_fs_has_work).
 */
int hx_fs_reap(struct hx_fs *fs);
bool hx_fs_has_work(const struct hx_fs *fs);

/*
 * Shrinking: the volume is to end after KEEP pages.  One bounded step of moving what lives beyond: 1: call again; 0:
 * nothing does, and nothing will as long as the volume has as many pages as now; negative: as operations, of which
 * HX_E_GROW says that there is no room for it below, and that it was given up.  The pages may go once what was last
 * committed is durable.
 */
int hx_fs_shrink(struct hx_fs *fs, uint64_t keep);
#define HX_FS_SHRINK_STEP (64u << HX_PAGE_SHIFT) /* bytes of files that a step moves at most */
void hx_fs_shrink_stop(struct hx_fs *fs); /* the pages are like all others again */
/* Of PAGES pages, LEFT free: is it worth taking the last UNIT away?  Not when that would leave so little that the
 * volume would grow again soon: a quarter of a unit stays. */
bool hx_fs_shrink_pays(uint64_t pages, uint64_t left, uint64_t unit);

/* Lookup counts, as FUSE's: lookup, create, mkdir, mknod, symlink and link each take one. */
int hx_fs_lookup(struct hx_fs *fs, uint64_t dir, const char *name, struct hx_fs_attr *ret);
int hx_fs_forget(struct hx_fs *fs, uint64_t ino, uint64_t count); /* never fails; may leave work */
int hx_fs_getattr(struct hx_fs *fs, uint64_t ino, struct hx_fs_attr *ret);

#define HX_FS_SET_MODE 1u
#define HX_FS_SET_UID 2u
#define HX_FS_SET_GID 4u
#define HX_FS_SET_SIZE 8u
#define HX_FS_SET_ATIME 16u
#define HX_FS_SET_MTIME 32u
#define HX_FS_SET_CTIME 64u
#define HX_FS_SET_KILL 128u /* with UID, GID or SIZE: set-id bits go, as a write's KILL_PRIV */
/* Sets what MASK says from *in; ctime becomes now unless SET_CTIME; a changed size sets mtime.  Shrinking a
 * large file takes effect at once; its pages are freed by hx_fs_reap.  A mode changes the access ACL, too; an owner
 * or a size takes security.capability away. */
int hx_fs_setattr(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t ino, const struct hx_fs_attr *in,
                  unsigned mask, struct hx_fs_attr *ret);

/* MODE with the type: S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK.  A set-gid directory hands its group on. */
int hx_fs_mknod(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t dir, const char *name, uint32_t mode,
                uint64_t rdev, struct hx_fs_attr *ret);
int hx_fs_mkdir(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t dir, const char *name, uint32_t mode,
                struct hx_fs_attr *ret);
/* A file without a name in DIR; what it has of DIR is what a file made there has.  hx_fs_link can give it a name. */
int hx_fs_tmpfile(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t dir, uint32_t mode, struct hx_fs_attr *ret);
int hx_fs_symlink(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t dir, const char *name,
                  const char *target, struct hx_fs_attr *ret);
int hx_fs_readlink(struct hx_fs *fs, uint64_t ino, char *buf, size_t cap); /* NUL-terminated */
int hx_fs_link(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t ino, uint64_t dir, const char *name,
               struct hx_fs_attr *ret);
int hx_fs_unlink(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t dir, const char *name);
int hx_fs_rmdir(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t dir, const char *name);
#define HX_FS_RENAME_NOREPLACE 1u
#define HX_FS_RENAME_EXCHANGE 2u
#define HX_FS_RENAME_WHITEOUT 16u /* leaves a character device 0:0 at the old name */
int hx_fs_rename(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t dir, const char *name, uint64_t new_dir,
                 const char *new_name, unsigned flags);

/* Each inode that the kernel knows, one a call, until 0; *io_at is 0 at first.  Nothing may change meanwhile. */
uint64_t hx_fs_known(const struct hx_fs *fs, size_t *io_at);

/* Open handles, counted in memory only: keep an unlinked inode alive.  INO has been looked up. */
void hx_fs_opened(struct hx_fs *fs, uint64_t ino);
int hx_fs_released(struct hx_fs *fs, uint64_t ino); /* as forget */

/*
 * Reads up to LEN bytes at OFF as a vector that points into the cache and at a page of zeros (valid until
 * the operation ends).  *ret_count entries of at most MAX; *ret_len bytes in all, short at end of file
 * only.  Misses on all absent pages at once.  MAX of LEN / 4096 + 2 is enough; HX_E_INVAL: it was not.
 */
int hx_fs_read(struct hx_fs *fs, uint64_t ino, uint64_t off, size_t len, struct iovec *ret, size_t max,
               size_t *ret_count, size_t *ret_len);
/* Sees to it that the pages of [off, off + len) are being fetched: HX_E_MISS while some of them are absent.  *ret_all:
 * all of them are known, so there is nothing to call again for.  *ret_size: where the file ends. */
int hx_fs_prefetch(struct hx_fs *fs, uint64_t ino, uint64_t off, uint64_t len, uint64_t *ret_size, bool *ret_all);
/* Writes all of LEN (at most 1 MiB) or nothing; grows the file; mtime and ctime; clears set-id bits when
 * KILL_PRIV.  APPEND: at the end of the file, whatever OFF says. *ret_off: where it was written. */
int hx_fs_write(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t ino, uint64_t off, const void *buf,
                size_t len, bool append, bool kill_priv, uint64_t *ret_off);
/* atime (relatime is the caller's rule). */
int hx_fs_touch_atime(struct hx_fs *fs, uint64_t ino, struct hx_fs_time now);
#define HX_FS_FALLOC_KEEP_SIZE 1u
#define HX_FS_FALLOC_PUNCH 2u /* with KEEP_SIZE */
#define HX_FS_FALLOC_ZERO 16u /* the range is allocated, and zeros */
#define HX_FS_FALLOC_KILL 32u /* as a write's KILL_PRIV */
/*
 * *io_done: bytes of the range that are done, 0 at the first call.  HX_E_AGAIN: a part is done (one MTR);
 * call again with the same arguments and the same *io_done, also after HX_E_MISS, _ROOM and _GROW.
 */
int hx_fs_fallocate(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t ino, unsigned mode, uint64_t off,
                    uint64_t len, uint64_t *io_done);
/* SEEK_DATA (data true) or SEEK_HOLE from OFF; past the end of file (ENXIO) it is HX_E_EOF. */
int hx_fs_seek(struct hx_fs *fs, uint64_t ino, uint64_t off, bool data, uint64_t *ret_off);
/* Has a read since INO was looked up met a hole?  If not, nobody can have changed one in a shared mapping. */
bool hx_fs_hole_seen(const struct hx_fs *fs, uint64_t ino);
/* The kernel was given bytes of INO that it keeps.  hx_fs_uncache: was it, since the last hx_fs_uncache or since INO
 * was looked up? */
void hx_fs_cached(struct hx_fs *fs, uint64_t ino);
bool hx_fs_uncache(struct hx_fs *fs, uint64_t ino);

struct hx_fs_dirent {
    uint64_t ino;
    uint32_t type;   /* S_IFMT bits */
    uint64_t cookie; /* position after this entry; stable across changes; never 0 */
    char name[HX_FS_NAME_MAX + 1];
};
/* The entry after COOKIE (0: from the start), "." and ".." first.  1 and *ret, or 0 at the end. */
int hx_fs_readdir(struct hx_fs *fs, uint64_t dir, uint64_t cookie, struct hx_fs_dirent *ret);
/* After HX_E_MISS of that, before the operation ends: what a listing will want next is fetched together with it. */
void hx_fs_prefetch_dir(struct hx_fs *fs, uint64_t dir, uint64_t cookie);

/*
 * Extended attributes.  NAME with its prefix: user., trusted., security. or the two of POSIX ACLs, which are kept as
 * the kernel gives them (system.posix_acl_access and _default), change the mode and are handed on to what is made in a
 * directory.  HX_E_NODATA: no such attribute; HX_E_NOTSUP: no such prefix.  All change ctime.
 */
#define HX_FS_XATTR_VALUE_MAX 65536u
#define HX_FS_XATTR_LIST_MAX 65536u /* bytes of all names with their NULs; more is HX_E_NOSPACE */
#define HX_FS_ACL_ACCESS "system.posix_acl_access"
#define HX_FS_ACL_DEFAULT "system.posix_acl_default"
#define HX_FS_XATTR_CREATE 1u  /* HX_E_EXIST when it is there */
#define HX_FS_XATTR_REPLACE 2u /* HX_E_NODATA when it is not */
int hx_fs_setxattr(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t ino, const char *name, const void *value,
                   size_t len, unsigned flags);
int hx_fs_removexattr(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t ino, const char *name);
/* *ret_len bytes into BUF; HX_E_RANGE: CAP is too small; CAP 0: only how many. */
int hx_fs_getxattr(struct hx_fs *fs, uint64_t ino, const char *name, void *buf, size_t cap, size_t *ret_len);
/* Names, each with its NUL.  TRUSTED: also those that only a superuser sees. */
int hx_fs_listxattr(struct hx_fs *fs, uint64_t ino, bool trusted, char *buf, size_t cap, size_t *ret_len);

struct hx_fs_statfs {
    uint64_t pages, pages_free, inodes;
};
int hx_fs_statfs(struct hx_fs *fs, struct hx_fs_statfs *ret);

/* Walks the whole tree and every structure; for tests and the simulator: 0, or HX_E_CORRUPT and WHY. */
int hx_fs_verify(struct hx_fs *fs, char why[256]);

#endif
