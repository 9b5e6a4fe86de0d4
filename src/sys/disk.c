/*
 * disk.c - hexad/disk.h over the files of one real directory.
 *
 * Does not know what is in the files.  Contract D1..D4, and:
 *   S1 After a flush that failed, the file's cached pages are given up, so that a read sees the medium: the kernel
 *      marks pages clean that it could not write (D3).
 *   S2 Names come from numbers only; links are not followed; nothing is inherited by children.
 *   S3 The room of a removed file comes back a little later (reaper.c); a write that needs it waits for it.
 *   S4 A file that grows by large writes gets its blocks a mebibyte at a time: to find them for each write makes its
 *      flush about a tenth slower.  The size is as written (D4).  Where this cannot be done nothing is lost.
 *   S5 A large read gets from the disk what it asks for: a member is asked for every sixth run of a file that is
 *      read in order, which the kernel takes for a sequence, and would read what lies between, too.  Small reads
 *      are read ahead of.
 * A crash leaves files of any length up to what was written, and names that were never synced may be missing.
 * Threads: one, but for flushes of many (flushpool.c) and the room of removed files (reaper.c).
 * Memory: one struct per disk; descriptors: the farm's cache.
 */
#include "farm_private.h"
#include "hexad/assert.h"
#include "hexad/err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_DIGITS 16
#define LARGE (128u << 10)
#define ROOM_STEP (1u << 20)

static struct hx_sys_disk *self(const struct hx_disk *d)
{
    return HX_CONTAINER_OF(d, struct hx_sys_disk, disk);
}

static void file_name(uint64_t file, char name[FILE_DIGITS + 1])
{
    snprintf(name, FILE_DIGITS + 1, "%016llx", (unsigned long long)file);
}

static int open_file(struct hx_sys_disk *d, uint64_t file, int flags)
{
    char name[FILE_DIGITS + 1];
    file_name(file, name);
    for (;;) {
        int mode = d->farm->read_only ? O_RDONLY : O_RDWR;
        int fd = openat(d->dir_fd, name, mode | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
        if (fd < 0 && errno == EROFS && !(flags & O_CREAT)) /* what is there can be read */
            fd = openat(d->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0)
            return fd;
        if (errno != EINTR && (errno != EMFILE || !hx_fdcache_shrink(d->farm->fds)))
            return -1;
    }
}

/* The descriptor of FILE; makes the file when CREATE. */
static int get(struct hx_sys_disk *d, uint64_t file, bool create, struct hx_fd_entry **ret)
{
    struct hx_fd_entry *e = hx_fdcache_find(d->farm->fds, &d->disk, file);
    if (e) {
        *ret = e;
        return 0;
    }
    int fd = open_file(d, file, 0);
    if (fd < 0 && errno == ENOENT && create) {
        fd = open_file(d, file, O_CREAT | O_EXCL);
        d->dir_dirty |= fd >= 0;
    }
    if (fd < 0)
        return hx_err_from_errno(errno);
    return hx_fdcache_insert(d->farm->fds, &d->disk, file, fd, ret);
}

/* S5: the advice is the descriptor's, and stays until the size of what is read changes.  It is an advice: what it
 * returns does not matter. */
static void advise(struct hx_fd_entry *e, size_t len)
{
    bool exact = len >= LARGE;
    if (exact != e->exact)
        (void)posix_fadvise(e->fd, 0, 0, exact ? POSIX_FADV_RANDOM : POSIX_FADV_NORMAL);
    e->exact = exact;
}

static int disk_read(struct hx_disk *disk, uint64_t file, uint64_t off, void *buf, size_t len, size_t *ret_len)
{
    struct hx_fd_entry *e;
    size_t done = 0;
    int err = get(self(disk), file, false, &e);
    if (!err)
        advise(e, len);
    while (!err && done < len) {
        ssize_t n = pread(e->fd, (uint8_t *)buf + done, len - done, (off_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            err = hx_err_from_errno(errno);
        else if (n == 0)
            break;
        else
            done += (size_t)n;
    }
    if (!err)
        *ret_len = done;
    return err;
}

/* S4 */
static void make_room(struct hx_fd_entry *e, uint64_t off, size_t len)
{
    uint64_t end = off + len;
    if (len < LARGE || end <= e->room)
        return;
    e->room = (end + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
    (void)fallocate(e->fd, FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)(e->room - off));
}

static int disk_write(struct hx_disk *disk, uint64_t file, uint64_t off, const void *buf, size_t len)
{
    struct hx_fd_entry *e;
    int err = self(disk)->farm->read_only ? HX_E_PERM : get(self(disk), file, true, &e);
    if (!err) {
        e->dirty = true;
        make_room(e, off, len);
    }
    while (!err && len > 0) {
        ssize_t n = pwrite(e->fd, buf, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == ENOSPC && hx_reaper_settle(self(disk)->farm->reaper))
            continue; /* S3 */
        if (n < 0) { /* EBADF: it was opened when the disk was read-only (open_file) */
            err = errno == EBADF ? HX_E_READ_ONLY : hx_err_from_errno(errno);
            break;
        }
        buf = (const uint8_t *)buf + n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return err;
}

void hx_disk_evict(struct hx_fd_entry *e)
{
    int err = hx_flush_fd(e->fd);
    if (err)
        self(e->disk)->failed = err;
    e->dirty = err != 0;
}

/* What is to be synced for a flush of FILE. */
static int flush_job(struct hx_sys_disk *d, uint64_t file, struct hx_fd_entry **ret_entry, struct hx_flush_job *ret)
{
    int err = d->failed ? d->failed : d->farm->read_only ? HX_E_PERM : get(d, file, false, ret_entry);
    if (!err)
        *ret = (struct hx_flush_job){(*ret_entry)->fd, d->dir_dirty ? d->dir_fd : -1, 0};
    return err;
}

static int disk_flush(struct hx_disk *disk, uint64_t file)
{
    struct hx_sys_disk *d = self(disk);
    struct hx_fd_entry *e;
    struct hx_flush_job j;
    int err = flush_job(d, file, &e, &j);
    if (err)
        return err;
    err = hx_flush_fd(j.fd);
    if (err)
        return err;
    e->dirty = false;
    if (j.dir_fd >= 0) {
        if (fsync(j.dir_fd) < 0)
            return hx_err_from_errno(errno);
        d->dir_dirty = false;
    }
    return 0;
}

void hx_disk_flush_many(struct hx_disk_farm *f, struct hx_disk_flush *list, size_t count)
{
    struct hx_sys_farm *farm = HX_CONTAINER_OF(f, struct hx_sys_farm, farm);
    struct hx_flush_job jobs[HX_DISK_FLUSH_MAX];
    struct hx_fd_entry *entries[HX_DISK_FLUSH_MAX];
    size_t of[HX_DISK_FLUSH_MAX], n = 0;
    hx_assert(count <= HX_DISK_FLUSH_MAX);
    bool few = 2 * count > farm->files_max; /* or getting the last descriptor would drop the first one */
    for (size_t i = 0; i < count; i++) {
        if (few) {
            list[i].err = disk_flush(list[i].disk, list[i].file);
            continue;
        }
        list[i].err = flush_job(self(list[i].disk), list[i].file, &entries[n], &jobs[n]);
        of[n] = i;
        n += !list[i].err;
    }
    hx_flushpool_run(farm->pool, jobs, n);
    for (size_t k = 0; k < n; k++) {
        list[of[k]].err = jobs[k].err;
        if (jobs[k].err)
            continue;
        entries[k]->dirty = false;
        if (jobs[k].dir_fd >= 0)
            self(list[of[k]].disk)->dir_dirty = false;
    }
}

/* S3: only the name goes here. */
static int disk_remove(struct hx_disk *disk, uint64_t file)
{
    struct hx_sys_disk *d = self(disk);
    char name[FILE_DIGITS + 1];
    if (d->farm->read_only)
        return HX_E_PERM;
    struct hx_fd_entry *e = hx_fdcache_find(d->farm->fds, disk, file);
    int fd = e ? hx_fdcache_take(d->farm->fds, e) : open_file(d, file, 0);
    file_name(file, name);
    int rc = unlinkat(d->dir_fd, name, 0), why = errno;
    if (rc == 0)
        d->dir_dirty = true;
    if (rc == 0 && fd >= 0)
        hx_reaper_take(d->farm->reaper, fd);
    else if (fd >= 0)
        close(fd);
    return rc == 0 || why == ENOENT ? 0 : hx_err_from_errno(why);
}

static bool parse_name(const char *name, uint64_t *ret)
{
    uint64_t v = 0;
    if (strlen(name) != FILE_DIGITS || strspn(name, "0123456789abcdef") != FILE_DIGITS)
        return false;
    for (; *name; name++)
        v = v << 4 | (uint64_t)(*name <= '9' ? *name - '0' : *name - 'a' + 10);
    *ret = v;
    return true;
}

/* Keeps the MAX lowest ids, sorted. */
static size_t keep_lowest(uint64_t id, struct hx_disk_file *ret, size_t count, size_t max)
{
    size_t i;
    if (count == max && (max == 0 || id > ret[max - 1].id))
        return count;
    if (count < max)
        count++;
    for (i = count - 1; i > 0 && ret[i - 1].id > id; i--)
        ret[i] = ret[i - 1];
    ret[i] = (struct hx_disk_file){id, 0};
    return count;
}

static int disk_list(struct hx_disk *disk, uint64_t from, struct hx_disk_file *ret, size_t max, size_t *ret_count)
{
    struct hx_sys_disk *d = self(disk);
    size_t count = 0;
    uint64_t id;
    int err = 0, fd = openat(d->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        err = hx_err_from_errno(errno);
        if (fd >= 0)
            close(fd);
        return err;
    }
    errno = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (parse_name(e->d_name, &id) && id >= from)
            count = keep_lowest(id, ret, count, max);
    if (errno)
        err = hx_err_from_errno(errno);
    closedir(dir);
    for (size_t i = 0; i < count && !err; i++) {
        char name[FILE_DIGITS + 1];
        struct stat st;
        file_name(ret[i].id, name);
        if (fstatat(d->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            err = hx_err_from_errno(errno);
        else
            ret[i].bytes = (uint64_t)st.st_size;
    }
    if (!err)
        *ret_count = count;
    return err;
}

const struct hx_disk_ops hx_sys_disk_ops = {
    .read = disk_read,
    .write = disk_write,
    .flush = disk_flush,
    .remove = disk_remove,
    .list = disk_list,
};
