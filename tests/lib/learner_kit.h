/*
 * learner_kit.h - six servers with the same random pages (seg_model.h), and a seventh that learns them: what the tests
 * of hydrate.c and fill.c share.  Between the servers the test sees, counts and changes what is said.
 */
#ifndef HX_TEST_LEARNER_KIT_H
#define HX_TEST_LEARNER_KIT_H

#include "../../src/store/node_private.h"
#include "seg_model.h"

#include <stdlib.h>

#define PG HX_MODEL_PG
#define GROUP (8u << 20)
#define STRIDE 85u /* so that the pages lie in 24 of the 32 ranges */
#define LEARNER HX_COPIES

/* ---- six members, and what they tell the seventh ---- */
static struct {
    unsigned reads, digests, points, too_old, lagging, pages; /* answers that the learner got; pages asked for */
    uint64_t bytes;
    unsigned sources; /* bits: who gave pages */
    int (*change)(struct hx_rig *r, unsigned to, unsigned type, struct hx_rig_reply *a);
} seen;

static inline void edit(struct hx_rig *r, unsigned from, unsigned to, unsigned type, struct hx_rig_reply *a)
{
    if (from != LEARNER)
        return;
    seen.reads += type == HX_MSG_READ && !a->head.status;
    seen.digests += type == HX_MSG_DIGEST && !a->head.status;
    seen.points += type == HX_MSG_STATUS;
    seen.too_old += a->head.status == HX_E_TOO_OLD;
    seen.lagging += a->head.status == HX_E_LAGGING;
    seen.bytes += type == HX_MSG_READ ? a->body.len : 0;
    if (type == HX_MSG_READ && !a->head.status) {
        seen.sources |= 1u << to;
        seen.pages += HX_FILL_RANGE;
    }
    if (seen.change)
        seen.change(r, to, type, a);
}

static inline void work(struct hx_rig *r, struct hx_model *m, unsigned frames, bool to_learner)
{
    for (unsigned k = 0; k < frames; k++) {
        uint64_t vdl = m->acked - (m->acked > 4 ? hx_model_dice(m) % 4 : 0);
        if (hx_model_dice(m) % 2 && vdl > m->vdl)
            m->vdl = vdl;
        size_t n = hx_model_frame(r, m, 1 + (unsigned)(hx_model_dice(m) % 4));
        for (unsigned i = 0; i < r->count; i++)
            if (r->node[i] && (i != LEARNER || to_learner))
                assert_int_equal(hx_rig_append(r, i, 1, m->vdl, m->floor, r->frame, n, NULL), 0);
        m->acked = m->last;
    }
}

static inline void start(struct hx_rig *r, struct hx_model *m, uint64_t seed)
{
    memset(&seen, 0, sizeof seen);
    hx_model_init(m, seed);
    m->stride = STRIDE;
    hx_rig_init(r, HX_COPIES + 1, GROUP, 2, 64u << 10);
    r->edit = edit;
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_format(r, i, PG), 0);
    work(r, m, 200, false);
    for (unsigned i = 0; i < 10; i++)
        hx_rig_step(r, 100);
}

static inline void finish(struct hx_rig *r, struct hx_model *m)
{
    hx_rig_fini(r);
    hx_model_fini(m);
}

static inline int learn(struct hx_rig *r)
{
    return hx_rig_learn(r, LEARNER, PG);
}

static inline void restart(struct hx_rig *r)
{
    hx_rig_stop(r, LEARNER);
    assert_int_equal(hx_rig_start(r, LEARNER), 0);
}

/* So that it takes long enough. */
static inline void learn_slowly(struct hx_rig *r, uint32_t bytes_per_s)
{
    r->repair_bytes_per_s = bytes_per_s;
    restart(r);
    assert_int_equal(learn(r), 0);
}

static inline struct hx_segment_look look(struct hx_rig *r, unsigned i)
{
    struct hx_segment_look l;
    assert_int_equal(hx_node_look(r->node[i], hx_rig_place(r, PG), &l), 0);
    return l;
}

static inline const struct hx_seg *segment(const struct hx_rig *r)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    return hx_node_find(r->node[LEARNER], &at.volume, at.pg);
}

static inline bool filling(const struct hx_rig *r)
{
    return segment(r)->filling;
}

static inline bool until_filled(struct hx_rig *r, unsigned steps)
{
    for (unsigned k = 0; k < steps && filling(r); k++)
        hx_rig_step(r, 50);
    return !filling(r);
}

static inline void check_at(struct hx_rig *r, const struct hx_model *m, uint64_t point)
{
    for (uint32_t page = 0; page < HX_MODEL_PAGES; page++) {
        uint8_t want[HX_PAGE_SIZE], got[HX_PAGE_SIZE];
        struct hx_read_page p, theirs;
        int err = hx_rig_read(r, LEARNER, PG, 1, point, page * STRIDE, got, &p);
        hx_model_fold(m, page * STRIDE, point, want);
        if (err || p.state == HX_READ_CORRUPT || memcmp(want, got, sizeof want))
            fail_msg("page %u at %llu: error %d, state %u", page, (unsigned long long)point, err, p.state);
        if (hx_rig_read(r, 0, PG, 1, point, page * STRIDE, NULL, &theirs))
            continue;
        assert_int_equal(p.lsn.v, theirs.lsn.v); /* or a scrub would take it for another page */
        assert_int_equal(p.state, theirs.state);
    }
}

/* Everything, from its oldest point to its newest. */
static inline void check_all(struct hx_rig *r, struct hx_model *m)
{
    struct hx_segment_look l = look(r, LEARNER);
    assert_int_equal(l.error, 0);
    assert_int_equal(l.unknowns, 0);
    assert_true(l.oldest.v <= l.scl.v);
    check_at(r, m, l.scl.v);
    check_at(r, m, l.oldest.v);
    for (unsigned i = 0; i < 10; i++)
        check_at(r, m, l.oldest.v + hx_model_dice(m) % (l.scl.v - l.oldest.v + 1));
}

static inline void until_equal(struct hx_rig *r, const struct hx_model *m)
{
    for (unsigned k = 0; k < 400 && look(r, LEARNER).scl.v < m->acked; k++)
        hx_rig_step(r, 100);
    assert_int_equal(look(r, LEARNER).scl.v, m->acked);
}

#endif
