/*
 * cert.c - `hexad cert`: certificates for everybody, made by the network layer (libcrypto).
 */
#include "admin.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_OUT, OPT_CA, OPT_HOSTS, OPT_ROLE, OPT_DAYS, OPT_JSON };
static const struct hx_opt opts[] = {
    [OPT_OUT] = {"out", 'o', "PREFIX", "writes PREFIX.crt and PREFIX.key (default: the name)"},
    [OPT_CA] = {"ca", 0, "PREFIX", "the authority's PREFIX.crt and PREFIX.key (ca)"},
    [OPT_HOSTS] = {"hosts", 0, "LIST", "server: DNS names and addresses, by comma (localhost)"},
    [OPT_ROLE] = {"role", 0, "ROLE", "client: writer, reader or admin (writer)"},
    [OPT_DAYS] = {"days", 0, "N", "validity (CA 3650, others 397)"},
    [OPT_JSON] = {"json", 0, NULL, "print one JSON document"},
    {NULL, 0, NULL, NULL},
};
static const char *const examples[] = {
    "hexad cert create-ca",
    "hexad cert create-server a1 --hosts a1.example.org,192.0.2.7",
    "hexad cert create-client lap-3",
    "hexad cert show a1.crt",
    "hexad cert renew a1.crt",
    NULL,
};
static const struct hx_args_spec spec = {
    .command = "hexad cert",
    .usage = "create-ca | create-server NAME | create-client NAME | renew FILE | show FILE  [options]",
    .examples = examples,
    .opts = opts,
    .notes = "Keep ca.key away from the servers.  No file is ever overwritten, but by renew: FILE gets a new "
             "certificate\n"
             "for the same key, identity and hosts.  Servers and mounts take it within seconds.",
};

struct line {
    const char *out, *ca, *hosts;
    enum hx_role role;
    int days;
    bool json;
};

/* Rows are "key   value"; "names" goes on in rows without a key. */
static json_t *show_json(char *text)
{
    json_t *doc = json_object(), *names = json_array();
    bool in_names = false;
    for (char *rest = text, *row; (row = strsep(&rest, "\n")) != NULL;) {
        char *gap = strstr(row, "  ");
        if (!gap)
            continue;
        json_t *value = json_string(gap + strspn(gap, " "));
        *gap = '\0';
        for (char *p = row; *p; p++)
            *p = *p == ' ' ? '_' : *p;
        in_names = *row ? strcmp(row, "names") == 0 : in_names;
        if (in_names)
            json_array_append_new(names, value);
        else
            json_object_set_new(doc, row, value);
    }
    json_object_set_new(doc, "names", names);
    return doc;
}

static int show(const struct line *l, const char *file)
{
    char text[4096];
    int err = hx_cert_show(file, text, sizeof text);
    if (err)
        return admin_fail(l->json, err, "cannot show the certificate", file, NULL);
    if (!l->json) {
        fputs(text, stdout);
        return HX_EXIT_OK;
    }
    admin_print(show_json(text));
    return HX_EXIT_OK;
}

static int made(const struct line *l, const char *out)
{
    char crt[PATH_MAX], key[PATH_MAX];
    snprintf(crt, sizeof crt, "%s.crt", out);
    snprintf(key, sizeof key, "%s.key", out);
    if (l->json)
        admin_print(json_pack("{s:s, s:s}", "cert", crt, "key", key));
    else
        printf("hexad: wrote %s and %s\n", crt, key);
    return HX_EXIT_OK;
}

static int create_ca(const struct line *l, const char *name)
{
    char why[HX_WHY_MAX] = "";
    const char *out = l->out ? l->out : "ca";
    int err = hx_cert_create_ca(out, name ? name : "hexad CA", l->days ? l->days : 3650, why);
    if (err)
        return admin_fail(l->json, err, "cannot make the authority", why,
                          err == HX_E_EXIST ? "choose another name: --out PREFIX" : NULL);
    return made(l, out);
}

static int create(const struct line *l, enum hx_role role, const char *name)
{
    char crt[PATH_MAX], key[PATH_MAX], why[HX_WHY_MAX] = "";
    const char *ca = l->ca ? l->ca : "ca", *out = l->out ? l->out : name;
    const char *hosts = role == HX_ROLE_SEGMENT ? (l->hosts ? l->hosts : "localhost,127.0.0.1,::1") : l->hosts;
    snprintf(crt, sizeof crt, "%s.crt", ca);
    snprintf(key, sizeof key, "%s.key", ca);
    int err = hx_cert_create(crt, key, out, role, name, hosts, l->days ? l->days : 397, why);
    if (err)
        return admin_fail(l->json, err, "cannot make the certificate", why,
                          err == HX_E_NOENT   ? "make the authority first: hexad cert create-ca; or say --ca PREFIX"
                          : err == HX_E_EXIST ? "choose another name: --out PREFIX"
                                              : NULL);
    return made(l, out);
}

static int renew(const struct line *l, const char *file)
{
    char crt[PATH_MAX], key[PATH_MAX], why[HX_WHY_MAX] = "";
    const char *ca = l->ca ? l->ca : "ca";
    snprintf(crt, sizeof crt, "%s.crt", ca);
    snprintf(key, sizeof key, "%s.key", ca);
    int err = hx_cert_renew(crt, key, file, l->days ? l->days : 397, why);
    if (err)
        return admin_fail(l->json, err, "cannot renew the certificate", why,
                          err == HX_E_NOENT ? "name the certificate's file, and the authority: --ca PREFIX" : NULL);
    if (l->json)
        admin_print(json_pack("{s:s}", "cert", file));
    else
        printf("hexad: renewed %s\n", file);
    return HX_EXIT_OK;
}

static int run(const struct line *l, const char *what, const char *name)
{
    static const char *const known[] = {"create-ca", "create-server", "create-client", "renew", "show"};
    char why[HX_WHY_MAX];
    if (strcmp(what, "create-ca") == 0)
        return create_ca(l, name);
    bool shows = strcmp(what, "show") == 0, server = strcmp(what, "create-server") == 0;
    bool renews = strcmp(what, "renew") == 0;
    if (!shows && !renews && !server && strcmp(what, "create-client") != 0) {
        const char *near = hx_nearest(what, known, HX_ARRAY_LEN(known));
        snprintf(why, sizeof why, "'%.60s'%s%s%s", what, near ? "; is it '" : "", near ? near : "",
                 near ? "'?" : "");
        return hx_args_complain(&spec, HX_E_INVAL, why);
    }
    if (!name || (!shows && !renews && !hx_name_ok(name)))
        return hx_args_complain(&spec, HX_E_INVAL, shows    ? "show needs a FILE"
                                                   : renews ? "renew needs a FILE, such as a1.crt"
                                                            : "a NAME is needed");
    if (renews)
        return renew(l, name);
    return shows ? show(l, name) : create(l, server ? HX_ROLE_SEGMENT : l->role, name);
}

int admin_cert_main(int argc, char **argv)
{
    struct line l = {.role = HX_ROLE_WRITER};
    struct hx_args a;
    const char *value;
    uint64_t days;
    int opt;
    hx_args_init(&a, &spec, argc, argv);
    while ((opt = hx_args_next(&a, &value)) >= 0) {
        if (opt == OPT_OUT)
            l.out = value;
        else if (opt == OPT_CA)
            l.ca = value;
        else if (opt == OPT_HOSTS)
            l.hosts = value;
        else if (opt == OPT_JSON)
            l.json = true;
        else if (opt == OPT_ROLE && (hx_role_parse(value, &l.role) < 0 || l.role == HX_ROLE_SEGMENT))
            return hx_args_complain(&spec, HX_E_INVAL, "--role: writer, reader or admin");
        else if (opt == OPT_DAYS && (hx_parse_u64(value, 36500, &days) < 0 || days == 0))
            return hx_args_complain(&spec, HX_E_INVAL, "--days: a number from 1 to 36500");
        else if (opt == OPT_DAYS)
            l.days = (int)days;
    }
    if (opt == HX_ARGS_HELP)
        return HX_EXIT_OK;
    int first = hx_args_operands(&a), count = argc - first;
    if (opt == HX_ARGS_ERROR)
        return HX_EXIT_USAGE;
    if (count < 1 || count > 2)
        return hx_args_complain(&spec, HX_E_INVAL,
                                "create-ca, create-server NAME, create-client NAME, renew FILE or show FILE");
    return run(&l, argv[first], count == 2 ? argv[first + 1] : NULL);
}
