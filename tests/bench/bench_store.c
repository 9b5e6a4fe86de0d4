/*
 * bench_store.c - what large and many segments cost a server: memory, time to reopen after kill -9, group commits.
 *
 *   bench_store [--dir D] [--segments N] [--volumes V] [--mib M] [--bytes B] [--again PERCENT] [--rounds R] [--cold]
 *               [--keep] [--json] [--there]
 *
 * Fills N segments of M MiB of V volumes, every page once (then PERCENT of them once more, in no order), with images of
 * B bytes (4096: nothing of the page is left out), by the door that the daemon uses (hexad/node.h) over real files.
 * The process that did it kills itself with -9; another one opens the same directory, --cold: after the system's caches
 * were dropped, and appends to the first segment at once.  Then, in R rounds, every segment gets a page of 4 KiB in the
 * same moment, and all become durable in one hx_node_flush.  --there: D was kept by a run with the same numbers.
 * No sockets, no peers, background work as in the daemon.
 * Prints figures; asserts nothing but that everything succeeds.
 */
#include "../../src/store/node_private.h"
#include "hexad/conf.h"
#include "hexad/sys.h"

#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FRAME_PAGES 60u
#define FLUSH_FRAMES 32u
struct options {
    const char *dir;
    unsigned segments, volumes, bytes, again, rounds;
    uint64_t mib;
    bool cold, keep, json, there;
};
struct seg_state {
    uint64_t last; /* LSN */
};
struct fill { /* what the first process tells before it dies */
    uint64_t rss0, rss, index, pages, versions, written, user, ns;
};
struct bench {
    const struct options *o;
    struct hx_datadir *data;
    struct hx_disk_farm *farm;
    struct hx_node *node;
    struct hx_frame_builder *builder;
    struct hx_geometry *geometry; /* of each volume */
    struct hx_history history;
    uint64_t *lsn; /* of each volume */
    struct seg_state *segs;
    uint64_t token, rng;
    uint8_t *frame, *body;
};

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fputs("bench_store: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* A number behind NAME in a file of /proc. */
static uint64_t proc(const char *path, const char *name)
{
    char line[256];
    uint64_t v = 0;
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name)))
            v = strtoull(line + strlen(name), NULL, 10);
    if (f)
        fclose(f);
    return v;
}

static uint64_t rss(void)
{
    return proc("/proc/self/status", "VmRSS:") * 1024;
}

static unsigned descriptors(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n < 3 ? 0 : n - 3; /* ".", ".." and the one that reads */
}

static struct hx_uuid uuid(unsigned x)
{
    return (struct hx_uuid){{(uint8_t)x, (uint8_t)(x >> 8), 0x55, 2}};
}

/* ---- the node ---- */
static void open_node(struct bench *b)
{
    char why[HX_WHY_MAX];
    if (hx_datadir_open(b->o->dir, "a1", "az-a", &b->data, why))
        die("%s: %s", b->o->dir, why);
    if (hx_farm_new(b->data, 0, &b->farm))
        die("no farm");
    struct hx_node_cfg cfg = {
        .name = "a1", .zone = "az-a", .incarnation = *hx_datadir_incarnation(b->data), .farm = b->farm, .seed = 1};
    int err = hx_node_new(&cfg, hx_clock_mono_ms(), &b->node);
    if (err)
        die("hx_node_new: HX%04d", -err);
}

static void make_geometry(struct bench *b, unsigned v)
{
    struct hx_geometry *g = &b->geometry[v];
    *g = (struct hx_geometry){.volume = uuid(1000 + v), .pg_bytes = b->o->mib << 20, .lal = 1u << 20, .epoch = {1}};
    snprintf(g->name, sizeof g->name, "vol%u", v);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        struct hx_server s = {.incarnation = i ? uuid(i) : *hx_datadir_incarnation(b->data)};
        snprintf(s.name, sizeof s.name, "%c%u", "abc"[i / 2], i % 2 + 1);
        snprintf(s.zone, sizeof s.zone, "az-%c", "abc"[i / 2]);
        snprintf(s.url, sizeof s.url, "https://127.0.0.1:%u", 9600 + i);
        if (hx_geometry_add_server(g, &s))
            die("geometry");
    }
    for (unsigned i = 0; i * b->o->volumes + v < b->o->segments; i++)
        if (hx_geometry_add_pg(g, &(struct hx_pg_members){{0, 1, 2, 3, 4, 5}}))
            die("geometry");
}

static void make(struct bench *b, const struct options *o)
{
    *b = (struct bench){.o = o, .rng = 88172645463325252u};
    b->geometry = calloc(o->volumes, sizeof *b->geometry);
    b->lsn = calloc(o->volumes, sizeof *b->lsn);
    b->segs = calloc(o->segments, sizeof *b->segs);
    b->frame = malloc(HX_FRAME_MAX);
    b->body = malloc(1u << 20);
    if (!b->geometry || !b->lsn || !b->segs || !b->frame || !b->body || hx_frame_builder_new(&b->builder) ||
        hx_history_push(&b->history, (struct hx_history_entry){{1}, {0}, {0}, 1u << 20}))
        die("out of memory");
}

/* Answers are looked at for their status only. */
static void settle(struct bench *b)
{
    struct hx_node_effect e;
    while (hx_node_next(b->node, &e)) {
        struct hx_reply_head h;
        struct hx_bytes body;
        if (e.kind == HX_NODE_REPLY && (hx_reply_decode(e.body.p, e.body.len, &h, &body) || h.status))
            die("answer: HX%04d", -h.status);
        if (e.kind == HX_NODE_REPLY && h.type == HX_MSG_APPEND && body.len >= HX_ACK_BYTES) {
            struct hx_ack a;
            struct hx_dec d = hx_dec_init(body.p, body.len);
            hx_ack_decode(&a, &d);
            if (a.status)
                die("acknowledgement: HX%04d", -a.status);
        }
        if (e.kind == HX_NODE_SEND)
            hx_node_answer(b->node, hx_clock_mono_ms(), e.call, HX_E_CONNECT, (struct hx_bytes){NULL, 0});
    }
}

static void ask(struct bench *b, unsigned type, unsigned k, const uint8_t *p, size_t len)
{
    unsigned v = k % b->o->volumes;
    struct hx_msg_head h = {.type = (uint16_t)type, .req_id = 1, .volume = b->geometry[v].volume,
                            .pg = k / b->o->volumes, .epoch = {1}, .owner = uuid(900),
                            .server = *hx_datadir_incarnation(b->data)};
    struct hx_bytes body = {p, len};
    uint8_t *m = malloc(HX_MSG_HEAD + len);
    if (!m)
        die("out of memory");
    hx_msg_head_encode(&h, &body, 1, m);
    memcpy(m + HX_MSG_HEAD, p, len);
    uint64_t now = hx_clock_mono_ms();
    hx_node_request(b->node, now, now * 1000, ++b->token, 1, HX_NODE_ROLE_WRITER, "w",
                    (struct hx_bytes){m, HX_MSG_HEAD + len});
    free(m);
}

static void format(struct bench *b, unsigned k)
{
    struct hx_enc e = hx_enc_init(b->body, 1u << 20);
    hx_geometry_encode(&b->geometry[k % b->o->volumes], &e);
    hx_history_encode(&b->history, &e);
    if (e.err)
        die("geometry is too large");
    ask(b, HX_MSG_FORMAT, k, b->body, e.len);
    hx_node_flush(b->node);
    settle(b);
}

/* ---- load ---- */
static uint64_t dice(struct bench *b)
{
    b->rng ^= b->rng << 13;
    b->rng ^= b->rng >> 7;
    b->rng ^= b->rng << 17;
    return b->rng;
}

/* COUNT images, of pages FIRST + i x STEP modulo the group's, to segment K; durable with the next flush. */
static void append(struct bench *b, unsigned k, uint64_t first, uint64_t step, unsigned count, unsigned bytes)
{
    static uint64_t image[HX_PAGE_SIZE / 8];
    unsigned v = k % b->o->volumes;
    uint64_t pages = (b->o->mib << 20) / HX_PAGE_SIZE, vdl = b->lsn[v];
    hx_frame_builder_reset(b->builder, &b->geometry[v].volume, k / b->o->volumes, HX_EPOCH(1),
                           HX_LSN(b->segs[k].last));
    for (unsigned i = 0; i < count; i++) {
        for (unsigned w = 0; w < (bytes + 7) / 8; w++)
            image[w] = dice(b) | 1;
        b->segs[k].last = ++b->lsn[v];
        hx_frame_builder_add(b->builder, HX_LSN(b->lsn[v]), (uint32_t)((first + i * step) % pages), HX_REC_IMAGE,
                             i + 1 == count ? HX_REC_CPL : 0, (struct hx_bytes){(const uint8_t *)image, bytes},
                             (struct hx_bytes){NULL, 0});
    }
    size_t n = hx_frame_builder_seal(b->builder, HX_LSN(vdl), HX_LSN(vdl), HX_LSN(vdl), 1, b->frame);
    struct hx_append_head h = {.vdl = HX_LSN(vdl), .floor = HX_LSN(vdl), .frame_count = 1};
    struct hx_enc e = hx_enc_init(b->body, 1u << 20);
    hx_append_head_encode(&h, &e);
    hx_enc_bytes(&e, b->frame, n);
    ask(b, HX_MSG_APPEND, k, b->body, e.len);
}

static void totals(const struct bench *b, struct fill *f)
{
    for (size_t i = 0; i < b->node->seg_count; i++) {
        const struct hx_seg *s = b->node->segs[i];
        if (s->error)
            die("a segment is not well: HX%04d", -s->error);
        f->index += hx_index_bytes(&s->index);
        f->pages += s->index.pages;
        f->versions += s->index.versions;
    }
}

static void tick(struct bench *b, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        hx_node_tick(b->node, hx_clock_mono_ms());
        settle(b);
    }
}

static void load(struct bench *b, uint64_t count, uint64_t step, struct fill *f)
{
    uint64_t done = 0, frames = 0;
    while (done < count) {
        unsigned n = count - done < FRAME_PAGES ? (unsigned)(count - done) : FRAME_PAGES;
        for (unsigned k = 0; k < b->o->segments; k++) {
            append(b, k, done * step, step, n, b->o->bytes);
            f->user += (uint64_t)n * b->o->bytes;
            if (++frames % FLUSH_FRAMES == 0) {
                hx_node_flush(b->node);
                settle(b);
            }
        }
        done += n;
        if (done % (64 * FRAME_PAGES) < FRAME_PAGES)
            tick(b, 1);
    }
    hx_node_flush(b->node);
    settle(b);
}

static void fill(struct bench *b, int out)
{
    struct fill f = {0};
    open_node(b);
    f.rss0 = rss();
    for (unsigned v = 0; v < b->o->volumes; v++)
        make_geometry(b, v);
    uint64_t start = now_ns(), pages = (b->o->mib << 20) / HX_PAGE_SIZE;
    for (unsigned k = 0; k < b->o->segments; k++)
        format(b, k);
    load(b, pages, 1, &f);
    load(b, pages * b->o->again / 100, 1000003, &f);
    tick(b, 100 + b->o->segments);
    f.ns = now_ns() - start;
    f.rss = rss();
    f.written = proc("/proc/self/io", "wchar:");
    totals(b, &f);
    if (write(out, &f, sizeof f) != sizeof f)
        die("pipe");
    kill(getpid(), SIGKILL);
}

/* ---- the other process ---- */
/* Where each segment's records end. */
static void find_ends(struct bench *b)
{
    for (unsigned k = 0; k < b->o->segments; k++) {
        unsigned v = k % b->o->volumes;
        const struct hx_seg *s = hx_node_find(b->node, &b->geometry[v].volume, k / b->o->volumes);
        if (!s)
            die("a segment is not there");
        b->segs[k].last = s->chain.scl;
        b->lsn[v] = s->chain.scl > b->lsn[v] ? s->chain.scl : b->lsn[v];
    }
}

static unsigned by_checkpoint(const struct bench *b)
{
    unsigned n = 0;
    for (size_t i = 0; i < b->node->seg_count; i++)
        n += b->node->segs[i]->ckpt.loaded > 0;
    return n;
}

struct figures {
    double reopen_ms, append_ms, round_ms, fill_s;
    uint64_t rss0, rss;
    unsigned loaded, fds;
};

/* What F does not know yet it gets from here. */
static void reopen(struct bench *b, struct figures *g, struct fill *f)
{
    g->rss0 = rss();
    uint64_t t = now_ns();
    open_node(b);
    uint64_t opened = now_ns();
    for (unsigned v = 0; v < b->o->volumes; v++)
        make_geometry(b, v);
    find_ends(b);
    uint64_t before = now_ns();
    append(b, 0, 0, 1, 1, HX_PAGE_SIZE);
    hx_node_flush(b->node);
    settle(b);
    g->append_ms = (double)(now_ns() - before) / 1e6;
    g->reopen_ms = (double)(opened - t) / 1e6;
    g->loaded = by_checkpoint(b);
    g->rss = rss();
    totals(b, f);
}

static void group_commits(struct bench *b, struct figures *g)
{
    uint64_t spent = 0;
    for (unsigned r = 0; r < b->o->rounds + 2; r++) {
        for (unsigned k = 0; k < b->o->segments; k++)
            append(b, k, dice(b), 1, 1, HX_PAGE_SIZE);
        uint64_t t = now_ns();
        hx_node_flush(b->node);
        spent += r < 2 ? 0 : now_ns() - t; /* the first ones make files */
        settle(b);
    }
    g->round_ms = b->o->rounds ? (double)spent / 1e6 / b->o->rounds : 0;
    g->fds = descriptors();
}

static void print(const struct options *o, const struct fill *f, const struct figures *g)
{
    double per_page = f->pages ? (double)f->index / (double)f->pages : 0;
    double per_page_rss = f->pages ? ((double)f->rss - (double)f->rss0) / (double)f->pages : 0;
    double written = f->user ? (double)f->written / (double)f->user : 0;
    double tib = (double)o->segments * (double)o->mib / (1u << 20);
    if (o->json) {
        printf("{\"segments\": %u, \"volumes\": %u, \"mib\": %llu, \"pages\": %llu, \"versions\": %llu, "
               "\"index_bytes\": %llu, \"index_bytes_per_page\": %.2f, \"rss_bytes\": %llu, "
               "\"rss_grown_per_page\": %.2f, "
               "\"fill_s\": %.1f, \"written_per_user_byte\": %.2f, \"reopen_ms\": %.0f, \"by_checkpoint\": %u, "
               "\"first_append_ms\": %.1f, \"reopened_rss_bytes\": %llu, \"round_ms\": %.2f, \"descriptors\": %u}\n",
               o->segments, o->volumes, (unsigned long long)o->mib, (unsigned long long)f->pages,
               (unsigned long long)f->versions, (unsigned long long)f->index, per_page, (unsigned long long)f->rss,
               per_page_rss, (double)f->ns / 1e9, written, g->reopen_ms, g->loaded, g->append_ms,
               (unsigned long long)g->rss, g->round_ms, g->fds);
        return;
    }
    printf("%u segments of %llu MiB in %u volumes, %llu pages, %llu versions; filled in %.1f s\n", o->segments,
           (unsigned long long)o->mib, o->volumes, (unsigned long long)f->pages, (unsigned long long)f->versions,
           (double)f->ns / 1e9);
    printf("index       %.1f MiB, %.2f bytes a page; per TiB %.0f MiB\n", (double)f->index / (1u << 20), per_page,
           (double)f->index / (1u << 20) / tib);
    printf("resident    %.1f MiB (%.1f when empty), grown by %.2f bytes a page\n", (double)f->rss / (1u << 20),
           (double)f->rss0 / (1u << 20), per_page_rss);
    printf("written     %.2f bytes for each of the pages' content\n", written);
    printf("reopened    %.0f ms after kill -9%s, %u by checkpoint; first append %.1f ms; resident %.1f MiB\n",
           g->reopen_ms, o->cold ? ", caches dropped" : "", g->loaded, g->append_ms, (double)g->rss / (1u << 20));
    printf("round       %.2f ms to make one page in each segment durable; %u descriptors\n", g->round_ms, g->fds);
}

static void usage(void)
{
    fputs("usage: bench_store [--dir D] [--segments N] [--volumes V] [--mib M] [--bytes B] [--again PERCENT]\n"
          "                   [--rounds R] [--cold] [--keep] [--json] [--there]\n", stderr);
    exit(2);
}

static void parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"dir", 1, NULL, 'd'}, {"segments", 1, NULL, 's'}, {"volumes", 1, NULL, 'v'}, {"mib", 1, NULL, 'm'},
        {"bytes", 1, NULL, 'b'}, {"again", 1, NULL, 'a'}, {"rounds", 1, NULL, 'r'}, {"cold", 0, NULL, 'c'},
        {"keep", 0, NULL, 'k'}, {"json", 0, NULL, 'j'}, {"there", 0, NULL, 't'}, {NULL, 0, NULL, 0}};
    unsigned *numbers[256] = {['s'] = &o->segments, ['v'] = &o->volumes, ['b'] = &o->bytes, ['a'] = &o->again,
                              ['r'] = &o->rounds};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == 'd')
            o->dir = optarg;
        else if (c == 'm')
            o->mib = strtoull(optarg, NULL, 10);
        else if (c == 'c')
            o->cold = true;
        else if (c == 't')
            o->there = true;
        else if (c == 'k')
            o->keep = true;
        else if (c == 'j')
            o->json = true;
        else if (c < 256 && numbers[c])
            *numbers[c] = (unsigned)strtoul(optarg, NULL, 10);
        else
            usage();
    }
    if (optind < argc || !o->segments || !o->volumes || o->volumes > o->segments || !o->mib || !o->bytes ||
        o->bytes > HX_PAGE_SIZE)
        usage();
}

static void drop_caches(void)
{
    sync();
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "3", 1) != 1)
        fputs("bench_store: caches cannot be dropped: what follows is warm\n", stderr);
    if (fd >= 0)
        close(fd);
}

static struct fill first_process(struct bench *b)
{
    int fds[2], status;
    struct fill f;
    if (pipe(fds))
        die("pipe");
    pid_t child = fork();
    if (child == 0) {
        close(fds[0]);
        fill(b, fds[1]);
        _exit(1);
    }
    close(fds[1]);
    if (child < 0 || read(fds[0], &f, sizeof f) != sizeof f)
        die("the first process ended early");
    close(fds[0]);
    if (waitpid(child, &status, 0) < 0 || !WIFSIGNALED(status))
        die("the first process was not killed");
    return f;
}

int main(int argc, char **argv)
{
    char own[] = "/tmp/bench_store.XXXXXX", command[64];
    struct options o = {.segments = 1, .volumes = 1, .mib = 10240, .bytes = 16, .rounds = 100};
    struct bench b;
    struct fill f = {0};
    struct figures g = {0};
    parse(argc, argv, &o);
    bool made = !o.dir;
    if (made && !(o.dir = mkdtemp(own)))
        die("no directory");
    make(&b, &o);
    if (!o.there)
        f = first_process(&b);
    if (o.cold)
        drop_caches();
    struct fill again = {0};
    reopen(&b, &g, &again);
    if (o.there)
        f = again;
    group_commits(&b, &g);
    print(&o, &f, &g);
    if (made && !o.keep) {
        snprintf(command, sizeof command, "rm -rf %s", own);
        return system(command) != 0;
    }
    return 0;
}
