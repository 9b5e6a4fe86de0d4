/*
 * out.c - answers and requests to peers: what waits for a flush, what is ready, and their bytes.
 *
 *   O1 settle runs after the flushes of a round and gives every waiting item its status: the error of its segment's
 *      flush, FENCED when the promise has meanwhile gone past its epoch (pitfall 11), or its result.
 *   O2 Answers that may be large (READ, FETCH) are made when they are taken: one at a time is in memory.
 *   O3 So the rules are asked again when they are made: in the same batch the history, the floor, or a failed flush may
 *      have come in between, and a page as of a point whose versions are gone would look as if it was never written.
 * A request for which there is no memory left is not answered; the peer's time limit ends it.
 */
#include "node_private.h"

#include "hexad/mutant.h"

#include <stdlib.h>

#define CALL_TIMEOUT_MS 5000u
#define FEW 8u /* pages that follow each other and are not worth a large read */

struct hx_item *hx_out_push(struct hx_items *q, const struct hx_item *i)
{
    if (q->at == q->count)
        q->at = q->count = 0;
    if (hx_buf_grow(&q->p, &q->cap, q->count, sizeof *q->p))
        return NULL;
    q->p[q->count] = *i;
    return &q->p[q->count++];
}

struct hx_item hx_out_item(const struct hx_req *r, enum item_kind kind)
{
    return (struct hx_item){.kind = kind, .type = r->head.type, .token = r->token, .req_id = r->head.req_id,
                            .epoch = r->head.epoch, .seg = r->seg};
}

void hx_out_item_fini(struct hx_item *i)
{
    hx_history_fini(&i->history);
    hx_buf_fini(&i->body);
    *i = (struct hx_item){0};
}

void hx_out_plain(struct hx_node *n, const struct hx_req *r, int status)
{
    struct hx_item i = hx_out_item(r, ITEM_PLAIN);
    i.status = status;
    n->stats.errors += status != 0;
    hx_out_push(&n->ready, &i);
}

void hx_out_body(struct hx_node *n, const struct hx_req *r, struct hx_buf *body)
{
    struct hx_item i = hx_out_item(r, ITEM_BODY);
    i.body = *body;
    i.body_len = body->len;
    *body = (struct hx_buf){0};
    if (!hx_out_push(&n->ready, &i))
        hx_out_item_fini(&i);
}

/* ---- after the flush ---- */
static int u64s(struct hx_item *i, uint64_t a, const uint64_t *b)
{
    uint8_t *p = hx_buf_add(&i->body, b ? 16 : 8);
    if (!p)
        return HX_E_NOMEM;
    hx_put_u64(p, a);
    if (b)
        hx_put_u64(p + 8, *b);
    i->body_len = i->body.len;
    return 0;
}

static int settle_fence(struct hx_item *i)
{
    struct hx_inventory v;
    int err = hx_rules_inventory(i->seg, &v);
    if (err)
        return err;
    size_t len = hx_inventory_encoded_len(&v);
    uint8_t *p = len > HX_MSG_BODY_MAX ? NULL : hx_buf_add(&i->body, len);
    if (p) {
        struct hx_enc e = hx_enc_init(p, len);
        hx_inventory_encode(&v, &e);
        hx_assert(!e.err);
        i->body_len = e.len;
    }
    hx_inventory_fini(&v);
    return p ? 0 : len > HX_MSG_BODY_MAX ? HX_E_TOOBIG : HX_E_NOMEM;
}

static int settle_one(struct hx_item *i)
{
    struct hx_seg *s = i->seg;
    if (i->kind == ITEM_DELETE && (s->error == HX_E_NO_SEGMENT || s->retired))
        return s->retired ? 0 : HX_E_AGAIN; /* T2 of retire.c */
    if (s->round_error)
        return s->round_error;
    if (i->epoch.v < s->meta.promised.v && !HX_MUTANT(ADOPT_IGNORES_PROMISE))
        return HX_E_FENCED; /* O1 */
    uint64_t scl = s->chain.scl;
    switch (i->kind) {
    case ITEM_FENCE:
        return settle_fence(i);
    case ITEM_REPAIR:
        scl = hx_chain_walk(&s->chain, &i->history);
        /* What is damaged above it does not pass for what never was. */
        if (hx_seg_lost_within(s, scl + 1, hx_history_top_entry(&i->history)->vdl.v) && !HX_MUTANT(REPAIR_DAMAGED))
            i->flags = HX_REPLY_DAMAGED;
        return u64s(i, scl, NULL);
    case ITEM_LIFE:
        return u64s(i, s->meta.life, NULL);
    case ITEM_ADOPT:
        return u64s(i, hx_seg_top(s).v, &scl);
    default:
        return 0;
    }
}

/* Of an APPEND: each PG for itself; FENCED by one of them is the answer's status, too. */
static void settle_acks(struct hx_node *n, struct hx_item *i)
{
    for (uint32_t k = 0; k < i->count; k++) {
        struct hx_node_ack *a = &n->acks[i->arg + k];
        struct hx_seg *s = a->seg;
        hx_assert(s || a->status); /* verbs.c: NO_SEGMENT */
        if (!a->status)
            a->status = s->round_error;
        if (!a->status && i->epoch.v < s->meta.promised.v && !HX_MUTANT(APPEND_IGNORES_PROMISE))
            a->status = HX_E_FENCED; /* O1 */
        a->scl = a->status ? 0 : s->chain.scl;
        if (HX_MUTANT(ACK_HIGHEST) && !a->status)
            a->scl = hx_chain_highest(&s->chain);
        if (a->status == HX_E_FENCED) {
            i->status = HX_E_FENCED;
            i->seg = s;
        }
    }
}

void hx_out_settle(struct hx_node *n)
{
    for (; n->wait.at < n->wait.count; n->wait.at++) {
        struct hx_item *i = &n->wait.p[n->wait.at];
        if (i->kind == ITEM_ACKS)
            settle_acks(n, i);
        else
            i->status = settle_one(i);
        n->stats.errors += i->status != 0;
        if (!hx_out_push(&n->ready, i))
            hx_out_item_fini(i);
    }
    n->wait.at = n->wait.count = 0;
}

/* ---- bytes ---- */
static int body_acks(struct hx_node *n, const struct hx_item *i)
{
    size_t len = (size_t)i->count * HX_ACK_BYTES;
    uint8_t *p = hx_buf_add(&n->out, len);
    if (!p)
        return HX_E_NOMEM;
    struct hx_enc e = hx_enc_init(p, len);
    for (uint32_t k = 0; k < i->count; k++) {
        const struct hx_node_ack *a = &n->acks[i->arg + k];
        struct hx_ack ack = {a->pg, a->status, HX_LSN(a->scl)};
        hx_ack_encode(&ack, &e);
    }
    hx_assert(!e.err && e.len == len);
    return 0;
}

/* How many of the pages from K on follow each other, so that they mostly do so in the log, too. */
static uint32_t run_from(const struct hx_node *n, const struct hx_item *i, uint32_t k)
{
    const uint8_t *list = n->args.p + i->arg + 4 * (size_t)k;
    uint32_t run = 1;
    while (k + run < i->count && hx_get_u32(list + 4 * (size_t)run) == hx_get_u32(list) + run)
        run++;
    return run;
}

static int body_read(struct hx_node *n, const struct hx_item *i)
{
    size_t heads = (size_t)i->count * HX_READ_PAGE_BYTES, start = n->out.len;
    int err = hx_rules_read(i->seg, i->epoch, i->point);
    if (err)
        return err; /* O3 */
    if (hx_buf_reserve(&n->out, heads + (size_t)i->count * HX_PAGE_SIZE))
        return HX_E_NOMEM;
    uint8_t *p = n->out.p + start, *data = p + heads;
    struct hx_enc e = hx_enc_init(p, heads);
    for (uint32_t k = 0, run = 0, end = 0; k < i->count; k++) {
        struct hx_read_page r;
        uint32_t page = hx_get_u32(n->args.p + i->arg + 4 * (size_t)k);
        if (k == end) {
            run = run_from(n, i, k);
            end += run;
        }
        err = hx_page_read(i->seg, page, i->point, run < FEW ? 0 : end - k, data, &r);
        if (err)
            return err;
        hx_read_page_encode(&r, &e);
        if (r.state == HX_READ_RAW)
            data += HX_PAGE_SIZE;
    }
    n->stats.pages_read += i->count;
    n->out.len = (size_t)(data - n->out.p);
    return 0;
}

static int body_of(struct hx_node *n, struct hx_item *i)
{
    if (i->kind == ITEM_ACKS)
        return body_acks(n, i);
    if (i->kind == ITEM_READ)
        return body_read(n, i);
    if (i->kind == ITEM_DIGEST)
        return hx_digest_body(n, i);
    if (i->kind == ITEM_FETCH) {
        bool more = false;
        int err = hx_rules_fetch(i->seg, i->epoch, i->fetch.raw); /* O3 */
        if (!err)
            err = hx_fetch_serve(i->seg, &i->fetch, &n->out, &more);
        i->flags = more ? HX_REPLY_MORE : 0;
        return err;
    }
    if (!i->body_len)
        return 0;
    uint8_t *p = hx_buf_add(&n->out, i->body_len);
    if (!p)
        return HX_E_NOMEM;
    memcpy(p, i->body.p, i->body_len);
    return 0;
}

static int reply(struct hx_node *n, struct hx_item *i, struct hx_node_effect *ret)
{
    n->out.len = 0;
    if (!hx_buf_add(&n->out, HX_REPLY_HEAD))
        return HX_E_NOMEM;
    int err = i->status && i->kind != ITEM_ACKS ? i->status : body_of(n, i);
    if (err) {
        i->status = err;
        n->out.len = HX_REPLY_HEAD;
    }
    struct hx_reply_head h = {
        .type = i->type, .req_id = i->req_id, .status = i->status, .flags = i->flags, .server = n->server};
    if (i->seg) {
        h.promised = i->seg->meta.promised;
        h.promised_owner = i->seg->meta.owner;
    }
    struct hx_bytes body = {n->out.p + HX_REPLY_HEAD, n->out.len - HX_REPLY_HEAD};
    hx_reply_head_encode(&h, &body, 1, n->out.p);
    *ret = (struct hx_node_effect){.kind = HX_NODE_REPLY, .token = i->token, .body = {n->out.p, n->out.len}};
    return 0;
}

int hx_node_next(struct hx_node *n, struct hx_node_effect *ret)
{
    while (n->ready.at < n->ready.count) {
        hx_out_item_fini(&n->taken);
        n->taken = n->ready.p[n->ready.at++];
        struct hx_item *i = &n->taken;
        if (i->kind == ITEM_SEND) {
            const char *name = (const char *)i->body.p + i->body_len;
            *ret = (struct hx_node_effect){
                .kind = HX_NODE_SEND, .call = i->token, .name = name, .url = name + strlen(name) + 1,
                .body = {i->body.p, i->body_len}, .timeout_ms = CALL_TIMEOUT_MS};
            return 1;
        }
        if (!reply(n, i, ret))
            return 1;
    }
    hx_out_item_fini(&n->taken);
    if (n->wait.at == n->wait.count) /* nobody refers to them any more */
        n->args.len = n->ack_count = 0;
    return 0;
}
