/*
 * test_check.c - the look into a store that does not run (hexad/check.h): it changes nothing, finds what a restart and
 * a scrub find, and tells what a start would do; the dump says what is there and goes on behind what it cannot read.
 *
 * Method: a segment of several files on a disk in memory, damaged in one place or another; every call that changes
 * something is counted.  What the check says is compared with what a server says that starts there and scrubs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"
#include "hexad/check.h"
#include "seg_model.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_BYTES (16u << 10)
#define TEXT_MAX (1u << 20)

struct paper { /* what was said */
    char *text;
    size_t len;
};

static void line(void *ctx, const char *text)
{
    struct paper *p = ctx;
    size_t n = strlen(text);
    assert_true(n < 512 && p->len + n + 2 < TEXT_MAX);
    for (size_t i = 0; i < n; i++)
        assert_true(text[i] >= ' ' && text[i] <= '~');
    memcpy(p->text + p->len, text, n);
    p->len += n;
    p->text[p->len++] = '\n';
    p->text[p->len] = '\0';
}

struct scene {
    struct hx_rig r;
    struct hx_model m;
    struct hx_disk_place at;
    struct paper said;
    struct hx_check_cfg cfg;
    struct hx_check_sum sum;
    uint64_t last; /* the open log file */
};

/* A segment that was stopped in the middle of its life. */
static void set(struct scene *s, uint64_t seed)
{
    *s = (struct scene){.said = {malloc(TEXT_MAX), 0}};
    assert_non_null(s->said.text);
    hx_model_init(&s->m, seed);
    hx_model_start(&s->r, FILE_BYTES);
    while (s->m.last < 500)
        assert_int_equal(hx_model_step(&s->r, &s->m), 0);
    for (unsigned i = 0; i < 4; i++)
        hx_rig_step(&s->r, 500); /* marks the tail */
    hx_rig_stop(&s->r, 0);
    s->at = hx_rig_place(&s->r, HX_MODEL_PG);
    s->last = hx_mem_last_log(s->r.farm[0], &s->at);
    s->cfg = (struct hx_check_cfg){.server = hx_rig_uuid(100), .farm = hx_mem_farm(s->r.farm[0]), .line = line,
                                   .ctx = &s->said};
}

static void clear(struct scene *s)
{
    hx_model_fini(&s->m);
    hx_rig_fini(&s->r);
    free(s->said.text);
}

static void check(struct scene *s)
{
    uint64_t calls = hx_mem_calls(s->r.farm[0]);
    s->said.len = 0;
    assert_int_equal(hx_check_all(&s->cfg, &s->sum), 0);
    assert_int_equal(hx_mem_calls(s->r.farm[0]), calls);
    assert_int_equal(s->sum.segments, 1);
}

static void says(const struct scene *s, const char *what)
{
    if (!strstr(s->said.text, what))
        fail_msg("'%s' is missing in:\n%s", what, s->said.text);
}

static uint8_t *file_of(struct scene *s, uint64_t id, size_t *ret_len)
{
    uint8_t *p = hx_mem_file(s->r.farm[0], &s->at, id, ret_len);
    assert_non_null(p);
    return p;
}

/* Promise: a store that was stopped, or killed, is clean: nothing damaged, all files and bytes counted. */
static void a_sound_store_is_clean(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct scene s;
        set(&s, seed);
        check(&s);
        assert_true(!s.sum.damaged && !s.sum.refused && !s.sum.unread);
        assert_int_equal(s.sum.files, hx_mem_file_count(s.r.farm[0], &s.at));
        says(&s, "a start would serve it: complete to LSN 5");
        for (uint64_t cut = 1; cut <= 40; cut++) { /* power lost at some call */
            assert_int_equal(hx_rig_start(&s.r, 0), 0);
            hx_mem_power_off_at(s.r.farm[0], cut);
            for (unsigned i = 0; i < 6; i++) {
                size_t n = hx_model_frame(&s.r, &s.m, 3);
                hx_rig_append(&s.r, 0, 1, s.m.vdl, s.m.floor, s.r.frame, n, NULL);
                hx_rig_step(&s.r, 50);
            }
            hx_rig_stop(&s.r, 0);
            hx_mem_crash(s.r.farm[0], seed * 100 + cut);
            check(&s);
            if (s.sum.damaged || s.sum.refused || s.sum.unread)
                fail_msg("power off at %llu:\n%s", (unsigned long long)cut, s.said.text);
            uint64_t scl = strtoull(strstr(s.said.text, "complete to LSN ") + 16, NULL, 10);
            struct hx_segment_look l;
            assert_int_equal(hx_rig_start(&s.r, 0), 0);
            assert_int_equal(hx_node_look(s.r.node[0], s.at, &l), 0);
            assert_int_equal(l.scl.v, scl); /* what a start would do is what it does */
            s.m.last = s.m.acked = scl;
            hx_rig_stop(&s.r, 0);
        }
        clear(&s);
    }
}

/* What a server finds that starts here and scrubs everything; -1: it does not serve. */
static int found_by_a_server(struct scene *s)
{
    struct hx_segment_look l;
    assert_int_equal(hx_rig_start(&s->r, 0), 0);
    assert_int_equal(hx_node_look(s->r.node[0], s->at, &l), 0);
    if (l.error)
        return -1;
    struct hx_seg *g = hx_node_find(s->r.node[0], &s->at.volume, s->at.pg);
    g->scrub.loaded = true;
    for (unsigned i = 0; i < 200 && !g->scrub.comparing && !g->error; i++)
        hx_scrub_step(g, 1u << 20);
    assert_true(g->scrub.comparing || g->error);
    return g->damaged > 0;
}

/* Promise: a flipped byte or a zeroed sector anywhere is judged as a server would: damage that it would count is damage
 * here, and names its file; the files are as they were. */
static void the_check_finds_what_a_server_finds(void **state)
{
    (void)state;
    struct scene s;
    unsigned damaged = 0, tried = 0;
    for (unsigned k = 0; k < 160; k++) {
        set(&s, 5);
        struct hx_model dice = {.rng = k * 7919 + 3};
        uint64_t id = s.last;
        size_t len, off;
        for (unsigned i = 0; i < 99 && (i == 0 || !hx_mem_file(s.r.farm[0], &s.at, id, &len)); i++)
            id = HX_LOG_FIRST_ID + hx_model_dice(&dice) % (s.last - HX_LOG_FIRST_ID + 1);
        id |= k % 4 == 3 ? HX_LOG_SIDE_BIT : 0;
        id = k % 16 == 5 ? 1 + k % 2 : id;
        uint8_t *p = hx_mem_file(s.r.farm[0], &s.at, id, &len);
        if (!p || !len) {
            clear(&s);
            continue;
        }
        off = hx_model_dice(&dice) % len;
        if (k % 3)
            p[off] ^= (uint8_t)(1u << k % 8);
        else
            memset(p + off / 512 * 512, 0, len - off / 512 * 512 < 512 ? len - off / 512 * 512 : 512);
        check(&s);
        tried++;
        int found = found_by_a_server(&s);
        assert_true(found >= 0 && !s.sum.refused && !s.sum.unread);
        if (found > (int)s.sum.damaged)
            fail_msg("file %llx at %zu: not seen:\n%s", (unsigned long long)id, off, s.said.text);
        damaged += s.sum.damaged > 0;
        if (s.sum.damaged && id < HX_LOG_SIDE_BIT)
            says(&s, "damaged at ");
        clear(&s);
    }
    assert_true(tried > 80 && damaged > 20);
}

/* Promise: each sort of loss is told in its own words, and so is what a start would do about it. */
static void each_loss_has_its_words(void **state)
{
    (void)state;
    struct scene s;
    size_t len;
    for (unsigned k = 0; k < 9; k++) {
        set(&s, 6);
        uint64_t closed = HX_LOG_FIRST_ID;
        while (closed < s.last && !hx_mem_file(s.r.farm[0], &s.at, closed | HX_LOG_SIDE_BIT, &len))
            closed++;
        assert_true(closed < s.last);
        if (k == 0 || k == 2)
            file_of(&s, 1, &len)[70] ^= 1;
        if (k == 1 || k == 2)
            memset(file_of(&s, 2, &len), 0, 512);
        if (k == 3)
            hx_mem_remove_file(s.r.farm[0], &s.at, closed);
        if (k == 4)
            file_of(&s, closed | HX_LOG_SIDE_BIT, &len)[150] ^= 1;
        if (k == 5)
            s.cfg.server = hx_rig_uuid(101);
        uint8_t *p = file_of(&s, 1, &len);
        if (k == 6) {
            hx_put_u16(p + 4, 9);
            hx_put_u32(p + 100, hx_crc32c(0, p, 100));
        }
        if (k == 7) /* never formatted: the first save was torn */
            for (uint64_t id = 2; id < s.last + 1; id++) {
                hx_mem_remove_file(s.r.farm[0], &s.at, id);
                hx_mem_remove_file(s.r.farm[0], &s.at, id | HX_LOG_SIDE_BIT);
                p[90] ^= id == 2;
            }
        if (k == 8)
            hx_mem_fail_list(s.r.farm[0], HX_E_IO);
        check(&s);
        static const char *const words[] = {"write both meta slots anew", "meta slot, 16384 bytes: damaged",
            "both meta slots are lost", "is lost", "sidecars anew", "it belongs to another server", "a newer version",
            "a FORMAT that never ended", NULL};
        if (words[k])
            says(&s, words[k]);
        assert_int_equal(s.sum.refused, k == 2 || k == 5 || k == 6);
        assert_int_equal(s.sum.damaged, k == 3);
        assert_int_equal(s.sum.touched, k == 0 || k == 1 || k == 4);
        assert_int_equal(s.sum.unread, k == 8);
        clear(&s);
    }
}

/* Promise: a dump names every entry and record of a log file, goes on behind damage, and never ends early; each file of
 * the segment can be dumped, whole or damaged. */
static void a_dump_goes_on_behind_damage(void **state)
{
    (void)state;
    struct scene s;
    size_t len, n = 0;
    set(&s, 7);
    s.said.len = 0;
    assert_int_equal(hx_dump_all(&s.cfg), 0);
    char hex[33], name[48];
    hx_uuid_format(&s.at.volume, hex);
    snprintf(name, sizeof name, "%s-%u\n", hex, s.at.pg);
    assert_string_equal(s.said.text, name);
    s.said.len = 0;
    assert_int_equal(hx_dump_segment(&s.cfg, &s.at), 0);
    says(&s, "sidecar, ");
    says(&s, "meta slot, ");
    assert_int_equal(hx_dump_file(&s.cfg, &s.at, s.last + 1), HX_E_NOENT);
    struct hx_disk_place other = {s.at.volume, 77};
    assert_int_equal(hx_dump_segment(&s.cfg, &other), HX_E_NOENT);
    uint64_t id = s.last - 1;
    uint8_t *p = file_of(&s, id, &len);
    unsigned entries[2];
    struct hx_env e;
    for (size_t off = 0; off + HX_LOG_ENV <= len && !hx_env_decode(p + off, &e); off += hx_env_bytes(e.body_len))
        n++;
    for (unsigned bad = 0; bad < 2; bad++) {
        s.said.len = 0;
        if (bad)
            p[hx_env_bytes(hx_get_u32(p + 8)) + 30] ^= 1; /* the second envelope */
        assert_int_equal(hx_dump_file(&s.cfg, &s.at, id), 0);
        const char *end = strstr(s.said.text, " entries, ");
        assert_non_null(end);
        while (end[-1] != ' ')
            end--;
        entries[bad] = (unsigned)strtoul(end, NULL, 10);
        assert_true(!bad == !strstr(s.said.text, "no entry of this file"));
    }
    assert_int_equal(entries[0], n);
    assert_int_equal(entries[1], n - 1);
    for (unsigned k = 0; k < 300; k++) { /* any file, any damage: it ends, and says nothing but text */
        struct hx_disk_file f[64];
        struct hx_disk *d;
        size_t count;
        assert_int_equal(s.cfg.farm->ops->open(s.cfg.farm, s.at, false, &d), 0);
        assert_int_equal(d->ops->list(d, 0, f, 64, &count), 0);
        s.cfg.farm->ops->close(s.cfg.farm, d);
        uint64_t which = f[hx_model_dice(&s.m) % count].id;
        p = file_of(&s, which, &len);
        p[hx_model_dice(&s.m) % len] ^= (uint8_t)(1u << hx_model_dice(&s.m) % 8);
        s.said.len = 0;
        assert_int_equal(hx_dump_file(&s.cfg, &s.at, which), 0);
        assert_true(s.said.len > 0);
    }
    clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_store_is_clean),
        cmocka_unit_test(the_check_finds_what_a_server_finds),
        cmocka_unit_test(each_loss_has_its_words),
        cmocka_unit_test(a_dump_goes_on_behind_damage),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
