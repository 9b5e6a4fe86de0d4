/*
 * bench_ratios.c - the store alone against plain system calls on the same disk, in one run.
 *
 *   bench_ratios [--dir D] [--quick] [--fresh] [--json] [ROW ...]
 *
 * What is compared is done in turn, some of one and some of the other, so that a disk or a machine that slows down does
 * so for both; a ratio is the median over the pairs.  The store is driven by the door that the daemon uses
 * (hexad/node.h), one segment, real files, no sockets; the plain side writes to a zero-filled file, or reads the same
 * bytes of the same log files.  Rows:
 *
 *   append 4 KiB, 256 KiB   APPEND until its answer, against pwrite + fdatasync of that many bytes: rates; all pages
 *                           were overwritten some times before, in order, so that log files are used again; ticks come
 *                           between the turns.  And the latter in a log that only grows, against a plain file that
 *                           grows: there both pay the file system for finding blocks and saying that they are written
 *   read, chain             pages at the newest read point in random order (hx_page_read), of one image, or of an
 *                           image and 8 patches that came one by one, against pread of the image's 4 KiB: rates; warm;
 *                           cold, with the files dropped from the system's cache and all that the store keeps; and
 *                           warm, but four times as many pages, more than the store keeps as they were made
 *   compaction, scrub       commits of 4 KiB come at fixed times, as many as half of what the disk does; the time from
 *                           when one was due to its answer, p99, while background work goes on against while there is
 *                           none
 *
 * Prints ratios; asserts nothing but that everything succeeds.
 */
#include "load.h"

#include <fcntl.h>
#include <getopt.h>
#include <time.h>
#include <unistd.h>

#define FILE_BYTES (64u << 20)
#define PATCHES 8u
#define HOT 1024u  /* pages with patches */
#define MANY 4096u /* pages more than the store keeps as they were made (made.c) */

struct options {
    const char *dir;
    bool quick, fresh, json;
    char *const *only;
};
struct row {
    const char *key, *name;
    double target;
    bool lower; /* the ratio is not to exceed the target */
};
struct out {
    const struct options *o;
    bool any;
};

static bool wanted(const struct options *o, const char *key)
{
    if (!*o->only)
        return true;
    for (char *const *k = o->only; *k; k++)
        if (!strcmp(*k, key))
            return true;
    return false;
}

/* Median of COUNT ratios; ours and theirs in UNIT, for information. */
static void print(struct out *out, const struct row *r, double *ratios, size_t count, const char *unit, double ours,
                  double theirs)
{
    double m = quantile(ratios, count, 0.5), low = quantile(ratios, count, 0.1), high = quantile(ratios, count, 0.9);
    bool met = r->lower ? m <= r->target : m >= r->target;
    if (out->o->json)
        printf("%s{\"name\": \"%s\", \"unit\": \"%s\", \"store\": %.3g, \"plain\": %.3g, \"ratio\": %.3f, "
               "\"p10\": %.3f, \"p90\": %.3f, \"pairs\": %zu, \"target\": %g, \"better\": \"%s\"}",
               out->any ? ",\n " : "[", r->name, unit, ours, theirs, m, low, high, count, r->target,
               r->lower ? "lower" : "higher");
    else
        printf("%-46s %-4s %9.4g %9.4g  %6.2f (%.2f to %.2f of %3zu)  %s %g  %s\n", r->name, unit, ours, theirs, m, low,
               high, count, r->lower ? "<=" : ">=", r->target, met ? "met" : "MISSED");
    fflush(stdout);
    out->any = true;
}

/* ---- a directory with one segment ---- */
struct place {
    struct load load;
    char dir[512];
};

static struct load *place_open(const struct options *o, struct place *p, const char *name, uint64_t mib)
{
    snprintf(p->dir, sizeof p->dir, "%s/%s", o->dir, name);
    p->load.dir = p->dir;
    p->load.segments = p->load.volumes = 1;
    p->load.mib = mib;
    load_init(&p->load);
    load_open(&p->load);
    load_format(&p->load, 0);
    return &p->load;
}

static void remove_dir(const char *dir)
{
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command))
        die("%s: cannot be removed", dir);
}

static void place_close(struct place *p)
{
    load_close(&p->load);
    remove_dir(p->dir);
}

/* ---- append ---- */
struct plain {
    int fd;
    bool grows; /* it is cut off when it has its size; not in the time that is measured */
    off_t at;
};

static void plain_write(struct plain *f, const uint8_t *p, size_t len)
{
    if (pwrite(f->fd, p, len, f->at) != (ssize_t)len || fdatasync(f->fd))
        die("write: %s", strerror(errno));
    f->at += (off_t)len;
}

/* Nanoseconds that COUNT commits of BYTES took; *AT: page that is written next; NULL: any. */
static double store_appends(struct load *l, unsigned count, unsigned bytes, uint64_t *at)
{
    uint64_t spent = 0;
    for (unsigned i = 0; i < count; i++) {
        load_images(l, 0, at ? *at : load_dice(l), 1, bytes / HX_PAGE_SIZE, HX_PAGE_SIZE);
        if (at)
            *at += bytes / HX_PAGE_SIZE;
        uint64_t t = now_ns();
        load_send(l);
        load_flush(l);
        spent += now_ns() - t;
    }
    return (double)spent;
}

static double plain_writes(struct plain *f, const uint8_t *p, unsigned count, unsigned bytes)
{
    if (f->at + (off_t)count * bytes > (off_t)FILE_BYTES) {
        f->at = 0;
        if (f->grows && (ftruncate(f->fd, 0) || fsync(f->fd)))
            die("truncate: %s", strerror(errno));
    }
    uint64_t t = now_ns();
    for (unsigned i = 0; i < count; i++)
        plain_write(f, p, bytes);
    return (double)(now_ns() - t);
}

/*
 * A virtual machine that gives its free memory back gets each page anew from its host, which may take longer than
 * to write it.  The plain side writes over pages that its file has already; so that the other side's new ones cost no
 * more than they do where memory is in use, as on a server after its first hours, as many are used and freed before
 * each turn.  Not with --fresh.
 */
static void touch_memory(const char *path, size_t bytes)
{
    static const uint8_t piece[64u << 10];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (size_t i = 0; i < bytes; i += sizeof piece)
        if (fd < 0 || write(fd, piece, sizeof piece) < 0)
            die("%s: %s", path, strerror(errno));
    close(fd);
    unlink(path);
}

/* What the node does for itself, as between two requests; the log files that it no longer needs are used again. */
static void idle_turns(struct load *l)
{
    for (unsigned i = 0; i < 4; i++)
        load_tick(l);
}

/* Everything was overwritten some times, so that the log has the files that it goes on with. */
static void turn_over(struct load *l, uint64_t *at)
{
    for (unsigned i = 0; i < 4 * l->mib; i++) {
        store_appends(l, 4, 256u << 10, at);
        idle_turns(l);
    }
}

static void append(struct out *out, const struct row *r, unsigned bytes, bool grows)
{
    uint64_t at = 0, *next = grows ? NULL : &at;
    unsigned pairs = out->o->quick ? 24 : 96, each = 8;
    double ratios[96], ours = 0, theirs = 0;
    struct place p = {0};
    char path[600], scratch[600];
    struct plain f = {.grows = grows};
    uint8_t *noise = malloc(bytes);
    struct load *l = place_open(out->o, &p, "append", grows ? 1024 : 64);
    snprintf(path, sizeof path, "%s/plain", out->o->dir);
    snprintf(scratch, sizeof scratch, "%s/scratch", out->o->dir);
    f.fd = zero_filled(path, FILE_BYTES);
    f.at = grows ? (off_t)FILE_BYTES : 0;
    for (unsigned i = 0; i < bytes; i++)
        noise[i] = (uint8_t)load_dice(l);
    if (!grows)
        turn_over(l, next);
    store_appends(l, 8, bytes, next);
    for (unsigned i = 0; i < pairs; i++) {
        double a = 0, b = 0;
        if (!out->o->fresh)
            touch_memory(scratch, (size_t)each * bytes * 2);
        if (!grows)
            idle_turns(l);
        if (i % 2)
            a = store_appends(l, each, bytes, next);
        b = plain_writes(&f, noise, each, bytes);
        if (i % 2 == 0)
            a = store_appends(l, each, bytes, next);
        ratios[i] = b / a;
        ours += a;
        theirs += b;
    }
    double n = (double)pairs * each * 1e9;
    print(out, r, ratios, pairs, "1/s", n / ours, n / theirs);
    close(f.fd);
    unlink(path);
    free(noise);
    place_close(&p);
}

/* ---- reads ---- */
#define LOGS 64u
struct logs { /* descriptors of a segment's log files, by slot */
    int fd[LOGS];
    size_t count;
};
struct spot { /* of a page's image */
    int fd;
    off_t off;
};

static void logs_open(const struct place *p, struct logs *g)
{
    const struct hx_seg *s = p->load.node->segs[0];
    char uuid[33], path[700];
    hx_uuid_format(&s->at.volume, uuid);
    g->count = s->log.slot_count < LOGS ? s->log.slot_count : LOGS;
    for (size_t i = 0; i < g->count; i++) {
        if (!s->log.files[i]) {
            g->fd[i] = -1;
            continue;
        }
        snprintf(path, sizeof path, "%s/segments/%s-0/%016llx", p->dir, uuid, (unsigned long long)s->log.files[i]->id);
        g->fd[i] = open(path, O_RDONLY | O_CLOEXEC);
        if (g->fd[i] < 0)
            die("%s: %s", path, strerror(errno));
        posix_fadvise(g->fd[i], 0, 0, POSIX_FADV_RANDOM);
    }
}

static void logs_close(struct logs *g)
{
    for (size_t i = 0; i < g->count; i++)
        if (g->fd[i] >= 0)
            close(g->fd[i]);
}

/* Nothing of them is in the system's cache afterwards. */
static void logs_drop(const struct logs *g)
{
    for (size_t i = 0; i < g->count; i++)
        if (g->fd[i] >= 0 && (fsync(g->fd[i]) || posix_fadvise(g->fd[i], 0, 0, POSIX_FADV_DONTNEED)))
            die("fadvise: %s", strerror(errno));
}

static struct spot spot_of(const struct place *p, const struct logs *g, uint32_t page)
{
    const struct hx_seg *s = p->load.node->segs[0];
    struct hx_version v, base = {0};
    for (struct hx_index_walk w = hx_index_walk(&s->index, page); hx_index_next(&w, &v);)
        base = v;
    if (base.kind != HX_REC_IMAGE || base.codec || base.len != HX_PAGE_SIZE || base.file >= g->count)
        die("a page is not as it was made");
    return (struct spot){g->fd[base.file], (off_t)base.pos};
}

/* Every page once. */
static void fill(struct load *l)
{
    unsigned pages = (unsigned)((l->mib << 20) / HX_PAGE_SIZE), each = 60;
    for (unsigned i = 0; i < pages; i += each) {
        load_images(l, 0, i, 1, pages - i < each ? pages - i : each, HX_PAGE_SIZE);
        load_send(l);
        if (i / each % 32 == 31)
            load_flush(l);
    }
    load_flush(l);
}

/* COUNT pages, STEP apart, get PATCHES patches each, in commits of 4 that are not neighbours. */
static void patch(struct load *l, unsigned count, unsigned step)
{
    for (unsigned round = 0; round < PATCHES; round++)
        for (unsigned i = 0; i < count / 4; i++) {
            load_patches(l, 0, i * (step * 4), step, 4, 64);
            load_send(l);
            if (i % 64 == 63)
                load_flush(l);
        }
    load_flush(l);
}

static double store_reads(struct load *l, const uint32_t *pages, unsigned count)
{
    static uint8_t page[HX_PAGE_SIZE];
    struct hx_seg *s = l->node->segs[0];
    struct hx_read_page r;
    uint64_t t = now_ns();
    for (unsigned i = 0; i < count; i++)
        if (hx_page_read(s, pages[i], l->last[0], 0, page, &r) || r.state != HX_READ_RAW)
            die("a page cannot be read");
    return (double)(now_ns() - t);
}

static double plain_reads(const struct spot *spots, unsigned count)
{
    static uint8_t page[HX_PAGE_SIZE];
    uint64_t t = now_ns();
    for (unsigned i = 0; i < count; i++)
        if (pread(spots[i].fd, page, sizeof page, spots[i].off) != (ssize_t)sizeof page)
            die("pread: %s", strerror(errno));
    return (double)(now_ns() - t);
}

/* COUNT pages of ALL, STEP apart, in no order, none twice. */
static void draw(struct load *l, uint32_t *pages, unsigned all, unsigned step, unsigned count)
{
    static uint32_t deck[1u << 16];
    for (unsigned i = 0; i < all; i++)
        deck[i] = i;
    for (unsigned i = 0; i < count; i++) {
        unsigned k = i + (unsigned)(load_dice(l) % (all - i));
        uint32_t was = deck[i];
        pages[i] = step * (deck[i] = deck[k]);
        deck[k] = was;
    }
}

/* Nothing that was read is anywhere any more. */
static void forget(struct load *l, const struct logs *g)
{
    struct hx_seg *s = l->node->segs[0];
    hx_bodies_forget(&l->node->env.bodies, s);
    hx_made_forget(&l->node->env.made, s);
    logs_drop(g);
}

/* HOT: pages with patches, or 0. */
static void reads(struct out *out, const struct row *r, unsigned hot, bool cold)
{
    unsigned mib = out->o->quick ? 32 : 128, pairs = cold ? 20 : 500, each = 100;
    unsigned all = hot ? hot : mib * 256, step = !hot ? 1 : hot == MANY ? 2 : 7;
    double ratios[500], ours = 0, theirs = 0;
    uint32_t pages[100];
    struct spot spots[100];
    struct place p = {0};
    struct logs g = {0};
    struct load *l = place_open(out->o, &p, "read", mib);
    fill(l);
    if (hot)
        patch(l, hot, step);
    logs_open(&p, &g);
    for (unsigned i = 0; i < pairs; i++) {
        double a = 0, b = 0;
        for (unsigned k = 0; k < 2; k++) {
            draw(l, pages, all, step, each);
            for (unsigned m = 0; m < each; m++)
                spots[m] = spot_of(&p, &g, pages[m]);
            if (cold)
                forget(l, &g);
            if (i % 2 == k)
                a = store_reads(l, pages, each);
            else
                b = plain_reads(spots, each);
        }
        ratios[i] = b / a;
        ours += a;
        theirs += b;
    }
    double n = (double)pairs * each * 1e9;
    print(out, r, ratios, pairs, "1/s", n / ours, n / theirs);
    logs_close(&g);
    place_close(&p);
}

/* ---- background work under commits ---- */
struct arrivals {
    struct load *l;
    uint64_t every_ns, tick_ns; /* between commits; when the node wants to be called */
    double *took;
    size_t count;
};

static void sleep_until(uint64_t t)
{
    struct timespec ts = {.tv_sec = (time_t)(t / 1000000000), .tv_nsec = (long)(t % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR) {
    }
}

/* COUNT commits, each at its time; in between what the node does for itself, if it may. */
static void commits(struct arrivals *a, unsigned count, bool work)
{
    uint64_t due = now_ns() + a->every_ns;
    a->tick_ns = 0;
    while (count) {
        uint64_t now = now_ns(), first = due;
        unsigned n = 0;
        for (; n < count && due <= now; n++, due += a->every_ns) {
            load_images(a->l, 0, load_dice(a->l), 1, 1, HX_PAGE_SIZE);
            load_send(a->l);
        }
        if (n) {
            load_flush(a->l);
            uint64_t done = now_ns();
            for (unsigned i = 0; i < n; i++)
                a->took[a->count++] = (double)(done - (first + i * a->every_ns));
            count -= n;
        } else if (work && a->tick_ns <= now) {
            a->tick_ns = now + load_tick(a->l) * 1000000;
        } else {
            sleep_until(work && a->tick_ns < due ? a->tick_ns : due);
        }
    }
}

static uint64_t interval(struct load *l)
{
    return (uint64_t)(2 * store_appends(l, 200, HX_PAGE_SIZE, NULL) / 200);
}

/* Of files that nobody has read; one that is under way goes on, and what it has asked for stays. */
static void ask_scrub(struct load *l, const struct logs *g)
{
    if (!l->node->segs[0]->scrub.under_way)
        logs_drop(g);
    for (size_t i = 0; i < l->node->seg_count; i++)
        hx_scrub_ask(l->node->segs[i]);
}

/* Three quarters of the log are garbage, and nobody needs it any more: so there is a lot to compact. */
static void make_garbage(struct load *l)
{
    unsigned pages = (unsigned)((l->mib << 20) / HX_PAGE_SIZE);
    l->lagging = true;
    for (unsigned i = 0; i < 3 * pages; i += 60) {
        load_images(l, 0, load_dice(l), 7919, 60, HX_PAGE_SIZE);
        load_send(l);
        if (i / 60 % 32 == 31)
            load_flush(l);
    }
    l->lagging = false;
    load_flush(l);
}

enum { WORK_COMPACTION, WORK_SCRUB };
static void background(struct out *out, const struct row *r, int what)
{
    enum { GROUPS = 15, PAIRS = 5, EACH = 40 };
    unsigned groups = out->o->quick ? 5 : GROUPS;
    double ratios[GROUPS], with[PAIRS * EACH], without[PAIRS * EACH], ours[GROUPS], theirs[GROUPS];
    struct place p = {0};
    struct logs g = {0};
    struct load *l = place_open(out->o, &p, "background", what == WORK_COMPACTION ? 64 : 128);
    fill(l);
    logs_open(&p, &g);
    for (unsigned i = 0; i < groups; i++) {
        struct arrivals on = {.l = l, .took = with}, off = {.l = l, .took = without};
        if (what == WORK_COMPACTION)
            make_garbage(l);
        on.every_ns = off.every_ns = interval(l);
        for (unsigned k = 0; k < PAIRS; k++) {
            commits(&off, EACH, false);
            if (what == WORK_SCRUB)
                ask_scrub(l, &g);
            commits(&on, EACH, true);
        }
        ours[i] = quantile(with, on.count, 0.99);
        theirs[i] = quantile(without, off.count, 0.99);
        ratios[i] = ours[i] / theirs[i];
    }
    print(out, r, ratios, groups, "ms", quantile(ours, groups, 0.5) / 1e6, quantile(theirs, groups, 0.5) / 1e6);
    logs_close(&g);
    place_close(&p);
}

static const struct row rows[] = {
    {"append4", "append 4 KiB / write + fdatasync", 0.85, false},
    {"append256", "append 256 KiB / write + fdatasync", 0.85, false},
    {"append256-grow", "  against a file that grows", 0.85, false},
    {"read", "page at a read point / pread", 0.7, false},
    {"read-cold", "  cold", 0.7, false},
    {"chain", "page of 8 patches / pread", 0.4, false},
    {"chain-cold", "  cold", 0.4, false},
    {"chain-many", "  warm, more pages than are kept", 0.4, false},
    {"compaction", "commit p99 during compaction / without", 1.5, true},
    {"scrub", "commit p99 during a scrub / without", 1.5, true},
};

static void run(struct out *out, const struct row *r)
{
    if (!strncmp(r->key, "append", 6))
        append(out, r, (unsigned)atoi(r->key + 6) << 10, strstr(r->key, "grow") != NULL);
    else if (!strncmp(r->key, "read", 4) || !strncmp(r->key, "chain", 5))
        reads(out, r, r->key[0] == 'r' ? 0 : strstr(r->key, "many") ? MANY : HOT, strstr(r->key, "cold") != NULL);
    else
        background(out, r, r->key[0] == 'c' ? WORK_COMPACTION : WORK_SCRUB);
}

static void usage(void)
{
    fputs("usage: bench_ratios [--dir D] [--quick] [--fresh] [--json] [ROW ...]\nrows:", stderr);
    for (size_t i = 0; i < HX_ARRAY_LEN(rows); i++)
        fprintf(stderr, " %s", rows[i].key);
    fputc('\n', stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"dir", 1, NULL, 'd'},   {"quick", 0, NULL, 'q'}, {"fresh", 0, NULL, 'f'},
                                          {"json", 0, NULL, 'j'}, {NULL, 0, NULL, 0}};
    char own[] = "/tmp/bench_ratios.XXXXXX";
    struct options o = {0};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == 'd')
            o.dir = optarg;
        else if (c == 'q')
            o.quick = true;
        else if (c == 'f')
            o.fresh = true;
        else if (c == 'j')
            o.json = true;
        else
            usage();
    }
    o.only = argv + optind;
    bool made = !o.dir;
    if (made && !(o.dir = mkdtemp(own)))
        die("no directory");
    struct out out = {.o = &o};
    for (size_t i = 0; i < HX_ARRAY_LEN(rows); i++)
        if (wanted(&o, rows[i].key))
            run(&out, &rows[i]);
    if (o.json)
        puts(out.any ? "]" : "[]");
    if (made)
        remove_dir(own);
    return 0;
}
