/*
 * test_nomem_cache.c - the page cache when its k-th allocation fails, once or from then on, for every k.
 *
 * Method (alloc_fault.h): more pages than the cache is made for, so that its tables grow; mini-transactions with
 * before-images.  What fails says NOMEM and has changed nothing (P4); when memory is back every page is what the plain
 * array beside it says, and the members agree in the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "alloc_fault.h"
#include "fake_members.h"

#include "hexad/err.h"
#include "hexad/pager.h"

#include <stdlib.h>

#define PAGES 1300u
#define EDITS 70u /* at most */

static uint64_t shadow[PAGES];

static int edit(struct hx_pager *p, uint64_t first, uint64_t count, enum hx_edit how, uint64_t value)
{
    struct hx_lsn cpl;
    int err = hx_pager_begin(p);
    if (err)
        return err;
    for (uint64_t i = first; i < first + count; i++) {
        uint8_t *q;
        ALLOC_FAULTS(err = hx_pager_edit(p, HX_PAGE(i), how, &q));
        if (err) {
            hx_pager_abort(p);
            return err;
        }
        hx_put_u64(q, value + i);
    }
    ALLOC_FAULTS(err = hx_pager_commit(p, &cpl)); /* which has put all back when it fails */
    return err;
}

static void check(struct hx_pager *p)
{
    for (uint64_t i = 0; i < PAGES; i++) {
        const uint8_t *q;
        int err;
        ALLOC_FAULTS(err = hx_pager_get(p, HX_PAGE(i), &q));
        if (err)
            assert_int_equal(err, HX_E_NOMEM);
        else
            assert_int_equal(hx_get_u64(q), shadow[i]);
    }
}

/* False: it has fewer than K allocations. */
static bool script(uint64_t k, bool always)
{
    struct rig r;
    struct hx_cache *c = NULL;
    struct hx_cache_cfg cfg = {.cache_bytes = 4u << 20, .mtr_pages_max = 2 * EDITS};
    int err;
    memset(shadow, 0, sizeof shadow);
    rig_open(&r, &(struct rig_opts){.pgs = 6, .lal = 20000});
    rig_run(&r, 0);
    alloc_fault_plan(k, always);
    ALLOC_FAULTS(err = hx_cache_new(&cfg, r.w, &c));
    if (err) {
        assert_int_equal(err, HX_E_NOMEM);
        alloc_fault_plan(0, false);
        rig_close(&r);
        return true;
    }
    struct hx_pager *p = hx_cache_pager(c);
    check(p);
    for (uint64_t n = 0; n < 8; n++) {
        uint64_t first = n * 53 % (PAGES - EDITS), value = (n + 1) << 32;
        uint64_t count = n == 0 ? 64 : EDITS; /* 64 before-images fill a chunk: the records need another */
        err = edit(p, first, count, n % 3 == 2 ? HX_EDIT_ZEROS : HX_EDIT_KEEP, value);
        if (err)
            assert_int_equal(err, HX_E_NOMEM);
        for (uint64_t i = first; i < first + count && err == 0; i++)
            shadow[i] = value + i;
    }
    check(p);
    bool struck = alloc_fault_happened();
    alloc_fault_plan(0, false);
    check(p);
    assert_int_equal(edit(p, 100, EDITS, HX_EDIT_KEEP, UINT64_C(99) << 32), 0);
    for (uint64_t i = 100; i < 100 + EDITS; i++)
        shadow[i] = (UINT64_C(99) << 32) + i;
    check(p);
    hx_writer_want(r.w, r.now, hx_writer_last(r.w));
    rig_wait(&r, 100, 0);
    for (uint64_t i = 0; i < PAGES; i += 7) {
        uint8_t page[HX_PAGE_SIZE];
        fake_page(&r.f, (unsigned)(i % FAKE_SERVERS), (uint32_t)(i / 256), (uint32_t)(i % 256), hx_writer_vdl(r.w),
                  page);
        assert_int_equal(hx_get_u64(page), shadow[i]);
    }
    hx_cache_free(c);
    rig_close(&r);
    return struck;
}

static void what_a_cache_cannot_do_without_memory_changes_nothing(void **state)
{
    (void)state;
    for (unsigned always = 0; always < 2; always++) {
        uint64_t k = 1;
        while (script(k, always))
            k++;
        print_message("# %llu allocations\n", (unsigned long long)k - 1);
        assert_true(k > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_cache_cannot_do_without_memory_changes_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("nomem_cache", tests, NULL, NULL);
}
