/*
 * demo_mount.c - the mount of a demo: start, wait until it answers, unmount, get rid of a dead one.
 *
 * Never touches a path below DIR/mnt: a mount without quorum would hold us for ever.  What is mounted is read from the
 * mount table.  The mount says READY=1 to NOTIFY_SOCKET, as to systemd; an abstract socket whose messages count only
 * when they come from that very process.
 * Unmounting is done by a child, because it may wait inside the kernel.
 */
#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define END_KEPT_MS 120000u /* everything in the cache must get out */
#define END_MS 15000u
#define END_NO_QUORUM_MS 3000u
#define END_SIGNALED_MS 3000u /* after SIGTERM: what is in its memory gets out within milliseconds, with a quorum */

/* ---- the mount table ---- */

/* mountinfo writes blanks as \040 and so on. */
static void unescape(char *s)
{
    char *out = s;
    for (; *s; s++) {
        unsigned v;
        if (s[0] == '\\' && sscanf(s + 1, "%3o", &v) == 1 && strspn(s + 1, "01234567") >= 3) {
            *out++ = (char)v;
            s += 3;
        } else {
            *out++ = *s;
        }
    }
    *out = '\0';
}

bool demo_mount_mounted(const char *mnt)
{
    FILE *in = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t cap = 0;
    bool found = false;
    while (in && !found && getline(&line, &cap, in) > 0) {
        char *rest = line, *field = NULL;
        for (int i = 0; i < 5; i++)
            field = strsep(&rest, " ");
        if (!field)
            continue;
        unescape(field);
        found = strcmp(field, mnt) == 0;
    }
    free(line);
    if (in)
        fclose(in);
    return found;
}

/* A last unmount writes back what the kernel holds; one that finds the mount busy does not. */
static void sync_mount(const char *mnt)
{
    int fd = open(mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)syncfs(fd);
    close(fd);
}

__attribute__((noreturn)) static void unmount_child(const char *mnt, bool lazy)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (!lazy)
        sync_mount(mnt);
    if (umount2(mnt, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        _exit(0);
    if (errno != EPERM)
        _exit(errno == EBUSY ? 2 : 1);
    for (int i = 0; i < 3 && null >= 0; i++)
        (void)dup2(null, i);
    if (lazy)
        execlp("fusermount3", "fusermount3", "-u", "-z", "--", mnt, (char *)NULL);
    else
        execlp("fusermount3", "fusermount3", "-u", "--", mnt, (char *)NULL);
    _exit(1);
}

/* Used by the watcher, too: waits for its own child only, at most a few seconds. */
void demo_mount_detach(const char *mnt)
{
    pid_t pid = fork();
    if (pid == 0)
        unmount_child(mnt, true);
    for (int i = 0; pid > 0 && i < 500 && waitpid(pid, NULL, WNOHANG) == 0; i++)
        (void)poll(NULL, 0, 10);
}

/* ---- start ---- */

static int open_notify(struct demo *d)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int one = 1;
    if (d->notify_fd >= 0)
        return 0;
    snprintf(d->notify_name, sizeof d->notify_name, "@hexad-demo-%016llx", (unsigned long long)hx_random_u64());
    size_t len = strlen(d->notify_name);
    memcpy(a.sun_path + 1, d->notify_name + 1, len - 1);
    d->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (d->notify_fd < 0 ||
        bind(d->notify_fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0 ||
        setsockopt(d->notify_fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one) < 0)
        return hx_err_from_errno(errno);
    return 0;
}

/* Takes what is waiting; true once the mount itself has said READY=1. */
static bool heard_ready(struct demo *d)
{
    char text[1025];
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    bool ready = false;
    for (;;) {
        struct iovec iov = {text, sizeof text - 1};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        ssize_t n = recvmsg(d->notify_fd, &m, MSG_CMSG_CLOEXEC);
        if (n < 0)
            return ready;
        text[n] = '\0';
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        struct ucred from = {0};
        if (c && c->cmsg_type == SCM_CREDENTIALS)
            memcpy(&from, CMSG_DATA(c), sizeof from);
        if (from.pid == d->mount.pid && strstr(text, "READY=1"))
            ready = true;
    }
}

static int wait_ready(struct demo *d)
{
    uint64_t end = hx_clock_mono_ms() + DEMO_START_MS, now;
    while ((now = hx_clock_mono_ms()) < end && !d->stop_signal) {
        struct pollfd fds[2] = {{.fd = d->notify_fd, .events = POLLIN}, {.fd = d->mount.pidfd, .events = POLLIN}};
        if (!demo_process_alive(&d->mount))
            return HX_E_IO;
        demo_process_poll(d, fds, 2, end - now);
        if (heard_ready(d))
            return 0;
    }
    return d->stop_signal ? HX_E_CANCELED : HX_E_TIMEOUT;
}

static int exit_code_of(const struct demo_proc *p)
{
    int code = p->state == DEMO_PROC_DEAD && WIFEXITED(p->status) ? WEXITSTATUS(p->status) : 0;
    return code ? code : HX_EXIT_FAILED;
}

int demo_mount_start(struct demo *d)
{
    char hexad[] = "hexad", verb[] = "mount", volume[] = DEMO_VOLUME, f[] = "-f", o[] = "-o";
    char *options = d->mount_options ? strdup(d->mount_options) : NULL;
    char *argv[] = {hexad, verb, volume, d->mnt, f, options ? o : NULL, options, NULL};
    const struct demo_spawn spawn = {.file = "/proc/self/exe", .argv = argv, .log = "mount", .own_session = true,
                                     .keep_fd = -1, .notify = d->notify_name};
    for (int i = 0; i < 50 && demo_mount_mounted(d->mnt); i++) /* of a mount that was killed */
        demo_mount_detach(d->mnt);
    int err = open_notify(d);
    if (!err)
        err = demo_process_spawn(d, &d->mount, "mount", &spawn);
    free(options);
    if (!err)
        err = wait_ready(d);
    if (!err || err == HX_E_CANCELED)
        return err ? HX_EXIT_FAILED : 0;
    demo_dir_log_tail(d, "mount");
    if (err == HX_E_IO) { /* it ended, and has said why */
        hx_log(HX_LOG_ERR, "the mount did not start");
        return exit_code_of(&d->mount);
    }
    return admin_fail(d->json, err, "hexad demo", "the mount did not start (its log is above)", NULL);
}

/* ---- end ---- */

static uint64_t end_limit(const struct demo *d)
{
    unsigned alive = 0;
    for (unsigned i = 0; i < DEMO_SERVERS; i++)
        alive += d->servers[i].proc.state == DEMO_PROC_RUNNING;
    if (alive < HX_WRITE_QUORUM)
        return END_NO_QUORUM_MS;
    return d->keep ? END_KEPT_MS : END_MS;
}

/* The child's exit code: 0 unmounted, 2 busy; -1: it hangs. */
static int unmount_in_order(struct demo *d, uint64_t limit_ms)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (d->watch_fd >= 0)
            close(d->watch_fd); /* the watcher must not wait for us */
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        unmount_child(d->mnt, false);
    }
    if (pid < 0)
        return 1;
    d->helper = (struct demo_proc){.name = "umount", .state = DEMO_PROC_RUNNING, .pid = pid, .pidfd = -1};
    uint64_t end = hx_clock_mono_ms() + limit_ms;
    while (demo_process_alive(&d->helper) && hx_clock_mono_ms() < end)
        demo_process_poll(d, NULL, 0, 20);
    if (demo_process_alive(&d->helper))
        return -1;
    return WIFEXITED(d->helper.status) ? WEXITSTATUS(d->helper.status) : 1;
}

static void end_by_force(struct demo *d)
{
    if (demo_mount_mounted(d->mnt))
        demo_mount_detach(d->mnt);
    demo_process_signal(&d->mount, SIGKILL);
    if (!demo_process_wait(d, &d->mount, 10000))
        hx_log(HX_LOG_WARN, "the mount does not end (pid %d)", (int)d->mount.pid);
}

void demo_mount_end(struct demo *d)
{
    uint64_t limit = end_limit(d), start = hx_clock_mono_ms();
    demo_process_signal(&d->mount, SIGCONT);
    if (demo_process_alive(&d->mount)) {
        int code = demo_mount_mounted(d->mnt) ? unmount_in_order(d, limit) : 1; /* 1: not mounted yet, or no more */
        if (code == 2) {
            hx_log(HX_LOG_WARN, "%s is in use; unmounted nevertheless", d->mnt);
            demo_mount_detach(d->mnt);
        }
        if (code != 0) {
            demo_process_signal(&d->mount, SIGTERM);
            limit = hx_clock_mono_ms() - start + END_SIGNALED_MS;
        }
        uint64_t spent = hx_clock_mono_ms() - start;
        if (code == -1 || !demo_process_wait(d, &d->mount, spent < limit ? limit - spent : 0)) {
            if (code != 2)
                hx_log(HX_LOG_WARN, "the mount does not end; it is ended by force");
            end_by_force(d);
        }
    }
    for (int i = 0; i < 50 && demo_mount_mounted(d->mnt); i++)
        demo_mount_detach(d->mnt);
    (void)demo_process_wait(d, &d->helper, 1000);
}
