/*
 * room.h - room on the segment servers' disks: whether new data may still be taken, how much, and when to ask again.
 *
 * What a mount has taken it must be able to make durable, and what frees space must write first.  So new data is
 * refused while there is room left, on each disk a reserve (hx_room_reserve); of that
 *   the upper half is for what changes without growing: databases roll back in place, files are cut and renamed;
 *   the lower half is for what frees space, and for what the servers write themselves when they tidy up.
 * Fed with what servers say of their disks (HELLO), how many bytes of records have been written, and how many members
 * of a group refuse records for want of room.  Does no I/O and knows no clock: hexad/vol.h asks and tells.
 *
 * Invariants:
 *   R1 a server is short of room only by its own word: what it said last, less what has been written since then.  One
 *      that has never answered, or is silent, is not: writes wait for it (a dead server is no full one).
 *   R2 new data is refused while a group has fewer than a write quorum of members that are not short of room.
 *   R3 before new data is taken, what is in flight counts as not yet on the disks.  Where six servers share a disk it
 *      takes six times the room: the smallest reserve covers a window of that.
 *
 * A crash leaves nothing.  Memory: one small block per server.
 */
#ifndef HEXAD_ROOM_H
#define HEXAD_ROOM_H

#include "hexad/geometry.h"

#define HX_ROOM_RESERVE_MIN (UINT64_C(128) << 20) /* but no more than a quarter of the disk */
#define HX_ROOM_RESERVE_MAX (UINT64_C(512) << 20)
#define HX_ROOM_FULL_MS 10000u /* a full server is asked again and again, and looks like any other meanwhile */

/* What may be written: everything; names, and bytes that need no new page; only what frees, and attributes. */
enum hx_room_level { HX_ROOM_PLENTY = 0, HX_ROOM_SCARCE, HX_ROOM_NONE };

struct hx_room_server {
    struct hx_uuid incarnation; /* whose disk this is about */
    bool known;
    uint64_t total, free_bytes; /* as it said last */
    uint64_t settled;           /* bytes of records that were on its disk then */
};
struct hx_room {
    struct hx_room_server *server; /* as in the geometry */
    uint32_t count;
    uint64_t window;            /* bytes of records that may be in flight */
    uint64_t written, settled;  /* bytes of records; of them, durable at the least */
    uint64_t asked_ms, asked_written;
    bool asked, wanted;         /* wanted: somebody looks at hx_room_left */
    uint64_t full_ms;           /* when members' refusals were last what is missing */
    bool full;
    struct hx_epoch epoch;      /* with .g and .m: the geometry of which .least_spare is known */
    uint32_t g, m;
    unsigned least_spare;       /* members that the group with the fewest can do without */
};

void hx_room_init(struct hx_room *r, uint64_t window_bytes);
void hx_room_fini(struct hx_room *r);

/* ---- events ---- */
/* The servers are those of G now.  HX_E_NOMEM: nothing has changed. */
int hx_room_servers(struct hx_room *r, const struct hx_geometry *g);
/* So many bytes of records have been written in all; ALL_DURABLE: and every one is durable. */
void hx_room_written(struct hx_room *r, uint64_t bytes, bool all_durable);
/* Server I answered what was asked with TICKET (hx_room_ask). */
void hx_room_heard(struct hx_room *r, uint32_t i, uint64_t ticket, uint64_t total, uint64_t free_bytes);
/* MOST: of one group, the members that refuse records for want of room, in the group that has most of them. */
void hx_room_refused(struct hx_room *r, uint64_t now_ms, unsigned most);
/* Somebody wants to know how much is left. */
void hx_room_want(struct hx_room *r);

/* ---- decisions ---- */
/* Is it time to ask the servers?  Then *ret_ticket is for hx_room_heard, and all are taken to be asked. */
bool hx_room_ask(struct hx_room *r, uint64_t now_ms, const struct hx_geometry *g, uint64_t *ret_ticket);
uint64_t hx_room_wait(const struct hx_room *r, uint64_t now_ms, const struct hx_geometry *g); /* ms until then */
enum hx_room_level hx_room_level(const struct hx_room *r, uint64_t now_ms, const struct hx_geometry *g);
/* Records that were taken cannot be made durable for want of room alone, seen a moment ago. */
bool hx_room_full(const struct hx_room *r, uint64_t now_ms);
/* Bytes that may still be taken; false: not known yet.  Servers that share a disk are counted as if each had its own:
 * they cannot be told apart from here. */
bool hx_room_left(const struct hx_room *r, uint64_t now_ms, const struct hx_geometry *g, uint64_t *ret);
uint64_t hx_room_reserve(uint64_t disk_total);

#endif
