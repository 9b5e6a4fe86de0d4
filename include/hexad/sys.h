/*
 * sys.h - the machine below us: clocks, randomness, logging, files of a segment server, processes, words
 * for people.
 *
 * Only this layer and net touch the outside.  Pure layers (base core store fs) never call anything here; sys
 * itself never decides anything about volumes.  errno is translated here, where the system call is made.
 * Configuration is in hexad/conf.h, command-line options in hexad/args.h.
 * Threads: clocks, randomness, log and complain may be called from any; the rest is for one thread.
 */
#ifndef HEXAD_SYS_H
#define HEXAD_SYS_H

#include "hexad/disk.h"
#include "hexad/err.h"
#include "hexad/types.h"

#include <pthread.h>
#include <stdarg.h>

#define HX_VERSION "0.1.0"
#define HX_WHY_MAX 256 /* bytes of the WHY texts that explain a failure, NUL included */

/* ---- clock.c ---- */
uint64_t hx_clock_mono_us(void); /* since an arbitrary moment; never goes back */
uint64_t hx_clock_mono_ms(void);
uint64_t hx_clock_wall_us(void); /* since 1970; may jump: for labels only, never for decisions */
void hx_random(void *buf, size_t len); /* from the kernel; does not fail (blocks early in boot) */
struct hx_uuid hx_random_uuid(void);
uint64_t hx_random_u64(void);

/* ---- log.c: one line per event, written with one system call ---- */
enum hx_log_level { HX_LOG_ERR = 3, HX_LOG_WARN = 4, HX_LOG_NOTE = 5, HX_LOG_INFO = 6, HX_LOG_DEBUG = 7 };
enum hx_log_to { HX_LOG_STDERR = 0, HX_LOG_SYSLOG };
/* PROGRAM (copied, cut at 31 bytes) begins each line and each complaint.  Under systemd (JOURNAL_STREAM) lines on
 * stderr carry their <level>.  Before the first call: "hexad", INFO, stderr. */
void hx_log_init(const char *program, enum hx_log_to to, enum hx_log_level level);
void hx_log(enum hx_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void hx_vlog(enum hx_log_level level, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
bool hx_log_on(enum hx_log_level level);
/* Rate limit of one place: at most once per MS; the line that comes through says how many were left out. */
struct hx_log_limit {
    uint64_t next_ms, left_out;
};
bool hx_log_limit_pass(struct hx_log_limit *l, uint64_t every_ms, uint64_t *ret_left_out);
#define hx_log_every(every_ms, level, fmt, ...)                                              \
    do {                                                                                     \
        static struct hx_log_limit hx_limit_;                                                \
        uint64_t hx_left_;                                                                   \
        if (hx_log_limit_pass(&hx_limit_, (every_ms), &hx_left_)) {                          \
            if (hx_left_)                                                                    \
                hx_log((level), fmt " (%llu like this left out)", ##__VA_ARGS__,             \
                       (unsigned long long)hx_left_);                                        \
            else                                                                             \
                hx_log((level), fmt, ##__VA_ARGS__);                                         \
        }                                                                                    \
    } while (0)

/* ---- complain.c: what a person sees when something fails (three lines, interface of every program) ----
 *
 *     hexad: WHAT: text of ERR: WHY
 *     hint:  HINT, or that of the error table
 *     see:   HX0104, hexad-errors(7)
 *
 * WHY and HINT may be NULL.  One write to stderr (and, when the log goes to syslog, one line there). */
void hx_complain(int err, const char *what, const char *why, const char *hint);
/* The same three lines into BUF. */
void hx_complain_text(int err, const char *what, const char *why, const char *hint, char *buf, size_t cap);

/* Exit codes of every program. */
enum hx_exit {
    HX_EXIT_OK = 0,
    HX_EXIT_FAILED = 1,
    HX_EXIT_USAGE = 2,
    HX_EXIT_DEGRADED = 3,
    HX_EXIT_NO_WRITE = 4,  /* no write quorum */
    HX_EXIT_NO_READ = 5,   /* no read quorum, or unreachable */
    HX_EXIT_REFUSED = 6,   /* certificates or rights */
    HX_EXIT_BUSY = 7       /* busy or fenced */
};
int hx_exit_code(int err);

/* ---- text.c: words, sizes, times ---- */
/* The nearest of COUNT names within a few slips of the finger, or NULL. */
const char *hx_nearest(const char *word, const char *const *names, size_t count);
/* "64GiB", "512 B", "10MB": a whole number and a unit (B KiB MiB GiB TiB PiB, kB MB GB TB PB), which is required.
 * HX_E_INVAL; HX_E_TOOBIG when it does not fit. */
int hx_parse_size(const char *text, uint64_t *ret_bytes);
/* "250ms", "2s", "5min", "1h", "1d". */
int hx_parse_time(const char *text, uint64_t *ret_ms);
int hx_parse_u64(const char *text, uint64_t max, uint64_t *ret);
/* "9.1 GiB", "2m14s" into BUF (at least 24 bytes); returns BUF. */
char *hx_format_size(uint64_t bytes, char *buf, size_t cap);
char *hx_format_time(uint64_t ms, char *buf, size_t cap);
/* DONE bytes of TOTAL in MS: "[######....] 60%, 12 MiB of 20 MiB, 4.0 MiB/s, 2s left"; no rate while there is none. */
#define HX_PROGRESS_TEXT 128u
char *hx_format_progress(uint64_t done, uint64_t total, uint64_t ms, char buf[HX_PROGRESS_TEXT]);
/* Names of volumes, servers, zones: 1..HX_NAME_MAX letters, digits, '.', '_', '-'; not starting with '-' or '.'. */
bool hx_name_ok(const char *name);

/* ---- file.c ---- */
/* A whole small file into a NUL-terminated buffer; caller frees with free().  HX_E_TOOBIG beyond MAX bytes. */
int hx_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len);
/* Replaces PATH atomically and durably: temporary name, fsync, rename, fsync of the directory. */
int hx_file_replace(const char *path, const void *data, size_t len, unsigned mode);
int hx_fd_write_all(int fd, const void *data, size_t len); /* restarts after signals and short counts */
int hx_fd_cloexec(int fd, bool on);

/* ---- datadir.c: the directory of one segment server ----
 *
 * DATA/lock       held with flock while the server runs
 * DATA/identity   format version, server name, zone, incarnation; made once, never changed
 * DATA/segments/  one directory per segment (farm.c)
 *
 * Refused: a directory of another server (STRANGER) or in use (LOCKED), one that everybody may write to (PERM),
 * one that is not empty and has no identity (EXIST), an identity that cannot be read (CORRUPT, VERSION). */
struct hx_datadir;
int hx_datadir_open(const char *path, const char *server, const char *zone, struct hx_datadir **ret,
                    char why[HX_WHY_MAX]);
/* To look into it only: nothing is made or changed, no file is opened for writing.  While it is open no server starts
 * there.  LOCKED: one runs; NOENT: there is no data directory. */
int hx_datadir_look(const char *path, struct hx_datadir **ret, char why[HX_WHY_MAX]);
void hx_datadir_close(struct hx_datadir *d);
const char *hx_datadir_server(const struct hx_datadir *d);
const struct hx_uuid *hx_datadir_incarnation(const struct hx_datadir *d);

/* ---- farm.c, disk.c: hexad/disk.h over real files ----
 *
 * DATA/segments/<volume uuid>-<pg>/<file id, 16 hex digits>.  Contract D1..D4.  At most FILES_MAX descriptors are
 * kept open (0: 256).  Over a directory that is only looked into every change is refused (PERM).  D is borrowed until
 * hx_farm_free, after every disk has been closed. */
int hx_farm_new(struct hx_datadir *d, unsigned files_max, struct hx_disk_farm **ret);
void hx_farm_free(struct hx_disk_farm *f);

/* ---- thread.c ---- */
/* A thread that gets no signal: they belong to the thread of the loop.  Join it.  HX_E_NOMEM: there is none. */
int hx_thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg);

/* ---- process.c ---- */
/* Becomes a daemon that the caller waits for: forks; the parent stays, with its stderr, until the child calls
 * hx_daemon_ready and then exits with that code (HX_EXIT_FAILED when the child dies before).  Returns 0 in the child
 * only, which is in a session of its own, in "/".  Call before any thread is made. */
int hx_daemon_start(void);
/* In the child: lets the parent exit with CODE.  With CODE 0 standard input, output and error go to /dev/null from now
 * on.  Does nothing in a process that hx_daemon_start did not make. */
void hx_daemon_ready(int code);
/* A line for systemd ("READY=1", "STATUS=...", "STOPPING=1") when NOTIFY_SOCKET is set; never an error. */
void hx_notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Directory of the running program, without a slash at the end.  HX_E_TOOBIG, HX_E_IO. */
int hx_self_dir(char *buf, size_t cap);

#endif
