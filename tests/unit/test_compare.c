/*
 * test_compare.c - pages that members have otherwise (compare.c): what counts as a vote, who is believed, and that
 * whatever peers answer, or do not, no page is replaced by less than Y1 allows, and each that is wrong is mended in the
 * end.
 *
 * Method: six servers over disks in memory, of which one scrubs on demand; what its peers answer is changed under way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"
#include "seg_model.h"

#include <stdlib.h>

#define PG HX_MODEL_PG
#define PAGES 256u
#define HEAD HX_READ_PAGE_BYTES

static struct hx_seg *segment(struct hx_rig *r, unsigned i)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    struct hx_seg *s = hx_node_find(r->node[i], &at.volume, at.pg);
    assert_non_null(s);
    return s;
}

/* The image that record LSN brings to those who have it right; otherwise OTHER is not 0. */
static void content(uint64_t lsn, unsigned other, uint8_t p[HX_PAGE_SIZE])
{
    struct hx_model noise = {.rng = lsn * 17 + other};
    for (size_t i = 0; i < HX_PAGE_SIZE; i++)
        p[i] = i < 100 ? (uint8_t)hx_model_dice(&noise) : 0;
    p[99] |= 1;
}

/* Record LSN, of PAGE, to all; those in OTHERS (bits) get other bytes: all the same, or each its own (APART). */
static void add(struct hx_rig *r, uint64_t lsn, uint32_t page, unsigned others, bool apart)
{
    uint8_t p[HX_PAGE_SIZE];
    for (unsigned i = 0; i < HX_COPIES; i++) {
        content(lsn, others >> i & 1 ? (apart ? 1 + i : 1) : 0, p);
        struct hx_rig_rec rec = {lsn, page, HX_REC_IMAGE, HX_REC_CPL, p, 100};
        size_t n = hx_rig_frame(r, PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){lsn - 1, 0, 0});
        assert_int_equal(hx_rig_append(r, i, 1, lsn - 1, 0, r->frame, n, NULL), 0);
    }
}

static void announce(struct hx_rig *r, uint64_t vdl, uint64_t floor)
{
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_append(r, i, 1, vdl, floor, NULL, 0, NULL), 0);
}

/* LSN 1 to 40: page 2 x LSN. */
#define LAST 40u
static void start(struct hx_rig *r)
{
    hx_rig_init(r, HX_COPIES, 1u << 20, 2, 64u << 10);
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_format(r, i, PG), 0);
    for (uint64_t lsn = 1; lsn <= LAST; lsn++)
        add(r, lsn, 2 * (uint32_t)lsn, 0, false);
}

/* Server 0 goes over everything once; false: it did not come to an end. */
static bool cycle(struct hx_rig *r)
{
    const struct hx_seg *s = segment(r, 0);
    uint64_t was = s->scrub.cycles;
    hx_pace_ask(r->node[0], &s->at.volume);
    for (unsigned k = 0; k < 1500 && s->scrub.cycles == was; k++)
        hx_rig_step(r, 20);
    for (unsigned k = 0; k < 5; k++)
        hx_rig_step(r, 20);
    return s->scrub.cycles > was;
}

/* What server 0 says of PAGE at POINT; RIGHT: the record of which LSN it must be when it is not CORRUPT. */
static unsigned state_of(struct hx_rig *r, uint64_t point, uint32_t page, uint64_t right)
{
    uint8_t got[HX_PAGE_SIZE], want[HX_PAGE_SIZE] = {0};
    struct hx_read_page p;
    assert_int_equal(hx_rig_read(r, 0, PG, hx_seg_top(segment(r, 0)).v, point, page, got, &p), 0);
    if (right)
        content(right, 0, want);
    if (p.state != HX_READ_CORRUPT)
        assert_memory_equal(got, want, sizeof want);
    return p.state;
}

static void is_mended(struct hx_rig *r, uint64_t point, uint32_t page, uint64_t right)
{
    assert_int_equal(state_of(r, point, page, right), HX_READ_RAW);
    assert_int_equal(hx_compare_wrongs(segment(r, 0)), 0);
}

/* ---- what peers answer is changed under way ---- */
static struct plan {
    unsigned type, liars; /* answers to messages of this type, by these (bits), */
    unsigned skip, times; /* but the first ones; so many */
    enum how { AS_IT_IS, CUT, EMPTY, TOO_LONG, ONE_LESS, LSN, BYTES, CORRUPTED } how;
    bool votes; /* only answers page by page */
    unsigned seen, told;
} plan;

static void lie(struct hx_rig *r, unsigned from, unsigned to, unsigned type, struct hx_rig_reply *a)
{
    (void)r;
    if (from || type != plan.type || !(plan.liars >> to & 1) || a->head.status)
        return;
    if (plan.votes && a->body.len != 32 * HEAD)
        return;
    if (plan.seen++ < plan.skip || plan.told >= plan.times)
        return;
    plan.told++;
    uint8_t *p = a->bytes + HX_REPLY_HEAD;
    if (plan.how == CUT)
        a->body.len -= 5;
    else if (plan.how == EMPTY)
        a->body.len = 0;
    else if (plan.how == ONE_LESS)
        a->body.len -= HEAD;
    else if (plan.how == TOO_LONG) {
        a->bytes = realloc(a->bytes, HX_REPLY_HEAD + a->body.len + HEAD);
        assert_non_null(a->bytes);
        memcpy(a->bytes + HX_REPLY_HEAD + a->body.len, a->bytes + HX_REPLY_HEAD, HEAD);
        a->body.len += HEAD;
    } else if (plan.how == BYTES) {
        a->bytes[HX_REPLY_HEAD + a->body.len - 1] ^= 1;
    } else if (plan.how != AS_IT_IS) {
        struct hx_read_page h;
        struct hx_dec d = hx_dec_init(p, a->body.len);
        hx_read_page_decode(&h, &d);
        struct hx_enc e = hx_enc_init(p, d.off);
        h.lsn.v += plan.how == LSN;
        bool gone = plan.how == CORRUPTED && h.state == HX_READ_RAW && type == HX_MSG_READ;
        h.state = plan.how == CORRUPTED ? HX_READ_CORRUPT : h.state;
        hx_read_page_encode(&h, &e);
        a->body.len -= gone ? HX_PAGE_SIZE : 0;
    }
    const struct hx_bytes body = {a->bytes + HX_REPLY_HEAD, a->body.len}; /* with the right sum */
    hx_reply_head_encode(&a->head, &body, 1, a->bytes);
}

static void lies(struct hx_rig *r, struct plan p)
{
    plan = p;
    plan.times = p.times ? p.times : UINT32_MAX;
    r->edit = lie;
}

/* Promise: an answer that makes no sense is none: it condemns nothing, and what is wrong is found all the same. */
static void answers_without_sense_are_none(void **state)
{
    static const enum how how[] = {CUT, EMPTY, TOO_LONG};
    (void)state;
    for (unsigned votes = 0; votes < 2; votes++)
        for (size_t i = 0; i < HX_ARRAY_LEN(how); i++) {
            struct hx_rig r;
            start(&r);
            add(&r, LAST + 1, 7, 1, false);
            announce(&r, LAST + 1, 0);
            lies(&r, (struct plan){.type = HX_MSG_DIGEST, .liars = 1u << 3, .votes = votes, .how = how[i]});
            assert_true(cycle(&r));
            assert_true(plan.told > 0);
            assert_int_equal(segment(&r, 0)->scrub.differed, 1);
            is_mended(&r, LAST + 1, 7, LAST + 1);
            hx_rig_fini(&r);
        }
}

/* Promise: where nobody answers with sense, or nobody answers, the cycle comes to an end all the same. */
static void a_cycle_ends_though_nobody_answers(void **state)
{
    (void)state;
    for (unsigned cut = 0; cut < 2; cut++) {
        struct hx_rig r;
        start(&r);
        add(&r, LAST + 1, 7, 1, false);
        announce(&r, LAST + 1, 0);
        lies(&r, (struct plan){.type = HX_MSG_DIGEST, .liars = 63, .how = CUT});
        r.cut[0] = cut;
        assert_true(cycle(&r));
        assert_int_equal(segment(&r, 0)->scrub.differed, 0);
        r.edit = NULL;
        r.cut[0] = false;
        for (unsigned k = 0; k < 100; k++) /* they are asked again after a while */
            hx_rig_step(&r, 100);
        assert_true(cycle(&r));
        is_mended(&r, LAST + 1, 7, LAST + 1);
        hx_rig_fini(&r);
    }
}

/* Promise: three that agree while the others, each for itself, do not are a majority; with one more silent, or saying
 * less than it was asked, they still are; with two silent of those three nothing is decided. */
static void only_whole_answers_are_votes(void **state)
{
    static const struct {
        unsigned silent, brief, found; /* bits */
    } cases[] = {{0, 0, 1}, {1u << 1, 0, 1}, {0, 1u << 1, 1}, {1u << 1, 1u << 2, 1}, {3u << 4, 0, 0}, {0, 3u << 4, 0}};
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(cases); i++) {
        struct hx_rig r;
        start(&r);
        add(&r, LAST + 1, 7, 7, true); /* servers 0, 1, 2, each otherwise; 3, 4, 5 are right */
        announce(&r, LAST + 1, 0);
        for (unsigned k = 0; k < HX_COPIES; k++)
            r.cut[k] = cases[i].silent >> k & 1;
        lies(&r, (struct plan){.type = HX_MSG_DIGEST, .liars = cases[i].brief, .votes = true, .how = ONE_LESS});
        assert_true(cycle(&r));
        assert_int_equal(segment(&r, 0)->scrub.differed, cases[i].found);
        assert_int_equal(segment(&r, 0)->scrub.undecided, !cases[i].found);
        if (cases[i].found)
            is_mended(&r, LAST + 1, 7, LAST + 1);
        hx_rig_fini(&r);
    }
}

/* Promise: a page is replaced by just the bytes and the LSN that the majority has (Y1), whoever sends others. */
static void only_the_right_bytes_replace_a_page(void **state)
{
    static const enum how how[] = {CUT, LSN, BYTES, CORRUPTED};
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(how); i++) {
        struct hx_rig r;
        start(&r);
        add(&r, LAST + 1, 7, 1, false);
        announce(&r, LAST + 1, 0);
        lies(&r, (struct plan){.type = HX_MSG_READ, .liars = 63, .times = 2, .how = how[i]});
        assert_true(cycle(&r));
        assert_int_equal(plan.told, 2);
        is_mended(&r, LAST + 1, 7, LAST + 1); /* by the third */
        hx_rig_fini(&r);
    }
}

/* Promise: a page that nobody would give stays CORRUPT, and is mended by a later cycle, when somebody does: with the
 * right bytes of that time, or because what was written since is right. */
static void what_could_not_be_mended_is_mended_later(void **state)
{
    (void)state;
    for (unsigned newer = 0; newer < 3; newer++) {
        struct hx_rig r;
        start(&r);
        add(&r, LAST + 1, 7, 1, false);
        announce(&r, LAST + 1, 0);
        lies(&r, (struct plan){.type = HX_MSG_READ, .liars = 63, .how = BYTES});
        assert_true(cycle(&r));
        assert_int_equal(segment(&r, 0)->scrub.differed, 1);
        assert_int_equal(hx_compare_wrongs(segment(&r, 0)), 1);
        assert_int_equal(state_of(&r, LAST + 1, 7, LAST + 1), HX_READ_CORRUPT);
        assert_true(cycle(&r));
        assert_int_equal(state_of(&r, LAST + 1, 7, LAST + 1), HX_READ_CORRUPT);
        assert_int_equal(segment(&r, 0)->scrub.differed, 1); /* it is the same one */
        if (newer) { /* the page is written again: right, or wrong again */
            add(&r, LAST + 2, 7, newer == 2, false);
            announce(&r, LAST + 2, 0);
        }
        r.edit = NULL;
        assert_true(cycle(&r));
        is_mended(&r, LAST + 1 + (newer > 0), 7, LAST + 1 + (newer > 0));
        if (newer) /* before that it is still what it was */
            assert_int_equal(state_of(&r, LAST + 1, 7, LAST + 1), HX_READ_CORRUPT);
        hx_rig_fini(&r);
    }
}

/* Promise: of several wrong pages in a group each gets its own bytes; where the right ones are with different members,
 * all of them are asked. */
static void each_page_gets_its_own_bytes(void **state)
{
    (void)state;
    for (unsigned apart = 0; apart < 2; apart++) {
        struct hx_rig r;
        start(&r);
        add(&r, LAST + 1, 5, apart ? 1u | 1u << 1 : 1, true);
        add(&r, LAST + 2, 7, apart ? 1u | 1u << 5 : 1, true);
        add(&r, LAST + 3, 9, apart ? 1u | 1u << 3 : 1, true);
        announce(&r, LAST + 3, 0);
        assert_true(cycle(&r));
        assert_int_equal(segment(&r, 0)->scrub.differed, 3);
        for (uint64_t k = 1; k <= 3; k++)
            is_mended(&r, LAST + 3, 3 + 2 * (uint32_t)k, LAST + k);
        hx_rig_fini(&r);
    }
}

/* Promise: a page that was mended is right from the LSN of the right content on, and CORRUPT below; when no read point
 * may ask for that any more it is forgotten. */
static void below_the_right_content_it_stays_wrong(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r);
    add(&r, LAST + 1, 7, 1, false);
    add(&r, LAST + 2, 7, 1, false);
    announce(&r, LAST + 2, 0);
    assert_true(cycle(&r));
    is_mended(&r, LAST + 2, 7, LAST + 2);
    assert_int_equal(state_of(&r, LAST + 1, 7, LAST + 1), HX_READ_CORRUPT);
    add(&r, LAST + 3, 9, 1, false);
    announce(&r, LAST + 3, LAST + 1);
    assert_true(cycle(&r));
    is_mended(&r, LAST + 3, 9, LAST + 3);
    assert_int_equal(segment(&r, 0)->wrong_count, 2); /* LAST + 1 may still be asked for */
    announce(&r, LAST + 3, LAST + 3);
    add(&r, LAST + 4, 11, 1, false);
    announce(&r, LAST + 4, LAST + 3);
    assert_true(cycle(&r));
    is_mended(&r, LAST + 4, 11, LAST + 4);
    assert_int_equal(segment(&r, 0)->wrong_count, 1);
    hx_rig_fini(&r);
}

/* Promise: a record that ended on another page than everywhere else: both pages are found.  That which was written here
 * alone cannot be as if never written; it stays CORRUPT, and is told. */
static void a_record_on_another_page_is_found(void **state)
{
    (void)state;
    struct hx_rig r;
    uint8_t p[HX_PAGE_SIZE];
    start(&r);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        content(LAST + 1, 0, p);
        struct hx_rig_rec rec = {LAST + 1, i ? 8 : 9, HX_REC_IMAGE, HX_REC_CPL, p, 100};
        size_t n = hx_rig_frame(&r, PG, 1, LAST, &rec, 1, (struct hx_rig_marks){LAST, 0, 0});
        assert_int_equal(hx_rig_append(&r, i, 1, LAST, 0, r.frame, n, NULL), 0);
    }
    announce(&r, LAST + 1, 0);
    assert_true(cycle(&r));
    assert_int_equal(segment(&r, 0)->scrub.differed, 2);
    assert_int_equal(state_of(&r, LAST + 1, 8, LAST + 1), HX_READ_RAW);
    assert_int_equal(state_of(&r, LAST + 1, 9, 0), HX_READ_CORRUPT);
    assert_int_equal(hx_compare_wrongs(segment(&r, 0)), 1);
    hx_rig_fini(&r);
}

/* Promise: the wrong content itself, moved elsewhere meanwhile or another one of the same LSN, does not count as the
 * right one. */
static void only_the_right_image_ends_it(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r);
    struct hx_seg *s = segment(&r, 0);
    struct hx_wrong wrong = {.page = 7, .lsn = 5};
    s->wrongs = malloc(sizeof *s->wrongs);
    assert_non_null(s->wrongs);
    s->wrong_cap = s->wrong_count = 1;
    s->wrongs[0] = wrong;
    hx_compare_mended(s, 7, 5, 0); /* nothing right was put yet */
    assert_false(s->wrongs[0].mended);
    s->wrongs[0].put = true;
    s->wrongs[0].sum = 99;
    hx_compare_mended(s, 7, 5, 98);
    hx_compare_mended(s, 7, 4, 99);
    hx_compare_mended(s, 6, 5, 99);
    assert_false(s->wrongs[0].mended);
    hx_compare_mended(s, 7, 5, 99);
    assert_true(s->wrongs[0].mended);
    hx_rig_fini(&r);
}

/* ---- what changes under way ---- */
static unsigned change_at;
/* A new epoch while the answer is on its way. */
static void new_epoch(struct hx_rig *r, unsigned from, unsigned type)
{
    struct hx_history h = {0};
    if (from || (type != HX_MSG_DIGEST && type != HX_MSG_READ) || change_at == 0 || --change_at)
        return;
    const struct hx_history_entry one = {{1}, {0}, {0}, HX_RIG_LAL};
    const struct hx_history_entry two = {{2}, {LAST + 1}, {LAST + 1 + HX_RIG_LAL}, HX_RIG_LAL};
    assert_int_equal(hx_history_push(&h, one), 0);
    assert_int_equal(hx_history_push(&h, two), 0);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        assert_int_equal(hx_rig_fence(r, i, PG, 2, 900, NULL), 0);
        assert_int_equal(hx_rig_adopt(r, i, PG, 2, &h, NULL, NULL), 0);
    }
    hx_history_fini(&h);
}

/* Promise: answers count under the history under which they were asked (Y4); whenever it changes nothing wrong comes of
 * it, and the page is mended in the end. */
static void answers_of_another_epoch_do_not_count(void **state)
{
    (void)state;
    for (unsigned k = 1; k < 12; k++) {
        struct hx_rig r;
        start(&r);
        add(&r, LAST + 1, 7, 1, false);
        announce(&r, LAST + 1, 0);
        change_at = k;
        r.hook = new_epoch;
        assert_true(cycle(&r));
        assert_true(cycle(&r));
        assert_int_equal(change_at, 0);
        assert_int_equal(hx_seg_top(segment(&r, 0)).v, 2);
        assert_int_equal(segment(&r, 0)->scrub.undecided, 0);
        is_mended(&r, LAST + 1, 7, LAST + 1);
        hx_rig_fini(&r);
    }
}

static unsigned fail_at;
/* The segment that asked has read its disk again before the answer comes. */
static void another_life(struct hx_rig *r, unsigned from, unsigned type)
{
    if (from || (type != HX_MSG_DIGEST && type != HX_MSG_READ) || fail_at == 0 || --fail_at)
        return;
    hx_mem_fail(r->farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
    assert_int_equal(hx_rig_fence(r, 0, PG, 1, 900, NULL), 0);
    uint64_t lsn = segment(r, 0)->chain.scl + 1;
    uint8_t p[HX_PAGE_SIZE];
    content(lsn, 0, p);
    struct hx_rig_rec rec = {lsn, 11, HX_REC_IMAGE, HX_REC_CPL, p, 100};
    size_t n = hx_rig_frame(r, PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){0, 0, 0});
    assert_int_equal(hx_rig_append(r, 0, 1, 0, 0, r->frame, n, NULL), HX_E_POISONED);
    hx_revive_tick(r->node[0]);
    assert_int_equal(segment(r, 0)->error, 0);
}

/* Promise: an answer to the segment's life before is nobody's. */
static void answers_to_another_life_do_not_count(void **state)
{
    (void)state;
    for (unsigned k = 1; k < 9; k++) {
        struct hx_rig r;
        start(&r);
        add(&r, LAST + 1, 7, 1, false);
        announce(&r, LAST + 1, 0);
        fail_at = k;
        r.hook = another_life;
        assert_true(cycle(&r));
        assert_true(cycle(&r));
        assert_int_equal(fail_at, 0);
        is_mended(&r, LAST + 1, 7, LAST + 1);
        hx_rig_fini(&r);
    }
}

static unsigned geometry_at, geometry_how;
/* The members of the group are others, by a newer geometry. */
static void other_members(struct hx_rig *r, unsigned from, unsigned type)
{
    if (from || type != HX_MSG_DIGEST || geometry_at == 0 || --geometry_at)
        return;
    struct hx_geometry *g = &segment(r, 0)->meta.geometry;
    if (geometry_how) {
        g->servers[0].incarnation.b[5] ^= 1; /* we are none of them */
        return;
    }
    g->pgs[PG].server[0] = 5;
    g->pgs[PG].server[5] = 0;
}

/* Promise: whatever a newer geometry says of the members, it stops nothing, and nothing wrong comes of it. */
static void members_may_change_under_way(void **state)
{
    (void)state;
    for (unsigned k = 1; k < 14; k++) {
        struct hx_rig r;
        start(&r);
        add(&r, LAST + 1, 7, 1, false);
        announce(&r, LAST + 1, 0);
        geometry_at = 1 + k / 2;
        geometry_how = k % 2;
        r.hook = other_members;
        assert_true(cycle(&r));
        struct hx_geometry *g = &segment(&r, 0)->meta.geometry;
        if (!geometry_at && geometry_how)
            g->servers[0].incarnation.b[5] ^= 1;
        assert_true(cycle(&r));
        is_mended(&r, LAST + 1, 7, LAST + 1);
        hx_rig_fini(&r);
    }
}

/* Promise: a segment that has pruned what it would have to compare asks nothing, and votes on nothing. */
static void what_is_pruned_is_not_compared(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r);
    add(&r, LAST + 1, 7, 1, false);
    announce(&r, LAST + 1, 0);
    struct hx_seg *s = segment(&r, 0);
    s->oldest = LAST + 2; /* its SCL fell to damage below that */
    lies(&r, (struct plan){.type = HX_MSG_DIGEST, .liars = 63, .how = AS_IT_IS});
    assert_true(cycle(&r));
    assert_int_equal(plan.told, 0);
    assert_int_equal(s->scrub.differed, 0);
    s->oldest = 0;
    assert_true(cycle(&r));
    is_mended(&r, LAST + 1, 7, LAST + 1);
    hx_rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_without_sense_are_none),
        cmocka_unit_test(a_cycle_ends_though_nobody_answers),
        cmocka_unit_test(only_whole_answers_are_votes),
        cmocka_unit_test(only_the_right_bytes_replace_a_page),
        cmocka_unit_test(what_could_not_be_mended_is_mended_later),
        cmocka_unit_test(each_page_gets_its_own_bytes),
        cmocka_unit_test(below_the_right_content_it_stays_wrong),
        cmocka_unit_test(a_record_on_another_page_is_found),
        cmocka_unit_test(only_the_right_image_ends_it),
        cmocka_unit_test(answers_of_another_epoch_do_not_count),
        cmocka_unit_test(answers_to_another_life_do_not_count),
        cmocka_unit_test(members_may_change_under_way),
        cmocka_unit_test(what_is_pruned_is_not_compared),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("compare", tests, NULL, NULL);
}
