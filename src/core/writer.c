/*
 * writer.c - the writer's life, what it is told, and what others may ask of it (hexad/writer.h).
 *
 * Does not decide what is sent (writer_send.c), nor what is durable (writer_ack.c), nor where frames lie
 * (writer_log.c); definitions and the seat's states are in writer_int.h.
 *
 * Invariants: W1 .. W5 of hexad/writer.h, cited where they are checked.
 * Crash: everything here is lost; recovery finds what the members have.  Duplicates and late answers: a call
 * number is used once, an answer to any other is nobody's.  After FENCED nothing comes out any more (W3).
 * Memory: all is allocated in hx_writer_new and hx_writer_add_pg; events allocate nothing.
 */
#include "writer_int.h"

#include "hexad/assert.h"
#include "hexad/err.h"
#include "hexad/mutant.h"
#include "hexad/quorum.h"

#include <stdlib.h>

static uint64_t power_of_two(uint64_t at_least)
{
    uint64_t n = 64;
    while (n < at_least)
        n *= 2;
    return n;
}

void hx_writer_clock(struct hx_writer *w, uint64_t now_ms)
{
    if (now_ms > w->now_ms)
        w->now_ms = now_ms;
    w->busy = true;
}

/* ---- life ---- */

/* TOLD: members that are known to have the segment and the history of this epoch; the others are asked. */
static void pg_begin(struct hx_writer *w, uint32_t pg, const struct hx_writer_pg *found, hx_members told)
{
    struct hx_writer_pgs *p = &w->pg[pg];
    memset(p, 0, sizeof *p);
    p->open = -1;
    p->seats = HX_COPIES;
    const struct hx_pg_members *row = &w->geometry.pgs[pg];
    hx_members slots = hx_row_slots(row);
    p->members = (uint8_t)hx_members_count(slots);
    p->quorum = (uint8_t)hx_row_write_quorum(row);
    if (found) {
        p->last = HX_MUTANT(LINK_NAMES_END) ? w->begin_end : found->last;
        memcpy(p->scl, found->scl, sizeof found->scl);
        /* Recovery opened the epoch only after four members were complete through here (step 6). */
        p->pgcl = hx_lsn_max(found->last, hx_quorum_kth(p->scl, p->quorum));
    }
    for (unsigned i = 0; i < HX_COPIES; i++) {
        if (!hx_members_has(slots, i)) {
            p->seat[i] = (struct hx_seat){.server = HX_WRITER_NONE, .next = HX_WRITER_NONE, .gone = true};
            p->scl[i] = HX_LSN(0); /* M9 */
            continue;
        }
        p->seat[i].server = w->geometry.pgs[pg].server[i];
        p->seat[i].next = HX_WRITER_NONE;
        p->seat[i].told = hx_members_has(told, i);
        p->seat[i].state = p->seat[i].told ? HX_SEAT_READY : HX_SEAT_ASK;
        if (w->server[p->seat[i].server]->home == HX_WRITER_NONE)
            w->server[p->seat[i].server]->home = pg;
    }
}

int hx_writer_make_blob(struct hx_writer *w, const struct hx_geometry *g)
{
    size_t len = hx_geometry_encoded_len(g);
    struct hx_writer_blob *b = malloc(sizeof *b + len);
    if (!b)
        return HX_E_NOMEM;
    struct hx_enc e = hx_enc_init(b->p, len);
    hx_geometry_encode(g, &e);
    hx_assert(e.err == 0);
    b->len = e.len;
    b->older = w->blob;
    w->blob = b;
    return 0;
}

/* Grows the array of servers to those of G.  What was there stays where it is: effects lend it. */
int hx_writer_make_servers(struct hx_writer *w, const struct hx_geometry *g)
{
    struct hx_writer_server **more = realloc(w->server, (g->server_count + 1) * sizeof(struct hx_writer_server *));
    if (!more)
        return HX_E_NOMEM;
    w->server = more;
    while (w->server_count < g->server_count) {
        struct hx_writer_server *s = calloc(1, sizeof *s);
        if (!s)
            return HX_E_NOMEM;
        s->id = g->servers[w->server_count];
        s->index = w->server_count;
        s->serial = (uint32_t)(w->epoch.v * 0x9e3779b1u); /* numbers of another epoch mean nothing here */
        s->list = s->home = HX_WRITER_NONE;
        s->good_ms = s->announce_ms = w->now_ms;
        s->cursor = s->dropped = w->head_seq;
        w->server[w->server_count++] = s;
    }
    return 0;
}

static int make_pgs(struct hx_writer *w, uint32_t count)
{
    if (count <= w->pg_cap)
        return 0;
    uint32_t cap = (uint32_t)power_of_two(count);
    struct hx_writer_pgs *more = realloc(w->pg, cap * sizeof *more);
    if (!more)
        return HX_E_NOMEM;
    w->pg = more;
    w->pg_cap = cap;
    return 0;
}

static int make_log(struct hx_writer *w, size_t window, uint64_t lal)
{
    hx_assert(lal > 0); /* a history has no other */
    w->window = window ? window : HX_WRITER_WINDOW_DEFAULT;
    if (w->window < 4 * (size_t)HX_FRAME_MAX || lal > HX_LAL_MAX)
        return HX_E_INVAL;
    w->frame_size = power_of_two(w->window / 1024);
    w->map_size = power_of_two(lal);
    w->ring = malloc(w->window + HX_FRAME_MAX);
    w->frame = malloc(w->frame_size * sizeof *w->frame); /* read only between head and tail */
    w->map = malloc(w->map_size * sizeof *w->map);
    if (!w->ring || !w->frame || !w->map)
        return HX_E_NOMEM;
    for (unsigned i = 0; i < HX_WRITER_BUILDERS; i++) {
        int rc = hx_frame_builder_new(&w->open[i].b);
        if (rc)
            return rc;
    }
    return 0;
}

static int make_history(struct hx_writer *w, const struct hx_history *h)
{
    int rc = hx_history_copy(&w->history, h);
    if (rc)
        return rc;
    size_t len = hx_history_encoded_len(h);
    w->history_bytes = malloc(len);
    if (!w->history_bytes)
        return HX_E_NOMEM;
    struct hx_enc e = hx_enc_init(w->history_bytes, len);
    hx_history_encode(h, &e);
    hx_assert(e.err == 0);
    w->history_len = e.len;
    return 0;
}

static int fill(struct hx_writer *w, const struct hx_writer_cfg *cfg)
{
    const struct hx_history_entry *top = hx_history_top_entry(cfg->history);
    if (!top || cfg->geometry->pg_count == 0)
        return HX_E_INVAL;
    w->owner = cfg->owner;
    w->now_ms = w->vdl_ms = cfg->now_ms;
    w->epoch = top->epoch;
    w->begin_end = w->walked = w->last = top->end;
    w->vcl = w->vdl = w->floor = top->vdl; /* step 8: the VDL starts at VDL' */
    int rc = hx_geometry_copy(&w->geometry, cfg->geometry);
    if (!rc)
        rc = make_history(w, cfg->history);
    if (!rc)
        rc = make_log(w, cfg->window_bytes, top->lal);
    if (!rc)
        rc = hx_writer_make_blob(w, cfg->geometry);
    if (!rc)
        rc = hx_writer_make_servers(w, cfg->geometry);
    if (!rc)
        rc = make_pgs(w, cfg->geometry->pg_count);
    if (rc)
        return rc;
    w->pg_count = hx_geometry_live(cfg->geometry);
    /* PG 0's members are those whose answers opened the epoch; the others hear of it from us (step 8). */
    for (uint32_t i = 0; i < w->pg_count; i++)
        pg_begin(w, i, &cfg->pgs[i], i == 0 ? HX_MEMBERS_ALL : 0);
    return 0;
}

int hx_writer_new(const struct hx_writer_cfg *cfg, struct hx_writer **ret)
{
    struct hx_writer *w = calloc(1, sizeof *w);
    if (!w)
        return HX_E_NOMEM;
    int rc = fill(w, cfg);
    if (rc) {
        hx_writer_free(w);
        return rc;
    }
    w->busy = true;
    *ret = w;
    return 0;
}

void hx_writer_free(struct hx_writer *w)
{
    if (!w)
        return;
    for (uint32_t i = 0; i < w->server_count; i++)
        free(w->server[i]);
    for (unsigned i = 0; i < HX_WRITER_BUILDERS; i++)
        hx_frame_builder_free(w->open[i].b);
    while (w->blob) {
        struct hx_writer_blob *older = w->blob->older;
        free(w->blob);
        w->blob = older;
    }
    free(w->server);
    free(w->pg);
    free(w->ring);
    free(w->frame);
    free(w->map);
    free(w->history_bytes);
    hx_history_fini(&w->history);
    hx_geometry_fini(&w->geometry);
    if (w->next)
        hx_geometry_fini(w->next);
    free(w->next);
    free(w);
}

static bool format_under_way(const struct hx_writer *w)
{
    for (uint32_t i = 0; i < w->server_count; i++)
        for (unsigned k = 0; k < HX_WRITER_CALLS; k++)
            if (w->server[i]->call[k].id && w->server[i]->call[k].kind == HX_WCALL_FORMAT)
                return true;
    return false;
}

void hx_writer_old_blobs(struct hx_writer *w)
{
    while (w->blob->older && !format_under_way(w)) {
        struct hx_writer_blob *gone = w->blob->older;
        w->blob->older = gone->older;
        free(gone);
    }
}

int hx_writer_add_pg(struct hx_writer *w, const struct hx_geometry *grown, hx_members made)
{
    struct hx_geometry copy = {0};
    hx_assert(grown->pg_count >= w->geometry.pg_count && grown->server_count >= w->geometry.server_count);
    hx_assert(!w->next); /* M3 */
    int rc = hx_geometry_copy(&copy, grown);
    if (!rc)
        rc = hx_writer_make_servers(w, grown); /* some more of them do no harm when the rest fails */
    if (!rc)
        rc = make_pgs(w, grown->pg_count);
    if (!rc)
        rc = hx_writer_make_blob(w, grown);
    if (rc) {
        hx_geometry_fini(&copy);
        return rc;
    }
    hx_geometry_fini(&w->geometry);
    w->geometry = copy;
    while (w->pg_count < hx_geometry_live(grown)) {
        uint32_t pg = w->pg_count++;
        hx_members slots = hx_row_slots(&w->geometry.pgs[pg]);
        pg_begin(w, pg, NULL, made); /* FORMAT carried the history of this epoch */
        for (unsigned i = 0; i < HX_COPIES; i++)
            if (hx_members_has(slots & (hx_members)~made, i)) /* at once: it counts as lost until it is there */
                hx_writer_member_lacks(w, pg, i, HX_E_NO_SEGMENT);
    }
    hx_writer_old_blobs(w);
    w->busy = true;
    return 0;
}

/* ---- what it is told ---- */

int hx_writer_append(struct hx_writer *w, uint64_t now_ms, const struct hx_writer_rec *recs, size_t count,
                     struct hx_lsn *ret_first, struct hx_lsn *ret_cpl)
{
    hx_writer_clock(w, now_ms);
    if (w->fenced)
        return HX_E_FENCED;
    hx_assert(count > 0);
    for (size_t i = 0; i < count; i++)
        if (recs[i].page.v >= hx_writer_pages(w) || recs[i].len > HX_PAGE_SIZE ||
            w->pg[hx_geometry_pg_of(&w->geometry, recs[i].page)].closed)
            return HX_E_INVAL;
    int rc = hx_writer_log_room(w, recs, count);
    if (rc) {
        w->stats.room_waits += rc == HX_E_ROOM;
        return rc;
    }
    struct hx_lsn first = HX_LSN(w->last.v + 1);
    for (size_t i = 0; i < count; i++) {
        w->last.v++;
        hx_writer_log_put(w, &recs[i], w->last, i + 1 == count || HX_MUTANT(CPL_EVERYWHERE));
        w->stats.record_bytes += HX_REC_HEAD + recs[i].len;
    }
    uint64_t most = hx_lsn_max(w->vdl, w->begin_end).v + hx_history_top_entry(&w->history)->lal;
    hx_assert(w->last.v <= most || HX_MUTANT(LAL_IGNORED)); /* W1 */
    w->stats.records += count;
    w->stats.mtrs++;
    *ret_first = first;
    *ret_cpl = w->last;
    return 0;
}

void hx_writer_want(struct hx_writer *w, uint64_t now_ms, struct hx_lsn lsn)
{
    hx_writer_clock(w, now_ms);
    w->want = hx_lsn_max(w->want, lsn);
}

void hx_writer_set_floor(struct hx_writer *w, struct hx_lsn floor)
{
    if (!w->floor_held)
        w->floor = hx_lsn_max(w->floor, hx_lsn_min(floor, w->vdl));
}

void hx_writer_set_info(struct hx_writer *w, const char *text)
{
    size_t len = strlen(text);
    if (len >= sizeof w->info)
        return; /* half a JSON text is worse than the former one */
    memcpy(w->info, text, len + 1);
}

void hx_writer_set_time(struct hx_writer *w, uint64_t time_us)
{
    if (time_us > w->time_us) /* labels only, but monotone: pitfall 75 */
        w->time_us = time_us;
}

void hx_writer_goodbye(struct hx_writer *w, uint64_t now_ms)
{
    hx_writer_clock(w, now_ms);
    w->goodbye = true;
}

void hx_writer_fence(struct hx_writer *w)
{
    w->fenced = !HX_MUTANT(FENCED_IGNORED);
}

/* ---- what others may ask ---- */

struct hx_lsn hx_writer_vdl(const struct hx_writer *w)
{
    return w->vdl;
}

struct hx_lsn hx_writer_vcl(const struct hx_writer *w)
{
    return w->vcl;
}

struct hx_lsn hx_writer_last(const struct hx_writer *w)
{
    return w->last.v > w->begin_end.v ? w->last : w->vdl;
}

int hx_writer_state(const struct hx_writer *w)
{
    return w->fenced ? HX_E_FENCED : 0;
}

struct hx_epoch hx_writer_epoch(const struct hx_writer *w)
{
    return w->epoch;
}

uint64_t hx_writer_pages(const struct hx_writer *w)
{
    return (uint64_t)w->pg_count * hx_geometry_pg_pages(&w->geometry);
}

const struct hx_geometry *hx_writer_geometry(const struct hx_writer *w)
{
    return &w->geometry;
}

const struct hx_history *hx_writer_history(const struct hx_writer *w)
{
    return &w->history;
}

uint64_t hx_writer_room_serial(const struct hx_writer *w)
{
    return w->room_serial;
}

bool hx_writer_idle(const struct hx_writer *w)
{
    if (w->fenced)
        return true;
    if (hx_writer_last(w).v != w->vdl.v)
        return false;
    for (uint32_t i = 0; i < w->server_count; i++) {
        const struct hx_writer_server *s = w->server[i];
        if (!hx_writer_send_well(w, s))
            continue;
        for (unsigned k = 0; k < HX_WRITER_CALLS; k++)
            if (s->call[k].id)
                return false;
        if (w->goodbye && !s->goodbye_done && s->home != HX_WRITER_NONE) /* without a group: told nothing */
            return false;
    }
    return true;
}

struct hx_lsn hx_writer_pgcl(const struct hx_writer *w, uint32_t pg)
{
    return w->pg[pg].pgcl;
}

void hx_writer_stats(const struct hx_writer *w, struct hx_writer_stats *ret)
{
    *ret = w->stats;
}

/* A member that fell behind is given no frames that it could refuse: gossip fills it, or finds the disk full.  One that
 * has all there is has found room for it. */
static bool lacks_room(const struct hx_writer_pgs *p, unsigned slot)
{
    return p->seat[slot].full && p->scl[slot].v < p->pgcl.v;
}

static enum hx_member_state member_state(const struct hx_writer *w, const struct hx_writer_server *s,
                                         const struct hx_writer_pgs *p, unsigned slot)
{
    int err = s->error ? s->error : p->seat[slot].state == HX_SEAT_PAUSED ? p->seat[slot].error : 0;
    if (err && hx_err_info(err)->class == HX_CLASS_REFUSED)
        return HX_MEMBER_REFUSED;
    if (err || !hx_writer_send_well(w, s) || lacks_room(p, slot))
        return HX_MEMBER_DOWN;
    if (!s->heard && p->scl[slot].v == 0)
        return HX_MEMBER_UNKNOWN;
    return p->scl[slot].v < p->pgcl.v ? HX_MEMBER_BEHIND : HX_MEMBER_OK;
}

void hx_writer_member(const struct hx_writer *w, uint32_t pg, unsigned slot, uint64_t now_ms,
                      struct hx_member_view *ret)
{
    const struct hx_writer_pgs *p = &w->pg[pg];
    if (p->seat[slot].server == HX_WRITER_NONE) {
        *ret = (struct hx_member_view){.state = HX_MEMBER_UNKNOWN};
        return;
    }
    const struct hx_writer_server *s = w->server[p->seat[slot].server];
    ret->state = member_state(w, s, p, slot);
    ret->scl = p->scl[slot];
    ret->last_error = s->error               ? s->error
                      : lacks_room(p, slot) ? HX_E_NOSPACE
                                            : p->seat[slot].error;
    ret->silent_ms = now_ms > s->good_ms ? now_ms - s->good_ms : 0;
    ret->rtt_us = s->rtt_us;
}

uint64_t hx_writer_now(const struct hx_writer *w)
{
    return w->now_ms;
}

bool hx_writer_pg_blank(const struct hx_writer *w, uint32_t pg)
{
    return w->pg[pg].closed || w->pg[pg].pgcl.v == 0;
}

const struct hx_server *hx_writer_server_of(const struct hx_writer *w, uint32_t pg, unsigned slot)
{
    return &w->server[w->pg[pg].seat[slot].server]->id;
}

struct hx_lsn hx_writer_scl(const struct hx_writer *w, uint32_t pg, unsigned slot)
{
    return w->pg[pg].scl[slot];
}

uint64_t hx_writer_silent_ms(const struct hx_writer *w, uint32_t server)
{
    const struct hx_writer_server *s = server < w->server_count ? w->server[server] : NULL;
    return !s || hx_writer_send_well(w, s) ? 0 : w->now_ms - s->good_ms;
}

const struct hx_uuid *hx_writer_owner(const struct hx_writer *w)
{
    return &w->owner;
}

/* ---- seats ---- */

int hx_writer_slot(const struct hx_writer *w, uint32_t pg, uint32_t server)
{
    const struct hx_writer_pgs *p = &w->pg[pg];
    for (int i = 0; i < p->seats; i++)
        if (p->seat[i].server == server)
            return i;
    return -1;
}

static bool seat_edge(unsigned from, unsigned to)
{
    static const uint8_t edges[] = {
        [HX_SEAT_READY] = 1u << HX_SEAT_ADOPT | 1u << HX_SEAT_FORMAT | 1u << HX_SEAT_PAUSED,
        [HX_SEAT_ASK] = 1u << HX_SEAT_ADOPT | 1u << HX_SEAT_FORMAT | 1u << HX_SEAT_PAUSED,
        [HX_SEAT_ADOPT] = 1u << HX_SEAT_ADOPTING,
        [HX_SEAT_ADOPTING] = 1u << HX_SEAT_READY | 1u << HX_SEAT_PAUSED | 1u << HX_SEAT_FORMAT,
        [HX_SEAT_FORMAT] = 1u << HX_SEAT_FORMATTING,
        [HX_SEAT_FORMATTING] = 1u << HX_SEAT_READY | 1u << HX_SEAT_PAUSED,
        [HX_SEAT_PAUSED] = 1u << HX_SEAT_READY | 1u << HX_SEAT_ADOPT,
    };
    return edges[from] >> to & 1u;
}

void hx_writer_seat_move(struct hx_writer *w, uint32_t pg, unsigned slot, enum hx_seat_state to, int err)
{
    struct hx_seat *seat = &w->pg[pg].seat[slot];
    struct hx_writer_server *s = w->server[seat->server];
    hx_assert(seat_edge(seat->state, to));
    seat->state = (uint8_t)to;
    seat->error = err;
    if (to == HX_SEAT_READY) {
        /* What was held back meanwhile is looked at again; the list drops the seat on its next walk. */
        hx_writer_send_rewind(w, s, w->head_seq);
        return;
    }
    if (to == HX_SEAT_PAUSED && s->seats_retry_ms <= w->now_ms)
        s->seats_retry_ms = w->now_ms + HX_WRITER_SEAT_MS;
    if (!seat->listed) {
        seat->listed = true;
        seat->next = s->list;
        s->list = pg;
    }
}

void hx_writer_member_lacks(struct hx_writer *w, uint32_t pg, unsigned slot, int err)
{
    uint8_t state = w->pg[pg].seat[slot].state;
    if ((state != HX_SEAT_READY && state != HX_SEAT_ASK) || w->pg[pg].seat[slot].gone)
        return; /* in hand already, or nobody's any more */
    hx_assert(err == HX_E_NEED_HISTORY || err == HX_E_NO_SEGMENT);
    hx_writer_seat_move(w, pg, slot, err == HX_E_NEED_HISTORY ? HX_SEAT_ADOPT : HX_SEAT_FORMAT, err);
    w->busy = true;
}

bool hx_writer_seat_ready(const struct hx_writer *w, uint32_t pg, unsigned slot)
{
    return w->pg[pg].seat[slot].state == HX_SEAT_READY;
}

bool hx_writer_wake_pg(struct hx_writer *w, uint32_t pg)
{
    unsigned ready = 0, telling = 0;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        const struct hx_seat *seat = &w->pg[pg].seat[i];
        if (seat->server == HX_WRITER_NONE)
            continue;
        if (seat->state == HX_SEAT_ASK)
            hx_writer_member_lacks(w, pg, i, HX_E_NEED_HISTORY);
        if (!hx_writer_send_well(w, w->server[seat->server]))
            continue;
        ready += seat->state == HX_SEAT_READY;
        telling += seat->state == HX_SEAT_ADOPT || seat->state == HX_SEAT_ADOPTING;
    }
    return ready == 0 && telling > 0;
}
