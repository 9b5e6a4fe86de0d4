/*
 * scrub.c - a segment reads again everything that it has stored, a piece at a time: what rots where nobody reads is
 * found while there are good copies of it left.
 *
 * A cycle goes over both meta slots, then the log files in the order of their numbers, each with its sidecar; then
 * pages are compared with those of peers (compare.c).  How much is read when is not decided here (pace.c); damage is
 * told by the rules that a read or a restart follows:
 *   U1 An entry is good when envelope and frame are whole, say what the list of the file says of them (LSNs, epoch,
 *      lengths, crc of the body), and stand where they say (segment, file, offset): so flipped, misdirected, swapped
 *      and stale blocks are all found, the last three though their own sums are right.
 *   U2 Of an entry that is not good, each record is tried as a read would: one that a page needs and that is lost makes
 *      this page CORRUPT until a peer has given it again.  One above the hint is UNKNOWN in inventories (F3).  Nothing
 *      else of it is needed by anybody, and is not counted.
 *   U3 What is in memory is not taken from the disk again: a slot, or a sidecar, that is damaged is written anew.  The
 *      damaged one of two slots first: at any crash the other one is whole.
 *   U4 In the open file the places between entries count, too: a restart would read them.  If anything there is
 *      damaged the file is closed, for its sidecar is made of what is known in memory.
 *   U5 When log file and sidecar are both damaged, the pages are no longer known to a restart: blind, as there.
 *   U6 What is left in a closed file with damage is moved elsewhere, so that U5 gets rare (space.c).
 *   U7 A sidecar that a deletion left behind (load.c R7) is no damage: nothing needs what it lists, and it goes.
 * What is behind the end, in numbers that nobody points to, and in files that were begun meanwhile is not looked at.
 * The position is kept in a small file, without flush: what is lost of it is read once more.  A crash, a second copy
 * of the same damage, a file that goes away in between: the next cycle sees what there is then.
 * Memory: a window of HX_FRAME_MAX and a little, during a step; the list of the file that is being read.
 */
#include "store.h"

#include <stdlib.h>

#define MARK_MAGIC 0x31525848u /* "HXR1" */
#define MARK_VERSION 1
#define MARK_BYTES 64u
#define MARK_EVERY (8u << 20) /* bytes of progress that a restart may lose; of a small store, a sixteenth */
#define CHARGE 4096u          /* what a step costs at least: seeks are not free */
#define WINDOW (320u << 10)
#define AHEAD (512u << 10)
_Static_assert(WINDOW > HX_LOG_ENV + HX_FRAME_MAX, "an entry fits the window");

struct look { /* the file as far as it is in memory */
    struct hx_seg *s;
    uint32_t slot;
    uint8_t *win;
    uint64_t win_off;
    size_t win_len;
    size_t budget, used;
};

/* ---- where a cycle stands ---- */
uint64_t hx_scrub_total(const struct hx_seg *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->log.slot_count; i++)
        n += s->log.files[i] ? s->log.files[i]->end : 0;
    return n;
}

static void save_position(struct hx_seg *s)
{
    struct hx_seg_scrub *c = &s->scrub;
    uint8_t p[MARK_BYTES] = {0};
    struct hx_enc e = hx_enc_init(p, sizeof p);
    hx_enc_u32(&e, MARK_MAGIC);
    hx_enc_u16(&e, MARK_VERSION);
    hx_enc_u16(&e, 0);
    hx_enc_u64(&e, c->comparing ? HX_LOG_SIDE_BIT | c->page : c->under_way ? c->file : 0);
    hx_enc_u64(&e, c->cycles);
    hx_enc_u64(&e, c->done);
    hx_enc_u64(&e, c->total);
    hx_enc_u32(&e, hx_log_salt(&s->at, &s->env->server));
    hx_put_u32(p + MARK_BYTES - 4, hx_crc32c(0, p, MARK_BYTES - 4));
    c->saved = c->done;
    if (!s->nospace) /* an error costs the position, nothing else */
        s->disk->ops->write(s->disk, HX_SCRUB_FILE, 0, p, sizeof p);
}

/* Anything but a whole mark of this segment: from the start.  One of a newer program is not overwritten. */
void hx_scrub_load(struct hx_seg *s)
{
    struct hx_seg_scrub *c = &s->scrub;
    uint8_t p[MARK_BYTES];
    size_t got;
    if (c->loaded)
        return;
    c->loaded = true;
    int err = s->disk->ops->read(s->disk, HX_SCRUB_FILE, 0, p, sizeof p, &got);
    err = err ? err : hx_version_check(p, got, MARK_MAGIC, MARK_VERSION, MARK_BYTES - 4);
    bool own = (!err || err == HX_E_VERSION) && hx_get_u32(p + 40) == hx_log_salt(&s->at, &s->env->server);
    if (own && err)
        hx_seg_poison(s, err);
    if (!own || err)
        return;
    c->file = hx_get_u64(p + 8);
    c->cycles = hx_get_u64(p + 16);
    c->done = c->saved = c->file ? hx_get_u64(p + 24) : 0;
    c->total = hx_get_u64(p + 32);
    c->under_way = c->file != 0;
    c->comparing = c->file >= HX_LOG_SIDE_BIT;
    if (c->comparing) {
        c->page = (uint32_t)c->file;
        c->file = 0;
    }
    c->asked = c->asked > c->cycles ? c->asked : 0;
}

void hx_scrub_forget(struct hx_seg *s)
{
    hx_buf_fini(&s->scrub.side);
    s->scrub.side_file = 0;
}

static void begin_cycle(struct hx_seg *s)
{
    struct hx_seg_scrub *c = &s->scrub;
    hx_scrub_forget(s);
    hx_compare_forget(s);
    c->under_way = c->begun = true;
    c->comparing = false;
    c->undecided_now = 0;
    c->file = c->done = c->saved = c->pos = c->renewed = 0;
    c->off = 0;
    c->total = hx_scrub_total(s);
}

void hx_scrub_ask(struct hx_seg *s)
{
    struct hx_seg_scrub *c = &s->scrub;
    hx_scrub_load(s);
    if (s->error || c->asked > c->cycles)
        return; /* somebody else did; theirs began before, but whoever asks twice at once means one */
    begin_cycle(s);
    c->asked = c->cycles + 1;
    hx_seg_touch(s);
}

/* All files are through. */
static void begin_comparing(struct hx_seg *s)
{
    struct hx_seg_scrub *c = &s->scrub;
    hx_scrub_forget(s);
    c->comparing = true;
    c->page = c->fails = 0;
    c->file = c->pos = 0;
    c->off = 0;
    save_position(s);
}

void hx_scrub_compared(struct hx_seg *s)
{
    struct hx_seg_scrub *c = &s->scrub;
    hx_compare_forget(s);
    c->under_way = c->comparing = false;
    c->undecided = c->undecided_now;
    c->cycles++;
    c->file = c->done = c->pos = 0;
    c->off = 0;
    save_position(s);
    hx_seg_touch(s);
}

void hx_scrub_status(const struct hx_seg *s, struct hx_scrub_status *ret)
{
    const struct hx_seg_scrub *c = &s->scrub;
    uint64_t now = hx_seg_damages(s);
    uint64_t pages = s->index.pages << HX_PAGE_SHIFT, all = hx_geometry_pg_pages(&s->meta.geometry);
    uint64_t done = c->done + c->pos + (c->comparing ? (uint64_t)((double)pages * c->page / (double)all) : 0);
    *ret = (struct hx_scrub_status){.cycles = c->cycles, .asked = c->asked, .found = s->damaged + c->rewritten};
    ret->differed = c->differed;
    ret->undecided = c->undecided > c->undecided_now ? c->undecided : c->undecided_now;
    ret->mended = c->rewritten + (s->damaged > now ? s->damaged - now : 0);
    if (c->under_way) {
        ret->total = c->total + pages > done ? c->total + pages : done;
        ret->done = done;
    }
}

/* ---- slots ---- */
static void look_at_slots(struct hx_seg *s)
{
    unsigned bad = 0;
    if (s->meta_dirty || hx_meta_check(s->disk, &s->at, &s->env->server, &s->meta, &bad))
        return; /* they are written now anyway; or no memory */
    if (!bad)
        return;
    s->meta.first = bad == 2 ? 2 : 1; /* U3 */
    s->meta_dirty = true;
    s->scrub.found++;
    s->scrub.rewritten++;
    hx_seg_touch(s);
}

/* ---- bytes ---- */
static int read_twice(struct look *l, uint64_t off, size_t len)
{
    int err = hx_log_read(l->s, l->slot, off, l->win, len);
    if (err == HX_E_IO) /* not every error comes back */
        err = hx_log_read(l->s, l->slot, off, l->win, len);
    l->used += len;
    l->win_off = off;
    l->win_len = err ? 0 : len;
    return err;
}

/* LEN bytes at OFF, borrowed from the window.  END: of what may be read. */
static int bytes_at(struct look *l, uint64_t off, size_t len, uint64_t end, const uint8_t **ret)
{
    hx_assert(len <= WINDOW && off + len <= end); /* side.c and scan.c name no other entries */
    if (off < l->win_off || off + len > l->win_off + l->win_len) {
        size_t more = l->budget > l->used + len ? l->budget - l->used : len;
        more = more < WINDOW ? more : WINDOW;
        more = more < end - off ? more : (size_t)(end - off);
        int err = read_twice(l, off, more);
        if (err == HX_E_IO && more > len)
            err = read_twice(l, off, len); /* the bad place may be behind */
        if (err)
            return err == HX_E_IO ? HX_E_CORRUPT : err;
    }
    *ret = l->win + (off - l->win_off);
    return 0;
}

static bool envelope_stands(struct hx_seg *s, const struct hx_logfile *f, uint64_t off, const struct hx_env *e)
{
    return e->salt == hx_log_salt(&s->at, &s->env->server) && e->file == f->id && e->off == off;
}

/* U1.  HX_E_CORRUPT, or what kept us from looking. */
static int check_entry(struct look *l, const struct hx_logfile *f, const struct hx_side_frame *d)
{
    const uint8_t *p;
    struct hx_env e;
    struct hx_frame_head h;
    int err = bytes_at(l, d->off, HX_LOG_ENV + (size_t)d->len, f->end, &p);
    if (err)
        return err;
    if (hx_env_decode(p, &e) || !envelope_stands(l->s, f, d->off, &e) || e.kind != d->kind || e.body_len != d->len ||
        e.first != d->first || e.last != d->last)
        return HX_E_CORRUPT;
    p += HX_LOG_ENV;
    if (hx_frame_head_decode(p, d->len, &h) || hx_frame_bytes(&h) != d->len || h.pg != l->s->at.pg ||
        !hx_uuid_eq(&h.volume, &l->s->at.volume))
        return HX_E_CORRUPT;
    if (h.count != d->count || h.first.v != d->first || h.last.v != d->last || h.prev.v != d->prev ||
        h.epoch.v != d->epoch || h.codec != d->codec || h.raw_len != d->raw_len || h.body_crc != d->body_crc)
        return HX_E_CORRUPT;
    return hx_crc32c(0, p + HX_FRAME_HEAD, h.body_len) == d->body_crc ? 0 : HX_E_CORRUPT;
}

/* ---- what is damaged ---- */
/* Is a record of the frame held above the hint, from this place? */
static bool held_here(struct hx_seg *s, uint32_t slot, const struct hx_side_frame *f, const uint8_t *recs)
{
    for (uint32_t i = 0; f->kind == HX_ENV_FRAME && f->last > s->chain.hint && i < f->count; i++) {
        struct hx_side_rec r;
        hx_side_rec_decode(recs + (size_t)i * HX_LOG_SIDE_REC, &r);
        const struct hx_held *h = hx_chain_find(&s->chain, f->first + r.lsn_off, f->epoch);
        if (h && hx_place_within(h->file, h->pos, h->codec, slot, f))
            return true;
    }
    return false;
}

/* U2 */
static int damaged_entry(struct look *l, const struct hx_side_frame *f, const uint8_t *recs)
{
    struct hx_seg *s = l->s;
    uint64_t was = s->damaged;
    int err = 0;
    if (s->log.files[l->slot]->lost && !s->log.files[l->slot]->rotten) /* U7 */
        return 0;
    hx_bodies_forget(&s->env->bodies, s); /* what was read before it rotted says nothing */
    hx_made_forget(&s->env->made, s);
    hx_seg_tell(s, s->log.files[l->slot]->id, f->off, f->first, f->last);
    if (held_here(s, l->slot, f, recs))
        err = hx_seg_unknown(s, f->first, f->last, HX_NONE, false);
    for (uint32_t i = 0; i < f->count && !err; i++) {
        struct hx_side_rec r;
        hx_side_rec_decode(recs + (size_t)i * HX_LOG_SIDE_REC, &r);
        err = hx_page_try(s, r.page, f->first + r.lsn_off, l->slot, f);
    }
    bool open = s->log.tail == l->slot;
    s->log.files[l->slot]->rotten |= !open; /* U6 */
    s->scrub.found += s->damaged > was || (open && !err); /* after an error it is met again */
    s->scrub.close |= open;
    hx_seg_touch(s);
    return err;
}

static int try_list(struct hx_seg *s, uint32_t slot, const struct hx_buf *list, const struct hx_unknown *u)
{
    size_t off = 0;
    struct hx_side_frame f;
    const uint8_t *recs;
    int err = 0;
    while (!err && hx_side_next(list->p, list->len, &off, &f, &recs) > 0)
        for (uint32_t i = 0; i < f.count && !err; i++) {
            struct hx_side_rec r;
            hx_side_rec_decode(recs + (size_t)i * HX_LOG_SIDE_REC, &r);
            uint64_t lsn = f.first + r.lsn_off;
            if (lsn >= u->from && lsn <= u->to)
                err = hx_page_try(s, r.page, lsn, slot, &f);
        }
    return err;
}

/* U5, and U3 for a sidecar: F's list, out of the log file again. */
int hx_scrub_renew(struct hx_seg *s, struct hx_logfile *f)
{
    struct hx_logfile t = {.id = f->id, .filled = f->end};
    uint64_t stable;
    size_t off = 0;
    struct hx_side_frame d;
    const uint8_t *recs;
    int err = hx_scan_file(s, &t, false, &stable);
    while (!err && hx_side_next(t.side.p, t.side.len, &off, &d, &recs) > 0) {
        if (!(d.flags & HX_ENV_DAMAGED) || !d.first)
            continue;
        if (!f->vague) { /* what it holds was known until now */
            d.first = d.first > f->min_lsn ? d.first : f->min_lsn;
            d.last = d.last < f->max_lsn ? d.last : f->max_lsn;
        }
        err = d.first <= d.last ? hx_seg_unknown(s, d.first, d.last, HX_NONE, true) : 0;
        f->damaged = f->rotten = true;
    }
    s->scrub.found++;
    hx_seg_touch(s);
    if (err) {
        hx_buf_fini(&t.side);
        return err;
    }
    if (s->fetch_file == f->id)
        s->fetch_file = 0;
    if (s->scrub.file == f->id) { /* it is another list now */
        hx_scrub_forget(s);
        s->scrub.off = 0;
        s->scrub.pos = 0;
    }
    hx_buf_fini(&f->side);
    f->side = t.side;
    f->sided = false;
    s->scrub.rewritten++;
    hx_side_save(s, f); /* on a full disk: space.c, later */
    return s->error;
}

void hx_scrub_narrow(struct hx_seg *s, const struct hx_unknown *u)
{
    const struct hx_unknown was = *u;
    struct hx_buf side = {0};
    int err = 0;
    s->unknowns[u - s->unknowns] = s->unknowns[--s->unknown_count]; /* it would stand for what is found now */
    hx_bodies_forget(&s->env->bodies, s);
    hx_made_forget(&s->env->made, s);
    for (size_t i = 0; i < s->log.slot_count && !err; i++) {
        struct hx_logfile *f = s->log.files[i];
        if (!f || f->min_lsn > was.to || f->max_lsn < was.from)
            continue;
        err = f->sided ? hx_side_load(s, f, &side) : 0;
        if (err == HX_E_CORRUPT || err == HX_E_NOENT || err == HX_E_IO) {
            int renewed = hx_scrub_renew(s, f); /* else this would fail for ever; the range is tried again */
            err = renewed ? renewed : err;
        } else if (!err)
            err = try_list(s, (uint32_t)i, f->sided ? &side : &f->side, &was);
    }
    hx_buf_fini(&side);
    if (err) /* another time */
        hx_seg_unknown(s, was.from, was.to, was.page, was.blind);
    hx_seg_touch(s);
}

/* ---- one file ---- */
/* Between the entries of the open file there is nothing but marks (U4). */
static int check_marks(struct look *l, const struct hx_logfile *f, uint64_t from, uint64_t to)
{
    for (; from < to; from += HX_LOG_ENV) {
        const uint8_t *p;
        struct hx_env e;
        int err = bytes_at(l, from, HX_LOG_ENV, f->end, &p);
        if (err)
            return err;
        if (hx_env_decode(p, &e) || e.body_len || !envelope_stands(l->s, f, from, &e))
            return HX_E_CORRUPT;
    }
    return 0;
}

static int marks(struct look *l, const struct hx_logfile *f, uint64_t to)
{
    struct hx_seg *s = l->s;
    bool look = s->log.tail == l->slot && !f->damaged && s->scrub.pos < to;
    int err = look ? check_marks(l, f, s->scrub.pos, to) : 0;
    if (err != HX_E_CORRUPT)
        return err;
    hx_seg_tell(s, f->id, s->scrub.pos, 0, 0);
    s->scrub.found++;
    s->scrub.close = true;
    hx_seg_touch(s);
    return 0;
}

/* The list of F, loaded when it is not in memory; NULL: its sidecar was damaged and is written anew. */
static int list_of(struct hx_seg *s, struct look *l, struct hx_logfile *f, const struct hx_buf **ret)
{
    struct hx_seg_scrub *c = &s->scrub;
    *ret = f->sided ? &c->side : &f->side;
    if (!f->sided || c->side_file == f->id)
        return 0;
    int err = hx_side_load(s, f, &c->side);
    if (err == HX_E_IO)
        err = hx_side_load(s, f, &c->side);
    l->used += c->side.len + HX_LOG_SIDE_HEAD;
    c->side_file = err ? 0 : f->id;
    if (err == HX_E_CORRUPT || err == HX_E_NOENT || err == HX_E_IO) {
        if (c->renewed == f->id) /* this disk keeps nothing */
            return HX_E_CORRUPT;
        c->renewed = f->id;
        l->used += f->end;
        err = hx_scrub_renew(s, f);
        *ret = NULL;
    }
    return err;
}

/* One entry, and the marks before it; an error: it is looked at another time. */
static int look_at_entry(struct look *l, struct hx_logfile *f, const struct hx_side_frame *d, const uint8_t *recs)
{
    if (d->flags & HX_ENV_DAMAGED) {
        f->rotten |= !f->vague;
        return 0;
    }
    int err = marks(l, f, d->off);
    if (!err)
        err = check_entry(l, f, d);
    if (err == HX_E_CORRUPT)
        err = damaged_entry(l, d, recs);
    if (!err)
        l->s->scrub.pos = d->off + hx_env_bytes(d->len);
    return err;
}

/* 1: F is through; 0: the budget is; or an error. */
static int look_at_file(struct look *l, struct hx_logfile *f)
{
    struct hx_seg_scrub *c = &l->s->scrub;
    const struct hx_buf *list;
    int err = list_of(l->s, l, f, &list);
    if (err || !list)
        return err;
    while (c->off < list->len) {
        struct hx_side_frame d;
        const uint8_t *recs;
        size_t next = c->off;
        if (l->used >= l->budget)
            return 0;
        int got = hx_side_next(list->p, list->len, &next, &d, &recs);
        hx_assert(got > 0); /* it was checked when it was loaded, or is our own */
        err = look_at_entry(l, f, &d, recs);
        if (err)
            return err;
        c->off = next;
    }
    err = marks(l, f, f->durable);
    return err ? err : 1;
}

static struct hx_logfile *file_from(struct hx_seg *s, uint64_t id, uint32_t *ret_slot)
{
    struct hx_logfile *best = NULL;
    for (size_t i = 0; i < s->log.slot_count; i++) {
        struct hx_logfile *f = s->log.files[i];
        if (!f || f->id < id || (best && best->id < f->id))
            continue;
        best = f;
        *ret_slot = (uint32_t)i;
    }
    return best;
}

/* The next file is FILE, from its start. */
static void go_to(struct hx_seg *s, uint64_t file)
{
    struct hx_seg_scrub *c = &s->scrub;
    if (c->file == file)
        return;
    hx_scrub_forget(s);
    c->file = file;
    c->off = 0;
    c->pos = 0;
}

static void step(struct look *l)
{
    struct hx_seg *s = l->s;
    struct hx_seg_scrub *c = &s->scrub;
    while (!s->error && l->used < l->budget) {
        struct hx_logfile *f = file_from(s, c->file, &l->slot);
        if (!f) {
            begin_comparing(s);
            return;
        }
        go_to(s, f->id);
        l->win_len = 0;
        int err = look_at_file(l, f);
        if (err == 0)
            continue; /* the budget, or once more with a new sidecar */
        if (err < 0 && err != HX_E_CORRUPT && err != HX_E_IO)
            return; /* no memory, no descriptors: later */
        c->done += f->end;
        go_to(s, f->id + 1);
        if (c->done - c->saved >= MARK_EVERY || c->done - c->saved > c->total / 16)
            save_position(s);
    }
}

/* What the next step reads is on its way from the disk when it comes. */
static void expect_next(struct hx_seg *s)
{
    struct hx_seg_scrub *c = &s->scrub;
    uint32_t slot;
    struct hx_logfile *f = file_from(s, c->file, &slot);
    uint64_t pos = f && f->id == c->file ? c->pos : 0;
    for (unsigned i = 0; f && i < 2; i++, pos = 0) {
        if (f->sided && c->side_file != f->id)
            hx_seg_expect(s, f->id | HX_LOG_SIDE_BIT, 0, HX_LOG_SIDE_MAX);
        hx_seg_expect(s, f->id, pos, AHEAD);
        f = pos + AHEAD < f->end ? NULL : file_from(s, f->id + 1, &slot);
    }
}

size_t hx_scrub_step(struct hx_seg *s, size_t budget)
{
    struct hx_seg_scrub *c = &s->scrub;
    struct look l = {.s = s, .budget = budget};
    hx_assert(!s->error && c->loaded && !c->comparing && !s->log.batch.len); /* pace.c looks, and flushes before */
    if (!c->under_way) {
        begin_cycle(s);
        look_at_slots(s);
    }
    if (c->begun && s->disk->ops->expect) {
        c->begun = false;
        expect_next(s);
        return budget;
    }
    l.win = malloc(WINDOW);
    if (!l.win)
        return CHARGE;
    step(&l);
    free(l.win);
    expect_next(s);
    if (c->close && !s->error) { /* U4 */
        c->close = false;
        hx_log_seal(s);
    }
    return l.used > CHARGE ? l.used : CHARGE;
}
