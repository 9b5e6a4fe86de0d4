/*
 * demo.h - `hexad demo`: six real segment servers, a volume and a mount under one directory; private to src/admin.
 *
 * Processes:
 *   demo      one thread; starts, watches, serves DIR/control, cleans up
 *   watcher   forked first, session of its own; holds a socket whose other end only the demo holds, and a pidfd of
 *             every process; when the demo dies without a word it cleans up in its place (demo_watch.c)
 *   a1..c2    hexad-segmentd         }  sessions of their own, so that Ctrl-C reaches the demo first;
 *   mount     hexad mount -f         }  PR_SET_PDEATHSIG as a second line of defence
 *   COMMAND   in the demo's own process group, so that it has the terminal
 *
 * Invariants:
 *   D1 Signals go to a pidfd, or to a child that has not been reaped: never to a number that may be another's by now.
 *   D2 Only files of the list in demo_dir.c are ever removed, never across a mount point, DIR itself only if made here.
 *   D3 What was kept once is never removed: a forgotten --keep must not cost anybody data.
 *   D4 One demo per directory: DIR/lock, held by the demo and by its watcher until either has cleaned up.
 */
#ifndef HEXAD_ADMIN_DEMO_H
#define HEXAD_ADMIN_DEMO_H

#include "admin.h"

#include <limits.h>
#include <poll.h>
#include <sys/types.h>

#define DEMO_SERVERS 6 /* a demo is this: two servers in each of three zones */
#define DEMO_VOLUME "vol0"
#define DEMO_DEFAULT_DIR "hexad-demo"
#define DEMO_START_MS 30000u /* until servers and mount must have answered */

enum demo_proc_state { DEMO_PROC_NONE = 0, DEMO_PROC_RUNNING, DEMO_PROC_STOPPED, DEMO_PROC_DEAD };
/* One child.  Zeroed: none.  Edges: spawn NONE,DEAD -> RUNNING; reap RUNNING <-> STOPPED, both -> DEAD. */
struct demo_proc {
    char name[HX_NAME_MAX + 1];
    enum demo_proc_state state;
    pid_t pid;
    int pidfd;  /* while RUNNING or STOPPED */
    int status; /* of waitpid, when DEAD */
    bool told;  /* its end was wanted, or has been reported */
};
struct demo_server {
    struct demo_proc proc;
    const char *zone;
    int port;
    int ready_fd; /* the port comes out of it; -1: ready */
};
struct demo {
    /* what was asked for */
    char dir[PATH_MAX], mnt[PATH_MAX]; /* absolute */
    const char *shown;                 /* DIR as the user wrote it, for messages */
    const char *mount_options;
    char **command;                    /* NULL: stay in the foreground */
    uint64_t pg_bytes;
    bool keep, json;
    /* what was found and made */
    bool made_dir;   /* DIR itself is ours: made by this demo, or by the one that kept it */
    bool made_files; /* what is in it is */
    bool reopened;   /* it was kept before */
    struct demo_server servers[DEMO_SERVERS];
    struct demo_proc mount, command_proc, watcher, helper;
    int dir_fd, lock_fd, signal_fd, watch_fd, control_fd, notify_fd;
    char notify_name[64];              /* NOTIFY_SOCKET of the mount */
    bool mount_ready;
    uint64_t started_ms;
    int stop_signal;                   /* that asked us to end; 0: none */
};

/* ---- demo_dir.c ---- */
int demo_dir_open(struct demo *d, bool temporary); /* makes or reopens it, takes the lock (D4); complains */
int demo_dir_layout(struct demo *d);               /* what is in it; from here on the watcher must be there */
int demo_dir_certificates(struct demo *d);
int demo_dir_configs(struct demo *d);         /* once the ports are known */
void demo_dir_remove(int dir_fd, const char *dir, bool made_dir); /* D2 */
int demo_dir_socket(int dir_fd, char path[108]); /* a path to DIR/control that fits into a socket address */
void demo_dir_log_tail(struct demo *d, const char *name); /* last lines of its log, to stderr */
extern const char *const demo_names[DEMO_SERVERS];
extern const char *const demo_zones[DEMO_SERVERS];

/* ---- demo_process.c ---- */
struct demo_spawn {
    const char *file;     /* program; PATH is searched without a slash */
    char *const *argv;
    const char *log;      /* name below DIR/log; NULL: our own output */
    const char *cwd;      /* NULL: ours */
    bool own_session;
    int keep_fd;          /* becomes descriptor 3 of the child; -1: none */
    const char *notify;   /* NOTIFY_SOCKET, or NULL */
};
int demo_process_init(struct demo *d); /* signals */
int demo_process_spawn(struct demo *d, struct demo_proc *p, const char *name, const struct demo_spawn *s);
/* Sends; false when there is no such process any more (D1). */
bool demo_process_signal(struct demo_proc *p, int signo);
/* Waits until it has ended; false after LIMIT_MS. */
bool demo_process_wait(struct demo *d, struct demo_proc *p, uint64_t limit_ms);
bool demo_process_alive(const struct demo_proc *p);
/*
 * The one place that waits: signals and children are taken care of in here, FDS are the caller's.  0 or more as poll;
 * a stop signal also wakes it.  demo_process_reap: what has happened to children, without waiting.
 */
int demo_process_poll(struct demo *d, struct pollfd *fds, unsigned count, uint64_t limit_ms);
void demo_process_reap(struct demo *d);
/* Ends what COMMAND left running (its orphans come to us). */
void demo_process_end_orphans(struct demo *d);

/* ---- demo_server.c ---- */
int demo_server_start_all(struct demo *d);   /* those that do not run; returns when they listen; complains */
int demo_server_end_all(struct demo *d);     /* in order, at the end */

/* ---- demo_mount.c ---- */
int demo_mount_start(struct demo *d);        /* returns when the mount answers; complains */
void demo_mount_end(struct demo *d);         /* in order; by force when that takes too long */
bool demo_mount_mounted(const char *mnt);    /* in the mount table; never touches the mount itself */
void demo_mount_detach(const char *mnt);     /* lazily, whatever state it is in; waits for the unmount only */

/* ---- demo_watch.c ---- */
int demo_watch_start(struct demo *d);
void demo_watch_add(struct demo *d, const struct demo_proc *p);
void demo_watch_end(struct demo *d);         /* everything has been cleaned up: go */

/* ---- demo_control.c ---- */
int demo_control_open(struct demo *d);
void demo_control_serve(struct demo *d);     /* one waiting connection */
/* ---- demo_client.c ---- */
/* kill|stop|heal|status; argv[0] is that word, DIR what stood before it, or NULL. */
int demo_client_main(const char *dir, bool json, int argc, char **argv);
bool demo_client_knows(const char *word);

#endif
