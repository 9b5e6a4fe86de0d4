/*
 * dump.c - what the bytes of a store say, for people who debug (hexad/check.h; the bytes: doc/FORMAT.md).
 *
 * Every file is walked with the decoders of the restart.  Nothing is judged: a place that does not decode is said, and
 * the next one that does is looked for; check.c tells what follows from it.  Reads only.
 * Memory: a window of a log file, or the list of one sidecar.
 */
#include "offline.h"

#include "hexad/quorum.h"

#include <inttypes.h>
#include <stdlib.h>

#define WINDOW (1u << 20)
_Static_assert(WINDOW > HX_LOG_ENV + HX_FRAME_MAX + 8, "an entry fits the window");
#define ZEROS_STEP 4096u

static const char *rec_kind(unsigned kind)
{
    static const char *const names[] = {"?", "PATCH", "IMAGE", "ZERO", "FREE", "SPARSE"};
    return names[kind < HX_ARRAY_LEN(names) ? kind : 0];
}

/* ---- meta slots ---- */
static int dump_slot(struct hx_offline *o, uint64_t file, bool all)
{
    struct hx_meta m = {0};
    char hex[33];
    int err = hx_meta_slot(o->disk, file, &o->at, &o->env.server, &m);
    if (err) {
        hx_offline_say(o, "  does not decode (%s)", err == HX_E_VERSION ? "a newer version" :
                       err == HX_E_STRANGER ? "another server's" : err == HX_E_IO ? "cannot be read" : "damaged");
        return err == HX_E_NOMEM ? err : 0;
    }
    hx_uuid_format(&m.owner, hex);
    hx_offline_say(o, "  save %" PRIu64 ", promised epoch %" PRIu64 " to %s, base %" PRIu64
                   ", oldest read point %" PRIu64,
                   m.generation, m.promised.v, hex, m.base.v, m.oldest.v);
    size_t from = all || m.history.count < 3 ? 0 : m.history.count - 3;
    for (size_t i = from; i < m.history.count; i++) {
        const struct hx_history_entry *h = &m.history.e[i];
        hx_offline_say(o, "  history %zu: epoch %" PRIu64 ", VDL %" PRIu64 ", void up to %" PRIu64
                       ", allocation limit %" PRIu64,
                       i, h->epoch.v, h->vdl.v, h->end.v, h->lal);
    }
    if (m.flags & HX_META_FILLING)
        hx_offline_say(o, "  a learner that has not got all its pages");
    if (m.flags & HX_META_TURNING)
        hx_offline_say(o, "  the members of group 0 changed, and nobody said yet that the version is in use");
    if (m.flags & HX_META_RETIRED)
        hx_offline_say(o, "  a tombstone: the segment was deleted");
    if (m.life > 1)
        hx_offline_say(o, "  life %" PRIu64 ": log files from %016" PRIx64 " on are its own", m.life, m.first_file);
    const struct hx_geometry *g = &m.geometry;
    hx_offline_say(o, "  geometry (%" PRIu64 ", %u, %u): groups of %" PRIu64
                   " bytes, %u groups, %u servers%s", g->epoch.v,
                   g->g, g->m, g->pg_bytes, g->pg_count, g->server_count,
                   g->slice ? " (those of group 0 and of this one)" : "");
    const struct hx_pg_members *row = hx_geometry_row(g, o->at.pg);
    for (unsigned k = 0; row && k < HX_COPIES; k++) {
        const struct hx_server *s = &g->servers[row->server[k]];
        hx_uuid_format(&s->incarnation, hex);
        if (!hx_members_has(hx_row_slots(row), k)) {
            hx_offline_say(o, "  member %u: nobody (degraded); before it was %s in %s", k, s->name, s->zone);
            continue;
        }
        hx_offline_say(o, "  member %u: %s in %s at %s, incarnation %s", k, s->name, s->zone, s->url, hex);
    }
    hx_meta_fini(&m);
    return 0;
}

/* ---- log files ---- */
struct walk {
    struct hx_offline *o;
    uint64_t file, bytes, off;
    uint8_t *win;
    uint64_t win_off;
    size_t win_len;
    uint64_t entries, records;
};

/* LEN bytes at OFF of the file; NULL: there are not so many, or they cannot be read. */
static const uint8_t *at(struct walk *w, uint64_t off, size_t len)
{
    struct hx_disk *d = w->o->disk;
    if (len > w->bytes || off > w->bytes - len)
        return NULL;
    if (off < w->win_off || off + len > w->win_off + w->win_len) {
        w->win_off = off;
        if (d->ops->read(d, w->file, off, w->win, WINDOW, &w->win_len))
            w->win_len = 0;
        if (w->win_len < len && d->ops->read(d, w->file, off, w->win, len, &w->win_len)) /* a bad sector is behind it */
            w->win_len = 0;
    }
    return w->win_len >= len && off + len <= w->win_off + w->win_len ? w->win + (off - w->win_off) : NULL;
}

/* A good envelope of this file at OFF, or one of a newer version. */
static bool envelope(struct walk *w, uint64_t off, struct hx_env *ret)
{
    const uint8_t *p = at(w, off, HX_LOG_ENV);
    int err = p ? hx_env_decode(p, ret) : HX_E_BADMSG;
    return (!err || err == HX_E_VERSION) && ret->file == w->file && ret->off == off &&
           ret->salt == hx_log_salt(&w->o->at, &w->o->env.server);
}

static void dump_frame(struct walk *w, const struct hx_env *e, bool all)
{
    struct hx_frame_head h;
    const uint8_t *p = at(w, w->off + HX_LOG_ENV, e->body_len), *raw;
    struct hx_frame_walk walk;
    struct hx_rec r;
    int err = p ? hx_frame_head_decode(p, e->body_len, &h) : HX_E_CORRUPT;
    if (err || hx_frame_bytes(&h) != e->body_len) {
        hx_offline_say(w->o, "    frame: its head does not decode%s", err == HX_E_VERSION ? " (a newer version)" : "");
        return;
    }
    w->records += h.count;
    if (!all)
        return;
    hx_offline_say(w->o, "    frame: epoch %" PRIu64 ", LSN %" PRIu64 " to %" PRIu64 " behind %" PRIu64
                   ", %u records, VDL %" PRIu64
                   ", floor %" PRIu64 ", gc %" PRIu64
                   ", %s %u of %u bytes", h.epoch.v, h.first.v, h.last.v, h.prev.v,
                   h.count, h.vdl.v, h.floor.v, h.gc.v, h.codec ? "compressed" : "raw", h.body_len, h.raw_len);
    if (hx_frame_open(w->o->env.opener, &h, p + HX_FRAME_HEAD, w->o->env.raw, &raw)) {
        hx_offline_say(w->o, "    frame: its body does not decode");
        return;
    }
    hx_frame_walk_init(&walk, &h, raw);
    while ((err = hx_frame_walk_next(&walk, &r)) > 0)
        hx_offline_say(w->o, "      %" PRIu64
                       ": page %u %s, %u bytes, sum %08x%s", r.lsn.v, r.page, rec_kind(r.kind), r.len,
                       hx_store_sum(r.kind, r.page, r.payload, r.len),
                       r.flags & HX_REC_CPL ? ", consistency point" : "");
    if (err)
        hx_offline_say(w->o, "    frame: its records do not decode");
}

static void dump_entry(struct walk *w, const struct hx_env *e, bool all)
{
    static const char *const kinds[] = {"?", "FRAME", "LOCAL", "MARK", "END"};
    w->entries++;
    if (e->version > HX_LOG_VERSION) {
        hx_offline_say(w->o, "  %" PRIu64 ": an entry of version %u, which is newer", w->off, e->version);
        return;
    }
    if (all)
        hx_offline_say(w->o, "  %" PRIu64 ": %s %u, version %u%s, durable %" PRIu64 ", stable %" PRIu64
                       ", highest %" PRIu64
                       ", LSN %" PRIu64 " to %" PRIu64, w->off, kinds[e->kind], e->seq, e->version,
                       e->flags & HX_ENV_BELIEVED ? ", believed" : "", e->durable, e->stable, e->highest, e->first,
                       e->last);
    if (e->body_len)
        dump_frame(w, e, all);
}

/* From what is no entry to the next one; false: there is none. */
static bool resync(struct walk *w, bool all)
{
    struct hx_env e;
    uint64_t off = w->off;
    bool zeros = true, found = false;
    for (; off < w->bytes && !found; off += found ? 0 : 8) {
        size_t n = w->bytes - off < 8 ? (size_t)(w->bytes - off) : 8;
        const uint8_t *p = at(w, off, n);
        for (size_t i = 0; p && i < n; i++)
            zeros &= p[i] == 0;
        zeros &= p != NULL;
        found = off > w->off && p && n == 8 && hx_get_u32(p) == HX_LOG_ENV_MAGIC && envelope(w, off, &e);
    }
    if (!zeros || found || all)
        hx_offline_say(w->o, "  %" PRIu64 " to %" PRIu64 ": %s", w->off, found ? off : w->bytes,
                       zeros ? "zeros" : "no entry of this file");
    w->off = off;
    return found;
}

static int dump_log(struct hx_offline *o, const struct hx_disk_file *f, bool all)
{
    struct walk w = {.o = o, .file = f->id, .bytes = f->bytes};
    struct hx_env e;
    bool more = true;
    w.win = malloc(WINDOW);
    if (!w.win)
        return HX_E_NOMEM;
    while (more && w.off < w.bytes) {
        if (envelope(&w, w.off, &e)) {
            dump_entry(&w, &e, all);
            w.off += hx_env_bytes(e.version > HX_LOG_VERSION ? 0 : e.body_len);
        } else {
            more = resync(&w, all);
        }
    }
    hx_offline_say(o, "  %" PRIu64 " entries, %" PRIu64 " records", w.entries, w.records);
    free(w.win);
    return 0;
}

/* ---- sidecars ---- */
static void dump_list(struct hx_offline *o, const struct hx_buf *list)
{
    size_t off = 0;
    struct hx_side_frame d;
    const uint8_t *recs;
    while (hx_side_next(list->p, list->len, &off, &d, &recs) > 0) {
        hx_offline_say(o, "  %u: %s%s%s, LSN %" PRIu64 " to %" PRIu64 " behind %" PRIu64 ", epoch %" PRIu64
                       ", %u records, %u bytes",
                       d.off, d.flags & HX_ENV_DAMAGED ? "damaged " : "", d.flags & HX_ENV_BLIND ? "blind " : "",
                       d.kind == HX_ENV_LOCAL ? "LOCAL" : "FRAME", d.first, d.last, d.prev, d.epoch, d.count, d.len);
        for (uint32_t i = 0; i < d.count; i++) {
            struct hx_side_rec r;
            hx_side_rec_decode(recs + (size_t)i * HX_LOG_SIDE_REC, &r);
            hx_offline_say(o, "      %" PRIu64 ": page %u %s, %u bytes, sum %08x", d.first + r.lsn_off, r.page,
                           rec_kind(r.kind), r.len, r.sum);
        }
    }
}

static int dump_side(struct hx_offline *o, const struct hx_disk_file *f, bool all)
{
    struct hx_seg s = {.disk = o->disk, .at = o->at, .env = &o->env};
    struct hx_logfile t = {.id = f->id & ~HX_LOG_SIDE_BIT};
    struct hx_buf list = {0};
    uint64_t stable;
    bool uneven;
    int err = hx_side_head(&s, &t, &stable);
    if (err) {
        hx_offline_say(o, "  head: %s", err == HX_E_VERSION ? "of a newer version" : "does not decode");
        return 0;
    }
    hx_offline_say(o, "  of log file %016" PRIx64 ", %" PRIu64 " bytes: LSN %" PRIu64 " to %" PRIu64
                   ", VDL %" PRIu64 ", floor %" PRIu64
                   ", gc %" PRIu64 ", stable %" PRIu64 ", highest %" PRIu64
                   , t.id, t.end, t.min_lsn, t.max_lsn, t.vdl,
                   t.floor, t.gc, stable, t.highest);
    err = hx_meta_load(s.disk, &s.at, &o->env.server, &s.meta, &uneven);
    if (err) /* how many pages there are is not known: as many as there can be */
        s.meta.geometry.pg_bytes = UINT64_MAX;
    err = hx_side_load(&s, &t, &list);
    if (err && err != HX_E_NOMEM)
        hx_offline_say(o, "  list: does not decode");
    else if (!err && all)
        dump_list(o, &list);
    hx_buf_fini(&list);
    hx_meta_fini(&s.meta);
    return err == HX_E_NOMEM ? err : 0;
}

/* ---- checkpoints ---- */
static void dump_items(struct hx_offline *o, uint16_t kind, uint64_t pages, const uint8_t *p, size_t len)
{
    struct hx_dec d = hx_dec_init(p, len);
    while (d.off < d.len && !d.err) {
        struct hx_version v;
        uint32_t page;
        if (kind == HX_CKPT_VERSIONS || kind == HX_CKPT_HELD) {
            if (hx_ckpt_version_decode(&d, pages, &page, &v))
                break;
            hx_offline_say(o, "      page %u: LSN %" PRIu64
                           " %s in %016x at %u.%u, %u bytes, sum %08x", page, v.lsn,
                           rec_kind(v.kind), v.file, v.pos, v.at, v.len, v.sum);
            if (kind == HX_CKPT_VERSIONS)
                continue;
            uint64_t prev = hx_dec_u64(&d), epoch = hx_dec_u64(&d);
            hx_offline_say(o, "        behind %" PRIu64 ", epoch %" PRIu64, prev, epoch);
            hx_dec_u64(&d);
        } else if (kind == HX_CKPT_SPANS) {
            uint64_t prev = hx_dec_u64(&d), last = hx_dec_u64(&d);
            hx_offline_say(o, "      behind %" PRIu64 " to %" PRIu64, prev, last);
        } else if (kind == HX_CKPT_FILES) {
            uint64_t id = hx_dec_u64(&d), end = hx_dec_u64(&d), crc = hx_dec_u32(&d);
            hx_dec_u32(&d);
            hx_offline_say(o, "      log file %016" PRIx64 ", %" PRIu64 " bytes, list %08" PRIx64
                           , id, end, crc);
        } else if (kind == HX_CKPT_END) {
            uint64_t id = hx_dec_u64(&d), end = hx_dec_u64(&d), lsn = hx_dec_u64(&d);
            hx_offline_say(o, "      the log went to byte %" PRIu64 " of %016" PRIx64 ", LSN %" PRIu64, end, id, lsn);
        } else {
            break;
        }
    }
    if (d.err || d.off < d.len)
        hx_offline_say(o, "      the rest does not decode");
}

static int dump_ckpt(struct hx_offline *o, const struct hx_disk_file *f, bool all)
{
    static const char *const kinds[] = {"?", "VERSIONS", "HELD", "SPANS", "FILES", "END"};
    struct hx_ckpt_head h;
    uint8_t head[HX_CKPT_HEAD], *p = malloc(HX_CKPT_BLOCK);
    size_t got = 0;
    if (!p)
        return HX_E_NOMEM;
    int err = o->disk->ops->read(o->disk, f->id, 0, head, sizeof head, &got);
    if (!err)
        err = hx_ckpt_head_decode(head, got, &h);
    if (err) {
        hx_offline_say(o, "  head: %s", err == HX_E_VERSION ? "of a newer version" : "does not decode");
        free(p);
        return 0;
    }
    hx_offline_say(o, "  generation %" PRIu64 ", %u blocks, from log file %016" PRIx64 " (%" PRIu64
                   " bytes) on; hint %" PRIu64
                   ", anchor %" PRIu64 ", oldest %" PRIu64 ", %" PRIu64
                   " pages%s", h.generation, h.blocks, h.tail, h.tail_end,
                   h.hint, h.anchor, h.oldest, h.pages,
                   h.salt == hx_log_salt(&o->at, &o->env.server) ? "" : "; of another segment");
    for (uint32_t i = 0; i < h.blocks; i++) {
        uint16_t kind;
        uint32_t len;
        uint64_t off = HX_CKPT_START + (uint64_t)i * HX_CKPT_BLOCK;
        err = o->disk->ops->read(o->disk, f->id, off, p, HX_CKPT_BLOCK, &got);
        if (err || got < HX_CKPT_BLOCK || hx_ckpt_block_check(p, &h, i, &kind, &len)) {
            hx_offline_say(o, "  block %u: does not decode", i);
            if (!err && !got)
                break; /* the file ends before */
        } else if (all) {
            hx_offline_say(o, "  block %u: %s, %u bytes", i, kinds[kind < HX_ARRAY_LEN(kinds) ? kind : 0], len);
            dump_items(o, kind, h.pages, p + HX_CKPT_BLOCK_HEAD, len);
        }
    }
    free(p);
    return 0;
}

/* ---- all of them ---- */
static int dump_scrub(struct hx_offline *o)
{
    struct hx_seg s = {.disk = o->disk, .at = o->at, .env = &o->env};
    hx_scrub_load(&s);
    const struct hx_seg_scrub *c = &s.scrub;
    hx_offline_say(o, "  %" PRIu64 " cycles finished; %s, %" PRIu64 " of %" PRIu64
                   " bytes done, next: %s %" PRIx64, c->cycles,
                   c->under_way ? "one is under way" : s.error ? "of a newer version" : "none is under way", c->done,
                   c->total,
                   c->comparing ? "page" : "log file", c->comparing ? (uint64_t)c->page : c->file);
    return 0;
}

static int dump(struct hx_offline *o, const struct hx_disk_file *f, bool all)
{
    const char *kind = hx_offline_kind(f->id);
    hx_offline_say(o, "%016" PRIx64 "  %s, %" PRIu64 " bytes", f->id, kind, f->bytes);
    if (!strcmp(kind, "meta slot"))
        return dump_slot(o, f->id, all);
    if (!strcmp(kind, "log file"))
        return dump_log(o, f, all);
    if (!strcmp(kind, "sidecar"))
        return dump_side(o, f, all);
    if (!strcmp(kind, "checkpoint"))
        return dump_ckpt(o, f, all);
    return !strcmp(kind, "scrub position") ? dump_scrub(o) : 0;
}

int hx_dump_all(const struct hx_check_cfg *c)
{
    size_t cursor = 0;
    struct hx_offline o = {.cfg = c};
    int more;
    while ((more = c->farm->ops->next(c->farm, &cursor, &o.at)) > 0) {
        char hex[33];
        hx_uuid_format(&o.at.volume, hex);
        hx_offline_say(&o, "%s-%u", hex, o.at.pg);
    }
    return more;
}

int hx_dump_segment(const struct hx_check_cfg *c, const struct hx_disk_place *place)
{
    struct hx_offline o;
    struct hx_disk_file f = {0};
    int err = hx_offline_open(&o, c, place), more = 0;
    if (err)
        return err;
    while (!err && (more = hx_offline_next(&o, f.id, &f)) > 0)
        err = dump(&o, &f, false);
    hx_offline_close(&o);
    return err ? err : more;
}

int hx_dump_file(const struct hx_check_cfg *c, const struct hx_disk_place *place, uint64_t file)
{
    struct hx_offline o;
    struct hx_disk_file f;
    int err = hx_offline_open(&o, c, place);
    if (err)
        return err;
    int more = hx_offline_next(&o, file ? file - 1 : 0, &f);
    err = more < 0 ? more : more == 0 || f.id != file ? HX_E_NOENT : dump(&o, &f, true);
    hx_offline_close(&o);
    return err;
}
