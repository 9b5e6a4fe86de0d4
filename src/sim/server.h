/*
 * server.h - a simulated segment server: a node over a faulty disk, its queue of arrived messages, its deaths.
 *
 * What arrived while the server was busy makes the next batch: all requests, one flush, then the answers (as
 * the daemon
 * does it).  A batch takes the time that its disk calls need.  When the power goes inside a batch nothing of it is
 * answered (V1).
 */
#ifndef HX_SIM_SERVER_H
#define HX_SIM_SERVER_H

#include "net.h"

struct hx_sim_arrival {
    struct hx_sim_packet *p; /* a request; or NULL: a completion of one of its own */
    uint64_t call;
    int err;
    size_t len;
    uint8_t *bytes; /* owned, of a completion */
};
struct hx_sim_pending {
    uint64_t token;
    struct hx_sim_packet *p;
};
struct hx_sim_server {
    struct hx_sim *s;
    uint32_t i, life;              /* life: counts starts */
    char name[16], zone[8], url[32];
    struct hx_uuid incarnation;
    struct hx_sim_disk *disk;      /* owned */
    struct hx_node *node;          /* owned; NULL: not running */
    bool victim;                   /* its disk may lie or forget */
    bool gone;                     /* wiped: never again a member of what it was */
    uint32_t slow;                 /* factor of disk and work, 1 usual */
    int64_t clock_off_us;
    uint64_t busy_until_us, pass_at_us, pass_serial, tick_at_us, start_at_us;
    struct hx_sim_arrival *queue;  /* owned */
    size_t queue_count, queue_cap;
    struct hx_sim_pending *pending; /* owned: requests in the node, not answered yet */
    size_t pending_count, pending_cap;
    uint64_t token, incarnations, unread; /* unread: as the disk counts, when the oracle heard of it last */
};

int hx_sim_servers_new(struct hx_sim *s); /* all of them, running, disks empty; HX_E_NOMEM */
void hx_sim_servers_free(struct hx_sim *s);
bool hx_sim_server_is_up(const struct hx_sim *s, uint32_t i);
uint32_t hx_sim_server_life(const struct hx_sim *s, uint32_t i);
void hx_sim_server_arrived(struct hx_sim *s, uint32_t i, struct hx_sim_packet *p);
void hx_sim_server_answer(struct hx_sim *s, uint32_t i, uint64_t call, int err, struct hx_bytes body);
/* A client process has died: its connections break. */
void hx_sim_server_closed(struct hx_sim *s, uint32_t i, uint64_t conn);

/* Power off now; comes back at BACK_US. */
void hx_sim_server_crash(struct hx_sim *s, uint32_t i, uint64_t back_us);
/* Only its process dies, in the middle of a batch (hx_sim_disk_is_off): what it wrote stays, flushed or not. */
void hx_sim_server_kill(struct hx_sim *s, uint32_t i, uint64_t back_us);
/* As crash, and the disk is empty (wipe) or an older image (rollback) when it comes back. */
void hx_sim_server_wipe(struct hx_sim *s, uint32_t i, uint64_t back_us);
void hx_sim_server_rollback(struct hx_sim *s, uint32_t i, uint64_t back_us);
/* Starts it if it is off, now. */
void hx_sim_server_start(struct hx_sim *s, uint32_t i);

#endif
