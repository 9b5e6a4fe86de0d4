/*
 * mem_pager.h - a pager in memory for tests: every page can be absent, every rule of hexad/pager.h is checked.
 */
#ifndef HEXAD_TESTS_MEM_PAGER_H
#define HEXAD_TESTS_MEM_PAGER_H

#include "hexad/err.h"
#include "hexad/pager.h"

struct mem_page {
    uint8_t *now;   /* committed content; NULL: zeros */
    uint8_t *edit;  /* content within the mini-transaction; NULL: not edited */
    uint32_t sum;   /* checksum of `now`: nobody writes through a pointer from get */
    bool cached, wanted, got, listed;
};
struct mem_pager {
    struct hx_pager base; /* what the filesystem gets */
    struct mem_page *at;
    uint64_t pages, pages_max; /* there are; it may grow to */
    bool in_mtr;
    uint64_t mtr_max; /* more edited pages than that: commit answers HX_E_TOOBIG; 4096 at first */
    uint64_t lsn, commits, aborts, misses;
    uint64_t random; /* state of the generator for the faults below */
    unsigned drop_percent; /* of the pages leave the cache between operations */
    unsigned room_percent; /* of the commits fail once with HX_E_ROOM */
    uint64_t fail_at; /* the n-th call from now (begin, get, edit, free, commit) fails with HX_E_FENCED; 0: none does */
    uint64_t last_pages, last_bytes, last_freed; /* of the last commit: pages edited, bytes changed, pages freed */
    uint64_t *touched; /* pages of this operation: edited, read or wanted */
    size_t touched_count, touched_cap;
    uint64_t high; /* no page at or above this was ever touched */
    uint8_t **grave; /* buffers that live until the operation ends (P2) */
    size_t grave_count, grave_cap;
    void (*on_commit)(void *arg); /* after each commit, when not NULL */
    void *on_commit_arg;
};

/* PAGES at first; grow() adds up to PAGES_MAX.  Every failure of memory or of a rule ends the test. */
struct mem_pager *mem_pager_new(uint64_t pages, uint64_t pages_max, uint64_t seed);
void mem_pager_free(struct mem_pager *m);
/* The committed state, as a crash now would leave it; everything cached, no faults. */
struct mem_pager *mem_pager_clone(const struct mem_pager *m);
/*
 * To be called after each attempt with its answer: ends the operation (P2), and says whether to try again:
 * fetches what was wanted after HX_E_MISS, makes room after HX_E_ROOM, grows after HX_E_GROW if it may.
 */
bool mem_pager_again(struct mem_pager *m, int rc);
void mem_pager_drop_all(struct mem_pager *m); /* nothing is cached any more */
bool mem_pager_is_zeros(const struct mem_pager *m, uint64_t page);
const uint8_t *mem_pager_page(const struct mem_pager *m, uint64_t page); /* NULL: zeros */
uint64_t mem_pager_random(uint64_t *state);

/* Runs EXPR until it is not to be tried again; its last answer. */
#define MEM_RUN(m, expr)                                \
    __extension__({                                     \
        int mem_rc_;                                    \
        do                                              \
            mem_rc_ = (expr);                           \
        while (mem_pager_again((m), mem_rc_));          \
        mem_rc_;                                        \
    })

#endif
