/*
 * test_revive.c - a disk that fails and works again: the segment reads what is there and serves, and nothing that was
 * not durable was ever acknowledged.  Method: one server over a disk in memory whose failed flushes give up what they
 * should have written, while readers still see it (hx_mem_fail_drops); the power goes afterwards, so that only what is
 * really on the medium is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "seg_model.h"

#include <stdlib.h>

static int state_of(struct hx_rig *r, struct hx_segment_status *ret)
{
    int err = hx_rig_status(r, 0, HX_MODEL_PG, ret);
    return err ? err : ret->state;
}

/* Ticks until the segment serves; fails after a virtual minute. */
static void comes_back(struct hx_rig *r, struct hx_segment_status *ret)
{
    for (unsigned i = 0; i < 120; i++) {
        if (!state_of(r, ret))
            return;
        hx_rig_step(r, 500);
    }
    fail_msg("state %d after a minute", ret->state);
}

/* The power goes between two calls: sidecars that are there are durable, for what supersedes others must be in files
 * that have theirs (space.c, B1 c). */
static void sidecars_survive(struct hx_rig *r, uint64_t seed)
{
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    hx_rig_stop(r, 0);
    hx_mem_crash(r->farm[0], seed);
    for (uint64_t id = 16; id <= hx_mem_last_log(r->farm[0], &at); id++) {
        size_t len;
        const uint8_t *side = hx_mem_file(r->farm[0], &at, id | UINT64_C(1) << 32, &len);
        if (side && (len < 4 || memcmp(side, "HXS1", 4)))
            fail_msg("seed %u: the sidecar of file %u was never durable", (unsigned)seed, (unsigned)id);
    }
    assert_int_equal(hx_rig_start(r, 0), 0);
}

/* The power goes; what was acknowledged is there, and everything is readable. */
static void survives(struct hx_rig *r, struct hx_model *m, uint64_t seed)
{
    struct hx_segment_status s;
    hx_rig_stop(r, 0);
    hx_mem_crash(r->farm[0], seed);
    assert_int_equal(hx_rig_start(r, 0), 0);
    assert_int_equal(state_of(r, &s), 0);
    if (s.scl.v < m->acked)
        fail_msg("seed %u: SCL %u, but %u was acknowledged", (unsigned)seed, (unsigned)s.scl.v, (unsigned)m->acked);
    m->acked = m->last = s.scl.v;
    if (m->acked)
        hx_model_check(r, m, 5);
}

/* Promise: after a failed flush (or write) nothing is acknowledged until the segment has read its disk again; it does
 * that by itself; what it then says to have, it has.  Method: each of the flushes and writes of a run fails once. */
static void a_failure_heals_by_itself(void **state)
{
    (void)state;
    for (uint64_t k = 1; k <= 120; k++) {
        struct hx_rig r;
        struct hx_model m;
        struct hx_segment_status s;
        hx_model_init(&m, 9 + k % 3);
        hx_model_start(&r, 16u << 10);
        hx_mem_fail_drops(r.farm[0]);
        hx_mem_fail(r.farm[0], k % 4 ? HX_MEM_FLUSH : HX_MEM_WRITE, 1 + k / 4 * (k % 4 ? 1 : 2), HX_E_IO, false);
        int err = 0;
        for (unsigned i = 0; i < 60 && !err && !state_of(&r, &s); i++)
            err = hx_model_step(&r, &m);
        assert_true(err == 0 || err == HX_E_POISONED);
        if (err) { /* till the next tick it says no to everything */
            assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, hx_model_frame(&r, &m, 1), NULL), HX_E_POISONED);
            assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 2, 1, NULL), HX_E_POISONED);
        }
        comes_back(&r, &s);
        assert_true(s.scl.v >= m.acked);
        m.acked = m.last = s.scl.v; /* what it says now it has promised */
        if (k % 2) {
            sidecars_survive(&r, k);
            survives(&r, &m, k);
        }
        if (m.acked)
            hx_model_check(&r, &m, 5);
        for (unsigned i = 0; i < 10; i++)
            assert_int_equal(hx_model_step(&r, &m), 0);
        survives(&r, &m, k + 1000);
        assert_int_equal(hx_model_step(&r, &m), 0);
        hx_model_fini(&m);
        hx_rig_fini(&r);
    }
}

/* Promise: a promise is durable in both meta slots when a segment that has come back tells it.  Method: the flush of
 * the first or the second slot fails while it is raised; then the power goes and one slot rots. */
static void a_promise_that_failed_is_whole_or_not_there(void **state)
{
    (void)state;
    for (uint64_t k = 0; k < 16; k++) {
        struct hx_rig r;
        struct hx_segment_status s;
        hx_model_start(&r, 0);
        hx_mem_fail_drops(r.farm[0]);
        hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1 + k % 2, HX_E_IO, false);
        assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 7, 1, NULL), HX_E_POISONED);
        comes_back(&r, &s);
        uint64_t told = s.promised.v;
        assert_true(told == 1 || told == 7);
        hx_rig_stop(&r, 0);
        hx_mem_crash(r.farm[0], k);
        struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
        size_t len;
        hx_mem_file(r.farm[0], &at, 1 + k / 2 % 2, &len)[20] ^= 1;
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(state_of(&r, &s), 0);
        assert_int_equal(s.promised.v, told);
        hx_rig_fini(&r);
    }
}

/* Promise: a disk that stays broken is asked again and again, but more and more rarely; when it works the segment is
 * back within 16 s.  Method: every flush fails for ten minutes; the calls are counted. */
static void a_disk_that_stays_broken_is_asked_rarely(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_model m;
    struct hx_segment_status s;
    hx_model_init(&m, 3);
    hx_model_start(&r, 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(hx_model_step(&r, &m), 0);
    hx_mem_fail_drops(r.farm[0]);
    hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, true);
    size_t n = hx_model_frame(&r, &m, 4);
    assert_int_equal(hx_rig_append(&r, 0, 1, m.vdl, m.floor, r.frame, n, NULL), HX_E_POISONED);
    uint64_t calls = hx_mem_calls(r.farm[0]);
    for (unsigned i = 0; i < 1200; i++) {
        hx_rig_step(&r, 500);
        assert_int_equal(state_of(&r, &s), HX_E_POISONED);
        assert_string_equal(s.volume_name, "vol0");
    }
    /* A flush of the first slot, at least, for each of at most 6 + 600 / 16 attempts. */
    assert_in_range(hx_mem_calls(r.farm[0]) - calls, 30, 2 * 44);
    hx_mem_fail(r.farm[0], 0, 0, 0, false);
    for (unsigned i = 0; i < 33 && state_of(&r, &s); i++)
        hx_rig_step(&r, 500);
    assert_int_equal(s.state, 0);
    m.acked = m.last = s.scl.v;
    hx_model_check(&r, &m, 5);
    assert_int_equal(hx_model_step(&r, &m), 0);
    survives(&r, &m, 1);
    hx_model_fini(&m);
    hx_rig_fini(&r);
}

/* Promise: the power may go at any moment of a revival.  Method: at its 1st, 2nd, ... call, until one runs through. */
static void power_loss_during_a_revival(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 3; what++) {
        bool through = false;
        for (uint64_t k = 1; !through; k++) {
            struct hx_rig r;
            struct hx_model m;
            struct hx_segment_status s;
            hx_model_init(&m, 21 + what);
            hx_model_start(&r, 16u << 10);
            for (unsigned i = 0; i < 10 + 7 * what; i++)
                assert_int_equal(hx_model_step(&r, &m), 0);
            if (k % 2)
                hx_mem_fail_drops(r.farm[0]);
            hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
            size_t n = hx_model_frame(&r, &m, 60);
            assert_int_equal(hx_rig_append(&r, 0, 1, m.vdl, m.floor, r.frame, n, NULL), HX_E_POISONED);
            hx_mem_power_off_at(r.farm[0], k);
            for (unsigned i = 0; i < 4 && !hx_mem_is_off(r.farm[0]); i++)
                hx_rig_step(&r, 500);
            through = !hx_mem_is_off(r.farm[0]);
            if (through)
                assert_int_equal(state_of(&r, &s), 0);
            hx_mem_power_off_at(r.farm[0], 0);
            survives(&r, &m, k);
            for (unsigned i = 0; i < 8 && m.last + 70 < HX_MODEL_LSNS; i++)
                assert_int_equal(hx_model_step(&r, &m), 0);
            survives(&r, &m, k + 500);
            hx_model_fini(&m);
            hx_rig_fini(&r);
        }
    }
}

/* Promise: a segment that never came to be is not there, and can be made.  Method: the flushes of FORMAT fail. */
static void a_format_that_failed_can_be_repeated(void **state)
{
    (void)state;
    for (uint64_t k = 1; k <= 2; k++) {
        struct hx_rig r;
        struct hx_model m;
        struct hx_segment_status s;
        hx_model_init(&m, 2);
        hx_rig_init(&r, 1, 1u << 20, 2, 0);
        hx_mem_fail_drops(r.farm[0]);
        hx_mem_fail(r.farm[0], HX_MEM_FLUSH, k, HX_E_IO, false);
        assert_int_equal(hx_rig_format(&r, 0, HX_MODEL_PG), HX_E_POISONED);
        for (unsigned i = 0; i < 4; i++)
            hx_rig_step(&r, 500);
        assert_int_equal(hx_rig_format(&r, 0, HX_MODEL_PG), 0);
        assert_int_equal(state_of(&r, &s), 0);
        for (unsigned i = 0; i < 10; i++)
            assert_int_equal(hx_model_step(&r, &m), 0);
        survives(&r, &m, k);
        hx_model_fini(&m);
        hx_rig_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_heals_by_itself),
        cmocka_unit_test(a_promise_that_failed_is_whole_or_not_there),
        cmocka_unit_test(a_disk_that_stays_broken_is_asked_rarely),
        cmocka_unit_test(power_loss_during_a_revival),
        cmocka_unit_test(a_format_that_failed_can_be_repeated),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
