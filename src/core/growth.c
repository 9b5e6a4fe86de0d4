/*
 * growth.c - one more protection group: place it, make it on six servers, publish it (doc/PROTOCOL.md I9).
 *
 * Does not decide when (the volume client does, when pages run short) and tells the writer nothing: whoever
 * drives this gives the published geometry to hx_writer_add_pg.
 * Invariants:
 *   N1 GEOMETRY with g + 1 is sent only after at least four members answered that they made the segment: so of a
 *      published PG at most two members were never made (recovery makes those; a third one that has none forgot it).
 *      Each of the others has had HX_GROWTH_PATIENCE_MS to answer: since the growth began, or since its server fell
 *      silent, as the writer knows; while this process stands still nobody is silent.  A new group should have six
 *      copies from the start, for those that were never made count as lost until somebody makes them; but writes wait
 *      for it, and a zone that is away has had its time.
 *   N2 published: four of PG 0's members stored it; nothing is routed to the PG before.
 *   N3 FENCED ends it for ever.
 *   N4 Groups that were released come first, from the first one up (S1 of MEMBERSHIP.md).  All six must have made
 *      theirs then, and before FORMAT each is told by MEMBERS that the group was released, and by DELETE to give up
 *      what it may still have of it: a member that came with one of the former life would pass for a complete one.
 *   N5 A group that needs all of its members made (N4; one of four, D1) ends in vain when somebody is silent who has
 *      had his time, or has another disk: no version of members is in the air while a group grows, so who is lost
 *      could not be replaced.  The next one is placed anew.
 * A crash between leaves segments that no geometry names; the next growth of the same number makes them its
 * own, for FORMAT is idempotent and no record refers to them.  A stored but unpublished geometry on fewer
 * than four is bound by a recovery or replaced by it.
 * Allocates in new, and for each request; HX_E_NOMEM ends it.
 */
#include "ask.h"
#include "writer_int.h"

#include "hexad/assert.h"
#include "hexad/mutant.h"
#include "hexad/place.h"
#include "hexad/quorum.h"
#include "hexad/recovery.h"

#include <stdlib.h>

#define HX_GROWTH_PATIENCE_MS 2000u

struct hx_growth {
    const struct hx_writer *writer; /* borrowed: it knows who answers */
    struct hx_ask ask;
    struct hx_ask_task format[HX_COPIES], publish[HX_COPIES];
    uint64_t life[HX_COPIES]; /* of what DELETE is to take (N4) */
    uint32_t pg;
    bool again; /* it was released */
    hx_members made, stored;
    bool publishing;
    int state;
    uint64_t patience_until_ms;
    uint64_t awake_ms, deaf_until_ms; /* called last; this process stood still until then, and heard nobody */
    struct hx_uuid owner;
    struct hx_geometry geometry; /* the grown one */
    struct hx_history history;
};

static void end(struct hx_growth *g, int state)
{
    g->state = state;
    hx_ask_reset(&g->ask);
}

static void start_asking(struct hx_growth *g, struct hx_ask_task *tasks, uint32_t pg, uint16_t msg)
{
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (hx_members_has(hx_row_slots(&g->geometry.pgs[pg]), i))
            hx_ask_queue(&g->ask, &tasks[i], g->geometry.pgs[pg].server[i], msg);
}

/* Places the next group, on those who are silent only if there are no others. */
static int place_on(const struct hx_geometry *g, const struct hx_writer *w, const struct hx_place_known *known,
                    struct hx_pg_members *ret)
{
    struct hx_place_known *all = calloc(g->server_count + 1u, sizeof *all);
    if (all == NULL)
        return HX_E_NOMEM;
    if (known != NULL)
        memcpy(all, known, g->server_count * sizeof *all);
    for (uint32_t i = 0; i < g->server_count; i++)
        if (hx_writer_silent_ms(w, i) >= HX_GROWTH_PATIENCE_MS)
            all[i].avoid = HX_PLACE_SILENT;
    int err = hx_place_group(g, all, ret);
    free(all);
    return err;
}

static int place(struct hx_growth *g, const struct hx_writer *w, const struct hx_place_known *known)
{
    struct hx_pg_members m;
    int err = hx_geometry_copy(&g->geometry, hx_writer_geometry(w));
    if (err == 0)
        err = hx_history_copy(&g->history, hx_writer_history(w));
    if (err != 0)
        return err;
    g->pg = hx_geometry_live(&g->geometry);
    g->again = g->pg < g->geometry.pg_count;
    err = place_on(&g->geometry, w, known, &m);
    if (err == 0)
        err = g->again ? hx_geometry_set_members(&g->geometry, g->pg, &m) : hx_geometry_add_pg(&g->geometry, &m);
    if (err != 0)
        return err == HX_E_NOMEM ? err : HX_E_NOSPACE;
    g->geometry.epoch = hx_writer_epoch(w);
    return 0;
}

int hx_growth_new(const struct hx_writer *w, const struct hx_place_known *known, const struct hx_uuid *owner,
                  uint64_t now_ms, struct hx_growth **ret)
{
    struct hx_growth *g = calloc(1, sizeof *g);
    if (g == NULL)
        return HX_E_NOMEM;
    hx_ask_init(&g->ask, HX_PART_GROWTH, now_ms);
    g->writer = w;
    g->owner = *owner;
    g->awake_ms = now_ms;
    g->patience_until_ms = now_ms + HX_GROWTH_PATIENCE_MS;
    g->state = hx_writer_state(w);
    if (g->state == 0)
        g->state = place(g, w, known);
    if (g->state == HX_E_NOMEM ||
        (g->state == 0 && (hx_ask_servers(&g->ask, g->geometry.servers, g->geometry.server_count) != 0 ||
                           hx_ask_reserve(&g->ask, (size_t)2 * HX_COPIES) != 0))) {
        hx_growth_free(g);
        return HX_E_NOMEM;
    }
    if (g->state == 0) {
        g->state = HX_E_AGAIN;
        start_asking(g, g->format, g->pg, g->again ? HX_MSG_MEMBERS : HX_MSG_FORMAT);
    }
    *ret = g;
    return 0;
}

void hx_growth_free(struct hx_growth *g)
{
    if (g == NULL)
        return;
    hx_ask_fini(&g->ask);
    hx_geometry_fini(&g->geometry);
    hx_history_fini(&g->history);
    free(g);
}

/* Before any event: a process that was frozen all that time gives the others theirs from now on (N1). */
static void awake(struct hx_growth *g, uint64_t now_ms)
{
    if (now_ms > g->awake_ms + HX_GROWTH_PATIENCE_MS) {
        g->deaf_until_ms = now_ms;
        g->patience_until_ms = now_ms + HX_GROWTH_PATIENCE_MS;
    }
    if (now_ms > g->awake_ms)
        g->awake_ms = now_ms;
}

static bool silent(const struct hx_growth *g, uint32_t server)
{
    bool heard = g->deaf_until_ms == 0 || g->awake_ms >= g->deaf_until_ms + HX_GROWTH_PATIENCE_MS;
    return heard && hx_writer_silent_ms(g->writer, server) >= HX_GROWTH_PATIENCE_MS;
}

/* Somebody who has not had his time may yet make the segment. */
static bool worth_waiting(const struct hx_growth *g)
{
    const struct hx_pg_members *m = &g->geometry.pgs[g->pg];
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (hx_members_has(hx_row_slots(m) & (hx_members)~g->made, i) && !silent(g, m->server[i]) &&
            g->format[i].last_err != HX_E_STRANGER)
            return true;
    return false;
}

static void publish_when_due(struct hx_growth *g)
{
    if (g->state != HX_E_AGAIN || g->publishing)
        return;
    bool patient = g->ask.now_ms < g->patience_until_ms && worth_waiting(g);
    const struct hx_pg_members *row = &g->geometry.pgs[g->pg];
    /* N4; and of fewer than six no opening takes one for empty (D1). */
    bool all = g->again || hx_row_slots(row) != HX_MEMBERS_ALL;
    bool made = !patient && (all ? g->made == hx_row_slots(row) : hx_quorum_write(g->made)); /* N1 */
    if (!made && !patient && all && !worth_waiting(g)) {
        end(g, HX_E_NOSPACE); /* N5 */
        return;
    }
    if (!made && !HX_MUTANT(GROWTH_UNMADE))
        return;
    g->publishing = true;
    start_asking(g, g->publish, 0, HX_MSG_GEOMETRY);
    if (HX_MUTANT(GROWTH_UNPUBLISHED))
        end(g, 0);
}

/* N4: MEMBERS, DELETE of what there is, FORMAT; from the beginning when something else was there meanwhile. */
static void clear(struct hx_growth *g, struct hx_ask_task *t, const struct hx_ask_reply *reply)
{
    bool none = reply->err == HX_E_NO_SEGMENT || reply->err == HX_E_NO_VOLUME;
    if (t->msg == HX_MSG_MEMBERS && reply->err == 0) {
        struct hx_dec d = hx_dec_init(reply->body.p, reply->body.len);
        g->life[t - g->format] = hx_dec_u64(&d);
        hx_ask_queue(&g->ask, t, t->server, HX_MSG_DELETE);
    } else if (t->msg == HX_MSG_FORMAT || reply->err == HX_E_MADE_ANEW) {
        hx_ask_pause(&g->ask, t, t->server, HX_MSG_MEMBERS);
    } else if (none || reply->err == 0) {
        hx_ask_queue(&g->ask, t, t->server, HX_MSG_FORMAT);
    } else {
        hx_ask_pause(&g->ask, t, t->server, t->msg);
    }
}

static void judge(struct hx_growth *g, const struct hx_ask_reply *reply)
{
    struct hx_ask_task *t = reply->task;
    if (reply->err == HX_E_FENCED) {
        end(g, HX_E_FENCED); /* N3 */
        return;
    }
    if (t->msg == HX_MSG_MEMBERS || t->msg == HX_MSG_DELETE || (g->again && reply->err == HX_E_WRONG_MEMBER)) {
        clear(g, t, reply);
        return;
    }
    if (reply->err != 0) {
        hx_ask_pause(&g->ask, t, t->server, t->msg);
        return;
    }
    if (t->msg == HX_MSG_FORMAT) {
        g->made = hx_members_add(g->made, (unsigned)(t - g->format));
        publish_when_due(g);
        return;
    }
    g->stored = hx_members_add(g->stored, (unsigned)(t - g->publish));
    if (hx_row_write(&g->geometry.pgs[0], g->stored) || HX_MUTANT(GROWTH_AT_1))
        end(g, 0); /* N2 */
}

void hx_growth_answer(struct hx_growth *g, uint64_t now_ms, uint64_t call, struct hx_bytes body)
{
    struct hx_ask_reply reply;
    awake(g, now_ms);
    if (hx_ask_answer(&g->ask, now_ms, call, body, &reply))
        judge(g, &reply);
}

void hx_growth_failed(struct hx_growth *g, uint64_t now_ms, uint64_t call, int err)
{
    struct hx_ask_reply reply;
    awake(g, now_ms);
    if (hx_ask_failed(&g->ask, now_ms, call, err, &reply))
        judge(g, &reply);
}

uint64_t hx_growth_tick(struct hx_growth *g, uint64_t now_ms)
{
    awake(g, now_ms);
    uint64_t next = hx_ask_tick(&g->ask, now_ms);
    publish_when_due(g);
    if (g->state == HX_E_AGAIN && !g->publishing && g->patience_until_ms > g->ask.now_ms &&
        g->patience_until_ms - g->ask.now_ms < next)
        next = g->patience_until_ms - g->ask.now_ms;
    return next;
}

/* FORMAT: the new group's slice and the history; MEMBERS and DELETE: the slice of the version in use, which says that
 * the group is released, and the life that is meant; GEOMETRY: the whole. */
static int build(const struct hx_growth *g, const struct hx_ask_task *t, uint8_t **ret, size_t *ret_len)
{
    struct hx_geometry slice = {0};
    bool format = t->msg == HX_MSG_FORMAT, whole = t->msg == HX_MSG_GEOMETRY;
    const struct hx_geometry *of = format ? &g->geometry : hx_writer_geometry(g->writer);
    int err = whole ? 0 : hx_geometry_slice(of, g->pg, &slice);
    if (err != 0)
        return err;
    const struct hx_geometry *what = whole ? &g->geometry : &slice;
    size_t len = hx_geometry_encoded_len(what) + (format ? hx_history_encoded_len(&g->history) : 0);
    len += t->msg == HX_MSG_DELETE ? 8 : 0;
    uint8_t *p = malloc(len);
    if (p != NULL) {
        struct hx_enc e = hx_enc_init(p, len);
        hx_geometry_encode(what, &e);
        if (format)
            hx_history_encode(&g->history, &e);
        if (t->msg == HX_MSG_DELETE)
            hx_enc_u64(&e, g->life[t - g->format]);
        hx_assert(e.err == 0 && e.len == len);
    }
    hx_geometry_fini(&slice);
    *ret = p;
    *ret_len = len;
    return p != NULL ? 0 : HX_E_NOMEM;
}

int hx_growth_next(struct hx_growth *g, struct hx_effect *ret)
{
    uint8_t *body = NULL;
    size_t len = 0;
    if (hx_ask_cancel_next(&g->ask, ret))
        return 1;
    struct hx_ask_task *t = g->state == HX_E_AGAIN ? hx_ask_pop(&g->ask) : NULL;
    if (t == NULL)
        return 0;
    struct hx_msg_head head = {.volume = g->geometry.volume, .owner = g->owner,
                               .epoch = hx_history_top(&g->history), .g = g->geometry.g, .m = g->geometry.m};
    head.pg = t->msg == HX_MSG_GEOMETRY ? 0 : g->pg;
    int err = build(g, t, &body, &len);
    if (err == 0)
        err = hx_ask_send(&g->ask, t, &head, body, len, ret);
    if (err == 0)
        return 1;
    end(g, err);
    return hx_ask_cancel_next(&g->ask, ret);
}

int hx_growth_state(const struct hx_growth *g)
{
    return g->state;
}

hx_members hx_growth_made(const struct hx_growth *g)
{
    return g->made;
}

const struct hx_geometry *hx_growth_geometry(const struct hx_growth *g)
{
    return &g->geometry;
}
