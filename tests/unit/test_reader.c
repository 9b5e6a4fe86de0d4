/*
 * test_reader.c - the reader over a writer with six scripted members: who is asked, what an answer is worth, hedges,
 * rounds, the read floor.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_members.h"

#include "hexad/err.h"
#include "hexad/reader.h"

#include <stdlib.h>

#define PG_PAGES 256u
#define PAGES_MAX 1024u

struct bench {
    struct rig r;
    struct hx_reader *rd;
    uint64_t fetch;
    /* what was delivered, by page */
    unsigned times[PAGES_MAX];
    int err[PAGES_MAX];
    uint8_t first[PAGES_MAX]; /* first byte of the page */
};

/* Pages 0 .. pages - 1 hold their number + 1 in each byte; all is durable on all six. */
static void open_bench(struct bench *b, uint32_t pgs, size_t pages)
{
    memset(b, 0, sizeof *b);
    rig_open(&b->r, &(struct rig_opts){.pgs = pgs});
    rig_run(&b->r, 0);
    for (uint64_t i = 0; i < pages; i++) {
        uint8_t data[HX_PAGE_SIZE];
        struct hx_lsn first, cpl;
        memset(data, (int)(i % 255 + 1), sizeof data);
        struct hx_writer_rec rec = {HX_PAGE(i), HX_REC_IMAGE, HX_PAGE_SIZE, data};
        assert_int_equal(hx_writer_append(b->r.w, b->r.now, &rec, 1, &first, &cpl), 0);
        if (i % 16 == 0)
            rig_pump(&b->r);
    }
    hx_writer_want(b->r.w, b->r.now, hx_writer_last(b->r.w));
    rig_wait(&b->r, 200, 0);
    assert_int_equal(hx_writer_vdl(b->r.w).v, pages);
    assert_int_equal(hx_reader_new(b->r.w, 42, &b->rd), 0);
}

static void close_bench(struct bench *b)
{
    hx_reader_free(b->rd);
    rig_close(&b->r);
}

static void pump(struct bench *b)
{
    struct hx_effect e;
    while (hx_reader_next(b->rd, &e)) {
        assert_int_equal(hx_call_part(e.call), HX_PART_READER);
        fake_effect(&b->r.f, &e);
    }
    rig_pump(&b->r);
}

static void take(struct bench *b)
{
    struct hx_reader_done d;
    while (hx_reader_take(b->rd, &d)) {
        assert_true(d.want.page.v < PAGES_MAX);
        b->times[d.want.page.v]++;
        b->err[d.want.page.v] = d.err;
        b->first[d.want.page.v] = d.data ? d.data[17] : 0;
    }
    pump(b);
}

/* COUNT pages from FIRST on. */
static void ask(struct bench *b, uint64_t first, size_t count)
{
    struct hx_cache_want w[PAGES_MAX];
    for (size_t i = 0; i < count; i++)
        w[i] = (struct hx_cache_want){HX_PAGE(first + i), ++b->fetch};
    hx_reader_fetch(b->rd, b->r.now, w, count);
    hx_reader_tick(b->rd, b->r.now);
    take(b);
}

static void answer_with(struct bench *b, uint64_t call, struct hx_bytes body)
{
    hx_reader_answer(b->rd, b->r.now, b->r.now * 1000, call, body);
    take(b);
}

static void deliver(struct bench *b, size_t i)
{
    uint64_t call = b->r.f.queue[i].call;
    struct hx_bytes body = fake_answer(&b->r.f, i);
    bool reader = hx_call_part(call) == HX_PART_READER;
    fake_forget(&b->r.f, i);
    if (reader)
        answer_with(b, call, body);
    else
        hx_writer_answer(b->r.w, b->r.now, call, body);
    free((void *)(uintptr_t)body.p);
    pump(b);
}

static void lose(struct bench *b, size_t i, int err)
{
    uint64_t call = b->r.f.queue[i].call;
    fake_forget(&b->r.f, i);
    if (hx_call_part(call) == HX_PART_READER)
        hx_reader_failed(b->rd, b->r.now, call, err);
    else
        hx_writer_failed(b->r.w, b->r.now, call, err);
    take(b);
}

static unsigned reads_queued(const struct bench *b)
{
    unsigned n = 0;
    for (size_t i = 0; i < b->r.f.count; i++)
        n += b->r.f.queue[i].type == HX_MSG_READ;
    return n;
}

static void drain(struct bench *b)
{
    while (b->r.f.count > 0)
        deliver(b, 0);
}

static void wait(struct bench *b, uint64_t ms)
{
    for (uint64_t end = b->r.now + ms; b->r.now < end; b->r.now += 5) {
        assert_true(hx_reader_tick(b->rd, b->r.now) > 0);
        hx_writer_tick(b->r.w, b->r.now);
        take(b);
        drain(b);
    }
}

static void expect(const struct bench *b, uint64_t first, size_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        assert_int_equal(b->times[i], 1);
        assert_int_equal(b->err[i], 0);
        assert_int_equal(b->first[i], i % 255 + 1);
    }
}

/* ---- who is asked ---- */

/* Promise (R1): one member is asked, not a quorum; all pages of a run come with one answer. */
static void one_member_answers_a_run(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 1, 64);
    ask(&b, 0, 64);
    assert_int_equal(b.r.f.count, 1);
    deliver(&b, 0);
    expect(&b, 0, 64);
    assert_int_equal(b.r.f.count, 0);
    struct hx_reader_stats s;
    hx_reader_stats(b.rd, &s);
    assert_int_equal(s.requests, 1);
    assert_int_equal(s.pages, 64);
    close_bench(&b);
}

/* Promise: a long run over two PGs is cut into requests of at most HX_READER_RUN pages, spread over members
 * in parallel. */
static void long_runs_are_spread_over_members(void **state)
{
    (void)state;
    struct bench b;
    unsigned asked = 0, members = 0;
    open_bench(&b, 2, 512);
    ask(&b, 0, 512);
    assert_int_equal(b.r.f.count, 512 / HX_READER_RUN);
    for (size_t i = 0; i < b.r.f.count; i++)
        asked |= 1u << b.r.f.queue[i].server;
    for (unsigned k = 0; k < FAKE_SERVERS; k++)
        members += asked >> k & 1u;
    assert_true(members >= 4);
    while (b.r.f.count > 0)
        deliver(&b, b.r.f.count - 1);
    expect(&b, 0, 512);
    close_bench(&b);
}

/* Promise: pages in any order and of several PGs at once; zeros come as zeros. */
static void scattered_pages_are_sorted_by_pg(void **state)
{
    (void)state;
    struct bench b;
    struct hx_cache_want w[60];
    open_bench(&b, 3, 300);
    for (size_t i = 0; i < 60; i++)
        w[i] = (struct hx_cache_want){HX_PAGE(i * 7 % 60 * 5), i + 1};
    w[0].page = HX_PAGE(290 + PG_PAGES * 0 + 13); /* 303: never written */
    hx_reader_fetch(b.rd, b.r.now, w, 60);
    take(&b);
    assert_int_equal(b.r.f.count, 2);
    drain(&b);
    assert_int_equal(b.times[303], 1);
    assert_int_equal(b.first[303], 0);
    for (size_t i = 1; i < 60; i++)
        expect(&b, w[i].page.v, 1);
    close_bench(&b);
}

/* Promise: members that are known to be complete are asked first; one that is behind is not, and its answer
 * would be LAGGING anyway, after which the next one is asked. */
static void laggards_are_not_asked_and_their_refusal_is_no_harm(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 1, 100);
    for (unsigned k = 0; k < 3; k++) /* three lost what they had, without the writer knowing */
        fake_lose_records(&b.r.f, k, 0, 10);
    for (uint64_t i = 0; i < 100; i++)
        ask(&b, i, 1);
    drain(&b);
    expect(&b, 0, 100);
    struct hx_reader_stats s;
    hx_reader_stats(b.rd, &s);
    assert_true(s.retries > 0);
    close_bench(&b);
}

/* Promise: a member that the writer knows to be behind is not asked while others are complete. */
static void members_known_to_be_behind_are_left_alone(void **state)
{
    (void)state;
    struct bench b;
    struct hx_lsn cpl;
    uint64_t p = 200;
    open_bench(&b, 1, 100);
    for (unsigned k = 0; k < 2; k++)
        fake_lose_records(&b.r.f, k, 0, 10);
    assert_int_equal(rig_append(&b.r, &p, 1, 100, &cpl), 0);
    hx_writer_want(b.r.w, b.r.now, cpl);
    rig_run(&b.r, 0); /* their answers tell */
    for (uint64_t i = 0; i < 1000; i++) { /* enough to try others now and then */
        b.times[i % 100] = 0;
        ask(&b, i % 100, 1);
        drain(&b);
    }
    expect(&b, 0, 100);
    assert_int_equal(b.r.f.server[0].reads + b.r.f.server[1].reads, 0);
    close_bench(&b);
}

/* Promise: the fastest member is preferred, and the others are still tried now and then.  One member
 * answers in 1 ms, the others in 15. */
static void the_fastest_is_preferred_others_are_tried(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 1, 200);
    for (unsigned n = 0; n < 600; n++) {
        memset(b.times, 0, sizeof b.times);
        ask(&b, n % 200, 1);
        b.r.now += b.r.f.queue[0].server == 4 ? 1 : 15;
        drain(&b);
        expect(&b, n % 200, 1);
    }
    assert_true(b.r.f.server[4].reads > 450);
    unsigned others = 0;
    for (unsigned k = 0; k < FAKE_SERVERS; k++)
        others += k != 4 && b.r.f.server[k].reads > 1;
    assert_int_equal(others, 5);
    close_bench(&b);
}

/* ---- hedges, failures, rounds ---- */

/* Promise (R2): a late answer is hedged with a request to another member; the first answer counts, the
 * second one is ignored, whichever it is; each page is delivered once. */
static void a_late_answer_is_hedged_and_the_second_ignored(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 2; order++) {
        struct bench b;
        struct hx_reader_stats s;
        open_bench(&b, 1, 64);
        ask(&b, 0, 30);
        assert_int_equal(reads_queued(&b), 1);
        hx_reader_tick(b.rd, b.r.now + 5);
        take(&b);
        assert_int_equal(reads_queued(&b), 1); /* not late yet */
        b.r.now += 25;
        hx_reader_tick(b.rd, b.r.now);
        take(&b);
        assert_int_equal(reads_queued(&b), 2);
        assert_int_not_equal(b.r.f.queue[0].server, b.r.f.queue[1].server);
        hx_reader_tick(b.rd, b.r.now + 1000);
        take(&b);
        assert_int_equal(reads_queued(&b), 2); /* two at the most */
        deliver(&b, order);
        expect(&b, 0, 30);
        deliver(&b, 0);
        expect(&b, 0, 30);
        hx_reader_stats(b.rd, &s);
        assert_int_equal(s.hedges, 1);
        assert_int_equal(s.pages, 30);
        close_bench(&b);
    }
}

/* Promise (R2): with two requests under way, of which the first brings all but one damaged page, the second
 * one brings that page and nothing else again. */
static void the_hedge_fills_in_what_the_first_answer_lacked(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 1, 64);
    ask(&b, 0, 30);
    b.r.now += 25;
    hx_reader_tick(b.rd, b.r.now);
    take(&b);
    assert_int_equal(reads_queued(&b), 2);
    b.r.f.server[b.r.f.queue[0].server].seg[0].rotten_page = 5 + 1;
    deliver(&b, 0);
    expect(&b, 0, 5);
    expect(&b, 6, 24);
    assert_int_equal(b.times[5], 0);
    assert_int_equal(reads_queued(&b), 1);
    deliver(&b, 0);
    expect(&b, 0, 30);
    assert_int_equal(b.r.f.count, 0);
    close_bench(&b);
}

/* Promise: a member that fails or refuses (any status) is followed by the next one at once. */
static void failures_and_refusals_go_to_the_next_member(void **state)
{
    (void)state;
    static const int err[] = {HX_E_LAGGING, HX_E_TOO_OLD, HX_E_NOMEM, HX_E_IO, HX_E_WRONG_MEMBER, HX_E_STRANGER};
    struct bench b;
    open_bench(&b, 1, 64);
    for (unsigned n = 0; n < HX_ARRAY_LEN(err); n++) {
        memset(b.times, 0, sizeof b.times);
        ask(&b, 0, 10);
        for (unsigned k = 0; k < 5; k++) {
            unsigned server = b.r.f.queue[0].server;
            b.r.f.server[server].refuse = err[n];
            if (k % 2)
                lose(&b, 0, HX_E_CONNECT);
            else
                deliver(&b, 0);
            assert_int_equal(reads_queued(&b), 1);
            b.r.f.server[server].refuse = 0;
        }
        deliver(&b, 0); /* the sixth */
        expect(&b, 0, 10);
    }
    close_bench(&b);
}

/* Promise (R4): when all six have been asked in vain the read waits and asks again after a pause; it never
 * fails and never guesses. */
static void a_read_waits_while_nobody_can_answer(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 1, 64);
    for (unsigned k = 0; k < FAKE_SERVERS; k++)
        b.r.f.server[k].refuse = HX_E_IO;
    ask(&b, 0, 10);
    drain(&b);
    assert_int_equal(reads_queued(&b), 0);
    wait(&b, 20000);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(b.times[i], 0);
    struct hx_reader_stats s;
    hx_reader_stats(b.rd, &s);
    assert_in_range(s.requests, 60, 200); /* rounds of six, about one a second: no storm */
    b.r.f.server[2].refuse = 0;
    wait(&b, 2000);
    expect(&b, 0, 10);
    close_bench(&b);
}

/* Promise: a member without the history gets it from the writer, because a read met it. */
static void a_member_without_history_gets_it(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 1, 64);
    for (unsigned k = 0; k < FAKE_SERVERS; k++)
        b.r.f.server[k].seg[0].no_history = true;
    ask(&b, 0, 10);
    drain(&b);
    wait(&b, 500);
    expect(&b, 0, 10);
    unsigned adopts = 0;
    for (unsigned k = 0; k < FAKE_SERVERS; k++)
        adopts += b.r.f.server[k].adopts;
    assert_int_equal(adopts, 6);
    close_bench(&b);
}

/* Promise (step 8): after an opening the members of a PG hear the new history before the first READ of it;
 * so no read is refused for that, and none waits for a round. */
static void a_pg_is_told_the_history_before_its_first_read(void **state)
{
    (void)state;
    struct bench b;
    struct hx_reader_stats s;
    memset(&b, 0, sizeof b);
    rig_open(&b.r, &(struct rig_opts){.pgs = 2, .epoch = 2, .vdl = 40});
    for (unsigned k = 0; k < FAKE_SERVERS; k++)
        b.r.f.server[k].seg[1].no_history = true; /* and nobody hears of it yet: nothing is delivered */
    assert_int_equal(hx_reader_new(b.r.w, 42, &b.rd), 0);
    ask(&b, PG_PAGES, 30);
    for (unsigned k = 0; k < 10; k++, b.r.now += 5) {
        assert_int_equal(reads_queued(&b), 0); /* while nobody has answered */
        assert_true(hx_reader_tick(b.rd, b.r.now) <= 5);
        take(&b);
    }
    wait(&b, 20);
    for (uint64_t i = 0; i < 30; i++)
        assert_int_equal(b.times[PG_PAGES + i], 1);
    hx_reader_stats(b.rd, &s);
    assert_int_equal(s.requests, 1);
    close_bench(&b);
}

/* ---- damage ---- */

/* Promise (promise 7, A2): bytes that fail their checksum, and pages that a member calls damaged, are asked
 * of a peer; the pages that were right are delivered from the first answer. */
static void damaged_pages_come_from_a_peer(void **state)
{
    (void)state;
    struct bench b;
    struct hx_reader_stats s;
    open_bench(&b, 1, 64);
    for (unsigned k = 0; k < 5; k++) {
        b.r.f.server[k].seg[0].lies = k % 2;
        b.r.f.server[k].seg[0].rotten = !(k % 2);
    }
    ask(&b, 0, 20);
    drain(&b);
    expect(&b, 0, 20);
    hx_reader_stats(b.rd, &s);
    assert_int_equal(s.corrupt % 20, 0);
    close_bench(&b);
}

/* Promise (A3): HX_E_CORRUPT only when all six say so; with one good copy unreachable the read waits for
 * it, some rounds long, and takes it when it comes. */
static void corrupt_only_when_nobody_has_a_good_copy(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 1, 64);
    for (unsigned k = 0; k < FAKE_SERVERS; k++)
        b.r.f.server[k].seg[0].rotten = true;
    ask(&b, 0, 2);
    drain(&b);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(b.times[i], 1);
        assert_int_equal(b.err[i], HX_E_CORRUPT);
    }
    b.r.f.server[3].seg[0].rotten = false;
    b.r.f.server[3].refuse = HX_E_LAGGING; /* alive, and will have it */
    ask(&b, 10, 2);
    drain(&b);
    wait(&b, 10000);
    assert_int_equal(b.times[10], 0);
    b.r.f.server[3].refuse = 0;
    wait(&b, 2000);
    expect(&b, 10, 2);
    b.r.f.server[3].seg[0].rotten = false;
    ask(&b, 20, 1); /* and with the good copy dead for good: an error after some rounds, not a read that hangs */
    for (unsigned n = 0; n < 2000 && b.times[20] == 0; n++, b.r.now += 5) {
        hx_reader_tick(b.rd, b.r.now);
        take(&b);
        while (b.r.f.count > 0) {
            if (b.r.f.queue[0].server == 3)
                lose(&b, 0, HX_E_CONNECT);
            else
                deliver(&b, 0);
        }
    }
    assert_int_equal(b.times[20], 1);
    assert_int_equal(b.err[20], HX_E_CORRUPT);
    close_bench(&b);
}

/* Promise (A3): three damaged copies are no lost page while the other three servers are away: the read waits as writes
 * do, and takes the sound copy when one of them comes back. */
static void damaged_copies_do_not_outvote_servers_that_are_away(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 1, 64);
    for (unsigned k = 0; k < 3; k++)
        b.r.f.server[k].seg[0].rotten = true;
    ask(&b, 0, 2);
    for (unsigned n = 0; n < 4000; n++, b.r.now += 5) {
        hx_reader_tick(b.rd, b.r.now);
        take(&b);
        while (b.r.f.count > 0) {
            if (b.r.f.queue[0].server >= 3)
                lose(&b, 0, HX_E_CONNECT);
            else
                deliver(&b, 0);
        }
    }
    assert_int_equal(b.times[0], 0);
    wait(&b, 2000);
    expect(&b, 0, 2);
    close_bench(&b);
}

/* Promise: answers of strangers, to other requests, too short, too long or damaged do not count. */
static void malformed_answers_do_not_count(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 1, 64);
    ask(&b, 0, 10);
    for (unsigned k = 0; k < 5; k++) {
        struct hx_reply_head h;
        struct hx_bytes inner, body = fake_answer(&b.r.f, 0);
        uint64_t call = b.r.f.queue[0].call;
        assert_int_equal(hx_reply_decode(body.p, body.len, &h, &inner), 0);
        uint8_t *out = (uint8_t *)(uintptr_t)body.p;
        struct hx_bytes piece = {inner.p, inner.len};
        if (k == 0)
            piece.len -= 1;
        if (k == 1)
            h.req_id++;
        if (k == 2)
            h.server.b[3] ^= 1;
        if (k == 3)
            h.type = HX_MSG_APPEND;
        hx_reply_head_encode(&h, &piece, 1, out);
        if (k == 4)
            out[HX_REPLY_HEAD + 700] ^= 1;
        fake_forget(&b.r.f, 0);
        answer_with(&b, call, (struct hx_bytes){out, HX_REPLY_HEAD + piece.len});
        free(out);
        for (unsigned i = 0; i < 10; i++)
            assert_int_equal(b.times[i], 0);
        assert_int_equal(reads_queued(&b), 1);
    }
    deliver(&b, 0);
    expect(&b, 0, 10);
    close_bench(&b);
}

/* Promise: what was not taken of an answer before the next event is asked for again, not lost, and not
 * twice delivered. */
static void pages_not_taken_are_asked_for_again(void **state)
{
    (void)state;
    struct bench b;
    struct hx_reader_done d;
    open_bench(&b, 1, 64);
    ask(&b, 0, 10);
    struct hx_bytes body = fake_answer(&b.r.f, 0);
    hx_reader_answer(b.rd, b.r.now, 0, b.r.f.queue[0].call, body);
    fake_forget(&b.r.f, 0);
    for (unsigned k = 0; k < 4; k++) {
        assert_int_equal(hx_reader_take(b.rd, &d), 1);
        b.times[d.want.page.v]++;
        b.first[d.want.page.v] = d.data[0];
    }
    hx_reader_tick(b.rd, b.r.now);
    free((void *)(uintptr_t)body.p);
    take(&b);
    drain(&b);
    expect(&b, 0, 10);
    close_bench(&b);
}

/* ---- the rest of the contract ---- */

/* Promise (R3): the floor told to the members is at or below the VDL at which each request under way was
 * sent, and follows the VDL when none is. */
static void the_read_floor_waits_for_reads_under_way(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 1, 64);
    ask(&b, 0, 1);
    size_t held = 0;
    uint64_t p = 3;
    struct hx_lsn cpl;
    for (unsigned n = 0; n < 5; n++) {
        assert_int_equal(rig_append(&b.r, &p, 1, 100, &cpl), 0);
        hx_writer_want(b.r.w, b.r.now, cpl);
        pump(&b);
        while (b.r.f.count > 1)
            deliver(&b, b.r.f.queue[held].type == HX_MSG_READ ? 1 : 0);
        hx_reader_tick(b.rd, b.r.now);
    }
    assert_int_equal(hx_writer_vdl(b.r.w).v, 69);
    for (unsigned k = 0; k < FAKE_SERVERS; k++)
        assert_true(b.r.f.server[k].last_head.floor.v <= 64);
    deliver(&b, 0);
    expect(&b, 0, 1);
    wait(&b, 1500);
    for (unsigned k = 0; k < FAKE_SERVERS; k++)
        assert_int_equal(b.r.f.server[k].last_head.floor.v, 69);
    close_bench(&b);
}

/* Promise: a FENCED answer to a read fences the writer, and all reads end with HX_E_FENCED. */
static void a_fenced_read_fences_the_writer(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 2, 300);
    ask(&b, 0, 10);
    ask(&b, 280, 10);
    b.r.f.server[b.r.f.queue[0].server].promised = HX_EPOCH(7);
    deliver(&b, 0);
    assert_int_equal(hx_writer_state(b.r.w), HX_E_FENCED);
    wait(&b, 50);
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(b.err[i], HX_E_FENCED);
        assert_int_equal(b.times[i], 1);
        assert_int_equal(b.times[280 + i], 1);
    }
    ask(&b, 20, 1); /* later ones, too */
    wait(&b, 10);
    assert_int_equal(b.err[20], HX_E_FENCED);
    close_bench(&b);
}

/* Promise: an answer that comes between the fence and the next look counts for nothing; each read ends with FENCED,
 * once.  Method: two requests under way; another part hears of the newer writer; then honest answers come. */
static void an_answer_after_the_fence_brings_nothing(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 2, 300);
    ask(&b, 0, 10);
    ask(&b, 280, 10);
    assert_int_equal(reads_queued(&b), 2);
    hx_writer_fence(b.r.w);
    hx_reader_tick(b.rd, b.r.now); /* all have failed; nobody has taken that yet */
    for (unsigned k = 0; k < 2; k++) {
        uint64_t call = b.r.f.queue[0].call;
        struct hx_bytes body = fake_answer(&b.r.f, 0);
        fake_forget(&b.r.f, 0);
        hx_reader_answer(b.rd, b.r.now, b.r.now * 1000, call, body);
        free((void *)(uintptr_t)body.p);
    }
    take(&b);
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(b.err[i], HX_E_FENCED);
        assert_int_equal(b.times[i] + b.times[280 + i], 2);
    }
    close_bench(&b);
}

/* Promise: "fenced" in an answer fences whoever is asked, also when its head tells no higher epoch. */
static void the_word_fenced_suffices(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 1, 64);
    ask(&b, 0, 10);
    b.r.f.server[b.r.f.queue[0].server].refuse = HX_E_FENCED;
    deliver(&b, 0);
    assert_int_equal(hx_writer_state(b.r.w), HX_E_FENCED);
    wait(&b, 50);
    assert_int_equal(b.err[0], HX_E_FENCED);
    assert_int_equal(b.times[0], 1);
    close_bench(&b);
}

/* Promise (W3): nor need the word be said: a member that has promised a higher epoch fences, whatever it answers. */
static void a_higher_promise_suffices_too(void **state)
{
    (void)state;
    static const int says[] = {0, HX_E_LAGGING, HX_E_NEED_HISTORY};
    for (size_t i = 0; i < HX_ARRAY_LEN(says); i++) {
        struct bench b;
        struct hx_reply_head h;
        struct hx_bytes inner;
        open_bench(&b, 1, 64);
        ask(&b, 0, 10);
        uint64_t call = b.r.f.queue[0].call;
        struct hx_bytes body = fake_answer(&b.r.f, 0);
        assert_int_equal(hx_reply_decode(body.p, body.len, &h, &inner), 0);
        h.status = says[i];
        h.promised = HX_EPOCH(9);
        hx_reply_head_encode(&h, &inner, 1, (uint8_t *)(uintptr_t)body.p);
        fake_forget(&b.r.f, 0);
        answer_with(&b, call, body);
        free((void *)(uintptr_t)body.p);
        assert_int_equal(hx_writer_state(b.r.w), HX_E_FENCED);
        close_bench(&b);
    }
}

/* Promise (R2, A3): of pages asked for together each ends by itself: one that has a good copy comes, though the other
 * is damaged everywhere; and while the last member's answer is out, the round is not over. */
static void a_good_page_comes_beside_one_that_nobody_has(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 1, 64);
    for (unsigned k = 0; k < FAKE_SERVERS; k++)
        b.r.f.server[k].seg[0].rotten_page = 4 + 1;
    ask(&b, 3, 3);
    drain(&b);
    wait(&b, 100);
    expect(&b, 3, 1);
    expect(&b, 5, 1);
    assert_int_equal(b.err[4], HX_E_CORRUPT);
    assert_int_equal(b.times[4], 1);
    b.r.f.server[5].seg[0].rotten_page = 0;
    b.r.f.server[5].refuse = HX_E_LAGGING; /* alive, and will have it: page 10 comes, page 11 waits */
    for (unsigned k = 0; k < 5; k++)
        b.r.f.server[k].seg[0].rotten_page = 11 + 1;
    ask(&b, 10, 2);
    drain(&b);
    wait(&b, 1000);
    expect(&b, 10, 1);
    assert_int_equal(b.times[11], 0);
    b.r.f.server[5].refuse = 0;
    wait(&b, 2000);
    expect(&b, 11, 1);
    for (unsigned k = 0; k < FAKE_SERVERS; k++)
        b.r.f.server[k].seg[0].rotten_page = 4 + 1;
    ask(&b, 4, 1);
    for (unsigned k = 0; k < 4; k++)
        deliver(&b, 0);
    assert_int_equal(reads_queued(&b), 1);
    b.r.now += 5000; /* late: the sixth is asked, too */
    hx_reader_tick(b.rd, b.r.now);
    pump(&b);
    assert_int_equal(reads_queued(&b), 2);
    deliver(&b, 1);
    assert_int_equal(b.times[4], 1);
    b.r.now += 5000; /* late again, but there is nobody left to ask */
    hx_reader_tick(b.rd, b.r.now);
    pump(&b);
    assert_int_equal(reads_queued(&b), 1);
    deliver(&b, 0);
    take(&b);
    assert_int_equal(b.times[4], 2);
    assert_int_equal(b.err[4], HX_E_CORRUPT);
    close_bench(&b);
}

/* Promise: a page beyond the volume is an error of that page only. */
static void a_page_that_does_not_exist_is_an_error(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 1, 64);
    struct hx_cache_want w[2] = {{HX_PAGE(256), 1}, {HX_PAGE(3), 2}};
    hx_reader_fetch(b.rd, b.r.now, w, 2);
    take(&b);
    drain(&b);
    assert_int_equal(b.err[256], HX_E_INVAL);
    expect(&b, 3, 1);
    close_bench(&b);
}

/* Promise: under random orders, losses, refusals, damage and delays every page asked for is delivered
 * exactly once with the right content.  Fixed seeds. */
static void random_schedules_deliver_each_page_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 15; seed++) {
        struct bench b;
        uint64_t x = seed * 313;
        open_bench(&b, 2, 400);
        uint64_t asked = 0;
        for (unsigned step = 0; step < 4000 && (asked < 400 || b.r.f.count > 0); step++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            uint64_t pick = x >> 16;
            struct fake_segment *seg = &b.r.f.server[pick % 6].seg[pick % 2];
            if (asked < 400 && x % 8 == 0) {
                uint64_t n = 1 + pick % 40;
                n = n < 400 - asked ? n : 400 - asked;
                ask(&b, asked, n);
                asked += n;
            } else if (x % 8 == 1) {
                b.r.now += pick % 40;
                hx_reader_tick(b.rd, b.r.now);
                hx_writer_tick(b.r.w, b.r.now);
                take(&b);
            } else if (x % 32 == 2) {
                seg->rotten = !seg->rotten && pick % 6 != 5; /* one copy stays good */
            } else if (x % 32 == 10) {
                seg->refuse = seg->refuse ? 0 : HX_E_LAGGING;
            } else if (b.r.f.count > 0 && x % 8 == 3) {
                lose(&b, (size_t)(pick % b.r.f.count), HX_E_TIMEOUT);
            } else if (b.r.f.count > 0) {
                deliver(&b, (size_t)(pick % b.r.f.count));
            }
        }
        for (unsigned k = 0; k < FAKE_SERVERS; k++)
            for (unsigned pg = 0; pg < 2; pg++)
                b.r.f.server[k].seg[pg].rotten = false, b.r.f.server[k].seg[pg].refuse = 0;
        ask(&b, asked, 400 - asked);
        wait(&b, 12000);
        for (uint64_t i = 0; i < 400; i++)
            assert_int_equal(b.err[i], 0);
        expect(&b, 0, 400);
        close_bench(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_member_answers_a_run),
        cmocka_unit_test(long_runs_are_spread_over_members),
        cmocka_unit_test(scattered_pages_are_sorted_by_pg),
        cmocka_unit_test(laggards_are_not_asked_and_their_refusal_is_no_harm),
        cmocka_unit_test(members_known_to_be_behind_are_left_alone),
        cmocka_unit_test(the_fastest_is_preferred_others_are_tried),
        cmocka_unit_test(a_late_answer_is_hedged_and_the_second_ignored),
        cmocka_unit_test(the_hedge_fills_in_what_the_first_answer_lacked),
        cmocka_unit_test(failures_and_refusals_go_to_the_next_member),
        cmocka_unit_test(a_read_waits_while_nobody_can_answer),
        cmocka_unit_test(a_member_without_history_gets_it),
        cmocka_unit_test(a_pg_is_told_the_history_before_its_first_read),
        cmocka_unit_test(damaged_pages_come_from_a_peer),
        cmocka_unit_test(corrupt_only_when_nobody_has_a_good_copy),
        cmocka_unit_test(damaged_copies_do_not_outvote_servers_that_are_away),
        cmocka_unit_test(malformed_answers_do_not_count),
        cmocka_unit_test(pages_not_taken_are_asked_for_again),
        cmocka_unit_test(the_read_floor_waits_for_reads_under_way),
        cmocka_unit_test(a_fenced_read_fences_the_writer),
        cmocka_unit_test(an_answer_after_the_fence_brings_nothing),
        cmocka_unit_test(the_word_fenced_suffices),
        cmocka_unit_test(a_higher_promise_suffices_too),
        cmocka_unit_test(a_good_page_comes_beside_one_that_nobody_has),
        cmocka_unit_test(a_page_that_does_not_exist_is_an_error),
        cmocka_unit_test(random_schedules_deliver_each_page_once),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
