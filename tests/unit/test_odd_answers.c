/*
 * test_odd_answers.c - answers that are whole and wrong: what the writer, the reader and a creation make of them.
 *
 * Method: six scripted members (fake_members.h); one answer of one of them is changed in one thing, its checksums are
 * made right again.  It must count for nothing (no acknowledgement, no page), and be asked for again; a word about a
 * newer epoch fences; and with right answers everything comes to the end that it would have had.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake_members.h"

#include "hexad/reader.h"
#include "hexad/recovery.h"

#include <stdio.h>
#include <stdlib.h>

/* An answer taken apart: the head, and a body that may grow by 64 bytes. */
struct odd {
    struct hx_reply_head h;
    uint8_t *body;
    size_t len;
};

static struct hx_bytes assemble(struct odd *o)
{
    uint8_t *p = malloc(HX_REPLY_HEAD + o->len + 1);
    struct hx_bytes piece = {o->body, o->len};
    assert_non_null(p);
    hx_reply_head_encode(&o->h, &piece, 1, p);
    memcpy(p + HX_REPLY_HEAD, o->body, o->len);
    return (struct hx_bytes){p, HX_REPLY_HEAD + o->len};
}

static struct odd take_apart(struct hx_bytes whole)
{
    struct odd o;
    struct hx_bytes body;
    assert_int_equal(hx_reply_decode(whole.p, whole.len, &o.h, &body), 0);
    o.len = body.len;
    o.body = malloc(body.len + 64);
    assert_non_null(o.body);
    if (body.len)
        memcpy(o.body, body.p, body.len);
    return o;
}

/* ---- the ways to be odd, for any request ---- */
static void other_type(struct odd *o)
{
    o->h.type = o->h.type == HX_MSG_APPEND ? HX_MSG_ADOPT : HX_MSG_APPEND;
}
static void other_request(struct odd *o)
{
    o->h.req_id++;
}
static void other_server(struct odd *o)
{
    o->h.server.b[7]++;
}
static void byte_more(struct odd *o)
{
    o->body[o->len++] = 0;
}
static void byte_less(struct odd *o)
{
    o->len -= o->len > 0;
}
static void busy(struct odd *o)
{
    o->h.status = HX_E_AGAIN;
    o->len = 0;
}
static void no_volume(struct odd *o)
{
    o->h.status = HX_E_NO_VOLUME;
    o->len = 0;
}
static void poisoned(struct odd *o)
{
    o->h.status = HX_E_POISONED;
    o->len = 0;
}
typedef void (*odd_fn)(struct odd *o);
static const odd_fn any[] = {other_type, other_request, other_server, byte_more, byte_less, busy, poisoned};

/* Acknowledgements: u32 PG, u32 status, u64 SCL. */
static void ack_other_pg(struct odd *o)
{
    hx_put_u32(o->body, 77);
}
static void ack_beyond(struct odd *o)
{
    hx_put_u64(o->body + 8, UINT64_MAX);
}
static void ack_refused(struct odd *o)
{
    hx_put_u32(o->body + 4, hx_err_to_wire(HX_E_NOSPACE));
}
static void ack_fenced(struct odd *o)
{
    hx_put_u32(o->body + 4, hx_err_to_wire(HX_E_FENCED));
}
static void promised_more(struct odd *o)
{
    o->h.promised.v += 5;
}
static const odd_fn acks[] = {ack_other_pg, ack_beyond, ack_refused};

/* ---- the writer ---- */
/* Delivers request I with its answer made odd. */
static void deliver_odd(struct rig *r, size_t i, odd_fn fn)
{
    uint64_t call = r->f.queue[i].call;
    struct hx_bytes honest = fake_answer(&r->f, i);
    struct odd o = take_apart(honest);
    fn(&o);
    struct hx_bytes b = assemble(&o);
    fake_forget(&r->f, i);
    hx_writer_answer(r->w, r->now, call, b);
    hx_writer_answer(r->w, r->now, call, b); /* and once more: nobody's */
    rig_pump(r);
    free(o.body);
    free((void *)(uintptr_t)b.p);
    free((void *)(uintptr_t)honest.p);
}

static void append_once(struct rig *r, struct hx_lsn *cpl)
{
    static const uint64_t pages[] = {3, 260, 5}; /* two groups */
    assert_int_equal(rig_append(r, pages, 3, 100, cpl), 0);
    hx_writer_want(r->w, r->now, *cpl);
    rig_pump(r);
}

/* Promise: an answer that is not the one to the request brings no acknowledgement; with right ones all is durable.
 * Method: three of six members stay silent, a fourth is odd: the VDL must not move. */
static void odd_acknowledgements_count_for_nothing(void **state)
{
    (void)state;
    for (size_t k = 0; k < HX_ARRAY_LEN(any) + HX_ARRAY_LEN(acks); k++) {
        odd_fn fn = k < HX_ARRAY_LEN(any) ? any[k] : acks[k - HX_ARRAY_LEN(any)];
        struct rig r;
        struct hx_lsn cpl, before;
        rig_open(&r, &(struct rig_opts){.pgs = 2});
        rig_run(&r, 0);
        before = hx_writer_vdl(r.w);
        append_once(&r, &cpl);
        for (size_t i = 0; i < r.f.count;)
            if (r.f.queue[i].type == HX_MSG_APPEND && r.f.queue[i].server == 3)
                deliver_odd(&r, i, fn);
            else if (r.f.queue[i].server < 3)
                rig_deliver(&r, i), i = 0;
            else
                i++;
        assert_int_equal(hx_writer_vdl(r.w).v, before.v);
        assert_int_equal(hx_writer_state(r.w), 0);
        rig_wait(&r, 3000, 0);
        if (fn != ack_refused && fn != poisoned)
            assert_true(hx_writer_vdl(r.w).v >= cpl.v);
        rig_wait(&r, 20000, 0);
        assert_true(hx_writer_vdl(r.w).v >= cpl.v);
        rig_close(&r);
    }
}

/* Promise: one word of a newer epoch, in the answer's head or about one group, fences for ever. */
static void a_word_of_a_newer_epoch_fences(void **state)
{
    static const odd_fn words[] = {ack_fenced, promised_more};
    (void)state;
    for (size_t k = 0; k < HX_ARRAY_LEN(words); k++) {
        struct rig r;
        struct hx_lsn cpl;
        rig_open(&r, &(struct rig_opts){.pgs = 2});
        rig_run(&r, 0);
        append_once(&r, &cpl);
        size_t i = 0;
        while (r.f.queue[i].type != HX_MSG_APPEND)
            i++;
        deliver_odd(&r, i, words[k]);
        assert_int_equal(hx_writer_state(r.w), HX_E_FENCED);
        rig_wait(&r, 2000, 0);
        assert_true(hx_writer_vdl(r.w).v < cpl.v);
        assert_int_equal(rig_append(&r, (const uint64_t[]){1}, 1, 8, &cpl), HX_E_FENCED);
        rig_close(&r);
    }
}

static void adopt_older(struct odd *o)
{
    hx_put_u64(o->body, 1);
}
static void adopt_beyond(struct odd *o)
{
    hx_put_u64(o->body + 8, UINT64_MAX);
}
static void adopt_newer(struct odd *o)
{
    hx_put_u64(o->body, 99);
}

/* Promise: a member whose answers to ADOPT or FORMAT are odd is asked again and joins; one that has adopted a newer
 * epoch's history fences. */
static void odd_answers_to_adopt_and_format_are_asked_again(void **state)
{
    static const odd_fn adopts[] = {adopt_older, adopt_beyond, no_volume};
    (void)state;
    for (size_t k = 0; k < 2 * (HX_ARRAY_LEN(any) + HX_ARRAY_LEN(adopts)) + 1; k++) {
        bool format = k & 1, newer = k / 2 == HX_ARRAY_LEN(any) + HX_ARRAY_LEN(adopts);
        odd_fn fn = newer ? adopt_newer : k / 2 < HX_ARRAY_LEN(any) ? any[k / 2] : adopts[k / 2 - HX_ARRAY_LEN(any)];
        struct rig r;
        struct hx_lsn cpl;
        bool done = false;
        if (format && k / 2 >= HX_ARRAY_LEN(any))
            continue;
        rig_open(&r, &(struct rig_opts){.pgs = 2, .epoch = 3, .vdl = 40, .end = 5000});
        for (unsigned s = 0; s < FAKE_SERVERS; s++)
            for (unsigned pg = 0; pg < 2; pg++)
                r.f.server[s].seg[pg].no_history = true;
        r.f.server[4].seg[1].absent = format;
        append_once(&r, &cpl);
        for (unsigned n = 0; n < 400 && !done; n++) {
            rig_wait(&r, 10, 1u << 4);
            for (size_t i = 0; i < r.f.count && !done; i++) {
                if (r.f.queue[i].server != 4)
                    continue;
                done = r.f.queue[i].type == (format ? HX_MSG_FORMAT : HX_MSG_ADOPT);
                if (done)
                    deliver_odd(&r, i, fn);
                else
                    rig_deliver(&r, i);
                break;
            }
        }
        assert_true(done);
        rig_wait(&r, 30000, 0);
        assert_int_equal(hx_writer_state(r.w), newer ? HX_E_FENCED : 0);
        for (unsigned pg = 0; pg < 2 && !newer; pg++)
            for (unsigned s = 0; s < FAKE_SERVERS; s++)
                assert_true(fake_scl(&r.f, s, pg).v >= cpl.v - 2);
        rig_close(&r);
    }
}

/* ---- the reader ---- */
/* Pages: per page u8 state, 3 zeros, u32 crc, u64 LSN; then the raw ones. */
static void page_state(struct odd *o)
{
    o->body[0] = 3;
}
static void page_crc(struct odd *o)
{
    o->body[4] ^= 1;
}
static void page_corrupt(struct odd *o)
{
    o->body[0] = HX_READ_CORRUPT;
    memmove(o->body + HX_READ_PAGE_BYTES, o->body + HX_READ_PAGE_BYTES + HX_PAGE_SIZE,
            o->len - HX_READ_PAGE_BYTES - HX_PAGE_SIZE);
    o->len -= HX_PAGE_SIZE;
}
static void page_bytes(struct odd *o)
{
    o->body[HX_READ_PAGE_BYTES + 9] ^= 4;
}
static void nothing(struct odd *o)
{
    o->len = 0;
}
static void too_old(struct odd *o)
{
    o->h.status = HX_E_LAGGING;
    o->len = 0;
}
static const odd_fn pages[] = {page_state, page_crc, page_corrupt, page_bytes, nothing, too_old, no_volume};

static void read_pump(struct rig *r, struct hx_reader *rd)
{
    struct hx_effect e;
    while (hx_reader_next(rd, &e))
        fake_effect(&r->f, &e);
    rig_pump(r);
}

/* The first answer is odd, the others are right: how many pages came, with what content. */
static unsigned read_odd(struct rig *r, struct hx_reader *rd, odd_fn fn, const uint8_t *want)
{
    struct hx_cache_want w = {HX_PAGE(3), 1};
    unsigned came = 0;
    bool first = true;
    hx_reader_fetch(rd, r->now, &w, 1);
    for (unsigned n = 0; n < 3000 && came == 0; n++) {
        read_pump(r, rd);
        for (size_t i = 0; i < r->f.count; i++) {
            if (r->f.queue[i].type != HX_MSG_READ)
                continue;
            uint64_t call = r->f.queue[i].call;
            struct hx_bytes honest = fake_answer(&r->f, i);
            struct odd o = take_apart(honest);
            struct hx_reader_done d;
            if (first)
                fn(&o);
            first = false;
            struct hx_bytes b = assemble(&o);
            fake_forget(&r->f, i);
            hx_reader_answer(rd, r->now, r->now * 1000, call, b);
            while (hx_reader_take(rd, &d)) {
                assert_int_equal(d.err, 0);
                assert_memory_equal(d.data, want, HX_PAGE_SIZE);
                came++;
            }
            hx_reader_answer(rd, r->now, r->now * 1000, call, b); /* once more: nobody's */
            assert_false(hx_reader_take(rd, &d));
            free(o.body);
            free((void *)(uintptr_t)b.p);
            free((void *)(uintptr_t)honest.p);
            break;
        }
        uint64_t step = hx_reader_tick(rd, r->now);
        r->now += step > 10 ? 10 : step;
    }
    return came;
}

/* Promise: an odd answer to a READ brings no page; another member is asked, and the right page comes. */
static void odd_pages_are_asked_of_another_member(void **state)
{
    (void)state;
    for (size_t k = 0; k < HX_ARRAY_LEN(any) + HX_ARRAY_LEN(pages); k++) {
        odd_fn fn = k < HX_ARRAY_LEN(any) ? any[k] : pages[k - HX_ARRAY_LEN(any)];
        struct rig r;
        struct hx_reader *rd;
        struct hx_lsn cpl;
        uint8_t want[HX_PAGE_SIZE];
        rig_open(&r, &(struct rig_opts){.pgs = 2});
        append_once(&r, &cpl);
        rig_run(&r, 0);
        assert_int_equal(hx_writer_vdl(r.w).v, cpl.v);
        fake_page(&r.f, 0, 0, 3, cpl, want);
        assert_int_equal(hx_reader_new(r.w, 5, &rd), 0);
        assert_int_equal(read_odd(&r, rd, fn, want), 1);
        hx_reader_answer(rd, r.now, 0, (uint64_t)HX_PART_WRITER << 56, (struct hx_bytes){NULL, 0});
        hx_reader_failed(rd, r.now, (uint64_t)HX_PART_READER << 56 | 0xffffff00000000, HX_E_IO);
        assert_int_equal(hx_writer_state(r.w), 0);
        hx_reader_free(rd);
        rig_close(&r);
    }
}

/* Promise: calls that no part has made are nobody's. */
static void calls_of_others_are_nobodys(void **state)
{
    const uint64_t own = (uint64_t)HX_PART_WRITER << 56;
    const uint64_t calls[] = {0, (uint64_t)HX_PART_READER << 56, own | UINT64_C(0xffff) << 40,
                              own | UINT64_C(0xff) << 32};
    struct rig r;
    struct hx_lsn cpl;
    (void)state;
    rig_open(&r, &(struct rig_opts){.pgs = 2});
    for (size_t i = 0; i < HX_ARRAY_LEN(calls); i++) {
        hx_writer_answer(r.w, r.now, calls[i], (struct hx_bytes){NULL, 0});
        hx_writer_failed(r.w, r.now, calls[i], HX_E_IO);
    }
    append_once(&r, &cpl);
    rig_lose(&r, 0, 0); /* a failure without a reason is one all the same */
    rig_wait(&r, 3000, 0);
    assert_true(hx_writer_vdl(r.w).v >= cpl.v);
    rig_close(&r);
}

/* ---- a creation ---- */
static const struct hx_server *config(void)
{
    static struct hx_server s[FAKE_SERVERS];
    for (unsigned i = 0; i < FAKE_SERVERS; i++) {
        snprintf(s[i].name, sizeof s[i].name, "s%u", i);
        snprintf(s[i].zone, sizeof s[i].zone, "z%u", i / 2);
        snprintf(s[i].url, sizeof s[i].url, "https://h:%u", 9000 + i);
    }
    return s;
}

/* Answers the creation's next request with this. */
static void answer_create(struct hx_create *c, const struct hx_effect *e, struct hx_reply_head h, const void *p,
                          size_t len)
{
    struct odd o = {.h = h, .body = (uint8_t *)(uintptr_t)p, .len = len};
    uint8_t head[HX_MSG_HEAD];
    assert_true(e->iov[0].iov_len >= sizeof head);
    memcpy(head, e->iov[0].iov_base, sizeof head);
    o.h.type = hx_get_u16(head + 6);
    o.h.req_id = hx_get_u64(head + 8);
    struct hx_bytes b = assemble(&o);
    hx_create_answer(c, 10, e->call, b);
    hx_create_answer(c, 10, e->call, b); /* once more: nobody's */
    hx_create_failed(c, 10, e->call, HX_E_IO);
    free((void *)(uintptr_t)b.p);
}

struct birth {
    const char *name, *zone;      /* of server 2's HELLO */
    bool no_incarnation, cut;     /* its HELLO */
    int lookup;                   /* its status; 0: a volume */
    int want;
    const char *says;
};

static int give_birth(const struct birth *b, char why[200])
{
    struct hx_create *c;
    struct hx_create_cfg cfg = {.name = "v", .volume = {{7}}, .owner = {{8}}, .now_ms = 1, .servers = config(),
                                .server_count = FAKE_SERVERS};
    struct hx_effect e;
    assert_int_equal(hx_create_new(&cfg, &c), 0);
    while (hx_create_state(c) == HX_E_AGAIN && hx_create_next(c, &e)) {
        uint8_t body[512];
        struct hx_enc enc = hx_enc_init(body, sizeof body);
        unsigned i = (unsigned)(e.server->url[strlen(e.server->url) - 1] - '0');
        uint16_t type = hx_get_u16((const uint8_t *)e.iov[0].iov_base + 6);
        struct hx_reply_head h = {.server = {{(uint8_t)(i + 1)}}};
        bool odd = i == 2;
        if (type == HX_MSG_HELLO) {
            struct hx_hello hello = {.disk_total = 5};
            snprintf(hello.name, sizeof hello.name, "s%u", i);
            if (odd && b->name)
                snprintf(hello.name, sizeof hello.name, "%s", b->name);
            snprintf(hello.zone, sizeof hello.zone, "z%u", i / 2);
            if (odd && b->zone)
                snprintf(hello.zone, sizeof hello.zone, "%s", b->zone);
            hx_hello_encode(&hello, &enc);
            if (odd && b->no_incarnation)
                h.server = (struct hx_uuid){{0}};
            enc.len -= odd && b->cut ? 3 : 0;
        } else {
            h.status = odd ? b->lookup : HX_E_NO_VOLUME;
            hx_enc_u64(&enc, 1); /* no whole answer to a LOOKUP */
            if (h.status)
                enc.len = 0;
        }
        answer_create(c, &e, h, body, enc.len);
    }
    int state = hx_create_state(c);
    snprintf(why, 200, "%s", hx_create_why(c));
    hx_create_free(c);
    return state;
}

/* Promise: a creation ends with words that name the server whose answer is odd, and has made nothing. */
static void a_creation_names_the_server_that_is_odd(void **state)
{
    static const struct birth births[] = {
        {.name = "other", .lookup = HX_E_NO_VOLUME, .want = HX_E_INVAL, .says = "calls itself other"},
        {.zone = "z9", .lookup = HX_E_NO_VOLUME, .want = HX_E_INVAL, .says = "zone z9"},
        {.no_incarnation = true, .lookup = HX_E_NO_VOLUME, .want = HX_E_BADMSG, .says = "h:9002: malformed"},
        {.cut = true, .lookup = HX_E_NO_VOLUME, .want = HX_E_BADMSG, .says = "h:9002: malformed"},
        {.lookup = 0, .want = HX_E_BADMSG, .says = "h:9002: malformed"},
        {.lookup = HX_E_ROLE, .want = HX_E_ROLE, .says = "h:9002"},
        {.lookup = HX_E_VERSION, .want = HX_E_VERSION, .says = "h:9002"},
    };
    char why[200];
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(births); i++) {
        assert_int_equal(give_birth(&births[i], why), births[i].want);
        if (!strstr(why, births[i].says))
            fail_msg("\"%s\" is not in: %s", births[i].says, why);
    }
}

/* Promise: a name that is too long is refused before anybody is asked. */
static void a_long_name_is_refused(void **state)
{
    struct hx_create *c;
    char name[HX_NAME_MAX + 2];
    (void)state;
    memset(name, 'v', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct hx_create_cfg cfg = {.name = name, .volume = {{7}}, .owner = {{8}}, .servers = config(), .server_count = 6};
    assert_true(hx_create_new(&cfg, &c) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_acknowledgements_count_for_nothing),
        cmocka_unit_test(a_word_of_a_newer_epoch_fences),
        cmocka_unit_test(odd_answers_to_adopt_and_format_are_asked_again),
        cmocka_unit_test(odd_pages_are_asked_of_another_member),
        cmocka_unit_test(calls_of_others_are_nobodys),
        cmocka_unit_test(a_creation_names_the_server_that_is_odd),
        cmocka_unit_test(a_long_name_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("odd_answers", tests, NULL, NULL);
}
