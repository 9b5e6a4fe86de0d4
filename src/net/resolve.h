/*
 * resolve.h - the addresses of a host, without waiting for them.
 */
#ifndef HEXAD_NET_RESOLVE_H
#define HEXAD_NET_RESOLVE_H

#include "hexad/net.h"

#include <netdb.h>

struct hx_resolver;
struct hx_resolve;

/* DONE is called by the loop, once for each start that was not canceled. */
int hx_resolver_new(struct hx_loop *l, struct hx_resolver **ret);
void hx_resolver_free(struct hx_resolver *r); /* nothing may be under way */
/* LIST NULL: unknown host.  Else it belongs to DONE's owner: freeaddrinfo. */
int hx_resolve_start(struct hx_resolver *r, const char *host, const char *port,
                     void (*done)(void *ctx, struct addrinfo *list), void *ctx, struct hx_resolve **ret);
void hx_resolve_cancel(struct hx_resolve *q);

#endif
