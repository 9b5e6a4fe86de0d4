/*
 * net.h - the simulated network: requests and answers between hosts, and what goes wrong on the way.
 *
 * A host is a client (0 .. client_count, the last one is who creates the volume) or a server.  A request gets exactly
 * one completion, an answer or an error, unless it is canceled or its maker has died: then it may still arrive (N1).
 * What arrives is what was sent, or a prefix of it (net_cut_ppm), once or more often, soon, late, or after
 * minutes, in any
 * order (N2).
 */
#ifndef HX_SIM_NET_H
#define HX_SIM_NET_H

#include "sim.h"

#include <sys/uio.h>

enum hx_sim_host_kind { HX_HOST_CLIENT = 0, HX_HOST_SERVER };
struct hx_sim_host {
    enum hx_sim_host_kind kind;
    uint32_t i;
};
struct hx_sim_packet; /* a request and its answer */

struct hx_sim_net *hx_sim_net_new(struct hx_sim *s);
void hx_sim_net_free(struct hx_sim_net *n);
/* The world ends with this event in its queue: lets go of what it refers to. */
void hx_sim_net_drop(struct hx_sim_event *e);
void hx_sim_net_faults(struct hx_sim_net *n); /* the options' faults begin; none before */
/* Everything arrives, once, soon; what is under way keeps its fate.  Partitions end. */
void hx_sim_net_heal(struct hx_sim_net *n);

/* A client's request (its session's SEND and CANCEL effects); completes through hx_sim_client_answer. */
void hx_sim_net_request(struct hx_sim *s, uint32_t client, uint64_t call, uint32_t server, const struct iovec *iov,
                        int iovcnt, uint32_t timeout_ms);
void hx_sim_net_cancel(struct hx_sim *s, uint32_t client, uint64_t call);
void hx_sim_net_cancel_part(struct hx_sim *s, uint32_t client, unsigned part); /* hexad/effect.h */
/* A server's request to a peer; completes through hx_sim_server_answer. */
void hx_sim_net_peer_request(struct hx_sim *s, uint32_t from, uint64_t call, uint32_t server, struct hx_bytes body,
                             uint32_t timeout_ms);
/* The maker is gone: no completion any more. */
void hx_sim_net_gone(struct hx_sim *s, struct hx_sim_host who);

/* A server's answer leaves at AT_US. P is given back (hx_sim_server_arrived handed it out). */
void hx_sim_net_reply(struct hx_sim *s, uint32_t server, struct hx_sim_packet *p, uint64_t at_us, struct hx_bytes body);
void hx_sim_net_no_reply(struct hx_sim *s, struct hx_sim_packet *p); /* the server died with it */
struct hx_bytes hx_sim_packet_bytes(const struct hx_sim_packet *p);
struct hx_sim_host hx_sim_packet_from(const struct hx_sim_packet *p);
/* Has this life of the server carried it out before?  (One that was refused may well be taken later, when what it
 * lacked has come.)  Served: it just has, in full. */
bool hx_sim_packet_again(const struct hx_sim_packet *p, uint32_t life);
uint64_t hx_sim_packet_served_us(const struct hx_sim_packet *p); /* when */
void hx_sim_packet_served(struct hx_sim_packet *p, uint32_t life, uint64_t now_us);
uint64_t hx_sim_net_conn(struct hx_sim_host from, uint32_t life); /* a connection a host's life and server */
uint64_t hx_sim_packet_conn(const struct hx_sim_packet *p); /* number of the connection that it came by */

/* Nothing passes from A to B until UNTIL_US (one direction). */
void hx_sim_net_block(struct hx_sim_net *n, struct hx_sim_host a, struct hx_sim_host b, uint64_t until_us);
/* How much slower a host's network is: 1 usual. */
void hx_sim_net_slow(struct hx_sim_net *n, struct hx_sim_host a, uint32_t factor);

#endif
