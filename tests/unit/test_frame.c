/*
 * test_frame.c - records and frames: identity of encode and decode, garbage, diff and apply.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hexad/crc.h"
#include "hexad/frame.h"

#include <stdlib.h>

static uint64_t rng_state;
static uint32_t rng(void)
{
    rng_state = rng_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(rng_state >> 33);
}


/* A frame of COUNT records with payloads of up to MAX bytes, compressible or not; to OUT, its length. */
static size_t make_frame(struct hx_frame_builder *b, unsigned count, size_t max, bool text, uint8_t *out)
{
    static const struct hx_uuid volume = {{1, 2, 3}};
    static uint8_t payload[HX_PAGE_SIZE];
    hx_frame_builder_reset(b, &volume, 7, HX_EPOCH(3), HX_LSN(100));
    uint64_t lsn = 100;
    for (unsigned i = 0; i < count; i++) {
        size_t len = max ? rng() % (max + 1) : 0;
        for (size_t k = 0; k < len; k++)
            payload[k] = text ? (uint8_t)("hexad "[k % 6]) : (uint8_t)rng();
        if (!hx_frame_builder_fits(b, len))
            break;
        lsn += 1 + rng() % 3;
        hx_frame_builder_add(b, HX_LSN(lsn), rng() % 1000, len ? HX_REC_IMAGE : HX_REC_FREE,
                             i + 1 == count ? HX_REC_CPL : 0, (struct hx_bytes){payload, len / 2},
                             (struct hx_bytes){payload + len / 2, len - len / 2});
    }
    return hx_frame_builder_seal(b, HX_LSN(90), HX_LSN(80), HX_LSN(70), 123456, out);
}

/* Promise: what was put in comes out, compressed or not; and the bytes say all that the head should. */
static void a_frame_reads_back(void **state)
{
    (void)state;
    static uint8_t bytes[HX_FRAME_MAX], buf[HX_FRAME_RAW_MAX];
    /* One builder each: after bytes that do not compress, a builder leaves attempts out. */
    struct hx_frame_builder *both[2], *b;
    assert_int_equal(hx_frame_builder_new(&both[0]), 0);
    assert_int_equal(hx_frame_builder_new(&both[1]), 0);
    for (unsigned round = 0; round < 60; round++) {
        rng_state = round;
        bool text = round & 1;
        b = both[text];
        size_t len = make_frame(b, 1 + round * 7 % 90, round % 3 ? 4096 : 40, text, bytes);
        struct hx_frame_head h;
        const uint8_t *raw;
        assert_int_equal(hx_frame_head_decode(bytes, len, &h), 0);
        assert_int_equal(hx_frame_bytes(&h), len);
        assert_int_equal(h.count, hx_frame_builder_count(b));
        assert_true(h.pg == 7 && h.epoch.v == 3 && h.prev.v == 100 && h.vdl.v == 90 && h.floor.v == 80 && h.gc.v == 70);
        assert_int_equal(hx_frame_body(&h, bytes + HX_FRAME_HEAD, buf, &raw), 0);
        if (text && h.raw_len > 5000)
            assert_true(h.body_len < h.raw_len / 4);
        struct hx_frame_walk w;
        struct hx_rec r;
        uint64_t prev = 100;
        int more;
        hx_frame_walk_init(&w, &h, raw);
        while ((more = hx_frame_walk_next(&w, &r)) == 1) {
            assert_true(r.prev.v == prev && r.lsn.v > prev);
            prev = r.lsn.v;
            for (size_t k = 0; text && k < r.len; k++)
                assert_int_equal(r.payload[k], "hexad "[k % 6]);
        }
        assert_int_equal(more, 0);
        assert_true(prev == h.last.v);
    }
    hx_frame_builder_free(both[0]);
    hx_frame_builder_free(both[1]);
}

static int read_all(const uint8_t *bytes, size_t len, uint8_t *buf)
{
    struct hx_frame_head h;
    const uint8_t *raw;
    int err = hx_frame_head_decode(bytes, len, &h);
    if (!err && hx_frame_bytes(&h) > len)
        err = HX_E_EOF;
    if (!err)
        err = hx_frame_body(&h, bytes + HX_FRAME_HEAD, buf, &raw);
    if (err)
        return err;
    struct hx_frame_walk w;
    struct hx_rec r;
    hx_frame_walk_init(&w, &h, raw);
    do
        err = hx_frame_walk_next(&w, &r);
    while (err == 1);
    return err;
}

/* Promise: a flip of any single bit, and any truncation, is noticed.  Every bit of a small frame. */
static void every_bit_flip_is_noticed(void **state)
{
    (void)state;
    static uint8_t bytes[HX_FRAME_MAX], buf[HX_FRAME_RAW_MAX];
    struct hx_frame_builder *b;
    assert_int_equal(hx_frame_builder_new(&b), 0);
    for (unsigned text = 0; text < 2; text++) {
        rng_state = 5;
        size_t len = make_frame(b, 4, 200, text, bytes);
        assert_int_equal(read_all(bytes, len, buf), 0);
        for (size_t bit = 0; bit < 8 * len; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_true(read_all(bytes, len, buf) < 0);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t n = 0; n < len; n++)
            assert_true(read_all(bytes, n, buf) < 0);
    }
    hx_frame_builder_free(b);
}

/* Promise: bytes with right checksums and wrong content are refused, not believed: lengths, kinds, order.
 * Random damage below repaired checksums; nothing may be read outside (run under sanitizers). */
static void garbage_with_good_checksums_is_survived(void **state)
{
    (void)state;
    static uint8_t bytes[HX_FRAME_MAX], copy[HX_FRAME_MAX], buf[HX_FRAME_RAW_MAX];
    struct hx_frame_builder *b;
    unsigned refused = 0;
    assert_int_equal(hx_frame_builder_new(&b), 0);
    rng_state = 9;
    size_t len = make_frame(b, 6, 100, false, bytes);
    for (unsigned round = 0; round < 20000; round++) {
        memcpy(copy, bytes, len);
        for (unsigned k = 0; k <= rng() % 3; k++)
            copy[rng() % len] = (uint8_t)rng();
        uint32_t body_len = hx_get_u32(copy + 100);
        if (body_len <= len - HX_FRAME_HEAD)
            hx_put_u32(copy + 104, hx_crc32c(0, copy + HX_FRAME_HEAD, body_len));
        hx_put_u32(copy + 108, hx_crc32c(0, copy, 108));
        /* Exact allocation, so that a sanitizer sees a step over the end. */
        uint8_t *exact = malloc(len);
        assert_non_null(exact);
        memcpy(exact, copy, len);
        refused += read_all(exact, len, buf) < 0;
        free(exact);
    }
    assert_true(refused > 1000);
    hx_frame_builder_free(b);
}

static void random_page(uint8_t *page, unsigned style)
{
    memset(page, 0, HX_PAGE_SIZE);
    if (style == 0)
        return;
    for (size_t i = 0; i < HX_PAGE_SIZE; i++)
        page[i] = style == 1 ? (uint8_t)rng() : rng() % 50 ? 0 : (uint8_t)rng();
}

/* Promise: applying the difference gives exactly the page, for every kind, and the payload is never
 * larger than the page.  Random pages and edits of every size. */
static void diff_then_apply_is_identity(void **state)
{
    (void)state;
    uint8_t before[HX_PAGE_SIZE], after[HX_PAGE_SIZE], page[HX_PAGE_SIZE], out[HX_PAGE_SIZE];
    static const uint8_t zeros[HX_PAGE_SIZE];
    unsigned seen[8] = {0};
    rng_state = 11;
    for (unsigned round = 0; round < 20000; round++) {
        random_page(before, rng() % 3);
        memcpy(after, before, sizeof after);
        unsigned edits = rng() % 12;
        for (unsigned k = 0; k < edits; k++) {
            size_t off = rng() % HX_PAGE_SIZE, n = 1 + rng() % (rng() % 8 ? 16 : HX_PAGE_SIZE);
            for (size_t i = off; i < HX_PAGE_SIZE && i < off + n; i++)
                after[i] = (uint8_t)rng();
        }
        if (rng() % 40 == 0)
            memset(after, 0, sizeof after);
        bool over_zeros = rng() % 4 == 0, unknown = !over_zeros && rng() % 4 == 0;
        uint16_t len;
        int kind = hx_rec_diff(unknown ? NULL : over_zeros ? zeros : before, after, over_zeros, out, &len);
        assert_true(kind >= 0 && kind <= HX_REC_SPARSE && len <= HX_PAGE_SIZE);
        seen[kind]++;
        memcpy(page, before, sizeof page);
        if (over_zeros)
            memset(page, 0, sizeof page);
        if (unknown)
            assert_true(kind != 0 && hx_rec_is_base((uint8_t)kind));
        if (over_zeros && kind)
            assert_true(hx_rec_is_base((uint8_t)kind));
        if (kind)
            assert_int_equal(hx_rec_apply(page, (uint8_t)kind, kind == HX_REC_IMAGE ? after : out, len), 0);
        assert_memory_equal(page, after, sizeof page);
    }
    assert_true(seen[0] && seen[HX_REC_PATCH] && seen[HX_REC_IMAGE] && seen[HX_REC_ZERO] && seen[HX_REC_SPARSE]);
}

/* Promise: a change of a few bytes costs a few bytes. */
static void a_small_change_is_a_small_record(void **state)
{
    (void)state;
    uint8_t before[HX_PAGE_SIZE], after[HX_PAGE_SIZE], out[HX_PAGE_SIZE];
    uint16_t len;
    rng_state = 3;
    random_page(before, 1);
    memcpy(after, before, sizeof after);
    after[100] ^= 1;
    after[3000] ^= 1;
    assert_int_equal(hx_rec_diff(before, after, false, out, &len), HX_REC_PATCH);
    assert_int_equal(len, 10);
}

/* Promise: a malformed payload is refused and leaves the page as it was. */
static void a_bad_payload_changes_nothing(void **state)
{
    (void)state;
    uint8_t page[HX_PAGE_SIZE], copy[HX_PAGE_SIZE], payload[64];
    rng_state = 17;
    random_page(page, 1);
    memcpy(copy, page, sizeof copy);
    unsigned refused = 0;
    for (unsigned round = 0; round < 20000; round++) {
        size_t len = rng() % sizeof payload;
        for (size_t i = 0; i < len; i++)
            payload[i] = (uint8_t)(rng() % 3 ? rng() % 20 : rng());
        uint8_t kind = (uint8_t)(rng() % 8);
        if (hx_rec_apply(page, kind, payload, len) < 0) {
            refused++;
            assert_memory_equal(page, copy, sizeof page);
        }
        memcpy(page, copy, sizeof page);
    }
    assert_true(refused > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_reads_back),
        cmocka_unit_test(every_bit_flip_is_noticed),
        cmocka_unit_test(garbage_with_good_checksums_is_survived),
        cmocka_unit_test(diff_then_apply_is_identity),
        cmocka_unit_test(a_small_change_is_a_small_record),
        cmocka_unit_test(a_bad_payload_changes_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
