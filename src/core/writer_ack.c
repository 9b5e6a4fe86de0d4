/*
 * writer_ack.c - what answers and failures mean: SCLs, PGCL, VCL, VDL, refusals, fencing (hexad/writer.h).
 *
 *   A1 an SCL counts when the answer names our request, comes from the incarnation that was asked, and the member
 *      has promised no higher epoch; it is never above the last record of its PG (W2).
 *   A2 one SCL per member: acknowledgements are no counters, the same answer twice is one (I14; pitfall 25).
 *   A3 PGCL = the fourth largest SCL (of each version, while two count: M2), but never falls; the VCL walks on while
 *      the PG of the next LSN is complete through it, whatever other PGs do (pitfall 7); the VDL is the last CPL that
 *      it passed (I5).
 *   A4 an SCL that fell counts as fallen only when its request was given out after the higher one was learnt:
 *      answers overtake each other.
 *
 * Late, repeated, malformed or foreign answers change nothing but the server's own state.
 * Memory: nothing is allocated.
 */
#include "writer_int.h"

#include "hexad/assert.h"
#include "hexad/err.h"
#include "hexad/mutant.h"
#include "hexad/quorum.h"

void hx_writer_ack_advance(struct hx_writer *w)
{
    struct hx_lsn vdl = w->vdl;
    while (w->walked.v < w->last.v) {
        uint32_t at = w->map[(w->walked.v + 1) & (w->map_size - 1)];
        uint32_t pg = at & ~HX_WRITER_MAP_CPL;
        if (w->pg[pg].pgcl.v < w->walked.v + 1 && !(HX_MUTANT(VCL_ONE_PG) && pg > 0))
            break;
        w->walked.v++;
        w->vcl = w->walked;
        if (at & HX_WRITER_MAP_CPL || HX_MUTANT(VDL_IS_VCL))
            w->vdl = w->walked;
    }
    hx_assert(w->vdl.v >= vdl.v && w->vdl.v <= w->vcl.v); /* W2 */
    if (w->vdl.v > vdl.v)
        w->vdl_ms = w->now_ms;
}

/* The member is complete through SCL, says the answer to C.  False: that cannot be (A1). */
static bool learn(struct hx_writer *w, const struct hx_writer_call *c, uint32_t pg, unsigned slot, struct hx_lsn scl)
{
    struct hx_writer_pgs *p = &w->pg[pg];
    struct hx_seat *seat = &p->seat[slot];
    if (scl.v > p->last.v)
        return false;
    if (scl.v < p->scl[slot].v && c->serial <= seat->scl_serial)
        return true; /* overtaken (A4) */
    if (scl.v != p->scl[slot].v)
        seat->scl_serial = w->serial;
    if (HX_MUTANT(ACK_COUNTED_TWICE) && scl.v == p->scl[slot].v && slot < HX_COPIES)
        p->scl[(slot + 1) % HX_COPIES] = hx_lsn_max(p->scl[(slot + 1) % HX_COPIES], scl);
    p->scl[slot] = scl;
    struct hx_lsn was = HX_MUTANT(PGCL_FALLS) ? HX_LSN(0) : p->pgcl;
    p->pgcl = hx_lsn_max(was, hx_writer_counted(p));
    return true;
}

/* The server is well. */
static void server_good(struct hx_writer *w, struct hx_writer_server *s, const struct hx_writer_call *c)
{
    uint64_t us = (w->now_ms - c->sent_ms) * 1000;
    uint64_t smooth = s->rtt_us ? ((uint64_t)s->rtt_us * 7 + us) / 8 : us;
    s->rtt_us = smooth > UINT32_MAX ? UINT32_MAX : (uint32_t)(smooth ? smooth : 1);
    s->heard = true;
    s->good_ms = w->now_ms;
    s->fails = 0;
    s->error = 0;
}

static void server_failed(struct hx_writer *w, struct hx_writer_server *s, int err)
{
    uint64_t pause = HX_WRITER_PAUSE_MIN_MS << (s->fails < 5 ? s->fails : 5);
    if (pause > HX_WRITER_PAUSE_MAX_MS)
        pause = HX_WRITER_PAUSE_MAX_MS;
    if (hx_err_info(err)->class == HX_CLASS_REFUSED)
        pause = HX_WRITER_REFUSED_MS;
    s->fails++;
    s->error = err;
    s->retry_ms = w->now_ms + pause;
    s->told = HX_LSN(0);
}

/* What a member says of one PG, to C. */
static void seat_refused(struct hx_writer *w, struct hx_writer_server *s, const struct hx_writer_call *c, uint32_t pg,
                         unsigned slot, int err)
{
    if (err == HX_E_WRONG_MEMBER && c->m < hx_writer_m(w)) {
        hx_writer_send_rewind(w, s, c->first_seq); /* a version of ours overtook it: once more, in its name */
        return;
    }
    uint8_t state = w->pg[pg].seat[slot].state;
    if ((state != HX_SEAT_READY && state != HX_SEAT_ASK) || w->pg[pg].seat[slot].gone)
        return; /* in hand: a second refusal of the same frames says nothing new */
    if (err == HX_E_NEED_HISTORY || (err == HX_E_NO_SEGMENT && slot < HX_COPIES))
        hx_writer_member_lacks(w, pg, slot, err);
    else
        hx_writer_seat_move(w, pg, slot, HX_SEAT_PAUSED, err);
}

static void seat_good(struct hx_seat *seat)
{
    seat->told = true;
    if (seat->state == HX_SEAT_READY)
        seat->error = 0;
}

/* Errors that speak of a segment, not of the server. */
static bool of_segment(int err)
{
    switch (err) {
    case HX_E_NEED_HISTORY:
    case HX_E_NO_SEGMENT:
    case HX_E_NOSPACE:
    case HX_E_POISONED:
    case HX_E_CORRUPT:
    case HX_E_WRONG_MEMBER:
    case HX_E_IO:
        return true;
    default:
        return false;
    }
}

/* What an announcement's answer does not name has room (again). */
static void forget_full(struct hx_writer *w, struct hx_writer_server *s)
{
    if (!s->full)
        return;
    s->full = false;
    for (uint32_t pg = 0; pg < w->pg_count; pg++) {
        int slot = hx_writer_slot(w, pg, s->index);
        if (slot >= 0)
            w->pg[pg].seat[slot].full = false;
    }
}

static int take_acks(struct hx_writer *w, struct hx_writer_server *s, struct hx_writer_call *c, struct hx_bytes body)
{
    if (body.len % HX_ACK_BYTES)
        return HX_E_BADMSG;
    struct hx_dec d = hx_dec_init(body.p, body.len);
    if (c->kind == HX_WCALL_ANNOUNCE)
        forget_full(w, s);
    while (d.off < d.len) {
        struct hx_ack a;
        hx_ack_decode(&a, &d);
        int slot = a.pg < w->pg_count ? hx_writer_slot(w, a.pg, s->index) : -1;
        if (!d.err && a.pg < w->geometry.pg_count && (a.pg >= w->pg_count || w->pg[a.pg].closed))
            continue; /* of a group that has been released since */
        if (d.err || slot < 0)
            return HX_E_BADMSG;
        if (a.status == HX_E_FENCED) {
            hx_writer_fence(w);
            return HX_E_FENCED;
        }
        if (c->kind == HX_WCALL_ANNOUNCE && a.status == HX_E_NOSPACE)
            s->full = w->pg[a.pg].seat[slot].full = true;
        else if (a.status)
            seat_refused(w, s, c, a.pg, (unsigned)slot, a.status);
        else if (!learn(w, c, a.pg, (unsigned)slot, a.scl))
            return HX_E_BADMSG;
        else
            seat_good(&w->pg[a.pg].seat[slot]);
    }
    return 0;
}

/* A whole APPEND was refused for a reason that speaks of segments: of those whose frames it carried. */
static void refuse_frames(struct hx_writer *w, struct hx_writer_server *s, const struct hx_writer_call *c, int err)
{
    uint8_t mark = (uint8_t)(1 + (c - s->call));
    uint64_t from = c->first_seq > w->head_seq ? c->first_seq : w->head_seq;
    for (uint64_t seq = from; seq < c->end_seq; seq++) {
        const struct hx_writer_frame *f = hx_writer_frame_at(w, seq);
        int slot = hx_writer_slot(w, f->pg, s->index);
        if (slot >= 0 && f->call[slot] == mark)
            seat_refused(w, s, c, f->pg, (unsigned)slot, err);
    }
}

static int take_append(struct hx_writer *w, struct hx_writer_server *s, struct hx_writer_call *c, int status,
                       struct hx_bytes body)
{
    if (status == 0) {
        int rc = take_acks(w, s, c, body);
        if (rc == 0 && c->goodbye)
            s->goodbye_done = true;
        return rc;
    }
    if (!of_segment(status) || c->goodbye)
        return status; /* a goodbye that is refused is said again after a pause */
    if (c->kind == HX_WCALL_ANNOUNCE && s->home != HX_WRITER_NONE)
        seat_refused(w, s, c, s->home, (unsigned)hx_writer_slot(w, s->home, s->index), status);
    else
        refuse_frames(w, s, c, status);
    return 0;
}

static int take_adopt(struct hx_writer *w, struct hx_writer_call *c, int status, struct hx_bytes body)
{
    /* A learner is made by who drives the change; one that lost its segment is not made anew behind his back. */
    if (status == HX_E_NO_SEGMENT && c->slot < HX_COPIES) {
        hx_writer_seat_move(w, c->pg, c->slot, HX_SEAT_FORMAT, status);
        return 0;
    }
    if (status) {
        hx_writer_seat_move(w, c->pg, c->slot, HX_SEAT_PAUSED, status);
        return of_segment(status) ? 0 : status;
    }
    struct hx_dec d = hx_dec_init(body.p, body.len);
    struct hx_epoch top = HX_EPOCH(hx_dec_u64(&d));
    struct hx_lsn scl = HX_LSN(hx_dec_u64(&d));
    if (hx_dec_end(&d) == 0 && top.v > w->epoch.v) {
        hx_writer_fence(w); /* it keeps a newer epoch's history: that epoch is open */
        return HX_E_FENCED;
    }
    bool good = hx_dec_end(&d) == 0 && top.v == w->epoch.v && learn(w, c, c->pg, c->slot, scl);
    w->pg[c->pg].seat[c->slot].told |= good;
    hx_writer_seat_move(w, c->pg, c->slot, good ? HX_SEAT_READY : HX_SEAT_PAUSED, good ? 0 : HX_E_BADMSG);
    return good ? 0 : HX_E_BADMSG;
}

static int take_format(struct hx_writer *w, struct hx_writer_call *c, int status)
{
    w->pg[c->pg].seat[c->slot].told |= status == 0;
    hx_writer_seat_move(w, c->pg, c->slot, status ? HX_SEAT_PAUSED : HX_SEAT_READY, status);
    return status && !of_segment(status) ? status : 0;
}

/* Is it an answer to C from the server that was asked, under our epoch?  (A1, W3) */
static int check(struct hx_writer *w, const struct hx_writer_server *s, const struct hx_writer_call *c,
                 const struct hx_reply_head *h)
{
    static const uint16_t type[] = {[HX_WCALL_APPEND] = HX_MSG_APPEND, [HX_WCALL_ANNOUNCE] = HX_MSG_APPEND,
                                    [HX_WCALL_ADOPT] = HX_MSG_ADOPT, [HX_WCALL_FORMAT] = HX_MSG_FORMAT};
    if (h->type != type[c->kind] || h->req_id != c->id)
        return HX_E_BADMSG;
    if (!hx_uuid_eq(&h->server, &s->id.incarnation) && !HX_MUTANT(INCARNATION_IGNORED))
        return HX_E_STRANGER;
    /* An APPEND concerns many PGs; which of them is fenced, and by whom, need not be in the head. */
    if (h->status == HX_E_FENCED || h->promised.v > w->epoch.v) {
        hx_writer_fence(w);
        return HX_E_FENCED;
    }
    return 0;
}

static struct hx_writer_call *find(struct hx_writer *w, uint64_t call, struct hx_writer_server **ret_server)
{
    uint32_t index = (uint32_t)(call >> 40 & 0xffff), k = (uint32_t)(call >> 32 & 0xff);
    if (hx_call_part(call) != HX_PART_WRITER || index >= w->server_count || k >= HX_WRITER_CALLS)
        return NULL;
    struct hx_writer_call *c = &w->server[index]->call[k];
    *ret_server = w->server[index];
    return c->id == call && !c->canceled ? c : NULL;
}

void hx_writer_ack_failed(struct hx_writer *w, struct hx_writer_server *s, struct hx_writer_call *c, int err)
{
    uint64_t first = c->first_seq;
    unsigned kind = c->kind;
    if (kind == HX_WCALL_ADOPT || kind == HX_WCALL_FORMAT) {
        uint8_t state = w->pg[c->pg].seat[c->slot].state;
        if (state == HX_SEAT_ADOPTING || state == HX_SEAT_FORMATTING)
            hx_writer_seat_move(w, c->pg, c->slot, HX_SEAT_PAUSED, err);
    }
    hx_writer_send_end(w, s, c);
    if (kind == HX_WCALL_APPEND)
        hx_writer_send_rewind(w, s, first);
    /* We hung up on one that is behind: that says nothing about a server which has just answered another request. */
    bool slow = err == HX_E_CANCELED && w->now_ms < s->good_ms + HX_WRITER_PAUSE_MAX_MS;
    if (!slow)
        server_failed(w, s, err == HX_E_CANCELED ? HX_E_TIMEOUT : err);
    hx_writer_log_release(w);
}

void hx_writer_answer(struct hx_writer *w, uint64_t now_ms, uint64_t call, struct hx_bytes body)
{
    struct hx_writer_server *s;
    struct hx_writer_call *c = find(w, call, &s);
    struct hx_reply_head h;
    struct hx_bytes inner;
    if (!c)
        return;
    hx_writer_clock(w, now_ms);
    if (w->fenced) {
        hx_writer_send_end(w, s, c); /* W3 */
        return;
    }
    int rc = hx_reply_decode(body.p, body.len, &h, &inner);
    if (!rc)
        rc = check(w, s, c, &h);
    if (!rc && h.status == HX_E_NO_VOLUME)
        h.status = HX_E_NO_SEGMENT; /* it has no segment of this volume at all: FORMAT makes the first */
    if (!rc && c->kind == HX_WCALL_ADOPT)
        rc = take_adopt(w, c, h.status, inner);
    else if (!rc && c->kind == HX_WCALL_FORMAT)
        rc = take_format(w, c, h.status);
    else if (!rc)
        rc = take_append(w, s, c, h.status, inner);
    if (!rc && c->kind == HX_WCALL_ANNOUNCE && h.flags & HX_REPLY_WISHES)
        w->wishes_at = s->index + 1;
    if (w->fenced) {
        hx_writer_send_end(w, s, c);
        return;
    }
    if (rc) {
        hx_writer_ack_failed(w, s, c, rc);
    } else {
        server_good(w, s, c);
        hx_writer_send_end(w, s, c);
    }
    hx_writer_ack_advance(w);
    hx_writer_log_release(w);
}

void hx_writer_failed(struct hx_writer *w, uint64_t now_ms, uint64_t call, int err)
{
    struct hx_writer_server *s;
    struct hx_writer_call *c = find(w, call, &s);
    if (!c)
        return;
    hx_writer_clock(w, now_ms);
    if (w->fenced)
        hx_writer_send_end(w, s, c);
    else
        hx_writer_ack_failed(w, s, c, err ? err : HX_E_IO);
}
