/*
 * test_space_rules.c - rules of the background work (space.c) that overwriting seldom meets: what is done in pieces,
 * what becomes an image and when, which files are emptied or begun so that others may go, and what a full disk leaves.
 *
 * Method: one server over a disk in memory; its segment's work is called by hand, a piece at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"
#include "seg_model.h"

#include <stdlib.h>

#define PG 0u

static struct hx_seg *segment(struct hx_rig *r)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    struct hx_seg *s = hx_node_find(r->node[0], &at.volume, at.pg);
    assert_non_null(s);
    return s;
}

static struct hx_logfile *find(struct hx_rig *r, uint64_t id, uint32_t *ret_slot)
{
    struct hx_seg *s = segment(r);
    for (uint32_t i = 0; i < s->log.slot_count; i++)
        if (s->log.files[i] && s->log.files[i]->id == id) {
            if (ret_slot)
                *ret_slot = i;
            return s->log.files[i];
        }
    return NULL;
}

static void begin(struct hx_rig *r, uint64_t pg_bytes, uint32_t file_bytes)
{
    hx_rig_init(r, 1, pg_bytes, 1, file_bytes);
    assert_int_equal(hx_rig_format(r, 0, PG), 0);
}

/* Records as one frame behind PREV; all six have everything up to MARK, and nobody reads below it. */
static void add(struct hx_rig *r, uint64_t prev, const struct hx_rig_rec *recs, size_t count, uint64_t mark)
{
    size_t n = hx_rig_frame(r, PG, 1, prev, recs, count, (struct hx_rig_marks){mark, mark, mark});
    assert_int_equal(hx_rig_append(r, 0, 1, mark, mark, r->frame, n, NULL), 0);
}

static void content(uint64_t lsn, uint8_t *p, size_t len)
{
    struct hx_model noise = {.rng = lsn + 1};
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)hx_model_dice(&noise);
    p[len - 1] |= 1;
}

/* An image of LEN bytes. */
static void image(struct hx_rig *r, uint64_t lsn, uint32_t page, size_t len, uint64_t mark)
{
    uint8_t p[HX_PAGE_SIZE];
    content(lsn, p, len);
    struct hx_rig_rec rec = {lsn, page, HX_REC_IMAGE, HX_REC_CPL, p, len};
    add(r, lsn - 1, &rec, 1, mark);
}

static void assert_image(struct hx_rig *r, uint64_t point, uint32_t page, uint64_t lsn, size_t len)
{
    uint8_t want[HX_PAGE_SIZE] = {0}, got[HX_PAGE_SIZE];
    struct hx_read_page p;
    content(lsn, want, len);
    assert_int_equal(hx_rig_read(r, 0, PG, 1, point, page, got, &p), 0);
    assert_int_equal(p.state, HX_READ_RAW);
    assert_memory_equal(got, want, sizeof got);
}

#define TICK 20u
/* A piece of work, and the flush that makes it durable. */
static bool work(struct hx_rig *r)
{
    struct hx_seg *s = segment(r);
    r->now_ms += TICK;
    bool more = hx_space_work(s, r->now_ms);
    hx_node_dirty(r->node[0], s);
    hx_node_flush(r->node[0]);
    return more;
}

static void seal(struct hx_rig *r)
{
    assert_int_equal(hx_log_seal(segment(r)), 0);
    assert_int_equal(segment(r)->log.tail, HX_NONE);
}

/* ---- pieces ---- */
#define LARGE 700u /* images in a file of 3 MiB */
static struct hx_logfile *large_file(struct hx_rig *r, uint32_t *ret_slot)
{
    begin(r, 16u << 20, 4u << 20);
    for (uint64_t lsn = 1; lsn <= LARGE; lsn++)
        image(r, lsn, (uint32_t)lsn, HX_PAGE_SIZE, lsn - 1);
    image(r, LARGE + 1, LARGE + 1, 50, LARGE);
    seal(r);
    image(r, LARGE + 2, LARGE + 2, 50, LARGE + 1);
    work(r);
    struct hx_logfile *f = find(r, HX_LOG_FIRST_ID, ret_slot);
    assert_true(f && f->sided && f->refs == LARGE + 1);
    r->now_ms += 2000; /* commits are over */
    return f;
}

/* Promise: a file is emptied a mebibyte at a time between two batches, and goes when that is done. */
static void a_large_file_is_emptied_in_pieces(void **state)
{
    (void)state;
    struct hx_rig r;
    uint32_t slot;
    struct hx_logfile *f = large_file(&r, &slot);
    struct hx_seg *s = segment(&r);
    unsigned pieces = 0;
    f->rotten = true; /* as after a scrub that found something */
    for (uint32_t left = f->refs; left > 0; pieces++) {
        work(&r);
        f = find(&r, HX_LOG_FIRST_ID, NULL);
        uint32_t now = f ? f->refs : 0;
        assert_true(left - now <= (1u << 20) / HX_PAGE_SIZE + 1); /* a frame of one image more */
        assert_true(now == 0 || s->work.victim == slot);
        left = now;
    }
    assert_in_range(pieces, 3, 4);
    for (unsigned i = 0; i < 20; i++)
        work(&r);
    assert_null(find(&r, HX_LOG_FIRST_ID, NULL));
    for (uint64_t lsn = 1; lsn <= LARGE; lsn += 37)
        assert_image(&r, LARGE + 1, (uint32_t)lsn, lsn, HX_PAGE_SIZE);
    hx_rig_fini(&r);
}

/* Promise: a full disk in between does not lose where it was; a file that goes while it is being emptied is none. */
static void a_full_disk_between_two_pieces(void **state)
{
    (void)state;
    struct hx_rig r;
    uint32_t slot;
    struct hx_logfile *f = large_file(&r, &slot);
    struct hx_seg *s = segment(&r);
    f->rotten = true;
    work(&r);
    uint32_t left = f->refs;
    size_t off = s->work.side_off;
    assert_true(s->work.victim == slot && left < LARGE && off > 0);
    s->nospace = true;
    s->reserve.bytes = 1u << 20; /* there is something to give up */
    work(&r);
    assert_true(s->reserve.tight && s->work.victim == slot && s->work.side_off > off && f->refs < left);
    for (unsigned i = 0; i < 10 && f && f->refs; i++, f = find(&r, HX_LOG_FIRST_ID, NULL)) {
        s->nospace = true;
        work(&r);
    }
    for (unsigned i = 0; i < 20 && find(&r, HX_LOG_FIRST_ID, NULL); i++) {
        s->work.victim = slot; /* as if one more piece were left of it */
        s->work.side_off = 0;
        s->nospace = true;
        work(&r);
    }
    assert_null(find(&r, HX_LOG_FIRST_ID, NULL));
    assert_int_equal(s->work.victim, HX_NONE);
    assert_null(s->work.side.p);
    hx_rig_fini(&r);
}

/* Promise (B5): on a full disk a file is left that what it still holds would not fit the reserve. */
static void on_a_full_disk_large_files_are_left(void **state)
{
    (void)state;
    for (unsigned full = 0; full < 2; full++) {
        struct hx_rig r;
        begin(&r, 1u << 20, 64u << 10);
        for (uint64_t lsn = 1; lsn <= 14; lsn++)
            image(&r, lsn, (uint32_t)lsn, HX_PAGE_SIZE, lsn - 1);
        seal(&r);
        image(&r, 15, 15, 50, 14);
        work(&r);
        struct hx_seg *s = segment(&r);
        uint32_t slot;
        struct hx_logfile *f = find(&r, HX_LOG_FIRST_ID, &slot);
        f->rotten = true;
        s->nospace = full;
        hx_space_work(s, r.now_ms + 2000);
        assert_int_equal(s->log.batch.len > 0, !full);
        hx_log_drop(s);
        hx_rig_fini(&r);
    }
}

/* ---- which files ---- */
static void pass(struct hx_rig *r, uint64_t ms)
{
    for (uint64_t end = r->now_ms + ms; r->now_ms < end; r->now_ms += 50 - TICK)
        work(r);
}

/* Promise: when nobody is in the way the smallest of many small files are put together. */
static void many_small_files_become_few(void **state)
{
    (void)state;
    struct hx_rig r;
    begin(&r, 1u << 20, 64u << 10);
    for (uint64_t lsn = 1; lsn <= 14; lsn++) { /* the middle ones are the smallest */
        image(&r, lsn, (uint32_t)lsn, 100 * (lsn < 7 ? 10 - lsn : lsn - 4), lsn - 1);
        seal(&r);
    }
    image(&r, 15, 15, 100, 14);
    struct hx_seg *s = segment(&r);
    pass(&r, 4000);
    for (uint64_t id = HX_LOG_FIRST_ID; id < HX_LOG_FIRST_ID + 14; id++)
        assert_non_null(find(&r, id, NULL)); /* not while records may come */
    pass(&r, 20000);
    unsigned small = 0;
    for (size_t i = 0; i < s->log.slot_count; i++)
        small += s->log.files[i] && s->log.files[i]->sided && s->log.files[i]->end < 4096;
    assert_in_range(small, 1, 8);
    assert_null(find(&r, HX_LOG_FIRST_ID + 6, NULL));  /* the smallest */
    assert_non_null(find(&r, HX_LOG_FIRST_ID + 13, NULL));
    assert_non_null(find(&r, HX_LOG_FIRST_ID, NULL));
    for (uint64_t lsn = 1; lsn <= 14; lsn++)
        assert_image(&r, 14, (uint32_t)lsn, lsn, 100 * (lsn < 7 ? 10 - lsn : lsn - 4));
    hx_rig_fini(&r);
}

/* Promise (B1 e): the newest file is not deleted, for its number would be given out again; when it holds nothing that
 * anybody needs, and nobody writes, a new one is begun so that it may go.  A small one is not worth that.  Method: old
 * records that came late, all of them superseded by newer ones in an older file. */
static void a_new_file_is_begun_so_that_the_last_may_go(void **state)
{
    (void)state;
    for (unsigned large = 0; large < 2; large++) {
        struct hx_rig r;
        uint8_t p[HX_PAGE_SIZE];
        begin(&r, 1u << 20, 64u << 10);
        for (uint64_t lsn = 11; lsn <= 14; lsn++)
            image(&r, lsn, (uint32_t)(lsn % 4), 1000, 0);
        seal(&r);
        for (uint64_t lsn = 1; lsn <= 10; lsn++) {
            content(lsn, p, sizeof p);
            struct hx_rig_rec rec = {lsn, (uint32_t)(lsn % 4), HX_REC_IMAGE, HX_REC_CPL, p, large ? sizeof p : 30};
            add(&r, lsn - 1, &rec, 1, lsn == 10 ? 14 : 0);
        }
        seal(&r);
        struct hx_seg *s = segment(&r);
        assert_true(s->chain.scl == 14 && s->chain.hint == 14 && s->floor == 14 && s->gc == 14);
        pass(&r, 4000);
        assert_non_null(find(&r, HX_LOG_FIRST_ID + 1, NULL));
        pass(&r, 10000);
        assert_int_equal(find(&r, HX_LOG_FIRST_ID + 1, NULL) != NULL, !large);
        assert_int_equal(find(&r, HX_LOG_FIRST_ID + 2, NULL) != NULL, large);
        hx_rig_stop(&r, 0);
        hx_mem_crash(r.farm[0], 3);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(segment(&r)->chain.scl, 14);
        assert_int_equal(segment(&r)->unknown_count, 0);
        for (uint64_t lsn = 11; lsn <= 14; lsn++)
            assert_image(&r, 14, (uint32_t)(lsn % 4), lsn, 1000);
        hx_rig_fini(&r);
    }
}

/* Promise: where a batch waits no file is begun for its own sake: the batch begins one. */
static void a_batch_begins_a_file_by_itself(void **state)
{
    (void)state;
    struct hx_rig r;
    begin(&r, 1u << 20, 64u << 10);
    image(&r, 1, 1, 100, 0);
    seal(&r);
    struct hx_seg *s = segment(&r);
    uint8_t p[10] = {1};
    struct hx_rig_rec rec = {2, 2, HX_REC_IMAGE, HX_REC_CPL, p, sizeof p};
    size_t n = hx_rig_frame(&r, PG, 1, 1, &rec, 1, (struct hx_rig_marks){0, 0, 0});
    assert_int_equal(hx_log_put(s, HX_ENV_FRAME, 0, r.frame, n), 0);
    size_t waits = s->log.batch.len;
    assert_int_equal(hx_log_start(s), 0);
    assert_true(s->log.tail == HX_NONE && s->log.batch.len == waits);
    assert_int_equal(hx_seg_flush(s), 0);
    assert_true(s->log.tail != HX_NONE && s->chain.scl == 2);
    seal(&r);
    assert_int_equal(hx_log_start(s), 0);
    assert_int_equal(s->log.files[s->log.tail]->end, HX_LOG_ENV); /* a mark */
    seal(&r); /* a file without an entry has a sidecar without one */
    for (unsigned i = 0; i < 4; i++)
        work(&r);
    struct hx_logfile *f = find(&r, s->log.next_id - 1, NULL);
    struct hx_buf list = {0};
    assert_true(f && f->sided);
    assert_int_equal(hx_side_load(s, f, &list), 0);
    assert_int_equal(list.len, 0);
    hx_buf_fini(&list);
    hx_rig_fini(&r);
}

/* ---- images ---- */
static struct hx_version newest(struct hx_rig *r, uint32_t page)
{
    struct hx_version v = {0};
    struct hx_index_walk w = hx_index_walk(&segment(r)->index, page);
    assert_true(hx_index_next(&w, &v));
    return v;
}

/* COUNT patches of LEN bytes of value VALUE to PAGE, from LSN on, in one frame. */
static uint64_t patches(struct hx_rig *r, uint64_t lsn, uint32_t page, unsigned count, uint16_t len, uint8_t value)
{
    struct hx_rig_rec recs[32];
    static uint8_t p[HX_PAGE_SIZE];
    hx_put_u16(p, 64);
    hx_put_u16(p + 2, len);
    memset(p + 4, value, len);
    for (unsigned i = 0; i < count; i++)
        recs[i] = (struct hx_rig_rec){lsn + i, page, HX_REC_PATCH, HX_REC_CPL, p, 4u + len};
    add(r, lsn - 1, recs, count, 0);
    return lsn + count;
}

/* Promise: a chain that leaves nothing but zeros becomes a record without content. */
static void an_image_of_zeros_has_no_content(void **state)
{
    (void)state;
    struct hx_rig r;
    begin(&r, 1u << 20, 64u << 10);
    uint64_t next = patches(&r, 1, 3, 16, 20, 7);
    next = patches(&r, next, 3, 16, 20, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, next - 1, 0, NULL, 0, NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        work(&r);
    struct hx_version v = newest(&r, 3);
    assert_true(v.lsn == 32 && v.kind == HX_REC_ZERO && v.len == 0);
    hx_rig_fini(&r);
}

/* Promise (B3): what is moved is copied as it is; but patches that weigh more than half a page, or are many, are moved
 * as one image at the read floor, each page's its own. */
static void heavy_chains_are_moved_as_one_image(void **state)
{
    (void)state;
    static const struct {
        uint16_t len;
        unsigned count;
        bool image;
    } cases[] = {{100, 3, false}, {900, 3, true}, {100, 8, true}};
    for (size_t i = 0; i < HX_ARRAY_LEN(cases); i++) {
        struct hx_rig r;
        begin(&r, 8u << 20, 64u << 10);
        const uint32_t page[] = {5, 1029};
        uint64_t next = 1, last[2];
        for (unsigned k = 0; k < 2; k++, next++)
            image(&r, next, page[k], 3000, 0);
        for (unsigned k = 0; k < 2; k++) {
            next = patches(&r, next, page[k], cases[i].count, cases[i].len, (uint8_t)(9 + k));
            last[k] = next - 1;
        }
        image(&r, next, 7, 100, next - 1);
        seal(&r);
        image(&r, next + 1, 8, 100, next);
        work(&r);
        r.now_ms += 2000;
        find(&r, HX_LOG_FIRST_ID, NULL)->rotten = true;
        for (unsigned k = 0; k < 12; k++)
            work(&r);
        assert_null(find(&r, HX_LOG_FIRST_ID, NULL));
        for (unsigned k = 0; k < 2; k++) {
            uint8_t want[HX_PAGE_SIZE] = {0}, got[HX_PAGE_SIZE];
            struct hx_read_page p;
            assert_int_equal(newest(&r, page[k]).lsn, last[k]);
            assert_int_equal(newest(&r, page[k]).kind, cases[i].image ? HX_REC_IMAGE : HX_REC_PATCH);
            content(1 + k, want, 3000);
            memset(want + 64, 9 + (int)k, cases[i].len);
            assert_int_equal(hx_rig_read(&r, 0, PG, 1, next, page[k], got, &p), 0);
            assert_memory_equal(got, want, sizeof got);
        }
        hx_rig_fini(&r);
    }
}

/* Closes the file and has it emptied, as after a scrub that found something. */
static void empty_first_file(struct hx_rig *r, uint64_t next)
{
    image(r, next, 7000, 100, next - 1);
    seal(r);
    image(r, next + 1, 7001, 100, next);
    work(r);
    r->now_ms += 2000; /* commits are over */
    find(r, HX_LOG_FIRST_ID, NULL)->rotten = true;
}

static uint64_t written(const struct hx_seg *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->log.slot_count; i++)
        n += s->log.files[i] ? s->log.files[i]->end : 0;
    return n;
}

/* Promise: a page gets one image while a file is emptied, wherever its patches stand.  Method: two pages that were
 * changed in turn; an image for each change would be 90 KiB. */
static void pages_that_change_in_turn_get_one_image_each(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_rig_rec recs[30];
    const uint32_t page[] = {5, 1029};
    uint8_t patch[8] = {0, 1, 4, 0, 1, 2, 3, 4};
    begin(&r, 64u << 20, 64u << 10);
    for (unsigned k = 0; k < 2; k++)
        image(&r, 1 + k, page[k], 3000, 0);
    for (unsigned i = 0; i < 30; i++)
        recs[i] = (struct hx_rig_rec){3 + i, page[i % 2], HX_REC_PATCH, HX_REC_CPL, patch, sizeof patch};
    add(&r, 2, recs, 30, 0);
    empty_first_file(&r, 33);
    uint64_t before = written(segment(&r));
    work(&r);
    assert_in_range(written(segment(&r)) - before, 6000, 9000);
    for (unsigned k = 0; k < 2; k++)
        assert_true(newest(&r, page[k]).lsn == 31 + k && newest(&r, page[k]).kind == HX_REC_IMAGE);
    hx_rig_fini(&r);
}

/* Promise: what is made into images counts as much as what is copied: a mebibyte between two batches. */
static void images_are_made_in_pieces(void **state)
{
    (void)state;
    struct hx_rig r;
    uint64_t next = 1;
    unsigned images = 0;
    begin(&r, 64u << 20, 4u << 20);
    for (uint32_t page = 0; page < 600; page++)
        next = patches(&r, next, page, 8, 16, (uint8_t)(1 + page % 200));
    empty_first_file(&r, next);
    for (unsigned k = 0; k < 12; k++) {
        unsigned now = 0;
        work(&r);
        for (uint32_t page = 0; page < 600; page++)
            now += newest(&r, page).kind == HX_REC_IMAGE;
        assert_true(now - images <= (1u << 20) / HX_PAGE_SIZE + 1); /* a frame of one page more */
        images = now;
    }
    assert_true(images > 300);
    assert_null(find(&r, HX_LOG_FIRST_ID, NULL));
    hx_rig_fini(&r);
}

/* PAGES pages, each of COUNT records: one base, and patches; nothing is pruned. */
static uint64_t chains(struct hx_rig *r, uint32_t pages, unsigned count)
{
    static struct hx_rig_rec recs[4096];
    static const uint8_t one[] = {0, 0, 1, 0, 5};
    uint64_t lsn = 1;
    for (unsigned k = 0; k < count; k++)
        for (uint32_t page = 0; page < pages; page += 4096) {
            uint32_t n = pages - page < 4096 ? pages - page : 4096;
            for (uint32_t i = 0; i < n; i++)
                recs[i] = (struct hx_rig_rec){lsn + i, page + i, k ? HX_REC_PATCH : HX_REC_ZERO, HX_REC_CPL,
                                              one, k ? sizeof one : 0};
            add(r, lsn - 1, recs, n, 0);
            lsn += n;
        }
    assert_int_equal(hx_rig_append(r, 0, 1, lsn - 1, 0, NULL, 0, NULL), 0);
    return lsn - 1;
}

/* Promise: when the lists of the index have half of their memory shorter chains become images, all of it, any chain;
 * before, only long ones.  The sweep looks at so many pages at a time and no more. */
static void crowded_lists_make_images_of_short_chains(void **state)
{
    (void)state;
    static const struct {
        uint32_t pages;
        unsigned count;
        bool images;
    } cases[] = {{8191, 4, false}, {8192, 4, false}, {8192, 5, true}, {16384, 4, true}};
    for (size_t i = 0; i < HX_ARRAY_LEN(cases); i++) {
        struct hx_rig r;
        unsigned images = 0;
        begin(&r, 128u << 20, 4u << 20);
        chains(&r, cases[i].pages, cases[i].count);
        struct hx_seg *s = segment(&r);
        assert_int_equal(s->index.nodes, cases[i].pages * cases[i].count);
        for (unsigned k = 0; k < 12; k++) {
            uint32_t from = s->work.sweeping ? s->work.sweep_page : 0;
            work(&r);
            assert_true(!s->work.sweeping || s->work.sweep_page <= from + 4096);
        }
        for (uint32_t page = 0; page < cases[i].pages; page++)
            images += hx_rec_is_base(newest(&r, page).kind);
        assert_int_equal(images > 0, cases[i].images);
        for (unsigned k = 0; k < 12; k++) { /* commits are over: in larger pieces */
            r.now_ms += 500;
            work(&r);
        }
        if (!cases[i].images) /* what was looked at in vain is looked at again when the hint moves */
            assert_false(s->work.sweeping);
        hx_rig_fini(&r);
    }
}

/* Promise (B6): while commits come images wait until something is owed to them.  Method: no time goes by. */
static void images_wait_for_their_turn(void **state)
{
    (void)state;
    struct hx_rig r;
    const uint32_t pages = 200;
    unsigned images = 0;
    begin(&r, 16u << 20, 4u << 20);
    chains(&r, pages, 24);
    struct hx_seg *s = segment(&r);
    struct hx_seg_work *w = &s->work;
    w->came_bytes = s->log.taken_bytes;
    w->came_frames = s->log.taken;
    w->came_ms = w->ticked_ms = r.now_ms;
    w->owed = 0;
    for (unsigned k = 0; k < 20; k++)
        hx_space_work(s, r.now_ms);
    assert_true(w->todo_count > 0);
    assert_int_equal(s->log.batch.len, 0);
    for (unsigned k = 0; k < 3; k++)
        work(&r);
    for (uint32_t page = 0; page < pages; page++)
        images += hx_rec_is_base(newest(&r, page).kind);
    assert_true(images > 0);
    hx_rig_fini(&r);
}

/* Promise: what is above the hint, and can be neither pruned nor made into images, does not press for images of short
 * chains below it. */
static void what_is_above_the_hint_does_not_press(void **state)
{
    (void)state;
    static struct hx_rig_rec recs[4096];
    static const uint8_t one[] = {0, 0, 1, 0, 5};
    struct hx_rig r;
    begin(&r, 128u << 20, 4u << 20);
    uint64_t lsn = chains(&r, 100, 6) + 1;
    for (unsigned k = 0; k < 17; k++, lsn += 4096) {
        for (uint32_t i = 0; i < 4096; i++)
            recs[i] = (struct hx_rig_rec){lsn + i, 1000 + i, k ? HX_REC_PATCH : HX_REC_ZERO, HX_REC_CPL, one,
                                          k ? sizeof one : 0};
        add(&r, lsn - 1, recs, 4096, 0);
    }
    assert_true(segment(&r)->index.nodes > HX_INDEX_NODES);
    for (unsigned k = 0; k < 4; k++)
        work(&r);
    for (uint32_t page = 0; page < 100; page++)
        assert_int_equal(newest(&r, page).kind, HX_REC_PATCH);
    hx_rig_fini(&r);
}

/* Promise: what the floor has passed goes at the pace of the sweep, however many pages wait for an image.  Method: 200
 * long chains, more than are made into images at a time; behind them pages that were written and freed, of which the
 * first tick keeps nothing but the last record. */
static void long_chains_do_not_hold_up_the_sweep(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_rig_rec recs[200];
    begin(&r, 16u << 20, 4u << 20);
    uint64_t last = chains(&r, 200, 24);
    for (uint32_t i = 0; i < 200; i++)
        recs[i] = (struct hx_rig_rec){last + 1 + i, 300 + i / 2, i % 2 ? HX_REC_FREE : HX_REC_ZERO, HX_REC_CPL, NULL,
                                      0};
    add(&r, last, recs, 200, 0);
    last += 200;
    assert_int_equal(hx_rig_append(&r, 0, 1, last, last, NULL, 0, NULL), 0);
    assert_true(hx_index_listed(&segment(&r)->index, 300));
    work(&r);
    for (uint32_t page = 300; page < 400; page++) {
        assert_false(hx_index_listed(&segment(&r)->index, page));
        assert_int_equal(newest(&r, page).kind, HX_REC_FREE);
    }
    hx_rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_file_is_emptied_in_pieces),
        cmocka_unit_test(a_full_disk_between_two_pieces),
        cmocka_unit_test(on_a_full_disk_large_files_are_left),
        cmocka_unit_test(many_small_files_become_few),
        cmocka_unit_test(a_new_file_is_begun_so_that_the_last_may_go),
        cmocka_unit_test(a_batch_begins_a_file_by_itself),
        cmocka_unit_test(an_image_of_zeros_has_no_content),
        cmocka_unit_test(heavy_chains_are_moved_as_one_image),
        cmocka_unit_test(pages_that_change_in_turn_get_one_image_each),
        cmocka_unit_test(images_are_made_in_pieces),
        cmocka_unit_test(crowded_lists_make_images_of_short_chains),
        cmocka_unit_test(images_wait_for_their_turn),
        cmocka_unit_test(what_is_above_the_hint_does_not_press),
        cmocka_unit_test(long_chains_do_not_hold_up_the_sweep),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("space_rules", tests, NULL, NULL);
}
