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
 * A sum is the crc of five bytes (kind and page), H, and the payload.  crc(H and payload) = crc(payload) ^ f(crc(H)), f
 * linear: what the bits of crc(H) become by 4,096 bytes of zeros.  crc(H) is linear in the bits of the page, too, but
 * for a constant; so f of it is put together from four bits of the page at a time.  The constant is in the first row.
 */
uint32_t hx_store_image_sum(uint32_t crc, uint32_t page)
{
    static const uint32_t of[8][16] = {
        {0x4e6f3543, 0x0e0a1ba4, 0xcea5688d, 0x8ec0466a, 0x4a17f82e, 0x0a72d6c9, 0xcadda5e0, 0x8ab88b07,
         0x469eaf99, 0x06fb817e, 0xc654f257, 0x8631dcb0, 0x42e662f4, 0x02834c13, 0xc22c3f3a, 0x824911dd},
        {0x00000000, 0x11e335b4, 0x23c66b68, 0x32255edc, 0x478cd6d0, 0x566fe364, 0x644abdb8, 0x75a9880c,
         0x8f19ada0, 0x9efa9814, 0xacdfc6c8, 0xbd3cf37c, 0xc8957b70, 0xd9764ec4, 0xeb531018, 0xfab025ac},
        {0x00000000, 0x1bdf2db1, 0x37be5b62, 0x2c6176d3, 0x6f7cb6c4, 0x74a39b75, 0x58c2eda6, 0x431dc017,
         0xdef96d88, 0xc5264039, 0xe94736ea, 0xf2981b5b, 0xb185db4c, 0xaa5af6fd, 0x863b802e, 0x9de4ad9f},
        {0x00000000, 0xb81eade1, 0x75d12d33, 0xcdcf80d2, 0xeba25a66, 0x53bcf787, 0x9e737755, 0x266ddab4,
         0xd2a8c23d, 0x6ab66fdc, 0xa779ef0e, 0x1f6742ef, 0x390a985b, 0x811435ba, 0x4cdbb568, 0xf4c51889},
        {0x00000000, 0xa0bdf28b, 0x449793e7, 0xe42a616c, 0x892f27ce, 0x2992d545, 0xcdb8b429, 0x6d0546a2,
         0x17b2396d, 0xb70fcbe6, 0x5325aa8a, 0xf3985801, 0x9e9d1ea3, 0x3e20ec28, 0xda0a8d44, 0x7ab77fcf},
        {0x00000000, 0x2f6472da, 0x5ec8e5b4, 0x71ac976e, 0xbd91cb68, 0x92f5b9b2, 0xe3592edc, 0xcc3d5c06,
         0x7ecfe021, 0x51ab92fb, 0x20070595, 0x0f63774f, 0xc35e2b49, 0xec3a5993, 0x9d96cefd, 0xb2f2bc27},
        {0x00000000, 0xfd9fc042, 0xfed3f675, 0x034c3637, 0xf84b9a1b, 0x05d45a59, 0x06986c6e, 0xfb07ac2c,
         0xf57b42c7, 0x08e48285, 0x0ba8b4b2, 0xf63774f0, 0x0d30d8dc, 0xf0af189e, 0xf3e32ea9, 0x0e7ceeeb},
        {0x00000000, 0xef1af37f, 0xdbd9900f, 0x34c36370, 0xb25f56ef, 0x5d45a590, 0x6986c6e0, 0x869c359f,
         0x6152db2f, 0x8e482850, 0xba8b4b20, 0x5591b85f, 0xd30d8dc0, 0x3c177ebf, 0x08d41dcf, 0xe7ceeeb0}};
    for (unsigned i = 0; i < HX_ARRAY_LEN(of); i++, page >>= 4)
        crc ^= of[i][page & 15];
    return crc;
}
