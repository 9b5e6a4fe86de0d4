/*
 * test_pages.c - pages as of a read point where something of them is lost or makes no sense: what is not damaged is
 * served, what is damaged is said to be, and nothing is made up.
 *
 * Method: one server over a disk in memory; its files are changed between restarts or while it runs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"
#include "hexad/crc.h"
#include "node_rig.h"

#include <stdlib.h>

#define PG 1u
#define SIDE_BIT (UINT64_C(1) << 32)
#define SIDE_HEAD 112u

static void start(struct hx_rig *r, uint32_t log_file_bytes)
{
    hx_rig_init(r, 1, 1u << 20, 2, log_file_bytes);
    assert_int_equal(hx_rig_format(r, 0, PG), 0);
}

static void restart(struct hx_rig *r)
{
    hx_rig_stop(r, 0);
    assert_int_equal(hx_rig_start(r, 0), 0);
}

static struct hx_read_page page_at(struct hx_rig *r, uint64_t point, uint32_t page, uint8_t *data)
{
    struct hx_read_page p;
    assert_int_equal(hx_rig_read(r, 0, PG, 1, point, page, data, &p), 0);
    return p;
}

static uint64_t damaged(struct hx_rig *r)
{
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(r, 0, PG, &s), 0);
    return s.damaged;
}

static uint8_t *file(struct hx_rig *r, uint64_t id, size_t *ret_len)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    uint8_t *p = hx_mem_file(r->farm[0], &at, id, ret_len);
    assert_non_null(p);
    return p;
}

/* Where the frame that begins with LSN stands in log file ID. */
static size_t frame_at(struct hx_rig *r, uint64_t id, uint64_t lsn)
{
    size_t len;
    const uint8_t *p = file(r, id, &len);
    for (size_t off = 0; off + HX_FRAME_HEAD < len; off += 8)
        if (hx_get_u32(p + off) == HX_FRAME_MAGIC && hx_get_u64(p + off + 40) == lsn)
            return off;
    fail_msg("LSN %llu is not in file %llu", (unsigned long long)lsn, (unsigned long long)id);
    return 0;
}

/* Page LSN is image LSN; NOISE: it does not compress. */
static void put_image(struct hx_rig *r, uint64_t lsn, bool noise, uint64_t vdl)
{
    static uint8_t image[HX_PAGE_SIZE];
    uint64_t x = lsn * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < sizeof image; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        image[i] = noise ? (uint8_t)(x >> 8) : (uint8_t)(lsn + i / 100);
    }
    image[0] = image[sizeof image - 1] = (uint8_t)lsn;
    struct hx_rig_rec rec = {lsn, (uint32_t)lsn, HX_REC_IMAGE, HX_REC_CPL, image, sizeof image};
    size_t n = hx_rig_frame(r, PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){vdl, 0, 0});
    assert_int_equal(hx_rig_append(r, 0, 1, vdl, 0, r->frame, n, NULL), 0);
}

/* Reads COUNT pages from FIRST on, every STEP-th, in one request; their states. */
static void read_each(struct hx_rig *r, uint64_t point, uint32_t first, uint32_t count, uint32_t step,
                      uint8_t *ret_states)
{
    struct hx_rig_reply a;
    uint8_t *b = malloc(12 + 4 * (size_t)count);
    assert_non_null(b);
    hx_put_u64(b, point);
    hx_put_u32(b + 8, count);
    for (uint32_t i = 0; i < count; i++)
        hx_put_u32(b + 12 + 4 * (size_t)i, first + i * step);
    struct hx_rig_ask q = {.type = HX_MSG_READ, .pg = PG, .body = {b, 12 + 4 * (size_t)count}};
    assert_int_equal(hx_rig_call(r, 0, &q, &a), 0);
    struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
    const uint8_t *data = a.body.p + (size_t)count * HX_READ_PAGE_BYTES;
    for (uint32_t i = 0; i < count; i++) {
        struct hx_read_page p;
        hx_read_page_decode(&p, &d);
        ret_states[i] = p.state;
        if (p.state != HX_READ_RAW)
            continue;
        assert_int_equal(hx_crc32c(0, data, HX_PAGE_SIZE), p.crc);
        data += HX_PAGE_SIZE;
    }
    hx_rig_reply_fini(&a);
    free(b);
}

static void read_many(struct hx_rig *r, uint64_t point, uint32_t first, uint32_t count, uint8_t *ret_states)
{
    read_each(r, point, first, count, 1, ret_states);
}

/* Promise (I11): of a compressed frame that rotted, or whose sector gives an error, no page is served; other frames are
 * not touched by it, also when many pages are read at once. */
static void a_rotten_compressed_frame_is_not_served(void **state)
{
    (void)state;
    for (unsigned unreadable = 0; unreadable < 2; unreadable++) {
        struct hx_rig r;
        uint8_t data[HX_PAGE_SIZE], states[12];
        size_t len;
        start(&r, 0);
        for (uint64_t lsn = 1; lsn <= 10; lsn++)
            put_image(&r, lsn, false, 0);
        size_t off = frame_at(&r, 16, 5);
        assert_int_equal(file(&r, 16, &len)[off + 6], 1); /* it is compressed */
        if (unreadable)
            hx_mem_bad_sector(r.farm[0], 16, off + HX_FRAME_HEAD);
        else
            file(&r, 16, &len)[off + HX_FRAME_HEAD + 20] ^= 1;
        assert_int_equal(page_at(&r, 10, 5, data).state, HX_READ_CORRUPT);
        assert_int_equal(page_at(&r, 10, 10, data).state, HX_READ_RAW);
        read_many(&r, 10, 0, 12, states);
        assert_int_equal(states[5], HX_READ_CORRUPT);
        assert_int_equal(states[1], HX_READ_RAW);
        assert_int_equal(states[10], HX_READ_RAW);
        assert_int_equal(states[11], HX_READ_ZEROS);
        assert_true(damaged(&r) >= 1);
        hx_rig_fini(&r);
    }
}

/* Promise: one damaged record costs its own page only: the others of its frame are served, however they are read. */
static void a_rotten_record_costs_its_own_page_only(void **state)
{
    struct hx_rig r;
    uint8_t states[16];
    size_t len;
    (void)state;
    start(&r, 0);
    static uint8_t noise[15][600];
    struct hx_rig_rec recs[15];
    uint64_t x = 88172645463325252u;
    for (unsigned i = 0; i < 15; i++) {
        for (size_t k = 0; k < sizeof noise[i]; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            noise[i][k] = (uint8_t)(k + 1 < sizeof noise[i] ? x >> 8 : 1);
        }
        recs[i] = (struct hx_rig_rec){1 + i, 1 + i, HX_REC_IMAGE, i == 14, noise[i], sizeof noise[i]};
    }
    size_t n = hx_rig_frame(&r, PG, 1, 0, recs, 15, (struct hx_rig_marks){0});
    assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
    size_t off = frame_at(&r, 16, 1);
    assert_int_equal(file(&r, 16, &len)[off + 6], 0); /* it is not compressed */
    file(&r, 16, &len)[off + HX_FRAME_HEAD + 15 * HX_REC_HEAD + 600 * 6 + 5] ^= 1;
    for (unsigned many = 0; many < 2; many++) {
        for (uint32_t page = 0; page < 16; page++)
            states[page] = many ? 0 : page_at(&r, 15, page, NULL).state;
        if (many)
            read_many(&r, 15, 0, 16, states);
        for (uint32_t page = 1; page < 16; page++)
            assert_int_equal(states[page], page == 7 ? HX_READ_CORRUPT : HX_READ_RAW);
    }
    assert_int_equal(damaged(&r), 1);
    hx_rig_fini(&r);
}

/* Promise: a change that cannot be applied is a writer's mistake, not damage of this server: the page is CORRUPT from
 * there until its next image, at no other point and no other page, and background work makes nothing of it. */
static void a_change_that_makes_no_sense_is_not_applied(void **state)
{
    struct hx_rig r;
    uint8_t patch[HX_PAGE_SIZE] = {0}, data[HX_PAGE_SIZE];
    (void)state;
    start(&r, 0);
    for (uint64_t lsn = 1; lsn <= 40; lsn++) {
        hx_put_u16(patch, lsn == 10 ? HX_PAGE_SIZE - 4 : (uint16_t)lsn); /* 8 bytes do not fit there */
        hx_put_u16(patch + 2, 8);
        memset(patch + 4, (int)lsn, 8);
        struct hx_rig_rec rec = {lsn, 3, HX_REC_PATCH, HX_REC_CPL, patch, 12};
        size_t n = hx_rig_frame(&r, PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){lsn - 1, 0, 0});
        assert_int_equal(hx_rig_append(&r, 0, 1, lsn - 1, 0, r.frame, n, NULL), 0);
    }
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < 10; i++)
            hx_rig_step(&r, 500);
        assert_int_equal(page_at(&r, 9, 3, data).state, HX_READ_RAW);
        assert_int_equal(data[9], 9);
        assert_int_equal(page_at(&r, 10, 3, data).state, HX_READ_CORRUPT);
        assert_int_equal(page_at(&r, 40, 3, data).state, HX_READ_CORRUPT);
        assert_int_equal(page_at(&r, 40, 4, data).state, HX_READ_ZEROS);
        assert_int_equal(damaged(&r), 0);
        restart(&r);
    }
    struct hx_rig_rec rec = {41, 3, HX_REC_IMAGE, HX_REC_CPL, patch, 20};
    size_t n = hx_rig_frame(&r, PG, 1, 40, &rec, 1, (struct hx_rig_marks){40, 0, 0});
    assert_int_equal(hx_rig_append(&r, 0, 1, 40, 0, r.frame, n, NULL), 0);
    assert_int_equal(page_at(&r, 41, 3, data).state, HX_READ_RAW);
    hx_rig_fini(&r);
}

/* Promise (I11): damage of which only the LSNs are known makes pages doubtful from its first LSN on, not at read
 * points below it, and not pages whose base is newer.  Method: the frame of LSN 6 in a closed file whose sidecar
 * is lost, too. */
static void read_points_below_the_damage_are_served(void **state)
{
    struct hx_rig r;
    uint8_t data[HX_PAGE_SIZE];
    struct hx_disk_place at;
    size_t len;
    (void)state;
    start(&r, 16u << 10);
    for (uint64_t lsn = 1; lsn <= 14; lsn++) {
        put_image(&r, lsn, true, lsn - 1);
        hx_rig_step(&r, 1);
    }
    at = hx_rig_place(&r, PG);
    hx_rig_stop(&r, 0);
    file(&r, 17, &len)[frame_at(&r, 17, 6) + HX_FRAME_HEAD + 700] ^= 1;
    hx_mem_remove_file(r.farm[0], &at, SIDE_BIT + 17);
    assert_int_equal(hx_rig_start(&r, 0), 0);
    assert_int_equal(page_at(&r, 5, 3, data).state, HX_READ_RAW);
    assert_int_equal(page_at(&r, 5, 6, data).state, HX_READ_ZEROS);
    assert_int_equal(page_at(&r, 14, 3, data).state, HX_READ_CORRUPT);
    assert_int_equal(page_at(&r, 14, 6, data).state, HX_READ_CORRUPT);
    assert_int_equal(page_at(&r, 14, 200, data).state, HX_READ_CORRUPT);
    for (uint32_t page = 7; page <= 14; page++) {
        assert_int_equal(page_at(&r, 14, page, data).state, HX_READ_RAW);
        assert_int_equal(data[0], page);
    }
    hx_rig_fini(&r);
}

/* Promise: a sidecar whose sums are right and that is wrong about how a frame is packed leads to no other bytes than
 * those that were written: the frame is asked itself, or the page is CORRUPT. */
static void a_sidecar_that_lies_gives_no_bytes(void **state)
{
    struct hx_rig r;
    uint8_t data[HX_PAGE_SIZE], states[16];
    size_t len;
    (void)state;
    start(&r, 16u << 10);
    for (uint64_t lsn = 1; lsn <= 8; lsn++) {
        put_image(&r, lsn, true, lsn - 1);
        hx_rig_step(&r, 1);
    }
    hx_rig_stop(&r, 0);
    uint8_t *side = file(&r, SIDE_BIT + 16, &len);
    assert_int_equal(side[SIDE_HEAD + 14], 0);
    side[SIDE_HEAD + 14] = 1; /* the first frame's codec */
    hx_put_u32(side + 76, hx_crc32c(0, side + SIDE_HEAD, hx_get_u32(side + 72)));
    hx_put_u32(side + SIDE_HEAD - 4, hx_crc32c(0, side, SIDE_HEAD - 4));
    assert_int_equal(hx_rig_start(&r, 0), 0);
    for (unsigned i = 0; i < 2; i++) {
        if (page_at(&r, 8, 1, data).state != HX_READ_CORRUPT)
            assert_true(data[0] == 1 && data[HX_PAGE_SIZE - 1] == 1);
        read_many(&r, 8, 0, 16, states);
        assert_true(states[1] == HX_READ_RAW || states[1] == HX_READ_CORRUPT);
        assert_int_equal(states[2], HX_READ_RAW);
    }
    hx_rig_fini(&r);
}

/* Promise: bodies that are kept for the next read are never taken for another's: of another segment's file with
 * the same number and place, of another file's same place, of a file that has gone.  Method: two groups and
 * several files, all with frames at the same offsets, read in turns; more frames than are kept. */
static void kept_bodies_are_not_mixed_up(void **state)
{
    struct hx_rig r;
    uint8_t data[HX_PAGE_SIZE];
    (void)state;
    start(&r, 16u << 10);
    assert_int_equal(hx_rig_format(&r, 0, 0), 0);
    for (uint32_t pg = 0; pg < 2; pg++)
        for (uint64_t lsn = 1; lsn <= 60; lsn++) {
            static uint8_t image[4][HX_PAGE_SIZE];
            struct hx_rig_rec recs[4];
            for (unsigned i = 0; i < 4; i++) {
                memset(image[i], (int)(lsn * 2 + pg), sizeof image[i]);
                image[i][1] = (uint8_t)i;
                recs[i] = (struct hx_rig_rec){4 * lsn - 3 + i, (uint32_t)(4 * (lsn - 1) + i), HX_REC_IMAGE, i == 3,
                                              image[i],        HX_PAGE_SIZE};
            }
            size_t n = hx_rig_frame(&r, pg, 1, 4 * lsn - 4, recs, 4, (struct hx_rig_marks){0});
            assert_int_equal(hx_rig_append(&r, 0, 1, 0, 0, r.frame, n, NULL), 0);
        }
    for (unsigned pass = 0; pass < 3; pass++)
        for (uint64_t lsn = 1; lsn <= 60; lsn += pass == 1 ? 1 : 7)
            for (unsigned turn = 0; turn < 8; turn++) {
                uint32_t pg = turn % 2, i = turn / 2;
                struct hx_read_page p;
                assert_int_equal(hx_rig_read(&r, 0, pg, 1, 240, (uint32_t)(4 * (lsn - 1) + i), data, &p), 0);
                assert_int_equal(p.state, HX_READ_RAW);
                assert_true(data[0] == (uint8_t)(lsn * 2 + pg) && data[1] == i && data[4095] == data[0]);
            }
    hx_rig_fini(&r);
}

/* A patch of LSN on page LSN % 4: eight bytes at 16 x LSN; alone in its frame. */
static void put_patch(struct hx_rig *r, uint64_t lsn)
{
    uint8_t p[12];
    hx_put_u16(p, (uint16_t)(16 * lsn));
    hx_put_u16(p + 2, 8);
    hx_put_u64(p + 4, lsn * UINT64_C(0x9e3779b97f4a7c15));
    struct hx_rig_rec rec = {lsn, (uint32_t)(lsn % 4), HX_REC_PATCH, HX_REC_CPL, p, sizeof p};
    size_t n = hx_rig_frame(r, PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){0});
    assert_int_equal(hx_rig_append(r, 0, 1, 0, 0, r->frame, n, NULL), 0);
}

/* Promise: small payloads that are read together with their neighbours are as good as those that are read alone: what
 * came since is seen, rot in a block that was kept is neither served nor believed once the disk gives the right bytes
 * again, and a block that cannot be read as a whole costs only the record that is in the bad sector.
 * Method: patches of one record each, 240 bytes in the log, so that many are in one block of 4 KiB. */
static void neighbours_are_read_together(void **state)
{
    struct hx_rig r;
    uint8_t data[HX_PAGE_SIZE];
    size_t len;
    (void)state;
    start(&r, 0);
    for (uint64_t lsn = 1; lsn <= 40; lsn++) { /* each is read as soon as it is there */
        put_patch(&r, lsn);
        assert_int_equal(page_at(&r, lsn, (uint32_t)(lsn % 4), data).state, HX_READ_RAW);
        assert_int_equal(hx_get_u64(data + 16 * lsn), lsn * UINT64_C(0x9e3779b97f4a7c15));
    }
    restart(&r);
    size_t at = frame_at(&r, 16, 3);
    uint8_t *rotten = file(&r, 16, &len) + at + HX_FRAME_HEAD + HX_REC_HEAD + 4;
    *rotten ^= 1;
    assert_int_equal(page_at(&r, 40, 1, data).state, HX_READ_RAW); /* its block has LSN 3, of page 3, in it */
    *rotten ^= 1;
    assert_int_equal(page_at(&r, 40, 3, data).state, HX_READ_RAW);
    assert_int_equal(hx_get_u64(data + 48), 3 * UINT64_C(0x9e3779b97f4a7c15));
    assert_int_equal(damaged(&r), 0);
    restart(&r);
    rotten = file(&r, 16, &len) + at + HX_FRAME_HEAD + HX_REC_HEAD + 4;
    *rotten ^= 1;
    assert_int_equal(page_at(&r, 40, 3, data).state, HX_READ_CORRUPT);
    assert_int_equal(page_at(&r, 40, 2, data).state, HX_READ_RAW);
    assert_int_equal(damaged(&r), 1);
    *rotten ^= 1;
    restart(&r);
    hx_mem_bad_sector(r.farm[0], 16, (at + HX_FRAME_HEAD + HX_REC_HEAD) & ~(size_t)511);
    unsigned corrupt = 0;
    for (uint32_t page = 0; page < 4; page++)
        corrupt += page_at(&r, 40, page, data).state == HX_READ_CORRUPT;
    assert_in_range(corrupt, 1, 3); /* 512 bytes hold parts of three entries */
    hx_rig_fini(&r);
}

/* Promise: a page that was made of patches is not made again while nothing has changed, and what comes on top is
 * applied to it; as of any other point it is made of its records.  Method: the oldest patch rots after the page was
 * read: only who has to read it again sees that. */
static void a_page_that_was_made_is_kept(void **state)
{
    struct hx_rig r;
    uint8_t data[HX_PAGE_SIZE];
    size_t len;
    (void)state;
    start(&r, 0);
    for (uint64_t lsn = 1; lsn <= 40; lsn++)
        put_patch(&r, lsn);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(page_at(&r, 40, 3, data).state, HX_READ_RAW);
    size_t at = frame_at(&r, 16, 3);
    file(&r, 16, &len)[at + HX_FRAME_HEAD + HX_REC_HEAD + 4] ^= 1;
    hx_bodies_forget(&r.node[0]->env.bodies, r.node[0]->segs[0]);
    struct hx_read_page p = page_at(&r, 40, 3, data);
    assert_int_equal(p.state, HX_READ_RAW);
    assert_int_equal(p.lsn.v, 39);
    assert_int_equal(p.crc, hx_crc32c(0, data, HX_PAGE_SIZE));
    for (uint64_t lsn = 41; lsn <= 43; lsn++)
        put_patch(&r, lsn);
    p = page_at(&r, 43, 3, data);
    assert_int_equal(p.state, HX_READ_RAW);
    assert_int_equal(p.lsn.v, 43);
    assert_int_equal(p.crc, hx_crc32c(0, data, HX_PAGE_SIZE));
    for (uint64_t lsn = 3; lsn <= 43; lsn += 4)
        assert_int_equal(hx_get_u64(data + 16 * lsn), lsn * UINT64_C(0x9e3779b97f4a7c15));
    assert_int_equal(damaged(&r), 0);
    assert_int_equal(page_at(&r, 40, 3, data).state, HX_READ_CORRUPT);
    assert_int_equal(damaged(&r), 1);
    hx_rig_fini(&r);
}

/* Promise: what is kept is given only for the records that it was made of. */
static void what_is_kept_belongs_to_its_records(void **state)
{
    static struct hx_seg a, b;
    struct hx_made m = {NULL};
    struct hx_version path[HX_MADE_MOST + 1] = {{0}};
    uint8_t data[HX_PAGE_SIZE] = {7}, got[HX_PAGE_SIZE] = {0};
    uint32_t crc = 0;
    (void)state;
    b.at.pg = 1;
    for (unsigned i = 0; i < HX_ARRAY_LEN(path); i++) { /* newest first */
        path[i].lsn = 100 - i;
        path[i].sum = 1000 + i;
    }
    assert_int_equal(hx_made_get(&m, &a, 5, path, 9, got, &crc), 9);
    hx_made_keep(&m, &a, 5, path + 2, HX_MADE_LEAST - 1, data, 77); /* not worth it */
    hx_made_keep(&m, &a, 5, path, HX_MADE_MOST + 1, data, 77);
    assert_null(m.p);
    hx_made_keep(&m, &a, 5, path + 2, 7, data, 77);
    assert_int_equal(hx_made_get(&m, &a, 5, path + 2, 7, got, &crc), 7); /* it came once only */
    hx_made_keep(&m, &a, 5, path + 2, 7, data, 77);
    path[0].pos = path[3].pos = 99; /* moved */
    assert_int_equal(hx_made_get(&m, &a, 5, path + 2, 7, got, &crc), 0);
    assert_int_equal(crc, 77);
    assert_memory_equal(got, data, sizeof got);
    assert_int_equal(hx_made_get(&m, &a, 5, path, 9, got, &crc), 2); /* two came since */
    got[0] = 0;
    assert_int_equal(hx_made_get(&m, &a, 5, path + 3, 6, got, &crc), 6);  /* as of an older point */
    assert_int_equal(hx_made_get(&m, &a, 5, path + 2, 8, got, &crc), 8);  /* on another base */
    assert_int_equal(hx_made_get(&m, &a, 6, path + 2, 7, got, &crc), 7);
    assert_int_equal(hx_made_get(&m, &a, 5 + HX_MADE, path + 2, 7, got, &crc), 7);
    assert_int_equal(hx_made_get(&m, &b, 5, path + 2, 7, got, &crc), 7);
    path[8].sum++; /* the oldest was replaced */
    assert_int_equal(hx_made_get(&m, &a, 5, path + 2, 7, got, &crc), 7);
    path[8].sum--;
    path[8].lsn--;
    assert_int_equal(hx_made_get(&m, &a, 5, path + 2, 7, got, &crc), 7);
    path[8].lsn++;
    for (uint32_t page = 6; page < 6 + 16 * HX_MADE; page++) /* some have the same place, but come once only */
        hx_made_keep(&m, &a, page, path + 2, 7, data, 78);
    assert_int_equal(hx_made_get(&m, &a, 5, path + 3, 6, got, &crc), 6);
    hx_made_forget(&m, &b);
    assert_int_equal(got[0], 0);
    assert_int_equal(hx_made_get(&m, &a, 5, path + 2, 7, got, &crc), 0);
    for (uint32_t page = 6; page < 6 + 16 * HX_MADE; page++) /* those come twice */
        for (unsigned i = 0; i < 2; i++)
            hx_made_keep(&m, &a, page, path + 2, 7, data, 78);
    assert_int_equal(hx_made_get(&m, &a, 5, path + 2, 7, got, &crc), 7);
    assert_int_equal(hx_made_get(&m, &a, 5 + 16 * HX_MADE, path + 2, 7, got, &crc), 0);
    hx_made_forget(&m, &a);
    assert_int_equal(hx_made_get(&m, &a, 5 + 16 * HX_MADE, path + 2, 7, got, &crc), 7);
    hx_made_fini(&m);
}

/* COUNT pages from LSN on, page LSN as image LSN, which does not compress, in one frame. */
static void put_images(struct hx_rig *r, uint64_t lsn, unsigned count)
{
    static uint8_t image[60][HX_PAGE_SIZE];
    struct hx_rig_rec recs[60];
    uint64_t x = lsn;
    for (unsigned i = 0; i < count; i++) {
        for (size_t k = 0; k < HX_PAGE_SIZE; k += 8) {
            x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            hx_put_u64(image[i] + k, (x ^ x >> 33) | 1);
        }
        recs[i] = (struct hx_rig_rec){lsn + i, (uint32_t)(lsn + i), HX_REC_IMAGE, i + 1 == count,
                                      image[i], HX_PAGE_SIZE};
    }
    size_t n = hx_rig_frame(r, PG, 1, lsn - 1, recs, count, (struct hx_rig_marks){0});
    assert_int_equal(hx_rig_append(r, 0, 1, 0, 0, r->frame, n, NULL), 0);
}

/* Promise: whoever reads a file in order costs the disk what he reads, and a few reads; pages that do not follow each
 * other cost no more than themselves.
 * Method: 180 pages in three frames; runs of 64, 32 and 16 pages, many of which reach from one frame into the next one;
 * then every fifth page.  What the disk was asked for is counted. */
static void a_run_is_read_once(void **state)
{
    (void)state;
    struct hx_rig r;
    uint8_t states[64];
    uint64_t was, reads_was, reads, bytes;
    start(&r, 0);
    for (unsigned i = 0; i < 3; i++)
        put_images(&r, 1 + 60 * i, 60);
    for (uint32_t first = 1; first <= 180 - 64; first += 23)
        for (uint32_t count = 64; count >= 16; count /= 2) {
            restart(&r); /* nothing is kept in memory */
            was = hx_mem_read_bytes(r.farm[0], &reads_was);
            read_many(&r, 180, first, count, states);
            bytes = hx_mem_read_bytes(r.farm[0], &reads) - was;
            for (unsigned i = 0; i < count; i++)
                assert_int_equal(states[i], HX_READ_RAW);
            assert_in_range(bytes, count * HX_PAGE_SIZE, (count + 3) * HX_PAGE_SIZE);
            assert_in_range(reads - reads_was, 1, 2);
        }
    restart(&r);
    was = hx_mem_read_bytes(r.farm[0], &reads_was);
    read_each(&r, 180, 1, 35, 5, states);
    assert_in_range(hx_mem_read_bytes(r.farm[0], &reads) - was, 35 * HX_PAGE_SIZE, 36 * HX_PAGE_SIZE);
    hx_rig_fini(&r);
}

/* Promise: the sum of a whole image can be had from the crc of its page.  Method: each bit of the page's number, some
 * numbers, against the sum itself. */
static void the_sum_of_an_image_follows_from_its_crc(void **state)
{
    uint8_t data[HX_PAGE_SIZE];
    uint64_t dice = 88172645463325252u;
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        for (size_t k = 0; k < sizeof data; k += 8) {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            hx_put_u64(data + k, i == 1 ? 0 : dice);
        }
        uint32_t page = i < 32 ? UINT32_C(1) << i : i == 32 ? 0 : i == 33 ? UINT32_MAX : (uint32_t)(dice >> 32);
        uint32_t crc = hx_crc32c(0, data, sizeof data);
        assert_int_equal(hx_store_image_sum(crc, page), hx_store_sum(HX_REC_IMAGE, page, data, sizeof data));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rotten_compressed_frame_is_not_served),
        cmocka_unit_test(a_rotten_record_costs_its_own_page_only),
        cmocka_unit_test(a_change_that_makes_no_sense_is_not_applied),
        cmocka_unit_test(read_points_below_the_damage_are_served),
        cmocka_unit_test(a_sidecar_that_lies_gives_no_bytes),
        cmocka_unit_test(kept_bodies_are_not_mixed_up),
        cmocka_unit_test(neighbours_are_read_together),
        cmocka_unit_test(a_page_that_was_made_is_kept),
        cmocka_unit_test(what_is_kept_belongs_to_its_records),
        cmocka_unit_test(the_sum_of_an_image_follows_from_its_crc),
        cmocka_unit_test(a_run_is_read_once),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
