/*
 * load.h - a segment server without sockets over real files, and what a writer would send it: for programs that measure
 * the store alone.  Everything goes by the door that the daemon uses (hexad/node.h); answers are looked at for their
 * status, and anything but success ends the program.
 */
#ifndef HX_TESTS_LOAD_H
#define HX_TESTS_LOAD_H

#include "../../src/store/node_private.h"
#include "bench.h"
#include "hexad/conf.h"
#include "hexad/sys.h"

struct load {
    const char *dir;
    unsigned segments, volumes; /* segment K is PG K / volumes of volume K % volumes */
    uint64_t mib;               /* of each segment */
    uint32_t scrub_cycle_s, scrub_bytes_per_s;
    bool lagging;               /* gc stays 0: nothing may be tidied */
    struct hx_datadir *data;
    struct hx_disk_farm *farm;
    struct hx_node *node;
    struct hx_frame_builder *builder;
    struct hx_geometry *geometry; /* of each volume */
    struct hx_history history;
    uint64_t *lsn;  /* of each volume */
    uint64_t *last; /* of each segment */
    uint64_t token, rng;
    uint8_t *message; /* made by load_images and load_patches, sent by load_send */
    size_t message_len;
    struct hx_buf pages; /* of the last READ: what followed the heads */
    unsigned pages_raw;
};
/* .dir to .scrub_bytes_per_s are set. */
void load_init(struct load *l);
void load_open(struct load *l); /* the node; and the geometries, which need its identity */
void load_close(struct load *l);
void load_format(struct load *l, unsigned k);
uint64_t load_dice(struct load *l);

/* A message with COUNT records, of pages FIRST + i x STEP modulo the group's: random images of BYTES bytes in frames of
 * at most 60 pages, or patches of BYTES bytes in one frame. */
void load_images(struct load *l, unsigned k, uint64_t first, uint64_t step, unsigned count, unsigned bytes);
void load_patches(struct load *l, unsigned k, uint64_t first, uint64_t step, unsigned count, unsigned bytes);
void load_send(struct load *l);   /* durable with the next load_flush */
void load_settle(struct load *l); /* takes the answers */
void load_flush(struct load *l);  /* and takes the answers */
uint64_t load_tick(struct load *l); /* and takes the answers; ms until it wants to be called again */
/* COUNT pages at the newest read point, into l->pages; none may be damaged. */
void load_read(struct load *l, unsigned k, const uint32_t *pages, unsigned count);

#endif
