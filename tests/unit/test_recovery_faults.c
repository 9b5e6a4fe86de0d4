/*
 * test_recovery_faults.c - opening a volume that has damaged, lying, lost or lagging members, and one whose opening
 * died; scripted servers in virtual time.
 */
#include "recovery_kit.h"

/* ---- damage and loss ---- */

static void f7_a_damaged_copy_is_not_a_denial(void **state)
{
    /* Promise (F7b, pitfall 44): the walk does not end at an LSN that a damaged copy may be.  Method: record 1 was
     * acknowledged on 0..3; 2 and 3 are damaged, 0 and 1 silent: 4 and 5 alone cannot deny it.  Then 0 comes back. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    put(f, 0, 0x0f, 1, 1, 0, true, 0);
    for (unsigned i = 2; i < 4; i++) {
        fleet_seg_at(f, 0, i)->recs[0].damaged = true;
        fleet_seg_at(f, 0, i)->unknown = (struct hx_inv_unknown){HX_LSN(1), HX_LSN_MAX};
    }
    down(f, 0, 0x03);
    struct hx_recovery *r = start(f, 1, 1);
    assert_false(run_for(f, r, 20000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_DECIDE);
    waiting_has(r, "PG 0: 2 of 6 servers surely never had LSN 1, 3 needed (silent: ");
    waiting_has(r, "has a damaged record there");
    down(f, 0, 0x02);
    assert_true(run_for(f, r, 20000));
    assert_int_equal(top(r)->vdl.v, 1);
    finish(f, r);
    fleet_free(f);
}

static void f7_a_repaired_member_counts_by_its_new_answer_only(void **state)
{
    /* Promise (F7b): a member whose damage was repaired after it answered is asked again, and its record counts.
     * Method: as above, but 2's copy is repaired by a peer while the opening waits. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    uint8_t payload[FLEET_PAYLOAD];
    put(f, 0, 0x0f, 1, 1, 0, true, 0);
    for (unsigned i = 2; i < 4; i++) {
        fleet_seg_at(f, 0, i)->recs[0].damaged = true;
        fleet_seg_at(f, 0, i)->unknown = (struct hx_inv_unknown){HX_LSN(1), HX_LSN(3)};
    }
    down(f, 0, 0x03);
    struct hx_recovery *r = start(f, 1, 1);
    assert_false(run_for(f, r, 5000));
    struct fleet_seg *s = fleet_seg_at(f, 0, 2);
    struct fleet_rec rec = fleet_make(1, 1, 0, true, 0, payload);
    assert_memory_equal(s->recs[0].payload, rec.payload, FLEET_PAYLOAD);
    s->recs[0].damaged = false;
    s->unknown = (struct hx_inv_unknown){0};
    assert_true(run_for(f, r, 20000));
    assert_int_equal(top(r)->vdl.v, 1);
    finish(f, r);
    fleet_free(f);
}

static void damage_does_not_say_where_an_idle_group_ends(void **state)
{
    /* Promise (I11, P1): below the start no inventory lists records, so there an SCL is all that tells where an idle
     * PG ends; that of a damaged member does not.  Method: LSN 1 in PG 0 was acknowledged on 0..3 and announced by
     * LSN 2 in PG 1; 0 and 1 are damaged there, 2 and 3 silent: all four that answer are complete through nothing.
     * Then 0 is mended by a peer, and gossip fills the others. */
    (void)state;
    struct fleet *f = fleet_new(6, 2, LAL);
    put(f, 0, 0x0f, 1, 1, 0, true, 0);
    put(f, 1, 0x3f, 2, 1, 0, true, 1);
    for (unsigned i = 0; i < 2; i++) {
        fleet_seg_at(f, 0, i)->recs[0].damaged = true;
        fleet_seg_at(f, 0, i)->unknown = (struct hx_inv_unknown){HX_LSN(1), HX_LSN(1)};
    }
    down(f, 0, 0x0c);
    struct hx_recovery *r = start(f, 1, 1);
    assert_false(run_for(f, r, 20000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_REPAIR);
    waiting_has(r, "is damaged above it");
    fleet_seg_at(f, 0, 0)->recs[0].damaged = false;
    fleet_seg_at(f, 0, 0)->unknown = (struct hx_inv_unknown){0};
    for (int s = 0; s < 20 && !run_for(f, r, 1000); s++)
        fleet_gossip(f);
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_int_equal(top(r)->vdl.v, 2);
    assert_int_equal(hx_recovery_result(r)->pgs[0].last.v, 1);
    finish(f, r);
    fleet_free(f);
}

static void f7_a_missing_lsn_must_be_denied_in_every_group(void **state)
{
    /* Promise (F7a): nobody knows which PG a missing LSN belongs to, so damage in PG 1 stops the walk even where
     * PG 0 is clean.  Method: PG 1 empty but damaged from LSN 1 on four of six. */
    (void)state;
    struct fleet *f = fleet_new(6, 2, LAL);
    for (unsigned i = 0; i < 4; i++)
        fleet_seg_at(f, 1, i)->unknown = (struct hx_inv_unknown){HX_LSN(1), HX_LSN(5)};
    struct hx_recovery *r = start(f, 1, 1);
    assert_false(run_for(f, r, 10000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_DECIDE);
    waiting_has(r, "PG 1: 2 of 6 servers surely never had LSN 1");
    fleet_seg_at(f, 1, 0)->unknown = (struct hx_inv_unknown){HX_LSN(2), HX_LSN(5)};
    assert_true(run_for(f, r, 10000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    finish(f, r);
    fleet_free(f);
}

static void two_contents_under_one_number_stop_the_opening(void **state)
{
    /* Promise: same (LSN, epoch), different bytes: corruption, nothing is changed.  Method: by hand. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    uint8_t payload[FLEET_PAYLOAD];
    put(f, 0, 0x07, 1, 1, 0, true, 0);
    struct fleet_rec rec = fleet_make(1, 1, 0, true, 1, payload);
    assert_int_equal(fleet_append(f, 0, 3, &rec, HX_LSN(0)), 0);
    struct hx_recovery *r = start(f, 1, 1);
    assert_true(run_for(f, r, 10000));
    assert_int_equal(hx_recovery_error(r), HX_E_CORRUPT);
    waiting_has(r, "LSN 1 of epoch 1 has two contents");
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_history_top(&fleet_seg_at(f, 0, i)->history).v, 1);
    finish(f, r);
    fleet_free(f);
}

static void a_durable_point_that_the_history_lacks_is_data_loss(void **state)
{
    /* Promise: a hint that PG 0's history does not contain, or that comes late and lies above the cut, is loss.
     * Method: a hint inside a gap; then a silent member with hint 5 that answers after the decision. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    finish(f, open_volume(f, 1));
    fleet_seg_at(f, 0, 2)->hint = HX_LSN(500);
    struct hx_recovery *r = start(f, 2, 1);
    assert_true(run_for(f, r, 10000));
    assert_int_equal(hx_recovery_error(r), HX_E_DATA_LOSS);
    waiting_has(r, "knows LSN 500 as durable, but no history of PG 0 contains it");
    finish(f, r);
    fleet_free(f);

    f = fleet_new(6, 1, LAL);
    fleet_seg_at(f, 0, 5)->hint = HX_LSN(5);
    struct script s = {.status = HX_E_AGAIN, .type = HX_MSG_FENCE, .slots = 0x20, .times = 1};
    struct script block = {.status = HX_E_AGAIN, .type = HX_MSG_REPAIR, .slots = 0x3f};
    f->hook = play;
    f->hook_ctx = &s;
    r = start(f, 1, 1);
    struct fleet_part p = fleet_recovery(r);
    while (hx_recovery_state(r) != HX_RECOVERY_REPAIR)
        assert_true(fleet_step(f, &p, 1));
    f->hook_ctx = &block;
    assert_true(run_for(f, r, 10000));
    assert_int_equal(hx_recovery_error(r), HX_E_DATA_LOSS);
    waiting_has(r, "knows LSN 5 as durable, but the log ends at LSN 0");
    finish(f, r);
    fleet_free(f);
}

/* ---- repair ---- */

static void hints_let_the_walk_begin_above_what_is_durable(void **state)
{
    /* Promise: records at or below a VDL that was announced are not needed in the union.  Method: five records
     * acknowledged, VDL 5 announced to member 3 only; all inventories but its own list from LSN 1. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    for (uint64_t n = 1; n <= 5; n++)
        put(f, 0, 0x0f, n, 1, n - 1, true, n - 1);
    fleet_seg_at(f, 0, 3)->hint = HX_LSN(5);
    struct hx_recovery *r = open_volume(f, 1);
    assert_int_equal(top(r)->vdl.v, 5);
    assert_int_equal(hx_recovery_result(r)->pgs[0].last.v, 5);
    finish(f, r);
    fleet_free(f);
}

static void f4_a_laggard_below_the_start_is_filled_by_gossip_after_the_parent_history(void **state)
{
    /* Promise (F4, step 6): where two are lost and one lags below the inventories with an older history, it gets
     * the parent history from us and is filled by its peers.  Method: epoch 2 opened without member 3, ten records
     * durable on 0,1,2,4; then 4 and 5 are lost; gossip runs once a second. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    down(f, 0, 0x08);
    struct hx_recovery *r = open_volume(f, 1);
    uint64_t first = top(r)->end.v + 1, prev = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (i != 3)
            assert_int_equal(fleet_adopt(f, 0, i, HX_EPOCH(2), &hx_recovery_result(r)->history), 0);
    finish(f, r);
    for (uint64_t n = first; n < first + 10; n++) {
        put(f, 0, 0x17, n, 2, prev, true, prev);
        prev = n;
    }
    for (unsigned i = 0; i < 3; i++)
        fleet_seg_at(f, 0, i)->hint = HX_LSN(prev);
    f->durable = HX_LSN(prev);
    down(f, 0, 0x30);
    r = start(f, 2, 1);
    for (int k = 0; k < 20 && !run_for(f, r, 1000); k++) {
        if (k == 2)
            waiting_has(r, "is behind, complete through LSN 0");
        if (k > 2)
            fleet_gossip(f);
    }
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_int_equal(top(r)->vdl.v, prev);
    assert_int_equal(hx_recovery_result(r)->pgs[0].last.v, prev);
    assert_int_equal(hx_recovery_result(r)->pgs[0].scl[3].v, prev);
    finish(f, r);
    fleet_free(f);
}

static void an_idle_group_learns_its_last_record_from_the_members(void **state)
{
    /* Promise: a PG with nothing above the start gets its last record from the highest SCL answered; a member that
     * answers less does not count.  Method: PG 1's LSN 2 durable on four of six, hint 3; all 15 sets of four
     * alive. */
    (void)state;
    for (unsigned set = 0; set < 64; set++) {
        if (hx_members_count((hx_members)set) != 4)
            continue;
        struct fleet *f = fleet_new(12, 2, LAL);
        put(f, 0, 0x0f, 1, 1, 0, true, 0);
        put(f, 1, 0x0f, 2, 1, 0, true, 0);
        put(f, 0, 0x0f, 3, 1, 1, true, 0);
        fleet_seg_at(f, 0, 0)->hint = HX_LSN(3);
        f->durable = HX_LSN(3);
        down(f, 1, (hx_members)~set);
        struct hx_recovery *r = start(f, 1, 1);
        for (int k = 0; k < 20 && !run_for(f, r, 1000); k++)
            fleet_gossip(f);
        assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
        assert_int_equal(hx_recovery_result(r)->pgs[1].last.v, 2);
        assert_int_equal(hx_recovery_result(r)->pgs[0].last.v, 3);
        finish(f, r);
        fleet_free(f);
    }
}

static void a_source_that_cannot_give_the_record_is_replaced_by_another(void **state)
{
    /* Promise (P3, pitfall 37): bytes that are not what the inventories agree on are not written back.  Method:
     * record 1 on members 0 and 1 only; 0's payload is changed after its inventory (its answers then lie). */
    (void)state;
    for (unsigned liar = 0; liar < 2; liar++) {
        struct fleet *f = fleet_new(6, 1, LAL);
        put(f, 0, 0x03, 1, 1, 0, true, 0);
        struct hx_recovery *r = start(f, 1, 1);
        struct fleet_part p = fleet_recovery(r);
        while (hx_recovery_state(r) != HX_RECOVERY_REPAIR)
            assert_true(fleet_step(f, &p, 1));
        fleet_seg_at(f, 0, liar)->recs[0].payload[0] ^= 1;
        assert_true(run_for(f, r, 60000));
        assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
        for (unsigned i = 2; i < HX_COPIES; i++) {
            const struct fleet_seg *s = fleet_seg_at(f, 0, i);
            if (fleet_holds(s, HX_LSN(1), HX_EPOCH(1)))
                assert_memory_equal(s->recs[0].payload, fleet_seg_at(f, 0, !liar)->recs[0].payload, FLEET_PAYLOAD);
        }
        finish(f, r);
        fleet_free(f);
    }
}

static void megabytes_are_written_back_in_pieces(void **state)
{
    /* Promise: a long tail is fetched once and sent in bodies of about a MiB, LSN by LSN.  Method: 1,500 pages that
     * only member 0 holds; the five others lack different parts of it. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL * 10);
    uint8_t *page = malloc(HX_PAGE_SIZE);
    for (uint64_t n = 1; n <= 1500; n++) {
        for (size_t i = 0; i < HX_PAGE_SIZE; i += 8)
            hx_put_u64(page + i, fleet_random(f));
        struct fleet_rec rec = {.lsn = HX_LSN(n),
                                .prev = HX_LSN(n - 1),
                                .epoch = HX_EPOCH(1),
                                .cpl = n % 5 == 0,
                                .page = (uint32_t)n % 200,
                                .kind = HX_REC_IMAGE,
                                .len = HX_PAGE_SIZE,
                                .payload = page};
        for (unsigned i = 0; i < HX_COPIES; i++)
            if (i == 0 || (i == 1 && n < 700) || (i == 2 && n % 3 == 0) || (i == 3 && n > 900))
                assert_int_equal(fleet_append(f, 0, i, &rec, HX_LSN(0)), 0);
    }
    free(page);
    struct hx_recovery *r = open_volume(f, 1);
    assert_int_equal(top(r)->vdl.v, 1500);
    assert_int_equal(hx_recovery_result(r)->pgs[0].last.v, 1500);
    hx_members full = 0;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        const struct fleet_seg *s = fleet_seg_at(f, 0, i);
        if (s->count == 1500)
            full = hx_members_add(full, i);
        for (size_t k = 0; k < s->count; k++)
            assert_memory_equal(s->recs[k].payload, fleet_seg_at(f, 0, 0)->recs[s->recs[k].lsn.v - 1].payload,
                                HX_PAGE_SIZE);
    }
    assert_true(hx_quorum_write(full));
    finish(f, r);
    fleet_free(f);
}

static void hundreds_of_groups_open_with_few_calls_under_way(void **state)
{
    /* Promise: bounded per server, no waiting for the dead.  Method: 300 PGs on 12 servers, one of them dead; the
     * fleet asserts the bound (V1). */
    (void)state;
    struct fleet *f = fleet_new(12, 300, LAL);
    for (uint32_t p = 0; p < 300; p++)
        put(f, p, 0x0f, p + 1, 1, 0, true, 0);
    f->servers[7].down = true;
    struct hx_recovery *r = open_volume(f, 1);
    assert_int_equal(top(r)->vdl.v, 300);
    for (uint32_t p = 0; p < 300; p++)
        assert_int_equal(hx_recovery_result(r)->pgs[p].last.v, p + 1);
    assert_int_equal(f->servers[0].under_way_max, 4);
    finish(f, r);
    fleet_free(f);
}

static void f2_f10_an_opening_that_died_anywhere_leaves_no_trace(void **state)
{
    /* Promise (F2, F10, pitfall 6, step 10): an opening stopped after any number of deliveries, then another by
     * other members, then a third by yet others: what was acknowledged stays, what the second showed stays.
     * Method: every stop point; the fleet checks V2 at every ADOPT. */
    (void)state;
    for (uint64_t stop = 0; stop < 60; stop++) {
        struct fleet *f = fleet_new(6, 2, LAL);
        put(f, 0, 0x0f, 1, 1, 0, true, 0);
        put(f, 1, 0x3c, 2, 1, 0, true, 0);
        put(f, 0, 0x02, 3, 1, 1, true, 0);
        down(f, 0, 0x01);
        struct hx_recovery *r = start(f, 1, 1);
        struct fleet_part p = fleet_recovery(r);
        for (int i = 0; i < STEPS_MAX && f->delivered < stop && !at_end(r); i++)
            fleet_step(f, &p, 1);
        finish(f, r);
        down(f, 0, 0x06);
        r = open_volume(f, 1);
        uint64_t shown = top(r)->vdl.v;
        assert_true(shown >= 2);
        finish(f, r);
        down(f, 0, 0x30);
        r = open_volume(f, 2);
        assert_int_equal(top(r)->vdl.v, shown);
        finish(f, r);
        fleet_free(f);
    }
}

static void a_member_of_another_group_may_know_an_epoch_that_never_opened(void **state)
{
    /* Promise (F6): only PG 0's histories decide, and a higher one elsewhere, bound by an opening that died, stops
     * nothing.  Method: member 0 of PG 1 holds an unopened epoch 2. */
    (void)state;
    struct fleet *f = fleet_new(12, 2, LAL);
    put(f, 0, 0x0f, 1, 1, 0, true, 0);
    struct fleet_seg *s = fleet_seg_at(f, 1, 0);
    push(&s->history, 2, 0, LAL);
    s->promised = HX_EPOCH(2);
    struct hx_recovery *r = open_volume(f, 1);
    assert_int_equal(top(r)->vdl.v, 1);
    assert_int_equal(hx_recovery_result(r)->history.count, 2);
    finish(f, r);
    fleet_free(f);
}

static void an_unopened_history_on_one_member_of_group_zero_may_bind(void **state)
{
    /* Promise (section 1, "why it is right"): H' stored on one member of PG 0 has its records on four; whether the
     * next opening sees that member or not, the outcome is right.  Method: both. */
    (void)state;
    for (unsigned seen = 0; seen < 2; seen++) {
        struct fleet *f = fleet_new(6, 1, LAL);
        put(f, 0, 0x0f, 1, 1, 0, true, 0);
        struct fleet_seg *s = fleet_seg_at(f, 0, 0);
        push(&s->history, 2, 1, LAL + 1);
        s->promised = HX_EPOCH(2);
        down(f, 0, seen ? 0x30 : 0x01);
        struct hx_recovery *r = open_volume(f, 2);
        assert_int_equal(top(r)->vdl.v, 1);
        assert_int_equal(hx_recovery_result(r)->history.count, seen ? 3 : 2);
        finish(f, r);
        fleet_free(f);
    }
}

static void malformed_answers_are_asked_again_and_count_for_nothing(void **state)
{
    /* Promise: what comes from the wire is never trusted.  Method: FENCE is answered with every truncation of a
     * good answer (head made anew each time), then properly. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    struct hx_recovery *r = start(f, 1, 1);
    uint8_t reply[HX_REPLY_HEAD + 64] = {0};
    for (size_t len = 0; len < 64; len++) {
        struct hx_effect e;
        while (hx_recovery_next(r, &e) == 1) {
            if (e.kind != HX_EFFECT_SEND)
                continue;
            struct hx_reply_head h = {.type = HX_MSG_FENCE, .req_id = e.call, .server = e.server->incarnation};
            struct hx_bytes body = {reply + HX_REPLY_HEAD, len};
            hx_reply_head_encode(&h, &body, 1, reply);
            hx_recovery_answer(r, f->now_ms, e.call, (struct hx_bytes){reply, HX_REPLY_HEAD + len});
        }
        f->now_ms += 1000;
        hx_recovery_tick(r, f->now_ms);
    }
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_CLAIM);
    assert_true(run_for(f, r, 60000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    finish(f, r);
    fleet_free(f);
}

static void a_stranger_never_counts_and_is_named(void **state)
{
    /* Promise: a server with another incarnation than the volume knows grants nothing.  Method: three of six were
     * replaced by empty ones. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    for (uint32_t i = 0; i < 3; i++)
        f->servers[i].s.incarnation.b[5] ^= 0xff;
    struct hx_recovery *r = start(f, 1, 1);
    assert_false(run_for(f, r, 20000));
    waiting_has(r, "this is not the server that the volume knows by that name");
    finish(f, r);
    fleet_free(f);
}

static void a_role_that_three_members_refuse_ends_the_opening(void **state)
{
    /* Promise: where no claim can succeed with this certificate, it is said; two refusals are waited out.  Method:
     * ROLE from two members, then from three. */
    (void)state;
    for (unsigned n = 2; n <= 3; n++) {
        struct fleet *f = fleet_new(6, 1, LAL);
        struct script s = {.status = HX_E_ROLE, .type = HX_MSG_FENCE, .slots = (hx_members)((1u << n) - 1)};
        f->hook = play;
        f->hook_ctx = &s;
        struct hx_recovery *r = start(f, 1, 1);
        assert_true(run_for(f, r, 20000));
        assert_int_equal(hx_recovery_state(r), n == 2 ? HX_RECOVERY_OPEN : HX_RECOVERY_FAILED);
        assert_int_equal(hx_recovery_error(r), n == 2 ? 0 : HX_E_ROLE);
        finish(f, r);
        fleet_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f7_a_damaged_copy_is_not_a_denial),
        cmocka_unit_test(damage_does_not_say_where_an_idle_group_ends),
        cmocka_unit_test(f7_a_repaired_member_counts_by_its_new_answer_only),
        cmocka_unit_test(f7_a_missing_lsn_must_be_denied_in_every_group),
        cmocka_unit_test(two_contents_under_one_number_stop_the_opening),
        cmocka_unit_test(a_durable_point_that_the_history_lacks_is_data_loss),
        cmocka_unit_test(hints_let_the_walk_begin_above_what_is_durable),
        cmocka_unit_test(f4_a_laggard_below_the_start_is_filled_by_gossip_after_the_parent_history),
        cmocka_unit_test(an_idle_group_learns_its_last_record_from_the_members),
        cmocka_unit_test(a_source_that_cannot_give_the_record_is_replaced_by_another),
        cmocka_unit_test(megabytes_are_written_back_in_pieces),
        cmocka_unit_test(hundreds_of_groups_open_with_few_calls_under_way),
        cmocka_unit_test(f2_f10_an_opening_that_died_anywhere_leaves_no_trace),
        cmocka_unit_test(a_member_of_another_group_may_know_an_epoch_that_never_opened),
        cmocka_unit_test(an_unopened_history_on_one_member_of_group_zero_may_bind),
        cmocka_unit_test(malformed_answers_are_asked_again_and_count_for_nothing),
        cmocka_unit_test(a_stranger_never_counts_and_is_named),
        cmocka_unit_test(a_role_that_three_members_refuse_ends_the_opening),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("recovery_faults", tests, NULL, NULL);
}
