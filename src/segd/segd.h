/*
 * segd.h - the segment server's process: what main.c tells daemon.c and look.c.
 */
#ifndef HEXAD_SEGD_H
#define HEXAD_SEGD_H

#include "hexad/conf.h"

struct segd_start {
    const struct hx_segmentd_conf *conf; /* borrowed until return */
    int ready_fd;                        /* gets "PORT\n" when the server listens; -1: none */
};
/* Runs until SIGTERM or SIGINT.  Complains by itself; gives the exit code. */
int segd_run(const struct segd_start *start);
/* --check DIR and --dump DIR [SEGMENT [FILE]] (NULL: not given), to standard output.  Complain by themselves; give the
 * exit code. */
int segd_check(const char *dir, bool json);
int segd_dump(const char *dir, const char *segment, const char *file);

#endif
