/*
 * test_power_loss.c - what a power loss leaves behind is no damage: the torn end of a log, and files that were just
 * being deleted.
 *
 * Promise (I4, I11; log.c L2, space.c B1 d): after a power loss, at whatever call and whichever sectors survive it, an
 * honest disk's segment has everything that it acknowledged, and nothing of it is UNKNOWN or counted as damaged: else
 * openings would wait for records that nobody was told of.
 * Method: one server over a disk in memory that loses each sector by itself (mem_disk.h); a model knows every page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"
#include "seg_model.h"

#include <stdlib.h>

static const struct hx_seg *segment(struct hx_rig *r)
{
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    const struct hx_seg *s = hx_node_find(r->node[0], &at.volume, at.pg);
    assert_non_null(s);
    return s;
}

/* The power is on again, and the server starts: everything acknowledged is there, nothing is said to be lost. */
static void comes_back_whole(struct hx_rig *r, struct hx_model *m, uint64_t seed)
{
    struct hx_inventory v = {0};
    hx_rig_stop(r, 0);
    hx_mem_crash(r->farm[0], seed);
    assert_int_equal(hx_rig_start(r, 0), 0);
    assert_int_equal(segment(r)->error, 0);
    if (segment(r)->unknown_count || hx_seg_damages(segment(r)))
        fail_msg("seed %llu: %zu unknown", (unsigned long long)seed, segment(r)->unknown_count);
    assert_int_equal(hx_rig_fence(r, 0, HX_MODEL_PG, 1, 1, &v), 0);
    assert_true(v.scl.v >= m->acked);
    assert_int_equal(v.unknown_count, 0);
    hx_inventory_fini(&v);
    hx_model_check(r, m, 20);
}

/* COUNT frames in one APPEND, so that they are written together; the power goes before they are flushed. */
static void append_into_the_dark(struct hx_rig *r, struct hx_model *m, unsigned count)
{
    struct hx_append_head h = {.vdl = HX_LSN(m->vdl), .floor = HX_LSN(m->floor), .frame_count = count};
    size_t cap = 4096 + (size_t)count * HX_FRAME_MAX;
    uint8_t *b = malloc(cap);
    assert_non_null(b);
    struct hx_enc e = hx_enc_init(b, cap);
    hx_append_head_encode(&h, &e);
    for (unsigned i = 0; i < count; i++) {
        size_t n = hx_model_frame(r, m, 1 + (unsigned)(hx_model_dice(m) % 6));
        hx_enc_bytes(&e, r->frame, n);
    }
    assert_int_equal(e.err, 0);
    hx_mem_power_off_at(r->farm[0], 2); /* the write is the first call */
    struct hx_rig_ask q = {.type = HX_MSG_APPEND, .epoch = 1, .conn = 1, .body = {b, e.len}};
    struct hx_rig_reply a = {0};
    uint64_t token = hx_rig_ask(r, 0, &q);
    hx_node_flush(r->node[0]);
    hx_rig_take(r, 0, token, &a);
    assert_true(hx_mem_is_off(r->farm[0]));
    struct hx_ack k;
    struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
    if (a.came && a.head.status == 0 && a.body.len) {
        hx_ack_decode(&k, &d);
        assert_true(k.status != 0 || k.scl.v <= m->acked);
    }
    hx_rig_reply_fini(&a);
    free(b);
}

static void a_torn_end_is_no_damage(void **state)
{
    (void)state;
    unsigned lost = 0, kept = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct hx_rig r;
        struct hx_model m;
        hx_model_init(&m, seed);
        hx_model_start(&r, 256u << 10);
        while (m.last < 60)
            assert_int_equal(hx_model_step(&r, &m), 0);
        append_into_the_dark(&r, &m, 4);
        comes_back_whole(&r, &m, seed);
        uint64_t scl = segment(&r)->chain.scl;
        lost += scl < m.last;
        kept += scl > m.acked;
        hx_model_fini(&m);
        hx_rig_fini(&r);
    }
    assert_true(lost >= 10); /* ends were torn */
    assert_true(kept >= 2);  /* some after the first of the four */
}

/* Files die and go while the power fails at the K-th call. */
static void files_that_were_being_deleted_are_no_damage(void **state)
{
    (void)state;
    unsigned went = 0;
    for (uint64_t k = 1; k <= 60; k++) {
        struct hx_rig r;
        struct hx_model m;
        struct hx_disk_place at;
        hx_model_init(&m, 5);
        hx_model_start(&r, 16u << 10);
        at = hx_rig_place(&r, HX_MODEL_PG);
        while (m.last < 300)
            assert_int_equal(hx_model_step(&r, &m), 0);
        m.vdl = m.acked;
        m.floor = m.acked - 5;
        assert_int_equal(hx_rig_append(&r, 0, 1, m.vdl, m.floor, r.frame, hx_model_frame(&r, &m, 1), NULL), 0);
        m.acked = m.last;
        size_t before = hx_mem_file_count(r.farm[0], &at);
        hx_mem_power_off_at(r.farm[0], k);
        for (unsigned i = 0; i < 60 && !hx_mem_is_off(r.farm[0]); i++)
            hx_rig_step(&r, 500);
        went += hx_mem_file_count(r.farm[0], &at) < before;
        comes_back_whole(&r, &m, k);
        hx_model_fini(&m);
        hx_rig_fini(&r);
    }
    assert_true(went >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_torn_end_is_no_damage),
        cmocka_unit_test(files_that_were_being_deleted_are_no_damage),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("power_loss", tests, NULL, NULL);
}
