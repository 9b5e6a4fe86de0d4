/*
 * scan.c - reads a log file that has no sidecar, entry by entry, and tells a torn end from damage.
 *
 * Every entry names how much of its file was durable when it was written.  So at a place X that does not hold
 * a good entry:
 *   S1 a later entry of this file that names more than X as durable proves that X was once whole: damage;
 *   S2 in a file that has a successor everything was durable: damage;
 *   S3 otherwise X is the torn end of the last batch, which nobody was told about: the log ends at X.
 *   S4 a torn end can be read: where the disk gives an error instead, nothing is known, so it is damage, the log
 *      file is closed there, and nothing that may still be behind it is ever overwritten.  An END behind it that was
 *      written with it proves nothing either way.
 * Entries behind a torn X may be readable; they belong to the same batch or later ones that were not answered
 * either, and are cut off with it.  Stale bytes behind the end do not follow the chain of envelopes; what is left there
 * of a former life of the file (reuse.c) names another file.
 *   S5 An entry, or a frame, of a newer program ends the scan with HX_E_VERSION: nothing of this file is judged.
 * Damage is remembered with the LSNs that it may have held: from the entry's own envelope, else (one entry
 * lost) from the next one's memory of it, else up to the highest LSN that the next one knows to stand before it.
 * Nothing behind it: without bound, unless a later file knows (load.c).
 * Memory: a window of 1 MiB.
 */
#include "store.h"

#include "hexad/mutant.h"

#include <stdlib.h>

#define WINDOW (1u << 20)
_Static_assert(WINDOW > HX_FRAME_MAX + HX_LOG_ENV + 8, "an entry fits the window");

#define BLOCK 512u          /* read one by one where a window cannot be read */
#define BLOCKS_BAD_MAX 512u /* more than that is a broken disk, not a bad sector */

struct hole {
    uint64_t pos, first, last;
    uint32_t seq, chain; /* of the entry before */
    uint64_t prev_first, prev_last;
    size_t side_len;
    uint8_t kind;
};
struct scan {
    struct hx_seg *s;
    struct hx_logfile *f;
    bool highest, fresh; /* fresh: the entry before was lost, so its chain is not known */
    uint64_t bytes, pos, stable, stable_before; /* file size; where we are; the anchor now; before the first damage */
    uint64_t bad_end; /* S4: end of the last block that could not be read */
    unsigned bad_count;
    uint8_t *win;
    uint64_t win_off;
    size_t win_len;
    struct hole *holes; /* not proven to be damage yet */
    size_t hole_count, hole_cap;
    uint64_t damages;
    struct hx_buf proven; /* their entries for the sidecar */
};

/* The window block by block; zeros, which no entry begins with, in place of what cannot be read. */
static int read_blocks(struct scan *c)
{
    const struct hx_disk_ops *ops = c->s->disk->ops;
    uint64_t left = c->bytes - c->win_off;
    c->win_len = left < WINDOW ? (size_t)left : WINDOW;
    for (size_t n, got, i = 0; i < c->win_len; i += n) {
        n = c->win_len - i < BLOCK ? c->win_len - i : BLOCK;
        int err = ops->read(c->s->disk, c->f->id, c->win_off + i, c->win + i, n, &got);
        if (err == HX_E_IO) /* once more: not every error comes back */
            err = ops->read(c->s->disk, c->f->id, c->win_off + i, c->win + i, n, &got);
        if (!err && got == n)
            continue;
        if (err && err != HX_E_IO)
            return err;
        memset(c->win + i, 0, n);
        if (c->win_off + i + n > c->bad_end) {
            c->bad_end = c->win_off + i + n;
            if (++c->bad_count > BLOCKS_BAD_MAX)
                return HX_E_IO;
        }
    }
    return 0;
}

/* LEN bytes at OFF, borrowed from the window; NULL with *err 0: the file ends before. */
static const uint8_t *at(struct scan *c, uint64_t off, size_t len, int *err)
{
    *err = 0;
    if (len > c->bytes || off > c->bytes - len)
        return NULL;
    if (off < c->win_off || off + len > c->win_off + c->win_len) {
        c->win_off = off;
        *err = c->s->disk->ops->read(c->s->disk, c->f->id, off, c->win, WINDOW, &c->win_len);
        if (*err == HX_E_IO)
            *err = read_blocks(c);
        if (*err)
            c->win_len = 0;
        if (*err == HX_E_NOENT) /* lost whole: it holds nothing (load.c R7) */
            *err = 0;
        if (*err || c->win_len < len)
            return NULL;
    }
    return c->win + (off - c->win_off);
}

/* A good envelope of this file at OFF? */
static bool envelope_at(struct scan *c, uint64_t off, struct hx_env *ret, int *err)
{
    const uint8_t *p = at(c, off, HX_LOG_ENV, err);
    int bad = p ? hx_env_decode(p, ret) : HX_E_BADMSG;
    if (bad && bad != HX_E_VERSION)
        return false;
    bool own = ret->file == c->f->id && ret->off == off && ret->salt == hx_log_salt(&c->s->at, &c->s->env->server);
    own |= HX_MUTANT(IDENTITY_UNCHECKED);
    *err = own && bad ? bad : 0; /* S5 */
    return own && !bad;
}

static int note_hole(struct scan *c, uint64_t first, uint64_t last, uint8_t kind)
{
    int err = hx_buf_grow(&c->holes, &c->hole_cap, c->hole_count, sizeof *c->holes);
    if (err)
        return err;
    const struct hx_logfile *f = c->f;
    c->holes[c->hole_count++] =
        (struct hole){c->pos, first, last, f->seq, f->chain, f->prev_first, f->prev_last, f->side.len, kind};
    return 0;
}

/* Everything below DURABLE was whole once: the holes there are damage (S1, S2). */
static int prove(struct scan *c, uint64_t durable)
{
    size_t n = 0;
    for (; n < c->hole_count && c->holes[n].pos < durable && !HX_MUTANT(TAIL_CUT_AT_DAMAGE); n++) {
        const struct hole *h = &c->holes[n];
        struct hx_side_frame f = {.off = (uint32_t)h->pos,
                                  .kind = h->kind,
                                  .flags = HX_ENV_DAMAGED,
                                  .first = h->first,
                                  .last = h->last};
        if (!c->highest)
            f.flags |= HX_ENV_BLIND;
        uint8_t *p = hx_buf_add(&c->proven, HX_LOG_SIDE_FRAME);
        if (!p)
            return HX_E_NOMEM;
        hx_side_frame_encode(&f, p);
        hx_seg_tell(c->s, c->f->id, h->pos, h->first, h->last);
        if (c->damages++ == 0)
            c->stable_before = c->stable;
    }
    c->hole_count -= n;
    if (n)
        memmove(c->holes, c->holes + n, c->hole_count * sizeof *c->holes);
    return 0;
}

static void take_head(struct hx_logfile *f, const struct hx_frame_head *h, uint8_t flags)
{
    if (!(flags & HX_ENV_BELIEVED))
        return;
    f->vdl = h->vdl.v > f->vdl ? h->vdl.v : f->vdl;
    f->floor = h->floor.v > f->floor ? h->floor.v : f->floor;
    f->gc = h->gc.v > f->gc ? h->gc.v : f->gc;
}

/* The frame of a good envelope. */
static int take_frame(struct scan *c, const struct hx_env *e)
{
    int err;
    struct hx_frame_head h;
    const uint8_t *p = at(c, c->pos + HX_LOG_ENV, e->body_len, &err);
    if (err)
        return err;
    int bad = p ? hx_frame_head_decode(p, e->body_len, &h) : HX_E_BADMSG;
    if (bad == HX_E_VERSION) /* S5 */
        return bad;
    if (!bad && hx_frame_bytes(&h) == e->body_len) {
        struct hx_side_frame f = {.off = (uint32_t)c->pos, .kind = e->kind, .flags = e->flags};
        err = hx_log_describe(c->s, &h, p + HX_FRAME_HEAD, &f, &c->f->side);
        if (!err) {
            take_head(c->f, &h, e->flags);
            hx_log_note(c->f, f.first, f.last);
        }
        if (!err || err == HX_E_NOMEM)
            return err;
    }
    return note_hole(c, e->first, e->last, e->kind);
}

static int take_entry(struct scan *c, const struct hx_env *e)
{
    int err = prove(c, e->durable);
    if (!err && e->body_len)
        err = take_frame(c, e);
    struct hx_logfile *f = c->f;
    const uint8_t *p = err ? NULL : at(c, c->pos, HX_LOG_ENV, &err);
    if (err || !p)
        return err ? err : HX_E_IO;
    f->seq = e->seq;
    f->chain = hx_get_u32(p + HX_LOG_ENV - 4);
    f->prev_first = e->first;
    f->prev_last = e->last;
    f->highest = e->highest > f->highest ? e->highest : f->highest;
    c->stable = e->stable > c->stable ? e->stable : c->stable;
    c->pos += hx_env_bytes(e->body_len);
    f->sealed = e->kind == HX_ENV_END;
    return 0;
}

/*
 * Where what is lost may begin, when nothing tells.  In the newest file new records come above what is stable; in
 * an older one copies of older ones may have been lost, too, and the places they came from may be gone.
 */
static uint64_t lowest_lost(const struct scan *c)
{
    return c->highest ? c->stable + 1 : 1;
}

/* From OFF on, which is in the window: how many bytes before an envelope may begin, or might leave the window. */
static uint64_t without_magic(const struct scan *c, uint64_t off)
{
    const uint8_t *p = c->win + (off - c->win_off);
    uint64_t end = c->win_off + c->win_len, n = 0;
    end = end < c->bytes ? end : c->bytes;
    while (off + n + 8 + HX_LOG_ENV <= end && hx_get_u32(p + n) != HX_LOG_ENV_MAGIC)
        n += 8;
    return n;
}

/* No good entry at pos: is there one further on that proves damage?  1: moved there; 0: this is the end. */
static int resync(struct scan *c)
{
    int err = 0;
    struct hx_env e;
    for (uint64_t off = c->pos + 8; off + HX_LOG_ENV <= c->bytes; off += 8) {
        const uint8_t *p = at(c, off, HX_LOG_ENV, &err);
        if (!p)
            return err;
        uint64_t n = without_magic(c, off); /* mostly zeros: space filled ahead */
        off += n;
        if (hx_get_u32(p + n) != HX_LOG_ENV_MAGIC)
            continue;
        bool good = envelope_at(c, off, &e, &err);
        if (err)
            return err;
        if (!good)
            continue;
        if (c->highest && e.durable <= c->pos)
            continue;
        bool one = e.seq == c->f->seq + 2;
        uint64_t first = one ? e.prev_first : lowest_lost(c), last = one ? e.prev_last : UINT64_MAX;
        if (!one && e.highest)
            last = e.highest > first ? e.highest : first;
        err = note_hole(c, first, last, HX_ENV_FRAME);
        c->pos = off;
        c->fresh = true;
        return err ? err : 1;
    }
    return err;
}

/* The end: what is not proven is the torn end of the last batch (S3). */
static int cut(struct scan *c)
{
    struct hx_logfile *f = c->f;
    f->end = c->pos;
    if (c->hole_count) {
        const struct hole *h = &c->holes[0];
        f->end = h->pos;
        f->seq = h->seq;
        f->chain = h->chain;
        f->prev_first = h->prev_first;
        f->prev_last = h->prev_last;
        f->side.len = h->side_len;
        f->sealed = false;
    }
    f->durable = f->end;
    f->filled = c->bytes > f->end ? c->bytes : f->end;
    f->stale = f->filled - f->end > HX_LOG_FILL_MAX; /* more than is filled ahead (reuse.c) */
    f->damaged = c->damages > 0;
    size_t len = f->side.len, more = c->proven.len;
    if (more && !hx_buf_add(&f->side, more))
        return HX_E_NOMEM;
    if (more) { /* in front: a record that stands behind the damage once more puts it right (hx_seg_known) */
        memmove(f->side.p + more, f->side.p, len);
        memcpy(f->side.p, c->proven.p, more);
    }
    return 0;
}

static int scan_entries(struct scan *c)
{
    int err = 0, more = 1;
    while (!err && more > 0 && !c->f->sealed) {
        struct hx_env e = {0};
        bool ok = envelope_at(c, c->pos, &e, &err);
        if (err)
            break;
        bool follows = e.seq == c->f->seq + 1 && e.chain == c->f->chain;
        if (ok && (c->fresh || follows || HX_MUTANT(IDENTITY_UNCHECKED))) {
            c->fresh = false;
            err = take_entry(c, &e);
        } else {
            more = resync(c);
            err = more < 0 ? more : 0;
        }
    }
    uint64_t end = c->hole_count ? c->holes[0].pos : c->pos;
    bool closed = !c->highest || c->bad_end > end, more_may_be = !c->highest || c->bad_end > c->pos;
    if (!err && more_may_be && !c->f->sealed) /* S2: its END is missing, also where the file is cut short; S4 */
        err = note_hole(c, lowest_lost(c), UINT64_MAX, HX_ENV_FRAME);
    if (!err && closed) {
        err = prove(c, UINT64_MAX);
        c->f->sealed = true; /* there is, or will be, a later file: nothing is ever appended here again (L3) */
    }
    return err;
}

int hx_scan_file(struct hx_seg *s, struct hx_logfile *f, bool highest, uint64_t *ret_stable)
{
    struct scan c = {.s = s, .f = f, .highest = highest, .bytes = f->filled};
    c.win = malloc(WINDOW);
    if (!c.win)
        return HX_E_NOMEM;
    f->side.len = 0;
    f->seq = f->chain = 0;
    f->vdl = f->floor = f->gc = f->prev_first = f->prev_last = f->highest = 0;
    f->min_lsn = UINT64_MAX;
    f->max_lsn = 0;
    f->sealed = f->sided = false;
    int err = scan_entries(&c);
    if (!err)
        err = cut(&c);
    if (!err)
        *ret_stable = f->stable = c.damages && highest ? c.stable_before : c.stable;
    free(c.win);
    free(c.holes);
    hx_buf_fini(&c.proven);
    return err;
}
