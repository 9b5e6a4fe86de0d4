/*
 * fill.c - how far a learner is filled with pages: the point, a bitmap of ranges, a file that keeps both over a
 * restart, and the step that makes a member of it.  Rules H1 to H4: doc/MEMBERSHIP.md, section 2.  Who is asked:
 * hydrate.c.
 *
 *   H1 Every page is taken as of one point R.  When R has to move up, what was copied is stale: right as of the point
 *      before, and copied again where something newer is in it.  Pages that were already taken as of a later R than
 *      the one that there is in the end (hydrate.c P6) stay: an image holds everything at or below its own LSN, which
 *      is durable.  But what was before it is not here, so the oldest read point is the highest R that there was.
 *   H4 A range is done when its pages are durable.  When all are, base := R, oldest := the highest R and "no longer
 *      filling" are one save of the meta slots; before that nothing here counts: no SCL, no answer but refusals, not
 *      hydrated in FENCE.
 *   W1 The file says less than there is, never more: it is written after the flush that made the pages durable, and
 *      one that is torn, older or lost costs what was copied since.  It is written into two files in turn.
 *   W3 It says how far the log was durable then.  A log that ends before that was damaged there: what would pass for
 *      the torn end of a batch holds pages that are said to be done.
 *   W2 A learner with damage begins again: nobody counts on what it has, and the members still have everything.
 * The rate that the driver allows (P4) is in the file too, from FORMAT on, for a restart asks nobody for it.
 * Files of a former life do not survive the FORMAT that begins a new one (hx_fill_clear). Memory: three bits a range
 * of 64 pages, while it is filled.
 */
#include "store.h"

#include <stdlib.h>

#define MAGIC 0x31485848u /* "HXH1" */
#define VERSION 2
#define RUN_FIRST 1u

bool hx_fill_is(const uint8_t *bits, uint32_t range)
{
    return bits[range / 8] >> range % 8 & 1;
}

void hx_fill_set(uint8_t *bits, uint32_t range, bool to)
{
    uint8_t bit = (uint8_t)(1u << range % 8);
    bits[range / 8] = (uint8_t)(to ? bits[range / 8] | bit : bits[range / 8] & ~bit);
}

static size_t map_bytes(const struct hx_fill *f)
{
    return (f->ranges + 7) / 8;
}

static uint32_t ranges_of(const struct hx_seg *s)
{
    uint64_t pages = hx_geometry_pg_pages(&s->meta.geometry);
    return (uint32_t)((pages + HX_FILL_RANGE - 1) / HX_FILL_RANGE);
}

/* ---- the file ---- */
void hx_fill_head_encode(const struct hx_fill_head *h, uint8_t out[HX_FILL_HEAD])
{
    struct hx_enc e = hx_enc_init(out, HX_FILL_HEAD);
    hx_enc_u32(&e, MAGIC);
    hx_enc_u16(&e, VERSION);
    hx_enc_u16(&e, 0);
    hx_enc_u64(&e, h->generation);
    hx_enc_u64(&e, h->point);
    hx_enc_u64(&e, h->since);
    hx_enc_u32(&e, h->ranges);
    hx_enc_u32(&e, h->salt);
    hx_enc_u32(&e, h->sum);
    hx_enc_u32(&e, h->rate);
    hx_enc_u32(&e, 0);
    hx_enc_u64(&e, h->top);
    hx_enc_u64(&e, h->file);
    hx_enc_u64(&e, h->end);
    hx_enc_u32(&e, hx_crc32c(0, out, HX_FILL_HEAD - 4));
    hx_assert(!e.err && e.len == HX_FILL_HEAD);
}

int hx_fill_head_decode(const uint8_t *p, size_t len, struct hx_fill_head *ret)
{
    int err = hx_version_check(p, len, MAGIC, VERSION, HX_FILL_HEAD - 4);
    if (err)
        return err;
    struct hx_dec d = hx_dec_init(p + 8, HX_FILL_HEAD - 8);
    struct hx_fill_head h = {.generation = hx_dec_u64(&d)};
    h.point = hx_dec_u64(&d);
    h.since = hx_dec_u64(&d);
    h.ranges = hx_dec_u32(&d);
    h.salt = hx_dec_u32(&d);
    h.sum = hx_dec_u32(&d);
    h.rate = hx_dec_u32(&d);
    hx_dec_u32(&d);
    h.top = hx_dec_u64(&d);
    h.file = hx_dec_u64(&d);
    h.end = hx_dec_u64(&d);
    if (h.since > h.point || h.point == UINT64_MAX)
        return HX_E_CORRUPT;
    *ret = h;
    return 0;
}

/* How far the log is durable: its highest file, and where. */
static void durable_log(const struct hx_log *l, uint64_t *ret_file, uint64_t *ret_end)
{
    *ret_file = *ret_end = 0;
    for (size_t i = 0; i < l->slot_count; i++) {
        const struct hx_logfile *f = l->files[i];
        if (!f || f->id < *ret_file)
            continue;
        *ret_file = f->id;
        *ret_end = i == l->tail ? f->durable : f->end;
    }
}

void hx_fill_save(struct hx_seg *s)
{
    struct hx_fill *f = s->fill;
    size_t map = map_bytes(f), len = HX_FILL_HEAD + 2 * map;
    uint8_t *p = malloc(len);
    f->unsaved = 0;
    if (!p || s->nospace) {
        free(p);
        return;
    }
    memcpy(p + HX_FILL_HEAD, f->done, map);
    memcpy(p + HX_FILL_HEAD + map, f->stale, map);
    durable_log(&s->log, &f->file, &f->end);
    const struct hx_fill_head h = {.generation = ++f->generation, .point = f->point, .since = f->since, .top = f->top,
                                   .file = f->file, .end = f->end, .ranges = f->ranges, .rate = f->rate,
                                   .salt = hx_log_salt(&s->at, &s->env->server),
                                   .sum = hx_crc32c(0, p + HX_FILL_HEAD, 2 * map)};
    hx_fill_head_encode(&h, p);
    uint64_t file = HX_FILL_FILE + f->generation % 2; /* W1 */
    if (!s->disk->ops->write(s->disk, file, 0, p, len))
        (void)s->disk->ops->flush(s->disk, file);
    free(p);
}

/* One of the two files; taken when it is whole, of this segment, and newer than what F has. */
static int load_one(struct hx_seg *s, struct hx_fill *f, uint64_t file)
{
    size_t map = map_bytes(f), len = HX_FILL_HEAD + 2 * map, got = 0;
    struct hx_fill_head h;
    uint8_t *p = malloc(len);
    if (!p)
        return HX_E_NOMEM;
    int err = s->disk->ops->read(s->disk, file, 0, p, len, &got);
    err = err ? err : hx_fill_head_decode(p, got, &h);
    bool good = !err && got == len && h.ranges == f->ranges && h.salt == hx_log_salt(&s->at, &s->env->server) &&
                h.sum == hx_crc32c(0, p + HX_FILL_HEAD, 2 * map) && h.generation > f->generation;
    if (good) {
        f->generation = h.generation;
        f->point = h.point;
        f->since = h.since;
        f->top = h.top;
        f->file = h.file;
        f->end = h.end;
        f->rate = h.rate;
        f->pointed = h.point != 0; /* 0: of an empty group, or written before there was one: asked again */
        memcpy(f->done, p + HX_FILL_HEAD, map);
        memcpy(f->stale, p + HX_FILL_HEAD + map, map);
    }
    free(p);
    return err == HX_E_VERSION || err == HX_E_NOMEM ? err : 0;
}

static struct hx_fill *new_fill(uint32_t ranges)
{
    struct hx_fill *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->ranges = f->left = ranges;
    f->run = RUN_FIRST;
    f->done = calloc(1, map_bytes(f));
    f->stale = calloc(1, map_bytes(f));
    f->busy = calloc(1, map_bytes(f));
    return f;
}

int hx_fill_load(struct hx_seg *s)
{
    struct hx_fill *f = new_fill(ranges_of(s));
    if (!f)
        return HX_E_NOMEM;
    s->fill = f;
    int err = f->done && f->stale && f->busy ? 0 : HX_E_NOMEM;
    for (uint64_t i = 0; i < 2 && !err; i++)
        err = load_one(s, f, HX_FILL_FILE + i);
    if (err == HX_E_VERSION) {
        hx_seg_poison(s, err);
        err = 0;
    }
    if (err) {
        hx_fill_forget(s);
        return err;
    }
    for (uint32_t r = 0; r < f->ranges; r++)
        f->left -= hx_fill_is(f->done, r);
    hx_seg_touch(s);
    return 0;
}

int hx_fill_rate(struct hx_seg *s, uint32_t rate)
{
    int err = s->fill ? 0 : hx_fill_load(s);
    if (err || s->fill->rate == rate)
        return err;
    s->fill->rate = rate;
    s->fill->credit = 0;
    hx_fill_save(s);
    return 0;
}

void hx_fill_forget(struct hx_seg *s)
{
    struct hx_fill *f = s->fill;
    if (f) {
        free(f->done);
        free(f->stale);
        free(f->busy);
    }
    free(f);
    s->fill = NULL;
}

/* ---- how far ---- */
void hx_fill_aim(struct hx_fill *f, uint64_t point)
{
    bool any_stale = false;
    for (uint32_t i = 0; i < map_bytes(f); i++) {
        any_stale |= f->stale[i] != 0;
        f->stale[i] |= f->done[i];
        f->done[i] = 0;
    }
    f->since = any_stale ? f->since : f->point; /* the older one is right for all of them */
    f->point = point;
    f->pointed = true;
    f->aged = false;
    f->left = f->ranges;
    f->next = 0;
}

/* H1: what was taken as of the later one stays. */
void hx_fill_lower(struct hx_fill *f, uint64_t point)
{
    hx_assert(f->pointed && point < f->point);
    f->since = f->since < point ? f->since : point;
    f->point = point;
}

void hx_fill_done(struct hx_fill *f, uint32_t first, uint32_t count)
{
    for (uint32_t r = first; r < first + count; r++) {
        hx_assert(!hx_fill_is(f->done, r) && f->left > 0);
        hx_fill_set(f->done, r, true);
        hx_fill_set(f->stale, r, false);
    }
    f->left -= count;
    f->unsaved += count;
    f->top = f->point > f->top ? f->point : f->top;
}

void hx_fill_finish(struct hx_seg *s)
{
    struct hx_fill *f = s->fill;
    hx_assert(f->pointed && f->left == 0);
    f->finishing = true;
    s->meta.base = HX_LSN(f->point > s->meta.base.v ? f->point : s->meta.base.v);
    s->meta.oldest = HX_LSN(f->top > s->oldest ? f->top : s->oldest);
    s->meta.flags &= (uint16_t)~HX_META_FILLING;
    s->meta_dirty = true;
}

/* What was taken above R meanwhile goes on from there; what it has at or below R is in the pages. */
void hx_fill_through(struct hx_seg *s)
{
    struct hx_chain *c = &s->chain;
    uint64_t point = s->meta.base.v;
    hx_apply_hint(s, point);
    if (s->error)
        return; /* no memory: a restart finds the base in the slots */
    if (c->scl < point)
        c->anchor = c->scl = point;
    hx_chain_advance(c);
    s->oldest = s->meta.oldest.v > s->oldest ? s->meta.oldest.v : s->oldest;
    s->filling = false;
    hx_fill_forget(s);
    hx_seg_touch(s);
    for (uint64_t i = 0; i < 2; i++) /* left behind they cost room, nothing else */
        (void)s->disk->ops->remove(s->disk, HX_FILL_FILE + i);
}

/* ---- the beginning ---- */
int hx_fill_clear(struct hx_seg *s)
{
    int err = s->disk->ops->remove(s->disk, HX_FILL_FILE);
    return err ? err : s->disk->ops->remove(s->disk, HX_FILL_FILE + 1);
}

/* Is the log shorter than it was when the ranges were said to be done?  Then its end was no torn one (W3). */
static bool is_cut(const struct hx_seg *s)
{
    uint64_t file, end;
    durable_log(&s->log, &file, &end);
    return file < s->fill->file || (file == s->fill->file && end < s->fill->end);
}

int hx_fill_opened(struct hx_seg *s)
{
    bool damaged = s->unknown_count > 0;
    s->filling = true;
    int err = hx_fill_load(s);
    if (err)
        return err;
    damaged |= is_cut(s);
    hx_fill_forget(s); /* read again when it goes on */
    for (size_t i = 0; i < s->log.slot_count; i++)
        damaged |= s->log.files[i] && (s->log.files[i]->damaged || s->log.files[i]->lost);
    if (!damaged)
        return 0;
    err = hx_retire_remove_all(s); /* W2; durable with the next flush, tried again by the next start */
    uint64_t next = s->log.next_id;
    hx_chain_fini(&s->chain);
    hx_index_fini(&s->index);
    hx_log_fini(&s->log);
    s->log.next_id = next;
    s->unknown_count = 0;
    s->floor = s->gc = s->oldest = 0;
    s->late = 0;
    if (!err)
        err = hx_meta_save(s->disk, &s->at, &s->env->server, &s->meta);
    if (!err)
        hx_seg_index_init(s, &s->meta.geometry);
    return err;
}
