/*
 * volume.c - what a server knows of a volume besides its segments: whether its writer lives; LOOKUP and STATUS.
 *
 * The writer is alive while a connection that carried an accepted APPEND of the newest epoch is open, it was heard
 * within HX_WRITER_SILENT_MS, and it has not said goodbye.  This decides nothing about safety (fencing does);
 * it only lets a second mount be refused politely.  Kept in memory: after a restart nobody has been heard.
 */
#include "node_private.h"

#include <stdlib.h>

struct hx_volume *hx_volume_get(struct hx_node *n, const struct hx_uuid *id, bool make)
{
    size_t lo = 0, hi = n->volume_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(n->volumes[mid]->id.b, id->b, sizeof id->b) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < n->volume_count && hx_uuid_eq(&n->volumes[lo]->id, id))
        return n->volumes[lo];
    if (!make || hx_buf_grow(&n->volumes, &n->volume_cap, n->volume_count, sizeof *n->volumes))
        return NULL;
    struct hx_volume *v = calloc(1, sizeof *v);
    if (!v)
        return NULL;
    v->id = *id;
    v->gossip_ms = n->now_ms;
    memmove(n->volumes + lo + 1, n->volumes + lo, (n->volume_count - lo) * sizeof *n->volumes);
    n->volumes[lo] = v;
    n->volume_count++;
    return v;
}

void hx_volume_heard(struct hx_node *n, const struct hx_req *r, const struct hx_append_head *a)
{
    struct hx_volume *v = hx_volume_get(n, &r->head.volume, false);
    hx_assert(v); /* something of it is here: each segment has its volume (node.c) */
    if (r->head.epoch.v < v->epoch.v)
        return;
    if (r->head.epoch.v > v->epoch.v) {
        v->epoch = r->head.epoch;
        v->conn_count = 0;
        v->vdl = 0;
        v->text[0] = 0;
    }
    v->heard = true;
    v->heard_ms = r->now_ms;
    v->vdl = a->vdl.v > v->vdl ? a->vdl.v : v->vdl;
    v->goodbye = a->flags & HX_APPEND_GOODBYE;
    if (a->info[0])
        memcpy(v->text, a->info, sizeof v->text);
    for (unsigned i = 0; i < v->conn_count; i++)
        if (v->conns[i] == r->conn)
            return;
    if (v->conn_count == HX_NODE_CONNS_MAX) /* the oldest is forgotten; those that matter come again */
        memmove(v->conns, v->conns + 1, --v->conn_count * sizeof *v->conns);
    v->conns[v->conn_count++] = r->conn;
}

void hx_volume_closed(struct hx_node *n, uint64_t conn)
{
    for (size_t k = 0; k < n->volume_count; k++) {
        struct hx_volume *v = n->volumes[k];
        for (unsigned i = v->conn_count; i-- > 0;)
            if (v->conns[i] == conn)
                v->conns[i] = v->conns[--v->conn_count];
    }
}

static void writer_info(const struct hx_node *n, const struct hx_volume *v, bool text, struct hx_writer_info *ret)
{
    uint64_t ago = v->heard ? n->now_ms - v->heard_ms : UINT64_MAX;
    ret->alive = v->heard && v->conn_count > 0 && ago <= HX_WRITER_SILENT_MS && !v->goodbye;
    ret->ago_ms = ago;
    ret->epoch = v->epoch;
    ret->vdl = HX_LSN(v->vdl);
    if (text)
        memcpy(ret->text, v->text, sizeof ret->text);
    else
        ret->text[0] = 0;
}

/* The segment of the volume that knows its metadata best: PG 0's, which has the whole geometry, else the one with the
 * highest slice. */
static struct hx_seg *best_segment(const struct hx_node *n, const struct hx_uuid *id)
{
    size_t i, end = hx_node_range(n, id, &i);
    struct hx_seg *best = NULL;
    for (; i < end; i++)
        if ((!n->segs[i]->error || n->segs[i]->retired) && /* T3 of retire.c */
            (!best || ((best->at.pg || best->retired) &&
                       hx_geometry_compare(&n->segs[i]->meta.geometry, &best->meta.geometry) > 0)))
            best = n->segs[i];
    return best;
}

static int answer_lookup(struct hx_node *n, const struct hx_req *r, const struct hx_volume *v, const struct hx_seg *s)
{
    struct hx_lookup *l = calloc(1, sizeof *l);
    if (!l)
        return HX_E_NOMEM;
    size_t i, end = hx_node_range(n, &v->id, &i);
    l->volume = v->id;
    for (; i < end; i++) {
        struct hx_epoch top = hx_seg_top(n->segs[i]), promised = n->segs[i]->meta.promised;
        l->top = top.v > l->top.v ? top : l->top;
        l->promised = promised.v > l->promised.v ? promised : l->promised;
    }
    writer_info(n, v, true, &l->writer);
    l->geometry = s->meta.geometry; /* borrowed */
    struct hx_buf b = {0};
    size_t max = hx_lookup_encoded_max(l);
    uint8_t *p = max > HX_MSG_BODY_MAX ? NULL : hx_buf_add(&b, max);
    if (p) {
        struct hx_enc e = hx_enc_init(p, max);
        hx_lookup_encode(l, &e);
        hx_assert(!e.err);
        b.len = e.len;
        hx_out_body(n, r, &b);
    }
    free(l);
    return p ? 0 : max > HX_MSG_BODY_MAX ? HX_E_TOOBIG : HX_E_NOMEM;
}

int hx_volume_lookup(struct hx_node *n, const struct hx_req *r, const char *name)
{
    for (size_t k = 0; k < n->volume_count; k++) {
        const struct hx_seg *s = best_segment(n, &n->volumes[k]->id);
        if (s && !strcmp(s->meta.geometry.name, name))
            return answer_lookup(n, r, n->volumes[k], s);
    }
    /* A segment that cannot be used may be of this volume: "no such volume" would be a guess, and ends an opening. */
    for (size_t i = 0; i < n->seg_count; i++)
        if (n->segs[i]->error &&
            (!n->segs[i]->meta.geometry.name[0] || !strcmp(n->segs[i]->meta.geometry.name, name)))
            return n->segs[i]->error;
    return HX_E_NO_VOLUME;
}

static void segment_status(struct hx_node *n, const struct hx_seg *s, bool text, struct hx_segment_status *st)
{
    memset(st, 0, sizeof *st);
    st->volume = s->at.volume;
    memcpy(st->volume_name, s->meta.geometry.name, sizeof st->volume_name);
    st->pg = s->at.pg;
    st->top = hx_seg_top(s);
    st->promised = s->meta.promised;
    st->scl = HX_LSN(s->chain.scl);
    st->highest = HX_LSN(hx_chain_highest(&s->chain));
    st->vdl = HX_LSN(s->chain.hint);
    st->gc = HX_LSN(s->gc);
    st->disk_bytes = hx_space_bytes(s);
    st->pages = s->index.pages;
    st->records = s->index.versions;
    st->damaged = hx_seg_damages(s);
    st->state = s->error ? s->error : s->nospace || s->reserve.tight ? HX_E_NOSPACE : st->damaged ? HX_E_CORRUPT : 0;
    if (s->filling && !st->state)
        st->state = HX_E_LAGGING;
    hx_scrub_status(s, &st->scrub);
    if (s->fill) { /* how far it is, instead */
        st->scrub.total = hx_geometry_pg_pages(&s->meta.geometry) << HX_PAGE_SHIFT;
        st->scrub.done = ((uint64_t)(s->fill->ranges - s->fill->left) * HX_FILL_RANGE) << HX_PAGE_SHIFT;
    }
    const struct hx_volume *v = hx_volume_get(n, &s->at.volume, false);
    hx_assert(v);
    writer_info(n, v, text, &st->writer);
}

static struct hx_segment_part segment_part(const struct hx_seg *s)
{
    const struct hx_geometry *g = &s->meta.geometry;
    struct hx_segment_part p = {.life = s->meta.life, .epoch = g->epoch, .g = g->g, .m = g->m};
    if (s->retired || s->retiring)
        p.flags = HX_PART_RETIRED;
    else
        p.flags = (hx_rules_named(s) ? HX_PART_NAMED : 0) | (s->filling ? HX_PART_LEARNER : 0);
    if (s->filling)
        p.of = hx_geometry_pg_pages(g) << HX_PAGE_SHIFT;
    if (s->filling && s->fill) {
        p.filled = ((uint64_t)(s->fill->ranges - s->fill->left) * HX_FILL_RANGE) << HX_PAGE_SHIFT;
        p.filled = p.filled < p.of ? p.filled : p.of; /* the last range may be short */
    }
    return p;
}

static bool add_parts(const struct hx_node *n, size_t first, uint32_t count, struct hx_buf *b)
{
    uint8_t *p = hx_buf_add(b, (size_t)count * HX_SEGMENT_PART);
    if (!p)
        return count == 0;
    struct hx_enc e = hx_enc_init(p, (size_t)count * HX_SEGMENT_PART);
    for (uint32_t k = 0; k < count; k++) {
        struct hx_segment_part part = segment_part(n->segs[first + k]);
        hx_segment_part_encode(&part, &e);
    }
    hx_assert(!e.err && e.len == (size_t)count * HX_SEGMENT_PART);
    return true;
}

void hx_volume_status(struct hx_node *n, const struct hx_req *r)
{
    struct hx_segment_status *st = malloc(sizeof *st);
    struct hx_buf b = {0};
    size_t i = 0, end = n->seg_count, max = hx_segment_status_encoded_max();
    uint32_t count = 0;
    if (!hx_uuid_is_zero(&r->head.volume))
        end = hx_node_range(n, &r->head.volume, &i);
    bool ok = st && hx_buf_add(&b, 4);
    const size_t first = i;
    for (; ok && i < end && b.len + max + (count + 1) * (size_t)HX_SEGMENT_PART <= HX_MSG_BODY_MAX; i++, count++) {
        /* The writer's text once per volume: a thousand segments would repeat it a thousand times. */
        bool text = i == first || !hx_uuid_eq(&n->segs[i]->at.volume, &n->segs[i - 1]->at.volume);
        size_t was = b.len;
        uint8_t *p = hx_buf_add(&b, max);
        ok = p != NULL;
        if (!ok)
            break;
        struct hx_enc e = hx_enc_init(p, max);
        segment_status(n, n->segs[i], text, st);
        hx_segment_status_encode(st, &e);
        hx_assert(!e.err);
        b.len = was + e.len;
    }
    free(st);
    if (r->head.g == HX_STATUS_PARTS)
        ok = ok && add_parts(n, first, count, &b);
    if (ok) {
        hx_put_u32(b.p, count);
        hx_out_body(n, r, &b);
    } else {
        hx_buf_fini(&b);
        hx_out_plain(n, r, HX_E_NOMEM);
    }
}
