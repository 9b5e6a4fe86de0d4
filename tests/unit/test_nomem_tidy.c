/*
 * test_nomem_tidy.c - what a segment server does by itself while its k-th allocation fails, once or from then on, for
 * every k: emptying files, making images, scrubbing what is damaged, mending what has diverged, reading a disk that has
 * failed, starting by a checkpoint; and the same with each read that has no memory.
 *
 * Method: as test_nomem_store.c; afterwards memory is back, and everything is there, and goes on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"
#include "nomem_kit.h"

#include <stdlib.h>

#define PG 1u
#define PAGES 8u

static struct hx_seg *segment(struct hx_rig *r, unsigned i)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    return hx_node_find(r->node[i], &at.volume, at.pg);
}

/* The value of a page is the LSN that it got last; the rest of it is the same for all, or noise. */
static void add(struct hx_rig *r, uint64_t lsn, uint8_t kind, size_t len, uint64_t mark, unsigned wrong)
{
    static uint8_t data[HX_PAGE_SIZE];
    uint64_t noise = lsn;
    hx_put_u64(data, lsn);
    for (size_t i = 8; i < sizeof data; i++) {
        noise = noise * UINT64_C(6364136223846793005) + 1;
        data[i] = len < 600 ? 1 : (uint8_t)(noise >> 56);
    }
    if (kind == HX_REC_PATCH) {
        hx_put_u16(data, 0);
        hx_put_u16(data + 2, (uint16_t)(len - 4));
        hx_put_u64(data + 4, lsn);
    }
    for (unsigned i = 0; i < r->count; i++) {
        struct hx_rig_rec rec = {lsn, (uint32_t)(lsn % PAGES), kind, HX_REC_CPL, data, len};
        data[len - 1] ^= wrong >> i & 1;
        size_t n = hx_rig_frame(r, PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){mark, mark, mark});
        data[len - 1] ^= wrong >> i & 1;
        assert_int_equal(hx_rig_append(r, i, 1, mark, mark, r->frame, n, NULL), 0);
    }
}

static bool all_there(struct hx_rig *r, unsigned i, uint64_t last)
{
    bool good = true;
    for (uint64_t lsn = last - PAGES + 1; lsn <= last; lsn++) {
        uint8_t data[HX_PAGE_SIZE];
        struct hx_read_page p = {.state = HX_READ_CORRUPT};
        int err = hx_rig_read(r, i, PG, 1, last, (uint32_t)(lsn % PAGES), data, &p);
        if (!err && p.state != HX_READ_CORRUPT)
            assert_int_equal(hx_get_u64(data), lsn);
        good = good && !err && p.state == HX_READ_RAW;
    }
    return good;
}

/* Memory is back; those that stopped over it come back by themselves, or with a restart. */
static void recovers(struct hx_rig *r)
{
    lift();
    for (unsigned i = 0; i < r->count; i++) {
        if (!r->node[i])
            assert_int_equal(hx_rig_start(r, i), 0);
        assert_non_null(segment(r, i));
    }
    for (unsigned k = 0; k < 20; k++)
        hx_rig_step(r, 1000);
    for (unsigned i = 0; i < r->count; i++)
        assert_int_equal(segment(r, i)->error, 0);
}

static void start(struct hx_rig *r, unsigned servers)
{
    hx_rig_init(r, servers, 1u << 20, 2, 16u << 10);
    for (unsigned i = 0; i < servers; i++)
        assert_int_equal(hx_rig_format(r, i, PG), 0);
}

/* ---- emptying files ---- */
static void tidy(uint64_t k, bool always)
{
    struct hx_rig r;
    uint64_t lsn = 1;
    (void)k;
    (void)always;
    start(&r, 1);
    for (; lsn <= PAGES; lsn++)
        add(&r, lsn, HX_REC_IMAGE, 500, 0, 0);
    for (; lsn <= 4 * PAGES; lsn++) /* heavy chains, and light ones */
        add(&r, lsn, HX_REC_PATCH, lsn % 2 ? 900 : 30, lsn - 1, 0);
    for (unsigned i = 0; i < 3; i++)
        hx_rig_step(&r, 20);
    struct hx_seg *s = segment(&r, 0);
    add(&r, lsn, HX_REC_IMAGE, 500, lsn - 1, 0);
    for (size_t i = 0; i < s->log.slot_count; i++)
        if (s->log.files[i] && s->log.files[i]->sided)
            s->log.files[i]->rotten = true; /* all of them are to be emptied */
    ALLOC_FAULTS(for (unsigned i = 0; i < 12; i++) hx_rig_step(&r, 20));
    recovers(&r);
    assert_true(all_there(&r, 0, lsn));
    hx_rig_stop(&r, 0);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_true(all_there(&r, 0, lsn));
    assert_int_equal(segment(&r, 0)->unknown_count, 0);
    hx_rig_fini(&r);
}

/* Promise: files are emptied later when there is no memory now, and nothing of them is lost. */
static void emptying_files(void **state)
{
    (void)state;
    for_each(tidy);
}

/* ---- images ---- */
static void images(uint64_t k, bool always)
{
    struct hx_rig r;
    uint64_t lsn = 1;
    (void)k;
    (void)always;
    start(&r, 1);
    for (; lsn <= 17 * PAGES; lsn++)
        add(&r, lsn, HX_REC_PATCH, 400, lsn - 1, 0);
    ALLOC_FAULTS(for (unsigned i = 0; i < 6; i++) hx_rig_step(&r, 20));
    recovers(&r);
    lsn--;
    assert_true(all_there(&r, 0, lsn));
    hx_rig_fini(&r);
}

/* Promise: images that could not be made change nothing. */
static void making_images(void **state)
{
    (void)state;
    for_each(images);
}

/* ---- scrubbing what is damaged ---- */
static void rot(struct hx_rig *r, uint64_t file, size_t off)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    size_t len;
    uint8_t *p = hx_mem_file(r->farm[0], &at, file, &len);
    assert_true(p && len > off);
    p[off] ^= 4;
}

static void scrub(uint64_t k, bool always)
{
    struct hx_rig r;
    uint64_t lsn = 1;
    (void)k;
    (void)always;
    start(&r, 2);
    for (; lsn <= 4 * PAGES; lsn++)
        add(&r, lsn, HX_REC_IMAGE, 2000, 0, 0);
    lsn--;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(hx_rig_append(&r, i, 1, lsn, 0, NULL, 0, NULL), 0);
    for (unsigned i = 0; i < 8; i++)
        hx_rig_step(&r, 20);
    assert_true(segment(&r, 0)->log.next_id >= 20);
    rot(&r, 16, 3000);
    rot(&r, 17 | HX_LOG_SIDE_BIT, 30); /* its sidecar */
    rot(&r, 18, 3000);
    rot(&r, 18 | HX_LOG_SIDE_BIT, 30); /* both */
    struct hx_seg *s = segment(&r, 0);
    hx_pace_ask(r.node[0], &s->at.volume);
    ALLOC_FAULTS(for (unsigned i = 0; i < 10; i++) hx_rig_step(&r, 100));
    recovers(&r);
    s = segment(&r, 0);
    hx_pace_ask(r.node[0], &s->at.volume);
    for (unsigned i = 0; i < 300 && (!all_there(&r, 0, lsn) || hx_seg_damages(s)); i++)
        hx_rig_step(&r, 200);
    assert_true(all_there(&r, 0, lsn));
    hx_rig_fini(&r);
}

/* Promise: damage that is met without memory is not lost sight of, and mended. */
static void scrubbing_damage(void **state)
{
    (void)state;
    for_each(scrub);
}

/* ---- mending what has diverged ---- */
static void diverged(uint64_t k, bool always)
{
    struct hx_rig r;
    uint64_t lsn = 1;
    (void)k;
    (void)always;
    start(&r, 4);
    for (; lsn <= PAGES; lsn++)
        add(&r, lsn, HX_REC_IMAGE, 300, 0, lsn == 3);
    lsn--;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(hx_rig_append(&r, i, 1, lsn, lsn, NULL, 0, NULL), 0);
    hx_pace_ask(r.node[0], &segment(&r, 0)->at.volume);
    ALLOC_FAULTS(for (unsigned i = 0; i < 14; i++) hx_rig_step(&r, 30));
    recovers(&r);
    for (unsigned again = 0; again < 2; again++) {
        struct hx_seg *s = segment(&r, 0);
        uint64_t was = s->scrub.cycles;
        hx_pace_ask(r.node[0], &s->at.volume);
        for (unsigned i = 0; i < 400 && s->scrub.cycles == was; i++)
            hx_rig_step(&r, 30);
    }
    for (unsigned i = 0; i < 5; i++)
        hx_rig_step(&r, 30);
    assert_true(all_there(&r, 0, lsn));
    struct hx_read_page p[2];
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(hx_rig_read(&r, i, PG, 1, lsn, 3, NULL, &p[i]), 0);
    assert_int_equal(p[0].crc, p[1].crc);
    hx_rig_fini(&r);
}

/* Promise: a copy that has diverged is mended, if not now then in a later cycle. */
static void mending_a_diverged_copy(void **state)
{
    (void)state;
    for_each(diverged);
}

/* ---- a disk that has failed; a checkpoint ---- */
static void many(struct hx_rig *r, uint64_t *lsn)
{
    start(r, 1);
    for (*lsn = 1; *lsn <= 4 * PAGES; ++*lsn) {
        add(r, *lsn, HX_REC_IMAGE, 2500, *lsn > 6 ? *lsn - 6 : 0, 0);
        hx_rig_step(r, 20);
    }
    for (unsigned i = 0; i < 3; i++)
        hx_rig_step(r, 20);
    --*lsn;
    assert_true(segment(r, 0)->ckpt.good > 0);
    assert_int_equal(hx_rig_append(r, 0, 1, *lsn, 0, NULL, 0, NULL), 0);
}

static void revive(uint64_t k, bool always)
{
    struct hx_rig r;
    uint64_t lsn;
    (void)k;
    (void)always;
    many(&r, &lsn);
    hx_mem_fail_drops(r.farm[0]);
    hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
    static uint8_t p[20];
    struct hx_rig_rec rec = {lsn + 1, 20, HX_REC_IMAGE, HX_REC_CPL, p, sizeof p};
    size_t n = hx_rig_frame(&r, PG, 1, lsn, &rec, 1, (struct hx_rig_marks){lsn, 0, 0});
    assert_int_equal(hx_rig_append(&r, 0, 1, lsn, 0, r.frame, n, NULL), HX_E_POISONED);
    ALLOC_FAULTS(for (unsigned i = 0; i < 3; i++) hx_rig_step(&r, 1000));
    lift();
    for (unsigned i = 0; i < 40 && segment(&r, 0)->error; i++)
        hx_rig_step(&r, 1000);
    assert_int_equal(segment(&r, 0)->error, 0);
    assert_true(segment(&r, 0)->chain.scl >= lsn);
    assert_true(all_there(&r, 0, lsn));
    hx_rig_fini(&r);
}

/* Promise: a disk that has failed is read again when there is memory for it. */
static void reading_a_failed_disk_again(void **state)
{
    (void)state;
    for_each(revive);
}

static void by_checkpoint(uint64_t k, bool bad)
{
    struct hx_rig r;
    uint64_t lsn;
    many(&r, &lsn);
    uint64_t file = HX_CKPT_FILE + segment(&r, 0)->ckpt.good % 2;
    hx_rig_stop(&r, 0);
    if (bad) /* and then everything is read anew */
        rot(&r, file, HX_CKPT_START + 200);
    int err;
    ALLOC_FAULTS(err = hx_rig_start(&r, 0));
    if (err) {
        assert_nomem(err, "start", k);
        r.node[0] = NULL;
    } else if (segment(&r, 0)->error) {
        assert_int_equal(segment(&r, 0)->error, HX_E_NOMEM);
    } else {
        assert_int_equal(segment(&r, 0)->ckpt.loaded > 0, !bad);
    }
    lift();
    if (err)
        assert_int_equal(hx_rig_start(&r, 0), 0);
    for (unsigned i = 0; i < 4; i++)
        hx_rig_step(&r, 1000);
    assert_int_equal(segment(&r, 0)->chain.scl, lsn);
    assert_int_equal(segment(&r, 0)->unknown_count, 0);
    assert_true(all_there(&r, 0, lsn));
    hx_rig_fini(&r);
}

static void by_good_checkpoint(uint64_t k, bool always)
{
    (void)always;
    by_checkpoint(k, false);
}

static void by_bad_checkpoint(uint64_t k, bool always)
{
    (void)always;
    by_checkpoint(k, true);
}

/* Promise: a start by a checkpoint that lacks memory takes nothing half, and nothing for damage. */
static void starting_by_a_checkpoint(void **state)
{
    (void)state;
    for_each(by_good_checkpoint);
    for_each(by_bad_checkpoint);
}

/* Promise: neither does a start of which any one read lacks memory; damage among what it reads or not. */
static void reads_without_memory(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 4; how++) {
        bool came = true;
        for (uint64_t k = 1; came; k++) {
            struct hx_rig r;
            uint64_t lsn;
            many(&r, &lsn);
            uint64_t ckpt = HX_CKPT_FILE + segment(&r, 0)->ckpt.good % 2, last = segment(&r, 0)->log.next_id - 1;
            struct hx_disk_place at = hx_rig_place(&r, PG);
            hx_rig_stop(&r, 0);
            if (how == 1)
                rot(&r, ckpt, HX_CKPT_START + 200);
            if (how == 2)
                hx_mem_remove_file(r.farm[0], &at, (last - 1) | HX_LOG_SIDE_BIT);
            if (how == 3)
                hx_mem_bad_sector(r.farm[0], (last - 1) | HX_LOG_SIDE_BIT, 0);
            hx_mem_fail_read(r.farm[0], k, HX_E_NOMEM);
            int err = hx_rig_start(&r, 0);
            came = hx_mem_read_failed(r.farm[0]);
            hx_mem_fail_read(r.farm[0], 0, 0);
            if (err) {
                assert_true(came && err == HX_E_NOMEM);
                assert_int_equal(hx_rig_start(&r, 0), 0);
            }
            assert_true(segment(&r, 0)->error == 0 || segment(&r, 0)->error == HX_E_NOMEM);
            for (unsigned i = 0; i < 4; i++)
                hx_rig_step(&r, 1000);
            assert_int_equal(segment(&r, 0)->error, 0);
            assert_int_equal(segment(&r, 0)->chain.scl, lsn);
            assert_int_equal(segment(&r, 0)->unknown_count, 0);
            assert_true(all_there(&r, 0, lsn));
            hx_rig_fini(&r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(emptying_files),
        cmocka_unit_test(making_images),
        cmocka_unit_test(scrubbing_damage),
        cmocka_unit_test(mending_a_diverged_copy),
        cmocka_unit_test(reading_a_failed_disk_again),
        cmocka_unit_test(starting_by_a_checkpoint),
        cmocka_unit_test(reads_without_memory),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("nomem_tidy", tests, NULL, NULL);
}
