/*
 * demo_control.c - DIR/control: kill, stop, heal, status from another shell (demo_client.c), one request a connection.
 *
 * Request: one line of words, "kill az-b c1".  Answer: "EXITCODE\n", then text for the user, then the end.
 * kill answers when the processes are gone, stop when they stand still, heal when the servers listen and the mount
 * answers.  The socket is 0600 in a directory of mode 0700.  A client that goes away early loses only the text.
 */
#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DYING_MS 300u
#define GONE_MS 15000u

struct answer {
    int code;
    size_t len;
    char text[4096];
};
struct chosen {
    struct demo_proc *procs[DEMO_SERVERS + 1];
    unsigned count;
};

__attribute__((format(printf, 2, 3))) static void say(struct answer *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(a->text + a->len, sizeof a->text - a->len, fmt, ap);
    va_end(ap);
    if (n > 0)
        a->len += (size_t)n < sizeof a->text - a->len ? (size_t)n : sizeof a->text - a->len - 1;
}

int demo_control_open(struct demo *d)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)unlinkat(d->dir_fd, "control", 0);
    int err = demo_dir_socket(d->dir_fd, a.sun_path);
    if (err)
        return err;
    d->control_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t old = umask(0177);
    bool ok = d->control_fd >= 0 && bind(d->control_fd, (struct sockaddr *)&a, sizeof a) == 0 &&
              listen(d->control_fd, 16) == 0;
    int eno = errno;
    umask(old);
    return ok ? 0 : hx_err_from_errno(eno);
}

/* ---- what the words mean ---- */

static void choose(struct chosen *c, struct demo_proc *p)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->procs[i] == p)
            return;
    c->procs[c->count++] = p;
}

/* A server, a zone, "servers", "mount" or "all". */
static bool choose_word(struct demo *d, struct chosen *c, const char *word)
{
    bool all = strcmp(word, "all") == 0, found = all;
    for (unsigned i = 0; i < DEMO_SERVERS; i++) {
        if (!all && strcmp(word, "servers") != 0 && strcmp(word, demo_names[i]) != 0 &&
            strcmp(word, demo_zones[i]) != 0)
            continue;
        choose(c, &d->servers[i].proc);
        found = true;
    }
    if (all || strcmp(word, "mount") == 0) {
        choose(c, &d->mount);
        found = true;
    }
    return found;
}

static void unknown(struct answer *a, const char *word)
{
    static const char *const known[] = {"az-a", "az-b", "az-c", "a1",      "a2",    "b1", "b2",
                                        "c1",   "c2",   "all",  "servers", "mount"};
    const char *near = hx_nearest(word, known, HX_ARRAY_LEN(known));
    a->code = HX_EXIT_USAGE;
    say(a, "hexad demo: '%.40s' is no server and no zone%s%s%s\n", word, near ? "; is it '" : "", near ? near : "",
        near ? "'?" : "");
}

/* ---- kill, stop ---- */

static bool wait_stopped(struct demo *d, struct demo_proc *p)
{
    uint64_t end = hx_clock_mono_ms() + GONE_MS;
    demo_process_reap(d);
    while (p->state == DEMO_PROC_RUNNING && hx_clock_mono_ms() < end)
        demo_process_poll(d, NULL, 0, 50); /* SIGCHLD wakes it */
    return p->state != DEMO_PROC_RUNNING;
}

static void do_signal(struct demo *d, const struct chosen *c, struct answer *a, bool kills)
{
    for (unsigned i = 0; i < c->count; i++) {
        c->procs[i]->told = kills || c->procs[i]->told;
        demo_process_signal(c->procs[i], kills ? SIGKILL : SIGSTOP);
    }
    say(a, "hexad demo: %s:", kills ? "killed" : "stopped");
    for (unsigned i = 0; i < c->count; i++) {
        struct demo_proc *p = c->procs[i];
        bool ok = kills ? demo_process_wait(d, p, GONE_MS) : wait_stopped(d, p);
        if (!ok)
            a->code = HX_EXIT_FAILED;
        say(a, " %s%s", p->name, ok ? "" : " (still there!)");
    }
    say(a, "\n");
}

/* ---- heal ---- */

static void do_continue(struct demo *d, struct demo_proc *p, struct answer *a)
{
    if (p->state != DEMO_PROC_STOPPED)
        return;
    uint64_t end = hx_clock_mono_ms() + GONE_MS;
    demo_process_signal(p, SIGCONT);
    while (p->state == DEMO_PROC_STOPPED && hx_clock_mono_ms() < end)
        demo_process_poll(d, NULL, 0, 50);
    say(a, " %s continues", p->name);
}

static void do_heal(struct demo *d, struct answer *a)
{
    /* `kill -9 A B; hexad demo heal`: the kernel has the signals, and the processes may still be on their way out. */
    for (uint64_t end = hx_clock_mono_ms() + DYING_MS; hx_clock_mono_ms() < end;)
        demo_process_poll(d, NULL, 0, 50);
    bool dead[DEMO_SERVERS], remount = d->mount_ready && !demo_process_alive(&d->mount);
    say(a, "hexad demo: healed:");
    for (unsigned i = 0; i < DEMO_SERVERS; i++) {
        do_continue(d, &d->servers[i].proc, a);
        dead[i] = !demo_process_alive(&d->servers[i].proc);
    }
    do_continue(d, &d->mount, a);
    if (demo_server_start_all(d) != 0) {
        a->code = HX_EXIT_FAILED;
        say(a, " servers do not start (see the demo's own terminal)\n");
        return;
    }
    for (unsigned i = 0; i < DEMO_SERVERS; i++)
        if (dead[i])
            say(a, " %s restarted", demo_names[i]);
    if (remount) {
        int code = demo_mount_start(d);
        a->code = code;
        say(a, code ? " the mount does not start (see the demo's own terminal)" : " mounted again");
    }
    say(a, "\n");
}

/* ---- status ---- */

static void say_process(struct answer *a, const struct demo_proc *p, const char *name, const char *zone, int port)
{
    static const char *const word[] = {"-", "running", "stopped", "dead"};
    char where[24] = "";
    if (port)
        snprintf(where, sizeof where, ":%d", port);
    if (demo_process_alive(p))
        say(a, "  %-6s %-5s %-8s pid %-8d %s\n", name, zone, word[p->state], (int)p->pid, where);
    else
        say(a, "  %-6s %-5s %-8s %-12s %s\n", name, zone, word[p->state], "", where);
}

static void do_status(struct demo *d, struct answer *a)
{
    demo_process_reap(d);
    for (unsigned i = 0; i < DEMO_SERVERS; i++)
        say_process(a, &d->servers[i].proc, demo_names[i], demo_zones[i], d->servers[i].port);
    say_process(a, &d->mount, "mount", "", 0);
}

/* ---- one request ---- */

static void carry_out(struct demo *d, char *line, struct answer *a)
{
    struct chosen c = {.count = 0};
    char *verb = strsep(&line, " "), *word;
    bool kills = strcmp(verb, "kill") == 0, stops = strcmp(verb, "stop") == 0;
    while ((kills || stops) && (word = strsep(&line, " ")) != NULL)
        if (*word && !choose_word(d, &c, word)) {
            unknown(a, word);
            return;
        }
    if ((kills || stops) && c.count == 0) {
        a->code = HX_EXIT_USAGE;
        say(a, "hexad demo: %s what? az-a, b1, servers, mount, all\n", verb);
    } else if (kills || stops) {
        do_signal(d, &c, a, kills);
    } else if (strcmp(verb, "heal") == 0) {
        do_heal(d, a);
    } else if (strcmp(verb, "status") == 0) {
        do_status(d, a);
    } else {
        a->code = HX_EXIT_USAGE;
        say(a, "hexad demo: unknown request\n");
    }
}

static bool read_line(struct demo *d, int fd, char *line, size_t cap)
{
    size_t len = 0;
    uint64_t end = hx_clock_mono_ms() + 2000, now;
    while (len + 1 < cap && (now = hx_clock_mono_ms()) < end) {
        ssize_t n = read(fd, line + len, cap - 1 - len);
        if (n > 0)
            len += (size_t)n;
        line[len] = '\0';
        char *nl = strchr(line, '\n');
        if (nl) {
            *nl = '\0';
            return true;
        }
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        demo_process_poll(d, &p, 1, end - now);
    }
    return false;
}

void demo_control_serve(struct demo *d)
{
    char line[512], head[16];
    struct answer a = {.code = 0};
    int fd = accept4(d->control_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (read_line(d, fd, line, sizeof line)) {
        carry_out(d, line, &a);
        int n = snprintf(head, sizeof head, "%d\n", a.code);
        if (hx_fd_write_all(fd, head, (size_t)n) == 0)
            (void)hx_fd_write_all(fd, a.text, a.len);
    }
    close(fd);
}
