/*
 * create.c - making a volume: HELLO and LOOKUP at all servers, six chosen, PG 0 made on all six.
 *
 * Does no I/O and writes nothing into the volume (the filesystem is made by the first mount).
 * Definitions: heard = a server that answered both HELLO and LOOKUP; silent = any other.
 * Invariants:
 *   C1 nothing is made before every server was heard, or HX_CREATE_GRACE_MS have passed, at most five are silent,
 *      and six can be placed on those heard: a volume of that name has six members, so one of them was asked.
 *   C2 done means that all six members answered that they made PG 0.
 *   C3 a volume that was ever opened (an epoch above 1 was promised somewhere) is never touched.
 * A volume that is found on fewer than six of its members, at epoch 1, is what an interrupted creation left:
 * it was never usable, because opening asks four of PG 0 and nobody announces it before C2.  Such a one is
 * finished, with the settings and the identity that it has, if all its six servers are heard and the settings
 * asked for are the same; else creation ends with EXISTS_VOLUME, and why names the servers to clean.
 * So running an interrupted creation again is right at any point, also while the first one still runs.
 * Servers that stay silent are given up after HX_CREATE_PATIENCE_MS, counted anew for each of the two steps.
 * Allocates in new and per request; HX_E_NOMEM ends it.
 */
#include "ask.h"

#include "hexad/assert.h"
#include "hexad/place.h"
#include "hexad/quorum.h"
#include "hexad/recovery.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define HX_CREATE_GRACE_MS 3000u
#define HX_CREATE_PATIENCE_MS 10000u
#define SILENT_MAX 5u

struct candidate {
    struct hx_ask_task hello, lookup;
    struct hx_server s;
    struct hx_place_known disk;
    bool hello_ok, lookup_ok, knows;
};
struct hx_create {
    struct hx_ask ask;
    int state;
    char why[1024];
    bool formatting;
    uint64_t now_ms, since_ms; /* since_ms: when the present step began */
    struct hx_uuid owner;
    struct hx_geometry geometry; /* the one to make: settings from the start, servers and PG 0 later */
    struct hx_geometry found;    /* of the name, at some servers; volume zero: none */
    bool found_used, found_two;  /* it was opened once; there are two of them */
    struct candidate *c;
    uint32_t count;
    struct hx_ask_task format[HX_COPIES];
    hx_members made;
};

static void end(struct hx_create *c, int state, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void end(struct hx_create *c, int state, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->why, sizeof c->why, format, args);
    va_end(args);
    c->state = state;
    hx_ask_reset(&c->ask);
}

static bool is_heard(const struct candidate *s)
{
    return s->hello_ok && s->lookup_ok;
}

/* ---- the choice ---- */

/* Names of the servers for which WANTED holds, in words. */
static const char *names(const struct hx_create *c, bool (*wanted)(const struct candidate *), char *text, size_t cap)
{
    size_t len = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < c->count && len + 1 < cap; i++) {
        if (!wanted(&c->c[i]))
            continue;
        const char *name = c->c[i].s.name[0] != '\0' ? c->c[i].s.name : c->c[i].s.url;
        int n = snprintf(text + len, cap - len, "%s%s", len > 0 ? " " : "", name);
        len += n > 0 ? (size_t)n : 0;
    }
    return text;
}

static bool is_silent(const struct candidate *s)
{
    return !is_heard(s);
}

static bool knows(const struct candidate *s)
{
    return s->knows;
}

/* Adds the servers heard and places PG 0 on six of them.  HX_E_INVAL: not on these. */
static int place(struct hx_create *c, struct hx_geometry *g)
{
    struct hx_pg_members m;
    struct hx_place_known *known = calloc(c->count + 1u, sizeof *known);
    int err = known != NULL ? hx_geometry_copy(g, &c->geometry) : HX_E_NOMEM;
    for (uint32_t i = 0; i < c->count && err == 0; i++) {
        if (!is_heard(&c->c[i]))
            continue;
        known[g->server_count] = c->c[i].disk;
        err = hx_geometry_add_server(g, &c->c[i].s);
    }
    if (err == 0)
        err = hx_place_group(g, known, &m);
    free(known);
    return err == 0 ? hx_geometry_add_pg(g, &m) : err;
}

static void start_formatting(struct hx_create *c)
{
    hx_ask_reset(&c->ask);
    if (hx_ask_servers(&c->ask, c->geometry.servers, c->geometry.server_count) != 0 ||
        hx_ask_reserve(&c->ask, HX_COPIES) != 0) {
        end(c, HX_E_NOMEM, "out of memory");
        return;
    }
    c->formatting = true;
    c->since_ms = c->now_ms;
    for (unsigned i = 0; i < HX_COPIES; i++)
        hx_ask_queue(&c->ask, &c->format[i], c->geometry.pgs[0].server[i], HX_MSG_FORMAT);
}

static const struct candidate *find_server(const struct hx_create *c, const struct hx_server *s)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (is_heard(&c->c[i]) && hx_uuid_eq(&c->c[i].s.incarnation, &s->incarnation))
            return &c->c[i];
    return NULL;
}

/* A volume of this name is there: in use, or left over and to be finished, or in the way. */
static void meet_found(struct hx_create *c)
{
    char id[33], who[512];
    unsigned have = 0, heard = 0;
    hx_uuid_format(&c->found.volume, id);
    names(c, knows, who, sizeof who);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        const struct candidate *s = find_server(c, &c->found.servers[c->found.pgs[0].server[i]]);
        heard += s != NULL;
        have += s != NULL && s->knows;
    }
    if (c->found_used || have == HX_COPIES || c->found.pg_count > 1) {
        end(c, HX_E_EXISTS_VOLUME, "%s exists (volume %s)", c->found.name, id); /* C3 */
    } else if (c->found_two) {
        end(c, HX_E_EXISTS_VOLUME,
            "two creations of %s were interrupted; on %s, remove the directories of their volumes (one is %s), which "
            "were never usable; then create again", c->found.name, who, id);
    } else if (heard < HX_COPIES) {
        end(c, HX_E_EXISTS_VOLUME,
            "a creation of %s was interrupted: %s know it as volume %s; start all six of its servers and create again, "
            "which finishes it, or remove the directory of that volume on those servers: it was never usable",
            c->found.name, who, id);
    } else if (c->found.pg_bytes != c->geometry.pg_bytes || c->found.lal != c->geometry.lal) {
        end(c, HX_E_EXISTS_VOLUME,
            "a creation of %s with groups of %llu bytes was interrupted (volume %s on %s); create again with that "
            "size, which finishes it, or remove the directory of that volume there: it was never usable",
            c->found.name, (unsigned long long)c->found.pg_bytes, id, who);
    } else {
        hx_geometry_fini(&c->geometry);
        c->geometry = c->found;
        c->found = (struct hx_geometry){0};
        start_formatting(c);
    }
}

static void give_up_asking(struct hx_create *c, int place_err)
{
    char who[512];
    uint32_t i = 0;
    while (i < c->count && is_heard(&c->c[i]))
        i++;
    if (i == c->count) {
        end(c, place_err, "six servers are needed, two in each of three zones; the %u configured ones are not that",
            c->count);
        return;
    }
    const struct candidate *s = &c->c[i];
    int err = s->hello_ok ? s->lookup.last_err : s->hello.last_err;
    if (err == 0) /* we were stopped: the time has passed, but not for the question */
        err = HX_E_TIMEOUT;
    end(c, err, "no answer from %s (%s)", names(c, is_silent, who, sizeof who), hx_err_text(err));
}

static bool same_twice(struct hx_create *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (!is_heard(&c->c[i]) || !is_heard(&c->c[k]) ||
                !hx_uuid_eq(&c->c[i].s.incarnation, &c->c[k].s.incarnation))
                continue;
            end(c, HX_E_INVAL, "%s and %s are the same server", c->c[k].s.url, c->c[i].s.url);
            return true;
        }
    }
    return false;
}

/* Goes on as soon as C1 allows. */
static void check_asking(struct hx_create *c)
{
    uint32_t silent = 0;
    uint64_t passed = c->now_ms - c->since_ms;
    struct hx_geometry g = {0};
    if (c->state != HX_E_AGAIN || c->formatting)
        return;
    for (uint32_t i = 0; i < c->count; i++)
        silent += is_silent(&c->c[i]);
    if (silent > 0 && passed < HX_CREATE_GRACE_MS)
        return;
    if (same_twice(c))
        return;
    int err = place(c, &g);
    if (err == HX_E_NOMEM)
        end(c, err, "out of memory");
    else if (!hx_uuid_is_zero(&c->found.volume) && (silent == 0 || (silent <= SILENT_MAX && err == 0) || c->found_used))
        meet_found(c);
    else if (err == 0 && silent <= SILENT_MAX) {
        hx_geometry_fini(&c->geometry);
        c->geometry = g;
        g = (struct hx_geometry){0};
        start_formatting(c);
    } else if (silent == 0 || passed >= HX_CREATE_PATIENCE_MS) {
        give_up_asking(c, err);
    }
    hx_geometry_fini(&g);
}

/* ---- answers ---- */

static void hello_answer(struct hx_create *c, struct candidate *s, const struct hx_ask_reply *reply)
{
    struct hx_hello h = {0};
    struct hx_dec d = hx_dec_init(reply->body.p, reply->body.len);
    int err = hx_hello_decode(&h, &d);
    if (err != 0 || hx_uuid_is_zero(&reply->head.server)) {
        end(c, HX_E_BADMSG, "%s: malformed answer", s->s.url);
        return;
    }
    if ((s->s.name[0] != '\0' && strcmp(s->s.name, h.name) != 0) ||
        (s->s.zone[0] != '\0' && strcmp(s->s.zone, h.zone) != 0)) {
        end(c, HX_E_INVAL, "%s calls itself %s in zone %s, but the configuration says %s in zone %s", s->s.url, h.name,
            h.zone, s->s.name[0] != '\0' ? s->s.name : h.name, s->s.zone[0] != '\0' ? s->s.zone : h.zone);
        return;
    }
    memcpy(s->s.name, h.name, sizeof s->s.name);
    memcpy(s->s.zone, h.zone, sizeof s->s.zone);
    s->s.incarnation = reply->head.server;
    s->disk = (struct hx_place_known){.total = h.disk_total, .free = h.disk_free};
    s->hello_ok = true;
}

static void lookup_answer(struct hx_create *c, struct candidate *s, const struct hx_ask_reply *reply)
{
    struct hx_lookup l = {0};
    struct hx_dec d = hx_dec_init(reply->body.p, reply->body.len);
    s->lookup_ok = true;
    if (reply->err == HX_E_NO_VOLUME)
        return;
    int err = hx_lookup_decode(&l, &d);
    if (err != 0 || l.geometry.pg_count == 0) {
        hx_geometry_fini(&l.geometry);
        if (err == HX_E_NOMEM)
            end(c, err, "out of memory");
        else
            end(c, HX_E_BADMSG, "%s: malformed answer", s->s.url);
        return;
    }
    s->knows = true;
    c->found_used |= l.top.v > 1 || l.promised.v > 1;
    bool first = hx_uuid_is_zero(&c->found.volume);
    c->found_two |= !first && !hx_uuid_eq(&c->found.volume, &l.geometry.volume);
    if (first || hx_geometry_compare(&l.geometry, &c->found) > 0) {
        hx_geometry_fini(&c->found);
        c->found = l.geometry;
    } else {
        hx_geometry_fini(&l.geometry);
    }
}

static void format_answer(struct hx_create *c, struct hx_ask_task *t, int err)
{
    const char *name = hx_ask_server(&c->ask, t->server)->name;
    enum hx_err_class class = err != 0 ? hx_err_info(err)->class : 0;
    if (err == 0) {
        c->made = hx_members_add(c->made, (unsigned)(t - c->format));
        if (c->made == HX_MEMBERS_ALL)
            end(c, 0, "made"); /* C2 */
    } else if (err == HX_E_EXISTS_VOLUME || err == HX_E_FENCED) {
        end(c, HX_E_EXISTS_VOLUME, "server %s has %s already: another creation or mount runs at the same time", name,
            c->geometry.name);
    } else if (class == HX_CLASS_REFUSED || class == HX_CLASS_USAGE || class == HX_CLASS_LIMIT) {
        end(c, err, "server %s: %s; %s is not usable until it has been created again", name, hx_err_text(err),
            c->geometry.name);
    } else {
        hx_ask_pause(&c->ask, t, t->server, HX_MSG_FORMAT);
    }
}

static void judge(struct hx_create *c, const struct hx_ask_reply *reply)
{
    struct hx_ask_task *t = reply->task;
    if (c->formatting) {
        format_answer(c, t, reply->err);
        return;
    }
    struct candidate *s = &c->c[t->server];
    if (reply->err == 0 && t == &s->hello) {
        hello_answer(c, s, reply);
    } else if (t == &s->lookup && (reply->err == 0 || reply->err == HX_E_NO_VOLUME)) {
        lookup_answer(c, s, reply);
    } else if (hx_err_info(reply->err)->class == HX_CLASS_REFUSED || reply->err == HX_E_VERSION) {
        end(c, reply->err, "%s: %s", s->s.url, hx_err_text(reply->err));
    } else {
        hx_ask_pause(&c->ask, t, t->server, t->msg);
    }
    check_asking(c);
}

static void set_time(struct hx_create *c, uint64_t now_ms)
{
    c->now_ms = now_ms > c->now_ms ? now_ms : c->now_ms;
}

void hx_create_answer(struct hx_create *c, uint64_t now_ms, uint64_t call, struct hx_bytes body)
{
    struct hx_ask_reply reply;
    set_time(c, now_ms);
    if (hx_ask_answer(&c->ask, now_ms, call, body, &reply))
        judge(c, &reply);
}

void hx_create_failed(struct hx_create *c, uint64_t now_ms, uint64_t call, int err)
{
    struct hx_ask_reply reply;
    set_time(c, now_ms);
    if (hx_ask_failed(&c->ask, now_ms, call, err, &reply))
        judge(c, &reply);
}

static void check_formatting(struct hx_create *c)
{
    unsigned slot = 0;
    if (c->state != HX_E_AGAIN || !c->formatting || c->now_ms - c->since_ms < HX_CREATE_PATIENCE_MS)
        return;
    while (hx_members_has(c->made, slot))
        slot++;
    int err = c->format[slot].last_err != 0 ? c->format[slot].last_err : HX_E_TIMEOUT;
    end(c, err, "server %s: %s; %s is not usable until it has been created again",
        c->geometry.servers[c->geometry.pgs[0].server[slot]].name, hx_err_text(err), c->geometry.name);
}

uint64_t hx_create_tick(struct hx_create *c, uint64_t now_ms)
{
    set_time(c, now_ms);
    uint64_t next = hx_ask_tick(&c->ask, now_ms);
    check_asking(c);
    check_formatting(c);
    return next < HX_ASK_IDLE_MS ? next : HX_ASK_IDLE_MS; /* grace and patience are whole seconds */
}

/* ---- requests ---- */

static int build_format(const struct hx_create *c, uint8_t **ret, size_t *ret_len)
{
    struct hx_history_entry first = {HX_EPOCH(1), HX_LSN(0), HX_LSN(0), c->geometry.lal};
    struct hx_history h = {0};
    int err = hx_history_push(&h, first);
    if (err != 0)
        return err;
    size_t len = hx_geometry_encoded_len(&c->geometry) + hx_history_encoded_len(&h);
    uint8_t *p = malloc(len);
    if (p != NULL) {
        struct hx_enc e = hx_enc_init(p, len);
        hx_geometry_encode(&c->geometry, &e);
        hx_history_encode(&h, &e);
        hx_assert(e.err == 0 && e.len == len);
    }
    hx_history_fini(&h);
    *ret = p;
    *ret_len = len;
    return p != NULL ? 0 : HX_E_NOMEM;
}

static int build(const struct hx_create *c, uint16_t msg, uint8_t **ret, size_t *ret_len)
{
    if (msg == HX_MSG_FORMAT)
        return build_format(c, ret, ret_len);
    if (msg == HX_MSG_HELLO)
        return 0;
    uint8_t *p = malloc(2 + sizeof c->geometry.name);
    if (p == NULL)
        return HX_E_NOMEM;
    struct hx_enc e = hx_enc_init(p, 2 + sizeof c->geometry.name);
    hx_enc_str(&e, c->geometry.name);
    *ret = p;
    *ret_len = e.len;
    return 0;
}

int hx_create_next(struct hx_create *c, struct hx_effect *ret)
{
    uint8_t *body = NULL;
    size_t len = 0;
    if (hx_ask_cancel_next(&c->ask, ret))
        return 1;
    struct hx_ask_task *t = c->state == HX_E_AGAIN ? hx_ask_pop(&c->ask) : NULL;
    if (t == NULL)
        return 0;
    struct hx_msg_head head = {0};
    if (t->msg == HX_MSG_FORMAT)
        head = (struct hx_msg_head){.volume = c->geometry.volume, .owner = c->owner, .epoch = HX_EPOCH(1),
                                    .g = c->geometry.g, .m = c->geometry.m};
    int err = build(c, t->msg, &body, &len);
    if (err == 0)
        err = hx_ask_send(&c->ask, t, &head, body, len, ret);
    if (err == 0)
        return 1;
    end(c, err, "out of memory");
    return hx_ask_cancel_next(&c->ask, ret);
}

/* ---- life ---- */

static int set_up(struct hx_create *c, const struct hx_create_cfg *cfg)
{
    size_t len = strlen(cfg->name);
    if (len > HX_NAME_MAX)
        return HX_E_INVAL;
    memcpy(c->geometry.name, cfg->name, len + 1);
    c->geometry.volume = cfg->volume;
    c->geometry.pg_bytes = cfg->pg_bytes != 0 ? cfg->pg_bytes : HX_PG_SIZE_DEFAULT;
    c->geometry.lal = cfg->lal != 0 ? cfg->lal : HX_LAL_DEFAULT;
    c->geometry.created_us = cfg->created_us;
    c->geometry.epoch = HX_EPOCH(1);
    if (c->geometry.lal < HX_LAL_MIN || c->geometry.lal > HX_LAL_MAX || hx_geometry_check(&c->geometry) != 0)
        return HX_E_INVAL;
    c->c = calloc((size_t)cfg->server_count + 1, sizeof *c->c);
    if (c->c == NULL || hx_ask_servers(&c->ask, cfg->servers, cfg->server_count) != 0 ||
        hx_ask_reserve(&c->ask, (size_t)cfg->server_count * 2) != 0)
        return HX_E_NOMEM;
    c->count = cfg->server_count;
    for (uint32_t i = 0; i < c->count; i++) {
        c->c[i].s = cfg->servers[i];
        struct hx_uuid zero = {{0}};
        hx_ask_set_incarnation(&c->ask, i, &zero); /* whoever answers there */
        hx_ask_queue(&c->ask, &c->c[i].hello, i, HX_MSG_HELLO);
        hx_ask_queue(&c->ask, &c->c[i].lookup, i, HX_MSG_LOOKUP);
    }
    return 0;
}

int hx_create_new(const struct hx_create_cfg *cfg, struct hx_create **ret)
{
    struct hx_create *c = calloc(1, sizeof *c);
    if (c == NULL)
        return HX_E_NOMEM;
    hx_ask_init(&c->ask, HX_PART_CREATE, cfg->now_ms);
    c->state = HX_E_AGAIN;
    c->now_ms = c->since_ms = cfg->now_ms;
    c->owner = cfg->owner;
    int err = set_up(c, cfg);
    if (err != 0) {
        hx_create_free(c);
        return err;
    }
    check_asking(c); /* no servers at all: says so */
    *ret = c;
    return 0;
}

void hx_create_free(struct hx_create *c)
{
    if (c == NULL)
        return;
    hx_ask_fini(&c->ask);
    hx_geometry_fini(&c->geometry);
    hx_geometry_fini(&c->found);
    free(c->c);
    free(c);
}

int hx_create_state(const struct hx_create *c)
{
    return c->state;
}

const char *hx_create_why(const struct hx_create *c)
{
    return c->why;
}

const struct hx_geometry *hx_create_geometry(const struct hx_create *c)
{
    return &c->geometry;
}
