/*
 * test_sidecar.c - a sidecar whose checksums are right and whose content makes no sense is refused: what follows from
 * it (the index, inventories, pages) trusts it without another look.
 *
 * Method: the sidecar of one log file with a frame of three records, on a disk of two calls; each case breaks one rule,
 * the checksums are made right again, and the load says CORRUPT.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/store.h"

#include <stdlib.h>

#define RECS 3u
#define LIST (2 * HX_LOG_SIDE_FRAME + RECS * HX_LOG_SIDE_REC)

struct side_disk {
    struct hx_disk base;
    uint8_t p[HX_LOG_SIDE_HEAD + LIST];
    size_t len;
};
static const struct hx_disk_place place = {{{9}}, 1};
static struct hx_seg_env env = {.server = {{7}}, .name = "a1"};

static int disk_read(struct hx_disk *d, uint64_t file, uint64_t off, void *buf, size_t len, size_t *ret_len)
{
    const struct side_disk *s = HX_CONTAINER_OF(d, struct side_disk, base);
    if (file != (16 | HX_LOG_SIDE_BIT))
        return HX_E_NOENT;
    size_t n = off < s->len ? s->len - (size_t)off : 0;
    *ret_len = n < len ? n : len;
    memcpy(buf, s->p + off, *ret_len);
    return 0;
}

static int disk_write(struct hx_disk *d, uint64_t file, uint64_t off, const void *buf, size_t len)
{
    struct side_disk *s = HX_CONTAINER_OF(d, struct side_disk, base);
    assert_true(file == (16 | HX_LOG_SIDE_BIT) && off + len <= sizeof s->p);
    memcpy(s->p + off, buf, len);
    s->len = (size_t)off + len > s->len ? (size_t)off + len : s->len;
    return 0;
}

static int disk_flush(struct hx_disk *d, uint64_t file)
{
    (void)d;
    (void)file;
    return 0;
}

static const struct hx_disk_ops ops = {.read = disk_read, .write = disk_write, .flush = disk_flush};

struct content {
    struct hx_side_frame frame, damaged;
    struct hx_side_rec rec[RECS];
};

static struct content good(void)
{
    struct content c = {
        .frame = {.off = 0, .len = HX_FRAME_HEAD + 60, .count = RECS, .raw_len = 60, .body_len = 60,
                  .kind = HX_ENV_FRAME, .first = 11, .last = 14, .prev = 10, .epoch = 1},
        .damaged = {.off = 300, .kind = HX_ENV_FRAME, .flags = HX_ENV_DAMAGED, .first = 15, .last = 20},
    };
    static const uint32_t off[RECS] = {0, 1, 3};
    for (unsigned i = 0; i < RECS; i++)
        c.rec[i] = (struct hx_side_rec){off[i], i, 5, 8, HX_REC_SPARSE, 0};
    return c;
}

/* Saves the content as a sidecar of log file 16 and loads it; the load's answer. */
static int load(const struct content *c, struct side_disk *d, void (*spoil)(uint8_t *head))
{
    struct hx_seg s = {.disk = &d->base, .at = place, .env = &env};
    struct hx_logfile f = {.id = 16, .end = 1000, .sealed = true};
    struct hx_buf got = {0};
    s.meta.geometry.pg_bytes = HX_PG_SIZE_MIN;
    uint8_t *p = hx_buf_add(&f.side, LIST);
    assert_non_null(p);
    hx_side_frame_encode(&c->frame, p);
    for (unsigned i = 0; i < RECS; i++)
        hx_side_rec_encode(&c->rec[i], p + HX_LOG_SIDE_FRAME + i * HX_LOG_SIDE_REC);
    hx_side_frame_encode(&c->damaged, p + HX_LOG_SIDE_FRAME + RECS * HX_LOG_SIDE_REC);
    *d = (struct side_disk){.base = {&ops}};
    assert_int_equal(hx_side_save(&s, &f), 0);
    if (spoil) {
        spoil(d->p);
        hx_put_u32(d->p + 108, hx_crc32c(0, d->p, 108));
    }
    int err = hx_side_load(&s, &f, &got);
    if (!err)
        assert_int_equal(got.len, LIST);
    hx_buf_fini(&got);
    return err;
}

#define REFUSED(change)                                        \
    do {                                                       \
        struct content c = good();                             \
        change;                                                \
        assert_int_equal(load(&c, &d, NULL), HX_E_CORRUPT);    \
    } while (0)

/* Promise: each rule of a frame's lengths and of its records is checked when a sidecar is loaded. */
static void lists_that_make_no_sense_are_damage(void **state)
{
    struct side_disk d;
    struct content sound = good();
    (void)state;
    assert_int_equal(load(&sound, &d, NULL), 0);
    REFUSED(c.frame.raw_len = HX_FRAME_RAW_MAX + 1);
    REFUSED(c.frame.body_len = HX_FRAME_MAX);
    REFUSED(c.frame.codec = 2);
    REFUSED(c.frame.len++);
    REFUSED(c.frame.off = 1000 - HX_LOG_ENV - c.frame.len + 1); /* beyond the end of its file */
    REFUSED(c.frame.body_len = 59; c.frame.len--);      /* raw, and shorter than its content */
    REFUSED(c.frame.raw_len = 61; c.frame.codec = 1);   /* not what its records say */
    REFUSED(c.frame.first = 10);                        /* not above its backlink */
    REFUSED(c.frame.last = 13);                         /* not the last record's */
    REFUSED(c.frame.last = 9);
    REFUSED(c.frame.flags = HX_ENV_DAMAGED);            /* damaged, and has records */
    REFUSED(c.damaged.flags = 0);                       /* not damaged, and has none */
    REFUSED(c.damaged.last = 14);                       /* the wrong way round */
    REFUSED(c.rec[0].lsn_off = 1);                      /* the first is the frame's first */
    REFUSED(c.rec[1].lsn_off = 0);
    REFUSED(c.rec[2].page = 256);                       /* the group has 256 pages */
    REFUSED(c.rec[2].len = HX_PAGE_SIZE + 1);
    REFUSED(c.rec[2].flags = 2);
    REFUSED(c.rec[2].kind = 0);
    REFUSED(c.rec[2].kind = HX_REC_SPARSE + 1);
    sound.frame.codec = 1; /* compressed: any length of the body */
    sound.frame.body_len = 40;
    sound.frame.len = HX_FRAME_HEAD + 40;
    assert_int_equal(load(&sound, &d, NULL), 0);
}

static void other_file(uint8_t *head)
{
    hx_put_u64(head + 8, 17);
}

static void other_server(uint8_t *head)
{
    hx_put_u32(head + 80, 1);
}

static void no_version(uint8_t *head)
{
    hx_put_u16(head + 4, 0);
}

static void newer_version(uint8_t *head)
{
    hx_put_u16(head + 4, 2);
}

static void newer_version_elsewhere(uint8_t *head)
{
    newer_version(head);
    other_file(head);
}

static void too_long(uint8_t *head)
{
    hx_put_u32(head + 72, 64u << 20);
}

static void longer(uint8_t *head)
{
    hx_put_u32(head + 72, LIST + 1);
}

/* Promise: a sidecar of another file or server, of no version, or of another length is not this one's; one of a newer
 * version is, and no damage. */
static void heads_that_are_not_this_files_are_refused(void **state)
{
    static void (*const spoil[])(uint8_t *) = {other_file, other_server, no_version, newer_version_elsewhere, too_long,
                                             longer};
    struct side_disk d;
    struct content c = good();
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(spoil); i++)
        assert_int_equal(load(&c, &d, spoil[i]), HX_E_CORRUPT);
    assert_int_equal(load(&c, &d, newer_version), HX_E_VERSION);
    assert_int_equal(load(&c, &d, NULL), 0);
    struct hx_seg s = {.disk = &d.base, .at = place, .env = &env};
    struct hx_logfile f = {.id = 18};
    struct hx_buf got = {0};
    uint64_t stable;
    assert_int_equal(hx_side_load(&s, &f, &got), HX_E_NOENT);
    f.id = 16;
    d.len = 50;
    assert_int_equal(hx_side_head(&s, &f, &stable), HX_E_CORRUPT);
    assert_false(f.sided);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_that_make_no_sense_are_damage),
        cmocka_unit_test(heads_that_are_not_this_files_are_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("sidecar", tests, NULL, NULL);
}
