/*
 * page.c - a page as of a read point, made from its newest base and the later patches.
 *
 *   P1 Every payload is compared with the sum taken when it was received; what does not match is never used:
 *      the page is CORRUPT, the record is remembered as unknown, and gossip fetches it again (I11).
 *   P2 While there is blind damage (struct hx_unknown), a page is CORRUPT unless its base is newer than it, or a
 *      peer confirmed the page and the read point is not below that (gossip.c).
 *   P3 A page that most members have otherwise is CORRUPT until the right image is there (compare.c).
 * Refusals by read point (too old, lagging) are the caller's.  Memory: one array per segment, as long as the
 * longest chain read.
 */
#include "store.h"

#include "hexad/mutant.h"

static int payload(struct hx_seg *s, const struct hx_version *v, uint32_t run, uint8_t *buf, struct hx_bytes *ret)
{
    uint16_t len;
    *ret = (struct hx_bytes){buf, v->codec ? 0 : v->len};
    if (v->codec) {
        int err = hx_bodies_get(&s->env->bodies, s, v, &ret->p, &len);
        ret->len = err ? 0 : len;
        return err;
    }
    const uint8_t *window = v->len && run ? hx_bodies_window(&s->env->bodies, s, v, run) : NULL;
    ret->p = window ? window : buf;
    if (window || !v->len)
        return 0;
    return hx_log_read(s, v->file, v->pos, buf, v->len); /* also when another sector of the window was bad */
}

static bool is_whole(const struct hx_version *v, const struct hx_bytes *b)
{
    return v->kind == HX_REC_IMAGE && b->len == HX_PAGE_SIZE;
}

/* *ret_crc: of the page, if the payload is_whole. */
static bool is_right(uint32_t page, const struct hx_version *v, const struct hx_bytes *b, uint32_t *ret_crc)
{
    uint32_t sum;
    if (is_whole(v, b)) /* who asks needs the crc of the page as well, and it is gone through once only */
        sum = hx_store_image_sum(*ret_crc = hx_crc32c(0, b->p, b->len), page);
    else
        sum = hx_store_sum(v->kind, page, b->p, b->len);
    return sum == v->sum || HX_MUTANT(SUM_IGNORED);
}

static int summed(struct hx_seg *s, uint32_t page, const struct hx_version *v, uint32_t run, uint8_t *buf,
                  struct hx_bytes *ret, uint32_t *ret_crc)
{
    const uint8_t *p = run ? NULL : hx_bodies_block(&s->env->bodies, s, v);
    *ret = (struct hx_bytes){p, v->len};
    if (p && is_right(page, v, ret, ret_crc))
        return 0;
    int err = payload(s, v, run, buf, ret);
    if (!err && !is_right(page, v, ret, ret_crc))
        err = HX_E_CORRUPT;
    if (err == HX_E_IO)
        err = HX_E_CORRUPT; /* a sector that cannot be read is as lost as one that lies */
    if (err == HX_E_CORRUPT)
        hx_seg_unknown(s, v->lsn, v->lsn, page, false); /* P1 */
    return err;
}

int hx_page_payload(struct hx_seg *s, uint32_t page, const struct hx_version *v, uint32_t run, uint8_t *buf,
                    struct hx_bytes *ret)
{
    uint32_t crc;
    return summed(s, page, v, run, buf, ret, &crc);
}

int hx_page_try(struct hx_seg *s, uint32_t page, uint64_t lsn, uint32_t slot, const struct hx_side_frame *f)
{
    struct hx_version v;
    for (struct hx_index_walk w = hx_index_walk(&s->index, page); hx_index_next(&w, &v);) {
        struct hx_bytes b;
        if (v.lsn != lsn)
            continue;
        bool here = hx_place_within(v.file, v.pos, v.codec, slot, f);
        int err = here ? hx_page_payload(s, page, &v, 0, s->env->page + HX_PAGE_SIZE, &b) : 0;
        if (err && err != HX_E_CORRUPT)
            return err;
        if (hx_rec_is_base(v.kind))
            break; /* no read needs what is below it */
    }
    return 0;
}

static bool blind_at(const struct hx_seg *s, uint32_t page, uint64_t base, uint64_t point)
{
    for (size_t i = 0; i < s->unknown_count; i++) {
        const struct hx_unknown *u = &s->unknowns[i];
        if (u->blind && point >= u->from && base < u->to && !hx_seg_is_sound(s, u, page, point))
            return !HX_MUTANT(BLIND_IGNORED);
    }
    return false;
}

/* The versions from the newest at or below POINT down to a base, newest first, in s->path. */
static int collect(struct hx_seg *s, uint32_t page, uint64_t point, size_t *ret_count)
{
    size_t n = 0;
    struct hx_version v;
    for (struct hx_index_walk w = hx_index_walk(&s->index, page); hx_index_next(&w, &v);) {
        if (v.lsn > point)
            continue;
        int err = hx_buf_grow(&s->path, &s->path_cap, n, sizeof *s->path);
        if (err)
            return err;
        s->path[n++] = v;
        if (hx_rec_is_base(v.kind))
            break;
    }
    *ret_count = n;
    return 0;
}

/* LSN of the base that a path of N ends with; 0: it has none. */
static uint64_t base_of(const struct hx_seg *s, size_t n)
{
    return n && hx_rec_is_base(s->path[n - 1].kind) ? s->path[n - 1].lsn : 0;
}

bool hx_page_blind(struct hx_seg *s, uint32_t page, uint64_t point)
{
    size_t n;
    if (collect(s, page, point, &n))
        return false; /* no memory: another time */
    return blind_at(s, page, base_of(s, n), point);
}

/* The base of a page is read to where it belongs, if it is such that nothing else has to be done with it. */
static bool in_place(const struct hx_version *v, uint32_t run)
{
    return v->kind == HX_REC_IMAGE && !v->codec && v->len <= HX_PAGE_SIZE && !run;
}

/* What else of a page that is damaged is so: all of it is mended together, not one record after each read. */
static void look_further(struct hx_seg *s, uint32_t page, size_t n, uint32_t run)
{
    struct hx_bytes b;
    while (n-- > 0)
        (void)hx_page_payload(s, page, &s->path[n], run, s->env->page + HX_PAGE_SIZE, &b);
}

/* The page that the N records in s->path make into DATA; *ret_crc: its.  HX_E_CORRUPT: one of them is damaged. */
static int make(struct hx_seg *s, uint32_t page, size_t n, uint32_t run, uint8_t data[HX_PAGE_SIZE], uint32_t *ret_crc)
{
    size_t left = n < HX_MADE_LEAST ? n : hx_made_get(&s->env->made, s, page, s->path, n, data, ret_crc);
    if (!left)
        return 0;
    bool base = left == n && in_place(&s->path[n - 1], run);
    uint32_t crc = 0;
    struct hx_bytes b = {NULL, 0};
    for (size_t i = 0; n > 1 && i < left; i++)
        hx_bodies_expect(&s->env->bodies, s, &s->path[i]);
    if (left == n && !base)
        memset(data, 0, HX_PAGE_SIZE);
    for (; left-- > 0; base = false) {
        const struct hx_version *v = &s->path[left];
        int err = summed(s, page, v, run, base ? data : s->env->page + HX_PAGE_SIZE, &b, &crc);
        if (!err && b.p == data)
            memset(data + b.len, 0, HX_PAGE_SIZE - b.len);
        else if (!err && hx_rec_apply(data, v->kind, b.p, b.len))
            err = HX_E_CORRUPT; /* a writer's mistake: the record came like this */
        if (err == HX_E_CORRUPT)
            look_further(s, page, left, run);
        if (err)
            return err;
    }
    *ret_crc = n == 1 && is_whole(s->path, &b) ? crc : hx_crc32c(0, data, HX_PAGE_SIZE);
    hx_made_keep(&s->env->made, s, page, s->path, n, data, *ret_crc);
    return 0;
}

int hx_page_read(struct hx_seg *s, uint32_t page, uint64_t point, uint32_t run, uint8_t data[HX_PAGE_SIZE],
                 struct hx_read_page *ret)
{
    size_t n;
    int err = collect(s, page, point, &n);
    if (err)
        return err;
    *ret = (struct hx_read_page){.state = HX_READ_ZEROS};
    if (s->unknown_count && blind_at(s, page, base_of(s, n), point)) { /* P2 */
        ret->state = HX_READ_CORRUPT;
        return 0;
    }
    if (s->wrong_count && hx_compare_is_wrong(s, page, point)) { /* P3 */
        ret->state = HX_READ_CORRUPT;
        return 0;
    }
    if (n == 0)
        return 0;
    ret->lsn = HX_LSN(s->path[0].lsn);
    if (n == 1 && (s->path[0].kind == HX_REC_ZERO || s->path[0].kind == HX_REC_FREE))
        return 0;
    err = make(s, page, n, run, data, &ret->crc);
    ret->state = err ? HX_READ_CORRUPT : HX_READ_RAW;
    return err == HX_E_CORRUPT ? 0 : err;
}
