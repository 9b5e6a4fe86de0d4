/*
 * test_blocks.c - the cache of blocks of log files (bodies.c): each block has one place, which others share.
 *
 * Method: hx_bodies_block over a disk that makes up what it reads, and counts: every byte tells where it stands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"

#define FILE_BYTES (64u << 20)

static unsigned reads;
static size_t short_by; /* the file ends so many bytes before what is asked for does */

static uint8_t byte_of(uint64_t file, uint64_t off)
{
    uint64_t x = (file * 1000003 + off / 7) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint8_t)(x >> 40);
}

static int read_made_up(struct hx_disk *d, uint64_t file, uint64_t off, void *buf, size_t len, size_t *ret_len)
{
    uint8_t *p = buf;
    (void)d;
    reads++;
    *ret_len = len - short_by;
    for (size_t i = 0; i < *ret_len; i++)
        p[i] = byte_of(file, off + i);
    return 0;
}

static const struct hx_disk_ops ops = {.read = read_made_up};

/* A segment of group PG with two log files. */
struct bed {
    struct hx_disk disk;
    struct hx_seg s;
    struct hx_logfile f[2], *files[2];
};

static void bed_init(struct bed *b, uint32_t pg)
{
    memset(b, 0, sizeof *b);
    b->disk.ops = &ops;
    b->s.disk = &b->disk;
    b->s.at = (struct hx_disk_place){{{5, 6, 7}}, pg};
    for (unsigned i = 0; i < 2; i++) {
        b->f[i] = (struct hx_logfile){.id = HX_LOG_FIRST_ID + i, .end = FILE_BYTES, .durable = FILE_BYTES};
        b->files[i] = &b->f[i];
    }
    b->s.log.files = b->files;
    b->s.log.slot_count = 2;
}

/* A payload of 100 bytes in block AT of file FILE: right, and read from the disk or not. */
static void get(struct hx_bodies *c, struct bed *b, uint32_t file, uint32_t at, bool from_disk)
{
    struct hx_version v = {.file = file, .pos = at * HX_BLOCK + 300, .len = 100};
    unsigned was = reads;
    const uint8_t *p = hx_bodies_block(c, &b->s, &v);
    assert_non_null(p);
    for (unsigned i = 0; i < v.len; i++)
        assert_int_equal(p[i], byte_of(b->f[file].id, v.pos + i));
    assert_int_equal(reads - was, from_disk);
}

/* The place where the block lies that was read last of file FILE. */
static uint32_t place(const struct hx_bodies *c, const struct bed *b, uint32_t file)
{
    for (uint32_t i = 0; i < HX_BLOCKS; i++)
        if (c->block[i].seg == &b->s && c->block[i].file == b->f[file].id && c->block[i].len)
            return i;
    fail_msg("file %u has no block", file);
    return 0;
}

/* Promise: blocks of one file, of two files, of two segments that share a place do not pass for one another. */
static void blocks_that_share_a_place(void **state)
{
    struct hx_bodies c;
    static struct bed b[2];
    (void)state;
    assert_int_equal(hx_bodies_init(&c), 0);
    for (unsigned i = 0; i < 2; i++)
        bed_init(&b[i], i);
    get(&c, &b[0], 0, 3, true);
    get(&c, &b[0], 0, 3, false);
    get(&c, &b[0], 0, 3 + HX_BLOCKS, true);
    get(&c, &b[0], 0, 3, true);
    uint32_t first = place(&c, &b[0], 0);
    for (unsigned k = 0; k == 0 || place(&c, &b[0], 1) != first; k++) { /* another file whose block 3 lies there */
        assert_true(k < 100000);
        b[0].f[1].id++;
        get(&c, &b[0], 1, 3, true);
    }
    get(&c, &b[0], 0, 3, true);
    get(&c, &b[0], 1, 3, true);
    for (unsigned k = 0; k == 0 || place(&c, &b[1], 0) != first; k++) { /* another segment */
        assert_true(k < 100000);
        hx_bodies_forget(&c, &b[1].s);
        b[1].s.at.pg++;
        get(&c, &b[1], 0, 3, true);
    }
    get(&c, &b[0], 0, 3, true);
    get(&c, &b[1], 0, 3, true);
    for (unsigned i = 0; i < 2; i++)
        hx_bodies_forget(&c, &b[i].s);
    hx_bodies_fini(&c);
}

/* Promise: what was not durable when its block was read is read when it is. */
static void a_block_that_grows(void **state)
{
    struct hx_bodies c;
    static struct bed b;
    (void)state;
    assert_int_equal(hx_bodies_init(&c), 0);
    bed_init(&b, 0);
    b.f[0].durable = HX_BLOCK + 450;
    get(&c, &b, 0, 1, true);
    struct hx_version v = {.file = 0, .pos = HX_BLOCK + 440, .len = 100};
    b.f[0].durable = FILE_BYTES;
    const uint8_t *p = hx_bodies_block(&c, &b.s, &v);
    assert_non_null(p);
    for (unsigned i = 0; i < v.len; i++)
        assert_int_equal(p[i], byte_of(b.f[0].id, v.pos + i));
    hx_bodies_forget(&c, &b.s);
    hx_bodies_fini(&c);
}

/* Promise: a file that was cut below what was durable gives nothing, not what its place held before. */
static void a_file_that_was_cut(void **state)
{
    struct hx_bodies c;
    static struct bed b;
    const struct hx_version v = {.file = 0, .pos = 2 * HX_BLOCK + 300, .len = 100};
    (void)state;
    assert_int_equal(hx_bodies_init(&c), 0);
    bed_init(&b, 0);
    get(&c, &b, 0, 2 + HX_BLOCKS, true);
    short_by = HX_BLOCK - 399;
    assert_null(hx_bodies_block(&c, &b.s, &v));
    short_by = HX_BLOCK - 400;
    get(&c, &b, 0, 2, true);
    short_by = 0;
    hx_bodies_forget(&c, &b.s);
    hx_bodies_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_that_share_a_place),
        cmocka_unit_test(a_block_that_grows),
        cmocka_unit_test(a_file_that_was_cut),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}
