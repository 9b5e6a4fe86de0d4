/*
 * cert.c - makes and shows the certificates of a hexad installation, with libcrypto.
 *
 * Does not: judge a peer (tls.c), keep a list of what was issued, or revoke: lifetimes are short instead.
 *
 *   1. Keys are ECDSA P-256.  A key file is created 0600 and never exists with more rights.
 *   2. Nothing is overwritten: both files are created exclusively, and a failure removes what it created.  Only a
 *      renewed certificate replaces the old one, in one step.  It is for the same key, so it never misses its key file.
 *   3. A CA can sign end certificates only (path length 0), and an end certificate names exactly one
 *      identity hexad://ROLE/NAME.  Host names are for other tools (curl): hexad does not look at them.
 *   4. Validity begins an hour early, so that a machine whose clock is behind can join.
 *
 * A crash may leave the key without the certificate; the next attempt says that the file exists.
 * Memory: everything is freed before return.
 */
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define EARLY_S 3600
#define DAYS_MAX 36500
#define PATH_CAP 4096

static int crypto_failed(const char *what, char why[HX_WHY_MAX])
{
    char text[128];
    snprintf(why, HX_WHY_MAX, "%s: %s", what, hx_tls_error(text, sizeof text));
    return HX_E_TLS;
}

/* ---- files ---- */

static int create_file(const char *path, mode_t mode, FILE **ret, char why[HX_WHY_MAX])
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        int eno = errno;
        snprintf(why, HX_WHY_MAX, "%s: %s", path, strerror(eno));
        return hx_err_from_errno(eno);
    }
    /* The umask may have taken away what others need to read a certificate; never the reverse. */
    FILE *f = fchmod(fd, mode) ? NULL : fdopen(fd, "we");
    if (!f) {
        snprintf(why, HX_WHY_MAX, "%s: %s", path, strerror(errno));
        close(fd);
        unlink(path);
        return HX_E_IO;
    }
    *ret = f;
    return 0;
}

static int finish_file(FILE *f, const char *path, bool written, char why[HX_WHY_MAX])
{
    bool good = written && fflush(f) == 0 && fsync(fileno(f)) == 0;
    int eno = errno;
    if (fclose(f) == 0 && good)
        return 0;
    snprintf(why, HX_WHY_MAX, "%s: %s", path, strerror(eno));
    unlink(path);
    return HX_E_IO;
}

static int write_pair(const char *out, X509 *cert, EVP_PKEY *key, char why[HX_WHY_MAX])
{
    char crt_path[PATH_CAP], key_path[PATH_CAP];
    if (snprintf(crt_path, sizeof crt_path, "%s.crt", out) >= PATH_CAP ||
        snprintf(key_path, sizeof key_path, "%s.key", out) >= PATH_CAP) {
        snprintf(why, HX_WHY_MAX, "the file name is too long");
        return HX_E_NAMETOOLONG;
    }
    FILE *crt = NULL, *k = NULL;
    int err = create_file(crt_path, 0644, &crt, why);
    if (err)
        return err;
    err = create_file(key_path, 0600, &k, why);
    if (!err)
        err = finish_file(k, key_path, PEM_write_PKCS8PrivateKey(k, key, NULL, NULL, 0, NULL, NULL) == 1,
                          why);
    if (err) {
        fclose(crt);
        unlink(crt_path);
        return err;
    }
    err = finish_file(crt, crt_path, PEM_write_X509(crt, cert) == 1, why);
    if (err)
        unlink(key_path);
    return err;
}

static FILE *open_read(const char *path, int *ret_err, char why[HX_WHY_MAX])
{
    FILE *f = fopen(path, "re");
    if (!f) {
        *ret_err = hx_err_from_errno(errno);
        snprintf(why, HX_WHY_MAX, "%s: %s", path, strerror(errno));
    }
    return f;
}

static int read_cert(const char *path, X509 **ret, char why[HX_WHY_MAX])
{
    int err = 0;
    FILE *f = open_read(path, &err, why);
    if (!f)
        return err;
    *ret = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    return *ret ? 0 : crypto_failed(path, why);
}

static int read_key(const char *path, EVP_PKEY **ret, char why[HX_WHY_MAX])
{
    int err = 0;
    FILE *f = open_read(path, &err, why);
    if (!f)
        return err;
    *ret = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    return *ret ? 0 : crypto_failed(path, why);
}

static int read_ca(const char *crt, const char *key, X509 **ret, EVP_PKEY **ret_key, char why[HX_WHY_MAX])
{
    int err = read_cert(crt, ret, why);
    if (!err)
        err = read_key(key, ret_key, why);
    if (!err && (X509_check_ca(*ret) != 1 || X509_check_private_key(*ret, *ret_key) != 1)) {
        ERR_clear_error();
        snprintf(why, HX_WHY_MAX, "%s and %s are not the certificate and key of a CA", crt, key);
        err = HX_E_TLS;
    }
    return err;
}

/* ---- building ---- */

static int set_serial(X509 *x)
{
    uint8_t raw[16];
    if (RAND_bytes(raw, sizeof raw) != 1)
        return -1;
    raw[0] = (uint8_t)((raw[0] & 0x7f) | 0x40); /* positive, and always of the same length */
    BIGNUM *bn = BN_bin2bn(raw, sizeof raw, NULL);
    int ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x));
    BN_free(bn);
    return ok ? 0 : -1;
}

static int set_subject(X509 *x, const char *common_name)
{
    X509_NAME *n = X509_get_subject_name(x);
    return X509_NAME_add_entry_by_txt(n, "O", MBSTRING_ASC, (const unsigned char *)"hexad", -1, -1, 0) &&
                   X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const unsigned char *)common_name,
                                              -1, -1, 0)
               ? 0
               : -1;
}

static int add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    int ok = e && X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
    return ok ? 0 : -1;
}

/* What a CA and an end certificate have in common.  ISSUER NULL: signed by itself. */
static X509 *draft(EVP_PKEY *key, X509 *issuer, const char *common_name, int days)
{
    X509 *x = X509_new();
    if (x && X509_set_version(x, X509_VERSION_3) && !set_serial(x) && !set_subject(x, common_name) &&
        X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x)) &&
        X509_gmtime_adj(X509_getm_notBefore(x), -EARLY_S) &&
        X509_time_adj_ex(X509_getm_notAfter(x), days, 0, NULL) && X509_set_pubkey(x, key))
        return x;
    X509_free(x);
    return NULL;
}

/* One comma-separated list of hosts into names, each a DNS name or an address. */
static int add_hosts(GENERAL_NAMES *names, const char *hosts)
{
    char *copy = strdup(hosts), *save = NULL;
    int err = copy ? 0 : -1;
    for (char *h = copy ? strtok_r(copy, ", ", &save) : NULL; h && !err; h = strtok_r(NULL, ", ", &save)) {
        ASN1_OCTET_STRING *ip = a2i_IPADDRESS(h);
        int type = ip ? GEN_IPADD : GEN_DNS;
        ASN1_OCTET_STRING_free(ip);
        GENERAL_NAME *n = a2i_GENERAL_NAME(NULL, NULL, NULL, type, h, 0);
        if (!n || !sk_GENERAL_NAME_push(names, n)) {
            GENERAL_NAME_free(n);
            err = -1;
        }
    }
    free(copy);
    return err;
}

/* The identity, then the hosts; NULL: no memory, or a host that is none. */
static GENERAL_NAMES *names_new(enum hx_role role, const char *name, const char *hosts)
{
    char uri[128];
    snprintf(uri, sizeof uri, "hexad://%s/%s", hx_role_name(role), name);
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *id = names ? a2i_GENERAL_NAME(NULL, NULL, NULL, GEN_URI, uri, 0) : NULL;
    int err = -1;
    if (id && sk_GENERAL_NAME_push(names, id)) {
        id = NULL;
        err = hosts ? add_hosts(names, hosts) : 0;
    }
    GENERAL_NAME_free(id);
    if (!err)
        return names;
    GENERAL_NAMES_free(names);
    return NULL;
}

static int check_days(int days, char why[HX_WHY_MAX])
{
    if (days >= 1 && days <= DAYS_MAX)
        return 0;
    snprintf(why, HX_WHY_MAX, "a certificate is valid for 1 to %d days, not %d", DAYS_MAX, days);
    return HX_E_INVAL;
}

int hx_cert_create_ca(const char *out, const char *common_name, int days, char why[HX_WHY_MAX])
{
    why[0] = '\0';
    int err = check_days(days, why);
    if (err)
        return err;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = key ? draft(key, NULL, common_name, days) : NULL;
    if (x && !add_ext(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        !add_ext(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
        !add_ext(x, x, NID_subject_key_identifier, "hash") && X509_sign(x, key, EVP_sha256()))
        err = write_pair(out, x, key, why);
    else
        err = crypto_failed("cannot make the CA", why);
    X509_free(x);
    EVP_PKEY_free(key);
    return err;
}

static int check_request(enum hx_role role, const char *name, int days, char why[HX_WHY_MAX])
{
    if (!strcmp(hx_role_name(role), "none")) {
        snprintf(why, HX_WHY_MAX, "unknown role; known are segment, writer, admin, reader");
        return HX_E_INVAL;
    }
    if (!hx_tls_name_ok(name, strlen(name))) {
        snprintf(why, HX_WHY_MAX, "a name has 1 to %d letters, digits, '.', '_', '-', and starts with a "
                                  "letter or digit", HX_NAME_MAX);
        return HX_E_INVAL;
    }
    return check_days(days, why);
}

/* A certificate of KEY for ROLE and NAME, signed by the CA; NULL when libcrypto refuses.  NAMES: may be NULL, too. */
static X509 *issue(X509 *ca, EVP_PKEY *ca_key, EVP_PKEY *key, enum hx_role role, const char *name,
                   GENERAL_NAMES *names, int days)
{
    const char *eku = role == HX_ROLE_SEGMENT ? "serverAuth,clientAuth" : "clientAuth";
    X509 *x = names ? draft(key, ca, name, days) : NULL;
    if (x && !add_ext(x, ca, NID_basic_constraints, "critical,CA:FALSE") &&
        !add_ext(x, ca, NID_key_usage, "critical,digitalSignature") &&
        !add_ext(x, ca, NID_ext_key_usage, eku) &&
        !add_ext(x, ca, NID_subject_key_identifier, "hash") &&
        !add_ext(x, ca, NID_authority_key_identifier, "keyid:always") &&
        X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1 &&
        X509_sign(x, ca_key, EVP_sha256()))
        return x;
    X509_free(x);
    return NULL;
}

int hx_cert_create(const char *ca_crt, const char *ca_key, const char *out, enum hx_role role,
                   const char *name, const char *hosts, int days, char why[HX_WHY_MAX])
{
    X509 *ca = NULL, *x = NULL;
    EVP_PKEY *signer = NULL, *key = NULL;
    GENERAL_NAMES *names = NULL;
    why[0] = '\0';
    int err = check_request(role, name, days, why);
    if (!err)
        err = read_ca(ca_crt, ca_key, &ca, &signer, why);
    if (!err) {
        key = EVP_EC_gen("P-256");
        names = names_new(role, name, hosts);
        x = key ? issue(ca, signer, key, role, name, names, days) : NULL;
        err = x ? write_pair(out, x, key, why) : crypto_failed("cannot make the certificate", why);
    }
    X509_free(x);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(signer);
    GENERAL_NAMES_free(names);
    return err;
}

/* ---- renewing ---- */

/* X in place of what is at PATH, in one step, with the rights that it had. */
static int replace(const char *path, X509 *x, char why[HX_WHY_MAX])
{
    char fresh[PATH_CAP];
    struct stat st;
    FILE *f = NULL;
    if (snprintf(fresh, sizeof fresh, "%s.renewed", path) >= PATH_CAP) {
        snprintf(why, HX_WHY_MAX, "the file name is too long");
        return HX_E_NAMETOOLONG;
    }
    if (stat(path, &st)) {
        snprintf(why, HX_WHY_MAX, "%s: %s", path, strerror(errno));
        return HX_E_IO;
    }
    unlink(fresh); /* of an attempt that was interrupted */
    int err = create_file(fresh, st.st_mode & 0777, &f, why);
    if (err)
        return err;
    if (fchown(fileno(f), st.st_uid, st.st_gid)) {
        /* not ours to give away: it stays ours, and can be read as before */
    }
    err = finish_file(f, fresh, PEM_write_X509(f, x) == 1, why);
    if (!err && rename(fresh, path)) {
        snprintf(why, HX_WHY_MAX, "%s: %s", path, strerror(errno));
        unlink(fresh);
        err = HX_E_IO;
    }
    return err;
}

int hx_cert_renew(const char *ca_crt, const char *ca_key, const char *crt, int days, char why[HX_WHY_MAX])
{
    X509 *ca = NULL, *old = NULL, *x = NULL;
    EVP_PKEY *signer = NULL, *key = NULL;
    GENERAL_NAMES *names = NULL;
    struct hx_peer who;
    why[0] = '\0';
    int err = check_days(days, why);
    if (!err)
        err = read_cert(crt, &old, why);
    if (!err && hx_tls_identity(old, &who)) {
        snprintf(why, HX_WHY_MAX, "%.200s is no certificate of a server or a client", crt);
        err = HX_E_TLS;
    }
    if (!err)
        err = read_ca(ca_crt, ca_key, &ca, &signer, why);
    if (!err) {
        key = X509_get_pubkey(old);
        names = X509_get_ext_d2i(old, NID_subject_alt_name, NULL, NULL);
        x = key ? issue(ca, signer, key, who.role, who.name, names, days) : NULL;
        err = x ? replace(crt, x, why) : crypto_failed("cannot make the certificate", why);
    }
    GENERAL_NAMES_free(names);
    EVP_PKEY_free(key);
    EVP_PKEY_free(signer);
    X509_free(x);
    X509_free(old);
    X509_free(ca);
    return err;
}

int hx_cert_end(const char *crt, int64_t *ret_s, char why[HX_WHY_MAX])
{
    X509 *x = NULL;
    int err = read_cert(crt, &x, why);
    if (!err)
        *ret_s = hx_tls_cert_end(x);
    X509_free(x);
    return err;
}

int64_t hx_cert_days_left(int64_t end_s)
{
    const int64_t day = 86400;
    int64_t left = end_s - (int64_t)time(NULL);
    return left < 0 ? -1 - (-left / day) : left / day;
}

/* ---- showing ---- */

static void show_name(BIO *b, const char *label, X509_NAME *name)
{
    BIO_printf(b, "%-12s ", label);
    X509_NAME_print_ex(b, name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
    BIO_printf(b, "\n");
}

static void show_time(BIO *b, const char *label, const ASN1_TIME *t)
{
    BIO_printf(b, "%-12s ", label);
    ASN1_TIME_print(b, t);
    int sign = X509_cmp_current_time(t);
    if (sign && (sign < 0) == !strcmp(label, "valid until"))
        BIO_printf(b, sign < 0 ? "  EXPIRED" : "  NOT YET");
    BIO_printf(b, "\n");
}

static void show_names(BIO *b, X509 *x)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        BIO_printf(b, "%-12s ", i ? "" : "names");
        GENERAL_NAME_print(b, sk_GENERAL_NAME_value(names, i));
        BIO_printf(b, "\n");
    }
    GENERAL_NAMES_free(names);
}

static void show_cert(BIO *b, X509 *x)
{
    struct hx_peer p;
    if (!hx_tls_identity(x, &p))
        BIO_printf(b, "%-12s %s\n%-12s %s\n", "role", hx_role_name(p.role), "name", p.name);
    else
        BIO_printf(b, "%-12s %s\n", "role", X509_check_ca(x) == 1 ? "CA" : "none");
    show_name(b, "subject", X509_get_subject_name(x));
    show_name(b, "issuer", X509_get_issuer_name(x));
    show_time(b, "valid from", X509_get0_notBefore(x));
    show_time(b, "valid until", X509_get0_notAfter(x));
    show_names(b, x);
    uint8_t md[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    X509_digest(x, EVP_sha256(), md, &len);
    BIO_printf(b, "%-12s ", "sha256");
    for (unsigned i = 0; i < len; i++)
        BIO_printf(b, "%s%02x", i ? ":" : "", md[i]);
    BIO_printf(b, "\n");
}

int hx_cert_show(const char *crt, char *text, size_t cap)
{
    char why[HX_WHY_MAX] = "";
    X509 *x = NULL;
    int err = read_cert(crt, &x, why);
    BIO *b = err ? NULL : BIO_new(BIO_s_mem());
    if (err || !b) {
        snprintf(text, cap, "%s", why);
        X509_free(x);
        return err ? err : HX_E_NOMEM;
    }
    show_cert(b, x);
    char *p = NULL;
    long len = BIO_get_mem_data(b, &p);
    err = len >= 0 && (size_t)len < cap ? 0 : HX_E_TOOBIG;
    snprintf(text, cap, "%.*s", (int)len, p);
    BIO_free(b);
    X509_free(x);
    return err;
}
