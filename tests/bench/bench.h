/*
 * bench.h - what the programs that measure have in common: the end of one that cannot go on, clocks, files, quantiles.
 */
#ifndef HX_TESTS_BENCH_H
#define HX_TESTS_BENCH_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...);
uint64_t now_ns(void);
/* A file of BYTES zeros that are on the disk, so that a flush of what is written into it has no metadata to write; its
 * descriptor. */
int zero_filled(const char *path, size_t bytes);
/* The value below which the part Q (0 to 1) of the COUNT values lies; sorts them. */
double quantile(double *values, size_t count, double q);
void drop_caches(void); /* of the system; says so where that is not allowed */

#endif
