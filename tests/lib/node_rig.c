/*
 * node_rig.c - see node_rig.h.  One process, no clock: time is r->now_ms.  Messages between servers are delivered in
 * the order in which they were sent, and fail at once where a server is stopped or cut off.
 */
#include "node_rig.h"

#include "hexad/assert.h"

#include <stdio.h>
#include <stdlib.h>

#include "kit_alloc.h"

struct hx_rig_post {
    unsigned from, to;
    uint64_t call;
    uint8_t *bytes;
    size_t len;
    char name[HX_NAME_MAX + 1];
};

static const char *const names[HX_RIG_SERVERS] = {"a1", "a2", "b1", "b2", "c1", "c2", "a3", "b3"};
static const char *const zones[] = {"az-a", "az-b", "az-c", "az-a"};

struct hx_uuid hx_rig_uuid(unsigned x)
{
    struct hx_uuid u = {{(uint8_t)x, (uint8_t)(x >> 8), 0x77, 1}};
    return u;
}

void hx_rig_init(struct hx_rig *r, unsigned count, uint64_t pg_bytes, uint32_t pgs, uint32_t log_file_bytes)
{
    *r = (struct hx_rig){.count = count, .log_file_bytes = log_file_bytes, .now_ms = 1000};
    r->owner = hx_rig_uuid(900);
    struct hx_geometry *g = &r->geometry;
    g->volume = hx_rig_uuid(500);
    memcpy(g->name, "vol0", 5);
    g->pg_bytes = pg_bytes;
    g->lal = HX_RIG_LAL;
    g->epoch = HX_EPOCH(1);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        struct hx_server s = {.incarnation = hx_rig_uuid(100 + i)};
        snprintf(s.name, sizeof s.name, "%s", names[i]);
        snprintf(s.zone, sizeof s.zone, "%s", zones[i / 2]);
        snprintf(s.url, sizeof s.url, "https://127.0.0.1:%u", 9600 + i);
        hx_assert(!hx_geometry_add_server(g, &s));
    }
    for (uint32_t i = 0; i < pgs; i++) {
        struct hx_pg_members m = {.server = {0, 1, 2, 3, 4, 5}};
        hx_assert(!hx_geometry_add_pg(g, &m));
    }
    hx_assert(!hx_history_push(&r->history, (struct hx_history_entry){HX_EPOCH(1), HX_LSN(0), HX_LSN(0), HX_RIG_LAL}));
    hx_assert(!hx_frame_builder_new(&r->builder));
    for (unsigned i = 0; i < count; i++) {
        r->farm[i] = hx_mem_farm_new();
        hx_assert(!hx_rig_start(r, i));
    }
}

void hx_rig_fini(struct hx_rig *r)
{
    for (unsigned i = 0; i < HX_RIG_SERVERS; i++) {
        hx_node_free(r->node[i]);
        hx_mem_farm_free(r->farm[i]);
    }
    for (size_t i = 0; i < r->post_count; i++)
        free(r->posts[i].bytes);
    free(r->posts);
    hx_frame_builder_free(r->builder);
    hx_geometry_fini(&r->geometry);
    hx_history_fini(&r->history);
}

int hx_rig_start(struct hx_rig *r, unsigned i)
{
    struct hx_node_cfg cfg = {.name = names[i],
                              .zone = zones[i / 2],
                              .incarnation = hx_rig_uuid(100 + i),
                              .farm = r->other[i] ? r->other[i] : hx_mem_farm(r->farm[i]),
                              .gossip_ms = 100,
                              .gossip_most = r->gossip_most,
                              .log_file_bytes = r->log_file_bytes,
                              .scrub_cycle_s = r->scrub_cycle_s,
                              .scrub_bytes_per_s = r->scrub_bytes_per_s,
                              .repair_bytes_per_s = r->repair_bytes_per_s,
                              .seed = 7 + i};
    return hx_node_new(&cfg, r->now_ms, &r->node[i]);
}

void hx_rig_stop(struct hx_rig *r, unsigned i)
{
    hx_node_free(r->node[i]);
    r->node[i] = NULL;
}

struct hx_disk_place hx_rig_place(const struct hx_rig *r, uint32_t pg)
{
    return (struct hx_disk_place){r->geometry.volume, pg};
}

void hx_rig_reply_fini(struct hx_rig_reply *a)
{
    free(a->bytes);
    *a = (struct hx_rig_reply){0};
}

uint64_t hx_rig_ask(struct hx_rig *r, unsigned i, const struct hx_rig_ask *q)
{
    struct hx_msg_head h = {.type = (uint16_t)q->type, .req_id = 77, .volume = r->geometry.volume, .pg = q->pg,
                            .epoch = HX_EPOCH(q->epoch ? q->epoch : 1), .g = q->g};
    h.server = hx_uuid_is_zero(&q->server) ? hx_rig_uuid(100 + i) : q->server;
    h.owner = hx_uuid_is_zero(&q->owner) ? r->owner : q->owner;
    uint8_t *p = malloc(HX_MSG_HEAD + q->body.len);
    hx_assert(p);
    hx_msg_head_encode(&h, &q->body, 1, p);
    if (q->body.len)
        memcpy(p + HX_MSG_HEAD, q->body.p, q->body.len);
    r->token++;
    hx_node_request(r->node[i], r->now_ms, r->now_ms * 1000, r->token, q->conn, q->role ? q->role : HX_NODE_ROLE_WRITER,
                    q->name ? q->name : "w", (struct hx_bytes){p, HX_MSG_HEAD + q->body.len});
    free(p);
    return r->token;
}

static unsigned server_by(const char *name)
{
    unsigned i = 0;
    while (i < HX_RIG_SERVERS && strcmp(names[i], name))
        i++;
    return i;
}

static void post(struct hx_rig *r, unsigned from, const struct hx_node_effect *e)
{
    struct hx_rig_post p = {.from = from, .to = server_by(e->name), .call = e->call, .len = e->body.len};
    hx_assert(p.to < HX_RIG_SERVERS);
    p.bytes = malloc(p.len);
    r->posts = realloc(r->posts, (r->post_count + 1) * sizeof *r->posts);
    hx_assert(p.bytes && r->posts);
    memcpy(p.bytes, e->body.p, p.len);
    snprintf(p.name, sizeof p.name, "%s", names[from]);
    r->posts[r->post_count++] = p;
}

void hx_rig_take(struct hx_rig *r, unsigned i, uint64_t token, struct hx_rig_reply *ret)
{
    struct hx_node_effect e;
    while (hx_node_next(r->node[i], &e)) {
        if (e.kind == HX_NODE_SEND) {
            post(r, i, &e);
        } else if (ret && e.token == token) {
            hx_assert(!ret->came); /* N3 */
            ret->bytes = malloc(e.body.len);
            hx_assert(ret->bytes);
            memcpy(ret->bytes, e.body.p, e.body.len);
            ret->came = true;
            hx_assert(!hx_reply_decode(ret->bytes, e.body.len, &ret->head, &ret->body));
        }
    }
}

int hx_rig_call(struct hx_rig *r, unsigned i, const struct hx_rig_ask *q, struct hx_rig_reply *ret)
{
    struct hx_rig_reply a = {0};
    uint64_t token = hx_rig_ask(r, i, q);
    hx_node_flush(r->node[i]);
    hx_rig_take(r, i, token, &a);
    hx_assert(a.came || alloc_fault_happened()); /* without memory for an answer there is none (out.c) */
    int status = a.came ? a.head.status : HX_E_TIMEOUT;
    if (ret)
        *ret = a;
    else
        hx_rig_reply_fini(&a);
    return status;
}

/* ---- shorthands ---- */
static int format(struct hx_rig *r, unsigned i, uint32_t pg, const struct hx_geometry *g, const struct hx_history *h,
                  uint64_t epoch, int how, uint32_t rate)
{
    uint8_t b[16384];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_geometry_encode(g, &e);
    hx_history_encode(h, &e);
    if (how >= 0)
        hx_enc_u8(&e, (uint8_t)how);
    if (rate)
        hx_enc_u32(&e, rate);
    hx_assert(!e.err);
    return hx_rig_call(r, i, &(struct hx_rig_ask){.type = HX_MSG_FORMAT, .pg = pg, .epoch = epoch, .body = {b, e.len}},
                       NULL);
}

int hx_rig_format_as(struct hx_rig *r, unsigned i, uint32_t pg, const struct hx_geometry *g, const struct hx_history *h,
                     uint64_t epoch, int how)
{
    return format(r, i, pg, g, h, epoch, how, 0);
}

int hx_rig_learn_at(struct hx_rig *r, unsigned i, uint32_t pg, uint32_t rate)
{
    return format(r, i, pg, &r->geometry, &r->history, 1, 1, rate);
}

int hx_rig_format(struct hx_rig *r, unsigned i, uint32_t pg)
{
    return hx_rig_format_as(r, i, pg, &r->geometry, &r->history, 1, -1);
}

int hx_rig_learn(struct hx_rig *r, unsigned i, uint32_t pg)
{
    return hx_rig_format_as(r, i, pg, &r->geometry, &r->history, 1, 1);
}

int hx_rig_fence(struct hx_rig *r, unsigned i, uint32_t pg, uint64_t epoch, unsigned owner, struct hx_inventory *ret)
{
    struct hx_rig_reply a;
    int err = hx_rig_call(
        r, i,
        &(struct hx_rig_ask){.type = HX_MSG_FENCE, .pg = pg, .epoch = epoch, .owner = hx_rig_uuid(owner)},
        &a);
    if (!err && ret) {
        struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
        bool was = alloc_fault_suspend(); /* the client's memory, not the server's */
        memset(ret, 0, sizeof *ret);
        hx_assert(!hx_inventory_decode(ret, &d));
        alloc_fault_resume(was);
    }
    hx_rig_reply_fini(&a);
    return err;
}

int hx_rig_adopt(struct hx_rig *r, unsigned i, uint32_t pg, uint64_t epoch, const struct hx_history *h,
                 uint64_t *ret_top, uint64_t *ret_scl)
{
    struct hx_rig_reply a;
    uint8_t b[4096];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_history_encode(h, &e);
    int err = hx_rig_call(
        r, i, &(struct hx_rig_ask){.type = HX_MSG_ADOPT, .pg = pg, .epoch = epoch, .body = {b, e.len}}, &a);
    if (!err && ret_top)
        *ret_top = hx_get_u64(a.body.p);
    if (!err && ret_scl)
        *ret_scl = hx_get_u64(a.body.p + 8);
    hx_rig_reply_fini(&a);
    return err;
}

int hx_rig_repair(struct hx_rig *r, unsigned i, uint32_t pg, uint64_t epoch, const struct hx_history *h,
                  const uint8_t *frames, size_t len, uint64_t *ret_scl)
{
    struct hx_rig_reply a;
    uint8_t *b = malloc(4096 + len);
    struct hx_enc e = hx_enc_init(b, 4096 + len);
    hx_history_encode(h, &e);
    hx_enc_bytes(&e, frames, len);
    int err = hx_rig_call(
        r, i, &(struct hx_rig_ask){.type = HX_MSG_REPAIR, .pg = pg, .epoch = epoch, .body = {b, e.len}}, &a);
    if (!err && ret_scl)
        *ret_scl = hx_get_u64(a.body.p);
    free(b);
    hx_rig_reply_fini(&a);
    return err;
}

int hx_rig_append(struct hx_rig *r, unsigned i, uint64_t epoch, uint64_t vdl, uint64_t floor,
                  const uint8_t *frame, size_t len, uint64_t *ret_scl)
{
    struct hx_rig_reply a;
    struct hx_append_head h = {.vdl = HX_LSN(vdl), .floor = HX_LSN(floor), .frame_count = len > 0};
    uint8_t *b = malloc(4096 + len);
    struct hx_enc e = hx_enc_init(b, 4096 + len);
    hx_append_head_encode(&h, &e);
    hx_enc_bytes(&e, frame, len);
    int err = hx_rig_call(
        r, i, &(struct hx_rig_ask){.type = HX_MSG_APPEND, .epoch = epoch, .conn = 1, .body = {b, e.len}}, &a);
    if (a.body.len) {
        struct hx_ack k;
        struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
        hx_ack_decode(&k, &d);
        err = k.status;
        if (ret_scl)
            *ret_scl = k.scl.v;
    }
    free(b);
    hx_rig_reply_fini(&a);
    return err;
}

int hx_rig_read(struct hx_rig *r, unsigned i, uint32_t pg, uint64_t epoch, uint64_t point, uint32_t page,
                uint8_t *data, struct hx_read_page *ret)
{
    struct hx_rig_reply a;
    struct hx_read_page p = {0};
    uint8_t b[16];
    hx_put_u64(b, point);
    hx_put_u32(b + 8, 1);
    hx_put_u32(b + 12, page);
    int err = hx_rig_call(
        r, i, &(struct hx_rig_ask){.type = HX_MSG_READ, .pg = pg, .epoch = epoch, .body = {b, sizeof b}}, &a);
    if (!err) {
        struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
        hx_read_page_decode(&p, &d);
        const uint8_t *raw = p.state == HX_READ_RAW ? hx_dec_bytes(&d, HX_PAGE_SIZE) : NULL;
        hx_assert(!hx_dec_end(&d));
        if (data && raw)
            memcpy(data, raw, HX_PAGE_SIZE);
        else if (data)
            memset(data, 0, HX_PAGE_SIZE);
    }
    if (ret)
        *ret = p;
    hx_rig_reply_fini(&a);
    return err;
}

int hx_rig_status(struct hx_rig *r, unsigned i, uint32_t pg, struct hx_segment_status *ret)
{
    struct hx_rig_reply a;
    int err = hx_rig_call(r, i, &(struct hx_rig_ask){.type = HX_MSG_STATUS}, &a);
    struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
    uint32_t n = err ? 0 : hx_dec_u32(&d);
    bool found = false;
    for (uint32_t k = 0; k < n; k++) {
        struct hx_segment_status s;
        hx_segment_status_decode(&s, &d);
        if (s.pg == pg) {
            *ret = s;
            found = true;
        }
    }
    hx_assert(err || !hx_dec_end(&d));
    hx_rig_reply_fini(&a);
    return found ? 0 : HX_E_NO_SEGMENT;
}

int hx_rig_part(struct hx_rig *r, unsigned i, uint32_t pg, struct hx_segment_part *ret)
{
    struct hx_rig_reply a;
    int err = hx_rig_call(r, i, &(struct hx_rig_ask){.type = HX_MSG_STATUS, .g = HX_STATUS_PARTS}, &a);
    struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
    uint32_t n = err ? 0 : hx_dec_u32(&d), at = n;
    struct hx_segment_part part;
    struct hx_segment_status s;
    for (uint32_t k = 0; k < n; k++) {
        hx_segment_status_decode(&s, &d);
        at = s.pg == pg ? k : at;
    }
    for (uint32_t k = 0; k < n; k++) {
        hx_segment_part_decode(&part, &d);
        *ret = k == at ? part : *ret;
    }
    hx_assert(err || !hx_dec_end(&d));
    hx_rig_reply_fini(&a);
    return err ? err : at < n ? 0 : HX_E_NO_SEGMENT;
}

int hx_rig_members(struct hx_rig *r, unsigned i, uint32_t pg, uint64_t epoch, const struct hx_geometry *g,
                   uint64_t *ret_life)
{
    struct hx_rig_reply a;
    uint8_t b[16384];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_geometry_encode(g, &e);
    hx_assert(!e.err);
    int err = hx_rig_call(
        r, i, &(struct hx_rig_ask){.type = HX_MSG_MEMBERS, .pg = pg, .epoch = epoch, .body = {b, e.len}}, &a);
    if (!err && ret_life)
        *ret_life = hx_get_u64(a.body.p);
    hx_rig_reply_fini(&a);
    return err;
}

int hx_rig_delete(struct hx_rig *r, unsigned i, uint32_t pg, uint64_t epoch, const struct hx_geometry *g, uint64_t life)
{
    uint8_t b[16384];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_geometry_encode(g, &e);
    hx_enc_u64(&e, life);
    hx_assert(!e.err);
    return hx_rig_call(r, i, &(struct hx_rig_ask){.type = HX_MSG_DELETE, .pg = pg, .epoch = epoch, .body = {b, e.len}},
                       NULL);
}

size_t hx_rig_frame(struct hx_rig *r, uint32_t pg, uint64_t epoch, uint64_t prev,
                    const struct hx_rig_rec *recs, size_t count, struct hx_rig_marks m)
{
    hx_frame_builder_reset(r->builder, &r->geometry.volume, pg, HX_EPOCH(epoch), HX_LSN(prev));
    for (size_t i = 0; i < count; i++)
        hx_frame_builder_add(r->builder, HX_LSN(recs[i].lsn), recs[i].page, recs[i].kind, recs[i].flags,
                             (struct hx_bytes){recs[i].payload, recs[i].len}, (struct hx_bytes){NULL, 0});
    return hx_frame_builder_seal(r->builder, HX_LSN(m.vdl), HX_LSN(m.floor), HX_LSN(m.gc), 1, r->frame);
}

size_t hx_rig_run(struct hx_rig *r, uint32_t pg, uint64_t epoch, uint64_t prev, uint64_t first,
                  unsigned count, uint64_t vdl)
{
    struct hx_rig_rec *recs = calloc(count, sizeof *recs);
    uint8_t(*payload)[12] = calloc(count, sizeof *payload);
    hx_assert(recs && payload);
    for (unsigned i = 0; i < count; i++) {
        uint64_t lsn = first + i;
        hx_put_u16(payload[i], 0);
        hx_put_u16(payload[i] + 2, 8);
        hx_put_u64(payload[i] + 4, lsn);
        recs[i] = (struct hx_rig_rec){
            lsn, (uint32_t)(lsn % 16), HX_REC_SPARSE, i + 1 == count ? HX_REC_CPL : 0, payload[i], 12};
    }
    size_t n = hx_rig_frame(r, pg, epoch, prev, recs, count, (struct hx_rig_marks){vdl, 0, 0});
    free(recs);
    free(payload);
    return n;
}

/* ---- messages between servers ---- */
static void deliver(struct hx_rig *r, struct hx_rig_post *p)
{
    struct hx_rig_reply a = {0};
    if (!r->node[p->from])
        return;
    if (!r->node[p->to] || r->cut[p->to] || r->cut[p->from]) {
        hx_node_answer(r->node[p->from], r->now_ms, p->call, HX_E_CONNECT, (struct hx_bytes){NULL, 0});
    } else {
        uint64_t token = ++r->token;
        hx_node_request(r->node[p->to], r->now_ms, 1, token, 1000 + p->from, HX_NODE_ROLE_SEGMENT, p->name,
                        (struct hx_bytes){p->bytes, p->len});
        hx_node_flush(r->node[p->to]);
        hx_rig_take(r, p->to, token, &a);
        hx_assert(a.came || alloc_fault_happened());
        if (r->hook)
            r->hook(r, p->from, hx_get_u16(p->bytes + 6));
        if (r->edit && a.came)
            r->edit(r, p->from, p->to, hx_get_u16(p->bytes + 6), &a);
        size_t len = a.came ? a.body.len + HX_REPLY_HEAD : 0;
        hx_node_answer(r->node[p->from], r->now_ms, p->call, a.came ? 0 : HX_E_TIMEOUT,
                       (struct hx_bytes){a.bytes, len});
        r->delivered++;
    }
    if (!r->lazy)
        hx_node_flush(r->node[p->from]);
    hx_rig_take(r, p->from, 0, NULL);
    hx_rig_reply_fini(&a);
}

void hx_rig_step(struct hx_rig *r, uint64_t ms)
{
    r->now_ms += ms;
    for (unsigned i = 0; i < r->count; i++) {
        if (!r->node[i])
            continue;
        hx_node_tick(r->node[i], r->now_ms);
        hx_node_flush(r->node[i]);
        hx_rig_take(r, i, 0, NULL);
    }
    for (size_t k = 0; k < r->post_count; k++) { /* grows while it runs */
        struct hx_rig_post p = r->posts[k];
        deliver(r, &p);
        free(p.bytes);
    }
    r->post_count = 0;
}

bool hx_rig_settle(struct hx_rig *r, uint32_t pg, uint64_t scl, unsigned steps)
{
    for (unsigned k = 0;; k++) {
        unsigned there = 0, running = 0;
        for (unsigned i = 0; i < r->count; i++) {
            struct hx_segment_status s;
            if (!r->node[i])
                continue;
            running++;
            there += !hx_rig_status(r, i, pg, &s) && s.scl.v == scl;
        }
        if (there == running)
            return true;
        if (k == steps)
            return false;
        hx_rig_step(r, 50);
    }
}
