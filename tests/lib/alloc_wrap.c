/*
 * alloc_wrap.c - the allocating calls as the linker's --wrap gives them to us (alloc_fault.h).  Not in any other
 * program: an object of a library is taken only when somebody asks for what it defines.
 */
#include "alloc_fault.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__real_aligned_alloc(size_t align, size_t n);
char *__real_strdup(const char *s);
ZSTD_CCtx *__real_ZSTD_createCCtx(void);
ZSTD_DCtx *__real_ZSTD_createDCtx(void);
size_t __real_ZSTD_decompress(void *to, size_t cap, const void *from, size_t len);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t n);
char *__wrap_strdup(const char *s);
ZSTD_CCtx *__wrap_ZSTD_createCCtx(void);
ZSTD_DCtx *__wrap_ZSTD_createDCtx(void);
size_t __wrap_ZSTD_decompress(void *to, size_t cap, const void *from, size_t len);

void *__wrap_malloc(size_t n)
{
    return alloc_fault_strikes() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return alloc_fault_strikes() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return alloc_fault_strikes() ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
    return alloc_fault_strikes() ? NULL : __real_reallocarray(p, n, size);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return alloc_fault_strikes() ? NULL : __real_aligned_alloc(align, n);
}

char *__wrap_strdup(const char *s)
{
    return alloc_fault_strikes() ? NULL : __real_strdup(s);
}

ZSTD_CCtx *__wrap_ZSTD_createCCtx(void)
{
    return alloc_fault_strikes() ? NULL : __real_ZSTD_createCCtx();
}

ZSTD_DCtx *__wrap_ZSTD_createDCtx(void)
{
    return alloc_fault_strikes() ? NULL : __real_ZSTD_createDCtx();
}

/* It allocates its context. */
size_t __wrap_ZSTD_decompress(void *to, size_t cap, const void *from, size_t len)
{
    if (alloc_fault_strikes())
        return (size_t)-(int)ZSTD_error_memory_allocation;
    return __real_ZSTD_decompress(to, cap, from, len);
}
