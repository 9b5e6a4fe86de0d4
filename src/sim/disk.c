/*
 * disk.c - the simulated disk: its five calls and its farm, with the faults that strike single calls.
 *
 * disk_beside.c has flushes that go on beside other calls, disk_power.c what happens to the whole disk (power, wipe,
 * rollback), disk_file.c what one file is.
 * A call that changes something counts for hx_sim_disk_power_off_at.  Each kind of fault draws from a stream of its
 * own, and only where its rate is not 0 (S2 of sim.h).
 *
 * Virtual time: what a solid-state disk of an ordinary server takes (80 us a read, 150 to 450 us a flush).
 */
#include "disk_private.h"

#include "hexad/err.h"

#include <stdlib.h>
#include <string.h>

#define READ_NS 80000u
#define WRITE_NS 5000u
#define FLUSH_NS 150000u
#define NS_PER_BYTE 1u

static struct hx_sim_place *self(struct hx_disk *d)
{
    return HX_CONTAINER_OF(d, struct hx_sim_place, disk);
}

/* ---- files by id ---- */
static size_t place_of(const struct hx_sim_files *fs, uint64_t id)
{
    size_t lo = 0, hi = fs->count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (fs->v[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct hx_sim_file *hx_sim_files_find(const struct hx_sim_files *fs, size_t *hint, uint64_t id)
{
    if (*hint < fs->count && fs->v[*hint].id == id)
        return &fs->v[*hint];
    *hint = place_of(fs, id);
    return *hint < fs->count && fs->v[*hint].id == id ? &fs->v[*hint] : NULL;
}

int hx_sim_files_add(struct hx_sim_files *fs, const struct hx_sim_file *f, bool sorted)
{
    if (fs->count == fs->cap) {
        size_t cap = fs->cap ? 2 * fs->cap : 8;
        struct hx_sim_file *v = realloc(fs->v, cap * sizeof *v);
        if (!v)
            return HX_E_NOMEM;
        fs->v = v;
        fs->cap = cap;
    }
    size_t i = sorted ? place_of(fs, f->id) : fs->count;
    memmove(fs->v + i + 1, fs->v + i, (fs->count - i) * sizeof *fs->v);
    fs->v[i] = *f;
    fs->count++;
    return 0;
}

void hx_sim_files_fini(struct hx_sim_pool *p, struct hx_sim_files *fs)
{
    for (size_t i = 0; i < fs->count; i++)
        hx_sim_file_fini(p, &fs->v[i]);
    free(fs->v);
    *fs = (struct hx_sim_files){0};
}

struct hx_sim_file *hx_sim_disk_find(struct hx_sim_place *p, uint64_t id)
{
    return hx_sim_files_find(&p->files, &p->last, id);
}

/* ---- the plan of a power loss ---- */
/* Counts a call that changes something: is it the one at which the power goes?  It then does its part and fails. */
bool hx_sim_disk_dies(struct hx_sim_disk *d)
{
    if (!d->off_in || --d->off_in)
        return false;
    d->off = true;
    return true;
}

static bool error(struct hx_sim_disk *d, struct hx_rng *r, uint64_t ppm)
{
    if (!d->errors || !hx_rng_ppm(r, ppm))
        return false;
    d->stats.errors++;
    return true;
}

static bool lie(struct hx_sim_disk *d, struct hx_rng *r, uint64_t ppm)
{
    if (!d->lies || !hx_rng_ppm(r, ppm))
        return false;
    d->stats.lies++;
    return true;
}

/* ---- read ---- */
static bool is_bad(const struct hx_sim_place *p, uint64_t file, uint64_t off, size_t len)
{
    for (size_t i = 0; i < p->bad_count; i++)
        if (p->bad[i].file == file && len && p->bad[i].sector >= off / HX_SIM_SECTOR &&
            p->bad[i].sector <= (off + len - 1) / HX_SIM_SECTOR)
            return true;
    return false;
}

/* Sectors that are written can be read again; OFF 0, LEN UINT64_MAX: the file is gone. */
static void forget_bad(struct hx_sim_place *p, uint64_t file, uint64_t off, uint64_t len)
{
    size_t kept = 0;
    uint64_t from = off / HX_SIM_SECTOR, to = len == UINT64_MAX ? len : (off + len + HX_SIM_SECTOR - 1) / HX_SIM_SECTOR;
    for (size_t i = 0; i < p->bad_count; i++)
        if (p->bad[i].file != file || p->bad[i].sector < from || p->bad[i].sector >= to)
            p->bad[kept++] = p->bad[i];
    p->bad_count = kept;
}

static int disk_read(struct hx_disk *disk, uint64_t file, uint64_t off, void *buf, size_t len, size_t *ret_len)
{
    struct hx_sim_place *p = self(disk);
    struct hx_sim_disk *d = p->farm;
    struct hx_sim_file *f = hx_sim_disk_find(p, file);
    if (d->off)
        return HX_E_IO;
    if (!f)
        return HX_E_NOENT;
    size_t n = off >= f->len ? 0 : f->len - (size_t)off;
    n = n < len ? n : len;
    d->stats.reads++;
    d->stats.read_bytes += n;
    d->time_ns += READ_NS + n * NS_PER_BYTE;
    bool fails = error(d, &d->r_read, d->eio_read);
    if (p->bad_count && is_bad(p, file, off, n))
        fails = true;
    if (fails) {
        const struct hx_sim_unread *u = &d->unread;
        d->stats.unread += u->place == p && u->file == file && u->off == off && u->len == n;
        d->unread = (struct hx_sim_unread){p, file, off, n};
    }
    if (n)
        hx_sim_file_read(f, (size_t)off, buf, n);
    if (fails && n) /* what a failed call left in the caller's buffer is worth nothing */
        memset((uint8_t *)buf + n / 2, 0xee, n - n / 2);
    if (fails)
        return HX_E_IO;
    *ret_len = n;
    return 0;
}

/* ---- write ---- */
static int store(struct hx_sim_place *p, struct hx_sim_file *f, uint64_t off, const void *buf, size_t len)
{
    struct hx_sim_disk *d = p->farm;
    size_t was = f->len;
    int err = hx_sim_file_write(&d->pool, f, &d->r_back, off, buf, len);
    d->used += f->len - was;
    if (!err && p->bad_count)
        forget_bad(p, f->id, off, len);
    return err;
}

/* Some whole sectors of a write, from its beginning. */
static size_t part(struct hx_rng *r, size_t len)
{
    return (size_t)hx_rng_below(r, len / HX_SIM_SECTOR + 1) * HX_SIM_SECTOR;
}

/* The write is lost, all of it or one stretch; the size changes as if it were not. */
static int store_stale(struct hx_sim_place *p, struct hx_sim_file *f, uint64_t off, const uint8_t *buf, size_t len)
{
    struct hx_rng *r = &p->farm->r_stale;
    size_t from = hx_rng_below(r, 2) ? part(r, len - 1) : 0;
    size_t to = from + (hx_rng_below(r, 2) ? HX_SIM_SECTOR : len);
    to = to < len ? to : len;
    int err = from ? store(p, f, off, buf, from) : 0;
    if (!err && to < len)
        err = store(p, f, off + to, buf + to, len - to);
    if (!err && off + len > f->len)
        err = store(p, f, off + len - 1, "", 1);
    return err;
}

/* The bytes go to some sector of some file; where they should be there is what was there. */
static int store_misplaced(struct hx_sim_place *p, struct hx_sim_file *f, uint64_t off, const uint8_t *buf, size_t len)
{
    struct hx_rng *r = &p->farm->r_misplace;
    struct hx_sim_file *to = hx_rng_below(r, 2) ? f : &p->files.v[hx_rng_below(r, p->files.count)];
    uint64_t at = hx_rng_below(r, to->len / HX_SIM_SECTOR + 1) * HX_SIM_SECTOR;
    size_t n = at >= to->len ? 0 : to->len - (size_t)at;
    int err = 0;
    if (n)
        err = store(p, to, at, buf, n < len ? n : len); /* nothing grows by it */
    if (!err && off + len > f->len)
        err = store(p, f, off + len - 1, "", 1);
    return err;
}

static int store_lying(struct hx_sim_place *p, struct hx_sim_file *f, uint64_t off, const void *buf, size_t len)
{
    struct hx_sim_disk *d = p->farm;
    if (len && lie(d, &d->r_stale, d->lie_stale))
        return store_stale(p, f, off, buf, len);
    if (len && lie(d, &d->r_misplace, d->lie_misplace))
        return store_misplaced(p, f, off, buf, len);
    int err = store(p, f, off, buf, len);
    if (!err && len && lie(d, &d->r_rot, d->lie_rot)) {
        bool here = hx_rng_below(&d->r_rot, 2);
        struct hx_sim_file *any = here ? f : &p->files.v[hx_rng_below(&d->r_rot, p->files.count)];
        if (any->len)
            hx_sim_disk_rot(p, any, here ? off + hx_rng_below(&d->r_rot, len) : hx_rng_below(&d->r_rot, any->len),
                            &d->r_rot);
    }
    return err;
}

/* What a full disk takes of a write: nothing, or what still fits. */
static int store_full(struct hx_sim_place *p, struct hx_sim_file *f, uint64_t off, const void *buf)
{
    struct hx_sim_disk *d = p->farm;
    uint64_t most = f->len + (d->limit > d->used ? d->limit - d->used : 0);
    if (most > off && hx_rng_below(&d->r_full, 2))
        (void)store(p, f, off, buf, (size_t)(most - off));
    return HX_E_NOSPACE;
}

static int disk_write(struct hx_disk *disk, uint64_t file, uint64_t off, const void *buf, size_t len)
{
    struct hx_sim_place *p = self(disk);
    struct hx_sim_disk *d = p->farm;
    if (d->off)
        return HX_E_IO;
    struct hx_sim_file *f = hx_sim_disk_find(p, file);
    if (!f) {
        struct hx_sim_file fresh = {.id = file};
        int err = hx_sim_files_add(&p->files, &fresh, true);
        if (err)
            return err;
        f = hx_sim_disk_find(p, file);
    }
    hx_sim_beside_written(p, file);
    d->stats.writes++;
    d->stats.write_bytes += len;
    d->time_ns += WRITE_NS + len * NS_PER_BYTE;
    if (off > HX_SIM_FILE_MAX || len > HX_SIM_FILE_MAX)
        return HX_E_NOSPACE;
    uint64_t grows = off + len > f->len ? off + len - f->len : 0;
    bool full = d->limit && grows && (d->used > d->limit || grows > d->limit - d->used);
    if (hx_sim_disk_dies(d)) {
        if (!full)
            (void)store(p, f, off, buf, len); /* power_on decides what of it is there */
        return HX_E_IO;
    }
    if (error(d, &d->r_write, d->eio_write)) {
        size_t n = part(&d->r_write, len);
        if (!full && n)
            (void)store(p, f, off, buf, n);
        return HX_E_IO;
    }
    if (full)
        return store_full(p, f, off, buf);
    return d->lies ? store_lying(p, f, off, buf, len) : store(p, f, off, buf, len);
}

/* ---- flush, remove, list ---- */
/* Meta slots and log files hold what was promised; checkpoints, the scrub's position and sidecars are only copies of
 * what these say (doc/FORMAT.md), and a segment may go on without them. */
static bool is_record(uint64_t file)
{
    return file == 1 || file == 2 || (file >= 16 && file >> 32 == 0);
}

enum hx_sim_flush hx_sim_disk_flush_draw(struct hx_sim_disk *d)
{
    if (error(d, &d->r_flush, d->eio_flush))
        return HX_SIM_FLUSH_FAILS;
    return lie(d, &d->r_lie_flush, d->lie_flush) ? HX_SIM_FLUSH_LIES : HX_SIM_FLUSH_OK;
}

int hx_sim_disk_flush_do(struct hx_sim_place *p, struct hx_sim_file *f, enum hx_sim_flush how)
{
    struct hx_sim_disk *d = p->farm;
    if (how == HX_SIM_FLUSH_LIES)
        return 0;
    if (how == HX_SIM_FLUSH_FAILS) {
        if (hx_sim_file_fail(f, &d->r_flush) == 0 && hx_rng_below(&d->r_flush, 2))
            hx_sim_file_reread(f);
        if (is_record(f->id))
            p->failed = d->failed = true;
        return HX_E_IO;
    }
    hx_sim_file_flush(f);
    if (p->gone.count)
        hx_sim_beside_forget(p, f); /* D2 */
    return 0;
}

static int disk_flush(struct hx_disk *disk, uint64_t file)
{
    struct hx_sim_place *p = self(disk);
    struct hx_sim_disk *d = p->farm;
    if (d->off)
        return HX_E_IO;
    struct hx_sim_file *f = hx_sim_disk_find(p, file);
    if (!f)
        return HX_E_NOENT;
    d->stats.flushes++;
    d->time_ns += FLUSH_NS + hx_rng_below(&d->r_time, 2 * FLUSH_NS);
    bool off = hx_sim_disk_dies(d);
    if (off && hx_rng_below(&d->r_power, 4))
        return HX_E_IO;
    int err = hx_sim_disk_flush_do(p, f, off ? HX_SIM_FLUSH_OK : hx_sim_disk_flush_draw(d));
    return off ? HX_E_IO : err;
}

int hx_sim_disk_take_reopened(struct hx_sim_disk *d, uint32_t *ret_pg)
{
    for (size_t i = 0; d->reopened && i < d->place_count; i++) {
        struct hx_sim_place *p = d->places[i];
        if (!p->reopened)
            continue;
        p->reopened = false;
        *ret_pg = p->at.pg;
        return 1;
    }
    d->reopened = false;
    return 0;
}

int hx_sim_disk_take_failed(struct hx_sim_disk *d, uint32_t *ret_pg)
{
    for (size_t i = 0; d->failed && i < d->place_count; i++) {
        struct hx_sim_place *p = d->places[i];
        if (!p->failed)
            continue;
        p->failed = false;
        *ret_pg = p->at.pg;
        return 1;
    }
    d->failed = false;
    return 0;
}

bool hx_sim_disk_change_fails(struct hx_sim_disk *d, bool *ret_done)
{
    d->stats.removes++;
    d->time_ns += WRITE_NS;
    bool fails = hx_sim_disk_dies(d) || error(d, &d->r_write, d->eio_write);
    *ret_done = !(fails && hx_rng_below(&d->r_write, 2));
    return fails;
}

int hx_sim_disk_remove(struct hx_sim_place *p, uint64_t file, bool discard)
{
    struct hx_sim_disk *d = p->farm;
    if (d->off)
        return HX_E_IO;
    struct hx_sim_file *f = hx_sim_disk_find(p, file);
    bool done, fails = hx_sim_disk_change_fails(d, &done);
    if (f && done) {
        size_t i = (size_t)(f - p->files.v), len = f->len;
        f->discarded = discard;
        int err = hx_sim_files_add(&p->gone, f, false);
        if (err)
            return err;
        memmove(f, f + 1, (--p->files.count - i) * sizeof *f);
        d->used -= len;
        forget_bad(p, file, 0, UINT64_MAX);
        hx_sim_beside_removed(p, file);
    }
    return fails ? HX_E_IO : 0;
}

static int disk_remove(struct hx_disk *disk, uint64_t file)
{
    return hx_sim_disk_remove(self(disk), file, false);
}

static int disk_list(struct hx_disk *disk, uint64_t from, struct hx_disk_file *ret, size_t max, size_t *ret_count)
{
    struct hx_sim_place *p = self(disk);
    struct hx_sim_disk *d = p->farm;
    size_t n = 0;
    d->time_ns += READ_NS;
    if (d->off || error(d, &d->r_read, d->eio_read))
        return HX_E_IO;
    for (size_t i = place_of(&p->files, from); i < p->files.count && n < max; i++)
        ret[n++] = (struct hx_disk_file){p->files.v[i].id, p->files.v[i].len};
    *ret_count = n;
    return 0;
}

static const struct hx_disk_ops disk_ops = {
    .read = disk_read, .write = disk_write, .flush = disk_flush, .remove = disk_remove, .list = disk_list};
static const struct hx_disk_ops beside_ops = {.read = disk_read,
                                              .write = disk_write,
                                              .flush = disk_flush,
                                              .remove = disk_remove,
                                              .list = disk_list,
                                              .flush_begin = hx_sim_beside_begin,
                                              .flush_end = hx_sim_beside_end,
                                              .discard = hx_sim_beside_discard,
                                              .rename = hx_sim_beside_rename,
                                              .cut = hx_sim_beside_cut};

/* ---- the farm ---- */
static struct hx_sim_disk *farm_self(struct hx_disk_farm *f)
{
    return HX_CONTAINER_OF(f, struct hx_sim_disk, farm);
}

static int farm_open(struct hx_disk_farm *farm, struct hx_disk_place at, bool create, struct hx_disk **ret)
{
    struct hx_sim_disk *d = farm_self(farm);
    struct hx_sim_place *p = NULL;
    if (d->off)
        return HX_E_IO;
    for (size_t i = 0; i < d->place_count && !p; i++)
        if (d->places[i]->at.pg == at.pg && hx_uuid_eq(&d->places[i]->at.volume, &at.volume))
            p = d->places[i];
    if (!create && (!p || !p->exists))
        return HX_E_NOENT;
    if (!p) {
        if (d->place_count == d->place_cap) {
            size_t cap = d->place_cap ? 2 * d->place_cap : 8;
            struct hx_sim_place **places = realloc(d->places, cap * sizeof(*places));
            if (!places)
                return HX_E_NOMEM;
            d->places = places;
            d->place_cap = cap;
        }
        p = calloc(1, sizeof *p);
        if (!p)
            return HX_E_NOMEM;
        *p = (struct hx_sim_place){.disk.ops = d->beside_us ? &beside_ops : &disk_ops, .farm = d, .at = at};
        d->places[d->place_count++] = p;
    }
    if (!create) {
        p->reopened = d->reopened = true;
        p->failed = false; /* that was before */
    }
    p->exists = true;
    *ret = &p->disk;
    return 0;
}

static void farm_close(struct hx_disk_farm *farm, struct hx_disk *disk)
{
    (void)farm;
    struct hx_sim_place *p = disk ? self(disk) : NULL;
    if (p && !p->farm->off)
        hx_sim_beside_settle(p, true);
    for (size_t i = 0; p && i < p->files.count; i++)
        hx_sim_file_reread(&p->files.v[i]);
}

static int farm_next(struct hx_disk_farm *farm, size_t *cursor, struct hx_disk_place *ret)
{
    struct hx_sim_disk *d = farm_self(farm);
    if (d->off)
        return HX_E_IO;
    while (*cursor < d->place_count) {
        const struct hx_sim_place *p = d->places[(*cursor)++];
        if (p->exists) {
            *ret = p->at;
            return 1;
        }
    }
    return 0;
}

static int farm_space(struct hx_disk_farm *farm, uint64_t *ret_total, uint64_t *ret_free)
{
    struct hx_sim_disk *d = farm_self(farm);
    uint64_t total = d->limit ? d->limit : UINT64_C(1) << 40;
    *ret_total = total;
    *ret_free = d->used < total ? total - d->used : 0;
    return 0;
}

static const struct hx_disk_farm_ops farm_ops = {farm_open, farm_close, farm_next, farm_space, NULL};
static const struct hx_disk_farm_ops beside_farm_ops = {farm_open, farm_close, farm_next, farm_space,
                                                        hx_sim_beside_flush_many};

struct hx_sim_disk *hx_sim_disk_new(const struct hx_sim_opts *o, uint32_t server)
{
    struct hx_sim_disk *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    *d = (struct hx_sim_disk){
        .farm.ops = o->v[HX_OPT_beside_us] ? &beside_farm_ops : &farm_ops,
        .beside_us = o->v[HX_OPT_beside_us],
        .discard_pct = o->v[HX_OPT_discard_pct],
        .r_beside = hx_rng_fork(o->seed, "disk-beside", server),
        .r_discard = hx_rng_fork(o->seed, "disk-discard", server),
        .eio_read = o->v[HX_OPT_eio_read_ppm],
        .eio_write = o->v[HX_OPT_eio_write_ppm],
        .eio_flush = o->v[HX_OPT_eio_flush_ppm],
        .torn_pct = o->v[HX_OPT_torn_pct],
        .lie_flush = o->v[HX_OPT_lie_flush_ppm],
        .lie_rot = o->v[HX_OPT_lie_rot_ppm],
        .lie_misplace = o->v[HX_OPT_lie_misplace_ppm],
        .lie_stale = o->v[HX_OPT_lie_stale_ppm],
        .r_read = hx_rng_fork(o->seed, "disk-read", server),
        .r_write = hx_rng_fork(o->seed, "disk-write", server),
        .r_flush = hx_rng_fork(o->seed, "disk-flush", server),
        .r_power = hx_rng_fork(o->seed, "disk-power", server),
        .r_back = hx_rng_fork(o->seed, "disk-back", server),
        .r_full = hx_rng_fork(o->seed, "disk-full", server),
        .r_lie_flush = hx_rng_fork(o->seed, "disk-lie-flush", server),
        .r_rot = hx_rng_fork(o->seed, "disk-rot", server),
        .r_misplace = hx_rng_fork(o->seed, "disk-misplace", server),
        .r_stale = hx_rng_fork(o->seed, "disk-stale", server),
        .r_time = hx_rng_fork(o->seed, "disk-time", server),
    };
    return d;
}

struct hx_disk_farm *hx_sim_disk_farm(struct hx_sim_disk *d)
{
    return &d->farm;
}
