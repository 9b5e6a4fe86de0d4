/*
 * oracle_log.c - the log: every record that a writer sent, by epoch and LSN; which of them are official.
 *
 * A record is what the writer of its epoch first said (I2).  Official are those of the newest opened epoch,
 * and of each older one up to its cut.  A frame that was sent before is known by the checksums in its head:
 * only its first occurrence is taken apart.
 */
#include "oracle_int.h"
#include "hexad/quorum.h"

/* Frame heads and bodies (doc/PROTOCOL.md): offsets. */
enum {
    F_VOLUME = 8,
    F_PG = 24,
    F_COUNT = 28,
    F_EPOCH = 32,
    F_FIRST = 40,
    F_LAST = 48,
    F_PREV = 56,
    F_VDL = 64,
    F_FLOOR = 72,
    F_GC = 80,
    F_BODY = 100,
    F_BODY_CRC = 104,
    F_HEAD_CRC = 108
};

const struct oc_rec *oc_rec_find(const struct oc_epoch *e, uint64_t lsn)
{
    if (!e || lsn <= e->end || lsn - e->end > e->rec_count)
        return NULL;
    const struct oc_rec *r = &e->recs[lsn - e->end - 1];
    return r->flags & OC_PRESENT ? r : NULL;
}

uint64_t oc_log_last(const struct hx_oracle *o, uint32_t pg, uint64_t lsn)
{
    if (pg >= o->pg_count)
        return 0;
    const struct oc_pg *p = &o->pgs[pg];
    size_t hi = p->log_count, lo = 0;
    if (hi && p->log[hi - 1] <= lsn)
        return p->log[hi - 1];
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (p->log[mid] <= lsn)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? p->log[lo - 1] : 0;
}

uint64_t oc_log_next(const struct hx_oracle *o, uint32_t pg, uint64_t lsn)
{
    const struct oc_pg *p = pg < o->pg_count ? &o->pgs[pg] : NULL;
    size_t i = p ? p->log_count : 0;
    while (i > 0 && p->log[i - 1] > lsn)
        i--;
    return p && i < p->log_count ? p->log[i] : 0;
}

/* An official record: into its PG's log and its page. */
static void official(struct hx_oracle *o, const struct oc_rec *r, uint64_t lsn)
{
    struct oc_pg *p = oc_pg_get(o, r->pg);
    uint64_t *log = p ? oc_grow(o, p->log, &p->log_cap, p->log_count + 1, sizeof *log) : NULL;
    if (!log)
        return;
    p->log = log;
    size_t i = p->log_count++;
    for (; i > 0 && log[i - 1] > lsn; i--)
        log[i] = log[i - 1];
    log[i] = lsn;
    oc_page_add(o, r, lsn);
}

/* ---- comparing ---- */
static bool same_rec(const struct oc_rec *a, uint32_t pg, const struct hx_rec *b)
{
    return a->pg == pg && a->page == b->page && a->kind == b->kind && (a->flags & ~OC_PRESENT) == b->flags &&
           a->prev == b->prev.v && a->len == b->len &&
           (b->len == 0 || !memcmp(a->payload, b->payload, b->len));
}

static uint64_t mark_of(const uint8_t *frame)
{
    return (uint64_t)hx_get_u32(frame + F_HEAD_CRC) << 32 | hx_get_u32(frame + F_BODY_CRC);
}

/* Takes a frame's body apart.  False: it is no frame. */
static bool open_frame(struct hx_oracle *o, const uint8_t *p, size_t len, struct hx_frame_head *h,
                       struct hx_frame_walk *w)
{
    const uint8_t *raw;
    if (hx_frame_head_decode(p, len, h) || hx_frame_bytes(h) > len ||
        hx_frame_open(o->opener, h, p + HX_FRAME_HEAD, o->raw, &raw))
        return false;
    hx_frame_walk_init(w, h, raw);
    return true;
}

/* ---- APPEND ---- */
static struct oc_rec *rec_at(struct hx_oracle *o, struct oc_epoch *e, uint64_t lsn)
{
    size_t i = lsn - e->end - 1;
    struct oc_rec *p = oc_grow(o, e->recs, &e->rec_cap, i + 1, sizeof *p);
    if (!p)
        return NULL;
    e->recs = p;
    e->rec_count = i + 1 > e->rec_count ? i + 1 : e->rec_count;
    return &p[i];
}

/* May E's writer use this LSN?  What it has allocated is bounded by what is committed, for its VDL is. */
static bool may_allocate(struct hx_oracle *o, const struct oc_epoch *e, uint64_t lsn)
{
    uint64_t from = e->vdl > e->end ? e->vdl : e->end;
    if (lsn <= e->end)
        hx_sim_broken(o->s, "I3", "epoch %llu wrote LSN %llu, but its LSNs begin above %llu",
                      (oc_ull)e->epoch, (oc_ull)lsn, (oc_ull)e->end);
    else if (lsn > from + e->lal)
        hx_sim_broken(o->s, "I5", "epoch %llu allocated LSN %llu, beyond %llu + %llu", (oc_ull)e->epoch,
                      (oc_ull)lsn, (oc_ull)from, (oc_ull)e->lal);
    else if (lsn > e->ceiling)
        hx_sim_broken(
            o->s, "I3",
            "epoch %llu wrote LSN %llu, which the epoch after it may have allocated, too (above %llu)",
            (oc_ull)e->epoch, (oc_ull)lsn, (oc_ull)e->ceiling);
    else
        return true;
    return false;
}

static bool take_rec(struct hx_oracle *o, struct oc_epoch *e, uint32_t pg, const struct hx_rec *r)
{
    if (!may_allocate(o, e, r->lsn.v))
        return false;
    struct oc_rec *to = rec_at(o, e, r->lsn.v);
    if (!to)
        return false;
    if (to->flags & OC_PRESENT) {
        if (!same_rec(to, pg, r))
            hx_sim_broken(o->s, "I2",
                          "LSN %llu of epoch %llu was sent with two contents (PG %u page %u, PG %u page %u)",
                          (oc_ull)r->lsn.v, (oc_ull)e->epoch, to->pg, to->page, pg, r->page);
        return !hx_sim_over(o->s);
    }
    const uint8_t *payload = oc_keep(o, r->payload, r->len);
    *to = (struct oc_rec){.prev = r->prev.v,
                          .payload = payload,
                          .pg = pg,
                          .page = r->page,
                          .frame = (uint32_t)e->frame_count,
                          .len = r->len,
                          .kind = r->kind,
                          .flags = (uint8_t)(r->flags | OC_PRESENT)};
    if (payload && r->lsn.v <= e->cut)
        official(o, to, r->lsn.v);
    return payload != NULL;
}

/* The first time that a frame is seen: its records. */
static void take_frame(struct hx_oracle *o, struct oc_epoch *e, const uint8_t *p, size_t len)
{
    struct hx_frame_head h;
    struct hx_frame_walk w;
    struct hx_rec r;
    int more = 0;
    if (!open_frame(o, p, len, &h, &w)) {
        hx_sim_broken(o->s, "I11", "epoch %llu sent a frame that is none", (oc_ull)e->epoch);
        return;
    }
    struct oc_pg_acks *a = &e->pgs[h.pg];
    if (h.prev.v != a->last && h.first.v > a->last)
        hx_sim_broken(o->s, "I5",
                      "PG %u: LSN %llu of epoch %llu follows LSN %llu, but the record before it is %llu",
                      h.pg, (oc_ull)h.first.v, (oc_ull)e->epoch, (oc_ull)h.prev.v, (oc_ull)a->last);
    while ((more = hx_frame_walk_next(&w, &r)) > 0)
        if (!take_rec(o, e, h.pg, &r))
            return;
    if (more < 0)
        hx_sim_broken(o->s, "I11", "epoch %llu sent a frame with a malformed body", (oc_ull)e->epoch);
    a->last = h.last.v > a->last ? h.last.v : a->last;
    struct oc_frame *f = oc_grow(o, e->frames, &e->frame_cap, e->frame_count + 1, sizeof *f);
    if (!f)
        return;
    e->frames = f;
    f[e->frame_count++] = (struct oc_frame){h.first.v, h.last.v, mark_of(p)};
}

static bool known_frame(const struct oc_epoch *e, const uint8_t *p)
{
    const struct oc_rec *r = oc_rec_find(e, hx_get_u64(p + F_FIRST));
    return r && r->frame < e->frame_count && e->frames[r->frame].mark == mark_of(p) &&
           e->frames[r->frame].first == hx_get_u64(p + F_FIRST);
}

/* All six complete to here, says a frame. */
static void check_gc(struct hx_oracle *o, const struct oc_epoch *e, uint32_t pg, uint64_t gc)
{
    uint64_t need = oc_log_last(o, pg, gc);
    for (unsigned i = 0; i < HX_COPIES && need; i++) {
        const uint8_t *id = e->g.servers[e->g.pgs[pg].server[i]].incarnation.b;
        if (!hx_members_has(hx_row_slots(&e->g.pgs[pg]), i))
            continue;
        for (uint32_t k = 0; k < o->server_count; k++) {
            if (memcmp(o->servers[k].incarnation, id, 16))
                continue;
            const struct oc_seg *s = pg < o->servers[k].seg_count ? &o->servers[k].segs[pg] : NULL;
            if (!s || (!s->lied && s->had < need && oc_held(s) < need &&
                       !oc_attempt_heard_of(o, e->epoch, pg, k, need)))
                hx_sim_broken(o->s, "I10",
                              "epoch %llu says that all members of PG %u have LSN %llu; server %u has %llu",
                              (oc_ull)e->epoch, pg, (oc_ull)need, k, s ? (oc_ull)oc_held(s) : 0);
        }
    }
}

static void check_told(struct hx_oracle *o, struct oc_epoch *e, uint64_t vdl, uint64_t floor)
{
    if (vdl > e->vdl)
        hx_sim_broken(o->s, "I5", "epoch %llu announces VDL %llu, but four of every PG hold %llu",
                      (oc_ull)e->epoch, (oc_ull)vdl, (oc_ull)e->vdl);
    if (floor > vdl)
        hx_sim_broken(o->s, "I10", "epoch %llu announces read floor %llu above its VDL %llu",
                      (oc_ull)e->epoch, (oc_ull)floor, (oc_ull)vdl);
    e->told = vdl > e->told ? vdl : e->told;
    e->floor = floor > e->floor ? floor : e->floor;
    o->floor_told = floor > o->floor_told ? floor : o->floor_told;
}

static void append_frame(struct hx_oracle *o, struct oc_epoch *e, const uint8_t *p, size_t len)
{
    uint32_t pg = hx_get_u32(p + F_PG);
    if (hx_get_u64(p + F_EPOCH) != e->epoch) {
        hx_sim_broken(o->s, "I2", "a frame of epoch %llu goes out under epoch %llu",
                      (oc_ull)hx_get_u64(p + F_EPOCH), (oc_ull)e->epoch);
    } else if (pg >= e->g.pg_count) {
        hx_sim_broken(o->s, "I9", "a record goes to PG %u, which no published geometry has (%u)", pg,
                      e->g.pg_count);
    } else if (!known_frame(e, p)) {
        check_told(o, e, hx_get_u64(p + F_VDL), hx_get_u64(p + F_FLOOR));
        uint64_t gc = hx_get_u64(p + F_GC);
        o->gc_told = gc > o->gc_told ? gc : o->gc_told;
        if (gc)
            check_gc(o, e, pg, gc);
        take_frame(o, e, p, len);
    }
}

void oc_log_append(struct hx_oracle *o, uint32_t client, uint64_t epoch, const uint8_t *body, size_t len)
{
    struct oc_epoch *e = oc_epoch_find(o, epoch);
    if (!e) {
        hx_sim_broken(o->s, "I3", "client %u sends records of epoch %llu, which it has not opened", client,
                      (oc_ull)epoch);
        return;
    }
    if (e->client != client) {
        hx_sim_broken(o->s, "I2", "clients %u and %u both write epoch %llu", e->client, client,
                      (oc_ull)epoch);
        return;
    }
    if (len < 26)
        return;
    check_told(o, e, hx_get_u64(body), hx_get_u64(body + 8));
    size_t at = 26 + (size_t)hx_get_u16(body + 24);
    while (at + HX_FRAME_HEAD <= len && !hx_sim_over(o->s)) {
        size_t n = HX_FRAME_HEAD + (size_t)hx_get_u32(body + at + F_BODY);
        if (n > len - at)
            break;
        append_frame(o, e, body + at, n);
        at += n;
    }
}

/* ---- copies: what REPAIR and FETCH carry ---- */
static void copied_rec(struct hx_oracle *o, const char *what, uint32_t who, uint32_t pg,
                       const struct hx_rec *r)
{
    struct oc_epoch *e = oc_epoch_find(o, r->epoch.v);
    const struct oc_rec *have = oc_rec_find(e, r->lsn.v);
    if (!e)
        hx_sim_broken(o->s, "I3", "%s %u: a record of epoch %llu, which never opened", what, who,
                      (oc_ull)r->epoch.v);
    else if (!have)
        hx_sim_broken(o->s, "I2", "%s %u: LSN %llu of epoch %llu was never written", what, who,
                      (oc_ull)r->lsn.v, (oc_ull)r->epoch.v);
    else if (!same_rec(have, pg, r))
        hx_sim_broken(o->s, "I2", "%s %u: LSN %llu of epoch %llu is not what was written", what, who,
                      (oc_ull)r->lsn.v, (oc_ull)r->epoch.v);
}

static void copied_frame(struct hx_oracle *o, const char *what, uint32_t who, const uint8_t *p, size_t len,
                         const struct hx_history *h, uint64_t to)
{
    uint64_t epoch = hx_get_u64(p + F_EPOCH), first = hx_get_u64(p + F_FIRST), last = hx_get_u64(p + F_LAST);
    if (h && (!oc_valid(h, first, epoch) || !oc_valid(h, last, epoch) || last > to)) {
        hx_sim_broken(o->s, "I4",
                      "%s %u: records %llu to %llu of epoch %llu are void, or not yet to be given", what, who,
                      (oc_ull)first, (oc_ull)last, (oc_ull)epoch);
        return;
    }
    const struct oc_epoch *e = oc_epoch_find(o, epoch);
    if (e && known_frame(e, p) &&
        hx_crc32c(0, p + HX_FRAME_HEAD, len - HX_FRAME_HEAD) == hx_get_u32(p + F_BODY_CRC))
        return;
    struct hx_frame_head head;
    struct hx_frame_walk w;
    struct hx_rec r;
    if (!open_frame(o, p, len, &head, &w)) {
        hx_sim_broken(o->s, "I11", "%s %u: a frame that is damaged", what, who);
        return;
    }
    while (!hx_sim_over(o->s) && hx_frame_walk_next(&w, &r) > 0)
        copied_rec(o, what, who, head.pg, &r);
}

void oc_log_copies(struct hx_oracle *o, const char *what, uint32_t who, const uint8_t *p, size_t len,
                   const struct hx_history *h, uint64_t to)
{
    for (size_t at = 0; at + HX_FRAME_HEAD <= len && !hx_sim_over(o->s);) {
        size_t n = HX_FRAME_HEAD + (size_t)hx_get_u32(p + at + F_BODY);
        if (n > len - at)
            break;
        copied_frame(o, what, who, p + at, n, h, to);
        at += n;
    }
}

/* ---- an opening ---- */
void oc_log_cut(struct hx_oracle *o, const struct oc_epoch *e)
{
    for (uint64_t lsn = (e->cut > e->end ? e->cut : e->end) + 1; lsn <= e->end + e->rec_count; lsn++) {
        const struct oc_rec *r = oc_rec_find(e, lsn);
        if (!r)
            continue;
        struct oc_pg *p = oc_pg_get(o, r->pg);
        while (p && p->log_count && p->log[p->log_count - 1] > e->cut)
            p->log_count--;
        oc_page_cut(o, r->pg, r->page, e->cut);
    }
}
