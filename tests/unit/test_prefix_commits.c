/*
 * test_prefix_commits.c - crash states are prefixes, at every consistency point: after each mini-transaction of any
 * sequence of one or two operations, and of what frees the rest afterwards.
 *
 * Method: the simulator's programs and their judgement (src/sim/work.c) over a pager in memory, which is what a volume
 * looks like once recovery has chosen a consistency point; test_prefix.c has the servers, and cannot stop between two
 * mini-transactions that travel together.  The prepared tree (op_script.h), the sequence, then hx_fs_reap until nothing
 * is left, then another mount and its hx_fs_reap, for what was open; at the k-th commit the state is kept, nothing more
 * is answered, and the mount dies.  The next one finds that state: the whole tree must be the model's at that point,
 * once as it is and once more when everything has been freed.  For every k, until there are fewer commits than k.
 *
 * In `make check` every operation, the pairs on one file of many extents, and PAIRS others;
 * `make check-crash` (HEXAD_CRASH=1): all pairs.
 */
#include "../lib/mem_pager.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "op_script.h"

#include <stdlib.h>
#include <string.h>

#define PAIRS 300u
#define LAL 128u
#define TURNS_MAX 100000u

struct rig {
    struct hx_sim s;
    struct op_script o;
    struct hx_history h;
    struct mem_pager *m, *kept; /* owned; kept: as of the commit at which it dies */
    struct hx_work *w;
    uint64_t commits, dies_at, kept_lsn;
    bool counting, dead;
};

/* ---- the host: nothing waits, until it is dead: then nothing is answered ---- */
static void start(void *ctx, struct hx_op *op)
{
    struct rig *r = ctx;
    int rc;
    do
        rc = op->calls->run(op);
    while (mem_pager_again(r->m, rc));
    if (rc < 0)
        (op->calls->fail)(op, rc == HX_E_GROW ? HX_E_NOSPACE : rc);
}

static void begin(void *ctx)
{
    (void)mem_pager_again(((struct rig *)ctx)->m, 0);
}

static int when_durable(void *ctx, struct hx_op *op)
{
    if (((struct rig *)ctx)->dead)
        return 1;
    op->calls->durable(op);
    return 0;
}

static bool cancel(void *ctx, struct hx_op *op)
{
    (void)ctx;
    (void)op;
    return false;
}

static struct hx_lsn last(void *ctx)
{
    return HX_LSN(((struct rig *)ctx)->m->lsn);
}

static bool yes(void *ctx)
{
    (void)ctx;
    return true;
}

static bool no(void *ctx)
{
    (void)ctx;
    return false;
}

static void durable(void *ctx, struct hx_lsn lsn)
{
    (void)ctx;
    (void)lsn;
}

static void note_free(void *ctx, uint64_t pages)
{
    (void)ctx;
    (void)pages;
}

/* ---- a life ---- */
static void keep(struct rig *r)
{
    r->kept = mem_pager_clone(r->m);
    r->kept_lsn = r->m->lsn;
}

static void on_commit(void *arg)
{
    struct rig *r = arg;
    if (!r->counting || r->dead || ++r->commits != r->dies_at)
        return;
    r->dead = true;
    keep(r);
}

static void begins(void *arg)
{
    struct rig *r = arg;
    r->counting = true;
}

static void push(struct rig *r, uint64_t vdl)
{
    const struct hx_history_entry *top = hx_history_top_entry(&r->h);
    uint64_t from = r->h.count && top->end.v > vdl ? top->end.v : vdl, epoch = r->h.count ? top->epoch.v + 1 : 1;
    struct hx_history_entry e = {HX_EPOCH(epoch), HX_LSN(vdl), HX_LSN(from + (r->h.count ? LAL : 0)), LAL};
    assert_int_equal(hx_history_push(&r->h, e), 0);
}

static void mount(struct rig *r, struct mem_pager *m)
{
    const struct hx_work_host host = {r, start, begin, when_durable, cancel, last, yes, no, durable, note_free};
    r->m = m;
    m->lsn = hx_history_top_entry(&r->h)->end.v;
    m->mtr_max = LAL;
    m->on_commit = on_commit;
    m->on_commit_arg = r;
    m->drop_percent = 2;
    r->w = hx_work_new(&r->s, 0, &host, &m->base, &r->h);
}

static void rig_open(struct rig *r, const struct op_step *a, const struct op_step *b, uint64_t dies_at)
{
    memset(r, 0, sizeof *r);
    hx_sim_opts_draw(&r->s.opts, dies_at);
    r->s.opts.v[HX_OPT_pg_pages] = 512;
    r->s.opts.v[HX_OPT_pgs_max] = 2;
    r->s.opts.v[HX_OPT_lal] = LAL;
    r->s.opts.v[HX_OPT_think_us] = 0;
    r->s.opts.v[HX_OPT_big_kb] = 1024;
    r->s.journal = hx_journal_new(&r->s);
    op_script_init(&r->o, &r->s, a, b);
    r->o.begins = begins;
    r->o.arg = r;
    r->s.script = &r->o.script;
    r->dies_at = dies_at;
    push(r, 0);
    push(r, 0);
    mount(r, mem_pager_new(512, 1024, dies_at));
}

static void rig_close(struct rig *r)
{
    hx_work_free(r->w);
    hx_journal_free(r->s.journal);
    hx_history_fini(&r->h);
    mem_pager_free(r->m);
    mem_pager_free(r->kept);
}

static bool go_on(struct rig *r, unsigned turns)
{
    r->s.now_us++;
    assert_true(turns < TURNS_MAX);
    return !r->dead && !hx_sim_over(&r->s);
}

/* Frees everything that nobody can see. */
static void reap(struct rig *r)
{
    for (unsigned i = 0, idle = 0; go_on(r, i) && idle < 3; i++) {
        uint64_t before = r->m->commits;
        hx_work_background(r->w);
        idle = r->m->commits == before ? idle + 1 : 0;
    }
}

/* The mount that opens next: compares the tree, frees, compares again.  COUNTING: it may die at that. */
static void next_mount(struct rig *r, bool counting)
{
    struct mem_pager *m = r->kept;
    hx_work_free(r->w);
    mem_pager_free(r->m);
    r->w = NULL;
    r->kept = NULL;
    push(r, r->kept_lsn);
    r->s.script = NULL; /* no programs: ops is 0 */
    r->s.opts.v[HX_OPT_ops] = 0;
    r->dead = false;
    r->counting = counting;
    mount(r, m);
    for (unsigned again = 0; again < 2 && !hx_sim_over(&r->s); again++) {
        hx_work_compare(r->w);
        for (unsigned i = 0; go_on(r, i) && !hx_work_compared(r->w); i++)
            hx_work_step(r->w);
        reap(r);
    }
}

/* False: there are fewer commits than DIES_AT. */
static bool life(const struct op_step *a, const struct op_step *b, uint64_t dies_at)
{
    struct rig r;
    char what[120];
    rig_open(&r, a, b, dies_at);
    for (unsigned i = 0; go_on(&r, i) && r.o.stage != OP_DONE; i++)
        hx_work_step(r.w);
    reap(&r);
    bool died = r.dead;
    if (!died)
        keep(&r);
    if (!hx_sim_over(&r.s))
        next_mount(&r, !died); /* frees what was open, too */
    if (!died && r.dead && !hx_sim_over(&r.s)) {
        died = true;
        next_mount(&r, false);
    }
    op_script_name(&r.o, what, sizeof what);
    if (hx_sim_over(&r.s))
        fail_msg("%s (%u, %u): died at commit %llu: %s: %s", what, (unsigned)(a - op_tried),
                 b ? (unsigned)(b - op_tried) : op_tried_count, (unsigned long long)dies_at, r.s.verdict.invariant,
                 r.s.verdict.text);
    rig_close(&r);
    return died;
}

/* At every commit; gives back how many there are. */
static unsigned sequence(const struct op_step *a, const struct op_step *b)
{
    unsigned k = 1;
    while (life(a, b, k))
        k++;
    return k - 1;
}

/* Promise: at each consistency point of an operation the tree is as before it, or as after it. */
static void each_commit_of_one_operation_is_a_prefix(void **state)
{
    unsigned sum = 0, several = 0;
    (void)state;
    for (unsigned i = 0; i < op_tried_count; i++) {
        unsigned n = sequence(&op_tried[i], NULL);
        sum += n;
        several += n > 1;
    }
    print_message("# %u operations, %u consistency points, %u of them have several\n", op_tried_count, sum, several);
    assert_true(sum > op_tried_count && several > 50);
}

/* Promise: the same of two, the second never without the first. */
static void each_commit_of_two_operations_is_a_prefix(void **state)
{
    const char *all = getenv("HEXAD_CRASH");
    unsigned pairs = all ? op_tried_count * op_tried_count : PAIRS, sum = 0;
    (void)state;
    for (unsigned i = 0; i < pairs; i++) {
        const struct op_step *a, *b;
        op_script_pair(i, &a, &b);
        sum += sequence(a, b);
    }
    print_message("# %u pairs, %u consistency points\n", pairs, sum);
    assert_true(sum > pairs);
}

/* Promise: so it is where the second meets what the first has left to be freed later: a tail that was cut off. */
static void each_commit_of_two_operations_on_one_file_is_a_prefix(void **state)
{
    unsigned pairs = 0, sum = 0;
    (void)state;
    for (unsigned i = 0; i < op_tried_count; i++)
        for (unsigned k = 0; op_tried[i].a.ino == ISLANDS && k < op_tried_count; k++)
            if (op_tried[k].a.ino == ISLANDS) {
                sum += sequence(&op_tried[i], &op_tried[k]);
                pairs++;
            }
    print_message("# %u pairs, %u consistency points\n", pairs, sum);
    assert_true(pairs >= 100 && sum > pairs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_commit_of_one_operation_is_a_prefix),
        cmocka_unit_test(each_commit_of_two_operations_on_one_file_is_a_prefix),
        cmocka_unit_test(each_commit_of_two_operations_is_a_prefix),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("prefix_commits", tests, NULL, NULL);
}
