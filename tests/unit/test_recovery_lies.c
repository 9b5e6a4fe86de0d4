/*
 * test_recovery_lies.c - opening a volume some of whose members give answers that are whole and wrong: inventories
 * that cannot be, records that are not the ones asked for, positions that nobody can have.
 *
 * Method: honest servers (fake_fleet.h) in virtual time; the answers of some members to one kind of message are
 * changed, their checksums made right.  A lie must count for nothing or stop the opening with a reason; never may the
 * volume open with what a liar said, and the fleet's own rules (V1..V3) hold throughout.
 */
#include "recovery_kit.h"

/* ---- FENCE ---- */

static void no_history(struct hx_inventory *v)
{
    v->history.count = 0;
}
static void no_geometry(struct hx_inventory *v)
{
    v->has_geometry = false;
}
static void other_volume(struct hx_inventory *v)
{
    v->geometry.volume.b[3] ^= 1;
    v->geometry.epoch = HX_EPOCH(90);
}
static void empty_geometry(struct hx_inventory *v)
{
    v->geometry.g = v->geometry.pg_count = 0;
    v->geometry.epoch = HX_EPOCH(90); /* the newest of all */
}

static void byte_more(struct hx_reply_head *rh, uint8_t *body, size_t *len)
{
    (void)rh;
    body[(*len)++] = 0;
}

static void inventories_that_cannot_be_grant_nothing(void **state)
{
    /* Promise: what comes from the wire is never trusted: an answer without history, of another volume, or with a
     * geometry that has no group is no grant, however new it calls itself.  Method: three of six members tell it; the
     * opening waits, without an end or a claim elsewhere, and goes on when they are honest. */
    static void (*const lies[])(struct hx_inventory *) = {no_history, no_geometry, other_volume, empty_geometry, NULL};
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(lies); i++) {
        struct fleet *f = fleet_new(6, 1, LAL);
        struct lie l = {.type = HX_MSG_FENCE, .slots = 0x07, .inventory = lies[i], .raw = lies[i] ? NULL : byte_more};
        let_lie(f, &l);
        struct hx_recovery *r = start(f, 1, 1);
        assert_false(run_for(f, r, 20000));
        assert_int_equal(hx_recovery_state(r), HX_RECOVERY_CLAIM);
        waiting_has(r, "PG 0: 3 of 6 servers granted epoch 2");
        assert_true(l.hits > 6);
        f->twist = NULL;
        assert_true(run_for(f, r, 20000));
        assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
        assert_int_equal(hx_recovery_result(r)->geometry.pg_count, 1);
        assert_true(hx_uuid_eq(&hx_recovery_result(r)->geometry.volume, &f->geometry.volume));
        finish(f, r);
        fleet_free(f);
    }
}

static void two_histories_of_one_epoch_are_corruption(void **state)
{
    /* Promise (R1): one epoch has one history; where PG 0 holds two, the opening stops and nothing is changed. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        push(&fleet_seg_at(f, 0, i)->history, 2, i == 2, LAL + 1);
        fleet_seg_at(f, 0, i)->promised = HX_EPOCH(2);
    }
    struct hx_recovery *r = start(f, 2, 1);
    ends_with(f, r, HX_E_CORRUPT, "PG 0: two histories of epoch 2");
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_history_top(&fleet_seg_at(f, 0, i)->history).v, 2);
    finish(f, r);
    fleet_free(f);
}

static struct hx_recovery *start_with(struct fleet *f, const struct hx_geometry *hint, uint64_t epoch_seen)
{
    struct hx_recovery *r = NULL;
    struct hx_recovery_cfg cfg = {.hint = hint, .epoch_seen = HX_EPOCH(epoch_seen), .seed = 1, .now_ms = f->now_ms};
    assert_int_equal(hx_recovery_new(&cfg, &r), 0);
    return r;
}

static void a_hint_that_knows_too_much_is_corrected(void **state)
{
    /* Promise (F3): PG 0 is claimed where its own members say that it is.  Method: the hint has one server more than
     * the volume, or takes one for another incarnation of itself. */
    (void)state;
    for (unsigned more = 0; more < 2; more++) {
        struct fleet *f = fleet_new(6, 1, LAL);
        struct hx_geometry hint = {0};
        assert_int_equal(hx_geometry_copy(&hint, &f->geometry), 0);
        if (more)
            assert_int_equal(hx_geometry_add_server(&hint, &f->servers[0].s), 0);
        else
            hint.servers[4].incarnation.b[1] ^= 1;
        struct hx_recovery *r = start_with(f, &hint, 1);
        hx_geometry_fini(&hint);
        assert_true(run_for(f, r, 20000));
        assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
        assert_int_equal(hx_recovery_result(r)->geometry.server_count, 6);
        assert_true(hx_uuid_eq(&hx_recovery_result(r)->geometry.servers[4].incarnation, &f->servers[4].s.incarnation));
        finish(f, r);
        fleet_free(f);
    }
}

static void a_hint_that_is_none_is_refused(void **state)
{
    /* Promise: without a group to ask, or with a geometry that cannot be, nothing is begun. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    struct hx_geometry hint = f->geometry;
    struct hx_recovery_cfg cfg = {.hint = NULL, .now_ms = 1};
    struct hx_recovery *r = NULL;
    assert_int_equal(hx_recovery_new(&cfg, &r), HX_E_INVAL);
    cfg.hint = &hint;
    hint.g = hint.pg_count = 0;
    assert_int_equal(hx_recovery_new(&cfg, &r), HX_E_INVAL);
    hint = f->geometry;
    hint.lal = 0;
    assert_int_equal(hx_recovery_new(&cfg, &r), HX_E_INVAL);
    fleet_free(f);
}

static void the_highest_epoch_is_an_end_not_a_wrap(void **state)
{
    /* Promise (I2): epochs only rise; above the highest there is none, and 0 is never claimed.  Method: a member has
     * promised 2^64-1; and a claim of 2^64-1 that must be repeated elsewhere. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    fleet_seg_at(f, 0, 3)->promised = HX_EPOCH(UINT64_MAX);
    struct hx_recovery *r = start(f, 1, 1);
    ends_with(f, r, HX_E_CORRUPT, "has promised the highest epoch there is");
    finish(f, r);
    fleet_free(f);

    f = fleet_new(6, 1, LAL);
    struct hx_geometry hint = {0};
    assert_int_equal(hx_geometry_copy(&hint, &f->geometry), 0);
    assert_int_equal(hx_geometry_add_server(&hint, &f->servers[0].s), 0);
    r = start_with(f, &hint, UINT64_MAX - 1);
    hx_geometry_fini(&hint);
    ends_with(f, r, HX_E_CORRUPT, "has promised the highest epoch there is");
    finish(f, r);
    fleet_free(f);
}

static void an_epoch_that_anybody_has_heard_of_is_not_claimed(void **state)
{
    /* Promise (I2): the next claim is above every epoch in any answer.  Method: a member of PG 1 has a history of
     * epoch 9, which nobody promised; then GEOMETRY is refused once. */
    (void)state;
    struct fleet *f = fleet_new(12, 2, LAL);
    push(&fleet_seg_at(f, 1, 0)->history, 9, 0, LAL);
    struct script s = {.type = HX_MSG_GEOMETRY, .slots = 0x01, .times = 1, .status = HX_E_FENCED};
    f->hook = play;
    f->hook_ctx = &s;
    struct hx_recovery *r = open_volume(f, 1);
    assert_int_equal(s.hits, 1);
    assert_int_equal(top(r)->epoch.v, 10);
    finish(f, r);
    fleet_free(f);
}

static void hint_in_no_epoch(struct hx_inventory *v)
{
    v->history.e[0].end = HX_LSN(50);
    v->vdl_hint = HX_LSN(3);
}

static void a_durable_point_before_all_epochs_is_data_loss(void **state)
{
    /* Promise: an LSN below where the history begins belongs to no history that PG 0 has. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    struct lie l = {.type = HX_MSG_FENCE, .slots = 0x3f, .inventory = hint_in_no_epoch};
    let_lie(f, &l);
    struct hx_recovery *r = start(f, 1, 1);
    ends_with(f, r, HX_E_DATA_LOSS, "knows LSN 3 as durable, but no history of PG 0 contains it");
    finish(f, r);
    fleet_free(f);
}

static void a_history_without_room_above_it_is_corruption(void **state)
{
    /* Promise (I5): LSNs are never used again, so an epoch that leaves none cannot be followed.  Method: the top
     * history ends ten below 2^64. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        push(&fleet_seg_at(f, 0, i)->history, 2, 0, UINT64_MAX - 10);
        fleet_seg_at(f, 0, i)->promised = HX_EPOCH(2);
    }
    struct hx_recovery *r = start(f, 2, 1);
    ends_with(f, r, HX_E_CORRUPT, "the history of PG 0 ends above all LSNs");
    finish(f, r);
    fleet_free(f);
}

/* ---- members that are being filled ---- */

static void members_being_filled_count_when_they_are_done(void **state)
{
    /* Promise (I11): a member that is still being filled denies nothing and completes nothing; it is asked again and
     * counts when it is done, without a new attempt.  Method: three of a group are being filled; then one is done. */
    (void)state;
    for (uint32_t pg = 0; pg < 2; pg++) {
        struct fleet *f = fleet_new(12, 2, LAL);
        put(f, 0, 0x0f, 1, 1, 0, true, 0);
        for (unsigned i = 3; i < HX_COPIES; i++)
            fleet_seg_at(f, pg, i)->unhydrated = true;
        struct hx_recovery *r = start(f, 1, 1);
        assert_false(run_for(f, r, 10000));
        assert_int_equal(hx_recovery_state(r), HX_RECOVERY_FENCE);
        waiting_has(r, pg ? "PG 1: 3 of 6 servers answered, 4 needed" : "PG 0: 3 of 6 servers answered, 4 needed");
        waiting_has(r, "is still being filled");
        fleet_seg_at(f, pg, 4)->unhydrated = false;
        for (int s = 0; s < 30 && !run_for(f, r, 1000); s++)
            fleet_gossip(f);
        assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
        assert_int_equal(top(r)->epoch.v, 2);
        assert_int_equal(top(r)->vdl.v, 1);
        finish(f, r);
        fleet_free(f);
    }
}

static void a_late_member_being_filled_completes_nothing(void **state)
{
    /* The same after the decision: two are complete, two refuse to be repaired, two come late and are being filled. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    struct script s = {.type = HX_MSG_REPAIR, .slots = 0x03, .status = HX_E_AGAIN};
    put(f, 0, 0x0f, 1, 1, 0, true, 0);
    fleet_seg_at(f, 0, 4)->unhydrated = fleet_seg_at(f, 0, 5)->unhydrated = true;
    f->hook = play;
    f->hook_ctx = &s;
    down(f, 0, 0x30);
    struct hx_recovery *r = start(f, 1, 1);
    assert_false(run_for(f, r, 5000));
    down(f, 0, 0);
    assert_false(run_for(f, r, 30000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_REPAIR);
    waiting_has(r, "PG 0: 2 of 6 servers are complete through LSN 1, 4 needed");
    waiting_has(r, "is still being filled");
    fleet_seg_at(f, 0, 4)->unhydrated = fleet_seg_at(f, 0, 5)->unhydrated = false;
    assert_true(run_for(f, r, 30000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_true(fleet_holds(fleet_seg_at(f, 0, 5), HX_LSN(1), HX_EPOCH(1)));
    finish(f, r);
    fleet_free(f);
}

static void a_member_being_filled_is_no_denial(void **state)
{
    /* Promise (F7): it does not exclude that a record was acknowledged, though it shows none.  Method: LSN 1 may be
     * on two damaged members; of the four others one is being filled. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    fleet_seg_at(f, 0, 0)->unknown = fleet_seg_at(f, 0, 1)->unknown = (struct hx_inv_unknown){HX_LSN(1), HX_LSN(2)};
    fleet_seg_at(f, 0, 2)->unhydrated = true;
    struct script s = {.type = HX_MSG_FENCE, .slots = 0x20, .status = HX_E_AGAIN};
    f->hook = play;
    f->hook_ctx = &s;
    struct hx_recovery *r = start(f, 1, 1);
    assert_false(run_for(f, r, 10000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_DECIDE);
    waiting_has(r, "PG 0: 2 of 6 servers surely never had LSN 1, 3 needed");
    waiting_has(r, "is still being filled");
    fleet_seg_at(f, 0, 2)->unhydrated = false;
    assert_true(run_for(f, r, 20000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    finish(f, r);
    fleet_free(f);
}

/* ---- the union ---- */

static void entry_sum(struct hx_inventory *v)
{
    v->entries[v->entry_count - 1].sum ^= 1;
}
static void entry_prev(struct hx_inventory *v)
{
    v->entries[v->entry_count - 1].prev.v--;
}
static void entry_flags(struct hx_inventory *v)
{
    v->entries[v->entry_count - 1].flags ^= HX_INV_CPL;
}
static void (*const entries[])(struct hx_inventory *) = {entry_sum, entry_prev, entry_flags};

static void members_that_disagree_about_a_record_stop_the_opening(void **state)
{
    /* Promise (K1): an LSN of an epoch is one record: one content, one predecessor, one transaction's end or not; in
     * one group.  Where two members disagree the volume is corrupt, and nothing is changed.  Method: one of four
     * holders tells otherwise, at once or only after the decision; and LSN 1 in two groups. */
    (void)state;
    for (size_t i = 0; i < 2 * HX_ARRAY_LEN(entries); i++) {
        bool late = i & 1;
        struct fleet *f = fleet_new(6, 1, LAL);
        struct lie l = {.type = HX_MSG_FENCE, .slots = 0x08, .inventory = entries[i / 2]};
        struct script absent = {.type = HX_MSG_FENCE, .slots = 0x08, .status = HX_E_AGAIN, .times = 1};
        struct script block = {.type = HX_MSG_REPAIR, .slots = 0x3f, .status = HX_E_AGAIN};
        put(f, 0, 0x0f, 1, 1, 0, true, 0);
        put(f, 0, 0x0f, 2, 1, 1, true, 0);
        let_lie(f, &l);
        f->hook = late ? play : NULL;
        f->hook_ctx = &absent;
        struct hx_recovery *r = start(f, 1, 1);
        struct fleet_part p = fleet_recovery(r);
        while (late && hx_recovery_state(r) != HX_RECOVERY_REPAIR)
            assert_true(fleet_step(f, &p, 1));
        f->hook_ctx = late ? &block : &absent;
        ends_with(f, r, HX_E_CORRUPT, "has two contents");
        for (unsigned k = 0; k < HX_COPIES; k++)
            assert_int_equal(hx_history_top(&fleet_seg_at(f, 0, k)->history).v, 1);
        finish(f, r);
        fleet_free(f);
    }
    struct fleet *f = fleet_new(12, 2, LAL);
    put(f, 0, 0x0f, 1, 1, 0, true, 0);
    put(f, 1, 0x0f, 1, 1, 0, true, 0);
    struct hx_recovery *r = start(f, 1, 1);
    ends_with(f, r, HX_E_CORRUPT, "LSN 1 of epoch 1 has two contents (PG 0 and PG 1)");
    finish(f, r);
    fleet_free(f);
}

static void a_record_that_skips_its_predecessor_stops_the_opening(void **state)
{
    /* Promise (K3, I7): a link names the record before it in the group.  Method: LSN 2 names none, though 1 is
     * there; and LSN 1 of PG 1 names a record above the start that its group does not have. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    put(f, 0, 0x0f, 1, 1, 0, true, 0);
    put(f, 0, 0x0f, 2, 1, 0, true, 0);
    struct hx_recovery *r = start(f, 1, 1);
    ends_with(f, r, HX_E_CORRUPT, "PG 0: LSN 2 follows LSN 0, which is not the record before it");
    finish(f, r);
    fleet_free(f);

    f = fleet_new(12, 2, LAL);
    put(f, 0, 0x0f, 1, 1, 0, true, 0);
    put(f, 1, 0x0f, 2, 1, 1, true, 0);
    r = start(f, 1, 1);
    ends_with(f, r, HX_E_CORRUPT, "PG 1: LSN 2 follows LSN 1, which is not the record before it");
    finish(f, r);
    fleet_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inventories_that_cannot_be_grant_nothing),
        cmocka_unit_test(two_histories_of_one_epoch_are_corruption),
        cmocka_unit_test(a_hint_that_knows_too_much_is_corrected),
        cmocka_unit_test(a_hint_that_is_none_is_refused),
        cmocka_unit_test(the_highest_epoch_is_an_end_not_a_wrap),
        cmocka_unit_test(an_epoch_that_anybody_has_heard_of_is_not_claimed),
        cmocka_unit_test(a_durable_point_before_all_epochs_is_data_loss),
        cmocka_unit_test(a_history_without_room_above_it_is_corruption),
        cmocka_unit_test(members_being_filled_count_when_they_are_done),
        cmocka_unit_test(a_late_member_being_filled_completes_nothing),
        cmocka_unit_test(a_member_being_filled_is_no_denial),
        cmocka_unit_test(members_that_disagree_about_a_record_stop_the_opening),
        cmocka_unit_test(a_record_that_skips_its_predecessor_stops_the_opening),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("recovery_lies", tests, NULL, NULL);
}
