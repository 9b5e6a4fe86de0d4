/*
 * beside.h - flushes that nobody waits for, beside the loop; behind disk.c.
 */
#ifndef HEXAD_SYS_BESIDE_H
#define HEXAD_SYS_BESIDE_H

#include "flushpool.h"

#include <stdbool.h>

struct hx_beside;
struct hx_beside_job { /* zeroed at first; the caller's, and not to be touched while it goes on */
    struct hx_flush_job flush; /* its descriptors are the caller's */
    struct hx_beside_job *next;
    bool ended;
};
int hx_beside_new(struct hx_beside **ret); /* HX_E_NOMEM; its thread is made by the first job */
void hx_beside_free(struct hx_beside *b);  /* no job goes on any more */
/* J->flush is done, soon; at once when no thread can be had. */
void hx_beside_begin(struct hx_beside *b, struct hx_beside_job *j);
/* Has it ended?  Then J is the caller's again, and J->flush.err says how. */
bool hx_beside_ended(struct hx_beside *b, const struct hx_beside_job *j);
void hx_beside_wait(struct hx_beside *b, const struct hx_beside_job *j); /* until it has */

#endif
