/*
 * test_nomem_hydrate.c - a learner is made and filled while its k-th allocation, or a source's, fails, once or from
 * then on, for every k.
 *
 * Method: as test_nomem_store.c; afterwards memory is back, and the learner gets all pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"
#include "nomem_kit.h"

#define PG 1u
#define LEARNER HX_COPIES

static struct hx_seg *segment(struct hx_rig *r, unsigned i)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    return r->node[i] ? hx_node_find(r->node[i], &at.volume, at.pg) : NULL;
}

static int learn(struct hx_rig *r)
{
    uint8_t b[16384];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_geometry_encode(&r->geometry, &e);
    hx_history_encode(&r->history, &e);
    hx_enc_u8(&e, 1);
    return hx_rig_call(r, LEARNER, &(struct hx_rig_ask){.type = HX_MSG_FORMAT, .pg = PG, .body = {b, e.len}}, NULL);
}

static void members(struct hx_rig *r, uint64_t from, uint64_t to, uint64_t floor)
{
    for (uint64_t lsn = from; lsn <= to; lsn++)
        for (unsigned i = 0; i < HX_COPIES; i++) {
            size_t n = hx_rig_run(r, PG, 1, lsn - 1, lsn, 1, lsn - 1);
            assert_int_equal(hx_rig_append(r, i, 1, lsn - 1, floor, r->frame, n, NULL), 0);
        }
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_append(r, i, 1, to, floor, NULL, 0, NULL), 0);
}

static void filled(uint64_t k, bool always)
{
    struct hx_rig r;
    (void)k;
    (void)always;
    hx_rig_init(&r, HX_COPIES + 1, 1u << 20, 2, 16u << 10);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_format(&r, i, PG), 0);
    members(&r, 1, 20, 0);
    for (unsigned i = 2; i < HX_COPIES; i++) /* two sources are enough */
        r.cut[i] = true;
    ALLOC_FAULTS(learn(&r); for (unsigned i = 0; i < 25; i++) hx_rig_step(&r, 50));
    members(&r, 21, 40, 30); /* images, and so a later point */
    ALLOC_FAULTS(for (unsigned i = 0; i < 10; i++) hx_rig_step(&r, 50));
    lift();
    for (unsigned i = 0; i <= LEARNER; i++)
        if (!r.node[i])
            assert_int_equal(hx_rig_start(&r, i), 0);
    if (!segment(&r, LEARNER))
        assert_int_equal(learn(&r), 0);
    for (unsigned i = 0; i < 600 && (segment(&r, LEARNER)->filling || segment(&r, LEARNER)->chain.scl < 40); i++)
        hx_rig_step(&r, 200);
    assert_int_equal(segment(&r, LEARNER)->error, 0);
    assert_false(segment(&r, LEARNER)->filling);
    for (uint64_t lsn = 25; lsn <= 40; lsn++) {
        uint8_t data[HX_PAGE_SIZE];
        struct hx_read_page p;
        assert_int_equal(hx_rig_read(&r, LEARNER, PG, 1, 40, (uint32_t)(lsn % 16), data, &p), 0);
        assert_int_equal(p.state, HX_READ_RAW);
        assert_int_equal(hx_get_u64(data), lsn);
    }
    hx_rig_fini(&r);
}

/* Promise: it takes longer without memory, and ends with all pages. */
static void filling_goes_on_when_memory_is_back(void **state)
{
    (void)state;
    for_each(filled);
}

/* What was saved of it is read again at a start without memory, or not yet. */
static void opened(uint64_t k, bool always)
{
    struct hx_rig r;
    (void)k;
    (void)always;
    hx_rig_init(&r, HX_COPIES + 1, 1u << 20, 2, 16u << 10);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_format(&r, i, PG), 0);
    members(&r, 1, 20, 0);
    r.repair_bytes_per_s = 1000;
    hx_rig_stop(&r, LEARNER);
    assert_int_equal(hx_rig_start(&r, LEARNER), 0);
    assert_int_equal(learn(&r), 0);
    hx_rig_step(&r, 50);
    hx_rig_stop(&r, LEARNER);
    r.repair_bytes_per_s = 0;
    ALLOC_FAULTS(if (!hx_rig_start(&r, LEARNER)) for (unsigned i = 0; i < 3; i++) hx_rig_step(&r, 50));
    lift();
    if (!r.node[LEARNER])
        assert_int_equal(hx_rig_start(&r, LEARNER), 0);
    for (unsigned i = 0; i < 600 && (segment(&r, LEARNER)->error || segment(&r, LEARNER)->filling); i++)
        hx_rig_step(&r, 200);
    assert_int_equal(segment(&r, LEARNER)->error, 0);
    assert_int_equal(segment(&r, LEARNER)->chain.scl, 20);
    hx_rig_fini(&r);
}

static void a_restart_without_memory_goes_on_later(void **state)
{
    (void)state;
    for_each(opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filling_goes_on_when_memory_is_back),
        cmocka_unit_test(a_restart_without_memory_goes_on_later),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("nomem_hydrate", tests, NULL, NULL);
}
