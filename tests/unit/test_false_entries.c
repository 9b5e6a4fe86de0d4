/*
 * test_false_entries.c - entries of a log file that are whole, every checksum right, and not what belongs there
 * (misdirected, stale, swapped: scrub.c U1); and log files that are shorter than they were, or gone.
 *
 * Method: one field of an entry is changed on the disk of a running server and everything is sealed again.  A read
 * gives CORRUPT, never other bytes; the scrub finds the entry.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"
#include "seg_model.h"

#include <stdlib.h>

#define PG HX_MODEL_PG
#define FIRST HX_LOG_FIRST_ID
#define NEEDED 12u /* records of the first frame, */
#define BEGIN 10u  /* the first of which has this LSN, and page */
#define LAST (BEGIN + NEEDED - 1)

static struct hx_seg *segment(struct hx_rig *r)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    struct hx_seg *s = hx_node_find(r->node[0], &at.volume, at.pg);
    assert_non_null(s);
    return s;
}

static struct hx_logfile *file_of(struct hx_rig *r, uint64_t id)
{
    struct hx_seg *s = segment(r);
    for (size_t i = 0; i < s->log.slot_count; i++)
        if (s->log.files[i] && s->log.files[i]->id == id)
            return s->log.files[i];
    fail_msg("no file %u", (unsigned)id);
    return NULL;
}

/* What record LSN writes: LEN bytes. */
static void content(uint64_t lsn, bool noise, uint8_t *p, size_t len)
{
    struct hx_model dice = {.rng = lsn};
    for (size_t i = 0; i < len; i++)
        p[i] = noise ? (uint8_t)hx_model_dice(&dice) : (uint8_t)(i / 50 + lsn);
    p[len - 1] |= 1;
}

/* COUNT images of LEN bytes from LSN on, of the pages of the same numbers, in one frame. */
static void add(struct hx_rig *r, uint64_t lsn, unsigned count, size_t len, bool noise)
{
    static uint8_t image[NEEDED][HX_PAGE_SIZE];
    struct hx_rig_rec recs[NEEDED];
    assert_in_range(count, 1, NEEDED);
    for (unsigned k = 0; k < count; k++) {
        content(lsn + k, noise, image[k], len);
        recs[k] = (struct hx_rig_rec){lsn + k, (uint32_t)(lsn + k), HX_REC_IMAGE, HX_REC_CPL, image[k], len};
    }
    size_t n = hx_rig_frame(r, PG, 1, lsn > BEGIN ? lsn - 1 : 0, recs, count, (struct hx_rig_marks){0, 0, 0});
    assert_int_equal(hx_rig_append(r, 0, 1, 0, 0, r->frame, n, NULL), 0);
}

/* File 16 begins with a frame of NEEDED records, and is closed; COMPRESSED: or raw. */
static void start(struct hx_rig *r, bool compressed)
{
    hx_model_start(r, 64u << 10);
    add(r, BEGIN, NEEDED, 2000, !compressed);
    for (uint64_t lsn = LAST + 1; file_of(r, FIRST)->sealed == false; lsn++)
        add(r, lsn, 1, 3000, true);
    hx_rig_step(r, 50);
    assert_true(file_of(r, FIRST)->sided);
}

static uint8_t *bytes(struct hx_rig *r, uint64_t id, size_t *ret_len)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    uint8_t *p = hx_mem_file(r->farm[0], &at, id, ret_len);
    assert_non_null(p);
    return p;
}

/* Reads the last page of the first frame; its state.  It is never wrong. */
static unsigned read_page(struct hx_rig *r, bool compressed)
{
    uint8_t got[HX_PAGE_SIZE], want[HX_PAGE_SIZE] = {0};
    struct hx_read_page p;
    hx_bodies_forget(&segment(r)->env->bodies, segment(r));
    assert_int_equal(hx_rig_read(r, 0, PG, 1, LAST, LAST, got, &p), 0);
    content(LAST, !compressed, want, 2000);
    if (p.state != HX_READ_CORRUPT)
        assert_memory_equal(got, want, sizeof want);
    return p.state;
}

/* ---- a frame in place of the first one ---- */
struct forged {
    struct hx_frame_head h;
    uint8_t *body; /* of the file: raw, or not */
};

static struct forged open_frame(struct hx_rig *r)
{
    size_t len;
    struct forged f;
    uint8_t *p = bytes(r, FIRST, &len) + HX_LOG_ENV;
    assert_int_equal(hx_frame_head_decode(p, len, &f.h), 0);
    f.body = p + HX_FRAME_HEAD;
    return f;
}

static void close_frame(struct forged *f)
{
    f->h.body_crc = hx_crc32c(0, f->body, f->h.body_len);
    hx_frame_head_encode(&f->h, f->body - HX_FRAME_HEAD);
}

/* A raw body of COUNT records, all of LEN bytes. */
static void raw_body(struct forged *f, unsigned count, uint16_t len, uint32_t raw_len)
{
    f->h.codec = 0;
    f->h.count = count;
    f->h.raw_len = f->h.body_len = raw_len;
    memset(f->body, 0, raw_len);
    for (unsigned i = 0; i < count; i++)
        hx_put_u16(f->body + (size_t)i * HX_REC_HEAD + 8, len);
}

static void other_group(struct forged *f)
{
    f->h.pg++;
}
static void other_volume(struct forged *f)
{
    f->h.volume.b[0]++;
}
static void fewer_records(struct forged *f)
{
    raw_body(f, 1, 5, 40);
}
static void record_longer_than_a_page(struct forged *f)
{
    raw_body(f, NEEDED, HX_PAGE_SIZE + 1, 200);
}
static void record_behind_the_end(struct forged *f)
{
    raw_body(f, NEEDED, 30, 200);
}
static void packed_by_nobody(struct forged *f)
{
    memset(f->body, 0x5a, f->h.body_len);
}
static void other_bytes(struct forged *f)
{
    raw_body(f, NEEDED, 5, 12 * NEEDED + 5 * NEEDED);
}

/* Promise: a page whose record lies in such a frame is CORRUPT, whatever the frame says of itself. */
static void a_read_takes_nothing_from_a_false_frame(void **state)
{
    static void (*const forge[])(struct forged *) = {
        other_group, other_volume, fewer_records, record_longer_than_a_page, record_behind_the_end, packed_by_nobody,
        other_bytes};
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(forge); i++) {
        struct hx_rig r;
        start(&r, true);
        struct forged f = open_frame(&r);
        assert_true(f.h.codec == 1 && f.h.count == NEEDED && f.h.body_len >= 220);
        assert_int_equal(read_page(&r, true), HX_READ_RAW);
        forge[i](&f);
        close_frame(&f);
        if (read_page(&r, true) != HX_READ_CORRUPT)
            fail_msg("case %u", (unsigned)i);
        assert_int_equal(segment(&r)->error, 0);
        hx_rig_fini(&r);
    }
}

/* Promise: what a log file has lost, at its end or with itself, is damage of the pages that were there, no more. */
static void a_file_that_was_cut_is_damage(void **state)
{
    (void)state;
    for (unsigned compressed = 0; compressed < 2; compressed++) {
        const size_t frame = HX_LOG_ENV + HX_FRAME_HEAD, at[] = {HX_LOG_ENV + 40, frame + 100, frame + 9000};
        for (size_t i = 0; i <= HX_ARRAY_LEN(at); i++) {
            struct hx_rig r;
            start(&r, compressed);
            struct hx_disk_place place = hx_rig_place(&r, PG);
            if (i == HX_ARRAY_LEN(at))
                hx_mem_remove_file(r.farm[0], &place, FIRST);
            else
                hx_mem_truncate(r.farm[0], &place, FIRST, at[i]);
            bool there = compressed && i == 2; /* the frame is shorter than that */
            assert_int_equal(read_page(&r, compressed), there ? HX_READ_RAW : HX_READ_CORRUPT);
            uint8_t *data = segment(&r)->env->page; /* and by the window, as many pages are read */
            struct hx_read_page p;
            assert_int_equal(hx_page_read(segment(&r), LAST, LAST, HX_PAGES_MANY, data, &p), 0);
            assert_int_equal(p.state, there ? HX_READ_RAW : HX_READ_CORRUPT);
            hx_rig_fini(&r);
        }
    }
}

/* A long frame: its head is there, and not all of its body. */
static void a_long_frame_that_was_cut_is_damage(void **state)
{
    (void)state;
    static uint8_t image[NEEDED][HX_PAGE_SIZE];
    struct hx_rig_rec recs[NEEDED];
    struct hx_rig r;
    struct hx_disk_place place;
    uint8_t got[HX_PAGE_SIZE];
    struct hx_read_page p;
    hx_model_start(&r, 1u << 20);
    place = hx_rig_place(&r, PG);
    for (unsigned k = 0; k < NEEDED; k++) { /* half noise: 24 KiB when packed */
        content(1 + k, true, image[k], 2048);
        recs[k] = (struct hx_rig_rec){BEGIN + k, BEGIN + k, HX_REC_IMAGE, HX_REC_CPL, image[k], HX_PAGE_SIZE};
        image[k][HX_PAGE_SIZE - 1] = 1;
    }
    size_t n = hx_rig_frame(&r, PG, 1, 0, recs, NEEDED, (struct hx_rig_marks){0, 0, 0});
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
    struct forged f = open_frame(&r);
    assert_true(f.h.codec == 1 && f.h.body_len > 20000);
    assert_int_equal(hx_rig_read(&r, 0, PG, 1, LAST, LAST, got, &p), 0);
    assert_int_equal(p.state, HX_READ_RAW);
    assert_memory_equal(got, image[NEEDED - 1], sizeof got);
    hx_mem_truncate(r.farm[0], &place, FIRST, HX_LOG_ENV + HX_FRAME_HEAD + 15000);
    hx_bodies_forget(&segment(&r)->env->bodies, segment(&r));
    assert_int_equal(hx_rig_read(&r, 0, PG, 1, LAST, LAST, got, &p), 0);
    assert_int_equal(p.state, HX_READ_CORRUPT);
    hx_rig_fini(&r);
}

/* Promise: however much is read by windows, what is kept of it is bounded. */
static void windows_take_no_more_than_their_room(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_read_page p;
    hx_rig_init(&r, 1, 16u << 20, 2, 16u << 20);
    assert_int_equal(hx_rig_format(&r, 0, PG), 0);
    for (uint64_t lsn = BEGIN; lsn < 1210; lsn += 8)
        add(&r, lsn, 8, HX_PAGE_SIZE, true);
    struct hx_seg *s = segment(&r);
    uint8_t *data = s->env->page, want[HX_PAGE_SIZE];
    for (unsigned again = 0; again < 2; again++)
        for (uint64_t lsn = BEGIN; lsn < 1210; lsn += 40) {
            assert_int_equal(hx_page_read(s, (uint32_t)lsn, lsn, HX_PAGES_MANY, data, &p), 0);
            content(lsn, true, want, sizeof want);
            assert_memory_equal(data, want, sizeof want);
            assert_true(s->env->bodies.bytes <= HX_BODIES_BYTES && s->env->bodies.count < HX_BODIES);
        }
    assert_true(s->env->bodies.bytes > HX_BODIES_BYTES / 2);
    hx_rig_fini(&r);
}

/* ---- what the scrub says ---- */
struct entry {
    struct hx_env e;
    struct forged f;
};
#define CHANGE(name, what)               \
    static void name(struct entry *x)    \
    {                                    \
        what;                            \
    }
CHANGE(local, x->e.kind = HX_ENV_LOCAL)
CHANGE(of_another_place, x->e.off += 8)
CHANGE(of_another_file, x->e.file++)
CHANGE(of_another_server, x->e.salt++)
CHANGE(shorter, x->e.body_len -= 8)
CHANGE(first, x->e.first++)
CHANGE(last, x->e.last++)
CHANGE(frame_shorter, x->f.h.body_len = x->f.h.raw_len -= 8)
CHANGE(frame_group, x->f.h.pg++)
CHANGE(frame_volume, x->f.h.volume.b[3]++)
CHANGE(frame_count, x->f.h.count--)
CHANGE(frame_first, x->f.h.first.v--)
CHANGE(frame_last, x->f.h.last.v++)
CHANGE(frame_prev, x->f.h.prev.v++)
CHANGE(frame_epoch, x->f.h.epoch.v++)
CHANGE(frame_codec, x->f.h.codec = 1)
CHANGE(frame_raw_len, x->f.h.raw_len++)
CHANGE(frame_crc, x->f.h.body_crc++)
CHANGE(frame_body, x->f.body[x->f.h.body_len - 1] ^= 1)
CHANGE(nothing, x->e.file += 0)

/* A cycle's reading of the files. */
static void scrub(struct hx_seg *s)
{
    hx_scrub_load(s);
    for (unsigned i = 0; i < 50 && !s->scrub.comparing; i++)
        hx_scrub_step(s, 1u << 20);
    assert_true(s->scrub.comparing);
}

/* Promise: an entry that differs from what its file's list says of it, in any one field, is found. */
static void the_scrub_finds_every_false_entry(void **state)
{
    static const struct {
        void (*change)(struct entry *);
        bool compressed, found;
    } cases[] = {
        {nothing, false, false},       {nothing, true, false},      {local, false, true},
        {of_another_place, false, true}, {of_another_file, false, true}, {of_another_server, false, true},
        {shorter, false, true},        {first, false, true},        {last, false, true},
        {frame_shorter, false, true},  {frame_group, false, true},  {frame_volume, false, true},
        {frame_count, false, true},    {frame_first, false, true},  {frame_last, false, true},
        {frame_prev, false, true},     {frame_epoch, false, true},  {frame_codec, false, true},
        {frame_raw_len, true, true},   {frame_crc, false, true},    {frame_body, false, true},
    };
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(cases); i++) {
        struct hx_rig r;
        size_t len;
        start(&r, cases[i].compressed);
        uint8_t *p = bytes(&r, FIRST, &len);
        struct entry x = {.f = open_frame(&r)};
        assert_int_equal(hx_env_decode(p, &x.e), 0);
        cases[i].change(&x);
        hx_env_encode(&x.e, p);
        hx_frame_head_encode(&x.f.h, p + HX_LOG_ENV);
        scrub(segment(&r));
        if (file_of(&r, FIRST)->rotten != cases[i].found)
            fail_msg("case %u", (unsigned)i);
        hx_rig_fini(&r);
    }
}

/* Promise: what stands between the entries of the open file is looked at, too: a restart would read it.  Of anything
 * but this place's own marks the file is closed, for its sidecar is made of what is known in memory. */
static void the_scrub_looks_between_the_entries(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 4; how++) {
        struct hx_rig r;
        size_t len;
        struct hx_env e;
        hx_model_start(&r, 64u << 10);
        add(&r, BEGIN, 1, 2000, true);
        struct hx_seg *s = segment(&r);
        uint64_t end = s->log.files[s->log.tail]->end;
        assert_int_equal(hx_log_mark(s), 0);
        add(&r, BEGIN + 1, 1, 2000, true);
        uint8_t *p = bytes(&r, FIRST, &len) + end;
        assert_int_equal(hx_env_decode(p, &e), 0);
        assert_int_equal(e.kind, HX_ENV_MARK);
        if (how == 1) {
            e.off -= HX_LOG_ENV; /* a mark of another place */
        } else if (how == 2) {
            e.kind = HX_ENV_FRAME; /* the head of something that is not there */
            e.body_len = 200;
        }
        hx_env_encode(&e, p);
        p[20] ^= how == 3;
        scrub(s);
        assert_int_equal(file_of(&r, FIRST)->sealed, how > 0);
        assert_int_equal(s->scrub.found, how > 0);
        hx_rig_step(&r, 50); /* its sidecar */
        hx_model_restart(&r);
        assert_int_equal(segment(&r)->chain.scl, BEGIN + 1);
        assert_int_equal(segment(&r)->unknown_count, 0);
        hx_rig_fini(&r);
    }
}

/* Promise: an envelope with a good sum that says what cannot be is none: ranges the wrong way round would be in no
 * inventory, and nothing is above the last LSN. */
static void an_envelope_that_cannot_be_is_none(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 9; how++) {
        uint8_t p[HX_LOG_ENV];
        struct hx_env got, e = {.kind = HX_ENV_FRAME, .body_len = 100, .first = 5, .last = 6, .prev_first = 3,
                                .prev_last = 4, .stable = 4};
        e.version = HX_LOG_VERSION;
        e.kind = how == 1 ? HX_ENV_FRAME - 1 : how == 2 ? HX_ENV_END + 1 : how == 3 ? HX_ENV_END : e.kind;
        e.body_len = how == 4 ? HX_FRAME_MAX + 1 : how == 5 ? 0 : e.body_len;
        e.first += how == 6 ? 2 : 0;
        e.prev_first += how == 7 ? 2 : 0;
        e.stable = how == 8 ? UINT64_MAX : e.stable;
        hx_env_encode(&e, p);
        assert_int_equal(hx_env_decode(p, &got), how ? HX_E_BADMSG : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_takes_nothing_from_a_false_frame),
        cmocka_unit_test(a_file_that_was_cut_is_damage),
        cmocka_unit_test(a_long_frame_that_was_cut_is_damage),
        cmocka_unit_test(windows_take_no_more_than_their_room),
        cmocka_unit_test(the_scrub_finds_every_false_entry),
        cmocka_unit_test(the_scrub_looks_between_the_entries),
        cmocka_unit_test(an_envelope_that_cannot_be_is_none),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("false_entries", tests, NULL, NULL);
}
