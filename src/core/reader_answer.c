/*
 * reader_answer.c - answers to READ: checked, handed on page by page, or the next member is asked (hexad/reader.h).
 *
 *   A1 an answer counts when it names our request, comes from the incarnation that was asked, and promises no higher
 *      epoch; its length must be what its page states say.
 *   A2 bytes that fail their checksum never leave (promise 7): that page is asked of a peer.
 *   A3 a damaged page is reported as such only when each of the six said so, or, after several rounds, when
 *      four said so and the others gave no answer of any kind.
 *
 * Late and repeated answers: R2.  Memory: pages are lent from the answer's body, nothing is copied.
 */
#include "reader_int.h"

#include "hexad/assert.h"
#include "hexad/crc.h"
#include "hexad/err.h"
#include "hexad/mutant.h"

static struct hx_batch_call *find(struct hx_reader *r, uint64_t call, struct hx_batch **ret_batch)
{
    uint32_t index = (uint32_t)(call >> 32 & 0xffffff);
    if (hx_call_part(call) != HX_PART_READER || index >= r->batch_count)
        return NULL;
    struct hx_batch *b = r->batch[index];
    struct hx_batch_call *c = &b->call[call & 1];
    *ret_batch = b;
    return c->id == call ? c : NULL;
}

static void smooth(struct hx_reader_server *s, uint64_t us)
{
    if (us == 0)
        us = 1;
    s->latency_us = s->latency_us ? (s->latency_us * 7 + us) / 8 : us;
}

/* This request brought nothing. */
static void give_up(struct hx_reader *r, struct hx_batch *b, struct hx_batch_call *c, bool silent)
{
    if (silent && hx_reader_still_there(r, b, c))
        b->silent = hx_members_add(b->silent, c->slot);
    hx_reader_end_call(r, b, c);
    if (b->state != HX_BATCH_FAILED)
        hx_reader_settle(r, b);
}

/* Is the answer whole?  Sets where the states and the pages begin. */
static int check_body(const struct hx_batch_call *c, struct hx_bytes body, const uint8_t **ret_entries,
                      const uint8_t **ret_raw)
{
    size_t heads = (size_t)c->count * HX_READ_PAGE_BYTES, raw = 0;
    if (body.len < heads)
        return HX_E_BADMSG;
    struct hx_dec d = hx_dec_init(body.p, heads);
    for (unsigned i = 0; i < c->count; i++) {
        struct hx_read_page p;
        hx_read_page_decode(&p, &d);
        if (p.state > HX_READ_CORRUPT)
            return HX_E_BADMSG;
        raw += p.state == HX_READ_RAW;
    }
    *ret_entries = body.p;
    *ret_raw = body.p + heads;
    return body.len == heads + raw * HX_PAGE_SIZE ? 0 : HX_E_BADMSG;
}

static int check_head(struct hx_reader *r, const struct hx_batch_call *c,
                      const struct hx_reply_head *h)
{
    struct hx_epoch own = hx_writer_epoch(r->w);
    if (h->type != HX_MSG_READ || h->req_id != c->id)
        return HX_E_BADMSG;
    bool asked = hx_uuid_eq(&h->server, &hx_writer_geometry(r->w)->servers[c->server].incarnation);
    if (!asked && !HX_MUTANT(INCARNATION_IGNORED))
        return HX_E_STRANGER;
    if (h->promised.v > own.v || h->status == HX_E_FENCED) {
        hx_writer_fence(r->w);
        return HX_E_FENCED;
    }
    return h->status == HX_E_NO_VOLUME ? HX_E_NO_SEGMENT : h->status;
}

void hx_reader_answer(struct hx_reader *r, uint64_t now_ms, uint64_t now_us, uint64_t call, struct hx_bytes body)
{
    struct hx_batch *b;
    struct hx_batch_call *c;
    struct hx_reply_head h;
    struct hx_bytes inner;
    hx_reader_event(r, now_ms);
    c = find(r, call, &b);
    if (!c)
        return;
    int rc = hx_reply_decode(body.p, body.len, &h, &inner);
    if (!rc)
        rc = check_head(r, c, &h);
    const uint8_t *entries = NULL, *raw = NULL;
    if (!rc)
        rc = check_body(c, inner, &entries, &raw); /* A1 */
    if ((rc == HX_E_NEED_HISTORY || rc == HX_E_NO_SEGMENT) && hx_reader_still_there(r, b, c))
        hx_writer_member_lacks(r->w, b->pg, c->slot, rc);
    if (rc || b->state == HX_BATCH_ENDING || b->state == HX_BATCH_FAILED) {
        give_up(r, b, c, false);
        return;
    }
    /* Microseconds where both clocks are one, else the milliseconds that we have. */
    uint64_t us = (r->now_ms - c->sent_ms) * 1000;
    if (now_us / 1000 == now_ms && now_us > c->sent_ms * 1000)
        us = now_us - c->sent_ms * 1000;
    smooth(&r->server[c->server], us);
    r->taking.batch = b;
    r->taking.call = c;
    r->taking.entries = entries;
    r->taking.raw = raw;
    r->taking.at = 0;
}

void hx_reader_failed(struct hx_reader *r, uint64_t now_ms, uint64_t call, int err)
{
    struct hx_batch *b;
    hx_reader_event(r, now_ms);
    struct hx_batch_call *c = find(r, call, &b);
    (void)err;
    if (!c)
        return;
    smooth(&r->server[c->server], (r->now_ms - c->sent_ms) * 1000 + 100000); /* others first, for a while */
    give_up(r, b, c, true);
}

void hx_reader_drop_taking(struct hx_reader *r)
{
    struct hx_batch *b = r->taking.batch;
    if (!b)
        return;
    r->taking.batch = NULL;
    hx_reader_end_call(r, b, r->taking.call);
    hx_reader_settle(r, b);
}

/* The page at hand of the answer being taken: 1 and *ret, or 0: it brought nothing. */
static int take_page(struct hx_reader *r, struct hx_batch_page *p, const struct hx_read_page *state,
                     struct hx_reader_done *ret)
{
    const uint8_t *data = NULL;
    if (state->state == HX_READ_RAW) {
        data = r->taking.raw;
        r->taking.raw += HX_PAGE_SIZE;
    }
    if (p->done)
        return 0; /* R2 */
    if (state->state == HX_READ_CORRUPT || (data && hx_crc32c(0, data, HX_PAGE_SIZE) != state->crc)) { /* A2 */
        r->stats.corrupt++;
        if (!hx_reader_still_there(r, r->taking.batch, r->taking.call))
            return 0;
        p->corrupt = hx_members_add(p->corrupt, r->taking.call->slot);
        if ((p->corrupt | hx_reader_nobody(r, r->taking.batch->pg)) != HX_MEMBERS_ALL)
            return 0;
        *ret = (struct hx_reader_done){p->want, NULL, HX_E_CORRUPT}; /* A3 */
    } else {
        *ret = (struct hx_reader_done){p->want, data, 0};
        r->stats.pages++;
    }
    p->done = true;
    r->taking.batch->left--;
    return 1;
}

static int take_failed(struct hx_reader *r, struct hx_reader_done *ret)
{
    struct hx_batch *b;
    while ((b = r->list[HX_BATCH_FAILED].head) != NULL) {
        for (unsigned i = 0; i < b->count; i++) {
            struct hx_batch_page *p = &b->page[i];
            if (p->done || !p->err)
                continue;
            *ret = (struct hx_reader_done){p->want, NULL, p->err};
            p->done = true;
            b->left--;
            return 1;
        }
        if (b->left > 0)
            hx_reader_move(r, b, HX_BATCH_PAUSED);
        else
            hx_reader_settle(r, b);
    }
    return 0;
}

int hx_reader_take(struct hx_reader *r, struct hx_reader_done *ret)
{
    while (r->taking.batch && r->taking.at < r->taking.call->count) {
        const uint8_t *at = r->taking.entries + (size_t)r->taking.at * HX_READ_PAGE_BYTES;
        struct hx_dec d = hx_dec_init(at, HX_READ_PAGE_BYTES);
        struct hx_read_page state;
        hx_read_page_decode(&state, &d);
        struct hx_batch_page *p = &r->taking.batch->page[r->taking.call->ask[r->taking.at++]];
        if (take_page(r, p, &state, ret))
            return 1;
    }
    hx_reader_drop_taking(r);
    if (r->lost_count > 0) {
        *ret = r->lost[--r->lost_count];
        return 1;
    }
    if (hx_writer_state(r->w))
        hx_reader_fail_all(r);
    return take_failed(r, ret);
}
