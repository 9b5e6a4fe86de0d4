/*
 * test_args.c - options of a verb (src/sys/args.c).
 * Method: argument vectors in, indices and values out; complaints are read back from a file behind stderr.
 */
#include "hexad/args.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { DIR_, KEEP, OPTS };
static const struct hx_opt opts[] = {
    [DIR_] = {"dir", 0, "DIR", "a directory"},
    [KEEP] = {"keep", 'k', NULL, "a flag"},
    [OPTS] = {"options", 'o', "OPTIONS", "a value with a letter"},
    {NULL, 0, NULL, NULL},
};
static const char *const examples[] = {"cmd one", "cmd two", NULL};
static const struct hx_args_spec spec = {"cmd", "[options]", examples, opts, "notes", false};
static const struct hx_args_spec stops = {"cmd", "[options]", examples, opts, NULL, true};

#define MAX 8
struct seen {
    int count, opt[MAX], end, operands;
    char value[MAX][32], complaint[1024];
    char *argv[16];
    int argc;
};

/* One pass; ARGS is separated by blanks. */
static void parse(const struct hx_args_spec *s, const char *args, struct seen *r)
{
    static char copy[256];
    char file[] = "/tmp/hexad-args-XXXXXX", *rest = copy, *word;
    struct hx_args a;
    const char *value;
    int opt, saved = dup(2), fd = mkstemp(file);
    memset(r, 0, sizeof *r);
    snprintf(copy, sizeof copy, "verb %s", args);
    while ((word = strsep(&rest, " ")) != NULL)
        if (*word)
            r->argv[r->argc++] = word;
    assert_true(fd >= 0 && saved >= 0 && dup2(fd, 2) == 2);
    hx_args_init(&a, s, r->argc, r->argv);
    while ((opt = hx_args_next(&a, &value)) >= 0) {
        r->opt[r->count] = opt;
        snprintf(r->value[r->count++], sizeof r->value[0], "%s", value ? value : "");
    }
    dup2(saved, 2);
    close(saved);
    r->end = opt;
    r->operands = hx_args_operands(&a);
    ssize_t n = pread(fd, r->complaint, sizeof r->complaint - 1, 0);
    assert_true(n >= 0);
    close(fd);
    unlink(file);
}

/* Promise: long, short, joined and mixed forms all arrive, operands are moved behind them. */
static void all_forms_are_understood(void **state)
{
    struct seen r;
    (void)state;
    parse(&spec, "one --dir d -k two -oa,b --options=c", &r);
    assert_int_equal(r.end, HX_ARGS_END);
    assert_int_equal(r.count, 4);
    assert_int_equal(r.opt[0], DIR_);
    assert_string_equal(r.value[0], "d");
    assert_int_equal(r.opt[1], KEEP);
    assert_int_equal(r.opt[2], OPTS);
    assert_string_equal(r.value[2], "a,b");
    assert_string_equal(r.value[3], "c");
    assert_int_equal(r.argc - r.operands, 2);
    assert_string_equal(r.argv[r.operands], "one");
    assert_string_equal(r.argv[r.operands + 1], "two");
}

/* Promise: with stop_at_operand the rest belongs to somebody else, options and all. */
static void the_rest_may_belong_to_somebody_else(void **state)
{
    struct seen r;
    (void)state;
    parse(&stops, "--keep kill --dir x", &r);
    assert_int_equal(r.count, 1);
    assert_string_equal(r.argv[r.operands], "kill");
    assert_string_equal(r.argv[r.operands + 1], "--dir");
    parse(&stops, "-k -- sh -k", &r);
    assert_int_equal(r.count, 1);
    assert_string_equal(r.argv[r.operands - 1], "--");
    assert_string_equal(r.argv[r.operands], "sh");
    parse(&spec, "a -- -k", &r);
    assert_int_equal(r.count, 0);
    assert_int_equal(r.argc - r.operands, 2);
}

static void complains(const char *args, const char *fragment)
{
    struct seen r;
    parse(&spec, args, &r);
    assert_int_equal(r.end, HX_ARGS_ERROR);
    if (!strstr(r.complaint, fragment))
        fail_msg("'%s' should contain '%s'", r.complaint, fragment);
    assert_non_null(strstr(r.complaint, "\nhint:  cmd --help\nsee:   HX0"));
}

/* Promise: each mistake is named, with the nearest option. */
static void mistakes_are_named(void **state)
{
    (void)state;
    complains("--kepe", "--kepe; is it '--keep'?");
    complains("--dri=x", "--dri; is it '--dir'?");
    complains("--nonsense", "unknown option: --nonsense\n");
    complains("-x", "unknown option: -x\n");
    complains("-kx", "unknown option: -x\n");
    complains("--dir", "--dir needs a value");
    complains("-o", "-o needs a value");
    complains("--keep=yes", "--keep=yes takes no value");
}

/* Promise: help shows the examples first, then every option, in at most 25 lines. */
static void help_shows_everything(void **state)
{
    char *text = NULL;
    size_t len, lines = 0;
    FILE *f = open_memstream(&text, &len);
    (void)state;
    hx_args_help(&spec, f);
    fclose(f);
    assert_memory_equal(text, "example: cmd one\n", 17);
    assert_non_null(strstr(text, "usage:   cmd [options]\n"));
    assert_non_null(strstr(text, "-k, --keep"));
    assert_non_null(strstr(text, "--dir DIR"));
    assert_non_null(strstr(text, "notes\n"));
    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    assert_true(lines <= 25);
    free(text);
}

/* Promise: passes do not disturb each other, whatever state the one before ended in. */
static void a_pass_starts_afresh(void **state)
{
    struct seen r;
    (void)state;
    parse(&spec, "-kk --nonsense -k", &r);
    assert_int_equal(r.end, HX_ARGS_ERROR);
    parse(&spec, "-k", &r);
    assert_int_equal(r.end, HX_ARGS_END);
    assert_int_equal(r.count, 1);
    parse(&spec, "", &r);
    assert_int_equal(r.end, HX_ARGS_END);
    assert_int_equal(r.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_forms_are_understood),
        cmocka_unit_test(the_rest_may_belong_to_somebody_else),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(help_shows_everything),
        cmocka_unit_test(a_pass_starts_afresh),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("args", tests, NULL, NULL);
}
