/*
 * httphead.h - the head of an HTTP/1.x answer.
 */
#ifndef HEXAD_NET_HTTPHEAD_H
#define HEXAD_NET_HTTPHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HX_HTTPHEAD_MAX 16384u

struct hx_httphead {
    size_t len;      /* of the head, its empty line included */
    int status;      /* 100 to 999 */
    bool has_length; /* else the body ends with the connection */
    uint64_t length; /* of the body */
    bool close;      /* nothing can be asked on this connection any more */
};

/* 1: there is a whole head in the LEN bytes at P; 0: not yet; HX_E_BADMSG: it is none, or one that we do not read (a
 * transfer encoding), or longer than HX_HTTPHEAD_MAX. */
int hx_httphead_parse(const char *p, size_t len, struct hx_httphead *ret);

#endif
