/*
 * tls.c - identities, the TLS settings of both ends, and who is let in.
 *
 * Does not: open a connection (client.c, server.c) or make certificates (cert.c).
 *
 *   1. TLS 1.3 and nothing else; no tickets, no resumption, no early data: every connection proves both
 *      certificates afresh, and no request can be replayed from an old one.
 *   2. Only the configured CAs count; the system's list is never consulted.  The store of the
 *      library that asks (libcurl fills its own) is ignored: a check uses ours.
 *   3. A certificate must say what it is for (extended key usage), and hold exactly one URI
 *      hexad://ROLE/NAME with a known role.  Names for hosts do not matter.
 *   4. Both checks happen inside the handshake: no byte of HTTP is read from a peer that fails.
 *   5. A private key that anybody but its owner can read is refused before it is read.
 *
 * Memory: struct hx_tls owns what it points to until hx_tls_fini.
 */
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define URI_PREFIX "hexad://"

static const struct {
    enum hx_role role;
    const char *name;
} roles[] = {
    {HX_ROLE_SEGMENT, "segment"},
    {HX_ROLE_WRITER, "writer"},
    {HX_ROLE_ADMIN, "admin"},
    {HX_ROLE_READER, "reader"},
};

const char *hx_role_name(enum hx_role role)
{
    for (size_t i = 0; i < HX_ARRAY_LEN(roles); i++)
        if (roles[i].role == role)
            return roles[i].name;
    return "none";
}

int hx_role_parse(const char *text, enum hx_role *ret)
{
    for (size_t i = 0; i < HX_ARRAY_LEN(roles); i++)
        if (!strcmp(roles[i].name, text)) {
            *ret = roles[i].role;
            return 0;
        }
    return HX_E_INVAL;
}

bool hx_tls_name_ok(const char *name, size_t len)
{
    if (len < 1 || len > HX_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (i == 0 || (c != '.' && c != '_' && c != '-')))
            return false;
    }
    return true;
}

const char *hx_tls_error(char *buf, size_t cap)
{
    unsigned long e = ERR_get_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    if (reason)
        snprintf(buf, cap, "%s", reason);
    else
        snprintf(buf, cap, e ? "error %lx" : "unknown reason", e);
    ERR_clear_error();
    return buf;
}

/* ---- files ---- */

static int open_failed(const char *what, const char *path, int eno, char why[HX_WHY_MAX])
{
    snprintf(why, HX_WHY_MAX, "%s %s: %s", what, path, strerror(eno));
    return hx_err_from_errno(eno);
}

static FILE *open_pem(const char *what, const char *path, bool secret, int *ret_err, char why[HX_WHY_MAX])
{
    if (!path || !*path) {
        snprintf(why, HX_WHY_MAX, "no %s is configured", what);
        *ret_err = HX_E_INVAL;
        return NULL;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        *ret_err = open_failed(what, path, errno, why);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    if (secret && (st.st_mode & 077)) {
        snprintf(why, HX_WHY_MAX, "%s %s: others can read it (mode %03o)", what, path, st.st_mode & 0777u);
        *ret_err = HX_E_KEY_MODE;
        close(fd);
        return NULL;
    }
    FILE *f = fdopen(fd, "re");
    if (!f) {
        *ret_err = HX_E_NOMEM;
        close(fd);
    }
    return f;
}

static int bad_pem(const char *what, const char *path, char why[HX_WHY_MAX])
{
    char text[128];
    snprintf(why, HX_WHY_MAX, "%s %s: %s", what, path, hx_tls_error(text, sizeof text));
    return HX_E_TLS;
}

/* After the last certificate of a file: is that its end, or is one cut off or damaged, perhaps still being written? */
static int pem_end(const char *what, const char *path, char why[HX_WHY_MAX])
{
    return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE ? 0 : bad_pem(what, path, why);
}

static int load_cert(const char *path, struct hx_tls *t, char why[HX_WHY_MAX])
{
    int err = 0;
    FILE *f = open_pem("certificate", path, false, &err, why);
    if (!f)
        return err;
    t->cert = PEM_read_X509(f, NULL, NULL, NULL);
    t->chain = sk_X509_new_null();
    if (!t->cert)
        err = bad_pem("certificate", path, why);
    else if (!t->chain)
        err = HX_E_NOMEM;
    for (X509 *x; !err && (x = PEM_read_X509(f, NULL, NULL, NULL));)
        if (!sk_X509_push(t->chain, x)) {
            X509_free(x);
            err = HX_E_NOMEM;
        }
    if (!err)
        err = pem_end("certificate", path, why);
    ERR_clear_error();
    fclose(f);
    return err;
}

static int no_password(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1; /* never ask a terminal: daemons have none */
}

static int load_key(const char *path, struct hx_tls *t, char why[HX_WHY_MAX])
{
    int err = 0;
    FILE *f = open_pem("private key", path, true, &err, why);
    if (!f)
        return err;
    t->key = PEM_read_PrivateKey(f, NULL, no_password, NULL);
    fclose(f);
    if (!t->key)
        return bad_pem("private key", path, why);
    if (X509_check_private_key(t->cert, t->key) != 1) {
        ERR_clear_error();
        snprintf(why, HX_WHY_MAX, "private key %s does not belong to the certificate", path);
        return HX_E_TLS;
    }
    return 0;
}

static int load_cas(const char *path, struct hx_tls *t, char why[HX_WHY_MAX])
{
    int err = 0;
    FILE *f = open_pem("CA certificate", path, false, &err, why);
    if (!f)
        return err;
    t->store = X509_STORE_new();
    int count = 0;
    for (X509 *x; t->store && (x = PEM_read_X509(f, NULL, NULL, NULL)); X509_free(x))
        count += X509_STORE_add_cert(t->store, x) == 1;
    fclose(f);
    if (!t->store)
        return HX_E_NOMEM;
    err = count ? pem_end("CA certificate", path, why) : bad_pem("CA certificate", path, why);
    ERR_clear_error();
    return err;
}

int hx_tls_load(const struct hx_tls_cfg *cfg, struct hx_tls *ret, char why[HX_WHY_MAX])
{
    struct hx_tls t = {0};
    snprintf(why, HX_WHY_MAX, "%s", hx_err_text(HX_E_NOMEM));
    int err = load_cas(cfg->ca_file, &t, why);
    if (!err)
        err = load_cert(cfg->cert_file, &t, why);
    if (!err)
        err = load_key(cfg->key_file, &t, why);
    if (err) {
        hx_tls_fini(&t);
        return err;
    }
    why[0] = '\0';
    *ret = t;
    return 0;
}

void hx_tls_fini(struct hx_tls *t)
{
    X509_free(t->cert);
    sk_X509_pop_free(t->chain, X509_free);
    EVP_PKEY_free(t->key);
    X509_STORE_free(t->store);
    memset(t, 0, sizeof *t);
}

/* ---- settings ---- */

int hx_tls_apply(const struct hx_tls *t, SSL_CTX *ctx)
{
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_use_cert_and_key(ctx, t->cert, t->key, t->chain, 1) != 1) {
        ERR_clear_error();
        return HX_E_TLS;
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_early_data(ctx, 0);
    /* A buffer may move between two attempts to write it: libevent's and libcurl's do. */
    SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return 0;
}

/* ---- identity ---- */

static int parse_uri(const unsigned char *p, size_t len, struct hx_peer *ret)
{
    size_t prefix = strlen(URI_PREFIX);
    char text[sizeof URI_PREFIX + 16 + HX_NAME_MAX + 1];
    if (len >= sizeof text || len <= prefix || memcmp(p, URI_PREFIX, prefix) || memchr(p, 0, len))
        return HX_E_ROLE;
    memcpy(text, p, len);
    text[len] = '\0';
    char *slash = strchr(text + prefix, '/');
    if (!slash || !hx_tls_name_ok(slash + 1, strlen(slash + 1)))
        return HX_E_ROLE;
    *slash = '\0';
    struct hx_peer peer = {0};
    if (hx_role_parse(text + prefix, &peer.role))
        return HX_E_ROLE;
    memcpy(peer.name, slash + 1, strlen(slash + 1) + 1);
    *ret = peer;
    return 0;
}

int hx_tls_identity(X509 *cert, struct hx_peer *ret)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int found = 0, err = HX_E_ROLE;
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        if (n->type != GEN_URI)
            continue;
        const ASN1_IA5STRING *uri = n->d.uniformResourceIdentifier;
        found++;
        err = parse_uri(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri), ret);
    }
    GENERAL_NAMES_free(names);
    return found == 1 ? err : HX_E_ROLE;
}

/* ---- the check of a peer ---- */

/* Whose certificate, for a sentence; it may be one that we do not trust, so it is only quoted. */
static void describe(X509 *cert, char *buf, size_t cap)
{
    struct hx_peer p;
    char cn[80] = "";
    if (!hx_tls_identity(cert, &p)) {
        snprintf(buf, cap, URI_PREFIX "%s/%s", hx_role_name(p.role), p.name);
        return;
    }
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, sizeof cn);
    for (char *c = cn; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    snprintf(buf, cap, "\"%s\"", cn);
}

static const char *verify_text(int code)
{
    switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "is not valid yet (compare the clocks)";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return "is signed by itself, not by our CA";
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return "is signed by another CA than ours";
    case X509_V_ERR_INVALID_PURPOSE:
        return "is not made for this end of a connection (extended key usage)";
    default:
        return X509_verify_cert_error_string(code);
    }
}

static int verify_chain(const struct hx_tls *t, X509 *cert, STACK_OF(X509) *untrusted, bool server)
{
    X509_STORE_CTX *v = X509_STORE_CTX_new();
    int code = X509_V_ERR_OUT_OF_MEM;
    if (v && X509_STORE_CTX_init(v, t->store, cert, untrusted)) {
        X509_STORE_CTX_set_purpose(v, server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT);
        int ok = X509_verify_cert(v);
        code = X509_STORE_CTX_get_error(v);
        if (ok <= 0 && code == X509_V_OK)
            code = X509_V_ERR_UNSPECIFIED;
    }
    X509_STORE_CTX_free(v);
    ERR_clear_error();
    if (code)
        return code;
    /* OpenSSL takes a certificate without extended key usage for one that may do everything. */
    uint32_t want = server ? XKU_SSL_SERVER : XKU_SSL_CLIENT;
    if (!(X509_get_extension_flags(cert) & EXFLAG_XKUSAGE) || !(X509_get_extended_key_usage(cert) & want))
        return X509_V_ERR_INVALID_PURPOSE;
    return X509_V_OK;
}

int hx_tls_verify(const struct hx_tls *t, X509_STORE_CTX *peer, bool server, struct hx_peer *ret,
                  char why[HX_WHY_MAX])
{
    X509 *cert = X509_STORE_CTX_get0_cert(peer);
    if (!cert) {
        snprintf(why, HX_WHY_MAX, "no certificate was offered");
        return X509_V_ERR_UNSPECIFIED;
    }
    char who[128];
    describe(cert, who, sizeof who);
    int code = verify_chain(t, cert, X509_STORE_CTX_get0_untrusted(peer), server);
    if (code) {
        snprintf(why, HX_WHY_MAX, "the certificate of %s %s", who, verify_text(code));
        return code;
    }
    if (hx_tls_identity(cert, ret)) {
        snprintf(why, HX_WHY_MAX, "the certificate of %s has not exactly one name " URI_PREFIX "ROLE/NAME "
                                  "with a known role", who);
        return X509_V_ERR_HOSTNAME_MISMATCH; /* the peer sees the alert bad_certificate */
    }
    why[0] = '\0';
    return X509_V_OK;
}

int hx_tls_load_own(const struct hx_tls_cfg *cfg, struct hx_tls *ret, struct hx_peer *ret_self, char why[HX_WHY_MAX])
{
    struct hx_tls t = {0};
    int err = hx_tls_load(cfg, &t, why);
    if (err)
        return err;
    int code = verify_chain(&t, t.cert, t.chain, false);
    if (code) {
        snprintf(why, HX_WHY_MAX, "certificate %s %s", cfg->cert_file, verify_text(code));
        err = HX_E_TLS;
    } else if (hx_tls_identity(t.cert, ret_self)) {
        snprintf(why, HX_WHY_MAX, "certificate %s has not exactly one name " URI_PREFIX "ROLE/NAME with a "
                                  "known role", cfg->cert_file);
        err = HX_E_TLS;
    }
    if (err)
        hx_tls_fini(&t);
    else
        *ret = t;
    return err;
}

int hx_tls_check(const struct hx_tls_cfg *cfg, char why[HX_WHY_MAX])
{
    struct hx_tls t = {0};
    struct hx_peer self;
    int err = hx_tls_load_own(cfg, &t, &self, why);
    hx_tls_fini(&t);
    return err;
}

int hx_tls_share(const struct hx_tls *t, struct hx_tls *ret)
{
    struct hx_tls n = {.chain = X509_chain_up_ref(t->chain)};
    if (!n.chain)
        return HX_E_NOMEM;
    n.cert = X509_up_ref(t->cert) ? t->cert : NULL;
    n.key = EVP_PKEY_up_ref(t->key) ? t->key : NULL;
    n.store = X509_STORE_up_ref(t->store) ? t->store : NULL;
    if (!n.cert || !n.key || !n.store) {
        hx_tls_fini(&n);
        return HX_E_NOMEM;
    }
    *ret = n;
    return 0;
}

int64_t hx_tls_cert_end(X509 *cert)
{
    struct tm tm = {0};
    return ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) ? (int64_t)timegm(&tm) : INT64_MAX;
}

int64_t hx_tls_end(const struct hx_tls *t)
{
    return hx_tls_cert_end(t->cert);
}
