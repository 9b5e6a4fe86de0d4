/*
 * tls.h - what client.c, server.c and cert.c share about certificates: loading, the TLS settings of
 * both ends, and the check of a peer.
 */
#ifndef HEXAD_NET_TLS_H
#define HEXAD_NET_TLS_H

#include "hexad/net.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

#define HX_WHY_MAX 256 /* bytes of every text that says why */

struct hx_tls {
    X509 *cert;
    STACK_OF(X509) *chain; /* what the certificate file holds besides */
    EVP_PKEY *key;
    X509_STORE *store; /* our CAs and nothing else */
};

/* Reads the three files.  HX_E_NOENT, HX_E_ACCES, HX_E_KEY_MODE, HX_E_TLS, HX_E_NOMEM. */
int hx_tls_load(const struct hx_tls_cfg *cfg, struct hx_tls *ret, char why[HX_WHY_MAX]);
void hx_tls_fini(struct hx_tls *t); /* accepts a zeroed one */
/* The same, and judges what was read as a peer would: our certificate is signed by our CA, valid now, and names one
 * identity, *ret_self.  HX_E_TLS. */
int hx_tls_load_own(const struct hx_tls_cfg *cfg, struct hx_tls *ret, struct hx_peer *ret_self, char why[HX_WHY_MAX]);
/* *ret refers to what T has. */
int hx_tls_share(const struct hx_tls *t, struct hx_tls *ret); /* HX_E_NOMEM */
/* When T's certificate ends: seconds since 1970. */
int64_t hx_tls_end(const struct hx_tls *t);
int64_t hx_tls_cert_end(X509 *cert);

/* Own certificate and key, TLS 1.3 only, no resumption: for either end. */
int hx_tls_apply(const struct hx_tls *t, SSL_CTX *ctx);

/* Is the certificate in PEER, offered by a server (SERVER) or by a client, signed by our CA, valid now, made
 * for that purpose, and does it name exactly one hexad identity?  The answer is an X509_V_* code, X509_V_OK
 * for yes; WHY says the rest in words.  The chain offered is taken from PEER too. */
int hx_tls_verify(const struct hx_tls *t, X509_STORE_CTX *peer, bool server, struct hx_peer *ret,
                  char why[HX_WHY_MAX]);

/* The one hexad://ROLE/NAME of CERT; HX_E_ROLE when there is none, several, or an unknown role. */
int hx_tls_identity(X509 *cert, struct hx_peer *ret);

/* 1 to HX_NAME_MAX of letters, digits, '.', '_' and '-', a letter or digit first. */
bool hx_tls_name_ok(const char *name, size_t len);

/* The text of OpenSSL's oldest pending error; empties its queue. */
const char *hx_tls_error(char *buf, size_t cap);

#endif
