/*
 * buf.c - bytes and arrays that grow, and the sum of a record.
 *
 * Growth doubles, so that adding one element costs constant time; nothing shrinks but by fini.  A failed
 * growth leaves everything as it was.  Pure.
 */
#include "store.h"

#include <stdlib.h>

#define CAP_MIN 512u /* most answers are short, and the allocator keeps small blocks at hand */

int hx_buf_reserve(struct hx_buf *b, size_t more)
{
    if (more <= b->cap - b->len)
        return 0;
    hx_assert(more <= SIZE_MAX / 4 && b->len <= SIZE_MAX / 4); /* what is asked for is bounded by messages and files */
    size_t cap = b->cap ? b->cap : CAP_MIN;
    while (cap - b->len < more)
        cap *= 2;
    uint8_t *p = realloc(b->p, cap);
    if (!p)
        return HX_E_NOMEM;
    b->p = p;
    b->cap = cap;
    return 0;
}

uint8_t *hx_buf_add(struct hx_buf *b, size_t more)
{
    if (hx_buf_reserve(b, more))
        return NULL;
    uint8_t *at = b->p + b->len;
    b->len += more;
    return at;
}

void hx_buf_fini(struct hx_buf *b)
{
    free(b->p);
    *b = (struct hx_buf){0};
}

int hx_buf_grow(void *p, size_t *cap, size_t count, size_t size)
{
    if (count < *cap)
        return 0;
    size_t n = *cap ? *cap * 2 : 16;
    void *old, *new;
    memcpy(&old, p, sizeof old);
    hx_assert(n <= SIZE_MAX / 2 / size);
    new = realloc(old, n * size);
    if (!new)
        return HX_E_NOMEM;
    memcpy(p, &new, sizeof new);
    *cap = n;
    return 0;
}

uint32_t hx_store_sum(uint8_t kind, uint32_t page, const uint8_t *payload, size_t len)
{
    uint8_t head[5 + 128];
    head[0] = kind;
    hx_put_u32(head + 1, page);
    if (len && len <= sizeof head - 5) { /* of so little, a second call would cost as much as all of it */
        memcpy(head + 5, payload, len);
        return hx_crc32c(0, head, 5 + len);
    }
    return hx_crc32c(hx_crc32c(0, head, 5), payload, len);
}
