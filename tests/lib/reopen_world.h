/*
 * reopen_world.h - six real segment servers (hexad/node.h) over disks in memory, and any number of the client's parts
 * (creation, recovery, writer, growth), with a network that delivers in random order, loses, and lets the
 * requests of the dead arrive later.  One seed, one story.
 */
#ifndef HEXAD_TESTS_REOPEN_WORLD_H
#define HEXAD_TESTS_REOPEN_WORLD_H

#include "hexad/effect.h"
#include "hexad/msg.h"
#include "hexad/node.h"
#include "mem_disk.h"

#define WORLD_SERVERS 6u
#define WORLD_PARTS 8u

/* The four calls of a client's part. */
struct world_part {
    void *obj;
    int (*next)(void *obj, struct hx_effect *ret);
    void (*answer)(void *obj, uint64_t now, uint64_t call, struct hx_bytes body);
    void (*failed)(void *obj, uint64_t now, uint64_t call, int err);
    uint64_t (*tick)(void *obj, uint64_t now);
};
enum world_mail_state { MAIL_SENT = 1, MAIL_AT_NODE, MAIL_ANSWERED, MAIL_LOST };
struct world_mail {
    enum world_mail_state state;
    void *obj;     /* the part that waits; NULL: nobody does */
    int from_node; /* -1: a client */
    uint32_t to;
    uint64_t call, token, due_ms, conn;
    uint8_t *bytes;
    size_t len;
    uint8_t *reply;
    size_t reply_len;
};
struct world {
    uint64_t rng, now_ms, token, conns;
    struct hx_server servers[WORLD_SERVERS];
    struct hx_mem_farm *farm[WORLD_SERVERS];
    struct hx_node *node[WORLD_SERVERS]; /* NULL: down */
    struct world_part parts[WORLD_PARTS];
    uint64_t conn[WORLD_PARTS]; /* the parts' connections, as the servers tell them apart */
    size_t part_count;
    struct world_mail **mail;
    size_t mail_count, mail_cap;
    unsigned loss;       /* per mille */
    uint64_t crashes, delivered;
    uint32_t log_file_bytes; /* of servers started from now on; 0: the node's default */
};
void world_init(struct world *w, uint64_t seed);
void world_fini(struct world *w);
uint64_t world_random(struct world *w);
unsigned world_below(struct world *w, unsigned n);
void world_start(struct world *w, unsigned server);
/* Power off: unsynced sectors survive or not. */
void world_crash(struct world *w, unsigned server);
void world_join(struct world *w, struct world_part p);
/* The part is gone, and its connections; what it sent may still arrive. */
void world_leave(struct world *w, void *obj);
/* Nobody waits any more for what OBJ has under way in this part (hx_call_part). */
void world_cancel_part(struct world *w, void *obj, unsigned part);
/* Requests of OBJ that somebody waits for: of this part, or (0) of all. */
size_t world_under_way(const struct world *w, const void *obj, unsigned part);
/* One event, or time passes. */
void world_step(struct world *w);
/* A request at once, past the network; the server must be up.  *ret_reply: whole answer, caller frees. */
void world_ask(struct world *w, unsigned server, struct hx_msg_head *h, struct hx_bytes body,
               struct hx_bytes *ret_reply);

#endif
