/*
 * writer_log.c - open frames and the ring of sealed ones: where bytes lie, when they may go (hexad/writer.h).
 *
 * Does not send; writer_send.c lends frames to requests and notes that in the frame.
 *
 *   L1 one open frame per PG, so sealed frames of a PG are in LSN order and so are their backlinks.
 *   L2 frames lie in the ring in the order of their sequence numbers, each in one piece: a frame starts in the
 *      first WINDOW bytes and may reach HX_FRAME_MAX beyond them.  With all frames and what is open (uncompressed)
 *      at most WINDOW bytes (W1), a new frame never reaches the oldest one: hx_writer_log_room checks the sum.
 *   L3 a frame leaves the ring only in order, settled, and lent to no request; and when each member has it, or its
 *      server was dropped behind (W5).
 *
 * Dropped behind: when settled frames take more than half of the window, or an append found no room, every member
 * that lacks the oldest one gives up all settled frames: requests that pin them are cancelled, its cursor jumps.
 * It gets what is new (and holds it out of order) while gossip fills the hole.
 * Memory: nothing is allocated here.
 */
#include "writer_int.h"

#include "hexad/assert.h"
#include "hexad/err.h"
#include "hexad/mutant.h"
#include "hexad/quorum.h"

/* A frame that was sealed because the next record did not fit holds at least this. */
#define FULL_MIN (HX_FRAME_RAW_MAX - HX_PAGE_SIZE - HX_REC_HEAD)

struct need {
    size_t bytes, frames;
};

/* Bytes and number of open frames as they would be sealed without compression. */
static struct need open_need(const struct hx_writer *w)
{
    struct need n = {0, 0};
    for (unsigned i = 0; i < HX_WRITER_BUILDERS; i++) {
        if (!w->open[i].used)
            continue;
        n.bytes += hx_frame_builder_sealed_max(w->open[i].b);
        n.frames++;
    }
    return n;
}

/* What the records may need on top: each change of PG may open a frame, and so does each full one. */
static struct need recs_need(const struct hx_writer *w, const struct hx_writer_rec *recs, size_t count,
                             size_t open_bytes)
{
    struct need n = {0, 0};
    uint32_t pg = HX_WRITER_NONE;
    for (size_t i = 0; i < count; i++) {
        uint32_t its = hx_geometry_pg_of(&w->geometry, recs[i].page);
        n.frames += its != pg;
        pg = its;
        n.bytes += HX_REC_HEAD + recs[i].len;
    }
    n.frames += (n.bytes + open_bytes) / FULL_MIN;
    n.bytes += n.frames * HX_FRAME_HEAD;
    return n;
}

static bool fits(const struct hx_writer *w, size_t bytes, size_t frames)
{
    struct need open = open_need(w);
    return w->used + open.bytes + bytes <= w->window &&
           w->tail_seq - w->head_seq + open.frames + frames <= w->frame_size;
}

int hx_writer_log_room(struct hx_writer *w, const struct hx_writer_rec *recs, size_t count)
{
    uint64_t lal = hx_history_top_entry(&w->history)->lal;
    struct need n = recs_need(w, recs, count, open_need(w).bytes);
    /* More than an empty window takes would wait for ever. */
    if (count > lal || n.bytes > w->window || n.frames > w->frame_size)
        return HX_E_TOOBIG;
    if (w->last.v + count > hx_lsn_max(w->vdl, w->begin_end).v + lal && !HX_MUTANT(LAL_IGNORED))
        return HX_E_ROOM;
    if (!fits(w, n.bytes, n.frames)) {
        w->room_need = n.bytes;
        hx_writer_log_release(w);
        if (!fits(w, n.bytes, n.frames))
            return HX_E_ROOM;
    }
    w->room_need = 0;
    return 0;
}

/* An unused builder, after sealing the oldest open frame when there is none. */
static struct hx_writer_open *take_open(struct hx_writer *w)
{
    struct hx_writer_open *oldest = &w->open[0];
    for (unsigned i = 0; i < HX_WRITER_BUILDERS; i++) {
        if (!w->open[i].used)
            return &w->open[i];
        if (hx_frame_builder_first(w->open[i].b).v < hx_frame_builder_first(oldest->b).v)
            oldest = &w->open[i];
    }
    hx_writer_log_seal(w, oldest);
    return oldest;
}

void hx_writer_log_put(struct hx_writer *w, const struct hx_writer_rec *rec, struct hx_lsn lsn, bool cpl)
{
    uint32_t pg = hx_geometry_pg_of(&w->geometry, rec->page);
    struct hx_writer_pgs *p = &w->pg[pg];
    if (p->open >= 0 && !hx_frame_builder_fits(w->open[p->open].b, rec->len))
        hx_writer_log_seal(w, &w->open[p->open]);
    if (p->open < 0) {
        struct hx_writer_open *o = take_open(w);
        struct hx_lsn prev = HX_MUTANT(LINK_DROPPED) ? HX_LSN(0) : p->last;
        hx_frame_builder_reset(o->b, &w->geometry.volume, pg, w->epoch, prev);
        o->pg = pg;
        o->since_ms = w->now_ms;
        o->used = true;
        p->open = (int)(o - w->open);
    }
    hx_frame_builder_add(w->open[p->open].b, lsn, hx_geometry_page_in_pg(&w->geometry, rec->page), rec->kind,
                         cpl ? HX_REC_CPL : 0, (struct hx_bytes){rec->payload, rec->len},
                         (struct hx_bytes){NULL, 0});
    p->last = lsn;
    w->map[lsn.v & (w->map_size - 1)] = pg | (cpl ? HX_WRITER_MAP_CPL : 0);
}

/* Where the next frame starts. */
static size_t place(const struct hx_writer *w)
{
    if (w->head_seq == w->tail_seq)
        return 0; /* start over: a writer that keeps up stays in the same, warm memory */
    return w->tail_off >= w->window ? 0 : w->tail_off;
}

void hx_writer_log_seal(struct hx_writer *w, struct hx_writer_open *o)
{
    struct hx_writer_pgs *p = &w->pg[o->pg];
    size_t off = place(w), max = hx_frame_builder_sealed_max(o->b);
    hx_assert(w->tail_seq - w->head_seq < w->frame_size);
    if (w->head_seq != w->tail_seq) {
        size_t oldest = hx_writer_frame_at(w, w->head_seq)->off;
        hx_assert(off > oldest || off + max <= oldest); /* L2 */
    }
    struct hx_lsn gc = hx_lsn_min(hx_writer_had_by_all(p), hx_lsn_min(w->vdl, w->floor));
    struct hx_writer_frame f = {.off = off, .pg = o->pg, .first = hx_frame_builder_first(o->b),
                                .last = hx_frame_builder_last(o->b)};
    f.len = (uint32_t)hx_frame_builder_seal(o->b, w->vdl, w->floor, gc, w->time_us, w->ring + off);
    hx_assert(f.len <= max);
    *hx_writer_frame_at(w, w->tail_seq++) = f;
    w->tail_off = off + f.len;
    w->used += f.len;
    w->stats.frames++;
    w->stats.frame_bytes += f.len;
    o->used = false;
    p->open = -1;
}

/* ---- release ---- */

static void settle(struct hx_writer *w)
{
    while (w->settled_seq < w->tail_seq) {
        const struct hx_writer_frame *f = hx_writer_frame_at(w, w->settled_seq);
        if (f->last.v > w->vdl.v)
            return;
        w->settled += f->len;
        w->settled_seq++;
    }
}

static bool pressed(const struct hx_writer *w)
{
    if (w->settled > w->window / 2 || w->settled_seq - w->head_seq > w->frame_size / 2)
        return true;
    return w->room_need && !fits(w, w->room_need, 1);
}

/* May the oldest frame go?  DROP: give up on members that lack it. */
static bool releasable(struct hx_writer *w, const struct hx_writer_frame *f, bool drop)
{
    const struct hx_writer_pgs *p = &w->pg[f->pg];
    bool free = true;
    for (unsigned i = 0; i < p->seats; i++) {
        if (p->seat[i].server == HX_WRITER_NONE)
            continue;
        struct hx_writer_server *s = w->server[p->seat[i].server];
        /* A learner keeps no frame: what it missed comes from its peers. */
        bool lacks = i < HX_COPIES && p->scl[i].v < f->last.v && s->dropped <= w->head_seq;
        /* Nor is it given again what a request to it keeps: two learners would take turns for ever. */
        if (drop && (lacks || (i >= HX_COPIES && f->call[i]))) {
            s->dropped = w->settled_seq;
            if (s->cursor < s->dropped)
                s->cursor = s->dropped;
            lacks = false;
        }
        if (f->call[i] && drop)
            s->call[f->call[i] - 1].cancel = true;
        free = free && !lacks && !f->call[i];
    }
    return free;
}

static void count_dropped(struct hx_writer *w, const struct hx_writer_frame *f)
{
    for (unsigned i = 0; i < HX_COPIES; i++)
        w->stats.dropped_behind += w->pg[f->pg].seat[i].server != HX_WRITER_NONE && w->pg[f->pg].scl[i].v < f->last.v;
}

void hx_writer_log_release(struct hx_writer *w)
{
    settle(w);
    while (w->head_seq < w->settled_seq) {
        const struct hx_writer_frame *f = hx_writer_frame_at(w, w->head_seq);
        if (!releasable(w, f, pressed(w)))
            break;
        hx_assert(f->last.v <= w->vdl.v); /* L3 */
        count_dropped(w, f);
        w->settled -= f->len;
        w->used -= f->len;
        w->head_seq++;
        w->room_serial += w->room_need != 0;
    }
}
