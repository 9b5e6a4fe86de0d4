/*
 * tnode.c - one node of the B+tree: a page with a header, sorted slots growing up and cells growing down.
 *
 * It knows nothing of the tree around it, of the pager or of what values mean (btree.c does).
 *
 *    0  u32 magic   4 u8 level (0: leaf)   5 u8 zero   6 u16 count   8 u16 heap   10 u16 dead   12 u32 zero
 *   16  u64 number of the page itself      24  u16 slot[count]: offset of the cell, in key order
 *   heap .. 4095  cells: u64 ino, u8 type, u64 k, u16 length, value
 *
 * Invariants:
 *   N1 24 + 2 * count <= heap <= 4096.
 *   N2 every cell lies in [heap, 4096), and living cells + dead = 4096 - heap.
 *   N3 keys rise strictly (checked by hx_fs_verify, not at each use).
 * A removal leaves its cell as dead bytes, and an insertion compacts only when it must: a change stays a
 * change of few bytes, because the changed bytes are what travels to the servers.
 *
 * Pages come from the pager and may hold anything: hx_tnode_head_ok and _at make readers safe, hx_tnode_ok
 * makes editors safe.  Pure; allocates nothing.
 */
#include "tnode.h"

#include "hexad/assert.h"

#define TNODE_MAGIC 0x4e545848u /* "HXTN" */
#define AT_MAGIC 0
#define AT_LEVEL 4
#define AT_COUNT 6
#define AT_HEAP 8
#define AT_DEAD 10
#define AT_SELF 16
#define AT_SLOTS 24u
#define CELL_HEAD 19u /* key and length */

_Static_assert(3 * (CELL_HEAD + 2 + HX_TNODE_VALUE_MAX) <= HX_PAGE_SIZE - AT_SLOTS, "three of the largest fit");

int hx_key_cmp(struct hx_key a, struct hx_key b)
{
    if (a.ino != b.ino)
        return a.ino < b.ino ? -1 : 1;
    if (a.type != b.type)
        return a.type < b.type ? -1 : 1;
    return a.k == b.k ? 0 : a.k < b.k ? -1 : 1;
}

static unsigned heap_of(const uint8_t *n)
{
    return hx_get_u16(n + AT_HEAP);
}

static unsigned dead_of(const uint8_t *n)
{
    return hx_get_u16(n + AT_DEAD);
}

static unsigned slot(const uint8_t *n, unsigned i)
{
    return hx_get_u16(n + AT_SLOTS + 2 * i);
}

void hx_tnode_init(uint8_t *n, uint64_t page, unsigned level)
{
    memset(n, 0, AT_SLOTS);
    hx_put_u32(n + AT_MAGIC, TNODE_MAGIC);
    n[AT_LEVEL] = (uint8_t)level;
    hx_put_u16(n + AT_HEAP, HX_PAGE_SIZE);
    hx_put_u64(n + AT_SELF, page);
}

bool hx_tnode_head_ok(const uint8_t *n, uint64_t page)
{
    unsigned heap = heap_of(n);
    return hx_get_u32(n + AT_MAGIC) == TNODE_MAGIC && hx_get_u64(n + AT_SELF) == page &&
           n[AT_LEVEL] < HX_TNODE_LEVELS && heap <= HX_PAGE_SIZE && AT_SLOTS + 2 * hx_tnode_count(n) <= heap;
}

bool hx_tnode_ok(const uint8_t *n, uint64_t page)
{
    if (!hx_tnode_head_ok(n, page))
        return false;
    size_t live = 0;
    struct hx_item it;
    for (unsigned i = 0; i < hx_tnode_count(n); i++) {
        if (!hx_tnode_at(n, i, &it))
            return false;
        live += CELL_HEAD + it.len;
    }
    return live + dead_of(n) == HX_PAGE_SIZE - heap_of(n); /* N2 */
}

unsigned hx_tnode_level(const uint8_t *n)
{
    return n[AT_LEVEL];
}

unsigned hx_tnode_count(const uint8_t *n)
{
    return hx_get_u16(n + AT_COUNT);
}

size_t hx_tnode_used(const uint8_t *n)
{
    return HX_PAGE_SIZE - heap_of(n) - dead_of(n) + 2 * (size_t)hx_tnode_count(n);
}

size_t hx_tnode_capacity(void)
{
    return HX_PAGE_SIZE - AT_SLOTS;
}

size_t hx_tnode_cost(size_t len)
{
    return CELL_HEAD + 2 + len;
}

bool hx_tnode_fits(const uint8_t *n, size_t len)
{
    return hx_tnode_used(n) + hx_tnode_cost(len) <= hx_tnode_capacity();
}

bool hx_tnode_at(const uint8_t *n, unsigned i, struct hx_item *ret)
{
    unsigned at = slot(n, i);
    if (at < heap_of(n) || at > HX_PAGE_SIZE - CELL_HEAD)
        return false;
    const uint8_t *c = n + at;
    size_t len = hx_get_u16(c + 17);
    if (len > HX_TNODE_VALUE_MAX || len > HX_PAGE_SIZE - CELL_HEAD - at)
        return false;
    *ret = (struct hx_item){HX_KEY(hx_get_u64(c), c[8], hx_get_u64(c + 9)), c + CELL_HEAD, len};
    return true;
}

int hx_tnode_search(const uint8_t *n, struct hx_key key, bool *ret_found)
{
    unsigned lo = 0, hi = hx_tnode_count(n);
    bool found = false;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        struct hx_item it;
        if (!hx_tnode_at(n, mid, &it))
            return HX_E_CORRUPT;
        int c = hx_key_cmp(it.key, key);
        if (c < 0) {
            lo = mid + 1;
        } else {
            found = found || c == 0;
            hi = mid;
        }
    }
    *ret_found = found;
    return (int)lo;
}

/* Brings the cells together at the page's end, in key order from there down. */
static void compact(uint8_t *n)
{
    uint8_t old[HX_PAGE_SIZE];
    memcpy(old, n, sizeof old);
    unsigned at = HX_PAGE_SIZE, count = hx_tnode_count(n);
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *c = old + slot(old, i);
        unsigned size = CELL_HEAD + hx_get_u16(c + 17);
        at -= size;
        memcpy(n + at, c, size);
        hx_put_u16(n + AT_SLOTS + 2 * i, (uint16_t)at);
    }
    hx_put_u16(n + AT_HEAP, (uint16_t)at);
    hx_put_u16(n + AT_DEAD, 0);
}

void hx_tnode_insert(uint8_t *n, unsigned i, struct hx_key key, const uint8_t *val, size_t len)
{
    unsigned count = hx_tnode_count(n), size = CELL_HEAD + (unsigned)len;
    hx_assert(i <= count && len <= HX_TNODE_VALUE_MAX && hx_tnode_fits(n, len));
    if (heap_of(n) < AT_SLOTS + 2 * (count + 1) + size)
        compact(n);
    unsigned at = heap_of(n) - size;
    uint8_t *c = n + at, *s = n + AT_SLOTS + 2 * i;
    hx_put_u64(c, key.ino);
    c[8] = key.type;
    hx_put_u64(c + 9, key.k);
    hx_put_u16(c + 17, (uint16_t)len);
    if (len > 0)
        memcpy(c + CELL_HEAD, val, len);
    memmove(s + 2, s, 2 * (size_t)(count - i));
    hx_put_u16(s, (uint16_t)at);
    hx_put_u16(n + AT_COUNT, (uint16_t)(count + 1));
    hx_put_u16(n + AT_HEAP, (uint16_t)at);
}

void hx_tnode_remove(uint8_t *n, unsigned i)
{
    unsigned count = hx_tnode_count(n), at = slot(n, i);
    hx_assert(i < count);
    unsigned size = CELL_HEAD + hx_get_u16(n + at + 17);
    uint8_t *s = n + AT_SLOTS + 2 * i;
    memmove(s, s + 2, 2 * (size_t)(count - i - 1));
    hx_put_u16(n + AT_COUNT, (uint16_t)(count - 1));
    if (at == heap_of(n)) /* the youngest cell: its bytes are free again at once */
        hx_put_u16(n + AT_HEAP, (uint16_t)(at + size));
    else
        hx_put_u16(n + AT_DEAD, (uint16_t)(dead_of(n) + size));
}

uint8_t *hx_tnode_value(uint8_t *n, unsigned i)
{
    hx_assert(i < hx_tnode_count(n));
    return n + slot(n, i) + CELL_HEAD;
}

void hx_tnode_move_tail(uint8_t *dst, uint8_t *src, unsigned from)
{
    unsigned count = hx_tnode_count(src);
    size_t moved = 0;
    struct hx_item it;
    for (unsigned i = from; i < count; i++) {
        bool inside = hx_tnode_at(src, i, &it);
        hx_assert(inside);
        hx_tnode_insert(dst, hx_tnode_count(dst), it.key, it.val, it.len);
        moved += CELL_HEAD + it.len;
    }
    hx_put_u16(src + AT_COUNT, (uint16_t)from);
    hx_put_u16(src + AT_DEAD, (uint16_t)(dead_of(src) + moved));
    if (from == 0) {
        hx_put_u16(src + AT_HEAP, HX_PAGE_SIZE);
        hx_put_u16(src + AT_DEAD, 0);
    }
}

void hx_tnode_copy(uint8_t *dst, const uint8_t *src, uint64_t dst_page)
{
    memcpy(dst, src, HX_PAGE_SIZE);
    hx_put_u64(dst + AT_SELF, dst_page);
}

uint64_t hx_tnode_child(const struct hx_item *it)
{
    return it->len == 8 ? hx_get_u64(it->val) : 0; /* page 0 is no node: it fails the next check */
}
