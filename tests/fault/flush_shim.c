/*
 * flush_shim.c - preloaded into a program: its fsync and fdatasync write nothing, but send 2,600 bytes to the six
 * processes of `bench_floor flushd` in the directory FLOOR_DIR, and return when four of them have flushed them.
 *
 * So a program on a local disk pays for the six flushes of a commit and for nothing else of ours (pgfloor.py).
 * Does not: make anything of the program's own files durable.  What fails ends the program.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SERVERS 6
#define NEEDED 4
#define BYTES 2600

int fsync(int fd);
int fdatasync(int fd);

static int server[SERVERS];
static unsigned owed[SERVERS]; /* answers */
static pid_t owner;            /* whose connections these are: a child makes its own */

static void give_up(const char *what)
{
    perror(what);
    _exit(99);
}

static void begin(void)
{
    const char *dir = getenv("FLOOR_DIR");
    for (int i = 0; i < SERVERS; i++) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        snprintf(a.sun_path, sizeof a.sun_path, "%s/%d", dir ? dir : ".", i);
        server[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (server[i] < 0 || connect(server[i], (const struct sockaddr *)&a, sizeof a))
            give_up(a.sun_path);
        owed[i] = 0;
    }
    owner = getpid();
}

static void flush_all(void)
{
    static const char b[BYTES];
    struct pollfd p[SERVERS];
    unsigned done = 0;
    if (owner != getpid())
        begin();
    for (int i = 0; i < SERVERS; i++) {
        p[i] = (struct pollfd){.fd = server[i], .events = POLLIN};
        owed[i]++;
        if (send(server[i], b, sizeof b, MSG_NOSIGNAL) != (ssize_t)sizeof b)
            give_up("send");
    }
    while (done < NEEDED) {
        if (poll(p, SERVERS, -1) < 0 && errno != EINTR)
            give_up("poll");
        for (int i = 0; i < SERVERS; i++) {
            char got[16];
            ssize_t n = recv(server[i], got, sizeof got, MSG_DONTWAIT);
            if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                give_up("recv");
            owed[i] -= n > 0 ? (unsigned)n : 0;
            done += n > 0 && owed[i] == 0;
        }
    }
}

int fsync(int fd)
{
    (void)fd;
    flush_all();
    return 0;
}

int fdatasync(int fd)
{
    return fsync(fd);
}
