/*
 * test_store.c - what a segment keeps: versions, restarts, materialisation, compaction, failing and full
 * disks, and loss of power at every call.  (Damaged bytes: test_damage.c.) Method: one server over a disk in
 * memory, with log files so small that every mechanism runs; a model (seg_model.h) that knows every page at
 * every LSN.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hexad/crc.h"
#include "seg_model.h"

#include <stdlib.h>

/* ---- tests ---- */
/* Promise: every page reads as the fold of its records, at every point from the floor on, through restarts,
 * materialisation and compaction; and space is given back.  Method: random work against the model, four
 * seeds. */
static void pages_are_the_fold_of_their_records(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct hx_rig r;
        struct hx_model m;
        hx_model_init(&m, seed);
        hx_model_start(&r, 32u << 10);
        for (unsigned i = 0; m.last + 64 < HX_MODEL_LSNS; i++) {
            assert_int_equal(hx_model_step(&r, &m), 0);
            if (i % 16 == 0)
                hx_model_check(&r, &m, 20);
            if (i % 100 == 99) {
                hx_model_restart(&r);
                hx_model_check(&r, &m, 40);
            }
        }
        m.vdl = m.floor = m.acked;
        size_t n = hx_model_frame(&r, &m, 1);
        assert_int_equal(hx_rig_append(&r, 0, 1, m.vdl, m.floor, r.frame, n, NULL), 0);
        m.acked = m.last;
        for (unsigned i = 0; i < 100; i++)
            hx_rig_step(&r, 50);
        hx_model_check(&r, &m, 5);
        struct hx_segment_status s;
        assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
        /* 24 pages; three times that in log files of 32 KiB, and the reserve of the meta slots. */
        assert_in_range(s.disk_bytes, 1, (128u << 10) + 3 * (HX_MODEL_PAGES * HX_PAGE_SIZE + (32u << 10)));
        hx_model_restart(&r);
        hx_model_check(&r, &m, 5);
        hx_model_fini(&m);
        hx_rig_fini(&r);
    }
}

/* Promise: reads below the oldest point that is whole are TOO_OLD, never a newer or older page. */
static void a_read_point_that_was_collected_is_too_old(void **state)
{
    (void)state;
    struct hx_rig r;
    uint8_t image[HX_PAGE_SIZE];
    hx_model_start(&r, 0);
    for (uint64_t lsn = 1; lsn <= 10; lsn++) {
        memset(image, (int)lsn, sizeof image);
        struct hx_rig_rec rec = {lsn, 3, HX_REC_IMAGE, HX_REC_CPL, image, sizeof image};
        size_t n = hx_rig_frame(&r, HX_MODEL_PG, 1, lsn - 1, &rec, 1,
                                (struct hx_rig_marks){lsn - 1, lsn > 5 ? 4 : 0, 0});
        assert_int_equal(hx_rig_append(&r, 0, 1, lsn - 1, 0, r.frame, n, NULL), 0);
    }
    for (uint64_t point = 0; point <= 10; point++) {
        struct hx_read_page p;
        int err = hx_rig_read(&r, 0, HX_MODEL_PG, 1, point, 3, image, &p);
        assert_int_equal(err, point < 4 ? HX_E_TOO_OLD : 0);
        if (!err)
            assert_int_equal(image[0], point);
    }
    hx_rig_fini(&r);
}

/* Promise: whatever call the power fails at, what was acknowledged is there afterwards, nothing else is
 * invented, and work goes on.  Method: the same work, cut at the 1st, 2nd, ... call until it runs through;
 * unsynced sectors survive by dice. */
static void power_loss_at_any_call_loses_nothing_acknowledged(void **state)
{
    (void)state;
    bool through = false;
    for (uint64_t k = 1; !through; k++) {
        struct hx_rig r;
        struct hx_model m;
        hx_model_init(&m, 5);
        hx_rig_init(&r, 1, 1u << 20, 2, 16u << 10);
        hx_mem_power_off_at(r.farm[0], k);
        bool formatted = hx_rig_format(&r, 0, HX_MODEL_PG) == 0;
        for (unsigned i = 0; i < 60 && formatted && !hx_mem_is_off(r.farm[0]); i++)
            if (hx_model_step(&r, &m))
                break;
        through = !hx_mem_is_off(r.farm[0]);
        hx_rig_stop(&r, 0);
        hx_mem_crash(r.farm[0], k);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_format(&r, 0, HX_MODEL_PG), 0);
        struct hx_segment_status s;
        assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
        if (s.scl.v < m.acked || s.scl.v > m.last || s.state)
            fail_msg("call %llu: SCL %llu of %llu acked", (unsigned long long)k, (unsigned long long)s.scl.v,
                     (unsigned long long)m.acked);
        m.acked = s.scl.v; /* more may have survived, in whole frames or parts: all of it is real */
        m.last = m.acked;
        if (m.acked)
            hx_model_check(&r, &m, 10);
        for (unsigned i = 0; i < 12; i++)
            assert_int_equal(hx_model_step(&r, &m), 0);
        hx_model_restart(&r);
        hx_model_check(&r, &m, 10);
        hx_model_fini(&m);
        hx_rig_fini(&r);
    }
}

/* Promise: a promise that was answered survives any loss of power.  Method: FENCE with rising epochs, cut at
 * every call. */
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
    unsigned poisoned = 0;
    for (uint64_t k = 1; k <= 30; k++) {
        struct hx_rig r;
        struct hx_model m;
        struct hx_segment_status s;
        hx_model_init(&m, 9);
        hx_model_start(&r, 16u << 10);
        hx_mem_fail(r.farm[0], HX_MEM_FLUSH, k, HX_E_IO, false);
        int err = 0;
        for (unsigned i = 0; i < 60 && !err; i++)
            err = hx_model_step(&r, &m);
        if (!err) { /* it was a checkpoint's, which nothing depends on (test_checkpoint) */
            hx_model_check(&r, &m, 5);
            hx_model_fini(&m);
            hx_rig_fini(&r);
            continue;
        }
        poisoned++;
        assert_int_equal(err, HX_E_POISONED);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, hx_model_frame(&r, &m, 1), NULL), HX_E_POISONED);
        assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 2, 1, NULL), HX_E_POISONED);
        assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
        assert_int_equal(s.state, HX_E_POISONED);
        hx_rig_stop(&r, 0);
        hx_mem_crash(r.farm[0], k);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
        assert_true(s.scl.v >= m.acked && s.state == 0);
        m.acked = m.last = s.scl.v;
        hx_model_check(&r, &m, 5);
        assert_int_equal(hx_model_step(&r, &m), 0);
        hx_model_fini(&m);
        hx_rig_fini(&r);
    }
    assert_in_range(poisoned, 20, 30);
}

/* Promise: what a restart reports is durable, also when the process before it died between write and flush.
 * Method: a flush fails, so its batch is only in the system's memory; restart; then the power goes. */
/* Promise: a server whose disk has failed never says that a volume does not exist: it cannot know, and the answer
 * would end an opening that only has to wait.  A name that only a sound segment could have is still unknown. */
static void a_failed_disk_is_no_proof_that_there_is_no_volume(void **state)
{
    (void)state;
    struct hx_rig r;
    uint8_t b[16];
    hx_model_start(&r, 0);
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_enc_str(&e, r.geometry.name);
    struct hx_rig_ask q = {.type = HX_MSG_LOOKUP, .body = {b, e.len}};
    assert_int_equal(hx_rig_call(&r, 0, &q, NULL), 0);
    hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
    size_t n = hx_rig_run(&r, HX_MODEL_PG, 1, 0, 1, 3, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), HX_E_POISONED);
    assert_int_equal(hx_rig_call(&r, 0, &q, NULL), HX_E_POISONED);
    b[2] ^= 1;
    assert_int_equal(hx_rig_call(&r, 0, &q, NULL), HX_E_NO_VOLUME);
    b[2] ^= 1;
    hx_model_restart(&r);
    assert_int_equal(hx_rig_call(&r, 0, &q, NULL), 0);
    hx_rig_fini(&r);
}

static void a_restart_flushes_what_it_found(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct hx_rig r;
        struct hx_segment_status s;
        hx_model_start(&r, 0);
        size_t n = hx_rig_run(&r, HX_MODEL_PG, 1, 0, 1, 3, 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
        hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
        n = hx_rig_run(&r, HX_MODEL_PG, 1, 3, 4, 60, 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), HX_E_POISONED);
        hx_model_restart(&r);
        assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
        assert_int_equal(s.scl.v, 63);
        hx_rig_stop(&r, 0);
        hx_mem_crash(r.farm[0], seed);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
        assert_int_equal(s.scl.v, 63);
        hx_rig_fini(&r);
    }
}

/* Promise: the same for a batch that closed its file: a file that ends with END is not durable for that.
 * Method: five images fill a file of 16 KiB at once, and the flush fails. */
static void a_restart_flushes_a_closed_file_too(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct hx_rig r;
        struct hx_segment_status s;
        struct hx_read_page p;
        uint8_t data[HX_PAGE_SIZE];
        hx_model_start(&r, 16u << 10);
        hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, hx_model_images(&r, 1, 5, 0), NULL), HX_E_POISONED);
        hx_model_restart(&r);
        assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
        assert_int_equal(s.scl.v, 5);
        hx_rig_stop(&r, 0);
        hx_mem_crash(r.farm[0], seed);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
        assert_int_equal(s.scl.v, 5);
        for (uint64_t lsn = 2; lsn <= 5; lsn++) {
            assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 5, (uint32_t)(lsn % 4), data, &p), 0);
            assert_int_equal(p.state, HX_READ_RAW);
            assert_int_equal(data[0], lsn);
        }
        hx_rig_fini(&r);
    }
}

/* Promise: a failed write poisons like a failed flush: what is on the disk is not known. */
static void a_failed_write_poisons_too(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_model m;
    hx_model_init(&m, 9);
    hx_model_start(&r, 0);
    assert_int_equal(hx_model_step(&r, &m), 0);
    hx_mem_fail(r.farm[0], HX_MEM_WRITE, 1, HX_E_IO, false);
    assert_int_equal(hx_model_step(&r, &m), HX_E_POISONED);
    hx_model_fini(&m);
    hx_rig_fini(&r);
}

/* Promise: a full disk refuses appends with NOSPACE, goes on reading and promising, and recovers by itself. */
static void a_full_disk_refuses_and_recovers(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_model m;
    struct hx_segment_status s;
    hx_model_init(&m, 11);
    hx_model_start(&r, 32u << 10);
    hx_mem_limit(r.farm[0], 400u << 10);
    m.vdl = 0;
    int err = 0;
    while (!err) {
        struct hx_model was = m;
        size_t n = hx_model_frame(&r, &m, 8);
        err = hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL);
        if (err)
            m = was;
        else
            m.acked = m.last;
    }
    assert_int_equal(err, HX_E_NOSPACE);
    assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
    assert_int_equal(s.state, HX_E_NOSPACE);
    assert_int_equal(s.scl.v, m.acked);
    hx_model_check(&r, &m, 10);
    assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 1, 5, NULL), 0); /* the slots have their room */
    for (unsigned i = 0; i < 10; i++)
        hx_rig_step(&r, 50);
    assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
    assert_int_equal(s.state, HX_E_NOSPACE);
    hx_mem_limit(r.farm[0], 0);
    hx_rig_step(&r, 50); /* noticed without an append */
    assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
    assert_int_equal(s.state, 0);
    assert_int_equal(hx_model_step(&r, &m), 0);
    assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
    assert_int_equal(s.state, 0);
    hx_model_restart(&r);
    hx_model_check(&r, &m, 10);
    hx_model_fini(&m);
    hx_rig_fini(&r);
}

/* Promise: when the file that held the first records is gone, a restart still knows how far the chain goes
 * and which reads are too old; at whatever call the power failed.  Method: 7 images of 4 pages in a file of
 * 16 KiB, all of them again, then one frame that says that all of this is at or below VDL, floor and gc. */
static void deleted_files_leave_base_and_oldest_behind(void **state)
{
    (void)state;
    unsigned deleted = 0, through = 0;
    for (uint64_t k = 1; through < 8; k++) { /* a removal may be undone by the loss of power: some tries */
        struct hx_rig r;
        struct hx_segment_status s;
        uint8_t image[HX_PAGE_SIZE];
        struct hx_read_page p;
        size_t len;
        hx_model_start(&r, 16u << 10);
        for (uint64_t lsn = 1; lsn <= 9; lsn++) {
            struct hx_model noise = {.rng = lsn};
            for (size_t i = 0; i < sizeof image; i++)
                image[i] = i ? (uint8_t)hx_model_dice(&noise) : (uint8_t)lsn;
            struct hx_rig_rec rec = {lsn, (uint32_t)(lsn % 4), HX_REC_IMAGE, HX_REC_CPL, image, sizeof image};
            uint64_t mark = lsn == 9 ? 8 : 0;
            size_t n = hx_rig_frame(&r, HX_MODEL_PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){mark, mark, mark});
            assert_int_equal(hx_rig_append(&r, 0, 1, mark, mark, r.frame, n, NULL), 0);
            if (lsn < 9)
                hx_rig_step(&r, 50); /* sidecars that know nothing of the VDL yet */
        }
        hx_mem_power_off_at(r.farm[0], k);
        for (unsigned i = 0; i < 20; i++)
            hx_rig_step(&r, 50);
        through += !hx_mem_is_off(r.farm[0]);
        hx_rig_stop(&r, 0);
        hx_mem_crash(r.farm[0], k);
        struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
        bool gone = !hx_mem_file(r.farm[0], &at, 16, &len);
        deleted += gone;
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
        assert_int_equal(s.scl.v, 9);
        assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 9, 2, image, &p), 0);
        assert_int_equal(image[0], 6);
        int err = hx_rig_read(&r, 0, HX_MODEL_PG, 1, 3, 2, image, &p);
        if (err != HX_E_TOO_OLD) {
            assert_int_equal(err, 0);
            assert_int_equal(image[0], 2);
        }
        hx_rig_fini(&r);
    }
    assert_true(deleted > 0);
}

/* Promise: a page with a long chain gets an image, and the chain goes once the floor has passed it. */
static void long_chains_are_materialised(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_segment_status s;
    uint8_t payload[12];
    hx_model_start(&r, 0);
    for (uint64_t lsn = 1; lsn <= 400; lsn++) {
        hx_put_u16(payload, (uint16_t)(lsn * 8 % 4000));
        hx_put_u16(payload + 2, 8);
        hx_put_u64(payload + 4, lsn);
        struct hx_rig_rec rec = {lsn, 3, HX_REC_PATCH, HX_REC_CPL, payload, sizeof payload};
        size_t n = hx_rig_frame(&r, HX_MODEL_PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){lsn - 1, lsn - 1, 0});
        assert_int_equal(hx_rig_append(&r, 0, 1, lsn - 1, lsn - 1, r.frame, n, NULL), 0);
        if (lsn % 10 == 0)
            hx_rig_step(&r, 50);
    }
    for (unsigned i = 0; i < 5; i++)
        hx_rig_step(&r, 50);
    assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
    assert_in_range(s.records, 1, 40);
    uint8_t data[HX_PAGE_SIZE];
    struct hx_read_page p;
    assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 400, 3, data, &p), 0);
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
    hx_model_start(&r, 0);
    uint64_t before = 0;
    for (uint64_t lsn = 1; lsn <= 50; lsn++) {
        size_t n = hx_rig_run(&r, HX_MODEL_PG, 1, lsn - 1, lsn, 1, 0);
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
    hx_model_start(&r, 0);
    hx_mem_power_off_at(r.farm[0], 1);
    size_t n = hx_rig_run(&r, HX_MODEL_PG, 1, 0, 1, 1, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), HX_E_POISONED);
    hx_model_restart(&r);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), HX_E_IO);
    assert_int_equal(hx_rig_format(&r, 0, HX_MODEL_PG), HX_E_IO);
    assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
    assert_int_equal(s.state, HX_E_IO);
    for (unsigned i = 0; i < 5; i++)
        hx_rig_step(&r, 50);
    hx_rig_fini(&r);
}

/* Promise: the bytes on disk are those of doc/FORMAT.md, version 1.  Method: each field at its documented
 * place, read without the code that wrote it. */
static void the_bytes_on_disk_are_the_documented_ones(void **state)
{
    (void)state;
    struct hx_rig r;
    size_t len;
    hx_model_start(&r, 16u << 10);
    struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
    struct hx_uuid server = hx_rig_uuid(100);
    const uint8_t *p = hx_mem_file(r.farm[0], &at, 1, &len);
    assert_int_equal(len, 16u << 10);
    assert_memory_equal(p, "HXM1\1\0\0\0\1\0\0\0\0\0\0\0", 16);
    assert_memory_equal(p + 16, at.volume.b, 16);
    assert_int_equal(hx_get_u32(p + 32), HX_MODEL_PG);
    assert_memory_equal(p + 40, server.b, 16);
    assert_int_equal(hx_get_u64(p + 56), 1);
    assert_int_equal(hx_get_u32(p + 96), hx_crc32c(0, p + 104, hx_get_u32(p + 36)));
    assert_int_equal(hx_get_u32(p + 100), hx_crc32c(0, p, 100));
    assert_memory_equal(p, hx_mem_file(r.farm[0], &at, 2, &len), len);
    size_t n[2] = {0, 0};
    for (unsigned i = 0; i < 2; i++) {
        n[i] = hx_rig_run(&r, HX_MODEL_PG, 1, 3 * i, 3 * i + 1, 3, 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n[i], NULL), 0);
    }
    p = hx_mem_file(r.farm[0], &at, 16, &len);
    size_t second = 96 + (n[0] + 7) / 8 * 8;
    const uint8_t *e = p + second;
    assert_memory_equal(e, "HXE1\1\1\1\0", 8);
    assert_int_equal(hx_get_u32(e + 8), n[1]);
    assert_int_equal(hx_get_u32(e + 12), 2);
    assert_int_equal(hx_get_u32(e + 16), hx_get_u32(p + 92));
    uint8_t identity[36];
    memcpy(identity, at.volume.b, 16);
    hx_put_u32(identity + 16, HX_MODEL_PG);
    memcpy(identity + 20, server.b, 16);
    assert_int_equal(hx_get_u32(e + 20), hx_crc32c(0, identity, sizeof identity));
    const uint64_t want[] = {16, second, second, 0, 4, 6, 1, 3};
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(hx_get_u64(e + 24 + 8 * i), want[i]);
    assert_int_equal(hx_get_u32(e + 88), 4); /* 3 - 0 + 1 */
    assert_int_equal(hx_get_u32(e + 92), hx_crc32c(0, e, 92));
    assert_memory_equal(e + 96, r.frame, n[1]); /* verbatim */
    while (!hx_mem_file(r.farm[0], &at, 16 | UINT64_C(1) << 32, &len)) {
        static uint64_t lsn = 6;
        size_t k = hx_rig_run(&r, HX_MODEL_PG, 1, lsn, lsn + 1, 60, 0);
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

/* Promise: the number of a log file is never given out twice, so that no sidecar of a deleted file, come back with a
 * power loss, passes for that of a new one.  Method: the newest file holds old records only, which came late; all of it
 * is dead; restart; the next file. */
static void a_file_number_is_used_once(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_disk_place at;
    size_t len;
    hx_model_start(&r, 16u << 10);
    at = hx_rig_place(&r, HX_MODEL_PG);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, hx_model_images(&r, 6, 5, 0), NULL), 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 10, 10, r.frame, hx_model_images(&r, 1, 5, 10), NULL), 0);
    for (unsigned i = 0; i < 10; i++)
        hx_rig_step(&r, 50);
    assert_non_null(hx_mem_file(r.farm[0], &at, 17, &len)); /* dead, but the highest */
    hx_model_restart(&r);
    assert_int_equal(hx_rig_append(&r, 0, 1, 10, 10, r.frame, hx_model_images(&r, 11, 5, 10), NULL), 0);
    assert_int_equal(hx_mem_last_log(r.farm[0], &at), 18);
    assert_int_equal(hx_rig_append(&r, 0, 1, 15, 15, r.frame, hx_model_images(&r, 16, 1, 15), NULL), 0);
    for (unsigned i = 0; i < 10; i++)
        hx_rig_step(&r, 50);
    assert_null(hx_mem_file(r.farm[0], &at, 17, &len));
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
        cmocka_unit_test(a_failed_disk_is_no_proof_that_there_is_no_volume),
        cmocka_unit_test(a_restart_flushes_what_it_found),
        cmocka_unit_test(a_restart_flushes_a_closed_file_too),
        cmocka_unit_test(a_failed_write_poisons_too),
        cmocka_unit_test(a_full_disk_refuses_and_recovers),
        cmocka_unit_test(deleted_files_leave_base_and_oldest_behind),
        cmocka_unit_test(a_file_number_is_used_once),
        cmocka_unit_test(long_chains_are_materialised),
        cmocka_unit_test(a_small_commit_is_one_write_and_one_flush),
        cmocka_unit_test(a_segment_that_cannot_be_opened_says_why),
        cmocka_unit_test(the_bytes_on_disk_are_the_documented_ones),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
