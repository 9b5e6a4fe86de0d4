/*
 * args.h - command-line options of a verb: one table parses them and renders --help.
 *
 * Parsing is getopt_long's.  An unknown option, a missing or a superfluous value ends in a complaint with the nearest
 * name.  Options and operands may be mixed, unless the spec says that operands end the options.
 */
#ifndef HEXAD_ARGS_H
#define HEXAD_ARGS_H

#include "hexad/sys.h"

#include <stdio.h>

struct hx_opt {
    const char *name;  /* long name, or NULL */
    char letter;       /* short one, or 0; neither of them ends the table */
    const char *value; /* name of the value in --help; NULL: a flag */
    const char *help;  /* one line */
};
struct hx_args_spec {
    const char *command;         /* "hexad create" */
    const char *usage;           /* operands and options in short: "VOLUME [--pg-size SIZE]" */
    const char *const *examples; /* whole commands, NULL at the end; shown first */
    const struct hx_opt *opts;   /* --help is added by itself */
    const char *notes;           /* text below the options, or NULL */
    bool stop_at_operand;        /* options after the first operand belong to somebody else */
};

#define HX_ARGS_END (-1)
#define HX_ARGS_HELP (-2)  /* --help was given and printed: exit 0 */
#define HX_ARGS_ERROR (-3) /* complained: exit HX_EXIT_USAGE */
/* One pass over ARGV (argv[0] is the verb; operands are moved to the end).  Starts with a zeroed struct. */
struct hx_args {
    const struct hx_args_spec *spec;
    int argc;
    char **argv;
    bool started;
    void *longs;  /* owned tables for getopt_long, only during a call */
    char *shorts;
};
void hx_args_init(struct hx_args *a, const struct hx_args_spec *spec, int argc, char **argv);
/* Index into spec->opts of the next option, with *ret_value (NULL for a flag), or one of the above.  After
 * HX_ARGS_END the operands are argv[hx_args_operands()] and following. */
int hx_args_next(struct hx_args *a, const char **ret_value);
int hx_args_operands(const struct hx_args *a);
void hx_args_help(const struct hx_args_spec *spec, FILE *out);
/* Complains about usage (HX_E_OPTION / HX_E_INVAL) with a hint on --help; gives HX_EXIT_USAGE. */
int hx_args_complain(const struct hx_args_spec *spec, int err, const char *why);

#endif
