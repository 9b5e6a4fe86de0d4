/*
 * test_beside.c - flushes that go on beside other work, and files that are discarded (hexad/disk.h): sidecars and
 * checkpoints count only when their flush has ended, and whatever a crash brings back does no harm.
 * Method: one server over a disk in memory where such a flush takes several ticks and no flush makes a removal of a
 * discarded file durable; the model of seg_model.h says what every page should be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"
#include "seg_model.h"

#include <stdio.h>

#define FILE_BYTES (16u << 10)
#define CALLS 3u

static struct hx_seg *segment(struct hx_rig *r)
{
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    return hx_node_find(r->node[0], &at.volume, at.pg);
}

static void start(struct hx_rig *r, struct hx_model *m, uint64_t seed)
{
    hx_model_start(r, FILE_BYTES);
    hx_mem_beside(r->farm[0], CALLS);
    hx_model_restart(r);
    hx_model_init(m, seed);
}

static void end(struct hx_rig *r, struct hx_model *m)
{
    hx_rig_fini(r);
    hx_model_fini(m);
}

static bool room(const struct hx_model *m)
{
    return m->last + 64 < HX_MODEL_LSNS;
}

struct seen {
    unsigned siding, flushing, both, discarded;
};

/* What is under way now; a file that waits for its sidecar's flush has its list in memory, and is there. */
static void look(struct hx_rig *r, struct seen *seen)
{
    const struct hx_seg *s = segment(r);
    bool siding = false;
    for (size_t i = 0; i < s->log.slot_count; i++) {
        const struct hx_logfile *f = s->log.files[i];
        if (!f || !f->siding)
            continue;
        assert_false(f->sided);
        assert_true(f->side.len > 0);
        siding = true;
    }
    seen->siding += siding;
    seen->flushing += s->ckpt.flushing;
    seen->both += siding && s->ckpt.flushing;
}

/* Promise: nothing that was acknowledged is lost, and nothing old is read, wherever power goes while flushes go on
 * beside, though every file that was discarded since the start may be back.  Method: power off at the K-th call. */
static void power_may_go_at_any_call(void **state)
{
    (void)state;
    struct seen seen = {0};
    unsigned back = 0;
    for (uint64_t k = 20; k < 1500; k += 7) {
        struct hx_model m;
        struct hx_rig r;
        start(&r, &m, 11);
        hx_mem_power_off_at(r.farm[0], k);
        for (unsigned i = 0; room(&m) && !hx_mem_is_off(r.farm[0]); i++) {
            hx_model_step(&r, &m);
            if (i % 2 == 0)
                hx_rig_step(&r, 20);
            if (!hx_mem_is_off(r.farm[0]))
                look(&r, &seen);
        }
        size_t before = hx_mem_is_off(r.farm[0]) ? segment(&r)->log.slot_count : 0, files = 0;
        for (size_t i = 0; i < before; i++)
            files += segment(&r)->log.files[i] != NULL;
        hx_rig_stop(&r, 0);
        hx_mem_crash(r.farm[0], k);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_true(segment(&r)->chain.scl >= m.acked);
        assert_int_equal(segment(&r)->unknown_count, 0); /* a disk that keeps its word is never taken for a bad one */
        back += segment(&r)->log.slot_count > files;
        hx_model_check(&r, &m, 10);
        end(&r, &m);
    }
    printf("# %u ticks with a sidecar under way, %u with a checkpoint, %u with both; files came back %u times\n",
           seen.siding, seen.flushing, seen.both, back);
    assert_true(seen.siding > 50 && seen.flushing > 50 && back > 20);
}

/* Promise: work goes on, with the power on: every closed file gets its sidecar, checkpoints are made, files go. */
static void work_goes_on(void **state)
{
    (void)state;
    struct hx_model m;
    struct hx_rig r;
    struct seen seen = {0};
    start(&r, &m, 5);
    for (unsigned i = 0; room(&m); i++) {
        assert_int_equal(hx_model_step(&r, &m), 0);
        hx_rig_step(&r, 20);
        look(&r, &seen);
    }
    const struct hx_seg *s = segment(&r);
    for (unsigned i = 0; i < 100; i++)
        hx_rig_step(&r, 100);
    assert_true(s->ckpt.good > 2 && !s->ckpt.flushing && !s->beside);
    for (size_t i = 0; i < s->log.slot_count; i++)
        assert_true(!s->log.files[i] || s->log.tail == i || s->log.files[i]->sided);
    struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
    size_t len;
    assert_null(hx_mem_file(r.farm[0], &at, HX_LOG_FIRST_ID, &len));
    hx_model_restart(&r);
    hx_model_check(&r, &m, 20);
    end(&r, &m);
}

/* Promise: a flush beside that fails is one that failed: the segment reads what is there before it serves again, the
 * sidecar does not count, and no file goes on the strength of it; a checkpoint is given up, nothing else. */
static void a_flush_that_fails_counts_for_nothing(void **state)
{
    (void)state;
    unsigned poisoned = 0, given_up = 0;
    for (unsigned side = 0; side < 2; side++) {
        struct hx_model m;
        struct hx_rig r;
        start(&r, &m, 3);
        for (unsigned i = 0; room(&m); i++) {
            assert_int_equal(hx_model_step(&r, &m), 0);
            const struct hx_seg *s = segment(&r);
            hx_rig_step(&r, 20);
            bool is_side = s->beside >= HX_LOG_SIDE_BIT;
            bool enough = poisoned + given_up > 3 * (side + 1);
            if (!s->beside || is_side != side || s->log.batch.len || s->meta_dirty || enough)
                continue;
            uint64_t file = s->beside, revived = r.node[0]->stats.revived;
            while (s->beside == file && !s->error) { /* until it ends, by a failure: nothing else is flushed */
                hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
                hx_rig_step(&r, 20);
            }
            hx_mem_fail(r.farm[0], 0, 0, 0, false);
            bool stopped = s->error == HX_E_POISONED || r.node[0]->stats.revived > revived;
            assert_true(stopped || !side);
            poisoned += side && stopped;
            given_up += !side && !s->ckpt.flushing;
            for (unsigned k = 0; k < 50 && s->error; k++)
                hx_rig_step(&r, 500);
            assert_int_equal(s->error, 0);
            hx_model_check(&r, &m, 5);
        }
        hx_model_restart(&r);
        hx_model_check(&r, &m, 20);
        end(&r, &m);
    }
    assert_true(poisoned >= 2 && given_up >= 2);
}

/* Promise: nobody waits for the flush of a checkpoint that was given up meanwhile (here: the disk was full for a
 * moment): the next one and the sidecars get their turns. */
static void a_flush_whose_file_was_given_up_is_forgotten(void **state)
{
    (void)state;
    struct hx_model m;
    struct hx_rig r;
    unsigned given_up = 0;
    start(&r, &m, 7);
    for (unsigned i = 0; room(&m); i++) {
        assert_int_equal(hx_model_step(&r, &m), 0);
        struct hx_seg *s = segment(&r);
        hx_rig_step(&r, 20);
        if (!s->ckpt.flushing || !s->beside || given_up == 3)
            continue;
        s->nospace = true;
        hx_ckpt_work(s);
        s->nospace = false;
        assert_false(s->ckpt.active);
        given_up++;
        uint64_t good = s->ckpt.good;
        for (unsigned k = 0; k < 40; k++)
            hx_rig_step(&r, 50);
        for (size_t f = 0; f < s->log.slot_count; f++)
            assert_true(!s->log.files[f] || s->log.tail == f || s->log.files[f]->sided);
        while (room(&m) && s->ckpt.good == good) {
            assert_int_equal(hx_model_step(&r, &m), 0);
            hx_rig_step(&r, 20);
        }
        assert_true(s->ckpt.good > good);
    }
    assert_true(given_up >= 2);
    hx_model_restart(&r);
    hx_model_check(&r, &m, 20);
    end(&r, &m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_may_go_at_any_call),
        cmocka_unit_test(work_goes_on),
        cmocka_unit_test(a_flush_that_fails_counts_for_nothing),
        cmocka_unit_test(a_flush_whose_file_was_given_up_is_forgotten),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("beside", tests, NULL, NULL);
}
