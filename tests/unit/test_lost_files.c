/*
 * test_lost_files.c - a log file that vanished whole while its sidecar is still there (load.c R7): as after a repair of
 * the file system that moved an inode away.
 *
 * Promises: what it held is UNKNOWN and counted, pages that need it are CORRUPT and never older, sent again they are
 * there again; also when it held nothing but copies of old records.  The sidecar that a power loss leaves of a file
 * that was deleted in good order is no damage, and goes.  Damage does not grow, however often a restart meets it.
 * Method: one server over a disk in memory, its files removed between restarts; a model that knows every page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"
#include "seg_model.h"

#include <stdlib.h>

#define FILE_BYTES (16u << 10)
#define FILES_MAX 64u

struct copy {
    uint64_t id;
    uint8_t *p;
    size_t len;
};

static struct copy keep(struct hx_rig *r, uint64_t id)
{
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    struct copy c = {.id = id};
    const uint8_t *p = hx_mem_file(r->farm[0], &at, id, &c.len);
    assert_non_null(p);
    c.p = malloc(c.len + 1);
    assert_non_null(c.p);
    memcpy(c.p, p, c.len);
    return c;
}

static void put_back(struct hx_rig *r, struct copy *c)
{
    struct hx_disk_farm *farm = hx_mem_farm(r->farm[0]);
    struct hx_disk *d;
    hx_mem_remove_file(r->farm[0], &(struct hx_disk_place){r->geometry.volume, HX_MODEL_PG}, c->id);
    assert_int_equal(farm->ops->open(farm, hx_rig_place(r, HX_MODEL_PG), false, &d), 0);
    assert_int_equal(d->ops->write(d, c->id, 0, c->p, c->len), 0);
    assert_int_equal(d->ops->flush(d, c->id), 0);
    farm->ops->close(farm, d);
    free(c->p);
}

static const struct hx_seg *segment(struct hx_rig *r)
{
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    const struct hx_seg *s = hx_node_find(r->node[0], &at.volume, at.pg);
    assert_non_null(s);
    return s;
}

/* Every page at the newest point and at some older ones is right, CORRUPT, or refused; how many are CORRUPT. */
static unsigned check_honest(struct hx_rig *r, struct hx_model *m)
{
    unsigned corrupt = 0;
    for (unsigned i = 0; i < HX_MODEL_PAGES + 30; i++) {
        uint8_t want[HX_PAGE_SIZE], got[HX_PAGE_SIZE];
        struct hx_read_page p;
        uint64_t point = i < HX_MODEL_PAGES ? m->acked : m->floor + hx_model_dice(m) % (m->acked - m->floor + 1);
        uint32_t page = i % HX_MODEL_PAGES;
        hx_model_fold(m, page, point, want);
        int err = hx_rig_read(r, 0, HX_MODEL_PG, 1, point, page, got, &p);
        corrupt += !err && p.state == HX_READ_CORRUPT;
        if (!err && p.state != HX_READ_CORRUPT)
            assert_memory_equal(got, want, HX_PAGE_SIZE);
    }
    return corrupt;
}

/* Every closed file of a segment, by restarts with and without checkpoint. */
static void no_file_is_lost_without_a_trace(void **state)
{
    (void)state;
    unsigned needed = 0;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct hx_rig r;
        struct hx_model m;
        hx_model_init(&m, seed);
        hx_model_start(&r, FILE_BYTES);
        while (m.last < 700)
            assert_int_equal(hx_model_step(&r, &m), 0);
        struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
        uint64_t last = hx_mem_last_log(r.farm[0], &at);
        for (uint64_t id = HX_LOG_FIRST_ID; id < last; id++) {
            size_t len;
            bool there = false, used = false, old = false;
            for (size_t i = 0; i < segment(&r)->log.slot_count; i++) {
                const struct hx_logfile *f = segment(&r)->log.files[i];
                there |= f && f->id == id && f->sided;
                used |= f && f->id == id && f->sided && f->refs;
                old |= f && f->id == id && f->max_lsn <= segment(&r)->meta.base.v;
            }
            if (!there)
                continue;
            hx_rig_stop(&r, 0);
            struct copy side = keep(&r, id | HX_LOG_SIDE_BIT), log = keep(&r, id);
            hx_mem_remove_file(r.farm[0], &at, id);
            assert_int_equal(hx_rig_start(&r, 0), 0);
            struct hx_segment_look l;
            assert_int_equal(hx_node_look(r.node[0], at, &l), 0);
            assert_int_equal(l.error, 0);
            assert_int_equal(l.unknowns > 0, used || !old);
            unsigned corrupt = check_honest(&r, &m);
            needed += corrupt > 0;
            assert_true(corrupt == 0 || used);
            hx_rig_stop(&r, 0);
            assert_non_null(hx_mem_file(r.farm[0], &at, id | HX_LOG_SIDE_BIT, &len)); /* what it knows is kept */
            put_back(&r, &side);
            put_back(&r, &log);
            assert_int_equal(hx_rig_start(&r, 0), 0);
            assert_int_equal(check_honest(&r, &m), 0);
        }
        hx_model_fini(&m);
        hx_rig_fini(&r);
    }
    assert_true(needed >= 5);
}

/* Image of PAGE made of LSN, so that pages and versions differ; everything before is announced, and at all members. */
static void put_image(struct hx_rig *r, uint64_t lsn, uint32_t page)
{
    uint8_t image[HX_PAGE_SIZE];
    struct hx_model noise = {.rng = lsn};
    for (size_t i = 0; i < HX_PAGE_SIZE; i++)
        image[i] = i ? (uint8_t)hx_model_dice(&noise) : (uint8_t)lsn;
    struct hx_rig_rec rec = {lsn, page, HX_REC_IMAGE, HX_REC_CPL, image, HX_PAGE_SIZE};
    size_t n = hx_rig_frame(r, HX_MODEL_PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){lsn - 1, lsn - 1, lsn - 1});
    assert_int_equal(hx_rig_append(r, 0, 1, lsn - 1, lsn - 1, r->frame, n, NULL), 0);
}

/* Every second record is of page 0; the others' pages are written once, so that they are moved, and files of nothing
 * but copies result: no record in them is above the base, and only the pages tell that they are needed. */
static void a_file_of_old_copies_is_missed(void **state)
{
    (void)state;
    struct hx_rig r;
    unsigned tried = 0;
    hx_model_start(&r, 32u << 10);
    for (uint64_t lsn = 1; lsn <= 129; lsn++)
        put_image(&r, lsn, lsn % 2 ? 0 : (uint32_t)lsn);
    for (unsigned i = 0; i < 100; i++)
        hx_rig_step(&r, 500);
    struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
    uint64_t last = hx_mem_last_log(r.farm[0], &at);
    for (uint64_t id = HX_LOG_FIRST_ID; id < last; id++) {
        bool copies = false;
        for (size_t i = 0; i < segment(&r)->log.slot_count; i++) {
            const struct hx_logfile *f = segment(&r)->log.files[i];
            copies |= f && f->id == id && f->sided && f->refs && f->max_lsn <= segment(&r)->meta.base.v;
        }
        if (!copies)
            continue;
        hx_rig_stop(&r, 0);
        struct copy log = keep(&r, id);
        hx_mem_remove_file(r.farm[0], &at, id);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(segment(&r)->damaged, 1);
        unsigned corrupt = 0;
        for (uint64_t lsn = 2; lsn <= 128; lsn += 2) {
            struct hx_read_page p;
            uint8_t data[HX_PAGE_SIZE];
            assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 128, (uint32_t)lsn, data, &p), 0);
            corrupt += p.state == HX_READ_CORRUPT;
            assert_true(p.state == HX_READ_CORRUPT || (p.state == HX_READ_RAW && data[0] == lsn));
        }
        assert_true(corrupt > 0);
        tried++;
        hx_rig_stop(&r, 0);
        put_back(&r, &log);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(segment(&r)->damaged, 0);
    }
    assert_true(tried >= 2);
    hx_rig_fini(&r);
}

/* Log file ID and its sidecar are gone, the server starts, and takes records until it has deleted files that are newer;
 * it starts again.  How many pages are CORRUPT then. */
static unsigned lost_without_a_trace(struct hx_rig *r, struct hx_model *m, uint64_t id)
{
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    hx_rig_stop(r, 0);
    hx_mem_remove_file(r->farm[0], &at, id);
    hx_mem_remove_file(r->farm[0], &at, id | HX_LOG_SIDE_BIT);
    assert_int_equal(hx_rig_start(r, 0), 0);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(hx_model_step(r, m), 0);
    for (unsigned i = 0; i < 40; i++)
        hx_rig_step(r, 500);
    unsigned before = check_honest(r, m);
    hx_model_restart(r);
    unsigned after = check_honest(r, m);
    assert_true(after > 0 || before == 0);
    return after;
}

/* A flush that does nothing may take a new file whole, and no sidecar was written yet: R5 finds at each restart that
 * records are missing, until peers (there are none here) have confirmed the pages.  Each file from the oldest on that
 * the base has not passed. */
static void what_left_no_trace_is_missed_at_each_restart(void **state)
{
    (void)state;
    unsigned corrupt = 0, tried = 0;
    for (unsigned nth = 0; nth < 6; nth++) {
        struct hx_rig r;
        struct hx_model m;
        hx_model_init(&m, 31 + nth);
        hx_model_start(&r, FILE_BYTES);
        while (m.last < 500)
            assert_int_equal(hx_model_step(&r, &m), 0);
        uint64_t id = 0;
        for (size_t i = 0, n = 0; i < segment(&r)->log.slot_count; i++) {
            const struct hx_logfile *f = segment(&r)->log.files[i];
            uint64_t base = segment(&r)->meta.base.v, anchor = segment(&r)->chain.anchor;
            if (f && f->sealed && f->min_lsn > base && f->max_lsn <= anchor && n++ == nth)
                id = f->id;
        }
        tried += id != 0;
        corrupt += id && lost_without_a_trace(&r, &m, id) ? 1 : 0;
        hx_model_fini(&m);
        hx_rig_fini(&r);
    }
    assert_int_equal(tried, 6);
    assert_true(corrupt >= 3);
}

/* FRAMES for all six, who tell each other; what nobody reads any more goes. */
static void to_all(struct hx_rig *r, struct hx_model *m, unsigned frames)
{
    for (unsigned k = 0; k < frames; k++) {
        size_t n = hx_model_frame(r, m, 1 + (unsigned)(hx_model_dice(m) % 8));
        for (unsigned i = 0; i < HX_COPIES; i++)
            assert_int_equal(hx_rig_append(r, i, 1, m->vdl, m->floor, r->frame, n, NULL), 0);
        m->vdl = m->acked = m->last;
        m->floor = m->vdl > 20 ? m->vdl - 20 : 0;
        if (k % 4 == 0)
            hx_rig_step(r, 200);
    }
}

/* Once peers have confirmed every page the base moves on over the hole, files go, and a restart has nothing to say: no
 * point is read any more that is older than the confirmation. */
static void what_peers_confirm_lets_the_base_pass(void **state)
{
    (void)state;
    unsigned passed = 0;
    for (unsigned seed = 0; seed < 6; seed++) {
        struct hx_rig r;
        struct hx_model m;
        struct hx_disk_place at;
        uint64_t id = 0;
        hx_model_init(&m, 51 + seed);
        hx_rig_init(&r, HX_COPIES, 1u << 20, 2, FILE_BYTES);
        at = hx_rig_place(&r, HX_MODEL_PG);
        for (unsigned i = 0; i < HX_COPIES; i++)
            assert_int_equal(hx_rig_format(&r, i, HX_MODEL_PG), 0);
        to_all(&r, &m, 100);
        for (size_t i = 0; i < segment(&r)->log.slot_count && !id; i++) {
            const struct hx_logfile *f = segment(&r)->log.files[i];
            if (f && f->sealed && f->min_lsn > segment(&r)->meta.base.v && f->max_lsn <= segment(&r)->chain.anchor)
                id = f->id;
        }
        if (id) {
            hx_rig_stop(&r, 0);
            hx_mem_remove_file(r.farm[0], &at, id);
            hx_mem_remove_file(r.farm[0], &at, id | HX_LOG_SIDE_BIT);
            assert_int_equal(hx_rig_start(&r, 0), 0);
            bool blind = segment(&r)->unknown_count && segment(&r)->unknowns[0].blind;
            uint64_t from = blind ? segment(&r)->unknowns[0].from : 0;
            uint64_t base = segment(&r)->meta.base.v;
            for (unsigned i = 0; i < 100 && hx_seg_damages(segment(&r)); i++)
                hx_rig_step(&r, 500);
            assert_int_equal(hx_seg_damages(segment(&r)), 0);
            uint64_t confirmed = segment(&r)->sound.at;
            to_all(&r, &m, 200);
            struct hx_seg *s = hx_node_find(r.node[0], &at.volume, at.pg);
            /* Damage of which the record is known is no hole. */
            assert_int_equal(hx_seg_unknown(s, m.acked, m.acked, HX_NONE, false), 0);
            for (unsigned i = 0; i < 60; i++)
                hx_rig_step(&r, 500);
            passed += blind && from > base && segment(&r)->meta.base.v > from;
            assert_true(segment(&r)->meta.base.v < from || segment(&r)->meta.oldest.v >= confirmed);
            assert_int_equal(check_honest(&r, &m), 0);
            hx_model_restart(&r);
            assert_int_equal(check_honest(&r, &m), 0);
        }
        hx_model_fini(&m);
        hx_rig_fini(&r);
    }
    assert_true(passed >= 2);
}

/* What was lost is sent again, and is there again; then the rest of the file is given up for good. */
static void records_of_a_lost_file_come_back(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_read_page p;
    struct hx_segment_look l;
    uint8_t data[HX_PAGE_SIZE];
    size_t len;
    hx_model_start(&r, 32u << 10);
    for (uint64_t lsn = 1; lsn <= 40; lsn++) /* images of 4 pages, eight to a file; nothing is announced */
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, hx_model_images(&r, lsn, 1, 0), NULL), 0);
    struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
    for (unsigned i = 0; i < 20; i++)
        hx_rig_step(&r, 50);
    hx_rig_stop(&r, 0);
    hx_mem_remove_file(r.farm[0], &at, 17);
    assert_non_null(hx_mem_file(r.farm[0], &at, 17 | HX_LOG_SIDE_BIT, &len));
    assert_int_equal(hx_rig_start(&r, 0), 0);
    struct hx_inventory v = {0};
    assert_int_equal(hx_rig_fence(&r, 0, HX_MODEL_PG, 1, 1, &v), 0);
    assert_int_equal(v.unknown_count, 1);
    uint64_t from = v.unknowns[0].from.v, to = v.unknowns[0].to.v;
    hx_inventory_fini(&v);
    assert_true(from > 1 && from <= 16 && to >= 16 && to < 40);
    assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 16, 0, data, &p), 0);
    assert_int_equal(p.state, HX_READ_CORRUPT);
    for (uint64_t lsn = from; lsn <= to; lsn++)
        assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, hx_model_images(&r, lsn, 1, 0), NULL), 0);
    assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 16, 0, data, &p), 0);
    assert_int_equal(p.state, HX_READ_RAW);
    assert_int_equal(data[0], 16);
    assert_int_equal(hx_node_look(r.node[0], at, &l), 0);
    assert_int_equal(l.unknowns, 0);
    /* once all members have what was in it, the file that is none goes, sidecar and all */
    assert_int_equal(hx_rig_append(&r, 0, 1, 40, 40, r.frame, hx_model_images(&r, 41, 8, 40), NULL), 0);
    for (unsigned i = 0; i < 60; i++)
        hx_rig_step(&r, 500);
    assert_null(hx_mem_file(r.farm[0], &at, 17 | HX_LOG_SIDE_BIT, &len));
    hx_model_restart(&r);
    assert_int_equal(hx_node_look(r.node[0], at, &l), 0);
    assert_int_equal(l.unknowns, 0);
    for (uint32_t page = 0; page < 4; page++) {
        assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 1, 48, page, data, &p), 0);
        assert_int_equal(p.state, HX_READ_RAW);
        assert_int_equal(data[0], page ? 44 + page : 48);
    }
    hx_rig_fini(&r);
}

/* Nor when any one read of a restart fails, which is no damage itself. */
static void restart_with_a_failed_read(struct hx_rig *r)
{
    bool failed = true;
    for (uint64_t k = 1; failed; k++) {
        hx_mem_fail_read(r->farm[0], k, HX_E_IO);
        assert_int_equal(hx_rig_start(r, 0), 0);
        failed = hx_mem_read_failed(r->farm[0]);
        hx_mem_fail_read(r->farm[0], 0, 0);
        assert_int_equal(segment(r)->damaged, 0);
        hx_rig_stop(r, 0);
    }
}

/* The sidecars of all files that were deleted, as if power had been lost each time before that was durable. */
static void what_a_deletion_leaves_is_no_damage(void **state)
{
    (void)state;
    unsigned rests = 0;
    for (uint64_t seed = 11; seed <= 13; seed++) {
        struct hx_rig r;
        struct hx_model m;
        struct copy kept[FILES_MAX];
        size_t count = 0;
        hx_model_init(&m, seed);
        hx_model_start(&r, FILE_BYTES);
        struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
        for (uint64_t next = HX_LOG_FIRST_ID; m.last < 700;) {
            size_t len;
            assert_int_equal(hx_model_step(&r, &m), 0);
            for (; count < FILES_MAX && hx_mem_file(r.farm[0], &at, next | HX_LOG_SIDE_BIT, &len); next++)
                kept[count++] = keep(&r, next | HX_LOG_SIDE_BIT);
        }
        hx_rig_stop(&r, 0);
        for (size_t i = 0; i < count; i++) {
            size_t len;
            bool deleted = !hx_mem_file(r.farm[0], &at, kept[i].id & ~HX_LOG_SIDE_BIT, &len);
            rests += deleted;
            if (deleted)
                put_back(&r, &kept[i]);
            else
                free(kept[i].p);
        }
        restart_with_a_failed_read(&r);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(segment(&r)->damaged, 0);
        assert_int_equal(check_honest(&r, &m), 0);
        struct hx_seg *g = hx_node_find(r.node[0], &at.volume, at.pg);
        g->scrub.loaded = true; /* nor does a scrub take it for damage before it is gone */
        for (unsigned i = 0; i < 200 && !g->scrub.comparing; i++)
            hx_scrub_step(g, 1u << 20);
        assert_true(g->scrub.comparing);
        for (size_t i = 0; i < segment(&r)->log.slot_count; i++)
            assert_false(segment(&r)->log.files[i]->rotten);
        for (unsigned i = 0; i < 3; i++) /* so that gc reaches everything old, and the tail moves on */
            assert_int_equal(hx_model_step(&r, &m), 0);
        for (unsigned i = 0; i < 40; i++)
            hx_rig_step(&r, 500);
        unsigned left = 0;
        for (size_t i = 0; i < segment(&r)->log.slot_count; i++)
            left += segment(&r)->log.files[i] && segment(&r)->log.files[i]->lost;
        assert_int_equal(left, 0);
        hx_model_fini(&m);
        hx_rig_fini(&r);
    }
    assert_true(rests >= 3);
}

/* The same where the floor that let old versions go was only announced, and is forgotten by the restart: what a deleted
 * file held is needed by no read point from the oldest on, which the slots remember. */
static void what_was_below_the_oldest_point_is_no_damage(void **state)
{
    (void)state;
    struct hx_rig r;
    struct copy kept[FILES_MAX];
    size_t count = 0, len;
    unsigned rests = 0;
    uint8_t data[HX_PAGE_SIZE];
    hx_model_start(&r, 32u << 10);
    struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
    for (uint64_t lsn = 1; lsn <= 80; lsn++) {
        struct hx_model noise = {.rng = lsn};
        for (size_t i = 0; i < HX_PAGE_SIZE; i++)
            data[i] = i ? (uint8_t)hx_model_dice(&noise) : (uint8_t)lsn;
        struct hx_rig_rec rec = {lsn, (uint32_t)(lsn % 4), HX_REC_IMAGE, HX_REC_CPL, data, HX_PAGE_SIZE};
        size_t n = hx_rig_frame(&r, HX_MODEL_PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){lsn - 1, 0, lsn - 1});
        assert_int_equal(hx_rig_append(&r, 0, 1, lsn - 1, 0, r.frame, n, NULL), 0);
    }
    for (unsigned i = 0; i < 20; i++)
        hx_rig_step(&r, 50);
    for (uint64_t id = HX_LOG_FIRST_ID; hx_mem_file(r.farm[0], &at, id | HX_LOG_SIDE_BIT, &len); id++)
        kept[count++] = keep(&r, id | HX_LOG_SIDE_BIT);
    assert_true(count >= 8);
    assert_int_equal(hx_rig_append(&r, 0, 1, 80, 60, NULL, 0, NULL), 0);
    for (unsigned i = 0; i < 60; i++)
        hx_rig_step(&r, 500);
    hx_rig_stop(&r, 0);
    for (size_t i = 0; i < count; i++) {
        bool deleted = !hx_mem_file(r.farm[0], &at, kept[i].id & ~HX_LOG_SIDE_BIT, &len);
        rests += deleted;
        if (deleted)
            put_back(&r, &kept[i]);
        else
            free(kept[i].p);
    }
    assert_true(rests >= 3);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_true(segment(&r)->floor < 60);
    assert_int_equal(segment(&r)->damaged, 0);
    hx_rig_fini(&r);
}

/* A file and its sidecar are lost: what it may have held ends where the log did when the next file's sidecar was
 * written, at each later restart. */
static void old_damage_does_not_grow(void **state)
{
    (void)state;
    struct hx_rig r;
    size_t len;
    uint64_t to = 0;
    hx_model_start(&r, 32u << 10);
    struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
    for (uint64_t lsn = 1; lsn <= 24; lsn++)
        assert_int_equal(hx_rig_append(&r, 0, 1, lsn - 1, 0, r.frame, hx_model_images(&r, lsn, 1, lsn - 1), NULL), 0);
    hx_model_restart(&r);
    assert_true(segment(&r)->log.slot_count > 2);
    hx_rig_stop(&r, 0);
    hx_mem_remove_file(r.farm[0], &at, HX_LOG_FIRST_ID);
    uint8_t *side = hx_mem_file(r.farm[0], &at, HX_LOG_FIRST_ID | HX_LOG_SIDE_BIT, &len);
    assert_non_null(side);
    side[8] ^= 1;
    for (uint64_t last = 24; last <= 72; last += 24) {
        assert_int_equal(hx_rig_start(&r, 0), 0);
        const struct hx_seg *s = segment(&r);
        assert_int_equal(s->error, 0);
        for (size_t i = 0; i < s->unknown_count; i++)
            to = s->unknowns[i].to > to ? s->unknowns[i].to : to;
        assert_in_range(to, 2, 24);
        for (uint64_t lsn = last + 1; lsn <= last + 24; lsn++)
            assert_int_equal(
                hx_rig_append(&r, 0, 1, lsn - 1, 0, r.frame, hx_model_images(&r, lsn, 1, lsn - 1), NULL), 0);
        hx_rig_stop(&r, 0);
    }
    assert_int_equal(hx_rig_start(&r, 0), 0);
    hx_rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_file_is_lost_without_a_trace),
        cmocka_unit_test(a_file_of_old_copies_is_missed),
        cmocka_unit_test(what_left_no_trace_is_missed_at_each_restart),
        cmocka_unit_test(what_peers_confirm_lets_the_base_pass),
        cmocka_unit_test(records_of_a_lost_file_come_back),
        cmocka_unit_test(what_a_deletion_leaves_is_no_damage),
        cmocka_unit_test(what_was_below_the_oldest_point_is_no_damage),
        cmocka_unit_test(old_damage_does_not_grow),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("lost_files", tests, NULL, NULL);
}
