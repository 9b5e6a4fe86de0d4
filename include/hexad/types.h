/*
 * types.h - the words that every layer shares: page, LSN, epoch, volume and server identity.
 *
 * LSN, epoch and page number are one-member structs so that they cannot be swapped unnoticed.
 * Pure: no I/O, no clock, no globals.  Nothing here allocates.
 */
#ifndef HEXAD_TYPES_H
#define HEXAD_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HX_PAGE_SIZE 4096u /* bytes; the unit of reading and of materialisation */
#define HX_PAGE_SHIFT 12

/* Quorum of the 2017 paper (section 2.1): six copies, write 4, read 3; 4 + 3 > 6, 4 + 4 > 6. */
#define HX_COPIES 6
#define HX_WRITE_QUORUM 4
#define HX_READ_QUORUM 3
_Static_assert(HX_WRITE_QUORUM + HX_READ_QUORUM > HX_COPIES, "a read quorum meets a write quorum");
_Static_assert(2 * HX_WRITE_QUORUM > HX_COPIES, "two write quorums meet");

/* Smallest and largest size of a protection group, bytes; a power of two between them. */
#define HX_PG_SIZE_MIN (UINT64_C(1) << 20)
#define HX_PG_SIZE_MAX (UINT64_C(1) << 40)
#define HX_PG_SIZE_DEFAULT (UINT64_C(10) << 30) /* not a power of two by itself: see geometry.h */

#define HX_NAME_MAX 63 /* bytes in the name of a volume, server or zone, without the NUL */

struct hx_lsn {
    uint64_t v;
};
struct hx_epoch {
    uint64_t v;
};
struct hx_pageno {
    uint64_t v; /* over the whole volume, from 0 */
};
struct hx_uuid {
    uint8_t b[16];
};

/* A run of bytes that somebody else owns. */
struct hx_bytes {
    const uint8_t *p;
    size_t len;
};

#define HX_LSN(x) ((struct hx_lsn){(x)})
#define HX_EPOCH(x) ((struct hx_epoch){(x)})
#define HX_PAGE(x) ((struct hx_pageno){(x)})
#define HX_LSN_MAX HX_LSN(UINT64_MAX)

static inline struct hx_lsn hx_lsn_min(struct hx_lsn a, struct hx_lsn b)
{
    return a.v < b.v ? a : b;
}
static inline struct hx_lsn hx_lsn_max(struct hx_lsn a, struct hx_lsn b)
{
    return a.v > b.v ? a : b;
}
static inline bool hx_uuid_eq(const struct hx_uuid *a, const struct hx_uuid *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}
static inline bool hx_uuid_is_zero(const struct hx_uuid *a)
{
    static const struct hx_uuid zero;
    return hx_uuid_eq(a, &zero);
}

/* 32 hex digits and a NUL into TEXT (33 bytes); the inverse answers 0 or HX_E_INVAL. */
void hx_uuid_format(const struct hx_uuid *id, char text[33]);
int hx_uuid_parse(const char *text, struct hx_uuid *ret_id);

#define HX_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define HX_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#endif
