/*
 * test_meta.c - the two meta slots of a segment over deaths of the process and of the power, one after the other.
 */
#include "mem_disk.h"

#include "../../src/store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct hx_uuid server = {{5}};
static const struct hx_disk_place at = {{{7}}, 3};

static void make_first(struct hx_meta *m)
{
    struct hx_geometry g = {.volume = at.volume, .name = "v", .pg_bytes = HX_PG_SIZE_MIN, .lal = 500,
                            .epoch = HX_EPOCH(1)};
    *m = (struct hx_meta){.promised = HX_EPOCH(1)};
    assert_int_equal(hx_geometry_copy(&m->geometry, &g), 0);
    for (unsigned i = 0; i < 12; i++) { /* some sectors: a slot can be torn */
        struct hx_server s = {.incarnation = {{(uint8_t)(i + 1)}}};
        snprintf(s.name, sizeof s.name, "s%u", i);
        snprintf(s.zone, sizeof s.zone, "az-%u", i % 3);
        snprintf(s.url, sizeof s.url, "https://a-server-with-quite-a-long-name-%u.example:9621", i);
        assert_int_equal(hx_geometry_add_server(&m->geometry, &s), 0);
    }
    for (uint32_t pg = 0; pg <= at.pg; pg++)
        assert_int_equal(hx_geometry_add_pg(&m->geometry, &(struct hx_pg_members){.server = {0, 3, 1, 4, 2, 5}}), 0);
    assert_int_equal(hx_history_push(&m->history, (struct hx_history_entry){HX_EPOCH(1), HX_LSN(0), HX_LSN(0), 500}),
                     0);
}

static struct hx_disk *open_disk(struct hx_mem_farm *f)
{
    struct hx_disk *d;
    assert_int_equal(hx_mem_farm(f)->ops->open(hx_mem_farm(f), at, true, &d), 0);
    return d;
}

/* One life: loads, as a segment does, then promises up to SAVES times; *io_kept: what must be there from then on. */
static void live(struct hx_mem_farm *f, unsigned saves, uint64_t *io_kept)
{
    struct hx_disk *d = open_disk(f);
    struct hx_meta m = {0};
    bool uneven = false;
    assert_int_equal(hx_meta_load(d, &at, &server, &m, &uneven), 0);
    assert_true(m.promised.v >= *io_kept);
    int err = uneven ? hx_meta_save(d, &at, &server, &m) : 0;
    *io_kept = err ? *io_kept : m.promised.v;
    for (unsigned i = 0; i < saves && !err; i++) {
        m.promised.v++; /* and a longer history, so that every sector changes */
        struct hx_history_entry e = *hx_history_top_entry(&m.history);
        e = (struct hx_history_entry){m.promised, HX_LSN(0), HX_LSN(e.end.v + e.lal), e.lal};
        assert_int_equal(hx_history_push(&m.history, e), 0);
        err = hx_meta_save(d, &at, &server, &m);
        *io_kept = err ? *io_kept : m.promised.v;
    }
    hx_meta_fini(&m);
    hx_mem_farm(f)->ops->close(hx_mem_farm(f), d);
}

static void an_older_slot_with_the_whole_becomes_a_slice(void **state)
{
    /* Promise: a slot that an older program wrote for another group than 0, with all groups in it, is read as the
     * slice, and written as that; it then has the slice's length. */
    (void)state;
    struct hx_mem_farm *f = hx_mem_farm_new();
    struct hx_meta m, n = {0};
    struct hx_geometry s = {0};
    bool uneven;
    assert_non_null(f);
    struct hx_disk *d = open_disk(f);
    make_first(&m);
    assert_int_equal(hx_geometry_slice(&m.geometry, at.pg, &s), 0);
    assert_true(at.pg > 0 && s.server_count == HX_COPIES && m.geometry.server_count == 12);
    assert_int_equal(hx_meta_save(d, &at, &server, &m), 0); /* as it is: whole */
    for (unsigned life = 0; life < 2; life++) {
        uint8_t head[40];
        size_t got;
        assert_int_equal(hx_meta_load(d, &at, &server, &n, &uneven), 0);
        assert_true(hx_geometry_equal(&n.geometry, &s));
        assert_int_equal(hx_meta_save(d, &at, &server, &n), 0);
        assert_int_equal(d->ops->read(d, 1, 0, head, sizeof head, &got), 0);
        assert_int_equal(hx_get_u32(head + 36), hx_geometry_encoded_len(&s) + hx_history_encoded_len(&n.history));
        hx_meta_fini(&n);
    }
    hx_geometry_fini(&s);
    hx_meta_fini(&m);
    hx_mem_farm(f)->ops->close(hx_mem_farm(f), d);
    hx_mem_farm_free(f);
}

static void a_promise_outlives_kills_and_power_losses(void **state)
{
    /* Promise (M1 to M4): what was saved is there, and a slot is whole, whatever dies when.  Method: a life is killed
     * before its k-th call (what it wrote can be read, and is not durable), the next one loses power at its j-th, with
     * any of its unflushed sectors kept or lost; a third one reads. */
    (void)state;
    for (uint64_t k = 1; k <= 9; k++) {
        for (uint64_t j = 1; j <= 9; j++) {
            for (uint64_t seed = 1; seed <= 24; seed++) {
                struct hx_mem_farm *f = hx_mem_farm_new();
                struct hx_disk *d = open_disk(f);
                struct hx_meta m;
                uint64_t kept = 1;
                make_first(&m);
                assert_int_equal(hx_meta_save(d, &at, &server, &m), 0);
                hx_meta_fini(&m);
                hx_mem_farm(f)->ops->close(hx_mem_farm(f), d);
                hx_mem_fail(f, HX_MEM_ANY, k, HX_E_IO, true);
                live(f, 2, &kept);
                hx_mem_fail(f, 0, 0, 0, false);
                hx_mem_power_off_at(f, j);
                live(f, 2, &kept);
                hx_mem_crash(f, seed * 1000 + k * 10 + j);
                live(f, 1, &kept);
                hx_mem_farm_free(f);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_older_slot_with_the_whole_becomes_a_slice),
        cmocka_unit_test(a_promise_outlives_kills_and_power_losses),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("meta", tests, NULL, NULL);
}
