/*
 * sim.h - the simulator: one process, one thread, virtual time; the production code of core, store and fs, and
 * faults.
 *
 * A world is made from one number, the seed.  It has segment servers (hexad/node.h) over faulty disks, clients
 * (hexad/session.h with a filesystem and programs on it) and a network between them.  Everything happens in
 * events that a queue
 * orders by virtual time; each event is folded into the trace hash, so two runs of a seed can be compared by
 * one number.
 *
 * Who does what:
 *   opts.c    draws the options of a seed          net.c     messages, their faults, connections
 *   rng.c     the only source of chance            server.c  a segment server: its queue, batches, crashes
 *   queue.c   events by time                       client.c  a client: session, filesystem, pump; crash, freeze, thaw
 *   disk.c    the faulty disk                      work.c    programs on a mount; tree.c their model of the
 * filesystem
 *   oracle.c  the official log, every version of   faults.c  when which fault happens, within what is promised
 *             every page; invariants               world.c   phases: safety, heal, liveness, end
 *
 * Invariants of the simulator itself:
 *   S1 no clock, no I/O but the trace, no randomness, no address enters a decision: same seed, same hash.
 *   S2 chance is drawn from named streams (hx_rng_fork), so that taking one kind of fault away (shrinking) leaves
 *      the draws of the others as they were.
 *   S3 a verdict, once given, stays: the first broken invariant is the one reported.
 */
#ifndef HX_SIM_H
#define HX_SIM_H

#include "hexad/geometry.h"
#include "hexad/node.h"
#include "hexad/types.h"

/* ---- chance ---- */
struct hx_rng {
    uint64_t s[2];
};
struct hx_rng hx_rng_fork(uint64_t seed, const char *stream, uint64_t number); /* its own stream */
uint64_t hx_rng_u64(struct hx_rng *r);
uint64_t hx_rng_below(struct hx_rng *r, uint64_t n);             /* 0 .. n - 1; n 0: 0 */
uint64_t hx_rng_range(struct hx_rng *r, uint64_t lo, uint64_t hi); /* both included */
bool hx_rng_ppm(struct hx_rng *r, uint64_t ppm);                 /* true in ppm of 1,000,000; ppm 0 draws nothing */

/* ---- options: drawn from the seed; --set NAME=VALUE overrides ---- */
#define HX_SIM_OPTS(X)                                                                                               \
    /* the world */                                                                                                  \
    X(servers, "segment servers, 6 or more, two or more in each of three zones")                                     \
    X(clients, "clients that may mount the volume, one after the other or against each other")                       \
    X(repair_ms, "members silent for this long are replaced by servers that have a place to spare; 0: never")        \
    X(programs, "programs on a mount, each with one operation under way")                                            \
    X(ops, "operations that programs begin in the safety phase, over all clients")                                   \
    X(pg_pages, "pages in a protection group, a power of two")                                                       \
    X(pgs_max, "protection groups to which the workload lets the volume grow")                                       \
    X(lal, "LSNs that may be allocated beyond the VDL")                                                              \
    X(window_kb, "frames that not all members have, KiB")                                                            \
    X(cache_kb, "page cache of a client, KiB")                                                                       \
    X(log_kb, "size at which a segment's log file is closed, KiB")                                                   \
    X(gossip_ms, "gossip interval of the servers")                                                                   \
    X(scrub_s, "everything a server stores is read again in this time; 0: never (by --set only)")                     \
    X(think_us, "pause of a program between operations, mean; they come in bursts")                                  \
    X(fsync_pct, "of operations that are barriers")                                                                  \
    X(big_pct, "of writes that are large")                                                                           \
    X(big_kb, "how large these may be, and those that fill files, KiB")                                              \
    X(small_pct, "of the other writes that are within a few hundred bytes")                                          \
    X(dense, "1: what is written does not compress, so most frames are stored as they are")                         \
    X(meta_pct, "of operations that change names rather than contents")                                              \
    /* the network; ppm is per message */                                                                            \
    X(net_delay_us, "usual delay, mean")                                                                             \
    X(net_jitter_us, "spread of it: reorders")                                                                       \
    X(net_late_ppm, "delayed up to 10 s")                                                                            \
    X(net_loss_ppm, "request or answer lost")                                                                        \
    X(net_dup_ppm, "request delivered twice")                                                                        \
    X(net_replay_ppm, "request delivered again seconds to minutes later")                                            \
    X(net_cut_ppm, "body cut short")                                                                                 \
    /* processes, partitions; ppm is per 100 ms of virtual time, and per operation */                                \
    X(part_ppm, "a server, a direction, or a zone is cut off for a while")                                           \
    X(crash_ppm, "a server loses power and comes back")                                                              \
    X(crash_call_ppm, "a server loses power at one of its next writes or flushes, also while it starts")             \
    X(power_ppm, "all servers lose power at once")                                                                   \
    X(slow_ppm, "a server or its disk becomes 100 times slower for a while")                                         \
    X(client_crash_ppm, "the mount dies; another or the same client opens the volume")                               \
    X(freeze_ppm, "the mount is stopped for 1 to 60 s; another may take over")                                       \
    X(rival_ppm, "a client opens the volume although another lives")                                                 \
    X(drain_ppm, "in fleets that heal: a server is to be emptied, or to stay after all (by --set only)")             \
    X(degrade_ppm, "in fleets that heal: a zone is given up, or taken back (by --set only)")                         \
    X(clock_ppm, "a host's wall clock jumps by up to a day")                                                         \
    X(move_ppm, "a member that may be well is to give its place to another server, or that is taken back")             \
    X(wipe_ppm, "a victim comes back with an empty disk")                                                            \
    X(rollback_ppm, "a victim comes back with an older image of its disk")                                           \
    X(victims, "servers whose disks may lie or forget: at most AZ + 1")                                              \
    /* disks; ppm is per call; those after lie_ only on victims */                                                   \
    X(eio_read_ppm, "read fails")                                                                                    \
    X(eio_write_ppm, "write fails, some of it may be there")                                                         \
    X(eio_flush_ppm, "flush fails; what was written since may be gone although it can still be read")                \
    X(full_ppm, "as those above: a server's disk is full for a while")                                               \
    X(beside_us, "time that a flush beside takes, up to 16 times that; 0: the disk has no such calls")               \
    X(discard_pct, "of flushes that make it durable that a file was discarded")                                      \
    X(torn_pct, "of power losses that keep unflushed 512 byte sectors at random (else: all or none)")                \
    X(lie_flush_ppm, "flush says yes and does nothing")                                                              \
    X(lie_rot_ppm, "a bit of a written block flips")                                                                 \
    X(lie_decay_ppm, "like crash_ppm: what victims stored long ago goes bad (by --set only)")               \
    X(lie_misplace_ppm, "a write lands at another place of the disk")                                                \
    X(lie_stale_ppm, "a write is lost, the older content stays")                                                      \
    X(lie_aim_ppm, "like crash_ppm: the same entry of the log goes bad on several victims, just before an opening")    \
    X(lie_aim_how, "always this one of the aimed lies (enum hx_sim_hurt, from 1; by --set only)")
enum hx_sim_opt {
#define X(name, text) HX_OPT_##name,
    HX_SIM_OPTS(X)
#undef X
    HX_SIM_OPT_COUNT
};
struct hx_sim_opts {
    uint64_t seed;
    uint64_t v[HX_SIM_OPT_COUNT];
};
extern const char *const hx_sim_opt_name[HX_SIM_OPT_COUNT], *const hx_sim_opt_text[HX_SIM_OPT_COUNT];
void hx_sim_opts_draw(struct hx_sim_opts *o, uint64_t seed);
int hx_sim_opts_set(struct hx_sim_opts *o, const char *name_value); /* "loss=0"; HX_E_INVAL */
#define HX_OPT(s, name) ((s)->opts.v[HX_OPT_##name])
/* "name=value name=value ..." of all; returns as snprintf. */
int hx_sim_opts_print(const struct hx_sim_opts *o, char *text, size_t cap);

/* ---- events ---- */
struct hx_sim;
struct hx_sim_event {
    uint64_t at_us, seq;
    void (*run)(struct hx_sim *s, void *ctx, uint64_t arg);
    void *ctx; /* borrowed: whoever frees it drops its events first, or lets ARG tell that it is out of date */
    uint64_t arg;
};
struct hx_sim_queue {
    struct hx_sim_event *heap; /* owned */
    size_t count, cap;
    uint64_t seq;
};
void hx_sim_at(struct hx_sim *s, uint64_t at_us, void (*run)(struct hx_sim *, void *, uint64_t), void *ctx,
               uint64_t arg);

/* ---- verdict and trace ---- */
enum hx_sim_exit { HX_SIM_OK = 0, HX_SIM_UNSAFE = 1, HX_SIM_STUCK = 2, HX_SIM_HARNESS = 3 };
struct hx_sim_verdict {
    enum hx_sim_exit exit;
    char invariant[8]; /* "I1" ... "I15", "FS", "" for none */
    char text[512];
    uint64_t at_us;
};
/* An invariant is broken: INVARIANT by its name in doc/PROTOCOL.md.  The first one stays; the world stops soon. */
void hx_sim_broken(struct hx_sim *s, const char *invariant, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void hx_sim_stuck(struct hx_sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void hx_sim_harness(struct hx_sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What happened: folded into the hash always, printed with --trace.  WHO: "c1" client, "s3" server, "" none. */
#define HX_SIM_NOTES(X)                                                                                              \
    X(SEND) X(DELIVER) X(LOSE) X(ANSWER) X(FAIL) X(TICK) X(FLUSH) X(CRASH) X(START) X(WIPE) X(ROLLBACK)               \
    X(PARTITION) X(HEAL) X(FREEZE) X(THAW) X(OPENING) X(OPEN) X(FENCED) X(DIE) X(OP) X(DONE) X(BARRIER) X(GROW)       \
    X(FAULT) X(PHASE) X(CHECK) X(TURN)
enum hx_sim_note {
#define X(name) HX_NOTE_##name,
    HX_SIM_NOTES(X)
#undef X
    HX_NOTE_COUNT
};
void hx_sim_note(struct hx_sim *s, enum hx_sim_note what, char kind, uint32_t who, uint64_t a, uint64_t b, uint64_t c);
extern const char *const hx_sim_note_name[HX_NOTE_COUNT];

#define HX_SIM_VOLUME "vol0"

/* For tests: instead of the programs that the options ask for, one that does what it is told, mount after mount. */
struct hx_prog;
struct hx_sim_script {
    void *ctx;
    bool (*plan)(void *ctx, struct hx_prog *p); /* fills in p->act (work_private.h); false: nothing more */
};

/* ---- the parts (each in its own file) ---- */
struct hx_sim_disk;   /* disk.h */
struct hx_oracle;     /* oracle.h */
struct hx_journal;    /* work.h: every operation that any mount accepted */
struct hx_work;       /* work.h: the programs of one mount */
struct hx_sim_server; /* world.h */
struct hx_sim_client; /* world.h */

enum hx_sim_phase { HX_PHASE_SAFETY = 0, HX_PHASE_LIVENESS, HX_PHASE_END };
struct hx_sim {
    struct hx_sim_opts opts;
    struct hx_sim_queue queue;
    uint64_t now_us;           /* virtual, since the start; clocks of hosts are derived */
    uint64_t events;           /* so far */
    uint64_t hash;
    void (*trace)(void *ctx, const char *line); /* NULL: no trace */
    void *trace_ctx;
    bool story; /* trace only what a person would tell: lives, deaths, openings, partitions */
    enum hx_sim_phase phase;
    struct hx_sim_verdict verdict;
    struct hx_sim_server *servers; /* owned */
    struct hx_sim_client *clients; /* owned */
    uint32_t server_count, client_count;
    struct hx_geometry servers_of; /* all servers as a client is configured: names, zones, urls */
    struct hx_oracle *oracle;  /* owned */
    struct hx_journal *journal; /* owned */
    struct hx_uuid volume;
    struct hx_create *create;  /* owned; while the volume is made */
    struct hx_sim_net *net;    /* owned */
    struct hx_sim_faults *faults; /* owned */
    const struct hx_sim_script *script; /* borrowed; NULL: programs as drawn */
    uint64_t ops_begun;
    uint64_t counts[HX_NOTE_COUNT];
};
static inline uint64_t hx_sim_ms(const struct hx_sim *s)
{
    return 1000000 + s->now_us / 1000; /* monotonic clocks do not begin at 0 */
}
static inline bool hx_sim_over(const struct hx_sim *s)
{
    return s->verdict.exit != HX_SIM_OK;
}
/* A whole run of a zeroed struct with trace, trace_ctx and opts set; the verdict is in it.  Fini frees the rest. */
void hx_sim_run(struct hx_sim *s);
/* Or by hand: the servers and the volume are made, no faults, nobody opens it (hx_sim_client_start); HX_E_NOMEM.  Then
 * one event after the other; false: none is left, or there is a verdict. */
int hx_sim_begin(struct hx_sim *s);
bool hx_sim_step(struct hx_sim *s);
void hx_sim_fini(struct hx_sim *s);

#endif
