/*
 * fake_members.c - six servers of a small volume without sockets, disks or time (fake_members.h).
 *
 * Everything about them is plain on purpose: it is what the real code is compared with.
 */
#include "fake_members.h"

#include "hexad/assert.h"
#include "hexad/crc.h"
#include "hexad/err.h"
#include "hexad/place.h"

#include <stdio.h>
#include <stdlib.h>

#define SMALL_ANSWER 4096u

void fake_geometry(struct hx_geometry *g, uint32_t servers, uint32_t pgs, uint64_t lal)
{
    *g = (struct hx_geometry){.pg_bytes = 1 << 20, .lal = lal, .epoch = {1}};
    memset(g->volume.b, 0x5a, sizeof g->volume.b);
    strcpy(g->name, "fake");
    hx_assert(servers <= FAKE_SERVERS_MAX);
    for (unsigned i = 0; i < servers; i++) {
        struct hx_server s = {0};
        snprintf(s.name, sizeof s.name, "%c%u", (int)('a' + i / 2 % 3), i / 6 * 2 + i % 2 + 1);
        snprintf(s.zone, sizeof s.zone, "az-%c", (int)('a' + i / 2 % 3));
        snprintf(s.url, sizeof s.url, "https://127.0.0.1:%u", 7000 + i);
        memset(s.incarnation.b, (int)(0x10 + i), sizeof s.incarnation.b);
        hx_assert(hx_geometry_add_server(g, &s) == 0);
    }
    for (uint32_t k = 0; k < pgs; k++) {
        struct hx_pg_members m;
        hx_assert(hx_place_group(g, NULL, &m) == 0 && hx_geometry_add_pg(g, &m) == 0);
    }
}

void fake_init(struct fake *f, const struct hx_geometry *g, struct hx_epoch epoch)
{
    *f = (struct fake){.epoch = epoch};
    hx_assert(hx_geometry_copy(&f->geometry, g) == 0 && g->pg_count <= FAKE_PGS_MAX);
    memset(f->owner.b, 0x77, sizeof f->owner.b);
    for (unsigned i = 0; i < g->server_count; i++)
        f->server[i].incarnation = g->servers[i].incarnation;
}

void fake_fini(struct fake *f)
{
    for (unsigned i = 0; i < FAKE_SERVERS_MAX; i++)
        for (unsigned k = 0; k < FAKE_PGS_MAX; k++) {
            struct fake_segment *s = &f->server[i].seg[k];
            for (size_t n = 0; n < s->count; n++)
                free(s->rec[n].payload);
            free(s->rec);
        }
    while (f->count)
        fake_forget(f, 0);
    free(f->queue);
    hx_geometry_fini(&f->geometry);
}

/* ---- the queue ---- */

static size_t find(const struct fake *f, uint64_t call)
{
    size_t i = 0;
    while (i < f->count && f->queue[i].call != call)
        i++;
    return i;
}

/* What an effect lends stays as it was until the completion. */
static void check_lent(const struct fake_request *q)
{
    size_t at = 0;
    for (int i = 0; i < q->iovcnt; i++) {
        hx_assert(memcmp(q->p + at, q->iov[i].iov_base, q->iov[i].iov_len) == 0);
        at += q->iov[i].iov_len;
    }
}

void fake_effect(struct fake *f, const struct hx_effect *e)
{
    if (e->kind == HX_EFFECT_CANCEL) {
        size_t i = find(f, e->call);
        hx_assert(i < f->count);
        check_lent(&f->queue[i]);
        fake_forget(f, i);
        f->cancels++;
        return;
    }
    if (f->count == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 32;
        f->queue = realloc(f->queue, f->cap * sizeof *f->queue);
        hx_assert(f->queue != NULL);
    }
    struct fake_request q = {.call = e->call, .serial = ++f->serial, .timeout_ms = e->timeout_ms};
    while (q.server < f->geometry.server_count && strcmp(f->geometry.servers[q.server].name, e->server->name) != 0)
        q.server++;
    hx_assert(q.server < f->geometry.server_count && find(f, e->call) == f->count);
    for (int i = 0; i < e->iovcnt; i++)
        q.len += e->iov[i].iov_len;
    q.p = malloc(q.len);
    q.iovcnt = e->iovcnt;
    q.iov = malloc((size_t)e->iovcnt * sizeof *q.iov);
    hx_assert(q.p != NULL && q.iov != NULL);
    memcpy(q.iov, e->iov, (size_t)e->iovcnt * sizeof *q.iov);
    size_t at = 0;
    for (int i = 0; i < e->iovcnt; i++) {
        memcpy(q.p + at, e->iov[i].iov_base, e->iov[i].iov_len);
        at += e->iov[i].iov_len;
    }
    struct hx_msg_head h;
    struct hx_bytes body;
    hx_assert(hx_msg_decode(q.p, q.len, &h, &body) == 0);
    q.type = h.type;
    if (h.type == HX_MSG_APPEND) {
        struct hx_append_head a;
        struct hx_dec d = hx_dec_init(body.p, body.len);
        hx_append_head_decode(&a, &d);
        q.frames = a.frame_count;
    }
    f->queue[f->count++] = q;
}

void fake_forget(struct fake *f, size_t i)
{
    free(f->queue[i].p);
    free(f->queue[i].iov);
    memmove(&f->queue[i], &f->queue[i + 1], (f->count - i - 1) * sizeof *f->queue);
    f->count--;
}

/* ---- what a segment does ---- */

struct hx_lsn fake_scl(struct fake *f, unsigned server, uint32_t pg)
{
    struct fake_segment *s = &f->server[server].seg[pg];
    struct hx_lsn scl = s->scl.v > s->start.v ? s->scl : s->start;
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < s->count; i++)
            if (s->rec[i].prev.v == scl.v && s->rec[i].lsn.v > scl.v) {
                scl = s->rec[i].lsn;
                more = true;
            }
    }
    return s->scl = scl;
}

void fake_page(struct fake *f, unsigned server, uint32_t pg, uint32_t page, struct hx_lsn at,
               uint8_t out[HX_PAGE_SIZE])
{
    struct fake_segment *s = &f->server[server].seg[pg];
    memset(out, 0, HX_PAGE_SIZE);
    for (struct hx_lsn done = HX_LSN(0);;) {
        const struct fake_rec *next = NULL;
        for (size_t i = 0; i < s->count; i++)
            if (s->rec[i].page == page && s->rec[i].lsn.v > done.v && s->rec[i].lsn.v <= at.v &&
                (!next || s->rec[i].lsn.v < next->lsn.v))
                next = &s->rec[i];
        if (!next)
            return;
        hx_assert(hx_rec_apply(out, next->kind, next->payload, next->len) == 0);
        done = next->lsn;
    }
}

static void store(struct fake_segment *s, const struct hx_rec *r)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->rec[i].lsn.v == r->lsn.v) {
            /* W4: the same record, whenever it comes */
            hx_assert(s->rec[i].len == r->len && s->rec[i].page == r->page && s->rec[i].kind == r->kind);
            hx_assert(r->len == 0 || memcmp(s->rec[i].payload, r->payload, r->len) == 0);
            s->doubles++;
            return;
        }
    if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 64;
        s->rec = realloc(s->rec, s->cap * sizeof *s->rec);
        hx_assert(s->rec != NULL);
    }
    struct fake_rec *to = &s->rec[s->count++];
    *to = (struct fake_rec){r->lsn, r->prev, r->page, r->kind, r->flags, r->len, malloc(r->len + 1u)};
    hx_assert(to->payload != NULL);
    if (r->len)
        memcpy(to->payload, r->payload, r->len);
}

void fake_lose_records(struct fake *f, unsigned server, uint32_t pg, size_t keep)
{
    struct fake_segment *s = &f->server[server].seg[pg];
    while (s->count > keep)
        free(s->rec[--s->count].payload);
    s->scl = HX_LSN(0);
}

static int segment_error(const struct fake_segment *s)
{
    return s->absent ? HX_E_NO_SEGMENT : s->no_history ? HX_E_NEED_HISTORY : s->refuse;
}

/* Stores one frame; says which PG it was. */
static uint32_t take_frame(struct fake *f, unsigned server, struct hx_dec *d)
{
    static uint8_t buf[HX_FRAME_RAW_MAX];
    struct hx_frame_head h;
    const uint8_t *raw;
    struct hx_frame_walk walk;
    struct hx_rec rec;
    int rc;
    hx_assert(hx_frame_head_decode(d->p + d->off, d->len - d->off, &h) == 0);
    const uint8_t *p = hx_dec_bytes(d, hx_frame_bytes(&h));
    hx_assert(p != NULL && hx_frame_body(&h, p + HX_FRAME_HEAD, buf, &raw) == 0);
    hx_assert(h.epoch.v == f->epoch.v && h.gc.v <= h.vdl.v && h.gc.v <= h.floor.v);
    hx_assert(h.pg < f->geometry.pg_count);
    struct fake_segment *s = &f->server[server].seg[h.pg];
    hx_frame_walk_init(&walk, &h, raw);
    while ((rc = hx_frame_walk_next(&walk, &rec)) == 1)
        if (!segment_error(s))
            store(s, &rec);
    hx_assert(rc == 0);
    return h.pg;
}

static void do_append(struct fake *f, unsigned server, struct hx_bytes body, struct hx_enc *e)
{
    struct fake_server *sv = &f->server[server];
    struct hx_dec d = hx_dec_init(body.p, body.len);
    bool seen[FAKE_PGS_MAX] = {false};
    hx_append_head_decode(&sv->last_head, &d);
    hx_assert(d.err == 0);
    sv->appends += sv->last_head.frame_count > 0;
    sv->announcements += sv->last_head.frame_count == 0;
    sv->goodbyes += sv->last_head.flags & HX_APPEND_GOODBYE;
    for (uint32_t i = 0; i < sv->last_head.frame_count; i++)
        seen[take_frame(f, server, &d)] = true;
    hx_assert(hx_dec_end(&d) == 0);
    for (uint32_t pg = 0; pg < FAKE_PGS_MAX; pg++) {
        struct hx_ack a = {pg, segment_error(&sv->seg[pg]), HX_LSN(0)};
        if (sv->last_head.frame_count == 0 && sv->seg[pg].full)
            a.status = HX_E_NOSPACE;
        else if (!seen[pg])
            continue;
        if (!a.status)
            a.scl = fake_scl(f, server, pg);
        hx_ack_encode(&a, e);
    }
}

static int do_read(struct fake *f, unsigned server, uint32_t pg, struct hx_bytes body, struct hx_enc *e)
{
    struct fake_segment *s = &f->server[server].seg[pg];
    struct hx_dec d = hx_dec_init(body.p, body.len);
    struct hx_lsn at = HX_LSN(hx_dec_u64(&d));
    uint32_t n = hx_dec_u32(&d);
    uint8_t page[HX_PAGE_SIZE];
    f->server[server].reads++;
    if (segment_error(s))
        return segment_error(s);
    if (at.v > fake_scl(f, server, pg).v)
        return HX_E_LAGGING;
    uint8_t *heads = malloc((size_t)n * HX_READ_PAGE_BYTES), *raw = malloc((size_t)n * HX_PAGE_SIZE);
    struct hx_enc he = hx_enc_init(heads, (size_t)n * HX_READ_PAGE_BYTES);
    struct hx_enc re = hx_enc_init(raw, (size_t)n * HX_PAGE_SIZE);
    hx_assert(heads && raw);
    for (uint32_t i = 0; i < n; i++) {
        static const uint8_t zeros[HX_PAGE_SIZE];
        struct hx_read_page p = {.state = HX_READ_RAW};
        uint32_t number = hx_dec_u32(&d);
        fake_page(f, server, pg, number, at, page);
        p.crc = hx_crc32c(0, page, HX_PAGE_SIZE);
        page[17] ^= s->lies ? 0x80 : 0;
        if (s->rotten || s->rotten_page == number + 1)
            p.state = HX_READ_CORRUPT;
        else if (memcmp(page, zeros, HX_PAGE_SIZE) == 0)
            p.state = HX_READ_ZEROS;
        else
            hx_enc_bytes(&re, page, HX_PAGE_SIZE);
        hx_read_page_encode(&p, &he);
    }
    hx_assert(hx_dec_end(&d) == 0 && he.err == 0 && re.err == 0);
    hx_enc_bytes(e, heads, he.len);
    hx_enc_bytes(e, raw, re.len);
    free(heads);
    free(raw);
    return 0;
}

static int execute(struct fake *f, unsigned server, const struct hx_msg_head *h, struct hx_bytes body, struct hx_enc *e)
{
    struct fake_server *sv = &f->server[server];
    struct fake_segment *s = &sv->seg[h->pg];
    hx_assert(h->pg < FAKE_PGS_MAX);
    int known = f->hook ? f->hook(f->hook_ctx, f, server, h, body, e) : 1;
    if (known <= 0)
        return known;
    switch (h->type) {
    case HX_MSG_APPEND:
        do_append(f, server, body, e);
        return 0;
    case HX_MSG_READ:
        return do_read(f, server, h->pg, body, e);
    case HX_MSG_ADOPT:
        if (s->absent)
            return HX_E_NO_SEGMENT;
        sv->adopts++;
        s->no_history = false;
        hx_enc_u64(e, f->epoch.v);
        hx_enc_u64(e, fake_scl(f, server, h->pg).v);
        return s->refuse;
    case HX_MSG_FORMAT:
        sv->formats++;
        s->absent = s->no_history = sv->no_volume = false;
        return 0;
    default:
        hx_assert(false);
    }
    return HX_E_BADMSG;
}

struct hx_bytes fake_answer(struct fake *f, size_t i)
{
    struct fake_request *q = &f->queue[i];
    struct fake_server *sv = &f->server[q->server];
    struct hx_msg_head h;
    struct hx_bytes body;
    hx_assert(hx_msg_decode(q->p, q->len, &h, &body) == 0);
    check_lent(q);
    hx_assert(h.epoch.v == f->epoch.v && hx_uuid_eq(&h.server, &f->geometry.servers[q->server].incarnation));
    /* A READ names each page with four bytes. */
    size_t cap = SMALL_ANSWER + (h.type == HX_MSG_READ ? body.len / 4 * (HX_PAGE_SIZE + HX_READ_PAGE_BYTES) : 0);
    uint8_t *out = malloc(cap);
    hx_assert(out != NULL);
    struct hx_enc e = hx_enc_init(out + HX_REPLY_HEAD, cap - HX_REPLY_HEAD);
    bool fenced = sv->promised.v > f->epoch.v;
    int status = fenced ? HX_E_FENCED : sv->refuse;
    if (!status && sv->no_volume && h.type != HX_MSG_FORMAT)
        status = HX_E_NO_VOLUME;
    if (!status)
        status = execute(f, q->server, &h, body, &e);
    hx_assert(e.err == 0);
    if (status)
        e.len = 0;
    struct hx_reply_head r = {.type = h.type, .req_id = h.req_id, .status = status, .server = sv->incarnation,
                              .flags = h.type == HX_MSG_APPEND ? f->append_flags : 0,
                              .promised = fenced ? sv->promised : f->epoch, .promised_owner = f->owner};
    struct hx_bytes piece = {out + HX_REPLY_HEAD, e.len};
    hx_reply_head_encode(&r, &piece, 1, out);
    return (struct hx_bytes){out, HX_REPLY_HEAD + e.len};
}

/* ---- a writer together with its members ---- */

void rig_open(struct rig *r, const struct rig_opts *o)
{
    struct rig_opts with = *o;
    with.pgs = with.pgs ? with.pgs : 1;
    with.lal = with.lal ? with.lal : 4096;
    with.epoch = with.epoch ? with.epoch : 1;
    with.end = with.end ? with.end : with.lal;
    *r = (struct rig){.now = 1000};
    fake_geometry(&r->g, with.servers ? with.servers : FAKE_SERVERS, with.pgs, with.lal);
    r->g.pg_bytes = with.pg_bytes ? with.pg_bytes : r->g.pg_bytes;
    fake_init(&r->f, &r->g, HX_EPOCH(with.epoch));
    struct hx_writer_pg pgs[FAKE_PGS_MAX] = {0};
    struct hx_history_entry first = {HX_EPOCH(1), HX_LSN(0), HX_LSN(0), with.lal};
    hx_assert(hx_history_push(&r->h, first) == 0);
    if (with.epoch > 1) {
        struct hx_history_entry top = {HX_EPOCH(with.epoch), HX_LSN(with.vdl), HX_LSN(with.end), with.lal};
        hx_assert(hx_history_push(&r->h, top) == 0);
    }
    for (uint32_t k = 0; k < with.pgs && with.vdl; k++)
        for (unsigned slot = 0; slot < HX_COPIES; slot++) {
            struct fake_segment *s = &r->f.server[r->g.pgs[k].server[slot]].seg[k];
            pgs[k].last = pgs[k].scl[slot] = s->start = HX_LSN(with.vdl > k ? with.vdl - k : 0);
        }
    struct hx_writer_cfg cfg = {.geometry = &r->g, .history = &r->h, .owner = r->f.owner, .pgs = pgs,
                                .window_bytes = with.window_bytes, .now_ms = r->now};
    hx_assert(hx_writer_new(&cfg, &r->w) == 0);
}

void rig_close(struct rig *r)
{
    hx_writer_free(r->w);
    fake_fini(&r->f);
    hx_history_fini(&r->h);
    hx_geometry_fini(&r->g);
}

void rig_pump(struct rig *r)
{
    struct hx_effect e;
    for (unsigned n = 0; hx_writer_next(r->w, &e); n++) {
        if (n == 20000) { /* it comes to an end */
            fprintf(stderr, "the writer has always one more request\n");
            abort();
        }
        fake_effect(&r->f, &e);
    }
}

void rig_deliver(struct rig *r, size_t i)
{
    uint64_t call = r->f.queue[i].call;
    struct hx_bytes b = fake_answer(&r->f, i);
    fake_forget(&r->f, i);
    hx_writer_answer(r->w, r->now, call, b);
    free((void *)(uintptr_t)b.p);
    rig_pump(r);
}

void rig_lose(struct rig *r, size_t i, int err)
{
    uint64_t call = r->f.queue[i].call;
    fake_forget(&r->f, i);
    hx_writer_failed(r->w, r->now, call, err);
    rig_pump(r);
}

void rig_run(struct rig *r, unsigned stopped)
{
    rig_pump(r);
    for (size_t i = 0; i < r->f.count;) {
        if (stopped >> r->f.queue[i].server & 1u) {
            i++;
            continue;
        }
        rig_deliver(r, i);
        i = 0;
    }
}

void rig_wait(struct rig *r, uint64_t ms, unsigned stopped)
{
    for (uint64_t end = r->now + ms; r->now < end;) {
        uint64_t step = hx_writer_tick(r->w, r->now);
        hx_assert(step > 0); /* 0 would be a busy loop */
        rig_run(r, stopped);
        step = step > 10 ? 10 : step;
        r->now += step < end - r->now ? step : end - r->now;
    }
    hx_writer_tick(r->w, r->now);
    rig_run(r, stopped);
}

int rig_append(struct rig *r, const uint64_t *pages, size_t count, uint16_t len, struct hx_lsn *ret_cpl)
{
    struct hx_writer_rec *recs = calloc(count, sizeof *recs);
    uint8_t *payload = malloc(count * HX_PAGE_SIZE + 8);
    struct hx_lsn first;
    hx_assert(recs != NULL && payload != NULL && len <= HX_PAGE_SIZE);
    uint64_t x = hx_writer_last(r->w).v * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (size_t i = 0; i < count * len; i += 8) { /* incompressible */
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        hx_put_u64(payload + i, x); /* len is at most a page: there is room behind the last one */
    }
    for (size_t i = 0; i < count; i++)
        recs[i] = (struct hx_writer_rec){HX_PAGE(pages[i]), HX_REC_IMAGE, len, payload + i * len};
    int rc = hx_writer_append(r->w, r->now, recs, count, &first, ret_cpl);
    free(recs);
    free(payload);
    return rc;
}
