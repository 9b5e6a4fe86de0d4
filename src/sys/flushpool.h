/*
 * flushpool.h - flushes of several files at the same time; behind farm.c.
 */
#ifndef HEXAD_SYS_FLUSHPOOL_H
#define HEXAD_SYS_FLUSHPOOL_H

#include <stddef.h>

struct hx_flush_job {
    int fd, dir_fd; /* dir_fd: synced after it; -1: not */
    int err;        /* 0 or HX_E_* of the first that failed */
};
struct hx_flushpool;
int hx_flushpool_new(struct hx_flushpool **ret); /* HX_E_NOMEM; threads are made by the first run */
void hx_flushpool_free(struct hx_flushpool *p);
/* Does all jobs and returns when the last one is done.  With no thread to be had: one after the other. */
void hx_flushpool_run(struct hx_flushpool *p, struct hx_flush_job *jobs, size_t count);
void hx_flush_do(struct hx_flush_job *j);
/* fdatasync, again after a signal; on an error the cached pages are given up (disk.c, S1). */
int hx_flush_fd(int fd);

#endif
