/*
 * prefetch.c - what background work will read next is brought into the system's cache by a thread.
 *
 * To ask the system for it (POSIX_FADV_WILLNEED) is not free: it finds memory for every page before it returns, and
 * waits where the disk's queue is full; a mebibyte so costs about as much as some commits, and in the loop each of them
 * would wait for it.  Here nobody does.
 * Nothing follows from what is done here: a piece that could not be read ahead, or was thrown out again, is read when
 * it is wanted.  Not more than QUEUE pieces wait; what comes on top is not read ahead.
 *
 * Threads: hx_prefetch_* are called by one thread; there is one besides, which takes no signals.  The lock protects
 * everything but the descriptor of the piece that is being read: that is the thread's until it has closed it.
 */
#include "prefetch.h"

#include "hexad/err.h"
#include "hexad/sys.h"
#include "hexad/types.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define QUEUE 64u
#define TOUCH (16u << 10) /* of so many bytes one is read: the next piece waits until this one has come */

struct piece {
    const void *owner; /* never looked into */
    int fd;
    uint64_t off;
    size_t len;
};
struct hx_prefetch {
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct piece q[QUEUE];
    unsigned at, count;
    const void *now; /* whose piece is being read */
    bool end, threaded;
    pthread_t thread;
};

static void bring(const struct piece *p)
{
    uint8_t byte;
    (void)posix_fadvise(p->fd, (off_t)p->off, (off_t)p->len, POSIX_FADV_WILLNEED);
    for (size_t i = 0; i < p->len; i += TOUCH)
        if (pread(p->fd, &byte, 1, (off_t)(p->off + i)) != 1)
            return; /* the end of the file; an error is met again by whoever reads */
    (void)!pread(p->fd, &byte, 1, (off_t)(p->off + p->len - 1));
}

static void *run(void *arg)
{
    struct hx_prefetch *a = arg;
    pthread_mutex_lock(&a->lock);
    while (!a->end) {
        if (!a->count) {
            pthread_cond_wait(&a->work, &a->lock);
            continue;
        }
        struct piece p = a->q[a->at];
        a->at = (a->at + 1) % QUEUE;
        a->count--;
        a->now = p.owner;
        pthread_mutex_unlock(&a->lock);
        bring(&p);
        close(p.fd);
        pthread_mutex_lock(&a->lock);
        a->now = NULL;
        pthread_cond_signal(&a->done);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

int hx_prefetch_new(struct hx_prefetch **ret)
{
    struct hx_prefetch *a = calloc(1, sizeof *a);
    if (!a)
        return HX_E_NOMEM;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->work, NULL);
    pthread_cond_init(&a->done, NULL);
    *ret = a;
    return 0;
}

void hx_prefetch_free(struct hx_prefetch *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->end = true;
    pthread_cond_signal(&a->work);
    pthread_mutex_unlock(&a->lock);
    if (a->threaded)
        pthread_join(a->thread, NULL);
    for (; a->count; a->count--, a->at = (a->at + 1) % QUEUE)
        close(a->q[a->at].fd);
    pthread_cond_destroy(&a->done);
    pthread_cond_destroy(&a->work);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

void hx_prefetch_ask(struct hx_prefetch *a, const void *owner, int fd, uint64_t off, size_t len)
{
    if (!len)
        return;
    if (!a->threaded)
        a->threaded = !hx_thread_start(&a->thread, run, a);
    if (!a->threaded) {
        (void)posix_fadvise(fd, (off_t)off, (off_t)len, POSIX_FADV_WILLNEED);
        return;
    }
    pthread_mutex_lock(&a->lock);
    int own = a->count < QUEUE ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (own >= 0) {
        a->q[(a->at + a->count++) % QUEUE] = (struct piece){owner, own, off, len};
        pthread_cond_signal(&a->work);
    }
    pthread_mutex_unlock(&a->lock);
}

void hx_prefetch_forget(struct hx_prefetch *a, const void *owner)
{
    unsigned kept = 0;
    pthread_mutex_lock(&a->lock);
    for (unsigned i = 0; i < a->count; i++) {
        struct piece p = a->q[(a->at + i) % QUEUE];
        if (p.owner == owner)
            close(p.fd);
        else
            a->q[(a->at + kept++) % QUEUE] = p;
    }
    a->count = kept;
    while (a->now == owner)
        pthread_cond_wait(&a->done, &a->lock);
    pthread_mutex_unlock(&a->lock);
}
