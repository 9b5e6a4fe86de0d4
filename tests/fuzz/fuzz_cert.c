/*
 * fuzz_cert.c - who a certificate says its owner is: hx_tls_identity on certificates that somebody made.
 *
 * The first byte chooses: a whole certificate in DER, or one that is made here around the alternative names that the
 * input gives, well formed ({ u8 type, u8 length, bytes } each) or not, so that our own parser is reached at once.
 * Checked: an accepted identity has a known role and a name that is allowed; it is accepted only if exactly one name is
 * a URI.
 */
#include "fuzz.h"

#include "../../src/net/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

enum { NAMES, DER, EXTENSION, KINDS };

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

#define NAMES_MAX 4u

/* A tag, the length of what follows, in DER. */
static size_t put_head(uint8_t *to, uint8_t tag, size_t len)
{
    size_t n = 0;
    to[n++] = tag;
    if (len >= 256)
        to[n++] = 0x82;
    else if (len >= 128)
        to[n++] = 0x81;
    if (len >= 256)
        to[n++] = (uint8_t)(len >> 8);
    to[n++] = (uint8_t)len;
    return n;
}

/* The certificate whose alternative names are replaced from run to run: making one takes most of a run. */
static X509 *cert_with(const uint8_t *der, size_t len)
{
    static X509 *cert;
    if (!cert) {
        ASN1_OCTET_STRING *none = ASN1_OCTET_STRING_new();
        X509_EXTENSION *ext = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, none);
        cert = X509_new();
        fuzz_check(none && ext && cert && X509_add_ext(cert, ext, -1));
        X509_EXTENSION_free(ext);
        ASN1_OCTET_STRING_free(none);
    }
    fuzz_check(ASN1_OCTET_STRING_set(X509_EXTENSION_get_data(X509_get_ext(cert, 0)), der, (int)len));
    return cert;
}

static void from_names(const uint8_t *p, size_t len)
{
    static uint8_t names[NAMES_MAX * (3 + 255)], der[4 + sizeof names];
    static const uint8_t tags[] = {0x86, 0x86, 0x82, 0x81}; /* URI, URI, DNS, mail */
    struct fuzz_in in = {p, len};
    size_t n = 0;
    int uris = 0;
    for (unsigned i = 0; i < NAMES_MAX && in.len; i++) {
        uint8_t tag = tags[fuzz_u8(&in) % 4];
        struct hx_bytes b = fuzz_take(&in, fuzz_u8(&in));
        n += put_head(names + n, tag, b.len);
        if (b.len)
            memcpy(names + n, b.p, b.len);
        n += b.len;
        uris += tag == tags[0];
    }
    size_t head = put_head(der, 0x30, n);
    memcpy(der + head, names, n);
    judge(cert_with(der, head + n), uris);
}

/* Whatever stands where the names should. */
static void from_extension(const uint8_t *p, size_t len)
{
    judge(cert_with(p, len), -1);
}

static void from_der(const uint8_t *p, size_t len)
{
    const unsigned char *at = p;
    X509 *cert = d2i_X509(NULL, &at, (long)len);
    if (cert)
        judge(cert, -1);
    X509_free(cert);
    ERR_clear_error();
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
    b[0] = EXTENSION;
    ASN1_OCTET_STRING *names = X509_EXTENSION_get_data(ext);
    n = ASN1_STRING_length(names);
    memcpy(b + 1, ASN1_STRING_get0_data(names), (size_t)n);
    fuzz_seed("extension", b, (size_t)n + 1);
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

#define SOURCES "src/net/tls.c src/net/tls.h"
static const struct fuzz_decoder decoders[] = {
    [NAMES] = {"certificate-names", from_names, 400, SOURCES},
    [DER] = {"certificate", from_der, 0, SOURCES},
    [EXTENSION] = {"certificate-extension", from_extension, 400, SOURCES},
    {0}};

const struct fuzz_target fuzz_target = {.name = "cert", .len_max = 1024, .decoders = decoders, .seeds = seeds};
