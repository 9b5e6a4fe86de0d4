/*
 * test_nomem_fs.c - filesystem operations, parked operations and configuration when the k-th allocation fails, once or
 * from then on, for every k (alloc_fault.h).
 *
 * Method: each step is tried under the fault; when it says NOMEM it is done once more with memory and must succeed: so
 * a failure has changed nothing.  At the end the whole structure is verified and everything is there.
 */
#include "fs_kit.h"

#include "alloc_fault.h"

#include "hexad/conf.h"
#include "hexad/parking.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FILES 40u

static bool struck;

static void lift(void)
{
    struck |= alloc_fault_happened();
    alloc_fault_plan(0, false);
}

static void for_each(void (*script)(uint64_t k, bool always))
{
    uint64_t k = 1;
    for (unsigned always = 0; always < 2; always++)
        for (k = 1, struck = true; struck; k++) {
            struck = false;
            alloc_fault_plan(k, always);
            script(k, always);
            lift();
        }
    print_message("# %llu allocations\n", (unsigned long long)k - 2);
}

/* EXPR under the fault; after NOMEM once more without. */
#define TRY(kit, k, always, expr)                                        \
    do {                                                                 \
        int rc_;                                                         \
        ALLOC_FAULTS(rc_ = kit_run((kit), expr));                        \
        if (rc_ == HX_E_NOMEM) {                                         \
            lift();                                                      \
            rc_ = kit_run((kit), expr);                                  \
            if (always)                                                  \
                alloc_fault_plan(1, true);                               \
        }                                                                \
        if (rc_ != 0)                                                    \
            fail_msg("%s, allocation %llu: %d", #expr, (unsigned long long)(k), rc_); \
    } while (0)

/* Attributes, ACLs that are handed on, nameless files, whiteouts, zeroed ranges. */
static void newer(uint64_t k, bool always)
{
    static const uint8_t acl[] = {2,   0,   0,   0,   1, 0, 7, 0, 255, 255, 255, 255, 2,   0,   5,
                                  0,   7,   0,   0,   0, 4, 0, 5, 0,   255, 255, 255, 255, 16,  0,
                                  7,   0,   255, 255, 255, 255, 32, 0, 4, 0,  255, 255, 255, 255};
    static uint8_t value[HX_FS_XATTR_VALUE_MAX], got[HX_FS_XATTR_VALUE_MAX];
    struct fs_kit kit = kit_open(600, 40000, 7);
    struct hx_fs_attr d, f, t, a;
    uint64_t at, done = 0;
    size_t len;
    kit_remount(&kit);
    kit.m->drop_percent = 10;
    memset(value, 'v', sizeof value);
    TRY(&kit, k, always, hx_fs_mkdir(kit.fs, &kit.who, HX_FS_ROOT, "dir", 0755, &d));
    TRY(&kit, k, always, hx_fs_setxattr(kit.fs, &kit.who, d.ino, HX_FS_ACL_DEFAULT, acl, sizeof acl, 0));
    TRY(&kit, k, always, hx_fs_mknod(kit.fs, &kit.who, d.ino, "heir", S_IFREG | 0666, 0, &f));
    TRY(&kit, k, always, hx_fs_setxattr(kit.fs, &kit.who, f.ino, "user.long", value, sizeof value, 0));
    TRY(&kit, k, always, hx_fs_setxattr(kit.fs, &kit.who, f.ino, "user.long", value, 3, HX_FS_XATTR_REPLACE));
    TRY(&kit, k, always, hx_fs_getxattr(kit.fs, f.ino, "user.long", got, sizeof got, &len));
    TRY(&kit, k, always, hx_fs_listxattr(kit.fs, f.ino, true, (char *)got, sizeof got, &len));
    TRY(&kit, k, always, hx_fs_removexattr(kit.fs, &kit.who, f.ino, HX_FS_ACL_ACCESS));
    TRY(&kit, k, always, hx_fs_tmpfile(kit.fs, &kit.who, d.ino, 0644, &t));
    TRY(&kit, k, always, hx_fs_write(kit.fs, &kit.who, t.ino, 0, value, 9000, false, false, &at));
    TRY(&kit, k, always, hx_fs_link(kit.fs, &kit.who, t.ino, d.ino, "named", &a));
    TRY(&kit, k, always, hx_fs_tmpfile(kit.fs, &kit.who, d.ino, 0644, &a)); /* never gets one */
    TRY(&kit, k, always, hx_fs_rename(kit.fs, &kit.who, d.ino, "heir", d.ino, "moved", HX_FS_RENAME_WHITEOUT));
    int rc = HX_E_AGAIN;
    while (rc == HX_E_AGAIN || rc == HX_E_NOMEM) {
        ALLOC_FAULTS(
            rc = kit_run(&kit, hx_fs_fallocate(kit.fs, &kit.who, t.ino, HX_FS_FALLOC_ZERO, 100, 20000, &done)));
        if (rc == HX_E_NOMEM)
            lift();
    }
    assert_int_equal(rc, 0);
    lift();
    kit_verify(&kit);
    kit_remount(&kit);
    kit_reap(&kit);
    kit_verify(&kit);
    assert_int_equal(kit_inodes(&kit), 5);
    assert_int_equal(kit_find(&kit, d.ino, "named"), t.ino);
    assert_int_equal(kit_find(&kit, d.ino, "moved"), f.ino);
    assert_true(S_ISCHR(kit_attr(&kit, kit_find(&kit, d.ino, "heir")).mode));
    assert_int_equal(kit_attr(&kit, t.ino).size, 20100);
    kit_close(&kit);
}

/* Promise: the same of what came with format version 2. */
static void newer_operations_without_memory_can_be_repeated(void **state)
{
    (void)state;
    for_each(newer);
}

static void tree(uint64_t k, bool always)
{
    struct fs_kit kit = kit_open(600, 40000, 7);
    struct hx_fs_attr a, dir, f[FILES];
    static uint8_t data[9000];
    uint64_t at;
    char name[32];
    kit_remount(&kit);
    kit.m->drop_percent = 10;
    TRY(&kit, k, always, hx_fs_mkdir(kit.fs, &kit.who, HX_FS_ROOT, "dir", 0755, &dir));
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "file-%u", i);
        TRY(&kit, k, always, hx_fs_mknod(kit.fs, &kit.who, dir.ino, name, S_IFREG | 0644, 0, &f[i]));
        if (i % 8 == 0) {
            TRY(&kit, k, always,
                hx_fs_write(kit.fs, &kit.who, f[i].ino, (uint64_t)i * 70000, data, sizeof data, false, false, &at));
            TRY(&kit, k, always, hx_fs_symlink(kit.fs, &kit.who, HX_FS_ROOT, name, "target", &a));
            TRY(&kit, k, always, hx_fs_link(kit.fs, &kit.who, f[i].ino, HX_FS_ROOT, name + 1, &a));
        }
    }
    hx_fs_opened(kit.fs, f[8].ino);
    TRY(&kit, k, always, hx_fs_unlink(kit.fs, &kit.who, dir.ino, "file-8"));
    TRY(&kit, k, always, hx_fs_unlink(kit.fs, &kit.who, HX_FS_ROOT, "ile-8"));
    TRY(&kit, k, always, hx_fs_rename(kit.fs, &kit.who, dir.ino, "file-1", HX_FS_ROOT, "moved", 0));
    uint64_t done = 0;
    int rc = HX_E_AGAIN;
    while (rc == HX_E_AGAIN) { /* grows the volume into a second allocation group */
        ALLOC_FAULTS(rc = kit_run(&kit, hx_fs_fallocate(kit.fs, &kit.who, f[2].ino, 0, 0, 33000u << 12, &done)));
        if (rc == HX_E_NOMEM) {
            lift();
            rc = HX_E_AGAIN;
        }
    }
    assert_int_equal(rc, 0);
    for (unsigned i = 0; i < FILES; i += 3) {
        ALLOC_FAULTS(rc = hx_fs_forget(kit.fs, f[i].ino, 1));
        assert_int_equal(rc, 0);
    }
    ALLOC_FAULTS(rc = hx_fs_released(kit.fs, f[8].ino));
    lift();
    kit_reap(&kit);
    kit_verify(&kit);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "file-%u", i);
        assert_int_equal(kit_find(&kit, dir.ino, name), i == 1 || i == 8 ? 0 : f[i].ino);
    }
    assert_int_equal(kit_find(&kit, HX_FS_ROOT, "moved"), f[1].ino);
    kit_close(&kit);
}

/* Promise: an operation that has no memory says NOMEM and has changed nothing: the same call works later. */
static void an_operation_without_memory_can_be_repeated(void **state)
{
    (void)state;
    for_each(tree);
}

static void checker(uint64_t k, bool always)
{
    struct fs_kit kit = kit_open(600, 600, 7);
    char why[256], name[16];
    int rc;
    (void)always;
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "f%u", i);
        kit_create(&kit, HX_FS_ROOT, name);
    }
    ALLOC_FAULTS(rc = hx_fs_verify(kit.fs, why));
    if (alloc_fault_happened() && rc != HX_E_NOMEM)
        fail_msg("allocation %llu: verify says %d, %s", (unsigned long long)k, rc, why);
    lift();
    assert_int_equal(hx_fs_verify(kit.fs, why), 0);
    kit_close(&kit);
}

/* Promise: a check without memory never calls a sound filesystem damaged. */
static void a_check_without_memory_finds_no_damage(void **state)
{
    (void)state;
    for_each(checker);
}

/* ---- parked operations ---- */
static void parking(uint64_t k, bool always)
{
    struct hx_parking p;
    struct hx_parked op[20] = {0};
    struct hx_pageno pages[10];
    int rc;
    (void)k;
    (void)always;
    ALLOC_FAULTS(rc = hx_parking_init(&p, 1000));
    if (rc) {
        assert_int_equal(rc, HX_E_NOMEM);
        return;
    }
    for (unsigned i = 0; i < HX_ARRAY_LEN(op); i++) {
        for (unsigned n = 0; n < HX_ARRAY_LEN(pages); n++)
            pages[n] = HX_PAGE(i * 3 + n);
        ALLOC_FAULTS(rc = hx_parking_on_pages(&p, &op[i], 5, 0, pages, 1 + i % HX_ARRAY_LEN(pages)));
        if (rc) {
            assert_int_equal(rc, HX_E_NOMEM);
            assert_int_equal(op[i].place, HX_PARK_NONE);
        }
        assert_true(hx_parking_check(&p));
    }
    for (unsigned i = 0; i < 80; i++)
        ALLOC_FAULTS(hx_parking_page(&p, HX_PAGE(i)));
    while (hx_parking_take(&p))
        ;
    assert_int_equal(p.count, 0);
    hx_parking_fini(&p);
}

/* Promise: an operation that cannot be parked is not parked, and no rule is broken. */
static void parking_without_memory_parks_nothing(void **state)
{
    (void)state;
    for_each(parking);
}

/* ---- configuration ---- */
static char conf_path[] = "/tmp/hexad-nomem-XXXXXX";

static void configuration(uint64_t k, bool always)
{
    struct hx_client_conf c;
    struct hx_segmentd_conf d;
    char why[HX_WHY_MAX];
    int rc;
    (void)always;
    ALLOC_FAULTS(rc = hx_client_conf_load(conf_path, &c, why));
    if (rc && rc != HX_E_NOMEM && !(k > 0 && rc == HX_E_CONFIG && strstr(why, "server")))
        fail_msg("allocation %llu: %d %s", (unsigned long long)k, rc, why);
    if (rc == 0)
        assert_int_equal(c.server_count, 3);
    hx_client_conf_free(&c);
    ALLOC_FAULTS(rc = hx_segmentd_conf_load(conf_path, NULL, &d, why));
    assert_true(rc == HX_E_NOMEM || rc == HX_E_CONFIG); /* it is not one of those */
}

/* Promise: a configuration that cannot be read for want of memory is NOMEM: never accepted in part, nothing leaks. */
static void configuration_without_memory_is_not_read_in_part(void **state)
{
    static const char text[] = "[tls]\nca = a\ncert = b\nkey = c\n[servers]\na1 = az-a https://h:1\n"
                               "b1 = az-b https://h:2\nc1 = az-c https://h:3\n";
    (void)state;
    int fd = mkstemp(conf_path);
    assert_true(fd >= 0 && write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
    close(fd);
    for_each(configuration);
    unlink(conf_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parking_without_memory_parks_nothing),
        cmocka_unit_test(configuration_without_memory_is_not_read_in_part),
        cmocka_unit_test(a_check_without_memory_finds_no_damage),
        cmocka_unit_test(an_operation_without_memory_can_be_repeated),
        cmocka_unit_test(newer_operations_without_memory_can_be_repeated),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("nomem_fs", tests, NULL, NULL);
}
