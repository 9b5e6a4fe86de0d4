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

/*
 * A sum is the crc of five bytes, H, and the payload.  crc(H and payload) = crc(payload) ^ f(crc(H)), f linear: what
 * the bits of crc(H) become by 4,096 bytes of zeros.  So whoever has the one need not go through the page again for the
 * other.
 */
uint32_t hx_store_page_crc(uint32_t sum, uint8_t kind, uint32_t page)
{
    static const uint32_t f[32] = {
        0xc2a5b65e, 0x80a71a4d, 0x04a2426b, 0x094484d6, 0x128909ac, 0x25121358, 0x4a2426b0, 0x94484d60,
        0x2d7cec31, 0x5af9d862, 0xb5f3b0c4, 0x6e0b1779, 0xdc162ef2, 0xbdc02b15, 0x7e6c20db, 0xfcd841b6,
        0xfc5cf59d, 0xfd559dcb, 0xff474d67, 0xfb62ec3f, 0xf329ae8f, 0xe3bf2bef, 0xc292212f, 0x80c834af,
        0x047c1faf, 0x08f83f5e, 0x11f07ebc, 0x23e0fd78, 0x47c1faf0, 0x8f83f5e0, 0x1aeb9d31, 0x35d73a62};
    uint8_t head[5] = {kind};
    hx_put_u32(head + 1, page);
    uint32_t crc = hx_crc32c(0, head, sizeof head);
    for (unsigned i = 0; i < HX_ARRAY_LEN(f); i++)
        sum ^= f[i] & -(crc >> i & 1);
    return sum;
}
