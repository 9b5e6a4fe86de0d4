/*
 * span.h - a map from byte (or page) numbers to tags, as runs: what a model keeps of a file instead of its bytes.
 *
 * Tag 0 is "nothing there".  Runs are in order, do not overlap, and neighbours of one tag are one run.
 * A tag stands for bytes: hx_pattern says which, from the tag and the offset in the file; so a wrong byte, or a right
 * byte at the wrong place or of an older write, is seen.  A zeroed struct is an empty map.
 */
#ifndef HX_SIM_SPAN_H
#define HX_SIM_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hx_span {
    uint64_t from, to, tag;
};
struct hx_spans {
    struct hx_span *at; /* owned */
    size_t count, cap;
    uint64_t total; /* numbers that have a tag */
};
void hx_spans_fini(struct hx_spans *s);
void hx_spans_copy(struct hx_spans *dst, const struct hx_spans *src); /* DST is empty */
void hx_spans_set(struct hx_spans *s, uint64_t from, uint64_t to, uint64_t tag); /* tag 0: takes away */
/* The tag at X; *ret_end: where that ends (UINT64_MAX: nothing follows). */
uint64_t hx_spans_at(const struct hx_spans *s, uint64_t x, uint64_t *ret_end);

/* Bytes for a tag: of every fourth all different, of others in runs, of HX_TAG_FLAT all the same, zeros too. */
#define HX_TAG_FLAT (UINT64_C(1) << 63)
#define HX_TAG_DENSE 4u /* multiples of it: all different */
void hx_pattern_fill(uint64_t tag, uint64_t off, uint8_t *buf, size_t len);
/* LEN, or the first byte that is not what TAG says; tag 0: zeros. */
size_t hx_pattern_check(uint64_t tag, uint64_t off, const uint8_t *buf, size_t len);

#endif
