/*
 * client.h - a simulated client: a process that opens the volume (hexad/session.h), puts a filesystem on it
 * and runs programs.
 *
 * Client number client_count is no such process: it is whoever creates the volume (world.c).
 * Alive: from start until crash; also while it is frozen, opening, fenced, or has failed to open.
 * All chance comes from streams of (seed, client, life).
 */
#ifndef HX_SIM_CLIENT_H
#define HX_SIM_CLIENT_H

#include "sim.h"

struct hx_session;

int hx_sim_clients_new(struct hx_sim *s); /* s->clients, none of them alive; HX_E_NOMEM */
void hx_sim_clients_free(struct hx_sim *s);

/* A new process: fresh owner, LOOKUP with s->servers_of.servers, and so on.  TAKEOVER: fences a living writer.
 *  Does nothing
 * when it is alive.  An opening that fails (BUSY, ...) or a session that is fenced dies by itself a little later. */
void hx_sim_client_start(struct hx_sim *s, uint32_t i, bool takeover);
/* kill -9: no completion any more (hx_sim_net_gone), its connections break at every server (hx_sim_server_closed). */
void hx_sim_client_crash(struct hx_sim *s, uint32_t i);
/* SIGSTOP until then: nothing that is meant for it happens before; then all of it, in the order in which it came. */
/* Its volume's driver hears a wish: a server of a zone that keeps two others is to be emptied, or one is to stay. */
void hx_sim_client_wish(struct hx_sim *s, uint32_t i, struct hx_rng *r);
/* It gives a zone up, or takes the one back that is. */
void hx_sim_client_degrade(struct hx_sim *s, uint32_t i, struct hx_rng *r);
void hx_sim_client_freeze(struct hx_sim *s, uint32_t i, uint64_t until_us);
uint64_t hx_sim_client_frozen_until(const struct hx_sim *s, uint32_t i); /* 0 or the past: it runs */
uint32_t hx_sim_client_life(const struct hx_sim *s, uint32_t i);         /* counts starts */
bool hx_sim_client_alive(const struct hx_sim *s, uint32_t i);
bool hx_sim_client_is_open(const struct hx_sim *s, uint32_t i);          /* OPEN, its filesystem found, not fenced */
struct hx_session *hx_sim_client_session(const struct hx_sim *s, uint32_t i); /* NULL: not alive */

/* What an operator may ask for while it is open: a member of some group gives its place to another server, mostly of
 * its zone, whatever state both are in; or that is taken back.  All chance from R. */
void hx_sim_client_move(struct hx_sim *s, uint32_t i, struct hx_rng *r);
/* Takes back whatever goes to a server that is gone for good: nobody else would. */
void hx_sim_client_unmove(struct hx_sim *s, uint32_t i);

/* Completion of a request (net.c): err 0 and a whole answer, or an error. */
void hx_sim_client_answer(struct hx_sim *s, uint32_t i, uint64_t call, int err, struct hx_bytes body);

/* The end game; for a client that is open. */
void hx_sim_client_drain(struct hx_sim *s, uint32_t i);   /* programs end, each with an fsync (hx_work_drain) */
void hx_sim_client_compare(struct hx_sim *s, uint32_t i); /* the whole tree against the model (hx_work_compare) */
bool hx_sim_client_idle(const struct hx_sim *s, uint32_t i); /* nothing of these is under way */
void hx_sim_client_close(struct hx_sim *s, uint32_t i);   /* unmounts; not alive when it is done */

#endif
