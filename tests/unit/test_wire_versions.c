/*
 * test_wire_versions.c - conversations of every protocol version that ever was, kept in tests/golden, against the
 * program as it is; and what both ends do about a version that they do not know.
 *
 * Promises (doc/PROTOCOL.md, "Versions"): a program understands every message of the version before its own; a server
 * answers such a client as a server of that version did, byte by byte, and what a program of today says of things that
 * the older version has words for, it says in the same bytes.  Another version is refused, by its number.
 * Method: `test_wire_versions --write FILE` asks a server in memory something of each kind and writes down requests and
 * answers.  A conversation is never made again: it is what that version said.  Lines: "ask ROLE HEX", "say HEX".
 * Of STATUS and SCRUB the answer depends on how the store lays out its files, of HELLO on nothing that counts: their
 * figures may differ, their length may not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hexad/crc.h"
#include "node_rig.h"

#include <stdio.h>
#include <stdlib.h>

#define PG_BYTES (1u << 20)
#define LINE_MAX_BYTES (1u << 20)
#define RECORDS 20u

static const char *const conversations[] = {"wire-1.txt"};

/* ---- one message of each kind ---- */
struct talk {
    struct hx_rig *rig;
    FILE *out;
};

static void put_hex(FILE *f, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        fprintf(f, "%02x", p[i]);
    fputc('\n', f);
}

/* What the server answers to these bytes. */
static struct hx_rig_reply answer(struct hx_rig *r, unsigned role, const uint8_t *p, size_t len)
{
    struct hx_rig_reply a = {0};
    r->token++;
    hx_node_request(r->node[0], r->now_ms, r->now_ms * 1000, r->token, 1, role,
                    role == HX_NODE_ROLE_SEGMENT ? "a2" : "w", (struct hx_bytes){p, len});
    hx_node_flush(r->node[0]);
    hx_rig_take(r, 0, r->token, &a);
    assert_true(a.came);
    return a;
}

static void ask(struct talk *t, unsigned role, unsigned type, uint32_t pg, uint64_t epoch, const struct hx_enc *e)
{
    static uint8_t p[LINE_MAX_BYTES];
    struct hx_rig *r = t->rig;
    struct hx_bytes body = {e ? e->p : NULL, e ? e->len : 0};
    struct hx_msg_head h = {.type = (uint16_t)type, .req_id = 77, .volume = r->geometry.volume, .pg = pg,
                            .server = hx_rig_uuid(100), .owner = r->owner, .epoch = HX_EPOCH(epoch), .g = 2, .m = 0};
    assert_true(!e || !e->err);
    hx_msg_head_encode(&h, &body, e ? 1 : 0, p);
    if (body.len)
        memcpy(p + HX_MSG_HEAD, body.p, body.len);
    struct hx_rig_reply a = answer(r, role, p, HX_MSG_HEAD + body.len);
    fprintf(t->out, "ask %u ", role);
    put_hex(t->out, p, HX_MSG_HEAD + body.len);
    fprintf(t->out, "say ");
    put_hex(t->out, a.bytes, HX_REPLY_HEAD + a.body.len);
    hx_rig_reply_fini(&a);
}

#define W HX_NODE_ROLE_WRITER
#define S HX_NODE_ROLE_SEGMENT
#define BODY(e) (e = hx_enc_init(b, sizeof b), &e)

static void ask_about_the_volume(struct talk *t)
{
    static uint8_t b[LINE_MAX_BYTES];
    struct hx_enc e;
    ask(t, HX_NODE_ROLE_ADMIN, HX_MSG_HELLO, 0, 0, NULL);
    for (uint32_t i = 0; i < 3; i++) { /* the last one: of a learner, which a member refuses to be */
        hx_geometry_encode(&t->rig->geometry, BODY(e));
        hx_history_encode(&t->rig->history, &e);
        if (i == 2)
            hx_enc_u8(&e, 1);
        ask(t, W, HX_MSG_FORMAT, i > 0, 1, &e);
    }
    for (int i = 0; i < 2; i++) {
        hx_enc_str(BODY(e), i ? "nobody" : t->rig->geometry.name);
        ask(t, W, HX_MSG_LOOKUP, 0, 0, &e);
    }
    hx_geometry_encode(&t->rig->geometry, BODY(e));
    ask(t, W, HX_MSG_GEOMETRY, 0, 1, &e);
}

static void ask_to_keep(struct talk *t)
{
    static uint8_t b[LINE_MAX_BYTES];
    struct hx_enc e;
    struct hx_append_head h = {.vdl = HX_LSN(0), .floor = HX_LSN(0), .frame_count = 1, .info = "{\"pid\":1}"};
    size_t n = hx_rig_run(t->rig, 0, 1, 0, 1, RECORDS, 0);
    hx_append_head_encode(&h, BODY(e));
    hx_enc_bytes(&e, t->rig->frame, n);
    ask(t, W, HX_MSG_APPEND, 0, 1, &e);
    h = (struct hx_append_head){.vdl = HX_LSN(RECORDS), .floor = HX_LSN(0)};
    hx_append_head_encode(&h, BODY(e));
    ask(t, W, HX_MSG_APPEND, 0, 1, &e);
}

static void ask_what_is_kept(struct talk *t)
{
    static uint8_t b[LINE_MAX_BYTES];
    struct hx_enc e;
    hx_enc_u64(BODY(e), RECORDS);
    hx_enc_u32(&e, 2);
    hx_enc_u32(&e, 3);
    hx_enc_u32(&e, 200); /* never written */
    ask(t, W, HX_MSG_READ, 0, 1, &e);
    hx_digest_ask_encode(&(struct hx_digest_ask){HX_LSN(RECORDS), 0, 16, 3}, BODY(e));
    ask(t, S, HX_MSG_DIGEST, 0, 1, &e);
    hx_enc_u64(BODY(e), 4);
    hx_enc_u64(&e, RECORDS);
    hx_enc_u32(&e, 1u << 20);
    hx_enc_u8(&e, 0);
    ask(t, S, HX_MSG_FETCH, 0, 1, &e);
    hx_enc_u32(BODY(e), 1);
    hx_gossip_entry_encode(&(struct hx_gossip_entry){0, HX_EPOCH(1), HX_LSN(7)}, &e);
    ask(t, S, HX_MSG_GOSSIP, 0, 1, &e);
    ask(t, S, HX_MSG_HISTORY, 0, 1, NULL);
    ask(t, HX_NODE_ROLE_ADMIN, HX_MSG_STATUS, 0, 0, NULL);
    ask(t, HX_NODE_ROLE_ADMIN, HX_MSG_SCRUB, 0, 0, NULL);
}

static void ask_as_an_opening_does(struct talk *t)
{
    static uint8_t b[LINE_MAX_BYTES];
    struct hx_enc e;
    struct hx_history h = {0};
    uint64_t end = RECORDS + HX_RIG_LAL;
    size_t n = hx_rig_run(t->rig, 0, 1, RECORDS, RECORDS + 1, 3, RECORDS); /* above the hint: listed by FENCE */
    hx_append_head_encode(&(struct hx_append_head){.vdl = HX_LSN(RECORDS), .frame_count = 1}, BODY(e));
    hx_enc_bytes(&e, t->rig->frame, n);
    ask(t, W, HX_MSG_APPEND, 0, 1, &e);
    ask(t, W, HX_MSG_FENCE, 0, 2, NULL);
    hx_enc_u64(BODY(e), RECORDS);
    hx_enc_u64(&e, UINT64_MAX);
    hx_enc_u32(&e, 1u << 20);
    hx_enc_u8(&e, 1);
    ask(t, W, HX_MSG_FETCH, 0, 2, &e);
    assert_int_equal(hx_history_copy(&h, &t->rig->history), 0);
    assert_int_equal(hx_history_push(&h, (struct hx_history_entry){HX_EPOCH(2), HX_LSN(RECORDS + 3), HX_LSN(end),
                                                                   HX_RIG_LAL}), 0);
    n = hx_rig_run(t->rig, 0, 1, RECORDS, RECORDS + 1, 3, RECORDS);
    hx_history_encode(&h, BODY(e));
    hx_enc_bytes(&e, t->rig->frame, n);
    ask(t, W, HX_MSG_REPAIR, 0, 2, &e);
    hx_history_encode(&h, BODY(e));
    ask(t, W, HX_MSG_ADOPT, 0, 2, &e);
    hx_append_head_encode(&(struct hx_append_head){.vdl = HX_LSN(RECORDS)}, BODY(e)); /* of the fenced one */
    ask(t, W, HX_MSG_APPEND, 0, 1, &e);
    hx_history_fini(&h);
}

static struct hx_rig *start(void)
{
    struct hx_rig *r = malloc(sizeof *r);
    assert_non_null(r);
    hx_rig_init(r, 1, PG_BYTES, 2, 1u << 20);
    return r;
}

static void stop(struct hx_rig *r)
{
    hx_rig_fini(r);
    free(r);
}

static int make(const char *path)
{
    struct talk t = {start(), fopen(path, "w")};
    if (!t.out)
        return 1;
    ask_about_the_volume(&t);
    ask_to_keep(&t);
    ask_what_is_kept(&t);
    ask_as_an_opening_does(&t);
    stop(t.rig);
    return fclose(t.out) ? 1 : 0;
}

/* ---- what was written down ---- */
struct line {
    bool reply;
    unsigned role;
    uint8_t *p;
    size_t len;
};

static uint8_t nibble(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static FILE *open_conversation(const char *name)
{
    char path[1024];
    const char *source = getenv("HEXAD_SOURCE");
    snprintf(path, sizeof path, "%s/tests/golden/%s", source ? source : ".", name);
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("cannot open %s", path);
    return f;
}

static bool next_line(FILE *f, struct line *ret)
{
    static char text[2 * LINE_MAX_BYTES];
    static uint8_t bytes[2][LINE_MAX_BYTES];
    int at = 0;
    if (!fgets(text, sizeof text, f))
        return false;
    *ret = (struct line){.reply = !strncmp(text, "say ", 4)};
    if (ret->reply)
        at = 4;
    else
        assert_int_equal(sscanf(text, "ask %u %n", &ret->role, &at), 1);
    ret->p = bytes[ret->reply];
    for (const char *c = text + at; c[0] > ' '; c += 2)
        ret->p[ret->len++] = (uint8_t)(nibble(c[0]) << 4 | nibble(c[1]));
    return true;
}

/* ---- a body, understood and said again ---- */
static void again_geometry(struct hx_dec *d, struct hx_enc *e)
{
    struct hx_geometry g = {0};
    assert_int_equal(hx_geometry_decode(&g, d), 0);
    assert_string_equal(g.name, "vol0");
    assert_true(g.g == 2 && g.server_count == HX_COPIES && !strcmp(g.servers[5].zone, "az-c") &&
                g.pgs[1].server[5] == 5);
    hx_geometry_encode(&g, e);
    hx_geometry_fini(&g);
}

static void again_history(struct hx_dec *d, struct hx_enc *e)
{
    struct hx_history h = {0};
    assert_int_equal(hx_history_decode(&h, d), 0);
    assert_true(h.count >= 1 && h.e[0].lal == HX_RIG_LAL);
    hx_history_encode(&h, e);
    hx_history_fini(&h);
}

/* Frames are handed on as they came; so they must open. */
static void again_frames(struct hx_dec *d, struct hx_enc *e)
{
    static uint8_t buf[HX_FRAME_RAW_MAX];
    while (d->off < d->len) {
        struct hx_frame_head h;
        struct hx_frame_walk w;
        struct hx_rec rec;
        const uint8_t *raw, *at = d->p + d->off;
        unsigned n = 0;
        assert_int_equal(hx_frame_head_decode(at, d->len - d->off, &h), 0);
        assert_true(hx_frame_bytes(&h) <= d->len - d->off);
        assert_int_equal(hx_frame_body(&h, at + HX_FRAME_HEAD, buf, &raw), 0);
        hx_frame_walk_init(&w, &h, raw);
        while (hx_frame_walk_next(&w, &rec) == 1) {
            n++;
            assert_true(rec.kind == HX_REC_SPARSE && rec.len == 12 && hx_get_u64(rec.payload + 4) == rec.lsn.v);
        }
        assert_true(n > 0);
        hx_enc_bytes(e, hx_dec_bytes(d, hx_frame_bytes(&h)), hx_frame_bytes(&h));
    }
}

static void again_numbers(struct hx_dec *d, struct hx_enc *e, const char *kinds)
{
    for (; *kinds; kinds++) {
        if (*kinds == '8')
            hx_enc_u64(e, hx_dec_u64(d));
        else if (*kinds == '4')
            hx_enc_u32(e, hx_dec_u32(d));
        else
            hx_enc_u8(e, hx_dec_u8(d));
    }
}

static void again_list(struct hx_dec *d, struct hx_enc *e, void (*one)(struct hx_dec *d, struct hx_enc *e))
{
    uint32_t n = hx_dec_u32(d);
    assert_true(n > 0);
    for (hx_enc_u32(e, n); n; n--)
        one(d, e);
}

static void again_gossip(struct hx_dec *d, struct hx_enc *e)
{
    struct hx_gossip_entry g;
    hx_gossip_entry_decode(&g, d);
    hx_gossip_entry_encode(&g, e);
}

static void again_status(struct hx_dec *d, struct hx_enc *e)
{
    struct hx_segment_status s;
    hx_segment_status_decode(&s, d);
    assert_string_equal(s.volume_name, "vol0");
    hx_segment_status_encode(&s, e);
}

static void again_page(struct hx_dec *d, struct hx_enc *e)
{
    struct hx_read_page r;
    hx_read_page_decode(&r, d);
    hx_read_page_encode(&r, e);
}

static void again_ack(struct hx_dec *d, struct hx_enc *e)
{
    struct hx_ack a;
    hx_ack_decode(&a, d);
    hx_ack_encode(&a, e);
}

static void again_append(struct hx_dec *d, struct hx_enc *e)
{
    struct hx_append_head h;
    hx_append_head_decode(&h, d);
    hx_append_head_encode(&h, e);
    again_frames(d, e);
}

static void again_request(unsigned type, struct hx_dec *d, struct hx_enc *e)
{
    char name[HX_NAME_MAX + 1];
    struct hx_digest_ask q;
    switch (type) {
    case HX_MSG_LOOKUP:
        hx_dec_str(d, name, sizeof name);
        hx_enc_str(e, name);
        break;
    case HX_MSG_FORMAT:
        again_geometry(d, e);
        again_history(d, e);
        again_numbers(d, e, d->off < d->len ? "1" : "");
        break;
    case HX_MSG_FETCH: again_numbers(d, e, "8841"); break;
    case HX_MSG_REPAIR:
        again_history(d, e);
        again_frames(d, e);
        break;
    case HX_MSG_ADOPT: again_history(d, e); break;
    case HX_MSG_GEOMETRY: again_geometry(d, e); break;
    case HX_MSG_APPEND: again_append(d, e); break;
    case HX_MSG_READ: again_numbers(d, e, "8444"); break;
    case HX_MSG_GOSSIP: again_list(d, e, again_gossip); break;
    case HX_MSG_DIGEST:
        hx_digest_ask_decode(&q, d);
        hx_digest_ask_encode(&q, e);
        break;
    default: break; /* HELLO, FENCE, HISTORY, STATUS, SCRUB: nothing */
    }
}

static void again_lookup(struct hx_dec *d, struct hx_enc *e)
{
    struct hx_lookup l = {0};
    assert_int_equal(hx_lookup_decode(&l, d), 0);
    hx_lookup_encode(&l, e);
    hx_geometry_fini(&l.geometry);
}

static void again_inventory(struct hx_dec *d, struct hx_enc *e)
{
    struct hx_inventory v = {0};
    assert_int_equal(hx_inventory_decode(&v, d), 0);
    assert_true(v.entry_count == 3 && v.has_geometry && v.hydrated && v.scl.v == RECORDS + 3);
    hx_inventory_encode(&v, e);
    hx_inventory_fini(&v);
}

static void again_reply(unsigned type, struct hx_dec *d, struct hx_enc *e)
{
    struct hx_hello h;
    switch (type) {
    case HX_MSG_HELLO:
        assert_int_equal(hx_hello_decode(&h, d), 0);
        hx_hello_encode(&h, e);
        break;
    case HX_MSG_LOOKUP: again_lookup(d, e); break;
    case HX_MSG_FENCE: again_inventory(d, e); break;
    case HX_MSG_FETCH: again_frames(d, e); break;
    case HX_MSG_REPAIR: again_numbers(d, e, "8"); break;
    case HX_MSG_ADOPT: again_numbers(d, e, "88"); break;
    case HX_MSG_APPEND:
        while (d->off < d->len)
            again_ack(d, e);
        break;
    case HX_MSG_READ:
        again_page(d, e);
        again_page(d, e);
        hx_enc_bytes(e, hx_dec_bytes(d, HX_PAGE_SIZE), HX_PAGE_SIZE);
        break;
    case HX_MSG_GOSSIP: again_list(d, e, again_gossip); break;
    case HX_MSG_HISTORY: again_history(d, e); break;
    case HX_MSG_STATUS:
    case HX_MSG_SCRUB: again_list(d, e, again_status); break;
    case HX_MSG_DIGEST:
        while (d->off < d->len)
            again_page(d, e);
        break;
    default: break;
    }
}

/* ---- promises ---- */

/* Promise: every request and answer of the version before is understood, and what it says is said in the same bytes
 * today; there is one of each kind. */
static void older_messages_are_understood(void **state)
{
    (void)state;
    static uint8_t out[LINE_MAX_BYTES];
    for (size_t c = 0; c < HX_ARRAY_LEN(conversations); c++) {
        bool seen[2][HX_MSG_TYPE_END] = {{false}};
        FILE *f = open_conversation(conversations[c]);
        struct line l;
        while (next_line(f, &l)) {
            struct hx_msg_head q = {0};
            struct hx_reply_head a = {0};
            struct hx_bytes body;
            struct hx_enc e = hx_enc_init(out, sizeof out);
            assert_int_equal(l.reply ? hx_reply_decode(l.p, l.len, &a, &body) : hx_msg_decode(l.p, l.len, &q, &body),
                             0);
            unsigned type = l.reply ? a.type : q.type;
            struct hx_dec d = hx_dec_init(body.p, body.len);
            if (!l.reply)
                again_request(type, &d, &e);
            else if (!a.status)
                again_reply(type, &d, &e);
            if (!(l.reply && a.status) && (hx_dec_end(&d) || e.err || e.len != body.len || memcmp(out, body.p, e.len)))
                fail_msg("%s: %s of %s is said differently today", conversations[c],
                         l.reply ? "the answer" : "the request",
                         hx_msg_type_name(type));
            seen[l.reply][type] |= !(l.reply && a.status);
        }
        fclose(f);
        for (unsigned t = HX_MSG_HELLO; t <= HX_MSG_DIGEST; t++)
            if (!seen[0][t] || !seen[1][t])
                fail_msg("%s has no %s", conversations[c], hx_msg_type_name(t));
    }
}

/* Promise: a server answers a client of the version before as a server of that version did. */
static void an_older_client_is_answered_in_its_words(void **state)
{
    (void)state;
    for (size_t c = 0; c < HX_ARRAY_LEN(conversations); c++) {
        struct hx_rig *r = start();
        FILE *f = open_conversation(conversations[c]);
        struct line q, a;
        unsigned n = 0;
        while (next_line(f, &q)) {
            assert_true(!q.reply && next_line(f, &a) && a.reply);
            struct hx_rig_reply now = answer(r, q.role, q.p, q.len);
            unsigned type = hx_get_u16(q.p + 6);
            bool figures = type == HX_MSG_STATUS || type == HX_MSG_SCRUB || type == HX_MSG_HELLO;
            if (HX_REPLY_HEAD + now.body.len != a.len || (!figures && memcmp(now.bytes, a.p, a.len)))
                fail_msg("%s: message %u, %s: answered differently today", conversations[c], n, hx_msg_type_name(type));
            assert_int_equal(hx_get_u16(now.bytes + 4), hx_get_u16(a.p + 4));
            hx_rig_reply_fini(&now);
            n++;
        }
        assert_true(n >= HX_MSG_DIGEST);
        fclose(f);
        stop(r);
    }
}

/* The first request of the conversation as a program of VERSION would send it. */
static size_t request_of(unsigned version, uint8_t *ret)
{
    FILE *f = open_conversation(conversations[0]);
    struct line l;
    assert_true(next_line(f, &l));
    fclose(f);
    memcpy(ret, l.p, l.len);
    hx_put_u16(ret + 4, (uint16_t)version);
    hx_put_u32(ret + HX_MSG_HEAD - 4, hx_crc32c(0, ret, HX_MSG_HEAD - 4));
    return l.len;
}

/* Promise: a server refuses requests of a version that it does not know, older or newer, in an answer that such a
 * client can read: it names the server's version, and who is to be upgraded. */
static void a_server_refuses_other_versions(void **state)
{
    (void)state;
    struct hx_rig *r = start();
    static const unsigned versions[] = {0, HX_MSG_VERSION + 1, HX_MSG_VERSION + 9, 65535};
    for (size_t i = 0; i < HX_ARRAY_LEN(versions); i++) {
        uint8_t q[1024];
        char why[HX_MSG_VERSION_WHY], want[HX_MSG_VERSION_WHY];
        unsigned v = versions[i];
        size_t len = request_of(v, q);
        assert_int_equal(hx_msg_version_of((struct hx_bytes){q, len}), v);
        struct hx_rig_reply a = answer(r, W, q, len);
        assert_int_equal(a.head.status, HX_E_VERSION);
        assert_int_equal(a.body.len, 0);
        struct hx_bytes said = {a.bytes, HX_REPLY_HEAD};
        assert_int_equal(hx_msg_version_of(said), HX_MSG_VERSION);
        assert_true(hx_msg_version_why(said, v, why));
        snprintf(want, sizeof want, "it speaks protocol version %u, this program %u: upgrade %s", HX_MSG_VERSION, v,
                 v > HX_MSG_VERSION ? "hexad-segmentd there" : "this program");
        assert_string_equal(why, want);
        hx_rig_reply_fini(&a);
    }
    stop(r);
}

/* Promise: a client that is answered in a version that it does not know says both, and who is to be upgraded; other
 * refusals and damaged bytes are not taken for that. */
static void a_client_refuses_other_versions(void **state)
{
    (void)state;
    uint8_t p[HX_REPLY_HEAD];
    char why[HX_MSG_VERSION_WHY], want[HX_MSG_VERSION_WHY];
    struct hx_reply_head h = {.type = HX_MSG_HELLO, .status = HX_E_FENCED}, got;
    struct hx_bytes body, whole = {p, sizeof p};
    hx_reply_head_encode(&h, NULL, 0, p);
    assert_false(hx_msg_version_why(whole, HX_MSG_VERSION, why));
    hx_put_u16(p + 4, HX_MSG_VERSION + 1);
    assert_false(hx_msg_version_why(whole, HX_MSG_VERSION, why)); /* its checksum is wrong: it is damage */
    assert_int_equal(hx_msg_version_of(whole), -1);
    hx_put_u32(p + HX_REPLY_HEAD - 4, hx_crc32c(0, p, HX_REPLY_HEAD - 4));
    assert_int_equal(hx_reply_decode(p, sizeof p, &got, &body), HX_E_VERSION);
    assert_true(hx_msg_version_why(whole, HX_MSG_VERSION, why));
    snprintf(want, sizeof want, "it speaks protocol version %u, this program %u: upgrade this program",
             HX_MSG_VERSION + 1, HX_MSG_VERSION);
    assert_string_equal(why, want);
    h.status = HX_E_VERSION; /* a request of a kind that it has never heard of */
    hx_reply_head_encode(&h, NULL, 0, p);
    assert_true(hx_msg_version_why(whole, HX_MSG_VERSION, why));
    assert_non_null(strstr(why, "does not know this request: upgrade hexad-segmentd there"));
    for (size_t len = 0; len < sizeof p; len++)
        assert_int_equal(hx_msg_version_of((struct hx_bytes){p, len}), -1);
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "--write"))
        return make(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(older_messages_are_understood),
        cmocka_unit_test(an_older_client_is_answered_in_its_words),
        cmocka_unit_test(a_server_refuses_other_versions),
        cmocka_unit_test(a_client_refuses_other_versions),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("wire_versions", tests, NULL, NULL);
}
