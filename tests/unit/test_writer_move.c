/*
 * test_writer_move.c - the writer while members change: learners, counting by two versions, what a newcomer inherits.
 * The rules M1 to M9 are doc/MEMBERSHIP.md's; nine scripted members in virtual time, groups on the first six.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_members.h"

#include "hexad/err.h"
#include "../../src/core/writer_int.h"

#include <stdlib.h>

#define PG_PAGES 256u /* of 1 MiB */

/* A server that has no seat in PG. */
static uint32_t spare(const struct rig *r, uint32_t pg, unsigned nth)
{
    for (uint32_t i = 0;; i++) {
        bool in = false;
        assert_true(i < r->g.server_count);
        for (unsigned k = 0; k < HX_COPIES; k++)
            in = in || r->g.pgs[pg].server[k] == i;
        if (!in && nth-- == 0)
            return i;
    }
}

static unsigned bit(const struct rig *r, uint32_t pg, unsigned slot)
{
    return 1u << r->g.pgs[pg].server[slot];
}

static void open_quiet(struct rig *r, uint32_t pgs)
{
    rig_open(r, &(struct rig_opts){.pgs = pgs, .servers = 9});
    rig_run(r, 0);
}

static struct hx_lsn commit(struct rig *r, uint32_t pg)
{
    uint64_t p = (uint64_t)pg * PG_PAGES + 3;
    struct hx_lsn cpl;
    assert_int_equal(rig_append(r, &p, 1, 100, &cpl), 0);
    hx_writer_want(r->w, r->now, cpl);
    rig_pump(r);
    return cpl;
}

static struct hx_geometry version(const struct rig *r, uint32_t pg, unsigned slot, uint32_t server)
{
    struct hx_geometry g = {0};
    assert_int_equal(hx_geometry_copy(&g, hx_writer_geometry(r->w)), 0);
    g.m++;
    g.pgs[pg].server[slot] = (uint16_t)server;
    return g;
}

static uint64_t vdl(const struct rig *r)
{
    return hx_writer_vdl(r->w).v;
}

/* Delivers the oldest request with frames to this server. */
static void one(struct rig *r, uint32_t server)
{
    size_t i = 0;
    while (i < r->f.count && !(r->f.queue[i].server == server && r->f.queue[i].frames > 0))
        i++;
    assert_true(i < r->f.count);
    rig_deliver(r, i);
}

/* The member in SLOT of PG is replaced by SERVER, at once. */
static void replace(struct rig *r, uint32_t pg, unsigned slot, uint32_t server)
{
    assert_int_equal(hx_writer_learner_add(r->w, pg, slot, server), 0);
    rig_wait(r, 100, 0);
    r->f.server[server].seg[pg].start = hx_writer_pgcl(r->w, pg); /* its pages have been copied */
    hx_writer_learner_filled(r->w, pg, slot);
    rig_wait(r, 100, 0);
    struct hx_geometry next = version(r, pg, slot, server);
    assert_int_equal(hx_writer_turn(r->w, &next), 0);
    hx_writer_turned(r->w);
    hx_geometry_fini(&next);
}

/* Promise (M9): a learner is sent the log, and its answers count nowhere: three members and a learner are not four. */
static void a_learner_counts_nowhere(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, 1);
    uint32_t s = spare(&r, 0, 0);
    assert_int_equal(hx_writer_learner_add(r.w, 0, 5, s), 0);
    hx_writer_learner_filled(r.w, 0, 5);
    rig_run(&r, 0);
    struct hx_lsn cpl = commit(&r, 0);
    for (unsigned k = 0; k < 3; k++)
        one(&r, r.g.pgs[0].server[k]);
    one(&r, s);
    assert_int_equal(vdl(&r), 0);
    one(&r, r.g.pgs[0].server[3]);
    assert_int_equal(vdl(&r), cpl.v);
    assert_true(hx_writer_learner_ready(r.w, 0, 5));
    rig_close(&r);
}

/* Promise (M2): from the turn until N is stored a record counts when four of O *and* four of N have it; then N's four
 * are enough.  For all sets of the seven servers that answer. */
static void a_turning_group_counts_by_both(void **state)
{
    (void)state;
    for (unsigned set = 0; set < 256; set++) {
        struct rig r;
        open_quiet(&r, 2);
        uint32_t s = spare(&r, 1, 0);
        unsigned old = 0, new = 0;
        bool stored = set & 1;
        assert_int_equal(hx_writer_learner_add(r.w, 1, 2, s), 0);
        hx_writer_learner_filled(r.w, 1, 2);
        rig_run(&r, 0);
        struct hx_geometry next = version(&r, 1, 2, s);
        assert_int_equal(hx_writer_turn(r.w, &next), 0);
        struct hx_lsn cpl = commit(&r, 1);
        if (stored)
            hx_writer_turned(r.w);
        for (unsigned k = 0; k < 7; k++) {
            if (!(set >> (k + 1) & 1u))
                continue;
            one(&r, k < 6 ? r.g.pgs[1].server[k] : s);
            old += k < 6;
            new += k != 2;
        }
        assert_int_equal(vdl(&r), new >= 4 && (stored || old >= 4) ? cpl.v : 0);
        if (!stored) {
            hx_writer_turned(r.w);
            assert_int_equal(vdl(&r), new >= 4 ? cpl.v : 0);
        }
        hx_geometry_fini(&next);
        rig_close(&r);
    }
}

/* Promise (M1): a version is not let into the air before what is acknowledged is on four of each row that it changes;
 * what a learner holds before it is filled is not such a copy. */
static void a_version_waits_for_what_is_acknowledged(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, 1);
    uint32_t s = spare(&r, 0, 0);
    unsigned silent = bit(&r, 0, 5) | bit(&r, 0, 4); /* so the row of N has three without the learner */
    struct hx_lsn cpl = commit(&r, 0);
    rig_run(&r, silent | 1u << s);
    assert_int_equal(vdl(&r), cpl.v);
    assert_int_equal(hx_writer_learner_add(r.w, 0, 3, s), 0);
    struct hx_geometry next = version(&r, 0, 3, s);
    assert_int_equal(hx_writer_turn(r.w, &next), HX_E_LAGGING);
    rig_wait(&r, 3000, silent); /* it is sent the frame, and has everything, but is not filled */
    assert_int_equal(hx_writer_turn(r.w, &next), HX_E_LAGGING);
    hx_writer_learner_filled(r.w, 0, 3);
    rig_wait(&r, 1000, silent);
    assert_true(hx_writer_learner_ready(r.w, 0, 3));
    assert_int_equal(hx_writer_turn(r.w, &next), 0);
    struct hx_geometry other = version(&r, 0, 2, spare(&r, 0, 1));
    assert_int_equal(hx_writer_turn(r.w, &other), HX_E_BUSY); /* M3 */
    hx_writer_turned(r.w);
    assert_int_equal(hx_writer_geometry(r.w)->m, next.m);
    assert_int_equal(vdl(&r), cpl.v);
    hx_geometry_fini(&other);
    hx_geometry_fini(&next);
    rig_close(&r);
}

/* Promise (M4): of group 0 a version changes one member; of others as many as are ready.  Nobody is named who is not
 * the learner for that slot. */
static void group_0_changes_one_member_a_version(void **state)
{
    (void)state;
    for (uint32_t pg = 0; pg < 2; pg++) {
        struct rig r;
        open_quiet(&r, 2);
        uint32_t a = spare(&r, pg, 0), b = spare(&r, pg, 1);
        assert_int_equal(hx_writer_learner_add(r.w, pg, 0, a), 0);
        struct hx_geometry next = version(&r, pg, 0, b);
        assert_int_equal(hx_writer_turn(r.w, &next), HX_E_INVAL);
        next.pgs[pg].server[0] = (uint16_t)a;
        next.pgs[pg].server[3] = (uint16_t)b;
        assert_int_equal(hx_writer_turn(r.w, &next), HX_E_INVAL);
        assert_int_equal(hx_writer_learner_add(r.w, pg, 3, b), 0);
        hx_writer_learner_filled(r.w, pg, 0);
        hx_writer_learner_filled(r.w, pg, 3);
        assert_int_equal(hx_writer_turn(r.w, &next), pg == 0 ? HX_E_INVAL : 0);
        hx_geometry_fini(&next);
        rig_close(&r);
    }
}

/* Promise (M9): a newcomer does not inherit what the member that it replaces had told. */
static void a_newcomer_inherits_no_scl(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, 1);
    uint32_t s = spare(&r, 0, 0);
    assert_int_equal(hx_writer_learner_add(r.w, 0, 0, s), 0);
    rig_run(&r, 0);
    unsigned silent = bit(&r, 0, 4) | bit(&r, 0, 5) | 1u << s;
    struct hx_lsn first = commit(&r, 0);
    rig_run(&r, silent); /* four have it, of them the one that goes */
    assert_int_equal(vdl(&r), first.v);
    rig_wait(&r, 3000, silent & ~bit(&r, 0, 4)); /* a fifth one: so N has its four without the newcomer */
    struct hx_geometry next = version(&r, 0, 0, s);
    assert_int_equal(hx_writer_turn(r.w, &next), 0);
    hx_writer_turned(r.w);
    assert_int_equal(hx_writer_scl(r.w, 0, 0).v, 0);
    assert_string_equal(hx_writer_server_of(r.w, 0, 0)->name, r.g.servers[s].name);
    struct hx_lsn second = commit(&r, 0);
    for (unsigned k = 1; k < 4; k++)
        one(&r, r.g.pgs[0].server[k]);
    assert_int_equal(vdl(&r), first.v);
    one(&r, r.g.pgs[0].server[4]);
    assert_int_equal(vdl(&r), second.v);
    hx_geometry_fini(&next);
    rig_close(&r);
}

/* Promise: requests of a member that was replaced lend their frames until they are over, and then nothing more is sent
 * to it; the seat is free for the next change only then. */
static void a_replaced_member_gives_back_what_it_borrows(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, 1);
    uint32_t s = spare(&r, 0, 0), t = spare(&r, 0, 1), old = r.g.pgs[0].server[1];
    assert_int_equal(hx_writer_learner_add(r.w, 0, 1, s), 0);
    hx_writer_learner_filled(r.w, 0, 1);
    rig_run(&r, 0);
    struct hx_geometry next = version(&r, 0, 1, s);
    assert_int_equal(hx_writer_turn(r.w, &next), 0);
    struct hx_lsn cpl = commit(&r, 0);
    hx_writer_turned(r.w);
    rig_run(&r, 1u << old);
    assert_int_equal(vdl(&r), cpl.v);
    assert_int_equal(hx_writer_learner_add(r.w, 0, 1, t), HX_E_AGAIN);
    one(&r, old);
    unsigned told = r.f.server[old].appends + r.f.server[old].adopts;
    commit(&r, 0);
    rig_wait(&r, 3000, 0);
    assert_int_equal(r.f.server[old].appends + r.f.server[old].adopts, told);
    assert_int_equal(hx_writer_learner_add(r.w, 0, 1, t), 0);
    hx_geometry_fini(&next);
    rig_close(&r);
}

/* Promise: learners that do not answer pin no frame: when the window is half full of what they were sent their requests
 * are cancelled, once, and not sent again. */
static void silent_learners_pin_no_window(void **state)
{
    (void)state;
    struct rig r;
    struct hx_lsn cpl;
    uint64_t pages[PG_PAGES - 16];
    unsigned down = 0;
    rig_open(&r, &(struct rig_opts){.pgs = 1, .servers = 9, .window_bytes = 6 * HX_FRAME_MAX});
    rig_run(&r, 0);
    for (unsigned k = 0; k < 3; k++) {
        uint32_t s = spare(&r, 0, k);
        assert_int_equal(hx_writer_learner_add(r.w, 0, k, s), 0);
        down |= 1u << s;
    }
    rig_run(&r, 0);
    for (uint64_t i = 0; i < HX_ARRAY_LEN(pages); i++)
        pages[i] = i;
    for (unsigned k = 0; k < 6; k++) {
        assert_int_equal(rig_append(&r, pages, HX_ARRAY_LEN(pages), HX_PAGE_SIZE, &cpl), 0);
        hx_writer_want(r.w, r.now, cpl);
        rig_run(&r, down);
        assert_int_equal(vdl(&r), cpl.v);
    }
    rig_close(&r);
}

/* Promise: a learner that was silent while frames came and went is sent what is still there, and nothing else. */
static void a_learner_that_was_silent_is_sent_what_is_left(void **state)
{
    (void)state;
    struct rig r;
    struct hx_lsn cpl = HX_LSN(0);
    uint64_t pages[PG_PAGES - 16];
    rig_open(&r, &(struct rig_opts){.pgs = 1, .servers = 9, .window_bytes = 6 * HX_FRAME_MAX});
    rig_run(&r, 0);
    uint32_t s = spare(&r, 0, 0);
    assert_int_equal(hx_writer_learner_add(r.w, 0, 2, s), 0);
    rig_run(&r, 0);
    for (uint64_t i = 0; i < HX_ARRAY_LEN(pages); i++)
        pages[i] = i;
    for (unsigned k = 0; k < 8; k++) {
        assert_int_equal(rig_append(&r, pages, HX_ARRAY_LEN(pages) - 7 * k, HX_PAGE_SIZE, &cpl), 0);
        hx_writer_want(r.w, r.now, cpl);
        rig_wait(&r, 5000, 1u << s); /* what was sent to it fails, so its next question is a probe */
        assert_int_equal(vdl(&r), cpl.v);
    }
    struct hx_writer_server *at = r.w->server[s];
    assert_true(at->fails > 0 && at->cursor < r.w->head_seq);
    rig_wait(&r, 30000, 0);
    cpl = commit(&r, 0);
    rig_wait(&r, 1000, 0);
    assert_int_equal(at->fails, 0);
    assert_true(at->cursor >= r.w->head_seq);
    assert_int_equal(vdl(&r), cpl.v);
    rig_close(&r);
}

/* Promise: six members move one after the other, and back, while records come; none of them is lost by the count. */
static void all_move_and_come_back(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, 3);
    uint32_t home[HX_COPIES];
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < HX_COPIES; i++) {
            struct hx_lsn cpl = commit(&r, 1);
            rig_wait(&r, 200, 0);
            assert_int_equal(vdl(&r), cpl.v);
            uint32_t was = hx_writer_geometry(r.w)->pgs[1].server[i];
            uint32_t to = round ? home[i] : was;
            for (uint32_t k = 0; k < 9 && !round && to == was; k++)
                if (hx_writer_slot(r.w, 1, k) < 0)
                    to = k;
            home[i] = was;
            if (to == was || hx_writer_slot(r.w, 1, to) >= 0)
                continue;
            replace(&r, 1, i, to);
            cpl = commit(&r, 1);
            rig_wait(&r, 200, 0);
            assert_int_equal(vdl(&r), cpl.v);
            assert_int_equal(hx_writer_scl(r.w, 1, i).v, cpl.v);
        }
    }
    assert_true(hx_writer_geometry(r.w)->m > 5);
    rig_close(&r);
}

/* Promise (H6): while somebody is filled the floor stays. */
static void the_floor_stays_while_somebody_is_filled(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, 1);
    struct hx_lsn first = commit(&r, 0);
    rig_run(&r, 0);
    hx_writer_set_floor(r.w, first);
    hx_writer_hold_floor(r.w, true);
    struct hx_lsn second = commit(&r, 0);
    rig_run(&r, 0);
    hx_writer_set_floor(r.w, second);
    rig_wait(&r, 2000, 0);
    assert_int_equal(r.f.server[0].last_head.floor.v, first.v);
    hx_writer_hold_floor(r.w, false);
    hx_writer_set_floor(r.w, second);
    rig_wait(&r, 2000, 0);
    assert_int_equal(r.f.server[0].last_head.floor.v, second.v);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_learner_counts_nowhere),
        cmocka_unit_test(a_turning_group_counts_by_both),
        cmocka_unit_test(a_version_waits_for_what_is_acknowledged),
        cmocka_unit_test(group_0_changes_one_member_a_version),
        cmocka_unit_test(a_newcomer_inherits_no_scl),
        cmocka_unit_test(a_replaced_member_gives_back_what_it_borrows),
        cmocka_unit_test(silent_learners_pin_no_window),
        cmocka_unit_test(a_learner_that_was_silent_is_sent_what_is_left),
        cmocka_unit_test(all_move_and_come_back),
        cmocka_unit_test(the_floor_stays_while_somebody_is_filled),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("writer_move", tests, NULL, NULL);
}
