/*
 * main.c - hexad-model: searches a configuration, walks through one, proves that mutants are caught.
 *
 *   hexad-model --list                      configurations, mutants
 *   hexad-model --config NAME [--mutant NAME] [--max-states N]
 *   hexad-model --config NAME --walks N [--seed S]
 *   hexad-model --quorums                   the algebra of quorums, all subsets
 *   hexad-model --check                     what `make check` runs, as TAP
 *   hexad-model --budget SECONDS            what `make check-model` runs, as TAP
 * Exit status: 0 as expected, 1 an invariant is broken (with --mutant: it is not), 2 usage, 3 not finished
 * within the bounds, 99 out of memory.
 */
#include "model.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct options {
    const char *config, *mutant;
    uint64_t walks, seed;
    struct md_limits limits;
    bool list, json, quorums, check, plain;
    double budget;
    time_t begun;
};

static struct md_ctx ctx; /* large */
static unsigned tap_count, tap_failed;

static void tap(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tap(bool good, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%sok %u - ", good ? "" : "not ", ++tap_count);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    fflush(stdout);
    tap_failed += !good;
}

static void list(void)
{
    printf("configurations (* whole in make check, + in make check-model, - in part there; w: for walks):\n");
    for (const struct md_cfg *c = md_configs; c->name; c++)
        printf("  %c %-20s %s\n", "*+-w"[c->weight - 1], c -> name, c -> about);
    printf("mutants (configuration, depth and invariant of the shortest counterexample; first walk that sees "
           "it):\n");
    for (const struct md_mutant *m = md_mutants; m->name; m++) {
        printf("  %-48s %-18s ", m->name, m->config);
        if (m->caught)
            printf("%2u %-9s", m->depth, m->caught);
        else
            printf("harmless    ");
        if (m->walk)
            printf(" %s %u", m->walk, m->walks);
        printf("\n    %s\n", m->about);
    }
}

static void print(const struct options *o, const struct md_result *r)
{
    if (o->json) {
        printf("{\"config\": \"%s\", \"mutant\": \"%s\", \"broken\": \"%s\", \"why\": \"%s\", \"states\": "
               "%" PRIu64 ", \"steps\": %" PRIu64 ", \"depth\": %u, \"whole\": %s, \"walks\": %" PRIu64
               ", \"cpu\": %.2f, \"bytes\": %" PRIu64 "}\n",
               o->config, o->mutant ? o->mutant : "", r->broken ? r->broken : "", r->why, r->states, r->steps,
               r->depth, r->whole ? "true" : "false", r->walks, r->cpu, r->bytes);
        return;
    }
    printf("%s%s%s: ", o->config, o->mutant ? " --mutant " : "", o->mutant ? o->mutant : "");
    if (o->walks)
        printf("%s; %" PRIu64 " walks from seed %" PRIu64 ", %" PRIu64 " steps, %.1f s of CPU\n",
               r->broken ? r->broken : "no violation", r->walks, o->seed, r->steps, r->cpu);
    else
        printf("%s; %s, %" PRIu64 " states, %" PRIu64 " steps, depth %u, %.1f s of CPU, %" PRIu64 " MiB\n",
               r->broken ? r->broken : "no violation", r->whole ? "whole" : "not whole", r->states, r->steps,
               r->depth, r->cpu, r->bytes >> 20);
    if (r->broken && o->walks)
        printf("replay: hexad-model --config %s%s%s --walks 1 --seed %" PRIu64 "\n", o->config,
               o->mutant ? " --mutant " : "", o->mutant ? o->mutant : "", o->seed + r->walks - 1);
}

static int run(const struct options *o, struct md_result *r)
{
    const struct md_cfg *cfg = md_config_find(o->config);
    uint64_t mut = o->mutant ? md_mutant_bits(o->mutant) : 0;
    if (!cfg || (o->mutant && !mut) || md_ctx_init(&ctx, cfg, mut)) {
        fprintf(stderr, "hexad-model: unknown %s: see --list\n", cfg ? "mutant" : "configuration");
        return 2;
    }
    ctx.plain = o->plain;
    if (o->walks)
        md_walks(&ctx, o->walks, o->seed, &o->limits, r);
    else if (md_search(&ctx, &o->limits, r)) {
        fprintf(stderr, "hexad-model: out of memory\n");
        return 99;
    }
    return 0;
}

/* ---- suites ---- */

static bool among(const char *name, const char *names)
{
    size_t len = strlen(name);
    for (const char *p = names; (p = strstr(p, name)) != NULL; p += len)
        if ((p == names || p[-1] == ' ') && (p[len] == '\0' || p[len] == ' '))
            return true;
    return false;
}

static int check_mutant(struct options *o, const struct md_mutant *m)
{
    struct md_result r = {0};
    o->config = m->config;
    o->mutant = strcmp(m->name, "none") ? m->name : NULL;
    o->walks = 0;
    int rc = run(o, &r);
    if (rc)
        return rc;
    if (m->caught)
        tap(r.broken && among(r.broken, m->caught) && r.depth == m->depth,
            "mutant %s in %s: %s at depth %u (expected %s at %u), %" PRIu64 " states", m->name, m->config,
            r.broken ? r.broken : "not caught", r.depth, m->caught, m->depth, r.states);
    else
        tap(!r.broken && (r.whole || o->limits.states),
            "mutant %s in %s is harmless alone: %s, %" PRIu64 " states", m->name, m->config,
            r.broken  ? r.broken
            : r.whole ? "no violation"
                      : "not whole",
            r.states);
    if (!m->walk)
        return 0;
    o->config = m->walk;
    o->walks = m->walks;
    o->seed = 1;
    rc = run(o, &r);
    if (!rc)
        tap(r.broken && r.walks == m->walks, "mutant %s in %s: %s in walk %" PRIu64 " (expected %u)", m->name,
            m->walk, r.broken ? r.broken : "not caught", r.walks, m->walks);
    return rc;
}

static int check_mutants(struct options *o, bool heavy)
{
    for (const struct md_mutant *m = md_mutants; m->name; m++) {
        int rc = m->heavy == heavy ? check_mutant(o, m) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

static double since(time_t begun)
{
    return difftime(time(NULL), begun);
}

static int check_configs(struct options *o, unsigned from, unsigned to)
{
    unsigned left = 0;
    for (const struct md_cfg *c = md_configs; c->name; c++)
        left += c->weight >= from && c->weight <= to;
    for (const struct md_cfg *c = md_configs; c->name; c++) {
        struct md_result r = {0};
        if (c->weight < from || c->weight > to)
            continue;
        o->config = c->name;
        o->mutant = NULL;
        o->walks = 0;
        if (o->budget > 0) /* an equal share of what is left of four fifths */
            o->limits.seconds = (o->budget * 0.8 - since(o->begun)) / left--;
        if (o->limits.seconds < 0)
            break;
        int rc = run(o, &r);
        if (rc)
            return rc;
        tap(!r.broken && (r.whole || o->budget > 0 || o->limits.states),
            "%s: %s%s, %" PRIu64 " states, depth %u, %.1f s of CPU, %" PRIu64 " MiB", c->name,
            r.broken ? r.broken : "no violation", r.whole ? ", whole" : ", not whole", r.states, r.depth,
            r.cpu, r.bytes >> 20);
    }
    return 0;
}

static int check_walks(struct options *o, uint64_t walks, uint64_t seed)
{
    static const char *const names[] = {"six-walk", "six-walk-rivals", "six-walk-hints", "six-walk-swap",
                                        "six-walk-move", "six-walk-churn"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        struct md_result r = {0};
        o->config = names[i];
        o->mutant = NULL;
        o->walks = walks;
        o->seed = seed;
        int rc = run(o, &r);
        if (rc)
            return rc;
        tap(!r.broken, "%s: %s, %" PRIu64 " walks from seed %" PRIu64 ", %" PRIu64 " steps", names[i],
            r.broken ? r.broken : "no violation", r.walks, seed, r.steps);
    }
    return 0;
}

static int check_quorums(void)
{
    uint64_t cases = 0;
    int broken = md_quorums(true, &cases);
    tap(broken == 0, "quorum algebra: %" PRIu64 " cases, %d laws broken", cases, broken);
    return 0;
}

static int suite(struct options *o)
{
    o->limits.quiet = true;
    int rc = check_quorums();
    if (!rc)
        rc = check_configs(o, 1, 1);
    if (!rc)
        rc = check_mutants(o, false);
    if (!rc)
        rc = check_walks(o, o->limits.states ? 300 : 3000, 1);
    printf("1..%u\n", tap_count);
    return rc ? rc : tap_failed ? 1 : 0;
}

/* The heavy mutants, larger configurations, fresh walks.  What does not fit in the budget is not a failure.
 */
static int suite_budget(struct options *o)
{
    o->begun = time(NULL);
    o->limits.quiet = true;
    int rc = check_mutants(o, true);
    if (!rc)
        rc = check_configs(o, 2, 3);
    o->limits.seconds = o->budget * 0.05;
    if (!rc)
        rc = check_walks(o, UINT64_MAX, (uint64_t)o->begun);
    printf("1..%u\n", tap_count);
    return rc ? rc : tap_failed ? 1 : 0;
}

static int usage(void)
{
    fprintf(
        stderr,
        "usage: hexad-model --list | --quorums | --check | --budget SECONDS\n"
        "       hexad-model --config NAME [--mutant NAME] [--max-states N] [--max-seconds S] [--max-mib M]\n"
        "                   [--walks N [--seed S]] [--json] [--quiet] [--plain]\n");
    return 2;
}

static int parse(struct options *o, int argc, char **argv)
{
    static const struct option known[] = {
        {"config", 1, 0, 'c'},      {"mutant", 1, 0, 'm'},  {"max-states", 1, 0, 'n'},
        {"max-seconds", 1, 0, 't'}, {"max-mib", 1, 0, 'b'}, {"walks", 1, 0, 'w'},
        {"seed", 1, 0, 's'},        {"json", 0, 0, 'j'},    {"quiet", 0, 0, 'q'},
        {"plain", 0, 0, 'p'},       {"list", 0, 0, 'l'},    {"quorums", 0, 0, 'Q'},
        {"check", 0, 0, 'C'},       {"budget", 1, 0, 'B'},  {0, 0, 0, 0}};
    int opt;
    while ((opt = getopt_long(argc, argv, "", known, NULL)) >= 0) {
        switch (opt) {
        case 'c':
            o->config = optarg;
            break;
        case 'm':
            o->mutant = optarg;
            break;
        case 'n':
            o->limits.states = strtoull(optarg, NULL, 0);
            break;
        case 't':
            o->limits.seconds = atof(optarg);
            break;
        case 'b':
            o->limits.bytes = strtoull(optarg, NULL, 0) << 20;
            break;
        case 'w':
            o->walks = strtoull(optarg, NULL, 0);
            break;
        case 's':
            o->seed = strtoull(optarg, NULL, 0);
            break;
        case 'j':
            o->json = true;
            break;
        case 'q':
            o->limits.quiet = true;
            break;
        case 'p':
            o->plain = true;
            break;
        case 'l':
            o->list = true;
            break;
        case 'Q':
            o->quorums = true;
            break;
        case 'C':
            o->check = true;
            break;
        case 'B':
            o->budget = atof(optarg);
            break;
        default:
            return -1;
        }
    }
    return optind == argc ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct options o = {.seed = 1, .limits = {.bytes = (uint64_t)8 << 30}};
    struct md_result r = {0};
    if (parse(&o, argc, argv))
        return usage();
    if (o.list) {
        list();
        return 0;
    }
    if (o.quorums) {
        uint64_t cases;
        return md_quorums(false, &cases) ? 1 : 0;
    }
    if (o.check)
        return suite(&o);
    if (o.budget > 0)
        return suite_budget(&o);
    if (!o.config)
        return usage();
    if (o.json)
        o.limits.quiet = true;
    int rc = run(&o, &r);
    if (rc)
        return rc;
    print(&o, &r);
    if (o.mutant)
        return r.broken ? 0 : r.whole ? 1 : 3;
    return r.broken ? 1 : r.whole || o.walks ? 0 : 3;
}
