/*
 * oracle.h - what is true: the official log, every version of every page, what was promised to whom; and the
 * invariants
 * of reliability.md section 2 that are about records, epochs, segments and pages (doc/PROTOCOL.md numbers them).
 *
 * It learns from outside only: the bytes of messages as they are sent, what a session says of itself, what
 * programs were
 * told, and what a segment holds (hx_node_look).  It shares no code with what it judges beyond the decoders of
 * frames and
 * messages and hx_valid-style rules written again from protocol.md.  Each breach is reported by hx_sim_broken
 * with the name
 * of its invariant.  Cost: a call is O(what it is about), never O(history), but hx_oracle_end.
 */
#ifndef HX_SIM_ORACLE_H
#define HX_SIM_ORACLE_H

#include "hexad/history.h"
#include "sim.h"

struct hx_oracle *hx_oracle_new(struct hx_sim *s);
void hx_oracle_free(struct hx_oracle *o);

/* ---- clients ---- */
/* CLIENT hands a whole message to the network (before any fault).  APPEND: its frames enter the log of what
 * was written; the
 * same (epoch, LSN) with other content is I2; an LSN at or below the end of its epoch's beginning, or beyond
 * what may be
 * allocated, is I3/I5. */
void hx_oracle_sent(struct hx_oracle *o, uint32_t client, const uint8_t *msg, size_t len);
/* A session has opened: its history and geometry.  I1: everything that was acknowledged is there; I3, I4, I9. */
void hx_oracle_opened(struct hx_oracle *o, uint32_t client, const struct hx_history *h, const struct hx_geometry *g);
/* The session's VDL, VCL and last allocated LSN after an event (I5). */
void hx_oracle_writer(struct hx_oracle *o, uint32_t client, struct hx_epoch epoch, struct hx_lsn vdl, struct hx_lsn vcl,
                      struct hx_lsn last);
/* A program was told that everything through LSN of EPOCH is durable.  At this moment enough disks must hold
 * it, and a
 * later epoch must not have left it out (I1, I2, F8). */
void hx_oracle_durable(struct hx_oracle *o, uint32_t client, struct hx_epoch epoch, struct hx_lsn lsn);
/* A session's page cache was filled with this content, as of read point R of EPOCH (I6, I11). */
void hx_oracle_filled(struct hx_oracle *o, uint32_t client, struct hx_epoch epoch, struct hx_lsn r, uint64_t page,
                      const uint8_t *data);

/* ---- servers ---- */
/* SERVER hands an answer to REQUEST (a whole message) to the network: acks (I5, I12, I14), pages (I6, I11),
 * inventories. */
void hx_oracle_answered(struct hx_oracle *o, uint32_t server, const uint8_t *request, size_t request_len,
                        const uint8_t *answer, size_t answer_len);
/* After an event in a running server: looks at the segments that changed (I4, I5, I9, I10). */
void hx_oracle_server(struct hx_oracle *o, uint32_t server);
/* It lost power (its volatile state is gone), came back, or its disk was wiped, rolled back or lied. */
void hx_oracle_restarted(struct hx_oracle *o, uint32_t server, bool kept_promises);

/* ---- the end ---- */
/* Nothing that a live member of a PG lacks is missing any more: all are complete through the last record of
 * their PG in
 * the official log.  Cheap: asked after every event. */
bool hx_oracle_settled(struct hx_oracle *o, uint64_t skip);
/* All healed and caught up: all live members of each PG hold the same bytes, which are the fold of the
 * official log (I4, I6,
 * I15).  SKIP: a bit per server that is out for good. */
void hx_oracle_end(struct hx_oracle *o, uint64_t skip);

#endif
