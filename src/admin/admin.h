/*
 * admin.h - what the verbs of the hexad command share; private to src/admin.
 */
#ifndef HEXAD_ADMIN_H
#define HEXAD_ADMIN_H

#include "hexad/args.h"
#include "hexad/conf.h"
#include "hexad/msg.h"
#include "hexad/net.h"
#include "hexad/recovery.h"
#include "hexad/vol.h"

#include <jansson.h>

/* Verbs: argv[0] is the verb; give the exit code. */
int admin_cert_main(int argc, char **argv);
int admin_create_main(int argc, char **argv);
int admin_status_main(int argc, char **argv);
int admin_scrub_main(int argc, char **argv);
int admin_repair_main(int argc, char **argv);
int admin_degrade_main(int argc, char **argv);
int admin_server_main(int argc, char **argv);
int admin_demo_main(int argc, char **argv);

/* ---- fail.c ---- */
/* Complains on stderr and, with JSON, prints {"error": ...} on stdout; gives the exit code. */
int admin_fail(bool json, int err, const char *what, const char *why, const char *hint);
/* Loads hexad.conf and checks the certificates; complains.  0 or an exit code. */
int admin_load(bool json, const char *path, struct hx_client_conf *conf);
/* Prints the document on stdout and frees it. */
void admin_print(json_t *doc);

/* ---- ask.c: the same question to many servers at once ---- */
struct admin_ask {
    const struct hx_server *server; /* borrowed until return */
    enum hx_msg_type type;
    struct hx_uuid volume;          /* zero: none */
    struct hx_bytes body;           /* borrowed until return */
    int err;                        /* of the transport or of the answer */
    char why[HX_WHY_MAX];           /* when err */
    uint64_t us;                    /* from sending to the answer */
    struct hx_reply_head head;      /* when an answer came */
    uint8_t *answer;                /* body of the answer, owned: admin_ask_fini */
    size_t answer_len;
};
int admin_ask_all(const struct hx_client_conf *conf, struct admin_ask *asks, size_t count, uint32_t timeout_ms,
                  char why[HX_WHY_MAX]);
void admin_ask_fini(struct admin_ask *asks, size_t count);

/* ---- drive.c: the verb opens the volume itself ---- */
#define ADMIN_DRIVE_OPEN_MS 30000u /* to open it, and to close it */
struct admin_drive {
    const struct hx_client_conf *conf;
    const char *volume;
    const char *where;        /* in the place of a mount point, for others to read */
    bool takeover;
    uint64_t repair_after_ms; /* HX_HEAL_NEVER: nobody is replaced */
    const struct hx_uuid *lost; /* an operator's word (hexad/recovery.h) */
    uint32_t lost_count;
    uint32_t repair_rate;     /* bytes a second; 0: what the servers allow */
    /* Called every tenth of a second while it is open; true: it is to be closed. */
    bool (*look)(void *ctx, struct hx_vol *vol);
    void *ctx;
};
int admin_drive(const struct admin_drive *what, char why[HX_WHY_MAX]);

/* ---- create.c ---- */
/* PG_BYTES 0: default.  HX_E_EXISTS_VOLUME...; WHY says which server.  *RET_VOLUME: its uuid. */
int admin_create_volume(const struct hx_client_conf *conf, const char *name, uint64_t pg_bytes,
                        struct hx_uuid *ret_volume, char why[HX_WHY_MAX]);

#endif
