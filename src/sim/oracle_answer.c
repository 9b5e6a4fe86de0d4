/*
 * oracle_answer.c - what servers answer: acknowledgements are counted, reads compared with the fold,
 * inventories with the log.
 *
 * An answer counts when it is given out, whether it arrives or not: what the server holds it holds.  So what
 * the oracle counts is never below what a writer can count.
 */
#include "oracle_int.h"

/* Heads (doc/PROTOCOL.md): offsets. */
enum { Q_TYPE = 6, Q_VOLUME = 16, Q_EPOCH = 48, Q_OWNER = 56, Q_PG = 72, P_STATUS = 16, P_FLAGS = 20, P_SERVER = 24 };

struct ask { /* a request and its good answer */
    uint32_t server, pg;
    unsigned type;
    uint64_t epoch;
    const uint8_t *owner, *incarnation;
    const uint8_t *q, *a; /* bodies */
    size_t q_len, a_len;
    uint32_t flags; /* of the answer */
};

/* ---- acknowledgements ---- */
/* What a write quorum of the servers in ROW have. */
static uint64_t quorums(const uint64_t scl[OC_SERVERS], uint64_t row, unsigned write)
{
    uint64_t best = 0;
    for (unsigned i = 0; i < OC_SERVERS; i++) {
        unsigned n = 0;
        if (!(row >> i & 1) || scl[i] <= best)
            continue;
        for (unsigned k = 0; k < OC_SERVERS; k++)
            n += row >> k & 1 && scl[k] >= scl[i];
        if (n >= write)
            best = scl[i];
    }
    return best;
}

/* By the version in use, and by the one in the air. */
static uint64_t counted(const struct hx_oracle *o, const struct oc_epoch *e, const struct hx_geometry *next,
                        uint32_t pg)
{
    const uint64_t *scl = e->pgs[pg].scl;
    uint64_t a = quorums(scl, oc_row(o, &e->g, pg), oc_write_quorum(&e->g, pg));
    bool two = next && pg < next->pg_count;
    uint64_t b = two ? quorums(scl, oc_row(o, next, pg), oc_write_quorum(next, pg)) : UINT64_MAX;
    return a < b ? a : b;
}

static bool in_table(const struct hx_geometry *g, const uint8_t incarnation[16])
{
    for (uint32_t i = 0; i < g->server_count; i++)
        if (!memcmp(g->servers[i].incarnation.b, incarnation, 16))
            return true;
    return false;
}

void oc_committed(struct hx_oracle *o, struct oc_epoch *e)
{
    const struct oc_rec *r;
    uint64_t was = e->vdl;
    uint32_t pg = 0;
    while ((r = oc_rec_find(e, e->walked + 1)) && e->pgs[r->pg].pgcl > e->walked) {
        e->walked++;
        pg = r->pg;
        if (r->flags & HX_REC_CPL)
            e->vdl = e->walked;
    }
    if (e->vdl > e->cut && was <= e->cut && !oc_excuse(o, pg))
        hx_sim_broken(
            o->s, "I2",
            "LSN %llu of epoch %llu got its fourth acknowledgement, but a later epoch cut it at %llu",
            (oc_ull)e->vdl, (oc_ull)e->epoch, (oc_ull)e->cut);
    if (e->vdl <= e->cut && e->vdl > o->committed)
        o->committed = e->vdl;
}

/*
 * With a version in the air what four of the old row hold, and the writer does not know of, may be lost: it was not
 * durable.  What the writer took for durable must be (M1).
 */
void oc_turned(struct hx_oracle *o, struct oc_epoch *e, bool in_the_air)
{
    const struct hx_geometry *next = oc_in_the_air(o, e);
    bool fell = false;
    for (uint32_t pg = 0; pg < e->g.pg_count; pg++) {
        struct oc_pg_acks *a = &e->pgs[pg];
        uint64_t n = counted(o, e, next, pg);
        if (in_the_air && oc_row(o, next, pg) == oc_row(o, &e->g, pg))
            continue;
        fell = fell || n < a->pgcl;
        a->pgcl = in_the_air || n > a->pgcl ? n : a->pgcl;
    }
    if (fell && in_the_air) {
        bool newest = o->committed == e->vdl;
        e->walked = e->end;
        e->vdl = e->vdl0;
        o->committed = newest ? e->vdl0 : o->committed;
    }
    oc_committed(o, e);
    if (e->vdl < e->told)
        hx_sim_broken(o->s, "M1", "epoch %llu sends a version of whose members four hold LSN %llu, but %llu is durable",
                      (oc_ull)e->epoch, (oc_ull)e->vdl, (oc_ull)e->told);
}

/* The server keeps promises from now on: its answer came after its flush. */
static struct oc_seg *answered(struct hx_oracle *o, const struct ask *q, uint32_t pg)
{
    struct oc_seg *s = oc_seg_get(o, q->server, pg);
    if (!s)
        return NULL;
    oc_life(o, q->server, pg, s);
    s->exists = true;
    if (q->epoch < s->answered_promise)
        hx_sim_broken(o->s, "I2", "server %u answers a %s of epoch %llu for PG %u after it has promised %llu",
                      q->server, hx_msg_type_name(q->type), (oc_ull)q->epoch, pg,
                      (oc_ull)s->answered_promise);
    if (s->failed)
        hx_sim_broken(o->s, "I12", "server %u answers a %s for PG %u after a flush has failed", q->server,
                      hx_msg_type_name(q->type), pg);
    s->answered_promise = q->epoch;
    return s;
}

/* The segment says that it is complete through SCL under its own history, whose top is the epoch of the
 * request. */
static void take_scl(struct hx_oracle *o, const struct ask *q, uint32_t pg, uint64_t scl)
{
    struct hx_segment_look look;
    struct oc_seg *s = oc_seg_get(o, q->server, pg);
    if (!s)
        return;
    if (oc_look(o, q->server, pg, &look)) {
        if (scl > look.scl.v)
            hx_sim_broken(o->s, "I5",
                          "server %u answers SCL %llu for PG %u, but it is complete through %llu only",
                          q->server, (oc_ull)scl, pg, (oc_ull)look.scl.v);
        if (oc_top(look.history) != q->epoch)
            hx_sim_broken(o->s, "I2",
                          "server %u acknowledges epoch %llu in PG %u, but its history ends with %llu",
                          q->server, (oc_ull)q->epoch, pg, (oc_ull)oc_top(look.history));
    }
    s->answered_top = q->epoch > s->answered_top ? q->epoch : s->answered_top;
    if (scl >= s->acked) {
        s->acked = scl;
        s->acked_epoch = q->epoch;
    }
    struct oc_epoch *e = oc_epoch_find(o, q->epoch);
    if (!e || pg >= e->g.pg_count || !in_table(&e->g, q->incarnation) || scl <= e->pgs[pg].scl[q->server])
        return;
    struct oc_pg_acks *a = &e->pgs[pg];
    a->scl[q->server] = scl;
    uint64_t pgcl = counted(o, e, oc_in_the_air(o, e), pg);
    if (pgcl > a->pgcl) {
        a->pgcl = pgcl;
        oc_committed(o, e);
    }
}

static void on_append(struct hx_oracle *o, const struct ask *q)
{
    for (size_t at = 0; at + HX_ACK_BYTES <= q->a_len && !hx_sim_over(o->s); at += HX_ACK_BYTES) {
        uint32_t pg = hx_get_u32(q->a + at);
        if (hx_get_u32(q->a + at + 4) == 0 && answered(o, q, pg))
            take_scl(o, q, pg, hx_get_u64(q->a + at + 8));
    }
}

static void on_adopt(struct hx_oracle *o, const struct ask *q)
{
    struct oc_seg *s = q->a_len == 16 ? answered(o, q, q->pg) : NULL;
    if (!s)
        return;
    uint64_t top = hx_get_u64(q->a), scl = hx_get_u64(q->a + 8);
    s->answered_top = top > s->answered_top ? top : s->answered_top;
    if (top == q->epoch)
        take_scl(o, q, q->pg, scl);
    struct oc_attempt *a = q->pg == 0 ? oc_attempt_get(o, q->epoch, q->owner) : NULL;
    if (a)
        oc_attempt_adopted(o, a, q->server, top);
}

/* ---- inventories ---- */
static void check_entry(struct hx_oracle *o, const struct ask *q, const struct hx_inv_entry *i)
{
    struct oc_epoch *e = oc_epoch_find(o, i->epoch.v);
    const struct oc_rec *r = oc_rec_find(e, i->lsn.v);
    if (!e) {
        hx_sim_broken(o->s, "I3", "server %u holds a record of epoch %llu, which never opened", q->server,
                      (oc_ull)i->epoch.v);
        return;
    }
    uint8_t head[5];
    if (r) {
        head[0] = r->kind;
        hx_put_u32(head + 1, r->page);
    }
    if (!r || r->pg != q->pg || r->prev != i->prev.v || (r->flags & HX_REC_CPL) != (i->flags & HX_INV_CPL) ||
        hx_crc32c(hx_crc32c(0, head, sizeof head), r->payload, r->len) != i->sum)
        hx_sim_broken(o->s, "I2", "server %u: LSN %llu of epoch %llu in PG %u is not what was written",
                      q->server, (oc_ull)i->lsn.v, (oc_ull)i->epoch.v, q->pg);
}

static bool in_unknown(const struct hx_inventory *v, uint64_t lsn)
{
    for (uint32_t i = 0; i < v->unknown_count; i++)
        if (v->unknowns[i].from.v <= lsn && lsn <= v->unknowns[i].to.v)
            return true;
    return false;
}

/* Everything that the member acknowledged above its hint is listed, or said to be damaged. */
static void check_complete(struct hx_oracle *o, const struct ask *q, const struct hx_inventory *v,
                           const struct oc_seg *s)
{
    const struct oc_pg *p = oc_pg_get(o, q->pg);
    uint32_t k = 0;
    if (!p)
        return;
    size_t i = p->log_count;
    while (i > 0 && p->log[i - 1] > v->vdl_hint.v)
        i--;
    for (; i < p->log_count && p->log[i] <= s->acked; i++) {
        while (k < v->entry_count && v->entries[k].lsn.v < p->log[i])
            k++;
        if ((k == v->entry_count || v->entries[k].lsn.v != p->log[i]) && !in_unknown(v, p->log[i])) {
            hx_sim_broken(o->s, "I11",
                          "server %u acknowledged LSN %llu of PG %u, but its inventory has not got it",
                          q->server, (oc_ull)p->log[i], q->pg);
            return;
        }
    }
}

/* In PG 0 an epoch is granted to one owner. */
static void check_grant(struct hx_oracle *o, const struct ask *q, struct oc_seg *s)
{
    if (q->pg == 0 && s->fence_epoch == q->epoch && memcmp(s->fence_owner.b, q->owner, 16))
        hx_sim_broken(o->s, "I3", "server %u grants epoch %llu to two", q->server, (oc_ull)q->epoch);
    s->fence_epoch = q->epoch;
    memcpy(s->fence_owner.b, q->owner, 16);
}

static void on_fence(struct hx_oracle *o, const struct ask *q)
{
    struct oc_seg *s = answered(o, q, q->pg);
    struct hx_inventory v = {0};
    struct hx_dec d = hx_dec_init(q->a, q->a_len);
    if (!s)
        return;
    if (hx_inventory_decode(&v, &d)) {
        hx_sim_broken(o->s, "I11", "server %u answers FENCE with what is no inventory", q->server);
        return;
    }
    uint64_t top = oc_top(&v.history);
    check_grant(o, q, s);
    if (top < s->answered_top)
        hx_sim_broken(o->s, "I5", "server %u answers with history %llu, but it has had %llu", q->server,
                      (oc_ull)top, (oc_ull)s->answered_top);
    for (uint32_t i = 0; i < v.entry_count && !hx_sim_over(o->s); i++)
        check_entry(o, q, &v.entries[i]);
    if (!s->lied)
        check_complete(o, q, &v, s);
    struct hx_segment_look look;
    /* The same damage before and after; other damage may have been met since the inventory was made. */
    if (s->seen && !s->fresh && s->was.unknowns && !v.unknown_count && oc_look(o, q->server, q->pg, &look) &&
        look.unknowns && look.doubt.v == s->was.doubt.v)
        hx_sim_broken(o->s, "I11", "server %u has damaged records in PG %u, but its inventory does not say so",
                      q->server, q->pg);
    /* An ADOPT in the same batch may have made void what it had acknowledged. */
    uint64_t acked = oc_after_cut(o, q->pg, s->acked, oc_cut_above(&v.history, s->acked_epoch));
    if (v.scl.v < acked && !s->lied)
        hx_sim_broken(o->s, "I5", "server %u says SCL %llu for PG %u, but it has acknowledged %llu",
                      q->server, (oc_ull)v.scl.v, q->pg, (oc_ull)acked);
    struct oc_attempt *a = oc_attempt_get(o, q->epoch, q->owner);
    if (a)
        oc_attempt_told(o, a, q->pg, q->server, &v);
    hx_inventory_fini(&v);
}

/* A member that is damaged above what it is complete to says so: it may have been one of the four. */
static void on_repair(struct hx_oracle *o, const struct ask *q)
{
    struct oc_attempt *a =
        q->a_len == 8 && answered(o, q, q->pg) ? oc_attempt_get(o, q->epoch, q->owner) : NULL;
    if (!a)
        return;
    uint64_t through = hx_get_u64(q->a), vdl = a->h.count ? a->h.e[a->h.count - 1].vdl.v : 0;
    struct hx_segment_look l;
    if (!(q->flags & HX_REPLY_DAMAGED) && oc_look(o, q->server, q->pg, &l) && l.doubt.v > through && l.doubt.v <= vdl)
        hx_sim_broken(o->s, "I11", "server %u may have lost LSN %llu of PG %u, but says that it ends with %llu",
                      q->server, (oc_ull)l.doubt.v, q->pg, (oc_ull)through);
    oc_attempt_repaired(o, a, q->pg, q->server, through);
}

static void on_fetch(struct hx_oracle *o, const struct ask *q)
{
    struct hx_segment_look look;
    if (q->q_len != 21)
        return;
    bool own = !q->q[20] && oc_look(o, q->server, q->pg, &look);
    if (own && oc_top(look.history) != q->epoch)
        hx_sim_broken(o->s, "I4",
                      "server %u gives records of PG %u under epoch %llu, but its history ends with %llu",
                      q->server, q->pg, (oc_ull)q->epoch, (oc_ull)oc_top(look.history));
    oc_log_copies(o, "a FETCH from server", q->server, q->a, q->a_len, own ? look.history : NULL, UINT64_MAX);
}

/* ---- reads ---- */
static void compare(struct hx_oracle *o, uint32_t server, uint32_t pg, uint32_t page, uint64_t r,
                    const uint8_t *head, const uint8_t *data)
{
    uint64_t lsn, says = hx_get_u64(head + 8);
    const uint8_t *want = oc_page_at(o, pg, page, r, &lsn);
    static const uint8_t zeros[HX_PAGE_SIZE];
    size_t i = 0;
    if (!data)
        data = zeros;
    if (memcmp(want, data, HX_PAGE_SIZE)) {
        while (want[i] == data[i])
            i++;
        hx_sim_broken(
            o->s, "I6",
            "server %u: PG %u page %u at %llu differs from byte %zu on (records to %llu, it says %llu)",
            server, pg, page, (oc_ull)r, i, (oc_ull)lsn, (oc_ull)says);
    } else if (lsn != says) {
        hx_sim_broken(o->s, "I6", "server %u: PG %u page %u at %llu has records to LSN %llu, it says %llu",
                      server, pg, page, (oc_ull)r, (oc_ull)lsn, (oc_ull)says);
    }
}

void oc_read_check(struct hx_oracle *o, uint32_t server, uint64_t epoch, uint32_t pg, const uint8_t *ask,
                   size_t ask_len, const uint8_t *p, size_t len)
{
    if (ask_len < 12)
        return;
    uint64_t r = hx_get_u64(ask);
    uint32_t n = hx_get_u32(ask + 8);
    const struct oc_epoch *e = oc_epoch_find(o, epoch);
    struct hx_segment_look look;
    if (ask_len != 12 + 4 * (size_t)n || len < (size_t)n * HX_READ_PAGE_BYTES)
        return;
    if (oc_look(o, server, pg, &look) &&
        (oc_top(look.history) != epoch || r > look.scl.v || r < look.oldest.v))
        hx_sim_broken(o->s, "I6",
                      "server %u reads PG %u at %llu in epoch %llu; it has %llu to %llu of epoch %llu",
                      server, pg, (oc_ull)r, (oc_ull)epoch, (oc_ull)look.oldest.v, (oc_ull)look.scl.v,
                      (oc_ull)oc_top(look.history));
    if (e ? r > e->cut : r > o->committed)
        return; /* of a log that is void now; whoever asked is fenced */
    const uint8_t *data = p + (size_t)n * HX_READ_PAGE_BYTES, *end = p + len;
    for (uint32_t i = 0; i < n && !hx_sim_over(o->s); i++) {
        const uint8_t *head = p + (size_t)i * HX_READ_PAGE_BYTES;
        bool raw = head[0] == HX_READ_RAW;
        if (raw && end - data < HX_PAGE_SIZE)
            return;
        if (raw && hx_crc32c(0, data, HX_PAGE_SIZE) != hx_get_u32(head + 4))
            hx_sim_broken(o->s, "I11", "server %u: PG %u page %u: the bytes are not those of the checksum",
                          server, pg, hx_get_u32(ask + 12 + 4 * (size_t)i));
        if (head[0] != HX_READ_CORRUPT)
            compare(o, server, pg, hx_get_u32(ask + 12 + 4 * (size_t)i), r, head, raw ? data : NULL);
        data += raw ? HX_PAGE_SIZE : 0;
    }
}

/* ---- all ---- */
static void judge(struct hx_oracle *o, const struct ask *q)
{
    struct oc_pg *p;
    switch (q->type) {
    case HX_MSG_APPEND:
        on_append(o, q);
        break;
    case HX_MSG_READ:
        oc_read_check(o, q->server, q->epoch, q->pg, q->q, q->q_len, q->a, q->a_len);
        break;
    case HX_MSG_FENCE:
        on_fence(o, q);
        break;
    case HX_MSG_REPAIR:
        on_repair(o, q);
        break;
    case HX_MSG_ADOPT:
        on_adopt(o, q);
        break;
    case HX_MSG_FETCH:
        on_fetch(o, q);
        break;
    case HX_MSG_GEOMETRY:
        if (answered(o, q, 0))
            oc_attempt_stored(o, q->server, q->q, q->q_len);
        break;
    case HX_MSG_FORMAT:
        p = oc_pg_get(o, q->pg);
        if (p && answered(o, q, q->pg))
            p->formatted |= UINT64_C(1) << q->server;
        break;
    default:
        break;
    }
}

/* Has every group of an APPEND taken it? */
static bool all_acks(const struct ask *q)
{
    for (size_t at = 0; at + HX_ACK_BYTES <= q->a_len; at += HX_ACK_BYTES)
        if (hx_get_u32(q->a + at + 4))
            return false;
    return true;
}

/* Answers of its lives before a wipe may still be on their way. */
static void new_life(struct hx_oracle *o, struct oc_server *v, const uint8_t incarnation[16])
{
    static const uint8_t none[16];
    if (!memcmp(v->incarnation, incarnation, 16))
        return;
    if (memcmp(v->incarnation, none, 16) && v->was_count < OC_LIVES)
        memcpy(v->was[v->was_count++], v->incarnation, 16);
    else if (v->was_count == OC_LIVES)
        hx_sim_harness(o->s, "a server was wiped more often than the oracle remembers");
    memcpy(v->incarnation, incarnation, 16);
}

bool hx_oracle_answered(struct hx_oracle *o, uint32_t server, const uint8_t *request, size_t request_len,
                        const uint8_t *answer, size_t answer_len)
{
    struct oc_server *v = oc_server_get(o, server);
    if (!v || request_len < HX_MSG_HEAD || answer_len < HX_REPLY_HEAD)
        return false;
    new_life(o, v, answer + P_SERVER);
    if (hx_get_u32(answer + P_STATUS) || memcmp(request + Q_VOLUME, o->s->volume.b, 16))
        return false;
    struct ask q = {.server = server,
                    .pg = hx_get_u32(request + Q_PG),
                    .type = hx_get_u16(request + Q_TYPE),
                    .epoch = hx_get_u64(request + Q_EPOCH),
                    .owner = request + Q_OWNER,
                    .incarnation = v->incarnation,
                    .q = request + HX_MSG_HEAD,
                    .a = answer + HX_REPLY_HEAD,
                    .q_len = request_len - HX_MSG_HEAD,
                    .a_len = answer_len - HX_REPLY_HEAD,
                    .flags = hx_get_u32(answer + P_FLAGS)};
    if (!o->blind && !hx_sim_over(o->s))
        judge(o, &q);
    return q.type != HX_MSG_APPEND || all_acks(&q);
}
