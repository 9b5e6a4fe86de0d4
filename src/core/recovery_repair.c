/*
 * recovery_repair.c - step 6 of opening: everything up to VDL' on four members of every PG.
 *
 * Definitions.  A member is complete when it has answered, under this epoch, an SCL (computed under H') that
 * equals its PG's last record <= VDL'.
 *   - A PG with records in the chain: the last one is the chain's last.
 *   - An idle PG (none above the start): its last record is at or below the start, which is durable, so four
 *     members were complete through it.  Any three *undamaged* answers hold one of these, and none can answer more
 *     than the last record.  So the highest SCL of all answers *is* the last record once three are undamaged, and
 *     four answers that equal it prove the rest.  (A member with damage above its SCL may have been one of the four:
 *     it says so, HX_REPLY_DAMAGED, and does not count among the three.)
 * Invariants:
 *   P1 a PG counts as complete when four hydrated members are; a later, higher answer in an idle PG undoes it.
 *   P2 no member may answer more than the chain's last record: the union has every valid record above the
 *      start, so such an answer is damage, and recovery stops.
 *   P3 a record is written back only as fetched, with the sum, link and flags that the inventories agree on.
 *   P5 a member that has everything, and whose inventory says what an empty REPAIR would answer, is not asked: see
 *      says_all.  So an idle group of a large volume costs FENCE alone.
 *   P4 when each holder of a record has answered a FETCH without it, what it holds is not what its inventory said (it
 *      finds damage when it reads): the inventories are taken anew, by the next attempt.  Then it is UNKNOWN there, and
 *      the walk ends before it, or waits until somebody has it (K2).
 *
 * What a member lacks above the start is fetched once per PG from a holder and sent; what it lacks below is
 * filled by gossip of its peers.  Gossip goes only between equal histories, and a fenced member takes no
 * history by gossip; so once a PG has somebody who is behind, its members with an older history get H from
 * us (ADOPT of the parent, under e).  Those who are behind are asked again after a growing pause.
 * Late FENCE answers join in.  Memory: the records that somebody lacks, at most what the former writer's
 * window held; freed when the step ends.
 */
#include "recovery_int.h"

#include "hexad/assert.h"
#include "hexad/crc.h"
#include "hexad/mutant.h"

#include <stdlib.h>

static void fetch_step(struct hx_recovery *r, struct rec_pg *p);

bool rec_complete(const struct rec_pg *p, const struct rec_member *m)
{
    return m->scl_known && m->inv.hydrated && m->scl.v == p->last.v;
}

static hx_members answered(const struct rec_pg *p)
{
    hx_members set = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (p->m[i].answered)
            set = hx_members_add(set, i);
    return set;
}

static uint32_t first_lacking(const struct rec_pg *p, const struct rec_member *m, uint32_t from)
{
    while (from < p->entry_count && !rec_lacks(m, &p->entry[from]))
        from++;
    return from;
}

static void pg_check(struct hx_recovery *r, struct rec_pg *p)
{
    hx_members done = 0, sure = 0;
    const struct hx_pg_members *row = rec_row(r, p->index);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        const struct rec_member *m = &p->m[i];
        if (rec_complete(p, m) || (HX_MUTANT(NO_WRITE_BACK) && p->last_known && m->answered))
            done = hx_members_add(done, i);
        if (m->scl_known && m->inv.hydrated && !m->unsure)
            sure = hx_members_add(sure, i);
    }
    bool ends = p->entry_count > 0 || hx_row_read(rec_was(r, p), rec_evidence(p, sure)); /* is its last record known? */
    bool complete = hx_row_write(row, done) && ends; /* P1 */
    complete = complete || (HX_MUTANT(WRITE_BACK_AT_3) && hx_row_read(row, done));
    if (complete != p->complete)
        r->complete_count += complete ? 1 : UINT32_MAX;
    p->complete = complete;
}

/*
 * Does the inventory tell the SCL under H'?  The member has promised our epoch, so nothing of the former writer comes
 * any more, and what gossip adds makes it higher at most; then the member is asked like any other that is behind.
 *   - It holds nothing above its hint, and is complete to the hint at most: H' contains the hint, so the SCL depends on
 *     no history.
 *   - Or all that it holds above the hint is one run of links that ends with the SCL, each record valid under H' (and
 *     under its own history, or it would not be complete through the last): H' makes no difference, either.
 * Whoever has damage is asked: what that may have been depends on H'.
 */
static bool says_all(const struct hx_recovery *r, const struct hx_inventory *v)
{
    const struct hx_inv_entry *e = v->entries;
    if (!v->hydrated || v->unknown_count > 0)
        return false;
    if (v->entry_count == 0)
        return v->scl.v <= v->vdl_hint.v;
    for (uint32_t i = 0; i < v->entry_count; i++)
        if (!hx_history_valid(&r->child, e[i].lsn, e[i].epoch) || (i > 0 && e[i].prev.v != e[i - 1].lsn.v))
            return false;
    return e[v->entry_count - 1].lsn.v == v->scl.v;
}

static void pg_heard(struct hx_recovery *r, struct rec_pg *p);
static bool take_scl(struct hx_recovery *r, struct rec_pg *p, struct rec_member *m, struct hx_lsn scl, bool unsure);

/* P5.  False: the recovery has failed.  PG 0's six are asked in any case: whoever was overtaken meanwhile hears it
 * there before it stores anything. */
static bool take_inventory_scl(struct hx_recovery *r, struct rec_pg *p, struct rec_member *m)
{
    bool all = p->index > 0 && m->answered && !m->scl_known && first_lacking(p, m, 0) == p->entry_count;
    return !all || !says_all(r, &m->inv) || take_scl(r, p, m, m->inv.scl, false);
}

/* What the member is to be asked next; it has nothing under way. */
static void member_step(struct hx_recovery *r, struct rec_pg *p, struct rec_member *m)
{
    if (!m->answered || m->task.state != HX_ASK_IDLE)
        return;
    uint32_t server = rec_server_of(r, m->pg, m->slot);
    if (p->behind && !m->parent_sent) {
        hx_ask_queue(&r->ask, &m->task, server, HX_MSG_ADOPT);
        return;
    }
    uint32_t i = first_lacking(p, m, 0);
    if (i < p->entry_count) {
        if (p->entry[i].data != NULL)
            hx_ask_queue(&r->ask, &m->task, server, HX_MSG_REPAIR);
        else
            fetch_step(r, p);
    } else if (!m->scl_known) {
        hx_ask_queue(&r->ask, &m->task, server, HX_MSG_REPAIR);
    } else if (!rec_complete(p, m) || (m->unsure && !p->complete)) {
        hx_ask_pause(&r->ask, &m->task, server, HX_MSG_REPAIR); /* gossip is at work */
    }
}

static void pg_step(struct hx_recovery *r, struct rec_pg *p)
{
    for (unsigned i = 0; i < HX_COPIES; i++)
        member_step(r, p, &p->m[i]);
}

void rec_repair_start(struct hx_recovery *r)
{
    for (uint32_t i = 0; i < r->pg_count; i++) {
        struct rec_pg *p = r->pgs[i];
        for (unsigned k = 0; k < HX_COPIES; k++)
            if (!take_inventory_scl(r, p, &p->m[k]))
                return;
        pg_heard(r, p);
    }
    if (r->complete_count == r->pg_count)
        rec_to_geometry(r);
}

/* ---- fetching ---- */

/* A holder that has not failed to give this entry; those whose server answers first. */
static int pick_source(const struct hx_recovery *r, const struct rec_pg *p, const struct rec_entry *e)
{
    int second = -1;
    for (unsigned k = 0; k < HX_COPIES; k++) {
        unsigned i = (p->index + k) % HX_COPIES; /* spread over the servers */
        if (!hx_members_has(e->held & ~e->bad, i))
            continue;
        if (hx_ask_server_error(&r->ask, rec_server_of(r, p->index, i)) == 0)
            return (int)i;
        second = (int)i;
    }
    return second;
}

static void fetch_step(struct hx_recovery *r, struct rec_pg *p)
{
    if (p->fetch.state != HX_ASK_IDLE)
        return;
    hx_members want = answered(p);
    while (p->fetch_done < p->entry_count &&
           (p->entry[p->fetch_done].data != NULL || (want & ~p->entry[p->fetch_done].held) == 0))
        p->fetch_done++;
    if (p->fetch_done == p->entry_count)
        return;
    struct rec_entry *e = &p->entry[p->fetch_done];
    int source = pick_source(r, p, e);
    bool all_failed = source < 0;
    if (all_failed) {
        e->bad = 0; /* a new round after a pause */
        source = pick_source(r, p, e);
        hx_assert(source >= 0); /* every entry of the union has a holder */
    }
    p->fetch_slot = (uint8_t)source;
    p->fetch_at = p->fetch_done;
    p->fetch.owner_kind = REC_TASK_FETCH;
    uint32_t server = rec_server_of(r, p->index, (unsigned)source);
    if (all_failed)
        hx_ask_pause(&r->ask, &p->fetch, server, HX_MSG_FETCH);
    else
        hx_ask_queue(&r->ask, &p->fetch, server, HX_MSG_FETCH);
}

static struct rec_entry *find_entry(const struct rec_pg *p, struct hx_lsn lsn)
{
    uint32_t lo = 0, hi = p->entry_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (p->entry[mid].lsn.v < lsn.v)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < p->entry_count && p->entry[lo].lsn.v == lsn.v ? &p->entry[lo] : NULL;
}

static uint32_t record_sum(const struct hx_rec *rec)
{
    uint8_t head[5] = {rec->kind};
    hx_put_u32(head + 1, rec->page);
    uint32_t crc = hx_crc32c(0, head, sizeof head);
    return rec->len > 0 ? hx_crc32c(crc, rec->payload, rec->len) : crc;
}

/* Keeps the record when it is one that is wanted, and exactly that one (P3). */
static int keep_record(struct hx_recovery *r, struct rec_pg *p, const struct hx_rec *rec, uint64_t time_us)
{
    struct rec_entry *e = find_entry(p, rec->lsn);
    if (e == NULL || e->data != NULL || rec->epoch.v != hx_history_top(&r->parent).v)
        return 0;
    bool cpl = rec->flags & HX_REC_CPL, cpl_wanted = e->flags & HX_INV_CPL;
    if (rec->prev.v != e->prev.v || cpl != cpl_wanted || record_sum(rec) != e->sum)
        return 0;
    e->data = malloc(sizeof *e->data + rec->len);
    if (e->data == NULL) {
        rec_fail(r, HX_E_NOMEM, "out of memory for records to write back");
        return HX_E_NOMEM;
    }
    *e->data = (struct rec_data){.time_us = time_us, .page = rec->page, .len = rec->len, .kind = rec->kind};
    if (rec->len > 0)
        memcpy(e->data->payload, rec->payload, rec->len);
    return 0;
}

/* The frames of a FETCH answer up to the first that is malformed; what was good is kept. */
static int keep_frames(struct hx_recovery *r, struct rec_pg *p, struct hx_bytes body)
{
    struct hx_frame_head h;
    while (body.len > 0) {
        const uint8_t *raw;
        struct hx_frame_walk w;
        struct hx_rec rec;
        if (hx_frame_head_decode(body.p, body.len, &h) != 0 || body.len < hx_frame_bytes(&h) ||
            h.pg != p->index || !hx_uuid_eq(&h.volume, &r->geometry.volume))
            return 0;
        int err = hx_frame_body(&h, body.p + HX_FRAME_HEAD, r->scratch, &raw);
        if (err == HX_E_NOMEM)
            rec_fail(r, err, "out of memory for records to write back");
        if (err != 0)
            return err == HX_E_NOMEM ? err : 0;
        hx_frame_walk_init(&w, &h, raw);
        int more;
        while ((more = hx_frame_walk_next(&w, &rec)) > 0)
            if (keep_record(r, p, &rec, h.time_us) != 0)
                return HX_E_NOMEM;
        if (more < 0)
            return 0;
        body.p += hx_frame_bytes(&h);
        body.len -= hx_frame_bytes(&h);
    }
    return 0;
}

void rec_fetch_answer(struct hx_recovery *r, struct rec_pg *p, const struct hx_ask_reply *reply)
{
    if (reply->err == 0 && keep_frames(r, p, reply->body) != 0)
        return;
    struct rec_entry *e = &p->entry[p->fetch_at];
    if (e->data == NULL)
        e->bad = hx_members_add(e->bad, p->fetch_slot);
    if (e->data == NULL && reply->err == 0)
        e->empty = hx_members_add(e->empty, p->fetch_slot);
    if (e->data == NULL && (e->held & ~e->empty) == 0) {
        rec_start_over(r); /* P4; frees P */
        return;
    }
    fetch_step(r, p);
    pg_step(r, p);
}

/* ---- members ---- */

void rec_repair_late(struct hx_recovery *r, struct rec_member *m)
{
    struct rec_pg *p = r->pgs[m->pg];
    for (uint32_t k = 0; k < m->inv.entry_count; k++) {
        const struct hx_inv_entry *v = &m->inv.entries[k];
        struct rec_entry *e = v->epoch.v == hx_history_top(&r->parent).v ? find_entry(p, v->lsn) : NULL;
        if (e == NULL)
            continue;
        if (e->sum != v->sum || e->prev.v != v->prev.v || e->flags != v->flags) {
            rec_fail(r, HX_E_CORRUPT, "PG %u: LSN %llu has two contents", m->pg, (unsigned long long)v->lsn.v);
            return;
        }
        e->held = hx_members_add(e->held, m->slot);
    }
    p->fetch_done = 0; /* it may lack what nobody else did */
    if (!take_inventory_scl(r, p, m))
        return;
    pg_heard(r, p);
    if (r->complete_count == r->pg_count)
        rec_to_geometry(r);
}

static void adopt_answer(struct hx_recovery *r, struct rec_pg *p, struct rec_member *m, struct hx_bytes body)
{
    struct hx_dec d = hx_dec_init(body.p, body.len);
    hx_dec_u64(&d);
    if (d.err != 0)
        hx_ask_pause(&r->ask, &m->task, rec_server_of(r, m->pg, m->slot), HX_MSG_ADOPT);
    else
        m->parent_sent = true; /* or it has a higher one already, of a recovery that never opened */
    member_step(r, p, m);
}

/* Somebody answered less than the PG's last record although we have nothing more to send it. */
static void note_behind(struct hx_recovery *r, struct rec_pg *p)
{
    if (p->behind)
        return;
    p->behind = true;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        struct rec_member *m = &p->m[i];
        if (m->answered && hx_history_top(&m->inv.history).v >= hx_history_top(&r->parent).v)
            m->parent_sent = true;
    }
}

/* The member's SCL under H'.  False: it cannot be (P2), and the recovery has failed. */
static bool take_scl(struct hx_recovery *r, struct rec_pg *p, struct rec_member *m, struct hx_lsn scl, bool unsure)
{
    if (p->last_known ? scl.v > p->last.v : scl.v > r->start.v) {
        rec_fail(r, HX_E_CORRUPT, "PG %u: server %s is complete through LSN %llu, which is not in the log", m->pg,
                 hx_ask_server(&r->ask, rec_server_of(r, m->pg, m->slot))->name, (unsigned long long)scl.v);
        return false;
    }
    m->scl = scl;
    m->scl_known = true;
    m->unsure = unsure;
    if (!p->last_known)
        p->last = hx_lsn_max(p->last, scl);
    return true;
}

/* Something was heard of the PG: what follows for all of its members. */
static void pg_heard(struct hx_recovery *r, struct rec_pg *p)
{
    for (unsigned i = 0; i < HX_COPIES; i++) {
        const struct rec_member *o = &p->m[i];
        if (o->scl_known && o->scl.v < p->last.v && first_lacking(p, o, 0) == p->entry_count)
            note_behind(r, p);
    }
    pg_check(r, p);
    pg_step(r, p);
}

static void repair_answer(struct hx_recovery *r, struct rec_pg *p, struct rec_member *m, struct hx_lsn scl, bool unsure)
{
    hx_assert(m->batch_to <= p->entry_count);
    for (uint32_t i = m->batch_from; i < m->batch_to; i++)
        p->entry[i].held = hx_members_add(p->entry[i].held, m->slot);
    if (!take_scl(r, p, m, scl, unsure))
        return;
    pg_heard(r, p);
    if (r->complete_count == r->pg_count)
        rec_to_geometry(r);
}

void rec_repair_answer(struct hx_recovery *r, struct rec_member *m, const struct hx_ask_reply *reply)
{
    struct rec_pg *p = r->pgs[m->pg];
    struct hx_dec d = hx_dec_init(reply->body.p, reply->body.len);
    if (reply->task->msg == HX_MSG_ADOPT) {
        adopt_answer(r, p, m, reply->body);
        return;
    }
    struct hx_lsn scl = HX_LSN(hx_dec_u64(&d));
    if (hx_dec_end(&d) != 0)
        hx_ask_pause(&r->ask, &m->task, rec_server_of(r, m->pg, m->slot), HX_MSG_REPAIR);
    else
        repair_answer(r, p, m, scl, reply->head.flags & HX_REPLY_DAMAGED);
}
