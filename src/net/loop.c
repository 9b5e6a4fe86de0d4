/*
 * loop.c - the event loop on libevent: readiness of descriptors, timers, deferred work, signals.
 *
 * Does not: touch a socket (client.c, server.c), start a thread, read the wall clock.
 *
 * How one iteration goes.  libevent waits in epoll, queues every ready event and every timer that is
 * due, and handles the queue from its front.  A deferred call is put at the queue's end.
 *   1. A deferred call runs after every event that was ready in its iteration.
 *   2. A call that is deferred outside an iteration, or from inside a deferred call, runs in the next
 *      iteration, after one more look at the descriptors; so work that defers itself cannot starve them.
 *   3. However often it is asked for, a deferred call runs once.
 *
 * epoll changes are collected and applied before the next wait (EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST):
 * an event that is removed and added again costs nothing.  This is unsafe for descriptors that were
 * cloned with dup(); so nobody may watch a clone, nor keep a clone of a watched descriptor.  A child
 * between fork and exec does no harm: its clones go with exec, and a late event is for a
 * non-blocking descriptor.
 *
 * Clock: libevent's coarse monotonic clock (about 4 ms), read anew for each timer and not cached for the
 * iteration, because one iteration may hold a flush of many milliseconds.
 *
 * Threads: none; every call belongs to the thread that runs the loop.  Memory: each _new has its _free;
 * a watch, timer or deferred call must be freed before its loop, signals go with the loop.
 */
#include "loop_int.h"

#include "hexad/assert.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <time.h>

struct signal_watch {
    struct signal_watch *next;
    struct event ev;
    void (*fire)(void *ctx);
    void *ctx;
};

struct hx_loop {
    struct event_base *base;
    struct signal_watch *signals;
    bool running;  /* inside an iteration: the queue's end is ahead of us */
    bool deferred; /* inside a deferred call */
    bool stop;     /* asked for, perhaps before the run */
};

struct hx_watch {
    struct event ev;
    void (*ready)(void *ctx);
    void *ctx;
};

struct hx_timer {
    struct hx_loop *loop;
    struct event ev;
    void (*fire)(void *ctx);
    void *ctx;
};

struct hx_defer {
    struct hx_loop *loop;
    struct event ev;
    void (*run)(void *ctx);
    void *ctx;
    bool *freed; /* set while run is on the stack */
};

static struct event_base *base_new(void)
{
    struct event_config *cfg = event_config_new();
    if (!cfg)
        return NULL;
    struct event_base *base = NULL;
    int flags = EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST |
                EVENT_BASE_FLAG_NO_CACHE_TIME | EVENT_BASE_FLAG_IGNORE_ENV;
    if (event_config_avoid_method(cfg, "select") == 0 && event_config_avoid_method(cfg, "poll") == 0 &&
        event_config_set_flag(cfg, flags) == 0)
        base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}

int hx_loop_new(struct hx_loop **ret)
{
    struct hx_loop *l = calloc(1, sizeof *l);
    if (!l)
        return HX_E_NOMEM;
    l->base = base_new();
    if (!l->base) {
        free(l);
        return HX_E_IO;
    }
    *ret = l;
    return 0;
}

void hx_loop_free(struct hx_loop *l)
{
    if (!l)
        return;
    hx_assert(!l->running);
    while (l->signals) {
        struct signal_watch *w = l->signals;
        l->signals = w->next;
        event_del(&w->ev);
        free(w);
    }
    /* What is left is libevent's own: ends of connections that it had put off.  event_base_free would drop
     * a put-off callback together with the reference that it holds. */
    event_base_loop(l->base, EVLOOP_NONBLOCK);
    event_base_free(l->base);
    free(l);
}

int hx_loop_run(struct hx_loop *l)
{
    hx_assert(!l->running);
    int bad = 0;
    if (!l->stop) {
        l->running = true;
        bad = event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY);
        l->running = false;
    }
    l->stop = false;
    return bad < 0 ? HX_E_IO : 0;
}

void hx_loop_stop(struct hx_loop *l)
{
    l->stop = true;
    event_base_loopbreak(l->base);
}

uint64_t hx_loop_now_ms(struct hx_loop *l)
{
    (void)l;
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct event_base *hx_loop_base(struct hx_loop *l)
{
    return l->base;
}

/* ---- watch ---- */

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct hx_watch *w = arg;
    w->ready(w->ctx);
}

int hx_watch_new(struct hx_loop *l, int fd, void (*ready)(void *ctx), void *ctx, struct hx_watch **ret)
{
    struct hx_watch *w = calloc(1, sizeof *w);
    if (!w)
        return HX_E_NOMEM;
    w->ready = ready;
    w->ctx = ctx;
    if (event_assign(&w->ev, l->base, fd, EV_READ | EV_PERSIST, on_ready, w) ||
        event_add(&w->ev, NULL)) {
        free(w);
        return HX_E_IO;
    }
    *ret = w;
    return 0;
}

void hx_watch_free(struct hx_watch *w)
{
    if (!w)
        return;
    event_del(&w->ev);
    free(w);
}

/* ---- timer ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct hx_timer *t = arg;
    t->fire(t->ctx);
}

int hx_timer_new(struct hx_loop *l, void (*fire)(void *ctx), void *ctx, struct hx_timer **ret)
{
    struct hx_timer *t = calloc(1, sizeof *t);
    if (!t)
        return HX_E_NOMEM;
    t->loop = l;
    t->fire = fire;
    t->ctx = ctx;
    evtimer_assign(&t->ev, l->base, on_timer, t);
    *ret = t;
    return 0;
}

void hx_timer_set(struct hx_timer *t, uint64_t after_ms)
{
    const uint64_t most = UINT64_C(1000) * 3600 * 24 * 365; /* time_t arithmetic stays far from its end */
    if (after_ms > most)
        after_ms = most;
    struct timeval tv = {.tv_sec = (time_t)(after_ms / 1000),
                         .tv_usec = (suseconds_t)(after_ms % 1000 * 1000)};
    event_del(&t->ev); /* an event that is due but not yet handled would fire as well */
    event_add(&t->ev, &tv);
}

void hx_timer_clear(struct hx_timer *t)
{
    event_del(&t->ev);
}

void hx_timer_free(struct hx_timer *t)
{
    if (!t)
        return;
    event_del(&t->ev);
    free(t);
}

/* ---- deferred work ---- */

static void on_deferred(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct hx_defer *d = arg;
    struct hx_loop *l = d->loop;
    bool nested = l->deferred, freed = false;
    l->deferred = true;
    d->freed = &freed;
    d->run(d->ctx);
    if (!freed)
        d->freed = NULL;
    l->deferred = nested;
}

int hx_defer_new(struct hx_loop *l, void (*run)(void *ctx), void *ctx, struct hx_defer **ret)
{
    struct hx_defer *d = calloc(1, sizeof *d);
    if (!d)
        return HX_E_NOMEM;
    d->loop = l;
    d->run = run;
    d->ctx = ctx;
    evtimer_assign(&d->ev, l->base, on_deferred, d);
    *ret = d;
    return 0;
}

static void defer(struct hx_defer *d, bool this_iteration)
{
    static const struct timeval now = {0, 0};
    if (this_iteration)
        event_active(&d->ev, EV_TIMEOUT, 1); /* 1: the end of this iteration's queue */
    else if (!event_pending(&d->ev, EV_TIMEOUT, NULL))
        event_add(&d->ev, &now); /* 2 */
}

void hx_defer_call(struct hx_defer *d)
{
    defer(d, d->loop->running && !d->loop->deferred);
}

void hx_defer_call_now(struct hx_defer *d)
{
    defer(d, d->loop->running && !d->freed);
}

void hx_defer_free(struct hx_defer *d)
{
    if (!d)
        return;
    if (d->freed)
        *d->freed = true;
    event_del(&d->ev);
    free(d);
}

/* ---- signals ---- */

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
    (void)signo;
    (void)what;
    struct signal_watch *w = arg;
    w->fire(w->ctx);
}

int hx_loop_on_signal(struct hx_loop *l, int signo, void (*fire)(void *ctx), void *ctx)
{
    struct signal_watch *w = calloc(1, sizeof *w);
    if (!w)
        return HX_E_NOMEM;
    w->fire = fire;
    w->ctx = ctx;
    if (evsignal_assign(&w->ev, l->base, signo, on_signal, w) || evsignal_add(&w->ev, NULL)) {
        free(w);
        return HX_E_IO;
    }
    w->next = l->signals;
    l->signals = w;
    return 0;
}
