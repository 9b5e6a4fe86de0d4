/*
 * peer_kit.c - see peer_kit.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "peer_kit.h"

#include "hexad/crc.h"

#include <stdlib.h>

#include "kit_alloc.h"

int hx_peer_call(struct hx_rig *r, struct hx_msg_head h, unsigned role, const char *name, const void *p, size_t len)
{
    struct hx_rig_reply a = {0};
    uint8_t *m = malloc(HX_MSG_HEAD + len);
    struct hx_bytes body = {p, len};
    assert_non_null(m);
    if (hx_uuid_is_zero(&h.volume))
        h.volume = r->geometry.volume;
    if (hx_uuid_is_zero(&h.server))
        h.server = hx_rig_uuid(100);
    h.owner = r->owner;
    hx_msg_head_encode(&h, &body, 1, m);
    if (len)
        memcpy(m + HX_MSG_HEAD, p, len);
    hx_node_request(r->node[0], r->now_ms, 1, ++r->token, 5, role, name, (struct hx_bytes){m, HX_MSG_HEAD + len});
    hx_node_flush(r->node[0]);
    hx_rig_take(r, 0, r->token, &a);
    assert_true(a.came);
    int status = a.head.status;
    hx_rig_reply_fini(&a);
    free(m);
    return status;
}

static struct hx_uuid peer_at(const struct hx_rig *r, const char *url)
{
    unsigned i = 0;
    while (strcmp(r->geometry.servers[i].url, url))
        i++;
    return r->geometry.servers[i].incarnation;
}

size_t hx_peer_questions(struct hx_rig *r, struct hx_peer_question *ret, size_t max)
{
    struct hx_node_effect e;
    size_t n = 0;
    while (n < max && hx_node_next(r->node[0], &e)) {
        if (e.kind != HX_NODE_SEND)
            continue;
        struct hx_peer_question *q = &ret[n++];
        *q = (struct hx_peer_question){.call = e.call, .req_id = hx_get_u64(e.body.p + 8),
                                       .type = hx_get_u16(e.body.p + 6), .pg = hx_get_u32(e.body.p + 72),
                                       .peer = peer_at(r, e.url), .body_len = e.body.len - HX_MSG_HEAD};
        if (q->body_len)
            memcpy(q->body, e.body.p + HX_MSG_HEAD, q->body_len < sizeof q->body ? q->body_len : sizeof q->body);
    }
    return n;
}

struct hx_peer_question hx_peer_wait(struct hx_rig *r, unsigned type)
{
    for (unsigned i = 0; i < 400; i++) {
        struct hx_peer_question all[8];
        r->now_ms += 150;
        hx_node_tick(r->node[0], r->now_ms);
        size_t n = hx_peer_questions(r, all, HX_ARRAY_LEN(all));
        for (size_t k = 0; k < n; k++)
            if (all[k].type == type)
                return all[k];
        for (size_t k = 0; k < n; k++) /* a gossip list without entries: the peer is alive */
            hx_peer_answer(r, &all[k], (struct hx_reply_head){0}, (const uint8_t[4]){0}, 4);
    }
    fail_msg("the server never asked for %s", hx_msg_type_name(type));
    return (struct hx_peer_question){0};
}

void hx_peer_answer(struct hx_rig *r, const struct hx_peer_question *q, struct hx_reply_head h, const void *p,
                    size_t len)
{
    uint8_t *m = malloc(HX_REPLY_HEAD + len);
    struct hx_bytes body = {p, len};
    assert_non_null(m);
    h.type = h.type ? h.type : q->type;
    h.req_id += q->req_id;
    h.server = hx_uuid_is_zero(&h.server) ? q->peer : h.server;
    hx_reply_head_encode(&h, &body, 1, m);
    if (len)
        memcpy(m + HX_REPLY_HEAD, p, len);
    hx_node_answer(r->node[0], r->now_ms, q->call, 0, (struct hx_bytes){m, HX_REPLY_HEAD + len});
    hx_node_flush(r->node[0]);
    free(m);
}

void hx_peer_tell(struct hx_rig *r, const struct hx_peer_question *q, uint32_t pg, uint64_t epoch, uint64_t scl)
{
    uint8_t b[4 + HX_GOSSIP_ENTRY];
    struct hx_enc enc = hx_enc_init(b, sizeof b);
    hx_enc_u32(&enc, 1);
    hx_gossip_entry_encode(&(struct hx_gossip_entry){pg, {epoch}, {scl}}, &enc);
    hx_peer_answer(r, q, (struct hx_reply_head){0}, b, enc.len);
}

struct hx_peer_question hx_peer_provoke(struct hx_rig *r, unsigned type, uint64_t epoch, uint64_t scl)
{
    for (unsigned i = 0; i < 40; i++) {
        struct hx_peer_question q = hx_peer_wait(r, HX_MSG_GOSSIP), all[8];
        hx_peer_tell(r, &q, 1, epoch, scl);
        size_t n = hx_peer_questions(r, all, HX_ARRAY_LEN(all));
        for (size_t k = 0; k < n; k++)
            if (all[k].type == type)
                return all[k];
    }
    fail_msg("the server never asked for %s", hx_msg_type_name(type));
    return (struct hx_peer_question){0};
}

size_t hx_peer_page(uint8_t *b, uint8_t state, uint32_t crc_off, uint64_t lsn, uint8_t byte)
{
    struct hx_enc e = hx_enc_init(b, HX_READ_PAGE_BYTES);
    memset(b + HX_READ_PAGE_BYTES, 0, HX_PAGE_SIZE);
    memset(b + HX_READ_PAGE_BYTES, byte, 8);
    struct hx_read_page p = {state, hx_crc32c(0, b + HX_READ_PAGE_BYTES, HX_PAGE_SIZE) + crc_off, {lsn}};
    hx_read_page_encode(&p, &e);
    return HX_READ_PAGE_BYTES + (state == HX_READ_RAW ? HX_PAGE_SIZE : 0);
}
