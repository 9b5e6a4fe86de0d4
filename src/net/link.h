/*
 * link.h - one kept-alive HTTPS connection of a client: a request, its answer, the next request.
 */
#ifndef HEXAD_NET_LINK_H
#define HEXAD_NET_LINK_H

#include "tls.h"

struct hx_links; /* what the links of a client share */
struct hx_link;

struct hx_link_peer {
    const char *host, *port; /* where; borrowed */
    const char *sni;         /* the name that the handshake asks for; borrowed */
    const char *head;        /* of each request, up to and with "Content-Length: "; borrowed */
    /* The server's certificate, inside the handshake: X509_V_OK or why not; WHY (HX_WHY_MAX bytes) in words. */
    int (*verify)(void *ctx, X509_STORE_CTX *peer, char *why);
    /* The request has ended: 0 and STATUS, and the body of a 200 answer, which is the link's until the loop runs
     * again; or an error, WHY in words.  The link is idle: it may be started again, or freed. */
    void (*done)(void *ctx, int err, int status, struct hx_bytes body, const char *why);
    void *ctx;
};

int hx_links_new(struct hx_loop *l, const struct hx_tls *tls, struct hx_links **ret);
void hx_links_free(struct hx_links *s); /* no link is left */

/* PEER is copied. */
struct hx_link *hx_link_new(struct hx_links *s, const struct hx_link_peer *peer); /* NULL: no memory */
void hx_link_free(struct hx_link *k);
/* A request with the LEN bytes of IOV as its body (borrowed until its end), begun in this iteration of the loop but not
 * inside this call.  CONNECT_MS bounds a new connection with its handshake. */
void hx_link_start(struct hx_link *k, const struct iovec *iov, int iovcnt, size_t len, uint32_t connect_ms);
/* Ends the request, if there is one; DONE is not called any more. */
void hx_link_stop(struct hx_link *k);

#endif
