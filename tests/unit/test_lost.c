/*
 * test_lost.c - openings by an operator's word that servers are gone for good (recovery_lost.c: B1, D2, D3): with
 * three of six, of group 0 or another, nothing that was acknowledged is lost; with fewer nothing is guessed; and when
 * the word was wrong, those who were declared lost can do nothing.
 */
#include "recovery_kit.h"

#include "hexad/err.h"

/* The servers of these slots of PG, down. */
static uint32_t lose(struct fleet *f, uint32_t pg, unsigned slots, struct hx_uuid lost[HX_COPIES])
{
    uint32_t n = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (slots >> i & 1) {
            struct fleet_server *s = &f->servers[fleet_server_at(f, pg, i)];
            lost[n++] = s->s.incarnation;
            s->down = true;
        }
    return n;
}

static void back(struct fleet *f)
{
    for (uint32_t i = 0; i < f->server_count; i++)
        f->servers[i].down = false;
}

static struct hx_recovery *by_word(struct fleet *f, const struct hx_geometry *hint, const struct hx_uuid *lost,
                                   uint32_t n, uint64_t epoch_seen)
{
    struct hx_recovery *r = NULL;
    struct hx_recovery_cfg cfg = {.hint = hint, .epoch_seen = HX_EPOCH(epoch_seen), .seed = 4, .now_ms = f->now_ms,
                                  .lost = lost, .lost_count = n};
    memset(cfg.owner.b, 4, 16);
    assert_int_equal(hx_recovery_new(&cfg, &r), 0);
    return r;
}

static struct hx_recovery *open_by_word(struct fleet *f, const struct hx_uuid *lost, uint32_t n)
{
    struct hx_recovery *r = by_word(f, &f->geometry, lost, n, 1);
    for (int s = 0; s < 60 && !run_for(f, r, 1000); s++)
        fleet_gossip(f);
    char text[256];
    hx_recovery_waiting(r, text, sizeof text);
    if (hx_recovery_state(r) != HX_RECOVERY_OPEN)
        fail_msg("not open: %s", text);
    return r;
}

/* Promise (D2): with any three gone, of group 0 or another one, what any four acknowledged is found; the group goes on
 * with the three, the lost are burnt (B1), and the version is one higher.  All 20 by all 15. */
static void with_any_three_gone_nothing_is_lost(void **state)
{
    (void)state;
    for (uint32_t pg = 0; pg < 2; pg++)
        for (unsigned gone = 0; gone < 64; gone++)
            for (unsigned had = 0; had < 64; had++) {
                if (__builtin_popcount(gone) != 3 || __builtin_popcount(had) != 4)
                    continue;
                struct hx_uuid lost[HX_COPIES];
                struct fleet *f = fleet_new(12, 2, LAL);
                put(f, pg, (hx_members)had, 1, 1, 0, true, 0);
                put(f, !pg, 0x0f, 2, 1, 0, true, 0);
                uint32_t n = lose(f, pg, gone, lost);
                struct hx_recovery *r = open_by_word(f, lost, n);
                const struct hx_geometry *g = &hx_recovery_result(r)->geometry;
                assert_int_equal(top(r)->vdl.v, 2);
                assert_int_equal(g->m, f->geometry.m + 1);
                assert_int_equal(g->pgs[pg].kind, HX_ROW_DECLARED);
                assert_int_equal(g->pgs[pg].survivors, 63 & ~gone);
                for (unsigned i = 0; i < HX_COPIES; i++)
                    assert_int_equal(g->servers[g->pgs[pg].server[i]].state,
                                     gone >> i & 1 ? HX_SERVER_BURNT : HX_SERVER_IN);
                finish(f, r);
                fleet_free(f);
            }
}

/* Promise (D2): not before all that are left have answered and are complete: one that is silent, or damaged where the
 * log may go on, is waited for. */
static void all_that_are_left_are_needed(void **state)
{
    (void)state;
    for (uint32_t pg = 0; pg < 2; pg++)
        for (unsigned damaged = 0; damaged < 2; damaged++) {
            struct hx_uuid lost[HX_COPIES];
            struct fleet *f = fleet_new(12, 2, LAL);
            put(f, pg, 0x0f, 1, 1, 0, true, 0);
            uint32_t n = lose(f, pg, 0x07, lost);
            if (damaged)
                fleet_seg_at(f, pg, 5)->unknown = (struct hx_inv_unknown){HX_LSN(2), HX_LSN(2)};
            else
                f->servers[fleet_server_at(f, pg, 4)].down = true;
            struct hx_recovery *r = by_word(f, &f->geometry, lost, n, 1);
            assert_false(run_for(f, r, 20000));
            waiting_has(r, damaged ? "surely never had" : "of 3 servers");
            finish(f, r);
            fleet_free(f);
        }
}

/* Promise (D3): where what was acknowledged may be on the lost alone nothing is opened, and nobody is told a new
 * list. */
static void with_four_gone_nothing_is_guessed(void **state)
{
    (void)state;
    for (uint32_t pg = 0; pg < 2; pg++) {
        struct hx_uuid lost[HX_COPIES];
        struct fleet *f = fleet_new(12, 2, LAL);
        uint32_t n = lose(f, pg, 0x0f, lost);
        if (pg == 0) { /* the word speaks of servers: group 0 has too few to be claimed, whatever it says */
            struct hx_recovery *r = by_word(f, &f->geometry, lost, n, 1);
            assert_false(run_for(f, r, 20000) && hx_recovery_state(r) == HX_RECOVERY_OPEN);
            finish(f, r);
            fleet_free(f);
            continue;
        }
        back(f); /* they answer: it is the word that counts, not the silence */
        struct hx_recovery *r = by_word(f, &f->geometry, lost, n, 1);
        assert_true(run_for(f, r, 60000));
        assert_int_equal(hx_recovery_error(r), HX_E_DATA_LOSS);
        waiting_has(r, "PG ");
        for (unsigned i = 0; i < HX_COPIES; i++)
            assert_int_equal(fleet_seg_at(f, 0, i)->geometry.m, f->geometry.m);
        finish(f, r);
        fleet_free(f);
    }
}

/* Promise: of groups that keep a write quorum the word changes nothing but that the lost are burnt: they are replaced
 * as ever. */
static void with_two_gone_groups_stay_plain(void **state)
{
    (void)state;
    struct hx_uuid lost[HX_COPIES];
    struct fleet *f = fleet_new(6, 1, LAL);
    put(f, 0, 0x3c, 1, 1, 0, true, 0);
    uint32_t n = lose(f, 0, 0x03, lost);
    struct hx_recovery *r = open_by_word(f, lost, n);
    assert_int_equal(top(r)->vdl.v, 1);
    assert_int_equal(hx_recovery_result(r)->geometry.pgs[0].kind, HX_ROW_PLAIN);
    assert_int_equal(hx_recovery_result(r)->geometry.servers[fleet_server_at(f, 0, 0)].state, HX_SERVER_BURNT);
    assert_int_equal(hx_recovery_result(r)->geometry.servers[fleet_server_at(f, 0, 2)].state, HX_SERVER_IN);
    finish(f, r);
    fleet_free(f);
}

/* Promise: a wrong word makes no second volume: the old writer cannot have a record acknowledged by the lost and one
 * that was left, for that one refuses it; and an opening that begins with the old list is led to the new one, of which
 * it needs all. */
static void when_the_word_was_wrong_the_lost_can_do_nothing(void **state)
{
    (void)state;
    for (unsigned one = 3; one < 6; one++) {
        struct hx_uuid lost[HX_COPIES];
        uint8_t payload[FLEET_PAYLOAD];
        struct fleet *f = fleet_new(12, 1, LAL);
        put(f, 0, 0x0f, 1, 1, 0, true, 0);
        uint32_t n = lose(f, 0, 0x07, lost);
        struct hx_recovery *r = open_by_word(f, lost, n), *x;
        uint32_t m = hx_recovery_result(r)->geometry.m;
        finish(f, r);
        back(f);
        struct fleet_rec rec = fleet_make(2, 1, 1, true, 1, payload);
        assert_int_equal(fleet_append(f, 0, one, &rec, HX_LSN(1)), HX_E_FENCED);
        for (unsigned i = 3; i < 6; i++)
            f->servers[fleet_server_at(f, 0, i)].down = i != one;
        x = start(f, 5, 7);
        assert_false(run_for(f, x, 20000)); /* the three lost and one: four of the old list */
        waiting_has(x, "of 3 servers");
        finish(f, x);
        back(f);
        x = start(f, 9, 8);
        assert_true(run_for(f, x, 60000));
        assert_int_equal(hx_recovery_state(x), HX_RECOVERY_OPEN);
        assert_int_equal(hx_recovery_result(x)->geometry.m, m);
        assert_int_equal(hx_recovery_result(x)->geometry.pgs[0].kind, HX_ROW_DECLARED);
        assert_int_equal(top(x)->vdl.v, 1);
        finish(f, x);
        fleet_free(f);
    }
}

/* Promise: the word may be said again, after a crash or without need: nothing changes then. */
static void said_twice_it_is_the_same(void **state)
{
    (void)state;
    struct hx_uuid lost[HX_COPIES];
    struct fleet *f = fleet_new(12, 2, LAL);
    put(f, 1, 0x0f, 1, 1, 0, true, 0);
    uint32_t n = lose(f, 1, 0x07, lost);
    struct hx_recovery *r = open_by_word(f, lost, n);
    uint32_t m = hx_recovery_result(r)->geometry.m;
    finish(f, r);
    r = by_word(f, &f->geometry, lost, n, 3);
    assert_true(run_for(f, r, 60000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_int_equal(hx_recovery_result(r)->geometry.m, m);
    assert_int_equal(top(r)->vdl.v, 1);
    finish(f, r);
    fleet_free(f);
}

/* Promise: while the word's opening has not ended, one with the old list that was first, with those who are not lost
 * after all, may win; the word then finds what it wrote. */
static void an_opening_that_was_quicker_is_found(void **state)
{
    (void)state;
    struct hx_uuid lost[HX_COPIES];
    uint8_t payload[FLEET_PAYLOAD];
    struct fleet *f = fleet_new(12, 1, LAL);
    uint32_t n = lose(f, 0, 0x07, lost);
    back(f);
    struct hx_recovery *x = open_volume(f, 1);
    struct hx_epoch e = top(x)->epoch;
    uint64_t lsn = top(x)->end.v + 1;
    struct fleet_rec rec = fleet_make(lsn, e.v, 0, true, 1, payload);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(fleet_adopt(f, 0, i, e, &hx_recovery_result(x)->history), 0);
        assert_int_equal(fleet_append(f, 0, i, &rec, HX_LSN(0)), 0);
    }
    finish(f, x);
    n = lose(f, 0, 0x07, lost);
    struct hx_recovery *r = open_by_word(f, lost, n);
    assert_int_equal(top(r)->vdl.v, lsn);
    finish(f, r);
    fleet_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_any_three_gone_nothing_is_lost),
        cmocka_unit_test(all_that_are_left_are_needed),
        cmocka_unit_test(with_four_gone_nothing_is_guessed),
        cmocka_unit_test(with_two_gone_groups_stay_plain),
        cmocka_unit_test(when_the_word_was_wrong_the_lost_can_do_nothing),
        cmocka_unit_test(said_twice_it_is_the_same),
        cmocka_unit_test(an_opening_that_was_quicker_is_found),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("lost", tests, NULL, NULL);
}
