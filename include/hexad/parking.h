/*
 * parking.h - operations that wait: for pages, for room in the log, for the volume to grow, for an LSN to be
 * durable.  Decides who may run (again) and when; runs nothing itself.
 *
 * Five places, and who moves an operation on:
 *   PAGES   its pages are being fetched                     hx_parking_page, when the last of them has come
 *   BUDGET  it lacks pages, but enough are being fetched    take, once pages in flight are fewer than the budget
 *   TURN    the log window is full, or no page is free      take, in order of arrival, while the gate is open
 *   LSN     its records are not durable yet                 hx_parking_vdl
 *   READY   may run now                                     take
 *
 * Invariants:
 *   K1 an operation is in exactly one place, or not parked at all.
 *   K2 LSN is ascending, so hx_parking_vdl looks only at the front; equal LSNs stay in order of arrival.
 *   K3 TURN is first come, first served: an operation whose turn it was and that must wait again keeps its place in
 *      front, and closes the gate.  While anybody waits here, later changes queue behind (hx_parking_gated).
 *   K4 pages in flight for parked operations stay below the budget, unless one operation alone needs more: so what
 *      arrives for an operation is still in the cache when the last of its pages has come.
 *   K5 a deadline, once given, stays for the operation's life: waiting in several places does not prolong it.
 *
 * A crash leaves nothing: parked operations have changed nothing (pager.h).  A page that arrives twice, or that
 * nobody waits for, is ignored.  Pure; allocates the list of pages of an operation, and nothing else.
 */
#ifndef HEXAD_PARKING_H
#define HEXAD_PARKING_H

#include "hexad/err.h"
#include "hexad/types.h"

enum hx_park_place {
    HX_PARK_NONE = 0, HX_PARK_PAGES, HX_PARK_BUDGET, HX_PARK_TURN, HX_PARK_LSN, HX_PARK_READY
};
struct hx_park_page;

/* Part of the caller's operation; zeroed at the start.  The caller keeps it in place while it is parked. */
struct hx_parked {
    enum hx_park_place place;
    struct hx_parked *next, *prev;           /* in its place (but PAGES) */
    struct hx_parked *later, *earlier;       /* all parked ones, by arrival */
    struct hx_park_page *pages;              /* owned while in PAGES */
    uint32_t page_count, missing;            /* missing: not there yet; in BUDGET: how many it will ask for */
    struct hx_lsn lsn;
    uint64_t since_ms, deadline_ms;          /* of the first parking; deadline 0: none */
    int err;                                 /* why it is READY: 0 run again, else give up with this */
    int why;                                 /* TURN: HX_E_ROOM or HX_E_GROW */
    bool had_turn;
};

struct hx_park_queue {
    struct hx_parked *head, *tail;
    size_t count;
};
#define HX_PARKING_BUCKETS 4096u
struct hx_parking {
    struct hx_park_queue budget, turn, lsn, ready;
    struct hx_parked *oldest, *newest;
    struct hx_park_page **buckets;           /* owned: operations by the page they wait for */
    size_t count;                            /* parked, in all places */
    size_t on_pages;                         /* operations in PAGES */
    uint64_t in_flight, page_budget;         /* pages */
    bool turn_open;
};
int hx_parking_init(struct hx_parking *p, uint64_t page_budget); /* HX_E_NOMEM */
void hx_parking_fini(struct hx_parking *p);                      /* nothing may be parked */

/* May an operation that lacks COUNT pages have them fetched now? (K4) */
bool hx_parking_admits(const struct hx_parking *p, uint32_t count);
/* Park.  SOFT_MS 0: no deadline.  PAGES: at least one; a repeat does no harm.  HX_E_NOMEM: not parked. */
int hx_parking_on_pages(struct hx_parking *p, struct hx_parked *op, uint64_t now_ms, uint32_t soft_ms,
                        const struct hx_pageno *pages, uint32_t count);
void hx_parking_on_budget(struct hx_parking *p, struct hx_parked *op, uint64_t now_ms, uint32_t soft_ms,
                          uint32_t count);
void hx_parking_on_turn(struct hx_parking *p, struct hx_parked *op, uint64_t now_ms, uint32_t soft_ms, int why);
void hx_parking_on_lsn(struct hx_parking *p, struct hx_parked *op, uint64_t now_ms, uint32_t soft_ms,
                       struct hx_lsn lsn);
bool hx_parking_gated(const struct hx_parking *p); /* a change must go on_turn without being tried (K3) */

/* Events. */
void hx_parking_page(struct hx_parking *p, struct hx_pageno page); /* came, or will not come: run and see */
void hx_parking_vdl(struct hx_parking *p, struct hx_lsn vdl);
void hx_parking_open(struct hx_parking *p, int why); /* ROOM: the VDL has moved; GROW: there are new pages, or never */
void hx_parking_cancel(struct hx_parking *p, struct hx_parked *op, int err); /* a parked one becomes READY with ERR */
void hx_parking_fail_all(struct hx_parking *p, int err);
/* Those past their deadline become READY with HX_E_TIMEOUT.  Returns ms until the next deadline, UINT64_MAX: none. */
uint64_t hx_parking_tick(struct hx_parking *p, uint64_t now_ms);
/* The next operation to run, not parked any more; op->err says whether to run or to give up.  NULL: none. */
struct hx_parked *hx_parking_take(struct hx_parking *p);
/* What the front of TURN waits for: HX_E_ROOM, HX_E_GROW, or 0. */
int hx_parking_turn_why(const struct hx_parking *p);
/* Every rule above, for tests: true if they hold. */
bool hx_parking_check(const struct hx_parking *p);

#endif
