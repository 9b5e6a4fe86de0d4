/*
 * wish.c - wishes that wait for a volume's writer (hexad/wish.h): kept in memory, one for each name, and only while
 * they are said again.
 *
 * Nothing is promised by keeping one, so a restart forgets them.  Memory: HX_WISHES_MAX of a volume, while there are
 * any.
 */
#include "node_private.h"

#include <stdlib.h>

static void drop(struct hx_volume *v, uint32_t i)
{
    memmove(v->wishes + i, v->wishes + i + 1, (--v->wish_count - i) * sizeof *v->wishes);
    if (v->wish_count)
        return;
    free(v->wishes);
    v->wishes = NULL;
    v->wish_cap = 0;
}

static void forget_old(struct hx_volume *v, uint64_t now_ms)
{
    for (uint32_t i = v->wish_count; i-- > 0;)
        if (now_ms - v->wishes[i].ms > HX_WISH_MS)
            drop(v, i);
}

bool hx_wish_waits(struct hx_volume *v, uint64_t now_ms)
{
    forget_old(v, now_ms);
    return v->wish_count > 0;
}

static int keep(struct hx_volume *v, const struct hx_wish *w, uint64_t now_ms)
{
    for (uint32_t i = v->wish_count; i-- > 0;) /* the last word about a server counts, and goes to the end */
        if (!strcmp(v->wishes[i].wish.server.name, w->server.name))
            drop(v, i);
    if (v->wish_count == HX_WISHES_MAX)
        drop(v, 0);
    if (hx_buf_grow(&v->wishes, &v->wish_cap, v->wish_count, sizeof *v->wishes))
        return HX_E_NOMEM;
    v->wishes[v->wish_count++] = (struct hx_kept_wish){.wish = *w, .ms = now_ms};
    return 0;
}

static int tell(struct hx_node *n, const struct hx_req *r, const struct hx_volume *v)
{
    struct hx_buf b = {0};
    uint8_t *p = hx_buf_add(&b, 4 + v->wish_count * (size_t)HX_WISH_BYTES);
    if (!p)
        return HX_E_NOMEM;
    struct hx_enc e = hx_enc_init(p, b.len);
    hx_enc_u32(&e, v->wish_count);
    for (uint32_t i = 0; i < v->wish_count; i++)
        hx_wish_encode(&v->wishes[i].wish, &e);
    hx_assert(!e.err);
    b.len = e.len;
    hx_out_body(n, r, &b);
    return 0;
}

int hx_wish_verb(struct hx_node *n, struct hx_req *r)
{
    struct hx_volume *v = hx_volume_get(n, &r->head.volume, false);
    struct hx_wish w;
    if (!v)
        return HX_E_NO_VOLUME;
    forget_old(v, r->now_ms);
    if (r->body.off == r->body.len)
        return tell(n, r, v);
    int err = hx_wish_decode(&w, &r->body);
    err = err ? err : hx_dec_end(&r->body);
    err = err ? err : keep(v, &w, r->now_ms);
    return err ? err : tell(n, r, v);
}
