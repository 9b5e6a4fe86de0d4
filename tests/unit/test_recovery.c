/*
 * test_recovery.c - opening a volume, step by step, against scripted servers in virtual time.
 *
 * The situations of doc/PROTOCOL.md and of its rationale by name (F1..F12); random runs are in
 * test_recovery_random.c, real servers in test_reopen.c.
 */
#include "fake_fleet.h"

#include "hexad/quorum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define LAL 1000u
#define STEPS_MAX 20000

/* ---- kit ---- */

static struct hx_recovery *start(struct fleet *f, uint64_t epoch_seen, uint8_t who)
{
    struct hx_recovery *r = NULL;
    struct hx_recovery_cfg cfg = {.hint = &f->geometry, .epoch_seen = HX_EPOCH(epoch_seen), .seed = who, .now_ms = f->now_ms};
    memset(cfg.owner.b, who, 16);
    assert_int_equal(hx_recovery_new(&cfg, &r), 0);
    return r;
}

static bool at_end(const struct hx_recovery *r)
{
    return hx_recovery_state(r) == HX_RECOVERY_OPEN || hx_recovery_state(r) == HX_RECOVERY_FAILED;
}

/* Runs for at most MS of virtual time; true at an end. */
static bool run_for(struct fleet *f, struct hx_recovery *r, uint64_t ms)
{
    struct fleet_part p = fleet_recovery(r);
    uint64_t until = f->now_ms + ms;
    for (int i = 0; i < STEPS_MAX && !at_end(r) && f->now_ms < until; i++)
        if (!fleet_step(f, &p, 1))
            break;
    return at_end(r);
}

/* With peers that gossip once a second. */
static struct hx_recovery *open_volume(struct fleet *f, uint64_t epoch_seen)
{
    struct hx_recovery *r = start(f, epoch_seen, 9);
    for (int s = 0; s < 60 && !run_for(f, r, 1000); s++)
        fleet_gossip(f);
    char text[256];
    hx_recovery_waiting(r, text, sizeof text);
    if (hx_recovery_state(r) != HX_RECOVERY_OPEN)
        fail_msg("not open: %s", text);
    return r;
}

static void finish(struct fleet *f, struct hx_recovery *r)
{
    fleet_abandon(f, r);
    hx_recovery_free(r);
}

static void down(struct fleet *f, uint32_t pg, hx_members set)
{
    for (unsigned i = 0; i < HX_COPIES; i++)
        f->servers[fleet_server_at(f, pg, i)].down = hx_members_has(set, i);
}

/* A record of epoch E at the members in SET. */
static void put(struct fleet *f, uint32_t pg, hx_members set, uint64_t lsn, uint64_t e, uint64_t prev, bool cpl, uint64_t vdl)
{
    uint8_t payload[FLEET_PAYLOAD];
    struct fleet_rec rec = fleet_make(lsn, e, prev, cpl, 0, payload);
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (hx_members_has(set, i))
            assert_int_equal(fleet_append(f, pg, i, &rec, HX_LSN(vdl)), 0);
}

static void push(struct hx_history *h, uint64_t e, uint64_t vdl, uint64_t end)
{
    assert_int_equal(hx_history_push(h, (struct hx_history_entry){HX_EPOCH(e), HX_LSN(vdl), HX_LSN(end), LAL}), 0);
}

static const struct hx_history_entry *top(const struct hx_recovery *r)
{
    return hx_history_top_entry(&hx_recovery_result(r)->history);
}

static void waiting_has(const struct hx_recovery *r, const char *part)
{
    char text[512];
    hx_recovery_waiting(r, text, sizeof text);
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, text);
}

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

static void another_group_needs_three_to_decide_and_four_to_open(void **state)
{
    /* Promise: every PG is fenced by three and completed by four, whatever PG 0 has (pitfall 9).  Method: twelve
     * servers, PG 1 on the other six; all 64 sets of PG 1's members. */
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
        assert_int_equal(hx_recovery_state(r), n >= 4 ? HX_RECOVERY_OPEN : n == 3 ? HX_RECOVERY_REPAIR : HX_RECOVERY_FENCE);
        if (n < 3)
            waiting_has(r, "PG 1: ");
        if (n == 3)
            waiting_has(r, "PG 1: 3 of 6 servers are complete through LSN 2, 4 needed (silent: ");
        if (n >= 4)
            assert_int_equal(top(r)->vdl.v, 2);
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

struct script {
    int status;          /* answer to requests that match, or FLEET_SILENT */
    uint16_t type;
    uint32_t pg;
    hx_members slots;    /* of that PG */
    unsigned times;      /* how often; 0: always */
    unsigned hits;
    struct hx_epoch raise; /* the member's promise before it answers */
};

static int play(void *ctx, struct fleet *f, uint32_t server, const struct hx_msg_head *h, struct hx_bytes body)
{
    struct script *s = ctx;
    (void)body;
    if (h->type != s->type || h->pg != s->pg || (s->times != 0 && s->hits >= s->times))
        return 0;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        if (!hx_members_has(s->slots, i) || fleet_server_at(f, h->pg, i) != server)
            continue;
        s->hits++;
        if (s->raise.v != 0)
            fleet_seg_at(f, h->pg, i)->promised = s->raise;
        return s->status;
    }
    return 0;
}

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
    struct hx_reply_head h = {.type = HX_MSG_FENCE, .req_id = calls[0], .status = HX_E_FENCED, .promised = HX_EPOCH(5),
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

static void three_lost_segments_are_data_loss_and_one_of_group_zero_does_not_count(void **state)
{
    /* Promise: more missing segments than growth can leave is loss, said so; PG 0's are never made anew.
     * Method: PG 1 gone on three; then PG 0 gone on two of six. */
    (void)state;
    struct fleet *f = fleet_new(6, 2, LAL);
    for (unsigned i = 0; i < 3; i++)
        fleet_seg_at(f, 1, i)->there = false;
    struct hx_recovery *r = start(f, 1, 1);
    assert_true(run_for(f, r, 60000));
    assert_int_equal(hx_recovery_error(r), HX_E_DATA_LOSS);
    waiting_has(r, "PG 1: 3 of its servers have lost their segment");
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
     * answers less does not count.  Method: PG 1's LSN 2 durable on four of six, hint 3; all 15 sets of four alive. */
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
        struct fleet_rec rec = {.lsn = HX_LSN(n), .prev = HX_LSN(n - 1), .epoch = HX_EPOCH(1), .cpl = n % 5 == 0,
                                .page = (uint32_t)n % 200, .kind = HX_REC_IMAGE, .len = HX_PAGE_SIZE, .payload = page};
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
            assert_memory_equal(s->recs[k].payload, fleet_seg_at(f, 0, 0)->recs[s->recs[k].lsn.v - 1].payload, HX_PAGE_SIZE);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_volume_opens_at_zero_above_a_gap),
        cmocka_unit_test(any_four_members_open_and_no_three_do),
        cmocka_unit_test(another_group_needs_three_to_decide_and_four_to_open),
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
        cmocka_unit_test(members_never_made_are_made_and_count_as_empty),
        cmocka_unit_test(three_lost_segments_are_data_loss_and_one_of_group_zero_does_not_count),
        cmocka_unit_test(f7_a_damaged_copy_is_not_a_denial),
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
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
