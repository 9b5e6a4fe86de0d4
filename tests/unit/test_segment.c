/*
 * test_segment.c - the table of messages of doc/PROTOCOL.md, row by row, with each refusal.
 * Method: one server over a disk in memory; messages as bytes, so that decoding is part of what is tested.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hexad/crc.h"
#include "node_rig.h"

#include <stdlib.h>

static int setup(void **state)
{
    struct hx_rig *r = malloc(sizeof *r);
    hx_rig_init(r, 1, 1u << 20, 2, 1u << 20);
    assert_int_equal(hx_rig_format(r, 0, 0), 0);
    assert_int_equal(hx_rig_format(r, 0, 1), 0);
    *state = r;
    return 0;
}
static int teardown(void **state)
{
    hx_rig_fini(*state);
    free(*state);
    return 0;
}

/* Appends COUNT records from FIRST on under EPOCH. */
static int append(struct hx_rig *r, uint32_t pg, uint64_t epoch, uint64_t prev, uint64_t first,
                  unsigned count, uint64_t vdl, uint64_t *scl)
{
    size_t n = hx_rig_run(r, pg, epoch, prev, first, count, vdl);
    return hx_rig_append(r, 0, epoch, vdl, 0, r->frame, n, scl);
}
/* The rig's history and (EPOCH, VDL, END). */
static void grown(const struct hx_rig *r, struct hx_history *h, uint64_t epoch, uint64_t vdl, uint64_t end)
{
    if (!h->count)
        assert_int_equal(hx_history_copy(h, &r->history), 0);
    assert_int_equal(
        hx_history_push(h, (struct hx_history_entry){HX_EPOCH(epoch), HX_LSN(vdl), HX_LSN(end), HX_RIG_LAL}),
        0);
}
static uint64_t page_value(struct hx_rig *r, uint32_t pg, uint64_t epoch, uint64_t point, uint32_t page)
{
    uint8_t data[HX_PAGE_SIZE];
    struct hx_read_page p;
    assert_int_equal(hx_rig_read(r, 0, pg, epoch, point, page, data, &p), 0);
    assert_int_not_equal(p.state, HX_READ_CORRUPT);
    return hx_get_u64(data);
}

/* Promise: of a frame of which some records are here the others are stored, whichever they are (I10: it may be the only
 * one that ever brings them).  Method: its first records, its last ones, those in the middle came before. */
static void a_frame_that_is_here_in_part_is_stored(void **state)
{
    struct hx_rig *r = *state;
    static const unsigned from[] = {1, 5, 3}, count[] = {2, 2, 2};
    uint64_t scl = 0, base = 0;
    for (size_t i = 0; i < HX_ARRAY_LEN(from); i++, base += 6) {
        assert_int_equal(append(r, 1, 1, base + from[i] - 1, base + from[i], count[i], 0, &scl), 0);
        assert_int_equal(append(r, 1, 1, base, base + 1, 6, 0, &scl), 0);
        assert_int_equal(scl, base + 6);
    }
    hx_rig_stop(r, 0);
    hx_mem_crash(r->farm[0], 1);
    assert_int_equal(hx_rig_start(r, 0), 0);
    assert_int_equal(append(r, 1, 1, base, base + 1, 1, 0, &scl), 0);
    assert_int_equal(scl, base + 1);
}

/* Promise: FENCE at PG 0 is granted to a higher epoch, or again to the same attempt; everything else is FENCED.
 * Method: each combination, also after a restart. */
static void fence_at_pg_0_is_granted_once_per_epoch(void **state)
{
    struct hx_rig *r = *state;
    struct hx_inventory v = {0};
    assert_int_equal(hx_rig_fence(r, 0, 0, 2, 1, &v), 0);
    assert_true(v.has_geometry && v.hydrated);
    assert_int_equal(v.geometry.pg_count, 2);
    hx_inventory_fini(&v);
    assert_int_equal(hx_rig_fence(r, 0, 0, 2, 1, NULL), 0);
    assert_int_equal(hx_rig_fence(r, 0, 0, 2, 2, NULL), HX_E_FENCED);
    assert_int_equal(hx_rig_fence(r, 0, 0, 1, 1, NULL), HX_E_FENCED);
    hx_rig_stop(r, 0);
    hx_mem_crash(r->farm[0], 1);
    assert_int_equal(hx_rig_start(r, 0), 0);
    assert_int_equal(hx_rig_fence(r, 0, 0, 2, 2, NULL), HX_E_FENCED);
    assert_int_equal(hx_rig_fence(r, 0, 0, 2, 1, NULL), 0);
    assert_int_equal(hx_rig_fence(r, 0, 0, 3, 2, NULL), 0);
}

/* Promise: at other PGs the same epoch is granted to whoever asks, a lower one never, and no geometry is given. */
static void fence_at_other_pgs_is_granted_from_the_promise_on(void **state)
{
    struct hx_rig *r = *state;
    struct hx_inventory v = {0};
    assert_int_equal(hx_rig_fence(r, 0, 1, 2, 1, &v), 0);
    assert_false(v.has_geometry);
    hx_inventory_fini(&v);
    assert_int_equal(hx_rig_fence(r, 0, 1, 2, 2, NULL), 0);
    assert_int_equal(hx_rig_fence(r, 0, 1, 1, 1, NULL), HX_E_FENCED);
}

/* Promise: a fenced writer's append, read, adopt, repair, geometry and format are FENCED, and the answer
 * names the promise. */
static void every_message_below_the_promise_is_fenced(void **state)
{
    struct hx_rig *r = *state;
    struct hx_history h = {0};
    struct hx_rig_reply a;
    uint8_t b[16384];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    assert_int_equal(append(r, 1, 1, 0, 1, 3, 0, NULL), 0);
    assert_int_equal(hx_rig_fence(r, 0, 1, 5, 1, NULL), 0);
    assert_int_equal(hx_rig_fence(r, 0, 0, 5, 1, NULL), 0);
    assert_int_equal(append(r, 1, 1, 3, 4, 1, 0, NULL), HX_E_FENCED);
    assert_int_equal(hx_rig_append(r, 0, 1, 3, 0, NULL, 0, NULL), HX_E_FENCED);
    assert_int_equal(hx_rig_read(r, 0, 1, 1, 3, 1, NULL, NULL), HX_E_FENCED);
    grown(r, &h, 4, 3, 1003);
    assert_int_equal(hx_rig_adopt(r, 0, 1, 4, &h, NULL, NULL), HX_E_FENCED);
    assert_int_equal(hx_rig_repair(r, 0, 1, 4, &h, NULL, 0, NULL), HX_E_FENCED);
    assert_int_equal(hx_rig_format(r, 0, 1), HX_E_FENCED);
    hx_geometry_encode(&r->geometry, &e);
    assert_int_equal(
        hx_rig_call(r, 0, &(struct hx_rig_ask){.type = HX_MSG_GEOMETRY, .epoch = 4, .body = {b, e.len}}, &a),
        HX_E_FENCED);
    assert_int_equal(a.head.promised.v, 5);
    struct hx_uuid owner = hx_rig_uuid(1);
    assert_true(hx_uuid_eq(&a.head.promised_owner, &owner));
    hx_rig_reply_fini(&a);
    hx_history_fini(&h);
}

/* Promise: an inventory lists every record held above the hint, valid or not, with its links, flags and sum. */
static void the_inventory_lists_what_is_held_above_the_hint(void **state)
{
    struct hx_rig *r = *state;
    struct hx_inventory v = {0};
    uint64_t scl;
    assert_int_equal(append(r, 1, 1, 0, 1, 4, 0, &scl), 0);
    assert_int_equal(scl, 4);
    assert_int_equal(append(r, 1, 1, 6, 7, 2, 2, &scl), 0); /* a hole: 5 and 6 */
    assert_int_equal(scl, 4);
    assert_int_equal(hx_rig_fence(r, 0, 1, 2, 1, &v), 0);
    assert_int_equal(v.scl.v, 4);
    assert_int_equal(v.vdl_hint.v, 2);
    assert_int_equal(v.entry_count, 4);
    static const uint64_t lsn[] = {3, 4, 7, 8}, prev[] = {2, 3, 6, 7};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(v.entries[i].lsn.v, lsn[i]);
        assert_int_equal(v.entries[i].prev.v, prev[i]);
        assert_int_equal(v.entries[i].epoch.v, 1);
        assert_int_equal(v.entries[i].flags, lsn[i] % 4 ? 0 : HX_INV_CPL);
        uint8_t head[5] = {HX_REC_SPARSE, (uint8_t)(lsn[i] % 16)}, payload[12] = {0, 0, 8, 0, (uint8_t)lsn[i]};
        assert_int_equal(v.entries[i].sum, hx_crc32c(hx_crc32c(0, head, 5), payload, 12));
    }
    assert_int_equal(v.unknown_count, 0);
    hx_inventory_fini(&v);
}

/* Promise: an append under a history that the segment lacks is refused and stores nothing; after ADOPT it is taken. */
static void an_append_needs_the_history_of_its_epoch(void **state)
{
    struct hx_rig *r = *state;
    struct hx_history h = {0};
    struct hx_segment_status s;
    uint64_t top, scl;
    assert_int_equal(append(r, 1, 1, 0, 1, 3, 3, &scl), 0);
    grown(r, &h, 2, 3, 1003);
    assert_int_equal(append(r, 1, 2, 3, 1004, 1, 3, NULL), HX_E_NEED_HISTORY);
    assert_int_equal(hx_rig_status(r, 0, 1, &s), 0);
    assert_int_equal(s.highest.v, 3);
    assert_int_equal(hx_rig_read(r, 0, 1, 2, 3, 1, NULL, NULL), HX_E_NEED_HISTORY);
    assert_int_equal(hx_rig_adopt(r, 0, 1, 2, &h, &top, &scl), 0);
    assert_int_equal(top, 2);
    assert_int_equal(scl, 3);
    assert_int_equal(append(r, 1, 2, 3, 1004, 1, 3, &scl), 0);
    assert_int_equal(scl, 1004);
    assert_int_equal(append(r, 1, 1, 3, 4, 1, 3, NULL), HX_E_FENCED);
    hx_history_fini(&h);
}

/* Promise: ADOPT keeps the own history when the message's top is not higher, says which, and an equal one is
 * answered again. */
static void adopt_replaces_only_by_a_higher_top(void **state)
{
    struct hx_rig *r = *state;
    struct hx_history h2 = {0}, h3 = {0};
    uint64_t top;
    grown(r, &h2, 2, 0, 1000);
    grown(r, &h3, 3, 0, 2000);
    assert_int_equal(hx_rig_adopt(r, 0, 1, 3, &h3, &top, NULL), 0);
    assert_int_equal(top, 3);
    assert_int_equal(hx_rig_adopt(r, 0, 1, 3, &h3, &top, NULL), 0);
    assert_int_equal(top, 3);
    assert_int_equal(hx_rig_adopt(r, 0, 1, 4, &h2, &top, NULL), 0);
    assert_int_equal(top, 3);
    /* A history whose top is above the message's epoch is nobody's to give. */
    assert_int_equal(hx_rig_adopt(r, 0, 0, 2, &h3, &top, NULL), HX_E_INVAL);
    hx_history_fini(&h2);
    hx_history_fini(&h3);
}

/* Promise: records that the new history annuls vanish from SCL and pages, stay in inventories, and do not come back. */
static void annulled_records_leave_scl_and_pages(void **state)
{
    struct hx_rig *r = *state;
    struct hx_history h = {0};
    struct hx_inventory v = {0};
    uint64_t scl, top;
    assert_int_equal(append(r, 1, 1, 0, 1, 5, 2, &scl), 0);
    assert_int_equal(append(r, 1, 1, 5, 6, 15, 2, &scl), 0);
    assert_int_equal(scl, 20);
    assert_int_equal(page_value(r, 1, 1, 20, 17 % 16), 17);
    grown(r, &h, 2, 3, 1003);
    assert_int_equal(hx_rig_adopt(r, 0, 1, 2, &h, &top, &scl), 0);
    assert_int_equal(scl, 3);
    assert_int_equal(page_value(r, 1, 2, 3, 17 % 16), 1);
    assert_int_equal(hx_rig_read(r, 0, 1, 2, 4, 0, NULL, NULL), HX_E_LAGGING);
    assert_int_equal(append(r, 1, 2, 3, 1004, 2, 3, &scl), 0);
    assert_int_equal(scl, 1005);
    assert_int_equal(page_value(r, 1, 2, 1005, 4), 0);
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(hx_rig_fence(r, 0, 1, 2, 1 + (unsigned)pass, &v), 0);
        assert_int_equal(v.entry_count, 19); /* 4..20, 1004, 1005: the void ones, too */
        assert_int_equal(v.scl.v, 1005);
        hx_inventory_fini(&v);
        hx_rig_stop(r, 0);
        hx_mem_crash(r->farm[0], 3);
        assert_int_equal(hx_rig_start(r, 0), 0);
    }
    /* The VDL passes them: now they are nothing any more, also for a restart that reads them again. */
    assert_int_equal(append(r, 1, 2, 1005, 1006, 1, 1005, &scl), 0);
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(hx_rig_fence(r, 0, 1, 2, 1, &v), 0);
        assert_int_equal(v.entry_count, 1);
        assert_int_equal(v.scl.v, 1006);
        hx_inventory_fini(&v);
        assert_int_equal(page_value(r, 1, 2, 1006, 4), 0);
        assert_int_equal(page_value(r, 1, 2, 1006, 1), 1);
        hx_rig_stop(r, 0);
        hx_mem_crash(r->farm[0], 4);
        assert_int_equal(hx_rig_start(r, 0), 0);
    }
    hx_history_fini(&h);
}

/* Promise: an announcement counts only under the history that it is about: else records that the new one annuls would
 * be below the hint, where nothing can be annulled.  Method: the writer of epoch 2 announces to a member that has
 * promised, but not adopted; then it adopts. */
static void an_announcement_needs_the_history_of_its_epoch(void **state)
{
    struct hx_rig *r = *state;
    struct hx_history h = {0};
    uint64_t scl, top;
    assert_int_equal(append(r, 1, 1, 0, 1, 20, 2, &scl), 0);
    assert_int_equal(hx_rig_fence(r, 0, 0, 2, 1, NULL), 0);
    assert_int_equal(hx_rig_fence(r, 0, 1, 2, 1, NULL), 0);
    hx_rig_append(r, 0, 2, 1004, 1004, NULL, 0, NULL);
    grown(r, &h, 2, 3, 1003);
    assert_int_equal(hx_rig_adopt(r, 0, 1, 2, &h, &top, &scl), 0);
    assert_int_equal(scl, 3);
    assert_int_equal(page_value(r, 1, 2, 3, 17 % 16), 1);
    hx_history_fini(&h);
}

/* Promise (I4): an SCL always is a valid record's LSN, also when the VDL passes an annulled one and the next history
 * cuts right behind it.  Method: PG 1 has 5, 6 and 7 of epoch 1, of which 6 and 7 are annulled, and 1008 of epoch 2;
 * epoch 3 cuts at 1007, a record of another PG. */
static void an_annulled_record_never_carries_the_scl(void **state)
{
    struct hx_rig *r = *state;
    struct hx_history h = {0};
    uint64_t scl, top;
    assert_int_equal(append(r, 1, 1, 0, 1, 7, 5, &scl), 0);
    grown(r, &h, 2, 5, 1005);
    assert_int_equal(hx_rig_adopt(r, 0, 1, 2, &h, &top, &scl), 0);
    assert_int_equal(scl, 5);
    assert_int_equal(append(r, 1, 2, 5, 1008, 1, 5, &scl), 0);
    assert_int_equal(scl, 1008);
    hx_rig_append(r, 0, 2, 1007, 0, NULL, 0, NULL);
    grown(r, &h, 3, 1007, 2007);
    assert_int_equal(hx_rig_adopt(r, 0, 1, 3, &h, &top, &scl), 0);
    assert_int_equal(scl, 5);
    hx_history_fini(&h);
}

/* Promise: what a frame said of the VDL is known after a restart, also where the chain has a hole below it.
 * Method: 1 to 5, then 9 to 11, which follow 8, with a VDL of 8. */
static void the_vdl_of_a_frame_survives_a_restart(void **state)
{
    struct hx_rig *r = *state;
    struct hx_inventory v = {0};
    uint64_t scl;
    assert_int_equal(append(r, 1, 1, 0, 1, 5, 0, &scl), 0);
    assert_int_equal(append(r, 1, 1, 8, 9, 3, 8, &scl), 0);
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(hx_rig_fence(r, 0, 1, 1, 1, &v), 0);
        assert_int_equal(v.scl.v, 5);
        assert_int_equal(v.vdl_hint.v, 8);
        assert_int_equal(v.entry_count, 3);
        hx_inventory_fini(&v);
        hx_rig_stop(r, 0);
        hx_mem_crash(r->farm[0], 3);
        assert_int_equal(hx_rig_start(r, 0), 0);
    }
}

/* Promise: what is materialised can never be annulled.  Method: 40 patches of one page above the hint,
 * background work, then a history that cuts them at 10. */
static void nothing_is_materialised_beyond_the_hint(void **state)
{
    struct hx_rig *r = *state;
    struct hx_history h = {0};
    uint8_t payload[12];
    hx_put_u16(payload, 0);
    hx_put_u16(payload + 2, 8);
    for (uint64_t lsn = 1; lsn <= 40; lsn++) {
        hx_put_u64(payload + 4, lsn);
        struct hx_rig_rec rec = {lsn, 3, HX_REC_PATCH, HX_REC_CPL, payload, sizeof payload};
        size_t n = hx_rig_frame(r, 1, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){2, 2, 2});
        assert_int_equal(hx_rig_append(r, 0, 1, 2, 2, r->frame, n, NULL), 0);
    }
    for (unsigned i = 0; i < 5; i++)
        hx_rig_step(r, 100);
    grown(r, &h, 2, 10, 1010);
    assert_int_equal(hx_rig_adopt(r, 0, 1, 2, &h, NULL, NULL), 0);
    assert_int_equal(append(r, 1, 2, 10, 1012, 1, 10, NULL), 0);
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(page_value(r, 1, 2, 10, 3), 10);
        assert_int_equal(page_value(r, 1, 2, 1012, 3), 10);
        assert_int_equal(page_value(r, 1, 2, 1012, 1012 % 16), 1012);
        hx_rig_stop(r, 0);
        assert_int_equal(hx_rig_start(r, 0), 0);
    }
    hx_history_fini(&h);
}

/* Promise: REPAIR stores, answers with the SCL under the history in the message, and leaves the own one alone. */
static void repair_counts_under_the_history_in_the_message(void **state)
{
    struct hx_rig *r = *state;
    struct hx_history h2 = {0}, h3 = {0};
    uint64_t scl, top;
    assert_int_equal(append(r, 1, 1, 0, 1, 5, 3, &scl), 0);
    grown(r, &h2, 2, 4, 1000);
    assert_int_equal(hx_history_copy(&h3, &h2), 0);
    grown(r, &h3, 3, 1002, 2000);
    /* Records of epoch 2, which this segment never heard of; 5 is void under h3. */
    size_t n = hx_rig_run(r, 1, 2, 4, 1001, 2, 1002);
    assert_int_equal(hx_rig_repair(r, 0, 1, 3, &h3, r->frame, n, &scl), 0);
    assert_int_equal(scl, 1002);
    /* The VDL in its frames is not open yet: no hint. */
    for (int pass = 0; pass < 2; pass++) {
        struct hx_inventory v = {0};
        assert_int_equal(hx_rig_fence(r, 0, 1, 3, 900, &v), 0);
        assert_int_equal(v.vdl_hint.v, 3);
        assert_int_equal(v.entry_count, 4);
        hx_inventory_fini(&v);
        hx_rig_stop(r, 0);
        assert_int_equal(hx_rig_start(r, 0), 0);
    }
    assert_int_equal(hx_rig_read(r, 0, 1, 3, 3, 1, NULL, NULL), HX_E_NEED_HISTORY);
    /* The promise was raised by it. */
    assert_int_equal(append(r, 1, 1, 5, 6, 1, 3, NULL), HX_E_FENCED);
    /* A record that H' annuls is nobody's to repair. */
    n = hx_rig_run(r, 1, 1, 4, 5, 1, 4);
    assert_int_equal(hx_rig_repair(r, 0, 1, 3, &h3, r->frame, n, &scl), HX_E_BADMSG);
    assert_int_equal(hx_rig_adopt(r, 0, 1, 3, &h3, &top, &scl), 0);
    assert_int_equal(scl, 1002);
    assert_int_equal(page_value(r, 1, 3, 1002, 1001 % 16), 1001);
    assert_int_equal(page_value(r, 1, 3, 1002, 5), 0);
    hx_history_fini(&h2);
    hx_history_fini(&h3);
}

/* Promise: appends in any order, twice, or in parts give the same SCL and pages. */
static void appends_are_idempotent_in_any_order(void **state)
{
    struct hx_rig *r = *state;
    static const struct {
        uint64_t first, scl;
        unsigned count;
    } order[] = {{4, 0, 3},  {10, 0, 2}, {4, 0, 3},   {7, 0, 3},  {1, 11, 3},
                 {7, 11, 3}, {1, 11, 3}, {12, 12, 1}, {12, 12, 1}};
    for (size_t i = 0; i < HX_ARRAY_LEN(order); i++) {
        uint64_t scl;
        assert_int_equal(append(r, 1, 1, order[i].first - 1, order[i].first, order[i].count, 0, &scl), 0);
        assert_int_equal(scl, order[i].scl);
    }
    for (uint64_t lsn = 1; lsn <= 12; lsn++)
        assert_int_equal(page_value(r, 1, 1, 12, (uint32_t)lsn), lsn);
    assert_int_equal(page_value(r, 1, 1, 4, 5), 0);
}

/* Promise: a read is answered only for base <= R <= SCL under the epoch that is top; pages outside the PG are
 * refused. */
static void reads_outside_what_is_complete_are_refused(void **state)
{
    struct hx_rig *r = *state;
    assert_int_equal(append(r, 1, 1, 0, 1, 3, 0, NULL), 0);
    assert_int_equal(hx_rig_read(r, 0, 1, 1, 3, 1, NULL, NULL), 0);
    assert_int_equal(hx_rig_read(r, 0, 1, 1, 4, 1, NULL, NULL), HX_E_LAGGING);
    assert_int_equal(hx_rig_read(r, 0, 1, 2, 3, 1, NULL, NULL), HX_E_NEED_HISTORY);
    assert_int_equal(hx_rig_read(r, 0, 1, 1, 3, 256, NULL, NULL), HX_E_INVAL);
    assert_int_equal(hx_rig_read(r, 0, 9, 1, 3, 1, NULL, NULL), HX_E_NO_SEGMENT);
}

/* Promise: role and server identity are checked for every type, before anything else. */
static void roles_and_identity_are_checked(void **state)
{
    struct hx_rig *r = *state;
    static const struct {
        unsigned type, allowed;
    } table[] = {
        {HX_MSG_HELLO, 15}, {HX_MSG_LOOKUP, 15}, {HX_MSG_FORMAT, 2 | 4}, {HX_MSG_FENCE, 2}, {HX_MSG_FETCH, 1 | 2},
        {HX_MSG_REPAIR, 2}, {HX_MSG_ADOPT, 2}, {HX_MSG_GEOMETRY, 2}, {HX_MSG_APPEND, 2}, {HX_MSG_READ, 1 | 2 | 8},
        {HX_MSG_GOSSIP, 1}, {HX_MSG_HISTORY, 1}, {HX_MSG_STATUS, 15}, {HX_MSG_SCRUB, 6}, {HX_MSG_DIGEST, 1},
        {HX_MSG_MEMBERS, 2}, {HX_MSG_DELETE, 2}, {HX_MSG_WISH, 6},
    };
    assert_int_equal(HX_ARRAY_LEN(table), HX_MSG_TYPE_END - 1);
    for (size_t i = 0; i < HX_ARRAY_LEN(table); i++) {
        for (unsigned role = 1; role <= 8; role *= 2) {
            struct hx_rig_ask q = {.type = table[i].type, .role = role, .body = {(const uint8_t *)"x", 1}};
            int status = hx_rig_call(r, 0, &q, NULL);
            assert_int_equal(status == HX_E_ROLE, !(table[i].allowed & role));
            q.server = hx_rig_uuid(1);
            status = hx_rig_call(r, 0, &q, NULL);
            assert_int_equal(status, table[i].allowed & role ? HX_E_STRANGER : HX_E_ROLE);
        }
    }
    assert_int_equal(hx_rig_call(r, 0, &(struct hx_rig_ask){.type = HX_MSG_TYPE_END}, NULL), HX_E_VERSION);
}

/* Promise: FORMAT is idempotent, is refused for a PG that this server is no member of, and nobody's geometry
 * changes by it. */
static void format_makes_a_segment_once(void **state)
{
    struct hx_rig *r = *state;
    struct hx_segment_status s;
    assert_int_equal(append(r, 1, 1, 0, 1, 3, 0, NULL), 0);
    assert_int_equal(hx_rig_format(r, 0, 1), 0);
    assert_int_equal(hx_rig_status(r, 0, 1, &s), 0);
    assert_int_equal(s.scl.v, 3);
    assert_int_equal(hx_rig_format(r, 0, 2), HX_E_WRONG_MEMBER); /* not in the geometry */
    assert_int_equal(hx_rig_status(r, 0, 2, &s), HX_E_NO_SEGMENT);
}

/* Promise: FORMAT under a higher epoch gives a segment without records the geometry of a growth that was; but one of a
 * lower version, of an opening that had not heard of another attempt's, does not take back what it has (I5). */
static void a_geometry_does_not_step_back_by_format(void **state)
{
    struct hx_rig *r = *state;
    static const uint64_t versions[] = {3, 2, 5}, has[] = {3, 3, 5};
    for (size_t i = 0; i < HX_ARRAY_LEN(versions); i++) {
        uint8_t b[16384];
        struct hx_enc e = hx_enc_init(b, sizeof b);
        struct hx_segment_look look;
        r->geometry.epoch.v = versions[i];
        hx_geometry_encode(&r->geometry, &e);
        hx_history_encode(&r->history, &e);
        assert_int_equal(e.err, 0);
        struct hx_rig_ask q = {.type = HX_MSG_FORMAT, .pg = 1, .epoch = 3 + i, .body = {b, e.len}};
        assert_int_equal(hx_rig_call(r, 0, &q, NULL), 0);
        assert_int_equal(hx_node_look(r->node[0], hx_rig_place(r, 1), &look), 0);
        assert_int_equal(look.geometry->epoch.v, has[i]);
    }
    r->geometry.epoch.v = 1;
}

/* Promise: PG 0 keeps the highest geometry by (epoch, g, m); other PGs refuse it. */
static void geometry_only_grows_and_only_at_pg_0(void **state)
{
    struct hx_rig *r = *state;
    uint8_t b[16384];
    struct hx_inventory v = {0};
    struct hx_pg_members m = {.server = {0, 1, 2, 3, 4, 5}};
    struct hx_enc e = hx_enc_init(b, sizeof b);
    assert_int_equal(hx_geometry_add_pg(&r->geometry, &m), 0);
    hx_geometry_encode(&r->geometry, &e);
    struct hx_rig_ask q = {.type = HX_MSG_GEOMETRY, .pg = 0, .body = {b, e.len}};
    assert_int_equal(hx_rig_call(r, 0, &q, NULL), 0);
    q.pg = 1;
    assert_int_equal(hx_rig_call(r, 0, &q, NULL), HX_E_INVAL);
    r->geometry.pgs[2].server[0] = 1;
    r->geometry.pgs[2].server[1] = 0;
    e = hx_enc_init(b, sizeof b);
    hx_geometry_encode(&r->geometry, &e); /* the same version, other members: one of the two is wrong */
    q = (struct hx_rig_ask){.type = HX_MSG_GEOMETRY, .pg = 0, .body = {b, e.len}};
    assert_int_equal(hx_rig_call(r, 0, &q, NULL), HX_E_INVAL);
    r->geometry.pg_count = r->geometry.g = 2;
    e = hx_enc_init(b, sizeof b);
    hx_geometry_encode(&r->geometry, &e);
    q = (struct hx_rig_ask){.type = HX_MSG_GEOMETRY, .pg = 0, .body = {b, e.len}};
    assert_int_equal(hx_rig_call(r, 0, &q, NULL), 0); /* accepted and lower: the own one stays */
    assert_int_equal(hx_rig_fence(r, 0, 0, 2, 1, &v), 0);
    assert_int_equal(v.geometry.pg_count, 3);
    hx_inventory_fini(&v);
}

/* Promise: FETCH for recovery is given to the owner of the promise only, and holds void records, too. */
static void recovery_fetch_is_for_the_owner_of_the_promise(void **state)
{
    struct hx_rig *r = *state;
    struct hx_rig_reply a;
    uint8_t b[21] = {0};
    hx_put_u64(b + 8, 100);
    hx_put_u32(b + 16, 1 << 20);
    b[20] = 1;
    assert_int_equal(append(r, 1, 1, 0, 1, 3, 0, NULL), 0);
    assert_int_equal(append(r, 1, 1, 3, 4, 2, 0, NULL), 0);
    assert_int_equal(hx_rig_fence(r, 0, 1, 2, 1, NULL), 0);
    struct hx_rig_ask q = {.type = HX_MSG_FETCH, .pg = 1, .epoch = 2, .owner = hx_rig_uuid(2), .body = {b, sizeof b}};
    assert_int_equal(hx_rig_call(r, 0, &q, NULL), HX_E_FENCED);
    q.owner = hx_rig_uuid(1);
    q.role = HX_NODE_ROLE_SEGMENT;
    assert_int_equal(hx_rig_call(r, 0, &q, NULL), HX_E_ROLE);
    q.role = 0;
    assert_int_equal(hx_rig_call(r, 0, &q, &a), 0);
    struct hx_frame_head h;
    assert_int_equal(hx_frame_head_decode(a.body.p, a.body.len, &h), 0);
    assert_int_equal(h.first.v, 1);
    size_t first = hx_frame_bytes(&h);
    assert_int_equal(hx_frame_head_decode(a.body.p + first, a.body.len - first, &h), 0);
    assert_int_equal(h.last.v, 5);
    assert_int_equal(a.body.len, first + hx_frame_bytes(&h));
    assert_int_equal(a.head.flags, 0);
    hx_rig_reply_fini(&a);
    hx_put_u32(b + 16, 1); /* at least one frame, and the flag that there is more */
    assert_int_equal(hx_rig_call(r, 0, &q, &a), 0);
    assert_int_equal(a.body.len, first);
    assert_int_equal(a.head.flags, HX_REPLY_MORE);
    hx_rig_reply_fini(&a);
}

/* Promise: an append of the old epoch that came in before the fence, in the same batch, is in the inventory,
 * and its writer is told FENCED, not success. */
static void a_fence_overtakes_an_append_of_the_same_batch(void **state)
{
    struct hx_rig *r = *state;
    struct hx_append_head h = {.frame_count = 1};
    uint8_t b[8192];
    size_t n = hx_rig_run(r, 1, 1, 0, 1, 3, 0);
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_append_head_encode(&h, &e);
    hx_enc_bytes(&e, r->frame, n);
    uint64_t t1 = hx_rig_ask(r, 0, &(struct hx_rig_ask){.type = HX_MSG_APPEND, .body = {b, e.len}});
    uint64_t t2 = hx_rig_ask(r, 0, &(struct hx_rig_ask){.type = HX_MSG_FENCE, .pg = 1, .epoch = 2});
    struct hx_rig_reply a1 = {0}, a2 = {0};
    struct hx_node_effect eff;
    assert_int_equal(hx_node_next(r->node[0], &eff), 0); /* N1: nothing before the flush */
    hx_node_flush(r->node[0]);
    while (hx_node_next(r->node[0], &eff)) {
        struct hx_rig_reply *a = eff.token == t1 ? &a1 : &a2;
        assert_true(eff.token == t1 || eff.token == t2);
        a->bytes = malloc(eff.body.len);
        memcpy(a->bytes, eff.body.p, eff.body.len);
        assert_int_equal(hx_reply_decode(a->bytes, eff.body.len, &a->head, &a->body), 0);
    }
    assert_int_equal(a1.head.status, HX_E_FENCED);
    assert_int_equal(a2.head.status, 0);
    struct hx_inventory v = {0};
    struct hx_dec d = hx_dec_init(a2.body.p, a2.body.len);
    assert_int_equal(hx_inventory_decode(&v, &d), 0);
    assert_int_equal(v.entry_count, 3);
    hx_inventory_fini(&v);
    hx_rig_reply_fini(&a1);
    hx_rig_reply_fini(&a2);
}

/* Promise: the same for ADOPT: what an epoch stored before it was fenced in the same batch is not reported to it. */
static void a_fence_overtakes_an_adopt_of_the_same_batch(void **state)
{
    struct hx_rig *r = *state;
    struct hx_history h = {0};
    struct hx_rig_reply a = {0};
    uint8_t b[256];
    grown(r, &h, 2, 0, 1000);
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_history_encode(&h, &e);
    uint64_t t = hx_rig_ask(r, 0, &(struct hx_rig_ask){.type = HX_MSG_ADOPT, .pg = 1, .epoch = 2, .body = {b, e.len}});
    hx_rig_ask(r, 0, &(struct hx_rig_ask){.type = HX_MSG_FENCE, .pg = 1, .epoch = 3});
    hx_node_flush(r->node[0]);
    hx_rig_take(r, 0, t, &a);
    assert_int_equal(a.head.status, HX_E_FENCED);
    assert_int_equal(a.head.promised.v, 3);
    hx_rig_reply_fini(&a);
    hx_history_fini(&h);
}

/* Promise: no byte of a damaged or truncated message is acted on; every one is answered.
 * Method: an APPEND with each byte flipped in turn, and cut at each length. */
static void damaged_messages_change_nothing(void **state)
{
    struct hx_rig *r = *state;
    struct hx_append_head h = {.frame_count = 1};
    uint8_t m[1024], c[1024];
    size_t n = hx_rig_run(r, 1, 1, 0, 1, 2, 0);
    struct hx_enc e = hx_enc_init(m + HX_MSG_HEAD, sizeof m - HX_MSG_HEAD);
    hx_append_head_encode(&h, &e);
    hx_enc_bytes(&e, r->frame, n);
    assert_int_equal(e.err, 0);
    struct hx_msg_head head = {.type = HX_MSG_APPEND,
                               .volume = r->geometry.volume,
                               .server = hx_rig_uuid(100),
                               .epoch = HX_EPOCH(1)};
    hx_msg_head_encode(&head, &(struct hx_bytes){e.p, e.len}, 1, m);
    size_t len = HX_MSG_HEAD + e.len;
    for (size_t i = 0; i < 2 * len; i++) {
        memcpy(c, m, len);
        size_t part = i < len ? len : i - len;
        if (i < len)
            c[i] ^= 0x40;
        struct hx_rig_reply a = {0};
        uint64_t token = ++r->token;
        hx_node_request(r->node[0], r->now_ms, 0, token, 1, HX_NODE_ROLE_WRITER, "w", (struct hx_bytes){c, part});
        hx_node_flush(r->node[0]);
        hx_rig_take(r, 0, token, &a);
        assert_true(a.came);
        assert_int_not_equal(a.head.status, 0);
        hx_rig_reply_fini(&a);
    }
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(r, 0, 1, &s), 0);
    assert_int_equal(s.highest.v, 0);
    /* A frame with a good envelope and a damaged record: refused whole, by its ack. */
    r->frame[n - 1] ^= 1;
    assert_int_equal(hx_rig_append(r, 0, 1, 0, 0, r->frame, n, NULL), HX_E_BADMSG);
    assert_int_equal(hx_rig_status(r, 0, 1, &s), 0);
    assert_int_equal(s.highest.v, 0);
}

/* Promise: the writer counts as alive while its connection is open, it was heard lately, and it did not say goodbye. */
static void the_writer_lives_while_it_is_heard(void **state)
{
    struct hx_rig *r = *state;
    struct hx_segment_status s;
    uint8_t b[4096];
    assert_int_equal(hx_rig_status(r, 0, 0, &s), 0);
    assert_false(s.writer.alive);
    assert_true(s.writer.ago_ms == UINT64_MAX);
    struct hx_append_head h = {.vdl = HX_LSN(0)};
    strcpy(h.info, "{\"pid\":1}");
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_append_head_encode(&h, &e);
    assert_int_equal(
        hx_rig_call(r, 0, &(struct hx_rig_ask){.type = HX_MSG_APPEND, .conn = 4, .body = {b, e.len}}, NULL),
        0);
    assert_int_equal(hx_rig_status(r, 0, 0, &s), 0);
    assert_true(s.writer.alive);
    assert_string_equal(s.writer.text, "{\"pid\":1}");
    r->now_ms += HX_WRITER_SILENT_MS + 1;
    assert_int_equal(hx_rig_status(r, 0, 0, &s), 0);
    assert_false(s.writer.alive);
    assert_int_equal(hx_rig_append(r, 0, 1, 0, 0, NULL, 0, NULL), 0); /* connection 1 */
    assert_int_equal(hx_rig_status(r, 0, 0, &s), 0);
    assert_true(s.writer.alive);
    hx_node_closed(r->node[0], r->now_ms, 1);
    hx_node_closed(r->node[0], r->now_ms, 4);
    assert_int_equal(hx_rig_status(r, 0, 0, &s), 0);
    assert_false(s.writer.alive);
    h.flags = HX_APPEND_GOODBYE;
    e = hx_enc_init(b, sizeof b);
    hx_append_head_encode(&h, &e);
    assert_int_equal(
        hx_rig_call(r, 0, &(struct hx_rig_ask){.type = HX_MSG_APPEND, .conn = 5, .body = {b, e.len}}, NULL),
        0);
    assert_int_equal(hx_rig_status(r, 0, 0, &s), 0);
    assert_false(s.writer.alive);
}

/* What this server's LOOKUP gives of the volume; its group 0 is there only if the rig made it. */
static struct hx_geometry looked_up(struct hx_rig *r)
{
    struct hx_rig_reply a;
    struct hx_lookup *l = calloc(1, sizeof *l);
    uint8_t b[64];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_enc_str(&e, "vol0");
    assert_int_equal(hx_rig_call(r, 0, &(struct hx_rig_ask){.type = HX_MSG_LOOKUP, .body = {b, e.len}}, &a), 0);
    struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
    assert_int_equal(hx_lookup_decode(l, &d), 0);
    struct hx_geometry g = l->geometry;
    free(l);
    hx_rig_reply_fini(&a);
    return g;
}

/* Promise: a segment of another group than 0 keeps a slice, whether FORMAT brought that or the whole, also through a
 * restart; LOOKUP gives it, and the whole as soon as group 0 is here.  Another group's slice is refused. */
static void a_group_keeps_its_slice(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 2; how++) {
        struct hx_rig r;
        struct hx_geometry s = {0}, other = {0}, g;
        hx_rig_init(&r, 1, 1u << 20, 3, 1u << 20);
        assert_int_equal(hx_geometry_slice(&r.geometry, 2, &s), 0);
        assert_int_equal(hx_geometry_slice(&r.geometry, 1, &other), 0);
        assert_int_equal(hx_rig_format_as(&r, 0, 2, &other, &r.history, 1, -1), HX_E_WRONG_MEMBER);
        assert_int_equal(hx_rig_format_as(&r, 0, 0, &other, &r.history, 1, -1), HX_E_INVAL);
        assert_int_equal(hx_rig_format_as(&r, 0, 2, how ? &s : &r.geometry, &r.history, 1, -1), 0);
        for (unsigned life = 0; life < 2; life++) {
            struct hx_segment_look l;
            assert_int_equal(hx_node_look(r.node[0], hx_rig_place(&r, 2), &l), 0);
            assert_true(hx_geometry_equal(l.geometry, &s));
            g = looked_up(&r);
            assert_true(hx_geometry_equal(&g, &s));
            hx_geometry_fini(&g);
            hx_rig_stop(&r, 0);
            assert_int_equal(hx_rig_start(&r, 0), 0);
        }
        assert_int_equal(hx_rig_format(&r, 0, 0), 0);
        g = looked_up(&r);
        assert_true(hx_geometry_equal(&g, &r.geometry));
        hx_geometry_fini(&g);
        hx_geometry_fini(&s);
        hx_geometry_fini(&other);
        hx_rig_fini(&r);
    }
}

/* Promise: LOOKUP finds a volume by name with its geometry; HELLO names the server and its space. */
static void lookup_and_hello_tell_who_is_here(void **state)
{
    struct hx_rig *r = *state;
    struct hx_rig_reply a;
    struct hx_lookup *l = calloc(1, sizeof *l);
    uint8_t b[64];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_enc_str(&e, "vol0");
    assert_int_equal(hx_rig_call(r, 0, &(struct hx_rig_ask){.type = HX_MSG_LOOKUP, .body = {b, e.len}}, &a), 0);
    struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
    assert_int_equal(hx_lookup_decode(l, &d), 0);
    assert_int_equal(l->geometry.pg_count, 2);
    assert_int_equal(l->top.v, 1);
    hx_geometry_fini(&l->geometry);
    free(l);
    hx_rig_reply_fini(&a);
    b[2] = 'x';
    assert_int_equal(hx_rig_call(r, 0, &(struct hx_rig_ask){.type = HX_MSG_LOOKUP, .body = {b, e.len}}, NULL),
                     HX_E_NO_VOLUME);
    assert_int_equal(hx_rig_call(r, 0, &(struct hx_rig_ask){.type = HX_MSG_HELLO}, &a), 0);
    struct hx_hello h;
    d = hx_dec_init(a.body.p, a.body.len);
    assert_int_equal(hx_hello_decode(&h, &d), 0);
    assert_string_equal(h.name, "a1");
    assert_true(h.disk_free <= h.disk_total);
    hx_rig_reply_fini(&a);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_frame_that_is_here_in_part_is_stored),
        T(fence_at_pg_0_is_granted_once_per_epoch),
        T(fence_at_other_pgs_is_granted_from_the_promise_on),
        T(every_message_below_the_promise_is_fenced),
        T(the_inventory_lists_what_is_held_above_the_hint),
        T(an_append_needs_the_history_of_its_epoch),
        T(adopt_replaces_only_by_a_higher_top),
        T(annulled_records_leave_scl_and_pages),
        T(an_announcement_needs_the_history_of_its_epoch),
        T(an_annulled_record_never_carries_the_scl),
        T(the_vdl_of_a_frame_survives_a_restart),
        T(nothing_is_materialised_beyond_the_hint),
        T(repair_counts_under_the_history_in_the_message),
        T(appends_are_idempotent_in_any_order),
        T(reads_outside_what_is_complete_are_refused),
        T(roles_and_identity_are_checked),
        T(format_makes_a_segment_once),
        T(a_geometry_does_not_step_back_by_format),
        T(geometry_only_grows_and_only_at_pg_0),
        T(recovery_fetch_is_for_the_owner_of_the_promise),
        T(a_fence_overtakes_an_append_of_the_same_batch),
        T(a_fence_overtakes_an_adopt_of_the_same_batch),
        T(damaged_messages_change_nothing),
        T(the_writer_lives_while_it_is_heard),
        T(lookup_and_hello_tell_who_is_here),
        cmocka_unit_test(a_group_keeps_its_slice),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
