/*
 * conf_segmentd.c - segmentd.conf: one segment server.  Rules: hexad/conf.h.
 *
 * Does not open the data directory, the certificates or a socket.
 * Threads: one.  Memory: the conf owns everything; on failure nothing is kept.
 */
#include "hexad/conf.h"
#include "ini.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PATH "/etc/hexad/segmentd.conf"

static const struct hx_ini_key keys[] = {
    {"server", "name", false},   {"server", "zone", false},   {"server", "listen", false},
    {"server", "data", true},    {"tls", "ca", true},         {"tls", "cert", true},
    {"tls", "key", true},        {"limits", "connections", false}, {"limits", "idle", false},
    {"limits", "files", false},  {"limits", "gossip", false}, {"limits", "log-file", false},
    {"limits", "scrub-cycle", false}, {"limits", "scrub-rate", false}, {"limits", "repair-rate", false},
};

void hx_segmentd_conf_free(struct hx_segmentd_conf *c)
{
    char **owned[] = {&c->path, &c->name, &c->zone, &c->listen, &c->data, &c->ca, &c->cert, &c->key};
    for (size_t i = 0; i < HX_ARRAY_LEN(owned); i++)
        free(*owned[i]);
    memset(c, 0, sizeof *c);
}

#define DAY_MS 86400000u

enum unit { COUNT, TIME, SIZE };
struct limit {
    const char *key;
    enum unit unit;
    uint32_t *field;
    uint64_t min, max, preset;
};

static int take_limit(struct hx_ini *ini, const struct limit *l, char why[HX_WHY_MAX])
{
    const struct hx_ini_pair *p = hx_ini_find(ini, "limits", l->key);
    static const char *const form[] = {"a whole number", "a time with unit, as 250ms or 2s",
                                       "a size with unit, as 64MiB"};
    uint64_t v = l->preset;
    int err = 0;
    if (p && l->unit == COUNT)
        err = hx_parse_u64(p->value, UINT64_MAX, &v);
    else if (p && l->unit == TIME)
        err = hx_parse_time(p->value, &v);
    else if (p)
        err = hx_parse_size(p->value, &v);
    if (err && err != HX_E_TOOBIG) {
        snprintf(why, HX_WHY_MAX, "%.130s: %s = '%.30s': write %s", p->where, l->key, p->value, form[l->unit]);
        return HX_E_CONFIG;
    }
    if (err || (p && (v < l->min || v > l->max))) {
        snprintf(why, HX_WHY_MAX, "%.130s: %s = '%.30s': from %llu to %llu%s", p->where, l->key, p->value,
                 (unsigned long long)l->min, (unsigned long long)l->max,
                 l->unit == TIME ? " ms" : l->unit == SIZE ? " B" : "");
        return HX_E_CONFIG;
    }
    *l->field = (uint32_t)v;
    return 0;
}

static int take_limits(struct hx_segmentd_conf *c, struct hx_ini *ini, char why[HX_WHY_MAX])
{
    uint32_t cycle_ms = 0;
    const struct limit limits[] = {
        {"connections", COUNT, &c->connections_max, 8, 100000, 1024},
        {"files", COUNT, &c->files_max, 16, 1000000, 256},
        {"idle", TIME, &c->idle_ms, 1000, 86400000, 120000},
        {"gossip", TIME, &c->gossip_ms, 10, 600000, 500},
        {"log-file", SIZE, &c->log_file_bytes, 1u << 20, 1u << 30, 0},
        {"scrub-cycle", TIME, &cycle_ms, 0, DAY_MS * 49, DAY_MS * 14},
        {"scrub-rate", SIZE, &c->scrub_bytes_per_s, 64u << 10, 1u << 30, 16u << 20},
        {"repair-rate", SIZE, &c->repair_bytes_per_s, 64u << 10, UINT32_MAX, 64u << 20},
    };
    int err = 0;
    for (size_t i = 0; i < HX_ARRAY_LEN(limits) && !err; i++)
        err = take_limit(ini, &limits[i], why);
    c->scrub_cycle_s = cycle_ms / 1000 + (cycle_ms % 1000 != 0);
    return err;
}

static int put_over(struct hx_ini *ini, const struct hx_segmentd_override *over)
{
    const struct {
        const char *section, *key, *value;
    } all[] = {
        {"server", "name", over->name}, {"server", "zone", over->zone}, {"server", "listen", over->listen},
        {"server", "data", over->data}, {"tls", "ca", over->ca},        {"tls", "cert", over->cert},
        {"tls", "key", over->key},
    };
    int err = 0;
    for (size_t i = 0; i < HX_ARRAY_LEN(all) && !err; i++) {
        char where[32];
        snprintf(where, sizeof where, "--%s", all[i].key);
        if (all[i].value)
            err = hx_ini_set(ini, all[i].section, all[i].key, all[i].value, where);
    }
    return err;
}

static int take_needed(struct hx_segmentd_conf *c, struct hx_ini *ini, char why[HX_WHY_MAX])
{
    const struct {
        const char *section, *key;
        char **field;
    } all[] = {
        {"server", "name", &c->name},     {"server", "zone", &c->zone}, {"server", "listen", &c->listen},
        {"server", "data", &c->data},     {"tls", "ca", &c->ca},        {"tls", "cert", &c->cert},
        {"tls", "key", &c->key},
    };
    for (size_t i = 0; i < HX_ARRAY_LEN(all); i++) {
        *all[i].field = hx_ini_take(ini, all[i].section, all[i].key);
        if (*all[i].field)
            continue;
        snprintf(why, HX_WHY_MAX, "%.180s: '%s' is missing in [%s]", c->path, all[i].key, all[i].section);
        return HX_E_CONFIG;
    }
    return 0;
}

static int check(const struct hx_segmentd_conf *c, char why[HX_WHY_MAX])
{
    const char *colon = strrchr(c->listen, ':');
    uint64_t port;
    if (!hx_name_ok(c->name) || !hx_name_ok(c->zone)) {
        snprintf(why, HX_WHY_MAX, "%.120s: '%.60s' is not a name: letters, digits, '.', '_', '-'", c->path,
                 hx_name_ok(c->name) ? c->zone : c->name);
        return HX_E_CONFIG;
    }
    if (!colon || colon == c->listen || hx_parse_u64(colon + 1, 65535, &port) < 0) {
        snprintf(why, HX_WHY_MAX, "%.120s: listen = '%.60s': write HOST:PORT", c->path, c->listen);
        return HX_E_CONFIG;
    }
    return 0;
}

static int fill(struct hx_segmentd_conf *c, struct hx_ini *ini, const struct hx_segmentd_override *over,
                char why[HX_WHY_MAX])
{
    int err = hx_ini_environment(ini, why);
    if (!err && over)
        err = put_over(ini, over);
    if (!err)
        err = take_limits(c, ini, why);
    if (!err)
        err = take_needed(c, ini, why);
    return err ? err : check(c, why);
}

int hx_segmentd_conf_load(const char *path, const struct hx_segmentd_override *over, struct hx_segmentd_conf *conf,
                          char why[HX_WHY_MAX])
{
    const char *env = getenv("HEXAD_SEGMENTD_CONFIG");
    bool required = path || (env && *env);
    struct hx_ini ini;
    memset(conf, 0, sizeof *conf);
    why[0] = '\0';
    conf->path = strdup(path ? path : required ? env : DEFAULT_PATH);
    if (!conf->path)
        return HX_E_NOMEM;
    hx_ini_init(&ini, keys, HX_ARRAY_LEN(keys));
    int err = hx_ini_load(&ini, conf->path, why);
    if (!err) {
        err = fill(conf, &ini, over, why);
    } else if (err == HX_E_NOENT && !required) {
        char other[HX_WHY_MAX];
        if (fill(conf, &ini, over, other) == 0) /* everything is on the command line */
            err = 0;
    }
    hx_ini_fini(&ini);
    if (err)
        hx_segmentd_conf_free(conf);
    return err;
}
