/*
 * curlio.c - libcurl's multi interface (the socket_action one) driven by our event loop.
 *
 * Does not: know what a transfer is for: making a connection, link.c.
 *
 *   1. libcurl's own timer of 0 ms, which is how it asks to start a transfer, becomes deferred work: all
 *      transfers that were added in one iteration start together, and none starts inside hx_curlio_add.
 *   2. Once a transfer has ended, that is, its connection stands (CURLOPT_CONNECT_ONLY), libcurl has no interest in
 *      its socket any more; whoever uses the connection (link.c) watches it.
 *   3. libcurl withdraws its interest in a socket before it closes it, so an event never reaches the next owner of
 *      the number.
 *   4. DONE runs outside of libcurl, so it may add and remove transfers.
 *
 * Memory: one struct sock for each socket that libcurl is interested in, which libcurl remembers.
 */
#include "curlio.h"
#include "loop_int.h"

#include "hexad/assert.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

struct sock {
    struct hx_curlio *io;
    struct event rd, wr;
};

struct hx_curlio {
    struct event_base *base;
    CURLM *multi;
    struct hx_defer *kick;
    struct event timer;
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
    act(s->io, fd, CURL_CSELECT_IN);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct sock *s = arg;
    act(s->io, fd, CURL_CSELECT_OUT);
}

static struct sock *sock_new(struct hx_curlio *io, curl_socket_t fd)
{
    struct sock *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->io = io;
    event_assign(&s->rd, io->base, fd, EV_READ | EV_PERSIST, on_readable, s);
    event_assign(&s->wr, io->base, fd, EV_WRITE | EV_PERSIST, on_writable, s);
    if (!curl_multi_assign(io->multi, fd, s))
        return s;
    free(s);
    return NULL;
}

static void watch(struct event *ev, bool on)
{
    if (on)
        event_add(ev, NULL);
    else
        event_del(ev);
}

static int on_interest(CURL *easy, curl_socket_t fd, int what, void *arg, void *sockp)
{
    (void)easy;
    struct sock *s = sockp;
    if (what == CURL_POLL_REMOVE) { /* 3 */
        if (s) {
            event_del(&s->rd);
            event_del(&s->wr);
        }
        free(s);
        return 0;
    }
    if (!s && !(s = sock_new(arg, fd)))
        return -1;
    watch(&s->rd, what & CURL_POLL_IN);
    watch(&s->wr, what & CURL_POLL_OUT);
    return 0;
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
    free(io);
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
