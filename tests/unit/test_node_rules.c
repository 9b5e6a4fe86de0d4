/*
 * test_node_rules.c - rules of a server with several segments, and of what it does besides requests: many that are
 * opened or flushed together, of which some fail; space that comes back; the reserve; DIGEST of what is not there.
 *
 * Method: one server over a disk in memory; where a state is rare it is set by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"
#include "seg_model.h"

static struct hx_seg *segment(struct hx_rig *r, uint32_t pg)
{
    struct hx_disk_place at = hx_rig_place(r, pg);
    struct hx_seg *s = hx_node_find(r->node[0], &at.volume, at.pg);
    assert_non_null(s);
    return s;
}

static void start(struct hx_rig *r, uint32_t pgs, uint32_t file_bytes)
{
    hx_rig_init(r, 1, 1u << 20, pgs, file_bytes);
    for (uint32_t pg = 0; pg < pgs; pg++)
        assert_int_equal(hx_rig_format(r, 0, pg), 0);
}

/* An APPEND of record LSN to PG, not flushed yet; its token. */
static uint64_t ask_append(struct hx_rig *r, uint32_t pg, uint64_t lsn)
{
    static uint8_t b[HX_FRAME_MAX + 100];
    struct hx_append_head h = {.frame_count = 1};
    struct hx_enc e = hx_enc_init(b, sizeof b);
    size_t n = hx_rig_run(r, pg, 1, lsn - 1, lsn, 1, 0);
    hx_append_head_encode(&h, &e);
    hx_enc_bytes(&e, r->frame, n);
    return hx_rig_ask(r, 0, &(struct hx_rig_ask){.type = HX_MSG_APPEND, .pg = pg, .conn = 1, .body = {b, e.len}});
}

/* The status of the ack to TOKEN. */
static int ack(struct hx_rig *r, uint64_t token)
{
    struct hx_rig_reply a = {0};
    struct hx_ack k;
    hx_rig_take(r, 0, token, &a);
    assert_true(a.came && !a.head.status);
    struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
    hx_ack_decode(&k, &d);
    hx_rig_reply_fini(&a);
    return k.status;
}

/* Promise: more segments than are flushed at a time are all opened, flushed, and there. */
static void many_segments_are_opened(void **state)
{
    (void)state;
    const uint32_t many = HX_DISK_FLUSH_MAX + 6;
    struct hx_rig r;
    start(&r, many, 16u << 10);
    uint64_t token = 0;
    for (uint32_t pg = 0; pg < many; pg++)
        token = ask_append(&r, pg, 1);
    hx_node_flush(r.node[0]);
    assert_int_equal(ack(&r, token), 0);
    hx_rig_stop(&r, 0);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    for (uint32_t pg = 0; pg < many; pg++) {
        assert_int_equal(segment(&r, pg)->error, 0);
        assert_int_equal(segment(&r, pg)->late, 0);
        assert_int_equal(segment(&r, pg)->chain.scl, 1);
    }
    hx_rig_fini(&r);
}

/* Promise: a segment whose flush at the start fails answers nothing; the others do, and it comes back by itself. */
static void one_of_many_fails_at_the_start(void **state)
{
    (void)state;
    for (uint64_t k = 1; k <= 3; k++) {
        struct hx_rig r;
        unsigned failed = 0;
        start(&r, 3, 16u << 10);
        for (uint32_t pg = 0; pg < 3; pg++) {
            uint64_t token = ask_append(&r, pg, 1);
            hx_node_flush(r.node[0]);
            assert_int_equal(ack(&r, token), 0);
        }
        hx_rig_stop(&r, 0);
        hx_mem_fail(r.farm[0], HX_MEM_FLUSH, k, HX_E_IO, false);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        for (uint32_t pg = 0; pg < 3; pg++)
            failed += segment(&r, pg)->error == HX_E_POISONED;
        assert_int_equal(failed, 1);
        for (unsigned i = 0; i < 4; i++)
            hx_rig_step(&r, 1000);
        for (uint32_t pg = 0; pg < 3; pg++) {
            assert_int_equal(segment(&r, pg)->error, 0);
            assert_int_equal(segment(&r, pg)->chain.scl, 1);
        }
        hx_rig_fini(&r);
    }
}

/* Promise: of several that are flushed together one that failed meanwhile takes nothing, and says so; the others go
 * on. */
static void one_that_failed_is_not_flushed_with_the_others(void **state)
{
    (void)state;
    struct hx_rig r;
    uint64_t token[3];
    start(&r, 3, 16u << 10);
    for (uint32_t pg = 0; pg < 3; pg++)
        token[pg] = ask_append(&r, pg, 1);
    hx_seg_poison(segment(&r, 1), HX_E_POISONED);
    hx_node_flush(r.node[0]);
    struct hx_rig_reply a[3] = {{0}};
    struct hx_node_effect e;
    int status[3] = {1, 1, 1};
    while (hx_node_next(r.node[0], &e)) {
        for (uint32_t pg = 0; pg < 3; pg++) {
            struct hx_ack k;
            if (e.token != token[pg])
                continue;
            assert_int_equal(hx_reply_decode(e.body.p, e.body.len, &a[pg].head, &a[pg].body), 0);
            struct hx_dec d = hx_dec_init(a[pg].body.p, a[pg].body.len);
            hx_ack_decode(&k, &d);
            status[pg] = k.status;
        }
    }
    assert_true(status[0] == 0 && status[1] == HX_E_POISONED && status[2] == 0);
    assert_true(segment(&r, 0)->chain.scl == 1 && segment(&r, 1)->chain.scl == 0 && segment(&r, 2)->chain.scl == 1);
    hx_rig_fini(&r);
}

/* Promise: that space has come back is noticed for the segments that lack it, and for no others. */
static void space_comes_back(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r, 2, 16u << 10);
    struct hx_seg *s = segment(&r, 1);
    hx_node_tick(r.node[0], r.now_ms += 50);
    s->nospace = true;
    hx_mem_fail_space(r.farm[0], HX_E_IO);
    hx_node_tick(r.node[0], r.now_ms += 50);
    assert_true(s->nospace);
    hx_mem_fail_space(r.farm[0], 0);
    hx_node_tick(r.node[0], r.now_ms += 50);
    assert_false(s->nospace || segment(&r, 0)->nospace);
    hx_rig_fini(&r);
}

/* Promise: the reserve is made a piece at a time; when there is no room for it nothing is left of it, and it is tried
 * again after a while, not at once. */
static void the_reserve_is_made_in_pieces(void **state)
{
    (void)state;
    struct hx_rig r;
    unsigned steps = 0;
    hx_rig_init(&r, 1, 64u << 20, 1, 64u << 20);
    assert_int_equal(hx_rig_format(&r, 0, 0), 0);
    struct hx_seg *s = segment(&r, 0);
    assert_int_equal(hx_reserve_wanted(s), 16u << 10); /* a segment that has hardly anything */
    struct hx_logfile full = {.id = HX_LOG_FIRST_ID, .end = 60u << 20}, *files[] = {&full};
    s->log.files = files;
    s->log.slot_count = 1;
    full.end = 8u << 10;
    assert_int_equal(hx_reserve_wanted(s), 16u << 10);
    full.end = (8u << 10) + 1;
    uint64_t wanted = hx_reserve_wanted(s);
    assert_int_equal(wanted, 16u << 20);
    assert_true(hx_reserve_work(s));
    uint64_t piece = s->reserve.bytes;
    assert_true(piece > 0 && piece < wanted / 2);
    hx_mem_fail(r.farm[0], HX_MEM_WRITE, 1, HX_E_NOSPACE, false);
    assert_false(hx_reserve_work(s));
    assert_int_equal(s->reserve.bytes, 0);
    assert_false(s->nospace); /* nobody lacks it */
    for (; !s->reserve.bytes && steps < 1000; steps++)
        hx_reserve_work(s);
    assert_in_range(steps, 30, 200);
    s->reserve.tight = true; /* appends wait for it to be whole */
    while (hx_reserve_work(s)) {
        assert_true(s->reserve.tight);
        piece = s->reserve.bytes;
    }
    assert_true(s->reserve.bytes == wanted && piece < wanted && !s->reserve.tight);
    s->log.files = NULL;
    s->log.slot_count = 0;
    hx_rig_fini(&r);
}

/* Promise: DIGEST of a segment that is not there, or has failed, is answered with just that. */
static void digests_of_what_is_not_there(void **state)
{
    (void)state;
    struct hx_rig r;
    uint8_t b[HX_DIGEST_ASK];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_digest_ask_encode(&(struct hx_digest_ask){HX_LSN(0), 0, 1, 1}, &e);
    struct hx_rig_ask q = {.type = HX_MSG_DIGEST, .role = HX_NODE_ROLE_SEGMENT, .name = "a2", .body = {b, sizeof b}};
    start(&r, 1, 16u << 10);
    assert_int_equal(hx_rig_call(&r, 0, &q, NULL), 0);
    hx_seg_poison(segment(&r, 0), HX_E_CORRUPT);
    assert_int_equal(hx_rig_call(&r, 0, &q, NULL), HX_E_CORRUPT);
    q.pg = 1;
    assert_int_equal(hx_rig_call(&r, 0, &q, NULL), HX_E_NO_SEGMENT);
    q.type = HX_MSG_HISTORY;
    assert_int_equal(hx_rig_call(&r, 0, &q, NULL), HX_E_BADMSG);
    q.body.len = 0;
    assert_int_equal(hx_rig_call(&r, 0, &q, NULL), HX_E_NO_SEGMENT);
    hx_rig_fini(&r);
}

/* Promise: while a segment of whatever volume cannot be read nobody hears that there is no such volume. */
static void an_unreadable_segment_may_be_of_any_volume(void **state)
{
    (void)state;
    for (unsigned broken = 0; broken < 2; broken++) {
        struct hx_rig r;
        uint8_t b[80];
        size_t len;
        struct hx_enc e = hx_enc_init(b, sizeof b);
        hx_enc_str(&e, "other");
        start(&r, 1, 16u << 10);
        struct hx_disk_place at = hx_rig_place(&r, 0);
        hx_rig_stop(&r, 0);
        for (uint64_t slot = 1; broken && slot <= 2; slot++)
            hx_mem_file(r.farm[0], &at, slot, &len)[20] ^= 1;
        assert_int_equal(hx_rig_start(&r, 0), 0);
        struct hx_rig_ask q = {.type = HX_MSG_LOOKUP, .body = {b, e.len}};
        assert_int_equal(hx_rig_call(&r, 0, &q, NULL), broken ? HX_E_CORRUPT : HX_E_NO_VOLUME);
        hx_rig_fini(&r);
    }
}

/* Promise: an announcement names the segments that take nothing, also one whose reserve is being made whole again. */
static void announcements_name_who_takes_nothing(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        struct hx_rig r;
        start(&r, 1, 16u << 10);
        struct hx_seg *s = segment(&r, 0);
        s->nospace = k == 1;
        s->reserve.tight = k == 2;
        if (k == 3) { /* it says that to everything, and not as want of space */
            s->nospace = true;
            hx_seg_poison(s, HX_E_POISONED);
        }
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, NULL, 0, NULL), k == 1 || k == 2 ? HX_E_NOSPACE : 0);
        hx_rig_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_segments_are_opened),
        cmocka_unit_test(one_of_many_fails_at_the_start),
        cmocka_unit_test(one_that_failed_is_not_flushed_with_the_others),
        cmocka_unit_test(space_comes_back),
        cmocka_unit_test(the_reserve_is_made_in_pieces),
        cmocka_unit_test(an_unreadable_segment_may_be_of_any_volume),
        cmocka_unit_test(announcements_name_who_takes_nothing),
        cmocka_unit_test(digests_of_what_is_not_there),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("node_rules", tests, NULL, NULL);
}
