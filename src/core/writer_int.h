/*
 * writer_int.h - inside of the writer (hexad/writer.h), shared by its files and asked by cache and reader.
 *
 *   writer.c       life cycle, append, want, geometry, what others may ask
 *   writer_log.c   open frames, the ring of sealed ones, release and back-pressure (W1, W4, W5)
 *   writer_send.c  which request goes to which server when; effects and timers
 *   writer_ack.c   answers and failures: SCL, PGCL, VCL, VDL (W2, W3)
 *   writer_move.c  learners, and groups that count by two versions (doc/MEMBERSHIP.md, M1, M2, M9)
 *
 * Definitions.  A *seat* is one server's place in a PG as the writer sees it: seat 0 .. 5 are the members of the
 * version in use, seat 6 + i is the learner that is to take slot i, or (gone) the member that it has replaced,
 * until its last requests are over.  Sealed frames have
 * dense sequence numbers; each server has a *cursor*, the next frame to look at, and a *dropped* mark: frames
 * below are not sent to it any more.  *Settled*: the frames before the first one whose last LSN is above the
 * VDL.  A server is *well* while its last answer was good; one that is not gets small probes only.
 *
 * Seat: READY  <- frames may be sent
 *       ASK    -> ADOPT when the first frame comes up (writer_send.c, seat_gate)
 *       ADOPT  -> ADOPTING (request sent) -> READY | PAUSED        (writer_ack.c)
 *       FORMAT -> FORMATTING              -> READY | PAUSED
 *       PAUSED -> READY after the server's pause                    (writer_send.c, hx_writer_send_timers)
 * READY -> ADOPT | FORMAT | PAUSED by what an answer says of the PG.
 */
#ifndef HX_CORE_WRITER_INT_H
#define HX_CORE_WRITER_INT_H

#include "hexad/frame.h"
#include "hexad/msg.h"
#include "hexad/writer.h"

#define HX_WRITER_BUILDERS 4u
#define HX_WRITER_CTL_MAX 4u            /* ADOPT and FORMAT requests under way per server */
#define HX_WRITER_CALLS (HX_WRITER_CALLS_MAX + 1 + HX_WRITER_CTL_MAX)
#define HX_WRITER_ANNOUNCE_CALL HX_WRITER_CALLS_MAX
#define HX_WRITER_CALL_BYTES (1u << 20) /* frames in one request */
#define HX_WRITER_IOV_MAX 34u           /* head, append head, runs of frames */
#define HX_WRITER_BODY 64u
#define HX_WRITER_TIMEOUT_MS 10000u
#define HX_WRITER_PAUSE_MIN_MS 50u
#define HX_WRITER_PAUSE_MAX_MS 1000u
#define HX_WRITER_REFUSED_MS 5000u      /* between attempts at a server that refuses us */
#define HX_WRITER_SEAT_MS 1000u         /* between attempts at a PG that a server cannot take */
#define HX_WRITER_SILENT_DOWN_MS 2000u
#define HX_WRITER_SETTLE_MS 50u         /* after the VDL stood still: tell it to those who have not heard it */
#define HX_WRITER_PROBE_SCAN 256u       /* seats looked at per announcement for one with an old SCL */
#define HX_WRITER_NONE UINT32_MAX

enum hx_seat_state {
    HX_SEAT_READY = 0, HX_SEAT_ASK, HX_SEAT_ADOPT, HX_SEAT_ADOPTING, HX_SEAT_FORMAT, HX_SEAT_FORMATTING,
    HX_SEAT_PAUSED
};
struct hx_seat {
    uint64_t scl_serial; /* newest request given out when its SCL was learnt */
    uint32_t server;     /* index into the writer's servers; HX_WRITER_NONE: nobody has it */
    uint32_t next;       /* next PG in that server's list of seats that are not READY or ASK */
    int error;           /* why it is or was not READY, 0 for none */
    uint8_t state;
    bool listed;
    bool told; /* it has answered for this PG under our epoch: it has the segment and the history */
    bool full; /* it said with its last announcement that there is no room for this PG */
    bool filled; /* a learner that has all pages: its SCL says something (H4) */
    bool gone;   /* was replaced, or given up: is sent nothing more */
};
struct hx_writer_pgs {
    struct hx_lsn last; /* last record, allocated: the next one's backlink */
    struct hx_lsn pgcl;
    struct hx_lsn scl[HX_WRITER_SEATS];
    struct hx_seat seat[HX_WRITER_SEATS];
    int open; /* index of its open frame, -1 for none */
    bool closed;   /* the version in the air releases it: it is idle, and stays so */
    uint8_t seats; /* HX_COPIES, or HX_WRITER_SEATS once it had a learner */
    uint8_t members, quorum; /* of the row: 6 and 4, degraded 4 and 3 */
    uint8_t next_members, next_quorum; /* as the version in the air has it, while .turning */
    hx_members turning; /* slots for which the version in the air names the learner, or nobody: counted by both (M2) */
};

struct hx_writer_frame {
    size_t off;
    uint32_t pg, len;
    struct hx_lsn first, last;
    uint8_t call[HX_WRITER_SEATS]; /* 0, or 1 + number of the server's call that borrows it */
};
struct hx_writer_open {
    struct hx_frame_builder *b;
    uint64_t since_ms;
    uint32_t pg;
    bool used;
};

enum hx_writer_call_kind { HX_WCALL_APPEND = 1, HX_WCALL_ANNOUNCE, HX_WCALL_ADOPT, HX_WCALL_FORMAT };
struct hx_writer_call {
    uint64_t id;     /* 0: free */
    uint64_t serial; /* order in which requests were given out */
    uint64_t sent_ms;
    uint64_t first_seq, end_seq; /* APPEND: its frames are among these */
    uint32_t pg;                 /* ADOPT, FORMAT */
    uint32_t m;                  /* version that it named */
    uint8_t kind, slot;
    bool small, goodbye;
    bool cancel;   /* to be cancelled */
    bool canceled; /* CANCEL was given out; over with the next hx_writer_next */
    int iovcnt;
    struct iovec iov[HX_WRITER_IOV_MAX];
    uint8_t head[HX_MSG_HEAD];
    uint8_t body[HX_WRITER_BODY];
};
struct hx_writer_server {
    struct hx_server id; /* own copy: effects lend it */
    uint32_t index;
    uint64_t cursor, dropped;
    unsigned fails; /* in a row */
    int error;      /* of the last failure; 0 while well */
    uint64_t retry_ms, good_ms, announce_ms, seats_retry_ms;
    bool heard, goodbye_done, full; /* full: so is a seat */
    uint32_t rtt_us;
    struct hx_lsn told; /* VDL in the last request to it that was answered or is under way */
    uint32_t home;           /* a PG of which it is a member; HX_WRITER_NONE: of none, so it hears nothing */
    uint32_t list, probe_pg; /* seats that are not READY; where the search for old SCLs goes on */
    uint32_t serial;         /* of call ids */
    struct hx_writer_call call[HX_WRITER_CALLS];
    uint8_t announce[HX_WRITER_BODY + HX_WRITER_INFO_MAX];
};
/* Encoded geometry for FORMAT; an old one lives until no FORMAT is under way. */
struct hx_writer_blob {
    struct hx_writer_blob *older;
    size_t len;
    uint8_t p[];
};

struct hx_writer {
    struct hx_geometry geometry;
    struct hx_history history;
    struct hx_uuid owner;
    struct hx_epoch epoch;
    struct hx_lsn begin_end; /* end of this epoch's entry: the first LSN is the next */
    uint64_t now_ms, time_us;
    bool fenced, goodbye;

    struct hx_lsn last, walked, vcl, vdl, floor, want;
    uint64_t vdl_ms; /* when the VDL moved */
    uint32_t *map;   /* LSN % map_size -> PG, with MAP_CPL: for what is above the VCL */
    uint64_t map_size;

    struct hx_writer_pgs *pg;
    uint32_t pg_count, pg_cap;
    struct hx_writer_server **server; /* by index in the geometry */
    uint32_t server_count;

    struct hx_writer_open open[HX_WRITER_BUILDERS];
    uint8_t *ring; /* window bytes in which frames start, and HX_FRAME_MAX into which the last may reach */
    size_t window, used, tail_off;
    size_t settled, room_need; /* bytes of settled frames; what an append was refused for, 0 for nothing */
    uint64_t room_serial;
    struct hx_writer_frame *frame; /* sequence number % frame_size */
    uint64_t frame_size, head_seq, tail_seq, settled_seq;

    uint64_t serial;
    uint32_t turn;      /* server to look at first */
    unsigned canceling; /* calls that wait for their CANCEL to be carried out */
    bool busy;          /* something happened since hx_writer_next found nothing to do */
    uint8_t *history_bytes;
    size_t history_len;
    struct hx_writer_blob *blob;
    struct hx_geometry *next; /* owned: the version in the air; NULL: none is (M3) */
    uint32_t wishes_at;       /* a server that said that wishes wait: index + 1; 0: nobody did */
    bool floor_held;          /* somebody is being filled: the floor stays (H6) */
    char info[HX_WRITER_INFO_MAX];
    struct hx_writer_stats stats;
};
#define HX_WRITER_MAP_CPL 0x80000000u

/* ---- for cache and reader ---- */
uint64_t hx_writer_now(const struct hx_writer *w);
/* A PG without any record at or below the VDL (such a record is at or below the PGCL): a page that is in no cache
 * is zeros, nobody need be asked. */
bool hx_writer_pg_blank(const struct hx_writer *w, uint32_t pg);
/* Stable until hx_writer_free. */
const struct hx_server *hx_writer_server_of(const struct hx_writer *w, uint32_t pg, unsigned slot);
struct hx_lsn hx_writer_scl(const struct hx_writer *w, uint32_t pg, unsigned slot);
const struct hx_uuid *hx_writer_owner(const struct hx_writer *w);
/* For how long the server (index in the geometry) has not answered; 0: it does, or is not asked anything. */
uint64_t hx_writer_silent_ms(const struct hx_writer *w, uint32_t server);
/* A read found that a member lacks the history (HX_E_NEED_HISTORY) or the segment (HX_E_NO_SEGMENT). */
void hx_writer_member_lacks(struct hx_writer *w, uint32_t pg, unsigned slot, int err);

/* The PG is about to be read: members that may lack this epoch's history are sent it (step 8).  True while nobody
 * is known to have it and some are being told: ask again in a moment. */
bool hx_writer_wake_pg(struct hx_writer *w, uint32_t pg);
/* Nothing is known that would keep this member from answering for the PG. */
bool hx_writer_seat_ready(const struct hx_writer *w, uint32_t pg, unsigned slot);

/* ---- among the writer's files ---- */
void hx_writer_clock(struct hx_writer *w, uint64_t now_ms);
static inline struct hx_writer_frame *hx_writer_frame_at(struct hx_writer *w, uint64_t seq)
{
    return &w->frame[seq & (w->frame_size - 1)];
}
/* Seat of the server in that PG, or -1. */
int hx_writer_slot(const struct hx_writer *w, uint32_t pg, uint32_t server);
void hx_writer_seat_move(struct hx_writer *w, uint32_t pg, unsigned slot, enum hx_seat_state to, int err);

/* writer.c */
int hx_writer_make_blob(struct hx_writer *w, const struct hx_geometry *g);
int hx_writer_make_servers(struct hx_writer *w, const struct hx_geometry *g);
/* Drops blobs that no FORMAT borrows. */
void hx_writer_old_blobs(struct hx_writer *w);

/* writer_move.c */
/* The highest LSN that the PG is complete through by the version in use, and by the one in the air (M2). */
struct hx_lsn hx_writer_counted(const struct hx_writer_pgs *p);
/* m of the newest version that anybody may have heard of from us. */
uint32_t hx_writer_m(const struct hx_writer *w);
/* What everybody who is named has, in whatever version. */
struct hx_lsn hx_writer_had_by_all(const struct hx_writer_pgs *p);

/* writer_log.c */
int hx_writer_log_room(struct hx_writer *w, const struct hx_writer_rec *recs, size_t count);
void hx_writer_log_put(struct hx_writer *w, const struct hx_writer_rec *rec, struct hx_lsn lsn, bool cpl);
void hx_writer_log_seal(struct hx_writer *w, struct hx_writer_open *o);
/* The VDL rose, or a member got further: releases what may go. */
void hx_writer_log_release(struct hx_writer *w);

/* writer_send.c */
bool hx_writer_send_well(const struct hx_writer *w, const struct hx_writer_server *s);
/* The call is over: its frames are free again. */
void hx_writer_send_end(struct hx_writer *w, struct hx_writer_server *s, struct hx_writer_call *c);
/* Its frames are to be sent again. */
void hx_writer_send_rewind(struct hx_writer *w, struct hx_writer_server *s, uint64_t seq);
void hx_writer_send_timers(struct hx_writer *w);

/* writer_ack.c */
void hx_writer_ack_advance(struct hx_writer *w);
void hx_writer_ack_failed(struct hx_writer *w, struct hx_writer_server *s, struct hx_writer_call *c, int err);

#endif
