/*
 * seg.c - a segment as a whole: made, opened, flushed, poisoned; and the list of its damaged records.
 *
 * What a message may do is in rules.c; this file only keeps the parts together.
 *   G1 After a failed flush nothing is acknowledged any more (poisoned) until what is on the disk was read again, by
 *      itself (revive.c) or by a new process (I12).
 *   G2 A flush makes the meta slots durable before the log: a record never outlives the promise or history
 *      under which it was taken.
 */
#include "store.h"

#include <stdlib.h>

#define FILE_BYTES_DEFAULT (64u << 20)
#define FILE_BYTES_MAX (1u << 30)
#define FILE_BYTES_MIN (16u << 10)

int hx_seg_env_init(struct hx_seg_env *e, const struct hx_uuid *server, const char *name, uint32_t log_file_bytes)
{
    *e = (struct hx_seg_env){.server = *server, .name = name, .log_file_bytes = log_file_bytes};
    e->scratch = malloc(HX_FRAME_MAX);
    e->raw = malloc(HX_FRAME_RAW_MAX);
    e->page = malloc(4 * HX_PAGE_SIZE);
    if (!e->scratch || !e->raw || !e->page || hx_frame_builder_new(&e->builder) ||
        hx_frame_opener_new(&e->opener) || hx_bodies_init(&e->bodies)) {
        hx_seg_env_fini(e);
        return HX_E_NOMEM;
    }
    return 0;
}

void hx_seg_env_fini(struct hx_seg_env *e)
{
    free(e->scratch);
    free(e->raw);
    free(e->page);
    hx_frame_builder_free(e->builder);
    hx_frame_opener_free(e->opener);
    hx_bodies_fini(&e->bodies);
    hx_made_fini(&e->made);
    hx_buf_fini(&e->spare);
    *e = (struct hx_seg_env){0};
}

int hx_seg_new(struct hx_seg_env *env, struct hx_disk *d, struct hx_disk_place at, struct hx_seg **ret)
{
    struct hx_seg *s = calloc(1, sizeof *s);
    if (!s)
        return HX_E_NOMEM;
    s->disk = d;
    s->at = at;
    s->env = env;
    s->meta.life = 1;
    hx_seg_blank(s);
    *ret = s;
    return 0;
}

void hx_seg_blank(struct hx_seg *s)
{
    s->log.tail = HX_NONE;
    s->log.next_id = HX_LOG_FIRST_ID;
    s->work.victim = HX_NONE;
    s->reuse.active = true;
}

void hx_seg_drop(struct hx_seg *s)
{
    hx_bodies_forget(&s->env->bodies, s);
    hx_made_forget(&s->env->made, s);
    hx_reuse_forget(s);
    hx_ckpt_fini(s);
    hx_chain_fini(&s->chain);
    hx_index_fini(&s->index);
    hx_log_fini(&s->log);
    hx_buf_fini(&s->fetch_side);
    hx_buf_fini(&s->work.side);
    hx_seg_sound_forget(s);
    hx_scrub_forget(s);
    hx_compare_forget(s);
    hx_fill_forget(s);
    free(s->wrongs);
    free(s->unknowns);
    free(s->path);
}

void hx_seg_free(struct hx_seg *s)
{
    hx_seg_drop(s);
    hx_meta_fini(&s->meta);
    free(s);
}

static uint32_t file_bytes(const struct hx_seg *s, uint64_t pg_bytes)
{
    uint64_t n = s->env->log_file_bytes ? s->env->log_file_bytes : FILE_BYTES_DEFAULT;
    uint64_t most = 4 * pg_bytes;
    n = n < most ? n : most;
    n = n < FILE_BYTES_MAX ? n : FILE_BYTES_MAX;
    return (uint32_t)(n > FILE_BYTES_MIN ? n : FILE_BYTES_MIN);
}

uint32_t hx_seg_file_bytes(const struct hx_seg *s)
{
    return file_bytes(s, s->meta.geometry.pg_bytes);
}

void hx_seg_index_init(struct hx_seg *s, const struct hx_geometry *g)
{
    hx_index_init(&s->index, hx_geometry_pg_pages(g), file_bytes(s, g->pg_bytes));
}

void hx_seg_poison(struct hx_seg *s, int why)
{
    s->env->failures += s->error == 0;
    if (!s->error)
        s->error = why;
    hx_seg_touch(s);
}

static int open_all(struct hx_seg *s, bool uneven)
{
    if (s->meta.flags & HX_META_RETIRED)
        return hx_retire_opened(s, uneven);
    s->log.next_id = s->meta.first_file > HX_LOG_FIRST_ID ? s->meta.first_file : HX_LOG_FIRST_ID;
    hx_seg_index_init(s, &s->meta.geometry);
    int err = uneven ? hx_meta_save(s->disk, &s->at, &s->env->server, &s->meta) : 0;
    if (!err)
        err = hx_load(s);
    return err || !(s->meta.flags & HX_META_FILLING) ? err : hx_fill_opened(s);
}

/*
 * A FORMAT that never ended leaves the first slot, or half of it, and less than the whole of the second (the first save
 * gives it its full length): nobody was told that the segment exists, however the first one reads now.  A reserve
 * beside it, whose name was kept by chance, says nothing.  With a second slot of full length or a log, promises were
 * made and are lost: that must not pass for a new segment.
 */
static int never_made(struct hx_seg *s, bool *ret)
{
    struct hx_disk_file d[3];
    size_t n = 0;
    int err = s->disk->ops->list(s->disk, HX_META_SLOTS, d, HX_ARRAY_LEN(d), &n);
    *ret = true;
    for (size_t i = 0; i < n; i++)
        *ret = *ret && (d[i].id == HX_RESERVE_FILE || (d[i].id == HX_META_SLOTS && d[i].bytes < HX_META_RESERVE));
    return err;
}

int hx_seg_open(struct hx_seg *s)
{
    bool uneven = false;
    int err = hx_meta_load(s->disk, &s->at, &s->env->server, &s->meta, &uneven);
    if (err == HX_E_NOENT || err == HX_E_CORRUPT || err == HX_E_IO) {
        bool never;
        int lerr = never_made(s, &never);
        if (!lerr && never)
            return HX_E_NOENT;
        err = lerr ? lerr : err == HX_E_IO ? err : HX_E_CORRUPT;
    }
    if (!err)
        err = open_all(s, uneven || s->suspect.doubt);
    if (err)
        hx_seg_poison(s, err);
    return err;
}

static void meta_saved(struct hx_seg *s, int err)
{
    if (err && err != HX_E_NOMEM && err != HX_E_NOSPACE) {
        s->error = s->retiring ? 0 : s->error;
        s->retiring = false;
        hx_seg_poison(s, HX_E_POISONED); /* G1 */
    }
    s->meta_dirty = err != 0;
    s->nospace |= err == HX_E_NOSPACE;
    if (err)
        s->round_error = s->error ? s->error : err;
    else if (s->retiring)
        hx_retire_done(s);
}

/* A segment that is retiring says NO_SEGMENT already. */
static bool meta_due(const struct hx_seg *s)
{
    return (!s->error || s->retiring) && s->meta_dirty;
}

static void flush_meta(struct hx_seg *s)
{
    if (!meta_due(s))
        return;
    meta_saved(s, hx_meta_save(s->disk, &s->at, &s->env->server, &s->meta)); /* G2 */
}

/* The slots of many segments: first of all the one, then of all the other, so that a wave of fences waits for the disk
 * three times at most, not twice for each segment. */
void hx_seg_flush_metas(struct hx_disk_farm *f, struct hx_seg **segs, size_t count)
{
    struct hx_meta_save w[HX_DISK_FLUSH_MAX];
    struct hx_disk_flush list[HX_DISK_FLUSH_MAX];
    size_t of[HX_DISK_FLUSH_MAX], waiting = 0;
    hx_assert(count <= HX_DISK_FLUSH_MAX);
    for (size_t i = 0; i < count; i++) {
        struct hx_seg *s = segs[i];
        w[i].p = NULL;
        int err = meta_due(s) ? hx_meta_save_begin(&w[i], s->disk, &s->at, &s->env->server, &s->meta) : 0;
        if (err)
            meta_saved(s, err);
    }
    do {
        waiting = 0;
        for (size_t i = 0; i < count; i++) {
            uint64_t slot = w[i].p ? hx_meta_save_next(&w[i], &segs[i]->meta) : 0;
            if (slot) {
                list[waiting] = (struct hx_disk_flush){segs[i]->disk, slot, 0};
                of[waiting++] = i;
            }
        }
        if (waiting)
            f->ops->flush_many(f, list, waiting);
        for (size_t k = 0; k < waiting; k++)
            hx_meta_save_flushed(&w[of[k]], &segs[of[k]]->meta, list[k].err);
    } while (waiting);
    for (size_t i = 0; i < count; i++)
        if (w[i].p)
            meta_saved(segs[i], hx_meta_save_end(&w[i], &segs[i]->meta));
}

static int flushed(struct hx_seg *s, int err)
{
    if (err)
        s->round_error = err;
    if (s->error)
        s->round_error = s->error;
    return s->round_error;
}

int hx_seg_flush_beside(struct hx_seg *s, uint64_t file)
{
    const struct hx_disk_ops *ops = s->disk->ops;
    if (!ops->flush_begin)
        return ops->flush(s->disk, file);
    if (s->beside && s->beside != file)
        return 1;
    int err = s->beside ? ops->flush_end(s->disk, file) : ops->flush_begin(s->disk, file);
    bool goes_on = err == HX_E_BUSY || (!err && !s->beside);
    if (err != HX_E_BUSY)
        s->beside = goes_on ? file : 0;
    return goes_on ? 1 : err;
}

int hx_seg_discard(struct hx_seg *s, uint64_t file)
{
    const struct hx_disk_ops *ops = s->disk->ops;
    if (s->beside == file)
        s->beside = 0;
    return ops->discard ? ops->discard(s->disk, file) : ops->remove(s->disk, file);
}

void hx_seg_expect(struct hx_seg *s, uint64_t file, uint64_t off, size_t len)
{
    if (s->disk->ops->expect)
        s->disk->ops->expect(s->disk, file, off, len);
}

int hx_seg_flush(struct hx_seg *s)
{
    int err = 0;
    flush_meta(s);
    if (s->error || s->meta_dirty)
        hx_log_drop(s);
    else
        err = hx_log_flush(s);
    return flushed(s, err);
}

uint64_t hx_seg_flush_begin(struct hx_seg *s)
{
    uint64_t file = 0;
    int err = 0;
    if (s->error || s->meta_dirty)
        hx_log_drop(s);
    else
        err = hx_log_begin(s, &file);
    flushed(s, err);
    return file;
}

void hx_seg_flush_end(struct hx_seg *s, int err)
{
    flushed(s, hx_log_end(s, err));
}

void hx_seg_tell(const struct hx_seg *s, uint64_t file, uint64_t off, uint64_t first, uint64_t last)
{
    if (s->env->told)
        s->env->told(s->env->told_ctx, file, off, first, last);
}

bool hx_seg_lost_within(const struct hx_seg *s, uint64_t from, uint64_t to)
{
    for (size_t i = 0; i < s->unknown_count; i++)
        if (s->unknowns[i].from <= to && s->unknowns[i].to >= from && from <= to)
            return true;
    return false;
}

int hx_seg_unknown(struct hx_seg *s, uint64_t from, uint64_t to, uint32_t page, bool blind)
{
    for (size_t i = 0; i < s->unknown_count; i++)
        if (from >= s->unknowns[i].from && to <= s->unknowns[i].to && s->unknowns[i].blind == blind)
            return 0;
    int err = hx_buf_grow(&s->unknowns, &s->unknown_cap, s->unknown_count, sizeof *s->unknowns);
    if (err)
        return err;
    s->unknowns[s->unknown_count++] = (struct hx_unknown){from, to, page, blind};
    s->damaged++;
    if (blind) { /* found while pages were confirmed: the sweep goes on to those that it is about */
        s->sound.whole = false;
        s->sound.next = 0;
    }
    hx_seg_touch(s);
    return 0;
}

/*
 * Damage from below to above the SCL.  In an idle group nothing ever moves the SCL to its end, so the part below is
 * settled for itself; the part above waits for the next record, or epoch, which tells whether there was anything.
 * Below, what is blind is mended page by page; what a restart lost without an end is there again once the chain
 * reaches over it; of what else was lost with an end the lists of the files tell which records it is (scrub.c).
 */
void hx_seg_unknown_split(struct hx_seg *s, size_t i)
{
    struct hx_unknown u = s->unknowns[i];
    uint64_t scl = s->chain.scl;
    if (u.from > scl || u.to <= scl)
        return;
    if (!u.blind && u.to == UINT64_MAX) {
        s->unknowns[i].from = scl + 1;
    } else if (u.page == HX_NONE && scl <= s->chain.hint) {
        s->unknowns[i].to = scl; /* first: else the part above would be in what is there already */
        if (hx_seg_unknown(s, scl + 1, u.to, HX_NONE, false))
            s->unknowns[i].to = u.to;
    }
    hx_seg_touch(s);
}

/* Not blind damage: what was lost there may be images and copies of older records, whose originals are deleted. */
void hx_seg_known(struct hx_seg *s, uint64_t prev, uint64_t lsn)
{
    for (size_t i = s->unknown_count; i-- > 0;) {
        struct hx_unknown *u = &s->unknowns[i];
        if (u->blind || prev >= u->from || lsn < u->from || u->to == UINT64_MAX)
            continue;
        if (lsn >= u->to)
            *u = s->unknowns[--s->unknown_count];
        else
            u->from = lsn + 1;
    }
}

bool hx_seg_is_sound(const struct hx_seg *s, const struct hx_unknown *u, uint32_t page, uint64_t point)
{
    const struct hx_seg_sound *o = &s->sound;
    return o->bits && u->to <= o->to && point >= o->at && (o->bits[page / 8] >> page % 8 & 1);
}

bool hx_seg_is_mended(const struct hx_seg *s, const struct hx_unknown *u)
{
    return u->blind && s->sound.whole && u->to <= s->sound.to;
}

size_t hx_seg_damages(const struct hx_seg *s)
{
    size_t n = hx_compare_wrongs(s);
    for (size_t i = 0; i < s->unknown_count; i++)
        n += !hx_seg_is_mended(s, &s->unknowns[i]);
    return n;
}

void hx_seg_set_sound(struct hx_seg *s, uint32_t page)
{
    s->sound.bits[page / 8] = (uint8_t)(s->sound.bits[page / 8] | 1u << page % 8);
}

void hx_seg_sound_forget(struct hx_seg *s)
{
    free(s->sound.bits);
    s->sound = (struct hx_seg_sound){0};
}

void hx_seg_mended(struct hx_seg *s, uint32_t page, uint64_t lsn, uint32_t sum)
{
    hx_compare_mended(s, page, lsn, sum);
    for (uint32_t i = 0; i < s->sound.want_count; i++)
        if (s->sound.want[i].page == page && s->sound.want[i].lsn == lsn)
            hx_seg_set_sound(s, page);
    for (size_t i = s->unknown_count; i-- > 0;)
        if (s->unknowns[i].page == page && s->unknowns[i].to <= lsn)
            s->unknowns[i] = s->unknowns[--s->unknown_count];
}
