/*
 * test_reuse.c - log files that nobody needs any more become the next ones (src/store/reuse.c).
 *
 * Method: one server writes the same pages again and again, in order, with ticks in between, so that each log file dies
 * as a whole.  Over the simulated disk (src/sim/disk.h), where a file that was renamed has either name after a power
 * loss, with what was written to it since, and where flushes beside take their time; or over disks in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/sim/disk.h"
#include "../../src/store/node_private.h"
#include "node_rig.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGES 48u
#define EACH 4u /* pages of a frame */
#define FILE_BYTES (64u << 10)
#define FRAMES 150u

struct world {
    struct hx_rig r;
    struct hx_sim_disk *disk; /* NULL: in memory */
    uint64_t now_us, last, lsn[PAGES], told; /* of a page; TOLD: all up to here was acknowledged */
    uint32_t next;
    unsigned ready, named; /* rounds that saw such a spare */
};

static const struct hx_seg *seg(const struct world *w)
{
    return w->r.node[0]->segs[0];
}

static void begin(struct world *w, uint64_t seed)
{
    *w = (struct world){.now_us = 1};
    hx_rig_init(&w->r, 1, 4u << 20, 1, FILE_BYTES);
    hx_rig_stop(&w->r, 0);
    if (seed) {
        struct hx_sim_opts o = {.seed = seed};
        o.v[HX_OPT_torn_pct] = 50;
        o.v[HX_OPT_beside_us] = 15000;
        o.v[HX_OPT_discard_pct] = 50;
        w->disk = hx_sim_disk_new(&o, 0);
        assert_non_null(w->disk);
        hx_sim_disk_clock(w->disk, &w->now_us);
        w->r.other[0] = hx_sim_disk_farm(w->disk);
    } else {
        hx_mem_renames(w->r.farm[0]);
    }
    assert_int_equal(hx_rig_start(&w->r, 0), 0);
    (void)hx_rig_format(&w->r, 0, 0);
}

static void end(struct world *w)
{
    hx_rig_fini(&w->r);
    hx_sim_disk_free(w->disk);
}

static void content(uint64_t lsn, uint8_t data[HX_PAGE_SIZE])
{
    uint64_t x = lsn * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (size_t i = 0; i < HX_PAGE_SIZE; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(data + i, &x, 8);
    }
}

/* The next pages; false: they were not acknowledged. */
static bool write_frame(struct world *w)
{
    static uint8_t data[EACH][HX_PAGE_SIZE];
    struct hx_rig_rec recs[EACH];
    for (unsigned i = 0; i < EACH; i++) {
        uint64_t lsn = w->last + 1 + i;
        content(lsn, data[i]);
        recs[i] = (struct hx_rig_rec){lsn, w->next, HX_REC_IMAGE, i + 1 == EACH ? HX_REC_CPL : 0, data[i],
                                      HX_PAGE_SIZE};
        w->lsn[w->next] = lsn;
        w->next = (w->next + 1) % PAGES;
    }
    size_t n = hx_rig_frame(&w->r, 0, 1, w->last, recs, EACH, (struct hx_rig_marks){w->last, w->last, w->last});
    uint64_t was = w->last;
    w->last += EACH;
    bool ok = hx_rig_append(&w->r, 0, 1, was, was, w->r.frame, n, NULL) == 0;
    w->told = ok ? w->last : w->told;
    return ok;
}

static void tick(struct world *w, uint64_t ms)
{
    w->now_us += ms * 1000;
    hx_rig_step(&w->r, ms);
    if (w->r.node[0]->seg_count) {
        w->ready += seg(w)->reuse.spare[0].state == HX_SPARE_READY;
        w->named += seg(w)->reuse.spare[0].state == HX_SPARE_NAMED;
    }
}

/* FRAMES, or until the power goes. */
static void run(struct world *w, unsigned frames)
{
    for (unsigned i = 0; i < frames && (!w->disk || !hx_sim_disk_is_off(w->disk)); i++) {
        write_frame(w);
        tick(w, 20);
    }
}

/* Every page is as it was acknowledged, at the last VDL that was. */
static void check(struct world *w)
{
    uint8_t want[HX_PAGE_SIZE], got[HX_PAGE_SIZE];
    struct hx_read_page p;
    struct hx_segment_status st;
    if (!w->told)
        return;
    assert_int_equal(hx_rig_status(&w->r, 0, 0, &st), 0);
    assert_int_equal(st.state, 0);
    assert_int_equal(st.damaged, 0);
    assert_in_range(st.scl.v, w->told, w->last);
    for (uint32_t page = 0; page < PAGES; page++) {
        uint64_t lsn = w->lsn[page];
        while (lsn > st.scl.v) /* not there: what the page was a turn before */
            lsn = lsn > PAGES ? lsn - PAGES : 0;
        if (!lsn)
            continue;
        assert_int_equal(hx_rig_read(&w->r, 0, 0, 1, st.scl.v, page, got, &p), 0);
        content(lsn, want);
        assert_int_equal(p.state, HX_READ_RAW);
        assert_memory_equal(got, want, sizeof want);
    }
}

static void start_again(struct world *w)
{
    hx_rig_stop(&w->r, 0);
    hx_sim_disk_power_off(w->disk);
    hx_sim_disk_power_on(w->disk);
    assert_int_equal(hx_rig_start(&w->r, 0), 0);
}

static uint64_t calls(const struct world *w)
{
    struct hx_sim_disk_stats st;
    hx_sim_disk_stats(w->disk, &st);
    return st.writes + st.flushes + st.removes;
}

/* Promise: whatever call the power goes at, all that was acknowledged is there and nothing is damaged; once more when
 * it goes in the start after, and when log files were used again after that. */
static void power_loss_anywhere(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 1);
    run(&w, FRAMES);
    uint64_t all = calls(&w);
    unsigned ready = w.ready, named = w.named;
    hx_rig_stop(&w.r, 0);
    end(&w);
    printf("# %llu calls; rounds with a spare %u, with one that is not durable yet %u\n", (unsigned long long)all,
           ready, named);
    assert_true(ready > 5 && named > 5);
    for (uint64_t k = 1; k <= all; k++) {
        begin(&w, k);
        hx_sim_disk_power_off_at(w.disk, k);
        run(&w, FRAMES);
        hx_rig_stop(&w.r, 0);
        if (w.told) {
            hx_sim_disk_power_off(w.disk);
            hx_sim_disk_power_on(w.disk);
            hx_sim_disk_power_off_at(w.disk, 1 + k % 5);
            if (!hx_rig_start(&w.r, 0)) {
                hx_rig_step(&w.r, 20);
                start_again(&w);
            } else {
                hx_sim_disk_power_off(w.disk);
                hx_sim_disk_power_on(w.disk);
                assert_int_equal(hx_rig_start(&w.r, 0), 0);
            }
            hx_sim_disk_power_off_at(w.disk, 0);
            check(&w);
            hx_rig_stop(&w.r, 0);
        }
        end(&w);
    }
}

/* Promise: no spare is used whose name is not durable; one whose flush fails stops the segment, which is well again
 * after it has read its disk. */
static void a_flush_of_a_spare_that_fails(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 0);
    for (unsigned i = 0; i < FRAMES && !w.named && !w.ready; i++) {
        write_frame(&w);
        bool dies = seg(&w)->reuse.spare[0].state == HX_SPARE_NONE;
        tick(&w, 20);
        if (dies && w.named) { /* the next flush is that of the spare */
            hx_mem_fail(w.r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
            hx_rig_step(&w.r, 20);
            assert_int_equal(seg(&w)->error, HX_E_POISONED);
            for (unsigned k = 0; k < 4; k++)
                hx_rig_step(&w.r, 1000);
            assert_int_equal(seg(&w)->error, 0);
            assert_int_equal(seg(&w)->reuse.spare[0].state, HX_SPARE_NONE);
        }
    }
    assert_true(w.named > 0);
    check(&w);
    hx_rig_stop(&w.r, 0);
    end(&w);
}

static bool has_spare(struct world *w)
{
    struct hx_disk_place at = hx_rig_place(&w->r, 0);
    size_t len;
    return hx_mem_file(w->r.farm[0], &at, HX_SPARE_FILE, &len) ||
           hx_mem_file(w->r.farm[0], &at, HX_SPARE_FILE + 1, &len);
}

/* Promise: a spare is not kept when nobody writes, nor what is old behind the end of the tail; a start throws away what
 * it finds, and does not take it for a log file. */
static void spares_go(void **state)
{
    struct world w;
    struct hx_disk_place at;
    size_t len;
    (void)state;
    begin(&w, 0);
    at = hx_rig_place(&w.r, 0);
    bool stale = false;
    for (unsigned i = 0; i < FRAMES || !has_spare(&w); i++) {
        write_frame(&w);
        tick(&w, 20);
        stale |= seg(&w)->log.tail != HX_NONE && seg(&w)->log.files[seg(&w)->log.tail]->stale;
    }
    assert_true(stale);
    hx_rig_stop(&w.r, 0);
    assert_true(has_spare(&w));
    assert_int_equal(hx_rig_start(&w.r, 0), 0);
    check(&w);
    hx_rig_step(&w.r, 20);
    assert_false(has_spare(&w));
    for (unsigned i = 0; i < FRAMES || !has_spare(&w); i++) {
        write_frame(&w);
        tick(&w, 20);
    }
    for (unsigned i = 0; i < 100; i++)
        hx_rig_step(&w.r, 100);
    assert_false(has_spare(&w));
    for (size_t i = 0; i < seg(&w)->log.slot_count; i++) {
        const struct hx_logfile *f = seg(&w)->log.files[i];
        if (f && hx_mem_file(w.r.farm[0], &at, f->id, &len))
            assert_in_range(len, f->end, f->end + f->end / 4 + HX_LOG_FILL_MAX);
    }
    check(&w);
    hx_rig_stop(&w.r, 0);
    end(&w);
}

/* Promise: what a log file held in its former life is neither read nor taken for damage: not when it is scanned with
 * its sidecar gone, nor when its end is torn. */
static void a_former_life_counts_for_nothing(void **state)
{
    struct world w;
    struct hx_disk_place at;
    (void)state;
    for (unsigned torn = 0; torn < 2; torn++) {
        begin(&w, 0);
        at = hx_rig_place(&w.r, 0);
        run(&w, FRAMES);
        for (bool old = false; !old;) { /* until the tail is one that is used again, and has little of its own */
            write_frame(&w);
            const struct hx_log *l = &seg(&w)->log;
            old = l->tail != HX_NONE && l->files[l->tail]->stale && l->files[l->tail]->end < FILE_BYTES / 2;
            if (!old)
                tick(&w, 20);
        }
        const struct hx_logfile *f = seg(&w)->log.files[seg(&w)->log.tail];
        uint64_t id = f->id, end_of = f->end;
        hx_rig_stop(&w.r, 0);
        size_t len;
        uint8_t *p = hx_mem_file(w.r.farm[0], &at, id, &len);
        assert_true(p && len > end_of + FILE_BYTES / 4);
        if (torn) /* half of an entry that nobody was told about */
            memset(p + end_of, 0x5a, 700);
        for (uint64_t k = 16; k < id; k++)
            if (hx_mem_file(w.r.farm[0], &at, k | HX_LOG_SIDE_BIT, &len))
                hx_mem_remove_file(w.r.farm[0], &at, k | HX_LOG_SIDE_BIT);
        assert_int_equal(hx_rig_start(&w.r, 0), 0);
        check(&w);
        run(&w, FRAMES);
        check(&w);
        hx_rig_stop(&w.r, 0);
        end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_loss_anywhere),
        cmocka_unit_test(a_flush_of_a_spare_that_fails),
        cmocka_unit_test(spares_go),
        cmocka_unit_test(a_former_life_counts_for_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("reuse", tests, NULL, NULL);
}
