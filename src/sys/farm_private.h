/*
 * farm_private.h - what farm.c and disk.c share.
 */
#ifndef HEXAD_SYS_FARM_PRIVATE_H
#define HEXAD_SYS_FARM_PRIVATE_H

#include "beside.h"
#include "fdcache.h"
#include "hexad/disk.h"
#include "prefetch.h"
#include "reaper.h"

struct hx_sys_farm {
    struct hx_disk_farm farm;
    int segments_fd; /* of the data directory */
    struct hx_fdcache *fds;
    unsigned files_max; /* of fds */
    struct hx_flushpool *pool;
    struct hx_reaper *reaper;
    struct hx_beside *beside;
    struct hx_prefetch *prefetch;
    struct hx_disk_place *places; /* of the walk under way */
    size_t place_count;
    bool walking; /* it has not come to its end */
    bool read_only;
    unsigned open_disks;
};
struct hx_sys_disk {
    struct hx_disk disk;
    struct hx_sys_farm *farm;
    int dir_fd;
    bool dir_dirty; /* a name was removed since the directory was last synced, or made by whom nobody knows (D2) */
    struct hx_beside_job job; /* of the flush beside, if BESIDE */
    uint64_t beside;          /* the file that it is of, or was; 0: none */
    int failed;     /* a flush failed when a descriptor had to be closed, or the directory's at the opening: said at
                     * every flush from now on (D3) */
};
extern const struct hx_disk_ops hx_sys_disk_ops;
void hx_disk_flush_many(struct hx_disk_farm *f, struct hx_disk_flush *list, size_t count);
/* Waits until no flush goes on beside. */
void hx_disk_settle(struct hx_sys_disk *d);
/* The cache's evict: flush, and remember a failure in the disk. */
void hx_disk_evict(struct hx_fd_entry *e);

#endif
