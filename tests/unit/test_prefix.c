/*
 * test_prefix.c - crash states are prefixes: the mount dies at any moment of any sequence of one or two operations.
 *
 * Method: the simulator's world (src/sim/world.c): six segment servers, the production code of store, core and fs, no
 * faults but those made here.  A mount makes the tree of op_script.c, waits until it is durable, and carries out the
 * sequence; after a given number of events (a message that arrives, a flush that ends, a timer) it dies, in most cases
 * after half of the messages or more were lost, in some all servers lose power at the same moment.  Then the next mount
 * opens, and the simulator judges: what it finds must be, byte by byte, the accepted operations up to the point that
 * the opening chose (I7), nothing that a program was told to be durable may be missing (I1), and hx_fs_verify agrees.
 *
 * In `make check`: every operation alone, dying at POINTS moments of it and after its barrier; PAIRS pairs.
 * `make check-crash` (HEXAD_CRASH=1): at every event, and all pairs.  A failure prints the line that replays it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/sim/client.h"
#include "../../src/sim/net.h"
#include "../../src/sim/server.h"
#include "op_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTS 4u
#define PAIRS 60u
#define EVENTS_MAX 200000u /* of one life */

/* ---- a world ---- */
struct rig {
    struct hx_sim s;
    struct op_script o;
    uint64_t first_event; /* when the sequence began */
    uint64_t loss;        /* percent of the messages, from then on */
    uint64_t kept, lost;  /* changes of the last life, as the opening after it chose */
    bool told;            /* kept and lost are new */
};
struct tally {
    unsigned lives, whole, part, none;
};

/* The opening says how many changes of the life before it are official (work.c). */
static void listen(void *ctx, const char *line)
{
    struct rig *r = ctx;
    unsigned long long epoch, kept, lost;
    const char *check = strstr(line, "CHECK");
    if (check && !r->told && sscanf(check, "CHECK c0 %llu %llu %llu", &epoch, &kept, &lost) == 3) {
        r->kept = kept;
        r->lost = lost;
        r->told = true;
    }
}

static void begins(void *arg)
{
    struct rig *r = arg;
    r->first_event = r->s.events;
    r->s.opts.v[HX_OPT_net_loss_ppm] = r->loss * 10000;
}

static void rig_open(struct rig *r, uint64_t seed, const struct op_step *a, const struct op_step *b)
{
    static const char *const settings[] = {"servers=6", "clients=1", "pg_pages=512", "pgs_max=2", "lal=128",
                                           "window_kb=1536", "cache_kb=8192", "log_kb=256", "gossip_ms=200",
                                           "think_us=0", "net_delay_us=100", "net_jitter_us=200", "victims=0",
                                           "big_kb=1024"};
    *r = (struct rig){.loss = 0};
    hx_sim_opts_draw(&r->s.opts, seed);
    for (enum hx_sim_opt i = HX_OPT_net_late_ppm; i < HX_SIM_OPT_COUNT; i++)
        r->s.opts.v[i] = 0; /* no faults but ours */
    for (unsigned i = 0; i < HX_ARRAY_LEN(settings); i++)
        assert_int_equal(hx_sim_opts_set(&r->s.opts, settings[i]), 0);
    r->s.opts.v[HX_OPT_torn_pct] = 50;
    op_script_init(&r->o, &r->s, a, b);
    r->o.begins = begins;
    r->o.arg = r;
    r->s.script = &r->o.script;
    r->s.trace = listen;
    r->s.trace_ctx = r;
    r->s.story = true;
    assert_int_equal(hx_sim_begin(&r->s), 0);
    hx_sim_net_faults(r->s.net);
}

/* One mount, until POINT events after the sequence began, or its end when that comes first; LOSS percent of its
 * messages are lost from then on.  Gives back how many events the sequence has had. */
static uint64_t life(struct rig *r, uint64_t point, unsigned loss)
{
    op_script_begin(&r->o);
    r->loss = loss;
    hx_sim_client_start(&r->s, 0, true);
    for (unsigned n = 0; r->o.stage != OP_DONE; n++) {
        if (r->o.stage >= OP_SEQUENCE && r->s.events - r->first_event >= point)
            break;
        if (n == EVENTS_MAX)
            hx_sim_stuck(&r->s, "%u events and no end", n);
        if (!hx_sim_step(&r->s))
            break;
    }
    r->s.opts.v[HX_OPT_net_loss_ppm] = 0;
    return r->s.events - r->first_event;
}

static void die(struct rig *r, bool power)
{
    hx_sim_client_crash(&r->s, 0);
    for (uint32_t i = 0; power && i < r->s.server_count; i++)
        hx_sim_server_crash(&r->s, i, r->s.now_us);
    r->told = false;
}

static void judge(const struct rig *r, uint64_t point, unsigned loss, bool power)
{
    char what[120];
    if (!hx_sim_over(&r->s))
        return;
    op_script_name(&r->o, what, sizeof what);
    print_error("%s: died after %llu events, %u %% of messages lost%s: %s: %s\n", what, (unsigned long long)point, loss,
                power ? ", power lost" : "", r->s.verdict.invariant, r->s.verdict.text);
    print_error("replay: HEXAD_STATES='%u %u' build/tests/unit/test_prefix\n", (unsigned)(r->o.seq[0] - op_tried),
                r->o.seq_len > 1 ? (unsigned)(r->o.seq[1] - op_tried) : op_tried_count);
    fail();
}

/* What became of the life before. */
static void count(const struct rig *r, struct tally *t)
{
    t->lives++;
    t->whole += r->lost == 0;
    t->none += r->lost > 0 && r->lost >= r->o.seq_len;
    t->part += r->lost > 0 && r->lost < r->o.seq_len;
}

/* The sequence once to its end, and then dying at every event of it, or at POINTS_MAX moments. */
static void sequence(struct rig *r, uint64_t points_max, uint64_t random, struct tally *t)
{
    static const unsigned losses[] = {0, 50, 80, 97};
    uint64_t events = life(r, UINT64_MAX, 0), first = random % 7;
    judge(r, events, 0, false);
    uint64_t points = events < points_max ? events : points_max;
    die(r, random & 1);
    for (uint64_t i = 0; i < points; i++) {
        uint64_t x = (random + i) * UINT64_C(0x9e3779b97f4a7c15) >> 20;
        unsigned loss = losses[x & 3];
        bool power = x >> 2 & 1;
        uint64_t point = points == events ? i : i == 0 ? 0 : first + (events - 1) * i / points / (loss ? 4 : 1);
        life(r, point, loss);
        judge(r, point, loss, power);
        count(r, t);
        die(r, power);
    }
    life(r, 0, 0); /* what the last one left */
    judge(r, 0, 0, false);
    count(r, t);
    die(r, false);
}

static void one(const struct op_step *a, const struct op_step *b, bool between, uint64_t points, uint64_t seed,
                struct tally *t)
{
    struct rig r;
    rig_open(&r, seed, a, b);
    r.o.between = between;
    sequence(&r, points, seed, t);
    hx_sim_fini(&r.s);
}

static bool thorough(void)
{
    return getenv("HEXAD_CRASH") != NULL;
}

static void report(const char *what, size_t sequences, const struct tally *t)
{
    print_message("# %s: %zu sequences, %u deaths: all of it there %u, a part %u, nothing %u\n", what, sequences,
                  t->lives, t->whole, t->part, t->none);
}

/* Promise: whatever the operation, a crash leaves all of it or nothing, all of it after a barrier. */
static void after_one_operation_the_tree_is_a_prefix(void **state)
{
    struct tally t = {0};
    (void)state;
    for (unsigned i = 0; i < op_tried_count; i++)
        one(&op_tried[i], NULL, false, thorough() ? UINT64_MAX : POINTS, 1000 + i, &t);
    report("one operation", op_tried_count, &t);
    assert_true(t.whole > op_tried_count && t.none > op_tried_count / 4); /* both outcomes were seen, often */
}

/* Promise: the same of two, and never the second without the first. */
static void after_two_operations_the_tree_is_a_prefix(void **state)
{
    struct tally t = {0};
    unsigned pairs = thorough() ? op_tried_count * op_tried_count : PAIRS;
    (void)state;
    for (unsigned i = 0; i < pairs; i++) {
        const struct op_step *a, *b;
        op_script_pair(i, &a, &b);
        one(a, b, i % 4 == 0, POINTS, 5000 + i, &t);
    }
    report("two operations", pairs, &t);
    assert_true(t.whole > pairs / 2 && t.none > pairs / 8 && t.part > pairs / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_one_operation_the_tree_is_a_prefix),
        cmocka_unit_test(after_two_operations_the_tree_is_a_prefix),
    };
    const char *only = getenv("HEXAD_STATES");
    unsigned a, b;
    if (only && sscanf(only, "%u %u", &a, &b) == 2 && a < op_tried_count) {
        struct tally t = {0};
        one(&op_tried[a], b < op_tried_count ? &op_tried[b] : NULL, false, UINT64_MAX, 1000 + a, &t);
        report(op_tried[a].name, 1, &t);
        return 0;
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("prefix", tests, NULL, NULL);
}
