/*
 * status_groups.c - what `hexad status` says of whole zones and whole groups: which zone may be taken down now, and the
 * map of groups over servers, groups that look the same in one line.  Pure but for allocation.
 *
 *   Z1 A zone may be taken when every group keeps a write quorum without it: members of other zones that answer, take
 *      appends, and have everything but what is on its way just now (ZONE_LAG).  Who takes a zone that may not be
 *      taken loses nothing; but writes wait.
 *   Z2 Groups are alike when they have the same members in the same states.  The map shows the worst first.
 */
#include "status.h"

#include "hexad/quorum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZONE_LAG 1000u /* LSNs: under load nobody is quite level with the fastest at the moment he is asked */

/* ---- zones ---- */

static const struct seg_view *row(const struct status *s, uint32_t pg)
{
    return &s->segs[(size_t)pg * HX_COPIES];
}

static bool is_empty(const struct status *s, uint32_t pg)
{
    return s->sum.geometry.pgs[pg].kind == HX_ROW_RELEASED;
}

static void not_now(struct zone_view *z, const struct status *s, const struct seg_view *v)
{
    const char *name = s->servers[v->server].server.name;
    z->may_go = false;
    if (v->state <= SEG_BEHIND)
        snprintf(z->why, sizeof z->why, "%s has to catch up, %llu LSNs in group %u", name, (unsigned long long)v->lag,
                 v->pg);
    else
        snprintf(z->why, sizeof z->why, "%s is %s, and belongs to group %u", name, status_seg_word(v->state), v->pg);
}

/* Z1 for one group: who is missing to a write quorum without Z, or (Z NULL) without that server; or NULL. */
static const struct seg_view *lacks(const struct status *s, const struct zone_view *z, uint32_t server, uint32_t pg)
{
    const struct seg_view *v = row(s, pg), *bad = NULL;
    unsigned there = 0;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        if (v[i].out || (z ? !strcmp(s->servers[v[i].server].server.zone, z->name) : v[i].server == server))
            continue;
        if (v[i].state <= SEG_BEHIND && v[i].lag <= ZONE_LAG)
            there++;
        else
            bad = &v[i];
    }
    if (!bad) /* all the others are well: it is itself who is missing */
        for (unsigned i = 0; i < HX_COPIES && !bad; i++)
            bad = v[i].out ? NULL : &v[i];
    return there >= hx_row_write_quorum(&s->sum.geometry.pgs[pg]) ? NULL : bad;
}

static struct zone_view *zone_of(struct status *s, const char *name)
{
    uint32_t k = 0;
    while (k < s->zone_count && strcmp(s->zones[k].name, name))
        k++;
    if (k == s->zone_count) {
        struct zone_view *more = realloc(s->zones, (k + 1u) * sizeof *more);
        if (!more)
            return NULL;
        s->zones = more;
        more[k] = (struct zone_view){.may_go = true};
        snprintf(more[k].name, sizeof more[k].name, "%s", name);
        s->zone_count++;
    }
    return &s->zones[k];
}

int status_judge_zones(struct status *s)
{
    const struct hx_geometry *g = &s->sum.geometry;
    for (uint32_t i = 0; i < g->server_count; i++)
        if (s->servers[i].segments && !zone_of(s, s->servers[i].server.zone))
            return HX_E_NOMEM;
    for (uint32_t k = 0; k < s->zone_count; k++)
        for (uint32_t pg = 0; pg < g->pg_count && s->zones[k].may_go; pg++) {
            const struct seg_view *bad = is_empty(s, pg) ? NULL : lacks(s, &s->zones[k], 0, pg);
            if (bad)
                not_now(&s->zones[k], s, bad);
        }
    return 0;
}

/* Only groups that it is a member of can miss it. */
bool status_server_may_go(const struct status *s, uint32_t server, char why[160])
{
    struct zone_view z = {.may_go = true};
    for (uint32_t pg = 0; pg < s->sum.geometry.pg_count && z.may_go; pg++) {
        const struct seg_view *bad = NULL;
        for (unsigned i = 0; i < HX_COPIES && !is_empty(s, pg); i++)
            if (row(s, pg)[i].server == server && !row(s, pg)[i].out)
                bad = lacks(s, NULL, server, pg);
        if (bad)
            not_now(&z, s, bad);
    }
    memcpy(why, z.why, sizeof z.why);
    return z.may_go;
}

/* ---- the map (Z2) ---- */

static const struct status *sorting; /* for qsort, which hands nothing on */

static int by_look(const struct seg_view *a, const struct seg_view *b)
{
    for (unsigned i = 0; i < HX_COPIES; i++) {
        if (a[i].server != b[i].server)
            return a[i].server < b[i].server ? -1 : 1;
        if (a[i].out != b[i].out)
            return a[i].out < b[i].out ? -1 : 1;
        if (a[i].state != b[i].state)
            return a[i].state < b[i].state ? -1 : 1;
    }
    return 0;
}

static int compare_groups(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    int c = by_look(row(sorting, a), row(sorting, b));
    return c ? c : (a > b) - (a < b);
}

static int compare_alike(const void *pa, const void *pb)
{
    const struct alike *a = pa, *b = pb;
    if (a->good != b->good)
        return a->good < b->good ? -1 : 1;
    return (a->groups[0] > b->groups[0]) - (a->groups[0] < b->groups[0]);
}

static unsigned count_good(const struct seg_view *v)
{
    unsigned n = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        n += !v[i].out && v[i].state <= SEG_BEHIND;
    return n;
}

int status_map(const struct status *s, struct status_map *ret)
{
    uint32_t count = s->sum.geometry.pg_count, n = 0;
    *ret = (struct status_map){.order = malloc((count + 1u) * sizeof *ret->order),
                               .alike = malloc((count + 1u) * sizeof *ret->alike)};
    if (!ret->order || !ret->alike) {
        status_map_fini(ret);
        return HX_E_NOMEM;
    }
    for (uint32_t pg = 0; pg < count; pg++)
        if (!is_empty(s, pg))
            ret->order[n++] = pg;
    sorting = s;
    qsort(ret->order, n, sizeof *ret->order, compare_groups);
    for (uint32_t i = 0; i < n; i++) {
        const struct seg_view *v = row(s, ret->order[i]);
        if (!i || by_look(row(s, ret->order[i - 1]), v))
            ret->alike[ret->count++] = (struct alike){.groups = &ret->order[i], .good = count_good(v)};
        ret->alike[ret->count - 1].count++;
    }
    qsort(ret->alike, ret->count, sizeof *ret->alike, compare_alike);
    return 0;
}

void status_map_fini(struct status_map *m)
{
    free(m->order);
    free(m->alike);
    *m = (struct status_map){0};
}

/* "0-3,7,9-12", and "..." where it does not fit. */
void status_map_groups(const struct alike *a, char *buf, size_t cap)
{
    size_t n = 0;
    buf[0] = '\0';
    for (uint32_t i = 0, last; i < a->count; i = last + 1) {
        char one[32];
        for (last = i; last + 1 < a->count && a->groups[last + 1] == a->groups[last] + 1;)
            last++;
        int len = last > i ? snprintf(one, sizeof one, "%s%u-%u", n ? "," : "", a->groups[i], a->groups[last])
                           : snprintf(one, sizeof one, "%s%u", n ? "," : "", a->groups[i]);
        if (n + (size_t)len + 4 > cap) {
            snprintf(buf + n, cap - n, "...");
            return;
        }
        memcpy(buf + n, one, (size_t)len + 1);
        n += (size_t)len;
    }
}

/* "a1 a2 | b1 b2(DOWN) | - -" */
void status_map_members(const struct status *s, const struct alike *a, char *buf, size_t cap)
{
    const struct seg_view *v = row(s, a->groups[0]);
    size_t n = 0;
    buf[0] = '\0';
    for (unsigned i = 0; i < HX_COPIES && n < cap; i++) {
        bool good = v[i].out || v[i].state <= SEG_BEHIND;
        n += (size_t)snprintf(buf + n, cap - n, "%s%s%s%s%s", !i ? "" : i % 2 ? " " : " | ",
                              v[i].out ? "-" : s->servers[v[i].server].server.name, good ? "" : "(",
                              good ? "" : status_seg_word(v[i].state), good ? "" : ")");
    }
}
