/*
 * create.c - `hexad create VOLUME`: carries out what hx_create (hexad/recovery.h) decides.
 *
 * Decides nothing itself.  Killed in the middle it leaves segments without a volume that can be opened, or the whole
 * volume; the next create of that name finds out which.
 * Threads: one.  Memory: one struct post per request under way.
 */
#include "admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct post {
    struct post *next, **link;
    struct creation *c;
    uint64_t number;
    struct hx_call *call;
};
struct creation {
    struct hx_loop *loop;
    struct hx_client *client;
    struct hx_timer *timer;
    struct hx_create *create;
    struct post *posts;
};

static void step(struct creation *c);

static void post_free(struct post *p)
{
    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
    free(p);
}

static void answered(void *ctx, int err, struct hx_bytes body)
{
    struct post *p = ctx;
    struct creation *c = p->c;
    uint64_t now = hx_clock_mono_ms(), number = p->number;
    post_free(p);
    if (err)
        hx_create_failed(c->create, now, number, err);
    else
        hx_create_answer(c->create, now, number, body);
    step(c);
}

static void send_effect(struct creation *c, const struct hx_effect *e)
{
    struct post *p = malloc(sizeof *p);
    int err = HX_E_NOMEM;
    if (p) {
        *p = (struct post){.next = c->posts, .link = &c->posts, .c = c, .number = e->call};
        if (p->next)
            p->next->link = &p->next;
        c->posts = p;
        err = hx_client_post(c->client, e->server->url, e->server->name, e->iov, e->iovcnt, e->timeout_ms, answered, p,
                             &p->call);
        if (err)
            post_free(p);
    }
    if (err)
        hx_create_failed(c->create, hx_clock_mono_ms(), e->call, err);
}

static void cancel_effect(struct creation *c, uint64_t number)
{
    for (struct post *p = c->posts; p; p = p->next) {
        if (p->number != number)
            continue;
        hx_call_cancel(p->call);
        post_free(p);
        return;
    }
}

static void step(struct creation *c)
{
    struct hx_effect e;
    while (hx_create_next(c->create, &e) == 1) {
        if (e.kind == HX_EFFECT_SEND)
            send_effect(c, &e);
        else
            cancel_effect(c, e.call);
    }
    if (hx_create_state(c->create) != HX_E_AGAIN)
        hx_loop_stop(c->loop);
}

static void tick(void *ctx)
{
    struct creation *c = ctx;
    hx_timer_set(c->timer, hx_create_tick(c->create, hx_clock_mono_ms()));
    step(c);
}

static int run(struct creation *c, char why[HX_WHY_MAX])
{
    int err = hx_timer_new(c->loop, tick, c, &c->timer);
    if (err)
        return err;
    tick(c);
    if (hx_create_state(c->create) == HX_E_AGAIN)
        err = hx_loop_run(c->loop);
    if (!err)
        err = hx_create_state(c->create);
    if (err) {
        const char *text = hx_create_why(c->create);
        snprintf(why, HX_WHY_MAX, "%s", text ? text : "");
    }
    return err;
}

int admin_create_volume(const struct hx_client_conf *conf, const char *name, uint64_t pg_bytes,
                        struct hx_uuid *ret_volume, char why[HX_WHY_MAX])
{
    const struct hx_tls_cfg tls = {conf->ca, conf->cert, conf->key};
    struct creation c = {0};
    const struct hx_create_cfg cfg = {
        .name = name,
        .volume = hx_random_uuid(),
        .owner = hx_random_uuid(),
        .pg_bytes = pg_bytes,
        .created_us = hx_clock_wall_us(),
        .now_ms = hx_clock_mono_ms(),
        .servers = conf->servers,
        .server_count = conf->server_count,
    };
    why[0] = '\0';
    int err = hx_loop_new(&c.loop);
    if (!err)
        err = hx_client_new(c.loop, &tls, &c.client, why);
    if (!err)
        err = hx_create_new(&cfg, &c.create);
    if (!err)
        err = run(&c, why);
    if (!err)
        *ret_volume = hx_create_geometry(c.create)->volume;
    hx_client_free(c.client); /* first: requests borrow the creation's memory */
    while (c.posts)
        post_free(c.posts);
    hx_create_free(c.create);
    hx_timer_free(c.timer);
    hx_loop_free(c.loop);
    return err;
}

enum { OPT_PG_SIZE, OPT_SERVERS, OPT_CONFIG, OPT_JSON };
static const struct hx_opt opts[] = {
    [OPT_PG_SIZE] = {"pg-size", 0, "SIZE", "size of a protection group, from 1MiB (10GiB)"},
    [OPT_SERVERS] = {"servers", 0, "a1,a2,...", "only these of the configured servers"},
    [OPT_CONFIG] = {"config", 'c', "FILE", "configuration (see hexad(1), FILES)"},
    [OPT_JSON] = {"json", 0, NULL, "print one JSON document"},
    {NULL, 0, NULL, NULL},
};
static const char *const examples[] = {"hexad create vol0", "hexad create vol0 --pg-size 1GiB", NULL};
static const struct hx_args_spec spec = {
    .command = "hexad create",
    .usage = "VOLUME [options]",
    .examples = examples,
    .opts = opts,
    .notes = "Makes a volume on two servers of each of three zones.  It grows by itself.",
};

/* Keeps the servers of LIST (comma-separated), in the order of the configuration. */
static int keep_servers(struct hx_client_conf *conf, const char *list, char why[HX_WHY_MAX])
{
    uint32_t kept = 0, named = 0;
    for (const char *p = list; *p; p += *p == ',') {
        size_t n = strcspn(p, ",");
        bool found = false;
        for (uint32_t i = kept; i < conf->server_count && !found; i++) {
            if (strlen(conf->servers[i].name) != n || strncmp(conf->servers[i].name, p, n) != 0)
                continue;
            struct hx_server s = conf->servers[i];
            conf->servers[i] = conf->servers[kept];
            conf->servers[kept++] = s;
            found = true;
        }
        named++;
        if (!found) {
            snprintf(why, HX_WHY_MAX, "--servers: no server '%.*s' in %.120s", (int)n, p, conf->path);
            return HX_E_INVAL;
        }
        p += n;
    }
    conf->server_count = kept;
    return named ? 0 : HX_E_INVAL;
}

static int report(bool json, const char *name, const struct hx_uuid *volume, uint64_t pg_bytes)
{
    char hex[33], size[24];
    hx_uuid_format(volume, hex);
    if (json)
        admin_print(json_pack("{s:s, s:s, s:I}", "volume", name, "uuid", hex, "pg_bytes", (json_int_t)pg_bytes));
    else
        printf("hexad: volume %s made (%s), protection groups of %s; next: hexad mount %s DIR\n", name, hex,
               hx_format_size(pg_bytes, size, sizeof size), name);
    return HX_EXIT_OK;
}

struct line {
    const char *config, *servers;
    uint64_t pg_bytes;
    bool json;
};

static int run_verb(const struct line *l, const char *name)
{
    struct hx_client_conf conf;
    struct hx_uuid volume;
    char why[HX_WHY_MAX] = "", what[HX_NAME_MAX + 32];
    int code = admin_load(l->json, l->config, &conf);
    if (code)
        return code;
    snprintf(what, sizeof what, "cannot create %s", name);
    int err = l->servers ? keep_servers(&conf, l->servers, why) : 0;
    if (!err)
        err = admin_create_volume(&conf, name, l->pg_bytes, &volume, why);
    hx_client_conf_free(&conf);
    return err ? admin_fail(l->json, err, what, why, NULL) : report(l->json, name, &volume, l->pg_bytes);
}

int admin_create_main(int argc, char **argv)
{
    struct line l = {.pg_bytes = HX_PG_SIZE_DEFAULT};
    struct hx_args a;
    const char *value;
    int opt;
    hx_args_init(&a, &spec, argc, argv);
    while ((opt = hx_args_next(&a, &value)) >= 0) {
        if (opt == OPT_PG_SIZE) {
            if (hx_parse_size(value, &l.pg_bytes) < 0 || l.pg_bytes < HX_PG_SIZE_MIN || l.pg_bytes > HX_PG_SIZE_MAX ||
                l.pg_bytes % HX_PG_SIZE_MIN)
                return hx_args_complain(&spec, HX_E_INVAL, "--pg-size: whole MiB with unit, from 1MiB to 1TiB");
        } else if (opt == OPT_SERVERS) {
            l.servers = value;
        } else if (opt == OPT_CONFIG) {
            l.config = value;
        } else {
            l.json = true;
        }
    }
    if (opt == HX_ARGS_HELP)
        return HX_EXIT_OK;
    if (opt == HX_ARGS_ERROR)
        return HX_EXIT_USAGE;
    int first = hx_args_operands(&a);
    if (argc - first != 1)
        return hx_args_complain(&spec, HX_E_INVAL, "one name of a volume is needed");
    if (!hx_name_ok(argv[first]))
        return hx_args_complain(&spec, HX_E_INVAL, "a volume's name has 1 to 63 of: letters, digits, '.', '_', '-'");
    return run_verb(&l, argv[first]);
}
