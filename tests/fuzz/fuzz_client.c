/*
 * fuzz_client.c - the client's parts (creation, lookup, recovery, writer, page cache, reader, growth) against six real
 * segment servers whose answers somebody changes on the way.
 *
 * The first byte chooses what is done; then each answer that arrives takes its fate from the input: as it is, lost, a
 * failure instead, cut off, bytes changed with and without the checksum repaired, another call's answer, the same
 * once more.  Behind the input's end answers come as they are.
 *
 * Checked: nothing crashes; no part goes round without end (a bounded number of steps is enough to stop it); what is
 * handed on as a page is a whole page.  Not checked: what lies with right checksums make the client believe, for a
 * server that has a certificate of the volume's is trusted (doc/ARCHITECTURE.md).
 */
#include "fuzz.h"

#include "hexad/crc.h"
#include "hexad/pager.h"
#include "hexad/place.h"
#include "hexad/reader.h"
#include "hexad/recovery.h"
#include "hexad/writer.h"
#include "reopen_world.h"

#include <stdio.h>
#include <stdlib.h>

#define STEPS_MAX 900u
#define ROUNDS 12u
#define ROLL_PAGES 200u

static struct world w;
static struct fuzz_in in;
static struct hx_geometry geometry;
static struct hx_writer *writer;
static struct hx_cache *cache;
static struct hx_reader *reader;
static uint8_t last[1 << 16]; /* the answer before, to be given once more */
static size_t last_len;

/* ---- answers on their way ---- */
static void fix_reply(uint8_t *p, size_t len, bool length)
{
    if (len < HX_REPLY_HEAD)
        return;
    if (length)
        hx_put_u32(p + 64, (uint32_t)(len - HX_REPLY_HEAD));
    hx_put_u32(p + 68, hx_crc32c(0, p + HX_REPLY_HEAD, len - HX_REPLY_HEAD));
    hx_put_u32(p + 72, hx_crc32c(0, p, 72));
}

/* Bytes changed: u8 count, each { u16 offset from the head's or the body's start, u8 how, u8 value }. */
static void change_bytes(uint8_t *p, size_t len)
{
    unsigned count = fuzz_u8(&in) % 16;
    for (unsigned i = 0; i < count && len; i++) {
        uint16_t off = fuzz_u16(&in);
        size_t at = off & 0x8000 ? off & 0x7fff : HX_REPLY_HEAD + (size_t)off;
        uint8_t how = fuzz_u8(&in), v = fuzz_u8(&in);
        if (at >= len)
            at %= len;
        if (how & 1)
            memset(p + at, v, len - at < (how >> 4) ? len - at : how >> 4u);
        else
            p[at] = how & 2 ? (uint8_t)(p[at] + v) : p[at] ^ v;
    }
}

/* What arrives instead of BODY; NULL: nothing does.  Caller frees. */
static uint8_t *tamper(struct hx_bytes body, size_t *ret_len)
{
    uint8_t fate = fuzz_u8(&in);
    uint8_t *p = malloc(body.len + 512);
    fuzz_check(p);
    memcpy(p, body.p, body.len);
    *ret_len = body.len;
    switch (fate % 16) {
    case 8:
        free(p);
        return NULL;
    case 9:
        *ret_len = body.len - (size_t)fuzz_u16(&in) % (body.len + 1);
        if (fate & 16)
            fix_reply(p, *ret_len, true);
        break;
    case 10:
    case 11:
    case 12:
        change_bytes(p, body.len);
        if (fate % 16 > 10)
            fix_reply(p, body.len, true);
        break;
    case 13: { /* a body of the input's own */
        struct hx_bytes own = fuzz_take(&in, fuzz_u8(&in));
        if (body.len < HX_REPLY_HEAD)
            break;
        memcpy(p + HX_REPLY_HEAD, own.p ? own.p : (const uint8_t *)"", own.len);
        if (fate & 16)
            hx_put_u32(p + 16, fuzz_u8(&in)); /* and a status */
        *ret_len = HX_REPLY_HEAD + own.len;
        fix_reply(p, *ret_len, true);
        break;
    }
    case 14:
        if (last_len <= body.len + 512) {
            memcpy(p, last, last_len);
            *ret_len = last_len;
            if (last_len >= HX_REPLY_HEAD && fate & 16) { /* of another call, but it says it is this one's */
                memcpy(p + 8, body.p + 8, 8);
                fix_reply(p, last_len, true);
            }
        }
        break;
    default: /* as it is */
        break;
    }
    if (body.len <= sizeof last)
        memcpy(last, body.p, last_len = body.len);
    return p;
}

/* Hands a changed answer to GIVE, or a failure to FAIL. */
#define WORLD_GIVE(body, give, fail)            \
    do {                                        \
        size_t n_;                              \
        uint8_t *p_ = tamper((body), &n_);      \
        if (!p_) {                              \
            int err = -(int)(fuzz_u8(&in) % 20); \
            err = err ? err : HX_E_TIMEOUT;     \
            fail;                               \
        } else {                                \
            struct hx_bytes b = {p_, n_};       \
            give;                               \
        }                                       \
        free(p_);                               \
    } while (0)

#include "world_parts.h"

static struct world_reader part;

/* ---- what is done ---- */
static void make_geometry(void)
{
    struct hx_pg_members m;
    geometry = (struct hx_geometry){.volume = {{77}}, .name = "v", .pg_bytes = HX_PG_SIZE_MIN, .lal = 500,
                                    .created_us = 1, .epoch = {1}};
    for (unsigned i = 0; i < WORLD_SERVERS; i++)
        fuzz_check(hx_geometry_add_server(&geometry, &w.servers[i]) == 0);
    fuzz_check(hx_place_group(&geometry, NULL, &m) == 0 && hx_geometry_add_pg(&geometry, &m) == 0);
}

/* The segments of PG 0, without the network. */
static void format(void)
{
    uint8_t b[4096];
    struct hx_history h = {0};
    struct hx_enc e = hx_enc_init(b, sizeof b);
    fuzz_check(!hx_history_push(&h, (struct hx_history_entry){{1}, {0}, {0}, 500}));
    hx_geometry_encode(&geometry, &e);
    hx_history_encode(&h, &e);
    for (unsigned i = 0; i < WORLD_SERVERS; i++) {
        struct hx_msg_head q = {.type = HX_MSG_FORMAT, .volume = geometry.volume, .epoch = {1}, .g = 1};
        struct hx_bytes reply;
        world_ask(&w, i, &q, (struct hx_bytes){b, e.len}, &reply);
        free((void *)(uintptr_t)reply.p);
    }
    hx_history_fini(&h);
}

static void create(void)
{
    struct hx_create *c;
    struct hx_create_cfg cfg = {.name = "v", .volume = {{77}}, .owner = {{78}}, .pg_bytes = HX_PG_SIZE_MIN, .lal = 500,
                                .created_us = 1, .now_ms = w.now_ms, .servers = w.servers,
                                .server_count = WORLD_SERVERS};
    if (hx_create_new(&cfg, &c))
        return;
    world_join(&w, world_part_create(c));
    for (unsigned i = 0; i < STEPS_MAX && hx_create_state(c) == HX_E_AGAIN; i++)
        world_step(&w);
    fuzz_check(hx_create_why(c) != NULL);
    world_leave(&w, c);
    hx_create_free(c);
}

static void lookup(void)
{
    struct hx_lookup_sum sum = {0};
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct hx_msg_head q = {.type = HX_MSG_LOOKUP};
        struct hx_bytes reply;
        size_t n;
        world_ask(&w, i % WORLD_SERVERS, &q, (struct hx_bytes){(const uint8_t *)"\1\0v", 3}, &reply);
        uint8_t *p = tamper(reply, &n);
        if (p)
            hx_lookup_sum_add(&sum, (struct hx_bytes){p, n});
        hx_lookup_sum_enough(&sum);
        free(p);
        free((void *)(uintptr_t)reply.p);
    }
    hx_lookup_sum_fini(&sum);
}

static void begin(const struct hx_recovery_result *res)
{
    struct hx_writer_cfg cfg = {.geometry = &res->geometry, .history = &res->history, .owner = res->owner,
                                .pgs = res->pgs, .window_bytes = 2u << 20, .now_ms = w.now_ms};
    fuzz_check(hx_writer_new(&cfg, &writer) == 0);
    fuzz_check(hx_cache_new(&(struct hx_cache_cfg){.cache_bytes = 4u << 20}, writer, &cache) == 0);
    fuzz_check(hx_reader_new(writer, 5, &reader) == 0);
    world_join(&w, world_part_writer(writer));
    part = (struct world_reader){.reader = reader, .cache = cache};
    world_join(&w, world_part_reader(&part));
}

static bool open_volume(uint8_t who)
{
    struct hx_recovery *r;
    struct hx_recovery_cfg cfg = {.hint = &geometry, .epoch_seen = {1}, .seed = who, .owner = {{who, 3}},
                                  .now_ms = w.now_ms};
    char text[200];
    if (hx_recovery_new(&cfg, &r))
        return false;
    world_join(&w, world_part_recovery(r));
    for (unsigned i = 0; i < STEPS_MAX && hx_recovery_state(r) < HX_RECOVERY_OPEN; i++)
        world_step(&w);
    hx_recovery_waiting(r, text, sizeof text);
    bool open = hx_recovery_state(r) == HX_RECOVERY_OPEN;
    if (open)
        begin(hx_recovery_result(r));
    world_leave(&w, r);
    hx_recovery_free(r);
    return open;
}

static void leave(void)
{
    world_leave(&w, writer);
    world_leave(&w, &part);
    hx_reader_free(reader);
    hx_cache_free(cache);
    hx_writer_free(writer);
    writer = NULL;
}

static void fetch_wanted(void)
{
    struct hx_cache_want want[16];
    size_t n;
    while ((n = hx_cache_take_wants(cache, want, HX_ARRAY_LEN(want))) > 0)
        hx_reader_fetch(reader, w.now_ms, want, n);
}

static void edit(uint8_t x)
{
    struct hx_pager *p = hx_cache_pager(cache);
    struct hx_lsn cpl;
    uint8_t *q;
    int rc = hx_pager_begin(p);
    if (rc)
        return;
    for (unsigned i = 0; i < 1 + x % 3u && rc == 0; i++) {
        rc = hx_pager_edit(p, HX_PAGE((x + 31 * i) % ROLL_PAGES), x & 8 ? HX_EDIT_KEEP : HX_EDIT_WHOLE, &q);
        if (rc == 0)
            memset(q + 8 * (x % 16u), x, 200 + x);
    }
    if (rc)
        hx_pager_abort(p);
    else
        hx_pager_commit(p, &cpl);
}

/* Edits, reads and steps; the input says how many of each. */
static void work(void)
{
    const uint8_t *page;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint8_t x = fuzz_u8(&in);
        edit((uint8_t)(x + i));
        if (x & 1)
            hx_cache_drop_clean(cache);
        hx_pager_get(hx_cache_pager(cache), HX_PAGE((x * 7u + i) % ROLL_PAGES), &page);
        fetch_wanted();
        if (x & 2)
            hx_writer_want(writer, w.now_ms, hx_writer_last(writer));
        for (unsigned k = 0; k < 8 + x % 16u; k++)
            world_step(&w);
    }
}

static void grow(void)
{
    struct hx_growth *g;
    struct hx_uuid owner = {{5}};
    if (hx_growth_new(writer, NULL, &owner, w.now_ms, &g))
        return;
    world_join(&w, world_part_growth(g));
    for (unsigned i = 0; i < STEPS_MAX && hx_growth_state(g) == HX_E_AGAIN; i++)
        world_step(&w);
    if (hx_growth_state(g) == 0)
        hx_writer_add_pg(writer, hx_growth_geometry(g), hx_growth_made(g));
    world_leave(&w, g);
    hx_growth_free(g);
}

static void run(const uint8_t *p, size_t len)
{
    in = (struct fuzz_in){p, len};
    last_len = 0;
    world_init(&w, 5);
    for (unsigned i = 0; i < WORLD_SERVERS; i++) { /* files small enough that a run costs little */
        w.log_file_bytes = 64u << 10;
        hx_node_free(w.node[i]);
        w.node[i] = NULL;
        world_start(&w, i);
    }
    make_geometry();
    uint8_t what = fuzz_u8(&in);
    if (what % 4 == 0) {
        create();
    } else {
        format();
        if (what % 4 == 1)
            lookup();
        for (unsigned i = 0; i < 1u + (what >> 7); i++)
            if (open_volume((uint8_t)(i + 1))) {
                work();
                if (what % 4 == 2)
                    grow();
                work();
                leave();
            }
    }
    world_fini(&w);
    hx_geometry_fini(&geometry);
}

static void seeds(void)
{
    uint8_t b[200];
    for (unsigned what = 0; what < 5; what++) {
        char name[32];
        memset(b, 0, sizeof b);
        b[0] = (uint8_t)(what == 4 ? 0x82u : what);
        snprintf(name, sizeof name, "honest-%u", what);
        fuzz_seed(name, b, 20);
        for (unsigned i = 1; i < sizeof b; i++)
            b[i] = (uint8_t)(i % 9 == 0 ? 11 : i % 23 == 0 ? 8 : i % 31 == 0 ? 13 : 0);
        snprintf(name, sizeof name, "changed-%u", what);
        fuzz_seed(name, b, sizeof b);
    }
}

const struct fuzz_target fuzz_target = {
    .name = "client", .len_max = 1024, .rounds = 40, .run = run, .seeds = seeds, .sources = "src/core"};
