/*
 * record.c - a change to a page as bytes: making the smallest record, and applying one.
 *
 * Applying checks everything before it touches the page, so a malformed payload leaves it as it was.
 * Pure, no memory.
 */
#include "hexad/assert.h"
#include "hexad/frame.h"

#define RANGE_HEAD 4u
#define MERGE_GAP 8u /* bytes: a range head costs 4, and a walk per range; nearer ranges become one */

static bool ranges_sane(const uint8_t *p, size_t len)
{
    size_t at = 0;
    while (at < len) {
        if (len - at < RANGE_HEAD)
            return false;
        size_t off = hx_get_u16(p + at), n = hx_get_u16(p + at + 2);
        at += RANGE_HEAD;
        if (n == 0 || off + n > HX_PAGE_SIZE || n > len - at)
            return false;
        at += n;
    }
    return true;
}

static void ranges_apply(uint8_t *page, const uint8_t *p, size_t len)
{
    size_t at = 0;
    while (at < len) {
        size_t off = hx_get_u16(p + at), n = hx_get_u16(p + at + 2);
        memcpy(page + off, p + at + RANGE_HEAD, n);
        at += RANGE_HEAD + n;
    }
}

int hx_rec_apply(uint8_t page[HX_PAGE_SIZE], uint8_t kind, const uint8_t *payload, size_t len)
{
    switch (kind) {
    case HX_REC_PATCH:
    case HX_REC_SPARSE:
        if (!ranges_sane(payload, len))
            return HX_E_BADMSG;
        if (kind == HX_REC_SPARSE)
            memset(page, 0, HX_PAGE_SIZE);
        ranges_apply(page, payload, len);
        return 0;
    case HX_REC_IMAGE:
        if (len > HX_PAGE_SIZE)
            return HX_E_BADMSG;
        if (len)
            memcpy(page, payload, len);
        memset(page + len, 0, HX_PAGE_SIZE - len);
        return 0;
    case HX_REC_ZERO:
    case HX_REC_FREE:
        if (len)
            return HX_E_BADMSG;
        memset(page, 0, HX_PAGE_SIZE);
        return 0;
    default:
        return HX_E_BADMSG;
    }
}

static uint64_t word(const uint8_t *p, size_t i)
{
    uint64_t v;
    memcpy(&v, p + 8 * i, 8);
    return v;
}

/* Length without the zeros at the end. */
static size_t trimmed(const uint8_t *page)
{
    size_t w = HX_PAGE_SIZE / 8;
    while (w > 0 && word(page, w - 1) == 0)
        w--;
    size_t len = 8 * w;
    while (len > 0 && page[len - 1] == 0)
        len--;
    return len;
}

/* One range [from, to) of AFTER at OUT + *len; false when the whole would not stay below MAX. */
static bool put_range(uint8_t *out, size_t *len, size_t max, const uint8_t *after, size_t from, size_t to)
{
    if (*len + RANGE_HEAD + (to - from) >= max)
        return false;
    hx_put_u16(out + *len, (uint16_t)from);
    hx_put_u16(out + *len + 2, (uint16_t)(to - from));
    memcpy(out + *len + RANGE_HEAD, after + from, to - from);
    *len += RANGE_HEAD + (to - from);
    return true;
}

/* Byte-exact bounds of the difference inside the words [w, x). */
static void narrow(const uint8_t *before, const uint8_t *after, size_t w, size_t x, size_t *from, size_t *to)
{
    *from = 8 * w;
    *to = 8 * x;
    while (before[*from] == after[*from])
        ++*from;
    while (before[*to - 1] == after[*to - 1])
        --*to;
}

/* Ranges in which AFTER differs, to OUT; their length, or MAX when they are not shorter than MAX. */
static size_t diff_ranges(const uint8_t *before, const uint8_t *after, uint8_t *out, size_t max)
{
    size_t len = 0, from = 0, to = 0; /* the range being grown; from == to: none */
    size_t w = 0, words = HX_PAGE_SIZE / 8;
    while (w < words) {
        if (word(before, w) == word(after, w)) {
            w++;
            continue;
        }
        size_t x = w + 1, a, b;
        while (x < words && word(before, x) != word(after, x))
            x++;
        narrow(before, after, w, x, &a, &b);
        if (to > from && a - to <= MERGE_GAP) {
            to = b;
        } else {
            if (to > from && !put_range(out, &len, max, after, from, to))
                return max;
            from = a;
            to = b;
        }
        w = x;
    }
    if (to > from && !put_range(out, &len, max, after, from, to))
        return max;
    return len;
}

/* No two zero words in a row: leaving zeros out cannot pay. */
static bool is_dense(const uint8_t *page)
{
    for (size_t w = 0; w < HX_PAGE_SIZE / 8; w += 2)
        if (word(page, w) == 0)
            return false;
    return true;
}

int hx_rec_diff(const uint8_t *before, const uint8_t after[HX_PAGE_SIZE], bool over_zeros,
                uint8_t out[HX_PAGE_SIZE], uint16_t *ret_len)
{
    static const uint8_t zeros[HX_PAGE_SIZE];
    bool unknown = !before && !over_zeros;
    const uint8_t *base = before && !over_zeros ? before : zeros;
    size_t image = trimmed(after);
    *ret_len = 0;
    if (image == 0)
        return !unknown && trimmed(base) == 0 ? 0 : HX_REC_ZERO;
    size_t n = base == zeros && is_dense(after) ? image : diff_ranges(base, after, out, image);
    if (n == 0)
        return 0; /* cannot be over zeros: image > 0 */
    if (n < image) {
        *ret_len = (uint16_t)n;
        return base == before ? HX_REC_PATCH : HX_REC_SPARSE;
    }
    *ret_len = (uint16_t)image;
    return HX_REC_IMAGE;
}
