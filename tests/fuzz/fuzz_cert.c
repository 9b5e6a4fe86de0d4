/*
 * fuzz_cert.c - who a certificate says its owner is: hx_tls_identity on certificates that somebody made.
 *
 * The first byte chooses: a whole certificate in DER, or one that is made here around the alternative names that the
 * input gives ({ u8 type, u8 length, bytes } each), so that our own parser is reached at once.  Checked: an accepted
 * identity has a known role and a name that is allowed; it is accepted only if exactly one name is a URI.
 */
#include "fuzz.h"

#include "../../src/net/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

enum { NAMES, DER, KINDS };
static const char *const names[] = {"certificate-names", "certificate", NULL};

static void judge(X509 *cert, int uris)
{
    struct hx_peer peer = {0};
    if (hx_tls_identity(cert, &peer) == 0) {
        enum hx_role r;
        fuzz_check(hx_role_parse(hx_role_name(peer.role), &r) == 0 && r == peer.role);
        fuzz_check(hx_tls_name_ok(peer.name, strlen(peer.name)));
        fuzz_check(uris < 0 || uris == 1);
    }
    ERR_clear_error();
}

static void from_names(const uint8_t *p, size_t len)
{
    struct fuzz_in in = {p, len};
    GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
    X509 *cert = X509_new();
    int uris = 0;
    fuzz_check(all && cert);
    for (unsigned i = 0; i < 4 && in.len; i++) {
        static const int types[] = {GEN_URI, GEN_URI, GEN_DNS, GEN_EMAIL};
        int type = types[fuzz_u8(&in) % 4];
        struct hx_bytes b = fuzz_take(&in, fuzz_u8(&in));
        ASN1_IA5STRING *s = ASN1_IA5STRING_new();
        GENERAL_NAME *n = GENERAL_NAME_new();
        fuzz_check(s && n && ASN1_STRING_set(s, b.p, (int)b.len));
        GENERAL_NAME_set0_value(n, type, s);
        fuzz_check(sk_GENERAL_NAME_push(all, n));
        uris += type == GEN_URI;
    }
    fuzz_check(X509_add1_ext_i2d(cert, NID_subject_alt_name, all, 0, 0) == 1);
    judge(cert, uris);
    X509_free(cert);
    GENERAL_NAMES_free(all);
}

static void one(const uint8_t *p, size_t len)
{
    if (len == 0)
        return;
    unsigned kind = p[0] % KINDS;
    fuzz_ran(kind);
    if (kind == NAMES) {
        from_names(p + 1, len - 1);
        return;
    }
    const unsigned char *at = p + 1;
    X509 *cert = d2i_X509(NULL, &at, (long)len - 1);
    if (cert)
        judge(cert, -1);
    X509_free(cert);
    ERR_clear_error();
}

static void run(const uint8_t *p, size_t len)
{
    fuzz_near(p, len, one);
}

static void seed_names(const char *name, const char *uri)
{
    uint8_t b[200] = {NAMES, 0, (uint8_t)strlen(uri)};
    memcpy(b + 3, uri, strlen(uri));
    size_t n = 3 + strlen(uri);
    fuzz_seed(name, b, n);
    if (n < 100) {
        b[n] = 2;
        b[n + 1] = 9;
        memcpy(b + n + 2, "localhost", 9);
        b[n + 11] = 1;
        b[n + 12] = b[2];
        memcpy(b + n + 13, uri, strlen(uri));
        fuzz_seed("two-names", b, n + 13 + strlen(uri));
    }
}

static void seed_der(void)
{
    X509 *cert = X509_new();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    fuzz_check(cert && key && X509_set_version(cert, 2) && X509_set_pubkey(cert, key));
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"a1", -1, -1, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "URI:hexad://segment/a1");
    fuzz_check(ext && X509_add_ext(cert, ext, -1) && X509_sign(cert, key, EVP_sha256()));
    uint8_t b[2000] = {DER}, *at = b + 1;
    int n = i2d_X509(cert, &at);
    fuzz_check(n > 0);
    fuzz_seed("certificate", b, (size_t)n + 1);
    X509_EXTENSION_free(ext);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void seeds(void)
{
    seed_names("segment", "hexad://segment/a1");
    seed_names("writer", "hexad://writer/laptop-3.example");
    seed_names("odd", "hexad://admin/");
    seed_names("long", "hexad://reader/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    seed_der();
}

const struct fuzz_target fuzz_target = {
    .name = "cert", .len_max = 1024, .stateless = true, .decoders = names, .run = run, .seeds = seeds};
