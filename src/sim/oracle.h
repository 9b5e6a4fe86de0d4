/*
 * oracle.h - what is true: the official log, every version of every page, what was promised to whom; and the
 * invariants of doc/PROTOCOL.md that are about records, epochs, segments and pages (I1 to I6, I9 to I12, I14,
 * I15).
 *
 * It learns from outside only: the bytes of messages as they are sent, what a session says of itself, what
 * programs were told, and what a segment holds (hx_node_look).  It shares no code with what it judges but the
 * decoders of frame bodies, histories, geometries and inventories: who may do what is written again from the
 * protocol.  Each breach is reported by hx_sim_broken with the name of its invariant.  Cost: a call is O(what
 * it is about), never O(history), but hx_oracle_opened (what changed since the last opening) and
 * hx_oracle_end.
 *
 * What is judged:
 *   the log       a record is what an APPEND of the writer of its epoch first said; (epoch, LSN) never has
 * another content, wherever it is seen (I2); LSNs and links are what the epoch's entry allows (I3, I5)
 *   durability    the oracle counts acknowledgements itself, as servers give them out: an SCL for each
 * member.  What four hold is committed.  A session's VCL and VDL, and what programs are told, stay at or
 * below that (I1, I5), and every later opening keeps it (I1); nothing is committed in an epoch above the cut
 * of a later one (I2) openings      one history for each attempt, end by the formula, the last bound history
 * is kept, the cut is a CPL, written back to four of each PG before anybody is told to keep it (I1, I3, I5)
 *   segments      promise, history and SCL only rise, over restarts never below what was answered (I5); no
 * void record in an SCL, an inventory or a FETCH (I4); nothing acknowledged missing from an inventory (I11)
 *   pages         what a READ answers, what a cache is filled with, and what is there at the end is the fold
 * of the official records (I4, I6)
 *
 * What a lie excuses.  A server whose disk lied or forgot (hx_oracle_restarted with false) starts anew: its
 * promise, history and SCL may be lower than what it answered before (I5), a PG may be missing, inventories
 * may lack what it acknowledged (I11).  Of others only what needs more liars than the protocol bears, which
 * is one in a PG: an acknowledged record may be gone when four members that can be heard have not got it,
 * some because they lied (I1); an acknowledgement after a cut, and a history that does not continue the bound
 * one, where two members of that PG have lied (I2, I3).  hx_oracle_excused counts these.  Everything else is
 * judged as ever: its pages, its records, the sessions.  A server that was wiped is another one: nobody hears
 * of what it was.
 */
#ifndef HX_SIM_ORACLE_H
#define HX_SIM_ORACLE_H

#include "hexad/history.h"
#include "sim.h"

struct hx_oracle *hx_oracle_new(struct hx_sim *s);
void hx_oracle_free(struct hx_oracle *o);

/* ---- clients ---- */
/* CLIENT hands a whole message to the network (before any fault). */
void hx_oracle_sent(struct hx_oracle *o, uint32_t client, const uint8_t *msg, size_t len);
/* A session has opened: its history and geometry.  Before its first APPEND is sent. */
void hx_oracle_opened(struct hx_oracle *o, uint32_t client, const struct hx_history *h,
                      const struct hx_geometry *g);
/* CLIENT gets an answer that is meant for it, and is not dead or frozen: before its session does. */
void hx_oracle_heard(struct hx_oracle *o, uint32_t client, const uint8_t *answer, size_t len);
/* The session's VDL, VCL and last allocated LSN after an event (I5). */
void hx_oracle_writer(struct hx_oracle *o, uint32_t client, struct hx_epoch epoch, struct hx_lsn vdl,
                      struct hx_lsn vcl, struct hx_lsn last);
/* A program was told that everything through LSN of EPOCH is durable. */
void hx_oracle_durable(struct hx_oracle *o, uint32_t client, struct hx_epoch epoch, struct hx_lsn lsn);
/* A session's page cache was filled with this content (NULL: zeros), as of read point R of EPOCH (I6, I10,
 * I11). */
void hx_oracle_filled(struct hx_oracle *o, uint32_t client, struct hx_epoch epoch, struct hx_lsn r,
                      uint64_t page, const uint8_t *data);

/* ---- servers ---- */
/* SERVER runs as NODE, from hx_node_new to the next hx_oracle_restarted: what it holds is looked at.  In a
 * world with servers hx_oracle_server finds it by itself. */
void hx_oracle_attach(struct hx_oracle *o, uint32_t server, struct hx_node *node);
/* SERVER hands an answer to REQUEST (a whole message) to the network.  True: the request was carried out, all
 * of it. */
bool hx_oracle_answered(struct hx_oracle *o, uint32_t server, const uint8_t *request, size_t request_len,
                        const uint8_t *answer, size_t answer_len);
/* After an event in a running server: looks at the segments that changed (I3, I4, I5, I9, I10). */
void hx_oracle_server(struct hx_oracle *o, uint32_t server);
/* It lost power (its volatile state is gone), came back, or its disk was wiped, rolled back or lied. */
void hx_oracle_restarted(struct hx_oracle *o, uint32_t server, bool kept_promises);
/* A flush of PG's files on SERVER failed, or a write did (not for want of space): until it has been started
 * again, or has opened its disk again, it acknowledges nothing in this PG (I12). */
void hx_oracle_disk_failed(struct hx_oracle *o, uint32_t server, uint32_t pg);
/* The disk of SERVER, just opened, failed twice to read the same place: what it held may be lost to the segment as if
 * it had rotted, which is then as one whose disk has lied; but it must say so (I11). */
void hx_oracle_unread(struct hx_oracle *o, uint32_t server);
/* It has closed and opened the disk of PG, by itself: that is like a restart of this one segment. */
void hx_oracle_reopened(struct hx_oracle *o, uint32_t server, uint32_t pg, bool kept_promises);
/* Around the processing (request and flush) of a request that SERVER has processed before, at SINCE, with nothing else
 * in the same batch: AFTER false, then true.  Nothing may have changed (I14), but in segments made since then. */
void hx_oracle_again(struct hx_oracle *o, uint32_t server, uint64_t since_us, bool after);

/* ---- the end ---- */
/* Nothing that a live member of a PG lacks is missing any more: all are complete through the last record of
 * their PG in the official log, under the newest history, without damage.  Cheap: asked after every event. */
bool hx_oracle_settled(struct hx_oracle *o, uint64_t skip);
/* Who is not settled, in words. */
void hx_oracle_unsettled(const struct hx_oracle *o, char *text, size_t cap);
/* No row names a server that is gone for good and whose zone has another one. */
bool hx_oracle_mended(const struct hx_oracle *o);
/* Three members of a group or more are lost for good, or wait to be built anew, or four have no segment, which two
 * forgot: nothing can be written (promise 3). */
bool hx_oracle_hopeless(const struct hx_oracle *o);
/* CLIENT's newest opening was told by four members of a group that they have no such segment, and two of them or
 * more had made it and forgot: what growth left unmade and what was forgotten cannot be told from four losses
 * (PROTOCOL.md step 2: one of a group may forget).  It may give up, and nothing is lost by that. */
bool hx_oracle_forgotten(const struct hx_oracle *o, uint32_t client);
/* Who is not settled stays so: breaks I10 when it lacks what nobody has kept for it. */
void hx_oracle_lacking(struct hx_oracle *o);
/* Reads every page of every live member, once they are settled, so that what rots unread is met.  What is
 * CORRUPT is told as that, which is no breach: peers mend it.  Anything else that is read is judged.  True: some was
 * found. */
bool hx_oracle_scrub(struct hx_oracle *o, uint64_t skip);
/* All healed and caught up, scrubbed and mended: all live members of each PG hold the same bytes, which are
 * the fold of the official log (I4, I6, I15).  SKIP: a bit per server that is out for good. */
void hx_oracle_end(struct hx_oracle *o, uint64_t skip);
/* How often a lie excused a breach; not 0: acknowledged data may be gone, and others must not insist on it.
 */
uint64_t hx_oracle_excused(const struct hx_oracle *o);
/* The highest LSN that four members of every PG were known to hold, and that is in the newest history. */
struct hx_lsn hx_oracle_committed(const struct hx_oracle *o);

#endif
