/*
 * status.c - `hexad status VOLUME`: asks all servers at once, in rounds, and shows what they say.
 *
 *   1 LOOKUP and HELLO at every configured server: the volume's geometry, epoch and writer; who answers.  Where only
 *     slices of the geometry were found, or few of PG 0's members: LOOKUP at those, too.
 *   2 STATUS at every server of the geometry that has answered, or is not in the configuration.
 * All rounds together take at most the time limit.  Needs no mount, and does not disturb one.
 * Judging is in status_judge.c, words and JSON in status_show.c.
 */
#include "status.h"

#include "hexad/quorum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_MS 3000u

enum { OPT_CONFIG, OPT_JSON };
static const struct hx_opt opts[] = {
    [OPT_CONFIG] = {"config", 'c', "FILE", "configuration (see hexad(1), FILES)"},
    [OPT_JSON] = {"json", 0, NULL, "print one JSON document"},
    {NULL, 0, NULL, NULL},
};
static const char *const examples[] = {"hexad status vol0", "hexad status vol0 --json", NULL};
static const struct hx_args_spec spec = {
    .command = "hexad status",
    .usage = "VOLUME [options]",
    .examples = examples,
    .opts = opts,
    .notes = "exit codes: 0 ok, 3 degraded, 4 no write quorum, 5 no read quorum or unreachable",
};

/* ---- round 1 ---- */

static void ask_first(const struct hx_client_conf *conf, const struct hx_bytes *name, struct admin_ask *asks)
{
    for (uint32_t i = 0; i < conf->server_count; i++) {
        asks[2 * i] = (struct admin_ask){.server = &conf->servers[i], .type = HX_MSG_LOOKUP, .body = *name};
        asks[2 * i + 1] = (struct admin_ask){.server = &conf->servers[i], .type = HX_MSG_HELLO};
    }
}

/* Nobody knows the volume: because there is none, or because too few can be asked? */
static int nobody_knows(const struct hx_client_conf *conf, const struct admin_ask *asks, char why[HX_WHY_MAX])
{
    uint32_t denials = 0, refusals = 0;
    size_t n = 0;
    why[0] = '\0';
    for (uint32_t i = 0; i < conf->server_count; i++) {
        const struct admin_ask *a = &asks[2 * i];
        denials += a->err == HX_E_NO_VOLUME;
        refusals += a->err == HX_E_TLS || a->err == HX_E_ROLE;
        if (a->err && a->err != HX_E_NO_VOLUME && n < HX_WHY_MAX - 1)
            n += (size_t)snprintf(why + n, HX_WHY_MAX - n, "%s%s: %s", n ? "; " : "", a->server->name, a->why);
    }
    if (denials > conf->server_count - denials || denials >= HX_READ_QUORUM)
        return HX_E_NO_VOLUME;
    return refusals == conf->server_count ? HX_E_TLS : HX_E_NO_READ_QUORUM;
}

/* LOOKUP's answers, which stand STRIDE apart. */
static int take_lookups(struct status *s, struct admin_ask *asks, uint32_t count, unsigned stride)
{
    for (uint32_t i = 0; i < count; i++) {
        struct admin_ask *a = &asks[(size_t)stride * i];
        uint8_t *whole;
        if (a->err)
            continue;
        /* hx_lookup_sum_add wants the answer with its head. */
        whole = malloc(HX_REPLY_HEAD + a->answer_len);
        if (!whole)
            return HX_E_NOMEM;
        struct hx_bytes body = {a->answer, a->answer_len};
        hx_reply_head_encode(&a->head, &body, 1, whole);
        memcpy(whole + HX_REPLY_HEAD, a->answer, a->answer_len);
        int err = hx_lookup_sum_add(&s->sum, (struct hx_bytes){whole, HX_REPLY_HEAD + a->answer_len});
        free(whole);
        if (err == HX_E_NOMEM)
            return err;
        if (err) {
            a->err = err;
            snprintf(a->why, sizeof a->why, "%s", hx_err_text(err));
        }
    }
    return 0;
}

/* PG 0's members that nobody has asked yet: they have what the configured servers lack. */
static int follow_way(const struct hx_client_conf *conf, struct status *s, const struct hx_bytes *name,
                      char why[HX_WHY_MAX])
{
    struct admin_ask asks[HX_COPIES];
    struct hx_server server[HX_COPIES];
    const struct hx_server *m;
    uint32_t n = 0;
    if (hx_lookup_sum_enough(&s->sum))
        return 0;
    for (unsigned slot = 0; (m = hx_lookup_sum_way(&s->sum, &slot)) != NULL;) {
        uint32_t k = 0;
        while (k < conf->server_count && strcmp(conf->servers[k].url, m->url) != 0)
            k++;
        if (k < conf->server_count)
            continue;
        server[n] = *m; /* its place in the sum may go */
        asks[n] = (struct admin_ask){.server = &server[n], .type = HX_MSG_LOOKUP, .body = *name};
        n++;
    }
    int err = n ? admin_ask_all(conf, asks, n, LIMIT_MS / 4, why) : 0;
    if (!err)
        err = take_lookups(s, asks, n, 1);
    admin_ask_fini(asks, n);
    if (!err && s->sum.geometry.slice) {
        snprintf(why, HX_WHY_MAX, "none of the six servers that know all of the volume answers");
        err = HX_E_NO_READ_QUORUM;
    }
    return err;
}

static void take_hello(struct server_view *v, const struct admin_ask *a)
{
    v->err = a->err;
    v->us = a->us;
    snprintf(v->why, sizeof v->why, "%s", a->err ? a->why : "");
    if (a->err)
        return;
    struct hx_dec dec = hx_dec_init(a->answer, a->answer_len);
    v->has_hello = hx_hello_decode(&v->hello, &dec) == 0;
    v->stranger = !hx_uuid_eq(&a->head.server, &v->server.incarnation);
}

/* ---- round 2 ---- */

static int take_status(struct status *s, uint32_t server, const struct admin_ask *a)
{
    struct hx_dec dec = hx_dec_init(a->answer, a->answer_len);
    struct hx_segment_status *st = malloc(sizeof *st);
    if (!st)
        return HX_E_NOMEM;
    uint32_t n = hx_dec_u32(&dec);
    for (size_t i = 0; i < s->seg_count; i++)
        s->segs[i].gone |= s->segs[i].server == server;
    for (uint32_t i = 0; i < n && !dec.err; i++) {
        hx_segment_status_decode(st, &dec);
        if (dec.err || st->pg >= s->sum.geometry.pg_count || !hx_uuid_eq(&st->volume, &s->sum.geometry.volume))
            continue;
        for (unsigned slot = 0; slot < HX_COPIES; slot++) {
            struct seg_view *v = &s->segs[(size_t)st->pg * HX_COPIES + slot];
            if (v->server != server || v->out)
                continue;
            v->known = true;
            v->gone = st->state == HX_E_NO_SEGMENT;
            v->st = *st;
        }
    }
    free(st);
    return dec.err;
}

int status_ask(const struct hx_client_conf *conf, struct status *s, enum hx_msg_type type, uint32_t limit_ms,
               char why[HX_WHY_MAX])
{
    uint32_t n = 0, count = s->sum.geometry.server_count;
    struct admin_ask *asks = calloc(count + 1, sizeof *asks);
    uint32_t *which = calloc(count + 1, sizeof *which);
    int err = asks && which ? 0 : HX_E_NOMEM;
    struct hx_server *plain = calloc(count + 1, sizeof *plain); /* without incarnation: strangers answer, too */
    if (!plain)
        err = HX_E_NOMEM;
    for (uint32_t i = 0; i < count && !err; i++) {
        if (s->servers[i].err && s->servers[i].err != HX_E_AGAIN)
            continue;
        plain[i] = s->servers[i].server;
        if (type == HX_MSG_STATUS)
            memset(&plain[i].incarnation, 0, sizeof plain[i].incarnation);
        which[n] = i;
        asks[n++] = (struct admin_ask){.server = &plain[i], .type = type, .volume = s->sum.geometry.volume};
    }
    if (!err)
        err = admin_ask_all(conf, asks, n, limit_ms, why);
    for (uint32_t k = 0; k < n && !err; k++) {
        struct server_view *v = &s->servers[which[k]];
        bool answered = asks[k].err == 0;
        v->took = answered;
        if (v->err == HX_E_AGAIN || asks[k].err == HX_E_TIMEOUT || asks[k].err == HX_E_CONNECT) {
            v->err = asks[k].err;
            v->us = asks[k].us;
            snprintf(v->why, sizeof v->why, "%s", asks[k].err ? asks[k].why : "");
        }
        if (answered) {
            v->stranger = !hx_uuid_eq(&asks[k].head.server, &v->server.incarnation);
            if (take_status(s, which[k], &asks[k]) == HX_E_NOMEM)
                err = HX_E_NOMEM;
        }
    }
    admin_ask_fini(asks, n);
    free(asks);
    free(which);
    free(plain);
    return err;
}

/* ---- together ---- */

static int prepare(struct status *s, const struct hx_client_conf *conf, const struct admin_ask *asks)
{
    struct hx_geometry *g = &s->sum.geometry;
    g->pg_count = hx_geometry_live(g); /* released groups are the last ones, and have no segments to look for */
    s->servers = calloc(g->server_count + 1, sizeof *s->servers);
    s->seg_count = (size_t)g->pg_count * HX_COPIES;
    s->segs = calloc(s->seg_count + 1, sizeof *s->segs);
    if (!s->servers || !s->segs)
        return HX_E_NOMEM;
    for (uint32_t i = 0; i < g->server_count; i++) {
        struct server_view *v = &s->servers[i];
        v->server = g->servers[i];
        v->err = HX_E_AGAIN; /* not asked yet */
        for (uint32_t k = 0; k < conf->server_count; k++) {
            if (strcmp(conf->servers[k].name, v->server.name) != 0 || v->server.state == HX_SERVER_GONE)
                continue;
            memcpy(v->server.url, conf->servers[k].url, sizeof v->server.url);
            take_hello(v, &asks[2 * k + 1]);
        }
    }
    for (size_t i = 0; i < s->seg_count; i++) {
        s->segs[i].pg = (uint32_t)(i / HX_COPIES);
        s->segs[i].server = g->pgs[s->segs[i].pg].server[i % HX_COPIES];
        s->segs[i].out = !hx_members_has(hx_row_slots(&g->pgs[s->segs[i].pg]), (unsigned)(i % HX_COPIES));
        s->segs[i].gone = s->segs[i].out;
    }
    return 0;
}

int status_collect(const struct hx_client_conf *conf, struct status *s, char why[HX_WHY_MAX])
{
    uint64_t start = hx_clock_mono_ms();
    uint8_t name[HX_NAME_MAX + 8];
    struct hx_enc e = hx_enc_init(name, sizeof name);
    hx_enc_str(&e, s->volume);
    const struct hx_bytes body = {name, e.len};
    struct admin_ask *asks = calloc(2 * (size_t)conf->server_count, sizeof *asks);
    int err = asks ? 0 : HX_E_NOMEM;
    if (!err) {
        ask_first(conf, &body, asks);
        err = admin_ask_all(conf, asks, 2 * (size_t)conf->server_count, LIMIT_MS / 2, why);
    }
    if (!err)
        err = take_lookups(s, asks, conf->server_count, 2);
    if (!err && !s->sum.found)
        err = nobody_knows(conf, asks, why);
    if (!err)
        err = follow_way(conf, s, &body, why);
    if (!err)
        err = prepare(s, conf, asks);
    if (asks)
        admin_ask_fini(asks, 2 * (size_t)conf->server_count);
    free(asks);
    uint64_t spent = hx_clock_mono_ms() - start;
    if (!err)
        err = status_ask(conf, s, HX_MSG_STATUS, spent + 500 < LIMIT_MS ? (uint32_t)(LIMIT_MS - spent) : 500, why);
    return err;
}

void status_fini(struct status *s)
{
    hx_lookup_sum_fini(&s->sum);
    json_decref(s->writer);
    free(s->servers);
    free(s->segs);
    free(s->zones);
}

static int run(const char *volume, const char *config, bool json)
{
    struct status s = {.volume = volume};
    struct hx_client_conf conf;
    char why[HX_WHY_MAX] = "", what[HX_NAME_MAX + 32];
    int code = admin_load(json, config, &conf);
    if (code)
        return code;
    int err = status_collect(&conf, &s, why);
    snprintf(what, sizeof what, "status of %s", volume);
    if (err) {
        code = admin_fail(json, err, what, why,
                          err == HX_E_NO_READ_QUORUM ? "start the segment servers named here" : NULL);
    } else {
        status_judge(&s);
        err = status_judge_zones(&s);
        if (err)
            code = admin_fail(json, err, what, NULL, NULL);
        else if (json)
            status_show_json(&s);
        else
            status_show_text(&s);
        code = err ? code : hx_exit_code(s.err);
    }
    hx_client_conf_free(&conf);
    status_fini(&s);
    return code;
}

int admin_status_main(int argc, char **argv)
{
    struct hx_args a;
    const char *value, *config = NULL;
    bool json = false;
    int opt;
    hx_args_init(&a, &spec, argc, argv);
    while ((opt = hx_args_next(&a, &value)) >= 0) {
        if (opt == OPT_CONFIG)
            config = value;
        else
            json = true;
    }
    if (opt != HX_ARGS_END)
        return opt == HX_ARGS_HELP ? HX_EXIT_OK : HX_EXIT_USAGE;
    int first = hx_args_operands(&a);
    if (argc - first != 1 || !hx_name_ok(argv[first]))
        return hx_args_complain(&spec, HX_E_INVAL, "one name of a volume is needed");
    return run(argv[first], config, json);
}
