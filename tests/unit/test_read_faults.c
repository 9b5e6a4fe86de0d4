/*
 * test_read_faults.c - each read of a segment's disk fails once, with an error or for want of memory: at a start, while
 * pages are read, records fetched, everything scrubbed, pages compared and mended.
 *
 * Method: the same life with a peer is lived once for each read; whatever it meets, nothing wrong is served then or
 * later, want of memory is no damage, and once the disk reads again everything is there (what an error made UNKNOWN
 * comes back from the peer).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "node_rig.h"

#include <stdlib.h>

#define PG 1u
#define LSNS 80u
#define PAGES 16u

static struct hx_segment_status status(struct hx_rig *r, unsigned i)
{
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(r, i, PG, &s), 0);
    return s;
}

/* The first byte of page P at the end: the newest record of it. */
static uint64_t newest(uint32_t page)
{
    return LSNS / PAGES * PAGES - PAGES + page + (page ? 0 : PAGES);
}

/* Images and patches of noise and of zeros, in log files of 16 KiB. */
static void start(struct hx_rig *r)
{
    static uint8_t data[HX_PAGE_SIZE];
    hx_rig_init(r, 2, 1u << 20, 2, 16u << 10);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(hx_rig_format(r, i, PG), 0);
    for (uint64_t lsn = 1; lsn <= LSNS; lsn++) {
        bool image = lsn <= PAGES || lsn % 3 == 0, noise = lsn % 2;
        uint64_t x = lsn * 0x9e3779b97f4a7c15u;
        for (size_t k = 0; k < sizeof data; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            data[k] = noise ? (uint8_t)(x >> 8) : 3;
        }
        size_t len = image ? 3000 : 60;
        hx_put_u64(data + (image ? 0 : 4), lsn);
        if (!image) {
            hx_put_u16(data, 0);
            hx_put_u16(data + 2, 56);
        }
        data[len - 1] = 1;
        struct hx_rig_rec rec = {
            lsn, (uint32_t)(lsn % PAGES), image ? HX_REC_IMAGE : HX_REC_PATCH, HX_REC_CPL, data, len};
        size_t n = hx_rig_frame(r, PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){lsn - 1, 0, 0});
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(hx_rig_append(r, i, 1, lsn - 1, 0, r->frame, n, NULL), 0);
        hx_rig_step(r, 50);
    }
}

/* Nothing wrong is served. *ret_bad: pages that are not served. */
static void look(struct hx_rig *r, bool many, unsigned *ret_bad)
{
    struct hx_rig_reply a;
    uint8_t b[12 + 4 * PAGES];
    *ret_bad = PAGES;
    for (uint32_t page = 0; page < PAGES && !many; page++) {
        struct hx_read_page p = {.state = HX_READ_CORRUPT};
        uint8_t data[HX_PAGE_SIZE];
        if (hx_rig_read(r, 0, PG, 1, LSNS, page, data, &p) || p.state == HX_READ_CORRUPT)
            continue;
        assert_int_equal(p.lsn.v, newest(page));
        assert_int_equal(hx_get_u64(data), newest(page));
        --*ret_bad;
    }
    if (!many)
        return;
    hx_put_u64(b, LSNS);
    hx_put_u32(b + 8, PAGES);
    for (uint32_t page = 0; page < PAGES; page++)
        hx_put_u32(b + 12 + 4 * (size_t)page, page);
    if (!hx_rig_call(r, 0, &(struct hx_rig_ask){.type = HX_MSG_READ, .pg = PG, .body = {b, sizeof b}}, &a)) {
        struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
        const uint8_t *data = a.body.p + (size_t)PAGES * HX_READ_PAGE_BYTES;
        for (uint32_t page = 0; page < PAGES; page++) {
            struct hx_read_page p;
            hx_read_page_decode(&p, &d);
            assert_int_not_equal(p.state, HX_READ_ZEROS);
            if (p.state != HX_READ_RAW)
                continue;
            assert_int_equal(hx_get_u64(data), newest(page));
            data += HX_PAGE_SIZE;
            --*ret_bad;
        }
    }
    hx_rig_reply_fini(&a);
}

static void fetch(struct hx_rig *r)
{
    static const uint8_t all[21] = {[8] = 200, [18] = 1};
    struct hx_rig_ask q = {.type = HX_MSG_FETCH, .pg = PG, .name = "a2", .role = HX_NODE_ROLE_SEGMENT,
                           .body = {all, sizeof all}};
    hx_rig_call(r, 0, &q, NULL);
}

/* What the K-th read meets: a start, reads one by one and together, a FETCH, background work, a cycle of scrubbing. */
static bool live(uint64_t k, int err)
{
    struct hx_rig r;
    unsigned bad;
    start(&r);
    hx_rig_stop(&r, 0);
    r.scrub_cycle_s = 1;
    hx_mem_fail_read(r.farm[0], k, err);
    int started = hx_rig_start(&r, 0);
    if (started) {
        assert_int_equal(started, err);
        assert_int_equal(hx_rig_start(&r, 0), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        look(&r, i == 1, &bad);
        fetch(&r);
        for (unsigned n = 0; n < 3; n++)
            hx_rig_step(&r, 700);
    }
    bool met = hx_mem_read_failed(r.farm[0]);
    hx_mem_fail_read(r.farm[0], 0, 0);
    if (err == HX_E_NOMEM)
        assert_int_equal(status(&r, 0).damaged, 0);
    bad = 1;
    for (unsigned i = 0; i < 200 && (bad || status(&r, 0).damaged || status(&r, 0).scl.v < LSNS); i++) {
        hx_rig_step(&r, 200);
        look(&r, i % 2, &bad);
    }
    look(&r, false, &bad);
    assert_int_equal(bad, 0);
    assert_int_equal(status(&r, 0).damaged, 0);
    assert_int_equal(status(&r, 0).scl.v, LSNS);
    hx_rig_stop(&r, 0);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    look(&r, true, &bad);
    hx_rig_fini(&r);
    return met;
}

static void for_each_read(int err)
{
    uint64_t k = 1;
    while (live(k, err))
        k += 1 + k / 64;
    print_message("# %llu reads\n", (unsigned long long)k);
    assert_true(k > 60);
}

/* Promise: a read that gives an error once costs no page: what could not be read is mended, and nothing wrong
 * served. */
static void a_read_that_fails(void **state)
{
    (void)state;
    for_each_read(HX_E_IO);
}

/* Promise: a read that lacks memory once is no damage at all. */
static void a_read_that_lacks_memory(void **state)
{
    (void)state;
    for_each_read(HX_E_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_that_fails),
        cmocka_unit_test(a_read_that_lacks_memory),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("read_faults", tests, NULL, NULL);
}
