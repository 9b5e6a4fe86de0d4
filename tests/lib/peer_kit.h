/*
 * peer_kit.h - the peers of server 0 of a rig (node_rig.h), played by the test: it sees what the server asks of them
 * and answers as it likes, right or wrong.  Also requests with a head of the test's own.  Failures end the test
 * through cmocka.
 */
#ifndef HX_TEST_PEER_KIT_H
#define HX_TEST_PEER_KIT_H

#include "node_rig.h"

/* A message with this head (server and volume are filled in where they are zero; the owner is the rig's).
 * Its status. */
int hx_peer_call(struct hx_rig *r, struct hx_msg_head h, unsigned role, const char *name, const void *p, size_t len);

struct hx_peer_question { /* a message of the server to a peer */
    uint64_t call, req_id;
    uint16_t type;
    uint32_t pg;
    struct hx_uuid peer;
    uint8_t body[64]; /* its first bytes */
    size_t body_len;
};
/* What the server asks now, at most MAX, without letting time pass. */
size_t hx_peer_questions(struct hx_rig *r, struct hx_peer_question *ret, size_t max);
/* Its next question of TYPE, letting time pass; it is told that the peers live, and nothing else. */
struct hx_peer_question hx_peer_wait(struct hx_rig *r, unsigned type);
/* What it asks of TYPE after it has heard that a peer has EPOCH and SCL of PG 1. */
struct hx_peer_question hx_peer_provoke(struct hx_rig *r, unsigned type, uint64_t epoch, uint64_t scl);
/* The answer to Q: what is zero in H (type, server) is filled in, req_id is added to the right one. */
void hx_peer_answer(struct hx_rig *r, const struct hx_peer_question *q, struct hx_reply_head h, const void *p,
                    size_t len);
/* Tells of one segment, as an answer to the GOSSIP Q. */
void hx_peer_tell(struct hx_rig *r, const struct hx_peer_question *q, uint32_t pg, uint64_t epoch, uint64_t scl);
/* The answer to a READ of one page: its head, and the page with BYTE in its first eight places (CRC_OFF: crc is wrong
 * by that much).  B of HX_READ_PAGE_BYTES + HX_PAGE_SIZE; its length. */
size_t hx_peer_page(uint8_t *b, uint8_t state, uint32_t crc_off, uint64_t lsn, uint8_t byte);

#endif
