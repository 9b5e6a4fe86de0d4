/*
 * bench_transport.c - what the transport alone costs: commits of a fixed size to six servers, four answers.
 *
 * Starts six server processes on loopback with throw-away certificates.  A server appends each body to a
 * zero-filled file, flushes once for all that has gathered (unless --no-flush), and answers.  This process
 * posts each commit to all six, --depth commits under way at a time, and counts one when the fourth
 * answer is there.  Prints the latency of a commit and commits per second; asserts nothing.
 *
 * One thread in each process.  The servers end with this process: each holds the read end of a pipe that
 * nobody writes to.
 */
#include "bench.h"
#include "hexad/net.h"

#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_BYTES (64u << 20)
#define WARM_UP 200

struct options {
    size_t size;
    unsigned seconds, depth;
    bool flush, json;
    const char *dir;
};

/* ---- a server process ---- */

struct waiting {
    struct hx_request *r;
    struct hx_bytes body;
};

struct server {
    const struct options *opt;
    struct hx_loop *loop;
    struct hx_defer *batch;
    int fd;
    off_t at;
    struct waiting *list;
    size_t count, cap;
};

static void on_batch(void *ctx)
{
    struct server *s = ctx;
    for (size_t i = 0; i < s->count; i++) {
        struct hx_bytes b = s->list[i].body;
        if (s->at + (off_t)b.len > (off_t)FILE_BYTES)
            s->at = 0;
        if (pwrite(s->fd, b.p, b.len, s->at) != (ssize_t)b.len)
            die("pwrite: %s", strerror(errno));
        s->at += (off_t)b.len;
    }
    if (s->opt->flush && fdatasync(s->fd))
        die("fdatasync: %s", strerror(errno));
    static const uint8_t answer[32];
    for (size_t i = 0; i < s->count; i++)
        hx_request_reply(s->list[i].r, (struct hx_bytes){answer, sizeof answer});
    s->count = 0;
}

static void on_request(void *ctx, struct hx_request *r, uint64_t conn, const struct hx_peer *peer,
                       struct hx_bytes body)
{
    (void)conn;
    (void)peer;
    struct server *s = ctx;
    if (s->count == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->list = realloc(s->list, s->cap * sizeof *s->list);
        if (!s->list)
            die("out of memory");
    }
    s->list[s->count++] = (struct waiting){r, body};
    hx_defer_call(s->batch);
}

static void on_parent_gone(void *ctx)
{
    struct server *s = ctx;
    hx_loop_stop(s->loop);
}

static void serve(const struct options *opt, const char *name, int life, int port_pipe)
{
    char why[256] = "", crt[512], key[512], ca[512], data[512];
    snprintf(crt, sizeof crt, "%s/%s.crt", opt->dir, name);
    snprintf(key, sizeof key, "%s/%s.key", opt->dir, name);
    snprintf(ca, sizeof ca, "%s/ca.crt", opt->dir);
    snprintf(data, sizeof data, "%s/%s.log", opt->dir, name);
    struct server s = {.opt = opt, .fd = zero_filled(data, FILE_BYTES)};
    struct hx_watch *watch;
    struct hx_server_net *net;
    struct hx_server_cfg cfg = {.listen = "127.0.0.1:0", .tls = {ca, crt, key}, .body_max = opt->size + 4096,
                                .request = on_request, .ctx = &s};
    if (hx_loop_new(&s.loop) || hx_defer_new(s.loop, on_batch, &s, &s.batch) ||
        hx_watch_new(s.loop, life, on_parent_gone, &s, &watch))
        die("cannot set up the loop");
    if (hx_server_net_new(s.loop, &cfg, &net, why))
        die("server %s: %s", name, why);
    int port = hx_server_net_port(net);
    if (write(port_pipe, &port, sizeof port) != (ssize_t)sizeof port)
        die("pipe: %s", strerror(errno));
    hx_loop_run(s.loop);
    hx_server_net_free(net);
    hx_watch_free(watch);
    hx_defer_free(s.batch);
    hx_loop_free(s.loop);
    free(s.list);
    close(s.fd);
}

/* ---- the client ---- */

struct bench {
    const struct options *opt;
    struct hx_loop *loop;
    struct hx_client *client;
    char url[6][64];
    uint8_t *body;
    uint64_t started_ns, ends_ns; /* 0: warming up */
    uint64_t *latency_ns;
    size_t count, cap, warm;
    unsigned under_way;
    bool stop;
    int err;
};

struct commit {
    struct bench *b;
    uint64_t begun_ns;
    unsigned acks, ends;
};

static const char *const names[6] = {"a1", "a2", "b1", "b2", "c1", "c2"};

static void commit_start(struct commit *c);

static void count_commit(struct commit *c)
{
    struct bench *b = c->b;
    uint64_t now = now_ns();
    if (!b->started_ns) {
        if (++b->warm == WARM_UP) {
            b->started_ns = now;
            b->ends_ns = now + b->opt->seconds * UINT64_C(1000000000);
        }
        return;
    }
    if (b->count == b->cap) {
        b->cap = b->cap ? b->cap * 2 : 65536;
        b->latency_ns = realloc(b->latency_ns, b->cap * sizeof *b->latency_ns);
        if (!b->latency_ns)
            die("out of memory");
    }
    b->latency_ns[b->count++] = now - c->begun_ns;
    b->stop = b->stop || now >= b->ends_ns;
}

/* A commit's slot is free when all six have answered; with depth 1 the next one starts at the fourth, as a
 * lone writer would, in a fresh slot. */
static void on_answer(void *ctx, int err, struct hx_bytes body)
{
    (void)body;
    struct commit *c = ctx;
    struct bench *b = c->b;
    if (err && !b->err) {
        b->err = err;
        b->stop = true;
        fprintf(stderr, "bench_transport: %s\n", hx_client_why(b->client));
    }
    c->ends++;
    if (!err && ++c->acks == HX_WRITE_QUORUM) {
        count_commit(c);
        struct commit *next = b->stop ? NULL : calloc(1, sizeof *next);
        if (next) {
            next->b = b;
            commit_start(next);
        }
    }
    if (c->ends == 6) {
        free(c);
        if (--b->under_way == 0)
            hx_loop_stop(b->loop);
    }
}

static void commit_start(struct commit *c)
{
    struct bench *b = c->b;
    struct iovec iov = {b->body, b->opt->size};
    b->under_way++;
    c->begun_ns = now_ns();
    for (int i = 0; i < 6; i++)
        if (hx_client_post(b->client, b->url[i], names[i], &iov, 1, 10000, on_answer, c, NULL))
            die("post: %s", hx_client_why(b->client));
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double quantile_us(const struct bench *b, double q)
{
    size_t i = (size_t)(q * (double)b->count);
    return (double)b->latency_ns[i < b->count ? i : b->count - 1] / 1000;
}

static double cpu_s(int who)
{
    struct rusage u;
    getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void print_result(struct bench *b, double client_us, double server_us)
{
    const struct options *o = b->opt;
    if (!b->count)
        die("no commit was counted");
    qsort(b->latency_ns, b->count, sizeof *b->latency_ns, by_value);
    double per_s = (double)b->count / o->seconds, p50 = quantile_us(b, 0.5), p99 = quantile_us(b, 0.99);
    if (o->json)
        printf("{\"bench\":\"transport\",\"size\":%zu,\"depth\":%u,\"flush\":%s,\"seconds\":%u,\"commits\":%zu,"
               "\"commits_per_s\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"cpu_client_us\":%.1f,"
               "\"cpu_servers_us\":%.1f}\n",
               o->size, o->depth, o->flush ? "true" : "false", o->seconds, b->count, per_s, p50, p99, client_us,
               server_us);
    else
        printf("transport  %zu B to six, 4 answers, %s, depth %u:  p50 %.0f us  p99 %.0f us  %.0f commits/s  "
               "cpu per commit: client %.0f us, six servers %.0f us\n",
               o->size, o->flush ? "flushed" : "no flush", o->depth, p50, p99, per_s, client_us, server_us);
}

static double run(struct bench *b)
{
    char why[256] = "", ca[512], crt[512], key[512];
    snprintf(ca, sizeof ca, "%s/ca.crt", b->opt->dir);
    snprintf(crt, sizeof crt, "%s/writer.crt", b->opt->dir);
    snprintf(key, sizeof key, "%s/writer.key", b->opt->dir);
    struct hx_tls_cfg tls = {ca, crt, key};
    b->body = malloc(b->opt->size ? b->opt->size : 1);
    if (!b->body || hx_loop_new(&b->loop) || hx_client_new(b->loop, &tls, &b->client, why))
        die("client: %s", why);
    for (size_t i = 0; i < b->opt->size; i++)
        b->body[i] = (uint8_t)(i * 7 + 1);
    double cpu = cpu_s(RUSAGE_SELF);
    for (unsigned i = 0; i < b->opt->depth; i++) {
        struct commit *c = calloc(1, sizeof *c);
        if (!c)
            die("out of memory");
        c->b = b;
        commit_start(c);
    }
    hx_loop_run(b->loop);
    cpu = cpu_s(RUSAGE_SELF) - cpu;
    hx_client_free(b->client);
    hx_loop_free(b->loop);
    free(b->body);
    return cpu;
}

/* ---- everything around ---- */

static void make_certificates(const char *dir)
{
    char why[256] = "", ca[512], crt[512], key[512], out[512];
    snprintf(ca, sizeof ca, "%s/ca", dir);
    snprintf(crt, sizeof crt, "%s/ca.crt", dir);
    snprintf(key, sizeof key, "%s/ca.key", dir);
    if (hx_cert_create_ca(ca, "hexad bench CA", 1, why))
        die("%s", why);
    for (int i = 0; i < 7; i++) {
        const char *name = i < 6 ? names[i] : "writer";
        snprintf(out, sizeof out, "%s/%s", dir, name);
        if (hx_cert_create(crt, key, out, i < 6 ? HX_ROLE_SEGMENT : HX_ROLE_WRITER, name, "127.0.0.1", 1, why))
            die("%s", why);
    }
}

static void remove_dir(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(dir);
}

static void start_servers(struct bench *b, pid_t pid[6], int *ret_life)
{
    int life[2];
    if (pipe(life))
        die("pipe: %s", strerror(errno));
    for (int i = 0; i < 6; i++) {
        int ports[2], port = 0;
        if (pipe(ports))
            die("pipe: %s", strerror(errno));
        pid[i] = fork();
        if (pid[i] < 0)
            die("fork: %s", strerror(errno));
        if (pid[i] == 0) {
            close(life[1]);
            close(ports[0]);
            serve(b->opt, names[i], life[0], ports[1]);
            exit(0);
        }
        close(ports[1]);
        if (read(ports[0], &port, sizeof port) != (ssize_t)sizeof port)
            die("server %s did not start", names[i]);
        close(ports[0]);
        snprintf(b->url[i], sizeof b->url[i], "https://127.0.0.1:%d", port);
    }
    close(life[0]);
    *ret_life = life[1];
}

static void usage(void)
{
    puts("bench_transport [--size BYTES] [--seconds N] [--depth N] [--no-flush] [--dir DIR] [--json]\n"
         "  commits of BYTES (4096) to six server processes over HTTPS, N (1) under way, for N (5) seconds;\n"
         "  DIR (the working directory) decides which disk is flushed");
}

static struct options parse(int argc, char **argv)
{
    struct options o = {.size = 4096, .seconds = 5, .depth = 1, .flush = true, .dir = "."};
    static const struct option table[] = {
        {"size", 1, NULL, 's'}, {"seconds", 1, NULL, 't'}, {"depth", 1, NULL, 'd'}, {"no-flush", 0, NULL, 'n'},
        {"dir", 1, NULL, 'D'},  {"json", 0, NULL, 'j'},    {"help", 0, NULL, 'h'},  {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;)
        switch (c) {
        case 's': o.size = strtoul(optarg, NULL, 10); break;
        case 't': o.seconds = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'd': o.depth = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'n': o.flush = false; break;
        case 'D': o.dir = optarg; break;
        case 'j': o.json = true; break;
        case 'h': usage(); exit(0);
        default: usage(); exit(2);
        }
    if (optind != argc || !o.seconds || !o.depth || o.size > HX_NET_ANSWER_MAX) {
        usage();
        exit(2);
    }
    return o;
}

int main(int argc, char **argv)
{
    struct options o = parse(argc, argv);
    char dir[400];
    snprintf(dir, sizeof dir, "%s/bench-transport.XXXXXX", o.dir);
    if (!mkdtemp(dir))
        die("%s: %s", dir, strerror(errno));
    o.dir = dir;
    make_certificates(dir);
    struct bench b = {.opt = &o};
    pid_t pid[6];
    int life;
    start_servers(&b, pid, &life);
    double before = cpu_s(RUSAGE_CHILDREN), client = run(&b);
    close(life);
    for (int i = 0; i < 6; i++)
        waitpid(pid[i], NULL, 0);
    double servers = cpu_s(RUSAGE_CHILDREN) - before, commits = (double)(b.count + b.warm);
    remove_dir(dir);
    if (!b.err)
        print_result(&b, client / commits * 1e6, servers / commits * 1e6);
    free(b.latency_ns);
    return b.err ? 1 : 0;
}
