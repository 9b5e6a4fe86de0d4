/*
 * file.c - small whole files and descriptors.  Segment data goes through disk.c instead.
 * A crash inside hx_file_replace leaves the old file, or the new one, and at most one PATH.tmp beside it.
 */
#include "hexad/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int hx_fd_write_all(int fd, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return hx_err_from_errno(errno);
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int hx_fd_cloexec(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFD);
    if (flags < 0 || fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC) < 0)
        return hx_err_from_errno(errno);
    return 0;
}

static int read_up_to(int fd, char *buf, size_t cap, size_t *ret_len)
{
    size_t len = 0;
    while (len < cap) {
        ssize_t n = read(fd, buf + len, cap - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hx_err_from_errno(errno);
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *ret_len = len;
    return 0;
}

int hx_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len)
{
    size_t len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return hx_err_from_errno(errno);
    char *buf = malloc(max + 2);
    int err = buf ? read_up_to(fd, buf, max + 1, &len) : HX_E_NOMEM;
    close(fd);
    if (!err && len > max)
        err = HX_E_TOOBIG;
    if (err) {
        free(buf);
        return err;
    }
    buf[len] = '\0';
    *ret_text = buf;
    if (ret_len)
        *ret_len = len;
    return 0;
}

static int sync_parent(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(dir, sizeof dir, ".");
    else if (slash == path)
        snprintf(dir, sizeof dir, "/");
    else
        snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return hx_err_from_errno(errno);
    int err = fsync(fd) < 0 ? hx_err_from_errno(errno) : 0;
    close(fd);
    return err;
}

int hx_file_replace(const char *path, const void *data, size_t len, unsigned mode)
{
    char tmp[PATH_MAX];
    int n = snprintf(tmp, sizeof tmp, "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof tmp)
        return HX_E_TOOBIG;
    unlink(tmp); /* of a crash before: its mode may be another one */
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
    if (fd < 0)
        return hx_err_from_errno(errno);
    int err = hx_fd_write_all(fd, data, len);
    if (!err && fsync(fd) < 0)
        err = hx_err_from_errno(errno);
    if (close(fd) < 0 && !err)
        err = hx_err_from_errno(errno);
    if (!err && rename(tmp, path) < 0)
        err = hx_err_from_errno(errno);
    if (err) {
        unlink(tmp);
        return err;
    }
    return sync_parent(path);
}
