/*
 * move.c - the driver of changes of members: changes, their states, and the versions that bring them into use
 * (hexad/move.h, doc/MEMBERSHIP.md).
 *
 * Requests and answers are in move_ask.c, STATUS in move_status.c.  What counts is the writer's (writer_move.c): it
 * refuses a version that M1, M3 or M4 forbid.
 *
 *   V1 a learner is named only after it answered FORMAT under this driver's epoch (M8), said by STATUS, asked after
 *      that answer, that it has all pages (H4), and by an answer under the epoch that it has everything acknowledged
 *      (M1).
 *   V2 a version is made of all changes that are ready, but of PG 0 of one (M4); it is in use when write quorums of PG
 *      0's members of both versions stored it; only then is anybody told, and only the told are deleted (M6).
 *   V3 the floor is held while there is a learner (H6).
 *   V5 a version releases the last group (S1) when it is asked to, with the walk of openings from the VDL on (S2): the
 *      writer lets it into the air only when the group is idle.  Its members are told, and deleted, once it is in use.
 *   V8 a version degrades the groups that have two members on servers that are AWAY (D1), and takes both places again
 *      when there are learners for both; PG 0 is changed in one of these ways a version (M4).
 *   V4 FENCED ends it for ever.
 *   V7 the rate of all learners is divided evenly among those that are made or filled; who has another part than he was
 *      told is sent FORMAT again, which says nothing else to him.  A server that does not know the figure has its own.
 *   V6 a driver that finds a volume whose members have changed before says MEMBERS to those of PG 0 once: they may wait
 *      for that word since a driver died (E7 of gossip.c).
 * Memory: a change at a time; freed when nothing is to be said about it any more.
 */
#include "move_int.h"

#include "writer_int.h"

#include "hexad/assert.h"
#include "hexad/mutant.h"

#include <stdlib.h>

const char *hx_change_state_name(enum hx_change_state s)
{
    static const char *const names[] = {"?", "making", "filling", "ready", "turning", "telling", "undoing"};
    return (unsigned)s < HX_ARRAY_LEN(names) ? names[s] : names[0];
}

static bool is_member(const struct hx_geometry *g, uint32_t pg, unsigned slot)
{
    return hx_members_has(hx_row_slots(&g->pgs[pg]), slot);
}

/* ---- life ---- */

static int more_servers(struct hx_move *m)
{
    const struct hx_geometry *g = move_geometry(m);
    if (m->server_count >= g->server_count)
        return 0;
    struct move_server **more = realloc(m->server, g->server_count * sizeof(struct move_server *));
    if (!more)
        return HX_E_NOMEM;
    m->server = more;
    while (m->server_count < g->server_count) {
        struct move_server *s = calloc(1, sizeof *s);
        if (!s || hx_ask_servers(&m->ask, &g->servers[m->server_count], 1)) {
            free(s);
            return HX_E_NOMEM;
        }
        s->task.owner_kind = MOVE_TASK_STATUS;
        m->server[m->server_count++] = s;
    }
    return 0;
}

int move_reserve(struct hx_move *m, size_t changes)
{
    int rc = more_servers(m);
    return rc ? rc : hx_ask_reserve(&m->ask, changes * (HX_COPIES + 2) + m->server_count + 3 * HX_COPIES + 1);
}

int hx_move_new(struct hx_writer *w, const struct hx_uuid *owner, uint64_t now_ms, struct hx_move **ret)
{
    struct hx_move *m = calloc(1, sizeof *m);
    if (!m)
        return HX_E_NOMEM;
    hx_ask_init(&m->ask, HX_PART_MOVE, now_ms);
    m->writer = w;
    m->owner = *owner;
    for (unsigned i = 0; i < HX_ARRAY_LEN(m->publish); i++)
        m->publish[i].owner_kind = MOVE_TASK_PUBLISH;
    if (move_reserve(m, 0)) {
        hx_move_free(m);
        return HX_E_NOMEM;
    }
    move_wish_init(m);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        m->greet[i].owner_kind = MOVE_TASK_GREET;
        if (move_geometry(m)->m && is_member(move_geometry(m), 0, i)) /* V6 */
            hx_ask_queue(&m->ask, &m->greet[i], move_geometry(m)->pgs[0].server[i], HX_MSG_MEMBERS);
    }
    *ret = m;
    return 0;
}

void hx_move_free(struct hx_move *m)
{
    if (!m)
        return;
    hx_ask_fini(&m->ask);
    while (m->changes) {
        struct move_change *c = m->changes;
        m->changes = c->next;
        free(c);
    }
    for (uint32_t i = 0; i < m->server_count; i++)
        free(m->server[i]);
    free(m->server);
    free(m->wish.list);
    hx_geometry_fini(&m->next);
    free(m);
}

void move_end(struct hx_move *m, int err)
{
    if (m->state == 0)
        m->state = err;
    if (err == HX_E_FENCED)
        hx_writer_fence(m->writer); /* V4 */
    hx_ask_reset(&m->ask);
}

/* ---- changes ---- */

void move_to(struct hx_move *m, struct move_change *c, enum hx_change_state to)
{
    static const unsigned edges[] = {
        [HX_CHANGE_MAKE] = 1u << HX_CHANGE_FILL | 1u << HX_CHANGE_UNDO,
        [HX_CHANGE_FILL] = 1u << HX_CHANGE_READY | 1u << HX_CHANGE_UNDO | 1u << HX_CHANGE_MAKE,
        [HX_CHANGE_READY] = 1u << HX_CHANGE_TURN | 1u << HX_CHANGE_UNDO | 1u << HX_CHANGE_FILL,
        [HX_CHANGE_TURN] = 1u << HX_CHANGE_TELL,
        [HX_CHANGE_TELL] = 0,
        [HX_CHANGE_UNDO] = 0,
    };
    hx_assert(edges[c->state] >> to & 1u);
    c->state = to;
    c->since_ms = m->ask.now_ms;
}

/* V3 */
static void hold_floor(struct hx_move *m)
{
    bool hold = false;
    for (const struct move_change *c = m->changes; c; c = c->next)
        hold = hold || (!c->orphan && c->state <= HX_CHANGE_TURN);
    hx_writer_hold_floor(m->writer, hold);
}

void move_drop(struct hx_move *m, struct move_change *c)
{
    struct move_change **link = &m->changes;
    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    m->change_count--;
    hx_ask_drop(&m->ask, &c->task);
    hx_ask_drop(&m->ask, &c->retire.task);
    for (unsigned i = 0; i < HX_COPIES; i++)
        hx_ask_drop(&m->ask, &c->tell[i].task);
    free(c);
    hold_floor(m);
}

static struct move_change *find(const struct hx_move *m, uint32_t pg, unsigned slot)
{
    struct move_change *c = m->changes;
    while (c && (c->pg != pg || c->slot != slot || c->orphan || c->state > HX_CHANGE_TURN))
        c = c->next;
    return c;
}

static struct move_change *add(struct hx_move *m, uint32_t pg, unsigned slot, uint32_t server)
{
    struct move_change *c = calloc(1, sizeof *c), **link = &m->changes;
    if (!c || move_reserve(m, m->change_count + 1)) {
        free(c);
        return NULL;
    }
    while (*link)
        link = &(*link)->next;
    *link = c;
    m->change_count++;
    c->pg = pg;
    c->slot = slot;
    c->to = server;
    c->from = move_geometry(m)->pgs[pg].server[slot];
    c->empty = !is_member(move_geometry(m), pg, slot);
    c->state = HX_CHANGE_MAKE;
    c->since_ms = m->ask.now_ms;
    c->task.owner_kind = MOVE_TASK_CHANGE;
    c->retire = (struct move_tell){.task.owner_kind = MOVE_TASK_RETIRE, .of = c};
    for (unsigned i = 0; i < HX_COPIES; i++)
        c->tell[i] = (struct move_tell){.task.owner_kind = MOVE_TASK_TELL, .of = c};
    return c;
}

int hx_move_start(struct hx_move *m, uint32_t pg, unsigned slot, uint32_t server)
{
    const struct hx_geometry *g = move_geometry(m);
    if (m->state)
        return m->state;
    if (pg >= hx_geometry_live(g) || slot >= HX_COPIES || server >= g->server_count)
        return HX_E_INVAL;
    if (pg != 0 && pg == m->release)
        return HX_E_BUSY;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (g->pgs[pg].server[i] == server && is_member(g, pg, i))
            return HX_E_EXIST;
    /* Also while what it had of this group is still to be deleted there. */
    for (const struct move_change *c = m->changes; c; c = c->next)
        if (c->pg == pg && (c->state == HX_CHANGE_TELL ? c->from == server : c->to == server))
            return HX_E_EXIST;
    if (find(m, pg, slot))
        return HX_E_EXIST;
    struct move_change *c = add(m, pg, slot, server);
    if (!c)
        return HX_E_NOMEM;
    hold_floor(m);
    hx_ask_queue(&m->ask, &c->task, server, HX_MSG_FORMAT);
    return 0;
}

void move_undo(struct hx_move *m, struct move_change *c)
{
    if (c->added)
        hx_writer_learner_drop(m->writer, c->pg, c->slot);
    hx_ask_drop(&m->ask, &c->task);
    move_to(m, c, HX_CHANGE_UNDO);
    if (c->made)
        hx_ask_queue(&m->ask, &c->task, c->to, HX_MSG_DELETE);
    else
        move_drop(m, c); /* should it be made all the same, it is found like any that nobody names */
    hold_floor(m);
}

bool hx_move_undo(struct hx_move *m, uint32_t pg, unsigned slot)
{
    struct move_change *c = find(m, pg, slot);
    if (c && c->state == HX_CHANGE_TURN)
        return false;
    if (c && !m->state)
        move_undo(m, c);
    return true;
}

void move_orphan(struct hx_move *m, uint32_t pg, uint32_t server, uint64_t life)
{
    for (const struct move_change *c = m->changes; c; c = c->next)
        if (c->pg == pg && (c->to == server || c->from == server))
            return; /* in hand */
    struct move_change *c = add(m, pg, 0, server);
    if (!c)
        return; /* it is found again */
    c->orphan = c->made = true;
    c->life = life;
    move_to(m, c, HX_CHANGE_UNDO);
    hx_ask_queue(&m->ask, &c->task, server, HX_MSG_DELETE);
}

/* ---- versions ---- */

void hx_move_rate(struct hx_move *m, uint32_t bytes_per_s)
{
    m->rate = bytes_per_s;
}

void hx_move_hold(struct hx_move *m, bool hold)
{
    m->hold = hold;
}

bool hx_move_turning(const struct hx_move *m)
{
    return m->turning;
}

uint64_t hx_move_versions(const struct hx_move *m)
{
    return m->versions;
}

int hx_move_state(const struct hx_move *m)
{
    return m->state;
}

static void check_ready(struct hx_move *m)
{
    for (struct move_change *c = m->changes; c; c = c->next) {
        bool ready = c->added && hx_writer_learner_ready(m->writer, c->pg, c->slot);
        if (c->state == HX_CHANGE_FILL && ready)
            move_to(m, c, HX_CHANGE_READY);
        else if (c->state == HX_CHANGE_READY && !ready) /* more has been acknowledged since: its answer is on its way */
            hx_writer_learner_filled(m->writer, c->pg, c->slot);
    }
}

/* V5: nobody's place in the group is being changed, and all of its members answer, so that all can be deleted. */
static bool may_release(const struct hx_move *m, const struct hx_geometry *g)
{
    uint32_t pg = m->release;
    if (pg == 0 || pg + 1 != hx_geometry_live(g) || !hx_writer_pg_idle(m->writer, pg))
        return false;
    for (const struct move_change *c = m->changes; c; c = c->next)
        if (c->pg == pg)
            return false;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (is_member(g, pg, i) && hx_writer_silent_ms(m->writer, g->pgs[pg].server[i]) > 0)
            return false;
    return true;
}

int hx_move_release(struct hx_move *m, uint32_t pg)
{
    if (m->state)
        return m->state;
    if (pg != 0 && (pg + 1 != hx_geometry_live(move_geometry(m)) || m->turning))
        return HX_E_INVAL;
    if (!m->releasing)
        m->release = pg;
    return m->releasing && pg == 0 ? HX_E_BUSY : 0;
}

uint32_t hx_move_releasing(const struct hx_move *m)
{
    return m->release;
}

/* ---- groups that give up two members, and take two again (V8, D1) ---- */

/* The learners for all empty places have been level once; and a write quorum of the six is now (M1).  Under load they
 * never are all at one moment. */
static bool may_take_back(const struct hx_move *m, const struct hx_geometry *next, uint32_t pg)
{
    unsigned level = 0;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        if (is_member(next, pg, i)) {
            level += hx_writer_complete(m->writer, pg, hx_members_add(0, i));
            continue;
        }
        const struct move_change *c = find(m, pg, i);
        if (!c || c->state != HX_CHANGE_READY)
            return false;
        level += hx_writer_learner_ready(m->writer, pg, i);
    }
    return level >= HX_WRITE_QUORUM;
}

/* All empty places of a group together, where there are learners for all of them. */
static bool take_back(const struct hx_move *m, struct hx_geometry *next, bool *first)
{
    bool any = false;
    for (const struct move_change *c = m->changes; c; c = c->next) {
        struct hx_pg_members *row = &next->pgs[c->pg];
        bool all = c->empty && !c->orphan && c->state == HX_CHANGE_READY && hx_row_slots(row) != HX_MEMBERS_ALL &&
                   !(c->pg == 0 && *first);
        if (!all || !may_take_back(m, next, c->pg))
            continue;
        for (unsigned i = 0; i < HX_COPIES; i++)
            if (!is_member(next, c->pg, i))
                row->server[i] = (uint16_t)find(m, c->pg, i)->to;
        row->kind = HX_ROW_PLAIN;
        row->survivors = 0;
        *first = *first || c->pg == 0;
        any = true;
    }
    return any;
}

static bool is_changing(const struct hx_move *m, uint32_t pg)
{
    for (const struct move_change *c = m->changes; c; c = c->next)
        if (c->pg == pg && !c->orphan && c->state <= HX_CHANGE_TURN)
            return true;
    return false;
}

static bool any_away(const struct hx_geometry *g)
{
    for (uint32_t i = 0; i < g->server_count; i++)
        if (g->servers[i].state == HX_SERVER_AWAY)
            return true;
    return false;
}

/* FIRST: the version changes PG 0 already. */
static bool degrade(const struct hx_move *m, struct hx_geometry *next, bool first)
{
    const struct hx_geometry *g = move_geometry(m);
    bool any = false;
    for (uint32_t pg = first ? 1 : 0, live = any_away(g) ? hx_geometry_live(next) : 0; pg < live; pg++) {
        struct hx_pg_members *row = &next->pgs[pg];
        hx_members stay = 0;
        bool busy = false;
        for (unsigned i = 0; i < HX_COPIES; i++) {
            if (g->servers[row->server[i]].state != HX_SERVER_AWAY)
                stay = hx_members_add(stay, i);
            else
                busy = busy || !hx_writer_seat_free(m->writer, pg, i);
        }
        bool may = row->kind == HX_ROW_PLAIN && hx_members_count(stay) == HX_WRITE_QUORUM && !(row->unmade & stay);
        bool goes = pg && pg == m->release;
        if (!may || goes || busy || !hx_writer_complete(m->writer, pg, stay) || is_changing(m, pg))
            continue;
        row->kind = HX_ROW_DEGRADED;
        row->survivors = stay;
        row->unmade = 0;
        any = true;
    }
    return any;
}

/* Those whose places NEXT gives up: they are told, and deleted, once it is in use. */
static int give_up(struct hx_move *m, const struct hx_geometry *next)
{
    const struct hx_geometry *g = move_geometry(m);
    for (uint32_t pg = 0, live = any_away(g) ? hx_geometry_live(next) : 0; pg < live; pg++) {
        hx_members gone = hx_row_slots(&g->pgs[pg]) & (hx_members)~hx_row_slots(&next->pgs[pg]);
        for (unsigned i = 0; gone && i < HX_COPIES; i++) {
            struct move_change *c = hx_members_has(gone, i) ? add(m, pg, i, g->pgs[pg].server[i]) : NULL;
            if (!c && hx_members_has(gone, i))
                return HX_E_NOMEM;
            if (!c)
                continue;
            c->gives_up = true;
            c->state = HX_CHANGE_TURN;
        }
    }
    return 0;
}

/* The version did not come about. */
static void keep_all(struct hx_move *m)
{
    for (struct move_change *c = m->changes, *next; c; c = next) {
        next = c->next;
        if (c->gives_up && c->state == HX_CHANGE_TURN)
            move_drop(m, c);
    }
}

/* Of two that are given up one tells those that stay. */
static bool speaks_for(const struct hx_geometry *g, const struct move_change *c)
{
    hx_members gone = HX_MEMBERS_ALL & (hx_members)~hx_row_slots(&g->pgs[c->pg]);
    return !c->gives_up || c->slot == (unsigned)__builtin_ctz(gone);
}

/* The next version: all changes that are ready (V2), the group that is to be released, and what is wished for.  False:
 * there is none. */
static bool make_next(struct hx_move *m, struct hx_geometry *next, bool *ret_granted, int *ret_err)
{
    bool any = false, first = false;
    *ret_err = hx_geometry_copy(next, move_geometry(m));
    for (struct move_change *c = m->changes; !*ret_err && c; c = c->next) {
        if (c->state != HX_CHANGE_READY || (c->pg == 0 && first) ||
            !hx_writer_learner_ready(m->writer, c->pg, c->slot) || !is_member(move_geometry(m), c->pg, c->slot))
            continue;
        struct hx_pg_members *row = &next->pgs[c->pg];
        row->server[c->slot] = (uint16_t)c->to;
        row->unmade &= (uint8_t)~(1u << c->slot);
        first = first || c->pg == 0;
        any = true;
    }
    any = (!*ret_err && take_back(m, next, &first)) || any;
    any = (!*ret_err && degrade(m, next, first)) || any;
    if (!*ret_err && may_release(m, next)) {
        next->pgs[m->release] = (struct hx_pg_members){.kind = HX_ROW_RELEASED};
        memcpy(next->pgs[m->release].server, move_geometry(m)->pgs[m->release].server, sizeof next->pgs->server);
        next->walk_from = hx_writer_vdl(m->writer);
        any = true;
    }
    *ret_granted = !*ret_err && move_wish_apply(m, next, ret_err);
    any = any || *ret_granted;
    next->epoch = hx_writer_epoch(m->writer);
    next->m++;
    return any;
}

static void publish(struct hx_move *m)
{
    const struct hx_geometry *g = move_geometry(m);
    m->stored_old = m->stored_new = 0;
    for (unsigned i = 0; i < HX_ARRAY_LEN(m->publish); i++)
        hx_ask_drop(&m->ask, &m->publish[i]);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        bool was = is_member(g, 0, i), is = is_member(&m->next, 0, i);
        m->publish_server[i] = g->pgs[0].server[i];
        m->publish_server[HX_COPIES + i] = m->next.pgs[0].server[i];
        if (was)
            hx_ask_queue(&m->ask, &m->publish[i], m->publish_server[i], HX_MSG_GEOMETRY);
        if (is && !(was && m->next.pgs[0].server[i] == g->pgs[0].server[i]))
            hx_ask_queue(&m->ask, &m->publish[HX_COPIES + i], m->publish_server[HX_COPIES + i], HX_MSG_GEOMETRY);
    }
}

static void turn(struct hx_move *m)
{
    struct hx_geometry next = {0};
    int err;
    bool granted, any = make_next(m, &next, &granted, &err);
    if (!any && !err)
        move_wish_turned(m, false);
    if (any && !err)
        err = give_up(m, &next);
    if (any && !err)
        err = hx_writer_turn(m->writer, &next);
    if (!any || err) {
        keep_all(m);
        hx_geometry_fini(&next);
        return; /* LAGGING: a moment later; NOMEM: with the next event */
    }
    for (struct move_change *c = m->changes; c; c = c->next)
        if (c->state == HX_CHANGE_READY && next.pgs[c->pg].server[c->slot] == c->to && is_member(&next, c->pg, c->slot))
            move_to(m, c, HX_CHANGE_TURN);
    m->releasing = hx_geometry_live(&next) < hx_geometry_live(move_geometry(m));
    m->released = m->releasing ? hx_row_slots(&move_geometry(m)->pgs[m->release]) : 0;
    hx_geometry_fini(&m->next);
    m->next = next;
    m->turning = true;
    move_wish_turned(m, granted);
    publish(m);
}

/* All that a released group has goes.  Those whom there is no memory to tell now are found later, by STATUS. */
static void retire_all(struct hx_move *m)
{
    uint32_t pg = m->release;
    m->releasing = false;
    m->release = 0;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        if (!hx_members_has(m->released, i))
            continue;
        struct move_change *c = add(m, pg, i, move_geometry(m)->pgs[pg].server[i]);
        if (!c)
            return;
        c->orphan = true;
        c->state = HX_CHANGE_TELL;
        hx_ask_queue(&m->ask, &c->retire.task, c->from, HX_MSG_MEMBERS);
    }
}

/* The version is in use: those whom it concerns are told, and whom it replaced goes (V2, M6). */
static void in_use(struct hx_move *m)
{
    hx_writer_turned(m->writer);
    m->turning = false;
    m->versions++;
    const struct hx_geometry *g = move_geometry(m);
    for (struct move_change *c = m->changes; c; c = c->next) {
        if (c->state != HX_CHANGE_TURN)
            continue;
        move_to(m, c, HX_CHANGE_TELL);
        for (unsigned i = 0; i < HX_COPIES && speaks_for(g, c); i++)
            if (is_member(g, c->pg, i))
                hx_ask_queue(&m->ask, &c->tell[i].task, g->pgs[c->pg].server[i], HX_MSG_MEMBERS);
        if (!c->empty)
            hx_ask_queue(&m->ask, &c->retire.task, c->from, HX_MSG_MEMBERS);
    }
    if (m->releasing)
        retire_all(m);
    hold_floor(m);
}

void move_stored(struct hx_move *m, size_t which)
{
    uint32_t server = m->publish_server[which];
    for (unsigned i = 0; i < HX_COPIES && m->turning; i++) {
        if (move_geometry(m)->pgs[0].server[i] == server && is_member(move_geometry(m), 0, i))
            m->stored_old = hx_members_add(m->stored_old, i);
        if (m->next.pgs[0].server[i] == server && is_member(&m->next, 0, i))
            m->stored_new = hx_members_add(m->stored_new, i);
    }
    bool stored = hx_row_write(&move_geometry(m)->pgs[0], m->stored_old) && m->turning &&
                  hx_row_write(&m->next.pgs[0], m->stored_new);
    if (m->turning && (stored || HX_MUTANT(RETIRED_BEFORE_STORED)))
        in_use(m);
}

/* ---- events ---- */

/* V7 */
static void tell_rates(struct hx_move *m)
{
    for (struct move_change *c = m->changes; c; c = c->next)
        if (c->state == HX_CHANGE_FILL && c->task.state == HX_ASK_IDLE && c->rate != move_share(m, c))
            hx_ask_queue(&m->ask, &c->task, c->to, HX_MSG_FORMAT);
}

static void step(struct hx_move *m)
{
    if (m->state || hx_writer_state(m->writer)) {
        if (!m->state)
            move_end(m, HX_E_FENCED);
        return;
    }
    for (struct move_change *c = m->changes, *next; c; c = next) {
        next = c->next;
        if (c->state == HX_CHANGE_MAKE && c->made && !c->added &&
            hx_writer_learner_add(m->writer, c->pg, c->slot, c->to) == 0) {
            c->added = true;
            c->asked = ++m->serial;
            m->server[c->to]->due_ms = m->status_ms = m->ask.now_ms;
            move_to(m, c, HX_CHANGE_FILL);
        }
    }
    check_ready(m);
    tell_rates(m);
    move_wish_due(m);
    if (!m->turning && !m->hold)
        turn(m);
    move_status_due(m);
}

void hx_move_answer(struct hx_move *m, uint64_t now_ms, uint64_t call, struct hx_bytes body)
{
    struct hx_ask_reply reply;
    if (hx_ask_answer(&m->ask, now_ms, call, body, &reply) && !m->state)
        move_judge(m, &reply);
    step(m);
}

void hx_move_failed(struct hx_move *m, uint64_t now_ms, uint64_t call, int err)
{
    struct hx_ask_reply reply;
    if (hx_ask_failed(&m->ask, now_ms, call, err, &reply) && !m->state)
        move_judge(m, &reply);
    step(m);
}

uint64_t hx_move_tick(struct hx_move *m, uint64_t now_ms)
{
    uint64_t next = hx_ask_tick(&m->ask, now_ms);
    step(m);
    if (m->change_count == 0 && next >= HX_ASK_IDLE_MS)
        return MOVE_STATUS_MS;
    uint64_t wait = move_status_wait(m);
    return next < wait ? next : wait;
}

bool hx_move_view(const struct hx_move *m, size_t i, struct hx_change_view *ret)
{
    const struct move_change *c = m->changes;
    while (c && (c->orphan || i-- > 0))
        c = c->next;
    if (!c)
        return false;
    *ret = (struct hx_change_view){.pg = c->pg, .from = c->from, .to = c->to, .slot = c->slot, .state = c->state,
                                   .bytes = c->bytes, .of = c->total, .last_error = c->last_error,
                                   .since_ms = m->ask.now_ms - c->since_ms, .gives_up = c->gives_up};
    return true;
}
