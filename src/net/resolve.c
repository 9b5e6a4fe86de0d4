/*
 * resolve.c - the addresses of a host: getaddrinfo in a thread of its own.
 *
 * Does not: keep an answer, choose among addresses.
 *
 *   1. An answer goes through a pipe: the thread writes its question's address into it, and touches it no more.
 *   2. A question that is canceled stays until its thread has answered: hx_resolver_free leaves the mailbox to
 *      the last of them.  So nobody ever waits for a name server.
 *
 * Threads: one for each question under way, detached, without signals; what they share with the loop is the mailbox
 * (a count under a lock, and the pipe).  Memory: a question until its answer has been taken.
 */
#include "resolve.h"

#include "hexad/assert.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct mailbox {
    pthread_mutex_t lock;
    unsigned users; /* threads and the resolver */
    bool closed;    /* the resolver has gone */
    int fd[2];
};

struct hx_resolver {
    struct mailbox *box;
    struct hx_watch *watch;
};

struct hx_resolve {
    struct mailbox *box;
    struct addrinfo *list;
    void (*done)(void *ctx, struct addrinfo *list); /* NULL: canceled; the loop's */
    void *ctx;
    char *port, host[];
};

static void question_free(struct hx_resolve *q)
{
    if (q->list)
        freeaddrinfo(q->list);
    free(q->port);
    free(q);
}

static void leave(struct mailbox *b)
{
    pthread_mutex_lock(&b->lock);
    bool last = --b->users == 0;
    pthread_mutex_unlock(&b->lock);
    if (!last)
        return;
    close(b->fd[0]);
    close(b->fd[1]);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

static void *ask(void *arg)
{
    struct hx_resolve *q = arg;
    struct mailbox *b = q->box;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
    if (getaddrinfo(q->host, q->port, &hints, &q->list))
        q->list = NULL;
    pthread_mutex_lock(&b->lock); /* 1: whole, and not after the resolver has emptied the pipe for the last time */
    bool told = !b->closed && write(b->fd[1], &q, sizeof q) == (ssize_t)sizeof q;
    pthread_mutex_unlock(&b->lock);
    if (!told)
        question_free(q);
    leave(b);
    return NULL;
}

static void answered(void *ctx)
{
    struct hx_resolver *r = ctx;
    struct hx_resolve *q;
    if (read(r->box->fd[0], &q, sizeof q) != (ssize_t)sizeof q)
        return;
    struct addrinfo *list = q->list;
    q->list = NULL;
    if (q->done)
        q->done(q->ctx, list);
    else if (list)
        freeaddrinfo(list);
    question_free(q);
}

int hx_resolver_new(struct hx_loop *l, struct hx_resolver **ret)
{
    struct hx_resolver *r = calloc(1, sizeof *r);
    struct mailbox *b = calloc(1, sizeof *b);
    if (!r || !b || pipe2(b->fd, O_CLOEXEC)) {
        free(b);
        free(r);
        return HX_E_NOMEM;
    }
    int flags = fcntl(b->fd[0], F_SETFL, O_NONBLOCK); /* the other end waits: nothing gets lost */
    pthread_mutex_init(&b->lock, NULL);
    b->users = 1;
    r->box = b;
    hx_assert(!flags);
    if (hx_watch_new(l, b->fd[0], answered, r, &r->watch)) {
        hx_resolver_free(r);
        return HX_E_NOMEM;
    }
    *ret = r;
    return 0;
}

void hx_resolver_free(struct hx_resolver *r)
{
    if (!r)
        return;
    struct hx_resolve *q;
    hx_watch_free(r->watch);
    pthread_mutex_lock(&r->box->lock);
    r->box->closed = true;
    pthread_mutex_unlock(&r->box->lock);
    while (read(r->box->fd[0], &q, sizeof q) == (ssize_t)sizeof q)
        question_free(q);
    leave(r->box); /* 2 */
    free(r);
}

int hx_resolve_start(struct hx_resolver *r, const char *host, const char *port,
                     void (*done)(void *ctx, struct addrinfo *list), void *ctx, struct hx_resolve **ret)
{
    size_t len = strlen(host) + 1;
    struct hx_resolve *q = calloc(1, sizeof *q + len);
    if (!q || !(q->port = strdup(port))) {
        free(q);
        return HX_E_NOMEM;
    }
    memcpy(q->host, host, len);
    q->box = r->box;
    q->done = done;
    q->ctx = ctx;
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, was;
    pthread_mutex_lock(&r->box->lock);
    r->box->users++;
    pthread_mutex_unlock(&r->box->lock);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &was);
    int bad = pthread_create(&thread, &attr, ask, q);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    pthread_attr_destroy(&attr);
    if (bad) {
        leave(r->box);
        question_free(q);
        return HX_E_NOMEM;
    }
    *ret = q;
    return 0;
}

void hx_resolve_cancel(struct hx_resolve *q)
{
    q->done = NULL;
}
