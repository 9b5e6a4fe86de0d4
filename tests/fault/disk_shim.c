/*
 * disk_shim.c - LD_PRELOAD for a segment server: what a bad disk does to its calls, told by a file.
 *
 * The file named by HEXAD_DISK_SHIM is read at each call: "slow MS" delays a flush, while the file says so
 * ("hang": slow without end); "fail" gives EIO for flushes; "error" for reads and writes (pread, pwrite), too; "lie"
 * says yes and flushes nothing; an empty file is the disk as it is.  When it has done something, there is a file of
 * that name with ".did" behind, so that a drill can see that its fault came.
 * Full, broken and read-only disks are made with real file systems (tests/lib/hosts.sh).
 *
 * Not part of the product; built by the test that uses it.  Threads: keeps no state.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void mode(char *text, size_t cap)
{
    const char *path = getenv("HEXAD_DISK_SHIM");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = fd >= 0 ? read(fd, text, cap - 1) : 0;
    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

static void tell(void)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s.did", getenv("HEXAD_DISK_SHIM")) < (int)sizeof path)
        close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int flush(const char *name, int fd)
{
    char text[64], now[64];
    unsigned ms = 0;
    mode(text, sizeof text);
    if (text[0])
        tell();
    if (strcmp(text, "lie") == 0)
        return 0;
    if (strcmp(text, "fail") == 0 || strcmp(text, "error") == 0) {
        errno = EIO;
        return -1;
    }
    if (sscanf(text, "slow %u", &ms) == 1 || strcmp(text, "hang") == 0) {
        const struct timespec step = {0, 10000000};
        for (unsigned gone = 0; ms == 0 || gone < ms; gone += 10) {
            nanosleep(&step, NULL);
            mode(now, sizeof now);
            if (strcmp(now, text) != 0)
                break;
        }
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fsync(int fd)
{
    return flush("fsync", fd);
}

int fdatasync(int fd)
{
    return flush("fdatasync", fd);
}

static int broken(void)
{
    char text[64];
    mode(text, sizeof text);
    if (strcmp(text, "error") != 0)
        return 0;
    tell();
    errno = EIO;
    return 1;
}

static ssize_t read_at(const char *name, int fd, void *buf, size_t len, off_t off)
{
    ssize_t (*real)(int, void *, size_t, off_t) = (ssize_t (*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, name);
    return broken() ? -1 : real(fd, buf, len, off);
}

static ssize_t write_at(const char *name, int fd, const void *buf, size_t len, off_t off)
{
    ssize_t (*real)(int, const void *, size_t, off_t) =
        (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, name);
    return broken() ? -1 : real(fd, buf, len, off);
}

ssize_t pread(int fd, void *buf, size_t len, off_t off)
{
    return read_at("pread", fd, buf, len, off);
}

ssize_t pread64(int fd, void *buf, size_t len, off_t off)
{
    return read_at("pread64", fd, buf, len, off);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
    return write_at("pwrite", fd, buf, len, off);
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off_t off)
{
    return write_at("pwrite64", fd, buf, len, off);
}
