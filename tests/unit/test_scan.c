/*
 * test_scan.c - what a restart makes of files that are not as they were left: entries of other places, of another life
 * of this place, files cut short, disks of which a part, or the list, cannot be read, want of memory.
 *
 * Method: one server over a disk in memory, with two groups of the same sizes, so that bytes of one fit the other; its
 * files are changed between restarts.  (Flipped bytes: test_damage.c; sidecars that make no sense: test_sidecar.c.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "peer_kit.h"

#include <stdlib.h>

#define PG 1u
#define SIDE_BIT (UINT64_C(1) << 32)
#define ENV 96u

static struct hx_segment_status status(struct hx_rig *r)
{
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(r, 0, PG, &s), 0);
    return s;
}

static uint8_t *file(struct hx_rig *r, uint32_t pg, uint64_t id, size_t *ret_len)
{
    struct hx_disk_place at = hx_rig_place(r, pg);
    uint8_t *p = hx_mem_file(r->farm[0], &at, id, ret_len);
    assert_non_null(p);
    return p;
}

static void unsided(struct hx_rig *r, uint64_t id)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    hx_mem_remove_file(r->farm[0], &at, SIDE_BIT + id);
}

/* Where the entry of the frame that begins with LSN stands. */
static size_t entry_at(struct hx_rig *r, uint64_t id, uint64_t lsn)
{
    size_t len;
    const uint8_t *p = file(r, PG, id, &len);
    for (size_t off = ENV; off + HX_FRAME_HEAD < len; off += 8)
        if (hx_get_u32(p + off) == HX_FRAME_MAGIC && hx_get_u64(p + off + 40) == lsn)
            return off - ENV;
    fail_msg("LSN %llu is not in file %llu", (unsigned long long)lsn, (unsigned long long)id);
    return 0;
}

/* An image of 4096 bytes of noise; page LSN. */
static void put_after(struct hx_rig *r, uint32_t pg, uint64_t prev, uint64_t lsn)
{
    static uint8_t image[HX_PAGE_SIZE];
    uint64_t x = (lsn + 100u * pg) * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < sizeof image; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        image[i] = (uint8_t)(x >> 8);
    }
    image[0] = image[sizeof image - 1] = (uint8_t)lsn;
    struct hx_rig_rec rec = {lsn, (uint32_t)lsn, HX_REC_IMAGE, HX_REC_CPL, image, sizeof image};
    size_t n = hx_rig_frame(r, pg, 1, prev, &rec, 1, (struct hx_rig_marks){0});
    assert_int_equal(hx_rig_append(r, 0, 1, 0, 0, r->frame, n, NULL), 0);
}

static void put_image(struct hx_rig *r, uint32_t pg, uint64_t lsn)
{
    put_after(r, pg, lsn - 1, lsn);
}

/* Both groups with images 1 to LAST, four in a log file. */
static void start(struct hx_rig *r, uint64_t last)
{
    hx_rig_init(r, 1, 1u << 20, 2, 16u << 10);
    for (uint32_t pg = 0; pg < 2; pg++) {
        assert_int_equal(hx_rig_format(r, 0, pg), 0);
        for (uint64_t lsn = 1; lsn <= last; lsn++) {
            put_image(r, pg, lsn);
            hx_rig_step(r, 1);
        }
    }
}

/* Is what is served of PG right, and the damage told: LSN is UNKNOWN or above the SCL? */
static void assert_honest(struct hx_rig *r, uint64_t last, uint64_t lost_from, uint64_t lost_to)
{
    struct hx_inventory v = {0};
    uint8_t data[HX_PAGE_SIZE];
    uint64_t scl = status(r).scl.v;
    for (uint32_t page = 1; page <= last; page++) {
        struct hx_read_page p;
        if (hx_rig_read(r, 0, PG, 1, scl, page, data, &p) || p.state == HX_READ_CORRUPT)
            continue;
        assert_int_equal(p.state, page <= scl ? HX_READ_RAW : HX_READ_ZEROS);
        if (page <= scl)
            assert_int_equal(data[0], page);
    }
    assert_int_equal(hx_rig_fence(r, 0, PG, 1, 900, &v), 0);
    for (uint64_t lsn = lost_from; lsn <= lost_to; lsn++) {
        bool told = false;
        for (uint32_t i = 0; i < v.unknown_count; i++)
            told |= v.unknowns[i].from.v <= lsn && lsn <= v.unknowns[i].to.v;
        if (!told)
            fail_msg("LSN %llu is lost, and nobody is told", (unsigned long long)lsn);
        for (uint32_t i = 0; i < v.entry_count; i++)
            assert_int_not_equal(v.entries[i].lsn.v, lsn);
    }
    hx_inventory_fini(&v);
}

/* ---- entries of other places ---- */
/* Promise: an entry that is whole, but was written for another file, or for another segment's file with the same number
 * and place, is damage: it is not taken for what should be there, nor is that missing. */
static void entries_of_other_places_are_damage(void **state)
{
    (void)state;
    for (unsigned other_segment = 0; other_segment < 2; other_segment++) {
        struct hx_rig r;
        size_t len, have;
        start(&r, 14);
        hx_rig_stop(&r, 0);
        size_t off = entry_at(&r, 17, 6), n = entry_at(&r, 17, 7) - off;
        uint8_t *to = file(&r, PG, 17, &len);
        const uint8_t *from = file(&r, other_segment ? 0 : PG, other_segment ? 17 : 18, &have);
        assert_true(off + n <= have);
        memcpy(to + off, from + off, n);
        unsided(&r, 17);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_true(status(&r).damaged >= 1);
        assert_honest(&r, 14, 6, 6);
        hx_rig_fini(&r);
    }
}

/* Promise: the same without a restart: scrubbing finds an entry that is whole and was written for another place, before
 * anybody reads it, in closed files and in the open one; what is next to it is served. */
static void scrubbing_finds_entries_of_other_places(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 5; what++) {
        struct hx_rig r;
        struct hx_read_page p;
        uint8_t data[HX_PAGE_SIZE];
        size_t len, have;
        start(&r, 14);
        hx_rig_stop(&r, 0);
        r.scrub_cycle_s = 1;
        assert_int_equal(hx_rig_start(&r, 0), 0);
        uint64_t id = what < 3 ? 17 : hx_mem_last_log(r.farm[0], &(struct hx_disk_place){r.geometry.volume, PG});
        uint64_t lsn = what < 3 ? 6 : 13;
        size_t off = entry_at(&r, id, lsn), n = 96 + HX_FRAME_HEAD + HX_REC_HEAD + HX_PAGE_SIZE;
        uint8_t *to = file(&r, PG, id, &len);
        const uint8_t *from = what == 0 ? file(&r, PG, 18, &have) + entry_at(&r, 18, 10)
                            : what == 1 ? file(&r, 0, 17, &have) + off
                            : what == 3 ? file(&r, PG, 17, &have) + entry_at(&r, 17, 5) : NULL;
        if (from)
            memcpy(to + off, from, n);
        else
            memset(to + off, 0, n);
        for (unsigned i = 0; i < 8; i++)
            hx_rig_step(&r, 1000);
        assert_true(status(&r).damaged >= 1);
        for (uint32_t page = 1; page <= 14; page++) {
            assert_int_equal(hx_rig_read(&r, 0, PG, 1, 14, page, data, &p), 0);
            assert_int_equal(p.state, page == lsn ? HX_READ_CORRUPT : HX_READ_RAW);
            if (page != lsn)
                assert_int_equal(data[0], page);
        }
        hx_rig_fini(&r);
    }
}

/* Promise: what a power loss cut off stays cut off: entries behind the end that are whole, but follow another life of
 * this place, do not come back when something as long was written before them.  Method: two lives from one image of the
 * disk; the second one's tail is put behind what the first one wrote at the same place. */
static void another_lifes_tail_does_not_come_back(void **state)
{
    struct hx_rig r;
    size_t len;
    (void)state;
    hx_rig_init(&r, 1, 1u << 20, 2, 0);
    assert_int_equal(hx_rig_format(&r, 0, PG), 0);
    put_image(&r, PG, 1);
    size_t end = entry_at(&r, 16, 1);
    end += ENV + ((hx_get_u32(file(&r, PG, 16, &len) + end + 8) + 7) & ~(size_t)7);
    put_image(&r, PG, 2);
    size_t second = entry_at(&r, 16, 2), n = 2 * (second - entry_at(&r, 16, 1));
    assert_int_equal(second, end);
    put_image(&r, PG, 3);
    uint8_t *was = malloc(n);
    assert_non_null(was);
    hx_rig_stop(&r, 0);
    memcpy(was, file(&r, PG, 16, &len) + second, n);
    memset(file(&r, PG, 16, &len) + second, 0, n); /* the power loss: 2 and 3 never were */
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(status(&r).scl.v, 1);
    put_after(&r, PG, 1, 9); /* as long */
    hx_rig_stop(&r, 0);
    memcpy(file(&r, PG, 16, &len) + second + n / 2, was + n / 2, n / 2); /* 3 shows again */
    assert_int_equal(hx_rig_start(&r, 0), 0);
    struct hx_inventory v = {0};
    assert_int_equal(status(&r).scl.v, 9);
    assert_int_equal(status(&r).damaged, 0);
    assert_int_equal(hx_rig_fence(&r, 0, PG, 1, 900, &v), 0);
    assert_true(v.entry_count == 2 && v.entries[0].lsn.v == 1 && v.entries[1].lsn.v == 9);
    hx_inventory_fini(&v);
    put_after(&r, PG, 9, 10);
    hx_rig_stop(&r, 0);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(status(&r).scl.v, 10);
    free(was);
    hx_rig_fini(&r);
}

/* Promise: a lost MARK is damage to no record: nothing becomes UNKNOWN, everything is there. */
static void a_lost_mark_loses_nothing(void **state)
{
    struct hx_rig r;
    size_t len, marks = 0;
    (void)state;
    hx_rig_init(&r, 1, 1u << 20, 2, 0);
    assert_int_equal(hx_rig_format(&r, 0, PG), 0);
    put_image(&r, PG, 1);
    for (unsigned i = 0; i < 3; i++)
        hx_rig_step(&r, 500);
    hx_rig_stop(&r, 0);
    assert_int_equal(hx_rig_start(&r, 0), 0); /* which makes it durable: later entries know that it was there */
    put_image(&r, PG, 2);
    put_image(&r, PG, 3);
    hx_rig_stop(&r, 0);
    uint8_t *p = file(&r, PG, 16, &len);
    for (size_t off = 0; off + ENV < len && !marks; off += 8)
        if (!memcmp(p + off, "HXE1", 4) && p[off + 4] == 3) {
            p[off + 30] ^= 1;
            marks++;
        }
    assert_int_equal(marks, 1);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(status(&r).scl.v, 3);
    assert_int_equal(status(&r).damaged, 0);
    assert_int_equal(status(&r).state, 0);
    hx_rig_fini(&r);
}

/* ---- files cut short ---- */
/* Promise (I11): a closed log file that was cut short, in the middle of an entry or behind one, has lost what followed:
 * it is UNKNOWN, not missing; with its sidecar, too, no page comes out wrong. */
static void a_file_cut_short_has_lost_the_rest(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 6; what++) {
        struct hx_rig r;
        start(&r, 14);
        struct hx_disk_place at = hx_rig_place(&r, PG);
        hx_rig_stop(&r, 0);
        size_t off = entry_at(&r, 17, 7), cut = what % 3 == 0 ? off : what % 3 == 1 ? off + 1000 : 0;
        hx_mem_truncate(r.farm[0], &at, 17, cut);
        if (what < 3)
            unsided(&r, 17);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        if (what < 3)
            assert_honest(&r, 14, cut ? 7 : 5, 8);
        else
            assert_honest(&r, 14, 1, 0);
        uint8_t data[HX_PAGE_SIZE];
        struct hx_read_page p;
        int err = hx_rig_read(&r, 0, PG, 1, 14, 7, data, &p); /* 7 is lost */
        assert_true(err == HX_E_LAGGING || (!err && p.state == HX_READ_CORRUPT));
        hx_rig_fini(&r);
    }
}

/* ---- disks that cannot be read ---- */
/* Promise: a few unreadable blocks are damage, told as such; a disk of which a large part cannot be read is broken: the
 * segment says so and takes nothing for lost, and has everything once it can be read. */
static void a_broken_disk_is_no_damage(void **state)
{
    (void)state;
    for (unsigned broken = 0; broken < 2; broken++) {
        struct hx_rig r;
        hx_rig_init(&r, 1, 1u << 20, 2, 2u << 20);
        assert_int_equal(hx_rig_format(&r, 0, PG), 0);
        for (uint64_t lsn = 1; lsn <= 120; lsn++)
            put_image(&r, PG, lsn);
        hx_rig_stop(&r, 0);
        size_t off = entry_at(&r, 16, 4);
        hx_mem_bad_range(r.farm[0], 16, off + 512, broken ? 400u << 10 : 40u << 10);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        if (!broken) {
            assert_int_equal(status(&r).scl.v, 3);
            assert_honest(&r, 120, 4, 12);
        } else {
            assert_int_not_equal(status(&r).state, 0);
            assert_int_equal(status(&r).damaged, 0);
            assert_int_not_equal(hx_rig_fence(&r, 0, PG, 2, 1, NULL), 0);
            hx_mem_bad_range(r.farm[0], 0, 0, 0);
            hx_rig_stop(&r, 0);
            assert_int_equal(hx_rig_start(&r, 0), 0);
            assert_int_equal(status(&r).scl.v, 120);
            assert_int_equal(status(&r).state, 0);
        }
        hx_rig_fini(&r);
    }
}

/* Promise: meta slots that cannot be believed, on a disk that cannot be listed, are no proof that nothing was there. */
static void a_disk_that_cannot_be_listed_is_not_empty(void **state)
{
    struct hx_rig r;
    size_t len;
    (void)state;
    start(&r, 2);
    hx_rig_stop(&r, 0);
    for (uint64_t slot = 1; slot <= 2; slot++)
        file(&r, PG, slot, &len)[70] ^= 1;
    hx_mem_fail_list(r.farm[0], HX_E_IO);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(hx_rig_fence(&r, 0, PG, 9, 1, NULL), HX_E_IO);
    assert_int_equal(hx_rig_format(&r, 0, PG), HX_E_IO);
    hx_rig_stop(&r, 0);
    for (uint64_t slot = 1; slot <= 2; slot++)
        file(&r, PG, slot, &len)[70] ^= 1;
    assert_int_equal(hx_rig_start(&r, 0), 0); /* good slots, but no list of the log */
    assert_int_equal(hx_rig_fence(&r, 0, PG, 9, 1, NULL), HX_E_IO);
    hx_mem_fail_list(r.farm[0], 0);
    hx_rig_stop(&r, 0);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(status(&r).scl.v, 2);
    hx_rig_fini(&r);
}

/* Promise: a start during which the disk's reads fail for want of memory leaves a segment that says NOMEM, or none;
 * nothing is taken for damage or for the end of the log, and the next start has everything.  Method: each read of the
 * start in turn, with all sidecars, and with one that is lost. */
static void a_start_that_lacks_memory_for_a_read(void **state)
{
    (void)state;
    for (unsigned lost = 0; lost < 2; lost++) {
        unsigned failed = 0;
        for (uint64_t k = 1; k < 60; k++) {
            struct hx_rig r;
            start(&r, 14);
            hx_rig_stop(&r, 0);
            if (lost)
                unsided(&r, 17);
            hx_mem_fail_read(r.farm[0], k, HX_E_NOMEM);
            int err = hx_rig_start(&r, 0);
            assert_true(err == 0 || err == HX_E_NOMEM);
            if (!err) {
                failed += status(&r).state == HX_E_NOMEM;
                assert_int_equal(status(&r).damaged, 0);
                assert_true(status(&r).state == HX_E_NOMEM || status(&r).scl.v == 14);
                hx_rig_stop(&r, 0);
            }
            hx_mem_fail_read(r.farm[0], 0, 0);
            assert_int_equal(hx_rig_start(&r, 0), 0);
            assert_int_equal(status(&r).scl.v, 14);
            assert_int_equal(status(&r).damaged, 0);
            assert_honest(&r, 14, 1, 0);
            hx_rig_fini(&r);
        }
        assert_true(failed > 4);
    }
}

/* ---- meta slots ---- */
/* Promise (I5): of two slots that are both whole the newer one counts, whichever it is: a stale one, of before a
 * promise, does not take it back. */
static void a_stale_slot_takes_nothing_back(void **state)
{
    (void)state;
    for (uint64_t slot = 1; slot <= 2; slot++) {
        struct hx_rig r;
        size_t len;
        start(&r, 2);
        uint8_t *p = file(&r, PG, slot, &len), *old = malloc(len);
        assert_non_null(old);
        memcpy(old, p, len);
        assert_int_equal(hx_rig_fence(&r, 0, PG, 7, 1, NULL), 0);
        hx_rig_stop(&r, 0);
        memcpy(file(&r, PG, slot, &len), old, len);
        for (unsigned pass = 0; pass < 2; pass++) { /* the second time both have it again */
            assert_int_equal(hx_rig_start(&r, 0), 0);
            assert_int_equal(status(&r).promised.v, 7);
            assert_int_equal(hx_rig_fence(&r, 0, PG, 6, 1, NULL), HX_E_FENCED);
            hx_rig_stop(&r, 0);
            file(&r, PG, 3 - slot, &len)[40] ^= pass == 0;
        }
        free(old);
        hx_rig_fini(&r);
    }
}

/* Promise: a flush that finds no space is a failed flush, not a write that may be tried again: nothing is acknowledged,
 * in the log as in the meta slots; a write that finds none is refused with NOSPACE, and can be repeated. */
static void no_space_in_a_flush_is_a_failure(void **state)
{
    (void)state;
    for (unsigned meta = 0; meta < 2; meta++) {
        struct hx_rig r;
        hx_rig_init(&r, 1, 1u << 20, 2, 0);
        assert_int_equal(hx_rig_format(&r, 0, PG), 0);
        put_image(&r, PG, 1);
        size_t n = hx_rig_run(&r, PG, 1, 1, 2, 1, 0);
        hx_mem_fail(r.farm[0], HX_MEM_WRITE, 1, HX_E_NOSPACE, false);
        int err = meta ? hx_rig_fence(&r, 0, PG, 4, 900, NULL) : hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL);
        assert_int_equal(err, HX_E_NOSPACE);
        hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_NOSPACE, false);
        err = meta ? hx_rig_fence(&r, 0, PG, 4, 900, NULL) : hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL);
        assert_int_equal(err, HX_E_POISONED);
        hx_rig_stop(&r, 0);
        hx_mem_crash(r.farm[0], 5);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        err = meta ? hx_rig_fence(&r, 0, PG, 4, 900, NULL) : hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL);
        assert_int_equal(err, 0);
        hx_rig_fini(&r);
    }
}

/* Promise (S4, I11): where the disk cannot read a frame that was acknowledged it is UNKNOWN, also when the END of its
 * file was written together with it and is whole: that END names nothing of it as durable, for nothing was then.
 * Method: one frame that fills its file; a sector in its middle cannot be read at the restart, twice. */
static void a_frame_that_closed_its_file_is_not_torn_where_it_cannot_be_read(void **state)
{
    (void)state;
    struct hx_rig r;
    uint64_t scl = 0, id = 0;
    size_t len;
    hx_rig_init(&r, 1, 1u << 20, 2, 16u << 10);
    assert_int_equal(hx_rig_format(&r, 0, PG), 0);
    static uint8_t image[8][HX_PAGE_SIZE];
    struct hx_rig_rec recs[8];
    uint64_t x = 77;
    for (unsigned i = 0; i < 8; i++) {
        for (size_t k = 0; k < HX_PAGE_SIZE; k++)
            x = x * 6364136223846793005u + 1442695040888963407u, image[i][k] = (uint8_t)(x >> 33);
        recs[i] = (struct hx_rig_rec){i + 1, i, HX_REC_IMAGE, i == 7 ? HX_REC_CPL : 0, image[i], HX_PAGE_SIZE};
    }
    size_t n = hx_rig_frame(&r, PG, 1, 0, recs, 8, (struct hx_rig_marks){0});
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, &scl), 0);
    assert_int_equal(scl, 8);
    hx_rig_stop(&r, 0);
    struct hx_disk_place at = hx_rig_place(&r, PG);
    id = hx_mem_last_log(r.farm[0], &at);
    file(&r, PG, id, &len);
    assert_true(len >= n + 2 * ENV && !hx_mem_file(r.farm[0], &at, SIDE_BIT + id, &len));
    hx_mem_bad_sector(r.farm[0], id, n / 2);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    hx_mem_bad_sector(r.farm[0], 0, 0);
    assert_int_equal(status(&r).scl.v, 0);
    assert_honest(&r, 8, 1, 8);
    hx_rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_that_closed_its_file_is_not_torn_where_it_cannot_be_read),
        cmocka_unit_test(entries_of_other_places_are_damage),
        cmocka_unit_test(scrubbing_finds_entries_of_other_places),
        cmocka_unit_test(another_lifes_tail_does_not_come_back),
        cmocka_unit_test(a_lost_mark_loses_nothing),
        cmocka_unit_test(a_file_cut_short_has_lost_the_rest),
        cmocka_unit_test(a_broken_disk_is_no_damage),
        cmocka_unit_test(a_disk_that_cannot_be_listed_is_not_empty),
        cmocka_unit_test(a_start_that_lacks_memory_for_a_read),
        cmocka_unit_test(a_stale_slot_takes_nothing_back),
        cmocka_unit_test(no_space_in_a_flush_is_a_failure),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
