/*
 * args.c - options of a verb, from one table: parsing (getopt_long), --help, complaints with the nearest name.
 *
 * Does not know what an option means.  Threads: one (getopt's state is global; one pass at a time).
 * Memory: two tables for getopt_long, freed when the pass ends.
 */
#include "hexad/args.h"

#include "hexad/assert.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define LONG_BASE 1000 /* getopt_long's value of spec->opts[i] is LONG_BASE + i */
#define HELP_VALUE (LONG_BASE - 1)

static bool is_end(const struct hx_opt *o)
{
    return !o->name && !o->letter;
}

static size_t opt_count(const struct hx_args_spec *spec)
{
    size_t n = 0;
    while (!is_end(&spec->opts[n]))
        n++;
    return n;
}

void hx_args_init(struct hx_args *a, const struct hx_args_spec *spec, int argc, char **argv)
{
    memset(a, 0, sizeof *a);
    a->spec = spec;
    a->argc = argc;
    a->argv = argv;
}

/* The tables for getopt_long live during one call only: a caller that gives up in the middle has nothing to free. */
static int start(struct hx_args *a)
{
    size_t n = opt_count(a->spec), k = 0, m = 0;
    struct option *longs = calloc(n + 2, sizeof *longs);
    char *shorts = malloc(2 * n + 4);
    if (!longs || !shorts) {
        free(longs);
        free(shorts);
        return HX_E_NOMEM;
    }
    shorts[k++] = a->spec->stop_at_operand ? '+' : ':';
    if (a->spec->stop_at_operand)
        shorts[k++] = ':';
    for (size_t i = 0; i < n; i++) {
        const struct hx_opt *o = &a->spec->opts[i];
        if (o->name)
            longs[m++] = (struct option){o->name, o->value ? required_argument : no_argument, NULL,
                                         LONG_BASE + (int)i};
        if (!o->letter)
            continue;
        shorts[k++] = o->letter;
        if (o->value)
            shorts[k++] = ':';
    }
    longs[m] = (struct option){"help", no_argument, NULL, HELP_VALUE};
    shorts[k] = '\0';
    a->longs = longs;
    a->shorts = shorts;
    if (!a->started)
        opterr = optind = 0; /* GNU: 0 means start over, and read '+' */
    a->started = true;
    return 0;
}

static void finish(struct hx_args *a)
{
    free(a->longs);
    free(a->shorts);
    a->longs = NULL;
    a->shorts = NULL;
}

int hx_args_complain(const struct hx_args_spec *spec, int err, const char *why)
{
    char hint[128];
    const char *verb = strchr(spec->command, ' '); /* the program's name stands before every complaint anyway */
    snprintf(hint, sizeof hint, "%s --help", spec->command);
    hx_complain(err, verb ? verb + 1 : "usage", why, hint);
    return HX_EXIT_USAGE;
}

static int unknown(struct hx_args *a, const char *word)
{
    const char *names[65];
    char name[80], why[HX_WHY_MAX];
    size_t n = 0;
    for (const struct hx_opt *o = a->spec->opts; !is_end(o) && n + 1 < HX_ARRAY_LEN(names); o++)
        if (o->name)
            names[n++] = o->name;
    names[n++] = "help";
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    const char *near = strncmp(name, "--", 2) == 0 ? hx_nearest(name + 2, names, n) : NULL;
    snprintf(why, sizeof why, "%s%s%s%s", name, near ? "; is it '--" : "", near ? near : "", near ? "'?" : "");
    hx_args_complain(a->spec, HX_E_OPTION, why);
    return HX_ARGS_ERROR;
}

static int complain_value(struct hx_args *a, const char *word, const char *what)
{
    char why[HX_WHY_MAX];
    snprintf(why, sizeof why, "%.80s %s", word, what);
    hx_args_complain(a->spec, HX_E_INVAL, why);
    return HX_ARGS_ERROR;
}

/* getopt_long said '?' or ':': find the word that it was about. */
static int wrong(struct hx_args *a, int c)
{
    const char *word = optind > 0 && optind <= a->argc ? a->argv[optind - 1] : "";
    char letter[3] = {'-', (char)optopt, '\0'};
    if (c == ':')
        return complain_value(a, optopt >= LONG_BASE ? word : letter, "needs a value");
    if (optopt >= HELP_VALUE)
        return complain_value(a, word, "takes no value");
    return unknown(a, optopt ? letter : word);
}

int hx_args_next(struct hx_args *a, const char **ret_value)
{
    int err = start(a);
    if (err) {
        hx_complain(err, a->spec->command, NULL, NULL);
        return HX_ARGS_ERROR;
    }
    int c = getopt_long(a->argc, a->argv, a->shorts, a->longs, NULL), res;
    finish(a);
    *ret_value = optarg;
    if (c >= LONG_BASE)
        return c - LONG_BASE;
    if (c == -1) {
        res = HX_ARGS_END;
    } else if (c == HELP_VALUE) {
        hx_args_help(a->spec, stdout);
        res = HX_ARGS_HELP;
    } else if (c == '?' || c == ':') {
        res = wrong(a, c);
    } else {
        for (int i = 0; !is_end(&a->spec->opts[i]); i++)
            if (a->spec->opts[i].letter == c)
                return i;
        bool in_table = false; /* getopt gives only letters that it was given */
        hx_assert(in_table);
        res = HX_ARGS_ERROR;
    }
    return res;
}

int hx_args_operands(const struct hx_args *a)
{
    return optind < a->argc ? optind : a->argc;
}

void hx_args_help(const struct hx_args_spec *spec, FILE *out)
{
    for (size_t i = 0; spec->examples && spec->examples[i]; i++)
        fprintf(out, "%s%s\n", i ? "         " : "example: ", spec->examples[i]);
    fprintf(out, "usage:   %s %s\n", spec->command, spec->usage);
    for (const struct hx_opt *o = spec->opts; !is_end(o); o++) {
        char left[64], letter[6] = "";
        if (o->letter)
            snprintf(letter, sizeof letter, "-%c%s", o->letter, o->name ? ", " : "");
        snprintf(left, sizeof left, "%s%s%s%s%s", letter, o->name ? "--" : "", o->name ? o->name : "",
                 o->value ? " " : "", o->value ? o->value : "");
        fprintf(out, "  %-26s %s\n", left, o->help);
    }
    if (spec->notes)
        fprintf(out, "%s\n", spec->notes);
}
