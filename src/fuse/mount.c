/*
 * mount.c - the mount process: `hexad mount`, mount.hexad, hexadfs.
 *
 *   check the words and the place -> become a daemon that is waited for -> open the volume -> probe the filesystem,
 *   format it if the volume is new -> mount -> the kernel's first request is answered: READY, the parent exits 0
 *   ... -> unmounted -> CLOSING until everything is durable -> gone
 *
 * Signals: the first SIGTERM or SIGINT unmounts, as `hexad umount` does (busy: says who holds it, and goes on);
 * the second detaches the mount from the tree and closes; the third gives up what is not durable.  SIGKILL is as
 * safe as any of these.
 * Idle moments: freeing what deleted files leave, growing ahead of need, ending earlier (end.c).
 */
#include "fuse_private.h"
#include "hexad/crc.h"
#include "hexad/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GROW_LOOK_LSNS 16u /* free pages are counted again after so many records */

/* ---- saying how it went ---- */
static void cannot(struct hx_mount *m, int err, const char *why)
{
    char what[PATH_MAX + 128];
    snprintf(what, sizeof what, "cannot mount %s on %s", m->opts->volume, m->opts->dir);
    hx_complain(err, what, why, NULL);
}

void hx_mount_stop(struct hx_mount *m, int err)
{
    if (err && m->exit_err == 0)
        m->exit_err = err;
    hx_notify("STOPPING=1");
    if (m->gone)
        hx_runfile_close(&m->run);
    else
        hx_runfile_say(&m->run, "closing");
    hx_vol_close(m->vol);
}

void hx_mount_answered(struct hx_mount *m)
{
    hx_notify("READY=1\nSTATUS=%s on %s", m->opts->volume, m->opts->dir);
    prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
    hx_log(HX_LOG_INFO, "%s is mounted on %s", m->opts->volume, m->opts->dir);
    if (!m->opts->foreground) {
        hx_daemon_ready(0);
        hx_log_init("hexad", HX_LOG_SYSLOG, HX_LOG_INFO);
    }
}

/* ---- the filesystem in the volume ---- */
static void start_failed(struct hx_mount *m, int err)
{
    cannot(m, err, m->opts->read_only && err == HX_E_READ_ONLY ? "the volume is new: mount it read-write once" : NULL);
    hx_mount_stop(m, err);
}

static void mount_now(struct hx_req *r)
{
    struct hx_mount *m = r->m;
    m->reap_all = !m->opts->read_only;
    int err = hx_device_mount(m);
    if (err)
        start_failed(m, err);
}

static int run_start(struct hx_req *r)
{
    struct hx_mount *m = r->m;
    if (hx_vol_state(m->vol) != HX_VOL_OPEN)
        return HX_E_CANCELED;
    int err = m->fs ? 0 : hx_fs_new(hx_vol_pager(m->vol), &m->fs);
    if (err == 0)
        err = hx_fs_probe(m->fs);
    if (err == HX_E_NOENT) {
        if (m->opts->read_only)
            return HX_E_READ_ONLY;
        err = hx_fs_format(hx_vol_pager(m->vol), &r->who);
        if (err == 0) {
            hx_log(HX_LOG_INFO, "volume %s is new: made an empty filesystem", m->opts->volume);
            hx_fs_free(m->fs);
            m->fs = NULL;
            err = hx_fs_new(hx_vol_pager(m->vol), &m->fs);
        }
    }
    return err ? err : hx_req_when_durable(r, mount_now);
}

static void start_fs(struct hx_mount *m)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct hx_req r = {
        .op = {.calls = &hx_req_calls, .changes = true},
        .m = m,
        .run = run_start,
        .failed = start_failed,
        .who = {.uid = getuid(), .gid = getgid(), .now = {now.tv_sec, (uint32_t)now.tv_nsec}},
    };
    hx_req_start(&r);
}

/* ---- idle moments ---- */
static void reap_failed(struct hx_mount *m, int err)
{
    m->reaping = m->reap_all = false;
    if (err != HX_E_CANCELED && err != HX_E_FENCED)
        hx_log_every(60000, HX_LOG_WARN, "space of deleted files is not freed now: HX%04d %s", hx_err_info(err)->code,
                     hx_err_text(err));
}

static int run_reap(struct hx_req *r)
{
    int more = hx_fs_reap(r->m->fs);
    if (more < 0)
        return more;
    r->m->reaping = false;
    if (more == 0)
        r->m->reap_all = false;
    else
        hx_vol_kick(r->m->vol); /* one step, then whatever else there is to do */
    return 0;
}

static void idle(void *ctx)
{
    struct hx_mount *m = ctx;
    struct hx_fs_statfs s;
    if (!m->fs || !m->answered || m->opts->read_only || hx_vol_gated(m->vol))
        return;
    uint64_t last = hx_vol_last(m->vol).v;
    if (last - m->noted_lsn >= GROW_LOOK_LSNS) {
        hx_vol_begin(m->vol);
        if (hx_fs_statfs(m->fs, &s) == 0) {
            if (hx_vol_level(m->vol) == HX_ROOM_PLENTY)
                hx_vol_note_free(m->vol, s.pages_free);
            hx_end_look(m, &s);
        }
        m->noted_lsn = last;
    }
    hx_end_idle(m);
    if (!m->reaping && (m->reap_all || hx_fs_has_work(m->fs))) {
        struct hx_req r = {
            .op = {.calls = &hx_req_calls, .changes = true}, .m = m, .run = run_reap, .failed = reap_failed};
        m->reaping = true;
        hx_req_start(&r);
    }
}

/* ---- the volume's states ---- */
static void fenced(struct hx_mount *m)
{
    hx_notify("STATUS=fenced: %s", hx_vol_why(m->vol));
    /* What the kernel remembers, attributes and bytes, may be older than the volume now, and would be shown as if
     * nothing had happened.  Not of the root: .hexad/status is reached through it. */
    size_t at = 0;
    for (uint64_t ino; m->fs && (ino = hx_fs_known(m->fs, &at)) != 0;)
        hx_note_inode(m->note, ino, 0, 0);
}

static void state(void *ctx, enum hx_vol_state now)
{
    struct hx_mount *m = ctx;
    switch (now) {
    case HX_VOL_OPEN:
        start_fs(m);
        break;
    case HX_VOL_FAILED:
        cannot(m, hx_vol_error(m->vol), hx_vol_why(m->vol));
        m->exit_err = hx_vol_error(m->vol);
        hx_loop_stop(m->loop);
        break;
    case HX_VOL_FENCED:
        if (m->mounted)
            fenced(m);
        if (!m->mounted || m->gone)
            hx_mount_stop(m, HX_E_FENCED);
        break;
    case HX_VOL_CLOSED:
        hx_loop_stop(m->loop);
        break;
    default:
        break;
    }
}

static void waiting(void *ctx, const char *text)
{
    struct hx_mount *m = ctx;
    if (text[0]) {
        hx_log_every(5000, HX_LOG_WARN, "%s: waiting: %s", m->opts->volume, text);
        hx_notify("STATUS=waiting: %s", text);
    } else {
        hx_log(HX_LOG_INFO, "%s: goes on", m->opts->volume);
        hx_notify("STATUS=%s on %s", m->opts->volume, m->opts->dir);
    }
    hx_runfile_say(&m->run, text[0] ? text : m->gone ? "closing" : "mounted");
}

/* ---- signals ---- */

/* In a child, because it may wait for answers of this very process. */
static pid_t spawn_unmount(const char *dir)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (umount2(dir, UMOUNT_NOFOLLOW) == 0)
        _exit(0);
    if (errno == EPERM)
        execlp("fusermount3", "fusermount3", "-u", "-q", "--", dir, (char *)NULL);
    _exit(1);
}

static void unmounted(void *ctx)
{
    struct hx_mount *m = ctx;
    char text[1024];
    int status = 0;
    pid_t got = waitpid(m->unmounter, &status, WNOHANG);
    if (got == 0) {
        hx_timer_set(m->unmount_timer, 10);
        return;
    }
    m->unmounter = 0;
    if (got > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return; /* the device says so, too: gone() in device.c */
    struct hx_place place;
    if (hx_place_find(m->opts->dir, &place) || !place.mounted || m->gone)
        return;
    unsigned n = hx_place_holders(m->opts->dir, &place, 8, text, sizeof text);
    hx_log(HX_LOG_WARN, "%s cannot be unmounted: held by %u process%s%s%s; another signal detaches it", m->opts->dir, n,
           n == 1 ? "" : "es", n ? ": " : "", text);
    hx_notify("STATUS=cannot be unmounted: in use");
}

static void on_signal(void *ctx)
{
    struct hx_mount *m = ctx;
    m->stop_signals++;
    if (!m->mounted) {
        m->exit_err = HX_E_CANCELED;
        hx_vol_abandon(m->vol);
    } else if (hx_vol_state(m->vol) == HX_VOL_CLOSING) {
        if (m->stop_signals > 1)
            hx_vol_abandon(m->vol);
    } else if (m->stop_signals == 1) {
        m->unmounter = spawn_unmount(m->opts->dir);
        hx_timer_set(m->unmount_timer, 1);
    } else {
        hx_log(HX_LOG_WARN, "%s is detached", m->opts->dir);
        m->gone = true;
        hx_mount_stop(m, 0); /* first: it answers those who wait, and an answer needs the session */
        hx_device_end(m);
    }
}

/* ---- the process ---- */
static void unmake(struct hx_mount *m)
{
    hx_device_end(m);
    hx_fs_free(m->fs);
    hx_vol_free(m->vol);
    if (m->signal_timer)
        hx_timer_free(m->signal_timer);
    if (m->full_timer)
        hx_timer_free(m->full_timer);
    if (m->unmount_timer)
        hx_timer_free(m->unmount_timer);
    if (m->loop)
        hx_loop_free(m->loop);
    hx_spill_fini(&m->spill);
    hx_runfile_drop(&m->run);
    hx_client_conf_free(&m->conf);
}

static int make(struct hx_mount *m, char why[HX_WHY_MAX])
{
    int err = hx_loop_new(&m->loop);
    if (err == 0)
        err = hx_timer_new(m->loop, hx_req_signals, m, &m->signal_timer);
    if (err == 0)
        err = hx_timer_new(m->loop, hx_req_full, m, &m->full_timer);
    if (err == 0)
        err = hx_timer_new(m->loop, unmounted, m, &m->unmount_timer);
    if (err == 0)
        err = hx_loop_on_signal(m->loop, SIGTERM, on_signal, m);
    if (err == 0)
        err = hx_loop_on_signal(m->loop, SIGINT, on_signal, m);
    if (err)
        return err;
    struct hx_vol_cfg cfg = {
        .loop = m->loop,
        .conf = &m->conf,
        .name = m->opts->volume,
        .where = m->opts->dir,
        .takeover = m->opts->takeover,
        .read_only = m->opts->read_only,
        .cache_bytes = m->opts->cache_bytes,
        .window_bytes = m->opts->window_bytes,
        .soft_ms = m->opts->soft_ms,
        .repair_after_ms = m->opts->repair_after_ms,
        .repair_rate = m->opts->repair_rate,
        .state = state,
        .waiting = waiting,
        .run = hx_req_again,
        .idle = idle,
        .ctx = m,
    };
    return hx_vol_open(&cfg, &m->vol, why);
}

/* Volumes of other fleets may have the same name: the servers belong to what a volume is known by on this machine. */
static void whose_of(const struct hx_mount_opts *o, const struct hx_client_conf *conf, char *text, size_t cap)
{
    uint32_t crc = 0;
    for (uint32_t i = 0; i < conf->server_count; i++)
        crc = hx_crc32c(crc, conf->servers[i].url, strlen(conf->servers[i].url) + 1);
    snprintf(text, cap, "%s %08x", o->volume, crc);
}

static int run(struct hx_mount_opts *opts, struct hx_client_conf *conf)
{
    struct hx_mount m = {.opts = opts, .conf = *conf, .run = {.fd = -1}};
    whose_of(opts, conf, m.run.whose, sizeof m.run.whose);
    m.run.read_only = opts->read_only;
    char why[HX_WHY_MAX] = "";
    uint64_t cache = opts->cache_bytes ? opts->cache_bytes : HX_VOL_CACHE_DEFAULT;
    hx_ahead_init(&m.ahead, opts->ahead_bytes, cache / HX_FUSE_AHEAD_SHARE);
    hx_spill_init(&m.spill, opts->dir);
    signal(SIGPIPE, SIG_IGN);
    if (!opts->foreground)
        signal(SIGHUP, SIG_IGN);
    int err = make(&m, why);
    if (err)
        cannot(&m, err, why);
    else
        err = hx_loop_run(m.loop);
    if (err == 0)
        err = m.exit_err;
    if (m.vol && m.answered && err == 0 && hx_vol_error(m.vol)) {
        err = hx_vol_error(m.vol);
        hx_log(HX_LOG_ERR, "%s: ended: HX%04d %s: %s", opts->volume, hx_err_info(err)->code, hx_err_text(err),
               hx_vol_why(m.vol));
    } else if (m.answered) {
        hx_log(HX_LOG_INFO, "%s: ended, everything is durable", opts->volume);
    }
    unmake(&m);
    return hx_mount_exit(opts, err);
}

/* ---- before anything is started ---- */
/* libfuse opens it as us, also where fusermount3 mounts. */
static int check_device(char why[HX_WHY_MAX])
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    snprintf(why, HX_WHY_MAX, "/dev/fuse: %s", strerror(errno));
    return HX_E_FUSE;
}

/* 0: free to mount on; HX_E_MOUNTED, HX_E_STALE_MOUNT, ... */
static int check_place(struct hx_mount_opts *o, char why[HX_WHY_MAX])
{
    struct hx_place place;
    struct stat st;
    struct statvfs fs;
    char source[HX_NAME_MAX + 16];
    int err = hx_place_find(o->dir, &place);
    snprintf(source, sizeof source, "hexad:%s", o->volume);
    bool ours = err == 0 && place.mounted && strcmp(place.type, "fuse.hexad") == 0;
    if (ours && hx_runfile_alive(&place)) {
        snprintf(why, HX_WHY_MAX, "%.100s is mounted on %.100s", place.source, o->dir);
        return strcmp(place.source, source) == 0 ? HX_E_MOUNTED : HX_E_IN_USE;
    }
    /* A dead mount's root may still be in the kernel's attribute cache; statvfs is never answered from there. */
    if (stat(o->dir, &st) < 0 || (place.mounted && statvfs(o->dir, &fs) < 0)) {
        snprintf(why, HX_WHY_MAX, "%.180s: %s", o->dir, strerror(errno));
        return errno == ENOTCONN ? HX_E_STALE_MOUNT : hx_err_from_errno(errno);
    }
    if (ours && strcmp(place.source, source) == 0) {
        snprintf(why, HX_WHY_MAX, "%.100s is mounted on %.100s", place.source, o->dir);
        return HX_E_MOUNTED;
    }
    if (!S_ISDIR(st.st_mode)) {
        snprintf(why, HX_WHY_MAX, "%.180s", o->dir);
        return HX_E_NOTDIR;
    }
    return 0;
}

static int refuse(const struct hx_mount_opts *o, int err, const char *why)
{
    char what[PATH_MAX + 128], hint[PATH_MAX + 64];
    snprintf(what, sizeof what, "cannot mount %s on %s", o->volume, o->dir);
    const char *say = NULL;
    if (err == HX_E_STALE_MOUNT) {
        snprintf(hint, sizeof hint, "%s %s, then mount again", geteuid() ? "fusermount3 -u -z" : "umount -l", o->dir);
        say = hint;
    } else if (err == HX_E_MOUNTED) {
        snprintf(hint, sizeof hint, "hexad umount %s", o->dir);
        say = hint;
    }
    hx_complain(err, what, why, say);
    if (err == HX_E_MOUNTED)
        return o->helper ? 0 : HX_EXIT_BUSY;
    return hx_mount_exit(o, err);
}

/* A daemon lives in "/": paths that are relative to the present directory must not stay so. */
static void make_absolute(char **io_path)
{
    char *path = realpath(*io_path, NULL);
    if (!path)
        return; /* hx_tls_check says what is wrong with it */
    free(*io_path);
    *io_path = path;
}

static int start(struct hx_mount_opts *o)
{
    struct hx_client_conf conf;
    char why[HX_WHY_MAX] = "";
    int err = check_place(o, why);
    if (err == 0)
        err = check_device(why);
    if (err == 0)
        err = hx_client_conf_load(o->config, &conf, why);
    if (err)
        return refuse(o, err, why);
    make_absolute(&conf.ca);
    make_absolute(&conf.cert);
    make_absolute(&conf.key);
    struct hx_tls_cfg tls = {conf.ca, conf.cert, conf.key};
    err = hx_tls_check(&tls, why);
    if (err == 0 && !o->fake && !o->takeover) {
        char whose[sizeof ((struct hx_runfile *)0)->whose];
        whose_of(o, &conf, whose, sizeof whose);
        hx_runfile_wait_closing(whose, o->soft_ms);
    }
    if (err == 0 && !o->fake && !o->foreground) {
        pid_t parent = getpid();
        err = hx_daemon_start();
        if (err == 0 && prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) == 0 && getppid() != parent)
            err = HX_E_CANCELED; /* it has gone already */
    }
    if (err || o->fake) {
        hx_client_conf_free(&conf);
        return err ? refuse(o, err, why) : 0;
    }
    int code = run(o, &conf);
    hx_daemon_ready(code);
    return code;
}

int hx_mount_main(int argc, char **argv)
{
    struct hx_mount_opts o;
    int code = hx_mount_parse(argc, argv, &o);
    hx_log_init("hexad", HX_LOG_STDERR, o.debug ? HX_LOG_DEBUG : o.foreground ? HX_LOG_INFO : HX_LOG_WARN);
    if (code == 0)
        code = o.remount ? hx_remount(&o) : start(&o);
    hx_mount_opts_fini(&o);
    return code < 0 ? 0 : code;
}
