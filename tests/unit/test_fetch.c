/*
 * test_fetch.c - FETCH: which stored frames a peer or a recovery gets, in which order, and in how many pieces.
 *
 * Method: one server over a disk in memory; what it stores is known frame by frame, so that answers are compared byte
 * for byte, also when the log lies in many files, when a frame or a sidecar is damaged, and when there are more frames
 * than a FETCH sorts at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hexad/crc.h"
#include "node_rig.h"

#include <stdlib.h>

#define PG 1u
#define SIDE_BIT (UINT64_C(1) << 32)

struct stored { /* a frame as it was appended */
    uint64_t first, last;
    uint8_t *bytes;
    size_t len;
};
struct shelf {
    struct stored *p;
    size_t count;
};

static void start(struct hx_rig *r, uint32_t log_file_bytes)
{
    hx_rig_init(r, 1, 1u << 20, 2, log_file_bytes);
    assert_int_equal(hx_rig_format(r, 0, PG), 0);
}

static void shelf_fini(struct shelf *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->p[i].bytes);
    free(s->p);
}

static void keep(struct hx_rig *r, struct shelf *s, uint64_t first, uint64_t last, size_t len)
{
    s->p = realloc(s->p, (s->count + 1) * sizeof *s->p);
    assert_non_null(s->p);
    struct stored *x = &s->p[s->count++];
    *x = (struct stored){first, last, malloc(len), len};
    assert_non_null(x->bytes);
    memcpy(x->bytes, r->frame, len);
}

/* A frame with one image of noise, so that it neither compresses nor fits a file many times. */
static void put_noise(struct hx_rig *r, struct shelf *s, uint64_t lsn, size_t bytes)
{
    static uint8_t image[HX_PAGE_SIZE];
    uint64_t x = lsn * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < bytes; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        image[i] = (uint8_t)(x | 1);
    }
    struct hx_rig_rec rec = {lsn, (uint32_t)(lsn % 16), HX_REC_IMAGE, HX_REC_CPL, image, bytes};
    size_t n = hx_rig_frame(r, PG, 1, lsn - 1, &rec, 1, (struct hx_rig_marks){0});
    if (s)
        keep(r, s, lsn, lsn, n);
    assert_int_equal(hx_rig_append(r, 0, 1, 0, 0, r->frame, n, NULL), 0);
}

struct pull { /* what is asked, and what came */
    uint64_t after, to, epoch;
    uint32_t bytes_max;
    bool raw;
    int status;
    bool more;
    struct hx_rig_reply a;
};

static void fetch(struct hx_rig *r, struct pull *p)
{
    uint8_t b[21];
    hx_put_u64(b, p->after);
    hx_put_u64(b + 8, p->to);
    hx_put_u32(b + 16, p->bytes_max);
    b[20] = p->raw;
    struct hx_rig_ask q = {.type = HX_MSG_FETCH, .pg = PG, .epoch = p->epoch, .name = p->raw ? "w" : "b1",
                           .role = p->raw ? HX_NODE_ROLE_WRITER : HX_NODE_ROLE_SEGMENT, .body = {b, sizeof b}};
    p->status = hx_rig_call(r, 0, &q, &p->a);
    p->more = p->a.head.flags & HX_REPLY_MORE;
}

/* Pulls (after, to] as a peer does, in pieces of BYTES_MAX, and compares with the frames of S that BELONG says. */
static void pull_all(struct hx_rig *r, const struct shelf *s, struct pull p, const bool *lost, unsigned *ret_answers)
{
    size_t at = 0;
    for (bool more = true; more; (*ret_answers)++) {
        fetch(r, &p);
        assert_int_equal(p.status, 0);
        const uint8_t *b = p.a.body.p;
        size_t left = p.a.body.len, got = 0;
        for (; left; got++) {
            while (at < s->count && (s->p[at].last <= p.after || (lost && lost[at])))
                at++;
            assert_true(at < s->count && s->p[at].first <= p.to);
            assert_true(left >= s->p[at].len);
            assert_memory_equal(b, s->p[at].bytes, s->p[at].len);
            b += s->p[at].len;
            left -= s->p[at].len;
            p.after = s->p[at++].last; /* as a segment's SCL would move */
        }
        assert_true(got == 1 || p.a.body.len <= p.bytes_max);
        more = p.more;
        assert_true(got || !more); /* F1: every answer is progress */
        hx_rig_reply_fini(&p.a);
    }
    while (at < s->count && (s->p[at].last <= p.after || (lost && lost[at])))
        at++;
    assert_true(at == s->count || s->p[at].first > p.to); /* nothing was left out */
}

static struct hx_segment_status status(struct hx_rig *r)
{
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(r, 0, PG, &s), 0);
    return s;
}

/* Promise: whoever asks for a range gets each of its frames once, byte for byte and in the order of LSNs, however small
 * the pieces are and however many files the log has; frames outside of the range are not given. */
static void a_range_comes_in_order_and_once(void **state)
{
    struct hx_rig r;
    struct shelf s = {0};
    unsigned answers;
    (void)state;
    start(&r, 16u << 10);
    for (uint64_t lsn = 1; lsn <= 30; lsn++) {
        put_noise(&r, &s, lsn, 2000);
        hx_rig_step(&r, 1); /* closed files get their sidecars */
    }
    struct hx_disk_place at = hx_rig_place(&r, PG);
    assert_true(hx_mem_last_log(r.farm[0], &at) >= 16 + 3);
    static const uint32_t pieces[] = {1, 3000, 5000, 1u << 20};
    static const unsigned wanted[] = {30, 30, 15, 1};
    for (size_t i = 0; i < HX_ARRAY_LEN(pieces); i++) {
        answers = 0;
        pull_all(&r, &s, (struct pull){.to = 100, .bytes_max = pieces[i]}, NULL, &answers);
        assert_int_equal(answers, wanted[i]);
    }
    answers = 0;
    pull_all(&r, &s, (struct pull){.after = 7, .to = 19, .bytes_max = 1u << 20}, NULL, &answers);
    pull_all(&r, &s, (struct pull){.after = 30, .to = 90, .bytes_max = 1u << 20}, NULL, &answers);
    pull_all(&r, &s, (struct pull){.after = 0, .to = 30, .bytes_max = UINT32_MAX, .raw = true}, NULL, &answers);
    assert_int_equal(answers, 3);
    shelf_fini(&s);
    hx_rig_fini(&r);
}

/* One APPEND of COUNT frames of one record each. */
static void append_many(struct hx_rig *r, struct shelf *s, uint64_t from, unsigned count, bool backwards)
{
    struct hx_append_head h = {.frame_count = count};
    size_t cap = 4096 + (size_t)count * 256;
    uint8_t *b = malloc(cap);
    assert_non_null(b);
    struct hx_enc e = hx_enc_init(b, cap);
    hx_append_head_encode(&h, &e);
    for (unsigned i = 0; i < count; i++) {
        uint64_t lsn = backwards ? from + count - 1 - i : from + i;
        size_t n = hx_rig_run(r, PG, 1, lsn - 1, lsn, 1, 0);
        hx_enc_bytes(&e, r->frame, n);
        s->p[lsn - 1] = (struct stored){lsn, lsn, malloc(n), n};
        assert_non_null(s->p[lsn - 1].bytes);
        memcpy(s->p[lsn - 1].bytes, r->frame, n);
    }
    assert_int_equal(e.err, 0);
    struct hx_rig_ask q = {.type = HX_MSG_APPEND, .body = {b, e.len}};
    assert_int_equal(hx_rig_call(r, 0, &q, NULL), 0);
    free(b);
}

/* Promise: an answer has no gap and MORE is told when a range has more frames than are sorted at once; in the end all
 * of them have come.  Method: 40,000 frames that arrived in the right order, and in the wrong one; an answer has room
 * for all of them, or for more than are kept of one sort and less than were looked at. */
static void more_frames_than_are_sorted_at_once(void **state)
{
    enum { FRAMES = 40000 };
    (void)state;
    for (unsigned backwards = 0; backwards < 2; backwards++) {
        struct hx_rig r;
        struct shelf s = {calloc(FRAMES, sizeof *s.p), FRAMES};
        const uint32_t room[] = {UINT32_MAX, 3u << 19};
        start(&r, 0);
        for (unsigned i = 0; i < 4; i++)
            append_many(&r, &s, 1 + (backwards ? 3 - i : i) * (FRAMES / 4), FRAMES / 4, backwards);
        assert_int_equal(status(&r).scl.v, FRAMES);
        for (unsigned i = 0; i < HX_ARRAY_LEN(room); i++) {
            unsigned answers = 0;
            pull_all(&r, &s, (struct pull){.to = UINT64_MAX, .bytes_max = room[i]}, NULL, &answers);
            assert_in_range(answers, 3, 6);
        }
        shelf_fini(&s);
        hx_rig_fini(&r);
    }
}

/* Promise (I4): a frame of which nothing is valid under the own history goes to no peer, and does not end the answer;
 * a recovery, which decides about it, gets all. */
static void annulled_frames_are_for_recoveries_only(void **state)
{
    struct hx_rig r;
    struct shelf s = {0};
    struct hx_history h = {0};
    unsigned answers = 0;
    (void)state;
    start(&r, 0);
    for (uint64_t lsn = 1; lsn <= 5; lsn++)
        put_noise(&r, &s, lsn, 100);
    assert_int_equal(hx_history_copy(&h, &r.history), 0);
    assert_int_equal(hx_history_push(&h, (struct hx_history_entry){{2}, {3}, {1003}, HX_RIG_LAL}), 0);
    assert_int_equal(hx_rig_adopt(&r, 0, PG, 2, &h, NULL, NULL), 0);
    size_t n = hx_rig_run(&r, PG, 2, 3, 1004, 2, 0);
    keep(&r, &s, 1004, 1005, n);
    assert_int_equal(hx_rig_append(&r, 0, 2, 0, 0, r.frame, n, NULL), 0);
    const bool lost[6] = {[3] = true, [4] = true};
    pull_all(&r, &s, (struct pull){.to = 2000, .epoch = 2, .bytes_max = 1u << 20}, lost, &answers);
    pull_all(&r, &s, (struct pull){.to = 2000, .epoch = 2, .bytes_max = 1u << 20, .raw = true}, NULL, &answers);
    assert_int_equal(answers, 2);
    struct pull none = {.after = 3, .to = 5, .epoch = 2, .bytes_max = 1u << 20};
    fetch(&r, &none);
    assert_true(none.status == 0 && none.a.body.len == 0 && !none.more);
    hx_rig_reply_fini(&none.a);
    none.epoch = 1; /* of a peer that has not heard of the history */
    fetch(&r, &none);
    assert_int_equal(none.status, HX_E_NEED_HISTORY);
    hx_rig_reply_fini(&none.a);
    shelf_fini(&s);
    hx_history_fini(&h);
    hx_rig_fini(&r);
}

/* Where the frame of LSN stands in the log file ID. */
static size_t frame_at(struct hx_rig *r, uint64_t id, uint64_t lsn, uint8_t **ret_file)
{
    size_t len;
    struct hx_disk_place at = hx_rig_place(r, PG);
    *ret_file = hx_mem_file(r->farm[0], &at, id, &len);
    for (size_t off = 0; *ret_file && off + HX_FRAME_HEAD < len; off += 8)
        if (hx_get_u32(*ret_file + off) == HX_FRAME_MAGIC && hx_get_u64(*ret_file + off + 40) == lsn)
            return off;
    fail_msg("LSN %llu is not in file %llu", (unsigned long long)lsn, (unsigned long long)id);
    return 0;
}

/* Promise (F3): an annulled frame that rotted is no damage: nobody may ask for it any more.  But a recovery may, of
 * what is above the hint. */
static void an_annulled_frame_that_rotted_is_no_damage(void **state)
{
    (void)state;
    for (unsigned below = 0; below < 2; below++) {
        struct hx_rig r;
        struct hx_history h = {0};
        uint8_t *file;
        start(&r, 0);
        for (uint64_t lsn = 1; lsn <= 5; lsn++)
            put_noise(&r, NULL, lsn, 100);
        assert_int_equal(hx_history_copy(&h, &r.history), 0);
        assert_int_equal(hx_history_push(&h, (struct hx_history_entry){{2}, {3}, {1003}, HX_RIG_LAL}), 0);
        assert_int_equal(hx_rig_adopt(&r, 0, PG, 2, &h, NULL, NULL), 0);
        size_t n = hx_rig_run(&r, PG, 2, 3, 1004, 2, 0);
        assert_int_equal(hx_rig_append(&r, 0, 2, below ? 1005 : 0, 0, r.frame, n, NULL), 0);
        file = NULL;
        size_t off = frame_at(&r, 16, 5, &file);
        file[off + 40] ^= 1;
        struct pull p = {.to = 2000, .epoch = 2, .bytes_max = 1u << 20};
        fetch(&r, &p);
        assert_int_equal(p.status, 0);
        hx_rig_reply_fini(&p.a);
        assert_int_equal(status(&r).damaged, 0);
        p.raw = true;
        fetch(&r, &p);
        assert_int_equal(p.status, 0);
        hx_rig_reply_fini(&p.a);
        assert_int_equal(status(&r).damaged, !below);
        hx_history_fini(&h);
        hx_rig_fini(&r);
    }
}

/* Promise (I11): a frame that rotted is given to nobody, the others of the range are; it is counted as damage and told
 * to a recovery as UNKNOWN.  So is one that is whole, but is another one: its records would go to a peer as if they
 * belonged there.  Method: each in a copy of the same life: a byte of its head, of its body, a sector that gives an
 * error, the next frame in its place, one that is whole and in one respect not what was stored. */
static void a_rotten_frame_is_left_out(void **state)
{
    (void)state;
    for (unsigned what = 0; what <= 10; what++) {
        struct hx_rig r;
        struct shelf s = {0};
        struct hx_inventory v = {0};
        uint8_t *file, *same;
        unsigned answers = 0;
        bool lost[6] = {[2] = true};
        start(&r, 0);
        for (uint64_t lsn = 1; lsn <= 6; lsn++)
            put_noise(&r, &s, lsn, 1500);
        size_t off = frame_at(&r, 16, 3, &file);
        if (what == 0)
            file[off + 40] ^= 1;
        else if (what == 1)
            file[off + HX_FRAME_HEAD + 700] ^= 1;
        else if (what == 2)
            memcpy(file + off, (const uint8_t[HX_FRAME_HEAD]){0}, HX_FRAME_HEAD);
        else if (what == 3)
            hx_mem_bad_sector(r.farm[0], 16, off + 512);
        else if (what == 4) /* whole, of another place, and as long */
            memcpy(file + off, file + frame_at(&r, 16, 4, &same), s.p[3].len);
        else { /* whole, and shorter than what was stored, linked otherwise, of other LSNs, epoch, content */
            struct hx_frame_head h;
            assert_int_equal(hx_frame_head_decode(file + off, HX_FRAME_HEAD, &h), 0);
            if (what == 5)
                h.body_len = h.raw_len -= 8;
            h.prev.v -= what == 6 || what == 10;
            h.last.v += what == 7;
            h.epoch.v += what == 8;
            file[off + HX_FRAME_HEAD + 700] ^= what == 9;
            h.first.v -= what == 10;
            h.body_crc = hx_crc32c(0, file + off + HX_FRAME_HEAD, h.body_len);
            hx_frame_head_encode(&h, file + off);
        }
        pull_all(&r, &s, (struct pull){.to = 6, .bytes_max = 1u << 20}, lost, &answers);
        assert_int_equal(status(&r).damaged, 1);
        assert_int_equal(hx_rig_fence(&r, 0, PG, 2, 7, &v), 0);
        assert_int_equal(v.unknown_count, 1);
        assert_true(v.unknowns[0].from.v == 3 && v.unknowns[0].to.v == 3);
        assert_int_equal(v.entry_count, 5);
        hx_inventory_fini(&v);
        shelf_fini(&s);
        hx_rig_fini(&r);
    }
}

/* Promise (F4): where a lost sidecar cannot be written anew its list is taken from memory; a disk that loses it again
 * at once is not read over and over: what was in that file is left out. */
static void lost_sidecars_of_a_bad_disk(void **state)
{
    (void)state;
    for (unsigned full = 0; full < 2; full++) {
        struct hx_rig r;
        struct shelf s = {0};
        struct hx_disk_place at;
        size_t len;
        unsigned answers = 0;
        bool lost[40] = {false};
        start(&r, 16u << 10);
        at = hx_rig_place(&r, PG);
        for (uint64_t lsn = 1; lsn <= 20; lsn++)
            put_noise(&r, &s, lsn, 2000);
        for (unsigned i = 0; i < 6; i++)
            hx_rig_step(&r, 50);
        uint64_t id = 16 | UINT64_C(1) << 32;
        for (unsigned k = 0; k < 2; k++) {
            if (!full || k == 0)
                hx_mem_file(r.farm[0], &at, id, &len)[20] ^= 1;
            if (full)
                hx_mem_fail(r.farm[0], HX_MEM_WRITE, 1, HX_E_NOSPACE, true);
            for (uint64_t lsn = 1; !full && k == 1 && lsn <= 8; lsn++) /* all in file 16 */
                lost[lsn - 1] = true;
            pull_all(&r, &s, (struct pull){.to = 100, .bytes_max = 1u << 20}, lost, &answers);
        }
        hx_mem_fail(r.farm[0], 0, 0, 0, false);
        assert_int_equal(status(&r).state, 0);
        shelf_fini(&s);
        hx_rig_fini(&r);
    }
}

/* Promise: want of memory below is not damage: the answer says NOMEM, nothing becomes UNKNOWN, and the next try gives
 * everything. */
static void want_of_memory_is_not_damage(void **state)
{
    struct hx_rig r;
    struct shelf s = {0};
    unsigned answers = 0;
    (void)state;
    start(&r, 16u << 10);
    for (uint64_t lsn = 1; lsn <= 12; lsn++) {
        put_noise(&r, &s, lsn, 2000);
        hx_rig_step(&r, 1);
    }
    for (uint64_t k = 1; k <= 6; k++) {
        struct pull p = {.to = 12, .bytes_max = 1u << 20};
        hx_mem_fail_read(r.farm[0], k, HX_E_NOMEM);
        fetch(&r, &p);
        assert_int_equal(p.status, HX_E_NOMEM);
        assert_int_equal(p.a.body.len, 0);
        hx_rig_reply_fini(&p.a);
        assert_int_equal(status(&r).damaged, 0);
    }
    pull_all(&r, &s, (struct pull){.to = 12, .bytes_max = 1u << 20}, NULL, &answers);
    shelf_fini(&s);
    hx_rig_fini(&r);
}

/* Promise: a sidecar that rotted, cannot be read or is gone hides nothing: it is counted, written anew at once, and the
 * whole range is given.  On a disk that takes no file now the list is kept in memory. */
static void a_lost_sidecar_does_not_end_an_answer(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 6; what++) {
        struct hx_rig r;
        struct shelf s = {0};
        struct hx_segment_look l;
        size_t len;
        unsigned answers = 0;
        start(&r, 16u << 10);
        for (uint64_t lsn = 1; lsn <= 20; lsn++) {
            put_noise(&r, &s, lsn, 2000);
            hx_rig_step(&r, 1);
        }
        struct hx_disk_place at = hx_rig_place(&r, PG);
        uint8_t *side = hx_mem_file(r.farm[0], &at, SIDE_BIT + 17, &len);
        assert_non_null(side);
        if (what % 3 == 0)
            side[200] ^= 1;
        else if (what % 3 == 1)
            hx_mem_bad_sector(r.farm[0], SIDE_BIT + 17, 0);
        else
            hx_mem_remove_file(r.farm[0], &at, SIDE_BIT + 17);
        if (what >= 3)
            hx_mem_fail(r.farm[0], HX_MEM_WRITE, 1, HX_E_NOSPACE, true);
        for (unsigned again = 0; again < 2; again++) {
            pull_all(&r, &s, (struct pull){.to = 20, .bytes_max = 1u << 20}, NULL, &answers);
            assert_int_equal(hx_node_look(r.node[0], at, &l), 0);
            assert_int_equal(l.scrub_found, 1);
            assert_int_equal(l.scrub_rewritten, 1);
            assert_int_equal(l.unknowns, 0);
        }
        side = hx_mem_file(r.farm[0], &at, SIDE_BIT + 17, &len);
        assert_true(what >= 3 || (side && hx_get_u32(side + 108) == hx_crc32c(0, side, 108)));
        shelf_fini(&s);
        hx_rig_fini(&r);
    }
}

/* Promise (F6): an answer costs what it needs, not what lies behind it: sidecars of later files are not read.  Method:
 * those of all files but the first two are rotten, which whoever reads one counts; the first two are pulled. */
static void what_an_answer_does_not_need_is_not_read(void **state)
{
    (void)state;
    struct hx_rig r;
    struct shelf s = {0};
    struct hx_segment_look l;
    size_t len;
    unsigned answers = 0;
    start(&r, 16u << 10);
    for (uint64_t lsn = 1; lsn <= 60; lsn++) {
        put_noise(&r, &s, lsn, 2000);
        hx_rig_step(&r, 20);
    }
    struct hx_disk_place at = hx_rig_place(&r, PG);
    for (uint64_t id = 18; id < 22; id++)
        hx_mem_file(r.farm[0], &at, SIDE_BIT + id, &len)[200] ^= 1;
    for (unsigned whole = 0; whole < 2; whole++) {
        struct pull p = {.after = 0, .to = 60, .bytes_max = 5000};
        for (unsigned i = 0; i < 4; i++) {
            fetch(&r, &p);
            assert_int_equal(p.status, 0);
            assert_true(p.more && p.a.body.len == s.p[2 * i].len + s.p[2 * i + 1].len);
            hx_rig_reply_fini(&p.a);
            p.after += 2;
        }
        assert_int_equal(hx_node_look(r.node[0], at, &l), 0);
        assert_int_equal(l.scrub_found, whole ? 4 : 0);
        if (!whole)
            pull_all(&r, &s, (struct pull){.to = 60, .bytes_max = 5000}, NULL, &answers);
    }
    shelf_fini(&s);
    hx_rig_fini(&r);
}

static int by_lsn(const void *a, const void *b)
{
    const struct stored *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Promise (F1, F6): nor does it pass over what a later file has between what it found.  Method: frames come out of
 * order, so that each file has some of a later one's LSNs. */
static void files_that_overlap_leave_no_gap(void **state)
{
    (void)state;
    const uint64_t order[] = {1, 10, 20, 3, 4, 21, 5, 6, 22, 11, 12, 23, 2, 7, 8, 9};
    for (uint32_t bytes_max = 1000; bytes_max < 40000; bytes_max += 1500) {
        struct hx_rig r;
        struct shelf s = {0};
        unsigned answers = 0;
        start(&r, 16u << 10);
        for (size_t i = 0; i < HX_ARRAY_LEN(order); i++)
            put_noise(&r, &s, order[i], HX_PAGE_SIZE);
        qsort(s.p, s.count, sizeof *s.p, by_lsn);
        pull_all(&r, &s, (struct pull){.to = 100, .epoch = 1, .bytes_max = bytes_max}, NULL, &answers);
        assert_true(answers > 1);
        shelf_fini(&s);
        hx_rig_fini(&r);
    }
}

/* Promise (F3, F6): an answer is not empty because everything that it found first is damaged.  Method: every frame
 * in the first file is rotten, and those that an answer would have of the second. */
static void damage_in_front_does_not_end_the_range(void **state)
{
    (void)state;
    struct hx_rig r;
    struct shelf s = {0};
    unsigned answers = 0;
    bool lost[60] = {false};
    uint8_t *file;
    start(&r, 16u << 10);
    for (uint64_t lsn = 1; lsn <= 60; lsn++) {
        put_noise(&r, &s, lsn, 2000);
        hx_rig_step(&r, 20);
    }
    for (uint64_t lsn = 1; lsn <= 14; lsn++) {
        uint64_t id = lsn <= 8 ? 16 : 17; /* all of the first file, more than an answer of the second */
        size_t off = frame_at(&r, id, lsn, &file);
        file[off + HX_FRAME_HEAD + 700] ^= 1;
        lost[lsn - 1] = true;
    }
    pull_all(&r, &s, (struct pull){.to = 60, .bytes_max = 5000}, lost, &answers);
    assert_in_range(answers, 20, 40);
    shelf_fini(&s);
    hx_rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_comes_in_order_and_once),
        cmocka_unit_test(more_frames_than_are_sorted_at_once),
        cmocka_unit_test(what_an_answer_does_not_need_is_not_read),
        cmocka_unit_test(files_that_overlap_leave_no_gap),
        cmocka_unit_test(damage_in_front_does_not_end_the_range),
        cmocka_unit_test(annulled_frames_are_for_recoveries_only),
        cmocka_unit_test(an_annulled_frame_that_rotted_is_no_damage),
        cmocka_unit_test(lost_sidecars_of_a_bad_disk),
        cmocka_unit_test(a_rotten_frame_is_left_out),
        cmocka_unit_test(want_of_memory_is_not_damage),
        cmocka_unit_test(a_lost_sidecar_does_not_end_an_answer),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
