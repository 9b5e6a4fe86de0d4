/*
 * index.c - page -> the versions and patches that reads may need, newest first, 24 bytes each.
 *
 *   X1 A page's list is ordered by LSN, newest first; of one LSN a base stands before a patch.  So a walk down
 *      from a read point meets the newest base first and needs nothing below it.
 *   X2 Every entry points into a frame of the frame table; a frame counts who points to it (entries and held
 *      records) and leaves the table with the last one.  A log file counts its frames the same way: a file that
 *      nobody points into is dead.
 *   X3 Only records that are valid under the own history are here (apply.c).
 *   X4 Pruning (I10) drops only what no read point at or above the floor needs, and raises s->oldest to the base
 *      that it stopped at: a read below that is TOO_OLD.
 *
 * A page that was freed keeps its FREE record as a tombstone, for an older version may still lie in an older
 * file and would come back at the next restart.
 * Memory: chunks of 1,024 entries, allocated when the first of them is used; entries are reused.
 */
#include "store.h"

#include "hexad/mutant.h"

#include <stdlib.h>

#define CHUNK_BITS 10u
#define CHUNK (1u << CHUNK_BITS)

/* ---- tables ---- */
static void *table_at(const struct hx_table *t, uint32_t i, size_t size)
{
    return t->chunks[i >> CHUNK_BITS] + (i & (CHUNK - 1)) * size;
}

/* A number, from the free list (whose links FREE_NEXT reads) or a new one; HX_NONE: no memory. */
static uint32_t table_take(struct hx_table *t, size_t size)
{
    hx_assert(t->used < HX_NONE - 1);
    if ((t->used & (CHUNK - 1)) == 0) {
        if (hx_buf_grow(&t->chunks, &t->chunk_cap, t->chunk_count, sizeof *t->chunks))
            return HX_NONE;
        uint8_t *c = calloc(CHUNK, size);
        if (!c)
            return HX_NONE;
        t->chunks[t->chunk_count++] = c;
    }
    return t->used++;
}

static void table_fini(struct hx_table *t)
{
    for (size_t i = 0; i < t->chunk_count; i++)
        free(t->chunks[i]);
    free(t->chunks);
    *t = (struct hx_table){0};
}

struct hx_node_rec *hx_index_node(const struct hx_index *x, uint32_t i)
{
    return table_at(&x->nodes, i, sizeof(struct hx_node_rec));
}

struct hx_frame_ref *hx_index_frame(const struct hx_index *x, uint32_t i)
{
    return table_at(&x->frames, i, sizeof(struct hx_frame_ref));
}

static uint32_t node_take(struct hx_index *x)
{
    uint32_t i = x->nodes.free_head;
    if (i != HX_NONE)
        x->nodes.free_head = hx_index_node(x, i)->older;
    else
        i = table_take(&x->nodes, sizeof(struct hx_node_rec));
    x->nodes.live += i != HX_NONE;
    return i;
}

static void node_give(struct hx_index *x, uint32_t i)
{
    hx_index_node(x, i)->older = x->nodes.free_head;
    x->nodes.free_head = i;
    x->nodes.live--;
}

uint32_t hx_index_frame_new(struct hx_seg *s, const struct hx_frame_ref *f)
{
    struct hx_index *x = &s->index;
    uint32_t i = x->frames.free_head;
    if (i != HX_NONE)
        x->frames.free_head = hx_index_frame(x, i)->off;
    else
        i = table_take(&x->frames, sizeof *f);
    if (i == HX_NONE)
        return i;
    struct hx_frame_ref *at = hx_index_frame(x, i);
    *at = *f;
    at->refs = 1;
    x->frames.live++;
    s->log.files[f->file]->refs++;
    return i;
}

void hx_index_frame_unref(struct hx_seg *s, uint32_t frame)
{
    struct hx_frame_ref *f = hx_index_frame(&s->index, frame);
    hx_assert(f->refs > 0 && f->file != HX_NONE); /* X2 */
    if (--f->refs)
        return;
    s->log.files[f->file]->refs--;
    f->file = HX_NONE;
    f->off = s->index.frames.free_head;
    s->index.frames.free_head = frame;
    s->index.frames.live--;
}

int hx_index_init(struct hx_index *x, uint64_t pages)
{
    *x = (struct hx_index){.nodes.free_head = HX_NONE, .frames.free_head = HX_NONE};
    x->head_chunks = (size_t)((pages + CHUNK - 1) >> CHUNK_BITS);
    x->heads = calloc(x->head_chunks ? x->head_chunks : 1, sizeof *x->heads);
    return x->heads ? 0 : HX_E_NOMEM;
}

void hx_index_fini(struct hx_index *x)
{
    for (size_t i = 0; x->heads && i < x->head_chunks; i++)
        free(x->heads[i]);
    free(x->heads);
    table_fini(&x->nodes);
    table_fini(&x->frames);
    *x = (struct hx_index){0};
}

/* ---- pages ---- */
uint32_t hx_index_head(const struct hx_index *x, uint32_t page)
{
    size_t c = page >> CHUNK_BITS;
    return c < x->head_chunks && x->heads[c] ? x->heads[c][page & (CHUNK - 1)] : HX_NONE;
}

static uint32_t *head_slot(struct hx_index *x, uint32_t page)
{
    size_t c = page >> CHUNK_BITS;
    hx_assert(c < x->head_chunks); /* side.c, log.c: the page is one of the group */
    if (!x->heads[c]) {
        x->heads[c] = malloc(CHUNK * sizeof **x->heads);
        if (!x->heads[c])
            return NULL;
        memset(x->heads[c], 0xff, CHUNK * sizeof **x->heads);
    }
    return &x->heads[c][page & (CHUNK - 1)];
}

uint64_t hx_index_lsn(const struct hx_index *x, const struct hx_node_rec *n)
{
    return hx_index_frame(x, n->frame)->first + n->lsn_off;
}

/* What an entry adds to the live bytes of its file. */
static uint64_t weight(const struct hx_node_rec *n)
{
    return (uint64_t)n->len + HX_REC_HEAD;
}

static void attach(struct hx_seg *s, struct hx_node_rec *n, const struct hx_version *v)
{
    struct hx_frame_ref *f = hx_index_frame(&s->index, v->frame);
    n->frame = v->frame;
    n->lsn_off = v->lsn_off;
    n->sum = v->sum;
    n->where = v->off << 8 | (v->local ? 0x80u : 0u) | v->kind;
    n->len = v->len;
    f->refs++;
    s->log.files[f->file]->live += weight(n);
}

static void detach(struct hx_seg *s, const struct hx_node_rec *n)
{
    struct hx_frame_ref *f = hx_index_frame(&s->index, n->frame);
    s->log.files[f->file]->live -= weight(n);
    hx_index_frame_unref(s, n->frame);
}

static uint8_t depth_over(const struct hx_index *x, uint8_t kind, uint32_t older)
{
    if (hx_rec_is_base(kind))
        return 0;
    uint8_t d = older == HX_NONE ? 0 : hx_index_node(x, older)->depth;
    return d == UINT8_MAX ? d : (uint8_t)(d + 1);
}

int hx_index_insert(struct hx_seg *s, const struct hx_version *v, bool over)
{
    struct hx_index *x = &s->index;
    uint32_t *link = head_slot(x, v->page);
    if (!link)
        return HX_E_NOMEM;
    uint64_t lsn = hx_index_frame(x, v->frame)->first + v->lsn_off;
    bool was_empty = *link == HX_NONE;
    while (*link != HX_NONE) {
        struct hx_node_rec *n = hx_index_node(x, *link);
        uint64_t have = hx_index_lsn(x, n);
        if (have == lsn && hx_index_kind(n) == v->kind) {
            if (v->local || over) {
                detach(s, n);
                attach(s, n, v);
            }
            return 0;
        }
        if (have < lsn || (have == lsn && hx_rec_is_base(v->kind))) /* X1 */
            break;
        link = &n->older;
    }
    uint32_t older = *link, i = node_take(x);
    if (i == HX_NONE)
        return HX_E_NOMEM;
    struct hx_node_rec *n = hx_index_node(x, i);
    *n = (struct hx_node_rec){.older = older, .depth = depth_over(x, v->kind, older)};
    attach(s, n, v);
    *link = i;
    x->pages += was_empty;
    if (n->depth && n->depth % 16 == 0)
        hx_space_long_chain(s, v->page);
    return 0;
}

void hx_index_remove(struct hx_seg *s, uint32_t page, uint64_t lsn, uint32_t frame)
{
    struct hx_index *x = &s->index;
    uint32_t *head = head_slot(x, page), *link = head;
    for (; link && *link != HX_NONE; link = &hx_index_node(x, *link)->older) {
        struct hx_node_rec *n = hx_index_node(x, *link);
        if (n->frame != frame || hx_index_lsn(x, n) != lsn)
            continue;
        uint32_t i = *link;
        detach(s, n);
        *link = n->older;
        node_give(x, i);
        x->pages -= *head == HX_NONE;
        return;
    }
}

void hx_index_prune(struct hx_seg *s, uint32_t page)
{
    struct hx_index *x = &s->index;
    uint32_t i = hx_index_head(x, page);
    /* Down to the newest base at or below the floor; what is older than that goes (X4). */
    for (; i != HX_NONE; i = hx_index_node(x, i)->older) {
        struct hx_node_rec *n = hx_index_node(x, i);
        bool passed = hx_index_lsn(x, n) <= s->floor || HX_MUTANT(FLOOR_IGNORED);
        if (hx_rec_is_base(hx_index_kind(n)) && passed)
            break;
    }
    if (i == HX_NONE)
        return;
    struct hx_node_rec *base = hx_index_node(x, i);
    uint64_t lsn = hx_index_lsn(x, base);
    uint32_t old = base->older;
    base->older = HX_NONE;
    while (old != HX_NONE) {
        struct hx_node_rec *n = hx_index_node(x, old);
        uint32_t next = n->older;
        if (hx_index_lsn(x, n) < lsn && lsn > s->oldest) {
            s->oldest = lsn;
            hx_seg_touch(s);
        }
        detach(s, n);
        node_give(x, old);
        old = next;
    }
}
