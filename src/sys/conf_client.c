/*
 * conf_client.c - hexad.conf: where the segment servers are, and the client's certificate.
 *
 * Does not open the certificates (net does) and does not connect.  Rules: hexad/conf.h.
 * Threads: one.  Memory: the conf owns everything; on failure nothing is kept.
 */
#include "hexad/conf.h"
#include "ini.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct hx_ini_key keys[] = {
    {"tls", "ca", true}, {"tls", "cert", true}, {"tls", "key", true}, {"servers", "*", false},
};

void hx_client_conf_free(struct hx_client_conf *conf)
{
    free(conf->path);
    free(conf->ca);
    free(conf->cert);
    free(conf->key);
    free(conf->servers);
    memset(conf, 0, sizeof *conf);
}

/* https://HOST:PORT, nothing behind the port. */
static bool url_ok(const char *url)
{
    uint64_t port;
    if (strncmp(url, "https://", 8) != 0 || strlen(url) > HX_URL_MAX)
        return false;
    const char *host = url + 8, *colon = strrchr(host, ':');
    if (!colon || colon == host || strpbrk(host, "/?#@ "))
        return false;
    return hx_parse_u64(colon + 1, 65535, &port) == 0 && port > 0;
}

/* "az-a https://127.0.0.1:9621" */
static int parse_server(const char *name, const char *value, struct hx_server *s, const char *where,
                        char why[HX_WHY_MAX])
{
    size_t zone = strcspn(value, " \t");
    const char *url = value + zone + strspn(value + zone, " \t");
    memset(s, 0, sizeof *s);
    snprintf(s->name, sizeof s->name, "%s", name);
    snprintf(s->zone, sizeof s->zone, "%.*s", zone < sizeof s->zone ? (int)zone : 0, value);
    snprintf(s->url, sizeof s->url, "%s", url);
    if (!hx_name_ok(s->name) || !hx_name_ok(s->zone)) {
        snprintf(why, HX_WHY_MAX, "%.100s: server '%.60s': write  NAME = ZONE https://HOST:PORT", where, name);
        return HX_E_CONFIG;
    }
    if (!url_ok(url)) {
        snprintf(why, HX_WHY_MAX, "%.100s: server '%.60s': '%.40s' is not https://HOST:PORT", where, name, url);
        return HX_E_CONFIG;
    }
    return 0;
}

static int add_server(struct hx_client_conf *conf, const struct hx_server *s, const char *where,
                      char why[HX_WHY_MAX])
{
    for (uint32_t i = 0; i < conf->server_count; i++) {
        bool name = strcmp(conf->servers[i].name, s->name) == 0;
        if (!name && strcmp(conf->servers[i].url, s->url) != 0)
            continue;
        snprintf(why, HX_WHY_MAX, "%.90s: %s and %s have the same %s", where, conf->servers[i].name, s->name,
                 name ? "name" : "address");
        return HX_E_CONFIG;
    }
    if (conf->server_count == HX_SERVERS_MAX) {
        snprintf(why, HX_WHY_MAX, "%.120s: more than %u servers", where, HX_SERVERS_MAX);
        return HX_E_CONFIG;
    }
    struct hx_server *p = reallocarray(conf->servers, conf->server_count + 1, sizeof *p);
    if (!p)
        return HX_E_NOMEM;
    conf->servers = p;
    conf->servers[conf->server_count++] = *s;
    return 0;
}

/* HEXAD_SERVERS="a1 az-a https://h:9621, a2 ..." replaces the list of the files. */
static int servers_of_environment(struct hx_client_conf *conf, const char *text, char why[HX_WHY_MAX])
{
    char *copy = strdup(text), *rest = copy, *item;
    int err = copy ? 0 : HX_E_NOMEM;
    while (!err && (item = strsep(&rest, ",")) != NULL) {
        struct hx_server s;
        item += strspn(item, " \t");
        size_t n = strcspn(item, " \t");
        if (n == 0)
            continue;
        char *value = item + n;
        if (*value)
            *value++ = '\0';
        value += strspn(value, " \t");
        for (size_t k = strlen(value); k > 0 && (value[k - 1] == ' ' || value[k - 1] == '\t'); k--)
            value[k - 1] = '\0';
        err = parse_server(item, value, &s, "HEXAD_SERVERS", why);
        if (!err)
            err = add_server(conf, &s, "HEXAD_SERVERS", why);
    }
    free(copy);
    return err;
}

static int servers_of_files(struct hx_client_conf *conf, const struct hx_ini *ini, char why[HX_WHY_MAX])
{
    int err = 0;
    for (size_t i = 0; i < ini->count && !err; i++) {
        const struct hx_ini_pair *p = &ini->pairs[i];
        struct hx_server s;
        if (strcmp(p->section, "servers") != 0)
            continue;
        err = parse_server(p->key, p->value, &s, p->where, why);
        if (!err)
            err = add_server(conf, &s, p->where, why);
    }
    return err;
}

static int need(char **field, struct hx_ini *ini, const char *key, const char *path, char why[HX_WHY_MAX])
{
    *field = hx_ini_take(ini, "tls", key);
    if (*field)
        return 0;
    snprintf(why, HX_WHY_MAX, "%.200s: '%s' is missing in [tls]", path, key);
    return HX_E_CONFIG;
}

/* The file to read when none is given. */
static char *default_path(bool *ret_required)
{
    const char *env = getenv("HEXAD_CONFIG"), *home = getenv("HOME"), *xdg = getenv("XDG_CONFIG_HOME");
    char *path = NULL;
    *ret_required = env && *env;
    if (env && *env)
        return strdup(env);
    if (geteuid() != 0 && ((xdg && *xdg == '/') || (home && *home == '/'))) {
        int n = xdg && *xdg == '/' ? asprintf(&path, "%s/hexad/hexad.conf", xdg)
                                   : asprintf(&path, "%s/.config/hexad/hexad.conf", home);
        if (n < 0)
            return NULL;
        if (access(path, F_OK) == 0)
            return path;
        free(path);
    }
    return strdup("/etc/hexad/hexad.conf");
}

static int fill(struct hx_client_conf *conf, struct hx_ini *ini, char why[HX_WHY_MAX])
{
    const char *env = getenv("HEXAD_SERVERS");
    int err = hx_ini_environment(ini, why);
    if (!err)
        err = need(&conf->ca, ini, "ca", conf->path, why);
    if (!err)
        err = need(&conf->cert, ini, "cert", conf->path, why);
    if (!err)
        err = need(&conf->key, ini, "key", conf->path, why);
    if (!err)
        err = env && *env ? servers_of_environment(conf, env, why) : servers_of_files(conf, ini, why);
    if (!err && conf->server_count == 0) {
        snprintf(why, HX_WHY_MAX, "%.200s: no server in [servers]", conf->path);
        err = HX_E_CONFIG;
    }
    return err;
}

int hx_client_conf_load(const char *path, struct hx_client_conf *conf, char why[HX_WHY_MAX])
{
    struct hx_ini ini;
    bool required = true;
    memset(conf, 0, sizeof *conf);
    why[0] = '\0';
    conf->path = path ? strdup(path) : default_path(&required);
    if (!conf->path)
        return HX_E_NOMEM;
    hx_ini_init(&ini, keys, HX_ARRAY_LEN(keys));
    int err = hx_ini_load(&ini, conf->path, why);
    if (!err) {
        err = fill(conf, &ini, why);
    } else if (err == HX_E_NOENT && !required) {
        char other[HX_WHY_MAX];
        if (fill(conf, &ini, other) == 0) /* the environment says everything */
            err = 0;
    }
    hx_ini_fini(&ini);
    if (err)
        hx_client_conf_free(conf);
    return err;
}
