/*
 * kit_alloc.h - allocation for the tests' own kit, also where it runs inside calls of the product: never fails by plan
 * (alloc_fault.h).  Included last; replaces malloc, calloc and realloc in the file that includes it.
 */
#ifndef HEXAD_TESTS_KIT_ALLOC_H
#define HEXAD_TESTS_KIT_ALLOC_H

#include "alloc_fault.h"

#include <stdlib.h>

static inline void *kit_malloc(size_t n)
{
    bool was = alloc_fault_suspend();
    void *p = malloc(n);
    alloc_fault_resume(was);
    return p;
}

static inline void *kit_calloc(size_t n, size_t size)
{
    bool was = alloc_fault_suspend();
    void *p = calloc(n, size);
    alloc_fault_resume(was);
    return p;
}

static inline void *kit_realloc(void *p, size_t n)
{
    bool was = alloc_fault_suspend();
    p = realloc(p, n);
    alloc_fault_resume(was);
    return p;
}

#define malloc kit_malloc
#define calloc kit_calloc
#define realloc kit_realloc

#endif
