/*
 * digest.c - what pages are as of a read point, without their bytes, so that peers can compare what they have.
 *
 *   D1 A head says what a read would give: LSN and crc of the page's 4,096 bytes.  It does not depend on how the page
 *      is stored (base and patches, image, never written): members that hold the same records give the same heads.
 *   D2 An answer is made when it is taken, after the flush of its batch (out.c O2): no commit waits for it.
 *   D3 One answer reads PAGES_READ pages that exist and a little more; who asks goes on from where it ended.
 */
#include "node_private.h"

#include <stdlib.h>

#define PAGES_READ 128u

static const uint8_t zeros[HX_PAGE_SIZE];

/* Of one page (D1); *ret_read: its bytes had to be read. */
static int page_head(struct hx_seg *s, uint32_t page, uint64_t point, struct hx_read_page *ret, size_t *read)
{
    int err = hx_page_read(s, page, point, 0, s->env->page, ret);
    if (err)
        return err;
    *read += ret->state == HX_READ_RAW;
    if (ret->state == HX_READ_ZEROS) {
        ret->state = HX_READ_RAW;
        ret->crc = hx_crc32c(0, zeros, sizeof zeros);
    }
    return 0;
}

static int group_head(struct hx_seg *s, const struct hx_digest_ask *q, uint32_t first, uint64_t pages,
                      struct hx_read_page *ret, size_t *read)
{
    struct hx_read_page sum = {.state = HX_READ_RAW};
    for (uint32_t i = 0; i < q->pages && (uint64_t)first + i < pages; i++) {
        struct hx_read_page p;
        uint8_t b[HX_READ_PAGE_BYTES];
        struct hx_enc e = hx_enc_init(b, sizeof b);
        int err = page_head(s, first + i, q->point.v, &p, read);
        if (err)
            return err;
        hx_read_page_encode(&p, &e);
        sum.crc = q->pages == 1 ? p.crc : hx_crc32c(sum.crc, b, sizeof b);
        sum.lsn = hx_lsn_max(sum.lsn, p.lsn);
        sum.state = p.state == HX_READ_CORRUPT ? HX_READ_CORRUPT : sum.state;
    }
    *ret = sum;
    return 0;
}

int hx_digest_heads(struct hx_seg *s, const struct hx_digest_ask *q, struct hx_read_page *ret, uint32_t *ret_count,
                    size_t *ret_read)
{
    uint64_t pages = hx_geometry_pg_pages(&s->meta.geometry), first = q->first;
    uint32_t n = 0;
    *ret_read = 0;
    for (; n < q->heads && first < pages && *ret_read < PAGES_READ; n++, first += q->pages) { /* D3 */
        int err = group_head(s, q, (uint32_t)first, pages, &ret[n], ret_read);
        if (err)
            return err;
    }
    *ret_count = n;
    return 0;
}

int hx_digest_ask(struct hx_node *n, const struct hx_req *r, const struct hx_digest_ask *q)
{
    struct hx_item i = hx_out_item(r, ITEM_DIGEST);
    i.point = q->point.v;
    i.arg = n->args.len;
    uint8_t *p = hx_buf_add(&n->args, 12);
    if (!p || !hx_out_push(&n->ready, &i))
        return HX_E_NOMEM;
    hx_put_u32(p, q->first);
    hx_put_u32(p + 4, q->pages);
    hx_put_u32(p + 8, q->heads);
    return 0;
}

int hx_digest_body(struct hx_node *n, const struct hx_item *i)
{
    const uint8_t *a = n->args.p + i->arg;
    struct hx_digest_ask q = {HX_LSN(i->point), hx_get_u32(a), hx_get_u32(a + 4), hx_get_u32(a + 8)};
    int err = hx_rules_read(i->seg, i->epoch, i->point); /* O3 */
    struct hx_read_page *heads = malloc(q.heads * sizeof *heads);
    uint32_t count = 0;
    size_t read = 0;
    if (!err)
        err = heads ? hx_digest_heads(i->seg, &q, heads, &count, &read) : HX_E_NOMEM;
    uint8_t *p = err ? NULL : hx_buf_add(&n->out, (size_t)count * HX_READ_PAGE_BYTES);
    if (p) {
        struct hx_enc e = hx_enc_init(p, (size_t)count * HX_READ_PAGE_BYTES);
        for (uint32_t k = 0; k < count; k++)
            hx_read_page_encode(&heads[k], &e);
        hx_assert(!e.err);
        n->stats.pages_read += read;
    }
    free(heads);
    return err ? err : p ? 0 : HX_E_NOMEM;
}
