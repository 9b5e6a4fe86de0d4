/*
 * fuzz_args.c - command lines: mount's three names with the words after -o, and the option table of every other verb.
 *
 * An input is words, each ended by a NUL; the first byte chooses whose they are.  What is complained of goes to
 * /dev/null.  Checked: parsing ends, operands and values are words of the line (or parts of them), what was accepted
 * keeps its bounds.
 */
#include "fuzz.h"

#include "../../src/fuse/fuse_private.h"
#include "hexad/args.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WORDS_MAX 24

/* stdout stays the test's own: what the parsers print goes elsewhere while they run. */
static void mute(bool on)
{
    static int null = -1, out = -1, err = -1;
    if (null < 0) {
        null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
        err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
        fuzz_check(null >= 0 && out >= 0 && err >= 0);
    }
    fflush(stdout);
    fflush(stderr);
    dup2(on ? null : out, STDOUT_FILENO);
    dup2(on ? null : err, STDERR_FILENO);
}

/* getopt keeps its place in the last line otherwise (F1). */
static void forget_getopt(void)
{
    char *none[] = {(char *)"x", NULL};
    optind = 0;
    opterr = 0;
    getopt(1, none, "");
}

static const struct hx_opt opts[] = {
    {"json", 0, NULL, "one document"}, {"pg-size", 0, "SIZE", "bytes"}, {"yes", 'y', NULL, "do not ask"},
    {"options", 'o', "OPTIONS", "words"}, {NULL, 'v', NULL, "more"}, {NULL, 'n', "N", "how often"}, {0},
};

static bool inside(const char *value, char **argv, int argc)
{
    for (int i = 0; i < argc; i++)
        if (value >= argv[i] && value <= argv[i] + strlen(argv[i]))
            return true;
    return false;
}

static void verb(int argc, char **argv, bool stop)
{
    const struct hx_args_spec spec = {
        .command = "hexad verb", .usage = "VOLUME", .opts = opts, .stop_at_operand = stop};
    struct hx_args a;
    const char *value;
    int i, rounds = 0;
    hx_args_init(&a, &spec, argc, argv);
    while ((i = hx_args_next(&a, &value)) >= 0) {
        fuzz_check(++rounds < 4000 && (size_t)i < HX_ARRAY_LEN(opts) - 1);
        fuzz_check(!opts[i].value == !value && (!value || inside(value, argv, argc)));
    }
    fuzz_check(i >= HX_ARGS_ERROR);
    if (i == HX_ARGS_END)
        fuzz_check(hx_args_operands(&a) >= 1 && hx_args_operands(&a) <= argc);
}

static void mount(int argc, char **argv)
{
    static struct hx_mount_opts o;
    int rc = hx_mount_parse(argc, argv, &o);
    fuzz_check(memchr(o.fuse_opts, '\0', sizeof o.fuse_opts) && memchr(o.volume, '\0', sizeof o.volume));
    if (rc == 0)
        fuzz_check(hx_name_ok(o.volume) && o.dir[0] == '/' && strstr(o.fuse_opts, "fsname=hexad:"));
    hx_mount_opts_fini(&o);
}

static void run(const uint8_t *p, size_t len)
{
    static const char *const called[] = {"mount", "mount.hexad", "/sbin/mount.fuse.hexadfs", "hexadfs", "verb", "verb"};
    char *words[WORDS_MAX + 2], *text;
    int n = 1;
    if (len == 0)
        return;
    unsigned who = p[0] % HX_ARRAY_LEN(called);
    text = malloc(len + 1);
    words[0] = strdup(called[who]);
    fuzz_check(text && words[0]);
    char *first = words[0];
    memcpy(text, p + 1, len - 1);
    text[len - 1] = text[len] = '\0';
    for (size_t at = 0; at + 1 < len && n <= WORDS_MAX; at += strlen(text + at) + 1)
        words[n++] = text + at;
    words[n] = NULL;
    forget_getopt();
    mute(true);
    if (who < 4)
        mount(n, words);
    else
        verb(n, words, who == 5);
    mute(false);
    free(first);
    free(text);
}

static void seed(uint8_t who, const char *name, const char *words, size_t len)
{
    uint8_t b[300] = {who};
    memcpy(b + 1, words, len);
    fuzz_seed(name, b, len + 1);
}
#define SEED(who, name, words) seed((who), (name), (words), sizeof(words) - 1)

static void seeds(void)
{
    SEED(0, "mount", "vol0\0/tmp\0-o\0takeover,soft=30,cache=64MiB,noatime\0-f");
    SEED(0, "mount-config", "-c\0/dev/null\0hexad:vol0\0/tmp\0--options=window=8MiB,ro");
    SEED(0, "mount-wrong", "vol0\0-o\0tkaeover,x-a,=,soft=,cache=5\0--hlep");
    SEED(1, "helper", "vol0\0/tmp\0-sfnv\0-o\0rw,_netdev,nofail,comment=x");
    SEED(2, "helper-fuse", "vol0\0/tmp\0-t\0hexad\0-N\0ns");
    SEED(3, "hexadfs", "vol0\0/tmp\0-d\0-oallow_other,dev,suid");
    SEED(4, "verb", "--json\0vol0\0--pg-size=1GiB\0-vyn3\0--\0-x");
    SEED(5, "verb-stop", "-v\0--yes\0command\0--json");
    SEED(4, "verb-wrong", "--jsno\0--pg-size\0-n");
    SEED(4, "verb-help", "--help");
}

const struct fuzz_target fuzz_target = {
    .name = "args", .len_max = 512, .run = run, .seeds = seeds, .sources = "src/fuse src/admin src/sys"};
