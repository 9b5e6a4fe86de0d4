/*
 * test_retire.c - DELETE, the tombstone that it leaves, and the learner that begins over it.
 *
 * Method: learner_kit.h: six members with the same random pages.  Server 5 is retired: the version after puts server 6
 * in its place.  Power is lost, and writes fail, at every call to its disk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hexad/check.h"
#include "learner_kit.h"

#define OLD 5u

/* ---- versions ---- */
/* The rig's geometry with M more changes, under EPOCH; server IN, when it is not OLD, in the place of OLD. */
static struct hx_geometry version(const struct hx_rig *r, uint64_t epoch, uint32_t m, unsigned in)
{
    struct hx_geometry g = {0};
    assert_int_equal(hx_geometry_copy(&g, &r->geometry), 0);
    g.epoch = HX_EPOCH(epoch);
    g.m += m;
    if (in != OLD) {
        struct hx_server s = g.servers[0];
        memcpy(s.name, in == 6 ? "a3" : "b3", 3);
        s.incarnation = hx_rig_uuid(100 + in);
        assert_int_equal(hx_geometry_add_server(&g, &s), 0);
        for (uint32_t pg = 0; pg < g.pg_count; pg++)
            g.pgs[pg].server[OLD] = (uint16_t)(g.server_count - 1);
    }
    return g;
}

static int delete_as(struct hx_rig *r, uint64_t epoch, uint32_t m, unsigned in, uint64_t life)
{
    struct hx_geometry g = version(r, epoch, m, in);
    int err = hx_rig_delete(r, OLD, PG, epoch, &g, life);
    hx_geometry_fini(&g);
    return err;
}

static int learn_as(struct hx_rig *r, uint64_t epoch, uint32_t m, unsigned in)
{
    struct hx_geometry g = version(r, epoch, m, in);
    int err = hx_rig_format_as(r, OLD, PG, &g, &r->history, epoch, 1);
    hx_geometry_fini(&g);
    return err;
}

static struct hx_segment_part part(struct hx_rig *r)
{
    struct hx_segment_part p = {0};
    assert_int_equal(hx_rig_part(r, OLD, PG, &p), 0);
    return p;
}

static size_t files(struct hx_rig *r)
{
    struct hx_disk_place at = hx_rig_place(r, PG);
    return hx_mem_file_count(r->farm[OLD], &at);
}

static void again(struct hx_rig *r)
{
    hx_rig_stop(r, OLD);
    assert_int_equal(hx_rig_start(r, OLD), 0);
}

/* A tombstone of LIFE, and nothing else. */
static void check_tombstone(struct hx_rig *r, uint64_t life, uint32_t m)
{
    struct hx_segment_look l = look(r, OLD);
    struct hx_segment_part p = part(r);
    struct hx_segment_status st;
    uint64_t scl;
    assert_true(l.retired && !l.filling);
    assert_int_equal(l.error, HX_E_NO_SEGMENT);
    assert_int_equal(p.flags, HX_PART_RETIRED);
    assert_int_equal(p.life, life);
    assert_int_equal(p.m, m);
    assert_int_equal(hx_rig_status(r, OLD, PG, &st), 0);
    assert_int_equal(st.state, HX_E_NO_SEGMENT);
    assert_int_equal(st.pages + st.records, 0);
    assert_int_equal(st.disk_bytes, 2 * HX_META_RESERVE);
    assert_int_equal(files(r), 2);
    assert_int_equal(hx_rig_fence(r, OLD, PG, 50, 900, NULL), HX_E_NO_SEGMENT);
    assert_int_equal(hx_rig_adopt(r, OLD, PG, 50, &r->history, NULL, NULL), HX_E_NO_SEGMENT);
    assert_int_equal(hx_rig_read(r, OLD, PG, 1, 5, 0, NULL, NULL), HX_E_NO_SEGMENT);
    size_t n = hx_rig_run(r, PG, 1, 900, 901, 3, 0);
    assert_int_equal(hx_rig_append(r, OLD, 1, 0, 0, r->frame, n, &scl), HX_E_NO_SEGMENT);
    assert_int_equal(hx_rig_repair(r, OLD, PG, 50, &r->history, NULL, 0, NULL), HX_E_NO_SEGMENT);
    assert_true(look(r, OLD).promised.v < 50); /* what counts for nothing promises nothing */
}

/* ---- the rules ---- */
/* Promise (M6, M10): only a version that does not name the server deletes, none that is older than one that does, under
 * no epoch below the promise, and only the segment that is meant. */
static void who_may_delete(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    (void)state;
    start(&r, &m, 1);
    assert_int_equal(hx_rig_fence(&r, OLD, PG, 3, 900, NULL), 0);
    assert_int_equal(delete_as(&r, 3, 1, OLD, 1), HX_E_WRONG_MEMBER); /* names it */
    assert_int_equal(delete_as(&r, 2, 1, 6, 1), HX_E_FENCED);
    assert_int_equal(delete_as(&r, 3, 1, 6, 2), HX_E_MADE_ANEW);
    assert_int_equal(delete_as(&r, 3, 1, 6, 0), HX_E_MADE_ANEW);
    struct hx_geometry g = version(&r, 3, 2, OLD); /* taken back */
    uint64_t life = 0;
    assert_int_equal(hx_rig_members(&r, OLD, PG, 3, &g, &life), 0);
    assert_int_equal(life, 1);
    assert_int_equal(delete_as(&r, 3, 1, 6, 1), HX_E_WRONG_MEMBER); /* a late one */
    assert_int_equal(delete_as(&r, 3, 2, 6, 1), HX_E_INVAL);        /* two contents under one version */
    g.pg_bytes *= 2;
    assert_int_equal(hx_rig_delete(&r, OLD, PG, 3, &g, 1), HX_E_INVAL);
    g.pg_bytes /= 2;
    g.volume.b[0] ^= 1;
    assert_int_equal(hx_rig_delete(&r, OLD, PG, 3, &g, 1), HX_E_INVAL);
    hx_geometry_fini(&g);
    g = version(&r, 4, 3, 6);
    assert_int_equal(hx_rig_delete(&r, OLD, PG, 3, &g, 1), HX_E_INVAL); /* newer than who says it */
    assert_int_equal(hx_rig_delete(&r, OLD, PG + 1, 4, &g, 1), HX_E_NO_SEGMENT);
    hx_geometry_fini(&g);
    assert_false(look(&r, OLD).retired);
    assert_int_equal(look(&r, OLD).scl.v, m.acked);
    assert_int_equal(delete_as(&r, 3, 3, 6, 1), 0);
    check_tombstone(&r, 1, r.geometry.m + 3);
    assert_int_equal(delete_as(&r, 3, 3, 6, 1), 0); /* once more */
    assert_int_equal(delete_as(&r, 2, 3, 6, 1), HX_E_FENCED);
    assert_int_equal(delete_as(&r, 3, 3, 6, 2), HX_E_MADE_ANEW);
    assert_int_equal(look(&r, OLD).promised.v, 3);
    again(&r);
    check_tombstone(&r, 1, r.geometry.m + 3);
    assert_int_equal(look(&r, OLD).promised.v, 3);
    finish(&r, &m);
}

/* Promise (T2): what came before the DELETE, and waits for the same flush, is not acknowledged, nor what comes
 * after. */
static void what_waits_hears_that_it_is_gone(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    struct hx_rig_reply a = {0}, b = {0}, c = {0};
    uint8_t body[16384], append[HX_FRAME_MAX];
    (void)state;
    start(&r, &m, 2);
    struct hx_append_head h = {.frame_count = 1};
    size_t n = hx_rig_run(&r, PG, 1, m.last, m.last + 1, 1, 0);
    struct hx_enc e = hx_enc_init(append, sizeof append);
    hx_append_head_encode(&h, &e);
    hx_enc_bytes(&e, r.frame, n);
    struct hx_rig_ask put = {.type = HX_MSG_APPEND, .conn = 1, .body = {append, e.len}};
    uint64_t first = hx_rig_ask(&r, OLD, &put);
    struct hx_geometry g = version(&r, 1, 1, 6);
    e = hx_enc_init(body, sizeof body);
    hx_geometry_encode(&g, &e);
    hx_enc_u64(&e, 1);
    uint64_t gone = hx_rig_ask(&r, OLD, &(struct hx_rig_ask){.type = HX_MSG_DELETE, .pg = PG, .body = {body, e.len}});
    uint64_t late = hx_rig_ask(&r, OLD, &put);
    hx_node_flush(r.node[OLD]);
    struct hx_node_effect out;
    while (hx_node_next(r.node[OLD], &out)) {
        struct hx_rig_reply *to = out.token == first ? &a : out.token == gone ? &b : out.token == late ? &c : NULL;
        assert_non_null(to);
        assert_int_equal(hx_reply_decode(out.body.p, out.body.len, &to->head, &to->body), 0);
        to->came = true;
        if (to != &b) {
            struct hx_dec d = hx_dec_init(to->body.p, to->body.len);
            struct hx_ack k;
            hx_ack_decode(&k, &d);
            assert_int_equal(k.status, HX_E_NO_SEGMENT);
        }
    }
    assert_true(a.came && b.came && c.came);
    assert_int_equal(b.head.status, 0);
    hx_geometry_fini(&g);
    check_tombstone(&r, 1, r.geometry.m + 1);
    finish(&r, &m);
}

/* Promise (I5): a learner's FORMAT that comes late, when its server has become a member by a newer version, changes
 * nothing, though the segment has no records yet. */
static void a_late_learner_is_no_learner(void **state)
{
    (void)state;
    static struct hx_rig r;
    hx_rig_init(&r, 6, 1u << 20, 2, 1u << 20);
    struct hx_geometry g = version(&r, 1, 3, OLD);
    assert_int_equal(hx_rig_format(&r, OLD, PG), 0);
    assert_int_equal(hx_rig_members(&r, OLD, PG, 1, &g, NULL), 0);
    hx_geometry_fini(&g);
    assert_int_equal(learn_as(&r, 1, 2, 6), 0);
    assert_int_equal(part(&r).m, r.geometry.m + 3);
    assert_int_equal(part(&r).flags, HX_PART_NAMED);
    assert_int_equal(learn_as(&r, 1, 4, 6), 0); /* a newer one is meant for it */
    assert_int_equal(part(&r).flags & HX_PART_LEARNER, HX_PART_LEARNER);
    hx_rig_fini(&r);
}

/* Promise (T3): from a tombstone there is a way to the members of today. */
static void lookup_finds_the_way_from_a_tombstone(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    struct hx_rig_reply a;
    struct hx_lookup *l = calloc(1, sizeof *l);
    uint8_t name[8];
    struct hx_enc e = hx_enc_init(name, sizeof name);
    (void)state;
    assert_non_null(l);
    start(&r, &m, 3);
    assert_int_equal(delete_as(&r, 2, 1, 6, 1), 0);
    again(&r);
    hx_enc_str(&e, "vol0");
    struct hx_rig_ask q = {.type = HX_MSG_LOOKUP, .body = {name, e.len}};
    assert_int_equal(hx_rig_call(&r, OLD, &q, &a), 0);
    struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
    assert_int_equal(hx_lookup_decode(l, &d), 0);
    assert_int_equal(l->promised.v, 2);
    assert_string_equal(l->geometry.servers[l->geometry.pgs[PG].server[OLD]].name, "a3");
    hx_geometry_fini(&l->geometry);
    hx_rig_reply_fini(&a);
    free(l);
    finish(&r, &m);
}

static unsigned said;
static void line(void *ctx, const char *text)
{
    (void)ctx;
    said += strstr(text, "a tombstone") != NULL;
}

/* Promise: --check and --dump say what it is, and find nothing wrong. */
static void the_tools_know_a_tombstone(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    struct hx_check_sum sum;
    (void)state;
    start(&r, &m, 5);
    assert_int_equal(delete_as(&r, 1, 1, 6, 1), 0);
    hx_rig_stop(&r, OLD);
    struct hx_check_cfg cfg = {.server = hx_rig_uuid(100 + OLD), .farm = hx_mem_farm(r.farm[OLD]), .line = line};
    struct hx_disk_place at = hx_rig_place(&r, PG);
    said = 0;
    assert_int_equal(hx_check_all(&cfg, &sum), 0);
    assert_int_equal(said, 1);
    assert_int_equal(sum.segments, 1);
    assert_int_equal(sum.damaged + sum.refused + sum.unread + sum.touched, 0);
    assert_int_equal(hx_dump_file(&cfg, &at, 1), 0);
    assert_int_equal(said, 2);
    assert_int_equal(hx_rig_start(&r, OLD), 0);
    check_tombstone(&r, 1, r.geometry.m + 1);
    finish(&r, &m);
}

/* ---- begun anew ---- */
static bool filled(struct hx_rig *r)
{
    for (unsigned k = 0; k < 2000 && look(r, OLD).filling; k++)
        hx_rig_step(r, 50);
    return !look(r, OLD).filling;
}

/* Every page of the learner that was OLD is as member 0 has it. */
static void check_pages(struct hx_rig *r, struct hx_model *m)
{
    for (unsigned k = 0; k < 400 && look(r, OLD).scl.v < m->acked; k++)
        hx_rig_step(r, 100);
    assert_int_equal(look(r, OLD).scl.v, m->acked);
    for (uint32_t page = 0; page < HX_MODEL_PAGES; page++) {
        uint8_t want[HX_PAGE_SIZE], got[HX_PAGE_SIZE];
        struct hx_read_page p, q;
        assert_int_equal(hx_rig_read(r, OLD, PG, 1, m->acked, page * STRIDE, got, &p), 0);
        assert_int_equal(hx_rig_read(r, 0, PG, 1, m->acked, page * STRIDE, want, &q), 0);
        assert_memory_equal(want, got, sizeof want);
        assert_int_equal(p.lsn.v, q.lsn.v);
    }
}

/* Promise (M10): a learner begins over a tombstone with nothing of what was there; a FORMAT from before the DELETE
 * makes none, one of a member neither, and a late DELETE of the life before does not take it. */
static void a_learner_begins_anew(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    (void)state;
    start(&r, &m, 4);
    assert_int_equal(delete_as(&r, 1, 2, 6, 1), 0);
    assert_int_equal(learn_as(&r, 1, 1, 7), HX_E_WRONG_MEMBER);
    assert_int_equal(learn_as(&r, 1, 2, OLD), HX_E_WRONG_MEMBER); /* names it */
    assert_int_equal(hx_rig_format(&r, OLD, PG), HX_E_WRONG_MEMBER);
    check_tombstone(&r, 1, r.geometry.m + 2);
    assert_int_equal(learn_as(&r, 1, 2, 6), 0);
    struct hx_segment_part p = part(&r);
    assert_int_equal(p.life, 2);
    assert_int_equal(p.flags, HX_PART_LEARNER);
    assert_int_equal(look(&r, OLD).scl.v, 0);
    assert_int_equal(delete_as(&r, 1, 2, 6, 1), HX_E_MADE_ANEW);
    assert_int_equal(learn_as(&r, 1, 3, 6), 0); /* goes on */
    assert_int_equal(part(&r).life, 2);
    assert_true(filled(&r));
    check_pages(&r, &m);
    again(&r);
    check_pages(&r, &m);
    assert_int_equal(part(&r).life, 2);
    struct hx_geometry g = version(&r, 1, 4, OLD); /* and is a member again */
    assert_int_equal(hx_rig_members(&r, OLD, PG, 1, &g, NULL), 0);
    hx_geometry_fini(&g);
    assert_int_equal(part(&r).flags, HX_PART_NAMED);
    assert_int_equal(delete_as(&r, 1, 5, 6, 1), HX_E_MADE_ANEW);
    assert_int_equal(delete_as(&r, 1, 5, 6, 2), 0);
    check_tombstone(&r, 2, r.geometry.m + 5);
    finish(&r, &m);
}

static struct hx_geometry release_version(const struct hx_rig *r, uint32_t m)
{
    struct hx_geometry g = version(r, 1, m, OLD);
    g.pgs[PG].kind = HX_ROW_RELEASED;
    return g;
}

static int member_as(struct hx_rig *r, uint32_t m)
{
    struct hx_geometry g = version(r, 1, m, OLD);
    int err = hx_rig_format_as(r, OLD, PG, &g, &r->history, 1, 0);
    hx_geometry_fini(&g);
    return err;
}

/* Promise (S1): a released row names nobody; a group that is used again has a new member with nothing over the
 * tombstone, but only by a version that is newer than the one which the tombstone knows, and which said so. */
static void a_released_group_is_used_again(void **state)
{
    for (unsigned told = 0; told < 2; told++) {
        struct hx_rig r;
        struct hx_model m;
        (void)state;
        start(&r, &m, 4);
        struct hx_geometry g = release_version(&r, 2);
        if (told) { /* retired by an older change: it hears of the release later */
            assert_int_equal(delete_as(&r, 1, 1, 6, 1), 0);
            assert_int_equal(member_as(&r, 3), HX_E_WRONG_MEMBER);
            assert_int_equal(hx_rig_members(&r, OLD, PG, 1, &g, NULL), HX_E_NO_SEGMENT);
        } else {
            assert_int_equal(hx_rig_delete(&r, OLD, PG, 1, &g, 1), 0);
        }
        hx_geometry_fini(&g);
        assert_int_equal(member_as(&r, 2), HX_E_WRONG_MEMBER); /* no newer */
        assert_int_equal(member_as(&r, 1), HX_E_WRONG_MEMBER);
        again(&r);
        if (told) { /* the word did not reach the disk: it is said again */
            g = release_version(&r, 2);
            assert_int_equal(hx_rig_members(&r, OLD, PG, 1, &g, NULL), HX_E_NO_SEGMENT);
            hx_geometry_fini(&g);
        }
        assert_int_equal(member_as(&r, 3), 0);
        for (unsigned k = 0; k < 2; k++) {
            struct hx_segment_part p = part(&r);
            assert_int_equal(p.life, 2);
            assert_int_equal(p.flags, HX_PART_NAMED);
            struct hx_segment_look l = look(&r, OLD);
            assert_true(!l.filling && !l.retired && l.error == 0);
            assert_int_equal(l.scl.v, 0);
            assert_int_equal(member_as(&r, 3), 0); /* once more: the same */
            again(&r);
        }
        assert_int_equal(delete_as(&r, 1, 4, 6, 1), HX_E_MADE_ANEW);
        finish(&r, &m);
    }
}

/* ---- power ---- */
/* Promise (T1): a power loss at any call of a DELETE leaves the whole segment or a tombstone; one that was answered
 * stays, and the files go with the next start at the latest. */
static void power_goes_while_it_is_deleted(void **state)
{
    unsigned whole = 0, gone = 0;
    bool through = false;
    (void)state;
    for (uint64_t k = 1; !through; k++) {
        for (uint64_t seed = 1; seed <= 8; seed++) {
            struct hx_rig r;
            struct hx_model m;
            start(&r, &m, 10 + seed);
            hx_mem_power_off_at(r.farm[OLD], k);
            bool answered = !delete_as(&r, 1, 1, 6, 1);
            through = !hx_mem_is_off(r.farm[OLD]);
            hx_rig_stop(&r, OLD);
            hx_mem_crash(r.farm[OLD], seed * 100 + k);
            assert_int_equal(hx_rig_start(&r, OLD), 0);
            if (look(&r, OLD).retired) {
                gone++;
                check_tombstone(&r, 1, r.geometry.m + 1);
            } else {
                whole++;
                assert_false(answered);
                assert_int_equal(look(&r, OLD).error, 0);
                check_pages(&r, &m);
                assert_int_equal(part(&r).flags, HX_PART_NAMED);
            }
            assert_int_equal(delete_as(&r, 1, 1, 6, 1), 0);
            check_tombstone(&r, 1, r.geometry.m + 1);
            finish(&r, &m);
        }
    }
    assert_true(whole > 4 && gone > 20);
}

/* Promise (T4): a power loss at any call from the FORMAT over a tombstone on leaves the tombstone or a learner, with
 * nothing of the life before, though files that were discarded come back. */
static void power_goes_while_it_begins_anew(void **state)
{
    unsigned tombs = 0, learners = 0;
    bool through = false;
    (void)state;
    for (uint64_t k = 1; !through && k < 60; k++) {
        for (uint64_t seed = 1; seed <= 4; seed++) {
            struct hx_rig r;
            struct hx_model m;
            start(&r, &m, 30 + seed);
            hx_mem_beside(r.farm[OLD], 2);
            again(&r);
            for (unsigned i = 0; i < 30; i++) { /* compaction, so that there is something to come back */
                m.floor = m.vdl;
                work(&r, &m, 20, false);
                hx_rig_step(&r, 100);
            }
            assert_int_equal(delete_as(&r, 1, 1, 6, 1), 0);
            hx_mem_power_off_at(r.farm[OLD], k);
            bool answered = !learn_as(&r, 1, 1, 6);
            for (unsigned i = 0; i < 20; i++)
                hx_rig_step(&r, 50);
            through = !hx_mem_is_off(r.farm[OLD]);
            hx_rig_stop(&r, OLD);
            hx_mem_crash(r.farm[OLD], seed * 100 + k);
            assert_int_equal(hx_rig_start(&r, OLD), 0);
            struct hx_segment_part p = part(&r);
            tombs += p.life == 1;
            learners += p.life == 2;
            if (p.life == 1) {
                assert_false(answered);
                check_tombstone(&r, 1, r.geometry.m + 1);
                assert_int_equal(learn_as(&r, 1, 1, 6), 0);
            }
            assert_int_equal(part(&r).life, 2);
            assert_int_equal(look(&r, OLD).unknowns, 0);
            assert_true(filled(&r));
            check_pages(&r, &m);
            again(&r);
            check_pages(&r, &m);
            finish(&r, &m);
        }
    }
    assert_true(tombs > 2 && learners > 20);
}

struct kept { /* a file as it was before the DELETE */
    uint64_t id;
    size_t len;
    uint8_t *p;
};

/* All files but slots and reserve; their number. */
static size_t keep(struct hx_rig *r, struct kept *ret, size_t max)
{
    struct hx_disk_farm *f = hx_mem_farm(r->farm[OLD]);
    struct hx_disk_place at = hx_rig_place(r, PG);
    struct hx_disk_file list[256];
    struct hx_disk *d;
    size_t n = 0;
    assert_int_equal(f->ops->open(f, at, false, &d), 0);
    assert_int_equal(d->ops->list(d, HX_RESERVE_FILE + 1, list, max, &n), 0);
    assert_true(n < max);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = hx_mem_file(r->farm[OLD], &at, list[i].id, &ret[i].len);
        ret[i].id = list[i].id;
        ret[i].p = malloc(ret[i].len + 1);
        assert_non_null(ret[i].p);
        memcpy(ret[i].p, p, ret[i].len);
    }
    f->ops->close(f, d);
    return n;
}

/* Promise (T4): log files, sidecars and checkpoints of the life before that come back (discard says that they may) are
 * nobody's.  Method: they are written back under the learner, one kind after the other and all together. */
static void what_was_discarded_comes_back(void **state)
{
    unsigned checkpoints = 0;
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        struct kept was[256];
        struct hx_rig r;
        struct hx_model m;
        start(&r, &m, 90);
        for (unsigned i = 0; i < 30; i++) {
            work(&r, &m, 20, false);
            hx_rig_step(&r, 100);
        }
        struct hx_disk_place at = hx_rig_place(&r, PG);
        hx_rig_stop(&r, OLD);
        size_t n = keep(&r, was, 256);
        assert_true(n > 8);
        assert_int_equal(hx_rig_start(&r, OLD), 0);
        assert_int_equal(delete_as(&r, 1, 1, 6, 1), 0);
        for (unsigned i = 0; i < HX_COPIES; i++)
            r.cut[i] = true; /* so that it gets nothing of its own */
        assert_int_equal(learn_as(&r, 1, 1, 6), 0);
        hx_rig_stop(&r, OLD);
        struct hx_disk_farm *f = hx_mem_farm(r.farm[OLD]);
        struct hx_disk *d;
        assert_int_equal(f->ops->open(f, at, false, &d), 0);
        for (size_t i = 0; i < n; i++) {
            bool side = was[i].id & HX_LOG_SIDE_BIT, ckpt = was[i].id < HX_LOG_FIRST_ID;
            if (kind == 3 || kind == (ckpt ? 0u : side ? 1u : 2u)) {
                assert_int_equal(d->ops->write(d, was[i].id, 0, was[i].p, was[i].len), 0);
                assert_int_equal(d->ops->flush(d, was[i].id), 0);
            }
            checkpoints += ckpt && was[i].id < HX_CKPT_FILE + 2;
            free(was[i].p);
        }
        f->ops->close(f, d);
        assert_int_equal(hx_rig_start(&r, OLD), 0);
        struct hx_segment_look l = look(&r, OLD);
        assert_true(l.filling && !l.unknowns && !l.error);
        assert_int_equal(l.highest.v + l.hint.v + l.scl.v, 0);
        for (unsigned i = 0; i < HX_COPIES; i++)
            r.cut[i] = false;
        assert_true(filled(&r));
        check_pages(&r, &m);
        finish(&r, &m);
    }
    assert_true(checkpoints > 0);
}

/* ---- disks that fail ---- */
static bool settled(struct hx_rig *r)
{
    for (unsigned k = 0; k < 100 && look(r, OLD).error == HX_E_POISONED; k++)
        hx_rig_step(r, 500);
    return look(r, OLD).error != HX_E_POISONED;
}

/* Promise (T2): when a call of a DELETE fails the disk is read again, and there is a whole segment, or a tombstone. */
static void a_call_fails_while_it_is_deleted(void **state)
{
    static const unsigned ops[] = {HX_MEM_WRITE, HX_MEM_FLUSH, HX_MEM_REMOVE};
    (void)state;
    for (size_t o = 0; o < HX_ARRAY_LEN(ops); o++) {
        for (uint64_t k = 1; k <= 4; k++) {
            struct hx_rig r;
            struct hx_model m;
            start(&r, &m, 50 + k);
            hx_mem_fail(r.farm[OLD], ops[o], k, HX_E_IO, false);
            int err = delete_as(&r, 1, 1, 6, 1);
            bool slots = ops[o] != HX_MEM_REMOVE && k <= 2;
            assert_int_equal(err, slots ? HX_E_POISONED : 0);
            hx_mem_fail(r.farm[OLD], 0, 0, 0, false);
            assert_true(settled(&r));
            assert_true(look(&r, OLD).error == 0 || look(&r, OLD).retired);
            assert_true(slots || look(&r, OLD).retired);
            if (!look(&r, OLD).retired)
                check_pages(&r, &m);
            assert_int_equal(delete_as(&r, 1, 1, 6, 1), 0);
            again(&r);
            check_tombstone(&r, 1, r.geometry.m + 1);
            finish(&r, &m);
        }
    }
}

/* Promise (T2): on a disk that takes nothing it is tried again, and meanwhile nobody takes it for a member. */
static void it_is_tried_again_when_there_is_no_room(void **state)
{
    struct hx_rig r;
    struct hx_model m;
    (void)state;
    start(&r, &m, 60);
    hx_mem_fail(r.farm[OLD], HX_MEM_WRITE, 1, HX_E_NOSPACE, true);
    assert_int_equal(delete_as(&r, 1, 1, 6, 1), HX_E_AGAIN);
    assert_int_equal(delete_as(&r, 1, 1, 6, 1), HX_E_AGAIN);
    assert_int_equal(hx_rig_fence(&r, OLD, PG, 5, 900, NULL), HX_E_NO_SEGMENT);
    assert_int_equal(learn_as(&r, 1, 1, 6), HX_E_NO_SEGMENT);
    assert_int_equal(part(&r).flags, HX_PART_RETIRED);
    hx_rig_step(&r, 50);
    assert_false(look(&r, OLD).retired);
    hx_mem_fail(r.farm[OLD], 0, 0, 0, false);
    hx_rig_step(&r, 600);
    check_tombstone(&r, 1, r.geometry.m + 1);
    finish(&r, &m);
}

/* Promise (T4): when a call of the FORMAT over a tombstone fails there is a tombstone, or a learner. */
static void a_call_fails_while_it_begins_anew(void **state)
{
    (void)state;
    for (unsigned ops = HX_MEM_WRITE; ops <= HX_MEM_FLUSH; ops++) {
        for (uint64_t k = 1; k <= 3; k++) {
            struct hx_rig r;
            struct hx_model m;
            start(&r, &m, 70 + k);
            assert_int_equal(delete_as(&r, 1, 1, 6, 1), 0);
            hx_mem_fail(r.farm[OLD], ops, k, HX_E_IO, false);
            int err = learn_as(&r, 1, 1, 6);
            hx_mem_fail(r.farm[OLD], 0, 0, 0, false);
            assert_int_equal(err, ops == HX_MEM_WRITE && k == 3 ? 0 : HX_E_POISONED);
            assert_true(settled(&r));
            assert_true(look(&r, OLD).retired || look(&r, OLD).filling);
            assert_int_equal(learn_as(&r, 1, 1, 6), 0);
            assert_int_equal(part(&r).life, 2);
            assert_true(filled(&r));
            check_pages(&r, &m);
            finish(&r, &m);
        }
    }
}

/* Promise (T2, T4; hexad/disk.h D3): a flush of the tombstone's directory failed, so one that follows proves nothing:
 * no learner begins before the disk was read again, whether the first one failed at the DELETE or at a restart. */
static void a_flush_after_a_failed_one_is_no_word(void **state)
{
    (void)state;
    for (unsigned restart = 0; restart < 2; restart++) {
        struct hx_rig r;
        struct hx_model m;
        start(&r, &m, 80 + restart);
        struct hx_disk_place at = hx_rig_place(&r, PG);
        if (restart) {
            struct kept was[256];
            hx_rig_stop(&r, OLD);
            size_t n = keep(&r, was, 256);
            assert_int_equal(hx_rig_start(&r, OLD), 0);
            assert_int_equal(delete_as(&r, 1, 1, 6, 1), 0);
            hx_rig_stop(&r, OLD);
            struct hx_disk_farm *f = hx_mem_farm(r.farm[OLD]);
            struct hx_disk *d;
            assert_int_equal(f->ops->open(f, at, false, &d), 0);
            for (size_t i = 0; i < n; i++) {
                if (i + 1 == n) {
                    assert_int_equal(d->ops->write(d, was[i].id, 0, was[i].p, was[i].len), 0);
                    assert_int_equal(d->ops->flush(d, was[i].id), 0);
                }
                free(was[i].p);
            }
            f->ops->close(f, d);
            hx_mem_fail(r.farm[OLD], HX_MEM_FLUSH, 1, HX_E_IO, false);
            assert_int_equal(hx_rig_start(&r, OLD), 0);
        } else {
            hx_mem_fail(r.farm[OLD], HX_MEM_FLUSH, 3, HX_E_IO, false);
            assert_int_equal(delete_as(&r, 1, 1, 6, 1), 0); /* the slots say so */
        }
        hx_mem_fail(r.farm[OLD], 0, 0, 0, false);
        assert_true(look(&r, OLD).retired);
        assert_int_equal(look(&r, OLD).error, HX_E_POISONED);
        assert_int_equal(learn_as(&r, 1, 1, 6), HX_E_POISONED);
        assert_int_equal(delete_as(&r, 1, 1, 6, 1), 0);
        assert_true(settled(&r));
        check_tombstone(&r, 1, r.geometry.m + 1);
        assert_int_equal(learn_as(&r, 1, 1, 6), 0);
        assert_true(filled(&r));
        check_pages(&r, &m);
        finish(&r, &m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_may_delete),
        cmocka_unit_test(what_waits_hears_that_it_is_gone),
        cmocka_unit_test(a_late_learner_is_no_learner),
        cmocka_unit_test(lookup_finds_the_way_from_a_tombstone),
        cmocka_unit_test(the_tools_know_a_tombstone),
        cmocka_unit_test(a_learner_begins_anew),
        cmocka_unit_test(a_released_group_is_used_again),
        cmocka_unit_test(power_goes_while_it_is_deleted),
        cmocka_unit_test(power_goes_while_it_begins_anew),
        cmocka_unit_test(what_was_discarded_comes_back),
        cmocka_unit_test(a_call_fails_while_it_is_deleted),
        cmocka_unit_test(it_is_tried_again_when_there_is_no_room),
        cmocka_unit_test(a_call_fails_while_it_begins_anew),
        cmocka_unit_test(a_flush_after_a_failed_one_is_no_word),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("retire", tests, NULL, NULL);
}
