/*
 * test_hydrate.c - a learner is filled with pages by the members, and counts only when it has all of them.
 *
 * Method: six servers with the same random pages (seg_model.h) over disks in memory, a seventh that is in no geometry
 * and gets FORMAT as a learner; the load goes on meanwhile.  Between the servers the test sees, counts and changes
 * what is said.  At the end the learner reads as the model says at every point that it serves, and catches up like a
 * member.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hexad/check.h"
#include "learner_kit.h"

/* ---- the whole of it ---- */
/* A member asks the learner for records; the answer's status. */
static int fetch_from(struct hx_rig *r)
{
    uint8_t b[21] = {0};
    hx_put_u64(b + 8, 1000);
    hx_put_u32(b + 16, 1u << 20);
    return hx_rig_call(r, LEARNER, &(struct hx_rig_ask){.type = HX_MSG_FETCH, .pg = PG, .name = "b1",
                                                        .role = HX_NODE_ROLE_SEGMENT, .body = {b, sizeof b}}, NULL);
}

/* Promise: until it has every page a learner counts for nothing, whatever it holds; then it has what members have. */
static void a_learner_counts_when_it_has_all(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct hx_rig r;
        struct hx_model m;
        start(&r, &m, seed);
        assert_int_equal(learn(&r), 0);
        for (unsigned k = 0; filling(&r); k++) {
            struct hx_inventory v;
            assert_true(k < 500);
            work(&r, &m, 1, seed % 2);
            if (!filling(&r))
                break;
            assert_int_equal(look(&r, LEARNER).scl.v, 0);
            assert_int_equal(hx_rig_read(&r, LEARNER, PG, 1, 0, 0, NULL, NULL), HX_E_LAGGING);
            assert_int_equal(fetch_from(&r), HX_E_LAGGING);
            struct hx_segment_status st;
            assert_int_equal(hx_rig_status(&r, LEARNER, PG, &st), 0);
            assert_int_equal(st.state, HX_E_LAGGING);
            assert_int_equal(hx_rig_fence(&r, LEARNER, PG, 1, 900, &v), 0);
            assert_false(v.hydrated);
            hx_inventory_fini(&v);
            hx_rig_step(&r, 30);
        }
        assert_true(look(&r, LEARNER).scl.v > 0);
        check_all(&r, &m);
        work(&r, &m, 20, false);
        until_equal(&r, &m);
        check_all(&r, &m);
        struct hx_inventory v;
        assert_int_equal(hx_rig_fence(&r, LEARNER, PG, 1, 900, &v), 0);
        assert_true(v.hydrated);
        hx_inventory_fini(&v);
        assert_true((seen.sources & (seen.sources - 1)) != 0); /* several gave something */
        restart(&r);
        assert_false(filling(&r));
        check_all(&r, &m);
        finish(&r, &m);
    }
}

/* Promise: a point that the members give up meanwhile costs what changed since, not everything. */
static void a_point_that_is_given_up_moves_on(void **state)
{
    (void)state;
    unsigned moved = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct hx_rig r;
        struct hx_model m;
        start(&r, &m, seed);
        learn_slowly(&r, 24u << 10);
        for (unsigned k = 0; filling(&r); k++) {
            assert_true(k < 3000);
            if (k % 8 == 0 && k < 64) {
                m.floor = m.vdl;
                work(&r, &m, 5, k % 3 == 0);
            }
            hx_rig_step(&r, 50);
        }
        moved += seen.too_old && seen.digests;
        check_all(&r, &m);
        until_equal(&r, &m);
        check_all(&r, &m);
        finish(&r, &m);
    }
    assert_true(moved >= 4);
}

/* Promise: what is still stale when the point moves again is looked at from where it was copied. */
static void a_point_that_moves_twice(void **state)
{
    uint8_t done[1] = {0}, stale[1] = {0}, busy[1] = {0};
    struct hx_fill f = {.ranges = 4, .left = 4, .done = done, .stale = stale, .busy = busy};
    (void)state;
    hx_fill_aim(&f, 10);
    assert_int_equal(f.left, 4);
    hx_fill_done(&f, 0, 2);
    hx_fill_aim(&f, 20);
    assert_int_equal(f.since, 10);
    assert_int_equal(stale[0], 3);
    hx_fill_done(&f, 0, 1); /* the second stays as of 10 */
    hx_fill_done(&f, 2, 1);
    assert_int_equal(f.left, 2);
    hx_fill_aim(&f, 30);
    assert_int_equal(f.since, 10);
    assert_int_equal(stale[0], 7);
    assert_int_equal(done[0], 0);
    assert_int_equal(f.left, 4);
    hx_fill_done(&f, 0, 4);
    assert_int_equal(stale[0], 0);
    hx_fill_aim(&f, 40);
    assert_int_equal(f.since, 30);
}

/* Promise: a restart goes on where the process before was. */
static void a_restart_goes_on(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    (void)state;
    start(&r, &m, 3);
    learn_slowly(&r, 16u << 10);
    unsigned restarts = 0;
    for (unsigned k = 0; filling(&r); k++) {
        assert_true(k < 3000);
        hx_rig_step(&r, 50);
        if (k % 10 || !filling(&r) || !segment(&r)->fill || !segment(&r)->fill->pointed)
            continue;
        uint32_t left = segment(&r)->fill->left, unsaved = segment(&r)->fill->unsaved;
        restart(&r);
        assert_true(filling(&r));
        hx_node_tick(r.node[LEARNER], r.now_ms);
        assert_true(segment(&r)->fill->pointed);
        assert_true(segment(&r)->fill->left <= left + unsaved);
        restarts++;
    }
    assert_true(restarts > 3);
    assert_true(seen.pages <= GROUP / HX_PAGE_SIZE + restarts * 8 * HX_FILL_RANGE);
    check_all(&r, &m);
    finish(&r, &m);
}

/* Promise: at most repair-rate comes in, once the first burst is over. */
static void it_keeps_to_its_rate(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    (void)state;
    start(&r, &m, 4);
    r.repair_bytes_per_s = 16u << 10;
    restart(&r);
    uint64_t began = r.now_ms;
    assert_int_equal(learn(&r), 0);
    assert_true(until_filled(&r, 5000));
    uint64_t ms = r.now_ms - began, burst = HX_FILL_JOBS * 20u * 1024; /* of content that differs from page to page */
    assert_true(seen.bytes > 2 * 16 * 1024);
    assert_true(seen.bytes <= ms * 16 * 1024 / 1000 + burst);
    finish(&r, &m);
}

/* How long a learner takes that may have RATE of its driver (0: no word of it), which it is told, or after which it is
 * restarted, four times more on the way.  Checks that it kept to that. */
static uint64_t ms_at(uint32_t rate, bool restarts)
{
    struct hx_rig r;
    struct hx_model m;
    start(&r, &m, 4);
    uint64_t began = r.now_ms, burst = HX_FILL_JOBS * 20u * 1024;
    unsigned again = 0;
    assert_int_equal(hx_rig_learn_at(&r, LEARNER, PG, rate), 0);
    for (unsigned k = 0; k < 40000 && filling(&r); k++) {
        hx_rig_step(&r, 50);
        const struct hx_fill *f = filling(&r) ? segment(&r)->fill : NULL;
        if (!f || again == 4 || f->left >= f->ranges - (again + 1) * f->ranges / 6)
            continue;
        again++;
        burst += HX_FILL_JOBS * 20u * 1024;
        if (restarts)
            restart(&r);
        else
            assert_int_equal(hx_rig_learn_at(&r, LEARNER, PG, rate), 0);
    }
    assert_false(filling(&r));
    assert_true(again > 1 || !rate);
    uint64_t ms = r.now_ms - began;
    assert_true(!rate || seen.bytes <= ms * rate / 1000 + burst);
    check_all(&r, &m);
    finish(&r, &m);
    return ms;
}

/* Promise (P4): a learner keeps to what its driver allows, also when it is told again, and over restarts. */
static void it_keeps_to_what_its_driver_allows(void **state)
{
    (void)state;
    uint64_t plain = ms_at(0, false), slow = ms_at(16u << 10, false);
    assert_true(slow > 4 * plain);
    assert_true(ms_at(16u << 10, true) > 4 * plain);
}

/* Promise (P4): the last word counts, more or less than before, or that there is no limit; kept also before there
 * is a point. */
static void the_last_word_about_its_rate_counts(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    (void)state;
    start(&r, &m, 4);
    assert_int_equal(hx_rig_learn_at(&r, LEARNER, PG, 1000), 0);
    restart(&r); /* it has asked nobody yet */
    hx_node_tick(r.node[LEARNER], r.now_ms);
    assert_int_equal(segment(&r)->fill->rate, 1000);
    assert_false(until_filled(&r, 20));
    assert_int_equal(hx_rig_learn_at(&r, LEARNER, PG, 2000), 0);
    assert_int_equal(segment(&r)->fill->rate, 2000);
    assert_int_equal(learn(&r), 0);
    assert_int_equal(segment(&r)->fill->rate, 0);
    assert_true(until_filled(&r, 100));
    assert_int_equal(hx_rig_learn_at(&r, LEARNER, PG, 1000), 0); /* late: it has its pages */
    check_all(&r, &m);
    finish(&r, &m);
}

/* ---- sources ---- */
static int ask_at(struct hx_rig *r, unsigned i, unsigned type, uint64_t epoch, uint64_t point, const char *name,
                  uint32_t m)
{
    uint8_t b[HX_DIGEST_ASK], out[HX_MSG_HEAD + sizeof b];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    if (type == HX_MSG_DIGEST) {
        hx_digest_ask_encode(&(struct hx_digest_ask){HX_LSN(point), 0, 1, 1}, &e);
    } else {
        hx_enc_u64(&e, point);
        hx_enc_u32(&e, 1);
        hx_enc_u32(&e, 0);
    }
    struct hx_bytes body = {b, e.len};
    struct hx_msg_head h = {.type = (uint16_t)type, .req_id = 5, .volume = r->geometry.volume, .pg = PG, .m = m,
                            .epoch = HX_EPOCH(epoch), .server = hx_rig_uuid(100 + i)};
    struct hx_rig_reply a = {0};
    hx_msg_head_encode(&h, &body, 1, out);
    memcpy(out + HX_MSG_HEAD, b, e.len);
    hx_node_request(r->node[i], r->now_ms, 1, ++r->token, 1, HX_NODE_ROLE_SEGMENT, name,
                    (struct hx_bytes){out, HX_MSG_HEAD + e.len});
    hx_node_flush(r->node[i]);
    hx_rig_take(r, i, r->token, &a);
    int status = a.head.status;
    hx_rig_reply_fini(&a);
    return status;
}

/* Promise: pages go to a stranger only if it says that it learns, as of what is durable, from who has it all. */
static void a_source_refuses_what_it_does_not_know(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    (void)state;
    start(&r, &m, 5);
    m.vdl = m.acked - 2;
    work(&r, &m, 1, false);
    uint64_t hint = look(&r, 0).hint.v, scl = look(&r, 0).scl.v;
    assert_true(hint < scl);
    for (unsigned k = 0; k < 2; k++) {
        unsigned type = k ? HX_MSG_DIGEST : HX_MSG_READ;
        assert_int_equal(ask_at(&r, 0, type, 1, hint, "a3", UINT32_MAX), 0);
        assert_int_equal(ask_at(&r, 0, type, 1, hint, "a3", 0), HX_E_WRONG_MEMBER);
        assert_int_equal(ask_at(&r, 0, type, 1, hint + 1, "a3", UINT32_MAX), HX_E_LAGGING); /* H2 */
        assert_int_equal(ask_at(&r, 0, type, 1, hint + 1, "b1", 0), 0);                      /* a member may */
        assert_int_equal(ask_at(&r, 0, type, 2, hint, "a3", UINT32_MAX), HX_E_NEED_HISTORY); /* H3 */
    }
    r.cut[1] = true; /* behind, but knows the VDL */
    size_t n = hx_model_frame(&r, &m, 3);
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (i != 1)
            assert_int_equal(hx_rig_append(&r, i, 1, m.vdl, m.floor, r.frame, n, NULL), 0);
    m.acked = m.vdl = m.last;
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_append(&r, i, 1, m.vdl, m.floor, NULL, 0, NULL), 0);
    assert_int_equal(ask_at(&r, 1, HX_MSG_READ, 1, m.vdl, "a3", UINT32_MAX), HX_E_LAGGING);
    assert_int_equal(ask_at(&r, 0, HX_MSG_READ, 1, m.vdl, "a3", UINT32_MAX), 0);
    finish(&r, &m);
}

/* Until it has asked for pages: as of members that have more than any will have, once an opening has annulled what is
 * not durable. */
static int ahead(struct hx_rig *r, unsigned to, unsigned type, struct hx_rig_reply *a)
{
    static struct hx_segment_status st;
    (void)r;
    (void)to;
    if (a->head.status || type != HX_MSG_STATUS || seen.lagging)
        return 0;
    struct hx_dec d = hx_dec_init(a->bytes + HX_REPLY_HEAD + 4, a->body.len - 4);
    hx_segment_status_decode(&st, &d);
    assert_int_equal(d.err, 0);
    assert_int_equal(st.pg, PG);
    st.scl.v += 7;
    st.vdl.v += 7;
    struct hx_enc e = hx_enc_init(a->bytes + HX_REPLY_HEAD + 4, a->body.len - 4);
    hx_segment_status_encode(&st, &e);
    assert_int_equal(e.err, 0);
    struct hx_bytes body = {a->bytes + HX_REPLY_HEAD, a->body.len};
    hx_reply_head_encode(&a->head, &body, 1, a->bytes);
    return 0;
}

/* Promise (P6): a point that no member is complete to, nor will be while nobody writes, moves down. */
static void a_point_that_nobody_reaches_moves_down(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    (void)state;
    start(&r, &m, 7);
    seen.change = ahead;
    assert_int_equal(learn(&r), 0);
    assert_true(until_filled(&r, 3000));
    assert_true(seen.lagging > 0 && seen.points > 1);
    check_all(&r, &m);
    work(&r, &m, 20, false);
    until_equal(&r, &m);
    check_all(&r, &m);
    finish(&r, &m);
}

/* ---- answers that are wrong ---- */
static unsigned wrongs, wrong_kind;
static int spoil(struct hx_rig *r, unsigned to, unsigned type, struct hx_rig_reply *a)
{
    (void)r;
    if (a->head.status || type != HX_MSG_READ || to == 0 || to == 3)
        return 0;
    uint8_t *b = a->bytes + HX_REPLY_HEAD, *page = b;
    while (page < b + HX_FILL_RANGE * HX_READ_PAGE_BYTES && *page != HX_READ_RAW)
        page += HX_READ_PAGE_BYTES;
    if (page == b + HX_FILL_RANGE * HX_READ_PAGE_BYTES)
        return 0;
    size_t len = a->body.len;
    wrongs++;
    switch (wrong_kind) {
    case 0: page[4] ^= 1; break;                          /* crc of the page */
    case 1: hx_put_u64(page + 8, 1u << 30); break;        /* newer than what was asked for */
    case 2: hx_put_u64(page + 8, 0); break;               /* content without a record */
    case 3: page[0] = HX_READ_CORRUPT; len -= HX_PAGE_SIZE; break;
    case 4: page[0] = HX_READ_ZEROS; break;               /* bytes are left over */
    case 5: page[0] = 9; break;
    case 6: len -= HX_PAGE_SIZE; break;
    case 7: len = 100; break;
    default: b[len - 1] ^= 1; break;
    }
    struct hx_bytes body = {b, len};
    a->head.body_len = (uint32_t)len;
    hx_reply_head_encode(&a->head, &body, 1, a->bytes);
    a->body.len = len;
    return 0;
}

/* Promise: a page that is not whole, or not as of the point, is not taken, and asked of another one. */
static void wrong_answers_are_not_taken(void **state)
{
    (void)state;
    for (wrong_kind = 0; wrong_kind < 9; wrong_kind++) {
        struct hx_rig r;
        struct hx_model m;
        start(&r, &m, 6 + wrong_kind);
        wrongs = 0;
        seen.change = spoil;
        assert_int_equal(learn(&r), 0);
        assert_true(until_filled(&r, 3000));
        assert_true(wrongs > 0);
        check_all(&r, &m);
        finish(&r, &m);
    }
}

/* Promise: who is silent, or dead, is not waited for. */
static void two_members_are_enough(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    (void)state;
    start(&r, &m, 20);
    for (unsigned i = 0; i < 4; i++)
        r.cut[i] = true;
    assert_int_equal(learn(&r), 0);
    assert_true(until_filled(&r, 3000));
    check_all(&r, &m);
    finish(&r, &m);
}

/* ---- FORMAT ---- */
/* Promise: a learner is made where the geometry does not name the server, once, and follows members and history. */
static void the_format_of_a_learner(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    struct hx_geometry g = {0};
    struct hx_history h = {0};
    (void)state;
    start(&r, &m, 30);
    assert_int_equal(hx_rig_format_as(&r, LEARNER, PG, &r.geometry, &r.history, 1, -1), HX_E_WRONG_MEMBER);
    assert_int_equal(hx_rig_format_as(&r, LEARNER, PG, &r.geometry, &r.history, 1, 0), HX_E_WRONG_MEMBER);
    assert_int_equal(hx_rig_format_as(&r, 0, PG, &r.geometry, &r.history, 1, 1), HX_E_WRONG_MEMBER); /* it is one */
    assert_int_equal(hx_history_copy(&h, &r.history), 0);
    assert_int_equal(hx_history_push(&h, (struct hx_history_entry){HX_EPOCH(2), HX_LSN(m.acked), HX_LSN(m.acked + 2000),
                                                                   HX_RIG_LAL}), 0);
    /* Above the message's epoch. */
    assert_int_equal(hx_rig_format_as(&r, LEARNER, PG, &r.geometry, &h, 1, 1), HX_E_INVAL);
    assert_int_equal(learn(&r), 0);
    assert_int_equal(learn(&r), 0);
    assert_true(filling(&r));
    assert_int_equal(look(&r, LEARNER).promised.v, 1);
    assert_int_equal(hx_geometry_copy(&g, &r.geometry), 0);
    g.m = 1;
    g.pg_bytes *= 2; /* of another volume's size: its index and its pages would be others */
    assert_int_equal(hx_rig_format_as(&r, LEARNER, PG, &g, &r.history, 1, 1), 0);
    assert_int_equal(look(&r, LEARNER).geometry->m, 0);
    assert_true(look(&r, LEARNER).geometry->pg_bytes == GROUP);
    g.pg_bytes = GROUP;
    g.epoch = HX_EPOCH(2);
    assert_int_equal(hx_rig_format_as(&r, LEARNER, PG, &g, &h, 2, 1), 0); /* the next driver */
    assert_int_equal(look(&r, LEARNER).promised.v, 2);
    assert_int_equal(hx_history_top(look(&r, LEARNER).history).v, 2);
    assert_int_equal(look(&r, LEARNER).geometry->m, 1);
    assert_int_equal(learn(&r), HX_E_FENCED);
    assert_true(filling(&r));
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_adopt(&r, i, PG, 2, &h, NULL, NULL), 0);
    assert_true(until_filled(&r, 3000));
    assert_int_equal(look(&r, LEARNER).scl.v > 0, 1);
    assert_int_equal(hx_rig_format_as(&r, LEARNER, PG, &g, &h, 2, 1), 0); /* late: it has its pages */
    assert_false(filling(&r));
    hx_geometry_fini(&g);
    hx_history_fini(&h);
    finish(&r, &m);
}

/* Promise: what a growth left behind, which has no records, learns like an empty server. */
static void an_orphan_learns_too(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    struct hx_geometry g = {0};
    (void)state;
    start(&r, &m, 31);
    assert_int_equal(hx_geometry_copy(&g, &r.geometry), 0);
    struct hx_server s = {.name = "a3", .zone = "az-a", .url = "https://127.0.0.1:1",
                          .incarnation = hx_rig_uuid(100 + LEARNER)};
    assert_int_equal(hx_geometry_add_server(&g, &s), 0);
    g.pgs[PG].server[0] = 6;
    assert_int_equal(hx_rig_format_as(&r, LEARNER, PG, &g, &r.history, 1, -1), 0);
    assert_false(filling(&r));
    assert_int_equal(learn(&r), 0);
    assert_true(filling(&r));
    assert_true(until_filled(&r, 3000));
    check_all(&r, &m);
    hx_geometry_fini(&g);
    finish(&r, &m);
}

/* Promise: an epoch that comes meanwhile, with a cut, does not disturb it. */
static void histories_change_meanwhile(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct hx_rig r;
        struct hx_model m;
        struct hx_history h = {0};
        start(&r, &m, 40 + seed);
        learn_slowly(&r, 300u << 10);
        for (unsigned k = 0; k < seed * 3; k++)
            hx_rig_step(&r, 50);
        uint64_t vdl = m.vdl; /* what is above it goes */
        assert_int_equal(hx_history_copy(&h, &r.history), 0);
        assert_int_equal(hx_history_push(&h, (struct hx_history_entry){HX_EPOCH(2), HX_LSN(vdl), HX_LSN(vdl + 2000),
                                                                       HX_RIG_LAL}), 0);
        for (unsigned i = 0; i < HX_COPIES; i++)
            assert_int_equal(hx_rig_adopt(&r, i, PG, 2, &h, NULL, NULL), 0);
        assert_true(until_filled(&r, 3000));
        for (unsigned k = 0; k < 100; k++)
            hx_rig_step(&r, 100);
        assert_int_equal(look(&r, LEARNER).scl.v, look(&r, 0).scl.v);
        assert_int_equal(hx_history_top(look(&r, LEARNER).history).v, 2);
        for (uint32_t page = 0; page < HX_MODEL_PAGES; page++) {
            uint8_t want[HX_PAGE_SIZE], got[HX_PAGE_SIZE];
            uint64_t point = look(&r, LEARNER).scl.v;
            assert_int_equal(hx_rig_read(&r, LEARNER, PG, 2, point, page * STRIDE, got, NULL), 0);
            hx_model_fold(&m, page * STRIDE, point, want);
            assert_memory_equal(got, want, sizeof want);
        }
        hx_history_fini(&h);
        finish(&r, &m);
    }
}

/* ---- crashes, and disks ---- */
/* Promise: power may go at any call of the learner's disk: afterwards it has all pages, or goes on; never half. */
static void power_goes_at_every_call(void **state)
{
    (void)state;
    unsigned whole = 0, half = 0;
    for (uint64_t k = 1;; k++) {
        struct hx_rig r;
        struct hx_model m;
        start(&r, &m, 50);
        r.repair_bytes_per_s = 1u << 20;
        restart(&r);
        hx_mem_power_off_at(r.farm[LEARNER], k);
        bool made = learn(&r) == 0, through = false;
        for (unsigned i = 0; i < 400 && !hx_mem_is_off(r.farm[LEARNER]) && !through; i++) {
            hx_rig_step(&r, 50);
            through = !filling(&r) && look(&r, LEARNER).scl.v == m.acked;
            if (i == 3)
                work(&r, &m, 3, false);
        }
        bool off = hx_mem_is_off(r.farm[LEARNER]);
        hx_rig_stop(&r, LEARNER);
        hx_mem_crash(r.farm[LEARNER], k * 31);
        assert_int_equal(hx_rig_start(&r, LEARNER), 0);
        if (!segment(&r)) {
            assert_false(made);
            assert_int_equal(learn(&r), 0);
        }
        assert_int_equal(segment(&r)->error, 0);
        if (!filling(&r)) {
            whole++;
            check_all(&r, &m);
        } else {
            half++;
            assert_false(through);
            assert_int_equal(look(&r, LEARNER).scl.v, 0);
        }
        assert_true(until_filled(&r, 3000));
        until_equal(&r, &m);
        check_all(&r, &m);
        finish(&r, &m);
        if (!off)
            break;
    }
    assert_true(half > 20);
    assert_true(whole > 2);
}

/* Promise: a learner whose log is damaged begins again, with its promise. */
static void a_damaged_learner_begins_again(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    (void)state;
    start(&r, &m, 60);
    learn_slowly(&r, 100u << 10);
    while (!segment(&r)->fill || segment(&r)->fill->left > segment(&r)->fill->ranges / 4)
        hx_rig_step(&r, 50);
    assert_true(filling(&r));
    hx_rig_stop(&r, LEARNER);
    struct hx_disk_place at = hx_rig_place(&r, PG);
    size_t len;
    uint8_t *p = hx_mem_file(r.farm[LEARNER], &at, HX_LOG_FIRST_ID, &len);
    assert_non_null(p);
    p[HX_LOG_ENV + HX_FRAME_HEAD + 3] ^= 1;
    hx_mem_remove_file(r.farm[LEARNER], &at, HX_LOG_FIRST_ID | HX_LOG_SIDE_BIT);
    seen.pages = 0;
    assert_int_equal(hx_rig_start(&r, LEARNER), 0);
    assert_true(filling(&r));
    assert_int_equal(look(&r, LEARNER).promised.v, 1);
    assert_int_equal(look(&r, LEARNER).unknowns, 0);
    assert_true(until_filled(&r, 5000));
    assert_true(seen.pages >= GROUP / HX_PAGE_SIZE / 2); /* all that there is */
    check_all(&r, &m);
    restart(&r);
    check_all(&r, &m);
    finish(&r, &m);
}

/* After some pages all sources are behind: what one says of itself is an earlier point. */
static uint64_t earlier;
static int fall_behind(struct hx_rig *r, unsigned to, unsigned type, struct hx_rig_reply *a)
{
    (void)to;
    if (seen.reads <= 1 || !earlier)
        return 0;
    static struct hx_segment_status st;
    const struct hx_fill *f = segment(r)->fill;
    bool pages = type == HX_MSG_READ || type == HX_MSG_DIGEST;
    if (a->head.status || !(pages || type == HX_MSG_STATUS) || (pages && (!f || f->point <= earlier)))
        return 0;
    if (pages) {
        a->head.status = HX_E_LAGGING;
    } else {
        struct hx_dec d = hx_dec_init(a->bytes + HX_REPLY_HEAD + 4, a->body.len - 4);
        hx_segment_status_decode(&st, &d);
        st.scl = hx_lsn_min(st.scl, HX_LSN(earlier));
        struct hx_enc e = hx_enc_init(a->bytes + HX_REPLY_HEAD + 4, a->body.len - 4);
        hx_segment_status_encode(&st, &e);
        assert_int_equal(e.err, 0);
    }
    struct hx_bytes body = {a->bytes + HX_REPLY_HEAD, a->body.len};
    hx_reply_head_encode(&a->head, &body, 1, a->bytes);
    return 0;
}

/* Promise (H1): pages that were taken as of a later point than the one that it ends with are right from that later one
 * on: before it they are TOO_OLD, not zeros; also when it was restarted in between. */
static void a_point_that_moved_down_serves_nothing_before_it(void **state)
{
    (void)state;
    for (unsigned again = 0; again < 2; again++) {
        struct hx_rig r;
        struct hx_model m;
        start(&r, &m, 810 + again);
        m.vdl = m.acked;
        work(&r, &m, 1, false);
        earlier = look(&r, 0).scl.v - 20;
        for (unsigned k = 0; k < 10; k++)
            hx_rig_step(&r, 100);
        seen.change = fall_behind;
        learn_slowly(&r, 200u << 10);
        for (unsigned k = 0; filling(&r); k++) {
            assert_true(k < 5000);
            hx_rig_step(&r, 50);
            if (again && k % 40 == 39)
                restart(&r);
        }
        struct hx_segment_look l = look(&r, LEARNER);
        assert_int_equal(l.base.v, earlier);
        assert_true(l.oldest.v > earlier);
        seen.change = NULL;
        earlier = 0;
        work(&r, &m, 3, false);
        until_equal(&r, &m);
        check_all(&r, &m);
        for (uint64_t point = l.base.v; point <= look(&r, LEARNER).scl.v; point++)
            for (uint32_t page = 0; page < HX_MODEL_PAGES; page++) {
                uint8_t want[HX_PAGE_SIZE], got[HX_PAGE_SIZE];
                struct hx_read_page p;
                if (hx_rig_read(&r, LEARNER, PG, 1, point, page * STRIDE, got, &p) || p.state == HX_READ_CORRUPT)
                    continue;
                hx_model_fold(&m, page * STRIDE, point, want);
                assert_memory_equal(got, want, sizeof want);
            }
        finish(&r, &m);
    }
}

/* The last entry of the file that has a body: one byte of it. */
static bool flip_last(uint8_t *p, size_t len)
{
    size_t at = 0, off = 0;
    while (off + HX_LOG_ENV <= len && hx_get_u32(p + off) == HX_LOG_ENV_MAGIC) {
        uint32_t body = hx_get_u32(p + off + 8);
        at = body ? off + HX_LOG_ENV : at;
        off += HX_LOG_ENV + (body + (size_t)7) / 8 * 8;
    }
    if (at)
        p[at + HX_FRAME_HEAD + 3] ^= 1;
    return at != 0;
}

/* Promise (P7): what a learner has copied is no torn end: whatever entry of its log is damaged once it counts, as the
 * last one or not, it never answers with pages that lack it, and has all of them again from its peers. */
static void damage_of_what_was_learned_is_damage(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct hx_rig r;
        struct hx_model m;
        unsigned hurt = 0;
        start(&r, &m, 700 + seed);
        assert_int_equal(learn(&r), 0);
        assert_true(until_filled(&r, 5000));
        hx_rig_stop(&r, LEARNER);
        struct hx_disk_place at = hx_rig_place(&r, PG);
        for (uint64_t id = hx_mem_last_log(r.farm[LEARNER], &at); id >= HX_LOG_FIRST_ID && !hurt; id--) {
            size_t len;
            uint8_t *p = hx_mem_file(r.farm[LEARNER], &at, id, &len);
            hurt += p && flip_last(p, len);
            if (hurt)
                hx_mem_remove_file(r.farm[LEARNER], &at, id | HX_LOG_SIDE_BIT);
        }
        assert_int_equal(hurt, 1);
        assert_int_equal(hx_rig_start(&r, LEARNER), 0);
        uint64_t point = look(&r, LEARNER).scl.v;
        for (uint32_t page = 0; page < HX_MODEL_PAGES; page++) {
            uint8_t want[HX_PAGE_SIZE], got[HX_PAGE_SIZE];
            struct hx_read_page p;
            hx_model_fold(&m, page * STRIDE, point, want);
            if (hx_rig_read(&r, LEARNER, PG, 1, point, page * STRIDE, got, &p) == 0 && p.state != HX_READ_CORRUPT)
                assert_memory_equal(got, want, sizeof want);
        }
        for (unsigned k = 0; look(&r, LEARNER).unknowns; k++) {
            assert_true(k < 2000);
            hx_rig_step(&r, 100);
        }
        check_all(&r, &m);
        finish(&r, &m);
    }
}

/* Promise (W3): the same while it is filled: pages that are said to be done, and were damaged as the last entry of the
 * log, are copied again. */
static void damage_of_what_is_done_is_no_torn_end(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct hx_rig r;
        struct hx_model m;
        bool hurt = false;
        start(&r, &m, 720 + seed);
        learn_slowly(&r, 100u << 10);
        const struct hx_fill *f = NULL;
        for (unsigned k = 0; !f || f->left > f->ranges / 2; k++) {
            assert_true(k < 5000);
            hx_rig_step(&r, 50);
            f = segment(&r)->fill;
        }
        while (segment(&r)->fill && segment(&r)->fill->unsaved)
            hx_rig_step(&r, 50);
        assert_true(filling(&r));
        hx_rig_stop(&r, LEARNER);
        struct hx_disk_place at = hx_rig_place(&r, PG);
        for (uint64_t id = hx_mem_last_log(r.farm[LEARNER], &at); id >= HX_LOG_FIRST_ID && !hurt; id--) {
            size_t len;
            uint8_t *p = hx_mem_file(r.farm[LEARNER], &at, id, &len);
            hurt = p && flip_last(p, len);
            if (hurt)
                hx_mem_remove_file(r.farm[LEARNER], &at, id | HX_LOG_SIDE_BIT);
        }
        assert_true(hurt);
        assert_int_equal(hx_rig_start(&r, LEARNER), 0);
        assert_true(until_filled(&r, 5000));
        check_all(&r, &m);
        restart(&r);
        check_all(&r, &m);
        finish(&r, &m);
    }
}

static void count_lines(void *ctx, const char *text)
{
    *(unsigned *)ctx += strstr(text, "a learner") != NULL;
}

/* Promise: whoever looks into its store is told that it counts for nothing yet, and only then. */
static void the_tools_name_a_learner(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    struct hx_check_sum sum;
    unsigned lines = 0;
    (void)state;
    start(&r, &m, 65);
    learn_slowly(&r, 16u << 10);
    for (unsigned i = 0; i < 10; i++)
        hx_rig_step(&r, 50);
    assert_true(filling(&r));
    const struct hx_check_cfg cfg = {.server = hx_rig_uuid(100 + LEARNER), .farm = hx_mem_farm(r.farm[LEARNER]),
                                     .line = count_lines, .ctx = &lines};
    for (unsigned k = 0; k < 2; k++) {
        hx_rig_stop(&r, LEARNER);
        lines = 0;
        assert_int_equal(hx_check_all(&cfg, &sum), 0);
        assert_int_equal(sum.damaged + sum.refused + sum.unread, 0);
        assert_int_equal(lines, !k);
        assert_int_equal(hx_rig_start(&r, LEARNER), 0);
        assert_true(until_filled(&r, 5000));
    }
    finish(&r, &m);
}

/* Promise: a file that says how far it is counts only whole, of this segment, and of this life. */
static void a_position_that_is_not_its_own(void **state)
{
    (void)state;
    enum { SUM, HEAD_SUM, SALT, NEWER, SHORT, RANGES, POINT, SINCE, KINDS };
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct hx_rig r;
        struct hx_model m;
        struct hx_disk_place at;
        start(&r, &m, 70);
        at = hx_rig_place(&r, PG);
        learn_slowly(&r, 100u << 10);
        while (!segment(&r)->fill || segment(&r)->fill->left > segment(&r)->fill->ranges / 2)
            hx_rig_step(&r, 50);
        hx_rig_stop(&r, LEARNER);
        for (uint64_t id = HX_FILL_FILE; id <= HX_FILL_FILE + 1; id++) {
            size_t len;
            uint8_t *p = hx_mem_file(r.farm[LEARNER], &at, id, &len);
            assert_non_null(p);
            assert_int_equal(len, HX_FILL_HEAD + 2 * (GROUP / HX_PAGE_SIZE / HX_FILL_RANGE / 8));
            if (kind == SUM)
                p[HX_FILL_HEAD] ^= 1; /* another range */
            else if (kind == HEAD_SUM)
                p[8] ^= 1;
            else if (kind == SALT)
                hx_put_u32(p + 36, 77); /* another segment's, with good sums, as all that follow */
            else if (kind == NEWER)
                hx_put_u16(p + 4, 99); /* of a newer program */
            else if (kind == RANGES)
                hx_put_u32(p + 32, GROUP / HX_PAGE_SIZE / HX_FILL_RANGE + 1);
            else if (kind == POINT)
                hx_put_u64(p + 16, UINT64_MAX);
            else if (kind == SINCE)
                hx_put_u64(p + 24, hx_get_u64(p + 16) + 1);
            hx_put_u32(p + HX_FILL_HEAD - 4, kind == HEAD_SUM ? 5 : hx_crc32c(0, p, HX_FILL_HEAD - 4));
            if (kind == SHORT)
                hx_mem_truncate(r.farm[LEARNER], &at, id, len - 1);
        }
        assert_int_equal(hx_rig_start(&r, LEARNER), 0);
        assert_true(filling(&r));
        hx_node_tick(r.node[LEARNER], r.now_ms);
        if (kind == NEWER) {
            assert_int_equal(segment(&r)->error, HX_E_VERSION);
        } else {
            assert_int_equal(segment(&r)->fill->left, segment(&r)->fill->ranges); /* from the start */
            assert_true(until_filled(&r, 5000));
            check_all(&r, &m);
        }
        finish(&r, &m);
    }
}

/* Promise: on a full disk it waits, and goes on when there is room. */
static void a_full_disk_is_waited_for(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    (void)state;
    start(&r, &m, 80);
    hx_mem_limit(r.farm[LEARNER], 56u << 10);
    assert_int_equal(learn(&r), 0);
    for (unsigned k = 0; k < 100; k++)
        hx_rig_step(&r, 50);
    assert_true(filling(&r));
    assert_true(segment(&r)->nospace || segment(&r)->reserve.tight);
    hx_mem_limit(r.farm[LEARNER], 0);
    assert_true(until_filled(&r, 3000));
    check_all(&r, &m);
    finish(&r, &m);
}

/* Promise: a disk that fails is read again, and the learner goes on. */
static void a_disk_that_failed_is_gone_on_with(void **state)
{
    (void)state;
    for (uint64_t k = 5; k < 30; k += 4) {
        struct hx_rig r;
        struct hx_model m;
        start(&r, &m, 90);
        assert_int_equal(learn(&r), 0);
        hx_mem_fail(r.farm[LEARNER], HX_MEM_FLUSH, k, HX_E_IO, false);
        assert_true(until_filled(&r, 3000));
        for (unsigned i = 0; i < 100 && segment(&r)->error; i++)
            hx_rig_step(&r, 500);
        check_all(&r, &m);
        finish(&r, &m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_learner_counts_when_it_has_all),
        cmocka_unit_test(a_point_that_is_given_up_moves_on),
        cmocka_unit_test(a_point_that_moves_twice),
        cmocka_unit_test(a_restart_goes_on),
        cmocka_unit_test(it_keeps_to_its_rate),
        cmocka_unit_test(it_keeps_to_what_its_driver_allows),
        cmocka_unit_test(the_last_word_about_its_rate_counts),
        cmocka_unit_test(a_source_refuses_what_it_does_not_know),
        cmocka_unit_test(a_point_that_nobody_reaches_moves_down),
        cmocka_unit_test(wrong_answers_are_not_taken),
        cmocka_unit_test(two_members_are_enough),
        cmocka_unit_test(the_format_of_a_learner),
        cmocka_unit_test(an_orphan_learns_too),
        cmocka_unit_test(histories_change_meanwhile),
        cmocka_unit_test(power_goes_at_every_call),
        cmocka_unit_test(a_damaged_learner_begins_again),
        cmocka_unit_test(damage_of_what_was_learned_is_damage),
        cmocka_unit_test(damage_of_what_is_done_is_no_torn_end),
        cmocka_unit_test(a_point_that_moved_down_serves_nothing_before_it),
        cmocka_unit_test(the_tools_name_a_learner),
        cmocka_unit_test(a_position_that_is_not_its_own),
        cmocka_unit_test(a_full_disk_is_waited_for),
        cmocka_unit_test(a_disk_that_failed_is_gone_on_with),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("hydrate", tests, NULL, NULL);
}
