/*
 * fs_kit.h - a filesystem on a pager in memory, and the checks that every test of it makes.
 *
 * kit_run tries an operation until it is answered (misses, full windows and growth are met on the way).
 */
#ifndef HEXAD_TESTS_FS_KIT_H
#define HEXAD_TESTS_FS_KIT_H

#include "mem_pager.h"

#include "hexad/fs.h"

struct fs_kit {
    struct mem_pager *m;
    struct hx_fs *fs;
    struct hx_fs_who who;
};

#define kit_run(k, expr) MEM_RUN((k)->m, expr)

/* A formatted volume without faults; it may grow to PAGES_MAX. */
struct fs_kit kit_open(uint64_t pages, uint64_t pages_max, uint64_t seed);
void kit_close(struct fs_kit *k);
void kit_remount(struct fs_kit *k); /* as after a crash of the client: memory is lost, the volume stays */
/* Another filesystem over a copy of what is committed: what a crash now would leave. */
struct fs_kit kit_crash(const struct fs_kit *k);
/* hx_fs_verify, and rule P3: every page that is not taken is zeros.  Ends the test when not. */
void kit_verify(struct fs_kit *k);
void kit_reap(struct fs_kit *k); /* until nothing is left to do */
uint64_t kit_free_pages(struct fs_kit *k);
uint64_t kit_inodes(struct fs_kit *k);

/* Shorthands that must succeed. */
uint64_t kit_mkdir(struct fs_kit *k, uint64_t dir, const char *name);
uint64_t kit_create(struct fs_kit *k, uint64_t dir, const char *name);
void kit_write(struct fs_kit *k, uint64_t ino, uint64_t off, const void *buf, size_t len);
void kit_fill(struct fs_kit *k, uint64_t ino, uint64_t off, uint64_t len, uint8_t byte);
void kit_truncate(struct fs_kit *k, uint64_t ino, uint64_t size);
struct hx_fs_attr kit_attr(struct fs_kit *k, uint64_t ino);
/* Reads up to LEN bytes into BUF. */
size_t kit_read(struct fs_kit *k, uint64_t ino, uint64_t off, void *buf, size_t len);
/* The inode of NAME without keeping a lookup count; 0 when there is none. */
uint64_t kit_find(struct fs_kit *k, uint64_t dir, const char *name);

#endif
