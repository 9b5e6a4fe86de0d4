/*
 * span.c - maps of runs, and the bytes that a tag stands for (span.h).
 *
 * A change is one search and one memmove.  Memory: one array; running out of it ends the process, as everywhere in the
 * simulator: a run without memory says nothing.
 */
#include "span.h"

#include "hexad/assert.h"

#include <stdlib.h>
#include <string.h>

void hx_spans_fini(struct hx_spans *s)
{
    free(s->at);
    *s = (struct hx_spans){0};
}

void hx_spans_copy(struct hx_spans *dst, const struct hx_spans *src)
{
    *dst = (struct hx_spans){.count = src->count, .cap = src->count, .total = src->total};
    if (src->count == 0)
        return;
    dst->at = malloc(src->count * sizeof *dst->at);
    hx_assert(dst->at);
    memcpy(dst->at, src->at, src->count * sizeof *dst->at);
}

/* The first run that ends behind X. */
static size_t find(const struct hx_spans *s, uint64_t x)
{
    size_t lo = 0, hi = s->count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->at[mid].to > x)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

uint64_t hx_spans_at(const struct hx_spans *s, uint64_t x, uint64_t *ret_end)
{
    size_t i = find(s, x);
    if (i == s->count)
        *ret_end = UINT64_MAX;
    else if (s->at[i].from > x)
        *ret_end = s->at[i].from;
    else {
        *ret_end = s->at[i].to;
        return s->at[i].tag;
    }
    return 0;
}

/* Runs [lo, hi) become the COUNT runs of NEW. */
static void splice(struct hx_spans *s, size_t lo, size_t hi, const struct hx_span *new, size_t count)
{
    for (size_t i = lo; i < hi; i++)
        s->total -= s->at[i].to - s->at[i].from;
    size_t after = s->count - (hi - lo) + count;
    if (after > s->cap) {
        s->cap = after * 2;
        s->at = realloc(s->at, s->cap * sizeof *s->at);
        hx_assert(s->at);
    }
    if (s->count > hi)
        memmove(s->at + lo + count, s->at + hi, (s->count - hi) * sizeof *s->at);
    for (size_t i = 0; i < count; i++) {
        s->at[lo + i] = new[i];
        s->total += new[i].to - new[i].from;
    }
    s->count = after;
}

void hx_spans_set(struct hx_spans *s, uint64_t from, uint64_t to, uint64_t tag)
{
    struct hx_span new[3];
    size_t n = 0;
    if (from >= to)
        return;
    size_t lo = find(s, from), hi = lo;
    while (hi < s->count && s->at[hi].from < to)
        hi++;
    if (lo < hi && s->at[lo].from < from && s->at[lo].tag != tag)
        new[n++] = (struct hx_span){s->at[lo].from, from, s->at[lo].tag};
    else if (lo < hi && s->at[lo].from < from)
        from = s->at[lo].from;
    else if (lo > 0 && s->at[lo - 1].to == from && s->at[lo - 1].tag == tag)
        from = s->at[--lo].from;
    struct hx_span tail = {0, 0, 0};
    if (lo < hi && s->at[hi - 1].to > to)
        tail = (struct hx_span){to, s->at[hi - 1].to, s->at[hi - 1].tag};
    else if (hi < s->count && s->at[hi].from == to && s->at[hi].tag == tag)
        tail = s->at[hi++];
    if (tail.tag == tag && tail.to > to) {
        to = tail.to;
        tail.tag = 0;
    }
    if (tag)
        new[n++] = (struct hx_span){from, to, tag};
    if (tail.tag)
        new[n++] = tail;
    splice(s, lo, hi, new, n);
}

/* ---- bytes ---- */
static inline uint64_t word(uint64_t tag, uint64_t number)
{
    if (tag & HX_TAG_FLAT)
        return (tag & 0xff) * UINT64_C(0x0101010101010101);
    if (tag % HX_TAG_DENSE)
        number >>= 5; /* runs of 256 bytes: most tags are cheap to compress, as most data is */
    uint64_t w = (tag * UINT64_C(0x9e3779b97f4a7c15) ^ number) * UINT64_C(0xbf58476d1ce4e5b9);
    return w ^ w >> 29;
}

static inline uint8_t byte(uint64_t tag, uint64_t off)
{
    return (uint8_t)(word(tag, off >> 3) >> (8 * (off & 7)));
}

/* Where the word of number N ends to be the same: the next number. */
static inline uint64_t word_end(uint64_t tag, uint64_t number)
{
    return tag & HX_TAG_FLAT ? UINT64_MAX : tag % HX_TAG_DENSE ? (number | 31) + 1 : number + 1;
}

void hx_pattern_fill(uint64_t tag, uint64_t off, uint8_t *buf, size_t len)
{
    size_t i = 0;
    if (tag & HX_TAG_FLAT) {
        memset(buf, (int)(tag & 0xff), len);
        return;
    }
    for (; i < len && (off + i) & 7; i++)
        buf[i] = byte(tag, off + i);
    for (uint64_t n = (off + i) >> 3; tag % HX_TAG_DENSE == 0 && i + 8 <= len; n++, i += 8) {
        uint64_t w = word(tag, n);
        memcpy(buf + i, &w, 8);
    }
    while (i + 8 <= len) {
        uint64_t n = (off + i) >> 3, end = word_end(tag, n), w = word(tag, n);
        for (; n < end && i + 8 <= len; n++, i += 8)
            memcpy(buf + i, &w, 8);
    }
    for (; i < len; i++)
        buf[i] = byte(tag, off + i);
}

size_t hx_pattern_check(uint64_t tag, uint64_t off, const uint8_t *buf, size_t len)
{
    size_t i = 0;
    if (tag == 0)
        tag = HX_TAG_FLAT;
    for (; i < len && (off + i) & 7; i++)
        if (buf[i] != byte(tag, off + i))
            return i;
    bool dense = !(tag & HX_TAG_FLAT) && tag % HX_TAG_DENSE == 0;
    for (uint64_t n = (off + i) >> 3, is; dense && i + 8 <= len; n++, i += 8) {
        memcpy(&is, buf + i, 8);
        if (is != word(tag, n))
            break;
    }
    while (!dense && i + 8 <= len) {
        uint64_t n = (off + i) >> 3, run = (len - i) / 8, w = word(tag, n), is, bad = 0;
        run = run < word_end(tag, n) - n ? run : word_end(tag, n) - n;
        for (uint64_t k = 0; k < run; k++) { /* no way out of it: so it is done with wide registers */
            memcpy(&is, buf + i + 8 * k, 8);
            bad |= is ^ w;
        }
        if (bad)
            break; /* the bytes one by one, below: which one */
        i += 8 * run;
    }
    for (; i < len; i++)
        if (buf[i] != byte(tag, off + i))
            return i;
    return len;
}
