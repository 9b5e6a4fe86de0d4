/*
 * test_refusals.c - what a segment server refuses, case by case: requests that are well-formed and wrong, answers of
 * peers that are not what was asked, files that are not its own.
 *
 * Method: one server (node_rig.h) with two groups; each case differs from one that is accepted in one thing, and is
 * answered with the error that names it; then the accepted one is tried, so that the refusal has changed nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "peer_kit.h"

static void start(struct hx_rig *r)
{
    hx_rig_init(r, 1, 1u << 20, 2, 16u << 10);
    for (uint32_t pg = 0; pg < 2; pg++)
        assert_int_equal(hx_rig_format(r, 0, pg), 0);
    size_t n = hx_rig_run(r, 1, 1, 0, 1, 6, 0);
    assert_int_equal(hx_rig_append(r, 0, 1, 0, 0, r->frame, n, NULL), 0);
}

static int writer_says(struct hx_rig *r, unsigned type, uint32_t pg, uint64_t epoch, const void *p, size_t len)
{
    struct hx_msg_head h = {.type = (uint16_t)type, .pg = pg, .epoch = {epoch}};
    return hx_peer_call(r, h, HX_NODE_ROLE_WRITER, "w", p, len);
}

static int peer_says(struct hx_rig *r, unsigned type, const char *name, const void *p, size_t len)
{
    struct hx_msg_head h = {.type = (uint16_t)type, .pg = 1, .epoch = {1}};
    return hx_peer_call(r, h, HX_NODE_ROLE_SEGMENT, name, p, len);
}

/* ---- FORMAT, ADOPT, GEOMETRY ---- */
static size_t put(uint8_t *b, size_t cap, const struct hx_geometry *g, const struct hx_history *h)
{
    struct hx_enc e = hx_enc_init(b, cap);
    if (g)
        hx_geometry_encode(g, &e);
    if (h)
        hx_history_encode(h, &e);
    assert_int_equal(e.err, 0);
    return e.len;
}

/* Promise: a FORMAT that is not about this server and volume, or whose history is not its epoch's, makes nothing. */
static void format_must_be_about_this_segment(void **state)
{
    struct hx_rig r;
    struct hx_geometry g = {0};
    struct hx_history none = {0};
    uint8_t b[8192];
    (void)state;
    hx_rig_init(&r, 1, 1u << 20, 3, 0);
    assert_int_equal(hx_geometry_copy(&g, &r.geometry), 0);
    size_t n = put(b, sizeof b, &g, &none);
    assert_int_equal(writer_says(&r, HX_MSG_FORMAT, 2, 1, b, n), HX_E_INVAL); /* no history */
    n = put(b, sizeof b, &g, &r.history);
    assert_int_equal(writer_says(&r, HX_MSG_FORMAT, 2, 0, b, n), HX_E_INVAL); /* older than its history; no epoch */
    assert_int_equal(writer_says(&r, HX_MSG_FORMAT, 3, 1, b, n), HX_E_WRONG_MEMBER); /* no such group in it */
    assert_int_equal(writer_says(&r, HX_MSG_FORMAT, 2, 1, b, n - 1), HX_E_BADMSG);
    assert_int_equal(writer_says(&r, HX_MSG_FORMAT, 2, 1, b, 20), HX_E_BADMSG);
    g.volume = hx_rig_uuid(777);
    n = put(b, sizeof b, &g, &r.history);
    assert_int_equal(writer_says(&r, HX_MSG_FORMAT, 2, 1, b, n), HX_E_INVAL); /* of another volume */
    g.volume = r.geometry.volume;
    g.servers[0].incarnation = hx_rig_uuid(555); /* this server's name over another directory */
    n = put(b, sizeof b, &g, &r.history);
    assert_int_equal(writer_says(&r, HX_MSG_FORMAT, 2, 1, b, n), HX_E_WRONG_MEMBER);
    assert_int_equal(hx_rig_fence(&r, 0, 2, 5, 1, NULL), HX_E_NO_SEGMENT);
    assert_int_equal(hx_rig_format(&r, 0, 2), 0);
    hx_geometry_fini(&g);
    hx_rig_fini(&r);
}

/* Promise: ADOPT takes no empty history and none above its epoch; GEOMETRY is for PG 0, this volume, this size, and not
 * above its epoch. */
static void histories_and_geometries_must_fit_their_epoch(void **state)
{
    struct hx_rig r;
    struct hx_geometry g = {0};
    struct hx_history h = {0};
    uint8_t b[8192];
    (void)state;
    start(&r);
    assert_int_equal(writer_says(&r, HX_MSG_ADOPT, 1, 1, b, put(b, sizeof b, NULL, &h)), HX_E_INVAL);
    assert_int_equal(hx_history_copy(&h, &r.history), 0);
    assert_int_equal(hx_history_push(&h, (struct hx_history_entry){{3}, {6}, {1006}, HX_RIG_LAL}), 0);
    size_t n = put(b, sizeof b, NULL, &h);
    assert_int_equal(writer_says(&r, HX_MSG_ADOPT, 1, 2, b, n), HX_E_INVAL);
    assert_int_equal(writer_says(&r, HX_MSG_ADOPT, 7, 3, b, n), HX_E_NO_SEGMENT);
    assert_int_equal(writer_says(&r, HX_MSG_ADOPT, 1, 3, b, n - 1), HX_E_BADMSG);
    assert_int_equal(hx_geometry_copy(&g, &r.geometry), 0);
    g.epoch = HX_EPOCH(3);
    n = put(b, sizeof b, &g, NULL);
    assert_int_equal(writer_says(&r, HX_MSG_GEOMETRY, 1, 3, b, n), HX_E_INVAL);
    assert_int_equal(writer_says(&r, HX_MSG_GEOMETRY, 0, 2, b, n), HX_E_INVAL);
    assert_int_equal(writer_says(&r, HX_MSG_GEOMETRY, 9, 3, b, n), HX_E_NO_SEGMENT);
    g.volume = hx_rig_uuid(777);
    n = put(b, sizeof b, &g, NULL);
    assert_int_equal(writer_says(&r, HX_MSG_GEOMETRY, 0, 3, b, n), HX_E_INVAL);
    g.volume = r.geometry.volume;
    g.pg_bytes = 2u << 20;
    n = put(b, sizeof b, &g, NULL);
    assert_int_equal(writer_says(&r, HX_MSG_GEOMETRY, 0, 3, b, n), HX_E_INVAL);
    g.pg_bytes = r.geometry.pg_bytes;
    n = put(b, sizeof b, &g, NULL);
    assert_int_equal(writer_says(&r, HX_MSG_GEOMETRY, 0, 3, b, n), 0);
    g.lal++; /* another content under the same version (I9) */
    n = put(b, sizeof b, &g, NULL);
    assert_int_equal(writer_says(&r, HX_MSG_GEOMETRY, 0, 3, b, n), HX_E_INVAL);
    n = put(b, sizeof b, NULL, &h);
    assert_int_equal(writer_says(&r, HX_MSG_ADOPT, 1, 3, b, n), 0);
    hx_geometry_fini(&g);
    hx_history_fini(&h);
    hx_rig_fini(&r);
}

/* ---- who asks ---- */
static const uint8_t fetch_all[21] = {[8] = 100, [18] = 1};
static const uint8_t read_one[16] = {[0] = 3, [8] = 1, [12] = 3};

/* Promise: records, pages and histories go to members of the group only. */
static void strangers_get_no_records(void **state)
{
    struct hx_rig r;
    (void)state;
    start(&r);
    assert_int_equal(peer_says(&r, HX_MSG_FETCH, "x9", fetch_all, sizeof fetch_all), HX_E_WRONG_MEMBER);
    assert_int_equal(peer_says(&r, HX_MSG_READ, "x9", read_one, sizeof read_one), HX_E_WRONG_MEMBER);
    assert_int_equal(peer_says(&r, HX_MSG_HISTORY, "x9", NULL, 0), HX_E_WRONG_MEMBER);
    assert_int_equal(peer_says(&r, HX_MSG_FETCH, "b1", fetch_all, sizeof fetch_all), 0);
    assert_int_equal(peer_says(&r, HX_MSG_READ, "b1", read_one, sizeof read_one), 0);
    assert_int_equal(peer_says(&r, HX_MSG_HISTORY, "b1", NULL, 0), 0);
    assert_int_equal(peer_says(&r, HX_MSG_HISTORY, "b1", "x", 1), HX_E_BADMSG);
    assert_int_equal(peer_says(&r, HX_MSG_GOSSIP, "b1", "\2\0\0\0", 4), HX_E_BADMSG);
    assert_int_equal(peer_says(&r, HX_MSG_READ, "b1", read_one, 12), HX_E_BADMSG);
    uint8_t beyond[16];
    memcpy(beyond, read_one, sizeof beyond);
    hx_put_u32(beyond + 12, 256); /* the group has 256 pages */
    assert_int_equal(peer_says(&r, HX_MSG_READ, "b1", beyond, sizeof beyond), HX_E_INVAL);
    hx_rig_fini(&r);
}

/* Promise: a client that knows an older membership than the segment is told so, in reads and in acknowledgements. */
static void an_older_membership_is_refused(void **state)
{
    struct hx_rig r;
    uint8_t b[4096];
    (void)state;
    hx_rig_init(&r, 1, 1u << 20, 1, 0);
    r.geometry.m = 2;
    assert_int_equal(hx_rig_format(&r, 0, 0), 0);
    struct hx_append_head a = {.frame_count = 1};
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_append_head_encode(&a, &e);
    hx_enc_bytes(&e, r.frame, hx_rig_run(&r, 0, 1, 0, 1, 2, 0));
    struct hx_msg_head append = {.type = HX_MSG_APPEND, .epoch = {1}, .m = 1};
    assert_int_equal(hx_peer_call(&r, append, HX_NODE_ROLE_WRITER, "w", b, e.len), 0); /* the ack says it */
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(&r, 0, 0, &s), 0);
    assert_int_equal(s.scl.v, 0);
    append.m = 2;
    assert_int_equal(hx_peer_call(&r, append, HX_NODE_ROLE_WRITER, "w", b, e.len), 0);
    assert_int_equal(hx_rig_status(&r, 0, 0, &s), 0);
    assert_int_equal(s.scl.v, 2);
    uint8_t one[16] = {[0] = 2, [8] = 1, [12] = 1};
    struct hx_msg_head read = {.type = HX_MSG_READ, .epoch = {1}, .m = 1};
    assert_int_equal(hx_peer_call(&r, read, HX_NODE_ROLE_WRITER, "w", one, sizeof one), HX_E_WRONG_MEMBER);
    read.m = 2;
    assert_int_equal(hx_peer_call(&r, read, HX_NODE_ROLE_WRITER, "w", one, sizeof one), 0);
    hx_rig_fini(&r);
}

/* Promise: a segment that could not be opened says why to everybody, and the others of the server work. */
static void a_segment_that_cannot_be_opened_says_why(void **state)
{
    struct hx_rig r;
    struct hx_disk_place at;
    size_t len;
    uint8_t b[8192];
    (void)state;
    start(&r);
    at = hx_rig_place(&r, 1);
    hx_rig_stop(&r, 0);
    for (uint64_t slot = 1; slot <= 2; slot++)
        hx_mem_file(r.farm[0], &at, slot, &len)[70] ^= 1;
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(hx_rig_fence(&r, 0, 1, 9, 1, NULL), HX_E_CORRUPT);
    size_t n = put(b, sizeof b, &r.geometry, &r.history);
    assert_int_equal(writer_says(&r, HX_MSG_FORMAT, 1, 1, b, n), HX_E_CORRUPT);
    n = put(b, sizeof b, NULL, &r.history);
    assert_int_equal(writer_says(&r, HX_MSG_ADOPT, 1, 1, b, n), HX_E_CORRUPT);
    assert_int_equal(writer_says(&r, HX_MSG_REPAIR, 1, 1, b, n), HX_E_CORRUPT);
    assert_int_equal(writer_says(&r, HX_MSG_READ, 1, 1, read_one, sizeof read_one), HX_E_CORRUPT);
    assert_int_equal(peer_says(&r, HX_MSG_FETCH, "b1", fetch_all, sizeof fetch_all), HX_E_CORRUPT);
    assert_int_equal(peer_says(&r, HX_MSG_HISTORY, "b1", NULL, 0), HX_E_CORRUPT);
    n = hx_rig_run(&r, 1, 1, 6, 7, 1, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), HX_E_CORRUPT);
    n = hx_rig_run(&r, 0, 1, 0, 1, 1, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(&r, 0, 1, &s), 0);
    assert_int_equal(s.state, HX_E_CORRUPT);
    for (unsigned i = 0; i < 10; i++)
        hx_rig_step(&r, 300);
    hx_rig_fini(&r);
}

/* ---- answers of peers ---- */
static uint64_t scl_of(struct hx_rig *r)
{
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(r, 0, 1, &s), 0);
    return s.scl.v;
}

/* Promise: an answer that is not to this question, not from this server, or not well-formed brings no record. */
static void records_come_from_the_peer_that_was_asked(void **state)
{
    struct hx_rig r;
    (void)state;
    start(&r);
    for (unsigned what = 0; what < 8; what++) {
        struct hx_peer_question q = hx_peer_provoke(&r, HX_MSG_FETCH, 1, 8);
        size_t n = hx_rig_run(&r, 1, 1, 6, 7, 2, 0);
        struct hx_reply_head h = {0};
        if (what == 0)
            h.type = HX_MSG_HISTORY;
        else if (what == 1)
            h.req_id = 1;
        else if (what == 2)
            h.server = hx_rig_uuid(999);
        else if (what == 3)
            h.status = HX_E_STRANGER;
        else if (what == 4)
            n--;
        else if (what == 5)
            r.frame[3] ^= 1;
        else if (what == 6)
            n = hx_rig_run(&r, 1, 9, 6, 7, 2, 0); /* of an epoch that is not in the history */
        else
            n = 50;
        hx_peer_answer(&r, &q, h, r.frame, n);
        assert_int_equal(scl_of(&r), 6);
    }
    struct hx_peer_question q = hx_peer_provoke(&r, HX_MSG_FETCH, 1, 8);
    size_t n = hx_rig_run(&r, 1, 1, 6, 7, 2, 0);
    hx_peer_answer(&r, &q, (struct hx_reply_head){0}, r.frame, n);
    assert_int_equal(scl_of(&r), 8);
    hx_peer_answer(&r, &q, (struct hx_reply_head){0}, r.frame, n); /* once more: nobody asks any longer */
    assert_int_equal(scl_of(&r), 8);
    hx_rig_fini(&r);
}

/* Promise: a history from a peer counts when it is whole and newer. */
static void histories_of_peers_are_taken_whole(void **state)
{
    struct hx_rig r;
    struct hx_history h = {0};
    struct hx_segment_status s;
    uint8_t b[256];
    (void)state;
    start(&r);
    assert_int_equal(hx_history_copy(&h, &r.history), 0);
    size_t old = put(b, sizeof b, NULL, &h);
    struct hx_peer_question q = hx_peer_provoke(&r, HX_MSG_HISTORY, 4, 6);
    hx_peer_answer(&r, &q, (struct hx_reply_head){0}, b, old); /* no newer one */
    assert_int_equal(hx_history_push(&h, (struct hx_history_entry){{4}, {6}, {1006}, HX_RIG_LAL}), 0);
    size_t n = put(b, sizeof b, NULL, &h);
    q = hx_peer_provoke(&r, HX_MSG_HISTORY, 4, 6);
    hx_peer_answer(&r, &q, (struct hx_reply_head){0}, b, n - 1);
    q = hx_peer_provoke(&r, HX_MSG_HISTORY, 4, 6);
    memset(b + n, 0, 1);
    hx_peer_answer(&r, &q, (struct hx_reply_head){0}, b, n + 1);
    assert_int_equal(hx_rig_status(&r, 0, 1, &s), 0);
    assert_int_equal(s.top.v, 1);
    q = hx_peer_provoke(&r, HX_MSG_HISTORY, 4, 6);
    hx_peer_answer(&r, &q, (struct hx_reply_head){0}, b, n);
    assert_int_equal(hx_rig_status(&r, 0, 1, &s), 0);
    assert_int_equal(s.top.v, 4);
    assert_int_equal(s.promised.v, 4);
    hx_history_fini(&h);
    hx_rig_fini(&r);
}

/* Promise: a damaged page is mended with a peer's page only if that is whole, right, and of a point that stays. */
static void a_damaged_page_is_mended_with_a_whole_one(void **state)
{
    struct hx_rig r;
    struct hx_read_page p;
    struct hx_disk_place at;
    uint8_t b[HX_READ_PAGE_BYTES + HX_PAGE_SIZE + 1], data[HX_PAGE_SIZE];
    size_t len;
    (void)state;
    start(&r);
    at = hx_rig_place(&r, 1);
    assert_int_equal(hx_rig_append(&r, 0, 1, 6, 0, NULL, 0, NULL), 0); /* all of it is below the hint */
    uint8_t *log = hx_mem_file(r.farm[0], &at, 16, &len);
    for (size_t i = 96 + HX_FRAME_HEAD; i < 96 + HX_FRAME_HEAD + 6 * (HX_REC_HEAD + 12); i++)
        log[i] ^= 0x55;
    assert_int_equal(hx_rig_read(&r, 0, 1, 1, 6, 4, data, &p), 0);
    assert_int_equal(p.state, HX_READ_CORRUPT);
    for (unsigned what = 0; what < 6; what++) {
        struct hx_peer_question q = hx_peer_provoke(&r, HX_MSG_READ, 1, 6);
        uint64_t lsn = what == 2 ? 0 : what == 3 ? 99 : 4;
        size_t n = hx_peer_page(b, what == 0 ? HX_READ_CORRUPT : HX_READ_RAW, what == 1, lsn, 7);
        n = what == 4 ? n - 1 : what == 5 ? n + 1 : n;
        hx_peer_answer(&r, &q, (struct hx_reply_head){0}, b, n);
        assert_int_equal(hx_rig_read(&r, 0, 1, 1, 6, 4, data, &p), 0);
        assert_int_equal(p.state, HX_READ_CORRUPT);
    }
    struct hx_peer_question q = hx_peer_provoke(&r, HX_MSG_READ, 1, 6);
    hx_peer_answer(&r, &q, (struct hx_reply_head){0}, b, hx_peer_page(b, HX_READ_RAW, 0, 4, 7));
    assert_int_equal(hx_rig_read(&r, 0, 1, 1, 6, 4, data, &p), 0);
    assert_int_equal(p.state, HX_READ_RAW);
    assert_int_equal(data[0], 7);
    hx_rig_fini(&r);
}

/* ---- files that are not its own ---- */
static void copy_file(struct hx_rig *r, uint32_t from_pg, uint64_t from, uint32_t to_pg, uint64_t to)
{
    struct hx_disk_place a = hx_rig_place(r, from_pg), b = hx_rig_place(r, to_pg);
    size_t len, have;
    uint8_t *p = hx_mem_file(r->farm[0], &a, from, &len), *q = hx_mem_file(r->farm[0], &b, to, &have);
    assert_true(p && q && have >= len);
    memcpy(q, p, len);
}

/* Promise: meta slots of another segment are damage, those of another server a stranger's; of two good ones the newer
 * counts, whichever it is; and a directory in which a FORMAT never ended is none. */
static void meta_slots_of_others_are_not_believed(void **state)
{
    struct hx_rig r;
    struct hx_node *other;
    struct hx_disk_place at;
    (void)state;
    start(&r);
    at = hx_rig_place(&r, 1);
    hx_rig_stop(&r, 0);
    struct hx_node_cfg cfg = {
        .name = "a1", .zone = "z", .incarnation = hx_rig_uuid(4711), .farm = hx_mem_farm(r.farm[0])};
    assert_int_equal(hx_node_new(&cfg, 1, &other), 0);
    hx_node_free(other);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(hx_rig_fence(&r, 0, 1, 5, 1, NULL), 0);
    hx_rig_stop(&r, 0);
    copy_file(&r, 0, 1, 1, 1); /* misplaced: slot 2 is left */
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(hx_rig_fence(&r, 0, 1, 4, 1, NULL), HX_E_FENCED);
    hx_rig_stop(&r, 0);
    copy_file(&r, 0, 1, 1, 1);
    copy_file(&r, 0, 1, 1, 2);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(hx_rig_fence(&r, 0, 1, 9, 1, NULL), HX_E_CORRUPT);
    hx_rig_stop(&r, 0);
    for (uint64_t id = 1; id <= 2; id++)
        hx_mem_remove_file(r.farm[0], &at, id);
    hx_mem_remove_file(r.farm[0], &at, 16);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(hx_rig_fence(&r, 0, 1, 9, 1, NULL), HX_E_NO_SEGMENT);
    assert_int_equal(hx_rig_format(&r, 0, 1), 0);
    hx_rig_fini(&r);
}

#define RESERVE 3u /* its file (doc/FORMAT.md) */
static void put_reserve(struct hx_rig *r, struct hx_disk_place at)
{
    struct hx_disk_farm *farm = hx_mem_farm(r->farm[0]);
    struct hx_disk *d;
    assert_int_equal(farm->ops->open(farm, at, false, &d), 0);
    assert_int_equal(d->ops->write(d, RESERVE, 0, "", 1), 0);
    assert_int_equal(d->ops->flush(d, RESERVE), 0);
    farm->ops->close(farm, d);
}

/* Promise: a directory in which a FORMAT never ended is none, also when the first slot cannot be read any more and of
 * the second only the name is there; it is made anew.  With bytes in the second slot, or a log, it is damage.
 * Method: a bad sector in slot 1, and slot 2 cut to nothing beside a reserve; slot 2 with other bytes; cut to nothing
 * beside a log; a piece of slot 2, as a full disk leaves it. */
static void half_a_format_on_a_bad_sector_is_none(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 4; what++) {
        struct hx_rig r;
        size_t len;
        start(&r);
        struct hx_disk_place at = hx_rig_place(&r, 0);
        len = hx_rig_run(&r, 0, 1, 0, 1, 1, 0);
        if (what == 2)
            assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, len, NULL), 0);
        hx_rig_stop(&r, 0);
        hx_mem_bad_sector(r.farm[0], 1, 0);
        if (what == 1)
            memset(hx_mem_file(r.farm[0], &at, 2, &len), 1, 512);
        else
            hx_mem_truncate(r.farm[0], &at, 2, what == 3 ? 191 : 0);
        if (what == 0)
            put_reserve(&r, at);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(hx_rig_fence(&r, 0, 0, 9, 1, NULL), what % 3 == 0 ? HX_E_NO_SEGMENT : HX_E_IO);
        if (what % 3 == 0) {
            assert_int_equal(hx_rig_format(&r, 0, 0), 0);
            assert_int_equal(hx_rig_fence(&r, 0, 0, 9, 1, NULL), 0);
        }
        hx_rig_fini(&r);
    }
}

/* Promise: a server without a proper name, zone or incarnation does not start; it serves several volumes. */
static void a_server_has_a_name_and_any_number_of_volumes(void **state)
{
    struct hx_rig r;
    struct hx_node *n;
    char name[80];
    uint8_t b[8192];
    (void)state;
    start(&r);
    memset(name, 'x', sizeof name);
    name[79] = '\0';
    struct hx_node_cfg cfg = {
        .name = name, .zone = "z", .incarnation = hx_rig_uuid(1), .farm = hx_mem_farm(r.farm[0])};
    assert_int_equal(hx_node_new(&cfg, 1, &n), HX_E_INVAL);
    cfg.name = "a1";
    cfg.zone = name;
    assert_int_equal(hx_node_new(&cfg, 1, &n), HX_E_INVAL);
    cfg.zone = "z";
    cfg.incarnation = (struct hx_uuid){{0}};
    assert_int_equal(hx_node_new(&cfg, 1, &n), HX_E_INVAL);
    for (unsigned i = 0; i < 6; i++) { /* before, between and behind */
        struct hx_geometry g = {0};
        assert_int_equal(hx_geometry_copy(&g, &r.geometry), 0);
        g.volume = hx_rig_uuid(400 + 60 * (i % 3 * 2 + i / 3));
        struct hx_msg_head h = {.type = HX_MSG_FORMAT, .volume = g.volume, .pg = 1 - i % 2, .epoch = {1}};
        size_t len = put(b, sizeof b, &g, &r.history);
        assert_int_equal(hx_peer_call(&r, h, HX_NODE_ROLE_WRITER, "w", b, len), 0);
        h.pg = i % 2;
        assert_int_equal(hx_peer_call(&r, h, HX_NODE_ROLE_WRITER, "w", b, len), 0);
        hx_geometry_fini(&g);
    }
    for (unsigned pass = 0; pass < 2; pass++) {
        struct hx_node_stats st;
        hx_node_stats(r.node[0], &st);
        assert_int_equal(st.segments, 14);
        assert_int_equal(scl_of(&r), 6);
        hx_rig_stop(&r, 0);
        assert_int_equal(hx_rig_start(&r, 0), 0);
    }
    hx_rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_must_be_about_this_segment),
        cmocka_unit_test(histories_and_geometries_must_fit_their_epoch),
        cmocka_unit_test(strangers_get_no_records),
        cmocka_unit_test(an_older_membership_is_refused),
        cmocka_unit_test(a_segment_that_cannot_be_opened_says_why),
        cmocka_unit_test(records_come_from_the_peer_that_was_asked),
        cmocka_unit_test(histories_of_peers_are_taken_whole),
        cmocka_unit_test(a_damaged_page_is_mended_with_a_whole_one),
        cmocka_unit_test(meta_slots_of_others_are_not_believed),
        cmocka_unit_test(half_a_format_on_a_bad_sector_is_none),
        cmocka_unit_test(a_server_has_a_name_and_any_number_of_volumes),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("refusals", tests, NULL, NULL);
}
