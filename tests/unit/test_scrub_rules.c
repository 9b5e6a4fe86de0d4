/*
 * test_scrub_rules.c - rules of the scrub (scrub.c) that random damage seldom meets: where it stands, errors that come
 * once or stay, a disk without room or memory, sidecars that are damaged twice, ranges of records that nobody has.
 *
 * Method: one server over a disk in memory; its segment's steps are taken by hand, so that a fault comes where it is
 * wanted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"
#include "seg_model.h"

#include <stdlib.h>

#define PG HX_MODEL_PG
#define FIRST HX_LOG_FIRST_ID
#define SIDE(id) ((id) | HX_LOG_SIDE_BIT)
#define ALL (64u << 20) /* budget of a step that goes over everything */

static struct hx_seg *segment(struct hx_rig *r)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    struct hx_seg *s = hx_node_find(r->node[0], &at.volume, at.pg);
    assert_non_null(s);
    return s;
}

static struct hx_logfile *file_of(struct hx_rig *r, uint64_t id)
{
    struct hx_seg *s = segment(r);
    for (size_t i = 0; i < s->log.slot_count; i++)
        if (s->log.files[i] && s->log.files[i]->id == id)
            return s->log.files[i];
    fail_msg("no file %u", (unsigned)id);
    return NULL;
}

static uint8_t *bytes(struct hx_rig *r, uint64_t id, size_t *ret_len)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    return hx_mem_file(r->farm[0], &at, id, ret_len);
}

static void add(struct hx_rig *r, uint64_t lsn)
{
    assert_int_equal(hx_rig_append(r, 0, 1, 0, 0, r->frame, hx_model_images(r, lsn, 1, 0), NULL), 0);
}

/* Images of four pages, LSN 1 to LAST, in files of 16 KiB: four to a file; the last one is open. */
#define LAST 14u
static void start(struct hx_rig *r)
{
    hx_model_start(r, 16u << 10);
    for (uint64_t lsn = 1; lsn <= LAST; lsn++)
        add(r, lsn);
    for (unsigned i = 0; i < 5; i++)
        hx_rig_step(r, 50);
    struct hx_seg *s = segment(r);
    assert_true(s->log.tail != HX_NONE && s->log.files[s->log.tail]->id == FIRST + 3);
    assert_true(file_of(r, FIRST)->sided && file_of(r, FIRST + 2)->sided);
    hx_scrub_load(s);
}

/* One cycle's reading of the files. */
static void scrub(struct hx_seg *s)
{
    for (unsigned i = 0; i < 50 && !s->scrub.comparing; i++)
        hx_scrub_step(s, ALL);
    assert_true(s->scrub.comparing);
}

static unsigned state_of(struct hx_rig *r, uint64_t point, uint32_t page)
{
    struct hx_read_page p;
    assert_int_equal(hx_rig_read(r, 0, PG, 1, point, page, NULL, &p), 0);
    return p.state;
}

/* ---- where it stands ---- */
/* The whole cycle, as pace.c would end it where nobody is there to compare with. */
static void whole_cycle(struct hx_seg *s)
{
    scrub(s);
    hx_scrub_compared(s);
}

/* Promise: cycles survive a restart, also one between two of them, and so does the place where one stands. */
static void where_it_stands_survives_a_restart(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r);
    whole_cycle(segment(&r));
    whole_cycle(segment(&r));
    hx_model_restart(&r);
    struct hx_seg *s = segment(&r);
    hx_scrub_load(s);
    assert_int_equal(s->scrub.cycles, 2);
    assert_false(s->scrub.under_way);
    assert_int_equal(s->scrub.done, 0);
    while (s->scrub.saved == 0) /* a file is through */
        hx_scrub_step(s, 8192);
    uint64_t done = s->scrub.done;
    hx_model_restart(&r);
    s = segment(&r);
    hx_scrub_load(s);
    assert_true(s->scrub.under_way && s->scrub.file > FIRST && s->scrub.done == done && s->scrub.cycles == 2);
    hx_rig_fini(&r);
}

/* Promise: a position that is not this segment's, or not whole, costs the position and nothing else. */
static void a_false_position_is_none(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 6; how++) {
        struct hx_rig r;
        size_t len;
        start(&r);
        struct hx_disk_place at = hx_rig_place(&r, PG);
        whole_cycle(segment(&r));
        hx_rig_stop(&r, 0);
        uint8_t *p = bytes(&r, HX_SCRUB_FILE, &len);
        assert_non_null(p);
        if (how == 0)
            hx_mem_truncate(r.farm[0], &at, HX_SCRUB_FILE, len - 1);
        p[0] ^= how == 1;
        p[4] = how == 2 ? 0 : p[4];  /* no version */
        p[40] ^= how == 3;           /* another segment's */
        if (how == 1 || how == 2 || how == 3)
            hx_put_u32(p + len - 4, hx_crc32c(0, p, len - 4));
        p[20] ^= how == 4; /* rot */
        assert_int_equal(hx_rig_start(&r, 0), 0);
        struct hx_seg *s = segment(&r);
        hx_scrub_load(s);
        assert_int_equal(s->scrub.cycles, how == 5);
        assert_false(s->scrub.under_way);
        scrub(s);
        assert_int_equal(s->scrub.found, 0);
        hx_rig_fini(&r);
    }
}

/* Promise: a cycle that was asked for is still owed when the disk has failed meanwhile, and is not when it was done. */
static void what_was_asked_for_outlives_a_failure(void **state)
{
    (void)state;
    for (unsigned done = 0; done < 2; done++) {
        struct hx_rig r;
        start(&r);
        hx_scrub_ask(segment(&r));
        if (done)
            whole_cycle(segment(&r));
        hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
        size_t n = hx_model_images(&r, LAST + 1, 1, 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), HX_E_POISONED);
        hx_revive_tick(r.node[0]);
        struct hx_seg *s = segment(&r);
        assert_int_equal(s->error, 0);
        hx_scrub_load(s);
        assert_int_equal(s->scrub.cycles, done);
        assert_int_equal(s->scrub.asked, !done);
        hx_rig_fini(&r);
    }
}

/* Promise: on a full disk the position is not written: what room there is belongs to others. */
static void a_full_disk_keeps_no_position(void **state)
{
    (void)state;
    struct hx_rig r;
    size_t len;
    start(&r);
    hx_mem_fail(r.farm[0], HX_MEM_WRITE, 1, HX_E_NOSPACE, false);
    size_t n = hx_model_images(&r, LAST + 1, 1, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), HX_E_NOSPACE);
    assert_true(segment(&r)->nospace);
    whole_cycle(segment(&r));
    assert_null(bytes(&r, HX_SCRUB_FILE, &len));
    assert_int_equal(segment(&r)->scrub.cycles, 1);
    hx_rig_fini(&r);
}

/* Promise: of a large store a restart loses eight mebibytes of progress, not a sixteenth of it. */
static void of_a_large_store_little_is_lost(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r);
    struct hx_seg *s = segment(&r);
    hx_scrub_step(s, 1);
    s->scrub.total = UINT64_C(1) << 40;
    s->scrub.saved = s->scrub.done;
    while (s->scrub.file <= FIRST + 1)
        hx_scrub_step(s, 8192);
    assert_true(s->scrub.saved < s->scrub.done); /* files of 16 KiB are not worth it */
    s->scrub.done = s->scrub.saved + (8u << 20) - 1;
    hx_scrub_step(s, ALL);
    assert_true(s->scrub.saved >= 8u << 20);
    hx_rig_fini(&r);
}

/* ---- slots ---- */
/* Promise: slots that are about to be written anew are not looked at: what is in them is none of them any more. */
static void slots_that_will_be_written_are_left(void **state)
{
    (void)state;
    for (unsigned dirty = 0; dirty < 2; dirty++) {
        struct hx_rig r;
        size_t len;
        start(&r);
        struct hx_seg *s = segment(&r);
        bytes(&r, 2, &len)[20] ^= 1;
        s->meta_dirty = dirty;
        hx_scrub_step(s, 1);
        assert_int_equal(s->scrub.rewritten, !dirty);
        assert_true(s->meta_dirty);
        hx_rig_fini(&r);
    }
}

/* ---- errors instead of bytes ---- */
/* Promise: a read that fails once and then succeeds is no damage, wherever it comes. */
static void an_error_that_passes_is_no_damage(void **state)
{
    (void)state;
    for (uint64_t k = 1;; k++) {
        struct hx_rig r;
        start(&r);
        struct hx_seg *s = segment(&r);
        hx_mem_fail_read(r.farm[0], k, HX_E_IO);
        hx_scrub_step(s, 1); /* the slots first */
        uint64_t slots = s->scrub.found;
        scrub(s);
        bool came = hx_mem_read_failed(r.farm[0]);
        hx_mem_fail_read(r.farm[0], 0, 0);
        assert_int_equal(s->scrub.found, slots);
        assert_int_equal(s->damaged, 0);
        assert_true(slots == 0 || k <= 2);
        hx_rig_fini(&r);
        if (!came) {
            assert_true(k > 8);
            return;
        }
    }
}

/* Promise: a sector that stays unreadable is damage of what lies there; what lies before and behind is looked at. */
static void an_error_that_stays_is_damage_of_that_place(void **state)
{
    (void)state;
    for (uint64_t k = 0; k < 4; k++) { /* the k-th record of the file */
        struct hx_rig r;
        start(&r);
        struct hx_seg *s = segment(&r);
        uint64_t off = k * file_of(&r, FIRST)->end / 4 + 2048;
        hx_mem_bad_sector(r.farm[0], FIRST, off);
        scrub(s);
        assert_int_equal(s->unknown_count, 1);
        assert_int_equal(s->unknowns[0].from, k + 1);
        assert_true(file_of(&r, FIRST)->rotten && !file_of(&r, FIRST + 1)->rotten);
        for (uint64_t lsn = 1; lsn <= 4; lsn++)
            assert_int_equal(state_of(&r, lsn, (uint32_t)lsn % 4), lsn == k + 1 ? HX_READ_CORRUPT : HX_READ_RAW);
        hx_rig_fini(&r);
    }
}

/* Promise: want of memory is no damage; the scrub goes on where it was when there is some. */
static void want_of_memory_is_no_damage(void **state)
{
    (void)state;
    for (unsigned rot = 0; rot < 3; rot++) /* nowhere, in a closed file, in the open one */
        for (uint64_t k = 1;; k++) {
            struct hx_rig r;
            size_t len;
            start(&r);
            struct hx_seg *s = segment(&r);
            if (rot)
                bytes(&r, FIRST + (rot == 1 ? 1 : 3), &len)[3000] ^= 1;
            hx_scrub_step(s, 1);
            hx_mem_fail_read(r.farm[0], k, HX_E_NOMEM);
            hx_scrub_step(s, ALL);
            bool came = hx_mem_read_failed(r.farm[0]);
            assert_int_equal(s->scrub.comparing, !came);
            hx_mem_fail_read(r.farm[0], 0, 0);
            scrub(s);
            assert_int_equal(s->damaged, rot > 0);
            assert_int_equal(s->scrub.found > 0, rot > 0);
            assert_int_equal(file_of(&r, FIRST + 3)->sealed, rot == 2);
            hx_rig_fini(&r);
            if (!came)
                break;
        }
}

/* ---- sidecars ---- */
/* Promise: a sidecar that cannot be read, or is gone, is made anew; on a disk that keeps none of it the scrub goes on
 * all the same, and the next cycle tries again. */
static void a_sidecar_is_made_anew_once_a_cycle(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        struct hx_rig r;
        size_t len;
        start(&r);
        struct hx_seg *s = segment(&r);
        struct hx_disk_place at = hx_rig_place(&r, PG);
        s->fetch_file = FIRST;
        if (how == 0)
            hx_mem_remove_file(r.farm[0], &at, SIDE(FIRST));
        else if (how == 1)
            hx_mem_bad_sector(r.farm[0], SIDE(FIRST), 0);
        else
            bytes(&r, SIDE(FIRST), &len)[HX_LOG_SIDE_HEAD + 3] ^= 1;
        while (s->scrub.renewed != FIRST)
            hx_scrub_step(s, 1);
        assert_true(file_of(&r, FIRST)->sided && s->scrub.rewritten == 1);
        assert_int_equal(s->fetch_file, 0); /* its list was the old one's */
        assert_int_equal(s->scrub.file, FIRST);
        assert_non_null(bytes(&r, SIDE(FIRST), &len));
        hx_scrub_forget(s); /* as after a piece of another segment */
        bytes(&r, SIDE(FIRST), &len)[20] ^= 1;
        scrub(s);
        assert_int_equal(s->scrub.rewritten, 1);
        assert_int_equal(s->damaged, 0);
        hx_scrub_compared(s);
        scrub(s);
        assert_int_equal(s->scrub.rewritten, 2);
        hx_model_restart(&r);
        assert_int_equal(segment(&r)->chain.scl, LAST);
        hx_rig_fini(&r);
    }
}

/* Promise: with its sidecar a file that is damaged itself is in doubt just as far as it was known to reach (U5). */
static void both_damaged_is_blind_within_its_bounds(void **state)
{
    (void)state;
    for (unsigned all = 0; all < 2; all++) {
        struct hx_rig r;
        size_t len;
        start(&r);
        struct hx_seg *s = segment(&r);
        uint64_t min = file_of(&r, FIRST + 1)->min_lsn, max = file_of(&r, FIRST + 1)->max_lsn;
        uint8_t *p = bytes(&r, FIRST + 1, &len);
        if (all)
            memset(p, 0, len);
        else
            p[3000] ^= 1;
        bytes(&r, SIDE(FIRST + 1), &len)[20] ^= 1;
        scrub(s);
        assert_int_equal(s->unknown_count, 1);
        assert_true(s->unknowns[0].blind && s->unknowns[0].from == min);
        assert_int_equal(s->unknowns[0].to, all ? max : min);
        assert_true(file_of(&r, FIRST + 1)->rotten);
        hx_scrub_compared(s);
        file_of(&r, FIRST + 1)->rotten = false; /* compaction gave it up */
        scrub(s); /* the list that names the damage is read, and is no damage itself */
        assert_int_equal(s->unknown_count, 1);
        assert_int_equal(s->scrub.rewritten, 1);
        assert_true(file_of(&r, FIRST + 1)->rotten); /* it is tried again */
        hx_model_restart(&r);
        s = segment(&r);
        hx_scrub_load(s);
        hx_scrub_compared(s);
        scrub(s); /* now nobody knows what was in it: nothing can be moved */
        assert_true(file_of(&r, FIRST + 1)->vague && !file_of(&r, FIRST + 1)->rotten);
        hx_rig_fini(&r);
    }
}

/* Promise: a file of which nothing can be read any more, and whose sidecar is lost, too, holds up nothing: the scrub
 * goes on behind it. */
static void a_file_that_cannot_be_read_holds_up_nothing(void **state)
{
    (void)state;
    struct hx_rig r;
    size_t len;
    hx_model_start(&r, 4u << 20);
    for (uint64_t lsn = 1; lsn <= 800; lsn += 8)
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, hx_model_images(&r, lsn, 8, 0), NULL), 0);
    assert_int_equal(hx_log_seal(segment(&r)), 0);
    add(&r, 801);
    hx_rig_step(&r, 50);
    struct hx_seg *s = segment(&r);
    hx_scrub_load(s);
    bytes(&r, SIDE(FIRST), &len)[20] ^= 1;
    hx_mem_bad_range(r.farm[0], FIRST, 0, file_of(&r, FIRST)->end);
    for (unsigned i = 0; i < 20 && !s->scrub.comparing; i++)
        hx_scrub_step(s, 512u << 10);
    assert_true(s->scrub.comparing);
    assert_int_equal(s->error, 0);
    assert_true(s->scrub.found > 0 && s->scrub.rewritten == 0);
    hx_rig_fini(&r);
}

/* Promise: a sidecar whose flush fails poisons, as every failed flush does, and the scrub stops there. */
static void a_flush_that_fails_poisons(void **state)
{
    (void)state;
    struct hx_rig r;
    size_t len;
    start(&r);
    struct hx_seg *s = segment(&r);
    bytes(&r, SIDE(FIRST), &len)[20] ^= 1;
    hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, false);
    hx_scrub_step(s, ALL);
    assert_int_equal(s->error, HX_E_POISONED);
    assert_true(s->scrub.file == FIRST && !s->scrub.comparing);
    hx_rig_step(&r, 1000);
    s = segment(&r);
    assert_int_equal(s->error, 0);
    assert_true(file_of(&r, FIRST)->sided);
    hx_rig_fini(&r);
}

/* ---- what is to be moved ---- */
/* Promise: what is left in a closed file with damage is moved elsewhere, and the file goes. */
static void a_rotten_file_is_emptied(void **state)
{
    (void)state;
    struct hx_rig r;
    size_t len;
    hx_model_start(&r, 16u << 10);
    for (uint64_t lsn = 1; lsn <= 10; lsn++) {
        size_t n = hx_model_images(&r, lsn, 1, lsn - 1);
        assert_int_equal(hx_rig_append(&r, 0, 1, lsn - 1, 0, r.frame, n, NULL), 0);
    }
    struct hx_seg *s = segment(&r);
    for (unsigned i = 0; i < 20; i++) /* three of its four records are needed: it is left as it is */
        hx_rig_step(&r, 50);
    uint64_t id = FIRST + 1;
    assert_true(file_of(&r, id)->refs > 0 && file_of(&r, id)->sided);
    bytes(&r, id, &len)[HX_LOG_ENV + 50] ^= 1; /* the head of a frame whose content is whole: nothing is lost */
    hx_scrub_load(s);
    scrub(s);
    assert_true(file_of(&r, id)->rotten);
    assert_int_equal(s->unknown_count, 0);
    for (unsigned i = 0; i < 40; i++)
        hx_rig_step(&r, 200);
    uint64_t used = 0;
    for (size_t i = 0; i < s->log.slot_count; i++)
        if (s->log.files[i] && s->log.files[i]->id == id)
            used = s->log.files[i]->refs;
    assert_int_equal(used, 0);
    for (uint64_t lsn = 7; lsn <= 10; lsn++) {
        uint8_t got[HX_PAGE_SIZE];
        struct hx_read_page p;
        assert_int_equal(hx_rig_read(&r, 0, PG, 1, 10, (uint32_t)(lsn % 4), got, &p), 0);
        assert_int_equal(p.state, HX_READ_RAW);
        assert_int_equal(got[0], (uint8_t)lsn);
    }
    hx_rig_fini(&r);
}

/* ---- ranges that nobody has ---- */
/* Promise: a range of lost records becomes damage of just those pages whose records there cannot be read; what cannot
 * be looked at now stays as it was. */
static void a_range_becomes_damage_of_pages(void **state)
{
    (void)state;
    struct hx_rig r;
    size_t len;
    for (unsigned open = 0; open < 2; open++) { /* all but the first file, the open one among them */
        start(&r);
        struct hx_seg *s = segment(&r);
        bytes(&r, FIRST, &len)[3000] ^= 1;
        if (open)
            bytes(&r, FIRST + 3, &len)[3000] ^= 1; /* record 13 */
        assert_int_equal(hx_seg_unknown(s, 6, LAST, HX_NONE, false), 0);
        hx_scrub_narrow(s, &s->unknowns[0]);
        assert_int_equal(s->unknown_count, open);
        assert_true(!open || (s->unknowns[0].from == 13 && s->unknowns[0].page == 1));
        hx_rig_fini(&r);
    }
    for (unsigned how = 0; how < 4; how++) {
        start(&r);
        struct hx_seg *s = segment(&r);
        if (how > 0)
            bytes(&r, FIRST + 1, &len)[3000] ^= 1; /* record 5 */
        if (how == 2)
            bytes(&r, SIDE(FIRST + 1), &len)[20] ^= 1;
        if (how == 3)
            hx_mem_fail_read(r.farm[0], 1, HX_E_NOMEM);
        assert_int_equal(hx_seg_unknown(s, 2, 6, HX_NONE, false), 0);
        hx_scrub_narrow(s, &s->unknowns[0]);
        hx_mem_fail_read(r.farm[0], 0, 0);
        if (how == 0) { /* everything is there */
            assert_int_equal(s->unknown_count, 0);
        } else if (how == 1) {
            assert_int_equal(s->unknown_count, 1);
            assert_true(s->unknowns[0].from == 5 && s->unknowns[0].to == 5 && s->unknowns[0].page == 1);
        } else {
            bool stays = false;
            for (size_t i = 0; i < s->unknown_count; i++)
                stays |= s->unknowns[i].from == 2 && s->unknowns[i].to == 6 && !s->unknowns[i].blind;
            assert_true(stays);
            if (how == 2) { /* its sidecar was made anew, so that the next time there is one */
                assert_true(file_of(&r, FIRST + 1)->sided && s->scrub.rewritten == 1);
            }
        }
        hx_rig_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_it_stands_survives_a_restart),
        cmocka_unit_test(a_false_position_is_none),
        cmocka_unit_test(what_was_asked_for_outlives_a_failure),
        cmocka_unit_test(a_full_disk_keeps_no_position),
        cmocka_unit_test(of_a_large_store_little_is_lost),
        cmocka_unit_test(slots_that_will_be_written_are_left),
        cmocka_unit_test(an_error_that_passes_is_no_damage),
        cmocka_unit_test(an_error_that_stays_is_damage_of_that_place),
        cmocka_unit_test(want_of_memory_is_no_damage),
        cmocka_unit_test(a_sidecar_is_made_anew_once_a_cycle),
        cmocka_unit_test(both_damaged_is_blind_within_its_bounds),
        cmocka_unit_test(a_file_that_cannot_be_read_holds_up_nothing),
        cmocka_unit_test(a_flush_that_fails_poisons),
        cmocka_unit_test(a_rotten_file_is_emptied),
        cmocka_unit_test(a_range_becomes_damage_of_pages),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("scrub_rules", tests, NULL, NULL);
}
