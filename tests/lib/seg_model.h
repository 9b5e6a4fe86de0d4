/*
 * seg_model.h - what one segment should hold: a model that knows every page at every LSN, and the random work
 * that is done to server 0 of a rig (node_rig.h).  Shared by the tests of the store; failures end the test
 * through cmocka.
 */
#ifndef HX_TEST_SEG_MODEL_H
#define HX_TEST_SEG_MODEL_H

#include "node_rig.h"

#define HX_MODEL_PAGES 24u /* that the work touches */
#define HX_MODEL_LSNS 3000u
#define HX_MODEL_PG 1u

struct hx_model_rec {
    uint32_t page;
    uint8_t kind;
    uint16_t len;
    uint8_t payload[HX_PAGE_SIZE];
};
struct hx_model {
    struct hx_model_rec *recs; /* by LSN */
    uint64_t last, acked, vdl, floor;
    uint64_t rng;
    uint32_t stride; /* between the pages that are touched; 0: 1 */
};
void hx_model_init(struct hx_model *m, uint64_t seed);
void hx_model_fini(struct hx_model *m);
uint64_t hx_model_dice(struct hx_model *m);
/* PAGE as of POINT: the fold of its records. */
void hx_model_fold(const struct hx_model *m, uint32_t page, uint64_t point, uint8_t out[HX_PAGE_SIZE]);
/* The next COUNT records (at most 64) as a frame in r->frame; its length. */
size_t hx_model_frame(struct hx_rig *r, struct hx_model *m, unsigned count);
/* A frame, then perhaps VDL and floor move on, and background work gets a turn.  The ack's status. */
int hx_model_step(struct hx_rig *r, struct hx_model *m);
/* Every page at the newest point and OLD_POINTS reads of some page at a point from the floor on. */
void hx_model_check(struct hx_rig *r, struct hx_model *m, unsigned old_points);
/* COUNT (at most 8) images that do not compress, of pages FIRST % 4 and on, with their LSN as first byte, as
 * a frame in r->frame that says MARK as VDL, floor and gc; its length. */
size_t hx_model_images(struct hx_rig *r, uint64_t first, unsigned count, uint64_t mark);
/* A rig of one server with the segment made; and that server started again without loss of power. */
void hx_model_start(struct hx_rig *r, uint32_t log_file_bytes);
void hx_model_restart(struct hx_rig *r);

#endif
