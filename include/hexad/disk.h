/*
 * disk.h - the disk interface of a segment: calls on numbered files in one directory.
 *
 * Implementations: sys (real files), the tests' recording disk, the simulator's faulty disk.
 * Contract:
 *   D1 A write is readable at once by read, and survives a crash only after a flush of that file that
 *      returned 0; before that, any subset of its 512-byte sectors may survive.
 *   D2 flush of a file that was created also makes its name durable; remove is durable at the
 *      next flush of any file of the directory.
 *   D3 After flush has failed the file is not to be trusted: what is on disk must be read again.
 *   D4 Reading past the end gives a short count; a hole reads as zeros.
 * Errors: HX_E_IO, HX_E_NOSPACE, HX_E_NOENT (read/flush of a file that does not exist), HX_E_NOMEM.
 */
#ifndef HEXAD_DISK_H
#define HEXAD_DISK_H

#include "hexad/types.h"

struct hx_disk;
struct hx_disk_file {
    uint64_t id;
    uint64_t bytes; /* size */
};
struct hx_disk_ops {
    /* LEN bytes at OFF; *ret_len: what was there (D4). */
    int (*read)(struct hx_disk *d, uint64_t file, uint64_t off, void *buf, size_t len, size_t *ret_len);
    /* All of it or an error; creates the file if needed. */
    int (*write)(struct hx_disk *d, uint64_t file, uint64_t off, const void *buf, size_t len);
    int (*flush)(struct hx_disk *d, uint64_t file);
    int (*remove)(struct hx_disk *d, uint64_t file); /* a file that is not there: 0 */
    /* Files in ascending id from FROM on, at most MAX; *ret_count of them. */
    int (*list)(struct hx_disk *d, uint64_t from, struct hx_disk_file *ret, size_t max, size_t *ret_count);

    /* For background work, lest others wait for it; each may be NULL.
     * A flush that goes on while other calls are made, one at a time of a disk (else HX_E_BUSY).  FILE is not written
     * until flush_end gives what flush would have given; HX_E_BUSY: it goes on.  It may be removed meanwhile, and then
     * nobody need ask. */
    int (*flush_begin)(struct hx_disk *d, uint64_t file);
    int (*flush_end)(struct hx_disk *d, uint64_t file);
    /* remove, but durable only at some time: until then a crash may bring the file back as it was. */
    int (*discard)(struct hx_disk *d, uint64_t file);
    /* FROM is called TO from now on, which is not there.  Durable with a flush of TO that returned 0; until then a
     * crash may leave it under its old name, with what was written to it since. */
    int (*rename)(struct hx_disk *d, uint64_t from, uint64_t to);
    /* A file ends at BYTES, where it was longer; a crash may bring back what was behind. */
    int (*cut)(struct hx_disk *d, uint64_t file, uint64_t bytes);
    /* LEN bytes at OFF will be read soon; nothing follows from it. */
    void (*expect)(struct hx_disk *d, uint64_t file, uint64_t off, size_t len);
};
struct hx_disk {
    const struct hx_disk_ops *ops;
};

/* Where the disks of a server's segments come from: one directory per (volume, PG). */
struct hx_disk_farm;
struct hx_disk_place {
    struct hx_uuid volume;
    uint32_t pg;
};
struct hx_disk_flush { /* a flush of many */
    struct hx_disk *disk;
    uint64_t file;
    int err;
};
struct hx_disk_farm_ops {
    /* Opens, creating the directory when CREATE (durable on return), else HX_E_NOENT. */
    int (*open)(struct hx_disk_farm *f, struct hx_disk_place at, bool create, struct hx_disk **ret);
    void (*close)(struct hx_disk_farm *f, struct hx_disk *d);
    /* Every place that exists, from index *cursor (start 0) on: 1 and *ret, or 0 at the end, or an error.  A farm with
     * flush_many may leave it to the first flush of a disk that is opened before the end to make durable what names
     * a killed process left there: so each of them is to be flushed. */
    int (*next)(struct hx_disk_farm *f, size_t *cursor, struct hx_disk_place *ret);
    /* Bytes in all and free on the medium. */
    int (*space)(struct hx_disk_farm *f, uint64_t *ret_total, uint64_t *ret_free);
    /* May be NULL.  flush of each of COUNT (at most HX_DISK_FLUSH_MAX) files, of one disk each, all at the same time;
     * every .err as flush would give it.  What was written to one of them may be flushed though another fails. */
    void (*flush_many)(struct hx_disk_farm *f, struct hx_disk_flush *list, size_t count);
};
#define HX_DISK_FLUSH_MAX 64u
struct hx_disk_farm {
    const struct hx_disk_farm_ops *ops;
};

#endif
