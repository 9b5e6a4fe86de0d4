/*
 * test_create_odd.c - making a volume where servers are away, answer what cannot be, or know leftovers; and what the
 * look-up makes of answers that cannot be (src/core/create.c, lookup.c).
 *
 * Method: scripted servers in virtual time.  A creation ends in words that name what to do, never in half a volume
 * that calls itself made (C1..C3).
 */
#include "fake_fleet.h"

#include "hexad/quorum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define STEPS_MAX 20000

struct stage {
    struct fleet *f;
    struct hx_server s[18]; /* as configured */
    struct hx_create_cfg cfg;
    struct hx_create *c;
};

static void open_stage(struct stage *g, uint32_t servers)
{
    *g = (struct stage){.f = fleet_new_bare(servers)};
    for (uint32_t i = 0; i < servers; i++) {
        g->s[i] = g->f->servers[i].s;
        memset(g->s[i].incarnation.b, 0, 16);
    }
    g->cfg = (struct hx_create_cfg){.name = "vol0", .created_us = 5, .servers = g->s, .server_count = servers};
    memset(g->cfg.volume.b, 8, 16);
    memset(g->cfg.owner.b, 8, 16);
}

static void begin(struct stage *g)
{
    g->cfg.now_ms = g->f->now_ms;
    assert_int_equal(hx_create_new(&g->cfg, &g->c), 0);
}

static int run_for(struct stage *g, uint64_t ms)
{
    struct fleet_part p = fleet_create(g->c);
    uint64_t until = g->f->now_ms + ms;
    for (int i = 0; i < STEPS_MAX && hx_create_state(g->c) == HX_E_AGAIN && g->f->now_ms < until; i++)
        fleet_step(g->f, &p, 1);
    return hx_create_state(g->c);
}

static void ends(struct stage *g, int err, const char *words)
{
    begin(g);
    int state = run_for(g, 60000);
    if (state != err || strstr(hx_create_why(g->c), words) == NULL)
        fail_msg("%d, not %d: \"%s\" is not in: %s", state, err, words, hx_create_why(g->c));
}

static void give_up(struct stage *g)
{
    fleet_abandon(g->f, g->c);
    hx_create_free(g->c);
    g->c = NULL;
}

static void close_stage(struct stage *g)
{
    if (g->c)
        give_up(g);
    fleet_free(g->f);
}

/* A volume of this name, VOLUME, made on the first COUNT servers; its settings are the defaults. */
static void leave(struct stage *g, uint8_t volume, unsigned count)
{
    struct hx_create *c;
    struct hx_create_cfg cfg = g->cfg;
    cfg.now_ms = g->f->now_ms;
    cfg.server_count = 6;
    memset(cfg.volume.b, volume, 16);
    assert_int_equal(hx_create_new(&cfg, &c), 0);
    struct fleet_part p = fleet_create(c);
    for (int i = 0; i < STEPS_MAX && hx_create_state(c) == HX_E_AGAIN; i++)
        fleet_step(g->f, &p, 1);
    assert_int_equal(hx_create_state(c), 0);
    hx_create_free(c);
    for (unsigned i = count; i < 6; i++) {
        struct fleet_seg *s = &g->f->servers[i].segs[0];
        hx_history_fini(&s->history);
        hx_geometry_fini(&s->geometry);
        s->there = false;
    }
}

static unsigned made(const struct stage *g)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < g->f->server_count; i++)
        n += g->f->servers[i].seg_count > 0 && g->f->servers[i].segs[0].there &&
             g->f->servers[i].segs[0].geometry.volume.b[0] == 8;
    return n;
}

/* ---- who is away ---- */

static void a_volume_in_use_is_found_though_others_are_silent(void **state)
{
    /* Promise (C1, C3): one that was opened ends the creation as soon as the grace is over, however many servers are
     * silent.  Method: it lies on the first six of eighteen; one, then nine others are down. */
    (void)state;
    for (unsigned silent = 1; silent <= 9; silent += 8) {
        struct stage g;
        open_stage(&g, 18);
        leave(&g, 7, 6);
        for (unsigned i = 0; i < 6; i++)
            g.f->servers[i].segs[0].promised = HX_EPOCH(2);
        for (unsigned i = 0; i < silent; i++)
            g.f->servers[17 - i].down = true;
        uint64_t from = g.f->now_ms;
        ends(&g, HX_E_EXISTS_VOLUME, "vol0 exists (volume 0707");
        assert_in_range(g.f->now_ms - from, 0, 9000); /* and not: patience */
        assert_int_equal(made(&g), 0);
        close_stage(&g);
    }
}

static void a_leftover_is_explained_though_others_are_silent(void **state)
{
    /* Promise: a leftover that lacks one of its six is explained, not overwritten nor ignored, when the six can be
     * chosen elsewhere, too; with more than five silent it is waited for, for they may know more. */
    (void)state;
    struct stage g;
    open_stage(&g, 18);
    leave(&g, 7, 3);
    g.f->servers[4].down = true;
    ends(&g, HX_E_EXISTS_VOLUME, "a creation of vol0 was interrupted: a1 a2 b1 know it");
    give_up(&g);
    for (unsigned i = 12; i < 18; i++)
        g.f->servers[i].down = true;
    uint64_t from = g.f->now_ms;
    ends(&g, HX_E_TIMEOUT, "no answer from ");
    assert_true(g.f->now_ms - from >= 10000);
    assert_int_equal(made(&g), 0);
    close_stage(&g);
}

static void a_leftover_waits_for_the_one_that_is_silent(void **state)
{
    /* Promise: with six servers in all, five heard and a leftover on three, the sixth may come: it is waited for, and
     * named when it does not; then the leftover is finished. */
    (void)state;
    struct stage g;
    open_stage(&g, 6);
    leave(&g, 7, 3);
    g.f->servers[5].down = true;
    uint64_t from = g.f->now_ms;
    ends(&g, HX_E_TIMEOUT, "no answer from c2 (");
    assert_true(g.f->now_ms - from >= 10000);
    give_up(&g);
    g.f->servers[5].down = false;
    ends(&g, 0, "made");
    assert_int_equal(hx_create_geometry(g.c)->volume.b[0], 7);
    close_stage(&g);
}

static void with_six_silent_nothing_is_made(void **state)
{
    /* Promise (C1): a volume of that name has six members; with six silent it may be on just these. */
    (void)state;
    struct stage g;
    open_stage(&g, 18);
    for (unsigned i = 0; i < 5; i++)
        g.f->servers[i].down = true;
    ends(&g, 0, "made");
    give_up(&g);
    close_stage(&g);
    open_stage(&g, 18);
    for (unsigned i = 0; i < 6; i++)
        g.f->servers[i].down = true;
    ends(&g, HX_E_TIMEOUT, "no answer from a1 a2 b1 b2 c1 c2 (");
    assert_int_equal(made(&g), 0);
    close_stage(&g);
}

static int no_lookup(void *ctx, struct fleet *f, uint32_t server, const struct hx_msg_head *h, struct hx_bytes body)
{
    (void)ctx, (void)f, (void)body;
    return h->type == HX_MSG_LOOKUP && server == 2 ? HX_E_AGAIN : 0;
}

static void a_server_that_cannot_be_asked_everything_is_not_heard(void **state)
{
    /* Promise: heard is who answered both questions; the trouble with the other one is what is told. */
    (void)state;
    struct stage g;
    open_stage(&g, 6);
    g.f->hook = no_lookup;
    ends(&g, HX_E_AGAIN, "no answer from b1 (");
    assert_int_equal(made(&g), 0);
    close_stage(&g);
}

static void a_client_that_was_stopped_is_told_a_timeout(void **state)
{
    /* Promise: an end without an answer is an error whatever became of the questions.  Method: the process is stopped
     * between asking and the answers, in each of the two steps. */
    (void)state;
    struct stage g;
    struct hx_effect e;
    open_stage(&g, 6);
    begin(&g);
    while (hx_create_next(g.c, &e))
        ;
    hx_create_tick(g.c, g.f->now_ms + 20000);
    assert_int_equal(hx_create_state(g.c), HX_E_TIMEOUT);
    assert_non_null(strstr(hx_create_why(g.c), "no answer from a1 a2 b1 b2 c1 c2 ("));
    give_up(&g);
    begin(&g);
    struct fleet_part p = fleet_create(g.c);
    while (hx_create_geometry(g.c)->pg_count == 0)
        fleet_step(g.f, &p, 1);
    while (hx_create_next(g.c, &e))
        ;
    hx_create_tick(g.c, g.f->now_ms + 20000);
    assert_int_equal(hx_create_state(g.c), HX_E_TIMEOUT);
    assert_non_null(strstr(hx_create_why(g.c), "server a1: "));
    close_stage(&g);
}

/* ---- names ---- */

static void servers_without_a_name_take_their_own(void **state)
{
    /* Promise: a configuration may give the address only; what the servers call themselves goes into the volume, and
     * one that is silent is told by its address. */
    (void)state;
    struct stage g;
    open_stage(&g, 6);
    for (unsigned i = 0; i < 6; i++)
        g.s[i].name[0] = g.s[i].zone[0] = '\0';
    g.f->servers[3].down = true;
    ends(&g, HX_E_TIMEOUT, "no answer from https://127.0.0.1:9003 (");
    give_up(&g);
    g.f->servers[3].down = false;
    ends(&g, 0, "made");
    assert_string_equal(hx_create_geometry(g.c)->servers[3].name, "b2");
    assert_string_equal(hx_create_geometry(g.c)->servers[3].zone, "az-b");
    close_stage(&g);
}

static void another_name_or_zone_than_configured_is_refused(void **state)
{
    /* Promise: each of the two is compared where it is given. */
    (void)state;
    struct stage g;
    open_stage(&g, 6);
    g.s[1].name[0] = '\0';
    strcpy(g.s[1].zone, "elsewhere");
    ends(&g, HX_E_INVAL, "calls itself a2 in zone az-a, but the configuration says a2 in zone elsewhere");
    give_up(&g);
    g.s[1] = g.f->servers[1].s;
    g.s[1].zone[0] = '\0';
    strcpy(g.s[1].name, "other");
    ends(&g, HX_E_INVAL, "calls itself a2 in zone az-a, but the configuration says other in zone az-a");
    assert_int_equal(made(&g), 0);
    close_stage(&g);
}

static void many_long_names_are_cut(void **state)
{
    /* Promise: the words stay within their room.  Method: eighteen silent servers with names of 63 bytes. */
    (void)state;
    struct stage g;
    open_stage(&g, 18);
    for (unsigned i = 0; i < 18; i++) {
        memset(g.s[i].name, 'a' + (int)i, HX_NAME_MAX);
        g.f->servers[i].down = true;
    }
    ends(&g, HX_E_TIMEOUT, "no answer from aaaa");
    assert_in_range(strlen(hx_create_why(g.c)), 500, 640);
    close_stage(&g);
}

/* ---- leftovers ---- */

static void leftovers_with_other_settings_are_explained(void **state)
{
    /* Promise: a leftover is finished with its own settings or not at all; one that has grown was in use. */
    (void)state;
    struct stage g;
    open_stage(&g, 6);
    leave(&g, 7, 3);
    g.cfg.lal = HX_LAL_DEFAULT / 2;
    ends(&g, HX_E_EXISTS_VOLUME, "a creation of vol0 with groups of ");
    give_up(&g);
    g.cfg.lal = 0;
    struct hx_geometry *grown = &g.f->servers[1].segs[0].geometry;
    struct hx_pg_members m = grown->pgs[0];
    assert_int_equal(hx_geometry_add_pg(grown, &m), 0);
    ends(&g, HX_E_EXISTS_VOLUME, "vol0 exists (volume 0707");
    assert_int_equal(made(&g), 0);
    close_stage(&g);
}

static void a_promise_alone_tells_that_a_volume_is_in_use(void **state)
{
    /* Promise (C3): top history 1, but somebody has promised 2: an opening is under way. */
    (void)state;
    struct stage g;
    open_stage(&g, 6);
    leave(&g, 7, 3);
    g.f->servers[2].segs[0].promised = HX_EPOCH(2);
    ends(&g, HX_E_EXISTS_VOLUME, "vol0 exists (volume 0707");
    give_up(&g);
    g.f->servers[2].segs[0].promised = HX_EPOCH(1);
    assert_int_equal(hx_history_push(&g.f->servers[2].segs[0].history,
                                     (struct hx_history_entry){HX_EPOCH(2), HX_LSN(0), HX_LSN(9), 9}), 0);
    ends(&g, HX_E_EXISTS_VOLUME, "vol0 exists (volume 0707");
    close_stage(&g);
}

static void an_answer_without_a_group_is_malformed(void **state)
{
    /* Promise: a volume has a group; what comes from the wire is never trusted. */
    (void)state;
    struct stage g;
    open_stage(&g, 6);
    leave(&g, 7, 3);
    g.f->servers[1].segs[0].geometry.g = g.f->servers[1].segs[0].geometry.pg_count = 0;
    ends(&g, HX_E_BADMSG, "https://127.0.0.1:9001: malformed answer");
    assert_int_equal(made(&g), 0);
    close_stage(&g);
}

/* ---- FORMAT ---- */

struct refusal {
    int err;
    unsigned times, hits;
};

static int refuse_format(void *ctx, struct fleet *f, uint32_t server, const struct hx_msg_head *h,
                         struct hx_bytes body)
{
    struct refusal *r = ctx;
    (void)f, (void)body;
    if (h->type != HX_MSG_FORMAT || server != 2 || r->hits >= r->times)
        return 0;
    r->hits++;
    return r->err;
}

static void what_format_is_refused_with_decides_how_it_ends(void **state)
{
    /* Promise: another creation or mount, a refusal, a limit end it at once with the server's name; anything that
     * may pass is tried again (C2: all six, or not made). */
    static const struct {
        int err, state;
        const char *words;
    } row[] = {
        {HX_E_EXISTS_VOLUME, HX_E_EXISTS_VOLUME, "server b1 has vol0 already"},
        {HX_E_FENCED, HX_E_EXISTS_VOLUME, "server b1 has vol0 already"},
        {HX_E_ROLE, HX_E_ROLE, "server b1: "},
        {HX_E_NOSPACE, HX_E_NOSPACE, "server b1: "},
        {HX_E_INVAL, HX_E_INVAL, "server b1: "},
        {HX_E_AGAIN, 0, "made"},
        {HX_E_IO, 0, "made"},
        {HX_E_TIMEOUT, 0, "made"},
    };
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(row); i++) {
        struct stage g;
        struct refusal r = {.err = row[i].err, .times = 1};
        open_stage(&g, 6);
        g.f->hook = refuse_format;
        g.f->hook_ctx = &r;
        ends(&g, row[i].state, row[i].words);
        assert_int_equal(r.hits, 1);
        if (row[i].state == 0)
            assert_int_equal(made(&g), 6);
        close_stage(&g);
    }
    hx_create_free(NULL); /* as free(NULL) */
}

/* ---- the look-up ---- */

static int fold(struct hx_lookup_sum *s, const struct hx_lookup *l, uint16_t type, uint8_t server)
{
    struct hx_enc e = hx_enc_init(malloc(hx_lookup_encoded_max(l)), hx_lookup_encoded_max(l));
    hx_lookup_encode(l, &e);
    assert_int_equal(e.err, 0);
    struct hx_bytes body = {e.p, e.len};
    struct hx_reply_head h = {.type = type};
    memset(h.server.b, server, 16);
    uint8_t *reply = malloc(HX_REPLY_HEAD + e.len);
    hx_reply_head_encode(&h, &body, 1, reply);
    memcpy(reply + HX_REPLY_HEAD, e.p, e.len);
    int err = hx_lookup_sum_add(s, (struct hx_bytes){reply, HX_REPLY_HEAD + e.len});
    free(reply);
    free(e.p);
    return err;
}

static void what_is_no_look_up_is_not_folded_in(void **state)
{
    /* Promise: an answer to another question, without a group, or whose geometry is another volume's than it says,
     * changes nothing. */
    (void)state;
    struct fleet *f = fleet_new(6, 1, 100);
    struct hx_lookup_sum s = {0};
    struct hx_lookup l = {.volume = f->geometry.volume, .top = HX_EPOCH(5), .promised = HX_EPOCH(5),
                          .geometry = f->geometry};
    assert_int_equal(fold(&s, &l, HX_MSG_HELLO, 1), HX_E_BADMSG);
    l.geometry.g = l.geometry.pg_count = 0;
    assert_int_equal(fold(&s, &l, HX_MSG_LOOKUP, 1), HX_E_BADMSG);
    l.geometry = f->geometry;
    l.volume.b[4] ^= 1;
    assert_int_equal(fold(&s, &l, HX_MSG_LOOKUP, 1), HX_E_BADMSG);
    assert_false(s.found);
    assert_int_equal(s.answers, 0);
    l.volume.b[4] ^= 1;
    assert_int_equal(fold(&s, &l, HX_MSG_LOOKUP, 1), 0);
    assert_int_equal(s.answers, 1);
    hx_lookup_sum_fini(&s);
    fleet_free(f);
}

static void of_two_volumes_the_one_promised_highest_is_it(void **state)
{
    /* Promise: with equal top epochs it is the one that was promised highest, then the first; in any order. */
    (void)state;
    for (unsigned first = 0; first < 2; first++) {
        struct fleet *f = fleet_new(6, 1, 100);
        struct hx_lookup_sum s = {0};
        struct hx_lookup l = {.volume = f->geometry.volume, .top = HX_EPOCH(5), .geometry = f->geometry};
        for (unsigned k = 0; k < 3; k++) {
            l.promised = HX_EPOCH(k == first ? 9 : k == 2 ? 9 : 5);
            l.volume.b[0] = l.geometry.volume.b[0] = (uint8_t)(k == first ? 1 : 2 + k);
            assert_int_equal(fold(&s, &l, HX_MSG_LOOKUP, (uint8_t)(1 + k)), 0);
        }
        assert_int_equal(s.geometry.volume.b[0], 1);
        assert_int_equal(s.promised.v, 9);
        assert_int_equal(s.answers, 1);
        hx_lookup_sum_fini(&s);
        fleet_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_volume_in_use_is_found_though_others_are_silent),
        cmocka_unit_test(a_leftover_is_explained_though_others_are_silent),
        cmocka_unit_test(a_leftover_waits_for_the_one_that_is_silent),
        cmocka_unit_test(with_six_silent_nothing_is_made),
        cmocka_unit_test(a_server_that_cannot_be_asked_everything_is_not_heard),
        cmocka_unit_test(a_client_that_was_stopped_is_told_a_timeout),
        cmocka_unit_test(servers_without_a_name_take_their_own),
        cmocka_unit_test(another_name_or_zone_than_configured_is_refused),
        cmocka_unit_test(many_long_names_are_cut),
        cmocka_unit_test(leftovers_with_other_settings_are_explained),
        cmocka_unit_test(a_promise_alone_tells_that_a_volume_is_in_use),
        cmocka_unit_test(an_answer_without_a_group_is_malformed),
        cmocka_unit_test(what_format_is_refused_with_decides_how_it_ends),
        cmocka_unit_test(what_is_no_look_up_is_not_folded_in),
        cmocka_unit_test(of_two_volumes_the_one_promised_highest_is_it),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("create_odd", tests, NULL, NULL);
}
