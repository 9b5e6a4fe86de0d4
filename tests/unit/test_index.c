/*
 * test_index.c - the page index against a dumb twin, and what it costs.
 *
 * Promises: after any mixture of insertions, relocations, removals and prunings the index gives the same versions in
 * the same order as sorted arrays do, also of versions whose numbers fit no slot; every file knows how many versions
 * point into it, and of what weight; a segment of 10 GiB whose pages have one version each stays within 16 bytes a page
 * and the fixed part that index.c names, and one with a few pages takes memory for these only; lists give their memory
 * back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/store.h"

#include <stdlib.h>

#define PAGES 150u
#define FILES 5u
#define MOST 40u /* versions of a page in the twin */

struct twin {
    struct hx_version v[PAGES][MOST]; /* newest first */
    unsigned count[PAGES];
};
static struct hx_seg_env env = {.name = "a1"};
static uint64_t rng;

static uint32_t dice(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 20) % n;
}

static struct hx_seg *seg_new(uint64_t pages, uint32_t files)
{
    struct hx_seg *s;
    const struct hx_geometry g = {.pg_bytes = pages * HX_PAGE_SIZE};
    assert_int_equal(hx_seg_new(&env, NULL, (struct hx_disk_place){{{1}}, 0}, &s), 0);
    hx_seg_index_init(s, &g);
    for (uint32_t i = 0; i < files; i++) {
        uint32_t slot;
        struct hx_logfile *f = calloc(1, sizeof *f);
        assert_non_null(f);
        f->id = 16 + i;
        assert_int_equal(hx_log_slot(&s->log, f, &slot), 0);
    }
    return s;
}

static void twin_insert(struct twin *t, uint32_t page, const struct hx_version *v, bool over)
{
    unsigned n = t->count[page], i = 0;
    for (unsigned k = 0; k < n; k++) {
        if (t->v[page][k].lsn != v->lsn || t->v[page][k].kind != v->kind)
            continue;
        if (over)
            t->v[page][k] = *v;
        return;
    }
    while (i < n && !(t->v[page][i].lsn < v->lsn || (t->v[page][i].lsn == v->lsn && hx_rec_is_base(v->kind))))
        i++; /* X1 */
    memmove(&t->v[page][i + 1], &t->v[page][i], (n - i) * sizeof t->v[page][0]);
    t->v[page][i] = *v;
    t->count[page]++;
}

static void twin_remove(struct twin *t, uint32_t page, unsigned i)
{
    t->count[page]--;
    memmove(&t->v[page][i], &t->v[page][i + 1], (t->count[page] - i) * sizeof t->v[page][0]);
}

static void twin_prune(struct twin *t, uint32_t page, uint64_t floor)
{
    for (unsigned i = 0; i < t->count[page]; i++)
        if (hx_rec_is_base(t->v[page][i].kind) && t->v[page][i].lsn <= floor)
            t->count[page] = i + 1;
}

static void compare(const struct hx_seg *s, const struct twin *t)
{
    uint64_t refs[FILES] = {0}, live[FILES] = {0}, versions = 0, pages = 0;
    for (uint32_t page = 0; page < PAGES; page++) {
        struct hx_index_walk w = hx_index_walk(&s->index, page);
        struct hx_version v;
        for (unsigned i = 0; i < t->count[page]; i++) {
            const struct hx_version *e = &t->v[page][i];
            assert_true(hx_index_next(&w, &v));
            assert_true(v.lsn == e->lsn && v.kind == e->kind && v.codec == e->codec && v.sum == e->sum);
            assert_true(v.file == e->file && v.pos == e->pos && v.at == e->at && v.len == e->len);
            refs[v.file]++;
            live[v.file] += v.len + HX_REC_HEAD;
        }
        assert_false(hx_index_next(&w, &v));
        assert_int_equal(hx_index_has(&s->index, page, UINT64_MAX), t->count[page] > 0);
        versions += t->count[page];
        pages += t->count[page] > 0;
    }
    for (unsigned i = 0; i < FILES; i++) {
        assert_int_equal(s->log.files[i]->refs, refs[i]);
        assert_int_equal(s->log.files[i]->live, live[i]);
    }
    assert_int_equal(s->index.versions, versions);
    assert_int_equal(s->index.pages, pages);
}

static struct hx_version make(uint64_t lsn)
{
    static const uint8_t bases[] = {HX_REC_IMAGE, HX_REC_ZERO, HX_REC_FREE, HX_REC_SPARSE};
    struct hx_version v;
    uint8_t codec = (uint8_t)dice(2);
    uint32_t entry = dice(60u << 20) / 8 * 8;
    hx_version_place(&v, dice(FILES), entry, codec, dice(10) ? dice(4096) : dice(20000), dice(200000),
                     (uint16_t)dice(HX_PAGE_SIZE + 1));
    v.lsn = dice(20) ? lsn : (UINT64_C(1) << 43) + lsn; /* too large for a slot now and then */
    v.kind = dice(2) ? HX_REC_PATCH : bases[lsn % 4]; /* of one LSN at most a patch and the base made of it */
    v.sum = (uint32_t)rng;
    return v;
}

static void step(struct hx_seg *s, struct twin *t, uint64_t top)
{
    uint32_t page = dice(PAGES), what = dice(16), n = t->count[page];
    if (what < 9 && n < MOST - 1) {
        struct hx_version v = make(top - dice(30));
        bool local = dice(2), over = dice(4) == 0;
        assert_int_equal(hx_index_insert(s, page, &v, local, over), 0);
        twin_insert(t, page, &v, local || over);
    } else if (what < 12 && n) { /* a relocation */
        struct hx_version v = t->v[page][dice(n)];
        v.file = dice(FILES);
        v.pos = 8 * dice(1u << 20);
        assert_int_equal(hx_index_insert(s, page, &v, true, false), 0);
        twin_insert(t, page, &v, true);
    } else if (what < 13 && n) {
        unsigned i = dice(n);
        struct hx_version v = t->v[page][i];
        hx_index_remove(s, page, &v);
        twin_remove(t, page, i);
    } else {
        s->floor = top - dice(40);
        hx_index_prune(s, page);
        twin_prune(t, page, s->floor);
    }
}

static void the_index_gives_what_sorted_arrays_give(void **state)
{
    (void)state;
    static struct twin t;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct hx_seg *s = seg_new(PAGES, FILES);
        memset(&t, 0, sizeof t);
        rng = seed * UINT64_C(0x9e3779b97f4a7c15);
        for (uint64_t i = 0; i < 20000; i++) {
            step(s, &t, 100 + i / 8);
            if (i % 97 == 0)
                compare(s, &t);
        }
        compare(s, &t);
        hx_seg_free(s);
    }
}

/* Not removed: what only looks like it, at another place. */
static void only_the_version_meant_is_removed(void **state)
{
    (void)state;
    struct hx_seg *s = seg_new(PAGES, FILES);
    struct hx_version v = {.lsn = 7, .file = 1, .pos = 800, .sum = 5, .len = 9, .kind = HX_REC_IMAGE}, o = v, got;
    assert_int_equal(hx_index_insert(s, 3, &v, false, false), 0);
    struct hx_version other[] = {v, v, v, v};
    other[0].pos = 808;
    other[1].file = 2;
    other[2].lsn = 6;
    other[3].at = 1;
    for (unsigned listed = 0; listed < 2; listed++) {
        for (size_t i = 0; i < HX_ARRAY_LEN(other); i++)
            hx_index_remove(s, 3, &other[i]);
        hx_index_remove(s, 4, &v);
        struct hx_index_walk w = hx_index_walk(&s->index, 3);
        assert_true(hx_index_next(&w, &got) && got.pos == 800);
        o.lsn = 5;
        assert_int_equal(hx_index_insert(s, 3, &o, false, false), 0);
        assert_true(hx_index_listed(&s->index, 3));
    }
    hx_index_remove(s, 3, &o);
    assert_false(hx_index_listed(&s->index, 3));
    hx_index_remove(s, 3, &v);
    assert_false(hx_index_listed(&s->index, 3) || hx_index_listed(&s->index, PAGES + 100));
    assert_false(hx_index_has(&s->index, 3, UINT64_MAX));
    assert_int_equal(s->index.pages, 0);
    hx_seg_free(s);
}

/* The same record once more, at another place: only a relocation or a repair takes over. */
static void the_first_of_two_alike_stays(void **state)
{
    (void)state;
    struct hx_seg *s = seg_new(PAGES, FILES);
    struct hx_version v = {.lsn = 7, .file = 1, .pos = 800, .sum = 5, .len = 9, .kind = HX_REC_IMAGE}, got;
    for (unsigned how = 0; how < 4; how++) {
        assert_int_equal(hx_index_insert(s, 3, &v, how & 1, how & 2), 0);
        struct hx_index_walk w = hx_index_walk(&s->index, 3);
        assert_true(hx_index_next(&w, &got) && got.file == (how ? v.file : 1));
        assert_false(hx_index_next(&w, &got));
        v.file = 2 + how % 3;
    }
    uint32_t at = 4; /* where it was moved to last */
    v.file = 1;
    assert_int_equal(hx_index_insert(s, 3, &v, false, false), 0);
    struct hx_index_walk w = hx_index_walk(&s->index, 3);
    assert_true(hx_index_next(&w, &got) && got.file == at && !hx_index_next(&w, &got));
    hx_seg_free(s);
}

/* Places and LSNs that fit no slot, or only just: they are given back as they were. */
static void what_fits_no_slot_is_kept_all_the_same(void **state)
{
    (void)state;
    static const struct hx_version odd[] = {
        {.lsn = 5, .file = 1099, .pos = 4096, .len = 30, .kind = HX_REC_IMAGE},
        {.lsn = 5, .file = 1, .pos = 1u << 30, .len = 30, .kind = HX_REC_IMAGE},
        {.lsn = UINT64_C(1) << 43, .file = 1, .pos = 8, .len = 30, .kind = HX_REC_IMAGE},
        {.lsn = (UINT64_C(1) << 43) - 1, .file = 1, .pos = 8, .len = 30, .kind = HX_REC_IMAGE},
        {.lsn = 5, .file = 1, .pos = 4, .len = 256, .kind = HX_REC_IMAGE, .codec = 1, .at = 3},
        {.lsn = 5, .file = 1, .pos = 8, .len = 256, .kind = HX_REC_IMAGE, .codec = 1, .at = 1u << 12},
        {.lsn = 5, .file = 1, .pos = 8, .len = 15 * 256, .kind = HX_REC_IMAGE, .codec = 1, .at = (1u << 12) - 1},
    };
    struct hx_seg *s = seg_new(16384, 1100);
    for (uint32_t i = 0; i < HX_ARRAY_LEN(odd); i++) {
        struct hx_version got;
        assert_int_equal(hx_index_insert(s, i, &odd[i], false, false), 0);
        struct hx_index_walk w = hx_index_walk(&s->index, i);
        assert_true(hx_index_next(&w, &got));
        assert_true(got.lsn == odd[i].lsn && got.file == odd[i].file && got.pos == odd[i].pos && got.at == odd[i].at &&
                    got.len == odd[i].len && got.kind == odd[i].kind && got.codec == odd[i].codec);
        assert_int_equal(hx_index_listed(&s->index, i), i != 3 && i != 6);
        assert_int_equal(s->log.files[odd[i].file]->refs > 0, 1);
    }
    hx_seg_free(s);
}

static void a_page_costs_16_bytes(void **state)
{
    (void)state;
    const uint32_t pages = (uint32_t)((UINT64_C(10) << 30) / HX_PAGE_SIZE);
    struct hx_seg *s = seg_new(pages, 160);
    for (uint32_t i = 0; i < pages; i++) {
        struct hx_version v = {.lsn = 1 + (uint64_t)i * 3, .file = i / (pages / 160), .sum = i, .kind = HX_REC_IMAGE,
                               .pos = 200 + i % (pages / 160) * 4108u, .len = HX_PAGE_SIZE};
        uint32_t page = (uint32_t)((uint64_t)i * 1000003 % pages); /* in no order */
        assert_int_equal(hx_index_insert(s, page, &v, false, false), 0);
    }
    assert_int_equal(s->index.pages, pages);
    assert_int_equal(s->index.nodes, 0); /* no lists */
    assert_true(hx_index_bytes(&s->index) <= 16 * (uint64_t)pages + (1u << 20));
    hx_seg_free(s);
}

/* What a volume of very many groups has in each: the memory is for what is stored, not for what could be. */
static void a_segment_with_few_pages_costs_little(void **state)
{
    (void)state;
    const uint32_t pages = (uint32_t)((UINT64_C(10) << 30) / HX_PAGE_SIZE);
    struct hx_version v = {.lsn = 1, .kind = HX_REC_IMAGE, .pos = 200, .len = 8}, got;
    struct hx_seg *s = seg_new(pages, 1);
    assert_int_equal(hx_index_bytes(&s->index), 0);
    assert_int_equal(hx_index_after(&s->index, 0), HX_NONE);
    assert_int_equal(hx_index_insert(s, 1, &v, false, false), 0);
    assert_true(hx_index_bytes(&s->index) <= 2048);
    assert_int_equal(hx_index_after(&s->index, 2), HX_NONE);
    assert_int_equal(hx_index_insert(s, pages - 1, &v, false, false), 0);
    assert_true(hx_index_bytes(&s->index) <= 12 * 1024);
    assert_int_equal(hx_index_after(&s->index, 0), 1);
    assert_int_equal(hx_index_after(&s->index, 2), pages - 1);
    assert_int_equal(hx_index_after(&s->index, pages), HX_NONE);
    for (uint32_t page = pages / 2 - 1; page < pages / 2 + 5000; page += 100) {
        struct hx_index_walk w = hx_index_walk(&s->index, page); /* in blocks that are not there */
        assert_false(hx_index_next(&w, &got));
        hx_index_remove(s, page, &v);
        hx_index_prune(s, page);
    }
    hx_seg_free(s);
}

static void lists_give_their_memory_back(void **state)
{
    (void)state;
    const uint32_t pages = 1u << 17;
    struct hx_seg *s = seg_new(pages, 1);
    for (uint64_t round = 0; round < 3; round++)
        for (uint32_t i = 0; i < pages; i++) {
            struct hx_version v = {.lsn = 1 + i + round * pages, .pos = 8 * i, .kind = HX_REC_IMAGE, .len = 8};
            assert_int_equal(hx_index_insert(s, i, &v, false, false), 0);
        }
    assert_int_equal(s->index.nodes, 3 * pages);
    s->floor = 10 * pages;
    for (uint32_t i = 0; i < pages; i++)
        hx_index_prune(s, i);
    assert_int_equal(s->index.nodes, 0);
    assert_int_equal(s->index.versions, pages);
    assert_true(hx_index_bytes(&s->index) <= 18 * (uint64_t)pages);
    assert_int_equal(s->oldest, 3 * pages);
    hx_seg_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_index_gives_what_sorted_arrays_give),
        cmocka_unit_test(only_the_version_meant_is_removed),
        cmocka_unit_test(the_first_of_two_alike_stays),
        cmocka_unit_test(what_fits_no_slot_is_kept_all_the_same),
        cmocka_unit_test(a_page_costs_16_bytes),
        cmocka_unit_test(a_segment_with_few_pages_costs_little),
        cmocka_unit_test(lists_give_their_memory_back),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
