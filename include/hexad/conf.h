/*
 * conf.h - configuration of clients (hexad.conf) and of segment servers (segmentd.conf).
 *
 * INI files, then the files *.conf of the directory FILE.d in the order of their names, then HEXAD_* variables, then
 * the command line: each overrides the one before.  Within one file a key may appear once; unknown keys, unknown
 * sections, duplicate keys and over-long lines are errors with file:line and a suggestion.  A relative path means:
 * relative to the directory of the file that names it.  Keys are paths, never values.
 * A zeroed struct is a valid empty one; every char * is owned.
 */
#ifndef HEXAD_CONF_H
#define HEXAD_CONF_H

#include "hexad/geometry.h"
#include "hexad/sys.h"
#include "hexad/types.h"

/*
 * [tls]      ca = FILE   cert = FILE   key = FILE        HEXAD_TLS_CA, HEXAD_TLS_CERT, HEXAD_TLS_KEY
 * [servers]  a1 = az-a https://127.0.0.1:9621            HEXAD_SERVERS="a1 az-a https://h:9621, a2 ..."
 */
struct hx_client_conf {
    char *path;                   /* file that was read */
    char *ca, *cert, *key;        /* paths; never NULL after a load that returned 0 */
    struct hx_server *servers;    /* incarnations zero; at least 1 */
    uint32_t server_count;
};
/*
 * PATH NULL: $HEXAD_CONFIG, else ~/.config/hexad/hexad.conf (for other users than root), else /etc/hexad/hexad.conf.
 * HX_E_CONFIG, HX_E_NOENT (no file), HX_E_NOMEM...; WHY says file, line, what and the nearest name.
 * CONF need not be initialised; on failure it is zeroed.
 */
int hx_client_conf_load(const char *path, struct hx_client_conf *conf, char why[HX_WHY_MAX]);
void hx_client_conf_free(struct hx_client_conf *conf); /* what it owns; zeroes it */

/*
 * [server]  name, zone, listen = HOST:PORT, data = DIRECTORY          HEXAD_SERVER_NAME, ...
 * [tls]     ca, cert, key                                             HEXAD_TLS_CA, ...
 * [limits]  connections = 1024, idle = 120s, files = 256, gossip = 500ms, log-file = 64MiB   HEXAD_LIMITS_IDLE, ...
 *           scrub-cycle = 14d, scrub-rate = 16MiB, repair-rate = 64MiB
 */
struct hx_segmentd_conf {
    char *path;
    char *name, *zone, *listen, *data, *ca, *cert, *key;
    uint32_t connections_max, files_max, idle_ms, gossip_ms;
    uint32_t log_file_bytes; /* 0: the node's default */
    uint32_t scrub_cycle_s;  /* 0: on demand only */
    uint32_t scrub_bytes_per_s, repair_bytes_per_s;
};
/* What the command line says goes over the file: any pointer may be NULL. */
struct hx_segmentd_override {
    const char *name, *zone, *listen, *data, *ca, *cert, *key;
};
/* PATH NULL: $HEXAD_SEGMENTD_CONFIG, else /etc/hexad/segmentd.conf, which may be absent when OVER is complete. */
int hx_segmentd_conf_load(const char *path, const struct hx_segmentd_override *over, struct hx_segmentd_conf *conf,
                          char why[HX_WHY_MAX]);
void hx_segmentd_conf_free(struct hx_segmentd_conf *conf);

#endif
