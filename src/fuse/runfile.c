/*
 * runfile.c - how `hexad umount` knows that a mount process has gone, and what it waits for.
 *
 * RUNDIR/mount-MAJOR-MINOR, named after the device number of the mount, locked with flock as long as the
 * process lives: a crash releases it.  It holds what the end waits for, what is mounted, and "closing" once it is not
 * any more: who mounts the same volume again at once (umount, mount) waits for that end instead of being refused.
 * RUNDIR is /run/hexad for root; for others $XDG_RUNTIME_DIR/hexad, else /run/user/UID/hexad, else /tmp/hexad-UID,
 * which must be ours and closed to others. A device number is used again only after its mount has gone; a file
 * that is left is taken over.
 */
#include "fuse_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_BYTES 512u
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

int hx_runfile_hold(struct hx_runfile *f, const struct hx_place *place)
{
    char base[PATH_MAX - 64];
    f->fd = -1;
    for (unsigned i = 0; f->fd < 0 && rundir(getuid(), i, base, sizeof base); i++) {
        if ((mkdir(base, 0700) < 0 && errno != EEXIST) || !safe_dir(base, getuid()))
            continue;
        snprintf(f->path, sizeof(f->path), "%s/mount-%u-%u", base, place->major, place->minor);
        f->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    }
    if (f->fd < 0)
        return HX_E_IO;
    if (flock(f->fd, LOCK_EX | LOCK_NB) < 0) {
        close(f->fd);
        f->fd = -1;
        return HX_E_LOCKED;
    }
    snprintf(f->source, sizeof(f->source), "%s", place->source);
    hx_runfile_say(f, "mounted");
    return 0;
}

void hx_runfile_say(struct hx_runfile *f, const char *text)
{
    char line[LINE_MAX_BYTES + sizeof f->source];
    if (f->fd < 0)
        return;
    int n = snprintf(line, sizeof line, "%.*s\n%s\n%s\n", (int)LINE_MAX_BYTES - 16, text, f->source,
                     f->closing ? "closing" : "in use");
    if (n >= (int)sizeof line)
        n = (int)sizeof line - 1;
    if (ftruncate(f->fd, 0) == 0 && pwrite(f->fd, line, (size_t)n, 0) < 0)
        hx_log(HX_LOG_DEBUG, "run file: cannot be written");
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

/* Does run file FD belong to SOURCE?  Says what its process waits for, and whether it is closing. */
static bool read_about(int fd, const char *source, char *text, size_t cap, bool *ret_closing)
{
    char all[LINE_MAX_BYTES + 160], *save = NULL;
    ssize_t n = pread(fd, all, sizeof all - 1, 0);
    all[n > 0 ? n : 0] = '\0';
    const char *what = strtok_r(all, "\n", &save), *of = strtok_r(NULL, "\n", &save);
    const char *state = strtok_r(NULL, "\n", &save);
    if (!state || strcmp(of, source) != 0)
        return false;
    snprintf(text, cap, "%s", what);
    *ret_closing = strcmp(state, "closing") == 0;
    return true;
}

static bool held(int fd)
{
    if (flock(fd, LOCK_SH | LOCK_NB) < 0)
        return true;
    flock(fd, LOCK_UN);
    return false;
}

static void wait_one(int fd, unsigned major, unsigned minor, const char *source, uint32_t most_ms)
{
    char text[LINE_MAX_BYTES];
    bool closing;
    uint64_t began = hx_clock_mono_ms(), told = began;
    while (held(fd) && read_about(fd, source, text, sizeof text, &closing)) {
        uint64_t now = hx_clock_mono_ms();
        if (!closing && (now - began > NOTICE_MS || hx_place_has_device(major, minor)))
            return; /* it lives: the servers refuse us */
        if (most_ms && now - began > most_ms)
            return;
        if (now - told >= 1000) {
            fprintf(stderr, "hexad: waiting for the earlier mount of %s to end: %s\n", source, text);
            told = now;
        }
        (void)poll(NULL, 0, LOOK_MS);
    }
}

void hx_runfile_wait_closing(const char *source, uint32_t most_ms)
{
    char base[PATH_MAX - 300], path[PATH_MAX];
    for (unsigned i = 0; rundir(getuid(), i, base, sizeof base); i++) {
        DIR *d = safe_dir(base, getuid()) ? opendir(base) : NULL;
        const struct dirent *e;
        while (d && (e = readdir(d))) {
            unsigned major, minor;
            if (sscanf(e->d_name, "mount-%u-%u", &major, &minor) != 2)
                continue;
            snprintf(path, sizeof path, "%s/%s", base, e->d_name);
            int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
            if (fd < 0)
                continue;
            wait_one(fd, major, minor, source, most_ms);
            close(fd);
        }
        if (d)
            closedir(d);
    }
}
