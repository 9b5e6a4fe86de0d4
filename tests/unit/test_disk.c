/*
 * test_disk.c - the real disk, the farm and the data directory (src/sys: disk.c, fdcache.c, farm.c, datadir.c).
 * Method: a private directory; contract D1..D4 of hexad/disk.h as far as a process without power cuts can see it, with
 * a descriptor cache so small that it is at work all the time.
 */
#include "hexad/crc.h"
#include "hexad/disk.h"
#include "hexad/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], data[128], why[HX_WHY_MAX];
static struct hx_datadir *dd;
static struct hx_disk_farm *farm;
static const struct hx_disk_place place = {{{1, 2, 3}}, 7};

/* Stands in for libc's: a disk that is full until the file behind FULL_UNTIL, a descriptor, is empty. */
static int full_until = -1;
static unsigned refused;
ssize_t pwrite(int fd, const void *p, size_t len, off_t off)
{
    struct stat st;
    if (full_until >= 0 && fstat(full_until, &st) == 0 && st.st_size > 0) {
        refused++;
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, p, len, off);
}

/* Counts: blocks are asked for ahead. */
static unsigned asked;
static uint64_t asked_to;
int fallocate(int fd, int mode, off_t off, off_t len)
{
    assert_int_equal(mode, FALLOC_FL_KEEP_SIZE);
    asked++;
    asked_to = (uint64_t)(off + len);
    return (int)syscall(SYS_fallocate, fd, mode, off, len);
}

/* Notes what the kernel is told about a descriptor. */
static int advices[8];
static unsigned advice_count;
static pthread_t main_thread;
static atomic_uint wanted, wanted_here; /* advices that something will be read; those of them by the main thread */
int posix_fadvise(int fd, off_t off, off_t len, int advice)
{
    (void)fd;
    if (advice == POSIX_FADV_WILLNEED) {
        wanted_here += pthread_equal(pthread_self(), main_thread) != 0;
        wanted++;
        return 0;
    }
    if (off == 0 && len == 0 && advice_count < 8)
        advices[advice_count++] = advice;
    return 0;
}

/* Stands in for libc's: a flush of the file whose name ends with STOPPED does not end before that is NULL; that of
 * one that ends with FLUSH_FAILS fails. */
static pthread_mutex_t stop_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t stop_cond = PTHREAD_COND_INITIALIZER;
static const char *stopped, *flush_fails;
static bool ends_with(const char *path, const char *end)
{
    size_t n = strlen(path), m = end ? strlen(end) : 0;
    return end && n >= m && !strcmp(path + n - m, end);
}
int fdatasync(int fd)
{
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    pthread_mutex_lock(&stop_lock);
    while (ends_with(path, stopped))
        pthread_cond_wait(&stop_cond, &stop_lock);
    bool fails = ends_with(path, flush_fails);
    pthread_mutex_unlock(&stop_lock);
    if (fails) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}
static void hold(const char *name, const char *fails)
{
    pthread_mutex_lock(&stop_lock);
    stopped = name;
    flush_fails = fails;
    pthread_cond_broadcast(&stop_cond);
    pthread_mutex_unlock(&stop_lock);
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/hexad-disk-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(data, sizeof data, "%s/data", dir);
    if (hx_datadir_open(data, "a1", "az-a", &dd, why))
        return -1;
    return hx_farm_new(dd, 2, &farm);
}
static int teardown(void **state)
{
    char cmd[128];
    (void)state;
    hx_farm_free(farm);
    hx_datadir_close(dd);
    dd = NULL;
    farm = NULL;
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd);
}
static struct hx_disk *open_disk(void)
{
    struct hx_disk *d = NULL;
    assert_int_equal(farm->ops->open(farm, place, true, &d), 0);
    return d;
}
static unsigned open_descriptors(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Stands in for libc's: the directories that were synced, each between two line ends; failing that of FAIL. */
static pthread_mutex_t synced_lock = PTHREAD_MUTEX_INITIALIZER; /* also called by threads of the farm */
static char synced[8192];
static const char *sync_fails;
int fsync(int fd)
{
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    pthread_mutex_lock(&synced_lock);
    size_t at = strlen(synced);
    snprintf(synced + at, sizeof synced - at, "\n%s\n", path);
    pthread_mutex_unlock(&synced_lock);
    if (sync_fails && strcmp(path, sync_fails) == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

static void assert_synced(const char *path)
{
    char line[300];
    snprintf(line, sizeof line, "\n%s\n", path);
    assert_non_null(strstr(synced, line));
}

/* Promise: names that a process left behind which was killed before it synced them are durable before
 * anything is built on them.  Method: fsync is watched while an existing data directory and an existing place
 * are opened; where the sync of a place fails, its flushes fail. */
static void what_is_found_is_made_durable(void **state)
{
    struct hx_disk *d = open_disk();
    char seg[256];
    (void)state;
    assert_int_equal(d->ops->write(d, 1, 0, "x", 1), 0);
    farm->ops->close(farm, d);
    snprintf(seg, sizeof seg, "%s/segments/01020300000000000000000000000000-7", data);
    synced[0] = '\0';
    assert_int_equal(farm->ops->open(farm, place, false, &d), 0);
    assert_synced(seg);
    assert_int_equal(d->ops->flush(d, 1), 0);
    farm->ops->close(farm, d);
    sync_fails = seg;
    assert_int_equal(farm->ops->open(farm, place, false, &d), 0);
    sync_fails = NULL;
    assert_int_equal(d->ops->flush(d, 1), HX_E_IO);
    farm->ops->close(farm, d);
    hx_farm_free(farm);
    farm = NULL;
    hx_datadir_close(dd);
    synced[0] = '\0';
    assert_int_equal(hx_datadir_open(data, "a1", "az-a", &dd, why), 0);
    assert_synced(data);
    assert_synced(dir);
    hx_datadir_close(dd);
    sync_fails = data;
    assert_int_equal(hx_datadir_open(data, "a1", "az-a", &dd, why), HX_E_IO);
    sync_fails = NULL;
    assert_non_null(strstr(why, data));
    dd = NULL;
}

/* Promise D1: what was written is read at once, also through closed and reopened descriptors (cache of two). */
static void a_write_is_readable_at_once(void **state)
{
    struct hx_disk *d = open_disk();
    char buf[64];
    size_t len;
    (void)state;
    for (uint64_t f = 0; f < 20; f++) {
        snprintf(buf, sizeof buf, "file %llu", (unsigned long long)f);
        assert_int_equal(d->ops->write(d, f, 100 * f, buf, strlen(buf) + 1), 0);
    }
    for (uint64_t f = 0; f < 20; f++) {
        char expect[64];
        snprintf(expect, sizeof expect, "file %llu", (unsigned long long)f);
        assert_int_equal(d->ops->read(d, f, 100 * f, buf, sizeof buf, &len), 0);
        assert_int_equal(len, strlen(expect) + 1);
        assert_string_equal(buf, expect);
    }
    farm->ops->close(farm, d);
}

/* Promise D4: past the end a short count, a hole reads as zeros. */
static void past_the_end_is_short_and_holes_are_zero(void **state)
{
    struct hx_disk *d = open_disk();
    uint8_t buf[100];
    size_t len = 99;
    (void)state;
    assert_int_equal(d->ops->write(d, 1, 5000, "x", 1), 0);
    memset(buf, 0xee, sizeof buf);
    assert_int_equal(d->ops->read(d, 1, 4990, buf, sizeof buf, &len), 0);
    assert_int_equal(len, 11);
    for (int i = 0; i < 10; i++)
        assert_int_equal(buf[i], 0);
    assert_int_equal(buf[10], 'x');
    assert_int_equal(d->ops->read(d, 1, 5001, buf, sizeof buf, &len), 0);
    assert_int_equal(len, 0);
    assert_int_equal(d->ops->read(d, 1, 1 << 20, buf, sizeof buf, &len), 0);
    assert_int_equal(len, 0);
    farm->ops->close(farm, d);
}

/* Promise: reading or flushing a file that is not there is NOENT and leaves the out-parameter alone; removing
 * is fine. */
static void an_absent_file_is_noent(void **state)
{
    struct hx_disk *d = open_disk();
    uint8_t b;
    size_t len = 42;
    (void)state;
    assert_int_equal(d->ops->read(d, 9, 0, &b, 1, &len), HX_E_NOENT);
    assert_int_equal(len, 42);
    assert_int_equal(d->ops->flush(d, 9), HX_E_NOENT);
    assert_int_equal(d->ops->remove(d, 9), 0);
    farm->ops->close(farm, d);
}

/* Promise D2, as far as it shows: flush after create and remove succeeds, removed files are gone, their ids
 * reusable. */
static void flush_and_remove_go_together(void **state)
{
    struct hx_disk *d = open_disk();
    uint8_t b = 0;
    size_t len;
    (void)state;
    assert_int_equal(d->ops->write(d, 1, 0, "1", 1), 0);
    assert_int_equal(d->ops->flush(d, 1), 0);
    assert_int_equal(d->ops->write(d, 2, 0, "2", 1), 0);
    assert_int_equal(d->ops->remove(d, 1), 0);
    assert_int_equal(d->ops->flush(d, 2), 0);
    assert_int_equal(d->ops->read(d, 1, 0, &b, 1, &len), HX_E_NOENT);
    assert_int_equal(d->ops->write(d, 1, 0, "n", 1), 0);
    assert_int_equal(d->ops->read(d, 1, 0, &b, 1, &len), 0);
    assert_int_equal(b, 'n');
    farm->ops->close(farm, d);
}

/* How a flush beside ends. */
static int ended(struct hx_disk *d, uint64_t file)
{
    int err;
    while ((err = d->ops->flush_end(d, file)) == HX_E_BUSY)
        sched_yield();
    return err;
}

/* Promise: a flush goes on beside reads, writes, flushes and removals, its own file's, too; one at a time; what it says
 * is what a flush would say; closing waits for it. */
static void a_flush_goes_on_beside(void **state)
{
    (void)state;
    struct hx_disk *d = open_disk();
    char seg[256];
    snprintf(seg, sizeof seg, "%s/segments/01020300000000000000000000000000-7", data);
    hold("0000000000000010", NULL);
    assert_int_equal(d->ops->write(d, 16, 0, "x", 1), 0);
    synced[0] = '\0';
    assert_int_equal(d->ops->flush_begin(d, 16), 0);
    assert_int_equal(d->ops->flush_end(d, 16), HX_E_BUSY);
    for (uint64_t f = 17; f < 24; f++) { /* more than there are descriptors for */
        assert_int_equal(d->ops->write(d, f, 0, "y", 1), 0);
        assert_int_equal(d->ops->flush(d, f), 0);
        assert_int_equal(d->ops->flush_begin(d, f), HX_E_BUSY);
    }
    assert_int_equal(d->ops->flush_end(d, 16), HX_E_BUSY);
    assert_int_equal(d->ops->discard(d, 16), 0);
    synced[0] = '\0';
    hold(NULL, NULL);
    assert_int_equal(ended(d, 16), 0);
    assert_synced(seg); /* its name was new */
    hold(NULL, "0000000000000011");
    assert_int_equal(d->ops->flush_begin(d, 17), 0);
    assert_int_equal(ended(d, 17), HX_E_IO);
    hold(NULL, NULL);
    assert_int_equal(d->ops->flush_begin(d, 18), 0); /* nobody asks how it ended */
    farm->ops->close(farm, d);
}

/* Promise: a file that is renamed keeps what it holds, and its new name is synced with its next flush, also beside, not
 * with those of others; what is cut off is gone. */
static void renamed_and_cut(void **state)
{
    (void)state;
    struct hx_disk *d = open_disk();
    char seg[256], got[8] = "";
    size_t n;
    snprintf(seg, sizeof seg, "%s/segments/01020300000000000000000000000000-7", data);
    assert_int_equal(d->ops->write(d, 16, 0, "abcdef", 6), 0);
    assert_int_equal(d->ops->flush(d, 16), 0);
    assert_int_equal(d->ops->rename(d, 99, 9), HX_E_NOENT);
    assert_int_equal(d->ops->rename(d, 16, 9), 0);
    assert_int_equal(d->ops->read(d, 16, 0, got, 6, &n), HX_E_NOENT);
    assert_int_equal(d->ops->read(d, 9, 0, got, sizeof got, &n), 0);
    assert_true(n == 6 && !memcmp(got, "abcdef", 6));
    assert_int_equal(d->ops->write(d, 17, 0, "x", 1), 0);
    assert_int_equal(d->ops->flush(d, 17), 0);
    synced[0] = '\0';
    assert_int_equal(d->ops->flush(d, 17), 0);
    assert_int_equal(synced[0], '\0');
    assert_int_equal(d->ops->flush_begin(d, 9), 0);
    assert_int_equal(ended(d, 9), 0);
    assert_synced(seg);
    synced[0] = '\0';
    assert_int_equal(d->ops->flush(d, 9), 0);
    assert_int_equal(synced[0], '\0');
    assert_int_equal(d->ops->rename(d, 9, 18), 0);
    assert_int_equal(d->ops->write(d, 18, 0, "X", 1), 0);
    assert_int_equal(d->ops->flush(d, 18), 0);
    assert_synced(seg);
    assert_int_equal(d->ops->cut(d, 18, 9), 0); /* it does not grow */
    assert_int_equal(d->ops->cut(d, 18, 3), 0);
    assert_int_equal(d->ops->read(d, 18, 0, got, sizeof got, &n), 0);
    assert_true(n == 3 && !memcmp(got, "Xbc", 3));
    assert_int_equal(d->ops->cut(d, 99, 3), HX_E_NOENT);
    farm->ops->close(farm, d);
}

/* Promise (S6): a commit waits for no name but its own file's, and for removals that are to be durable. */
static void a_flush_syncs_names_of_its_own(void **state)
{
    (void)state;
    struct hx_disk *d = open_disk();
    char seg[256];
    snprintf(seg, sizeof seg, "%s/segments/01020300000000000000000000000000-7", data);
    assert_int_equal(d->ops->write(d, 16, 0, "x", 1), 0);
    synced[0] = '\0';
    assert_int_equal(d->ops->flush(d, 16), 0);
    assert_synced(seg);
    synced[0] = '\0';
    assert_int_equal(d->ops->write(d, 17, 0, "y", 1), 0);
    assert_int_equal(d->ops->flush(d, 16), 0);
    assert_int_equal(synced[0], '\0');
    assert_int_equal(d->ops->flush(d, 17), 0);
    assert_synced(seg);
    synced[0] = '\0';
    assert_int_equal(d->ops->discard(d, 17), 0);
    assert_int_equal(d->ops->flush(d, 16), 0);
    assert_int_equal(synced[0], '\0');
    assert_int_equal(d->ops->write(d, 18, 0, "z", 1), 0);
    assert_int_equal(d->ops->write(d, 19, 0, "z", 1), 0);
    assert_int_equal(d->ops->write(d, 20, 0, "z", 1), 0); /* two descriptors: that of 18 was closed, flushed */
    assert_int_equal(d->ops->flush(d, 20), 0);
    assert_synced(seg);
    synced[0] = '\0';
    assert_int_equal(d->ops->remove(d, 16), 0);
    assert_int_equal(d->ops->flush(d, 20), 0);
    assert_synced(seg);
    farm->ops->close(farm, d);
}

/* Promise: files are listed by ascending id, in portions, with their sizes; foreign names are left out. */
/* A file that was made LEN bytes long, removed, and of which this process holds a descriptor. */
static int removed_file(struct hx_disk *d, uint64_t id, size_t len)
{
    char path[300], hex[33];
    hx_uuid_format(&place.volume, hex);
    snprintf(path, sizeof path, "%s/segments/%s-%u/%016llx", data, hex, place.pg, (unsigned long long)id);
    assert_int_equal(d->ops->write(d, id, len - 1, "x", 1), 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(d->ops->remove(d, id), 0);
    assert_int_equal(access(path, F_OK), -1);
    return fd;
}

/* What a removed file took is given back beside the loop, all of it before the farm ends; also of more files than can
 * wait there. */
static void the_room_of_removed_files_comes_back(void **state)
{
    (void)state;
    struct hx_disk *d = open_disk();
    int held[40];
    for (unsigned i = 0; i < HX_ARRAY_LEN(held); i++)
        held[i] = removed_file(d, 16 + i, 100u << 20);
    farm->ops->close(farm, d);
    hx_farm_free(farm);
    farm = NULL;
    unsigned given = 0;
    for (unsigned i = 0; i < HX_ARRAY_LEN(held); i++) {
        struct stat st;
        assert_int_equal(fstat(held[i], &st), 0);
        given += st.st_size == 0; /* those for which there was no room to wait are closed, and held here */
        close(held[i]);
    }
    assert_true(given >= 16);
}

/* A file that grows by large writes has its blocks a mebibyte at a time, and not its size; nothing else has. */
static void large_writes_find_their_blocks(void **state)
{
    (void)state;
    struct hx_disk *d = open_disk();
    uint8_t *b = calloc(1, 256u << 10), got[8];
    size_t len;
    assert_non_null(b);
    asked = 0;
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(d->ops->write(d, 16, i << 12, b, 4096), 0);
    assert_int_equal(asked, 0);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(d->ops->write(d, 16, (256u << 10) * (i + 1), b, 256u << 10), 0);
        assert_int_equal(asked, 1 + (i + 1) / 4); /* up to 512 KiB, 768 KiB, 1 MiB; then for the next one */
        assert_int_equal(asked_to, (1 + (uint64_t)(i + 1) / 4) << 20);
    }
    struct hx_disk_file f;
    assert_int_equal(d->ops->list(d, 16, &f, 1, &len), 0);
    assert_int_equal(f.bytes, 9 * (256u << 10));
    assert_int_equal(d->ops->read(d, 16, f.bytes - 4, got, sizeof got, &len), 0);
    assert_int_equal(len, 4);
    assert_int_equal(d->ops->flush(d, 16), 0);
    farm->ops->close(farm, d);
    free(b);
}

/* A write that finds the disk full waits for the room of what was removed before, and then succeeds. */
static void a_full_disk_waits_for_the_room_of_removed_files(void **state)
{
    (void)state;
    struct hx_disk *d = open_disk();
    uint8_t b[4];
    size_t len;
    int held = removed_file(d, 16, 1u << 30);
    refused = 0;
    full_until = held;
    int err = d->ops->write(d, 17, 0, "abcd", 4);
    full_until = -1;
    assert_int_equal(err, 0);
    assert_int_equal(d->ops->read(d, 17, 0, b, sizeof b, &len), 0);
    assert_memory_equal(b, "abcd", 4);
    close(held);
    assert_true(refused > 0);
    /* With nothing removed it is as full as it says. */
    int other = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    full_until = other;
    err = d->ops->write(d, 18, 0, "abcd", 4);
    full_until = -1;
    close(other);
    assert_int_equal(err, HX_E_NOSPACE);
    farm->ops->close(farm, d);
}

static void list_gives_portions_in_order(void **state)
{
    struct hx_disk *d = open_disk();
    static const uint64_t ids[] = {5, UINT64_MAX, 3, 0, 255, 256};
    static const uint64_t sorted[] = {0, 3, 5, 255, 256, UINT64_MAX};
    struct hx_disk_file got[4];
    char foreign[256];
    size_t n, at = 0;
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(ids); i++)
        assert_int_equal(d->ops->write(d, ids[i], i, "x", 1), 0);
    snprintf(foreign, sizeof foreign, "%s/segments/01020300000000000000000000000000-7/notes.txt", data);
    assert_int_equal(close(open(foreign, O_CREAT | O_WRONLY, 0600)), 0);
    for (uint64_t from = 0;;) {
        assert_int_equal(d->ops->list(d, from, got, 4, &n), 0);
        for (size_t i = 0; i < n; i++, at++) {
            assert_true(got[i].id == sorted[at]);
            for (size_t k = 0; k < HX_ARRAY_LEN(ids); k++)
                if (ids[k] == got[i].id)
                    assert_int_equal(got[i].bytes, k + 1);
        }
        if (n < 4 || got[n - 1].id == UINT64_MAX)
            break;
        from = got[n - 1].id + 1;
    }
    assert_int_equal(at, 6);
    assert_int_equal(d->ops->list(d, 0, got, 0, &n), 0);
    assert_int_equal(n, 0);
    farm->ops->close(farm, d);
}

/* Promise: the number of descriptors stays bounded, with more files dirty than may be open; nothing is lost. */
static void descriptors_are_bounded(void **state)
{
    struct hx_disk *d = open_disk();
    unsigned before = open_descriptors();
    uint8_t b = 0;
    size_t len;
    (void)state;
    for (int round = 0; round < 2; round++)
        for (uint64_t f = 0; f < 50; f++) {
            assert_int_equal(d->ops->write(d, f, (uint64_t)round, "ab", 1), 0);
            assert_true(open_descriptors() <= before + 2);
        }
    for (uint64_t f = 0; f < 50; f++) {
        assert_int_equal(d->ops->flush(d, f), 0);
        assert_int_equal(d->ops->read(d, f, 1, &b, 1, &len), 0);
        assert_int_equal(b, 'a');
        assert_true(open_descriptors() <= before + 2);
    }
    farm->ops->close(farm, d);
    assert_int_equal(open_descriptors(), before - 1);
}

/* Promise: a symbolic link in the place of a file is not followed. */
static void links_are_not_followed(void **state)
{
    struct hx_disk *d = open_disk();
    char link[256];
    uint8_t b;
    size_t len;
    (void)state;
    snprintf(link, sizeof link, "%s/segments/01020300000000000000000000000000-7/000000000000000a", data);
    assert_int_equal(symlink("/etc/passwd", link), 0);
    assert_true(d->ops->read(d, 10, 0, &b, 1, &len) < 0);
    assert_true(d->ops->write(d, 10, 0, "x", 1) < 0);
    farm->ops->close(farm, d);
}

/* Promise: places are made durable once, found again in order, and an absent one is NOENT. */
static void the_farm_finds_its_places(void **state)
{
    struct hx_disk *d;
    struct hx_disk_place at;
    size_t cursor = 0;
    uint64_t total, unused;
    char foreign[256];
    (void)state;
    assert_int_equal(farm->ops->open(farm, place, false, &d), HX_E_NOENT);
    for (uint32_t pg = 12; pg > 0; pg--) {
        const struct hx_disk_place p = {{{9}}, pg};
        assert_int_equal(farm->ops->open(farm, p, true, &d), 0);
        farm->ops->close(farm, d);
    }
    farm->ops->close(farm, open_disk());
    snprintf(foreign, sizeof foreign, "%s/segments/01020300000000000000000000000000-07", data);
    assert_int_equal(mkdir(foreign, 0700), 0);
    assert_int_equal(farm->ops->next(farm, &cursor, &at), 1);
    assert_int_equal(at.pg, 7);
    assert_int_equal(at.volume.b[0], 1);
    for (uint32_t pg = 1; pg <= 12; pg++) {
        assert_int_equal(farm->ops->next(farm, &cursor, &at), 1);
        assert_int_equal(at.pg, pg);
    }
    assert_int_equal(farm->ops->next(farm, &cursor, &at), 0);
    assert_int_equal(farm->ops->space(farm, &total, &unused), 0);
    assert_true(total > 0 && unused <= total);
}

/* Promise: files and directories are for their owner only. */
static void nothing_is_readable_by_others(void **state)
{
    struct hx_disk *d = open_disk();
    struct stat st;
    char p[256];
    (void)state;
    assert_int_equal(d->ops->write(d, 1, 0, "x", 1), 0);
    snprintf(p, sizeof p, "%s/segments/01020300000000000000000000000000-7/0000000000000001", data);
    assert_int_equal(stat(p, &st), 0);
    assert_int_equal(st.st_mode & 077, 0);
    snprintf(p, sizeof p, "%s/segments", data);
    assert_int_equal(stat(p, &st), 0);
    assert_int_equal(st.st_mode & 077, 0);
    assert_int_equal(stat(data, &st), 0);
    assert_int_equal(st.st_mode & 077, 0);
    farm->ops->close(farm, d);
}

/* Promise: the directory keeps its incarnation over restarts; an emptied one gets another. */
static void the_incarnation_belongs_to_the_directory(void **state)
{
    struct hx_uuid first = *hx_datadir_incarnation(dd);
    char cmd[160];
    (void)state;
    assert_false(hx_uuid_is_zero(&first));
    hx_farm_free(farm);
    farm = NULL;
    hx_datadir_close(dd);
    assert_int_equal(hx_datadir_open(data, "a1", "az-a", &dd, why), 0);
    assert_true(hx_uuid_eq(&first, hx_datadir_incarnation(dd)));
    hx_datadir_close(dd);
    snprintf(cmd, sizeof cmd, "rm -rf %s/*", data);
    assert_int_equal(system(cmd), 0);
    assert_int_equal(hx_datadir_open(data, "a1", "az-a", &dd, why), 0);
    assert_false(hx_uuid_eq(&first, hx_datadir_incarnation(dd)));
}

static void edit_identity(const char *script)
{
    char cmd[256];
    snprintf(cmd, sizeof cmd, "sed -i '%s' %s/identity", script, data);
    assert_int_equal(system(cmd), 0);
}

/* Its checksum fits again. */
static void seal_identity(void)
{
    char path[200], *text, *last;
    snprintf(path, sizeof path, "%s/identity", data);
    assert_int_equal(hx_file_read(path, 4096, &text, NULL), 0);
    assert_non_null(last = strstr(text, "crc32c "));
    snprintf(last, 17, "crc32c %08x\n", hx_crc32c(0, text, (size_t)(last - text)));
    assert_int_equal(hx_file_replace(path, text, strlen(text), 0600), 0);
    free(text);
}

/* Promise: who only looks is refused while a server runs, keeps one from starting, and can change nothing. */
static void a_look_changes_nothing(void **state)
{
    struct hx_datadir *other = NULL, *again = NULL;
    struct hx_disk_farm *f;
    struct hx_disk *d;
    struct hx_disk_place at = {{{7}}, 3};
    char p[200], b[3];
    size_t n;
    (void)state;
    assert_int_equal(farm->ops->open(farm, at, true, &d), 0);
    assert_int_equal(d->ops->write(d, 16, 0, "abc", 3), 0);
    assert_int_equal(d->ops->flush(d, 16), 0);
    farm->ops->close(farm, d);
    assert_int_equal(hx_datadir_look(data, &other, why), HX_E_LOCKED);
    hx_farm_free(farm);
    farm = NULL;
    hx_datadir_close(dd);
    dd = NULL;
    assert_int_equal(hx_datadir_look(data, &other, why), 0);
    assert_string_equal(hx_datadir_server(other), "a1");
    assert_int_equal(hx_datadir_look(data, &again, why), 0); /* two may look */
    hx_datadir_close(again);
    assert_int_equal(hx_datadir_open(data, "a1", "az-a", &again, why), HX_E_LOCKED);
    assert_int_equal(hx_farm_new(other, 0, &f), 0);
    assert_int_equal(f->ops->open(f, at, false, &d), 0);
    assert_int_equal(d->ops->read(d, 16, 0, b, 3, &n), 0);
    assert_memory_equal(b, "abc", 3);
    assert_int_equal(d->ops->write(d, 16, 0, "x", 1), HX_E_PERM);
    assert_int_equal(d->ops->write(d, 17, 0, "x", 1), HX_E_PERM);
    assert_int_equal(d->ops->flush(d, 16), HX_E_PERM);
    assert_int_equal(d->ops->remove(d, 16), HX_E_PERM);
    assert_int_equal(d->ops->read(d, 17, 0, b, 3, &n), HX_E_NOENT);
    f->ops->close(f, d);
    at.pg = 4;
    assert_int_equal(f->ops->open(f, at, true, &d), HX_E_PERM);
    hx_farm_free(f);
    hx_datadir_close(other);
    snprintf(p, sizeof p, "%s/none", dir);
    assert_int_equal(hx_datadir_look(p, &other, why), HX_E_NOENT);
    assert_int_equal(hx_datadir_look(dir, &other, why), HX_E_NOENT);
    assert_non_null(strstr(why, "no data directory"));
}

/* Promise: every directory that is not this server's is refused, each with its own error and a reason. */
static void a_wrong_directory_is_refused(void **state)
{
    struct hx_datadir *other = NULL;
    char p[200];
    (void)state;
    assert_int_equal(hx_datadir_open(data, "a1", "az-a", &other, why), HX_E_LOCKED);
    hx_farm_free(farm);
    farm = NULL;
    hx_datadir_close(dd);
    dd = NULL;
    assert_int_equal(hx_datadir_open(data, "b2", "az-a", &other, why), HX_E_STRANGER);
    assert_non_null(strstr(why, "belongs to server a1"));
    assert_int_equal(hx_datadir_open(data, "a1", "az-b", &other, why), HX_E_STRANGER);
    assert_int_equal(chmod(data, 0777), 0);
    assert_int_equal(hx_datadir_open(data, "a1", "az-a", &other, why), HX_E_PERM);
    assert_int_equal(chmod(data, 0700), 0);
    edit_identity("s/^zone az-a/zone az-b/");
    assert_int_equal(hx_datadir_open(data, "a1", "az-b", &other, why), HX_E_CORRUPT);
    edit_identity("s/^hexad-data 1/hexad-data 2/");
    assert_int_equal(hx_datadir_open(data, "a1", "az-b", &other, why), HX_E_CORRUPT); /* it may be rot */
    seal_identity();
    assert_int_equal(hx_datadir_open(data, "a1", "az-b", &other, why), HX_E_VERSION);
    assert_int_equal(hx_datadir_look(data, &other, why), HX_E_VERSION);
    snprintf(p, sizeof p, "%s/identity", data);
    assert_int_equal(unlink(p), 0);
    snprintf(p, sizeof p, "%s/segments/x", data);
    assert_int_equal(mkdir(p, 0700), 0);
    assert_int_equal(hx_datadir_open(data, "a1", "az-a", &other, why), HX_E_EXIST);
    assert_non_null(strstr(why, "segments"));
    snprintf(p, sizeof p, "%s/no/such", dir);
    assert_int_equal(hx_datadir_open(p, "a1", "az-a", &other, why), HX_E_NOENT);
    assert_null(other);
}

/* Promise: what a crash in the first start leaves (lock, identity.tmp, empty segments/) is taken as new. */
static void a_first_start_that_crashed_is_repeated(void **state)
{
    char cmd[256];
    (void)state;
    hx_farm_free(farm);
    farm = NULL;
    hx_datadir_close(dd);
    dd = NULL;
    snprintf(cmd, sizeof cmd, "cd %s && mv identity identity.tmp && truncate -s 9 identity.tmp", data);
    assert_int_equal(system(cmd), 0);
    assert_int_equal(hx_datadir_open(data, "a1", "az-a", &dd, why), 0);
}

/* Promise: replacing a file is whole, sets the mode, and leaves no other file behind. */
static void replacing_a_file_is_whole(void **state)
{
    char p[160], cmd[200], *text;
    struct stat st;
    size_t len;
    (void)state;
    snprintf(p, sizeof p, "%s/f", dir);
    assert_int_equal(hx_file_replace(p, "one", 3, 0644), 0);
    assert_int_equal(hx_file_replace(p, "second", 6, 0600), 0);
    assert_int_equal(hx_file_read(p, 6, &text, &len), 0);
    assert_string_equal(text, "second");
    assert_int_equal(len, 6);
    free(text);
    assert_int_equal(hx_file_read(p, 5, &text, &len), HX_E_TOOBIG);
    assert_int_equal(stat(p, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    snprintf(cmd, sizeof cmd, "%s/f.tmp", dir);
    assert_int_equal(access(cmd, F_OK), -1);
}

/* Promise: many files are flushed at the same time, each with its own result and its directory with it; what flush says
 * of one of them, flush_many says.  Method: files on 40 disks, one of them not there, one whose directory fails; with
 * many descriptors, and with so few that they are flushed one after the other. */
static void many_are_flushed_together(void **state)
{
    (void)state;
    for (unsigned few = 0; few < 2; few++) {
        struct hx_disk_farm *f = farm;
        struct hx_disk *d[40];
        struct hx_disk_flush list[40];
        char bad[256];
        if (!few)
            assert_int_equal(hx_farm_new(dd, 200, &f), 0);
        for (unsigned i = 0; i < 40; i++) {
            struct hx_disk_place at = {{{5, (uint8_t)few}}, i};
            assert_int_equal(f->ops->open(f, at, true, &d[i]), 0);
            list[i] = (struct hx_disk_flush){d[i], 16 + i, 77};
            if (i != 3)
                assert_int_equal(d[i]->ops->write(d[i], 16 + i, 0, "x", 1), 0);
        }
        snprintf(bad, sizeof bad, "%s/segments/05%s0000000000000000000000000000-7", data, few ? "01" : "00");
        synced[0] = '\0';
        sync_fails = bad;
        f->ops->flush_many(f, list, 40);
        sync_fails = NULL;
        for (unsigned i = 0; i < 40; i++)
            assert_int_equal(list[i].err, i == 3 ? HX_E_NOENT : i == 7 ? HX_E_IO : 0);
        synced[0] = '\0';
        for (unsigned i = 0; i < 40; i++)
            list[i].err = 77;
        f->ops->flush_many(f, list, 40);
        assert_non_null(strstr(synced, bad)); /* that one is still to be synced, and no other */
        assert_null(strstr(synced + 1 + strlen(bad), "segments"));
        for (unsigned i = 0; i < 40; i++) {
            assert_int_equal(list[i].err, i == 3 ? HX_E_NOENT : 0);
            f->ops->close(f, d[i]);
        }
        if (!few)
            hx_farm_free(f);
    }
}

/* Promise: a large read costs the disk what it asks for; small ones are read ahead of by the kernel.  It is told when
 * that changes, not with each read. */
static void large_reads_are_exact(void **state)
{
    static uint8_t buf[256u << 10];
    struct hx_disk *d = open_disk();
    size_t got;
    (void)state;
    assert_int_equal(d->ops->write(d, 16, 0, buf, sizeof buf), 0);
    advice_count = 0;
    assert_int_equal(d->ops->read(d, 16, 0, buf, 4096, &got), 0);
    assert_int_equal(advice_count, 0); /* as it is opened */
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(d->ops->read(d, 16, 0, buf, sizeof buf, &got), 0);
    assert_int_equal(advice_count, 1);
    assert_int_equal(advices[0], POSIX_FADV_RANDOM);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(d->ops->read(d, 16, 4096 * i, buf, 4096, &got), 0);
    assert_int_equal(advice_count, 2);
    assert_int_equal(advices[1], POSIX_FADV_NORMAL);
    farm->ops->close(farm, d);
}

/* Promise: what background work will read is asked for beside the loop, each piece; a disk is closed though something
 * is on its way, and with more than are kept in mind. */
static void what_is_expected_is_asked_for_beside(void **state)
{
    static uint8_t buf[256u << 10];
    struct hx_disk *d = open_disk();
    (void)state;
    main_thread = pthread_self();
    wanted = wanted_here = 0;
    d->ops->expect(d, 16, 0, 4096); /* it is not there */
    assert_int_equal(d->ops->write(d, 16, 0, buf, sizeof buf), 0);
    for (unsigned i = 1; i <= 8; i++) {
        d->ops->expect(d, 16, i * 4096, i * 8192);
        while (wanted < i)
            sched_yield();
    }
    assert_int_equal(wanted, 8);
    assert_int_equal(wanted_here, 0);
    for (unsigned i = 0; i < 300; i++)
        d->ops->expect(d, 16, 0, sizeof buf);
    farm->ops->close(farm, d);
    unsigned when_closed = wanted;
    sched_yield();
    assert_int_equal(wanted, when_closed); /* nothing goes on for it */
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(large_reads_are_exact), CASE(what_is_expected_is_asked_for_beside),
        CASE(many_are_flushed_together), CASE(a_write_is_readable_at_once),
        CASE(past_the_end_is_short_and_holes_are_zero),
        CASE(an_absent_file_is_noent),
        CASE(flush_and_remove_go_together),
        CASE(a_flush_goes_on_beside),
        CASE(renamed_and_cut),
        CASE(a_flush_syncs_names_of_its_own),
        CASE(the_room_of_removed_files_comes_back),
        CASE(a_full_disk_waits_for_the_room_of_removed_files),
        CASE(large_writes_find_their_blocks),
        CASE(list_gives_portions_in_order),
        CASE(descriptors_are_bounded),
        CASE(what_is_found_is_made_durable),
        CASE(links_are_not_followed),
        CASE(the_farm_finds_its_places),
        CASE(nothing_is_readable_by_others),
        CASE(the_incarnation_belongs_to_the_directory),
        CASE(a_look_changes_nothing),
        CASE(a_wrong_directory_is_refused),
        CASE(a_first_start_that_crashed_is_repeated),
        CASE(replacing_a_file_is_whole),
    };
    umask(077);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
