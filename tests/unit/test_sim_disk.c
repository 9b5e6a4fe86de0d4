/*
 * test_sim_disk.c - the simulator's disk does what src/sim/disk.h says.  Method: random calls against a dumb model that
 * keeps every version of every sector, and a case for each fault.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/sim/disk.h"
#include "hexad/assert.h"
#include "hexad/crc.h"
#include "hexad/err.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR 512u

struct rig {
    struct hx_sim_opts o;
    struct hx_sim_disk *d;
    struct hx_disk_farm *farm;
    struct hx_disk *disk;
};

static const struct hx_disk_place here = {{{7}}, 3};

static void rig_open(struct rig *r)
{
    assert_int_equal(r->farm->ops->open(r->farm, here, true, &r->disk), 0);
}

static void rig_start(struct rig *r, uint64_t seed)
{
    r->o.seed = seed;
    r->d = hx_sim_disk_new(&r->o, 1);
    assert_non_null(r->d);
    r->farm = hx_sim_disk_farm(r->d);
    rig_open(r);
}

static void rig_end(struct rig *r)
{
    r->farm->ops->close(r->farm, r->disk);
    hx_sim_disk_free(r->d);
}

static void rig_cycle(struct rig *r)
{
    hx_sim_disk_power_off(r->d);
    r->farm->ops->close(r->farm, r->disk);
    hx_sim_disk_power_on(r->d);
    rig_open(r);
}

static int put(struct rig *r, uint64_t file, uint64_t off, const void *p, size_t n)
{
    return r->disk->ops->write(r->disk, file, off, p, n);
}

static int put_fill(struct rig *r, uint64_t file, uint64_t off, int byte, size_t n)
{
    static uint8_t bytes[1u << 16];
    memset(bytes, byte, n);
    return put(r, file, off, bytes, n);
}

static int sync_file(struct rig *r, uint64_t file)
{
    return r->disk->ops->flush(r->disk, file);
}

static int get(struct rig *r, uint64_t file, uint64_t off, void *p, size_t n, size_t *got)
{
    return r->disk->ops->read(r->disk, file, off, p, n, got);
}

/* The byte at OFF; -1: not there. */
static int at(struct rig *r, uint64_t file, uint64_t off)
{
    uint8_t b;
    size_t got = 0;
    return get(r, file, off, &b, 1, &got) == 0 && got == 1 ? b : -1;
}

/* ---- the dumb model ---- */
#define FILES 4u
#define SECTORS 24u
#define BYTES (SECTORS * SECTOR)
#define VERSIONS 4096u
struct version {
    uint8_t sector, bytes[SECTOR];
};
struct life { /* of a file from its making to its removal */
    bool exists, named, removed;
    uint8_t now[BYTES];
    size_t len, durable_len;
    struct version *v; /* what the medium may have; the oldest ones are durable */
    size_t count;
};
struct model {
    struct life life[FILES][8]; /* the last existing one is current; the others were removed and not flushed */
    size_t lives[FILES];
};

static struct life *current(struct model *m, unsigned file)
{
    struct life *l = m->lives[file] ? &m->life[file][m->lives[file] - 1] : NULL;
    return l && l->exists ? l : NULL;
}

static void add_version(struct life *l, unsigned s)
{
    hx_assert(l->count < VERSIONS);
    l->v[l->count].sector = (uint8_t)s;
    memcpy(l->v[l->count++].bytes, l->now + s * SECTOR, SECTOR);
}

/* What reads see is all that the medium may have. */
static void settle(struct life *l)
{
    l->count = 0;
    for (unsigned s = 0; s < SECTORS; s++)
        add_version(l, s);
    l->durable_len = l->len;
    l->named = true;
}

static void model_write(struct model *m, unsigned file, size_t off, const uint8_t *p, size_t n)
{
    struct life *l = current(m, file);
    if (!l) {
        hx_assert(m->lives[file] < 8);
        l = &m->life[file][m->lives[file]++];
        struct version *v = l->v ? l->v : malloc(VERSIONS * sizeof *v);
        hx_assert(v);
        memset(l, 0, sizeof *l);
        l->v = v;
        settle(l);
        l->exists = true;
        l->named = false;
    }
    memcpy(l->now + off, p, n);
    l->len = off + n > l->len ? off + n : l->len;
    for (size_t s = off / SECTOR; s * SECTOR < off + n; s++)
        add_version(l, (unsigned)s);
}

static void model_flush(struct model *m, unsigned file)
{
    struct life *l = current(m, file);
    settle(l);
    for (unsigned f = 0; f < FILES; f++) { /* D2: all removals */
        struct life *c = current(m, f);
        if (c && c != &m->life[f][0]) {
            struct life was = m->life[f][0];
            m->life[f][0] = *c;
            *c = was;
        }
        m->lives[f] = c ? 1 : 0;
    }
}

static bool may_be(const struct life *l, unsigned s, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->v[i].sector == s && memcmp(l->v[i].bytes, p, n) == 0)
            return true;
    return false;
}

/* May the file be this life after a power loss? */
static bool matches(const struct life *l, const uint8_t *p, size_t len)
{
    if (len < l->durable_len || len > l->len)
        return false;
    for (unsigned s = 0; s * SECTOR < len; s++)
        if (!may_be(l, s, p + s * SECTOR, len - s * SECTOR < SECTOR ? len - s * SECTOR : SECTOR))
            return false;
    return true;
}

/* After a power loss: what is there must be allowed; it is the truth from now on. */
static void model_survive(struct model *m, struct rig *r)
{
    for (unsigned f = 0; f < FILES; f++) {
        uint8_t bytes[BYTES + 1];
        size_t len = 0;
        int err = get(r, f + 10, 0, bytes, sizeof bytes, &len);
        struct life *c = current(m, f);
        bool ok = false;
        if (err == HX_E_NOENT) {
            ok = !c || !c->named;
            for (size_t i = 0; i + 1 < m->lives[f] && !c; i++)
                ok = ok && m->life[f][i].exists == false;
            m->lives[f] = 0;
        } else {
            assert_int_equal(err, 0);
            for (size_t i = 0; i < m->lives[f]; i++)
                ok = ok || matches(&m->life[f][i], bytes, len);
            if (!m->lives[f] || !ok)
                fail_msg("file %u: %zu bytes that were never there", f, len);
            struct life *l = &m->life[f][0];
            m->lives[f] = 1;
            memset(l->now, 0, sizeof l->now);
            memcpy(l->now, bytes, len);
            l->len = len;
            l->exists = true;
            settle(l);
        }
        assert_true(ok);
    }
}

static void model_compare(struct model *m, struct rig *r)
{
    uint64_t used = 0;
    struct hx_disk_file list[FILES + 1];
    size_t n = 0, count;
    assert_int_equal(r->disk->ops->list(r->disk, 0, list, FILES + 1, &count), 0);
    for (unsigned f = 0; f < FILES; f++) {
        uint8_t bytes[BYTES + 1];
        size_t len = 0;
        struct life *c = current(m, f);
        int err = get(r, f + 10, 0, bytes, sizeof bytes, &len);
        assert_int_equal(err, c ? 0 : HX_E_NOENT);
        if (!c)
            continue;
        assert_int_equal(len, c->len);
        assert_memory_equal(bytes, c->now, len);
        assert_true(n < count && list[n].id == f + 10 && list[n].bytes == len);
        n++;
        used += len;
    }
    assert_int_equal(n, count);
    assert_int_equal(hx_sim_disk_used(r->d), used);
}

static void model_step(struct model *m, struct rig *r, struct hx_rng *g)
{
    static uint8_t bytes[BYTES];
    unsigned f = (unsigned)hx_rng_below(g, FILES), what = (unsigned)hx_rng_below(g, 16);
    struct life *c = current(m, f);
    if (what < 9 && (c ? c->count + SECTORS < VERSIONS : m->lives[f] < 8)) {
        size_t off = hx_rng_below(g, 2) && c && c->len < BYTES ? c->len : hx_rng_below(g, BYTES),
               n = 1 + hx_rng_below(g, hx_rng_below(g, 2) ? 700 : 6000);
        n = n < BYTES - off ? n : BYTES - off;
        memset(bytes, (int)hx_rng_below(g, 4) ? (int)hx_rng_below(g, 256) : 0, n);
        assert_int_equal(put(r, f + 10, off, bytes, n), 0);
        model_write(m, f, off, bytes, n);
    } else if (what < 13) {
        assert_int_equal(sync_file(r, f + 10), c ? 0 : HX_E_NOENT);
        if (c)
            model_flush(m, f);
    } else if (what == 13) {
        assert_int_equal(r->disk->ops->remove(r->disk, f + 10), 0);
        if (c) {
            c->exists = false;
            c->removed = true;
        }
    } else if (what == 14 && hx_rng_below(g, 4) == 0) {
        rig_cycle(r);
        model_survive(m, r);
    }
}

/* Promise: reads see every write at once (D1, D4); a power loss leaves of each unflushed sector one of its versions, of
 * flushed ones the last (D1), of names and removals that no flush covers either (D2).  Method: the model above. */
static void random_calls_agree_with_a_dumb_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rig r = {0};
        struct model *m = calloc(1, sizeof *m);
        assert_non_null(m);
        r.o.v[HX_OPT_torn_pct] = seed % 3 * 50;
        rig_start(&r, seed);
        struct hx_rng g = hx_rng_fork(seed, "test", 0);
        for (unsigned i = 0; i < 400; i++) {
            model_step(m, &r, &g);
            if (i % 8 == 0)
                model_compare(m, &r);
        }
        for (unsigned f = 0; f < FILES; f++)
            for (unsigned i = 0; i < 8; i++)
                free(m->life[f][i].v);
        free(m);
        rig_end(&r);
    }
}

/* ---- power ---- */
/* Promise: torn power losses leave some sectors of a write and not others; the rest leave all or none of a file. */
static void torn_means_sector_by_sector(void **state)
{
    (void)state;
    for (unsigned torn = 0; torn <= 100; torn += 100) {
        unsigned all = 0, none = 0, some = 0;
        for (uint64_t seed = 1; seed <= 100; seed++) {
            struct rig r = {0};
            unsigned kept = 0;
            r.o.v[HX_OPT_torn_pct] = torn;
            rig_start(&r, seed);
            put_fill(&r, 16, 0, 1, 16 * SECTOR);
            sync_file(&r, 16);
            put_fill(&r, 16, 0, 2, 16 * SECTOR);
            rig_cycle(&r);
            for (unsigned s = 0; s < 16; s++)
                kept += at(&r, 16, s * SECTOR) == 2;
            all += kept == 16;
            none += kept == 0;
            some += kept > 0 && kept < 16;
            struct hx_sim_disk_stats st;
            hx_sim_disk_stats(r.d, &st);
            assert_int_equal(st.lost_sectors, 16 - kept);
            assert_int_equal(st.torn_sectors, kept < 16 ? kept : 0);
            rig_end(&r);
        }
        assert_true(torn ? some > 50 : some == 0 && all > 20 && none > 20);
    }
}

/* Promise: at the k-th changing call the power goes: it and all later calls fail, with errors off, too; what was
 * flushed before is there afterwards, that call in part, nothing later. */
static void power_goes_at_the_kth_call(void **state)
{
    (void)state;
    unsigned was_there = 0;
    for (uint64_t k = 1; k <= 9; k++)
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct rig r = {0};
            uint64_t n = 0, failed = 0, synced = 0;
            rig_start(&r, seed);
            put_fill(&r, 9, 0, 1, 100);
            hx_sim_disk_power_off_at(r.d, k);
            for (unsigned i = 0; i < 4; i++) {
                int a = put_fill(&r, 16 + i, 0, (int)i + 1, 1000), b = sync_file(&r, 16 + i);
                assert_true(++n < k ? a == 0 : a == HX_E_IO);
                assert_true(++n < k ? b == 0 : b == HX_E_IO);
                synced += b == 0;
                failed += (uint64_t)(a != 0) + (uint64_t)(b != 0);
            }
            assert_true(hx_sim_disk_is_off(r.d) == (k <= 8));
            assert_int_equal(failed, k <= 8 ? 9 - k : 0);
            struct hx_disk_file list;
            struct hx_disk *other;
            size_t got, cursor = 0;
            struct hx_disk_place place;
            if (k <= 8) {
                assert_int_equal(get(&r, 9, 0, &list, 1, &got), HX_E_IO);
                assert_int_equal(r.disk->ops->list(r.disk, 0, &list, 1, &got), HX_E_IO);
                assert_int_equal(r.disk->ops->remove(r.disk, 9), HX_E_IO);
                assert_int_equal(r.farm->ops->open(r.farm, here, true, &other), HX_E_IO);
                assert_int_equal(r.farm->ops->next(r.farm, &cursor, &place), HX_E_IO);
            }
            rig_cycle(&r);
            for (unsigned i = 0; i < 4; i++)
                if (i < synced)
                    assert_int_equal(at(&r, 16 + i, 999), i + 1);
                else if (i > synced)
                    assert_int_equal(at(&r, 16 + i, 0), -1);
                else
                    was_there += k % 2 == 0 && at(&r, 16 + i, 999) >= 0; /* during the flush */
            assert_int_equal(put_fill(&r, 16, 0, 1, 100), 0);
            rig_end(&r);
        }
    assert_true(was_there > 10 && was_there < 70);
}

/* Promise (D2): a new file that was not flushed, and one whose removal was not, is there or not; both happen; a flush
 * of any file settles a removal. */
static void names_that_no_flush_covers_are_there_or_not(void **state)
{
    (void)state;
    unsigned made = 0, back = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rig r = {0};
        rig_start(&r, seed);
        for (unsigned i = 0; i < 3; i++) {
            put_fill(&r, 16 + i, 0, 1, 600);
            sync_file(&r, 16 + i);
        }
        r.disk->ops->remove(r.disk, 16);
        sync_file(&r, 18);
        r.disk->ops->remove(r.disk, 17);
        assert_int_equal(at(&r, 17, 0), -1);
        put_fill(&r, 19, 0, 1, 600);
        rig_cycle(&r);
        size_t len;
        uint8_t b;
        made += get(&r, 19, 0, &b, 1, &len) == 0;
        back += at(&r, 17, 599) == 1;
        assert_int_equal(get(&r, 16, 0, &b, 1, &len), HX_E_NOENT);
        rig_end(&r);
    }
    assert_true(made > 15 && made < 45 && back > 15 && back < 45);
}

/* Promise: a sector written twice between flushes may keep its first content, its second or neither. */
static void a_sector_written_twice_may_have_any_content(void **state)
{
    (void)state;
    unsigned seen[4] = {0};
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rig r = {0};
        rig_start(&r, seed);
        put_fill(&r, 16, 0, 1, SECTOR);
        sync_file(&r, 16);
        put_fill(&r, 16, 0, 2, SECTOR);
        put_fill(&r, 16, 0, 3, SECTOR);
        rig_cycle(&r);
        int b = at(&r, 16, 0);
        assert_true(b >= 1 && b <= 3);
        seen[b]++;
        rig_end(&r);
    }
    assert_true(seen[1] > 20 && seen[2] > 10 && seen[3] > 20);
}

/* ---- errors ---- */
/* Promise: each of the three error rates makes only its own calls fail, about as often as it says, and a switch turns
 * them off; a write that fails has written some whole sectors from its beginning, or nothing. */
static void errors_come_at_their_rates(void **state)
{
    (void)state;
    static const enum hx_sim_opt opts[] = {HX_OPT_eio_read_ppm, HX_OPT_eio_write_ppm, HX_OPT_eio_flush_ppm};
    for (unsigned o = 0; o < 4; o++) {
        struct rig r = {0};
        unsigned failed[3] = {0}, partial = 0;
        uint8_t b[2000];
        size_t got;
        if (o < 3)
            r.o.v[opts[o]] = 200000;
        rig_start(&r, 5);
        put_fill(&r, 16, 0, 1, 2000);
        hx_sim_disk_faults(r.d, true, false);
        for (unsigned i = 0; i < 1000; i++) {
            int err = put_fill(&r, 17 + i, 0, 2, 2000);
            failed[1] += err == HX_E_IO;
            int last = at(&r, 17 + i, 1999);
            if (o == 1)
                assert_int_equal(last, err ? -1 : 2);
            partial += err && at(&r, 17 + i, 0) == 2;
            failed[0] += get(&r, 16, 0, b, sizeof b, &got) == HX_E_IO;
            failed[2] += sync_file(&r, 16) == HX_E_IO;
        }
        for (unsigned i = 0; i < 3; i++)
            assert_true(i == o ? failed[i] > 120 && failed[i] < 300 : failed[i] == 0);
        assert_true(o == 1 ? partial > 50 && partial < failed[1] : partial == 0);
        struct hx_sim_disk_stats st;
        hx_sim_disk_stats(r.d, &st);
        assert_true((st.errors > 0) == (o < 3) && st.lies == 0);
        hx_sim_disk_faults(r.d, false, false);
        for (unsigned i = 0; i < 1000; i++) {
            assert_int_equal(put_fill(&r, 16, 0, 2, 2000), 0);
            assert_int_equal(get(&r, 16, 0, b, sizeof b, &got), 0);
            assert_int_equal(sync_file(&r, 16), 0);
        }
        rig_end(&r);
    }
}

/* Promise (D3): after a flush that failed, later good flushes do not bring back what it lost, although it may still be
 * read until the disk is opened again; what is written again after the failure is as good as any write. */
static void what_a_failed_flush_lost_stays_lost(void **state)
{
    (void)state;
    unsigned lost = 0, kept = 0, readable = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rig r = {0};
        r.o.v[HX_OPT_eio_flush_ppm] = 1000000;
        rig_start(&r, seed);
        put_fill(&r, 16, 0, 1, 8 * SECTOR);
        assert_int_equal(sync_file(&r, 16), 0);
        put_fill(&r, 16, 0, 2, 8 * SECTOR);
        hx_sim_disk_faults(r.d, true, false);
        assert_int_equal(sync_file(&r, 16), HX_E_IO);
        hx_sim_disk_faults(r.d, false, false);
        int seen[8];
        for (unsigned s = 0; s < 8; s++)
            seen[s] = at(&r, 16, s * SECTOR);
        put_fill(&r, 16, 7 * SECTOR, 3, SECTOR);
        assert_int_equal(sync_file(&r, 16), 0);
        if (seed % 2) {
            rig_cycle(&r);
        } else {
            r.farm->ops->close(r.farm, r.disk);
            rig_open(&r);
        }
        for (unsigned s = 0; s < 7; s++) {
            int b = at(&r, 16, s * SECTOR);
            assert_true(b == 1 || b == 2);
            assert_false(seen[s] == 1 && b == 2);
            lost += b == 1;
            kept += b == 2;
            readable += b == 1 && seen[s] == 2;
        }
        assert_int_equal(at(&r, 16, 7 * SECTOR), 3);
        rig_end(&r);
    }
    assert_true(lost > 100 && kept > 100 && readable > 100);
}

/* Promise (D4): what a file that shrank by a power loss held behind its new end does not come back when it grows. */
static void a_hole_reads_as_zeros_whatever_was_there(void **state)
{
    (void)state;
    unsigned shrank = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rig r = {0};
        uint8_t b[20 * SECTOR];
        size_t len, got;
        r.o.v[HX_OPT_eio_flush_ppm] = 1000000;
        r.o.v[HX_OPT_torn_pct] = 100;
        rig_start(&r, seed);
        put_fill(&r, 16, 0, 1, SECTOR);
        sync_file(&r, 16);
        put_fill(&r, 16, SECTOR, 2, 8 * SECTOR);
        hx_sim_disk_faults(r.d, true, false);
        assert_int_equal(sync_file(&r, 16), HX_E_IO);
        rig_cycle(&r);
        assert_int_equal(get(&r, 16, 0, b, sizeof b, &len), 0);
        shrank += len < 9 * SECTOR;
        put_fill(&r, 16, 15 * SECTOR, 3, SECTOR);
        assert_int_equal(get(&r, 16, 0, b, sizeof b, &got), 0);
        assert_int_equal(got, 16 * SECTOR);
        for (size_t i = len; i < 15 * SECTOR; i++)
            assert_int_equal(b[i], 0);
        rig_end(&r);
    }
    assert_true(shrank > 20);
}

/* Promise: a full disk refuses with NOSPACE, never holds more than its limit, keeps what it has, still overwrites, and
 * takes writes again when there is room. */
static void a_full_disk_says_so(void **state)
{
    (void)state;
    unsigned partial = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig r = {0};
        uint64_t total, left;
        rig_start(&r, seed);
        hx_sim_disk_limit(r.d, 10000);
        assert_int_equal(put_fill(&r, 16, 0, 1, 9000), 0);
        assert_int_equal(r.farm->ops->space(r.farm, &total, &left), 0);
        assert_true(total == 10000 && left == 1000);
        assert_int_equal(put_fill(&r, 16, 9000, 2, 1001), HX_E_NOSPACE);
        partial += at(&r, 16, 9999) == 2;
        assert_int_equal(at(&r, 16, 8999), 1);
        assert_true(hx_sim_disk_used(r.d) <= 10000);
        assert_int_equal(put_fill(&r, 16, 0, 3, 9000), 0);
        assert_int_equal(put_fill(&r, 17, 0, 3, 1001), HX_E_NOSPACE);
        assert_int_equal(sync_file(&r, 16), 0);
        hx_sim_disk_limit(r.d, 100);
        assert_int_equal(put_fill(&r, 16, 20000, 3, 1), HX_E_NOSPACE);
        assert_int_equal(r.farm->ops->space(r.farm, &total, &left), 0);
        assert_int_equal(left, 0);
        hx_sim_disk_limit(r.d, 20000);
        assert_int_equal(put_fill(&r, 16, 9000, 4, 2000), 0);
        assert_int_equal(put_fill(&r, 16, UINT64_MAX - 5, 4, 10), HX_E_NOSPACE);
        rig_end(&r);
    }
    assert_true(partial > 0 && partial < 20);
}

/* ---- lies ---- */
static void rig_lie(struct rig *r, enum hx_sim_opt opt, uint64_t seed)
{
    r->o.v[opt] = 1000000;
    rig_start(r, seed);
    put_fill(r, 16, 0, 1, 16 * SECTOR);
    put_fill(r, 17, 0, 1, 16 * SECTOR);
    sync_file(r, 16);
    sync_file(r, 17);
    hx_sim_disk_faults(r->d, true, false);
    put_fill(r, 18, 0, 9, SECTOR);
    assert_int_equal(sync_file(r, 18), 0);
    rig_cycle(r);
    assert_int_equal(at(r, 18, 0), 9); /* lies are off */
    hx_sim_disk_faults(r->d, false, true);
}

/* Promise: a flush that lies says 0 and makes nothing durable; an honest one later does. */
static void a_flush_may_lie(void **state)
{
    (void)state;
    unsigned lost = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct rig r = {0};
        rig_lie(&r, HX_OPT_lie_flush_ppm, seed);
        put_fill(&r, 16, 0, 2, SECTOR);
        assert_int_equal(sync_file(&r, 16), 0);
        if (seed % 4 == 0) {
            hx_sim_disk_faults(r.d, false, false);
            assert_int_equal(sync_file(&r, 16), 0);
        }
        rig_cycle(&r);
        int b = at(&r, 16, 0);
        assert_true(b == 2 || (b == 1 && seed % 4));
        lost += b == 1;
        rig_end(&r);
    }
    assert_true(lost > 5);
}

/* How many bytes of the three files are not EXPECT[file][...]; *bits: bits that differ; *unread: sectors that cannot be
 * read. */
static unsigned differing(struct rig *r, uint8_t expect[3][16 * SECTOR], unsigned *bits, unsigned *unread)
{
    unsigned n = 0;
    *bits = *unread = 0;
    for (unsigned f = 0; f < 3; f++)
        for (unsigned s = 0; s < (f == 2 ? 1 : 16); s++) {
            uint8_t b[SECTOR];
            size_t got;
            if (get(r, 16 + f, s * SECTOR, b, SECTOR, &got)) {
                (*unread)++;
                continue;
            }
            for (unsigned i = 0; i < SECTOR; i++) {
                n += b[i] != expect[f][s * SECTOR + i];
                *bits += (unsigned)__builtin_popcount(b[i] ^ expect[f][s * SECTOR + i]);
            }
        }
    return n;
}

/* Promise: rot is one bit of one file, or one sector that fails until it is written again; a stale write leaves the
 * older content in one stretch; a misplaced one leaves it, too, and puts its bytes elsewhere; all of that says 0. */
static void writes_may_rot_get_lost_or_go_astray(void **state)
{
    (void)state;
    static const enum hx_sim_opt opts[] = {HX_OPT_lie_rot_ppm, HX_OPT_lie_stale_ppm, HX_OPT_lie_misplace_ppm};
    unsigned unreadable = 0, elsewhere = 0, whole = 0, sectors = 0;
    for (unsigned o = 0; o < 3; o++)
        for (uint64_t seed = 1; seed <= 60; seed++) {
            struct rig r = {0};
            uint8_t expect[3][16 * SECTOR];
            unsigned bits, unread;
            rig_lie(&r, opts[o], seed);
            memset(expect, 1, sizeof expect);
            memset(expect[2], 9, sizeof expect[2]);
            assert_int_equal(put_fill(&r, 16, 4 * SECTOR, 2, 4 * SECTOR), 0);
            hx_sim_disk_faults(r.d, false, false);
            unsigned old = differing(&r, expect, &bits, &unread);
            memset(expect[0] + 4 * SECTOR, 2, 4 * SECTOR);
            unsigned n = differing(&r, expect, &bits, &unread);
            if (o == 0) {
                assert_true(n + unread == 1 && bits == n);
                unreadable += unread;
                for (unsigned f = 0; f < 3; f++)
                    assert_int_equal(put_fill(&r, 16 + f, 0, 5, (f == 2 ? 1 : 16) * SECTOR), 0);
                differing(&r, expect, &bits, &unread);
                assert_int_equal(unread, 0);
            } else if (o == 1) {
                assert_true(n > 0 && n % SECTOR == 0 && old == 4 * SECTOR - n);
                whole += n == 4 * SECTOR;
                sectors += n == SECTOR;
            } else {
                elsewhere += n > 4 * SECTOR || (n > 0 && old > 0);
            }
            struct hx_sim_disk_stats st;
            hx_sim_disk_stats(r.d, &st);
            assert_int_equal(st.lies, 1);
            rig_end(&r);
        }
    assert_true(unreadable > 5 && unreadable < 30 && elsewhere > 30 && whole > 10 && sectors > 10);
}

/* Promise: wipe leaves nothing; an image holds what was durable when it was taken, and comes back as it was, as often
 * as one likes; a flip changes one bit. */
static void disks_forget_and_go_back(void **state)
{
    (void)state;
    struct rig r = {0};
    size_t cursor = 0, got;
    struct hx_disk_place place;
    struct hx_disk_file list[4];
    r.o.v[HX_OPT_torn_pct] = 100;
    rig_start(&r, 9);
    assert_false(hx_sim_disk_rollback(r.d));
    put_fill(&r, 16, 0, 1, 4000);
    sync_file(&r, 16);
    put_fill(&r, 16, 100, 2, 5000);
    put_fill(&r, 17, 0, 2, 5000);
    assert_true(hx_sim_disk_save(r.d));
    sync_file(&r, 16);
    sync_file(&r, 17);
    for (unsigned i = 0; i < 2; i++) {
        put_fill(&r, 16, 0, 3, 6000);
        sync_file(&r, 16);
        r.farm->ops->close(r.farm, r.disk);
        assert_true(hx_sim_disk_rollback(r.d));
        rig_open(&r);
        assert_int_equal(at(&r, 16, 0), 1);
        assert_int_equal(at(&r, 16, 3999), 1);
        assert_int_equal(at(&r, 16, 4000), -1);
        assert_int_equal(at(&r, 17, 0), -1);
        assert_int_equal(hx_sim_disk_used(r.d), 4000);
        rig_cycle(&r);
        assert_int_equal(at(&r, 16, 3999), 1);
    }
    struct hx_rng g = hx_rng_fork(1, "flip", 0);
    unsigned bits = 0;
    assert_true(hx_sim_disk_flip(r.d, &g));
    for (unsigned i = 0; i < 4000; i++)
        bits += (unsigned)__builtin_popcount((unsigned)at(&r, 16, i) ^ 1u);
    assert_int_equal(bits, 1);
    r.farm->ops->close(r.farm, r.disk);
    hx_sim_disk_wipe(r.d);
    assert_int_equal(r.farm->ops->next(r.farm, &cursor, &place), 0);
    assert_int_equal(r.farm->ops->open(r.farm, here, false, &r.disk), HX_E_NOENT);
    assert_false(hx_sim_disk_flip(r.d, &g));
    rig_open(&r);
    assert_int_equal(r.disk->ops->list(r.disk, 0, list, 4, &got), 0);
    assert_int_equal(got, 0);
    assert_int_equal(hx_sim_disk_used(r.d), 0);
    cursor = 0;
    assert_int_equal(r.farm->ops->next(r.farm, &cursor, &place), 1);
    assert_int_equal(place.pg, here.pg);
    rig_end(&r);
}

/* ---- chance ---- */
/* A run with everything on: a sum over all that the disk said.  WITHOUT: that rate is 0.  ONLY_WRITES: the sum is over
 * the results of writes. */
static uint32_t run(uint64_t seed, int without, bool only_writes)
{
    struct rig r = {0};
    uint32_t sum = 0;
    static uint8_t b[5000];
    size_t got = 0;
    for (int o = HX_OPT_eio_read_ppm; o <= HX_OPT_lie_stale_ppm; o++)
        r.o.v[o] = o == HX_OPT_torn_pct ? 50 : o == without ? 0 : 50000;
    rig_start(&r, seed);
    hx_sim_disk_faults(r.d, true, true);
    struct hx_rng g = hx_rng_fork(seed, "test", 0);
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t file = 16 + hx_rng_below(&g, 5), off = hx_rng_below(&g, 20000), n = 1 + hx_rng_below(&g, 3000);
        int w = put_fill(&r, file, off, (int)i, n), f = sync_file(&r, file);
        int e = get(&r, file, 0, b, sizeof b, &got);
        if (i % 200 == 199)
            rig_cycle(&r);
        sum = hx_crc32c(sum, &w, sizeof w);
        if (!only_writes) {
            sum = hx_crc32c(hx_crc32c(sum, &f, sizeof f), &e, sizeof e);
            sum = hx_crc32c(sum, b, e ? 0 : got);
        }
    }
    uint64_t us = hx_sim_disk_take_us(r.d, 1);
    rig_end(&r);
    return only_writes ? sum : hx_crc32c(sum, &us, sizeof us);
}

/* Promise (S1, S2 of sim.h): the seed alone decides; taking one kind of fault away leaves the draws of the others. */
static void chance_comes_from_the_seed_in_streams(void **state)
{
    (void)state;
    uint32_t a = run(3, -1, false), writes = run(3, -1, true);
    assert_int_equal(run(3, -1, false), a);
    assert_int_not_equal(run(4, -1, false), a);
    assert_int_equal(run(3, HX_OPT_eio_flush_ppm, true), writes);
    assert_int_equal(run(3, HX_OPT_lie_rot_ppm, true), writes);
    assert_int_equal(run(3, HX_OPT_eio_read_ppm, true), writes);
    assert_int_not_equal(run(3, HX_OPT_eio_write_ppm, true), writes);
}

/* Promise: calls cost virtual time, flushes most of it; a take takes it; a sick disk takes more. */
static void calls_take_virtual_time(void **state)
{
    (void)state;
    struct rig r = {0};
    rig_start(&r, 1);
    assert_int_equal(hx_sim_disk_take_us(r.d, 1), 0);
    put_fill(&r, 16, 0, 1, 8192);
    uint64_t write_us = hx_sim_disk_take_us(r.d, 1);
    assert_true(write_us > 0 && hx_sim_disk_take_us(r.d, 1) == 0);
    sync_file(&r, 16);
    assert_true(hx_sim_disk_take_us(r.d, 1) > write_us);
    put_fill(&r, 16, 0, 1, 8192);
    assert_true(hx_sim_disk_take_us(r.d, 100) > 50 * write_us);
    rig_end(&r);
}

/* ---- beside ---- */
static void rig_beside(struct rig *r, uint64_t seed, const uint64_t *now_us)
{
    r->o.v[HX_OPT_beside_us] = 1000;
    r->o.v[HX_OPT_discard_pct] = 20;
    r->o.v[HX_OPT_torn_pct] = 50;
    rig_start(r, seed);
    hx_sim_disk_clock(r->d, now_us);
}

static unsigned sectors_of(struct rig *r, uint64_t file, int byte, unsigned count)
{
    unsigned n = 0;
    for (unsigned s = 0; s < count; s++)
        n += at(r, file, s * SECTOR) == byte;
    return n;
}

/* Promise: a flush beside takes time, and no second one of that disk can begin; when it has ended all is durable,
 * though nobody asked; a crash before that leaves any sectors.  ERRORS: it may say so in the end, and then nothing is
 * durable. */
static void a_flush_beside_ends_later(void **state)
{
    (void)state;
    unsigned later = 0, at_once = 0, some = 0, none = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rig r = {0};
        uint64_t now = 1000000;
        rig_beside(&r, seed, &now);
        const struct hx_disk_ops *ops = r.disk->ops;
        put_fill(&r, 16, 0, 1, 16 * SECTOR);
        put_fill(&r, 17, 0, 1, 16 * SECTOR);
        assert_int_equal(ops->flush_begin(r.disk, 18), HX_E_NOENT);
        assert_int_equal(ops->flush_begin(r.disk, 16), 0);
        bool goes_on = ops->flush_begin(r.disk, 17) == HX_E_BUSY;
        later += goes_on;
        at_once += !goes_on;
        if (goes_on) {
            assert_int_equal(ops->flush_end(r.disk, 16), HX_E_BUSY);
            now += seed % 3 ? 16000 : 0;
            if (seed % 3 == 1)
                assert_int_equal(ops->flush_end(r.disk, 16), 0);
        }
        rig_cycle(&r);
        unsigned kept = sectors_of(&r, 16, 1, 16);
        assert_true(!goes_on || seed % 3 == 0 || kept == 16);
        some += kept > 0 && kept < 16;
        none += kept == 0;
        struct hx_sim_disk_stats st;
        hx_sim_disk_stats(r.d, &st);
        assert_int_equal(st.misuses, 0);
        rig_end(&r);
    }
    assert_true(later > 200 && at_once > 10 && some > 10 && none > 30);
}

static void a_flush_beside_may_fail(void **state)
{
    (void)state;
    unsigned lost = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct rig r = {0};
        uint64_t now = 0;
        r.o.v[HX_OPT_eio_flush_ppm] = 1000000;
        rig_beside(&r, seed, &now);
        put_fill(&r, 16, 0, 1, 16 * SECTOR);
        hx_sim_disk_faults(r.d, true, false);
        assert_int_equal(r.disk->ops->flush_begin(r.disk, 16), 0);
        now += 16000;
        assert_int_equal(r.disk->ops->flush_end(r.disk, 16), HX_E_IO);
        hx_sim_disk_faults(r.d, false, false);
        sync_file(&r, 16); /* D3 */
        rig_cycle(&r);
        lost += sectors_of(&r, 16, 1, 16) < 16;
        rig_end(&r);
    }
    assert_true(lost > 40);
}

/* Promise: what is written meanwhile is not covered, and told; a file that goes meanwhile leaves its flush behind; a
 * close waits for it. */
static void what_comes_meanwhile_is_not_covered(void **state)
{
    (void)state;
    unsigned lost = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rig r = {0};
        struct hx_sim_disk_stats st;
        uint64_t now = 0;
        rig_beside(&r, seed, &now);
        const struct hx_disk_ops *ops = r.disk->ops;
        put_fill(&r, 16, 0, 1, 4 * SECTOR);
        sync_file(&r, 16);
        ops->flush_begin(r.disk, 16);
        put_fill(&r, 16, 0, 2, 4 * SECTOR);
        now += 16000;
        assert_int_equal(ops->flush_end(r.disk, 16), 0);
        hx_sim_disk_stats(r.d, &st);
        assert_int_equal(st.misuses, 1);
        rig_cycle(&r);
        lost += sectors_of(&r, 16, 2, 4) < 4;

        put_fill(&r, 17, 0, 3, SECTOR);
        ops->flush_begin(r.disk, 17);
        assert_int_equal(ops->discard(r.disk, 17), 0);
        put_fill(&r, 17, 0, 4, SECTOR);
        now += 16000;
        put_fill(&r, 18, 0, 5, SECTOR);
        assert_int_equal(ops->flush_begin(r.disk, 18), 0);
        r.farm->ops->close(r.farm, r.disk);
        rig_open(&r);
        hx_sim_disk_stats(r.d, &st);
        assert_int_equal(st.misuses, 1);
        rig_cycle(&r);
        assert_int_equal(at(&r, 18, 0), 5);
        rig_end(&r);
    }
    assert_true(lost > 50);
}

/* Promise: what was discarded is gone at once, and its room there again; a crash may bring it back as it was, after a
 * flush, too, until one makes its removal durable; a removed file never comes back after a flush. */
static void what_was_discarded_may_come_back(void **state)
{
    (void)state;
    unsigned back[3] = {0};
    for (uint64_t seed = 1; seed <= 600; seed++) {
        struct rig r = {0};
        uint64_t now = 0;
        unsigned flushes = (unsigned)(seed % 3) * 10;
        rig_beside(&r, seed, &now);
        put_fill(&r, 16, 0, 1, SECTOR);
        put_fill(&r, 17, 0, 2, SECTOR);
        put_fill(&r, 18, 0, 3, SECTOR);
        for (unsigned f = 16; f <= 18; f++)
            sync_file(&r, f);
        assert_int_equal(r.disk->ops->discard(r.disk, 16), 0);
        assert_int_equal(r.disk->ops->discard(r.disk, 99), 0);
        assert_int_equal(r.disk->ops->remove(r.disk, 17), 0);
        assert_int_equal(at(&r, 16, 0), -1);
        assert_int_equal(hx_sim_disk_used(r.d), SECTOR);
        for (unsigned i = 0; i < flushes; i++)
            sync_file(&r, 18);
        rig_cycle(&r);
        int now_there = at(&r, 16, 0);
        assert_true(now_there == -1 || now_there == 1);
        back[seed % 3] += now_there == 1;
        assert_true(!flushes || at(&r, 17, 0) == -1);
        bool stays = now_there == 1;
        rig_cycle(&r);
        assert_int_equal(at(&r, 16, 0) == 1, stays);
        rig_end(&r);
    }
    assert_true(back[0] > 60 && back[1] > 2 && back[1] < back[0] / 2 && back[2] <= back[1]);
}

/* Promise: a flush of many files is one of each, with an end of its own; while the power goes some are flushed. */
static void many_are_flushed_each_by_itself(void **state)
{
    (void)state;
    unsigned failed = 0, good = 0, some = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rig r = {0};
        uint64_t now = 0;
        r.o.v[HX_OPT_eio_flush_ppm] = 300000;
        rig_beside(&r, seed, &now);
        struct hx_disk *disk[4];
        struct hx_disk_flush list[4];
        for (uint32_t i = 0; i < 4; i++) {
            struct hx_disk_place place = {here.volume, 10 + i};
            assert_int_equal(r.farm->ops->open(r.farm, place, true, &disk[i]), 0);
            assert_int_equal(disk[i]->ops->write(disk[i], 16, 0, "x", 1), 0);
            list[i] = (struct hx_disk_flush){disk[i], 16, 0};
        }
        hx_sim_disk_faults(r.d, seed % 2, false);
        hx_sim_disk_power_off_at(r.d, seed % 2 ? 0 : 2);
        r.farm->ops->flush_many(r.farm, list, 4);
        hx_sim_disk_power_off(r.d);
        for (unsigned i = 0; i < 4; i++)
            r.farm->ops->close(r.farm, disk[i]);
        hx_sim_disk_power_on(r.d);
        unsigned there = 0, ok = 0;
        for (unsigned i = 0; i < 4; i++) {
            uint8_t b = 0;
            size_t got = 0;
            bool is = disk[i]->ops->read(disk[i], 16, 0, &b, 1, &got) == 0 && got == 1 && b == 'x';
            assert_true(list[i].err || is);
            there += is;
            ok += !list[i].err;
        }
        assert_true(seed % 2 || ok == 1);
        failed += seed % 2 && ok < 4;
        good += ok > 0;
        some += there > 0 && there < 4;
        rig_end(&r);
    }
    assert_true(failed > 30 && good > 150 && some > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_calls_agree_with_a_dumb_model),
        cmocka_unit_test(torn_means_sector_by_sector),
        cmocka_unit_test(power_goes_at_the_kth_call),
        cmocka_unit_test(names_that_no_flush_covers_are_there_or_not),
        cmocka_unit_test(a_sector_written_twice_may_have_any_content),
        cmocka_unit_test(errors_come_at_their_rates),
        cmocka_unit_test(what_a_failed_flush_lost_stays_lost),
        cmocka_unit_test(a_hole_reads_as_zeros_whatever_was_there),
        cmocka_unit_test(a_full_disk_says_so),
        cmocka_unit_test(a_flush_may_lie),
        cmocka_unit_test(writes_may_rot_get_lost_or_go_astray),
        cmocka_unit_test(disks_forget_and_go_back),
        cmocka_unit_test(a_flush_beside_ends_later),
        cmocka_unit_test(a_flush_beside_may_fail),
        cmocka_unit_test(what_comes_meanwhile_is_not_covered),
        cmocka_unit_test(what_was_discarded_may_come_back),
        cmocka_unit_test(many_are_flushed_each_by_itself),
        cmocka_unit_test(chance_comes_from_the_seed_in_streams),
        cmocka_unit_test(calls_take_virtual_time),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("sim_disk", tests, NULL, NULL);
}
