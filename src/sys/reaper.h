/*
 * reaper.h - gives the space of removed files back, beside the loop; behind disk.c.
 */
#ifndef HEXAD_SYS_REAPER_H
#define HEXAD_SYS_REAPER_H

#include <stdbool.h>

struct hx_reaper;
int hx_reaper_new(struct hx_reaper **ret); /* HX_E_NOMEM; its thread is made by the first file */
void hx_reaper_free(struct hx_reaper *r);  /* everything has been given back then */
/* FD, of a file that no name leads to any more, is taken over: cut down and closed, soon. */
void hx_reaper_take(struct hx_reaper *r, int fd);
/* Waits until everything taken has been given back; false: there was nothing. */
bool hx_reaper_settle(struct hx_reaper *r);

#endif
