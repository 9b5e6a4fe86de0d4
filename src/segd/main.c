/*
 * main.c - hexad-segmentd: options, configuration, then daemon.c; or look.c, which needs no configuration.
 * Stays in the foreground: systemd, a shell or `hexad demo` watches it.
 */
#include "hexad/args.h"
#include "hexad/conf.h"
#include "hexad/net.h"
#include "segd.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { OPT_CONFIG, OPT_NAME, OPT_ZONE, OPT_LISTEN, OPT_DATA, OPT_CA, OPT_CERT, OPT_KEY, OPT_CHECK_STORE,
       OPT_DUMP, OPT_CHECK, OPT_JSON, OPT_READY_FD, OPT_DEBUG, OPT_VERSION };

static const struct hx_opt opts[] = {
    [OPT_CONFIG] = {"config", 'c', "FILE", "configuration (/etc/hexad/segmentd.conf)"},
    [OPT_NAME] = {"name", 0, "NAME", "name of this server, as in its certificate"},
    [OPT_ZONE] = {"zone", 0, "ZONE", "availability zone that it stands in"},
    [OPT_LISTEN] = {"listen", 0, "HOST:PORT", "address to listen on; port 0 picks a free one"},
    [OPT_DATA] = {"data", 0, "DIR", "data directory"},
    [OPT_CA] = {"ca", 0, "FILE", "certificate of the authority that all sides trust"},
    [OPT_CERT] = {"cert", 0, "FILE", "certificate of this server"},
    [OPT_KEY] = {"key", 0, "FILE", "its private key (mode 600)"},
    [OPT_CHECK_STORE] = {"check", 0, "DIR", "look through a data directory, change nothing: 0 clean, 1 damaged"},
    [OPT_DUMP] = {"dump", 0, "DIR", "say what the bytes are: --dump DIR [SEGMENT [FILE]]"},
    [OPT_JSON] = {"json", 0, NULL, "with --check: print one JSON document"},
    [OPT_CHECK] = {"check-config", 0, NULL, "read configuration and certificates, say what is wrong, end"},
    [OPT_READY_FD] = {"ready-fd", 0, "N", "write the port to this descriptor when the server listens"},
    [OPT_DEBUG] = {"debug", 'd', NULL, "log more"},
    [OPT_VERSION] = {"version", 'V', NULL, "print the version"},
    {NULL, 0, NULL, NULL},
};
static const char *const examples[] = {
    "hexad-segmentd -c /etc/hexad/segmentd.conf",
    "hexad-segmentd -c segmentd.conf --check-config",
    "hexad-segmentd --check /var/lib/hexad",
    NULL,
};
static const struct hx_args_spec spec = {
    .command = "hexad-segmentd",
    .usage = "[-c FILE] [options]",
    .examples = examples,
    .opts = opts,
    .notes = "Options override the file.  SIGTERM ends the server in order; see hexad-segmentd(8).",
};

struct line {
    const char *config;
    struct hx_segmentd_override over;
    const char *look, *dump, *segment, *file; /* look.c */
    bool check, json;
    int ready_fd;
};

/* 0: go on; else HX_ARGS_* or 1 after --version. */
static int parse(int argc, char **argv, struct line *l)
{
    struct hx_args a;
    const char *value;
    uint64_t fd;
    int opt;
    const char **text[] = {
        [OPT_CONFIG] = &l->config,      [OPT_NAME] = &l->over.name, [OPT_ZONE] = &l->over.zone,
        [OPT_LISTEN] = &l->over.listen, [OPT_DATA] = &l->over.data, [OPT_CA] = &l->over.ca,
        [OPT_CERT] = &l->over.cert,     [OPT_KEY] = &l->over.key,   [OPT_CHECK_STORE] = &l->look,
        [OPT_DUMP] = &l->dump,
    };
    hx_args_init(&a, &spec, argc, argv);
    while ((opt = hx_args_next(&a, &value)) >= 0) {
        if (opt <= OPT_DUMP) {
            *text[opt] = value;
        } else if (opt == OPT_CHECK) {
            l->check = true;
        } else if (opt == OPT_JSON) {
            l->json = true;
        } else if (opt == OPT_DEBUG) {
            hx_log_init("hexad-segmentd", HX_LOG_STDERR, HX_LOG_DEBUG);
        } else if (opt == OPT_VERSION) {
            printf("hexad-segmentd %s\n", HX_VERSION);
            return 1;
        } else if (hx_parse_u64(value, 1023, &fd) < 0) {
            hx_args_complain(&spec, HX_E_INVAL, "--ready-fd needs a descriptor's number");
            return HX_ARGS_ERROR;
        } else {
            l->ready_fd = (int)fd;
        }
    }
    int at = opt == HX_ARGS_END ? hx_args_operands(&a) : argc;
    if (l->dump && at < argc)
        l->segment = argv[at++];
    if (l->segment && at < argc)
        l->file = argv[at++];
    if (at < argc || (l->json && !l->look && opt == HX_ARGS_END)) {
        hx_args_complain(&spec, HX_E_INVAL, at < argc ? argv[at] : "--json goes with --check");
        return HX_ARGS_ERROR;
    }
    return opt == HX_ARGS_END ? 0 : opt;
}

/* No key may end in a core file or be read by a debugger of the same user. */
static void harden(void)
{
    const struct rlimit none = {0, 0};
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    (void)setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* the leak checker traces its own process */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

static int check_only(const struct hx_segmentd_conf *conf)
{
    char why[HX_WHY_MAX] = "";
    const struct hx_tls_cfg tls = {conf->ca, conf->cert, conf->key};
    int err = hx_tls_check(&tls, why);
    if (err)
        hx_complain(err, "configuration", why, NULL);
    else
        printf("hexad-segmentd: %s is fine: %s (%s) on %s\n", conf->path, conf->name, conf->zone, conf->listen);
    return hx_exit_code(err);
}

int main(int argc, char **argv)
{
    struct line l = {.ready_fd = -1};
    struct hx_segmentd_conf conf;
    char why[HX_WHY_MAX];
    hx_log_init("hexad-segmentd", HX_LOG_STDERR, HX_LOG_INFO);
    int res = parse(argc, argv, &l);
    if (res == HX_ARGS_ERROR)
        return HX_EXIT_USAGE;
    if (res)
        return HX_EXIT_OK;
    harden();
    if (l.look || l.dump)
        return l.look ? segd_check(l.look, l.json) : segd_dump(l.dump, l.segment, l.file);
    int err = hx_segmentd_conf_load(l.config, &l.over, &conf, why);
    if (err) {
        hx_complain(err, "configuration", why, err == HX_E_NOENT ? "name the file: hexad-segmentd -c FILE" : NULL);
        return hx_exit_code(err);
    }
    const struct segd_start start = {&conf, l.ready_fd};
    int code = l.check ? check_only(&conf) : segd_run(&start);
    hx_segmentd_conf_free(&conf);
    return code;
}
