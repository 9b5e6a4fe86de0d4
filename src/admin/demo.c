/*
 * demo.c - `hexad demo`: the order of things.
 *
 *   start   directory, lock, watcher, certificates, ports, servers, volume, mount, control socket
 *   run     COMMAND in the mount's root, or the foreground until Ctrl-C; requests of other shells
 *   end     what COMMAND left, mount (in order: everything durable), servers, files, watcher; whatever happened before
 *
 * Parts: demo_dir.c, demo_process.c, demo_server.c, demo_mount.c, demo_watch.c, demo_control.c, demo_client.c.
 * Threads: one.  Memory: one struct demo.
 */
#include "demo.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPT_DIR, OPT_KEEP, OPT_MOUNT, OPT_PG_SIZE, OPT_JSON };
static const struct hx_opt opts[] = {
    [OPT_DIR] = {"dir", 0, "DIR", "put everything there; the mount is DIR/mnt (./hexad-demo)"},
    [OPT_KEEP] = {"keep", 0, NULL, "leave it there, for good; --dir DIR reopens it"},
    [OPT_MOUNT] = {"options", 'o', "OPTIONS", "options for the mount"},
    [OPT_PG_SIZE] = {"pg-size", 0, "SIZE", "size of a protection group, from 1MiB (10GiB)"},
    [OPT_JSON] = {"json", 0, NULL, "print one JSON document when it runs"},
    {NULL, 0, NULL, NULL},
};
static const char *const examples[] = {
    "hexad demo                                        (until Ctrl-C)",
    "hexad demo -- sqlite3 app.db 'create table t(x);' (a command in the mount)",
    "hexad demo kill az-b | kill c1 | stop c1 | heal | status   (from another shell)",
    NULL,
};
static const struct hx_args_spec spec = {
    .command = "hexad demo",
    .usage = "[options] [-- COMMAND...]  |  kill|stop|heal|status [WHAT] [--dir DIR]",
    .examples = examples,
    .opts = opts,
    .notes = "Six segment servers in three zones, a volume and a mount on this machine, all removed\n"
             "at the end.  With COMMAND: runs in the mount, in a temporary directory; its exit code.",
    .stop_at_operand = true,
};

/* ---- start ---- */

static int make_volume(struct demo *d)
{
    struct hx_client_conf conf;
    struct hx_uuid volume;
    char path[PATH_MAX + 16], why[HX_WHY_MAX];
    snprintf(path, sizeof path, "%s/hexad.conf", d->dir);
    int err = hx_client_conf_load(path, &conf, why);
    if (!err) {
        err = admin_create_volume(&conf, DEMO_VOLUME, d->pg_bytes, &volume, why);
        hx_client_conf_free(&conf);
    }
    if (err == HX_E_EXISTS_VOLUME)
        err = 0;
    return err ? admin_fail(d->json, err, "cannot create " DEMO_VOLUME, why, NULL) : 0;
}

static int start(struct demo *d, bool temporary)
{
    int code = demo_dir_open(d, temporary), err;
    if (code)
        return code;
    err = demo_watch_start(d);
    if (!err)
        err = demo_control_open(d);
    if (err)
        return admin_fail(d->json, err, "hexad demo", NULL, NULL);
    code = demo_dir_layout(d);
    if (!code)
        code = demo_dir_certificates(d);
    if (!code)
        code = demo_server_start_all(d);
    if (!code)
        code = d->stop_signal ? HX_EXIT_FAILED : make_volume(d);
    if (!code)
        code = d->stop_signal ? HX_EXIT_FAILED : demo_mount_start(d);
    if (!code)
        d->mount_ready = true;
    return code;
}

static void show_json(const struct demo *d)
{
    json_t *servers = json_array();
    for (unsigned i = 0; i < DEMO_SERVERS; i++)
        json_array_append_new(servers, json_pack("{s:s, s:s, s:i, s:i}", "name", demo_names[i], "zone", demo_zones[i],
                                                 "port", d->servers[i].port, "pid", (int)d->servers[i].proc.pid));
    admin_print(json_pack("{s:s, s:s, s:s, s:i, s:o}", "dir", d->dir, "mount", d->mnt, "volume", DEMO_VOLUME,
                          "mount_pid", (int)d->mount.pid, "servers", servers));
    fflush(stdout);
}

static void show(const struct demo *d)
{
    const struct demo_server *s = d->servers;
    const char *shown = d->shown;
    bool usual = strcmp(shown, DEMO_DEFAULT_DIR) == 0;
    char dir[PATH_MAX + 16] = "";
    if (!usual)
        snprintf(dir, sizeof dir, " --dir %s", shown);
    printf("hexad demo: 6 segment servers in 3 zones, mutual TLS, throw-away certificates   (%.1f s)\n"
           "  az-a  a1 https://127.0.0.1:%d   a2 :%d\n"
           "  az-b  b1 :%d          b2 :%d         write quorum 4/6   read quorum 3/6\n"
           "  az-c  c1 :%d          c2 :%d\n"
           "  mounted " DEMO_VOLUME " on %s/mnt%s\n",
           (double)(hx_clock_mono_ms() - d->started_ms) / 1000.0, s[0].port, s[1].port, s[2].port, s[3].port,
           s[4].port, s[5].port, shown, d->reopened ? "   (reopened)" : "");
    printf("try:   sqlite3 %s/mnt/t.db 'create table t(x); insert into t values(1);'\n"
           "       hexad demo kill az-b%s          (writes go on: 4 of 6)\n"
           "       hexad demo kill c1%s            (writes wait, reads go on; heal with: hexad demo heal%s)\n"
           "stop:  Ctrl-C (%s)\n",
           shown, dir, dir, dir, d->keep ? "keeps everything there" : "removes everything; keep with --keep");
    fflush(stdout);
}

/* ---- run ---- */

static void report_ends(struct demo *d)
{
    struct demo_proc *all[DEMO_SERVERS + 1];
    for (unsigned i = 0; i < DEMO_SERVERS; i++)
        all[i] = &d->servers[i].proc;
    all[DEMO_SERVERS] = &d->mount;
    for (size_t i = 0; i < HX_ARRAY_LEN(all); i++) {
        struct demo_proc *p = all[i];
        if (p->state != DEMO_PROC_DEAD || p->told)
            continue;
        p->told = true;
        if (WIFSIGNALED(p->status))
            hx_log(HX_LOG_WARN, "%s ended by signal %d; hexad demo heal starts it again", p->name, WTERMSIG(p->status));
        else
            hx_log(HX_LOG_WARN, "%s ended with code %d; hexad demo heal starts it again", p->name,
                   WEXITSTATUS(p->status));
    }
}

static void wait_once(struct demo *d, uint64_t limit_ms)
{
    struct pollfd fd = {.fd = d->control_fd, .events = POLLIN};
    demo_process_poll(d, &fd, 1, limit_ms);
    if (fd.revents & POLLIN)
        demo_control_serve(d);
    report_ends(d);
}

static int exit_code(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run_command(struct demo *d)
{
    const struct demo_spawn spawn = {.file = d->command[0], .argv = d->command, .cwd = d->mnt, .keep_fd = -1};
    int err = demo_process_spawn(d, &d->command_proc, "command", &spawn);
    if (err)
        return admin_fail(d->json, err, d->command[0], NULL, NULL);
    uint64_t kill_at = UINT64_MAX;
    while (demo_process_alive(&d->command_proc)) {
        uint64_t now = hx_clock_mono_ms();
        if (d->stop_signal && kill_at == UINT64_MAX)
            kill_at = now + 5000;
        if (now >= kill_at)
            demo_process_signal(&d->command_proc, SIGKILL);
        wait_once(d, kill_at == UINT64_MAX ? UINT64_MAX : now < kill_at ? kill_at - now : 100);
    }
    return exit_code(d->command_proc.status);
}

static int run(struct demo *d)
{
    if (d->json)
        show_json(d);
    else if (!d->command)
        show(d);
    if (d->command)
        return run_command(d);
    while (!d->stop_signal)
        wait_once(d, UINT64_MAX);
    return HX_EXIT_OK;
}

/* ---- end ---- */

static void finish(struct demo *d)
{
    demo_process_end_orphans(d);
    if (d->control_fd >= 0) {
        close(d->control_fd);
        (void)unlinkat(d->dir_fd, "control", 0);
    }
    if (d->mnt[0])
        demo_mount_end(d);
    if (demo_server_end_all(d) != 0)
        hx_log(HX_LOG_WARN, "a server does not end");
    if (d->made_files && !d->keep)
        demo_dir_remove(d->dir_fd, d->dir, d->made_dir);
    demo_watch_end(d);
}

static int run_demo(struct demo *d, bool temporary)
{
    d->started_ms = hx_clock_mono_ms();
    d->dir_fd = d->lock_fd = d->signal_fd = d->watch_fd = d->control_fd = d->notify_fd = -1;
    for (unsigned i = 0; i < DEMO_SERVERS; i++) {
        d->servers[i].zone = demo_zones[i];
        d->servers[i].ready_fd = -1;
    }
    int err = demo_process_init(d);
    if (err)
        return admin_fail(d->json, err, "hexad demo", NULL, NULL);
    int code = start(d, temporary);
    if (!code)
        code = run(d);
    else if (d->stop_signal)
        code = 128 + d->stop_signal;
    finish(d);
    return code;
}

/* ---- command line ---- */

static int set_dir(struct demo *d, const char *dir)
{
    char cwd[PATH_MAX];
    d->shown = dir;
    if (*dir != '/' && !getcwd(cwd, sizeof cwd))
        return hx_err_from_errno(errno);
    int n = *dir == '/' ? snprintf(d->dir, sizeof d->dir, "%s", dir)
                        : snprintf(d->dir, sizeof d->dir, "%s/%s", cwd, dir);
    return n < 0 || (size_t)n >= sizeof d->dir ? HX_E_NAMETOOLONG : 0;
}

static int unknown(const char *word)
{
    static const char *const words[] = {"kill", "stop", "heal", "status"};
    char why[HX_WHY_MAX];
    const char *near = hx_nearest(word, words, HX_ARRAY_LEN(words));
    snprintf(why, sizeof why, "'%.60s'%s%s%s; a command to run stands behind --", word, near ? "; is it '" : "",
             near ? near : "", near ? "'?" : "");
    return hx_args_complain(&spec, HX_E_INVAL, why);
}

int admin_demo_main(int argc, char **argv)
{
    static struct demo demo;
    struct demo *d = &demo;
    struct hx_args a;
    const char *value, *dir = NULL;
    int opt;
    hx_args_init(&a, &spec, argc, argv);
    while ((opt = hx_args_next(&a, &value)) >= 0) {
        if (opt == OPT_DIR)
            dir = value;
        else if (opt == OPT_KEEP)
            d->keep = true;
        else if (opt == OPT_MOUNT)
            d->mount_options = value;
        else if (opt == OPT_JSON)
            d->json = true;
        else if (hx_parse_size(value, &d->pg_bytes) < 0 || d->pg_bytes < HX_PG_SIZE_MIN ||
                 d->pg_bytes > HX_PG_SIZE_MAX || d->pg_bytes % HX_PG_SIZE_MIN)
            return hx_args_complain(&spec, HX_E_INVAL, "--pg-size: whole MiB with unit, from 1MiB to 1TiB");
    }
    if (opt != HX_ARGS_END)
        return opt == HX_ARGS_HELP ? HX_EXIT_OK : HX_EXIT_USAGE;
    int first = hx_args_operands(&a);
    bool dashes = first > 0 && strcmp(argv[first - 1], "--") == 0;
    if (first < argc && !dashes)
        return demo_client_knows(argv[first]) ? demo_client_main(dir, d->json, argc - first, argv + first)
                                              : unknown(argv[first]);
    if (dashes && first == argc)
        return hx_args_complain(&spec, HX_E_INVAL, "no command behind --");
    d->command = dashes ? argv + first : NULL;
    bool temporary = d->command && !dir && !d->keep;
    int err = temporary ? 0 : set_dir(d, dir ? dir : DEMO_DEFAULT_DIR);
    return err ? admin_fail(d->json, err, "hexad demo", dir, NULL) : run_demo(d, temporary);
}
