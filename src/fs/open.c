/*
 * open.c - lookup counts and open handles: what keeps an inode that has no name.
 *
 * Nothing here touches the volume.  The caller opens only what it has looked up, so an entry is there and
 * hx_fs_opened needs no memory.  Counts that go below zero are our own bug.
 */
#include "fs_private.h"

#include "hexad/assert.h"

static void settle(struct hx_fs *fs, uint64_t ino)
{
    if (hx_refs_settle(&fs->refs, ino))
        hx_reap_wake(fs, ino);
}

int hx_fs_forget(struct hx_fs *fs, uint64_t ino, uint64_t count)
{
    struct hx_ref *r = hx_refs_find(&fs->refs, ino);
    if (!r)
        return 0; /* the root is known without ever having been looked up */
    r->lookups -= count < r->lookups ? count : r->lookups;
    settle(fs, ino);
    return 0;
}

void hx_fs_opened(struct hx_fs *fs, uint64_t ino)
{
    int rc = hx_refs_reserve(&fs->refs, 1);
    hx_assert(rc == 0 || hx_refs_find(&fs->refs, ino));
    hx_refs_get(&fs->refs, ino)->opens++;
}

int hx_fs_released(struct hx_fs *fs, uint64_t ino)
{
    struct hx_ref *r = hx_refs_find(&fs->refs, ino);
    hx_assert(r && r->opens > 0);
    r->opens--;
    settle(fs, ino);
    return 0;
}

uint64_t hx_fs_known(const struct hx_fs *fs, size_t *io_at)
{
    while (*io_at < fs->refs.cap) {
        const struct hx_ref *r = &fs->refs.at[(*io_at)++];
        if (r->ino != 0)
            return r->ino;
    }
    return 0;
}
