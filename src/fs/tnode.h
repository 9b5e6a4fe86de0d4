/*
 * tnode.h - one node of the B+tree: a page of slots and cells (tnode.c).  Private to src/fs and its tests.
 */
#ifndef HEXAD_FS_TNODE_H
#define HEXAD_FS_TNODE_H

#include "hexad/codec.h"

struct hx_key {
    uint64_t ino;
    uint8_t type;
    uint64_t k;
};
#define HX_KEY(ino, type, k) ((struct hx_key){(ino), (type), (k)})

/* Borrowed: val points into the page. */
struct hx_item {
    struct hx_key key;
    const uint8_t *val;
    size_t len;
};

#define HX_TNODE_VALUE_MAX 1024u /* bytes in a value: a node holds at least three of the largest */
#define HX_TNODE_LEVELS 16u

int hx_key_cmp(struct hx_key a, struct hx_key b);

void hx_tnode_init(uint8_t *n, uint64_t page, unsigned level);
/* Header only: cheap, for readers, whose look at each cell is checked by hx_tnode_at. */
bool hx_tnode_head_ok(const uint8_t *n, uint64_t page);
/* Everything but the order of the keys: what an editor needs to be safe on any bytes. */
bool hx_tnode_ok(const uint8_t *n, uint64_t page);
unsigned hx_tnode_level(const uint8_t *n);
unsigned hx_tnode_count(const uint8_t *n);
size_t hx_tnode_used(const uint8_t *n); /* bytes of living cells and their slots */
size_t hx_tnode_capacity(void);         /* the most that hx_tnode_used can be */
size_t hx_tnode_cost(size_t len);       /* what a value of LEN bytes adds to it */
bool hx_tnode_fits(const uint8_t *n, size_t len);

/* false: the cell is not inside the page. */
bool hx_tnode_at(const uint8_t *n, unsigned i, struct hx_item *ret);
/* Index of the first cell whose key is >= KEY (count when none), or HX_E_CORRUPT. */
int hx_tnode_search(const uint8_t *n, struct hx_key key, bool *ret_found);
/* The rest edits a node that hx_tnode_ok accepted. */
void hx_tnode_insert(uint8_t *n, unsigned i, struct hx_key key, const uint8_t *val, size_t len);
void hx_tnode_remove(uint8_t *n, unsigned i);
uint8_t *hx_tnode_value(uint8_t *n, unsigned i);
void hx_tnode_move_tail(uint8_t *dst, uint8_t *src, unsigned from); /* to DST's end */
void hx_tnode_copy(uint8_t *dst, const uint8_t *src, uint64_t dst_page);

/* The child that an inner node's cell names, and the reverse. */
uint64_t hx_tnode_child(const struct hx_item *it);

#endif
