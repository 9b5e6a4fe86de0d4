/*
 * test_crash_points.c - power loss at every disk call of a segment server's life.
 *
 * Method: a story of three servers: formats, appends that reach the first one or not, gossip, images, compaction,
 * deletion, rot that is mended, scrubbing, a flush that fails, three later epochs (fenced, repaired, adopted or heard
 * of by gossip), restarts.  Every write, flush, remove, rename and cut of the first server is recorded, with the kind
 * of file operation that it is, and after each step what it says of itself.  Then for each call: a
 * simulated disk (src/sim/disk.h) gets all calls before it, and loses power at this one; the server starts again over
 * what survived, in some cases it loses power during that start, too, once or twice; in others only the process dies
 * at the call, and the power goes after it has started again and said something; and then
 *   - it opens without damage, and holds what it had said before: promise and owner, history, SCL, every record;
 *   - it holds nothing that nobody sent; every page at every point is the fold of the valid records, or TOO_OLD
 *     where that was allowed; FETCH gives valid records only, byte for byte;
 *   - its peers fill it up again, and all pages are those of the end of the story.
 *
 * Here once for each call (`make check`).  `make check-crash` (HEXAD_CRASH=STORIES) runs more stories and tries each
 * call VARIANTS times with other sectors lost, torn and kept; power loss at every call of the restart that follows; and
 * one more while the server catches up, so that what is written over a cut-off tail is tried, too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/sim/disk.h"
#include "hexad/assert.h"
#include "node_rig.h"

#include <stdio.h>
#include <stdlib.h>

#define PGS 3u
#define PAGES 12u /* of each PG */
#define RECS 6000u
#define EPOCHS 8u
#define FACTS 1000u
#define CALLS 20000u
#define VARIANTS 4u
#define SIDE_BIT (UINT64_C(1) << 32)
#define CKPT_FILE 4u /* and 5 */
#define SCRUB_FILE 8u
#define SPARE_FILE 9u /* and 10 */
#define FIRST_LOG 16u
#define ENV 96u

/* ---- kinds of file operations ---- */
enum what {
    W_MAKE, W_CREATE, W_APPEND, W_SEAL, W_MARK, W_FILL, W_IMAGE, W_COPY, W_MEND, W_AGAIN, W_SIDE, W_META, W_SCRUB,
    W_CKPT, W_FLUSH_LOG, W_FLUSH_SIDE, W_FLUSH_META, W_FLUSH_CKPT, W_DELETE, W_DELETE_SIDE, W_DELETE_CKPT,
    W_SPARE, W_FLUSH_SPARE, W_AGAIN_LOG, W_DELETE_SPARE, W_CUT, W_KINDS
};
static const char *const what_names[W_KINDS] = {
    "make a segment's directory", "create a log file", "append records", "seal a log file", "mark an idle tail",
    "fill ahead with zeros", "materialised image", "copy by compaction", "mend a page from a peer",
    "write again after a failed flush", "sidecar", "meta slot (promise, history, base)", "position of the scrub",
    "checkpoint", "flush of a log file", "flush of a sidecar", "flush of a meta slot", "flush of a checkpoint",
    "delete a log file", "delete a sidecar", "delete a checkpoint", "log file to spare", "flush of a spare",
    "spare to log file", "delete a spare", "cut off what is old behind the end",
};

/* ---- a farm that records what changes it ---- */
struct call {
    enum { CALL_MAKE, CALL_WRITE, CALL_FLUSH, CALL_REMOVE, CALL_RENAME, CALL_CUT } kind; /* OFF: new number; size */
    struct hx_disk_place at;
    uint64_t file, off;
    uint8_t *bytes;
    size_t len;
    unsigned kinds; /* bits of enum what */
};
struct tail { /* how far a log file has been written with anything but zeros */
    struct hx_disk_place at;
    uint64_t file, end;
};
struct recorder {
    struct hx_disk_farm farm;
    struct hx_disk_farm *under;
    struct call *calls;
    size_t count;
    struct tail *tails;
    size_t tail_count;
    const struct story *story;
};
static unsigned local_kinds(const struct story *s, uint32_t pg, const uint8_t *frame, size_t len);

struct rec_disk {
    struct hx_disk disk, *under;
    struct recorder *r;
    struct hx_disk_place at;
};

static struct tail *tail_of(struct recorder *r, struct hx_disk_place at, uint64_t file)
{
    for (size_t i = 0; i < r->tail_count; i++)
        if (r->tails[i].file == file && r->tails[i].at.pg == at.pg)
            return &r->tails[i];
    r->tails = realloc(r->tails, (r->tail_count + 1) * sizeof *r->tails);
    hx_assert(r->tails);
    r->tails[r->tail_count] = (struct tail){at, file, 0};
    return &r->tails[r->tail_count++];
}

/* What a write to a log file holds: entries, or zeros. */
static unsigned log_kinds(struct recorder *r, const struct call *c, const uint8_t *p)
{
    struct tail *t = tail_of(r, c->at, c->file);
    unsigned kinds = t->end == 0 ? 1u << W_CREATE : 0;
    size_t used = c->len;
    while (used && !p[used - 1])
        used--;
    if (!used)
        return kinds | 1u << W_FILL;
    if (c->off < t->end)
        return kinds | 1u << W_AGAIN;
    for (size_t at = 0; at < used;) { /* zeros behind it: to the end of a block */
        size_t body = hx_get_u32(p + at + 8);
        hx_assert(at + ENV <= c->len && !memcmp(p + at, "HXE1", 4) && at + ENV + body <= c->len);
        static const unsigned by_kind[] = {0, 1u << W_APPEND, 0, 1u << W_MARK, 1u << W_SEAL};
        kinds |= p[at + 4] == 2 ? local_kinds(r->story, c->at.pg, p + at + ENV, body) : by_kind[p[at + 4]];
        at += ENV + ((body + 7) & ~(size_t)7);
        t->end = c->off + at;
    }
    return kinds;
}

static unsigned kinds_of(struct recorder *r, const struct call *c, const void *bytes)
{
    bool side = c->file & SIDE_BIT, meta = c->file < CKPT_FILE, ckpt = !meta && c->file < SCRUB_FILE;
    bool spare = c->file >= SPARE_FILE && c->file < FIRST_LOG;
    if (c->kind == CALL_RENAME || c->kind == CALL_CUT)
        return 1u << (c->kind == CALL_CUT ? W_CUT : spare ? W_AGAIN_LOG : W_SPARE);
    if (spare)
        return 1u << (c->kind == CALL_FLUSH ? W_FLUSH_SPARE : W_DELETE_SPARE);
    if (c->kind == CALL_MAKE)
        return 1u << W_MAKE;
    if (c->kind == CALL_REMOVE)
        return 1u << (side ? W_DELETE_SIDE : ckpt ? W_DELETE_CKPT : W_DELETE);
    if (c->kind == CALL_FLUSH)
        return 1u << (side ? W_FLUSH_SIDE : meta ? W_FLUSH_META : ckpt ? W_FLUSH_CKPT : W_FLUSH_LOG);
    if (side || c->file < FIRST_LOG)
        return 1u << (side ? W_SIDE : meta ? W_META : ckpt ? W_CKPT : W_SCRUB);
    return log_kinds(r, c, bytes);
}

static void record(struct rec_disk *d, struct call c, const void *bytes)
{
    hx_assert(d->r->count < CALLS);
    c.at = d->at;
    c.kinds = kinds_of(d->r, &c, bytes);
    c.bytes = malloc(c.len + 1);
    hx_assert(c.bytes);
    if (c.len)
        memcpy(c.bytes, bytes, c.len);
    d->r->calls[d->r->count++] = c;
}

static struct rec_disk *rec_self(struct hx_disk *d)
{
    return HX_CONTAINER_OF(d, struct rec_disk, disk);
}

static int rec_read(struct hx_disk *d, uint64_t file, uint64_t off, void *buf, size_t len, size_t *ret_len)
{
    return rec_self(d)->under->ops->read(rec_self(d)->under, file, off, buf, len, ret_len);
}

static int rec_write(struct hx_disk *d, uint64_t file, uint64_t off, const void *buf, size_t len)
{
    int err = rec_self(d)->under->ops->write(rec_self(d)->under, file, off, buf, len);
    if (!err) /* what fails by plan has no effect (mem_disk.h) */
        record(rec_self(d), (struct call){.kind = CALL_WRITE, .file = file, .off = off, .len = len}, buf);
    return err;
}

static int rec_flush(struct hx_disk *d, uint64_t file)
{
    int err = rec_self(d)->under->ops->flush(rec_self(d)->under, file);
    if (!err)
        record(rec_self(d), (struct call){.kind = CALL_FLUSH, .file = file}, NULL);
    return err;
}

static int rec_remove(struct hx_disk *d, uint64_t file)
{
    record(rec_self(d), (struct call){.kind = CALL_REMOVE, .file = file}, NULL);
    return rec_self(d)->under->ops->remove(rec_self(d)->under, file);
}

static int rec_list(struct hx_disk *d, uint64_t from, struct hx_disk_file *ret, size_t max, size_t *ret_count)
{
    return rec_self(d)->under->ops->list(rec_self(d)->under, from, ret, max, ret_count);
}

static int rec_rename(struct hx_disk *d, uint64_t from, uint64_t to)
{
    int err = rec_self(d)->under->ops->rename(rec_self(d)->under, from, to);
    if (!err)
        record(rec_self(d), (struct call){.kind = CALL_RENAME, .file = from, .off = to}, NULL);
    return err;
}

static int rec_cut(struct hx_disk *d, uint64_t file, uint64_t bytes)
{
    int err = rec_self(d)->under->ops->cut(rec_self(d)->under, file, bytes);
    if (!err)
        record(rec_self(d), (struct call){.kind = CALL_CUT, .file = file, .off = bytes}, NULL);
    return err;
}

static const struct hx_disk_ops rec_ops = {
    .read = rec_read, .write = rec_write, .flush = rec_flush, .remove = rec_remove, .list = rec_list,
    .rename = rec_rename, .cut = rec_cut};

static int rec_open(struct hx_disk_farm *f, struct hx_disk_place at, bool create, struct hx_disk **ret)
{
    struct recorder *r = HX_CONTAINER_OF(f, struct recorder, farm);
    struct hx_disk *under;
    int err = r->under->ops->open(r->under, at, create, &under);
    if (err)
        return err;
    struct rec_disk *d = calloc(1, sizeof *d);
    hx_assert(d);
    *d = (struct rec_disk){{&rec_ops}, under, r, at};
    if (create)
        record(d, (struct call){.kind = CALL_MAKE}, NULL);
    *ret = &d->disk;
    return 0;
}

static void rec_close(struct hx_disk_farm *f, struct hx_disk *d)
{
    struct recorder *r = HX_CONTAINER_OF(f, struct recorder, farm);
    r->under->ops->close(r->under, rec_self(d)->under);
    free(rec_self(d));
}

static int rec_next(struct hx_disk_farm *f, size_t *cursor, struct hx_disk_place *ret)
{
    struct recorder *r = HX_CONTAINER_OF(f, struct recorder, farm);
    return r->under->ops->next(r->under, cursor, ret);
}

static int rec_space(struct hx_disk_farm *f, uint64_t *ret_total, uint64_t *ret_free)
{
    struct recorder *r = HX_CONTAINER_OF(f, struct recorder, farm);
    return r->under->ops->space(r->under, ret_total, ret_free);
}

static const struct hx_disk_farm_ops rec_farm_ops = {rec_open, rec_close, rec_next, rec_space, NULL};

/* ---- the story: what was written, and what the first server said ---- */
struct record {
    uint64_t lsn, epoch, prev;
    uint32_t pg, page;
    uint8_t kind;
    bool cpl;
    uint16_t len;
    uint8_t *payload;
};
struct fact { /* after CALLS calls, and before the next fact's */
    size_t calls, recs; /* RECS: records written so far */
    uint64_t floor;     /* announced so far */
    bool there[PGS];
    struct hx_segment_status s[PGS];
};
struct story {
    struct hx_rig r;
    struct recorder rec;
    struct hx_rng rng;
    struct record *recs; /* in the order in which they were written */
    size_t rec_count;
    struct hx_history h[EPOCHS]; /* by opening */
    unsigned openings;
    uint64_t epoch, lsn, last[PGS], vdl, floor, gc;
    uint32_t pgs; /* made so far */
    bool mending; /* what is of its own making now is a peer's page */
    bool hot;     /* what is written are patches of one page */
    struct fact *facts;
    size_t fact_count;
};

/* A frame of the server's own making: every record of it was written like this (a copy), or not (an image). */
static unsigned local_kinds(const struct story *s, uint32_t pg, const uint8_t *frame, size_t len)
{
    static uint8_t buf[HX_FRAME_RAW_MAX];
    struct hx_frame_head h;
    struct hx_frame_walk w;
    struct hx_rec r;
    const uint8_t *raw;
    unsigned kinds = 0;
    hx_assert(!hx_frame_head_decode(frame, len, &h) && !hx_frame_body(&h, frame + HX_FRAME_HEAD, buf, &raw));
    if (s->mending)
        return 1u << W_MEND;
    hx_frame_walk_init(&w, &h, raw);
    while (hx_frame_walk_next(&w, &r) > 0)
        for (size_t i = 0; i < s->rec_count; i++)
            if (s->recs[i].pg == pg && s->recs[i].lsn == r.lsn.v && s->recs[i].page == r.page)
                kinds |= 1u << (s->recs[i].kind == r.kind ? W_COPY : W_IMAGE);
    return kinds;
}

static uint64_t below(struct story *s, uint64_t n)
{
    return hx_rng_below(&s->rng, n);
}

static void note_fact(struct story *s)
{
    struct fact *f = &s->facts[s->fact_count++];
    hx_assert(s->fact_count < FACTS);
    f->calls = s->rec.count;
    f->recs = s->rec_count;
    f->floor = s->floor;
    for (uint32_t pg = 0; pg < PGS; pg++)
        f->there[pg] = hx_rig_status(&s->r, 0, pg, &f->s[pg]) == 0;
}

/* ---- writing ---- */
static void make_payload(struct story *s, struct record *x)
{
    unsigned what = (unsigned)below(s, 100);
    x->payload = calloc(1, HX_PAGE_SIZE);
    hx_assert(x->payload);
    if (what < 78) {
        size_t n = 1 + below(s, 60);
        x->kind = what < 72 ? HX_REC_PATCH : HX_REC_SPARSE;
        hx_put_u16(x->payload, (uint16_t)below(s, HX_PAGE_SIZE - n));
        hx_put_u16(x->payload + 2, (uint16_t)n);
        for (size_t i = 0; i < n; i++)
            x->payload[4 + i] = (uint8_t)below(s, 256);
        x->len = (uint16_t)(n + 4);
    } else if (what < 96) {
        x->kind = HX_REC_IMAGE;
        x->len = (uint16_t)below(s, HX_PAGE_SIZE + 1);
        for (size_t i = 0; i < x->len; i++)
            x->payload[i] = (uint8_t)below(s, 256);
        if (x->len)
            x->payload[x->len - 1] |= 1;
    } else {
        x->kind = what < 98 ? HX_REC_ZERO : HX_REC_FREE;
    }
}

static size_t frame_of(struct story *s, uint32_t pg, size_t from, unsigned count, uint64_t epoch)
{
    struct hx_rig_rec list[64];
    unsigned n = 0;
    for (size_t i = from; i < s->rec_count && n < count; i++) {
        const struct record *x = &s->recs[i];
        if (x->pg == pg && x->epoch == epoch)
            list[n++] = (struct hx_rig_rec){x->lsn, x->page, x->kind, x->cpl ? HX_REC_CPL : 0, x->payload, x->len};
    }
    hx_assert(n == count);
    return hx_rig_frame(&s->r, pg, epoch, s->recs[from].prev, list, n, (struct hx_rig_marks){s->vdl, s->floor, s->gc});
}

/* The VDL moves to the newest record, or not; the floor behind it; gc when the first server holds everything. */
static void move_marks(struct story *s)
{
    bool caught_up = true;
    for (uint32_t pg = 0; pg < s->pgs; pg++) {
        struct hx_segment_status st;
        caught_up = caught_up && !hx_rig_status(&s->r, 0, pg, &st) && st.top.v == s->epoch && st.scl.v >= s->last[pg];
    }
    if (below(s, 2))
        s->vdl = s->lsn;
    if (caught_up && below(s, 2)) {
        uint64_t back = below(s, 60);
        uint64_t to = s->vdl > back ? s->vdl - back : 0;
        s->floor = to > s->floor ? to : s->floor;
        s->gc = s->floor;
    }
}

static void append(struct story *s, bool to_first)
{
    uint32_t pg = (uint32_t)below(s, s->pgs);
    unsigned count = 1 + (unsigned)below(s, below(s, 12) ? 5 : 40);
    size_t from = s->rec_count;
    hx_assert(from + count <= RECS);
    for (unsigned i = 0; i < count; i++) {
        struct record *x = &s->recs[s->rec_count++];
        *x = (struct record){.lsn = ++s->lsn, .epoch = s->epoch, .prev = s->last[pg], .pg = pg, .cpl = i + 1 == count};
        x->page = s->hot ? 1 : (uint32_t)below(s, below(s, 3) ? 3 : PAGES);
        do {
            free(x->payload);
            make_payload(s, x);
        } while (s->hot && x->kind != HX_REC_PATCH);
        s->last[pg] = x->lsn;
    }
    size_t n = frame_of(s, pg, from, count, s->epoch);
    for (unsigned i = to_first ? 0 : 1; i < 3; i++) {
        int err = hx_rig_append(&s->r, i, s->epoch, s->vdl, s->floor, s->r.frame, n, NULL);
        bool told = err == HX_E_NEED_HISTORY || err == HX_E_NO_SEGMENT || err == HX_E_POISONED;
        assert_true(err == 0 || (i == 0 && told));
    }
    move_marks(s);
}

/* ---- openings ---- */
static bool valid_under(const struct hx_history *h, const struct record *x)
{
    return hx_history_valid(h, HX_LSN(x->lsn), HX_EPOCH(x->epoch));
}

/* What the first server lacks of PG, sent by the one that recovers. */
static void repair(struct story *s, uint32_t pg, uint64_t scl, const struct hx_history *h)
{
    for (size_t i = 0; i < s->rec_count; i++) {
        const struct record *x = &s->recs[i];
        if (x->pg != pg || x->lsn <= scl || !valid_under(h, x))
            continue;
        size_t n = frame_of(s, pg, i, 1, x->epoch);
        assert_int_equal(hx_rig_repair(&s->r, 0, pg, s->epoch, h, s->r.frame, n, NULL), 0);
    }
}

static void reopen(struct story *s)
{
    bool tell = s->openings % 3 != 2; /* else the first server hears of it by gossip */
    uint64_t cut = s->vdl;
    s->epoch += 1 + below(s, 3);
    s->r.owner = hx_rig_uuid(900 + (unsigned)s->epoch);
    for (size_t i = 0; i < s->rec_count; i++) /* some CPL after the VDL */
        if (s->recs[i].cpl && s->recs[i].lsn > cut && below(s, 2) &&
            valid_under(&s->h[s->openings - 1], &s->recs[i]))
            cut = s->recs[i].lsn;
    struct hx_history *h = &s->h[s->openings];
    assert_int_equal(hx_history_copy(h, &s->h[s->openings - 1]), 0);
    uint64_t end = hx_history_top_entry(h)->end.v;
    end = (cut > end ? cut : end) + HX_RIG_LAL;
    assert_int_equal(hx_history_push(h, (struct hx_history_entry){HX_EPOCH(s->epoch), HX_LSN(cut), HX_LSN(end),
                                                                  HX_RIG_LAL}), 0);
    s->openings++;
    for (unsigned i = tell ? 0 : 1; i < 3; i++)
        for (uint32_t pg = 0; pg < s->pgs; pg++)
            assert_int_equal(hx_rig_fence(&s->r, i, pg, s->epoch, 900 + (unsigned)s->epoch, NULL), 0);
    note_fact(s);
    for (uint32_t pg = 0; pg < s->pgs; pg++) {
        struct hx_segment_status st;
        assert_int_equal(hx_rig_status(&s->r, 0, pg, &st), 0);
        if (tell)
            repair(s, pg, st.scl.v < st.vdl.v ? st.scl.v : st.vdl.v, h);
        note_fact(s);
        for (unsigned i = tell ? 0 : 1; i < 3; i++)
            assert_int_equal(hx_rig_adopt(&s->r, i, pg, s->epoch, h, NULL, NULL), 0);
        note_fact(s);
        s->last[pg] = 0;
        for (size_t i = 0; i < s->rec_count; i++)
            if (s->recs[i].pg == pg && valid_under(h, &s->recs[i]))
                s->last[pg] = s->recs[i].lsn;
    }
    s->lsn = end;
    s->vdl = cut;
}

static void format(struct story *s, uint32_t pg)
{
    uint8_t b[16384];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_geometry_encode(&s->r.geometry, &e);
    hx_history_encode(&s->h[s->openings - 1], &e);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(hx_rig_call(&s->r, i, &(struct hx_rig_ask){.type = HX_MSG_FORMAT, .pg = pg, .epoch = s->epoch,
                                                                    .body = {b, e.len}}, NULL), 0);
        note_fact(s);
    }
}

static bool settle(struct story *s)
{
    for (uint32_t pg = 0; pg < s->pgs; pg++) {
        struct hx_segment_status st;
        for (unsigned i = 0; i < 40; i++) {
            if (hx_rig_status(&s->r, 0, pg, &st))
                break; /* it was never made */
            if (st.top.v == s->epoch && st.scl.v == s->last[pg])
                break;
            hx_rig_step(&s->r, 50);
            if (i == 39)
                return false;
        }
    }
    return true;
}

/* ---- rot, scrubbing, a flush that fails ---- */
/* Rot in an entry of a closed file that a page needs; then all pages are read, and the peers mend what is met.  The
 * replays do not have the rot: what was written because of it must be right there, too. */
static void rot_and_mend(struct story *s)
{
    uint32_t pg = (uint32_t)below(s, s->pgs);
    struct hx_disk_place at = hx_rig_place(&s->r, pg);
    struct hx_segment_status st;
    size_t len;
    for (uint64_t id = FIRST_LOG; id < hx_mem_last_log(s->r.farm[0], &at); id++) {
        uint8_t *p = hx_mem_file(s->r.farm[0], &at, id, &len);
        for (size_t off = 0; p && off + HX_FRAME_HEAD + 64 < len; off += 8)
            if (hx_get_u32(p + off) == HX_FRAME_MAGIC)
                p[off + HX_FRAME_HEAD + hx_get_u32(p + off + 100) - 1] ^= 0x20; /* the last byte of its body */
    }
    assert_int_equal(hx_rig_status(&s->r, 0, pg, &st), 0);
    for (uint32_t page = 0; page < PAGES; page++)
        hx_rig_read(&s->r, 0, pg, st.top.v, st.scl.v, page, NULL, NULL);
    s->mending = true;
    for (unsigned i = 0; i < 60 && (i < 5 || !hx_rig_status(&s->r, 0, pg, &st)) && (i < 5 || st.damaged); i++)
        hx_rig_step(&s->r, 150);
    s->mending = false;
}

/* Everything is read again: the position is kept now and then, and what has rotted is made anew. */
static void scrub(struct story *s)
{
    hx_rig_stop(&s->r, 0);
    s->r.scrub_cycle_s = 1;
    assert_int_equal(hx_rig_start(&s->r, 0), 0);
    for (unsigned i = 0; i < 12; i++)
        hx_rig_step(&s->r, 1000);
    hx_rig_stop(&s->r, 0);
    s->r.scrub_cycle_s = 0;
    assert_int_equal(hx_rig_start(&s->r, 0), 0);
}

/* So many patches that the page is worth an image. */
static void heat(struct story *s)
{
    s->hot = true;
    for (unsigned i = 0; i < 8; i++)
        append(s, true);
    s->hot = false;
    s->vdl = s->lsn;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(hx_rig_append(&s->r, i, s->epoch, s->vdl, s->floor, NULL, 0, NULL), 0);
    hx_rig_step(&s->r, 50);
}

static void fail_a_flush(struct story *s)
{
    hx_mem_fail(s->r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
    for (unsigned i = 0; i < 4; i++)
        append(s, true);
    hx_mem_fail(s->r.farm[0], 0, 0, 0, false);
    note_fact(s);
    for (unsigned i = 0; i < 4; i++)
        hx_rig_step(&s->r, 1000); /* it reads its disk again */
}

static void tell_story(struct story *s, uint64_t seed, unsigned steps)
{
    *s = (struct story){.rng = hx_rng_fork(seed, "story", 0), .epoch = 1, .pgs = 2, .openings = 1};
    s->recs = calloc(RECS, sizeof *s->recs);
    s->facts = calloc(FACTS, sizeof *s->facts);
    s->rec.calls = calloc(CALLS, sizeof *s->rec.calls);
    assert_true(s->recs && s->facts && s->rec.calls);
    hx_rig_init(&s->r, 3, 1u << 20, PGS, 0); /* the peers delete nothing: they meet a server from their past */
    hx_rig_stop(&s->r, 0);
    s->r.log_file_bytes = 16u << 10;
    hx_mem_renames(s->r.farm[0]);
    s->rec.farm.ops = &rec_farm_ops;
    s->rec.story = s;
    s->rec.under = hx_mem_farm(s->r.farm[0]);
    s->r.other[0] = &s->rec.farm;
    assert_int_equal(hx_rig_start(&s->r, 0), 0);
    s->r.owner = hx_rig_uuid(901);
    assert_int_equal(hx_history_copy(&s->h[0], &s->r.history), 0);
    note_fact(s);
    format(s, 0);
    format(s, 1);
    for (unsigned i = 1; i <= steps; i++) {
        if (i % (steps / 4) == 0 && i < steps) {
            reopen(s);
        } else if (i == steps / 3) {
            format(s, s->pgs);
            s->pgs++;
        } else if (i % (steps / 5) == 7) {
            hx_rig_stop(&s->r, 0);
            assert_int_equal(hx_rig_start(&s->r, 0), 0);
        } else if (i % (steps / 3) == 11) {
            fail_a_flush(s);
        } else if (i % (steps / 3) == 23) {
            rot_and_mend(s);
        } else if (i % (steps / 3) == 31) {
            heat(s);
        } else if (i == steps / 2 + 3) {
            scrub(s);
        } else if (below(s, 3) == 0) {
            hx_rig_step(&s->r, 50);
        } else {
            append(s, below(s, 8) > 0);
        }
        note_fact(s);
    }
    assert_true(settle(s));
    s->vdl = s->lsn;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(hx_rig_append(&s->r, i, s->epoch, s->vdl, s->floor, NULL, 0, NULL), 0);
    for (unsigned i = 0; i < 6; i++)
        hx_rig_step(&s->r, 200);
    note_fact(s);
    hx_rig_stop(&s->r, 0);
}

static void end_story(struct story *s)
{
    hx_rig_fini(&s->r);
    for (size_t i = 0; i < s->rec.count; i++)
        free(s->rec.calls[i].bytes);
    for (size_t i = 0; i < s->rec_count; i++)
        free(s->recs[i].payload);
    for (unsigned i = 0; i < EPOCHS; i++)
        hx_history_fini(&s->h[i]);
    free(s->rec.calls);
    free(s->rec.tails);
    free(s->recs);
    free(s->facts);
}

/* ---- what must hold after a power loss ---- */
struct view {
    struct story *s;
    const struct fact *was, *next; /* said before the power went; and what it was about to become */
    size_t call;
    const struct hx_history *h; /* of the top that it has now */
    uint32_t pg;
    struct hx_segment_status now;
};

#define BROKEN(v, ...)                                                                                              \
    do {                                                                                                             \
        print_message("# call %zu, PG %u: ", (v)->call, (v)->pg);                                                    \
        fail_msg(__VA_ARGS__);                                                                                       \
    } while (0)

static const struct hx_history *history_of(const struct story *s, uint64_t top)
{
    for (unsigned i = 0; i < s->openings; i++)
        if (hx_history_top(&s->h[i]).v == top)
            return &s->h[i];
    return NULL;
}

static void check_promises(const struct view *v)
{
    const struct hx_segment_status *w = &v->was->s[v->pg], *n = &v->now;
    if (n->state || n->damaged)
        BROKEN(v, "state %d, %llu damaged", n->state, (unsigned long long)n->damaged);
    if (n->promised.v < w->promised.v || n->promised.v > v->next->s[v->pg].promised.v)
        BROKEN(v, "promised %llu after %llu", (unsigned long long)n->promised.v, (unsigned long long)w->promised.v);
    if (n->top.v < w->top.v || n->top.v > v->next->s[v->pg].top.v || n->top.v > n->promised.v)
        BROKEN(v, "top %llu after %llu", (unsigned long long)n->top.v, (unsigned long long)w->top.v);
    uint64_t least = w->scl.v;
    if (n->top.v > w->top.v && hx_history_top_entry(v->h)->vdl.v < least)
        least = hx_history_top_entry(v->h)->vdl.v;
    /* The chain of this PG ends at its last record at or below LEAST. */
    uint64_t need = 0, most = 0;
    for (size_t i = 0; i < v->next->recs; i++) {
        const struct record *x = &v->s->recs[i];
        if (x->pg != v->pg || !valid_under(v->h, x))
            continue;
        most = x->lsn;
        need = x->lsn <= least ? x->lsn : need;
    }
    if (n->scl.v < need || n->scl.v > most)
        BROKEN(v, "SCL %llu, not from %llu to %llu", (unsigned long long)n->scl.v, (unsigned long long)need,
               (unsigned long long)most);
    int err = hx_rig_fence(&v->s->r, 0, v->pg, n->promised.v, 5, NULL);
    if (v->pg == 0 && err != HX_E_FENCED)
        BROKEN(v, "epoch %llu was granted twice", (unsigned long long)n->promised.v);
}

static void fold(const struct view *v, uint32_t page, uint64_t point, uint8_t out[HX_PAGE_SIZE])
{
    memset(out, 0, HX_PAGE_SIZE);
    for (size_t i = 0; i < v->s->rec_count; i++) {
        const struct record *x = &v->s->recs[i];
        if (x->pg == v->pg && x->page == page && x->lsn <= point && valid_under(v->h, x))
            assert_int_equal(hx_rec_apply(out, x->kind, x->payload, x->len), 0);
    }
}

static void check_page(const struct view *v, uint32_t page, uint64_t point)
{
    uint8_t want[HX_PAGE_SIZE], got[HX_PAGE_SIZE];
    struct hx_read_page p;
    int err = hx_rig_read(&v->s->r, 0, v->pg, v->now.top.v, point, page, got, &p);
    if (err == HX_E_TOO_OLD && point < v->next->floor)
        return;
    fold(v, page, point, want);
    if (err || p.state == HX_READ_CORRUPT || memcmp(got, want, sizeof want))
        BROKEN(v, "page %u at %llu of %llu: error %d, state %u", page, (unsigned long long)point,
               (unsigned long long)v->now.scl.v, err, p.state);
}

static void check_pages(const struct view *v, struct hx_rng *g)
{
    if (v->now.promised.v != v->now.top.v)
        return; /* nobody may read: it is between two epochs */
    for (uint32_t page = 0; page < PAGES; page++) {
        check_page(v, page, v->now.scl.v);
        check_page(v, page, hx_rng_below(g, v->now.scl.v + 1));
    }
}

static const struct record *find_record(const struct view *v, uint64_t lsn, uint64_t epoch)
{
    for (size_t i = 0; i < v->s->rec_count; i++)
        if (v->s->recs[i].lsn == lsn && v->s->recs[i].epoch == epoch && v->s->recs[i].pg == v->pg)
            return &v->s->recs[i];
    return NULL;
}

/* Frames of a FETCH: only what was written, only what is valid. */
static void check_frames(const struct view *v, const uint8_t *p, size_t len)
{
    static uint8_t buf[HX_FRAME_RAW_MAX];
    while (len) {
        struct hx_frame_head h;
        struct hx_frame_walk w;
        struct hx_rec r;
        const uint8_t *raw;
        assert_int_equal(hx_frame_head_decode(p, len, &h), 0);
        assert_int_equal(hx_frame_body(&h, p + HX_FRAME_HEAD, buf, &raw), 0);
        hx_frame_walk_init(&w, &h, raw);
        while (hx_frame_walk_next(&w, &r) > 0) {
            const struct record *x = find_record(v, r.lsn.v, h.epoch.v);
            if (!x || !valid_under(v->h, x))
                BROKEN(v, "FETCH gives %llu of epoch %llu", (unsigned long long)r.lsn.v, (unsigned long long)h.epoch.v);
            assert_true(x->kind == r.kind && x->page == r.page && x->len == r.len && x->prev == r.prev.v);
            assert_true(x->len == 0 || memcmp(x->payload, r.payload, r.len) == 0);
        }
        p += hx_frame_bytes(&h);
        len -= hx_frame_bytes(&h);
    }
}

static void check_fetch(const struct view *v)
{
    uint8_t b[21];
    struct hx_rig_reply a;
    hx_put_u64(b, 0);
    hx_put_u64(b + 8, UINT64_MAX);
    hx_put_u32(b + 16, 8u << 20);
    b[20] = 0;
    struct hx_rig_ask q = {.type = HX_MSG_FETCH, .pg = v->pg, .epoch = v->now.top.v, .name = "a2",
                           .role = HX_NODE_ROLE_SEGMENT, .body = {b, sizeof b}};
    assert_int_equal(hx_rig_call(&v->s->r, 0, &q, &a), 0);
    check_frames(v, a.body.p, a.body.len);
    hx_rig_reply_fini(&a);
}

/* Everything that was held above the hint is listed, with the sums of what was written. */
static void check_inventory(const struct view *v)
{
    struct hx_inventory inv = {0};
    uint64_t e = v->now.promised.v;
    if (v->pg == 0)
        return; /* its owner is looked at in check_promises */
    assert_int_equal(hx_rig_fence(&v->s->r, 0, v->pg, e, 5, &inv), 0);
    assert_int_equal(inv.unknown_count, 0);
    for (uint32_t i = 0; i < inv.entry_count; i++) {
        const struct hx_inv_entry *x = &inv.entries[i];
        const struct record *w = find_record(v, x->lsn.v, x->epoch.v);
        if (!w || x->prev.v != w->prev)
            BROKEN(v, "holds %llu of epoch %llu", (unsigned long long)x->lsn.v, (unsigned long long)x->epoch.v);
    }
    uint32_t i = 0;
    for (size_t k = 0; k < v->was->recs; k++) {
        const struct record *w = &v->s->recs[k];
        if (w->pg != v->pg || w->lsn <= inv.vdl_hint.v || w->lsn > v->was->s[v->pg].scl.v || !valid_under(v->h, w))
            continue;
        while (i < inv.entry_count && (inv.entries[i].lsn.v < w->lsn || inv.entries[i].epoch.v != w->epoch))
            i++;
        if (i == inv.entry_count)
            BROKEN(v, "%llu of epoch %llu is not listed", (unsigned long long)w->lsn, (unsigned long long)w->epoch);
    }
    hx_inventory_fini(&inv);
}

static void check_all(struct story *s, size_t call, const struct fact *was, const struct fact *next, struct hx_rng *g)
{
    for (uint32_t pg = 0; pg < PGS; pg++) {
        struct view v = {.s = s, .was = was, .next = next, .call = call, .pg = pg};
        bool there = hx_rig_status(&s->r, 0, pg, &v.now) == 0;
        if (there ? !was->there[pg] && !next->there[pg] : was->there[pg])
            BROKEN(&v, "segment %s", there ? "nobody made" : "lost");
        if (!there)
            continue;
        v.h = history_of(s, v.now.top.v);
        if (!v.h)
            BROKEN(&v, "top %llu", (unsigned long long)v.now.top.v);
        check_promises(&v);
        check_pages(&v, g);
        check_fetch(&v);
        check_inventory(&v);
    }
}

/* Its peers bring it to the end of the story. */
static void check_refill(struct story *s, size_t call, struct hx_rng *g)
{
    struct view v = {.s = s, .was = &s->facts[s->fact_count - 1], .next = &s->facts[s->fact_count - 1], .call = call};
    if (!settle(s))
        BROKEN(&v, "it does not catch up");
    for (v.pg = 0; v.pg < PGS; v.pg++) {
        if (hx_rig_status(&s->r, 0, v.pg, &v.now))
            continue;
        v.h = &s->h[s->openings - 1];
        check_pages(&v, g);
    }
}

/* ---- replaying ---- */
static int replay(struct hx_disk_farm *f, const struct call *c)
{
    struct hx_disk *d;
    int err = f->ops->open(f, c->at, c->kind == CALL_MAKE, &d);
    if (err || c->kind == CALL_MAKE)
        return err;
    if (c->kind == CALL_WRITE)
        return d->ops->write(d, c->file, c->off, c->bytes, c->len);
    if (c->kind == CALL_RENAME)
        return d->ops->rename(d, c->file, c->off);
    if (c->kind == CALL_CUT)
        return d->ops->cut(d, c->file, c->off);
    return c->kind == CALL_FLUSH ? d->ops->flush(d, c->file) : d->ops->remove(d, c->file);
}

static struct hx_sim_disk *disk_after(const struct story *s, size_t calls, uint64_t seed)
{
    static const uint32_t torn[] = {60, 0, 100, 30};
    struct hx_sim_opts o = {.seed = seed};
    o.v[HX_OPT_torn_pct] = torn[seed / CALLS % HX_ARRAY_LEN(torn)];
    o.v[HX_OPT_beside_us] = 1; /* the calls that a disk need not have */
    struct hx_sim_disk *d = hx_sim_disk_new(&o, 0);
    assert_non_null(d);
    for (size_t i = 0; i < calls; i++)
        assert_int_equal(replay(hx_sim_disk_farm(d), &s->rec.calls[i]), 0);
    return d;
}

static const struct fact *fact_at(const struct story *s, size_t calls)
{
    size_t i = 0;
    while (i + 1 < s->fact_count && s->facts[i + 1].calls <= calls)
        i++;
    return &s->facts[i];
}

static uint64_t changes(const struct hx_sim_disk *d)
{
    struct hx_sim_disk_stats st;
    hx_sim_disk_stats(d, &st);
    return st.writes + st.flushes + st.removes;
}

/* Starts over what survived.  The power goes once more at call AT of the start (0: not), and DEATHS more times
 * somewhere in it.  How many calls the start made that went through. */
static uint64_t start_over(struct story *s, struct hx_sim_disk *d, uint64_t at, unsigned deaths, struct hx_rng *g)
{
    s->r.other[0] = hx_sim_disk_farm(d);
    for (unsigned i = 0;; i++) {
        hx_sim_disk_power_off(d);
        hx_sim_disk_power_on(d);
        uint64_t was = changes(d);
        if (i == 0 && at)
            hx_sim_disk_power_off_at(d, at);
        else if (i < deaths + (at > 0))
            hx_sim_disk_power_off_at(d, 1 + hx_rng_below(g, 6));
        int err = hx_rig_start(&s->r, 0);
        if (!hx_sim_disk_is_off(d)) {
            assert_int_equal(err, 0);
            hx_sim_disk_power_off_at(d, 0);
            return changes(d) - was;
        }
        if (!err)
            hx_rig_stop(&s->r, 0);
    }
}

/* The process alone has died: what the next one says of itself is said, too. */
static void start_between(struct story *s, struct hx_sim_disk *d, struct fact *said)
{
    s->r.other[0] = hx_sim_disk_farm(d);
    assert_int_equal(hx_rig_start(&s->r, 0), 0);
    for (uint32_t pg = 0; pg < PGS; pg++) {
        bool there = hx_rig_status(&s->r, 0, pg, &said->s[pg]) == 0;
        assert_true(there || !said->there[pg]);
        said->there[pg] = there;
    }
    hx_rig_stop(&s->r, 0);
}

/* ---- cutting ---- */
struct cut {
    size_t call;       /* the power goes there; after the last one: behind it */
    unsigned variant;  /* other sectors are lost */
    uint64_t at;       /* and once more at this call of the start; 0: no */
    unsigned deaths;   /* and so often at some call of further starts */
    bool process;      /* not at the call: the process dies there, and the power goes after the next one has spoken */
    bool refill, again; /* its peers fill it up; AGAIN: and meanwhile the power goes once more */
};

/* While the peers fill it up the power goes at some call: nothing that it says of itself then may sink. */
static void cut_again(struct story *s, struct hx_sim_disk *d, const struct cut *c, struct hx_rng *g)
{
    struct fact was = {0};
    hx_sim_disk_power_off_at(d, 1 + hx_rng_below(g, 40));
    for (unsigned i = 0; i < 30 && !hx_sim_disk_is_off(d); i++) {
        for (uint32_t pg = 0; pg < PGS; pg++)
            was.there[pg] = hx_rig_status(&s->r, 0, pg, &was.s[pg]) == 0;
        hx_rig_step(&s->r, 50);
    }
    hx_rig_stop(&s->r, 0);
    was.recs = s->rec_count;
    start_over(s, d, 0, 0, g);
    for (uint32_t pg = 0; pg < PGS; pg++) /* it answers nothing, and is no fact, while its disk has failed */
        if (was.there[pg] && was.s[pg].state)
            assert_int_equal(hx_rig_status(&s->r, 0, pg, &was.s[pg]), 0);
    struct fact end = s->facts[s->fact_count - 1];
    for (uint32_t pg = 0; pg < PGS; pg++)
        end.there[pg] |= was.there[pg];
    check_all(s, c->call, &was, &end, g);
}

/* How many calls the start made. */
static uint64_t cut_at(struct story *s, const struct cut *c)
{
    size_t k = c->call;
    struct hx_rng g = hx_rng_fork(k + (uint64_t)c->variant * CALLS, "cut", c->at);
    struct hx_sim_disk *d = disk_after(s, k, k + (uint64_t)c->variant * CALLS);
    const struct fact *next = fact_at(s, k), *end = s->facts + s->fact_count;
    struct fact was = *next;
    while (next + 1 < end && next->calls <= k)
        next++;
    if (k < s->rec.count && s->rec.calls[k].kind != CALL_MAKE && !c->process) {
        hx_sim_disk_power_off_at(d, 1);
        assert_int_equal(replay(hx_sim_disk_farm(d), &s->rec.calls[k]), HX_E_IO);
    }
    if (c->process)
        start_between(s, d, &was);
    uint64_t calls = start_over(s, d, c->at, c->deaths, &g);
    check_all(s, k, &was, next, &g);
    if (c->again)
        cut_again(s, d, c, &g);
    if (c->refill)
        check_refill(s, k, &g);
    hx_rig_stop(&s->r, 0);
    s->r.other[0] = NULL;
    hx_sim_disk_free(d);
    return calls;
}

static struct {
    uint64_t calls[W_KINDS], losses[W_KINDS], inside[W_KINDS];
    uint64_t all, all_inside;
} table;

static void count(const struct story *s, const struct cut *c)
{
    unsigned kinds = c->call < s->rec.count ? s->rec.calls[c->call].kinds : 0;
    for (unsigned w = 0; w < W_KINDS; w++)
        if (kinds >> w & 1) {
            table.calls[w] += c->variant == 0 && c->at == 0;
            table.losses[w]++;
            table.inside[w] += c->at > 0;
        }
    table.all++;
    table.all_inside += c->at > 0;
}

/* Every kind has been met. */
static void assert_complete(void)
{
    for (unsigned w = 0; w < W_KINDS; w++)
        if (table.losses[w] < 3)
            fail_msg("the stories hardly ever do this: %s", what_names[w]);
}

/* Everything that check-crash tries at call K. */
static void cut_all_ways(struct story *s, size_t k)
{
    for (unsigned v = 0; v < VARIANTS; v++) {
        struct cut c = {.call = k, .variant = v, .process = v == 1, .refill = v < 2, .again = v == 2 || v == 3};
        uint64_t calls = cut_at(s, &c);
        count(s, &c);
        for (c.at = 1; v == 0 && c.at <= calls; c.at++) {
            c.refill = false;
            c.deaths = c.at % 3 == 2;
            cut_at(s, &c);
            count(s, &c);
        }
    }
}

static void cut_everywhere(uint64_t seed, unsigned steps, bool all_ways)
{
    struct story s;
    tell_story(&s, seed, steps);
    unsigned kinds[6] = {0};
    for (size_t k = 0; k < s.rec.count; k++)
        kinds[s.rec.calls[k].kind]++;
    print_message("# %zu calls: %u writes, %u flushes, %u removes; %zu records, %u openings\n", s.rec.count,
                  kinds[CALL_WRITE], kinds[CALL_FLUSH], kinds[CALL_REMOVE], s.rec_count, s.openings);
    assert_true(kinds[CALL_REMOVE] > 4 && kinds[CALL_FLUSH] > 200 && s.openings >= 4);
    for (size_t k = 0; k <= s.rec.count; k++) {
        struct cut c = {.call = k, .process = k % 4 == 1, .deaths = (unsigned)(k % 4 < 2 ? 0 : k % 4 - 1),
                        .refill = k % 2 == 0, .again = k % 8 == 4};
        if (all_ways) {
            cut_all_ways(&s, k);
        } else {
            cut_at(&s, &c);
            count(&s, &c);
        }
    }
    end_story(&s);
}

static void power_loss_at_every_call_of_a_story(void **state)
{
    (void)state;
    cut_everywhere(1, 240, false);
}

static void power_loss_at_every_call_of_another_story(void **state)
{
    (void)state;
    cut_everywhere(2, 300, false);
    assert_complete();
}

static void power_loss_in_all_ways(void **state)
{
    const char *stories = getenv("HEXAD_CRASH");
    (void)state;
    for (unsigned i = 1; i <= (unsigned)strtoul(stories, NULL, 10); i++)
        cut_everywhere(i, 240 + 20 * (i % 4), true);
    assert_complete();
}

static void print_table(void)
{
    printf("# %-40s %8s %12s %20s\n", "file operation", "calls", "power losses", "of them in a restart");
    for (unsigned w = 0; w < W_KINDS; w++)
        printf("# %-40s %8llu %12llu %20llu\n", what_names[w], (unsigned long long)table.calls[w],
               (unsigned long long)table.losses[w], (unsigned long long)table.inside[w]);
    printf("# %-40s %8s %12llu %20llu\n", "all (a call may be of several kinds)", "", (unsigned long long)table.all,
           (unsigned long long)table.all_inside);
}

int main(void)
{
    const struct CMUnitTest linear[] = {
        cmocka_unit_test(power_loss_at_every_call_of_a_story),
        cmocka_unit_test(power_loss_at_every_call_of_another_story),
    };
    const struct CMUnitTest all[] = {cmocka_unit_test(power_loss_in_all_ways)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int failed = getenv("HEXAD_CRASH") ? cmocka_run_group_tests_name("crash", all, NULL, NULL)
                                       : cmocka_run_group_tests_name("crash_points", linear, NULL, NULL);
    print_table();
    return failed;
}
