/*
 * recovery_kit.h - shorthands for tests of openings over tests/lib/fake_fleet.h: run one for a while, take members
 * down, put records somewhere, let members refuse or lie.
 */
#ifndef HEXAD_TESTS_RECOVERY_KIT_H
#define HEXAD_TESTS_RECOVERY_KIT_H

#include "fake_fleet.h"

#include "hexad/quorum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define LAL 1000u
#define STEPS_MAX 20000


static inline struct hx_recovery *start(struct fleet *f, uint64_t epoch_seen, uint8_t who)
{
    struct hx_recovery *r = NULL;
    struct hx_recovery_cfg cfg = {
        .hint = &f->geometry, .epoch_seen = HX_EPOCH(epoch_seen), .seed = who, .now_ms = f->now_ms};
    memset(cfg.owner.b, who, 16);
    assert_int_equal(hx_recovery_new(&cfg, &r), 0);
    return r;
}

static inline bool at_end(const struct hx_recovery *r)
{
    return hx_recovery_state(r) == HX_RECOVERY_OPEN || hx_recovery_state(r) == HX_RECOVERY_FAILED;
}

/* Runs for at most MS of virtual time; true at an end. */
static inline bool run_for(struct fleet *f, struct hx_recovery *r, uint64_t ms)
{
    struct fleet_part p = fleet_recovery(r);
    uint64_t until = f->now_ms + ms;
    for (int i = 0; i < STEPS_MAX && !at_end(r) && f->now_ms < until; i++)
        if (!fleet_step(f, &p, 1))
            break;
    return at_end(r);
}

/* With peers that gossip once a second. */
static inline struct hx_recovery *open_volume(struct fleet *f, uint64_t epoch_seen)
{
    struct hx_recovery *r = start(f, epoch_seen, 9);
    for (int s = 0; s < 60 && !run_for(f, r, 1000); s++)
        fleet_gossip(f);
    char text[256];
    hx_recovery_waiting(r, text, sizeof text);
    if (hx_recovery_state(r) != HX_RECOVERY_OPEN)
        fail_msg("not open: %s", text);
    return r;
}

static inline void finish(struct fleet *f, struct hx_recovery *r)
{
    fleet_abandon(f, r);
    hx_recovery_free(r);
}

static inline void down(struct fleet *f, uint32_t pg, hx_members set)
{
    for (unsigned i = 0; i < HX_COPIES; i++)
        f->servers[fleet_server_at(f, pg, i)].down = hx_members_has(set, i);
}

/* A record of epoch E at the members in SET. */
static inline void put(struct fleet *f, uint32_t pg, hx_members set, uint64_t lsn, uint64_t e, uint64_t prev,
                       bool cpl, uint64_t vdl)
{
    uint8_t payload[FLEET_PAYLOAD];
    struct fleet_rec rec = fleet_make(lsn, e, prev, cpl, 0, payload);
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (hx_members_has(set, i))
            assert_int_equal(fleet_append(f, pg, i, &rec, HX_LSN(vdl)), 0);
}

static inline void push(struct hx_history *h, uint64_t e, uint64_t vdl, uint64_t end)
{
    assert_int_equal(hx_history_push(h, (struct hx_history_entry){HX_EPOCH(e), HX_LSN(vdl), HX_LSN(end), LAL}), 0);
}

static inline const struct hx_history_entry *top(const struct hx_recovery *r)
{
    return hx_history_top_entry(&hx_recovery_result(r)->history);
}

static inline void waiting_has(const struct hx_recovery *r, const char *part)
{
    char text[512];
    hx_recovery_waiting(r, text, sizeof text);
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, text);
}

struct script {
    int status;          /* answer to requests that match, or FLEET_SILENT */
    uint16_t type;
    uint32_t pg;
    hx_members slots;    /* of that PG */
    unsigned times;      /* how often; 0: always */
    unsigned hits;
    struct hx_epoch raise; /* the member's promise before it answers */
};

static inline int play(void *ctx, struct fleet *f, uint32_t server, const struct hx_msg_head *h, struct hx_bytes body)
{
    struct script *s = ctx;
    (void)body;
    if (h->type != s->type || h->pg != s->pg || (s->times != 0 && s->hits >= s->times))
        return 0;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        if (!hx_members_has(s->slots, i) || fleet_server_at(f, h->pg, i) != server)
            continue;
        s->hits++;
        if (s->raise.v != 0)
            fleet_seg_at(f, h->pg, i)->promised = s->raise;
        return s->status;
    }
    return 0;
}

/* Answers to one kind of message, of some members of a group, are changed: the inventory, or any bytes. */
struct lie {
    uint16_t type;
    uint32_t pg;
    hx_members slots;
    unsigned times, hits; /* times 0: always */
    void (*inventory)(struct hx_inventory *v);
    void (*raw)(struct hx_reply_head *rh, uint8_t *body, size_t *len);
    const struct fleet *f;
};

static inline void tell(void *ctx, uint32_t server, const struct hx_msg_head *h, struct hx_reply_head *rh,
                        uint8_t *body, size_t *len)
{
    struct lie *l = ctx;
    hx_members slot = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (h->pg == l->pg && fleet_server_at(l->f, l->pg, i) == server)
            slot = hx_members_add(0, i);
    if (h->type != l->type || !(slot & l->slots) || rh->status != 0 || (l->times != 0 && l->hits >= l->times))
        return;
    l->hits++;
    if (l->raw != NULL) {
        l->raw(rh, body, len);
        return;
    }
    struct hx_inventory v = {0};
    struct hx_dec d = hx_dec_init(body, *len);
    assert_int_equal(hx_inventory_decode(&v, &d), 0);
    l->inventory(&v);
    assert_true(hx_inventory_encoded_len(&v) <= *len + FLEET_TWIST_ROOM);
    struct hx_enc e = hx_enc_init(body, *len + FLEET_TWIST_ROOM);
    hx_inventory_encode(&v, &e);
    assert_int_equal(e.err, 0);
    *len = e.len;
    hx_inventory_fini(&v);
}

static inline void let_lie(struct fleet *f, struct lie *l)
{
    l->f = f;
    f->twist = tell;
    f->twist_ctx = l;
}

static inline void ends_with(struct fleet *f, struct hx_recovery *r, int err, const char *words)
{
    assert_true(run_for(f, r, 60000));
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_FAILED);
    assert_int_equal(hx_recovery_error(r), err);
    waiting_has(r, words);
}

#endif
