/*
 * chain.c - which records a segment holds, and the SCL: how far it has them without a hole.
 *
 * Every record names the one before it in its PG.  Everything at or below the hint (the highest VDL announced)
 * can never be annulled any more, so only there may knowledge be merged:
 *
 *   anchor     the chain is complete to here, for ever (anchor <= hint, anchor <= SCL)
 *   spans      runs above the SCL and at or below the hint, each without a hole inside
 *   held       every record above the hint, one by one, valid or not: what inventories list
 *
 *   C1 held is ascending by (lsn, epoch), without doubles, and everything in it is above the hint.
 *   C2 spans are ascending and disjoint; none begins at or below the SCL (it would be part of it).
 *   C3 SCL = end of the chain from the anchor over the spans and the valid ones of held.
 *   C4 the SCL only sinks when the own history changes (hx_apply_history), never below the anchor (I5).
 *
 * A record r extends a chain that is complete to x iff prev(r) <= x < lsn(r): everything of the PG up to x is
 * there, and nothing lies between prev(r) and r.
 * Pure; memory grows with the number of records between VDL and the newest, which the writer bounds (lal).
 */
#include "store.h"

#include "hexad/mutant.h"

#include <stdlib.h>

void hx_chain_fini(struct hx_chain *c)
{
    free(c->held);
    free(c->spans);
    *c = (struct hx_chain){0};
}

/* Index (from held_at) of the first held record at or above (lsn, epoch). */
static size_t lower(const struct hx_chain *c, uint64_t lsn, uint64_t epoch)
{
    size_t lo = 0, hi = c->held_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct hx_held *r = &c->held[c->held_at + mid];
        if (r->lsn < lsn || (r->lsn == lsn && r->epoch < epoch))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct hx_held *hx_chain_find(const struct hx_chain *c, uint64_t lsn, uint64_t epoch)
{
    size_t i = lower(c, lsn, epoch);
    struct hx_held *r = c->held ? &c->held[c->held_at + i] : NULL;
    return i < c->held_count && r->lsn == lsn && r->epoch == epoch ? r : NULL;
}

/* Index of the first span whose end is at or above LSN. */
static size_t span_lower(const struct hx_chain *c, uint64_t lsn)
{
    size_t lo = 0, hi = c->span_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->spans[mid].last < lsn)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool hx_chain_covers(const struct hx_chain *c, uint64_t lsn)
{
    if (lsn <= c->scl)
        return true;
    size_t i = span_lower(c, lsn);
    return i < c->span_count && c->spans[i].prev < lsn;
}

bool hx_chain_has_run(const struct hx_chain *c, uint64_t first, uint64_t last, uint64_t epoch, uint32_t count)
{
    if (last <= c->hint) { /* a span has no hole inside */
        size_t i = span_lower(c, last);
        return i < c->span_count && c->spans[i].prev < first;
    }
    if (first <= c->hint)
        return false;
    uint32_t n = 0;
    for (size_t i = lower(c, first, 0); i < c->held_count && c->held[c->held_at + i].lsn <= last; i++)
        n += c->held[c->held_at + i].epoch == epoch;
    return n == count;
}

int hx_chain_hold(struct hx_chain *c, const struct hx_held *r)
{
    hx_assert(r->lsn > c->hint); /* C1 */
    if (c->held_at + c->held_count == c->held_cap && c->held_at > c->held_cap / 2) {
        memmove(c->held, c->held + c->held_at, c->held_count * sizeof *c->held);
        c->held_at = 0;
    }
    int err = hx_buf_grow(&c->held, &c->held_cap, c->held_at + c->held_count, sizeof *c->held);
    if (err)
        return err;
    size_t i = lower(c, r->lsn, r->epoch);
    struct hx_held *at = &c->held[c->held_at + i];
    memmove(at + 1, at, (c->held_count - i) * sizeof *at);
    *at = *r;
    c->held_count++;
    return 0;
}

int hx_chain_span(struct hx_chain *c, uint64_t prev, uint64_t lsn)
{
    size_t i = span_lower(c, prev);
    /* The usual case: goes on where a span ends. */
    if (i < c->span_count && c->spans[i].last == prev) {
        c->spans[i].last = lsn;
    } else {
        int err = hx_buf_grow(&c->spans, &c->span_cap, c->span_count, sizeof *c->spans);
        if (err)
            return err;
        memmove(c->spans + i + 1, c->spans + i, (c->span_count - i) * sizeof *c->spans);
        c->spans[i] = (struct hx_span){prev, lsn};
        c->span_count++;
    }
    if (i + 1 < c->span_count && c->spans[i + 1].prev == lsn) {
        c->spans[i].last = c->spans[i + 1].last;
        memmove(c->spans + i + 1, c->spans + i + 2, (c->span_count - i - 2) * sizeof *c->spans);
        c->span_count--;
    }
    return 0;
}

/* Spans that X reaches: the end of the last one.  *ret_used: how many. */
static uint64_t over_spans(const struct hx_chain *c, uint64_t x, size_t *ret_used)
{
    size_t i = 0;
    for (; i < c->span_count && (c->spans[i].prev <= x || HX_MUTANT(SCL_OVER_HOLES)); i++)
        if (c->spans[i].last > x)
            x = c->spans[i].last;
    *ret_used = i;
    return x;
}

void hx_chain_advance(struct hx_chain *c)
{
    size_t used;
    uint64_t x = over_spans(c, c->scl, &used);
    if (used) {
        c->span_count -= used;
        memmove(c->spans, c->spans + used, c->span_count * sizeof *c->spans);
    }
    if (x <= c->hint)
        c->anchor = x;
    /* Beyond a hole below the hint nothing above the hint can count. */
    if (!c->span_count) {
        for (size_t i = lower(c, x + 1, 0); i < c->held_count; i++) {
            const struct hx_held *r = &c->held[c->held_at + i];
            if (!r->valid && !HX_MUTANT(SCL_UNFILTERED))
                continue;
            if (r->prev > x && !HX_MUTANT(SCL_OVER_HOLES))
                break;
            x = r->lsn;
        }
    }
    c->scl = x;
    hx_assert(c->anchor <= c->scl);
}

uint64_t hx_chain_walk(const struct hx_chain *c, const struct hx_history *h)
{
    size_t used;
    uint64_t x = over_spans(c, c->scl <= c->hint ? c->scl : c->anchor, &used);
    if (used < c->span_count)
        return x;
    for (size_t i = 0; i < c->held_count; i++) {
        const struct hx_held *r = &c->held[c->held_at + i];
        bool valid = hx_history_valid(h, HX_LSN(r->lsn), HX_EPOCH(r->epoch));
        if (!valid && !HX_MUTANT(SCL_UNFILTERED))
            continue;
        if (r->prev > x && !HX_MUTANT(SCL_OVER_HOLES))
            break;
        x = r->lsn;
    }
    return x;
}

uint64_t hx_chain_highest(const struct hx_chain *c)
{
    uint64_t x = c->span_count ? c->spans[c->span_count - 1].last : c->scl;
    if (c->held_count && c->held[c->held_at + c->held_count - 1].lsn > x)
        x = c->held[c->held_at + c->held_count - 1].lsn;
    return x;
}
