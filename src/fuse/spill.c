/*
 * spill.c - the bytes of writes that wait, beyond what the mount keeps in memory: in a file without a name, mapped.
 *
 * A write waits while there is no quorum, and its program waits with it: each holds up to 1 MiB.  Reads come
 * through the same device as writes, so it has to be read on however many writers wait.  What the file holds the
 * kernel may write out and drop from memory.
 *
 * Invariants:
 *   S1 a region is allocated on disk before it is written: no fault for lack of space.
 *   S2 regions in use are at most HX_FUSE_SPILL_MAX; beyond, or without space, there is none, and the caller does
 *      as before.
 *   S3 the file is never on the mount itself, which would wait for itself.
 * A crash of the mount leaves nothing: the file has no name, and what waits was promised to nobody.  Memory: none but
 * the mappings.
 */
#include "fuse_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PLACE "/var/tmp"

void hx_spill_init(struct hx_spill *s, const char *mounted_on)
{
    size_t n = strlen(mounted_on);
    bool below = strncmp(PLACE, mounted_on, n) == 0 && (PLACE[n] == '/' || PLACE[n] == '\0' || n == 1); /* S3 */
    *s = (struct hx_spill){.fd = -1, .unusable = below};
}

static bool open_file(struct hx_spill *s)
{
    if (s->fd < 0 && !s->unusable) {
        s->fd = open(PLACE, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
        s->unusable = s->fd < 0;
        if (s->unusable)
            hx_log(HX_LOG_WARN, "no file in %s for writes that wait (%s): beyond %u MiB of them reads wait, too", PLACE,
                   strerror(errno), HX_FUSE_PARKED_MAX >> 20);
    }
    return s->fd >= 0;
}

static size_t rounded(size_t len)
{
    return (len + HX_PAGE_SIZE - 1) & ~(size_t)(HX_PAGE_SIZE - 1);
}

void *hx_spill_keep(struct hx_spill *s, const void *data, size_t len, uint64_t *ret_at)
{
    size_t room = rounded(len);
    if (len == 0 || s->used + room > HX_FUSE_SPILL_MAX || !open_file(s))
        return NULL; /* S2 */
    if (fallocate(s->fd, 0, (off_t)s->end, (off_t)room) < 0) { /* S1 */
        hx_log_every(60000, HX_LOG_WARN, "no room in %s for writes that wait: %s", PLACE, strerror(errno));
        return NULL;
    }
    void *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, (off_t)s->end);
    if (p == MAP_FAILED)
        return NULL; /* the room is taken again by the next one */
    memcpy(p, data, len);
    *ret_at = s->end;
    s->end += room;
    s->used += room;
    return p;
}

void hx_spill_drop(struct hx_spill *s, void *p, size_t len, uint64_t at)
{
    size_t room = rounded(len);
    munmap(p, room);
    s->used -= room;
    if (s->used > 0) {
        (void)fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)room);
        return;
    }
    s->end = 0; /* the last one */
    if (ftruncate(s->fd, 0) < 0)
        hx_log_every(60000, HX_LOG_WARN, "the file of writes that wait keeps its space: %s", strerror(errno));
}

void hx_spill_fini(struct hx_spill *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}
