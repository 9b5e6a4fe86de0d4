/*
 * session_view.c - a session as others see it: which quorum is missing, and how much room the servers have.
 *
 * Decides nothing; the words go to people.  Memory: a copy of the list of servers while they are asked for room, for
 * the geometry may be replaced meanwhile.
 */
#include "session_int.h"

#include "hexad/assert.h"
#include "hexad/quorum.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- quorum ---- */

/* What a member does for its group: the first two take records, the first three serve pages. */
enum part { KEEPS_UP, BEHIND, FULL, FAILED, REFUSED, SILENT, PARTS };
static const char *const part_words[PARTS] = {[BEHIND] = "behind", [FULL] = "disk full", [FAILED] = "disk failed",
                                              [REFUSED] = "refused", [SILENT] = "silent"};

static enum part part_of(const struct hx_session *s, uint32_t pg, unsigned slot)
{
    struct hx_member_view m;
    hx_writer_member(s->writer, pg, slot, s->now_ms, &m);
    switch (m.state) {
    case HX_MEMBER_OK:
        return KEEPS_UP;
    case HX_MEMBER_BEHIND:
        return BEHIND;
    case HX_MEMBER_REFUSED:
        return REFUSED;
    case HX_MEMBER_DOWN:
        if (m.last_error == HX_E_NOSPACE)
            return FULL;
        return m.last_error == HX_E_POISONED || m.last_error == HX_E_IO ? FAILED : SILENT;
    default:
        return SILENT;
    }
}

static bool is_member(const struct hx_geometry *g, uint32_t pg, unsigned slot)
{
    return hx_members_has(hx_row_slots(&g->pgs[pg]), slot);
}

/* The group that can spare the fewest more of its members whose part is at most WORST, and how many they are. */
static unsigned weakest(const struct hx_session *s, enum part worst, uint32_t *ret_pg)
{
    const struct hx_geometry *g = hx_writer_geometry(s->writer);
    unsigned fewest = 0;
    int least = HX_COPIES + 1;
    for (uint32_t pg = 0, live = hx_geometry_live(g); pg < live; pg++) {
        unsigned n = 0;
        for (unsigned slot = 0; slot < HX_COPIES; slot++)
            n += is_member(g, pg, slot) && part_of(s, pg, slot) <= worst;
        int spare = (int)n - (int)hx_row_write_quorum(&g->pgs[pg]);
        if (spare < least) {
            least = spare;
            fewest = n;
            *ret_pg = pg;
        }
    }
    return fewest;
}

unsigned hx_session_weakest(const struct hx_session *s, uint32_t *ret_pg)
{
    return weakest(s, BEHIND, ret_pg);
}

/* "; silent: a1 b2; disk full: c1" */
static void others(const struct hx_session *s, uint32_t pg, enum part worst, char *text, size_t cap)
{
    const struct hx_geometry *g = hx_writer_geometry(s->writer);
    size_t n = 0;
    text[0] = '\0';
    hx_assert(cap >= HX_COPIES * (HX_NAME_MAX + sizeof "; disk failed: "));
    for (enum part part = PARTS; --part > worst;) {
        bool first = true;
        for (unsigned slot = 0; slot < HX_COPIES; slot++) {
            if (!is_member(g, pg, slot) || part_of(s, pg, slot) != part)
                continue;
            const char *name = g->servers[g->pgs[pg].server[slot]].name;
            n += first ? (size_t)snprintf(text + n, cap - n, "; %s: %s", part_words[part], name)
                       : (size_t)snprintf(text + n, cap - n, " %s", name);
            first = false;
        }
    }
}

/* A commit waits for those that keep up: one that is behind takes new frames, but counts only once it has the old. */
void hx_session_describe_quorum(const struct hx_session *s, bool writing, char *text, size_t cap)
{
    uint32_t pg = 0;
    char names[HX_COPIES * (HX_NAME_MAX + sizeof "; disk failed: ")];
    enum part worst = writing ? KEEPS_UP : FULL;
    unsigned n = weakest(s, worst, &pg);
    const struct hx_pg_members *row = &hx_writer_geometry(s->writer)->pgs[pg];
    unsigned need = writing ? hx_row_write_quorum(row) : hx_row_read_quorum(row);
    unsigned all = hx_members_count(hx_row_slots(row));
    const char *verb = writing ? "keep up" : "answer";
    others(s, pg, worst, names, sizeof names);
    if (n < need)
        snprintf(text, cap, "%s quorum missing: %u of %u segment servers %s in PG %u (need %u)%s",
                 writing ? "write" : "read", n, all, verb, pg, need, names);
    else
        snprintf(text, cap, "the segment servers are slow: %u of %u %s in PG %u%s", n, all, verb, pg, names);
}

/* ---- room on the servers' disks ---- */
void hx_session_room_answer(struct hx_session *s, uint64_t call, int err, struct hx_bytes whole)
{
    struct hx_reply_head head;
    struct hx_bytes body;
    struct hx_hello h;
    struct hx_session_ask *a = hx_session_round_over(&s->hello, call, err);
    if (!a)
        return;
    a->answered = false; /* an answer that says nothing about the disk does not make it a full one */
    if (err || hx_reply_decode(whole.p, whole.len, &head, &body) || head.status)
        return;
    struct hx_dec d = hx_dec_init(body.p, body.len);
    if (hx_hello_decode(&h, &d))
        return;
    a->free_bytes = h.disk_free;
    a->total_bytes = h.disk_total;
    a->answered = true;
    if (s->heal && s->hello.asks->servers) /* a copy of the geometry's table, which only grows */
        hx_heal_disk(s->heal, (uint32_t)(a - s->hello.asks->ask), h.disk_total, h.disk_free);
}

/* What two different servers of the zone of server I can both take; one that did not answer is taken to be like the
 * best of its zone.  False: nobody in that zone answered. */
static bool zone_room(const struct hx_session_asks *r, uint32_t i, uint64_t *ret)
{
    uint64_t sum = 0, best = 0;
    uint32_t silent = 0, count = 0;
    for (uint32_t k = 0; k < r->count; k++) {
        const struct hx_session_ask *a = &r->ask[k];
        if (strcmp(a->server->zone, r->ask[i].server->zone) != 0)
            continue;
        count++;
        silent += !a->answered;
        sum += a->free_bytes;
        if (a->free_bytes > best)
            best = a->free_bytes;
    }
    if (silent == count)
        return false;
    sum += silent * best;
    *ret = sum / 2 < sum - best ? sum / 2 : sum - best;
    return true;
}

/* Each page lies on two servers of each of three zones: the zone with the least room decides.  Servers that share a
 * disk are counted as if each had its own: they cannot be told apart from here. */
static bool room_of(const struct hx_session_asks *r, uint64_t *ret)
{
    uint64_t least = UINT64_MAX, room;
    for (uint32_t i = 0; i < r->count; i++)
        if (zone_room(r, i, &room) && room < least)
            least = room;
    *ret = least;
    return least != UINT64_MAX;
}

static void ask_room(struct hx_session *s)
{
    const struct hx_geometry *g = hx_writer_geometry(s->writer);
    struct hx_server *copy = calloc(g->server_count, sizeof(*copy));
    if (!copy)
        return;
    memcpy(copy, g->servers, g->server_count * sizeof(*copy));
    if (hx_session_round_start(s, &s->hello, HX_MSG_HELLO, copy, g->server_count, true))
        free(copy);
    else
        s->room_ms = s->now_ms;
}

int hx_session_room(struct hx_session *s, uint64_t now_ms, uint64_t *ret_bytes)
{
    uint64_t room;
    hx_session_set_now(s, now_ms);
    if (!s->writer)
        return HX_E_AGAIN;
    if (s->hello.asks && room_of(s->hello.asks, &room)) {
        s->room_known = true;
        s->room_bytes = room;
    }
    if ((s->state == HX_SESSION_OPEN || s->state == HX_SESSION_CLOSING) &&
        (!s->hello.asks || s->now_ms - s->room_ms >= HX_SESSION_ROOM_AGE_MS))
        ask_room(s);
    if (!s->room_known)
        return HX_E_AGAIN;
    *ret_bytes = s->room_bytes;
    return 0;
}
