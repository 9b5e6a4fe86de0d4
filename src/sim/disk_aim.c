/*
 * disk_aim.c - lies that hit what matters: chosen entries of a log, the same on several disks.
 *
 * A bit that flips anywhere mostly hits what nobody needs any more.  Here a place's newest log file is read as
 * doc/FORMAT.md 1.2 describes it, and one of its last entries goes bad: flipped, zeroed, no longer readable, or with
 * another whole entry in its place (a misdirected write: right checksum, wrong place).  Only entries are hit that a
 * later one proves to have been durable, or such that the disk itself tells of the damage: what no server could notice
 * is what lie_flush and lie_stale are for.
 *
 * Knows of the format only the heads of entries; what it does not understand it leaves alone.
 */
#include "disk_private.h"

#include "hexad/codec.h"

#include <string.h>

#define LOG_FIRST 16u
#define ENV 96u
#define ENV_MAGIC 0x31455848u /* "HXE1" */
#define SIDE_HEAD 112u
#define LOCAL 2u              /* kind of an entry of the server's own making */
#define NEWEST 128u           /* entries that are remembered, the last ones */
#define NEAR 8u               /* of these, those that are aimed at */

enum { E_KIND = 4, E_BODY = 8, E_DURABLE = 40, E_FIRST = 56, E_LAST = 64 };

struct entry {
    uint64_t off, len, first, last;
    uint8_t kind;
    bool proven;
};
struct tail { /* the newest log file of a place */
    struct hx_sim_file *f;
    struct entry e[NEWEST];
    size_t count;
    uint64_t end; /* of its last entry */
};

static struct hx_sim_place *place_of(struct hx_sim_disk *d, uint32_t pg)
{
    for (size_t i = 0; i < d->place_count; i++)
        if (d->places[i]->exists && d->places[i]->at.pg == pg)
            return d->places[i];
    return NULL;
}

static struct hx_sim_file *newest_log(struct hx_sim_place *p)
{
    for (size_t i = p->files.count; i-- > 0;)
        if (p->files.v[i].id >= LOG_FIRST && p->files.v[i].id >> 32 == 0)
            return &p->files.v[i];
    return NULL;
}

static void remember(struct tail *t, struct entry e, uint64_t durable)
{
    for (size_t i = 0; i < t->count; i++)
        t->e[i].proven = t->e[i].proven || t->e[i].off < durable;
    if (t->count == NEWEST)
        memmove(t->e, t->e + 1, --t->count * sizeof *t->e);
    t->e[t->count++] = e;
}

/* False: no log file, or nothing in it. */
static bool read_log(struct hx_sim_file *f, struct tail *t)
{
    t->count = 0;
    t->end = 0;
    t->f = f;
    size_t most = f ? (f->len < f->end ? f->len : f->end) : 0;
    for (uint64_t off = 0, n; off + ENV <= most; off += n) {
        const uint8_t *h = f->data + off;
        uint32_t body = hx_get_u32(h + E_BODY);
        n = ENV + (body + UINT64_C(7)) / 8 * 8;
        if (hx_get_u32(h) != ENV_MAGIC || off + n > most + 8)
            break;
        remember(t, (struct entry){off, n, hx_get_u64(h + E_FIRST), hx_get_u64(h + E_LAST), h[E_KIND], false},
                 hx_get_u64(h + E_DURABLE));
        t->end = off + n;
    }
    return t->count > 0;
}

bool hx_sim_disk_aim(struct hx_sim_disk *d, uint32_t pg, struct hx_rng *r, uint64_t *ret_lsn)
{
    struct tail t;
    uint64_t lsn[NEAR];
    size_t n = 0;
    struct hx_sim_place *p = place_of(d, pg);
    if (!p || !read_log(newest_log(p), &t))
        return false;
    for (size_t i = t.count; i-- > 0 && n < NEAR;)
        if (t.e[i].proven && t.e[i].first)
            lsn[n++] = t.e[i].last;
    if (n == 0)
        return false;
    *ret_lsn = lsn[hx_rng_below(r, n)];
    return true;
}

static bool unreadable(struct hx_sim_place *p, const struct hx_sim_file *f, uint64_t off)
{
    if (p->bad_count == HX_SIM_BAD_MAX)
        return false;
    p->bad[p->bad_count++] = (struct hx_sim_bad){f->id, (uint32_t)(off / HX_SIM_SECTOR)};
    return true;
}

/* Another entry of this file stands where E was: one of the same length if there is any, for then what follows still
 * fits. */
static bool replaced(struct tail *t, const struct entry *e, struct hx_rng *r)
{
    const struct entry *best = NULL;
    size_t from = hx_rng_below(r, t->count);
    for (size_t i = 0; i < t->count; i++) {
        const struct entry *x = &t->e[(from + i) % t->count];
        if (x == e || !x->first)
            continue;
        if (!best || (x->len == e->len && best->len != e->len))
            best = x;
    }
    if (!best)
        return false;
    size_t n = best->len < e->len ? (size_t)best->len : (size_t)e->len;
    memmove(t->f->data + e->off, t->f->data + best->off, n);
    return true;
}

static bool hurt(struct hx_sim_place *p, struct tail *t, const struct entry *e, enum hx_sim_hurt how, struct hx_rng *r)
{
    uint64_t at = e->off + hx_rng_below(r, e->len), most = t->f->end;
    at = at < most ? at : e->off;
    switch (how) {
    case HX_HURT_FLIP:
        t->f->data[at] ^= (uint8_t)(1u << hx_rng_below(r, 8));
        return true;
    case HX_HURT_ZERO:
        at -= at % HX_SIM_SECTOR;
        memset(t->f->data + at, 0, most - at < HX_SIM_SECTOR ? (size_t)(most - at) : HX_SIM_SECTOR);
        return true;
    case HX_HURT_REPLACE:
        return replaced(t, e, r);
    case HX_HURT_READ:
    case HX_HURT_END:
    case HX_HURT_SIDE:
    case HX_HURT_CLOSED:
    case HX_HURT_COPY:
        break;
    }
    return unreadable(p, t->f, at);
}

/* The log file that this sidecar is of: some of its last entries stand further in front, over others. */
static void hurt_closed(struct hx_sim_place *p, uint64_t id, struct hx_rng *r)
{
    size_t hint = 0;
    struct tail t;
    if (!read_log(hx_sim_files_find(&p->files, &hint, id), &t) || t.count < 2)
        return;
    size_t i = hx_rng_below(r, t.count - 1), j = hx_rng_range(r, i + 1, t.count - 1);
    uint64_t to = t.end < t.f->end ? t.end : t.f->end;
    if (t.e[j].off < to)
        memmove(t.f->data + t.e[i].off, t.f->data + t.e[j].off, (size_t)(to - t.e[j].off));
}

/* Some bits of the list of one sidecar; LOG: and its log file. */
static bool hurt_side(struct hx_sim_place *p, bool log, struct hx_rng *r)
{
    size_t from = hx_rng_below(r, p->files.count);
    for (size_t i = 0; i < p->files.count; i++) {
        struct hx_sim_file *f = &p->files.v[(from + i) % p->files.count];
        if (f->id >> 32 == 0 || f->end <= SIDE_HEAD)
            continue;
        for (uint64_t n = hx_rng_range(r, 1, 4); n > 0; n--)
            f->data[hx_rng_range(r, SIDE_HEAD, f->end - 1)] ^= (uint8_t)(1u << hx_rng_below(r, 8));
        if (log)
            hurt_closed(p, f->id & UINT32_MAX, r);
        return true;
    }
    return false;
}

/* A copy or image of the server's own making and the entry behind it lose their heads: nothing tells what they held. */
static bool hurt_copy(struct tail *t, struct hx_rng *r)
{
    size_t from = hx_rng_below(r, t->count);
    for (size_t n = 0; n < t->count; n++) {
        size_t i = (from + n) % t->count;
        if (t->e[i].kind != LOCAL || i + 1 == t->count || !t->e[i + 1].proven)
            continue;
        memset(t->f->data + t->e[i].off, 0, ENV);
        memset(t->f->data + t->e[i + 1].off, 0, ENV);
        return true;
    }
    return false;
}

bool hx_sim_disk_hurt(struct hx_sim_disk *d, uint32_t pg, uint64_t lsn, enum hx_sim_hurt how, struct hx_rng *r)
{
    struct hx_sim_place *p = place_of(d, pg);
    struct tail t;
    bool done = false;
    if (!p || !read_log(newest_log(p), &t))
        return false;
    if (how == HX_HURT_END)
        done = unreadable(p, t.f, t.end - 1);
    if (how == HX_HURT_SIDE || how == HX_HURT_CLOSED)
        done = hurt_side(p, how == HX_HURT_CLOSED, r);
    if (how == HX_HURT_COPY)
        done = hurt_copy(&t, r);
    for (size_t i = 0; i < t.count && how < HX_HURT_END; i++)
        if (t.e[i].proven && t.e[i].first && t.e[i].first <= lsn && lsn <= t.e[i].last)
            done |= hurt(p, &t, &t.e[i], how, r);
    d->stats.lies += done;
    return done;
}
