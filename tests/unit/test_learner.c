/*
 * test_learner.c - a learner that hears nonsense, whose disk is full or fails, that is not the only one on its server,
 * or has next to nothing to learn.
 *
 * Method: learner_kit.h, as test_hydrate.c.  What is said to it is changed as a peer could say it: with good sums.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "learner_kit.h"

/* ---- answers ---- */
static unsigned lie, lies; /* which kind; how often it was told */

/* The body of A was changed in place, and is LEN bytes long. */
static void say(struct hx_rig_reply *a, size_t len)
{
    struct hx_bytes body = {a->bytes + HX_REPLY_HEAD, len};
    a->head.body_len = (uint32_t)len;
    hx_reply_head_encode(&a->head, &body, 1, a->bytes);
    a->body = body;
    lies++;
}

static struct hx_segment_status status_in(const struct hx_rig_reply *a)
{
    struct hx_segment_status st;
    struct hx_dec d = hx_dec_init(a->body.p, a->body.len);
    assert_int_equal(hx_dec_u32(&d), 1);
    hx_segment_status_decode(&st, &d);
    assert_int_equal(d.err, 0); /* its life and the rest of it follow */
    return st;
}

static void say_status(struct hx_rig_reply *a, uint32_t count, const struct hx_segment_status *st, size_t cut)
{
    struct hx_enc e = hx_enc_init(a->bytes + HX_REPLY_HEAD, a->body.len);
    hx_enc_u32(&e, count);
    hx_segment_status_encode(st, &e);
    assert_true(!e.err && e.len <= a->body.len);
    say(a, cut ? e.len - cut : a->body.len); /* cut in the entry itself: the learner looks no further */
}

enum { NO_ENTRY, CUT, OTHER_PG, OTHER_VOLUME, FAILED, LEARNS, OTHER_EPOCH, WRONG_STATUS };
static int wrong_status(struct hx_rig *r, unsigned to, unsigned type, struct hx_rig_reply *a)
{
    (void)r;
    if (type != HX_MSG_STATUS || to >= 4)
        return 0;
    struct hx_segment_status st = status_in(a);
    st.scl.v += 500; /* it would be aimed at for ever */
    st.vdl.v += 500;
    st.pg ^= lie == OTHER_PG;
    st.volume.b[0] ^= lie == OTHER_VOLUME;
    st.state = lie == FAILED ? HX_E_POISONED : lie == LEARNS ? HX_E_LAGGING : st.state;
    st.top.v += lie == OTHER_EPOCH;
    say_status(a, lie == NO_ENTRY ? 0 : lie == CUT ? 2 : 1, &st, lie == CUT);
    return 0;
}

/* Promise (P1): a point comes from a whole member of this group, with the own history, and from nobody else. */
static void a_point_that_is_no_members_is_not_taken(void **state)
{
    (void)state;
    for (lie = 0; lie < WRONG_STATUS; lie++) {
        struct hx_rig r;
        struct hx_model m;
        start(&r, &m, 100);
        seen.change = wrong_status;
        lies = 0;
        assert_int_equal(learn(&r), 0);
        for (unsigned k = 0; k < 1000 && filling(&r); k++) {
            hx_rig_step(&r, 50);
            assert_true(!segment(&r)->fill || segment(&r)->fill->point <= m.acked);
        }
        assert_false(filling(&r));
        assert_int_equal(lies, 4); /* each was asked, once */
        assert_int_equal(seen.points, 5);
        check_all(&r, &m);
        finish(&r, &m);
    }
}

static int in_need(struct hx_rig *r, unsigned to, unsigned type, struct hx_rig_reply *a)
{
    (void)r;
    (void)to;
    if (type != HX_MSG_STATUS)
        return 0;
    struct hx_segment_status st = status_in(a);
    st.state = (int)lie;
    say_status(a, 1, &st, 0);
    return 0;
}

/* Promise (P1): a member with a full disk, or with a page damaged, is as good as any. */
static void a_member_in_need_gives_a_point(void **state)
{
    (void)state;
    const int states[] = {HX_E_NOSPACE, HX_E_CORRUPT};
    for (unsigned k = 0; k < HX_ARRAY_LEN(states); k++) {
        struct hx_rig r;
        struct hx_model m;
        start(&r, &m, 110);
        seen.change = in_need;
        lie = (unsigned)states[k];
        assert_int_equal(learn(&r), 0);
        assert_true(until_filled(&r, 1000));
        assert_int_equal(seen.points, 1);
        check_all(&r, &m);
        finish(&r, &m);
    }
}

/* ---- a point that moves ---- */
/* So slowly that the members give the point up meanwhile; true: the learner had to ask what was newer. */
static bool learn_while_it_moves(struct hx_rig *r, struct hx_model *m)
{
    learn_slowly(r, 24u << 10);
    for (unsigned k = 0; filling(r); k++) {
        assert_true(k < 3000);
        if (k % 8 == 0 && k < 64) {
            m->floor = m->vdl;
            work(r, m, 5, k % 3 == 0);
        }
        hx_rig_step(r, 50);
        assert_true(!segment(r)->fill || segment(r)->fill->point <= m->acked);
    }
    return seen.too_old && seen.digests;
}

static int nothing_new(struct hx_rig *r, unsigned to, unsigned type, struct hx_rig_reply *a)
{
    const struct hx_fill *f = segment(r)->fill;
    if (type != HX_MSG_STATUS || to == 0 || !f->pointed)
        return 0;
    struct hx_segment_status st = status_in(a);
    st.scl.v = st.vdl.v = f->point;
    say_status(a, 1, &st, 0);
    return 0;
}

static int wrong_heads(struct hx_rig *r, unsigned to, unsigned type, struct hx_rig_reply *a)
{
    (void)r;
    if (type != HX_MSG_DIGEST || a->head.status)
        return 0;
    uint8_t *b = a->bytes + HX_REPLY_HEAD;
    size_t len = a->body.len;
    if (lie == 0 && len > HX_READ_PAGE_BYTES) /* as many as it liked to look at */
        say(a, HX_READ_PAGE_BYTES);
    if (lie == 1 && to < 3)
        say(a, len - 5);
    if (lie == 2 && to < 3) { /* bytes are left over: one head more than there are ranges */
        a->bytes = realloc(a->bytes, HX_REPLY_HEAD + len + HX_READ_PAGE_BYTES);
        assert_non_null(a->bytes);
        memset(a->bytes + HX_REPLY_HEAD + len, 0, HX_READ_PAGE_BYTES);
        say(a, len + HX_READ_PAGE_BYTES);
    }
    if (lie == 3) {
        for (uint8_t *p = b; p < b + len; p += HX_READ_PAGE_BYTES) {
            *p = HX_READ_CORRUPT;
            hx_put_u64(p + 8, 0);
        }
        say(a, len);
    }
    return 0;
}

/* Promise (P3): when its point is given up, a learner takes a later one only, and what is newer is asked for again,
 * whatever of the answers about it is short, cut, too long, or says that a page is damaged. */
static void what_is_newer_is_asked_for_again(void **state)
{
    (void)state;
    for (lie = 0; lie < 5; lie++) {
        unsigned moved = 0;
        lies = 0;
        for (uint64_t seed = 1; seed <= 8; seed++) {
            struct hx_rig r;
            struct hx_model m;
            start(&r, &m, seed);
            seen.change = lie == 4 ? nothing_new : wrong_heads;
            moved += learn_while_it_moves(&r, &m);
            check_all(&r, &m);
            until_equal(&r, &m);
            check_all(&r, &m);
            finish(&r, &m);
        }
        assert_true(moved >= 4);
        assert_true(lies > 0);
    }
}

/* ---- much of nothing, and much ---- */
/* Promise (P4): nothing costs next to nothing: a group of 1 GiB without a page takes no more questions than READ has
 * to have, and a restart in the middle begins nothing anew; then the learner takes part in what comes.  (M10): nor does
 * its own FORMAT make a learner of it when it comes again. */
static void an_empty_group_is_learned_with_few_questions(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    const uint64_t bytes = 1u << 30, least = bytes / HX_PAGE_SIZE / HX_READ_PAGES_MAX;
    uint32_t left;
    (void)state;
    memset(&seen, 0, sizeof seen);
    hx_model_init(&m, 1);
    m.stride = STRIDE;
    hx_rig_init(&r, HX_COPIES + 1, bytes, 2, 64u << 10);
    r.edit = edit;
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_format(&r, i, PG), 0);
    learn_slowly(&r, 2u << 20);
    for (unsigned k = 0; !segment(&r)->fill || segment(&r)->fill->left > segment(&r)->fill->ranges / 2; k++) {
        assert_true(k < 1000);
        hx_rig_step(&r, 50);
    }
    left = segment(&r)->fill->left + segment(&r)->fill->unsaved;
    assert_true(left < segment(&r)->fill->ranges);
    restart(&r);
    hx_node_tick(r.node[LEARNER], r.now_ms);
    assert_true(segment(&r)->fill->left <= left);
    assert_true(until_filled(&r, 1000));
    assert_true(seen.reads >= least);
    assert_true(seen.reads <= least + 60); /* both lives began with small ones */
    assert_int_equal(look(&r, LEARNER).scl.v, 0);
    assert_int_equal(learn(&r), 0); /* the same FORMAT, late: nothing is there, and it learns nothing again */
    assert_false(filling(&r));
    work(&r, &m, 20, true);
    until_equal(&r, &m);
    check_all(&r, &m);
    finish(&r, &m);
}

static unsigned most_calls;
static void count_calls(struct hx_rig *r, unsigned from, unsigned type)
{
    const struct hx_node *n = r->node[LEARNER];
    unsigned count = 0;
    (void)type;
    for (size_t i = 0; from == LEARNER && i < n->call_count; i++)
        count += n->calls[i].fill;
    most_calls = count > most_calls ? count : most_calls;
}

/* Promise: a server that learns many groups has room left for other questions, and learns them all. */
static void several_groups_are_learned_at_once(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    const unsigned groups = 6;
    unsigned left = groups;
    (void)state;
    memset(&seen, 0, sizeof seen);
    hx_model_init(&m, 2);
    m.stride = STRIDE;
    hx_rig_init(&r, HX_COPIES + 1, GROUP, groups, 64u << 10);
    r.edit = edit;
    r.hook = count_calls;
    most_calls = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        for (uint32_t pg = 0; pg < groups; pg++)
            assert_int_equal(hx_rig_format(&r, i, pg), 0);
    work(&r, &m, 100, false);
    for (uint32_t pg = 0; pg < groups; pg++)
        assert_int_equal(hx_rig_learn(&r, LEARNER, pg), 0);
    for (unsigned k = 0; k < 1000 && left; k++) {
        hx_rig_step(&r, 50);
        left = 0;
        for (size_t i = 0; i < groups; i++)
            left += r.node[LEARNER]->segs[i]->filling;
    }
    assert_int_equal(left, 0);
    assert_true(most_calls > HX_FILL_JOBS);
    assert_true(most_calls <= 33); /* the one that is being answered is not there any more, another one is */
    until_equal(&r, &m);
    check_all(&r, &m);
    finish(&r, &m);
}

/* Noise in page PAGE and on, COUNT of them, for servers 0 and 1. */
static void put_noise(struct hx_rig *r, uint64_t lsn, uint32_t page, uint32_t count)
{
    static uint8_t noise[HX_FILL_RANGE][HX_PAGE_SIZE];
    struct hx_rig_rec recs[HX_FILL_RANGE];
    struct hx_model dice = {.rng = lsn};
    for (uint32_t i = 0; i < count; i++) {
        for (size_t k = 0; k < HX_PAGE_SIZE; k += 8)
            hx_put_u64(noise[i] + k, hx_model_dice(&dice) | UINT64_C(1) << 63);
        recs[i] = (struct hx_rig_rec){lsn + i, page + i, HX_REC_IMAGE, HX_REC_CPL, noise[i], HX_PAGE_SIZE};
    }
    size_t n = hx_rig_frame(r, PG, 1, lsn - 1, recs, count, (struct hx_rig_marks){0});
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(hx_rig_append(r, i, 1, lsn + count - 1, 0, r->frame, n, NULL), 0);
}

static size_t most_batch;
static void look_at_batch(struct hx_rig *r, unsigned from, unsigned type)
{
    (void)type;
    if (from == LEARNER && segment(r)->log.batch.len > most_batch)
        most_batch = segment(r)->log.batch.len;
}

/* Promise: answers of 4 MiB that come all at once, before anything is flushed, do not pile up in memory. */
static void answers_that_come_together_do_not_pile_up(void **state)
{
    struct hx_rig r;
    const uint32_t group = 64u << 20, empty = 145 * HX_FILL_RANGE, full = 64 * HX_FILL_RANGE, bunch = HX_FILL_RANGE / 2;
    uint64_t lsn = 1;
    (void)state;
    memset(&seen, 0, sizeof seen);
    hx_rig_init(&r, HX_COPIES + 1, group, 2, 4u << 20);
    r.edit = edit;
    r.hook = look_at_batch;
    r.repair_bytes_per_s = 1u << 30;
    restart(&r);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(hx_rig_format(&r, i, PG), 0);
    for (unsigned i = 2; i < HX_COPIES; i++)
        r.cut[i] = true;
    for (uint32_t page = empty; page < empty + full; page += bunch, lsn += bunch)
        put_noise(&r, lsn, page, bunch);
    most_batch = 0;
    assert_int_equal(learn(&r), 0);
    r.lazy = true;
    assert_true(until_filled(&r, 200));
    assert_true(most_batch > 4u << 20);
    assert_true(most_batch < HX_LOG_BATCH_MAX + (5u << 20));
    for (uint32_t page = empty - 1; page <= empty + full; page += 31) {
        uint8_t theirs[HX_PAGE_SIZE], own[HX_PAGE_SIZE];
        struct hx_read_page p, q;
        assert_int_equal(hx_rig_read(&r, 0, PG, 1, lsn - 1, page, theirs, &p), 0);
        assert_int_equal(hx_rig_read(&r, LEARNER, PG, 1, lsn - 1, page, own, &q), 0);
        assert_int_equal(p.lsn.v, q.lsn.v);
        assert_memory_equal(theirs, own, HX_PAGE_SIZE);
    }
    hx_rig_fini(&r);
}

/* Promise: that a geometry knows its disk under another name does not make a learner ask itself. */
static void it_does_not_ask_itself(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    struct hx_geometry g = {0};
    (void)state;
    start(&r, &m, 120);
    assert_int_equal(hx_geometry_copy(&g, &r.geometry), 0);
    g.servers[2].incarnation = hx_rig_uuid(100 + LEARNER);
    assert_int_equal(hx_rig_format_as(&r, LEARNER, PG, &g, &r.history, 1, 1), 0);
    assert_true(until_filled(&r, 1000));
    assert_int_equal(seen.sources & 1u << 2, 0);
    check_all(&r, &m);
    hx_geometry_fini(&g);
    finish(&r, &m);
}

/* ---- disks ---- */
static struct hx_model *full_model;
static int fill_up(struct hx_rig *r, unsigned to, unsigned type, struct hx_rig_reply *a)
{
    (void)to;
    (void)a;
    if (type != HX_MSG_STATUS || lies++)
        return 0;
    uint64_t next = full_model->last + 1;
    size_t n = hx_rig_run(r, PG, 1, next - 1, next, 1, 0);
    hx_mem_limit(r->farm[LEARNER], 1);
    assert_int_equal(hx_rig_append(r, LEARNER, 1, 0, 0, r->frame, n, NULL), HX_E_NOSPACE);
    return 0;
}

/* Promise: a learner whose disk gets full while it is told its point writes nothing, says what is the matter, and goes
 * on when there is room; also after a restart that finds the disk full. */
static void a_disk_that_gets_full_meanwhile(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    struct hx_segment_status st;
    struct hx_disk_place at;
    size_t len;
    (void)state;
    start(&r, &m, 130);
    at = hx_rig_place(&r, PG);
    full_model = &m;
    seen.change = fill_up;
    lies = 0;
    assert_int_equal(learn(&r), 0);
    for (unsigned k = 0; k < 20; k++)
        hx_rig_step(&r, 50);
    assert_true(filling(&r) && segment(&r)->fill->pointed);
    assert_null(hx_mem_file(r.farm[LEARNER], &at, HX_FILL_FILE, &len));
    assert_null(hx_mem_file(r.farm[LEARNER], &at, HX_FILL_FILE + 1, &len));
    assert_int_equal(hx_rig_status(&r, LEARNER, PG, &st), 0);
    assert_int_equal(st.state, HX_E_NOSPACE);
    restart(&r);
    for (unsigned k = 0; k < 20; k++) {
        hx_rig_step(&r, 50);
        assert_true(filling(&r));
    }
    assert_true(seen.reads <= HX_FILL_JOBS); /* what it asked for before it knew */
    hx_mem_limit(r.farm[LEARNER], 0);
    assert_true(until_filled(&r, 3000));
    check_all(&r, &m);
    finish(&r, &m);
}

/* Promise: a learner that starts without its reserve on a disk with room makes that first, for more than a tick. */
static void the_reserve_comes_first(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    struct hx_disk_place at;
    unsigned waited = 0;
    (void)state;
    memset(&seen, 0, sizeof seen);
    hx_model_init(&m, 3);
    m.stride = STRIDE;
    hx_rig_init(&r, HX_COPIES + 1, 64u << 20, 2, 16u << 20);
    r.edit = edit;
    at = hx_rig_place(&r, PG);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_format(&r, i, PG), 0);
    work(&r, &m, 100, false);
    learn_slowly(&r, 100u << 10);
    work(&r, &m, 20, true);
    while (!segment(&r)->fill || segment(&r)->fill->left == segment(&r)->fill->ranges)
        hx_rig_step(&r, 50);
    hx_rig_stop(&r, LEARNER);
    hx_mem_remove_file(r.farm[LEARNER], &at, HX_RESERVE_FILE);
    assert_int_equal(hx_rig_start(&r, LEARNER), 0);
    for (unsigned k = 0; k < 3000 && filling(&r); k++) {
        unsigned was = seen.reads;
        bool tight = segment(&r)->reserve.tight;
        hx_rig_step(&r, 50);
        assert_true(!tight || seen.reads == was);
        waited += tight;
    }
    assert_false(filling(&r));
    assert_true(waited > 0);
    until_equal(&r, &m);
    check_all(&r, &m);
    finish(&r, &m);
}

static unsigned fail_read;
static bool unloaded;
static void fail_between(struct hx_rig *r, unsigned from, unsigned type)
{
    uint64_t next = full_model->last + 1;
    if (from != LEARNER || type != HX_MSG_READ || lies++)
        return;
    size_t n = hx_rig_run(r, PG, 1, next - 1, next, 1, 0);
    hx_mem_fail(r->farm[LEARNER], HX_MEM_FLUSH, 1, HX_E_IO, false);
    assert_int_not_equal(hx_rig_append(r, LEARNER, 1, 0, 0, r->frame, n, NULL), 0);
    assert_int_not_equal(segment(r)->error, 0);
    hx_mem_fail_read(r->farm[LEARNER], fail_read, HX_E_NOMEM);
    hx_node_tick(r->node[LEARNER], r->now_ms); /* it is read again (revive.c) */
    unloaded |= !segment(r)->error && !segment(r)->fill;
}

/* Promise: answers to a life of the segment that ended with its disk are nobody's, wherever the next one stands. */
static void answers_to_a_former_life_are_nobodys(void **state)
{
    (void)state;
    unloaded = false;
    for (fail_read = 0; fail_read < 24; fail_read++) {
        struct hx_rig r;
        struct hx_model m;
        start(&r, &m, 140);
        full_model = &m;
        lies = 0;
        r.hook = fail_between;
        assert_int_equal(learn(&r), 0);
        for (unsigned k = 0; k < 1000 && (filling(&r) || segment(&r)->error); k++)
            hx_rig_step(&r, 200);
        hx_mem_fail_read(r.farm[LEARNER], 0, 0);
        assert_int_equal(segment(&r)->error, 0);
        assert_false(filling(&r));
        assert_true(lies > 1);
        for (unsigned k = 0; k < 400 && look(&r, LEARNER).scl.v < m.acked; k++)
            hx_rig_step(&r, 100);
        check_at(&r, &m, m.acked);
        finish(&r, &m);
    }
    assert_true(unloaded); /* one of the reads was that of its position */
}

/* Promise: no memory for the position is no reason to begin anew. */
static void a_position_that_cannot_be_read_now(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    (void)state;
    start(&r, &m, 150);
    learn_slowly(&r, 100u << 10);
    while (!segment(&r)->fill || segment(&r)->fill->left > segment(&r)->fill->ranges / 2)
        hx_rig_step(&r, 50);
    uint32_t left = segment(&r)->fill->left + segment(&r)->fill->unsaved;
    assert_true(left < segment(&r)->fill->ranges);
    restart(&r);
    hx_mem_fail_read(r.farm[LEARNER], 1, HX_E_NOMEM);
    hx_node_tick(r.node[LEARNER], r.now_ms);
    assert_true(hx_mem_read_failed(r.farm[LEARNER]));
    assert_null(segment(&r)->fill);
    assert_int_equal(segment(&r)->error, 0);
    hx_node_tick(r.node[LEARNER], r.now_ms);
    assert_true(segment(&r)->fill->left <= left);
    assert_true(until_filled(&r, 3000));
    check_all(&r, &m);
    finish(&r, &m);
}

/* A learner that has most of its pages, in many log files, and is stopped. */
static void most_of_it(struct hx_rig *r, struct hx_model *m)
{
    start(r, m, 160);
    r->log_file_bytes = 16u << 10;
    learn_slowly(r, 100u << 10);
    while (!segment(r)->fill || segment(r)->fill->left > segment(r)->fill->ranges / 4)
        hx_rig_step(r, 50);
    r->cut[LEARNER] = true; /* time for sidecars */
    for (unsigned k = 0; k < 20; k++)
        hx_rig_step(r, 50);
    r->cut[LEARNER] = false;
    assert_true(filling(r));
    hx_rig_stop(r, LEARNER);
}

/* Promise (W2): a learner that has lost a log file begins again; also when its disk fails in the middle of that. */
static void a_learner_that_lost_a_file_begins_again(void **state)
{
    (void)state;
    unsigned failed = 0;
    size_t len;
    for (unsigned fail = 0; fail < 6; fail++) {
        struct hx_rig r;
        struct hx_model m;
        most_of_it(&r, &m);
        struct hx_disk_place at = hx_rig_place(&r, PG);
        assert_true(hx_mem_last_log(r.farm[LEARNER], &at) > HX_LOG_FIRST_ID);
        assert_non_null(hx_mem_file(r.farm[LEARNER], &at, HX_LOG_FIRST_ID | HX_LOG_SIDE_BIT, &len));
        hx_mem_remove_file(r.farm[LEARNER], &at, HX_LOG_FIRST_ID);
        if (fail)
            hx_mem_fail(r.farm[LEARNER], HX_MEM_REMOVE, fail, HX_E_IO, false);
        seen.pages = 0;
        assert_int_equal(hx_rig_start(&r, LEARNER), 0);
        failed += segment(&r)->error != 0;
        for (unsigned k = 0; k < 3000 && (segment(&r)->error || filling(&r)); k++)
            hx_rig_step(&r, 50);
        assert_int_equal(segment(&r)->error, 0);
        assert_false(filling(&r));
        assert_int_equal(seen.pages, GROUP / HX_PAGE_SIZE);
        check_all(&r, &m);
        finish(&r, &m);
    }
    assert_true(failed > 2); /* the others have nothing left to remove */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_point_that_is_no_members_is_not_taken),
        cmocka_unit_test(a_member_in_need_gives_a_point),
        cmocka_unit_test(what_is_newer_is_asked_for_again),
        cmocka_unit_test(an_empty_group_is_learned_with_few_questions),
        cmocka_unit_test(several_groups_are_learned_at_once),
        cmocka_unit_test(answers_that_come_together_do_not_pile_up),
        cmocka_unit_test(it_does_not_ask_itself),
        cmocka_unit_test(a_disk_that_gets_full_meanwhile),
        cmocka_unit_test(the_reserve_comes_first),
        cmocka_unit_test(answers_to_a_former_life_are_nobodys),
        cmocka_unit_test(a_position_that_cannot_be_read_now),
        cmocka_unit_test(a_learner_that_lost_a_file_begins_again),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("learner", tests, NULL, NULL);
}
