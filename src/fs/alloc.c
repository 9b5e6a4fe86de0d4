/*
 * alloc.c - which pages of the volume are taken: one bit a page, in groups of 32,768 pages.
 *
 * It does not know what a page is used for, and never looks into one that it hands out.
 *
 * The first page of a group is its bitmap (group 0: the second, because page 0 is the superblock).  Bit i
 * (byte i / 8, bit i % 8 from the low end) is page group * 32768 + i; 1 is taken.  The bits of the
 * superblock and of bitmaps stay 0: those pages are "fixed", taken by their place.  A volume grows in units
 * much smaller than a group, so the last group may end early: pages at or beyond hx_pager_pages() do not
 * exist, whatever their bits (0) say, and appear when it has grown.
 *
 * Invariants:
 *   A1 a page that is not taken is all zeros (rule P3 of the pager; freeing makes it so).
 *   A2 the superblock's "used" is the number of bits that are 1.
 *   A3 run_max[g] is never less than the longest free run of group g: what is remembered can cost a
 *      search, but never hide a free page.  An abort returns what was learned within it to "unknown".
 *   A4 while a number of pages is closed to allocation (shrink.c) the volume ends there for all but reading and frees;
 *      that ends by itself when the volume becomes longer or shorter.
 * So nothing here is needed to be right after a crash or an abort but the pages themselves.
 *
 * Memory: two bytes a group (2 MiB at 128 TiB), taken when the first page is allocated.
 */
#include "alloc.h"

#include "hexad/assert.h"
#include "hexad/mutant.h"
#include "super.h"

#include <stdlib.h>

#define GROUP HX_ALLOC_GROUP_PAGES
#define UNKNOWN UINT16_MAX
#define SCANS_MAX 8u     /* groups looked at for a better run once some run is known */
#define NODE_ROOM 63u    /* tree nodes come in clusters of 64 pages, out of the way of growing files */
#define PREFETCH 16u

_Static_assert(GROUP == 8 * HX_PAGE_SIZE, "a group is the bits of one page");
_Static_assert(GROUP <= UNKNOWN, "a run fits in run_max");

uint64_t hx_alloc_bitmap_page(uint64_t group)
{
    return group == 0 ? 1 : group * GROUP;
}

bool hx_alloc_is_fixed(uint64_t page)
{
    return page <= 1 || page % GROUP == 0;
}

bool hx_alloc_bit(const uint8_t *bitmap, uint64_t page)
{
    return bitmap[page % GROUP / 8] >> (page % 8) & 1;
}

uint64_t hx_alloc_groups(uint64_t pages)
{
    return (pages + GROUP - 1) / GROUP;
}

void hx_alloc_init(struct hx_alloc *a, struct hx_pager *p)
{
    *a = (struct hx_alloc){.p = p};
}

void hx_alloc_fini(struct hx_alloc *a)
{
    free(a->run_max);
    *a = (struct hx_alloc){0};
}

int hx_alloc_format(struct hx_pager *p)
{
    uint8_t *bm;
    int rc = hx_pager_edit(p, HX_PAGE(hx_alloc_bitmap_page(0)), HX_EDIT_ZEROS, &bm);
    if (rc)
        return rc;
    bm[0] = 1u << HX_SUPER_ROOT_PAGE;
    return hx_super_set(p, HX_SUPER_USED, 1);
}

void hx_alloc_begin(struct hx_alloc *a, bool may_use_reserve)
{
    a->may_use_reserve = may_use_reserve;
    a->touched_count = 0;
    a->saved_data = a->rover_data;
    a->saved_meta = a->rover_meta;
}

void hx_alloc_aborted(struct hx_alloc *a)
{
    if (a->touched_count > HX_ALLOC_TOUCHED) { /* more than the list holds: forget everything (A3) */
        memset(a->run_max, 0xff, a->groups * sizeof *a->run_max);
    } else {
        for (unsigned i = 0; i < a->touched_count; i++)
            a->run_max[a->touched[i]] = UNKNOWN;
    }
    a->touched_count = 0;
    a->rover_data = a->saved_data;
    a->rover_meta = a->saved_meta;
}

bool hx_alloc_closed(const struct hx_alloc *a)
{
    return a->closed_from != 0 && a->closed_pages == hx_pager_pages(a->p);
}

void hx_alloc_close(struct hx_alloc *a, uint64_t from)
{
    a->closed_from = from;
    a->closed_pages = hx_pager_pages(a->p);
}

/* Pages that can be handed out lie below this (A4). */
static uint64_t pages_of(const struct hx_alloc *a)
{
    return hx_alloc_closed(a) ? a->closed_from : hx_pager_pages(a->p);
}

static void touch(struct hx_alloc *a, uint64_t group)
{
    for (unsigned i = 0; i < a->touched_count && i < HX_ALLOC_TOUCHED; i++)
        if (a->touched[i] == group)
            return;
    if (a->touched_count < HX_ALLOC_TOUCHED)
        a->touched[a->touched_count] = group;
    if (a->touched_count <= HX_ALLOC_TOUCHED)
        a->touched_count++;
}

/* Makes run_max fit the volume, which may have grown or shrunk. */
static int refresh(struct hx_alloc *a)
{
    uint64_t pages = pages_of(a), groups = hx_alloc_groups(pages);
    if (pages == a->pages_seen)
        return 0;
    if (groups > a->groups) {
        uint16_t *more = realloc(a->run_max, groups * sizeof *more);
        if (!more)
            return HX_E_NOMEM;
        memset(more + a->groups, 0xff, (groups - a->groups) * sizeof *more);
        a->run_max = more;
        if (a->groups > 0)
            more[a->groups - 1] = UNKNOWN; /* it may have ended early */
        a->groups = groups;
    } else if (a->groups > 0) {
        a->groups = groups;
        a->run_max[groups - 1] = UNKNOWN;
    }
    a->pages_seen = pages;
    return 0;
}

int hx_alloc_left(struct hx_alloc *a, uint64_t *ret_left)
{
    uint64_t used, pages = pages_of(a);
    int rc = hx_super_get(a->p, HX_SUPER_USED, &used);
    if (rc)
        return rc;
    uint64_t taken = used + hx_alloc_groups(pages) + 1;
    if (!a->may_use_reserve)
        taken += HX_ALLOC_RESERVE;
    *ret_left = taken < pages ? pages - taken : 0;
    return 0;
}

int hx_alloc_check(struct hx_alloc *a, uint64_t count)
{
    uint64_t left;
    if (a->scarce && !a->may_use_reserve)
        return HX_E_NOSPACE;
    int rc = hx_alloc_left(a, &left);
    return rc == 0 && left < count ? HX_E_GROW : rc;
}

/* First bit at or after FROM and below HI whose value is BIT; HI when there is none. */
static uint32_t next_bit(const uint8_t *bm, uint32_t from, uint32_t hi, bool bit)
{
    uint64_t flip = bit ? 0 : UINT64_MAX;
    while (from < hi) {
        uint64_t w = (hx_get_u64(bm + from / 64 * 8) ^ flip) >> (from % 64);
        if (w) {
            from += (uint32_t)__builtin_ctzll(w);
            return from < hi ? from : hi;
        }
        from = (from / 64 + 1) * 64;
    }
    return hi;
}

struct run {
    uint64_t first;
    uint32_t count;
};

/* The first run of NEED free bits in [lo, hi), or the longest. */
static void find_run(const uint8_t *bm, uint32_t lo, uint32_t hi, uint32_t need, struct run *ret)
{
    *ret = (struct run){0, 0};
    while (lo < hi) {
        uint32_t s = next_bit(bm, lo, hi, false);
        if (s == hi)
            return;
        uint32_t e = next_bit(bm, s, hi - s > need ? s + need : hi, true);
        if (e - s > ret->count)
            *ret = (struct run){s, e - s};
        if (ret->count >= need)
            return;
        lo = e;
    }
}

/* Bits of GROUP that stand for pages which can be handed out: [*lo, *hi). */
static void bounds(const struct hx_alloc *a, uint64_t group, uint32_t *lo, uint32_t *hi)
{
    uint64_t left = a->pages_seen - group * GROUP;
    *lo = group == 0 ? 2 : 1;
    *hi = left < GROUP ? (uint32_t)left : GROUP;
}

/* Asks for the bitmaps that the search is likely to need next, so that it misses once. */
static void prefetch(struct hx_alloc *a, uint64_t group)
{
    for (uint64_t g = group + 1; g < a->groups && g <= group + PREFETCH; g++)
        if (a->run_max[g] == UNKNOWN)
            (void)hx_pager_want(a->p, HX_PAGE(hx_alloc_bitmap_page(g)));
}

/* Looks into GROUP, from the rover on when FROM_ROVER; learns run_max when it saw the whole group. */
static int look(struct hx_alloc *a, uint64_t group, bool from_rover, uint32_t need, struct run *ret)
{
    const uint8_t *bm;
    uint32_t lo, hi, start;
    int rc = hx_pager_get(a->p, HX_PAGE(hx_alloc_bitmap_page(group)), &bm);
    if (rc) {
        if (rc == HX_E_MISS)
            prefetch(a, group);
        return rc;
    }
    bounds(a, group, &lo, &hi);
    start = from_rover && a->rover_data % GROUP > lo ? (uint32_t)(a->rover_data % GROUP) : lo;
    find_run(bm, start, hi, need, ret);
    if (start == lo && ret->count < need)
        a->run_max[group] = (uint16_t)ret->count;
    ret->first += group * GROUP;
    return 0;
}

static int search(struct hx_alloc *a, uint32_t need, struct run *ret)
{
    struct run best = {0, 0}, r;
    unsigned scans = 0;
    uint64_t start = a->rover_data / GROUP;
    if (start >= a->groups)
        start = 0;
    for (uint64_t i = 0; i <= a->groups && best.count < need; i++) {
        uint64_t g = (start + i) % a->groups;
        if (a->run_max[g] <= best.count)
            continue;
        int rc = look(a, g, i == 0, need, &r);
        if (rc)
            return rc;
        if (r.count > best.count)
            best = r;
        if (++scans >= SCANS_MAX && best.count > 0)
            break;
    }
    if (best.count == 0)
        return HX_E_GROW;
    *ret = best;
    return 0;
}

/* The run that starts at page GOAL, up to WANT; none: count 0. */
static int at_goal(struct hx_alloc *a, uint64_t goal, uint32_t want, struct run *ret)
{
    const uint8_t *bm;
    uint32_t lo, hi, at = (uint32_t)(goal % GROUP);
    *ret = (struct run){goal, 0};
    if (goal >= a->pages_seen || hx_alloc_is_fixed(goal))
        return 0;
    int rc = hx_pager_get(a->p, HX_PAGE(hx_alloc_bitmap_page(goal / GROUP)), &bm);
    if (rc)
        return rc;
    bounds(a, goal / GROUP, &lo, &hi);
    ret->count = next_bit(bm, at, hi - at > want ? at + want : hi, true) - at;
    return 0;
}

static int set_bits(struct hx_alloc *a, uint64_t first, uint32_t count, bool to)
{
    uint8_t *bm;
    int rc = hx_pager_edit(a->p, HX_PAGE(hx_alloc_bitmap_page(first / GROUP)), HX_EDIT_KEEP, &bm);
    if (rc)
        return rc;
    uint32_t at = (uint32_t)(first % GROUP);
    if (next_bit(bm, at, at + count, to) != at + count)
        return HX_E_CORRUPT; /* freed twice, or used and not marked */
    for (uint32_t i = at; i < at + count; i++)
        bm[i / 8] = (uint8_t)(bm[i / 8] ^ 1u << (i % 8));
    return hx_super_add(a->p, HX_SUPER_USED, to ? (int64_t)count : -(int64_t)count, NULL);
}

static int prepare(struct hx_alloc *a, uint32_t *io_want)
{
    uint64_t left;
    int rc = hx_alloc_left(a, &left);
    if (rc)
        return rc;
    if (left == 0)
        return HX_E_GROW;
    if (left < *io_want)
        *io_want = (uint32_t)left;
    rc = refresh(a);
    if (rc == 0 && a->rover_data == 0) {
        rc = hx_super_get(a->p, HX_SUPER_ROVER, &a->rover_data);
        a->rover_data *= GROUP;
    }
    return rc;
}

static int take(struct hx_alloc *a, struct run r)
{
    int rc = HX_MUTANT(DOUBLE_ALLOCATION) ? 0 : set_bits(a, r.first, r.count, true);
    if (rc == 0)
        touch(a, r.first / GROUP);
    return rc;
}

int hx_alloc_run(struct hx_alloc *a, uint64_t goal, uint32_t want, uint32_t room, uint64_t *ret_first,
                 uint32_t *ret_count)
{
    struct run r = {0, 0};
    uint64_t group;
    hx_assert(want > 0);
    int rc = a->scarce && !a->may_use_reserve ? HX_E_NOSPACE : prepare(a, &want);
    if (rc == 0 && goal != 0)
        rc = at_goal(a, goal, want, &r);
    if (rc == 0 && r.count == 0) {
        uint32_t need = want < GROUP - 2 - room ? want + room : GROUP - 2;
        rc = search(a, need, &r);
        if (rc == 0)
            a->rover_data = r.first + r.count;
        if (r.count > want)
            r.count = want;
    }
    if (rc == 0)
        rc = take(a, r);
    if (rc == 0)
        rc = hx_super_get(a->p, HX_SUPER_ROVER, &group);
    if (rc == 0 && group != r.first / GROUP)
        rc = hx_super_set(a->p, HX_SUPER_ROVER, r.first / GROUP);
    if (rc)
        return rc;
    if (a->rover_data > r.first && a->rover_data < r.first + r.count)
        a->rover_data = r.first + r.count;
    *ret_first = r.first;
    *ret_count = r.count;
    return 0;
}

int hx_alloc_node(struct hx_alloc *a, uint64_t *ret_page)
{
    struct run r = {0, 0};
    uint32_t want = 1;
    int rc = prepare(a, &want);
    if (rc == 0 && a->rover_meta != 0)
        rc = at_goal(a, a->rover_meta, 1, &r);
    if (rc == 0 && r.count == 0) {
        rc = search(a, 1 + NODE_ROOM, &r);
        if (rc == 0)
            a->rover_data = r.first + r.count;
        r.count = 1;
    }
    if (rc == 0)
        rc = take(a, r);
    if (rc)
        return rc;
    a->rover_meta = r.first + 1;
    *ret_page = r.first;
    return 0;
}

int hx_alloc_free(struct hx_alloc *a, uint64_t first, uint32_t count)
{
    uint64_t group = first / GROUP, pages = hx_pager_pages(a->p);
    if (first >= pages || count > pages - first || count == 0 || group != (first + count - 1) / GROUP ||
        hx_alloc_is_fixed(first))
        return HX_E_CORRUPT;
    int rc = refresh(a);
    if (rc == 0 && !HX_MUTANT(BITMAP_LEAK))
        rc = set_bits(a, first, count, false);
    for (uint32_t i = 0; rc == 0 && i < count && !HX_MUTANT(FREED_NOT_ZEROED); i++)
        rc = hx_pager_free_page(a->p, HX_PAGE(first + i));
    if (rc)
        return rc;
    if (group < a->groups)
        a->run_max[group] = UNKNOWN;
    /* Space behind the rover would wait until it has been round: use it next, so that a volume stays compact
     * and a journal that comes and goes stays where it was. */
    if (a->rover_data > first && a->rover_data / GROUP == group)
        a->rover_data = first;
    return 0;
}

int hx_alloc_live(struct hx_alloc *a, uint64_t from, uint64_t *ret)
{
    uint64_t pages = hx_pager_pages(a->p), n = 0;
    int rc = 0;
    for (uint64_t g = from / GROUP; g < hx_alloc_groups(pages) && (rc == 0 || rc == HX_E_MISS); g++) {
        const uint8_t *bm;
        int one = hx_pager_get(a->p, HX_PAGE(hx_alloc_bitmap_page(g)), &bm);
        uint32_t at = g == from / GROUP ? (uint32_t)(from % GROUP) : 0;
        rc = one ? one : rc; /* all that are absent are asked for together */
        for (at = one ? GROUP : next_bit(bm, at, GROUP, true); at < GROUP; at = next_bit(bm, at, GROUP, true)) {
            uint32_t end = next_bit(bm, at, GROUP, false);
            n += end - at;
            at = end;
        }
    }
    *ret = n;
    return rc;
}
