/*
 * fetch.c - FETCH: stored frames of records in (after, to], for a peer that lacks them or for a recovery.
 *
 *   F1 Frames go out in the order of their first LSN, so that whoever asks moves its SCL with every answer.
 *   F2 A frame goes out as it is stored when everything in it may be sent; else what may is framed anew (I4).
 *   F3 A frame that is damaged here is left out and remembered; the peer finds a hole and asks another one.  Not so one
 *      that the own history annuls and that is not held: nobody may ask for it any more, so no peer could mend it.
 *      Damaged is also one that is whole but not the one that the list names: a block that went astray, or is old.
 *   F4 A sidecar that is lost is counted, and made anew at once: until then nothing of its file can be sent.
 *   F5 A file that was lost whole has nothing to send, and is no news: the restart has said what of it is missed.
 *   F6 No more files are looked into than one answer needs: those with the lowest LSNs first, until what they have
 *      would fill it, and no other one has anything below that.  Who lacks a lot asks for a mebibyte after the other,
 *      and each time the sidecars of all that it lacks would cost more than the answer.
 * Positions come from the files' sidecars (the last one read is kept), so nothing is kept in memory per frame.
 * Records that were materialised or moved by compaction are not served: every member has them (README, "Space").
 */
#include "store.h"

#include "hexad/mutant.h"

#include <stdlib.h>

#define CANDIDATES 8192u /* kept after a cut; twice as many at most */

struct candidate {
    uint64_t first, last, prev, epoch;
    uint32_t slot, off, len, crc; /* crc: of the body */
};
struct fetch {
    struct hx_seg *s;
    const struct hx_fetch *ask;
    struct candidate *c;
    size_t count;
    uint64_t bytes; /* of all that were added */
    bool all;       /* files are to be looked into */
    bool cut;       /* some were dropped: there is more */
    uint64_t bound; /* the first of them: what is behind it would leave a gap (F1) */
};

static int by_first(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

static void add(struct fetch *f, uint32_t slot, const struct hx_side_frame *d)
{
    if (f->count == 2 * CANDIDATES) {
        qsort(f->c, f->count, sizeof *f->c, by_first);
        f->count = CANDIDATES;
        f->bound = f->c[CANDIDATES].first;
        f->cut = true;
    }
    if (f->cut && d->first >= f->bound)
        return;
    f->c[f->count++] = (struct candidate){d->first, d->last, d->prev, d->epoch, slot, d->off, d->len, d->body_crc};
    f->bytes += d->len;
}

/* F6: does FILE, and each with a higher lowest LSN, have nothing for this answer?  What goes out ends where they may
 * begin. */
static bool enough(struct fetch *f, const struct hx_logfile *file)
{
    uint64_t bytes = 0;
    size_t i = 0;
    if (f->all || f->bytes <= f->ask->bytes_max)
        return false;
    qsort(f->c, f->count, sizeof *f->c, by_first);
    while (i < f->count && bytes <= f->ask->bytes_max)
        bytes += f->c[i++].len;
    if (bytes <= f->ask->bytes_max || file->min_lsn <= f->c[i - 1].first)
        return false;
    f->count = i;
    f->cut = true;
    return true;
}

static int add_file(struct fetch *f, uint32_t slot)
{
    struct hx_seg *s = f->s;
    struct hx_logfile *file = s->log.files[slot];
    struct hx_buf *side = &file->side;
    if (file->sided) {
        side = &s->fetch_side;
        int err = s->fetch_file == file->id ? 0 : hx_side_load(s, file, side);
        s->fetch_file = err ? 0 : file->id;
        if (err == HX_E_CORRUPT || err == HX_E_NOENT || err == HX_E_IO) { /* F4 */
            err = s->scrub.renewed == file->id ? HX_E_CORRUPT : hx_scrub_renew(s, file);
            s->scrub.renewed = file->id;
            if (!err && file->sided)
                err = hx_side_load(s, file, side);
            s->fetch_file = err || !file->sided ? 0 : file->id;
            side = file->sided ? side : &file->side;
        }
        if (err) /* as if all of it was damaged: this disk keeps nothing */
            return err == HX_E_CORRUPT || err == HX_E_IO ? 0 : err;
    }
    size_t off = 0;
    struct hx_side_frame d;
    const uint8_t *recs;
    while (hx_side_next(side->p, side->len, &off, &d, &recs) > 0)
        if (d.kind == HX_ENV_FRAME && !(d.flags & HX_ENV_DAMAGED) && d.last > f->ask->after && d.first <= f->ask->to)
            add(f, slot, &d);
    return 0;
}

/* What of a frame is valid, framed anew; 0 bytes when nothing is. */
static int reframe(struct fetch *f, const struct hx_frame_head *h, const uint8_t *body, struct hx_buf *out)
{
    struct hx_seg *s = f->s;
    const uint8_t *raw;
    int err = hx_frame_open(s->env->opener, h, body, s->env->raw, &raw);
    if (err)
        return err;
    struct hx_frame_builder *b = s->env->builder;
    struct hx_frame_walk w;
    struct hx_rec r;
    bool begun = false;
    hx_frame_walk_init(&w, h, raw);
    while ((err = hx_frame_walk_next(&w, &r)) > 0) {
        if (!hx_history_valid(&s->meta.history, r.lsn, r.epoch))
            continue;
        if (!begun)
            hx_frame_builder_reset(b, &h->volume, h->pg, h->epoch, r.prev);
        begun = true;
        hx_frame_builder_add(b, r.lsn, r.page, r.kind, r.flags, (struct hx_bytes){r.payload, r.len},
                             (struct hx_bytes){NULL, 0});
    }
    if (err || !begun)
        return err;
    uint8_t *p = hx_buf_add(out, hx_frame_builder_sealed_max(b));
    if (!p)
        return HX_E_NOMEM;
    size_t n = hx_frame_builder_seal(b, HX_LSN(s->chain.hint), HX_LSN(s->floor), HX_LSN(s->gc), h->time_us, p);
    out->len = (size_t)(p - out->p) + n;
    return 0;
}

/* F3: somebody may still ask for a record of this frame. */
static bool wanted(const struct fetch *f, const struct candidate *c)
{
    const struct hx_history *own = &f->s->meta.history;
    const struct hx_epoch epoch = HX_EPOCH(c->epoch);
    return hx_history_valid(own, HX_LSN(c->first), epoch) || hx_history_valid(own, HX_LSN(c->last), epoch) ||
           (f->ask->raw && c->last > f->s->chain.hint);
}

/* F3: what is stored at C's place, LEN bytes at P, is C's frame; its head into *ret. */
static bool stands(const struct candidate *c, const uint8_t *p, struct hx_frame_head *ret)
{
    if (hx_frame_head_decode(p, c->len, ret) || hx_frame_bytes(ret) != c->len)
        return false;
    bool own = ret->first.v == c->first && ret->last.v == c->last && ret->prev.v == c->prev &&
               ret->epoch.v == c->epoch && ret->body_crc == c->crc;
    return (own && hx_crc32c(0, p + HX_FRAME_HEAD, ret->body_len) == ret->body_crc) || HX_MUTANT(FETCH_UNVERIFIED);
}

static int emit(struct fetch *f, const struct candidate *c, struct hx_buf *out)
{
    struct hx_seg *s = f->s;
    const struct hx_history *own = &s->meta.history;
    struct hx_frame_head h;
    uint8_t *p = s->env->scratch;
    hx_assert(c->len <= HX_FRAME_MAX); /* side.c, log.c */
    int err = hx_log_read(s, c->slot, (uint64_t)c->off + HX_LOG_ENV, p, c->len);
    if (!err && !stands(c, p, &h))
        err = HX_E_CORRUPT;
    if (err == HX_E_CORRUPT || err == HX_E_IO)
        return wanted(f, c) ? hx_seg_unknown(s, c->first, c->last, HX_NONE, false) : 0;
    if (err)
        return err;
    /* The LSNs that an epoch may have are one run, so both ends tell for all between. */
    bool all = f->ask->raw || (hx_history_valid(own, h.first, h.epoch) && hx_history_valid(own, h.last, h.epoch));
    if (!all && !HX_MUTANT(GOSSIP_ANNULLED))
        return reframe(f, &h, p + HX_FRAME_HEAD, out);
    uint8_t *to = hx_buf_add(out, c->len);
    if (!to)
        return HX_E_NOMEM;
    memcpy(to, p, c->len);
    return 0;
}

struct source {
    uint64_t min_lsn;
    uint32_t slot;
};

static int by_lowest(const void *a, const void *b)
{
    const struct source *x = a, *y = b;
    return x->min_lsn < y->min_lsn ? -1 : x->min_lsn > y->min_lsn;
}

/* F6 */
static int add_files(struct fetch *f)
{
    const struct hx_log *l = &f->s->log;
    struct source *p = malloc((l->slot_count ? l->slot_count : 1) * sizeof *p);
    size_t count = 0;
    int err = p ? 0 : HX_E_NOMEM;
    for (size_t slot = 0; slot < l->slot_count && !err; slot++) {
        const struct hx_logfile *file = l->files[slot];
        if (file && !file->lost && file->max_lsn > f->ask->after && file->min_lsn <= f->ask->to) /* F5 */
            p[count++] = (struct source){file->min_lsn, (uint32_t)slot};
    }
    if (count)
        qsort(p, count, sizeof *p, by_lowest);
    for (size_t i = 0; i < count && !err && !enough(f, l->files[p[i].slot]); i++)
        err = add_file(f, p[i].slot);
    free(p);
    return err;
}

/* F6 counted on what is damaged, or was made void by the own history: all that was found is sent, and it is not as much
 * as fits.  Who is sent nothing new would ask the same again for ever. */
static bool in_vain(const struct fetch *f, size_t done)
{
    return f->cut && !f->all && done == f->count;
}

static int serve(struct hx_seg *s, const struct hx_fetch *ask, bool all, struct hx_buf *out, bool *ret_more)
{
    struct fetch f = {.s = s, .ask = ask, .all = all};
    size_t was = out->len, i = 0;
    f.c = malloc(2 * CANDIDATES * sizeof *f.c);
    if (!f.c)
        return HX_E_NOMEM;
    int err = add_files(&f);
    qsort(f.c, f.count, sizeof *f.c, by_first); /* F1 */
    for (; i < f.count && !err; i++) {
        if (out->len > was && out->len - was + f.c[i].len > ask->bytes_max)
            break;
        err = emit(&f, &f.c[i], out);
    }
    *ret_more = f.cut || i < f.count;
    if (!err && i < f.count) /* it will be asked for next */
        hx_seg_expect(s, s->log.files[f.c[i].slot]->id, f.c[i].off, ask->bytes_max);
    free(f.c);
    if (err || !in_vain(&f, i))
        return err;
    out->len = was;
    return serve(s, ask, true, out, ret_more);
}

int hx_fetch_serve(struct hx_seg *s, const struct hx_fetch *ask, struct hx_buf *out, bool *ret_more)
{
    return serve(s, ask, false, out, ret_more);
}
