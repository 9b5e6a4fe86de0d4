/*
 * umount.c - `hexad umount DIR`: unmounts, then waits until the mount process has gone, that is until all is durable.
 *
 * Busy: lists who holds it.  A dead mount (its process was killed) is detached.  The wait can be interrupted: the
 * process goes on by itself.  Memory: none kept.
 */
#include "fuse_private.h"
#include "hexad/args.h"
#include "hexad/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS 20
#define TELL_MS 1000u

static const struct hx_opt options[] = {
    {"lazy", 'l', NULL, "detach now, even if programs still hold it"},
    {0},
};
static const char *const examples[] = {"hexad umount /srv/db", NULL};
static const struct hx_args_spec spec = {
    .command = "hexad umount",
    .usage = "DIR",
    .examples = examples,
    .opts = options,
    .notes = "Waits until everything is durable and the mount process has gone.",
};

/* 0, or what errno says; EBUSY also when the helper of other users failed. */
static int unmount(const char *dir, bool lazy)
{
    if (umount2(dir, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        return 0;
    if (errno != EPERM)
        return errno;
    pid_t pid = fork();
    if (pid == 0) {
        execlp("fusermount3", "fusermount3", "-u", lazy ? "-z" : "-q", "--", dir, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) == 127)
        return ENOENT;
    return WEXITSTATUS(status) == 0 ? 0 : EBUSY;
}

static int complain(int err, const char *dir, const char *why, const char *hint)
{
    char what[PATH_MAX + 32];
    snprintf(what, sizeof what, "cannot unmount %s", dir);
    hx_complain(err, what, why, hint);
    return hx_exit_code(err);
}

static int refused(const char *dir, const struct hx_place *place, int eno)
{
    char who[1024], why[1200], hint[PATH_MAX + 80];
    if (eno == EBUSY) {
        unsigned n = hx_place_holders(dir, place, 8, who, sizeof who);
        snprintf(why, sizeof why, "in use by %s%s", n ? who : "a process that cannot be seen from here",
                 n > 8 ? ", ..." : "");
        snprintf(hint, sizeof hint, "end them, or detach it: hexad umount --lazy %s", dir);
        (void)complain(HX_E_IN_USE, dir, why, hint);
        return HX_EXIT_BUSY;
    }
    return complain(hx_err_from_errno(eno), dir, strerror(eno), NULL);
}

static void tell(int fd, uint64_t *io_next)
{
    char line[512];
    uint64_t now = hx_clock_mono_ms();
    if (now < *io_next)
        return;
    *io_next = now + TELL_MS;
    ssize_t n = pread(fd, line, sizeof line - 1, 0);
    if (n <= 0)
        return;
    line[n] = '\0';
    line[strcspn(line, "\n")] = '\0';
    fprintf(stderr, "hexad: waiting until everything is durable: %s\n", line);
}

/* The lock is free when the process has gone, however it ended. */
static void wait_gone(int fd)
{
    uint64_t next = hx_clock_mono_ms() + TELL_MS;
    while (flock(fd, LOCK_SH | LOCK_NB) < 0 && (errno == EWOULDBLOCK || errno == EINTR)) {
        tell(fd, &next);
        (void)poll(NULL, 0, LOOK_MS);
    }
}

static int unmount_and_wait(const char *dir, bool lazy)
{
    struct hx_place place;
    char why[HX_WHY_MAX] = "";
    int fd = -1, err = hx_place_find(dir, &place);
    if (err == 0 && !place.mounted) {
        snprintf(why, sizeof why, "nothing is mounted there");
        err = HX_E_INVAL;
    } else if (err == 0 && strcmp(place.type, "fuse.hexad") != 0) {
        snprintf(why, sizeof why, "it is a mount of %.60s", place.type);
        err = HX_E_INVAL;
    }
    if (err)
        return complain(err, dir, why, NULL);
    bool known = hx_runfile_open(&place, &fd) == 0;
    bool dead = known && flock(fd, LOCK_SH | LOCK_NB) == 0;
    if (dead)
        flock(fd, LOCK_UN);
    int eno = unmount(dir, lazy || dead);
    if (eno) {
        if (known)
            close(fd);
        return refused(dir, &place, eno);
    }
    if (known) {
        wait_gone(fd);
        close(fd);
    } else {
        fprintf(stderr, "hexad: unmounted; its process cannot be watched from here\n");
    }
    return HX_EXIT_OK;
}

int hx_umount_main(int argc, char **argv)
{
    struct hx_args a;
    const char *value;
    char dir[PATH_MAX], why[HX_WHY_MAX] = "";
    bool lazy = false;
    int i;
    hx_args_init(&a, &spec, argc, argv);
    while ((i = hx_args_next(&a, &value)) >= 0)
        lazy = true;
    if (i == HX_ARGS_HELP)
        return HX_EXIT_OK;
    if (i == HX_ARGS_ERROR)
        return HX_EXIT_USAGE;
    int first = hx_args_operands(&a);
    if (argc - first != 1)
        return hx_args_complain(&spec, HX_E_INVAL, "DIR is needed");
    int err = hx_place_canonical(argv[first], dir, why);
    return err ? complain(err, argv[first], why, NULL) : unmount_and_wait(dir, lazy);
}
