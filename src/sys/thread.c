/*
 * thread.c - a thread beside the loop.
 *
 * Knows nothing of what the thread does, and keeps no list: who starts one joins it.
 * Memory: none.
 */
#include "hexad/sys.h"

#include <signal.h>

int hx_thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg)
{
    sigset_t all, was;
    sigfillset(&all); /* a thread inherits the mask: no moment in which it could be given a signal */
    pthread_sigmask(SIG_SETMASK, &all, &was);
    int eno = pthread_create(ret, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    return eno ? HX_E_NOMEM : 0;
}
