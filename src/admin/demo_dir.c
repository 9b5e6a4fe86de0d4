/*
 * demo_dir.c - the directory of a demo: what is in it, how it is made, reopened and removed (D2 to D4 of demo.h).
 *
 *     DIR/.hexad-demo           marks it as ours; made first, removed last
 *     DIR/lock                  held while a demo or its watcher works here
 *     DIR/hexad.conf a1.conf... configurations, with paths relative to DIR
 *     DIR/tls/                  throw-away authority and certificates
 *     DIR/data/a1/ ...          data directories of the servers
 *     DIR/log/  DIR/mnt/  DIR/control
 *
 * Does not start or end anything.  A crash leaves some of these; the next demo there takes it as a kept one.
 */
#include "demo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARKER ".hexad-demo"

const char *const demo_names[DEMO_SERVERS] = {"a1", "a2", "b1", "b2", "c1", "c2"};
const char *const demo_zones[DEMO_SERVERS] = {"az-a", "az-a", "az-b", "az-b", "az-c", "az-c"};

static int complain(const struct demo *d, int err, const char *why, const char *hint)
{
    char what[HX_WHY_MAX];
    snprintf(what, sizeof what, "cannot use %.200s", d->shown);
    return admin_fail(d->json, err, what, why, hint);
}

static bool is_empty(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    unsigned others = 0;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        others += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && strcmp(e->d_name, "lock") != 0;
    closedir(dir);
    return others == 0;
}

/* DIR exists now: is it ours, may we have it?  0, HX_E_AGAIN (it has just been removed), or complained. */
static int take_lock(struct demo *d)
{
    uint64_t end = hx_clock_mono_ms() + 15000; /* a watcher of a killed demo may still be cleaning up */
    struct stat st;
    d->lock_fd = openat(d->dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (d->lock_fd < 0)
        return errno == ENOENT ? HX_E_AGAIN : hx_err_from_errno(errno);
    while (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return hx_err_from_errno(errno);
        int control = faccessat(d->dir_fd, "control", F_OK, 0);
        if (hx_clock_mono_ms() > end || control == 0) /* a demo that lives has one */
            return HX_E_LOCKED;
        (void)poll(NULL, 0, 20);
    }
    if (fstat(d->lock_fd, &st) < 0 || st.st_nlink == 0)
        return HX_E_AGAIN;
    return 0;
}

static int open_once(struct demo *d)
{
    d->made_dir = mkdir(d->dir, 0700) == 0;
    if (!d->made_dir && errno != EEXIST)
        return hx_err_from_errno(errno);
    d->dir_fd = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->dir_fd < 0)
        return errno == ENOENT ? HX_E_AGAIN : hx_err_from_errno(errno);
    bool ours = faccessat(d->dir_fd, MARKER, F_OK, 0) == 0;
    if (!ours && !d->made_dir && !is_empty(d->dir_fd))
        return HX_E_EXIST;
    int err = take_lock(d);
    if (!err)
        d->reopened = faccessat(d->dir_fd, MARKER, F_OK, 0) == 0;
    return err;
}

static void close_fds(struct demo *d)
{
    if (d->dir_fd >= 0)
        close(d->dir_fd);
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    d->dir_fd = d->lock_fd = -1;
}

static int make_temporary(struct demo *d)
{
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(d->dir, sizeof d->dir, "%s/hexad-demo-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");
    if (n < 0 || (size_t)n >= sizeof d->dir)
        return HX_E_NAMETOOLONG;
    if (!mkdtemp(d->dir))
        return hx_err_from_errno(errno);
    d->dir_fd = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    d->made_dir = true;
    return d->dir_fd < 0 ? hx_err_from_errno(errno) : take_lock(d);
}

/* What the demo before us here wrote down: whether DIR itself is ours, and whether it was to be kept (D3). */
static void read_marker(struct demo *d)
{
    char path[PATH_MAX + 16], *text;
    snprintf(path, sizeof path, "%s/" MARKER, d->dir);
    if (!d->reopened || hx_file_read(path, 4096, &text, NULL) < 0)
        return;
    d->made_dir = strstr(text, "\ndirectory made\n") != NULL;
    d->keep |= strstr(text, "\nkept yes\n") != NULL;
    free(text);
}

static int name_paths(struct demo *d)
{
    char real[PATH_MAX];
    if (!realpath(d->dir, real))
        return hx_err_from_errno(errno);
    snprintf(d->dir, sizeof d->dir, "%s", real);
    if (strlen(real) + 128 > PATH_MAX)
        return HX_E_NAMETOOLONG;
    snprintf(d->mnt, sizeof d->mnt, "%.*s/mnt", PATH_MAX - 8, real);
    return 0;
}

int demo_dir_open(struct demo *d, bool temporary)
{
    int err;
    if (temporary) {
        err = make_temporary(d);
        d->shown = d->dir;
    } else {
        while ((err = open_once(d)) == HX_E_AGAIN)
            close_fds(d);
    }
    d->made_files = !err; /* the lock is ours, so is what is in there */
    if (!err) {
        read_marker(d);
        err = name_paths(d);
    }
    if (err == HX_E_EXIST)
        return complain(d, err, "it holds other files", "name a new or an empty directory: hexad demo --dir DIR");
    if (err == HX_E_LOCKED)
        return complain(d, err, "a demo runs there", "hexad demo status --dir DIR; or another --dir");
    return err ? complain(d, err, NULL, NULL) : 0;
}

int demo_dir_layout(struct demo *d)
{
    static const char *const dirs[] = {"tls", "data", "log", "mnt"};
    char text[128], path[PATH_MAX + 16];
    int n = snprintf(text, sizeof text, "hexad-demo 1\ndirectory %s\nkept %s\n", d->made_dir ? "made" : "found",
                     d->keep ? "yes" : "no");
    snprintf(path, sizeof path, "%s/" MARKER, d->dir);
    int err = hx_file_replace(path, text, (size_t)n, 0600);
    for (size_t i = 0; i < HX_ARRAY_LEN(dirs) && !err; i++)
        if (mkdirat(d->dir_fd, dirs[i], 0700) < 0 && errno != EEXIST)
            err = hx_err_from_errno(errno);
    return err ? complain(d, err, NULL, NULL) : 0;
}

/* ---- certificates and configurations ---- */

static void remove_tree(int parent, const char *name, dev_t dev);
static bool is_there(const struct demo *d, const char *name)
{
    return faccessat(d->dir_fd, name, F_OK, 0) == 0;
}

/* A demo that was killed in here left some of them: start over. */
static int clear_certificates(struct demo *d)
{
    struct stat st;
    if (fstat(d->dir_fd, &st) < 0)
        return hx_err_from_errno(errno);
    remove_tree(d->dir_fd, "tls", st.st_dev);
    return mkdirat(d->dir_fd, "tls", 0700) < 0 ? hx_err_from_errno(errno) : 0;
}

int demo_dir_certificates(struct demo *d)
{
    char ca[PATH_MAX + 32], crt[PATH_MAX + 40], key[PATH_MAX + 40], out[PATH_MAX + 32], why[HX_WHY_MAX] = "";
    if (is_there(d, "tls/client.key") && is_there(d, "tls/client.crt"))
        return 0; /* made last, so all are there */
    snprintf(ca, sizeof ca, "%s/tls/ca", d->dir);
    snprintf(crt, sizeof crt, "%s.crt", ca);
    snprintf(key, sizeof key, "%s.key", ca);
    int err = clear_certificates(d);
    if (!err)
        err = hx_cert_create_ca(ca, "hexad demo CA", 3650, why);
    for (unsigned i = 0; i < DEMO_SERVERS + 1 && !err; i++) {
        bool client = i == DEMO_SERVERS;
        snprintf(out, sizeof out, "%s/tls/%s", d->dir, client ? "client" : demo_names[i]);
        err = hx_cert_create(crt, key, out, client ? HX_ROLE_WRITER : HX_ROLE_SEGMENT, client ? "demo" : demo_names[i],
                             client ? NULL : "127.0.0.1,localhost", 3650, why);
    }
    return err ? complain(d, err, why, NULL) : 0;
}

static int put(const struct demo *d, const char *name, const char *text)
{
    char path[PATH_MAX + HX_NAME_MAX];
    snprintf(path, sizeof path, "%s/%s", d->dir, name);
    int err = hx_file_replace(path, text, strlen(text), 0600);
    return err ? complain(d, err, name, NULL) : 0;
}

int demo_dir_configs(struct demo *d)
{
    char text[2048], name[32];
    int n = snprintf(text, sizeof text,
                     "# Client of this demo: HEXAD_CONFIG=this file hexad status " DEMO_VOLUME "\n"
                     "[tls]\nca = tls/ca.crt\ncert = tls/client.crt\nkey = tls/client.key\n\n[servers]\n");
    for (unsigned i = 0; i < DEMO_SERVERS; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s = %s https://127.0.0.1:%d\n", demo_names[i],
                      demo_zones[i], d->servers[i].port);
    int err = put(d, "hexad.conf", text);
    for (unsigned i = 0; i < DEMO_SERVERS && !err; i++) {
        const char *s = demo_names[i];
        snprintf(text, sizeof text,
                 "[server]\nname = %s\nzone = %s\nlisten = 127.0.0.1:%d\ndata = data/%s\n\n"
                 "[tls]\nca = tls/ca.crt\ncert = tls/%s.crt\nkey = tls/%s.key\n",
                 s, demo_zones[i], d->servers[i].port, s, s, s);
        snprintf(name, sizeof name, "%s.conf", s);
        err = put(d, name, text);
    }
    return err;
}

/* ---- removal ---- */

static void remove_tree(int parent, const char *name, dev_t dev)
{
    struct stat st;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir || fstat(fd, &st) < 0 || st.st_dev != dev) { /* D2 */
        if (dir)
            closedir(dir);
        else if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, e->d_name, 0) < 0 && (errno == EISDIR || errno == EPERM))
            remove_tree(fd, e->d_name, dev);
    }
    closedir(dir);
    (void)unlinkat(parent, name, AT_REMOVEDIR);
}

/* And what hx_file_replace leaves when it is killed. */
static void remove_file(int dir_fd, const char *name)
{
    char tmp[64];
    snprintf(tmp, sizeof tmp, "%s.tmp", name);
    (void)unlinkat(dir_fd, tmp, 0);
    (void)unlinkat(dir_fd, name, 0);
}

void demo_dir_remove(int dir_fd, const char *dir, bool made_dir)
{
    static const char *const trees[] = {"tls", "data", "log"}, *const files[] = {"hexad.conf", "control", MARKER};
    struct stat st;
    char name[40];
    if (fstat(dir_fd, &st) < 0)
        return;
    for (size_t i = 0; i < HX_ARRAY_LEN(trees); i++)
        remove_tree(dir_fd, trees[i], st.st_dev);
    (void)unlinkat(dir_fd, "mnt", AT_REMOVEDIR); /* fails while something is mounted there */
    for (unsigned i = 0; i < DEMO_SERVERS; i++) {
        snprintf(name, sizeof name, "%s.conf", demo_names[i]);
        remove_file(dir_fd, name);
    }
    for (size_t i = 0; i < HX_ARRAY_LEN(files); i++)
        remove_file(dir_fd, files[i]);
    (void)unlinkat(dir_fd, "lock", 0);
    if (made_dir)
        (void)rmdir(dir);
}

/* ---- odds and ends ---- */

int demo_dir_socket(int dir_fd, char path[108])
{
    return snprintf(path, 108, "/proc/self/fd/%d/control", dir_fd) < 108 ? 0 : HX_E_TOOBIG;
}

void demo_dir_log_tail(struct demo *d, const char *name)
{
    char path[PATH_MAX + HX_NAME_MAX + 16], *text;
    size_t len, lines = 0;
    snprintf(path, sizeof path, "%s/log/%s.log", d->dir, name);
    if (hx_file_read(path, 1 << 24, &text, &len) < 0)
        return;
    char *from = text + len;
    while (from > text && lines < 12)
        lines += *--from == '\n';
    from += *from == '\n' && lines == 12;
    (void)hx_fd_write_all(STDERR_FILENO, from, (size_t)(text + len - from));
    free(text);
}
