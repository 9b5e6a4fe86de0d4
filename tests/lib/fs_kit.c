/*
 * fs_kit.c - a filesystem on a pager in memory, for tests (fs_kit.h).
 */
#include "fs_kit.h"

#include "hexad/assert.h"

#include "../../src/fs/alloc.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

struct fs_kit kit_open(uint64_t pages, uint64_t pages_max, uint64_t seed)
{
    struct fs_kit k = {.who = {.uid = 1000, .gid = 100, .now = {1000000, 5}}};
    k.m = mem_pager_new(pages, pages_max, seed);
    assert_int_equal(kit_run(&k, hx_fs_format(&k.m->base, &k.who)), 0);
    assert_int_equal(hx_fs_new(&k.m->base, &k.fs), 0);
    return k;
}

void kit_close(struct fs_kit *k)
{
    hx_fs_free(k->fs);
    mem_pager_free(k->m);
    *k = (struct fs_kit){0};
}

void kit_remount(struct fs_kit *k)
{
    hx_fs_free(k->fs);
    assert_int_equal(hx_fs_new(&k->m->base, &k->fs), 0);
}

struct fs_kit kit_crash(const struct fs_kit *k)
{
    struct fs_kit c = {.who = k->who};
    c.m = mem_pager_clone(k->m);
    assert_int_equal(hx_fs_new(&c.m->base, &c.fs), 0);
    return c;
}

static bool is_taken(const struct mem_pager *m, uint64_t page)
{
    const uint8_t *bm = mem_pager_page(m, hx_alloc_bitmap_page(page / HX_ALLOC_GROUP_PAGES));
    return hx_alloc_is_fixed(page) || (bm && hx_alloc_bit(bm, page));
}

void kit_verify(struct fs_kit *k)
{
    char why[256];
    int rc = kit_run(k, hx_fs_verify(k->fs, why));
    if (rc)
        print_error("verify: %d %s\n", rc, why);
    assert_int_equal(rc, 0);
    for (uint64_t i = 0; i < k->m->pages; i++)
        if (!is_taken(k->m, i) && !mem_pager_is_zeros(k->m, i))
            fail_msg("page %llu is free and not zeros (P3)", (unsigned long long)i);
}

void kit_reap(struct fs_kit *k)
{
    int rc;
    while ((rc = kit_run(k, hx_fs_reap(k->fs))) == 1)
        ;
    assert_int_equal(rc, 0);
    assert_false(hx_fs_has_work(k->fs));
}

uint64_t kit_free_pages(struct fs_kit *k)
{
    struct hx_fs_statfs s;
    assert_int_equal(kit_run(k, hx_fs_statfs(k->fs, &s)), 0);
    return s.pages_free;
}

uint64_t kit_inodes(struct fs_kit *k)
{
    struct hx_fs_statfs s;
    assert_int_equal(kit_run(k, hx_fs_statfs(k->fs, &s)), 0);
    return s.inodes;
}

uint64_t kit_mkdir(struct fs_kit *k, uint64_t dir, const char *name)
{
    struct hx_fs_attr a;
    assert_int_equal(kit_run(k, hx_fs_mkdir(k->fs, &k->who, dir, name, 0755, &a)), 0);
    return a.ino;
}

uint64_t kit_create(struct fs_kit *k, uint64_t dir, const char *name)
{
    struct hx_fs_attr a;
    assert_int_equal(kit_run(k, hx_fs_mknod(k->fs, &k->who, dir, name, S_IFREG | 0644, 0, &a)), 0);
    return a.ino;
}

void kit_write(struct fs_kit *k, uint64_t ino, uint64_t off, const void *buf, size_t len)
{
    uint64_t at;
    int rc = kit_run(k, hx_fs_write(k->fs, &k->who, ino, off, buf, len, false, false, &at));
    assert_int_equal(rc, 0);
    assert_true(at == off);
}

void kit_fill(struct fs_kit *k, uint64_t ino, uint64_t off, uint64_t len, uint8_t byte)
{
    uint8_t *buf = malloc(1 << 20);
    hx_assert(buf);
    memset(buf, byte, 1 << 20);
    while (len > 0) {
        size_t n = len < 1 << 20 ? (size_t)len : 1 << 20;
        kit_write(k, ino, off, buf, n);
        off += n;
        len -= n;
    }
    free(buf);
}

void kit_truncate(struct fs_kit *k, uint64_t ino, uint64_t size)
{
    struct hx_fs_attr in = {.size = size}, out;
    assert_int_equal(kit_run(k, hx_fs_setattr(k->fs, &k->who, ino, &in, HX_FS_SET_SIZE, &out)), 0);
    assert_true(out.size == size);
}

struct hx_fs_attr kit_attr(struct fs_kit *k, uint64_t ino)
{
    struct hx_fs_attr a;
    assert_int_equal(kit_run(k, hx_fs_getattr(k->fs, ino, &a)), 0);
    return a;
}

/* The answer points into the cache until the operation ends, so the copy is made before that. */
static int read_once(struct fs_kit *k, uint64_t ino, uint64_t off, uint8_t *buf, size_t len, size_t *ret_len)
{
    static struct iovec v[300];
    size_t count, at = 0;
    int rc = hx_fs_read(k->fs, ino, off, len, v, len / HX_PAGE_SIZE + 2, &count, ret_len);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        memcpy(buf + at, v[i].iov_base, v[i].iov_len);
        at += v[i].iov_len;
    }
    if (rc == 0)
        assert_true(at == *ret_len);
    return rc;
}

size_t kit_read(struct fs_kit *k, uint64_t ino, uint64_t off, void *buf, size_t len)
{
    size_t done = 0, n = 0;
    do {
        size_t part = len - done < 1 << 20 ? len - done : 1 << 20;
        assert_int_equal(kit_run(k, read_once(k, ino, off + done, (uint8_t *)buf + done, part, &n)), 0);
        done += n;
    } while (n > 0 && done < len);
    return done;
}

uint64_t kit_find(struct fs_kit *k, uint64_t dir, const char *name)
{
    struct hx_fs_attr a;
    int rc = kit_run(k, hx_fs_lookup(k->fs, dir, name, &a));
    if (rc == HX_E_NOENT)
        return 0;
    assert_int_equal(rc, 0);
    hx_fs_forget(k->fs, a.ino, 1);
    return a.ino;
}
