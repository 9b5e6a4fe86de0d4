/*
 * move_wish.c - the driver grants wishes (hexad/wish.h): asks servers for them, and puts them into its next version.
 *
 * What is granted is decided on the geometry as it will be; a wish that cannot be granted is forgotten, and its author
 * sees why in the geometry that it looks at.  Wishes wait while a version is in the air (M3).  A version that only
 * grants wishes names no new member, so nobody is told and nobody deleted: PG 0 has it, and that is where it is read.
 * Memory: wishes that wait, one for each name.
 */
#include "move_int.h"

#include "writer_int.h"

#include "hexad/err.h"

#include <stdlib.h>

static int saw(const struct hx_wish *w, const struct hx_geometry *g)
{
    const struct hx_geometry seen = {.epoch = w->epoch, .g = w->g, .m = w->m};
    return hx_geometry_compare(&seen, g);
}

static const struct hx_geometry *newest(const struct hx_move *m)
{
    return m->turning ? &m->next : move_geometry(m);
}

int hx_move_wish(struct hx_move *m, const struct hx_wish *w)
{
    struct hx_geometry probe = {0};
    if (m->state)
        return m->state;
    if (saw(w, &m->wish.floor) < 0) /* R1 */
        return HX_E_AGAIN;
    int rc = hx_geometry_copy(&probe, newest(m));
    if (!rc)
        rc = hx_wish_grant(w, &probe);
    hx_geometry_fini(&probe);
    if (rc || hx_wish_granted(w, newest(m)))
        return rc;
    size_t i = 0;
    while (i < m->wish.count && strcmp(m->wish.list[i].server.name, w->server.name))
        i++;
    if (i == m->wish.count) {
        struct hx_wish *more = realloc(m->wish.list, (i + 1) * sizeof *more);
        if (!more)
            return HX_E_NOMEM;
        m->wish.list = more;
        m->wish.count++;
    }
    m->wish.list[i] = *w;
    return 0;
}

bool move_wish_apply(const struct hx_move *m, struct hx_geometry *next, int *ret_err)
{
    bool any = false;
    for (size_t i = 0; i < m->wish.count; i++) {
        struct hx_geometry with = {0};
        int rc = hx_geometry_copy(&with, next);
        if (rc == HX_E_NOMEM)
            *ret_err = rc;
        if (!rc && !hx_wish_granted(&m->wish.list[i], next) && hx_wish_grant(&m->wish.list[i], &with) == 0) {
            hx_geometry_fini(next);
            *next = with;
            any = true;
        } else {
            hx_geometry_fini(&with); /* not any more: somebody was given a place there, or it is so already */
        }
    }
    return any;
}

void move_wish_turned(struct hx_move *m, bool granted)
{
    m->wish.count = 0;
    if (granted)
        m->wish.floor = (struct hx_geometry){.epoch = m->next.epoch, .g = m->next.g, .m = m->next.m};
}

void move_wish_init(struct hx_move *m)
{
    const struct hx_geometry *g = move_geometry(m);
    m->wish.task.owner_kind = MOVE_TASK_WISH;
    m->wish.floor = (struct hx_geometry){.epoch = g->epoch, .g = g->g, .m = g->m};
}

void move_wish_due(struct hx_move *m)
{
    long at = hx_writer_wishes(m->writer);
    if (at >= 0 && (uint32_t)at < m->server_count && m->wish.task.state == HX_ASK_IDLE)
        hx_ask_queue(&m->ask, &m->wish.task, (uint32_t)at, HX_MSG_WISH);
}

/* A failure is nothing: who wishes says it again, and so does the answer to the next announcement. */
void move_wish_answer(struct hx_move *m, struct hx_bytes body)
{
    struct hx_dec d = hx_dec_init(body.p, body.len);
    uint32_t n = hx_dec_u32(&d);
    struct hx_wish w;
    for (uint32_t i = 0; i < n && hx_wish_decode(&w, &d) == 0; i++)
        (void)hx_move_wish(m, &w);
}
