/*
 * demo_server.c - the six segment servers of a demo: ports, start, end.
 *
 * Ports are chosen when the demo is made, below the range of ports that the system gives to clients, and kept: the
 * volume remembers them.  A port that somebody else takes between our look and the server's start is chosen anew, as
 * long as no volume exists.
 */
#include "demo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT_FIRST 9621
#define PORT_LOW 12000
#define PORT_HIGH 30000
#define START_TRIES 5 /* with other ports each time */

static bool port_is_free(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        return false;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bool ok = bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1) == 0;
    close(fd);
    return ok;
}

/* 9621.. when all six are free (and this is not another try), else a free block somewhere.  A demo that is kept needs
 * its ports again later, when any other demo may have taken those that everybody tries first. */
static void choose_ports(struct demo *d, bool again)
{
    int first = again || d->keep ? PORT_LOW + (int)(hx_random_u64() % (PORT_HIGH - PORT_LOW)) : PORT_FIRST;
    for (int tries = 0; tries < 200; tries++) {
        int i = 0;
        while (i < DEMO_SERVERS && port_is_free(first + i))
            i++;
        if (i == DEMO_SERVERS)
            break;
        first = PORT_LOW + (int)(hx_random_u64() % (PORT_HIGH - PORT_LOW));
    }
    for (int i = 0; i < DEMO_SERVERS; i++)
        d->servers[i].port = first + i;
}

static int read_ports(struct demo *d)
{
    for (unsigned i = 0; i < DEMO_SERVERS; i++) {
        char path[PATH_MAX + 32], why[HX_WHY_MAX];
        struct hx_segmentd_conf conf;
        uint64_t port;
        snprintf(path, sizeof path, "%s/%s.conf", d->dir, demo_names[i]);
        int err = hx_segmentd_conf_load(path, NULL, &conf, why);
        if (err)
            return err;
        err = hx_parse_u64(strrchr(conf.listen, ':') + 1, 65535, &port);
        hx_segmentd_conf_free(&conf);
        if (err)
            return err;
        d->servers[i].port = (int)port;
    }
    return 0;
}

/* Beside us (build tree), where `make install` puts it, or in PATH. */
static void find_program(char *buf, size_t cap)
{
    static const char *const places[] = {"%s/hexad-segmentd", "%s/../sbin/hexad-segmentd",
                                         "%s/../libexec/hexad/hexad-segmentd"};
    char own[PATH_MAX];
    if (hx_self_dir(own, sizeof own) == 0) {
        for (size_t i = 0; i < HX_ARRAY_LEN(places); i++) {
            char path[PATH_MAX + 64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(path, sizeof path, places[i], own);
#pragma GCC diagnostic pop
            if (access(path, X_OK) == 0 && strlen(path) < cap) {
                memcpy(buf, path, strlen(path) + 1);
                return;
            }
        }
    }
    snprintf(buf, cap, "hexad-segmentd");
}

static int start_one(struct demo *d, unsigned i)
{
    struct demo_server *s = &d->servers[i];
    char program[PATH_MAX], conf[PATH_MAX + 32], name[] = "hexad-segmentd", c[] = "-c", ready[] = "--ready-fd",
                                                 three[] = "3";
    char *argv[] = {name, c, conf, ready, three, NULL};
    int p[2];
    find_program(program, sizeof program);
    snprintf(conf, sizeof conf, "%s/%s.conf", d->dir, demo_names[i]);
    if (pipe2(p, O_CLOEXEC) < 0)
        return hx_err_from_errno(errno);
    const struct demo_spawn spawn = {
        .file = program, .argv = argv, .log = demo_names[i], .own_session = true, .keep_fd = p[1]};
    int err = demo_process_spawn(d, &s->proc, demo_names[i], &spawn);
    close(p[1]);
    if (err) {
        close(p[0]);
        return err;
    }
    s->ready_fd = p[0];
    return 0;
}

/* The port, or the end of the pipe: then it is dying. */
static void take_ready(struct demo *d, struct demo_server *s)
{
    char text[16];
    ssize_t n = read(s->ready_fd, text, sizeof text);
    if (n < 0 && errno == EINTR)
        return;
    close(s->ready_fd);
    s->ready_fd = -1;
    if (n <= 0)
        (void)demo_process_wait(d, &s->proc, 5000);
}

static int wait_ready(struct demo *d)
{
    uint64_t end = hx_clock_mono_ms() + DEMO_START_MS, now;
    while ((now = hx_clock_mono_ms()) < end && !d->stop_signal) {
        struct pollfd fds[DEMO_SERVERS];
        unsigned which[DEMO_SERVERS], n = 0;
        for (unsigned i = 0; i < DEMO_SERVERS; i++) {
            if (d->servers[i].ready_fd < 0)
                continue;
            which[n] = i;
            fds[n++] = (struct pollfd){.fd = d->servers[i].ready_fd, .events = POLLIN};
        }
        if (n == 0)
            return 0;
        demo_process_poll(d, fds, n, end - now);
        for (unsigned k = 0; k < n; k++)
            if (fds[k].revents)
                take_ready(d, &d->servers[which[k]]);
    }
    return d->stop_signal ? HX_E_CANCELED : HX_E_TIMEOUT;
}

static void forget_ready(struct demo *d)
{
    for (unsigned i = 0; i < DEMO_SERVERS; i++) {
        if (d->servers[i].ready_fd >= 0)
            close(d->servers[i].ready_fd);
        d->servers[i].ready_fd = -1;
    }
}

static int start_missing(struct demo *d)
{
    int err = 0;
    for (unsigned i = 0; i < DEMO_SERVERS && !err; i++)
        if (!demo_process_alive(&d->servers[i].proc))
            err = start_one(d, i);
    if (!err)
        err = wait_ready(d);
    forget_ready(d);
    return err;
}

/* The first server that has ended though it should run; DEMO_SERVERS: none. */
static unsigned first_dead(const struct demo *d)
{
    unsigned i = 0;
    while (i < DEMO_SERVERS && demo_process_alive(&d->servers[i].proc))
        i++;
    return i;
}

static int complain(struct demo *d, int err, unsigned i)
{
    char why[HX_WHY_MAX] = "the segment servers do not start";
    if (i < DEMO_SERVERS) {
        demo_dir_log_tail(d, demo_names[i]); /* it ended, and has said why */
        hx_log(HX_LOG_ERR, "server %s did not start", demo_names[i]);
        return HX_EXIT_FAILED;
    }
    return admin_fail(d->json, err, "hexad demo", why, "hexad demo --dir DIR --keep leaves the logs in DIR/log");
}

int demo_server_start_all(struct demo *d)
{
    bool chosen = d->servers[0].port != 0;
    int err = 0;
    if (!chosen && d->reopened && faccessat(d->dir_fd, "c2.conf", F_OK, 0) == 0)
        chosen = read_ports(d) == 0;
    for (int tries = 0; tries < START_TRIES; tries++) {
        if (!chosen) {
            choose_ports(d, tries > 0);
            err = demo_dir_configs(d);
            if (err)
                return err; /* complained */
        }
        err = start_missing(d);
        if (err == HX_E_CANCELED)
            return HX_EXIT_FAILED;
        unsigned dead = err ? DEMO_SERVERS : first_dead(d);
        if (!err && dead == DEMO_SERVERS)
            return 0;
        /* Perhaps another demo took a port between our look and the start: new ports for all.  It may have given them
         * back by now, so looking again would prove nothing. */
        if (err || chosen || tries + 1 == START_TRIES)
            return complain(d, err ? err : HX_E_IO, dead);
        (void)demo_server_end_all(d);
    }
    return HX_EXIT_FAILED;
}

int demo_server_end_all(struct demo *d)
{
    int err = 0;
    for (unsigned i = 0; i < DEMO_SERVERS; i++) {
        demo_process_signal(&d->servers[i].proc, SIGTERM);
        demo_process_signal(&d->servers[i].proc, SIGCONT);
    }
    uint64_t end = hx_clock_mono_ms() + 5000;
    for (unsigned i = 0; i < DEMO_SERVERS; i++) {
        struct demo_proc *p = &d->servers[i].proc;
        uint64_t now = hx_clock_mono_ms();
        if (demo_process_wait(d, p, now < end ? end - now : 0))
            continue;
        demo_process_signal(p, SIGKILL);
        if (!demo_process_wait(d, p, 10000))
            err = HX_E_TIMEOUT;
    }
    return err;
}
