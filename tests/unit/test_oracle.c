/*
 * test_oracle.c - the simulator's oracle on sessions: a good history is silent, and for each invariant at
 * least one bad history that it reports by that name.
 *
 * Histories are scripted message by message: openings, records, acknowledgements (oracle_bed.h).  What it
 * judges of servers: test_oracle_servers.c.
 */
#include "oracle_bed.h"

static void a_good_history_is_silent(void **state)
{
    (void)state;
    struct bed *b = bed_new(2);
    bed_open_at(b, 0, 2, 0);
    uint64_t x = bed_first_of(b);
    bed_writer(b, 0, 0, 0);
    bed_write_run(b, 0, 0, x, 2, 0);
    bed_write_run(b, 1, 0, x + 2, 3, 0);
    bed_writer(b, 0, 0, x + 4);
    bed_acks(b, 4, 0, x + 1);
    bed_writer(b, x + 1, x + 1, x + 4);
    bed_acks(b, 3, 1, x + 4);
    bed_durable(b, x + 1);
    assert_int_equal(hx_oracle_committed(b->o).v, x + 1);
    bed_ack(b, 5, 1, 2, x + 4);
    assert_int_equal(hx_oracle_committed(b->o).v, x + 4);
    bed_durable(b, x + 4);
    bed_write_run(b, 0, x + 1, x + 5, 1, x + 4); /* on nobody: epoch 3 leaves it out */
    bed_open_at(b, 1, 3, x + 4);
    uint64_t y = bed_first_of(b);
    bed_write_run(b, 1, x + 4, y, 1, x + 4);
    bed_acks(b, 4, 1, y);
    bed_durable(b, y);
    /* The old one does not know yet: what it had it may still say. */
    b->client = 0;
    b->epoch = 2;
    bed_durable(b, x + 4);
    assert_int_equal(hx_oracle_excused(b->o), 0);
    bed_judge(b, "", "");
}

static void an_opening_that_hears_of_its_end_late_is_silent(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    const struct hx_history_entry *p = hx_history_top_entry(&b->h);
    struct hx_history late = {0};
    bed_fence(b, 2, 20);
    assert_int_equal(hx_history_push(&b->h, (struct hx_history_entry){HX_EPOCH(2), HX_LSN(0),
                                                                      HX_LSN(p->end.v + p->lal), p->lal}),
                     0);
    assert_int_equal(hx_history_copy(&late, &b->h), 0);
    bed_steps(b, 2, 20, &b->h); /* bound, but its client has not heard the answers */
    struct hx_geometry g = {0};
    assert_int_equal(hx_geometry_copy(&g, &b->r.geometry), 0);
    bed_open_at(b, 1, 3, 0);
    hx_oracle_opened(b->o, 0, &late, &g);
    hx_geometry_fini(&g);
    hx_history_fini(&late);
    bed_judge(b, "", "");
}

/* A server is wiped and heard again while its answer to FENCE is on the way: it counts for the opening that gets it. */
static void a_fence_answer_of_a_life_before_counts(void **state)
{
    (void)state;
    struct bed *b = bed_new(2);
    b->reborn = 1u << 3;
    struct hx_history h = bed_child(b, 2, 0);
    bed_repair(b, (struct msg){0, 0, 2, 20}, &h, NULL, 0);
    hx_history_fini(&h);
    bed_judge(b, "", "");
}

/* Three of four heard deny the LSN where the log ends; the fourth may have had anything. */
static void an_end_that_three_deny_is_silent(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(2, &x);
    b->fences = 4;
    b->damaged = 1;
    bed_open_at(b, 1, 3, x + 1);
    bed_judge(b, "", "");
}

/* ---- I11 ---- */
static void I11_an_end_that_two_deny(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(2, &x);
    b->fences = 4;
    b->damaged = 1 << 1 | 1 << 3;
    bed_open_at(b, 1, 3, x + 1);
    bed_judge(b, "I11", "fewer than three");
}

/* ---- I1 ---- */
static void I1_three_copies_are_not_durable(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    bed_write_run(b, 0, 0, bed_first_of(b), 1, 0);
    bed_acks(b, 3, 0, bed_first_of(b));
    bed_durable(b, bed_first_of(b));
    bed_judge(b, "I1", "told that LSN");
}

static void I1_the_same_copy_twice_is_one(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    bed_write_run(b, 0, 0, bed_first_of(b), 1, 0);
    for (int i = 0; i < 8; i++)
        bed_ack(b, (unsigned)i % 3, 0, 2, bed_first_of(b));
    bed_durable(b, bed_first_of(b));
    bed_judge(b, "I1", "told that LSN");
}

static void I1_another_group_lacks_it(void **state)
{
    (void)state;
    struct bed *b = bed_new(2);
    bed_open_at(b, 0, 2, 0);
    uint64_t x = bed_first_of(b);
    bed_write_run(b, 0, 0, x, 1, 0);
    bed_write_run(b, 1, 0, x + 1, 1, 0);
    bed_acks(b, 6, 1, x + 1);
    bed_acks(b, 3, 0, x);
    bed_durable(b, x + 1);
    bed_judge(b, "I1", "told that LSN");
}

static void I1_half_a_transaction_is_not_durable(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    uint64_t x = bed_first_of(b);
    bed_write_run(b, 0, 0, x, 3, 0);
    bed_acks(b, 4, 0, x + 1);
    bed_durable(b, x + 1);
    bed_judge(b, "I1", "told that LSN");
}

static void I1_an_opening_leaves_out_what_four_held(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_open_at(b, 1, 3, 0);
    bed_judge(b, "I1", "is cut at");
}

static void I1_adopted_before_written_back(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    b->repairs = 3;
    bed_open_at(b, 1, 3, x + 1);
    bed_judge(b, "I1", "only 3 members");
}

static void I1_told_durable_after_the_cut(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_write_run(b, 0, x + 1, x + 2, 1, x + 1);
    bed_open_at(b, 1, 3, x + 1);
    b->client = 0;
    b->epoch = 2;
    bed_durable(b, x + 2);
    bed_judge(b, "I1", "told that LSN");
}

/* ---- I2 ---- */
static void I2_two_contents_of_one_record(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    uint8_t other[12] = {0, 0, 8, 0, 1};
    struct hx_rig_rec rec = {x, (uint32_t)(x % 16), HX_REC_SPARSE, 0, other, sizeof other};
    bed_append(b, 0, 0, hx_rig_frame(&b->r, 0, 2, 0, &rec, 1, (struct hx_rig_marks){0}));
    bed_judge(b, "I2", "two contents");
}

static void I2_a_fourth_acknowledgement_after_the_cut(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_write_run(b, 0, x + 1, x + 2, 1, x + 1);
    for (unsigned i = 2; i < 5; i++)
        bed_ack(b, i, 0, 2, x + 2);
    b->adopts = 4;
    bed_open_at(b, 1, 3, x + 1);
    bed_ack(b, 5, 0, 2, x + 2);
    bed_judge(b, "I2", "fourth acknowledgement");
}

static void I2_an_acknowledgement_after_the_fence(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_write_run(b, 0, x + 1, x + 2, 1, x + 1);
    bed_open_at(b, 1, 3, x + 1);
    bed_ack(b, 0, 0, 2, x + 2);
    bed_judge(b, "I2", "after it has promised");
}

static void I2_two_clients_in_one_epoch(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    b->client = 1;
    bed_write_run(b, 0, x + 1, x + 2, 1, 0);
    bed_judge(b, "I2", "both write");
}

static void I2_repair_with_what_was_never_written(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    struct hx_history h = bed_child(b, 3, x + 1);
    uint8_t other[12] = {0, 0, 8, 0, 1};
    struct hx_rig_rec rec = {x, (uint32_t)(x % 16), HX_REC_SPARSE, 0, other, sizeof other};
    size_t n = hx_rig_frame(&b->r, 0, 2, 0, &rec, 1, (struct hx_rig_marks){0});
    bed_repair(b, (struct msg){0, 0, 3, 31}, &h, b->r.frame, n);
    hx_history_fini(&h);
    bed_judge(b, "I2", "not what was written");
}

/* ---- I3 ---- */
static void I3_an_attempt_decides_twice(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_write_run(b, 0, x + 1, x + 2, 1, x + 1);
    struct hx_history one = bed_child(b, 3, x + 1), two = bed_child(b, 3, x + 2);
    bed_repair(b, (struct msg){0, 0, 3, 31}, &one, NULL, 0);
    bed_repair(b, (struct msg){0, 0, 3, 31}, &two, NULL, 0);
    hx_history_fini(&one);
    hx_history_fini(&two);
    bed_judge(b, "I3", "decided twice");
}

static void I3_an_end_that_is_not_the_formula(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    struct hx_history h = bed_child(b, 3, x + 1);
    h.e[h.count - 1].end.v--; /* as if what it saw were all that could be there */
    bed_repair(b, (struct msg){0, 0, 3, 31}, &h, NULL, 0);
    hx_history_fini(&h);
    bed_judge(b, "I3", "is not max");
}

static void I3_a_bound_history_is_left_out(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    struct hx_history h = {0};
    assert_int_equal(hx_history_copy(&h, &b->r.history), 0);
    assert_int_equal(hx_history_push(&h, (struct hx_history_entry){HX_EPOCH(3), HX_LSN(0), HX_LSN(HX_RIG_LAL),
                                                                   HX_RIG_LAL}),
                     0);
    bed_repair(b, (struct msg){0, 0, 3, 31}, &h, NULL, 0);
    hx_history_fini(&h);
    bed_judge(b, "I3", "was decided without");
}

static void I3_claimed_by_three(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    b->fences = 3;
    bed_open_at(b, 0, 2, 0);
    bed_judge(b, "I3", "only 3 members of PG 0 were heard");
}

static void I3_other_groups_are_fenced_before_the_claim_is_won(void **state)
{
    (void)state;
    struct bed *b = bed_new(2);
    b->fences = 3;
    bed_fence(b, 2, 20);
    bed_judge(b, "I3", "with 3 grants of PG 0");
}

static void I3_an_epoch_is_granted_to_two(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    bed_fence(b, 2, 20);
    bed_fence(b, 2, 20); /* the same once more is none */
    assert_int_equal(b->s.verdict.exit, HX_SIM_OK);
    bed_fence(b, 2, 21);
    bed_judge(b, "I3", "to two");
}

/* Epoch 2 was adopted by three of group 0 only, so it is not bound; but who hears four hears of it. */
static void I3_the_newest_history_that_was_heard_is_not_continued(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct hx_history two = bed_child(b, 2, 0), three = bed_child(b, 3, 0);
    b->adopts = 3;
    bed_steps(b, 2, 20, &two);
    assert_int_equal(b->s.verdict.exit, HX_SIM_OK);
    hx_history_fini(&b->h);
    b->h = two;
    bed_fence(b, 3, 31);
    bed_repair(b, (struct msg){0, 0, 3, 31}, &three, NULL, 0);
    hx_history_fini(&three);
    bed_judge(b, "I3", "told of epoch 2");
}

/* A group that was published later is as much to be fenced as group 0. */
static void I1_a_group_is_not_fenced(void **state)
{
    (void)state;
    struct bed *b = bed_new(2);
    bed_open_at(b, 0, 2, 0);
    struct hx_history h = bed_child(b, 3, 0);
    b->r.geometry.pg_count = 1; /* of which alone it hears */
    bed_repair(b, (struct msg){0, 0, 3, 31}, &h, NULL, 0);
    b->r.geometry.pg_count = 2;
    hx_history_fini(&h);
    bed_judge(b, "I1", "only 0 members of PG 1 were heard");
}

static void I3_opened_by_three(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    b->adopts = 3;
    bed_open_at(b, 0, 2, 0);
    bed_judge(b, "I3", "no four members");
}

static void I3_records_without_an_opening(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    b->epoch = 2;
    bed_write_run(b, 0, 0, HX_RIG_LAL + 1, 1, 0);
    bed_judge(b, "I3", "has not opened");
}

static void I3_an_lsn_of_the_epoch_before(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    bed_write_run(b, 0, 0, bed_first_of(b) - 1, 1, 0);
    bed_judge(b, "I3", "begin above");
}

/* ---- I5 ---- */
static void I5_more_than_the_writer_may_allocate(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    bed_write_run(b, 0, 0, bed_first_of(b) + HX_RIG_LAL, 1, 0);
    bed_judge(b, "I5", "beyond");
}

static void I5_a_vdl_that_three_hold(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    uint64_t x = bed_first_of(b);
    bed_write_run(b, 0, 0, x, 1, 0);
    bed_acks(b, 3, 0, x);
    bed_writer(b, x, x, x);
    bed_judge(b, "I5", "four of every PG hold");
}

static void I5_a_vdl_inside_a_transaction(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    uint64_t x = bed_first_of(b);
    bed_write_run(b, 0, 0, x, 1, 0);
    bed_write_run(b, 0, x, x + 1, 3, 0);
    bed_write_run(b, 0, x + 3, x + 4, 1, 0);
    bed_acks(b, 4, 0, x + 4);
    bed_writer(b, x + 2, x + 4, x + 4);
    bed_judge(b, "I5", "no mini-transaction ends");
}

static void I5_a_vdl_falls(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_writer(b, x + 1, x + 1, x + 1);
    bed_writer(b, 0, x + 1, x + 1);
    bed_judge(b, "I5", "after");
}

static void I5_a_wrong_link(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_write_run(b, 0, x, x + 2, 1, 0);
    bed_judge(b, "I5", "follows LSN");
}

static void I5_announced_before_it_is_durable(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_write_run(b, 0, x + 1, x + 2, 1, x + 2);
    bed_judge(b, "I5", "announces VDL");
}

static void I5_a_cut_inside_a_transaction(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_write_run(b, 0, x + 1, x + 2, 3, x + 1);
    bed_open_at(b, 1, 3, x + 3);
    bed_judge(b, "I5", "where no mini");
}

/* ---- I9 ---- */
static void I9_a_record_for_a_group_that_is_not_published(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    bed_write_run(b, 1, 0, bed_first_of(b), 1, 0);
    bed_judge(b, "I9", "no published geometry");
}

static void grow(struct bed *b, unsigned formatted)
{
    struct hx_pg_members m = {.server = {0, 1, 2, 3, 4, 5}};
    for (unsigned i = 0; i < formatted; i++)
        bed_answer(b, i, (struct msg){HX_MSG_FORMAT, b->r.geometry.pg_count, b->epoch, 1}, NULL, 0, 0, NULL,
                   0);
    assert_int_equal(hx_geometry_add_pg(&b->r.geometry, &m), 0);
    bed_store(b, (struct msg){0, 0, b->epoch, 1}, &b->r.geometry);
}

static void growth_is_silent(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    grow(b, 4);
    uint64_t x = bed_first_of(b);
    bed_write_run(b, 1, 0, x, 1, 0);
    bed_acks(b, 4, 1, x);
    bed_durable(b, x);
    bed_open_at(b, 1, 3, x);
    bed_judge(b, "", "");
}

static void I9_published_with_three_members(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    grow(b, 3);
    bed_judge(b, "I9", "3 members made");
}

static void I9_published_by_three(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    b->stores = 3;
    grow(b, 6);
    bed_write_run(b, 1, 0, bed_first_of(b), 1, 0);
    bed_judge(b, "I9", "no published geometry");
}

static void I9_an_opening_forgets_a_group(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    bed_open_at(b, 0, 2, 0);
    grow(b, 6);
    bed_fence(b, 3, 31); /* both groups: it only forgets one of them */
    b->r.geometry.pg_count = b->r.geometry.g = 1;
    bed_open_at(b, 1, 3, 0);
    bed_judge(b, "I9", "were published");
}

/* ---- I10 ---- */
static void I10_a_floor_above_the_vdl(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_append(b, x + 1, x + 2, 0);
    bed_judge(b, "I10", "above its VDL");
}

static void I10_a_read_below_the_floor(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    uint8_t ask[16] = {0};
    bed_append(b, x + 1, x + 1, 0);
    hx_put_u64(ask, 0);
    hx_put_u32(ask + 8, 1);
    bed_send(b, (struct msg){HX_MSG_READ, 0, 2, 0}, ask, sizeof ask);
    bed_judge(b, "I10", "is between");
}

static void I10_all_six_have_it_but_two_have_not(void **state)
{
    (void)state;
    uint64_t x;
    struct bed *b = bed_written(1, &x);
    bed_ack(b, 4, 0, 2, 0);
    uint8_t payload[12] = {0, 0, 8, 0, 1};
    struct hx_rig_rec rec = {x + 2, 1, HX_REC_SPARSE, HX_REC_CPL, payload, sizeof payload};
    bed_append(b, x + 1, x + 1,
               hx_rig_frame(&b->r, 0, 2, x + 1, &rec, 1, (struct hx_rig_marks){x + 1, x + 1, x + 1}));
    bed_judge(b, "I10", "all members of PG");
}

static void a_loss_is_excused_only_if_lies_could_cause_it(void **state)
{
    (void)state;
    for (unsigned liars = 0; liars <= 3; liars++) {
        uint64_t x;
        struct bed *b = bed_written(1, &x);
        bed_ack(b, 4, 0, 2, x + 1); /* five have it */
        for (unsigned i = 0; i < liars; i++)
            hx_oracle_restarted(b->o, i, false);
        bed_open_at(b, 1, 3, 0);
        if (liars >= 3)
            assert_true(hx_oracle_excused(b->o) > 0);
        bed_judge(b, liars >= 3 ? "" : "I1", liars >= 3 ? "" : "is cut at");
    }
}

/* An opening may give up when four say that they have no such segment and two of them had made it and forgot; not when
 * one did, nor when it was told by three, nor when an older opening was. */
static void a_forgotten_group_needs_two_that_forgot(void **state)
{
    (void)state;
    for (unsigned made = 4; made <= 6; made++)
        for (unsigned none = 3; none <= 5; none++)
            for (unsigned liars = 0; liars <= 3; liars++) {
                struct bed *b = bed_new(1);
                bed_open_at(b, 0, 2, 0);
                grow(b, made);
                b->client = 1;
                bed_fence(b, 3, 31);
                struct msg m = {HX_MSG_FENCE, 1, 3, 31};
                for (unsigned i = 0; i < none; i++) { /* from the last, who may never have been made */
                    if (i < liars)
                        hx_oracle_restarted(b->o, made - 1 - i, false);
                    unsigned who = i < liars ? made - 1 - i : (made + i - liars) % 6;
                    bed_answer(b, who, m, NULL, 0, HX_E_NO_SEGMENT, NULL, 0);
                    hx_oracle_heard(b->o, 1, b->a, HX_REPLY_HEAD);
                }
                assert_int_equal(hx_oracle_forgotten(b->o, 1), none >= 4 && liars >= 2);
                assert_false(hx_oracle_forgotten(b->o, 0));
                bed_fence(b, 4, 41);
                assert_false(hx_oracle_forgotten(b->o, 1));
                bed_judge(b, "", "");
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_history_is_silent),
        cmocka_unit_test(an_opening_that_hears_of_its_end_late_is_silent),
        cmocka_unit_test(a_fence_answer_of_a_life_before_counts),
        cmocka_unit_test(an_end_that_three_deny_is_silent),
        cmocka_unit_test(I11_an_end_that_two_deny),
        cmocka_unit_test(I1_three_copies_are_not_durable),
        cmocka_unit_test(I1_the_same_copy_twice_is_one),
        cmocka_unit_test(I1_another_group_lacks_it),
        cmocka_unit_test(I1_half_a_transaction_is_not_durable),
        cmocka_unit_test(I1_an_opening_leaves_out_what_four_held),
        cmocka_unit_test(I1_adopted_before_written_back),
        cmocka_unit_test(I1_told_durable_after_the_cut),
        cmocka_unit_test(I2_two_contents_of_one_record),
        cmocka_unit_test(I2_a_fourth_acknowledgement_after_the_cut),
        cmocka_unit_test(I2_an_acknowledgement_after_the_fence),
        cmocka_unit_test(I2_two_clients_in_one_epoch),
        cmocka_unit_test(I2_repair_with_what_was_never_written),
        cmocka_unit_test(I3_an_attempt_decides_twice),
        cmocka_unit_test(I3_an_end_that_is_not_the_formula),
        cmocka_unit_test(I3_a_bound_history_is_left_out),
        cmocka_unit_test(I3_claimed_by_three),
        cmocka_unit_test(I1_a_group_is_not_fenced),
        cmocka_unit_test(I3_an_epoch_is_granted_to_two),
        cmocka_unit_test(I3_other_groups_are_fenced_before_the_claim_is_won),
        cmocka_unit_test(I3_the_newest_history_that_was_heard_is_not_continued),
        cmocka_unit_test(I3_opened_by_three),
        cmocka_unit_test(I3_records_without_an_opening),
        cmocka_unit_test(I3_an_lsn_of_the_epoch_before),
        cmocka_unit_test(I5_more_than_the_writer_may_allocate),
        cmocka_unit_test(I5_a_vdl_that_three_hold),
        cmocka_unit_test(I5_a_vdl_inside_a_transaction),
        cmocka_unit_test(I5_a_vdl_falls),
        cmocka_unit_test(I5_a_wrong_link),
        cmocka_unit_test(I5_announced_before_it_is_durable),
        cmocka_unit_test(I5_a_cut_inside_a_transaction),
        cmocka_unit_test(I9_a_record_for_a_group_that_is_not_published),
        cmocka_unit_test(growth_is_silent),
        cmocka_unit_test(I9_published_with_three_members),
        cmocka_unit_test(I9_published_by_three),
        cmocka_unit_test(I9_an_opening_forgets_a_group),
        cmocka_unit_test(I10_a_floor_above_the_vdl),
        cmocka_unit_test(I10_a_read_below_the_floor),
        cmocka_unit_test(I10_all_six_have_it_but_two_have_not),
        cmocka_unit_test(a_loss_is_excused_only_if_lies_could_cause_it),
        cmocka_unit_test(a_forgotten_group_needs_two_that_forgot),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("oracle", tests, NULL, NULL);
}
