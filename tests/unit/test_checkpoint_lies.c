/*
 * test_checkpoint_lies.c - a checkpoint whose checksums are right and that says what cannot be (ckpt.c K3, K4): it is
 * none, and the restart is as it would be without one.
 *
 * Method: a segment with spans, held records, raw and compressed versions; its checkpoint is changed in one field, and
 * sealed again as its writer would; what a restart then has in index and chain is compared with what there was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"
#include "seg_model.h"

#include <stdlib.h>

#define PG HX_MODEL_PG
#define HINT 80u
#define LAST 90u
#define PAGES 256u

static struct hx_seg *segment(struct hx_rig *r)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    struct hx_seg *s = hx_node_find(r->node[0], &at.volume, at.pg);
    assert_non_null(s);
    return s;
}

/* Record LSN, alone in its frame; every third one compresses. */
static void add(struct hx_rig *r, uint64_t lsn)
{
    struct hx_model noise = {.rng = lsn};
    uint8_t image[3000];
    size_t len = lsn % 3 ? 700 : sizeof image;
    for (size_t i = 0; i < len; i++)
        image[i] = lsn % 3 ? (uint8_t)hx_model_dice(&noise) : (uint8_t)(i / 100 + lsn);
    image[len - 1] |= 1;
    struct hx_rig_rec rec = {lsn, (uint32_t)(lsn % 40), HX_REC_IMAGE, HX_REC_CPL, image, len};
    uint64_t vdl = lsn == LAST ? HINT : 0;
    size_t n = hx_rig_frame(r, PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){vdl, 0, 0});
    assert_int_equal(hx_rig_append(r, 0, 1, vdl, 0, r->frame, n, NULL), 0);
}

/* LSNs 61 and 71 are missing: two spans below the hint; what is above it is held. */
static void start(struct hx_rig *r)
{
    hx_model_start(r, 16u << 10);
    for (uint64_t lsn = 1; lsn <= LAST; lsn++)
        if (lsn != 61 && lsn != 71)
            add(r, lsn);
    for (unsigned i = 0; i < 20 && !segment(r)->ckpt.good; i++)
        hx_rig_step(r, 50);
    const struct hx_seg *s = segment(r);
    assert_true(s->ckpt.good && s->chain.span_count == 2 && s->chain.held_count == 10 && s->chain.scl == 60);
}

/* All of index and chain that decides what anybody hears. */
static uint32_t fingerprint(struct hx_rig *r)
{
    const struct hx_seg *s = segment(r);
    const struct hx_chain *c = &s->chain;
    struct hx_version v;
    uint32_t sum = 0;
    assert_int_equal(s->error, 0);
    for (uint32_t page = 0; page < PAGES; page++)
        for (struct hx_index_walk w = hx_index_walk(&s->index, page); hx_index_next(&w, &v);) {
            uint64_t x[] = {page, v.lsn, v.sum, v.kind, s->log.files[v.file]->id, v.pos, v.at, v.codec};
            sum = hx_crc32c(sum, x, sizeof x);
        }
    for (size_t i = 0; i < c->held_count; i++) {
        const struct hx_held *h = &c->held[c->held_at + i];
        uint64_t x[] = {h->lsn, h->prev, h->epoch, h->page, h->sum, h->flags, h->valid, h->kind};
        sum = hx_crc32c(sum, x, sizeof x);
    }
    assert_int_equal(c->span_count, 2);
    uint64_t x[] = {c->scl, c->hint, c->spans[0].prev, c->spans[0].last, c->spans[1].prev};
    return hx_crc32c(sum, x, sizeof x);
}

/* ---- a checkpoint in memory ---- */
struct image {
    struct hx_ckpt_head h;
    uint8_t *p;
    size_t len;
    uint64_t at; /* its file */
};

static struct image take(struct hx_rig *r)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    struct image m = {.at = HX_CKPT_FILE + segment(r)->ckpt.good % 2};
    const uint8_t *p = hx_mem_file(r->farm[0], &at, m.at, &m.len);
    m.p = malloc(m.len);
    assert_true(p && m.p);
    memcpy(m.p, p, m.len);
    assert_int_equal(hx_ckpt_head_decode(m.p, m.len, &m.h), 0);
    assert_int_equal(m.len, HX_CKPT_START + m.h.blocks * HX_CKPT_BLOCK);
    return m;
}

static struct image copy(const struct image *m)
{
    struct image c = *m;
    c.p = malloc(m->len);
    assert_non_null(c.p);
    memcpy(c.p, m->p, m->len);
    return c;
}

static uint8_t *block(const struct image *m, uint32_t i)
{
    return m->p + HX_CKPT_START + (size_t)i * HX_CKPT_BLOCK;
}

/* The number of the block of KIND. */
static uint32_t block_of(const struct image *m, unsigned kind)
{
    for (uint32_t i = 0; i < m->h.blocks; i++)
        if (hx_get_u16(block(m, i) + 20) == kind)
            return i;
    fail_msg("no block of kind %u", kind);
    return 0;
}

static void seal(struct image *m, uint32_t i, unsigned kind, uint32_t len)
{
    hx_ckpt_block_seal(block(m, i), &m->h, i, (uint16_t)kind, len);
}

/* Restarts over M in place of the checkpoint; the generation that was taken. */
static uint64_t restart(struct hx_rig *r, const struct image *m)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    struct hx_disk_farm *farm = hx_mem_farm(r->farm[0]);
    struct hx_disk *d;
    hx_rig_stop(r, 0);
    for (uint64_t id = HX_CKPT_FILE; id < HX_CKPT_FILE + 2; id++)
        hx_mem_remove_file(r->farm[0], &at, id);
    assert_int_equal(farm->ops->open(farm, at, false, &d), 0);
    assert_int_equal(d->ops->write(d, m->at, 0, m->p, m->len), 0);
    assert_int_equal(d->ops->flush(d, m->at), 0);
    farm->ops->close(farm, d);
    assert_int_equal(hx_rig_start(r, 0), 0);
    return segment(r)->ckpt.loaded;
}

static void is_none(struct hx_rig *r, struct image *bad, uint32_t was, const char *what)
{
    if (restart(r, bad))
        fail_msg("%s: it was taken", what);
    if (fingerprint(r) != was)
        fail_msg("%s: the restart gives something else", what);
    free(bad->p);
}

/* ---- items ---- */
enum { PAGE = 0, FILE_ID = 4, LSN = 8, POS = 16, AT = 20, LEN = 28, KIND = 30, CODEC = 31 }; /* of a version */
enum { PREV = 32, FLAGS = 48 }; /* of a held record, too */
enum { RAW, PACKED, ANY };
struct lie {
    const char *what;
    unsigned kind, codec; /* the first item in a block of KIND, of this sort */
    struct {
        unsigned off, bytes;
        uint64_t value; /* is added */
        bool set;       /* no: put there */
    } edit[2];
};
#define PUT(off, bytes, value) {off, bytes, value, true}
#define MORE(off, bytes, value) {off, bytes, value, false}

static const struct lie lies[] = {
    {"a page that is none", HX_CKPT_VERSIONS, ANY, {PUT(PAGE, 4, PAGES)}},
    {"no kind of record", HX_CKPT_VERSIONS, ANY, {PUT(KIND, 1, 0)}},
    {"an unknown kind of record", HX_CKPT_VERSIONS, ANY, {PUT(KIND, 1, HX_REC_SPARSE + 1)}},
    {"an unknown codec", HX_CKPT_VERSIONS, ANY, {PUT(CODEC, 1, 2)}},
    {"more than a page", HX_CKPT_VERSIONS, RAW, {PUT(LEN, 2, HX_PAGE_SIZE + 1)}},
    {"a number in a raw frame", HX_CKPT_VERSIONS, RAW, {PUT(AT, 4, 1)}},
    {"behind the last record of any frame", HX_CKPT_VERSIONS, PACKED, {PUT(AT, 4, HX_FRAME_RECORDS_MAX)}},
    {"a weight that is none", HX_CKPT_VERSIONS, PACKED, {PUT(LEN, 2, 100)}},
    {"where no entry begins", HX_CKPT_VERSIONS, PACKED, {MORE(POS, 4, 1)}},
    {"behind the end of its file", HX_CKPT_VERSIONS, RAW, {PUT(POS, 4, 0x7ffffff8)}},
    {"an entry behind the end of its file", HX_CKPT_VERSIONS, PACKED, {PUT(POS, 4, 0x7ffffff8)}},
    {"above the hint", HX_CKPT_VERSIONS, RAW, {PUT(LSN, 8, HINT + 1)}},
    {"in a file that never was", HX_CKPT_VERSIONS, RAW, {PUT(FILE_ID, 4, 5000)}},
    {"held: a page that is none", HX_CKPT_HELD, ANY, {PUT(PAGE, 4, PAGES)}},
    {"held: an unknown flag", HX_CKPT_HELD, ANY, {PUT(FLAGS, 4, 2)}},
    {"held: its own predecessor", HX_CKPT_HELD, ANY, {MORE(PREV, 8, 1)}},
    {"held: at the hint", HX_CKPT_HELD, ANY, {PUT(LSN, 8, HINT), PUT(PREV, 8, HINT - 1)}},
    {"held: behind the end of its file", HX_CKPT_HELD, ANY, {PUT(POS, 4, 0x7ffffff8)}},
    {"held: in a file that never was", HX_CKPT_HELD, ANY, {PUT(FILE_ID, 4, 5000)}},
    {"an empty run", HX_CKPT_SPANS, ANY, {MORE(0, 8, 9)}},
    {"a run above the hint", HX_CKPT_SPANS, ANY, {PUT(8, 8, HINT + 1)}},
    {"a run within the one before", HX_CKPT_SPANS, ANY, {PUT(16, 8, 69)}},
    {"a file that is not before the tail", HX_CKPT_FILES, ANY, {PUT(0, 8, 4000)}},
    {"a file of another length", HX_CKPT_FILES, ANY, {MORE(8, 8, 8)}},
    {"a file with another sidecar", HX_CKPT_FILES, ANY, {MORE(16, 4, 1)}},
    {"a log that went further", HX_CKPT_END, ANY, {MORE(8, 8, 1 << 20)}},
    {"a last file that is gone", HX_CKPT_END, ANY, {MORE(0, 8, 1)}},
};

static void tell(struct image *m, const struct lie *l)
{
    uint32_t i = block_of(m, l->kind);
    uint8_t *p = block(m, i) + HX_CKPT_BLOCK_HEAD;
    uint32_t len = hx_get_u32(block(m, i) + 24);
    while (l->codec != ANY && p[CODEC] != (l->codec == PACKED)) {
        p += HX_CKPT_VERSION_BYTES;
        assert_true(p < block(m, i) + HX_CKPT_BLOCK_HEAD + len);
    }
    for (unsigned k = 0; k < 2 && l->edit[k].bytes; k++) {
        uint8_t *to = p + l->edit[k].off;
        uint64_t was = 0;
        for (unsigned b = 0; b < l->edit[k].bytes && !l->edit[k].set; b++)
            was |= (uint64_t)to[b] << 8 * b;
        for (unsigned b = 0; b < l->edit[k].bytes; b++)
            to[b] = (uint8_t)((was + l->edit[k].value) >> 8 * b);
    }
    seal(m, i, l->kind, len);
}

/* Promise: no field of it is believed for its checksum's sake. */
static void one_that_says_what_cannot_be_is_none(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r);
    struct image good = take(&r);
    uint32_t was = fingerprint(&r);
    assert_int_equal(restart(&r, &good), good.h.generation);
    assert_int_equal(fingerprint(&r), was);
    for (size_t i = 0; i < HX_ARRAY_LEN(lies); i++) {
        struct image bad = copy(&good);
        tell(&bad, &lies[i]);
        is_none(&r, &bad, was, lies[i].what);
    }
    assert_int_equal(restart(&r, &good), good.h.generation); /* it was not the files */
    assert_int_equal(fingerprint(&r), was);
    free(good.p);
    hx_rig_fini(&r);
}

/* Promise: nor are its blocks: cut within an item, of no kind, at another place, longer than they are; nor one that
 * does not name a file. */
static void blocks_that_cannot_be_are_none(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r);
    struct image good = take(&r);
    uint32_t was = fingerprint(&r);
    for (unsigned kind = 1; kind < HX_CKPT_KINDS; kind++) {
        struct image bad = copy(&good);
        uint32_t i = block_of(&bad, kind), len = hx_get_u32(block(&bad, i) + 24);
        seal(&bad, i, kind, len - 4);
        is_none(&r, &bad, was, "cut");
    }
    for (unsigned kind = 0; kind <= HX_CKPT_KINDS; kind += HX_CKPT_KINDS) {
        struct image bad = copy(&good);
        seal(&bad, 0, kind, hx_get_u32(block(&bad, 0) + 24));
        is_none(&r, &bad, was, "no kind");
    }
    struct image bad = copy(&good);
    uint32_t i = block_of(&bad, HX_CKPT_FILES);
    seal(&bad, i, HX_CKPT_FILES, hx_get_u32(block(&bad, i) + 24) - HX_CKPT_FILE_BYTES);
    is_none(&r, &bad, was, "a file is not named");

    bad = copy(&good);
    seal(&bad, block_of(&bad, HX_CKPT_END), HX_CKPT_END, 0);
    is_none(&r, &bad, was, "it does not say how far the log went");

    bad = copy(&good);
    i = block_of(&bad, HX_CKPT_END);
    memcpy(block(&bad, i) + HX_CKPT_BLOCK_HEAD + HX_CKPT_END_BYTES, block(&bad, i) + HX_CKPT_BLOCK_HEAD,
           HX_CKPT_END_BYTES);
    seal(&bad, i, HX_CKPT_END, 2 * HX_CKPT_END_BYTES);
    is_none(&r, &bad, was, "it says that twice");

    bad = copy(&good);
    memcpy(block(&bad, 0), block(&good, 1), HX_CKPT_BLOCK); /* its own number is in it */
    is_none(&r, &bad, was, "another one's place");

    bad = copy(&good);
    uint8_t salt[4], *p = block(&bad, 0);
    hx_put_u32(p + 24, HX_CKPT_ROOM + 1);
    hx_put_u32(salt, bad.h.salt);
    hx_put_u32(p + 4, hx_crc32c(hx_crc32c(0, salt, sizeof salt), p + 8, HX_CKPT_BLOCK - 8));
    is_none(&r, &bad, was, "longer than a block");
    assert_int_equal(restart(&r, &good), good.h.generation);
    free(good.p);
    hx_rig_fini(&r);
}

/* Promise (K3): a last file of which nothing was durable may be gone. */
static void a_last_file_that_held_nothing_may_be_gone(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r);
    const struct lie gone = {"gone", HX_CKPT_END, ANY, {PUT(0, 8, 5000), PUT(8, 8, 0)}};
    struct image m = take(&r);
    uint32_t was = fingerprint(&r);
    tell(&m, &gone);
    assert_int_equal(restart(&r, &m), m.h.generation);
    assert_int_equal(fingerprint(&r), was);
    free(m.p);
    hx_rig_fini(&r);
}

/* Promise: nor is its head: of a newer format, of another size of group, of an impossible place in the log, of a tail
 * that is longer than what there is, in the place of the other one. */
static void heads_that_cannot_be_are_none(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r);
    struct image good = take(&r);
    uint32_t was = fingerprint(&r);
    static const char *const what[] = {"anchor", "tail", "hint", "pages", "salt", "tail's end", "turn", "version"};
    for (unsigned k = 0; k < HX_ARRAY_LEN(what); k++) {
        struct image bad = copy(&good);
        struct hx_ckpt_head *h = &bad.h;
        h->anchor = k == 0 ? h->hint + 1 : h->anchor;
        h->tail = k == 1 ? HX_LOG_FIRST_ID - 1 : h->tail;
        h->hint = k == 2 ? UINT64_MAX : h->hint;
        h->pages += k == 3;
        h->salt += k == 4;
        h->tail_end += (uint64_t)(k == 5) << 20; /* T is shorter than it was: records are lost */
        h->generation += k == 6;
        hx_ckpt_head_encode(h, bad.p);
        if (k == 7) { /* no program wrote that; what a newer one writes: test_golden */
            hx_put_u16(bad.p + 4, 0);
            hx_put_u32(bad.p + HX_CKPT_HEAD - 4, hx_crc32c(0, bad.p, HX_CKPT_HEAD - 4));
            assert_int_equal(hx_ckpt_head_decode(bad.p, bad.len, h), HX_E_CORRUPT);
        }
        for (uint32_t i = 0; i < h->blocks; i++) /* each fits this head */
            seal(&bad, i, hx_get_u16(block(&bad, i) + 20), hx_get_u32(block(&bad, i) + 24));
        is_none(&r, &bad, was, what[k]);
    }
    assert_int_equal(restart(&r, &good), good.h.generation);
    free(good.p);
    hx_rig_fini(&r);
}

/* ---- when there is one at all ---- */
/* Promise (K3): one whose tail is lost, with all that came later, covers for nothing: what is missing is told. */
static void without_its_tail_it_is_none(void **state)
{
    (void)state;
    struct hx_rig r;
    start(&r);
    struct image good = take(&r);
    struct hx_disk_place at = hx_rig_place(&r, PG);
    assert_true(good.h.tail_end > 0 && good.h.anchor == 60);
    for (uint64_t id = good.h.tail; id < good.h.tail + 4; id++) {
        hx_mem_remove_file(r.farm[0], &at, id);
        hx_mem_remove_file(r.farm[0], &at, id | HX_LOG_SIDE_BIT);
    }
    assert_int_equal(restart(&r, &good), 0);
    free(good.p);
    hx_rig_fini(&r);
}

/* LAST records, a checkpoint of them, and the next one begun; the log ends in file ID at BEFORE. */
static struct hx_seg *in_the_middle_of_one(struct hx_rig *r, uint64_t *ret_before, uint64_t *ret_id)
{
    for (uint64_t lsn = 1; lsn <= LAST; lsn++)
        add(r, lsn);
    struct hx_seg *s = segment(r);
    for (unsigned i = 0; i < 20 && !s->ckpt.good; i++)
        hx_rig_step(r, 50);
    s->ckpt.since = 0; /* it is time for one */
    assert_true(hx_ckpt_work(s) && s->ckpt.active);
    *ret_before = s->log.files[s->log.tail]->durable;
    *ret_id = s->log.files[s->log.tail]->id;
    return s;
}

/* Promise (K3): nor is one for whose pages something is missing that was durable when it was whole, though not yet when
 * it was begun.  Here: the image that had superseded all of a page, in a write that the disk dropped. */
static void what_came_while_it_was_made_has_to_be_there(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_version v;
    uint8_t image[100] = {1};
    hx_model_start(&r, 16u << 10);
    uint64_t before, id;
    struct hx_seg *s = in_the_middle_of_one(&r, &before, &id);
    struct hx_rig_rec rec = {LAST + 1, 11, HX_REC_IMAGE, HX_REC_CPL, image, sizeof image};
    size_t n = hx_rig_frame(&r, PG, 1, LAST, &rec, 1, (struct hx_rig_marks){LAST, 0, 0});
    assert_int_equal(hx_rig_append(&r, 0, 1, LAST + 1, LAST + 1, r.frame, n, NULL), 0);
    struct hx_index_walk w = hx_index_walk(&s->index, 11);
    assert_true(hx_index_next(&w, &v) && v.lsn == LAST + 1 && !hx_index_next(&w, &v));
    while (s->ckpt.active)
        hx_ckpt_work(s);
    assert_true(s->ckpt.good && before && s->log.files[s->log.tail]->id == id);
    struct hx_disk_place at = hx_rig_place(&r, PG);
    hx_rig_stop(&r, 0);
    hx_mem_truncate(r.farm[0], &at, id, before);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    s = segment(&r);
    assert_int_equal(s->ckpt.loaded, 0);
    w = hx_index_walk(&s->index, 11);
    assert_true(hx_index_next(&w, &v) && v.lsn == 51);
    hx_rig_fini(&r);
}

/* Promise (R4, K3): nor is one behind which the log is found to be damaged, for the same reason: what the damaged image
 * superseded is not in it, and the page would be one that never was, where it has to be CORRUPT or what was before.
 * Here: the file that was open then is closed now, its sidecar is bad, and so is the image. */
static void with_damage_behind_it_it_is_none(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_version v;
    struct hx_read_page got;
    uint8_t image[100] = {1}, data[HX_PAGE_SIZE];
    size_t len;
    hx_model_start(&r, 16u << 10);
    uint64_t before, id;
    struct hx_seg *s = in_the_middle_of_one(&r, &before, &id);
    for (uint64_t lsn = LAST + 1; lsn <= LAST + 2; lsn++) { /* the second one proves that the first was whole */
        struct hx_rig_rec rec = {lsn, lsn == LAST + 1 ? 11 : 12, HX_REC_IMAGE, HX_REC_CPL, image, sizeof image};
        size_t n = hx_rig_frame(&r, PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){lsn - 1, 0, 0});
        assert_int_equal(hx_rig_append(&r, 0, 1, lsn, lsn, r.frame, n, NULL), 0);
    }
    struct hx_index_walk w = hx_index_walk(&s->index, 11);
    assert_true(hx_index_next(&w, &v) && v.lsn == LAST + 1 && !hx_index_next(&w, &v));
    while (s->ckpt.active)
        hx_ckpt_work(s);
    uint64_t good = s->ckpt.good;
    assert_true(good && s->log.files[s->log.tail]->id == id);
    assert_int_equal(hx_log_seal(s), 0);
    assert_int_equal(hx_seg_flush(s), 0);
    for (unsigned i = 0; i < 20; i++)
        hx_rig_step(&r, 50);
    assert_int_equal(s->ckpt.good, good);
    struct hx_disk_place at = hx_rig_place(&r, PG);
    hx_rig_stop(&r, 0);
    uint8_t *p = hx_mem_file(r.farm[0], &at, id, &len);
    assert_true(p && len > before + HX_LOG_ENV + 8);
    p[before + HX_LOG_ENV + 8] ^= 1; /* in the frame's head */
    p = hx_mem_file(r.farm[0], &at, id | HX_LOG_SIDE_BIT, &len);
    assert_non_null(p);
    p[len - 1] ^= 1; /* in the list */
    assert_int_equal(hx_rig_start(&r, 0), 0);
    s = segment(&r);
    assert_true(s->unknown_count > 0);
    w = hx_index_walk(&s->index, 11);
    assert_true(hx_index_next(&w, &v) && v.lsn == 51);
    assert_int_equal(s->ckpt.loaded, 0);
    int err = hx_rig_read(&r, 0, PG, 1, LAST + 2, 11, data, &got);
    assert_true(err || got.state == HX_READ_CORRUPT);
    hx_rig_fini(&r);
}

/* Promise (K1): none is begun, and one that was begun is given up, while anything is in doubt, or the disk is full. */
static void none_is_made_while_anything_is_in_doubt(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_disk_place at;
    size_t len;
    start(&r);
    struct hx_seg *s = segment(&r);
    struct hx_logfile *f = s->log.files[0];
    at = hx_rig_place(&r, PG);
    for (unsigned k = 0; k < 14; k++) {
        bool begun = k % 2, bad = k / 2 < 6;
        while (s->ckpt.active)
            hx_ckpt_work(s);
        s->ckpt.since = 0; /* it is time for one */
        if (begun)
            assert_true(hx_ckpt_work(s) && s->ckpt.active);
        if (k / 2 == 0)
            assert_int_equal(hx_seg_unknown(s, 5, 5, 5, false), 0);
        s->log.endless = k / 2 == 1;
        s->nospace = k / 2 == 2;
        s->error = k / 2 == 3 ? HX_E_POISONED : 0;
        f->damaged = k / 2 == 4;
        f->rotten = k / 2 == 5;
        uint64_t writing = HX_CKPT_FILE + s->ckpt.head.generation % 2;
        assert_int_equal(hx_ckpt_work(s), !bad && !begun);
        if (bad) {
            assert_false(s->ckpt.active);
            assert_null(s->ckpt.block);
            assert_true(!begun || !hx_mem_file(r.farm[0], &at, writing, &len));
        }
        s->unknown_count = 0;
        s->error = 0;
        s->nospace = s->log.endless = f->damaged = f->rotten = false;
    }
    hx_rig_fini(&r);
}

/* COUNT records without content, of pages 0 and on, from LSN on. */
static void empty_records(struct hx_rig *r, uint64_t lsn, uint32_t count, uint64_t vdl)
{
    static struct hx_rig_rec recs[8192];
    for (uint32_t page = 0; page < count; page += HX_ARRAY_LEN(recs)) {
        uint32_t n = count - page < HX_ARRAY_LEN(recs) ? count - page : HX_ARRAY_LEN(recs);
        for (uint32_t i = 0; i < n; i++)
            recs[i] = (struct hx_rig_rec){lsn + page + i, page + i, HX_REC_ZERO, HX_REC_CPL, NULL, 0};
        size_t len = hx_rig_frame(r, PG, 1, lsn + page - 1, recs, n, (struct hx_rig_marks){vdl, 0, 0});
        assert_int_equal(hx_rig_append(r, 0, 1, vdl, 0, r->frame, len, NULL), 0);
    }
}

static void large(struct hx_rig *r, uint64_t pg_bytes)
{
    hx_rig_init(r, 1, pg_bytes, 2, 16u << 10);
    assert_int_equal(hx_rig_format(r, 0, PG), 0);
}

/* Promise: while more records are held than are written in one go there is none. */
static void with_very_many_held_records_there_is_none(void **state)
{
    (void)state;
    const uint32_t most = 64u << 10;
    for (unsigned more = 0; more < 2; more++) {
        struct hx_rig r;
        large(&r, 512u << 20);
        empty_records(&r, 1, most + more, 0);
        struct hx_seg *s = segment(&r);
        assert_int_equal(s->chain.held_count, most + more);
        for (unsigned i = 0; i < 20 && !s->ckpt.good; i++)
            hx_rig_step(&r, 50);
        assert_int_equal(s->ckpt.good > 0, !more);
        assert_int_equal(hx_rig_append(&r, 0, 1, most, 0, NULL, 0, NULL), 0);
        for (unsigned i = 0; i < 20 && !s->ckpt.good; i++)
            hx_rig_step(&r, 50);
        assert_true(s->ckpt.good > 0);
        hx_rig_fini(&r);
    }
}

/* Promise: it is written in pieces, and each is flushed, so that no request waits long; where there is nothing to write
 * there is nothing to flush.  A write that fails in any piece ends it. */
static void it_is_written_in_pieces(void **state)
{
    (void)state;
    for (unsigned fails = 0; fails < 2; fails++) {
        struct hx_rig r;
        unsigned pieces = 0, idle = 0;
        large(&r, UINT64_C(768) << 20); /* 196,608 pages, of which the first 40,000 are there */
        empty_records(&r, 1, 40000, 0);
        assert_int_equal(hx_rig_append(&r, 0, 1, 40000, 0, NULL, 0, NULL), 0);
        struct hx_seg *s = segment(&r);
        for (unsigned i = 0; i < 20 && !s->ckpt.active; i++)
            hx_space_work(s, r.now_ms);
        if (fails)
            hx_mem_fail(r.farm[0], HX_MEM_WRITE, 70, HX_E_IO, false);
        for (bool more = true; more; pieces++) {
            uint64_t calls = hx_mem_calls(r.farm[0]);
            uint32_t blocks = s->ckpt.head.blocks;
            more = hx_ckpt_work(s);
            calls = hx_mem_calls(r.farm[0]) - calls;
            if (more) {
                assert_true(s->ckpt.head.blocks <= blocks + 64);
                assert_int_equal(calls, s->ckpt.head.blocks - blocks + (s->ckpt.head.blocks > blocks));
                idle += calls == 0;
            }
        }
        assert_int_equal(s->ckpt.good > 0, !fails);
        assert_true(fails ? pieces == 2 : pieces == 4 && idle == 1);
        assert_int_equal(s->error, 0);
        hx_rig_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_says_what_cannot_be_is_none),
        cmocka_unit_test(blocks_that_cannot_be_are_none),
        cmocka_unit_test(a_last_file_that_held_nothing_may_be_gone),
        cmocka_unit_test(heads_that_cannot_be_are_none),
        cmocka_unit_test(without_its_tail_it_is_none),
        cmocka_unit_test(what_came_while_it_was_made_has_to_be_there),
        cmocka_unit_test(with_damage_behind_it_it_is_none),
        cmocka_unit_test(none_is_made_while_anything_is_in_doubt),
        cmocka_unit_test(with_very_many_held_records_there_is_none),
        cmocka_unit_test(it_is_written_in_pieces),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("checkpoint_lies", tests, NULL, NULL);
}
