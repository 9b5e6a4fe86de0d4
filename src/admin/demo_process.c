/*
 * demo_process.c - children of `hexad demo`: start, signal, wait, reap (D1 of demo.h).
 *
 * Does not know what they are for.  All signals of the demo are blocked and read from one descriptor; every wait goes
 * through demo_process_poll, so that Ctrl-C and deaths are noticed in each of them.
 * The demo is a sub-reaper: what COMMAND leaves in the background comes to us and is ended with it.
 */
#include "demo.h"

#include "hexad/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int demo_process_init(struct demo *d)
{
    sigset_t set;
    static const int ours[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};
    sigemptyset(&set);
    for (size_t i = 0; i < HX_ARRAY_LEN(ours); i++) {
        sigaddset(&set, ours[i]);
        signal(ours[i], SIG_DFL); /* nohup's SIGHUP too: it would hide from the descriptor */
    }
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return hx_err_from_errno(errno);
    d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (d->signal_fd < 0)
        return hx_err_from_errno(errno);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    return 0;
}

/* ---- in the child, between fork and exec ---- */

static void clean_environment(struct demo *d, const struct demo_spawn *s)
{
    static const char *const unwanted[] = {"HEXAD_TLS_", "HEXAD_SERVER", "HEXAD_LIMITS_", "HEXAD_SEGMENTD_"};
    extern char **environ;
    char path[PATH_MAX + 16];
    for (char **e = environ; e && *e;) {
        bool drop = false;
        for (size_t i = 0; i < HX_ARRAY_LEN(unwanted); i++)
            drop |= strncmp(*e, unwanted[i], strlen(unwanted[i])) == 0;
        char name[128];
        size_t n = strcspn(*e, "=");
        if (!drop || n >= sizeof name) {
            e++;
            continue;
        }
        memcpy(name, *e, n);
        name[n] = '\0';
        unsetenv(name); /* moves the rest up: look at the same place again */
    }
    snprintf(path, sizeof path, "%s/hexad.conf", d->dir);
    setenv("HEXAD_CONFIG", path, 1);
    setenv("HEXAD_DEMO_DIR", d->dir, 1);
    if (s->notify)
        setenv("NOTIFY_SOCKET", s->notify, 1);
    else
        unsetenv("NOTIFY_SOCKET");
}

/* `hexad` is found by COMMAND, from the build tree too: our directory comes last in PATH. */
static void extend_path(void)
{
    char own[PATH_MAX], *path = NULL;
    const char *old = getenv("PATH");
    if (hx_self_dir(own, sizeof own) == 0 && asprintf(&path, "%s:%s", old && *old ? old : "/usr/bin:/bin", own) >= 0) {
        setenv("PATH", path, 1);
        free(path);
    }
}

static int redirect(const struct demo *d, const char *log)
{
    char path[PATH_MAX + HX_NAME_MAX + 16];
    snprintf(path, sizeof path, "%s/log/%s.log", d->dir, log);
    int out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (out < 0 || in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        return -1;
    return 0;
}

__attribute__((noreturn)) static void child(struct demo *d, const struct demo_spawn *s, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent) /* it died before the line above */
        _exit(127);
    signal(SIGPIPE, SIG_DFL);
    if (s->own_session)
        setsid();
    clean_environment(d, s);
    if (!s->own_session)
        extend_path();
    if ((s->cwd && chdir(s->cwd) < 0) || (s->log && redirect(d, s->log) < 0)) {
        hx_log(HX_LOG_ERR, "%s: %s", s->cwd ? s->cwd : s->log, strerror(errno));
        _exit(126);
    }
    if (s->keep_fd >= 0) {
        if (s->keep_fd == 3)
            (void)hx_fd_cloexec(3, false);
        else if (dup2(s->keep_fd, 3) < 0)
            _exit(126);
    }
    sigprocmask(SIG_SETMASK, &none, NULL);
    execvp(s->file, s->argv);
    int eno = errno;
    hx_log(HX_LOG_ERR, "%s: %s", s->file, strerror(eno));
    _exit(eno == ENOENT ? 127 : 126);
}

int demo_process_spawn(struct demo *d, struct demo_proc *p, const char *name, const struct demo_spawn *s)
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        return hx_err_from_errno(errno);
    if (pid == 0)
        child(d, s, parent);
    int fd = pidfd_open(pid, 0); /* not reaped yet, so it is this child's (D1) */
    if (fd < 0) {
        int err = hx_err_from_errno(errno);
        kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return err;
    }
    snprintf(p->name, sizeof p->name, "%s", name);
    p->pid = pid;
    p->pidfd = fd;
    p->state = DEMO_PROC_RUNNING;
    p->status = 0;
    p->told = false;
    demo_watch_add(d, p);
    return 0;
}

/* ---- in the demo ---- */

bool demo_process_alive(const struct demo_proc *p)
{
    return p->state == DEMO_PROC_RUNNING || p->state == DEMO_PROC_STOPPED;
}

bool demo_process_signal(struct demo_proc *p, int signo)
{
    return demo_process_alive(p) && pidfd_send_signal(p->pidfd, signo, NULL, 0) == 0;
}

static struct demo_proc *find(struct demo *d, pid_t pid)
{
    struct demo_proc *others[] = {&d->mount, &d->command_proc, &d->watcher, &d->helper};
    for (size_t i = 0; i < DEMO_SERVERS; i++)
        if (d->servers[i].proc.pid == pid && demo_process_alive(&d->servers[i].proc))
            return &d->servers[i].proc;
    for (size_t i = 0; i < HX_ARRAY_LEN(others); i++)
        if (others[i]->pid == pid && demo_process_alive(others[i]))
            return others[i];
    return NULL;
}

void demo_process_reap(struct demo *d)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
        struct demo_proc *p = find(d, pid);
        if (!p)
            continue; /* an orphan of COMMAND's */
        if (WIFSTOPPED(status)) {
            p->state = DEMO_PROC_STOPPED;
        } else if (WIFCONTINUED(status)) {
            p->state = DEMO_PROC_RUNNING;
        } else {
            p->state = DEMO_PROC_DEAD;
            p->status = status;
            close(p->pidfd);
            p->pidfd = -1;
        }
    }
}

/* A signal to the demo itself.  With COMMAND running it is passed on, unless the terminal has done that. */
static void take_signal(struct demo *d, const struct signalfd_siginfo *s)
{
    int signo = (int)s->ssi_signo;
    if (signo == SIGCHLD)
        return;
    if (demo_process_alive(&d->command_proc)) {
        if (s->ssi_code != SI_KERNEL || signo != SIGINT)
            demo_process_signal(&d->command_proc, signo);
        if (signo == SIGINT)
            return; /* COMMAND decides what Ctrl-C means */
    }
    d->stop_signal = signo;
}

int demo_process_poll(struct demo *d, struct pollfd *fds, unsigned count, uint64_t limit_ms)
{
    struct pollfd all[DEMO_SERVERS + 4];
    struct signalfd_siginfo info;
    int stop_before = d->stop_signal, timeout = limit_ms > INT_MAX ? -1 : (int)limit_ms;
    hx_assert(count + 1 <= HX_ARRAY_LEN(all));
    for (unsigned i = 0; i < count; i++)
        all[i] = fds[i];
    all[count] = (struct pollfd){.fd = d->signal_fd, .events = POLLIN};
    demo_process_reap(d);
    int n = poll(all, count + 1, timeout);
    while (read(d->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        take_signal(d, &info);
    demo_process_reap(d);
    for (unsigned i = 0; i < count; i++)
        fds[i].revents = n > 0 ? all[i].revents : 0;
    if (d->stop_signal != stop_before)
        return 1;
    return n < 0 ? 0 : n;
}

bool demo_process_wait(struct demo *d, struct demo_proc *p, uint64_t limit_ms)
{
    uint64_t end = hx_clock_mono_ms() + limit_ms, now;
    demo_process_reap(d);
    while (demo_process_alive(p) && (now = hx_clock_mono_ms()) < end) {
        struct pollfd fd = {.fd = p->pidfd, .events = POLLIN};
        demo_process_poll(d, &fd, 1, end - now);
    }
    return !demo_process_alive(p);
}

/* Children that are none of ours: kill is safe, for nobody but us reaps them (D1). */
static unsigned signal_orphans(struct demo *d, int signo)
{
    char path[64], *text, *rest, *word;
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    if (hx_file_read(path, 1 << 20, &text, NULL) < 0)
        return 0;
    for (rest = text; (word = strsep(&rest, " \n")) != NULL;) {
        uint64_t pid;
        if (hx_parse_u64(word, INT_MAX, &pid) < 0 || find(d, (pid_t)pid))
            continue;
        kill((pid_t)pid, signo);
        count++;
    }
    free(text);
    return count;
}

void demo_process_end_orphans(struct demo *d)
{
    uint64_t start = hx_clock_mono_ms();
    demo_process_reap(d);
    int signo = SIGTERM;
    while (signal_orphans(d, signo) > 0) {
        uint64_t spent = hx_clock_mono_ms() - start;
        if (spent > 6000)
            return; /* one that does not even die of SIGKILL hangs in the kernel */
        signo = spent > 2000 ? SIGKILL : 0;
        demo_process_poll(d, NULL, 0, 20);
    }
}
