/*
 * test_nomem.c - a segment server whose k-th allocation fails, once or from then on, for every k.
 *
 * Method (alloc_fault.h): a script of requests, gossip, background work and restarts runs once for each k, until it has
 * fewer than k allocations.  Whatever fails, nothing may crash or leak (the sanitizers watch), every refusal says
 * NOMEM, or there is no answer where not even that could be made (out.c); and when memory is back, all that was
 * acknowledged is there and the rest of the script runs as if nothing had been.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "nomem_kit.h"
#include "seg_model.h"

#include <stdlib.h>

/* ---- a segment's life ---- */
/* The frame in r->frame as the model's newest. */
static int append(struct hx_rig *r, const struct hx_model *m, size_t n)
{
    int err;
    ALLOC_FAULTS(err = hx_rig_append(r, 0, 1, m->vdl, m->floor, r->frame, n, NULL));
    return err;
}

static void work(struct hx_rig *r, struct hx_model *m, unsigned steps, uint64_t k)
{
    for (unsigned i = 0; i < steps; i++) {
        size_t n = hx_model_frame(r, m, 1 + i % 5 * 3);
        int err = append(r, m, n);
        if (err) {
            assert_nomem(err, "append", k);
            relieve(r, 0);
            assert_int_equal(append(r, m, n), 0); /* as a writer would: the same bytes again */
        }
        m->acked = m->last;
        m->vdl = m->acked - i % 2;
        if (i % 4 == 3)
            m->floor = m->vdl - 2;
        if (i % 3 == 2)
            ALLOC_FAULTS(hx_rig_step(r, 60));
    }
}

static void life(uint64_t k, bool always)
{
    struct hx_rig r;
    struct hx_model m;
    (void)always;
    hx_model_init(&m, 3);
    hx_model_start(&r, 16u << 10);
    work(&r, &m, 14, k);
    ALLOC_FAULTS(hx_rig_step(&r, 60); hx_rig_step(&r, 60));
    relieve(&r, 0);
    hx_model_check(&r, &m, 4);
    work(&r, &m, 4, k);
    hx_model_restart(&r);
    hx_model_check(&r, &m, 4);
    hx_model_fini(&m);
    hx_rig_fini(&r);
}

/* Promise: what was acknowledged before, while and after memory was short is there; appends go on with the
 * same bytes when it is back.  Method: random records against the model, log files of 16 KiB, so that closing,
 * sidecars, materialisation and compaction meet the fault, too. */
static void nothing_acknowledged_is_lost_when_memory_runs_out(void **state)
{
    (void)state;
    for_each(life);
}

/* ---- a restart ---- */
static void restart(uint64_t k, bool always)
{
    struct hx_rig r;
    struct hx_model m;
    (void)always;
    hx_model_init(&m, 5);
    hx_model_start(&r, 16u << 10);
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(hx_model_step(&r, &m), 0);
    size_t len;
    struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
    hx_rig_stop(&r, 0);
    uint8_t *side = hx_mem_file(r.farm[0], &at, (UINT64_C(1) << 32) + 16, &len);
    if (side && k % 2)
        hx_mem_remove_file(r.farm[0], &at, (UINT64_C(1) << 32) + 16); /* so that a log file is scanned */
    int err;
    ALLOC_FAULTS(err = hx_rig_start(&r, 0));
    if (err) {
        assert_nomem(err, "start", k);
        r.node[0] = NULL;
    } else {
        struct hx_segment_status s;
        err = hx_rig_status(&r, 0, HX_MODEL_PG, &s);
        if (err == 0 && s.state != 0)
            assert_nomem(s.state, "the segment's state", k);
    }
    relieve(&r, 0);
    hx_model_check(&r, &m, 6);
    assert_int_equal(hx_model_step(&r, &m), 0);
    hx_model_check(&r, &m, 0);
    hx_model_fini(&m);
    hx_rig_fini(&r);
}

/* Promise: a start without memory fails, or leaves a segment that says NOMEM; nothing is taken for damage, and the
 * next start has everything. */
static void a_start_without_memory_loses_nothing(void **state)
{
    (void)state;
    for_each(restart);
}

/* ---- every verb, and gossip ---- */
static void run_asks(struct hx_rig *r, uint64_t k)
{
    static const struct {
        unsigned type, role;
        const char *body;
        size_t len;
    } asks[] = {
        {HX_MSG_HELLO, HX_NODE_ROLE_WRITER, NULL, 0},
        {HX_MSG_LOOKUP, HX_NODE_ROLE_WRITER, "\4\0vol0", 6},
        {HX_MSG_STATUS, HX_NODE_ROLE_ADMIN, NULL, 0},
        {HX_MSG_HISTORY, HX_NODE_ROLE_SEGMENT, NULL, 0},
        {HX_MSG_GOSSIP, HX_NODE_ROLE_SEGMENT, "\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\20\0\0\0\0\0\0\0", 24},
        {HX_MSG_READ, HX_NODE_ROLE_WRITER, "\4\0\0\0\0\0\0\0\2\0\0\0\1\0\0\0\2\0\0\0", 20},
        {HX_MSG_FETCH, HX_NODE_ROLE_SEGMENT, "\0\0\0\0\0\0\0\0\20\0\0\0\0\0\0\0\0\20\0\0\0", 21},
    };
    for (size_t i = 0; i < HX_ARRAY_LEN(asks); i++) {
        int err = hx_rig_call(r, 0,
                              &(struct hx_rig_ask){.type = asks[i].type, .role = asks[i].role, .name = "a2",
                                                   .body = {(const uint8_t *)asks[i].body, asks[i].len}},
                              NULL);
        if (err)
            assert_nomem(err, hx_msg_type_name(asks[i].type), k);
    }
}

static void talk(struct hx_rig *r, uint64_t k)
{
    static const char fetch[] = "\0\0\0\0\0\0\0\0\20\0\0\0\0\0\0\0\0\20\0\0\1"; /* (0, 16], raw */
    uint64_t scl, top;
    struct hx_inventory v = {0};
    struct hx_history h = {0};
    bool was = alloc_fault_suspend();
    assert_int_equal(hx_history_push(&h, (struct hx_history_entry){{1}, {0}, {0}, HX_RIG_LAL}), 0);
    assert_int_equal(hx_history_push(&h, (struct hx_history_entry){{2}, {8}, {1008}, HX_RIG_LAL}), 0);
    alloc_fault_resume(was);
    int err[6] = {0};
    run_asks(r, k);
    for (unsigned i = 0; i < 6; i++)
        hx_rig_step(r, 120); /* server 1 catches up from server 0 */
    err[0] = hx_rig_fence(r, 0, 0, 2, 900, &v);
    if (!err[0])
        hx_inventory_fini(&v);
    err[1] = hx_rig_call(r, 0,
                         &(struct hx_rig_ask){.type = HX_MSG_FETCH, .epoch = 2,
                                              .body = {(const uint8_t *)fetch, 21}},
                         NULL);
    size_t n = hx_rig_run(r, 0, 1, 0, 1, 8, 0);
    err[2] = hx_rig_repair(r, 0, 0, 2, &h, r->frame, n, &scl);
    err[3] = hx_rig_adopt(r, 0, 0, 2, &h, &top, &scl);
    n = hx_rig_run(r, 0, 2, 8, 1009, 2, 8);
    err[4] = hx_rig_append(r, 0, 2, 8, 0, r->frame, n, &scl);
    for (unsigned i = 0; i < HX_ARRAY_LEN(err); i++)
        if (err[i] && err[i] != HX_E_FENCED && err[i] != HX_E_NEED_HISTORY) /* a step before it had failed */
            assert_nomem(err[i], "a step of an opening", k);
    hx_history_fini(&h);
}

static void verbs(uint64_t k, bool always)
{
    struct hx_rig r;
    (void)always;
    hx_rig_init(&r, 2, 1u << 20, 1, 16u << 10);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(hx_rig_format(&r, i, 0), 0);
    size_t n = hx_rig_run(&r, 0, 1, 0, 1, 8, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
    ALLOC_FAULTS(talk(&r, k));
    struct hx_read_page p;
    uint8_t data[HX_PAGE_SIZE];
    relieve(&r, 0);
    relieve(&r, 1);
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(&r, 0, 0, &s), 0);
    assert_true(s.scl.v >= 8);
    int err = hx_rig_read(&r, 0, 0, s.top.v, 8, 3, data, &p);
    assert_int_equal(err, s.promised.v > s.top.v ? HX_E_FENCED : 0);
    if (err == 0)
        assert_int_equal(p.lsn.v, 3);
    hx_rig_fini(&r);
}

/* Promise: every kind of request, gossip and an opening's steps are refused with NOMEM, or not answered; none of
 * them makes the server say anything else, or forget. */
static void every_verb_without_memory_says_so(void **state)
{
    (void)state;
    for_each(verbs);
}

/* ---- the first FORMAT ---- */
static void format(uint64_t k, bool always)
{
    struct hx_rig r;
    (void)always;
    hx_rig_init(&r, 1, 1u << 20, 2, 0);
    int err;
    ALLOC_FAULTS(err = hx_rig_format(&r, 0, 1));
    if (err) {
        assert_nomem(err, "FORMAT", k);
        relieve(&r, 0);
        assert_int_equal(hx_rig_format(&r, 0, 1), 0);
    }
    relieve(&r, 0);
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(&r, 0, 1, &s), 0);
    assert_int_equal(s.top.v, 1);
    hx_rig_fini(&r);
}

/* Promise: a segment that could not be made for want of memory can be made afterwards. */
static void format_without_memory_can_be_repeated(void **state)
{
    (void)state;
    for_each(format);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_without_memory_can_be_repeated),
        cmocka_unit_test(every_verb_without_memory_says_so),
        cmocka_unit_test(a_start_without_memory_loses_nothing),
        cmocka_unit_test(nothing_acknowledged_is_lost_when_memory_runs_out),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("nomem", tests, NULL, NULL);
}
