/*
 * check.h - looks into the store of a segment server that does not run, and changes nothing: what is there, what of it
 * is damaged, what a start would do (check), and what the bytes say (dump).
 *
 * Pure over hexad/disk.h, of which only read and list are called.  What a start would do is found out by a start: the
 * code of the restart and of the scrub runs over a disk that takes writes and forgets them.
 * Text comes out line by line, without line ends and control characters, whatever the files hold.
 */
#ifndef HEXAD_CHECK_H
#define HEXAD_CHECK_H

#include "hexad/disk.h"
#include "hexad/types.h"

enum hx_check_state {
    HX_CHECK_CLEAN,
    HX_CHECK_TOUCHED,  /* a start would write something anew, without a loss */
    HX_CHECK_DAMAGED,  /* with damage that peers would mend */
    HX_CHECK_REFUSED,  /* no start would serve it: both slots lost, of a newer program, of another server */
    HX_CHECK_UNREAD,   /* it could not be looked at */
    HX_CHECK_NOT_MADE, /* a FORMAT that never ended */
};
struct hx_check_segment { /* one segment, for programs; what is behind .room only when a start would serve it */
    struct hx_disk_place at;
    enum hx_check_state state;
    int err; /* REFUSED, UNREAD: why */
    uint64_t files, bytes;
    struct hx_check_room { /* what log files take, in bytes: store.h, struct hx_space */
        uint64_t size, used, dead, history, ahead, limit;
    } room;
    uint64_t scl, hint, oldest, gc, pages, held;
    uint64_t places;  /* damaged places in files */
    uint64_t unknown; /* ranges of records to be mended by peers */
};
struct hx_check_cfg {
    struct hx_uuid server;     /* incarnation of the data directory */
    struct hx_disk_farm *farm; /* borrowed during a call */
    void (*line)(void *ctx, const char *text);
    void (*segment)(void *ctx, const struct hx_check_segment *s); /* of hx_check_all, after its lines; or NULL */
    void *ctx;
};
struct hx_check_sum { /* segments, but for the first two */
    uint64_t files, bytes;
    uint64_t segments;
    uint64_t damaged; /* with damage that peers would mend */
    uint64_t refused; /* that no start would serve: both slots lost, of a newer program, of another server */
    uint64_t unread;  /* that could not be looked at */
    uint64_t touched; /* where a start would write something anew, without a loss */
};
/* All segments.  HX_E_NOMEM, or what the farm says when it cannot be listed; else *ret tells. */
int hx_check_all(const struct hx_check_cfg *c, struct hx_check_sum *ret);

/* The segments; the files of one with their heads; everything in one file.  HX_E_NOENT: there is no such segment or
 * file; HX_E_NOMEM; what the disk says.  Damage is no error: it is said in its place, and what follows is looked
 * for. */
int hx_dump_all(const struct hx_check_cfg *c);
int hx_dump_segment(const struct hx_check_cfg *c, const struct hx_disk_place *at);
int hx_dump_file(const struct hx_check_cfg *c, const struct hx_disk_place *at, uint64_t file);

#endif
