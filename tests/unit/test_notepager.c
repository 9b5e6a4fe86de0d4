/*
 * test_notepager.c - the pager that operations see (src/core/notepager.c): which pages it notes as missing, and that
 * everything else goes to the cache unchanged.
 *
 * Method: a pager with scripted answers below; the list of notes is what the session would wait for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/core/notepager.h"
#include "hexad/err.h"

static struct {
    struct hx_pager base;
    int answer;      /* of get, edit, free; want: whether 0 */
    unsigned begins, commits, aborts;
    uint64_t page;   /* of the last call */
    enum hx_edit how;
} below;

static int script_get(struct hx_pager *p, struct hx_pageno page, const uint8_t **ret)
{
    (void)p;
    static const uint8_t content[HX_PAGE_SIZE];
    below.page = page.v;
    *ret = content;
    return below.answer;
}
static bool script_want(struct hx_pager *p, struct hx_pageno page)
{
    (void)p;
    below.page = page.v;
    return below.answer == 0;
}
static int script_begin(struct hx_pager *p)
{
    (void)p;
    below.begins++;
    return below.answer;
}
static int script_edit(struct hx_pager *p, struct hx_pageno page, enum hx_edit how, uint8_t **ret)
{
    (void)p;
    static uint8_t content[HX_PAGE_SIZE];
    below.page = page.v;
    below.how = how;
    *ret = content;
    return below.answer;
}
static int script_free(struct hx_pager *p, struct hx_pageno page)
{
    (void)p;
    below.page = page.v;
    return below.answer;
}
static int script_commit(struct hx_pager *p, struct hx_lsn *ret)
{
    (void)p;
    below.commits++;
    *ret = HX_LSN(77);
    return below.answer;
}
static void script_abort(struct hx_pager *p)
{
    (void)p;
    below.aborts++;
}
static uint64_t script_pages(const struct hx_pager *p)
{
    (void)p;
    return 1234;
}
static uint64_t script_mtr_max(const struct hx_pager *p)
{
    (void)p;
    return 99;
}
static const struct hx_pager_ops script = {
    .get = script_get, .want = script_want, .begin = script_begin, .edit = script_edit, .free = script_free,
    .commit = script_commit, .abort = script_abort, .pages = script_pages, .mtr_max = script_mtr_max,
};

static struct hx_notepager notes;

static int set_up(void **state)
{
    (void)state;
    below.base.ops = &script;
    below.answer = 0;
    below.begins = below.commits = below.aborts = 0;
    hx_notepager_init(&notes, &below.base);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hx_notepager_fini(&notes);
    assert_null(notes.pages);
    return 0;
}

/* Promise: each way to lack a page notes it, and no other answer does; what the cache answers is passed on. */
static void every_way_to_lack_a_page_is_noted(void **state)
{
    static const int answers[] = {0, HX_E_MISS, HX_E_ROOM, HX_E_CORRUPT, HX_E_FENCED, HX_E_INVAL};
    (void)state;
    struct hx_pager *p = &notes.base;
    for (size_t i = 0; i < HX_ARRAY_LEN(answers); i++) {
        const uint8_t *q;
        uint8_t *e;
        bool miss = answers[i] == HX_E_MISS;
        below.answer = answers[i];
        hx_notepager_reset(&notes);
        assert_int_equal(hx_pager_get(p, HX_PAGE(10), &q), answers[i]);
        assert_int_equal(below.page, 10);
        assert_int_equal(notes.count, miss);
        assert_int_equal(hx_pager_edit(p, HX_PAGE(20), HX_EDIT_ZEROS, &e), answers[i]);
        assert_int_equal(below.page, 20);
        assert_int_equal(below.how, HX_EDIT_ZEROS);
        assert_int_equal(notes.count, 2 * miss);
        assert_int_equal(hx_pager_free_page(p, HX_PAGE(30)), answers[i]);
        assert_int_equal(notes.count, 3 * miss);
        hx_notepager_reset(&notes);
        assert_int_equal(hx_pager_want(p, HX_PAGE(40)), answers[i] == 0);
        assert_int_equal(notes.count, answers[i] != 0); /* a page that is not there, whatever get would say */
    }
}

/* Promise: a page is noted once, also when it is asked for again soon; a list as long as the largest operation needs,
 * in the order of asking; reset begins anew. */
static void a_page_is_noted_once_however_many_there_are(void **state)
{
    (void)state;
    struct hx_pager *p = &notes.base;
    const uint8_t *q;
    below.answer = HX_E_MISS;
    for (unsigned round = 0; round < 2; round++) {
        hx_notepager_reset(&notes);
        for (uint64_t i = 0; i < 1000; i++) {
            assert_int_equal(hx_pager_get(p, HX_PAGE(i), &q), HX_E_MISS);
            assert_int_equal(hx_pager_get(p, HX_PAGE(i), &q), HX_E_MISS);
            assert_false(hx_pager_want(p, HX_PAGE(i < 7 ? 0 : i - 7))); /* seven others since */
        }
        assert_int_equal(notes.count, 1000);
        assert_false(notes.nomem);
        for (uint64_t i = 0; i < 1000; i++)
            assert_int_equal(notes.pages[i].v, i);
    }
    assert_int_equal(hx_pager_get(p, HX_PAGE(3), &q), HX_E_MISS); /* long ago: a repeat does no harm */
    assert_int_equal(notes.count, 1001);
}

/* Promise: mini-transactions are the cache's. */
static void mini_transactions_go_to_the_cache(void **state)
{
    (void)state;
    struct hx_pager *p = &notes.base;
    struct hx_lsn lsn = HX_LSN(0);
    assert_int_equal(hx_pager_begin(p), 0);
    assert_int_equal(hx_pager_commit(p, &lsn), 0);
    assert_int_equal(lsn.v, 77);
    below.answer = HX_E_READ_ONLY;
    assert_int_equal(hx_pager_begin(p), HX_E_READ_ONLY);
    assert_int_equal(hx_pager_commit(p, &lsn), HX_E_READ_ONLY);
    hx_pager_abort(p);
    assert_int_equal(below.begins * 100 + below.commits * 10 + below.aborts, 221);
    assert_int_equal(hx_pager_pages(p), 1234);
    assert_int_equal(hx_pager_mtr_max(p), 99);
    assert_int_equal(notes.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_way_to_lack_a_page_is_noted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_page_is_noted_once_however_many_there_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mini_transactions_go_to_the_cache, set_up, tear_down),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("notepager", tests, NULL, NULL);
}
