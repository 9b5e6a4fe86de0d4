/*
 * fuzz_head.c - heads of requests and answers, and the small bodies: what every peer's bytes meet first.
 *
 * The first byte chooses the decoder.  Checked beyond the absence of crashes: what was decoded, encoded and decoded
 * again is the same (identity), an encoding is no longer than its bound, and where a format has no ignored bytes
 * the encoding is the input.
 */
#include "fuzz.h"

#include "hexad/crc.h"
#include "hexad/msg.h"

enum { REQUEST, REPLY, HELLO, APPEND_HEAD, ACK, READ_PAGE, GOSSIP, STATUS, DIGEST, KINDS };

#define LEN_MAX 4200u
static uint8_t out[2 * LEN_MAX];

static void request(const uint8_t *p, size_t len)
{
    struct hx_msg_head h;
    struct hx_bytes body;
    uint8_t again[HX_MSG_HEAD];
    if (hx_msg_decode(p, len, &h, &body))
        return;
    fuzz_check(body.p == p + HX_MSG_HEAD && body.len == len - HX_MSG_HEAD);
    fuzz_check(hx_msg_type_name(h.type)[0] != '\0');
    hx_msg_head_encode(&h, &body, 1, again);
    fuzz_check(memcmp(again, p, sizeof again) == 0);
}

static void reply(const uint8_t *p, size_t len)
{
    struct hx_reply_head h, h2;
    struct hx_bytes body, b2;
    if (hx_reply_decode(p, len, &h, &body))
        return;
    fuzz_check(body.p == p + HX_REPLY_HEAD && body.len == len - HX_REPLY_HEAD && h.status <= 0);
    memcpy(out + HX_REPLY_HEAD, body.p, body.len);
    hx_reply_head_encode(&h, &body, 1, out);
    fuzz_check(hx_reply_decode(out, len, &h2, &b2) == 0 && h2.status == h.status && h2.req_id == h.req_id);
    if (hx_err_to_wire(h.status) == hx_get_u32(p + 16)) /* else a code that we do not know */
        fuzz_check(memcmp(out, p, HX_REPLY_HEAD) == 0);
}

static void hello(const uint8_t *p, size_t len)
{
    struct hx_hello h;
    struct hx_dec d = hx_dec_init(p, len);
    if (hx_hello_decode(&h, &d) || hx_dec_end(&d))
        return;
    struct hx_enc e = hx_enc_init(out, sizeof out);
    hx_hello_encode(&h, &e);
    fuzz_check(e.err == 0 && e.len == len && memcmp(out, p, len) == 0);
}

static void append_head(const uint8_t *p, size_t len)
{
    struct hx_append_head a;
    struct hx_dec d = hx_dec_init(p, len);
    hx_append_head_decode(&a, &d);
    if (d.err)
        return;
    struct hx_enc e = hx_enc_init(out, sizeof out);
    hx_append_head_encode(&a, &e);
    fuzz_check(e.err == 0 && e.len == d.off && memcmp(out, p, d.off) == 0);
}

static void ack(const uint8_t *p, size_t len)
{
    struct hx_dec d = hx_dec_init(p, len);
    struct hx_ack a;
    hx_ack_decode(&a, &d);
    if (d.err)
        return;
    fuzz_check(d.off == HX_ACK_BYTES && a.status <= 0);
    struct hx_enc e = hx_enc_init(out, HX_ACK_BYTES);
    hx_ack_encode(&a, &e);
    struct hx_ack b;
    struct hx_dec f = hx_dec_init(out, e.len);
    hx_ack_decode(&b, &f);
    fuzz_check(!hx_dec_end(&f) && a.pg == b.pg && a.status == b.status && a.scl.v == b.scl.v);
}

static void read_page(const uint8_t *p, size_t len)
{
    struct hx_dec d = hx_dec_init(p, len);
    struct hx_read_page r;
    hx_read_page_decode(&r, &d);
    if (d.err)
        return;
    fuzz_check(d.off == HX_READ_PAGE_BYTES && r.state <= HX_READ_CORRUPT);
    struct hx_enc e = hx_enc_init(out, HX_READ_PAGE_BYTES);
    hx_read_page_encode(&r, &e);
    fuzz_check(e.err == 0 && e.len == HX_READ_PAGE_BYTES && out[0] == p[0] && memcmp(out + 4, p + 4, 12) == 0);
}

static void gossip(const uint8_t *p, size_t len)
{
    struct hx_dec d = hx_dec_init(p, len);
    struct hx_gossip_entry g;
    hx_gossip_entry_decode(&g, &d);
    if (d.err)
        return;
    struct hx_enc e = hx_enc_init(out, HX_GOSSIP_ENTRY);
    hx_gossip_entry_encode(&g, &e);
    fuzz_check(d.off == HX_GOSSIP_ENTRY && e.err == 0 && memcmp(out, p, HX_GOSSIP_ENTRY) == 0);
}

static void status(const uint8_t *p, size_t len)
{
    struct hx_segment_status s, t;
    struct hx_dec d = hx_dec_init(p, len);
    hx_segment_status_decode(&s, &d);
    if (d.err)
        return;
    fuzz_check(s.state <= 0 && strlen(s.volume_name) <= HX_NAME_MAX && strlen(s.writer.text) < HX_WRITER_INFO_MAX);
    struct hx_enc e = hx_enc_init(out, sizeof out);
    hx_segment_status_encode(&s, &e);
    fuzz_check(e.err == 0 && e.len == d.off && e.len <= hx_segment_status_encoded_max());
    struct hx_dec f = hx_dec_init(out, e.len);
    hx_segment_status_decode(&t, &f);
    fuzz_check(!hx_dec_end(&f) && t.state == s.state && t.scl.v == s.scl.v && t.writer.alive == s.writer.alive);
}

static void digest_ask(const uint8_t *p, size_t len)
{
    struct hx_dec d = hx_dec_init(p, len);
    struct hx_digest_ask q;
    hx_digest_ask_decode(&q, &d);
    if (d.err)
        return;
    fuzz_check(d.off == HX_DIGEST_ASK && q.pages >= 1 && q.pages <= HX_DIGEST_PAGES_MAX);
    fuzz_check(q.heads >= 1 && q.heads <= HX_DIGEST_HEADS_MAX);
    struct hx_enc e = hx_enc_init(out, HX_DIGEST_ASK);
    hx_digest_ask_encode(&q, &e);
    fuzz_check(e.err == 0 && memcmp(out, p, HX_DIGEST_ASK) == 0);
}

static void repair(uint8_t *p, size_t len)
{
    if (len == 0)
        return;
    unsigned kind = p[0] % KINDS;
    size_t head = kind == REQUEST ? HX_MSG_HEAD : HX_REPLY_HEAD;
    if (kind > REPLY || len - 1 < head)
        return;
    p++;
    len--;
    hx_put_u32(p, kind == REQUEST ? HX_MSG_MAGIC : HX_REPLY_MAGIC);
    if (p[4] % 16)
        hx_put_u16(p + 4, HX_MSG_VERSION);
    hx_put_u32(p + head - 12, (uint32_t)(len - head));
    hx_put_u32(p + head - 8, hx_crc32c(0, p + head, len - head));
    hx_put_u32(p + head - 4, hx_crc32c(0, p, head - 4));
}

/* Puts P behind the byte that chooses KIND. */
static void seed(unsigned kind, const char *name, const uint8_t *p, size_t len)
{
    static uint8_t b[LEN_MAX + 1];
    b[0] = (uint8_t)kind;
    memcpy(b + 1, p, len);
    fuzz_seed(name, b, len + 1);
}

static const struct hx_writer_info info = {true, 12, {7}, {900}, "{\"host\":\"h\",\"pid\":12,\"mount\":\"/srv/db\"}"};

static void seed_status(void)
{
    struct hx_segment_status s = {.volume = {{5, 6}}, .volume_name = "vol0", .pg = 3, .top = {7}, .promised = {8},
                                  .scl = {900}, .highest = {905}, .vdl = {890}, .gc = {800}, .disk_bytes = 1 << 20,
                                  .pages = 17, .records = 400, .damaged = 1, .state = HX_E_NOSPACE, .writer = info};
    struct hx_enc e = hx_enc_init(out, sizeof out);
    hx_segment_status_encode(&s, &e);
    seed(STATUS, "status", out, e.len);
}

static void seeds(void)
{
    const struct hx_bytes body = {(const uint8_t *)"0123456789abcdef", 16};
    uint8_t b[256];
    for (uint16_t type = HX_MSG_HELLO; type < HX_MSG_TYPE_END; type = (uint16_t)(type + 4)) {
        char name[32] = "request-0";
        name[8] = (char)('0' + type % 10);
        struct hx_msg_head q = {.type = type, .req_id = 77, .volume = {{1}}, .server = {{2}}, .owner = {{3}},
                                .epoch = {type}, .pg = 1, .g = 2, .m = 1};
        hx_msg_head_encode(&q, &body, 1, b);
        memcpy(b + HX_MSG_HEAD, body.p, body.len);
        seed(REQUEST, name, b, HX_MSG_HEAD + body.len);
    }
    struct hx_reply_head r = {.type = HX_MSG_FETCH, .req_id = 77, .status = HX_E_FENCED, .flags = HX_REPLY_MORE,
                              .server = {{2}}, .promised = {9}, .promised_owner = {{3}}};
    hx_reply_head_encode(&r, &body, 1, b);
    memcpy(b + HX_REPLY_HEAD, body.p, body.len);
    seed(REPLY, "reply", b, HX_REPLY_HEAD + body.len);
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_hello_encode(&(struct hx_hello){"a1", "az-a", 1u << 30, 1u << 20}, &e);
    seed(HELLO, "hello", b, e.len);
    struct hx_append_head a = {.vdl = {900}, .floor = {800}, .flags = HX_APPEND_GOODBYE, .frame_count = 2};
    memcpy(a.info, info.text, sizeof a.info);
    e = hx_enc_init(out, sizeof out);
    hx_append_head_encode(&a, &e);
    seed(APPEND_HEAD, "append-head", out, e.len);
    e = hx_enc_init(b, sizeof b);
    hx_ack_encode(&(struct hx_ack){3, HX_E_NEED_HISTORY, {900}}, &e);
    seed(ACK, "ack", b, e.len);
    e = hx_enc_init(b, sizeof b);
    hx_read_page_encode(&(struct hx_read_page){HX_READ_ZEROS, 5, {900}}, &e);
    seed(READ_PAGE, "read-page", b, e.len);
    e = hx_enc_init(b, sizeof b);
    hx_gossip_entry_encode(&(struct hx_gossip_entry){3, {7}, {900}}, &e);
    seed(GOSSIP, "gossip-entry", b, e.len);
    e = hx_enc_init(b, sizeof b);
    hx_digest_ask_encode(&(struct hx_digest_ask){{900}, 64, 64, 1024}, &e);
    seed(DIGEST, "digest-ask", b, e.len);
    seed_status();
}

#define SOURCES "src/core/msg.c include/hexad/msg.h"
#define STATUS_SOURCES SOURCES " src/base/err.c include/hexad/err.h"
static const struct fuzz_decoder decoders[] = {
    [REQUEST] = {"request-head", request, 512, SOURCES},
    [REPLY] = {"reply-head", reply, 512, STATUS_SOURCES},
    [HELLO] = {"hello", hello, 512, SOURCES},
    [APPEND_HEAD] = {"append-head", append_head, 1024, SOURCES},
    [ACK] = {"ack", ack, 64, STATUS_SOURCES},
    [READ_PAGE] = {"read-page", read_page, 64, SOURCES},
    [GOSSIP] = {"gossip-entry", gossip, 64, SOURCES},
    [STATUS] = {"segment-status", status, 1024, STATUS_SOURCES},
    [DIGEST] = {"digest-ask", digest_ask, 64, SOURCES},
    {0}};

const struct fuzz_target fuzz_target = {
    .name = "head", .len_max = LEN_MAX, .decoders = decoders, .repair = repair, .seeds = seeds};
