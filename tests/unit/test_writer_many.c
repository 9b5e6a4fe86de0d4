/*
 * test_writer_many.c - the writer of a volume whose groups lie on different servers, and the bounds of its log, its
 * clock and what it is configured with.
 *
 * Method: scripted members (fake_members.h): twelve servers with four groups and a thirteenth with none; what each
 * server was sent is what its own groups need.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake_members.h"

#include "../../src/core/writer_int.h"
#include "hexad/frame.h"
#include "hexad/place.h"

#include <stdlib.h>

#define PG_PAGES 256u
#define MANY 13u
#define WINDOW (4u * HX_FRAME_MAX)

static void open_many(struct rig *r, uint32_t pgs)
{
    rig_open(r, &(struct rig_opts){.pgs = pgs, .servers = MANY});
    rig_run(r, 0);
}

static struct hx_lsn commit(struct rig *r, uint32_t pg, uint32_t page)
{
    uint64_t p = (uint64_t)pg * PG_PAGES + page;
    struct hx_lsn cpl;
    assert_int_equal(rig_append(r, &p, 1, 100, &cpl), 0);
    hx_writer_want(r->w, r->now, cpl);
    rig_pump(r);
    return cpl;
}

/* COUNT whole pages as one mini-transaction. */
static int append_pages(struct rig *r, size_t count, struct hx_lsn *ret)
{
    uint64_t pages[240];
    for (size_t i = 0; i < count; i++)
        pages[i] = i;
    return rig_append(r, pages, count, HX_PAGE_SIZE, ret);
}

static bool is_member(const struct rig *r, uint32_t pg, unsigned server)
{
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (r->g.pgs[pg].server[i] == server)
            return true;
    return false;
}

/* Everybody has what its groups need, and nothing else; a server without a group was not even greeted. */
static void check_spread(struct rig *r)
{
    unsigned spare = 0;
    for (unsigned s = 0; s < MANY; s++) {
        unsigned groups = 0;
        for (uint32_t pg = 0; pg < r->g.pg_count; pg++) {
            groups += is_member(r, pg, s);
            if (is_member(r, pg, s))
                assert_int_equal(fake_scl(&r->f, s, pg).v, hx_writer_scl(r->w, pg, 0).v);
            else
                assert_int_equal(r->f.server[s].seg[pg].count, 0);
        }
        spare += groups == 0;
        if (groups == 0)
            assert_int_equal(r->f.server[s].appends + r->f.server[s].announcements + r->f.server[s].adopts, 0);
    }
    assert_int_equal(spare, r->g.pg_count == 2); /* two seats of a zone's five are left, or none */
}

static void story(uint32_t pgs)
{
    struct rig r;
    struct hx_lsn cpl = HX_LSN(0);
    open_many(&r, pgs);
    for (unsigned k = 0; k < 40; k++) {
        for (uint32_t pg = 0; pg < pgs; pg++)
            cpl = commit(&r, pg, k);
        if (k % 5 == 1 && r.f.count > 3)
            rig_lose(&r, k % r.f.count, HX_E_CLOSED);
        r.f.server[k % 12].refuse = k % 7 == 3 ? HX_E_NOSPACE : 0; /* the whole APPEND */
        rig_wait(&r, 20, 0);
        r.f.server[k % 12].refuse = 0;
        if (k % 10 == 9)
            rig_wait(&r, 3000, 0);
    }
    rig_wait(&r, 20000, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    check_spread(&r);
    rig_close(&r);
}

/* Mini-transactions over random groups, several of them in a request; requests are answered, refused as a whole, lost
 * or left alone at random. */
static void random_story(uint64_t seed)
{
    struct rig r;
    struct hx_lsn cpl = HX_LSN(0);
    uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    open_many(&r, 4);
    for (unsigned k = 0; k < 400; k++) {
        uint64_t pages[3];
        for (unsigned i = 0; i < 3; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            pages[i] = x % 4 * PG_PAGES + x / 4 % PG_PAGES;
        }
        assert_int_equal(rig_append(&r, pages, 1 + x / 1024 % 3, 60, &cpl), 0);
        if (x / 64 % 3 == 0)
            hx_writer_want(r.w, r.now, cpl);
        hx_writer_tick(r.w, r.now += x / 128 % 8);
        rig_pump(&r);
        for (unsigned i = x / 4096 % 8; i > 0 && r.f.count > 0; i--) {
            size_t at = (x >> 20) % r.f.count;
            unsigned server = r.f.queue[at].server, what = (x >> 40) % 16;
            r.f.server[server].refuse = what == 0 ? HX_E_NOSPACE : 0;
            if (what == 1)
                rig_lose(&r, at, HX_E_CLOSED);
            else
                rig_deliver(&r, at);
            r.f.server[server].refuse = 0;
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        }
    }
    hx_writer_want(r.w, r.now, cpl);
    rig_wait(&r, 30000, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    check_spread(&r);
    rig_close(&r);
}

/* Promise (L1): frames go to the members of their group only; also when requests fail, are refused as a whole, or
 * come back late, and when the upkeep looks for those who lack something. */
static void each_server_gets_its_own_groups_only(void **state)
{
    (void)state;
    story(2);
    story(4);
    for (uint64_t seed = 1; seed <= 40; seed++)
        random_story(seed);
}

/* Gives the honest answer to request I with its acknowledgements made to speak of PG. */
static void deliver_as(struct rig *r, size_t i, uint32_t pg)
{
    uint64_t call = r->f.queue[i].call;
    struct hx_bytes whole = fake_answer(&r->f, i), body;
    struct hx_reply_head h;
    uint8_t *p = (uint8_t *)(uintptr_t)whole.p;
    assert_int_equal(hx_reply_decode(whole.p, whole.len, &h, &body), 0);
    assert_true(body.len >= HX_ACK_BYTES);
    hx_put_u32(p + HX_REPLY_HEAD, pg);
    hx_reply_head_encode(&h, &body, 1, p);
    fake_forget(&r->f, i);
    hx_writer_answer(r->w, r->now, call, whole);
    rig_pump(r);
    free(p);
}

/* Promise (A1): an acknowledgement for a group that the server is no member of is malformed: it counts for nothing,
 * not even for the group that was meant.  Method: four of PG 0's members answer so. */
static void acknowledgements_for_others_groups_count_for_nothing(void **state)
{
    (void)state;
    struct rig r;
    unsigned told = 0;
    open_many(&r, 4);
    struct hx_lsn before = hx_writer_vdl(r.w), cpl = commit(&r, 0, 1);
    for (size_t i = 0; i < r.f.count && told < 4;) {
        uint32_t other = 0;
        while (other < 4 && is_member(&r, other, r.f.queue[i].server))
            other++;
        if (other == 4 || r.f.queue[i].frames == 0) {
            i++;
            continue;
        }
        deliver_as(&r, i, other);
        told++;
    }
    assert_true(told >= 3);
    assert_int_equal(hx_writer_vdl(r.w).v, before.v);
    rig_wait(&r, 20000, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    rig_close(&r);
}

/* Promise (refusal table): a member that refuses an announcement before it was told the history is asked again after a
 * pause, and joins.  Method: a server of PG 1 only, whose disk is full when it first hears of the writer. */
static void a_refusal_before_the_history_is_only_a_pause(void **state)
{
    (void)state;
    struct rig r;
    unsigned server = 0;
    rig_open(&r, &(struct rig_opts){.pgs = 2, .servers = MANY, .epoch = 3, .vdl = 40, .end = 5000});
    while (is_member(&r, 0, server) || !is_member(&r, 1, server))
        server++;
    r.f.server[server].refuse = HX_E_NOSPACE;
    rig_wait(&r, 500, 0);
    r.f.server[server].refuse = 0;
    rig_wait(&r, 5000, 0);
    struct hx_lsn cpl = commit(&r, 1, 1);
    rig_wait(&r, 100, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    assert_int_equal(fake_scl(&r.f, server, 1).v, cpl.v);
    rig_close(&r);
    rig_open(&r, &(struct rig_opts){.pgs = 2, .servers = MANY, .epoch = 3, .vdl = 40, .end = 5000});
    hx_writer_goodbye(r.w, r.now); /* the first that it hears of us, and the last */
    rig_pump(&r);
    size_t i = 0;
    while (r.f.queue[i].server != server)
        i++;
    r.f.server[server].refuse = HX_E_NOSPACE;
    rig_deliver(&r, i);
    assert_int_equal(r.f.server[server].goodbyes, 0);
    assert_false(hx_writer_idle(r.w));
    r.f.server[server].refuse = 0;
    rig_wait(&r, 5000, 0);
    assert_int_equal(r.f.server[server].goodbyes, 1);
    rig_close(&r);
}

/* Promise: an acknowledgement that overtakes a refusal counts, and does not hide that the seat was refused: it stays
 * paused, and what it lacks is given later.  Method: two requests to one member; the first is refused, then the
 * second is acknowledged. */
static void an_acknowledgement_after_a_refusal_counts(void **state)
{
    (void)state;
    struct rig r;
    struct hx_member_view v;
    size_t at[2], n = 0;
    rig_open(&r, &(struct rig_opts){0});
    rig_run(&r, 0);
    struct hx_lsn cpl;
    for (unsigned k = 0; k < 4; k++) /* bulk data: more than one request at a time */
        assert_int_equal(append_pages(&r, 200, &cpl), 0);
    hx_writer_want(r.w, r.now, cpl);
    rig_pump(&r);
    for (size_t i = 0; i < r.f.count && n < 2; i++)
        if (r.f.queue[i].server == 3 && r.f.queue[i].frames > 0)
            at[n++] = i;
    assert_int_equal(n, 2);
    unsigned slot = 0;
    while (r.g.pgs[0].server[slot] != 3)
        slot++;
    r.f.server[3].seg[0].refuse = HX_E_NOSPACE;
    uint64_t second = r.f.queue[at[1]].call;
    rig_deliver(&r, at[0]);
    r.f.server[3].seg[0].refuse = 0;
    size_t i = 0;
    while (r.f.queue[i].call != second)
        i++;
    rig_deliver(&r, i);
    hx_writer_member(r.w, 0, slot, r.now, &v);
    assert_int_equal(v.last_error, HX_E_NOSPACE);
    rig_wait(&r, 5000, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    assert_int_equal(fake_scl(&r.f, 3, 0).v, cpl.v);
    hx_writer_member(r.w, 0, slot, r.now, &v);
    assert_int_equal(v.last_error, 0);
    rig_close(&r);
}

/* ---- what it is made of ---- */

static int make(const struct hx_geometry *g, const struct hx_history *h, size_t window)
{
    struct hx_writer *w = NULL;
    struct hx_writer_pg pgs[FAKE_PGS_MAX] = {0};
    struct hx_writer_cfg cfg = {.geometry = g, .history = h, .pgs = pgs, .window_bytes = window, .now_ms = 1};
    int err = hx_writer_new(&cfg, &w);
    if (err == 0)
        hx_writer_free(w);
    return err;
}

/* Promise: a volume without a group or a history, a window that a few frames fill, an LSN limit that no map can hold:
 * refused, not tried. */
static void what_no_writer_can_serve_is_refused(void **state)
{
    (void)state;
    struct rig r;
    struct hx_history none = {0}, wide = {0};
    rig_open(&r, &(struct rig_opts){0});
    assert_int_equal(make(&r.g, &r.h, 0), 0);
    assert_int_equal(make(&r.g, &r.h, WINDOW), 0);
    assert_int_equal(make(&r.g, &r.h, WINDOW - 1), HX_E_INVAL);
    assert_int_equal(make(&r.g, &none, 0), HX_E_INVAL);
    struct hx_geometry empty = r.g;
    empty.pg_count = empty.g = 0;
    assert_int_equal(make(&empty, &r.h, 0), HX_E_INVAL);
    struct hx_history_entry e = {HX_EPOCH(1), HX_LSN(0), HX_LSN(0), (UINT64_C(1) << 28) + 1};
    assert_int_equal(hx_history_push(&wide, e), 0);
    assert_int_equal(make(&r.g, &wide, 0), HX_E_INVAL);
    hx_history_fini(&wide);
    hx_writer_free(NULL); /* as free(NULL) */
    rig_close(&r);
}

/* Promise: what can never fit is refused at once (waiting would not help), and changes nothing. */
static void transactions_that_never_fit_are_refused(void **state)
{
    (void)state;
    struct rig r;
    struct hx_lsn cpl, first;
    static uint64_t pages[3000];
    rig_open(&r, &(struct rig_opts){.pgs = 2, .window_bytes = WINDOW});
    rig_run(&r, 0);
    for (size_t i = 0; i < HX_ARRAY_LEN(pages); i++)
        pages[i] = i % PG_PAGES;
    assert_int_equal(rig_append(&r, pages, 300, HX_PAGE_SIZE, &cpl), HX_E_TOOBIG); /* bytes */
    for (size_t i = 0; i < HX_ARRAY_LEN(pages); i++)
        pages[i] = i % 2 * PG_PAGES;
    assert_int_equal(rig_append(&r, pages, 2100, 8, &cpl), HX_E_TOOBIG); /* frames: every record may open one */
    uint8_t byte = 1;
    struct hx_writer_rec rec = {HX_PAGE(0), HX_REC_IMAGE, HX_PAGE_SIZE + 1, &byte};
    assert_int_equal(hx_writer_append(r.w, r.now, &rec, 1, &first, &cpl), HX_E_INVAL);
    rec = (struct hx_writer_rec){HX_PAGE(2 * PG_PAGES), HX_REC_IMAGE, 1, &byte};
    assert_int_equal(hx_writer_append(r.w, r.now, &rec, 1, &first, &cpl), HX_E_INVAL);
    uint64_t last = hx_writer_last(r.w).v;
    cpl = commit(&r, 1, 3);
    assert_int_equal(cpl.v, last + 1);
    rig_wait(&r, 50, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    rig_close(&r);
}

/* Promise: a transaction over more groups than frames are kept open closes the oldest one first; links and order hold
 * (the members find their SCLs by walking them). */
static void more_groups_than_open_frames(void **state)
{
    (void)state;
    struct rig r;
    uint64_t pages[64];
    struct hx_lsn cpl;
    rig_open(&r, &(struct rig_opts){.pgs = 12});
    rig_run(&r, 0);
    for (unsigned round = 0; round < 5; round++) {
        for (size_t i = 0; i < HX_ARRAY_LEN(pages); i++)
            pages[i] = (i * 5 + round) % 12 * PG_PAGES + i;
        assert_int_equal(rig_append(&r, pages, HX_ARRAY_LEN(pages), 40, &cpl), 0);
    }
    hx_writer_want(r.w, r.now, cpl);
    rig_wait(&r, 100, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    rig_close(&r);
}

/* Promise (W1): the number of frames is bounded, too: many small commits that nobody acknowledges end in ROOM, and go
 * on when they are acknowledged.  Method: more groups than open frames, in turn, so that each record is a frame. */
static void many_small_frames_fill_the_log(void **state)
{
    (void)state;
    struct rig r;
    struct hx_lsn cpl = HX_LSN(0);
    unsigned n = 0;
    rig_open(&r, &(struct rig_opts){.pgs = 12, .window_bytes = WINDOW, .lal = 20000});
    rig_run(&r, 0);
    for (int err = 0; n < 20000; n++) {
        uint64_t p = n % 12 * PG_PAGES;
        err = rig_append(&r, &p, 1, 8, &cpl);
        if (err) {
            assert_int_equal(err, HX_E_ROOM);
            break;
        }
        hx_writer_want(r.w, r.now, cpl);
        rig_pump(&r);
    }
    print_message("# room for %u commits\n", n);
    assert_in_range(n, 1, 19999);
    rig_wait(&r, 60000, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, hx_writer_last(r.w).v);
    commit(&r, 0, 1);
    rig_close(&r);
}

/* Promise (W5): what only a dead server lacks makes room at once, for nothing pins it. */
static void a_dead_server_makes_room_at_once(void **state)
{
    (void)state;
    struct rig r;
    struct hx_lsn cpl;
    rig_open(&r, &(struct rig_opts){.window_bytes = WINDOW});
    rig_run(&r, 0);
    commit(&r, 0, 1);
    rig_run(&r, 1u << 5);
    while (r.f.count > 0)
        rig_lose(&r, 0, HX_E_CONNECT);
    assert_int_equal(append_pages(&r, 100, &cpl), 0);
    hx_writer_want(r.w, r.now, cpl);
    rig_pump(&r);
    while (hx_writer_vdl(r.w).v < cpl.v) {
        rig_run(&r, 1u << 5);
        while (r.f.count > 0)
            rig_lose(&r, 0, HX_E_CONNECT);
        hx_writer_tick(r.w, r.now += 10);
    }
    assert_int_equal(append_pages(&r, 200, &cpl), 0);
    hx_writer_want(r.w, r.now, cpl);
    rig_wait(&r, 200, 1u << 5);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    rig_close(&r);
}

/* Promise (W5): a request that was cancelled is over: its answer, which was on its way, is nobody's.  Method: a
 * stopped server's request pins the window; an append cancels it; before that is carried out the answer comes. */
static void an_answer_to_a_cancelled_request_is_nobodys(void **state)
{
    (void)state;
    struct rig r;
    struct hx_lsn cpl;
    struct hx_effect e;
    rig_open(&r, &(struct rig_opts){.window_bytes = WINDOW});
    rig_run(&r, 0);
    assert_int_equal(append_pages(&r, 100, &cpl), 0);
    hx_writer_want(r.w, r.now, cpl);
    rig_wait(&r, 50, 1u << 5);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    size_t i = 0;
    while (r.f.queue[i].server != 5 || r.f.queue[i].frames == 0)
        i++;
    uint64_t call = r.f.queue[i].call;
    struct hx_bytes answer = fake_answer(&r.f, i);
    unsigned slot = 0;
    while (r.g.pgs[0].server[slot] != 5)
        slot++;
    struct hx_lsn before = hx_writer_scl(r.w, 0, slot);
    assert_int_equal(append_pages(&r, 200, &cpl), HX_E_ROOM);
    do {
        assert_int_equal(hx_writer_next(r.w, &e), 1);
        fake_effect(&r.f, &e);
    } while (e.kind != HX_EFFECT_CANCEL || e.call != call);
    hx_writer_answer(r.w, r.now, call, answer);
    hx_writer_failed(r.w, r.now, call, HX_E_TIMEOUT);
    assert_int_equal(hx_writer_scl(r.w, 0, slot).v, before.v);
    free((void *)(uintptr_t)answer.p);
    rig_pump(&r);
    assert_int_equal(append_pages(&r, 200, &cpl), 0);
    hx_writer_want(r.w, r.now, cpl);
    rig_wait(&r, 200, 1u << 5);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    rig_close(&r);
}

/* Promise: with more groups than an announcement looks at, each member of each is told the history; then silence. */
static void the_upkeep_goes_round_all_groups(void **state)
{
    (void)state;
    struct rig r;
    struct hx_lsn cpl;
    rig_open(&r, &(struct rig_opts){.pgs = FAKE_PGS_MAX});
    assert_true(FAKE_PGS_MAX > HX_WRITER_PROBE_SCAN);
    rig_run(&r, 0);
    for (uint32_t pg = 0; pg < FAKE_PGS_MAX; pg += 50)
        cpl = commit(&r, pg, 1);
    rig_wait(&r, 1000, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    for (unsigned k = 0; k < 100; k++)
        rig_wait(&r, 10000, 0); /* one history per announcement */
    unsigned told = r.f.server[2].adopts;
    assert_true(told >= FAKE_PGS_MAX - 1); /* of PG 0 it knows */
    rig_wait(&r, 20000, 0);
    assert_int_equal(r.f.server[2].adopts, told);
    rig_close(&r);
}

/* ---- words, clock, endings ---- */

/* Promise: a description that does not fit is not cut into half a text: the former one stays. */
static void a_description_is_taken_whole_or_not(void **state)
{
    (void)state;
    struct rig r;
    char text[2 * HX_WRITER_INFO_MAX];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    rig_open(&r, &(struct rig_opts){0});
    hx_writer_set_info(r.w, "{\"host\":\"h\"}");
    hx_writer_set_info(r.w, text);
    rig_wait(&r, 3000, 0);
    assert_string_equal(r.f.server[2].last_head.info, "{\"host\":\"h\"}");
    text[HX_WRITER_INFO_MAX - 1] = '\0';
    hx_writer_set_info(r.w, text);
    rig_wait(&r, 3000, 0);
    assert_string_equal(r.f.server[2].last_head.info, text);
    rig_close(&r);
}

/* Promise: an answer after more than an hour (a suspended machine) gives the longest time that can be told, and no
 * small one. */
static void a_round_trip_time_does_not_wrap(void **state)
{
    (void)state;
    struct rig r;
    struct hx_member_view v;
    rig_open(&r, &(struct rig_opts){0});
    commit(&r, 0, 1);
    r.now += 5000000; /* ms: more than 2^32 us */
    unsigned server = r.f.queue[0].server, slot = 0;
    while (r.g.pgs[0].server[slot] != server)
        slot++;
    rig_deliver(&r, 0);
    hx_writer_member(r.w, 0, slot, r.now, &v);
    assert_int_equal(v.rtt_us, UINT32_MAX);
    assert_int_equal(hx_writer_silent_ms(r.w, server), 0);     /* it has just answered */
    assert_true(hx_writer_silent_ms(r.w, (server + 1) % FAKE_SERVERS) >= 5000000);
    assert_int_equal(hx_writer_silent_ms(r.w, FAKE_SERVERS), 0); /* not known: not known to be silent */
    rig_close(&r);
}

/* Promise: a writer that has to say goodbye is not idle before it has; a fenced one has nothing left to do. */
static void idle_means_that_nothing_is_left_to_say(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, &(struct rig_opts){0});
    rig_run(&r, 0);
    assert_true(hx_writer_idle(r.w));
    hx_writer_goodbye(r.w, r.now);
    assert_false(hx_writer_idle(r.w));
    rig_run(&r, 0);
    assert_true(hx_writer_idle(r.w));
    rig_close(&r);
    rig_open(&r, &(struct rig_opts){0});
    commit(&r, 0, 1);
    assert_false(hx_writer_idle(r.w));
    hx_writer_fence(r.w);
    assert_true(hx_writer_idle(r.w));
    rig_close(&r);
}

/* Promise: a server without a group is told nothing, and so keeps nobody from being done. */
static void a_server_without_a_group_holds_no_goodbye_up(void **state)
{
    (void)state;
    struct rig r;
    open_many(&r, 2);
    commit(&r, 1, 1);
    rig_wait(&r, 50, 0);
    hx_writer_goodbye(r.w, r.now);
    assert_false(hx_writer_idle(r.w));
    rig_run(&r, 0);
    assert_true(hx_writer_idle(r.w));
    rig_close(&r);
}

/* Promise (pitfall 33): the read floor that servers hear of is never above the VDL, whatever a reader asked for, and
 * never falls: below it history is thrown away.  Method: floors above, below, and again. */
static void the_floor_is_at_or_below_the_vdl_and_never_falls(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, &(struct rig_opts){0});
    rig_run(&r, 0);
    for (unsigned k = 1; k <= 5; k++)
        commit(&r, 0, k);
    rig_run(&r, 0);
    uint64_t vdl = hx_writer_vdl(r.w).v, was = 0;
    assert_int_equal(vdl, 5);
    const uint64_t asked[] = {3, 2, vdl + 10, 1, vdl}, heard[] = {3, 3, vdl, vdl, vdl};
    for (unsigned k = 0; k < HX_ARRAY_LEN(asked); k++) {
        hx_writer_set_floor(r.w, HX_LSN(asked[k]));
        rig_wait(&r, 2 * HX_WRITER_ANNOUNCE_MS, 0);
        for (unsigned i = 0; i < FAKE_SERVERS; i++)
            assert_int_equal(r.f.server[i].last_head.floor.v, heard[k]);
        assert_true(heard[k] >= was);
        was = heard[k];
    }
    rig_close(&r);
}

/* Promise: with a record that nobody has yet a writer is not idle, also while nothing is under way: an unmount that
 * took it for done would lose the record. */
static void records_in_an_open_frame_are_something_to_do(void **state)
{
    (void)state;
    struct rig r;
    uint64_t page = 1;
    struct hx_lsn cpl;
    rig_open(&r, &(struct rig_opts){0});
    rig_run(&r, 0);
    assert_true(hx_writer_idle(r.w));
    assert_int_equal(rig_append(&r, &page, 1, 100, &cpl), 0);
    assert_int_equal(r.f.count, 0);
    assert_false(hx_writer_idle(r.w));
    rig_wait(&r, 1000, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    assert_true(hx_writer_idle(r.w));
    rig_close(&r);
}

/* Promise: a member that failed when it was to be told of this epoch is told later, also in a group in which nobody
 * writes: with peers that know and one that does not it would stay behind for ever. */
static void an_idle_group_is_told_in_spite_of_a_failure(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, &(struct rig_opts){.pgs = 2, .epoch = 3, .vdl = 50, .end = 5000});
    unsigned slot = 0;
    while (r.g.pgs[1].server[slot] != 2)
        slot++;
    r.f.server[2].seg[1].refuse = HX_E_IO;
    rig_wait(&r, 6000, 0);
    unsigned adopts = r.f.server[2].adopts;
    assert_true(adopts > 0);
    r.f.server[2].seg[1].refuse = 0;
    rig_wait(&r, 6000, 0);
    assert_true(r.f.server[2].adopts > adopts);
    assert_true(hx_writer_seat_ready(r.w, 1, slot));
    adopts = r.f.server[2].adopts;
    rig_wait(&r, 6000, 0);
    assert_int_equal(r.f.server[2].adopts, adopts); /* and then no more */
    rig_close(&r);
}

/* Promise: a server that answers is not silent because one of its answers, to a long request, takes its time. */
static void one_slow_answer_is_no_silence(void **state)
{
    (void)state;
    struct rig r;
    struct hx_member_view v;
    rig_open(&r, &(struct rig_opts){0});
    rig_run(&r, 0);
    commit(&r, 0, 1);
    for (uint64_t ms = 0; ms < 2 * HX_WRITER_SILENT_DOWN_MS; ms += 100) {
        for (size_t i = 0; i < r.f.count;)
            if (r.f.queue[i].server == 3 && r.f.queue[i].frames)
                i++; /* the one that takes its time */
            else
                rig_deliver(&r, i), i = 0;
        r.now += 100;
        hx_writer_tick(r.w, r.now);
        rig_pump(&r);
        assert_int_equal(hx_writer_silent_ms(r.w, 3), 0);
    }
    unsigned slot = 0;
    while (r.g.pgs[0].server[slot] != 3)
        slot++;
    hx_writer_member(r.w, 0, slot, r.now, &v);
    assert_int_equal(v.state, HX_MEMBER_BEHIND);
    rig_close(&r);
}

/* Promise (S3): a member is not sent again what it has: one that comes back after a refusal gets what it refused, and
 * nothing that it acknowledged before, though others still lack it. */
static void what_a_member_has_is_not_sent_again(void **state)
{
    (void)state;
    struct rig r;
    unsigned seen = 0;
    rig_open(&r, &(struct rig_opts){0});
    rig_run(&r, 0);
    commit(&r, 0, 1);
    rig_run(&r, 0x38); /* 3, 4 and 5 take nothing: it stays in the window */
    struct hx_lsn second = commit(&r, 0, 2);
    r.f.server[0].seg[0].refuse = HX_E_NOSPACE;
    rig_run(&r, 0x38);
    r.f.server[0].seg[0].refuse = 0;
    unsigned doubles = r.f.server[0].seg[0].doubles;
    for (unsigned k = 0; k < 300; k++) {
        rig_pump(&r);
        for (size_t i = 0; i < r.f.count; i++)
            if (r.f.queue[i].server == 0 && r.f.queue[i].frames) {
                seen++;
                assert_int_equal(r.f.queue[i].frames, 1);
            }
        rig_run(&r, 0x38);
        r.now += 10;
        hx_writer_tick(r.w, r.now);
    }
    assert_true(seen > 0);
    assert_int_equal(fake_scl(&r.f, 0, 0).v, second.v);
    assert_int_equal(r.f.server[0].seg[0].doubles, doubles);
    rig_close(&r);
}

/* Promise: what a request lends stays as it was until it is over, also when the volume grows meanwhile: the geometry in
 * a FORMAT under way is the one it was made of (the kit compares the bytes). */
static void growth_leaves_a_format_under_way_alone(void **state)
{
    (void)state;
    struct rig r;
    struct hx_pg_members m;
    rig_open(&r, &(struct rig_opts){0});
    rig_run(&r, 0);
    r.f.server[2].seg[0].absent = true;
    commit(&r, 0, 1);
    rig_wait(&r, 30, 1u << 2);
    for (unsigned k = 0; k < 3; k++) {
        for (size_t i = 0; i < r.f.count;)
            if (r.f.queue[i].server == 2 && r.f.queue[i].type != HX_MSG_FORMAT && k == 0)
                rig_deliver(&r, i), i = 0;
            else
                i++;
        assert_int_equal(hx_place_group(&r.g, NULL, &m), 0);
        assert_int_equal(hx_geometry_add_pg(&r.g, &m), 0);
        assert_int_equal(hx_geometry_add_pg(&r.f.geometry, &m), 0);
        assert_int_equal(hx_writer_add_pg(r.w, &r.g, HX_MEMBERS_ALL), 0);
    }
    struct hx_lsn cpl = commit(&r, 3, 1);
    rig_wait(&r, 5000, 0);
    assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
    assert_int_equal(r.f.server[2].formats, 1);
    assert_int_equal(hx_place_group(&r.g, NULL, &m), 0);
    assert_int_equal(hx_geometry_add_pg(&r.g, &m), 0);
    assert_int_equal(hx_geometry_add_pg(&r.f.geometry, &m), 0);
    assert_int_equal(hx_writer_add_pg(r.w, &r.g, HX_MEMBERS_ALL), 0);
    rig_close(&r);
}

/* Promise: when nobody of a group is well there is nobody to wake: a read is not held back for that. */
static void a_group_without_anybody_is_not_waited_for(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, &(struct rig_opts){.pgs = 2, .epoch = 3, .vdl = 40, .end = 5000});
    rig_pump(&r);
    assert_true(hx_writer_wake_pg(r.w, 1)); /* they are told the history: wait for one */
    commit(&r, 0, 1);
    r.now += 60000; /* silence */
    hx_writer_tick(r.w, r.now);
    assert_false(hx_writer_wake_pg(r.w, 1));
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_server_gets_its_own_groups_only),
        cmocka_unit_test(acknowledgements_for_others_groups_count_for_nothing),
        cmocka_unit_test(a_refusal_before_the_history_is_only_a_pause),
        cmocka_unit_test(an_acknowledgement_after_a_refusal_counts),
        cmocka_unit_test(what_no_writer_can_serve_is_refused),
        cmocka_unit_test(transactions_that_never_fit_are_refused),
        cmocka_unit_test(more_groups_than_open_frames),
        cmocka_unit_test(many_small_frames_fill_the_log),
        cmocka_unit_test(a_dead_server_makes_room_at_once),
        cmocka_unit_test(an_answer_to_a_cancelled_request_is_nobodys),
        cmocka_unit_test(the_upkeep_goes_round_all_groups),
        cmocka_unit_test(a_description_is_taken_whole_or_not),
        cmocka_unit_test(a_round_trip_time_does_not_wrap),
        cmocka_unit_test(idle_means_that_nothing_is_left_to_say),
        cmocka_unit_test(a_server_without_a_group_holds_no_goodbye_up),
        cmocka_unit_test(the_floor_is_at_or_below_the_vdl_and_never_falls),
        cmocka_unit_test(records_in_an_open_frame_are_something_to_do),
        cmocka_unit_test(an_idle_group_is_told_in_spite_of_a_failure),
        cmocka_unit_test(one_slow_answer_is_no_silence),
        cmocka_unit_test(what_a_member_has_is_not_sent_again),
        cmocka_unit_test(growth_leaves_a_format_under_way_alone),
        cmocka_unit_test(a_group_without_anybody_is_not_waited_for),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("writer_many", tests, NULL, NULL);
}
