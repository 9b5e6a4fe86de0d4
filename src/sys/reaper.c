/*
 * reaper.c - gives the space of removed files back, beside the loop.
 *
 * The end of a log file of 64 MiB takes a file system tens of milliseconds: its cached pages are dropped one by one and
 * its extents are freed, and every commit that comes in then would wait.  So disk.c only takes the name away, and what
 * is left, a descriptor, is cut down here, a few mebibytes at a time with a pause after each, so that a flush of
 * another file waits for one piece at most.
 *
 *   R1 At most MOST descriptors wait; another one is dealt with at once by who brings it (so is each when no thread can
 *      be had).
 *   R2 Who needs the room now (a write that found the disk full) settles: no pauses from then on.
 * A crash or kill -9: files without a name are given back by the system.  An error of ftruncate means nothing: closing
 * gives everything back.
 * Threads: hx_reaper_* are called by one thread; the reaper has its own, which takes no signals.  The lock protects
 * everything in it.
 */
#include "reaper.h"

#include "hexad/err.h"
#include "hexad/sys.h"
#include "hexad/types.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST 16u
#define PIECE (4 << 20)
#define PAUSE_NS 4000000

struct hx_reaper {
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    int fd[MOST];
    unsigned count; /* with the one that is being cut down, which is fd[0] */
    bool hurry, end, threaded;
    pthread_t thread;
};

static bool in_a_hurry(struct hx_reaper *r)
{
    pthread_mutex_lock(&r->lock);
    bool hurry = r->hurry || r->end;
    pthread_mutex_unlock(&r->lock);
    return hurry;
}

static void cut_down(struct hx_reaper *r, int fd)
{
    static const struct timespec pause = {.tv_nsec = PAUSE_NS};
    struct stat st;
    off_t size = fstat(fd, &st) < 0 ? 0 : st.st_size;
    while (size > 0) {
        size = size > PIECE && !in_a_hurry(r) ? size - PIECE : 0;
        if (ftruncate(fd, size) < 0)
            break;
        if (size > 0)
            nanosleep(&pause, NULL);
    }
    close(fd);
}

static void *run(void *arg)
{
    struct hx_reaper *r = arg;
    pthread_mutex_lock(&r->lock);
    while (!r->end || r->count) {
        if (!r->count) {
            pthread_cond_wait(&r->work, &r->lock);
            continue;
        }
        int fd = r->fd[0];
        pthread_mutex_unlock(&r->lock);
        cut_down(r, fd);
        pthread_mutex_lock(&r->lock);
        r->count--;
        for (unsigned i = 0; i < r->count; i++)
            r->fd[i] = r->fd[i + 1];
        if (!r->count)
            pthread_cond_signal(&r->done);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

int hx_reaper_new(struct hx_reaper **ret)
{
    struct hx_reaper *r = calloc(1, sizeof *r);
    if (!r)
        return HX_E_NOMEM;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->work, NULL);
    pthread_cond_init(&r->done, NULL);
    *ret = r;
    return 0;
}

void hx_reaper_free(struct hx_reaper *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->end = true;
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->lock);
    if (r->threaded)
        pthread_join(r->thread, NULL);
    pthread_cond_destroy(&r->done);
    pthread_cond_destroy(&r->work);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void hx_reaper_take(struct hx_reaper *r, int fd)
{
    if (!r->threaded)
        r->threaded = !hx_thread_start(&r->thread, run, r);
    pthread_mutex_lock(&r->lock);
    bool taken = r->threaded && r->count < MOST; /* R1 */
    if (taken) {
        r->fd[r->count++] = fd;
        pthread_cond_signal(&r->work);
    }
    pthread_mutex_unlock(&r->lock);
    if (!taken)
        close(fd);
}

bool hx_reaper_settle(struct hx_reaper *r)
{
    pthread_mutex_lock(&r->lock);
    bool any = r->count > 0;
    r->hurry = true; /* R2 */
    while (r->count)
        pthread_cond_wait(&r->done, &r->lock);
    r->hurry = false;
    pthread_mutex_unlock(&r->lock);
    return any;
}
