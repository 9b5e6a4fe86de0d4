/*
 * flushpool.c - flushes of several files at the same time.
 *
 * A flush mostly waits for the disk, and a file system makes one journal commit of all that wait for one: so N files
 * that are flushed together cost little more than one, and N times as much one after the other (figures:
 * src/store/README).
 * Only the system calls are made here; who owns the descriptors, and what an error means, is disk.c's.
 *
 * Threads: hx_flushpool_* are called by one thread, which takes jobs like the others and waits for the last one.  The
 * lock protects everything in the pool but the jobs' results, each of which one thread writes before it counts the job
 * as done.  The threads take no signals.  They end with the pool.
 */
#include "flushpool.h"

#include "hexad/err.h"
#include "hexad/sys.h"
#include "hexad/types.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS 15u /* and the caller */

struct hx_flushpool {
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct hx_flush_job *jobs;
    size_t count, next, left; /* next: job to be taken; left: not done yet */
    bool end;
    unsigned threads;
    pthread_t thread[THREADS];
};

int hx_flush_fd(int fd)
{
    int rc;
    do
        rc = fdatasync(fd);
    while (rc < 0 && errno == EINTR);
    if (rc == 0)
        return 0;
    int err = hx_err_from_errno(errno);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return err;
}

void hx_flush_do(struct hx_flush_job *j)
{
    j->err = hx_flush_fd(j->fd);
    if (!j->err && j->dir_fd >= 0 && fsync(j->dir_fd) < 0)
        j->err = hx_err_from_errno(errno);
}

/* Jobs until none is left to take; the lock is held before and after. */
static void take_jobs(struct hx_flushpool *p)
{
    while (p->next < p->count) {
        struct hx_flush_job *j = &p->jobs[p->next++];
        pthread_mutex_unlock(&p->lock);
        hx_flush_do(j);
        pthread_mutex_lock(&p->lock);
        if (--p->left == 0)
            pthread_cond_signal(&p->done);
    }
}

static void *worker(void *arg)
{
    struct hx_flushpool *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->end) {
        take_jobs(p);
        pthread_cond_wait(&p->work, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void start_threads(struct hx_flushpool *p)
{
    while (p->threads < THREADS && !hx_thread_start(&p->thread[p->threads], worker, p))
        p->threads++;
}

int hx_flushpool_new(struct hx_flushpool **ret)
{
    struct hx_flushpool *p = calloc(1, sizeof *p);
    if (!p)
        return HX_E_NOMEM;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    *ret = p;
    return 0;
}

void hx_flushpool_free(struct hx_flushpool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->end = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->threads; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void hx_flushpool_run(struct hx_flushpool *p, struct hx_flush_job *jobs, size_t count)
{
    if (!p->threads && count > 1)
        start_threads(p);
    pthread_mutex_lock(&p->lock);
    p->jobs = jobs;
    p->count = p->left = count;
    p->next = 0;
    if (count > 1)
        pthread_cond_broadcast(&p->work);
    take_jobs(p);
    while (p->left)
        pthread_cond_wait(&p->done, &p->lock);
    p->count = p->next = 0;
    pthread_mutex_unlock(&p->lock);
}
