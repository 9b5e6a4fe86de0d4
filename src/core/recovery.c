/*
 * recovery.c - opening a volume: attempts, states, events.
 *
 * Does no I/O; the steps' own logic is in the other files (recovery_int.h).  Vocabulary: an attempt is one
 * epoch number with one owner; a grant is a FENCE answer of a member of PG 0.
 *
 *                 4 grants          3 answers in each PG      decided          4 complete in each PG
 *   CLAIM ----------------> FENCE -----------------> DECIDE ---------> REPAIR ---------------------> GEOMETRY
 *     ^  claimed()            |   fence_check()        | decide()        | rec_to_geometry()            | meta_answer()
 *     |                       |                        |                 |                              v 4 stored it
 *     +--- FENCED, from any state: rec_start_over() ---+-----------------+------------------------- ADOPT --> OPEN
 *                                                                                                  4 stored H'
 * Invariants:
 *   R1 geometry and parent history are fixed with the 4th grant, the decision in DECIDE; both once per attempt.
 *   R2 nothing names H' before every PG has four complete members; OPEN only after four of PG 0 stored it.
 *   R3 a refusal (FENCED) ends the attempt, and so does a record that its holders do not give (recovery_repair.c P4);
 *      the next one has a higher epoch and another owner.  But a
 *      member that granted the same number to another claimant is only left out once we hold four grants.
 *   R4 an answer to a call of an earlier attempt changes nothing (ask.h A3).
 *   R5 of the members of a PG that had no segment no more than two count, for anything: growth leaves two unmade at
 *      most, so a third one forgot.  With the two others that are needed then everything acknowledged is found, though
 *      two forgot.
 * A crash at any point leaves nothing but promises and copies of official records; the next attempt starts at
 * CLAIM.  Requests are repeated for ever; who drives this decides when to give up.
 * Allocates; HX_E_NOMEM ends it.
 */
#include "recovery_int.h"

#include "hexad/assert.h"
#include "hexad/mutant.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PAUSE_MIN_MS 10u
#define PAUSE_SPAN_MS 190u /* times the number of attempts, up to PAUSE_GROWTH_MAX */
#define PAUSE_GROWTH_MAX 8u

static void claim(struct hx_recovery *r);

/* ---- states ---- */

static void move(struct hx_recovery *r, enum hx_recovery_state to)
{
    hx_assert(r->state != HX_RECOVERY_OPEN && r->state != HX_RECOVERY_FAILED);
    hx_assert(to == HX_RECOVERY_CLAIM || to == HX_RECOVERY_FAILED || (int)to == (int)r->state + 1);
    r->state = to;
}

static void attempt_free(struct hx_recovery *r)
{
    hx_ask_reset(&r->ask);
    rec_chain_free(r);
    for (uint32_t p = 0; p < r->pg_count; p++) {
        for (unsigned i = 0; i < HX_COPIES; i++)
            hx_inventory_fini(&r->pgs[p]->m[i].inv);
        free(r->pgs[p]);
    }
    free(r->pgs);
    r->pgs = NULL;
    r->pg_count = r->ready_count = r->complete_count = 0;
    r->meta_done = 0;
    memset(r->meta, 0, sizeof r->meta);
    hx_geometry_fini(&r->geometry);
    hx_history_fini(&r->parent);
    hx_history_fini(&r->child);
}

void rec_fail(struct hx_recovery *r, int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->why, sizeof r->why, format, args);
    va_end(args);
    r->error = err;
    move(r, HX_RECOVERY_FAILED);
}

static void fail_nomem(struct hx_recovery *r)
{
    rec_fail(r, HX_E_NOMEM, "out of memory");
}

const struct hx_pg_members *rec_row(const struct hx_recovery *r, uint32_t pg)
{
    return &(r->geometry.pg_count > 0 ? &r->geometry : &r->hint)->pgs[pg];
}

uint32_t rec_server_of(const struct hx_recovery *r, uint32_t pg, unsigned slot)
{
    return rec_row(r, pg)->server[slot];
}

/* ---- attempts ---- */

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* The first attempt's owner is the caller's; later ones are drawn from it, the seed and the attempt. */
static struct hx_uuid owner_of(const struct hx_recovery *r)
{
    struct hx_uuid id = r->first_owner;
    if (r->attempts <= 1)
        return id;
    for (unsigned half = 0; half < 2; half++) {
        uint64_t x = hx_get_u64(id.b + 8 * half);
        hx_put_u64(id.b + 8 * half, mix(x ^ mix(r->seed + 2 * (uint64_t)r->attempts + half)));
    }
    return id;
}

static void ask_member(struct hx_recovery *r, struct rec_member *m, uint16_t msg)
{
    hx_ask_queue(&r->ask, &m->task, rec_server_of(r, m->pg, m->slot), msg);
}

static void again(struct hx_recovery *r, struct rec_member *m, uint16_t msg)
{
    hx_ask_pause(&r->ask, &m->task, rec_server_of(r, m->pg, m->slot), msg);
}

/* Makes the members of PGs up to COUNT. */
static int add_pgs(struct hx_recovery *r, uint32_t count)
{
    struct rec_pg **pgs = realloc(r->pgs, count * sizeof(struct rec_pg *));
    if (pgs == NULL || (r->pgs = pgs, hx_ask_reserve(&r->ask, (size_t)count * (HX_COPIES + 1) + HX_COPIES) != 0))
        return HX_E_NOMEM;
    while (r->pg_count < count) {
        struct rec_pg *p = calloc(1, sizeof *p);
        if (p == NULL)
            return HX_E_NOMEM;
        p->index = r->pg_count;
        for (unsigned i = 0; i < HX_COPIES; i++) {
            p->m[i].pg = p->index;
            p->m[i].slot = (uint8_t)i;
            p->m[i].task.owner_kind = REC_TASK_MEMBER;
        }
        r->pgs[r->pg_count++] = p;
    }
    return 0;
}

static void ask_all(struct hx_recovery *r, struct rec_pg *p)
{
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (rec_is_member(r, p->index, i))
            ask_member(r, &p->m[i], HX_MSG_FENCE);
}

/* Step 1. */
static void claim(struct hx_recovery *r)
{
    r->pause_until_ms = 0;
    r->attempts++;
    r->owner = owner_of(r);
    r->epoch = HX_EPOCH(r->epoch_seen.v + 1);
    if (r->epoch.v == 0) {
        rec_fail(r, HX_E_CORRUPT, "a server has promised the highest epoch there is");
        return;
    }
    if (hx_ask_servers(&r->ask, r->hint.servers, r->hint.server_count) != 0 || add_pgs(r, 1) != 0) {
        fail_nomem(r);
        return;
    }
    ask_all(r, r->pgs[0]);
}

/* R3: backs off at random, then claims a higher epoch. */
void rec_start_over(struct hx_recovery *r)
{
    uint32_t growth = r->attempts < PAUSE_GROWTH_MAX ? r->attempts : PAUSE_GROWTH_MAX;
    uint64_t draw = mix(r->seed ^ mix(r->attempts ^ hx_get_u64(r->owner.b)));
    attempt_free(r);
    r->pause_until_ms = r->now_ms + PAUSE_MIN_MS + draw % ((uint64_t)PAUSE_SPAN_MS * growth);
    move(r, HX_RECOVERY_CLAIM);
}

/* ---- steps 1 and 2: FENCE ---- */

static bool same_server(const struct hx_server *a, const struct hx_server *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->url, b->url) == 0 &&
           hx_uuid_eq(&a->incarnation, &b->incarnation);
}

/* Members of group 0, without those that the word says are gone where it counts (D2). */
static hx_members slots_left(const struct hx_recovery *r, const struct hx_geometry *g)
{
    struct hx_pg_members row = g->pgs[0];
    rec_declare_row(r, g, &row);
    return hx_row_slots(&row);
}

/* The claim stands with this geometry: the same servers under the same numbers (and perhaps more), PG 0 there. */
static bool extends(const struct hx_recovery *r, const struct hx_geometry *g, const struct hx_geometry *hint)
{
    hx_assert(g->pg_count > 0); /* take_inventory */
    if (g->server_count < hint->server_count)
        return false;
    for (uint32_t i = 0; i < hint->server_count; i++)
        if (!same_server(&g->servers[i], &hint->servers[i]))
            return false;
    const struct hx_pg_members *a = &g->pgs[0], *b = &hint->pgs[0];
    return memcmp(a->server, b->server, sizeof a->server) == 0 && slots_left(r, g) == slots_left(r, hint);
}

/* An operator's word, on what was bound.  What it was is kept: it says what was acknowledged. */
static int declare(struct hx_recovery *r)
{
    uint32_t pg = 0;
    bool changed;
    if (add_pgs(r, hx_geometry_live(&r->geometry)) != 0) {
        fail_nomem(r);
        return HX_E_NOMEM;
    }
    for (uint32_t p = 0; p < r->pg_count; p++)
        r->pgs[p]->was = r->geometry.pgs[p];
    int err = rec_declare(r, &r->geometry, &changed, &pg);
    if (err != 0)
        rec_fail(r, err, "PG %u: too few of its servers are left: what was acknowledged may be on none of them", pg);
    else
        r->geometry.m += changed;
    return err;
}

/* Step 2's geometry and step 3's history: the highest among the grants (R1). */
static int bind(struct hx_recovery *r)
{
    const struct hx_inventory *geo = NULL, *top = NULL;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        const struct rec_member *m = &r->pgs[0]->m[i];
        if (!m->answered)
            continue;
        if (geo == NULL || hx_geometry_compare(&m->inv.geometry, &geo->geometry) > 0)
            geo = &m->inv;
        uint64_t mine = hx_history_top(&m->inv.history).v, best = top != NULL ? hx_history_top(&top->history).v : 0;
        if (top != NULL && mine == best && !hx_history_equal(&m->inv.history, &top->history)) {
            rec_fail(r, HX_E_CORRUPT, "PG 0: two histories of epoch %llu", (unsigned long long)mine);
            return HX_E_CORRUPT;
        }
        if (top == NULL || (HX_MUTANT(PARENT_LOWEST) ? mine < best : mine > best))
            top = &m->inv;
    }
    hx_assert(geo != NULL && top != NULL);
    const struct hx_geometry *bound = HX_MUTANT(GEOMETRY_BEFORE_FENCE) ? &r->hint : &geo->geometry;
    if (hx_geometry_copy(&r->geometry, bound) != 0 || hx_history_copy(&r->parent, &top->history) != 0) {
        fail_nomem(r);
        return HX_E_NOMEM;
    }
    return r->lost_count ? declare(r) : 0;
}

static void decide(struct hx_recovery *r);

static void fence_check(struct hx_recovery *r, struct rec_pg *p)
{
    hx_members set = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (p->m[i].answered && p->m[i].inv.hydrated)
            set = hx_members_add(set, i);
    set = rec_evidence(p, set); /* R5 */
    /* Three would meet every write quorum in one member; four meet it in two, so that one disk which lost what it had
     * flushed, or came back as an older image, neither hides a record nor lets the old writer finish one.  It costs
     * nothing: step 6 needs four of the same members anyway. */
    const struct hx_pg_members *row = rec_row(r, p->index);
    bool ready = hx_row_write(row, set) || (HX_MUTANT(READ_QUORUM_2) && hx_row_read(row, set));
    hx_assert(r->state == HX_RECOVERY_FENCE);
    if (ready && !p->ready) { /* for good: who is hydrated is not asked again in this state */
        p->ready = true;
        r->ready_count++;
    }
    if (r->ready_count == r->pg_count) {
        move(r, HX_RECOVERY_DECIDE);
        decide(r);
    }
}

/* PG 0 lives elsewhere than we believed: claim it there (M7 of doc/MEMBERSHIP.md).  Takes *FOUND. */
static void claim_there(struct hx_recovery *r, struct hx_geometry *found)
{
    struct hx_geometry g = *found;
    *found = (struct hx_geometry){0};
    attempt_free(r);
    hx_geometry_fini(&r->hint);
    r->hint = g;
    rec_declare_row(r, &r->hint, &r->hint.pgs[0]);
    r->epoch_seen = r->epoch_seen.v > r->epoch.v ? r->epoch_seen : r->epoch;
    claim(r);
}

/* A list that is newer than the one that we ask is as good a hint as a LOOKUP's, and three of the old one's six may be
 * no members any more: a fourth grant would never come. */
static void leads_on(struct hx_recovery *r, struct rec_member *m)
{
    if (hx_geometry_compare(&m->inv.geometry, &r->hint) > 0 && !extends(r, &m->inv.geometry, &r->hint))
        claim_there(r, &m->inv.geometry);
}

static void claimed(struct hx_recovery *r)
{
    if (bind(r) != 0)
        return;
    if (!extends(r, &r->geometry, &r->hint)) {
        claim_there(r, &r->geometry);
        return;
    }
    uint32_t known = r->hint.server_count;
    if (hx_ask_servers(&r->ask, r->geometry.servers + known, r->geometry.server_count - known) != 0 ||
        add_pgs(r, hx_geometry_live(&r->geometry)) != 0) {
        fail_nomem(r);
        return;
    }
    move(r, HX_RECOVERY_FENCE);
    for (uint32_t p = 1; p < r->pg_count; p++)
        ask_all(r, r->pgs[p]);
    fence_check(r, r->pgs[0]);
}

static void decide(struct hx_recovery *r)
{
    int err = rec_decide(r);
    if (err == 0) {
        move(r, HX_RECOVERY_REPAIR);
        rec_repair_start(r);
        return;
    }
    if (err != HX_E_AGAIN)
        return; /* failed, and says why */
    for (uint32_t p = 0; p < r->pg_count; p++) {
        if (rec_denied(r, r->pgs[p], r->stop))
            continue;
        for (unsigned i = 0; i < HX_COPIES; i++) {
            struct rec_member *m = &r->pgs[p]->m[i];
            bool unsure = m->answered && rec_may_hold(&m->inv, r->stop);
            if (unsure && m->task.state == HX_ASK_IDLE)
                again(r, m, HX_MSG_FENCE); /* a peer may have repaired it meanwhile; only its new answer counts */
        }
    }
}

/* A durable point above the decision: what a write quorum had is gone. */
static bool hint_fits(struct hx_recovery *r, const struct rec_member *m)
{
    if (m->inv.vdl_hint.v <= r->vdl.v)
        return true;
    rec_fail(r, HX_E_DATA_LOSS, "PG %u: server %s knows LSN %llu as durable, but the log ends at LSN %llu", m->pg,
             hx_ask_server(&r->ask, rec_server_of(r, m->pg, m->slot))->name, (unsigned long long)m->inv.vdl_hint.v,
             (unsigned long long)r->vdl.v);
    return false;
}

static int take_inventory(struct hx_recovery *r, struct rec_member *m, struct hx_bytes body)
{
    struct hx_dec d = hx_dec_init(body.p, body.len);
    struct hx_inventory v = {0};
    int err = hx_inventory_decode(&v, &d);
    if (err == 0)
        err = hx_dec_end(&d);
    if (err == 0 && (v.history.count == 0 || (m->pg == 0 && !v.has_geometry)))
        err = HX_E_BADMSG;
    if (err == 0 && v.has_geometry &&
        (v.geometry.pg_count == 0 || !hx_uuid_eq(&v.geometry.volume, &r->hint.volume)))
        err = HX_E_BADMSG;
    if (err != 0) {
        hx_inventory_fini(&v);
        return err;
    }
    hx_inventory_fini(&m->inv);
    m->inv = v;
    m->answered = true;
    if (hx_history_top(&v.history).v > r->epoch_seen.v)
        r->epoch_seen = hx_history_top(&v.history);
    return 0;
}

/*
 * R5: makes the segments that are not there, once two others were heard: no opening can go on without these, and what
 * was made cannot be told from what was empty by an opening that comes later.
 */
static void make_absent(struct hx_recovery *r, struct rec_pg *p)
{
    unsigned others = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        others += p->m[i].answered && !p->m[i].absent;
    for (unsigned i = 0; others >= HX_COPIES - HX_WRITE_QUORUM && i < HX_COPIES; i++)
        if (p->m[i].absent && !p->m[i].answered && p->m[i].task.state == HX_ASK_IDLE)
            ask_member(r, &p->m[i], HX_MSG_FORMAT);
}

static void fence_answer(struct hx_recovery *r, struct rec_member *m, const struct hx_ask_reply *reply)
{
    int err = take_inventory(r, m, reply->body);
    if (err == HX_E_NOMEM)
        fail_nomem(r);
    if (err != 0) {
        m->task.last_err = err;
        if (err != HX_E_NOMEM)
            again(r, m, HX_MSG_FENCE);
        return;
    }
    if (!m->inv.hydrated && r->state <= HX_RECOVERY_REPAIR)
        again(r, m, HX_MSG_FENCE); /* it is being filled: counts as soon as it says that it is done */
    make_absent(r, r->pgs[m->pg]);
    switch (r->state) {
    case HX_RECOVERY_CLAIM: {
        hx_members grants = 0;
        for (unsigned i = 0; i < HX_COPIES; i++)
            if (r->pgs[0]->m[i].answered)
                grants = hx_members_add(grants, i);
        if (hx_row_write(rec_row(r, 0), grants) || (HX_MUTANT(CLAIM_AT_3) && hx_members_count(grants) == 3))
            claimed(r);
        else
            leads_on(r, m);
        return;
    }
    case HX_RECOVERY_FENCE:
        fence_check(r, r->pgs[m->pg]);
        return;
    case HX_RECOVERY_DECIDE:
        decide(r);
        return;
    case HX_RECOVERY_REPAIR:
        if (hint_fits(r, m))
            rec_repair_late(r, m);
        return;
    default:
        hint_fits(r, m);
    }
}

/* The server has no such segment.  Growth publishes a PG after four members were made.  A third one that is not there
 * has lost it, like a disk that is gone; with four, what was acknowledged may be nowhere. */
static void segment_absent(struct hx_recovery *r, struct rec_member *m)
{
    struct rec_pg *p = r->pgs[m->pg];
    unsigned absent = 0;
    /* Group 0's six were made with the volume, and of four that are left all were complete when the group was degraded:
     * this one lost it, and does not count. */
    if (m->pg == 0 || hx_row_slots(rec_was(r, p)) != HX_MEMBERS_ALL) {
        again(r, m, HX_MSG_FENCE);
        return;
    }
    m->absent = true;
    for (unsigned i = 0; i < HX_COPIES; i++)
        absent += p->m[i].absent;
    if (absent >= HX_WRITE_QUORUM)
        rec_fail(r, HX_E_DATA_LOSS, "PG %u: %u of its servers have lost their segment", m->pg, absent);
    else
        make_absent(r, p);
}

/* ---- step 7 ---- */

static void ask_meta(struct hx_recovery *r, uint16_t msg)
{
    for (unsigned i = 0; i < HX_COPIES; i++) {
        struct hx_ask_task *t = &r->meta[i];
        t->owner_kind = REC_TASK_META;
        hx_ask_unqueue(&r->ask, t);
        if (t->state == HX_ASK_IDLE && rec_is_member(r, 0, i))
            hx_ask_queue(&r->ask, t, rec_server_of(r, 0, i), msg);
    }
    r->meta_done = 0;
}

/* Every PG has four complete members.  What is under way may finish; the rest is gossip's. */
void rec_to_geometry(struct hx_recovery *r)
{
    for (uint32_t p = 0; p < r->pg_count; p++) {
        hx_ask_drop(&r->ask, &r->pgs[p]->fetch);
        for (unsigned i = 0; i < HX_COPIES; i++)
            hx_ask_unqueue(&r->ask, &r->pgs[p]->m[i].task);
    }
    for (size_t i = 0; i < r->chain_count; i++) {
        free(r->chain[i].data);
        r->chain[i].data = NULL;
    }
    r->geometry.epoch = r->epoch;
    move(r, HX_RECOVERY_GEOMETRY);
    ask_meta(r, HX_MSG_GEOMETRY);
}

static void open_volume(struct hx_recovery *r)
{
    struct hx_recovery_result *res = &r->result;
    res->pgs = calloc(r->pg_count, sizeof *res->pgs);
    if (res->pgs == NULL) {
        fail_nomem(r);
        return;
    }
    for (uint32_t p = 0; p < r->pg_count; p++) {
        res->pgs[p].last = r->pgs[p]->last;
        for (unsigned i = 0; i < HX_COPIES; i++)
            res->pgs[p].scl[i] = r->pgs[p]->m[i].scl;
    }
    res->owner = r->owner;
    res->history = r->child;
    res->geometry = r->geometry;
    r->child = (struct hx_history){0};
    r->geometry = (struct hx_geometry){0};
    attempt_free(r);
    move(r, HX_RECOVERY_OPEN);
}

static void meta_again(struct hx_recovery *r, struct hx_ask_task *t, unsigned slot)
{
    hx_ask_pause(&r->ask, t, rec_server_of(r, 0, slot),
                 r->state == HX_RECOVERY_GEOMETRY ? HX_MSG_GEOMETRY : HX_MSG_ADOPT);
}

static void meta_answer(struct hx_recovery *r, struct hx_ask_task *t, const struct hx_ask_reply *reply)
{
    unsigned slot = (unsigned)(t - r->meta);
    if (r->state == HX_RECOVERY_ADOPT && t->msg == HX_MSG_GEOMETRY) {
        hx_ask_queue(&r->ask, t, rec_server_of(r, 0, slot), HX_MSG_ADOPT); /* late; go on with what matters now */
        return;
    }
    if (t->msg == HX_MSG_ADOPT) {
        struct hx_dec d = hx_dec_init(reply->body.p, reply->body.len);
        uint64_t top = hx_dec_u64(&d);
        if (d.err != 0 || top < r->epoch.v) {
            meta_again(r, t, slot);
            return;
        }
        if (top > r->epoch.v) {
            r->epoch_seen = top > r->epoch_seen.v ? HX_EPOCH(top) : r->epoch_seen;
            rec_start_over(r);
            return;
        }
    }
    r->meta_done = hx_members_add(r->meta_done, slot);
    const struct hx_pg_members *row = rec_row(r, 0);
    if (!hx_row_write(row, r->meta_done) && !(HX_MUTANT(OPEN_AT_3) && hx_row_read(row, r->meta_done)))
        return;
    if (r->state == HX_RECOVERY_GEOMETRY) {
        move(r, HX_RECOVERY_ADOPT); /* R2 */
        ask_meta(r, HX_MSG_ADOPT);
    } else {
        open_volume(r);
    }
}

/* ---- events ---- */

static void fenced(struct hx_recovery *r, const struct hx_ask_reply *reply)
{
    struct hx_ask_task *t = reply->task;
    bool number_taken = t->msg == HX_MSG_FENCE && rec_member_of(t)->pg == 0 && reply->head.promised.v == r->epoch.v;
    if (number_taken && r->state != HX_RECOVERY_CLAIM)
        rec_member_of(t)->refused = true;
    else
        rec_start_over(r);
}

/* So many of PG 0's members refuse our certificate's role that no claim can succeed: waiting is no use. */
static bool forbidden(const struct hx_recovery *r)
{
    unsigned refusals = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        refusals += r->pgs[0]->m[i].task.last_err == HX_E_ROLE;
    const struct hx_pg_members *row = rec_row(r, 0);
    return r->state == HX_RECOVERY_CLAIM &&
           refusals > hx_members_count(hx_row_slots(row)) - hx_row_write_quorum(row);
}

static void member_answer(struct hx_recovery *r, struct rec_member *m, const struct hx_ask_reply *reply)
{
    uint16_t msg = m->task.msg;
    if (reply->err == HX_E_NO_SEGMENT && msg == HX_MSG_FENCE) {
        segment_absent(r, m);
    } else if (reply->err != 0 && forbidden(r)) {
        rec_fail(r, HX_E_ROLE, "the servers of PG 0 refuse to be opened with it");
    } else if (reply->err != 0) {
        if (r->state <= HX_RECOVERY_REPAIR)
            again(r, m, msg);
    } else if (msg == HX_MSG_FENCE) {
        fence_answer(r, m, reply);
    } else if (msg == HX_MSG_FORMAT) {
        if (r->state <= HX_RECOVERY_REPAIR)
            ask_member(r, m, HX_MSG_FENCE);
    } else if (r->state == HX_RECOVERY_REPAIR) {
        rec_repair_answer(r, m, reply);
    } else if (msg == HX_MSG_REPAIR) { /* late: good to know */
        struct hx_dec d = hx_dec_init(reply->body.p, reply->body.len);
        struct hx_lsn scl = HX_LSN(hx_dec_u64(&d));
        if (hx_dec_end(&d) == 0 && scl.v <= r->pgs[m->pg]->last.v)
            m->scl = scl;
    }
}

static void judge(struct hx_recovery *r, const struct hx_ask_reply *reply)
{
    struct hx_ask_task *t = reply->task;
    if (reply->head.promised.v > r->epoch_seen.v)
        r->epoch_seen = reply->head.promised;
    if (reply->err == HX_E_FENCED) {
        fenced(r, reply);
    } else if (t->owner_kind == REC_TASK_MEMBER) {
        member_answer(r, rec_member_of(t), reply);
    } else if (t->owner_kind == REC_TASK_FETCH) {
        rec_fetch_answer(r, HX_CONTAINER_OF(t, struct rec_pg, fetch), reply);
    } else if (reply->err != 0) {
        meta_again(r, t, (unsigned)(t - r->meta));
    } else {
        meta_answer(r, t, reply);
    }
    if (r->state == HX_RECOVERY_FAILED && r->pgs != NULL)
        attempt_free(r); /* asks nothing more */
}

void hx_recovery_answer(struct hx_recovery *r, uint64_t now_ms, uint64_t call, struct hx_bytes body)
{
    struct hx_ask_reply reply;
    r->now_ms = now_ms > r->now_ms ? now_ms : r->now_ms;
    if (hx_ask_answer(&r->ask, now_ms, call, body, &reply))
        judge(r, &reply);
}

void hx_recovery_failed(struct hx_recovery *r, uint64_t now_ms, uint64_t call, int err)
{
    struct hx_ask_reply reply;
    r->now_ms = now_ms > r->now_ms ? now_ms : r->now_ms;
    if (hx_ask_failed(&r->ask, now_ms, call, err, &reply))
        judge(r, &reply);
}

uint64_t hx_recovery_tick(struct hx_recovery *r, uint64_t now_ms)
{
    r->now_ms = now_ms > r->now_ms ? now_ms : r->now_ms;
    uint64_t next = hx_ask_tick(&r->ask, now_ms);
    if (r->pause_until_ms == 0)
        return next;
    if (r->pause_until_ms > r->now_ms)
        return r->pause_until_ms - r->now_ms;
    claim(r);
    return HX_ASK_IDLE_MS;
}

int hx_recovery_next(struct hx_recovery *r, struct hx_effect *ret)
{
    struct hx_ask_task *t;
    if (hx_ask_cancel_next(&r->ask, ret))
        return 1;
    if (r->state == HX_RECOVERY_OPEN || r->state == HX_RECOVERY_FAILED)
        return 0;
    t = hx_ask_pop(&r->ask);
    if (t == NULL)
        return 0;
    if (rec_send(r, t, ret) == 0)
        return 1;
    fail_nomem(r);
    attempt_free(r);
    return hx_ask_cancel_next(&r->ask, ret);
}

/* ---- life ---- */

int hx_recovery_new(const struct hx_recovery_cfg *cfg, struct hx_recovery **ret)
{
    if (cfg->hint == NULL || cfg->hint->pg_count == 0 || hx_geometry_check(cfg->hint) != 0)
        return HX_E_INVAL;
    struct hx_recovery *r = calloc(1, sizeof *r);
    if (r == NULL)
        return HX_E_NOMEM;
    hx_ask_init(&r->ask, HX_PART_RECOVERY, cfg->now_ms);
    r->scratch = malloc(HX_FRAME_RAW_MAX);
    if (r->scratch == NULL || hx_frame_builder_new(&r->builder) != 0 || hx_geometry_copy(&r->hint, cfg->hint) != 0) {
        hx_recovery_free(r);
        return HX_E_NOMEM;
    }
    r->state = HX_RECOVERY_CLAIM;
    r->now_ms = cfg->now_ms;
    r->seed = cfg->seed;
    r->first_owner = cfg->owner;
    r->epoch_seen = cfg->epoch_seen;
    if (cfg->lost_count) {
        r->lost = malloc(cfg->lost_count * sizeof *r->lost);
        if (r->lost == NULL) {
            hx_recovery_free(r);
            return HX_E_NOMEM;
        }
        memcpy(r->lost, cfg->lost, cfg->lost_count * sizeof *r->lost);
        r->lost_count = cfg->lost_count;
        rec_declare_row(r, &r->hint, &r->hint.pgs[0]);
    }
    claim(r);
    *ret = r;
    return 0;
}

void hx_recovery_free(struct hx_recovery *r)
{
    if (r == NULL)
        return;
    attempt_free(r);
    hx_ask_fini(&r->ask);
    hx_frame_builder_free(r->builder);
    free(r->scratch);
    free(r->lost);
    hx_geometry_fini(&r->hint);
    hx_history_fini(&r->result.history);
    hx_geometry_fini(&r->result.geometry);
    free(r->result.pgs);
    free(r);
}

enum hx_recovery_state hx_recovery_state(const struct hx_recovery *r)
{
    return r->state;
}

int hx_recovery_error(const struct hx_recovery *r)
{
    return r->error;
}

const struct hx_recovery_result *hx_recovery_result(const struct hx_recovery *r)
{
    hx_assert(r->state == HX_RECOVERY_OPEN);
    return &r->result;
}
