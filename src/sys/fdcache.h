/*
 * fdcache.h - open descriptors of segment files, a bounded number of them; behind disk.c.
 */
#ifndef HEXAD_SYS_FDCACHE_H
#define HEXAD_SYS_FDCACHE_H

#include "hexad/disk.h"

struct hx_fdcache;
struct hx_fd_entry {
    struct hx_fd_entry *newer, *older, *chain;
    const struct hx_disk *disk;
    uint64_t file;
    int fd;
    bool dirty; /* written since the last good flush: must not be closed unnoticed */
    bool exact; /* disk.c: the kernel reads what is asked for, and nothing ahead */
    bool made;  /* by us, and its name is not durable yet */
    uint64_t room; /* disk.c: up to where it has asked for blocks */
};
/* EVICT: called before a dirty descriptor has to be closed for want of others; must make it durable. */
int hx_fdcache_new(unsigned max, void (*evict)(struct hx_fd_entry *e), struct hx_fdcache **ret);
void hx_fdcache_free(struct hx_fdcache *c); /* all must have been dropped */
struct hx_fd_entry *hx_fdcache_find(struct hx_fdcache *c, const struct hx_disk *disk, uint64_t file);
/* Takes FD over; borrowed until the next insert or drop.  HX_E_NOMEM: FD is closed. */
int hx_fdcache_insert(struct hx_fdcache *c, const struct hx_disk *disk, uint64_t file, int fd,
                      struct hx_fd_entry **ret);
void hx_fdcache_drop(struct hx_fdcache *c, struct hx_fd_entry *e); /* closes it, clean or not */
int hx_fdcache_take(struct hx_fdcache *c, struct hx_fd_entry *e); /* the descriptor is the caller's now */
void hx_fdcache_drop_disk(struct hx_fdcache *c, const struct hx_disk *disk);
/* Closes the least recently used one, to make room for another descriptor of this process. */
bool hx_fdcache_shrink(struct hx_fdcache *c);

#endif
