/*
 * offline.h - what check.c and dump.c share (hexad/check.h): lines of text, what a number of a file means.
 */
#ifndef HX_STORE_OFFLINE_H
#define HX_STORE_OFFLINE_H

#include "store.h"

#include "hexad/check.h"

struct hx_offline {
    const struct hx_check_cfg *cfg;
    struct hx_disk_place at;
    struct hx_disk *disk; /* of the farm */
    struct hx_seg_env env;
};
/* Opens the place; HX_E_NOENT.  After an error there is nothing to close. */
int hx_offline_open(struct hx_offline *o, const struct hx_check_cfg *cfg, const struct hx_disk_place *at);
void hx_offline_close(struct hx_offline *o);
void hx_offline_say(const struct hx_offline *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The file after FROM (0: the first one): 1, 0 at the end, or an error. */
int hx_offline_next(const struct hx_offline *o, uint64_t from, struct hx_disk_file *ret);
const char *hx_offline_kind(uint64_t file);

#endif
