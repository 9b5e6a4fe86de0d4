/*
 * test_wish.c - wishes of the roster (hexad/wish.h): their bytes, what they make of a geometry, and how long a server
 * keeps them for the writer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hexad/wish.h"
#include "node_rig.h"

#include <stdio.h>
#include <stdlib.h>

static struct hx_wish wish(unsigned kind, const char *name)
{
    struct hx_wish w = {.kind = (uint8_t)kind, .epoch = HX_EPOCH(3), .g = 2, .m = 7};
    snprintf(w.server.name, sizeof w.server.name, "%s", name);
    if (kind == HX_WISH_ADD) {
        snprintf(w.server.zone, sizeof w.server.zone, "az-a");
        snprintf(w.server.url, sizeof w.server.url, "https://%s.example.org:9621", name);
        snprintf(w.server.host, sizeof w.server.host, "m7");
        w.server.incarnation = hx_rig_uuid(777);
    }
    return w;
}

static bool same(const struct hx_wish *a, const struct hx_wish *b)
{
    return a->kind == b->kind && a->epoch.v == b->epoch.v && a->g == b->g && a->m == b->m &&
           !strcmp(a->server.name, b->server.name) && !strcmp(a->server.zone, b->server.zone) &&
           !strcmp(a->server.url, b->server.url) && !strcmp(a->server.host, b->server.host) &&
           hx_uuid_eq(&a->server.incarnation, &b->server.incarnation);
}

/* Promise: what was encoded is decoded; cut anywhere, or of no kind, or without a name, it is refused. */
static void bytes(void **state)
{
    (void)state;
    uint8_t b[HX_WISH_BYTES];
    for (unsigned k = HX_WISH_ADD; k < HX_WISH_KINDS; k++) {
        struct hx_wish w = wish(k, "d1"), got;
        struct hx_enc e = hx_enc_init(b, sizeof b);
        hx_wish_encode(&w, &e);
        assert_int_equal(e.err, 0);
        struct hx_dec d = hx_dec_init(b, e.len);
        assert_int_equal(hx_wish_decode(&got, &d), 0);
        assert_int_equal(hx_dec_end(&d), 0);
        assert_true(same(&w, &got));
        for (size_t n = 0; n < e.len; n++) {
            d = hx_dec_init(b, n);
            assert_int_not_equal(hx_wish_decode(&got, &d), 0);
        }
        b[0] = HX_WISH_KINDS;
        d = hx_dec_init(b, e.len);
        assert_int_equal(hx_wish_decode(&got, &d), HX_E_BADMSG);
        w.server.name[0] = '\0';
        e = hx_enc_init(b, sizeof b);
        hx_wish_encode(&w, &e);
        d = hx_dec_init(b, e.len);
        assert_int_equal(hx_wish_decode(&got, &d), HX_E_BADMSG);
        assert_string_not_equal(hx_wish_kind_name(k), hx_wish_kind_name(0));
    }
    struct hx_wish longest = wish(HX_WISH_ADD, "x");
    memset(longest.server.name, 'n', HX_NAME_MAX);
    memset(longest.server.zone, 'z', HX_NAME_MAX);
    memset(longest.server.url, 'u', HX_URL_MAX);
    memset(longest.server.host, 'h', HX_HOST_MAX);
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_wish_encode(&longest, &e);
    assert_int_equal(e.err, 0);
    assert_int_equal(e.len, HX_WISH_BYTES);
}

static struct hx_rig *rig(void)
{
    struct hx_rig *r = malloc(sizeof *r);
    assert_non_null(r);
    hx_rig_init(r, 1, 1u << 20, 2, 1u << 20);
    return r;
}

static void drop(struct hx_rig *r)
{
    hx_rig_fini(r);
    free(r);
}

static int grant(struct hx_geometry *g, unsigned kind, const char *name)
{
    struct hx_wish w = wish(kind, name);
    uint32_t m = g->m;
    int rc = hx_wish_grant(&w, g);
    assert_int_equal(g->m, m); /* the driver numbers its versions */
    assert_int_equal(hx_geometry_check(g), 0);
    if (!rc)
        assert_true(hx_wish_granted(&w, g));
    return rc;
}

/* Promise: a server is added once, drained and undone, and leaves when nothing names it; what is wrong is refused, and
 * changes nothing; what is so already is no error (R2). */
static void what_they_make_of_a_geometry(void **state)
{
    (void)state;
    struct hx_rig *r = rig();
    struct hx_geometry g = {0};
    assert_int_equal(hx_geometry_copy(&g, &r->geometry), 0);
    uint32_t n = g.server_count;
    char member[HX_NAME_MAX + 1];
    snprintf(member, sizeof member, "%s", g.servers[g.pgs[0].server[0]].name);

    assert_int_equal(grant(&g, HX_WISH_DRAIN, "d1"), HX_E_NOENT);
    assert_int_equal(grant(&g, HX_WISH_REMOVE, "d1"), 0); /* it is not there */
    assert_int_equal(grant(&g, HX_WISH_ADD, "d1"), 0);
    assert_int_equal(grant(&g, HX_WISH_ADD, "d1"), 0);
    assert_int_equal(g.server_count, n + 1);
    struct hx_wish other = wish(HX_WISH_ADD, "d1");
    other.server.incarnation = hx_rig_uuid(778);
    assert_int_equal(hx_wish_grant(&other, &g), HX_E_EXIST); /* that name is taken */
    struct hx_wish there = wish(HX_WISH_ADD, "d2");
    there.server.incarnation = hx_rig_uuid(779);
    memcpy(there.server.url, g.servers[n].url, sizeof there.server.url);
    assert_int_equal(hx_wish_grant(&there, &g), HX_E_EXIST); /* and that address */
    struct hx_wish nobody = wish(HX_WISH_ADD, "d3");
    nobody.server.incarnation = (struct hx_uuid){{0}};
    assert_int_equal(hx_wish_grant(&nobody, &g), HX_E_INVAL);
    assert_int_equal(g.server_count, n + 1);

    assert_int_equal(grant(&g, HX_WISH_DRAIN, member), 0);
    assert_int_equal(g.servers[g.pgs[0].server[0]].state, HX_SERVER_DRAINED);
    struct hx_wish leave = wish(HX_WISH_REMOVE, member);
    assert_int_equal(hx_wish_grant(&leave, &g), HX_E_IN_USE);
    assert_int_equal(grant(&g, HX_WISH_UNDO, member), 0);
    assert_int_equal(g.servers[g.pgs[0].server[0]].state, HX_SERVER_IN);

    assert_int_equal(grant(&g, HX_WISH_REMOVE, "d1"), 0);
    assert_int_equal(g.servers[n].state, HX_SERVER_GONE);
    assert_int_equal(hx_wish_find(&g, "d1"), -1);
    assert_int_equal(hx_wish_grant(&other, &g), 0); /* another one of that name */
    assert_int_equal(g.server_count, n + 2);
    assert_int_equal(hx_wish_find(&g, "d1"), n + 1);
    assert_int_equal(grant(&g, HX_WISH_REMOVE, "d1"), 0);
    assert_int_equal(grant(&g, HX_WISH_ADD, "d1"), 0); /* the first one again: it has its place */
    assert_int_equal(g.server_count, n + 2);
    assert_int_equal(hx_wish_find(&g, "d1"), n);

    assert_int_equal(hx_geometry_set_state(&g, n, HX_SERVER_BURNT), 0);
    struct hx_wish back = wish(HX_WISH_UNDO, "d1");
    assert_int_equal(hx_wish_grant(&back, &g), HX_E_INVAL);
    hx_geometry_fini(&g);
    drop(r);
}

/* ---- a server ---- */

static int say(struct hx_rig *r, const struct hx_wish *w, struct hx_rig_reply *a)
{
    uint8_t b[HX_WISH_BYTES + 1];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    if (w)
        hx_wish_encode(w, &e);
    const struct hx_rig_ask q = {.type = HX_MSG_WISH, .role = HX_NODE_ROLE_ADMIN, .body = {b, e.len}};
    return hx_rig_call(r, 0, &q, a);
}

static uint32_t waiting(struct hx_rig *r, struct hx_wish *ret, uint32_t cap)
{
    struct hx_rig_reply a = {0};
    assert_int_equal(say(r, NULL, &a), 0);
    struct hx_dec d = hx_dec_init(a.body.p, a.body.len);
    uint32_t n = hx_dec_u32(&d);
    for (uint32_t i = 0; i < n && i < cap; i++)
        assert_int_equal(hx_wish_decode(&ret[i], &d), 0);
    if (n <= cap)
        assert_int_equal(hx_dec_end(&d), 0);
    hx_rig_reply_fini(&a);
    return n;
}

/* Does the answer to an announcement say that somebody wishes something? */
static bool told(struct hx_rig *r, uint64_t epoch)
{
    uint8_t b[HX_WRITER_INFO_MAX + 64];
    struct hx_rig_reply a = {0};
    struct hx_append_head h = {.vdl = HX_LSN(0)};
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_append_head_encode(&h, &e);
    const struct hx_rig_ask q = {.type = HX_MSG_APPEND, .epoch = epoch, .body = {b, e.len}};
    assert_int_equal(hx_rig_call(r, 0, &q, &a), 0);
    bool yes = a.head.flags & HX_REPLY_WISHES;
    hx_rig_reply_fini(&a);
    return yes;
}

/* Promise: a wish is kept, told with announcements, and forgotten when it is not said again; of one server the last
 * word counts; there are never more than so many. */
static void a_server_keeps_them_for_a_while(void **state)
{
    (void)state;
    struct hx_rig *r = rig();
    struct hx_wish got[2], w = wish(HX_WISH_DRAIN, "a1"), v = wish(HX_WISH_UNDO, "a1"), u = wish(HX_WISH_ADD, "d1");
    assert_int_equal(hx_rig_format(r, 0, 0), 0);
    assert_false(told(r, 1));
    assert_int_equal(say(r, &w, NULL), 0);
    assert_true(told(r, 1));
    assert_int_equal(say(r, &u, NULL), 0);
    assert_int_equal(say(r, &v, NULL), 0);
    assert_int_equal(waiting(r, got, 2), 2);
    assert_true(same(&got[0], &u));
    assert_true(same(&got[1], &v));
    r->now_ms += HX_WISH_MS / 2;
    assert_int_equal(say(r, &u, NULL), 0);
    r->now_ms += HX_WISH_MS / 2 + 1;
    assert_int_equal(waiting(r, got, 2), 1);
    assert_true(same(&got[0], &u));
    r->now_ms += HX_WISH_MS;
    assert_false(told(r, 1));
    assert_int_equal(waiting(r, got, 2), 0);
    for (unsigned i = 0; i < HX_WISHES_MAX + 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%u", i);
        w = wish(HX_WISH_DRAIN, name);
        assert_int_equal(say(r, &w, NULL), 0);
    }
    assert_int_equal(waiting(r, got, 1), HX_WISHES_MAX);
    assert_string_equal(got[0].server.name, "s5");
    drop(r);
}

/* Promise: bytes that are no wish are refused, and change nothing; so is one for a volume that is not there. */
static void nonsense_is_refused(void **state)
{
    (void)state;
    struct hx_rig *r = rig();
    struct hx_wish got, w = wish(HX_WISH_DRAIN, "a1");
    uint8_t b[HX_WISH_BYTES + 1];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    hx_wish_encode(&w, &e);
    struct hx_rig_ask q = {.type = HX_MSG_WISH, .body = {b, e.len}};
    assert_int_equal(hx_rig_call(r, 0, &q, NULL), HX_E_NO_VOLUME);
    assert_int_equal(hx_rig_format(r, 0, 0), 0);
    q.body.len++;
    b[e.len] = 0;
    assert_int_equal(hx_rig_call(r, 0, &q, NULL), HX_E_BADMSG);
    q.body.len = 1;
    assert_int_equal(hx_rig_call(r, 0, &q, NULL), HX_E_BADMSG);
    assert_int_equal(waiting(r, &got, 1), 0);
    drop(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes),
        cmocka_unit_test(what_they_make_of_a_geometry),
        cmocka_unit_test(a_server_keeps_them_for_a_while),
        cmocka_unit_test(nonsense_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("wish", tests, NULL, NULL);
}
