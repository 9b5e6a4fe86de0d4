/*
 * disk_file.h - one file of the simulated disk: what reads see, and what of it is not on the medium yet.
 *
 * Only disk.c uses it.  A file has one buffer, what reads see.  A sector (512 bytes) that differs, or may differ, from
 * the medium is dirty: a bit; its older content is zeros unless it was saved (there may be several savings of one
 * sector, the last one counts).  So an append costs its copy and a few bits, and a flush clears these bits.
 *   F1 from END on reads and the medium hold zeros: nothing there needs to be saved.  The buffer itself holds zeros
 *      only to the end of END's sector; what lies behind is old, and nobody looks at it.
 *   F2 a dirty sector without a saving holds zeros on the medium.
 *   F3 a stuck sector is dirty, and no flush will write it: a flush of it failed, and since then the system takes it
 *      for clean.  Writing it again ends that.
 * Memory: buffers come from a pool and go back to it; nothing is allocated per call once a file has its size.
 */
#ifndef HX_SIM_DISK_FILE_H
#define HX_SIM_DISK_FILE_H

#include "sim.h"

#define HX_SIM_SECTOR 512u
#define HX_SIM_FILE_MAX (UINT64_C(1) << 30)

struct hx_sim_pool {
    void *free[32]; /* blocks by the logarithm of their capacity, linked through their first bytes */
};
void hx_sim_pool_fini(struct hx_sim_pool *p);

struct hx_sim_file {
    uint64_t id;
    uint8_t *data;           /* capacity CAP; its bits lie behind it in the same block */
    uint64_t *dirty, *stuck; /* a bit per sector; stuck: NULL as long as no flush has failed */
    size_t len, cap, end;    /* END: F1 */
    size_t medium_len;
    uint32_t lo, hi; /* no sector outside [lo, hi) is dirty */
    bool named;      /* the medium knows its name */
    uint64_t was;    /* by which name, where that is not the one that it has now; else 0 */
    bool discarded;  /* removed, and no flush need make that durable */
    uint32_t *saved_at;
    uint8_t *saved;
    size_t saved_count, saved_cap;
};
void hx_sim_file_fini(struct hx_sim_pool *p, struct hx_sim_file *f);
/* LEN bytes at OFF, all of them below f->len. */
void hx_sim_file_read(const struct hx_sim_file *f, size_t off, void *buf, size_t len);
/* Volatile.  A dirty sector that is written again may have reached the medium before: R draws.  HX_E_NOMEM,
 * HX_E_NOSPACE (beyond HX_SIM_FILE_MAX): nothing changed. */
int hx_sim_file_write(struct hx_sim_pool *p, struct hx_sim_file *f, struct hx_rng *r, uint64_t off, const void *buf,
                      size_t len);
void hx_sim_file_flush(struct hx_sim_file *f);
void hx_sim_file_cut(struct hx_sim_file *f, size_t len); /* what is behind LEN goes, and is not written any more */
/* A flush that fails: each dirty sector reached the medium or is stuck. */
int hx_sim_file_fail(struct hx_sim_file *f, struct hx_rng *r);
void hx_sim_file_reread(struct hx_sim_file *f); /* reads show the medium where sectors are stuck */
struct hx_sim_survival {
    uint64_t kept, lost; /* sectors */
};
/* Power loss: every dirty sector is kept or lost; TORN: one by one or from some point on, else all alike.  Then all
 * is durable. */
void hx_sim_file_survive(struct hx_sim_file *f, struct hx_rng *r, bool torn, struct hx_sim_survival *count);
/* A copy of what is on the medium, all of it durable.  HX_E_NOMEM. */
int hx_sim_file_image(struct hx_sim_pool *p, const struct hx_sim_file *f, struct hx_sim_file *ret);

#endif
