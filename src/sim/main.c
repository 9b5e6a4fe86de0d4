/*
 * main.c - hexad-sim: runs seeds, prints verdicts and the line that replays one, shrinks failures.
 *
 * The only file of the simulator that does I/O, looks at a clock and forks.  Workers run seeds in processes
 * of their own, so that an assertion, a crash or an endless loop in the code under test is a verdict like any
 * other. Exit: 0 ok, 1 safety broken, 2 no progress, 3 fault of the harness (also: wrong arguments).
 */
#include "mutants.h"
#include "sim.h"

#include "hexad/err.h"

#include <errno.h>
#include <malloc.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SEED_SECONDS 300u /* of real time that a seed may take: an endless loop in the code under test */
#define SETS_MAX 64u

struct plan {
    uint64_t first, last;
    unsigned jobs, sets;
    double budget;
    bool json, trace, story, shrink, verbose, keep_going;
    const char *set[SETS_MAX], *mutant;
};
struct result { /* in memory that parent and workers share */
    uint64_t seed, hash, events, at_us;
    uint32_t exit, running;
    char invariant[8], text[512];
};
struct tally {
    uint64_t seeds, events, failed[4], first_bad, last;
    double began;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void print_line(void *ctx, const char *line)
{
    (void)ctx;
    puts(line);
}

static void draw(const struct plan *p, struct hx_sim_opts *o, uint64_t seed)
{
    hx_sim_opts_draw(o, seed);
    for (unsigned i = 0; i < p->sets; i++)
        (void)hx_sim_opts_set(o, p->set[i]);
}

static void run_seed(const struct hx_sim_opts *o, const struct plan *p, struct result *r)
{
    struct hx_sim s = {
        .opts = *o, .trace = p && (p->trace || p->story) ? print_line : NULL, .story = p && p->story};
    r->seed = o->seed;
    r->running = 1;
    alarm(SEED_SECONDS);
    hx_sim_run(&s);
    alarm(0);
    r->hash = s.hash;
    r->events = s.events;
    r->at_us = s.verdict.at_us;
    r->exit = (uint32_t)s.verdict.exit;
    memcpy(r->invariant, s.verdict.invariant, sizeof r->invariant);
    memcpy(r->text, s.verdict.text, sizeof r->text);
    r->running = 0;
    hx_sim_fini(&s);
}

/* A process that died while it ran a seed gives a verdict, too. */
static void judge_death(struct result *r, int status)
{
    r->running = 0;
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    r->exit = sig == SIGALRM ? HX_SIM_STUCK : HX_SIM_UNSAFE;
    snprintf(r->invariant, sizeof r->invariant, "%s", sig == SIGALRM ? "I15" : "CRASH");
    snprintf(r->text, sizeof r->text, "%s (%s)",
             sig == SIGALRM ? "an endless loop" : "the code under test stopped itself",
             sig ? strsignal(sig) : "exit");
    r->hash = r->events = 0;
}

/* Runs it in a process of its own. */
static void try_seed(const struct hx_sim_opts *o, struct result *shared)
{
    fflush(NULL);
    shared->running = 1;
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(HX_SIM_HARNESS);
        run_seed(o, NULL, shared);
        _exit(0);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0) {
        fprintf(stderr, "hexad-sim: cannot fork: %s\n", strerror(errno));
        exit(HX_SIM_HARNESS);
    }
    if (shared->running)
        judge_death(shared, status);
}

/* ---- printing ---- */
static void print_replay(const struct plan *p, const struct hx_sim_opts *o)
{
    struct hx_sim_opts drawn;
    hx_sim_opts_draw(&drawn, o->seed);
    printf("hexad-sim%s --seed %llu", p->mutant ? "-mutants" : "", (unsigned long long)o->seed);
    if (p->mutant)
        printf(" --mutant %s", p->mutant);
    for (unsigned i = 0; i < HX_SIM_OPT_COUNT; i++)
        if (o->v[i] != drawn.v[i])
            printf(" --set %s=%llu", hx_sim_opt_name[i], (unsigned long long)o->v[i]);
}

static void print_json_text(const char *text)
{
    putchar('"');
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else
            putchar((unsigned char)*text < ' ' ? ' ' : *text);
    putchar('"');
}

static const char *exit_name(uint32_t e)
{
    static const char *const names[] = {"ok", "safety broken", "no progress", "fault of the harness"};
    return names[e < 4 ? e : 3];
}

static void print_result(const struct plan *p, const struct hx_sim_opts *o, const struct result *r)
{
    if (p->json) {
        printf("{\"seed\": %llu, \"result\": \"%s\", \"hash\": \"%016llx\", \"events\": %llu",
               (unsigned long long)r->seed, exit_name(r->exit), (unsigned long long)r->hash,
               (unsigned long long)r->events);
        if (r->exit) {
            printf(", \"invariant\": \"%s\", \"at_us\": %llu, \"text\": ", r->invariant,
                   (unsigned long long)r->at_us);
            print_json_text(r->text);
        }
        printf(", \"options\": {");
        for (unsigned i = 0; i < HX_SIM_OPT_COUNT; i++)
            printf("%s\"%s\": %llu", i ? ", " : "", hx_sim_opt_name[i], (unsigned long long)o->v[i]);
        printf("}}\n");
        return;
    }
    char text[2048];
    if (p->first == p->last) {
        hx_sim_opts_print(o, text, sizeof text);
        printf("seed %llu\noptions %s\nevents %llu\nhash %016llx\n", (unsigned long long)r->seed, text,
               (unsigned long long)r->events, (unsigned long long)r->hash);
    }
    if (r->exit) {
        printf("seed %llu: %s: %s at %llu.%06llu s: %s\nreplay: ", (unsigned long long)r->seed,
               exit_name(r->exit), r->invariant[0] ? r->invariant : "-",
               (unsigned long long)(r->at_us / 1000000), (unsigned long long)(r->at_us % 1000000), r->text);
        print_replay(p, o);
        putchar('\n');
    } else if (p->first == p->last || p->verbose) {
        printf("seed %llu: ok %016llx\n", (unsigned long long)r->seed, (unsigned long long)r->hash);
    }
    fflush(stdout);
}

/* ---- shrinking: the same failure with fewer faults and operations ---- */
static bool same_failure(const struct result *a, const struct result *b)
{
    return a->exit == b->exit && strcmp(a->invariant, b->invariant) == 0;
}

static bool try_smaller(struct hx_sim_opts *o, unsigned which, uint64_t value, const struct result *want,
                        struct result *shared)
{
    struct hx_sim_opts t = *o;
    if (t.v[which] <= value)
        return false;
    t.v[which] = value;
    try_seed(&t, shared);
    if (!same_failure(want, shared))
        return false;
    *o = t;
    return true;
}

static void shrink(const struct plan *p, struct hx_sim_opts *o, const struct result *failure,
                   struct result *shared)
{
    static const unsigned one[] = {HX_OPT_clients, HX_OPT_programs, HX_OPT_pgs_max};
    struct result want = *failure;
    bool any;
    do {
        any = false;
        for (unsigned i = HX_OPT_net_late_ppm; i < HX_SIM_OPT_COUNT; i++)
            any |= try_smaller(o, i, 0, &want, shared);
        any |= try_smaller(o, HX_OPT_net_jitter_us, 0, &want, shared);
        any |= try_smaller(o, HX_OPT_big_pct, 0, &want, shared);
        any |= try_smaller(o, HX_OPT_servers, 6, &want, shared);
        for (unsigned i = 0; i < sizeof one / sizeof *one; i++)
            any |= try_smaller(o, one[i], 1, &want, shared);
        for (uint64_t cut = o->v[HX_OPT_ops] / 2; cut > 0; cut /= 2)
            while (o->v[HX_OPT_ops] > cut &&
                   try_smaller(o, HX_OPT_ops, o->v[HX_OPT_ops] - cut, &want, shared))
                any = true;
        fprintf(stderr, "shrinking: %llu operations\n", (unsigned long long)o->v[HX_OPT_ops]);
    } while (any);
    try_seed(o, shared);
    printf("shrunk: ");
    print_replay(p, o);
    printf("\n        %s: %s\n", shared->invariant, shared->text);
}

/* ---- one seed ---- */
static int one(const struct plan *p, struct result *shared)
{
    struct hx_sim_opts o;
    draw(p, &o, p->first);
    if (p->trace || p->story)
        run_seed(&o, p, shared); /* here, so that a debugger sees it */
    else
        try_seed(&o, shared);
    struct result r = *shared;
    print_result(p, &o, &r);
    if (p->shrink && r.exit)
        shrink(p, &o, &r, shared);
    return (int)r.exit;
}

/* ---- many: workers take seeds from a shared counter ---- */
struct board {
    uint64_t next, stop;
    struct result r[]; /* one a job */
};

static void worker(const struct plan *p, struct board *b, unsigned job, int out)
{
    struct hx_sim_opts o;
    if (!freopen("/dev/null", "w", stderr))
        _exit(HX_SIM_HARNESS);
    while (!__atomic_load_n(&b->stop, __ATOMIC_RELAXED)) {
        uint64_t seed = __atomic_fetch_add(&b->next, 1, __ATOMIC_RELAXED);
        if (seed > p->last)
            break;
        draw(p, &o, seed);
        run_seed(&o, NULL, &b->r[job]);
        if (write(out, &b->r[job], sizeof b->r[job]) != (ssize_t)sizeof b->r[job])
            break;
    }
    _exit(0);
}

static pid_t start_worker(const struct plan *p, struct board *b, unsigned job, int out)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        worker(p, b, job, out);
    return pid;
}

static void count(const struct plan *p, struct tally *t, const struct result *r, struct board *b)
{
    struct hx_sim_opts o;
    t->seeds++;
    t->events += r->events;
    t->failed[r->exit < 4 ? r->exit : 3]++;
    if (r->exit && (t->first_bad == 0 || r->seed < t->first_bad))
        t->first_bad = r->seed;
    draw(p, &o, r->seed);
    if (r->exit || p->verbose)
        print_result(p, &o, r);
    bool over = p->budget > 0 && now() - t->began > p->budget;
    if (over || (r->exit && !p->keep_going))
        __atomic_store_n(&b->stop, 1, __ATOMIC_RELAXED);
}

static void summary(const struct plan *p, const struct tally *t)
{
    double seconds = now() - t->began;
    unsigned long long f[4];
    for (unsigned i = 0; i < 4; i++)
        f[i] = (unsigned long long)t->failed[i];
    if (p->json)
        printf("{\"seeds\": %llu, \"ok\": %llu, \"unsafe\": %llu, \"stuck\": %llu, \"harness\": %llu, "
               "\"events\": %llu, "
               "\"seconds\": %.2f, \"jobs\": %u, \"first\": %llu, \"last\": %llu, \"first_bad\": %llu}\n",
               (unsigned long long)t->seeds, f[0], f[1], f[2], f[3], (unsigned long long)t->events, seconds,
               p->jobs, (unsigned long long)p->first, (unsigned long long)t->last,
               (unsigned long long)t->first_bad);
    else
        printf("seeds %llu..%llu: %llu run, %llu ok, %llu unsafe, %llu without progress, %llu harness; %llu "
               "events in %.1f s, "
               "%.0f events/s and job\n",
               (unsigned long long)p->first, (unsigned long long)t->last, (unsigned long long)t->seeds, f[0],
               f[1], f[2], f[3], (unsigned long long)t->events, seconds,
               seconds > 0 ? (double)t->events / seconds / p->jobs : 0.0);
}

/* A worker that died takes its seed's verdict with it: its place on the board says which. */
static void bury(const struct plan *p, struct board *b, struct tally *t, pid_t *pid, int out)
{
    int status;
    for (unsigned j = 0; j < p->jobs; j++)
        if (pid[j] > 0 && waitpid(pid[j], &status, WNOHANG) == pid[j]) {
            pid[j] = 0;
            if (!b->r[j].running)
                continue;
            judge_death(&b->r[j], status);
            count(p, t, &b->r[j], b);
            if (!b->stop)
                pid[j] = start_worker(p, b, j, out);
        }
}

static bool any_left(const struct plan *p, const pid_t *pid)
{
    for (unsigned j = 0; j < p->jobs; j++)
        if (pid[j] > 0)
            return true;
    return false;
}

static int many(const struct plan *p, struct board *b)
{
    struct tally t = {.began = now()};
    struct result r;
    int fd[2];
    pid_t *pid = calloc(p->jobs, sizeof *pid);
    if (!pid || pipe(fd) < 0) {
        free(pid);
        return HX_SIM_HARNESS;
    }
    b->next = p->first;
    for (unsigned j = 0; j < p->jobs; j++)
        pid[j] = start_worker(p, b, j, fd[1]);
    fd_set set;
    for (;;) {
        struct timeval tv = {0, 200000};
        FD_ZERO(&set);
        FD_SET(fd[0], &set);
        bool left = any_left(p, pid);
        if (select(fd[0] + 1, &set, NULL, NULL, left ? &tv : &(struct timeval){0, 0}) > 0) {
            if (read(fd[0], &r, sizeof r) == (ssize_t)sizeof r)
                count(p, &t, &r, b);
            continue; /* what came before a death is counted before it */
        }
        if (!left)
            break;
        if (p->budget > 0 && now() - t.began > p->budget)
            b->stop = 1;
        bury(p, b, &t, pid, fd[1]);
    }
    free(pid);
    t.last = b->next - 1 < p->last ? b->next - 1 : p->last; /* all up to here have ended */
    summary(p, &t);
    return t.failed[1]   ? HX_SIM_UNSAFE
           : t.failed[2] ? HX_SIM_STUCK
           : t.failed[3] ? HX_SIM_HARNESS
                         : HX_SIM_OK;
}

/* ---- arguments ---- */
static void usage(FILE *f)
{
    fputs("hexad-sim: the production code of core, store and fs under virtual time and faults\n\n"
          "  --seed N              one seed: its options, trace hash and verdict\n"
          "  --seeds A..B          many; failures as they come, then a summary\n"
          "  --jobs J              of them at the same time (default 1)\n"
          "  --time-budget SECONDS no new seed after this\n"
          "  --keep-going          do not stop at the first failure\n"
          "  --ops N               operations of programs, instead of what the seed draws\n"
          "  --set NAME=VALUE      any option, instead of what the seed draws (--list-options)\n"
          "  --trace               every event of one seed\n"
          "  --story               of these, what a person would tell: deaths, openings, partitions\n"
          "  --shrink              after a failure of one seed: the same with fewer operations and faults\n"
          "  --mutant NAME         broken on purpose (hexad-sim-mutants only; --list-mutants)\n"
          "  --json, --verbose, --list-options, --list-mutants, --help\n\n"
          "Exit: 0 ok, 1 safety broken, 2 no progress, 3 fault of the harness.\n",
          f);
}

static int bad(const char *what, const char *arg)
{
    fprintf(stderr, "hexad-sim: %s: %s\nhint: hexad-sim --help\n", what, arg);
    return HX_SIM_HARNESS;
}

static bool number(const char *text, uint64_t *ret)
{
    char *end;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == 0 && errno == 0;
}

static bool seeds(struct plan *p, const char *text)
{
    char first[32];
    const char *dots = strstr(text, "..");
    if (!dots || (size_t)(dots - text) >= sizeof first)
        return false;
    memcpy(first, text, (size_t)(dots - text));
    first[dots - text] = 0;
    return number(first, &p->first) && number(dots + 2, &p->last) && p->first <= p->last;
}

static int set_option(struct plan *p, const char *text)
{
    struct hx_sim_opts o;
    hx_sim_opts_draw(&o, 1);
    if (p->sets == SETS_MAX || hx_sim_opts_set(&o, text))
        return bad("no such option, or not a number", text);
    p->set[p->sets++] = text;
    return 0;
}

static int choose_mutant(struct plan *p, const char *name)
{
    size_t count;
    p->mutant = name;
    hx_sim_mutants(&count);
    if (hx_sim_mutant_select(name) == 0)
        return 0;
    return bad(count ? "no such mutant (--list-mutants)" : "no mutants in this build: use hexad-sim-mutants", name);
}

static int list(bool mutants)
{
    size_t count;
    const struct hx_sim_mutant *m = hx_sim_mutants(&count);
    if (!mutants)
        for (unsigned i = 0; i < HX_SIM_OPT_COUNT; i++)
            printf("%-18s %s\n", hx_sim_opt_name[i], hx_sim_opt_text[i]);
    if (mutants && count == 0)
        return bad("this build has no mutants in it", "use hexad-sim-mutants");
    for (size_t i = 0; mutants && i < count; i++)
        printf("%s\t%u\t%s\t%s\n", m[i].name, m[i].pitfall, m[i].invariant, m[i].text);
    return 0;
}

static const struct option options[] = {{"seed", 1, NULL, 's'},
                                        {"seeds", 1, NULL, 'S'},
                                        {"jobs", 1, NULL, 'j'},
                                        {"time-budget", 1, NULL, 'b'},
                                        {"ops", 1, NULL, 'o'},
                                        {"set", 1, NULL, 'x'},
                                        {"trace", 0, NULL, 't'},
                                        {"story", 0, NULL, 'y'},
                                        {"shrink", 0, NULL, 'k'},
                                        {"mutant", 1, NULL, 'm'},
                                        {"json", 0, NULL, 'J'},
                                        {"verbose", 0, NULL, 'v'},
                                        {"keep-going", 0, NULL, 'g'},
                                        {"list-options", 0, NULL, 'l'},
                                        {"list-mutants", 0, NULL, 'L'},
                                        {"help", 0, NULL, 'h'},
                                        {NULL, 0, NULL, 0}};

static int parse_number_option(struct plan *p, int c)
{
    static char ops[40];
    uint64_t n;
    if (!number(optarg, &n))
        return bad("not a number", optarg);
    if (c == 's')
        p->first = p->last = n;
    else if (c == 'j')
        p->jobs = n > 0 && n <= 256 ? (unsigned)n : 1;
    else if (c == 'b')
        p->budget = (double)n;
    else if (snprintf(ops, sizeof ops, "ops=%llu", (unsigned long long)n) > 0)
        return set_option(p, ops);
    return 0;
}

/* 0, or an exit code; *ret_done: nothing is left to do. */
static int parse(struct plan *p, int argc, char **argv, bool *ret_done)
{
    int c, err = 0;
    *ret_done = true;
    while (err == 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 's':
        case 'j':
        case 'b':
        case 'o':
            err = parse_number_option(p, c);
            break;
        case 'S':
            err = seeds(p, optarg) ? 0 : bad("not a range of seeds (A..B)", optarg);
            break;
        case 'x':
            err = set_option(p, optarg);
            break;
        case 'm':
            err = choose_mutant(p, optarg);
            break;
        case 't':
            p->trace = true;
            break;
        case 'y':
            p->story = true;
            break;
        case 'k':
            p->shrink = true;
            break;
        case 'J':
            p->json = true;
            break;
        case 'v':
            p->verbose = true;
            break;
        case 'g':
            p->keep_going = true;
            break;
        case 'l':
        case 'L':
            return list(c == 'L');
        case 'h':
            usage(stdout);
            return 0;
        default:
            fputs("hint: hexad-sim --help\n", stderr);
            return HX_SIM_HARNESS;
        }
    }
    if (err == 0 && optind < argc)
        err = bad("what is this", argv[optind]);
    *ret_done = err != 0;
    return err;
}

int main(int argc, char **argv)
{
    struct plan p = {.first = 1, .last = 1, .jobs = 1};
    bool done;
    /* Memory stays with the process from seed to seed: most of a short run's system time was page faults. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    int err = parse(&p, argc, argv, &done);
    if (done)
        return err;
    size_t size = sizeof(struct board) + p.jobs * sizeof(struct result);
    struct board *b = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (b == MAP_FAILED)
        return bad("no memory", strerror(errno));
    err = p.first == p.last ? one(&p, &b->r[0]) : many(&p, b);
    munmap(b, size);
    return err;
}
