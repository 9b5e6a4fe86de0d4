/*
 * revive.c - a segment whose disk has failed is read again, and serves again when the disk does.
 *
 * What a failed write or flush leaves is not known: the system may show bytes that never reached the medium, and takes
 * them for written, so that a second flush says yes and does nothing.  So the segment answers nothing (POISONED), and
 * what it had in memory counts no more.  From a tick, at once and then after pauses that double:
 *   V1 The disk is closed and opened, so that reads show the medium (hexad/disk.h D3), and everything is read as at a
 *      restart; only when all of it went well the segment takes the place of the old one.  Until then: its error.
 *   V2 What was not known to be durable when the flush failed, and is there now, is written once more and flushed
 *      before it counts: the end of the log file, both meta slots; a sidecar is thrown away and made anew.  So nothing
 *      is acknowledged on the strength of a flush that followed a failed one.
 *   V3 Nobody who holds a pointer to the segment (answers that wait, calls to peers) need know: the struct stays.
 * A segment that was never durable (its FORMAT failed) is gone then, as after a restart.
 * Not for errors that a second look does not change: damage of both meta slots, another server's directory, a newer
 * format.  A crash in here is a crash in a restart: nothing but V2 writes, and it writes what is there.
 * Memory: one segment's index at a time is there twice, but for the old pages' versions, which go first.
 */
#include "node_private.h"

#include "hexad/mutant.h"

#include <stdlib.h>

#define PAUSE_MS 500u
#define PAUSE_MAX_MS 16000u
#define CALM_MS 60000u /* a disk that has worked for so long is tried at once when it fails again */
#define PIECE (64u << 10)

static bool may_pass(int err)
{
    return err && err != HX_E_CORRUPT && err != HX_E_STRANGER && err != HX_E_VERSION && err != HX_E_NO_SEGMENT;
}

static uint64_t pause_of(unsigned tries)
{
    if (tries == 0)
        return 0;
    uint64_t ms = (uint64_t)PAUSE_MS << (tries - 1 < 8 ? tries - 1 : 8);
    return ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
}

int hx_revive_write_again(struct hx_seg *s)
{
    size_t i = 0;
    while (i < s->log.slot_count && s->log.files[i]->id != s->suspect.file)
        i++;
    if (i == s->log.slot_count)
        return 0;
    const struct hx_logfile *f = s->log.files[i];
    uint8_t *p = malloc(PIECE);
    int err = p ? 0 : HX_E_NOMEM;
    for (uint64_t off = s->suspect.from; !err && off < f->end; off += PIECE) {
        size_t n = f->end - off < PIECE ? (size_t)(f->end - off) : PIECE;
        err = hx_log_read(s, (uint32_t)i, off, p, n);
        if (!err)
            err = s->disk->ops->write(s->disk, f->id, off, p, n);
    }
    if (!err && s->disk->ops->flush(s->disk, f->id))
        err = HX_E_POISONED;
    free(p);
    return err;
}

/* FRESH reads everything; HX_E_NOENT: there is nothing. */
static int read_all(struct hx_seg *fresh)
{
    uint64_t side = fresh->suspect.side;
    int err = side ? fresh->disk->ops->remove(fresh->disk, side) : 0;
    return err ? err : hx_seg_open(fresh);
}

/* V3: what S is to others stays, what it holds is FRESH's. */
static void take_over(struct hx_seg *s, struct hx_seg *fresh)
{
    struct hx_seg old = *s;
    *s = *fresh;
    *fresh = old;
    s->suspect = (struct hx_seg_suspect){0};
    s->serial = old.serial;
    s->queued = old.queued;
    s->revive = old.revive;
    s->gossip = old.gossip;
    s->gossip.arrived = false;
    s->reserve.tight = old.reserve.tight;
    s->scrub.asked = old.scrub.asked;
    s->scrub.found = old.scrub.found;
    s->scrub.rewritten = old.scrub.rewritten;
    fresh->disk = NULL; /* closed already */
}

static int try(struct hx_node *n, struct hx_seg *s)
{
    struct hx_seg *fresh;
    struct hx_disk *d;
    if (s->disk)
        n->farm->ops->close(n->farm, s->disk); /* V1 */
    s->disk = NULL;
    hx_bodies_forget(&n->env.bodies, s);
    hx_made_forget(&n->env.made, s);
    hx_index_fini(&s->index);
    int err = n->farm->ops->open(n->farm, s->at, false, &d);
    if (err)
        return err;
    err = hx_seg_new(&n->env, d, s->at, &fresh);
    if (!err) {
        fresh->suspect = s->suspect;
        fresh->suspect.doubt = true;
        err = read_all(fresh);
        if (err)
            s->suspect = fresh->suspect;
        else
            take_over(s, fresh);
        hx_seg_free(fresh);
    }
    if (err)
        n->farm->ops->close(n->farm, d);
    return err;
}

/* Does anything that will be looked at again point to S? */
static bool in_use(const struct hx_node *n, const struct hx_seg *s)
{
    bool used = n->taken.seg == s;
    hx_assert(!s->queued && n->wait.at == n->wait.count); /* a tick flushes first */
    for (size_t i = n->ready.at; i < n->ready.count; i++)
        used |= n->ready.p[i].seg == s;
    for (size_t i = 0; i < n->call_count; i++)
        used |= n->calls[i].seg == s;
    return used;
}

static void revive(struct hx_node *n, struct hx_seg *s)
{
    struct hx_seg_revive *r = &s->revive;
    uint64_t failures = n->env.failures;
    int err = try(n, s);
    n->env.failures = err ? failures : n->env.failures; /* one that goes on is no new one */
    hx_seg_touch(s);
    if (err == HX_E_NOENT && !in_use(n, s)) {
        hx_node_forget(n, s);
        return;
    }
    r->tries++;
    r->at_ms = n->now_ms + pause_of(r->tries);
    r->read_only = err == HX_E_READ_ONLY;
    if (err) { /* READ_ONLY would be said of the volume */
        s->error = err == HX_E_NOENT || err == HX_E_IO || r->read_only ? HX_E_POISONED : err;
        return;
    }
    r->due = false;
    r->up_ms = n->now_ms;
    n->stats.revived++;
}

bool hx_revive_tick(struct hx_node *n)
{
    bool more = false, done = false;
    for (size_t i = 0; n->env.failures && i < n->seg_count; i++) { /* each was counted (seg.c) */
        struct hx_seg *s = n->segs[i];
        struct hx_seg_revive *r = &s->revive;
        if (!may_pass(s->error))
            continue;
        if (!r->due) {
            r->tries = n->now_ms - r->up_ms >= CALM_MS ? 0 : r->tries;
            r->at_ms = n->now_ms + pause_of(r->tries);
            r->due = true;
        }
        if (n->now_ms < r->at_ms)
            continue;
        more |= done; /* one at a time: it may read a lot */
        if (!done)
            revive(n, s);
        done = true;
    }
    return more;
}
