/*
 * bench_floor.c - what the kernel and the disk of this machine allow, without anything of hexad: the bound below which
 * no change of ours can get.
 *
 *   bench_floor fuse DIR MIB      mounts on DIR a file system of one file, "one", of MIB mebibytes in memory, until it
 *                                 is unmounted.  The kernel may keep all of it for an hour, and across opens, as on our
 *                                 mount: reads of what it keeps show what any FUSE file system can give.
 *   bench_floor flush DIR [--json]  a write of 2,600 bytes and fdatasync by one process; and the same by six at once,
 *                                 of which four are waited for: what a commit costs without TLS, HTTP, log and mount.
 *                                 In turns, medians.
 *
 *   bench_floor flushd DIR        six processes that wait on the sockets DIR/0 .. DIR/5: 2,600 bytes are a request;
 *                                 all that are there are written, flushed once and answered with a byte each.  Ends
 *                                 with stdin (pgfloor.py).
 *
 * Does not: check anything.  Six processes in `flush`, one file of 16 MiB each, removed at the end; they end with
 * this one.
 */
#include "bench.h"

#define FUSE_USE_VERSION 314
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- fuse ---- */

#define KEEP_S 3600.0
#define ONE 2u

static struct stat attr_of(fuse_ino_t ino, size_t bytes)
{
    struct stat st = {.st_ino = ino, .st_nlink = 1};
    st.st_mode = ino == ONE ? S_IFREG | 0644 : S_IFDIR | 0755;
    st.st_size = ino == ONE ? (off_t)bytes : 0;
    return st;
}

struct memory {
    char *p;
    size_t bytes;
};

static void on_init(void *ctx, struct fuse_conn_info *c)
{
    (void)ctx;
    c->max_readahead = c->max_write = 1u << 20;
}

static void on_lookup(fuse_req_t r, fuse_ino_t parent, const char *name)
{
    const struct memory *m = fuse_req_userdata(r);
    if (parent != FUSE_ROOT_ID || strcmp(name, "one")) {
        fuse_reply_err(r, ENOENT);
        return;
    }
    struct fuse_entry_param e = {.ino = ONE, .attr_timeout = KEEP_S, .entry_timeout = KEEP_S};
    e.attr = attr_of(ONE, m->bytes);
    fuse_reply_entry(r, &e);
}

static void on_getattr(fuse_req_t r, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    struct stat st = attr_of(ino, ((const struct memory *)fuse_req_userdata(r))->bytes);
    fuse_reply_attr(r, &st, KEEP_S);
}

static void on_open(fuse_req_t r, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fi->keep_cache = 1;
    fuse_reply_open(r, fi);
}

static void on_read(fuse_req_t r, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    const struct memory *m = fuse_req_userdata(r);
    (void)ino;
    (void)fi;
    size_t at = (size_t)off < m->bytes ? (size_t)off : m->bytes;
    fuse_reply_buf(r, m->p + at, size < m->bytes - at ? size : m->bytes - at);
}

static int serve_memory(const char *dir, size_t mib)
{
    static const struct fuse_lowlevel_ops ops = {
        .init = on_init, .lookup = on_lookup, .getattr = on_getattr, .open = on_open, .read = on_read};
    struct memory m = {malloc(mib << 20), mib << 20};
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    if (!m.p || fuse_opt_add_arg(&args, "bench_floor"))
        die("no memory");
    for (size_t i = 0; i < m.bytes; i++)
        m.p[i] = (char)(i * 7 + (i >> 12));
    struct fuse_session *se = fuse_session_new(&args, &ops, sizeof ops, &m);
    if (!se || fuse_set_signal_handlers(se) || fuse_session_mount(se, dir))
        die("cannot mount on %s", dir);
    puts("ready");
    fflush(stdout);
    int err = fuse_session_loop(se);
    fuse_session_unmount(se);
    fuse_session_destroy(se);
    fuse_opt_free_args(&args);
    free(m.p);
    return err < 0;
}

/* ---- flush ---- */

#define SERVERS 6
#define NEEDED 4
#define BYTES 2600u
#define FILE_BYTES (16u << 20)
#define TURNS 8
#define ROUNDS 100 /* of a turn */

struct server {
    int fd;
    unsigned owed; /* answers */
};

static void serve_flushes(int peer, int fd)
{
    char b[BYTES];
    off_t at = 0;
    while (recv(peer, b, sizeof b, MSG_WAITALL) == (ssize_t)sizeof b) {
        if (pwrite(fd, b, sizeof b, at) != (ssize_t)sizeof b || fdatasync(fd))
            die("write: %s", strerror(errno));
        at = at + 2 * BYTES > FILE_BYTES ? 0 : at + BYTES;
        if (send(peer, "", 1, MSG_NOSIGNAL) != 1)
            break;
    }
    _exit(0);
}

static void start(struct server *s, const char *dir, unsigned i)
{
    char path[4096];
    int pair[2];
    snprintf(path, sizeof path, "%s/floor-%u", dir, i);
    int fd = zero_filled(path, FILE_BYTES);
    unlink(path);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        die("socketpair: %s", strerror(errno));
    pid_t pid = fork();
    if (pid < 0)
        die("fork: %s", strerror(errno));
    if (pid == 0) {
        for (unsigned k = 0; k < i; k++)
            close(s[k].fd);
        close(pair[0]);
        serve_flushes(pair[1], fd);
    }
    close(pair[1]);
    close(fd);
    s[i] = (struct server){.fd = pair[0]};
}

/* One commit to COUNT servers, done when NEED have answered all that they were asked. */
static double commit(struct server *s, unsigned count, unsigned need)
{
    static const char b[BYTES];
    struct pollfd p[SERVERS];
    unsigned done = 0;
    uint64_t from = now_ns();
    for (unsigned i = 0; i < count; i++) {
        p[i] = (struct pollfd){.fd = s[i].fd, .events = POLLIN};
        s[i].owed++;
        if (send(s[i].fd, b, sizeof b, MSG_NOSIGNAL) != (ssize_t)sizeof b)
            die("send: %s", strerror(errno));
    }
    while (done < need) {
        if (poll(p, count, -1) < 0)
            die("poll: %s", strerror(errno));
        for (unsigned i = 0; i < count; i++) {
            char got[16];
            ssize_t n = p[i].revents ? recv(s[i].fd, got, sizeof got, MSG_DONTWAIT) : 0;
            if (n <= 0)
                continue;
            s[i].owed -= (unsigned)n;
            done += s[i].owed == 0;
        }
    }
    return (double)(now_ns() - from) / 1e3;
}

static void settle(struct server *s)
{
    char got[16];
    for (unsigned i = 0; i < SERVERS; i++)
        while (s[i].owed) {
            ssize_t n = recv(s[i].fd, got, sizeof got, 0);
            if (n <= 0)
                die("a server has gone");
            s[i].owed -= (unsigned)n;
        }
}

static int measure_flushes(const char *dir, bool json)
{
    static double one[TURNS * ROUNDS], six[TURNS * ROUNDS];
    struct server s[SERVERS];
    for (unsigned i = 0; i < SERVERS; i++)
        start(s, dir, i);
    for (unsigned t = 0, n = 0; t < TURNS; t++) {
        for (unsigned i = 0; i < ROUNDS; i++)
            one[n + i] = commit(s, 1, 1);
        for (unsigned i = 0; i < ROUNDS; i++)
            six[n + i] = commit(s, SERVERS, NEEDED);
        settle(s);
        n += ROUNDS;
    }
    double a = quantile(one, TURNS * ROUNDS, 0.5), b = quantile(six, TURNS * ROUNDS, 0.5);
    printf(json ? "{\"one_us\": %.0f, \"six_us\": %.0f, \"ratio\": %.3f}\n"
                : "floor      a write and its flush: one process %.0f us, four of six %.0f us, ratio %.3f\n",
           a, b, a / b);
    for (unsigned i = 0; i < SERVERS; i++)
        close(s[i].fd);
    while (wait(NULL) > 0)
        ;
    return 0;
}

/* ---- flushd ---- */

#define PEERS 256

/* What is there of all peers at one flush; P[0] is where they come from. */
static void serve_peers(struct pollfd *p, nfds_t count, int fd)
{
    static char b[PEERS * BYTES];
    off_t at = 0;
    for (;;) {
        int peer[PEERS];
        size_t n = 0;
        if (poll(p, count, -1) < 0)
            _exit(1);
        for (nfds_t i = 1; i < count; i++) {
            if (!p[i].revents)
                continue;
            if (recv(p[i].fd, b + n * BYTES, BYTES, MSG_WAITALL) == BYTES) {
                peer[n++] = p[i].fd;
                continue;
            }
            close(p[i].fd);
            p[i--] = p[--count];
        }
        at = at + (off_t)(n * BYTES) > (off_t)FILE_BYTES ? 0 : at;
        if (n && (pwrite(fd, b, n * BYTES, at) != (ssize_t)(n * BYTES) || fdatasync(fd)))
            die("write: %s", strerror(errno));
        at += (off_t)(n * BYTES);
        for (size_t i = 0; i < n; i++)
            (void)!send(peer[i], "", 1, MSG_NOSIGNAL);
        if (p[0].revents && count < PEERS)
            p[count++] = (struct pollfd){.fd = accept(p[0].fd, NULL, NULL), .events = POLLIN};
    }
}

static int listen_in(const char *dir, unsigned i)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (snprintf(a.sun_path, sizeof a.sun_path, "%s/%u", dir, i) >= (int)sizeof a.sun_path)
        die("%s: too long a name", dir);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof a) || listen(fd, PEERS))
        die("%s: %s", a.sun_path, strerror(errno));
    return fd;
}

static int flush_daemons(const char *dir)
{
    pid_t pid[SERVERS];
    for (unsigned i = 0; i < SERVERS; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/log-%u", dir, i);
        int fd = zero_filled(path, FILE_BYTES), from = listen_in(dir, i);
        unlink(path);
        pid[i] = fork();
        if (pid[i] < 0)
            die("fork: %s", strerror(errno));
        if (pid[i] == 0) {
            static struct pollfd p[PEERS];
            p[0] = (struct pollfd){.fd = from, .events = POLLIN};
            serve_peers(p, 1, fd);
        }
        close(fd);
        close(from);
    }
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    for (unsigned i = 0; i < SERVERS; i++)
        kill(pid[i], SIGKILL);
    while (wait(NULL) > 0)
        ;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "flushd"))
        return flush_daemons(argv[2]);
    if (argc == 4 && !strcmp(argv[1], "fuse"))
        return serve_memory(argv[2], strtoul(argv[3], NULL, 10));
    if ((argc == 3 || (argc == 4 && !strcmp(argv[3], "--json"))) && !strcmp(argv[1], "flush"))
        return measure_flushes(argv[2], argc == 4);
    fprintf(stderr, "usage: bench_floor fuse DIR MIB | flush DIR [--json] | flushd DIR\n");
    return 2;
}
