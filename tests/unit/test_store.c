/*
 * test_store.c - what a segment keeps: versions, restarts, materialisation, compaction, damage, failing and full disks,
 * and loss of power at every call.
 * Method: one server over a disk in memory, with log files so small that every mechanism runs; a model that knows every
 * page at every LSN.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hexad/crc.h"
#include "node_rig.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGES 24u    /* that the workload touches */
#define LSNS 3000u
#define PG 1u

/* ---- the model: every record, and the pages that follow from them ---- */
struct rec {
    uint32_t page;
    uint8_t kind;
    uint16_t len;
    uint8_t payload[HX_PAGE_SIZE];
};
struct model {
    struct rec *recs;  /* by LSN */
    uint64_t last, acked, vdl, floor;
    uint64_t rng;
};

static uint64_t dice(struct model *m)
{
    m->rng ^= m->rng << 13;
    m->rng ^= m->rng >> 7;
    m->rng ^= m->rng << 17;
    return m->rng >> 11;
}

static void fold(const struct model *m, uint32_t page, uint64_t point, uint8_t out[HX_PAGE_SIZE])
{
    uint64_t from = point;
    while (from > 0 && !(m->recs[from].page == page && hx_rec_is_base(m->recs[from].kind)))
        from--;
    memset(out, 0, HX_PAGE_SIZE);
    for (uint64_t l = from ? from : 1; l <= point; l++)
        if (m->recs[l].page == page)
            assert_int_equal(hx_rec_apply(out, m->recs[l].kind, m->recs[l].payload, m->recs[l].len), 0);
}

static void put_range(struct model *m, struct rec *r, size_t len)
{
    hx_put_u16(r->payload, (uint16_t)(dice(m) % (HX_PAGE_SIZE - len)));
    hx_put_u16(r->payload + 2, (uint16_t)len);
    for (size_t i = 0; i < len; i++)
        r->payload[4 + i] = (uint8_t)dice(m);
    r->len = (uint16_t)(len + 4);
}

static void make_rec(struct model *m, uint64_t lsn)
{
    struct rec *r = &m->recs[lsn];
    unsigned what = (unsigned)(dice(m) % 100);
    memset(r, 0, sizeof *r);
    r->page = (uint32_t)(dice(m) % (dice(m) % 3 ? 4 : PAGES)); /* some are hot */
    if (what < 75) {
        r->kind = HX_REC_PATCH;
        put_range(m, r, 1 + dice(m) % 60);
    } else if (what < 92) {
        r->kind = HX_REC_IMAGE;
        r->len = (uint16_t)(dice(m) % (HX_PAGE_SIZE + 1));
        bool random = dice(m) & 1;
        for (size_t i = 0; i < r->len; i++)
            r->payload[i] = random ? (uint8_t)dice(m) : (uint8_t)(i / 100);
        if (r->len)
            r->payload[r->len - 1] |= 1;
    } else if (what < 96) {
        r->kind = HX_REC_SPARSE;
        put_range(m, r, 20);
    } else {
        r->kind = what < 98 ? HX_REC_ZERO : HX_REC_FREE;
    }
}

static void model_init(struct model *m, uint64_t seed)
{
    *m = (struct model){.rng = seed * 7919 + 1};
    m->recs = calloc(LSNS + 1, sizeof *m->recs);
    assert_non_null(m->recs);
}

/* The next frame: COUNT records after m->last.  *ret_len of r->frame. */
static size_t next_frame(struct hx_rig *r, struct model *m, unsigned count)
{
    struct hx_rig_rec recs[64];
    for (unsigned i = 0; i < count; i++) {
        uint64_t lsn = m->last + 1 + i;
        make_rec(m, lsn);
        const struct rec *x = &m->recs[lsn];
        recs[i] = (struct hx_rig_rec){lsn, x->page, x->kind, i + 1 == count ? HX_REC_CPL : 0, x->payload, x->len};
    }
    size_t n = hx_rig_frame(r, PG, 1, m->last, recs, count, (struct hx_rig_marks){m->vdl, m->floor, m->floor});
    m->last += count;
    return n;
}

/* One step: a frame, then perhaps the VDL and floor move on, and background work gets a turn.  The ack's status. */
static int step(struct hx_rig *r, struct model *m)
{
    uint64_t scl = 0;
    size_t n = next_frame(r, m, 1 + (unsigned)(dice(m) % (dice(m) % 8 ? 4 : 60)));
    int err = hx_rig_append(r, 0, 1, m->vdl, m->floor, r->frame, n, &scl);
    if (err)
        return err;
    assert_int_equal(scl, m->last);
    m->acked = m->last;
    uint64_t vdl = m->acked - (m->acked > 10 ? dice(m) % 3 : 0), floor = m->vdl - (m->vdl > 40 ? dice(m) % 40 : m->vdl);
    if (dice(m) % 2 && vdl > m->vdl)
        m->vdl = vdl;
    if (dice(m) % 3 == 0 && floor > m->floor)
        m->floor = floor;
    if (dice(m) % 4 == 0)
        hx_rig_step(r, 50);
    return 0;
}

static void check_page(struct hx_rig *r, const struct model *m, uint32_t page, uint64_t point)
{
    uint8_t want[HX_PAGE_SIZE], got[HX_PAGE_SIZE];
    struct hx_read_page p;
    fold(m, page, point, want);
    int err = hx_rig_read(r, 0, PG, 1, point, page, got, &p);
    if (err || p.state == HX_READ_CORRUPT || memcmp(want, got, sizeof want))
        fail_msg("page %u at %llu: err %d state %u, floor %llu", page, (unsigned long long)point, err, p.state, (unsigned long long)m->floor);
}

/* Every page at the newest point and some at older ones. */
static void check_all(struct hx_rig *r, struct model *m, unsigned old_points)
{
    for (uint32_t page = 0; page < PAGES; page++)
        check_page(r, m, page, m->acked);
    for (unsigned i = 0; i < old_points; i++) {
        uint64_t point = m->floor + dice(m) % (m->acked - m->floor + 1);
        check_page(r, m, (uint32_t)(dice(m) % PAGES), point);
    }
}

static void start(struct hx_rig *r, uint32_t log_file_bytes)
{
    hx_rig_init(r, 1, 1u << 20, 2, log_file_bytes);
    assert_int_equal(hx_rig_format(r, 0, PG), 0);
}

static void restart(struct hx_rig *r)
{
    hx_rig_stop(r, 0);
    assert_int_equal(hx_rig_start(r, 0), 0);
}

/* ---- tests ---- */
/* Promise: every page reads as the fold of its records, at every point from the floor on, through restarts, materialisation
 * and compaction; and space is given back.  Method: random work against the model, four seeds. */
static void pages_are_the_fold_of_their_records(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct hx_rig r;
        struct model m;
        model_init(&m, seed);
        start(&r, 32u << 10);
        for (unsigned i = 0; m.last + 64 < LSNS; i++) {
            assert_int_equal(step(&r, &m), 0);
            if (i % 16 == 0)
                check_all(&r, &m, 20);
            if (i % 100 == 99) {
                restart(&r);
                check_all(&r, &m, 40);
            }
        }
        m.vdl = m.floor = m.acked;
        size_t n = next_frame(&r, &m, 1);
        assert_int_equal(hx_rig_append(&r, 0, 1, m.vdl, m.floor, r.frame, n, NULL), 0);
        m.acked = m.last;
        for (unsigned i = 0; i < 100; i++)
            hx_rig_step(&r, 50);
        check_all(&r, &m, 5);
        struct hx_segment_status s;
        assert_int_equal(hx_rig_status(&r, 0, PG, &s), 0);
        /* 24 pages; three times that in log files of 32 KiB, and the reserve of the meta slots. */
        assert_in_range(s.disk_bytes, 1, (128u << 10) + 3 * (PAGES * HX_PAGE_SIZE + (32u << 10)));
        restart(&r);
        check_all(&r, &m, 5);
        free(m.recs);
        hx_rig_fini(&r);
    }
}

/* Promise: reads below the oldest point that is whole are TOO_OLD, never a newer or older page. */
static void a_read_point_that_was_collected_is_too_old(void **state)
{
    (void)state;
    struct hx_rig r;
    uint8_t image[HX_PAGE_SIZE];
    start(&r, 0);
    for (uint64_t lsn = 1; lsn <= 10; lsn++) {
        memset(image, (int)lsn, sizeof image);
        struct hx_rig_rec rec = {lsn, 3, HX_REC_IMAGE, HX_REC_CPL, image, sizeof image};
        size_t n = hx_rig_frame(&r, PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){lsn - 1, lsn > 5 ? 4 : 0, 0});
        assert_int_equal(hx_rig_append(&r, 0, 1, lsn - 1, 0, r.frame, n, NULL), 0);
    }
    for (uint64_t point = 0; point <= 10; point++) {
        struct hx_read_page p;
        int err = hx_rig_read(&r, 0, PG, 1, point, 3, image, &p);
        assert_int_equal(err, point < 4 ? HX_E_TOO_OLD : 0);
        if (!err)
            assert_int_equal(image[0], point);
    }
    hx_rig_fini(&r);
}

/* Promise: whatever call the power fails at, what was acknowledged is there afterwards, nothing else is invented, and work
 * goes on.  Method: the same work, cut at the 1st, 2nd, ... call until it runs through; unsynced sectors survive by dice. */
static void power_loss_at_any_call_loses_nothing_acknowledged(void **state)
{
    (void)state;
    bool through = false;
    for (uint64_t k = 1; !through; k++) {
        struct hx_rig r;
        struct model m;
        model_init(&m, 5);
        hx_rig_init(&r, 1, 1u << 20, 2, 16u << 10);
        hx_mem_power_off_at(r.farm[0], k);
        bool formatted = hx_rig_format(&r, 0, PG) == 0;
        for (unsigned i = 0; i < 60 && formatted && !hx_mem_is_off(r.farm[0]); i++)
            if (step(&r, &m))
                break;
        through = !hx_mem_is_off(r.farm[0]);
        hx_rig_stop(&r, 0);
        hx_mem_crash(r.farm[0], k);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_format(&r, 0, PG), 0);
        struct hx_segment_status s;
        assert_int_equal(hx_rig_status(&r, 0, PG, &s), 0);
        if (s.scl.v < m.acked || s.scl.v > m.last || s.state)
            fail_msg("call %llu: SCL %llu of %llu acked", (unsigned long long)k, (unsigned long long)s.scl.v, (unsigned long long)m.acked);
        m.acked = s.scl.v; /* more may have survived, in whole frames or parts: all of it is real */
        m.last = m.acked;
        if (m.acked)
            check_all(&r, &m, 10);
        for (unsigned i = 0; i < 12; i++)
            assert_int_equal(step(&r, &m), 0);
        restart(&r);
        check_all(&r, &m, 10);
        free(m.recs);
        hx_rig_fini(&r);
    }
}

/* Promise: a promise that was answered survives any loss of power.  Method: FENCE with rising epochs, cut at every call. */
static void promises_survive_power_loss(void **state)
{
    (void)state;
    for (uint64_t k = 1; k <= 40; k++) {
        struct hx_rig r;
        uint64_t granted = 1;
        hx_rig_init(&r, 1, 1u << 20, 2, 0);
        assert_int_equal(hx_rig_format(&r, 0, 0), 0);
        hx_mem_power_off_at(r.farm[0], k);
        for (uint64_t e = 2; e < 12 && !hx_rig_fence(&r, 0, 0, e, 1, NULL); e++)
            granted = e;
        hx_rig_stop(&r, 0);
        hx_mem_crash(r.farm[0], k + 100);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        struct hx_segment_status s;
        assert_int_equal(hx_rig_status(&r, 0, 0, &s), 0);
        assert_true(s.promised.v >= granted && s.promised.v <= granted + 1);
        assert_int_equal(s.state, 0);
        hx_rig_fini(&r);
    }
}

/* Promise: after a failed flush a segment acknowledges nothing until the process has started again; what was
 * acknowledged before is there then.  Method: each of the flushes of a run fails once. */
static void a_failed_flush_poisons_until_restart(void **state)
{
    (void)state;
    for (uint64_t k = 1; k <= 30; k++) {
        struct hx_rig r;
        struct model m;
        struct hx_segment_status s;
        model_init(&m, 9);
        start(&r, 16u << 10);
        hx_mem_fail(r.farm[0], HX_MEM_FLUSH, k, HX_E_IO, false);
        int err = 0;
        for (unsigned i = 0; i < 60 && !err; i++)
            err = step(&r, &m);
        assert_int_equal(err, HX_E_POISONED);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, next_frame(&r, &m, 1), NULL), HX_E_POISONED);
        assert_int_equal(hx_rig_fence(&r, 0, PG, 2, 1, NULL), HX_E_POISONED);
        assert_int_equal(hx_rig_status(&r, 0, PG, &s), 0);
        assert_int_equal(s.state, HX_E_POISONED);
        hx_rig_stop(&r, 0);
        hx_mem_crash(r.farm[0], k);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_status(&r, 0, PG, &s), 0);
        assert_true(s.scl.v >= m.acked && s.state == 0);
        m.acked = m.last = s.scl.v;
        check_all(&r, &m, 5);
        assert_int_equal(step(&r, &m), 0);
        free(m.recs);
        hx_rig_fini(&r);
    }
}

/* Promise: what a restart reports is durable, also when the process before it died between write and flush.
 * Method: a flush fails, so its batch is only in the system's memory; restart; then the power goes. */
static void a_restart_flushes_what_it_found(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct hx_rig r;
        struct hx_segment_status s;
        start(&r, 0);
        size_t n = hx_rig_run(&r, PG, 1, 0, 1, 3, 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
        hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
        n = hx_rig_run(&r, PG, 1, 3, 4, 60, 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), HX_E_POISONED);
        restart(&r);
        assert_int_equal(hx_rig_status(&r, 0, PG, &s), 0);
        assert_int_equal(s.scl.v, 63);
        hx_rig_stop(&r, 0);
        hx_mem_crash(r.farm[0], seed);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_status(&r, 0, PG, &s), 0);
        assert_int_equal(s.scl.v, 63);
        hx_rig_fini(&r);
    }
}

/* Promise: a failed write poisons like a failed flush: what is on the disk is not known. */
static void a_failed_write_poisons_too(void **state)
{
    (void)state;
    struct hx_rig r;
    struct model m;
    model_init(&m, 9);
    start(&r, 0);
    assert_int_equal(step(&r, &m), 0);
    hx_mem_fail(r.farm[0], HX_MEM_WRITE, 1, HX_E_IO, false);
    assert_int_equal(step(&r, &m), HX_E_POISONED);
    free(m.recs);
    hx_rig_fini(&r);
}

/* Promise: a full disk refuses appends with NOSPACE, goes on reading and promising, and recovers by itself. */
static void a_full_disk_refuses_and_recovers(void **state)
{
    (void)state;
    struct hx_rig r;
    struct model m;
    struct hx_segment_status s;
    model_init(&m, 11);
    start(&r, 32u << 10);
    hx_mem_limit(r.farm[0], 400u << 10);
    m.vdl = 0;
    int err = 0;
    while (!err) {
        struct model was = m;
        size_t n = next_frame(&r, &m, 8);
        err = hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL);
        if (err)
            m = was;
        else
            m.acked = m.last;
    }
    assert_int_equal(err, HX_E_NOSPACE);
    assert_int_equal(hx_rig_status(&r, 0, PG, &s), 0);
    assert_int_equal(s.state, HX_E_NOSPACE);
    assert_int_equal(s.scl.v, m.acked);
    check_all(&r, &m, 10);
    assert_int_equal(hx_rig_fence(&r, 0, PG, 1, 5, NULL), 0); /* the slots have their room */
    for (unsigned i = 0; i < 10; i++)
        hx_rig_step(&r, 50);
    assert_int_equal(hx_rig_status(&r, 0, PG, &s), 0);
    assert_int_equal(s.state, HX_E_NOSPACE);
    hx_mem_limit(r.farm[0], 0);
    hx_rig_step(&r, 50); /* noticed without an append */
    assert_int_equal(hx_rig_status(&r, 0, PG, &s), 0);
    assert_int_equal(s.state, 0);
    assert_int_equal(step(&r, &m), 0);
    assert_int_equal(hx_rig_status(&r, 0, PG, &s), 0);
    assert_int_equal(s.state, 0);
    restart(&r);
    check_all(&r, &m, 10);
    free(m.recs);
    hx_rig_fini(&r);
}

/* ---- damage ---- */
/* A log with three batches of 3 records each in one file. */
static void three_batches(struct hx_rig *r)
{
    start(r, 0);
    for (uint64_t first = 1; first <= 7; first += 3) {
        size_t n = hx_rig_run(r, PG, 1, first - 1, first, 3, 0);
        assert_int_equal(hx_rig_append(r, 0, 1, 0, 0, r->frame, n, NULL), 0);
    }
}
/* Offset of the K-th frame in the log file. */
static uint8_t *frame_in_log(struct hx_rig *r, unsigned k)
{
    size_t len;
    struct hx_disk_place at = hx_rig_place(r, PG);
    uint8_t *p = hx_mem_file(r->farm[0], &at, 16, &len);
    assert_non_null(p);
    for (size_t off = 0; off + 4 < len; off += 8)
        if (hx_get_u32(p + off) == HX_FRAME_MAGIC && k-- == 0)
            return p + off;
    fail();
    return NULL;
}

/* Promise: damage below the durable tail is UNKNOWN with its LSNs, and the SCL stops before it; it never passes for "not there".
 * Sent again, the records close the hole. */
static void damage_inside_the_log_is_unknown(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 3; what++) {
        struct hx_rig r;
        struct hx_inventory v = {0};
        uint64_t scl;
        three_batches(&r);
        hx_rig_stop(&r, 0);
        uint8_t *p = frame_in_log(&r, 1);
        if (what == 0)
            p[HX_FRAME_HEAD + 40] ^= 1; /* a payload */
        else if (what == 1)
            p[3] ^= 1; /* the frame's head */
        else
            p[-20] ^= 1; /* the envelope */
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_fence(&r, 0, PG, 1, 1, &v), 0);
        assert_int_equal(v.scl.v, 3);
        assert_int_equal(v.entry_count, 6);
        assert_int_equal(v.unknown_count, 1);
        assert_int_equal(v.unknowns[0].from.v, 4);
        assert_int_equal(v.unknowns[0].to.v, 6);
        hx_inventory_fini(&v);
        size_t n = hx_rig_run(&r, PG, 1, 3, 4, 3, 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, &scl), 0);
        assert_int_equal(scl, 9);
        for (unsigned pass = 0; pass < 2; pass++) {
            assert_int_equal(hx_rig_fence(&r, 0, PG, 1, 1, &v), 0);
            assert_int_equal(v.scl.v, 9);
            assert_int_equal(v.unknown_count, 0);
            assert_int_equal(v.entry_count, 9);
            hx_inventory_fini(&v);
            restart(&r);
        }
        hx_rig_fini(&r);
    }
}

/* Promise: a torn last batch is cut off; but once an idle segment has marked its tail, the same damage is UNKNOWN. */
static void a_torn_tail_is_cut_and_a_marked_one_is_not(void **state)
{
    (void)state;
    for (unsigned marked = 0; marked < 2; marked++) {
        struct hx_rig r;
        struct hx_inventory v = {0};
        three_batches(&r);
        for (unsigned i = 0; i < 3 * marked; i++)
            hx_rig_step(&r, 500);
        hx_rig_stop(&r, 0);
        frame_in_log(&r, 2)[HX_FRAME_HEAD + 40] ^= 1;
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_fence(&r, 0, PG, 1, 1, &v), 0);
        assert_int_equal(v.scl.v, 6);
        assert_int_equal(v.entry_count, 6);
        assert_int_equal(v.unknown_count, marked);
        hx_inventory_fini(&v);
        hx_rig_fini(&r);
    }
}

/* Promise: one damaged meta slot changes nothing; two are an error, not a new segment. */
static void one_of_two_meta_slots_is_enough(void **state)
{
    (void)state;
    struct hx_disk_place at;
    size_t len;
    for (uint64_t slot = 1; slot <= 2; slot++) {
        struct hx_rig r;
        struct hx_segment_status s;
        start(&r, 0);
        at = hx_rig_place(&r, PG);
        assert_int_equal(hx_rig_fence(&r, 0, PG, 7, 1, NULL), 0);
        hx_rig_stop(&r, 0);
        hx_mem_file(r.farm[0], &at, slot, &len)[70] ^= 1;
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_fence(&r, 0, PG, 6, 1, NULL), HX_E_FENCED);
        hx_rig_stop(&r, 0);
        hx_mem_file(r.farm[0], &at, 3 - slot, &len)[70] ^= 1; /* the first was written again meanwhile */
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_fence(&r, 0, PG, 6, 1, NULL), HX_E_FENCED);
        hx_rig_stop(&r, 0);
        hx_mem_file(r.farm[0], &at, 1, &len)[70] ^= 1;
        hx_mem_file(r.farm[0], &at, 2, &len)[70] ^= 1;
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_fence(&r, 0, PG, 9, 1, NULL), HX_E_CORRUPT);
        assert_int_equal(hx_rig_status(&r, 0, PG, &s), 0);
        assert_int_equal(s.state, HX_E_CORRUPT);
        hx_rig_fini(&r);
    }
}

/* The state that must hold whatever was damaged: no read is wrong, and every acknowledged record above the hint is listed or
 * covered by an UNKNOWN. */
static void check_honest(struct hx_rig *r, struct model *m, const char *what, size_t off)
{
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(r, 0, PG, &s), 0);
    if (s.state && s.state != HX_E_CORRUPT)
        fail_msg("%s %zu: state %d", what, off, s.state);
    for (uint32_t page = 0; page < PAGES; page++) {
        uint8_t want[HX_PAGE_SIZE], got[HX_PAGE_SIZE];
        struct hx_read_page p;
        uint64_t point = page % 2 ? m->acked : m->floor + dice(m) % (m->acked - m->floor + 1);
        if (hx_rig_read(r, 0, PG, 1, point, page, got, &p) || p.state == HX_READ_CORRUPT)
            continue;
        fold(m, page, point, want);
        if (memcmp(want, got, sizeof want))
            fail_msg("%s %zu: page %u at %llu is wrong", what, off, page, (unsigned long long)point);
    }
    struct hx_inventory v = {0};
    if (hx_rig_fence(r, 0, PG, 1, 1, &v))
        return;
    uint32_t i = 0;
    for (uint64_t lsn = v.vdl_hint.v + 1; lsn <= m->acked; lsn++) {
        bool there = false;
        while (i < v.entry_count && v.entries[i].lsn.v < lsn)
            i++;
        there = i < v.entry_count && v.entries[i].lsn.v == lsn;
        for (uint32_t k = 0; k < v.unknown_count && !there; k++)
            there = lsn >= v.unknowns[k].from.v && lsn <= v.unknowns[k].to.v;
        if (!there)
            fail_msg("%s %zu: record %llu passes for never seen", what, off, (unsigned long long)lsn);
    }
    hx_inventory_fini(&v);
}

static void copy_of(struct hx_rig *r, uint64_t id, struct hx_disk_place at, uint8_t **p, uint8_t **saved, size_t *len)
{
    *p = hx_mem_file(r->farm[0], &at, id, len);
    *saved = NULL;
    if (*p) {
        *saved = malloc(*len + 1);
        memcpy(*saved, *p, *len);
    }
}

/* Promise: one flipped byte or one zeroed sector anywhere in log or sidecars is never served, and never hides a record.
 * Method: a segment of several files, each damaged at many places; a restart after each. */
static void damage_anywhere_is_never_served(void **state)
{
    (void)state;
    struct hx_rig r;
    struct model m;
    model_init(&m, 21);
    start(&r, 16u << 10);
    while (m.last < 500)
        assert_int_equal(step(&r, &m), 0);
    struct hx_disk_place at = hx_rig_place(&r, PG);
    for (unsigned i = 0; i < 4; i++)
        hx_rig_step(&r, 500); /* marks the tail */
    hx_rig_stop(&r, 0);
    uint64_t last = hx_mem_last_log(r.farm[0], &at);
    unsigned tried = 0;
    for (uint64_t n = 16; n <= last; n++) {
        for (uint64_t id = n; id <= (n | UINT64_C(1) << 32); id += UINT64_C(1) << 32) {
            uint8_t *p, *saved;
            size_t len;
            copy_of(&r, id, at, &p, &saved, &len);
            for (size_t off = dice(&m) % 97; p && off < len; off += 1 + dice(&m) % (len / 24 + 1)) {
                bool sector = tried++ % 4 == 0;
                if (sector)
                    memset(p + off / 512 * 512, 0, off / 512 * 512 + 512 < len ? 512 : len - off / 512 * 512);
                else
                    p[off] ^= (uint8_t)(1u << dice(&m) % 8);
                assert_int_equal(hx_rig_start(&r, 0), 0);
                check_honest(&r, &m, id == n ? "log" : "sidecar", off);
                hx_rig_stop(&r, 0);
                p = hx_mem_file(r.farm[0], &at, id, &len);
                memcpy(p, saved, len);
            }
            free(saved);
        }
    }
    assert_true(tried > 100);
    free(m.recs);
    hx_rig_fini(&r);
}

/* Promise: also when the sidecar is lost together with part of its file, no older version of a page is served in place of one
 * that cannot be read.  Method: each closed file damaged at many places, its sidecar removed. */
static void a_lost_sidecar_does_not_hide_damage(void **state)
{
    (void)state;
    struct hx_rig r;
    struct model m;
    unsigned tried = 0;
    model_init(&m, 23);
    start(&r, 16u << 10);
    while (m.last < 400)
        assert_int_equal(step(&r, &m), 0);
    struct hx_disk_place at = hx_rig_place(&r, PG);
    hx_rig_stop(&r, 0);
    uint64_t last = hx_mem_last_log(r.farm[0], &at);
    for (uint64_t id = 16; id < last; id++) {
        uint8_t *p, *saved;
        size_t len;
        copy_of(&r, id, at, &p, &saved, &len);
        for (size_t off = dice(&m) % 97; p && off < len; off += 1 + dice(&m) % (len / 24 + 1)) {
            tried++;
            p[off] ^= (uint8_t)(1u << dice(&m) % 8);
            hx_mem_remove_file(r.farm[0], &at, id | UINT64_C(1) << 32);
            assert_int_equal(hx_rig_start(&r, 0), 0);
            check_honest(&r, &m, "log without sidecar", off);
            hx_rig_stop(&r, 0);
            p = hx_mem_file(r.farm[0], &at, id, &len);
            memcpy(p, saved, len);
        }
        free(saved);
    }
    assert_true(tried > 50);
    free(m.recs);
    hx_rig_fini(&r);
}

/* Promise: when the file that held the first records is gone, a restart still knows how far the chain goes and which reads are
 * too old; at whatever call the power failed.  Method: 7 images of 4 pages in a file of 16 KiB, all of them again, then one
 * frame that says that all of this is at or below VDL, floor and gc. */
static void deleted_files_leave_base_and_oldest_behind(void **state)
{
    (void)state;
    bool through = false;
    unsigned deleted = 0;
    for (uint64_t k = 1; !through; k++) {
        struct hx_rig r;
        struct hx_segment_status s;
        uint8_t image[HX_PAGE_SIZE];
        struct hx_read_page p;
        size_t len;
        start(&r, 16u << 10);
        for (uint64_t lsn = 1; lsn <= 9; lsn++) {
            struct model noise = {.rng = lsn};
            for (size_t i = 0; i < sizeof image; i++)
                image[i] = i ? (uint8_t)dice(&noise) : (uint8_t)lsn;
            struct hx_rig_rec rec = {lsn, (uint32_t)(lsn % 4), HX_REC_IMAGE, HX_REC_CPL, image, sizeof image};
            uint64_t mark = lsn == 9 ? 8 : 0;
            size_t n = hx_rig_frame(&r, PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){mark, mark, mark});
            assert_int_equal(hx_rig_append(&r, 0, 1, mark, mark, r.frame, n, NULL), 0);
            if (lsn < 9)
                hx_rig_step(&r, 50); /* sidecars that know nothing of the VDL yet */
        }
        hx_mem_power_off_at(r.farm[0], k);
        for (unsigned i = 0; i < 20; i++)
            hx_rig_step(&r, 50);
        through = !hx_mem_is_off(r.farm[0]);
        hx_rig_stop(&r, 0);
        hx_mem_crash(r.farm[0], k);
        struct hx_disk_place at = hx_rig_place(&r, PG);
        bool gone = !hx_mem_file(r.farm[0], &at, 16, &len);
        deleted += gone;
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_status(&r, 0, PG, &s), 0);
        assert_int_equal(s.scl.v, 9);
        assert_int_equal(hx_rig_read(&r, 0, PG, 1, 9, 2, image, &p), 0);
        assert_int_equal(image[0], 6);
        int err = hx_rig_read(&r, 0, PG, 1, 3, 2, image, &p);
        if (err != HX_E_TOO_OLD) {
            assert_int_equal(err, 0);
            assert_int_equal(image[0], 2);
        }
        hx_rig_fini(&r);
    }
    assert_true(deleted > 0);
}

/* Promise: bytes that rot while the server runs are noticed by the read that meets them; other pages are not affected. */
static void rot_is_noticed_when_it_is_read(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_read_page p;
    struct hx_inventory v = {0};
    uint8_t data[HX_PAGE_SIZE];
    three_batches(&r);
    for (size_t i = HX_FRAME_HEAD + 3 * HX_REC_HEAD; i < HX_FRAME_HEAD + 3 * HX_REC_HEAD + 12; i++)
        frame_in_log(&r, 1)[i] ^= 0x55; /* the payload of LSN 4 */
    assert_int_equal(hx_rig_read(&r, 0, PG, 1, 9, 4, data, &p), 0);
    assert_int_equal(p.state, HX_READ_CORRUPT);
    assert_int_equal(hx_rig_read(&r, 0, PG, 1, 9, 5, data, &p), 0);
    assert_int_equal(p.state, HX_READ_RAW);
    assert_int_equal(hx_get_u64(data), 5);
    assert_int_equal(hx_rig_fence(&r, 0, PG, 1, 1, &v), 0);
    assert_int_equal(v.unknown_count, 1);
    assert_int_equal(v.unknowns[0].from.v, 4);
    assert_int_equal(v.entry_count, 8);
    hx_inventory_fini(&v);
    hx_rig_fini(&r);
}

/* Promise: sidecars are a shortcut: without them, or with damaged ones, a restart gives the same segment. */
static void sidecars_are_only_a_shortcut(void **state)
{
    (void)state;
    struct hx_rig r;
    struct model m;
    struct hx_segment_status a, b;
    model_init(&m, 31);
    start(&r, 16u << 10);
    while (m.last < 800)
        assert_int_equal(step(&r, &m), 0);
    struct hx_disk_place at = hx_rig_place(&r, PG);
    unsigned removed = 0;
    for (unsigned pass = 0; pass < 2; pass++) {
        restart(&r);
        assert_int_equal(hx_rig_status(&r, 0, PG, &a), 0);
        hx_rig_stop(&r, 0);
        uint64_t last = hx_mem_last_log(r.farm[0], &at);
        for (uint64_t id = 16; id <= last; id++) {
            size_t len;
            uint8_t *p = hx_mem_file(r.farm[0], &at, id | UINT64_C(1) << 32, &len);
            if (!p)
                continue;
            removed++;
            if (pass == 0)
                hx_mem_remove_file(r.farm[0], &at, id | UINT64_C(1) << 32);
            else
                p[dice(&m) % len] ^= 4;
        }
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_status(&r, 0, PG, &b), 0);
        assert_int_equal(a.scl.v, b.scl.v);
        assert_int_equal(a.pages, b.pages);
        assert_int_equal(b.state, 0);
        check_all(&r, &m, 50);
    }
    assert_true(removed >= 4);
    free(m.recs);
    hx_rig_fini(&r);
}

/* Promise: a page with a long chain gets an image, and the chain goes once the floor has passed it. */
static void long_chains_are_materialised(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_segment_status s;
    uint8_t payload[12];
    start(&r, 0);
    for (uint64_t lsn = 1; lsn <= 400; lsn++) {
        hx_put_u16(payload, (uint16_t)(lsn * 8 % 4000));
        hx_put_u16(payload + 2, 8);
        hx_put_u64(payload + 4, lsn);
        struct hx_rig_rec rec = {lsn, 3, HX_REC_PATCH, HX_REC_CPL, payload, sizeof payload};
        size_t n = hx_rig_frame(&r, PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){lsn - 1, lsn - 1, 0});
        assert_int_equal(hx_rig_append(&r, 0, 1, lsn - 1, lsn - 1, r.frame, n, NULL), 0);
        if (lsn % 10 == 0)
            hx_rig_step(&r, 50);
    }
    for (unsigned i = 0; i < 5; i++)
        hx_rig_step(&r, 50);
    assert_int_equal(hx_rig_status(&r, 0, PG, &s), 0);
    assert_in_range(s.records, 1, 40);
    uint8_t data[HX_PAGE_SIZE];
    struct hx_read_page p;
    assert_int_equal(hx_rig_read(&r, 0, PG, 1, 400, 3, data, &p), 0);
    assert_int_equal(p.lsn.v, 400);
    assert_int_equal(hx_get_u64(data + 400 * 8 % 4000), 400);
    assert_int_equal(hx_get_u64(data + 300 * 8 % 4000), 300);
    hx_rig_fini(&r);
}

/* Promise: one small commit costs one write and one flush; a zero fill now and then apart. */
static void a_small_commit_is_one_write_and_one_flush(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r, 0);
    uint64_t before = 0;
    for (uint64_t lsn = 1; lsn <= 50; lsn++) {
        size_t n = hx_rig_run(&r, PG, 1, lsn - 1, lsn, 1, 0);
        if (lsn == 2)
            before = hx_mem_calls(r.farm[0]);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
    }
    assert_int_equal(hx_mem_calls(r.farm[0]) - before, 2 * 49);
    hx_rig_fini(&r);
}

/* Promise: a segment that cannot be opened is answered with its error, and the server runs. */
static void a_segment_that_cannot_be_opened_says_why(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_segment_status s;
    start(&r, 0);
    hx_mem_power_off_at(r.farm[0], 1);
    size_t n = hx_rig_run(&r, PG, 1, 0, 1, 1, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), HX_E_POISONED);
    restart(&r);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), HX_E_IO);
    assert_int_equal(hx_rig_format(&r, 0, PG), HX_E_IO);
    assert_int_equal(hx_rig_status(&r, 0, PG, &s), 0);
    assert_int_equal(s.state, HX_E_IO);
    for (unsigned i = 0; i < 5; i++)
        hx_rig_step(&r, 50);
    hx_rig_fini(&r);
}

/* Promise: the bytes on disk are those of doc/FORMAT.md, version 1.  Method: each field at its documented place, read without the
 * code that wrote it. */
static void the_bytes_on_disk_are_the_documented_ones(void **state)
{
    (void)state;
    struct hx_rig r;
    size_t len;
    start(&r, 16u << 10);
    struct hx_disk_place at = hx_rig_place(&r, PG);
    struct hx_uuid server = hx_rig_uuid(100);
    const uint8_t *p = hx_mem_file(r.farm[0], &at, 1, &len);
    assert_int_equal(len, 64u << 10);
    assert_memory_equal(p, "HXM1\1\0\0\0\1\0\0\0\0\0\0\0", 16);
    assert_memory_equal(p + 16, at.volume.b, 16);
    assert_int_equal(hx_get_u32(p + 32), PG);
    assert_memory_equal(p + 40, server.b, 16);
    assert_int_equal(hx_get_u64(p + 56), 1);
    assert_int_equal(hx_get_u32(p + 96), hx_crc32c(0, p + 104, hx_get_u32(p + 36)));
    assert_int_equal(hx_get_u32(p + 100), hx_crc32c(0, p, 100));
    assert_memory_equal(p, hx_mem_file(r.farm[0], &at, 2, &len), len);
    size_t n[2] = {0, 0};
    for (unsigned i = 0; i < 2; i++) {
        n[i] = hx_rig_run(&r, PG, 1, 3 * i, 3 * i + 1, 3, 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n[i], NULL), 0);
    }
    p = hx_mem_file(r.farm[0], &at, 16, &len);
    size_t second = 96 + (n[0] + 7) / 8 * 8;
    const uint8_t *e = p + second;
    assert_memory_equal(e, "HXE1\1\1\0\0", 8);
    assert_int_equal(hx_get_u32(e + 8), n[1]);
    assert_int_equal(hx_get_u32(e + 12), 2);
    assert_int_equal(hx_get_u32(e + 16), hx_get_u32(p + 92));
    uint8_t identity[36];
    memcpy(identity, at.volume.b, 16);
    hx_put_u32(identity + 16, PG);
    memcpy(identity + 20, server.b, 16);
    assert_int_equal(hx_get_u32(e + 20), hx_crc32c(0, identity, sizeof identity));
    const uint64_t want[] = {16, second, second, 0, 4, 6, 1, 3};
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(hx_get_u64(e + 24 + 8 * i), want[i]);
    assert_int_equal(hx_get_u32(e + 92), hx_crc32c(0, e, 92));
    assert_memory_equal(e + 96, r.frame, n[1]); /* verbatim */
    while (!hx_mem_file(r.farm[0], &at, 16 | UINT64_C(1) << 32, &len)) {
        static uint64_t lsn = 6;
        size_t k = hx_rig_run(&r, PG, 1, lsn, lsn + 1, 60, 0);
        lsn += 60;
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, k, NULL), 0);
        hx_rig_step(&r, 50);
    }
    p = hx_mem_file(r.farm[0], &at, 16 | UINT64_C(1) << 32, &len);
    assert_memory_equal(p, "HXS1\1\0\0\0\20\0\0\0\0\0\0\0", 16);
    assert_int_equal(hx_get_u64(p + 24), 1);
    assert_int_equal(hx_get_u32(p + 72), len - 112);
    assert_int_equal(hx_get_u32(p + 76), hx_crc32c(0, p + 112, len - 112));
    assert_int_equal(hx_get_u32(p + 108), hx_crc32c(0, p, 108));
    const uint8_t *f = p + 112 + 64 + 3 * 16; /* the second frame */
    assert_int_equal(hx_get_u32(f), second);
    assert_int_equal(hx_get_u32(f + 4), n[1]);
    assert_int_equal(hx_get_u32(f + 8), 3);
    assert_int_equal(hx_get_u64(f + 16), 4);
    assert_int_equal(hx_get_u64(f + 24), 6);
    assert_int_equal(hx_get_u64(f + 32), 3);
    assert_int_equal(hx_get_u32(f + 64 + 16), 1);     /* its second record: LSN - first */
    assert_int_equal(hx_get_u32(f + 64 + 16 + 4), 5); /* page */
    assert_int_equal(hx_get_u16(f + 64 + 16 + 12), 12);
    assert_int_equal(f[64 + 16 + 14], HX_REC_SPARSE);
    hx_rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_the_fold_of_their_records),
        cmocka_unit_test(a_read_point_that_was_collected_is_too_old),
        cmocka_unit_test(power_loss_at_any_call_loses_nothing_acknowledged),
        cmocka_unit_test(promises_survive_power_loss),
        cmocka_unit_test(a_failed_flush_poisons_until_restart),
        cmocka_unit_test(a_restart_flushes_what_it_found),
        cmocka_unit_test(a_failed_write_poisons_too),
        cmocka_unit_test(a_full_disk_refuses_and_recovers),
        cmocka_unit_test(damage_inside_the_log_is_unknown),
        cmocka_unit_test(a_torn_tail_is_cut_and_a_marked_one_is_not),
        cmocka_unit_test(one_of_two_meta_slots_is_enough),
        cmocka_unit_test(damage_anywhere_is_never_served),
        cmocka_unit_test(a_lost_sidecar_does_not_hide_damage),
        cmocka_unit_test(deleted_files_leave_base_and_oldest_behind),
        cmocka_unit_test(rot_is_noticed_when_it_is_read),
        cmocka_unit_test(sidecars_are_only_a_shortcut),
        cmocka_unit_test(long_chains_are_materialised),
        cmocka_unit_test(a_small_commit_is_one_write_and_one_flush),
        cmocka_unit_test(a_segment_that_cannot_be_opened_says_why),
        cmocka_unit_test(the_bytes_on_disk_are_the_documented_ones),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
