/*
 * test_oracle_servers.c - the simulator's oracle on servers: what they answer, what they hold, what is there
 * at the end.
 *
 * As test_oracle.c; where the oracle looks into a server, a real node stands there.  The fold of pages is
 * compared with a dumb twin.
 */
#include "oracle_bed.h"

#include "../../src/store/node_private.h"

/* ---- I4 ---- */
static void I4_a_peer_gives_a_void_record(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_write_run(b, 0, x + 1, x + 2, 1, x + 1);
    bed_open_at(b, 1, 3, x + 1);
    /* A real server with the history of epoch 3, to look at. */
    b->r.count = 1;
    b->r.farm[0] = hx_mem_farm_new();
    assert_int_equal(hx_rig_start(&b->r, 0), 0);
    assert_int_equal(hx_rig_format(&b->r, 0, 0), 0);
    assert_int_equal(hx_rig_adopt(&b->r, 0, 0, 3, &b->h, NULL, NULL), 0);
    hx_oracle_attach(b->o, 0, b->r.node[0]);
    uint8_t ask[21] = {0};
    size_t n = hx_rig_run(&b->r, 0, 2, x + 1, x + 2, 1, x + 1);
    hx_put_u64(ask + 8, UINT64_MAX);
    bed_answer(b, 0, (struct msg){HX_MSG_FETCH, 0, 3, 0}, ask, sizeof ask, 0, b->r.frame, n);
    bed_judge(b, "I4", "are void");
}

static void I4_an_scl_over_a_record_that_nobody_wrote(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    bed_real_server(b, 0);
    assert_int_equal(b->s.verdict.exit, HX_SIM_OK);
    bed_real_append(b, 0, hx_rig_run(&b->r, 0, 2, 0, bed_first_of(b), 1, 0), 0);
    hx_oracle_server(b->o, 0);
    bed_judge(b, "I4", "is no record");
}

static void a_real_server_is_silent_over_restarts(void **state)
{
    (void)state;
    struct bed *b = bed_new(2);
    bed_open_at(b, 0, 2, 0);
    bed_real_server(b, 0);
    uint64_t x = bed_first_of(b);
    size_t n = hx_rig_run(&b->r, 0, 2, 0, x, 5, 0);
    bed_append(b, 0, 0, n);
    uint64_t scl = bed_real_append(b, 0, n, 0);
    assert_int_equal(scl, x + 4);
    bed_ack(b, 0, 0, 2, scl);
    hx_oracle_server(b->o, 0);
    for (int k = 0; k < 3; k++) {
        hx_rig_stop(&b->r, 0);
        hx_oracle_restarted(b->o, 0, true);
        assert_int_equal(hx_rig_start(&b->r, 0), 0);
        hx_oracle_attach(b->o, 0, b->r.node[0]);
        hx_oracle_server(b->o, 0);
    }
    bed_judge(b, "", "");
}

/* ---- I5 ---- */
static void I5_acknowledged_more_than_it_has(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    bed_real_server(b, 0);
    bed_write_run(b, 0, 0, bed_first_of(b), 1, 0);
    bed_ack(b, 0, 0, 2, bed_first_of(b));
    bed_judge(b, "I5", "complete through");
}

/* A server that acknowledged a record comes back without it: PG and promise are there or not. */
static void forgot(bool promises, bool excused, const char *invariant, const char *words)
{
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    bed_real_server(b, 0);
    bed_write_run(b, 0, 0, bed_first_of(b), 1, 0);
    bed_real_append(b, 0, hx_rig_run(&b->r, 0, 2, 0, bed_first_of(b), 1, 0), 0);
    bed_ack(b, 0, 0, 2, bed_first_of(b));
    hx_oracle_server(b->o, 0);
    assert_int_equal(b->s.verdict.exit, HX_SIM_OK);
    hx_rig_stop(&b->r, 0);
    hx_oracle_restarted(b->o, 0, !excused);
    hx_mem_farm_free(b->r.farm[0]);
    if (promises) {
        bed_real_server(b, 0);
    } else {
        b->r.farm[0] = hx_mem_farm_new();
        assert_int_equal(hx_rig_start(&b->r, 0), 0);
        hx_oracle_attach(b->o, 0, b->r.node[0]);
        hx_oracle_server(b->o, 0);
    }
    bed_judge(b, invariant, words);
}

static void I5_a_record_is_gone_after_a_restart(void **state)
{
    (void)state;
    forgot(true, false, "I5", "was acknowledged");
}

static void I5_a_segment_is_gone_after_a_restart(void **state)
{
    (void)state;
    forgot(false, false, "I5", "is gone");
}

static void what_a_lie_took_is_excused(void **state)
{
    (void)state;
    forgot(true, true, "", "");
    forgot(false, true, "", "");
}

static void reads_of_what_was_written_are_silent(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    uint8_t page[HX_PAGE_SIZE];
    bed_run_page(page, x);
    bed_read_answer(b, 1, 2, x + 1, (uint32_t)(x % 16), page, x);
    bed_read_answer(b, 1, 2, x - 1, (uint32_t)(x % 16), NULL, 0);
    hx_oracle_filled(b->o, 0, HX_EPOCH(2), HX_LSN(x + 1), x % 16, page);
    hx_oracle_filled(b->o, 0, HX_EPOCH(2), HX_LSN(x + 1), 200, NULL);
    bed_judge(b, "", "");
}

/* ---- I6 ---- */
static void I6_a_wrong_byte(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    uint8_t page[HX_PAGE_SIZE];
    bed_run_page(page, x);
    page[4095] = 1;
    bed_read_answer(b, 1, 2, x + 1, (uint32_t)(x % 16), page, x);
    bed_judge(b, "I6", "from byte 4095");
}

static void I6_an_older_version(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_read_answer(b, 1, 2, x + 1, (uint32_t)(x % 16), NULL, 0);
    bed_judge(b, "I6", "differs");
}

static void I6_a_newer_version(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    uint8_t page[HX_PAGE_SIZE];
    bed_write_run(b, 0, x + 1, x + 2, 16, x + 1);
    bed_run_page(page, x + 16);
    bed_read_answer(b, 1, 2, x + 1, (uint32_t)(x % 16), page, x + 16);
    bed_judge(b, "I6", "differs");
}

static void I6_a_void_record_in_a_page(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    uint8_t page[HX_PAGE_SIZE];
    bed_write_run(b, 0, x + 1, x + 2, 16, x + 1);
    bed_open_at(b, 1, 3, x + 1);
    bed_run_page(page, x + 16);
    uint64_t y = bed_first_of(b);
    bed_write_run(b, 0, x + 1, y, 1, x + 1);
    bed_acks(b, 4, 0, y);
    bed_read_answer(b, 1, 3, y, (uint32_t)(x % 16), page, x + 16);
    bed_judge(b, "I6", "differs");
}

static void I6_a_cache_is_filled_with_something_else(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    hx_oracle_filled(b->o, 0, HX_EPOCH(2), HX_LSN(x + 1), x % 16, NULL);
    bed_judge(b, "I6", "is not what its records");
}

static void I6_a_read_beyond_the_vdl(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    uint8_t ask[16] = {0};
    hx_put_u64(ask, x + 2);
    hx_put_u32(ask + 8, 1);
    bed_send(b, (struct msg){HX_MSG_READ, 0, 2, 0}, ask, sizeof ask);
    bed_judge(b, "I6", "do not hold");
}

static void I6_a_lagging_server_answers(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_real_server(b, 5);
    bed_read_answer(b, 5, 2, x + 1, 100, NULL, 0);
    bed_judge(b, "I6", "it has");
}

/* ---- I10 ---- */
static void I10_versions_that_somebody_may_need_are_gone(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_real_server(b, 5);
    bed_real_append(b, 5, hx_rig_run(&b->r, 0, 2, 0, x, 2, 0), 0);
    hx_oracle_server(b->o, 5);
    assert_int_equal(b->s.verdict.exit, HX_SIM_OK);
    uint64_t scl;
    assert_int_equal(hx_rig_append(&b->r, 5, 2, x + 1, x + 1, b->r.frame, 0, &scl),
                     0); /* a floor nobody announced */
    hx_oracle_server(b->o, 5);
    bed_judge(b, "I10", "were announced");
}

/* ---- I11 ---- */
static void inventory(struct bed *b, unsigned server, uint64_t epoch, const struct hx_inv_entry *entries,
                      uint32_t count, uint64_t scl, uint64_t unknown)
{
    struct hx_inv_unknown u = {HX_LSN(unknown), HX_LSN(unknown)};
    struct hx_inventory v = {.scl = HX_LSN(scl),
                             .hydrated = true,
                             .entry_count = count,
                             .unknown_count = unknown != 0,
                             .entries = (struct hx_inv_entry *)(uintptr_t)entries,
                             .unknowns = &u};
    assert_int_equal(hx_history_copy(&v.history, &b->h), 0);
    struct hx_enc e = hx_enc_init(b->body, HX_BED_BODY);
    hx_inventory_encode(&v, &e);
    assert_int_equal(e.err, 0);
    hx_history_fini(&v.history);
    uint8_t *copy = malloc(e.len);
    memcpy(copy, b->body, e.len);
    bed_answer(b, server, (struct msg){HX_MSG_FENCE, 0, epoch, 30}, NULL, 0, 0, copy, e.len);
    free(copy);
}

static struct hx_inv_entry run_entry(uint64_t lsn, uint64_t prev, bool cpl)
{
    uint8_t head[5] = {HX_REC_SPARSE}, payload[12];
    hx_put_u32(head + 1, (uint32_t)(lsn % 16));
    hx_put_u16(payload, 0);
    hx_put_u16(payload + 2, 8);
    hx_put_u64(payload + 4, lsn);
    return (struct hx_inv_entry){HX_LSN(lsn), HX_LSN(prev), HX_EPOCH(2), cpl ? HX_INV_CPL : 0,
                                 hx_crc32c(hx_crc32c(0, head, sizeof head), payload, sizeof payload)};
}

static void inventories_that_list_or_doubt_all_are_silent(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    struct hx_inv_entry e[2] = {run_entry(x, 0, false), run_entry(x + 1, x, true)};
    inventory(b, 0, 3, e, 2, x + 1, 0);
    inventory(b, 1, 3, e, 1, x + 1, x + 1);
    inventory(b, 5, 3, NULL, 0, 0, 0); /* has nothing, and never said so */
    bed_judge(b, "", "");
}

/* ---- I2 ---- */
static void I2_an_inventory_with_another_record(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    struct hx_inv_entry e[2] = {run_entry(x, 0, false), run_entry(x + 1, x, true)};
    e[1].sum++;
    inventory(b, 0, 3, e, 2, x + 1, 0);
    bed_judge(b, "I2", "not what was written");
}

/* ---- I11 ---- */
static void I11_damage_is_told_as_missing(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    struct hx_inv_entry e[1] = {run_entry(x, 0, false)};
    inventory(b, 0, 3, e, 1, x + 1, 0);
    bed_judge(b, "I11", "has not got it");
}

static void I11_bytes_that_are_not_those_of_the_checksum(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    size_t n = hx_rig_run(&b->r, 0, 2, 0, x, 2, 0);
    b->r.frame[n - 1] ^= 1;
    uint8_t ask[21] = {0};
    hx_put_u64(ask + 8, UINT64_MAX);
    bed_answer(b, 1, (struct msg){HX_MSG_FETCH, 0, 2, 0}, ask, sizeof ask, 0, b->r.frame, n);
    bed_judge(b, "I11", "damaged");
}

/* ---- I12 ---- */
static void I12_an_acknowledgement_after_a_failed_flush(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_write_run(b, 0, x + 1, x + 2, 1, x + 1);
    hx_oracle_disk_failed(b->o, 3, 0);
    hx_oracle_restarted(b->o, 3, true);
    bed_ack(b, 3, 0, 2, x + 2); /* started again: it has looked */
    assert_int_equal(b->s.verdict.exit, HX_SIM_OK);
    hx_oracle_disk_failed(b->o, 2, 0);
    bed_ack(b, 2, 0, 2, x + 2);
    bed_judge(b, "I12", "a flush has failed");
}

/* ---- I14 ---- */
static void I14_a_duplicate_changes_something(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_real_server(b, 5);
    size_t n = hx_rig_run(&b->r, 0, 2, 0, x, 2, 0);
    bed_real_append(b, 5, n, 0);
    hx_oracle_again(b->o, 5, UINT64_MAX, false);
    bed_real_append(b, 5, n, 0);
    hx_oracle_again(b->o, 5, UINT64_MAX, true);
    assert_int_equal(b->s.verdict.exit, HX_SIM_OK);
    n = hx_rig_run(&b->r, 0, 2, x + 1, x + 2, 1, 0);
    hx_oracle_again(b->o, 5, UINT64_MAX, false);
    bed_real_append(b, 5, n, 0);
    hx_oracle_again(b->o, 5, UINT64_MAX, true);
    bed_judge(b, "I14", "came again");
}

/* Damage that is parted in two is no news; damage where there was none is. */
static void I14_damage_by_a_duplicate(void **state)
{
    (void)state;
    for (unsigned news = 0; news < 2; news++) {
        uint64_t x;
        struct bed *b = bed_written(1, &x);
        bed_real_server(b, 5);
        bed_real_append(b, 5, hx_rig_run(&b->r, 0, 2, 0, x, 2, 0), 0);
        struct hx_disk_place at = hx_rig_place(&b->r, 0);
        struct hx_seg *s = hx_node_find(b->r.node[5], &at.volume, 0);
        s->chain.hint = s->chain.scl;
        if (!news)
            assert_int_equal(hx_seg_unknown(s, 1, UINT64_MAX, HX_NONE, true), 0);
        hx_oracle_again(b->o, 5, UINT64_MAX, false);
        if (news)
            assert_int_equal(hx_seg_unknown(s, 1, 1, HX_NONE, true), 0);
        else
            hx_seg_unknown_split(s, 0);
        assert_int_equal(s->unknown_count, news ? 1 : 2);
        hx_oracle_again(b->o, 5, UINT64_MAX, true);
        bed_judge(b, news ? "I14" : "", news ? "damage" : "");
    }
}

/* Six real servers, of which LAGGARD (6: none) has not got the last record. */
static struct bed *fleet(unsigned laggard)
{
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    uint64_t x = bed_first_of(b);
    for (unsigned i = 0; i < 6; i++)
        bed_real_server(b, i);
    for (unsigned k = 0; k < 100; k++) {
        size_t n = hx_rig_run(&b->r, 0, 2, k ? x + k - 1 : 0, x + k, 1, 0);
        bed_append(b, 0, 0, n);
        for (unsigned i = 0; i < 6; i++) {
            if (i == laggard && k == 99)
                continue;
            bed_ack(b, i, 0, 2, bed_real_append(b, i, n, 0));
            hx_oracle_server(b->o, i);
        }
    }
    return b;
}

/* Record LSN after LSN - 1, as hx_rig_run makes it, in a frame that says that all six have what is below. */
static size_t frame_with_gc(struct bed *b, uint64_t lsn)
{
    uint8_t p[12] = {0, 0, 8};
    hx_put_u64(p + 4, lsn);
    struct hx_rig_rec rec = {lsn, (uint32_t)(lsn % 16), HX_REC_SPARSE, HX_REC_CPL, p, sizeof p};
    return hx_rig_frame(&b->r, 0, 2, lsn - 1, &rec, 1, (struct hx_rig_marks){lsn - 1, lsn - 1, lsn - 1});
}

/* What all six have had, a server knows after a restart, too, that finds its own records damaged. */
static void what_all_had_is_known_over_damage(void **state)
{
    (void)state;
    struct bed *b = fleet(6);
    uint64_t last = bed_first_of(b) + 99, scl;
    struct hx_segment_look l;
    struct hx_disk_place at = hx_rig_place(&b->r, 0);
    bed_append(b, last, last, hx_rig_run(&b->r, 0, 2, last, last + 1, 1, last));
    for (unsigned i = 0; i < 6; i++) { /* no writer has said so, but it is true */
        size_t n = frame_with_gc(b, last + 1);
        assert_int_equal(hx_rig_append(&b->r, i, 2, last, last, b->r.frame, n, &scl), 0);
        assert_int_equal(scl, last + 1);
        bed_ack(b, i, 0, 2, scl);
        hx_oracle_server(b->o, i);
    }
    assert_int_equal(b->s.verdict.exit, HX_SIM_OK);
    hx_rig_stop(&b->r, 5);
    hx_oracle_restarted(b->o, 5, false);
    size_t len;
    uint8_t *log = hx_mem_file(b->r.farm[5], &at, 16, &len);
    assert_true(log && len > 4096);
    memset(log + 2048, 0, 512);
    assert_int_equal(hx_rig_start(&b->r, 5), 0);
    assert_int_equal(hx_node_look(b->r.node[5], at, &l), 0);
    assert_true(l.scl.v < last && l.gc.v == last);
    hx_oracle_attach(b->o, 5, b->r.node[5]);
    hx_oracle_server(b->o, 5);
    bed_judge(b, "", "");
}

/* Nor does a server say so that has it from nobody: server 3 lacks the last record. */
static void I10_all_have_what_one_lacks(void **state)
{
    (void)state;
    struct bed *b = fleet(3);
    uint64_t last = bed_first_of(b) + 99, scl;
    bed_append(b, last, last, hx_rig_run(&b->r, 0, 2, last, last + 1, 1, last));
    size_t n = frame_with_gc(b, last + 1);
    assert_int_equal(hx_rig_append(&b->r, 5, 2, last, last, b->r.frame, n, &scl), 0);
    hx_oracle_server(b->o, 5);
    bed_judge(b, "I10", "were announced");
}

/* Who forgot what all six had learns it again from frames that say that all have it. */
static void who_forgot_what_all_had_may_say_so(void **state)
{
    (void)state;
    for (unsigned lied = 0; lied < 2; lied++) {
        struct bed *b = fleet(5);
        uint64_t last = bed_first_of(b) + 99, scl;
        bed_append(b, last, last, hx_rig_run(&b->r, 0, 2, last, last + 1, 1, last));
        if (lied)
            hx_oracle_restarted(b->o, 5, false);
        hx_oracle_attach(b->o, 5, b->r.node[5]);
        size_t n = frame_with_gc(b, last + 1);
        assert_int_equal(hx_rig_append(&b->r, 5, 2, last, last, b->r.frame, n, &scl), 0);
        assert_int_equal(scl, last - 1);
        hx_oracle_server(b->o, 5);
        bed_judge(b, lied ? "" : "I10", lied ? "" : "were announced");
    }
}

/* A durable point is in the own history, also of who has not got the record. */
static void I5_a_void_lsn_taken_for_durable(void **state)
{
    (void)state;
    struct bed *b = fleet(5);
    uint64_t x = bed_first_of(b);
    assert_int_equal(hx_rig_append(&b->r, 5, 2, x + 99, 0, NULL, 0, NULL), 0);
    hx_oracle_server(b->o, 5);
    assert_int_equal(b->s.verdict.exit, HX_SIM_OK);
    struct hx_history h = bed_child(b, 3, x + 98);
    assert_int_equal(hx_rig_adopt(&b->r, 5, 0, 3, &h, NULL, NULL), 0);
    hx_history_fini(&h);
    hx_oracle_server(b->o, 5);
    bed_judge(b, "I5", "makes void");
}

static void all_equal_at_the_end_is_silent(void **state)
{
    (void)state;
    struct bed *b = fleet(6);
    assert_true(hx_oracle_settled(b->o, 0));
    hx_oracle_end(b->o, 0);
    bed_judge(b, "", "");
}

/* ---- I15 ---- */
static void I15_somebody_lags_at_the_end(void **state)
{
    (void)state;
    struct bed *b = fleet(3);
    assert_false(hx_oracle_settled(b->o, 0));
    assert_true(hx_oracle_settled(b->o, 1u << 3));
    hx_oracle_end(b->o, 1u << 3);
    assert_int_equal(b->s.verdict.exit, HX_SIM_OK);
    hx_oracle_end(b->o, 0);
    bed_judge(b, "I15", "at the end");
}

/* ---- I6 ---- */
static void I6_somebody_has_other_bytes_at_the_end(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    uint64_t x = bed_first_of(b);
    uint8_t one[12] = {0, 0, 8, 0, 1}, two[12] = {0, 0, 8, 0, 2};
    struct hx_rig_rec rec = {x, 3, HX_REC_SPARSE, HX_REC_CPL, one, sizeof one};
    for (unsigned i = 0; i < 6; i++) {
        bed_real_server(b, i);
        rec.payload = i == 4 ? two : one; /* a server that changes bytes on the way */
        size_t n = hx_rig_frame(&b->r, 0, 2, 0, &rec, 1, (struct hx_rig_marks){0});
        if (i == 0)
            bed_append(b, 0, 0, n);
        bed_ack(b, i, 0, 2, bed_real_append(b, i, n, 0));
    }
    assert_int_equal(b->s.verdict.exit, HX_SIM_OK);
    hx_oracle_end(b->o, 0);
    bed_judge(b, "I6", "differs");
}

/* ---- folds ---- */
#define TWIN_PAGES 5u
#define TWIN_RECS 700u
static uint64_t dice(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

struct twin_rec {
    uint32_t page;
    uint8_t kind, payload[64];
    uint16_t len;
};

static void twin_fold(const struct twin_rec *recs, uint64_t count, uint32_t page, uint8_t *out)
{
    memset(out, 0, HX_PAGE_SIZE);
    for (uint64_t i = 0; i < count; i++)
        if (recs[i].page == page)
            assert_int_equal(hx_rec_apply(out, recs[i].kind, recs[i].payload, recs[i].len), 0);
}

static struct twin_rec twin_make(uint64_t *rng)
{
    static const uint8_t kinds[] = {HX_REC_PATCH, HX_REC_PATCH, HX_REC_PATCH, HX_REC_PATCH, HX_REC_PATCH,
                                    HX_REC_PATCH, HX_REC_PATCH, HX_REC_PATCH, HX_REC_PATCH, HX_REC_IMAGE,
                                    HX_REC_ZERO,  HX_REC_FREE,  HX_REC_SPARSE};
    struct twin_rec r = {.page = (uint32_t)(dice(rng) % TWIN_PAGES), .kind = kinds[dice(rng) % sizeof kinds]};
    if (dice(rng) % 4) /* long chains of patches, too */
        r.kind = HX_REC_PATCH;
    unsigned ranges = r.kind == HX_REC_PATCH || r.kind == HX_REC_SPARSE ? 1 + (unsigned)(dice(rng) % 3) : 0;
    for (unsigned i = 0; i < ranges; i++) {
        uint16_t n = (uint16_t)(1 + dice(rng) % 12);
        hx_put_u16(r.payload + r.len, (uint16_t)(dice(rng) % (HX_PAGE_SIZE - n)));
        hx_put_u16(r.payload + r.len + 2, n);
        for (uint16_t k = 0; k < n; k++)
            r.payload[r.len + 4 + k] = (uint8_t)dice(rng);
        r.len = (uint16_t)(r.len + 4 + n);
    }
    if (r.kind == HX_REC_IMAGE)
        for (r.len = (uint16_t)(dice(rng) % sizeof r.payload), ranges = 0; ranges < r.len; ranges++)
            r.payload[ranges] = (uint8_t)dice(rng);
    return r;
}

/* Random records on a few pages over three epochs with cuts; at random read points every page is what the
 * dumb fold says, and a page with one byte flipped is not. */
static void pages_are_what_a_dumb_fold_says(void **state)
{
    (void)state;
    struct twin_rec *recs = calloc(TWIN_RECS, sizeof *recs);
    uint64_t *lsns = calloc(TWIN_RECS, sizeof *lsns), rng = 12345, count = 0, prev = 0;
    struct bed *b = bed_new(1);
    for (uint64_t epoch = 2; epoch < 5; epoch++) {
        bed_open_at(b, (uint32_t)epoch, epoch, prev);
        for (uint64_t lsn = bed_first_of(b), end = lsn + 220; lsn < end; lsn++) {
            recs[count] = twin_make(&rng);
            lsns[count] = lsn;
            struct hx_rig_rec r = {lsn,        recs[count].page,    recs[count].kind,
                                   HX_REC_CPL, recs[count].payload, recs[count].len};
            bed_append(b, 0, 0, hx_rig_frame(&b->r, 0, epoch, prev, &r, 1, (struct hx_rig_marks){0}));
            prev = lsn;
            count++;
            for (unsigned look = 0; look < 3; look++) {
                uint8_t page[HX_PAGE_SIZE];
                uint64_t upto = dice(&rng) % 3 ? count : dice(&rng) % (count + 1);
                uint32_t at = (uint32_t)(dice(&rng) % TWIN_PAGES);
                uint64_t newest = 0;
                twin_fold(recs, upto, at, page);
                for (uint64_t i = 0; i < upto; i++)
                    newest = recs[i].page == at ? lsns[i] : newest;
                bed_read_answer(b, 1, epoch, upto ? lsns[upto - 1] : 0, at, page, newest);
            }
        }
        bed_acks(b, 4, 0, prev - 20);
        prev -= 20; /* the next opening cuts twenty off */
        count -= 20;
        if (b->s.verdict.exit)
            break;
    }
    free(recs);
    free(lsns);
    bed_judge(b, "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(I4_a_peer_gives_a_void_record),
        cmocka_unit_test(I4_an_scl_over_a_record_that_nobody_wrote),
        cmocka_unit_test(a_real_server_is_silent_over_restarts),
        cmocka_unit_test(I5_acknowledged_more_than_it_has),
        cmocka_unit_test(I5_a_record_is_gone_after_a_restart),
        cmocka_unit_test(I5_a_segment_is_gone_after_a_restart),
        cmocka_unit_test(what_a_lie_took_is_excused),
        cmocka_unit_test(reads_of_what_was_written_are_silent),
        cmocka_unit_test(I6_a_wrong_byte),
        cmocka_unit_test(I6_an_older_version),
        cmocka_unit_test(I6_a_newer_version),
        cmocka_unit_test(I6_a_void_record_in_a_page),
        cmocka_unit_test(I6_a_cache_is_filled_with_something_else),
        cmocka_unit_test(I6_a_read_beyond_the_vdl),
        cmocka_unit_test(I6_a_lagging_server_answers),
        cmocka_unit_test(I10_versions_that_somebody_may_need_are_gone),
        cmocka_unit_test(inventories_that_list_or_doubt_all_are_silent),
        cmocka_unit_test(I2_an_inventory_with_another_record),
        cmocka_unit_test(I11_damage_is_told_as_missing),
        cmocka_unit_test(I11_bytes_that_are_not_those_of_the_checksum),
        cmocka_unit_test(I12_an_acknowledgement_after_a_failed_flush),
        cmocka_unit_test(I14_a_duplicate_changes_something),
        cmocka_unit_test(I14_damage_by_a_duplicate),
        cmocka_unit_test(what_all_had_is_known_over_damage),
        cmocka_unit_test(I10_all_have_what_one_lacks),
        cmocka_unit_test(who_forgot_what_all_had_may_say_so),
        cmocka_unit_test(I5_a_void_lsn_taken_for_durable),
        cmocka_unit_test(all_equal_at_the_end_is_silent),
        cmocka_unit_test(I15_somebody_lags_at_the_end),
        cmocka_unit_test(I6_somebody_has_other_bytes_at_the_end),
        cmocka_unit_test(pages_are_what_a_dumb_fold_says),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("oracle_servers", tests, NULL, NULL);
}
