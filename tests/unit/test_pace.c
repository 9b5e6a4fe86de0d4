/*
 * test_pace.c - which segment is scrubbed next, and how fast (pace.c T1, T2).
 *
 * Method: one server with the segments of two groups of a volume and one of another; ticks in virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"
#include "seg_model.h"

#define FILES_MIB 1u

static struct hx_seg *segment(struct hx_rig *r, uint32_t pg)
{
    struct hx_disk_place at = hx_rig_place(r, pg);
    struct hx_seg *s = hx_node_find(r->node[0], &at.volume, at.pg);
    assert_non_null(s);
    return s;
}

/* MIB of images in group PG. */
static void fill(struct hx_rig *r, uint32_t pg, unsigned mib)
{
    static uint8_t image[HX_PAGE_SIZE];
    struct hx_model noise = {.rng = pg + 1};
    for (uint64_t lsn = 1; lsn <= mib * 256; lsn++) {
        for (size_t i = 0; i < sizeof image; i++)
            image[i] = (uint8_t)hx_model_dice(&noise);
        image[sizeof image - 1] |= 1;
        struct hx_rig_rec rec = {lsn, (uint32_t)(lsn % 256), HX_REC_IMAGE, HX_REC_CPL, image, sizeof image};
        size_t n = hx_rig_frame(r, pg, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){0, 0, 0});
        uint8_t b[HX_FRAME_MAX + 100];
        struct hx_append_head h = {.frame_count = 1};
        struct hx_enc e = hx_enc_init(b, sizeof b);
        hx_append_head_encode(&h, &e);
        hx_enc_bytes(&e, r->frame, n);
        struct hx_rig_ask q = {.type = HX_MSG_APPEND, .pg = pg, .conn = 1, .body = {b, e.len}};
        assert_int_equal(hx_rig_call(r, 0, &q, NULL), 0);
    }
    assert_int_equal(segment(r, pg)->chain.scl, mib * 256);
}

static void start(struct hx_rig *r, uint32_t cycle_s)
{
    hx_rig_init(r, 1, 1u << 20, 2, 256u << 10);
    hx_rig_stop(r, 0);
    r->scrub_cycle_s = cycle_s;
    r->scrub_bytes_per_s = 1u << 20;
    assert_int_equal(hx_rig_start(r, 0), 0);
    for (uint32_t pg = 0; pg < 2; pg++) {
        assert_int_equal(hx_rig_format(r, 0, pg), 0);
        fill(r, pg, FILES_MIB);
    }
}

/* Of the bytes of both, which have been read since the start. */
static uint64_t read_of(struct hx_rig *r, uint32_t pg)
{
    const struct hx_seg_scrub *c = &segment(r, pg)->scrub;
    return c->done + c->pos;
}

/* Promise: the segment with the fewest cycles behind it goes next. */
static void the_one_with_fewest_cycles_goes_next(void **state)
{
    (void)state;
    for (uint32_t behind = 0; behind < 2; behind++) {
        struct hx_rig r;
        start(&r, 5);
        for (uint32_t pg = 0; pg < 2; pg++) {
            hx_scrub_load(segment(&r, pg));
            segment(&r, pg)->scrub.cycles = pg == behind ? 3 : 4;
        }
        for (unsigned i = 0; i < 20 && !read_of(&r, behind); i++)
            hx_node_tick(r.node[0], r.now_ms += 100);
        assert_true(read_of(&r, behind) > 0);
        assert_int_equal(read_of(&r, 1 - behind), 0);
        hx_rig_fini(&r);
    }
}

/* Promise: what was asked for on demand goes before what is due by itself, also when that has had fewer cycles. */
static void demand_goes_first(void **state)
{
    (void)state;
    for (uint32_t asked = 0; asked < 2; asked++) {
        struct hx_rig r;
        start(&r, 5);
        for (uint32_t pg = 0; pg < 2; pg++) {
            hx_scrub_load(segment(&r, pg));
            segment(&r, pg)->scrub.cycles = pg == asked ? 7 : 4;
        }
        hx_scrub_ask(segment(&r, asked));
        for (unsigned i = 0; i < 20 && !read_of(&r, asked); i++)
            hx_node_tick(r.node[0], r.now_ms += 100);
        assert_true(read_of(&r, asked) > 0);
        assert_int_equal(read_of(&r, 1 - asked), 0);
        hx_rig_fini(&r);
    }
}

/* Promise: of two that were asked for, too, the one with fewer cycles behind it goes first. */
static void of_two_on_demand_the_one_behind_goes_first(void **state)
{
    (void)state;
    for (uint32_t behind = 0; behind < 2; behind++) {
        struct hx_rig r;
        start(&r, 0);
        for (uint32_t pg = 0; pg < 2; pg++) {
            hx_scrub_load(segment(&r, pg));
            segment(&r, pg)->scrub.cycles = pg == behind ? 3 : 4;
            hx_scrub_ask(segment(&r, pg));
        }
        for (unsigned i = 0; i < 20 && !read_of(&r, behind); i++)
            hx_node_tick(r.node[0], r.now_ms += 100);
        assert_true(read_of(&r, behind) > 0);
        assert_int_equal(read_of(&r, 1 - behind), 0);
        hx_rig_fini(&r);
    }
}

/* Promise: on demand means the segments of that volume, all for none in particular, and none that has failed. */
static void demand_is_of_a_volume(void **state)
{
    (void)state;
    static const struct hx_uuid any = {{0}};
    struct hx_uuid other = hx_rig_uuid(501);
    struct hx_rig r;
    start(&r, 0);
    hx_pace_ask(r.node[0], &other);
    assert_true(segment(&r, 0)->scrub.asked == 0 && segment(&r, 1)->scrub.asked == 0);
    hx_seg_poison(segment(&r, 0), HX_E_CORRUPT);
    hx_pace_ask(r.node[0], &any);
    assert_true(segment(&r, 0)->scrub.asked == 0 && segment(&r, 1)->scrub.asked == 1);
    hx_pace_ask(r.node[0], &r.geometry.volume);
    assert_true(segment(&r, 0)->scrub.asked == 0 && segment(&r, 1)->scrub.asked == 1);
    hx_rig_fini(&r);
}

/* Promise: a segment that fails while it is compared is no reason to be woken soon. */
static void one_that_failed_is_not_waited_for(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r, 0);
    struct hx_seg *s = segment(&r, 0);
    hx_scrub_load(s);
    s->scrub.comparing = s->scrub.under_way = true;
    s->scrub.wait_ms = UINT64_MAX;
    assert_true(hx_pace_tick(r.node[0]) < 1000);
    hx_seg_poison(s, HX_E_CORRUPT);
    assert_true(hx_pace_tick(r.node[0]) >= 1000);
    hx_rig_fini(&r);
}

/* Promise: while requests come in, what was asked for goes at a quarter of the limit. */
static void requests_slow_it_down(void **state)
{
    (void)state;
    uint64_t ms[2] = {0};
    for (unsigned busy = 0; busy < 2; busy++) {
        struct hx_rig r;
        struct hx_segment_status s;
        start(&r, 0);
        hx_rig_step(&r, 100);
        hx_scrub_ask(segment(&r, 0));
        for (; !segment(&r, 0)->scrub.comparing && ms[busy] < 60000; ms[busy] += 50) {
            if (busy)
                assert_int_equal(hx_rig_status(&r, 0, 0, &s), 0);
            hx_node_tick(r.node[0], r.now_ms += 50);
        }
        hx_rig_fini(&r);
    }
    assert_in_range(ms[1], 3 * ms[0], 5 * ms[0]);
}

/* Promise: where the disk takes hints, what a scrub reads next is named before, in the step before or a step that does
 * nothing else; an empty segment has nothing to name, and its cycle ends, too. */
static void what_is_read_next_is_named_before(void **state)
{
    (void)state;
    for (unsigned full = 0; full < 2; full++) {
        struct hx_rig r;
        uint64_t reads;
        hx_rig_init(&r, 1, 1u << 20, 2, 256u << 10);
        hx_mem_hints(r.farm[0]);
        assert_int_equal(hx_rig_format(&r, 0, 0), 0);
        if (full)
            fill(&r, 0, FILES_MIB);
        hx_rig_step(&r, 1000);
        struct hx_seg *s = segment(&r, 0);
        hx_pace_ask(r.node[0], &r.geometry.volume);
        uint64_t was = hx_mem_read_bytes(r.farm[0], &reads), hinted = hx_mem_hinted_bytes(r.farm[0]);
        for (unsigned i = 0; i < 1000 && !s->scrub.comparing && !s->scrub.cycles; i++)
            hx_node_tick(r.node[0], r.now_ms += 100);
        assert_true(s->scrub.comparing || s->scrub.cycles);
        was = hx_mem_read_bytes(r.farm[0], &reads) - was;
        hinted = hx_mem_hinted_bytes(r.farm[0]) - hinted;
        assert_true(was >= full * FILES_MIB << 20);
        assert_true(was - hinted <= was / 10);
        hx_rig_fini(&r);
    }
}

/* Promise: what waits for a flush has to be on the disk before a scrub looks; of a disk that fails nothing is read. */
static void a_flush_that_fails_ends_the_turn(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r, 5);
    struct hx_seg *s = segment(&r, 0);
    struct hx_local o = {.s = s};
    hx_scrub_load(s);
    hx_scrub_load(segment(&r, 1));
    segment(&r, 1)->scrub.cycles = 9;
    assert_int_equal(hx_local_add(&o, 1, 7, HX_REC_ZERO, NULL, 0), 0);
    assert_int_equal(hx_local_close(&o), 0);
    assert_true(s->log.batch.len > 0);
    hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
    r.node[0]->now_ms += 1000;
    hx_pace_tick(r.node[0]);
    assert_int_equal(s->error, HX_E_POISONED);
    assert_int_equal(read_of(&r, 0), 0);
    assert_int_equal(read_of(&r, 1), 0);
    hx_rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_one_with_fewest_cycles_goes_next),
        cmocka_unit_test(demand_goes_first),
        cmocka_unit_test(of_two_on_demand_the_one_behind_goes_first),
        cmocka_unit_test(demand_is_of_a_volume),
        cmocka_unit_test(one_that_failed_is_not_waited_for),
        cmocka_unit_test(requests_slow_it_down),
        cmocka_unit_test(what_is_read_next_is_named_before),
        cmocka_unit_test(a_flush_that_fails_ends_the_turn),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
