/*
 * move_status.c - how far learners are, by STATUS; and learners that nobody names any more (hexad/move.h).
 *
 * STATUS promises nothing and has no epoch.  What is believed of it: that a segment which is no learner (any more) has
 * all pages, for that stays true; and which life of it that is.  How far its log is only an answer under our epoch says
 * (M1), and the writer asks for that.
 * Orphans: at the start, and now and then, each server is asked what it has of the volume.  A learner, or a segment
 * that is no member, of a published group is somebody's who has died: it is deleted, in that life (M10).  One of a
 * group that no version has yet is growth's.
 * Late answers: one that was asked before the learner was made says nothing about it.  Memory: none.
 */
#include "move_int.h"

#include "writer_int.h"

#include "hexad/assert.h"
#include "hexad/err.h"

static void learner_says(struct hx_move *m, struct move_change *c, const struct hx_segment_part *p)
{
    if (p->flags & HX_PART_RETIRED || p->life != c->life) { /* another one: it is made (again) */
        if (c->state != HX_CHANGE_FILL)
            return;
        hx_writer_learner_drop(m->writer, c->pg, c->slot);
        c->made = c->added = c->filled = c->seen = false;
        move_to(m, c, HX_CHANGE_MAKE);
        hx_ask_drop(&m->ask, &c->task); /* it may be being told its rate */
        hx_ask_queue(&m->ask, &c->task, c->to, HX_MSG_FORMAT);
        return;
    }
    c->bytes = p->filled;
    c->total = p->of;
    c->seen = c->seen || p->flags & HX_PART_LEARNER;
    if (p->flags & HX_PART_LEARNER)
        return;
    c->filled = true;
    if (c->total)
        c->bytes = c->total;
    hx_writer_learner_filled(m->writer, c->pg, c->slot);
    /* FORMAT found a member of before, whom nobody had told that it is none any more, and its peers give it nothing: it
     * goes, and whoever wants the change begins it over the tombstone. */
    bool left = !c->seen && c->state == HX_CHANGE_FILL && m->ask.now_ms - c->since_ms >= MOVE_LEFT_MS;
    if (left && !hx_writer_learner_ready(m->writer, c->pg, c->slot))
        move_undo(m, c);
}

static bool names(const struct hx_geometry *g, uint32_t pg, unsigned slot, uint32_t server)
{
    return g->pgs[pg].server[slot] == server && hx_members_has(hx_row_slots(&g->pgs[pg]), slot);
}

/* Not a member by the version in use, nor by the one in the air. */
static bool unnamed(const struct hx_move *m, uint32_t pg, uint32_t server)
{
    const struct hx_geometry *g = move_geometry(m);
    if (pg >= g->pg_count)
        return false;
    if (g->pgs[pg].kind == HX_ROW_RELEASED) /* what growth makes there knows a newer version, and refuses (M6) */
        return true;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (names(g, pg, i, server) || (m->turning && names(&m->next, pg, i, server)))
            return false;
    return true;
}

static void segment_says(struct hx_move *m, uint32_t server, uint32_t pg, const struct hx_segment_part *p)
{
    for (struct move_change *c = m->changes, *next; c; c = next) {
        next = c->next;
        if (c->pg != pg || c->to != server || c->orphan)
            continue;
        if ((c->state == HX_CHANGE_FILL || c->state == HX_CHANGE_READY) && m->server[server]->asked >= c->asked)
            learner_says(m, c, p);
        return;
    }
    if (unnamed(m, pg, server) && !(p->flags & HX_PART_RETIRED))
        move_orphan(m, pg, server, p->life);
}

void move_status_answer(struct hx_move *m, uint32_t server, struct hx_bytes body)
{
    struct hx_dec d = hx_dec_init(body.p, body.len), parts;
    uint32_t n = hx_dec_u32(&d);
    struct hx_segment_status s;
    for (uint32_t i = 0; i < n && !d.err; i++)
        hx_segment_status_decode(&s, &d);
    if (d.err || (d.len - d.off) / HX_SEGMENT_PART < n)
        return; /* a server of the version before: it has no learners either */
    parts = d;
    d = hx_dec_init(body.p, body.len);
    hx_dec_u32(&d);
    for (uint32_t i = 0; i < n && !m->state; i++) {
        struct hx_segment_part p;
        hx_segment_status_decode(&s, &d);
        hx_segment_part_decode(&p, &parts);
        if (hx_uuid_eq(&s.volume, &move_geometry(m)->volume))
            segment_says(m, server, s.pg, &p);
    }
    m->server[server]->looked = true;
}

static bool filling(const struct hx_move *m, uint32_t server)
{
    for (const struct move_change *c = m->changes; c; c = c->next)
        if (c->to == server && !c->orphan && (c->state == HX_CHANGE_FILL || c->state == HX_CHANGE_READY))
            return true;
    return false;
}

/* One that is a member of all groups there are has nothing else. */
static bool may_have_more(const struct hx_move *m, uint32_t server)
{
    for (uint32_t pg = 0; pg < move_geometry(m)->pg_count; pg++)
        if (unnamed(m, pg, server))
            return true;
    return false;
}

void move_status_due(struct hx_move *m)
{
    uint64_t now = m->ask.now_ms;
    if (m->status_ms > now)
        return; /* with many servers and groups this look is not for every event */
    m->status_ms = now + (m->change_count ? MOVE_LOOK_MS : MOVE_STATUS_MS);
    if (m->orphans_ms <= now) {
        m->orphans_ms = now + MOVE_ORPHANS_MS;
        for (uint32_t i = 0; i < m->server_count; i++)
            m->server[i]->looked = false;
    }
    for (uint32_t i = 0; i < m->server_count; i++) {
        struct move_server *s = m->server[i];
        if (s->task.state != HX_ASK_IDLE || s->due_ms > now || (s->looked && !filling(m, i)))
            continue;
        if (!s->looked && !may_have_more(m, i)) {
            s->looked = true;
            continue;
        }
        s->due_ms = now + MOVE_STATUS_MS;
        hx_ask_queue(&m->ask, &s->task, i, HX_MSG_STATUS);
    }
}

uint64_t move_status_wait(const struct hx_move *m)
{
    return m->status_ms > m->ask.now_ms ? m->status_ms - m->ask.now_ms : MOVE_STATUS_MS;
}
