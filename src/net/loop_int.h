/*
 * loop_int.h - what the other files of the net layer may know of the loop: its event_base.
 */
#ifndef HEXAD_NET_LOOP_INT_H
#define HEXAD_NET_LOOP_INT_H

#include "hexad/net.h"

struct event_base;

/* Borrowed; lives as long as the loop. */
struct event_base *hx_loop_base(struct hx_loop *l);

/* As hx_defer_call, but from inside ANOTHER deferred call it still runs in this iteration.  For work that
 * calls nobody's code before it returns to the descriptors (starting what was posted). */
void hx_defer_call_now(struct hx_defer *d);

#endif
