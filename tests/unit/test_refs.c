/*
 * test_refs.c - the table of lookup counts and handles against a plain array.
 */
#include "../../src/fs/refs.h"
#include "../lib/mem_pager.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>

#include <cmocka.h>

#define INODES 3000u

/* Promise: every inode that has a count is found with it, and no other, whatever came and went before.  Method:
 * random references to numbers with many collisions, compared with an array; phases of growth and decline. */
static void counts_agree_with_an_array(void **state)
{
    (void)state;
    static uint64_t count[INODES];
    struct hx_refs r = {0};
    uint64_t random = 1, living = 0;
    assert_null(hx_refs_find(&r, 1));
    for (unsigned step = 0; step < 60000; step++) {
        uint64_t ino = 1 + mem_pager_random(&random) % (INODES - 1);
        bool more = mem_pager_random(&random) % 100 < (step / 10000 % 2 ? 30u : 70u);
        if (more) {
            assert_int_equal(hx_refs_reserve(&r, 1), 0);
            hx_refs_get(&r, ino)->lookups++;
            living += count[ino]++ == 0;
        } else if (count[ino] > 0) {
            hx_refs_find(&r, ino)->lookups--;
            living -= --count[ino] == 0;
            assert_false(hx_refs_settle(&r, ino)); /* it is not unlinked */
        }
        assert_true(r.count == living);
        for (unsigned i = 0; i < 4; i++) {
            uint64_t other = 1 + mem_pager_random(&random) % (INODES - 1);
            const struct hx_ref *e = hx_refs_find(&r, other);
            assert_true(e ? e->ino == other && e->lookups == count[other] : count[other] == 0);
        }
    }
    for (uint64_t ino = 1; ino < INODES; ino++)
        assert_true((hx_refs_find(&r, ino) != NULL) == (count[ino] > 0));
    hx_refs_fini(&r);
}

/* Promise: an unlinked inode is handed over for freeing exactly when the last of both counts goes. */
static void an_unlinked_inode_is_handed_over_once(void **state)
{
    (void)state;
    struct hx_refs r = {0};
    assert_int_equal(hx_refs_reserve(&r, 1), 0);
    struct hx_ref *e = hx_refs_get(&r, 7);
    e->lookups = 1;
    e->opens = 1;
    e->unlinked = true;
    assert_false(hx_refs_settle(&r, 7));
    hx_refs_find(&r, 7)->lookups = 0;
    assert_false(hx_refs_settle(&r, 7));
    hx_refs_find(&r, 7)->opens = 0;
    assert_true(hx_refs_settle(&r, 7));
    assert_null(hx_refs_find(&r, 7));
    assert_false(hx_refs_settle(&r, 7));
    hx_refs_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_agree_with_an_array),
        cmocka_unit_test(an_unlinked_inode_is_handed_over_once),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("refs", tests, NULL, NULL);
}
