/*
 * test_cluster.c - the real client core (create, recovery, growth, writer) against six real segment servers
 * over disks in memory: servers lose power, messages are lost, late and doubled, clients die in the middle
 * and new ones open the volume.
 *
 * Oracle: everything that any writer counted as durable is in the volume that the next client opens (I1);
 * what it opens is a prefix of what was written, ending with a transaction (I7); at the end all six servers
 * hold the same pages, and these are the fold of that prefix (I4, I6, I15).  Fixed seeds; time is an
 * argument.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hexad/recovery.h"
#include "hexad/writer.h"
#include "node_rig.h"

#include <stdio.h>
#include <stdlib.h>

#define PG_PAGES 256u
#define SLOTS 16u
#define RECS_MAX 20000u

struct flight { /* a request under way, or one that a dead client left behind */
    uint64_t call;
    unsigned to, client;
    uint8_t *bytes;
    size_t len;
};
struct rec {
    uint64_t lsn, page;
    bool cpl;
};
struct world {
    struct hx_rig r;
    struct hx_create *create;
    struct hx_recovery *recovery;
    struct hx_growth *growth;
    struct hx_writer *writer;
    struct flight *f;
    size_t f_count;
    unsigned client, down;
    bool faults;
    uint64_t rng, acked, epoch;
    struct rec recs[RECS_MAX]; /* the official log, as far as it is known */
    size_t rec_count;
};

static uint64_t dice(struct world *w, uint64_t n)
{
    w->rng ^= w->rng << 13;
    w->rng ^= w->rng >> 7;
    w->rng ^= w->rng << 17;
    return (w->rng >> 11) % n;
}

/* ---- carrying messages ---- */
static void take_effect(struct world *w, const struct hx_effect *e)
{
    if (e->kind == HX_EFFECT_CANCEL) {
        for (size_t i = 0; i < w->f_count; i++)
            if (w->f[i].call == e->call && w->f[i].client == w->client)
                w->f[i].client = 0; /* it may still arrive */
        return;
    }
    struct flight f = {.call = e->call, .client = w->client};
    for (int i = 0; i < e->iovcnt; i++)
        f.len += e->iov[i].iov_len;
    f.bytes = malloc(f.len);
    size_t at = 0;
    for (int i = 0; i < e->iovcnt; at += e->iov[i++].iov_len)
        memcpy(f.bytes + at, e->iov[i].iov_base, e->iov[i].iov_len);
    while (strcmp(w->r.geometry.servers[f.to].name, e->server->name))
        f.to++;
    w->f = realloc(w->f, (w->f_count + 1) * sizeof *w->f);
    w->f[w->f_count++] = f;
}

static void collect(struct world *w)
{
    struct hx_effect e;
    while (w->create && hx_create_next(w->create, &e) == 1)
        take_effect(w, &e);
    while (w->recovery && hx_recovery_next(w->recovery, &e) == 1)
        take_effect(w, &e);
    while (w->growth && hx_growth_next(w->growth, &e) == 1)
        take_effect(w, &e);
    while (w->writer && hx_writer_next(w->writer, &e) == 1)
        take_effect(w, &e);
}

static void answer(struct world *w, uint64_t call, int err, struct hx_bytes b)
{
    uint64_t now = w->r.now_ms;
    switch (hx_call_part(call)) {
    case HX_PART_CREATE:
        if (w->create)
            err ? hx_create_failed(w->create, now, call, err) : hx_create_answer(w->create, now, call, b);
        break;
    case HX_PART_RECOVERY:
        if (w->recovery)
            err ? hx_recovery_failed(w->recovery, now, call, err) : hx_recovery_answer(w->recovery, now, call, b);
        break;
    case HX_PART_GROWTH:
        if (w->growth)
            err ? hx_growth_failed(w->growth, now, call, err) : hx_growth_answer(w->growth, now, call, b);
        break;
    case HX_PART_WRITER:
        if (w->writer)
            err ? hx_writer_failed(w->writer, now, call, err) : hx_writer_answer(w->writer, now, call, b);
        break;
    case HX_PART_READER:
    default:
        break;
    }
}

static void deliver(struct world *w, size_t i)
{
    struct flight f = w->f[i];
    struct hx_rig_reply a = {0};
    bool twice = w->faults && dice(w, 16) == 0, lost = w->faults && dice(w, 24) == 0,
         deaf = w->faults && dice(w, 24) == 0;
    w->f[i] = w->f[--w->f_count];
    for (int pass = 0; pass <= twice && w->r.node[f.to] && !lost; pass++) {
        hx_rig_reply_fini(&a);
        uint64_t token = ++w->r.token;
        hx_node_request(w->r.node[f.to], w->r.now_ms, 1, token, 10 + f.client, HX_NODE_ROLE_WRITER, "w",
                        (struct hx_bytes){f.bytes, f.len});
        hx_node_flush(w->r.node[f.to]);
        hx_rig_take(&w->r, f.to, token, &a);
        assert_true(a.came);
    }
    if (f.client == w->client) {
        if (a.came && !deaf)
            answer(w, f.call, 0, (struct hx_bytes){a.bytes, a.body.len + HX_REPLY_HEAD});
        else
            answer(w, f.call, lost || deaf ? HX_E_TIMEOUT : HX_E_CONNECT, (struct hx_bytes){NULL, 0});
    }
    hx_rig_reply_fini(&a);
    free(f.bytes);
}

static void server_faults(struct world *w)
{
    unsigned i = (unsigned)dice(w, HX_COPIES);
    if (!w->r.node[i]) {
        assert_int_equal(hx_rig_start(&w->r, i), 0);
        w->down--;
    } else if (dice(w, 3) == 0) {
        hx_rig_stop(&w->r, i);
        hx_mem_crash(w->r.farm[i], w->rng);
        w->down++;
        if (w->down > 2) { /* at most two are down */
            assert_int_equal(hx_rig_start(&w->r, i), 0);
            w->down--;
        }
    }
}

/* A little time: some messages arrive, in any order; timers; now and then a server fails. */
static void some_time(struct world *w)
{
    collect(w);
    for (uint64_t n = dice(w, 2 * w->f_count + 1); n > 0 && w->f_count; n--) {
        deliver(w, dice(w, w->f_count));
        collect(w);
    }
    if (w->faults && dice(w, 20) == 0)
        server_faults(w);
    uint64_t ms = 1 + dice(w, 40);
    if (dice(w, 4) == 0)
        hx_rig_step(&w->r, ms);
    else
        w->r.now_ms += ms;
    if (w->create)
        hx_create_tick(w->create, w->r.now_ms);
    if (w->recovery)
        hx_recovery_tick(w->recovery, w->r.now_ms);
    if (w->growth)
        hx_growth_tick(w->growth, w->r.now_ms);
    if (w->writer) {
        hx_writer_tick(w->writer, w->r.now_ms);
        uint64_t vdl = hx_writer_vdl(w->writer).v;
        w->acked = vdl > w->acked ? vdl : w->acked;
    }
}

static void heal(struct world *w)
{
    w->faults = false;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (!w->r.node[i])
            assert_int_equal(hx_rig_start(&w->r, i), 0);
    w->down = 0;
}

/* ---- what clients do ---- */
static void create_volume(struct world *w)
{
    struct hx_create_cfg cfg = {.name = "vol0",
                                .volume = hx_rig_uuid(501),
                                .owner = hx_rig_uuid(1),
                                .pg_bytes = PG_PAGES * HX_PAGE_SIZE,
                                .lal = 200,
                                .now_ms = w->r.now_ms,
                                .servers = w->r.geometry.servers,
                                .server_count = HX_COPIES};
    assert_int_equal(hx_create_new(&cfg, &w->create), 0);
    for (unsigned i = 0; i < 2000 && hx_create_state(w->create) == HX_E_AGAIN; i++)
        some_time(w);
    if (hx_create_state(w->create))
        fail_msg("create: %s", hx_create_why(w->create));
    struct hx_geometry g = {0};
    assert_int_equal(hx_geometry_copy(&g, hx_create_geometry(w->create)), 0);
    hx_geometry_fini(&w->r.geometry);
    w->r.geometry = g;
    hx_create_free(w->create);
    w->create = NULL;
}

/* What was opened is a prefix of what was written, with everything acknowledged, and ends with a transaction. */
static void check_cut(struct world *w, uint64_t vdl)
{
    if (vdl < w->acked)
        fail_msg("acknowledged to %llu, opened at %llu", (unsigned long long)w->acked, (unsigned long long)vdl);
    while (w->rec_count && w->recs[w->rec_count - 1].lsn > vdl)
        w->rec_count--;
    if (vdl > 0 && (!w->rec_count || w->recs[w->rec_count - 1].lsn != vdl || !w->recs[w->rec_count - 1].cpl))
        fail_msg("opened at %llu, which nobody wrote", (unsigned long long)vdl);
    w->acked = vdl;
}

static void open_volume(struct world *w)
{
    struct hx_recovery_cfg cfg = {.hint = &w->r.geometry,
                                  .epoch_seen = HX_EPOCH(1 + dice(w, 2) * w->epoch),
                                  .seed = w->rng,
                                  .owner = hx_rig_uuid(5000 + w->client),
                                  .now_ms = w->r.now_ms};
    assert_int_equal(hx_recovery_new(&cfg, &w->recovery), 0);
    for (unsigned i = 0; hx_recovery_state(w->recovery) < HX_RECOVERY_OPEN; i++) {
        char text[256];
        some_time(w);
        if (i == 2000)
            heal(w);
        hx_recovery_waiting(w->recovery, text, sizeof text);
        if (i == 6000)
            fail_msg("opening does not end: %s", text);
    }
    if (hx_recovery_state(w->recovery) == HX_RECOVERY_FAILED)
        fail_msg("opening failed: %d", hx_recovery_error(w->recovery));
    const struct hx_recovery_result *res = hx_recovery_result(w->recovery);
    check_cut(w, hx_history_top_entry(&res->history)->vdl.v);
    w->epoch = hx_history_top(&res->history).v;
    struct hx_geometry g = {0};
    assert_int_equal(hx_geometry_copy(&g, &res->geometry), 0);
    hx_geometry_fini(&w->r.geometry);
    w->r.geometry = g;
    struct hx_writer_cfg wc = {.geometry = &res->geometry,
                               .history = &res->history,
                               .owner = res->owner,
                               .pgs = res->pgs,
                               .now_ms = w->r.now_ms};
    assert_int_equal(hx_writer_new(&wc, &w->writer), 0);
    hx_recovery_free(w->recovery);
    w->recovery = NULL;
    collect(w);
}

/* Each record sets one slot of its page to its LSN; so a page tells which records are in it. */
static void write_mtr(struct world *w)
{
    struct hx_writer_rec recs[8];
    uint8_t payload[8][12];
    unsigned n = 1 + (unsigned)dice(w, 8);
    uint64_t next = hx_writer_last(w->writer).v + 1;
    const struct hx_history_entry *top = hx_history_top_entry(hx_writer_history(w->writer));
    next = next > top->end.v ? next : top->end.v + 1;
    for (unsigned i = 0; i < n; i++) {
        recs[i] = (struct hx_writer_rec){HX_PAGE(dice(w, hx_writer_pages(w->writer)) / 16 * 16), HX_REC_PATCH,
                                         12, payload[i]};
        hx_put_u16(payload[i], (uint16_t)((next + i) % SLOTS * 8));
        hx_put_u16(payload[i] + 2, 8);
        hx_put_u64(payload[i] + 4, next + i);
    }
    struct hx_lsn first, cpl;
    if (hx_writer_append(w->writer, w->r.now_ms, recs, n, &first, &cpl))
        return; /* the window is full */
    assert_int_equal(first.v, next);
    for (unsigned i = 0; i < n; i++)
        w->recs[w->rec_count++] = (struct rec){next + i, recs[i].page.v, i + 1 == n};
    if (dice(w, 2))
        hx_writer_want(w->writer, w->r.now_ms, cpl);
}

static void try_growth(struct world *w)
{
    struct hx_uuid owner = hx_rig_uuid(1);
    assert_int_equal(hx_growth_new(w->writer, NULL, &owner, w->r.now_ms, &w->growth), 0);
    for (unsigned i = 0; i < 200 && hx_growth_state(w->growth) == HX_E_AGAIN; i++) {
        write_mtr(w);
        some_time(w);
    }
    if (hx_growth_state(w->growth) == 0)
        assert_int_equal(hx_writer_add_pg(w->writer, hx_growth_geometry(w->growth), hx_growth_made(w->growth)), 0);
    hx_growth_free(w->growth);
    w->growth = NULL;
}

static void client_dies(struct world *w)
{
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (w->r.node[i])
            hx_node_closed(w->r.node[i], w->r.now_ms, 10 + w->client);
    hx_recovery_free(w->recovery);
    hx_growth_free(w->growth);
    hx_writer_free(w->writer);
    w->recovery = NULL;
    w->growth = NULL;
    w->writer = NULL;
    w->client++; /* what it sent may still arrive */
}

/* ---- the end: all six are equal, and are what was written ---- */
static uint64_t slot_value(const struct world *w, uint64_t page, unsigned slot)
{
    for (size_t i = w->rec_count; i-- > 0;)
        if (w->recs[i].page == page && w->recs[i].lsn % SLOTS == slot)
            return w->recs[i].lsn;
    return 0;
}

static void check_pages(struct world *w)
{
    for (uint32_t pg = 0; pg < hx_writer_geometry(w->writer)->pg_count; pg++) {
        uint64_t scl = hx_writer_pgcl(w->writer, pg).v;
        bool all = false; /* the writer helps, too: it makes segments that a growth did not reach */
        for (unsigned i = 0; i < 3000 && !(all = hx_rig_settle(&w->r, pg, scl, 0)); i++)
            some_time(w);
        assert_true(all);
        for (uint32_t page = 0; page < PG_PAGES; page += 16) {
            for (unsigned i = 0; i < HX_COPIES; i++) {
                uint8_t data[HX_PAGE_SIZE];
                struct hx_read_page p;
                assert_int_equal(hx_rig_read(&w->r, i, pg, w->epoch, scl, page, data, &p), 0);
                assert_int_not_equal(p.state, HX_READ_CORRUPT);
                for (unsigned s = 0; s < SLOTS; s++)
                    if (hx_get_u64(data + 8 * s) != slot_value(w, (uint64_t)pg * PG_PAGES + page, s))
                        fail_msg("server %u PG %u page %u slot %u", i, pg, page, s);
            }
        }
    }
}

static void one_life(uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);
    w->rng = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    w->client = 1;
    hx_rig_init(&w->r, HX_COPIES, PG_PAGES * HX_PAGE_SIZE, 1, 32u << 10);
    create_volume(w);
    for (unsigned round = 0; round < 8; round++) {
        w->faults = true;
        open_volume(w);
        for (unsigned i = 0; i < 30 + dice(w, 200) && !hx_writer_state(w->writer); i++) {
            if (hx_writer_geometry(w->writer)->pg_count < 3 && dice(w, 100) == 0)
                try_growth(w);
            for (uint64_t n = dice(w, 3); n > 0; n--)
                write_mtr(w);
            some_time(w);
        }
        if (round < 7 && dice(w, 3) == 0) { /* an opening that dies half way */
            client_dies(w);
            struct hx_recovery_cfg cfg = {.hint = &w->r.geometry, .epoch_seen = HX_EPOCH(w->epoch), .seed = w->rng,
                                          .owner = hx_rig_uuid(7000 + w->client), .now_ms = w->r.now_ms};
            assert_int_equal(hx_recovery_new(&cfg, &w->recovery), 0);
            for (uint64_t n = dice(w, 40); n > 0 && hx_recovery_state(w->recovery) < HX_RECOVERY_OPEN; n--)
                some_time(w);
            if (hx_recovery_state(w->recovery) == HX_RECOVERY_OPEN) {
                const struct hx_recovery_result *res = hx_recovery_result(w->recovery);
                check_cut(w, hx_history_top_entry(&res->history)->vdl.v);
            }
        }
        if (round < 7)
            client_dies(w);
    }
    heal(w);
    assert_int_equal(hx_writer_state(w->writer), 0);
    /* A record in each PG, so that every member meets this epoch. */
    for (unsigned i = 0; i < 60; i++)
        write_mtr(w);
    hx_writer_want(w->writer, w->r.now_ms, hx_writer_last(w->writer));
    for (unsigned i = 0; i < 4000 && hx_writer_vdl(w->writer).v < hx_writer_last(w->writer).v; i++)
        some_time(w);
    assert_int_equal(hx_writer_vdl(w->writer).v, hx_writer_last(w->writer).v);
    check_pages(w);
    client_dies(w);
    for (size_t i = 0; i < w->f_count; i++)
        free(w->f[i].bytes);
    free(w->f);
    hx_rig_fini(&w->r);
    free(w);
}

/* Promise: see above.  Method: twelve lives of a volume, each with eight clients. */
static void clients_and_servers_come_and_go_and_nothing_is_lost(void **state)
{
    (void)state;
    const char *one = getenv("HX_SEED");
    if (one)
        one_life(strtoull(one, NULL, 10));
    for (uint64_t seed = 1; seed <= 12 && !one; seed++) {
        print_message("# seed %llu\n", (unsigned long long)seed);
        one_life(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_and_servers_come_and_go_and_nothing_is_lost),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
