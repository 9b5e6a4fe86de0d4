/*
 * process.c - becoming a daemon that can be waited for, and telling systemd how we are.
 *
 * Does not watch or restart anything.  A daemon that dies before hx_daemon_ready lets its parent exit with 1.
 * Threads: before any is made (daemon), any (notify).  Memory: none.
 */
#include "hexad/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int ready_fd = -1; /* our end of the pipe to the waiting parent */

/* The parent: wait for one byte, the exit code. */
__attribute__((noreturn)) static void wait_for_child(int fd, pid_t child)
{
    uint8_t code;
    ssize_t n;
    do
        n = read(fd, &code, 1);
    while (n < 0 && errno == EINTR);
    if (n == 1)
        _exit(code);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    _exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : HX_EXIT_FAILED);
}

int hx_daemon_start(void)
{
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return hx_err_from_errno(errno);
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        int err = hx_err_from_errno(errno);
        close(p[0]);
        close(p[1]);
        return err;
    }
    if (child > 0) {
        close(p[1]);
        wait_for_child(p[0], child);
    }
    close(p[0]);
    ready_fd = p[1];
    if (setsid() < 0 || chdir("/") < 0)
        return hx_err_from_errno(errno);
    return 0;
}

void hx_daemon_ready(int code)
{
    uint8_t byte = (uint8_t)code;
    if (ready_fd < 0)
        return;
    if (code == 0) {
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (fd >= 0) {
            fflush(NULL);
            for (int i = 0; i < 3; i++)
                (void)dup2(fd, i);
            if (fd > 2)
                close(fd);
        }
    }
    (void)hx_fd_write_all(ready_fd, &byte, 1);
    close(ready_fd);
    ready_fd = -1;
}

void hx_notify(const char *fmt, ...)
{
    const char *where = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char text[1024];
    if (!where || (where[0] != '/' && where[0] != '@') || strlen(where) >= sizeof to.sun_path)
        return;
    size_t len = strlen(where);
    memcpy(to.sun_path, where, len);
    if (where[0] == '@')
        to.sun_path[0] = '\0'; /* abstract name */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t tolen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    /* Nobody may be reading there: a line that finds the queue full is lost rather than that it stops its sender.
     * READY=1 comes once and somebody waits for it, so it gets a little time. */
    struct timeval patience = {.tv_sec = 2};
    bool ready = strncmp(text, "READY=1", 7) == 0 &&
                 setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0;
    (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL | (ready ? 0 : MSG_DONTWAIT), (struct sockaddr *)&to, tolen);
    close(fd);
}

int hx_self_dir(char *buf, size_t cap)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0)
        return HX_E_IO;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return HX_E_IO;
    *slash = '\0';
    int len = snprintf(buf, cap, "%s", path);
    return len < 0 || (size_t)len >= cap ? HX_E_TOOBIG : 0;
}
