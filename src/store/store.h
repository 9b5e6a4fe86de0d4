/*
 * store.h - what the files of this directory share: the segment, its log, index, chain and meta slots.
 *
 * See README in this directory for how they work together.  Nothing here is included from other layers.
 * Memory rule: a segment owns everything that hangs on it; all arrays grow on demand and are freed with it.
 */
#ifndef HX_STORE_H
#define HX_STORE_H

#include "hexad/assert.h"
#include "hexad/crc.h"
#include "hexad/disk.h"
#include "hexad/frame.h"
#include "hexad/geometry.h"
#include "hexad/history.h"
#include "hexad/msg.h"
#include "hexad/types.h"

/* ---- buf.c: bytes that grow ---- */
struct hx_buf {
    uint8_t *p;
    size_t len, cap;
};
int hx_buf_reserve(struct hx_buf *b, size_t more);  /* room for MORE bytes; HX_E_NOMEM */
uint8_t *hx_buf_add(struct hx_buf *b, size_t more); /* MORE bytes at the end, or NULL */
void hx_buf_fini(struct hx_buf *b);
/* Makes room for one more element of SIZE bytes in *P of *CAP, COUNT used.  HX_E_NOMEM. */
int hx_buf_grow(void *p, size_t *cap, size_t count, size_t size);

/* ---- version.c: heads of files, of this and of other versions ---- */
/* The head at P: MAGIC, then the version, and the crc of all before it at CRC_AT.  HX_E_CORRUPT; HX_E_VERSION: whole,
 * but written by a newer program (then what is in it means nothing here, but for what all versions have: FORMAT.md). */
int hx_version_check(const uint8_t *p, size_t len, uint32_t magic, unsigned newest, size_t crc_at);

/* The sum by which a record is known (msg.h): the same record has the same sum everywhere. */
uint32_t hx_store_sum(uint8_t kind, uint32_t page, const uint8_t *payload, size_t len);
/* The same of an image of HX_PAGE_SIZE bytes with that crc. */
uint32_t hx_store_image_sum(uint32_t crc, uint32_t page);

/* ---- meta.c: promise, history, geometry; two slots, both written before anything is answered ---- */
#define HX_META_SLOTS 2u
#define HX_META_RESERVE (16u << 10) /* bytes of a slot from the start, so that a promise needs no free space */
#define HX_META_FILLING 1u /* a learner that has not got all pages yet: it counts for nothing (fill.c) */
#define HX_META_TURNING 4u /* PG 0: a version with other members of it is here, that nobody said to be in use */
#define HX_META_RETIRED 2u /* a tombstone: there was a segment, and nothing is left of it (retire.c) */
struct hx_meta {
    uint64_t generation;
    struct hx_epoch promised;
    struct hx_uuid owner;
    struct hx_lsn base;  /* the chain is complete to here although its files may be gone */
    struct hx_lsn oldest; /* pages are whole at read points from here on */
    struct hx_history history;
    struct hx_geometry geometry; /* PG 0: the volume's; else as of FORMAT */
    uint16_t flags; /* HX_META_*; with any of them a slot is of version 2 */
    uint64_t life;       /* which of the segments that were here it is, from 1 on (M10 of doc/MEMBERSHIP.md) */
    uint64_t first_file; /* log files with a lower number are of a life before; 0: there was none */
    unsigned first; /* slot that the next save begins with: the one that is not whole; 0: either */
    bool unsure;    /* read, and not saved yet: what is in the slots may not be durable (meta.c, M4) */
};
void hx_meta_fini(struct hx_meta *m);
/* Writes both slots, one flush each; raises the generation. */
int hx_meta_save(struct hx_disk *d, const struct hx_disk_place *at, const struct hx_uuid *server, struct hx_meta *m);
/* The same in steps, so that many segments flush at the same time: begin, then as long as next names a slot, which it
 * has written where there was something to write, a flush of it and flushed, then end. */
struct hx_meta_save {
    struct hx_disk *disk;
    uint8_t *p; /* what both slots get */
    size_t len;
    unsigned step; /* 0: a flush of the slot that is not written first; then one slot after the other */
    int err;
};
int hx_meta_save_begin(struct hx_meta_save *w, struct hx_disk *d, const struct hx_disk_place *at,
                       const struct hx_uuid *server, struct hx_meta *m); /* HX_E_NOMEM: no end */
uint64_t hx_meta_save_next(struct hx_meta_save *w, const struct hx_meta *m);
void hx_meta_save_flushed(struct hx_meta_save *w, struct hx_meta *m, int err);
int hx_meta_save_end(struct hx_meta_save *w, struct hx_meta *m);
/* HX_E_NOENT: never formatted; HX_E_STRANGER: of another server; HX_E_VERSION: of a newer program; HX_E_CORRUPT. */
int hx_meta_load(struct hx_disk *d, const struct hx_disk_place *at, const struct hx_uuid *server, struct hx_meta *ret,
                 bool *ret_uneven); /* uneven: to be saved again */
/* One of them; HX_E_NOENT, or as above. */
int hx_meta_slot(struct hx_disk *d, uint64_t slot, const struct hx_disk_place *at, const struct hx_uuid *server,
                 struct hx_meta *ret);
/* Are both slots what the last save of M wrote?  *ret_bad: bits 1 and 2 for those that are not.  HX_E_NOMEM. */
int hx_meta_check(struct hx_disk *d, const struct hx_disk_place *at, const struct hx_uuid *server,
                  const struct hx_meta *m, unsigned *ret_bad);

/* ---- chain.c: which records are held, and how far without a hole ---- */
struct hx_held { /* a record above the hint */
    uint64_t lsn, prev, epoch;
    uint32_t page, sum, file, pos, at; /* file, pos, at, len, codec: where its payload is (struct hx_version) */
    uint16_t len;
    uint8_t kind, flags, codec;
    bool valid; /* under the own history; then it is in the page index, too */
};
struct hx_span { /* a run without a hole, at or below the hint and above the SCL */
    uint64_t prev, last;
};
struct hx_chain {
    uint64_t anchor, hint, scl;
    struct hx_held *held; /* ascending by (lsn, epoch); live ones are [held_at, held_at + held_count) */
    size_t held_at, held_count, held_cap;
    struct hx_span *spans; /* ascending, disjoint */
    size_t span_count, span_cap;
};
void hx_chain_fini(struct hx_chain *c);
/* The held record (lsn, epoch), or NULL. */
struct hx_held *hx_chain_find(const struct hx_chain *c, uint64_t lsn, uint64_t epoch);
bool hx_chain_covers(const struct hx_chain *c, uint64_t lsn); /* at or below the hint: is it there already? */
/* Are all COUNT records of EPOCH from FIRST to LAST there?  No for a run that lies on both sides of the hint. */
bool hx_chain_has_run(const struct hx_chain *c, uint64_t first, uint64_t last, uint64_t epoch, uint32_t count);
int hx_chain_hold(struct hx_chain *c, const struct hx_held *r); /* above the hint, not held yet */
int hx_chain_span(struct hx_chain *c, uint64_t prev, uint64_t lsn); /* valid, at or below the hint, not covered */
void hx_chain_advance(struct hx_chain *c);
/* The SCL under H, without changing anything. */
uint64_t hx_chain_walk(const struct hx_chain *c, const struct hx_history *h);
uint64_t hx_chain_highest(const struct hx_chain *c);

/* ---- index.c: page -> versions ---- */
#define HX_NONE UINT32_MAX
#define HX_INDEX_NODES (64u << 10) /* versions in lists (32 bytes each) above which background work makes images */
struct hx_version { /* a version or patch of a page, and where its payload is */
    uint64_t lsn;
    uint32_t file, pos; /* slot in log.files; codec 0: offset of the payload, else of the entry of its frame */
    uint32_t at;        /* codec 1: number of the record in the frame */
    uint32_t sum;
    uint16_t len;       /* codec 0: of the payload; else in steps of 256, to weigh it */
    uint8_t kind, codec;
};
struct hx_index {
    struct hx_leaf_block **blocks; /* of 64 leaves, of 64 pages each; NULL: nothing stored there */
    size_t block_count, leaf_count; /* leaf_count: those that the group may have */
    struct hx_node_chunk *chunks;
    size_t chunk_count, chunk_cap, open; /* open: no chunk before it has room */
    uint64_t stride; /* places in one file that a slot can name */
    uint64_t pages, versions, nodes; /* pages with a version; versions; those of them in lists */
};
struct hx_seg;
struct hx_index_walk { /* a page's versions, newest first; good until the index changes */
    const struct hx_index *x;
    struct hx_version one;
    uint32_t next; /* node */
    bool single;
};
void hx_index_init(struct hx_index *x, uint64_t pages, uint64_t file_bytes);
void hx_index_fini(struct hx_index *x);
bool hx_index_has(const struct hx_index *x, uint32_t page, uint64_t point); /* a version at or below POINT */
bool hx_index_listed(const struct hx_index *x, uint32_t page); /* more than one version, or one that fits no slot */
/* The first page at or above PAGE that has a version; HX_NONE: there is none.  Where no pages are it costs little. */
uint32_t hx_index_after(const struct hx_index *x, uint32_t page);
struct hx_index_walk hx_index_walk(const struct hx_index *x, uint32_t page);
bool hx_index_next(struct hx_index_walk *w, struct hx_version *ret);
uint64_t hx_index_bytes(const struct hx_index *x); /* of memory */
/* The place of record number AT, LEN bytes at OFF of the raw body, of the frame whose entry is at ENTRY of FILE. */
void hx_version_place(struct hx_version *v, uint32_t file, uint32_t entry, uint8_t codec, uint32_t at, uint32_t off,
                      uint16_t len);
/* A version into its place; a second one of the same (LSN, kind) takes over the place of the first when it
 * is LOCAL (a relocation) or OVER is set (a repair), else it is dropped.  HX_E_NOMEM. */
int hx_index_insert(struct hx_seg *s, uint32_t page, const struct hx_version *v, bool local, bool over);
void hx_index_remove(struct hx_seg *s, uint32_t page, const struct hx_version *v);
/* Drops what no read point at or above the floor needs. */
void hx_index_prune(struct hx_seg *s, uint32_t page);

/* ---- log.c: files, batches, sidecars' bytes ---- */
#define HX_LOG_FIRST_ID 16u
#define HX_LOG_SIDE_BIT (UINT64_C(1) << 32)
#define HX_LOG_ENV 96u
#define HX_LOG_VERSION 1u /* 0: of programs before there was a version in it; the same bytes else */
#define HX_LOG_ENV_MAGIC 0x31455848u  /* "HXE1" */
#define HX_LOG_SIDE_MAGIC 0x31535848u /* "HXS1" */
#define HX_LOG_SIDE_HEAD 112u
#define HX_LOG_SIDE_FRAME 64u
#define HX_LOG_SIDE_REC 16u
#define HX_LOG_SIDE_MAX (4u << 20)  /* a file is closed when its sidecar would get larger */
#define HX_LOG_FILL_FIRST (16u << 10) /* while a segment has hardly anything */
#define HX_LOG_FILL_MIN (64u << 10)
#define HX_LOG_FILL_MAX (1u << 20)
#define HX_LOG_BULK (64u << 10)     /* batches from here on extend the file without filling it ahead */
#define HX_LOG_BATCH_MAX (8u << 20) /* a batch that reaches this is flushed at once */
enum hx_env_kind { HX_ENV_FRAME = 1, HX_ENV_LOCAL, HX_ENV_MARK, HX_ENV_END };
#define HX_ENV_BELIEVED 1u /* vdl, floor and gc of the frame are announcements to be believed */
#define HX_ENV_DAMAGED 2u  /* only in sidecars: the frame is not readable */
#define HX_ENV_BLIND 4u    /* only in sidecars: nor is it known which pages were in it (struct hx_unknown) */
struct hx_env {
    uint8_t kind, flags;
    uint16_t version; /* as read; what is written has HX_LOG_VERSION */
    uint32_t body_len, seq, chain, salt;
    uint64_t file, off, durable, stable, first, last, prev_first, prev_last;
    uint64_t highest; /* no entry before this one, in any file, holds an LSN above it; 0: not known */
};
void hx_env_encode(const struct hx_env *e, uint8_t out[HX_LOG_ENV]);
int hx_env_decode(const uint8_t *p, struct hx_env *ret); /* HX_E_BADMSG; HX_E_VERSION: *ret is filled, but newer */
static inline size_t hx_env_bytes(uint32_t body_len)     /* with padding */
{
    return HX_LOG_ENV + (((size_t)body_len + 7) & ~(size_t)7);
}

struct hx_side_frame { /* head of a frame's entry in a sidecar */
    uint32_t off, len, count, raw_len, body_len, body_crc;
    uint8_t kind, flags, codec;
    uint64_t first, last, prev, epoch;
};
struct hx_side_rec {
    uint32_t lsn_off, page, sum;
    uint16_t len;
    uint8_t kind, flags;
};
void hx_side_frame_encode(const struct hx_side_frame *f, uint8_t out[HX_LOG_SIDE_FRAME]);
void hx_side_rec_encode(const struct hx_side_rec *r, uint8_t out[HX_LOG_SIDE_REC]);
/* At *OFF in a list of SIDE_LEN bytes: 1 and *ret (its records follow at *ret_recs; *off is moved past them),
 * 0 at the end, HX_E_BADMSG. */
int hx_side_next(const uint8_t *side, size_t side_len, size_t *off, struct hx_side_frame *ret,
                 const uint8_t **ret_recs);
void hx_side_rec_decode(const uint8_t *p, struct hx_side_rec *ret);
/* Is the place of a version or held record in frame F of the file in SLOT? */
static inline bool hx_place_within(uint32_t file, uint32_t pos, uint8_t codec, uint32_t slot,
                                   const struct hx_side_frame *f)
{
    return file == slot && (codec ? pos == f->off : pos > f->off && pos - f->off <= HX_LOG_ENV + f->len);
}

struct hx_logfile {
    uint64_t id, end, durable, filled; /* bytes in it; bytes flushed; filled ahead to here */
    uint64_t min_lsn, max_lsn; /* of what it holds */
    uint64_t vdl, floor, gc;   /* highest believed */
    uint64_t stable;           /* that its last entry names */
    uint64_t live, raw;        /* bytes of records that the index points to; of all that it holds, counted alike */
    uint64_t prev_first, prev_last;
    uint64_t highest, later; /* highest that its entries name; that later files name, at a restart; 0: not known */
    uint32_t seq, chain, refs; /* of the last entry; refs: versions in the index and held records */
    uint64_t dead_id, dead_oldest; /* when it was found dead: newest file, oldest read point (space.c) */
    bool sealed, sided, damaged;
    bool vague;  /* damaged at the restart, so what it held is not known, nor lowest and highest LSN */
    bool rotten; /* damaged since: what is left is to be moved elsewhere */
    bool stale;  /* between END and FILLED are bytes of a former life, not zeros (reuse.c) */
    bool siding;       /* its sidecar is written, and the flush of it goes on */
    bool in_ckpt;      /* load: named by the checkpoint that is being read */
    bool lost;         /* at the restart there was its sidecar, and no log file (load.c R7) */
    uint32_t side_crc; /* of the list in its sidecar */
    struct hx_buf side;        /* until the sidecar is written */
};
struct hx_log {
    struct hx_logfile **files; /* by slot; NULL: free */
    size_t slot_count, slot_cap;
    uint32_t tail; /* slot, or HX_NONE */
    uint64_t next_id;
    uint64_t highest; /* LSN that was ever put into it */
    bool endless;     /* but for damage of which nobody knows how far it went (load.c): nothing bounds the log */
    uint64_t taken, taken_bytes; /* frames that came from outside */
    uint64_t close_at; /* bytes at which a file is closed, where that is less than it may have; 0: not known yet */
    uint32_t fill;    /* how far the tail was filled ahead last; 0: not yet */
    size_t fresh;     /* bytes of such in the batch */
    struct hx_buf batch, side; /* what waits for the next flush */
    bool sealing;              /* the batch that is being flushed closes its file */
    uint64_t batch_vdl, batch_floor, batch_gc; /* highest believed in it */
};
/* Checks FRAME whole and puts it into the batch.  HX_E_BADMSG, HX_E_CORRUPT, HX_E_NOMEM: nothing changed. */
int hx_log_put(struct hx_seg *s, enum hx_env_kind kind, uint8_t flags, const uint8_t *frame, size_t len);
/* Writes and flushes the batch, then applies it to chain and index.  Any error: nothing of the batch counts. */
int hx_log_flush(struct hx_seg *s);
/* The same in two steps: writes the batch, *ret_file is to be flushed (0: there is nothing); and what that said. */
int hx_log_begin(struct hx_seg *s, uint64_t *ret_file);
int hx_log_end(struct hx_seg *s, int flushed);
void hx_log_drop(struct hx_seg *s); /* forgets the batch */
int hx_log_read(struct hx_seg *s, uint32_t slot, uint64_t off, void *buf, size_t len); /* HX_E_CORRUPT: too short */
int hx_log_slot(struct hx_log *l, struct hx_logfile *f, uint32_t *ret);
void hx_log_fini(struct hx_log *l);
/* The entries of a frame for a sidecar: head and records, appended to SIDE.  Checks the whole frame. */
int hx_log_describe(struct hx_seg *s, const struct hx_frame_head *h, const uint8_t *body, struct hx_side_frame *f,
                    struct hx_buf *side);
void hx_log_note(struct hx_logfile *f, uint64_t first, uint64_t last);
uint32_t hx_log_salt(const struct hx_disk_place *at, const struct hx_uuid *server);
int hx_log_mark(struct hx_seg *s); /* says at the tail what is durable; written, not flushed */
int hx_log_seal(struct hx_seg *s); /* closes the tail: END, flush */
uint64_t hx_log_close_at(const struct hx_seg *s); /* bytes at which a file is closed */
int hx_log_start(struct hx_seg *s); /* begins one, when there is none: MARK, flush */

/* ---- scan.c, side.c, load.c: what a restart reads ---- */
/* Reads a log file that has no sidecar: fills f->side and its counters.  HIGHEST: its end may be torn. */
int hx_scan_file(struct hx_seg *s, struct hx_logfile *f, bool highest, uint64_t *ret_stable);
int hx_side_save(struct hx_seg *s, struct hx_logfile *f);
/* The same, flushed beside other work: 1: to be called again. */
int hx_side_save_beside(struct hx_seg *s, struct hx_logfile *f);
/* HX_E_CORRUPT, HX_E_NOENT, HX_E_IO: there is no good one, so the log file tells; HX_E_VERSION. */
int hx_side_head(struct hx_seg *s, struct hx_logfile *f, uint64_t *ret_stable);
int hx_side_load(struct hx_seg *s, struct hx_logfile *f, struct hx_buf *ret);
int hx_load(struct hx_seg *s);
/* revive.c: what a failed flush had left in doubt of the log, and was read now, is made durable.  HX_E_POISONED, ... */
int hx_revive_write_again(struct hx_seg *s);

/* ---- ckpt.c: index and chain on the disk, for a quick restart ---- */
#define HX_CKPT_FILE 4u /* and 5 */
#define HX_CKPT_HEAD 80u
#define HX_CKPT_START 4096u /* the first block */
#define HX_CKPT_BLOCK (16u << 10)
#define HX_CKPT_BLOCK_HEAD 32u
#define HX_CKPT_ROOM (HX_CKPT_BLOCK - HX_CKPT_BLOCK_HEAD)
#define HX_CKPT_VERSION_BYTES 32u
#define HX_CKPT_HELD_BYTES 56u
#define HX_CKPT_SPAN_BYTES 16u
#define HX_CKPT_FILE_BYTES 24u
#define HX_CKPT_END_BYTES 24u
enum hx_ckpt_kind { HX_CKPT_VERSIONS = 1, HX_CKPT_HELD, HX_CKPT_SPANS, HX_CKPT_FILES, HX_CKPT_END, HX_CKPT_KINDS };
struct hx_ckpt_head {
    uint64_t generation, tail, tail_end; /* tail: the restart reads files from this number on */
    uint64_t hint, anchor, oldest, pages;
    uint32_t salt, blocks;
};
void hx_ckpt_head_encode(const struct hx_ckpt_head *h, uint8_t out[HX_CKPT_HEAD]);
/* HX_E_CORRUPT; HX_E_VERSION: only .salt is good. */
int hx_ckpt_head_decode(const uint8_t *p, size_t len, struct hx_ckpt_head *ret);
/* .file: its number, not yet a slot. */
int hx_ckpt_version_decode(struct hx_dec *d, uint64_t pages, uint32_t *ret_page, struct hx_version *ret);
/* P: HX_CKPT_BLOCK bytes, of which LEN behind the head are content. */
void hx_ckpt_block_seal(uint8_t *p, const struct hx_ckpt_head *h, uint32_t number, uint16_t kind, uint32_t len);
int hx_ckpt_block_check(const uint8_t *p, const struct hx_ckpt_head *h, uint32_t number, uint16_t *ret_kind,
                        uint32_t *ret_len); /* HX_E_CORRUPT */
struct hx_seg_ckpt {
    struct hx_ckpt_head head; /* of the one that is being written; generation: highest known */
    bool active, flushing;    /* flushing: that goes on beside */
    uint16_t kind;            /* of the block that is being filled */
    uint32_t used;
    uint64_t page;            /* next one to write */
    uint8_t *block;
    int err;                  /* of the writing */
    uint64_t good, loaded;    /* generations: of the one that is whole on the disk; that this start took; 0: none */
    uint64_t since, bytes;    /* file from which on the log counts for the next one; bytes of the good one */
    bool strange[2];          /* in that file is, or may be, one that the index does not come from (K4) */
};
struct hx_load_pass { /* what the first pass of a restart found */
    uint64_t stable, vdl, floor, gc, highest;
};
/* A bounded piece of writing one, when it is time; true when there is more. */
bool hx_ckpt_work(struct hx_seg *s);
/* Index and chain out of the best one, on top of what a restart begins with; *ret_tail: the files from there on remain
 * to be applied; 0: there is none, and AGAIN has put everything back. */
int hx_ckpt_load(struct hx_seg *s, void (*again)(struct hx_seg *s, const struct hx_load_pass *p),
                 const struct hx_load_pass *p, uint64_t *ret_tail);
void hx_ckpt_fini(struct hx_seg *s);
/* Before a log file is deleted: no checkpoint stays that the index does not come from.  Sets meta_dirty while one does,
 * or may come back with a power loss. */
void hx_ckpt_disown(struct hx_seg *s);

/* ---- apply.c: stored records become held, chained, indexed ---- */
int hx_apply_side(struct hx_seg *s, uint32_t slot, const uint8_t *side, size_t len, bool loading);
/* A record whose place is known; sets .valid.  AGAIN: the first copy is known to be damaged. */
int hx_apply_held(struct hx_seg *s, struct hx_held *h, bool again);
void hx_apply_hint(struct hx_seg *s, uint64_t vdl);
void hx_apply_floor(struct hx_seg *s, uint64_t floor, uint64_t gc);
/* The own history has changed: what is valid, and so index and SCL. */
int hx_apply_history(struct hx_seg *s);

/* ---- bodies.c: a few decompressed bodies ---- */
#define HX_BODIES 64u
#define HX_BODIES_BYTES (8u * HX_FRAME_RAW_MAX)
struct hx_body {
    const struct hx_seg *seg;
    uint64_t file, used;
    uint32_t off, len; /* off: of the frame's entry, or of the window */
    uint32_t records;  /* of the frame */
    uint32_t next, next_off; /* the record after the one asked for last, and where its payload begins */
    bool window;       /* bytes of the file as they are */
    uint8_t *p;        /* owned, len bytes */
};
#define HX_BLOCKS 512u
#define HX_BLOCK 16384u
struct hx_block { /* HX_BLOCK bytes of a log file as they are, from AT x HX_BLOCK on; LEN of them */
    const struct hx_seg *seg;
    uint64_t file;
    uint32_t at, len; /* len 0: none */
};
struct hx_bodies {
    struct hx_body e[HX_BODIES];
    size_t count, bytes;
    uint64_t clock, heads_walked;
    uint8_t *frame; /* HX_FRAME_MAX bytes */
    struct hx_block block[HX_BLOCKS];
    uint8_t *blocks; /* their bytes; NULL: not needed yet */
};
int hx_bodies_init(struct hx_bodies *b);
void hx_bodies_fini(struct hx_bodies *b);
void hx_bodies_forget(struct hx_bodies *b, const struct hx_seg *s);
/* The payload of a record in a compressed frame: its body is checked.  HX_E_CORRUPT, or what the disk says. */
int hx_bodies_get(struct hx_bodies *b, struct hx_seg *s, const struct hx_version *v, const uint8_t **ret,
                  uint16_t *ret_len);
/* Bytes of a log file, not checked, read in large pieces; PAGES: how many are wanted from there on, V included.
 * NULL: for whatever reason they cannot be had like that. */
const uint8_t *hx_bodies_window(struct hx_bodies *b, struct hx_seg *s, const struct hx_version *v, uint32_t pages);
/* It will be asked for soon. */
void hx_bodies_expect(const struct hx_bodies *b, const struct hx_seg *s, const struct hx_version *v);
/* The same of a small payload, from a cache of blocks; borrowed until the next call. */
const uint8_t *hx_bodies_block(struct hx_bodies *b, struct hx_seg *s, const struct hx_version *v);

/* ---- made.c: a few pages as they were made of their records ---- */
#define HX_MADE 1024u
#define HX_MADE_LEAST 3u  /* records; of fewer it is made at once */
#define HX_MADE_MOST 18u
struct hx_made_rec {
    uint64_t lsn;
    uint32_t sum;
};
struct hx_made_page {
    const struct hx_seg *seg; /* NULL: none */
    const struct hx_seg *wanted_by; /* who came last, and for what; never looked into */
    uint32_t wanted, page, count, crc;
    struct hx_made_rec of[HX_MADE_MOST]; /* COUNT, oldest first */
    uint8_t data[HX_PAGE_SIZE];
};
struct hx_made {
    struct hx_made_page *p; /* HX_MADE; NULL: not needed yet */
};
/* PATH: N records, newest first, down to a base.  How many of the newest remain to be applied to DATA; N: it is not
 * here, and DATA as it was; 0: *ret_crc is the page's. */
size_t hx_made_get(const struct hx_made *m, const struct hx_seg *s, uint32_t page, const struct hx_version *path,
                   size_t n, uint8_t data[HX_PAGE_SIZE], uint32_t *ret_crc);
void hx_made_keep(struct hx_made *m, const struct hx_seg *s, uint32_t page, const struct hx_version *path, size_t n,
                  const uint8_t data[HX_PAGE_SIZE], uint32_t crc);
void hx_made_forget(struct hx_made *m, const struct hx_seg *s);
void hx_made_fini(struct hx_made *m);

/* ---- seg.c: a segment ---- */
struct hx_unknown { /* a damaged record or run of them */
    uint64_t from, to; /* to UINT64_MAX: not known, until the next epoch's history is adopted (README, "Damage") */
    uint32_t page;    /* the one damaged page, or HX_NONE: not known */
    bool blind;       /* its pages are not known, and no hole in the chain tells: reads must assume the worst */
};
struct hx_seg_env { /* what the segments of a node share */
    struct hx_uuid server;
    const char *name;
    uint64_t changes;        /* counts what look.c calls touches */
    bool opening;            /* the node starts, and flushes all newest files itself before anything is answered */
    uint64_t failures;       /* segments that stopped, for whatever reason */
    /* check.c: each damaged place of a log file as it is found; NULL: nobody asks.  LSNs; LAST 0: no records. */
    void (*told)(void *ctx, uint64_t file, uint64_t off, uint64_t first, uint64_t last);
    void *told_ctx;
    uint32_t log_file_bytes; /* 0: default */
    unsigned reusing;        /* segments that use log files again */
    struct hx_bodies bodies;
    struct hx_made made;
    struct hx_frame_builder *builder;
    struct hx_frame_opener *opener;
    struct hx_buf spare; /* a large batch buffer that nobody uses now */
    uint8_t *scratch; /* HX_FRAME_MAX bytes: a frame being made */
    uint8_t *raw;     /* HX_FRAME_RAW_MAX bytes: a body being checked */
    uint8_t *page;    /* two pages and a patch */
};
int hx_seg_env_init(struct hx_seg_env *e, const struct hx_uuid *server, const char *name, uint32_t log_file_bytes);
void hx_seg_env_fini(struct hx_seg_env *e);

struct hx_seg_work { /* space.c */
    uint32_t sweep_page;
    uint64_t sweep_floor, sweep_hint; /* for which the sweep under way was started */
    bool sweeping, missed; /* missed: the sweep found more long chains than there was room for */
    struct hx_long_chain {
        uint32_t page, patches;
    } todo[64];
    uint32_t todo_count;
    uint32_t victim;        /* slot of the file being emptied, or HX_NONE */
    struct hx_buf side;     /* its sidecar */
    size_t side_off;
    uint64_t idle_end, idle_ms, marked_end; /* tail's end when it was last looked at, and when; when last marked */
    uint64_t quiet_taken, quiet_ms; /* log.taken, and since when it has been that */
    uint64_t came_frames, came_bytes, came_ms; /* log.taken and .taken_bytes at the last tick; when any came last */
    uint64_t ticked_ms, sealed_ms, put_ms; /* the last tick; when one closed the tail; put copies in the batch */
    uint64_t owed;             /* bytes that may be copied (B7) */
    bool quiet, copied;        /* copied: the last tick left something in the batch */
    bool bulk;                 /* what came last were large frames */
    bool imaged;               /* the last turn of copying made images */
};
#define HX_MEND_PAGES 128u /* asked for at once */
struct hx_seg_sound { /* gossip.c: pages that a peer confirmed in spite of blind damage */
    uint8_t *bits;    /* a bit per page; NULL: none */
    uint64_t at, to;  /* read point at which it was complete; damage up to TO does not matter for them from AT on */
    uint32_t next;    /* page to ask for next */
    bool whole;       /* all are sound */
    bool aged;        /* a peer cannot give what was asked for at that point; perhaps at a later one */
    struct hx_sound_page {
        uint32_t page;
        uint64_t lsn;
    } want[HX_MEND_PAGES]; /* images that wait for the flush */
    uint32_t want_count;
};
struct hx_seg_gossip { /* gossip.c */
    bool busy, arrived;     /* a call of its own is under way; its records wait for the flush */
    bool mending;           /* it was for damage, not for catching up */
    uint64_t target, after; /* SCL that a peer has under the same top; where the last FETCH began */
    struct hx_uuid peer;
    uint64_t not_before_ms;
    uint32_t turn, stalls;  /* stalls: answers in a row that did not help */
    uint32_t vain;          /* FETCHes for damage in a row that did not */
    uint64_t doubt;         /* how much was UNKNOWN when it was asked */
    uint64_t scl[HX_COPIES], scl_top; /* what the members have, as they told under this history */
    uint32_t scl_m;                   /* and these members */
    bool aged;              /* a peer has given up what is as old as the damaged page */
    uint64_t told_top, told_scl, news_until; /* as of the last look; round until which every peer is told of it */
};
#define HX_SCRUB_FILE 8u /* where its position is kept */
struct hx_seg_scrub { /* scrub.c */
    bool loaded, under_way, close; /* close: damage in the open file, which is to be closed */
    bool begun;            /* a cycle, of which nothing was read yet */
    uint64_t file;         /* log file that is being read, or that comes next */
    size_t off;            /* in its list */
    uint64_t pos;          /* in the file: end of the entry that was looked at last */
    struct hx_buf side;    /* the list of file side_file, when that is closed */
    uint64_t side_file, renewed; /* renewed: file whose sidecar was written anew in this cycle */
    uint64_t cycles, asked; /* finished; asked for on demand: until cycles is that many */
    uint64_t done, total, saved; /* bytes of log files behind it; of the cycle; as of the last saved position */
    uint64_t found, rewritten; /* damaged places since the start; slots and sidecars written anew */
    bool comparing;        /* the files are through: pages are compared with those of peers (compare.c) */
    uint32_t page, turn, fails; /* next page; member; questions in a row without an answer */
    uint64_t wait_ms;      /* before the next question */
    uint64_t differed;     /* pages that were wrong here */
    uint64_t undecided, undecided_now; /* pages that differ, in the last whole cycle; in this one */
};
struct hx_wrong { /* a page whose content here is not what most members have (compare.c) */
    uint32_t page;
    uint64_t lsn;     /* of the right content */
    uint32_t sum;     /* of the image with it, once it was PUT into the batch */
    bool put, mended; /* mended: it is durable; only read points below LSN are still wrong */
};
struct hx_seg_reserve { /* reserve.c */
    uint64_t bytes; /* that there are */
    uint32_t pause;
    bool looked, tight;
};
#define HX_SPARE_FILE 9u
#define HX_SPARES 2u /* 9 and 10 */
enum hx_spare_state { HX_SPARE_NONE, HX_SPARE_NAMED, HX_SPARE_READY }; /* NAMED: not known to be durable */
struct hx_seg_reuse { /* reuse.c */
    struct hx_spare {
        enum hx_spare_state state;
        uint64_t bytes; /* that there are */
    } spare[HX_SPARES];
    bool looked; /* there are no others on the disk */
    bool active; /* there is something to do for it */
    bool counted; /* in env->reusing */
};
struct hx_seg_suspect { /* what a failed write or flush has left in doubt, until it was written anew (revive.c) */
    uint64_t file, from; /* log file from that offset on; 0: none */
    uint64_t side;       /* sidecar; 0: none */
    bool doubt;          /* the meta slots */
};
struct hx_seg_revive { /* revive.c */
    uint64_t at_ms, up_ms; /* when it is tried next, if DUE; when it last came back */
    unsigned tries;
    bool due;
    bool read_only; /* so the disk said at the last try */
};
struct hx_seg {
    struct hx_disk *disk;
    struct hx_disk_place at;
    struct hx_seg_env *env;
    uint64_t serial;  /* of its last touch (look.c) */
    int error;        /* why it answers nothing: POISONED, CORRUPT, ...; 0 */
    bool nospace;     /* the last write found the disk full */
    struct hx_chain *proof; /* while loading: what there is of the records at or below the anchor (load.c R5) */
    bool meta_dirty, loading;
    bool filling;     /* a learner that is not through (fill.c); meta.flags says so of the slots */
    bool retiring;    /* it becomes a tombstone with the next flush; .error says NO_SEGMENT already */
    bool retired;     /* it is one */
    bool queued;      /* in the node's list of segments to flush */
    int round_error;  /* of the flush in this round */
    struct hx_meta meta;
    uint64_t floor, gc;
    uint64_t oldest;  /* reads below this are TOO_OLD */
    struct hx_chain chain;
    struct hx_index index;
    struct hx_log log;
    struct hx_unknown *unknowns;
    size_t unknown_count, unknown_cap;
    uint64_t damaged; /* found since the start */
    struct hx_version *path; /* scratch of page.c */
    size_t path_cap;
    struct hx_buf fetch_side; /* fetch.c: the last sidecar asked for */
    uint64_t fetch_file;
    struct hx_seg_work work;
    struct hx_seg_gossip gossip;
    struct hx_seg_sound sound;
    struct hx_seg_ckpt ckpt;
    uint64_t beside; /* file whose flush goes on beside other work; 0: none */
    uint64_t late; /* file that the node has to flush before anything is answered (env->opening); 0: none */
    struct hx_seg_suspect suspect;
    struct hx_seg_revive revive;
    struct hx_seg_reserve reserve;
    struct hx_seg_reuse reuse;
    struct hx_seg_scrub scrub;
    struct hx_compare *compare; /* while pages are compared */
    struct hx_fill *fill;       /* while it is filled */
    struct hx_wrong *wrongs;
    size_t wrong_count, wrong_cap;
};
int hx_seg_new(struct hx_seg_env *env, struct hx_disk *d, struct hx_disk_place at, struct hx_seg **ret);
void hx_seg_free(struct hx_seg *s);
/* Reads what is on the disk.  HX_E_NOENT: never formatted.  Other errors stay in s->error. */
int hx_seg_open(struct hx_seg *s);
void hx_seg_blank(struct hx_seg *s); /* what is not zero in one that has nothing */
void hx_seg_drop(struct hx_seg *s);  /* frees all that hangs on it, but for the meta */
static inline struct hx_epoch hx_seg_top(const struct hx_seg *s)
{
    return hx_history_top(&s->meta.history);
}
void hx_seg_touch(struct hx_seg *s); /* look.c: something that hx_node_look shows may have changed */
void hx_seg_poison(struct hx_seg *s, int why);
/* env->told */
void hx_seg_tell(const struct hx_seg *s, uint64_t file, uint64_t off, uint64_t first, uint64_t last);
/* Is any record from FROM to TO (or may it be) damaged here? */
bool hx_seg_lost_within(const struct hx_seg *s, uint64_t from, uint64_t to);
int hx_seg_unknown(struct hx_seg *s, uint64_t from, uint64_t to, uint32_t page, bool blind);
void hx_seg_unknown_split(struct hx_seg *s, size_t i); /* the I-th of the list, where the SCL is */
/* PAGE has a good base at LSN again; SUM: of that record. */
void hx_seg_mended(struct hx_seg *s, uint32_t page, uint64_t lsn, uint32_t sum);
bool hx_seg_is_sound(const struct hx_seg *s, const struct hx_unknown *u, uint32_t page, uint64_t point);
bool hx_seg_is_mended(const struct hx_seg *s, const struct hx_unknown *u); /* every page that it is about is sound */
size_t hx_seg_damages(const struct hx_seg *s); /* that are not mended */
void hx_seg_set_sound(struct hx_seg *s, uint32_t page);
void hx_seg_sound_forget(struct hx_seg *s);
void hx_seg_known(struct hx_seg *s, uint64_t prev, uint64_t lsn); /* a record came back */
uint32_t hx_seg_file_bytes(const struct hx_seg *s);
void hx_seg_index_init(struct hx_seg *s, const struct hx_geometry *g);
/* One durable step: meta first, then the log.  The error is kept in round_error, too. */
int hx_seg_flush(struct hx_seg *s);
/* The same for many at a time: the file that has to be flushed (0: none), and what its flush said. */
void hx_seg_flush_metas(struct hx_disk_farm *f, struct hx_seg **segs, size_t count); /* HX_DISK_FLUSH_MAX at most */
uint64_t hx_seg_flush_begin(struct hx_seg *s); /* what meta slots there are to be written has been */
/* A flush beside other work, where the disk can do that: 1: it goes on, or another one does, and who asked asks again;
 * else what flush gives. */
int hx_seg_flush_beside(struct hx_seg *s, uint64_t file);
/* A file whose removal need not be durable; nobody asks for its flush any more. */
int hx_seg_discard(struct hx_seg *s, uint64_t file);
void hx_seg_expect(struct hx_seg *s, uint64_t file, uint64_t off, size_t len);
void hx_seg_flush_end(struct hx_seg *s, int err);

/* ---- rules.c: the table of doc/PROTOCOL.md, one function a row.  All are volatile until hx_seg_flush. ---- */
/* What a FORMAT makes: a member; a learner; FRESH: out of nothing. */
#define HX_RULES_FRESH 1u
#define HX_RULES_LEARNER 2u
int hx_rules_format(struct hx_seg *s, const struct hx_msg_head *m, struct hx_geometry *g,
                    struct hx_history *h, unsigned how);
int hx_rules_members(struct hx_seg *s, struct hx_epoch e, const struct hx_uuid *owner, struct hx_geometry *g);
/* What DELETE says of the segment of that LIFE; then it is retiring, or was retired before (both: 0). */
int hx_rules_delete(struct hx_seg *s, const struct hx_msg_head *m, struct hx_geometry *g, uint64_t life);
/* Does the segment's own geometry name this server as a member of it? */
bool hx_rules_named(const struct hx_seg *s);
int hx_rules_fence(struct hx_seg *s, struct hx_epoch e, const struct hx_uuid *owner);
int hx_rules_zero(struct hx_seg *s, struct hx_epoch e, const struct hx_uuid *owner); /* Rule 0 */
int hx_rules_adopt(struct hx_seg *s, struct hx_epoch e, const struct hx_uuid *owner, struct hx_history *g);
int hx_rules_geometry(struct hx_seg *s, struct hx_epoch e, const struct hx_uuid *owner, struct hx_geometry *g);
int hx_rules_append(struct hx_seg *s, struct hx_epoch e, const uint8_t *frame, const struct hx_frame_head *h);
void hx_rules_announce(struct hx_seg *s, struct hx_epoch e, struct hx_lsn vdl, struct hx_lsn floor);
int hx_rules_repair(struct hx_seg *s, const struct hx_history *h, const uint8_t *frame, const struct hx_frame_head *fh);
int hx_rules_gossip(struct hx_seg *s, const uint8_t *frame, const struct hx_frame_head *h);
int hx_rules_gossip_history(struct hx_seg *s, struct hx_history *h);
int hx_rules_inventory(struct hx_seg *s, struct hx_inventory *ret);
/* Asked twice: when the request comes, and when its answer is made, for the rest of the batch is in between. */
int hx_rules_read(const struct hx_seg *s, struct hx_epoch e, uint64_t point);
int hx_rules_fetch(const struct hx_seg *s, struct hx_epoch e, bool raw);

/* ---- page.c: a page as of a read point ---- */
#define HX_PAGES_MANY UINT32_MAX
/* DATA is written for HX_READ_RAW only.  RUN: how many pages are read from this one on, it included: they are read from
 * the disk together; 0: this one by itself. */
int hx_page_read(struct hx_seg *s, uint32_t page, uint64_t point, uint32_t run, uint8_t data[HX_PAGE_SIZE],
                 struct hx_read_page *ret);
/* Is PAGE CORRUPT at POINT because of blind damage? */
bool hx_page_blind(struct hx_seg *s, uint32_t page, uint64_t point);
/* Tries what PAGE needs of the record LSN in frame F of the file in SLOT; what is lost is remembered (P1). */
int hx_page_try(struct hx_seg *s, uint32_t page, uint64_t lsn, uint32_t slot, const struct hx_side_frame *f);
/* The payload of a version, checked against its sum; BUF of a page. */
int hx_page_payload(struct hx_seg *s, uint32_t page, const struct hx_version *v, uint32_t run, uint8_t *buf,
                    struct hx_bytes *ret);

/* ---- fetch.c: records for peers and recovery ---- */
struct hx_fetch {
    uint64_t after, to;
    uint32_t bytes_max;
    bool raw;
};
/* Appends frames to OUT; *ret_more: there is more in the range. */
int hx_fetch_serve(struct hx_seg *s, const struct hx_fetch *f, struct hx_buf *out, bool *ret_more);

/* ---- reserve.c: room for making room ---- */
#define HX_RESERVE_FILE 3u
uint64_t hx_reserve_wanted(const struct hx_seg *s);
bool hx_reserve_work(struct hx_seg *s);    /* makes it, a piece at a time; true when there is more to do */
bool hx_reserve_release(struct hx_seg *s); /* its room is free now; false: not */

/* ---- reuse.c: log files that become the next ones ---- */
/* F, which may go, is a spare now; false: it is not.  ROOM: log files take no more than they may. */
bool hx_reuse_take(struct hx_seg *s, const struct hx_logfile *f, bool room);
void hx_reuse_give(struct hx_seg *s, struct hx_logfile *f); /* F, which is to be made, is made of a spare, if any */
/* A bounded piece of work; true when there is more.  FULL: log files take more than they may. */
bool hx_reuse_work(struct hx_seg *s, bool full, bool quiet);
uint64_t hx_reuse_bytes(const struct hx_seg *s, bool more); /* of spares; MORE: of all but the first */
void hx_reuse_forget(struct hx_seg *s);

/* ---- space.c: background work ---- */
/* A bounded piece of work; true when there is more.  What it puts in the batch is made durable by the next flush. */
bool hx_space_work(struct hx_seg *s, uint64_t now_ms);
/* There is nothing in the batch that could not wait for the next commit. */
bool hx_space_waits(const struct hx_seg *s, uint64_t now_ms);
unsigned hx_space_pause(const struct hx_seg *s); /* ms until the next piece */
void hx_space_long_chain(struct hx_seg *s, uint32_t page, unsigned patches);
uint64_t hx_space_bytes(const struct hx_seg *s);
struct hx_local { /* records of our own making, gathered into LOCAL frames; .s alone is set at first */
    struct hx_seg *s;
    uint64_t last;
    bool open;
};
int hx_local_add(struct hx_local *o, uint64_t lsn, uint32_t page, uint8_t kind, const uint8_t *payload, size_t len);
int hx_local_close(struct hx_local *o); /* the last frame into the batch */
struct hx_space { /* of the log files, in bytes */
    uint64_t size, used; /* all; what the index points to */
    uint64_t dead;       /* files that nothing points into, and that all members have: they wait for others (B1) */
    uint64_t history;    /* unused, but records are there that not all members have */
    uint64_t ahead;      /* filled with zeros ahead */
    uint64_t limit;      /* beyond this files are emptied (B4) */
};
struct hx_space hx_space_of(const struct hx_seg *s);

/* ---- fill.c: how far a learner is filled with pages; who is asked for them: node_private.h ---- */
#define HX_FILL_FILE 6u /* and 7: how far it is */
#define HX_FILL_RANGE 64u /* pages */
#define HX_FILL_HEAD 80u
#define HX_FILL_JOBS 8u
struct hx_fill_head { /* of the file */
    uint64_t generation, point, since, top, file, end; /* as in struct hx_fill */
    uint32_t ranges, salt, sum;        /* sum: crc of the two bitmaps behind it */
    uint32_t rate;                     /* bytes a second that the driver allows; 0: it has said nothing */
};
void hx_fill_head_encode(const struct hx_fill_head *h, uint8_t out[HX_FILL_HEAD]);
int hx_fill_head_decode(const uint8_t *p, size_t len, struct hx_fill_head *ret); /* HX_E_CORRUPT, HX_E_VERSION */
enum hx_fill_state { HX_FILL_FREE, HX_FILL_ASKED, HX_FILL_PUT }; /* PUT: in the batch */
struct hx_fill_job {
    uint64_t call;
    uint32_t first, count; /* ranges; none: it asks for a point */
    enum hx_fill_state state;
    unsigned slot; /* of the member that was asked */
};
struct hx_fill {
    uint64_t generation;      /* of the file that was written last */
    uint64_t point, top;      /* R: pages are copied as of it; the highest R that there was: no read below is right */
    uint64_t since;           /* what is stale was copied as of this point, or a later one */
    uint64_t file, end;       /* of the log: so far it was durable when this was written; file 0: nothing was */
    bool pointed;             /* there is a point */
    bool aged;                /* a source has given up what is as old as it */
    bool behind;              /* nobody is complete to it: one is asked how far he is */
    uint32_t lagging;         /* refusals for that, since the last pages */
    bool finishing;           /* all is there, and the slots say so after the next flush (H4) */
    uint32_t ranges, left;    /* left: not done */
    uint32_t next, run;       /* range to go on with; ranges to ask for at once */
    uint32_t turn, unsaved;   /* unsaved: ranges done since the file was written */
    uint32_t rate;            /* bytes a second that the driver allows; 0: what the server does */
    int64_t credit;           /* of it, bytes x 1000; below 0: came already */
    uint8_t *done, *stale, *busy; /* a bit per range; stale: done as of an older point */
    struct hx_fill_job job[HX_FILL_JOBS];
    uint64_t not_before_ms[HX_COPIES];
};
int hx_fill_load(struct hx_seg *s);   /* makes s->fill, as far as a process before it came; HX_E_NOMEM */
void hx_fill_save(struct hx_seg *s);  /* an error costs what was done since, nothing else */
int hx_fill_rate(struct hx_seg *s, uint32_t rate); /* the driver's word, kept over a restart; HX_E_NOMEM */
void hx_fill_aim(struct hx_fill *f, uint64_t point); /* a first, or a later, R */
void hx_fill_lower(struct hx_fill *f, uint64_t point); /* an earlier one */
void hx_fill_done(struct hx_fill *f, uint32_t first, uint32_t count);
bool hx_fill_is(const uint8_t *bits, uint32_t range);
void hx_fill_set(uint8_t *bits, uint32_t range, bool to);
void hx_fill_finish(struct hx_seg *s); /* H4: leaves meta_dirty; when that is durable: */
void hx_fill_through(struct hx_seg *s);
int hx_fill_clear(struct hx_seg *s);   /* nothing of a former life is left to begin with */
int hx_fill_opened(struct hx_seg *s);  /* after a restart */

/* ---- retire.c: tombstones ---- */
int hx_retire_remove_all(struct hx_seg *s); /* but the slots */
int hx_retire_empty(struct hx_seg *s);      /* the same, durably */
void hx_retire_begin(struct hx_seg *s);     /* with the next flush it is one */
void hx_retire_done(struct hx_seg *s);      /* the slots say so */
int hx_retire_opened(struct hx_seg *s, bool uneven); /* so they said at a restart */
void hx_retire_anew(struct hx_seg *s, bool learner); /* from the next flush on; hx_retire_empty comes before that */
void hx_fill_forget(struct hx_seg *s); /* frees memory */

/* ---- scrub.c: everything that is stored is read again, now and then ---- */
/* Reads about BUDGET bytes on; how much it cost.  May leave meta_dirty.  Nothing may wait in the batch; after
 * hx_scrub_load, and not while pages are compared. */
size_t hx_scrub_step(struct hx_seg *s, size_t budget);
void hx_scrub_load(struct hx_seg *s);  /* where the process before stopped */
void hx_scrub_ask(struct hx_seg *s);   /* a whole cycle from now on, before others; one that was asked for goes on */
uint64_t hx_scrub_total(const struct hx_seg *s);
void hx_scrub_forget(struct hx_seg *s); /* frees memory */
void hx_scrub_status(const struct hx_seg *s, struct hx_scrub_status *ret);
void hx_scrub_compared(struct hx_seg *s); /* the comparing is over, and with it the cycle */
/* The list of F, whose sidecar is lost, out of the log file again; it is counted, and the sidecar written anew. */
int hx_scrub_renew(struct hx_seg *s, struct hx_logfile *f);
/* Damage U, of records that the chain reaches over, becomes damage of the pages that need them. */
void hx_scrub_narrow(struct hx_seg *s, const struct hx_unknown *u);

/* ---- compare.c: pages that peers have otherwise; how they are asked: node_private.h ---- */
void hx_compare_forget(struct hx_seg *s); /* frees memory */
bool hx_compare_is_wrong(const struct hx_seg *s, uint32_t page, uint64_t point);
void hx_compare_mended(struct hx_seg *s, uint32_t page, uint64_t lsn, uint32_t sum);
size_t hx_compare_wrongs(const struct hx_seg *s); /* that are not mended */

#endif
