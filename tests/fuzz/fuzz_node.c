/*
 * fuzz_node.c - a whole segment server (hexad/node.h) fed with requests by everybody who may connect, and with
 * answers by its peers.
 *
 * The server has two formatted segments with some records.  An input is a list of steps, { u8 what, u8 how, u16
 * length, bytes }: a whole message as it is, a message of a type with a right head around the bytes, an answer to
 * what it asked a peer, time, a closed connection, a restart.  repair makes checksums fit, of frames inside bodies,
 * too.  Steps of our own have numbers from OWN on, so that a new type of message takes none of theirs.
 *
 * Checked: every request is answered exactly once, at the latest after the next flush (N3), with a whole answer that
 * names this server; a server that is started again over its disk opens.
 */
#include "fuzz.h"

#include "hexad/crc.h"
#include "hexad/wish.h"
#include "node_rig.h"

#include <stdlib.h>

#define STEPS_MAX 48u
#define LEN_MAX 8192u
#define PENDING_MAX 16u
#define OWN 128u
enum { RAW = 0, ANSWER = OWN, TICK, CLOSED, RESTART, FLUSH, OWN_END }; /* 1 .. HX_MSG_TYPE_END - 1: types */
_Static_assert(HX_MSG_TYPE_END <= OWN, "a type of message would be a step of ours");

static struct hx_rig rig;
static uint64_t calls[PENDING_MAX]; /* asked of peers, not answered yet */
static uint16_t call_types[PENDING_MAX];
static uint64_t call_ids[PENDING_MAX];
static unsigned call_count;
static uint64_t owed; /* requests not answered yet */

static void take_effects(void)
{
    struct hx_node_effect e;
    struct hx_reply_head h;
    struct hx_bytes body;
    while (hx_node_next(rig.node[0], &e)) {
        if (e.kind == HX_NODE_REPLY) {
            struct hx_uuid self = hx_rig_uuid(100);
            fuzz_check(owed > 0);
            owed--;
            fuzz_check(hx_reply_decode(e.body.p, e.body.len, &h, &body) == 0 && hx_uuid_eq(&h.server, &self));
            continue;
        }
        fuzz_check(e.url && e.name && e.body.len >= HX_MSG_HEAD);
        unsigned slot = call_count < PENDING_MAX ? call_count++ : PENDING_MAX - 1;
        calls[slot] = e.call;
        call_types[slot] = hx_get_u16(e.body.p + 6);
        call_ids[slot] = hx_get_u64(e.body.p + 8);
    }
}

static void flush(void)
{
    hx_node_flush(rig.node[0]);
    take_effects();
    fuzz_check(owed == 0); /* N3 */
}

static unsigned role_of(uint8_t how)
{
    static const unsigned roles[] = {HX_NODE_ROLE_WRITER, HX_NODE_ROLE_SEGMENT, HX_NODE_ROLE_ADMIN,
                                     HX_NODE_ROLE_READER};
    return roles[how & 3];
}

static void request(uint8_t how, const uint8_t *p, size_t len)
{
    owed++;
    hx_node_request(rig.node[0], rig.now_ms, rig.now_ms * 1000, ++rig.token, how >> 6, role_of(how),
                    how & 4 ? "a2" : "w", (struct hx_bytes){p, len});
    take_effects();
}

/* BODY begins with what a right head would say: u8 epoch, then the body. */
static void typed(uint8_t type, uint8_t how, struct fuzz_in body)
{
    uint8_t *p = malloc(HX_MSG_HEAD + body.len);
    struct hx_msg_head h = {.type = type, .req_id = rig.token, .volume = rig.geometry.volume,
                            .server = hx_rig_uuid(100), .owner = hx_rig_uuid(900 + (how >> 5 & 1)), .pg = how >> 3 & 1};
    h.epoch = HX_EPOCH(fuzz_u8(&body));
    struct hx_bytes b = {body.p, body.len};
    fuzz_check(p);
    hx_msg_head_encode(&h, &b, 1, p);
    if (b.len)
        memcpy(p + HX_MSG_HEAD, b.p, b.len);
    request(how, p, HX_MSG_HEAD + b.len);
    free(p);
}

static void answer(uint8_t how, struct fuzz_in body)
{
    if (call_count == 0)
        return;
    unsigned slot = how % call_count;
    uint64_t call = calls[slot];
    struct hx_reply_head h = {.type = call_types[slot], .req_id = call_ids[slot], .server = hx_rig_uuid(101)};
    call_count--;
    calls[slot] = calls[call_count];
    call_types[slot] = call_types[call_count];
    call_ids[slot] = call_ids[call_count];
    if (how & 0x80) {
        hx_node_answer(rig.node[0], rig.now_ms, call, HX_E_TIMEOUT, (struct hx_bytes){NULL, 0});
    } else {
        h.status = hx_err_from_wire(how & 0x40 ? fuzz_u8(&body) : 0);
        h.flags = how >> 5 & 1;
        h.promised = HX_EPOCH(fuzz_u8(&body));
        uint8_t *p = malloc(HX_REPLY_HEAD + body.len);
        struct hx_bytes b = {body.p, body.len};
        fuzz_check(p);
        hx_reply_head_encode(&h, &b, 1, p);
        if (b.len)
            memcpy(p + HX_REPLY_HEAD, b.p, b.len);
        hx_node_answer(rig.node[0], rig.now_ms, call, 0, (struct hx_bytes){p, HX_REPLY_HEAD + b.len});
        free(p);
    }
    take_effects();
}

static uint8_t what_of(uint8_t b)
{
    return (uint8_t)(b < OWN ? b % HX_MSG_TYPE_END : OWN + (b - OWN) % (OWN_END - OWN));
}

static void one_step(struct fuzz_in *in)
{
    uint8_t what = what_of(fuzz_u8(in)), how = fuzz_u8(in);
    struct hx_bytes b = fuzz_take(in, fuzz_u16(in));
    struct fuzz_in body = {b.p, b.len};
    switch (what) {
    case RAW:
        request(how, b.p, b.len);
        break;
    case ANSWER:
        answer(how, body);
        break;
    case TICK:
        rig.now_ms += (uint64_t)how * 20;
        hx_node_tick(rig.node[0], rig.now_ms);
        take_effects();
        break;
    case CLOSED:
        hx_node_closed(rig.node[0], rig.now_ms, how >> 6);
        break;
    case RESTART:
        flush();
        hx_rig_stop(&rig, 0);
        call_count = 0;
        if (how & 1)
            hx_mem_crash(rig.farm[0], how);
        fuzz_check(hx_rig_start(&rig, 0) == 0);
        break;
    case FLUSH:
        flush();
        break;
    default:
        typed(what, how, body);
    }
}

static void begin(void)
{
    if (!rig.builder)
        hx_rig_init(&rig, 1, HX_PG_SIZE_MIN, 2, 16384);
    hx_frame_builder_free(rig.builder); /* it remembers what compressed badly (F1) */
    fuzz_check(hx_frame_builder_new(&rig.builder) == 0);
    hx_rig_stop(&rig, 0);
    hx_mem_wipe(rig.farm[0]);
    rig.now_ms = 1000;
    rig.token = owed = 0;
    call_count = 0;
    fuzz_check(hx_rig_start(&rig, 0) == 0);
    fuzz_check(hx_rig_format(&rig, 0, 0) == 0 && hx_rig_format(&rig, 0, 1) == 0);
    size_t n = hx_rig_run(&rig, 0, 1, 0, 1, 12, 0);
    fuzz_check(hx_rig_append(&rig, 0, 1, 0, 0, rig.frame, n, NULL) == 0);
    n = hx_rig_run(&rig, 0, 1, 12, 13, 4, 12);
    fuzz_check(hx_rig_append(&rig, 0, 1, 12, 6, rig.frame, n, NULL) == 0);
}

static void run(const uint8_t *p, size_t len)
{
    struct fuzz_in in = {p, len};
    begin();
    for (unsigned i = 0; i < STEPS_MAX && in.len; i++)
        one_step(&in);
    flush();
    for (unsigned i = 0; i < 4; i++) {
        hx_node_tick(rig.node[0], rig.now_ms += 700);
        flush();
    }
    hx_rig_stop(&rig, 0);
    fuzz_check(hx_rig_start(&rig, 0) == 0);
    hx_rig_stop(&rig, 0);
}

/* ---- repair ---- */
static void repair_frames(uint8_t *p, size_t len)
{
    struct hx_uuid volume = hx_rig_uuid(500);
    for (size_t at = 0; at + HX_FRAME_HEAD <= len; at++) {
        if (hx_get_u32(p + at) != HX_FRAME_MAGIC)
            continue;
        uint8_t *f = p + at;
        uint32_t body = hx_get_u32(f + 100);
        if (body > len - at - HX_FRAME_HEAD)
            hx_put_u32(f + 100, body = (uint32_t)(len - at - HX_FRAME_HEAD));
        hx_put_u16(f + 4, 1);
        f[6] &= 1;
        f[7] = 0;
        if (f[8])
            memcpy(f + 8, volume.b, 16);
        f[24] &= 1;
        memset(f + 25, 0, 3);
        if (!f[6])
            hx_put_u32(f + 96, body);
        hx_put_u32(f + 104, hx_crc32c(0, f + HX_FRAME_HEAD, body));
        hx_put_u32(f + 108, hx_crc32c(0, f, 108));
        at += HX_FRAME_HEAD + body - 1;
    }
}

static void repair_message(uint8_t *p, size_t len)
{
    struct hx_uuid volume = hx_rig_uuid(500), server = hx_rig_uuid(100);
    if (len < HX_MSG_HEAD)
        return;
    hx_put_u32(p, HX_MSG_MAGIC);
    if (p[4] % 8)
        hx_put_u16(p + 4, 1);
    if (p[16] % 8)
        memcpy(p + 16, volume.b, 16);
    if (p[32] % 8)
        memcpy(p + 32, server.b, 16);
    hx_put_u32(p + 84, (uint32_t)(len - HX_MSG_HEAD));
    hx_put_u32(p + 88, hx_crc32c(0, p + HX_MSG_HEAD, len - HX_MSG_HEAD));
    hx_put_u32(p + 92, hx_crc32c(0, p, 92));
}

static void repair(uint8_t *p, size_t len)
{
    for (size_t at = 0; at + 4 <= len;) {
        size_t n = hx_get_u16(p + at + 2);
        uint8_t what = what_of(p[at]);
        at += 4;
        n = n < len - at ? n : len - at;
        repair_frames(p + at, n);
        if (what == RAW)
            repair_message(p + at, n);
        at += n;
    }
}

/* ---- seeds ---- */
static uint8_t script[LEN_MAX];
static size_t script_len;

static void step(uint8_t what, uint8_t how, const void *p, size_t len)
{
    fuzz_check(script_len + 4 + len <= sizeof script);
    script[script_len] = what;
    script[script_len + 1] = how;
    hx_put_u16(script + script_len + 2, (uint16_t)len);
    if (len)
        memcpy(script + script_len + 4, p, len);
    script_len += 4 + len;
}

static void finish(const char *name)
{
    fuzz_seed(name, script, script_len);
    script_len = 0;
}

static void seed_append(void)
{
    uint8_t b[4000] = {1};
    struct hx_append_head h = {.vdl = {16}, .floor = {12}, .frame_count = 1};
    memcpy(h.info, "{\"pid\":1}", 10);
    struct hx_enc e = hx_enc_init(b + 1, sizeof b - 1);
    hx_append_head_encode(&h, &e);
    hx_enc_bytes(&e, rig.frame, hx_rig_run(&rig, 0, 1, 16, 17, 6, 16));
    step(HX_MSG_APPEND, 0, b, 1 + e.len);
    step(FLUSH, 0, NULL, 0);
    e = hx_enc_init(b + 1, sizeof b - 1);
    hx_append_head_encode(&h, &e);
    hx_enc_bytes(&e, rig.frame, hx_rig_run(&rig, 1, 1, 0, 23, 3, 16));
    step(HX_MSG_APPEND, 8, b, 1 + e.len);
    step(TICK, 100, NULL, 0);
    step(RESTART, 1, NULL, 0);
    finish("append");
}

static void seed_recovery(void)
{
    uint8_t b[4000] = {3}, fetch[22] = {3};
    struct hx_history h = {0};
    fuzz_check(!hx_history_push(&h, (struct hx_history_entry){{1}, {0}, {0}, HX_RIG_LAL}));
    step(HX_MSG_FENCE, 0, b, 1);
    hx_put_u64(fetch + 9, 100);
    hx_put_u32(fetch + 17, 4096);
    fetch[21] = 1;
    step(HX_MSG_FETCH, 0, fetch, sizeof fetch);
    fuzz_check(!hx_history_push(&h, (struct hx_history_entry){{3}, {16}, {1016}, HX_RIG_LAL}));
    struct hx_enc e = hx_enc_init(b + 1, sizeof b - 1);
    hx_history_encode(&h, &e);
    step(HX_MSG_ADOPT, 0, b, 1 + e.len);
    hx_enc_bytes(&e, rig.frame, hx_rig_run(&rig, 0, 1, 12, 13, 4, 12));
    step(HX_MSG_REPAIR, 0, b, 1 + e.len);
    e = hx_enc_init(b + 1, sizeof b - 1);
    hx_geometry_encode(&rig.geometry, &e);
    step(HX_MSG_GEOMETRY, 0, b, 1 + e.len);
    hx_history_encode(&h, &e);
    step(HX_MSG_FORMAT, 8, b, 1 + e.len);
    finish("recovery");
    hx_history_fini(&h);
}

/* Newer lists of group 1: with this server (MEMBERS), then without it (DELETE), then a learner over the tombstone. */
static void seed_members(void)
{
    uint8_t b[4000] = {4};
    struct hx_geometry g = {0}, slice = {0};
    fuzz_check(!hx_geometry_copy(&g, &rig.geometry));
    g.epoch = HX_EPOCH(4);
    g.m++;
    fuzz_check(!hx_geometry_slice(&g, 1, &slice));
    struct hx_enc e = hx_enc_init(b + 1, sizeof b - 1);
    hx_geometry_encode(&slice, &e);
    hx_geometry_fini(&slice);
    step(HX_MSG_FENCE, 8, b, 1);
    step(HX_MSG_MEMBERS, 8, b, 1 + e.len);
    step(FLUSH, 0, NULL, 0);
    struct hx_server s = g.servers[0];
    memcpy(s.name, "a3", 3);
    s.incarnation = hx_rig_uuid(106);
    fuzz_check(!hx_geometry_add_server(&g, &s));
    g.pgs[1].server[0] = (uint16_t)(g.server_count - 1);
    g.m++;
    e = hx_enc_init(b + 1, sizeof b - 1);
    hx_geometry_encode(&g, &e);
    size_t list = e.len;
    hx_enc_u64(&e, 1);
    step(HX_MSG_DELETE, 8, b, 1 + e.len);
    step(HX_MSG_READ, 8, b, 25);
    step(FLUSH, 0, NULL, 0);
    step(HX_MSG_DELETE, 8, b, 1 + e.len);
    step(RESTART, 1, NULL, 0);
    e.len = list;
    hx_history_encode(&rig.history, &e);
    hx_enc_u8(&e, 1);
    step(HX_MSG_FORMAT, 8, b, 1 + e.len);
    step(TICK, 100, NULL, 0);
    fuzz_check(!e.err);
    finish("members");
    hx_geometry_fini(&g);
}

static void seed_rest(void)
{
    uint8_t b[64] = {1};
    hx_put_u64(b + 1, 16);
    hx_put_u32(b + 9, 3);
    hx_put_u32(b + 13, 1);
    hx_put_u32(b + 17, 2);
    hx_put_u32(b + 21, 15);
    step(HX_MSG_READ, 0, b, 25);
    step(HX_MSG_HELLO, 0, b, 1);
    memcpy(b + 1, "\4\0vol0", 6);
    step(HX_MSG_LOOKUP, 0, b, 7);
    step(HX_MSG_STATUS, 0, b, 1);
    step(HX_MSG_HISTORY, 1, b, 1);
    step(HX_MSG_SCRUB, 0, b, 1);
    step(TICK, 100, NULL, 0);
    finish("questions");
    struct hx_enc e = hx_enc_init(b + 1, sizeof b - 1);
    struct hx_wish wish = {.kind = HX_WISH_DRAIN, .epoch = {1}, .g = 2, .server.name = "a2"};
    hx_wish_encode(&wish, &e);
    step(HX_MSG_WISH, 0, b, 1 + e.len);
    step(HX_MSG_WISH, 0, b, 1);
    step(TICK, 100, NULL, 0);
    finish("wish");
    hx_put_u64(b + 1, 16);
    hx_put_u32(b + 9, 2);
    hx_put_u32(b + 13, 8);
    hx_put_u32(b + 17, 40);
    step(HX_MSG_DIGEST, 1, b, 21);
    step(HX_MSG_SCRUB, 0, b, 1);
    for (unsigned i = 0; i < 12; i++) { /* what the peers that it asks say of its pages */
        step(TICK, 100, NULL, 0);
        step(ANSWER, 0, b, 33);
    }
    finish("digest");
    hx_put_u32(b + 1, 1);
    hx_put_u32(b + 5, 0);
    hx_put_u64(b + 9, 1);
    hx_put_u64(b + 17, 40);
    step(HX_MSG_GOSSIP, 5, b, 25);
    for (unsigned i = 0; i < 6; i++) {
        step(TICK, 40, NULL, 0);
        step(ANSWER, 0, b, 25);
    }
    uint8_t f[2000] = {1};
    size_t n = hx_rig_run(&rig, 0, 1, 16, 17, 24, 16);
    memcpy(f + 1, rig.frame, n);
    step(ANSWER, 0, f, 1 + n);
    step(FLUSH, 0, NULL, 0);
    finish("gossip");
    struct hx_msg_head q = {.type = HX_MSG_STATUS, .req_id = 7};
    uint8_t m[HX_MSG_HEAD];
    hx_msg_head_encode(&q, NULL, 0, m);
    step(RAW, 0, m, sizeof m);
    step(RAW, 0, m, 20);
    step(CLOSED, 0, NULL, 0);
    finish("raw");
}

static void seeds(void)
{
    begin();
    seed_append();
    seed_recovery();
    seed_members();
    seed_rest();
}

const struct fuzz_target fuzz_target = {
    .name = "node", .len_max = LEN_MAX, .run = run, .repair = repair, .seeds = seeds, .sources = "src/core src/store"};
