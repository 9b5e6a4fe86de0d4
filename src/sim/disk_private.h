/*
 * disk_private.h - what disk.c (the five calls, the farm), disk_beside.c (flushes beside, discard, flushes of many)
 * and disk_power.c (power, wipe, rollback, rot) share.
 *
 * Memory: the farm owns its places, a place its files; a place that was once made keeps its struct until the farm is
 * freed, so a disk that somebody forgot to close never points into nothing.
 */
#ifndef HX_SIM_DISK_PRIVATE_H
#define HX_SIM_DISK_PRIVATE_H

#include "disk.h"
#include "disk_file.h"

#define HX_SIM_BAD_MAX 8u

struct hx_sim_files {
    struct hx_sim_file *v;
    size_t count, cap;
};
enum hx_sim_flush { HX_SIM_FLUSH_OK, HX_SIM_FLUSH_FAILS, HX_SIM_FLUSH_LIES };
struct hx_sim_beside { /* a flush that goes on beside other calls */
    bool on;           /* begun; nobody has heard yet how it ended */
    bool own, written; /* FILE is still the one that it was begun for; it was written meanwhile */
    uint64_t file, done_us;
    enum hx_sim_flush how;
};
struct hx_sim_place {
    struct hx_disk disk;
    struct hx_sim_disk *farm;
    struct hx_disk_place at;
    bool exists;
    bool failed, reopened;     /* a flush has failed, it was opened again, and nobody has taken note */
    size_t last;               /* where the last search ended */
    struct hx_sim_files files; /* ascending by id */
    struct hx_sim_files gone;  /* removed, and no flush has said so: in the order of removal */
    struct hx_sim_beside beside;
    struct hx_sim_bad {        /* sectors that cannot be read until they are written again */
        uint64_t file;
        uint32_t sector;
    } bad[HX_SIM_BAD_MAX];
    size_t bad_count;
};
struct hx_sim_image {
    struct hx_disk_place at;
    struct hx_sim_files files;
};
struct hx_sim_unread { /* a read that failed */
    const struct hx_sim_place *place;
    uint64_t file, off;
    size_t len;
};
struct hx_sim_disk {
    struct hx_disk_farm farm;
    struct hx_sim_place **places; /* in the order in which they were made */
    size_t place_count, place_cap;
    struct hx_sim_pool pool;
    struct hx_sim_image *image;
    size_t image_count;
    bool imaged;
    uint64_t limit, used, off_in;
    bool off, errors, lies, failed, reopened; /* failed, reopened: of some place */
    uint64_t eio_read, eio_write, eio_flush, torn_pct, lie_flush, lie_rot, lie_misplace, lie_stale;
    struct hx_rng r_read, r_write, r_flush, r_power, r_back, r_full, r_lie_flush, r_rot, r_misplace, r_stale, r_time;
    const uint64_t *now_us; /* NULL: what is begun beside has ended when it is asked for */
    uint64_t beside_us, discard_pct;
    struct hx_rng r_beside, r_discard;
    uint64_t time_ns;
    struct hx_sim_unread unread; /* the last one */
    struct hx_sim_disk_stats stats;
};

/* The parts of a call that disk.c and disk_beside.c share: the power goes at this call; the file, or NULL; how a flush
 * of it ends, drawn; then that is done: 0 or HX_E_IO. */
bool hx_sim_disk_dies(struct hx_sim_disk *d);
struct hx_sim_file *hx_sim_disk_find(struct hx_sim_place *p, uint64_t file);
enum hx_sim_flush hx_sim_disk_flush_draw(struct hx_sim_disk *d);
int hx_sim_disk_flush_do(struct hx_sim_place *p, struct hx_sim_file *f, enum hx_sim_flush how);
int hx_sim_disk_remove(struct hx_sim_place *p, uint64_t file, bool discard);
bool hx_sim_disk_change_fails(struct hx_sim_disk *d, bool *ret_done); /* of a name or a size, drawn */
/* disk_beside.c; FILE was written or removed; the flush that goes on ends unheard: it is waited for (WAIT), or goes as
 * far as it has come. */
int hx_sim_beside_begin(struct hx_disk *disk, uint64_t file);
int hx_sim_beside_end(struct hx_disk *disk, uint64_t file);
int hx_sim_beside_discard(struct hx_disk *disk, uint64_t file);
int hx_sim_beside_rename(struct hx_disk *disk, uint64_t from, uint64_t to);
int hx_sim_beside_cut(struct hx_disk *disk, uint64_t file, uint64_t bytes);
void hx_sim_beside_flush_many(struct hx_disk_farm *farm, struct hx_disk_flush *list, size_t count);
void hx_sim_beside_written(struct hx_sim_place *p, uint64_t file);
void hx_sim_beside_removed(struct hx_sim_place *p, uint64_t file);
void hx_sim_beside_settle(struct hx_sim_place *p, bool wait);
/* A flush of F makes removals durable: those of remove (D2), that of a file of the same name, and some of discard. */
void hx_sim_beside_forget(struct hx_sim_place *p, const struct hx_sim_file *f);

/* The file, or NULL; *ret_at: where it is or would be. */
struct hx_sim_file *hx_sim_files_find(const struct hx_sim_files *fs, size_t *hint, uint64_t id);
/* Puts *F (moved) into its place by id, or at the end (SORTED false).  HX_E_NOMEM. */
int hx_sim_files_add(struct hx_sim_files *fs, const struct hx_sim_file *f, bool sorted);
void hx_sim_files_fini(struct hx_sim_pool *p, struct hx_sim_files *fs);
/* A bit of FILE flips at OFF, or its sector can no longer be read. */
void hx_sim_disk_rot(struct hx_sim_place *at, struct hx_sim_file *f, uint64_t off, struct hx_rng *r);

#endif
