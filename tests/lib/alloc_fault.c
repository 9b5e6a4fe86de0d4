/*
 * alloc_fault.c - the plan by which allocations fail (alloc_fault.h).  One thread.
 */
#include "alloc_fault.h"

#include "hexad/assert.h"

static struct {
    uint64_t seen, fail_at;
    unsigned armed;
    bool always, happened, suspended;
} plan;

void alloc_fault_plan(uint64_t k, bool always)
{
    plan.seen = 0;
    plan.fail_at = k;
    plan.always = always;
    plan.happened = false;
}

bool alloc_fault_happened(void)
{
    return plan.happened;
}

uint64_t alloc_fault_count(void)
{
    return plan.seen;
}

void alloc_fault_arm(void)
{
    plan.armed++;
}

void alloc_fault_disarm(void)
{
    hx_assert(plan.armed > 0);
    plan.armed--;
}

bool alloc_fault_suspend(void)
{
    bool was = plan.suspended;
    plan.suspended = true;
    return was;
}

void alloc_fault_resume(bool was)
{
    plan.suspended = was;
}

bool alloc_fault_strikes(void)
{
    if (!plan.armed || plan.suspended)
        return false;
    plan.seen++;
    bool now = plan.fail_at > 0 && (plan.always ? plan.seen >= plan.fail_at : plan.seen == plan.fail_at);
    plan.happened |= now;
    return now;
}
