/*
 * test_msg.c - requests and answers as bytes: identity, damage, limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hexad/crc.h"
#include "hexad/msg.h"

#include <stdlib.h>

static size_t make_request(uint8_t *buf, struct hx_msg_head *h)
{
    static const uint8_t body[] = "some body bytes";
    *h = (struct hx_msg_head){.type = HX_MSG_READ, .req_id = 77, .epoch = {5}, .pg = 3, .g = 4, .m = 1};
    memset(h->volume.b, 1, 16);
    memset(h->server.b, 2, 16);
    memset(h->owner.b, 3, 16);
    struct hx_bytes piece[2] = {{body, 4}, {body + 4, sizeof body - 4}};
    hx_msg_head_encode(h, piece, 2, buf);
    memcpy(buf + HX_MSG_HEAD, body, sizeof body);
    return HX_MSG_HEAD + sizeof body;
}

/* Promise: a request reads back as it was written. */
static void a_request_reads_back(void **state)
{
    (void)state;
    uint8_t buf[256];
    struct hx_msg_head h, g;
    struct hx_bytes body;
    size_t len = make_request(buf, &h);
    assert_int_equal(hx_msg_decode(buf, len, &g, &body), 0);
    assert_true(g.type == h.type && g.req_id == 77 && g.epoch.v == 5 && g.pg == 3 && g.g == 4 && g.m == 1);
    assert_true(hx_uuid_eq(&g.owner, &h.owner) && hx_uuid_eq(&g.server, &h.server) && hx_uuid_eq(&g.volume, &h.volume));
    assert_int_equal(body.len, 16);
    assert_string_equal((const char *)body.p, "some body bytes");
}

/* Promise: no flipped bit, no truncation and no byte too many gets through, in requests and answers. */
static void damage_is_noticed(void **state)
{
    (void)state;
    uint8_t buf[256];
    struct hx_msg_head h;
    struct hx_bytes body;
    size_t len = make_request(buf, &h);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(hx_msg_decode(buf, len, &h, &body) < 0);
        buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t n = 0; n < len; n++)
        assert_true(hx_msg_decode(buf, n, &h, &body) < 0);
    assert_true(hx_msg_decode(buf, len + 1, &h, &body) < 0);

    struct hx_reply_head r = {.type = HX_MSG_READ, .req_id = 1, .status = HX_E_LAGGING}, s;
    hx_reply_head_encode(&r, NULL, 0, buf);
    assert_int_equal(hx_reply_decode(buf, HX_REPLY_HEAD, &s, &body), 0);
    assert_int_equal(s.status, HX_E_LAGGING);
    for (size_t bit = 0; bit < 8 * HX_REPLY_HEAD; bit++) {
        buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(hx_reply_decode(buf, HX_REPLY_HEAD, &s, &body) < 0);
        buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* Promise: another version says so instead of "damaged", and a body over the limit is refused by its length. */
static void version_and_limit_are_told_apart(void **state)
{
    (void)state;
    uint8_t buf[256];
    struct hx_msg_head h;
    struct hx_bytes body;
    size_t len = make_request(buf, &h);
    hx_put_u16(buf + 4, 2);
    hx_put_u32(buf + HX_MSG_HEAD - 4, hx_crc32c(0, buf, HX_MSG_HEAD - 4));
    assert_int_equal(hx_msg_decode(buf, len, &h, &body), HX_E_VERSION);
    hx_put_u16(buf + 4, 1);
    hx_put_u32(buf + 84, HX_MSG_BODY_MAX + 1);
    hx_put_u32(buf + HX_MSG_HEAD - 4, hx_crc32c(0, buf, HX_MSG_HEAD - 4));
    assert_int_equal(hx_msg_decode(buf, len, &h, &body), HX_E_TOOBIG);
}

/* Promise: an inventory reads back; truncations are refused; counts beyond the bytes allocate nothing. */
static void an_inventory_reads_back(void **state)
{
    (void)state;
    struct hx_inv_entry entry[3] = {
        {{5}, {2}, {1}, HX_INV_CPL, 11}, {{7}, {5}, {1}, 0, 12}, {{9}, {7}, {2}, HX_INV_CPL, 13}};
    struct hx_inv_unknown unknown[1] = {{{20}, HX_LSN_MAX}};
    struct hx_inventory v = {.scl = {7}, .base = {1}, .vdl_hint = {4}, .hydrated = true, .entry_count = 3,
                             .unknown_count = 1, .entries = entry, .unknowns = unknown};
    struct hx_inventory w = {0};
    uint8_t buf[512];
    assert_int_equal(hx_history_push(&v.history, (struct hx_history_entry){{1}, {0}, {0}, 9}), 0);
    struct hx_enc e = hx_enc_init(buf, sizeof buf);
    hx_inventory_encode(&v, &e);
    assert_int_equal(e.err, 0);
    assert_int_equal(e.len, hx_inventory_encoded_len(&v));
    struct hx_dec d = hx_dec_init(buf, e.len);
    assert_int_equal(hx_inventory_decode(&w, &d), 0);
    assert_int_equal(hx_dec_end(&d), 0);
    assert_int_equal(w.entry_count, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_true(w.entries[i].lsn.v == entry[i].lsn.v && w.entries[i].prev.v == entry[i].prev.v &&
                    w.entries[i].epoch.v == entry[i].epoch.v && w.entries[i].flags == entry[i].flags &&
                    w.entries[i].sum == entry[i].sum);
    assert_true(w.hydrated && !w.has_geometry && w.unknowns[0].to.v == UINT64_MAX && w.scl.v == 7);
    for (size_t len = 0; len < e.len; len++) {
        d = hx_dec_init(buf, len);
        assert_true(hx_inventory_decode(&w, &d) < 0);
    }
    hx_put_u32(buf + 26, 0x7fffffff);
    d = hx_dec_init(buf, e.len);
    assert_int_equal(hx_inventory_decode(&w, &d), HX_E_BADMSG);
    assert_int_equal(w.entry_count, 3);
    hx_inventory_fini(&w);
    hx_history_fini(&v.history);
}

/* Promise: the small bodies have exactly the size that the table promises, and read back. */
static void small_bodies_read_back(void **state)
{
    (void)state;
    uint8_t buf[4096];
    struct hx_enc e = hx_enc_init(buf, sizeof buf);
    struct hx_ack a = {3, HX_E_NEED_HISTORY, {9}}, a2;
    hx_ack_encode(&a, &e);
    assert_int_equal(e.len, HX_ACK_BYTES);
    struct hx_read_page r = {HX_READ_ZEROS, 4, {5}}, r2;
    hx_read_page_encode(&r, &e);
    assert_int_equal(e.len, HX_ACK_BYTES + HX_READ_PAGE_BYTES);
    struct hx_gossip_entry g = {1, {2}, {3}}, g2;
    hx_gossip_entry_encode(&g, &e);
    assert_int_equal(e.len, HX_ACK_BYTES + HX_READ_PAGE_BYTES + HX_GOSSIP_ENTRY);
    struct hx_append_head h = {{1}, {2}, HX_APPEND_GOODBYE, 4, "{}"}, h2;
    hx_append_head_encode(&h, &e);
    struct hx_segment_status s = {.pg = 4, .scl = {8}, .state = HX_E_POISONED, .scrub = {1, 2, 3, 4, 5, 6, 7, 8}}, s2;
    strcpy(s.volume_name, "v");
    strcpy(s.writer.text, "{\"pid\":1}");
    hx_segment_status_encode(&s, &e);
    struct hx_dec d = hx_dec_init(buf, e.len);
    hx_ack_decode(&a2, &d);
    hx_read_page_decode(&r2, &d);
    hx_gossip_entry_decode(&g2, &d);
    hx_append_head_decode(&h2, &d);
    hx_segment_status_decode(&s2, &d);
    assert_int_equal(hx_dec_end(&d), 0);
    assert_true(a2.pg == 3 && a2.status == HX_E_NEED_HISTORY && a2.scl.v == 9);
    assert_true(r2.state == HX_READ_ZEROS && r2.crc == 4 && r2.lsn.v == 5);
    assert_true(g2.pg == 1 && g2.top.v == 2 && g2.scl.v == 3);
    assert_true(h2.vdl.v == 1 && h2.floor.v == 2 && h2.flags == HX_APPEND_GOODBYE && h2.frame_count == 4);
    assert_string_equal(h2.info, "{}");
    assert_true(s2.pg == 4 && s2.scl.v == 8 && s2.state == HX_E_POISONED);
    assert_string_equal(s2.writer.text, "{\"pid\":1}");
    assert_memory_equal(&s.scrub, &s2.scrub, sizeof s.scrub);
}

/* Promise: a question for digests reads back; none, or more than the limits, is refused. */
static void digest_questions_are_checked(void **state)
{
    (void)state;
    static const struct {
        uint32_t pages, heads;
        int err;
    } cases[] = {{1, 1, 0}, {64, 1024, 0}, {0, 1, HX_E_BADMSG}, {1, 0, HX_E_BADMSG}, {65, 1, HX_E_BADMSG},
                 {1, 1025, HX_E_BADMSG}};
    for (size_t i = 0; i < HX_ARRAY_LEN(cases); i++) {
        uint8_t buf[HX_DIGEST_ASK];
        struct hx_digest_ask q = {{9}, 7, cases[i].pages, cases[i].heads}, q2;
        struct hx_enc e = hx_enc_init(buf, sizeof buf);
        hx_digest_ask_encode(&q, &e);
        assert_int_equal(e.err, 0);
        assert_int_equal(e.len, HX_DIGEST_ASK);
        struct hx_dec d = hx_dec_init(buf, sizeof buf);
        hx_digest_ask_decode(&q2, &d);
        assert_int_equal(d.err, cases[i].err);
        assert_true(q2.point.v == 9 && q2.first == 7 && q2.pages == q.pages && q2.heads == q.heads);
        d = hx_dec_init(buf, sizeof buf - 1);
        hx_digest_ask_decode(&q2, &d);
        assert_int_equal(d.err, HX_E_EOF);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_reads_back),       cmocka_unit_test(damage_is_noticed),
        cmocka_unit_test(version_and_limit_are_told_apart), cmocka_unit_test(an_inventory_reads_back),
        cmocka_unit_test(small_bodies_read_back),
        cmocka_unit_test(digest_questions_are_checked),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("msg", tests, NULL, NULL);
}
