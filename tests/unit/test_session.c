/*
 * test_session.c - hx_session, the volume client without its sockets, against six real segment servers over disks in
 * memory: opening, operations that wait, growth, fencing, closing, giving up, crashing.
 *
 * The world delivers in random order under virtual time; each test has fixed seeds.  What every client checks by
 * itself: each operation is answered exactly once (O1, S3, S5), a durable answer comes only when VDL >= its LSN (S1),
 * nothing comes after CLOSED is told, and no request of a part that has gone is under way any more.
 */
#include "session_kit.h"

/* ---- opening ---- */

/* Promise: a volume opens, each state told once and in order; what was durable when it was closed is there again. */
static void opens_writes_closes_and_opens_again(void **state)
{
    (void)state;
    struct world *w = new_world(1, true);
    struct client c;
    open_now(&c, w, false);
    assert_int_equal(c.told, 1u << HX_SESSION_RECOVERY | 1u << HX_SESSION_OPEN);
    for (uint64_t i = 0; i < 40; i++)
        write_now(&c, i, 1000 + i);
    uint64_t room;
    UNTIL(w, hx_session_room(c.s, w->now_ms, &room) == 0);
    pass(w, 2000);
    assert_true(c.idles > 5);
    close_now(&c);
    open_now(&c, w, false); /* it said goodbye: no takeover needed */
    for (uint64_t i = 0; i < 40; i++)
        assert_int_equal(read_now(&c, i), 1000 + i);
    close_now(&c);
    free_world(w);
}

/* Promise: a living writer is not disturbed unless takeover is asked for; the second says why. */
static void a_living_writer_is_busy(void **state)
{
    (void)state;
    struct world *w = new_world(2, true);
    struct client a, b;
    open_now(&a, w, false);
    write_now(&a, 1, 11);
    struct hx_session_cfg cfg = config(w);
    begin(&b, w, &cfg);
    UNTIL(w, b.last);
    assert_int_equal(b.last, HX_SESSION_FAILED);
    assert_int_equal(hx_session_error(b.s), HX_E_BUSY);
    assert_string_equal(hx_session_lookup(b.s)->writer_text, "{\"host\":\"h\"}");
    write_now(&a, 1, 12);
    hx_session_close(b.s, w->now_ms); /* FAILED -> CLOSED */
    UNTIL(w, b.last == HX_SESSION_CLOSED);
    assert_int_equal(hx_session_error(b.s), HX_E_BUSY);
    vanish(&b);
    close_now(&a);
    free_world(w);
}

/* Promise: nobody knows the name: NO_VOLUME, also when two servers do not answer. */
static void an_unknown_volume_is_said_to_be_none(void **state)
{
    (void)state;
    for (unsigned down = 0; down <= 2; down++) {
        struct world *w = new_world(3, false);
        struct client c;
        crash_servers(w, 0, down);
        struct hx_session_cfg cfg = config(w);
        begin(&c, w, &cfg);
        UNTIL(w, c.last == HX_SESSION_FAILED);
        assert_int_equal(hx_session_error(c.s), HX_E_NO_VOLUME);
        vanish(&c);
        free_world(w);
    }
    /* With three that do not answer it may be theirs: it is waited for them, and not said to be none. */
    struct world *w = new_world(3, false);
    struct client c;
    crash_servers(w, 0, 3);
    struct hx_session_cfg cfg = config(w);
    begin(&c, w, &cfg);
    pass(w, 20000);
    assert_int_equal(hx_session_state(c.s), HX_SESSION_LOOKUP);
    start_servers(w, 0, 1);
    UNTIL(w, c.last == HX_SESSION_FAILED);
    assert_int_equal(hx_session_error(c.s), HX_E_NO_VOLUME);
    vanish(&c);
    free_world(w);
}

/* Promise: with too few servers the opening waits, says for which, and goes on when they come; with a bound it fails
 * instead, with the error of the quorum that is missing. */
static void opening_waits_for_a_quorum(void **state)
{
    (void)state;
    struct world *w = new_world(4, true);
    struct client c;
    crash_servers(w, 0, 4);
    struct hx_session_cfg cfg = config(w);
    begin(&c, w, &cfg);
    pass(w, 10000);
    assert_int_equal(hx_session_state(c.s), HX_SESSION_LOOKUP);
    assert_non_null(strstr(c.waiting, "a1"));
    assert_non_null(strstr(c.waiting, "b2"));
    assert_null(strstr(c.waiting, "c1"));
    start_servers(w, 3, 1); /* a read quorum: it is found, but cannot be claimed */
    uint64_t from = w->now_ms;
    UNTIL(w, c.last == HX_SESSION_RECOVERY);
    assert_true(w->now_ms - from < 2 * (HX_SESSION_ASK_MS + HX_SESSION_ASK_AGAIN_MS));
    pass(w, 10000);
    assert_int_equal(hx_session_state(c.s), HX_SESSION_RECOVERY);
    assert_true(c.waiting[0]);
    start_servers(w, 0, 3);
    UNTIL(w, c.last == HX_SESSION_OPEN);
    assert_string_equal(c.waiting, "");
    close_now(&c);
    for (unsigned down = 3; down <= 4; down++) {
        crash_servers(w, 0, down);
        cfg = config(w);
        cfg.soft_ms = 5000;
        from = w->now_ms;
        begin(&c, w, &cfg);
        UNTIL(w, c.last == HX_SESSION_FAILED);
        assert_true(w->now_ms - from >= 5000);
        assert_int_equal(hx_session_error(c.s), down == 4 ? HX_E_NO_READ_QUORUM : HX_E_NO_WRITE_QUORUM);
        start_servers(w, 0, down);
        pass(w, 3000);
        assert_int_equal(c.last, HX_SESSION_FAILED); /* it has given up: it claims nothing behind our back */
        vanish(&c);
    }
    free_world(w);
}

/* Promise: what servers said long ago does not count.  A client that was stopped in the middle of the look-up, while a
 * writer came, does not take the volume from it: the third answer comes from a server that has just started. */
static void stopped_while_a_writer_came(uint64_t seed)
{
    struct world *w = new_world(seed, true);
    struct client a, b;
    crash_servers(w, 0, 4);
    struct hx_session_cfg cfg = config(w);
    begin(&b, w, &cfg);
    UNTIL(w, hx_session_lookup(b.s)->answers == 2 && world_under_way(w, &b, 0) == 0);
    world_leave(w, &b); /* stopped */
    start_servers(w, 0, 4);
    open_now(&a, w, false);
    write_now(&a, 1, 11);
    pass(w, 8000);
    crash_servers(w, 0, 4);
    world_start(w, 0); /* has heard of nobody yet; the two that b asked before know of a */
    world_join(w, (struct world_part){&b, part_next, part_answer, part_failed, part_tick});
    UNTIL(w, b.last);
    assert_int_equal(b.last, HX_SESSION_FAILED);
    assert_int_equal(hx_session_error(b.s), HX_E_BUSY);
    vanish(&b);
    start_servers(w, 1, 3);
    write_now(&a, 1, 13);
    close_now(&a);
    free_world(w);
}

static void old_answers_do_not_hide_a_writer(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 32; seed++)
        stopped_while_a_writer_came(seed);
}

/* Promise: where every server refuses the certificate, waiting would not help: it fails at once, and says so.  Where
 * two of six do, or answers are garbage, it waits. */
static void refused_certificates_end_the_opening(void **state)
{
    (void)state;
    static const uint8_t garbage[64] = "not an answer";
    for (unsigned refusing = 2; refusing <= 6; refusing += 4) {
        struct world w = {.rng = 5};
        struct hx_server servers[6] = {{.name = "s"}, {.name = "s"}, {.name = "s"}, {.name = "s"}, {.name = "s"}};
        struct hx_session_cfg cfg = config(&w);
        struct hx_session_effect e;
        struct hx_session *s;
        uint64_t calls_made[6];
        unsigned n = 0;
        enum hx_session_state last = 0;
        cfg.servers = servers;
        cfg.now_ms = 1000;
        assert_int_equal(hx_session_new(&cfg, &s), 0);
        while (hx_session_next(s, &e)) {
            assert_int_equal(e.kind, HX_SESSION_SEND);
            assert_true(n < 6);
            calls_made[n++] = e.net.call;
        }
        for (unsigned i = 0; i < n; i++)
            if (i < refusing)
                hx_session_failed(s, 2000, calls_made[i], HX_E_TLS);
            else
                hx_session_answer(s, 2000, 2000000, calls_made[i], (struct hx_bytes){garbage, sizeof garbage});
        while (hx_session_next(s, &e))
            last = e.kind == HX_SESSION_STATE ? e.state : last;
        assert_int_equal(last, refusing == 6 ? HX_SESSION_FAILED : 0);
        assert_int_equal(hx_session_error(s), refusing == 6 ? HX_E_TLS : 0);
        assert_non_null(strstr(refusing == 6 ? hx_session_why(s) : hx_session_waiting(s), hx_err_text(HX_E_TLS)));
        hx_session_answer(s, 3000, 3000000, calls_made[0], (struct hx_bytes){garbage, sizeof garbage}); /* S4 */
        while (hx_session_next(s, &e))
            ;
        hx_session_free(s);
    }
    struct world w = {.rng = 5};
    struct hx_session_cfg cfg = config(&w);
    struct hx_session *s = NULL;
    cfg.server_count = 0;
    assert_int_equal(hx_session_new(&cfg, &s), HX_E_INVAL);
    hx_session_free(s);
}

/* ---- operations ---- */

/* Promise: reads of pages that are not cached wait for exactly these, many at once, and give the right bytes. */
static void reads_wait_for_their_pages(void **state)
{
    (void)state;
    struct world *w = new_world(5, true);
    struct client c;
    struct todo t[PG_PAGES];
    open_now(&c, w, false);
    for (uint64_t i = 0; i < PG_PAGES; i++) {
        start(&c, &t[i], WRITE, i, 7000 + i, false);
        UNTIL(w, t[i].answers);
    }
    close_now(&c);
    open_now(&c, w, false);
    for (uint64_t i = 0; i < PG_PAGES; i++)
        start(&c, &t[i], READ, i, 0, false);
    assert_int_equal(hx_session_parked(c.s), PG_PAGES);
    UNTIL(w, c.under_way == 0);
    for (uint64_t i = 0; i < PG_PAGES; i++) {
        assert_int_equal(t[i].err, 0);
        assert_int_equal(t[i].value, 7000 + i);
        assert_int_equal(t[i].kept, t[i].runs - 1);
    }
    close_now(&c);
    free_world(w);
}

/* Promise: what is fetched at once is bounded by a quarter of the cache (K4): others wait, and all come. */
static void fetching_is_bounded(void **state)
{
    (void)state;
    struct world *w = new_world(16, true);
    struct client c;
    enum { N = 3 * PG_PAGES };
    struct todo *t = calloc(N, sizeof *t);
    open_now(&c, w, false);
    write_now(&c, 0, 1);
    write_now(&c, PG_PAGES, 1); /* grows */
    write_now(&c, N - 1, 4242); /* grows again; no group is blank, for blank ones are not asked for */
    close_now(&c);
    open_now(&c, w, false);
    for (uint64_t i = 0; i < N; i++)
        start(&c, &t[i], READ, i, 0, false);
    unsigned waits = 0;
    for (uint64_t i = 0; i < N; i++)
        waits += t[i].op.park.place == HX_PARK_BUDGET;
    assert_int_equal(waits, N - CACHE / 4 / HX_PAGE_SIZE);
    UNTIL(w, c.under_way == 0);
    for (uint64_t i = 0; i < N; i++)
        assert_int_equal(t[i].err, 0);
    assert_int_equal(t[N - 1].value, 4242);
    close_now(&c);
    free(t);
    free_world(w);
}

/* Promise: when the log's window is full, changes wait and are answered in the order in which they came (O3); nobody is
 * forgotten. */
static void changes_wait_for_room_in_order(void **state)
{
    (void)state;
    struct world *w = new_world(6, true);
    struct client c;
    enum { N = 600 };
    struct todo *t = calloc(N, sizeof *t);
    open_now(&c, w, false);
    for (uint64_t i = 0; i < PG_PAGES; i++)
        read_now(&c, i); /* cached: what waits now, waits for room */
    for (uint64_t i = 0; i < N; i++)
        start(&c, &t[i], WRITE, i % PG_PAGES, 9000 + i, false);
    assert_true(hx_session_gated(c.s));
    assert_true(hx_session_parked(c.s) > N / 8);
    UNTIL(w, c.under_way == 0);
    unsigned untried = 0;
    for (uint64_t i = 0; i < N; i++) {
        assert_int_equal(t[i].err, 0);
        if (i > 0)
            assert_true(t[i].order > t[i - 1].order && t[i].lsn.v > t[i - 1].lsn.v);
        untried += t[i].runs == 1 && t[i].kept > 0;
    }
    assert_true(untried > 0); /* queued behind others without being tried */
    close_now(&c);
    open_now(&c, w, false);
    for (uint64_t i = 0; i < PG_PAGES; i++)
        assert_int_equal(read_now(&c, i), 9000 + (i < N - 2 * PG_PAGES ? 2 * PG_PAGES + i : PG_PAGES + i));
    close_now(&c);
    free(t);
    free_world(w);
}

/* Promise: without a write quorum a durable answer waits (others do not), the session says what is missing, and goes on
 * when it is back; bounded, it fails with TIMEOUT, and later tells the truth. */
static void durable_answers_wait_for_the_quorum(void **state)
{
    (void)state;
    struct world *w = new_world(7, true);
    struct client c;
    struct todo sync, lazy, late;
    struct hx_session_cfg cfg = config(w);
    cfg.soft_ms = 60000;
    begin(&c, w, &cfg);
    UNTIL(w, c.last == HX_SESSION_OPEN);
    write_now(&c, 3, 1);
    crash_servers(w, 0, 3);
    start(&c, &lazy, WRITE, 3, 2, false);
    assert_int_equal(lazy.answers, 1);
    start(&c, &sync, WRITE, 3, 3, true);
    pass(w, 20000);
    assert_int_equal(sync.answers, 0);
    assert_true(c.waits_told > 0);
    assert_non_null(strstr(c.waiting, "write quorum missing"));
    assert_non_null(strstr(c.waiting, "a1"));
    start_servers(w, 0, 1);
    UNTIL(w, sync.answers);
    assert_int_equal(sync.err, 0);
    UNTIL(w, c.waiting[0] == '\0');
    crash_servers(w, 0, 1);
    start(&c, &late, WRITE, 3, 4, true);
    UNTIL(w, late.answers);
    assert_int_equal(late.err, HX_E_TIMEOUT);
    assert_int_equal(hx_session_unsafe(c.s), late.lsn.v - hx_session_vdl(c.s).v);
    start_servers(w, 0, 3);
    write_now(&c, 4, 5);
    assert_int_equal(read_now(&c, 3), 4);
    close_now(&c);
    free_world(w);
}

/* Promise: an operation that finds no page waits until the volume has grown; freeing is tried first (O4). */
static void a_full_volume_grows(void **state)
{
    (void)state;
    struct world *w = new_world(8, true);
    struct client c;
    struct todo t, behind, freed;
    open_now(&c, w, false);
    start_with_garbage(&c, &freed, WRITE, PG_PAGES, 1, false, 3);
    assert_int_equal(freed.answers, 0);
    assert_int_equal(freed.runs, 4); /* tried again after each step */
    start(&c, &t, WRITE, PG_PAGES + 5, 17, true);
    start(&c, &behind, WRITE, 1, 18, true);
    assert_int_equal(behind.runs, 0); /* behind the one that waits for growth */
    UNTIL(w, c.under_way == 0);
    assert_int_equal(t.err | behind.err | freed.err, 0);
    assert_int_equal(c.grew, 2);
    assert_int_equal(freed.reclaims, 0);
    assert_int_equal(hx_pager_pages(hx_session_pager(c.s)), 2 * PG_PAGES);
    hx_session_note_free(c.s, w->now_ms, PG_PAGES / 8); /* enough */
    pass(w, 3000);
    assert_int_equal(c.grew, 2);
    hx_session_note_free(c.s, w->now_ms, PG_PAGES / 8 - 1); /* ahead of need */
    UNTIL(w, c.grew == 3);
    close_now(&c);
    open_now(&c, w, false);
    assert_int_equal(hx_pager_pages(hx_session_pager(c.s)), 3 * PG_PAGES);
    assert_int_equal(read_now(&c, PG_PAGES + 5), 17);
    close_now(&c);
    free_world(w);
}

/* ---- the same, with the filesystem on top ---- */
static const struct hx_fs_who nobody = {.now = {1, 0}};
static uint8_t megabyte[1 << 20];

static int fs_format(struct todo *t)
{
    return hx_fs_format(hx_session_pager(t->c->s), &nobody);
}

static int fs_create(struct todo *t)
{
    struct hx_fs_attr a;
    int err = hx_fs_mknod(t->fs, &nobody, HX_FS_ROOT, t->page == 0 ? "a" : "b", 0100644, 0, &a);
    if (err == 0)
        hx_fs_opened(t->fs, t->value = a.ino);
    return err;
}

static int fs_write(struct todo *t)
{
    uint64_t off;
    return hx_fs_write(t->fs, &nobody, t->page, 0, megabyte, t->value, false, false, &off);
}

static int fs_unlink(struct todo *t)
{
    return hx_fs_unlink(t->fs, &nobody, HX_FS_ROOT, "a");
}

static uint64_t call_now(struct client *c, struct hx_fs *fs, int (*call)(struct todo *t), uint64_t page, uint64_t value)
{
    struct todo t = {.op = {.calls = &calls, .changes = true}, .c = c, .what = CALL, .call = call, .fs = fs,
                     .page = page, .value = value};
    c->under_way++;
    hx_op_start(c->s, c->w->now_ms, &t.op);
    UNTIL(c->w, t.answers);
    assert_int_equal(t.err, 0);
    return t.value;
}

/* Promise: what a deleted file leaves is used before the volume grows, even when nobody had an idle moment to free it
 * (hexad/fs.h); when that is not enough, it grows. */
static void deleted_files_make_room_before_growth(void **state)
{
    (void)state;
    struct world *w = new_world(15, true);
    struct client c;
    struct hx_fs *fs;
    const uint64_t bytes = 150 * HX_PAGE_SIZE;
    open_now(&c, w, false);
    call_now(&c, NULL, fs_format, 0, 0);
    assert_int_equal(hx_fs_new(hx_session_pager(c.s), &fs), 0);
    uint64_t a = call_now(&c, fs, fs_create, 0, 0);
    call_now(&c, fs, fs_write, a, bytes);
    call_now(&c, fs, fs_unlink, 0, 0);
    uint64_t b = call_now(&c, fs, fs_create, 1, 0);
    assert_int_equal(hx_fs_released(fs, a), 0);
    assert_int_equal(hx_fs_forget(fs, a, 1), 0);
    assert_true(hx_fs_has_work(fs));
    call_now(&c, fs, fs_write, b, bytes);
    assert_int_equal(c.grew, 0);
    call_now(&c, fs, fs_write, b, sizeof megabyte);
    assert_int_equal(c.grew, 2);
    hx_fs_free(fs);
    close_now(&c);
    free_world(w);
}

/* Promise: growth that cannot be done now keeps its operation waiting, to the bound; afterwards it works again. */
static void growth_without_a_quorum_waits(void **state)
{
    (void)state;
    struct world *w = new_world(9, true);
    struct client c;
    struct todo t;
    struct hx_session_cfg cfg = config(w);
    cfg.soft_ms = 8000;
    begin(&c, w, &cfg);
    UNTIL(w, c.last == HX_SESSION_OPEN);
    crash_servers(w, 0, 3);
    start(&c, &t, WRITE, PG_PAGES, 1, true);
    UNTIL(w, t.answers);
    assert_int_equal(t.err, HX_E_TIMEOUT);
    start_servers(w, 0, 3);
    write_now(&c, PG_PAGES, 2);
    close_now(&c);
    free_world(w);
}

/* ---- endings ---- */

/* Promise: a newer writer ends the older one: what waits and what comes gets FENCED, for ever; who it is gets known;
 * what was durable before is in the successor's volume. */
static void a_newer_writer_fences_the_older(void **state)
{
    (void)state;
    struct world *w = new_world(10, true);
    struct client a, b;
    struct todo t[20], later, grow;
    open_now(&a, w, false);
    for (uint64_t i = 0; i < 24; i++)
        write_now(&a, i, 11);
    UNTIL(w, world_under_way(w, &a, 0) == 0);
    world_leave(w, &a); /* stopped */
    struct hx_session_cfg cfg = config(w);
    cfg.takeover = true;
    begin(&b, w, &cfg);
    b.secretive = true;
    UNTIL(w, b.last == HX_SESSION_OPEN);
    write_now(&b, 2, 22);
    world_join(w, (struct world_part){&a, part_next, part_answer, part_failed, part_tick});
    for (unsigned i = 0; i < 20; i++)
        start(&a, &t[i], WRITE, 3 + i, 33, true);
    start(&a, &grow, WRITE, PG_PAGES, 1, false);
    assert_int_equal(a.under_way, 21);
    assert_int_equal(hx_session_parked(a.s), 21);
    UNTIL(w, a.last == HX_SESSION_FENCED);
    assert_int_equal(hx_session_error(a.s), HX_E_FENCED);
    UNTIL(w, a.under_way == 0);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(t[i].err, HX_E_FENCED);
    assert_int_equal(grow.err, HX_E_FENCED);
    pass(w, 3000);
    assert_int_equal(a.successors, 0); /* everybody was asked, and nobody knows who it is */
    hx_session_set_info(b.s, "{\"host\":\"b\"}");
    UNTIL(w, a.successors == 1);
    assert_string_equal(hx_session_lookup(a.s)->writer_text, "{\"host\":\"b\"}");
    assert_true(hx_session_lookup(a.s)->epoch.v >= hx_writer_epoch(hx_session_writer(b.s)).v);
    start(&a, &later, READ, 1, 0, false);
    assert_int_equal(later.err, HX_E_FENCED);
    assert_int_equal(hx_session_parked(a.s), 0);
    hx_session_close(a.s, w->now_ms);
    UNTIL(w, a.last == HX_SESSION_CLOSED);
    assert_int_equal(hx_session_error(a.s), HX_E_FENCED);
    assert_int_equal(a.successors, 1);
    vanish(&a);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(read_now(&b, 3 + i), 11);
    assert_int_equal(read_now(&b, 1), 11);
    assert_int_equal(read_now(&b, 2), 22);
    close_now(&b);
    free_world(w);
}

/* Promise: growth or a read that meets the fence first ends as everything else does; no page is called bad for it. */
static void growth_and_reads_meet_the_fence(void **state)
{
    (void)state;
    for (uint64_t seed = 40; seed < 56; seed++) {
        struct world *w = new_world(seed, true);
        struct client a, b;
        struct todo grow, read;
        open_now(&a, w, false);
        write_now(&a, 5, 1); /* reads of a blank group would not be asked for */
        UNTIL(w, world_under_way(w, &a, 0) == 0);
        world_leave(w, &a);
        open_now(&b, w, true);
        write_now(&b, 2, 22);
        world_join(w, (struct world_part){&a, part_next, part_answer, part_failed, part_tick});
        start(&a, &grow, WRITE, PG_PAGES, 1, false);
        start(&a, &read, READ, 2, 0, false);
        UNTIL(w, a.last == HX_SESSION_FENCED && a.under_way == 0);
        assert_int_equal(grow.err, HX_E_FENCED);
        assert_true(read.err == HX_E_FENCED || (read.err == 0 && read.value == 0)); /* from before the fence */
        vanish(&a);
        assert_int_equal(hx_pager_pages(hx_session_pager(b.s)), PG_PAGES);
        close_now(&b);
        free_world(w);
    }
}

/* Promise: close makes everything durable before CLOSED, sends home what waits; nothing new is taken meanwhile. */
static void closing_makes_everything_durable(void **state)
{
    (void)state;
    struct world *w = new_world(11, true);
    struct client c;
    struct todo t[30], sync, late;
    open_now(&c, w, false);
    crash_servers(w, 0, 3);
    for (unsigned i = 0; i < 30; i++)
        start(&c, &t[i], WRITE, i, 500 + i, false);
    start(&c, &sync, WRITE, 40, 540, true);
    hx_session_close(c.s, w->now_ms);
    assert_int_equal(hx_session_state(c.s), HX_SESSION_CLOSING);
    start(&c, &late, WRITE, 41, 541, false);
    assert_int_equal(late.err, HX_E_IO);
    pass(w, 5000);
    assert_int_equal(sync.err, HX_E_CANCELED); /* nobody waits for its answer any more; that it lasts is seen below */
    assert_int_equal(hx_session_state(c.s), HX_SESSION_CLOSING);
    assert_true(hx_session_unsafe(c.s) > 0);
    start_servers(w, 0, 3);
    UNTIL(w, c.last == HX_SESSION_CLOSED);
    assert_int_equal(hx_session_unsafe(c.s), 0);
    assert_int_equal(hx_session_error(c.s), 0);
    vanish(&c);
    open_now(&c, w, false);
    for (unsigned i = 0; i < 30; i++)
        if (t[i].err == 0)
            assert_int_equal(read_now(&c, i), 500 + i);
    assert_int_equal(read_now(&c, 40), 540);
    close_now(&c);
    free_world(w);
}

/* Promise: bounded, closing without a quorum ends with an error that says what is lost; abandon does so at once. */
static void ending_without_a_quorum_tells(void **state)
{
    (void)state;
    for (unsigned abandon = 0; abandon < 2; abandon++) {
        struct world *w = new_world(12, true);
        struct client c;
        struct todo t;
        struct hx_session_cfg cfg = config(w);
        cfg.soft_ms = 5000;
        begin(&c, w, &cfg);
        UNTIL(w, c.last == HX_SESSION_OPEN);
        crash_servers(w, 0, 3);
        start(&c, &t, WRITE, 1, 1, true);
        if (abandon)
            hx_session_abandon(c.s, w->now_ms);
        else
            hx_session_close(c.s, w->now_ms);
        UNTIL(w, c.last == HX_SESSION_CLOSED);
        assert_int_equal(t.err, HX_E_CANCELED);
        assert_int_equal(hx_session_error(c.s), HX_E_NO_WRITE_QUORUM);
        vanish(&c);
        free_world(w);
    }
}

/* Promise: abandon and a crash work at every moment of opening, of work, of growth and of closing; afterwards the
 * volume opens, and holds what was durable. */
struct givings_up {
    uint64_t durable, answered, before_open, closed;
};

static void give_up(struct world *w, unsigned moment, bool when_open, uint64_t *io_durable, struct givings_up *n)
{
    struct client c;
    struct todo t = {0}, read, grow;
    struct hx_session_cfg cfg = config(w);
    cfg.takeover = true;
    begin(&c, w, &cfg);
    if (when_open) {
        UNTIL(w, c.last == HX_SESSION_OPEN);
        start(&c, &t, WRITE, 1, *io_durable + 1, true);
        start(&c, &read, READ, 200, 0, false);
        start(&c, &grow, WRITE, hx_pager_pages(hx_session_pager(c.s)), 1, false);
    }
    for (unsigned i = 0; i < moment; i++)
        world_step(w);
    n->before_open += c.last != HX_SESSION_OPEN;
    if (moment % 3 == 0) {
        hx_session_close(c.s, w->now_ms);
        for (unsigned i = 0; i < moment % 7 * 4; i++)
            world_step(w);
    }
    n->closed += c.last == HX_SESSION_CLOSED;
    if (moment % 3 != 2) {
        hx_session_abandon(c.s, w->now_ms);
        UNTIL(w, c.last == HX_SESSION_CLOSED);
        assert_int_equal(hx_session_parked(c.s), 0);
    }
    n->answered += t.answers;
    *io_durable += t.answers && t.err == 0;
    vanish(&c);
}

static void can_be_given_up_at_any_moment(void **state)
{
    (void)state;
    struct givings_up n = {0};
    for (unsigned story = 0; story < 16; story++) {
        struct world *w = new_world(1000 + story, true);
        uint64_t durable = 0;
        for (unsigned k = 0; k < 12; k++)
            give_up(w, (story + 16 * (k / 2)) * (k % 2 ? 1 : 2), k % 2, &durable, &n);
        struct client c;
        open_now(&c, w, true);
        uint64_t now = hx_session_vdl(c.s).v ? read_now(&c, 1) : 0;
        assert_true(now == durable || now == durable + 1);
        n.durable += durable;
        close_now(&c);
        free_world(w);
    }
    print_message("# of 192: %llu before open, %llu at the end of closing, %llu of 96 writes answered, %llu durable\n",
                  (unsigned long long)n.before_open, (unsigned long long)n.closed, (unsigned long long)n.answered,
                  (unsigned long long)n.durable);
    assert_true(n.before_open > 30 && n.closed > 5 && n.answered > 30 && n.durable > 10); /* not idle */
}

static void note_durable(const struct todo *t, uint64_t *io_durable)
{
    bool yes = t->answers && t->what == WRITE && t->sync && t->err == 0;
    if (yes && io_durable[t->page / 13] < t->value)
        io_durable[t->page / 13] = t->value;
}

/* Promise: with loss, crashes of servers (at most two at a time) and of clients, takeovers without a farewell: every
 * operation is answered once, and a page never shows less than was durable, nor what nobody wrote. */
static void one_story(uint64_t seed)
{
    struct world *w = new_world(seed, true);
    uint64_t durable[16] = {0}, newest[16] = {0}, value = 0;
    enum { N = 24 };
    struct todo *t = calloc(N, sizeof *t);
    w->loss = (unsigned)(seed % 3) * 15;
    for (unsigned reign = 0; reign < 8; reign++) {
        struct client c;
        open_now(&c, w, true);
        for (unsigned p = 0; p < 16; p++) {
            uint64_t got = read_now(&c, p * 13);
            assert_true(got >= durable[p] && got <= newest[p]);
            durable[p] = got; /* what was seen stays */
        }
        for (unsigned i = 0; i < N; i++)
            t[i].answers = 1, t[i].err = HX_E_CANCELED;
        for (int step = 0; step < 1500; step++) {
            struct todo *k = &t[world_below(w, N)];
            unsigned server = world_below(w, WORLD_SERVERS), down = 0;
            for (unsigned i = 0; i < WORLD_SERVERS; i++)
                down += w->node[i] == NULL;
            if (world_below(w, 100) == 0) {
                if (w->node[server] == NULL)
                    world_start(w, server);
                else if (down < 2)
                    world_crash(w, server);
            }
            if (k->answers) {
                note_durable(k, durable);
                unsigned p = world_below(w, 16);
                if (world_below(w, 3) > 0) {
                    newest[p] = ++value;
                    start(&c, k, WRITE, p * 13, value, world_below(w, 2));
                } else {
                    start(&c, k, READ, p * 13, 0, false);
                }
            }
            world_step(w);
        }
        for (unsigned i = 0; i < N; i++)
            note_durable(&t[i], durable);
        if (world_below(w, 3) == 0) {
            hx_session_close(c.s, w->now_ms);
            UNTIL(w, c.last == HX_SESSION_CLOSED);
        }
        vanish(&c);
    }
    free(t);
    free_world(w);
}

static void reigns_follow_each_other(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 112; seed++)
        one_story(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_writes_closes_and_opens_again),
        cmocka_unit_test(a_living_writer_is_busy),
        cmocka_unit_test(an_unknown_volume_is_said_to_be_none),
        cmocka_unit_test(opening_waits_for_a_quorum),
        cmocka_unit_test(old_answers_do_not_hide_a_writer),
        cmocka_unit_test(refused_certificates_end_the_opening),
        cmocka_unit_test(reads_wait_for_their_pages),
        cmocka_unit_test(fetching_is_bounded),
        cmocka_unit_test(changes_wait_for_room_in_order),
        cmocka_unit_test(durable_answers_wait_for_the_quorum),
        cmocka_unit_test(a_full_volume_grows),
        cmocka_unit_test(deleted_files_make_room_before_growth),
        cmocka_unit_test(growth_without_a_quorum_waits),
        cmocka_unit_test(a_newer_writer_fences_the_older),
        cmocka_unit_test(growth_and_reads_meet_the_fence),
        cmocka_unit_test(closing_makes_everything_durable),
        cmocka_unit_test(ending_without_a_quorum_tells),
        cmocka_unit_test(can_be_given_up_at_any_moment),
        cmocka_unit_test(reigns_follow_each_other),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
