/*
 * reader.c - batches of pages, the choice of the member that is asked, hedges, rounds (hexad/reader.h).
 *
 * Does not judge answers (reader_answer.c), holds no pages (the cache), builds none (the segments).
 *
 *   R1 one member is asked, as of R = min(VDL, PGCL) fixed in the request; it refuses when it has not got
 *      everything up to there, so whoever answers first is right, and answers need not be compared (I6).
 *   R2 a page is delivered once; what arrives for it later is ignored.
 *   R3 the read floor is never above the VDL at which a request under way was sent (I10).
 *   R4 a member is asked once per round; between rounds there is a pause.  A read waits, it never guesses.
 *
 * That pages of one answer may be as of another R than those of the next does no harm: what is not in the cache has
 * no record above the VDL, so it is the same at every R from then on.
 * Memory: a batch at a time, kept for the next ones; lent to effects until their end.
 */
#include "reader_int.h"

#include "hexad/assert.h"
#include "hexad/err.h"
#include "hexad/mutant.h"

#include <stdlib.h>

#define FREE_KEEP 64u   /* batches kept for later */
#define OPEN_MAX 8u     /* PGs among which the wants of one call are sorted */

/* ---- batches ---- */

void hx_reader_move(struct hx_reader *r, struct hx_batch *b, enum hx_batch_state to)
{
    struct hx_reader_list *l = &r->list[b->state];
    *(b->prev ? &b->prev->next : &l->head) = b->next;
    *(b->next ? &b->next->prev : &l->tail) = b->prev;
    l = &r->list[to];
    b->state = (uint8_t)to;
    b->prev = l->tail;
    b->next = NULL;
    *(l->tail ? &l->tail->next : &l->head) = b;
    l->tail = b;
}

static bool grow_table(struct hx_reader *r)
{
    if (r->batch_count < r->batch_cap)
        return true;
    uint32_t cap = r->batch_cap ? 2 * r->batch_cap : 64;
    struct hx_batch **more = realloc(r->batch, cap * sizeof(struct hx_batch *));
    if (!more)
        return false;
    r->batch = more;
    r->batch_cap = cap;
    return true;
}

/* A free batch on list READY, or NULL: out of memory. */
static struct hx_batch *take_batch(struct hx_reader *r, uint32_t pg)
{
    struct hx_batch *b = r->list[HX_BATCH_FREE].head;
    if (!b) {
        b = grow_table(r) ? calloc(1, sizeof *b) : NULL;
        if (!b)
            return NULL;
        b->index = r->batch_count;
        r->batch[r->batch_count++] = b;
        r->list[HX_BATCH_FREE] = (struct hx_reader_list){b, b};
        r->free_count++;
    }
    r->free_count--;
    b->pg = pg;
    b->count = b->left = 0;
    b->late = false;
    b->asked = hx_reader_nobody(r, pg);
    b->silent = 0;
    b->rounds = b->requests = 0;
    b->m = hx_writer_geometry(r->w)->m;
    hx_reader_move(r, b, HX_BATCH_READY);
    return b;
}

static bool under_way(const struct hx_batch *b)
{
    return b->call[0].id || b->call[1].id;
}

/* The table stays dense: the last batch takes the place of the one that goes, if it is free, too. */
static void give_batch(struct hx_reader *r, struct hx_batch *b)
{
    hx_assert(!under_way(b));
    hx_reader_move(r, b, HX_BATCH_FREE);
    r->free_count++;
    while (r->free_count > FREE_KEEP && r->batch[r->batch_count - 1]->state == HX_BATCH_FREE) {
        struct hx_batch *last = r->batch[--r->batch_count];
        struct hx_reader_list *l = &r->list[HX_BATCH_FREE];
        *(last->prev ? &last->prev->next : &l->head) = last->next;
        *(last->next ? &last->next->prev : &l->tail) = last->prev;
        free(last);
        r->free_count--;
    }
}

static uint32_t server_index(const struct hx_reader *r, uint32_t pg, unsigned slot)
{
    return hx_writer_geometry(r->w)->pgs[pg].server[slot];
}

hx_members hx_reader_nobody(const struct hx_reader *r, uint32_t pg)
{
    return HX_MEMBERS_ALL & (hx_members)~hx_row_slots(&hx_writer_geometry(r->w)->pgs[pg]);
}

/* All that there are have been asked in vain (R4). */
static void round_over(struct hx_reader *r, struct hx_batch *b)
{
    uint64_t pause = HX_READER_PAUSE_MIN_MS << (b->rounds < 4 ? b->rounds : 4);
    hx_members nobody = hx_reader_nobody(r, b->pg);
    const struct hx_pg_members *row = &hx_writer_geometry(r->w)->pgs[b->pg];
    bool failed = false;
    b->rounds++;
    for (unsigned i = 0; i < b->count; i++) {
        struct hx_batch_page *p = &b->page[i];
        /* Where three are silent, writes wait, too, and a zone that is away may hold the sound copies (A3). */
        bool outlived = b->rounds >= HX_READER_CORRUPT_ROUNDS && hx_row_write(row, p->corrupt);
        hx_members could_not = p->corrupt | nobody | (outlived ? b->silent : 0);
        if (!p->done && p->corrupt && could_not == HX_MEMBERS_ALL) {
            p->err = HX_E_CORRUPT;
            failed = true;
        }
    }
    b->asked = nobody;
    b->silent = 0;
    b->resume_ms = r->now_ms + (pause > HX_READER_PAUSE_MAX_MS ? HX_READER_PAUSE_MAX_MS : pause);
    hx_reader_move(r, b, failed ? HX_BATCH_FAILED : HX_BATCH_PAUSED);
}

bool hx_reader_still_there(const struct hx_reader *r, const struct hx_batch *b, const struct hx_batch_call *c)
{
    return b->m == hx_writer_geometry(r->w)->m && server_index(r, b->pg, c->slot) == c->server;
}

/* Other members: who was asked, and what was said, is another's; all that are there now are asked. */
static void renew(struct hx_reader *r, struct hx_batch *b)
{
    uint32_t m = hx_writer_geometry(r->w)->m;
    if (b->m == m)
        return;
    b->m = m;
    b->asked = hx_reader_nobody(r, b->pg);
    b->silent = 0;
    for (unsigned i = 0; i < b->count; i++)
        b->page[i].corrupt = 0;
}

void hx_reader_settle(struct hx_reader *r, struct hx_batch *b)
{
    renew(r, b);
    if (b->left > 0) {
        b->late = false;
        if (b->asked == HX_MEMBERS_ALL && !under_way(b))
            round_over(r, b);
        else
            hx_reader_move(r, b, under_way(b) ? HX_BATCH_WAITING : HX_BATCH_READY);
    } else if (under_way(b)) {
        hx_reader_move(r, b, HX_BATCH_ENDING);
    } else {
        give_batch(r, b);
    }
}

void hx_reader_event(struct hx_reader *r, uint64_t now_ms)
{
    if (now_ms > r->now_ms)
        r->now_ms = now_ms;
    hx_reader_drop_taking(r);
}

static void lose(struct hx_reader *r, struct hx_cache_want want, int err)
{
    hx_assert(r->lost_count < HX_READER_FETCH_MAX); /* the contract of hx_reader_fetch */
    r->lost[r->lost_count++] = (struct hx_reader_done){want, NULL, err};
}

void hx_reader_fetch(struct hx_reader *r, uint64_t now_ms, const struct hx_cache_want *wants, size_t count)
{
    struct hx_batch *open[OPEN_MAX] = {NULL};
    unsigned turn = 0;
    hx_reader_event(r, now_ms);
    for (size_t i = 0; i < count; i++) {
        uint32_t pg = hx_geometry_pg_of(hx_writer_geometry(r->w), wants[i].page);
        unsigned k = 0;
        if (wants[i].page.v >= hx_writer_pages(r->w)) {
            lose(r, wants[i], HX_E_INVAL);
            continue;
        }
        while (k < OPEN_MAX && !(open[k] && open[k]->pg == pg && open[k]->count < HX_READER_RUN))
            k++;
        if (k == OPEN_MAX) {
            k = turn++ % OPEN_MAX;
            open[k] = take_batch(r, pg);
        }
        struct hx_batch *b = open[k];
        if (!b) {
            lose(r, wants[i], HX_E_NOMEM);
            continue;
        }
        b->page[b->count++] = (struct hx_batch_page){.want = wants[i]};
        b->left++;
    }
}

bool hx_reader_busy(const struct hx_reader *r, uint32_t pg)
{
    for (uint32_t i = 0; i < r->batch_count; i++)
        if (r->batch[i]->state != HX_BATCH_FREE && r->batch[i]->pg == pg)
            return true;
    return false;
}

/* ---- which member ---- */

static uint64_t draw(struct hx_reader *r)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return r->random;
}

/* The volume may have got servers since. */
static bool know_servers(struct hx_reader *r)
{
    uint32_t count = hx_writer_geometry(r->w)->server_count;
    if (count <= r->server_count)
        return true;
    struct hx_reader_server *more = realloc(r->server, count * sizeof *more);
    if (!more)
        return false;
    memset(more + r->server_count, 0, (count - r->server_count) * sizeof *more);
    r->server = more;
    r->server_count = count;
    return true;
}

/* 0: should be able to answer; 1: may be behind R; 2: does not answer. */
static unsigned fitness(const struct hx_reader *r, uint32_t pg, unsigned slot, struct hx_lsn at)
{
    struct hx_member_view v;
    hx_writer_member(r->w, pg, slot, r->now_ms, &v);
    if (v.state == HX_MEMBER_DOWN || v.state == HX_MEMBER_REFUSED)
        return 2;
    return v.scl.v >= at.v && hx_writer_seat_ready(r->w, pg, slot) ? 0 : 1;
}

/* A member that this round has not asked yet, the best one; -1 when all have been asked. */
static int choose(struct hx_reader *r, const struct hx_batch *b, struct hx_lsn at)
{
    bool explore = draw(r) % HX_READER_EXPLORE == 0;
    unsigned best_fit = UINT32_MAX, from = (unsigned)(draw(r) % HX_COPIES);
    uint64_t best_cost = 0;
    int best = -1;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        unsigned slot = (from + i) % HX_COPIES;
        if (hx_members_has(b->asked, slot))
            continue;
        const struct hx_reader_server *s = &r->server[server_index(r, b->pg, slot)];
        unsigned fit = fitness(r, b->pg, slot, at);
        uint64_t latency = s->latency_us ? s->latency_us : HX_READER_LATENCY_US;
        uint64_t cost = explore ? i : latency * (1 + s->under_way);
        if (best >= 0 && (fit > best_fit || (fit == best_fit && cost >= best_cost)))
            continue;
        best = (int)slot;
        best_fit = fit;
        best_cost = cost;
    }
    return b->late && best_fit > 0 ? -1 : best; /* a hedge at one that cannot answer helps nobody */
}

/* ---- requests ---- */

static void build(struct hx_reader *r, struct hx_batch *b, struct hx_batch_call *c, unsigned slot, struct hx_lsn at)
{
    const struct hx_geometry *g = hx_writer_geometry(r->w);
    unsigned which = (unsigned)(c - b->call);
    r->serial += 2;
    c->id = (uint64_t)HX_PART_READER << 56 | (uint64_t)(b->index & 0xffffff) << 32 | (r->serial | which);
    c->sent_ms = r->now_ms;
    c->vdl = hx_writer_vdl(r->w);
    c->slot = (uint8_t)slot;
    c->server = server_index(r, b->pg, slot);
    c->count = 0;
    struct hx_enc e = hx_enc_init(c->body, sizeof c->body);
    hx_enc_u64(&e, HX_MUTANT(READ_AT_MEMBER_SCL) ? hx_lsn_min(at, hx_writer_scl(r->w, b->pg, slot)).v : at.v);
    hx_enc_u32(&e, b->left);
    for (unsigned i = 0; i < b->count; i++) {
        if (b->page[i].done)
            continue;
        hx_enc_u32(&e, hx_geometry_page_in_pg(g, b->page[i].want.page));
        c->ask[c->count++] = (uint8_t)i;
    }
    hx_assert(e.err == 0 && c->count == b->left);
    struct hx_bytes body = {c->body, e.len};
    struct hx_msg_head h = {.type = HX_MSG_READ, .req_id = c->id, .volume = g->volume,
                            .server = hx_writer_server_of(r->w, b->pg, slot)->incarnation,
                            .owner = *hx_writer_owner(r->w), .epoch = hx_writer_epoch(r->w), .pg = b->pg,
                            .g = g->g, .m = hx_writer_m(r->w)};
    hx_msg_head_encode(&h, &body, 1, c->head);
    c->iov[0] = (struct iovec){c->head, HX_MSG_HEAD};
    c->iov[1] = (struct iovec){c->body, e.len};
}

/* 1 when a request came of it. */
static int next_of(struct hx_reader *r, struct hx_batch *b, struct hx_effect *ret)
{
    struct hx_lsn at = hx_lsn_min(hx_writer_vdl(r->w), hx_writer_pgcl(r->w, b->pg)); /* R1 */
    renew(r, b);
    int slot = choose(r, b, at);
    struct hx_batch_call *c = b->call[0].id ? &b->call[1] : &b->call[0];
    hx_assert(!c->id); /* with two under way it is WAITING */
    if (slot < 0) {
        hx_assert(under_way(b)); /* else the round was over (hx_reader_settle) */
        hx_reader_move(r, b, HX_BATCH_WAITING); /* nobody else to ask: it has to come from there */
        return 0;
    }
    build(r, b, c, (unsigned)slot, at);
    b->asked = hx_members_add(b->asked, (unsigned)slot);
    r->server[c->server].under_way++;
    r->stats.requests++;
    r->stats.hedges += b->late;
    r->stats.retries += b->requests > 0 && !b->late;
    b->requests++;
    hx_reader_move(r, b, HX_BATCH_WAITING);
    *ret = (struct hx_effect){.kind = HX_EFFECT_SEND, .call = c->id,
                              .server = hx_writer_server_of(r->w, b->pg, (unsigned)slot), .iov = c->iov,
                              .iovcnt = 2, .timeout_ms = HX_READER_TIMEOUT_MS};
    return 1;
}

int hx_reader_next(struct hx_reader *r, struct hx_effect *ret)
{
    if (hx_writer_state(r->w) || !know_servers(r))
        return 0;
    while (r->list[HX_BATCH_READY].head)
        if (next_of(r, r->list[HX_BATCH_READY].head, ret))
            return 1;
    hx_reader_floor(r);
    return 0;
}

void hx_reader_end_call(struct hx_reader *r, struct hx_batch *b, struct hx_batch_call *c)
{
    hx_assert(b->state == HX_BATCH_WAITING || b->state == HX_BATCH_READY || b->state == HX_BATCH_ENDING ||
              b->state == HX_BATCH_FAILED);
    r->server[c->server].under_way--;
    c->id = 0;
}

/* ---- floor, timers ---- */

static struct hx_lsn floor_of(const struct hx_reader_list *l, struct hx_lsn floor)
{
    for (const struct hx_batch *b = l->head; b; b = b->next)
        for (unsigned k = 0; k < 2; k++)
            if (b->call[k].id)
                floor = hx_lsn_min(floor, b->call[k].vdl);
    return floor;
}

void hx_reader_floor(struct hx_reader *r)
{
    struct hx_lsn floor = hx_writer_vdl(r->w);
    floor = floor_of(&r->list[HX_BATCH_READY], floor);
    floor = floor_of(&r->list[HX_BATCH_WAITING], floor);
    floor = floor_of(&r->list[HX_BATCH_FAILED], floor);
    hx_writer_set_floor(r->w, floor_of(&r->list[HX_BATCH_ENDING], floor)); /* R3 */
}

/* Everything fails: the volume is somebody else's. */
void hx_reader_fail_all(struct hx_reader *r)
{
    static const uint8_t from[] = {HX_BATCH_READY, HX_BATCH_WAITING, HX_BATCH_PAUSED};
    for (unsigned k = 0; k < HX_ARRAY_LEN(from); k++) {
        while (r->list[from[k]].head) {
            struct hx_batch *b = r->list[from[k]].head;
            for (unsigned i = 0; i < b->count; i++)
                b->page[i].err = HX_E_FENCED;
            hx_reader_move(r, b, HX_BATCH_FAILED);
        }
    }
}

static uint64_t hedge_ms(const struct hx_reader *r, const struct hx_batch *b)
{
    const struct hx_batch_call *c = &b->call[b->call[0].id ? 0 : 1];
    uint64_t wait = HX_READER_HEDGE_FACTOR * r->server[c->server].latency_us / 1000;
    return c->sent_ms + (wait < HX_READER_HEDGE_MIN_MS ? HX_READER_HEDGE_MIN_MS : wait);
}

static void sooner(const struct hx_reader *r, uint64_t at_ms, uint64_t *wait_ms)
{
    hx_assert(at_ms > r->now_ms); /* what is due has been done */
    if (at_ms - r->now_ms < *wait_ms)
        *wait_ms = at_ms - r->now_ms;
}

uint64_t hx_reader_tick(struct hx_reader *r, uint64_t now_ms)
{
    uint64_t wait_ms = HX_READER_PAUSE_MAX_MS;
    hx_reader_event(r, now_ms);
    if (hx_writer_state(r->w))
        hx_reader_fail_all(r);
    for (struct hx_batch *b = r->list[HX_BATCH_WAITING].head, *next; b; b = next) {
        next = b->next;
        if ((b->call[0].id && b->call[1].id) || b->asked == HX_MEMBERS_ALL)
            continue;
        if (hedge_ms(r, b) <= r->now_ms) {
            b->late = true;
            hx_reader_move(r, b, HX_BATCH_READY);
        } else {
            sooner(r, hedge_ms(r, b), &wait_ms);
        }
    }
    for (struct hx_batch *b = r->list[HX_BATCH_PAUSED].head, *next; b; b = next) {
        next = b->next;
        if (b->resume_ms <= r->now_ms) {
            b->late = false;
            hx_reader_move(r, b, HX_BATCH_READY);
        } else {
            sooner(r, b->resume_ms, &wait_ms);
        }
    }
    /* New batches of a PG whose members may lack the history wait until one has been told it. */
    for (struct hx_batch *b = r->list[HX_BATCH_READY].head, *next; b; b = next) {
        next = b->next;
        if (b->requests == 0 && hx_writer_wake_pg(r->w, b->pg)) {
            b->resume_ms = r->now_ms + HX_READER_WAKE_MS;
            hx_reader_move(r, b, HX_BATCH_PAUSED);
            sooner(r, b->resume_ms, &wait_ms);
        }
    }
    hx_reader_floor(r);
    return wait_ms;
}

/* ---- life ---- */

int hx_reader_new(struct hx_writer *w, uint64_t seed, struct hx_reader **ret)
{
    struct hx_reader *r = calloc(1, sizeof *r);
    if (!r)
        return HX_E_NOMEM;
    r->w = w;
    r->now_ms = hx_writer_now(w);
    r->random = seed * 2 + 1; /* never 0 */
    *ret = r;
    return 0;
}

void hx_reader_free(struct hx_reader *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->batch_count; i++)
        free(r->batch[i]);
    free(r->batch);
    free(r->server);
    free(r);
}

void hx_reader_stats(const struct hx_reader *r, struct hx_reader_stats *ret)
{
    *ret = r->stats;
}
