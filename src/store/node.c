/*
 * node.c - a segment server without sockets: its segments, requests in, flush, timers (contract: hexad/node.h).
 *
 * Order inside one batch: requests change segments in memory only; hx_node_flush makes each touched segment durable
 * (meta, then log), then settles what waited, then lets gossip go on where records have arrived.
 *   N1 No answer that depends on durability is queued before its flush returned 0 (out.c: settle).
 *   N2 Promise and effect are one durable step (seg.c).
 *   N3 Every request gets one item, in wait or in ready, and an item is answered once.
 * Messages: verbs.c.  Volumes and their writers: volume.c.  Peers: gossip.c.
 */
#include "node_private.h"

#include "hexad/mutant.h"

#include <stdlib.h>

#define WORK_SEGMENTS 8u   /* that get a piece of background work per tick */
#define WORK_AGAIN_MS 20u
#define TICK_MS 500u
#define SPACE_ENOUGH (16u << 20) /* free bytes at which a full disk counts as no longer full */

struct hx_seg *hx_node_find(const struct hx_node *n, const struct hx_uuid *volume, uint32_t pg)
{
    size_t lo = 0, hi = n->seg_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct hx_disk_place *at = &n->segs[mid]->at;
        int c = memcmp(at->volume.b, volume->b, sizeof volume->b);
        if (c == 0 && at->pg == pg)
            return n->segs[mid];
        if (c < 0 || (c == 0 && at->pg < pg))
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

size_t hx_node_range(const struct hx_node *n, const struct hx_uuid *volume, size_t *ret_from)
{
    size_t lo = 0, hi = n->seg_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(n->segs[mid]->at.volume.b, volume->b, sizeof volume->b) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *ret_from = lo;
    for (hi = n->seg_count; lo < hi;) { /* the first one that is of a later volume */
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(n->segs[mid]->at.volume.b, volume->b, sizeof volume->b) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int hx_node_add(struct hx_node *n, struct hx_seg *s)
{
    if (hx_buf_grow(&n->segs, &n->seg_cap, n->seg_count, sizeof *n->segs) || !hx_volume_get(n, &s->at.volume, true))
        return HX_E_NOMEM;
    size_t i = n->seg_count;
    for (; i > 0; i--) {
        const struct hx_disk_place *b = &n->segs[i - 1]->at;
        int c = memcmp(b->volume.b, s->at.volume.b, sizeof b->volume.b);
        if (c < 0 || (c == 0 && b->pg < s->at.pg))
            break;
        n->segs[i] = n->segs[i - 1];
    }
    n->segs[i] = s;
    n->seg_count++;
    hx_seg_touch(s);
    return 0;
}

void hx_node_dirty(struct hx_node *n, struct hx_seg *s)
{
    hx_seg_touch(s);
    if (s->queued)
        return;
    if (hx_buf_grow(&n->dirty, &n->dirty_cap, n->dirty_count, sizeof *n->dirty)) {
        /* Not flushed: so nothing of this round may be answered as durable. */
        s->round_error = HX_E_NOMEM;
        return;
    }
    s->queued = true;
    n->dirty[n->dirty_count++] = s;
}

static void free_segment(struct hx_node *n, struct hx_seg *s)
{
    struct hx_disk *d = s->disk;
    hx_seg_free(s);
    if (d)
        n->farm->ops->close(n->farm, d);
}

void hx_node_forget(struct hx_node *n, struct hx_seg *s)
{
    size_t i = 0;
    while (n->segs[i] != s)
        i++;
    memmove(n->segs + i, n->segs + i + 1, (--n->seg_count - i) * sizeof *n->segs);
    free_segment(n, s);
}

/* One segment of the farm; one that cannot be opened stays, with its error. */
static int open_place(struct hx_node *n, struct hx_disk_place at)
{
    struct hx_disk *d;
    struct hx_seg *s;
    int opened = n->farm->ops->open(n->farm, at, false, &d);
    if (opened == HX_E_NOENT)
        return 0;
    int err = hx_seg_new(&n->env, opened ? NULL : d, at, &s);
    if (err) {
        if (!opened)
            n->farm->ops->close(n->farm, d);
        return err;
    }
    if (opened)
        hx_seg_poison(s, opened);
    else
        opened = hx_seg_open(s);
    if (opened == HX_E_NOENT) { /* a FORMAT that never ended */
        free_segment(n, s);
        return 0;
    }
    n->stats.errors += opened != 0;
    err = hx_node_add(n, s);
    if (err)
        free_segment(n, s);
    return err;
}

/* What all segments found when they were opened is made durable (load.c R1, hexad/disk.h next): a flush each, all at
 * the same time, for they take longer than everything else. */
static void flush_opened(struct hx_node *n)
{
    for (size_t i = 0; i < n->seg_count;) {
        struct hx_disk_flush list[HX_DISK_FLUSH_MAX];
        struct hx_seg *of[HX_DISK_FLUSH_MAX];
        size_t count = 0;
        for (; i < n->seg_count && count < HX_DISK_FLUSH_MAX; i++) {
            struct hx_seg *s = n->segs[i];
            if (s->error)
                continue;
            list[count] = (struct hx_disk_flush){s->disk, s->late ? s->late : 1, 0};
            of[count++] = s;
        }
        if (count)
            n->farm->ops->flush_many(n->farm, list, count);
        for (size_t k = 0; k < count; k++) {
            of[k]->late = 0;
            n->stats.errors += list[k].err != 0;
            if (list[k].err)
                hx_seg_poison(of[k], HX_E_POISONED);
        }
    }
}

int hx_node_new(const struct hx_node_cfg *cfg, uint64_t now_ms, struct hx_node **ret)
{
    if (strlen(cfg->name) > HX_NAME_MAX || strlen(cfg->zone) > HX_NAME_MAX || hx_uuid_is_zero(&cfg->incarnation))
        return HX_E_INVAL;
    struct hx_node *n = calloc(1, sizeof *n);
    if (!n)
        return HX_E_NOMEM;
    memcpy(n->name, cfg->name, strlen(cfg->name));
    memcpy(n->zone, cfg->zone, strlen(cfg->zone));
    n->server = cfg->incarnation;
    n->farm = cfg->farm;
    n->gossip_ms = cfg->gossip_ms ? cfg->gossip_ms : 500;
    n->gossip_most = cfg->gossip_most ? cfg->gossip_most : 512;
    n->rng = cfg->seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    n->now_ms = now_ms;
    hx_pace_init(n, cfg);
    hx_hydrate_init(n, cfg);
    int err = hx_seg_env_init(&n->env, &n->server, n->name, cfg->log_file_bytes);
    struct hx_disk_place at;
    size_t cursor = 0;
    int more = 0;
    n->env.opening = n->farm->ops->flush_many != NULL;
    while (!err && (more = n->farm->ops->next(n->farm, &cursor, &at)) > 0)
        err = open_place(n, at);
    if (!err && more < 0)
        err = more;
    if (!err && n->env.opening)
        flush_opened(n);
    n->env.opening = false;
    if (err) {
        hx_node_free(n);
        return err;
    }
    *ret = n;
    return 0;
}

static void items_fini(struct hx_items *q)
{
    for (size_t i = q->at; i < q->count; i++)
        hx_out_item_fini(&q->p[i]);
    free(q->p);
}

void hx_node_free(struct hx_node *n)
{
    if (!n)
        return;
    for (size_t i = 0; i < n->seg_count; i++)
        free_segment(n, n->segs[i]);
    for (size_t i = 0; i < n->volume_count; i++) {
        free(n->volumes[i]->wishes);
        free(n->volumes[i]);
    }
    items_fini(&n->wait);
    items_fini(&n->ready);
    hx_out_item_fini(&n->taken);
    hx_seg_env_fini(&n->env);
    hx_buf_fini(&n->args);
    hx_buf_fini(&n->out);
    free(n->segs);
    free(n->volumes);
    free(n->dirty);
    free(n->acks);
    free(n->peers);
    free(n->calls);
    free(n);
}

/* Who may ask for what (msg.h's table); FETCH and READ look closer themselves. */
static unsigned roles_for(unsigned type)
{
    const unsigned all = HX_NODE_ROLE_SEGMENT | HX_NODE_ROLE_WRITER | HX_NODE_ROLE_ADMIN | HX_NODE_ROLE_READER;
    switch (type) {
    case HX_MSG_HELLO:
    case HX_MSG_LOOKUP:
    case HX_MSG_STATUS:
        return all;
    case HX_MSG_FORMAT:
    case HX_MSG_SCRUB:
    case HX_MSG_WISH:
        return HX_NODE_ROLE_WRITER | HX_NODE_ROLE_ADMIN;
    case HX_MSG_FETCH:
        return HX_NODE_ROLE_WRITER | HX_NODE_ROLE_SEGMENT;
    case HX_MSG_READ:
        return HX_NODE_ROLE_WRITER | HX_NODE_ROLE_READER | HX_NODE_ROLE_SEGMENT;
    case HX_MSG_GOSSIP:
    case HX_MSG_HISTORY:
    case HX_MSG_DIGEST:
        return HX_NODE_ROLE_SEGMENT;
    default:
        return HX_NODE_ROLE_WRITER;
    }
}

static int admit(struct hx_node *n, const struct hx_req *r)
{
    unsigned type = r->head.type;
    bool open = type == HX_MSG_HELLO || type == HX_MSG_LOOKUP || type == HX_MSG_STATUS;
    if (type == 0 || type >= HX_MSG_TYPE_END)
        return HX_E_VERSION;
    if (!(r->role & roles_for(type)))
        return HX_E_ROLE;
    if (open && hx_uuid_is_zero(&r->head.server))
        return 0;
    return hx_uuid_eq(&r->head.server, &n->server) || HX_MUTANT(INCARNATION_IGNORED) ? 0 : HX_E_STRANGER;
}

void hx_node_request(struct hx_node *n, uint64_t now_ms, uint64_t time_us, uint64_t token, uint64_t conn,
                     unsigned role, const char *name, struct hx_bytes body)
{
    struct hx_req r = {.now_ms = now_ms, .time_us = time_us, .token = token, .conn = conn, .role = role, .name = name};
    struct hx_bytes b = {NULL, 0};
    n->now_ms = now_ms;
    n->stats.requests++;
    int err = hx_msg_decode(body.p, body.len, &r.head, &b);
    if (err) {
        r.head = (struct hx_msg_head){0}; /* of damaged bytes nothing is repeated */
        err = err == HX_E_VERSION ? err : HX_E_BADMSG;
    } else {
        r.body = hx_dec_init(b.p, b.len);
        r.seg = hx_node_find(n, &r.head.volume, r.head.pg);
        err = admit(n, &r);
        if (!err)
            err = hx_verbs_handle(n, &r);
        if (r.seg) /* a refused one may have raised the promise */
            hx_seg_touch(r.seg);
    }
    if (err)
        hx_out_plain(n, &r, err);
}

void hx_node_closed(struct hx_node *n, uint64_t now_ms, uint64_t conn)
{
    n->now_ms = now_ms;
    hx_volume_closed(n, conn);
}

/* All are written, then all are flushed, at the same time where the farm can do that: so a disk that many segments
 * share has to work as hard for many as for a few. */
static void flush_some(struct hx_node *n, struct hx_seg **segs, size_t count)
{
    struct hx_disk_flush list[HX_DISK_FLUSH_MAX];
    struct hx_seg *of[HX_DISK_FLUSH_MAX];
    size_t waiting = 0;
    bool together = n->farm->ops->flush_many && count > 1;
    if (together)
        hx_seg_flush_metas(n->farm, segs, count);
    for (size_t i = 0; i < count; i++) {
        uint64_t file = together ? hx_seg_flush_begin(segs[i]) : 0;
        if (!together)
            hx_seg_flush(segs[i]);
        if (file) {
            list[waiting] = (struct hx_disk_flush){segs[i]->disk, file, 0};
            of[waiting++] = segs[i];
        }
    }
    if (waiting)
        n->farm->ops->flush_many(n->farm, list, waiting);
    for (size_t i = 0; i < waiting; i++)
        hx_seg_flush_end(of[i], list[HX_MUTANT(MANY_AS_ONE) ? 0 : i].err);
    for (size_t i = 0; i < count; i++)
        hx_seg_touch(segs[i]);
}

void hx_node_flush(struct hx_node *n)
{
    size_t count = n->dirty_count;
    for (size_t i = 0; i < count; i++)
        n->stats.flushes += n->dirty[i]->meta_dirty || n->dirty[i]->log.batch.len;
    for (size_t i = 0; i < count; i += HX_DISK_FLUSH_MAX)
        flush_some(n, n->dirty + i, count - i < HX_DISK_FLUSH_MAX ? count - i : HX_DISK_FLUSH_MAX);
    hx_out_settle(n);
    for (size_t i = 0; i < count; i++) {
        struct hx_seg *s = n->dirty[i];
        s->queued = false;
        hx_gossip_flushed(n, s);
        hx_hydrate_flushed(n, s);
        s->round_error = 0;
    }
    n->dirty_count = 0;
}

/* Says at an idle tail what is durable, so that damage to the last batch can be told from a torn end. */
static void mark_idle(struct hx_seg *s, uint64_t now_ms)
{
    struct hx_seg_work *w = &s->work;
    if (s->error || s->log.tail == HX_NONE || now_ms - w->idle_ms < WORK_AGAIN_MS)
        return;
    w->idle_ms = now_ms;
    const struct hx_logfile *f = s->log.files[s->log.tail];
    if (f->end == w->idle_end && f->end != w->marked_end && !hx_log_mark(s))
        w->marked_end = f->end;
    w->idle_end = f->end;
}

/* Space has come back, though nobody has tried to append since. */
static void notice_space(struct hx_node *n)
{
    uint64_t total, free_bytes;
    bool any = false;
    for (size_t i = 0; i < n->seg_count && !any; i++)
        any = n->segs[i]->nospace;
    if (!any || n->farm->ops->space(n->farm, &total, &free_bytes))
        return;
    for (size_t i = 0; i < n->seg_count; i++) {
        struct hx_seg *s = n->segs[i];
        uint64_t tight = 2 * hx_reserve_wanted(s), enough = tight < SPACE_ENOUGH ? tight : SPACE_ENOUGH;
        if (s->nospace && free_bytes >= (s->reserve.tight ? enough : SPACE_ENOUGH)) {
            s->nospace = false;
            hx_seg_touch(s);
        }
    }
}

/* ms until there is more to do for the segments whose turn it was. */
static uint64_t background(struct hx_node *n)
{
    uint64_t wait = TICK_MS;
    notice_space(n);
    for (size_t i = 0; i < n->seg_count && i < WORK_SEGMENTS; i++) {
        struct hx_seg *s = n->segs[n->work_at++ % n->seg_count];
        mark_idle(s, n->now_ms);
        uint64_t pause = hx_space_work(s, n->now_ms) ? hx_space_pause(s) : TICK_MS;
        wait = pause < wait ? pause : wait;
        if ((s->meta_dirty || s->log.batch.len) && !hx_space_waits(s, n->now_ms)) /* B6 of space.c */
            hx_node_dirty(n, s);
    }
    return wait;
}

/* What the segments whose turn it is have left for a commit that did not come. */
static void flush_late(struct hx_node *n)
{
    for (size_t i = 0; i < n->seg_count && i < WORK_SEGMENTS; i++) {
        struct hx_seg *s = n->segs[(n->work_at + i) % n->seg_count];
        if (s->log.batch.len && !hx_space_waits(s, n->now_ms))
            hx_node_dirty(n, s);
    }
}

uint64_t hx_node_tick(struct hx_node *n, uint64_t now_ms)
{
    n->now_ms = now_ms;
    flush_late(n);
    hx_node_flush(n);
    uint64_t wait = hx_gossip_tick(n);
    if (hx_revive_tick(n) && wait > WORK_AGAIN_MS)
        wait = WORK_AGAIN_MS;
    uint64_t pause = hx_hydrate_tick(n);
    wait = pause < wait ? pause : wait;
    pause = background(n);
    wait = pause < wait ? pause : wait;
    hx_node_flush(n);
    pause = hx_pace_tick(n);
    hx_node_flush(n);
    wait = pause < wait ? pause : wait;
    return wait < TICK_MS ? wait : TICK_MS;
}

void hx_node_stats(const struct hx_node *n, struct hx_node_stats *ret)
{
    *ret = n->stats;
    ret->segments = n->seg_count;
    ret->failures = n->env.failures;
    for (size_t i = 0; n->env.failures && i < n->seg_count; i++)
        ret->read_only += n->segs[i]->revive.read_only;
}
