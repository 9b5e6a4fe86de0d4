/*
 * datadir.c - the directory of one segment server: lock and identity.
 *
 * Does not look into segments/ (farm.c).
 *   T1 The identity is written once, before the first segment, and never changed: an incarnation names this
 *      directory's content for ever; an emptied directory gets another one, so it is another server.
 *   T2 Nobody writes below DATA but the holder of DATA/lock.
 *   T3 The names of DATA, identity and segments/ are durable when open returns, also when the process that made
 *      them was killed before it synced them.
 *   T4 Who only looks (hx_datadir_look) holds the lock shared, on a descriptor that cannot write: that is no change.
 * identity, text, one "key value" a line:
 *     hexad-data 1
 *     server a1
 *     zone az-a
 *     incarnation 32 hex digits
 *     crc32c 8 hex digits      over the lines before
 * A crash while it is made leaves a directory without identity that holds only lock, identity.tmp or an empty
 * segments/: taken as new at the next start.
 * Threads: one.  Memory: struct hx_datadir.
 */
#include "sys_private.h"

#include "hexad/crc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATA_VERSION 1u
#define IDENTITY_MAX 4096u

struct hx_datadir {
    char *path;
    int fd, lock_fd, segments_fd;
    struct hx_uuid incarnation;
    bool read_only;
    char server[HX_NAME_MAX + 1];
};

struct identity {
    char server[HX_NAME_MAX + 1], zone[HX_NAME_MAX + 1];
    struct hx_uuid incarnation;
};

void hx_datadir_close(struct hx_datadir *d)
{
    if (!d)
        return;
    if (d->segments_fd >= 0)
        close(d->segments_fd);
    if (d->fd >= 0)
        close(d->fd);
    if (d->lock_fd >= 0)
        close(d->lock_fd); /* last: gives the lock back */
    free(d->path);
    free(d);
}

const struct hx_uuid *hx_datadir_incarnation(const struct hx_datadir *d)
{
    return &d->incarnation;
}

const char *hx_datadir_server(const struct hx_datadir *d)
{
    return d->server;
}

bool hx_datadir_read_only(const struct hx_datadir *d)
{
    return d->read_only;
}

int hx_datadir_segments_fd(const struct hx_datadir *d)
{
    return d->segments_fd;
}

static int open_directory(struct hx_datadir *d, char why[HX_WHY_MAX])
{
    struct stat st;
    if (mkdir(d->path, 0700) < 0 && errno != EEXIST)
        return hx_sys_why(why, errno, "%s", d->path);
    d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0 || fstat(d->fd, &st) < 0)
        return hx_sys_why(why, errno, "%s", d->path);
    if (st.st_mode & S_IWOTH) {
        snprintf(why, HX_WHY_MAX, "%.150s may be written by everybody (mode %04o): chmod 700", d->path,
                 (unsigned)(st.st_mode & 07777));
        return HX_E_PERM;
    }
    return 0;
}

static int take_lock(struct hx_datadir *d, char why[HX_WHY_MAX])
{
    d->lock_fd = openat(d->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (d->lock_fd < 0)
        return hx_sys_why(why, errno, "%s/lock", d->path);
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return hx_sys_why(why, errno, "%s/lock", d->path);
    snprintf(why, HX_WHY_MAX, "%.200s", d->path);
    return HX_E_LOCKED;
}

static int identity_text(const struct identity *id, char *buf, size_t cap)
{
    char hex[33];
    hx_uuid_format(&id->incarnation, hex);
    int n = snprintf(buf, cap, "hexad-data %u\nserver %s\nzone %s\nincarnation %s\n", DATA_VERSION, id->server,
                     id->zone, hex);
    return n + snprintf(buf + n, cap - (size_t)n, "crc32c %08x\n", hx_crc32c(0, buf, (size_t)n));
}

static int identity_parse(const char *text, struct identity *id)
{
    unsigned version, crc;
    char hex[33];
    int head = 0, end = 0;
    const char *last = strstr(text, "\ncrc32c ");
    if (!last || sscanf(last, "\ncrc32c %8x\n%n", &crc, &end) != 1 || end == 0 || last[end] != '\0' ||
        hx_crc32c(0, text, (size_t)(last + 1 - text)) != crc || sscanf(text, "hexad-data %u\n", &version) != 1)
        return HX_E_CORRUPT; /* in all versions the first and the last line are like this */
    if (version > DATA_VERSION)
        return HX_E_VERSION;
    if (sscanf(text, "hexad-data 1\nserver %63s\nzone %63s\nincarnation %32s\n%n", id->server, id->zone, hex,
               &head) != 3 ||
        text + head != last + 1 || hx_uuid_parse(hex, &id->incarnation) < 0)
        return HX_E_CORRUPT;
    return 0;
}

/* Nothing in it but what a crash at the first start leaves. */
static int check_fresh(const struct hx_datadir *d, char why[HX_WHY_MAX])
{
    int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return hx_sys_why(why, errno, "%s", d->path);
    }
    for (struct dirent *e; !err && (e = readdir(dir)) != NULL;) {
        static const char *const ours[] = {".", "..", "lock", "identity.tmp", "lost+found"};
        bool known = false;
        for (size_t i = 0; i < HX_ARRAY_LEN(ours); i++)
            known |= strcmp(e->d_name, ours[i]) == 0;
        if (known || (strcmp(e->d_name, "segments") == 0 && unlinkat(d->fd, "segments", AT_REMOVEDIR) == 0))
            continue;
        snprintf(why, HX_WHY_MAX, "%.120s has no identity, but holds %.60s", d->path, e->d_name);
        err = HX_E_EXIST;
    }
    closedir(dir);
    return err;
}

static int make_identity(const struct hx_datadir *d, const struct identity *id, char why[HX_WHY_MAX])
{
    char path[PATH_MAX], text[IDENTITY_MAX];
    snprintf(path, sizeof path, "%s/identity", d->path);
    int err = hx_file_replace(path, text, (size_t)identity_text(id, text, sizeof text), 0600);
    if (err)
        snprintf(why, HX_WHY_MAX, "%.200s", path);
    return err;
}

static int read_identity(struct hx_datadir *d, const char *server, const char *zone, char why[HX_WHY_MAX])
{
    char path[PATH_MAX], *text;
    struct identity id;
    snprintf(path, sizeof path, "%s/identity", d->path);
    int err = hx_file_read(path, IDENTITY_MAX, &text, NULL);
    if (err == HX_E_NOENT) {
        snprintf(id.server, sizeof id.server, "%s", server);
        snprintf(id.zone, sizeof id.zone, "%s", zone);
        id.incarnation = hx_random_uuid();
        err = check_fresh(d, why);
        if (!err)
            err = make_identity(d, &id, why);
    } else if (!err) {
        err = identity_parse(text, &id);
        free(text);
        if (err)
            snprintf(why, HX_WHY_MAX, "%.200s", path);
    } else {
        snprintf(why, HX_WHY_MAX, "%.200s", path);
    }
    if (!err && (strcmp(id.server, server) != 0 || strcmp(id.zone, zone) != 0)) {
        snprintf(why, HX_WHY_MAX, "%.80s belongs to server %.30s in zone %.30s, not to %.30s in %.30s", d->path,
                 id.server, id.zone, server, zone);
        err = HX_E_STRANGER;
    }
    if (!err)
        d->incarnation = id.incarnation;
    return err;
}

/* T3.  The parent may be one that we may not sync: the content is safe then, its name may be lost. */
static int sync_names(const struct hx_datadir *d, char why[HX_WHY_MAX])
{
    int up = openat(d->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (up >= 0) {
        (void)fsync(up);
        close(up);
    }
    return fsync(d->fd) < 0 ? hx_sys_why(why, errno, "%s", d->path) : 0;
}

static int open_segments(struct hx_datadir *d, char why[HX_WHY_MAX])
{
    if (mkdirat(d->fd, "segments", 0700) < 0 && errno != EEXIST)
        return hx_sys_why(why, errno, "%s/segments", d->path);
    int err = sync_names(d, why);
    if (err)
        return err;
    d->segments_fd = openat(d->fd, "segments", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return d->segments_fd < 0 ? hx_sys_why(why, errno, "%s/segments", d->path) : 0;
}

int hx_datadir_open(const char *path, const char *server, const char *zone, struct hx_datadir **ret,
                    char why[HX_WHY_MAX])
{
    struct hx_datadir *d = malloc(sizeof *d);
    why[0] = '\0';
    if (!d)
        return HX_E_NOMEM;
    *d = (struct hx_datadir){.path = strdup(path), .fd = -1, .lock_fd = -1, .segments_fd = -1};
    int err = d->path ? 0 : HX_E_NOMEM;
    if (!err && (!hx_name_ok(server) || !hx_name_ok(zone)))
        err = HX_E_INVAL;
    if (!err && strlen(path) > PATH_MAX - 64) /* a name must fit behind it */
        err = HX_E_TOOBIG;
    if (!err)
        err = open_directory(d, why);
    if (!err)
        err = take_lock(d, why);
    if (!err)
        err = read_identity(d, server, zone, why);
    if (!err)
        err = open_segments(d, why);
    if (err) {
        hx_datadir_close(d);
        return err;
    }
    *ret = d;
    return 0;
}

/* ---- only looking (T4) ---- */
static int look_lock(struct hx_datadir *d, char why[HX_WHY_MAX])
{
    d->lock_fd = openat(d->fd, "lock", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (d->lock_fd < 0)
        return errno == ENOENT ? 0 : hx_sys_why(why, errno, "%s/lock", d->path); /* a copy without it */
    if (flock(d->lock_fd, LOCK_SH | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return hx_sys_why(why, errno, "%s/lock", d->path);
    snprintf(why, HX_WHY_MAX, "%.200s", d->path);
    return HX_E_LOCKED;
}

static int look_identity(struct hx_datadir *d, char why[HX_WHY_MAX])
{
    char path[PATH_MAX], *text;
    struct identity id;
    snprintf(path, sizeof path, "%s/identity", d->path);
    int err = hx_file_read(path, IDENTITY_MAX, &text, NULL);
    if (!err) {
        err = identity_parse(text, &id);
        free(text);
    }
    snprintf(why, HX_WHY_MAX, "%.200s%s", path, err == HX_E_NOENT ? " is not there: no data directory" : "");
    if (err)
        return err;
    d->incarnation = id.incarnation;
    memcpy(d->server, id.server, sizeof d->server);
    return 0;
}

int hx_datadir_look(const char *path, struct hx_datadir **ret, char why[HX_WHY_MAX])
{
    struct hx_datadir *d = malloc(sizeof *d);
    int err = 0;
    why[0] = '\0';
    if (!d)
        return HX_E_NOMEM;
    *d = (struct hx_datadir){.path = strdup(path), .fd = -1, .lock_fd = -1, .segments_fd = -1, .read_only = true};
    if (!d->path || strlen(path) > PATH_MAX - 64)
        err = d->path ? HX_E_TOOBIG : HX_E_NOMEM;
    if (!err && (d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        err = hx_sys_why(why, errno, "%s", path);
    if (!err)
        err = look_identity(d, why);
    if (!err)
        err = look_lock(d, why);
    if (!err && (d->segments_fd = openat(d->fd, "segments", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        err = hx_sys_why(why, errno, "%s/segments", path);
    if (err) {
        hx_datadir_close(d);
        return err;
    }
    *ret = d;
    return 0;
}
