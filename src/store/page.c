/*
 * page.c - a page as of a read point, made from its newest base and the later patches.
 *
 *   P1 Every payload is compared with the sum taken when it was received; what does not match is never used:
 *      the page is CORRUPT, the record is remembered as unknown, and gossip fetches it again (I11).
 *   P2 While there is blind damage (struct hx_unknown), a page is CORRUPT unless its base is newer than it, or a
 *      peer confirmed the page and the read point is not below that (gossip.c).
 * Refusals by read point (too old, lagging) are the caller's.  Memory: one array per segment, as long as the
 * longest chain read.
 */
#include "store.h"

#include "hexad/mutant.h"

static void damaged(struct hx_seg *s, uint32_t page, const struct hx_node_rec *n)
{
    uint64_t lsn = hx_index_lsn(&s->index, n);
    hx_seg_unknown(s, lsn, lsn, page, false);
}

int hx_page_payload(struct hx_seg *s, uint32_t page, const struct hx_node_rec *n, bool whole, uint8_t *buf,
                    const uint8_t **ret)
{
    const struct hx_frame_ref *f = hx_index_frame(&s->index, n->frame);
    uint32_t off = hx_index_off(n);
    int err = 0;
    *ret = buf;
    hx_assert(off <= f->raw_len && n->len <= f->raw_len - off && n->len <= HX_PAGE_SIZE); /* side.c, log.c */
    if (n->len && f->codec == 0 && !whole) {
        err = hx_log_read(s, f->file, (uint64_t)f->off + HX_LOG_ENV + HX_FRAME_HEAD + off, buf, n->len);
    } else if (n->len) {
        const uint8_t *raw;
        err = hx_bodies_get(&s->env->bodies, s, f, &raw);
        if (!err)
            *ret = raw + off;
        else if (err == HX_E_CORRUPT && f->codec == 0) /* another record of the frame may be the damaged one */
            err = hx_log_read(s, f->file, (uint64_t)f->off + HX_LOG_ENV + HX_FRAME_HEAD + off, buf, n->len);
    }
    if (!err && hx_store_sum(hx_index_kind(n), page, *ret, n->len) != n->sum && !HX_MUTANT(SUM_IGNORED))
        err = HX_E_CORRUPT;
    if (err == HX_E_IO)
        err = HX_E_CORRUPT; /* a sector that cannot be read is as lost as one that lies */
    if (err == HX_E_CORRUPT)
        damaged(s, page, n); /* P1 */
    return err;
}

int hx_page_try(struct hx_seg *s, uint32_t page, uint64_t lsn, uint32_t slot, uint32_t off)
{
    for (uint32_t i = hx_index_head(&s->index, page); i != HX_NONE; i = hx_index_node(&s->index, i)->older) {
        const struct hx_node_rec *n = hx_index_node(&s->index, i);
        const struct hx_frame_ref *f = hx_index_frame(&s->index, n->frame);
        const uint8_t *payload;
        if (hx_index_lsn(&s->index, n) != lsn)
            continue;
        bool here = f->file == slot && f->off == off;
        int err = here ? hx_page_payload(s, page, n, false, s->env->page + HX_PAGE_SIZE, &payload) : 0;
        if (err && err != HX_E_CORRUPT)
            return err;
        if (hx_rec_is_base(hx_index_kind(n)))
            break; /* no read needs what is below it */
    }
    return 0;
}

static bool blind_at(const struct hx_seg *s, uint32_t page, uint64_t base, uint64_t point)
{
    for (size_t i = 0; i < s->unknown_count; i++) {
        const struct hx_unknown *u = &s->unknowns[i];
        if (u->blind && point >= u->from && base < u->to && !hx_seg_is_sound(s, u, page, point))
            return true;
    }
    return false;
}

/* The entries from the newest at or below POINT down to a base, newest first, in s->path. */
static int collect(struct hx_seg *s, uint32_t page, uint64_t point, size_t *ret_count)
{
    size_t n = 0;
    uint32_t i = hx_index_head(&s->index, page);
    while (i != HX_NONE && hx_index_lsn(&s->index, hx_index_node(&s->index, i)) > point)
        i = hx_index_node(&s->index, i)->older;
    for (; i != HX_NONE; i = hx_index_node(&s->index, i)->older) {
        int err = hx_buf_grow(&s->path, &s->path_cap, n, sizeof *s->path);
        if (err)
            return err;
        s->path[n++] = i;
        if (hx_rec_is_base(hx_index_kind(hx_index_node(&s->index, i))))
            break;
    }
    *ret_count = n;
    return 0;
}

bool hx_page_blind(struct hx_seg *s, uint32_t page, uint64_t point)
{
    size_t n;
    if (collect(s, page, point, &n))
        return false; /* no memory: another time */
    const struct hx_node_rec *last = n ? hx_index_node(&s->index, s->path[n - 1]) : NULL;
    return blind_at(s, page, last && hx_rec_is_base(hx_index_kind(last)) ? hx_index_lsn(&s->index, last) : 0, point);
}

int hx_page_read(struct hx_seg *s, uint32_t page, uint64_t point, bool whole, uint8_t data[HX_PAGE_SIZE],
                 struct hx_read_page *ret)
{
    size_t n;
    int err = collect(s, page, point, &n);
    if (err)
        return err;
    *ret = (struct hx_read_page){.state = HX_READ_ZEROS};
    const struct hx_node_rec *base = n ? hx_index_node(&s->index, s->path[n - 1]) : NULL;
    bool has_base = base && hx_rec_is_base(hx_index_kind(base));
    if (s->unknown_count && blind_at(s, page, has_base ? hx_index_lsn(&s->index, base) : 0, point)) { /* P2 */
        ret->state = HX_READ_CORRUPT;
        return 0;
    }
    if (n == 0)
        return 0;
    ret->lsn = HX_LSN(hx_index_lsn(&s->index, hx_index_node(&s->index, s->path[0])));
    if (n == 1 && (hx_index_kind(base) == HX_REC_ZERO || hx_index_kind(base) == HX_REC_FREE))
        return 0;
    memset(data, 0, HX_PAGE_SIZE);
    while (n-- > 0) {
        const struct hx_node_rec *r = hx_index_node(&s->index, s->path[n]);
        const uint8_t *payload;
        err = hx_page_payload(s, page, r, whole, s->env->page + HX_PAGE_SIZE, &payload);
        if (!err && hx_rec_apply(data, hx_index_kind(r), payload, r->len))
            err = HX_E_CORRUPT; /* a writer's mistake: the record came like this */
        if (err == HX_E_CORRUPT) {
            ret->state = HX_READ_CORRUPT;
            return 0;
        }
        if (err)
            return err;
    }
    ret->state = HX_READ_RAW;
    ret->crc = hx_crc32c(0, data, HX_PAGE_SIZE);
    return 0;
}
