/*
 * work_private.h - what the files of the programs share.
 *
 * work.c        lives of programs: pauses, barriers, fences, the end
 * work_run.c    one operation on the filesystem, judged against the model
 * work_xattr.c  the same for extended attributes that are read
 * work_plan.c   what programs do: the files and names of ordinary users
 * work_db.c     what programs do: databases, logs, saving, filling up
 * work_walk.c   the whole tree against the model
 */
#ifndef HX_SIM_WORK_PRIVATE_H
#define HX_SIM_WORK_PRIVATE_H

#include "hexad/assert.h"
#include "hexad/err.h"
#include "work.h"

#define HX_WORK_HANDLES 4u
#define HX_WORK_BUF (1u << 20)
#define HX_WORK_SLOTS_MAX 18u /* programs, and the two of the mount itself */

enum hx_prog_kind {
    HX_PROG_WRITER = 0, HX_PROG_READER, HX_PROG_CHURN, HX_PROG_LISTER, HX_PROG_STIRRER, HX_PROG_JOURNAL, HX_PROG_WAL,
    HX_PROG_SAVER, HX_PROG_FILLER, HX_PROG_KINDS,
    HX_PROG_MOUNT, HX_PROG_REAPER, HX_PROG_WALKER /* the mount's own */
};
struct hx_prog {
    struct hx_op op;         /* one under way */
    struct hx_work *w;
    enum hx_prog_kind kind;
    uint32_t number;
    struct hx_rng rng;
    uint64_t next_us;        /* begins an operation then */
    bool busy, stopped, synced;
    bool judged;             /* run has compared the answer and accepted it */
    struct hx_act act;
    int rc;                  /* of the last operation, as answered */
    struct hx_fs_attr attr;  /* that it gave */
    struct hx_lsn cover;     /* CPL of the last change that the barrier covers */
    struct hx_lsn promise;   /* LSN that it waits for */
    /* the program's own memory */
    uint64_t dir, h[HX_WORK_HANDLES]; /* inodes it holds; 0: none */
    uint64_t got;            /* held by the last answer, and not taken yet */
    uint64_t drops[8];       /* to be forgotten when the next operation has begun */
    unsigned drop_count;
    unsigned opening, phase, i, n;
    uint32_t name;
    uint64_t off;
    uint64_t serial, born, cookie; /* listing */
    unsigned after_fence;    /* operations that it began after a fence */
};
struct hx_walk;
struct hx_work {
    struct hx_sim *s;
    struct hx_work_host host;
    struct hx_pager *pager;
    struct hx_fs *fs;        /* owned */
    struct hx_tree *tree;    /* owned */
    struct hx_epoch epoch;
    uint32_t client;
    struct hx_prog at[HX_WORK_SLOTS_MAX];
    unsigned count;          /* programs, the mount's own ones after them */
    struct hx_prog *mount, *reaper, *walker;
    struct hx_prog *lister;  /* who lists a directory: one at a time, entries are marked */
    struct hx_walk *walk;    /* owned */
    bool mounted, gave_up, fenced, draining, sync, compare, reap_all;
    bool changed;            /* this mount has accepted a change */
    uint64_t burst, calm_until_us; /* operations that are left of a burst; the next one begins then */
    uint64_t listings, noted_lsn, looked_lsn, pages_max, file_pages_max, write_max;
    struct hx_work_stats stats;
    struct hx_rng rng;
    uint8_t *buf;            /* owned: HX_WORK_BUF */
};

/* work.c */
void hx_work_begin(struct hx_prog *p); /* p->act, now */
void hx_work_wrong(struct hx_prog *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Forgets it, once the operation that is being planned has begun. */
void hx_work_drop(struct hx_prog *p, unsigned handle);
void hx_work_let_go(struct hx_prog *p, uint64_t ino);  /* the same for what is in no handle */
struct hx_fs_who hx_work_who(struct hx_prog *p);

/* work_run.c, work_xattr.c: each runs p->act and judges it; MISS, ROOM, GROW: nothing happened */
bool hx_work_must_wait(int rc);
bool hx_work_is_failure(int rc); /* nobody predicts it, and it is no lie */
int hx_work_run(struct hx_prog *p);
bool hx_work_judge(struct hx_prog *p, int rc); /* RC is final: is it what the model says?  True: it is 0, and rightly */
int hx_work_lookup(struct hx_prog *p);
int hx_work_getattr(struct hx_prog *p);
int hx_work_read(struct hx_prog *p);
int hx_work_seek(struct hx_prog *p);
int hx_work_readlink(struct hx_prog *p);
int hx_work_xget(struct hx_prog *p);
int hx_work_xlist(struct hx_prog *p);
int hx_work_list(struct hx_prog *p); /* p->cookie: where to go on; 0: the end */

/* work_plan.c, work_db.c: fill in p->act from how the last one went */
void hx_plan_next(struct hx_prog *p);
void hx_plan_act(struct hx_prog *p, enum hx_act_kind kind, uint64_t ino);
void hx_plan_name(struct hx_prog *p, enum hx_act_kind kind, uint64_t dir, uint32_t name);
void hx_plan_write(struct hx_prog *p, uint64_t ino, uint64_t off, uint64_t len);
void hx_plan_fsync(struct hx_prog *p);
/* Opens NAME in the program's directory as handle H: creates it, or looks it up.  True: it is there, nothing
 * planned. */
bool hx_plan_open(struct hx_prog *p, unsigned h, uint32_t name);
void hx_plan_journal(struct hx_prog *p);
void hx_plan_wal(struct hx_prog *p);
void hx_plan_saver(struct hx_prog *p);
void hx_plan_filler(struct hx_prog *p);

/* work_walk.c */
int hx_walk_run(struct hx_prog *p);
void hx_walk_free(struct hx_walk *k);

#endif
