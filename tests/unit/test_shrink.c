/*
 * test_shrink.c - the volume ends earlier: what lives in its last pages moves out (src/fs/shrink.c, hexad/fs.h).
 *
 * Method: random files with holes, long directories and deleted ones in a volume of some units, over a pager that
 * drops pages and has no room now and then.  After each step a crash: the copy is verified, now and then read whole.
 * HEXAD_SEED=n gives other files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/fs/fs_private.h"
#include "fs_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define UNIT 256u
#define UNITS 12u
#define FILES 60u
#define FILE_PAGES 40u

struct world {
    struct fs_kit k;
    uint64_t rng;
    uint64_t ino[FILES];                 /* 0: deleted */
    uint8_t byte[FILES][FILE_PAGES];     /* of each page; 0: a hole, or zeros */
};

static uint64_t seed_of(unsigned n)
{
    const char *s = getenv("HEXAD_SEED");
    return (s ? strtoull(s, NULL, 10) : 1) * 1000 + n;
}

static unsigned below(struct world *w, unsigned n)
{
    return (unsigned)(mem_pager_random(&w->rng) % n);
}

static void name_of(unsigned i, char name[64])
{
    snprintf(name, 64, "%u-a-name-that-takes-some-room-in-its-leaf", i);
}

static void make(struct world *w, unsigned i)
{
    struct hx_fs_attr a;
    char name[64];
    name_of(i, name);
    assert_int_equal(kit_run(&w->k, hx_fs_mknod(w->k.fs, &w->k.who, HX_FS_ROOT, name, S_IFREG | 0600, 0, &a)), 0);
    w->ino[i] = a.ino;
    memset(w->byte[i], 0, FILE_PAGES);
    for (unsigned n = 1 + below(w, 12); n > 0; n--) {
        unsigned at = below(w, FILE_PAGES);
        w->byte[i][at] = (uint8_t)(1 + below(w, 255));
        kit_fill(&w->k, a.ino, (uint64_t)at * HX_PAGE_SIZE, HX_PAGE_SIZE, w->byte[i][at]);
    }
}

static void delete(struct world *w, unsigned i)
{
    char name[64];
    name_of(i, name);
    assert_int_equal(kit_run(&w->k, hx_fs_unlink(w->k.fs, &w->k.who, HX_FS_ROOT, name)), 0);
    assert_int_equal(hx_fs_forget(w->k.fs, w->ino[i], 1), 0);
    w->ino[i] = 0;
}

static void check_files(struct world *w, struct fs_kit *k)
{
    static uint8_t buf[FILE_PAGES * HX_PAGE_SIZE];
    for (unsigned i = 0; i < FILES; i++) {
        char name[64];
        name_of(i, name);
        uint64_t ino = kit_find(k, HX_FS_ROOT, name);
        assert_int_equal(ino, w->ino[i]);
        if (!ino)
            continue;
        memset(buf, 0, sizeof buf);
        kit_read(k, ino, 0, buf, sizeof buf);
        for (unsigned p = 0; p < FILE_PAGES; p++)
            for (unsigned b = 0; b < HX_PAGE_SIZE; b += 1021)
                assert_int_equal(buf[p * HX_PAGE_SIZE + b], w->byte[i][p]);
    }
}

static void check_crash(struct world *w, bool read)
{
    struct fs_kit c = kit_crash(&w->k);
    kit_verify(&c);
    if (read)
        check_files(w, &c);
    kit_close(&c);
}

/* Filled, most of it deleted again: what is left lies anywhere. */
static void open_world(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->rng = seed;
    w->k = kit_open(UNITS * UNIT, UNITS * UNIT, seed);
    for (unsigned i = 0; i < FILES; i++)
        make(w, i);
    /* Space that others take for a time spreads what comes next. */
    uint64_t big = kit_create(&w->k, HX_FS_ROOT, "big");
    kit_fill(&w->k, big, 0, ((uint64_t)UNITS * UNIT - 900) / 2 * HX_PAGE_SIZE, 7);
    for (unsigned i = 0; i < FILES; i += 1 + below(w, 3)) {
        delete(w, i);
        make(w, i);
    }
    assert_int_equal(kit_run(&w->k, hx_fs_unlink(w->k.fs, &w->k.who, HX_FS_ROOT, "big")), 0);
    assert_int_equal(hx_fs_forget(w->k.fs, big, 1), 0);
    for (unsigned i = 0; i < FILES; i++)
        if (below(w, 3))
            delete(w, i);
    kit_reap(&w->k);
    kit_verify(&w->k);
}

/* Steps until the end is empty; how many moved something. */
static unsigned empty(struct world *w, uint64_t keep)
{
    unsigned steps = 0, commits = 0;
    for (;; steps++) {
        uint64_t was = w->k.m->commits;
        assert_true(steps < 100000);
        int rc = kit_run(&w->k, hx_fs_shrink(w->k.fs, keep));
        assert_true(rc == 0 || rc == 1);
        if (w->k.m->commits == was + 1) {
            check_crash(w, ++commits % 16 == 0);
            assert_true(w->k.m->last_pages < w->k.m->mtr_max);
        }
        assert_true(w->k.m->commits <= was + 1); /* one mini-transaction a step */
        if (rc == 0)
            return commits;
    }
}

static void what_lives_at_the_end_moves_out(void **state)
{
    /* Promise: at 0 no page at or beyond KEEP is anything but zeros; nothing of the files changed; any crash between is
     * a tree like any other; the volume without those pages is whole; and it can grow over them again. */
    (void)state;
    unsigned moved = 0, taken = 0;
    for (unsigned n = 0; n < 6; n++) {
        struct world w;
        open_world(&w, seed_of(n));
        w.k.m->drop_percent = n % 2 ? 20 : 0;
        w.k.m->room_percent = n % 3 ? 10 : 0;
        while (hx_fs_shrink_pays(w.k.m->pages, kit_free_pages(&w.k), UNIT)) {
            uint64_t keep = w.k.m->pages - UNIT;
            moved += empty(&w, keep);
            for (uint64_t p = keep; p < w.k.m->pages; p++)
                assert_true(mem_pager_is_zeros(w.k.m, p));
            w.k.m->pages = keep;
            taken++;
            kit_verify(&w.k);
        }
        check_files(&w, &w.k);
        assert_true(w.k.m->pages < UNITS * UNIT);
        for (unsigned i = 0; i < FILES; i++) /* it grows again */
            if (!w.ino[i])
                make(&w, i);
        kit_verify(&w.k);
        check_files(&w, &w.k);
        kit_close(&w.k);
    }
    assert_true(moved > 50 && taken > 12);
}

static void nothing_new_goes_there(void **state)
{
    /* Promise (K1): between two steps files come and go, below KEEP only; it ends all the same. */
    (void)state;
    struct world w;
    open_world(&w, seed_of(77));
    uint64_t keep = w.k.m->pages - 2 * UNIT;
    int rc = 1;
    for (unsigned i = 0; rc == 1; i++) {
        rc = kit_run(&w.k, hx_fs_shrink(w.k.fs, keep));
        assert_true(rc == 0 || rc == 1);
        if (rc == 1 && i < 2 * FILES) {
            if (w.ino[i % FILES])
                delete(&w, i % FILES);
            else
                make(&w, i % FILES);
        }
    }
    for (unsigned i = 0; i < FILES; i++)
        if (!w.ino[i])
            make(&w, i);
    for (uint64_t p = keep; p < w.k.m->pages; p++)
        assert_true(mem_pager_is_zeros(w.k.m, p));
    kit_verify(&w.k);
    check_files(&w, &w.k);
    kit_close(&w.k);
}

static void it_is_given_up_where_there_is_no_room(void **state)
{
    /* Promise: HX_E_GROW, and all pages can be taken again; so after stop, and when the volume has grown. */
    (void)state;
    struct fs_kit k = kit_open(4 * UNIT, 4 * UNIT, seed_of(5));
    uint64_t ino = kit_create(&k, HX_FS_ROOT, "f");
    kit_fill(&k, ino, 0, UINT64_C(500) * HX_PAGE_SIZE, 3);
    assert_false(hx_fs_shrink_pays(k.m->pages, kit_free_pages(&k), 2 * UNIT));
    assert_int_equal(kit_run(&k, hx_fs_shrink(k.fs, 2 * UNIT)), HX_E_GROW);
    uint64_t left = kit_free_pages(&k);
    assert_true(left > UNIT);
    assert_true(kit_run(&k, hx_fs_shrink(k.fs, 3 * UNIT)) >= 0);
    assert_true(kit_free_pages(&k) <= left - UNIT);
    hx_fs_shrink_stop(k.fs);
    assert_int_equal(kit_free_pages(&k), left);
    kit_fill(&k, ino, UINT64_C(500) * HX_PAGE_SIZE, left / 2 * HX_PAGE_SIZE, 4);
    assert_int_equal(hx_fs_shrink(k.fs, 4 * UNIT), HX_E_INVAL);
    assert_int_equal(hx_fs_shrink(k.fs, 0), HX_E_INVAL);
    kit_verify(&k);
    kit_close(&k);
}

static void when_it_pays(void **state)
{
    /* Promise: a quarter of a unit stays free, twice of what makes a volume grow; the first unit stays. */
    (void)state;
    assert_true(hx_fs_shrink_pays(1000, 500, 400));
    assert_false(hx_fs_shrink_pays(1000, 499, 400));
    assert_false(hx_fs_shrink_pays(799, 799, 400));
    assert_false(hx_fs_shrink_pays(1000, 1000, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lives_at_the_end_moves_out),
        cmocka_unit_test(nothing_new_goes_there),
        cmocka_unit_test(it_is_given_up_where_there_is_no_room),
        cmocka_unit_test(when_it_pays),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("shrink", tests, NULL, NULL);
}
