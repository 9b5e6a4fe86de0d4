/*
 * msg.h - the messages between clients, segment servers and their peers: bodies of POST /v1/msg.
 *
 * Every request starts with a head (HX_MSG_HEAD bytes), every answer with HX_REPLY_HEAD bytes, both
 * versioned, length-prefixed and checksummed; little-endian.  The rules of who accepts what are
 * doc/PROTOCOL.md's; the table of bodies is here and, byte by byte, in doc/PROTOCOL.md.
 *
 * Request head:                                  Reply head:
 *    0 u32 magic "HXQ1"                             0 u32 magic "HXP1"
 *    4 u16 version (1)    6 u16 type                4 u16 version (1)    6 u16 type (as asked)
 *    8 u64 request id                               8 u64 request id (as asked)
 *   16 uuid volume (0: none)                       16 u32 status (0 or a code of err.h)  20 u32 flags
 *   32 uuid server: incarnation that is meant      24 uuid server incarnation
 *   48 u64 epoch                                   40 u64 promised epoch   (0 where there is no segment)
 *   56 uuid owner                                  48 uuid promised owner
 *   72 u32 pg   76 u32 g   80 u32 m                64 u32 body length   68 u32 crc of body
 *   84 u32 body length   88 u32 crc of body        72 u32 crc of bytes 0..71
 *   92 u32 crc of bytes 0..91
 *
 * The server's incarnation must match (else STRANGER), but in HELLO, LOOKUP and STATUS, where 0 is allowed.
 * Pure; nothing allocates but decoders of lists, which say so.
 */
#ifndef HEXAD_MSG_H
#define HEXAD_MSG_H

#include "hexad/codec.h"
#include "hexad/frame.h"
#include "hexad/geometry.h"
#include "hexad/history.h"
#include "hexad/types.h"

#define HX_MSG_MAGIC 0x31515848u   /* "HXQ1" */
#define HX_REPLY_MAGIC 0x31505848u /* "HXP1" */
#define HX_MSG_VERSION 1
#define HX_MSG_HEAD 96u
#define HX_REPLY_HEAD 76u
#define HX_MSG_BODY_MAX (8u << 20) /* bytes of any body, both ways */

/*
 * type       role        request body                                answer body
 * HELLO      any         -                                           hx_hello
 * LOOKUP     writer,..   str volume name                             hx_lookup (NO_VOLUME: not here)
 * FORMAT     writer,adm  geometry (or slice), history                -     makes segment head.pg if absent; idempotent
 *                        u8 1: as a learner                          u64 life of the segment
 * FENCE      writer      -                                           hx_inventory
 * FETCH      writer,seg  u64 after, u64 to, u32 bytes_max, u8 raw    frames of records in (after, to]; reply flag MORE.
 *                        raw 1: recovery (epoch, owner promised), all that is held;
 *                        raw 0: peer, head.epoch = own top, valid ones only
 * REPAIR     writer      history H', frames                          u64 complete through (SCL under H'); flag DAMAGED
 * ADOPT      writer      history G                                   u64 top epoch now, u64 SCL
 * GEOMETRY   writer      geometry                                    -     PG 0 only; kept iff not lower than the own
 * APPEND     writer      hx_append_head, frames                      list of hx_ack: one per PG in the frames; without
 *                                                                   frames NOSPACE of each PG without room
 * READ       wr,rd,seg   u64 read point, u32 n, n x u32 page in PG   n x hx_read_page, then n_raw x 4096 bytes
 * GOSSIP     segment     u32 n, n x { u32 pg, u64 top, u64 scl }     the same list as the receiver has them
 *                        head.g = HX_PEER_NAMED: and n x u32 m       and the same behind it
 * HISTORY    segment     -                                           history of head.pg
 * STATUS     any         -                                           u32 n, n x hx_segment_status (volume 0: of all);
 *                        head.g = HX_STATUS_PARTS                    then n x hx_segment_part (older servers: none)
 * SCRUB      writer,adm  -                                           as STATUS; a cycle begins (volume 0: in all)
 * DIGEST     segment     hx_digest_ask                               1 to .heads x hx_read_page: what the pages are
 * MEMBERS    writer      geometry (or slice)                         u64 life of the segment; kept iff not lower
 * DELETE     writer      geometry (or slice), u64 life               -     leaves a tombstone; idempotent
 * WISH       writer,adm  hx_wish, to be kept for a while; or nothing   u32 n, n x hx_wish: those that wait
 */
enum hx_msg_type {
    HX_MSG_HELLO = 1, HX_MSG_LOOKUP, HX_MSG_FORMAT, HX_MSG_FENCE, HX_MSG_FETCH, HX_MSG_REPAIR, HX_MSG_ADOPT,
    HX_MSG_GEOMETRY, HX_MSG_APPEND, HX_MSG_READ, HX_MSG_GOSSIP, HX_MSG_HISTORY, HX_MSG_STATUS,
    HX_MSG_SCRUB, HX_MSG_DIGEST, HX_MSG_MEMBERS, HX_MSG_DELETE, HX_MSG_WISH, HX_MSG_TYPE_END
};
const char *hx_msg_type_name(unsigned type);

struct hx_msg_head {
    uint16_t type;
    uint64_t req_id;
    struct hx_uuid volume, server, owner;
    struct hx_epoch epoch;
    uint32_t pg, g, m;
    uint32_t body_len, body_crc;
};
#define HX_REPLY_MORE 1u    /* flag: FETCH has more */
#define HX_REPLY_DAMAGED 2u /* flag: REPAIR: there may have been more, up to the cut of H', that is damaged */
#define HX_REPLY_WISHES 4u  /* flag: APPEND without frames: wishes wait for the volume's writer (hexad/wish.h) */
struct hx_reply_head {
    uint16_t type;
    uint64_t req_id;
    int status; /* 0 or HX_E_* */
    uint32_t flags;
    struct hx_uuid server, promised_owner;
    struct hx_epoch promised;
    uint32_t body_len, body_crc;
};
/* Encode: computes body_crc and body_len from BODY pieces (which follow the head on the wire). */
void hx_msg_head_encode(struct hx_msg_head *h, const struct hx_bytes *body, size_t pieces, uint8_t out[HX_MSG_HEAD]);
void hx_reply_head_encode(struct hx_reply_head *h, const struct hx_bytes *body, size_t pieces,
                          uint8_t out[HX_REPLY_HEAD]);
/* Decode and check a whole message; *ret_body is borrowed from P.  HX_E_EOF, HX_E_VERSION, HX_E_BADMSG. */
int hx_msg_decode(const uint8_t *p, size_t len, struct hx_msg_head *ret, struct hx_bytes *ret_body);
int hx_reply_decode(const uint8_t *p, size_t len, struct hx_reply_head *ret, struct hx_bytes *ret_body);

/* The version that a message has, request or answer, or -1: its head is not all there, or damaged.  Magic, version,
 * status and the checksum stay where they are in all versions. */
int hx_msg_version_of(struct hx_bytes whole);
/* Was a request refused, or its answer not understood, because the other end has another version than OWN?  Then WHY
 * says both versions, and which program to upgrade. */
#define HX_MSG_VERSION_WHY 160u
bool hx_msg_version_why(struct hx_bytes answer, unsigned own, char why[HX_MSG_VERSION_WHY]);

struct hx_hello {
    char name[HX_NAME_MAX + 1], zone[HX_NAME_MAX + 1];
    uint64_t disk_total, disk_free;
};
void hx_hello_encode(const struct hx_hello *h, struct hx_enc *e);
int hx_hello_decode(struct hx_hello *h, struct hx_dec *d);

/* What a server knows of the writer of a volume: alive while a connection that carried an APPEND of the
 * newest epoch is open and it was heard within HX_WRITER_SILENT_MS, and it has not said goodbye. */
#define HX_WRITER_SILENT_MS 10000u
#define HX_WRITER_INFO_MAX 2048u
struct hx_writer_info {
    bool alive;
    uint64_t ago_ms;      /* since it was last heard; UINT64_MAX: never by this process */
    struct hx_epoch epoch;
    struct hx_lsn vdl;
    char text[HX_WRITER_INFO_MAX]; /* JSON that the writer sent about itself: host, pid, mount, counters */
};
struct hx_lookup {
    struct hx_uuid volume;
    struct hx_epoch top, promised;
    struct hx_writer_info writer;
    struct hx_geometry geometry; /* whole, or a slice; owned by the decoder's caller: hx_geometry_fini */
};
void hx_lookup_encode(const struct hx_lookup *l, struct hx_enc *e);
size_t hx_lookup_encoded_max(const struct hx_lookup *l);
int hx_lookup_decode(struct hx_lookup *l, struct hx_dec *d); /* HX_E_NOMEM */

/* One record in a FENCE answer. */
#define HX_INV_CPL 1u
#define HX_INV_ENTRY 36u /* bytes on the wire: u64 lsn, u64 epoch, u64 prev, u32 flags, u32 sum, u32 zero */
struct hx_inv_entry {
    struct hx_lsn lsn, prev;
    struct hx_epoch epoch;
    uint32_t flags;
    uint32_t sum; /* crc32c over kind, page (u32), payload: the same record has the same sum everywhere */
};
struct hx_inv_unknown {
    struct hx_lsn from, to; /* inclusive: some record in here is damaged; LSN_MAX: no upper bound known */
};
struct hx_inventory {
    struct hx_history history;
    struct hx_lsn scl, base, vdl_hint; /* scl under the own history; entries are all held records above vdl_hint */
    struct hx_geometry geometry;       /* PG 0; else zeroed */
    bool has_geometry, hydrated;
    uint32_t entry_count, unknown_count;
    struct hx_inv_entry *entries;     /* owned; ascending by (lsn, epoch) */
    struct hx_inv_unknown *unknowns;  /* owned */
};
void hx_inventory_fini(struct hx_inventory *v);
size_t hx_inventory_encoded_len(const struct hx_inventory *v);
void hx_inventory_encode(const struct hx_inventory *v, struct hx_enc *e);
int hx_inventory_decode(struct hx_inventory *v, struct hx_dec *d); /* replaces on success only */

#define HX_APPEND_GOODBYE 1u /* the writer closes the volume in order */
struct hx_append_head {
    struct hx_lsn vdl, floor;
    uint32_t flags, frame_count;
    char info[HX_WRITER_INFO_MAX]; /* may be empty: keep the former */
};
void hx_append_head_encode(const struct hx_append_head *a, struct hx_enc *e);
void hx_append_head_decode(struct hx_append_head *a, struct hx_dec *d); /* sticky error in d; frames follow */
struct hx_ack {
    uint32_t pg;
    int status; /* 0, HX_E_NEED_HISTORY, HX_E_NO_SEGMENT, HX_E_NOSPACE, HX_E_POISONED, ... */
    struct hx_lsn scl;
};
#define HX_ACK_BYTES 16u
void hx_ack_encode(const struct hx_ack *a, struct hx_enc *e);
void hx_ack_decode(struct hx_ack *a, struct hx_dec *d);

enum hx_read_state { HX_READ_RAW = 0, HX_READ_ZEROS = 1, HX_READ_CORRUPT = 2 };
struct hx_read_page {
    uint8_t state;
    uint32_t crc;         /* of the 4,096 bytes, for RAW */
    struct hx_lsn lsn;    /* newest record in it; 0 for none */
};
#define HX_READ_PAGE_BYTES 16u /* u8 state, u8 x 3 zero, u32 crc, u64 lsn */
#define HX_READ_PAGES_MAX 1024u
void hx_read_page_encode(const struct hx_read_page *r, struct hx_enc *e);
void hx_read_page_decode(struct hx_read_page *r, struct hx_dec *d);

struct hx_gossip_entry {
    uint32_t pg;
    struct hx_epoch top;
    struct hx_lsn scl;
};
#define HX_GOSSIP_ENTRY 20u
/* .g of a segment server's request to a peer: .owner is the incarnation of who asks.  (Older ones are known by the name
 * in their certificate only.)  In GOSSIP the m of each segment's geometry follows the list, HX_GOSSIP_M bytes each. */
#define HX_PEER_NAMED UINT32_MAX
#define HX_GOSSIP_M 4u
void hx_gossip_entry_encode(const struct hx_gossip_entry *g, struct hx_enc *e);
void hx_gossip_entry_decode(struct hx_gossip_entry *g, struct hx_dec *d);

/* What pages are as of a read point, without their bytes.  Of one page: its head as READ gives it, but pages of
 * zeros are RAW and have the crc of their bytes.  Of several: CORRUPT when one of them is, the CRC over their heads,
 * the highest LSN.  An answer may have fewer heads than were asked for, at least one. */
struct hx_digest_ask {
    struct hx_lsn point;
    uint32_t first, pages, heads; /* page in the PG; pages to a head; heads */
};
#define HX_DIGEST_ASK 20u
#define HX_DIGEST_PAGES_MAX 64u
#define HX_DIGEST_HEADS_MAX 1024u
void hx_digest_ask_encode(const struct hx_digest_ask *q, struct hx_enc *e);
void hx_digest_ask_decode(struct hx_digest_ask *q, struct hx_dec *d); /* BADMSG: none, or more than the limits */

struct hx_scrub_status {
    uint64_t cycles, asked;    /* finished; on demand until that many are */
    uint64_t done, total;      /* bytes of the one under way; 0 of 0: none is */
    uint64_t found, mended;    /* damaged places since the start of the server */
    uint64_t differed;         /* pages that were not what most others have, and were replaced */
    uint64_t undecided;        /* pages that differ, and no majority says which is right */
};
struct hx_segment_status {
    struct hx_uuid volume;
    char volume_name[HX_NAME_MAX + 1];
    uint32_t pg;
    struct hx_epoch top, promised;
    struct hx_lsn scl, highest, vdl, gc; /* highest: largest LSN held */
    uint64_t disk_bytes, pages, records, damaged;
    int state; /* 0 fine, HX_E_POISONED, HX_E_NOSPACE, HX_E_CORRUPT */
    struct hx_scrub_status scrub;
    struct hx_writer_info writer; /* of the volume, as this server knows it */
};
/* What a driver of changes has to know of a segment besides.  The life says which of those that were here, one after
 * the other, it is: 1, and one more with each FORMAT over a tombstone (M10 of doc/MEMBERSHIP.md). */
#define HX_PART_NAMED 1u   /* its geometry names it as a member */
#define HX_PART_LEARNER 2u /* it is being filled, and counts for nothing */
#define HX_PART_RETIRED 4u /* a tombstone */
struct hx_segment_part {
    uint64_t life, filled, of; /* learner: bytes of pages that it has got, of how many */
    struct hx_epoch epoch;     /* its geometry is (epoch, g, m) */
    uint32_t g, m, flags;
};
#define HX_SEGMENT_PART 44u
#define HX_STATUS_PARTS UINT32_MAX
void hx_segment_part_encode(const struct hx_segment_part *s, struct hx_enc *e);
void hx_segment_part_decode(struct hx_segment_part *s, struct hx_dec *d);
void hx_segment_status_encode(const struct hx_segment_status *s, struct hx_enc *e);
size_t hx_segment_status_encoded_max(void);
void hx_segment_status_decode(struct hx_segment_status *s, struct hx_dec *d);

#endif
