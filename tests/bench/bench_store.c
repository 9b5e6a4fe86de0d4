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
#include "load.h"

#include <dirent.h>
#include <getopt.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define FRAME_PAGES 60u
#define FLUSH_FRAMES 32u

struct options {
    const char *dir;
    unsigned segments, volumes, bytes, again, rounds;
    uint64_t mib;
    bool cold, keep, json, there;
};
struct fill { /* what the first process tells before it dies */
    uint64_t rss0, rss, index, pages, versions, written, user, ns;
};

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

static void totals(const struct load *b, struct fill *f)
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

static void tick(struct load *l, unsigned times)
{
    while (times-- > 0)
        load_tick(l);
}

static void fill_pages(struct load *l, const struct options *o, uint64_t count, uint64_t step, struct fill *f)
{
    uint64_t done = 0, frames = 0;
    while (done < count) {
        unsigned n = count - done < FRAME_PAGES ? (unsigned)(count - done) : FRAME_PAGES;
        for (unsigned k = 0; k < o->segments; k++) {
            load_images(l, k, done * step, step, n, o->bytes);
            load_send(l);
            f->user += (uint64_t)n * o->bytes;
            if (++frames % FLUSH_FRAMES == 0)
                load_flush(l);
        }
        done += n;
        if (done % (64 * FRAME_PAGES) < FRAME_PAGES)
            tick(l, 1);
    }
    load_flush(l);
}

static void fill(struct load *l, const struct options *o, int out)
{
    struct fill f = {.rss0 = rss()};
    load_open(l);
    uint64_t start = now_ns(), pages = (o->mib << 20) / HX_PAGE_SIZE;
    for (unsigned k = 0; k < o->segments; k++)
        load_format(l, k);
    fill_pages(l, o, pages, 1, &f);
    fill_pages(l, o, pages * o->again / 100, 1000003, &f);
    tick(l, 100 + o->segments);
    f.ns = now_ns() - start;
    f.rss = rss();
    f.written = proc("/proc/self/io", "wchar:");
    totals(l, &f);
    if (write(out, &f, sizeof f) != sizeof f)
        die("pipe");
    kill(getpid(), SIGKILL);
}

/* ---- the other process ---- */
/* Where each segment's records end. */
static void find_ends(struct load *l)
{
    for (unsigned k = 0; k < l->segments; k++) {
        unsigned v = k % l->volumes;
        const struct hx_seg *s = hx_node_find(l->node, &l->geometry[v].volume, k / l->volumes);
        if (!s)
            die("a segment is not there");
        l->last[k] = s->chain.scl;
        l->lsn[v] = s->chain.scl > l->lsn[v] ? s->chain.scl : l->lsn[v];
    }
}

static unsigned by_checkpoint(const struct load *b)
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
static void reopen(struct load *l, struct figures *g, struct fill *f)
{
    g->rss0 = rss();
    uint64_t t = now_ns();
    load_open(l);
    uint64_t opened = now_ns();
    find_ends(l);
    uint64_t before = now_ns();
    load_images(l, 0, 0, 1, 1, HX_PAGE_SIZE);
    load_send(l);
    load_flush(l);
    g->append_ms = (double)(now_ns() - before) / 1e6;
    g->reopen_ms = (double)(opened - t) / 1e6;
    g->loaded = by_checkpoint(l);
    g->rss = rss();
    totals(l, f);
}

static void group_commits(struct load *l, unsigned rounds, struct figures *g)
{
    uint64_t spent = 0;
    for (unsigned r = 0; r < rounds + 2; r++) {
        for (unsigned k = 0; k < l->segments; k++) {
            load_images(l, k, load_dice(l), 1, 1, HX_PAGE_SIZE);
            load_send(l);
        }
        uint64_t t = now_ns();
        hx_node_flush(l->node);
        spent += r < 2 ? 0 : now_ns() - t; /* the first ones make files */
        load_settle(l);
    }
    g->round_ms = rounds ? (double)spent / 1e6 / rounds : 0;
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

static struct fill first_process(struct load *l, const struct options *o)
{
    int fds[2], status;
    struct fill f;
    if (pipe(fds))
        die("pipe");
    pid_t child = fork();
    if (child == 0) {
        close(fds[0]);
        fill(l, o, fds[1]);
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
    struct fill f = {0};
    struct figures g = {0};
    parse(argc, argv, &o);
    bool made = !o.dir;
    if (made && !(o.dir = mkdtemp(own)))
        die("no directory");
    struct load l = {.dir = o.dir, .segments = o.segments, .volumes = o.volumes, .mib = o.mib};
    load_init(&l);
    if (!o.there)
        f = first_process(&l, &o);
    if (o.cold)
        drop_caches();
    struct fill again = {0};
    reopen(&l, &g, &again);
    if (o.there)
        f = again;
    group_commits(&l, o.rounds, &g);
    print(&o, &f, &g);
    if (made && !o.keep) {
        snprintf(command, sizeof command, "rm -rf %s", own);
        return system(command) != 0;
    }
    return 0;
}
