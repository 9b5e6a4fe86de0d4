/*
 * disk_file.c - one file of the simulated disk (disk_file.h has its rules F1 to F3).
 *
 * What an append costs: the copy, a bit per sector, and one saved sector where it begins inside one.  Zeros that are
 * written behind END (space filled ahead) cost a comparison.  Blocks of the pool are not cleared, only their bits.
 */
#include "disk_file.h"

#include "hexad/assert.h"
#include "hexad/err.h"

#include <stdlib.h>
#include <string.h>

#define CAP_MIN 8192u

/* ---- the pool ---- */
static unsigned log2_of(size_t cap)
{
    return (unsigned)(63 - __builtin_clzll(cap));
}

static size_t round_up(size_t n)
{
    return (n + HX_SIM_SECTOR - 1) / HX_SIM_SECTOR * HX_SIM_SECTOR;
}

static size_t bits_bytes(size_t cap)
{
    return (cap / HX_SIM_SECTOR + 63) / 64 * sizeof(uint64_t);
}

static void *pool_take(struct hx_sim_pool *p, size_t cap)
{
    void **block = p->free[log2_of(cap)];
    if (block)
        p->free[log2_of(cap)] = *block;
    else
        block = malloc(cap + bits_bytes(cap));
    if (block)
        memset((uint8_t *)block + cap, 0, bits_bytes(cap));
    return block;
}

static void pool_give(struct hx_sim_pool *p, const struct hx_sim_file *f)
{
    if (!f->data)
        return;
    void **block = (void **)(void *)f->data;
    *block = p->free[log2_of(f->cap)];
    p->free[log2_of(f->cap)] = block;
}

void hx_sim_pool_fini(struct hx_sim_pool *p)
{
    for (unsigned i = 0; i < HX_ARRAY_LEN(p->free); i++)
        for (void **block = p->free[i], **next; block; block = next) {
            next = *block;
            free(block);
        }
    *p = (struct hx_sim_pool){{0}};
}

void hx_sim_file_fini(struct hx_sim_pool *p, struct hx_sim_file *f)
{
    pool_give(p, f);
    free(f->stuck);
    free(f->saved_at);
    free(f->saved);
    *f = (struct hx_sim_file){0};
}

static int reserve(struct hx_sim_pool *p, struct hx_sim_file *f, size_t len)
{
    if (len <= f->cap)
        return 0;
    size_t cap = f->cap ? f->cap : CAP_MIN;
    while (cap < len)
        cap *= 2;
    cap = cap < HX_SIM_FILE_MAX ? cap : HX_SIM_FILE_MAX;
    uint64_t *stuck = f->stuck ? calloc(1, bits_bytes(cap)) : NULL;
    uint8_t *data = pool_take(p, cap);
    if (!data || (f->stuck && !stuck)) {
        free(stuck);
        free(data);
        return HX_E_NOMEM;
    }
    if (f->data) {
        memcpy(data, f->data, round_up(f->end));
        memcpy(data + cap, f->dirty, bits_bytes(f->cap));
        pool_give(p, f);
    }
    if (f->stuck)
        memcpy(stuck, f->stuck, bits_bytes(f->cap));
    free(f->stuck);
    f->stuck = stuck;
    f->data = data;
    f->dirty = (uint64_t *)(void *)(data + cap);
    f->cap = cap;
    return 0;
}

/* ---- sectors ---- */
static bool bit(const uint64_t *bits, uint32_t s)
{
    return bits[s / 64] >> s % 64 & 1;
}

static void set_bits(uint64_t *bits, uint32_t from, uint32_t to)
{
    for (; from < to && from % 64; from++)
        bits[from / 64] |= UINT64_C(1) << from % 64;
    for (; from + 64 <= to; from += 64)
        bits[from / 64] = UINT64_MAX;
    for (; from < to; from++)
        bits[from / 64] |= UINT64_C(1) << from % 64;
}

/* The next dirty sector from S on; f->hi when there is none. */
static uint32_t next_dirty(const struct hx_sim_file *f, uint32_t s)
{
    while (s < f->hi) {
        uint64_t word = f->dirty[s / 64] >> s % 64;
        if (word) {
            s += (uint32_t)__builtin_ctzll(word);
            return s < f->hi ? s : f->hi;
        }
        s = s / 64 * 64 + 64;
    }
    return f->hi;
}

static int save(struct hx_sim_file *f, uint32_t s)
{
    if (f->saved_count == f->saved_cap) {
        size_t cap = f->saved_cap ? 2 * f->saved_cap : 8;
        uint32_t *at = realloc(f->saved_at, cap * sizeof *at);
        if (!at)
            return HX_E_NOMEM;
        f->saved_at = at;
        uint8_t *bytes = realloc(f->saved, cap * HX_SIM_SECTOR);
        if (!bytes)
            return HX_E_NOMEM;
        f->saved = bytes;
        f->saved_cap = cap;
    }
    f->saved_at[f->saved_count] = s;
    memcpy(f->saved + f->saved_count++ * HX_SIM_SECTOR, f->data + (size_t)s * HX_SIM_SECTOR, HX_SIM_SECTOR);
    return 0;
}

/* Sectors [from, to) are about to be written. */
static int touch(struct hx_sim_file *f, struct hx_rng *r, uint32_t from, uint32_t to)
{
    uint32_t filled = (uint32_t)(round_up(f->end) / HX_SIM_SECTOR);
    for (uint32_t s = from; s < to && s < filled; s++) { /* F1 */
        if (bit(f->dirty, s) && ((f->stuck && bit(f->stuck, s)) || hx_rng_below(r, 4)))
            continue;
        int err = save(f, s);
        if (err)
            return err;
    }
    set_bits(f->dirty, from, to);
    if (f->stuck)
        for (uint32_t s = from; s < to; s++)
            f->stuck[s / 64] &= ~(UINT64_C(1) << s % 64);
    bool none = f->lo >= f->hi;
    f->lo = none || from < f->lo ? from : f->lo;
    f->hi = none || to > f->hi ? to : f->hi;
    return 0;
}

/* Puts into DATA what the medium has of the dirty sectors that are in WHICH. */
static void revert(const struct hx_sim_file *f, uint8_t *data, const uint64_t *which)
{
    for (uint32_t s = next_dirty(f, f->lo); s < f->hi; s = next_dirty(f, s + 1))
        if (bit(which, s))
            memset(data + (size_t)s * HX_SIM_SECTOR, 0, HX_SIM_SECTOR); /* F2 */
    for (size_t i = 0; i < f->saved_count; i++) {
        uint32_t s = f->saved_at[i];
        if (bit(f->dirty, s) && bit(which, s))
            memcpy(data + (size_t)s * HX_SIM_SECTOR, f->saved + i * HX_SIM_SECTOR, HX_SIM_SECTOR);
    }
}

/* END moves: zeros up to its sector's end (F1). */
static void end_at(struct hx_sim_file *f, size_t end)
{
    f->end = end;
    if (end < round_up(end))
        memset(f->data + end, 0, round_up(end) - end);
}

/* Nothing is left behind LEN: what was there has no name for the medium. */
static void cut_at(struct hx_sim_file *f, size_t len)
{
    f->len = f->medium_len = len;
    if (len < f->end)
        end_at(f, len);
}

static void clean(struct hx_sim_file *f)
{
    if (f->lo < f->hi)
        memset(f->dirty + f->lo / 64, 0, ((f->hi - 1) / 64 - f->lo / 64 + 1) * sizeof *f->dirty);
    f->lo = f->hi = 0;
    f->saved_count = 0;
    free(f->stuck);
    f->stuck = NULL;
}

/* ---- calls ---- */
static bool all_zero(const uint8_t *p, size_t len)
{
    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

void hx_sim_file_read(const struct hx_sim_file *f, size_t off, void *buf, size_t len)
{
    size_t n = off < f->end ? f->end - off : 0;
    n = n < len ? n : len;
    if (n)
        memcpy(buf, f->data + off, n);
    if (n < len)
        memset((uint8_t *)buf + n, 0, len - n);
}

int hx_sim_file_write(struct hx_sim_pool *p, struct hx_sim_file *f, struct hx_rng *r, uint64_t off, const void *buf,
                      size_t len)
{
    if (off > HX_SIM_FILE_MAX || len > HX_SIM_FILE_MAX - off)
        return HX_E_NOSPACE;
    size_t to = (size_t)off + len;
    int err = reserve(p, f, to);
    if (err)
        return err;
    if (off < f->end || !all_zero(buf, len)) {
        err = touch(f, r, (uint32_t)(off / HX_SIM_SECTOR), (uint32_t)(round_up(to) / HX_SIM_SECTOR));
        if (err)
            return err;
        size_t zeros = round_up(f->end); /* a hole in front of it */
        if (off > zeros)
            memset(f->data + zeros, 0, (size_t)off - zeros);
        memcpy(f->data + off, buf, len);
        if (to > f->end)
            end_at(f, to);
    }
    f->len = to > f->len ? to : f->len;
    return 0;
}

void hx_sim_file_flush(struct hx_sim_file *f)
{
    f->named = true;
    f->was = 0;
    f->medium_len = f->len;
    if (!f->stuck) {
        clean(f);
        return;
    }
    for (uint32_t w = f->lo / 64; w <= (f->hi ? f->hi - 1 : 0) / 64; w++)
        f->dirty[w] &= f->stuck[w]; /* F3; their savings stay, and do no harm where a sector is clean */
}

void hx_sim_file_cut(struct hx_sim_file *f, size_t len)
{
    size_t medium = f->medium_len;
    uint32_t from = (uint32_t)(round_up(len) / HX_SIM_SECTOR);
    for (uint32_t s = next_dirty(f, from > f->lo ? from : f->lo); s < f->hi; s = next_dirty(f, s + 1))
        f->dirty[s / 64] &= ~(UINT64_C(1) << s % 64);
    f->hi = f->hi < from ? f->hi : from;
    f->lo = f->lo < f->hi ? f->lo : 0;
    f->hi = f->lo < f->hi ? f->hi : 0;
    cut_at(f, len);
    f->medium_len = medium < len ? medium : len;
}

int hx_sim_file_fail(struct hx_sim_file *f, struct hx_rng *r)
{
    if (f->lo >= f->hi)
        return 0;
    uint64_t *stuck = f->stuck ? f->stuck : calloc(1, bits_bytes(f->cap));
    if (!stuck)
        return HX_E_NOMEM;
    f->stuck = stuck;
    bool all = hx_rng_below(r, 2);
    for (uint32_t s = next_dirty(f, f->lo); s < f->hi; s = next_dirty(f, s + 1))
        if (all || bit(stuck, s) || hx_rng_below(r, 2))
            stuck[s / 64] |= UINT64_C(1) << s % 64;
        else
            f->dirty[s / 64] &= ~(UINT64_C(1) << s % 64);
    return 0;
}

void hx_sim_file_reread(struct hx_sim_file *f)
{
    if (!f->stuck)
        return;
    revert(f, f->data, f->stuck);
    for (uint32_t w = f->lo / 64; w <= (f->hi ? f->hi - 1 : 0) / 64; w++)
        f->dirty[w] &= ~f->stuck[w];
    free(f->stuck);
    f->stuck = NULL;
}

/* Is sector S kept?  MODE: one by one (even, few lost, many lost), from a point on lost, all, none. */
static bool keeps(struct hx_rng *r, unsigned mode, uint32_t cut, uint32_t s)
{
    switch (mode) {
    case 0:
        return hx_rng_below(r, 2);
    case 1:
        return hx_rng_below(r, 16);
    case 2:
        return !hx_rng_below(r, 16);
    case 3:
        return s < cut;
    default:
        return mode == 4;
    }
}

void hx_sim_file_survive(struct hx_sim_file *f, struct hx_rng *r, bool torn, struct hx_sim_survival *count)
{
    unsigned mode = torn ? (unsigned)hx_rng_below(r, 4) : 4 + (unsigned)hx_rng_below(r, 2);
    uint32_t cut = f->lo + (uint32_t)hx_rng_below(r, (uint64_t)f->hi - f->lo + 1);
    size_t len = f->medium_len;
    for (uint32_t s = next_dirty(f, f->lo); s < f->hi; s = next_dirty(f, s + 1)) {
        if ((f->stuck && bit(f->stuck, s)) || !keeps(r, mode, cut, s)) {
            count->lost++;
            continue;
        }
        count->kept++;
        f->dirty[s / 64] &= ~(UINT64_C(1) << s % 64);
        size_t to = ((size_t)s + 1) * HX_SIM_SECTOR;
        len = to > len ? to : len;
    }
    for (size_t i = 0; i < f->saved_count; i++) { /* that version was written back before */
        size_t to = ((size_t)f->saved_at[i] + 1) * HX_SIM_SECTOR;
        len = bit(f->dirty, f->saved_at[i]) && f->saved_at[i] * (size_t)HX_SIM_SECTOR >= len ? to : len;
    }
    if (f->lo < f->hi)
        revert(f, f->data, f->dirty);
    bool longer = len < f->len && !hx_rng_below(r, 4); /* the size may be there without the bytes */
    cut_at(f, longer || len > f->len ? f->len : len);
    f->named = true;
    clean(f);
}

int hx_sim_file_image(struct hx_sim_pool *p, const struct hx_sim_file *f, struct hx_sim_file *ret)
{
    struct hx_sim_file copy = {
        .id = f->was ? f->was : f->id, .len = f->medium_len, .medium_len = f->medium_len, .named = true};
    if (f->cap && !(copy.data = pool_take(p, f->cap)))
        return HX_E_NOMEM;
    copy.cap = f->cap;
    copy.dirty = (uint64_t *)(void *)(copy.data + copy.cap);
    copy.end = f->end;
    if (f->end)
        memcpy(copy.data, f->data, round_up(f->end));
    if (f->lo < f->hi)
        revert(f, copy.data, f->dirty);
    cut_at(&copy, copy.len);
    *ret = copy;
    return 0;
}
