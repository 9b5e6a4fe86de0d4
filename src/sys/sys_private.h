/*
 * sys_private.h - what the files of src/sys share among themselves.
 */
#ifndef HEXAD_SYS_PRIVATE_H
#define HEXAD_SYS_PRIVATE_H

#include "hexad/disk.h"
#include "hexad/sys.h"

const char *hx_log_program(void);
enum hx_log_to hx_log_where(void);

/* "FMT: text of errno" into WHY; gives the translated error. */
int hx_sys_why(char why[HX_WHY_MAX], int eno, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int hx_datadir_segments_fd(const struct hx_datadir *d);
bool hx_datadir_read_only(const struct hx_datadir *d);

#endif
