/*
 * parking.c - who waits for what, and who may run next (hexad/parking.h).
 *
 * Does not run operations, send messages or look at a clock; src/vol does.  Invariants K1..K5 and the
 * memory rule are in the header.  A step costs what it moves, but tick and fail_all, which look at all.
 */
#include "hexad/parking.h"

#include "hexad/assert.h"
#include "hexad/mutant.h"

#include <stdlib.h>

struct hx_park_page {
    struct hx_park_page *next; /* in its bucket */
    struct hx_parked *op;
    struct hx_pageno page;
    bool linked;
};

/* ---- queues ---- */
static void put(struct hx_park_queue *q, struct hx_parked *op, struct hx_parked *before)
{
    op->next = before;
    op->prev = before ? before->prev : q->tail;
    if (op->prev)
        op->prev->next = op;
    else
        q->head = op;
    if (before)
        before->prev = op;
    else
        q->tail = op;
    q->count++;
}

static void pull(struct hx_park_queue *q, struct hx_parked *op)
{
    if (op->prev)
        op->prev->next = op->next;
    else
        q->head = op->next;
    if (op->next)
        op->next->prev = op->prev;
    else
        q->tail = op->prev;
    op->next = op->prev = NULL;
    q->count--;
}

static size_t bucket_of(struct hx_pageno page)
{
    return (size_t)((page.v * UINT64_C(0x9E3779B97F4A7C15)) >> 52) % HX_PARKING_BUCKETS;
}

static void unlink_page(struct hx_parking *p, struct hx_park_page *g)
{
    struct hx_park_page **at = &p->buckets[bucket_of(g->page)];
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    g->linked = false;
}

/* ---- coming and going ---- */
int hx_parking_init(struct hx_parking *p, uint64_t page_budget)
{
    *p = (struct hx_parking){.page_budget = page_budget};
    p->buckets = calloc(HX_PARKING_BUCKETS, sizeof(*p->buckets));
    return p->buckets ? 0 : HX_E_NOMEM;
}

void hx_parking_fini(struct hx_parking *p)
{
    hx_assert(p->count == 0);
    free(p->buckets);
    *p = (struct hx_parking){0};
}

static void enter(struct hx_parking *p, struct hx_parked *op, enum hx_park_place place, uint64_t now_ms,
                  uint32_t soft_ms)
{
    hx_assert(op->place == HX_PARK_NONE); /* K1 */
    op->place = place;
    op->err = 0;
    if (op->since_ms == 0) { /* K5: only the first time */
        op->since_ms = now_ms ? now_ms : 1;
        op->deadline_ms = soft_ms ? now_ms + soft_ms : 0;
    }
    op->later = NULL;
    op->earlier = p->newest;
    if (p->newest)
        p->newest->later = op;
    else
        p->oldest = op;
    p->newest = op;
    p->count++;
}

/* Out of its place, but still among the parked. */
static void leave_place(struct hx_parking *p, struct hx_parked *op)
{
    hx_assert(op->place != HX_PARK_NONE);
    switch (op->place) {
    case HX_PARK_PAGES:
        for (uint32_t i = 0; i < op->page_count; i++)
            if (op->pages[i].linked)
                unlink_page(p, &op->pages[i]);
        p->in_flight -= op->page_count;
        p->on_pages--;
        free(op->pages);
        op->pages = NULL;
        op->page_count = 0;
        break;
    case HX_PARK_BUDGET:
        pull(&p->budget, op);
        break;
    case HX_PARK_TURN:
        /* What the next one waits for may have come while this one stood before it: it asks itself. */
        if (op == p->turn.head)
            p->turn_open = true;
        pull(&p->turn, op);
        break;
    case HX_PARK_LSN:
        pull(&p->lsn, op);
        break;
    default: /* READY */
        pull(&p->ready, op);
    }
    op->missing = 0;
}

static void make_ready(struct hx_parking *p, struct hx_parked *op, int err)
{
    leave_place(p, op);
    op->place = HX_PARK_READY;
    op->err = err;
    put(&p->ready, op, NULL);
}

static void leave(struct hx_parking *p, struct hx_parked *op)
{
    leave_place(p, op);
    op->place = HX_PARK_NONE;
    if (op->earlier)
        op->earlier->later = op->later;
    else
        p->oldest = op->later;
    if (op->later)
        op->later->earlier = op->earlier;
    else
        p->newest = op->earlier;
    op->later = op->earlier = NULL;
    p->count--;
}

/* ---- parking ---- */
bool hx_parking_admits(const struct hx_parking *p, uint32_t count)
{
    return p->in_flight == 0 || p->in_flight + count <= p->page_budget;
}

int hx_parking_on_pages(struct hx_parking *p, struct hx_parked *op, uint64_t now_ms, uint32_t soft_ms,
                        const struct hx_pageno *pages, uint32_t count)
{
    hx_assert(count > 0);
    struct hx_park_page *g = calloc(count, sizeof(*g));
    if (!g)
        return HX_E_NOMEM;
    enter(p, op, HX_PARK_PAGES, now_ms, soft_ms);
    op->pages = g;
    op->page_count = op->missing = count;
    for (uint32_t i = 0; i < count; i++) {
        struct hx_park_page **at = &p->buckets[bucket_of(pages[i])];
        g[i] = (struct hx_park_page){.next = *at, .op = op, .page = pages[i], .linked = true};
        *at = &g[i];
    }
    p->in_flight += count;
    p->on_pages++;
    return 0;
}

void hx_parking_on_budget(struct hx_parking *p, struct hx_parked *op, uint64_t now_ms, uint32_t soft_ms,
                          uint32_t count)
{
    enter(p, op, HX_PARK_BUDGET, now_ms, soft_ms);
    op->missing = count;
    put(&p->budget, op, NULL);
}

void hx_parking_on_turn(struct hx_parking *p, struct hx_parked *op, uint64_t now_ms, uint32_t soft_ms, int why)
{
    enter(p, op, HX_PARK_TURN, now_ms, soft_ms);
    op->why = why;
    if (op->had_turn) { /* K3 */
        put(&p->turn, op, p->turn.head);
        p->turn_open = false;
    } else {
        put(&p->turn, op, NULL);
    }
}

void hx_parking_on_lsn(struct hx_parking *p, struct hx_parked *op, uint64_t now_ms, uint32_t soft_ms,
                       struct hx_lsn lsn)
{
    enter(p, op, HX_PARK_LSN, now_ms, soft_ms);
    op->lsn = lsn;
    struct hx_parked *after = p->lsn.tail; /* LSNs come in ascending order: nearly always the tail */
    while (after && after->lsn.v > lsn.v)
        after = after->prev;
    put(&p->lsn, op, after ? after->next : p->lsn.head); /* K2 */
}

bool hx_parking_gated(const struct hx_parking *p)
{
    return p->turn.count > 0;
}

int hx_parking_turn_why(const struct hx_parking *p)
{
    return p->turn.head ? p->turn.head->why : 0;
}

/* ---- events ---- */
void hx_parking_page(struct hx_parking *p, struct hx_pageno page)
{
    struct hx_park_page **at = &p->buckets[bucket_of(page)];
    struct hx_parked *done = NULL; /* chained through next, which PAGES does not use */
    while (*at) {
        struct hx_park_page *g = *at;
        if (g->page.v != page.v) {
            at = &g->next;
            continue;
        }
        *at = g->next;
        g->linked = false;
        if (--g->op->missing == 0) {
            g->op->next = done;
            done = g->op;
        }
    }
    while (done) {
        struct hx_parked *op = done;
        done = op->next;
        op->next = NULL;
        make_ready(p, op, 0);
    }
}

void hx_parking_vdl(struct hx_parking *p, struct hx_lsn vdl)
{
    while (p->lsn.head && (p->lsn.head->lsn.v <= vdl.v || HX_MUTANT(FSYNC_EARLY)))
        make_ready(p, p->lsn.head, 0);
}

void hx_parking_open(struct hx_parking *p, int why)
{
    if (p->turn.head && p->turn.head->why == why)
        p->turn_open = true;
}

void hx_parking_cancel(struct hx_parking *p, struct hx_parked *op, int err)
{
    if (op->place != HX_PARK_NONE)
        make_ready(p, op, err);
}

void hx_parking_fail_all(struct hx_parking *p, int err)
{
    for (struct hx_parked *op = p->oldest; op; op = op->later)
        make_ready(p, op, err);
}

uint64_t hx_parking_tick(struct hx_parking *p, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;
    for (struct hx_parked *op = p->oldest; op; op = op->later) {
        if (op->deadline_ms == 0 || op->place == HX_PARK_READY)
            continue;
        if (op->deadline_ms <= now_ms)
            make_ready(p, op, HX_E_TIMEOUT);
        else if (op->deadline_ms - now_ms < next)
            next = op->deadline_ms - now_ms;
    }
    return next;
}

struct hx_parked *hx_parking_take(struct hx_parking *p)
{
    struct hx_parked *op = p->ready.head;
    if (!op && p->turn_open) {
        op = p->turn.head;
        if (op)
            op->had_turn = true;
        else
            p->turn_open = false;
    }
    if (!op && p->budget.head && hx_parking_admits(p, p->budget.head->missing))
        op = p->budget.head;
    if (op)
        leave(p, op);
    return op;
}

/* ---- the rules, checked ---- */
static bool queue_ok(const struct hx_park_queue *q, enum hx_park_place place, size_t *io_total)
{
    size_t n = 0;
    const struct hx_parked *prev = NULL;
    for (const struct hx_parked *op = q->head; op; prev = op, op = op->next, n++)
        if (op->place != place || op->prev != prev || (prev && prev->lsn.v > op->lsn.v && place == HX_PARK_LSN))
            return false; /* K1, K2 */
    *io_total += n;
    return n == q->count && q->tail == prev;
}

bool hx_parking_check(const struct hx_parking *p)
{
    size_t total = p->on_pages, n = 0, on_pages = 0;
    uint64_t in_flight = 0;
    if (!queue_ok(&p->budget, HX_PARK_BUDGET, &total) || !queue_ok(&p->turn, HX_PARK_TURN, &total) ||
        !queue_ok(&p->lsn, HX_PARK_LSN, &total) || !queue_ok(&p->ready, HX_PARK_READY, &total))
        return false;
    for (const struct hx_parked *op = p->oldest; op; op = op->later, n++)
        if (op->place == HX_PARK_PAGES) {
            on_pages++;
            in_flight += op->page_count;
            uint32_t linked = 0;
            for (uint32_t i = 0; i < op->page_count; i++)
                linked += op->pages[i].linked;
            if (linked != op->missing || linked == 0)
                return false;
        }
    return n == p->count && total == n && on_pages == p->on_pages && in_flight == p->in_flight &&
           (in_flight <= p->page_budget || on_pages == 1); /* K4 */
}
