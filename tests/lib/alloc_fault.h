/*
 * alloc_fault.h - lets the k-th allocation of the product fail, once or from then on.
 *
 * A test program whose name begins with test_nomem is linked so that malloc, calloc, realloc, reallocarray,
 * aligned_alloc and strdup of all our objects, and the allocating calls of libzstd, go through alloc_wrap.c.
 * There an allocation counts, and may fail, only while faults are armed; so a test arms around calls of the
 * product, and what the test itself or its kit (mem_disk, node_rig, ...) allocates never fails.
 *
 *     for (uint64_t k = 1; ; k++) {
 *         alloc_fault_plan(k, always);
 *         ALLOC_FAULTS(err = product_call(...));
 *         if (!alloc_fault_happened()) break;       (it has fewer than k allocations)
 *     }
 */
#ifndef HEXAD_TESTS_ALLOC_FAULT_H
#define HEXAD_TESTS_ALLOC_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From now on: the K-th armed allocation (1: the next) fails; ALWAYS: and all later ones.  0: none. */
void alloc_fault_plan(uint64_t k, bool always);
bool alloc_fault_happened(void); /* since the plan */
uint64_t alloc_fault_count(void); /* armed allocations since the plan */
/* Nested; arming is counted, suspending ends it for what the kit does inside the product's calls. */
void alloc_fault_arm(void);
void alloc_fault_disarm(void);
bool alloc_fault_suspend(void);
void alloc_fault_resume(bool was);
/* For alloc_wrap.c: an allocation begins; true: it fails. */
bool alloc_fault_strikes(void);

#define ALLOC_FAULTS(...)         \
    do {                          \
        alloc_fault_arm();        \
        __VA_ARGS__;              \
        alloc_fault_disarm();     \
    } while (0)

#endif
