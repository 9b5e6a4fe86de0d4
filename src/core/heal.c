/*
 * heal.c - see heal.h: who is lost, since when, and which spare takes which of his places.
 *
 * Looks once a second; what it decides on is what the writer has heard (hx_writer_member) and the geometry.
 * Placement is hx_place_spare's (hexad/place.h), over the rows as they will be when all that is under way is done.  It
 * is asked only where the zone has somebody to take the segment, so that a zone that is lost as a whole costs nothing.
 * Duplicates: a change that is under way is not begun again (hx_move_start refuses).
 */
#include "hexad/heal.h"

#include "writer_int.h"

#include "hexad/assert.h"
#include "hexad/err.h"
#include "hexad/place.h"
#include "hexad/quorum.h"

#include <stdlib.h>

#define FINE UINT64_MAX
#define GAP_MS (5 * HX_HEAL_LOOK_MS) /* between looks: this process stood still, and has heard nobody */

struct server {
    uint64_t bad_since_ms;   /* FINE: it is not */
    uint64_t avoid_until_ms; /* as a spare */
    uint64_t total, free;    /* of its disk; 0: not known */
    uint32_t fills;
    uint32_t zone;           /* the first server of the same zone */
    uint32_t able, ready;    /* of the first one of a zone: how many there may take a segment; can take one now */
    bool bad;
};
struct started {
    uint32_t pg, to;
    unsigned slot;
};
struct hx_heal {
    struct hx_writer *w;
    struct hx_move *move;
    uint64_t after_ms, now_ms, look_ms, awake_ms;
    struct server *server; /* by index in the geometry */
    uint32_t server_count;
    struct started *started; /* changes that are ours to take back */
    size_t started_count, started_cap;
    unsigned fills;
    struct hx_geometry plan; /* while it replaces: the rows, with all that is under way */
    struct hx_place_known *known;
    struct hx_heal_view view;
};

int hx_heal_new(struct hx_writer *w, struct hx_move *m, uint64_t after_ms, uint64_t now_ms, struct hx_heal **ret)
{
    struct hx_heal *h = calloc(1, sizeof *h);
    if (!h)
        return HX_E_NOMEM;
    *h = (struct hx_heal){.w = w, .move = m, .after_ms = after_ms, .now_ms = now_ms, .look_ms = now_ms,
                          .awake_ms = now_ms, .view.after_ms = after_ms};
    *ret = h;
    return 0;
}

void hx_heal_free(struct hx_heal *h)
{
    if (!h)
        return;
    free(h->server);
    free(h->started);
    free(h);
}

static const struct hx_geometry *geometry(const struct hx_heal *h)
{
    return hx_writer_geometry(h->w);
}

static bool room(struct hx_heal *h)
{
    uint32_t n = geometry(h)->server_count;
    if (n <= h->server_count)
        return true;
    struct server *more = realloc(h->server, n * sizeof *more);
    if (!more)
        return false;
    h->server = more;
    for (; h->server_count < n; h->server_count++) {
        const struct hx_server *table = geometry(h)->servers;
        uint32_t i = h->server_count, zone = 0; /* firsts of zones only: a zone's first server is its own */
        while (zone < i && (more[zone].zone != zone || strcmp(table[zone].zone, table[i].zone)))
            zone++;
        more[i] = (struct server){.bad_since_ms = FINE, .zone = zone};
    }
    return true;
}

void hx_heal_disk(struct hx_heal *h, uint32_t server, uint64_t total, uint64_t free)
{
    if (!room(h) || server >= h->server_count)
        return;
    h->server[server].total = total;
    h->server[server].free = free;
}

/* ---- who is bad ---- */

/* A full disk is no loss: what it has is there.  One that fails is asked again and again, and looks well in between:
 * the error stays until it has taken something. */
static bool bad(const struct hx_member_view *v)
{
    if (v->last_error == HX_E_POISONED || v->last_error == HX_E_IO)
        return true;
    return (v->state == HX_MEMBER_DOWN || v->state == HX_MEMBER_REFUSED) && v->last_error != HX_E_NOSPACE;
}

/* Members that are bad in PG. */
static hx_members bad_of(const struct hx_heal *h, uint32_t pg)
{
    hx_members set = 0;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        struct hx_member_view v;
        hx_writer_member(h->w, pg, i, h->now_ms, &v);
        if (bad(&v) && hx_members_has(hx_row_slots(&geometry(h)->pgs[pg]), i))
            set = hx_members_add(set, i);
    }
    return set;
}

/* To be emptied (E6); also who was declared lost, should he be there after all (B1). */
static bool is_drained(const struct hx_heal *h, uint32_t server)
{
    uint8_t state = geometry(h)->servers[server].state;
    return state == HX_SERVER_DRAINED || state == HX_SERVER_BURNT;
}

/* Nobody's place (D1, D2). */
static bool is_empty(const struct hx_pg_members *row, unsigned slot)
{
    return !hx_members_has(hx_row_slots(row), slot);
}

/* Of a zone that was given up (E7). */
static bool is_away(const struct hx_heal *h, uint32_t server)
{
    return geometry(h)->servers[server].state == HX_SERVER_AWAY;
}

static void look_at_servers(struct hx_heal *h)
{
    const struct hx_geometry *g = geometry(h);
    for (uint32_t i = 0; i < h->server_count; i++) {
        h->server[i].bad = false;
        h->server[i].fills = 0;
    }
    h->view.draining = h->view.empty = h->view.degraded = 0;
    for (uint32_t pg = 0, live = hx_geometry_live(g); pg < live; pg++) {
        hx_members set = bad_of(h, pg);
        h->view.degraded += hx_row_slots(&g->pgs[pg]) != HX_MEMBERS_ALL;
        for (unsigned i = 0; i < HX_COPIES; i++) {
            struct server *s = &h->server[g->pgs[pg].server[i]];
            if (is_empty(&g->pgs[pg], i)) {
                h->view.empty += !is_away(h, g->pgs[pg].server[i]);
                continue;
            }
            h->view.draining += is_drained(h, g->pgs[pg].server[i]);
            s->bad = s->bad || hx_members_has(set, i);
        }
    }
    h->view.lost = 0;
    for (uint32_t i = 0; i < h->server_count; i++) {
        struct server *s = &h->server[i];
        uint64_t silent = hx_writer_silent_ms(h->w, i), awake = h->now_ms - h->awake_ms;
        if (!s->bad)
            s->bad_since_ms = FINE; /* E1 */
        else if (s->bad_since_ms == FINE)
            s->bad_since_ms = h->now_ms - (silent < awake ? silent : awake);
        h->view.lost += s->bad && !is_away(h, i) && h->now_ms - s->bad_since_ms >= h->after_ms;
    }
}

static bool lost(const struct hx_heal *h, uint32_t server)
{
    const struct server *s = &h->server[server];
    return s->bad && !is_away(h, server) && h->now_ms - s->bad_since_ms >= h->after_ms;
}


/* ---- changes that are under way ---- */

static struct started *ours(struct hx_heal *h, const struct hx_change_view *v)
{
    for (size_t i = 0; i < h->started_count; i++)
        if (h->started[i].pg == v->pg && h->started[i].slot == v->slot && h->started[i].to == v->to)
            return &h->started[i];
    return NULL;
}

/* Why a change is taken back: one of ours also because its member is well again. */
static bool in_vain(struct hx_heal *h, const struct hx_change_view *v, bool own)
{
    struct hx_member_view m;
    hx_writer_member(h->w, v->pg, v->slot, h->now_ms, &m);
    if (own && m.state == HX_MEMBER_OK && !is_drained(h, v->from))
        return true; /* E2; and who is to stay again (E6) */
    bool empty = is_empty(&geometry(h)->pgs[v->pg], v->slot) && v->state <= HX_CHANGE_READY;
    if (is_drained(h, v->to) || is_away(h, v->to) || (empty && is_away(h, v->from))) /* E7 */
        return true;
    bool slow = v->state == HX_CHANGE_MAKE && v->since_ms >= HX_HEAL_MAKE_MS;
    uint64_t after = h->after_ms == HX_HEAL_NEVER ? HX_HEAL_AFTER_DEFAULT_MS : h->after_ms;
    if (!slow && hx_writer_silent_ms(h->w, v->to) < after)
        return false;
    h->server[v->to].avoid_until_ms = h->now_ms + HX_HEAL_AVOID_MS;
    return true;
}

static void look_at_changes(struct hx_heal *h)
{
    struct hx_change_view v;
    h->fills = 0;
    for (size_t i = 0; hx_move_view(h->move, i, &v);) {
        bool fills = v.state == HX_CHANGE_MAKE || v.state == HX_CHANGE_FILL || v.state == HX_CHANGE_READY;
        struct started *s = ours(h, &v);
        if (fills && in_vain(h, &v, s != NULL) && hx_move_undo(h->move, v.pg, v.slot)) {
            if (s)
                *s = h->started[--h->started_count];
            continue; /* the list may be shorter now; one that is being undone is no fill */
        }
        h->fills += fills;
        h->server[v.to].fills += fills;
        if (!fills && s)
            *s = h->started[--h->started_count];
        i++;
    }
}

/* ---- spares ---- */

static bool is_able(const struct hx_heal *h, uint32_t i)
{
    const struct server *s = &h->server[i];
    return geometry(h)->servers[i].state == HX_SERVER_IN && !s->bad && s->avoid_until_ms <= h->now_ms;
}

static bool is_ready(const struct hx_heal *h, uint32_t i)
{
    return is_able(h, i) && h->server[i].fills < HX_HEAL_FILLS_SERVER;
}

static void count_takers(struct hx_heal *h)
{
    for (uint32_t i = 0; i < h->server_count; i++)
        h->server[i].able = h->server[i].ready = 0;
    for (uint32_t i = 0; i < h->server_count; i++) {
        struct server *z = &h->server[h->server[i].zone];
        z->able += is_able(h, i);
        z->ready += is_ready(h, i);
    }
}

enum takers { NOBODY, LATER, SOMEBODY };

/* Who could take that place: of the zone, those that have no place in the group as it will be. */
static enum takers takers(const struct hx_heal *h, uint32_t pg, unsigned slot)
{
    const struct hx_pg_members *row = &h->plan.pgs[pg];
    uint32_t zone = h->server[row->server[slot]].zone;
    uint32_t able = h->server[zone].able, ready = h->server[zone].ready;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (h->server[row->server[i]].zone == zone && !is_empty(row, i)) {
            able -= is_able(h, row->server[i]);
            ready -= is_ready(h, row->server[i]);
        }
    return ready ? SOMEBODY : able ? LATER : NOBODY;
}

static void fill_begins(struct hx_heal *h, uint32_t to)
{
    bool was = is_ready(h, to);
    h->server[to].fills++;
    h->fills++;
    h->server[h->server[to].zone].ready -= was && !is_ready(h, to);
}

static struct hx_place_known known_of(const struct hx_heal *h, uint32_t i)
{
    const struct server *s = &h->server[i];
    uint8_t avoid = !is_able(h, i) ? HX_PLACE_SILENT : is_ready(h, i) ? HX_PLACE_FINE : HX_PLACE_BUSY;
    return (struct hx_place_known){.total = s->total, .free = s->free, .avoid = avoid};
}

/* An empty place of a degraded row is one of its members from then on: the plan counts no quorums. */
static void take(struct hx_pg_members *row, unsigned slot, uint32_t to)
{
    row->server[slot] = (uint16_t)to;
    if (hx_row_slots(row) != HX_MEMBERS_ALL)
        row->survivors = hx_members_add(row->survivors, slot);
}

/* The rows as they will be, and what is known of the servers.  False: no memory. */
static bool plan_begin(struct hx_heal *h)
{
    struct hx_change_view v;
    h->known = malloc((h->server_count + 1u) * sizeof *h->known);
    if (!h->known || hx_geometry_copy(&h->plan, geometry(h)))
        return false;
    for (size_t i = 0; hx_move_view(h->move, i, &v); i++)
        if (v.state <= HX_CHANGE_TURN && !v.gives_up)
            take(&h->plan.pgs[v.pg], v.slot, v.to);
    count_takers(h);
    return true;
}

static void plan_end(struct hx_heal *h)
{
    hx_geometry_fini(&h->plan);
    free(h->known);
    h->known = NULL;
}

static bool note(struct hx_heal *h, uint32_t pg, unsigned slot, uint32_t to)
{
    if (h->started_count == h->started_cap) {
        size_t cap = h->started_cap ? 2 * h->started_cap : 16;
        struct started *more = realloc(h->started, cap * sizeof *more);
        if (!more)
            return false;
        h->started = more;
        h->started_cap = cap;
    }
    h->started[h->started_count++] = (struct started){pg, to, slot};
    return true;
}

/* Begins the change to the best of those who can.  HX_E_EXIST: the zone's last ones have to forget first what they had
 * of this group. */
static int start(struct hx_heal *h, uint32_t pg, unsigned slot, uint16_t *ret)
{
    int rc = HX_E_EXIST;
    for (uint32_t i = 0; i < h->server_count; i++)
        h->known[i] = known_of(h, i);
    while (rc == HX_E_EXIST) {
        rc = hx_place_spare(&h->plan, h->known, pg, slot, ret);
        if (!rc && (h->known[*ret].avoid == HX_PLACE_SILENT || h->known[*ret].avoid == HX_PLACE_BUSY))
            return HX_E_EXIST;
        if (!rc)
            rc = hx_move_start(h->move, pg, slot, *ret);
        if (rc == HX_E_EXIST)
            h->known[*ret].avoid = HX_PLACE_SILENT;
    }
    return rc;
}

static void replace(struct hx_heal *h, uint32_t pg, unsigned slot)
{
    uint32_t from = geometry(h)->pgs[pg].server[slot];
    uint16_t to;
    bool empty = is_empty(&geometry(h)->pgs[pg], slot);
    if (h->plan.pgs[pg].server[slot] != from || empty != is_empty(&h->plan.pgs[pg], slot))
        return; /* under way */
    enum takers who = takers(h, pg, slot);
    if (who == NOBODY) { /* E5 */
        h->view.no_spare++;
        h->view.no_spare_server = from;
    }
    if (who != SOMEBODY || start(h, pg, slot, &to))
        return;
    take(&h->plan.pgs[pg], slot, to);
    fill_begins(h, to);
    if (!note(h, pg, slot, to) && hx_move_undo(h->move, pg, slot))
        h->plan.pgs[pg] = geometry(h)->pgs[pg];
}

/* Groups that lack at least this many members. */
static void replace_all(struct hx_heal *h, unsigned least, unsigned most)
{
    const struct hx_geometry *g = geometry(h);
    for (uint32_t pg = 0, live = hx_geometry_live(g); pg < live; pg++) {
        unsigned n = 0;
        for (unsigned i = 0; i < HX_COPIES; i++)
            n += !is_empty(&g->pgs[pg], i) && lost(h, g->pgs[pg].server[i]);
        for (unsigned i = 0; n >= least && n <= most && i < HX_COPIES && h->fills < HX_HEAL_FILLS_MAX; i++)
            if (!is_empty(&g->pgs[pg], i) && lost(h, g->pgs[pg].server[i]))
                replace(h, pg, i);
    }
}

/* E6: after those that are lost. */
static void drain_all(struct hx_heal *h)
{
    const struct hx_geometry *g = geometry(h);
    for (uint32_t pg = 0, live = hx_geometry_live(g); h->view.draining && pg < live; pg++)
        for (unsigned i = 0; i < HX_COPIES && h->fills < HX_HEAL_FILLS_MAX; i++)
            if (!is_empty(&g->pgs[pg], i) && is_drained(h, g->pgs[pg].server[i]))
                replace(h, pg, i);
}

/* E7: both places of a group one after the other, for it takes them together. */
static void fill_all(struct hx_heal *h)
{
    const struct hx_geometry *g = geometry(h);
    for (uint32_t pg = 0, live = hx_geometry_live(g); h->view.empty && pg < live; pg++)
        for (unsigned i = 0; i < HX_COPIES && h->fills < HX_HEAL_FILLS_MAX; i++)
            if (is_empty(&g->pgs[pg], i) && !is_away(h, g->pgs[pg].server[i]))
                replace(h, pg, i);
}

uint64_t hx_heal_tick(struct hx_heal *h, uint64_t now_ms)
{
    if (now_ms > h->now_ms + GAP_MS)
        h->look_ms = h->awake_ms = now_ms;
    bool slept = h->awake_ms == now_ms && now_ms > h->now_ms + GAP_MS;
    h->now_ms = now_ms > h->now_ms ? now_ms : h->now_ms;
    if (!room(h))
        return HX_HEAL_LOOK_MS;
    for (uint32_t i = 0; slept && i < h->server_count; i++)
        h->server[i].bad_since_ms = FINE; /* E1 */
    if (h->look_ms > h->now_ms)
        return h->look_ms - h->now_ms;
    h->look_ms = h->now_ms + HX_HEAL_LOOK_MS;
    look_at_servers(h);
    look_at_changes(h);
    h->view.no_spare = 0;
    bool any = h->view.lost || h->view.draining || h->view.empty;
    if (!any || !hx_row_write(&geometry(h)->pgs[0], (hx_members)(HX_MEMBERS_ALL & ~bad_of(h, 0)))) /* E3 */
        return HX_HEAL_LOOK_MS;
    if (plan_begin(h)) {
        replace_all(h, 2, HX_COPIES);
        replace_all(h, 1, 1);
        drain_all(h);
        fill_all(h);
    }
    plan_end(h);
    return HX_HEAL_LOOK_MS;
}

void hx_heal_view(const struct hx_heal *h, struct hx_heal_view *ret)
{
    *ret = h->view;
}
