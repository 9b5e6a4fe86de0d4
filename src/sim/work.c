/*
 * work.c - the lives of programs on a mount: when they begin an operation, how it is answered, fences and the end.
 *
 * Invariants:
 *   W1 a program has one operation under way; it is answered once (I15 otherwise).
 *   W2 after hx_work_fenced no operation is answered with success (I13).
 *   W3 an inode that an operation names is held until it is answered, as the kernel does (pins).
 *   W4 while the whole tree is compared, nothing else is under way.
 * Memory: everything in one block and the model; a parked operation is its program's own memory.
 */
#include "work_private.h"

#include "faults.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LOOK_LSNS 64u     /* LSNs between two looks at the free space */
#define TRIES_AFTER 3u    /* operations that a program still tries after a fence */
#define RESERVE_PAGES 80u /* of the volume: not for file data */

/* ---- words ---- */
void hx_work_wrong(struct hx_prog *p, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const struct hx_act *a = &p->act;
    hx_sim_broken(p->w->s, p->w->changed ? "FS" : "I7",
                  "client %u epoch %llu program %u: %s(inode %llu, name n%x, inode %llu, name n%x, at %llu, "
                  "length %llu): %s",
                  p->w->client, (unsigned long long)p->w->epoch.v, p->number, hx_act_name[a->kind],
                  (unsigned long long)a->ino, a->name, (unsigned long long)a->ino2, a->name2,
                  (unsigned long long)a->off, (unsigned long long)a->len, text);
}

struct hx_fs_who hx_work_who(struct hx_prog *p)
{
    uint64_t now = p->w->s->now_us;
    return (struct hx_fs_who){.uid = 1000 + p->number,
                              .gid = 100 + p->number % 3,
                              .umask = p->number % 4 == 1 ? 027 : 0,
                              .stranger = p->number % 4 == 2,
                              .now = {1700000000 + (int64_t)(now / 1000000),
                                      (uint32_t)(now % 1000000 * 1000 + p->w->stats.begun % 1000)}};
}

/* ---- one operation ---- */
static void give_back(struct hx_work *w, uint64_t ino, uint64_t count)
{
    if (count > 0)
        hx_fs_forget(w->fs, ino, count);
}

void hx_work_let_go(struct hx_prog *p, uint64_t ino)
{
    hx_assert(p->drop_count < HX_ARRAY_LEN(p->drops));
    p->drops[p->drop_count++] = ino;
}

void hx_work_drop(struct hx_prog *p, unsigned handle)
{
    if (p->h[handle])
        hx_work_let_go(p, p->h[handle]);
    p->h[handle] = 0;
}

/* Only now, when the operation that may be about them holds them (W3). */
static void carry_out_drops(struct hx_prog *p)
{
    while (p->drop_count > 0) {
        uint64_t ino = p->drops[--p->drop_count];
        give_back(p->w, ino, hx_tree_let_go(p->w->tree, ino));
    }
}

static bool takes_hold(enum hx_act_kind kind)
{
    return kind == HX_ACT_LOOKUP || kind == HX_ACT_CREATE || kind == HX_ACT_MKDIR || kind == HX_ACT_SYMLINK ||
           kind == HX_ACT_LINK || kind == HX_ACT_TMPFILE;
}

/*
 * Programs are busy together and idle together: in a burst there is much under way that faults can hit, and between two
 * bursts there is time for what faults bring about.  On average an operation takes its program think_us.
 */
static void pause(struct hx_prog *p)
{
    struct hx_work *w = p->w;
    uint64_t think = HX_OPT(w->s, think_us);
    if (w->burst == 0) {
        w->burst = UINT64_C(4) << hx_rng_below(&w->rng, 6);
        w->calm_until_us = w->s->now_us + hx_rng_below(&w->rng, 2 * think * w->burst / w->count + 1);
    }
    w->burst--;
    uint64_t from = w->calm_until_us > w->s->now_us ? w->calm_until_us : w->s->now_us;
    p->next_us = from + hx_rng_below(&p->rng, think / 16 + 1);
}

static void mount_answered(struct hx_work *w, int rc)
{
    w->mounted = rc == 0;
    w->gave_up = rc != 0;
    w->compare = w->compare && w->mounted;
    for (unsigned i = 0; rc && i < w->count; i++)
        w->at[i].stopped = true;
}

static void answered(struct hx_prog *p, int rc)
{
    struct hx_work *w = p->w;
    if (!p->busy) {
        hx_sim_broken(w->s, "I15", "client %u: %s was answered twice", w->client, hx_act_name[p->act.kind]);
        return;
    }
    p->busy = false;
    p->rc = rc;
    hx_sim_note(w->s, HX_NOTE_DONE, 'c', w->client, p->number, (uint64_t)-rc, w->noted_lsn);
    if (rc == 0 && w->fenced)
        hx_sim_broken(w->s, "I13", "client %u epoch %llu: %s succeeded after the mount was fenced or closed", w->client,
                      (unsigned long long)w->epoch.v, hx_act_name[p->act.kind]);
    if (rc && !p->judged && !hx_work_is_failure(rc))
        hx_work_wrong(p, "gave %s", hx_err_info(rc)->name);
    w->stats.failed += rc && hx_work_is_failure(rc);
    if (rc == 0 && takes_hold(p->act.kind) && p->kind < HX_PROG_KINDS)
        p->got = p->attr.ino;
    give_back(w, p->act.ino, hx_tree_unpin(w->tree, p->act.ino));
    give_back(w, p->act.ino2, hx_tree_unpin(w->tree, p->act.ino2));
    pause(p);
    if (p->kind == HX_PROG_MOUNT)
        mount_answered(w, rc);
    if (p->kind == HX_PROG_WALKER && rc) { /* the mount ends: the next one is compared */
        w->compare = false;
        hx_walk_free(w->walk);
        w->walk = NULL;
    }
}

static bool is_barrier(const struct hx_act *a)
{
    return a->kind == HX_ACT_FSYNC || a->kind == HX_ACT_FORMAT || (a->kind == HX_ACT_WRITE && a->sync);
}

static struct hx_prog *prog_of(struct hx_op *op)
{
    return HX_CONTAINER_OF(op, struct hx_prog, op);
}

static int run(struct hx_op *op)
{
    struct hx_prog *p = prog_of(op);
    struct hx_work *w = p->w;
    int rc = hx_work_run(p);
    if (rc)
        return rc;
    if (!is_barrier(&p->act)) {
        answered(p, 0);
        return 0;
    }
    p->cover = hx_journal_last(w->s->journal, w->epoch);
    p->promise = w->host.last(w->host.ctx);
    return w->host.when_durable(w->host.ctx, op);
}

static void durable(struct hx_op *op)
{
    struct hx_prog *p = prog_of(op);
    struct hx_work *w = p->w;
    hx_sim_note(w->s, HX_NOTE_BARRIER, 'c', w->client, p->number, p->cover.v, p->promise.v);
    w->stats.barriers++;
    w->host.durable(w->host.ctx, p->promise);
    if (p->cover.v)
        hx_journal_durable(w->s->journal, w->epoch, p->cover);
    answered(p, 0);
}

static void fail(struct hx_op *op, int err)
{
    answered(prog_of(op), err);
}

static struct hx_op *keep(struct hx_op *op)
{
    return op; /* it is the program's own memory */
}

static int reclaim(struct hx_op *op)
{
    struct hx_work *w = prog_of(op)->w;
    if (!w->fs || !w->mounted || !hx_fs_has_work(w->fs))
        return 0;
    w->host.begin(w->host.ctx);
    return hx_fs_reap(w->fs);
}

static const struct hx_op_calls calls = {run, durable, fail, keep, NULL, reclaim};

static bool is_change(const struct hx_act *a)
{
    switch (a->kind) {
    case HX_ACT_LOOKUP:
    case HX_ACT_GETATTR:
    case HX_ACT_READLINK:
    case HX_ACT_READ:
    case HX_ACT_SEEK:
    case HX_ACT_READDIR:
    case HX_ACT_STATFS:
    case HX_ACT_XGET:
    case HX_ACT_XLIST:
    case HX_ACT_FSYNC:
    case HX_ACT_COMPARE:
        return false;
    default:
        return true;
    }
}

void hx_work_begin(struct hx_prog *p)
{
    struct hx_work *w = p->w;
    p->act.who = hx_work_who(p);
    p->busy = true;
    p->judged = false;
    p->op = (struct hx_op){.calls = &calls, .changes = is_change(&p->act)};
    w->stats.begun++;
    w->s->ops_begun += p->kind < HX_PROG_KINDS;
    hx_sim_faults_op(w->s);
    hx_tree_pin(w->tree, p->act.ino);
    hx_tree_pin(w->tree, p->act.ino2);
    carry_out_drops(p);
    hx_sim_note(w->s, HX_NOTE_OP, 'c', w->client, (uint64_t)p->number << 8 | (uint64_t)p->act.kind, p->act.ino,
                p->act.off);
    w->host.start(w->host.ctx, &p->op);
}

/* ---- when ---- */
static bool any_busy(const struct hx_work *w)
{
    for (unsigned i = 0; i < w->count; i++)
        if (w->at[i].busy)
            return true;
    return false;
}

bool hx_work_idle(const struct hx_work *w)
{
    for (unsigned i = 0; w->draining && i < w->count; i++)
        if (!w->at[i].stopped)
            return false;
    return !any_busy(w) && !w->mount->busy && !w->walker->busy && !w->compare;
}

bool hx_work_gave_up(const struct hx_work *w)
{
    return w->gave_up;
}

bool hx_work_mounted(const struct hx_work *w)
{
    return w->mounted && !w->fenced;
}

bool hx_work_compared(const struct hx_work *w)
{
    return !w->compare;
}

/* After a fence: a few operations of each kind, all of which must fail. */
static void plan_after_fence(struct hx_prog *p)
{
    static const enum hx_act_kind kinds[TRIES_AFTER] = {HX_ACT_FSYNC, HX_ACT_CREATE, HX_ACT_GETATTR};
    hx_plan_name(p, kinds[p->after_fence % TRIES_AFTER], HX_FS_ROOT, 1);
    if (++p->after_fence == TRIES_AFTER)
        p->stopped = true;
}

/* True: p->act is what comes next. */
static bool plan(struct hx_prog *p)
{
    struct hx_work *w = p->w;
    if (w->fenced) {
        plan_after_fence(p);
        return true;
    }
    if (w->draining) {
        p->stopped = true;
        hx_plan_fsync(p);
        return w->sync;
    }
    if (w->s->script)
        return w->s->script->plan(w->s->script->ctx, p);
    if (w->s->phase != HX_PHASE_SAFETY || w->s->ops_begun >= HX_OPT(w->s, ops))
        return false;
    hx_plan_next(p);
    return true;
}

/* Now and then a program that waits gets a signal. */
static void interrupt_one(struct hx_work *w)
{
    struct hx_prog *p = &w->at[hx_rng_below(&w->rng, w->count)];
    if (p->busy && w->s->phase == HX_PHASE_SAFETY && !w->fenced && !w->s->script && hx_rng_below(&w->rng, 100) == 0)
        w->stats.canceled += w->host.cancel(w->host.ctx, &p->op);
}

uint64_t hx_work_step(struct hx_work *w)
{
    uint64_t next = UINT64_MAX;
    if (hx_sim_over(w->s) || w->mount->busy)
        return next;
    interrupt_one(w);
    if (w->compare && !w->walker->busy && !any_busy(w) && w->mounted) {
        w->walker->act = (struct hx_act){.kind = HX_ACT_COMPARE};
        hx_work_begin(w->walker);
    }
    if ((w->compare && !w->fenced) || !w->mounted)
        return next; /* W4 */
    for (unsigned i = 0; i < w->count && !hx_sim_over(w->s); i++) {
        struct hx_prog *p = &w->at[i];
        if (p->busy || p->stopped)
            continue;
        if (p->next_us <= w->s->now_us && plan(p))
            hx_work_begin(p);
        if (!p->busy && !p->stopped && p->next_us > w->s->now_us && p->next_us < next)
            next = p->next_us;
    }
    return next;
}

void hx_work_background(struct hx_work *w)
{
    struct hx_prog *p = w->reaper;
    if (!w->mounted || w->fenced || p->busy || w->host.gated(w->host.ctx) || !w->host.open(w->host.ctx))
        return;
    bool look = w->host.last(w->host.ctx).v - w->looked_lsn >= LOOK_LSNS;
    if (!look && !w->reap_all && !hx_fs_has_work(w->fs))
        return;
    w->looked_lsn = w->host.last(w->host.ctx).v;
    p->act = (struct hx_act){.kind = HX_ACT_REAP};
    hx_work_begin(p);
}

void hx_work_fenced(struct hx_work *w)
{
    w->fenced = true;
    w->compare = w->walker->busy && w->compare;
}

void hx_work_closed(struct hx_work *w)
{
    struct hx_lsn last = hx_journal_last(w->s->journal, w->epoch);
    w->host.durable(w->host.ctx, w->host.last(w->host.ctx));
    if (last.v)
        hx_journal_durable(w->s->journal, w->epoch, last);
}

bool hx_work_drain(struct hx_work *w, bool sync)
{
    w->draining = true;
    w->sync = sync;
    for (unsigned i = 0; i < w->count; i++)
        w->at[i].next_us = 0;
    return hx_work_idle(w);
}

void hx_work_compare(struct hx_work *w)
{
    w->compare = !w->fenced;
}

void hx_work_stats(const struct hx_work *w, struct hx_work_stats *ret)
{
    *ret = w->stats;
}

/* ---- begin and end ---- */
static enum hx_prog_kind draw_kind(struct hx_sim *s, uint32_t number)
{
    static const enum hx_prog_kind names[] = {HX_PROG_CHURN, HX_PROG_CHURN, HX_PROG_LISTER, HX_PROG_SAVER},
                                   contents[] = {HX_PROG_WRITER, HX_PROG_WRITER, HX_PROG_STIRRER, HX_PROG_JOURNAL,
                                                 HX_PROG_WAL,    HX_PROG_FILLER, HX_PROG_READER};
    struct hx_rng r = hx_rng_fork(s->opts.seed, "program", number);
    if (hx_rng_below(&r, 100) < HX_OPT(s, meta_pct))
        return names[hx_rng_below(&r, HX_ARRAY_LEN(names))];
    return contents[hx_rng_below(&r, HX_ARRAY_LEN(contents))];
}

static struct hx_prog *add(struct hx_work *w, enum hx_prog_kind kind, unsigned at)
{
    struct hx_prog *p = &w->at[at];
    *p = (struct hx_prog){.w = w, .kind = kind, .number = at};
    p->rng = hx_rng_fork(w->s->opts.seed, "act", w->epoch.v << 16 | at);
    p->next_us = w->s->now_us + hx_rng_below(&p->rng, HX_OPT(w->s, think_us) + 1);
    return p;
}

/* How much room the programs take: so that the volume need not grow beyond pgs_max, and no MTR is larger than
 * the log. */
static void set_limits(struct hx_work *w)
{
    uint64_t pages = HX_OPT(w->s, pgs_max) * HX_OPT(w->s, pg_pages), log_pages = HX_OPT(w->s, lal) / 2;
    pages -= pages / 8 + (pages > 2 * RESERVE_PAGES ? RESERVE_PAGES : pages / 2);
    w->pages_max = pages;
    w->file_pages_max = pages / 3 < 16 ? 16 : pages / 3;
    if (log_pages > 0 && w->file_pages_max > log_pages)
        w->file_pages_max = log_pages;
    w->write_max = w->file_pages_max / 2 * HX_PAGE_SIZE;
    uint64_t big = HX_OPT(w->s, big_kb) << 10;
    big = big < HX_PAGE_SIZE ? HX_PAGE_SIZE : big < HX_WORK_BUF ? big : HX_WORK_BUF;
    w->write_max = w->write_max < big ? w->write_max : big;
}

struct hx_work *hx_work_new(struct hx_sim *s, uint32_t client, const struct hx_work_host *host, struct hx_pager *pager,
                            const struct hx_history *history)
{
    struct hx_work *w = calloc(1, sizeof *w);
    uint64_t kept, lost;
    hx_assert(w);
    w->s = s;
    w->client = client;
    w->host = *host;
    w->pager = pager;
    w->epoch = hx_history_top(history);
    w->tree = hx_journal_opened(s->journal, history, &kept, &lost);
    hx_sim_note(s, HX_NOTE_CHECK, 'c', client, w->epoch.v, kept, lost);
    w->buf = malloc(HX_WORK_BUF);
    hx_assert(w->buf);
    int rc = hx_fs_new(pager, &w->fs);
    hx_assert(rc == 0);
    w->rng = hx_rng_fork(s->opts.seed, "work", w->epoch.v);
    w->noted_lsn = w->looked_lsn = host->last(host->ctx).v;
    w->reap_all = true;
    set_limits(w);
    w->count = s->script ? 1 : (unsigned)HX_OPT(s, programs);
    if (w->count > HX_WORK_SLOTS_MAX - 3)
        w->count = HX_WORK_SLOTS_MAX - 3;
    for (unsigned i = 0; i < w->count; i++)
        add(w, draw_kind(s, i), i);
    w->mount = add(w, HX_PROG_MOUNT, w->count);
    w->reaper = add(w, HX_PROG_REAPER, w->count + 1);
    w->walker = add(w, HX_PROG_WALKER, w->count + 2);
    w->compare = w->tree->formatted && (hx_rng_below(&w->rng, 3) == 0 || s->script);
    w->mount->act = (struct hx_act){.kind = HX_ACT_FORMAT};
    hx_work_begin(w->mount);
    return w;
}

void hx_work_free(struct hx_work *w)
{
    if (!w)
        return;
    hx_fs_free(w->fs);
    hx_tree_free(w->tree);
    hx_walk_free(w->walk);
    free(w->buf);
    free(w);
}
