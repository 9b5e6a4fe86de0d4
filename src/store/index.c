/*
 * index.c - page -> the versions and patches that reads may need, newest first.
 *
 *   X1 A page's list is ordered by LSN, newest first; of one LSN a base stands before a patch.  So a walk down
 *      from a read point meets the newest base first and needs nothing below it.
 *   X2 A log file counts the versions (and held records) that point into it: a file that nobody points into is dead.
 *   X3 Only records that are valid under the own history are here (apply.c).
 *   X4 Pruning (I10) drops only what no read point at or above the floor needs, and raises s->oldest to the base
 *      that it stopped at: a read below that is TOO_OLD.
 *   X5 A page with one version that fits costs 16 bytes, its slot.  Only pages with several (and the odd one whose
 *      numbers do not fit) have a list, of 32 bytes a version.
 *
 * A page that was freed keeps its FREE record as a tombstone, for an older version may still lie in an older
 * file and would come back at the next restart.
 *
 * Memory, and why like this.  A segment at rest has one version of each page, so that case is made small and the rest
 * simple.  A slot says all that a read needs (LSN, sum, kind, length, place of the payload), so that a page costs one
 * read of the disk; an index that names only the sidecar's entry would be 4 bytes and two reads.  What a compressed
 * frame's head says is read with its body.  Slots stand in leaves of 64 pages, without gaps, found by a bitmap:
 * holes cost nothing, and nothing depends on how pages are spread.
 *
 *     16 x pages  +  leaves: 0.5 bytes for each page that the group may have when it is full (bitmaps, pointers, the
 *     allocator's heads: 1.3 MiB of 10 GiB), made by blocks of 64 leaves as they are used, so 1 KiB for a segment with
 *     one page; lists of at most HX_INDEX_NODES versions, 2 MiB, beyond
 *     which background work makes images until it is less (space.c); history above the read floor has to be kept, and
 *     32 bytes for each version of it come on top for as long as somebody reads there.
 *
 * A slot's 128 bits: LSN 43, kind 3 (0: a list, whose first node stands in place of the sum), codec 1, place 49,
 * sum 32. The place is (slot of the file x stride + offset), of 36 bits, and the length, or, for a compressed
 * frame, the offset of its entry in units of 8, the number of the record, and the length in units of 256. A
 * version that does not fit (an LSN above 2^43, more than 64 GiB of log, record 4,096 of a frame) gets a list of
 * one.
 */
#include "store.h"

#include "hexad/mutant.h"

#include <stdlib.h>

#define LEAF 64u /* pages; one bit of a word each */
#define GROW 8u  /* slots by which a leaf grows */
#define BLOCK 64u /* leaves that are made together */
#define CHUNK_BITS 6u /* of the lists: a segment with one version in one pays 2 KiB for it */
#define CHUNK (1u << CHUNK_BITS)
#define LSN_BITS 43u
#define WHERE_BITS 49u
#define ADDR_BITS 36u
#define AT_BITS 12u
#define UNIT 256u /* of the length of a record in a compressed frame */

struct slot {
    uint64_t a, b; /* a: lsn | kind << 43 | codec << 46 | upper 17 bits of the place; b: its lower 32 | sum << 32 */
};
_Static_assert(sizeof(struct slot) == 16, "a stored page costs 16 bytes");
struct hx_leaf {
    uint64_t bits; /* which pages have a slot */
    struct slot *p;
};
struct hx_leaf_block {
    struct hx_leaf leaf[BLOCK];
};
struct hx_node_rec { /* a version in a list */
    uint64_t lsn;
    uint32_t older, file, pos, at, sum; /* older: node, HX_NONE: the last one */
    uint16_t len;
    uint8_t kind, depth; /* kind: with the codec in the top bit; depth: patches down to the base, saturating */
};
_Static_assert(sizeof(struct hx_node_rec) == 32, "a version in a list costs 32 bytes");
struct hx_node_chunk { /* an unused node's .older is the next unused one */
    struct hx_node_rec *p;
    uint32_t live, unused;
};

/* ---- slots ---- */
static uint64_t bits_of(uint64_t v, unsigned at, unsigned count)
{
    return v >> at & ((UINT64_C(1) << count) - 1);
}

static uint8_t slot_kind(const struct slot *t)
{
    return (uint8_t)bits_of(t->a, LSN_BITS, 3);
}

static uint32_t slot_list(const struct slot *t)
{
    return (uint32_t)(t->b >> 32);
}

static void slot_set_list(struct slot *t, uint32_t node)
{
    *t = (struct slot){0, (uint64_t)node << 32};
}

static bool slot_pack(const struct hx_index *x, const struct hx_version *v, struct slot *ret)
{
    uint64_t addr = v->file * x->stride + v->pos, place;
    if (v->pos >= x->stride || addr >> ADDR_BITS || v->lsn >> LSN_BITS)
        return false;
    if (v->codec) {
        if (v->at >> AT_BITS || v->pos % 8)
            return false;
        place = addr / 8 << (AT_BITS + 4) | (uint64_t)v->at << 4 | v->len / UNIT;
    } else {
        place = addr << 13 | v->len;
    }
    ret->a = v->lsn | (uint64_t)v->kind << LSN_BITS | (uint64_t)v->codec << (LSN_BITS + 3);
    ret->a |= place >> 32 << (LSN_BITS + 4);
    ret->b = (place & UINT32_MAX) | (uint64_t)v->sum << 32;
    return true;
}

static struct hx_version slot_unpack(const struct hx_index *x, const struct slot *t)
{
    struct hx_version v = {.lsn = bits_of(t->a, 0, LSN_BITS), .kind = slot_kind(t), .sum = (uint32_t)(t->b >> 32)};
    uint64_t place = bits_of(t->a, LSN_BITS + 4, WHERE_BITS - 32) << 32 | (t->b & UINT32_MAX), addr;
    v.codec = (uint8_t)bits_of(t->a, LSN_BITS + 3, 1);
    if (v.codec) {
        addr = place >> (AT_BITS + 4) << 3;
        v.at = (uint32_t)bits_of(place, 4, AT_BITS);
        v.len = (uint16_t)(bits_of(place, 0, 4) * UNIT);
    } else {
        addr = place >> 13;
        v.len = (uint16_t)bits_of(place, 0, 13);
    }
    v.file = (uint32_t)(addr / x->stride);
    v.pos = (uint32_t)(addr % x->stride);
    return v;
}

void hx_version_place(struct hx_version *v, uint32_t file, uint32_t entry, uint8_t codec, uint32_t at, uint32_t off,
                      uint16_t len)
{
    *v = (struct hx_version){.file = file, .pos = entry, .codec = codec};
    if (codec) {
        unsigned units = (len + UNIT - 1) / UNIT;
        v->at = at;
        v->len = (uint16_t)((units < 15 ? units : 15) * UNIT);
    } else {
        v->pos = entry + HX_LOG_ENV + HX_FRAME_HEAD + off;
        v->len = len;
    }
}

/* ---- leaves ---- */
void hx_index_init(struct hx_index *x, uint64_t pages, uint64_t file_bytes)
{
    *x = (struct hx_index){.leaf_count = (size_t)((pages + LEAF - 1) / LEAF)};
    x->stride = (file_bytes + HX_LOG_BATCH_MAX + 2 * HX_FRAME_MAX + 7) / 8 * 8; /* a file's last batch may be large */
}

void hx_index_fini(struct hx_index *x)
{
    for (size_t i = 0; i < x->block_count; i++) {
        for (size_t k = 0; x->blocks[i] && k < BLOCK; k++)
            free(x->blocks[i]->leaf[k].p);
        free(x->blocks[i]);
    }
    for (size_t i = 0; i < x->chunk_count; i++)
        free(x->chunks[i].p);
    free(x->blocks);
    free(x->chunks);
    *x = (struct hx_index){0};
}

static unsigned rank_of(const struct hx_leaf *l, uint32_t page)
{
    return (unsigned)__builtin_popcountll(l->bits & ((UINT64_C(1) << page % LEAF) - 1));
}

/* Leaf number I; none where nothing was stored near it yet. */
static struct hx_leaf *leaf_at(const struct hx_index *x, size_t i)
{
    size_t b = i / BLOCK;
    return b < x->block_count && x->blocks[b] ? &x->blocks[b]->leaf[i % BLOCK] : NULL;
}

/* The same, made where it is not there.  Blocks stay until the segment goes: a page that is freed keeps its slot. */
static struct hx_leaf *leaf_make(struct hx_index *x, size_t i)
{
    size_t b = i / BLOCK, most = (x->leaf_count + BLOCK - 1) / BLOCK;
    hx_assert(i < x->leaf_count); /* side.c, log.c: the page is one of the group */
    if (b >= x->block_count) {
        size_t want = b + b / 2 + 1 < most ? b + b / 2 + 1 : most;
        struct hx_leaf_block **p = realloc(x->blocks, want * sizeof *p);
        if (!p)
            return NULL;
        memset(p + x->block_count, 0, (want - x->block_count) * sizeof *p);
        x->blocks = p;
        x->block_count = want;
    }
    if (!x->blocks[b])
        x->blocks[b] = calloc(1, sizeof *x->blocks[b]);
    return leaf_at(x, i);
}

static struct slot *slot_find(const struct hx_index *x, uint32_t page)
{
    const struct hx_leaf *l = leaf_at(x, page / LEAF);
    return l && l->bits >> page % LEAF & 1 ? &l->p[rank_of(l, page)] : NULL;
}

/* A slot for a page that has none. */
static struct slot *slot_add(struct hx_index *x, uint32_t page)
{
    struct hx_leaf *l = leaf_make(x, page / LEAF);
    if (!l)
        return NULL;
    unsigned count = (unsigned)__builtin_popcountll(l->bits), at = rank_of(l, page);
    if (count % GROW == 0) {
        struct slot *p = realloc(l->p, (count + GROW) * sizeof *p);
        if (!p)
            return NULL;
        l->p = p;
    }
    memmove(l->p + at + 1, l->p + at, (count - at) * sizeof *l->p);
    l->bits |= UINT64_C(1) << page % LEAF;
    x->pages++;
    return &l->p[at];
}

static void slot_drop(struct hx_index *x, uint32_t page)
{
    struct hx_leaf *l = leaf_at(x, page / LEAF);
    unsigned count = (unsigned)__builtin_popcountll(l->bits), at = rank_of(l, page);
    memmove(l->p + at, l->p + at + 1, (count - at - 1) * sizeof *l->p);
    l->bits &= ~(UINT64_C(1) << page % LEAF);
    x->pages--;
    if (--count % GROW)
        return;
    struct slot *p = count ? realloc(l->p, count * sizeof *p) : NULL;
    if (!count)
        free(l->p);
    if (p || !count)
        l->p = p;
}

/* ---- nodes ---- */
static struct hx_node_rec *node_at(const struct hx_index *x, uint32_t i)
{
    return &x->chunks[i >> CHUNK_BITS].p[i & (CHUNK - 1)];
}

static int chunk_fill(struct hx_node_chunk *c)
{
    c->p = malloc(CHUNK * sizeof *c->p);
    if (!c->p)
        return HX_E_NOMEM;
    for (uint32_t i = 0; i < CHUNK; i++)
        c->p[i].older = i + 1;
    c->unused = 0;
    return 0;
}

/* A node; HX_NONE: no memory.  Low numbers first, so that chunks get empty again. */
static uint32_t node_take(struct hx_index *x)
{
    while (x->open < x->chunk_count && x->chunks[x->open].live == CHUNK)
        x->open++;
    if (x->open == x->chunk_count) {
        if (x->chunk_count == HX_NONE >> CHUNK_BITS ||
            hx_buf_grow(&x->chunks, &x->chunk_cap, x->chunk_count, sizeof *x->chunks))
            return HX_NONE;
        x->chunks[x->chunk_count++] = (struct hx_node_chunk){0};
    }
    struct hx_node_chunk *c = &x->chunks[x->open];
    if (!c->p && chunk_fill(c))
        return HX_NONE;
    uint32_t i = c->unused;
    c->unused = c->p[i].older;
    c->live++;
    x->nodes++;
    return (uint32_t)(x->open << CHUNK_BITS) + i;
}

static void node_give(struct hx_index *x, uint32_t i)
{
    size_t k = i >> CHUNK_BITS;
    struct hx_node_chunk *c = &x->chunks[k];
    c->p[i & (CHUNK - 1)].older = c->unused;
    c->unused = i & (CHUNK - 1);
    c->live--;
    x->nodes--;
    x->open = k < x->open ? k : x->open;
    if (!c->live && k) { /* the first one stays */
        free(c->p);
        c->p = NULL;
    }
}

static void node_set(struct hx_node_rec *n, const struct hx_version *v)
{
    n->lsn = v->lsn;
    n->file = v->file;
    n->pos = v->pos;
    n->at = v->at;
    n->sum = v->sum;
    n->len = v->len;
    n->kind = (uint8_t)(v->kind | v->codec << 7);
}

static uint8_t node_kind(const struct hx_node_rec *n)
{
    return n->kind & 0x7f;
}

static struct hx_version node_get(const struct hx_node_rec *n)
{
    return (struct hx_version){.lsn = n->lsn, .file = n->file, .pos = n->pos, .at = n->at, .sum = n->sum,
                               .len = n->len, .kind = node_kind(n), .codec = n->kind >> 7};
}

static uint8_t depth_over(const struct hx_index *x, uint8_t kind, uint32_t older)
{
    if (hx_rec_is_base(kind))
        return 0;
    uint8_t d = older == HX_NONE ? 0 : node_at(x, older)->depth;
    return d == UINT8_MAX ? d : (uint8_t)(d + 1);
}

uint64_t hx_index_bytes(const struct hx_index *x)
{
    uint64_t n = x->block_count * sizeof *x->blocks + x->chunk_cap * sizeof *x->chunks;
    for (size_t i = 0; i < x->block_count; i++) {
        n += x->blocks[i] ? sizeof *x->blocks[i] : 0;
        for (size_t k = 0; x->blocks[i] && k < BLOCK; k++) {
            unsigned used = (unsigned)__builtin_popcountll(x->blocks[i]->leaf[k].bits);
            n += (used + GROW - 1) / GROW * GROW * sizeof(struct slot);
        }
    }
    for (size_t i = 0; i < x->chunk_count; i++)
        n += x->chunks[i].p ? CHUNK * sizeof(struct hx_node_rec) : 0;
    return n;
}

/* ---- walks ---- */
bool hx_index_has(const struct hx_index *x, uint32_t page, uint64_t point)
{
    struct hx_version v;
    for (struct hx_index_walk w = hx_index_walk(x, page); hx_index_next(&w, &v);)
        if (v.lsn <= point)
            return true;
    return false;
}

bool hx_index_listed(const struct hx_index *x, uint32_t page)
{
    const struct slot *t = slot_find(x, page);
    return t && !slot_kind(t);
}

uint32_t hx_index_after(const struct hx_index *x, uint32_t page)
{
    size_t i = page / LEAF, end = x->block_count * BLOCK;
    uint64_t mask = ~UINT64_C(0) << page % LEAF;
    while (i < end) {
        const struct hx_leaf *l = leaf_at(x, i);
        if (l && l->bits & mask)
            return (uint32_t)(i * LEAF) + (uint32_t)__builtin_ctzll(l->bits & mask);
        i = l ? i + 1 : (i / BLOCK + 1) * BLOCK;
        mask = ~UINT64_C(0);
    }
    return HX_NONE;
}

struct hx_index_walk hx_index_walk(const struct hx_index *x, uint32_t page)
{
    const struct slot *t = slot_find(x, page);
    struct hx_index_walk w = {.x = x, .next = HX_NONE};
    w.single = t && slot_kind(t);
    if (w.single)
        w.one = slot_unpack(x, t);
    else if (t)
        w.next = slot_list(t);
    return w;
}

bool hx_index_next(struct hx_index_walk *w, struct hx_version *ret)
{
    if (w->single) {
        *ret = w->one;
        w->single = false;
        return true;
    }
    if (w->next == HX_NONE)
        return false;
    const struct hx_node_rec *n = node_at(w->x, w->next);
    *ret = node_get(n);
    w->next = n->older;
    return true;
}

/* ---- changes ---- */
static void attach(struct hx_seg *s, const struct hx_version *v)
{
    struct hx_logfile *f = s->log.files[v->file];
    f->refs++; /* X2 */
    f->live += (uint64_t)v->len + HX_REC_HEAD;
    s->index.versions++;
}

static void detach(struct hx_seg *s, const struct hx_version *v)
{
    struct hx_logfile *f = s->log.files[v->file];
    hx_assert(f->refs > 0); /* X2 */
    f->refs--;
    f->live -= (uint64_t)v->len + HX_REC_HEAD;
    s->index.versions--;
}

/* A list of one into the slot, where that fits (X5). */
static void settle(struct hx_index *x, struct slot *t)
{
    uint32_t i = slot_list(t);
    struct hx_version v = node_get(node_at(x, i));
    if (node_at(x, i)->older == HX_NONE && slot_pack(x, &v, t))
        node_give(x, i);
}

/* The one version of a slot becomes a list of one. */
static int spread(struct hx_index *x, struct slot *t)
{
    struct hx_version v = slot_unpack(x, t);
    uint32_t i = node_take(x);
    if (i == HX_NONE)
        return HX_E_NOMEM;
    struct hx_node_rec *n = node_at(x, i);
    node_set(n, &v);
    n->older = HX_NONE;
    n->depth = depth_over(x, v.kind, HX_NONE);
    slot_set_list(t, i);
    return 0;
}

/* The first version of a page. */
static int insert_first(struct hx_seg *s, uint32_t page, const struct hx_version *v)
{
    struct hx_index *x = &s->index;
    struct slot one, *t;
    uint32_t i = HX_NONE;
    if (!slot_pack(x, v, &one)) {
        i = node_take(x);
        if (i == HX_NONE)
            return HX_E_NOMEM;
        node_set(node_at(x, i), v);
        node_at(x, i)->older = HX_NONE;
        node_at(x, i)->depth = depth_over(x, v->kind, HX_NONE);
        slot_set_list(&one, i);
    }
    t = slot_add(x, page);
    if (!t) {
        if (i != HX_NONE)
            node_give(x, i);
        return HX_E_NOMEM;
    }
    *t = one;
    attach(s, v);
    return 0;
}

static int insert_into_list(struct hx_seg *s, struct slot *t, uint32_t page, const struct hx_version *v, bool over)
{
    struct hx_index *x = &s->index;
    uint32_t head = slot_list(t), *link = &head;
    for (; *link != HX_NONE; link = &node_at(x, *link)->older) {
        struct hx_node_rec *n = node_at(x, *link);
        if (n->lsn == v->lsn && node_kind(n) == v->kind) {
            struct hx_version was = node_get(n);
            if (over) {
                detach(s, &was);
                node_set(n, v);
                attach(s, v);
            }
            return 0;
        }
        if (n->lsn < v->lsn || (n->lsn == v->lsn && hx_rec_is_base(v->kind))) /* X1 */
            break;
    }
    uint32_t older = *link, i = node_take(x); /* takes no node away from under link: chunks do not move */
    if (i == HX_NONE)
        return HX_E_NOMEM;
    struct hx_node_rec *n = node_at(x, i);
    node_set(n, v);
    n->older = older;
    n->depth = depth_over(x, v->kind, older);
    *link = i;
    slot_set_list(t, head);
    attach(s, v);
    if (n->depth && n->depth % 16 == 0)
        hx_space_long_chain(s, page, n->depth);
    return 0;
}

int hx_index_insert(struct hx_seg *s, uint32_t page, const struct hx_version *v, bool local, bool over)
{
    struct hx_index *x = &s->index;
    struct slot *t = slot_find(x, page);
    if (!t)
        return insert_first(s, page, v);
    over = over || local;
    if (slot_kind(t)) {
        struct hx_version was = slot_unpack(x, t);
        bool twin = was.lsn == v->lsn && was.kind == v->kind;
        if (twin && !over)
            return 0;
        int err = spread(x, t);
        if (err)
            return err;
    }
    int err = insert_into_list(s, t, page, v, over);
    settle(x, t);
    return err;
}

void hx_index_remove(struct hx_seg *s, uint32_t page, const struct hx_version *v)
{
    struct hx_index *x = &s->index;
    struct slot *t = slot_find(x, page);
    if (t && slot_kind(t)) {
        struct hx_version was = slot_unpack(x, t);
        if (was.lsn != v->lsn || was.file != v->file || was.pos != v->pos || was.at != v->at)
            return;
        detach(s, &was);
        slot_drop(x, page);
        return;
    }
    uint32_t head = t ? slot_list(t) : HX_NONE, *link = &head;
    for (; *link != HX_NONE; link = &node_at(x, *link)->older) {
        struct hx_node_rec *n = node_at(x, *link);
        if (n->lsn != v->lsn || n->file != v->file || n->pos != v->pos || n->at != v->at)
            continue;
        struct hx_version was = node_get(n);
        uint32_t i = *link;
        detach(s, &was);
        *link = n->older;
        node_give(x, i);
        slot_set_list(t, head);
        if (head == HX_NONE)
            slot_drop(x, page);
        else
            settle(x, t);
        return;
    }
}

void hx_index_prune(struct hx_seg *s, uint32_t page)
{
    struct hx_index *x = &s->index;
    struct slot *t = slot_find(x, page);
    if (!t || slot_kind(t))
        return;
    uint32_t i = slot_list(t);
    /* Down to the newest base at or below the floor; what is older than that goes (X4). */
    for (; i != HX_NONE; i = node_at(x, i)->older) {
        const struct hx_node_rec *n = node_at(x, i);
        bool passed = n->lsn <= s->floor || HX_MUTANT(FLOOR_IGNORED);
        if (hx_rec_is_base(node_kind(n)) && passed)
            break;
    }
    if (i == HX_NONE)
        return;
    uint64_t lsn = node_at(x, i)->lsn;
    uint32_t old = node_at(x, i)->older;
    node_at(x, i)->older = HX_NONE;
    while (old != HX_NONE) {
        struct hx_version v = node_get(node_at(x, old));
        uint32_t next = node_at(x, old)->older;
        if (v.lsn < lsn && lsn > s->oldest) {
            s->oldest = lsn;
            hx_seg_touch(s);
        }
        detach(s, &v);
        node_give(x, old);
        old = next;
    }
    settle(x, t);
}
