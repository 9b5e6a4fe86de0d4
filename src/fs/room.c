/*
 * room.c - whether there is room for new data on the servers' disks (hexad/room.h).
 *
 * R1..R3 are in the header.  Only a group of which three members are short of room refuses; nearly always fewer than
 * three servers are, and then no group is looked at.  A crash leaves nothing: the next mount asks.
 * Memory: the list of servers, made anew when the geometry has more.
 */
#include "hexad/quorum.h"
#include "hexad/room.h"

#include "hexad/err.h"

#include <stdlib.h>
#include <string.h>

#define ASK_BYTES (UINT64_C(1) << 20) /* what has been written since is worth a question */
#define ASK_SHARE 16u                 /* and it may be this part of what is left */
#define ASK_MIN_MS 50u
#define ASK_SHORT_MS 500u             /* while new data is refused: is there room again? */
#define ASK_BUSY_MS 1000u             /* while something is written, or somebody looks */
#define ASK_IDLE_MS 10000u
#define SPARE_MEMBERS (HX_COPIES - HX_WRITE_QUORUM)

void hx_room_init(struct hx_room *r, uint64_t window_bytes)
{
    *r = (struct hx_room){.window = window_bytes};
}

void hx_room_fini(struct hx_room *r)
{
    free(r->server);
    *r = (struct hx_room){0};
}

uint64_t hx_room_reserve(uint64_t total)
{
    uint64_t n = total / 16, least = total / 4 < HX_ROOM_RESERVE_MIN ? total / 4 : HX_ROOM_RESERVE_MIN;
    if (n < least)
        n = least;
    return n < HX_ROOM_RESERVE_MAX ? n : HX_ROOM_RESERVE_MAX;
}

/* ---- events ---- */
int hx_room_servers(struct hx_room *r, const struct hx_geometry *g)
{
    if (g->server_count > r->count) {
        struct hx_room_server *more = realloc(r->server, g->server_count * sizeof *more);
        if (!more)
            return HX_E_NOMEM;
        memset(more + r->count, 0, (g->server_count - r->count) * sizeof *more);
        r->server = more;
    }
    r->count = g->server_count;
    bool same = r->epoch.v == g->epoch.v && r->g == g->g && r->m == g->m;
    r->epoch = g->epoch;
    r->g = g->g;
    r->m = g->m;
    r->least_spare = same ? r->least_spare : SPARE_MEMBERS;
    for (uint32_t pg = 0, live = same ? 0 : hx_geometry_live(g); pg < live; pg++) {
        const struct hx_pg_members *row = &g->pgs[pg];
        unsigned spare = hx_members_count(hx_row_slots(row)) - hx_row_write_quorum(row);
        r->least_spare = spare < r->least_spare ? spare : r->least_spare;
    }
    for (uint32_t i = 0; i < r->count; i++)
        if (!hx_uuid_eq(&r->server[i].incarnation, &g->servers[i].incarnation))
            r->server[i] = (struct hx_room_server){.incarnation = g->servers[i].incarnation};
    return 0;
}

void hx_room_written(struct hx_room *r, uint64_t bytes, bool all_durable)
{
    r->written = bytes;
    if (all_durable)
        r->settled = bytes;
    else if (bytes > r->settled + r->window)
        r->settled = bytes - r->window; /* more than the window is never in flight */
    if (all_durable)
        r->full = false; /* what was refused has been taken */
}

void hx_room_heard(struct hx_room *r, uint32_t i, uint64_t ticket, uint64_t total, uint64_t free_bytes)
{
    if (i >= r->count)
        return;
    struct hx_room_server *s = &r->server[i];
    if (s->known && ticket < s->settled)
        return; /* overtaken by a later answer */
    s->total = total;
    s->free_bytes = free_bytes;
    s->settled = ticket;
    s->known = true;
}

void hx_room_refused(struct hx_room *r, uint64_t now_ms, unsigned most)
{
    if (most <= SPARE_MEMBERS)
        return;
    r->full = true;
    r->full_ms = now_ms;
}

void hx_room_want(struct hx_room *r)
{
    r->wanted = true;
}

/* ---- decisions ---- */

/* What is left on the disk of a server that has answered, once what is under way has arrived. */
static uint64_t left_on(const struct hx_room *r, const struct hx_room_server *s)
{
    uint64_t bytes = r->written > s->settled ? r->written - s->settled : 0;
    return bytes < s->free_bytes ? s->free_bytes - bytes : 0;
}

/* R1, R3.  NEW_DATA: is there no more room than the reserve?  Else, as the server itself said: is half of that gone?
 * What is in flight is only guessed at, and a guess stops nothing that does not grow. */
static bool is_short(const struct hx_room *r, uint32_t i, bool new_data)
{
    const struct hx_room_server *s = &r->server[i];
    if (i >= r->count || !s->known)
        return false;
    uint64_t keep = hx_room_reserve(s->total);
    return new_data ? left_on(r, s) < keep : s->free_bytes < keep / 2;
}

/* R2 */
static bool refuses(const struct hx_room *r, const struct hx_geometry *g, bool new_data)
{
    unsigned low = 0;
    for (uint32_t i = 0; i < r->count && low <= r->least_spare; i++)
        low += is_short(r, i, new_data);
    if (low <= r->least_spare)
        return false;
    for (uint32_t pg = 0, live = hx_geometry_live(g); pg < live; pg++) {
        low = 0;
        const struct hx_pg_members *row = &g->pgs[pg];
        hx_members slots = hx_row_slots(row);
        for (unsigned k = 0; k < HX_COPIES; k++)
            low += hx_members_has(slots, k) && is_short(r, row->server[k], new_data);
        if (low + hx_row_write_quorum(row) > hx_members_count(slots))
            return true;
    }
    return false;
}

bool hx_room_full(const struct hx_room *r, uint64_t now_ms)
{
    return r->full && now_ms - r->full_ms < HX_ROOM_FULL_MS;
}

enum hx_room_level hx_room_level(const struct hx_room *r, uint64_t now_ms, const struct hx_geometry *g)
{
    if (hx_room_full(r, now_ms) || refuses(r, g, false))
        return HX_ROOM_NONE;
    return refuses(r, g, true) ? HX_ROOM_SCARCE : HX_ROOM_PLENTY;
}

/* Beyond the reserve; of a server that has not answered: UINT64_MAX. */
static uint64_t usable(const struct hx_room *r, uint32_t i)
{
    const struct hx_room_server *s = &r->server[i];
    if (i >= r->count || !s->known)
        return UINT64_MAX;
    uint64_t left = left_on(r, s), keep = hx_room_reserve(s->total);
    return left > keep ? left - keep : 0;
}

/* What the group can take: a write quorum of its members can. */
static uint64_t group_left(const struct hx_room *r, const struct hx_pg_members *m)
{
    uint64_t best[HX_COPIES];
    for (unsigned k = 0; k < HX_COPIES; k++) {
        uint64_t one = hx_members_has(hx_row_slots(m), k) ? usable(r, m->server[k]) : 0;
        unsigned at = k;
        for (; at > 0 && best[at - 1] < one; at--)
            best[at] = best[at - 1];
        best[at] = one;
    }
    return best[hx_row_write_quorum(m) - 1];
}

/* What two different servers of the zone of server I can both take; UINT64_MAX: nobody there has answered.  One that
 * has not is taken to be like the best of its zone. */
static uint64_t zone_left(const struct hx_room *r, const struct hx_geometry *g, uint32_t i)
{
    uint64_t sum = 0, best = 0;
    uint32_t silent = 0, heard = 0;
    for (uint32_t k = 0; k < r->count; k++) {
        if (strcmp(g->servers[k].zone, g->servers[i].zone) != 0)
            continue;
        uint64_t one = usable(r, k);
        silent += one == UINT64_MAX;
        heard += one != UINT64_MAX;
        sum += one == UINT64_MAX ? 0 : one;
        best = one != UINT64_MAX && one > best ? one : best;
    }
    if (!heard)
        return UINT64_MAX;
    sum += silent * best;
    return sum / 2 < sum - best ? sum / 2 : sum - best;
}

static bool zone_seen(const struct hx_geometry *g, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (strcmp(g->servers[k].zone, g->servers[i].zone) == 0)
            return true;
    return false;
}

/* Two bounds from below, of which the better one counts: all of it in the group that has least; or spread over all
 * servers, with all six copies. */
bool hx_room_left(const struct hx_room *r, uint64_t now_ms, const struct hx_geometry *g, uint64_t *ret)
{
    uint64_t zones = UINT64_MAX, groups = UINT64_MAX;
    for (uint32_t i = 0; i < r->count; i++)
        if (!zone_seen(g, i)) {
            uint64_t one = zone_left(r, g, i);
            zones = one < zones ? one : zones;
        }
    if (zones == UINT64_MAX)
        return false;
    for (uint32_t pg = 0, live = hx_geometry_live(g); pg < live; pg++) {
        uint64_t one = group_left(r, &g->pgs[pg]);
        groups = one < groups ? one : groups;
    }
    *ret = groups != UINT64_MAX && groups > zones ? groups : zones;
    if (hx_room_level(r, now_ms, g) != HX_ROOM_PLENTY)
        *ret = 0;
    return true;
}

/* What the server with least has beyond its reserve: the less that is, the sooner it is asked again. */
static uint64_t least_left(const struct hx_room *r)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < r->count; i++)
        if (r->server[i].known) {
            uint64_t one = usable(r, i);
            least = one < least ? one : least;
        }
    return least;
}

/* Is there a guess (R3) that an answer would replace by knowledge? */
static bool guesses(const struct hx_room *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->server[i].known && r->server[i].settled < r->settled)
            return true;
    return false;
}

uint64_t hx_room_wait(const struct hx_room *r, uint64_t now_ms, const struct hx_geometry *g)
{
    uint64_t bytes = r->written - r->asked_written, share = least_left(r) / ASK_SHARE;
    uint64_t ago = now_ms - r->asked_ms, after = ASK_IDLE_MS;
    bool is_low = hx_room_level(r, now_ms, g) != HX_ROOM_PLENTY;
    if (!r->asked)
        return 0;
    if (bytes >= (share > ASK_BYTES ? share : ASK_BYTES) || (is_low && guesses(r)))
        after = ASK_MIN_MS;
    else if (is_low)
        after = ASK_SHORT_MS;
    else if (bytes || r->wanted)
        after = ASK_BUSY_MS;
    return ago < after ? after - ago : 0;
}

bool hx_room_ask(struct hx_room *r, uint64_t now_ms, const struct hx_geometry *g, uint64_t *ret_ticket)
{
    if (hx_room_wait(r, now_ms, g) > 0)
        return false;
    r->asked = true;
    r->wanted = false;
    r->asked_ms = now_ms;
    r->asked_written = r->written;
    *ret_ticket = r->settled;
    return true;
}
