/*
 * test_recovery.c - opening a volume, step by step, against scripted servers in virtual time: who must answer, who is
 * refused, what is in the log, which geometry counts.
 *
 * The situations F1..F12 are those of the protocol's rationale. Damage and write-back are in test_recovery_faults.c,
 * random runs in test_recovery_random.c, real servers in test_reopen.c.
 */
#include "recovery_kit.h"

/* ---- opening ---- */

static void empty_volume_opens_at_zero_above_a_gap(void **state)
{
    /* Promise: the first opening gives epoch 2, cut 0, LSNs above lal.  Method: six fresh members. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    struct hx_recovery *r = open_volume(f, 1);
    assert_int_equal(top(r)->epoch.v, 2);
    assert_int_equal(top(r)->vdl.v, 0);
    assert_int_equal(top(r)->end.v, LAL);
    assert_int_equal(hx_recovery_result(r)->geometry.epoch.v, 2);
    assert_int_equal(hx_recovery_result(r)->pgs[0].last.v, 0);
    hx_members geometry = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (fleet_seg_at(f, 0, i)->geometry.epoch.v == 2)
            geometry = hx_members_add(geometry, i);
    assert_true(hx_quorum_write(geometry));
    finish(f, r);
    fleet_free(f);
}

static void any_four_members_open_and_no_three_do(void **state)
{
    /* Promise: for each of the 64 sets of members that answer, the volume opens iff four do; the acknowledged
     * record is there, the text names the silent.  Method: all sets. */
    (void)state;
    for (unsigned set = 0; set < 64; set++) {
        struct fleet *f = fleet_new(6, 1, LAL);
        put(f, 0, HX_MEMBERS_ALL, 1, 1, 0, true, 0);
        down(f, 0, (hx_members)~set);
        struct hx_recovery *r = start(f, 1, 3);
        bool open = run_for(f, r, 20000);
        assert_int_equal(open, hx_quorum_write((hx_members)set));
        if (open) {
            assert_int_equal(top(r)->vdl.v, 1);
        } else {
            waiting_has(r, "granted epoch 2, 4 needed (silent: ");
            assert_int_equal(hx_recovery_state(r), HX_RECOVERY_CLAIM);
        }
        finish(f, r);
        fleet_free(f);
    }
}

static void another_group_needs_four_to_decide_and_to_open(void **state)
{
    /* Promise: every PG is fenced and completed by four, whatever PG 0 has (pitfall 9); with three the
     * opening waits and says so.  Method: twelve servers, PG 1 on the other six; all 64 sets of PG 1's members. */
    (void)state;
    for (unsigned set = 0; set < 64; set++) {
        struct fleet *f = fleet_new(12, 2, LAL);
        assert_int_not_equal(fleet_server_at(f, 0, 0), fleet_server_at(f, 1, 0));
        put(f, 0, 0x0f, 1, 1, 0, false, 0);
        put(f, 1, 0x0f, 2, 1, 0, true, 0);
        down(f, 1, (hx_members)~set);
        struct hx_recovery *r = start(f, 1, 3);
        unsigned n = hx_members_count((hx_members)set);
        assert_int_equal(run_for(f, r, 20000), n >= 4);
        assert_int_equal(hx_recovery_state(r), n >= 4 ? HX_RECOVERY_OPEN : HX_RECOVERY_FENCE);
        if (n < 4)
            waiting_has(r, "PG 1: ");
        if (n == 3)
            waiting_has(r, "PG 1: 3 of 6 servers answered, 4 needed (silent: ");
        if (n >= 4)
            assert_int_equal(top(r)->vdl.v, 2);
        finish(f, r);
        fleet_free(f);
    }
}

static void one_disk_that_forgot_what_it_had_flushed_hides_nothing(void **state)
{
    /* Promise (I1, beyond AZ + 1): a record on any four members is in the volume even if one of the four has lost it
     * unnoticed (a disk that lies about flushes, an older image), whichever four answer.  Method: all sets of four
     * that acknowledged, all choices of the liar among them, all sets of four that answer. */
    (void)state;
    for (unsigned acked = 0; acked < 64; acked++)
        for (unsigned liar = 0; liar < HX_COPIES; liar++)
            for (unsigned up = 0; up < 64; up++) {
                if (hx_members_count((hx_members)acked) != 4 || hx_members_count((hx_members)up) != 4 ||
                    !hx_members_has((hx_members)acked, liar))
                    continue;
                struct fleet *f = fleet_new(12, 2, LAL);
                put(f, 1, (hx_members)(acked & ~(1u << liar)), 1, 1, 0, true, 0);
                down(f, 1, (hx_members)~up);
                struct hx_recovery *r = start(f, 1, 3);
                assert_true(run_for(f, r, 20000));
                assert_int_equal(top(r)->vdl.v, 1);
                finish(f, r);
                fleet_free(f);
            }
}

static void what_four_acknowledged_survives_any_two_absent(void **state)
{
    /* Promise (I1): a record on any four members is in the volume whichever four answer.  Method: all pairs of
     * sets of four. */
    (void)state;
    for (unsigned w = 0; w < 64; w++) {
        for (unsigned a = 0; a < 64; a++) {
            if (hx_members_count((hx_members)w) != 4 || hx_members_count((hx_members)a) != 4)
                continue;
            struct fleet *f = fleet_new(6, 1, LAL);
            put(f, 0, (hx_members)w, 1, 1, 0, true, 0);
            put(f, 0, (hx_members)w, 2, 1, 1, true, 0);
            down(f, 0, (hx_members)~a);
            struct hx_recovery *r = open_volume(f, 1);
            assert_int_equal(top(r)->vdl.v, 2);
            assert_int_equal(hx_recovery_result(r)->pgs[0].last.v, 2);
            finish(f, r);
            fleet_free(f);
        }
    }
}

static void what_was_seen_once_is_seen_ever_after(void **state)
{
    /* Promise (pitfall 5): a tail that one member had, once an opening showed it, survives openings by others.
     * Method: tail on member 0 only; open with 0..3, then with 2..5. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    put(f, 0, 0x01, 1, 1, 0, true, 0);
    down(f, 0, 0x30);
    struct hx_recovery *r = open_volume(f, 1);
    assert_int_equal(top(r)->vdl.v, 1);
    finish(f, r);
    down(f, 0, 0x03);
    r = open_volume(f, 2);
    assert_int_equal(top(r)->vdl.v, 1);
    assert_int_equal(top(r)->epoch.v, 3);
    finish(f, r);
    fleet_free(f);
}

static void half_a_transaction_is_cut_off(void **state)
{
    /* Promise (pitfall 8): the cut is the last CPL of the run, not its last record.  Method: 1 CPL, 2 3 not. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    put(f, 0, 0x3f, 1, 1, 0, true, 0);
    put(f, 0, 0x3f, 2, 1, 1, false, 0);
    put(f, 0, 0x3f, 3, 1, 2, false, 0);
    struct hx_recovery *r = open_volume(f, 1);
    assert_int_equal(top(r)->vdl.v, 1);
    assert_int_equal(hx_recovery_result(r)->pgs[0].last.v, 1);
    finish(f, r);
    fleet_free(f);
}

static void the_walk_stops_at_a_hole_in_another_group(void **state)
{
    /* Promise (pitfall 7): the run is over the whole volume; a transaction across two PGs is all or nothing.
     * Method: 1 in PG 0, 2 in PG 1 (CPL), 3 missing, 4 there. */
    (void)state;
    struct fleet *f = fleet_new(12, 2, LAL);
    put(f, 0, 0x0f, 1, 1, 0, false, 0);
    put(f, 1, 0x0f, 2, 1, 0, true, 0);
    put(f, 0, 0x3f, 4, 1, 1, true, 0);
    struct hx_recovery *r = open_volume(f, 1);
    assert_int_equal(top(r)->vdl.v, 2);
    assert_int_equal(hx_recovery_result(r)->pgs[0].last.v, 1);
    assert_int_equal(hx_recovery_result(r)->pgs[1].last.v, 2);
    finish(f, r);
    fleet_free(f);
}

static void f1_lsns_that_a_dead_writer_may_have_sent_are_never_used_again(void **state)
{
    /* Promise (F1): end' = max(VDL', end of parent) + lal of parent, also when nothing above was seen.
     * Method: three openings of an empty volume. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    for (uint64_t e = 2; e <= 4; e++) {
        struct hx_recovery *r = open_volume(f, e - 1);
        assert_int_equal(top(r)->epoch.v, e);
        assert_int_equal(top(r)->end.v, (e - 1) * LAL);
        finish(f, r);
    }
    fleet_free(f);
}

static void f12_the_walk_steps_over_the_gap_between_epochs(void **state)
{
    /* Promise (F12, pitfall 19): after epoch 1's cut comes epoch 2's first LSN, and idle epochs are stepped over.
     * Method: two openings in a row, then a record of epoch 3 linked to epoch 1's last. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    put(f, 0, 0x3f, 1, 1, 0, true, 1);
    finish(f, open_volume(f, 1));
    struct hx_recovery *r = open_volume(f, 2);
    uint64_t first = top(r)->end.v + 1;
    assert_int_equal(first, 2 * LAL + 2);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(fleet_adopt(f, 0, i, HX_EPOCH(3), &hx_recovery_result(r)->history), 0);
    finish(f, r);
    put(f, 0, 0x3c, first, 3, 1, true, 0);
    r = open_volume(f, 3);
    assert_int_equal(top(r)->vdl.v, first);
    assert_int_equal(hx_recovery_result(r)->pgs[0].last.v, first);
    finish(f, r);
    fleet_free(f);
}

static void annulled_records_of_a_sleeper_do_not_come_back(void **state)
{
    /* Promise (I4, pitfall 16): records above the cut that a later epoch made void are left out, even where they
     * would come first in the run.  Method: member 5 has LSN 2 of epoch 1, absent when epoch 2 is opened; then it
     * is asked, beside what epoch 2 acknowledged. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    put(f, 0, 0x3f, 1, 1, 0, true, 0);
    put(f, 0, 0x20, 2, 1, 1, true, 0);
    down(f, 0, 0x20);
    struct hx_recovery *r = open_volume(f, 1);
    assert_int_equal(top(r)->vdl.v, 1);
    uint64_t first = top(r)->end.v + 1;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(fleet_adopt(f, 0, i, HX_EPOCH(2), &hx_recovery_result(r)->history), 0);
    finish(f, r);
    put(f, 0, 0x1e, first, 2, 1, true, 0);
    down(f, 0, 0x01);
    r = open_volume(f, 2);
    assert_int_equal(top(r)->vdl.v, first);
    for (unsigned i = 0; i < 5; i++)
        assert_false(fleet_holds(fleet_seg_at(f, 0, i), HX_LSN(2), HX_EPOCH(1)));
    finish(f, r);
    fleet_free(f);
}

/* ---- fencing ---- */

static void refused_anywhere_starts_over_higher_with_another_owner(void **state)
{
    /* Promise (step 10): FENCED in any state ends the attempt; the next has a higher epoch than was promised and
     * another owner.  Method: one member's promise is raised to 7 under each kind of message. */
    static const uint16_t types[] = {HX_MSG_FENCE, HX_MSG_REPAIR, HX_MSG_GEOMETRY, HX_MSG_ADOPT};
    (void)state;
    for (unsigned i = 0; i < HX_ARRAY_LEN(types); i++) {
        for (uint32_t pg = 0; pg < (types[i] == HX_MSG_FENCE || types[i] == HX_MSG_REPAIR ? 2u : 1u); pg++) {
            struct fleet *f = fleet_new(6, 2, LAL);
            struct script s = {.type = types[i], .pg = pg, .slots = 0x02, .times = 1, .raise = HX_EPOCH(7)};
            for (unsigned k = 0; k < 3; k++) /* else their inventories say all that REPAIR would */
                fleet_seg_at(f, 1, k)->unknown = (struct hx_inv_unknown){HX_LSN(50), HX_LSN(50)};
            f->hook = play;
            f->hook_ctx = &s;
            struct hx_recovery *r = open_volume(f, 1);
            assert_int_equal(s.hits, 1);
            assert_int_equal(top(r)->epoch.v, 8);
            struct hx_uuid first;
            memset(first.b, 9, 16);
            assert_false(hx_uuid_eq(&hx_recovery_result(r)->owner, &first));
            finish(f, r);
            fleet_free(f);
        }
    }
}

static void f5_a_number_is_granted_to_one_claimant_only(void **state)
{
    /* Promise (F5, pitfall 2): of two clients that pick the same epoch at most one opens it.  Method: A holds
     * three of PG 0 with epoch 2; B, same number, can have only three, so it starts over above. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    struct hx_recovery *a = start(f, 1, 1), *b;
    struct fleet_part pa = fleet_recovery(a);
    down(f, 0, 0x38);
    fleet_drain(f, &pa);
    assert_int_equal(hx_recovery_state(a), HX_RECOVERY_CLAIM);
    down(f, 0, 0);
    b = open_volume(f, 1);
    assert_true(top(b)->epoch.v > 2);
    uint64_t winner = top(b)->epoch.v;
    finish(f, b);
    run_for(f, a, 60000);
    assert_int_equal(hx_recovery_state(a), HX_RECOVERY_OPEN);
    assert_true(top(a)->epoch.v > winner);
    finish(f, a);
    fleet_free(f);
}

static void two_claimants_of_one_number_three_members_each_both_start_over(void **state)
{
    /* Promise: a split vote ends, one or the other opens, never both with one number.  Method: each is granted
     * three, then both run interleaved in random order. */
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct fleet *f = fleet_new(6, 1, LAL);
        struct hx_recovery *a = start(f, 1, 1), *b = start(f, 1, 2);
        struct fleet_part parts[2] = {fleet_recovery(a), fleet_recovery(b)};
        f->rng = seed;
        f->random = true;
        for (int i = 0; i < STEPS_MAX && !(at_end(a) && at_end(b)); i++)
            fleet_step(f, parts, 2);
        assert_int_equal(hx_recovery_state(a), HX_RECOVERY_OPEN);
        assert_int_equal(hx_recovery_state(b), HX_RECOVERY_OPEN); /* the second took over from the first */
        assert_int_not_equal(top(a)->epoch.v, top(b)->epoch.v);
        const struct hx_recovery *late = top(a)->epoch.v > top(b)->epoch.v ? a : b;
        hx_members have = 0;
        for (unsigned i = 0; i < HX_COPIES; i++)
            if (hx_history_top(&fleet_seg_at(f, 0, i)->history).v == top(late)->epoch.v)
                have = hx_members_add(have, i);
        assert_true(hx_quorum_write(have));
        finish(f, a);
        finish(f, b);
        fleet_free(f);
    }
}

static void a_later_grant_of_the_number_to_another_is_left_out(void **state)
{
    /* Promise (R3): a member of PG 0 that granted our number to another claimant does not stop an attempt that
     * has its four.  Method: member 5 is held back until four have granted, and has promised (2, other). */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    struct fleet_seg *s = fleet_seg_at(f, 0, 5);
    s->promised = HX_EPOCH(2);
    memset(s->owner.b, 0x77, 16);
    struct hx_recovery *r = open_volume(f, 1);
    assert_int_equal(top(r)->epoch.v, 2);
    finish(f, r);
    fleet_free(f);
}

static void zombie_that_appends_between_two_fence_answers_is_not_lost(void **state)
{
    /* Promise (pitfall 1): what a writer gets acknowledged while the fence goes round is in the volume.
     * Method: for each order of members, record 1 is offered to all of them after each of the fence's
     * deliveries; whenever four accepted it by then, it must survive. */
    (void)state;
    for (unsigned first = 0; first < HX_COPIES; first++) {
        for (unsigned after = 0; after <= HX_COPIES; after++) {
            struct fleet *f = fleet_new(6, 1, LAL);
            uint8_t payload[FLEET_PAYLOAD];
            struct fleet_rec rec = fleet_make(1, 1, 0, true, 0, payload);
            hx_members acks = 0;
            struct hx_uuid me;
            memset(me.b, 9, 16);
            for (unsigned k = 0; k < after; k++) { /* as the fence would */
                struct fleet_seg *s = fleet_seg_at(f, 0, (first + k) % HX_COPIES);
                s->promised = HX_EPOCH(2);
                s->owner = me;
            }
            for (unsigned i = 0; i < HX_COPIES; i++)
                if (fleet_append(f, 0, i, &rec, HX_LSN(0)) == 0)
                    acks = hx_members_add(acks, i);
            struct hx_recovery *r = open_volume(f, 1);
            if (hx_quorum_write(acks))
                assert_int_equal(top(r)->vdl.v, 1);
            assert_int_equal(hx_members_count(acks), HX_COPIES - after);
            for (unsigned i = 0; i < HX_COPIES; i++) /* and afterwards it can get nothing at all */
                assert_int_equal(fleet_append(f, 0, i, &rec, HX_LSN(0)), HX_E_FENCED);
            finish(f, r);
            fleet_free(f);
        }
    }
}

static void answers_to_an_attempt_that_ended_are_ignored(void **state)
{
    /* Promise: a late grant of an older claim changes nothing.  Method: the answer to a call is kept, the attempt
     * is ended by a refusal, then the answer is given. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    struct hx_recovery *r = start(f, 1, 3);
    struct hx_effect e;
    uint64_t calls[HX_COPIES];
    unsigned n = 0;
    while (hx_recovery_next(r, &e) == 1)
        calls[n++] = e.call;
    assert_int_equal(n, HX_COPIES);
    struct hx_reply_head h = {.type = HX_MSG_FENCE,
                              .req_id = calls[0],
                              .status = HX_E_FENCED,
                              .promised = HX_EPOCH(5),
                              .server = f->servers[0].s.incarnation};
    uint8_t reply[HX_REPLY_HEAD];
    hx_reply_head_encode(&h, NULL, 0, reply);
    hx_recovery_answer(r, f->now_ms, calls[0], (struct hx_bytes){reply, sizeof reply});
    waiting_has(r, "another client claimed epoch 5");
    for (unsigned i = 1; i < n; i++) {
        h.req_id = calls[i];
        hx_reply_head_encode(&h, NULL, 0, reply);
        hx_recovery_answer(r, f->now_ms, calls[i], (struct hx_bytes){reply, sizeof reply});
        hx_recovery_failed(r, f->now_ms, calls[i], HX_E_TIMEOUT);
    }
    for (unsigned i = 1; i < n; i++) {
        assert_int_equal(hx_recovery_next(r, &e), 1);
        assert_int_equal(e.kind, HX_EFFECT_CANCEL);
    }
    assert_int_equal(hx_recovery_next(r, &e), 0); /* pausing */
    run_for(f, r, 60000);
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_int_equal(top(r)->epoch.v, 6);
    finish(f, r);
    fleet_free(f);
}

/* ---- geometry ---- */

static void f3_geometry_comes_from_the_fence_not_from_the_hint(void **state)
{
    /* Promise (F3): a group published after the hint was read is fenced and walked.  Method: the hint has PG 0
     * only; members have PG 1 and its records. */
    (void)state;
    struct fleet *f = fleet_new(12, 2, LAL);
    struct hx_geometry hint = {0};
    struct hx_recovery *r = NULL;
    put(f, 0, 0x0f, 1, 1, 0, false, 0);
    put(f, 1, 0x0f, 2, 1, 0, true, 0);
    assert_int_equal(hx_geometry_copy(&hint, &f->geometry), 0);
    hint.g = hint.pg_count = 1;
    struct hx_recovery_cfg cfg = {.hint = &hint, .epoch_seen = HX_EPOCH(1), .seed = 1, .now_ms = f->now_ms};
    assert_int_equal(hx_recovery_new(&cfg, &r), 0);
    hx_geometry_fini(&hint);
    assert_true(run_for(f, r, 60000));
    assert_int_equal(top(r)->vdl.v, 2);
    assert_int_equal(hx_recovery_result(r)->geometry.pg_count, 2);
    finish(f, r);
    fleet_free(f);
}

static void the_highest_geometry_among_the_grants_is_taken(void **state)
{
    /* Promise (step 2): a group that only one of the granting members knows is opened, too.  Method: the published
     * geometry is held back from all but one member of PG 0, each in turn. */
    (void)state;
    for (unsigned knows = 0; knows < 4; knows++) {
        struct fleet *f = fleet_new(12, 2, LAL);
        down(f, 0, 0x30);
        for (unsigned i = 0; i < HX_COPIES; i++)
            if (i != knows)
                fleet_seg_at(f, 0, i)->geometry.g = fleet_seg_at(f, 0, i)->geometry.pg_count = 1;
        struct hx_recovery *r = open_volume(f, 1);
        assert_int_equal(hx_recovery_result(r)->geometry.pg_count, 2);
        finish(f, r);
        fleet_free(f);
    }
}

static void servers_that_the_hint_does_not_know_are_taken_from_the_answers(void **state)
{
    /* Promise: the claim is repeated where the stored geometry says PG 0 is, and further servers are added.
     * Method: the hint lists six servers only, in another order than stored. */
    (void)state;
    struct fleet *f = fleet_new(12, 2, LAL);
    struct hx_geometry hint = {0};
    struct hx_recovery *r = NULL;
    assert_int_equal(hx_geometry_copy(&hint, &f->geometry), 0);
    hint.g = hint.pg_count = 1;
    struct hx_server swap = hint.servers[0];
    hint.servers[0] = hint.servers[11];
    hint.servers[11] = swap;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (hint.pgs[0].server[i] == 0)
            hint.pgs[0].server[i] = 11;
    struct hx_recovery_cfg cfg = {.hint = &hint, .epoch_seen = HX_EPOCH(1), .seed = 1, .now_ms = f->now_ms};
    assert_int_equal(hx_recovery_new(&cfg, &r), 0);
    hx_geometry_fini(&hint);
    assert_true(run_for(f, r, 60000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_int_equal(hx_recovery_result(r)->geometry.pg_count, 2);
    assert_true(hx_uuid_eq(&hx_recovery_result(r)->geometry.servers[0].incarnation, &f->servers[0].s.incarnation));
    finish(f, r);
    fleet_free(f);
}

static void a_list_of_which_three_are_left_leads_to_the_newer_one(void **state)
{
    /* Promise (M7): with three of the members that the hint names the opening goes on where these say that PG 0 is.
     * Method: the hint is of an older version, in which three others were members; they have no segment (any more). */
    (void)state;
    struct fleet *f = fleet_new(12, 2, LAL);
    struct hx_geometry hint = {0};
    struct hx_recovery *r = NULL;
    unsigned n = 0;
    assert_int_equal(hx_geometry_copy(&hint, &f->geometry), 0);
    hint.g = hint.pg_count = 1;
    for (uint32_t k = 0; k < 12 && n < 3; k++) {
        bool in = false;
        for (unsigned i = 0; i < HX_COPIES; i++)
            in = in || f->geometry.pgs[0].server[i] == k;
        if (!in)
            hint.pgs[0].server[n++] = (uint16_t)k;
    }
    assert_int_equal(n, 3);
    struct hx_recovery_cfg cfg = {.hint = &hint, .epoch_seen = HX_EPOCH(1), .seed = 1, .now_ms = f->now_ms};
    assert_int_equal(hx_recovery_new(&cfg, &r), 0);
    hx_geometry_fini(&hint);
    assert_true(run_for(f, r, 60000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_memory_equal(hx_recovery_result(r)->geometry.pgs[0].server, f->geometry.pgs[0].server,
                        sizeof f->geometry.pgs[0].server);
    finish(f, r);
    fleet_free(f);
}

static void members_never_made_are_made_and_count_as_empty(void **state)
{
    /* Promise: growth may leave two of six unmade; opening makes them.  Method: PG 1 is missing on two. */
    (void)state;
    struct fleet *f = fleet_new(6, 2, LAL);
    fleet_seg_at(f, 1, 1)->there = false;
    fleet_seg_at(f, 1, 4)->there = false;
    down(f, 0, 0x01); /* so that one of the two is needed for four */
    hx_history_fini(&fleet_seg_at(f, 1, 1)->history);
    hx_history_fini(&fleet_seg_at(f, 1, 4)->history);
    struct hx_recovery *r = open_volume(f, 1);
    assert_true(fleet_seg_at(f, 1, 1)->there || fleet_seg_at(f, 1, 4)->there);
    finish(f, r);
    fleet_free(f);
}

/* PG 1 on servers of its own; four or more acknowledged two records, then ABSENT have no segment. */
static struct fleet *without_segments(hx_members absent)
{
    struct fleet *f = fleet_new(12, 2, LAL);
    put(f, 1, (hx_members)~absent, 1, 1, 0, true, 0);
    put(f, 1, (hx_members)~absent, 2, 1, 1, true, 0);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        struct fleet_seg *s = fleet_seg_at(f, 1, i);
        if (!hx_members_has(absent, i))
            continue;
        s->there = false;
        hx_history_fini(&s->history);
    }
    return f;
}

static void a_group_made_on_four_that_one_forgot_loses_nothing(void **state)
{
    /* Promise (I1): two members that growth never made and one that forgot its segment, and one more that is down for
     * good: the volume opens, with all that was acknowledged.  Method: all sets of three, each of the others down. */
    (void)state;
    for (hx_members absent = 0; absent < 64; absent++) {
        if (hx_members_count(absent) != 3)
            continue;
        for (unsigned gone = 0; gone <= HX_COPIES; gone++) {
            if (gone < HX_COPIES && hx_members_has(absent, gone))
                continue;
            struct fleet *f = without_segments(absent);
            if (gone < HX_COPIES)
                down(f, 1, hx_members_add(0, gone));
            struct hx_recovery *r = open_volume(f, 1);
            assert_int_equal(top(r)->vdl.v, 2);
            finish(f, r);
            fleet_free(f);
        }
    }
}

static void three_that_had_no_segment_deny_nothing_alone(void **state)
{
    /* Promise (R5): three members without their segment and one other do not decide: two others are heard first, and
     * nothing is made before, so that a later opening still sees who had none.  Method: PG 1 gone on three, two of the
     * others are away; the first of them comes back. */
    (void)state;
    struct fleet *f = without_segments(0x07);
    down(f, 1, 0x18);
    struct hx_recovery *r = start(f, 1, 1);
    assert_false(run_for(f, r, 20000));
    for (unsigned i = 0; i < 3; i++)
        assert_false(fleet_seg_at(f, 1, i)->there);
    down(f, 1, 0x10);
    assert_true(run_for(f, r, 60000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_int_equal(top(r)->vdl.v, 2);
    finish(f, r);
    fleet_free(f);
}

static void damage_is_not_outvoted_by_three_that_had_no_segment(void **state)
{
    /* Promise (R5, I11): of three without their segment only two deny an LSN, so that damaged copies of the others are
     * no reason to annul it.  Method: LSN 2 is UNKNOWN on two; the third, which is sound, is away and comes back. */
    (void)state;
    struct fleet *f = without_segments(0x07);
    for (unsigned i = 4; i < 6; i++) {
        fleet_seg_at(f, 1, i)->recs[1].damaged = true;
        fleet_seg_at(f, 1, i)->unknown = (struct hx_inv_unknown){HX_LSN(2), HX_LSN(2)};
    }
    down(f, 1, 0x08);
    struct hx_recovery *r = start(f, 1, 1);
    assert_false(run_for(f, r, 20000));
    waiting_has(r, "surely never had LSN 2, 3 needed");
    down(f, 1, 0);
    assert_true(run_for(f, r, 60000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_int_equal(top(r)->vdl.v, 2);
    finish(f, r);
    fleet_free(f);
}

static void four_lost_segments_are_data_loss_and_one_of_group_zero_does_not_count(void **state)
{
    /* Promise: with four missing segments what was acknowledged may be nowhere: said so, and nothing is decided; PG
     * 0's are never made anew.  Method: PG 1 gone on four; then PG 0 gone on three of six. */
    (void)state;
    struct fleet *f = fleet_new(6, 2, LAL);
    for (unsigned i = 0; i < 4; i++)
        fleet_seg_at(f, 1, i)->there = false;
    struct hx_recovery *r = start(f, 1, 1);
    assert_true(run_for(f, r, 60000));
    assert_int_equal(hx_recovery_error(r), HX_E_DATA_LOSS);
    waiting_has(r, "PG 1: 4 of its servers have lost their segment");
    finish(f, r);
    fleet_free(f);

    f = fleet_new(6, 1, LAL);
    fleet_seg_at(f, 0, 0)->there = fleet_seg_at(f, 0, 1)->there = fleet_seg_at(f, 0, 2)->there = false;
    r = start(f, 1, 1);
    assert_false(run_for(f, r, 20000));
    waiting_has(r, "the server has no such segment");
    finish(f, r);
    fleet_free(f);
}

static void a_released_group_is_not_asked_and_the_walk_begins_above_it(void **state)
{
    /* Promise (S1, S2): a group that was released has no members to ask, and its records are no hole: the walk begins
     * where the geometry says.  What is above is found as ever.  Method: record 2 was in group 1, which is gone; nobody
     * has heard of a VDL. */
    (void)state;
    struct fleet *f = fleet_new(12, 2, LAL);
    put(f, 0, 0x0f, 1, 1, 0, true, 0);
    put(f, 0, 0x0f, 3, 1, 1, true, 0);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        struct hx_geometry *g = &fleet_seg_at(f, 0, i)->geometry;
        g->pgs[1].kind = HX_ROW_RELEASED;
        g->walk_from = HX_LSN(2);
        g->m++;
        fleet_seg_at(f, 1, i)->there = false;
    }
    struct hx_recovery *r = open_volume(f, 1);
    assert_int_equal(top(r)->vdl.v, 3);
    assert_int_equal(hx_recovery_result(r)->geometry.pg_count, 2);
    assert_int_equal(hx_recovery_result(r)->geometry.pgs[1].kind, HX_ROW_RELEASED);
    assert_int_equal(hx_recovery_result(r)->geometry.walk_from.v, 2);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_false(fleet_seg_at(f, 1, i)->there);
    finish(f, r);
    fleet_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_volume_opens_at_zero_above_a_gap),
        cmocka_unit_test(any_four_members_open_and_no_three_do),
        cmocka_unit_test(another_group_needs_four_to_decide_and_to_open),
        cmocka_unit_test(one_disk_that_forgot_what_it_had_flushed_hides_nothing),
        cmocka_unit_test(what_four_acknowledged_survives_any_two_absent),
        cmocka_unit_test(what_was_seen_once_is_seen_ever_after),
        cmocka_unit_test(half_a_transaction_is_cut_off),
        cmocka_unit_test(the_walk_stops_at_a_hole_in_another_group),
        cmocka_unit_test(f1_lsns_that_a_dead_writer_may_have_sent_are_never_used_again),
        cmocka_unit_test(f12_the_walk_steps_over_the_gap_between_epochs),
        cmocka_unit_test(annulled_records_of_a_sleeper_do_not_come_back),
        cmocka_unit_test(refused_anywhere_starts_over_higher_with_another_owner),
        cmocka_unit_test(f5_a_number_is_granted_to_one_claimant_only),
        cmocka_unit_test(two_claimants_of_one_number_three_members_each_both_start_over),
        cmocka_unit_test(a_later_grant_of_the_number_to_another_is_left_out),
        cmocka_unit_test(zombie_that_appends_between_two_fence_answers_is_not_lost),
        cmocka_unit_test(answers_to_an_attempt_that_ended_are_ignored),
        cmocka_unit_test(f3_geometry_comes_from_the_fence_not_from_the_hint),
        cmocka_unit_test(the_highest_geometry_among_the_grants_is_taken),
        cmocka_unit_test(servers_that_the_hint_does_not_know_are_taken_from_the_answers),
        cmocka_unit_test(a_released_group_is_not_asked_and_the_walk_begins_above_it),
        cmocka_unit_test(a_list_of_which_three_are_left_leads_to_the_newer_one),
        cmocka_unit_test(members_never_made_are_made_and_count_as_empty),
        cmocka_unit_test(a_group_made_on_four_that_one_forgot_loses_nothing),
        cmocka_unit_test(three_that_had_no_segment_deny_nothing_alone),
        cmocka_unit_test(damage_is_not_outvoted_by_three_that_had_no_segment),
        cmocka_unit_test(four_lost_segments_are_data_loss_and_one_of_group_zero_does_not_count),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
