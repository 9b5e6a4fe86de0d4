/*
 * test_scrub.c - what rots where nobody reads is found, and mended while there are good copies.
 * Method: six servers over disks in memory that hold the same random pages (seg_model.h), scrubbing all the time; their
 * files are changed while they run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "seg_model.h"

#include "hexad/crc.h"

#include <stdio.h>
#include <stdlib.h>

#define PG HX_MODEL_PG
#define BLOCK 512u
#define SIDE (UINT64_C(1) << 32)

/* ---- six servers with the same content ---- */
static void work(struct hx_rig *r, struct hx_model *m, unsigned frames)
{
    for (unsigned k = 0; k < frames; k++) {
        uint64_t vdl = m->acked - (m->acked > 4 ? hx_model_dice(m) % 4 : 0),
                 floor = m->vdl - (m->vdl > 30 ? hx_model_dice(m) % 30 : m->vdl);
        if (hx_model_dice(m) % 2 && vdl > m->vdl)
            m->vdl = vdl;
        if (hx_model_dice(m) % 3 == 0 && floor > m->floor)
            m->floor = floor;
        size_t n = hx_model_frame(r, m, 1 + (unsigned)(hx_model_dice(m) % 4));
        for (unsigned i = 0; i < r->count; i++)
            if (r->node[i])
                assert_int_equal(hx_rig_append(r, i, 1, m->vdl, m->floor, r->frame, n, NULL), 0);
        m->acked = m->last;
        if (hx_model_dice(m) % 3 == 0)
            hx_rig_step(r, 50);
    }
}

static void start(struct hx_rig *r, struct hx_model *m, uint64_t seed)
{
    hx_model_init(m, seed);
    hx_rig_init(r, HX_COPIES, 1u << 20, 2, 16u << 10);
    r->scrub_cycle_s = 1;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        hx_rig_stop(r, i);
        assert_int_equal(hx_rig_start(r, i), 0);
        assert_int_equal(hx_rig_format(r, i, PG), 0);
    }
    work(r, m, 150);
}

static struct hx_segment_look look(struct hx_rig *r, unsigned i)
{
    struct hx_segment_look l;
    assert_int_equal(hx_node_look(r->node[i], hx_rig_place(r, PG), &l), 0);
    return l;
}

/* Of all pages at the newest point and at an older one: how many server I calls corrupt.  None is wrong. */
static unsigned corrupt_pages(struct hx_rig *r, struct hx_model *m, unsigned i, bool newest, const char *what)
{
    unsigned count = 0;
    for (uint32_t page = 0; page < HX_MODEL_PAGES; page++) {
        uint8_t want[HX_PAGE_SIZE], got[HX_PAGE_SIZE];
        struct hx_read_page p;
        uint64_t point = newest ? m->acked : m->floor + hx_model_dice(m) % (m->acked - m->floor + 1);
        int err = hx_rig_read(r, i, PG, 1, point, page, got, &p);
        if (err)
            fail_msg("%s: server %u, page %u at %llu: error %d", what, i, page, (unsigned long long)point, err);
        if (p.state == HX_READ_CORRUPT) {
            count++;
            continue;
        }
        hx_model_fold(m, page, point, want);
        if (memcmp(want, got, sizeof want))
            fail_msg("%s: server %u, page %u at %llu is wrong", what, i, page, (unsigned long long)point);
    }
    return count;
}

/* Every server has gone over everything twice, and nothing is in doubt any more. */
static void until_mended(struct hx_rig *r, const char *what)
{
    uint64_t from[HX_COPIES];
    for (unsigned i = 0; i < r->count; i++)
        from[i] = look(r, i).scrubs;
    for (unsigned k = 0; k < 600; k++) {
        bool all = true;
        hx_rig_step(r, 100);
        for (unsigned i = 0; i < r->count; i++) {
            struct hx_segment_look l = look(r, i);
            all = all && l.scrubs >= from[i] + 2 && l.unknowns == 0;
        }
        if (all)
            return;
    }
    for (unsigned i = 0; i < r->count; i++) {
        struct hx_segment_look l = look(r, i);
        print_message("server %u: %llu cycles, %llu unknown, SCL %llu\n", i, (unsigned long long)l.scrubs,
                      (unsigned long long)l.unknowns, (unsigned long long)l.scl.v);
    }
    fail_msg("%s: not mended", what);
}

/* ---- damage ---- */
enum kind { FLIP, ZERO, SWAP, STALE, KINDS };
enum target { SLOT, CLOSED, SIDECAR, OPEN, TARGETS };
static const char *const kind_name[] = {"flip", "zero", "swap", "stale"};
static const char *const target_name[] = {"slot", "closed file", "sidecar", "open file"};

/* A file of the sort on server I; 0: there is none. */
static uint64_t file_of(struct hx_rig *r, struct hx_model *m, unsigned i, enum target t)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    uint64_t last = hx_mem_last_log(r->farm[i], &at), found[256];
    size_t len, n = 0;
    if (t == SLOT)
        return 1 + hx_model_dice(m) % 2;
    if (t == OPEN)
        return hx_mem_file(r->farm[i], &at, last | SIDE, &len) ? 0 : last;
    for (uint64_t id = 16; id <= last && n < HX_ARRAY_LEN(found); id++)
        if (hx_mem_file(r->farm[i], &at, id | SIDE, &len))
            found[n++] = t == SIDECAR ? id | SIDE : id;
    return n ? found[hx_model_dice(m) % n] : 0;
}

/* How much of a file is in use: behind it a block may hold anything. */
static size_t used(uint64_t id, const uint8_t *p, size_t len)
{
    if (id <= 2)
        return 104 + hx_get_u32(p + 36);
    if (id & SIDE)
        return len;
    while (len > 8 && !p[len - 1])
        len--;
    return len;
}

/* Damages block K of the file ID of server I; what was there before is in WAS.  False: nothing has changed. */
static bool damage(struct hx_rig *r, struct hx_model *m, unsigned i, uint64_t id, enum kind kind, const uint8_t *old,
                   size_t old_len)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    size_t len, n;
    uint8_t was[BLOCK], *p = hx_mem_file(r->farm[i], &at, id, &len);
    if (!p)
        return false;
    n = used(id, p, len);
    size_t off = hx_model_dice(m) % n, block = off / BLOCK * BLOCK, more = n - block < BLOCK ? n - block : BLOCK;
    memcpy(was, p + block, more);
    if (kind == FLIP) {
        p[off] ^= (uint8_t)(1u << hx_model_dice(m) % 8);
    } else if (kind == ZERO) {
        memset(p + block, 0, more);
    } else if (kind == SWAP && n >= 2 * BLOCK) { /* two blocks of one file change places */
        size_t other = hx_model_dice(m) % (n / BLOCK) * BLOCK;
        uint8_t tmp[BLOCK];
        memcpy(tmp, p + other, BLOCK);
        memcpy(p + other, p + n / BLOCK * BLOCK - BLOCK, BLOCK);
        memcpy(p + n / BLOCK * BLOCK - BLOCK, tmp, BLOCK);
        return memcmp(tmp, p + other, BLOCK) != 0;
    } else if (kind == STALE && old && old_len >= block + more) {
        memcpy(p + block, old + block, more);
    }
    return memcmp(was, p + block, more) != 0;
}

/* What stands for the older content of a place: of a slot the first save, of a file another one of its sort. */
static uint8_t *first_slot[HX_COPIES];
static size_t first_slot_len[HX_COPIES];
static uint8_t *older(struct hx_rig *r, struct hx_model *m, unsigned i, enum target t, uint64_t id, size_t *ret_len)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    for (unsigned k = 0; k < 8; k++) {
        uint64_t other = file_of(r, m, i, t == OPEN ? CLOSED : t);
        const uint8_t *p = other && other != id ? hx_mem_file(r->farm[i], &at, other, ret_len) : NULL;
        if (t == SLOT) {
            p = first_slot[i];
            *ret_len = first_slot_len[i];
        }
        if (!p)
            continue;
        uint8_t *copy = malloc(*ret_len);
        assert_non_null(copy);
        memcpy(copy, p, *ret_len);
        return copy;
    }
    return NULL;
}

/* A slot of another server: it was written to the wrong disk. */
static bool misdirect(struct hx_rig *r, unsigned i, uint64_t id)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    size_t len, other_len;
    uint8_t *p = hx_mem_file(r->farm[i], &at, id, &len);
    const uint8_t *other = hx_mem_file(r->farm[(i + 1) % HX_COPIES], &at, id, &other_len);
    memcpy(p, other, len < other_len ? len : other_len);
    return true;
}

static void keep_slots(struct hx_rig *r)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        const uint8_t *p = hx_mem_file(r->farm[i], &at, 1, &first_slot_len[i]);
        first_slot[i] = malloc(first_slot_len[i]);
        assert_non_null(first_slot[i]);
        memcpy(first_slot[i], p, first_slot_len[i]);
    }
}

/* Both slots of server I say the same. */
static void check_slots(struct hx_rig *r, unsigned i, const char *what)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    size_t len;
    const uint8_t *a = hx_mem_file(r->farm[i], &at, 1, &len), *b = hx_mem_file(r->farm[i], &at, 2, &len);
    if (memcmp(a, b, used(1, a, len)))
        fail_msg("%s: the slots of server %u differ", what, i);
}

/* One place of one sort, on COPIES servers. */
static bool one_round(struct hx_rig *r, struct hx_model *m, enum target t, enum kind kind, unsigned copies)
{
    char what[80];
    unsigned first = (unsigned)(hx_model_dice(m) % HX_COPIES), hit = 0;
    uint64_t rng = m->rng;
    snprintf(what, sizeof what, "%s, %s, %u copies, LSN %llu", target_name[t], kind_name[kind], copies,
             (unsigned long long)m->last);
    for (unsigned k = 0; k < copies; k++) {
        unsigned i = (first + k) % HX_COPIES;
        size_t old_len = 0;
        m->rng = rng; /* the same place on each */
        uint64_t id = file_of(r, m, i, t);
        uint8_t *old = kind == STALE && id ? older(r, m, i, t, id, &old_len) : NULL;
        if (t == SLOT && kind == SWAP)
            hit += misdirect(r, i, id);
        else
            hit += id && damage(r, m, i, id, kind, old, old_len);
        free(old);
        corrupt_pages(r, m, i, true, what);
        corrupt_pages(r, m, i, false, what);
    }
    if (!hit)
        return false;
    until_mended(r, what);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        corrupt_pages(r, m, i, false, what);
        check_slots(r, i, what);
        if (corrupt_pages(r, m, i, true, what))
            fail_msg("%s: server %u has corrupt pages left", what, i);
    }
    return true;
}

static void every_kind_of_damage(uint64_t seed)
{
    struct hx_rig r;
    struct hx_model m;
    unsigned done[TARGETS][KINDS] = {{0}};
    start(&r, &m, seed);
    keep_slots(&r);
    until_mended(&r, "before any damage");
    for (unsigned copies = 1; copies <= 3; copies++)
        for (unsigned t = 0; t < TARGETS; t++)
            for (unsigned kind = 0; kind < KINDS; kind++)
                for (unsigned k = 0, tries = 0; k < 3 && tries < 20; tries++) {
                    work(&r, &m, 3);
                    bool hit = one_round(&r, &m, (enum target)t, (enum kind)kind, copies);
                    done[t][kind] += hit;
                    k += hit;
                }
    for (unsigned t = 0; t < TARGETS; t++)
        for (unsigned kind = 0; kind < KINDS; kind++)
            print_message("# %-12s %-6s %u\n", target_name[t], kind_name[kind], done[t][kind]);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        hx_rig_stop(&r, i);
        assert_int_equal(hx_rig_start(&r, i), 0);
        assert_int_equal(look(&r, i).error, 0);
        corrupt_pages(&r, &m, i, true, "after a restart");
    }
    until_mended(&r, "after a restart");
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(corrupt_pages(&r, &m, i, true, "after a restart"), 0);
    for (unsigned i = 0; i < HX_COPIES; i++)
        free(first_slot[i]);
    hx_model_fini(&m);
    hx_rig_fini(&r);
}

/* Promise: one block of whatever sort, flipped, zeroed, swapped with another one, or gone back to what it was, on one,
 * two or three copies, is found by the scrub and mended; nothing wrong is ever read; and no restart brings it back. */
static void damage_of_every_kind_is_found_and_mended(void **state)
{
    (void)state;
    every_kind_of_damage(77);
    every_kind_of_damage(12);
}

/* The bytes of a record's payload in the newest log file of server I. */
static uint8_t *payload_of(struct hx_rig *r, unsigned i, const uint8_t *payload, size_t len)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    size_t bytes;
    uint8_t *p = hx_mem_file(r->farm[i], &at, hx_mem_last_log(r->farm[i], &at), &bytes);
    assert_non_null(p);
    for (size_t off = 0; off + len <= bytes; off++)
        if (!memcmp(p + off, payload, len))
            return p + off;
    fail();
    return NULL;
}

/* A page of noise as record LSN of PAGE, to all; its first 64 bytes rot on server 0 after that. */
static void rotten_page(struct hx_rig *r, struct hx_model *m, uint32_t page, uint64_t vdl)
{
    struct hx_model_rec *x = &m->recs[++m->last];
    *x = (struct hx_model_rec){.page = page, .kind = HX_REC_IMAGE, .len = HX_PAGE_SIZE};
    for (size_t k = 0; k < HX_PAGE_SIZE; k++)
        x->payload[k] = (uint8_t)hx_model_dice(m);
    x->payload[HX_PAGE_SIZE - 1] |= 1;
    struct hx_rig_rec rec = {m->last, page, x->kind, HX_REC_CPL, x->payload, x->len};
    size_t n = hx_rig_frame(r, PG, 1, m->last - 1, &rec, 1, (struct hx_rig_marks){vdl, 0, 0});
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_append(r, i, 1, vdl, 0, r->frame, n, NULL), 0);
    m->acked = m->last;
    memset(payload_of(r, 0, x->payload, 64), 0, 64);
}

/* Promise: what was mended is right for every read point that may still be asked for, and a restart does not find it
 * damaged again.  Method: three versions of a page rot, of which the newest is above the hint. */
static void what_was_mended_stays_mended(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_model m;
    hx_model_init(&m, 3);
    hx_rig_init(&r, HX_COPIES, 1u << 20, 2, 0);
    r.scrub_cycle_s = 1;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        hx_rig_stop(&r, i);
        assert_int_equal(hx_rig_start(&r, i), 0);
        assert_int_equal(hx_rig_format(&r, i, PG), 0);
    }
    for (uint64_t lsn = 1; lsn <= 3; lsn++)
        rotten_page(&r, &m, 5, lsn - 1);
    until_mended(&r, "three versions");
    assert_true(look(&r, 0).scrub_found > 0);
    for (unsigned again = 0; again < 2; again++) {
        for (uint64_t lsn = 1; lsn <= 3; lsn++) {
            uint8_t got[HX_PAGE_SIZE];
            struct hx_read_page p;
            assert_int_equal(hx_rig_read(&r, 0, PG, 1, lsn, 5, got, &p), 0);
            if (p.state != HX_READ_RAW)
                fail_msg("LSN %llu, pass %u: state %u", (unsigned long long)lsn, again, p.state);
            assert_memory_equal(got, m.recs[lsn].payload, HX_PAGE_SIZE);
        }
        if (again)
            assert_int_equal(look(&r, 0).scrub_found, 0);
        hx_rig_stop(&r, 0);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        until_mended(&r, "after a restart");
    }
    hx_model_fini(&m);
    hx_rig_fini(&r);
}

/* A server with 2 MiB of images in small files, none of which may go; the bytes of its log files. */
static uint64_t two_mib(struct hx_rig *r, uint32_t cycle_s)
{
    struct hx_disk_place at;
    uint64_t bytes = 0;
    size_t len;
    hx_model_start(r, 64u << 10);
    at = hx_rig_place(r, PG);
    for (uint64_t lsn = 1; lsn <= 512; lsn += 8)
        assert_int_equal(hx_rig_append(r, 0, 1, 0, 0, r->frame, hx_model_images(r, lsn, 8, 0), NULL), 0);
    r->scrub_cycle_s = cycle_s;
    hx_model_restart(r);
    for (uint64_t id = 16; id <= hx_mem_last_log(r->farm[0], &at); id++)
        bytes += hx_mem_file(r->farm[0], &at, id, &len) ? len : 0;
    return bytes;
}

/* Promise: a cycle takes about as long as configured, neither much less (foreground work comes first) nor more, also
 * when the server is started again now and then.  Method: virtual time. */
static void a_cycle_takes_its_time_and_outlives_restarts(void **state)
{
    (void)state;
    for (unsigned restarts = 0; restarts < 2; restarts++) {
        struct hx_rig r;
        const uint32_t cycle_s = 1000;
        uint64_t steps = 0;
        assert_true(two_mib(&r, cycle_s) > 2000000);
        for (; look(&r, 0).scrubs == 0 && steps < 4 * cycle_s; steps++) {
            hx_rig_step(&r, 500);
            if (restarts && steps % 400 == 399)
                hx_model_restart(&r);
        }
        if (steps < cycle_s || steps > (restarts ? 3 : 2) * cycle_s)
            fail_msg("%llu s instead of %u", (unsigned long long)steps / 2, cycle_s);
        assert_int_equal(look(&r, 0).scrub_found, 0);
        hx_rig_fini(&r);
    }
}

/* Promise: without a cycle nothing is scrubbed. */
static void no_cycle_no_scrub(void **state)
{
    (void)state;
    struct hx_rig r;
    two_mib(&r, 0);
    for (unsigned i = 0; i < 200; i++)
        hx_rig_step(&r, 500);
    assert_int_equal(look(&r, 0).scrubs, 0);
    hx_rig_fini(&r);
}

/* Promise: nothing is scrubbed above the rate.  Method: 2 MiB at 64 KiB a second, a cycle of one second. */
static void the_rate_is_kept(void **state)
{
    (void)state;
    struct hx_rig r;
    uint64_t steps = 0;
    two_mib(&r, 1);
    hx_rig_stop(&r, 0);
    r.scrub_bytes_per_s = 64u << 10;
    assert_int_equal(hx_rig_start(&r, 0), 0);
    for (; look(&r, 0).scrubs == 0 && steps < 1000; steps++)
        hx_rig_step(&r, 500);
    assert_true(steps >= 60 && steps < 120);
    hx_rig_fini(&r);
}

static struct hx_segment_status status(struct hx_rig *r, unsigned i)
{
    struct hx_segment_status s;
    assert_int_equal(hx_rig_status(r, i, PG, &s), 0);
    return s;
}

/* Promise: on demand one cycle is done and no more, as fast as the rate allows; asked for twice at once it is one.
 * Method: a server that does not scrub by itself; virtual time; rot in its log. */
static void on_demand_there_is_one_cycle(void **state)
{
    (void)state;
    struct hx_rig r;
    size_t len;
    two_mib(&r, 0);
    struct hx_disk_place at = hx_rig_place(&r, PG);
    struct hx_rig_ask q = {.type = HX_MSG_SCRUB};
    hx_mem_file(r.farm[0], &at, 20, &len)[3000] ^= 1;
    hx_rig_step(&r, 500);
    assert_int_equal(status(&r, 0).scrub.total, 0);
    assert_int_equal(hx_rig_call(&r, 0, &q, NULL), 0);
    assert_int_equal(status(&r, 0).scrub.asked, 1);
    assert_true(status(&r, 0).scrub.total > 2000000);
    hx_rig_step(&r, 100);
    uint64_t done = status(&r, 0).scrub.done;
    assert_true(done > 0);
    assert_int_equal(hx_rig_call(&r, 0, &q, NULL), 0);
    assert_true(status(&r, 0).scrub.done >= done);
    for (unsigned i = 0; i < 200; i++)
        hx_rig_step(&r, 100);
    struct hx_segment_status s = status(&r, 0);
    assert_true(s.scrub.cycles == 1 && s.scrub.asked == 1 && s.scrub.total == 0);
    assert_true(s.damaged == 1 && s.scrub.found == 1 && s.scrub.mended == 0);
    q.body = (struct hx_bytes){(const uint8_t *)"x", 1};
    assert_int_equal(hx_rig_call(&r, 0, &q, NULL), HX_E_BADMSG);
    hx_rig_fini(&r);
}

/* The heads that server I gives to a peer; their number, or the error. */
static int digest(struct hx_rig *r, unsigned i, uint64_t point, uint32_t first, uint32_t pages, uint32_t heads,
                  const char *name, struct hx_read_page *ret)
{
    uint8_t b[HX_DIGEST_ASK];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    struct hx_rig_reply a;
    hx_digest_ask_encode(&(struct hx_digest_ask){HX_LSN(point), first, pages, heads}, &e);
    struct hx_rig_ask q = {.type = HX_MSG_DIGEST, .role = HX_NODE_ROLE_SEGMENT, .pg = PG, .name = name,
                           .body = {b, sizeof b}};
    int n = hx_rig_call(r, i, &q, &a);
    if (!n) {
        struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
        while (d.off < d.len) {
            memset(&ret[n], 0, sizeof *ret); /* padding, too: they are compared as bytes */
            hx_read_page_decode(&ret[n++], &d);
        }
        assert_int_equal(d.err, 0);
    }
    hx_rig_reply_fini(&a);
    return n;
}

/* Promise: what pages are is told alike by all members, however they store them, and says what a read would; a question
 * that is none is refused.  Method: servers that were started again, compacted and made images at different times. */
static void members_give_the_same_digests(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_model m;
    struct hx_read_page h[HX_COPIES][64], sum[HX_COPIES][64], p;
    uint8_t want[HX_PAGE_SIZE];
    start(&r, &m, 5);
    for (unsigned k = 0; k < 10; k++) {
        work(&r, &m, 20);
        hx_rig_stop(&r, k % HX_COPIES);
        assert_int_equal(hx_rig_start(&r, k % HX_COPIES), 0);
        for (unsigned i = 0; i < HX_COPIES; i++) {
            assert_int_equal(digest(&r, i, m.acked, 0, 1, 30, "a1", h[i]), 30);
            assert_memory_equal(h[i], h[0], sizeof h[0][0] * 30);
            assert_int_equal(digest(&r, i, m.floor, 0, 32, 64, "a1", sum[i]), 8); /* of 256 pages */
            assert_memory_equal(sum[i], sum[0], sizeof sum[0][0] * 8);
        }
    }
    digest(&r, 2, m.acked, 0, 1, 30, "a1", h[0]);
    for (uint32_t page = 0; page < 30; page++) {
        if (page < HX_MODEL_PAGES)
            hx_model_fold(&m, page, m.acked, want);
        else
            memset(want, 0, sizeof want);
        assert_int_equal(h[0][page].crc, hx_crc32c(0, want, sizeof want));
        assert_int_equal(hx_rig_read(&r, 2, PG, 1, m.acked, page, NULL, &p), 0);
        assert_int_equal(h[0][page].lsn.v, p.lsn.v);
    }
    assert_int_equal(digest(&r, 0, m.acked, 250, 4, 9, "a2", h[0]), 2);
    assert_int_equal(digest(&r, 0, m.acked + 1, 0, 1, 1, "a2", h[0]), HX_E_LAGGING);
    assert_int_equal(digest(&r, 0, m.acked, 256, 1, 1, "a2", h[0]), HX_E_INVAL);
    assert_int_equal(digest(&r, 0, m.acked, 0, 0, 1, "a2", h[0]), HX_E_BADMSG);
    assert_int_equal(digest(&r, 0, m.acked, 0, 1, 1, "x9", h[0]), HX_E_WRONG_MEMBER);
    hx_model_fini(&m);
    hx_rig_fini(&r);
}

/* ---- copies that are whole, but not alike ---- */
/* One record, of a random page, that reaches COPIES servers from FIRST on with other bytes: all with the same ones
 * (ALIKE), or each with different ones. */
static void diverge(struct hx_rig *r, struct hx_model *m, unsigned first, unsigned copies, bool alike)
{
    hx_model_frame(r, m, 1);
    const struct hx_model_rec *x = &m->recs[m->last];
    for (unsigned k = 0; k < HX_COPIES; k++) {
        unsigned i = (first + k) % HX_COPIES;
        uint8_t other[HX_PAGE_SIZE] = {1, 2, 3, (uint8_t)(alike ? 0 : k), (uint8_t)m->last};
        struct hx_rig_rec rec = {m->last, x->page, HX_REC_IMAGE, HX_REC_CPL, other, HX_PAGE_SIZE};
        if (k >= copies)
            rec = (struct hx_rig_rec){m->last, x->page, x->kind, HX_REC_CPL, x->payload, x->len};
        size_t n = hx_rig_frame(r, PG, 1, m->last - 1, &rec, 1, (struct hx_rig_marks){m->vdl, m->floor, m->floor});
        assert_int_equal(hx_rig_append(r, i, 1, m->vdl, m->floor, r->frame, n, NULL), 0);
    }
    m->acked = m->last;
}

/* VDL and floor are at the last record, everywhere. */
static void announce(struct hx_rig *r, struct hx_model *m)
{
    m->vdl = m->floor = m->acked;
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_append(r, i, 1, m->vdl, m->floor, NULL, 0, NULL), 0);
}

static uint64_t differed(struct hx_rig *r)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        n += status(r, i).scrub.differed;
    return n;
}

/* Promise: a copy that has silently diverged, all of its checksums right, is found by digests and replaced by what most
 * members have: one copy, two that agree with each other, three that do not; a restart does not bring it back. */
static void a_silently_diverged_copy_is_found_and_mended(void **state)
{
    (void)state;
    static const struct {
        unsigned copies;
        bool alike;
    } cases[] = {{1, true}, {2, true}, {2, false}, {3, false}};
    struct hx_rig r;
    struct hx_model m;
    uint64_t found = 0;
    start(&r, &m, 9);
    for (unsigned k = 0; k < 40; k++) {
        unsigned first = (unsigned)(hx_model_dice(&m) % HX_COPIES), copies = cases[k % HX_ARRAY_LEN(cases)].copies;
        char what[60];
        snprintf(what, sizeof what, "round %u", k);
        diverge(&r, &m, first, copies, cases[k % HX_ARRAY_LEN(cases)].alike);
        announce(&r, &m);
        until_mended(&r, what);
        for (unsigned i = 0; i < HX_COPIES; i++) {
            assert_int_equal(corrupt_pages(&r, &m, i, true, what), 0);
            corrupt_pages(&r, &m, i, false, what);
        }
        found += copies;
        assert_int_equal(differed(&r), found);
        if (k % 8 == 7) {
            unsigned i = (first + k) % HX_COPIES;
            found -= status(&r, i).scrub.differed;
            hx_rig_stop(&r, i);
            assert_int_equal(hx_rig_start(&r, i), 0);
            assert_int_equal(corrupt_pages(&r, &m, i, true, "after a restart"), 0);
        }
        work(&r, &m, 2);
    }
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(status(&r, i).scrub.undecided, 0);
    hx_model_fini(&m);
    hx_rig_fini(&r);
}

/* Promise: where three copies stand against three nothing is replaced, and the status says so. */
static void without_a_majority_nothing_is_replaced(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_model m;
    uint8_t was[HX_COPIES][HX_PAGE_SIZE], now[HX_PAGE_SIZE];
    struct hx_read_page p;
    start(&r, &m, 10);
    diverge(&r, &m, 0, 3, true);
    announce(&r, &m);
    uint32_t page = m.recs[m.last].page;
    uint64_t undecided = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        assert_int_equal(hx_rig_read(&r, i, PG, 1, m.acked, page, was[i], &p), 0);
    until_mended(&r, "three against three");
    for (unsigned i = 0; i < HX_COPIES; i++) {
        assert_int_equal(hx_rig_read(&r, i, PG, 1, m.acked, page, now, &p), 0);
        assert_int_equal(p.state, HX_READ_RAW);
        assert_memory_equal(now, was[i], sizeof now);
        undecided += status(&r, i).scrub.undecided;
    }
    assert_true(undecided >= 1);
    assert_int_equal(differed(&r), 0);
    hx_model_fini(&m);
    hx_rig_fini(&r);
}

/* Promise: from the moment when a page was found wrong it is CORRUPT, until it is right. */
static void found_wrong_is_not_served(void **state)
{
    (void)state;
    struct hx_rig r;
    struct hx_model m;
    struct hx_read_page p = {.state = HX_READ_RAW};
    start(&r, &m, 11);
    diverge(&r, &m, 2, 1, true);
    announce(&r, &m);
    uint32_t page = m.recs[m.last].page;
    bool seen = false;
    for (unsigned k = 0; k < 400 && !(seen && p.state == HX_READ_RAW); k++) {
        uint8_t want[HX_PAGE_SIZE], got[HX_PAGE_SIZE];
        hx_rig_step(&r, 20);
        assert_int_equal(hx_rig_read(&r, 2, PG, 1, m.acked, page, got, &p), 0);
        seen |= status(&r, 2).scrub.differed > 0;
        hx_model_fold(&m, page, m.acked, want);
        if (seen && p.state != HX_READ_CORRUPT)
            assert_memory_equal(got, want, sizeof got);
    }
    assert_true(seen && p.state == HX_READ_RAW);
    hx_model_fini(&m);
    hx_rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_of_every_kind_is_found_and_mended),
        cmocka_unit_test(what_was_mended_stays_mended),
        cmocka_unit_test(a_cycle_takes_its_time_and_outlives_restarts),
        cmocka_unit_test(no_cycle_no_scrub),
        cmocka_unit_test(the_rate_is_kept),
        cmocka_unit_test(on_demand_there_is_one_cycle),
        cmocka_unit_test(members_give_the_same_digests),
        cmocka_unit_test(a_silently_diverged_copy_is_found_and_mended),
        cmocka_unit_test(without_a_majority_nothing_is_replaced),
        cmocka_unit_test(found_wrong_is_not_served),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("scrub", tests, NULL, NULL);
}
