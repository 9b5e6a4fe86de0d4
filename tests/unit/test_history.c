/*
 * test_history.c - which (epoch, LSN) pairs exist, and where the log goes on after a cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hexad/history.h"

/* Epochs 1 (0..), 3 (cut at 5, begins above 105), 4 (cut at 5: epoch 3 wrote nothing), 7 (cut at 220). */
static void make(struct hx_history *h)
{
    static const struct hx_history_entry e[] = {
        {{1}, {0}, {0}, 100}, {{3}, {5}, {105}, 100}, {{4}, {5}, {205}, 100}, {{7}, {220}, {320}, 100}};
    for (size_t i = 0; i < HX_ARRAY_LEN(e); i++)
        assert_int_equal(hx_history_push(h, e[i]), 0);
}

/* The dumb twin: the definition in doc/PROTOCOL.md, word for word. */
static bool twin_valid(const struct hx_history *h, uint64_t lsn, uint64_t epoch)
{
    for (size_t i = 0; i < h->count; i++) {
        if (h->e[i].epoch.v != epoch)
            continue;
        if (lsn <= h->e[i].end.v)
            return false;
        for (size_t j = i + 1; j < h->count; j++)
            if (lsn > h->e[j].vdl.v)
                return false;
        return true;
    }
    return false;
}

/* Promise: validity is the definition, for every LSN and epoch around the cuts; the void has no upper end. */
static void validity_is_the_definition(void **state)
{
    (void)state;
    struct hx_history h = {0};
    make(&h);
    for (uint64_t epoch = 0; epoch < 10; epoch++)
        for (uint64_t lsn = 0; lsn < 500; lsn++)
            assert_int_equal(hx_history_valid(&h, HX_LSN(lsn), HX_EPOCH(epoch)), twin_valid(&h, lsn, epoch));
    assert_true(hx_history_valid(&h, HX_LSN(5), HX_EPOCH(1)));
    assert_false(hx_history_valid(&h, HX_LSN(6), HX_EPOCH(1)));
    assert_false(hx_history_valid(&h, HX_LSN(106), HX_EPOCH(3)));
    assert_false(hx_history_valid(&h, HX_LSN(1000000), HX_EPOCH(4)));
    hx_history_fini(&h);
}

/* Promise: walking by successor from 0 visits exactly the valid LSNs, in order, each in one epoch. */
static void the_walk_visits_all_valid_lsns(void **state)
{
    (void)state;
    struct hx_history h = {0};
    make(&h);
    uint64_t n = 0;
    for (uint64_t lsn = 1; lsn < 500; lsn++) {
        unsigned epochs = 0;
        for (uint64_t epoch = 1; epoch < 10; epoch++)
            epochs += twin_valid(&h, lsn, epoch);
        assert_true(epochs <= 1);
        if (!epochs)
            continue;
        n = hx_history_successor(&h, HX_LSN(n)).v;
        assert_true(n == lsn);
    }
    hx_history_fini(&h);
}

/* Promise: an empty epoch is stepped over; the first LSN of a new volume is 1. */
static void successor_at_the_edges(void **state)
{
    (void)state;
    struct hx_history h = {0};
    assert_int_equal(hx_history_push(&h, (struct hx_history_entry){{1}, {0}, {0}, 100}), 0);
    assert_true(hx_history_successor(&h, HX_LSN(0)).v == 1);
    assert_int_equal(hx_history_push(&h, (struct hx_history_entry){{2}, {0}, {100}, 100}), 0);
    assert_true(hx_history_successor(&h, HX_LSN(0)).v == 101);
    assert_int_equal(hx_history_push(&h, (struct hx_history_entry){{3}, {0}, {200}, 100}), 0);
    assert_true(hx_history_successor(&h, HX_LSN(0)).v == 201);
    assert_true(hx_history_successor(&h, HX_LSN(201)).v == 202);
    hx_history_fini(&h);
}

/* Promise: the point at or below an LSN is the highest that is valid under the history in any epoch, and 0 below all.
 * Method: every LSN against validity, one by one. */
static void a_point_is_the_highest_valid_lsn_at_or_below(void **state)
{
    (void)state;
    struct hx_history h = {0};
    uint64_t best = 0;
    assert_int_equal(hx_history_point(&h, HX_LSN(7)).v, 0);
    make(&h);
    for (uint64_t lsn = 1; lsn < 500; lsn++) {
        for (uint64_t epoch = 1; epoch < 10; epoch++)
            if (twin_valid(&h, lsn, epoch))
                best = lsn;
        assert_int_equal(hx_history_point(&h, HX_LSN(lsn)).v, best);
    }
    hx_history_fini(&h);
}

/* Promise: a list that breaks an order rule is refused, by push and by decode. */
static void disorder_is_refused(void **state)
{
    (void)state;
    static const struct hx_history_entry bad[] = {
        {{1}, {10}, {200}, 5},  /* epoch not above */
        {{2}, {4}, {200}, 5},   /* cut below an older cut */
        {{2}, {10}, {105}, 5},  /* end not above */
        {{2}, {300}, {200}, 5}, /* cut above its end */
        {{2}, {10}, {200}, 0},  /* nothing may be allocated */
    };
    for (size_t i = 0; i < HX_ARRAY_LEN(bad); i++) {
        struct hx_history h = {0};
        assert_int_equal(hx_history_push(&h, (struct hx_history_entry){{1}, {5}, {105}, 5}), 0);
        assert_int_equal(hx_history_push(&h, bad[i]), HX_E_INVAL);
        assert_int_equal(h.count, 1);
        uint8_t buf[128];
        struct hx_enc e = hx_enc_init(buf, sizeof buf);
        hx_history_encode(&h, &e);
        hx_enc_u64(&e, bad[i].epoch.v);
        hx_enc_u64(&e, bad[i].vdl.v);
        hx_enc_u64(&e, bad[i].end.v);
        hx_enc_u64(&e, bad[i].lal);
        hx_put_u32(buf, 2);
        struct hx_dec d = hx_dec_init(buf, e.len);
        assert_int_equal(hx_history_decode(&h, &d), HX_E_BADMSG);
        assert_int_equal(h.count, 1);
        hx_history_fini(&h);
    }
}

/* Promise: bytes and list are the same thing; every truncation is refused; a huge count allocates nothing. */
static void encoding_round_trip(void **state)
{
    (void)state;
    struct hx_history h = {0}, g = {0};
    uint8_t buf[256];
    make(&h);
    struct hx_enc e = hx_enc_init(buf, sizeof buf);
    hx_history_encode(&h, &e);
    assert_int_equal(e.len, hx_history_encoded_len(&h));
    struct hx_dec d = hx_dec_init(buf, e.len);
    assert_int_equal(hx_history_decode(&g, &d), 0);
    assert_true(hx_history_equal(&h, &g));
    for (size_t len = 0; len < e.len; len++) {
        d = hx_dec_init(buf, len);
        assert_true(hx_history_decode(&g, &d) < 0);
    }
    hx_put_u32(buf, 0x7fffffff);
    d = hx_dec_init(buf, e.len);
    assert_int_equal(hx_history_decode(&g, &d), HX_E_BADMSG);
    assert_true(hx_history_equal(&h, &g));
    hx_history_fini(&h);
    hx_history_fini(&g);
}

/* Promise: histories are equal only when every entry is; an empty one has no top, and starts with nothing. */
static void every_field_tells_two_histories_apart(void **state)
{
    (void)state;
    struct hx_history a = {0}, b = {0};
    assert_int_equal(hx_history_top(&a).v, 0);
    assert_null(hx_history_top_entry(&a));
    assert_int_equal(hx_history_copy(&b, &a), 0);
    assert_true(hx_history_equal(&a, &b));
    assert_int_equal(hx_history_successor(&a, HX_LSN(7)).v, 8);
    make(&a);
    assert_false(hx_history_equal(&a, &b));
    for (unsigned what = 0; what < 4; what++) {
        assert_int_equal(hx_history_copy(&b, &a), 0);
        assert_true(hx_history_equal(&a, &b));
        struct hx_history_entry *e = &b.e[b.count - 1];
        *(what == 0 ? &e->epoch.v : what == 1 ? &e->vdl.v : what == 2 ? &e->end.v : &e->lal) += 1;
        assert_false(hx_history_equal(&a, &b));
    }
    hx_history_fini(&a);
    hx_history_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_tells_two_histories_apart),
        cmocka_unit_test(a_point_is_the_highest_valid_lsn_at_or_below),
        cmocka_unit_test(validity_is_the_definition), cmocka_unit_test(the_walk_visits_all_valid_lsns),
        cmocka_unit_test(successor_at_the_edges),     cmocka_unit_test(disorder_is_refused),
        cmocka_unit_test(encoding_round_trip),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
