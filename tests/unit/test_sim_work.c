/*
 * test_sim_work.c - the simulator's programs judge a right filesystem right, and a wrong one wrong.
 *
 * Method: the programs run on the real filesystem over a pager in memory, through misses, full logs and growth;
 * the mount crashes at any commit since the last barrier, and opens again.  No verdict may come of that.  Then one
 * thing is made wrong at a time: a byte, a name, a prefix, a promise, an answer; the verdict must name it.
 */
#include "../lib/mem_pager.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>


#include "../../src/sim/work_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define KEPT 48u
#define LAL 4096u

struct state { /* after a commit */
    struct mem_pager *m;
    uint64_t lsn;
};
enum wrong {
    NOTHING = 0, FLIPPED_BYTE, LOST_NAME, EXTRA_NAME, WRONG_MODE, WRONG_VALUE, LOST_VALUE, SHORT_PREFIX, LONG_PREFIX,
    CUT_BARRIER, SUCCESS_AFTER_FENCE, ANSWERED_TWICE, NEVER_FORMATTED
};
struct rig {
    struct hx_sim s;
    struct hx_journal *journal;
    struct hx_history h;
    struct mem_pager *m;
    struct hx_work *w;
    struct hx_rng rng;
    struct state kept[KEPT]; /* a ring of the last commits */
    size_t commits, at_barrier; /* commits so far; when the last barrier was answered */
    struct hx_op *waits[HX_WORK_SLOTS_MAX];
    unsigned wait_count;
    bool open, keep, made; /* made: the wrong thing has been done */
    enum wrong wrong;
};

/* ---- the host: operations run at once, or wait for the next turn ---- */
static bool again(struct rig *r, int rc)
{
    return mem_pager_again(r->m, rc);
}

static void start(void *ctx, struct hx_op *op)
{
    struct rig *r = ctx;
    int rc;
    if (!r->open && r->wrong != SUCCESS_AFTER_FENCE) {
        (op->calls->fail)(op, HX_E_FENCED);
        return;
    }
    do {
        rc = op->calls->run(op);
        if (rc == HX_E_GROW && op->calls->reclaim(op) == 1)
            rc = HX_E_ROOM;
    } while (again(r, rc));
    if (rc < 0)
        (op->calls->fail)(op, rc == HX_E_GROW ? HX_E_NOSPACE : rc);
    if (rc == 0 && r->wrong == ANSWERED_TWICE && hx_rng_below(&r->rng, 40) == 0)
        op->calls->durable(op);
}

static void begin(void *ctx)
{
    struct rig *r = ctx;
    (void)again(r, 0);
}

static int when_durable(void *ctx, struct hx_op *op)
{
    struct rig *r = ctx;
    if (hx_rng_below(&r->rng, 2)) {
        r->waits[r->wait_count++] = op;
        return 1;
    }
    op->calls->durable(op);
    return 0;
}

static bool cancel(void *ctx, struct hx_op *op)
{
    struct rig *r = ctx;
    for (unsigned i = 0; i < r->wait_count; i++)
        if (r->waits[i] == op) {
            r->waits[i] = r->waits[--r->wait_count];
            (op->calls->fail)(op, HX_E_CANCELED);
            return true;
        }
    return false;
}

static struct hx_lsn last(void *ctx)
{
    return HX_LSN(((struct rig *)ctx)->m->lsn);
}

static bool is_open(void *ctx)
{
    return ((struct rig *)ctx)->open;
}

static bool gated(void *ctx)
{
    (void)ctx;
    return false;
}

static void durable(void *ctx, struct hx_lsn lsn)
{
    struct rig *r = ctx;
    (void)lsn;
    r->at_barrier = r->commits;
}

static void note_free(void *ctx, uint64_t pages)
{
    (void)ctx;
    (void)pages;
}

/* ---- crashes ---- */
static void on_commit(void *arg)
{
    struct rig *r = arg;
    struct state *s = &r->kept[++r->commits % KEPT];
    if (!r->keep)
        return;
    mem_pager_free(s->m);
    *s = (struct state){mem_pager_clone(r->m), r->m->lsn};
}

static void push(struct rig *r, uint64_t epoch, uint64_t vdl)
{
    uint64_t end = r->h.count ? hx_history_top_entry(&r->h)->end.v : 0;
    end = (vdl > end ? vdl : end) + (r->h.count ? LAL : 0);
    struct hx_history_entry e = {HX_EPOCH(epoch), HX_LSN(vdl), HX_LSN(end), LAL};
    assert_int_equal(hx_history_push(&r->h, e), 0);
}

static void mount(struct rig *r, struct mem_pager *m)
{
    const struct hx_work_host host = {r, start, begin, when_durable, cancel, last, is_open, gated, durable, note_free};
    r->m = m;
    r->m->lsn = hx_history_top_entry(&r->h)->end.v;
    r->m->on_commit = on_commit;
    r->m->on_commit_arg = r;
    r->m->drop_percent = (unsigned)hx_rng_below(&r->rng, 4);
    r->m->room_percent = (unsigned)hx_rng_below(&r->rng, 4);
    r->open = true;
    r->keep = false;
    r->wait_count = 0;
    r->w = hx_work_new(&r->s, 0, &host, &m->base, &r->h);
}

static void rig_open(struct rig *r, uint64_t seed)
{
    memset(r, 0, sizeof *r);
    hx_sim_opts_draw(&r->s.opts, seed);
    r->s.opts.v[HX_OPT_ops] = 1u << 30;
    r->s.opts.v[HX_OPT_lal] = LAL;
    r->s.now_us = seed;
    r->rng = hx_rng_fork(seed, "rig", 0);
    r->s.journal = r->journal = hx_journal_new(&r->s);
    uint64_t pages = HX_OPT(&r->s, pg_pages);
    push(r, 1, 0);
    push(r, 2, 0);
    mount(r, mem_pager_new(pages, pages * HX_OPT(&r->s, pgs_max), seed));
}

static void rig_close(struct rig *r)
{
    hx_work_free(r->w);
    hx_journal_free(r->journal);
    hx_history_fini(&r->h);
    mem_pager_free(r->m);
    for (unsigned i = 0; i < KEPT; i++)
        mem_pager_free(r->kept[i].m);
}

/* Time passes; what waited for durability is answered; programs go on. */
static void turn(struct rig *r)
{
    unsigned n = r->wait_count;
    r->s.now_us += 1 + hx_rng_below(&r->rng, HX_OPT(&r->s, think_us));
    for (unsigned i = 0; i < n; i++)
        r->waits[i]->calls->durable(r->waits[i]);
    r->wait_count -= n;
    memmove(r->waits, r->waits + n, r->wait_count * sizeof *r->waits);
    hx_work_step(r->w);
    if (hx_rng_below(&r->rng, 4) == 0)
        hx_work_background(r->w);
}

static void turns(struct rig *r, unsigned count)
{
    for (unsigned i = 0; i < count && !hx_sim_over(&r->s); i++)
        turn(r);
}

/* The mount dies; BACK commits are lost, or as many as no barrier covers. */
static struct mem_pager *crash(struct rig *r, size_t back, uint64_t *ret_vdl)
{
    size_t most = r->commits - r->at_barrier;
    if (back > most)
        back = most;
    if (back >= KEPT)
        back = KEPT - 1;
    const struct state *s = &r->kept[(r->commits - back) % KEPT];
    *ret_vdl = s->m ? s->lsn : r->m->lsn;
    struct mem_pager *m = mem_pager_clone(s->m ? s->m : r->m);
    hx_work_free(r->w);
    mem_pager_free(r->m);
    r->w = NULL;
    r->m = NULL;
    return m;
}

static void forget_states(struct rig *r)
{
    for (unsigned i = 0; i < KEPT; i++) {
        mem_pager_free(r->kept[i].m);
        r->kept[i].m = NULL;
    }
}

static void reopen(struct rig *r, struct mem_pager *m, uint64_t vdl)
{
    push(r, hx_history_top(&r->h).v + 1 + hx_rng_below(&r->rng, 3), vdl);
    r->at_barrier = r->commits;
    forget_states(r);
    mount(r, m);
}

static void keep_states(struct rig *r)
{
    r->keep = true;
    r->at_barrier = r->commits;
    r->kept[r->commits % KEPT] = (struct state){mem_pager_clone(r->m), r->m->lsn};
}

/* No verdict, or the seed that has one is printed. */
static void expect(struct rig *r, const char *invariant, const char *invariant2)
{
    bool ok = invariant ? r->s.verdict.exit == HX_SIM_UNSAFE && (strcmp(r->s.verdict.invariant, invariant) == 0 ||
                                                                strcmp(r->s.verdict.invariant, invariant2) == 0)
                        : r->s.verdict.exit == HX_SIM_OK;
    if (!ok)
        fail_msg("seed %llu, wrong %u: verdict %u %s %s", (unsigned long long)r->s.opts.seed, r->wrong,
                 r->s.verdict.exit, r->s.verdict.invariant, r->s.verdict.text);
}

static void life(struct rig *r, struct hx_work_stats *sum)
{
    struct hx_work_stats st;
    uint64_t vdl;
    turns(r, 60 + (unsigned)hx_rng_below(&r->rng, 300));
    keep_states(r);
    turns(r, (unsigned)hx_rng_below(&r->rng, 40));
    hx_work_stats(r->w, &st);
    for (unsigned i = 0; i < HX_ACT_COUNT; i++)
        sum->kinds[i] += st.kinds[i];
    sum->begun += st.begun;
    sum->refused += st.refused;
    sum->compares += st.compares;
    sum->entries += st.entries;
    sum->barriers += st.barriers;
    struct mem_pager *m = crash(r, hx_rng_below(&r->rng, 12), &vdl);
    reopen(r, m, vdl);
}

static void the_end(struct rig *r)
{
    hx_work_compare(r->w);
    for (unsigned i = 0; i < 50 && !hx_work_compared(r->w) && !hx_sim_over(&r->s); i++)
        turn(r);
    assert_true(hx_work_compared(r->w) || hx_sim_over(&r->s));
    for (unsigned i = 0; i < 50 && !hx_work_drain(r->w, true) && !hx_sim_over(&r->s); i++)
        turn(r);
    assert_true(hx_work_drain(r->w, true) || hx_sim_over(&r->s));
}

static void a_right_filesystem_is_found_right(void **state)
{
    struct hx_work_stats sum = {0};
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rig r;
        rig_open(&r, seed);
        for (unsigned i = 0; i < 6 && !hx_sim_over(&r.s); i++)
            life(&r, &sum);
        the_end(&r);
        expect(&r, NULL, NULL);
        rig_close(&r);
    }
    /* It has done everything that it can, often. */
    for (unsigned i = HX_ACT_FORMAT; i < HX_ACT_COUNT; i++) {
        bool change = i != HX_ACT_LOOKUP && i != HX_ACT_GETATTR && i != HX_ACT_READLINK && i != HX_ACT_READ &&
                      i != HX_ACT_SEEK && i != HX_ACT_READDIR && i != HX_ACT_STATFS && i != HX_ACT_XGET &&
                      i < HX_ACT_XLIST;
        if (change && sum.kinds[i] < 20)
            fail_msg("%s: only %llu", hx_act_name[i], (unsigned long long)sum.kinds[i]);
    }
    assert_true(sum.refused > 1000 && sum.compares > 50 && sum.entries > 1000 && sum.barriers > 1000);
}

/* ---- wrong in one thing ---- */
static struct hx_tree_inode *some_node(struct rig *r, uint32_t type)
{
    struct hx_tree *t = r->w->tree;
    for (size_t i = 0; i < t->count; i++) {
        struct hx_tree_inode *n = t->all[i];
        if ((n->a.mode & S_IFMT) == type && n->a.nlink > 0 && (type != S_IFREG || n->data.count > 0) &&
            (type != S_IFDIR || n->first))
            return n;
    }
    return NULL;
}

static struct hx_tree_inode *node_with_attribute(struct rig *r)
{
    for (size_t i = 0; i < r->w->tree->count; i++)
        if (r->w->tree->all[i]->a.nlink > 0 && r->w->tree->all[i]->attrs[0].len1 > 1)
            return r->w->tree->all[i];
    return NULL;
}

/* A value is not what it was, or is not there any more; its ctime hides it. */
static void spoil_attribute(struct rig *r)
{
    static uint8_t value[HX_FS_XATTR_VALUE_MAX];
    const struct hx_fs_who who = {.uid = 1, .gid = 1, .now = {1, 1}};
    struct hx_tree_inode *n = node_with_attribute(r);
    const char *name = hx_tree_xattr_name(0);
    if (!n)
        return;
    struct hx_fs_attr a = {.ctime = n->a.ctime};
    size_t len = n->attrs[0].len1 - 1;
    hx_tree_xattr_fill(0, n->attrs[0].tag, value, len);
    value[len - 1] ^= 1;
    r->made = (r->wrong == LOST_VALUE
                   ? MEM_RUN(r->m, hx_fs_removexattr(r->w->fs, &who, n->a.ino, name))
                   : MEM_RUN(r->m, hx_fs_setxattr(r->w->fs, &who, n->a.ino, name, value, len, 0))) == 0;
    (void)MEM_RUN(r->m, hx_fs_setattr(r->w->fs, &who, n->a.ino, &a, HX_FS_SET_CTIME, &a));
}

/* Does it behind the model's back. */
static void spoil(struct rig *r)
{
    struct hx_tree_inode *f = some_node(r, S_IFREG), *d = some_node(r, S_IFDIR);
    const struct hx_fs_who who = {.uid = 1, .gid = 1, .now = {1, 1}};
    struct hx_fs_attr a = {.mode = 0};
    uint64_t at;
    char name[HX_FS_NAME_MAX + 2];
    (void)again(r, 0);
    if (r->wrong == WRONG_VALUE || r->wrong == LOST_VALUE) {
        spoil_attribute(r);
    } else if (r->wrong == FLIPPED_BYTE && f) {
        uint64_t off = f->data.at[0].from, end;
        uint8_t byte, bytes[1];
        hx_pattern_fill(hx_spans_at(&f->data, off, &end), off, bytes, 1);
        byte = bytes[0] ^ 1;
        r->made = MEM_RUN(r->m, hx_fs_write(r->w->fs, &who, f->a.ino, off, &byte, 1, false, false, &at)) == 0;
        a.mtime = f->a.mtime;
        a.ctime = f->a.ctime; /* only the byte is wrong */
        (void)MEM_RUN(r->m, hx_fs_setattr(r->w->fs, &who, f->a.ino, &a, HX_FS_SET_MTIME | HX_FS_SET_CTIME, &a));
    } else if (r->wrong == LOST_NAME && d) {
        hx_name_text(hx_tree_first(r->w->tree, d)->name, name);
        r->made = MEM_RUN(r->m, hx_fs_unlink(r->w->fs, &who, d->a.ino, name)) == 0;
    } else if (r->wrong == EXTRA_NAME && d) {
        r->made = MEM_RUN(r->m, hx_fs_mknod(r->w->fs, &who, d->a.ino, "n7777777", S_IFREG, 0, &a)) == 0;
    } else if (r->wrong == WRONG_MODE && f) {
        a.mode = f->a.mode ^ 01;
        a.ctime = f->a.ctime;
        r->made = MEM_RUN(r->m, hx_fs_setattr(r->w->fs, &who, f->a.ino, &a, HX_FS_SET_MODE | HX_FS_SET_CTIME, &a)) == 0;
    }
}

static void wrong_answers_are_seen(void **state)
{
    static const enum wrong kinds[] = {FLIPPED_BYTE, LOST_NAME, EXTRA_NAME, WRONG_MODE, WRONG_VALUE, LOST_VALUE};
    (void)state;
    for (unsigned k = 0; k < HX_ARRAY_LEN(kinds); k++)
        for (uint64_t seed = 1; seed <= 10; seed++) {
            struct rig r;
            rig_open(&r, seed);
            r.wrong = kinds[k];
            turns(&r, 150);
            for (unsigned i = 0; i < 300 && !r.made && !hx_sim_over(&r.s); i++) {
                turn(&r);
                spoil(&r);
            }
            expect(&r, NULL, NULL);
            if (r.made) {
                the_end(&r);
                expect(&r, "FS", "I7");
            }
            rig_close(&r);
        }
}

/* The volume that a mount finds is not the prefix that the history says. */
static void a_prefix_that_is_none_is_seen(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig r;
        uint64_t vdl;
        rig_open(&r, seed);
        r.wrong = seed % 2 ? SHORT_PREFIX : LONG_PREFIX;
        turns(&r, 100);
        keep_states(&r);
        size_t before = r.commits;
        uint64_t accepted = hx_journal_count(r.journal);
        for (unsigned i = 0; i < 300 && hx_journal_count(r.journal) < accepted + 3; i++)
            turn(&r);
        r.at_barrier = before; /* nothing was promised, as far as this test goes */
        uint64_t now = r.m->lsn;
        struct mem_pager *m = crash(&r, KEPT, &vdl);
        forget_states(&r);
        /* The volume is as of some commits ago; the history says that all was kept, or nothing. */
        push(&r, hx_history_top(&r.h).v + 1, r.wrong == SHORT_PREFIX ? now : 0);
        mount(&r, m);
        if (!hx_sim_over(&r.s))
            the_end(&r);
        expect(&r, r.wrong == SHORT_PREFIX ? "I7" : "I1", r.wrong == SHORT_PREFIX ? "FS" : "I7");
        rig_close(&r);
    }
}

static void a_barrier_that_is_cut_off_is_seen(void **state)
{
    unsigned tried = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct rig r;
        uint64_t vdl;
        rig_open(&r, seed);
        r.wrong = CUT_BARRIER;
        turns(&r, 60);
        keep_states(&r);
        size_t before = r.commits;
        uint64_t accepted = hx_journal_count(r.journal);
        for (unsigned i = 0; i < 300 && hx_journal_count(r.journal) < accepted + 3; i++)
            turn(&r);
        for (unsigned i = 0; i < 100 && !hx_work_drain(r.w, true); i++) /* a barrier behind it all */
            turn(&r);
        assert_true(hx_work_drain(r.w, true) && !hx_sim_over(&r.s));
        bool promised = hx_journal_count(r.journal) > accepted;
        r.at_barrier = before; /* the crash does not respect it */
        struct mem_pager *m = crash(&r, KEPT, &vdl);
        reopen(&r, m, vdl);
        tried += promised && r.commits - before < KEPT;
        if (promised && r.commits - before < KEPT)
            expect(&r, "I1", "I1");
        rig_close(&r);
    }
    assert_true(tried >= 5);
}

static void success_after_a_fence_is_seen(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct rig r;
        rig_open(&r, seed);
        r.wrong = seed % 2 ? SUCCESS_AFTER_FENCE : NOTHING;
        turns(&r, 100);
        for (unsigned i = 0; i < r.wait_count; i++)
            (r.waits[i]->calls->fail)(r.waits[i], HX_E_FENCED);
        r.wait_count = 0;
        r.open = false;
        hx_work_fenced(r.w);
        for (unsigned i = 0; i < 100; i++)
            turn(&r);
        expect(&r, r.wrong ? "I13" : NULL, "I13");
        rig_close(&r);
    }
}

static void an_answer_that_comes_twice_is_seen(void **state)
{
    struct rig r;
    (void)state;
    rig_open(&r, 3);
    turns(&r, 20);
    r.wrong = ANSWERED_TWICE;
    turns(&r, 300);
    expect(&r, "I15", "I15");
    rig_close(&r);
}

/* ---- the parts ---- */
static void spans_are_what_a_plain_array_is(void **state)
{
    (void)state;
    struct hx_rng rng = hx_rng_fork(1, "spans", 0);
    uint64_t plain[200] = {0};
    struct hx_spans s = {0};
    for (unsigned step = 0; step < 20000; step++) {
        uint64_t from = hx_rng_below(&rng, 200), to = from + hx_rng_below(&rng, 201 - from), total = 0, end;
        uint64_t tag = hx_rng_below(&rng, 4);
        hx_spans_set(&s, from, to, tag);
        for (uint64_t i = from; i < to; i++)
            plain[i] = tag;
        for (uint64_t i = 0; i < 200; i++) {
            total += plain[i] != 0;
            assert_true(hx_spans_at(&s, i, &end) == plain[i] && end > i);
            for (uint64_t k = i; k < end && k < 200; k++)
                assert_true(plain[k] == plain[i]);
            assert_true(end >= 200 || plain[end] != plain[i]);
        }
        assert_true(s.total == total);
    }
    hx_spans_fini(&s);
}

static void patterns_differ_by_tag_and_place(void **state)
{
    uint8_t a[100], b[100];
    (void)state;
    hx_pattern_fill(7, 1003, a, sizeof a);
    assert_int_equal(hx_pattern_check(7, 1003, a, sizeof a), sizeof a);
    hx_pattern_fill(7, 1000, b, sizeof b);
    assert_memory_equal(a, b + 3, sizeof a - 3); /* the place in the file counts, not where a write began */
    assert_true(hx_pattern_check(8, 1003, a, sizeof a) < 3);
    assert_true(hx_pattern_check(7, 1004, a, sizeof a) < 3);
    for (size_t i = 0; i < sizeof a; i++) {
        a[i] ^= 0x10;
        assert_int_equal(hx_pattern_check(7, 1003, a, sizeof a), i);
        a[i] ^= 0x10;
    }
    memset(a, 0, sizeof a);
    assert_int_equal(hx_pattern_check(0, 5, a, sizeof a), sizeof a);
    assert_int_equal(hx_pattern_check(HX_TAG_FLAT, 5, a, sizeof a), sizeof a);
    assert_int_equal(hx_pattern_check(HX_TAG_FLAT | 9, 5, a, sizeof a), 0);
}

static void names_have_numbers(void **state)
{
    char text[HX_FS_NAME_MAX + 2];
    (void)state;
    for (uint32_t i = 0; i < 3000; i++) {
        hx_name_text(i, text);
        assert_int_equal(hx_name_number(text), i);
    }
    hx_name_text(HX_NAME_TOO_LONG, text);
    assert_int_equal(strlen(text), HX_FS_NAME_MAX + 1);
    assert_int_equal(hx_name_number("other"), UINT32_MAX - 1);
}

/* A mount that was stopped is told of its opening after another has taken over: its model is that of its own epoch. */
static void a_late_opening_gets_its_own_prefix(void **state)
{
    struct hx_sim s = {0};
    struct hx_history h = {0}, later = {0};
    uint64_t kept, lost;
    (void)state;
    struct hx_journal *j = hx_journal_new(&s);
    const struct hx_history_entry e[] = {
        {{1}, {0}, {0}, 10}, {{2}, {0}, {10}, 10}, {{3}, {11}, {21}, 10}, {{4}, {22}, {32}, 10}};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(hx_history_push(&later, e[i]), 0);
        if (i < 3)
            assert_int_equal(hx_history_push(&h, e[i]), 0);
    }
    struct hx_act a = {.kind = HX_ACT_FORMAT};
    hx_journal_append(j, HX_EPOCH(2), HX_LSN(11), &a);
    a = (struct hx_act){.kind = HX_ACT_MKDIR, .ino = HX_FS_ROOT, .name = 1, .made = 2};
    hx_journal_append(j, HX_EPOCH(2), HX_LSN(12), &a); /* cut off */
    a.made = 2;
    a.name = 2;
    hx_journal_append(j, HX_EPOCH(3), HX_LSN(22), &a);
    struct hx_tree *t = hx_journal_opened(j, &later, &kept, &lost);
    assert_true(t->formatted && hx_tree_entry(t, HX_FS_ROOT, 2) && !hx_tree_entry(t, HX_FS_ROOT, 1));
    hx_tree_free(t);
    t = hx_journal_opened(j, &h, &kept, &lost);
    assert_true(t->formatted && !hx_tree_entry(t, HX_FS_ROOT, 2) && !hx_tree_entry(t, HX_FS_ROOT, 1));
    assert_true(kept == 1 && lost == 1 && !hx_sim_over(&s));
    hx_tree_free(t);
    hx_journal_durable(j, HX_EPOCH(2), HX_LSN(12)); /* a promise about what is cut off already */
    assert_string_equal(s.verdict.invariant, "I1");
    hx_journal_free(j);
    hx_history_fini(&h);
    hx_history_fini(&later);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_are_what_a_plain_array_is),
        cmocka_unit_test(patterns_differ_by_tag_and_place),
        cmocka_unit_test(names_have_numbers),
        cmocka_unit_test(a_late_opening_gets_its_own_prefix),
        cmocka_unit_test(a_right_filesystem_is_found_right),
        cmocka_unit_test(wrong_answers_are_seen),
        cmocka_unit_test(a_prefix_that_is_none_is_seen),
        cmocka_unit_test(a_barrier_that_is_cut_off_is_seen),
        cmocka_unit_test(success_after_a_fence_is_seen),
        cmocka_unit_test(an_answer_that_comes_twice_is_seen),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
