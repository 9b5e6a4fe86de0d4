/*
 * demo_watch.c - the watcher: cleans up after a demo that was killed with SIGKILL.
 *
 * Forked before everything else, in a session of its own, deaf to Ctrl-C and hang-ups.  It learns of every process by
 * its pidfd, sent over a socket whose other end only the demo holds; so it never hits a number that belongs to
 * somebody else by now (D1), and it knows that the demo is dead when the socket ends.
 * What it does then: unmount lazily, kill, wait, unmount again (a mount in the making), remove the files.
 * A process that the demo made but had no time to announce dies of its PR_SET_PDEATHSIG.
 */
#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORD_PROCESS 'p' /* with a pidfd */
#define WORD_DONE 'd'    /* nothing is left to do */

struct watch {
    const struct demo *d; /* as it was at the fork: directories */
    int sock;
    int *pidfds;
    size_t count, cap;
};

static bool has_ended(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void add(struct watch *w, int pidfd)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->count; i++) { /* forget those of before a kill or heal */
        if (has_ended(w->pidfds[i]))
            close(w->pidfds[i]);
        else
            w->pidfds[kept++] = w->pidfds[i];
    }
    w->count = kept;
    if (w->count == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 16;
        int *p = reallocarray(w->pidfds, cap, sizeof *p);
        if (!p) {
            close(pidfd); /* PR_SET_PDEATHSIG is left */
            return;
        }
        w->pidfds = p;
        w->cap = cap;
    }
    w->pidfds[w->count++] = pidfd;
}

/* The next word of the demo; 0 when it has died. */
static char hear(struct watch *w)
{
    char word = 0;
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {&word, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n;
    do
        n = recvmsg(w->sock, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    struct cmsghdr *c = n == 1 ? CMSG_FIRSTHDR(&m) : NULL;
    if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int))) {
        int fd;
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
        add(w, fd);
    }
    return n == 1 ? word : 0;
}

static void end_processes(struct watch *w)
{
    for (size_t i = 0; i < w->count; i++)
        (void)pidfd_send_signal(w->pidfds[i], SIGKILL, NULL, 0);
    for (size_t i = 0; i < w->count; i++) {
        struct pollfd p = {.fd = w->pidfds[i], .events = POLLIN};
        while (poll(&p, 1, 10000) < 0 && errno == EINTR)
            ;
    }
}

__attribute__((noreturn)) static void watch(struct watch *w)
{
    static const int deaf[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP};
    setsid();
    prctl(PR_SET_NAME, "hexad-demo-wd", 0, 0, 0);
    for (size_t i = 0; i < HX_ARRAY_LEN(deaf); i++)
        signal(deaf[i], SIG_IGN);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        (void)dup2(null, fd); /* a pipe behind the demo must end with the demo */
    if (chdir("/") < 0)
        _exit(1);
    for (;;) {
        char word = hear(w);
        if (word == WORD_DONE)
            _exit(0);
        if (word == 0)
            break;
    }
    if (demo_mount_mounted(w->d->mnt))
        demo_mount_detach(w->d->mnt);
    end_processes(w);
    for (int i = 0; i < 250 && demo_mount_mounted(w->d->mnt); i++) {
        demo_mount_detach(w->d->mnt);
        (void)poll(NULL, 0, 20);
    }
    if (!w->d->keep)
        demo_dir_remove(w->d->dir_fd, w->d->dir, w->d->made_dir);
    _exit(0);
}

static void say(struct demo *d, char word, int pidfd)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {&word, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (pidfd >= 0) {
        memset(&control, 0, sizeof control);
        m.msg_control = &control;
        m.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &pidfd, sizeof pidfd);
    }
    if (d->watch_fd >= 0)
        (void)sendmsg(d->watch_fd, &m, MSG_NOSIGNAL); /* a watcher that was killed is missed by nobody else */
}

int demo_watch_start(struct demo *d)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return hx_err_from_errno(errno);
    pid_t pid = fork();
    if (pid < 0) {
        int err = hx_err_from_errno(errno);
        close(pair[0]);
        close(pair[1]);
        return err;
    }
    if (pid == 0) {
        struct watch w = {.d = d, .sock = pair[1]};
        close(pair[0]);
        close(d->signal_fd);
        watch(&w);
    }
    close(pair[1]);
    d->watch_fd = pair[0];
    d->watcher = (struct demo_proc){.name = "watcher", .state = DEMO_PROC_RUNNING, .pid = pid,
                                    .pidfd = pidfd_open(pid, 0)};
    return 0;
}

void demo_watch_add(struct demo *d, const struct demo_proc *p)
{
    say(d, WORD_PROCESS, p->pidfd);
}

void demo_watch_end(struct demo *d)
{
    if (d->watch_fd < 0)
        return;
    say(d, WORD_DONE, -1);
    close(d->watch_fd);
    d->watch_fd = -1;
    (void)demo_process_wait(d, &d->watcher, 5000);
}
