/*
 * verbs.c - one function per message type: decodes the body, asks the rules, queues the answer.
 *
 * A verb returns 0 when it has queued an item (or more work will), else the status to answer at once; on an error
 * nothing of the request has been stored, but where a verb covers several PGs (APPEND): there each PG has its own.
 * Role and server identity were checked before (node.c).
 */
#include "node_private.h"

#include "hexad/mutant.h"
#include "hexad/quorum.h"

#include <stdlib.h>

static int wait_for(struct hx_node *n, const struct hx_req *r, enum item_kind kind)
{
    struct hx_item i = hx_out_item(r, kind);
    if (!hx_out_push(&n->wait, &i))
        return HX_E_NOMEM;
    hx_node_dirty(n, r->seg);
    return 0;
}

static int verb_hello(struct hx_node *n, struct hx_req *r)
{
    struct hx_hello h = {0};
    struct hx_buf b = {0};
    int err = hx_dec_end(&r->body);
    if (err)
        return err;
    memcpy(h.name, n->name, sizeof h.name);
    memcpy(h.zone, n->zone, sizeof h.zone);
    err = n->farm->ops->space(n->farm, &h.disk_total, &h.disk_free);
    uint8_t *p = err ? NULL : hx_buf_add(&b, sizeof h + 8);
    if (!p)
        return err ? err : HX_E_NOMEM;
    struct hx_enc e = hx_enc_init(p, b.len);
    hx_hello_encode(&h, &e);
    hx_assert(!e.err);
    b.len = e.len;
    hx_out_body(n, r, &b);
    return 0;
}

static int verb_lookup(struct hx_node *n, struct hx_req *r)
{
    char name[HX_NAME_MAX + 1];
    hx_dec_str(&r->body, name, sizeof name);
    int err = hx_dec_end(&r->body);
    return err ? err : hx_volume_lookup(n, r, name);
}

/* A segment that is not there yet; it joins the others when the rules and the disk have taken it. */
static int make_segment(struct hx_node *n, struct hx_req *r, struct hx_geometry *g, struct hx_history *h, unsigned how)
{
    struct hx_seg *s;
    struct hx_disk_place at = {r->head.volume, r->head.pg};
    int err = hx_seg_new(&n->env, NULL, at, &s);
    if (err)
        return err;
    err = hx_rules_format(s, &r->head, g, h, how | HX_RULES_FRESH);
    if (!err)
        err = n->farm->ops->open(n->farm, at, true, &s->disk);
    bool opened = !err;
    if (opened && s->filling)
        err = hx_fill_clear(s);
    if (!err)
        err = hx_node_add(n, s);
    if (err && opened)
        n->farm->ops->close(n->farm, s->disk);
    if (err) {
        hx_seg_free(s);
        return err;
    }
    r->seg = s;
    return 0;
}

/* A learner over a tombstone. */
static int begin_anew(struct hx_req *r, struct hx_geometry *g, struct hx_history *h, unsigned how)
{
    int err = hx_rules_format(r->seg, &r->head, g, h, how);
    if (!err && hx_retire_empty(r->seg)) { /* nothing was written: what the disk has is a tombstone */
        hx_seg_poison(r->seg, HX_E_POISONED);
        err = HX_E_POISONED;
    }
    return err;
}

static int verb_format(struct hx_node *n, struct hx_req *r)
{
    struct hx_geometry g = {0};
    struct hx_history h = {0};
    int err = hx_geometry_decode_any(&g, &r->body);
    if (!err)
        err = hx_history_decode(&h, &r->body);
    unsigned how = !err && r->body.off < r->body.len && hx_dec_u8(&r->body) == 1 ? HX_RULES_LEARNER : 0;
    uint32_t rate = how && r->body.off < r->body.len ? hx_dec_u32(&r->body) : 0;
    if (!err)
        err = hx_dec_end(&r->body);
    if (!err)
        err = !r->seg ? make_segment(n, r, &g, &h, how) : r->seg->retired ? begin_anew(r, &g, &h, how) :
              hx_rules_format(r->seg, &r->head, &g, &h, how);
    hx_geometry_fini(&g);
    hx_history_fini(&h);
    if (!err && how && r->seg->filling)
        err = hx_fill_rate(r->seg, rate);
    return err ? err : wait_for(n, r, how ? ITEM_LIFE : ITEM_PLAIN);
}

static int verb_fence(struct hx_node *n, struct hx_req *r)
{
    int err = hx_dec_end(&r->body);
    if (!err)
        err = r->seg ? hx_rules_fence(r->seg, r->head.epoch, &r->head.owner) : HX_E_NO_SEGMENT;
    return err ? err : wait_for(n, r, ITEM_FENCE);
}

/* Is who asks, a segment server, a member of the segment's PG, or does it say that it learns (H3)? */
static bool may_pull(const struct hx_seg *s, const struct hx_req *r)
{
    if (r->head.m == HX_NODE_LEARNER)
        return true;
    bool named = r->head.g == HX_PEER_NAMED; /* else of an older program */
    const struct hx_geometry *g = &s->meta.geometry;
    const struct hx_pg_members *row = hx_geometry_row(g, s->at.pg);
    hx_assert(row); /* rules.c, meta.c; who asks has looked at s->error */
    for (unsigned i = 0; i < HX_COPIES; i++) {
        const struct hx_server *m = &g->servers[row->server[i]];
        bool same = !strcmp(m->name, r->name) && (!named || hx_uuid_eq(&m->incarnation, &r->head.owner));
        if (same && hx_members_has(hx_row_slots(row), i))
            return true;
    }
    return false;
}

/* H2: a learner is given pages only as of what can never be annulled. */
static int learner_point(const struct hx_seg *s, const struct hx_req *r, uint64_t point)
{
    return r->head.m == HX_NODE_LEARNER && point > s->chain.hint ? HX_E_LAGGING : 0;
}

static int verb_fetch(struct hx_node *n, struct hx_req *r)
{
    struct hx_item i = hx_out_item(r, ITEM_FETCH);
    i.fetch.after = hx_dec_u64(&r->body);
    i.fetch.to = hx_dec_u64(&r->body);
    i.fetch.bytes_max = hx_dec_u32(&r->body);
    i.fetch.raw = hx_dec_u8(&r->body) != 0;
    int err = hx_dec_end(&r->body);
    const struct hx_seg *s = r->seg;
    if (err || !s)
        return err ? err : HX_E_NO_SEGMENT;
    if (s->error)
        return s->error;
    if (!(r->role & (i.fetch.raw ? HX_NODE_ROLE_WRITER : HX_NODE_ROLE_SEGMENT)))
        return HX_E_ROLE;
    bool owner = r->head.epoch.v == s->meta.promised.v && hx_uuid_eq(&r->head.owner, &s->meta.owner);
    if (i.fetch.raw && !owner && !HX_MUTANT(FENCE_AFTER_INVENTORY) && !HX_MUTANT(FENCE_ONLY_PG0))
        return HX_E_FENCED;
    if (!i.fetch.raw && !may_pull(s, r))
        return HX_E_WRONG_MEMBER;
    err = hx_rules_fetch(s, r->head.epoch, i.fetch.raw);
    if (err)
        return err;
    /* A frame goes out whole, so the bound leaves room for the last one. */
    if (i.fetch.bytes_max > HX_MSG_BODY_MAX - HX_FRAME_MAX)
        i.fetch.bytes_max = HX_MSG_BODY_MAX - HX_FRAME_MAX;
    return hx_out_push(&n->ready, &i) ? 0 : HX_E_NOMEM;
}

/* The next frame of a body: its head, and *ret_frame; HX_E_BADMSG when the bytes are not one. */
static int next_frame(struct hx_dec *d, struct hx_frame_head *h, const uint8_t **ret_frame)
{
    int err = hx_frame_head_decode(d->p + d->off, d->len - d->off, h);
    if (err)
        return err == HX_E_VERSION ? err : HX_E_BADMSG;
    *ret_frame = hx_dec_bytes(d, hx_frame_bytes(h));
    return *ret_frame ? 0 : HX_E_BADMSG;
}

/* Whole frames to the end of the body, all of VOLUME?  So that a truncated request stores nothing. */
static int check_frames(struct hx_dec d, const struct hx_uuid *volume, uint32_t *ret_count)
{
    uint32_t count = 0;
    while (d.off < d.len) {
        struct hx_frame_head h;
        const uint8_t *frame;
        int err = next_frame(&d, &h, &frame);
        if (err || !hx_uuid_eq(&h.volume, volume))
            return err ? err : HX_E_BADMSG;
        count++;
    }
    *ret_count = count;
    return 0;
}

/* The next frame of a body that check_frames has been through. */
static const uint8_t *next_checked(struct hx_dec *d, struct hx_frame_head *h)
{
    const uint8_t *frame = NULL;
    int err = next_frame(d, h, &frame);
    hx_assert(!err);
    return frame;
}

static int verb_repair(struct hx_node *n, struct hx_req *r)
{
    struct hx_item i = hx_out_item(r, ITEM_REPAIR);
    uint32_t count;
    int err = hx_history_decode(&i.history, &r->body);
    if (!err)
        err = check_frames(r->body, &r->head.volume, &count);
    if (!err)
        err = r->seg ? hx_rules_zero(r->seg, r->head.epoch, &r->head.owner) : HX_E_NO_SEGMENT;
    while (!err && r->body.off < r->body.len) {
        struct hx_frame_head h;
        const uint8_t *frame = next_checked(&r->body, &h);
        err = hx_rules_repair(r->seg, &i.history, frame, &h);
    }
    if (r->seg)
        hx_node_dirty(n, r->seg); /* frames before a bad one are stored all the same */
    if (!err && !hx_out_push(&n->wait, &i))
        err = HX_E_NOMEM;
    if (err)
        hx_out_item_fini(&i);
    return err;
}

static int verb_adopt(struct hx_node *n, struct hx_req *r)
{
    struct hx_history h = {0};
    int err = hx_history_decode(&h, &r->body);
    if (!err)
        err = hx_dec_end(&r->body);
    if (!err)
        err = r->seg ? hx_rules_adopt(r->seg, r->head.epoch, &r->head.owner, &h) : HX_E_NO_SEGMENT;
    hx_history_fini(&h);
    return err ? err : wait_for(n, r, ITEM_ADOPT);
}

static int verb_geometry(struct hx_node *n, struct hx_req *r)
{
    struct hx_geometry g = {0};
    int err = hx_geometry_decode(&g, &r->body);
    if (!err)
        err = hx_dec_end(&r->body);
    if (!err)
        err = r->seg ? hx_rules_geometry(r->seg, r->head.epoch, &r->head.owner, &g) : HX_E_NO_SEGMENT;
    hx_geometry_fini(&g);
    return err ? err : wait_for(n, r, ITEM_PLAIN);
}

static int verb_members(struct hx_node *n, struct hx_req *r)
{
    struct hx_geometry g = {0};
    int err = hx_geometry_decode_any(&g, &r->body);
    if (!err)
        err = hx_dec_end(&r->body);
    if (!err)
        err = r->seg ? hx_rules_members(r->seg, r->head.epoch, &r->head.owner, &g) : HX_E_NO_SEGMENT;
    hx_geometry_fini(&g);
    return err ? err : wait_for(n, r, ITEM_LIFE);
}

static int verb_delete(struct hx_node *n, struct hx_req *r)
{
    struct hx_geometry g = {0};
    int err = hx_geometry_decode_any(&g, &r->body);
    uint64_t life = err ? 0 : hx_dec_u64(&r->body);
    if (!err)
        err = hx_dec_end(&r->body);
    if (!err)
        err = r->seg ? hx_rules_delete(r->seg, &r->head, &g, life) : HX_E_NO_SEGMENT;
    hx_geometry_fini(&g);
    return err ? err : wait_for(n, r, ITEM_DELETE);
}

/* ---- APPEND ---- */
static int stale_membership(const struct hx_req *r, const struct hx_seg *s)
{
    return r->head.m && r->head.m < s->meta.geometry.m ? HX_E_WRONG_MEMBER : 0;
}

/* The item's ack for PG, made when it is the first frame of that PG. */
static struct hx_node_ack *ack_for(struct hx_node *n, struct hx_item *i, const struct hx_uuid *volume, uint32_t pg)
{
    for (uint32_t k = i->count; k-- > 0;)
        if (n->acks[i->arg + k].pg == pg)
            return &n->acks[i->arg + k];
    if (hx_buf_grow(&n->acks, &n->ack_cap, n->ack_count, sizeof *n->acks))
        return NULL;
    struct hx_node_ack *a = &n->acks[n->ack_count++];
    i->count++;
    *a = (struct hx_node_ack){.seg = hx_node_find(n, volume, pg), .pg = pg};
    a->status = a->seg ? 0 : HX_E_NO_SEGMENT;
    return a;
}

/* Of an announcement alone: the segments that the disk has no room for.  One that fell behind is given no frames that
 * it could refuse, so that the writer would not hear of it otherwise. */
static int say_full(struct hx_node *n, struct hx_item *i, const struct hx_uuid *volume)
{
    size_t k, end = hx_node_range(n, volume, &k);
    for (; k < end; k++) {
        struct hx_seg *s = n->segs[k];
        if (s->error || !(s->nospace || s->reserve.tight))
            continue;
        if (hx_buf_grow(&n->acks, &n->ack_cap, n->ack_count, sizeof *n->acks))
            return HX_E_NOMEM;
        n->acks[n->ack_count++] = (struct hx_node_ack){.seg = s, .pg = s->at.pg, .status = HX_E_NOSPACE};
        i->count++;
    }
    return 0;
}

/* VDL and floor to the segments that got no frame; not with every commit when there are many. */
#define ANNOUNCE_ALL_MS 100u
static int announce(struct hx_node *n, const struct hx_req *r, const struct hx_append_head *a,
                    struct hx_seg **ret_fenced)
{
    struct hx_volume *v = hx_volume_get(n, &r->head.volume, false);
    if (!v)
        return a->frame_count ? 0 : HX_E_NO_VOLUME; /* each PG says NO_SEGMENT */
    if (a->frame_count && r->now_ms - v->announced_ms < ANNOUNCE_ALL_MS)
        return 0;
    v->announced_ms = r->now_ms;
    size_t i, end = hx_node_range(n, &r->head.volume, &i);
    int status = 0;
    for (; i < end; i++) {
        hx_rules_announce(n->segs[i], r->head.epoch, a->vdl, a->floor);
        if (r->head.epoch.v < n->segs[i]->meta.promised.v && !n->segs[i]->error) {
            status = HX_E_FENCED;
            *ret_fenced = n->segs[i];
        }
    }
    return a->frame_count ? 0 : status; /* with frames, each PG says it for itself */
}

static int append_frames(struct hx_node *n, struct hx_req *r, const struct hx_append_head *a,
                         struct hx_item *i, bool *heard)
{
    while (r->body.off < r->body.len) {
        struct hx_frame_head h;
        const uint8_t *frame = next_checked(&r->body, &h);
        struct hx_node_ack *k = ack_for(n, i, &r->head.volume, h.pg);
        if (!k)
            return HX_E_NOMEM;
        if (k->status)
            continue;
        k->status = stale_membership(r, k->seg);
        if (!k->status)
            k->status = hx_rules_append(k->seg, r->head.epoch, frame, &h);
        if (k->status)
            continue;
        *heard = true;
        hx_rules_announce(k->seg, r->head.epoch, a->vdl, a->floor);
        hx_node_dirty(n, k->seg);
        n->stats.append_bytes += hx_frame_bytes(&h);
    }
    return 0;
}

static int verb_append(struct hx_node *n, struct hx_req *r)
{
    struct hx_append_head a;
    uint32_t count = 0;
    hx_append_head_decode(&a, &r->body);
    int err = r->body.err ? r->body.err : check_frames(r->body, &r->head.volume, &count);
    if (!err && count != a.frame_count)
        err = HX_E_BADMSG;
    if (err)
        return err;
    struct hx_item i = hx_out_item(r, ITEM_ACKS);
    bool heard = false;
    i.arg = n->ack_count;
    i.seg = NULL;
    n->stats.appends++;
    err = announce(n, r, &a, &i.seg);
    if (!err && count == 0) {
        struct hx_volume *v = hx_volume_get(n, &r->head.volume, false);
        i.flags = v && hx_wish_waits(v, r->now_ms) ? HX_REPLY_WISHES : 0;
        err = say_full(n, &i, &r->head.volume);
    }
    if (!err && count)
        err = append_frames(n, r, &a, &i, &heard);
    if (err && err != HX_E_FENCED)
        return err;
    if (err)
        i.status = err;
    else if (heard || count == 0)
        hx_volume_heard(n, r, &a);
    return hx_out_push(&n->wait, &i) ? 0 : HX_E_NOMEM;
}

static int verb_read(struct hx_node *n, struct hx_req *r)
{
    struct hx_item i = hx_out_item(r, ITEM_READ);
    i.point = hx_dec_u64(&r->body);
    i.count = hx_dec_u32(&r->body);
    const struct hx_seg *s = r->seg;
    int err;
    if (r->body.err || i.count > HX_READ_PAGES_MAX || r->body.len - r->body.off != 4 * (size_t)i.count)
        return HX_E_BADMSG;
    if (!s)
        return HX_E_NO_SEGMENT;
    if (s->error)
        return s->error;
    if (r->role == HX_NODE_ROLE_SEGMENT && !may_pull(s, r)) /* a peer that mends a damaged page */
        return HX_E_WRONG_MEMBER;
    err = stale_membership(r, s);
    if (!err)
        err = learner_point(s, r, i.point);
    if (!err)
        err = hx_rules_read(s, r->head.epoch, i.point);
    if (err)
        return err;
    uint64_t pages = hx_geometry_pg_pages(&s->meta.geometry);
    const uint8_t *list = r->body.p + r->body.off;
    for (uint32_t k = 0; k < i.count; k++)
        if (hx_get_u32(list + 4 * (size_t)k) >= pages)
            return HX_E_INVAL;
    i.arg = n->args.len;
    uint8_t *p = hx_buf_add(&n->args, 4 * (size_t)i.count);
    if (!p || !hx_out_push(&n->ready, &i))
        return HX_E_NOMEM;
    memcpy(p, list, 4 * (size_t)i.count);
    return 0;
}

static int verb_gossip(struct hx_node *n, struct hx_req *r)
{
    uint32_t count = hx_dec_u32(&r->body), held = 0;
    struct hx_buf b = {0}, ms = {0};
    size_t more = r->head.g == HX_PEER_NAMED ? HX_GOSSIP_M : 0;
    if (r->body.err || r->body.len - r->body.off != (size_t)count * (HX_GOSSIP_ENTRY + more))
        return HX_E_BADMSG;
    const uint8_t *their_m = r->body.p + r->body.off + (size_t)count * HX_GOSSIP_ENTRY;
    uint8_t *p = hx_buf_add(&b, 4 + (size_t)count * (HX_GOSSIP_ENTRY + more));
    uint8_t *own_m = p && hx_buf_add(&ms, (size_t)count * HX_GOSSIP_M + 1) ? ms.p : NULL;
    if (!own_m) {
        hx_buf_fini(&b);
        return HX_E_NOMEM;
    }
    struct hx_enc e = hx_enc_init(p, b.len);
    hx_enc_u32(&e, 0);
    for (uint32_t k = 0; k < count; k++) {
        struct hx_gossip_entry theirs;
        hx_gossip_entry_decode(&theirs, &r->body);
        struct hx_seg *s = hx_node_find(n, &r->head.volume, theirs.pg);
        if (!s || s->error || !may_pull(s, r))
            continue;
        struct hx_gossip_entry own = {theirs.pg, hx_seg_top(s), HX_LSN(s->chain.scl)};
        hx_gossip_entry_encode(&own, &e);
        hx_put_u32(own_m + HX_GOSSIP_M * (size_t)held++, s->meta.geometry.m);
        r->seg = s;
        hx_gossip_heard(n, r, &theirs, more ? hx_get_u32(their_m + (size_t)k * HX_GOSSIP_M) : 0);
    }
    r->seg = NULL;
    hx_enc_bytes(&e, own_m, more * held);
    hx_buf_fini(&ms);
    hx_put_u32(p, held);
    b.len = e.len;
    hx_out_body(n, r, &b);
    return 0;
}

static int verb_history(struct hx_node *n, struct hx_req *r)
{
    struct hx_buf b = {0};
    int err = hx_dec_end(&r->body);
    if (err || !r->seg)
        return err ? err : HX_E_NO_SEGMENT;
    if (r->seg->error)
        return r->seg->error;
    if (!may_pull(r->seg, r))
        return HX_E_WRONG_MEMBER;
    const struct hx_history *h = &r->seg->meta.history;
    uint8_t *p = hx_history_encoded_len(h) > HX_MSG_BODY_MAX ? NULL : hx_buf_add(&b, hx_history_encoded_len(h));
    if (!p)
        return HX_E_NOMEM;
    struct hx_enc e = hx_enc_init(p, b.len);
    hx_history_encode(h, &e);
    hx_assert(!e.err);
    hx_out_body(n, r, &b);
    return 0;
}

static int verb_status(struct hx_node *n, struct hx_req *r)
{
    int err = hx_dec_end(&r->body);
    if (!err)
        hx_volume_status(n, r);
    return err;
}

static int verb_scrub(struct hx_node *n, struct hx_req *r)
{
    int err = hx_dec_end(&r->body);
    if (err)
        return err;
    hx_pace_ask(n, &r->head.volume);
    hx_volume_status(n, r);
    return 0;
}

static int verb_digest(struct hx_node *n, struct hx_req *r)
{
    struct hx_digest_ask q;
    hx_digest_ask_decode(&q, &r->body);
    int err = hx_dec_end(&r->body);
    const struct hx_seg *s = r->seg;
    if (err || !s)
        return err ? err : HX_E_NO_SEGMENT;
    if (s->error)
        return s->error;
    if (!may_pull(s, r))
        return HX_E_WRONG_MEMBER;
    if (q.first >= hx_geometry_pg_pages(&s->meta.geometry))
        return HX_E_INVAL;
    err = learner_point(s, r, q.point.v);
    if (!err)
        err = hx_rules_read(s, r->head.epoch, q.point.v);
    return err ? err : hx_digest_ask(n, r, &q);
}

int hx_verbs_handle(struct hx_node *n, struct hx_req *r)
{
    static int (*const verbs[HX_MSG_TYPE_END])(struct hx_node *, struct hx_req *) = {
        [HX_MSG_HELLO] = verb_hello, [HX_MSG_LOOKUP] = verb_lookup, [HX_MSG_FORMAT] = verb_format,
        [HX_MSG_FENCE] = verb_fence, [HX_MSG_FETCH] = verb_fetch, [HX_MSG_REPAIR] = verb_repair,
        [HX_MSG_ADOPT] = verb_adopt, [HX_MSG_GEOMETRY] = verb_geometry, [HX_MSG_APPEND] = verb_append,
        [HX_MSG_READ] = verb_read, [HX_MSG_GOSSIP] = verb_gossip, [HX_MSG_HISTORY] = verb_history,
        [HX_MSG_STATUS] = verb_status, [HX_MSG_SCRUB] = verb_scrub, [HX_MSG_DIGEST] = verb_digest,
        [HX_MSG_MEMBERS] = verb_members, [HX_MSG_DELETE] = verb_delete,
        [HX_MSG_WISH] = hx_wish_verb,
    };
    int err = verbs[r->head.type](n, r);
    return err == HX_E_EOF ? HX_E_BADMSG : err;
}
