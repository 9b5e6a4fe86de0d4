/*
 * recovery_msg.c - the requests of a recovery as bytes: built when their turn comes, so that they say what is
 * true then.  Decides nothing.
 *
 * Invariant G1: a frame made here carries the walk's start as its VDL, never VDL': that VDL' is durable is
 * known only after this epoch is open, and a hint above what a write quorum holds would make a later
 * recovery skip records.
 * Memory: each body is allocated, and owned by its call (ask.h).
 */
#include "recovery_int.h"

#include "hexad/assert.h"
#include "hexad/mutant.h"

#include <stdlib.h>

struct body {
    uint8_t *p;
    size_t len, cap;
};

static int body_room(struct body *b, size_t more)
{
    if (b->cap - b->len >= more)
        return 0;
    size_t cap = 2 * b->cap + more;
    uint8_t *p = realloc(b->p, cap);
    if (p == NULL)
        return HX_E_NOMEM;
    b->p = p;
    b->cap = cap;
    return 0;
}

static int put_history(struct body *b, const struct hx_history *h)
{
    size_t len = hx_history_encoded_len(h);
    if (body_room(b, len) != 0)
        return HX_E_NOMEM;
    struct hx_enc e = hx_enc_init(b->p + b->len, len);
    hx_history_encode(h, &e);
    hx_assert(e.err == 0 && e.len == len);
    b->len += len;
    return 0;
}

static int put_geometry(struct body *b, const struct hx_geometry *g)
{
    size_t len = hx_geometry_encoded_len(g);
    if (body_room(b, len) != 0)
        return HX_E_NOMEM;
    struct hx_enc e = hx_enc_init(b->p + b->len, len);
    hx_geometry_encode(g, &e);
    hx_assert(e.err == 0 && e.len == len);
    b->len += len;
    return 0;
}

static int put_frame(struct hx_recovery *r, struct body *b, uint64_t time_us)
{
    if (hx_frame_builder_count(r->builder) == 0)
        return 0;
    if (body_room(b, hx_frame_builder_sealed_max(r->builder)) != 0)
        return HX_E_NOMEM;
    struct hx_lsn vdl = HX_MUTANT(REPAIR_ANNOUNCES) ? r->vdl : r->start; /* G1 */
    b->len += hx_frame_builder_seal(r->builder, vdl, HX_LSN(0), HX_LSN(0), time_us, b->p + b->len);
    return 0;
}

/* Frames of what the member lacks, in order, up to a body's worth or the first record not fetched yet. */
static int put_lacking(struct hx_recovery *r, struct rec_pg *p, struct rec_member *m, struct body *b)
{
    uint32_t i = 0, before = UINT32_MAX; /* before: entry added last */
    uint64_t time_us = 0;
    size_t len_max = b->len + REC_BODY_BYTES;
    int err = 0;
    while (i < p->entry_count && !rec_lacks(m, &p->entry[i]))
        i++;
    m->batch_from = i;
    hx_frame_builder_reset(r->builder, &r->geometry.volume, p->index, hx_history_top(&r->parent), HX_LSN(0));
    for (; i < p->entry_count && b->len < len_max && err == 0; i++) {
        const struct rec_entry *e = &p->entry[i];
        if (!rec_lacks(m, e))
            continue;
        const struct rec_data *d = e->data;
        if (d == NULL)
            break;
        if (before == UINT32_MAX || before + 1 != i || d->time_us != time_us ||
            !hx_frame_builder_fits(r->builder, d->len)) {
            err = put_frame(r, b, time_us);
            hx_frame_builder_reset(r->builder, &r->geometry.volume, p->index, hx_history_top(&r->parent), e->prev);
            time_us = d->time_us;
        }
        hx_frame_builder_add(r->builder, e->lsn, d->page, d->kind, e->flags & HX_INV_CPL ? HX_REC_CPL : 0,
                             (struct hx_bytes){d->payload, d->len}, (struct hx_bytes){0});
        before = i;
    }
    m->batch_to = i;
    return err != 0 ? err : put_frame(r, b, time_us);
}

static int put_fetch(const struct rec_pg *p, struct body *b)
{
    if (body_room(b, 21) != 0)
        return HX_E_NOMEM;
    /* As far as the run of entries goes that are needed and that this member holds. */
    uint32_t to = p->fetch_at;
    while (to + 1 < p->entry_count && p->entry[to + 1].data == NULL &&
           hx_members_has(p->entry[to + 1].held & ~p->entry[to + 1].bad, p->fetch_slot))
        to++;
    struct hx_enc e = hx_enc_init(b->p, b->cap);
    hx_enc_u64(&e, p->entry[p->fetch_at].lsn.v - 1);
    hx_enc_u64(&e, p->entry[to].lsn.v);
    hx_enc_u32(&e, REC_BODY_BYTES);
    hx_enc_u8(&e, 1);
    b->len = e.len;
    return 0;
}

static int put_body(struct hx_recovery *r, struct hx_ask_task *t, struct body *b)
{
    int err = 0;
    switch (t->msg) {
    case HX_MSG_FENCE:
        return 0;
    case HX_MSG_FORMAT:
        err = put_geometry(b, &r->geometry);
        return err != 0 ? err : put_history(b, &r->parent);
    case HX_MSG_FETCH:
        return put_fetch(HX_CONTAINER_OF(t, struct rec_pg, fetch), b);
    case HX_MSG_REPAIR:
        err = put_history(b, &r->child);
        return err != 0 ? err : put_lacking(r, r->pgs[rec_member_of(t)->pg], rec_member_of(t), b);
    case HX_MSG_GEOMETRY:
        return put_geometry(b, &r->geometry);
    default:
        hx_assert(t->msg == HX_MSG_ADOPT);
        return put_history(b, t->owner_kind == REC_TASK_META ? &r->child : &r->parent);
    }
}

static uint32_t pg_of(struct hx_ask_task *t)
{
    switch (t->owner_kind) {
    case REC_TASK_MEMBER:
        return rec_member_of(t)->pg;
    case REC_TASK_FETCH:
        return HX_CONTAINER_OF(t, struct rec_pg, fetch)->index;
    default:
        return 0;
    }
}

int rec_send(struct hx_recovery *r, struct hx_ask_task *t, struct hx_effect *ret)
{
    struct body b = {0};
    const struct hx_geometry *g = r->state == HX_RECOVERY_CLAIM ? &r->hint : &r->geometry;
    struct hx_msg_head head = {.volume = g->volume, .owner = r->owner, .epoch = r->epoch,
                               .pg = pg_of(t), .g = g->g, .m = g->m};
    int err = put_body(r, t, &b);
    if (err != 0) {
        free(b.p);
        return err;
    }
    return hx_ask_send(&r->ask, t, &head, b.p, b.len, ret);
}
