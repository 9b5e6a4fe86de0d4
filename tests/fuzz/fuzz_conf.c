/*
 * fuzz_conf.c - files that an operator writes: hexad.conf, segmentd.conf; and what a data directory says it is.
 *
 * The first byte chooses.  A configuration is read through a descriptor of a file in memory; an identity from a
 * directory of its own below TMPDIR.  Checked: an error says why; what was accepted has everything that it must have,
 * in its bounds; the result of a failure is empty.
 */
#include "fuzz.h"

#include "hexad/conf.h"
#include "hexad/crc.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CLIENT, SERVER, IDENTITY, KINDS };

static const char *in_memory(const uint8_t *p, size_t len)
{
    static char path[64];
    static int fd = -1;
    if (fd < 0) {
        fd = memfd_create("conf", MFD_CLOEXEC);
        fuzz_check(fd >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    fuzz_check(ftruncate(fd, 0) == 0 && pwrite(fd, p, len, 0) == (ssize_t)len);
    return path;
}

static void client(const uint8_t *p, size_t len)
{
    struct hx_client_conf c;
    char why[HX_WHY_MAX];
    int err = hx_client_conf_load(in_memory(p, len), &c, why);
    fuzz_check(memchr(why, '\0', sizeof why) != NULL);
    if (err) {
        fuzz_check(!c.path && !c.servers && !c.ca && c.server_count == 0 && (err != HX_E_CONFIG || why[0]));
        return;
    }
    fuzz_check(c.path && c.ca && c.cert && c.key && c.server_count > 0);
    for (uint32_t i = 0; i < c.server_count; i++) {
        const struct hx_server *s = &c.servers[i];
        fuzz_check(hx_name_ok(s->name) && hx_name_ok(s->zone) && strncmp(s->url, "https://", 8) == 0);
        for (uint32_t k = 0; k < i; k++)
            fuzz_check(strcmp(s->name, c.servers[k].name) && strcmp(s->url, c.servers[k].url));
    }
    hx_client_conf_free(&c);
}

static void server(const uint8_t *p, size_t len)
{
    struct hx_segmentd_conf c;
    char why[HX_WHY_MAX];
    const struct hx_segmentd_override over = {.name = len & 1 ? "a1" : NULL};
    int err = hx_segmentd_conf_load(in_memory(p, len), &over, &c, why);
    fuzz_check(memchr(why, '\0', sizeof why) != NULL);
    if (err) {
        fuzz_check(!c.path && !c.name && !c.data && (err != HX_E_CONFIG || why[0]));
        return;
    }
    fuzz_check(hx_name_ok(c.name) && hx_name_ok(c.zone) && c.listen && c.data && c.ca && c.cert && c.key);
    fuzz_check(c.connections_max >= 8 && c.files_max >= 16 && c.idle_ms >= 1000 && c.gossip_ms >= 10);
    fuzz_check(c.log_file_bytes == 0 || (c.log_file_bytes >= 1u << 20 && c.log_file_bytes <= 1u << 30));
    fuzz_check(c.scrub_cycle_s <= 49 * 86400 && c.scrub_bytes_per_s >= 64u << 10);
    hx_segmentd_conf_free(&c);
}

static char dir[256];

static void remove_dir(void)
{
    char path[300];
    static const char *const files[] = {"/lock", "/identity", "/segments"};
    for (size_t i = 0; i < HX_ARRAY_LEN(files); i++) {
        snprintf(path, sizeof path, "%s%s", dir, files[i]);
        if (remove(path) != 0)
            continue;
    }
    rmdir(dir);
}

static void identity(const uint8_t *p, size_t len)
{
    char path[300], why[HX_WHY_MAX] = "";
    struct hx_datadir *d;
    if (!dir[0]) {
        const char *tmp = getenv("TMPDIR");
        snprintf(dir, sizeof dir, "%.200s/hexad-fuzz-XXXXXX", tmp ? tmp : "/tmp");
        fuzz_check(mkdtemp(dir));
        atexit(remove_dir);
    }
    snprintf(path, sizeof path, "%s/identity", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fuzz_check(fd >= 0 && write(fd, p, len) == (ssize_t)len && close(fd) == 0);
    int err = hx_datadir_open(dir, "a1", "az-a", &d, why);
    fuzz_check(memchr(why, '\0', sizeof why) != NULL);
    if (err == 0) {
        fuzz_check(!hx_uuid_is_zero(hx_datadir_incarnation(d)) || len > 0);
        hx_datadir_close(d);
    }
}

static void run(const uint8_t *p, size_t len)
{
    if (len == 0)
        return;
    switch (p[0] % KINDS) {
    case CLIENT:
        client(p + 1, len - 1);
        break;
    case SERVER:
        server(p + 1, len - 1);
        break;
    default:
        identity(p + 1, len - 1);
    }
}

/* The checksum of an identity. */
static void repair(uint8_t *p, size_t len)
{
    if (len < 2 || p[0] % KINDS != IDENTITY)
        return;
    for (size_t i = 1; i + 16 <= len; i++)
        if (memcmp(p + i, "crc32c ", 7) == 0) {
            char hex[9];
            snprintf(hex, sizeof hex, "%08x", hx_crc32c(0, p + 1, i - 1));
            memcpy(p + i + 7, hex, 8);
            return;
        }
}

static void seed(uint8_t kind, const char *name, const char *text)
{
    uint8_t b[2000] = {kind};
    size_t n = strlen(text);
    memcpy(b + 1, text, n);
    repair(b, n + 1);
    fuzz_seed(name, b, n + 1);
}

static void seeds(void)
{
    seed(CLIENT, "client",
         "# six\n[tls]\nca = ca.crt\ncert = /etc/hexad/w.crt\nkey = w.key\n\n[servers]\n"
         "a1 = az-a https://127.0.0.1:9621\na2 = az-a https://127.0.0.1:9622\nb1 = az-b https://[::1]:9623\n");
    seed(CLIENT, "client-wrong", "[tsl]\nca = x\n  cert : y\nkey\n[tls]\nca = a\nca = b\n; end\n");
    seed(SERVER, "server",
         "[server]\nname = a1\nzone = az-a\nlisten = 127.0.0.1:9621\ndata = data\n[tls]\nca = c\ncert = d\nkey = e\n"
         "[limits]\nconnections = 64\nidle = 10s\nfiles = 32\ngossip = 250ms\nlog-file = 4MiB\n");
    seed(SERVER, "server-wrong", "[limits]\nidle = 10\nlog-file = 99999999999TiB\n[server]\nnmae = x\n");
    seed(IDENTITY, "identity",
         "hexad-data 1\nserver a1\nzone az-a\nincarnation 00112233445566778899aabbccddeeff\ncrc32c 00000000\n");
    seed(IDENTITY, "identity-other",
         "hexad-data 2\nserver b1\nzone az-b\nincarnation 00112233445566778899aabbccddeeff\ncrc32c 00000000\n");
}

const struct fuzz_target fuzz_target = {
    .name = "conf", .len_max = 1536, .run = run, .repair = repair, .seeds = seeds, .sources = "src/sys src/net"};
