/*
 * segd.h - the segment server's process: what main.c tells daemon.c.
 */
#ifndef HEXAD_SEGD_H
#define HEXAD_SEGD_H

#include "hexad/conf.h"

struct segd_start {
    const struct hx_segmentd_conf *conf; /* borrowed until return */
    int ready_fd;                        /* gets "PORT\n" when the server listens; -1: none */
};
/* Runs until SIGTERM, SIGINT or SIGHUP.  Complains by itself; gives the exit code. */
int segd_run(const struct segd_start *start);

#endif
