/*
 * test_verbs.c - what requests do to a server beyond the table of the protocol (test_segment.c) and plain refusals
 * (test_refusals.c): bodies that end too soon, what comes in one batch, bounds, several volumes and many segments on
 * one server, the writer's life.
 *
 * Method: one server over a disk in memory; messages as bytes (node_rig.h, peer_kit.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hexad/crc.h"
#include "peer_kit.h"

#include <stdlib.h>

#define PG 1u

static void start(struct hx_rig *r)
{
    hx_rig_init(r, 1, 1u << 20, 2, 0);
    for (uint32_t pg = 0; pg < 2; pg++)
        assert_int_equal(hx_rig_format(r, 0, pg), 0);
}

static struct hx_segment_status status(struct hx_rig *r, uint32_t pg)
{
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(r, 0, pg, &s), 0);
    return s;
}

static struct hx_history history(const struct hx_rig *r, uint64_t epoch, uint64_t vdl, uint64_t end)
{
    struct hx_history h = {0};
    assert_int_equal(hx_history_copy(&h, &r->history), 0);
    assert_int_equal(hx_history_push(&h, (struct hx_history_entry){{epoch}, {vdl}, {end}, HX_RIG_LAL}), 0);
    return h;
}

/* ---- bodies ---- */
static int says(struct hx_rig *r, unsigned type, uint64_t epoch, const void *p, size_t len)
{
    struct hx_msg_head h = {.type = (uint16_t)type, .pg = PG, .epoch = {epoch}};
    return hx_peer_call(r, h, HX_NODE_ROLE_WRITER, "w", p, len);
}

/* Promise: a request that ends in the middle of a frame, or has a frame of a version that this server does not know,
 * stores nothing, not even the whole frames before; the answer names the reason. */
static void a_truncated_request_stores_nothing(void **state)
{
    struct hx_rig r;
    uint8_t *b = malloc(64u << 10);
    (void)state;
    assert_non_null(b);
    start(&r);
    for (unsigned type = 0; type < 2; type++) {
        struct hx_enc e = hx_enc_init(b, 64u << 10);
        struct hx_append_head h = {.frame_count = 2};
        if (type)
            hx_history_encode(&r.history, &e);
        else
            hx_append_head_encode(&h, &e);
        hx_enc_bytes(&e, r.frame, hx_rig_run(&r, PG, 1, 0, 1, 3, 0));
        size_t second = e.len, n = hx_rig_run(&r, PG, 1, 3, 4, 3, 0);
        hx_enc_bytes(&e, r.frame, n);
        assert_int_equal(e.err, 0);
        unsigned t = type ? HX_MSG_REPAIR : HX_MSG_APPEND;
        assert_int_equal(says(&r, t, 1, b, e.len - 1), HX_E_BADMSG);
        assert_int_equal(says(&r, t, 1, b, second + HX_FRAME_HEAD - 1), HX_E_BADMSG);
        hx_put_u16(b + second + 4, HX_FRAME_VERSION + 1);
        hx_put_u32(b + second + 108, hx_crc32c(0, b + second, 108));
        assert_int_equal(says(&r, t, 1, b, e.len), HX_E_VERSION);
        assert_int_equal(status(&r, PG).highest.v, type ? 6 : 0);
        hx_put_u16(b + second + 4, HX_FRAME_VERSION);
        hx_put_u32(b + second + 108, hx_crc32c(0, b + second, 108));
        assert_int_equal(says(&r, t, 1, b, e.len), 0);
        assert_int_equal(status(&r, PG).highest.v, 6);
    }
    struct hx_msg_head h = {.type = HX_MSG_REPAIR, .pg = 9, .epoch = {1}};
    struct hx_enc e = hx_enc_init(b, 4096);
    hx_history_encode(&r.history, &e);
    assert_int_equal(hx_peer_call(&r, h, HX_NODE_ROLE_WRITER, "w", b, e.len), HX_E_NO_SEGMENT);
    e = hx_enc_init(b, 4096);
    hx_geometry_encode(&r.geometry, &e);
    h = (struct hx_msg_head){.type = HX_MSG_GEOMETRY, .epoch = {1}};
    hx_enc_u8(&e, 0);
    assert_int_equal(hx_peer_call(&r, h, HX_NODE_ROLE_WRITER, "w", b, e.len), HX_E_BADMSG);
    free(b);
    hx_rig_fini(&r);
}

/* Promise: a record must have an LSN of its epoch: one from below the end of the epoch before is refused, also when it
 * comes from the newest writer. */
static void records_have_lsns_of_their_epoch(void **state)
{
    struct hx_rig r;
    (void)state;
    start(&r);
    struct hx_history h = history(&r, 2, 3, 1003);
    size_t n = hx_rig_run(&r, PG, 1, 0, 1, 3, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
    assert_int_equal(hx_rig_adopt(&r, 0, PG, 2, &h, NULL, NULL), 0);
    n = hx_rig_run(&r, PG, 2, 3, 1003, 1, 0);
    assert_int_equal(hx_rig_append(&r, 0, 2, 0, 0, r.frame, n, NULL), HX_E_BADMSG);
    assert_int_equal(status(&r, PG).highest.v, 3);
    n = hx_rig_run(&r, PG, 2, 3, 1004, 1, 0);
    assert_int_equal(hx_rig_append(&r, 0, 2, 0, 0, r.frame, n, NULL), 0);
    hx_history_fini(&h);
    hx_rig_fini(&r);
}

/* Promise: two records of one LSN, of which the own history annuls one, are both told to a recovery, in the order of
 * their epochs; only the valid one is read. */
static void two_records_of_one_lsn_are_both_told(void **state)
{
    struct hx_rig r;
    struct hx_inventory v = {0};
    uint8_t data[HX_PAGE_SIZE];
    (void)state;
    start(&r);
    struct hx_history h = history(&r, 2, 3, 1003);
    size_t n = hx_rig_run(&r, PG, 1, 0, 1, 3, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
    assert_int_equal(hx_rig_adopt(&r, 0, PG, 2, &h, NULL, NULL), 0);
    uint8_t payload[12] = {0, 0, 8, 0, 77};
    struct hx_rig_rec rec = {1006, 1006 % 16, HX_REC_SPARSE, HX_REC_CPL, payload, sizeof payload};
    n = hx_rig_frame(&r, PG, 2, 3, &rec, 1, (struct hx_rig_marks){0});
    for (unsigned twice = 0; twice < 2; twice++)
        assert_int_equal(hx_rig_append(&r, 0, 2, 0, 0, r.frame, n, NULL), 0);
    struct hx_history other = history(&r, 3, 1007, 2007); /* which would keep epoch 1's */
    n = hx_rig_run(&r, PG, 1, 3, 1004, 4, 0);
    for (unsigned twice = 0; twice < 2; twice++)
        assert_int_equal(hx_rig_repair(&r, 0, PG, 2, &other, r.frame, n, NULL), 0);
    hx_history_fini(&other);
    assert_int_equal(hx_rig_read(&r, 0, PG, 2, 1006, 1006 % 16, data, NULL), 0);
    assert_int_equal(data[0], 77);
    assert_int_equal(hx_rig_fence(&r, 0, PG, 3, 1, &v), 0);
    assert_int_equal(v.entry_count, 8);
    for (uint32_t i = 1; i < v.entry_count; i++) {
        const struct hx_inv_entry *a = &v.entries[i - 1], *b = &v.entries[i];
        assert_true(a->lsn.v < b->lsn.v || (a->lsn.v == b->lsn.v && a->epoch.v < b->epoch.v && b->lsn.v == 1006));
    }
    hx_inventory_fini(&v);
    hx_history_fini(&h);
    hx_rig_fini(&r);
}

/* Promise: records whose links disagree, which no writer makes, neither lower the SCL nor hide what is there. */
static void links_that_disagree_lose_nothing(void **state)
{
    struct hx_rig r;
    (void)state;
    start(&r);
    assert_int_equal(hx_rig_append(&r, 0, 1, 20, 0, NULL, 0, NULL), 0);
    static const uint64_t links[][2] = {{5, 8}, {4, 10}, {0, 4}, {10, 12}}; /* prev, LSN */
    for (size_t i = 0; i < HX_ARRAY_LEN(links); i++) {
        size_t n = hx_rig_run(&r, PG, 1, links[i][0], links[i][1], 1, 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
    }
    assert_int_equal(status(&r, PG).scl.v, 12);
    uint8_t data[HX_PAGE_SIZE];
    assert_int_equal(hx_rig_read(&r, 0, PG, 1, 12, 8, data, NULL), 0);
    assert_int_equal(data[0], 8);
    hx_rig_fini(&r);
}

/* Promise (I1): a record that the own history has cut off, but the one that is being opened keeps, is stored again when
 * a recovery writes it back, and counts after ADOPT.  Method: epoch 2, which this server adopted and which was never
 * open, cuts at 3; epoch 3 does not know of it and keeps 1 to 5. */
static void what_a_lost_epoch_cut_off_can_be_written_back(void **state)
{
    struct hx_rig r;
    uint64_t scl = 0;
    uint8_t data[HX_PAGE_SIZE];
    (void)state;
    start(&r);
    struct hx_history lost = history(&r, 2, 3, 1003), open = history(&r, 3, 5, 1005);
    size_t n = hx_rig_run(&r, PG, 1, 0, 1, 3, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
    assert_int_equal(hx_rig_adopt(&r, 0, PG, 2, &lost, NULL, NULL), 0);
    n = hx_rig_run(&r, PG, 1, 2, 3, 3, 0); /* 3 is here already, and valid; 4 and 5 are not */
    assert_int_equal(hx_rig_repair(&r, 0, PG, 3, &open, r.frame, n, &scl), 0);
    assert_int_equal(scl, 5);
    assert_int_equal(status(&r, PG).scl.v, 3);
    assert_int_equal(hx_rig_adopt(&r, 0, PG, 3, &open, NULL, &scl), 0);
    assert_int_equal(scl, 5);
    hx_rig_stop(&r, 0);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(hx_rig_read(&r, 0, PG, 3, 5, 5, data, NULL), 0);
    assert_int_equal(data[0], 5);
    hx_history_fini(&lost);
    hx_history_fini(&open);
    hx_rig_fini(&r);
}

/* ---- one batch ---- */
static uint64_t queue(struct hx_rig *r, unsigned type, unsigned role, uint64_t epoch, const void *p, size_t len)
{
    struct hx_rig_ask q = {.type = type, .pg = PG, .role = role, .epoch = epoch, .conn = 1,
                           .name = role == HX_NODE_ROLE_SEGMENT ? "b1" : "w", .body = {p, len}};
    return hx_rig_ask(r, 0, &q);
}

static int taken(struct hx_rig *r, uint64_t token)
{
    struct hx_rig_reply a = {0};
    hx_rig_take(r, 0, token, &a);
    assert_true(a.came);
    int status = a.head.status;
    hx_rig_reply_fini(&a);
    return status;
}

static const uint8_t fetch_all[21] = {[8] = 100, [18] = 1};
static const uint8_t read_one[16] = {[0] = 3, [8] = 1, [12] = 3};

/* Promise: what is answered late in a batch is asked once more whether it may be: a FETCH after the history has
 * changed, a READ and a FETCH after the flush has failed. */
static void answers_are_judged_when_they_are_made(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 3; what++) {
        struct hx_rig r;
        uint8_t b[256];
        start(&r);
        size_t n = hx_rig_run(&r, PG, 1, 0, 1, 3, 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
        uint64_t t = what == 1 ? queue(&r, HX_MSG_READ, HX_NODE_ROLE_WRITER, 1, read_one, sizeof read_one)
                               : queue(&r, HX_MSG_FETCH, HX_NODE_ROLE_SEGMENT, 1, fetch_all, sizeof fetch_all);
        struct hx_history h = history(&r, 2, 3, 1003);
        struct hx_enc e = hx_enc_init(b, sizeof b);
        hx_history_encode(&h, &e);
        if (what)
            hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, true);
        queue(&r, HX_MSG_ADOPT, HX_NODE_ROLE_WRITER, 2, b, e.len);
        hx_node_flush(r.node[0]);
        assert_int_equal(taken(&r, t), what ? HX_E_POISONED : HX_E_NEED_HISTORY);
        hx_history_fini(&h);
        hx_rig_fini(&r);
    }
}

/* An APPEND of noise, LEN bytes at least, from *LSN + 1 on. */
static uint64_t queue_bulk(struct hx_rig *r, uint64_t *lsn, size_t len)
{
    static uint8_t image[60][HX_PAGE_SIZE];
    struct hx_rig_rec recs[60];
    struct hx_append_head h = {.frame_count = (uint32_t)(len / sizeof image + 1)};
    size_t cap = len + sizeof image + (1u << 20);
    uint8_t *b = malloc(cap);
    uint64_t x = *lsn + 88172645463325252u;
    assert_non_null(b);
    struct hx_enc e = hx_enc_init(b, cap);
    hx_append_head_encode(&h, &e);
    for (unsigned f = 0; f < h.frame_count; f++) {
        for (unsigned i = 0; i < 60; i++) {
            for (size_t k = 0; k < HX_PAGE_SIZE; k += 8) {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                hx_put_u64(image[i] + k, x | 1);
            }
            recs[i] = (struct hx_rig_rec){*lsn + 1 + i, i, HX_REC_IMAGE, i == 59, image[i], HX_PAGE_SIZE};
        }
        hx_enc_bytes(&e, r->frame, hx_rig_frame(r, PG, 1, *lsn, recs, 60, (struct hx_rig_marks){0}));
        *lsn += 60;
    }
    assert_int_equal(e.err, 0);
    uint64_t t = queue(r, HX_MSG_APPEND, HX_NODE_ROLE_WRITER, 1, b, e.len);
    free(b);
    return t;
}

static struct hx_ack ack_of(struct hx_rig *r, uint64_t token)
{
    struct hx_rig_reply a = {0};
    struct hx_ack k = {0};
    hx_rig_take(r, 0, token, &a);
    assert_true(a.came);
    if (a.body.len) {
        struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
        hx_ack_decode(&k, &d);
    } else {
        k.status = a.head.status;
    }
    hx_rig_reply_fini(&a);
    return k;
}

/* Promise: what one batch gathers is bounded: at 8 MiB it is written at once, whoever waits; and it is acknowledged as
 * if it had not been; when that write fails, or finds no space, nothing of the batch is acknowledged. */
static void a_large_batch_is_written_at_once(void **state)
{
    (void)state;
    for (unsigned fail = 0; fail < 3; fail++) {
        struct hx_rig r;
        uint64_t lsn = 0, calls, t[2];
        start(&r);
        t[0] = queue_bulk(&r, &lsn, 5u << 20);
        calls = hx_mem_calls(r.farm[0]);
        if (fail)
            hx_mem_fail(r.farm[0], fail == 1 ? HX_MEM_FLUSH : HX_MEM_WRITE, 1, fail == 1 ? HX_E_IO : HX_E_NOSPACE,
                        fail == 2);
        if (fail == 2)
            queue(&r, HX_MSG_FENCE, HX_NODE_ROLE_WRITER, 1, NULL, 0);
        t[1] = queue_bulk(&r, &lsn, 5u << 20);
        assert_true(hx_mem_calls(r.farm[0]) >= calls + (fail == 2 ? 1 : 2)); /* before anybody has asked for a flush */
        hx_node_flush(r.node[0]);
        struct hx_node_effect e;
        unsigned came = 0;
        while (hx_node_next(r.node[0], &e))
            if (e.kind == HX_NODE_REPLY && (e.token == t[0] || e.token == t[1])) {
                struct hx_ack k;
                struct hx_dec d = hx_dec_init(e.body.p + HX_REPLY_HEAD, e.body.len - HX_REPLY_HEAD);
                hx_ack_decode(&k, &d);
                assert_int_equal(k.status, fail == 1 ? HX_E_POISONED : fail ? HX_E_NOSPACE : 0);
                assert_int_equal(k.scl.v, fail ? 0 : lsn);
                came++;
            }
        assert_int_equal(came, 2);
        if (!fail)
            assert_int_equal(status(&r, PG).scl.v, lsn);
        hx_rig_fini(&r);
    }
}

/* ---- bounds ---- */
/* Promise: an inventory that does not fit an answer is refused as too big, not cut short: a recovery would take what is
 * missing for "not there". */
static void an_inventory_is_whole_or_none(void **state)
{
    enum { COUNT = 21800, FRAMES = 14 };
    struct hx_rig r;
    struct hx_rig_rec *recs = calloc(COUNT, sizeof *recs);
    struct hx_inventory v = {0};
    uint64_t lsn = 0;
    (void)state;
    assert_non_null(recs);
    start(&r);
    for (unsigned f = 0; f < FRAMES; f++) {
        for (unsigned i = 0; i < COUNT; i++)
            recs[i] = (struct hx_rig_rec){lsn + 1 + i, i % 256, HX_REC_ZERO, HX_REC_CPL, NULL, 0};
        size_t n = hx_rig_frame(&r, PG, 1, lsn, recs, COUNT, (struct hx_rig_marks){0});
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
        lsn += COUNT;
    }
    /* By then the log file was closed: its sidecar would have become larger than a start likes to read. */
    struct hx_disk_place at = hx_rig_place(&r, PG);
    assert_int_equal(hx_mem_last_log(r.farm[0], &at), 17);
    assert_int_equal(hx_rig_fence(&r, 0, PG, 2, 1, NULL), HX_E_TOOBIG);
    assert_int_equal(hx_rig_fence(&r, 0, PG, 1, 1, NULL), HX_E_FENCED); /* the promise was made all the same */
    size_t n = hx_rig_run(&r, PG, 1, lsn, lsn + 1, 1, lsn);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), HX_E_FENCED);
    hx_rig_stop(&r, 0);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(hx_rig_fence(&r, 0, PG, 2, 1, NULL), HX_E_TOOBIG);
    struct hx_history h = history(&r, 2, lsn, lsn + 1000);
    assert_int_equal(hx_rig_adopt(&r, 0, PG, 2, &h, NULL, NULL), 0);
    assert_int_equal(hx_rig_append(&r, 0, 2, lsn, 0, NULL, 0, NULL), 0); /* a VDL ends it, and the memory goes back */
    assert_int_equal(hx_rig_fence(&r, 0, PG, 2, 1, &v), 0);
    assert_true(v.entry_count == 0 && v.scl.v == lsn);
    n = hx_rig_run(&r, PG, 2, lsn, lsn + 1001, 5, lsn);
    assert_int_equal(hx_rig_append(&r, 0, 2, lsn, 0, r.frame, n, NULL), 0);
    assert_int_equal(status(&r, PG).scl.v, lsn + 1005);
    hx_inventory_fini(&v);
    hx_history_fini(&h);
    free(recs);
    hx_rig_fini(&r);
}

/* Promise: a geometry that no longer fits the answer to LOOKUP beside the writer's word is refused as too big, not cut
 * short. */
static void a_lookup_is_whole_or_none(void **state)
{
    struct hx_rig r;
    uint8_t *b = malloc(HX_MSG_BODY_MAX);
    (void)state;
    assert_non_null(b);
    hx_rig_init(&r, 1, 1u << 20, 1, 0);
    size_t one = hx_geometry_encoded_len(&r.geometry) + hx_history_encoded_len(&r.history);
    uint32_t more = (uint32_t)((HX_MSG_BODY_MAX - one) / 12); /* a row of a geometry of version 1 */
    struct hx_pg_members *pgs = realloc(r.geometry.pgs, (more + 1) * sizeof *pgs);
    assert_non_null(pgs);
    r.geometry.pgs = pgs;
    for (uint32_t i = 1; i <= more; i++)
        pgs[i] = pgs[0];
    r.geometry.pg_count = r.geometry.g = more + 1;
    struct hx_enc e = hx_enc_init(b, HX_MSG_BODY_MAX);
    hx_geometry_encode(&r.geometry, &e);
    hx_history_encode(&r.history, &e);
    assert_int_equal(e.err, 0);
    assert_int_equal(says(&r, HX_MSG_FORMAT, 1, b, e.len), 0);
    struct hx_msg_head first = {.type = HX_MSG_FORMAT, .pg = 0, .epoch = {1}}; /* it keeps the whole */
    assert_int_equal(hx_peer_call(&r, first, HX_NODE_ROLE_WRITER, "w", b, e.len), 0);
    b[0] = 4;
    b[1] = 0;
    memcpy(b + 2, "vol0", 4);
    assert_int_equal(says(&r, HX_MSG_LOOKUP, 1, b, 6), HX_E_TOOBIG);
    assert_int_equal(status(&r, PG).promised.v, 1);
    free(b);
    hx_rig_fini(&r);
}

/* ---- the writer ---- */
static void writer_appends(struct hx_rig *r, uint32_t pg, uint64_t epoch, uint64_t conn, const char *info,
                           uint64_t prev, uint64_t lsn)
{
    static uint8_t b[64u << 10];
    struct hx_append_head h = {.frame_count = 1};
    struct hx_enc e = hx_enc_init(b, sizeof b);
    memcpy(h.info, info, strlen(info) + 1);
    hx_append_head_encode(&h, &e);
    hx_enc_bytes(&e, r->frame, hx_rig_run(r, pg, epoch, prev, lsn, 1, 0));
    struct hx_rig_ask q = {.type = HX_MSG_APPEND, .pg = pg, .epoch = epoch, .conn = conn, .body = {b, e.len}};
    uint64_t t = hx_rig_ask(r, 0, &q);
    hx_node_flush(r->node[0]);
    struct hx_ack k = ack_of(r, t);
    assert_int_equal(k.status, 0);
    assert_int_equal(k.scl.v, lsn);
}

/* LOOKUP of NAME; its status, and the writer. */
static int lookup(struct hx_rig *r, const char *name, struct hx_writer_info *ret)
{
    static struct hx_lookup l;
    struct hx_rig_reply a;
    uint8_t b[80];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_enc_str(&e, name);
    int err = hx_rig_call(r, 0, &(struct hx_rig_ask){.type = HX_MSG_LOOKUP, .body = {b, e.len}}, &a);
    if (!err) {
        struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
        memset(&l, 0, sizeof l);
        assert_int_equal(hx_lookup_decode(&l, &d), 0);
        if (ret)
            *ret = l.writer;
        hx_geometry_fini(&l.geometry);
    }
    hx_rig_reply_fini(&a);
    return err;
}

/* Promise: a writer counts as alive while a connection that carried one of its APPENDs is open, of those that it used
 * last; how many it has used before does not matter. */
static void a_writer_lives_as_long_as_its_newest_connections(void **state)
{
    struct hx_rig r;
    struct hx_writer_info w;
    (void)state;
    start(&r);
    for (uint64_t i = 1; i <= 100; i++)
        writer_appends(&r, PG, 1, i, "me", i - 1, i);
    for (uint64_t i = 1; i <= 99; i++) {
        hx_node_closed(r.node[0], r.now_ms, i);
        assert_int_equal(lookup(&r, "vol0", &w), 0);
        assert_true(w.alive);
        assert_string_equal(w.text, "me");
    }
    hx_node_closed(r.node[0], r.now_ms, 100);
    assert_int_equal(lookup(&r, "vol0", &w), 0);
    assert_false(w.alive);
    hx_rig_fini(&r);
}

/* Promise: the writer of the newest epoch is the one that is told, also when an older one still has an APPEND accepted
 * by a group that has not heard of the new epoch. */
static void an_older_writer_does_not_pass_for_the_newest(void **state)
{
    struct hx_rig r;
    struct hx_writer_info w;
    (void)state;
    start(&r);
    struct hx_history h = history(&r, 2, 0, 1000);
    assert_int_equal(hx_rig_adopt(&r, 0, 0, 2, &h, NULL, NULL), 0);
    writer_appends(&r, 0, 2, 8, "two", 0, 1001);
    writer_appends(&r, PG, 1, 7, "one", 0, 1);
    assert_int_equal(lookup(&r, "vol0", &w), 0);
    assert_int_equal(w.epoch.v, 2);
    assert_string_equal(w.text, "two");
    hx_node_closed(r.node[0], r.now_ms, 8);
    assert_int_equal(lookup(&r, "vol0", &w), 0);
    assert_false(w.alive); /* the older one's connection does not keep it alive */
    hx_history_fini(&h);
    hx_rig_fini(&r);
}

/* ---- several volumes, broken segments ---- */
/* A second volume of the same servers, with both groups here. */
static void add_volume(struct hx_rig *r, const char *name, unsigned uuid)
{
    struct hx_geometry g = {0};
    uint8_t b[8192];
    assert_int_equal(hx_geometry_copy(&g, &r->geometry), 0);
    g.volume = hx_rig_uuid(uuid);
    memset(g.name, 0, sizeof g.name);
    memcpy(g.name, name, strlen(name));
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_geometry_encode(&g, &e);
    hx_history_encode(&r->history, &e);
    for (uint32_t pg = 0; pg < 2; pg++) {
        struct hx_msg_head h = {.type = HX_MSG_FORMAT, .volume = g.volume, .pg = pg, .epoch = {1}};
        assert_int_equal(hx_peer_call(r, h, HX_NODE_ROLE_WRITER, "w", b, e.len), 0);
    }
    hx_geometry_fini(&g);
}

/* Promise: STATUS of a server with several volumes names each segment with its volume, and each volume's writer
 * once. */
static void status_tells_each_volumes_writer_once(void **state)
{
    struct hx_rig r;
    struct hx_rig_reply a;
    unsigned texts = 0, segments[2] = {0};
    (void)state;
    start(&r);
    add_volume(&r, "other", 600);
    writer_appends(&r, PG, 1, 3, "writer of vol0", 0, 1);
    assert_int_equal(hx_rig_call(&r, 0, &(struct hx_rig_ask){.type = HX_MSG_STATUS}, &a), 0);
    struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
    uint32_t n = hx_dec_u32(&d); /* of the rig's volume */
    assert_int_equal(n, 2);
    hx_rig_reply_fini(&a);
    struct hx_msg_head h = {.type = HX_MSG_STATUS, .req_id = 5};
    uint8_t m[HX_MSG_HEAD];
    struct hx_node_effect e = {0};
    hx_msg_head_encode(&h, &(struct hx_bytes){NULL, 0}, 1, m);
    hx_node_request(r.node[0], r.now_ms, 1, 4711, 1, HX_NODE_ROLE_ADMIN, "adm", (struct hx_bytes){m, sizeof m});
    while (hx_node_next(r.node[0], &e) && e.token != 4711)
        ;
    assert_int_equal(e.token, 4711);
    d = hx_dec_init(e.body.p + HX_REPLY_HEAD, e.body.len - HX_REPLY_HEAD);
    n = hx_dec_u32(&d);
    assert_int_equal(n, 4);
    for (uint32_t i = 0; i < n; i++) {
        struct hx_segment_status s;
        hx_segment_status_decode(&s, &d);
        const struct hx_uuid second = hx_rig_uuid(600);
        bool other = hx_uuid_eq(&s.volume, &second);
        segments[other]++;
        assert_string_equal(s.volume_name, other ? "other" : "vol0");
        assert_int_equal(s.writer.alive, !other);
        texts += s.writer.text[0] != 0;
    }
    assert_int_equal(hx_dec_end(&d), 0);
    assert_true(segments[0] == 2 && segments[1] == 2 && texts == 1);
    h.volume = hx_rig_uuid(600); /* the one of the two that comes first ends where the other begins */
    hx_msg_head_encode(&h, &(struct hx_bytes){NULL, 0}, 1, m);
    hx_node_request(r.node[0], r.now_ms, 1, 4712, 1, HX_NODE_ROLE_ADMIN, "adm", (struct hx_bytes){m, sizeof m});
    while (hx_node_next(r.node[0], &e) && e.token != 4712)
        ;
    assert_int_equal(hx_get_u32(e.body.p + HX_REPLY_HEAD), 2);
    hx_rig_fini(&r);
}

/* Promise: a segment that does not work answers for its own volume's name, and for no other. */
static void a_broken_segment_hides_its_own_volume_only(void **state)
{
    struct hx_rig r;
    (void)state;
    hx_rig_init(&r, 1, 1u << 20, 2, 0);
    assert_int_equal(hx_rig_format(&r, 0, PG), 0);
    hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, true);
    size_t n = hx_rig_run(&r, PG, 1, 0, 1, 3, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), HX_E_POISONED);
    assert_int_equal(lookup(&r, "vol0", NULL), HX_E_POISONED);
    assert_int_equal(lookup(&r, "another", NULL), HX_E_NO_VOLUME);
    hx_rig_fini(&r);
}

/* Promise: a segment whose disk has failed does not tell a writer that it is fenced: the others decide. */
static void a_broken_segment_fences_nobody(void **state)
{
    struct hx_rig r;
    (void)state;
    start(&r);
    assert_int_equal(hx_rig_fence(&r, 0, PG, 5, 1, NULL), 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, NULL, 0, NULL), HX_E_FENCED);
    hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
    assert_int_equal(hx_rig_fence(&r, 0, PG, 6, 1, NULL), HX_E_POISONED);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, NULL, 0, NULL), 0);
    hx_rig_fini(&r);
}

/* Promise: a peer's word about a segment that could not even be read here is nobody's; the others of the volume go
 * on. */
static void gossip_about_a_broken_segment_is_ignored(void **state)
{
    struct hx_rig r;
    struct hx_peer_question all[4];
    size_t len;
    (void)state;
    start(&r);
    struct hx_disk_place at = hx_rig_place(&r, PG);
    hx_rig_stop(&r, 0);
    for (uint64_t slot = 1; slot <= 2; slot++)
        hx_mem_file(r.farm[0], &at, slot, &len)[70] ^= 1;
    assert_int_equal(hx_rig_start(&r, 0), 0);
    static const uint32_t pgs[] = {PG, 0, 40};
    for (size_t i = 0; i < HX_ARRAY_LEN(pgs); i++) {
        struct hx_peer_question q = hx_peer_wait(&r, HX_MSG_GOSSIP);
        hx_peer_tell(&r, &q, pgs[i], 1, 50);
        assert_int_equal(hx_peer_questions(&r, all, HX_ARRAY_LEN(all)), pgs[i] == 0);
    }
    hx_rig_fini(&r);
}

/* ---- FORMAT once more ---- */
/* FORMAT of PG by EPOCH with M as the number of membership changes. */
static int format_again(struct hx_rig *r, uint64_t epoch, uint32_t m)
{
    struct hx_geometry g = {0};
    uint8_t b[8192];
    assert_int_equal(hx_geometry_copy(&g, &r->geometry), 0);
    g.m = m;
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_geometry_encode(&g, &e);
    hx_history_encode(&r->history, &e);
    hx_geometry_fini(&g);
    return says(r, HX_MSG_FORMAT, epoch, b, e.len);
}

static uint32_t members_of(struct hx_rig *r)
{
    struct hx_segment_look l;
    assert_int_equal(hx_node_look(r->node[0], hx_rig_place(r, PG), &l), 0);
    return l.geometry->m;
}

/* Promise: a segment that growth left behind, and that holds nothing, takes the members of the growth that was;
 * one that holds anything, be it a record behind a hole, never changes its members by FORMAT. */
static void format_replaces_only_what_is_empty(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 5; what++) {
        struct hx_rig r;
        start(&r);
        size_t n = hx_rig_run(&r, PG, 1, 4, 5, 1, 0); /* 1 to 4 are not here */
        if (what == 2) /* at or below the hint: a span */
            assert_int_equal(hx_rig_append(&r, 0, 1, 9, 0, NULL, 0, NULL), 0);
        if (what >= 1 && what < 4)
            assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
        if (what == 3) { /* and annulled: it is in the log all the same */
            struct hx_history h = history(&r, 2, 0, 1000);
            assert_int_equal(hx_rig_adopt(&r, 0, PG, 2, &h, NULL, NULL), 0);
            assert_int_equal(hx_rig_append(&r, 0, 2, 1000, 0, NULL, 0, NULL), 0);
            hx_history_fini(&h);
        }
        if (what == 4) { /* of an epoch that is not newer */
            assert_int_equal(hx_rig_fence(&r, 0, PG, 3, 900, NULL), 0);
        }
        assert_int_equal(format_again(&r, 3, 2), 0);
        assert_int_equal(members_of(&r), what == 0 ? 2 : 0);
        assert_int_equal(status(&r, PG).promised.v, 3);
        hx_rig_fini(&r);
    }
}

/* Promise: a geometry that has no groups, so nobody to keep it, is refused. */
static void a_geometry_has_its_own_group(void **state)
{
    struct hx_rig r;
    struct hx_geometry g = {0};
    uint8_t b[8192];
    (void)state;
    start(&r);
    assert_int_equal(hx_geometry_copy(&g, &r.geometry), 0);
    g.epoch = HX_EPOCH(2);
    for (unsigned i = 0; i < 2; i++) {
        g.pg_count = g.g = i ? 2 : 0;
        struct hx_enc e = hx_enc_init(b, sizeof b);
        hx_geometry_encode(&g, &e);
        struct hx_msg_head h = {.type = HX_MSG_GEOMETRY, .epoch = {2}};
        assert_int_equal(hx_peer_call(&r, h, HX_NODE_ROLE_WRITER, "w", b, e.len), i ? 0 : HX_E_INVAL);
    }
    hx_geometry_fini(&g);
    hx_rig_fini(&r);
}

/* ---- the server as a whole ---- */
static int hello(struct hx_rig *r)
{
    return hx_rig_call(r, 0, &(struct hx_rig_ask){.type = HX_MSG_HELLO}, NULL);
}

/* Promise: a disk that does not tell how full it is makes HELLO fail with the disk's word; and a segment that found it
 * full stays so until the disk says that there is room, with or without an append. */
static void how_full_the_disk_is_comes_from_the_disk(void **state)
{
    struct hx_rig r;
    (void)state;
    start(&r);
    assert_int_equal(hello(&r), 0);
    hx_mem_fail_space(r.farm[0], HX_E_IO);
    assert_int_equal(hello(&r), HX_E_IO);
    hx_mem_fail(r.farm[0], HX_MEM_WRITE, 1, HX_E_NOSPACE, false);
    size_t n = hx_rig_run(&r, PG, 1, 0, 1, 3, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), HX_E_NOSPACE);
    hx_mem_fail(r.farm[0], HX_MEM_WRITE, 1, HX_E_NOSPACE, false);
    n = hx_rig_run(&r, 0, 1, 0, 1, 3, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), HX_E_NOSPACE);
    hx_rig_step(&r, 500);
    assert_int_equal(status(&r, PG).state, HX_E_NOSPACE);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, NULL, 0, NULL), HX_E_NOSPACE); /* an announcement is told */
    hx_mem_fail_space(r.farm[0], 0);
    hx_mem_limit(r.farm[0], 8u << 20); /* less than it takes to count as room */
    hx_rig_step(&r, 500);
    assert_int_equal(status(&r, PG).state, HX_E_NOSPACE);
    hx_mem_limit(r.farm[0], 0);
    hx_rig_step(&r, 500);
    assert_int_equal(status(&r, PG).state, 0);
    assert_int_equal(status(&r, 0).state, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, NULL, 0, NULL), 0);
    hx_rig_fini(&r);
}

/* A farm that lists a place which is gone when it is opened. */
static int gone_open(struct hx_disk_farm *f, struct hx_disk_place place, bool create, struct hx_disk **ret)
{
    (void)f;
    (void)place;
    (void)create;
    (void)ret;
    return HX_E_NOENT;
}

static int gone_next(struct hx_disk_farm *f, size_t *cursor, struct hx_disk_place *ret)
{
    (void)f;
    *ret = (struct hx_disk_place){hx_rig_uuid(500), 1};
    return (*cursor)++ == 0;
}

/* Promise: a directory that disappears while the server starts is no segment, and does not keep it from starting. */
static void a_place_that_has_gone_is_no_segment(void **state)
{
    static const struct hx_disk_farm_ops ops = {.open = gone_open, .next = gone_next};
    struct hx_disk_farm farm = {&ops};
    struct hx_node_cfg cfg = {.name = "a1", .zone = "z", .incarnation = hx_rig_uuid(1), .farm = &farm};
    struct hx_node *n;
    (void)state;
    assert_int_equal(hx_node_new(&cfg, 1, &n), 0);
    assert_int_equal(hx_node_places(n), 0);
    hx_node_free(n);
}

/* Promise: with many segments, background work comes to each of them.  Method: 20 idle ones; each in turn writes a MARK
 * behind its last batch. */
static void background_work_comes_to_every_segment(void **state)
{
    enum { PGS = 20 };
    struct hx_rig r;
    (void)state;
    hx_rig_init(&r, 1, 1u << 20, PGS, 0);
    for (uint32_t pg = 0; pg < PGS; pg++) {
        assert_int_equal(hx_rig_format(&r, 0, pg), 0);
        size_t n = hx_rig_run(&r, pg, 1, 0, 1, 2, 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
    }
    for (unsigned i = 0; i < 12; i++)
        hx_rig_step(&r, 500);
    for (uint32_t pg = 0; pg < PGS; pg++) {
        struct hx_disk_place at = hx_rig_place(&r, pg);
        size_t len, marks = 0;
        const uint8_t *p = hx_mem_file(r.farm[0], &at, 16, &len);
        assert_non_null(p);
        for (size_t off = 0; off + 96 <= len; off += 8)
            marks += !memcmp(p + off, "HXE1", 4) && p[off + 4] == 3;
        assert_int_equal(marks, 1);
    }
    hx_rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_truncated_request_stores_nothing),
        cmocka_unit_test(records_have_lsns_of_their_epoch),
        cmocka_unit_test(two_records_of_one_lsn_are_both_told),
        cmocka_unit_test(what_a_lost_epoch_cut_off_can_be_written_back),
        cmocka_unit_test(answers_are_judged_when_they_are_made),
        cmocka_unit_test(a_large_batch_is_written_at_once),
        cmocka_unit_test(an_inventory_is_whole_or_none),
        cmocka_unit_test(a_lookup_is_whole_or_none),
        cmocka_unit_test(links_that_disagree_lose_nothing),
        cmocka_unit_test(a_writer_lives_as_long_as_its_newest_connections),
        cmocka_unit_test(an_older_writer_does_not_pass_for_the_newest),
        cmocka_unit_test(status_tells_each_volumes_writer_once),
        cmocka_unit_test(a_broken_segment_hides_its_own_volume_only),
        cmocka_unit_test(a_broken_segment_fences_nobody),
        cmocka_unit_test(gossip_about_a_broken_segment_is_ignored),
        cmocka_unit_test(format_replaces_only_what_is_empty),
        cmocka_unit_test(a_geometry_has_its_own_group),
        cmocka_unit_test(how_full_the_disk_is_comes_from_the_disk),
        cmocka_unit_test(a_place_that_has_gone_is_no_segment),
        cmocka_unit_test(background_work_comes_to_every_segment),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("verbs", tests, NULL, NULL);
}
