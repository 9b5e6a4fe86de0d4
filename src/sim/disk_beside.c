/*
 * disk_beside.c - the calls of the simulated disk that a disk need not have: a flush that goes on beside other calls,
 * discard, rename, cut, flushes of many files at the same time.
 *
 * How a flush beside ends (well, with an error, with a lie) is drawn when it begins; it takes effect when its time has
 * come and somebody asks, or a crash or a close comes.  A crash before that finds the sectors as they were written:
 * each is there or not, as for any file.  A write to the file meanwhile breaks the contract; the flush then covers
 * nothing.
 * A file that was discarded is among those that are gone, and stays until a flush is drawn that makes it durable, or a
 * file of its name becomes durable, or many were discarded after it.
 * A file that was renamed has its old name after a crash, or the new one, until a flush of it; its content is what was
 * written to it under either.  A name that is taken is a misuse.
 */
#include "disk_private.h"

#include "hexad/err.h"

#include <string.h>

#define BEGIN_NS 5000u
#define DISCARDED_MAX 64u

static struct hx_sim_place *self(struct hx_disk *d)
{
    return HX_CONTAINER_OF(d, struct hx_sim_place, disk);
}

void hx_sim_disk_clock(struct hx_sim_disk *d, const uint64_t *now_us)
{
    d->now_us = now_us;
}

static bool ended(const struct hx_sim_place *p)
{
    return !p->farm->now_us || p->beside.done_us <= *p->farm->now_us;
}

/* Its time has come. */
static int carry_out(struct hx_sim_place *p)
{
    struct hx_sim_beside *b = &p->beside;
    struct hx_sim_file *f = b->own ? hx_sim_disk_find(p, b->file) : NULL;
    b->on = false;
    if (!f || (b->written && b->how == HX_SIM_FLUSH_OK))
        return b->how == HX_SIM_FLUSH_FAILS ? HX_E_IO : 0;
    return hx_sim_disk_flush_do(p, f, b->how);
}

void hx_sim_beside_settle(struct hx_sim_place *p, bool wait)
{
    if (p->beside.on && (wait || ended(p)))
        (void)carry_out(p);
    p->farm->stats.cut += p->beside.on;
    p->beside.on = false;
}

void hx_sim_beside_written(struct hx_sim_place *p, uint64_t file)
{
    struct hx_sim_beside *b = &p->beside;
    if (!b->on || !b->own || b->file != file)
        return;
    b->written = true;
    p->farm->stats.misuses++;
}

void hx_sim_beside_removed(struct hx_sim_place *p, uint64_t file)
{
    p->beside.own = p->beside.own && p->beside.file != file;
}

static uint64_t takes_us(struct hx_sim_disk *d)
{
    struct hx_rng *r = &d->r_beside;
    switch (hx_rng_below(r, 8)) {
    case 0:
        return 0; /* done at once */
    case 1:
        return hx_rng_range(r, 1, 16 * d->beside_us);
    default:
        return hx_rng_range(r, 1, d->beside_us);
    }
}

int hx_sim_beside_begin(struct hx_disk *disk, uint64_t file)
{
    struct hx_sim_place *p = self(disk);
    struct hx_sim_disk *d = p->farm;
    if (d->off)
        return HX_E_IO;
    if (p->beside.on && !ended(p))
        return HX_E_BUSY;
    hx_sim_beside_settle(p, true);
    if (!hx_sim_disk_find(p, file))
        return HX_E_NOENT;
    d->stats.flushes++;
    d->stats.besides++;
    d->time_ns += BEGIN_NS;
    if (hx_sim_disk_dies(d))
        return HX_E_IO;
    p->beside = (struct hx_sim_beside){.on = true, .own = true, .file = file, .how = hx_sim_disk_flush_draw(d)};
    p->beside.done_us = takes_us(d) + (d->now_us ? *d->now_us : 0);
    return 0;
}

int hx_sim_beside_end(struct hx_disk *disk, uint64_t file)
{
    struct hx_sim_place *p = self(disk);
    struct hx_sim_disk *d = p->farm;
    if (d->off)
        return HX_E_IO;
    if (!p->beside.on || p->beside.file != file) {
        d->stats.misuses++;
        return 0;
    }
    if (!ended(p))
        return HX_E_BUSY;
    if (hx_sim_disk_dies(d))
        return HX_E_IO;
    return carry_out(p);
}

int hx_sim_beside_discard(struct hx_disk *disk, uint64_t file)
{
    return hx_sim_disk_remove(self(disk), file, true);
}

int hx_sim_beside_rename(struct hx_disk *disk, uint64_t from, uint64_t to)
{
    struct hx_sim_place *p = self(disk);
    struct hx_sim_disk *d = p->farm;
    bool done;
    if (d->off)
        return HX_E_IO;
    d->stats.misuses += hx_sim_disk_find(p, to) != NULL;
    struct hx_sim_file *f = hx_sim_disk_find(p, from), moved;
    if (!f)
        return HX_E_NOENT;
    bool fails = hx_sim_disk_change_fails(d, &done);
    if (!done)
        return HX_E_IO;
    moved = *f;
    moved.was = f->named && !f->was ? from : f->was;
    moved.id = to;
    memmove(f, f + 1, (--p->files.count - (size_t)(f - p->files.v)) * sizeof *f);
    for (size_t i = 0; i < p->bad_count; i++)
        p->bad[i].file = p->bad[i].file == from ? to : p->bad[i].file;
    hx_sim_beside_removed(p, from);
    int err = hx_sim_files_add(&p->files, &moved, true); /* there is room: one went */
    return err ? err : fails ? HX_E_IO : 0;
}

/* What is cut off may be back after a crash as zeros: nobody may look at it. */
int hx_sim_beside_cut(struct hx_disk *disk, uint64_t file, uint64_t bytes)
{
    struct hx_sim_place *p = self(disk);
    struct hx_sim_disk *d = p->farm;
    bool done;
    if (d->off)
        return HX_E_IO;
    struct hx_sim_file *f = hx_sim_disk_find(p, file);
    if (!f)
        return HX_E_NOENT;
    bool fails = hx_sim_disk_change_fails(d, &done);
    if (done && f->len > bytes) {
        d->used -= f->len - (size_t)bytes;
        hx_sim_file_cut(f, (size_t)bytes);
    }
    return fails ? HX_E_IO : 0;
}

void hx_sim_beside_forget(struct hx_sim_place *p, const struct hx_sim_file *f)
{
    struct hx_sim_disk *d = p->farm;
    size_t kept = 0, count = p->gone.count;
    for (size_t i = 0; i < count; i++) {
        struct hx_sim_file *g = &p->gone.v[i];
        bool stays = g->discarded && g->id != f->id && count - i <= DISCARDED_MAX;
        if (stays && hx_rng_below(&d->r_discard, 100) >= d->discard_pct)
            p->gone.v[kept++] = *g;
        else
            hx_sim_file_fini(&d->pool, g);
    }
    p->gone.count = kept;
}

/* In any order; all take the time of the longest. */
void hx_sim_beside_flush_many(struct hx_disk_farm *farm, struct hx_disk_flush *list, size_t count)
{
    struct hx_sim_disk *d = HX_CONTAINER_OF(farm, struct hx_sim_disk, farm);
    uint64_t from_ns = d->time_ns, most = 0;
    size_t first = hx_rng_below(&d->r_beside, count ? count : 1);
    for (size_t i = 0; i < count; i++) {
        struct hx_disk_flush *x = &list[(first + i) % count];
        x->err = x->disk->ops->flush(x->disk, x->file);
        most = d->time_ns - from_ns > most ? d->time_ns - from_ns : most;
        d->time_ns = from_ns;
    }
    d->time_ns = from_ns + most;
}
