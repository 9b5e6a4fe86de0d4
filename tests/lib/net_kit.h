/*
 * net_kit.h - for the tests of the net layer: a private directory, certificates good and bad, a loop that
 * fails the test instead of hanging, and a plain TLS client that says exactly what it is told to.
 */
#ifndef HEXAD_TESTS_NET_KIT_H
#define HEXAD_TESTS_NET_KIT_H

#include "hexad/net.h"

#include <openssl/ssl.h>

struct net_kit {
    char dir[64];
    struct hx_loop *loop;
    struct hx_timer *guard;
    bool hangs;
};

/* For cmocka's setup and teardown: makes the directory with ca.crt, ca.key, other.crt, other.key (another
 * CA of the same name), and a loop. */
int net_kit_setup(void **state);
int net_kit_teardown(void **state);

/* DIR/NAME.crt and so on; good until the sixteenth call after this one. */
const char *net_kit_path(struct net_kit *k, const char *name, const char *suffix);
struct hx_tls_cfg net_kit_tls(struct net_kit *k, const char *name); /* the same */

/* A good certificate: NAME is the file, too. */
void net_kit_cert(struct net_kit *k, enum hx_role role, const char *name);

/* A certificate that hx_cert_create would not make. */
struct net_kit_forgery {
    const char *file;
    const char *signer;              /* "ca", "other"; NULL: signed by itself */
    const char *uris[3];             /* NULL ends */
    const char *eku;                 /* NULL: none */
    long from_s, until_s;            /* relative to now */
};
void net_kit_forge(struct net_kit *k, const struct net_kit_forgery *f);

/* Runs the loop until hx_loop_stop; a loop that never stops fails the test. */
void net_kit_run(struct net_kit *k);
/* Handles what is ready, and returns. */
void net_kit_turn(struct hx_loop *l);

/* A child process that runs ACT and whose output (what ACT writes to OUT) is collected by the loop
 * until it ends. */
char *net_kit_child(struct net_kit *k, void (*act)(void *arg, int out), void *arg, size_t *ret_len);

/* The same, and LINE is called with what the child has written so far whenever a line of it is complete; the
 * loop may also be stopped by others: it goes on until the child ends. */
char *net_kit_dialogue(struct net_kit *k, void (*act)(void *arg, int out), void *arg,
                       void (*line)(void *ctx, const char *text), void *ctx);

/* For ACT: a blocking TLS connection; NULL when connecting or the handshake fails.  CERT NULL: none. */
SSL *net_kit_connect(struct net_kit *k, int port, const char *cert, int tls_version);
int net_kit_tcp(int port);
int net_kit_listen(int *ret_port);
int net_kit_accept(int fd);

#endif
