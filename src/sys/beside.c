/*
 * beside.c - flushes that nobody waits for: of what background work has written.
 *
 * A flush of a new file makes a file system commit its journal, which takes several times as long as the flush of a
 * commit into space that was filled ahead.  In the loop each commit that comes meanwhile would wait for it; here it
 * waits for the disk at most.
 * Only the system calls are made here; who owns the descriptors, and what an error means, is disk.c's.  One job at a
 * time, in the order in which they came: two journal commits at once are no quicker.
 *
 * Threads: hx_beside_* are called by one thread; there is one besides, which takes no signals.  The lock protects
 * everything but what is in the job that is being done: that is the thread's until it says that it has ended.
 * A crash in between: what a crash before a flush leaves.
 */
#include "beside.h"

#include "hexad/err.h"
#include "hexad/sys.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct hx_beside {
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct hx_beside_job *first, **last;
    bool end, threaded;
    pthread_t thread;
};

static void *run(void *arg)
{
    struct hx_beside *b = arg;
    pthread_mutex_lock(&b->lock);
    while (!b->end || b->first) {
        struct hx_beside_job *j = b->first;
        if (!j) {
            pthread_cond_wait(&b->work, &b->lock);
            continue;
        }
        b->first = j->next;
        if (!b->first)
            b->last = &b->first;
        pthread_mutex_unlock(&b->lock);
        hx_flush_do(&j->flush);
        pthread_mutex_lock(&b->lock);
        j->ended = true;
        pthread_cond_signal(&b->done);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

int hx_beside_new(struct hx_beside **ret)
{
    struct hx_beside *b = calloc(1, sizeof *b);
    if (!b)
        return HX_E_NOMEM;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->work, NULL);
    pthread_cond_init(&b->done, NULL);
    b->last = &b->first;
    *ret = b;
    return 0;
}

void hx_beside_free(struct hx_beside *b)
{
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    b->end = true;
    pthread_cond_signal(&b->work);
    pthread_mutex_unlock(&b->lock);
    if (b->threaded)
        pthread_join(b->thread, NULL);
    pthread_cond_destroy(&b->done);
    pthread_cond_destroy(&b->work);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

void hx_beside_begin(struct hx_beside *b, struct hx_beside_job *j)
{
    j->next = NULL;
    j->ended = false;
    if (!b->threaded)
        b->threaded = !hx_thread_start(&b->thread, run, b);
    if (!b->threaded) {
        hx_flush_do(&j->flush);
        j->ended = true;
        return;
    }
    pthread_mutex_lock(&b->lock);
    *b->last = j;
    b->last = &j->next;
    pthread_cond_signal(&b->work);
    pthread_mutex_unlock(&b->lock);
}

bool hx_beside_ended(struct hx_beside *b, const struct hx_beside_job *j)
{
    pthread_mutex_lock(&b->lock);
    bool ended = j->ended;
    pthread_mutex_unlock(&b->lock);
    return ended;
}

void hx_beside_wait(struct hx_beside *b, const struct hx_beside_job *j)
{
    pthread_mutex_lock(&b->lock);
    while (!j->ended)
        pthread_cond_wait(&b->done, &b->lock);
    pthread_mutex_unlock(&b->lock);
}
