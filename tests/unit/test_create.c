/*
 * test_create.c - making a volume, finding it, and what an interrupted creation leaves; scripted servers.
 */
#include "fake_fleet.h"

#include "hexad/quorum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define STEPS_MAX 20000

static struct hx_create *start_with(struct fleet *f, uint8_t who, uint64_t pg_bytes,
                                    const struct hx_server *servers, uint32_t count)
{
    struct hx_create *c = NULL;
    struct hx_create_cfg cfg = {.name = "vol0", .pg_bytes = pg_bytes, .created_us = 5, .now_ms = f->now_ms,
                                .servers = servers, .server_count = count};
    memset(cfg.volume.b, who, 16);
    memset(cfg.owner.b, who, 16);
    assert_int_equal(hx_create_new(&cfg, &c), 0);
    return c;
}

static struct hx_create *start(struct fleet *f, uint8_t who)
{
    struct hx_server *s = calloc(f->server_count + 1, sizeof *s);
    for (uint32_t i = 0; i < f->server_count; i++) {
        s[i] = f->servers[i].s;
        memset(s[i].incarnation.b, 0, 16);
    }
    struct hx_create *c = start_with(f, who, 0, s, f->server_count);
    free(s);
    return c;
}

static int run_for(struct fleet *f, struct hx_create *c, uint64_t ms)
{
    struct fleet_part p = fleet_create(c);
    uint64_t until = f->now_ms + ms;
    for (int i = 0; i < STEPS_MAX && hx_create_state(c) == HX_E_AGAIN && f->now_ms < until; i++)
        fleet_step(f, &p, 1);
    return hx_create_state(c);
}

static int create(struct fleet *f, uint8_t who, char *why, size_t cap)
{
    struct hx_create *c = start(f, who);
    int state = run_for(f, c, 60000);
    snprintf(why, cap, "%s", hx_create_why(c));
    fleet_abandon(f, c);
    hx_create_free(c);
    return state;
}

static void has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, text);
}

static unsigned made(struct fleet *f, uint8_t who)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < f->server_count; i++)
        n += f->servers[i].seg_count > 0 && f->servers[i].segs[0].there &&
             f->servers[i].segs[0].geometry.volume.b[0] == who;
    return n;
}

static void all_six_have_group_zero_when_it_is_done(void **state)
{
    /* Promise (C2): done means six members with history (1,0,0,lal) and the geometry; an opening follows. */
    (void)state;
    struct fleet *f = fleet_new_bare(6);
    struct hx_create *c = start(f, 7);
    assert_int_equal(run_for(f, c, 60000), 0);
    const struct hx_geometry *g = hx_create_geometry(c);
    assert_int_equal(g->pg_count, 1);
    assert_int_equal(g->pg_bytes, HX_PG_SIZE_DEFAULT);
    assert_int_equal(g->lal, HX_LAL_DEFAULT);
    for (uint32_t i = 0; i < 6; i++) {
        assert_true(hx_uuid_eq(&g->servers[i].incarnation, &f->servers[i].s.incarnation));
        const struct fleet_seg *s = &f->servers[i].segs[0];
        assert_int_equal(s->history.count, 1);
        assert_int_equal(s->history.e[0].epoch.v, 1);
        assert_int_equal(s->history.e[0].lal, HX_LAL_DEFAULT);
    }
    struct hx_recovery *r;
    struct hx_recovery_cfg cfg = {.hint = g, .epoch_seen = HX_EPOCH(1), .now_ms = f->now_ms};
    assert_int_equal(hx_recovery_new(&cfg, &r), 0);
    struct fleet_part p = fleet_recovery(r);
    memcpy(&f->geometry.volume, &g->volume, sizeof g->volume);
    for (int i = 0; i < STEPS_MAX && hx_recovery_state(r) < HX_RECOVERY_OPEN; i++)
        fleet_step(f, &p, 1);
    assert_int_equal(hx_recovery_state(r), HX_RECOVERY_OPEN);
    fleet_abandon(f, r);
    hx_recovery_free(r);
    hx_create_free(c);
    fleet_free(f);
}

static void a_silent_server_that_is_not_needed_does_not_stop_it(void **state)
{
    /* Promise (C1): with twelve servers and one dead, six others are used; with six and one dead, the dead one is
     * named and nothing was made. */
    (void)state;
    char why[1024];
    struct fleet *f = fleet_new_bare(12);
    f->servers[3].down = true;
    assert_int_equal(create(f, 7, why, sizeof why), 0);
    assert_int_equal(made(f, 7), 6);
    assert_int_equal(f->servers[3].seg_count, 0);
    fleet_free(f);
    f = fleet_new_bare(6);
    f->servers[3].down = true;
    assert_int_equal(create(f, 7, why, sizeof why), HX_E_TIMEOUT);
    has(why, "no answer from b2 ");
    assert_int_equal(made(f, 7), 0);
    fleet_free(f);
}

static void a_volume_that_six_have_exists(void **state)
{
    /* Promise: a second creation of the name is refused and changes nothing, opened or not. */
    (void)state;
    char why[1024];
    struct fleet *f = fleet_new_bare(6);
    assert_int_equal(create(f, 7, why, sizeof why), 0);
    assert_int_equal(create(f, 8, why, sizeof why), HX_E_EXISTS_VOLUME);
    has(why, "vol0 exists (volume 0707");
    assert_int_equal(made(f, 7), 6);
    fleet_free(f);
}

static int only_some(void *ctx, struct fleet *f, uint32_t server, const struct hx_msg_head *h, struct hx_bytes body)
{
    (void)f;
    (void)body;
    return h->type == HX_MSG_FORMAT && !hx_members_has(*(hx_members *)ctx, server) ? FLEET_SILENT : 0;
}

/* Leaves a creation that only the servers in SET have carried out. */
static void interrupt(struct fleet *f, uint8_t who, hx_members set)
{
    char why[1024];
    f->hook = only_some;
    f->hook_ctx = &set;
    assert_int_equal(create(f, who, why, sizeof why), HX_E_TIMEOUT);
    has(why, "is not usable until it has been created again");
    f->hook = NULL;
}

static void an_interrupted_creation_is_finished_by_the_next_one(void **state)
{
    /* Promise: whichever of the six had made it, running it again gives one whole volume, the first one's.
     * Method: all 62 partial sets. */
    (void)state;
    char why[1024];
    for (unsigned set = 1; set < 63; set++) {
        struct fleet *f = fleet_new_bare(6);
        interrupt(f, 7, (hx_members)set);
        assert_int_equal(made(f, 7), hx_members_count((hx_members)set));
        assert_int_equal(create(f, 8, why, sizeof why), 0);
        assert_int_equal(made(f, 7), 6);
        fleet_free(f);
    }
}

static void a_leftover_that_cannot_be_finished_is_explained(void **state)
{
    /* Promise: other settings, a server that is away or is not the one any more, or two leftovers: refused with
     * the servers to clean; nothing is changed. */
    (void)state;
    char why[1024];
    struct fleet *f = fleet_new_bare(12);
    interrupt(f, 7, 0x07);
    f->servers[5].s.incarnation.b[3] ^= 1; /* its directory is a new one */
    assert_int_equal(create(f, 8, why, sizeof why), HX_E_EXISTS_VOLUME);
    has(why, "was interrupted: a1 a2 b1 know it as volume 0707");
    assert_int_equal(made(f, 8), 0);
    fleet_free(f);

    f = fleet_new_bare(6);
    interrupt(f, 7, 0x07);
    struct hx_server s[6];
    for (uint32_t i = 0; i < 6; i++)
        s[i] = f->servers[i].s;
    struct hx_create *c = start_with(f, 8, HX_PG_SIZE_MIN, s, 6);
    assert_int_equal(run_for(f, c, 60000), HX_E_EXISTS_VOLUME);
    has(hx_create_why(c), "create again with that size");
    fleet_abandon(f, c);
    hx_create_free(c);
    fleet_free(f);

    f = fleet_new_bare(6);
    interrupt(f, 7, 0x07);
    memset(f->servers[1].segs[0].geometry.volume.b, 8, 16);
    assert_int_equal(create(f, 9, why, sizeof why), HX_E_EXISTS_VOLUME);
    has(why, "two creations of vol0 were interrupted; on a1 a2 b1, remove");
    assert_int_equal(made(f, 9), 0);
    fleet_free(f);
}

static void two_creations_at_once_never_both_succeed(void **state)
{
    /* Promise: one volume of a name at the most.  Method: 200 random interleavings. */
    (void)state;
    unsigned won = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct fleet *f = fleet_new_bare(6);
        struct hx_create *a = start(f, 7), *b = start(f, 8);
        struct fleet_part p[2] = {fleet_create(a), fleet_create(b)};
        f->random = true;
        f->rng = seed;
        for (int i = 0; i < STEPS_MAX && (hx_create_state(a) == HX_E_AGAIN || hx_create_state(b) == HX_E_AGAIN); i++)
            fleet_step(f, p, seed % 4 == 0 && hx_create_state(a) == HX_E_AGAIN && i < 30 ? 1 : 2);
        bool a_won = hx_create_state(a) == 0, b_won = hx_create_state(b) == 0;
        if (a_won && b_won) /* only as finishing the same one */
            assert_true(made(f, 7) == 6 || made(f, 8) == 6);
        won += a_won || b_won;
        if (a_won || b_won)
            assert_true(made(f, 7) == 6 || made(f, 8) == 6);
        fleet_abandon(f, a);
        fleet_abandon(f, b);
        hx_create_free(a);
        hx_create_free(b);
        fleet_free(f);
    }
    assert_true(won > 0);
}

static void a_volume_in_use_is_never_touched(void **state)
{
    /* Promise (C3): found on three of six, but opened once: refused.  Method: promise 2 on one of them. */
    (void)state;
    char why[1024];
    struct fleet *f = fleet_new_bare(6);
    interrupt(f, 7, 0x07);
    f->servers[1].segs[0].promised = HX_EPOCH(2);
    assert_int_equal(create(f, 8, why, sizeof why), HX_E_EXISTS_VOLUME);
    has(why, "vol0 exists");
    assert_int_equal(made(f, 7), 3);
    fleet_free(f);
}

static void wrong_configurations_are_refused_in_words(void **state)
{
    /* Promise: fewer than three zones of two, one server twice, a server that calls itself otherwise, a bad name. */
    (void)state;
    struct fleet *f = fleet_new_bare(6);
    struct hx_server s[6];
    for (uint32_t i = 0; i < 6; i++)
        s[i] = f->servers[i].s;
    struct hx_create *c = start_with(f, 7, 0, s, 5);
    assert_int_equal(run_for(f, c, 60000), HX_E_INVAL);
    has(hx_create_why(c), "six servers are needed, two in each of three zones");
    hx_create_free(c);
    c = start_with(f, 7, 0, s, 0);
    assert_int_equal(hx_create_state(c), HX_E_INVAL);
    hx_create_free(c);
    strcpy(s[2].name, "zzz");
    c = start_with(f, 7, 0, s, 6);
    assert_int_equal(run_for(f, c, 60000), HX_E_INVAL);
    has(hx_create_why(c), "calls itself b1 in zone az-b, but the configuration says zzz");
    fleet_abandon(f, c);
    hx_create_free(c);
    f->servers[4].s.incarnation = f->servers[5].s.incarnation;
    s[2] = f->servers[2].s;
    c = start_with(f, 7, 0, s, 6);
    assert_int_equal(run_for(f, c, 60000), HX_E_INVAL);
    has(hx_create_why(c), "are the same server");
    fleet_abandon(f, c);
    hx_create_free(c);
    struct hx_create_cfg cfg = {.name = "no/slash", .servers = s, .server_count = 6};
    assert_int_equal(hx_create_new(&cfg, &c), HX_E_INVAL);
    /* A log so short that operations would wait for ever, or longer than any writer can hold. */
    static const uint64_t lal[] = {1, HX_LAL_MIN - 1, HX_LAL_MAX + 1, UINT64_MAX};
    for (unsigned i = 0; i < HX_ARRAY_LEN(lal); i++) {
        cfg = (struct hx_create_cfg){.name = "v", .volume = {{1}}, .servers = s, .server_count = 6, .lal = lal[i]};
        assert_int_equal(hx_create_new(&cfg, &c), HX_E_INVAL);
    }
    cfg.lal = HX_LAL_MIN;
    assert_int_equal(hx_create_new(&cfg, &c), 0);
    hx_create_free(c);
    fleet_free(f);
}

static int refuse_role(void *ctx, struct fleet *f, uint32_t server, const struct hx_msg_head *h, struct hx_bytes body)
{
    (void)ctx;
    (void)f;
    (void)body;
    return h->type == HX_MSG_FORMAT && server == 2 ? HX_E_ROLE : 0;
}

static void a_refusal_ends_it_at_once_and_names_the_server(void **state)
{
    /* Promise: what no retry can mend is said at once.  Method: role refused on FORMAT. */
    (void)state;
    char why[1024];
    struct fleet *f = fleet_new_bare(6);
    f->hook = refuse_role;
    assert_int_equal(create(f, 7, why, sizeof why), HX_E_ROLE);
    has(why, "server b1: ");
    fleet_free(f);
}

/* ---- lookup ---- */

static void add(struct hx_lookup_sum *s, const struct hx_geometry *g, uint32_t server, uint64_t top, bool alive,
                uint64_t writer_epoch)
{
    struct hx_lookup l = {.volume = g->volume, .top = HX_EPOCH(top), .promised = HX_EPOCH(top), .geometry = *g,
                          .writer = {.alive = alive, .ago_ms = 100 - server, .epoch = HX_EPOCH(writer_epoch)}};
    snprintf(l.writer.text, sizeof l.writer.text, "w%llu", (unsigned long long)writer_epoch);
    struct hx_enc e = hx_enc_init(malloc(hx_lookup_encoded_max(&l)), hx_lookup_encoded_max(&l));
    hx_lookup_encode(&l, &e);
    assert_int_equal(e.err, 0);
    struct hx_bytes body = {e.p, e.len};
    struct hx_reply_head h = {.type = HX_MSG_LOOKUP, .server = g->servers[server].incarnation};
    uint8_t *reply = malloc(HX_REPLY_HEAD + e.len);
    hx_reply_head_encode(&h, &body, 1, reply);
    memcpy(reply + HX_REPLY_HEAD, e.p, e.len);
    for (size_t cut = 0; cut < HX_REPLY_HEAD + e.len; cut += 7)
        assert_int_not_equal(hx_lookup_sum_add(s, (struct hx_bytes){reply, cut}), 0);
    assert_int_equal(hx_lookup_sum_add(s, (struct hx_bytes){reply, HX_REPLY_HEAD + e.len}), 0);
    free(reply);
    free(e.p);
}

static void lookup_folds_the_newest_and_counts_each_server_once(void **state)
{
    /* Promise (L1, L2): highest geometry, epoch and writer; three members of PG 0 are enough, others are not. */
    (void)state;
    struct fleet *f = fleet_new(12, 2, 100);
    struct hx_lookup_sum s = {0};
    struct hx_geometry *g = &f->geometry;
    add(&s, g, fleet_server_at(f, 0, 0), 3, true, 3);
    add(&s, g, fleet_server_at(f, 0, 0), 3, true, 3);
    assert_int_equal(s.answers, 1);
    assert_int_equal(s.writer_alive, 1);
    for (unsigned i = 0; i < HX_COPIES; i++)
        add(&s, g, fleet_server_at(f, 1, i), 1, false, 1);
    assert_int_equal(s.answers, 7);
    assert_false(hx_lookup_sum_enough(&s));
    assert_string_equal(s.writer_text, "w3");
    add(&s, g, fleet_server_at(f, 0, 1), 4, true, 4);
    assert_int_equal(s.writer_alive, 1);
    assert_string_equal(s.writer_text, "w4");
    g->epoch = HX_EPOCH(4);
    g->lal = 101;
    add(&s, g, fleet_server_at(f, 0, 2), 4, true, 4);
    assert_int_equal(s.writer_alive, 2);
    assert_int_equal(s.geometry.lal, 101);
    assert_int_equal(s.epoch.v, 4);
    assert_true(hx_lookup_sum_enough(&s));
    hx_lookup_sum_fini(&s);
    fleet_free(f);
}

static void a_slice_leads_to_the_whole_and_never_replaces_it(void **state)
{
    /* Promise (L3): with slices alone an opening does not begin, but PG 0's members are known, and each is named until
     * he was heard; a whole geometry wins against a newer slice. */
    (void)state;
    struct fleet *f = fleet_new(12, 3, 100);
    struct hx_lookup_sum s = {0};
    struct hx_geometry *g = &f->geometry, slice = {0};
    unsigned slot = 0, n = 0;
    assert_null(hx_lookup_sum_way(&s, &slot));
    assert_int_equal(hx_geometry_slice(g, 2, &slice), 0);
    slice.m++;
    for (uint32_t i = 0; i < slice.server_count; i++)
        if (i != slice.pgs[0].server[4] && i != slice.pgs[0].server[5])
            add(&s, &slice, i, 3, true, 3);
    assert_int_equal(s.geometry.slice, 2);
    assert_false(hx_lookup_sum_enough(&s)); /* although four of PG 0 were heard */
    const struct hx_server *m;
    while ((m = hx_lookup_sum_way(&s, &slot)) != NULL) {
        assert_true(hx_uuid_eq(&m->incarnation, &g->servers[fleet_server_at(f, 0, 4 + n)].incarnation));
        n++;
    }
    assert_int_equal(n, 2);
    add(&s, g, fleet_server_at(f, 0, 4), 3, true, 3);
    assert_int_equal(s.geometry.slice, 0);
    assert_true(hx_lookup_sum_enough(&s));
    add(&s, &slice, slice.pgs[0].server[5], 3, true, 3);
    assert_int_equal(s.geometry.slice, 0);
    slot = 0;
    assert_null(hx_lookup_sum_way(&s, &slot));
    hx_lookup_sum_fini(&s);
    hx_geometry_fini(&slice);
    fleet_free(f);
}

static void a_leftover_of_the_same_name_loses_against_the_volume_in_use(void **state)
{
    /* Promise: whichever is heard first. */
    (void)state;
    for (unsigned first = 0; first < 2; first++) {
        struct fleet *f = fleet_new(12, 1, 100);
        struct hx_lookup_sum s = {0};
        for (unsigned k = 0; k < 2; k++) {
            bool left = k == first;
            f->geometry.volume.b[0] = left ? 1 : 2;
            for (uint32_t i = 0; i < 3; i++)
                add(&s, &f->geometry, left ? 6 + i : fleet_server_at(f, 0, i), left ? 1 : 5, false, left ? 0 : 5);
        }
        assert_int_equal(s.geometry.volume.b[0], 2);
        assert_int_equal(s.answers, 3);
        assert_int_equal(s.epoch.v, 5);
        assert_true(hx_lookup_sum_enough(&s));
        hx_lookup_sum_fini(&s);
        fleet_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_six_have_group_zero_when_it_is_done),
        cmocka_unit_test(a_silent_server_that_is_not_needed_does_not_stop_it),
        cmocka_unit_test(a_volume_that_six_have_exists),
        cmocka_unit_test(an_interrupted_creation_is_finished_by_the_next_one),
        cmocka_unit_test(a_leftover_that_cannot_be_finished_is_explained),
        cmocka_unit_test(two_creations_at_once_never_both_succeed),
        cmocka_unit_test(a_volume_in_use_is_never_touched),
        cmocka_unit_test(wrong_configurations_are_refused_in_words),
        cmocka_unit_test(a_refusal_ends_it_at_once_and_names_the_server),
        cmocka_unit_test(lookup_folds_the_newest_and_counts_each_server_once),
        cmocka_unit_test(a_slice_leads_to_the_whole_and_never_replaces_it),
        cmocka_unit_test(a_leftover_of_the_same_name_loses_against_the_volume_in_use),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("create", tests, NULL, NULL);
}
