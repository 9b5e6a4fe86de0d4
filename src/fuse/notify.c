/*
 * notify.c - tells the kernel to forget cached bytes of an inode; it writes back first what programs have changed.
 *
 * The kernel may wait, inside such a call, for an answer that only the mount's one thread can give (a page that
 * is being read or written back).  So the calls come from a small thread of their own, which touches nothing
 * but this queue, the device and the eventfd by which the loop hears of what has been done.  For the same reason the
 * device must be served until the thread is idle (hx_note_busy) before it can be joined.
 * Made with the session; idle but after failed write-backs, after a fence, when a program looks for holes in a
 * file that may be mapped (ops_inode.c), and when it writes past the cache what the cache may have (ops_data.c).
 *
 * The lock protects queue, done, busy and end.  What cannot be queued for lack of memory is logged and dropped: the
 * bytes were reported as failed to fsync anyway.  Whoever wants to be told is told once, by the loop's thread, also
 * at the end.
 */
#include "fuse_private.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct item {
    struct item *next;
    uint64_t ino, off, len;
    void (*told)(void *ctx); /* may be NULL */
    void *ctx;
};
struct hx_note {
    struct fuse_session *se;
    struct hx_watch *watch;
    int wake;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct item *head, **tail; /* lock */
    struct item *done;         /* lock; told, but whoever asked does not know yet */
    bool busy, end;            /* lock */
};

static void *work(void *ctx)
{
    struct hx_note *n = ctx;
    pthread_mutex_lock(&n->lock);
    for (;;) {
        while (!n->head && !n->end)
            pthread_cond_wait(&n->more, &n->lock);
        struct item *it = n->head;
        if (!it)
            break;
        n->head = it->next;
        if (!n->head)
            n->tail = &n->head;
        bool end = n->end;
        n->busy = true;
        pthread_mutex_unlock(&n->lock);
        if (!end)
            (void)fuse_lowlevel_notify_inval_inode(n->se, it->ino, (off_t)it->off, (off_t)it->len);
        if (!it->told)
            free(it);
        pthread_mutex_lock(&n->lock);
        n->busy = false;
        if (it->told) {
            it->next = n->done;
            n->done = it;
            (void)eventfd_write(n->wake, 1);
        }
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}

/* The loop's thread. */
static void tell(void *ctx)
{
    struct hx_note *n = ctx;
    eventfd_t count;
    (void)eventfd_read(n->wake, &count);
    pthread_mutex_lock(&n->lock);
    struct item *done = n->done;
    n->done = NULL;
    pthread_mutex_unlock(&n->lock);
    while (done) {
        struct item *it = done;
        done = it->next;
        it->told(it->ctx);
        free(it);
    }
}

int hx_note_new(struct hx_loop *l, struct fuse_session *se, struct hx_note **ret)
{
    struct hx_note *n = calloc(1, sizeof(*n));
    if (!n)
        return HX_E_NOMEM;
    n->se = se;
    n->tail = &n->head;
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->more, NULL);
    n->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int err = n->wake < 0 ? HX_E_IO : hx_watch_new(l, n->wake, tell, n, &n->watch);
    if (err == 0)
        err = hx_thread_start(&n->thread, work, n);
    if (err) {
        if (n->watch)
            hx_watch_free(n->watch);
        if (n->wake >= 0)
            (void)close(n->wake);
        free(n);
        return err;
    }
    *ret = n;
    return 0;
}

bool hx_note_ending(struct hx_note *n)
{
    pthread_mutex_lock(&n->lock);
    n->end = true;
    bool busy = n->busy;
    pthread_cond_signal(&n->more);
    pthread_mutex_unlock(&n->lock);
    return busy;
}

void hx_note_free(struct hx_note *n)
{
    if (!n)
        return;
    (void)hx_note_ending(n);
    pthread_join(n->thread, NULL);
    tell(n);
    hx_watch_free(n->watch);
    (void)close(n->wake);
    pthread_cond_destroy(&n->more);
    pthread_mutex_destroy(&n->lock);
    free(n);
}

static int queue(struct hx_note *n, struct item item)
{
    struct item *it = malloc(sizeof(*it));
    if (!it)
        return HX_E_NOMEM;
    *it = item;
    pthread_mutex_lock(&n->lock);
    *n->tail = it;
    n->tail = &it->next;
    pthread_cond_signal(&n->more);
    pthread_mutex_unlock(&n->lock);
    return 0;
}

void hx_note_inode(struct hx_note *n, uint64_t ino, uint64_t off, uint64_t len)
{
    if (queue(n, (struct item){.ino = ino, .off = off, .len = len}))
        hx_log_every(1000, HX_LOG_WARN, "no memory to tell the kernel to drop cached bytes of inode %llu",
                     (unsigned long long)ino);
}

int hx_note_drop(struct hx_note *n, uint64_t ino, uint64_t off, uint64_t len, void (*told)(void *ctx), void *ctx)
{
    return queue(n, (struct item){.ino = ino, .off = off, .len = len, .told = told, .ctx = ctx});
}
