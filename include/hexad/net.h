/*
 * net.h - one event loop, an HTTPS client and an HTTPS server: everything that touches a socket.
 *
 * Transport: HTTP/1.1 over TLS 1.3, certificates required both ways, POST /v1/msg with a binary body
 * (hexad/msg.h) that this layer does not look into.  Underneath: libevent 2.1 (loop, evhttp,
 * bufferevent_openssl), libcurl multi (client), OpenSSL 3.  None of them shows here, so that each can be
 * exchanged.  One thread per loop; no call here is safe from another thread.
 *
 * Identity: a certificate carries exactly one URI SAN,  hexad://ROLE/NAME,  ROLE one of segment, writer,
 * admin, reader.  The client checks that the server's is hexad://segment/<expected name>; the server
 * hands role and name of the peer to the request.
 */
#ifndef HEXAD_NET_H
#define HEXAD_NET_H

#include "hexad/err.h"
#include "hexad/types.h"

#include <sys/uio.h>

/* ---- loop ---- */
struct hx_loop;
struct hx_watch;
struct hx_timer;
int hx_loop_new(struct hx_loop **ret);
void hx_loop_free(struct hx_loop *l);
/* Runs until hx_loop_stop.  HX_E_IO when the loop itself fails. */
int hx_loop_run(struct hx_loop *l);
void hx_loop_stop(struct hx_loop *l);
/* Monotonic milliseconds, right now. */
uint64_t hx_loop_now_ms(struct hx_loop *l);
/* Level-triggered readiness for reading of FD, until freed. */
int hx_watch_new(struct hx_loop *l, int fd, void (*ready)(void *ctx), void *ctx, struct hx_watch **ret);
void hx_watch_free(struct hx_watch *w);
/* One-shot timer; set again re-arms, 0 ms means as soon as possible; clear disarms. */
int hx_timer_new(struct hx_loop *l, void (*fire)(void *ctx), void *ctx, struct hx_timer **ret);
void hx_timer_set(struct hx_timer *t, uint64_t after_ms);
void hx_timer_clear(struct hx_timer *t);
void hx_timer_free(struct hx_timer *t);
/* Deferred work: runs once, after every event that was ready in this iteration has been handled: this is
 * where a batch ends (one flush for all that has gathered).  At most one pending call per hx_defer. */
struct hx_defer;
int hx_defer_new(struct hx_loop *l, void (*run)(void *ctx), void *ctx, struct hx_defer **ret);
void hx_defer_call(struct hx_defer *d);
void hx_defer_free(struct hx_defer *d);
/* SIGTERM and SIGINT as an event; NULL ctx allowed. */
int hx_loop_on_signal(struct hx_loop *l, int signo, void (*fire)(void *ctx), void *ctx);

/* ---- TLS ---- */
enum hx_role { HX_ROLE_NONE = 0, HX_ROLE_SEGMENT = 1, HX_ROLE_WRITER = 2, HX_ROLE_ADMIN = 4, HX_ROLE_READER = 8 };
struct hx_tls_cfg {
    const char *ca_file, *cert_file, *key_file; /* PEM paths; the key must not be readable by others */
};
struct hx_peer {
    enum hx_role role;
    char name[HX_NAME_MAX + 1];
};
/* Reads the files and checks them (HX_E_KEY_MODE, HX_E_TLS, HX_E_NOENT ...); WHY (256 bytes) says which
 * file and what is wrong.  For both ends, before they start. */
int hx_tls_check(const struct hx_tls_cfg *cfg, char why[256]);

/* ---- client ---- */
struct hx_client;
struct hx_call;
#define HX_NET_ANSWER_MAX (16u << 20) /* bytes of an answer; more is HX_E_TOOBIG */
struct hx_client_stats {
    uint64_t requests, bytes_sent, bytes_received, failures;
};
/* cfg strings are copied. */
int hx_client_new(struct hx_loop *l, const struct hx_tls_cfg *cfg, struct hx_client **ret, char why[256]);
/* Cancels what is under way, without callbacks; not from inside DONE. */
void hx_client_free(struct hx_client *c);
/*
 * POST to URL ("https://host:port") + "/v1/msg".  NAME: the segment server that must answer.  The body
 * (IOV) is borrowed until the completion or cancel.  Exactly one DONE per post that returned 0 and was
 * not canceled: err 0 and the body of the 200 answer (borrowed until return), or HX_E_CONNECT,
 * HX_E_TIMEOUT, HX_E_TLS, HX_E_CLOSED, HX_E_IO (an HTTP status other than 200), HX_E_TOOBIG.
 * DONE may post again.  Never calls DONE from inside post.  WHY in the last failure: hx_client_why.
 * Connections are kept alive, at most 4 per server; handles are reused.
 */
int hx_client_post(struct hx_client *c, const char *url, const char *name, const struct iovec *iov, int iovcnt,
                   uint32_t timeout_ms, void (*done)(void *ctx, int err, struct hx_bytes body), void *ctx,
                   struct hx_call **ret);
void hx_call_cancel(struct hx_call *call); /* the body is free for reuse at once */
const char *hx_client_why(const struct hx_client *c); /* text of the last failure; for messages */
void hx_client_stats(const struct hx_client *c, struct hx_client_stats *ret);

/* ---- server ---- */
struct hx_server_net; /* the listening end */
struct hx_request;
struct hx_server_cfg {
    const char *listen; /* "127.0.0.1:9621", "[::1]:9621"; port 0 picks a free one */
    struct hx_tls_cfg tls;
    size_t body_max;      /* bytes; larger is refused with 413 before memory is spent */
    uint32_t idle_ms;     /* a silent connection is closed after this; 0: 120 s */
    uint32_t connections_max; /* 0: 1024 */
    /* A complete POST /v1/msg.  conn: number of the connection, never reused.  BODY is borrowed until
     * hx_request_reply.  The handler must see to exactly one reply, now or later. */
    void (*request)(void *ctx, struct hx_request *r, uint64_t conn, const struct hx_peer *peer,
                    struct hx_bytes body);
    /* The connection is gone: once for each number that was shown; may be NULL.  While an answer is owed nobody
     * listens to the connection, so the end of the peer is noticed with the answer. */
    void (*closed)(void *ctx, uint64_t conn);
    void *ctx;
    uint32_t request_ms; /* deadline of the handshake, and of a request from its first byte, plus 1 ms for each
                            64 bytes; 0: 10 s */
    void (*refused)(void *ctx, const char *why); /* a peer failed the handshake's check; for logs; may be NULL */
};
int hx_server_net_new(struct hx_loop *l, const struct hx_server_cfg *cfg, struct hx_server_net **ret, char why[256]);
/* Ends every connection, without callbacks; requests that are still owed an answer may be answered later,
 * to nobody.  Not from inside request or closed. */
void hx_server_net_free(struct hx_server_net *s);
int hx_server_net_port(const struct hx_server_net *s);
/* Answers 200 with BODY (copied or moved before return), and ends the request.  A client that has gone
 * is no error: the answer is dropped. */
void hx_request_reply(struct hx_request *r, struct hx_bytes body);

/* ---- certificates that change while the program runs (src/net/renew.c) ---- */
struct hx_renewal;
enum hx_renewal_news {
    HX_RENEWAL_TAKEN,   /* new ones are in use; TEXT: which file */
    HX_RENEWAL_REFUSED, /* what is there now cannot be used; TEXT: why; the old ones stay in use */
    HX_RENEWAL_DUE,     /* the certificate in use ends within HX_CERT_DUE_DAYS; once a day; TEXT: that */
};
struct hx_renewal_cfg {
    struct hx_client *client;     /* gets them; may be NULL */
    struct hx_server_net *server; /* likewise; both must outlive the renewal */
    uint32_t look_ms;             /* how often the files are looked at; 0: 2 s */
    void (*tell)(void *ctx, enum hx_renewal_news news, const char *text); /* for logs; may be NULL */
    void *ctx;
};
/* Looks at the three files from time to time, and takes what is new and sound into use for connections that are made
 * from then on.  Errors as hx_tls_check. */
int hx_renewal_new(struct hx_loop *l, const struct hx_tls_cfg *tls, const struct hx_renewal_cfg *cfg,
                   struct hx_renewal **ret, char why[256]);
void hx_renewal_look(struct hx_renewal *r); /* now, and says what comes of it (SIGHUP) */
void hx_renewal_free(struct hx_renewal *r);

/* ---- certificates (src/net/cert.c, libcrypto) ---- */
/* Each writes <out>.crt (0644) and <out>.key (0600), ECDSA P-256; refuses to overwrite (HX_E_EXIST). */
int hx_cert_create_ca(const char *out, const char *common_name, int days, char why[256]);
/* ROLE segment: serverAuth+clientAuth; others clientAuth.  HOSTS: comma-separated DNS names and IP
 * addresses, or NULL. */
int hx_cert_create(const char *ca_crt, const char *ca_key, const char *out, enum hx_role role, const char *name,
                   const char *hosts, int days, char why[256]);
/* Writes CRT anew: the same key, identity and host names, signed by the CA, for DAYS from now.  It is replaced in one
 * step, with its rights.  HX_E_TLS: it is no certificate of ours, or of a CA. */
int hx_cert_renew(const char *ca_crt, const char *ca_key, const char *crt, int days, char why[256]);
/* When it ends: seconds since 1970; and days that are left, below 0 afterwards. */
int hx_cert_end(const char *crt, int64_t *ret_s, char why[256]);
int64_t hx_cert_days_left(int64_t end_s);
#define HX_CERT_DUE_DAYS 14
/* Human-readable lines (role, name, validity, issuer, fingerprint) into TEXT. */
int hx_cert_show(const char *crt, char *text, size_t cap);
const char *hx_role_name(enum hx_role role);
int hx_role_parse(const char *text, enum hx_role *ret);

#endif
