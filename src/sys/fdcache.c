/*
 * fdcache.c - least-recently-used descriptors of segment files.
 *
 *   F1 At most max descriptors, whatever happens.
 *   F2 A dirty one is closed only after evict() has made it durable or has remembered that this failed: the kernel
 *      reports a failed write-back to descriptors that were open then, and to nobody else.
 * Threads: one.  Memory: one entry per descriptor, and a table of 2 x max pointers.
 */
#include "fdcache.h"

#include "hexad/assert.h"
#include "hexad/err.h"

#include <stdlib.h>
#include <unistd.h>

struct hx_fdcache {
    struct hx_fd_entry *newest, *oldest, **table;
    unsigned count, max;
    size_t mask;
    void (*evict)(struct hx_fd_entry *e);
};

int hx_fdcache_new(unsigned max, void (*evict)(struct hx_fd_entry *e), struct hx_fdcache **ret)
{
    size_t size = 16;
    while (size < 2 * (size_t)max)
        size *= 2;
    struct hx_fdcache *c = calloc(1, sizeof *c);
    if (c)
        c->table = calloc(size, sizeof *c->table);
    if (!c || !c->table) {
        free(c);
        return HX_E_NOMEM;
    }
    c->max = max;
    c->mask = size - 1;
    c->evict = evict;
    *ret = c;
    return 0;
}

void hx_fdcache_free(struct hx_fdcache *c)
{
    if (!c)
        return;
    hx_assert(c->count == 0);
    free(c->table);
    free(c);
}

static struct hx_fd_entry **bucket(struct hx_fdcache *c, const struct hx_disk *disk, uint64_t file)
{
    uint64_t h = ((uint64_t)(uintptr_t)disk >> 4) * UINT64_C(0x9e3779b97f4a7c15) ^ file * UINT64_C(0xc2b2ae3d27d4eb4f);
    return &c->table[(h ^ h >> 29) & c->mask];
}

static void unlink_lru(struct hx_fdcache *c, struct hx_fd_entry *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void link_newest(struct hx_fdcache *c, struct hx_fd_entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

struct hx_fd_entry *hx_fdcache_find(struct hx_fdcache *c, const struct hx_disk *disk, uint64_t file)
{
    for (struct hx_fd_entry *e = *bucket(c, disk, file); e; e = e->chain) {
        if (e->disk != disk || e->file != file)
            continue;
        if (c->newest != e) {
            unlink_lru(c, e);
            link_newest(c, e);
        }
        return e;
    }
    return NULL;
}

int hx_fdcache_take(struct hx_fdcache *c, struct hx_fd_entry *e)
{
    int fd = e->fd;
    struct hx_fd_entry **p = bucket(c, e->disk, e->file);
    while (*p != e)
        p = &(*p)->chain;
    *p = e->chain;
    unlink_lru(c, e);
    c->count--;
    free(e);
    return fd;
}

void hx_fdcache_drop(struct hx_fdcache *c, struct hx_fd_entry *e)
{
    close(hx_fdcache_take(c, e));
}

void hx_fdcache_drop_disk(struct hx_fdcache *c, const struct hx_disk *disk)
{
    for (struct hx_fd_entry *e = c->newest, *next; e; e = next) {
        next = e->older;
        if (e->disk == disk)
            hx_fdcache_drop(c, e);
    }
}

/* The oldest clean one; when all are dirty the oldest (F2). */
bool hx_fdcache_shrink(struct hx_fdcache *c)
{
    struct hx_fd_entry *e = c->oldest;
    while (e && e->dirty)
        e = e->newer;
    if (!e && (e = c->oldest) != NULL)
        c->evict(e);
    if (!e)
        return false;
    hx_fdcache_drop(c, e);
    return true;
}

int hx_fdcache_insert(struct hx_fdcache *c, const struct hx_disk *disk, uint64_t file, int fd,
                      struct hx_fd_entry **ret)
{
    while (c->count >= c->max) /* F1 */
        hx_fdcache_shrink(c);
    struct hx_fd_entry *e = calloc(1, sizeof *e);
    if (!e) {
        close(fd);
        return HX_E_NOMEM;
    }
    *e = (struct hx_fd_entry){.disk = disk, .file = file, .fd = fd, .chain = *bucket(c, disk, file)};
    *bucket(c, disk, file) = e;
    link_newest(c, e);
    c->count++;
    *ret = e;
    return 0;
}
