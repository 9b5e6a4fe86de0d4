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

#include "../../src/store/node_private.h"
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

/* Promise: a disk that takes no writes any more is told apart from one that fails, for somebody has to mount it anew;
 * to others the segment is POISONED, never "the volume is read-only"; with the disk writable it serves again, and the
 * complaint ends.  Method: every change of a file is refused for a minute. */
static void a_read_only_disk_is_named(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_model m;
    struct hx_segment_status s;
    struct hx_node_stats st;
    hx_model_init(&m, 4);
    hx_model_start(&r, 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(hx_model_step(&r, &m), 0);
    hx_mem_fail(r.farm[0], HX_MEM_ANY, 1, HX_E_READ_ONLY, true);
    size_t n = hx_model_frame(&r, &m, 4);
    assert_int_equal(hx_rig_append(&r, 0, 1, m.vdl, m.floor, r.frame, n, NULL), HX_E_POISONED);
    for (unsigned i = 0; i < 120; i++) {
        hx_rig_step(&r, 500);
        assert_int_equal(state_of(&r, &s), HX_E_POISONED);
        hx_node_stats(r.node[0], &st);
        assert_int_equal(st.read_only, 1);
    }
    hx_mem_fail(r.farm[0], 0, 0, 0, false);
    comes_back(&r, &s);
    hx_node_stats(r.node[0], &st);
    assert_int_equal(st.read_only, 0);
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

/* ---- segments that are gone ---- */
static struct hx_seg *segment(struct hx_rig *r, unsigned i, uint32_t pg)
{
    struct hx_disk_place at = hx_rig_place(r, pg);
    return hx_node_find(r->node[i], &at.volume, at.pg);
}

static void lose_everything(struct hx_rig *r, unsigned i, uint32_t pg)
{
    struct hx_disk_place at = hx_rig_place(r, pg);
    for (uint64_t id = 1; id < 64; id++) {
        hx_mem_remove_file(r->farm[i], &at, id);
        hx_mem_remove_file(r->farm[i], &at, id | HX_LOG_SIDE_BIT);
    }
}

/* Promise: a FORMAT of which nothing reached the disk leaves nothing: the segment is gone as soon as nobody waits for
 * an answer about it, others stay, and it can be made again. */
static void a_format_without_a_trace_leaves_nothing(void **state)
{
    (void)state;
    struct hx_rig r;
    uint8_t b[16384];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_rig_init(&r, 1, 1u << 20, 2, 0);
    assert_int_equal(hx_rig_format(&r, 0, 0), 0);
    hx_geometry_encode(&r.geometry, &e);
    hx_history_encode(&r.history, &e);
    hx_mem_fail(r.farm[0], HX_MEM_WRITE, 1, HX_E_IO, false);
    uint64_t token =
        hx_rig_ask(&r, 0, &(struct hx_rig_ask){.type = HX_MSG_FORMAT, .pg = 1, .body = {b, e.len}});
    hx_node_flush(r.node[0]);
    hx_node_tick(r.node[0], r.now_ms += 1);
    assert_non_null(segment(&r, 0, 1)); /* its answer is not taken yet */
    struct hx_node_effect f;
    while (hx_node_next(r.node[0], &f) && f.token != token) {
    }
    assert_int_equal(f.token, token);
    hx_node_tick(r.node[0], r.now_ms += 60000);
    assert_non_null(segment(&r, 0, 1)); /* and was only lent */
    assert_int_equal(segment(&r, 0, 1)->error, HX_E_POISONED);
    hx_rig_take(&r, 0, 0, NULL);
    hx_node_tick(r.node[0], r.now_ms += 60000);
    assert_null(segment(&r, 0, 1));
    assert_non_null(segment(&r, 0, 0));
    assert_int_equal(hx_rig_fence(&r, 0, 1, 2, 1, NULL), HX_E_NO_SEGMENT);
    assert_int_equal(hx_rig_format(&r, 0, 1), 0);
    assert_int_equal(segment(&r, 0, 1)->error, 0);
    hx_rig_fini(&r);
}

/* Promise: a segment whose directory is lost while a question to a peer is under way stays, failed, until that is
 * answered. */
static void a_question_under_way_keeps_a_lost_segment(void **state)
{
    (void)state;
    struct hx_rig r;
    hx_rig_init(&r, 2, 1u << 20, 2, 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(hx_rig_format(&r, i, 1), 0);
    size_t n = hx_rig_run(&r, 1, 1, 0, 1, 3, 0);
    assert_int_equal(hx_rig_append(&r, 1, 1, 0, 0, r.frame, n, NULL), 0);
    struct hx_seg *s = segment(&r, 0, 1);
    const struct hx_server *m = hx_gossip_member(r.node[0], s, 1);
    struct hx_buf none = {0};
    assert_int_equal(hx_gossip_post(r.node[0], m, hx_gossip_call(s, HX_MSG_HISTORY), 1, &none), 0);
    uint64_t call = r.node[0]->next_call;
    hx_mem_fail(r.farm[0], HX_MEM_WRITE, 1, HX_E_IO, false);
    assert_int_equal(hx_rig_fence(&r, 0, 1, 2, 1, NULL), HX_E_POISONED);
    lose_everything(&r, 0, 1);
    hx_node_tick(r.node[0], r.now_ms += 1);
    assert_ptr_equal(segment(&r, 0, 1), s);
    assert_int_equal(s->error, HX_E_POISONED);
    hx_node_answer(r.node[0], r.now_ms, call, HX_E_CONNECT, (struct hx_bytes){NULL, 0});
    hx_node_tick(r.node[0], r.now_ms += 60000);
    assert_null(segment(&r, 0, 1));
    hx_rig_fini(&r);
}

/* ---- when it is tried ---- */
static void fail_once(struct hx_rig *r, uint32_t pg)
{
    static uint64_t epoch = 10;
    hx_mem_fail(r->farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
    assert_int_equal(hx_rig_fence(r, 0, pg, ++epoch, 1, NULL), HX_E_POISONED);
}

/* Promise: one that fails again within a minute is tried after a pause, for its disk is not well; after a calm minute
 * at once. */
static void the_second_failure_waits(void **state)
{
    (void)state;
    for (unsigned calm = 0; calm < 2; calm++) {
        struct hx_rig r;
        hx_model_start(&r, 0);
        fail_once(&r, 1);
        hx_node_tick(r.node[0], r.now_ms += 1);
        assert_int_equal(segment(&r, 0, 1)->error, 0);
        r.now_ms += calm ? 60000 : 59000;
        fail_once(&r, 1);
        hx_node_tick(r.node[0], r.now_ms += 1);
        assert_int_equal(segment(&r, 0, 1)->error, calm ? 0 : HX_E_POISONED);
        hx_node_tick(r.node[0], r.now_ms += 500);
        assert_int_equal(segment(&r, 0, 1)->error, 0);
        hx_rig_fini(&r);
    }
}

/* Promise: of several that failed one is read in a tick, for that may take long; then the next. */
static void one_at_a_time(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_node_stats st;
    hx_rig_init(&r, 1, 1u << 20, 3, 0);
    for (uint32_t pg = 0; pg < 3; pg++)
        assert_int_equal(hx_rig_format(&r, 0, pg), 0);
    for (uint32_t pg = 0; pg < 3; pg++)
        fail_once(&r, pg);
    for (unsigned k = 1; k <= 3; k++) {
        if (k == 2) /* gossip is due before the third one's turn */
            r.node[0]->volumes[0]->gossip_ms = r.now_ms + 6;
        uint64_t wait = hx_node_tick(r.node[0], r.now_ms += 1);
        hx_node_stats(r.node[0], &st);
        assert_int_equal(st.revived, k);
        assert_true(k == 3 || wait <= 20);
        assert_true(k != 2 || wait <= 5);
    }
    hx_rig_fini(&r);
}

/* Promise: what a second look does not change is not looked at again: another server's directory, a newer format, both
 * slots damaged. */
static void some_errors_do_not_pass(void **state)
{
    (void)state;
    static const int why[] = {HX_E_CORRUPT, HX_E_STRANGER, HX_E_VERSION};
    for (size_t i = 0; i < HX_ARRAY_LEN(why); i++) {
        struct hx_rig r;
        struct hx_node_stats st;
        hx_model_start(&r, 0);
        struct hx_seg *s = segment(&r, 0, 1);
        hx_seg_poison(s, why[i]);
        for (unsigned k = 0; k < 20; k++)
            hx_node_tick(r.node[0], r.now_ms += 5000);
        assert_int_equal(s->error, why[i]);
        hx_node_stats(r.node[0], &st);
        assert_int_equal(st.revived, 0);
        assert_int_equal(s->revive.tries, 0);
        hx_rig_fini(&r);
    }
}

/* Promise: a revival that meets an error itself is one that did not come about: nothing counts, and it is tried again.
 * Method: each read, write, flush and removal of it fails once. */
static void a_revival_that_fails_is_repeated(void **state)
{
    (void)state;
    static const struct {
        unsigned op;
        int err;
    } faults[] = {{0, HX_E_IO},
                  {0, HX_E_NOMEM},
                  {HX_MEM_WRITE, HX_E_IO},
                  {HX_MEM_FLUSH, HX_E_IO},
                  {HX_MEM_REMOVE, HX_E_IO}};
    for (size_t f = 0; f < HX_ARRAY_LEN(faults); f++) {
        bool came = true;
        for (uint64_t k = 1; came; k++) {
            struct hx_rig r;
            struct hx_model m;
            struct hx_segment_status s;
            hx_model_init(&m, 5);
            hx_model_start(&r, 16u << 10);
            for (unsigned i = 0; i < 8; i++)
                assert_int_equal(hx_model_step(&r, &m), 0);
            hx_mem_fail_drops(r.farm[0]);
            if (faults[f].op == HX_MEM_REMOVE) { /* the flush of a sidecar */
                for (unsigned i = 0; i < 40 && !segment(&r, 0, 1)->suspect.side; i++) {
                    assert_int_equal(hx_model_step(&r, &m), 0);
                    hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
                    hx_space_work(segment(&r, 0, 1), r.now_ms);
                    hx_mem_fail(r.farm[0], 0, 0, 0, false);
                }
                assert_int_not_equal(segment(&r, 0, 1)->suspect.side, 0);
            } else {
                hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
                size_t n = hx_model_frame(&r, &m, 60);
                assert_int_equal(hx_rig_append(&r, 0, 1, m.vdl, m.floor, r.frame, n, NULL), HX_E_POISONED);
            }
            if (faults[f].op)
                hx_mem_fail(r.farm[0], faults[f].op, k, faults[f].err, false);
            else
                hx_mem_fail_read(r.farm[0], k, faults[f].err);
            uint64_t calls = hx_mem_calls(r.farm[0]);
            hx_revive_tick(r.node[0]);
            int err = segment(&r, 0, 1)->error;
            came = faults[f].op ? err != 0 : hx_mem_read_failed(r.farm[0]);
            assert_true(err == 0 || err == HX_E_POISONED || (err == faults[f].err && err != HX_E_IO));
            assert_true(faults[f].err == HX_E_NOMEM || hx_mem_calls(r.farm[0]) >= calls);
            hx_mem_fail(r.farm[0], 0, 0, 0, false);
            hx_mem_fail_read(r.farm[0], 0, 0);
            comes_back(&r, &s);
            assert_true(s.scl.v >= m.acked);
            m.acked = m.last = s.scl.v;
            survives(&r, &m, k);
            hx_model_fini(&m);
            hx_rig_fini(&r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_heals_by_itself),
        cmocka_unit_test(a_promise_that_failed_is_whole_or_not_there),
        cmocka_unit_test(a_disk_that_stays_broken_is_asked_rarely),
        cmocka_unit_test(a_read_only_disk_is_named),
        cmocka_unit_test(power_loss_during_a_revival),
        cmocka_unit_test(a_format_that_failed_can_be_repeated),
        cmocka_unit_test(a_format_without_a_trace_leaves_nothing),
        cmocka_unit_test(a_question_under_way_keeps_a_lost_segment),
        cmocka_unit_test(the_second_failure_waits),
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(some_errors_do_not_pass),
        cmocka_unit_test(a_revival_that_fails_is_repeated),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
