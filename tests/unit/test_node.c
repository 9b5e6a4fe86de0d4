/*
 * test_node.c - several segment servers that keep each other complete: gossip of records and histories, strangers,
 * healing of damage.
 * Method: up to six servers in one process, messages carried by hand (tests/lib/node_rig.c), time as an argument.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "node_rig.h"

#include <stdlib.h>

#define PG 1u

static void start(struct hx_rig *r, unsigned count)
{
    hx_rig_init(r, count, 1u << 20, 2, 64u << 10);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(hx_rig_format(r, i, PG), 0);
}

/* The frame in r->frame to the servers in the bit set WHO; all must take it. */
static void append_to(struct hx_rig *r, unsigned who, uint64_t epoch, uint64_t prev, uint64_t first,
                      unsigned count, uint64_t vdl)
{
    size_t n = hx_rig_run(r, PG, epoch, prev, first, count, vdl);
    for (unsigned i = 0; i < r->count; i++)
        if (who >> i & 1)
            assert_int_equal(hx_rig_append(r, i, epoch, vdl, 0, r->frame, n, NULL), 0);
}

static uint64_t value(struct hx_rig *r, unsigned i, uint64_t epoch, uint64_t point, uint32_t page)
{
    uint8_t data[HX_PAGE_SIZE];
    struct hx_read_page p;
    assert_int_equal(hx_rig_read(r, i, PG, epoch, point, page, data, &p), 0);
    assert_int_not_equal(p.state, HX_READ_CORRUPT);
    return hx_get_u64(data);
}

static struct hx_segment_status status(struct hx_rig *r, unsigned i)
{
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(r, i, PG, &s), 0);
    return s;
}

/* Asks for PAGE at POINT, but takes the answer only after QUEUED has put more into the same batch. Its status. */
static int read_late(struct hx_rig *r, uint64_t point, uint32_t page, void (*queued)(struct hx_rig *r))
{
    uint8_t b[16];
    struct hx_rig_reply a = {0};
    hx_put_u64(b, point);
    hx_put_u32(b + 8, 1);
    hx_put_u32(b + 12, page);
    uint64_t token =
        hx_rig_ask(r, 0, &(struct hx_rig_ask){.type = HX_MSG_READ, .pg = PG, .body = {b, sizeof b}});
    queued(r);
    hx_node_flush(r->node[0]);
    hx_rig_take(r, 0, token, &a);
    assert_true(a.came);
    int status = a.head.status;
    hx_rig_reply_fini(&a);
    return status;
}

static void queue_floor(struct hx_rig *r)
{
    static uint8_t b[HX_FRAME_MAX + 4096];
    struct hx_append_head h = {.vdl = HX_LSN(32), .floor = HX_LSN(32), .frame_count = 1};
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_append_head_encode(&h, &e);
    size_t n = hx_rig_run(r, PG, 1, 32, 33, 16, 32);
    hx_enc_bytes(&e, r->frame, n);
    hx_rig_ask(r, 0, &(struct hx_rig_ask){.type = HX_MSG_APPEND, .pg = PG, .body = {b, e.len}});
}

static void queue_fence(struct hx_rig *r)
{
    hx_rig_ask(r, 0, &(struct hx_rig_ask){.type = HX_MSG_FENCE, .pg = PG, .epoch = 2});
}

/* Promise (I6): a page is as of the read point that was asked for, or refused, whatever came in the same batch.
 * Method: behind the READ, an APPEND whose floor drops the version that it needs, then a FENCE. */
static void what_comes_in_the_same_batch_does_not_change_what_is_read(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r, 1);
    append_to(&r, 1, 1, 0, 1, 32, 0); /* page 1 at LSN 1 and 17 */
    assert_int_equal(hx_rig_append(&r, 0, 1, 32, 0, NULL, 0, NULL), 0);
    assert_int_equal(value(&r, 0, 1, 5, 1), 1);
    assert_int_equal(read_late(&r, 5, 1, queue_floor), HX_E_TOO_OLD);
    assert_int_equal(value(&r, 0, 1, 32, 1), 17);
    assert_int_equal(read_late(&r, 32, 1, queue_fence), HX_E_FENCED);
    hx_rig_fini(&r);
}

/* Promise: a server that was away is filled by its peers without the writer, many pieces at once go quickly,
 * and what it reads is what they read.  Method: 6 MB in 24 frames of random pages while one of three is cut
 * off. */
static void an_outage_is_filled_by_gossip(void **state)
{
    (void)state;
    struct hx_rig r;
    static uint8_t image[60][HX_PAGE_SIZE];
    struct hx_rig_rec recs[60];
    uint64_t lsn = 0, rng = 88172645463325252u;
    start(&r, 3);
    append_to(&r, 7, 1, 0, 1, 3, 0);
    lsn = 3;
    r.cut[2] = true;
    for (unsigned f = 0; f < 24; f++) {
        for (unsigned i = 0; i < 60; i++) {
            for (size_t k = 0; k < HX_PAGE_SIZE; k += 8) {
                rng ^= rng << 13;
                rng ^= rng >> 7;
                rng ^= rng << 17;
                hx_put_u64(image[i] + k, rng | 1);
            }
            recs[i] = (struct hx_rig_rec){lsn + 1 + i, (f * 60 + i) % 256, HX_REC_IMAGE,
                                          i == 59,     image[i],           HX_PAGE_SIZE};
        }
        size_t n = hx_rig_frame(&r, PG, 1, lsn, recs, 60, (struct hx_rig_marks){lsn, 0, 0});
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(hx_rig_append(&r, i, 1, lsn, 0, r.frame, n, NULL), 0);
        lsn += 60;
    }
    for (unsigned i = 0; i < 20; i++)
        hx_rig_step(&r, 50);
    assert_int_equal(status(&r, 2).scl.v, 3);
    r.cut[2] = false;
    r.now_ms += 5000; /* past every back-off */
    uint64_t before = r.delivered;
    assert_true(hx_rig_settle(&r, PG, lsn, 20));
    assert_in_range(r.delivered - before, 6, 40); /* steps of 1 MiB, not one per frame and not one per round */
    uint8_t a[HX_PAGE_SIZE], b[HX_PAGE_SIZE];
    struct hx_read_page p;
    for (uint32_t page = 0; page < 256; page++) {
        assert_int_equal(hx_rig_read(&r, 0, PG, 1, lsn, page, a, &p), 0);
        assert_int_equal(hx_rig_read(&r, 2, PG, 1, lsn, page, b, &p), 0);
        assert_memory_equal(a, b, sizeof a);
    }
    hx_rig_fini(&r);
}

/* Promise: each of several holes is filled, from whoever has the record; nobody has all of them at the start. */
static void holes_are_filled_from_whoever_has_the_record(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r, 4);
    static const unsigned who[] = {15, 3, 6, 12, 9, 5, 10, 7, 14, 13, 11};
    for (unsigned i = 0; i < HX_ARRAY_LEN(who); i++)
        append_to(&r, who[i] | 1, 1, 3 * i, 3 * i + 1, 3, 0);
    assert_true(hx_rig_settle(&r, PG, 33, 60));
    for (unsigned i = 0; i < 4; i++)
        for (uint64_t lsn = 18; lsn <= 33; lsn++)
            assert_int_equal(value(&r, i, 1, 33, (uint32_t)(lsn % 16)), lsn % 16 > 1 ? 16 + lsn % 16 : 32 + lsn % 16);
    hx_rig_fini(&r);
}

/* Promise: a restart in the middle of catching up, with loss of power, goes on where it was. */
static void catching_up_survives_power_loss(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r, 3);
    r.cut[2] = true;
    for (unsigned i = 0; i < 200; i++)
        append_to(&r, 3, 1, 10 * i, 10 * i + 1, 10, 10 * i);
    r.cut[2] = false;
    for (uint64_t k = 1; k <= 12; k++) {
        hx_mem_power_off_at(r.farm[2], k);
        for (unsigned i = 0; i < 6; i++)
            hx_rig_step(&r, 60);
        uint64_t scl = status(&r, 2).scl.v;
        hx_rig_stop(&r, 2);
        hx_mem_crash(r.farm[2], k);
        assert_int_equal(hx_rig_start(&r, 2), 0);
        assert_true(status(&r, 2).scl.v >= scl);
    }
    r.now_ms += 5000;
    assert_true(hx_rig_settle(&r, PG, 2000, 60));
    hx_rig_fini(&r);
}

static void grow(const struct hx_rig *r, struct hx_history *h, uint64_t epoch, uint64_t vdl, uint64_t end)
{
    if (!h->count)
        assert_int_equal(hx_history_copy(h, &r->history), 0);
    assert_int_equal(
        hx_history_push(h, (struct hx_history_entry){HX_EPOCH(epoch), HX_LSN(vdl), HX_LSN(end), HX_RIG_LAL}),
        0);
}

/* Promise: a new history spreads by gossip; records that it annuls leave the laggard's pages and are not
 * given to anybody. Method: server 2 alone holds 4 and 5, which epoch 2 cuts off. */
static void histories_spread_and_annulled_records_do_not(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_history h = {0};
    start(&r, 3);
    append_to(&r, 7, 1, 0, 1, 3, 2);
    append_to(&r, 4, 1, 3, 4, 2, 2);
    grow(&r, &h, 2, 3, 1003);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(hx_rig_adopt(&r, i, PG, 2, &h, NULL, NULL), 0);
    append_to(&r, 3, 2, 3, 1004, 2, 3);
    assert_int_equal(status(&r, 2).scl.v, 5);
    assert_true(hx_rig_settle(&r, PG, 1005, 40));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(status(&r, i).top.v, 2);
        assert_int_equal(status(&r, i).promised.v, 2);
        assert_int_equal(value(&r, i, 2, 1005, 5), 0);
        assert_int_equal(value(&r, i, 2, 1005, 1005 % 16), 1005);
    }
    struct hx_inventory v = {0};
    assert_int_equal(hx_rig_fence(&r, 0, PG, 3, 1, &v), 0);
    for (uint32_t i = 0; i < v.entry_count; i++)
        assert_true(v.entries[i].lsn.v != 4 && v.entries[i].lsn.v != 5);
    hx_inventory_fini(&v);
    hx_history_fini(&h);
    hx_rig_fini(&r);
}

/* Promise: a frame that is valid in part is given in part.  Method: one frame 1..5, cut at 3; the one that
 * asks lacks it all. */
static void of_a_frame_that_was_cut_only_the_rest_is_given(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_history h = {0};
    start(&r, 2);
    append_to(&r, 1, 1, 0, 1, 5, 2);
    grow(&r, &h, 2, 3, 1003);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(hx_rig_adopt(&r, i, PG, 2, &h, NULL, NULL), 0);
    append_to(&r, 1, 2, 3, 1004, 1, 3);
    assert_true(hx_rig_settle(&r, PG, 1004, 40));
    struct hx_inventory v = {0};
    assert_int_equal(hx_rig_fence(&r, 1, PG, 2, 1, &v), 0);
    for (uint32_t i = 0; i < v.entry_count; i++)
        assert_true(v.entries[i].lsn.v < 4 || v.entries[i].lsn.v > 1003);
    assert_int_equal(v.scl.v, 1004);
    hx_inventory_fini(&v);
    hx_history_fini(&h);
    hx_rig_fini(&r);
}

/* Promise: gossip of records obeys the history, not the promise: a fenced laggard is filled; but the old writer is told
 * FENCED, not the new SCL. */
static void a_fenced_laggard_is_filled_and_reports_to_nobody_old(void **state)
{
    (void)state;
    struct hx_rig r;
    uint64_t scl = 99;
    start(&r, 2);
    append_to(&r, 1, 1, 0, 1, 5, 0);
    assert_int_equal(hx_rig_fence(&r, 1, PG, 2, 1, NULL), 0);
    assert_true(hx_rig_settle(&r, PG, 5, 40));
    size_t n = hx_rig_run(&r, PG, 1, 5, 6, 1, 0);
    assert_int_equal(hx_rig_append(&r, 1, 1, 0, 0, r.frame, n, &scl), HX_E_FENCED);
    assert_int_equal(scl, 0);
    assert_int_equal(status(&r, 1).promised.v, 2);
    hx_rig_fini(&r);
}

/* Promise: gossip brings no history below the promise.  Method: a server fenced at 5 with top 1, its peer at top 2. */
static void no_history_below_the_promise_comes_by_gossip(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_history h = {0};
    start(&r, 2);
    grow(&r, &h, 2, 0, 1000);
    assert_int_equal(hx_rig_adopt(&r, 0, PG, 2, &h, NULL, NULL), 0);
    assert_int_equal(hx_rig_fence(&r, 1, PG, 5, 1, NULL), 0);
    for (unsigned i = 0; i < 30; i++)
        hx_rig_step(&r, 60);
    assert_int_equal(status(&r, 1).top.v, 1);
    assert_int_equal(status(&r, 1).promised.v, 5);
    hx_history_fini(&h);
    hx_rig_fini(&r);
}

static unsigned hook_type, hook_done;
static struct hx_history hook_history;
/* When the answer to a message of hook_type is about to reach server 1: fenced at 5, or given another history. */
static void overtake(struct hx_rig *r, unsigned from, unsigned type)
{
    if (from != 1 || type != hook_type || hook_done++)
        return;
    if (type == HX_MSG_HISTORY)
        assert_int_equal(hx_rig_fence(r, 1, PG, 5, 1, NULL), 0);
    else
        assert_int_equal(hx_rig_adopt(r, 1, PG, 2, &hook_history, NULL, NULL), 0);
}

/* Promise: a fence that comes while a history is on its way keeps that history out. */
static void a_fence_overtakes_a_history_on_its_way(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_history h = {0};
    start(&r, 2);
    grow(&r, &h, 2, 0, 1000);
    assert_int_equal(hx_rig_adopt(&r, 0, PG, 2, &h, NULL, NULL), 0);
    hook_type = HX_MSG_HISTORY;
    hook_done = 0;
    r.hook = overtake;
    for (unsigned i = 0; i < 30; i++)
        hx_rig_step(&r, 60);
    assert_int_equal(hook_done, 1);
    assert_int_equal(status(&r, 1).top.v, 1);
    hx_history_fini(&h);
    hx_rig_fini(&r);
}

/* Promise: records that were asked for under one history are not taken under the next.  Method: while 1..5 of
 * epoch 1 are on their way, the server adopts a history that cuts at 3. */
static void records_on_their_way_do_not_survive_a_new_history(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_inventory v = {0};
    start(&r, 2);
    append_to(&r, 1, 1, 0, 1, 3, 0);
    append_to(&r, 1, 1, 3, 4, 2, 0);
    hook_history = (struct hx_history){0};
    grow(&r, &hook_history, 2, 3, 1003);
    hook_type = HX_MSG_FETCH;
    hook_done = 0;
    r.hook = overtake;
    for (unsigned i = 0; i < 30 && !hook_done; i++)
        hx_rig_step(&r, 60);
    assert_int_equal(hook_done, 1);
    assert_int_equal(hx_rig_fence(&r, 1, PG, 2, 1, &v), 0);
    assert_int_equal(v.entry_count, 0);
    hx_inventory_fini(&v);
    hx_history_fini(&hook_history);
    hx_rig_fini(&r);
}

/* Promise: nothing is deleted that a lagging member may still need, however dead it is here.  Method: one of
 * three is away while the same 4 pages are written again and again; floor follows, gc stays where the third
 * is. */
static void a_laggard_finds_everything_above_gc(void **state)
{
    (void)state;
    struct hx_rig r;
    uint8_t image[HX_PAGE_SIZE];
    uint64_t lsn = 0;
    start(&r, 3);
    append_to(&r, 7, 1, 0, 1, 3, 0);
    r.cut[2] = true;
    for (lsn = 4; lsn <= 200; lsn++) {
        for (size_t i = 0; i < sizeof image; i++)
            image[i] = (uint8_t)(lsn * 41 + i * i * 7 + i / 3);
        struct hx_rig_rec rec = {lsn, (uint32_t)(lsn % 4), HX_REC_IMAGE, HX_REC_CPL, image, sizeof image};
        size_t n = hx_rig_frame(&r, PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){lsn - 1, lsn - 1, 3});
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(hx_rig_append(&r, i, 1, lsn - 1, lsn - 1, r.frame, n, NULL), 0);
        hx_rig_step(&r, 50);
    }
    uint64_t before = status(&r, 0).disk_bytes;
    r.cut[2] = false;
    r.now_ms += 5000;
    assert_true(hx_rig_settle(&r, PG, 200, 60));
    assert_int_equal(status(&r, 2).scl.v, 200);
    /* And once all have it, it goes. */
    size_t n = hx_rig_run(&r, PG, 1, 200, 201, 1, 200);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(hx_rig_append(&r, i, 1, 200, 200, r.frame, n, NULL), 0);
    struct hx_rig_rec rec = {202, 1, HX_REC_IMAGE, HX_REC_CPL, image, sizeof image};
    n = hx_rig_frame(&r, PG, 1, 201, &rec, 1, (struct hx_rig_marks){201, 201, 201});
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(hx_rig_append(&r, i, 1, 201, 201, r.frame, n, NULL), 0);
    for (unsigned i = 0; i < 40; i++)
        hx_rig_step(&r, 50);
    assert_true(status(&r, 0).disk_bytes < before - before / 3);
    hx_rig_fini(&r);
}

/* Promise: a server with an empty directory is not taken for the old one: under a new incarnation it is a
 * STRANGER, and its peers give it nothing; nor do its segments exist. */
static void a_wiped_server_is_a_stranger(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r, 3);
    append_to(&r, 7, 1, 0, 1, 5, 0);
    hx_rig_stop(&r, 2);
    hx_mem_wipe(r.farm[2]);
    struct hx_node_cfg cfg = {.name = "b1",
                              .zone = "az",
                              .incarnation = hx_rig_uuid(999),
                              .farm = hx_mem_farm(r.farm[2]),
                              .gossip_ms = 100};
    assert_int_equal(hx_node_new(&cfg, r.now_ms, &r.node[2]), 0);
    size_t n = hx_rig_run(&r, PG, 1, 5, 6, 1, 0);
    assert_int_equal(hx_rig_append(&r, 2, 1, 0, 0, r.frame, n, NULL), HX_E_STRANGER);
    assert_int_equal(hx_rig_fence(&r, 2, PG, 2, 1, NULL), HX_E_STRANGER);
    assert_int_equal(hx_rig_format(&r, 2, PG), HX_E_STRANGER);
    /* Even asked by its own name it does not fit into this geometry. */
    uint8_t b[16384];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_geometry_encode(&r.geometry, &e);
    hx_history_encode(&r.history, &e);
    struct hx_rig_ask q = {.type = HX_MSG_FORMAT, .pg = PG, .server = hx_rig_uuid(999), .body = {b, e.len}};
    assert_int_equal(hx_rig_call(&r, 2, &q, NULL), HX_E_WRONG_MEMBER);
    for (unsigned i = 0; i < 30; i++)
        hx_rig_step(&r, 60);
    struct hx_node_stats st;
    hx_node_stats(r.node[2], &st);
    assert_int_equal(st.segments, 0);
    hx_rig_fini(&r);
}

/* Promise: the old incarnation over an emptied directory has no segments, so it grants nothing. */
static void the_old_name_over_an_empty_directory_has_no_segments(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r, 1);
    hx_rig_stop(&r, 0);
    hx_mem_wipe(r.farm[0]);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(hx_rig_fence(&r, 0, PG, 2, 1, NULL), HX_E_NO_SEGMENT);
    size_t n = hx_rig_run(&r, PG, 1, 0, 1, 1, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), HX_E_NO_SEGMENT);
    hx_rig_fini(&r);
}

/* The K-th frame in the first log file of server I. */
static uint8_t *frame_in_log(struct hx_rig *r, unsigned i, unsigned k)
{
    size_t len;
    struct hx_disk_place at = hx_rig_place(r, PG);
    uint8_t *p = hx_mem_file(r->farm[i], &at, 16, &len);
    for (size_t off = 0; off + 4 < len; off += 8)
        if (hx_get_u32(p + off) == HX_FRAME_MAGIC && k-- == 0)
            return p + off;
    fail();
    return NULL;
}

/* Promise: damage found at a restart is filled again by the peers. */
static void damage_found_at_a_restart_is_healed(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r, 2);
    for (uint64_t first = 1; first <= 7; first += 3)
        append_to(&r, 3, 1, first - 1, first, 3, first - 1);
    hx_rig_stop(&r, 1);
    frame_in_log(&r, 1, 1)[HX_FRAME_HEAD + 40] ^= 1;
    assert_int_equal(hx_rig_start(&r, 1), 0);
    assert_int_equal(status(&r, 1).scl.v, 3);
    assert_int_equal(status(&r, 1).state, HX_E_CORRUPT);
    assert_true(hx_rig_settle(&r, PG, 9, 40));
    assert_int_equal(status(&r, 1).state, 0);
    for (uint64_t lsn = 1; lsn <= 9; lsn++)
        assert_int_equal(value(&r, 1, 1, 9, (uint32_t)lsn), lsn);
    hx_rig_fini(&r);
}

/* Promise: rot that a read meets is healed, above the hint by the record, below it by the page. */
static void rot_met_by_a_read_is_healed(void **state)
{
    (void)state;
    for (unsigned below = 0; below < 2; below++) {
        struct hx_rig r;
        struct hx_read_page p;
        uint8_t data[HX_PAGE_SIZE];
        start(&r, 2);
        for (uint64_t first = 1; first <= 7; first += 3)
            append_to(&r, 3, 1, first - 1, first, 3, 0);
        if (below)
            for (unsigned i = 0; i < 2; i++)
                assert_int_equal(hx_rig_append(&r, i, 1, 9, 0, NULL, 0, NULL), 0);
        for (size_t i = HX_FRAME_HEAD + 3 * HX_REC_HEAD; i < HX_FRAME_HEAD + 3 * HX_REC_HEAD + 12; i++)
            frame_in_log(&r, 1, 1)[i] ^= 0x55; /* the payload of LSN 4 */
        assert_int_equal(hx_rig_read(&r, 1, PG, 1, 9, 4, data, &p), 0);
        assert_int_equal(p.state, HX_READ_CORRUPT);
        for (unsigned i = 0; i < 20; i++)
            hx_rig_step(&r, 60);
        assert_int_equal(value(&r, 1, 1, 9, 4), 4);
        assert_int_equal(status(&r, 1).state, 0);
        hx_rig_fini(&r);
    }
}

/* Promise: peers that do not answer are not hammered, and are found again when they are back. */
static void silent_peers_are_left_alone_for_a_while(void **state)
{
    (void)state;
    struct hx_rig r;
    uint64_t sends = 0;
    start(&r, 3);
    hx_rig_stop(&r, 1);
    hx_rig_stop(&r, 2);
    for (unsigned i = 0; i < 1000; i++) { /* 20 s of rounds at 100 ms */
        struct hx_node_effect e;
        uint64_t calls[8];
        unsigned n = 0;
        r.now_ms += 20;
        hx_node_tick(r.node[0], r.now_ms);
        while (hx_node_next(r.node[0], &e))
            if (e.kind == HX_NODE_SEND)
                calls[n++] = e.call;
        while (n > 0)
            hx_node_answer(r.node[0], r.now_ms, calls[--n], HX_E_CONNECT, (struct hx_bytes){NULL, 0}), sends++;
    }
    assert_in_range(sends, 10, 80); /* five peers, each after 0.2, 0.4, .. 4 s */
    assert_int_equal(hx_rig_start(&r, 1), 0);
    append_to(&r, 2, 1, 0, 1, 2, 0);
    for (unsigned i = 0; i < 100 && status(&r, 0).scl.v < 2; i++)
        hx_rig_step(&r, 100);
    assert_int_equal(status(&r, 0).scl.v, 2);
    hx_rig_fini(&r);
}

/* Promise: whatever subset gets which frame, through cuts, restarts with power loss and damage, all live
 * servers end at the same SCL with the same pages.  Method: random, six servers, fixed seeds; each frame goes
 * to at least four. */
static void everything_converges(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct hx_rig r;
        uint64_t rng = seed * UINT64_C(0x9e3779b97f4a7c15), vdl = 0;
        start(&r, 6);
        for (unsigned k = 0; k < 150; k++) {
            rng ^= rng << 13;
            rng ^= rng >> 7;
            rng ^= rng << 17;
            unsigned out = (unsigned)(rng >> 20) % 6, out2 = (unsigned)(rng >> 30) % 6,
                     who = 63u & ~(1u << out) & ~(1u << out2);
            append_to(&r, who, 1, 4 * k, 4 * k + 1, 4, vdl);
            if (rng >> 40 & 1)
                vdl = 4 * k;
            for (unsigned i = 0; i < 6; i++)
                r.cut[i] = (rng >> (44 + i) & 3) == 0 && k < 140;
            if ((rng >> 50 & 7) == 0) {
                unsigned i = (unsigned)(rng >> 53) % 6;
                uint64_t scl = status(&r, i).scl.v;
                hx_rig_stop(&r, i);
                hx_mem_crash(r.farm[i], rng);
                assert_int_equal(hx_rig_start(&r, i), 0);
                assert_true(status(&r, i).scl.v >= scl);
            }
            hx_rig_step(&r, 30);
        }
        memset(r.cut, 0, sizeof r.cut);
        r.now_ms += 5000;
        assert_true(hx_rig_settle(&r, PG, 600, 100));
        for (unsigned i = 0; i < 6; i++)
            for (uint64_t lsn = 585; lsn <= 600; lsn++)
                assert_int_equal(value(&r, i, 1, 600, (uint32_t)(lsn % 16)), lsn);
        hx_rig_fini(&r);
    }
}

/* ---- many segments in one batch ---- */
enum { WAVE = 20 };

/* FENCE of all groups at epoch 5 in one batch; which of them were granted. */
static unsigned fence_all(struct hx_rig *r, bool *granted)
{
    uint64_t token[WAVE];
    unsigned n = 0;
    for (uint32_t pg = 0; pg < WAVE; pg++)
        token[pg] = hx_rig_ask(r, 0, &(struct hx_rig_ask){.type = HX_MSG_FENCE, .pg = pg, .epoch = 5});
    hx_node_flush(r->node[0]);
    struct hx_node_effect e;
    memset(granted, 0, WAVE * sizeof *granted);
    while (hx_node_next(r->node[0], &e)) {
        struct hx_reply_head h;
        struct hx_bytes body;
        for (uint32_t pg = 0; pg < WAVE && e.kind == HX_NODE_REPLY; pg++) {
            if (e.token != token[pg])
                continue;
            assert_int_equal(hx_reply_decode(e.body.p, e.body.len, &h, &body), 0);
            granted[pg] = h.status == 0;
            n += granted[pg];
        }
    }
    return n;
}

static void wave(struct hx_rig *r)
{
    hx_rig_init(r, 1, 1u << 20, WAVE, 16u << 10);
    for (uint32_t pg = 0; pg < WAVE; pg++)
        assert_int_equal(hx_rig_format(r, 0, pg), 0);
}

static void promises_of_many_groups_wait_for_the_disk_together(void **state)
{
    /* Promise: the slots of all segments of a batch are flushed at the same time, first one of each, then the other,
     * however many they are; after a restart once more before, for what was read may not be durable (M4). */
    struct hx_rig r;
    bool granted[WAVE];
    (void)state;
    for (unsigned restarted = 0; restarted < 2; restarted++) {
        wave(&r);
        if (restarted) {
            hx_rig_stop(&r, 0);
            assert_int_equal(hx_rig_start(&r, 0), 0);
        }
        uint64_t waves = hx_mem_waves(r.farm[0]), flushes = hx_mem_flushes(r.farm[0]);
        assert_int_equal(fence_all(&r, granted), WAVE);
        assert_int_equal(hx_mem_waves(r.farm[0]) - waves, 2 + restarted);
        assert_int_equal(hx_mem_flushes(r.farm[0]) - flushes, (2 + restarted) * WAVE);
        hx_rig_fini(&r);
    }
}

static void one_slot_that_fails_fails_its_segment_only(void **state)
{
    struct hx_rig r;
    bool granted[WAVE];
    (void)state;
    for (unsigned k = 1; k <= 2 * WAVE; k += 7) {
        wave(&r);
        hx_mem_fail(r.farm[0], HX_MEM_FLUSH, k, HX_E_IO, false);
        assert_int_equal(fence_all(&r, granted), WAVE - 1);
        assert_false(granted[(k - 1) % WAVE]);
        hx_rig_fini(&r);
    }
}

static void what_was_promised_in_a_wave_outlives_power_loss(void **state)
{
    /* Promise (N1, M1, M2): wherever the power goes in the middle of the slots of many segments, who was answered has
     * promised, and every segment is there again. */
    struct hx_rig r;
    bool granted[WAVE];
    (void)state;
    for (unsigned k = 1; k <= 4 * WAVE + 1; k += 3) {
        wave(&r);
        hx_mem_power_off_at(r.farm[0], k);
        unsigned n = fence_all(&r, granted);
        assert_int_equal(n > 0, k > 3 * WAVE + 1);
        hx_rig_stop(&r, 0);
        hx_mem_crash(r.farm[0], k);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        for (uint32_t pg = 0; pg < WAVE; pg++) {
            int status = hx_rig_fence(&r, 0, pg, 4, 3, NULL);
            assert_true(status == HX_E_FENCED || (status == 0 && !granted[pg]));
        }
        hx_rig_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_in_the_same_batch_does_not_change_what_is_read),
        cmocka_unit_test(an_outage_is_filled_by_gossip),
        cmocka_unit_test(holes_are_filled_from_whoever_has_the_record),
        cmocka_unit_test(catching_up_survives_power_loss),
        cmocka_unit_test(histories_spread_and_annulled_records_do_not),
        cmocka_unit_test(of_a_frame_that_was_cut_only_the_rest_is_given),
        cmocka_unit_test(a_fenced_laggard_is_filled_and_reports_to_nobody_old),
        cmocka_unit_test(no_history_below_the_promise_comes_by_gossip),
        cmocka_unit_test(a_fence_overtakes_a_history_on_its_way),
        cmocka_unit_test(records_on_their_way_do_not_survive_a_new_history),
        cmocka_unit_test(a_laggard_finds_everything_above_gc),
        cmocka_unit_test(a_wiped_server_is_a_stranger),
        cmocka_unit_test(the_old_name_over_an_empty_directory_has_no_segments),
        cmocka_unit_test(damage_found_at_a_restart_is_healed),
        cmocka_unit_test(rot_met_by_a_read_is_healed),
        cmocka_unit_test(silent_peers_are_left_alone_for_a_while),
        cmocka_unit_test(everything_converges),
        cmocka_unit_test(promises_of_many_groups_wait_for_the_disk_together),
        cmocka_unit_test(one_slot_that_fails_fails_its_segment_only),
        cmocka_unit_test(what_was_promised_in_a_wave_outlives_power_loss),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
