/*
 * writer.h - the one writer of an open epoch: LSNs, frames, acknowledgements, VCL and VDL.
 *
 * Invariants (doc/PROTOCOL.md I2, I5):
 *   W1 allocated <= max(VDL, end of this epoch) + lal; at most window_bytes of frames are unreleased.
 *   W2 an acknowledgement is (member, SCL) under this epoch; PGCL = 4th largest; VCL = highest LSN below
 *      which every PG is complete; VDL = highest CPL <= VCL; all three only rise.
 *   W3 after FENCED nothing is sent or acknowledged any more, for ever.
 *   W4 a frame, once sealed, never changes; the same bytes go to all six members.
 *   W5 memory is bounded whatever a member does: frames leave the ring once they are at or below the VDL
 *      and every member has them or is dropped behind (it catches up by gossip).
 *
 * Natural batching: at most one request of small frames is under way per server; what gathers meanwhile goes
 * in the next; a lone commit is sent at once.  With enough bytes waiting (HX_WRITER_BULK_BYTES) up to
 * HX_WRITER_CALLS_MAX requests are under way per server.
 *
 * Pure; allocates in new and add_pg only.
 */
#ifndef HEXAD_WRITER_H
#define HEXAD_WRITER_H

#include "hexad/quorum.h"
#include "hexad/effect.h"
#include "hexad/geometry.h"
#include "hexad/history.h"
#include "hexad/types.h"

#define HX_WRITER_BULK_BYTES (512u << 10)
#define HX_WRITER_CALLS_MAX 3u
#define HX_WRITER_WINDOW_DEFAULT (24u << 20) /* bytes of sealed frames */
#define HX_WRITER_AGE_MS 20u         /* an unsealed frame that nobody waits for is sent after this */
#define HX_WRITER_ANNOUNCE_MS 1000u  /* heartbeat with VDL and floor when idle */
#define HX_WRITER_SEATS (2 * HX_COPIES) /* of a PG: slot HX_COPIES + i is the learner that is to take slot i */

struct hx_writer;

/* What recovery found out about a PG (hexad/recovery.h). */
struct hx_writer_pg {
    struct hx_lsn last;             /* its last surviving record: backlink of the next one; 0 for none */
    struct hx_lsn scl[HX_COPIES];   /* as answered under this epoch; 0 where it did not answer */
};
struct hx_writer_cfg {
    const struct hx_geometry *geometry; /* copied */
    const struct hx_history *history;   /* copied; top entry is this epoch's: vdl, end, lal */
    struct hx_uuid owner;
    const struct hx_writer_pg *pgs;     /* geometry->pg_count of them */
    size_t window_bytes;                /* 0: default; at least 4 frames */
    uint64_t now_ms;
};
int hx_writer_new(const struct hx_writer_cfg *cfg, struct hx_writer **ret);
void hx_writer_free(struct hx_writer *w);

/* One record of a mini-transaction to be; the payload is copied into the frame. */
struct hx_writer_rec {
    struct hx_pageno page;
    uint8_t kind;
    uint16_t len;
    const uint8_t *payload;
};
/*
 * Appends a mini-transaction: consecutive LSNs, the last one is the CPL.  All or nothing.
 * *ret_first: LSN of recs[0]; *ret_cpl: of the last.  HX_E_ROOM (W1), HX_E_FENCED, HX_E_INVAL (no such page),
 * HX_E_TOOBIG (more than an empty window takes: it would wait for ever).
 */
int hx_writer_append(struct hx_writer *w, uint64_t now_ms, const struct hx_writer_rec *recs, size_t count,
                     struct hx_lsn *ret_first, struct hx_lsn *ret_cpl);
/* Somebody waits for LSN to be durable: what is open is sealed and sent as soon as batching allows. */
void hx_writer_want(struct hx_writer *w, uint64_t now_ms, struct hx_lsn lsn);
struct hx_lsn hx_writer_vdl(const struct hx_writer *w);
struct hx_lsn hx_writer_vcl(const struct hx_writer *w);
struct hx_lsn hx_writer_last(const struct hx_writer *w); /* last LSN allocated; VDL when none yet */
/* 0, or HX_E_FENCED for ever. */
int hx_writer_state(const struct hx_writer *w);
struct hx_epoch hx_writer_epoch(const struct hx_writer *w);
/* Pages that exist: PGs x pages per PG. */
uint64_t hx_writer_pages(const struct hx_writer *w);
const struct hx_geometry *hx_writer_geometry(const struct hx_writer *w);
const struct hx_history *hx_writer_history(const struct hx_writer *w);

/* Read floor to announce: lowest read point still in use; the reader sets it, monotone. */
void hx_writer_set_floor(struct hx_writer *w, struct hx_lsn floor);
/* JSON text about this writer that goes along with heartbeats (at most HX_WRITER_INFO_MAX - 1 bytes). */
void hx_writer_set_info(struct hx_writer *w, const char *text);
/* Wall-clock microseconds for frames sealed from now on. */
void hx_writer_set_time(struct hx_writer *w, uint64_t time_us);
/* A PG that growth has published (geometry g + 1), with the members that made it; the others are told to as soon as
 * they answer.  HX_E_NOMEM. */
int hx_writer_add_pg(struct hx_writer *w, const struct hx_geometry *grown, hx_members made);
/* Say goodbye with the next announcement; call when VDL == last. hx_writer_idle: nothing is under way. */
void hx_writer_goodbye(struct hx_writer *w, uint64_t now_ms);
bool hx_writer_idle(const struct hx_writer *w);
/* Moves when the ring got room after an append was refused with HX_E_ROOM; with the VDL it says when to try
 * again (members that were dropped behind give room without any move of the VDL). */
uint64_t hx_writer_room_serial(const struct hx_writer *w);

/* Events.  BODY: a whole answer (reply head + body), borrowed until return. */
void hx_writer_answer(struct hx_writer *w, uint64_t now_ms, uint64_t call, struct hx_bytes body);
void hx_writer_failed(struct hx_writer *w, uint64_t now_ms, uint64_t call, int err);
/* Another part met FENCED. */
void hx_writer_fence(struct hx_writer *w);
/* Timers: seals aged frames, heartbeats, tries silent servers again.  Returns ms until the next call. */
uint64_t hx_writer_tick(struct hx_writer *w, uint64_t now_ms);
int hx_writer_next(struct hx_writer *w, struct hx_effect *ret);

/*
 * Changes of members (doc/MEMBERSHIP.md).  Whoever drives them (src/core/move.c) makes segments, says who is filled and
 * publishes versions; here is what they mean for the log and for what counts.
 *
 * SERVER (index in the geometry; in no other seat of the PG) has been made a learner of PG under our epoch, to take
 * SLOT: it is sent the log as members are, and counts nowhere (M9).  HX_E_AGAIN: the one that had that seat before
 * still has requests under way.
 */
int hx_writer_learner_add(struct hx_writer *w, uint32_t pg, unsigned slot, uint32_t server);
/* Not while the version in the air names it. */
void hx_writer_learner_drop(struct hx_writer *w, uint32_t pg, unsigned slot);
/* It says that it has all pages (H4): from now on its SCL means something; it is asked for it. */
void hx_writer_learner_filled(struct hx_writer *w, uint32_t pg, unsigned slot);
/* It is filled, and complete through the PGCL. */
bool hx_writer_learner_ready(const struct hx_writer *w, uint32_t pg, unsigned slot);
/* While somebody is being filled the read floor stays where it is: at or below every point as of which pages are
 * being copied (H6). */
void hx_writer_hold_floor(struct hx_writer *w, bool hold);
/*
 * Before GEOMETRY with NEXT (copied) is first sent: from now on the groups whose rows differ count by both (M2).
 * HX_E_BUSY: another version is in the air (M3).  HX_E_LAGGING: what is acknowledged is not on a write quorum of NEXT
 * yet (M1).  HX_E_INVAL: a row names somebody who is not its learner, or PG 0 changes more than one member (M4).
 * HX_E_NOMEM.
 */
int hx_writer_turn(struct hx_writer *w, const struct hx_geometry *next);
/* Nothing of the group is under way, no learner, and no record above the VDL: NEXT may release it (S1).  With other
 * groups than the last ones released, or a walk_from that is not between their records and the VDL, turn refuses. */
bool hx_writer_pg_idle(const struct hx_writer *w, uint32_t pg);
/* It is stored by a write quorum of PG 0's members of both versions: it is in use, and counts alone. */
void hx_writer_turned(struct hx_writer *w);

/* A server that has said, since this was last asked, that wishes wait there (hexad/wish.h); -1: nobody has. */
long hx_writer_wishes(struct hx_writer *w);

/* What is known of a member, for reads and for status; a learner has slot HX_COPIES + i. */
enum hx_member_state { HX_MEMBER_UNKNOWN = 0, HX_MEMBER_OK, HX_MEMBER_BEHIND, HX_MEMBER_DOWN, HX_MEMBER_REFUSED };
struct hx_member_view {
    enum hx_member_state state;
    struct hx_lsn scl;
    int last_error;         /* of the last failure, 0 for none */
    uint64_t silent_ms;     /* since the last good answer */
    uint32_t rtt_us;        /* smoothed round trip of appends */
};
/* Has the one whom the member in this slot replaced given back all that it had borrowed?  Before that the place cannot
 * be given up: two of yore would have one seat. */
bool hx_writer_seat_free(struct hx_writer *w, uint32_t pg, unsigned slot);
/* Have the members in SLOTS all that was acknowledged of the group? */
bool hx_writer_complete(const struct hx_writer *w, uint32_t pg, hx_members slots);
void hx_writer_member(const struct hx_writer *w, uint32_t pg, unsigned slot, uint64_t now_ms,
                      struct hx_member_view *ret);
struct hx_lsn hx_writer_pgcl(const struct hx_writer *w, uint32_t pg);

struct hx_writer_stats {
    uint64_t mtrs, records, record_bytes, frame_bytes; /* record_bytes: heads + payloads before compression */
    uint64_t wire_bytes;  /* of APPEND bodies handed to all servers, resends too */
    uint64_t calls, frames, dropped_behind, room_waits;
};
void hx_writer_stats(const struct hx_writer *w, struct hx_writer_stats *ret);

#endif
