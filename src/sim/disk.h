/*
 * disk.h - a simulated disk of one segment server: a farm of hexad/disk.h that loses power, fails, fills up, lies.
 *
 * What power loss leaves (hexad/disk.h D1, D2): of each file every 512-byte sector written since its last honest flush
 * is there or not, one by one or from some point on (torn), or all or none; a sector written more than once may have
 * any of its contents; a new file or a removal that no flush covers is there or not.  Everything that goes wrong is
 * drawn from the disk's own streams, one for each kind of fault, and counted.
 *
 * Two classes of faults.  Honest ones (errors, power loss, full): the five calls keep their contract.  Lies (a flush
 * that does nothing, flipped bits, sectors that can no longer be read, misplaced and stale writes, wipe, rollback):
 * only on servers that the world has made victims.
 *
 * A flush beside (beside_us not 0; else the disk has none of the calls that may be NULL) ends at a later virtual time,
 * or fails then; before, a crash leaves any subset.  What comes to FILE meanwhile is not covered, and told as a misuse.
 * What was discarded is durably gone at some later flush (discard_pct), and may be back till then.
 *
 * After a flush that failed (D3) each sector is on the medium or it is not, and then no later flush brings it there;
 * reads show the medium at once, or only after the disk has been closed and opened.
 *
 * Speed matters: a run makes millions of calls.  Memory: the files' bytes, a bit for each sector that is not durable,
 * and its older content.
 */
#ifndef HX_SIM_DISK_H
#define HX_SIM_DISK_H

#include "hexad/disk.h"
#include "sim.h"

struct hx_sim_disk *hx_sim_disk_new(const struct hx_sim_opts *o, uint32_t server); /* NULL: no memory */
void hx_sim_disk_free(struct hx_sim_disk *d);
struct hx_disk_farm *hx_sim_disk_farm(struct hx_sim_disk *d);

/* The clock by which flushes beside end; borrowed. */
void hx_sim_disk_clock(struct hx_sim_disk *d, const uint64_t *now_us);
/* Random faults by the rates of the options (eio_*, lie_*): ERRORS and LIES switch the two classes.  Both off at
 * first. */
void hx_sim_disk_faults(struct hx_sim_disk *d, bool errors, bool lies);
/* Capacity in bytes over all files; 0: no limit. */
void hx_sim_disk_limit(struct hx_sim_disk *d, uint64_t bytes);
uint64_t hx_sim_disk_used(const struct hx_sim_disk *d);
/* At the K-th write, flush or remove from now (1: the next) the power goes: that call has happened in part or not at
 * all, and fails, as does every later call, until hx_sim_disk_power_on.  K 0: takes such a plan back. */
void hx_sim_disk_power_off_at(struct hx_sim_disk *d, uint64_t k);
void hx_sim_disk_power_off(struct hx_sim_disk *d); /* now */
bool hx_sim_disk_is_off(const struct hx_sim_disk *d);
/* What survived is what there is from now on, durable.  The farm's open disks must have been closed. */
void hx_sim_disk_power_on(struct hx_sim_disk *d);
/* Not the power went at the planned call, but the process was killed: what it wrote can be read, flushed or not. */
void hx_sim_disk_killed(struct hx_sim_disk *d);

/* A flush of a log file or meta slot has failed, and nobody was told: 1 and its PG, or 0.  Call until 0. */
int hx_sim_disk_take_failed(struct hx_sim_disk *d, uint32_t *ret_pg);

/* A place was opened again, and nobody was told: 1 and its PG, or 0.  Call until 0, and before take_failed: what failed
 * before the opening is not told any more. */
int hx_sim_disk_take_reopened(struct hx_sim_disk *d, uint32_t *ret_pg);

/* Lies on command.  Wipe and rollback: no disk may be open. */
void hx_sim_disk_wipe(struct hx_sim_disk *d);                   /* empty */
bool hx_sim_disk_save(struct hx_sim_disk *d);                   /* one image of what is durable; false: no memory */
bool hx_sim_disk_rollback(struct hx_sim_disk *d);               /* back to the image; false: there is none */
bool hx_sim_disk_flip(struct hx_sim_disk *d, struct hx_rng *r); /* one bit of one file; false: nothing stored */
/* Aimed at PG's newest log file (disk_aim.c), best while the server is down: it notices when it starts.
 * Aim: the last LSN of one of the newest entries that a later one proves; false: there is none.  Hurt: the entries that
 * hold LSN; whatever LSN is: HX_HURT_END, the end of the log can no longer be read; HX_HURT_SIDE, bits of a sidecar's
 * list flip; HX_HURT_CLOSED, the same, and in its log file entries stand where others were; HX_HURT_COPY, an entry of
 * the server's own making and the one behind it are lost without a trace.  False: nothing was hit. */
enum hx_sim_hurt {
    HX_HURT_FLIP,
    HX_HURT_ZERO,
    HX_HURT_READ,
    HX_HURT_REPLACE,
    HX_HURT_END,
    HX_HURT_SIDE,
    HX_HURT_CLOSED,
    HX_HURT_COPY
};
bool hx_sim_disk_aim(struct hx_sim_disk *d, uint32_t pg, struct hx_rng *r, uint64_t *ret_lsn);
bool hx_sim_disk_hurt(struct hx_sim_disk *d, uint32_t pg, uint64_t lsn, enum hx_sim_hurt how, struct hx_rng *r);

/* Virtual time that the calls since the last take would have needed, in microseconds; FACTOR 1 as usual, 100: a sick
 * disk. */
uint64_t hx_sim_disk_take_us(struct hx_sim_disk *d, uint32_t factor);
struct hx_sim_disk_stats {
    uint64_t reads, writes, flushes, removes, read_bytes, write_bytes;
    uint64_t errors, lies, torn_sectors, lost_sectors; /* faults that were carried out; torn: kept beside lost ones */
    uint64_t besides, cut, back; /* flushes beside that were begun, and ended by a crash; what a crash brought back */
    uint64_t unread;             /* reads that failed twice in a row at the same place */
    uint64_t misuses;            /* writes to a file whose flush went on; ends of what was not begun */
};
void hx_sim_disk_stats(const struct hx_sim_disk *d, struct hx_sim_disk_stats *ret);

#endif
