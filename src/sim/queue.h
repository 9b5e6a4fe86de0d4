/*
 * queue.h - what the event loop needs of the queue beyond hx_sim_at (sim.h).
 */
#ifndef HX_SIM_QUEUE_H
#define HX_SIM_QUEUE_H

#include "sim.h"

bool hx_sim_queue_take(struct hx_sim_queue *q, struct hx_sim_event *ret); /* the earliest; false: none */
void hx_sim_queue_fini(struct hx_sim_queue *q);

#endif
