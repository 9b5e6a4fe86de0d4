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
    ALLOC_FAULTS(hx_rig_learn(&r, LEARNER, PG); for (unsigned i = 0; i < 25; i++) hx_rig_step(&r, 50));
    members(&r, 21, 40, 30); /* images, and so a later point; the learner hears of some, with a hole before */
    for (uint64_t lsn = 25; lsn <= 27 && r.node[LEARNER]; lsn++) {
        size_t n = hx_rig_run(&r, PG, 1, lsn - 1, lsn, 1, 0);
        (void)hx_rig_append(&r, LEARNER, 1, 0, 0, r.frame, n, NULL); /* it may have failed, or not be there */
    }
    ALLOC_FAULTS(for (unsigned i = 0; i < 10; i++) hx_rig_step(&r, 50));
    lift();
    for (unsigned i = 0; i <= LEARNER; i++)
        if (!r.node[i])
            assert_int_equal(hx_rig_start(&r, i), 0);
    if (!segment(&r, LEARNER))
        assert_int_equal(hx_rig_learn(&r, LEARNER, PG), 0);
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
    assert_int_equal(hx_rig_learn(&r, LEARNER, PG), 0);
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

#define NOISE (6 * HX_FILL_RANGE) /* two ranges of it, which are asked for at once: before them is nothing */
#define NOISE_PAGES (2 * HX_FILL_RANGE)
#define BUNCH 32u

/* Noise in a bunch of pages, record LSN and on, for servers FROM to TO. */
static void put_noise(struct hx_rig *r, uint64_t lsn, uint64_t vdl, unsigned from, unsigned to)
{
    static uint8_t noise[BUNCH][HX_PAGE_SIZE];
    struct hx_rig_rec recs[BUNCH];
    uint64_t x = lsn;
    for (unsigned i = 0; i < BUNCH; i++) {
        for (size_t k = 0; k < HX_PAGE_SIZE; k += 8) {
            x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
            hx_put_u64(noise[i] + k, x | 1);
        }
        recs[i] = (struct hx_rig_rec){lsn + i, (uint32_t)(NOISE + lsn - 1 + i), HX_REC_IMAGE, HX_REC_CPL, noise[i],
                                      HX_PAGE_SIZE};
    }
    size_t n = hx_rig_frame(r, PG, 1, lsn - 1, recs, BUNCH, (struct hx_rig_marks){0});
    for (unsigned i = from; i < to; i++)
        assert_int_equal(hx_rig_append(r, i, 1, vdl, 0, r->frame, n, NULL), 0);
}

/* An answer that is too much for one frame; the learner hears of some of it as a member does, too. */
static void put(uint64_t k, bool always)
{
    struct hx_rig r;
    (void)k;
    (void)always;
    hx_rig_init(&r, HX_COPIES + 1, 4u << 20, 2, 1u << 20);
    for (unsigned i = 0; i < HX_COPIES; i++)
        r.cut[i] = i >= 2;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(hx_rig_format(&r, i, PG), 0);
    for (uint64_t lsn = 1; lsn <= NOISE_PAGES; lsn += BUNCH)
        put_noise(&r, lsn, lsn + BUNCH - 1, 0, 2);
    assert_int_equal(hx_rig_learn(&r, LEARNER, PG), 0);
    put_noise(&r, 1 + BUNCH, 0, LEARNER, LEARNER + 1);
    ALLOC_FAULTS(for (unsigned i = 0; i < 3; i++) hx_rig_step(&r, 50));
    lift();
    for (unsigned i = 0; i < 600 && (segment(&r, LEARNER)->error || segment(&r, LEARNER)->filling); i++)
        hx_rig_step(&r, 200);
    assert_int_equal(segment(&r, LEARNER)->error, 0);
    assert_int_equal(segment(&r, LEARNER)->chain.scl, NOISE_PAGES);
    for (uint32_t page = NOISE - 1; page <= NOISE + NOISE_PAGES; page++) {
        uint8_t own[HX_PAGE_SIZE], theirs[HX_PAGE_SIZE];
        assert_int_equal(hx_rig_read(&r, LEARNER, PG, 1, NOISE_PAGES, page, own, NULL), 0);
        assert_int_equal(hx_rig_read(&r, 0, PG, 1, NOISE_PAGES, page, theirs, NULL), 0);
        assert_memory_equal(own, theirs, HX_PAGE_SIZE);
    }
    hx_rig_fini(&r);
}

/* Promise: pages that were put by half are asked for again. */
static void pages_that_find_no_memory_come_again(void **state)
{
    (void)state;
    for_each(put);
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
        cmocka_unit_test(pages_that_find_no_memory_come_again),
        cmocka_unit_test(a_restart_without_memory_goes_on_later),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("nomem_hydrate", tests, NULL, NULL);
}
