/*
 * oracle_bed.h - a bed for the simulator's oracle: histories scripted message by message, good ones and bad
 * ones, over six servers of which any may be a real node (node_rig.h).  Failures end the test through cmocka.
 */
#ifndef HX_TEST_ORACLE_BED_H
#define HX_TEST_ORACLE_BED_H

#include "node_rig.h"

#include "hexad/crc.h"

#include "../../src/sim/oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HX_BED_PG_BYTES HX_PG_SIZE_MIN
#define HX_BED_BODY (64u << 10)

struct bed {
    struct hx_sim s;
    struct hx_oracle *o;
    struct hx_rig r;
    struct hx_history h; /* of the newest opening */
    uint32_t client;
    uint64_t epoch;
    uint8_t q[HX_MSG_HEAD + HX_BED_BODY], a[HX_REPLY_HEAD + HX_BED_BODY], body[HX_BED_BODY];
    /* An opening as the script wants it. */
    unsigned fences, repairs, stores, adopts;
    unsigned reborn;  /* a bit per server: wiped after its FENCE answers, heard under a new name before they arrive */
    unsigned damaged; /* a bit per server: its inventories say that anything may be lost */
    uint64_t through; /* what REPAIR is answered with, every PG */
};
struct msg {
    unsigned type;
    uint32_t pg;
    uint64_t epoch;
    unsigned owner;
};

struct bed *bed_new(uint32_t pgs);
/* The verdict is this invariant, with these words; "" none.  Ends the bed. */
void bed_judge(struct bed *b, const char *invariant, const char *words);
void bed_send(struct bed *b, struct msg m, const uint8_t *body, size_t len);
void bed_answer(struct bed *b, unsigned server, struct msg m, const uint8_t *q, size_t q_len, int status,
                const uint8_t *a, size_t a_len);
/* ---- an opening ---- */
void bed_fence(struct bed *b, uint64_t epoch, unsigned owner);
void bed_repair(struct bed *b, struct msg m, const struct hx_history *h, const uint8_t *frame, size_t len);
void bed_store(struct bed *b, struct msg m, const struct hx_geometry *g);
void bed_adopt(struct bed *b, struct msg m, const struct hx_history *h, uint64_t scl);
void bed_steps(struct bed *b, uint64_t epoch, unsigned owner, const struct hx_history *h);
/* EPOCH opens by CLIENT with the log cut at VDL; everything that four members said before is complete through
 * VDL. */
void bed_open_at(struct bed *b, uint32_t client, uint64_t epoch, uint64_t vdl);
/* The newest history and an entry on top, as the formula has it. */
struct hx_history bed_child(const struct bed *b, uint64_t epoch, uint64_t vdl);
uint64_t bed_first_of(const struct bed *b);
void bed_append(struct bed *b, uint64_t vdl, uint64_t floor, size_t len);
/* COUNT records from FIRST on, the last one a CPL, and VDL and floor as announced. */
void bed_write_run(struct bed *b, uint32_t pg, uint64_t prev, uint64_t first, unsigned count, uint64_t vdl);
void bed_ack(struct bed *b, unsigned server, uint32_t pg, uint64_t epoch, uint64_t scl);
void bed_acks(struct bed *b, unsigned servers, uint32_t pg, uint64_t scl);
void bed_durable(struct bed *b, uint64_t lsn);
void bed_writer(struct bed *b, uint64_t vdl, uint64_t vcl, uint64_t last);
/* Epoch 2 open, two records of epoch 2 in PG 0 on four members and told durable.  *ret_first: the first. */
struct bed *bed_written(uint32_t pgs, uint64_t *ret_first);
/* Epoch 2 is open, and server I is a real one that has adopted it. */
void bed_real_server(struct bed *b, unsigned i);
uint64_t bed_real_append(struct bed *b, unsigned i, size_t len, uint64_t vdl);
void bed_read_answer(struct bed *b, unsigned server, uint64_t epoch, uint64_t r, uint32_t page,
                     const uint8_t *data, uint64_t lsn);
/* What hx_rig_run makes of a page. */
void bed_run_page(uint8_t *page, uint64_t lsn);

#endif
