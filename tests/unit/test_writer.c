/*
 * test_writer.c - the writer against six scripted members in virtual time: acknowledgements, batching, laggards,
 * refusals, fencing.  What W1 .. W5 of hexad/writer.h promise is named in each test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_members.h"

#include "hexad/err.h"
#include "hexad/place.h"
#include "hexad/quorum.h"

#include <stdlib.h>

#define PG_PAGES 256u /* of 1 MiB */
#define WINDOW (4u * HX_FRAME_MAX)

static uint64_t page_in(uint32_t pg, uint32_t page)
{
    return (uint64_t)pg * PG_PAGES + page;
}

/* One record on a page of PG; wanted. */
static struct hx_lsn commit(struct rig *r, uint32_t pg, uint32_t page)
{
    uint64_t p = page_in(pg, page);
    struct hx_lsn cpl;
    assert_int_equal(rig_append(r, &p, 1, 100, &cpl), 0);
    hx_writer_want(r->w, r->now, cpl);
    rig_pump(r);
    return cpl;
}

/* Requests of this type under way to the server (6: to any). */
static unsigned queued(const struct rig *r, unsigned server, uint16_t type, bool with_frames)
{
    unsigned n = 0;
    for (size_t i = 0; i < r->f.count; i++)
        n += (server == FAKE_SERVERS || r->f.queue[i].server == server) && r->f.queue[i].type == type &&
             (type != HX_MSG_APPEND || (r->f.queue[i].frames > 0) == with_frames);
    return n;
}

/* Index in the queue of the oldest APPEND with frames to this server; it must be there. */
static size_t append_to(const struct rig *r, unsigned server)
{
    size_t i = 0;
    while (i < r->f.count && !(r->f.queue[i].server == server && r->f.queue[i].frames > 0))
        i++;
    assert_true(i < r->f.count);
    return i;
}

static unsigned slot_of(const struct rig *r, uint32_t pg, unsigned server)
{
    unsigned slot = 0;
    while (r->g.pgs[pg].server[slot] != server)
        slot++;
    return slot;
}

/* Everybody has answered the first announcement. */
static void open_quiet(struct rig *r, const struct rig_opts *o)
{
    rig_open(r, o);
    rig_run(r, 0);
    assert_int_equal(r->f.count, 0);
}

/* ---- quorum ---- */

/* Promise (W2): the VDL reaches a record exactly when four of six have acknowledged it, for all 64 sets of
 * members that answer, in whatever order. */
static void vdl_moves_at_the_fourth_answer_for_all_64_sets(void **state)
{
    (void)state;
    for (unsigned set = 0; set < 64; set++) {
        struct rig r;
        open_quiet(&r, &(struct rig_opts){.pgs = 2});
        struct hx_lsn cpl = commit(&r, 0, set);
        unsigned given = 0;
        for (unsigned k = 0; k < FAKE_SERVERS; k++) {
            unsigned server = set & 1 ? k : FAKE_SERVERS - 1 - k;
            if (!(set >> server & 1u))
                continue;
            rig_deliver(&r, append_to(&r, server));
            given++;
            assert_int_equal(hx_writer_vdl(r.w).v, given >= 4 ? cpl.v : 0);
            assert_int_equal(hx_writer_vcl(r.w).v, given >= 4 ? cpl.v : 0);
        }
        rig_close(&r);
    }
}

/* Promise (W2, pitfall 25): the same answer again is one acknowledgement.  Three members, each twice. */
static void an_answer_twice_counts_once(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, &(struct rig_opts){0});
    struct hx_lsn cpl = commit(&r, 0, 1);
    for (unsigned k = 0; k < 3; k++) {
        size_t i = append_to(&r, k);
        uint64_t call = r.f.queue[i].call;
        struct hx_bytes b = fake_answer(&r.f, i);
        fake_forget(&r.f, i);
        hx_writer_answer(r.w, r.now, call, b);
        hx_writer_answer(r.w, r.now, call, b);
        free((void *)(uintptr_t)b.p);
    }
    assert_int_equal(hx_writer_vdl(r.w).v, 0);
    rig_deliver(&r, append_to(&r, 4));
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    rig_close(&r);
}

/* Promise (W2, pitfall 8): the VDL is never inside a mini-transaction.  One over three PGs; two of them
 * answer, then the third; at each answer the VDL is looked at. */
static void vdl_is_never_inside_a_mini_transaction(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, &(struct rig_opts){.pgs = 3});
    for (uint32_t pg = 0; pg < 3; pg++) /* histories adopted */
        commit(&r, pg, 0);
    rig_run(&r, 0);
    uint64_t before = hx_writer_vdl(r.w).v;
    assert_int_equal(before, 3);
    uint64_t pages[] = {page_in(0, 1), page_in(1, 1), page_in(2, 1)};
    struct hx_lsn cpl;
    for (unsigned i = 0; i < FAKE_SERVERS; i++)
        r.f.server[i].seg[2].refuse = HX_E_NOSPACE;
    assert_int_equal(rig_append(&r, pages, 3, 10, &cpl), 0);
    hx_writer_want(r.w, r.now, cpl);
    rig_run(&r, 0);
    assert_int_equal(hx_writer_vcl(r.w).v, before + 2);
    assert_int_equal(hx_writer_vdl(r.w).v, before);
    for (unsigned i = 0; i < FAKE_SERVERS; i++)
        r.f.server[i].seg[2].refuse = 0;
    rig_wait(&r, 3000, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    rig_close(&r);
}

/* Promise (pitfalls 7, 63): a hole in one PG holds back what comes after it in any PG; an idle PG holds
 * back nothing. */
static void a_hole_in_one_pg_holds_back_later_records_of_others(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, &(struct rig_opts){.pgs = 3});
    for (uint32_t pg = 0; pg < 2; pg++)
        commit(&r, pg, 0);
    rig_run(&r, 0);
    for (unsigned i = 0; i < FAKE_SERVERS; i++)
        r.f.server[i].seg[0].refuse = HX_E_POISONED;
    struct hx_lsn a = commit(&r, 0, 1);
    struct hx_lsn b = commit(&r, 1, 1);
    rig_run(&r, 0);
    assert_int_equal(hx_writer_pgcl(r.w, 1).v, b.v);
    assert_int_equal(hx_writer_vdl(r.w).v, a.v - 1);
    for (unsigned i = 0; i < 4; i++)
        r.f.server[i].seg[0].refuse = 0;
    rig_wait(&r, 3000, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, b.v);
    rig_close(&r);
}

/* Promise (W1, step 8, pitfall 19): an epoch begins above the gap, its VDL is the one that recovery found,
 * and the first backlinks name the last survivors, so that SCLs cross the gap. */
static void first_records_of_an_epoch_link_over_the_gap(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, &(struct rig_opts){.pgs = 2, .epoch = 3, .vdl = 50, .end = 5000});
    assert_int_equal(hx_writer_vdl(r.w).v, 50);
    assert_int_equal(hx_writer_last(r.w).v, 50);
    struct hx_lsn cpl = commit(&r, 1, 9);
    assert_int_equal(cpl.v, 5001);
    rig_run(&r, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, 5001);
    assert_int_equal(r.f.server[0].seg[1].rec[0].prev.v, 49);
    rig_close(&r);
}

/* ---- answers that do not count ---- */

static void deliver_as(struct rig *r, size_t i, void (*spoil)(struct rig *, unsigned server), bool damage)
{
    uint64_t call = r->f.queue[i].call;
    unsigned server = r->f.queue[i].server;
    if (spoil)
        spoil(r, server);
    struct hx_bytes b = fake_answer(&r->f, i);
    if (damage)
        ((uint8_t *)(uintptr_t)b.p)[HX_REPLY_HEAD] ^= 1;
    fake_forget(&r->f, i);
    hx_writer_answer(r->w, r->now, call, b);
    free((void *)(uintptr_t)b.p);
    rig_pump(r);
}

static void other_incarnation(struct rig *r, unsigned server)
{
    memset(r->f.server[server].incarnation.b, 0xee, 16);
}

/* Promise (pitfall 46): a server that answers under another incarnation does not count and is shown as
 * refused; a damaged answer does not count either, and is asked for again. */
static void answers_of_strangers_and_damaged_ones_do_not_count(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, &(struct rig_opts){0});
    struct hx_lsn cpl = commit(&r, 0, 1);
    for (unsigned k = 0; k < 3; k++)
        rig_deliver(&r, append_to(&r, k));
    deliver_as(&r, append_to(&r, 3), other_incarnation, false);
    deliver_as(&r, append_to(&r, 4), NULL, true);
    assert_int_equal(hx_writer_vdl(r.w).v, 0);
    struct hx_member_view v;
    hx_writer_member(r.w, 0, slot_of(&r, 0, 3), r.now, &v);
    assert_int_equal(v.state, HX_MEMBER_REFUSED);
    assert_int_equal(v.last_error, HX_E_STRANGER);
    rig_wait(&r, 1000, 1u << 3 | 1u << 5);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v); /* server 4 was asked again */
    rig_close(&r);
}

/* Promise: an acknowledgement that was sent to the writer of an earlier epoch says nothing to this one.
 * Answers of an old writer's calls, which had the same order and shape, are handed to a new one. */
static void late_ack_of_an_old_epoch_is_ignored(void **state)
{
    (void)state;
    struct rig old, r;
    open_quiet(&old, &(struct rig_opts){.epoch = 2});
    open_quiet(&r, &(struct rig_opts){.epoch = 3});
    commit(&old, 0, 1);
    struct hx_lsn cpl = commit(&r, 0, 1);
    assert_int_equal(old.f.count, FAKE_SERVERS);
    for (size_t i = 0; i < FAKE_SERVERS; i++) {
        struct hx_bytes b = fake_answer(&old.f, i);
        hx_writer_answer(r.w, r.now, old.f.queue[i].call, b);
        hx_writer_answer(r.w, r.now, r.f.queue[i].call, b); /* even under the right number */
        free((void *)(uintptr_t)b.p);
    }
    assert_int_equal(hx_writer_vdl(r.w).v, 0);
    assert_int_equal(hx_writer_state(r.w), 0);
    for (size_t i = 0; i < FAKE_SERVERS; i++) /* the connections are gone, with what was under way */
        fake_forget(&r.f, 0);
    rig_wait(&r, 2000, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    rig_close(&r);
    rig_close(&old);
}

/* Promise (W3, doc/PROTOCOL.md step 10): after one FENCED nothing goes out and nothing is acknowledged, for
 * ever; not even answers that were given before the fence.  Three answers, the fenced one, then the three
 * others. */
static void fenced_is_for_ever(void **state)
{
    (void)state;
    struct rig r;
    struct hx_effect e;
    open_quiet(&r, &(struct rig_opts){0});
    commit(&r, 0, 1);
    for (unsigned k = 0; k < 3; k++)
        rig_deliver(&r, append_to(&r, k));
    r.f.server[3].promised = HX_EPOCH(9);
    rig_deliver(&r, append_to(&r, 3));
    assert_int_equal(hx_writer_state(r.w), HX_E_FENCED);
    for (unsigned k = 4; k < 6; k++)
        rig_deliver(&r, append_to(&r, k));
    assert_int_equal(hx_writer_vdl(r.w).v, 0);
    uint64_t p = 1;
    struct hx_lsn cpl;
    assert_int_equal(rig_append(&r, &p, 1, 10, &cpl), HX_E_FENCED);
    for (unsigned k = 0; k < 100; k++) {
        r.now += 1000;
        hx_writer_tick(r.w, r.now);
        assert_int_equal(hx_writer_next(r.w, &e), 0);
    }
    assert_int_equal(hx_writer_state(r.w), HX_E_FENCED);
    rig_close(&r);
}

/* Promise (W3): a member that has promised a higher epoch fences whatever else its answer says: that it has no room, no
 * history, that all is well.  The answer's head is made anew with the promise, the status stays. */
static void a_higher_promise_fences_whatever_the_answer_says(void **state)
{
    (void)state;
    static const int says[] = {0, HX_E_NOSPACE, HX_E_NEED_HISTORY, HX_E_AGAIN, HX_E_IO};
    for (size_t i = 0; i < HX_ARRAY_LEN(says); i++) {
        struct rig r;
        open_quiet(&r, &(struct rig_opts){0});
        commit(&r, 0, 1);
        size_t at = append_to(&r, 3);
        uint64_t call = r.f.queue[at].call;
        r.f.server[3].refuse = says[i];
        struct hx_bytes b = fake_answer(&r.f, at), body;
        struct hx_reply_head h;
        assert_int_equal(hx_reply_decode(b.p, b.len, &h, &body), 0);
        assert_int_equal(h.status, says[i]);
        h.promised = HX_EPOCH(9);
        hx_reply_head_encode(&h, &body, 1, (uint8_t *)(uintptr_t)b.p);
        fake_forget(&r.f, at);
        assert_int_equal(hx_writer_state(r.w), 0);
        hx_writer_answer(r.w, r.now, call, b);
        assert_int_equal(hx_writer_state(r.w), HX_E_FENCED);
        free((void *)(uintptr_t)b.p);
        rig_close(&r);
    }
}

/* Promise (A1): a member that claims more than was ever sent is not believed: what is appended later is not
 * durable by that.  Four of six claim it. */
static void an_scl_above_all_records_does_not_count(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, &(struct rig_opts){0});
    for (unsigned k = 0; k < 4; k++)
        r.f.server[k].seg[0].start = HX_LSN(3000);
    commit(&r, 0, 1);
    rig_run(&r, 0);
    commit(&r, 0, 2);
    rig_run(&r, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, 0);
    struct hx_member_view v;
    hx_writer_member(r.w, 0, slot_of(&r, 0, 1), r.now, &v);
    assert_int_equal(v.last_error, HX_E_BADMSG);
    rig_close(&r);
}

/* Promise (A4): an answer overtaken by a later one does not set the member back; one to a request that went
 * out afterwards does (it lost records), but no PGCL or VDL falls by that. */
static void overtaken_answers_are_told_from_lost_records(void **state)
{
    (void)state;
    struct rig r;
    struct hx_member_view v;
    uint64_t pages[250];
    struct hx_lsn cpl;
    open_quiet(&r, &(struct rig_opts){0});
    for (uint64_t i = 0; i < 250; i++)
        pages[i] = i;
    for (unsigned k = 0; k < 2; k++)
        assert_int_equal(rig_append(&r, pages, 250, HX_PAGE_SIZE, &cpl), 0);
    rig_pump(&r);
    assert_true(queued(&r, 0, HX_MSG_APPEND, true) >= 2);
    uint64_t call[2];
    struct hx_bytes b[2];
    for (unsigned k = 0; k < 2; k++) {
        size_t i = append_to(&r, 0);
        call[k] = r.f.queue[i].call;
        b[k] = fake_answer(&r.f, i);
        fake_forget(&r.f, i);
    }
    hx_writer_answer(r.w, r.now, call[1], b[1]);
    hx_writer_member(r.w, 0, slot_of(&r, 0, 0), r.now, &v);
    uint64_t high = v.scl.v;
    hx_writer_answer(r.w, r.now, call[0], b[0]);
    hx_writer_member(r.w, 0, slot_of(&r, 0, 0), r.now, &v);
    assert_int_equal(v.scl.v, high);
    for (unsigned k = 0; k < 2; k++)
        free((void *)(uintptr_t)b[k].p);
    hx_writer_want(r.w, r.now, cpl);
    rig_wait(&r, 200, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    fake_lose_records(&r.f, 0, 0, 100);
    cpl = commit(&r, 0, 1);
    rig_run(&r, 0);
    hx_writer_member(r.w, 0, slot_of(&r, 0, 0), r.now, &v);
    assert_int_equal(v.scl.v, 100);
    assert_int_equal(v.state, HX_MEMBER_BEHIND);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    rig_close(&r);
}

/* Promise (A3): what was once durable in a PG stays so for the writer, whatever its members forget: a read there is
 * asked as of no older point.  Method: three of six lose records after all had them. */
static void a_pgcl_never_falls(void **state)
{
    (void)state;
    struct rig r;
    struct hx_member_view v;
    struct hx_lsn cpl;
    open_quiet(&r, &(struct rig_opts){0});
    for (unsigned i = 0; i < 20; i++)
        cpl = commit(&r, 0, 1);
    rig_run(&r, 0);
    assert_int_equal(hx_writer_pgcl(r.w, 0).v, cpl.v);
    for (unsigned k = 0; k < 3; k++)
        fake_lose_records(&r.f, k, 0, 10);
    commit(&r, 0, 1); /* these three hear of it: not durable */
    rig_run(&r, 7u << 3);
    for (unsigned k = 0; k < 3; k++) {
        hx_writer_member(r.w, 0, slot_of(&r, 0, k), r.now, &v);
        assert_in_range(v.scl.v, 1, cpl.v - 1);
    }
    assert_int_equal(hx_writer_pgcl(r.w, 0).v, cpl.v);
    rig_close(&r);
}

/* ---- batching ---- */

/* Promise: a lone commit is sealed and sent to all six in the round in which it is wanted; unwanted, it
 * goes by age. */
static void a_lone_commit_is_sent_at_once_and_an_unwanted_one_by_age(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, &(struct rig_opts){0});
    commit(&r, 0, 1);
    for (unsigned k = 0; k < FAKE_SERVERS; k++)
        assert_int_equal(queued(&r, k, HX_MSG_APPEND, true), 1);
    rig_run(&r, 0);
    uint64_t p = 2;
    struct hx_lsn cpl;
    assert_int_equal(rig_append(&r, &p, 1, 10, &cpl), 0);
    rig_pump(&r);
    assert_int_equal(queued(&r, FAKE_SERVERS, HX_MSG_APPEND, true), 0);
    uint64_t wait = hx_writer_tick(r.w, r.now);
    assert_true(wait <= HX_WRITER_AGE_MS);
    r.now += HX_WRITER_AGE_MS;
    hx_writer_tick(r.w, r.now);
    rig_pump(&r);
    assert_int_equal(queued(&r, FAKE_SERVERS, HX_MSG_APPEND, true), FAKE_SERVERS);
    rig_close(&r);
}

/* Promise: what is committed while small requests are under way gathers in one frame, sent when four
 * members have answered; a slow server gets all it missed in one request. */
static void commits_gather_while_a_small_request_is_under_way(void **state)
{
    (void)state;
    struct rig r;
    struct hx_writer_stats s;
    open_quiet(&r, &(struct rig_opts){0});
    commit(&r, 0, 1);
    for (uint32_t k = 2; k < 12; k++)
        commit(&r, 0, k);
    assert_int_equal(queued(&r, FAKE_SERVERS, HX_MSG_APPEND, true), FAKE_SERVERS);
    for (unsigned k = 0; k < 3; k++)
        rig_deliver(&r, append_to(&r, k));
    hx_writer_stats(r.w, &s);
    assert_int_equal(s.frames, 1);
    rig_deliver(&r, append_to(&r, 3));
    hx_writer_stats(r.w, &s);
    assert_int_equal(s.frames, 2); /* ten commits in one */
    for (unsigned k = 0; k < 4; k++)
        assert_int_equal(r.f.queue[append_to(&r, k)].frames, 1);
    for (unsigned k = 0; k < 4; k++)
        rig_deliver(&r, append_to(&r, k));
    assert_int_equal(hx_writer_vdl(r.w).v, 11);
    commit(&r, 0, 30);
    assert_int_equal(queued(&r, 5, HX_MSG_APPEND, true), 1);
    rig_deliver(&r, append_to(&r, 5)); /* the slow one: now both frames it missed */
    assert_int_equal(r.f.queue[append_to(&r, 5)].frames, 2);
    rig_run(&r, 0);
    rig_close(&r);
}

/* Promise (S3): what is under way to a member is not sent to it again, even when its cursor goes back
 * because it has adopted the history of another PG meanwhile. */
static void a_frame_is_under_way_once_per_member(void **state)
{
    (void)state;
    struct rig r;
    uint64_t pages[200];
    struct hx_lsn cpl;
    open_quiet(&r, &(struct rig_opts){.pgs = 2});
    for (uint64_t i = 0; i < 200; i++)
        pages[i] = i;
    assert_int_equal(rig_append(&r, pages, 200, HX_PAGE_SIZE, &cpl), 0);
    cpl = commit(&r, 1, 0);
    for (size_t i = 0; i < r.f.count;) {
        if (r.f.queue[i].type == HX_MSG_ADOPT)
            rig_deliver(&r, i);
        else
            i++;
    }
    rig_wait(&r, 100, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    for (unsigned k = 0; k < FAKE_SERVERS; k++) {
        assert_int_equal(r.f.server[k].adopts, 1);
        assert_int_equal(r.f.server[k].seg[0].doubles + r.f.server[k].seg[1].doubles, 0);
    }
    rig_close(&r);
}

/* Promise: with bulk data waiting up to HX_WRITER_CALLS_MAX requests are under way per server, never more,
 * and what arrives out of order counts once the hole is filled. */
static void bulk_data_uses_several_requests_in_any_order(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, &(struct rig_opts){.pgs = 4});
    for (uint32_t pg = 0; pg < 4; pg++)
        commit(&r, pg, 0);
    rig_run(&r, 0);
    uint64_t pages[200];
    struct hx_lsn cpl;
    for (unsigned n = 0; n < 4; n++) {
        for (uint64_t i = 0; i < 200; i++)
            pages[i] = n * PG_PAGES + i;
        for (unsigned again = 0; again < 2; again++)
            assert_int_equal(rig_append(&r, pages, 200, HX_PAGE_SIZE, &cpl), 0);
        rig_pump(&r);
    }
    hx_writer_want(r.w, r.now, cpl);
    rig_pump(&r);
    for (unsigned k = 0; k < FAKE_SERVERS; k++)
        assert_int_equal(queued(&r, k, HX_MSG_APPEND, true), HX_WRITER_CALLS_MAX);
    while (r.f.count > 0) { /* newest first */
        rig_deliver(&r, r.f.count - 1);
        for (unsigned k = 0; k < FAKE_SERVERS; k++)
            assert_true(queued(&r, k, HX_MSG_APPEND, true) <= HX_WRITER_CALLS_MAX);
    }
    rig_wait(&r, 100, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    for (unsigned k = 0; k < FAKE_SERVERS; k++)
        assert_int_equal(fake_scl(&r.f, k, 3).v, cpl.v);
    rig_close(&r);
}

/* Promise: an idle writer is heard of each second, with its VDL, and its last VDL is told soon. */
static void servers_hear_of_an_idle_writer_and_its_last_vdl(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, &(struct rig_opts){0});
    hx_writer_set_info(r.w, "{\"host\":\"x\"}");
    struct hx_lsn cpl = commit(&r, 0, 1);
    rig_run(&r, 0);
    rig_wait(&r, 200, 0);
    for (unsigned k = 0; k < FAKE_SERVERS; k++)
        assert_int_equal(r.f.server[k].last_head.vdl.v, cpl.v);
    unsigned before = r.f.server[0].announcements;
    rig_wait(&r, 5000, 0);
    assert_in_range(r.f.server[0].announcements - before, 4, 7);
    assert_string_equal(r.f.server[0].last_head.info, "{\"host\":\"x\"}");
    rig_close(&r);
}

/* Promise (I15): members of a PG in which nobody writes or reads hear of the newest history, too, one PG a server and
 * announcement; once each.  (Fenced and without it, none of them could fill another.) */
static void an_idle_pg_hears_the_history(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, &(struct rig_opts){.pgs = 3});
    for (uint32_t pg = 1; pg < 3; pg++)
        for (unsigned k = 0; k < FAKE_SERVERS; k++)
            r.f.server[k].seg[pg].no_history = true;
    rig_wait(&r, 5000, 0);
    for (uint32_t pg = 1; pg < 3; pg++)
        for (unsigned k = 0; k < FAKE_SERVERS; k++)
            assert_false(r.f.server[k].seg[pg].no_history);
    unsigned told = r.f.server[0].adopts;
    assert_int_equal(told, 2);
    rig_wait(&r, 5000, 0);
    assert_int_equal(r.f.server[0].adopts, told);
    rig_close(&r);
}

/* ---- limits ---- */

/* Promise (W1, I5): no LSN above max(VDL, end) + lal; the refused mini-transaction changes nothing, and the
 * same one is taken when the VDL has moved. */
static void lsns_are_bounded_by_lal(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, &(struct rig_opts){.lal = 100, .epoch = 2, .vdl = 0, .end = 700});
    uint64_t pages[30];
    struct hx_lsn cpl;
    for (uint64_t i = 0; i < 30; i++)
        pages[i] = i;
    for (unsigned n = 0; n < 3; n++)
        assert_int_equal(rig_append(&r, pages, 30, 8, &cpl), 0);
    assert_int_equal(cpl.v, 790);
    assert_int_equal(rig_append(&r, pages, 30, 8, &cpl), HX_E_ROOM);
    assert_int_equal(hx_writer_last(r.w).v, 790);
    assert_int_equal(rig_append(&r, pages, 10, 8, &cpl), 0);
    assert_int_equal(cpl.v, 800);
    assert_int_equal(rig_append(&r, pages, 1, 8, &cpl), HX_E_ROOM);
    rig_wait(&r, 100, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, 800);
    assert_int_equal(rig_append(&r, pages, 30, 8, &cpl), 0);
    struct hx_writer_rec many[101] = {0};
    for (size_t i = 0; i < 101; i++)
        many[i].kind = HX_REC_ZERO;
    struct hx_lsn first;
    assert_int_equal(hx_writer_append(r.w, r.now, many, 101, &first, &cpl), HX_E_TOOBIG);
    rig_close(&r);
}

/* Appends images until TOTAL bytes went in; with ROOM time passes.  How often ROOM came. */
static unsigned pour(struct rig *r, size_t total, uint32_t pgs, unsigned stopped)
{
    unsigned rooms = 0, n = 0;
    for (size_t done = 0; done < total;) {
        uint64_t pages[8];
        struct hx_lsn cpl;
        for (unsigned i = 0; i < 8; i++)
            pages[i] = page_in((n / 16 + i / 4) % pgs, (n * 7 + i) % PG_PAGES);
        n++;
        uint64_t serial = hx_writer_room_serial(r->w), vdl = hx_writer_vdl(r->w).v;
        int rc = rig_append(r, pages, 8, HX_PAGE_SIZE, &cpl);
        if (rc == 0) {
            done += sizeof pages / sizeof pages[0] * HX_PAGE_SIZE;
            rig_pump(r);
            continue;
        }
        assert_int_equal(rc, HX_E_ROOM);
        rooms++;
        for (unsigned k = 0; hx_writer_room_serial(r->w) == serial && hx_writer_vdl(r->w).v == vdl; k++) {
            assert_true(k < 500); /* there is room within five seconds of virtual time */
            rig_wait(r, 10, stopped);
        }
    }
    return rooms;
}

/* Promise (W1, W4): the ring goes round many times with requests answered in batches; every record arrives
 * whole at all six (the members compare), none is lost or overwritten. */
static void ring_goes_round_and_every_record_arrives_everywhere(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, &(struct rig_opts){.pgs = 3, .window_bytes = WINDOW});
    assert_true(pour(&r, 6 * WINDOW, 3, 0) > 0);
    hx_writer_want(r.w, r.now, hx_writer_last(r.w));
    rig_wait(&r, 500, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, hx_writer_last(r.w).v);
    size_t records = 0;
    for (uint32_t pg = 0; pg < 3; pg++)
        for (unsigned k = 0; k < FAKE_SERVERS; k++) {
            assert_int_equal(fake_scl(&r.f, k, pg).v, fake_scl(&r.f, 0, pg).v);
            assert_int_equal(r.f.server[k].seg[pg].count, r.f.server[0].seg[pg].count);
            records += k == 0 ? r.f.server[k].seg[pg].count : 0;
        }
    assert_int_equal(records, hx_writer_last(r.w).v);
    struct hx_writer_stats s;
    hx_writer_stats(r.w, &s);
    assert_int_equal(s.dropped_behind, 0);
    rig_close(&r);
}

/* Promise (W5, pitfall 51): a server that takes requests and never answers (stopped) or refuses connections
 * never blocks the ring: what it pins is cancelled, it is dropped behind and gets what is new when it comes
 * back; once gossip has filled the hole it counts again. */
static void a_stopped_server_never_blocks_the_ring(void **state)
{
    (void)state;
    struct rig r;
    struct hx_writer_stats s;
    struct hx_member_view v;
    open_quiet(&r, &(struct rig_opts){.pgs = 2, .window_bytes = WINDOW});
    pour(&r, 5 * WINDOW, 2, 1u << 2 | 1u << 5);
    hx_writer_want(r.w, r.now, hx_writer_last(r.w));
    rig_wait(&r, 100, 1u << 2 | 1u << 5);
    assert_int_equal(hx_writer_vdl(r.w).v, hx_writer_last(r.w).v);
    hx_writer_stats(r.w, &s);
    assert_true(s.dropped_behind > 0);
    assert_true(r.f.cancels > 0);
    hx_writer_member(r.w, 0, slot_of(&r, 0, 2), r.now, &v);
    assert_int_equal(v.state, HX_MEMBER_BEHIND); /* it has answered a moment ago: slow, not down */
    rig_wait(&r, 3000, 1u << 2 | 1u << 5);
    hx_writer_member(r.w, 0, slot_of(&r, 0, 2), r.now, &v);
    assert_int_equal(v.state, HX_MEMBER_DOWN);
    while (r.f.count > 0) /* it is killed and started again */
        rig_lose(&r, 0, HX_E_CLOSED);
    rig_wait(&r, 3000, 0);
    struct hx_lsn cpl = commit(&r, 0, 3);
    rig_run(&r, 0);
    struct fake_segment *seg = &r.f.server[2].seg[0];
    assert_true(fake_scl(&r.f, 2, 0).v < cpl.v);
    assert_int_equal(seg->rec[seg->count - 1].lsn.v, cpl.v); /* new frames come, out of order */
    hx_writer_member(r.w, 0, slot_of(&r, 0, 2), r.now, &v);
    assert_int_equal(v.state, HX_MEMBER_BEHIND);
    for (uint32_t pg = 0; pg < 2; pg++) /* gossip */
        r.f.server[2].seg[pg].scl = fake_scl(&r.f, 0, pg);
    rig_wait(&r, 4000, 0);
    for (uint32_t pg = 0; pg < 2; pg++) {
        hx_writer_member(r.w, pg, slot_of(&r, pg, 2), r.now, &v);
        assert_int_equal(v.state, HX_MEMBER_OK);
    }
    rig_close(&r);
}

/* Promise: the largest mini-transaction that the window takes goes through, even when settled frames that a
 * dead server lacks fill half of the window. */
static void a_large_mini_transaction_gets_room_from_a_dead_server(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, &(struct rig_opts){.window_bytes = WINDOW});
    for (unsigned k = 0; k < 200 && r.f.server[5].appends == 0; k++) {
        commit(&r, 0, k % PG_PAGES);
        rig_run(&r, 1u << 5);
    }
    pour(&r, WINDOW / 3, 1, 1u << 5);
    hx_writer_want(r.w, r.now, hx_writer_last(r.w));
    rig_wait(&r, 50, 1u << 5);
    uint64_t pages[240];
    struct hx_lsn cpl = HX_LSN(0);
    for (uint64_t i = 0; i < 240; i++)
        pages[i] = i;
    uint64_t serial = hx_writer_room_serial(r.w);
    assert_int_equal(hx_writer_vdl(r.w).v, hx_writer_last(r.w).v);
    assert_int_equal(rig_append(&r, pages, 240, HX_PAGE_SIZE, &cpl), HX_E_ROOM); /* its request pins the window */
    rig_run(&r, 1u << 5);
    assert_true(hx_writer_room_serial(r.w) != serial); /* the sign to try again: the VDL does not move */
    assert_int_equal(rig_append(&r, pages, 240, HX_PAGE_SIZE, &cpl), 0);
    rig_wait(&r, 200, 1u << 5);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    rig_close(&r);
}

/* ---- refusals ---- */

/* Promise (step 8, refusal table): a member without the history is sent ADOPT, one without the segment
 * FORMAT, and then the frames again; nothing else is needed. */
static void missing_histories_and_segments_are_supplied(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, &(struct rig_opts){.pgs = 2});
    for (unsigned k = 0; k < FAKE_SERVERS; k++)
        for (uint32_t pg = 0; pg < 2; pg++) {
            r.f.server[k].seg[pg].absent = k % 2;
            r.f.server[k].seg[pg].no_history = true;
            r.f.server[k].no_volume = k == 1;
        }
    commit(&r, 0, 1);
    struct hx_lsn cpl = commit(&r, 1, 1);
    rig_wait(&r, 100, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    for (unsigned k = 0; k < FAKE_SERVERS; k++) {
        assert_int_equal(fake_scl(&r.f, k, 1).v, cpl.v);
        assert_true(k % 2 ? r.f.server[k].formats == 2 : r.f.server[k].adopts >= 2);
    }
    rig_close(&r);
}

/* Promise (pitfall 47): full disks at three members let commits wait, not fail; when there is space again
 * the VDL moves by itself. */
static void full_members_hold_the_vdl_until_they_have_space(void **state)
{
    (void)state;
    struct rig r;
    struct hx_member_view v;
    open_quiet(&r, &(struct rig_opts){0});
    for (unsigned k = 0; k < 3; k++)
        r.f.server[k].seg[0].refuse = HX_E_NOSPACE;
    struct hx_lsn cpl = commit(&r, 0, 1);
    rig_wait(&r, 5000, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, 0);
    hx_writer_member(r.w, 0, slot_of(&r, 0, 1), r.now, &v);
    assert_int_equal(v.state, HX_MEMBER_DOWN);
    assert_int_equal(v.last_error, HX_E_NOSPACE);
    r.f.server[1].seg[0].refuse = 0;
    rig_wait(&r, 3000, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    rig_close(&r);
}

/* Promise: a member that lacks old records and says with its announcements that there is no room for them is not called
 * behind, but full; one that has everything is well; with room it is behind again until it has caught up. */
static void a_full_member_that_is_behind_is_called_full(void **state)
{
    (void)state;
    struct rig r;
    struct hx_member_view v;
    open_quiet(&r, &(struct rig_opts){.pgs = 2});
    for (int i = 0; i < 5; i++)
        commit(&r, 0, 1);
    rig_run(&r, 0);
    for (unsigned k = 0; k < 2; k++)
        r.f.server[k].seg[0].full = true;
    fake_lose_records(&r.f, 0, 0, 2);
    commit(&r, 0, 1);
    rig_wait(&r, 3000, 0);
    hx_writer_member(r.w, 0, slot_of(&r, 0, 0), r.now, &v);
    assert_int_equal(v.state, HX_MEMBER_DOWN);
    assert_int_equal(v.last_error, HX_E_NOSPACE);
    hx_writer_member(r.w, 1, slot_of(&r, 1, 0), r.now, &v);
    assert_int_equal(v.state, HX_MEMBER_OK);
    hx_writer_member(r.w, 0, slot_of(&r, 0, 1), r.now, &v);
    assert_int_equal(v.state, HX_MEMBER_OK);
    r.f.server[0].seg[0].full = false;
    rig_wait(&r, 3000, 0);
    hx_writer_member(r.w, 0, slot_of(&r, 0, 0), r.now, &v);
    assert_int_equal(v.state, HX_MEMBER_BEHIND);
    assert_int_not_equal(v.last_error, HX_E_NOSPACE);
    r.f.server[0].seg[0].scl = fake_scl(&r.f, 1, 0);
    rig_wait(&r, 3000, 0);
    hx_writer_member(r.w, 0, slot_of(&r, 0, 0), r.now, &v);
    assert_int_equal(v.state, HX_MEMBER_OK);
    rig_close(&r);
}

/* Promise: a server that fails is asked again after growing pauses with an empty announcement, and gets
 * what it missed when it answers.  Connections to one server fail for ten seconds. */
static void a_failing_server_is_probed_and_catches_up(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, &(struct rig_opts){0});
    struct hx_lsn cpl = commit(&r, 0, 1);
    unsigned probes = 0;
    for (uint64_t end = r.now + 10000; r.now < end; r.now += 10) {
        hx_writer_tick(r.w, r.now);
        rig_run(&r, 1u << 4);
        while (r.f.count > 0) {
            probes += r.f.queue[0].frames == 0;
            rig_lose(&r, 0, HX_E_CONNECT);
        }
    }
    assert_in_range(probes, 9, 16); /* 50 100 200 400 800 then one a second */
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    assert_int_equal(fake_scl(&r.f, 4, 0).v, 0);
    rig_wait(&r, 1500, 0);
    assert_int_equal(fake_scl(&r.f, 4, 0).v, cpl.v);
    rig_close(&r);
}

/* Promise (growth): a PG added while requests are under way takes records at once; members that missed its
 * FORMAT get it. */
static void a_volume_grows_while_writes_go_on(void **state)
{
    (void)state;
    struct rig r;
    struct hx_pg_members m;
    struct hx_lsn cpl;
    open_quiet(&r, &(struct rig_opts){0});
    commit(&r, 0, 1);
    uint64_t p = page_in(1, 0);
    assert_int_equal(rig_append(&r, &p, 1, 10, &cpl), HX_E_INVAL);
    assert_int_equal(hx_place_group(&r.g, NULL, &m), 0);
    assert_int_equal(hx_geometry_add_pg(&r.g, &m), 0);
    assert_int_equal(hx_geometry_add_pg(&r.f.geometry, &m), 0);
    r.f.server[0].seg[1].absent = true;
    assert_int_equal(hx_writer_add_pg(r.w, &r.g, HX_MEMBERS_ALL), 0);
    assert_int_equal(hx_writer_pages(r.w), 2 * PG_PAGES);
    cpl = commit(&r, 1, 0);
    rig_wait(&r, 100, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    assert_int_equal(fake_scl(&r.f, 0, 1).v, cpl.v);
    assert_int_equal(r.f.server[0].formats, 1);
    rig_close(&r);
}

/* Promise (growth): members that were away while a PG was made get its segment when they are back, also when nobody
 * writes there: two that were never made and one whose disk is lost would be a loss. */
static void an_idle_pg_is_made_on_all_six(void **state)
{
    (void)state;
    struct rig r;
    struct hx_pg_members m;
    open_quiet(&r, &(struct rig_opts){0});
    commit(&r, 0, 1);
    rig_wait(&r, 100, 0);
    assert_int_equal(hx_place_group(&r.g, NULL, &m), 0);
    assert_int_equal(hx_geometry_add_pg(&r.g, &m), 0);
    assert_int_equal(hx_geometry_add_pg(&r.f.geometry, &m), 0);
    unsigned away = m.server[1];
    r.f.server[away].seg[1].absent = true;
    assert_int_equal(hx_writer_add_pg(r.w, &r.g, HX_MEMBERS_ALL & ~(hx_members)(1u << 1)), 0);
    rig_wait(&r, 5000, 1u << away);
    assert_true(r.f.server[away].seg[1].absent);
    rig_wait(&r, 5000, 0);
    assert_int_equal(r.f.server[away].formats, 1);
    assert_false(r.f.server[away].seg[1].absent);
    rig_close(&r);
}

/* Promise: at the end all servers hear the last VDL and the goodbye, a dead one holds nothing up, and
 * silence follows. */
static void goodbye_is_said_to_all_and_the_writer_is_idle(void **state)
{
    (void)state;
    struct rig r;
    open_quiet(&r, &(struct rig_opts){0});
    struct hx_lsn cpl = commit(&r, 0, 1);
    assert_false(hx_writer_idle(r.w));
    rig_run(&r, 1u << 1);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    rig_lose(&r, 0, HX_E_CLOSED);
    hx_writer_goodbye(r.w, r.now);
    rig_run(&r, 1u << 1);
    assert_true(hx_writer_idle(r.w));
    for (unsigned k = 0; k < FAKE_SERVERS; k++) {
        assert_int_equal(r.f.server[k].goodbyes, k != 1);
        if (k != 1)
            assert_int_equal(r.f.server[k].last_head.vdl.v, cpl.v);
    }
    unsigned said = r.f.server[0].announcements;
    rig_wait(&r, 3000, 1u << 1);
    assert_int_equal(r.f.server[0].announcements, said);
    rig_close(&r);
}

/* ---- random schedules against a dumb twin ---- */

static uint64_t draw(uint64_t *x, uint64_t below)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x % below;
}

struct twin {
    uint32_t pg[5000];
    bool cpl[5000];
    uint64_t last, scl[FAKE_SERVERS][4]; /* as acknowledged */
};

/* From the beginning, each time. */
static uint64_t twin_vdl(const struct twin *t)
{
    uint64_t vdl = 0;
    for (uint64_t lsn = 1; lsn <= t->last; lsn++) {
        unsigned have = 0;
        for (unsigned k = 0; k < FAKE_SERVERS; k++)
            have += t->scl[k][t->pg[lsn]] >= lsn;
        if (have < 4)
            break;
        if (t->cpl[lsn])
            vdl = lsn;
    }
    return vdl;
}

/* What the answer acknowledges. */
static void twin_learn(struct twin *t, unsigned server, struct hx_bytes answer, uint32_t pg)
{
    struct hx_reply_head h;
    struct hx_bytes body;
    assert_int_equal(hx_reply_decode(answer.p, answer.len, &h, &body), 0);
    struct hx_dec d = hx_dec_init(body.p, body.len);
    if (h.status)
        return;
    if (h.type == HX_MSG_ADOPT) {
        hx_dec_u64(&d);
        uint64_t scl = hx_dec_u64(&d);
        t->scl[server][pg] = scl > t->scl[server][pg] ? scl : t->scl[server][pg];
    }
    while (h.type == HX_MSG_APPEND && d.off < d.len) {
        struct hx_ack a;
        hx_ack_decode(&a, &d);
        if (!a.status && a.scl.v > t->scl[server][a.pg])
            t->scl[server][a.pg] = a.scl.v;
    }
}

static void random_append(struct rig *r, struct twin *t, uint64_t *x)
{
    uint64_t pages[6];
    size_t n = 1 + draw(x, 6);
    struct hx_lsn cpl;
    for (size_t i = 0; i < n; i++)
        pages[i] = draw(x, 4 * PG_PAGES);
    int rc = rig_append(r, pages, n, (uint16_t)(draw(x, 8) ? draw(x, 300) : HX_PAGE_SIZE), &cpl);
    if (rc == HX_E_ROOM)
        return;
    assert_int_equal(rc, 0);
    for (size_t i = 0; i < n; i++) {
        t->pg[++t->last] = (uint32_t)(pages[i] / PG_PAGES);
        t->cpl[t->last] = i + 1 == n;
    }
    assert_int_equal(cpl.v, t->last);
    if (draw(x, 2))
        hx_writer_want(r->w, r->now, HX_LSN(t->last - draw(x, n)));
}

static void random_answer(struct rig *r, struct twin *t, uint64_t *x)
{
    if (r->f.count == 0)
        return;
    size_t i = (size_t)draw(x, r->f.count);
    struct fake_request *q = &r->f.queue[i];
    uint64_t call = q->call, what = draw(x, 20);
    unsigned server = q->server;
    if (server == 5 && draw(x, 4)) /* a slow one */
        return;
    if (what == 0) {
        rig_lose(r, i, HX_E_TIMEOUT); /* the request never arrived */
        return;
    }
    struct hx_msg_head h;
    struct hx_bytes body, b;
    assert_int_equal(hx_msg_decode(q->p, q->len, &h, &body), 0);
    b = fake_answer(&r->f, i);
    if (what == 1) {
        rig_lose(r, i, HX_E_CLOSED); /* it did, the answer not */
    } else {
        fake_forget(&r->f, i);
        twin_learn(t, server, b, h.pg);
        hx_writer_answer(r->w, r->now, call, b);
        if (what == 2)
            hx_writer_answer(r->w, r->now, call, b);
    }
    free((void *)(uintptr_t)b.p);
}

/* Promise (W1..W5 together): under random appends, losses, repeats, refusals and delays the VDL is after
 * each step exactly what a twin computes from the acknowledged SCLs; and when faults stop everything
 * becomes durable.  Fixed seeds. */
static void random_schedules_agree_with_a_dumb_twin(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct rig r;
        static struct twin t;
        uint64_t x = seed * 77;
        t = (struct twin){.last = 0};
        rig_open(&r, &(struct rig_opts){.pgs = 4, .lal = 300, .window_bytes = WINDOW});
        for (unsigned k = 0; k < FAKE_SERVERS; k++)
            for (uint32_t pg = 0; pg < 4; pg++) {
                r.f.server[k].seg[pg].no_history = draw(&x, 2);
                r.f.server[k].seg[pg].absent = draw(&x, 10) == 0;
            }
        for (unsigned step = 0; step < 3000; step++) {
            switch (draw(&x, 8)) {
            case 0:
            case 1:
                if (t.last < 4900)
                    random_append(&r, &t, &x);
                break;
            case 2:
                r.now += draw(&x, 30);
                hx_writer_tick(r.w, r.now);
                break;
            default:
                random_answer(&r, &t, &x);
            }
            rig_pump(&r);
            if (hx_writer_vdl(r.w).v != twin_vdl(&t))
                fail_msg("seed %llu step %u: VDL %llu, twin %llu", (unsigned long long)seed, step,
                         (unsigned long long)hx_writer_vdl(r.w).v, (unsigned long long)twin_vdl(&t));
            assert_true(hx_writer_vdl(r.w).v <= hx_writer_vcl(r.w).v);
        }
        hx_writer_want(r.w, r.now, hx_writer_last(r.w));
        rig_wait(&r, 12000, 0);
        assert_int_equal(hx_writer_vdl(r.w).v, t.last);
        assert_true(t.last > 300); /* it did something */
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vdl_moves_at_the_fourth_answer_for_all_64_sets),
        cmocka_unit_test(an_answer_twice_counts_once),
        cmocka_unit_test(vdl_is_never_inside_a_mini_transaction),
        cmocka_unit_test(a_hole_in_one_pg_holds_back_later_records_of_others),
        cmocka_unit_test(first_records_of_an_epoch_link_over_the_gap),
        cmocka_unit_test(answers_of_strangers_and_damaged_ones_do_not_count),
        cmocka_unit_test(late_ack_of_an_old_epoch_is_ignored),
        cmocka_unit_test(fenced_is_for_ever),
        cmocka_unit_test(a_higher_promise_fences_whatever_the_answer_says),
        cmocka_unit_test(an_scl_above_all_records_does_not_count),
        cmocka_unit_test(overtaken_answers_are_told_from_lost_records),
        cmocka_unit_test(a_pgcl_never_falls),
        cmocka_unit_test(a_frame_is_under_way_once_per_member),
        cmocka_unit_test(a_lone_commit_is_sent_at_once_and_an_unwanted_one_by_age),
        cmocka_unit_test(commits_gather_while_a_small_request_is_under_way),
        cmocka_unit_test(bulk_data_uses_several_requests_in_any_order),
        cmocka_unit_test(servers_hear_of_an_idle_writer_and_its_last_vdl),
        cmocka_unit_test(an_idle_pg_hears_the_history),
        cmocka_unit_test(lsns_are_bounded_by_lal),
        cmocka_unit_test(ring_goes_round_and_every_record_arrives_everywhere),
        cmocka_unit_test(a_stopped_server_never_blocks_the_ring),
        cmocka_unit_test(a_large_mini_transaction_gets_room_from_a_dead_server),
        cmocka_unit_test(missing_histories_and_segments_are_supplied),
        cmocka_unit_test(full_members_hold_the_vdl_until_they_have_space),
        cmocka_unit_test(a_full_member_that_is_behind_is_called_full),
        cmocka_unit_test(a_failing_server_is_probed_and_catches_up),
        cmocka_unit_test(a_volume_grows_while_writes_go_on),
        cmocka_unit_test(an_idle_pg_is_made_on_all_six),
        cmocka_unit_test(goodbye_is_said_to_all_and_the_writer_is_idle),
        cmocka_unit_test(random_schedules_agree_with_a_dumb_twin),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
