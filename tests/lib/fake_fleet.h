/*
 * fake_fleet.h - servers in memory for tests of recovery, creation and growth: a dumb, direct reading of
 * doc/PROTOCOL.md's table of messages, in virtual time, without disks and frames on disk.
 *
 * Not the real server (src/store is); it exists so that tests of the client do not depend on it, and can
 * make members lie, die and lag.  One thread; everything is freed by fleet_free.
 *
 * While a test runs the fleet itself checks what every client must keep:
 *   V1 at most four calls are under way per server;
 *   V2 H' reaches PG 0 only when, in every PG, four members are complete through their last record (F10);
 *   V3 a REPAIR carries only records valid under its history and at or below its cut, and no frame VDL above
 *      what was durable when it was sent.
 */
#ifndef HEXAD_TESTS_FAKE_FLEET_H
#define HEXAD_TESTS_FAKE_FLEET_H

#include "hexad/effect.h"
#include "hexad/msg.h"
#include "hexad/recovery.h"

#define FLEET_PAYLOAD 8

struct fleet_rec {
    struct hx_lsn lsn, prev;
    struct hx_epoch epoch;
    bool cpl, damaged;
    uint32_t page;
    uint8_t kind;
    uint16_t len;
    uint8_t *payload;
};
struct fleet_seg {
    bool there;
    struct hx_epoch promised;
    struct hx_uuid owner;
    struct hx_history history;
    struct hx_geometry geometry; /* PG 0 */
    struct hx_lsn hint;
    bool unhydrated;
    struct fleet_rec *recs; /* ascending by (lsn, epoch) */
    size_t count, cap;
    struct hx_inv_unknown unknown; /* to.v 0: none */
};
struct fleet_server {
    struct hx_server s;
    bool down;      /* nothing arrives */
    uint32_t under_way, under_way_max;
    struct fleet_seg *segs; /* by PG */
    uint32_t seg_count;
};
/* A message on its way. */
struct fleet_flight {
    struct fleet_flight *next;
    uint64_t call, due_ms;
    void *client;
    uint32_t server;
    uint8_t *request;
    size_t request_len;
    uint8_t *reply; /* NULL: not there yet */
    size_t reply_len;
    bool dead;     /* nobody waits any more: the request may still arrive */
    bool lost;     /* never arrives, or its answer does not */
};
struct fleet;
/* Looks at a request before the server does: 0 go on, negative: answer this status, FLEET_SILENT: swallow it. */
#define FLEET_SILENT 1
typedef int (*fleet_hook)(void *ctx, struct fleet *f, uint32_t server, const struct hx_msg_head *h,
                          struct hx_bytes body);
/* Changes an answer that the server gives: its head, and its body, which has room for TWIST_ROOM bytes more. */
#define FLEET_TWIST_ROOM 4096u
typedef void (*fleet_twist)(void *ctx, uint32_t server, const struct hx_msg_head *h, struct hx_reply_head *rh,
                            uint8_t *body, size_t *len);

struct fleet {
    struct fleet_server *servers;
    uint32_t server_count;
    struct hx_geometry geometry; /* as created; tests may grow it */
    uint64_t now_ms, rng;
    bool random;      /* deliver in random order; else in order sent */
    unsigned loss;    /* per mille of messages lost (random only) */
    unsigned zombies; /* per mille of cancelled requests that arrive later (random only) */
    fleet_hook hook;
    void *hook_ctx;
    fleet_twist twist; /* NULL: answers are honest */
    void *twist_ctx;
    struct fleet_flight *flights;
    size_t flight_count;
    uint64_t delivered; /* requests handled */
    struct hx_lsn durable; /* highest VDL that a test's writer has announced */
    uint32_t per_label;    /* records whose frames have one time (fleet_time); 0: 3 */
};
/* SERVERS (a multiple of 3) in zones az-a.. round robin pairs, PG k on six of them, formatted with (1,0,0,lal). */
struct fleet *fleet_new(uint32_t servers, uint32_t pgs, uint64_t lal);
/* Servers only. */
struct fleet *fleet_new_bare(uint32_t servers);
void fleet_free(struct fleet *f);
uint64_t fleet_random(struct fleet *f);
struct fleet_seg *fleet_seg_at(struct fleet *f, uint32_t pg, unsigned slot);
uint32_t fleet_server_at(const struct fleet *f, uint32_t pg, unsigned slot);

/* A writer's record at one member; refusals as APPEND's.  0, HX_E_FENCED, HX_E_NEED_HISTORY. */
int fleet_append(struct fleet *f, uint32_t pg, unsigned slot, const struct fleet_rec *rec, struct hx_lsn vdl);
int fleet_adopt(struct fleet *f, uint32_t pg, unsigned slot, struct hx_epoch epoch, const struct hx_history *h);
/* Makes a record whose bytes follow from its LSN, epoch and SALT. */
struct fleet_rec fleet_make(uint64_t lsn, uint64_t epoch, uint64_t prev, bool cpl, unsigned salt,
                            uint8_t payload[FLEET_PAYLOAD]);
struct hx_lsn fleet_scl(const struct fleet_seg *s, const struct hx_history *h);
uint64_t fleet_time(const struct fleet *f, struct hx_lsn lsn);
bool fleet_holds(const struct fleet_seg *s, struct hx_lsn lsn, struct hx_epoch epoch);
/* One round of gossip of records among all members of a PG that are up: equal tops, valid records. */
void fleet_gossip(struct fleet *f);

/* The four calls of a client's part. */
struct fleet_part {
    void *obj;
    int (*next)(void *obj, struct hx_effect *ret);
    void (*answer)(void *obj, uint64_t now, uint64_t call, struct hx_bytes body);
    void (*failed)(void *obj, uint64_t now, uint64_t call, int err);
    uint64_t (*tick)(void *obj, uint64_t now);
};
struct fleet_part fleet_recovery(struct hx_recovery *r);
struct fleet_part fleet_create(struct hx_create *c);
struct fleet_part fleet_growth(struct hx_growth *g);
/* Carries out effects, and then delivers one event (or advances time).  False: there was none of either. */
bool fleet_step(struct fleet *f, const struct fleet_part *parts, size_t count);
/* Steps until nothing is under way, without advancing time. */
void fleet_drain(struct fleet *f, const struct fleet_part *p);
/* The client is dead: its requests under way may still arrive (random), answers go nowhere. */
void fleet_abandon(struct fleet *f, void *obj);

#endif
