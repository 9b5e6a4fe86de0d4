/*
 * alloc.h - which pages are taken (alloc.c).  Private to src/fs and its tests.
 */
#ifndef HEXAD_FS_ALLOC_H
#define HEXAD_FS_ALLOC_H

#include "hexad/pager.h"

#define HX_ALLOC_GROUP_PAGES 32768u /* the bits of one page */
/* Pages that only operations which free space may use, so that a full volume can be emptied. */
#define HX_ALLOC_RESERVE 64u
#define HX_ALLOC_TOUCHED 32u

struct hx_alloc {
    struct hx_pager *p;
    bool may_use_reserve;  /* of this mini-transaction */
    bool scarce;           /* the servers have no room for more data: only what may use the reserve is given pages,
                            * and the tree is */
    uint16_t *run_max;     /* per group: no free run is longer than this; a hint that may be too high */
    uint64_t groups;       /* entries of run_max */
    uint64_t pages_seen;   /* hx_pager_pages when run_max was last made to fit */
    uint64_t closed_from, closed_pages; /* nothing is given at or above the first, while the volume has as many pages
                                         * as the second says; 0: all may be given */
    uint64_t rover_data;   /* where the next search for data starts; 0: not known since the mount */
    uint64_t rover_meta;   /* the page after the last tree node; 0: none yet */
    uint64_t saved_data, saved_meta; /* the rovers at the start of the mini-transaction */
    uint64_t touched[HX_ALLOC_TOUCHED]; /* groups that this mini-transaction allocated in */
    unsigned touched_count;
};

void hx_alloc_init(struct hx_alloc *a, struct hx_pager *p);
void hx_alloc_fini(struct hx_alloc *a);
/* Marks pages 0 to 2 of a volume of zeros: called by format, inside its mini-transaction. */
int hx_alloc_format(struct hx_pager *p);
void hx_alloc_begin(struct hx_alloc *a, bool may_use_reserve);
void hx_alloc_aborted(struct hx_alloc *a);

/* From now on no page at or above FROM is given (A4); 0: all may be again. */
void hx_alloc_close(struct hx_alloc *a, uint64_t from);
bool hx_alloc_closed(const struct hx_alloc *a);
/* How many pages at or above FROM are taken. */
int hx_alloc_live(struct hx_alloc *a, uint64_t from, uint64_t *ret);
/* Free pages that an ordinary operation may still take (the reserve is not among them). */
int hx_alloc_left(struct hx_alloc *a, uint64_t *ret_left);
/* Could this mini-transaction take COUNT pages for data?  0, HX_E_NOSPACE, HX_E_GROW, or the pager's. */
int hx_alloc_check(struct hx_alloc *a, uint64_t count);
/*
 * Takes 1 to WANT consecutive pages, all zeros: at GOAL when that page is free (0: no goal), else where a
 * run of WANT + ROOM is free (ROOM keeps growing files apart), else the longest run that a short search finds.
 * HX_E_GROW: none is free.  HX_E_NOSPACE: scarce.  HX_E_MISS, HX_E_NOMEM.
 */
int hx_alloc_run(struct hx_alloc *a, uint64_t goal, uint32_t want, uint32_t room, uint64_t *ret_first,
                 uint32_t *ret_count);
/* One page for the tree, near the others. */
int hx_alloc_node(struct hx_alloc *a, uint64_t *ret_page);
/* Frees COUNT pages of one group; they become zeros.  HX_E_CORRUPT: one of them was not taken. */
int hx_alloc_free(struct hx_alloc *a, uint64_t first, uint32_t count);

/* For verify. */
uint64_t hx_alloc_bitmap_page(uint64_t group);
bool hx_alloc_is_fixed(uint64_t page); /* superblock or bitmap: taken without a bit */
bool hx_alloc_bit(const uint8_t *bitmap, uint64_t page);
uint64_t hx_alloc_groups(uint64_t pages);

#endif
