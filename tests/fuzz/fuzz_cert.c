/*
 * fuzz_cert.c - who a certificate says its owner is: hx_tls_identity on certificates that somebody made.
 *
 * The first byte chooses: a whole certificate in DER, or one that is made here around the alternative names that the
 * input gives, well formed ({ u8 type, u8 length, bytes } each) or not, so that our own parser is reached at once.
 * Checked: an accepted identity has a known role and a name that is allowed; it is accepted only if exactly one name is
 * a URI; what OpenSSL allocates for a run is freed in it.
 *
 * OpenSSL makes and frees some twenty objects for a certificate.  During a run they come from an arena, which is what
 * the sanitizer's heap is in three ways: a gap that must not be looked at lies between two blocks, a freed block must
 * not be looked at until the run is over, and one that nobody frees is a finding, here at once.  It is quick because
 * it is emptied in one step.
 */
#include "fuzz.h"

#include "../../src/net/tls.h"

#include <openssl/crypto.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

enum { NAMES, DER, EXTENSION, KINDS };

/* ---- the arena ---- */
#define GRAIN 16u /* blocks begin at a multiple of it, and as many bytes at least lie between them */
#define ARENA (1u << 20)
#define KEPT_MAX 4096u /* what OpenSSL makes when it is first needed, and keeps: tables, algorithms */

static _Alignas(GRAIN) uint8_t arena[ARENA];
static uint32_t block_len[ARENA / GRAIN]; /* + 1; 0: no block in use begins here */
static size_t start = GRAIN, used = GRAIN; /* what this run has */
static size_t live, kept;                  /* blocks in use: of this run, of earlier ones */
static bool running;

static void arena_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    uint8_t *b = p;
    if (b < arena || b >= arena + ARENA) {
        free(p);
        return;
    }
    uint32_t *len = &block_len[(size_t)(b - arena) / GRAIN];
    fuzz_check((size_t)(b - arena) % GRAIN == 0 && *len);
    fuzz_poison(b, *len - 1);
    *len = 0;
    if (b >= arena + start)
        live--;
    else
        kept--;
}

static void *arena_alloc(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    if (!running || len > ARENA - used || (len + 2 * GRAIN - 1) / GRAIN * GRAIN > ARENA - used)
        return malloc(len);
    uint8_t *b = arena + used;
    used += (len + 2 * GRAIN - 1) / GRAIN * GRAIN;
    block_len[(size_t)(b - arena) / GRAIN] = (uint32_t)len + 1;
    live++;
    fuzz_unpoison(b, len);
    memset(b, 0xbe, len); /* F1 */
    return b;
}

static void *arena_realloc(void *p, size_t len, const char *file, int line)
{
    uint8_t *b = p;
    if (p && (b < arena || b >= arena + ARENA))
        return realloc(p, len);
    size_t old = p ? block_len[(size_t)(b - arena) / GRAIN] - 1 : 0;
    void *more = arena_alloc(len, file, line);
    if (more && p) {
        memcpy(more, p, old < len ? old : len);
        arena_free(p, file, line);
    }
    return more;
}

/* Before OpenSSL has allocated anything. */
__attribute__((constructor)) static void arena_ready(void)
{
    fuzz_check(CRYPTO_set_mem_functions(arena_alloc, arena_realloc, arena_free) == 1);
    fuzz_poison(arena, sizeof arena);
}

static void run_begins(void)
{
    running = true;
}

/* What is left is OpenSSL's own and stays where it is; more and more of it is a leak. */
static void run_ends(void)
{
    OPENSSL_thread_stop(); /* its errors */
    running = false;
    if (live) {
        kept += live;
        start = used;
        fuzz_check(kept <= KEPT_MAX && start <= ARENA / 2);
    }
    used = start;
    live = 0;
}

/* ---- what is run ---- */
static void judge(X509 *cert, int uris)
{
    struct hx_peer peer = {0};
    if (hx_tls_identity(cert, &peer) == 0) {
        enum hx_role r;
        fuzz_check(hx_role_parse(hx_role_name(peer.role), &r) == 0 && r == peer.role);
        fuzz_check(hx_tls_name_ok(peer.name, strlen(peer.name)));
        fuzz_check(uris < 0 || uris == 1);
    }
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
    X509 *cert = cert_with(der, head + n);
    run_begins();
    judge(cert, uris);
    run_ends();
}

/* Whatever stands where the names should. */
static void from_extension(const uint8_t *p, size_t len)
{
    X509 *cert = cert_with(p, len);
    run_begins();
    judge(cert, -1);
    run_ends();
}

static void from_der(const uint8_t *p, size_t len)
{
    const unsigned char *at = p;
    run_begins();
    X509 *cert = d2i_X509(NULL, &at, (long)len);
    if (cert)
        judge(cert, -1);
    X509_free(cert);
    run_ends();
}

/* A key of an algorithm that nobody has: OpenSSL takes 100 us to make a key of one that it knows, nine tenths of all,
 * and we do not look at it. */
static void repair(uint8_t *p, size_t len)
{
    static const uint8_t known[] = {0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
    if (len == 0 || p[0] % KINDS != DER)
        return;
    uint8_t *at = memmem(p, len, known, sizeof known);
    if (at)
        at[sizeof known - 1] ^= 0x40;
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
    repair(b, (size_t)n + 1);
    fuzz_seed("certificate-odd-key", b, (size_t)n + 1);
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

const struct fuzz_target fuzz_target = {
    .name = "cert", .len_max = 1024, .decoders = decoders, .repair = repair, .seeds = seeds};
