/*
 * notify.c - tells the kernel to forget cached bytes of an inode.
 *
 * The kernel may wait, inside such a call, for an answer that only the mount's one thread can give (a page that
 * is being read or written back).  So the calls come from a small thread of their own, which touches nothing
 * but this queue and the device.  Made with the session; idle but after failed write-backs and after a fence.
 *
 * The lock protects queue and end.  What cannot be queued for lack of memory is logged and dropped: the bytes were
 * reported as failed to fsync anyway.
 */
#include "fuse_private.h"

#include <pthread.h>
#include <stdlib.h>

struct item {
    struct item *next;
    uint64_t ino, off, len;
};
struct hx_note {
    struct fuse_session *se;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct item *head, **tail; /* lock */
    bool end;                  /* lock */
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
        pthread_mutex_unlock(&n->lock);
        if (!end)
            (void)fuse_lowlevel_notify_inval_inode(n->se, it->ino, (off_t)it->off, (off_t)it->len);
        free(it);
        pthread_mutex_lock(&n->lock);
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}

int hx_note_new(struct fuse_session *se, struct hx_note **ret)
{
    struct hx_note *n = calloc(1, sizeof(*n));
    if (!n)
        return HX_E_NOMEM;
    n->se = se;
    n->tail = &n->head;
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->more, NULL);
    int err = hx_thread_start(&n->thread, work, n);
    if (err) {
        free(n);
        return err;
    }
    *ret = n;
    return 0;
}

void hx_note_free(struct hx_note *n)
{
    if (!n)
        return;
    pthread_mutex_lock(&n->lock);
    n->end = true;
    pthread_cond_signal(&n->more);
    pthread_mutex_unlock(&n->lock);
    pthread_join(n->thread, NULL);
    pthread_cond_destroy(&n->more);
    pthread_mutex_destroy(&n->lock);
    free(n);
}

void hx_note_inode(struct hx_note *n, uint64_t ino, uint64_t off, uint64_t len)
{
    struct item *it = malloc(sizeof(*it));
    if (!it) {
        hx_log_every(1000, HX_LOG_WARN, "no memory to tell the kernel to drop cached bytes of inode %llu",
                     (unsigned long long)ino);
        return;
    }
    *it = (struct item){NULL, ino, off, len};
    pthread_mutex_lock(&n->lock);
    *n->tail = it;
    n->tail = &it->next;
    pthread_cond_signal(&n->more);
    pthread_mutex_unlock(&n->lock);
}
