/*
 * test_space.c - how much room a segment takes: bounded while pages are written again and again, given back when
 * nobody needs them, whoever has written last.  Method: servers over disks in memory with small log files; all bytes of
 * all files are counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "seg_model.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_BYTES (256u << 10)
#define PAGES 512u
#define LIVE ((uint64_t)PAGES * HX_PAGE_SIZE)
#define META (2u * 65536u)
#define PG HX_MODEL_PG

struct load {
    struct hx_rig r;
    uint64_t last, rng;
};

static uint64_t dice(struct load *w)
{
    struct hx_model m = {.rng = w->rng};
    uint64_t x = hx_model_dice(&m);
    w->rng = m.rng;
    return x;
}

static void begin(struct load *w, unsigned servers)
{
    *w = (struct load){.rng = 77};
    hx_rig_init(&w->r, servers, 8u << 20, 2, FILE_BYTES);
    for (unsigned i = 0; i < servers; i++)
        assert_int_equal(hx_rig_format(&w->r, i, PG), 0);
}

/* COUNT records to all servers that run but SKIP (6: none); what went before is durable, and nobody reads below it. */
static void append(struct load *w, const struct hx_rig_rec *recs, unsigned count, uint64_t gc, unsigned skip)
{
    uint64_t was = w->last;
    size_t n = hx_rig_frame(&w->r, PG, 1, was, recs, count, (struct hx_rig_marks){was, was, gc});
    w->last += count;
    for (unsigned i = 0; i < w->r.count; i++)
        if (w->r.node[i] && i != skip)
            assert_int_equal(hx_rig_append(&w->r, i, 1, was, was, w->r.frame, n, NULL), 0);
}

/* Eight pages, from FIRST on or anywhere: images that do not compress, or FREE. */
static void write_pages(struct load *w, uint32_t first, bool anywhere, bool freed, uint64_t gc, unsigned skip)
{
    static uint8_t image[8][HX_PAGE_SIZE];
    struct hx_rig_rec recs[8];
    for (unsigned k = 0; k < 8; k++) {
        uint32_t page = anywhere ? (uint32_t)(dice(w) % PAGES) : first + k;
        for (size_t i = 0; i < HX_PAGE_SIZE && !freed; i += 8) {
            uint64_t x = dice(w) * UINT64_C(0x9e3779b97f4a7c15);
            memcpy(image[k] + i, &x, 8);
        }
        recs[k] = (struct hx_rig_rec){w->last + 1 + k, page, freed ? HX_REC_FREE : HX_REC_IMAGE,
                                      k == 7 ? HX_REC_CPL : 0, image[k], freed ? 0 : HX_PAGE_SIZE};
    }
    append(w, recs, 8, gc, skip);
}

static uint64_t taken(struct load *w, unsigned server)
{
    uint64_t total, room;
    struct hx_disk_farm *f = hx_mem_farm(w->r.farm[server]);
    assert_int_equal(f->ops->space(f, &total, &room), 0);
    return total - room;
}

static void quiet(struct load *w, unsigned seconds)
{
    for (unsigned i = 0; i < seconds * 10; i++)
        hx_rig_step(&w->r, 100);
}

/* VDL and floor reach the end, as an idle writer announces them. */
static void announce(struct load *w)
{
    for (unsigned i = 0; i < w->r.count; i++)
        if (w->r.node[i])
            assert_int_equal(hx_rig_append(&w->r, i, 1, w->last, w->last, NULL, 0, NULL), 0);
}

/* Promise: pages that are written again and again, in order or anywhere, take 1.5 x what is live and a constant: one
 * and a quarter of a log file that there may be besides, what waits for the tail to be closed, the one that is being
 * emptied, and the tail.  Method: 20 times all pages, 20 times as many anywhere; four ticks each two frames. */
static void overwriting_takes_a_bounded_space(void **state)
{
    (void)state;
    for (unsigned anywhere = 0; anywhere < 2; anywhere++) {
        struct load w;
        uint64_t peak = 0;
        begin(&w, 1);
        for (unsigned i = 0; i < 20 * PAGES / 8; i++) {
            write_pages(&w, i * 8 % PAGES, anywhere && i >= PAGES / 8, false, w.last, 6);
            for (unsigned k = 0; i % 2 && k < 4; k++)
                hx_rig_step(&w.r, 20);
            peak = taken(&w, 0) > peak ? taken(&w, 0) : peak;
        }
        printf("# %s: peak %.2f x live\n", anywhere ? "anywhere" : "in order", (double)peak / (double)LIVE);
        assert_in_range(peak, LIVE, LIVE + LIVE / 2 + 5 * FILE_BYTES + META);
        announce(&w);
        quiet(&w, 20);
        assert_in_range(taken(&w, 0), LIVE, LIVE + LIVE / 2 + FILE_BYTES + META);
        hx_rig_fini(&w.r);
    }
}

/* Promise: what was freed is given back, down to almost nothing, though nobody writes any more, and though the last
 * records themselves came with a mark (gc) that does not cover them; it is not back after a restart.  A server that is
 * away keeps what it lacks from going; with it back, that goes, too.  Method: six servers, gc always 0, so that only
 * gossip tells what all have. */
static void freed_space_comes_back_without_the_writer(void **state)
{
    (void)state;
    for (unsigned away = 5; away < 7; away++) {
        struct load w;
        begin(&w, 6);
        for (unsigned i = 0; i < 2 * PAGES / 8; i++) {
            write_pages(&w, i * 8 % PAGES, false, false, 0, away);
            if (i % 4 == 3)
                hx_rig_step(&w.r, 20);
            if (i == PAGES / 8 && away < 6)
                hx_rig_stop(&w.r, away);
        }
        for (uint32_t i = 0; i < PAGES; i += 8)
            write_pages(&w, i, false, true, 0, away);
        announce(&w);
        quiet(&w, 30);
        for (unsigned i = 0; i < 6 && away < 6; i++)
            if (i != away)
                assert_true(taken(&w, i) > LIVE - LIVE / 4); /* the second half of the images */
        if (away < 6) {
            assert_int_equal(hx_rig_start(&w.r, away), 0);
            assert_true(hx_rig_settle(&w.r, PG, w.last, 2000));
            announce(&w);
            quiet(&w, 30);
        }
        for (unsigned i = 0; i < 6; i++) {
            struct hx_read_page p;
            uint8_t data[HX_PAGE_SIZE];
            uint64_t calls = hx_mem_calls(w.r.farm[i]);
            quiet(&w, 10);
            assert_int_equal(hx_mem_calls(w.r.farm[i]), calls); /* there is an end to it */
            assert_in_range(taken(&w, i), META, META + FILE_BYTES + FILE_BYTES / 4);
            hx_rig_stop(&w.r, i);
            assert_int_equal(hx_rig_start(&w.r, i), 0);
            assert_int_equal(hx_rig_read(&w.r, i, PG, 1, w.last, 3, data, &p), 0);
            assert_int_equal(p.state, HX_READ_ZEROS);
        }
        hx_rig_fini(&w.r);
    }
}

/* Promise: long chains become images in the background, the longest first, however many there are.  Method: 150 pages
 * with chains of 32 patches, one with 400; one tick makes images of 64 pages. */
static void the_longest_chains_first(void **state)
{
    (void)state;
    struct load w;
    struct hx_segment_status s;
    begin(&w, 1);
    for (unsigned i = 0; i < 32 * 150 + 400; i += 16) {
        uint8_t patch[16][12];
        struct hx_rig_rec recs[16];
        for (unsigned k = 0; k < 16; k++) {
            unsigned j = i + k;
            uint32_t page = j < 32 * 75 ? j % 75 : j < 32 * 75 + 400 ? 400 : 75 + (j - 400) % 75;
            hx_put_u16(patch[k], (uint16_t)(8 * (j % 500)));
            hx_put_u16(patch[k] + 2, 8);
            hx_put_u64(patch[k] + 4, j);
            recs[k] = (struct hx_rig_rec){w.last + 1 + k, page, HX_REC_PATCH, k == 15 ? HX_REC_CPL : 0, patch[k], 12};
        }
        append(&w, recs, 16, w.last, 6);
    }
    announce(&w);
    assert_int_equal(hx_rig_status(&w.r, 0, PG, &s), 0);
    uint64_t all = s.records;
    assert_int_equal(all, 32 * 150 + 400);
    hx_rig_step(&w.r, 20);
    assert_int_equal(hx_rig_status(&w.r, 0, PG, &s), 0);
    assert_int_equal(all - s.records, 399 + 63 * 31);
    quiet(&w, 2);
    assert_int_equal(hx_rig_status(&w.r, 0, PG, &s), 0);
    assert_int_equal(s.records, 151);
    hx_rig_fini(&w.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overwriting_takes_a_bounded_space),
        cmocka_unit_test(freed_space_comes_back_without_the_writer),
        cmocka_unit_test(the_longest_chains_first),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
