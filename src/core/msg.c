/*
 * msg.c - heads of requests and answers, and the small bodies (layout: hexad/msg.h).
 *
 * Who may send what, and what it does, is decided by segment and node.  The answer to FENCE: inventory.c.
 * Decoding: the head's checksum first, then version, then lengths; a body is handed on only when it is all
 * there and its checksum is right (pitfall 73).  Memory: all borrowed.
 */
#include "hexad/msg.h"

#include "hexad/crc.h"

#include <stdio.h>

const char *hx_msg_type_name(unsigned type)
{
    static const char *const name[HX_MSG_TYPE_END] = {
        [HX_MSG_HELLO] = "HELLO",     [HX_MSG_LOOKUP] = "LOOKUP",   [HX_MSG_FORMAT] = "FORMAT",
        [HX_MSG_FENCE] = "FENCE",     [HX_MSG_FETCH] = "FETCH",     [HX_MSG_REPAIR] = "REPAIR",
        [HX_MSG_ADOPT] = "ADOPT",     [HX_MSG_GEOMETRY] = "GEOMETRY", [HX_MSG_APPEND] = "APPEND",
        [HX_MSG_READ] = "READ",       [HX_MSG_GOSSIP] = "GOSSIP",   [HX_MSG_HISTORY] = "HISTORY",
        [HX_MSG_STATUS] = "STATUS",   [HX_MSG_SCRUB] = "SCRUB",   [HX_MSG_DIGEST] = "DIGEST",
        [HX_MSG_MEMBERS] = "MEMBERS", [HX_MSG_DELETE] = "DELETE",
        [HX_MSG_WISH] = "WISH",
    };
    return type < HX_MSG_TYPE_END && name[type] ? name[type] : "?";
}

static void sum_body(const struct hx_bytes *body, size_t pieces, uint32_t *len, uint32_t *crc)
{
    *len = *crc = 0;
    for (size_t i = 0; i < pieces; i++) {
        *crc = hx_crc32c(*crc, body[i].p, body[i].len);
        *len += (uint32_t)body[i].len;
    }
}

void hx_msg_head_encode(struct hx_msg_head *h, const struct hx_bytes *body, size_t pieces, uint8_t out[HX_MSG_HEAD])
{
    struct hx_enc e = hx_enc_init(out, HX_MSG_HEAD);
    sum_body(body, pieces, &h->body_len, &h->body_crc);
    hx_enc_u32(&e, HX_MSG_MAGIC);
    hx_enc_u16(&e, HX_MSG_VERSION);
    hx_enc_u16(&e, h->type);
    hx_enc_u64(&e, h->req_id);
    hx_enc_uuid(&e, &h->volume);
    hx_enc_uuid(&e, &h->server);
    hx_enc_u64(&e, h->epoch.v);
    hx_enc_uuid(&e, &h->owner);
    hx_enc_u32(&e, h->pg);
    hx_enc_u32(&e, h->g);
    hx_enc_u32(&e, h->m);
    hx_enc_u32(&e, h->body_len);
    hx_enc_u32(&e, h->body_crc);
    hx_enc_u32(&e, hx_crc32c(0, out, HX_MSG_HEAD - 4));
}

void hx_reply_head_encode(struct hx_reply_head *h, const struct hx_bytes *body, size_t pieces,
                          uint8_t out[HX_REPLY_HEAD])
{
    struct hx_enc e = hx_enc_init(out, HX_REPLY_HEAD);
    sum_body(body, pieces, &h->body_len, &h->body_crc);
    hx_enc_u32(&e, HX_REPLY_MAGIC);
    hx_enc_u16(&e, HX_MSG_VERSION);
    hx_enc_u16(&e, h->type);
    hx_enc_u64(&e, h->req_id);
    hx_enc_u32(&e, hx_err_to_wire(h->status));
    hx_enc_u32(&e, h->flags);
    hx_enc_uuid(&e, &h->server);
    hx_enc_u64(&e, h->promised.v);
    hx_enc_uuid(&e, &h->promised_owner);
    hx_enc_u32(&e, h->body_len);
    hx_enc_u32(&e, h->body_crc);
    hx_enc_u32(&e, hx_crc32c(0, out, HX_REPLY_HEAD - 4));
}

/* Magic, checksum, version of a head of LEN bytes; leaves D behind the version. */
static int open_head(struct hx_dec *d, const uint8_t *p, size_t len, size_t head_len, uint32_t magic)
{
    *d = hx_dec_init(p, head_len);
    if (len < head_len)
        return HX_E_EOF;
    if (hx_dec_u32(d) != magic)
        return HX_E_BADMSG;
    if (hx_get_u32(p + head_len - 4) != hx_crc32c(0, p, head_len - 4))
        return HX_E_BADMSG;
    return hx_dec_u16(d) == HX_MSG_VERSION ? 0 : HX_E_VERSION;
}

static int open_body(const uint8_t *p, size_t len, size_t head_len, uint32_t body_len, uint32_t crc,
                     struct hx_bytes *ret)
{
    if (body_len > HX_MSG_BODY_MAX)
        return HX_E_TOOBIG;
    if (len - head_len != body_len)
        return len - head_len < body_len ? HX_E_EOF : HX_E_BADMSG;
    if (hx_crc32c(0, p + head_len, body_len) != crc)
        return HX_E_BADMSG;
    *ret = (struct hx_bytes){p + head_len, body_len};
    return 0;
}

int hx_msg_decode(const uint8_t *p, size_t len, struct hx_msg_head *ret, struct hx_bytes *ret_body)
{
    struct hx_dec d;
    struct hx_msg_head h;
    int err = open_head(&d, p, len, HX_MSG_HEAD, HX_MSG_MAGIC);
    if (err)
        return err;
    h.type = hx_dec_u16(&d);
    h.req_id = hx_dec_u64(&d);
    h.volume = hx_dec_uuid(&d);
    h.server = hx_dec_uuid(&d);
    h.epoch = HX_EPOCH(hx_dec_u64(&d));
    h.owner = hx_dec_uuid(&d);
    h.pg = hx_dec_u32(&d);
    h.g = hx_dec_u32(&d);
    h.m = hx_dec_u32(&d);
    h.body_len = hx_dec_u32(&d);
    h.body_crc = hx_dec_u32(&d);
    err = open_body(p, len, HX_MSG_HEAD, h.body_len, h.body_crc, ret_body);
    if (!err)
        *ret = h;
    return err;
}

int hx_reply_decode(const uint8_t *p, size_t len, struct hx_reply_head *ret, struct hx_bytes *ret_body)
{
    struct hx_dec d;
    struct hx_reply_head h;
    int err = open_head(&d, p, len, HX_REPLY_HEAD, HX_REPLY_MAGIC);
    if (err)
        return err;
    h.type = hx_dec_u16(&d);
    h.req_id = hx_dec_u64(&d);
    h.status = hx_err_from_wire(hx_dec_u32(&d));
    h.flags = hx_dec_u32(&d);
    h.server = hx_dec_uuid(&d);
    h.promised = HX_EPOCH(hx_dec_u64(&d));
    h.promised_owner = hx_dec_uuid(&d);
    h.body_len = hx_dec_u32(&d);
    h.body_crc = hx_dec_u32(&d);
    err = open_body(p, len, HX_REPLY_HEAD, h.body_len, h.body_crc, ret_body);
    if (!err)
        *ret = h;
    return err;
}

int hx_msg_version_of(struct hx_bytes whole)
{
    size_t head = whole.len < 4                            ? 0
                  : hx_get_u32(whole.p) == HX_MSG_MAGIC   ? HX_MSG_HEAD
                  : hx_get_u32(whole.p) == HX_REPLY_MAGIC ? HX_REPLY_HEAD
                                                          : 0;
    if (!head || whole.len < head || hx_get_u32(whole.p + head - 4) != hx_crc32c(0, whole.p, head - 4))
        return -1;
    return hx_get_u16(whole.p + 4);
}

bool hx_msg_version_why(struct hx_bytes answer, unsigned own, char why[HX_MSG_VERSION_WHY])
{
    if (answer.len < HX_REPLY_HEAD || hx_get_u32(answer.p) != HX_REPLY_MAGIC)
        return false;
    bool refused = hx_get_u32(answer.p + 16) == hx_err_to_wire(HX_E_VERSION);
    if (!refused && hx_get_u16(answer.p + 4) == own)
        return false; /* nearly all: no checksum is worked out for them */
    int theirs = hx_msg_version_of(answer);
    if (theirs < 0)
        return false;
    if ((unsigned)theirs == own && refused)
        snprintf(why, HX_MSG_VERSION_WHY, "it does not know this request: upgrade hexad-segmentd there");
    else if ((unsigned)theirs > own || refused)
        snprintf(why, HX_MSG_VERSION_WHY, "it speaks protocol version %d, this program %u: upgrade %s", theirs, own,
                 (unsigned)theirs > own ? "this program" : "hexad-segmentd there");
    else
        return false;
    return true;
}

void hx_hello_encode(const struct hx_hello *h, struct hx_enc *e)
{
    hx_enc_str(e, h->name);
    hx_enc_str(e, h->zone);
    hx_enc_u64(e, h->disk_total);
    hx_enc_u64(e, h->disk_free);
}

int hx_hello_decode(struct hx_hello *h, struct hx_dec *d)
{
    hx_dec_str(d, h->name, sizeof h->name);
    hx_dec_str(d, h->zone, sizeof h->zone);
    h->disk_total = hx_dec_u64(d);
    h->disk_free = hx_dec_u64(d);
    return d->err;
}

static void writer_info_encode(const struct hx_writer_info *w, struct hx_enc *e)
{
    hx_enc_u8(e, w->alive);
    hx_enc_u64(e, w->ago_ms);
    hx_enc_u64(e, w->epoch.v);
    hx_enc_u64(e, w->vdl.v);
    hx_enc_str(e, w->text);
}

static void writer_info_decode(struct hx_writer_info *w, struct hx_dec *d)
{
    w->alive = hx_dec_u8(d) != 0;
    w->ago_ms = hx_dec_u64(d);
    w->epoch = HX_EPOCH(hx_dec_u64(d));
    w->vdl = HX_LSN(hx_dec_u64(d));
    hx_dec_str(d, w->text, sizeof w->text);
}

#define WRITER_INFO_FIXED (1u + 8u + 8u + 8u + 2u)

void hx_lookup_encode(const struct hx_lookup *l, struct hx_enc *e)
{
    hx_enc_uuid(e, &l->volume);
    hx_enc_u64(e, l->top.v);
    hx_enc_u64(e, l->promised.v);
    writer_info_encode(&l->writer, e);
    hx_geometry_encode(&l->geometry, e);
}

size_t hx_lookup_encoded_max(const struct hx_lookup *l)
{
    return 16 + 8 + 8 + WRITER_INFO_FIXED + HX_WRITER_INFO_MAX + hx_geometry_encoded_len(&l->geometry);
}

int hx_lookup_decode(struct hx_lookup *l, struct hx_dec *d)
{
    struct hx_lookup n = {0};
    n.volume = hx_dec_uuid(d);
    n.top = HX_EPOCH(hx_dec_u64(d));
    n.promised = HX_EPOCH(hx_dec_u64(d));
    writer_info_decode(&n.writer, d);
    int err = d->err ? d->err : hx_geometry_decode_any(&n.geometry, d);
    if (!err)
        *l = n;
    return err;
}

void hx_append_head_encode(const struct hx_append_head *a, struct hx_enc *e)
{
    hx_enc_u64(e, a->vdl.v);
    hx_enc_u64(e, a->floor.v);
    hx_enc_u32(e, a->flags);
    hx_enc_u32(e, a->frame_count);
    hx_enc_str(e, a->info);
}

void hx_append_head_decode(struct hx_append_head *a, struct hx_dec *d)
{
    a->vdl = HX_LSN(hx_dec_u64(d));
    a->floor = HX_LSN(hx_dec_u64(d));
    a->flags = hx_dec_u32(d);
    a->frame_count = hx_dec_u32(d);
    hx_dec_str(d, a->info, sizeof a->info);
}

void hx_ack_encode(const struct hx_ack *a, struct hx_enc *e)
{
    hx_enc_u32(e, a->pg);
    hx_enc_u32(e, hx_err_to_wire(a->status));
    hx_enc_u64(e, a->scl.v);
}

void hx_ack_decode(struct hx_ack *a, struct hx_dec *d)
{
    a->pg = hx_dec_u32(d);
    a->status = hx_err_from_wire(hx_dec_u32(d));
    a->scl = HX_LSN(hx_dec_u64(d));
}

void hx_read_page_encode(const struct hx_read_page *r, struct hx_enc *e)
{
    hx_enc_u8(e, r->state);
    hx_enc_bytes(e, "\0\0", 3);
    hx_enc_u32(e, r->crc);
    hx_enc_u64(e, r->lsn.v);
}

void hx_read_page_decode(struct hx_read_page *r, struct hx_dec *d)
{
    r->state = hx_dec_u8(d);
    hx_dec_bytes(d, 3);
    r->crc = hx_dec_u32(d);
    r->lsn = HX_LSN(hx_dec_u64(d));
    if (!d->err && r->state > HX_READ_CORRUPT)
        d->err = HX_E_BADMSG;
}

void hx_gossip_entry_encode(const struct hx_gossip_entry *g, struct hx_enc *e)
{
    hx_enc_u32(e, g->pg);
    hx_enc_u64(e, g->top.v);
    hx_enc_u64(e, g->scl.v);
}

void hx_gossip_entry_decode(struct hx_gossip_entry *g, struct hx_dec *d)
{
    g->pg = hx_dec_u32(d);
    g->top = HX_EPOCH(hx_dec_u64(d));
    g->scl = HX_LSN(hx_dec_u64(d));
}

void hx_digest_ask_encode(const struct hx_digest_ask *q, struct hx_enc *e)
{
    hx_enc_u64(e, q->point.v);
    hx_enc_u32(e, q->first);
    hx_enc_u32(e, q->pages);
    hx_enc_u32(e, q->heads);
}

void hx_digest_ask_decode(struct hx_digest_ask *q, struct hx_dec *d)
{
    q->point = HX_LSN(hx_dec_u64(d));
    q->first = hx_dec_u32(d);
    q->pages = hx_dec_u32(d);
    q->heads = hx_dec_u32(d);
    if (!d->err && (!q->pages || q->pages > HX_DIGEST_PAGES_MAX || !q->heads || q->heads > HX_DIGEST_HEADS_MAX))
        d->err = HX_E_BADMSG;
}

static void scrub_status_encode(const struct hx_scrub_status *s, struct hx_enc *e)
{
    hx_enc_u64(e, s->cycles);
    hx_enc_u64(e, s->asked);
    hx_enc_u64(e, s->done);
    hx_enc_u64(e, s->total);
    hx_enc_u64(e, s->found);
    hx_enc_u64(e, s->mended);
    hx_enc_u64(e, s->differed);
    hx_enc_u64(e, s->undecided);
}

static void scrub_status_decode(struct hx_scrub_status *s, struct hx_dec *d)
{
    s->cycles = hx_dec_u64(d);
    s->asked = hx_dec_u64(d);
    s->done = hx_dec_u64(d);
    s->total = hx_dec_u64(d);
    s->found = hx_dec_u64(d);
    s->mended = hx_dec_u64(d);
    s->differed = hx_dec_u64(d);
    s->undecided = hx_dec_u64(d);
}

size_t hx_segment_status_encoded_max(void)
{
    return 16 + 2 + HX_NAME_MAX + 4 + 2 * 8 + 4 * 8 + 4 * 8 + 4 + 8 * 8 + WRITER_INFO_FIXED + HX_WRITER_INFO_MAX;
}

void hx_segment_status_encode(const struct hx_segment_status *s, struct hx_enc *e)
{
    hx_enc_uuid(e, &s->volume);
    hx_enc_str(e, s->volume_name);
    hx_enc_u32(e, s->pg);
    hx_enc_u64(e, s->top.v);
    hx_enc_u64(e, s->promised.v);
    hx_enc_u64(e, s->scl.v);
    hx_enc_u64(e, s->highest.v);
    hx_enc_u64(e, s->vdl.v);
    hx_enc_u64(e, s->gc.v);
    hx_enc_u64(e, s->disk_bytes);
    hx_enc_u64(e, s->pages);
    hx_enc_u64(e, s->records);
    hx_enc_u64(e, s->damaged);
    hx_enc_u32(e, hx_err_to_wire(s->state));
    scrub_status_encode(&s->scrub, e);
    writer_info_encode(&s->writer, e);
}

void hx_segment_status_decode(struct hx_segment_status *s, struct hx_dec *d)
{
    s->volume = hx_dec_uuid(d);
    hx_dec_str(d, s->volume_name, sizeof s->volume_name);
    s->pg = hx_dec_u32(d);
    s->top = HX_EPOCH(hx_dec_u64(d));
    s->promised = HX_EPOCH(hx_dec_u64(d));
    s->scl = HX_LSN(hx_dec_u64(d));
    s->highest = HX_LSN(hx_dec_u64(d));
    s->vdl = HX_LSN(hx_dec_u64(d));
    s->gc = HX_LSN(hx_dec_u64(d));
    s->disk_bytes = hx_dec_u64(d);
    s->pages = hx_dec_u64(d);
    s->records = hx_dec_u64(d);
    s->damaged = hx_dec_u64(d);
    s->state = hx_err_from_wire(hx_dec_u32(d));
    scrub_status_decode(&s->scrub, d);
    writer_info_decode(&s->writer, d);
}

void hx_segment_part_encode(const struct hx_segment_part *s, struct hx_enc *e)
{
    hx_enc_u64(e, s->life);
    hx_enc_u64(e, s->filled);
    hx_enc_u64(e, s->of);
    hx_enc_u64(e, s->epoch.v);
    hx_enc_u32(e, s->g);
    hx_enc_u32(e, s->m);
    hx_enc_u32(e, s->flags);
}

void hx_segment_part_decode(struct hx_segment_part *s, struct hx_dec *d)
{
    s->life = hx_dec_u64(d);
    s->filled = hx_dec_u64(d);
    s->of = hx_dec_u64(d);
    s->epoch = HX_EPOCH(hx_dec_u64(d));
    s->g = hx_dec_u32(d);
    s->m = hx_dec_u32(d);
    s->flags = hx_dec_u32(d);
}
