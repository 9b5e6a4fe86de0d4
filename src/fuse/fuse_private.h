/*
 * fuse_private.h - what the files of src/fuse share.  The way of a request is told in README.
 */
#ifndef HX_FUSE_PRIVATE_H
#define HX_FUSE_PRIVATE_H

#define FUSE_USE_VERSION 314

#include "hexad/ahead.h"
#include "hexad/fs.h"
#include "hexad/vol.h"

#include <fuse_lowlevel.h>
#include <limits.h>

#define HX_FUSE_IO_MAX (1u << 20)        /* bytes of one read or write */
#define HX_FUSE_READAHEAD_KIB 256u
#define HX_FUSE_AHEAD (UINT64_C(8) << 20) /* bytes that a sequential reader is kept ahead of */
#define HX_FUSE_AHEAD_MOST (UINT64_C(64) << 20)
#define HX_FUSE_AHEAD_SHARE 8u           /* of the cache, for all: half of what may be in flight (K4) */
#define HX_FUSE_BATCH 32u                /* requests taken before the loop gets its turn again */
#define HX_FUSE_PARKED_MAX (64u << 20)   /* bytes of parked requests in memory; above: spill.c */
#define HX_FUSE_SPILL_MAX (UINT64_C(1) << 30) /* and beyond that the device is not read */
#define HX_FUSE_TIMEOUT_S 3600.0         /* default of the kernel's keeping names and attributes */
#define HX_FUSE_BACKGROUND 64
#define HX_FUSE_FULL_MS 3000u            /* a wait for full disks to have room again */
#define HX_FUSE_NOTE_MS 20
#define HX_FUSE_SIGNAL_MS 500u           /* how often a waiting request that got a signal is looked at again */

/* ---- options.c ---- */
struct hx_mount_opts {
    char volume[HX_NAME_MAX + 1];
    char dir[PATH_MAX];       /* canonical */
    const char *config;       /* canonical path or NULL; owned */
    char fuse_opts[1024];     /* for libfuse, comma-separated, with what is always set */
    uint64_t cache_bytes, window_bytes, ahead_bytes;
    double attr_s, entry_s, negative_s; /* how long the kernel keeps attributes, names, absent names */
    uint32_t soft_ms;
    uint64_t repair_after_ms, shrink_after_ms; /* 0: default; or HX_HEAL_NEVER */
    uint32_t repair_rate;     /* bytes a second; 0: what the servers allow */
    bool helper;              /* called as mount.hexad: exit codes of mount(8) */
    bool foreground, debug, read_only, takeover, noatime, strictatime, allow_other, fake, remount;
    const char *kernels_word; /* a word that only a remount may bring, or NULL */
};
/* 0, or an exit code (complained), or -1 for --help. */
int hx_mount_parse(int argc, char **argv, struct hx_mount_opts *ret);
void hx_mount_opts_fini(struct hx_mount_opts *o);
/* The helper's exit codes are mount(8)'s: 1 usage, 2 system, 32 failed. */
int hx_mount_exit(const struct hx_mount_opts *o, int err);

/* ---- remount.c: `mount -o remount,...` of what is mounted ---- */
int hx_remount(const struct hx_mount_opts *o); /* exit code; complained */

/* ---- place.c: the mount table, and who holds a mount ---- */
struct hx_place {
    bool mounted;
    unsigned major, minor;
    uid_t uid;                /* who mounted it: user_id= of the mount */
    char source[128], type[64];
};
int hx_place_find(const char *dir, struct hx_place *ret); /* top-most mount on exactly DIR */
bool hx_place_has_device(unsigned major, unsigned minor); /* anywhere in the table */
/* DIR as in the mount table, without asking the filesystem that may be mounted there. */
int hx_place_canonical(const char *dir, char path[PATH_MAX], char why[HX_WHY_MAX]);
/* Lists up to MAX processes that hold DIR into TEXT ("812 sqlite3 (/srv/db/app.db), ..."); how many there are. */
unsigned hx_place_holders(const char *dir, const struct hx_place *place, unsigned max, char *text, size_t cap);

/* ---- runfile.c: how `hexad umount` knows that a mount process has gone ---- */
struct hx_runfile {
    int fd;
    char path[PATH_MAX];
    char whose[HX_NAME_MAX + 16]; /* volume and a sum of its servers: other fleets have volumes of this name, too */
    bool closing;             /* unmounted: the process only waits until everything is durable */
    bool read_only;           /* the volume was opened so: no remount can change that */
};
int hx_runfile_hold(struct hx_runfile *f, const struct hx_place *place);
void hx_runfile_say(struct hx_runfile *f, const char *text); /* one line about how far the end is */
void hx_runfile_close(struct hx_runfile *f); /* unmounted: gives up the device number's name */
void hx_runfile_drop(struct hx_runfile *f);
/* Of somebody else's mount: a descriptor to lock and read, or HX_E_NOENT. */
int hx_runfile_open(const struct hx_place *place, int *ret_fd);
bool hx_runfile_read_only(const struct hx_place *place); /* its process opened the volume read-only */
/* Waits for an earlier mount of WHOSE by this user that has been unmounted, while its process still makes everything
 * durable; no longer than MOST_MS (0: as long as it takes). */
void hx_runfile_wait_closing(const char *whose, uint32_t most_ms);
bool hx_runfile_alive(const struct hx_place *place); /* its process runs (false: dead, or cannot be told) */

/* ---- the mount process ---- */
struct hx_file {              /* an open file description; fh of the kernel */
    struct hx_file *next, *prev;
    uint64_t ino;
    bool writable;
    int lost;                 /* errno of bytes of a mapping that could not be written; told at the next close */
    bool mappable;            /* opened for reading and writing: may be mapped shared and writable */
    struct hx_ahead_stream ahead;
    char *text;               /* of a virtual file: what it said when it was opened; owned */
    size_t text_len;
};
struct hx_spill {             /* spill.c */
    int fd;                   /* -1: not opened yet */
    bool unusable;
    uint64_t end, used;       /* bytes */
};
struct hx_note;               /* notify.c */
#define HX_WIRE_KINDS 64u
struct hx_wire {              /* wire.c: of the request that is being handled */
    uint64_t counts[HX_WIRE_KINDS]; /* of each kind, since the mount */
    uint64_t init_unique;
    bool kills;               /* its caller may not keep set-id bits */
    bool tmpfile;             /* it is no create, but O_TMPFILE */
};
struct hx_end {               /* end.c: the volume ends earlier */
    uint64_t keep;            /* pages that are to stay; 0: all */
    uint64_t pays_since_ms;   /* it would pay since then, without a break; 0: it does not */
    uint64_t next_ms;         /* the next step is not begun before (repair-rate) */
    bool running, empty;      /* a step is under way; nothing lives beyond, and that is durable */
};
struct hx_mount {
    struct hx_mount_opts *opts;
    struct hx_client_conf conf;
    struct hx_loop *loop;
    struct hx_vol *vol;
    struct hx_fs *fs;
    struct fuse_session *se;
    struct hx_watch *watch;
    struct hx_wire wire;
    struct fuse_buf buf;      /* one for all requests; owned by libfuse's rules: free(mem) */
    struct hx_timer *signal_timer;
    struct hx_timer *full_timer;
    struct hx_req *kept;      /* requests that wait, or are answered just now */
    struct hx_req *signalled; /* parked requests whose process got a signal */
    struct hx_file *files;
    struct hx_ahead ahead;
    struct hx_spill spill;
    struct hx_note *note;
    struct hx_runfile run;
    uint64_t requests, parked_bytes, noted_lsn;
    int exit_err;             /* why the process ends; 0 in order */
    unsigned stop_signals;
    pid_t unmounter;          /* child that unmounts, or 0 */
    struct hx_timer *unmount_timer;
    bool mounted, answered, reap_all, reaping, gone;
    struct hx_end end;        /* end.c */
    bool flushes;             /* the kernel waits for pages that it writes back before it drops them */
};

/* ---- request.c ---- */
struct hx_req {
    struct hx_op op;
    struct hx_mount *m;
    fuse_req_t fr;            /* NULL: our own work */
    int (*run)(struct hx_req *r);     /* 0: replied.  MISS, ROOM, GROW: wait, then again.  Others: the reply */
    void (*durable)(struct hx_req *r); /* waits for an LSN: replies */
    void (*failed)(struct hx_mount *m, int err); /* our own work */
    struct hx_req *next_signalled;
    struct hx_req *kept_next, *kept_prev;
    uint64_t kept_ms;         /* since when it waits */
    bool heap, interrupted, plus;
    bool outside;    /* kept while the kernel is asked for something (hx_req_hold) */
    bool kills;      /* as struct hx_wire's */
    bool write_back; /* of a mapped page: the kernel will not try again; what it shows must be what is stored */
    struct hx_fs_who who;
    uint64_t ino, ino2, off, len, done;
    const char *name, *name2; /* borrowed from libfuse's buffer; the kept copy owns them */
    const void *data;
    size_t data_len, kept_bytes;
    void *spilled;   /* where the kept copy has its data, when that is not behind itself */
    size_t spilled_len;
    uint64_t spilled_at;
    struct hx_fs_attr attr;
    unsigned mask;
    int flags;
    struct hx_file *file;
};
extern const struct hx_op_calls hx_req_calls;
struct hx_req hx_req_of(fuse_req_t fr, uint64_t ino, int (*run)(struct hx_req *r));
void hx_req_start(struct hx_req *r); /* r may be on the stack: it is copied if it must wait */
/* For a run or instead of it: replies through r->durable once everything logged so far is durable.  Gives what
 * run gives. */
int hx_req_when_durable(struct hx_req *r, void (*durable)(struct hx_req *r));
/* Keeps it until something outside of the volume has happened: then hx_req_resume starts it, once.  NULL: no memory. */
struct hx_req *hx_req_hold(struct hx_req *r);
void hx_req_resume(struct hx_req *r);
void hx_req_again(void *ctx, struct hx_parked *op); /* hx_vol_cfg.run */
int hx_req_errno(const struct hx_req *r, int err);
bool hx_req_stranger(struct hx_req *r); /* for who.stranger: to r->ino's group */
void hx_req_signals(void *ctx); /* timer */
void hx_req_full(void *ctx);    /* timer */

/* ---- ops ---- */
struct hx_mount *hx_mount_of(fuse_req_t fr);
void hx_ops_name(struct fuse_lowlevel_ops *ops);
void hx_ops_inode(struct fuse_lowlevel_ops *ops);
void hx_ops_data(struct fuse_lowlevel_ops *ops);
void hx_ops_dir(struct fuse_lowlevel_ops *ops);
void hx_ops_xattr(struct fuse_lowlevel_ops *ops);
void hx_touch_atime(struct hx_req *r); /* after an answer that has read r->ino */
void hx_stat_fill(const struct hx_fs_attr *a, struct stat *st);
/* The error when the kernel did not want the answer any more (interrupted): then what it counts was not taken. */
int hx_reply_attr(struct hx_req *r, const struct hx_fs_attr *a);
int hx_reply_entry(struct hx_req *r, const struct hx_fs_attr *a);
struct hx_file *hx_file_new(struct hx_mount *m, uint64_t ino, int flags); /* of open(2) */
void hx_file_free(struct hx_mount *m, struct hx_file *f);
void hx_usage(struct hx_mount *m, struct hx_vol_usage *ret);

/* ---- virtual.c: .hexad in the root ---- */
#define HX_VIRT_BASE (UINT64_C(1) << 62)
static inline bool hx_virt_is(uint64_t ino)
{
    return ino >= HX_VIRT_BASE;
}
bool hx_virt_is_name(uint64_t dir, const char *name); /* ".hexad" in the root: reserved */
void hx_virt_lookup(fuse_req_t fr, uint64_t dir, const char *name);
void hx_virt_getattr(fuse_req_t fr, uint64_t ino);
void hx_virt_open(fuse_req_t fr, uint64_t ino, struct fuse_file_info *fi);
void hx_virt_read(fuse_req_t fr, const struct hx_file *f, size_t size, off_t off);
void hx_virt_readdir(fuse_req_t fr, uint64_t ino, size_t size, off_t off, bool plus);

/* ---- device.c ---- */
int hx_device_mount(struct hx_mount *m);
void hx_device_watch(struct hx_mount *m, bool on);
void hx_device_end(struct hx_mount *m); /* the kernel's side has gone, or will not come back */

/* ---- wire.c: what libfuse does not pass on ---- */
int hx_wire_take(struct fuse_session *se); /* mounted: from now on its bytes go through wire.c */
void hx_wire_look(struct hx_wire *w, struct fuse_buf *b);
extern const char *const hx_wire_kinds[HX_WIRE_KINDS];

/* ---- notify.c: tells the kernel to forget cached bytes, from a thread of its own ---- */
int hx_note_new(struct hx_loop *l, struct fuse_session *se, struct hx_note **ret);
bool hx_note_ending(struct hx_note *n); /* no more is told to the kernel; is it still being told something? */
void hx_note_free(struct hx_note *n);
void hx_note_inode(struct hx_note *n, uint64_t ino, uint64_t off, uint64_t len); /* len 0: all */
/* The same (len 0: to the end), and TOLD is called when it is done (also when it failed).  What mappings have changed
 * there comes as writes before. */
int hx_note_drop(struct hx_note *n, uint64_t ino, uint64_t off, uint64_t len, void (*told)(void *ctx), void *ctx);

/* ---- spill.c: bytes of writes that wait, in a file ---- */
void hx_spill_init(struct hx_spill *s, const char *mounted_on);
/* A copy of DATA, or NULL: there is no room for it. */
void *hx_spill_keep(struct hx_spill *s, const void *data, size_t len, uint64_t *ret_at);
void hx_spill_drop(struct hx_spill *s, void *p, size_t len, uint64_t at);
void hx_spill_fini(struct hx_spill *s);

/* ---- mount.c ---- */
void hx_mount_answered(struct hx_mount *m);
void hx_mount_stop(struct hx_mount *m, int err);

/* ---- end.c: the volume ends earlier when files have gone ---- */
void hx_end_look(struct hx_mount *m, const struct hx_fs_statfs *s); /* how much is free now */
void hx_end_idle(struct hx_mount *m);
/* Somebody wants pages: true when those that were closed can be had again. */
bool hx_end_reopen(struct hx_mount *m);

#endif
