/*
 * nomem_kit.h - scripts that run once for each allocation that may fail (alloc_fault.h), for test_nomem*.
 */
#ifndef HX_TEST_NOMEM_KIT_H
#define HX_TEST_NOMEM_KIT_H

#include "alloc_fault.h"
#include "node_rig.h"

static bool struck; /* the plan of this run met an allocation */

static inline void lift(void)
{
    struck |= alloc_fault_happened();
    alloc_fault_plan(0, false);
}

/* Memory is back: a server that stopped over it is started again, as its operator would. */
static inline void relieve(struct hx_rig *r, unsigned server)
{
    bool happened = alloc_fault_happened();
    lift();
    if (!happened && r->node[server])
        return;
    hx_rig_stop(r, server);
    assert_int_equal(hx_rig_start(r, server), 0);
}

static inline void assert_nomem(int status, const char *what, uint64_t k)
{
    if (status != HX_E_NOMEM && status != HX_E_TIMEOUT)
        fail_msg("%s, allocation %llu failed: the answer is %d", what, (unsigned long long)k, status);
}

/* Runs SCRIPT for k = 1, 2, ... until it has fewer allocations, once and for ever. */
static inline void for_each(void (*script)(uint64_t k, bool always))
{
    uint64_t k = 1;
    for (unsigned always = 0; always < 2; always++)
        for (k = 1, struck = true; struck; k++) {
            struck = false;
            alloc_fault_plan(k, always);
            script(k, always);
            lift();
        }
    print_message("# %llu allocations\n", (unsigned long long)k - 2);
}

#endif
