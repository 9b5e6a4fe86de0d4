/*
 * options.c - the command line of mount: `hexad mount VOLUME DIR`, mount.hexad and hexadfs, and the words after -o.
 *
 * One table says what each word means; words that other programs put there are dropped, any other is an error
 * with the nearest name.  Never added unasked: allow_other; never at all: auto_unmount (a mount that crashed
 * would look empty), direct_io (breaks shared mappings).
 */
#include "fuse_private.h"

#include "hexad/args.h"
#include "hexad/heal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum word_kind {
    DROP, PASS, ROOT_PASS, TAKEOVER, SOFT, REPAIR_AFTER, REPAIR_RATE,
    SHRINK_AFTER, CACHE, WINDOW, READAHEAD, ATTR_TIMEOUT,
    ENTRY_TIMEOUT, NEGATIVE_TIMEOUT, NOATIME, RELATIME, STRICTATIME, CONFIG, ALLOW_OTHER, RO, RW, DEBUG, REMOUNT,
    KERNELS
};
static const struct word {
    const char *name;
    enum word_kind kind;
    bool value;
} words[] = {
    {"ro", RO, false}, {"rw", RW, false}, {"takeover", TAKEOVER, false}, {"soft", SOFT, true}, {"hard", DROP, false},
    {"repair-after", REPAIR_AFTER, true}, {"repair-rate", REPAIR_RATE, true}, {"shrink-after", SHRINK_AFTER, true},
    {"cache", CACHE, true}, {"window", WINDOW, true}, {"readahead", READAHEAD, true},
    {"attr_timeout", ATTR_TIMEOUT, true}, {"entry_timeout", ENTRY_TIMEOUT, true},
    {"negative_timeout", NEGATIVE_TIMEOUT, true}, {"config", CONFIG, true}, {"noatime", NOATIME, false},
    {"strictatime", STRICTATIME, false},
    {"allow_other", ALLOW_OTHER, false}, {"debug", DEBUG, false},
    {"noexec", PASS, false}, {"exec", PASS, false}, {"sync", PASS, false}, {"dirsync", PASS, false},
    {"nosuid", PASS, false}, {"nodev", PASS, false}, {"suid", ROOT_PASS, false}, {"dev", ROOT_PASS, false},
    {"default_permissions", DROP, false}, {"defaults", DROP, false}, {"async", DROP, false}, {"atime", RELATIME, false},
    {"relatime", RELATIME, false}, {"norelatime", DROP, false}, {"nostrictatime", RELATIME, false},
    {"lazytime", DROP, false}, {"nolazytime", DROP, false}, {"silent", DROP, false}, {"loud", DROP, false},
    {"diratime", DROP, false}, {"nodiratime", DROP, false}, {"_netdev", DROP, false},
    {"nofail", DROP, false}, {"noauto", DROP, false}, {"auto", DROP, false}, {"user", DROP, false},
    {"users", DROP, false}, {"nouser", DROP, false}, {"owner", DROP, false}, {"group", DROP, false},
    {"comment", DROP, true}, {"remount", REMOUNT, false}, {"user_id", KERNELS, true}, {"group_id", KERNELS, true},
    {"max_read", KERNELS, true}, {"blksize", KERNELS, true},
};

static const struct hx_opt verb_options[] = {
    {"options", 'o', "OPTIONS", "mount options, comma-separated (below)"},
    {"foreground", 'f', NULL, "stay in the foreground, log to stderr"},
    {"debug", 'd', NULL, "as -f, and log each request"},
    {"config", 'c', "FILE", "configuration (default: /etc/hexad/hexad.conf)"},
    {0},
};
static const char *const verb_examples[] = {
    "hexad mount vol0 /srv/db",
    "hexad mount -o takeover vol0 /srv/db     (the other mount is fenced for ever)",
    "hexad umount /srv/db",
    NULL,
};
static const struct hx_args_spec verb_spec = {
    .command = "hexad mount",
    .usage = "VOLUME DIR [-o OPTIONS] [-f] [-d] [--config FILE]",
    .examples = verb_examples,
    .opts = verb_options,
    .notes = "options: ro, takeover, soft=TIME (waits longer than this fail with EIO), cache=SIZE (64MiB),\n"
             "         window=SIZE (20MiB), readahead=SIZE (8MiB), repair-after=TIME (10min; or never),\n"
             "         repair-rate=SIZE (a second), shrink-after=TIME (never), attr_timeout=TIME, entry_timeout=TIME,\n"
             "         negative_timeout=TIME (1h each), noatime, strictatime, allow_other, config=FILE,\n"
             "         nosuid, nodev, noexec, sync",
};

/* ---- words after -o ---- */
static bool pass(struct hx_mount_opts *o, const char *word)
{
    size_t n = strlen(o->fuse_opts);
    int k = snprintf(o->fuse_opts + n, sizeof(o->fuse_opts) - n, "%s%s", n ? "," : "", word);
    return k >= 0 && (size_t)k < sizeof(o->fuse_opts) - n;
}

static int unknown_word(const char *word)
{
    const char *names[HX_ARRAY_LEN(words)];
    char why[HX_WHY_MAX];
    for (size_t i = 0; i < HX_ARRAY_LEN(words); i++)
        names[i] = words[i].name;
    const char *near = hx_nearest(word, names, HX_ARRAY_LEN(names));
    snprintf(why, sizeof why, "-o %.60s%s%s%s", word, near ? "; is it '" : "", near ? near : "", near ? "'?" : "");
    hx_complain(HX_E_OPTION, "cannot mount", why, NULL);
    return HX_E_OPTION;
}

static int bad_value(const char *name, const char *value, const char *example)
{
    char why[HX_WHY_MAX];
    snprintf(why, sizeof why, "-o %s=%.60s; for example %s=%s", name, value ? value : "", name, example);
    hx_complain(HX_E_INVAL, "cannot mount", why, NULL);
    return HX_E_INVAL;
}

/* "30" is seconds, as with NFS; units as everywhere else are allowed. */
static int parse_soft(const char *value, uint32_t *ret_ms)
{
    uint64_t ms;
    if (value && hx_parse_u64(value, UINT32_MAX / 1000, &ms) == 0)
        ms *= 1000;
    else if (!value || hx_parse_time(value, &ms))
        return HX_E_INVAL;
    if (ms == 0 || ms > UINT32_MAX)
        return HX_E_INVAL;
    *ret_ms = (uint32_t)ms;
    return 0;
}

static int parse_repair(const char *value, uint64_t *ret_ms)
{
    uint32_t ms;
    if (value && strcmp(value, "never") == 0) {
        *ret_ms = HX_HEAL_NEVER;
        return 0;
    }
    if (parse_soft(value, &ms))
        return HX_E_INVAL;
    *ret_ms = ms;
    return 0;
}

static int parse_rate(const char *value, uint32_t *ret)
{
    uint64_t bytes;
    if (!value || hx_parse_size(value, &bytes) || bytes < (64u << 10) || bytes > UINT32_MAX)
        return HX_E_INVAL;
    *ret = (uint32_t)bytes;
    return 0;
}

/* As parse_soft, but 0 is allowed. */
static int parse_timeout(const char *value, double *ret_s)
{
    uint32_t ms = 0;
    if (!value || (strcmp(value, "0") != 0 && parse_soft(value, &ms)))
        return HX_E_INVAL;
    *ret_s = ms / 1000.0;
    return 0;
}

static int parse_ahead(const char *value, uint64_t *ret)
{
    *ret = 0;
    if (!value || (strcmp(value, "0") != 0 && hx_parse_size(value, ret)) || *ret > HX_FUSE_AHEAD_MOST)
        return HX_E_INVAL;
    return 0;
}

static int set_timeout(const struct word *w, const char *value, double *ret_s)
{
    return parse_timeout(value, ret_s) ? bad_value(w->name, value, "1h, or 0") : 0;
}

static int set_config(struct hx_mount_opts *o, const char *path)
{
    free((char *)o->config);
    o->config = path ? realpath(path, NULL) : NULL;
    if (o->config)
        return 0;
    hx_complain(HX_E_CONFIG, "cannot mount", path ? path : "-o config=FILE", NULL);
    return HX_E_CONFIG;
}

static int set_word(struct hx_mount_opts *o, const struct word *w, const char *value)
{
    switch (w->kind) {
    case DROP:
        return 0;
    case ROOT_PASS: /* others get nosuid and nodev from fusermount3, whatever they ask for */
        return geteuid() != 0 || pass(o, w->name) ? 0 : HX_E_TOOBIG;
    case PASS:
        return pass(o, w->name) ? 0 : HX_E_TOOBIG;
    case TAKEOVER:
        o->takeover = true;
        return 0;
    case SOFT:
        return parse_soft(value, &o->soft_ms) ? bad_value("soft", value, "30s") : 0;
    case REPAIR_AFTER:
        return parse_repair(value, &o->repair_after_ms) ? bad_value("repair-after", value, "10min, or never") : 0;
    case REPAIR_RATE:
        return parse_rate(value, &o->repair_rate) ? bad_value("repair-rate", value, "16MiB (a second; from 64KiB)") : 0;
    case SHRINK_AFTER:
        return parse_repair(value, &o->shrink_after_ms) ? bad_value("shrink-after", value, "10min, or never") : 0;
    case CACHE:
        return !value || hx_parse_size(value, &o->cache_bytes) || o->cache_bytes < HX_VOL_CACHE_MIN
                   ? bad_value("cache", value, "64MiB (at least 8MiB)")
                   : 0;
    case WINDOW:
        return !value || hx_parse_size(value, &o->window_bytes) || o->window_bytes < (8u << 20) ||
                       o->window_bytes > (1u << 30)
                   ? bad_value("window", value, "20MiB (8MiB to 1GiB)")
                   : 0;
    case READAHEAD:
        return parse_ahead(value, &o->ahead_bytes) ? bad_value("readahead", value, "4MiB (0 to 64MiB)") : 0;
    case ATTR_TIMEOUT:
        return set_timeout(w, value, &o->attr_s);
    case ENTRY_TIMEOUT:
        return set_timeout(w, value, &o->entry_s);
    case NEGATIVE_TIMEOUT:
        return set_timeout(w, value, &o->negative_s);
    case NOATIME:
    case RELATIME:
    case STRICTATIME: /* the last one counts */
        o->noatime = w->kind == NOATIME;
        o->strictatime = w->kind == STRICTATIME;
        return 0;
    case CONFIG:
        return set_config(o, value);
    case ALLOW_OTHER:
        o->allow_other = true;
        return 0;
    case RO:
        o->read_only = true;
        return 0;
    case RW:
        o->read_only = false;
        return 0;
    case DEBUG:
        o->foreground = o->debug = true;
        return 0;
    case REMOUNT:
        o->remount = true;
        return 0;
    case KERNELS: /* mount(8) takes them from the mount table when it mounts again: they stay as they are */
        o->kernels_word = w->name;
        return 0;
    }
    return 0;
}

static int parse_words(struct hx_mount_opts *o, const char *text, bool sloppy)
{
    char copy[2048], *save = NULL;
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
        return HX_E_TOOBIG;
    for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        char *value = strchr(word, '=');
        const struct word *w = NULL;
        if (strncmp(word, "x-", 2) == 0)
            continue;
        if (value)
            *value++ = '\0';
        for (size_t i = 0; i < HX_ARRAY_LEN(words); i++)
            if (strcmp(words[i].name, word) == 0)
                w = &words[i];
        if (!w && sloppy)
            continue;
        int err = w ? set_word(o, w, value) : unknown_word(word);
        if (err)
            return err;
    }
    return 0;
}

/* ---- command lines ---- */
struct line {
    const char *volume, *dir;
    bool sloppy;
};

/* mount.hexad SPEC DIR [-sfnv] [-N NS] [-t TYPE] [-o OPTIONS], and the same for hexadfs. */
static int parse_helper(int argc, char **argv, struct hx_mount_opts *o, struct line *l)
{
    int c, err = 0;
    bool fuse = !o->helper;
    optind = 1;
    while ((c = getopt(argc, argv, "sfnvdo:t:N:")) != -1) {
        if (c == 's')
            l->sloppy = true;
        else if (c == 'f' && fuse)
            o->foreground = true; /* hexadfs follows the habits of FUSE programs */
        else if (c == 'f')
            o->fake = true;
        else if (c == 'd')
            o->foreground = o->debug = true;
        else if (c == '?')
            return HX_E_OPTION;
    }
    optind = 1; /* each -o counts, as with mount(8); -s, which may come last, is for all of them */
    while (err == 0 && (c = getopt(argc, argv, "sfnvdo:t:N:")) != -1)
        if (c == 'o')
            err = parse_words(o, optarg, l->sloppy);
    if (err)
        return err;
    if (argc - optind != 2) {
        hx_complain(HX_E_INVAL, "cannot mount", "VOLUME and DIR are needed", "mount.hexad VOLUME DIR -o OPTIONS");
        return HX_E_INVAL;
    }
    l->volume = argv[optind];
    l->dir = argv[optind + 1];
    return err;
}

/* 0, an error that was told, or 1: --help. */
static int parse_verb(int argc, char **argv, struct hx_mount_opts *o, struct line *l)
{
    struct hx_args a;
    const char *value;
    int i, err = 0;
    hx_args_init(&a, &verb_spec, argc, argv);
    while ((i = hx_args_next(&a, &value)) >= 0 && err == 0)
        switch (verb_options[i].letter) {
        case 'o':
            err = parse_words(o, value, false);
            break;
        case 'd':
            o->debug = true;
            __attribute__((fallthrough));
        case 'f':
            o->foreground = true;
            break;
        default:
            err = set_config(o, value);
        }
    if (err || i == HX_ARGS_HELP || i == HX_ARGS_ERROR)
        return i == HX_ARGS_HELP ? 1 : err ? err : HX_E_OPTION;
    int first = hx_args_operands(&a);
    if (argc - first != 2) {
        hx_args_complain(&verb_spec, HX_E_INVAL, "VOLUME and DIR are needed");
        return HX_E_INVAL;
    }
    l->volume = argv[first];
    l->dir = argv[first + 1];
    return 0;
}

/* ---- what must hold before anything is started ---- */
static bool fuse_conf_allows(void)
{
    char *text = NULL, *save = NULL;
    size_t len;
    bool yes = false;
    if (hx_file_read("/etc/fuse.conf", 1 << 20, &text, &len))
        return false;
    for (char *line = strtok_r(text, "\n", &save); line && !yes; line = strtok_r(NULL, "\n", &save)) {
        while (isspace((unsigned char)*line))
            line++;
        size_t n = strcspn(line, " \t\r#");
        yes = n == strlen("user_allow_other") && strncmp(line, "user_allow_other", n) == 0;
    }
    free(text);
    return yes;
}

static int check_allow_other(const struct hx_mount_opts *o)
{
    if (!o->allow_other || geteuid() == 0 || fuse_conf_allows())
        return 0;
    hx_complain(HX_E_PERM, "cannot mount", "-o allow_other needs a line in /etc/fuse.conf",
                "as root: echo user_allow_other >> /etc/fuse.conf");
    return HX_E_PERM;
}

static int set_names(struct hx_mount_opts *o, const struct line *l)
{
    char why[HX_WHY_MAX] = "";
    const char *name = strncmp(l->volume, "hexad:", 6) == 0 ? l->volume + 6 : l->volume;
    if (!hx_name_ok(name)) {
        snprintf(why, sizeof why, "'%.80s' is no name of a volume", l->volume);
        hx_complain(HX_E_INVAL, "cannot mount", why, NULL);
        return HX_E_INVAL;
    }
    snprintf(o->volume, sizeof(o->volume), "%s", name);
    int err = hx_place_canonical(l->dir, o->dir, why);
    if (err)
        hx_complain(err, "cannot mount", why, NULL);
    return err;
}

static bool has_word(const char *words_so_far, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = words_so_far; (at = strstr(at, word)); at += n)
        if ((at == words_so_far || at[-1] == ',') && (at[n] == '\0' || at[n] == ','))
            return true;
    return false;
}

/* What is always set, for libfuse.  A mount of root's has set-id programs and devices, as with any filesystem, unless
 * root says otherwise; mount(8) does not even pass "suid" and "dev" on. */
static int complete(struct hx_mount_opts *o)
{
    char always[256];
    if (o->noatime && !pass(o, "noatime"))
        return HX_E_TOOBIG;
    if (geteuid() == 0 && ((!has_word(o->fuse_opts, "nosuid") && !pass(o, "suid")) ||
                           (!has_word(o->fuse_opts, "nodev") && !pass(o, "dev"))))
        return HX_E_TOOBIG;
    snprintf(always, sizeof always, "fsname=hexad:%s,subtype=hexad,default_permissions,max_read=%u%s%s", o->volume,
             HX_FUSE_IO_MAX, o->read_only ? ",ro" : "", o->allow_other ? ",allow_other" : "");
    return pass(o, always) ? 0 : HX_E_TOOBIG;
}

int hx_mount_exit(const struct hx_mount_opts *o, int err)
{
    if (!o->helper || err == 0)
        return hx_exit_code(err);
    switch (hx_err_info(err)->class) {
    case HX_CLASS_USAGE:
        return err == HX_E_MOUNTED || err == HX_E_STALE_MOUNT ? 32 : 1;
    case HX_CLASS_SYSTEM:
        return 2;
    default:
        return 32;
    }
}

void hx_mount_opts_fini(struct hx_mount_opts *o)
{
    free((char *)o->config);
    o->config = NULL;
}

int hx_mount_parse(int argc, char **argv, struct hx_mount_opts *o)
{
    struct line l = {0};
    const char *base = strrchr(argv[0], '/');
    base = base ? base + 1 : argv[0];
    *o = (struct hx_mount_opts){.ahead_bytes = HX_FUSE_AHEAD,
                                .attr_s = HX_FUSE_TIMEOUT_S,
                                .entry_s = HX_FUSE_TIMEOUT_S,
                                .negative_s = HX_FUSE_TIMEOUT_S,
                                .helper = strncmp(base, "mount.", 6) == 0}; /* mount.hexad, mount.fuse.hexadfs */
    argv[0] = (char *)base;
    bool other_name = o->helper || strcmp(base, "hexadfs") == 0;
    int err = other_name ? parse_helper(argc, argv, o, &l) : parse_verb(argc, argv, o, &l);
    if (err == 1)
        return -1;
    if (err == 0)
        err = set_names(o, &l);
    if (err == 0 && o->kernels_word && !o->remount)
        err = unknown_word(o->kernels_word);
    if (err == 0)
        err = check_allow_other(o);
    if (err == 0)
        err = complete(o);
    return err ? hx_mount_exit(o, err) : 0;
}
