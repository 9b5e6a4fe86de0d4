/*
 * oracle_bed.c - see oracle_bed.h.
 */
#include "oracle_bed.h"

static void bed_init(struct bed *b, uint32_t pgs)
{
    memset(b, 0, sizeof *b);
    hx_rig_init(&b->r, 0, HX_BED_PG_BYTES, pgs, 0);
    b->s.volume = b->r.geometry.volume;
    b->o = hx_oracle_new(&b->s);
    assert_non_null(b->o);
    assert_int_equal(hx_history_copy(&b->h, &b->r.history), 0);
    b->fences = b->repairs = b->stores = b->adopts = 4;
    b->epoch = 1;
}

static void bed_fini(struct bed *b)
{
    hx_oracle_free(b->o);
    hx_history_fini(&b->h);
    hx_rig_fini(&b->r);
    free(b);
}

struct bed *bed_new(uint32_t pgs)
{
    struct bed *b = malloc(sizeof *b);
    assert_non_null(b);
    bed_init(b, pgs);
    return b;
}

void bed_judge(struct bed *b, const char *invariant, const char *words)
{
    if (strcmp(b->s.verdict.invariant, invariant) != 0 || !strstr(b->s.verdict.text, words))
        fail_msg("expected %s \"%s\", got %s: %s", invariant, words, b->s.verdict.invariant,
                 b->s.verdict.text);
    assert_int_equal(b->s.verdict.exit, invariant[0] ? HX_SIM_UNSAFE : HX_SIM_OK);
    bed_fini(b);
}

/* ---- messages ---- */

static size_t request(struct bed *b, struct msg m, unsigned server, const uint8_t *body, size_t len)
{
    struct hx_msg_head h = {.type = (uint16_t)m.type,
                            .req_id = m.owner * 1000u + m.pg,
                            .volume = b->s.volume,
                            .pg = m.pg,
                            .epoch = HX_EPOCH(m.epoch),
                            .owner = hx_rig_uuid(m.owner),
                            .server = hx_rig_uuid(100 + server)};
    struct hx_bytes piece = {body, len};
    assert_true(len <= HX_BED_BODY);
    hx_msg_head_encode(&h, &piece, 1, b->q);
    if (len)
        memcpy(b->q + HX_MSG_HEAD, body, len);
    return HX_MSG_HEAD + len;
}

void bed_send(struct bed *b, struct msg m, const uint8_t *body, size_t len)
{
    size_t n = request(b, m, 0, body, len);
    hx_oracle_sent(b->o, b->client, b->q, n);
}

void bed_answer(struct bed *b, unsigned server, struct msg m, const uint8_t *q, size_t q_len, int status,
                const uint8_t *a, size_t a_len)
{
    size_t n = request(b, m, server, q, q_len);
    struct hx_reply_head h = {.type = (uint16_t)m.type,
                              .req_id = m.owner * 1000u + m.pg,
                              .status = status,
                              .server = hx_rig_uuid(100 + server),
                              .promised = HX_EPOCH(m.epoch)};
    struct hx_bytes piece = {a, a_len};
    hx_reply_head_encode(&h, &piece, 1, b->a);
    if (a_len)
        memcpy(b->a + HX_REPLY_HEAD, a, a_len);
    hx_oracle_answered(b->o, server, b->q, n, b->a, HX_REPLY_HEAD + a_len);
}

static size_t put_history(uint8_t *p, const struct hx_history *h)
{
    struct hx_enc e = hx_enc_init(p, HX_BED_BODY);
    hx_history_encode(h, &e);
    assert_int_equal(e.err, 0);
    return e.len;
}

static size_t put_geometry(uint8_t *p, const struct hx_geometry *g)
{
    struct hx_enc e = hx_enc_init(p, HX_BED_BODY);
    hx_geometry_encode(g, &e);
    assert_int_equal(e.err, 0);
    return e.len;
}

/* SERVER has been wiped, and answers a HELLO: as another one. */
static void answer_reborn(struct bed *b, unsigned server)
{
    struct hx_reply_head h = {.type = HX_MSG_HELLO, .req_id = 1, .server = hx_rig_uuid(200 + server)};
    struct hx_bytes none = {NULL, 0};
    uint8_t a[HX_REPLY_HEAD];
    size_t n = request(b, (struct msg){HX_MSG_HELLO, 0, 0, 0}, server, NULL, 0);
    hx_reply_head_encode(&h, &none, 1, a);
    hx_oracle_answered(b->o, server, b->q, n, a, sizeof a);
}

/* Four members of every PG promise, and say that all they hold may be damaged: which no checker can hold
 * against them.  What the client hears of it denies all: so the cut may be anywhere. */
void bed_fence(struct bed *b, uint64_t epoch, unsigned owner)
{
    struct hx_inv_unknown all = {HX_LSN(1), HX_LSN_MAX};
    struct hx_inventory v = {.scl = HX_LSN_MAX, .hydrated = true, .unknown_count = 1, .unknowns = &all};
    uint8_t a[4096];
    assert_int_equal(hx_history_copy(&v.history, &b->h), 0);
    struct hx_enc e = hx_enc_init(a, sizeof a);
    hx_inventory_encode(&v, &e);
    assert_int_equal(e.err, 0);
    v.unknown_count = 0;
    uint8_t h[4096];
    struct hx_enc heard = hx_enc_init(h, sizeof h);
    hx_inventory_encode(&v, &heard);
    assert_int_equal(heard.err, 0);
    hx_history_fini(&v.history);
    for (uint32_t pg = 0; pg < b->r.geometry.pg_count; pg++) {
        struct msg m = {HX_MSG_FENCE, pg, epoch, owner};
        bed_send(b, m, NULL, 0);
        for (unsigned i = 0; i < b->fences; i++) {
            bed_answer(b, i, m, NULL, 0, 0, a, e.len);
            bool damaged = b->damaged >> i & 1;
            if (!damaged)
                memcpy(b->a + HX_REPLY_HEAD, h, heard.len);
            if (b->reborn >> i & 1)
                answer_reborn(b, i);
            hx_oracle_heard(b->o, b->client, b->a, HX_REPLY_HEAD + (damaged ? e.len : heard.len));
        }
    }
}

void bed_repair(struct bed *b, struct msg m, const struct hx_history *h, const uint8_t *frame, size_t len)
{
    bed_fence(b, m.epoch, m.owner);
    m.type = HX_MSG_REPAIR;
    size_t n = put_history(b->body, h);
    memcpy(b->body + n, frame, len);
    bed_send(b, m, b->body, n + len);
    for (unsigned i = 0; i < b->repairs; i++) {
        uint8_t a[8];
        hx_put_u64(a, b->through);
        bed_answer(b, i, m, b->body, n + len, 0, a, sizeof a);
    }
}

void bed_store(struct bed *b, struct msg m, const struct hx_geometry *g)
{
    m.type = HX_MSG_GEOMETRY;
    m.pg = 0;
    size_t n = put_geometry(b->body, g);
    bed_send(b, m, b->body, n);
    for (unsigned i = 0; i < b->stores; i++)
        bed_answer(b, i, m, b->body, n, 0, NULL, 0);
}

void bed_adopt(struct bed *b, struct msg m, const struct hx_history *h, uint64_t scl)
{
    m.type = HX_MSG_ADOPT;
    m.pg = 0;
    size_t n = put_history(b->body, h);
    bed_send(b, m, b->body, n);
    for (unsigned i = 0; i < b->adopts; i++) {
        uint8_t a[16];
        hx_put_u64(a, hx_history_top(h).v);
        hx_put_u64(a + 8, scl);
        bed_answer(b, i, m, b->body, n, 0, a, sizeof a);
    }
}

void bed_steps(struct bed *b, uint64_t epoch, unsigned owner, const struct hx_history *h)
{
    struct msg m = {0, 0, epoch, owner};
    for (uint32_t pg = 0; pg < b->r.geometry.pg_count; pg++) {
        m.pg = pg;
        bed_repair(b, m, h, NULL, 0);
    }
    b->r.geometry.epoch = HX_EPOCH(epoch);
    bed_store(b, m, &b->r.geometry);
    bed_adopt(b, m, h, b->through);
}

void bed_open_at(struct bed *b, uint32_t client, uint64_t epoch, uint64_t vdl)
{
    b->client = client;
    bed_fence(b, epoch, (unsigned)epoch * 10 + client); /* who tell of the parent */
    const struct hx_history_entry *p = hx_history_top_entry(&b->h);
    uint64_t most = vdl > p->end.v ? vdl : p->end.v;
    assert_int_equal(hx_history_push(&b->h, (struct hx_history_entry){HX_EPOCH(epoch), HX_LSN(vdl),
                                                                      HX_LSN(most + p->lal), p->lal}),
                     0);
    b->client = client;
    b->epoch = epoch;
    b->through = vdl;
    bed_steps(b, epoch, (unsigned)epoch * 10 + client, &b->h);
    hx_oracle_opened(b->o, client, &b->h, &b->r.geometry);
}

struct hx_history bed_child(const struct bed *b, uint64_t epoch, uint64_t vdl)
{
    struct hx_history h = {0};
    const struct hx_history_entry *p = hx_history_top_entry(&b->h);
    uint64_t most = vdl > p->end.v ? vdl : p->end.v;
    struct hx_history_entry e = {HX_EPOCH(epoch), HX_LSN(vdl), HX_LSN(most + p->lal), p->lal};
    assert_int_equal(hx_history_copy(&h, &b->h), 0);
    assert_int_equal(hx_history_push(&h, e), 0);
    return h;
}

uint64_t bed_first_of(const struct bed *b)
{
    return hx_history_top_entry(&b->h)->end.v + 1;
}

/* ---- records ---- */
static size_t append_body(struct bed *b, uint64_t vdl, uint64_t floor, const uint8_t *frame, size_t len)
{
    struct hx_append_head h = {.vdl = HX_LSN(vdl), .floor = HX_LSN(floor), .frame_count = len > 0};
    struct hx_enc e = hx_enc_init(b->body, HX_BED_BODY);
    hx_append_head_encode(&h, &e);
    hx_enc_bytes(&e, frame, len);
    assert_int_equal(e.err, 0);
    return e.len;
}

void bed_append(struct bed *b, uint64_t vdl, uint64_t floor, size_t len)
{
    size_t n = append_body(b, vdl, floor, b->r.frame, len);
    bed_send(b, (struct msg){HX_MSG_APPEND, 0, b->epoch, 1}, b->body, n);
}

void bed_write_run(struct bed *b, uint32_t pg, uint64_t prev, uint64_t first, unsigned count, uint64_t vdl)
{
    bed_append(b, vdl, 0, hx_rig_run(&b->r, pg, b->epoch, prev, first, count, vdl));
}

void bed_ack(struct bed *b, unsigned server, uint32_t pg, uint64_t epoch, uint64_t scl)
{
    uint8_t a[HX_ACK_BYTES];
    hx_put_u32(a, pg);
    hx_put_u32(a + 4, 0);
    hx_put_u64(a + 8, scl);
    bed_answer(b, server, (struct msg){HX_MSG_APPEND, pg, epoch, 1}, NULL, 0, 0, a, sizeof a);
}

void bed_acks(struct bed *b, unsigned servers, uint32_t pg, uint64_t scl)
{
    for (unsigned i = 0; i < servers; i++)
        bed_ack(b, i, pg, b->epoch, scl);
}

void bed_durable(struct bed *b, uint64_t lsn)
{
    hx_oracle_durable(b->o, b->client, HX_EPOCH(b->epoch), HX_LSN(lsn));
}

void bed_writer(struct bed *b, uint64_t vdl, uint64_t vcl, uint64_t last)
{
    hx_oracle_writer(b->o, b->client, HX_EPOCH(b->epoch), HX_LSN(vdl), HX_LSN(vcl), HX_LSN(last));
}

struct bed *bed_written(uint32_t pgs, uint64_t *ret_first)
{
    struct bed *b = bed_new(pgs);
    bed_open_at(b, 0, 2, 0);
    *ret_first = bed_first_of(b);
    bed_write_run(b, 0, 0, *ret_first, 2, 0);
    bed_acks(b, 4, 0, *ret_first + 1);
    bed_durable(b, *ret_first + 1);
    return b;
}

void bed_real_server(struct bed *b, unsigned i)
{
    if (b->r.count <= i)
        b->r.count = i + 1;
    b->r.farm[i] = hx_mem_farm_new();
    assert_int_equal(hx_rig_start(&b->r, i), 0);
    struct hx_history first = b->r.history;
    for (uint32_t pg = 0; pg < b->r.geometry.pg_count; pg++) {
        struct hx_epoch e = b->r.geometry.epoch;
        b->r.geometry.epoch = HX_EPOCH(1);
        assert_int_equal(hx_rig_format(&b->r, i, pg), 0);
        b->r.geometry.epoch = e;
        assert_int_equal(hx_rig_adopt(&b->r, i, pg, b->epoch, &b->h, NULL, NULL), 0);
    }
    b->r.history = first;
    hx_oracle_attach(b->o, i, b->r.node[i]);
    hx_oracle_server(b->o, i);
}

uint64_t bed_real_append(struct bed *b, unsigned i, size_t len, uint64_t vdl)
{
    uint64_t scl = 0;
    assert_int_equal(hx_rig_append(&b->r, i, b->epoch, vdl, 0, b->r.frame, len, &scl), 0);
    return scl;
}

void bed_read_answer(struct bed *b, unsigned server, uint64_t epoch, uint64_t r, uint32_t page,
                     const uint8_t *data, uint64_t lsn)
{
    uint8_t ask[16], a[HX_READ_PAGE_BYTES + HX_PAGE_SIZE];
    hx_put_u64(ask, r);
    hx_put_u32(ask + 8, 1);
    hx_put_u32(ask + 12, page);
    struct hx_read_page p = {.state = data ? HX_READ_RAW : HX_READ_ZEROS,
                             .crc = data ? hx_crc32c(0, data, HX_PAGE_SIZE) : 0,
                             .lsn = HX_LSN(lsn)};
    struct hx_enc e = hx_enc_init(a, sizeof a);
    hx_read_page_encode(&p, &e);
    if (data)
        hx_enc_bytes(&e, data, HX_PAGE_SIZE);
    bed_answer(b, server, (struct msg){HX_MSG_READ, 0, epoch, 0}, ask, sizeof ask, 0, a, e.len);
}

void bed_run_page(uint8_t *page, uint64_t lsn)
{
    memset(page, 0, HX_PAGE_SIZE);
    hx_put_u64(page, lsn);
}
