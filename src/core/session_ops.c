/*
 * session_ops.c - operations of an open volume: what they wait for, the pages that they lack, growth.
 *
 * Who may run when is parking.c's; which server gives a page is reader.c's.
 * Invariants: S1 and S3 of hexad/session.h, K1..K5 of hexad/parking.h; at most one growth is under way.
 * A late answer to a growth that has ended finds it gone.  Memory: of the parts.
 */
#include "session_int.h"

#include "hexad/assert.h"
#include "hexad/mutant.h"

#include <stdlib.h>

/* ---- growth ---- */
/* What the servers said last of their disks; NULL: nothing, or no memory, and all count the same. */
static struct hx_place_known *disks(const struct hx_session *s)
{
    const struct hx_geometry *g = hx_writer_geometry(s->writer);
    const struct hx_session_asks *r = s->hello.asks;
    struct hx_place_known *known = r ? calloc(g->server_count + 1u, sizeof *known) : NULL;
    for (uint32_t i = 0; known && i < r->count && i < g->server_count; i++) /* the table only grows */
        known[i] = (struct hx_place_known){.total = r->ask[i].total_bytes, .free = r->ask[i].free_bytes};
    return known;
}

static void start_growth(struct hx_session *s)
{
    hx_assert(s->state == HX_SESSION_OPEN);
    if (s->growth || s->now_ms < s->grow_again_ms)
        return;
    if (s->driver && hx_move_turning(s->driver)) { /* one version in the air (M3) */
        s->grow_wanted = true;
        return;
    }
    (void)hx_session_unrelease(s); /* no version is in the air: it is not too late */
    struct hx_place_known *known = disks(s);
    s->grow_err = hx_growth_new(s->writer, known, &s->owner, s->now_ms, &s->growth);
    free(known);
    if (s->grow_err)
        s->grow_again_ms = s->now_ms + HX_SESSION_GROW_PAUSE_MS;
}

/* Growth has ended: the new pages exist, or cannot be had; both let those who wait look again. */
bool hx_session_growth_step(struct hx_session *s)
{
    int err = s->growth ? hx_growth_state(s->growth) : HX_E_AGAIN;
    if (err == HX_E_AGAIN)
        return false;
    if (err == 0) {
        if (s->now_ms < s->grow_again_ms)
            return false;
        err = hx_writer_add_pg(s->writer, hx_growth_geometry(s->growth), hx_growth_made(s->growth));
        if (err) { /* published, and so to be used: a growth of the same number might be placed elsewhere */
            s->grow_again_ms = s->now_ms + HX_SESSION_GROW_PAUSE_MS;
            return false;
        }
    }
    s->grow_err = err;
    if (err == 0) {
        s->news |= HX_NEWS_GREW;
    } else if (err == HX_E_FENCED) {
        hx_writer_fence(s->writer);
    } else {
        s->grow_again_ms = s->now_ms + HX_SESSION_GROW_PAUSE_MS;
        s->grow_news_err = err;
        s->news |= HX_NEWS_NOT_GREW;
    }
    hx_session_bury_growth(s);
    hx_parking_open(&s->parking, HX_E_GROW);
    return true;
}

/* A version that the driver brought into use changes who is asked, and may complete records. */
bool hx_session_driver_step(struct hx_session *s)
{
    if (!s->driver)
        return false;
    uint32_t going = hx_move_releasing(s->driver); /* its pages are wanted by nobody: who asked before gets them */
    bool read = going && hx_reader_busy(s->reader, going);
    hx_move_hold(s->driver, s->growth || s->state != HX_SESSION_OPEN || read); /* M3 */
    uint64_t versions = hx_move_versions(s->driver);
    bool moved = versions != s->versions;
    s->versions = versions;
    if (s->grow_wanted && !hx_move_turning(s->driver)) {
        s->grow_wanted = false;
        if (s->state == HX_SESSION_OPEN)
            start_growth(s);
        if (!s->growth)
            hx_parking_open(&s->parking, HX_E_GROW); /* they look again, and hear why */
        moved = true;
    }
    return moved;
}

int hx_session_wish(struct hx_session *s, const struct hx_wish *w)
{
    return s->state == HX_SESSION_OPEN && s->driver ? hx_move_wish(s->driver, w) : HX_E_AGAIN;
}

void hx_session_note_free(struct hx_session *s, uint64_t now_ms, uint64_t free_pages)
{
    hx_session_set_now(s, now_ms);
    if (s->state != HX_SESSION_OPEN || s->read_only || s->growth)
        return;
    uint64_t low = hx_geometry_pg_pages(hx_writer_geometry(s->writer)) / 8;
    uint64_t cap = (UINT64_C(64) << 20) / HX_PAGE_SIZE;
    if (free_pages < (low < cap ? low : cap))
        start_growth(s);
}

/* ---- shrinking ---- */
int hx_session_release(struct hx_session *s, uint64_t now_ms, uint64_t keep)
{
    hx_session_set_now(s, now_ms);
    if (s->state != HX_SESSION_OPEN || !s->driver)
        return HX_E_READ_ONLY;
    uint64_t unit = hx_session_unit(s), pages = hx_writer_pages(s->writer);
    if (keep == 0 || keep % unit || keep + unit != pages)
        return HX_E_INVAL;
    if (s->growth || s->grow_wanted || hx_move_turning(s->driver) || hx_session_unsafe(s))
        return HX_E_BUSY;
    return hx_move_release(s->driver, (uint32_t)(keep / unit));
}

int hx_session_unrelease(struct hx_session *s)
{
    return s->driver && hx_move_releasing(s->driver) ? hx_move_release(s->driver, 0) : 0;
}

bool hx_session_releasing(const struct hx_session *s)
{
    return s->driver && hx_move_releasing(s->driver);
}

uint64_t hx_session_unit(const struct hx_session *s)
{
    return s->writer ? hx_geometry_pg_pages(hx_writer_geometry(s->writer)) : 0;
}

/* ---- pages ---- */

/* Pages that have come go to the cache, and wake those who wait for them. */
void hx_session_take_pages(struct hx_session *s)
{
    struct hx_reader_done d;
    while (hx_reader_take(s->reader, &d)) {
        if (d.err) {
            if (d.err != HX_E_FENCED) { /* that says nothing about the page, and is told by itself */
                s->bad_page = d.want.page;
                s->bad_err = d.err;
                s->news |= HX_NEWS_BAD_PAGE;
            }
            hx_cache_fill_failed(s->cache, d.want, d.err);
        } else {
            hx_cache_fill(s->cache, d.want, d.data);
        }
        hx_parking_page(&s->parking, d.want.page);
    }
}

/* Takes the pages that operations asked for out of the cache's list and has them fetched, or tells the cache
 * that they will not be: then the next run of the operation asks for them again (K4). */
static void fetch_wants(struct hx_session *s, bool fetch)
{
    struct hx_cache_want wants[256];
    size_t n;
    while ((n = hx_cache_take_wants(s->cache, wants, HX_ARRAY_LEN(wants))) > 0) {
        if (fetch) {
            hx_reader_fetch(s->reader, s->now_ms, wants, n);
            hx_session_take_pages(s); /* those that there was no memory for */
            continue;
        }
        for (size_t i = 0; i < n; i++)
            hx_cache_fill_failed(s->cache, wants[i], HX_E_AGAIN);
    }
}

static int park_on_pages(struct hx_session *s, struct hx_parked *op)
{
    struct hx_notepager *n = &s->pager;
    hx_assert(n->count > 0 || n->nomem);
    if (n->nomem) {
        fetch_wants(s, false);
        return HX_E_NOMEM;
    }
    if (!hx_parking_admits(&s->parking, (uint32_t)n->count)) {
        fetch_wants(s, false);
        hx_parking_on_budget(&s->parking, op, s->now_ms, s->soft_ms, (uint32_t)n->count);
        return 0;
    }
    int err = hx_parking_on_pages(&s->parking, op, s->now_ms, s->soft_ms, n->pages, (uint32_t)n->count);
    fetch_wants(s, err == 0);
    return err;
}

/* ---- operations ---- */
struct hx_pager *hx_session_pager(struct hx_session *s)
{
    return &s->pager.base;
}

void hx_session_begin(struct hx_session *s)
{
    hx_notepager_reset(&s->pager);
}

bool hx_session_gated(const struct hx_session *s)
{
    return hx_parking_gated(&s->parking);
}

size_t hx_session_parked(const struct hx_session *s)
{
    return s->parking.count;
}

/* Why an operation cannot wait in this state; 0: it can. */
static int closed_to_operations(const struct hx_session *s)
{
    switch (s->state) {
    case HX_SESSION_OPEN:
        return 0;
    case HX_SESSION_FENCED:
        return HX_E_FENCED;
    default:
        return HX_E_CANCELED;
    }
}

int hx_session_park(struct hx_session *s, uint64_t now_ms, struct hx_parked *op, int err)
{
    hx_session_set_now(s, now_ms);
    int closed = closed_to_operations(s);
    if (closed)
        return closed;
    if (op->deadline_ms && op->deadline_ms <= s->now_ms)
        return HX_E_TIMEOUT;
    switch (err) {
    case HX_E_MISS:
        return park_on_pages(s, op);
    case HX_E_GROW:
        start_growth(s);
        if (!s->growth && !s->grow_wanted)
            return s->grow_err; /* a moment ago, or just now */
        break;
    case HX_E_ROOM:
        hx_writer_want(s->writer, s->now_ms, hx_writer_last(s->writer));
        break;
    default:
        return err;
    }
    hx_parking_on_turn(&s->parking, op, s->now_ms, s->soft_ms, err);
    return 0;
}

int hx_session_park_durable(struct hx_session *s, uint64_t now_ms, struct hx_parked *op, struct hx_lsn lsn)
{
    hx_session_set_now(s, now_ms);
    int closed = closed_to_operations(s);
    if (closed)
        return closed;
    if (hx_writer_state(s->writer))
        return HX_E_FENCED;
    hx_writer_want(s->writer, s->now_ms, lsn);
    hx_parking_on_lsn(&s->parking, op, s->now_ms, s->soft_ms, lsn);
    hx_parking_vdl(&s->parking, hx_writer_vdl(s->writer));
    return 0;
}

void hx_session_cancel(struct hx_session *s, struct hx_parked *op, int err)
{
    hx_parking_cancel(&s->parking, op, err);
}

struct hx_lsn hx_session_last(const struct hx_session *s)
{
    return hx_writer_last(s->writer);
}

struct hx_lsn hx_session_vdl(const struct hx_session *s)
{
    return hx_writer_vdl(s->writer);
}

uint64_t hx_session_unsafe(const struct hx_session *s)
{
    if (!s->writer)
        return 0;
    uint64_t last = hx_writer_last(s->writer).v, vdl = hx_writer_vdl(s->writer).v;
    return last > vdl ? last - vdl : 0;
}
