/*
 * curlio.c - libcurl's multi interface (the socket_action one) driven by our event loop.
 *
 * Does not: know what a request is; client.c does.
 *
 *   1. libcurl's own timer of 0 ms, which is how it asks to start a transfer, becomes deferred work: all
 *      transfers that were added in one iteration start together, and none starts inside hx_curlio_add.
 *   2. A socket stays registered for reading while its connection is idle.  libcurl withdraws its
 *      interest after each answer and renews it with the next request; following it would cost two
 *      epoll_ctl calls a request.  When an idle socket becomes readable (the peer closed it), we stop
 *      watching it, and libcurl finds out when it wants the connection again.
 *   3. A socket is forgotten before its descriptor is closed (libcurl asks us to close it), so an event never
 *      reaches the next owner of the number.
 *   4. DONE runs outside of libcurl, so it may add and remove transfers.
 *
 * Memory: one struct sock for each open socket, found by descriptor number.
 */
#include "curlio.h"
#include "loop_int.h"

#include "hexad/assert.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct sock {
    struct hx_curlio *io;
    struct event rd, wr;
    bool rd_on, wr_on;
    int want; /* CURL_POLL_*; 0: the connection is idle */
};

struct hx_curlio {
    struct event_base *base;
    CURLM *multi;
    struct hx_defer *kick;
    struct event timer;
    struct sock **by_fd;
    size_t fds; /* length of by_fd */
    void (*done)(void *ctx, CURL *easy, CURLcode code);
    void *ctx;
};

/* ---- what libcurl has for us ---- */

static void drain(struct hx_curlio *io)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(io->multi, &left));)
        if (m->msg == CURLMSG_DONE)
            io->done(io->ctx, m->easy_handle, m->data.result); /* 4 */
}

static void act(struct hx_curlio *io, curl_socket_t fd, int bits)
{
    int running;
    curl_multi_socket_action(io->multi, fd, bits, &running);
    drain(io);
}

static void on_kick(void *arg)
{
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timeout_change(CURLM *multi, long ms, void *arg)
{
    (void)multi;
    struct hx_curlio *io = arg;
    if (ms == 0) {
        hx_defer_call_now(io->kick); /* 1 */
        return 0;
    }
    event_del(&io->timer);
    if (ms > 0) {
        struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
        event_add(&io->timer, &tv);
    }
    return 0;
}

/* ---- sockets ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct sock *s = arg;
    if (s->want & CURL_POLL_IN) {
        act(s->io, fd, CURL_CSELECT_IN);
        return;
    }
    event_del(&s->rd); /* 2 */
    s->rd_on = false;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct sock *s = arg;
    act(s->io, fd, CURL_CSELECT_OUT);
}

static struct sock *sock_get(struct hx_curlio *io, curl_socket_t fd)
{
    size_t n = (size_t)fd;
    if (n >= io->fds) {
        size_t len = (n + 64) & ~(size_t)63;
        len = len > n ? len : n + 1;
        struct sock **t = realloc(io->by_fd, len * sizeof *t);
        if (!t)
            return NULL;
        memset(t + io->fds, 0, (len - io->fds) * sizeof *t);
        io->by_fd = t;
        io->fds = len;
    }
    if (!io->by_fd[n]) {
        struct sock *s = calloc(1, sizeof *s);
        if (!s)
            return NULL;
        s->io = io;
        event_assign(&s->rd, io->base, fd, EV_READ | EV_PERSIST, on_readable, s);
        event_assign(&s->wr, io->base, fd, EV_WRITE | EV_PERSIST, on_writable, s);
        io->by_fd[n] = s;
    }
    return io->by_fd[n];
}

static void sock_drop(struct hx_curlio *io, curl_socket_t fd)
{
    size_t n = (size_t)fd;
    if (n >= io->fds || !io->by_fd[n])
        return;
    event_del(&io->by_fd[n]->rd);
    event_del(&io->by_fd[n]->wr);
    free(io->by_fd[n]);
    io->by_fd[n] = NULL;
}

static void switch_event(struct event *ev, bool *on, bool want)
{
    if (*on == want)
        return;
    if (want)
        event_add(ev, NULL);
    else
        event_del(ev);
    *on = want;
}

static int on_interest(CURL *easy, curl_socket_t fd, int what, void *arg, void *sockp)
{
    (void)easy;
    (void)sockp;
    struct sock *s = sock_get(arg, fd);
    if (!s)
        return -1;
    s->want = what == CURL_POLL_REMOVE ? 0 : what;
    if (s->want) /* 2: an idle one keeps its read event */
        switch_event(&s->rd, &s->rd_on, s->want & CURL_POLL_IN);
    switch_event(&s->wr, &s->wr_on, s->want & CURL_POLL_OUT);
    return 0;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    (void)arg;
    (void)purpose;
    return socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
}

static int on_close(void *arg, curl_socket_t fd)
{
    sock_drop(arg, fd); /* 3 */
    return close(fd);
}

/* ---- life ---- */

static bool set_multi(struct hx_curlio *io)
{
    return !curl_multi_setopt(io->multi, CURLMOPT_SOCKETFUNCTION, on_interest) &&
           !curl_multi_setopt(io->multi, CURLMOPT_SOCKETDATA, io) &&
           !curl_multi_setopt(io->multi, CURLMOPT_TIMERFUNCTION, on_timeout_change) &&
           !curl_multi_setopt(io->multi, CURLMOPT_TIMERDATA, io) &&
           !curl_multi_setopt(io->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
}

int hx_curlio_new(struct hx_loop *l, void (*done)(void *ctx, CURL *easy, CURLcode code), void *ctx,
                  struct hx_curlio **ret)
{
    struct hx_curlio *io = calloc(1, sizeof *io);
    if (!io)
        return HX_E_NOMEM;
    io->base = hx_loop_base(l);
    io->done = done;
    io->ctx = ctx;
    evtimer_assign(&io->timer, io->base, on_timer, io);
    io->multi = curl_multi_init();
    if (!io->multi || !set_multi(io) || hx_defer_new(l, on_kick, io, &io->kick)) {
        hx_curlio_free(io);
        return HX_E_NOMEM;
    }
    *ret = io;
    return 0;
}

void hx_curlio_free(struct hx_curlio *io)
{
    if (!io)
        return;
    if (io->multi)
        curl_multi_cleanup(io->multi);
    event_del(&io->timer);
    hx_defer_free(io->kick);
    for (size_t i = 0; i < io->fds; i++)
        sock_drop(io, (curl_socket_t)i);
    free(io->by_fd);
    free(io);
}

CURLcode hx_curlio_prepare(struct hx_curlio *io, CURL *easy)
{
    CURLcode code = curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    if (!code)
        code = curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    if (!code)
        code = curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, io);
    return code;
}

void hx_curlio_keep(struct hx_curlio *io, size_t connections)
{
    curl_multi_setopt(io->multi, CURLMOPT_MAXCONNECTS, (long)connections);
}

int hx_curlio_add(struct hx_curlio *io, CURL *easy)
{
    return curl_multi_add_handle(io->multi, easy) ? HX_E_NOMEM : 0;
}

void hx_curlio_remove(struct hx_curlio *io, CURL *easy)
{
    CURLMcode code = curl_multi_remove_handle(io->multi, easy);
    hx_assert(code == CURLM_OK);
}
