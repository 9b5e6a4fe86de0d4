/*
 * gossip.c - segments of a PG keep each other complete, without the writer: pull only.
 *
 * Each round a server tells one peer per volume, in turn, the (top, SCL) of every PG that both are members of, and
 * hears the same.  Whoever sees that it is behind pulls:
 *   same top, higher SCL     FETCH (own SCL, theirs], in steps of FETCH_BYTES, until there is no progress
 *   higher top               HISTORY; adopted iff above the own top and not below the promise; then records
 * Damage is mended the same way, when there is nothing to catch up: records above the hint by FETCH, below it the
 * page as the peer has it (READ at a point that cannot be annulled), stored as a local image.  Blind damage that no
 * record mends: all pages that it makes CORRUPT, some at a time; they are good from that point on, until the next
 * restart, which sees the damage again and asks again.
 *   E1 One call of its own per segment at a time; E2 a FETCH's records count after the flush that makes them durable,
 *      and only if the own top is still the one under which they were asked for.
 *   E3 Gossip obeys the history, not the promise: a fenced laggard is filled, too (I15).
 *   E4 Records that a FETCH found damaged below the hint, and that no peer has any more, are void or were moved by
 *      compaction: the chain does not need them, but pages may: what of them is still used is looked for (scrub.c).
 *   E5 The SCLs that peers tell say what all members have (gc), which lets files go (space.c) while nobody writes.
 *   E6 A round tells of every segment that has news (its top or SCL changed, it is behind or damaged, a question of
 *      its own failed, a peer is back), for NEWS_ROUNDS rounds, so that each peer hears it; and of gossip_most others
 *      in turn.  So an idle server with very many segments does little, and whatever went lost on the way comes up
 *      in its turn.
 * A peer that does not answer is left alone for a while that doubles, up to BACKOFF_MAX_MS.
 */
#include "node_private.h"

#include "hexad/mutant.h"
#include "hexad/quorum.h"

#include <stdlib.h>

#define FETCH_BYTES (1u << 20)
#define BACKOFF_MAX_MS 4000u
#define OLD_MS 60000u /* a program of before is asked in its words for so long */
#define FETCH_VAIN 3u /* answers without any of the records before blind damage is mended page by page */
#define CALLS_MAX 64u /* of all segments together */
#define NEWS_ROUNDS (4u * HX_COPIES) /* the members of a group come up in six */

static uint64_t dice(struct hx_node *n)
{
    n->rng ^= n->rng << 13; /* xorshift64 */
    n->rng ^= n->rng >> 7;
    n->rng ^= n->rng << 17;
    return n->rng;
}

static struct hx_peer *peer_of(struct hx_node *n, const struct hx_uuid *server)
{
    for (size_t i = 0; i < n->peer_count; i++)
        if (hx_uuid_eq(&n->peers[i].server, server))
            return &n->peers[i];
    if (hx_buf_grow(&n->peers, &n->peer_cap, n->peer_count, sizeof *n->peers))
        return NULL;
    n->peers[n->peer_count] = (struct hx_peer){.server = *server};
    return &n->peers[n->peer_count++];
}

bool hx_gossip_reachable(struct hx_node *n, const struct hx_server *m)
{
    const struct hx_peer *p = peer_of(n, &m->incarnation);
    return p && n->now_ms >= p->not_before_ms;
}

const struct hx_server *hx_gossip_member(const struct hx_node *n, const struct hx_seg *s, unsigned slot)
{
    const struct hx_geometry *g = &s->meta.geometry;
    const struct hx_pg_members *row = hx_geometry_row(g, s->at.pg);
    if (!row || !hx_members_has(hx_row_slots(row), slot))
        return NULL;
    const struct hx_server *m = &g->servers[row->server[slot]];
    return hx_uuid_eq(&m->incarnation, &n->server) ? NULL : m;
}

unsigned hx_gossip_own_slot(const struct hx_node *n, const struct hx_seg *s)
{
    const struct hx_geometry *g = &s->meta.geometry;
    const struct hx_pg_members *row = hx_geometry_row(g, s->at.pg);
    for (unsigned i = 0; row && i < HX_COPIES; i++)
        if (hx_members_has(hx_row_slots(row), i) && hx_uuid_eq(&g->servers[row->server[i]].incarnation, &n->server))
            return i;
    return HX_COPIES;
}

static const struct hx_server *member_by(const struct hx_node *n, const struct hx_seg *s, const char *name,
                                         const struct hx_uuid *server)
{
    for (unsigned i = 0; i < HX_COPIES; i++) {
        const struct hx_server *m = hx_gossip_member(n, s, i);
        if (m && ((name && !strcmp(m->name, name)) || (server && hx_uuid_eq(&m->incarnation, server))))
            return m;
    }
    return NULL;
}

/* A peer is back: it may lack anything, and has heard of nothing (E6). */
static void tell_all_again(struct hx_node *n, const struct hx_uuid *server)
{
    for (size_t k = 0; k < n->volume_count; k++) {
        const struct hx_volume *v = n->volumes[k];
        size_t i, end = hx_node_range(n, &v->id, &i);
        for (; i < end; i++)
            if (member_by(n, n->segs[i], NULL, server))
                n->segs[i]->gossip.news_until = v->rounds + NEWS_ROUNDS;
    }
}

static void peer_result(struct hx_node *n, const struct hx_uuid *server, bool good)
{
    struct hx_peer *p = peer_of(n, server);
    if (!p)
        return;
    if (good && p->fails)
        tell_all_again(n, server);
    p->fails = good ? 0 : p->fails < 16 ? p->fails + 1 : p->fails;
    uint64_t pause = (uint64_t)n->gossip_ms << p->fails;
    p->not_before_ms = good ? 0 : n->now_ms + (pause < BACKOFF_MAX_MS ? pause : BACKOFF_MAX_MS);
}

const struct hx_server *hx_gossip_asker(const struct hx_node *n, const struct hx_seg *s, const struct hx_req *r)
{
    const struct hx_server *m = member_by(n, s, r->name, NULL);
    return m && r->head.g == HX_PEER_NAMED && !hx_uuid_eq(&m->incarnation, &r->head.owner) ? NULL : m;
}

/* ---- sending ---- */
int hx_gossip_post(struct hx_node *n, const struct hx_server *m, struct hx_call call, uint32_t pg, struct hx_buf *body)
{
    struct hx_item i = {.kind = ITEM_SEND, .token = ++n->next_call};
    size_t name = strlen(m->name) + 1, url = strlen(m->url) + 1;
    struct hx_msg_head h = {.type = call.type, .req_id = i.token, .volume = call.volume, .server = m->incarnation,
                            .epoch = call.top, .pg = pg,
                            .owner = n->server, .g = call.type != HX_MSG_GOSSIP || call.named ? HX_PEER_NAMED : 0,
                            .m = call.learner || (call.seg && !hx_rules_named(call.seg)) ? HX_NODE_LEARNER : 0};
    struct hx_bytes piece = {body->p, body->len};
    int err = hx_buf_grow(&n->calls, &n->call_cap, n->call_count, sizeof *n->calls);
    uint8_t *p = err ? NULL : hx_buf_add(&i.body, HX_MSG_HEAD + body->len + name + url);
    if (p) {
        hx_msg_head_encode(&h, &piece, 1, p);
        if (body->len)
            memcpy(p + HX_MSG_HEAD, body->p, body->len);
        i.body_len = HX_MSG_HEAD + body->len;
        memcpy(p + i.body_len, m->name, name);
        memcpy(p + i.body_len + name, m->url, url);
    }
    hx_buf_fini(body);
    if (!p || !hx_out_push(&n->ready, &i)) {
        hx_out_item_fini(&i);
        return HX_E_NOMEM;
    }
    call.id = i.token;
    call.peer = m->incarnation;
    n->calls[n->call_count++] = call;
    if (call.seg && !call.fill) { /* E1 */
        call.seg->gossip.busy = true;
        call.seg->gossip.peer = m->incarnation;
    }
    return 0;
}

bool hx_gossip_may_call(const struct hx_node *n, const struct hx_seg *s)
{
    return !s->error && !s->gossip.busy && n->call_count < CALLS_MAX && n->now_ms >= s->gossip.not_before_ms;
}

struct hx_call hx_gossip_call(struct hx_seg *s, enum hx_msg_type type)
{
    return (struct hx_call){.type = (uint16_t)type, .volume = s->at.volume, .seg = s, .top = hx_seg_top(s)};
}

static void ask_records(struct hx_node *n, struct hx_seg *s, const struct hx_server *m, uint64_t after, uint64_t to)
{
    struct hx_buf b = {0};
    uint8_t *p = hx_buf_add(&b, 21);
    if (!p)
        return;
    struct hx_enc e = hx_enc_init(p, b.len);
    hx_enc_u64(&e, after);
    hx_enc_u64(&e, to);
    hx_enc_u32(&e, FETCH_BYTES);
    hx_enc_u8(&e, 0);
    s->gossip.after = after;
    hx_gossip_post(n, m, hx_gossip_call(s, HX_MSG_FETCH), s->at.pg, &b);
}

int hx_gossip_ask_pages(struct hx_node *n, struct hx_seg *s, const struct hx_server *m, const struct hx_call *c)
{
    struct hx_buf b = {0};
    uint8_t *p = hx_buf_add(&b, 12 + 4 * (size_t)c->page_count);
    if (!p)
        return HX_E_NOMEM;
    struct hx_enc e = hx_enc_init(p, b.len);
    hx_enc_u64(&e, c->point);
    hx_enc_u32(&e, c->page_count);
    for (uint32_t i = 0; i < c->page_count; i++)
        hx_enc_u32(&e, c->pages[i]);
    return hx_gossip_post(n, m, *c, s->at.pg, &b);
}

/*
 * Blind damage that ends at or below POINT, which M is complete to: the next pages that it makes CORRUPT, at the point
 * where the sweep began.  A peer that no longer has that (its floor has passed it), or itself knows the page only from
 * a later point on, has the sweep go on at POINT: what is sound from one point on is so from any later one.
 */
static void ask_blind(struct hx_node *n, struct hx_seg *s, const struct hx_server *m, const struct hx_unknown *u,
                      uint64_t point)
{
    struct hx_seg_sound *o = &s->sound;
    uint64_t pages = hx_geometry_pg_pages(&s->meta.geometry);
    if (!o->bits || o->to < u->to) {
        hx_seg_sound_forget(s);
        o->bits = calloc(1, (size_t)(pages + 7) / 8);
        o->at = point;
        o->to = point;
    }
    if (!o->bits || o->whole)
        return;
    o->at = o->aged && point > o->at ? point : o->at;
    o->aged = false;
    struct hx_call c = hx_gossip_call(s, HX_MSG_READ);
    c.point = o->at;
    uint32_t from = o->next;
    for (; o->next < pages && c.page_count < HX_MEND_PAGES; o->next++)
        if (hx_page_blind(s, o->next, o->at))
            c.pages[c.page_count++] = o->next;
    o->whole = from == 0 && c.page_count == 0;
    if (o->whole)
        hx_seg_touch(s);
    o->next = o->next < pages ? o->next : 0;
    if (c.page_count)
        hx_gossip_ask_pages(n, s, m, &c);
}

static uint64_t doubt(const struct hx_seg *s)
{
    uint64_t sum = s->unknown_count + s->sound.next;
    for (size_t i = 0; i < s->unknown_count; i++)
        sum += s->unknowns[i].to - s->unknowns[i].from;
    return sum;
}

/* Where a damaged record of a page is mended for every read point. */
static uint64_t mended_at(const struct hx_seg *s, const struct hx_unknown *u)
{
    return u->to > s->floor ? u->to : s->floor;
}

static bool asked_for(const struct hx_call *c, uint32_t page)
{
    for (uint32_t i = 0; i < c->page_count; i++)
        if (c->pages[i] == page)
            return true;
    return false;
}

/* The page of damage number AT, and in the same question those that are mended at the same point: a file that rots has
 * many. */
static void ask_damaged(struct hx_node *n, struct hx_seg *s, const struct hx_server *m, size_t at, uint64_t point)
{
    struct hx_call c = hx_gossip_call(s, HX_MSG_READ);
    uint64_t own = mended_at(s, &s->unknowns[at]);
    bool late = s->gossip.aged || own > point;
    c.point = late ? point : own;
    s->gossip.aged = false;
    for (size_t k = 0; k < s->unknown_count && c.page_count < HX_MEND_PAGES; k++) {
        const struct hx_unknown *u = &s->unknowns[(at + k) % s->unknown_count];
        bool fits = u->page != HX_NONE && u->to <= c.point && (late || mended_at(s, u) == own);
        if (fits && !asked_for(&c, u->page))
            c.pages[c.page_count++] = u->page;
    }
    hx_gossip_ask_pages(n, s, m, &c);
}

/* Damage, one piece after the other; the peer is known to be complete to THEIRS. */
static void mend(struct hx_node *n, struct hx_seg *s, const struct hx_server *m, uint64_t theirs)
{
    size_t at = s->gossip.turn++ % s->unknown_count;
    hx_seg_unknown_split(s, at);
    const struct hx_unknown *u = &s->unknowns[at];
    uint64_t point = s->chain.hint < s->chain.scl ? s->chain.hint : s->chain.scl;
    s->gossip.mending = true;
    bool given_up = u->to <= s->gc || s->gossip.vain >= FETCH_VAIN; /* E4 */
    if (u->page == HX_NONE && !u->blind && u->to <= point && given_up) {
        hx_scrub_narrow(s, u);
        return;
    }
    if (u->page != HX_NONE && u->to <= point && point <= theirs) {
        ask_damaged(n, s, m, at, point);
    } else if (u->blind && u->to <= point && point <= theirs && s->gossip.vain >= FETCH_VAIN) {
        ask_blind(n, s, m, u, point);
    } else if (u->from <= theirs && u->to != UINT64_MAX)
        ask_records(n, s, m, u->from - 1, u->to);
}

/*
 * E5: without it only the writer says what all six have, and in its frames: of the last ones it never does.  An SCL is
 * durable where it is told, and means the same under the same history.
 * E7: it counts while the members are the same, and from who knows them: a server that left and came back as a learner
 * has a life that begins with nothing, whatever it told in the one before (M9, M10 of doc/MEMBERSHIP.md).  Group 0,
 * told of other members by a version that nobody has said to be in use, lets no file go for the sake of what it hears.
 */
static void note_scl(struct hx_node *n, struct hx_seg *s, const struct hx_server *m, const struct hx_gossip_entry *e,
                     uint32_t told_m)
{
    struct hx_seg_gossip *g = &s->gossip;
    struct hx_epoch top = hx_seg_top(s);
    uint32_t own_m = s->meta.geometry.m;
    if (g->scl_top != top.v || g->scl_m != own_m) {
        g->scl_top = top.v;
        g->scl_m = own_m;
        memset(g->scl, 0, sizeof g->scl);
    }
    if (e->top.v != top.v || s->error || told_m < own_m || s->meta.flags & HX_META_TURNING)
        return;
    uint64_t all = s->chain.scl < s->floor ? s->chain.scl : s->floor;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        const struct hx_server *other = hx_gossip_member(n, s, i);
        if (!other)
            continue; /* ourselves, or nobody */
        if (other == m && e->scl.v > g->scl[i])
            g->scl[i] = e->scl.v;
        all = g->scl[i] < all ? g->scl[i] : all;
    }
    hx_apply_floor(s, 0, all);
}

/* What peer M has, against the own: pulls when it is more. */
static void compare(struct hx_node *n, struct hx_seg *s, const struct hx_server *m, const struct hx_gossip_entry *e,
                    uint32_t told_m)
{
    struct hx_epoch top = hx_seg_top(s);
    struct hx_buf none = {0};
    note_scl(n, s, m, e, told_m);
    if (!hx_gossip_may_call(n, s) || (s->filling && e->top.v <= top.v)) /* pages first (hydrate.c) */
        return;
    s->gossip.mending = false;
    s->gossip.doubt = doubt(s);
    if (e->top.v > top.v && e->top.v >= s->meta.promised.v) {
        hx_gossip_post(n, m, hx_gossip_call(s, HX_MSG_HISTORY), s->at.pg, &none);
    } else if (e->top.v == top.v && e->scl.v > s->chain.scl) {
        s->gossip.target = e->scl.v;
        ask_records(n, s, m, s->chain.scl, e->scl.v);
    } else if (e->top.v == top.v && s->unknown_count) {
        mend(n, s, m, e->scl.v);
    }
}

void hx_gossip_heard(struct hx_node *n, const struct hx_req *r, const struct hx_gossip_entry *e, uint32_t told_m)
{
    const struct hx_server *m = hx_gossip_asker(n, r->seg, r);
    if (m)
        compare(n, r->seg, m, e, told_m);
}

/* ---- rounds ---- */
/* E6 */
static bool has_news(const struct hx_volume *v, struct hx_seg *s)
{
    struct hx_seg_gossip *g = &s->gossip;
    if (g->told_top != hx_seg_top(s).v || g->told_scl != s->chain.scl) {
        g->told_top = hx_seg_top(s).v;
        g->told_scl = s->chain.scl;
        g->news_until = v->rounds + NEWS_ROUNDS;
    }
    return v->rounds < g->news_until || s->unknown_count || s->filling || g->target > s->chain.scl;
}

/* The PGs of the volume that M is a member of, too: those with news, and those whose turn, number TURN, it is. */
static int tell(struct hx_node *n, const struct hx_volume *v, const struct hx_server *m, uint32_t turn)
{
    size_t i, end = hx_node_range(n, &v->id, &i), all = end - i;
    size_t first = i, window = (size_t)turn * n->gossip_most % all;
    const struct hx_peer *peer = peer_of(n, &m->incarnation);
    struct hx_buf b = {0}, ms = {0};
    uint32_t count = 0;
    bool learner = false, named = !peer || n->now_ms >= peer->old_until_ms;
    if (!hx_buf_add(&b, 4))
        return HX_E_NOMEM;
    for (; i < end; i++) {
        struct hx_seg *s = n->segs[i];
        bool in_turn = (i - first + all - window) % all < n->gossip_most;
        if (s->error || (!has_news(v, s) && !in_turn) || !member_by(n, s, NULL, &m->incarnation))
            continue;
        learner = learner || !hx_rules_named(s);
        uint8_t *at_m = hx_buf_add(&ms, HX_GOSSIP_M), *p = at_m ? hx_buf_add(&b, HX_GOSSIP_ENTRY) : NULL;
        if (!p)
            break;
        hx_put_u32(at_m, s->meta.geometry.m);
        struct hx_enc e = hx_enc_init(p, HX_GOSSIP_ENTRY);
        struct hx_gossip_entry own = {s->at.pg, hx_seg_top(s), HX_LSN(s->chain.scl)};
        hx_gossip_entry_encode(&own, &e);
        count++;
    }
    hx_put_u32(b.p, count);
    size_t more = named ? (size_t)count * HX_GOSSIP_M : 0;
    uint8_t *tail = more ? hx_buf_add(&b, more) : NULL;
    if (tail)
        memcpy(tail, ms.p, more);
    hx_buf_fini(&ms);
    if (more && !tail) {
        hx_buf_fini(&b);
        return HX_E_NOMEM;
    }
    struct hx_call c = {.type = HX_MSG_GOSSIP, .volume = v->id, .learner = learner, .named = named};
    return hx_gossip_post(n, m, c, 0, &b);
}

static void round_of(struct hx_node *n, struct hx_volume *v)
{
    size_t from, end = hx_node_range(n, &v->id, &from);
    if (end == from || n->call_count >= CALLS_MAX)
        return;
    if (v->turn == 0)
        v->turn = 1 + (uint32_t)(dice(n) % HX_COPIES);
    /* All slots of one PG, then those of the next: with few servers that is everybody in six rounds. */
    for (unsigned tries = 0; tries < HX_COPIES; tries++) {
        uint32_t t = v->turn++;
        const struct hx_seg *s = n->segs[from + t / HX_COPIES % (end - from)];
        const struct hx_server *m = s->error ? NULL : hx_gossip_member(n, s, t % HX_COPIES);
        const struct hx_peer *p = m ? peer_of(n, &m->incarnation) : NULL;
        if (!p || n->now_ms < p->not_before_ms)
            continue;
        tell(n, v, m, t / HX_COPIES);
        v->rounds++;
        return;
    }
}

uint64_t hx_gossip_tick(struct hx_node *n)
{
    uint64_t wait = n->gossip_ms;
    for (size_t i = 0; i < n->volume_count; i++) {
        struct hx_volume *v = n->volumes[i];
        if (n->now_ms >= v->gossip_ms) {
            v->gossip_ms = n->now_ms + n->gossip_ms - n->gossip_ms / 8 + dice(n) % (n->gossip_ms / 4 + 1);
            round_of(n, v);
        }
        uint64_t left = v->gossip_ms - n->now_ms;
        wait = left < wait ? left : wait;
    }
    return wait;
}

/* ---- answers ---- */
static void on_gossip(struct hx_node *n, const struct hx_call *c, struct hx_dec *d)
{
    uint32_t count = hx_dec_u32(d);
    size_t left = d->len - d->off, list = (size_t)count * HX_GOSSIP_ENTRY;
    if (d->err || (left != list && left != list + (size_t)count * HX_GOSSIP_M))
        return;
    const uint8_t *ms = left > list ? d->p + d->off + list : NULL;
    for (uint32_t k = 0; k < count; k++) {
        struct hx_gossip_entry e;
        hx_gossip_entry_decode(&e, d);
        struct hx_seg *s = hx_node_find(n, &c->volume, e.pg);
        const struct hx_server *m = s ? member_by(n, s, NULL, &c->peer) : NULL;
        if (m)
            compare(n, s, m, &e, ms ? hx_get_u32(ms + (size_t)k * HX_GOSSIP_M) : 0);
    }
}

static void on_history(struct hx_node *n, const struct hx_call *c, struct hx_dec *d)
{
    struct hx_history h = {0};
    if (!hx_history_decode(&h, d) && !hx_dec_end(d) && !hx_rules_gossip_history(c->seg, &h)) {
        hx_node_dirty(n, c->seg);
        struct hx_volume *v = hx_volume_get(n, &c->volume, false);
        hx_assert(v);
        v->gossip_ms = n->now_ms; /* now for the records */
    }
    hx_history_fini(&h);
}

static void on_records(struct hx_node *n, const struct hx_call *c, struct hx_dec *d)
{
    struct hx_seg *s = c->seg;
    if (hx_seg_top(s).v != c->top.v)
        return; /* E2 */
    while (d->off < d->len) {
        struct hx_frame_head h;
        if (hx_frame_head_decode(d->p + d->off, d->len - d->off, &h))
            break;
        const uint8_t *frame = hx_dec_bytes(d, hx_frame_bytes(&h));
        if (!frame || hx_rules_gossip(s, frame, &h))
            break;
        n->stats.gossip_records += h.count;
    }
    s->gossip.arrived = true;
    hx_node_dirty(n, s);
}

uint32_t hx_gossip_put_page(struct hx_node *n, struct hx_seg *s, uint32_t page, uint64_t lsn, const uint8_t *data)
{
    struct hx_frame_builder *b = s->env->builder;
    size_t len = data ? HX_PAGE_SIZE : 0;
    while (len && !data[len - 1])
        len--;
    uint8_t kind = len ? HX_REC_IMAGE : HX_REC_ZERO;
    hx_frame_builder_reset(b, &s->at.volume, s->at.pg, hx_seg_top(s), HX_LSN(0));
    hx_frame_builder_add(b, HX_LSN(lsn), page, kind, 0, (struct hx_bytes){data, len}, (struct hx_bytes){NULL, 0});
    size_t bytes = hx_frame_builder_seal(b, HX_LSN(0), HX_LSN(0), HX_LSN(0), 0, s->env->scratch);
    if (!hx_log_put(s, HX_ENV_LOCAL, 0, s->env->scratch, bytes))
        hx_node_dirty(n, s);
    return hx_store_sum(kind, page, data, len);
}

static void on_pages(struct hx_node *n, const struct hx_call *c, struct hx_dec *d)
{
    struct hx_seg *s = c->seg;
    struct hx_read_page r[HX_MEND_PAGES];
    size_t raw = 0;
    for (uint32_t i = 0; i < c->page_count; i++) {
        hx_read_page_decode(&r[i], d);
        raw += !d->err && r[i].state == HX_READ_RAW;
    }
    if (s->error || d->err || d->len - d->off != raw * HX_PAGE_SIZE)
        return;
    if (c->point > s->chain.hint || hx_seg_top(s).v != c->top.v)
        return;
    struct hx_seg_sound *o = &s->sound;
    bool sweep = o->bits && o->at == c->point;
    o->want_count = 0;
    for (uint32_t i = 0; i < c->page_count; i++) {
        const uint8_t *data = r[i].state == HX_READ_RAW ? hx_dec_bytes(d, HX_PAGE_SIZE) : NULL;
        s->gossip.aged |= r[i].state == HX_READ_CORRUPT; /* it may know the page as of a later point */
        o->aged |= sweep && r[i].state == HX_READ_CORRUPT;
        if (r[i].state == HX_READ_CORRUPT || r[i].lsn.v > c->point ||
            (data && hx_crc32c(0, data, HX_PAGE_SIZE) != r[i].crc))
            continue;
        if (r[i].lsn.v == 0) { /* not written until then, and nothing else is here; what came later is not in doubt */
            if (sweep && !hx_index_has(&s->index, c->pages[i], c->point))
                hx_seg_set_sound(s, c->pages[i]);
            continue;
        }
        if (sweep) /* counts when the image is durable (apply.c) */
            o->want[o->want_count++] = (struct hx_sound_page){c->pages[i], r[i].lsn.v};
        hx_gossip_put_page(n, s, c->pages[i], r[i].lsn.v, data);
    }
    hx_node_dirty(n, s);
}

void hx_node_answer(struct hx_node *n, uint64_t now_ms, uint64_t call, int err, struct hx_bytes body)
{
    size_t i = 0;
    n->now_ms = now_ms;
    while (i < n->call_count && n->calls[i].id != call)
        i++;
    if (i == n->call_count)
        return; /* answered twice */
    struct hx_call c = n->calls[i];
    n->calls[i] = n->calls[--n->call_count];
    if (c.seg && !c.fill)
        c.seg->gossip.busy = false;
    struct hx_reply_head h = {0};
    struct hx_bytes b = {NULL, 0};
    if (!err)
        err = hx_reply_decode(body.p, body.len, &h, &b);
    bool peer = hx_uuid_eq(&h.server, &c.peer) || HX_MUTANT(INCARNATION_IGNORED);
    if (!err && (h.type != c.type || h.req_id != call || !peer))
        err = HX_E_BADMSG;
    peer_result(n, &c.peer, !err && h.status != HX_E_STRANGER);
    if (c.fill) {
        struct hx_dec f = hx_dec_init(b.p, err ? 0 : b.len);
        hx_hydrate_answer(n, &c, err ? err : h.status, &f);
        return;
    }
    if (err || h.status) {
        struct hx_peer *p = c.named && !err && h.status == HX_E_BADMSG ? peer_of(n, &c.peer) : NULL;
        if (p)
            p->old_until_ms = n->now_ms + OLD_MS;
        struct hx_volume *v = c.seg ? hx_volume_get(n, &c.volume, false) : NULL;
        if (v) {
            c.seg->gossip.not_before_ms = n->now_ms + n->gossip_ms;
            c.seg->gossip.news_until = v->rounds + NEWS_ROUNDS;
        }
        if (c.seg && c.type == HX_MSG_READ && !c.compare && !err && h.status == HX_E_TOO_OLD) {
            c.seg->sound.aged = true;
            c.seg->gossip.aged = true;
        }
        if (c.compare)
            hx_compare_answer(n, &c, err ? err : h.status, NULL);
        return;
    }
    struct hx_dec d = hx_dec_init(b.p, b.len);
    if (c.compare) {
        hx_compare_answer(n, &c, 0, &d);
        return;
    }
    if (c.type == HX_MSG_GOSSIP)
        on_gossip(n, &c, &d);
    else if (c.type == HX_MSG_HISTORY)
        on_history(n, &c, &d);
    else if (c.type == HX_MSG_FETCH)
        on_records(n, &c, &d);
    else if (c.type == HX_MSG_READ)
        on_pages(n, &c, &d);
}

/* The records of a FETCH are durable: on with the next piece, or a pause when they did not help. */
void hx_gossip_flushed(struct hx_node *n, struct hx_seg *s)
{
    struct hx_seg_gossip *g = &s->gossip;
    if (!g->arrived)
        return;
    g->arrived = false;
    bool moved = !g->mending && s->chain.scl > g->after;
    /* A hole that no peer can fill is asked about more and more rarely: each answer may be a mebibyte. */
    if (g->mending && g->vain < FETCH_VAIN)
        g->vain = doubt(s) != g->doubt ? 0 : g->vain + 1;
    g->stalls = moved || doubt(s) != g->doubt ? 0 : g->stalls < 8 ? g->stalls + 1 : g->stalls;
    const struct hx_server *m = member_by(n, s, NULL, &g->peer);
    if (moved && m && s->chain.scl < g->target && hx_gossip_may_call(n, s))
        ask_records(n, s, m, s->chain.scl, g->target);
    else if (!moved) {
        uint64_t pause = (uint64_t)n->gossip_ms << g->stalls;
        g->not_before_ms = n->now_ms + (s->nospace || pause > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : pause);
    }
}
