/*
 * hydrate.c - a learner is filled: pages are copied from several members at once, as of one point (rules H1 to H4:
 * doc/MEMBERSHIP.md; how far it is, and when it counts: fill.c).
 *
 *   P1 R is what one member says of itself: durable, and complete there (STATUS).  A source refuses what it does not
 *      know as durable (H2), is not complete to, has another history than the learner (H3), or has given up.
 *   P2 Ranges go to whoever answers first: two questions to a member at a time, HX_FILL_JOBS in all.  A source that
 *      refuses, is silent, or has a page damaged is left alone for a gossip interval.
 *   P3 When a source has given R up, a later point is taken.  Of what was copied before, DIGEST says whether anything
 *      is newer; only that is asked for again.
 *   P4 At most repair-rate bytes a second come in, over all learners of the node, and for each at most what its driver
 *      allows (FORMAT).  Where nothing is, more ranges are asked for at once: an empty group of 10 GiB takes 2,560
 *      questions.
 *   P5 What came goes into the batch; it is done after the flush, and else asked for again.
 *   P6 R may lie between the last record that stayed and ones that an opening annulled since: then nobody is complete
 *      to R, until the group is written again.  When all refuse for long, one is asked how far he is, and R moves down.
 *   P7 Before it counts its log file is closed, and another one begun: then a restart takes nothing in it for the torn
 *      end of a batch.  Records at or below the base leave no hole in the chain that would tell of them.
 * A late or double answer belongs to no job, and is nobody's.  A learner whose disk is full waits.  A crash: fill.c.
 * Memory: an answer at a time (4 MiB at most), and what waits for the flush.
 */
#include "node_private.h"

#include <stdlib.h>

#define RATE_DEFAULT (64u << 20)
#define RUN_MAX (HX_READ_PAGES_MAX / HX_FILL_RANGE)
#define HEADS_MAX 64u
#define CALLS_MAX 32u  /* of all learners; the rest is gossip's */
#define PER_SOURCE 2u
#define CHARGE 4096u   /* what an answer costs at least */
#define SAVE_RANGES 256u /* 64 MiB of pages that a restart may copy again; of a small group, a sixteenth */
#define AGAIN_MS 20u
#define LAGGING_MAX (4u * HX_COPIES) /* P6 */
#define PAUSE_MAX 60000u

void hx_hydrate_init(struct hx_node *n, const struct hx_node_cfg *cfg)
{
    n->repair.rate = cfg->repair_bytes_per_s ? cfg->repair_bytes_per_s : RATE_DEFAULT;
    n->repair.last_ms = n->now_ms;
}

static bool works(const struct hx_seg *s)
{
    return s->filling && !s->error && !s->nospace && !s->reserve.tight;
}

/* ---- whom and what to ask ---- */
static unsigned calls_under_way(const struct hx_node *n)
{
    unsigned count = 0;
    for (size_t i = 0; i < n->call_count; i++)
        count += n->calls[i].fill;
    return count;
}

static struct hx_fill_job *free_job(struct hx_fill *f)
{
    for (unsigned i = 0; i < HX_FILL_JOBS; i++)
        if (f->job[i].state == HX_FILL_FREE)
            return &f->job[i];
    return NULL;
}

static bool any_job(const struct hx_fill *f)
{
    for (unsigned i = 0; i < HX_FILL_JOBS; i++)
        if (f->job[i].state != HX_FILL_FREE)
            return true;
    return false;
}

/* P2; NULL: nobody can be asked now. */
static const struct hx_server *source(struct hx_node *n, struct hx_seg *s, unsigned *ret_slot)
{
    struct hx_fill *f = s->fill;
    for (unsigned k = 0; k < HX_COPIES; k++) {
        unsigned slot = f->turn++ % HX_COPIES, asked = 0;
        const struct hx_server *m = hx_gossip_member(n, s, slot);
        for (unsigned i = 0; i < HX_FILL_JOBS; i++)
            asked += f->job[i].state == HX_FILL_ASKED && f->job[i].slot == slot;
        if (!m || asked >= PER_SOURCE || n->now_ms < f->not_before_ms[slot] || !hx_gossip_reachable(n, m))
            continue;
        *ret_slot = slot;
        return m;
    }
    return NULL;
}

static bool is_open(const struct hx_fill *f, uint32_t range)
{
    return !hx_fill_is(f->done, range) && !hx_fill_is(f->busy, range);
}

/* The next ranges that nobody was asked for, all stale or none; 0: there are none. */
static uint32_t next_run(struct hx_fill *f, uint32_t *ret_first)
{
    uint32_t first = f->next, looked = 0, count = 1;
    for (; looked < f->ranges && !is_open(f, first % f->ranges); looked++)
        first = first % f->ranges + 1;
    if (looked == f->ranges)
        return 0;
    first %= f->ranges;
    bool stale = hx_fill_is(f->stale, first);
    uint32_t most = stale ? HEADS_MAX : f->run;
    while (count < most && first + count < f->ranges && is_open(f, first + count) &&
           hx_fill_is(f->stale, first + count) == stale)
        count++;
    *ret_first = first;
    f->next = first + count;
    return count;
}

static void set_busy(struct hx_fill *f, const struct hx_fill_job *j, bool to)
{
    for (uint32_t r = j->first; r < j->first + j->count; r++)
        hx_fill_set(f->busy, r, to);
}

/* The job is over; what is not done of it is open again. */
static void let_go(struct hx_fill *f, struct hx_fill_job *j)
{
    set_busy(f, j, false);
    if (j->count && j->first < f->next)
        f->next = j->first;
    *j = (struct hx_fill_job){0};
}

static uint32_t pages_of(const struct hx_seg *s, const struct hx_fill_job *j)
{
    uint64_t all = hx_geometry_pg_pages(&s->meta.geometry), from = (uint64_t)j->first * HX_FILL_RANGE;
    uint64_t n = (uint64_t)j->count * HX_FILL_RANGE;
    return (uint32_t)(n < all - from ? n : all - from);
}

static int body_of(const struct hx_seg *s, const struct hx_fill_job *j, bool stale, struct hx_buf *b)
{
    uint32_t pages = pages_of(s, j), first = j->first * HX_FILL_RANGE;
    uint8_t *p = hx_buf_add(b, stale ? HX_DIGEST_ASK : 12 + 4 * (size_t)pages);
    if (!p)
        return HX_E_NOMEM;
    struct hx_enc e = hx_enc_init(p, b->len);
    if (stale) {
        hx_digest_ask_encode(&(struct hx_digest_ask){HX_LSN(s->fill->point), first, HX_FILL_RANGE, j->count}, &e);
        return 0;
    }
    hx_enc_u64(&e, s->fill->point);
    hx_enc_u32(&e, pages);
    for (uint32_t i = 0; i < pages; i++)
        hx_enc_u32(&e, first + i);
    return 0;
}

/* JOB with its ranges to M in SLOT; without ranges it asks for a point. */
static int ask(struct hx_node *n, struct hx_seg *s, struct hx_fill_job *j, const struct hx_server *m, unsigned slot)
{
    bool stale = j->count && hx_fill_is(s->fill->stale, j->first);
    struct hx_buf b = {0};
    struct hx_call c = hx_gossip_call(s, !j->count ? HX_MSG_STATUS : stale ? HX_MSG_DIGEST : HX_MSG_READ);
    int err = j->count ? body_of(s, j, stale, &b) : 0;
    c.fill = true;
    c.point = s->fill->point;
    if (err)
        return err;
    err = hx_gossip_post(n, m, c, s->at.pg, &b);
    if (err)
        return err;
    j->state = HX_FILL_ASKED;
    j->slot = slot;
    j->call = n->next_call;
    set_busy(s->fill, j, true);
    return 0;
}

/* One more question; false: there is nothing to ask now, or nobody. */
static bool step(struct hx_node *n, struct hx_seg *s)
{
    struct hx_fill *f = s->fill;
    struct hx_fill_job *j = free_job(f);
    bool aim = !f->pointed || f->aged || f->behind;
    bool poor = n->repair.credit < 0 || (f->rate && f->credit < 0); /* P4 */
    unsigned slot;
    if (!j || f->finishing || poor || (aim && any_job(f)) || calls_under_way(n) >= CALLS_MAX)
        return false;
    const struct hx_server *m = source(n, s, &slot);
    if (!m)
        return false;
    *j = (struct hx_fill_job){0};
    if (!aim) {
        j->count = next_run(f, &j->first);
        if (!j->count)
            return false;
    }
    if (!ask(n, s, j, m, slot))
        return true;
    let_go(f, j);
    return false;
}

static void go_on(struct hx_node *n, struct hx_seg *s)
{
    while (works(s) && s->fill && step(n, s))
        ;
}

/* ---- answers ---- */
struct came { /* a page of an answer */
    uint64_t lsn;
    uint32_t page;
    const uint8_t *data; /* NULL: zeros */
};

static int by_lsn(const void *a, const void *b)
{
    const struct came *x = a, *y = b;
    return x->lsn < y->lsn ? -1 : x->lsn > y->lsn;
}

static int put_pages(struct hx_seg *s, struct came *list, uint32_t count)
{
    struct hx_local o = {.s = s};
    int err = 0;
    qsort(list, count, sizeof *list, by_lsn);
    for (uint32_t i = 0; i < count && !err; i++) {
        size_t len = list[i].data ? HX_PAGE_SIZE : 0;
        while (len && !list[i].data[len - 1])
            len--;
        err = hx_local_add(&o, list[i].lsn, list[i].page, len ? HX_REC_IMAGE : HX_REC_ZERO, list[i].data, len);
    }
    int close = hx_local_close(&o);
    if (s->log.batch.len >= HX_LOG_BATCH_MAX)
        hx_seg_flush(s); /* what it says is in round_error */
    return err ? err : close;
}

/* The pages of an answer to J; CORRUPT when one is not what it should be, or the source has it damaged. */
static int take_pages(const struct hx_seg *s, const struct hx_fill_job *j, struct hx_dec *d, struct came *list,
                      uint32_t *ret_count)
{
    uint32_t pages = pages_of(s, j), n = 0;
    struct hx_dec raw = *d;
    if (d->len - d->off < (size_t)pages * HX_READ_PAGE_BYTES)
        return HX_E_BADMSG;
    raw.off += (size_t)pages * HX_READ_PAGE_BYTES;
    for (uint32_t i = 0; i < pages; i++) {
        struct hx_read_page r;
        hx_read_page_decode(&r, d);
        const uint8_t *data = r.state == HX_READ_RAW ? hx_dec_bytes(&raw, HX_PAGE_SIZE) : NULL;
        if (d->err || raw.err)
            return HX_E_BADMSG;
        if (r.state == HX_READ_CORRUPT || r.lsn.v > s->fill->point || (data && !r.lsn.v) ||
            (data && hx_crc32c(0, data, HX_PAGE_SIZE) != r.crc))
            return HX_E_CORRUPT;
        if (r.lsn.v)
            list[n++] = (struct came){r.lsn.v, j->first * HX_FILL_RANGE + i, data};
    }
    *ret_count = n;
    return raw.off == raw.len ? 0 : HX_E_BADMSG;
}

static int on_pages(struct hx_node *n, struct hx_seg *s, struct hx_fill_job *j, struct hx_dec *d)
{
    struct came *list = calloc(pages_of(s, j), sizeof *list);
    uint32_t count = 0;
    int err = list ? take_pages(s, j, d, list, &count) : HX_E_NOMEM;
    if (!err)
        err = put_pages(s, list, count);
    free(list);
    hx_node_dirty(n, s);
    if (err)
        return err;
    s->fill->lagging = 0;
    s->fill->run = count ? 1 : s->fill->run < RUN_MAX ? 2 * s->fill->run : RUN_MAX; /* P4 */
    j->state = HX_FILL_PUT;
    return 0;
}

/* Heads of stale ranges, from the first on: what is not newer than what is here is done (P3). */
static int on_heads(struct hx_seg *s, struct hx_fill_job *j, struct hx_dec *d)
{
    struct hx_fill *f = s->fill;
    const struct hx_fill_job was = *j;
    let_go(f, j);
    for (uint32_t i = 0; i < was.count && d->off < d->len; i++) {
        struct hx_read_page r;
        hx_read_page_decode(&r, d);
        if (d->err)
            return HX_E_BADMSG;
        if (r.state != HX_READ_CORRUPT && r.lsn.v <= f->since)
            hx_fill_done(f, was.first + i, 1);
        else
            hx_fill_set(f->stale, was.first + i, false);
    }
    return hx_dec_end(d) ? HX_E_BADMSG : 0;
}

/* P1.  AGAIN: this member has nothing better. */
static int on_status(struct hx_seg *s, struct hx_fill_job *j, struct hx_dec *d)
{
    struct hx_fill *f = s->fill;
    struct hx_segment_status st;
    uint32_t count = hx_dec_u32(d);
    let_go(f, j);
    for (uint32_t i = 0; i < count && !d->err; i++) {
        hx_segment_status_decode(&st, d);
        bool sound = !st.state || st.state == HX_E_NOSPACE || st.state == HX_E_CORRUPT; /* some page may be damaged */
        if (d->err || st.pg != s->at.pg || !hx_uuid_eq(&st.volume, &s->at.volume) || !sound ||
            st.top.v != hx_seg_top(s).v)
            continue;
        uint64_t point = st.vdl.v < st.scl.v ? st.vdl.v : st.scl.v;
        if (f->behind && !f->aged) {
            f->behind = false;
            if (point < f->point)
                hx_fill_lower(f, point);
            return 0;
        }
        if (f->pointed && point <= f->point)
            return HX_E_AGAIN;
        hx_fill_aim(f, point);
        hx_fill_save(s);
        return 0;
    }
    return HX_E_AGAIN;
}

void hx_hydrate_answer(struct hx_node *n, const struct hx_call *call, int err, struct hx_dec *d)
{
    struct hx_seg *s = call->seg;
    struct hx_fill *f = s->fill;
    struct hx_fill_job *j = NULL;
    for (unsigned i = 0; f && i < HX_FILL_JOBS; i++)
        if (f->job[i].state == HX_FILL_ASKED && f->job[i].call == call->id)
            j = &f->job[i];
    if (!j || s->error)
        return; /* of a life that is over */
    unsigned slot = j->slot;
    int64_t cost = (int64_t)(d->len > CHARGE ? d->len : CHARGE) * 1000;
    n->repair.credit -= cost;
    f->credit -= f->rate ? cost : 0;
    if (!err)
        err = call->type == HX_MSG_STATUS ? on_status(s, j, d) : call->type == HX_MSG_DIGEST ? on_heads(s, j, d) :
              on_pages(n, s, j, d);
    if (err) {
        if (j->state != HX_FILL_FREE)
            let_go(f, j);
        f->aged |= err == HX_E_TOO_OLD;
        f->lagging += err == HX_E_LAGGING;
        if (f->lagging >= LAGGING_MAX) { /* P6 */
            f->behind = f->pointed;
            f->lagging = 0;
        }
        f->not_before_ms[slot] = n->now_ms + n->gossip_ms;
    }
    hx_seg_touch(s);
    go_on(n, s);
}

void hx_hydrate_flushed(struct hx_node *n, struct hx_seg *s)
{
    struct hx_fill *f = s->fill;
    if (!f)
        return;
    for (unsigned i = 0; i < HX_FILL_JOBS; i++) {
        struct hx_fill_job *j = &f->job[i];
        if (j->state != HX_FILL_PUT)
            continue;
        const struct hx_fill_job was = *j;
        let_go(f, j);
        if (!s->round_error && !s->error) /* P5 */
            hx_fill_done(f, was.first, was.count);
    }
    if (f->finishing && !s->error && !s->meta_dirty)
        hx_fill_through(s);
    else
        go_on(n, s);
}

/* ---- time ---- */
/* What GONE ms add to a credit; it never holds more than a tenth of a second. */
static int64_t earned(int64_t credit, uint64_t rate, uint64_t gone)
{
    int64_t most = (int64_t)rate * 100, sum = credit + (int64_t)(gone < 1000 ? gone : 1000) * (int64_t)rate;
    return sum < most ? sum : most;
}

/* P7; S2 of scan.c. */
static bool closed(struct hx_seg *s)
{
    struct hx_log *l = &s->log;
    bool any = false;
    if (s->error || l->batch.len)
        return false; /* after its flush */
    for (size_t i = 0; i < l->slot_count; i++)
        any |= l->files[i] != NULL;
    if (!any)
        return true;
    if (l->tail != HX_NONE && (hx_log_seal(s) || s->error))
        return false;
    return l->tail != HX_NONE || hx_log_start(s) == 0;
}

static bool tend(struct hx_node *n, struct hx_seg *s, uint64_t gone)
{
    if (!works(s) || (!s->fill && hx_fill_load(s)) || s->error)
        return false;
    struct hx_fill *f = s->fill;
    f->credit = earned(f->credit, f->rate, gone);
    if (f->unsaved && (f->unsaved >= SAVE_RANGES || f->unsaved >= f->ranges / 16))
        hx_fill_save(s);
    if (f->pointed && !f->left && !any_job(f) && !f->finishing && closed(s)) {
        hx_fill_finish(s); /* H4 */
        hx_node_dirty(n, s);
    }
    go_on(n, s);
    return true;
}

uint64_t hx_hydrate_tick(struct hx_node *n)
{
    struct hx_repair *r = &n->repair;
    uint64_t gone = n->now_ms > r->last_ms ? n->now_ms - r->last_ms : 0;
    bool any = false;
    r->last_ms = n->now_ms;
    r->credit = earned(r->credit, r->rate, gone);
    for (size_t i = 0; i < n->seg_count; i++)
        any |= n->segs[i]->filling && tend(n, n->segs[i], gone);
    if (!any)
        return PAUSE_MAX;
    uint64_t lack = r->credit < 0 ? (uint64_t)(-r->credit) / r->rate + 1 : AGAIN_MS;
    return lack > AGAIN_MS ? lack : AGAIN_MS;
}
