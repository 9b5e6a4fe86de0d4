/*
 * test_gossip.c - what a segment server makes of what its peers say: whom it asks, for what, how often, and what of the
 * answers counts.
 *
 * Method: one server; its peers are played by the test (peer_kit.h), so that every question is seen and every answer is
 * of the test's making; what must count for nothing is followed by the right answer, which must count.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hexad/crc.h"
#include "peer_kit.h"

#include <stdlib.h>

#define PG 1u
#define SIDE_BIT (UINT64_C(1) << 32)

/* PG 1 with records 1 to 6, all of them at or below the hint. */
static void start(struct hx_rig *r)
{
    hx_rig_init(r, 1, 1u << 20, 2, 16u << 10);
    assert_int_equal(hx_rig_format(r, 0, PG), 0);
    size_t n = hx_rig_run(r, PG, 1, 0, 1, 6, 0);
    assert_int_equal(hx_rig_append(r, 0, 1, 0, 0, r->frame, n, NULL), 0);
    assert_int_equal(hx_rig_append(r, 0, 1, 6, 0, NULL, 0, NULL), 0);
}

static struct hx_segment_status status(struct hx_rig *r)
{
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(r, 0, PG, &s), 0);
    return s;
}

static struct hx_read_page page_at(struct hx_rig *r, uint64_t point, uint32_t page, uint8_t *data)
{
    struct hx_read_page p;
    assert_int_equal(hx_rig_read(r, 0, PG, status(r).top.v, point, page, data, &p), 0);
    return p;
}

/* How many of the questions that wait are of TYPE and about PG; all are taken. */
static unsigned asked(struct hx_rig *r, unsigned type, uint32_t pg)
{
    struct hx_peer_question q;
    unsigned n = 0;
    while (hx_peer_questions(r, &q, 1))
        n += q.type == type && q.pg == pg;
    return n;
}

/* GOSSIP as a request of peer NAME: it has SCL of PG in epoch 1. */
static int gossip_from(struct hx_rig *r, const char *name, uint32_t pg, uint64_t scl)
{
    uint8_t b[4 + HX_GOSSIP_ENTRY];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_enc_u32(&e, 1);
    hx_gossip_entry_encode(&(struct hx_gossip_entry){pg, {1}, {scl}}, &e);
    struct hx_msg_head h = {.type = HX_MSG_GOSSIP, .server = hx_rig_uuid(100), .volume = r->geometry.volume,
                            .epoch = {1}};
    uint8_t m[HX_MSG_HEAD + sizeof b];
    struct hx_bytes body = {b, e.len};
    hx_msg_head_encode(&h, &body, 1, m);
    memcpy(m + HX_MSG_HEAD, b, e.len);
    hx_node_request(r->node[0], r->now_ms, 1, ++r->token, 5, HX_NODE_ROLE_SEGMENT, name,
                    (struct hx_bytes){m, HX_MSG_HEAD + e.len});
    return (int)asked(r, HX_MSG_FETCH, pg);
}

/* ---- who is asked ---- */
/* Promise: a server that is told of itself under its own name does not ask itself; a member that is ahead is asked. */
static void a_server_does_not_ask_itself(void **state)
{
    struct hx_rig r;
    (void)state;
    start(&r);
    assert_int_equal(gossip_from(&r, "a1", PG, 99), 0);
    assert_int_equal(gossip_from(&r, "b2", PG, 6), 0); /* not ahead */
    assert_int_equal(gossip_from(&r, "b2", PG, 99), 1);
    assert_int_equal(gossip_from(&r, "b2", PG, 99), 0); /* one question at a time */
    hx_rig_fini(&r);
}

/* Promise: of a group's records only its members are asked and told, whatever else they have in common with this
 * server.  Method: a seventh server, member of PG 2 and not of PG 1, that says it is ahead in both. */
static void records_are_asked_of_members_only(void **state)
{
    struct hx_rig r;
    struct hx_server seventh = {.name = "d1", .zone = "az-c", .url = "https://127.0.0.1:9700"};
    (void)state;
    hx_rig_init(&r, 1, 1u << 20, 2, 0);
    seventh.incarnation = hx_rig_uuid(107);
    assert_int_equal(hx_geometry_add_server(&r.geometry, &seventh), 0);
    assert_int_equal(hx_geometry_add_pg(&r.geometry, &(struct hx_pg_members){.server = {0, 1, 2, 3, 4, 6}}), 0);
    for (uint32_t pg = 1; pg < 3; pg++)
        assert_int_equal(hx_rig_format(&r, 0, pg), 0);
    assert_int_equal(gossip_from(&r, "d1", 1, 50), 0);
    unsigned seen = 0;
    for (unsigned i = 0; i < 40; i++) {
        struct hx_peer_question q = hx_peer_wait(&r, HX_MSG_GOSSIP);
        if (!hx_uuid_eq(&q.peer, &seventh.incarnation)) {
            hx_peer_answer(&r, &q, (struct hx_reply_head){0}, (const uint8_t[4]){0}, 4);
            continue;
        }
        assert_int_equal(hx_get_u32(q.body), 1); /* what it is told of: PG 2 alone */
        assert_int_equal(hx_get_u32(q.body + 4), 2);
        uint32_t pg = 1 + seen++;
        hx_peer_tell(&r, &q, pg, 1, 50);
        assert_int_equal(asked(&r, HX_MSG_FETCH, pg), pg == 2);
        if (seen == 2)
            break;
    }
    assert_int_equal(seen, 2);
    hx_rig_fini(&r);
}

/* Promise: however many groups are behind, at most 64 questions are under way; while there are as many, nobody is asked
 * anything; it goes on when they are answered. */
static void at_most_64_questions_are_under_way(void **state)
{
    enum { PGS = 70 };
    struct hx_rig r;
    struct hx_peer_question all[PGS + 8];
    uint8_t b[4 + PGS * HX_GOSSIP_ENTRY];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    (void)state;
    hx_rig_init(&r, 1, 1u << 20, PGS, 0);
    hx_enc_u32(&e, PGS);
    for (uint32_t pg = 0; pg < PGS; pg++) {
        assert_int_equal(hx_rig_format(&r, 0, pg), 0);
        hx_gossip_entry_encode(&(struct hx_gossip_entry){pg, {1}, {9}}, &e);
    }
    struct hx_peer_question q = hx_peer_wait(&r, HX_MSG_GOSSIP);
    hx_peer_answer(&r, &q, (struct hx_reply_head){0}, b, e.len);
    size_t n = hx_peer_questions(&r, all, HX_ARRAY_LEN(all));
    assert_int_equal(n, 64);
    for (unsigned i = 0; i < 10; i++) {
        r.now_ms += 1000;
        hx_node_tick(r.node[0], r.now_ms);
        assert_int_equal(hx_peer_questions(&r, all + 64, 8), 0);
    }
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(all[i].type, HX_MSG_FETCH);
        hx_peer_answer(&r, &all[i], (struct hx_reply_head){0}, NULL, 0);
    }
    q = hx_peer_wait(&r, HX_MSG_GOSSIP);
    hx_peer_answer(&r, &q, (struct hx_reply_head){0}, b, e.len);
    n = hx_peer_questions(&r, all, HX_ARRAY_LEN(all));
    assert_in_range(n, 6, 64); /* those that were not asked for before, at least */
    hx_rig_fini(&r);
}

/* The next round: whom it is told to; *ret_pgs: of which groups, as far as three. */
static unsigned next_round(struct hx_rig *r, unsigned *ret_pgs, bool answered)
{
    struct hx_peer_question q = hx_peer_wait(r, HX_MSG_GOSSIP);
    uint32_t count = hx_get_u32(q.body);
    *ret_pgs = 0;
    for (uint32_t i = 0; i < count && i < 3; i++)
        *ret_pgs |= 1u << hx_get_u32(q.body + 4 + (size_t)i * HX_GOSSIP_ENTRY);
    if (answered)
        hx_peer_answer(r, &q, (struct hx_reply_head){0}, (const uint8_t[4]){0}, 4);
    else
        hx_node_answer(r->node[0], r->now_ms, q.call, HX_E_TIMEOUT, (struct hx_bytes){NULL, 0});
    for (unsigned peer = 1; peer < HX_COPIES; peer++)
        if (!memcmp(q.peer.b, hx_rig_uuid(100 + peer).b, sizeof q.peer.b))
            return peer | count << 8;
    return count << 8;
}

/* Promise (E6): a server with many segments tells of those with news, of the others a few in turn, so that each peer
 * hears of each in the end; a peer that was silent hears of all. */
static void a_round_tells_news_and_a_few_others_in_turn(void **state)
{
    enum { PGS = 8, MOST = 2, CALM = 30 };
    struct hx_rig r;
    unsigned pgs, heard[HX_COPIES] = {0}, news = 0, all = 0;
    (void)state;
    hx_rig_init(&r, 1, 1u << 20, PGS, 16u << 10);
    hx_rig_stop(&r, 0);
    r.gossip_most = MOST;
    assert_int_equal(hx_rig_start(&r, 0), 0);
    for (uint32_t pg = 0; pg < PGS; pg++)
        assert_int_equal(hx_rig_format(&r, 0, pg), 0);
    for (unsigned i = 0; i < CALM; i++) /* made just now: all of it is news */
        assert_int_equal(next_round(&r, &pgs, true) >> 8, i < 24 ? PGS : MOST);
    for (unsigned i = 0; i < PGS / MOST * 5; i++) {
        unsigned peer = next_round(&r, &pgs, true);
        assert_int_equal(peer >> 8, MOST);
        heard[peer & 255] |= pgs;
    }
    for (unsigned peer = 1; peer < HX_COPIES; peer++)
        assert_int_equal(heard[peer], (1u << PGS) - 1);
    size_t n = hx_rig_run(&r, 3, 1, 0, 1, 2, 0);
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
    for (unsigned i = 0; i < 5; i++) { /* each peer hears of it at once */
        unsigned peer = next_round(&r, &pgs, true);
        assert_true(pgs >> 3 & 1 && peer >> 8 <= MOST + 1);
        news |= 1u << (peer & 255);
    }
    assert_int_equal(news, 0x3e);
    for (unsigned i = 0; i < CALM; i++)
        next_round(&r, &pgs, true);
    assert_int_equal(next_round(&r, &pgs, false) >> 8, MOST);
    for (unsigned i = 0; i < CALM && all != 0x3e; i++) { /* when it answers again */
        unsigned peer = next_round(&r, &pgs, true);
        all |= peer >> 8 == PGS ? 1u << (peer & 255) : 0;
    }
    assert_int_equal(all, 0x3e);
    hx_rig_fini(&r);
}

/* Promise: while the disk is full no more is asked for than every four seconds; when there is room the records are
 * taken. */
static void a_full_disk_is_not_filled_further(void **state)
{
    struct hx_rig r;
    (void)state;
    start(&r);
    size_t n = hx_rig_run(&r, PG, 1, 6, 7, 2, 0);
    struct hx_peer_question q = hx_peer_provoke(&r, HX_MSG_FETCH, 1, 8);
    hx_mem_fail(r.farm[0], HX_MEM_WRITE, 1, HX_E_NOSPACE, true);
    hx_peer_answer(&r, &q, (struct hx_reply_head){0}, r.frame, n);
    assert_int_equal(status(&r).scl.v, 6);
    assert_int_equal(status(&r).state, HX_E_NOSPACE);
    uint64_t full_ms = r.now_ms;
    while (r.now_ms < full_ms + 3500) {
        struct hx_peer_question g = hx_peer_wait(&r, HX_MSG_GOSSIP);
        if (r.now_ms >= full_ms + 3900)
            break;
        hx_peer_tell(&r, &g, PG, 1, 8);
        assert_int_equal(asked(&r, HX_MSG_FETCH, PG), 0);
    }
    hx_mem_fail(r.farm[0], 0, 0, 0, false);
    q = hx_peer_provoke(&r, HX_MSG_FETCH, 1, 8);
    n = hx_rig_run(&r, PG, 1, 6, 7, 2, 0);
    hx_peer_answer(&r, &q, (struct hx_reply_head){0}, r.frame, n);
    assert_int_equal(status(&r).scl.v, 8);
    hx_rig_fini(&r);
}

/* Promise: a frame of another group or another volume, in an answer that is otherwise right, is not stored, and
 * ends the answer; what stood before it counts. */
static void frames_of_others_are_not_stored(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 2; what++) {
        struct hx_rig r;
        uint8_t *b = malloc(64u << 10);
        assert_non_null(b);
        start(&r);
        struct hx_peer_question q = hx_peer_provoke(&r, HX_MSG_FETCH, 1, 9);
        struct hx_enc e = hx_enc_init(b, 64u << 10);
        hx_enc_bytes(&e, r.frame, hx_rig_run(&r, PG, 1, 6, 7, 1, 0));
        struct hx_uuid own = r.geometry.volume;
        r.geometry.volume = what ? hx_rig_uuid(777) : own;
        hx_enc_bytes(&e, r.frame, hx_rig_run(&r, what ? PG : 0, 1, 7, 8, 1, 0));
        r.geometry.volume = own;
        hx_enc_bytes(&e, r.frame, hx_rig_run(&r, PG, 1, 8, 9, 1, 0));
        hx_peer_answer(&r, &q, (struct hx_reply_head){0}, b, e.len);
        assert_int_equal(status(&r).scl.v, 7);
        assert_int_equal(status(&r).highest.v, 7);
        free(b);
        hx_rig_fini(&r);
    }
}

/* ---- answers that come too late ---- */
/* Promise (I4): a frame that is valid in part only, under a history that came while it was on its way or before, is not
 * taken; the valid part alone is. */
static void a_frame_across_the_cut_is_not_taken(void **state)
{
    struct hx_rig r;
    struct hx_history h = {0};
    (void)state;
    hx_rig_init(&r, 1, 1u << 20, 2, 0);
    assert_int_equal(hx_rig_format(&r, 0, PG), 0);
    assert_int_equal(hx_history_copy(&h, &r.history), 0);
    assert_int_equal(hx_history_push(&h, (struct hx_history_entry){{2}, {3}, {1003}, HX_RIG_LAL}), 0);
    assert_int_equal(hx_rig_adopt(&r, 0, PG, 2, &h, NULL, NULL), 0);
    static const unsigned counts[] = {5, 3};
    for (unsigned i = 0; i < 2; i++) {
        struct hx_peer_question q = hx_peer_provoke(&r, HX_MSG_FETCH, 2, 1004);
        size_t n = hx_rig_run(&r, PG, 1, 0, 1, counts[i], 0);
        hx_peer_answer(&r, &q, (struct hx_reply_head){0}, r.frame, n);
        assert_int_equal(status(&r).scl.v, i ? 3 : 0);
    }
    hx_history_fini(&h);
    hx_rig_fini(&r);
}

/* Promise: nothing that arrives after the segment's disk has failed is taken, be it records or a history; what was
 * promised and stored before is there after a restart. */
static void a_failed_segment_takes_nothing(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 2; what++) {
        struct hx_rig r;
        struct hx_history h = {0};
        uint8_t b[256];
        start(&r);
        struct hx_peer_question q =
            hx_peer_provoke(&r, what ? HX_MSG_HISTORY : HX_MSG_FETCH, what ? 4 : 1, 8);
        hx_mem_fail(r.farm[0], HX_MEM_FLUSH, 1, HX_E_IO, true);
        size_t n = hx_rig_run(&r, PG, 1, 6, 7, 1, 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, 6, 0, r.frame, n, NULL), HX_E_POISONED);
        if (what) {
            struct hx_enc e = hx_enc_init(b, sizeof b);
            assert_int_equal(hx_history_copy(&h, &r.history), 0);
            assert_int_equal(hx_history_push(&h, (struct hx_history_entry){{4}, {6}, {1006}, HX_RIG_LAL}), 0);
            hx_history_encode(&h, &e);
            hx_peer_answer(&r, &q, (struct hx_reply_head){0}, b, e.len);
        } else {
            n = hx_rig_run(&r, PG, 1, 7, 8, 1, 0);
            hx_peer_answer(&r, &q, (struct hx_reply_head){0}, r.frame, n);
        }
        assert_int_equal(status(&r).top.v, 1);
        assert_int_equal(status(&r).promised.v, 1);
        hx_rig_stop(&r, 0);
        hx_mem_crash(r.farm[0], 3);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_true(status(&r).scl.v >= 6 && status(&r).scl.v <= 7);
        assert_int_equal(status(&r).top.v, 1);
        hx_history_fini(&h);
        hx_rig_fini(&r);
    }
}

/* ---- damaged pages ---- */
/* What is at or below the hint rots, and a read meets it: page 4 is CORRUPT. */
static void rot(struct hx_rig *r)
{
    size_t len;
    uint8_t data[HX_PAGE_SIZE];
    start(r);
    struct hx_disk_place at = hx_rig_place(r, PG);
    uint8_t *log = hx_mem_file(r->farm[0], &at, 16, &len);
    for (size_t i = 96 + HX_FRAME_HEAD; i < 96 + HX_FRAME_HEAD + 6 * (HX_REC_HEAD + 12); i++)
        log[i] ^= 0x55;
    assert_int_equal(page_at(r, 6, 4, data).state, HX_READ_CORRUPT);
}

/* Promise: a page that a peer has as zeros is mended as zeros, whether the peer says so or sends them. */
static void a_page_of_zeros_is_mended_too(void **state)
{
    (void)state;
    for (unsigned raw = 0; raw < 2; raw++) {
        struct hx_rig r;
        uint8_t b[HX_READ_PAGE_BYTES + HX_PAGE_SIZE], data[HX_PAGE_SIZE];
        rot(&r);
        struct hx_peer_question q = hx_peer_provoke(&r, HX_MSG_READ, 1, 6);
        size_t n = hx_peer_page(b, raw ? HX_READ_RAW : HX_READ_ZEROS, 0, 4, 0);
        hx_peer_answer(&r, &q, (struct hx_reply_head){0}, b, n);
        struct hx_read_page p = page_at(&r, 6, 4, data);
        assert_int_equal(p.state, HX_READ_ZEROS);
        assert_int_equal(p.lsn.v, 4);
        assert_int_equal(status(&r).damaged, 0);
        assert_int_equal(page_at(&r, 6, 3, data).state, HX_READ_CORRUPT); /* of this one nobody has said anything */
        assert_int_equal(status(&r).damaged, 1);
        hx_rig_fini(&r);
    }
}

/* Promise: damaged pages that are mended at the same point are asked for together, each once: a file that rots has
 * many, and one question after the other would take for ever.  What is mended at another point is not among them. */
static void damaged_pages_are_asked_for_together(void **state)
{
    (void)state;
    for (unsigned passed = 0; passed < 2; passed++) { /* has the floor passed them? */
        struct hx_rig r;
        uint8_t data[HX_PAGE_SIZE];
        unsigned seen = 0, want = 0;
        rot(&r);
        if (passed)
            assert_int_equal(hx_rig_append(&r, 0, 1, 6, 6, NULL, 0, NULL), 0);
        for (uint32_t page = 1; page <= 6; page++)
            want += page_at(&r, 6, page, data).state == HX_READ_CORRUPT;
        struct hx_peer_question q = hx_peer_provoke(&r, HX_MSG_READ, 1, 6);
        uint32_t count = hx_get_u32(q.body + 8);
        assert_int_equal(want, 6);
        assert_int_equal(count, passed ? want : 1);
        for (uint32_t i = 0; i < count; i++)
            seen |= 1u << hx_get_u32(q.body + 12 + 4 * (size_t)i);
        assert_int_equal(__builtin_popcount(seen), count);
        hx_rig_fini(&r);
    }
}

/* Promise: a page that was asked for under one history is not taken under the next; nor one that is cut short, nor one
 * that is newer than the point that was asked for: that could be annulled yet. */
static void a_page_under_another_history_is_not_taken(void **state)
{
    struct hx_rig r;
    struct hx_history h = {0};
    uint8_t b[HX_READ_PAGE_BYTES + HX_PAGE_SIZE], data[HX_PAGE_SIZE];
    (void)state;
    rot(&r);
    struct hx_peer_question q = hx_peer_provoke(&r, HX_MSG_READ, 1, 6);
    hx_peer_answer(&r, &q, (struct hx_reply_head){0}, b, 5);
    q = hx_peer_provoke(&r, HX_MSG_READ, 1, 6);
    assert_int_equal(hx_history_copy(&h, &r.history), 0);
    assert_int_equal(hx_history_push(&h, (struct hx_history_entry){{2}, {6}, {1006}, HX_RIG_LAL}), 0);
    assert_int_equal(hx_rig_adopt(&r, 0, PG, 2, &h, NULL, NULL), 0);
    size_t n = hx_peer_page(b, HX_READ_RAW, 0, 4, 7);
    hx_peer_answer(&r, &q, (struct hx_reply_head){0}, b, n);
    assert_int_equal(page_at(&r, 6, 4, data).state, HX_READ_CORRUPT);
    q = hx_peer_provoke(&r, HX_MSG_READ, 2, 6);
    n = hx_peer_page(b, HX_READ_RAW, 0, 7, 7);
    hx_peer_answer(&r, &q, (struct hx_reply_head){0}, b, n);
    assert_int_equal(status(&r).damaged, 1);
    assert_int_equal(page_at(&r, 6, 4, data).state, HX_READ_CORRUPT);
    q = hx_peer_provoke(&r, HX_MSG_READ, 2, 6);
    n = hx_peer_page(b, HX_READ_RAW, 0, 4, 7);
    hx_peer_answer(&r, &q, (struct hx_reply_head){0}, b, n);
    assert_int_equal(page_at(&r, 6, 4, data).state, HX_READ_RAW);
    assert_int_equal(data[0], 7);
    hx_history_fini(&h);
    hx_rig_fini(&r);
}

/* Promise: a damaged page below the hint is asked of a peer that is complete to the read point; of one that is behind
 * it, but has the record, the record is asked for; of one that has not even that, nothing. */
static void a_peer_that_is_behind_is_not_asked_for_pages(void **state)
{
    struct hx_rig r;
    (void)state;
    rot(&r); /* LSN 4 is damaged */
    static const struct {
        uint64_t scl;
        unsigned reads, fetches;
    } cases[] = {{3, 0, 0}, {5, 0, 1}, {6, 1, 0}};
    for (unsigned i = 0; i < HX_ARRAY_LEN(cases); i++) {
        struct hx_peer_question g = hx_peer_wait(&r, HX_MSG_GOSSIP), q[4];
        hx_peer_tell(&r, &g, PG, 1, cases[i].scl);
        size_t n = hx_peer_questions(&r, q, HX_ARRAY_LEN(q));
        unsigned reads = 0, fetches = 0;
        for (size_t k = 0; k < n; k++) {
            reads += q[k].type == HX_MSG_READ;
            fetches += q[k].type == HX_MSG_FETCH;
            hx_node_answer(r.node[0], r.now_ms, q[k].call, HX_E_TIMEOUT, (struct hx_bytes){NULL, 0});
        }
        assert_int_equal(reads, cases[i].reads);
        assert_int_equal(fetches, cases[i].fetches);
        r.now_ms += 5000;
    }
    hx_rig_fini(&r);
}

/* ---- blind damage ---- */
/* Record LSN, after LSN - 1: an image of PAGE that does not get smaller, with LSN in its first place. */
static void write_image(struct hx_rig *r, uint64_t lsn, uint32_t page)
{
    static uint8_t image[HX_PAGE_SIZE];
    uint64_t x = lsn * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < sizeof image; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        image[i] = (uint8_t)(x | 1);
    }
    image[0] = (uint8_t)lsn;
    struct hx_rig_rec rec = {lsn, page, HX_REC_IMAGE, HX_REC_CPL, image, sizeof image};
    size_t n = hx_rig_frame(r, PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){lsn - 1, 0, 0});
    assert_int_equal(hx_rig_append(r, 0, 1, lsn - 1, 0, r->frame, n, NULL), 0);
    hx_rig_step(r, 1);
}

/*
 * Images of one page each in log files of four; file 17 (5 to 8) and its sidecar are lost, so that any page whose base
 * is not newer may be damaged: page P is CORRUPT but for those of 9 to LAST.  All at or below the hint, LAST.
 */
static void blind(struct hx_rig *r, uint64_t last)
{
    size_t len;
    hx_rig_init(r, 1, 1u << 20, 2, 16u << 10);
    assert_int_equal(hx_rig_format(r, 0, PG), 0);
    for (uint64_t lsn = 1; lsn <= last; lsn++)
        write_image(r, lsn, (uint32_t)lsn);
    struct hx_disk_place at = hx_rig_place(r, PG);
    hx_rig_stop(r, 0);
    uint8_t *log = hx_mem_file(r->farm[0], &at, 17, &len);
    assert_non_null(log);
    memset(log, 0, len);
    hx_mem_remove_file(r->farm[0], &at, SIDE_BIT + 17);
    assert_int_equal(hx_rig_start(r, 0), 0);
    assert_int_equal(hx_rig_append(r, 0, 1, last, 0, NULL, 0, NULL), 0);
}

/* Answers the question of a sweep: page P was written at LSN P up to WRITTEN, the others never. */
static void answer_sweep(struct hx_rig *r, const struct hx_peer_question *q, uint64_t written)
{
    static uint8_t b[128 * (HX_READ_PAGE_BYTES + HX_PAGE_SIZE)];
    uint32_t n = hx_get_u32(q->body + 8), first = hx_get_u32(q->body + 12);
    struct hx_enc e = hx_enc_init(b, sizeof b);
    uint8_t page[HX_PAGE_SIZE] = {0};
    unsigned raw = 0;
    assert_in_range(n, 1, 128);
    for (uint32_t k = 0; k < n; k++) { /* the list begins with the lowest pages; those behind are never written */
        uint32_t p = 12 + 4 * (size_t)k + 4 <= sizeof q->body ? hx_get_u32(q->body + 12 + 4 * (size_t)k)
                                                                        : first + 1000;
        bool is = p && p <= written;
        page[0] = (uint8_t)p;
        struct hx_read_page x = {is ? HX_READ_RAW : HX_READ_ZEROS, 0, {is ? p : 0}};
        x.crc = is ? hx_crc32c(0, page, sizeof page) : 0;
        hx_read_page_encode(&x, &e);
        raw += is;
    }
    for (uint32_t p = first; raw; p++)
        if (p && p <= written) {
            memset(page, 0, sizeof page);
            page[0] = (uint8_t)p;
            hx_enc_bytes(&e, page, sizeof page);
            raw--;
        }
    assert_int_equal(e.err, 0);
    hx_peer_answer(r, q, (struct hx_reply_head){0}, b, e.len);
}

static void look(struct hx_rig *r, struct hx_segment_look *ret)
{
    assert_int_equal(hx_node_look(r->node[0], hx_rig_place(r, PG), ret), 0);
}

/* Lets a peer that has SCL answer until nothing is damaged: FETCH with nothing, READ as answer_sweep. */
static void mend_all(struct hx_rig *r, uint64_t scl, uint64_t written, unsigned *ret_sweeps)
{
    for (unsigned i = 0; i < 300 && status(r).damaged; i++) {
        struct hx_peer_question g = hx_peer_wait(r, HX_MSG_GOSSIP), q[4];
        hx_peer_tell(r, &g, PG, 1, scl);
        size_t n = hx_peer_questions(r, q, HX_ARRAY_LEN(q));
        for (size_t k = 0; k < n; k++) {
            if (q[k].type == HX_MSG_FETCH)
                hx_peer_answer(r, &q[k], (struct hx_reply_head){0}, NULL, 0);
            if (q[k].type != HX_MSG_READ)
                continue;
            ++*ret_sweeps;
            answer_sweep(r, &q[k], written);
        }
    }
    assert_int_equal(status(r).damaged, 0);
}

/* Its next READ, when peers have SCL and of records (FETCH is tried first) nothing. */
static struct hx_peer_question next_read(struct hx_rig *r, uint64_t scl)
{
    struct hx_peer_question q = {0};
    for (unsigned i = 0; i < 100 && q.type != HX_MSG_READ; i++) {
        struct hx_peer_question g = hx_peer_wait(r, HX_MSG_GOSSIP);
        hx_peer_tell(r, &g, PG, 1, scl);
        if (hx_peer_questions(r, &q, 1) && q.type == HX_MSG_FETCH)
            hx_peer_answer(r, &q, (struct hx_reply_head){0}, NULL, 0);
    }
    assert_int_equal(q.type, HX_MSG_READ);
    return q;
}

/* Promise: blind damage is doubt about every page that may have been in it, and shows as such, until a peer has said of
 * each of them what it is; then there is no doubt any more, and the pages are what the peer said.  A refusal costs
 * time, nothing else. */
static void doubt_ends_when_every_page_is_confirmed(void **state)
{
    struct hx_rig r;
    struct hx_segment_look l;
    uint8_t data[HX_PAGE_SIZE];
    unsigned sweeps = 0;
    (void)state;
    blind(&r, 14);
    look(&r, &l);
    assert_int_equal(l.unknowns, 1);
    assert_in_range(l.doubt.v, 1, 5);
    assert_int_equal(page_at(&r, 14, 5, data).state, HX_READ_CORRUPT);
    assert_int_equal(page_at(&r, 14, 200, data).state, HX_READ_CORRUPT);
    assert_int_equal(page_at(&r, 14, 14, data).state, HX_READ_RAW);
    struct hx_peer_question q = next_read(&r, 14);
    static const int refused[] = {HX_E_LAGGING, HX_E_TOO_OLD};
    for (size_t i = 0; i < HX_ARRAY_LEN(refused); i++) {
        hx_peer_answer(&r, &q, (struct hx_reply_head){.status = refused[i]}, NULL, 0);
        q = hx_peer_provoke(&r, HX_MSG_READ, 1, 14);
        assert_int_equal(hx_get_u64(q.body), 14);
    }
    hx_node_answer(r.node[0], r.now_ms, q.call, HX_E_TIMEOUT, (struct hx_bytes){NULL, 0});
    mend_all(&r, 14, 14, &sweeps);
    assert_in_range(sweeps, 2, 8); /* 256 pages, 128 at once */
    look(&r, &l);
    assert_int_equal(l.unknowns, 0);
    assert_true(l.doubt.v == UINT64_MAX && l.damaged >= 1);
    for (uint32_t page = 1; page <= 14; page++) {
        assert_int_equal(page_at(&r, 14, page, data).lsn.v, page);
        assert_int_equal(data[0], page);
    }
    assert_int_equal(page_at(&r, 14, 200, data).state, HX_READ_ZEROS);
    for (unsigned i = 0; i < 20; i++) { /* and nobody is asked any more */
        struct hx_peer_question g = hx_peer_wait(&r, HX_MSG_GOSSIP);
        hx_peer_tell(&r, &g, PG, 1, 14);
        assert_int_equal(asked(&r, HX_MSG_READ, PG), 0);
        r.now_ms += 1000;
    }
    hx_rig_fini(&r);
}

/* Promise: a peer that says of a page that it was never written does not make this server forget what it has of it. */
static void a_page_that_is_here_is_not_taken_for_unwritten(void **state)
{
    struct hx_rig r;
    uint8_t data[HX_PAGE_SIZE];
    (void)state;
    blind(&r, 14);
    for (unsigned i = 0; i < 60; i++) {
        struct hx_peer_question g = hx_peer_wait(&r, HX_MSG_GOSSIP), q;
        hx_peer_tell(&r, &g, PG, 1, 14);
        if (!hx_peer_questions(&r, &q, 1))
            continue;
        if (q.type == HX_MSG_READ)
            answer_sweep(&r, &q, 0); /* pages 1 to 4 are here, though */
        else
            hx_peer_answer(&r, &q, (struct hx_reply_head){0}, NULL, 0);
    }
    for (uint32_t page = 1; page <= 4; page++)
        assert_int_equal(page_at(&r, 14, page, data).state, HX_READ_CORRUPT);
    assert_int_equal(page_at(&r, 14, 200, data).state, HX_READ_ZEROS);
    assert_int_equal(status(&r).damaged, 1);
    hx_rig_fini(&r);
}

/* Promise: doubt ends, too, about a page that is first written while pages are being confirmed.  Method: the first
 * question is about the point before that record, and so are all others. */
static void a_page_that_is_new_is_not_in_doubt_for_ever(void **state)
{
    struct hx_rig r;
    uint8_t data[HX_PAGE_SIZE];
    unsigned sweeps = 0;
    (void)state;
    blind(&r, 14);
    struct hx_peer_question q = next_read(&r, 14);
    write_image(&r, 15, 100);
    write_image(&r, 16, 200);
    assert_int_equal(hx_rig_append(&r, 0, 1, 16, 0, NULL, 0, NULL), 0);
    answer_sweep(&r, &q, 14);
    mend_all(&r, 16, 14, &sweeps);
    assert_int_equal(page_at(&r, 14, 200, data).state, HX_READ_ZEROS);
    assert_int_equal(page_at(&r, 16, 200, data).state, HX_READ_RAW);
    assert_int_equal(data[0], 16);
    assert_int_equal(page_at(&r, 16, 100, data).lsn.v, 15);
    hx_rig_fini(&r);
}

/* Promise: doubt ends although the volume is being written, so that no peer keeps the point at which the confirming
 * began for as long as that takes.  Method: after half of the pages it goes on at a new point, with the other half. */
static void confirming_goes_on_where_peers_have_pages(void **state)
{
    static uint8_t b[128 * HX_READ_PAGE_BYTES];
    struct hx_rig r;
    uint8_t data[HX_PAGE_SIZE];
    (void)state;
    for (unsigned corrupt = 0; corrupt < 2; corrupt++) {
        unsigned sweeps = 0;
        blind(&r, 14);
        struct hx_peer_question q = next_read(&r, 14);
        assert_int_equal(hx_get_u32(q.body + 8), 128);
        answer_sweep(&r, &q, 14);
        write_image(&r, 15, 15);
        assert_int_equal(hx_rig_append(&r, 0, 1, 15, 0, NULL, 0, NULL), 0);
        q = next_read(&r, 15);
        assert_int_equal(hx_get_u64(q.body), 14);
        uint32_t n = hx_get_u32(q.body + 8);
        assert_in_range(n, 100, 128);
        struct hx_enc e = hx_enc_init(b, sizeof b);
        for (uint32_t i = 0; corrupt && i < n; i++)
            hx_read_page_encode(&(struct hx_read_page){.state = HX_READ_CORRUPT}, &e);
        hx_peer_answer(&r, &q, (struct hx_reply_head){.status = corrupt ? 0 : HX_E_TOO_OLD}, b, e.len);
        q = next_read(&r, 15);
        assert_int_equal(hx_get_u64(q.body), 15);
        assert_int_equal(hx_get_u32(q.body + 8), n);
        answer_sweep(&r, &q, 14);
        mend_all(&r, 15, 14, &sweeps);
        assert_int_equal(sweeps, 0);
        assert_int_equal(page_at(&r, 15, 5, data).lsn.v, 5);
        assert_int_equal(page_at(&r, 15, 200, data).state, HX_READ_ZEROS);
        hx_rig_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_does_not_ask_itself),
        cmocka_unit_test(records_are_asked_of_members_only),
        cmocka_unit_test(at_most_64_questions_are_under_way),
        cmocka_unit_test(a_round_tells_news_and_a_few_others_in_turn),
        cmocka_unit_test(a_full_disk_is_not_filled_further),
        cmocka_unit_test(frames_of_others_are_not_stored),
        cmocka_unit_test(a_frame_across_the_cut_is_not_taken),
        cmocka_unit_test(a_failed_segment_takes_nothing),
        cmocka_unit_test(a_page_of_zeros_is_mended_too),
        cmocka_unit_test(damaged_pages_are_asked_for_together),
        cmocka_unit_test(a_page_under_another_history_is_not_taken),
        cmocka_unit_test(a_peer_that_is_behind_is_not_asked_for_pages),
        cmocka_unit_test(doubt_ends_when_every_page_is_confirmed),
        cmocka_unit_test(a_page_that_is_here_is_not_taken_for_unwritten),
        cmocka_unit_test(a_page_that_is_new_is_not_in_doubt_for_ever),
        cmocka_unit_test(confirming_goes_on_where_peers_have_pages),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("gossip", tests, NULL, NULL);
}
