/*
 * renew.h - how renew.c hands certificates to the two ends.  Each keeps references of its own; what has begun with the
 * old ones goes on with them.  HX_E_NOMEM, HX_E_TLS: the old ones stay.
 */
#ifndef HEXAD_NET_RENEW_H
#define HEXAD_NET_RENEW_H

#include "tls.h"

int hx_client_use(struct hx_client *c, const struct hx_tls *t);
int hx_server_net_use(struct hx_server_net *s, const struct hx_tls *t);

#endif
