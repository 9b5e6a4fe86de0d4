/* fake_fleet.c - see fake_fleet.h. */
#include "fake_fleet.h"

#include "hexad/crc.h"
#include "hexad/place.h"
#include "hexad/quorum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

uint64_t fleet_random(struct fleet *f)
{
    uint64_t x = f->rng += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* ---- making ---- */

struct fleet *fleet_new_bare(uint32_t servers)
{
    struct fleet *f = calloc(1, sizeof *f);
    f->servers = calloc(servers, sizeof *f->servers);
    f->server_count = servers;
    f->now_ms = 1000;
    f->rng = 1;
    for (uint32_t i = 0; i < servers; i++) {
        struct hx_server *s = &f->servers[i].s;
        snprintf(s->name, sizeof s->name, "%c%u", 'a' + (char)(i / 2 % 3), i / 6 * 2 + i % 2 + 1);
        snprintf(s->zone, sizeof s->zone, "az-%c", 'a' + (char)(i / 2 % 3));
        snprintf(s->url, sizeof s->url, "https://127.0.0.1:%u", 9000 + i);
        memset(s->incarnation.b, (int)(i + 1), 16);
        s->incarnation.b[0] = (uint8_t)(i >> 8);
    }
    return f;
}

static struct fleet_seg *seg_of(struct fleet *f, uint32_t server, uint32_t pg)
{
    struct fleet_server *s = &f->servers[server];
    if (pg >= s->seg_count) {
        s->segs = realloc(s->segs, (pg + 1) * sizeof *s->segs);
        memset(s->segs + s->seg_count, 0, (pg + 1 - s->seg_count) * sizeof *s->segs);
        s->seg_count = pg + 1;
    }
    return &s->segs[pg];
}

uint32_t fleet_server_at(const struct fleet *f, uint32_t pg, unsigned slot)
{
    return f->geometry.pgs[pg].server[slot];
}

struct fleet_seg *fleet_seg_at(struct fleet *f, uint32_t pg, unsigned slot)
{
    return seg_of(f, fleet_server_at(f, pg, slot), pg);
}

struct fleet *fleet_new(uint32_t servers, uint32_t pgs, uint64_t lal)
{
    struct fleet *f = fleet_new_bare(servers);
    struct hx_geometry *g = &f->geometry;
    memset(g->volume.b, 7, 16);
    strcpy(g->name, "vol0");
    g->pg_bytes = HX_PG_SIZE_MIN;
    g->lal = lal;
    g->epoch = HX_EPOCH(1);
    for (uint32_t i = 0; i < servers; i++)
        assert_int_equal(hx_geometry_add_server(g, &f->servers[i].s), 0);
    for (uint32_t p = 0; p < pgs; p++) {
        struct hx_pg_members m;
        assert_int_equal(hx_place_group(g, NULL, &m), 0);
        assert_int_equal(hx_geometry_add_pg(g, &m), 0);
    }
    for (uint32_t p = 0; p < pgs; p++) {
        for (unsigned i = 0; i < HX_COPIES; i++) {
            struct fleet_seg *s = fleet_seg_at(f, p, i);
            s->there = true;
            s->promised = HX_EPOCH(1);
            assert_int_equal(
                hx_history_push(&s->history, (struct hx_history_entry){HX_EPOCH(1), HX_LSN(0), HX_LSN(0), lal}),
                0);
            if (p == 0)
                assert_int_equal(hx_geometry_copy(&s->geometry, g), 0);
        }
    }
    return f;
}

static void flight_free(struct fleet_flight *x)
{
    free(x->request);
    free(x->reply);
    free(x);
}

static void seg_fini(struct fleet_seg *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->recs[i].payload);
    free(s->recs);
    hx_history_fini(&s->history);
    hx_geometry_fini(&s->geometry);
}

void fleet_free(struct fleet *f)
{
    while (f->flights != NULL) {
        struct fleet_flight *x = f->flights;
        f->flights = x->next;
        flight_free(x);
    }
    for (uint32_t i = 0; i < f->server_count; i++) {
        for (uint32_t p = 0; p < f->servers[i].seg_count; p++)
            seg_fini(&f->servers[i].segs[p]);
        free(f->servers[i].segs);
    }
    free(f->servers);
    hx_geometry_fini(&f->geometry);
    free(f);
}

/* ---- a segment ---- */

struct fleet_rec fleet_make(uint64_t lsn, uint64_t epoch, uint64_t prev, bool cpl, unsigned salt,
                            uint8_t payload[FLEET_PAYLOAD])
{
    hx_put_u64(payload, lsn * 1000003 + epoch * 131 + salt);
    return (struct fleet_rec){.lsn = HX_LSN(lsn),
                              .prev = HX_LSN(prev),
                              .epoch = HX_EPOCH(epoch),
                              .cpl = cpl,
                              .page = (uint32_t)(lsn % 7),
                              .kind = HX_REC_IMAGE,
                              .len = FLEET_PAYLOAD,
                              .payload = payload};
}

static int cmp_rec(const struct fleet_rec *a, struct hx_lsn lsn, struct hx_epoch epoch)
{
    if (a->lsn.v != lsn.v)
        return a->lsn.v < lsn.v ? -1 : 1;
    return a->epoch.v == epoch.v ? 0 : a->epoch.v < epoch.v ? -1 : 1;
}

static size_t seg_find(const struct fleet_seg *s, struct hx_lsn lsn, struct hx_epoch epoch, bool *ret_there)
{
    size_t i = s->count;
    while (i > 0 && cmp_rec(&s->recs[i - 1], lsn, epoch) >= 0)
        i--;
    *ret_there = i < s->count && cmp_rec(&s->recs[i], lsn, epoch) == 0;
    return i;
}

static void seg_store(struct fleet_seg *s, const struct fleet_rec *rec)
{
    bool there;
    size_t at = seg_find(s, rec->lsn, rec->epoch, &there);
    if (there) {
        if (s->recs[at].damaged) { /* repaired */
            s->recs[at].damaged = false;
            s->unknown = (struct hx_inv_unknown){0};
        }
        return;
    }
    if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 16;
        s->recs = realloc(s->recs, s->cap * sizeof *s->recs);
    }
    memmove(&s->recs[at + 1], &s->recs[at], (s->count - at) * sizeof *s->recs);
    s->recs[at] = *rec;
    s->recs[at].damaged = false;
    s->recs[at].payload = malloc(rec->len + 1u);
    memcpy(s->recs[at].payload, rec->payload, rec->len);
    s->count++;
    if (s->unknown.to.v != 0 && rec->lsn.v >= s->unknown.from.v && rec->lsn.v <= s->unknown.to.v)
        s->unknown = (struct hx_inv_unknown){0};
}

bool fleet_holds(const struct fleet_seg *s, struct hx_lsn lsn, struct hx_epoch epoch)
{
    bool there;
    size_t at = seg_find(s, lsn, epoch, &there);
    return there && !s->recs[at].damaged;
}

static struct hx_lsn scl_upto(const struct fleet_seg *s, const struct hx_history *h, uint64_t max)
{
    struct hx_lsn at = HX_LSN(0);
    for (size_t i = 0; i < s->count; i++) {
        const struct fleet_rec *r = &s->recs[i];
        if (!r->damaged && r->prev.v == at.v && r->lsn.v > at.v && r->lsn.v <= max &&
            hx_history_valid(h, r->lsn, r->epoch))
            at = r->lsn;
    }
    return at;
}

/* By its definition: from 0, the valid record that names the one before. */
struct hx_lsn fleet_scl(const struct fleet_seg *s, const struct hx_history *h)
{
    return scl_upto(s, h, UINT64_MAX);
}

static uint32_t rec_sum(const struct fleet_rec *r)
{
    uint8_t head[5] = {r->kind};
    hx_put_u32(head + 1, r->page);
    return hx_crc32c(hx_crc32c(0, head, 5), r->payload, r->len);
}

static int promise(struct fleet_seg *s, struct hx_epoch epoch, const struct hx_uuid *owner)
{
    if (epoch.v < s->promised.v)
        return HX_E_FENCED;
    if (epoch.v > s->promised.v) {
        s->promised = epoch;
        s->owner = *owner;
    }
    return 0;
}

int fleet_append(struct fleet *f, uint32_t pg, unsigned slot, const struct fleet_rec *rec, struct hx_lsn vdl)
{
    struct fleet_seg *s = fleet_seg_at(f, pg, slot);
    struct hx_uuid owner = {{0}};
    if (!s->there)
        return HX_E_NO_SEGMENT;
    if (promise(s, rec->epoch, &owner) != 0)
        return HX_E_FENCED;
    if (hx_history_top(&s->history).v != rec->epoch.v)
        return HX_E_NEED_HISTORY;
    seg_store(s, rec);
    s->hint = hx_lsn_max(s->hint, vdl);
    f->durable = hx_lsn_max(f->durable, vdl);
    return 0;
}

int fleet_adopt(struct fleet *f, uint32_t pg, unsigned slot, struct hx_epoch epoch, const struct hx_history *h)
{
    struct fleet_seg *s = fleet_seg_at(f, pg, slot);
    struct hx_uuid owner = {{0}};
    if (promise(s, epoch, &owner) != 0)
        return HX_E_FENCED;
    if (hx_history_top(h).v > hx_history_top(&s->history).v)
        assert_int_equal(hx_history_copy(&s->history, h), 0);
    return 0;
}

static void gossip_pair(const struct fleet_seg *from, struct fleet_seg *to)
{
    if (!from->there || !to->there || hx_history_top(&from->history).v != hx_history_top(&to->history).v)
        return;
    for (size_t i = 0; i < from->count; i++)
        if (!from->recs[i].damaged && hx_history_valid(&to->history, from->recs[i].lsn, from->recs[i].epoch))
            seg_store(to, &from->recs[i]);
}

void fleet_gossip(struct fleet *f)
{
    for (uint32_t p = 0; p < f->geometry.pg_count; p++)
        for (unsigned i = 0; i < HX_COPIES; i++)
            for (unsigned k = 0; k < HX_COPIES; k++)
                if (i != k && !f->servers[fleet_server_at(f, p, i)].down &&
                    !f->servers[fleet_server_at(f, p, k)].down)
                    gossip_pair(fleet_seg_at(f, p, i), fleet_seg_at(f, p, k));
}

/* ---- messages ---- */

struct answer {
    int status;
    uint32_t flags;
    struct hx_enc e;
};

static void reserve(struct answer *a, size_t len)
{
    a->e = hx_enc_init(malloc(len + 1), len + 1);
}

static void on_fence(struct fleet_seg *s, const struct hx_msg_head *h, struct answer *a)
{
    bool same = h->epoch.v == s->promised.v && hx_uuid_eq(&h->owner, &s->owner);
    bool ok = h->pg == 0 ? h->epoch.v > s->promised.v || same : h->epoch.v >= s->promised.v;
    if (!ok) {
        a->status = HX_E_FENCED;
        return;
    }
    s->promised = h->epoch;
    s->owner = h->owner;
    struct hx_inventory v = {.history = s->history, .scl = fleet_scl(s, &s->history), .vdl_hint = s->hint,
                             .hydrated = !s->unhydrated, .has_geometry = h->pg == 0, .geometry = s->geometry};
    v.entries = calloc(s->count + 1, sizeof *v.entries);
    v.unknowns = &s->unknown;
    v.unknown_count = s->unknown.to.v != 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct fleet_rec *r = &s->recs[i];
        if (!r->damaged && r->lsn.v > s->hint.v)
            v.entries[v.entry_count++] =
                (struct hx_inv_entry){r->lsn, r->prev, r->epoch, r->cpl ? HX_INV_CPL : 0, rec_sum(r)};
    }
    reserve(a, hx_inventory_encoded_len(&v));
    hx_inventory_encode(&v, &a->e);
    free(v.entries);
}

/* The label of the frame in which a record is given: a few records share one. */
uint64_t fleet_time(const struct fleet *f, struct hx_lsn lsn)
{
    return 77 + lsn.v / (f->per_label ? f->per_label : 3);
}

static void on_fetch(struct fleet *f, struct fleet_seg *s, const struct hx_msg_head *h, struct hx_dec *d,
                     struct answer *a)
{
    struct hx_lsn after = HX_LSN(hx_dec_u64(d)), to = HX_LSN(hx_dec_u64(d));
    uint32_t max = hx_dec_u32(d);
    uint8_t raw = hx_dec_u8(d);
    assert_int_equal(hx_dec_end(d), 0);
    assert_int_equal(raw, 1);
    if (h->epoch.v != s->promised.v || !hx_uuid_eq(&h->owner, &s->owner)) {
        a->status = HX_E_FENCED;
        return;
    }
    struct hx_frame_builder *b;
    assert_int_equal(hx_frame_builder_new(&b), 0);
    reserve(a, (s->count + 1) * (HX_FRAME_HEAD + HX_REC_HEAD + HX_PAGE_SIZE));
    for (size_t i = 0; i < s->count; i++) {
        const struct fleet_rec *r = &s->recs[i];
        if (r->damaged || r->lsn.v <= after.v || r->lsn.v > to.v)
            continue;
        if (a->e.len >= max) {
            a->flags = HX_REPLY_MORE;
            break;
        }
        hx_frame_builder_reset(b, &f->geometry.volume, h->pg, r->epoch, r->prev);
        hx_frame_builder_add(b, r->lsn, r->page, r->kind, r->cpl ? HX_REC_CPL : 0,
                             (struct hx_bytes){r->payload, r->len}, (struct hx_bytes){0});
        a->e.len += hx_frame_builder_seal(b, HX_LSN(0), HX_LSN(0), HX_LSN(0), fleet_time(f, r->lsn),
                                              a->e.p + a->e.len);
    }
    hx_frame_builder_free(b);
}

static void store_frames(struct fleet *f, struct fleet_seg *s, const struct hx_msg_head *h,
                         const struct hx_history *hist, struct hx_dec *d)
{
    uint8_t *buf = malloc(HX_FRAME_RAW_MAX);
    while (d->off < d->len) {
        struct hx_frame_head fh;
        const uint8_t *raw;
        assert_int_equal(hx_frame_head_decode(d->p + d->off, d->len - d->off, &fh), 0);
        assert_true(fh.pg == h->pg && hx_uuid_eq(&fh.volume, &f->geometry.volume));
        assert_true(fh.vdl.v <= f->durable.v || fh.vdl.v <= hist->e[hist->count - 2].vdl.v); /* V3 */
        assert_int_equal(hx_frame_body(&fh, d->p + d->off + HX_FRAME_HEAD, buf, &raw), 0);
        struct hx_frame_walk w;
        struct hx_rec rec;
        hx_frame_walk_init(&w, &fh, raw);
        while (hx_frame_walk_next(&w, &rec) == 1) {
            assert_true(hx_history_valid(hist, rec.lsn, rec.epoch)); /* V3 */
            uint8_t copy[HX_PAGE_SIZE];
            memcpy(copy, rec.payload, rec.len);
            struct fleet_rec r = {.lsn = rec.lsn, .prev = rec.prev, .epoch = rec.epoch, .cpl = rec.flags & HX_REC_CPL,
                                  .page = rec.page, .kind = rec.kind, .len = rec.len, .payload = copy};
            seg_store(s, &r);
        }
        d->off += hx_frame_bytes(&fh);
    }
    free(buf);
}

static void on_repair(struct fleet *f, struct fleet_seg *s, const struct hx_msg_head *h, struct hx_dec *d,
                      struct answer *a)
{
    struct hx_history hist = {0};
    assert_int_equal(hx_history_decode(&hist, d), 0);
    assert_int_equal(hx_history_top(&hist).v, h->epoch.v);
    a->status = promise(s, h->epoch, &h->owner);
    if (a->status == 0) {
        store_frames(f, s, h, &hist, d);
        reserve(a, 8);
        struct hx_lsn scl = fleet_scl(s, &hist);
        hx_enc_u64(&a->e, scl.v);
        if (s->unknown.to.v > scl.v && s->unknown.from.v <= hx_history_top_entry(&hist)->vdl.v)
            a->flags = HX_REPLY_DAMAGED;
    }
    hx_history_fini(&hist);
}

/* V2: the last record of the PG up to the cut, on anybody; four members must be complete through it. */
static void check_written_back(struct fleet *f, const struct hx_geometry *g, const struct hx_history *h)
{
    uint64_t cut = hx_history_top_entry(h)->vdl.v;
    unsigned opened = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        opened += hx_members_has(hx_row_slots(&g->pgs[0]), i) &&
                  hx_history_top(&seg_of(f, g->pgs[0].server[i], 0)->history).v >= hx_history_top(h).v;
    if (opened >= hx_row_write_quorum(&g->pgs[0]))
        return; /* a late copy of the message: disks may have been damaged since */
    for (uint32_t p = 0; p < hx_geometry_live(g); p++) {
        uint64_t scl[HX_COPIES], last = 0;
        hx_members done = 0;
        for (unsigned i = 0; i < HX_COPIES; i++) {
            bool in = hx_members_has(hx_row_slots(&g->pgs[p]), i);
            scl[i] = in ? scl_upto(seg_of(f, g->pgs[p].server[i], p), h, cut).v : 0;
            last = scl[i] > last ? scl[i] : last;
        }
        for (unsigned i = 0; i < HX_COPIES; i++)
            if (seg_of(f, g->pgs[p].server[i], p)->there && scl[i] == last)
                done = hx_members_add(done, i);
        assert_true(hx_row_write(&g->pgs[p], done));
    }
}

static void on_adopt(struct fleet *f, struct fleet_seg *s, const struct hx_msg_head *h, struct hx_dec *d,
                     struct answer *a)
{
    struct hx_history hist = {0};
    assert_int_equal(hx_history_decode(&hist, d), 0);
    assert_int_equal(hx_dec_end(d), 0);
    a->status = promise(s, h->epoch, &h->owner);
    if (a->status == 0) {
        if (h->pg == 0 && hx_history_top(&hist).v == h->epoch.v && f->geometry.pg_count > 0)
            check_written_back(f, &s->geometry, &hist);
        if (hx_history_top(&hist).v > hx_history_top(&s->history).v)
            assert_int_equal(hx_history_copy(&s->history, &hist), 0);
        reserve(a, 16);
        hx_enc_u64(&a->e, hx_history_top(&s->history).v);
        hx_enc_u64(&a->e, fleet_scl(s, &s->history).v);
    }
    hx_history_fini(&hist);
}

static void on_geometry(struct fleet_seg *s, const struct hx_msg_head *h, struct hx_dec *d, struct answer *a)
{
    struct hx_geometry g = {0};
    assert_int_equal(hx_geometry_decode(&g, d), 0);
    assert_int_equal(hx_dec_end(d), 0);
    assert_int_equal(h->pg, 0);
    a->status = promise(s, h->epoch, &h->owner);
    if (a->status == 0 && hx_geometry_compare(&g, &s->geometry) >= 0)
        assert_int_equal(hx_geometry_copy(&s->geometry, &g), 0);
    hx_geometry_fini(&g);
}

static void on_format(struct fleet_seg *s, const struct hx_msg_head *h, struct hx_dec *d, struct answer *a)
{
    struct hx_geometry g = {0};
    struct hx_history hist = {0};
    assert_int_equal(hx_geometry_decode_any(&g, d), 0);
    assert_int_equal(hx_history_decode(&hist, d), 0);
    assert_int_equal(hx_dec_end(d), 0);
    assert_true(h->pg < g.pg_count && hx_uuid_eq(&g.volume, &h->volume));
    if (s->there && h->pg == 0 && !hx_uuid_eq(&s->geometry.volume, &g.volume))
        a->status = HX_E_EXISTS_VOLUME;
    else if (s->there)
        a->status = promise(s, h->epoch, &h->owner);
    if (!s->there) {
        s->there = true;
        s->promised = h->epoch;
        s->owner = h->owner;
        s->history = hist;
        hist = (struct hx_history){0};
        if (h->pg == 0) {
            s->geometry = g;
            g = (struct hx_geometry){0};
        }
    }
    hx_geometry_fini(&g);
    hx_history_fini(&hist);
}

static void on_lookup(struct fleet *f, uint32_t server, struct hx_dec *d, struct answer *a)
{
    char name[HX_NAME_MAX + 1];
    hx_dec_str(d, name, sizeof name);
    assert_int_equal(hx_dec_end(d), 0);
    struct fleet_seg *s = seg_of(f, server, 0);
    if (!s->there || strcmp(s->geometry.name, name) != 0) {
        a->status = HX_E_NO_VOLUME;
        return;
    }
    struct hx_lookup l = {.volume = s->geometry.volume, .top = hx_history_top(&s->history), .promised = s->promised,
                          .writer = {.ago_ms = UINT64_MAX}, .geometry = s->geometry};
    reserve(a, hx_lookup_encoded_max(&l));
    hx_lookup_encode(&l, &a->e);
}

static void on_hello(struct fleet *f, uint32_t server, struct answer *a)
{
    struct hx_hello h = {.disk_total = 1 << 30, .disk_free = 1 << 29};
    strcpy(h.name, f->servers[server].s.name);
    strcpy(h.zone, f->servers[server].s.zone);
    reserve(a, 256);
    hx_hello_encode(&h, &a->e);
}

static void dispatch(struct fleet *f, uint32_t server, const struct hx_msg_head *h, struct hx_bytes body,
                     struct answer *a)
{
    struct hx_dec d = hx_dec_init(body.p, body.len);
    if (h->type == HX_MSG_HELLO) {
        on_hello(f, server, a);
        return;
    }
    if (h->type == HX_MSG_LOOKUP) {
        on_lookup(f, server, &d, a);
        return;
    }
    if (!hx_uuid_eq(&h->server, &f->servers[server].s.incarnation)) {
        a->status = HX_E_STRANGER;
        return;
    }
    struct fleet_seg *s = seg_of(f, server, h->pg);
    if (!s->there && h->type != HX_MSG_FORMAT) {
        a->status = HX_E_NO_SEGMENT;
        return;
    }
    switch (h->type) {
    case HX_MSG_FORMAT: on_format(s, h, &d, a); break;
    case HX_MSG_FENCE: on_fence(s, h, a); break;
    case HX_MSG_FETCH: on_fetch(f, s, h, &d, a); break;
    case HX_MSG_REPAIR: on_repair(f, s, h, &d, a); break;
    case HX_MSG_ADOPT: on_adopt(f, s, h, &d, a); break;
    case HX_MSG_GEOMETRY: on_geometry(s, h, &d, a); break;
    case HX_MSG_MEMBERS: /* which life it is */
        reserve(a, 8);
        hx_enc_u64(&a->e, 1);
        break;
    default: fail_msg("unexpected message %u", h->type);
    }
}

static void handle(struct fleet *f, struct fleet_flight *x)
{
    struct hx_msg_head h;
    struct hx_bytes body;
    struct answer a = {0};
    assert_int_equal(hx_msg_decode(x->request, x->request_len, &h, &body), 0);
    int r = f->hook != NULL ? f->hook(f->hook_ctx, f, x->server, &h, body) : 0;
    if (r == FLEET_SILENT || f->servers[x->server].down) {
        x->lost = true;
        return;
    }
    f->delivered++;
    if (r < 0)
        a.status = r;
    else
        dispatch(f, x->server, &h, body, &a);
    assert_int_equal(a.e.err, 0);
    struct hx_reply_head rh = {.type = h.type, .req_id = h.req_id, .status = a.status, .flags = a.flags,
                               .server = f->servers[x->server].s.incarnation};
    if (h.type != HX_MSG_HELLO && h.type != HX_MSG_LOOKUP && seg_of(f, x->server, h.pg)->there) {
        rh.promised = seg_of(f, x->server, h.pg)->promised;
        rh.promised_owner = seg_of(f, x->server, h.pg)->owner;
    }
    size_t len = a.status == 0 ? a.e.len : 0;
    a.e.p = realloc(a.e.p, len + FLEET_TWIST_ROOM);
    if (f->twist != NULL)
        f->twist(f->twist_ctx, x->server, &h, &rh, a.e.p, &len);
    struct hx_bytes piece = {a.e.p, len};
    x->reply_len = HX_REPLY_HEAD + piece.len;
    x->reply = malloc(x->reply_len);
    hx_reply_head_encode(&rh, &piece, 1, x->reply);
    if (piece.len > 0)
        memcpy(x->reply + HX_REPLY_HEAD, piece.p, piece.len);
    free(a.e.p);
}

/* ---- the network ---- */

static struct fleet_flight **flight_link(struct fleet *f, size_t index)
{
    struct fleet_flight **link = &f->flights;
    while (index-- > 0)
        link = &(*link)->next;
    return link;
}

static void land(struct fleet *f, struct fleet_flight *x)
{
    if (x->client != NULL)
        f->servers[x->server].under_way--;
    x->client = NULL;
}

static void take_effect(struct fleet *f, void *client, const struct hx_effect *e)
{
    if (e->kind == HX_EFFECT_CANCEL) {
        for (struct fleet_flight *x = f->flights; x != NULL; x = x->next)
            if (x->client == client && x->call == e->call)
                land(f, x);
        return;
    }
    struct fleet_flight *x = calloc(1, sizeof *x);
    uint32_t s = 0;
    while (strcmp(f->servers[s].s.url, e->server->url) != 0)
        s++;
    *x = (struct fleet_flight){.call = e->call, .due_ms = f->now_ms + e->timeout_ms, .client = client, .server = s};
    for (int i = 0; i < e->iovcnt; i++)
        x->request_len += e->iov[i].iov_len;
    x->request = malloc(x->request_len);
    size_t at = 0;
    for (int i = 0; i < e->iovcnt; i++) {
        memcpy(x->request + at, e->iov[i].iov_base, e->iov[i].iov_len);
        at += e->iov[i].iov_len;
    }
    *flight_link(f, f->flight_count++) = x;
    struct fleet_server *sv = &f->servers[s];
    sv->under_way++;
    if (sv->under_way > sv->under_way_max)
        sv->under_way_max = sv->under_way;
}

static const struct fleet_part *part_of(const struct fleet_part *parts, size_t count, const void *obj)
{
    for (size_t i = 0; i < count; i++)
        if (parts[i].obj == obj)
            return &parts[i];
    return NULL;
}

static void flight_remove(struct fleet *f, size_t index)
{
    struct fleet_flight **link = flight_link(f, index), *x = *link;
    *link = x->next;
    f->flight_count--;
    flight_free(x);
}

static bool chance(struct fleet *f, unsigned per_mille)
{
    return f->random && fleet_random(f) % 1000 < per_mille;
}

/* One event of one flight: the request arrives, or the answer does.  False: it waits for its timeout. */
static bool advance(struct fleet *f, const struct fleet_part *parts, size_t count, size_t index)
{
    struct fleet_flight *x = *flight_link(f, index);
    if (x->client == NULL && (x->reply != NULL || x->lost || !chance(f, f->zombies))) {
        flight_remove(f, index);
        return true;
    }
    if (x->lost)
        return false;
    if (x->reply == NULL) {
        x->lost = chance(f, f->loss);
        if (!x->lost)
            handle(f, x);
        if (x->reply != NULL && chance(f, f->loss))
            x->lost = true;
        return true;
    }
    const struct fleet_part *p = part_of(parts, count, x->client);
    if (p == NULL)
        return false; /* another client's: not driven now */
    land(f, x);
    p->answer(p->obj, f->now_ms, x->call, (struct hx_bytes){x->reply, x->reply_len});
    flight_remove(f, index);
    return true;
}

static void time_out(struct fleet *f, const struct fleet_part *parts, size_t count)
{
    for (size_t i = 0; i < f->flight_count;) {
        struct fleet_flight *x = *flight_link(f, i);
        const struct fleet_part *p = part_of(parts, count, x->client);
        if (x->due_ms > f->now_ms || p == NULL) {
            i++;
            continue;
        }
        land(f, x);
        p->failed(p->obj, f->now_ms, x->call, HX_E_TIMEOUT);
        flight_remove(f, i);
    }
}

static void carry_out(struct fleet *f, const struct fleet_part *parts, size_t count)
{
    struct hx_effect e;
    for (size_t i = 0; i < count; i++) {
        while (parts[i].next(parts[i].obj, &e) == 1)
            take_effect(f, parts[i].obj, &e);
        for (uint32_t s = 0; s < f->server_count && count == 1; s++)
            assert_true(f->servers[s].under_way <= 4); /* V1 */
    }
}

static bool pass_time(struct fleet *f, const struct fleet_part *parts, size_t count)
{
    uint64_t wait = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        uint64_t ms = parts[i].tick(parts[i].obj, f->now_ms);
        wait = ms < wait ? ms : wait;
    }
    for (struct fleet_flight *x = f->flights; x != NULL; x = x->next)
        if (part_of(parts, count, x->client) != NULL && x->due_ms - f->now_ms < wait)
            wait = x->due_ms - f->now_ms;
    if (wait == UINT64_MAX)
        return false;
    f->now_ms += wait;
    time_out(f, parts, count);
    for (size_t i = 0; i < count; i++)
        parts[i].tick(parts[i].obj, f->now_ms);
    return true;
}

static bool deliver(struct fleet *f, const struct fleet_part *parts, size_t count)
{
    size_t from = f->random && f->flight_count > 0 ? fleet_random(f) % f->flight_count : 0;
    for (size_t k = 0; k < f->flight_count; k++)
        if (advance(f, parts, count, (from + k) % f->flight_count))
            return true;
    return false;
}

bool fleet_step(struct fleet *f, const struct fleet_part *parts, size_t count)
{
    carry_out(f, parts, count);
    return deliver(f, parts, count) || pass_time(f, parts, count);
}

void fleet_drain(struct fleet *f, const struct fleet_part *p)
{
    do {
        carry_out(f, p, 1);
    } while (deliver(f, p, 1));
}

void fleet_abandon(struct fleet *f, void *obj)
{
    for (struct fleet_flight *x = f->flights; x != NULL; x = x->next)
        if (x->client == obj)
            land(f, x);
}

/* ---- parts ---- */

#define PART(kind)                                                                                          \
    static int kind##_next(void *o, struct hx_effect *e)                                                    \
    {                                                                                                       \
        return hx_##kind##_next(o, e);                                                                      \
    }                                                                                                       \
    static void kind##_answer(void *o, uint64_t now, uint64_t call, struct hx_bytes body)                   \
    {                                                                                                       \
        hx_##kind##_answer(o, now, call, body);                                                             \
    }                                                                                                       \
    static void kind##_failed(void *o, uint64_t now, uint64_t call, int err)                                \
    {                                                                                                       \
        hx_##kind##_failed(o, now, call, err);                                                              \
    }                                                                                                       \
    static uint64_t kind##_tick(void *o, uint64_t now)                                                      \
    {                                                                                                       \
        return hx_##kind##_tick(o, now);                                                                    \
    }                                                                                                       \
    struct fleet_part fleet_##kind(struct hx_##kind *o)                                                     \
    {                                                                                                       \
        return (struct fleet_part){o, kind##_next, kind##_answer, kind##_failed, kind##_tick};              \
    }
PART(recovery)
PART(create)
PART(growth)
