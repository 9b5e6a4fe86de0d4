/*
 * oracle_util.c - small things of the oracle: memory, histories read as the protocol says, who is where.
 *
 * Without memory nothing can be judged: the harness is told, and the oracle goes blind.
 */
#include "oracle_int.h"
#include "server.h"
#include "hexad/quorum.h"

#include <stdlib.h>

static void no_memory(struct hx_oracle *o)
{
    hx_sim_harness(o->s, "the oracle has no memory left");
    o->blind = true;
}

void *oc_grow(struct hx_oracle *o, void *array, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return array;
    size_t n = *cap ? *cap : 8;
    while (n < need)
        n *= 2;
    uint8_t *p = realloc(array, n * size);
    if (!p) {
        no_memory(o);
        return NULL;
    }
    memset(p + *cap * size, 0, (n - *cap) * size);
    *cap = n;
    return p;
}

void *oc_zalloc(struct hx_oracle *o, size_t size)
{
    void *p = calloc(1, size);
    if (!p)
        no_memory(o);
    return p;
}

const uint8_t *oc_keep(struct hx_oracle *o, const uint8_t *p, size_t len)
{
    struct oc_chunk *c = o->arena;
    if (!c || c->cap - c->used < len) {
        size_t cap = len > (1u << 20) ? len : 1u << 20;
        c = malloc(sizeof *c + cap);
        if (!c) {
            no_memory(o);
            return NULL;
        }
        *c = (struct oc_chunk){o->arena, 0, cap};
        o->arena = c;
    }
    uint8_t *at = c->bytes + c->used;
    if (len)
        memcpy(at, p, len);
    c->used += len;
    return at;
}

/* ---- histories ---- */
uint64_t oc_top(const struct hx_history *h)
{
    return h->count ? h->e[h->count - 1].epoch.v : 0;
}

/* The entry whose LSNs begin last at or below LSN owns it, unless a later entry has cut it off.  Cuts rise,
 * so the next entry's tells for all. */
uint64_t oc_epoch_of(const struct hx_history *h, uint64_t lsn)
{
    size_t lo = 0, hi = h->count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (h->e[mid].end.v < lsn)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0 || (lo < h->count && lsn > h->e[lo].vdl.v))
        return 0;
    return h->e[lo - 1].epoch.v;
}

bool oc_valid(const struct hx_history *h, uint64_t lsn, uint64_t epoch)
{
    return epoch != 0 && oc_epoch_of(h, lsn) == epoch;
}

static bool same_entry(const struct hx_history_entry *a, const struct hx_history_entry *b)
{
    return a->epoch.v == b->epoch.v && a->vdl.v == b->vdl.v && a->end.v == b->end.v && a->lal == b->lal;
}

bool oc_continues(const struct hx_history *h, const struct hx_history *older)
{
    if (h->count < older->count)
        return false;
    for (size_t i = older->count; i-- > 0;) /* from the newest: where they differ, they differ there */
        if (!same_entry(&h->e[i], &older->e[i]))
            return false;
    return true;
}

uint64_t oc_cut_between(const struct hx_history *was, const struct hx_history *now)
{
    size_t i = 0;
    if (was->count && now->count >= was->count &&
        same_entry(&was->e[was->count - 1], &now->e[was->count - 1]))
        i = was->count; /* the usual case: histories that agree in an entry agree in all before it */
    while (i < was->count && i < now->count && same_entry(&was->e[i], &now->e[i]))
        i++;
    return i < now->count ? now->e[i].vdl.v : UINT64_MAX;
}

uint64_t oc_cut_after(const struct hx_history *h, uint64_t epoch)
{
    size_t i = h->count;
    while (i > 0 && h->e[i - 1].epoch.v > epoch)
        i--;
    return i < h->count ? h->e[i].vdl.v : UINT64_MAX;
}

uint64_t oc_hash(const uint8_t *p, size_t len)
{
    uint64_t h = len * UINT64_C(0x9e3779b97f4a7c15) + 1, x = 0;
    for (; len >= 8; p += 8, len -= 8) {
        memcpy(&x, p, 8);
        h = (h ^ x) * UINT64_C(0x9ddfea08eb382d69);
        h ^= h >> 32;
    }
    for (x = 0; len; len--)
        x = x << 8 | *p++;
    h = (h ^ x) * UINT64_C(0x9ddfea08eb382d69);
    return h ^ h >> 29;
}

/* ---- who is where ---- */
struct oc_epoch *oc_newest(const struct hx_oracle *o)
{
    return o->epoch_count ? o->epochs[o->epoch_count - 1] : NULL;
}

struct oc_epoch *oc_epoch_find(const struct hx_oracle *o, uint64_t epoch)
{
    struct oc_epoch *e = oc_newest(o);
    if (!e || e->epoch == epoch)
        return e;
    size_t lo = 0, hi = o->epoch_count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (o->epochs[mid]->epoch < epoch)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < o->epoch_count && o->epochs[lo]->epoch == epoch ? o->epochs[lo] : NULL;
}

struct oc_pg *oc_pg_get(struct hx_oracle *o, uint32_t pg)
{
    if (pg >= 1u << 20)
        return NULL;
    if (pg >= o->pg_count) {
        struct oc_pg *p = oc_grow(o, o->pgs, &o->pg_cap, pg + 1, sizeof *p);
        if (!p)
            return NULL;
        o->pgs = p;
        o->pg_count = pg + 1;
    }
    return &o->pgs[pg];
}

struct oc_server *oc_server_get(struct hx_oracle *o, uint32_t server)
{
    if (server >= OC_SERVERS)
        return NULL;
    if (server >= o->server_count) {
        struct oc_server *p = oc_grow(o, o->servers, &o->server_cap, server + 1, sizeof *p);
        if (!p)
            return NULL;
        o->servers = p;
        o->server_count = server + 1;
    }
    return &o->servers[server];
}

struct oc_seg *oc_seg_get(struct hx_oracle *o, uint32_t server, uint32_t pg)
{
    struct oc_server *v = oc_server_get(o, server);
    if (!v || pg >= 1u << 20)
        return NULL;
    if (pg >= v->seg_count) {
        struct oc_seg *p = oc_grow(o, v->segs, &v->seg_cap, pg + 1, sizeof *p);
        if (!p)
            return NULL;
        v->segs = p;
        v->seg_count = pg + 1;
    }
    return &v->segs[pg];
}

int oc_slot(const struct hx_geometry *g, uint32_t pg, const uint8_t incarnation[16])
{
    if (pg >= g->pg_count)
        return -1;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (hx_members_has(hx_row_slots(&g->pgs[pg]), i) &&
            !memcmp(g->servers[g->pgs[pg].server[i]].incarnation.b, incarnation, 16))
            return (int)i;
    return -1;
}

uint32_t oc_whose(const struct hx_oracle *o, const uint8_t incarnation[16])
{
    for (uint32_t k = 0; k < o->server_count; k++) {
        const struct oc_server *v = &o->servers[k];
        if (!memcmp(v->incarnation, incarnation, 16))
            return k;
        for (unsigned i = 0; i < v->was_count; i++)
            if (!memcmp(v->was[i], incarnation, 16))
                return k;
    }
    return OC_NONE;
}

uint64_t oc_row(const struct hx_oracle *o, const struct hx_geometry *g, uint32_t pg)
{
    uint64_t set = 0;
    for (unsigned i = 0; pg < g->pg_count && i < HX_COPIES; i++) {
        uint32_t k = oc_whose(o, g->servers[g->pgs[pg].server[i]].incarnation.b);
        set |= k == OC_NONE || !hx_members_has(hx_row_slots(&g->pgs[pg]), i) ? 0 : UINT64_C(1) << k;
    }
    return set;
}

unsigned oc_write_quorum(const struct hx_geometry *g, uint32_t pg)
{
    return pg < g->pg_count ? hx_row_write_quorum(&g->pgs[pg]) : HX_WRITE_QUORUM;
}

struct oc_least oc_least(const struct hx_oracle *o, uint32_t pg)
{
    struct oc_least n = {HX_WRITE_QUORUM, HX_READ_QUORUM, HX_COPIES};
    for (size_t i = 0; i < o->growth_count; i++) {
        const struct hx_geometry *g = &o->growths[i]->g;
        if (pg >= g->pg_count || hx_row_slots(&g->pgs[pg]) == HX_MEMBERS_ALL)
            continue;
        unsigned w = hx_row_write_quorum(&g->pgs[pg]), r = hx_row_read_quorum(&g->pgs[pg]);
        unsigned m = hx_members_count(hx_row_slots(&g->pgs[pg]));
        n = (struct oc_least){w < n.write ? w : n.write, r < n.read ? r : n.read, m < n.members ? m : n.members};
    }
    return n;
}

bool oc_gone(const struct hx_oracle *o, uint32_t server)
{
    return o->s->servers && o->s->servers[server].gone;
}

unsigned oc_liars(const struct hx_oracle *o, uint32_t pg)
{
    unsigned n = 0;
    for (uint32_t k = 0; k < o->server_count; k++)
        n += pg < o->servers[k].seg_count && o->servers[k].segs[pg].lied && !oc_gone(o, k);
    return n;
}

bool oc_excuse(struct hx_oracle *o, uint32_t pg)
{
    if (oc_liars(o, pg) < 2)
        return false;
    o->excused++;
    return true;
}
