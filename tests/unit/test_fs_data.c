/*
 * test_fs_data.c - the bytes of files: reading, writing, growing, cutting off, holes, and what each costs.
 */
#include "../lib/fs_kit.h"

#include "../../src/fs/fs_private.h"
#include "hexad/history.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#define PAGE ((uint64_t)HX_PAGE_SIZE)
#define MIB (UINT64_C(1) << 20)

static struct fs_kit open_cold(uint64_t pages)
{
    struct fs_kit k = kit_open(pages, pages, 1);
    k.m->drop_percent = 100;
    k.m->room_percent = 10;
    return k;
}

static void close_verified(struct fs_kit *k)
{
    kit_verify(k);
    kit_close(k);
}

/* Bytes [off, off + len) of the file are all BYTE. */
static void assert_bytes(struct fs_kit *k, uint64_t ino, uint64_t off, uint64_t len, uint8_t byte)
{
    uint8_t *buf = malloc(MIB);
    assert_non_null(buf);
    while (len > 0) {
        size_t n = len < MIB ? (size_t)len : MIB;
        assert_int_equal(kit_read(k, ino, off, buf, n), n);
        for (size_t i = 0; i < n; i++)
            if (buf[i] != byte)
                fail_msg("byte %llu is %u and not %u", (unsigned long long)(off + i), buf[i], byte);
        off += n;
        len -= n;
    }
    free(buf);
}

static unsigned extents(struct fs_kit *k, uint64_t ino)
{
    unsigned n;
    uint64_t pages;
    assert_int_equal(kit_run(k, hx_extent_count(k->fs, ino, 0, &n, &pages)), 0);
    return n;
}

/* Makes page-sized islands in F: every second page, from FROM on, so that each is an extent. */
static void islands(struct fs_kit *k, uint64_t ino, uint64_t from, unsigned count, uint8_t byte)
{
    for (unsigned i = 0; i < count; i++)
        kit_fill(k, ino, (from + 2 * i) * PAGE, PAGE, byte);
}

static int fallocate_(struct fs_kit *k, uint64_t ino, unsigned mode, uint64_t off, uint64_t len)
{
    uint64_t done = 0, before = 0;
    int rc;
    while ((rc = kit_run(k, hx_fs_fallocate(k->fs, &k->who, ino, mode, off, len, &done))) == HX_E_AGAIN) {
        assert_true(done > before && done < len);
        assert_true(k->m->last_freed <= HX_STEP_PAGES);
        before = done;
    }
    assert_true(rc != 0 || k->m->last_freed <= HX_STEP_PAGES);
    return rc;
}

static int seek_(struct fs_kit *k, uint64_t ino, uint64_t off, bool data, uint64_t *ret)
{
    return kit_run(k, hx_fs_seek(k->fs, ino, off, data, ret));
}

/* Promise: what was written is read, at any offset and length, in all weather.  Method: a byte array beside. */
static void any_write_is_read_back(void **state)
{
    (void)state;
    const size_t max = 3 * MIB;
    struct fs_kit k = open_cold(4096);
    uint64_t f = kit_create(&k, 1, "f"), r = 1, size = 0;
    uint8_t *model = calloc(1, max), *buf = malloc(MIB), *back = malloc(max);
    assert_true(model && buf && back);
    for (unsigned i = 0; i < 150; i++) {
        static const size_t lens[] = {1, 100, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE, 65536, MIB};
        size_t len = lens[mem_pager_random(&r) % 8], off = mem_pager_random(&r) % (max - len + 1);
        if (i % 3 == 0)
            off = off / PAGE * PAGE;
        for (size_t j = 0; j < len; j++)
            buf[j] = (uint8_t)mem_pager_random(&r);
        kit_write(&k, f, off, buf, len);
        memcpy(model + off, buf, len);
        size = off + len > size ? off + len : size;
        size_t at = mem_pager_random(&r) % max, n = mem_pager_random(&r) % (max - at);
        size_t expect = at >= size ? 0 : n < size - at ? n : size - at;
        assert_int_equal(kit_read(&k, f, at, back, n), expect);
        assert_memory_equal(back, model + at, expect);
    }
    assert_true(kit_attr(&k, f).size == size);
    free(model);
    free(buf);
    free(back);
    close_verified(&k);
}

/* Promise: a read of absent pages misses once, whatever their number and extents.  Method: count attempts. */
static void a_read_misses_on_all_absent_pages_at_once(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(4096, 4096, 1);
    uint64_t f = kit_create(&k, 1, "f"), g = kit_create(&k, 1, "g");
    static struct iovec v[300];
    size_t count, len;
    for (uint64_t i = 0; i < 8; i++) { /* two files side by side: several extents each */
        kit_fill(&k, f, i * 16 * PAGE, 16 * PAGE, 1);
        kit_fill(&k, g, i * 16 * PAGE, 16 * PAGE, 2);
    }
    for (uint64_t p = 2; p < k.m->pages; p++) { /* the data leaves the cache, the tree stays */
        const uint8_t *b = mem_pager_page(k.m, p);
        k.m->at[p].cached = !(b && b[0] == b[1] && b[1] == b[4095]);
    }
    assert_int_equal(hx_fs_read(k.fs, f, 0, 128 * PAGE, v, 300, &count, &len), HX_E_MISS);
    assert_true(mem_pager_again(k.m, HX_E_MISS));
    assert_int_equal(hx_fs_read(k.fs, f, 0, 128 * PAGE, v, 300, &count, &len), 0);
    assert_true(len == 128 * PAGE);
    assert_false(mem_pager_again(k.m, 0));
    assert_int_equal(hx_fs_read(k.fs, f, 0, 128 * PAGE, v, 3, &count, &len), HX_E_INVAL);
    close_verified(&k);
}

/* Promise: a prefetch wants every absent page of its range, over extents and holes, and none else; it says so when all
 * of them are known, and where the file ends; what is there is asked for no more. */
static void a_prefetch_wants_its_range(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(4096, 4096, 1);
    uint64_t f = kit_create(&k, 1, "f"), g = kit_create(&k, 1, "g"), size = 0;
    bool all = true;
    for (uint64_t i = 0; i < 8; i++) { /* several extents, and a hole behind each */
        kit_fill(&k, f, i * 32 * PAGE, 16 * PAGE, 1);
        kit_fill(&k, g, i * 16 * PAGE, 16 * PAGE, 2);
    }
    mem_pager_drop_all(k.m);
    assert_int_equal(hx_fs_prefetch(k.fs, f, 0, 1, &size, &all), HX_E_MISS);
    assert_false(all); /* the tree itself is absent */
    while (mem_pager_again(k.m, hx_fs_prefetch(k.fs, f, 0, 1, &size, &all)) && !all)
        ;
    unsigned before = 0, after = 0;
    for (uint64_t p = 0; p < k.m->pages; p++)
        before += k.m->at[p].cached;
    assert_int_equal(hx_fs_prefetch(k.fs, f, 8 * PAGE, 40 * PAGE, &size, &all), HX_E_MISS);
    assert_true(all && size == (7 * 32 + 16) * PAGE);
    assert_true(mem_pager_again(k.m, HX_E_MISS));
    for (uint64_t p = 0; p < k.m->pages; p++)
        after += k.m->at[p].cached;
    assert_int_equal(after - before, 8 + 16);
    assert_int_equal(hx_fs_prefetch(k.fs, f, 8 * PAGE, 40 * PAGE, &size, &all), 0);
    assert_true(all);
    assert_false(mem_pager_again(k.m, 0));
    assert_int_equal(hx_fs_prefetch(k.fs, f, size, 1 << 20, &size, &all), 0);
    assert_true(all);
    assert_int_equal(kit_run(&k, hx_fs_prefetch(k.fs, 1, 0, 1, &size, &all)), HX_E_ISDIR);
    assert_false(all);
    close_verified(&k);
}

/* Promise: overwriting 4 KiB in place changes the data page and the inode's leaf; a write that covers the
 * file's bytes of a page does not fetch it (F1).  Method: the pager's counts, the data page absent. */
static void a_write_in_place_touches_two_pages_and_fetches_none(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(4096, 4096, 1);
    uint64_t f = kit_create(&k, 1, "f");
    struct hx_extent e;
    uint8_t page[HX_PAGE_SIZE];
    kit_fill(&k, f, 0, 100 * PAGE + 10, 1);
    memset(page, 9, sizeof page);
    assert_int_equal(hx_extent_at(k.fs, f, 0, &e), 0);
    for (uint64_t i = 0; i < 101; i++)
        k.m->at[e.pp + i].cached = false;
    k.m->misses = 0;
    k.who.now.ns++;
    kit_write(&k, f, 50 * PAGE, page, PAGE);
    assert_int_equal(k.m->misses, 0);
    assert_int_equal(k.m->last_pages, 2);
    assert_in_range(k.m->last_bytes, PAGE, PAGE + 4);
    kit_write(&k, f, 100 * PAGE, page, 10); /* all ten bytes of the last page */
    assert_int_equal(k.m->misses, 0);
    kit_write(&k, f, 51 * PAGE, page, 10); /* this one keeps the rest */
    assert_true(k.m->at[e.pp + 50].cached && !k.m->at[e.pp + 52].cached);
    assert_true(k.m->at[e.pp + 51].cached);
    assert_bytes(&k, f, 51 * PAGE + 10, PAGE - 10, 1);
    assert_bytes(&k, f, 50 * PAGE, PAGE, 9);
    close_verified(&k);
}

/* Promise: 1 MiB is one extent and no tree work a page; a file that is appended to stays one extent.  Method:
 * count extents and pages changed. */
static void appending_keeps_one_extent(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(16384, 16384, 1);
    uint64_t f = kit_create(&k, 1, "f"), g = kit_create(&k, 1, "g"), at;
    uint8_t *buf = calloc(1, MIB);
    assert_non_null(buf);
    memset(buf, 3, MIB);
    kit_write(&k, f, 0, buf, MIB);
    assert_int_equal(extents(&k, f), 1);
    assert_in_range(k.m->last_pages, 256 + 2, 256 + 4); /* data; leaf, bitmap, superblock, one more leaf */
    for (uint64_t i = 0; i < 500; i++) {
        int rc = kit_run(&k, hx_fs_write(k.fs, &k.who, g, 0, buf, PAGE, true, false, &at));
        assert_int_equal(rc, 0);
        assert_true(at == i * PAGE);
        if (i > 0) {
            assert_in_range(k.m->last_pages, 1, 4);
            assert_in_range(k.m->last_bytes, PAGE, PAGE + 40);
        }
    }
    assert_int_equal(extents(&k, g), 1);
    assert_true(kit_attr(&k, g).blocks == 500 * 8);
    free(buf);
    close_verified(&k);
}

/* Promise: two files that grow side by side do not end in crumbs.  Method: 1,000 pages each, page by page. */
static void files_growing_side_by_side_have_few_extents(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(16384, 16384, 1);
    uint64_t f[3] = {kit_create(&k, 1, "a"), kit_create(&k, 1, "b"), kit_create(&k, 1, "c")};
    for (uint64_t i = 0; i < 1000; i++)
        for (unsigned j = 0; j < 3; j++)
            kit_fill(&k, f[j], i * PAGE, PAGE, (uint8_t)j);
    for (unsigned j = 0; j < 3; j++)
        assert_in_range(extents(&k, f[j]), 1, 20);
    close_verified(&k);
}

/* Promise: a file that shrinks and grows again shows zeros, whatever way its pages went: freed at once, handed
 * over (large), or left as a tail (in many pieces); before and after reaping and in a crash.  Method: each way. */
static void a_cut_off_end_never_shows_again(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 3; way++)
        for (unsigned reaped = 0; reaped < 2; reaped++) {
            struct fs_kit k = kit_open(8192, 8192, 1);
            k.m->drop_percent = 50;
            uint64_t f = kit_create(&k, 1, "f"), full = way == 0 ? 300 * PAGE : 1500 * PAGE;
            uint64_t commits;
            kit_reap(&k); /* nothing from before */
            kit_fill(&k, f, 0, full, 7);
            if (way == 2)
                islands(&k, f, 1600, 80, 7);
            commits = k.m->commits;
            kit_truncate(&k, f, 10 * PAGE + 100);
            assert_true(k.m->commits == commits + 1);
            assert_int_equal(hx_fs_has_work(k.fs), way != 0);
            kit_verify(&k);
            struct fs_kit c = kit_crash(&k);
            kit_truncate(&c, f, full);
            assert_bytes(&c, f, 10 * PAGE + 100, full - 10 * PAGE - 100, 0);
            kit_reap(&c);
            assert_true(kit_attr(&c, f).blocks == 11 * 8);
            close_verified(&c);
            if (reaped)
                kit_reap(&k);
            kit_fill(&k, f, 20 * PAGE + 5, 10, 9); /* a write beyond the end, over what was cut off */
            kit_truncate(&k, f, 4000 * PAGE);
            assert_bytes(&k, f, 0, 10 * PAGE + 100, 7);
            assert_bytes(&k, f, 10 * PAGE + 100, 10 * PAGE - 95, 0);
            assert_bytes(&k, f, 20 * PAGE + 5, 10, 9);
            assert_bytes(&k, f, 20 * PAGE + 15, 3000 * PAGE, 0);
            kit_reap(&k);
            assert_true(kit_attr(&k, f).blocks == 12 * 8);
            close_verified(&k);
        }
}

/* Promise: a tail can be cut again, and its file removed, before it is reaped.  Method: both, then count. */
static void a_tail_can_be_cut_again_and_removed(void **state)
{
    (void)state;
    struct fs_kit k = open_cold(2048);
    uint64_t before = kit_free_pages(&k), f = kit_create(&k, 1, "f");
    islands(&k, f, 0, 150, 5);
    kit_truncate(&k, f, 100 * PAGE);
    kit_truncate(&k, f, 50 * PAGE + 7);
    kit_verify(&k);
    assert_bytes(&k, f, 50 * PAGE, 7, 5);
    struct fs_kit c = kit_crash(&k); /* what lay between the two cuts never shows again, and is freed */
    kit_truncate(&c, f, 100 * PAGE);
    assert_bytes(&c, f, 50 * PAGE + 7, 50 * PAGE - 7, 0);
    kit_reap(&c);
    assert_true(kit_attr(&c, f).blocks == 26 * 8);
    close_verified(&c);
    assert_int_equal(kit_run(&k, hx_fs_reap(k.fs)), 1);
    kit_verify(&k);
    kit_truncate(&k, f, 0);
    assert_int_equal(kit_run(&k, hx_fs_unlink(k.fs, &k.who, 1, "f")), 0);
    kit_verify(&k);
    hx_fs_forget(k.fs, f, 1);
    kit_reap(&k);
    assert_true(kit_free_pages(&k) == before);
    close_verified(&k);
}

/* Promise: a large file is freed in bounded steps, each a consistency point.  Method: count pages a step. */
static void a_large_file_is_freed_in_bounded_steps(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(16384, 16384, 1);
    uint64_t before = kit_free_pages(&k), f = kit_create(&k, 1, "f");
    unsigned steps = 0;
    kit_fill(&k, f, 0, 20 * MIB, 1);
    assert_int_equal(kit_run(&k, hx_fs_unlink(k.fs, &k.who, 1, "f")), 0);
    assert_true(k.m->last_freed <= HX_STEP_PAGES);
    hx_fs_forget(k.fs, f, 1);
    while (kit_run(&k, hx_fs_reap(k.fs)) == 1) {
        steps++;
        assert_true(k.m->last_freed <= HX_STEP_PAGES);
        if (steps % 2)
            kit_verify(&k);
        if (steps == 2)
            kit_remount(&k); /* a crash in the middle: it goes on */
    }
    assert_in_range(steps, 5, 7);
    assert_true(kit_free_pages(&k) == before);
    close_verified(&k);
}

/* Promise: however few records a mini-transaction may have (HX_LAL_MIN at least), what frees, moves or allocates
 * much ends, in steps that fit.  Method: a pager that refuses more; a long file, many islands, holes, tails. */
static void steps_fit_into_a_small_log(void **state)
{
    static const uint64_t most[] = {HX_LAL_MIN, 256, 700};
    (void)state;
    for (unsigned i = 0; i < HX_ARRAY_LEN(most); i++) {
        struct fs_kit k = kit_open(8192, 8192, 1);
        k.m->mtr_max = most[i];
        kit_remount(&k);
        uint64_t before = kit_free_pages(&k), f = kit_create(&k, 1, "f"), g = kit_create(&k, 1, "g");
        for (unsigned at = 0; at < 1500; at += 20)
            kit_fill(&k, f, at * PAGE, 20 * PAGE, 1);
        islands(&k, g, 0, 300, 5);
        assert_int_equal(fallocate_(&k, g, 0, 0, 600 * PAGE), 0); /* the 300 holes between them */
        assert_int_equal(fallocate_(&k, f, HX_FS_FALLOC_PUNCH | HX_FS_FALLOC_KEEP_SIZE, 3 * PAGE, 1200 * PAGE), 0);
        kit_verify(&k);
        kit_truncate(&k, f, 1250 * PAGE);
        kit_truncate(&k, g, 550 * PAGE);
        kit_truncate(&k, g, 0);
        kit_fill(&k, g, 0, PAGE, 2); /* grows again: what was cut off must go first */
        assert_int_equal(kit_run(&k, hx_fs_unlink(k.fs, &k.who, 1, "f")), 0);
        assert_int_equal(kit_run(&k, hx_fs_unlink(k.fs, &k.who, 1, "g")), 0);
        hx_fs_forget(k.fs, f, 1);
        hx_fs_forget(k.fs, g, 1);
        kit_reap(&k);
        assert_true(kit_free_pages(&k) == before);
        close_verified(&k);
    }
}

/* Promise: files to 16 TiB, sparse; beyond is refused.  Method: one byte at the last place. */
static void sparse_files_reach_their_limit(void **state)
{
    (void)state;
    struct fs_kit k = open_cold(1024);
    uint64_t f = kit_create(&k, 1, "f"), at;
    kit_fill(&k, f, HX_FS_FILE_MAX - 1, 1, 4);
    assert_true(kit_attr(&k, f).size == HX_FS_FILE_MAX && kit_attr(&k, f).blocks == 8);
    assert_bytes(&k, f, HX_FS_FILE_MAX - 1, 1, 4);
    assert_bytes(&k, f, HX_FS_FILE_MAX / 2, 100, 0);
    assert_int_equal(kit_run(&k, hx_fs_write(k.fs, &k.who, f, HX_FS_FILE_MAX, "x", 1, false, false, &at)), HX_E_FBIG);
    assert_int_equal(kit_run(&k, hx_fs_write(k.fs, &k.who, f, 0, "x", 1, true, false, &at)), HX_E_FBIG);
    assert_int_equal(kit_run(&k, hx_fs_write(k.fs, &k.who, f, UINT64_MAX, "x", 1, false, false, &at)), HX_E_FBIG);
    struct hx_fs_attr in = {.size = HX_FS_FILE_MAX + 1}, out;
    assert_int_equal(kit_run(&k, hx_fs_setattr(k.fs, &k.who, f, &in, HX_FS_SET_SIZE, &out)), HX_E_FBIG);
    assert_int_equal(fallocate_(&k, f, 0, HX_FS_FILE_MAX - 5, 6), HX_E_FBIG);
    assert_int_equal(fallocate_(&k, f, HX_FS_FALLOC_PUNCH | HX_FS_FALLOC_KEEP_SIZE, 0, HX_FS_FILE_MAX), 0);
    assert_true(kit_attr(&k, f).blocks == 0);
    close_verified(&k);
}

/* Promise: data and holes are found.  Method: islands in a sea. */
static void seek_finds_data_and_holes(void **state)
{
    (void)state;
    struct fs_kit k = open_cold(1024);
    uint64_t f = kit_create(&k, 1, "f"), at;
    kit_fill(&k, f, 4 * PAGE, 2 * PAGE, 1);
    kit_fill(&k, f, 10 * PAGE, 10, 1);
    assert_true(seek_(&k, f, 0, true, &at) == 0 && at == 4 * PAGE);
    assert_true(seek_(&k, f, 4 * PAGE + 5, true, &at) == 0 && at == 4 * PAGE + 5);
    assert_true(seek_(&k, f, 4 * PAGE, false, &at) == 0 && at == 6 * PAGE);
    assert_true(seek_(&k, f, 7 * PAGE + 1, false, &at) == 0 && at == 7 * PAGE + 1);
    assert_true(seek_(&k, f, 6 * PAGE, true, &at) == 0 && at == 10 * PAGE);
    assert_true(seek_(&k, f, 10 * PAGE + 3, false, &at) == 0 && at == 10 * PAGE + 10);
    assert_int_equal(seek_(&k, f, 10 * PAGE + 10, true, &at), HX_E_EOF);
    assert_int_equal(seek_(&k, f, 10 * PAGE + 10, false, &at), HX_E_EOF);
    kit_truncate(&k, f, 20 * PAGE);
    assert_int_equal(seek_(&k, f, 11 * PAGE, true, &at), HX_E_EOF);
    close_verified(&k);
}

/* Promise: fallocate gives pages of zeros without editing them, with and without the size; a write into them
 * later needs no allocation.  Method: counts of pages and bytes. */
static void fallocate_gives_zeros_and_edits_no_data(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(8192, 8192, 1);
    uint64_t f = kit_create(&k, 1, "f");
    kit_fill(&k, f, 0, 10, 1);
    assert_int_equal(fallocate_(&k, f, HX_FS_FALLOC_KEEP_SIZE, 100, 8 * MIB), 0);
    assert_true(k.m->last_pages <= 5);
    assert_true(kit_attr(&k, f).size == 10 && kit_attr(&k, f).blocks == (8 * MIB / PAGE + 1) * 8);
    assert_int_equal(fallocate_(&k, f, 0, 0, 8 * MIB), 0);
    assert_true(kit_attr(&k, f).size == 8 * MIB);
    assert_bytes(&k, f, 10, 8 * MIB - 10, 0);
    uint64_t free_pages = kit_free_pages(&k);
    kit_fill(&k, f, 5 * MIB + 3, 100, 6);
    assert_true(kit_free_pages(&k) == free_pages);
    assert_bytes(&k, f, 5 * MIB, 3, 0);
    kit_truncate(&k, f, 100);
    kit_reap(&k);
    assert_true(kit_attr(&k, f).blocks == 8);
    assert_int_equal(fallocate_(&k, f, 0, 0, 64 * MIB), HX_E_GROW); /* more than there is */
    kit_verify(&k);
    assert_int_equal(fallocate_(&k, f, HX_FS_FALLOC_PUNCH, 0, 5), HX_E_INVAL);
    assert_int_equal(fallocate_(&k, f, 64, 0, 5), HX_E_NOTSUP);
    assert_int_equal(fallocate_(&k, f, 0, 0, 0), HX_E_INVAL);
    close_verified(&k);
}

/* Promise: a fallocate that has many holes to fill goes in parts.  Method: 300 islands. */
static void fallocate_between_islands_goes_in_parts(void **state)
{
    (void)state;
    struct fs_kit k = open_cold(2048);
    uint64_t f = kit_create(&k, 1, "f");
    islands(&k, f, 1, 300, 5);
    assert_int_equal(fallocate_(&k, f, 0, 0, 700 * PAGE), 0);
    assert_true(kit_attr(&k, f).blocks == 700 * 8);
    assert_bytes(&k, f, 0, PAGE, 0);
    assert_bytes(&k, f, 599 * PAGE, PAGE, 5);
    close_verified(&k);
}

/* Promise: a punched hole is zeros to the byte, frees whole pages, and leaves its neighbours.  Method: edges
 * within pages, a range over several steps. */
static void a_punched_hole_is_zeros_to_the_byte(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(8192, 8192, 1);
    k.m->drop_percent = 40;
    uint64_t f = kit_create(&k, 1, "f"), size = 3000 * PAGE;
    unsigned mode = HX_FS_FALLOC_PUNCH | HX_FS_FALLOC_KEEP_SIZE;
    kit_fill(&k, f, 0, size, 8);
    assert_int_equal(fallocate_(&k, f, mode, 5 * PAGE + 100, 50), 0);
    assert_bytes(&k, f, 0, 5 * PAGE + 100, 8);
    assert_bytes(&k, f, 5 * PAGE + 100, 50, 0);
    assert_bytes(&k, f, 5 * PAGE + 150, PAGE, 8);
    assert_true(kit_attr(&k, f).blocks == 3000 * 8);
    assert_int_equal(fallocate_(&k, f, mode, 10 * PAGE + 1, 2500 * PAGE), 0);
    assert_bytes(&k, f, 10 * PAGE, 1, 8);
    assert_bytes(&k, f, 10 * PAGE + 1, 2500 * PAGE, 0);
    assert_bytes(&k, f, 2510 * PAGE + 1, 400 * PAGE, 8);
    assert_true(kit_attr(&k, f).blocks == (3000 - 2499) * 8);
    assert_true(kit_attr(&k, f).size == size);
    kit_fill(&k, f, 1000 * PAGE + 10, 10, 2);
    assert_bytes(&k, f, 1000 * PAGE, 10, 0);
    close_verified(&k);
}

/* Promise: set-id bits go when asked to, the group's only from executables.  Method: both kinds of mode. */
static void a_write_clears_set_id_bits_when_asked(void **state)
{
    (void)state;
    struct fs_kit k = open_cold(512);
    uint64_t f = kit_create(&k, 1, "f"), at;
    struct hx_fs_attr in = {.mode = 06755}, out;
    assert_int_equal(kit_run(&k, hx_fs_setattr(k.fs, &k.who, f, &in, HX_FS_SET_MODE, &out)), 0);
    assert_int_equal(kit_run(&k, hx_fs_write(k.fs, &k.who, f, 0, "x", 1, false, false, &at)), 0);
    assert_int_equal(kit_attr(&k, f).mode, S_IFREG | 06755);
    assert_int_equal(kit_run(&k, hx_fs_write(k.fs, &k.who, f, 0, "x", 1, false, true, &at)), 0);
    assert_int_equal(kit_attr(&k, f).mode, S_IFREG | 0755);
    in.mode = 06745;
    assert_int_equal(kit_run(&k, hx_fs_setattr(k.fs, &k.who, f, &in, HX_FS_SET_MODE, &out)), 0);
    assert_int_equal(kit_run(&k, hx_fs_write(k.fs, &k.who, f, 0, "x", 1, false, true, &at)), 0);
    assert_int_equal(kit_attr(&k, f).mode, S_IFREG | 02745);
    assert_int_equal(kit_run(&k, hx_fs_write(k.fs, &k.who, 1, 0, "x", 1, false, true, &at)), HX_E_ISDIR);
    close_verified(&k);
}

/* Promise: a volume that grows by its smallest unit takes a file many times its first size, the bitmaps of new
 * groups among it.  Method: from 1 MiB across two groups. */
static void a_file_outgrows_the_first_group(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(256, HX_ALLOC_GROUP_PAGES + 4096, 1);
    uint64_t f = kit_create(&k, 1, "f");
    kit_fill(&k, f, 0, 132 * MIB, 6);
    assert_true(k.m->pages > HX_ALLOC_GROUP_PAGES);
    assert_in_range(extents(&k, f), 2, 200);
    assert_bytes(&k, f, 127 * MIB, 5 * MIB, 6);
    kit_truncate(&k, f, 0);
    kit_reap(&k);
    close_verified(&k);
}

/* Promise: what a write cannot have, it does not half do.  Method: 1 MiB into a volume with less. */
static void a_write_without_room_changes_nothing(void **state)
{
    (void)state;
    struct fs_kit k = kit_open(400, 400, 1);
    uint64_t f = kit_create(&k, 1, "f"), at;
    uint8_t *buf = calloc(1, MIB);
    assert_non_null(buf);
    kit_fill(&k, f, 0, 100 * PAGE, 1);
    uint64_t free_pages = kit_free_pages(&k), commits = k.m->commits;
    assert_true(free_pages < 256);
    assert_int_equal(kit_run(&k, hx_fs_write(k.fs, &k.who, f, 0, buf, MIB, true, false, &at)), HX_E_GROW);
    assert_true(kit_attr(&k, f).size == 100 * PAGE && kit_free_pages(&k) == free_pages && k.m->commits == commits);
    kit_write(&k, f, 0, buf, 100 * PAGE); /* needs no room */
    free(buf);
    close_verified(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_write_is_read_back),
        cmocka_unit_test(a_read_misses_on_all_absent_pages_at_once),
        cmocka_unit_test(a_prefetch_wants_its_range),
        cmocka_unit_test(a_write_in_place_touches_two_pages_and_fetches_none),
        cmocka_unit_test(appending_keeps_one_extent),
        cmocka_unit_test(files_growing_side_by_side_have_few_extents),
        cmocka_unit_test(a_cut_off_end_never_shows_again),
        cmocka_unit_test(a_tail_can_be_cut_again_and_removed),
        cmocka_unit_test(a_large_file_is_freed_in_bounded_steps),
        cmocka_unit_test(steps_fit_into_a_small_log),
        cmocka_unit_test(sparse_files_reach_their_limit),
        cmocka_unit_test(seek_finds_data_and_holes),
        cmocka_unit_test(fallocate_gives_zeros_and_edits_no_data),
        cmocka_unit_test(fallocate_between_islands_goes_in_parts),
        cmocka_unit_test(a_punched_hole_is_zeros_to_the_byte),
        cmocka_unit_test(a_write_clears_set_id_bits_when_asked),
        cmocka_unit_test(a_file_outgrows_the_first_group),
        cmocka_unit_test(a_write_without_room_changes_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("fs_data", tests, NULL, NULL);
}
