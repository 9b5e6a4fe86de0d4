/*
 * link.h - one kept-alive HTTPS connection of a client: a request, its answer, the next request.
 */
#ifndef HEXAD_NET_LINK_H
#define HEXAD_NET_LINK_H

#include "curlio.h"
#include "tls.h"

struct hx_link;

struct hx_link_cfg {
    struct hx_loop *loop;
    struct hx_curlio *io; /* made with hx_link_connected */
    const struct hx_tls *tls;
    const char *name, *url; /* of the server that must answer, and where; borrowed, as all of these */
    const char *head;       /* of each request, up to and with "Content-Length: " */
    /* The request has ended: with the body of a 200 answer, which is the link's until the loop runs again; or an
     * error, WHY in words.  The link is idle: it may be started again, or freed. */
    void (*done)(void *ctx, int err, struct hx_bytes body, const char *why);
    void *ctx;
};

/* For hx_curlio_new: a transfer of libcurl has ended, that is, a link is connected, or cannot be. */
void hx_link_connected(void *ctx, CURL *easy, CURLcode code);

struct hx_link *hx_link_new(const struct hx_link_cfg *cfg); /* NULL: no memory */
void hx_link_free(struct hx_link *k);
/* A request with the bytes of IOV as its body (borrowed until its end), begun in this iteration of the loop but not
 * inside this call.  CONNECT_MS bounds a new connection with its handshake.  HX_E_NOMEM. */
int hx_link_start(struct hx_link *k, const struct iovec *iov, int iovcnt, size_t len, uint32_t connect_ms);
/* Ends the request, if there is one; DONE is not called any more. */
void hx_link_stop(struct hx_link *k);

#endif
