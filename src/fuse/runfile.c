/*
 * runfile.c - how `hexad umount` knows that a mount process has gone, and what it waits for.
 *
 * RUNDIR/mount-MAJOR-MINOR, named after the device number of the mount, locked with flock as long as the
 * process lives: a crash releases it.  It holds what the end waits for and which servers' volume is mounted.
 * Once unmounted it is RUNDIR/closing-PID, for the kernel gives its device number to the next mount.  Who mounts
 * the same volume again (umount, mount) waits for that end instead of being refused; who mounts another does not.
 * RUNDIR is /run/hexad for root; for others $XDG_RUNTIME_DIR/hexad, else /run/user/UID/hexad, else /tmp/hexad-UID,
 * which must be ours and closed to others. A file that a crash left
 * is taken over, or removed by the next who looks.  The text has one length: nobody reads half of one.
 */
#include "fuse_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_BYTES 512u
#define SAY_MAX ((int)(TEXT_BYTES - sizeof((struct hx_runfile *)0)->whose - 16)) /* of what it waits for */
#define LOOK_MS 20
#define NOTICE_MS 2000u /* until a process has noticed that it was unmounted */

/* The I-th place to look for the run files of UID; false: no more. */
static bool rundir(uid_t uid, unsigned i, char *dir, size_t cap)
{
    const char *xdg = uid == getuid() ? getenv("XDG_RUNTIME_DIR") : NULL;
    switch (i) {
    case 0:
        snprintf(dir, cap, "%s/hexad", xdg && xdg[0] == '/' && uid != 0 ? xdg : "/run");
        return true;
    case 1:
        snprintf(dir, cap, "/run/user/%u/hexad", (unsigned)uid);
        return true;
    case 2:
        snprintf(dir, cap, "/tmp/hexad-%u", (unsigned)uid);
        return true;
    default:
        return false;
    }
}

static bool safe_dir(const char *dir, uid_t uid)
{
    struct stat st;
    return lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == uid && (st.st_mode & 022) == 0;
}

/* Locks what PATH names: whoever looks whether it is locked holds a shared lock for a moment, and a mount of the same
 * device number that has just ended is about to move its own away. */
static int lock_path(struct hx_runfile *f)
{
    uint64_t end = hx_clock_mono_ms() + NOTICE_MS;
    struct stat mine, there;
    for (;;) {
        f->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (f->fd < 0)
            return HX_E_IO;
        bool locked = flock(f->fd, LOCK_EX | LOCK_NB) == 0;
        if (locked && fstat(f->fd, &mine) == 0 && stat(f->path, &there) == 0 && mine.st_ino == there.st_ino)
            return 0;
        close(f->fd);
        f->fd = -1;
        if (hx_clock_mono_ms() > end)
            return HX_E_LOCKED;
        if (!locked)
            (void)poll(NULL, 0, LOOK_MS);
    }
}

int hx_runfile_hold(struct hx_runfile *f, const struct hx_place *place)
{
    char base[PATH_MAX - 64];
    int err = HX_E_IO;
    f->fd = -1;
    for (unsigned i = 0; f->fd < 0 && err != HX_E_LOCKED && rundir(getuid(), i, base, sizeof base); i++) {
        if ((mkdir(base, 0700) < 0 && errno != EEXIST) || !safe_dir(base, getuid()))
            continue;
        snprintf(f->path, sizeof(f->path), "%s/mount-%u-%u", base, place->major, place->minor);
        err = lock_path(f);
    }
    if (err == 0)
        hx_runfile_say(f, "mounted");
    return err;
}

void hx_runfile_say(struct hx_runfile *f, const char *text)
{
    char line[TEXT_BYTES + 1];
    if (f->fd < 0)
        return;
    const char *state = f->closing ? "closing" : f->read_only ? "read-only" : "in use";
    int n = snprintf(line, sizeof line, "%.*s\n%s\n%s\n", SAY_MAX, text, f->whose, state);
    memset(line + n, '\n', TEXT_BYTES - (size_t)n);
    if (pwrite(f->fd, line, TEXT_BYTES, 0) < 0)
        hx_log(HX_LOG_DEBUG, "run file: cannot be written");
}

void hx_runfile_close(struct hx_runfile *f)
{
    char path[sizeof f->path + 32];
    f->closing = true;
    hx_runfile_say(f, "closing");
    const char *slash = f->fd < 0 ? NULL : strrchr(f->path, '/');
    if (!slash)
        return;
    snprintf(path, sizeof path, "%.*s/closing-%ld", (int)(slash - f->path), f->path, (long)getpid());
    if (strlen(path) < sizeof f->path && rename(f->path, path) == 0)
        memcpy(f->path, path, strlen(path) + 1);
}

void hx_runfile_drop(struct hx_runfile *f)
{
    if (f->fd < 0)
        return;
    unlink(f->path);
    close(f->fd);
    f->fd = -1;
}

int hx_runfile_open(const struct hx_place *place, int *ret_fd)
{
    char base[PATH_MAX - 64], path[PATH_MAX];
    for (unsigned i = 0; rundir(place->uid, i, base, sizeof base); i++) {
        if (!safe_dir(base, place->uid))
            continue;
        snprintf(path, sizeof path, "%s/mount-%u-%u", base, place->major, place->minor);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0) {
            *ret_fd = fd;
            return 0;
        }
    }
    return HX_E_NOENT;
}

bool hx_runfile_alive(const struct hx_place *place)
{
    int fd;
    if (hx_runfile_open(place, &fd))
        return false;
    bool held = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    close(fd);
    return held;
}

/* Does run file FD belong to WHOSE?  Says what its process waits for, and whether it is closing. */
static bool read_about(int fd, const char *whose, char *text, size_t cap, bool *ret_closing)
{
    char all[TEXT_BYTES + 1], *save = NULL;
    ssize_t n = pread(fd, all, sizeof all - 1, 0);
    all[n > 0 ? n : 0] = '\0';
    const char *what = strtok_r(all, "\n", &save), *of = strtok_r(NULL, "\n", &save);
    const char *state = strtok_r(NULL, "\n", &save);
    if (!state || strcmp(of, whose) != 0)
        return false;
    snprintf(text, cap, "%s", what);
    *ret_closing = strcmp(state, "closing") == 0;
    return true;
}

bool hx_runfile_read_only(const struct hx_place *place)
{
    char all[TEXT_BYTES + 1];
    int fd;
    if (hx_runfile_open(place, &fd))
        return false;
    ssize_t n = pread(fd, all, sizeof all - 1, 0);
    close(fd);
    all[n > 0 ? n : 0] = '\0';
    return strstr(all, "\nread-only\n") != NULL;
}

static bool held(int fd)
{
    if (flock(fd, LOCK_SH | LOCK_NB) < 0)
        return true;
    flock(fd, LOCK_UN);
    return false;
}

static void wait_one(int fd, const struct hx_place *place, const char *whose, uint32_t most_ms)
{
    char text[TEXT_BYTES];
    bool closing;
    uint64_t began = hx_clock_mono_ms(), told = began;
    while (held(fd) && read_about(fd, whose, text, sizeof text, &closing)) {
        uint64_t now = hx_clock_mono_ms();
        if (!closing && (now - began > NOTICE_MS || hx_place_has_device(place->major, place->minor)))
            return; /* it lives: the servers refuse us */
        if (most_ms && now - began > most_ms)
            return;
        if (now - told >= 1000) {
            fprintf(stderr, "hexad: waiting for the earlier mount of %.*s to end: %s\n", (int)strcspn(whose, " "),
                    whose, text);
            told = now;
        }
        (void)poll(NULL, 0, LOOK_MS);
    }
}

static void look_at(const char *path, const struct hx_place *place, bool closing, const char *whose,
                    uint32_t most_ms)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    wait_one(fd, place, whose, most_ms);
    if (closing && !held(fd)) /* its process was killed, or has just gone */
        unlink(path);
    close(fd);
}

void hx_runfile_wait_closing(const char *whose, uint32_t most_ms)
{
    char base[PATH_MAX - 300], path[PATH_MAX];
    for (unsigned i = 0; rundir(getuid(), i, base, sizeof base); i++) {
        DIR *d = safe_dir(base, getuid()) ? opendir(base) : NULL;
        const struct dirent *e;
        while (d && (e = readdir(d))) {
            struct hx_place place = {0};
            bool closing = strncmp(e->d_name, "closing-", 8) == 0;
            if (!closing && sscanf(e->d_name, "mount-%u-%u", &place.major, &place.minor) != 2)
                continue;
            snprintf(path, sizeof path, "%s/%s", base, e->d_name);
            look_at(path, &place, closing, whose, most_ms);
        }
        if (d)
            closedir(d);
    }
}
