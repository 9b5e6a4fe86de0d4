/*
 * curlio.h - libcurl's multi interface driven by our event loop.
 */
#ifndef HEXAD_NET_CURLIO_H
#define HEXAD_NET_CURLIO_H

#include "hexad/net.h"

#include <curl/curl.h>

struct hx_curlio;

/* DONE: the transfer of EASY has ended: it is connected, or has failed.  It is in the multi handle until it is taken
 * out, which ends the connection. */
int hx_curlio_new(struct hx_loop *l, void (*done)(void *ctx, CURL *easy, CURLcode code), void *ctx,
                  struct hx_curlio **ret);
/* Closes every connection; each easy handle must have been removed and cleaned up before. */
void hx_curlio_free(struct hx_curlio *io);
/* Starts a transfer in this iteration of the loop, but not inside this call. */
int hx_curlio_add(struct hx_curlio *io, CURL *easy);
/* Ends it, and its connection; DONE is not called any more. */
void hx_curlio_remove(struct hx_curlio *io, CURL *easy);

#endif
