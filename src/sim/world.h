/*
 * world.h - what the world's parts ask of the world itself.
 */
#ifndef HX_SIM_WORLD_H
#define HX_SIM_WORLD_H

#include "sim.h"

/* A completion for whoever creates the volume (client number client_count). */
void hx_sim_creator_answer(struct hx_sim *s, uint64_t call, int err, struct hx_bytes body);

#endif
