/*
 * net_kit.c - see net_kit.h.  Everything is on loopback, with free ports and a directory of its own.
 */
#include "net_kit.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define GUARD_MS 60000

static void on_guard(void *ctx)
{
    struct net_kit *k = ctx;
    k->hangs = true;
    hx_loop_stop(k->loop);
}

int net_kit_setup(void **state)
{
    struct net_kit *k = calloc(1, sizeof *k);
    char why[256];
    if (!k)
        return -1;
    strcpy(k->dir, "/tmp/hexad-net-XXXXXX");
    if (!mkdtemp(k->dir) || hx_loop_new(&k->loop) || hx_timer_new(k->loop, on_guard, k, &k->guard) ||
        hx_cert_create_ca(net_kit_path(k, "ca", ""), "test CA", 30, why) ||
        hx_cert_create_ca(net_kit_path(k, "other", ""), "test CA", 30, why))
        return -1;
    *state = k;
    return 0;
}

int net_kit_teardown(void **state)
{
    struct net_kit *k = *state;
    DIR *d = opendir(k->dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(k->dir);
    hx_timer_free(k->guard);
    hx_loop_free(k->loop);
    free(k);
    return 0;
}

const char *net_kit_path(struct net_kit *k, const char *name, const char *suffix)
{
    static char text[16][256];
    static unsigned turn;
    char *p = text[turn++ % 16];
    snprintf(p, sizeof text[0], "%s/%s%s", k->dir, name, suffix);
    return p;
}

struct hx_tls_cfg net_kit_tls(struct net_kit *k, const char *name)
{
    return (struct hx_tls_cfg){net_kit_path(k, "ca", ".crt"), net_kit_path(k, name, ".crt"),
                               net_kit_path(k, name, ".key")};
}

void net_kit_cert(struct net_kit *k, enum hx_role role, const char *name)
{
    char why[256] = "";
    if (hx_cert_create(net_kit_path(k, "ca", ".crt"), net_kit_path(k, "ca", ".key"), net_kit_path(k, name, ""),
                       role, name, NULL, 7, why))
        fail_msg("certificate %s: %s", name, why);
}

static void add_ext(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_true(X509_add_ext(x, e, -1));
    X509_EXTENSION_free(e);
}

static X509 *load_cert(const char *path)
{
    FILE *f = fopen(path, "re");
    X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    assert_non_null(x);
    fclose(f);
    return x;
}

static EVP_PKEY *load_key(const char *path)
{
    FILE *f = fopen(path, "re");
    EVP_PKEY *k = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
    assert_non_null(k);
    fclose(f);
    return k;
}

static void save(struct net_kit *k, const char *name, X509 *x, EVP_PKEY *key)
{
    FILE *f = fopen(net_kit_path(k, name, ".crt"), "we");
    assert_true(f && PEM_write_X509(f, x));
    fclose(f);
    f = fopen(net_kit_path(k, name, ".key"), "we");
    assert_true(f && !fchmod(fileno(f), 0600) && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
    fclose(f);
}

void net_kit_forge(struct net_kit *k, const struct net_kit_forgery *f)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    EVP_PKEY *signer = f->signer ? load_key(net_kit_path(k, f->signer, ".key")) : key;
    X509 *x = X509_new(), *ca = f->signer ? load_cert(net_kit_path(k, f->signer, ".crt")) : NULL;
    char san[512] = "";
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)f->file, -1,
                               -1, 0);
    X509_set_issuer_name(x, ca ? X509_get_subject_name(ca) : X509_get_subject_name(x));
    X509_gmtime_adj(X509_getm_notBefore(x), f->from_s);
    X509_gmtime_adj(X509_getm_notAfter(x), f->until_s);
    X509_set_pubkey(x, key);
    add_ext(x, NID_basic_constraints, "critical,CA:FALSE");
    if (f->eku)
        add_ext(x, NID_ext_key_usage, f->eku);
    for (int i = 0; f->uris[i]; i++)
        snprintf(san + strlen(san), sizeof san - strlen(san), "%sURI:%s", i ? "," : "", f->uris[i]);
    if (san[0])
        add_ext(x, NID_subject_alt_name, san);
    assert_true(X509_sign(x, signer, EVP_sha256()));
    save(k, f->file, x, key);
    X509_free(x);
    X509_free(ca);
    if (signer != key)
        EVP_PKEY_free(signer);
    EVP_PKEY_free(key);
}

void net_kit_run(struct net_kit *k)
{
    hx_timer_set(k->guard, GUARD_MS);
    assert_int_equal(hx_loop_run(k->loop), 0);
    if (k->hangs)
        fail_msg("the loop did not come to its end");
    hx_timer_clear(k->guard);
}

static void on_turned(void *ctx)
{
    hx_loop_stop(ctx);
}

void net_kit_turn(struct hx_loop *l)
{
    struct hx_defer *end;
    assert_int_equal(hx_defer_new(l, on_turned, l, &end), 0);
    hx_defer_call(end);
    assert_int_equal(hx_loop_run(l), 0);
    hx_defer_free(end);
}

/* ---- a child and what it writes ---- */

struct collect {
    struct hx_loop *loop;
    int fd;
    char *text;
    size_t len, cap;
    bool ended;
    void (*line)(void *ctx, const char *text);
    void *ctx;
};

static void on_output(void *ctx)
{
    struct collect *c = ctx;
    if (c->cap - c->len < 4097) {
        c->cap = c->cap * 2 + 8192;
        c->text = realloc(c->text, c->cap);
        assert_non_null(c->text);
    }
    ssize_t n = read(c->fd, c->text + c->len, 4096);
    assert_true(n >= 0);
    c->len += (size_t)n;
    c->text[c->len] = '\0';
    if (n > 0 && c->line && c->text[c->len - 1] == '\n')
        c->line(c->ctx, c->text);
    c->ended = n == 0;
    if (c->ended)
        hx_loop_stop(c->loop);
}

static char *child(struct net_kit *k, void (*act)(void *arg, int out), void *arg, struct collect *c)
{
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a case that fails does not wait for its child */
        /* A clone of a descriptor that the parent's loop watches must not live on here (loop.c). */
        dup2(p[1], 3);
        close_range(4, ~0U, 0);
        signal(SIGPIPE, SIG_IGN);
        act(arg, 3);
        _exit(0);
    }
    close(p[1]);
    c->loop = k->loop;
    c->fd = p[0];
    struct hx_watch *w;
    assert_int_equal(hx_watch_new(k->loop, p[0], on_output, c, &w), 0);
    while (!c->ended)
        net_kit_run(k);
    hx_watch_free(w);
    close(p[0]);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    return c->text;
}

char *net_kit_child(struct net_kit *k, void (*act)(void *arg, int out), void *arg, size_t *ret_len)
{
    struct collect c = {0};
    char *text = child(k, act, arg, &c);
    if (ret_len)
        *ret_len = c.len;
    return text;
}

char *net_kit_dialogue(struct net_kit *k, void (*act)(void *arg, int out), void *arg,
                       void (*line)(void *ctx, const char *text), void *ctx)
{
    struct collect c = {.line = line, .ctx = ctx};
    return child(k, act, arg, &c);
}

int net_kit_listen(int *ret_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 8) ||
        getsockname(fd, (struct sockaddr *)&a, &len))
        return -1;
    *ret_port = ntohs(a.sin_port);
    return fd;
}

int net_kit_accept(int fd)
{
    return accept4(fd, NULL, NULL, SOCK_CLOEXEC);
}

int net_kit_tcp(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a)) {
        close(fd);
        return -1;
    }
    return fd;
}

SSL *net_kit_connect(struct net_kit *k, int port, const char *cert, int tls_version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx, tls_version);
    if (cert && (SSL_CTX_use_certificate_file(ctx, net_kit_path(k, cert, ".crt"), SSL_FILETYPE_PEM) != 1 ||
                 SSL_CTX_use_PrivateKey_file(ctx, net_kit_path(k, cert, ".key"), SSL_FILETYPE_PEM) != 1))
        return NULL;
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    int fd = net_kit_tcp(port);
    if (fd < 0 || !SSL_set_fd(ssl, fd) || SSL_connect(ssl) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}
