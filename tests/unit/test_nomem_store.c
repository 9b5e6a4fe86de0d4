/*
 * test_nomem_store.c - the rarer ways of a segment server while its k-th allocation fails, once or from then on, for
 * every k: many requests in one batch, holes, a history that brings records back, damage and its mending.
 *
 * Method: as test_nomem.c; after each run memory is back, and what was acknowledged, and only that, must be there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "nomem_kit.h"

#include <stdlib.h>

#define PG 1u

static struct hx_segment_status status(struct hx_rig *r, unsigned i)
{
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(r, i, PG, &s), 0);
    return s;
}

/* Page of LSN, written last at LSN, as hx_rig_run writes. */
static void assert_value(struct hx_rig *r, unsigned i, uint64_t point, uint64_t lsn)
{
    uint8_t data[HX_PAGE_SIZE];
    struct hx_read_page p;
    assert_int_equal(hx_rig_read(r, i, PG, status(r, i).top.v, point, (uint32_t)(lsn % 16), data, &p), 0);
    assert_int_equal(p.state, HX_READ_RAW);
    assert_int_equal(hx_get_u64(data), lsn);
}

/* ---- many requests in one batch ---- */
#define BATCH 40u
static unsigned batch_type;

static size_t batch_body(unsigned type, const struct hx_rig *r, uint8_t *b, size_t cap)
{
    struct hx_enc e = hx_enc_init(b, cap);
    struct hx_append_head a = {.vdl = {3}};
    static const uint8_t fetch_all[21] = {[8] = 100, [18] = 1}, read_one[16] = {[0] = 3, [8] = 1, [12] = 3};
    if (type == HX_MSG_APPEND)
        hx_append_head_encode(&a, &e);
    if (type == HX_MSG_REPAIR)
        hx_history_encode(&r->history, &e);
    if (type == HX_MSG_FETCH)
        hx_enc_bytes(&e, fetch_all, sizeof fetch_all);
    if (type == HX_MSG_READ)
        hx_enc_bytes(&e, read_one, sizeof read_one);
    return e.len;
}

static void batch(uint64_t k, bool always)
{
    struct hx_rig r;
    uint8_t b[4096];
    unsigned came[BATCH] = {0}, answered = 0;
    (void)always;
    hx_rig_init(&r, 1, 1u << 20, 2, 0);
    assert_int_equal(hx_rig_format(&r, 0, PG), 0);
    size_t n = hx_rig_run(&r, PG, 1, 0, 1, 3, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
    size_t len = batch_body(batch_type, &r, b, sizeof b);
    bool peer = batch_type == HX_MSG_FETCH;
    uint64_t first = r.token + 1;
    alloc_fault_arm();
    for (unsigned i = 0; i < BATCH; i++) {
        bool was = alloc_fault_suspend();
        struct hx_rig_ask q = {.type = batch_type, .pg = PG, .name = peer ? "b1" : "w", .conn = i,
                               .role = peer ? HX_NODE_ROLE_SEGMENT : HX_NODE_ROLE_WRITER, .body = {b, len}};
        alloc_fault_resume(was);
        hx_rig_ask(&r, 0, &q);
    }
    hx_node_flush(r.node[0]);
    struct hx_node_effect e;
    while (hx_node_next(r.node[0], &e)) {
        struct hx_reply_head h;
        struct hx_bytes body;
        assert_int_equal(e.kind, HX_NODE_REPLY);
        assert_in_range(e.token, first, first + BATCH - 1);
        assert_int_equal(came[e.token - first]++, 0); /* N3 */
        assert_int_equal(hx_reply_decode(e.body.p, e.body.len, &h, &body), 0);
        if (h.status)
            assert_nomem(h.status, hx_msg_type_name(batch_type), k);
        answered++;
    }
    alloc_fault_disarm();
    assert_true(answered == BATCH || alloc_fault_happened());
    relieve(&r, 0);
    assert_int_equal(status(&r, 0).scl.v, 3);
    assert_value(&r, 0, 3, 2);
    hx_rig_fini(&r);
}

/* Promise: of many requests that come at once, each is answered once, with NOMEM where it could not be done, or not at
 * all where not even that could be said. */
static void many_requests_at_once(void **state)
{
    static const unsigned types[] = {HX_MSG_READ, HX_MSG_FETCH, HX_MSG_APPEND, HX_MSG_REPAIR, HX_MSG_FENCE,
                                     HX_MSG_STATUS, HX_MSG_HELLO};
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(types); i++) {
        batch_type = types[i];
        for_each(batch);
    }
}

/* ---- holes ---- */
/* Every second record from FIRST on, COUNT of them, again and again until all are taken. */
static void append_holes(struct hx_rig *r, uint64_t first, unsigned count, uint64_t k)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t lsn = first + 2 * i;
        size_t n = hx_rig_run(r, PG, 1, lsn - 1, lsn, 1, 0);
        int err;
        ALLOC_FAULTS(err = hx_rig_append(r, 0, 1, 0, 0, r->frame, n, NULL));
        if (!err)
            continue;
        assert_nomem(err, "append", k);
        relieve(r, 0);
        assert_int_equal(hx_rig_append(r, 0, 1, 0, 0, r->frame, n, NULL), 0);
    }
}

static void holes(uint64_t k, bool always)
{
    struct hx_rig r;
    (void)always;
    hx_rig_init(&r, 1, 1u << 20, 2, 0);
    assert_int_equal(hx_rig_format(&r, 0, PG), 0);
    append_holes(&r, 2, 20, k);
    ALLOC_FAULTS(hx_rig_append(&r, 0, 1, 30, 0, NULL, 0, NULL)); /* those up to 30 become runs */
    append_holes(&r, 42, 20, k);
    ALLOC_FAULTS(hx_rig_append(&r, 0, 1, 100, 0, NULL, 0, NULL));
    append_holes(&r, 82, 8, k); /* at or below the hint at once */
    relieve(&r, 0);
    for (unsigned i = 0; i < 4; i++) /* what stopped for want of memory reads its disk again */
        hx_rig_step(&r, 1000);
    assert_int_equal(status(&r, 0).scl.v, 0);
    for (uint64_t lsn = 1; lsn <= 97; lsn += 2) {
        size_t n = hx_rig_run(&r, PG, 1, lsn - 1, lsn, 1, 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
    }
    assert_int_equal(status(&r, 0).scl.v, 97);
    for (uint64_t lsn = 82; lsn <= 97; lsn++)
        assert_value(&r, 0, 97, lsn);
    hx_rig_fini(&r);
}

/* Promise: records behind holes that were acknowledged while memory was short are there when the holes are filled. */
static void records_behind_holes(void **state)
{
    (void)state;
    for_each(holes);
}

/* ---- a history that brings records back ---- */
static void push(struct hx_history *h, uint64_t epoch, uint64_t vdl, uint64_t end)
{
    assert_int_equal(hx_history_push(h, (struct hx_history_entry){{epoch}, {vdl}, {end}, HX_RIG_LAL}), 0);
}

static void bring_back(uint64_t k, bool always)
{
    struct hx_rig r;
    struct hx_history lost = {0}, open = {0};
    uint64_t scl;
    bool was = alloc_fault_suspend();
    (void)always;
    push(&lost, 1, 0, 0);
    push(&lost, 2, 3, 1003);
    push(&open, 1, 0, 0);
    push(&open, 3, 40, 1040);
    alloc_fault_resume(was);
    hx_rig_init(&r, 1, 1u << 20, 2, 0);
    assert_int_equal(hx_rig_format(&r, 0, PG), 0);
    size_t n = hx_rig_run(&r, PG, 1, 0, 1, 3, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
    assert_int_equal(hx_rig_adopt(&r, 0, PG, 2, &lost, NULL, NULL), 0);
    n = hx_rig_run(&r, PG, 1, 3, 4, 37, 0); /* annulled here, until epoch 3 */
    int err[2];
    ALLOC_FAULTS(err[0] = hx_rig_repair(&r, 0, PG, 3, &open, r.frame, n, &scl));
    ALLOC_FAULTS(err[1] = hx_rig_adopt(&r, 0, PG, 3, &open, NULL, &scl));
    if (err[0])
        assert_nomem(err[0], "REPAIR", k);
    if (err[1])
        assert_nomem(err[1], "ADOPT", k);
    relieve(&r, 0);
    assert_int_equal(hx_rig_repair(&r, 0, PG, 3, &open, r.frame, n, &scl), 0);
    assert_int_equal(scl, 40);
    assert_int_equal(hx_rig_adopt(&r, 0, PG, 3, &open, NULL, &scl), 0);
    assert_int_equal(scl, 40);
    for (uint64_t lsn = 25; lsn <= 40; lsn++)
        assert_value(&r, 0, 40, lsn);
    hx_history_fini(&lost);
    hx_history_fini(&open);
    hx_rig_fini(&r);
}

/* Promise: a history that could not be applied for want of memory is applied whole afterwards, or not at all. */
static void a_history_that_brings_records_back(void **state)
{
    (void)state;
    for_each(bring_back);
}

/* ---- damage ---- */
#define RUNS 24u
static void two_servers(struct hx_rig *r, uint64_t vdl)
{
    hx_rig_init(r, 2, 1u << 20, 2, 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(hx_rig_format(r, i, PG), 0);
    for (uint64_t first = 1; first <= 2 * RUNS; first += 2) {
        size_t n = hx_rig_run(r, PG, 1, first - 1, first, 2, 0);
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(hx_rig_append(r, i, 1, 0, 0, r->frame, n, NULL), 0);
    }
    for (unsigned i = 0; i < 2 && vdl; i++)
        assert_int_equal(hx_rig_append(r, i, 1, vdl, 0, NULL, 0, NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        hx_rig_step(r, 500); /* a MARK: the last batch is proven, too */
}

/* Every second frame of server 0 rots. */
static void rot(struct hx_rig *r)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    size_t len;
    unsigned seen = 0;
    uint8_t *p = hx_mem_file(r->farm[0], &at, 16, &len);
    for (size_t off = 0; off + HX_FRAME_HEAD < len; off += 8)
        if (hx_get_u32(p + off) == HX_FRAME_MAGIC && seen++ % 2)
            p[off + HX_FRAME_HEAD + 2 * HX_REC_HEAD + 7] ^= 0x10;
    assert_int_equal(seen, RUNS);
}

/* Does server 0 give every page? */
static bool all_whole(struct hx_rig *r)
{
    unsigned bad = status(r, 0).damaged > 0;
    for (uint32_t page = 0; page < 16; page++) {
        struct hx_read_page p = {0};
        int err = hx_rig_read(r, 0, PG, 1, 2 * RUNS, page, NULL, &p);
        bad += err || p.state == HX_READ_CORRUPT;
    }
    return bad == 0;
}

/* In the end everything is there. */
static void assert_mended(struct hx_rig *r)
{
    for (unsigned i = 0; i < 200 && !all_whole(r); i++)
        hx_rig_step(r, 200);
    assert_int_equal(status(r, 0).scl.v, 2 * RUNS);
    assert_int_equal(status(r, 0).damaged, 0);
    for (uint64_t lsn = 2 * RUNS - 15; lsn <= 2 * RUNS; lsn++)
        assert_value(r, 0, 2 * RUNS, lsn);
}

static void restart_over_damage(uint64_t k, bool always)
{
    struct hx_rig r;
    (void)always;
    two_servers(&r, 0);
    hx_rig_stop(&r, 0);
    rot(&r);
    int err;
    ALLOC_FAULTS(err = hx_rig_start(&r, 0));
    if (err) {
        assert_nomem(err, "start", k);
        r.node[0] = NULL;
        relieve(&r, 0);
    }
    assert_true(status(&r, 0).scl.v <= 2 || status(&r, 0).state == HX_E_NOMEM);
    ALLOC_FAULTS(for (unsigned i = 0; i < 12; i++) hx_rig_step(&r, 150));
    relieve(&r, 0);
    relieve(&r, 1);
    assert_mended(&r);
    hx_rig_fini(&r);
}

/* Promise: damage that a restart finds while memory is short is found, or the segment says NOMEM and finds it later;
 * records come back from the peer. */
static void damage_at_a_restart(void **state)
{
    (void)state;
    for_each(restart_over_damage);
}

static void read_over_damage(uint64_t k, bool always)
{
    struct hx_rig r;
    (void)k;
    (void)always;
    two_servers(&r, 2 * RUNS);
    rot(&r);
    for (uint32_t page = 0; page < 16; page++) {
        struct hx_read_page p = {.state = HX_READ_CORRUPT};
        uint8_t data[HX_PAGE_SIZE];
        int err;
        ALLOC_FAULTS(err = hx_rig_read(&r, 0, PG, 1, 2 * RUNS, page, data, &p));
        if (err) {
            assert_nomem(err, "READ", k);
            continue;
        }
        uint64_t lsn = 2 * RUNS / 16 * 16 + page - (page ? 16 : 0);
        if (p.state != HX_READ_CORRUPT)
            assert_int_equal(hx_get_u64(data), page ? lsn : 2 * RUNS);
    }
    ALLOC_FAULTS(for (unsigned i = 0; i < 12; i++) hx_rig_step(&r, 150));
    lift();
    for (unsigned i = 0; i < 2; i++)
        if (status(&r, i).state == HX_E_NOMEM)
            relieve(&r, i);
    assert_mended(&r);
    hx_rig_fini(&r);
}

/* Promise: damage that reads meet while memory is short is never served, and mended by the peer's pages. */
static void damage_met_by_reads(void **state)
{
    (void)state;
    for_each(read_over_damage);
}

/* ---- what goes on behind ---- */
static void behind(uint64_t k, bool always)
{
    struct hx_rig r;
    static uint8_t data[HX_PAGE_SIZE];
    (void)k;
    (void)always;
    hx_rig_init(&r, 2, 1u << 20, 2, 16u << 10);
    for (unsigned i = 0; i < 2; i++) {
        hx_rig_stop(&r, i);
        r.scrub_cycle_s = 1;
        assert_int_equal(hx_rig_start(&r, i), 0);
        assert_int_equal(hx_rig_format(&r, i, PG), 0);
    }
    for (uint64_t lsn = 1; lsn <= 2 * RUNS; lsn++) { /* as hx_rig_run, and some room taken: several files */
        hx_put_u64(data, lsn);
        for (size_t i = 8; i < sizeof data; i++)
            data[i] = (uint8_t)(lsn * 31 + i * i * 7 + i / 3);
        struct hx_rig_rec rec = {lsn, (uint32_t)(lsn % 16), HX_REC_IMAGE, HX_REC_CPL, data, 3000};
        size_t n = hx_rig_frame(&r, PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){lsn - 1, lsn > 40 ? 30 : 0, 0});
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(hx_rig_append(&r, i, 1, lsn - 1, lsn > 40 ? 30 : 0, r.frame, n, NULL), 0);
    }
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(hx_rig_append(&r, i, 1, 2 * RUNS, 40, NULL, 0, NULL), 0);
    ALLOC_FAULTS(for (unsigned i = 0; i < 10; i++) hx_rig_step(&r, 700));
    lift();
    for (unsigned i = 0; i < 2; i++)
        if (status(&r, i).state)
            relieve(&r, i);
    assert_mended(&r);
    hx_rig_stop(&r, 0);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_mended(&r);
    hx_rig_fini(&r);
}

/* Promise: checkpoints, scrubbing, comparing, sidecars and compaction that lack memory are done later; nothing is
 * lost or taken for damage. */
static void work_behind_without_memory(void **state)
{
    (void)state;
    for_each(behind);
}

/* ---- a disk that does not even open ---- */
static void start_without_disk(uint64_t k, bool always)
{
    struct hx_rig r;
    (void)always;
    two_servers(&r, 0);
    hx_rig_stop(&r, 0);
    hx_mem_power_off_at(r.farm[0], 1);
    hx_rig_stop(&r, 1);
    assert_int_equal(hx_rig_start(&r, 1), 0);
    struct hx_disk *d;
    hx_mem_farm(r.farm[0])->ops->open(hx_mem_farm(r.farm[0]), hx_rig_place(&r, PG), false, &d);
    d->ops->flush(d, 16); /* and off it is */
    int err;
    ALLOC_FAULTS(err = hx_rig_start(&r, 0));
    if (err) {
        assert_nomem(err, "start", k);
        r.node[0] = NULL;
    } else {
        assert_true(status(&r, 0).state == HX_E_IO || alloc_fault_happened());
    }
    lift();
    hx_mem_crash(r.farm[0], 3);
    hx_rig_stop(&r, 0);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_mended(&r);
    hx_rig_fini(&r);
}

/* Promise: a segment whose disk cannot be opened says so, or, without memory, the server does not start; nothing of it
 * is lost. */
static void a_disk_that_does_not_open(void **state)
{
    (void)state;
    for_each(start_without_disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_requests_at_once),
        cmocka_unit_test(records_behind_holes),
        cmocka_unit_test(a_history_that_brings_records_back),
        cmocka_unit_test(damage_at_a_restart),
        cmocka_unit_test(damage_met_by_reads),
        cmocka_unit_test(work_behind_without_memory),
        cmocka_unit_test(a_disk_that_does_not_open),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("nomem_store", tests, NULL, NULL);
}
