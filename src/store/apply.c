/*
 * apply.c - stored records become held, chained and indexed; and what a new hint, floor or history does.
 *
 * The one place where chain and index change.  It runs after the bytes are durable (log.c), or when a restart
 * reads them back (load.c), and both give the same state:
 *   A1 a record above the hint is held; it is indexed iff it is valid under the own history (I4);
 *   A2 a record at or below the hint that is not valid is ignored for ever (the hint cannot be annulled);
 *   A3 the same (lsn, epoch) twice changes nothing, unless the first copy is known to be damaged (I14); at a restart
 *      the later copy counts: it was taken because the first one had been found damaged, or is as good;
 *   A4 where one record of a frame is known to be damaged its neighbours mostly are, too: all of a frame that comes
 *      again take over the places of their twins, not one after each read that meets the damage.
 * Running out of memory here leaves chain and index behind the disk: the segment stops (its error is NOMEM)
 * and a restart reads everything again.
 */
#include "store.h"

#include "hexad/mutant.h"

#include <stdlib.h>

#define HELD_KEEP 4096u /* entries that stay allocated */

static int index_record(struct hx_seg *s, uint32_t page, const struct hx_version *v, bool local, bool over)
{
    int err = hx_index_insert(s, page, v, local, over);
    if (!err && hx_rec_is_base(v->kind))
        hx_index_prune(s, page);
    return err;
}

static struct hx_version version_of(const struct hx_held *r)
{
    return (struct hx_version){.lsn = r->lsn, .file = r->file, .pos = r->pos, .at = r->at, .sum = r->sum,
                               .len = r->len, .kind = r->kind, .codec = r->codec};
}

static int index_held(struct hx_seg *s, const struct hx_held *r, bool over)
{
    struct hx_version v = version_of(r);
    return index_record(s, r->page, &v, false, over);
}

static int apply_above(struct hx_seg *s, const struct hx_held *r, bool again)
{
    struct hx_held *have = hx_chain_find(&s->chain, r->lsn, r->epoch);
    if (have && !s->loading && !again)
        return 0; /* A3 */
    if (have) {
        s->log.files[have->file]->refs--;
        *have = *r;
    } else {
        int err = hx_chain_hold(&s->chain, r);
        if (err)
            return err;
    }
    s->log.files[r->file]->refs++;
    hx_seg_known(s, r->prev, r->lsn);
    return r->valid ? index_held(s, r, have != NULL) : 0;
}

static int apply_below(struct hx_seg *s, const struct hx_held *r, bool again)
{
    if (!r->valid)
        return 0; /* A2 */
    bool covered = hx_chain_covers(&s->chain, r->lsn);
    if (covered && !s->loading && !again)
        return 0; /* A3; when loading, the chain may begin above records that pages still need */
    int err = covered ? 0 : hx_chain_span(&s->chain, r->prev, r->lsn);
    if (!err && s->proof && covered && !hx_chain_covers(s->proof, r->lsn))
        err = hx_chain_span(s->proof, r->prev, r->lsn);
    if (!err)
        err = index_held(s, r, again || s->loading);
    hx_seg_known(s, r->prev, r->lsn);
    return err;
}

static int apply_local(struct hx_seg *s, const struct hx_held *r)
{
    struct hx_version v = version_of(r);
    int err = index_record(s, r->page, &v, true, false);
    if ((s->unknown_count || s->wrong_count) && hx_rec_is_base(v.kind))
        hx_seg_mended(s, r->page, v.lsn, v.sum);
    return err;
}

int hx_apply_held(struct hx_seg *s, struct hx_held *h, bool again)
{
    h->valid = hx_history_valid(&s->meta.history, HX_LSN(h->lsn), HX_EPOCH(h->epoch)) || HX_MUTANT(GOSSIP_ANNULLED);
    return h->lsn > s->chain.hint ? apply_above(s, h, again) : apply_below(s, h, again);
}

static int apply_frame(struct hx_seg *s, uint32_t slot, const struct hx_side_frame *f, const uint8_t *recs)
{
    uint32_t off = f->count * HX_REC_HEAD;
    uint64_t prev = f->prev;
    bool again = s->unknown_count && hx_seg_lost_within(s, f->first, f->last); /* A4 */
    int err = 0;
    for (uint32_t i = 0; i < f->count && !err; i++, recs += HX_LOG_SIDE_REC) {
        struct hx_side_rec r;
        struct hx_version v;
        hx_side_rec_decode(recs, &r);
        hx_version_place(&v, slot, f->off, f->codec, i, off, r.len);
        struct hx_held h = {.lsn = f->first + r.lsn_off, .prev = prev, .epoch = f->epoch, .page = r.page, .sum = r.sum,
                            .file = v.file, .pos = v.pos, .at = v.at, .len = v.len, .kind = r.kind,
                            .flags = r.flags, .codec = v.codec};
        s->log.files[slot]->raw += (uint64_t)v.len + HX_REC_HEAD;
        err = f->kind == HX_ENV_LOCAL ? apply_local(s, &h) : hx_apply_held(s, &h, again);
        off += r.len;
        prev = h.lsn;
    }
    return err;
}

int hx_apply_side(struct hx_seg *s, uint32_t slot, const uint8_t *side, size_t len, bool loading)
{
    size_t off = 0;
    struct hx_side_frame f;
    const uint8_t *recs;
    int got, err = 0;
    s->loading = loading;
    if (loading)
        s->log.files[slot]->raw = 0; /* the list is all of it */
    while (!err && (got = hx_side_next(side, len, &off, &f, &recs)) > 0) {
        if (f.first)
            hx_log_note(s->log.files[slot], f.first, f.flags & HX_ENV_DAMAGED ? f.first : f.last);
        if (!(f.flags & HX_ENV_DAMAGED)) {
            err = apply_frame(s, slot, &f, recs);
        } else {
            uint64_t later = s->log.files[slot]->later, last = f.last;
            if (last == UINT64_MAX && later)
                last = later > f.first ? later : f.first;
            s->log.files[slot]->damaged = s->log.files[slot]->vague = true;
            /* At or below the base no link of a record says what was there: of a member that was a learner it may be
             * the only images that it has. */
            bool blind = f.flags & HX_ENV_BLIND || f.first <= s->meta.base.v;
            err = f.first ? hx_seg_unknown(s, f.first, last, HX_NONE, blind) : 0;
        }
    }
    s->loading = false;
    hx_chain_advance(&s->chain);
    return err ? err : got;
}

void hx_apply_hint(struct hx_seg *s, uint64_t vdl)
{
    struct hx_chain *c = &s->chain;
    if (vdl <= c->hint)
        return;
    hx_seg_touch(s);
    while (c->held_count && c->held[c->held_at].lsn <= vdl) {
        struct hx_held *r = &c->held[c->held_at];
        if (r->valid && r->lsn <= c->scl)
            c->anchor = r->lsn;
        else if (r->valid && hx_chain_span(c, r->prev, r->lsn)) {
            hx_seg_poison(s, HX_E_NOMEM);
            return;
        }
        s->log.files[r->file]->refs--;
        c->held_at++;
        c->held_count--;
    }
    c->hint = vdl;
    hx_chain_advance(c);
    if (!c->held_count && c->held_cap > HELD_KEEP) { /* after a burst */
        free(c->held);
        c->held = NULL;
        c->held_at = c->held_cap = 0;
    }
}

void hx_apply_floor(struct hx_seg *s, uint64_t floor, uint64_t gc)
{
    floor = floor < s->chain.hint ? floor : s->chain.hint;
    gc = gc < s->chain.hint ? gc : s->chain.hint;
    if (floor > s->floor || gc > s->gc)
        hx_seg_touch(s);
    s->floor = floor > s->floor ? floor : s->floor;
    s->gc = gc > s->gc ? gc : s->gc;
}

/*
 * Everything that was lost had been taken before the restart that found it missing, so under an older epoch than the
 * one that is adopted now: where this one cut the volume, all of it ends.
 */
static void bound_unknowns(struct hx_seg *s)
{
    const struct hx_history_entry *top = hx_history_top_entry(&s->meta.history);
    hx_assert(top); /* rules.c: no history is replaced by an empty one */
    for (size_t i = s->unknown_count; i-- > 0;) {
        struct hx_unknown *u = &s->unknowns[i];
        if (u->to != UINT64_MAX)
            continue;
        if (u->from > top->vdl.v)
            *u = s->unknowns[--s->unknown_count];
        else
            u->to = top->vdl.v;
    }
    if (s->log.endless && top->vdl.v > s->log.highest)
        s->log.highest = top->vdl.v;
    s->log.endless = false;
}

int hx_apply_history(struct hx_seg *s)
{
    struct hx_chain *c = &s->chain;
    for (size_t i = 0; i < c->held_count; i++) {
        struct hx_held *r = &c->held[c->held_at + i];
        bool valid = hx_history_valid(&s->meta.history, HX_LSN(r->lsn), HX_EPOCH(r->epoch));
        if (r->valid && !valid) {
            struct hx_version v = version_of(r);
            hx_index_remove(s, r->page, &v);
        }
        if (!r->valid && valid) {
            int err = index_held(s, r, false);
            if (err)
                return err;
        }
        r->valid = valid;
    }
    bound_unknowns(s);
    c->scl = hx_chain_walk(c, &s->meta.history); /* C4 */
    hx_chain_advance(c);
    return 0;
}
