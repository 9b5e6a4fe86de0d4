/*
 * lookup.c - what the servers know about a volume, folded into one answer.
 *
 * Does not ask (the caller does, in parallel) and decides nothing: what is found is a hint, for opening reads
 * geometry and epoch again under its fence.
 * Definitions: the volume found is the one whose top epoch is highest, then the one promised highest, then the
 * first; leftovers of a creation that never finished have top epoch 1 and lose against a volume in use.
 * Invariants:
 *   L1 each server counts once, however often its answer is folded in.
 *   L2 writer_alive counts servers that see a living writer of the highest writer epoch only.
 *   L3 a slice shows the way to PG 0's members and is no substitute for what they say: the highest whole geometry
 *      counts, a slice only as long as there is none.
 * Memory: the geometry and the list of servers heard; hx_lookup_sum_fini frees both.  A failed call changes nothing.
 */
#include "hexad/msg.h"
#include "hexad/quorum.h"
#include "hexad/recovery.h"

#include <stdlib.h>

void hx_lookup_sum_fini(struct hx_lookup_sum *s)
{
    hx_geometry_fini(&s->geometry);
    free(s->heard);
    *s = (struct hx_lookup_sum){0};
}

static bool heard(const struct hx_lookup_sum *s, const struct hx_uuid *server)
{
    for (unsigned i = 0; i < s->answers; i++)
        if (hx_uuid_eq(&s->heard[i], server))
            return true;
    return false;
}

/* The other volume of this name is the one: forget what was counted for the first. */
static bool better(const struct hx_lookup_sum *s, const struct hx_lookup *l)
{
    return l->top.v != s->top.v ? l->top.v > s->top.v : l->promised.v > s->promised.v;
}

static void fold_writer(struct hx_lookup_sum *s, const struct hx_writer_info *w)
{
    if (w->epoch.v > s->writer_epoch.v || s->answers == 0) {
        s->writer_epoch = w->epoch;
        s->writer_alive = 0;
        s->writer_ago_ms = UINT64_MAX;
        s->writer_text[0] = '\0';
    }
    if (w->epoch.v < s->writer_epoch.v)
        return;
    s->writer_alive += w->alive; /* L2 */
    if (w->ago_ms < s->writer_ago_ms || s->writer_text[0] == '\0') {
        s->writer_ago_ms = w->ago_ms < s->writer_ago_ms ? w->ago_ms : s->writer_ago_ms;
        if (w->text[0] != '\0')
            memcpy(s->writer_text, w->text, sizeof s->writer_text);
    }
}

static struct hx_epoch higher(struct hx_epoch a, struct hx_epoch b)
{
    return a.v > b.v ? a : b;
}

/* Takes over the geometry of *l when it is the higher one. */
static int fold(struct hx_lookup_sum *s, struct hx_lookup *l, const struct hx_uuid *server)
{
    bool same = s->found && hx_uuid_eq(&s->geometry.volume, &l->volume);
    if (s->found && !same && !better(s, l))
        return 0;
    if (same && heard(s, server))
        return 0; /* L1 */
    size_t room = (same ? s->answers : 0) + 1u;
    struct hx_uuid *list = realloc(s->heard, room * sizeof *list);
    if (list == NULL)
        return HX_E_NOMEM;
    s->heard = list;
    if (!same) {
        s->answers = s->writer_alive = 0;
        s->top = s->promised = s->epoch = s->writer_epoch = HX_EPOCH(0);
    }
    fold_writer(s, &l->writer);
    s->heard[s->answers++] = *server;
    s->found = true;
    s->top = higher(s->top, l->top);
    s->promised = higher(s->promised, l->promised);
    s->epoch = higher(s->epoch, higher(higher(l->top, l->promised), l->writer.epoch));
    bool whole = l->geometry.slice == 0, had = s->geometry.slice == 0; /* L3 */
    if (!same || (whole != had ? whole : hx_geometry_compare(&l->geometry, &s->geometry) > 0)) {
        hx_geometry_fini(&s->geometry);
        s->geometry = l->geometry;
        l->geometry = (struct hx_geometry){0};
    }
    return 0;
}

int hx_lookup_sum_add(struct hx_lookup_sum *s, struct hx_bytes answer)
{
    struct hx_reply_head h;
    struct hx_bytes body;
    struct hx_lookup l = {0};
    int err = hx_reply_decode(answer.p, answer.len, &h, &body);
    if (err != 0)
        return err;
    if (h.type != HX_MSG_LOOKUP)
        return HX_E_BADMSG;
    if (h.status != 0)
        return h.status;
    struct hx_dec d = hx_dec_init(body.p, body.len);
    err = hx_lookup_decode(&l, &d);
    if (err == 0)
        err = hx_dec_end(&d);
    if (err == 0 && (l.geometry.pg_count == 0 || !hx_uuid_eq(&l.geometry.volume, &l.volume)))
        err = HX_E_BADMSG;
    if (err == 0)
        err = fold(s, &l, &h.server);
    hx_geometry_fini(&l.geometry);
    return err;
}

bool hx_lookup_sum_enough(const struct hx_lookup_sum *s)
{
    hx_members set = 0;
    if (!s->found || s->geometry.slice)
        return false;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (heard(s, &s->geometry.servers[s->geometry.pgs[0].server[i]].incarnation))
            set = hx_members_add(set, i);
    return hx_row_read(&s->geometry.pgs[0], set);
}

const struct hx_server *hx_lookup_sum_way(const struct hx_lookup_sum *s, unsigned *slot)
{
    for (; s->found && *slot < HX_COPIES; ++*slot) {
        const struct hx_server *m = &s->geometry.servers[s->geometry.pgs[0].server[*slot]];
        if (hx_members_has(hx_row_slots(&s->geometry.pgs[0]), *slot) && !heard(s, &m->incarnation)) {
            ++*slot;
            return m;
        }
    }
    return NULL;
}
