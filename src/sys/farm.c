/*
 * farm.c - where a server's segments live: DATA/segments/<volume uuid>-<pg>/.
 *
 * Does not touch the files in there (disk.c).  A directory that is made is durable before open returns; a crash
 * before leaves it there or not.  Directories with other names are left alone.
 *   P1 What open finds in a directory is durable in name: a process that was killed between the making of a file
 *      and the sync of its directory leaves a name that only the system's memory has.
 * Threads: one.  Memory: the farm, its descriptor cache, the list of places of a walk under way.
 */
#include "farm_private.h"
#include "hexad/assert.h"
#include "sys_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FILES_DEFAULT 256u
#define PLACE_NAME 48

static struct hx_sys_farm *self(struct hx_disk_farm *f)
{
    return HX_CONTAINER_OF(f, struct hx_sys_farm, farm);
}

static void place_name(struct hx_disk_place at, char name[PLACE_NAME])
{
    char hex[33];
    hx_uuid_format(&at.volume, hex);
    snprintf(name, PLACE_NAME, "%s-%u", hex, at.pg);
}

static bool place_parse(const char *name, struct hx_disk_place *ret)
{
    char hex[33], again[PLACE_NAME];
    uint64_t pg;
    if (strlen(name) < 34 || name[32] != '-')
        return false;
    memcpy(hex, name, 32);
    hex[32] = '\0';
    if (hx_uuid_parse(hex, &ret->volume) < 0 || hx_parse_u64(name + 33, UINT32_MAX, &pg) < 0)
        return false;
    ret->pg = (uint32_t)pg;
    place_name(*ret, again);
    return strcmp(again, name) == 0; /* not "007" */
}

static int farm_open(struct hx_disk_farm *f, struct hx_disk_place at, bool create, struct hx_disk **ret)
{
    struct hx_sys_farm *farm = self(f);
    char name[PLACE_NAME];
    place_name(at, name);
    if (create && farm->read_only)
        return HX_E_PERM;
    if (create) {
        if (mkdirat(farm->segments_fd, name, 0700) < 0 && errno != EEXIST)
            return hx_err_from_errno(errno);
        if (fsync(farm->segments_fd) < 0) /* also of one that a crash left unsynced */
            return hx_err_from_errno(errno);
    }
    int fd = openat(farm->segments_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return hx_err_from_errno(errno);
    struct hx_sys_disk *d = calloc(1, sizeof *d);
    if (!d) {
        close(fd);
        return HX_E_NOMEM;
    }
    *d = (struct hx_sys_disk){.disk = {&hx_sys_disk_ops}, .farm = farm, .dir_fd = fd};
    d->dir_dirty = farm->walking; /* P1: with the first flush, many at the same time */
    if (!farm->walking && !farm->read_only && fsync(fd) < 0) /* of this segment alone, so its flushes say it */
        d->failed = hx_err_from_errno(errno);
    farm->open_disks++;
    *ret = &d->disk;
    return 0;
}

static void farm_close(struct hx_disk_farm *f, struct hx_disk *disk)
{
    struct hx_sys_farm *farm = self(f);
    if (!disk)
        return;
    struct hx_sys_disk *d = HX_CONTAINER_OF(disk, struct hx_sys_disk, disk);
    hx_disk_settle(d);
    hx_prefetch_forget(farm->prefetch, disk);
    hx_fdcache_drop_disk(farm->fds, disk);
    close(d->dir_fd);
    free(d);
    farm->open_disks--;
}

static int by_name(const void *a, const void *b)
{
    const struct hx_disk_place *x = a, *y = b;
    int c = memcmp(x->volume.b, y->volume.b, sizeof x->volume.b);
    return c ? c : (x->pg > y->pg) - (x->pg < y->pg);
}

static int read_places(struct hx_sys_farm *farm, DIR *dir)
{
    size_t cap = 0;
    free(farm->places);
    farm->places = NULL;
    farm->place_count = 0;
    errno = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        struct hx_disk_place at;
        if (!place_parse(e->d_name, &at))
            continue;
        if (farm->place_count == cap) {
            cap = cap ? 2 * cap : 64;
            struct hx_disk_place *p = reallocarray(farm->places, cap, sizeof *p);
            if (!p)
                return HX_E_NOMEM;
            farm->places = p;
        }
        farm->places[farm->place_count++] = at;
        errno = 0;
    }
    if (errno)
        return hx_err_from_errno(errno);
    if (farm->place_count)
        qsort(farm->places, farm->place_count, sizeof *farm->places, by_name);
    return 0;
}

static int farm_next(struct hx_disk_farm *f, size_t *cursor, struct hx_disk_place *ret)
{
    struct hx_sys_farm *farm = self(f);
    if (*cursor == 0) {
        int fd = openat(farm->segments_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        if (!dir) {
            int err = hx_err_from_errno(errno);
            if (fd >= 0)
                close(fd);
            return err;
        }
        int err = read_places(farm, dir);
        closedir(dir);
        if (err)
            return err;
    }
    farm->walking = *cursor < farm->place_count;
    if (!farm->walking)
        return 0;
    *ret = farm->places[(*cursor)++];
    return 1;
}

static int farm_space(struct hx_disk_farm *f, uint64_t *ret_total, uint64_t *ret_free)
{
    struct statvfs st;
    if (fstatvfs(self(f)->segments_fd, &st) < 0)
        return hx_err_from_errno(errno);
    *ret_total = (uint64_t)st.f_blocks * st.f_frsize;
    *ret_free = (uint64_t)st.f_bavail * st.f_frsize;
    return 0;
}

static const struct hx_disk_farm_ops farm_ops = {farm_open, farm_close, farm_next, farm_space, hx_disk_flush_many};

/* Sockets and directories need descriptors, too: one per open segment, so raise the soft limit. */
static unsigned bound_files(unsigned wanted)
{
    struct rlimit lim;
    if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
        return wanted;
    if (lim.rlim_cur < lim.rlim_max) {
        lim.rlim_cur = lim.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
            (void)getrlimit(RLIMIT_NOFILE, &lim);
    }
    rlim_t quarter = lim.rlim_cur / 4;
    if (quarter < 8)
        quarter = 8;
    return wanted < quarter ? wanted : (unsigned)quarter;
}

int hx_farm_new(struct hx_datadir *d, unsigned files_max, struct hx_disk_farm **ret)
{
    struct hx_sys_farm *farm = calloc(1, sizeof *farm);
    if (!farm)
        return HX_E_NOMEM;
    farm->farm.ops = &farm_ops;
    farm->segments_fd = hx_datadir_segments_fd(d);
    farm->read_only = hx_datadir_read_only(d);
    farm->files_max = bound_files(files_max ? files_max : FILES_DEFAULT);
    int err = hx_fdcache_new(farm->files_max, hx_disk_evict, &farm->fds);
    if (!err)
        err = hx_flushpool_new(&farm->pool);
    if (!err)
        err = hx_reaper_new(&farm->reaper);
    if (!err)
        err = hx_beside_new(&farm->beside);
    if (!err)
        err = hx_prefetch_new(&farm->prefetch);
    if (err) {
        hx_beside_free(farm->beside);
        hx_reaper_free(farm->reaper);
        hx_flushpool_free(farm->pool);
        hx_fdcache_free(farm->fds);
        free(farm);
        return err;
    }
    *ret = &farm->farm;
    return 0;
}

void hx_farm_free(struct hx_disk_farm *f)
{
    if (!f)
        return;
    struct hx_sys_farm *farm = self(f);
    hx_assert(farm->open_disks == 0); /* disks first: their owner closes them */
    hx_prefetch_free(farm->prefetch);
    hx_beside_free(farm->beside);
    hx_reaper_free(farm->reaper);
    hx_flushpool_free(farm->pool);
    hx_fdcache_free(farm->fds);
    free(farm->places);
    free(farm);
}
