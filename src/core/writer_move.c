/*
 * writer_move.c - learners in the writer, and groups that count by two versions of the members (hexad/writer.h).
 *
 * Does not decide who moves, nor when a version is published: move.c does.  What is kept here is what the log's owner
 * must keep, whoever drives (doc/MEMBERSHIP.md):
 *   M1 a version is let into the air only when what is acknowledged is on a write quorum of each row that it changes.
 *   M2 from then on these groups count by both versions, until it is stored; the PGCL cannot fall by that.
 *   M3 there is one version in the air.
 *   M4 of PG 0 it changes one member; or two are given up, or taken back, at once.
 *   D1 a group that gives up two (degraded) counts by 3 of the four that stay; all four are complete before.
 *   S1 a version that releases the last groups is let into the air only when nothing of them is under way; from then on
 *      nothing is sent to their members, and their pages are zeros.
 *   M9 a learner counts nowhere; and what a server has told stays with that server: seats are swapped whole, so that
 *      a newcomer never inherits the SCL of the one that it replaces.
 *
 * A member that was replaced keeps its seat among the learners', marked gone, until its last requests are over: they
 * lend frames of the ring.  Memory: allocated in hx_writer_turn only; hx_writer_turned cannot fail.
 */
#include "writer_int.h"

#include "hexad/assert.h"
#include "hexad/err.h"
#include "hexad/mutant.h"
#include "hexad/quorum.h"

#include <stdlib.h>

uint32_t hx_writer_m(const struct hx_writer *w)
{
    return w->next ? w->next->m : w->geometry.m;
}

/* SCLs of the row as the version in the air has it. */
static void row_next(const struct hx_writer_pgs *p, hx_members changed, struct hx_lsn scl[HX_COPIES])
{
    for (unsigned i = 0; i < HX_COPIES; i++) {
        const struct hx_seat *learner = &p->seat[HX_COPIES + i];
        if (hx_members_has(changed, i))
            scl[i] = learner->filled ? p->scl[HX_COPIES + i] : HX_LSN(0); /* H4 */
        else
            scl[i] = p->scl[i];
    }
}

struct hx_lsn hx_writer_counted(const struct hx_writer_pgs *p)
{
    unsigned less = HX_MUTANT(PGCL_AT_3) ? 1 : 0;
    struct hx_lsn old = hx_quorum_kth(p->scl, p->quorum - less), next[HX_COPIES];
    if (!p->turning)
        return old;
    row_next(p, p->turning, next);
    return hx_lsn_min(old, hx_quorum_kth(next, p->next_quorum - less));
}

struct hx_lsn hx_writer_had_by_all(const struct hx_writer_pgs *p)
{
    struct hx_lsn all = hx_quorum_kth(p->scl, p->members), next[HX_COPIES];
    if (!p->turning)
        return all;
    row_next(p, p->turning, next);
    return hx_lsn_min(all, hx_quorum_kth(next, p->next_members));
}

/* ---- learners ---- */

static bool lent(struct hx_writer *w, uint32_t pg, unsigned seat)
{
    for (uint64_t seq = w->head_seq; seq < w->tail_seq; seq++) {
        const struct hx_writer_frame *f = hx_writer_frame_at(w, seq);
        if (f->pg == pg && f->call[seat])
            return true;
    }
    return false;
}

static void unlist(struct hx_writer *w, uint32_t pg, struct hx_seat *seat)
{
    struct hx_writer_server *s = w->server[seat->server];
    for (uint32_t *link = &s->list; seat->listed;) {
        struct hx_writer_pgs *p = &w->pg[*link];
        hx_assert(*link != HX_WRITER_NONE);
        struct hx_seat *at = &p->seat[hx_writer_slot(w, *link, s->index)];
        if (*link == pg) {
            *link = seat->next;
            seat->listed = false;
        } else {
            link = &at->next;
        }
    }
}

/* Empties a seat whose holder is gone.  False: it still has requests under way. */
static bool vacate(struct hx_writer *w, uint32_t pg, unsigned slot)
{
    struct hx_seat *seat = &w->pg[pg].seat[HX_COPIES + slot];
    if (seat->server == HX_WRITER_NONE)
        return true;
    hx_assert(seat->gone);
    if (seat->state == HX_SEAT_ADOPTING || seat->state == HX_SEAT_FORMATTING || lent(w, pg, HX_COPIES + slot))
        return false;
    unlist(w, pg, seat);
    *seat = (struct hx_seat){.server = HX_WRITER_NONE, .next = HX_WRITER_NONE, .gone = true};
    w->pg[pg].scl[HX_COPIES + slot] = HX_LSN(0);
    return true;
}

bool hx_writer_seat_free(struct hx_writer *w, uint32_t pg, unsigned slot)
{
    const struct hx_writer_pgs *p = &w->pg[pg];
    if (p->seats != HX_WRITER_SEATS)
        return true;
    return p->seat[HX_COPIES + slot].gone && vacate(w, pg, slot);
}

/* Frames remember who borrows them by seat: the first learner of a group finds its places empty. */
static void more_seats(struct hx_writer *w, uint32_t pg)
{
    struct hx_writer_pgs *p = &w->pg[pg];
    if (p->seats == HX_WRITER_SEATS)
        return;
    for (unsigned i = HX_COPIES; i < HX_WRITER_SEATS; i++) {
        p->seat[i] = (struct hx_seat){.server = HX_WRITER_NONE, .next = HX_WRITER_NONE, .gone = true};
        p->scl[i] = HX_LSN(0);
    }
    p->seats = HX_WRITER_SEATS;
}

/* A group in whose name the server is told VDL and floor. */
static void find_home(struct hx_writer *w, struct hx_writer_server *s)
{
    s->home = HX_WRITER_NONE;
    for (uint32_t pg = 0; pg < w->pg_count && s->home == HX_WRITER_NONE; pg++) {
        int seat = hx_writer_slot(w, pg, s->index);
        if (seat >= 0 && !w->pg[pg].seat[seat].gone)
            s->home = pg;
    }
}

int hx_writer_learner_add(struct hx_writer *w, uint32_t pg, unsigned slot, uint32_t server)
{
    hx_assert(pg < w->pg_count && slot < HX_COPIES && server < w->geometry.server_count);
    more_seats(w, pg);
    int was = hx_writer_slot(w, pg, server);
    hx_assert(was < 0 || was >= HX_COPIES);
    if (!vacate(w, pg, slot) || (was >= 0 && !vacate(w, pg, (unsigned)was - HX_COPIES)))
        return HX_E_AGAIN;
    struct hx_writer_server *s = w->server[server];
    w->pg[pg].seat[HX_COPIES + slot] = (struct hx_seat){.server = server, .next = HX_WRITER_NONE, .told = true};
    w->pg[pg].scl[HX_COPIES + slot] = HX_LSN(0);
    if (s->home == HX_WRITER_NONE)
        s->home = pg;
    hx_writer_send_rewind(w, s, w->head_seq);
    w->busy = true;
    return 0;
}

void hx_writer_learner_drop(struct hx_writer *w, uint32_t pg, unsigned slot)
{
    struct hx_writer_pgs *p = &w->pg[pg];
    struct hx_seat *seat = &p->seat[HX_COPIES + slot];
    hx_assert(p->seats == HX_WRITER_SEATS && !hx_members_has(p->turning, slot));
    if (seat->gone)
        return;
    seat->gone = true;
    seat->filled = false;
    find_home(w, w->server[seat->server]);
    vacate(w, pg, slot);
}

void hx_writer_learner_filled(struct hx_writer *w, uint32_t pg, unsigned slot)
{
    struct hx_seat *seat = &w->pg[pg].seat[HX_COPIES + slot];
    hx_assert(w->pg[pg].seats == HX_WRITER_SEATS && !seat->gone);
    seat->filled = true;
    if (!hx_writer_learner_ready(w, pg, slot))
        hx_writer_member_lacks(w, pg, HX_COPIES + slot, HX_E_NEED_HISTORY); /* the answer to ADOPT says how far it is */
}

bool hx_writer_learner_ready(const struct hx_writer *w, uint32_t pg, unsigned slot)
{
    const struct hx_writer_pgs *p = &w->pg[pg];
    const struct hx_seat *seat = &p->seat[HX_COPIES + slot];
    if (HX_MUTANT(MOVE_BEFORE_COPIED))
        return p->seats == HX_WRITER_SEATS && !seat->gone;
    return p->seats == HX_WRITER_SEATS && !seat->gone && seat->filled && p->scl[HX_COPIES + slot].v >= p->pgcl.v;
}

void hx_writer_hold_floor(struct hx_writer *w, bool hold)
{
    w->floor_held = hold;
}

long hx_writer_wishes(struct hx_writer *w)
{
    long at = (long)w->wishes_at - 1;
    w->wishes_at = 0;
    return at;
}

/* ---- versions ---- */

bool hx_writer_complete(const struct hx_writer *w, uint32_t pg, hx_members slots)
{
    const struct hx_writer_pgs *p = &w->pg[pg];
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (hx_members_has(slots, i) && (p->seat[i].server == HX_WRITER_NONE || p->scl[i].v < p->pgcl.v))
            return false;
    return true;
}

/* Slots of the PG that NEXT changes; false: it names somebody who is not the learner for that slot. */
static bool changed(const struct hx_writer *w, const struct hx_geometry *next, uint32_t pg, hx_members *ret)
{
    const struct hx_writer_pgs *p = &w->pg[pg];
    hx_members now = hx_row_slots(&w->geometry.pgs[pg]), then = hx_row_slots(&next->pgs[pg]);
    *ret = 0;
    for (unsigned i = 0; i < HX_COPIES && next->pgs[pg].kind != HX_ROW_RELEASED; i++) {
        if (!hx_members_has(then, i) && hx_members_has(now, i))
            *ret = hx_members_add(*ret, i);
        bool stays = hx_members_has(now, i) && next->pgs[pg].server[i] == w->geometry.pgs[pg].server[i];
        if (!hx_members_has(then, i) || stays)
            continue;
        const struct hx_seat *seat = &p->seat[HX_COPIES + i];
        if (p->seats != HX_WRITER_SEATS || seat->gone || seat->server != next->pgs[pg].server[i])
            return false;
        *ret = hx_members_add(*ret, i);
    }
    return true;
}

/* Nothing of the group is under way, and nothing of it is above the VDL. */
bool hx_writer_pg_idle(const struct hx_writer *w, uint32_t pg)
{
    const struct hx_writer_pgs *p = &w->pg[pg];
    if (p->open >= 0 || p->last.v > w->vdl.v || p->turning)
        return false;
    for (unsigned i = 0; i < p->seats; i++) {
        const struct hx_seat *seat = &p->seat[i];
        if (seat->state == HX_SEAT_ADOPTING || seat->state == HX_SEAT_FORMATTING || (i >= HX_COPIES && !seat->gone))
            return false;
    }
    for (uint64_t seq = w->head_seq; seq < w->tail_seq; seq++)
        if (w->frame[seq & (w->frame_size - 1)].pg == pg)
            return false;
    return true;
}

/* Groups that NEXT releases: the last ones, idle, with the walk of openings above all of their records (S1, S2). */
static int may_release(const struct hx_writer *w, const struct hx_geometry *next)
{
    uint32_t live = hx_geometry_live(next);
    if (live > w->pg_count || (live < w->pg_count && next->walk_from.v > w->vdl.v))
        return HX_E_INVAL;
    for (uint32_t pg = live; pg < w->pg_count; pg++)
        if (!hx_writer_pg_idle(w, pg) || w->pg[pg].last.v > next->walk_from.v)
            return HX_E_LAGGING;
    return 0;
}

/* From the first GEOMETRY on that releases the group nothing is sent to its members any more. */
static void close_pg(struct hx_writer *w, uint32_t pg)
{
    struct hx_writer_pgs *p = &w->pg[pg];
    p->closed = true;
    for (unsigned i = 0; i < p->seats; i++) {
        if (p->seat[i].server == HX_WRITER_NONE)
            continue;
        p->seat[i].gone = true;
        unlist(w, pg, &p->seat[i]);
        find_home(w, w->server[p->seat[i].server]);
    }
}

/* M4: every write quorum of O meets every one of N; one member is another one, or two go or come (4 of 6, 3 of 4). */
static bool meets(const struct hx_pg_members *o, const struct hx_pg_members *n, hx_members slots)
{
    return hx_members_count(slots) <= 1 || slots == (hx_row_slots(o) ^ hx_row_slots(n));
}

/* M1, and D1. */
static bool has_all(const struct hx_writer_pgs *p, const struct hx_pg_members *o, const struct hx_pg_members *n,
                    hx_members slots)
{
    struct hx_lsn scl[HX_COPIES];
    bool drops = hx_row_slots(o) & ~hx_row_slots(n);
    if (!slots || HX_MUTANT(MOVE_BEFORE_COPIED))
        return true;
    row_next(p, slots, scl);
    unsigned need = drops ? hx_members_count(hx_row_slots(n)) : hx_row_write_quorum(n);
    return hx_quorum_kth(scl, need).v >= p->pgcl.v;
}

/* Who leaves a place that stays empty needs the seat of those who were replaced (swap_seats). */
static bool seats_free(struct hx_writer *w, const struct hx_geometry *next, uint32_t pg)
{
    hx_members drops = hx_row_slots(&w->geometry.pgs[pg]) & (hx_members)~hx_row_slots(&next->pgs[pg]);
    for (unsigned i = 0; drops && i < HX_COPIES; i++)
        if (hx_members_has(drops, i) && !hx_writer_seat_free(w, pg, i))
            return false;
    return true;
}

static int may_turn(struct hx_writer *w, const struct hx_geometry *next)
{
    int rc = may_release(w, next);
    if (rc)
        return rc;
    if (next->pg_count != w->geometry.pg_count || next->server_count < w->geometry.server_count ||
        hx_geometry_compare(next, &w->geometry) <= 0)
        return HX_E_INVAL;
    for (uint32_t pg = 0; pg < w->pg_count; pg++) {
        const struct hx_pg_members *o = &w->geometry.pgs[pg], *n = &next->pgs[pg];
        hx_members slots;
        if (!changed(w, next, pg, &slots) || (pg == 0 && !meets(o, n, slots)))
            return HX_E_INVAL;
        if (!has_all(&w->pg[pg], o, n, slots) || !seats_free(w, next, pg))
            return HX_E_LAGGING;
    }
    return 0;
}

int hx_writer_turn(struct hx_writer *w, const struct hx_geometry *next)
{
    if (w->next)
        return HX_E_BUSY; /* M3 */
    int rc = may_turn(w, next);
    if (rc)
        return rc;
    struct hx_geometry *copy = calloc(1, sizeof *copy);
    rc = copy ? hx_geometry_copy(copy, next) : HX_E_NOMEM;
    if (!rc)
        rc = hx_writer_make_servers(w, next); /* some more of them do no harm when the rest fails */
    if (!rc)
        rc = hx_writer_make_blob(w, next);
    if (rc) {
        if (copy)
            hx_geometry_fini(copy);
        free(copy);
        return rc;
    }
    w->next = copy;
    for (uint32_t pg = 0; pg < w->pg_count; pg++) {
        struct hx_writer_pgs *p = &w->pg[pg];
        (void)changed(w, next, pg, &p->turning);
        p->next_members = (uint8_t)hx_members_count(hx_row_slots(&next->pgs[pg]));
        p->next_quorum = (uint8_t)hx_row_write_quorum(&next->pgs[pg]);
    }
    for (uint32_t pg = hx_geometry_live(next); pg < w->pg_count; pg++)
        close_pg(w, pg);
    return 0;
}

/* The calls of one server that speak of this seat of the PG speak of another one now. */
static void calls_move(struct hx_writer_server *s, uint32_t pg, unsigned from, unsigned to)
{
    for (unsigned k = HX_WRITER_ANNOUNCE_CALL + 1; k < HX_WRITER_CALLS; k++)
        if (s->call[k].id && s->call[k].pg == pg && s->call[k].slot == from)
            s->call[k].slot = (uint8_t)to;
}

/* The learner takes the slot, with all that is known of it, or nobody does; who had it, if anybody, goes, with all that
 * is known of that one (M9). */
static void swap_seats(struct hx_writer *w, uint32_t pg, unsigned slot)
{
    struct hx_writer_pgs *p = &w->pg[pg];
    unsigned other = HX_COPIES + slot;
    more_seats(w, pg);
    hx_assert(p->seat[other].server == HX_WRITER_NONE || !p->seat[other].gone);
    struct hx_seat was = p->seat[slot];
    struct hx_lsn scl = p->scl[slot];
    p->seat[slot] = p->seat[other];
    p->seat[other] = was;
    p->seat[other].gone = true;
    p->seat[other].filled = false;
    p->scl[slot] = p->scl[other];
    p->scl[other] = scl;
    for (uint64_t seq = w->head_seq; seq < w->tail_seq; seq++) {
        struct hx_writer_frame *f = hx_writer_frame_at(w, seq);
        if (f->pg != pg)
            continue;
        uint8_t call = f->call[slot];
        f->call[slot] = f->call[other];
        f->call[other] = call;
    }
    if (p->seat[slot].server != HX_WRITER_NONE)
        calls_move(w->server[p->seat[slot].server], pg, other, slot);
    if (was.server == HX_WRITER_NONE)
        return;
    calls_move(w->server[was.server], pg, slot, other);
    find_home(w, w->server[was.server]);
    vacate(w, pg, slot);
}

void hx_writer_turned(struct hx_writer *w)
{
    hx_assert(w->next);
    for (uint32_t pg = 0; pg < w->pg_count; pg++) {
        struct hx_writer_pgs *p = &w->pg[pg];
        hx_members slots = p->turning;
        if (slots) {
            p->members = p->next_members;
            p->quorum = p->next_quorum;
        }
        p->turning = 0;
        for (unsigned i = 0; i < HX_COPIES; i++)
            if (hx_members_has(slots, i))
                swap_seats(w, pg, i);
        p->pgcl = hx_lsn_max(p->pgcl, hx_writer_counted(p));
    }
    hx_geometry_fini(&w->geometry);
    w->geometry = *w->next;
    free(w->next);
    w->next = NULL;
    w->pg_count = hx_geometry_live(&w->geometry); /* what was released is idle: no frame and no list names it */
    hx_writer_old_blobs(w);
    hx_writer_ack_advance(w); /* counted by one version now, some records may be complete */
    hx_writer_log_release(w);
    w->busy = true;
}
