/*
 * seg_model.c - see seg_model.h.  The work is a function of the seed alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "seg_model.h"

#include <stdlib.h>

uint64_t hx_model_dice(struct hx_model *m)
{
    m->rng ^= m->rng << 13;
    m->rng ^= m->rng >> 7;
    m->rng ^= m->rng << 17;
    return m->rng >> 11;
}

void hx_model_fold(const struct hx_model *m, uint32_t page, uint64_t point, uint8_t out[HX_PAGE_SIZE])
{
    uint64_t from = point;
    while (from > 0 && !(m->recs[from].page == page && hx_rec_is_base(m->recs[from].kind)))
        from--;
    memset(out, 0, HX_PAGE_SIZE);
    for (uint64_t l = from ? from : 1; l <= point; l++)
        if (m->recs[l].page == page)
            assert_int_equal(hx_rec_apply(out, m->recs[l].kind, m->recs[l].payload, m->recs[l].len), 0);
}

static void put_range(struct hx_model *m, struct hx_model_rec *r, size_t len)
{
    hx_put_u16(r->payload, (uint16_t)(hx_model_dice(m) % (HX_PAGE_SIZE - len)));
    hx_put_u16(r->payload + 2, (uint16_t)len);
    for (size_t i = 0; i < len; i++)
        r->payload[4 + i] = (uint8_t)hx_model_dice(m);
    r->len = (uint16_t)(len + 4);
}

static void make_rec(struct hx_model *m, uint64_t lsn)
{
    struct hx_model_rec *r = &m->recs[lsn];
    unsigned what = (unsigned)(hx_model_dice(m) % 100);
    memset(r, 0, sizeof *r);
    r->page = (uint32_t)(hx_model_dice(m) % (hx_model_dice(m) % 3 ? 4 : HX_MODEL_PAGES)); /* some are hot */
    r->page *= m->stride ? m->stride : 1;
    if (what < 75) {
        r->kind = HX_REC_PATCH;
        put_range(m, r, 1 + hx_model_dice(m) % 60);
    } else if (what < 92) {
        r->kind = HX_REC_IMAGE;
        r->len = (uint16_t)(hx_model_dice(m) % (HX_PAGE_SIZE + 1));
        bool random = hx_model_dice(m) & 1;
        for (size_t i = 0; i < r->len; i++)
            r->payload[i] = random ? (uint8_t)hx_model_dice(m) : (uint8_t)(i / 100);
        if (r->len)
            r->payload[r->len - 1] |= 1;
    } else if (what < 96) {
        r->kind = HX_REC_SPARSE;
        put_range(m, r, 20);
    } else {
        r->kind = what < 98 ? HX_REC_ZERO : HX_REC_FREE;
    }
}

void hx_model_fini(struct hx_model *m)
{
    free(m->recs);
    m->recs = NULL;
}

void hx_model_init(struct hx_model *m, uint64_t seed)
{
    *m = (struct hx_model){.rng = seed * 7919 + 1};
    m->recs = calloc(HX_MODEL_LSNS + 1, sizeof *m->recs);
    assert_non_null(m->recs);
}

/* The next frame: COUNT records after m->last.  *ret_len of r->frame. */
size_t hx_model_frame(struct hx_rig *r, struct hx_model *m, unsigned count)
{
    struct hx_rig_rec recs[64];
    for (unsigned i = 0; i < count; i++) {
        uint64_t lsn = m->last + 1 + i;
        make_rec(m, lsn);
        const struct hx_model_rec *x = &m->recs[lsn];
        recs[i] = (struct hx_rig_rec){lsn, x->page, x->kind, i + 1 == count ? HX_REC_CPL : 0, x->payload, x->len};
    }
    size_t n = hx_rig_frame(r, HX_MODEL_PG, 1, m->last, recs, count, (struct hx_rig_marks){m->vdl, m->floor, m->floor});
    m->last += count;
    return n;
}

/* One step: a frame, then perhaps the VDL and floor move on, and background work gets a turn.  The ack's status. */
int hx_model_step(struct hx_rig *r, struct hx_model *m)
{
    uint64_t scl = 0;
    size_t n = hx_model_frame(r, m, 1 + (unsigned)(hx_model_dice(m) % (hx_model_dice(m) % 8 ? 4 : 60)));
    int err = hx_rig_append(r, 0, 1, m->vdl, m->floor, r->frame, n, &scl);
    if (err)
        return err;
    assert_int_equal(scl, m->last);
    m->acked = m->last;
    uint64_t vdl = m->acked - (m->acked > 10 ? hx_model_dice(m) % 3 : 0),
             floor = m->vdl - (m->vdl > 40 ? hx_model_dice(m) % 40 : m->vdl);
    if (hx_model_dice(m) % 2 && vdl > m->vdl)
        m->vdl = vdl;
    if (hx_model_dice(m) % 3 == 0 && floor > m->floor)
        m->floor = floor;
    if (hx_model_dice(m) % 4 == 0)
        hx_rig_step(r, 50);
    return 0;
}

static void check_page(struct hx_rig *r, const struct hx_model *m, uint32_t page, uint64_t point)
{
    uint8_t want[HX_PAGE_SIZE], got[HX_PAGE_SIZE];
    struct hx_read_page p;
    hx_model_fold(m, page, point, want);
    int err = hx_rig_read(r, 0, HX_MODEL_PG, 1, point, page, got, &p);
    if (err || p.state == HX_READ_CORRUPT || memcmp(want, got, sizeof want))
        fail_msg("page %u at %llu: err %d state %u, floor %llu", page, (unsigned long long)point, err,
                 p.state, (unsigned long long)m->floor);
}

/* Every page at the newest point and some at older ones. */
void hx_model_check(struct hx_rig *r, struct hx_model *m, unsigned old_points)
{
    for (uint32_t page = 0; page < HX_MODEL_PAGES; page++)
        check_page(r, m, page, m->acked);
    for (unsigned i = 0; i < old_points; i++) {
        uint64_t point = m->floor + hx_model_dice(m) % (m->acked - m->floor + 1);
        check_page(r, m, (uint32_t)(hx_model_dice(m) % HX_MODEL_PAGES), point);
    }
}

size_t hx_model_images(struct hx_rig *r, uint64_t first, unsigned count, uint64_t mark)
{
    static uint8_t image[8][HX_PAGE_SIZE];
    struct hx_rig_rec recs[8];
    for (unsigned k = 0; k < count; k++) {
        uint64_t lsn = first + k;
        struct hx_model noise = {.rng = lsn};
        for (size_t i = 0; i < HX_PAGE_SIZE; i++)
            image[k][i] = i ? (uint8_t)hx_model_dice(&noise) : (uint8_t)lsn;
        recs[k] = (struct hx_rig_rec){lsn, (uint32_t)(lsn % 4), HX_REC_IMAGE, HX_REC_CPL, image[k], HX_PAGE_SIZE};
    }
    return hx_rig_frame(r, HX_MODEL_PG, 1, first - 1, recs, count, (struct hx_rig_marks){mark, mark, mark});
}

void hx_model_start(struct hx_rig *r, uint32_t log_file_bytes)
{
    hx_rig_init(r, 1, 1u << 20, 2, log_file_bytes);
    assert_int_equal(hx_rig_format(r, 0, HX_MODEL_PG), 0);
}

void hx_model_restart(struct hx_rig *r)
{
    hx_rig_stop(r, 0);
    assert_int_equal(hx_rig_start(r, 0), 0);
}
