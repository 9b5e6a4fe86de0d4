/*
 * conn.h - one accepted TLS connection below evhttp, and the set of them that a server has.
 */
#ifndef HEXAD_NET_CONN_H
#define HEXAD_NET_CONN_H

#include "tls.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/ssl.h>

struct hx_conns;
struct hx_readahead;

/*
 * HANDSHAKE  accepted; or just after it, no bytes   -> RECEIVING or PENDING, as from IDLE
 * RECEIVING  part of a request is here             -> PENDING: the request is complete
 * PENDING    the handler owes an answer            -> IDLE or RECEIVING: hx_conn_replied
 * IDLE       answered, perhaps still being written -> RECEIVING: bytes arrive
 * HANDSHAKE and RECEIVING end by request_ms (more for bodies that keep coming), IDLE (and a
 * finished handshake without a request) by idle_ms, PENDING never.
 */
enum hx_conn_phase { HX_CONN_HANDSHAKE, HX_CONN_RECEIVING, HX_CONN_PENDING, HX_CONN_IDLE };

struct hx_conn {
    struct hx_conns *set; /* NULL: the server is gone */
    struct hx_conn *next, **prev;
    SSL *ssl;
    BIO *bio;
    struct bufferevent *bev;
    int fd; /* -1: not ours yet */
    struct event setup, resume;
    struct hx_readahead *ahead; /* received, not yet taken by OpenSSL */
    size_t left_before;         /* bytes in it when reading was last resumed */
    bool eof;                   /* the peer has closed its side, or the connection is broken */
    enum hx_conn_phase phase;
    uint64_t since_ms, bytes; /* of this phase */
    struct hx_peer peer;      /* from the handshake */
    uint64_t number;
    void *user; /* server.c's evhttp_connection; NULL before its first request */
    struct hx_request *pending;
    bool announced, closed; /* was handed to the handler; its end was */
};

struct hx_conns_cfg {
    struct hx_tls_cfg tls;
    size_t body_max;
    uint32_t idle_ms, request_ms;
    void (*count)(void *ctx, size_t connections); /* after each change */
    void (*gone)(void *ctx, struct hx_conn *c);   /* about to be freed */
    void (*refused)(void *ctx, const char *why);  /* a peer's certificate; may be NULL */
    void *ctx;
};

int hx_conns_new(struct hx_loop *l, const struct hx_conns_cfg *cfg, struct hx_conns **ret, char why[HX_WHY_MAX]);
/* Connections that libevent has not let go of yet close later, without callbacks. */
void hx_conns_free(struct hx_conns *s);

/* Connections that are accepted from here on use T.  HX_E_NOMEM, HX_E_TLS. */
int hx_conns_use(struct hx_conns *s, const struct hx_tls *t);

/* For evhttp: the bufferevent of a connection that is being accepted, still without descriptor; or NULL. */
struct bufferevent *hx_conn_accept(struct hx_conns *s);
struct hx_conn *hx_conn_of(struct bufferevent *bev); /* NULL: not one of ours */
void hx_conn_delivered(struct hx_conn *c);           /* a request is complete: PENDING */
void hx_conn_replied(struct hx_conn *c);             /* the answer is in the output buffer: IDLE */
void hx_conn_end(struct hx_conn *c);                 /* evhttp has ended it: `gone` now, not when it is freed */

#endif
