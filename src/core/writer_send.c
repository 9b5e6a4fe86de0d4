/*
 * writer_send.c - which request goes to which server, and when: batching, announcements, pauses (hexad/writer.h).
 *
 * Does not judge answers (writer_ack.c).  hx_writer_next looks at cancels, then at open frames that are due, then
 * at each server in turn; it builds at most one request per call and says 0 when no server has anything to do.
 *
 *   S1 natural batching: a small request goes to a server only when none is under way there; an open frame is
 *      sealed when somebody waits for it (or it is old) and a write quorum of its members could take it at once.
 *      What comes meanwhile gathers.  Beyond HX_WRITER_BULK_BYTES waiting, up to HX_WRITER_CALLS_MAX requests.
 *   S2 a server that failed gets an empty announcement as a probe after a growing pause, nothing else: so one that
 *      is stopped pins no frames.  Its first good answer makes it well, and its cursor has gone back.
 *   S3 a frame is under way at most once per member; frames that the member has are never sent.
 *   S4 what an effect lends lies in the call or in the ring, until hx_writer_send_end.
 *
 * Memory: nothing is allocated.
 */
#include "writer_int.h"

#include "hexad/assert.h"
#include "hexad/err.h"
#include "hexad/mutant.h"

/* ---- state of a server ---- */

static unsigned appends_under_way(const struct hx_writer_server *s, bool *ret_small)
{
    unsigned n = 0;
    *ret_small = false;
    for (unsigned k = 0; k < HX_WRITER_CALLS_MAX; k++) {
        n += s->call[k].id != 0;
        *ret_small = *ret_small || (s->call[k].id && s->call[k].small);
    }
    return n;
}

/* When the oldest request that is still unanswered was sent; UINT64_MAX: none. */
static uint64_t waiting_since(const struct hx_writer_server *s)
{
    uint64_t since = UINT64_MAX;
    for (unsigned k = 0; k < HX_WRITER_CALLS; k++)
        if (s->call[k].id && s->call[k].sent_ms < since)
            since = s->call[k].sent_ms;
    return since;
}

bool hx_writer_send_well(const struct hx_writer *w, const struct hx_writer_server *s)
{
    if (s->fails)
        return false;
    uint64_t since = waiting_since(s);
    if (since != UINT64_MAX && since < s->good_ms)
        since = s->good_ms; /* it answers, if not this one */
    return since == UINT64_MAX || w->now_ms < since + HX_WRITER_SILENT_DOWN_MS;
}

void hx_writer_send_rewind(struct hx_writer *w, struct hx_writer_server *s, uint64_t seq)
{
    if (seq < s->dropped)
        seq = s->dropped;
    if (seq < w->head_seq)
        seq = w->head_seq;
    if (seq < s->cursor)
        s->cursor = seq;
}

void hx_writer_send_end(struct hx_writer *w, struct hx_writer_server *s, struct hx_writer_call *c)
{
    uint8_t mark = (uint8_t)(1 + (c - s->call));
    uint64_t from = c->first_seq > w->head_seq ? c->first_seq : w->head_seq;
    for (uint64_t seq = from; seq < c->end_seq; seq++) {
        struct hx_writer_frame *f = hx_writer_frame_at(w, seq);
        int slot = hx_writer_slot(w, f->pg, s->index);
        if (slot >= 0 && f->call[slot] == mark)
            f->call[slot] = 0;
    }
    if (c->canceled)
        w->canceling--;
    c->id = 0;
    c->cancel = c->canceled = false;
    c->first_seq = c->end_seq = 0;
}

/* ---- building requests ---- */

static void call_begin(struct hx_writer *w, struct hx_writer_server *s, struct hx_writer_call *c, unsigned kind)
{
    unsigned k = (unsigned)(c - s->call);
    s->serial = s->serial == UINT32_MAX ? 1 : s->serial + 1;
    c->id = (uint64_t)HX_PART_WRITER << 56 | (uint64_t)s->index << 40 | (uint64_t)k << 32 | s->serial;
    c->serial = ++w->serial;
    c->sent_ms = w->now_ms;
    c->kind = (uint8_t)kind;
    c->goodbye = c->cancel = c->canceled = false;
    c->first_seq = c->end_seq = 0;
    c->m = hx_writer_m(w);
    w->stats.calls++;
}

/* Iov 1.. are the body; makes the head over them and the effect. */
static void call_effect(struct hx_writer *w, struct hx_writer_server *s, struct hx_writer_call *c,
                        uint16_t type, uint32_t pg, struct hx_effect *ret)
{
    struct hx_bytes body[HX_WRITER_IOV_MAX];
    struct hx_msg_head h = {.type = type, .req_id = c->id, .volume = w->geometry.volume,
                            .server = s->id.incarnation, .owner = w->owner, .epoch = w->epoch, .pg = pg,
                            .g = w->geometry.g, .m = c->m};
    for (int i = 1; i < c->iovcnt; i++)
        body[i - 1] = (struct hx_bytes){c->iov[i].iov_base, c->iov[i].iov_len};
    hx_msg_head_encode(&h, body, (size_t)c->iovcnt - 1, c->head);
    c->iov[0] = (struct iovec){c->head, HX_MSG_HEAD};
    *ret = (struct hx_effect){.kind = HX_EFFECT_SEND, .call = c->id, .server = &s->id, .iov = c->iov,
                              .iovcnt = c->iovcnt, .timeout_ms = HX_WRITER_TIMEOUT_MS};
    if (type == HX_MSG_APPEND)
        w->stats.wire_bytes += HX_MSG_HEAD + h.body_len;
}

static size_t append_head(struct hx_writer *w, struct hx_writer_server *s, uint32_t frames, uint32_t flags,
                          const char *info, uint8_t *out, size_t cap)
{
    struct hx_append_head a;
    struct hx_enc e = hx_enc_init(out, cap);
    a.vdl = HX_MUTANT(ANNOUNCE_LAST) ? hx_writer_last(w) : w->vdl;
    a.floor = w->floor;
    a.flags = flags;
    a.frame_count = frames;
    a.info[0] = '\0';
    if (info)
        memcpy(a.info, info, strlen(info) + 1);
    hx_append_head_encode(&a, &e);
    hx_assert(e.err == 0);
    s->told = w->vdl;
    return e.len;
}

/* May frames of this seat go?  A seat that may lack the history is asked to adopt it first. */
static bool seat_gate(struct hx_writer *w, uint32_t pg, unsigned slot)
{
    struct hx_seat *seat = &w->pg[pg].seat[slot];
    if (seat->state == HX_SEAT_ASK)
        hx_writer_seat_move(w, pg, slot, HX_SEAT_ADOPT, 0);
    return seat->state == HX_SEAT_READY;
}

/* Slot for which the frame has to go to this server now, or -1. */
static int lacking(struct hx_writer *w, const struct hx_writer_server *s, const struct hx_writer_frame *f)
{
    int slot = hx_writer_slot(w, f->pg, s->index);
    if (slot < 0 || w->pg[f->pg].scl[slot].v >= f->last.v || f->call[slot] || w->pg[f->pg].seat[slot].gone)
        return -1; /* S3 */
    return seat_gate(w, f->pg, (unsigned)slot) ? slot : -1;
}

/* Collects frames from the cursor on into iov 2..; returns their bytes. */
static size_t gather(struct hx_writer *w, struct hx_writer_server *s, struct hx_writer_call *c, uint32_t *ret_frames)
{
    size_t bytes = 0;
    uint64_t seq = s->cursor;
    const uint8_t *end = NULL; /* of the last run */
    c->iovcnt = 2;
    *ret_frames = 0;
    for (; seq < w->tail_seq; seq++) {
        const struct hx_writer_frame *f = hx_writer_frame_at(w, seq);
        if (lacking(w, s, f) < 0)
            continue;
        uint8_t *at = w->ring + f->off;
        if (bytes && (bytes + f->len > HX_WRITER_CALL_BYTES || (at != end && c->iovcnt == (int)HX_WRITER_IOV_MAX)))
            break;
        if (at == end)
            c->iov[c->iovcnt - 1].iov_len += f->len;
        else
            c->iov[c->iovcnt++] = (struct iovec){at, f->len};
        end = at + f->len;
        if (bytes == 0)
            s->cursor = c->first_seq = seq; /* nothing before it is for this server */
        bytes += f->len;
        ++*ret_frames;
    }
    if (bytes == 0)
        s->cursor = seq;
    c->end_seq = seq;
    return bytes;
}

static void mark_frames(struct hx_writer *w, struct hx_writer_server *s, struct hx_writer_call *c, uint64_t from,
                        uint64_t to)
{
    uint8_t mark = (uint8_t)(1 + (c - s->call));
    for (uint64_t seq = from; seq < to; seq++) {
        struct hx_writer_frame *f = hx_writer_frame_at(w, seq);
        int slot = lacking(w, s, f);
        if (slot >= 0)
            f->call[slot] = mark;
    }
}

static int next_append(struct hx_writer *w, struct hx_writer_server *s, struct hx_effect *ret)
{
    bool small;
    unsigned n = appends_under_way(s, &small), k = 0;
    if (s->cursor < w->head_seq) /* of one that was silent while the others got everything, or that only learns */
        s->cursor = w->head_seq;
    if (s->cursor >= w->tail_seq || n >= HX_WRITER_CALLS_MAX)
        return 0;
    /* An upper bound, before frames are looked at one by one. */
    if (small && (w->tail_seq - s->cursor) * HX_FRAME_MAX < HX_WRITER_BULK_BYTES)
        return 0;
    while (s->call[k].id)
        k++;
    struct hx_writer_call *c = &s->call[k];
    uint32_t frames;
    size_t bytes = gather(w, s, c, &frames);
    if (bytes == 0 || (small && bytes < HX_WRITER_BULK_BYTES)) /* S1 */
        return 0;
    uint64_t first = c->first_seq, end = c->end_seq;
    uint32_t pg = hx_writer_frame_at(w, first)->pg;
    call_begin(w, s, c, HX_WCALL_APPEND);
    mark_frames(w, s, c, first, end);
    c->first_seq = first;
    c->end_seq = s->cursor = end;
    c->small = bytes < HX_WRITER_BULK_BYTES;
    c->iov[1].iov_base = c->body;
    c->iov[1].iov_len = append_head(w, s, frames, 0, NULL, c->body, sizeof c->body);
    call_effect(w, s, c, HX_MSG_APPEND, pg, ret);
    return 1;
}

static int send_adopt(struct hx_writer *w, struct hx_writer_server *s, struct hx_writer_call *c, uint32_t pg,
                      struct hx_effect *ret)
{
    call_begin(w, s, c, HX_WCALL_ADOPT);
    c->pg = pg;
    c->slot = (uint8_t)hx_writer_slot(w, pg, s->index);
    c->iov[1] = (struct iovec){w->history_bytes, w->history_len};
    c->iovcnt = 2;
    call_effect(w, s, c, HX_MSG_ADOPT, pg, ret);
    return 1;
}

static int send_format(struct hx_writer *w, struct hx_writer_server *s, struct hx_writer_call *c, uint32_t pg,
                       struct hx_effect *ret)
{
    call_begin(w, s, c, HX_WCALL_FORMAT);
    c->pg = pg;
    c->slot = (uint8_t)hx_writer_slot(w, pg, s->index);
    c->iov[1] = (struct iovec){w->blob->p, w->blob->len};
    c->iov[2] = (struct iovec){w->history_bytes, w->history_len};
    c->iovcnt = 3;
    call_effect(w, s, c, HX_MSG_FORMAT, pg, ret);
    return 1;
}

static struct hx_writer_call *free_control(struct hx_writer_server *s)
{
    for (unsigned k = HX_WRITER_ANNOUNCE_CALL + 1; k < HX_WRITER_CALLS; k++)
        if (!s->call[k].id)
            return &s->call[k];
    return NULL;
}

/* The next PG of the server's list after which it has to be told something; drops READY seats from the list. */
static int next_control(struct hx_writer *w, struct hx_writer_server *s, struct hx_effect *ret)
{
    struct hx_writer_call *c = s->list == HX_WRITER_NONE ? NULL : free_control(s);
    uint32_t *link = &s->list;
    if (!c)
        return 0;
    while (*link != HX_WRITER_NONE) {
        uint32_t pg = *link;
        unsigned slot = (unsigned)hx_writer_slot(w, pg, s->index);
        struct hx_seat *seat = &w->pg[pg].seat[slot];
        bool asked = seat->state == HX_SEAT_ADOPTING || seat->state == HX_SEAT_FORMATTING;
        if (seat->state == HX_SEAT_ADOPT && !seat->gone) {
            hx_writer_seat_move(w, pg, slot, HX_SEAT_ADOPTING, seat->error);
            return send_adopt(w, s, c, pg, ret);
        }
        if (seat->state == HX_SEAT_FORMAT && !seat->gone) {
            hx_writer_seat_move(w, pg, slot, HX_SEAT_FORMATTING, seat->error);
            return send_format(w, s, c, pg, ret);
        }
        if (seat->state == HX_SEAT_READY || (seat->gone && !asked)) {
            seat->listed = false;
            *link = seat->next;
            seat->next = HX_WRITER_NONE;
        } else {
            link = &seat->next;
        }
    }
    return 0;
}

/* ---- announcements ---- */

/*
 * With each announcement to a server that has nothing under way: frames above the VDL that it was given and does
 * not count are given again, and one PG of which it seems to lack records is asked how far it is (gossip may
 * have filled it): the answer to ADOPT says so, and the same history again changes nothing.  So is one that has not
 * been told this epoch's history yet: a PG in which nobody writes or reads must know it, too, or else a member that
 * has missed an epoch stays behind for ever (its peers, fenced, have no history that it may take from them).
 */
static void upkeep(struct hx_writer *w, struct hx_writer_server *s)
{
    bool small;
    if (s->fails || w->goodbye || appends_under_way(s, &small))
        return;
    if (w->now_ms >= w->vdl_ms + HX_WRITER_ANNOUNCE_MS && w->settled_seq < w->tail_seq)
        hx_writer_send_rewind(w, s, w->settled_seq);
    if (s->cursor < w->tail_seq)
        return; /* frames are on their way */
    for (uint32_t i = 0; i < w->pg_count && i < HX_WRITER_PROBE_SCAN; i++) {
        uint32_t pg = s->probe_pg++ % w->pg_count;
        int slot = hx_writer_slot(w, pg, s->index);
        if (slot < 0 || (slot >= HX_COPIES && !w->pg[pg].seat[slot].filled)) /* a learner's SCL says nothing yet */
            continue;
        if (w->pg[pg].scl[slot].v >= w->pg[pg].pgcl.v && w->pg[pg].seat[slot].state != HX_SEAT_ASK)
            continue;
        hx_writer_member_lacks(w, pg, (unsigned)slot, HX_E_NEED_HISTORY);
        return;
    }
}

static uint64_t announce_due(const struct hx_writer *w, const struct hx_writer_server *s)
{
    if (s->goodbye_done || s->home == HX_WRITER_NONE)
        return UINT64_MAX;
    if (s->fails)
        return s->retry_ms; /* S2 */
    if (w->goodbye)
        return 0;
    uint64_t settled = s->told.v < w->vdl.v ? w->vdl_ms + HX_WRITER_SETTLE_MS : UINT64_MAX;
    return settled < s->announce_ms ? settled : s->announce_ms;
}

static int next_announce(struct hx_writer *w, struct hx_writer_server *s, struct hx_effect *ret)
{
    struct hx_writer_call *c = &s->call[HX_WRITER_ANNOUNCE_CALL];
    if (c->id || announce_due(w, s) > w->now_ms)
        return 0;
    bool beat = s->announce_ms <= w->now_ms || w->goodbye;
    if (beat) {
        upkeep(w, s);
        s->announce_ms = w->now_ms + HX_WRITER_ANNOUNCE_MS;
    }
    call_begin(w, s, c, HX_WCALL_ANNOUNCE);
    c->goodbye = w->goodbye;
    c->iov[1].iov_base = s->announce;
    c->iov[1].iov_len = append_head(w, s, 0, w->goodbye ? HX_APPEND_GOODBYE : 0, beat ? w->info : NULL,
                                    s->announce, sizeof s->announce);
    c->iovcnt = 2;
    call_effect(w, s, c, HX_MSG_APPEND, s->home, ret);
    return 1;
}

/* ---- sealing what is open ---- */

/* Could as many of the PG's members as a write quorum needs (or as are alive) take a small request now? */
static bool takers(const struct hx_writer *w, uint32_t pg)
{
    unsigned alive = 0, idle = 0;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        uint32_t server = w->pg[pg].seat[i].server;
        const struct hx_writer_server *s = server == HX_WRITER_NONE ? NULL : w->server[server];
        bool small;
        if (!s)
            continue;
        if (!hx_writer_send_well(w, s))
            continue;
        alive++;
        idle += appends_under_way(s, &small) < HX_WRITER_CALLS_MAX && !small;
    }
    return alive > 0 && idle >= (alive < w->pg[pg].quorum ? alive : w->pg[pg].quorum);
}

static void seal_due(struct hx_writer *w)
{
    for (unsigned i = 0; i < HX_WRITER_BUILDERS; i++) {
        struct hx_writer_open *o = &w->open[i];
        if (!o->used)
            continue;
        bool due = hx_frame_builder_first(o->b).v <= w->want.v || w->now_ms >= o->since_ms + HX_WRITER_AGE_MS;
        if (due && takers(w, o->pg)) /* S1 */
            hx_writer_log_seal(w, o);
    }
}

/* ---- cancelling, and the loop ---- */

/* The CANCELs given out have been carried out: nobody borrows those frames any more. */
static void finish_canceled(struct hx_writer *w)
{
    for (uint32_t i = 0; w->canceling; i++) {
        hx_assert(i < w->server_count);
        struct hx_writer_server *s = w->server[i];
        for (unsigned k = 0; k < HX_WRITER_CALLS; k++)
            if (s->call[k].id && s->call[k].canceled)
                hx_writer_ack_failed(w, s, &s->call[k], HX_E_CANCELED);
    }
}

static int next_cancel(struct hx_writer *w, struct hx_writer_server *s, struct hx_effect *ret)
{
    for (unsigned k = 0; k < HX_WRITER_CALLS; k++) {
        struct hx_writer_call *c = &s->call[k];
        if (!c->id || !c->cancel || c->canceled)
            continue;
        c->canceled = true;
        w->canceling++;
        *ret = (struct hx_effect){.kind = HX_EFFECT_CANCEL, .call = c->id, .server = &s->id};
        return 1;
    }
    return 0;
}

static int next_of(struct hx_writer *w, struct hx_writer_server *s, struct hx_effect *ret)
{
    if (next_cancel(w, s, ret))
        return 1;
    if (!s->fails && (next_append(w, s, ret) || next_control(w, s, ret)))
        return 1;
    return next_announce(w, s, ret);
}

int hx_writer_next(struct hx_writer *w, struct hx_effect *ret)
{
    if (w->canceling) {
        finish_canceled(w);
        w->busy = true;
    }
    if (w->fenced || !w->busy) /* W3 */
        return 0;
    seal_due(w);
    for (uint32_t i = 0; i < w->server_count; i++) {
        uint32_t k = (w->turn + i) % w->server_count;
        if (next_of(w, w->server[k], ret)) {
            w->turn = k;
            return 1;
        }
    }
    w->busy = false;
    return 0;
}

/* ---- timers ---- */

static void resume_seats(struct hx_writer *w, struct hx_writer_server *s)
{
    for (uint32_t pg = s->list; pg != HX_WRITER_NONE;) {
        unsigned slot = (unsigned)hx_writer_slot(w, pg, s->index);
        uint32_t next = w->pg[pg].seat[slot].next;
        const struct hx_seat *seat = &w->pg[pg].seat[slot];
        /* One that has never answered is asked again, also when nobody writes there: else a group whose growth or
         * opening missed a member would go without it for as long as it is idle. */
        if (seat->state == HX_SEAT_PAUSED && !seat->gone)
            hx_writer_seat_move(w, pg, slot, seat->told ? HX_SEAT_READY : HX_SEAT_ADOPT, seat->error);
        pg = next;
    }
}

void hx_writer_send_timers(struct hx_writer *w)
{
    for (uint32_t i = 0; i < w->server_count; i++) {
        struct hx_writer_server *s = w->server[i];
        if (s->seats_retry_ms && s->seats_retry_ms <= w->now_ms) {
            s->seats_retry_ms = 0;
            resume_seats(w, s);
        }
    }
}

static void sooner(const struct hx_writer *w, uint64_t at_ms, uint64_t *wait_ms)
{
    if (at_ms > w->now_ms && at_ms - w->now_ms < *wait_ms)
        *wait_ms = at_ms - w->now_ms;
}

uint64_t hx_writer_tick(struct hx_writer *w, uint64_t now_ms)
{
    uint64_t wait_ms = HX_WRITER_ANNOUNCE_MS;
    hx_writer_clock(w, now_ms);
    if (w->fenced)
        return wait_ms;
    hx_writer_send_timers(w);
    for (unsigned i = 0; i < HX_WRITER_BUILDERS; i++)
        if (w->open[i].used)
            sooner(w, w->open[i].since_ms + HX_WRITER_AGE_MS, &wait_ms);
    for (uint32_t i = 0; i < w->server_count; i++) {
        const struct hx_writer_server *s = w->server[i];
        sooner(w, announce_due(w, s), &wait_ms);
        sooner(w, s->seats_retry_ms, &wait_ms);
    }
    return wait_ms;
}
