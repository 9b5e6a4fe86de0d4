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
 *   S6 A name is synced with the file that it was made for, so a commit does not wait for names that background work
 *      made or removed.
 *      A file that was renamed is one that was made (its new name), and has its blocks already (S4).
 *   S7 A flush beside has a descriptor of its own, so that others may be closed and names removed meanwhile.
 * A crash leaves files of any length up to what was written, and names that were never synced may be missing.
 * Threads: one, but for flushes of many (flushpool.c) and beside (beside.c), for the room of removed files (reaper.c),
 * and for what will be read soon (prefetch.c).
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
    bool made = false;
    int fd = open_file(d, file, 0);
    if (fd < 0 && errno == ENOENT && create) {
        fd = open_file(d, file, O_CREAT | O_EXCL);
        made = fd >= 0;
    }
    if (fd < 0)
        return hx_err_from_errno(errno);
    int err = hx_fdcache_insert(d->farm->fds, &d->disk, file, fd, ret);
    if (!err)
        (*ret)->made = made; /* S6 */
    d->dir_dirty |= err && made;
    return err;
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
    self(e->disk)->dir_dirty |= e->made;
    e->dirty = err != 0;
}

/* What is to be synced for a flush of FILE. */
static int flush_job(struct hx_sys_disk *d, uint64_t file, struct hx_fd_entry **ret_entry, struct hx_flush_job *ret)
{
    int err = d->failed ? d->failed : d->farm->read_only ? HX_E_PERM : get(d, file, false, ret_entry);
    if (!err)
        *ret = (struct hx_flush_job){(*ret_entry)->fd, d->dir_dirty || (*ret_entry)->made ? d->dir_fd : -1, 0};
    return err;
}

/* J, of E, is done.  What was made or removed since it began is none of its business: there is only one thread. */
static void flushed(struct hx_sys_disk *d, struct hx_fd_entry *e, const struct hx_flush_job *j)
{
    e->dirty = false;
    if (j->dir_fd >= 0)
        d->dir_dirty = e->made = false;
}

static int disk_flush(struct hx_disk *disk, uint64_t file)
{
    struct hx_sys_disk *d = self(disk);
    struct hx_fd_entry *e;
    struct hx_flush_job j;
    int err = flush_job(d, file, &e, &j);
    if (err)
        return err;
    hx_flush_do(&j);
    if (!j.err)
        flushed(d, e, &j);
    return j.err;
}

/* S7 */
static int disk_flush_begin(struct hx_disk *disk, uint64_t file)
{
    struct hx_sys_disk *d = self(disk);
    struct hx_fd_entry *e;
    if (d->beside && !hx_beside_ended(d->farm->beside, &d->job))
        return HX_E_BUSY;
    hx_disk_settle(d);
    int err = flush_job(d, file, &e, &d->job.flush);
    if (err)
        return err;
    int fd = fcntl(e->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) /* no descriptor to be had: at once */
        return disk_flush(disk, file);
    d->job.flush.fd = fd;
    d->beside = file;
    hx_beside_begin(d->farm->beside, &d->job);
    return 0;
}

static int disk_flush_end(struct hx_disk *disk, uint64_t file)
{
    struct hx_sys_disk *d = self(disk);
    if (d->beside != file)
        return 0; /* it was done at once */
    if (!hx_beside_ended(d->farm->beside, &d->job))
        return HX_E_BUSY;
    hx_disk_settle(d);
    struct hx_fd_entry *e = hx_fdcache_find(d->farm->fds, disk, file);
    if (!d->job.flush.err && e)
        e->dirty = e->made = false;
    return d->job.flush.err ? d->job.flush.err : d->failed; /* each failure is told to one flush of a descriptor */
}

void hx_disk_settle(struct hx_sys_disk *d)
{
    if (!d->beside)
        return;
    hx_beside_wait(d->farm->beside, &d->job);
    close(d->job.flush.fd);
    d->beside = 0;
}

static void disk_expect(struct hx_disk *disk, uint64_t file, uint64_t off, size_t len)
{
    struct hx_fd_entry *e;
    if (!get(self(disk), file, false, &e))
        hx_prefetch_ask(self(disk)->farm->prefetch, disk, e->fd, off, len);
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
        if (!jobs[k].err)
            flushed(self(list[of[k]].disk), entries[k], &jobs[k]);
    }
}

/* S3: only the name goes here. */
static int disk_discard(struct hx_disk *disk, uint64_t file)
{
    struct hx_sys_disk *d = self(disk);
    char name[FILE_DIGITS + 1];
    if (d->farm->read_only)
        return HX_E_PERM;
    struct hx_fd_entry *e = hx_fdcache_find(d->farm->fds, disk, file);
    int fd = e ? hx_fdcache_take(d->farm->fds, e) : open_file(d, file, 0);
    file_name(file, name);
    int rc = unlinkat(d->dir_fd, name, 0), why = errno;
    if (rc == 0 && fd >= 0)
        hx_reaper_take(d->farm->reaper, fd);
    else if (fd >= 0)
        close(fd);
    return rc == 0 || why == ENOENT ? 0 : hx_err_from_errno(why);
}

static int disk_remove(struct hx_disk *disk, uint64_t file)
{
    int err = disk_discard(disk, file);
    self(disk)->dir_dirty |= !err;
    return err;
}

/* The descriptor stays, and knows that its name is new (S6).  The blocks are there already (S4). */
static int disk_rename(struct hx_disk *disk, uint64_t from, uint64_t to)
{
    struct hx_sys_disk *d = self(disk);
    char old[FILE_DIGITS + 1], new[FILE_DIGITS + 1];
    struct hx_fd_entry *e;
    struct stat st;
    int err = d->farm->read_only ? HX_E_PERM : get(d, from, false, &e);
    if (err)
        return err;
    bool dirty = e->dirty, exact = e->exact;
    file_name(from, old);
    file_name(to, new);
    if (renameat(d->dir_fd, old, d->dir_fd, new) < 0)
        return hx_err_from_errno(errno);
    err = hx_fdcache_insert(d->farm->fds, disk, to, hx_fdcache_take(d->farm->fds, e), &e);
    if (err) {
        d->dir_dirty = true;
        return dirty ? err : 0;
    }
    e->made = true;
    e->dirty = dirty;
    e->exact = exact;
    e->room = fstat(e->fd, &st) < 0 ? 0 : (uint64_t)st.st_size;
    return 0;
}

static int disk_cut(struct hx_disk *disk, uint64_t file, uint64_t bytes)
{
    struct hx_sys_disk *d = self(disk);
    struct hx_fd_entry *e;
    struct stat st;
    int err = d->farm->read_only ? HX_E_PERM : get(d, file, false, &e);
    if (err)
        return err;
    if (fstat(e->fd, &st) < 0)
        return hx_err_from_errno(errno);
    if ((uint64_t)st.st_size > bytes && ftruncate(e->fd, (off_t)bytes) < 0)
        return hx_err_from_errno(errno);
    e->room = bytes < e->room ? bytes : e->room;
    return 0;
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
    .flush_begin = disk_flush_begin,
    .flush_end = disk_flush_end,
    .discard = disk_discard,
    .rename = disk_rename,
    .cut = disk_cut,
    .expect = disk_expect,
};
