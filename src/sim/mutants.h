/*
 * mutants.h - choosing a mutant (hexad/mutant.h) by its name.  Only a program that is built with mutants has any.
 */
#ifndef HX_SIM_MUTANTS_H
#define HX_SIM_MUTANTS_H

#include <stddef.h>

struct hx_sim_mutant {
    const char *name, *invariant, *text; /* what --mutant takes; what is expected to catch it; what is broken */
    unsigned pitfall;
};
/* All of them in the order of hexad/mutant.h; *ret_count 0 (and NULL) in a program without mutants. */
const struct hx_sim_mutant *hx_sim_mutants(size_t *ret_count);
/* From now on the pure layers are that mutant; NULL: what they should be.  HX_E_INVAL: there is none of that name. */
int hx_sim_mutant_select(const char *name);

#endif
