/*
 * mem_disk.h - disks in memory for tests: a farm of hexad/disk.h that can lose power, fail and fill up.
 *
 * A write is visible at once and volatile until its file is flushed.  hx_mem_crash takes the power away: of every file
 * each 512-byte sector written since the last flush survives or not by itself (seeded), a new file or a removal
 * that was not flushed, too.  Calls that change something (write, flush, remove) are counted, so that a test can
 * let the k-th one fail, or end the world there.
 */
#ifndef HX_TEST_MEM_DISK_H
#define HX_TEST_MEM_DISK_H

#include "hexad/disk.h"
#include "hexad/err.h"

struct hx_mem_farm;
enum hx_mem_op { HX_MEM_WRITE = 1, HX_MEM_FLUSH = 2, HX_MEM_REMOVE = 4, HX_MEM_ANY = 7 };

struct hx_mem_farm *hx_mem_farm_new(void);
void hx_mem_farm_free(struct hx_mem_farm *f);
struct hx_disk_farm *hx_mem_farm(struct hx_mem_farm *f);

/* Calls of the kinds in OPS so far. */
uint64_t hx_mem_calls(const struct hx_mem_farm *f);
uint64_t hx_mem_flushes(const struct hx_mem_farm *f); /* those of them that were flushes */
/* Flushes of many files at the same time: so often the disk was waited for. */
uint64_t hx_mem_waves(const struct hx_mem_farm *f);
/* The K-th call from now (1: the next) of one of OPS fails with ERR and has no effect; ALWAYS: and all later ones. */
void hx_mem_fail(struct hx_mem_farm *f, unsigned ops, uint64_t k, int err, bool always);
/* From now on a flush that fails gives up what it should have written: readers still see it, the medium never will,
 * unless it is written again.  The system's memory lies like that for as long as it likes. */
void hx_mem_fail_drops(struct hx_mem_farm *f);
/* Disks that are opened from now on flush beside other calls, each time until flush_end was asked CALLS times (only
 * then is anything durable), and no flush makes a removal durable that was none of remove's. */
void hx_mem_beside(struct hx_mem_farm *f, unsigned calls);
/* Disks that are opened from now on have rename and cut (each counts as a remove). */
void hx_mem_renames(struct hx_mem_farm *f);
/* Disks that are opened from now on are told what will be read soon (hx_disk_ops.expect). */
void hx_mem_hints(struct hx_mem_farm *f);
uint64_t hx_mem_hinted_bytes(const struct hx_mem_farm *f); /* that reads have asked for, and that was told before */
/* The K-th read from now fails with ERR, once; 0: none. */
void hx_mem_fail_read(struct hx_mem_farm *f, uint64_t k, int err);
/* Bytes that reads have asked for so far, and how many reads. */
uint64_t hx_mem_read_bytes(const struct hx_mem_farm *f, uint64_t *ret_reads);
bool hx_mem_read_failed(const struct hx_mem_farm *f); /* the planned one */
/* The sector at OFF of a file cannot be read until it is written; one at a time, ID 0: none any more. */
void hx_mem_bad_sector(struct hx_mem_farm *f, uint64_t id, uint64_t off);
/* The same of all sectors of LEN bytes from there. */
void hx_mem_bad_range(struct hx_mem_farm *f, uint64_t id, uint64_t off, uint64_t len);
/* Files cannot be listed, with ERR, from now on; 0: they can. */
void hx_mem_fail_list(struct hx_mem_farm *f, int err);
/* The file ends at LEN, as after a repair of the file system that lost the rest. */
void hx_mem_truncate(struct hx_mem_farm *f, const struct hx_disk_place *at, uint64_t id, size_t len);
/* At the K-th call from now the power goes: that call and all later ones fail; a write may survive in part. */
void hx_mem_power_off_at(struct hx_mem_farm *f, uint64_t k);
bool hx_mem_is_off(const struct hx_mem_farm *f);
/* Power off now if it was not, then on again: what survived is what there is; no failure is planned any more. */
void hx_mem_crash(struct hx_mem_farm *f, uint64_t seed);
/* At most BYTES in all files together; 0: no limit. */
void hx_mem_limit(struct hx_mem_farm *f, uint64_t bytes);
/* The question how full it is fails with ERR from now on; 0: no longer. */
void hx_mem_fail_space(struct hx_mem_farm *f, int err);

/* The bytes of a file, for a look or for damage; NULL when it does not exist. */
uint8_t *hx_mem_file(struct hx_mem_farm *f, const struct hx_disk_place *at, uint64_t id, size_t *ret_len);
/* The largest file id below 2^32 that exists. */
uint64_t hx_mem_last_log(struct hx_mem_farm *f, const struct hx_disk_place *at);
size_t hx_mem_file_count(struct hx_mem_farm *f, const struct hx_disk_place *at);
void hx_mem_remove_file(struct hx_mem_farm *f, const struct hx_disk_place *at, uint64_t id);
/* Forgets everything: an empty directory. */
void hx_mem_wipe(struct hx_mem_farm *f);

#endif
