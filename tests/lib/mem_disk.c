/*
 * mem_disk.c - the disks of mem_disk.h.
 *
 * Every file has two contents: what reads see, and what is on the medium.  A flush copies the sectors written since
 * the last one.  Memory: all in one farm, freed with it; running out of it ends the test.
 */
#include "mem_disk.h"

#include "hexad/assert.h"

#include <stdlib.h>

#include "kit_alloc.h"

#define SECTOR 512u
#define HINTS 16u
enum { CLEAN = 0, DIRTY, DROPPED }; /* a sector; DROPPED: a flush that failed has given it up */

struct file {
    uint64_t id;
    bool exists, durable; /* for readers; on the medium */
    bool discarded;       /* a flush does not make its removal durable */
    uint8_t *now, *old;
    uint8_t *dirty; /* one byte per sector: written since the last flush, or given up */
    size_t len, old_len, cap;
};
struct mem_disk {
    struct hx_disk disk;
    struct hx_mem_farm *farm;
    struct hx_disk_place at;
    struct file *files; /* ascending by id */
    size_t count;
    uint64_t beside; /* file whose flush goes on; calls until it ends */
    unsigned left;
};
struct hx_mem_farm {
    struct hx_disk_farm farm;
    struct mem_disk **disks;
    size_t count;
    uint64_t calls, limit;
    uint64_t flushes, waves, reads, read_bytes;
    unsigned fail_ops;
    uint64_t fail_in, off_in; /* calls until then; 0: never */
    uint64_t fail_read_in, bad_id, bad_off, bad_len;
    int fail_err, fail_read_err, fail_space, fail_list;
    bool fail_always, off, drops;
    unsigned beside; /* calls that a flush beside takes; 0: there is no such flush */
    bool hints, renames;
    struct hint {
        const struct mem_disk *disk;
        uint64_t id, off, end;
    } hint[HINTS]; /* the last ones */
    uint64_t hint_count, hinted_bytes;
    uint64_t rng;
};

static uint64_t dice(struct hx_mem_farm *f)
{
    f->rng ^= f->rng << 13;
    f->rng ^= f->rng >> 7;
    f->rng ^= f->rng << 17;
    return f->rng;
}

static void *grow(void *p, size_t n)
{
    void *q = realloc(p, n ? n : 1);
    hx_assert(q);
    return q;
}

static struct file *find(struct mem_disk *d, uint64_t id)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->files[i].id == id)
            return &d->files[i];
    return NULL;
}

static struct file *make(struct mem_disk *d, uint64_t id)
{
    struct file *f = find(d, id);
    if (!f) {
        size_t i = d->count++;
        d->files = grow(d->files, d->count * sizeof *d->files);
        for (; i > 0 && d->files[i - 1].id > id; i--)
            d->files[i] = d->files[i - 1];
        d->files[i] = (struct file){.id = id};
        f = &d->files[i];
    }
    if (!f->exists) {
        f->exists = true;
        f->discarded = false;
        f->len = 0;
        if (f->dirty)
            memset(f->dirty, 1, f->cap / SECTOR);
    }
    return f;
}

static void reserve(struct file *f, size_t len)
{
    if (len <= f->cap)
        return;
    size_t cap = f->cap ? f->cap : 4096;
    while (cap < len)
        cap *= 2;
    f->now = grow(f->now, cap);
    f->old = grow(f->old, cap);
    f->dirty = grow(f->dirty, cap / SECTOR);
    memset(f->now + f->cap, 0, cap - f->cap);
    memset(f->old + f->cap, 0, cap - f->cap);
    memset(f->dirty + f->cap / SECTOR, 0, (cap - f->cap) / SECTOR);
    f->cap = cap;
}

/* Counts a call; the error that is planned for it, or 0. */
static int planned(struct hx_mem_farm *f, unsigned op)
{
    if (f->off)
        return HX_E_IO;
    f->calls++;
    f->flushes += op == HX_MEM_FLUSH;
    if (f->off_in && --f->off_in == 0) {
        f->off = true;
        return HX_E_IO;
    }
    if (!(f->fail_ops & op))
        return 0;
    if (f->fail_in > 1) {
        f->fail_in--;
        return 0;
    }
    if (!f->fail_always)
        f->fail_ops = 0;
    return f->fail_err;
}

static bool hinted(const struct mem_disk *d, uint64_t id, uint64_t off, size_t len)
{
    for (size_t i = 0; i < HINTS; i++) {
        const struct hint *h = &d->farm->hint[i];
        if (h->disk == d && h->id == id && off >= h->off && off + len <= h->end)
            return true;
    }
    return false;
}

static void mem_expect(struct hx_disk *disk, uint64_t id, uint64_t off, size_t len)
{
    struct mem_disk *d = HX_CONTAINER_OF(disk, struct mem_disk, disk);
    d->farm->hint[d->farm->hint_count++ % HINTS] = (struct hint){d, id, off, off + len};
}

static int mem_read(struct hx_disk *disk, uint64_t id, uint64_t off, void *buf, size_t len, size_t *ret_len)
{
    struct mem_disk *d = HX_CONTAINER_OF(disk, struct mem_disk, disk);
    struct file *f = find(d, id);
    if (d->farm->off)
        return HX_E_IO;
    if (!f || !f->exists)
        return HX_E_NOENT;
    d->farm->reads++;
    d->farm->read_bytes += len;
    d->farm->hinted_bytes += hinted(d, id, off, len) ? len : 0;
    size_t n = off >= f->len ? 0 : f->len - (size_t)off;
    n = n < len ? n : len;
    if (d->farm->fail_read_in && --d->farm->fail_read_in == 0)
        return d->farm->fail_read_err;
    if (d->farm->bad_id == id && off < d->farm->bad_off + d->farm->bad_len && off + n > d->farm->bad_off)
        return HX_E_IO;
    if (n)
        memcpy(buf, f->now + off, n);
    *ret_len = n;
    return 0;
}

static uint64_t used(const struct hx_mem_farm *f)
{
    uint64_t n = 0;
    for (size_t i = 0; i < f->count; i++)
        for (size_t k = 0; k < f->disks[i]->count; k++)
            n += f->disks[i]->files[k].exists ? f->disks[i]->files[k].len : 0;
    return n;
}

static void put(struct file *f, uint64_t off, const void *buf, size_t len)
{
    size_t end = (size_t)off + len;
    reserve(f, (end + SECTOR - 1) / SECTOR * SECTOR);
    if (end > f->len) {
        memset(f->now + f->len, 0, f->cap - f->len);
        f->len = end;
    }
    memcpy(f->now + off, buf, len);
    for (size_t s = (size_t)off / SECTOR; s <= (end - 1) / SECTOR; s++)
        f->dirty[s] = DIRTY;
}

static int mem_write(struct hx_disk *disk, uint64_t id, uint64_t off, const void *buf, size_t len)
{
    struct mem_disk *d = HX_CONTAINER_OF(disk, struct mem_disk, disk);
    bool was_off = d->farm->off;
    int err = planned(d->farm, HX_MEM_WRITE);
    if (err && !(d->farm->off && !was_off))
        return err;
    struct file *f = find(d, id);
    size_t have = f && f->exists ? f->len : 0;
    if (!err && d->farm->limit && off + len > have && used(d->farm) + off + len - have > d->farm->limit)
        return HX_E_NOSPACE;
    if (d->farm->bad_id == id && off < d->farm->bad_off + d->farm->bad_len && off + len > d->farm->bad_off)
        d->farm->bad_id = 0;
    if (len)
        put(make(d, id), off, buf, len); /* the last one before the power went may survive in part */
    return err;
}

static int mem_flush(struct hx_disk *disk, uint64_t id)
{
    struct mem_disk *d = HX_CONTAINER_OF(disk, struct mem_disk, disk);
    int err = planned(d->farm, HX_MEM_FLUSH);
    struct file *f = find(d, id);
    for (size_t s = 0; err && d->farm->drops && f && s < f->cap / SECTOR; s++)
        f->dirty[s] = f->dirty[s] ? DROPPED : CLEAN;
    if (err)
        return err;
    if (!f || !f->exists)
        return HX_E_NOENT;
    for (size_t s = 0; s < f->cap / SECTOR; s++) {
        if (f->dirty[s] != DIRTY)
            continue;
        memcpy(f->old + s * SECTOR, f->now + s * SECTOR, SECTOR);
        f->dirty[s] = CLEAN;
    }
    f->old_len = f->len;
    f->durable = true;
    for (size_t i = 0; i < d->count; i++) /* D2 */
        if (!d->files[i].exists && !d->files[i].discarded)
            d->files[i].durable = false;
    return 0;
}

static int mem_remove(struct hx_disk *disk, uint64_t id)
{
    struct mem_disk *d = HX_CONTAINER_OF(disk, struct mem_disk, disk);
    int err = planned(d->farm, HX_MEM_REMOVE);
    struct file *f = find(d, id);
    if (!err && f)
        f->exists = false;
    return err;
}

static int mem_list(struct hx_disk *disk, uint64_t from, struct hx_disk_file *ret, size_t max, size_t *ret_count)
{
    struct mem_disk *d = HX_CONTAINER_OF(disk, struct mem_disk, disk);
    size_t n = 0;
    if (d->farm->off || d->farm->fail_list)
        return d->farm->off ? HX_E_IO : d->farm->fail_list;
    for (size_t i = 0; i < d->count && n < max; i++)
        if (d->files[i].exists && d->files[i].id >= from)
            ret[n++] = (struct hx_disk_file){d->files[i].id, d->files[i].len};
    *ret_count = n;
    return 0;
}

/* ---- beside ---- */
static int mem_flush_begin(struct hx_disk *disk, uint64_t id)
{
    struct mem_disk *d = HX_CONTAINER_OF(disk, struct mem_disk, disk);
    if (d->left) {
        d->left--;
        return HX_E_BUSY;
    }
    d->beside = id;
    d->left = d->farm->beside;
    return d->farm->off ? HX_E_IO : 0;
}

static int mem_flush_end(struct hx_disk *disk, uint64_t id)
{
    struct mem_disk *d = HX_CONTAINER_OF(disk, struct mem_disk, disk);
    hx_assert(d->beside == id);
    if (d->left && --d->left)
        return HX_E_BUSY;
    d->beside = 0;
    return mem_flush(disk, id);
}

static int mem_discard(struct hx_disk *disk, uint64_t id)
{
    struct mem_disk *d = HX_CONTAINER_OF(disk, struct mem_disk, disk);
    int err = mem_remove(disk, id);
    struct file *f = find(d, id);
    if (!err && f)
        f->discarded = true;
    return err;
}

/* ---- names and sizes ---- */
/* The content goes along; a copy of what was durable stays behind, for a crash that undoes it. */
static int mem_rename(struct hx_disk *disk, uint64_t from, uint64_t to)
{
    struct mem_disk *d = HX_CONTAINER_OF(disk, struct mem_disk, disk);
    int err = planned(d->farm, HX_MEM_REMOVE);
    struct file *f = find(d, from), *t = find(d, to);
    if (err)
        return err;
    if (!f || !f->exists)
        return HX_E_NOENT;
    hx_assert(!t || !t->exists);
    t = make(d, to);
    f = find(d, from);
    if (f->cap) {
        reserve(t, f->cap);
        memcpy(t->now, f->now, f->cap);
        memcpy(t->old, f->old, f->cap);
        memcpy(t->dirty, f->dirty, f->cap / SECTOR);
    }
    t->len = f->len;
    t->old_len = f->old_len;
    t->durable = false;
    f->exists = false;
    return 0;
}

static int mem_cut(struct hx_disk *disk, uint64_t id, uint64_t bytes)
{
    struct mem_disk *d = HX_CONTAINER_OF(disk, struct mem_disk, disk);
    int err = planned(d->farm, HX_MEM_REMOVE);
    struct file *f = find(d, id);
    if (err)
        return err;
    if (!f || !f->exists)
        return HX_E_NOENT;
    f->len = bytes < f->len ? (size_t)bytes : f->len;
    f->old_len = f->len < f->old_len ? f->len : f->old_len;
    return 0;
}

static const struct hx_disk_ops disk_ops = {
    .read = mem_read, .write = mem_write, .flush = mem_flush, .remove = mem_remove, .list = mem_list};
static const struct hx_disk_ops hint_ops = {
    .read = mem_read, .write = mem_write, .flush = mem_flush, .remove = mem_remove, .list = mem_list,
    .expect = mem_expect};
static const struct hx_disk_ops rename_ops = {
    .read = mem_read, .write = mem_write, .flush = mem_flush, .remove = mem_remove, .list = mem_list,
    .rename = mem_rename, .cut = mem_cut};
static const struct hx_disk_ops beside_ops = {
    .read = mem_read, .write = mem_write, .flush = mem_flush, .remove = mem_remove, .list = mem_list,
    .flush_begin = mem_flush_begin, .flush_end = mem_flush_end, .discard = mem_discard};

/* ---- the farm ---- */
static struct mem_disk *disk_at(struct hx_mem_farm *f, const struct hx_disk_place *at)
{
    for (size_t i = 0; i < f->count; i++)
        if (hx_uuid_eq(&f->disks[i]->at.volume, &at->volume) && f->disks[i]->at.pg == at->pg)
            return f->disks[i];
    return NULL;
}

static int farm_open(struct hx_disk_farm *farm, struct hx_disk_place at, bool create, struct hx_disk **ret)
{
    struct hx_mem_farm *f = HX_CONTAINER_OF(farm, struct hx_mem_farm, farm);
    struct mem_disk *d = disk_at(f, &at);
    if (f->off)
        return HX_E_IO;
    if (!d && !create)
        return HX_E_NOENT;
    if (!d) {
        d = grow(NULL, sizeof *d);
        *d = (struct mem_disk){.disk.ops = &disk_ops, .farm = f, .at = at};
        f->disks = grow(f->disks, (f->count + 1) * sizeof *f->disks);
        f->disks[f->count++] = d;
    }
    d->disk.ops = f->beside ? &beside_ops : f->renames ? &rename_ops : f->hints ? &hint_ops : &disk_ops;
    d->left = 0;
    *ret = &d->disk;
    return 0;
}

static void farm_close(struct hx_disk_farm *farm, struct hx_disk *d)
{
    (void)farm;
    (void)d;
}

static int farm_next(struct hx_disk_farm *farm, size_t *cursor, struct hx_disk_place *ret)
{
    struct hx_mem_farm *f = HX_CONTAINER_OF(farm, struct hx_mem_farm, farm);
    if (*cursor >= f->count)
        return 0;
    *ret = f->disks[(*cursor)++]->at;
    return 1;
}

static int farm_space(struct hx_disk_farm *farm, uint64_t *ret_total, uint64_t *ret_free)
{
    struct hx_mem_farm *f = HX_CONTAINER_OF(farm, struct hx_mem_farm, farm);
    uint64_t total = f->limit ? f->limit : UINT64_C(1) << 40, n = used(f);
    *ret_total = total;
    *ret_free = n < total ? total - n : 0;
    return f->fail_space;
}

static void farm_flush_many(struct hx_disk_farm *f, struct hx_disk_flush *list, size_t count)
{
    HX_CONTAINER_OF(f, struct hx_mem_farm, farm)->waves++;
    for (size_t i = 0; i < count; i++)
        list[i].err = list[i].disk->ops->flush(list[i].disk, list[i].file);
}

static const struct hx_disk_farm_ops farm_ops = {farm_open, farm_close, farm_next, farm_space, farm_flush_many};

struct hx_mem_farm *hx_mem_farm_new(void)
{
    struct hx_mem_farm *f = grow(NULL, sizeof *f);
    *f = (struct hx_mem_farm){.farm.ops = &farm_ops, .rng = 1};
    return f;
}

void hx_mem_wipe(struct hx_mem_farm *f)
{
    for (size_t i = 0; i < f->count; i++) {
        for (size_t k = 0; k < f->disks[i]->count; k++) {
            free(f->disks[i]->files[k].now);
            free(f->disks[i]->files[k].old);
            free(f->disks[i]->files[k].dirty);
        }
        free(f->disks[i]->files);
        free(f->disks[i]);
    }
    f->count = 0;
}

void hx_mem_farm_free(struct hx_mem_farm *f)
{
    if (!f)
        return;
    hx_mem_wipe(f);
    free(f->disks);
    free(f);
}

struct hx_disk_farm *hx_mem_farm(struct hx_mem_farm *f)
{
    return &f->farm;
}

uint64_t hx_mem_calls(const struct hx_mem_farm *f)
{
    return f->calls;
}

uint64_t hx_mem_waves(const struct hx_mem_farm *f)
{
    return f->waves;
}

uint64_t hx_mem_flushes(const struct hx_mem_farm *f)
{
    return f->flushes;
}

void hx_mem_fail(struct hx_mem_farm *f, unsigned ops, uint64_t k, int err, bool always)
{
    f->fail_ops = ops;
    f->fail_in = k;
    f->fail_err = err;
    f->fail_always = always;
}

void hx_mem_beside(struct hx_mem_farm *f, unsigned calls)
{
    f->beside = calls;
}

void hx_mem_renames(struct hx_mem_farm *f)
{
    f->renames = true;
}

void hx_mem_hints(struct hx_mem_farm *f)
{
    f->hints = true;
}

uint64_t hx_mem_hinted_bytes(const struct hx_mem_farm *f)
{
    return f->hinted_bytes;
}

void hx_mem_fail_drops(struct hx_mem_farm *f)
{
    f->drops = true;
}

void hx_mem_fail_read(struct hx_mem_farm *f, uint64_t k, int err)
{
    f->fail_read_in = k;
    f->fail_read_err = err;
}

uint64_t hx_mem_read_bytes(const struct hx_mem_farm *f, uint64_t *ret_reads)
{
    *ret_reads = f->reads;
    return f->read_bytes;
}

bool hx_mem_read_failed(const struct hx_mem_farm *f)
{
    return f->fail_read_err && !f->fail_read_in;
}

void hx_mem_bad_range(struct hx_mem_farm *f, uint64_t id, uint64_t off, uint64_t len)
{
    f->bad_id = id;
    f->bad_off = off / SECTOR * SECTOR;
    f->bad_len = (len + SECTOR - 1) / SECTOR * SECTOR;
}

void hx_mem_bad_sector(struct hx_mem_farm *f, uint64_t id, uint64_t off)
{
    hx_mem_bad_range(f, id, off, SECTOR);
}

void hx_mem_fail_list(struct hx_mem_farm *f, int err)
{
    f->fail_list = err;
}

void hx_mem_truncate(struct hx_mem_farm *f, const struct hx_disk_place *at, uint64_t id, size_t len)
{
    struct mem_disk *d = disk_at(f, at);
    struct file *file = d ? find(d, id) : NULL;
    hx_assert(file && len <= file->len);
    file->len = file->old_len = len;
}

void hx_mem_power_off_at(struct hx_mem_farm *f, uint64_t k)
{
    f->off_in = k;
}

bool hx_mem_is_off(const struct hx_mem_farm *f)
{
    return f->off;
}

/* What of a file is there after the power has come back. */
static void survive(struct hx_mem_farm *farm, struct file *f)
{
    if (!f->exists && f->durable && (dice(farm) & 1)) { /* the removal did not make it */
        f->exists = true;
        f->len = f->old_len;
        memcpy(f->now, f->old, f->cap);
    } else if (f->exists && !f->durable && (dice(farm) & 1)) { /* nor did its name */
        f->exists = false;
    } else if (f->exists) {
        size_t len = f->old_len;
        for (size_t s = 0; s < f->cap / SECTOR; s++) {
            if (!f->dirty[s])
                continue;
            bool kept = (dice(farm) & 1) && f->dirty[s] == DIRTY;
            if (!kept)
                memcpy(f->now + s * SECTOR, f->old + s * SECTOR, SECTOR);
            else if ((s + 1) * SECTOR > len)
                len = (s + 1) * SECTOR < f->len ? (s + 1) * SECTOR : f->len;
        }
        f->len = len > f->len ? f->len : len;
    }
    f->durable = f->exists;
    if (f->cap) {
        memset(f->dirty, 0, f->cap / SECTOR);
        memcpy(f->old, f->now, f->cap);
    }
    f->old_len = f->len;
}

void hx_mem_crash(struct hx_mem_farm *f, uint64_t seed)
{
    f->rng = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    f->rng = f->rng ? f->rng : 1;
    for (unsigned i = 0; i < 8; i++)
        dice(f);
    for (size_t i = 0; i < f->count; i++)
        for (size_t k = 0; k < f->disks[i]->count; k++)
            survive(f, &f->disks[i]->files[k]);
    f->off = false;
    f->off_in = 0;
    f->fail_ops = 0;
}

void hx_mem_fail_space(struct hx_mem_farm *f, int err)
{
    f->fail_space = err;
}

void hx_mem_limit(struct hx_mem_farm *f, uint64_t bytes)
{
    f->limit = bytes;
}

uint8_t *hx_mem_file(struct hx_mem_farm *f, const struct hx_disk_place *at, uint64_t id, size_t *ret_len)
{
    struct mem_disk *d = disk_at(f, at);
    struct file *file = d ? find(d, id) : NULL;
    if (!file || !file->exists)
        return NULL;
    *ret_len = file->len;
    return file->now;
}

uint64_t hx_mem_last_log(struct hx_mem_farm *f, const struct hx_disk_place *at)
{
    struct mem_disk *d = disk_at(f, at);
    uint64_t last = 0;
    for (size_t i = 0; d && i < d->count; i++)
        if (d->files[i].exists && d->files[i].id < UINT64_C(1) << 32)
            last = d->files[i].id;
    return last;
}

size_t hx_mem_file_count(struct hx_mem_farm *f, const struct hx_disk_place *at)
{
    struct mem_disk *d = disk_at(f, at);
    size_t n = 0;
    for (size_t i = 0; d && i < d->count; i++)
        n += d->files[i].exists;
    return n;
}

void hx_mem_remove_file(struct hx_mem_farm *f, const struct hx_disk_place *at, uint64_t id)
{
    struct mem_disk *d = disk_at(f, at);
    struct file *file = d ? find(d, id) : NULL;
    if (file)
        file->exists = file->durable = false;
}
