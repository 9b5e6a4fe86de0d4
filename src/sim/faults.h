/*
 * faults.h - when which fault happens, within what is promised (doc/TESTING.md).
 */
#ifndef HX_SIM_FAULTS_H
#define HX_SIM_FAULTS_H

#include "hexad/effect.h"
#include "sim.h"

struct hx_sim_faults *hx_sim_faults_new(struct hx_sim *s); /* chooses the victims; NULL: no memory */
void hx_sim_faults_free(struct hx_sim_faults *f);
void hx_sim_faults_begin(struct hx_sim *s); /* from now on, every 100 ms of virtual time */
/* An operation begins: what it does is what faults must meet, so each brings as many as 100 ms do. */
void hx_sim_faults_op(struct hx_sim *s);
/* A client sends a message of this part: openings and growths must meet faults, too. */
void hx_sim_faults_sent(struct hx_sim *s, enum hx_part part);
/* No more of them, and what they did ends: servers run, networks are whole, disks are honest and empty enough. */
void hx_sim_faults_heal(struct hx_sim *s);
/* Servers that are out for good, a bit each. */
uint64_t hx_sim_faults_gone(const struct hx_sim *s);

#endif
