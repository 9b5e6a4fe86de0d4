/*
 * refs.c - who still knows an inode: a table in memory from inode number to lookup count and open handles.
 *
 * It keeps an unlinked inode from being freed while the kernel or a program can still reach it, and does
 * nothing else.  After a crash it is empty, which is right: nobody has anything open.
 *
 * Open addressing with linear probing, at most half full; a removal moves later entries back, so that there
 * are no tombstones.  It grows with the inodes that the kernel remembers, and never shrinks below its peak.
 */
#include "refs.h"

#include "hexad/assert.h"
#include "hexad/err.h"

#include <stdlib.h>

#define CAP_MIN 64u

static size_t home(const struct hx_refs *r, uint64_t ino)
{
    return (size_t)(ino * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (r->cap - 1);
}

/* Where INO is, or the empty place where it would be. */
static size_t probe(const struct hx_refs *r, uint64_t ino)
{
    size_t i = home(r, ino);
    while (r->at[i].ino != 0 && r->at[i].ino != ino)
        i = (i + 1) & (r->cap - 1);
    return i;
}

void hx_refs_fini(struct hx_refs *r)
{
    free(r->at);
    *r = (struct hx_refs){0};
}

int hx_refs_reserve(struct hx_refs *r, size_t more)
{
    size_t cap = r->cap ? r->cap : CAP_MIN;
    while ((r->count + more) * 2 > cap)
        cap *= 2;
    if (cap == r->cap)
        return 0;
    struct hx_refs bigger = {calloc(cap, sizeof *bigger.at), cap, r->count};
    if (!bigger.at)
        return HX_E_NOMEM;
    for (size_t i = 0; i < r->cap; i++)
        if (r->at[i].ino != 0)
            bigger.at[probe(&bigger, r->at[i].ino)] = r->at[i];
    free(r->at);
    *r = bigger;
    return 0;
}

struct hx_ref *hx_refs_find(const struct hx_refs *r, uint64_t ino)
{
    if (r->cap == 0)
        return NULL;
    struct hx_ref *e = &r->at[probe(r, ino)];
    return e->ino == ino ? e : NULL;
}

struct hx_ref *hx_refs_get(struct hx_refs *r, uint64_t ino)
{
    hx_assert(r->cap > r->count && ino != 0);
    struct hx_ref *e = &r->at[probe(r, ino)];
    if (e->ino == 0) {
        hx_assert((r->count + 1) * 2 <= r->cap);
        *e = (struct hx_ref){.ino = ino};
        r->count++;
    }
    return e;
}

static void remove_at(struct hx_refs *r, size_t hole)
{
    size_t mask = r->cap - 1;
    for (size_t i = (hole + 1) & mask; r->at[i].ino != 0; i = (i + 1) & mask) {
        size_t want = home(r, r->at[i].ino);
        if (((i - want) & mask) >= ((i - hole) & mask)) { /* its home is at or before the hole */
            r->at[hole] = r->at[i];
            hole = i;
        }
    }
    r->at[hole] = (struct hx_ref){0};
    r->count--;
}

bool hx_refs_settle(struct hx_refs *r, uint64_t ino)
{
    struct hx_ref *e = hx_refs_find(r, ino);
    if (!e || e->lookups > 0 || e->opens > 0)
        return false;
    bool unlinked = e->unlinked;
    remove_at(r, (size_t)(e - r->at));
    return unlinked;
}
