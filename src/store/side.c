/*
 * side.c - sidecars: what a closed log file holds, record by record, so that a restart need not read the
 * file itself (bytes: doc/FORMAT.md).
 *
 * A sidecar is written once, after its log file was closed, in one piece with one flush, beside the commits that come
 * meanwhile; it counts, and the list in memory goes, when that has ended.  One that is missing,
 * torn or damaged costs a scan of the log file, nothing else (load.c); with one of a newer program the segment is
 * refused.  It is also the second copy of the knowledge which pages a file holds: a file may only be deleted when what
 * supersedes it is in files that have theirs (space.c), and of a log file that was lost whole it tells what it held.
 *
 * What it calls stable is what its own last entry did, not what the chain has reached since: that may rest on records
 * of a younger file, and if a disk loses those they must be missed.
 */
#include "store.h"

#include "hexad/mutant.h"

#include <stdlib.h>

#define SIDE_VERSION 1

void hx_side_frame_encode(const struct hx_side_frame *f, uint8_t out[HX_LOG_SIDE_FRAME])
{
    struct hx_enc e = hx_enc_init(out, HX_LOG_SIDE_FRAME);
    hx_enc_u32(&e, f->off);
    hx_enc_u32(&e, f->len);
    hx_enc_u32(&e, f->count);
    hx_enc_u8(&e, f->kind);
    hx_enc_u8(&e, f->flags);
    hx_enc_u8(&e, f->codec);
    hx_enc_u8(&e, 0);
    hx_enc_u64(&e, f->first);
    hx_enc_u64(&e, f->last);
    hx_enc_u64(&e, f->prev);
    hx_enc_u64(&e, f->epoch);
    hx_enc_u32(&e, f->raw_len);
    hx_enc_u32(&e, f->body_len);
    hx_enc_u32(&e, f->body_crc);
    hx_enc_u32(&e, 0);
    hx_assert(!e.err && e.len == HX_LOG_SIDE_FRAME);
}

void hx_side_rec_encode(const struct hx_side_rec *r, uint8_t out[HX_LOG_SIDE_REC])
{
    hx_put_u32(out, r->lsn_off);
    hx_put_u32(out + 4, r->page);
    hx_put_u32(out + 8, r->sum);
    hx_put_u16(out + 12, r->len);
    out[14] = r->kind;
    out[15] = r->flags;
}

void hx_side_rec_decode(const uint8_t *p, struct hx_side_rec *ret)
{
    *ret = (struct hx_side_rec){hx_get_u32(p), hx_get_u32(p + 4), hx_get_u32(p + 8), hx_get_u16(p + 12), p[14], p[15]};
}

int hx_side_next(const uint8_t *side, size_t side_len, size_t *off, struct hx_side_frame *ret, const uint8_t **ret_recs)
{
    if (*off == side_len)
        return 0;
    struct hx_dec d = hx_dec_init(side + *off, side_len - *off);
    ret->off = hx_dec_u32(&d);
    ret->len = hx_dec_u32(&d);
    ret->count = hx_dec_u32(&d);
    ret->kind = hx_dec_u8(&d);
    ret->flags = hx_dec_u8(&d);
    ret->codec = hx_dec_u8(&d);
    hx_dec_u8(&d);
    ret->first = hx_dec_u64(&d);
    ret->last = hx_dec_u64(&d);
    ret->prev = hx_dec_u64(&d);
    ret->epoch = hx_dec_u64(&d);
    ret->raw_len = hx_dec_u32(&d);
    ret->body_len = hx_dec_u32(&d);
    ret->body_crc = hx_dec_u32(&d);
    hx_dec_u32(&d);
    if (d.err || ret->count > (d.len - d.off) / HX_LOG_SIDE_REC)
        return HX_E_BADMSG;
    *ret_recs = d.p + d.off;
    *off += d.off + (size_t)ret->count * HX_LOG_SIDE_REC;
    return 1;
}

static int write_side(struct hx_seg *s, struct hx_logfile *f)
{
    uint8_t head[HX_LOG_SIDE_HEAD];
    struct hx_enc e = hx_enc_init(head, sizeof head);
    hx_enc_u32(&e, HX_LOG_SIDE_MAGIC);
    hx_enc_u16(&e, SIDE_VERSION);
    hx_enc_u16(&e, 0);
    hx_enc_u64(&e, f->id);
    hx_enc_u64(&e, f->end);
    hx_enc_u64(&e, f->min_lsn);
    hx_enc_u64(&e, f->max_lsn);
    hx_enc_u64(&e, f->vdl);
    hx_enc_u64(&e, f->floor);
    hx_enc_u64(&e, f->gc);
    hx_enc_u64(&e, f->stable);
    f->side_crc = hx_crc32c(0, f->side.p, f->side.len);
    hx_enc_u32(&e, (uint32_t)f->side.len);
    hx_enc_u32(&e, f->side_crc);
    hx_enc_u32(&e, hx_log_salt(&s->at, &s->env->server));
    hx_enc_u64(&e, s->log.endless ? 0 : s->log.highest);
    hx_enc_u64(&e, f->raw);
    hx_enc_u64(&e, 0);
    hx_enc_u32(&e, hx_crc32c(0, head, HX_LOG_SIDE_HEAD - 4));
    hx_assert(!e.err && e.len == HX_LOG_SIDE_HEAD);
    uint64_t id = f->id | HX_LOG_SIDE_BIT;
    int err = s->disk->ops->write(s->disk, id, 0, head, sizeof head);
    if (!err && f->side.len)
        err = s->disk->ops->write(s->disk, id, sizeof head, f->side.p, f->side.len);
    if (err) {
        s->disk->ops->remove(s->disk, id); /* half a sidecar tells nothing, but takes room */
        return err;
    }
    return 0;
}

/* FLUSHED: what the flush of the sidecar said. */
static int written(struct hx_seg *s, struct hx_logfile *f, int flushed)
{
    f->siding = false;
    if (flushed) {
        s->suspect.side = f->id | HX_LOG_SIDE_BIT;
        hx_seg_poison(s, HX_E_POISONED);
        return HX_E_POISONED;
    }
    f->sided = true;
    hx_buf_fini(&f->side);
    return 0;
}

int hx_side_save(struct hx_seg *s, struct hx_logfile *f)
{
    int err = write_side(s, f);
    return err ? err : written(s, f, s->disk->ops->flush(s->disk, f->id | HX_LOG_SIDE_BIT));
}

int hx_side_save_beside(struct hx_seg *s, struct hx_logfile *f)
{
    int err = f->siding ? 0 : write_side(s, f);
    if (err)
        return err;
    f->siding = true;
    err = hx_seg_flush_beside(s, f->id | HX_LOG_SIDE_BIT);
    return err > 0 ? 1 : written(s, f, err);
}

/* Not every error comes back, and where the log file is gone (load.c R7) nothing else tells what was in it. */
static int read_twice(struct hx_seg *s, const struct hx_logfile *f, uint64_t off, void *buf, size_t len,
                      size_t *ret_got)
{
    const uint64_t id = f->id | HX_LOG_SIDE_BIT;
    int err = s->disk->ops->read(s->disk, id, off, buf, len, ret_got);
    return err == HX_E_IO ? s->disk->ops->read(s->disk, id, off, buf, len, ret_got) : err;
}

/* The head of the sidecar of F into F's counters. */
static int read_head(struct hx_seg *s, struct hx_logfile *f, uint64_t *ret_stable, uint32_t *ret_len, uint32_t *ret_crc)
{
    uint8_t p[HX_LOG_SIDE_HEAD];
    size_t got;
    int err = read_twice(s, f, 0, p, sizeof p, &got);
    if (err)
        return err;
    err = hx_version_check(p, got, HX_LOG_SIDE_MAGIC, SIDE_VERSION, HX_LOG_SIDE_HEAD - 4);
    if (err == HX_E_CORRUPT)
        return err;
    struct hx_dec d = hx_dec_init(p + 8, sizeof p - 8);
    uint64_t id = hx_dec_u64(&d);
    f->end = f->durable = f->filled = hx_dec_u64(&d);
    f->min_lsn = hx_dec_u64(&d);
    f->max_lsn = hx_dec_u64(&d);
    f->vdl = hx_dec_u64(&d);
    f->floor = hx_dec_u64(&d);
    f->gc = hx_dec_u64(&d);
    *ret_stable = f->stable = hx_dec_u64(&d);
    *ret_len = hx_dec_u32(&d);
    f->side_crc = *ret_crc = hx_dec_u32(&d);
    uint32_t salt = hx_dec_u32(&d);
    f->highest = hx_dec_u64(&d);
    f->raw = hx_dec_u64(&d);
    return id == f->id && salt == hx_log_salt(&s->at, &s->env->server) ? err : HX_E_CORRUPT;
}

int hx_side_head(struct hx_seg *s, struct hx_logfile *f, uint64_t *ret_stable)
{
    uint32_t len, crc;
    uint64_t stable;
    struct hx_logfile t = *f;
    int err = read_head(s, &t, &stable, &len, &crc);
    if (err)
        return err;
    *f = t;
    f->sealed = f->sided = true;
    *ret_stable = stable;
    return 0;
}

/* Lengths of a frame as its head's check allows them (core/frame.c), in a file of END bytes. */
static bool lengths_sane(const struct hx_side_frame *f, uint64_t end)
{
    if ((uint64_t)f->off + HX_LOG_ENV + f->len > end)
        return false;
    if (f->raw_len > HX_FRAME_RAW_MAX || f->body_len > HX_FRAME_MAX - HX_FRAME_HEAD || f->codec > 1)
        return false;
    return f->len == HX_FRAME_HEAD + f->body_len && (f->codec || f->body_len == f->raw_len);
}

/* The records of a frame keep the rules of a frame's walk, from which a list is made. */
static bool records_sane(const struct hx_side_frame *f, const uint8_t *recs, uint64_t pages)
{
    uint64_t off = 0, bytes = (uint64_t)f->count * HX_REC_HEAD;
    for (uint32_t i = 0; i < f->count; i++, recs += HX_LOG_SIDE_REC) {
        struct hx_side_rec r;
        hx_side_rec_decode(recs, &r);
        if (i ? r.lsn_off <= off : r.lsn_off != 0)
            return false;
        if (r.page >= pages || r.len > HX_PAGE_SIZE || r.flags & ~HX_REC_CPL)
            return false;
        if (r.kind < HX_REC_PATCH || r.kind > HX_REC_SPARSE)
            return false;
        off = r.lsn_off;
        bytes += r.len;
    }
    return bytes == f->raw_len && f->last - f->first == off;
}

/* A checksum tells what was written, not that it made sense: what follows from a list (inventories, pages) must.
 * END: of the log file. */
static bool list_sane(const struct hx_seg *s, uint64_t end, const uint8_t *p, size_t len)
{
    uint64_t pages = hx_geometry_pg_pages(&s->meta.geometry);
    size_t off = 0;
    struct hx_side_frame f;
    const uint8_t *recs;
    int got;
    while ((got = hx_side_next(p, len, &off, &f, &recs)) > 0) {
        bool damaged = f.flags & HX_ENV_DAMAGED;
        if (f.last < f.first || damaged != (f.count == 0))
            return false;
        if (!damaged && (f.first <= f.prev || !lengths_sane(&f, end) || !records_sane(&f, recs, pages)))
            return false;
    }
    return got == 0;
}

int hx_side_load(struct hx_seg *s, struct hx_logfile *f, struct hx_buf *ret)
{
    struct hx_logfile t = *f;
    uint32_t len, crc;
    uint64_t stable;
    size_t got;
    int err = read_head(s, &t, &stable, &len, &crc);
    if (err)
        return err;
    if (len > 2 * HX_LOG_SIDE_MAX + HX_LOG_BATCH_MAX)
        return HX_E_CORRUPT;
    ret->len = 0;
    uint8_t *p = hx_buf_add(ret, len ? len : 1);
    if (!p)
        return HX_E_NOMEM;
    ret->len = len;
    err = read_twice(s, f, HX_LOG_SIDE_HEAD, p, len, &got);
    bool whole = !err && got == len && (hx_crc32c(0, p, len) == crc || HX_MUTANT(SIDECAR_UNCHECKED));
    if (!err && (!whole || !list_sane(s, t.end, p, len)))
        err = HX_E_CORRUPT;
    return err;
}
