/*
 * disk_power.c - what happens to a simulated disk as a whole: power, space, rot, wipe, images.
 *
 * Draws in a fixed order: places as they were made, files by id, then files that were removed.
 */
#include "disk_private.h"

#include "hexad/err.h"

#include <stdlib.h>
#include <string.h>

void hx_sim_disk_faults(struct hx_sim_disk *d, bool errors, bool lies)
{
    d->errors = errors;
    d->lies = lies;
}

void hx_sim_disk_limit(struct hx_sim_disk *d, uint64_t bytes)
{
    d->limit = bytes;
}

uint64_t hx_sim_disk_used(const struct hx_sim_disk *d)
{
    return d->used;
}

void hx_sim_disk_power_off_at(struct hx_sim_disk *d, uint64_t k)
{
    d->off_in = k;
}

void hx_sim_disk_power_off(struct hx_sim_disk *d)
{
    d->off = true;
    d->off_in = 0;
}

bool hx_sim_disk_is_off(const struct hx_sim_disk *d)
{
    return d->off;
}

/* ---- power on ---- */
static void survive_file(struct hx_sim_disk *d, struct hx_sim_file *f)
{
    struct hx_sim_survival n = {0, 0};
    bool torn = hx_rng_below(&d->r_power, 100) < d->torn_pct;
    hx_sim_file_survive(f, &d->r_power, torn, &n);
    d->stats.lost_sectors += n.lost;
    d->stats.torn_sectors += n.lost ? n.kept : 0;
}

/* Names that were given to files that had one: the old one, if nothing else has it by now, or the new one. */
static void survive_renamed(struct hx_sim_disk *d, struct hx_sim_place *p)
{
    for (size_t i = p->files.count; i-- > 0;) {
        struct hx_sim_file f = p->files.v[i];
        size_t hint = 0;
        if (!f.was)
            continue;
        p->files.v[i].was = 0;
        if (hx_rng_below(&d->r_power, 2) || hx_sim_files_find(&p->files, &hint, f.was))
            continue;
        memmove(&p->files.v[i], &p->files.v[i + 1], (--p->files.count - i) * sizeof f);
        f.id = f.was;
        f.was = 0;
        d->stats.back++;
        (void)hx_sim_files_add(&p->files, &f, true); /* there is room: one went */
        i = p->files.count; /* none twice: its WAS is 0 */
    }
}

/* D2: a new name that no flush covers is there or not. */
static void survive_names(struct hx_sim_disk *d, struct hx_sim_place *p)
{
    size_t kept = 0;
    for (size_t i = 0; i < p->files.count; i++) {
        struct hx_sim_file *f = &p->files.v[i];
        if (!f->named && hx_rng_below(&d->r_power, 2)) {
            hx_sim_file_fini(&d->pool, f);
            continue;
        }
        survive_file(d, f);
        p->files.v[kept++] = *f;
    }
    p->files.count = kept;
}

/* D2: so is a removal; a file that comes back was never removed, so its name is free. */
static void survive_removed(struct hx_sim_disk *d, struct hx_sim_place *p)
{
    for (size_t i = 0; i < p->gone.count; i++) {
        struct hx_sim_file *f = &p->gone.v[i];
        size_t hint = 0;
        bool back = !hx_rng_below(&d->r_power, f->named ? 2 : 4);
        f->id = f->was ? f->was : f->id; /* it was removed under a name that is not durable either */
        f->was = 0;
        if (!back || hx_sim_files_find(&p->files, &hint, f->id)) {
            hx_sim_file_fini(&d->pool, f);
            continue;
        }
        survive_file(d, f);
        f->discarded = false;
        d->stats.back++;
        if (hx_sim_files_add(&p->files, f, true))
            hx_sim_file_fini(&d->pool, f); /* no memory: it is gone after all */
    }
    p->gone.count = 0;
}

static void count_used(struct hx_sim_disk *d)
{
    d->used = 0;
    for (size_t i = 0; i < d->place_count; i++)
        for (size_t k = 0; k < d->places[i]->files.count; k++)
            d->used += d->places[i]->files.v[k].len;
}

void hx_sim_disk_power_on(struct hx_sim_disk *d)
{
    for (size_t i = 0; i < d->place_count; i++) {
        hx_sim_beside_settle(d->places[i], false);
        survive_renamed(d, d->places[i]);
        survive_names(d, d->places[i]);
        survive_removed(d, d->places[i]);
    }
    count_used(d);
    d->off = false;
    d->off_in = 0;
}

void hx_sim_disk_killed(struct hx_sim_disk *d)
{
    for (size_t i = 0; i < d->place_count; i++) /* the system may go on with it */
        hx_sim_beside_settle(d->places[i], d->places[i]->beside.on && hx_rng_below(&d->r_beside, 2));
    d->off = false;
    d->off_in = 0;
}

/* ---- lies on command ---- */
static void flip_bit(struct hx_sim_place *p, struct hx_sim_file *f, uint64_t off, struct hx_rng *r)
{
    uint8_t bit = (uint8_t)(1u << hx_rng_below(r, 8));
    if (off >= f->end) /* F1 of disk_file.h: what is no longer zero has to be written */
        (void)hx_sim_file_write(&p->farm->pool, f, &p->farm->r_back, off, &bit, 1);
    else
        f->data[off] ^= bit;
}

void hx_sim_disk_rot(struct hx_sim_place *p, struct hx_sim_file *f, uint64_t off, struct hx_rng *r)
{
    if (hx_rng_below(r, 4) == 0 && p->bad_count < HX_SIM_BAD_MAX)
        p->bad[p->bad_count++] = (struct hx_sim_bad){f->id, (uint32_t)(off / HX_SIM_SECTOR)};
    else
        flip_bit(p, f, off, r);
}

bool hx_sim_disk_flip(struct hx_sim_disk *d, struct hx_rng *r)
{
    uint64_t at = hx_rng_below(r, d->used);
    for (size_t i = 0; i < d->place_count; i++)
        for (size_t k = 0; k < d->places[i]->files.count; k++) {
            struct hx_sim_file *f = &d->places[i]->files.v[k];
            if (at < f->len) {
                flip_bit(d->places[i], f, at, r);
                d->stats.lies++;
                return true;
            }
            at -= f->len;
        }
    return false;
}

static void empty(struct hx_sim_place *p)
{
    hx_sim_files_fini(&p->farm->pool, &p->files);
    hx_sim_files_fini(&p->farm->pool, &p->gone);
    p->bad_count = 0;
    p->beside.on = false;
    p->exists = false;
}

void hx_sim_disk_wipe(struct hx_sim_disk *d)
{
    for (size_t i = 0; i < d->place_count; i++)
        empty(d->places[i]);
    d->used = 0;
    d->stats.lies++;
}

static void forget_image(struct hx_sim_disk *d)
{
    for (size_t i = 0; i < d->image_count; i++)
        hx_sim_files_fini(&d->pool, &d->image[i].files);
    free(d->image);
    d->image = NULL;
    d->image_count = 0;
    d->imaged = false;
}

static int copy_files(struct hx_sim_disk *d, const struct hx_sim_files *from, struct hx_sim_files *to)
{
    int err = 0;
    for (size_t k = 0; k < from->count && !err; k++) {
        struct hx_sim_file f;
        if (!from->v[k].named)
            continue;
        err = hx_sim_file_image(&d->pool, &from->v[k], &f);
        if (!err && (err = hx_sim_files_add(to, &f, true)))
            hx_sim_file_fini(&d->pool, &f);
    }
    return err;
}

bool hx_sim_disk_save(struct hx_sim_disk *d)
{
    forget_image(d);
    d->image = calloc(d->place_count + 1, sizeof *d->image);
    if (!d->image)
        return false;
    for (size_t i = 0; i < d->place_count; i++) {
        if (!d->places[i]->exists)
            continue;
        struct hx_sim_image *m = &d->image[d->image_count++];
        m->at = d->places[i]->at;
        if (copy_files(d, &d->places[i]->files, &m->files)) {
            forget_image(d);
            return false;
        }
    }
    d->imaged = true;
    return true;
}

bool hx_sim_disk_rollback(struct hx_sim_disk *d)
{
    if (!d->imaged)
        return false;
    for (size_t i = 0; i < d->place_count; i++)
        empty(d->places[i]);
    for (size_t i = 0; i < d->image_count; i++)
        for (size_t k = 0; k < d->place_count; k++) {
            struct hx_sim_place *p = d->places[k];
            if (p->at.pg == d->image[i].at.pg && hx_uuid_eq(&p->at.volume, &d->image[i].at.volume)) {
                p->exists = true;
                (void)copy_files(d, &d->image[i].files, &p->files); /* no memory: an even older disk */
            }
        }
    count_used(d);
    d->stats.lies++;
    return true;
}

/* ---- figures, the end ---- */
uint64_t hx_sim_disk_take_us(struct hx_sim_disk *d, uint32_t factor)
{
    uint64_t us = d->time_ns / 1000;
    d->time_ns -= us * 1000;
    return us * factor;
}

void hx_sim_disk_stats(const struct hx_sim_disk *d, struct hx_sim_disk_stats *ret)
{
    *ret = d->stats;
}

void hx_sim_disk_free(struct hx_sim_disk *d)
{
    if (!d)
        return;
    forget_image(d);
    for (size_t i = 0; i < d->place_count; i++) {
        empty(d->places[i]);
        free(d->places[i]);
    }
    free(d->places);
    hx_sim_pool_fini(&d->pool);
    free(d);
}
