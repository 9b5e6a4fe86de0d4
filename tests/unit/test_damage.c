/*
 * test_damage.c - what a segment does about damaged bytes: never served, never taken for "not there".
 * Method: one server over a disk in memory, its files changed between restarts or while it runs; a model
 * (seg_model.h) that knows every page at every LSN.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/store.h"
#include "seg_model.h"

#include <stdlib.h>

/* ---- damage ---- */
/* A log with three batches of 3 records each in one file. */
static void three_batches(struct hx_rig *r)
{
    hx_model_start(r, 0);
    for (uint64_t first = 1; first <= 7; first += 3) {
        size_t n = hx_rig_run(r, HX_MODEL_PG, 1, first - 1, first, 3, 0);
        assert_int_equal(hx_rig_append(r, 0, 1, 0, 0, r->frame, n, NULL), 0);
    }
}
/* Offset of the K-th frame in the log file. */
static uint8_t *frame_in_log(struct hx_rig *r, unsigned k)
{
    size_t len;
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    uint8_t *p = hx_mem_file(r->farm[0], &at, 16, &len);
    assert_non_null(p);
    for (size_t off = 0; off + 4 < len; off += 8)
        if (hx_get_u32(p + off) == HX_FRAME_MAGIC && k-- == 0)
            return p + off;
    fail();
    return NULL;
}

/* Promise: damage below the durable tail is UNKNOWN with its LSNs, and the SCL stops before it; it never
 * passes for "not there". Sent again, the records close the hole. */
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
        assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 1, 1, &v), 0);
        assert_int_equal(v.scl.v, 3);
        assert_int_equal(v.entry_count, 6);
        assert_int_equal(v.unknown_count, 1);
        assert_int_equal(v.unknowns[0].from.v, 4);
        assert_int_equal(v.unknowns[0].to.v, 6);
        hx_inventory_fini(&v);
        size_t n = hx_rig_run(&r, HX_MODEL_PG, 1, 3, 4, 3, 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, &scl), 0);
        assert_int_equal(scl, 9);
        for (unsigned pass = 0; pass < 2; pass++) {
            assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 1, 1, &v), 0);
            assert_int_equal(v.scl.v, 9);
            assert_int_equal(v.unknown_count, 0);
            assert_int_equal(v.entry_count, 9);
            hx_inventory_fini(&v);
            hx_model_restart(&r);
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
        assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 1, 1, &v), 0);
        assert_int_equal(v.scl.v, 6);
        assert_int_equal(v.entry_count, 6);
        assert_int_equal(v.unknown_count, marked);
        hx_inventory_fini(&v);
        hx_rig_fini(&r);
    }
}

/* Promise (I15): a FETCH that meets a damaged frame remembers it, for a peer to mend; but not one that the
 * history has annulled, which no peer would give: a segment would count as damaged for ever.  Method: three
 * batches, of which epoch 2 keeps the first; one of them rots, then a peer asks for all records. */
static void a_damaged_frame_that_is_void_is_no_damage(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        struct hx_rig r;
        struct hx_inventory v = {0};
        struct hx_rig_reply a;
        uint64_t top, scl;
        three_batches(&r);
        struct hx_history h = {0};
        struct hx_history_entry first = {HX_EPOCH(1), HX_LSN(0), HX_LSN(0), HX_RIG_LAL};
        struct hx_history_entry second = {HX_EPOCH(2), HX_LSN(3), HX_LSN(9 + HX_RIG_LAL), HX_RIG_LAL};
        assert_int_equal(hx_history_push(&h, first), 0);
        assert_int_equal(hx_history_push(&h, second), 0);
        assert_int_equal(hx_rig_adopt(&r, 0, HX_MODEL_PG, 2, &h, &top, &scl), 0);
        hx_history_fini(&h);
        assert_int_equal(scl, 3);
        frame_in_log(&r, k)[HX_FRAME_HEAD + 40] ^= 1;
        static const uint8_t all[21] = {[8] = 100, [18] = 1};
        struct hx_rig_ask q = {.type = HX_MSG_FETCH, .role = HX_NODE_ROLE_SEGMENT, .name = "b1", .pg = HX_MODEL_PG,
                               .epoch = 2, .body = {all, sizeof all}};
        assert_int_equal(hx_rig_call(&r, 0, &q, &a), 0);
        assert_int_equal(a.body.len > 0, k > 0);
        hx_rig_reply_fini(&a);
        assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 3, 1, &v), 0);
        assert_int_equal(v.unknown_count, k == 0);
        hx_inventory_fini(&v);
        hx_rig_fini(&r);
    }
}

/* What an empty REPAIR of epoch 2 with the cut VDL is answered: the SCL, and the reply's flags. */
static uint64_t repair_flags(struct hx_rig *r, uint64_t vdl, uint32_t *ret_flags)
{
    struct hx_history h = {0};
    struct hx_rig_reply a;
    uint8_t b[256];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    uint64_t end = (vdl > 9 ? vdl : 9) + HX_RIG_LAL;
    struct hx_history_entry first = {HX_EPOCH(1), HX_LSN(0), HX_LSN(0), HX_RIG_LAL};
    struct hx_history_entry second = {HX_EPOCH(2), HX_LSN(vdl), HX_LSN(end), HX_RIG_LAL};
    assert_int_equal(hx_history_push(&h, first), 0);
    assert_int_equal(hx_history_push(&h, second), 0);
    hx_history_encode(&h, &e);
    hx_history_fini(&h);
    struct hx_rig_ask q = {.type = HX_MSG_REPAIR, .pg = HX_MODEL_PG, .epoch = 2, .body = {b, e.len}};
    assert_int_equal(hx_rig_call(r, 0, &q, &a), 0);
    uint64_t scl = hx_get_u64(a.body.p);
    *ret_flags = a.head.flags;
    hx_rig_reply_fini(&a);
    return scl;
}

/* Promise (I11): an answer to REPAIR says when what ends it may be damage, however far the volume has got since; an
 * opening takes such an answer for no proof of where an idle PG ends.  Method: the last two of three batches rot,
 * once with known ends and once with their envelopes; the VDL then goes on in other PGs. */
static void a_repair_answer_tells_of_damage(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 2; what++)
        for (unsigned far = 0; far < 2; far++) {
            struct hx_rig r;
            uint32_t flags;
            three_batches(&r);
            assert_int_equal(hx_rig_append(&r, 0, 1, 9, 0, NULL, 0, NULL), 0);
            for (unsigned i = 0; i < 3; i++)
                hx_rig_step(&r, 500);
            hx_rig_stop(&r, 0);
            for (unsigned k = 2; k >= 1; k--) {
                uint8_t *p = frame_in_log(&r, k);
                p[HX_FRAME_HEAD + 40] ^= 1;
                if (what == 1)
                    memset(p - 40, 0, 60);
            }
            assert_int_equal(hx_rig_start(&r, 0), 0);
            uint64_t vdl = far ? 20 + 3 * HX_RIG_LAL : 9;
            assert_int_equal(hx_rig_append(&r, 0, 1, vdl, 0, NULL, 0, NULL), 0);
            assert_int_equal(repair_flags(&r, vdl, &flags), 3);
            assert_int_equal(flags, HX_REPLY_DAMAGED);
            /* Of what lies above the cut there was no question. */
            assert_int_equal(repair_flags(&r, 3, &flags), 3);
            assert_int_equal(flags, 0);
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
        hx_model_start(&r, 0);
        at = hx_rig_place(&r, HX_MODEL_PG);
        assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 7, 1, NULL), 0);
        hx_rig_stop(&r, 0);
        hx_mem_file(r.farm[0], &at, slot, &len)[70] ^= 1;
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 6, 1, NULL), HX_E_FENCED);
        hx_rig_stop(&r, 0);
        hx_mem_file(r.farm[0], &at, 3 - slot, &len)[70] ^= 1; /* the first was written again meanwhile */
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 6, 1, NULL), HX_E_FENCED);
        hx_rig_stop(&r, 0);
        hx_mem_file(r.farm[0], &at, 1, &len)[70] ^= 1;
        hx_mem_file(r.farm[0], &at, 2, &len)[70] ^= 1;
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 9, 1, NULL), HX_E_CORRUPT);
        assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
        assert_int_equal(s.state, HX_E_CORRUPT);
        hx_rig_fini(&r);
    }
}

/* The state that must hold whatever was damaged: no read is wrong, and every acknowledged record above the
 * hint is listed or covered by an UNKNOWN. */
static void check_honest(struct hx_rig *r, struct hx_model *m, const char *what, size_t off)
{
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(r, 0, HX_MODEL_PG, &s), 0);
    if (s.state && s.state != HX_E_CORRUPT)
        fail_msg("%s %zu: state %d", what, off, s.state);
    for (uint32_t page = 0; page < HX_MODEL_PAGES; page++) {
        uint8_t want[HX_PAGE_SIZE], got[HX_PAGE_SIZE];
        struct hx_read_page p;
        uint64_t point = page % 2 ? m->acked : m->floor + hx_model_dice(m) % (m->acked - m->floor + 1);
        if (hx_rig_read(r, 0, HX_MODEL_PG, 1, point, page, got, &p) || p.state == HX_READ_CORRUPT)
            continue;
        hx_model_fold(m, page, point, want);
        if (memcmp(want, got, sizeof want))
            fail_msg("%s %zu: page %u at %llu is wrong", what, off, page, (unsigned long long)point);
    }
    struct hx_inventory v = {0};
    if (hx_rig_fence(r, 0, HX_MODEL_PG, 1, 1, &v))
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
    struct hx_model m;
    hx_model_init(&m, 21);
    hx_model_start(&r, 16u << 10);
    while (m.last < 500)
        assert_int_equal(hx_model_step(&r, &m), 0);
    struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
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
            for (size_t off = hx_model_dice(&m) % 97; p && off < len; off += 1 + hx_model_dice(&m) % (len / 24 + 1)) {
                bool sector = tried++ % 4 == 0;
                if (sector)
                    memset(p + off / 512 * 512, 0, off / 512 * 512 + 512 < len ? 512 : len - off / 512 * 512);
                else
                    p[off] ^= (uint8_t)(1u << hx_model_dice(&m) % 8);
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
    hx_model_fini(&m);
    hx_rig_fini(&r);
}

/* Promise: also when the sidecar is lost together with part of its file, no older version of a page is served
 * in place of one that cannot be read.  Method: each closed file damaged at many places, its sidecar removed.
 */
static void a_lost_sidecar_does_not_hide_damage(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_model m;
    unsigned tried = 0;
    hx_model_init(&m, 23);
    hx_model_start(&r, 16u << 10);
    while (m.last < 400)
        assert_int_equal(hx_model_step(&r, &m), 0);
    struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
    hx_rig_stop(&r, 0);
    uint64_t last = hx_mem_last_log(r.farm[0], &at);
    for (uint64_t id = 16; id < last; id++) {
        uint8_t *p, *saved;
        size_t len;
        copy_of(&r, id, at, &p, &saved, &len);
        for (size_t off = hx_model_dice(&m) % 97; p && off < len; off += 1 + hx_model_dice(&m) % (len / 24 + 1)) {
            tried++;
            p[off] ^= (uint8_t)(1u << hx_model_dice(&m) % 8);
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
    hx_model_fini(&m);
    hx_rig_fini(&r);
}

/* Images of 4 pages up to LAST, eight to a file; while the first file is collected the open one begins with
 * LSN 14.  Stopped; the bytes of that file. */
static uint8_t *base_in_the_open_file(struct hx_rig *r, uint64_t last)
{
    size_t len;
    hx_model_start(r, 32u << 10);
    for (uint64_t lsn = 1; lsn <= last; lsn++) {
        uint64_t mark = lsn < 13 ? 0 : lsn < 15 ? lsn - 1 : 14;
        assert_int_equal(hx_rig_append(r, 0, 1, mark, mark, r->frame, hx_model_images(r, lsn, 1, mark), NULL), 0);
        for (unsigned i = 0; lsn == 13 && i < 3; i++)
            hx_rig_step(r, 50);
    }
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    for (unsigned i = 0; i < 20 && hx_mem_file(r->farm[0], &at, 16, &len); i++)
        hx_rig_step(r, 50);
    hx_rig_stop(r, 0);
    assert_null(hx_mem_file(r->farm[0], &at, 16, &len));
    assert_int_equal(hx_mem_last_log(r->farm[0], &at), 18);
    return hx_mem_file(r->farm[0], &at, 18, &len);
}

/* Promise: damage in the open file is not forgotten because older ones were collected meanwhile, and a base was saved:
 * no older version is served in place of a record that cannot be read; sent again, it is there again, after a further
 * restart, too.  Method: LSN 14 rots. */
static void damage_beside_a_saved_base_is_not_forgotten(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_read_page p;
    struct hx_segment_status s;
    uint8_t data[HX_PAGE_SIZE];
    base_in_the_open_file(&r, 15)[2000] ^= 1;
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
    assert_int_equal(s.damaged, 1);
    assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 15, 2, data, &p), HX_E_LAGGING);
    assert_int_equal(hx_rig_append(&r, 0, 1, 14, 14, r.frame, hx_model_images(&r, 14, 1, 14), NULL), 0);
    for (unsigned again = 0; again < 2; again++) {
        assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 15, 2, data, &p), 0);
        assert_int_equal(p.state, HX_READ_RAW);
        assert_int_equal(data[0], 14);
        hx_model_restart(&r);
    }
    hx_rig_fini(&r);
}

/* Promise: a tail that is lost without a trace (a disk that said it had flushed) is missed: what stands in closed files
 * says nothing of later ones, so no older version is served as of a point that the lost records belong to.  Method: the
 * open file is emptied; sidecars of closed ones and the saved base were written after it had records. */
static void a_tail_lost_without_a_trace_is_missed(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_read_page p;
    uint8_t data[HX_PAGE_SIZE], *log = base_in_the_open_file(&r, 16);
    struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
    size_t len;
    assert_ptr_equal(hx_mem_file(r.farm[0], &at, 18, &len), log);
    memset(log, 0, len);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 16, 2, data, &p), HX_E_LAGGING);
    assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 14, 2, data, &p), HX_E_LAGGING);
    hx_rig_fini(&r);
}

/* Promise: the same of a whole file in the middle.  Only the base that was saved, and the chain of its records, tell it
 * from a file that was deleted in good order.  Pages that it held are CORRUPT as of then, not older. */
static void a_file_lost_without_a_trace_is_missed(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_read_page p;
    struct hx_segment_status s;
    uint8_t data[HX_PAGE_SIZE];
    hx_model_start(&r, 32u << 10);
    for (uint64_t lsn = 1; lsn <= 40; lsn++) { /* images of 4 pages, eight to a file; the floor stays */
        struct hx_rig_rec rec = {lsn, (uint32_t)(lsn % 4), HX_REC_IMAGE, HX_REC_CPL, data, HX_PAGE_SIZE};
        struct hx_model noise = {.rng = lsn};
        for (size_t i = 0; i < HX_PAGE_SIZE; i++)
            data[i] = i ? (uint8_t)hx_model_dice(&noise) : (uint8_t)lsn;
        size_t n = hx_rig_frame(&r, HX_MODEL_PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){lsn - 1, 0, 0});
        assert_int_equal(hx_rig_append(&r, 0, 1, lsn - 1, 0, r.frame, n, NULL), 0);
    }
    struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
    size_t len;
    for (unsigned i = 0; i < 20; i++)
        hx_rig_step(&r, 50);
    assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 16, 0, data, &p), 0);
    assert_int_equal(data[0], 16);
    hx_rig_stop(&r, 0);
    assert_non_null(hx_mem_file(r.farm[0], &at, 17, &len));
    hx_mem_remove_file(r.farm[0], &at, 17);
    hx_mem_remove_file(r.farm[0], &at, 17 | UINT64_C(1) << 32);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
    assert_int_equal(s.damaged, 1);
    assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 16, 0, data, &p), 0);
    assert_int_equal(p.state, HX_READ_CORRUPT);
    assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 40, 0, data, &p), 0);
    assert_int_equal(p.state, HX_READ_RAW);
    assert_int_equal(data[0], 40);
    hx_rig_fini(&r);
}

/* Promise: the same when neighbours are lost with their envelopes, so that nothing tells how far it goes;
 * however far the volume has got meanwhile.  Method: the envelopes of LSN 14 and 15 are zeroed; then a VDL
 * far above is announced. */
static void damage_without_an_end_is_not_forgotten(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_read_page p;
    uint8_t data[HX_PAGE_SIZE], *log = base_in_the_open_file(&r, 16);
    size_t second = 96 + ((hx_get_u32(log + 8) + 7) & ~7u);
    memset(log, 0, 96);
    memset(log + second, 0, 96);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    for (unsigned far = 0; far < 2; far++) {
        assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 14, 2, data, &p), HX_E_LAGGING);
        assert_int_equal(hx_rig_append(&r, 0, 1, 16 + 3 * HX_RIG_LAL, 0, NULL, 0, NULL), 0);
    }
    hx_rig_fini(&r);
}

/* Promise: bytes that rot while the server runs are noticed by the read that meets them; other pages are not
 * affected. */
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
    assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 9, 4, data, &p), 0);
    assert_int_equal(p.state, HX_READ_CORRUPT);
    assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 9, 5, data, &p), 0);
    assert_int_equal(p.state, HX_READ_RAW);
    assert_int_equal(hx_get_u64(data), 5);
    assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 1, 1, &v), 0);
    assert_int_equal(v.unknown_count, 1);
    assert_int_equal(v.unknowns[0].from.v, 4);
    assert_int_equal(v.entry_count, 8);
    hx_inventory_fini(&v);
    hx_rig_fini(&r);
}

/* An image with its LSN as first byte, alone in its frame; what went before is durable, had by all, read by none. */
static void put_image(struct hx_rig *r, uint64_t lsn, uint32_t page)
{
    uint8_t image[HX_PAGE_SIZE];
    struct hx_model noise = {.rng = lsn};
    for (size_t i = 0; i < sizeof image; i++)
        image[i] = i ? (uint8_t)hx_model_dice(&noise) : (uint8_t)lsn;
    struct hx_rig_rec rec = {lsn, page, HX_REC_IMAGE, HX_REC_CPL, image, HX_PAGE_SIZE};
    size_t n = hx_rig_frame(r, HX_MODEL_PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){lsn - 1, lsn - 1, lsn - 1});
    assert_int_equal(hx_rig_append(r, 0, 1, lsn - 1, lsn - 1, r->frame, n, NULL), 0);
}

/* Zeroes the envelopes of each entry of the server's own making and of the one behind it; how many there were. */
static unsigned lose_copies(struct hx_rig *r)
{
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    unsigned lost = 0;
    for (uint64_t id = 16; id <= hx_mem_last_log(r->farm[0], &at); id++) {
        size_t len, next;
        uint8_t *p = hx_mem_file(r->farm[0], &at, id, &len);
        for (size_t off = 0; p && off + 96 <= len && hx_get_u32(p + off) == HX_LOG_ENV_MAGIC; off = next) {
            next = off + 96 + ((hx_get_u32(p + off + 8) + 7) & ~(size_t)7);
            if (p[off + 4] != HX_ENV_LOCAL)
                continue;
            lost++;
            memset(p + off, 0, 96);
            off = next;
            assert_true(off + 96 <= len && hx_get_u32(p + off) == HX_LOG_ENV_MAGIC);
            next += 96 + ((hx_get_u32(p + off + 8) + 7) & ~(size_t)7);
            memset(p + off, 0, 96);
        }
    }
    return lost;
}

/* Promise (B1 c): a page whose only copy was moved, and is lost with its envelope, never passes for one that was not
 * written.  Method: the file it came from is gone; the copy rots with its neighbour, so that nothing in the log tells
 * what stood there; then what is missing in the chain comes again. */
static void a_copy_that_is_lost_is_missed(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_read_page p;
    uint8_t data[HX_PAGE_SIZE];
    struct hx_disk_place at;
    size_t len;
    unsigned steps = 0;
    hx_model_start(&r, 72u << 10);
    at = hx_rig_place(&r, HX_MODEL_PG);
    /* the first file: pages 0 to 17, of which the second one has all again but page 0; then the open one */
    for (uint64_t lsn = 1; lsn <= 40; lsn++)
        put_image(&r, lsn, (uint32_t)(lsn <= 18 ? lsn - 1 : lsn <= 35 ? lsn - 18 : lsn));
    for (; hx_mem_file(r.farm[0], &at, 16, &len) && steps < 100; steps++) {
        hx_rig_step(&r, 50);
        put_image(&r, 41 + steps, 41 + steps);
    }
    assert_in_range(steps, 1, 99);
    assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 40 + steps, 0, data, &p), 0);
    assert_true(p.state == HX_READ_RAW && data[0] == 1);
    hx_rig_stop(&r, 0);
    assert_int_not_equal(lose_copies(&r), 0);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    for (unsigned again = 0; again < 2; again++) {
        for (uint64_t point = 19; point <= 40 + steps; point++)
            if (!hx_rig_read(&r, 0, HX_MODEL_PG, 1, point, 0, data, &p))
                assert_true(p.state == HX_READ_CORRUPT || (p.state == HX_READ_RAW && data[0] == 1));
        for (unsigned i = 0; i < steps; i++) /* the neighbours come again */
            put_image(&r, 41 + i, 41 + i);
    }
    hx_rig_fini(&r);
}

/* ---- sectors that give an error instead of bytes ---- */
/* Where the log file holds the K-th image of images_in_log: its envelope. */
static size_t envelope_of(struct hx_rig *r, unsigned k)
{
    size_t len;
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    const uint8_t *p = hx_mem_file(r->farm[0], &at, 16, &len);
    return (size_t)(frame_in_log(r, k) - p) - 96;
}

/* Three images, one to a batch; stopped. */
static void images_in_log(struct hx_rig *r)
{
    hx_model_start(r, 0);
    for (uint64_t lsn = 1; lsn <= 3; lsn++)
        assert_int_equal(hx_rig_append(r, 0, 1, 0, 0, r->frame, hx_model_images(r, lsn, 1, 0), NULL), 0);
    hx_rig_stop(r, 0);
}

static void check_unknown(struct hx_rig *r, uint64_t scl, unsigned entries, uint64_t from, uint64_t to)
{
    struct hx_inventory v = {0};
    assert_int_equal(hx_rig_fence(r, 0, HX_MODEL_PG, 1, 1, &v), 0);
    assert_int_equal(v.scl.v, scl);
    assert_int_equal(v.entry_count, entries);
    assert_int_equal(v.unknown_count, from ? 1 : 0);
    if (from)
        assert_true(v.unknowns[0].from.v == from && v.unknowns[0].to.v == to);
    hx_inventory_fini(&v);
}

/* Promise: a sector that cannot be read costs what was in it, and no more: the segment opens, what was there is UNKNOWN
 * and never passes for a torn end, what is sent again is there again; a restart later, too.  Method: it lies in the
 * payload of the second batch, or of the last one. */
static void an_unreadable_sector_is_damage(void **state)
{
    (void)state;
    for (uint64_t lsn = 2; lsn <= 3; lsn++) {
        struct hx_rig r;
        uint64_t scl;
        images_in_log(&r);
        hx_mem_bad_sector(r.farm[0], 16, envelope_of(&r, (unsigned)lsn - 1) + 2000);
        for (unsigned pass = 0; pass < 2; pass++) {
            assert_int_equal(hx_rig_start(&r, 0), 0);
            check_unknown(&r, lsn - 1, 2, lsn, lsn);
            if (pass == 0)
                hx_rig_stop(&r, 0);
        }
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, hx_model_images(&r, lsn, 1, 0), &scl), 0);
        assert_int_equal(scl, 3);
        for (unsigned pass = 0; pass < 2; pass++) {
            check_unknown(&r, 3, 3, 0, 0);
            hx_model_restart(&r);
        }
        hx_rig_fini(&r);
    }
}

/* Promise: when the end of the log itself cannot be read, all above what is stable is UNKNOWN, and what may stand
 * behind it is not overwritten.  Method: the sector of the last batch's envelope; an append; the bytes. */
static void an_unreadable_end_is_not_written_over(void **state)
{
    (void)state;
    struct hx_rig r;
    size_t len;
    uint8_t was[5000];
    images_in_log(&r);
    struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
    size_t off = envelope_of(&r, 2);
    memcpy(was, hx_mem_file(r.farm[0], &at, 16, &len) + off, 4000);
    hx_mem_bad_sector(r.farm[0], 16, off + 95);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    struct hx_inventory v = {0};
    assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 1, 1, &v), 0);
    assert_true(v.scl.v <= 2 && v.unknown_count >= 1 && v.unknowns[0].from.v <= 3);
    assert_true(v.unknowns[v.unknown_count - 1].to.v == UINT64_MAX);
    hx_inventory_fini(&v);
    uint64_t scl;
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, hx_model_images(&r, 4, 1, 0), &scl), 0);
    assert_int_equal(hx_mem_last_log(r.farm[0], &at), 17);
    assert_memory_equal(was, hx_mem_file(r.farm[0], &at, 16, &len) + off, 4000);
    for (uint64_t lsn = 1; lsn <= 3; lsn++)
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, hx_model_images(&r, lsn, 1, 0), &scl), 0);
    assert_int_equal(scl, 4);
    hx_rig_fini(&r);
}

/* Promise: one read that fails during a restart and would succeed again costs nothing.  Method: each read of a restart
 * of a segment with several files, sidecars and both slots. */
static void a_read_that_fails_once_costs_nothing(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_model m;
    struct hx_segment_status a, b;
    hx_model_init(&m, 41);
    hx_model_start(&r, 16u << 10);
    while (m.last < 300)
        assert_int_equal(hx_model_step(&r, &m), 0);
    assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &a), 0);
    for (uint64_t k = 1; k <= 60; k++) {
        hx_rig_stop(&r, 0);
        hx_mem_fail_read(r.farm[0], k, HX_E_IO);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        hx_mem_fail_read(r.farm[0], 0, 0);
        assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &b), 0);
        if (b.state || b.damaged || b.scl.v != a.scl.v || b.pages != a.pages)
            fail_msg("read %llu: state %d, %llu damaged, SCL %llu", (unsigned long long)k, b.state,
                     (unsigned long long)b.damaged, (unsigned long long)b.scl.v);
        if (k % 8 == 0)
            hx_model_check(&r, &m, 10);
    }
    hx_model_fini(&m);
    hx_rig_fini(&r);
}

/* Promise (I11): what an idle group lost stays UNKNOWN however far above all that is left it was, and whatever VDL is
 * named later: one of before the loss proves nothing.  Method: three old batches, then, a million LSNs of other groups
 * later, two more whose envelopes are lost; a mark stands behind them. */
static void damage_far_above_is_not_outrun(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_inventory v = {0};
    const uint64_t far = 1000000;
    three_batches(&r);
    assert_int_equal(hx_rig_append(&r, 0, 1, far, 0, NULL, 0, NULL), 0);
    for (uint64_t i = 1; i <= 2; i++) {
        size_t n = hx_rig_run(&r, HX_MODEL_PG, 1, i == 1 ? 9 : far + 1, far + i, 1, 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, far, 0, r.frame, n, NULL), 0);
    }
    for (unsigned i = 0; i < 3; i++)
        hx_rig_step(&r, 500);
    hx_rig_stop(&r, 0);
    memset(frame_in_log(&r, 3) - 96, 0, 96);
    memset(frame_in_log(&r, 4) - 96, 0, 96);
    for (unsigned pass = 0; pass < 2; pass++) {
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, far, 0, NULL, 0, NULL), 0);
        assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 1, 1, &v), 0);
        assert_int_equal(v.vdl_hint.v, far);
        assert_int_equal(v.entry_count, 0);
        assert_int_equal(v.unknown_count, 1);
        assert_true(v.unknowns[0].from.v <= far + 1 && v.unknowns[0].to.v == far + 2);
        hx_inventory_fini(&v);
        hx_rig_stop(&r, 0);
    }
    hx_rig_fini(&r);
}

/* Promise: when nothing is left that tells where the damage ends, no VDL ends it, but the next epoch's history does;
 * what has come since is held all the same, also when it was found again by a further restart.  Method: the end of the
 * log cannot be read; records and VDLs far above; ADOPT of epoch 2. */
static void damage_without_an_end_ends_with_the_epoch(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_inventory v = {0};
    struct hx_history h = {0};
    const uint64_t far = 1000000;
    images_in_log(&r);
    hx_mem_bad_sector(r.farm[0], 16, envelope_of(&r, 2) + 95);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    size_t n = hx_rig_run(&r, HX_MODEL_PG, 1, 3, far + 1, 1, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, far, 0, r.frame, n, NULL), 0);
    for (unsigned pass = 0; pass < 2; pass++) {
        assert_int_equal(hx_rig_append(&r, 0, 1, far, 0, NULL, 0, NULL), 0);
        assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 1, 1, &v), 0);
        assert_int_equal(v.entry_count, 1);
        assert_int_equal(v.entries[0].lsn.v, far + 1);
        assert_true(v.unknown_count >= 1 && v.unknowns[v.unknown_count - 1].to.v == UINT64_MAX);
        hx_inventory_fini(&v);
        hx_model_restart(&r);
    }
    struct hx_history_entry first = {HX_EPOCH(1), HX_LSN(0), HX_LSN(0), HX_RIG_LAL};
    struct hx_history_entry second = {HX_EPOCH(2), HX_LSN(far + 1), HX_LSN(far + 9), HX_RIG_LAL};
    assert_int_equal(hx_history_push(&h, first), 0);
    assert_int_equal(hx_history_push(&h, second), 0);
    assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 2, 1, NULL), 0);
    assert_int_equal(hx_rig_adopt(&r, 0, HX_MODEL_PG, 2, &h, NULL, NULL), 0);
    assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 2, 1, &v), 0);
    for (unsigned i = 0; i < v.unknown_count; i++)
        assert_true(v.unknowns[i].to.v <= far + 1);
    hx_inventory_fini(&v);
    hx_history_fini(&h);
    hx_rig_fini(&r);
}

/* Promise: damage whose end is known keeps it when the next epoch's history is adopted: no sound record becomes UNKNOWN
 * by that.  Method: the second of three batches rots; ADOPT of epoch 2, which keeps all. */
static void damage_with_an_end_does_not_grow_with_the_epoch(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_inventory v = {0};
    struct hx_history h = {0};
    three_batches(&r);
    hx_rig_stop(&r, 0);
    frame_in_log(&r, 1)[HX_FRAME_HEAD + 40] ^= 1;
    assert_int_equal(hx_rig_start(&r, 0), 0);
    struct hx_history_entry first = {HX_EPOCH(1), HX_LSN(0), HX_LSN(0), HX_RIG_LAL};
    struct hx_history_entry second = {HX_EPOCH(2), HX_LSN(9), HX_LSN(9 + HX_RIG_LAL), HX_RIG_LAL};
    assert_int_equal(hx_history_push(&h, first), 0);
    assert_int_equal(hx_history_push(&h, second), 0);
    assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 2, 1, NULL), 0);
    assert_int_equal(hx_rig_adopt(&r, 0, HX_MODEL_PG, 2, &h, NULL, NULL), 0);
    assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 2, 1, &v), 0);
    assert_int_equal(v.entry_count, 6);
    assert_int_equal(v.unknown_count, 1);
    assert_true(v.unknowns[0].from.v == 4 && v.unknowns[0].to.v == 6);
    hx_inventory_fini(&v);
    hx_history_fini(&h);
    hx_rig_fini(&r);
}

/* ---- with peers ---- */
/* Three servers with the segment, the first one with log files of FIRST_BYTES, the others of 16 KiB. */
static void three_servers(struct hx_rig *r, uint32_t first_bytes)
{
    hx_rig_init(r, 3, 1u << 20, 2, 16u << 10);
    hx_rig_stop(r, 0);
    r->log_file_bytes = first_bytes;
    assert_int_equal(hx_rig_start(r, 0), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(hx_rig_format(r, i, HX_MODEL_PG), 0);
}

/* COUNT images from LSN on in one frame, to all three; MARK: VDL, floor and gc. */
static void to_all(struct hx_rig *r, uint64_t lsn, unsigned count, uint64_t mark)
{
    size_t n = hx_model_images(r, lsn, count, mark);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(hx_rig_append(r, i, 1, mark, mark, r->frame, n, NULL), 0);
}

/* How many of 16 pages the first server cannot give at POINT; those that it gives are right: page P is image NEWEST[P],
 * or was never written. */
static unsigned corrupt_pages(struct hx_rig *r, uint64_t point, const uint64_t newest[4])
{
    unsigned corrupt = 0;
    for (uint32_t page = 0; page < 16; page++) {
        struct hx_read_page p;
        uint8_t data[HX_PAGE_SIZE];
        assert_int_equal(hx_rig_read(r, 0, HX_MODEL_PG, 1, point, page, data, &p), 0);
        uint64_t want = page < 4 ? newest[page] : 0;
        corrupt += p.state == HX_READ_CORRUPT;
        if (p.state != HX_READ_CORRUPT && (data[0] != want || p.lsn.v != want))
            fail_msg("page %u: LSN %llu", page, (unsigned long long)p.lsn.v);
    }
    return corrupt;
}

/* Promise: damage of which nobody knows what it was is mended by the records, or, where the peers have given them up,
 * page by page; until then no page is wrong; it is mended again after a restart.  Method: the first two entries of a
 * closed file (LSN 5 and 6; 6 is the newest of its page) and its sidecar are lost; the peers have compacted theirs, or
 * not. */
static void blind_damage_is_mended(void **state)
{
    (void)state;
    const uint64_t newest[4] = {12, 9, 6, 11};
    for (unsigned given_up = 0; given_up < 2; given_up++) {
        struct hx_rig r;
        size_t len;
        three_servers(&r, 16u << 10);
        struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
        for (uint64_t lsn = 1; lsn <= 13; lsn++) {
            if (lsn == 10 || lsn == 13)
                continue; /* of page 2 and 1: in another PG */
            struct hx_rig_rec rec = {lsn, (uint32_t)(lsn % 4), HX_REC_IMAGE, HX_REC_CPL, NULL, HX_PAGE_SIZE};
            static uint8_t image[HX_PAGE_SIZE];
            struct hx_model noise = {.rng = lsn};
            rec.len = lsn == 11 ? HX_PAGE_SIZE - 512 : HX_PAGE_SIZE; /* or it depends on a MARK what is too much */
            for (size_t i = 0; i < sizeof image; i++)
                image[i] = i ? (uint8_t)hx_model_dice(&noise) : (uint8_t)lsn;
            rec.payload = image;
            for (unsigned i = 0; i < 3; i++) {
                uint64_t mark = given_up && i && lsn == 12 ? 11 : 0, vdl = lsn == 1 ? 0 : lsn == 11 ? 9 : lsn - 1;
                size_t n = hx_rig_frame(&r, HX_MODEL_PG, 1, vdl, &rec, 1, (struct hx_rig_marks){mark, mark, mark});
                assert_int_equal(hx_rig_append(&r, i, 1, vdl, mark, r.frame, n, NULL), 0);
            }
        }
        hx_rig_stop(&r, 0);
        uint8_t *log = hx_mem_file(r.farm[0], &at, 17, &len);
        size_t second = 96 + ((hx_get_u32(log + 8) + 7) & ~7u);
        memset(log, 0, 96);
        memset(log + second, 0, 96);
        hx_mem_remove_file(r.farm[0], &at, 17 | UINT64_C(1) << 32);
        for (unsigned i = 0; i < 160; i++) /* so quiet that they tidy up */
            hx_rig_step(&r, 50);
        assert_true(!hx_mem_file(r.farm[1], &at, 17, &len) == (given_up == 1));
        for (unsigned pass = 0; pass < 2; pass++) {
            struct hx_segment_status s = {.damaged = 1};
            assert_int_equal(hx_rig_start(&r, 0), 0);
            assert_true(corrupt_pages(&r, 12, newest) >= (given_up ? 12 : pass ? 0 : 13));
            for (unsigned i = 0; i < 3; i++)
                assert_int_equal(hx_rig_append(&r, i, 1, 12, 0, NULL, 0, NULL), 0);
            for (unsigned i = 0; i < 600 && s.damaged; i++) {
                hx_rig_step(&r, 50);
                assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
                corrupt_pages(&r, 12, newest);
            }
            assert_int_equal(s.damaged, 0);
            assert_int_equal(corrupt_pages(&r, 12, newest), 0);
            hx_rig_stop(&r, 0);
        }
        hx_rig_fini(&r);
    }
}

/* Promise: a member that lost records which all others have given up (at or below gc) serves nothing above the hole,
 * nothing wrong below it, and neither its disk nor the network fills up with attempts to close it.
 * (To take it in again needs a copy of all pages, which is not made yet.)  Method: a frame rots on the first server;
 * the peers have deleted theirs. */
static void a_hole_that_nobody_can_fill_stays_small(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_segment_status s, later;
    three_servers(&r, 0);
    for (uint64_t lsn = 1; lsn <= 25; lsn += 3)
        to_all(&r, lsn, 3, lsn < 22 ? 0 : lsn - 1);
    for (unsigned i = 0; i < 40; i++)
        hx_rig_step(&r, 50);
    hx_rig_stop(&r, 0);
    frame_in_log(&r, 1)[HX_FRAME_HEAD + 1000] ^= 1;
    assert_int_equal(hx_rig_start(&r, 0), 0);
    for (unsigned i = 0; i < 100; i++)
        hx_rig_step(&r, 100);
    assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &s), 0);
    uint64_t delivered = r.delivered;
    for (unsigned i = 0; i < 400; i++)
        hx_rig_step(&r, 1000);
    assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &later), 0);
    assert_int_equal(later.scl.v, 3);
    assert_true(later.disk_bytes <= s.disk_bytes + (64u << 10));
    assert_true(r.delivered - delivered < 640); /* of that 100 FETCH; with one a second it would be over 700 */
    struct hx_read_page p;
    uint8_t data[HX_PAGE_SIZE];
    assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 27, 1, data, &p), HX_E_LAGGING);
    assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 4, 1, data, &p), HX_E_LAGGING);
    struct hx_inventory v = {0};
    assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 1, 1, &v), 0);
    assert_true(v.scl.v == 3 && v.unknown_count == 1 && v.unknowns[0].from.v == 4 && v.unknowns[0].to.v == 6);
    hx_inventory_fini(&v);
    hx_rig_fini(&r);
}

/* Promise: sidecars are a shortcut: without them, or with damaged ones, a restart gives the same segment. */
static void sidecars_are_only_a_shortcut(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_model m;
    struct hx_segment_status a, b;
    hx_model_init(&m, 31);
    hx_model_start(&r, 16u << 10);
    while (m.last < 800)
        assert_int_equal(hx_model_step(&r, &m), 0);
    struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
    unsigned removed = 0;
    for (unsigned pass = 0; pass < 2; pass++) {
        hx_model_restart(&r);
        assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &a), 0);
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
                p[hx_model_dice(&m) % len] ^= 4;
        }
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_status(&r, 0, HX_MODEL_PG, &b), 0);
        assert_int_equal(a.scl.v, b.scl.v);
        assert_int_equal(a.pages, b.pages);
        assert_int_equal(b.state, 0);
        hx_model_check(&r, &m, 50);
    }
    assert_true(removed >= 4);
    hx_model_fini(&m);
    hx_rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_inside_the_log_is_unknown),
        cmocka_unit_test(a_torn_tail_is_cut_and_a_marked_one_is_not),
        cmocka_unit_test(a_damaged_frame_that_is_void_is_no_damage),
        cmocka_unit_test(a_repair_answer_tells_of_damage),
        cmocka_unit_test(one_of_two_meta_slots_is_enough),
        cmocka_unit_test(damage_anywhere_is_never_served),
        cmocka_unit_test(a_lost_sidecar_does_not_hide_damage),
        cmocka_unit_test(damage_beside_a_saved_base_is_not_forgotten),
        cmocka_unit_test(a_tail_lost_without_a_trace_is_missed),
        cmocka_unit_test(a_file_lost_without_a_trace_is_missed),
        cmocka_unit_test(damage_without_an_end_is_not_forgotten),
        cmocka_unit_test(rot_is_noticed_when_it_is_read),
        cmocka_unit_test(a_copy_that_is_lost_is_missed),
        cmocka_unit_test(an_unreadable_sector_is_damage),
        cmocka_unit_test(an_unreadable_end_is_not_written_over),
        cmocka_unit_test(a_read_that_fails_once_costs_nothing),
        cmocka_unit_test(damage_far_above_is_not_outrun),
        cmocka_unit_test(blind_damage_is_mended),
        cmocka_unit_test(a_hole_that_nobody_can_fill_stays_small),
        cmocka_unit_test(damage_without_an_end_ends_with_the_epoch),
        cmocka_unit_test(damage_with_an_end_does_not_grow_with_the_epoch),
        cmocka_unit_test(sidecars_are_only_a_shortcut),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
