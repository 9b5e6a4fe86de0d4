/*
 * test_space.c - how much room a segment takes: bounded while pages are written again and again, given back when
 * nobody needs them, whoever has written last.  Method: servers over disks in memory with small log files; all bytes of
 * all files are counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"
#include "seg_model.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_BYTES (256u << 10)
#define PAGES 512u
#define LIVE ((uint64_t)PAGES * HX_PAGE_SIZE)
#define META (2u * 16384u)
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

/* COUNT records to all servers that run but SKIP (6: none); what went before is durable, and nobody reads below it.
 * The last status that is not 0. */
static int append(struct load *w, const struct hx_rig_rec *recs, unsigned count, uint64_t gc, unsigned skip)
{
    uint64_t was = w->last;
    int err = 0;
    size_t n = hx_rig_frame(&w->r, PG, 1, was, recs, count, (struct hx_rig_marks){was, was, gc});
    w->last += count;
    for (unsigned i = 0; i < w->r.count; i++)
        if (w->r.node[i] && i != skip) {
            int one = hx_rig_append(&w->r, i, 1, was, was, w->r.frame, n, NULL);
            err = one ? one : err;
        }
    return err;
}

/* Eight pages, from FIRST on or anywhere: images that do not compress, or FREE. */
static int put_pages(struct load *w, uint32_t first, bool anywhere, bool freed, uint64_t gc, unsigned skip)
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
    return append(w, recs, 8, gc, skip);
}

static void write_pages(struct load *w, uint32_t first, bool anywhere, bool freed, uint64_t gc, unsigned skip)
{
    assert_int_equal(put_pages(w, first, anywhere, freed, gc, skip), 0);
}

static int write_tried(struct load *w, uint32_t first)
{
    return put_pages(w, first, false, false, w->last, 6);
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
            assert_in_range(taken(&w, i), META, META + 2 * FILE_BYTES);
            hx_rig_stop(&w.r, i);
            assert_int_equal(hx_rig_start(&w.r, i), 0);
            assert_int_equal(hx_rig_read(&w.r, i, PG, 1, w.last, 3, data, &p), 0);
            assert_int_equal(p.state, HX_READ_ZEROS);
        }
        hx_rig_fini(&w.r);
    }
}

/* Promise (B3): what is moved out of a file that is hardly used is all that its pages consist of, and then the file
 * goes; also after a restart.  Method: the first file begins with an image and two patches of one page, all the rest of
 * it is written again. */
static void moving_takes_a_whole_chain(void **state)
{
    (void)state;
    struct load w;
    struct hx_read_page p;
    struct hx_disk_place at;
    uint8_t image[HX_PAGE_SIZE], data[HX_PAGE_SIZE];
    size_t len;
    begin(&w, 1);
    at = hx_rig_place(&w.r, PG);
    memset(image, 0x11, sizeof image);
    struct hx_rig_rec recs[3] = {{1, 300, HX_REC_IMAGE, HX_REC_CPL, image, HX_PAGE_SIZE},
                                 {2, 300, HX_REC_PATCH, HX_REC_CPL, (const uint8_t *)"\x10\0\x02\0ab", 6},
                                 {3, 300, HX_REC_PATCH, HX_REC_CPL, (const uint8_t *)"\x20\0\x02\0cd", 6}};
    assert_int_equal(append(&w, recs, 3, 0, 6), 0);
    memcpy(image + 16, "ab", 2);
    memcpy(image + 32, "cd", 2);
    for (uint32_t i = 0; i < 32; i++)
        write_pages(&w, i * 8 % 128, false, false, w.last, 6);
    announce(&w);
    assert_non_null(hx_mem_file(w.r.farm[0], &at, 16, &len));
    for (unsigned i = 0; i < 100 && hx_mem_file(w.r.farm[0], &at, 16, &len); i++)
        hx_rig_step(&w.r, 20);
    assert_null(hx_mem_file(w.r.farm[0], &at, 16, &len));
    for (unsigned pass = 0; pass < 2; pass++) {
        assert_int_equal(hx_rig_read(&w.r, 0, PG, 1, w.last, 300, data, &p), 0);
        assert_true(p.state == HX_READ_RAW && p.lsn.v == 3);
        assert_memory_equal(data, image, sizeof data);
        hx_rig_stop(&w.r, 0);
        assert_int_equal(hx_rig_start(&w.r, 0), 0);
    }
    hx_rig_fini(&w.r);
}

/* Images of pages FROM to TO - 1 under EPOCH, from LSN *NEXT on, after *LAST, to all six. */
static void images(struct load *w, uint64_t epoch, uint32_t from, uint32_t to, uint64_t *next, uint64_t *last)
{
    static uint8_t image[HX_PAGE_SIZE];
    for (uint32_t page = from; page < to; page++) {
        for (size_t k = 0; k < sizeof image; k += 8)
            hx_put_u64(image + k, dice(w) * UINT64_C(0x9e3779b97f4a7c15));
        struct hx_rig_rec rec = {*next, page, HX_REC_IMAGE, HX_REC_CPL, image, sizeof image};
        size_t n = hx_rig_frame(&w->r, PG, epoch, *last, &rec, 1, (struct hx_rig_marks){0});
        for (unsigned k = 0; k < 6; k++)
            assert_int_equal(hx_rig_append(&w->r, k, epoch, 0, 0, w->r.frame, n, NULL), 0);
        *last = (*next)++;
    }
}

/* Promise: a restart names no LSN as durable that its history makes void, also when the file that held the void
 * records is gone and only its highest LSN is known.  (An opening took that for the loss of an epoch, and gave up.)
 * Method: a log file of records that epoch 2 cuts off at 8; another one of what is written then, the first eight pages
 * among it; the VDL is told without records, so that no file has it; then all six restart, without checkpoints. */
static void what_was_void_in_a_deleted_file_is_not_durable(void **state)
{
    (void)state;
    struct load w;
    struct hx_history h = {0};
    uint64_t next = 1, last = 0;
    unsigned among_void = 0;
    size_t len;
    begin(&w, 6);
    struct hx_disk_place at = hx_rig_place(&w.r, PG);
    images(&w, 1, 0, 64, &next, &last);
    assert_int_equal(hx_history_copy(&h, &w.r.history), 0);
    struct hx_history_entry cut = {HX_EPOCH(2), HX_LSN(8), HX_LSN(1008), HX_RIG_LAL};
    assert_int_equal(hx_history_push(&h, cut), 0);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(hx_rig_adopt(&w.r, i, PG, 2, &h, NULL, NULL), 0);
    next = 1009;
    last = 8;
    for (uint32_t page = 0; !hx_mem_file(w.r.farm[0], &at, 17 | UINT64_C(1) << 32, &len); page++) {
        images(&w, 2, page, page + 1, &next, &last); /* until the second file is full */
        hx_rig_step(&w.r, 1);
    }
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(hx_rig_append(&w.r, i, 2, last, last, NULL, 0, NULL), 0);
    quiet(&w, 30);
    for (unsigned i = 0; i < 6; i++) {
        struct hx_inventory v = {0};
        hx_rig_stop(&w.r, i);
        for (uint64_t id = 4; id < 6; id++) /* a checkpoint, if there is one, knows the VDL better */
            hx_mem_remove_file(w.r.farm[i], &at, id);
        assert_int_equal(hx_rig_start(&w.r, i), 0);
        assert_int_equal(hx_rig_fence(&w.r, i, PG, 3, 1, &v), 0);
        among_void += hx_history_point(&h, v.base).v != v.base.v;
        assert_int_equal(hx_history_point(&h, v.vdl_hint).v, v.vdl_hint.v);
        assert_int_equal(v.scl.v, last);
        hx_inventory_fini(&v);
    }
    assert_true(among_void > 0); /* or nothing was tried */
    hx_history_fini(&h);
    hx_rig_fini(&w.r);
}

/* Promise: long chains become images in the background, the longest first, however many there are.  Method: 150 pages
 * with chains of 32 patches, one with 400; one tick makes images of 32 pages (128 KiB). */
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
        assert_int_equal(append(&w, recs, 16, w.last, 6), 0);
    }
    announce(&w);
    assert_int_equal(hx_rig_status(&w.r, 0, PG, &s), 0);
    uint64_t all = s.records;
    assert_int_equal(all, 32 * 150 + 400);
    hx_rig_step(&w.r, 20);
    static uint8_t image[HX_PAGE_SIZE];
    struct hx_rig_rec rec = {w.last + 1, 401, HX_REC_IMAGE, HX_REC_CPL, image, sizeof image};
    assert_int_equal(append(&w, &rec, 1, w.last, 6), 0); /* it takes them along */
    assert_int_equal(hx_rig_status(&w.r, 0, PG, &s), 0);
    assert_int_equal(all + 1 - s.records, 399 + 31 * 31);
    quiet(&w, 2);
    assert_int_equal(hx_rig_status(&w.r, 0, PG, &s), 0);
    assert_int_equal(s.records, 152);
    hx_rig_fini(&w.r);
}

/* Promise: a disk that is full of what nobody needs any more becomes usable by itself: the segment keeps room for the
 * writing that this takes.  Until then appends are refused and reads go on; a restart in between changes nothing.
 * Method: 1 MiB of live pages, written again and again without a tick until there is no room left; then only ticks. */
static void a_disk_full_of_garbage_tidies_itself(void **state)
{
    (void)state;
    for (unsigned restart = 0; restart < 12; restart++) {
        struct load w;
        struct hx_segment_status s;
        unsigned back = 0;
        begin(&w, 1);
        write_pages(&w, 0, false, false, 0, 6);
        quiet(&w, 1); /* the reserve is there */
        hx_mem_limit(w.r.farm[0], META + 2 * LIVE);
        int err = 0;
        for (unsigned i = 1; !err; i++) {
            uint64_t was = w.last;
            err = write_tried(&w, i * 8 % (PAGES / 2));
            w.last = err ? was : w.last;
        }
        assert_int_equal(err, HX_E_NOSPACE);
        assert_int_equal(hx_rig_append(&w.r, 0, 1, w.last, w.last, NULL, 0, NULL), HX_E_NOSPACE);
        assert_int_equal(hx_rig_status(&w.r, 0, PG, &s), 0);
        assert_int_equal(s.state, HX_E_NOSPACE);
        for (; back < 200 && s.state; back++) {
            struct hx_read_page p;
            hx_rig_step(&w.r, 500);
            if (back == restart) {
                hx_rig_stop(&w.r, 0);
                assert_int_equal(hx_rig_start(&w.r, 0), 0);
                announce(&w);
            }
            assert_int_equal(hx_rig_read(&w.r, 0, PG, 1, w.last, 8, NULL, &p), 0);
            assert_int_equal(p.state, HX_READ_RAW);
            assert_int_equal(hx_rig_status(&w.r, 0, PG, &s), 0);
        }
        assert_true(s.state == 0);
        for (unsigned i = 0; i < 300; i++) { /* at first there is not much */
            uint64_t was = w.last;
            err = write_tried(&w, i * 8 % (PAGES / 2));
            w.last = err ? was : w.last;
            if (err && (err != HX_E_NOSPACE || i >= 100))
                fail_msg("restart %u, back %u: %d at %u, taken %u", restart, back, err, i, (unsigned)taken(&w, 0));
            hx_rig_step(&w.r, 500);
        }
        hx_rig_fini(&w.r);
    }
}

/* Promise: a full disk never takes away promises, histories and reads.  Method: every byte is taken, the reserve
 * too. */
static void nothing_is_left_but_promises_are_kept(void **state)
{
    (void)state;
    struct load w;
    struct hx_segment_status s;
    begin(&w, 1);
    write_pages(&w, 0, false, false, 0, 6);
    quiet(&w, 1);
    hx_mem_limit(w.r.farm[0], taken(&w, 0) - 1);
    uint64_t was = w.last;
    while (!write_tried(&w, 0))
        was = w.last;
    w.last = was;
    for (uint64_t e = 2; e < 30; e++) {
        struct hx_history h = {0};
        const struct hx_history_entry own = {HX_EPOCH(e), HX_LSN(was), HX_LSN(was + 9), 9};
        hx_rig_step(&w.r, 500);
        assert_int_equal(hx_history_push(&h, *hx_history_top_entry(&w.r.history)), 0);
        assert_int_equal(hx_history_push(&h, own), 0);
        assert_int_equal(hx_rig_fence(&w.r, 0, PG, e, 900, NULL), 0);
        assert_int_equal(hx_rig_adopt(&w.r, 0, PG, e, &h, NULL, NULL), 0);
        hx_history_fini(&h);
        hx_rig_stop(&w.r, 0);
        assert_int_equal(hx_rig_start(&w.r, 0), 0);
        assert_int_equal(hx_rig_status(&w.r, 0, PG, &s), 0);
        assert_true(s.promised.v == e && s.top.v == e && s.scl.v == was);
    }
    hx_rig_fini(&w.r);
}

/* Promise: a scrub goes on while copies wait for a commit, and meets nothing that is half done.  Method: garbage,
 * commits and one scrub after the other, which reads whenever it may. */
static void a_scrub_and_copies_go_together(void **state)
{
    (void)state;
    static uint8_t image[HX_PAGE_SIZE];
    struct load w;
    begin(&w, 1);
    for (unsigned i = 0; i < 4 * PAGES / 8; i++)
        write_pages(&w, i * 8 % PAGES, i >= PAGES / 8, false, 0, 6);
    struct hx_disk_place at = hx_rig_place(&w.r, PG);
    struct hx_seg *g = hx_node_find(w.r.node[0], &at.volume, at.pg);
    unsigned waiting = 0;
    for (unsigned i = 0; i < 100; i++) {
        struct hx_rig_rec rec = {w.last + 1, i % PAGES, HX_REC_IMAGE, HX_REC_CPL, image, sizeof image};
        image[i] = (uint8_t)dice(&w);
        assert_int_equal(append(&w, &rec, 1, w.last, 6), 0);
        if (i % 3 == 0)
            hx_rig_step(&w.r, 20);
        hx_scrub_ask(g);
        hx_rig_step(&w.r, 20);
        waiting += g->log.batch.len > 0;
    }
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(&w.r, 0, PG, &s), 0);
    assert_int_equal(s.damaged, 0);
    assert_int_equal(g->error, 0);
    printf("# %u ticks left copies\n", waiting);
    hx_rig_fini(&w.r);
}

/* Promise: what a segment does for itself while commits come is done in small pieces, each with little to flush, so
 * that a commit never waits for long, copies with none of their own; and it is done all the same.  Method: three
 * quarters of the log are garbage, which all have given up at once; a commit of one page before each tick, whose
 * flushes are counted, until the room that the garbage took is back. */
static void background_work_gives_way_to_commits(void **state)
{
    (void)state;
    static uint8_t image[HX_PAGE_SIZE];
    struct load w;
    uint64_t flushes = 0, quick = 0, rounds = 0, most = LIVE + LIVE / 2 + 5 * FILE_BYTES + META;
    begin(&w, 1);
    for (unsigned i = 0; i < 4 * PAGES / 8; i++)
        write_pages(&w, i * 8 % PAGES, i >= PAGES / 8, false, 0, 6);
    assert_true(taken(&w, 0) > most);
    while (taken(&w, 0) > most - 2 * FILE_BYTES && rounds++ < 2000) {
        for (size_t i = 0; i < sizeof image; i++)
            image[i] = (uint8_t)dice(&w);
        uint32_t page = (uint32_t)(dice(&w) % PAGES);
        struct hx_rig_rec rec = {w.last + 1, page, HX_REC_IMAGE, HX_REC_CPL, image, sizeof image};
        uint64_t was = hx_mem_flushes(w.r.farm[0]);
        assert_int_equal(append(&w, &rec, 1, w.last, 6), 0);
        assert_int_equal(hx_mem_flushes(w.r.farm[0]) - was, 1);
        was = hx_mem_flushes(w.r.farm[0]);
        hx_rig_step(&w.r, 20);
        uint64_t n = hx_mem_flushes(w.r.farm[0]) - was;
        flushes = n > flushes ? n : flushes;
        quick += n == 0;
    }
    printf("# %llu rounds, at most %llu flushes a tick, %llu ticks without\n", (unsigned long long)rounds,
           (unsigned long long)flushes, (unsigned long long)quick);
    assert_true(rounds < 2000);
    assert_in_range(flushes, 1, 2); /* the two meta slots */
    assert_true(quick >= rounds / 3); /* files of this size are soon full, and then there is more to do */
    hx_rig_fini(&w.r);
}

/* Promise: the records of a frame are found one after the other without a walk from the first one each time: a removed
 * file of 10 GiB is millions of records without bytes, 20,000 to a frame, and compaction that walked from the first
 * one stopped a server for minutes.  Method: one frame of freed pages; how many heads were passed. */
static void records_of_a_frame_are_walked_over_once(void **state)
{
    (void)state;
    enum { FREED = 1500 };
    static struct hx_rig_rec recs[FREED];
    struct load w;
    begin(&w, 1);
    for (unsigned k = 0; k < FREED; k++)
        recs[k] = (struct hx_rig_rec){1 + k, k, HX_REC_FREE, k == FREED - 1 ? HX_REC_CPL : 0, NULL, 0};
    assert_int_equal(append(&w, recs, FREED, 0, 6), 0);
    struct hx_disk_place at = hx_rig_place(&w.r, PG);
    struct hx_seg *s = hx_node_find(w.r.node[0], &at.volume, at.pg);
    uint64_t before = s->env->bodies.heads_walked;
    for (unsigned k = 0; k < FREED; k++) {
        struct hx_index_walk walk = hx_index_walk(&s->index, k);
        struct hx_version v;
        struct hx_bytes b;
        assert_true(hx_index_next(&walk, &v) && v.codec && v.at == k);
        assert_int_equal(hx_page_payload(s, k, &v, HX_PAGES_MANY, s->env->page, &b), 0);
        assert_int_equal(b.len, 0);
    }
    assert_in_range(s->env->bodies.heads_walked - before, 0, FREED);
    hx_rig_fini(&w.r);
}

/* Promise: a load that makes chains long all the time, so that there are images to be made in each tick, does not keep
 * files from being emptied and closed.  Method: as above, but before each tick come as many patches of one page as make
 * an image worth while, of another page each time. */
static void images_do_not_keep_compaction_waiting(void **state)
{
    (void)state;
    struct load w;
    uint64_t rounds = 0, most = LIVE + LIVE / 2 + 5 * FILE_BYTES + META;
    begin(&w, 1);
    for (unsigned i = 0; i < 4 * PAGES / 8; i++)
        write_pages(&w, i * 8 % PAGES, i >= PAGES / 8, false, 0, 6);
    assert_true(taken(&w, 0) > most);
    while (taken(&w, 0) > most - 2 * FILE_BYTES && rounds++ < 2000) {
        struct hx_rig_rec recs[20];
        uint32_t page = (uint32_t)(rounds * 7 % PAGES);
        for (unsigned k = 0; k < 20; k++)
            recs[k] = (struct hx_rig_rec){w.last + 1 + k, page, HX_REC_PATCH, HX_REC_CPL,
                                          (const uint8_t *)"\x10\0\x02\0ab", 6};
        assert_int_equal(append(&w, recs, 20, w.last, 6), 0);
        hx_rig_step(&w.r, 20);
    }
    printf("# %llu rounds\n", (unsigned long long)rounds);
    assert_true(rounds < 300); /* 130 or so; 530 when compaction gets what images leave */
    hx_rig_fini(&w.r);
}

/* Promise: where little is used, log files are closed early, so that what waits for a file to be closed is little.
 * Method: log files may be as large as they are for users; 2 MiB are overwritten until three files would have been
 * closed at the size for little, and not one at the full size. */
static void little_content_has_small_files(void **state)
{
    (void)state;
    struct load w = {.rng = 77};
    size_t len = 0;
    hx_rig_init(&w.r, 1, 64u << 20, 2, 0);
    assert_int_equal(hx_rig_format(&w.r, 0, PG), 0);
    struct hx_disk_place at = hx_rig_place(&w.r, PG);
    for (unsigned i = 0; i < (52u << 20) / (8 * HX_PAGE_SIZE); i++) {
        write_pages(&w, i * 8 % PAGES, false, false, 0, 6);
        hx_rig_step(&w.r, 20);
    }
    assert_int_equal(hx_mem_last_log(w.r.farm[0], &at), 19);
    assert_non_null(hx_mem_file(w.r.farm[0], &at, 16, &len));
    assert_in_range(len, 15u << 20, 17u << 20);
    hx_rig_fini(&w.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overwriting_takes_a_bounded_space),
        cmocka_unit_test(freed_space_comes_back_without_the_writer),
        cmocka_unit_test(moving_takes_a_whole_chain),
        cmocka_unit_test(what_was_void_in_a_deleted_file_is_not_durable),
        cmocka_unit_test(the_longest_chains_first),
        cmocka_unit_test(a_disk_full_of_garbage_tidies_itself),
        cmocka_unit_test(nothing_is_left_but_promises_are_kept),
        cmocka_unit_test(background_work_gives_way_to_commits),
        cmocka_unit_test(a_scrub_and_copies_go_together),
        cmocka_unit_test(records_of_a_frame_are_walked_over_once),
        cmocka_unit_test(images_do_not_keep_compaction_waiting),
        cmocka_unit_test(little_content_has_small_files),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
