/*
 * prefetch.h - what will be read soon is brought into the system's cache beside the loop; behind disk.c.
 */
#ifndef HEXAD_SYS_PREFETCH_H
#define HEXAD_SYS_PREFETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hx_prefetch;
int hx_prefetch_new(struct hx_prefetch **ret); /* HX_E_NOMEM; its thread is made by the first job */
void hx_prefetch_free(struct hx_prefetch *a);  /* nobody waits any more */
/* LEN bytes at OFF of FD, which stays the caller's, for OWNER.  Where that cannot be done nothing is. */
void hx_prefetch_ask(struct hx_prefetch *a, const void *owner, int fd, uint64_t off, size_t len);
/* What OWNER asked for is not wanted any more; nothing goes on for it afterwards. */
void hx_prefetch_forget(struct hx_prefetch *a, const void *owner);

#endif
