/*
 * test_recovery_repair.c - step 6 and 7 of opening against members that give wrong records, claim positions that
 * nobody can have, forget segments, or answer what cannot be read.
 *
 * Method: as test_recovery_lies.c.  What is written back must be what was written once, byte for byte, and from one
 * liar alone the opening recovers by asking another member.
 */
#include "recovery_kit.h"

#include "hexad/crc.h"
#include "hexad/frame.h"

/* ---- FETCH ---- */

/* Changes the frame of LSN 2 in the answer, and makes its sums right. */
struct second {
    struct hx_frame_head h;
    uint8_t *at; /* NULL: it is not there */
    size_t before;
};

static struct second second_of(uint8_t *body, size_t len)
{
    struct second s = {.before = 0};
    while (s.before < len) {
        assert_int_equal(hx_frame_head_decode(body + s.before, len - s.before, &s.h), 0);
        assert_int_equal(s.h.codec, 0);
        s.at = body + s.before;
        if (s.h.first.v == 2)
            return s;
        s.before += hx_frame_bytes(&s.h);
    }
    s.at = NULL;
    return s;
}

static void seal(struct second *s)
{
    s->h.body_crc = hx_crc32c(0, s->at + HX_FRAME_HEAD, s->h.body_len);
    hx_frame_head_encode(&s->h, s->at);
}

#define SECOND(name, change)                                                       \
    static void name(struct hx_reply_head *rh, uint8_t *body, size_t *len)         \
    {                                                                              \
        struct second s = second_of(body, *len);                                   \
        (void)rh;                                                                  \
        if (s.at != NULL)                                                          \
            change;                                                                \
    }
SECOND(other_group, (s.h.pg++, seal(&s)))
SECOND(other_volume, (s.h.volume.b[0] ^= 1, seal(&s)))
SECOND(other_epoch, (s.h.epoch.v++, seal(&s)))
SECOND(other_prev, (s.h.prev.v--, seal(&s)))
SECOND(other_end, (s.at[HX_FRAME_HEAD + 11] ^= HX_REC_CPL, seal(&s)))
SECOND(other_page, (s.at[HX_FRAME_HEAD + 4] ^= 1, seal(&s)))
SECOND(other_kind, (s.at[HX_FRAME_HEAD + 10] = HX_REC_SPARSE, seal(&s)))
SECOND(no_kind, (s.at[HX_FRAME_HEAD + 10] = 99, seal(&s)))
SECOND(other_bytes, (s.at[HX_FRAME_HEAD + HX_REC_HEAD] ^= 1, seal(&s)))
SECOND(bad_body, s.at[HX_FRAME_HEAD + HX_REC_HEAD] ^= 1)
SECOND(bad_head, s.at[0] ^= 1)
SECOND(half_a_head, *len = s.before + 50)
SECOND(half_a_body, *len = s.before + hx_frame_bytes(&s.h) - 1)
SECOND(not_given, *len = s.before)
SECOND(never_asked, (s.h.first.v = s.h.last.v = 500, seal(&s)))
SECOND(twice, (memcpy(s.at, body, s.before), *len = s.before + s.before))

static const struct {
    void (*tell)(struct hx_reply_head *rh, uint8_t *body, size_t *len);
    const char *name;
} wrong_records[] = {
#define ROW(name) {name, #name}
    ROW(other_group), ROW(other_volume), ROW(other_epoch), ROW(other_prev), ROW(other_end), ROW(other_page),
    ROW(other_kind),  ROW(no_kind),      ROW(other_bytes), ROW(bad_body),   ROW(bad_head),  ROW(half_a_head),
    ROW(half_a_body), ROW(not_given),    ROW(never_asked), ROW(twice),
#undef ROW
};

static void expect_chain(struct fleet *f, uint64_t last, const char *what)
{
    for (unsigned i = 0; i < HX_COPIES; i++) {
        const struct fleet_seg *s = fleet_seg_at(f, 0, i);
        for (size_t k = 0; k < s->count; k++) {
            uint8_t payload[FLEET_PAYLOAD];
            struct fleet_rec want = fleet_make(k + 1, 1, k, (k + 1) % 2 == 0, 0, payload);
            const struct fleet_rec *got = &s->recs[k];
            if (s->count > last || got->lsn.v != want.lsn.v || got->prev.v != want.prev.v || got->epoch.v != 1 ||
                got->cpl != want.cpl || got->page != want.page || got->kind != want.kind ||
                memcmp(got->payload, payload, FLEET_PAYLOAD) != 0)
                fail_msg("%s: member %u holds another LSN %llu", what, i, (unsigned long long)got->lsn.v);
        }
    }
}

/* Counts the FETCHes at the member of PG 0 in slot 1. */
static int count_fetches(void *ctx, struct fleet *f, uint32_t server, const struct hx_msg_head *h,
                         struct hx_bytes body)
{
    unsigned *n = ctx;
    (void)body;
    *n += h->type == HX_MSG_FETCH && server == fleet_server_at(f, 0, 1);
    return 0;
}

static void only_the_record_that_was_written_is_written_back(void **state)
{
    /* Promise (P3, pitfall 37): a record goes to those who lack it only as the inventories agree that it is; one that
     * is of another group, volume, epoch, link, page or content is asked for again, elsewhere.  Method: LSN 1..4 on
     * members 0 and 1; 0 gives LSN 2 wrongly, in each way, always. */
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(wrong_records); i++) {
        struct fleet *f = fleet_new(6, 1, LAL);
        struct lie l = {.type = HX_MSG_FETCH, .slots = 0x01, .raw = wrong_records[i].tell};
        unsigned others_asked = 0;
        f->hook = count_fetches;
        f->hook_ctx = &others_asked;
        for (uint64_t n = 1; n <= 4; n++)
            put(f, 0, 0x03, n, 1, n - 1, n % 2 == 0, 0);
        let_lie(f, &l);
        struct hx_recovery *r = start(f, 1, 1);
        if (!run_for(f, r, 60000) || hx_recovery_state(r) != HX_RECOVERY_OPEN)
            fail_msg("%s: not open", wrong_records[i].name);
        if (others_asked == 0)
            fail_msg("%s: taken from the liar", wrong_records[i].name);
        assert_int_equal(top(r)->vdl.v, 4);
        assert_int_equal(fleet_seg_at(f, 0, 2)->count, 4);
        expect_chain(f, 4, wrong_records[i].name);
        finish(f, r);
        fleet_free(f);
    }
}

/* The member of PG 0 in slot 0 finds LSN 2 damaged when it is to give it. */
static int find_damage(void *ctx, struct fleet *f, uint32_t server, const struct hx_msg_head *h, struct hx_bytes body)
{
    struct fleet_seg *s = fleet_seg_at(f, 0, 0);
    unsigned *n = ctx;
    (void)body;
    if (h->type != HX_MSG_FETCH || server != fleet_server_at(f, 0, 0))
        return 0;
    ++*n;
    s->count = 1;
    s->unknown = (struct hx_inv_unknown){HX_LSN(2), HX_LSN(2)};
    return 0;
}

static void what_cannot_be_given_by_anybody_is_decided_about_anew(void **state)
{
    /* Promise (P4, I15): a record that only one member holds, and finds damaged when it is asked for it, was never
     * durable: it does not keep a volume from being opened.  Method: LSN 1 on four, LSN 2 on member 0. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    unsigned asked = 0;
    put(f, 0, 0x0f, 1, 1, 0, true, 0);
    put(f, 0, 0x01, 2, 1, 1, true, 0);
    f->hook = find_damage;
    f->hook_ctx = &asked;
    struct hx_recovery *r = start(f, 1, 1);
    assert_true(run_for(f, r, 60000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_int_equal(asked, 1);
    assert_int_equal(top(r)->vdl.v, 1);
    finish(f, r);
    fleet_free(f);
}

static int watch_times(void *ctx, struct fleet *f, uint32_t server, const struct hx_msg_head *h, struct hx_bytes body)
{
    struct hx_history hist = {0};
    unsigned *seen = ctx;
    (void)server;
    if (h->type != HX_MSG_REPAIR)
        return 0;
    assert_true(body.len <= (1u << 20) + HX_FRAME_MAX + 4096);
    struct hx_dec d = hx_dec_init(body.p, body.len);
    assert_int_equal(hx_history_decode(&hist, &d), 0);
    hx_history_fini(&hist);
    while (d.off < d.len) {
        struct hx_frame_head fh;
        assert_int_equal(hx_frame_head_decode(d.p + d.off, d.len - d.off, &fh), 0);
        assert_int_equal(fh.time_us, fleet_time(f, fh.first));
        assert_int_equal(fh.time_us, fleet_time(f, fh.last));
        d.off += hx_frame_bytes(&fh);
        ++*seen;
    }
    return 0;
}

static void records_keep_the_time_at_which_they_were_written(void **state)
{
    /* Promise: a record that is written back carries the label of the frame in which it came; records of one label
     * travel together.  Method: 30 records, three to a label, on member 0 only. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    unsigned frames = 0;
    for (uint64_t n = 1; n <= 30; n++)
        put(f, 0, 0x01, n, 1, n - 1, n % 2 == 0, 0);
    f->hook = watch_times;
    f->hook_ctx = &frames;
    struct hx_recovery *r = open_volume(f, 1);
    assert_in_range(frames, 3 * 11, 5 * 11);
    expect_chain(f, 30, "labels");
    finish(f, r);
    fleet_free(f);
}

static void a_record_without_payload_is_written_back(void **state)
{
    /* Promise: a page that was freed is a record like any other. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    uint8_t none = 0;
    struct fleet_rec rec = {.lsn = HX_LSN(1), .epoch = HX_EPOCH(1), .cpl = true, .page = 3, .kind = HX_REC_FREE,
                            .payload = &none};
    assert_int_equal(fleet_append(f, 0, 0, &rec, HX_LSN(0)), 0);
    struct hx_recovery *r = open_volume(f, 1);
    assert_int_equal(top(r)->vdl.v, 1);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(fleet_holds(fleet_seg_at(f, 0, i), HX_LSN(1), HX_EPOCH(1)));
        assert_int_equal(fleet_seg_at(f, 0, i)->recs[0].kind, HX_REC_FREE);
        assert_int_equal(fleet_seg_at(f, 0, i)->recs[0].len, 0);
    }
    finish(f, r);
    fleet_free(f);
}

static int refuse_and_watch(void *ctx, struct fleet *f, uint32_t server, const struct hx_msg_head *h,
                            struct hx_bytes body)
{
    unsigned frames = 0;
    watch_times(&frames, f, server, h, body);
    return play(ctx, f, server, h, body);
}

static void a_late_member_is_filled_in_pieces(void **state)
{
    /* Promise: a member that answers when everything was fetched long ago gets it in bodies of about a MiB, too.
     * Method: 900 whole pages on member 0; 1 and 2 get them, 3 and 4 refuse to be repaired, then 5 comes. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL * 10);
    struct script s = {.type = HX_MSG_REPAIR, .slots = 0x18, .status = HX_E_AGAIN};
    uint8_t *page = malloc(HX_PAGE_SIZE);
    for (uint64_t n = 1; n <= 900; n++) {
        for (size_t i = 0; i < HX_PAGE_SIZE; i += 8)
            hx_put_u64(page + i, fleet_random(f));
        struct fleet_rec rec = {.lsn = HX_LSN(n), .prev = HX_LSN(n - 1), .epoch = HX_EPOCH(1), .cpl = n % 3 == 0,
                                .kind = HX_REC_IMAGE, .len = HX_PAGE_SIZE, .payload = page};
        assert_int_equal(fleet_append(f, 0, 0, &rec, HX_LSN(0)), 0);
    }
    free(page);
    f->hook = refuse_and_watch;
    f->hook_ctx = &s;
    f->per_label = 1000; /* what does not fit into one frame goes into the next */
    down(f, 0, 0x20);
    struct hx_recovery *r = start(f, 1, 1);
    assert_false(run_for(f, r, 20000));
    assert_int_equal(fleet_seg_at(f, 0, 2)->count, 900);
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_REPAIR);
    down(f, 0, 0);
    assert_true(run_for(f, r, 60000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_int_equal(fleet_seg_at(f, 0, 5)->count, 900);
    finish(f, r);
    fleet_free(f);
}

/* ---- REPAIR ---- */

static void all_there_is(struct hx_reply_head *rh, uint8_t *body, size_t *len)
{
    (void)rh, (void)len;
    hx_put_u64(body, UINT64_MAX);
}

static void nobody_is_complete_through_what_was_never_written(void **state)
{
    /* Promise (P2): a member that claims to be complete above the log's end, or in an idle group above the start, is
     * damaged beyond saying so: the opening stops.  An answer that comes when the step is over is not believed. */
    (void)state;
    for (uint32_t pg = 0; pg < 2; pg++) {
        struct fleet *f = fleet_new(12, 2, LAL);
        struct lie l = {.type = HX_MSG_REPAIR, .pg = pg, .slots = 0x02, .raw = all_there_is, .times = 1};
        put(f, 0, 0x0f, 1, 1, 0, true, 0);
        for (unsigned i = 0; i < 4; i++) /* so that they are asked, and needed */
            fleet_seg_at(f, 1, i)->unknown = (struct hx_inv_unknown){HX_LSN(50), HX_LSN(50)};
        let_lie(f, &l);
        struct hx_recovery *r = start(f, 1, 1);
        ends_with(f, r, HX_E_CORRUPT, "which is not in the log");
        finish(f, r);
        fleet_free(f);
    }
    struct fleet *f = fleet_new(6, 1, LAL);
    struct lie l = {.type = HX_MSG_REPAIR, .slots = 0x30, .raw = all_there_is};
    put(f, 0, 0x3f, 1, 1, 0, true, 0);
    let_lie(f, &l);
    struct hx_recovery *r = start(f, 1, 1);
    assert_true(run_for(f, r, 20000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_true(l.hits > 0);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_true(hx_recovery_result(r)->pgs[0].scl[i].v <= 1);
    finish(f, r);
    fleet_free(f);
}

static void a_later_higher_answer_undoes_that_an_idle_group_is_complete(void **state)
{
    /* Promise (P1): in a group with nothing above the start the highest position answered is the last record; four
     * members that agree on less are not enough once somebody has more.  Method: LSN 2 of PG 1, durable, is left on
     * member 5 only, which answers last, while PG 0 is held up. */
    (void)state;
    struct fleet *f = fleet_new(12, 2, LAL);
    struct script s = {.type = HX_MSG_REPAIR, .pg = 0, .slots = 0x3f, .status = HX_E_AGAIN};
    put(f, 0, 0x0f, 1, 1, 0, true, 0);
    put(f, 1, 0x20, 2, 1, 0, true, 0);
    put(f, 0, 0x0f, 3, 1, 1, true, 2);
    fleet_seg_at(f, 0, 0)->hint = HX_LSN(3);
    f->durable = HX_LSN(3);
    f->servers[fleet_server_at(f, 1, 5)].down = true;
    f->hook = play;
    f->hook_ctx = &s;
    struct hx_recovery *r = start(f, 1, 1);
    assert_false(run_for(f, r, 5000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_REPAIR);
    waiting_has(r, "PG 0: "); /* PG 1 is thought to be complete */
    f->servers[fleet_server_at(f, 1, 5)].down = false;
    assert_false(run_for(f, r, 5000));
    s.slots = 0;
    assert_false(run_for(f, r, 10000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_REPAIR);
    waiting_has(r, "PG 1: 1 of 6 servers are complete through LSN 2");
    for (int k = 0; k < 20 && !run_for(f, r, 1000); k++)
        fleet_gossip(f);
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_int_equal(hx_recovery_result(r)->pgs[1].last.v, 2);
    finish(f, r);
    fleet_free(f);
}

/* Which slots of PG 1 are sent REPAIR. */
static int watch_repairs(void *ctx, struct fleet *f, uint32_t server, const struct hx_msg_head *h,
                         struct hx_bytes body)
{
    unsigned *slots = ctx;
    (void)body;
    for (unsigned i = 0; h->type == HX_MSG_REPAIR && h->pg == 1 && i < HX_COPIES; i++)
        *slots |= fleet_server_at(f, 1, i) == server ? 1u << i : 0;
    return 0;
}

static void who_has_said_all_is_not_asked_again(void **state)
{
    /* Promise (P5): an idle group costs FENCE alone, also where the members' hints are old; whoever has damage, a
     * record above a hole, or one that the decision makes void is asked for its SCL under H', and its own is not
     * taken for it.  Method: LSN 2 of PG 1 on all six; member 5 has more, in each of these ways. */
    enum { NOTHING, HINT, DAMAGE, HOLE, VOID, UNHYDRATED, WAYS };
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct fleet *f = fleet_new(12, 2, LAL);
        struct fleet_seg *five = fleet_seg_at(f, 1, 5);
        unsigned asked = 0;
        put(f, 0, 0x3f, 1, 1, 0, true, 0);
        put(f, 1, 0x3f, 2, 1, 0, true, 0);
        for (unsigned i = 0; i < HX_COPIES; i++)
            fleet_seg_at(f, 0, i)->hint = HX_LSN(2);
        f->durable = HX_LSN(2);
        if (way == HINT)
            five->hint = HX_LSN(2);
        if (way == DAMAGE)
            five->unknown = (struct hx_inv_unknown){HX_LSN(9), HX_LSN(9)};
        if (way == HOLE)
            put(f, 1, 0x20, 5, 1, 4, true, 0);
        if (way == VOID)
            put(f, 1, 0x20, 3, 1, 2, false, 0);
        five->unhydrated = way == UNHYDRATED;
        f->hook = watch_repairs;
        f->hook_ctx = &asked;
        struct hx_recovery *r = open_volume(f, 1);
        assert_int_equal(asked, way == DAMAGE || way == HOLE || way == VOID ? 0x20 : 0);
        assert_int_equal(top(r)->vdl.v, 2);
        assert_int_equal(hx_recovery_result(r)->pgs[1].last.v, 2);
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(hx_recovery_result(r)->pgs[1].scl[i].v, 2);
        assert_true(hx_recovery_result(r)->pgs[1].scl[5].v <= 2);
        finish(f, r);
        fleet_free(f);
    }
}

static void a_segment_lost_after_the_fence_is_no_answer(void **state)
{
    /* Promise: "no such segment" in answer to anything but FENCE neither completes nor ends anything.  Method: two
     * members say it once when they are to be repaired. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    struct script s = {.type = HX_MSG_REPAIR, .slots = 0x07, .status = HX_E_NO_SEGMENT, .times = 3};
    put(f, 0, 0x0f, 1, 1, 0, true, 0);
    f->hook = play;
    f->hook_ctx = &s;
    struct hx_recovery *r = open_volume(f, 1);
    assert_int_equal(s.hits, 3);
    assert_int_equal(top(r)->epoch.v, 2);
    finish(f, r);
    fleet_free(f);
}

static void half(struct hx_reply_head *rh, uint8_t *body, size_t *len)
{
    (void)rh, (void)body;
    *len = 4;
}

static unsigned halves; /* left */

static void half_of_the_parents(struct hx_reply_head *rh, uint8_t *body, size_t *len)
{
    if (hx_get_u64(body) != 2 || halves == 0)
        return; /* H', of epoch 3 */
    halves--;
    half(rh, body, len);
}

static void the_parent_history_is_given_until_it_is_taken(void **state)
{
    /* Promise: a laggard whose answer to ADOPT cannot be read is asked again; only then may gossip be relied on.
     * Method: as F4, with half an answer three times. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    struct lie l = {.type = HX_MSG_ADOPT, .slots = 0x08, .raw = half_of_the_parents};
    down(f, 0, 0x08);
    struct hx_recovery *r = open_volume(f, 1);
    uint64_t first = top(r)->end.v + 1;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (i != 3)
            assert_int_equal(fleet_adopt(f, 0, i, HX_EPOCH(2), &hx_recovery_result(r)->history), 0);
    finish(f, r);
    put(f, 0, 0x17, first, 2, 0, true, 0);
    for (unsigned i = 0; i < 3; i++)
        fleet_seg_at(f, 0, i)->hint = HX_LSN(first);
    f->durable = HX_LSN(first);
    down(f, 0, 0x30);
    let_lie(f, &l);
    halves = 3;
    r = start(f, 2, 1);
    for (int k = 0; k < 60 && !run_for(f, r, 1000); k++)
        fleet_gossip(f);
    assert_int_equal(halves, 0);
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_int_equal(hx_recovery_result(r)->pgs[0].scl[3].v, first);
    finish(f, r);
    fleet_free(f);
}

/* ---- GEOMETRY and ADOPT ---- */

static void an_old_epoch(struct hx_reply_head *rh, uint8_t *body, size_t *len)
{
    (void)rh, (void)len;
    hx_put_u64(body, 1);
}
static void newer_epoch(struct hx_reply_head *rh, uint8_t *body, size_t *len)
{
    (void)rh, (void)len;
    hx_put_u64(body, 40);
}
static void newer_epoch_promised(struct hx_reply_head *rh, uint8_t *body, size_t *len)
{
    newer_epoch(rh, body, len);
    rh->promised = HX_EPOCH(40);
}

static void the_new_history_counts_where_it_is_surely_stored(void **state)
{
    /* Promise (R2): open only when four of PG 0 have stored H'; half an answer, or an older epoch, is not that; a newer
     * one means that somebody else has opened: start over above it.  Method: three members, then one. */
    (void)state;
    for (unsigned kind = 0; kind < 2; kind++) {
        struct fleet *f = fleet_new(6, 1, LAL);
        struct lie l = {.type = HX_MSG_ADOPT, .slots = 0x07, .raw = kind ? an_old_epoch : half};
        let_lie(f, &l);
        struct hx_recovery *r = start(f, 1, 1);
        assert_false(run_for(f, r, 20000));
        assert_int_equal(hx_recovery_state(r), HX_RECOVERY_ADOPT);
        waiting_has(r, "PG 0: 3 of 6 servers stored the history of epoch 2, 4 needed");
        f->twist = NULL;
        assert_true(run_for(f, r, 20000));
        assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
        assert_int_equal(top(r)->epoch.v, 2);
        finish(f, r);
        fleet_free(f);
    }
    for (unsigned kind = 0; kind < 2; kind++) {
        struct fleet *f = fleet_new(6, 1, LAL);
        struct lie l = {.type = HX_MSG_ADOPT, .slots = 0x01, .times = 1,
                        .raw = kind ? newer_epoch_promised : newer_epoch};
        let_lie(f, &l);
        struct hx_recovery *r = start(f, 1, 1);
        assert_true(run_for(f, r, 20000));
        assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
        assert_int_equal(top(r)->epoch.v, 41);
        finish(f, r);
        fleet_free(f);
    }
}

/* ---- late ---- */

struct late {
    struct fleet *f;
    struct hx_recovery *r;
    uint64_t call;
    uint8_t *answer;
    size_t len;
};

static struct late *late;

static void hold_back(void *o, uint64_t now, uint64_t call, struct hx_bytes body)
{
    struct hx_reply_head h;
    struct hx_bytes rest;
    assert_int_equal(hx_reply_decode(body.p, body.len, &h, &rest), 0);
    if (late->answer != NULL || h.type != HX_MSG_FENCE ||
        !hx_uuid_eq(&h.server, &late->f->servers[fleet_server_at(late->f, 0, 5)].s.incarnation)) {
        hx_recovery_answer(o, now, call, body);
        return;
    }
    late->answer = malloc(body.len);
    assert_non_null(late->answer);
    memcpy(late->answer, body.p, body.len);
    late->len = body.len;
    late->call = call;
}

static void an_answer_to_the_fence_may_come_when_all_is_decided(void **state)
{
    /* Promise: a member whose answer to FENCE comes while the epoch is being published neither stops that nor is asked
     * again, filled or not; what it knows as durable is still checked.  Method: the answer of member 5 is held back
     * until GEOMETRY is under way. */
    (void)state;
    for (unsigned kind = 0; kind < 3; kind++) {
        struct fleet *f = fleet_new(6, 1, LAL);
        struct late l = {.f = f};
        put(f, 0, 0x0f, 1, 1, 0, true, 0);
        fleet_seg_at(f, 0, 5)->unhydrated = kind == 1;
        fleet_seg_at(f, 0, 5)->hint = HX_LSN(kind == 2 ? 5 : 0);
        struct hx_recovery *r = start(f, 1, 1);
        struct fleet_part p = fleet_recovery(r);
        p.answer = hold_back;
        l.r = r;
        late = &l;
        while (hx_recovery_state(r) != HX_RECOVERY_GEOMETRY)
            assert_true(fleet_step(f, &p, 1));
        assert_non_null(l.answer);
        hx_recovery_answer(r, f->now_ms, l.call, (struct hx_bytes){l.answer, l.len});
        for (int i = 0; i < STEPS_MAX && !at_end(r); i++)
            fleet_step(f, &p, 1);
        assert_int_equal(hx_recovery_state(r), kind == 2 ? HX_RECOVERY_FAILED : HX_RECOVERY_OPEN);
        assert_int_equal(hx_recovery_error(r), kind == 2 ? HX_E_DATA_LOSS : 0);
        free(l.answer);
        finish(f, r);
        fleet_free(f);
    }
}

static void a_damaged_member_counts_where_the_log_tells_the_end(void **state)
{
    /* Promise (I11, P1): damage makes a member's position doubtful only in an idle group; where the log has records it
     * either holds the last one or not.  Method: member 0 has LSN 1 and 2 and a damaged place at or below 2; two
     * others refuse to be repaired. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    struct script s = {.type = HX_MSG_REPAIR, .slots = 0x06, .status = HX_E_AGAIN};
    put(f, 0, 0x0f, 1, 1, 0, true, 0);
    put(f, 0, 0x0f, 2, 1, 1, true, 0);
    fleet_seg_at(f, 0, 0)->unknown = (struct hx_inv_unknown){HX_LSN(2), HX_LSN(6)};
    f->hook = play;
    f->hook_ctx = &s;
    down(f, 0, 0x30);
    struct hx_recovery *r = start(f, 1, 1);
    assert_false(run_for(f, r, 5000));
    down(f, 0, 0x20);
    assert_false(run_for(f, r, 5000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_REPAIR);
    waiting_has(r, "PG 0: 3 of 6 servers are complete through LSN 2, 4 needed");
    down(f, 0, 0);
    assert_true(run_for(f, r, 20000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_int_equal(top(r)->vdl.v, 2);
    finish(f, r);
    fleet_free(f);
}

static void damaged_members_do_not_tell_where_an_idle_group_ends(void **state)
{
    /* Promise (P1, I2): in a group with nothing above the start the last record is known once three undamaged members
     * have said how far they are; damaged ones may have been among the four that made it durable.  Method: LSN 2 of PG
     * 1 was on 0..3; it is damaged on 0 and 1, and 2 and 3 are away: four members agree on "nothing", two of them
     * soundly.  The volume opens when the two come back, with LSN 2. */
    (void)state;
    struct fleet *f = fleet_new(12, 2, LAL);
    put(f, 0, 0x0f, 1, 1, 0, true, 0);
    put(f, 1, 0x0f, 2, 1, 0, true, 0);
    put(f, 0, 0x0f, 3, 1, 1, true, 2);
    fleet_seg_at(f, 0, 0)->hint = HX_LSN(3);
    f->durable = HX_LSN(3);
    for (unsigned i = 0; i < 2; i++) {
        fleet_seg_at(f, 1, i)->recs[0].damaged = true;
        fleet_seg_at(f, 1, i)->unknown = (struct hx_inv_unknown){HX_LSN(2), HX_LSN(2)};
    }
    down(f, 1, 0x0c);
    struct hx_recovery *r = start(f, 1, 1);
    assert_false(run_for(f, r, 20000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_REPAIR);
    waiting_has(r, "PG 1: ");
    down(f, 1, 0);
    for (int k = 0; k < 60 && !run_for(f, r, 1000); k++)
        fleet_gossip(f);
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_int_equal(hx_recovery_result(r)->pgs[1].last.v, 2);
    finish(f, r);
    fleet_free(f);
}

static void a_late_member_gets_what_nobody_else_lacked(void **state)
{
    /* Promise (step 6): records that all who answered had are given to one that answers late.  Method: LSN 1 is on
     * 0..3, LSN 2 on 0..2, so 3 gets LSN 2; 1 and 2 refuse to be repaired; then 4 and 5 come, who lack both. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    struct script s = {.type = HX_MSG_REPAIR, .slots = 0x06, .status = HX_E_AGAIN};
    put(f, 0, 0x0f, 1, 1, 0, true, 0);
    put(f, 0, 0x07, 2, 1, 1, true, 0);
    f->hook = play;
    f->hook_ctx = &s;
    down(f, 0, 0x30);
    struct hx_recovery *r = start(f, 1, 1);
    assert_false(run_for(f, r, 20000));
    assert_int_equal(fleet_seg_at(f, 0, 3)->count, 2);
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_REPAIR);
    down(f, 0, 0);
    assert_true(run_for(f, r, 60000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    assert_int_equal(fleet_seg_at(f, 0, 4)->count, 2);
    assert_int_equal(fleet_seg_at(f, 0, 5)->count, 2);
    assert_int_equal(top(r)->vdl.v, 2);
    finish(f, r);
    fleet_free(f);
}

/* ---- calls that nobody made ---- */

static void answers_to_calls_that_were_never_made_change_nothing(void **state)
{
    /* Promise (A3, R4): a call number that was not given out, or whose call is over, finds nothing, whatever it
     * looks like.  Method: numbers of free slots, of slots far beyond, and one made of a call's with another
     * sequence; with an answer and as a failure. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    struct hx_recovery *r = start(f, 1, 1);
    struct hx_effect e = {0}, cancel;
    assert_int_equal(hx_recovery_next(r, &e), 1);
    const uint64_t numbers[] = {e.call + 1, e.call | 0xffffff, e.call ^ (UINT64_C(1) << 30), 0, UINT64_MAX};
    struct hx_reply_head h = {.type = HX_MSG_FENCE, .status = HX_E_FENCED, .server = e.server->incarnation,
                              .promised = HX_EPOCH(70)};
    uint8_t reply[HX_REPLY_HEAD];
    for (size_t i = 0; i < HX_ARRAY_LEN(numbers); i++) {
        h.req_id = numbers[i];
        hx_reply_head_encode(&h, NULL, 0, reply);
        hx_recovery_answer(r, 2000, numbers[i], (struct hx_bytes){reply, sizeof reply});
        hx_recovery_failed(r, 2000, numbers[i], HX_E_TIMEOUT);
    }
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_CLAIM);
    waiting_has(r, "granted epoch 2"); /* and not: another client claimed 70 */
    while (hx_recovery_next(r, &cancel))
        assert_int_equal(cancel.kind, HX_EFFECT_SEND);
    finish(f, r);
    fleet_free(f);
}

/* ---- words ---- */

static void what_is_waited_for_is_said_in_the_room_there_is(void **state)
{
    /* Promise: the words name who is silent, who refused and why, in any state; they never write beyond their room.
     * Method: PG 0's member 5 has granted our number to another; five others are silent to REPAIR in three ways. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, LAL);
    struct fleet_seg *s = fleet_seg_at(f, 0, 5);
    struct script block = {.type = HX_MSG_REPAIR, .slots = 0x3f, .status = FLEET_SILENT};
    char text[512], small[8];
    s->promised = HX_EPOCH(2);
    memset(s->owner.b, 0x77, 16);
    f->hook = play;
    f->hook_ctx = &block;
    struct hx_recovery *r = start(f, 1, 1);
    assert_false(run_for(f, r, 1000));
    waiting_has(r, "0 of 6 servers are complete through LSN 0, 4 needed (a1: is behind; ");
    assert_false(run_for(f, r, 60000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_REPAIR);
    waiting_has(r, "PG 0: 0 of 6 servers are complete through LSN 0, 4 needed (silent: ");
    waiting_has(r, "has granted this epoch to another client");
    uint64_t calls[64];
    size_t n = 0;
    for (struct fleet_flight *x = f->flights; x != NULL; x = x->next)
        if (x->client == r)
            calls[n++] = x->call;
    assert_true(n > 0);
    fleet_abandon(f, r);
    for (size_t i = 0; i < n; i++)
        hx_recovery_failed(r, f->now_ms, calls[i], HX_E_CLOSED); /* silence, too */
    waiting_has(r, "PG 0: 0 of 6 servers are complete through LSN 0, 4 needed (silent: ");
    memset(small, '#', sizeof small);
    hx_recovery_waiting(r, small, 0);
    assert_int_equal(small[0], '#');
    hx_recovery_waiting(r, text, sizeof text);
    for (size_t cap = 1; cap < 80; cap++) {
        char *room = malloc(cap);
        assert_non_null(room);
        hx_recovery_waiting(r, room, cap);
        assert_int_equal(strlen(room), cap - 1);
        assert_memory_equal(room, text, cap - 1);
        free(room);
    }
    finish(f, r);
    fleet_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_record_that_was_written_is_written_back),
        cmocka_unit_test(what_cannot_be_given_by_anybody_is_decided_about_anew),
        cmocka_unit_test(records_keep_the_time_at_which_they_were_written),
        cmocka_unit_test(a_record_without_payload_is_written_back),
        cmocka_unit_test(a_late_member_is_filled_in_pieces),
        cmocka_unit_test(nobody_is_complete_through_what_was_never_written),
        cmocka_unit_test(a_later_higher_answer_undoes_that_an_idle_group_is_complete),
        cmocka_unit_test(who_has_said_all_is_not_asked_again),
        cmocka_unit_test(a_segment_lost_after_the_fence_is_no_answer),
        cmocka_unit_test(the_parent_history_is_given_until_it_is_taken),
        cmocka_unit_test(the_new_history_counts_where_it_is_surely_stored),
        cmocka_unit_test(an_answer_to_the_fence_may_come_when_all_is_decided),
        cmocka_unit_test(a_damaged_member_counts_where_the_log_tells_the_end),
        cmocka_unit_test(damaged_members_do_not_tell_where_an_idle_group_ends),
        cmocka_unit_test(a_late_member_gets_what_nobody_else_lacked),
        cmocka_unit_test(answers_to_calls_that_were_never_made_change_nothing),
        cmocka_unit_test(what_is_waited_for_is_said_in_the_room_there_is),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("recovery_repair", tests, NULL, NULL);
}
