/*
 * test_nomem_check.c - the look into a store that does not run while its k-th allocation fails, once or from then on,
 * for every k: it says that memory is lacking or answers, and changes nothing.  What it says of damage is right then; a
 * check may say that a start would make something anew which it could not read, as that start would.
 *
 * Method: a segment of several files on a disk in memory, sound, and with damage in one of them; what is said with all
 * memory there is the answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hexad/check.h"
#include "nomem_kit.h"
#include "seg_model.h"

#include <stdlib.h>

#define TEXT_MAX (1u << 20)

struct paper {
    char *text;
    size_t len;
};
static struct scene {
    struct hx_rig r;
    struct hx_disk_place at;
    struct hx_check_cfg cfg;
    struct paper said, answer;
    unsigned segments;
    bool damaged;
} scene;
static unsigned what; /* 0: check; 1, 2: dump of all, of the segment; from 3 on: of the file before */
#define FILES 5u
static uint64_t files[FILES]; /* slot, checkpoint, the oldest log file, its sidecar, the open log file */

static void line(void *ctx, const char *text)
{
    struct paper *p = ctx;
    size_t n = strlen(text);
    assert_true(p->len + n + 2 < TEXT_MAX);
    memcpy(p->text + p->len, text, n);
    p->len += n;
    p->text[p->len++] = '\n';
    p->text[p->len] = '\0';
}

static void segment(void *ctx, const struct hx_check_segment *s)
{
    (void)ctx;
    scene.segments++;
    assert_true(s->state == (scene.damaged ? HX_CHECK_DAMAGED : HX_CHECK_CLEAN) ||
                (s->state == HX_CHECK_TOUCHED && !scene.damaged));
}

static int look(void)
{
    struct hx_check_sum sum;
    if (what == 0)
        return hx_check_all(&scene.cfg, &sum);
    if (what == 1)
        return hx_dump_all(&scene.cfg);
    return what == 2 ? hx_dump_segment(&scene.cfg, &scene.at) : hx_dump_file(&scene.cfg, &scene.at, files[what - 3]);
}

static const char *first_difference(void)
{
    size_t i = 0, from = 0;
    for (; i < scene.said.len && i < scene.answer.len && scene.said.text[i] == scene.answer.text[i]; i++)
        from = scene.said.text[i] == '\n' ? i + 1 : from;
    return scene.said.text + from;
}

static void one(uint64_t k, bool always)
{
    (void)always;
    scene.said.len = 0;
    scene.segments = 0;
    alloc_fault_arm();
    int err = look();
    alloc_fault_disarm();
    bool happened = alloc_fault_happened();
    lift();
    if (err)
        assert_nomem(err, "looking", k);
    if (err && !happened)
        fail_msg("%u, %llu: NOMEM, but nothing failed", what, (unsigned long long)k);
    if (!err && what > 0 &&
        (scene.said.len != scene.answer.len || memcmp(scene.said.text, scene.answer.text, scene.answer.len)))
        fail_msg("%u, allocation %llu failed, and another answer was given: %s", what, (unsigned long long)k,
                 first_difference());
    assert_int_equal(scene.segments, what == 0 && !err);
    if (!err && strstr(scene.said.text, ": damaged\n")) /* a slot, sidecar or checkpoint */
        fail_msg("%u, %llu: what could not be looked at is called damaged", what, (unsigned long long)k);
}

/* Promise: see above. */
static void the_answer_is_whole_or_there_is_none(void **state)
{
    (void)state;
    struct hx_model m;
    size_t len;
    hx_model_init(&m, 5);
    hx_model_start(&scene.r, 16u << 10);
    while (m.last < 500)
        assert_int_equal(hx_model_step(&scene.r, &m), 0);
    hx_rig_stop(&scene.r, 0);
    scene.at = hx_rig_place(&scene.r, HX_MODEL_PG);
    scene.said.text = malloc(TEXT_MAX);
    scene.answer.text = malloc(TEXT_MAX);
    assert_true(scene.said.text && scene.answer.text);
    scene.cfg = (struct hx_check_cfg){.server = hx_rig_uuid(100), .farm = hx_mem_farm(scene.r.farm[0]), .line = line,
                                      .segment = segment, .ctx = &scene.answer};
    uint64_t oldest = 16;
    while (!hx_mem_file(scene.r.farm[0], &scene.at, oldest, &len))
        oldest++;
    const uint64_t list[FILES] = {1, 4, oldest, oldest | UINT64_C(1) << 32,
                                  hx_mem_last_log(scene.r.farm[0], &scene.at)};
    memcpy(files, list, sizeof files);
    uint64_t calls = hx_mem_calls(scene.r.farm[0]);
    for (unsigned pass = 0; pass < 2 * (3 + FILES); pass++) {
        what = pass / 2;
        if (pass % 2 != scene.damaged)
            hx_mem_file(scene.r.farm[0], &scene.at, oldest, &len)[400] ^= 1;
        scene.damaged = pass % 2;
        if (what >= 3 && !hx_mem_file(scene.r.farm[0], &scene.at, files[what - 3], &len))
            continue; /* a checkpoint may be in the other file */
        scene.answer.len = 0;
        scene.cfg.ctx = &scene.answer;
        assert_int_equal(look(), 0);
        assert_true(scene.answer.len > 0);
        scene.cfg.ctx = &scene.said;
        for_each(one);
    }
    assert_int_equal(hx_mem_calls(scene.r.farm[0]), calls);
    free(scene.said.text);
    free(scene.answer.text);
    hx_model_fini(&m);
    hx_rig_fini(&scene.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_is_whole_or_there_is_none),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
