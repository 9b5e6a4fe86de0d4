/*
 * httphead.h - the head of the answer of a segment server.
 */
#ifndef HEXAD_NET_HTTPHEAD_H
#define HEXAD_NET_HTTPHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HX_HTTPHEAD_MAX 4096u

struct hx_httphead {
    size_t len;      /* of the head, its empty line included */
    int status;      /* 100 to 999; below 200 the answer is still to come */
    uint64_t length; /* of the body behind it */
    bool close;      /* nothing can be asked on this connection any more */
};

/* 1: there is a whole head in the LEN bytes at P; 0: not yet; HX_E_BADMSG: it is none, or none of a segment server, or
 * longer than HX_HTTPHEAD_MAX. */
int hx_httphead_parse(const uint8_t *p, size_t len, struct hx_httphead *ret);

#endif
