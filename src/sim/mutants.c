/*
 * mutants.c - the table of mutants, and the one that is selected.
 *
 * Compiled twice: in the simulator it knows none; in hexad-sim-mutants, which links the pure layers with mutants,
 * it defines hx_mutant_selected, the only variable of the process that the pure layers look at.  It is set before
 * a run and stays.
 */
#include "mutants.h"

#include "hexad/err.h"
#include "hexad/mutant.h"

#include <string.h>

#ifdef HX_WITH_MUTANTS
enum hx_mutant hx_mutant_selected;

static const struct hx_sim_mutant table[] = {
#define X(id, name, pitfall, invariant, text) {name, invariant, text, pitfall},
    HX_MUTANTS(X)
#undef X
};
_Static_assert(sizeof table / sizeof *table == HX_MUTANT_END - 1, "the first id after NONE is the first entry");

const struct hx_sim_mutant *hx_sim_mutants(size_t *ret_count)
{
    *ret_count = sizeof table / sizeof *table;
    return table;
}

int hx_sim_mutant_select(const char *name)
{
    size_t i = 0;
    if (name) {
        while (i < sizeof table / sizeof *table && strcmp(table[i].name, name) != 0)
            i++;
        if (i++ == sizeof table / sizeof *table)
            return HX_E_INVAL;
    }
    hx_mutant_selected = (enum hx_mutant)i;
    return 0;
}
#else
const struct hx_sim_mutant *hx_sim_mutants(size_t *ret_count)
{
    *ret_count = 0;
    return NULL;
}

int hx_sim_mutant_select(const char *name)
{
    return name ? HX_E_INVAL : 0;
}
#endif
