/*
 * check.c - what is there of each segment, what of it is damaged, and what a start would do (hexad/check.h).
 *
 * The judgement is not made here a second time: the restart (seg.c, load.c, scan.c, ckpt.c) and a whole scrub (scrub.c)
 * run over a disk that gives what is stored and keeps nothing:
 *   O1 Nothing reaches the real disk but read and list.  Slots seem to be written, so that the restart goes on; for
 *      everything else the disk seems full, which a segment is made for (space.c B5): lists stay in memory then.
 *   O2 Damage is what the restart or the scrub calls so.  What an interrupted process leaves, and what a start makes
 *      anew without a loss (a slot, a sidecar, a checkpoint, a torn end), is told, but is none.
 *   O3 What no program of this version can judge (a newer version) is refused, as a start would do.
 * Comparing with peers is left out: there are none.
 * Memory: one segment's index at a time, as a server has it, and PLACES_MAX damaged places.
 */
#include "offline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PLACES_MAX 4096u
#define SHOWN_MAX 20u /* of each file, and of each list */
#define STEP (4u << 20)
#define WINDOW (64u << 10)

struct place {
    uint64_t file, off, first, last;
};
struct rehearsal { /* O1 */
    struct hx_disk disk, *under;
    struct hx_offline o;
    struct hx_seg *s;
    struct place *places;
    size_t place_count;
    uint64_t place_more;
    uint64_t sides, slots; /* that a start would write */
    uint64_t notes;
    bool nomem; /* what was said is not the answer */
};

/* ---- the disk that keeps nothing ---- */
static struct rehearsal *self(struct hx_disk *d)
{
    return HX_CONTAINER_OF(d, struct rehearsal, disk);
}

static int pass_read(struct hx_disk *d, uint64_t file, uint64_t off, void *buf, size_t len, size_t *ret_len)
{
    struct hx_disk *under = self(d)->under;
    return under->ops->read(under, file, off, buf, len, ret_len);
}

static int forget_write(struct hx_disk *d, uint64_t file, uint64_t off, const void *buf, size_t len)
{
    struct rehearsal *r = self(d);
    (void)off;
    (void)buf;
    (void)len;
    if (file <= HX_META_SLOTS) {
        r->slots++;
        return 0;
    }
    r->sides += file >= HX_LOG_SIDE_BIT;
    return HX_E_NOSPACE;
}

static int forget(struct hx_disk *d, uint64_t file)
{
    (void)d;
    (void)file;
    return 0;
}

static int pass_list(struct hx_disk *d, uint64_t from, struct hx_disk_file *ret, size_t max, size_t *ret_count)
{
    struct hx_disk *under = self(d)->under;
    return under->ops->list(under, from, ret, max, ret_count);
}

static const struct hx_disk_ops rehearsal_ops = {
    .read = pass_read, .write = forget_write, .flush = forget, .remove = forget, .list = pass_list};

static void told(void *ctx, uint64_t file, uint64_t off, uint64_t first, uint64_t last)
{
    struct rehearsal *r = ctx;
    for (size_t i = 0; i < r->place_count; i++)
        if (r->places[i].file == file && r->places[i].off == off)
            return; /* the scan and the scrub both met it */
    if (r->place_count < PLACES_MAX)
        r->places[r->place_count++] = (struct place){file, off, first, last};
    else
        r->place_more++;
}

/* ---- what is there ---- */
static const char *state_of(struct rehearsal *r, int err)
{
    r->nomem |= err == HX_E_NOMEM;
    switch (err) {
    case 0:
        return "whole";
    case HX_E_VERSION:
        return "of a newer version: left alone";
    case HX_E_STRANGER:
        return "of another server";
    case HX_E_IO:
        return "cannot be read";
    case HX_E_NOENT:
        return "missing";
    default:
        return "damaged";
    }
}

static void show_slot(struct rehearsal *r, const struct hx_disk_file *f)
{
    struct hx_meta m = {0};
    int err = hx_meta_slot(r->under, f->id, &r->o.at, &r->o.env.server, &m);
    const struct hx_seg *s = r->s;
    if (err) {
        r->notes++;
        hx_offline_say(&r->o, "    %016" PRIx64 "  meta slot, %" PRIu64
                       " bytes: %s", f->id, f->bytes, state_of(r, err));
    } else {
        bool old = !s->error && m.generation + (r->slots > 0) < s->meta.generation;
        r->notes += old;
        hx_offline_say(&r->o, "    %016" PRIx64 "  meta slot, %" PRIu64 " bytes: whole, save %" PRIu64
                       "%s, promised epoch %"
                       PRIu64 ", base %" PRIu64, f->id, f->bytes, m.generation, old ? " (an older one)" : "",
                       m.promised.v, m.base.v);
    }
    hx_meta_fini(&m);
}

static const struct hx_logfile *log_of(const struct hx_seg *s, uint64_t id)
{
    for (size_t i = 0; i < s->log.slot_count; i++)
        if (s->log.files[i] && s->log.files[i]->id == id)
            return s->log.files[i];
    return NULL;
}

/* From OFF to BYTES of a file there is something else than zeros. */
static bool any_bytes(struct rehearsal *r, uint64_t file, uint64_t off, uint64_t bytes)
{
    uint8_t *p = malloc(WINDOW);
    bool any = false;
    while (p && !any && off < bytes) {
        size_t got = 0;
        if (r->under->ops->read(r->under, file, off, p, WINDOW, &got) || !got)
            break;
        for (size_t i = 0; i < got && !any; i++)
            any = p[i] != 0;
        off += got;
    }
    r->nomem |= !p;
    free(p);
    return any;
}

static void show_places(struct rehearsal *r, uint64_t file)
{
    uint64_t n = 0;
    for (size_t i = 0; i < r->place_count; i++) {
        const struct place *p = &r->places[i];
        char upto[32] = "no end that anybody knows";
        if (p->file != file || n++ >= SHOWN_MAX)
            continue;
        if (p->last != UINT64_MAX)
            snprintf(upto, sizeof upto, "%" PRIu64, p->last);
        if (p->last)
            hx_offline_say(&r->o, "        damaged at %" PRIu64 ": held, or may have held, LSN %" PRIu64
                           " to %s", p->off,
                           p->first, upto);
        else
            hx_offline_say(&r->o, "        damaged at %" PRIu64 ": no records there", p->off);
    }
    if (n > SHOWN_MAX)
        hx_offline_say(&r->o, "        and %" PRIu64 " more places", n - SHOWN_MAX);
}

static void show_log(struct rehearsal *r, const struct hx_disk_file *f)
{
    const struct hx_logfile *l = log_of(r->s, f->id);
    char lsns[64] = "no records";
    if (!l) { /* the start came to an end before */
        hx_offline_say(&r->o, "    %016" PRIx64 "  log file, %" PRIu64 " bytes", f->id, f->bytes);
        return;
    }
    if (l->min_lsn <= l->max_lsn)
        snprintf(lsns, sizeof lsns, "LSN %" PRIu64 " to %" PRIu64, l->min_lsn, l->max_lsn);
    hx_offline_say(&r->o, "    %016" PRIx64 "  log file, %" PRIu64 " bytes: %s, %" PRIu64
                   " of them used, %s, %u records needed",
                   f->id, f->bytes, l->sealed ? "closed" : "open", l->end, lsns, l->refs);
    if (!l->sealed && l->stale) {
        hx_offline_say(&r->o, "        from %" PRIu64
                       " on what it held when it was another log file, or what was never finished: nobody needs it",
                       l->end);
    } else if (!l->sealed && any_bytes(r, f->id, l->end, f->bytes)) {
        r->notes++;
        hx_offline_say(&r->o, "        from %" PRIu64
                       " on the rest of what was never finished: nobody was told of it", l->end);
    }
    show_places(r, f->id);
}

static void show_side(struct rehearsal *r, const struct hx_disk_file *f)
{
    struct hx_seg *s = r->s;
    uint64_t id = f->id & ~HX_LOG_SIDE_BIT;
    const struct hx_logfile *l = log_of(s, id);
    struct hx_logfile t = {.id = id};
    struct hx_buf list = {0};
    int err = hx_side_load(s, &t, &list);
    hx_buf_fini(&list);
    r->notes += err != 0;
    hx_offline_say(&r->o, "    %016" PRIx64 "  sidecar, %" PRIu64 " bytes: %s", f->id, f->bytes, state_of(r, err));
    if (l && l->lost && (l->rotten || l->vague))
        hx_offline_say(&r->o, "        its log file %016" PRIx64 " is lost", id);
    else if (l && l->lost)
        hx_offline_say(&r->o, "        what is left of a deletion: nothing needs its log file");
    if (l && l->lost)
        show_places(r, id);
}

static void show_ckpt(struct rehearsal *r, const struct hx_disk_file *f)
{
    struct hx_ckpt_head h;
    uint8_t head[HX_CKPT_HEAD], *p = malloc(HX_CKPT_BLOCK);
    size_t got = 0;
    int err = p ? r->under->ops->read(r->under, f->id, 0, head, sizeof head, &got) : HX_E_NOMEM;
    if (!err)
        err = hx_ckpt_head_decode(head, got, &h);
    for (uint32_t i = 0; !err && i < h.blocks; i++) {
        uint16_t kind;
        uint32_t len;
        uint64_t off = HX_CKPT_START + (uint64_t)i * HX_CKPT_BLOCK;
        err = r->under->ops->read(r->under, f->id, off, p, HX_CKPT_BLOCK, &got);
        if (!err)
            err = got < HX_CKPT_BLOCK ? HX_E_CORRUPT : hx_ckpt_block_check(p, &h, i, &kind, &len);
    }
    free(p);
    bool taken = !err && r->s->ckpt.loaded == h.generation;
    r->notes += err != 0;
    hx_offline_say(&r->o, "    %016" PRIx64 "  checkpoint, %" PRIu64 " bytes: %s%s", f->id, f->bytes,
                   err == HX_E_CORRUPT ? "not whole" : state_of(r, err),
                   err ? "" : taken ? ", a start takes it" : ", a start does not take it");
}

static void show_file(struct rehearsal *r, const struct hx_disk_file *f)
{
    const char *kind = hx_offline_kind(f->id);
    if (f->id <= HX_META_SLOTS)
        show_slot(r, f);
    else if (!strcmp(kind, "log file"))
        show_log(r, f);
    else if (!strcmp(kind, "sidecar"))
        show_side(r, f);
    else if (!strcmp(kind, "checkpoint"))
        show_ckpt(r, f);
    else
        hx_offline_say(&r->o, "    %016" PRIx64 "  %s, %" PRIu64 " bytes", f->id, kind, f->bytes);
}

static int show_files(struct rehearsal *r, struct hx_check_segment *ret)
{
    struct hx_disk_file f = {0};
    int more;
    while ((more = hx_offline_next(&r->o, f.id, &f)) > 0) {
        show_file(r, &f);
        ret->files++;
        ret->bytes += f.bytes;
    }
    return more;
}

/* ---- what a start would do ---- */
/* A whole cycle over what is in the files.  HX_E_IO: it does not come to its end. */
static int scrub_all(struct hx_seg *s)
{
    struct hx_seg_scrub *c = &s->scrub;
    unsigned stuck = 0;
    c->loaded = true; /* from the start */
    while (!c->comparing && !s->error && stuck < 3) {
        uint64_t file = c->file, done = c->done;
        size_t off = c->off;
        s->meta_dirty = true; /* slots are looked at here */
        hx_scrub_step(s, STEP);
        stuck = c->file == file && c->done == done && c->off == off && !c->comparing ? stuck + 1 : 0;
    }
    s->meta_dirty = false;
    return c->comparing ? 0 : s->error ? s->error : HX_E_IO;
}

static void tell_refused(struct rehearsal *r, int err)
{
    static const char *const what[] = {
        "a newer version of hexad wrote it; nothing is changed: start that version again, or a newer one",
        "it belongs to another server: this is not the data directory that it was made in",
        "both meta slots are lost, and so is what was promised: it answers nothing, like a member that is down",
    };
    hx_offline_say(&r->o, "    a start would refuse it: %s",
                   what[err == HX_E_VERSION ? 0 : err == HX_E_STRANGER ? 1 : 2]);
}

static void tell_unknown(struct rehearsal *r)
{
    const struct hx_seg *s = r->s;
    for (size_t i = 0; i < s->unknown_count && i < SHOWN_MAX; i++) {
        const struct hx_unknown *u = &s->unknowns[i];
        char upto[32] = "no known end", page[48] = "";
        if (u->to != UINT64_MAX)
            snprintf(upto, sizeof upto, "%" PRIu64, u->to);
        if (u->page != HX_NONE)
            snprintf(page, sizeof page, ", of page %u", u->page);
        hx_offline_say(&r->o, "    to be mended by peers: LSN %" PRIu64 " to %s%s%s", u->from, upto, page,
                       u->blind ? ", of pages that nothing here names" : "");
    }
    if (s->unknown_count > SHOWN_MAX)
        hx_offline_say(&r->o, "    and %zu more to be mended by peers", s->unknown_count - SHOWN_MAX);
}

static void tell_room(const struct rehearsal *r, struct hx_check_segment *ret)
{
    struct hx_space p = hx_space_of(r->s);
    ret->room = (struct hx_check_room){p.size, p.used, p.dead, p.history, p.ahead, p.limit};
    hx_offline_say(&r->o, "    log files take %" PRIu64 " bytes: %" PRIu64 " used, %" PRIu64
                   " that nothing needs any more, %" PRIu64 " of history that not all members have, %" PRIu64
                   " filled ahead; a server empties files beyond %" PRIu64, p.size, p.used, p.dead, p.history, p.ahead,
                   p.limit);
}

static void tell_start(struct rehearsal *r, struct hx_check_segment *ret)
{
    const struct hx_seg *s = r->s;
    bool damaged = s->unknown_count || r->place_count;
    if (s->filling)
        hx_offline_say(&r->o, "    a learner: a start goes on copying pages from its peers; it counts for nothing yet");
    hx_offline_say(&r->o, "    a start would serve it: complete to LSN %" PRIu64
                   ", volume known to LSN %" PRIu64
                   ", readable from %" PRIu64 " on, %" PRIu64
                   " pages, %zu records above the volume's durable LSN",
                   s->chain.scl, s->chain.hint, s->oldest, s->index.pages, s->chain.held_count);
    if (r->slots)
        hx_offline_say(&r->o, "    a start would write both meta slots anew");
    if (r->sides)
        hx_offline_say(&r->o, "    a start would write %" PRIu64
                       " sidecars anew, out of their log files", r->sides);
    tell_unknown(r);
    if (r->place_more)
        hx_offline_say(&r->o, "    and %" PRIu64 " more damaged places", r->place_more);
    if (damaged && !s->unknown_count)
        hx_offline_say(&r->o, "    nothing that anybody needs is damaged: the files are emptied and go");
    tell_room(r, ret);
    ret->state = damaged ? HX_CHECK_DAMAGED : r->slots || r->sides || r->notes ? HX_CHECK_TOUCHED : HX_CHECK_CLEAN;
    ret->scl = s->chain.scl;
    ret->hint = s->chain.hint;
    ret->oldest = s->oldest;
    ret->gc = s->gc;
    ret->pages = s->index.pages;
    ret->held = s->chain.held_count;
    ret->places = r->place_count + r->place_more;
    ret->unknown = s->unknown_count;
}

static void tell_tombstone(struct rehearsal *r, struct hx_check_segment *ret)
{
    hx_offline_say(&r->o, "    a tombstone: the segment was deleted, and answers nothing; a start would give back "
                   "what is left of it");
    if (r->slots)
        hx_offline_say(&r->o, "    a start would write both meta slots anew");
    ret->state = r->slots || r->notes ? HX_CHECK_TOUCHED : HX_CHECK_CLEAN;
}

static int rehearse(struct rehearsal *r, struct hx_check_segment *ret)
{
    int err = hx_seg_open(r->s);
    if (!err && !r->s->retired)
        err = scrub_all(r->s);
    int listed = err == HX_E_NOMEM ? 0 : show_files(r, ret);
    if (listed < 0)
        err = listed;
    if (err == HX_E_NOMEM || r->nomem)
        return HX_E_NOMEM;
    ret->err = err;
    if (err == HX_E_NOENT) {
        ret->state = HX_CHECK_NOT_MADE;
        hx_offline_say(&r->o, "    a FORMAT that never ended: a start takes no notice of it");
    } else if (err == HX_E_VERSION || err == HX_E_STRANGER || (err == HX_E_CORRUPT && !r->s->log.slot_count)) {
        ret->state = HX_CHECK_REFUSED;
        tell_refused(r, err);
    } else if (err) {
        ret->state = HX_CHECK_UNREAD;
        hx_offline_say(&r->o, "    it cannot be looked at: error %d", -err);
    } else if (r->s->retired) {
        tell_tombstone(r, ret);
    } else {
        tell_start(r, ret);
    }
    return 0;
}

static void count(const struct hx_check_cfg *c, const struct hx_check_segment *one, struct hx_check_sum *sum)
{
    sum->segments++;
    sum->files += one->files;
    sum->bytes += one->bytes;
    sum->damaged += one->state == HX_CHECK_DAMAGED;
    sum->refused += one->state == HX_CHECK_REFUSED;
    sum->unread += one->state == HX_CHECK_UNREAD;
    sum->touched += one->state == HX_CHECK_TOUCHED;
    if (c->segment)
        c->segment(c->ctx, one);
}

static int check_place(const struct hx_check_cfg *c, const struct hx_disk_place *at, struct hx_check_sum *sum)
{
    struct hx_check_segment one = {.at = *at};
    struct rehearsal r = {.disk = {&rehearsal_ops}};
    char hex[33];
    int err = hx_offline_open(&r.o, c, at);
    hx_uuid_format(&at->volume, hex);
    if (err && err != HX_E_NOMEM) {
        r.o.cfg = c;
        hx_offline_say(&r.o, "segment %s-%u: cannot be opened", hex, at->pg);
        one.state = HX_CHECK_UNREAD;
        one.err = err;
        count(c, &one, sum);
        return 0;
    }
    if (err)
        return err;
    hx_offline_say(&r.o, "segment %s-%u", hex, at->pg);
    r.under = r.o.disk;
    r.o.env.told = told;
    r.o.env.told_ctx = &r;
    r.places = calloc(PLACES_MAX, sizeof *r.places);
    err = r.places ? hx_seg_new(&r.o.env, &r.disk, *at, &r.s) : HX_E_NOMEM;
    if (!err) {
        err = rehearse(&r, &one);
        hx_seg_free(r.s);
        if (!err)
            count(c, &one, sum);
    }
    free(r.places);
    hx_offline_close(&r.o);
    return err;
}

int hx_check_all(const struct hx_check_cfg *c, struct hx_check_sum *ret)
{
    size_t cursor = 0;
    struct hx_disk_place at;
    int more = 0, err = 0;
    *ret = (struct hx_check_sum){0};
    while (!err && (more = c->farm->ops->next(c->farm, &cursor, &at)) > 0)
        err = check_place(c, &at, ret);
    return err ? err : more;
}
