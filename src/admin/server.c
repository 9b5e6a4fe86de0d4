/*
 * server.c - `hexad server`: the servers that the configuration names, and how they are; one more; and the line of
 * those verbs that speak of a volume's servers (roster.c).
 *
 * list asks each of them, at the same time, who it is and what it holds (HELLO, and STATUS of all volumes); needs no
 * volume and no mount, and changes nothing.
 * add writes one more server into the configuration, after it has answered there under that name and in that zone.  The
 * file is replaced as a whole, so that a crash leaves the old one or the new one.
 * Does not place or move anything: volumes that are made afterwards may use it, and the one that --volume names.
 */
#include "status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT_MS 3000u

enum { OPT_CHECK, OPT_CONFIG, OPT_JSON, OPT_NO_WAIT, OPT_UNDO, OPT_VOLUME };
static const struct hx_opt opts[] = {
    [OPT_CHECK] = {"check", 0, NULL, "drain: may the server be taken down now? change nothing"},
    [OPT_CONFIG] = {"config", 'c', "FILE", "configuration (see hexad(1), FILES)"},
    [OPT_JSON] = {"json", 0, NULL, "print one JSON document"},
    [OPT_NO_WAIT] = {"no-wait", 0, NULL, "drain: end when it has begun; a mount, or the same again, goes on"},
    [OPT_UNDO] = {"undo", 0, NULL, "drain: the server is to stay, and takes segments again"},
    [OPT_VOLUME] = {"volume", 0, "VOLUME", "the volume whose servers are meant"},
    {NULL, 0, NULL, NULL},
};
static const char *const examples[] = {"hexad server list", "hexad server add d1 az-a https://d1.example.org:9621",
                                       "hexad server add d1 az-a https://d1.example.org:9621 --volume vol0",
                                       "hexad server drain a1 --volume vol0",
                                       "hexad server remove a1 --volume vol0", NULL};
static const struct hx_args_spec spec = {
    .command = "hexad server",
    .usage = "list | add NAME ZONE URL | drain NAME | remove NAME [options]",
    .examples = examples,
    .opts = opts,
    .notes = "exit codes of list: 0 all answer, 3 some do not, 5 none does;\n"
             "of drain: 0 it is empty (--check: it may go), 3 its zone has no spare (--check: it may not)",
};

struct view {
    int err;
    char why[HX_WHY_MAX];
    uint64_t us, segments, bytes, bad; /* bad: segments that are not OK */
    struct hx_uuid incarnation;
    struct hx_hello hello;
};

/* ---- asking ---- */

static int take_segments(struct view *v, const struct admin_ask *a)
{
    struct hx_dec d = hx_dec_init(a->answer, a->answer_len);
    struct hx_segment_status *st = malloc(sizeof *st);
    if (!st)
        return HX_E_NOMEM;
    uint32_t n = hx_dec_u32(&d);
    for (uint32_t i = 0; i < n && !d.err; i++) {
        hx_segment_status_decode(st, &d);
        if (d.err)
            break;
        v->segments++;
        v->bytes += st->disk_bytes;
        v->bad += st->state != 0;
    }
    free(st);
    return d.err;
}

/* Its answers to HELLO and STATUS. */
static int take(struct view *v, const struct hx_server *s, const struct admin_ask *hello,
                const struct admin_ask *status)
{
    const struct admin_ask *bad = hello->err ? hello : status->err ? status : NULL;
    *v = (struct view){.err = bad ? bad->err : 0, .us = hello->us};
    if (bad) {
        snprintf(v->why, sizeof v->why, "%s", bad->why);
        return 0;
    }
    struct hx_dec d = hx_dec_init(hello->answer, hello->answer_len);
    int err = hx_hello_decode(&v->hello, &d);
    if (!err)
        err = take_segments(v, status);
    if (err == HX_E_NOMEM)
        return err;
    if (!err && (strcmp(v->hello.name, s->name) != 0 || strcmp(v->hello.zone, s->zone) != 0)) {
        err = HX_E_CONFIG;
        snprintf(v->why, sizeof v->why, "it calls itself %s in zone %s", v->hello.name, v->hello.zone);
    } else if (err) {
        snprintf(v->why, sizeof v->why, "%s", hx_err_text(err));
    }
    v->incarnation = hello->head.server;
    v->err = err;
    return 0;
}

static int ask(const struct hx_client_conf *conf, const struct hx_server *servers, uint32_t count, struct view *views,
               char why[HX_WHY_MAX])
{
    struct admin_ask *asks = calloc(2 * (size_t)count + 1, sizeof *asks);
    if (!asks)
        return HX_E_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        asks[2 * i] = (struct admin_ask){.server = &servers[i], .type = HX_MSG_HELLO};
        asks[2 * i + 1] = (struct admin_ask){.server = &servers[i], .type = HX_MSG_STATUS};
    }
    int err = admin_ask_all(conf, asks, 2 * (size_t)count, LIMIT_MS, why);
    for (uint32_t i = 0; i < count && !err; i++)
        err = take(&views[i], &servers[i], &asks[2 * i], &asks[2 * i + 1]);
    admin_ask_fini(asks, 2 * (size_t)count);
    free(asks);
    return err;
}

static const char *word_of(const struct view *v)
{
    if (!v->err)
        return v->bad ? "DEGRADED" : v->segments ? "OK" : "SPARE";
    return v->err == HX_E_CONFIG ? "STRANGER" : v->err == HX_E_TLS || v->err == HX_E_ROLE ? "REFUSED" : "DOWN";
}

/* ---- list ---- */

static void show_json(const struct hx_client_conf *conf, const struct view *views)
{
    json_t *list = json_array(), *doc = json_pack("{s:i, s:o}", "format", 1, "servers", list);
    for (uint32_t i = 0; i < conf->server_count; i++) {
        const struct hx_server *s = &conf->servers[i];
        const struct view *v = &views[i];
        char id[33];
        json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "name", s->name, "zone", s->zone, "url", s->url, "state",
                              word_of(v));
        if (v->err) {
            json_object_set_new(o, "why", json_string(v->why));
        } else {
            hx_uuid_format(&v->incarnation, id);
            json_object_set_new(o, "incarnation", json_string(id));
            json_object_set_new(o, "disk_total", json_integer((json_int_t)v->hello.disk_total));
            json_object_set_new(o, "disk_free", json_integer((json_int_t)v->hello.disk_free));
            json_object_set_new(o, "segments", json_integer((json_int_t)v->segments));
            json_object_set_new(o, "segments_bad", json_integer((json_int_t)v->bad));
            json_object_set_new(o, "segment_bytes", json_integer((json_int_t)v->bytes));
            json_object_set_new(o, "answer_us", json_integer((json_int_t)v->us));
        }
        json_array_append_new(list, o);
    }
    admin_print(doc);
}

static void show_text(const struct hx_client_conf *conf, const struct view *views)
{
    int w = 6, z = 4;
    for (uint32_t i = 0; i < conf->server_count; i++) {
        int n = (int)strlen(conf->servers[i].name), m = (int)strlen(conf->servers[i].zone);
        w = n > w ? n : w;
        z = m > z ? m : z;
    }
    printf("  %-*s  %-*s  %-8s  %8s  %9s  %9s  %9s  %9s\n", w, "SERVER", z, "ZONE", "STATE", "SEGMENTS", "HOLDS",
           "FREE", "DISK", "ANSWER");
    for (uint32_t i = 0; i < conf->server_count; i++) {
        const struct hx_server *s = &conf->servers[i];
        const struct view *v = &views[i];
        char holds[24], left[24], disk[24];
        printf("  %-*s  %-*s  %-8s  ", w, s->name, z, s->zone, word_of(v));
        if (v->err)
            printf("%s\n", v->why);
        else
            printf("%8llu  %9s  %9s  %9s  %6.1f ms\n", (unsigned long long)v->segments,
                   hx_format_size(v->bytes, holds, sizeof holds), hx_format_size(v->hello.disk_free, left, sizeof left),
                   hx_format_size(v->hello.disk_total, disk, sizeof disk), (double)v->us / 1000.0);
    }
}

static int list(const struct hx_client_conf *conf, bool json)
{
    char why[HX_WHY_MAX] = "";
    uint32_t well = 0;
    struct view *views = calloc((size_t)conf->server_count + 1, sizeof *views);
    int err = views ? ask(conf, conf->servers, conf->server_count, views, why) : HX_E_NOMEM;
    if (err) {
        free(views);
        return admin_fail(json, err, "cannot list the servers", why, NULL);
    }
    for (uint32_t i = 0; i < conf->server_count; i++)
        well += views[i].err == 0;
    if (json)
        show_json(conf, views);
    else
        show_text(conf, views);
    free(views);
    return well == conf->server_count ? HX_EXIT_OK : hx_exit_code(well ? HX_E_DEGRADED : HX_E_NO_READ_QUORUM);
}

/* ---- add ---- */

static char *read_file(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "rb");
    char *p = f ? malloc((1u << 20) + 1) : NULL;
    if (p) {
        *ret_len = fread(p, 1, 1u << 20, f);
        p[*ret_len] = '\0';
    }
    if (f)
        fclose(f);
    return p;
}

/* Behind the last line of [servers] that says something; at the end, with the section's name, where there is none. */
static size_t place_for(const char *text, bool *ret_section)
{
    size_t at = 0, behind = 0;
    bool inside = false;
    *ret_section = false;
    while (text[at]) {
        size_t len = strcspn(text + at, "\n"), next = at + len + (text[at + len] != '\0');
        size_t skip = strspn(text + at, " \t");
        if (text[at + skip] == '[')
            inside = strncmp(text + at + skip, "[servers]", 9) == 0;
        if (inside && skip < len) {
            behind = next;
            *ret_section = true;
        }
        at = next;
    }
    return *ret_section ? behind : at;
}

/* The configuration with one line more, beside it, then in its place. */
static int write_conf(const char *path, const struct hx_server *s, char why[HX_WHY_MAX])
{
    char beside[4096];
    struct stat st;
    size_t len;
    bool section;
    char *text = read_file(path, &len);
    FILE *f = NULL;
    int err = 0;
    if (!text || stat(path, &st) < 0 || snprintf(beside, sizeof beside, "%s.new", path) >= (int)sizeof beside) {
        err = hx_err_from_errno(errno ? errno : ENOMEM);
    } else if ((f = fopen(beside, "wb")) == NULL || fchmod(fileno(f), st.st_mode & 07777) < 0) {
        err = hx_err_from_errno(errno);
    } else {
        size_t at = place_for(text, &section);
        fwrite(text, 1, at, f);
        fprintf(f, "%s%s%s = %s %s\n", at && text[at - 1] != '\n' ? "\n" : "", section ? "" : "[servers]\n", s->name,
                s->zone, s->url);
        fwrite(text + at, 1, len - at, f);
        bool bad = fflush(f) != 0 || fsync(fileno(f)) < 0;
        err = bad ? hx_err_from_errno(errno) : 0;
    }
    if (f)
        fclose(f);
    if (!err) { /* it reads as a configuration, with the address as it is written */
        struct hx_client_conf check;
        err = hx_client_conf_load(beside, &check, why);
        hx_client_conf_free(&check);
        if (err)
            unlink(beside);
        free(err ? text : NULL);
        if (err)
            return err;
    }
    if (!err && rename(beside, path) < 0)
        err = hx_err_from_errno(errno);
    if (err)
        snprintf(why, HX_WHY_MAX, "%.200s: %s", path, hx_err_text(err));
    free(text);
    return err;
}

/* 0: it is to be added. */
static int is_new(const struct hx_client_conf *conf, const struct hx_server *s, char why[HX_WHY_MAX])
{
    const char *env = getenv("HEXAD_SERVERS");
    if (env && *env) {
        snprintf(why, HX_WHY_MAX, "HEXAD_SERVERS names the servers, so the file would not count");
        return HX_E_CONFIG;
    }
    for (uint32_t i = 0; i < conf->server_count; i++)
        if (strcmp(conf->servers[i].name, s->name) == 0 || strcmp(conf->servers[i].url, s->url) == 0) {
            snprintf(why, HX_WHY_MAX, "%.90s already names %s at %.70s", conf->path, conf->servers[i].name,
                     conf->servers[i].url);
            return HX_E_CONFIG;
        }
    return 0;
}

struct line {
    const char *config, *volume;
    bool json, check, undo, no_wait;
};

static int wish(const struct hx_client_conf *conf, const struct line *l, enum hx_wish_kind kind,
                const struct hx_server *s)
{
    struct admin_wish w = {.conf = conf, .volume = l->volume, .json = l->json, .no_wait = l->no_wait,
                           .wish = {.kind = (uint8_t)kind, .server = *s}};
    if (l->check)
        return admin_may_go(conf, l->json, l->volume, s->name);
    return admin_wish(&w);
}

/* The configuration names this very one. */
static bool is_there(const struct hx_client_conf *conf, const struct hx_server *s)
{
    for (uint32_t i = 0; i < conf->server_count; i++)
        if (!strcmp(conf->servers[i].name, s->name) && !strcmp(conf->servers[i].zone, s->zone) &&
            !strcmp(conf->servers[i].url, s->url))
            return true;
    return false;
}

static int add(const struct hx_client_conf *conf, const struct line *l, const struct hx_server *s)
{
    bool json = l->json, known = l->volume && is_there(conf, s);
    struct hx_server whole = *s;
    char why[HX_WHY_MAX] = "", what[HX_NAME_MAX + 32];
    struct view v = {0};
    snprintf(what, sizeof what, "cannot add %s", s->name);
    int err = known ? 0 : is_new(conf, s, why);
    if (!err)
        err = ask(conf, s, 1, &v, why);
    if (!err && v.err) {
        err = v.err;
        snprintf(why, sizeof why, "%.90s: %.150s", s->url, v.why);
    }
    if (!err && !known)
        err = write_conf(conf->path, s, why);
    if (err)
        return admin_fail(json, err, what, why, NULL);
    if (l->volume) {
        whole.incarnation = v.incarnation;
        hx_geometry_host_of(whole.url, whole.host);
        return wish(conf, l, HX_WISH_ADD, &whole);
    }
    if (json)
        admin_print(json_pack("{s:i, s:s, s:s, s:s}", "format", 1, "name", s->name, "zone", s->zone, "url", s->url));
    else
        printf("hexad: server %s in zone %s added to %s; next: hexad server list\n", s->name, s->zone, conf->path);
    return HX_EXIT_OK;
}

/* ---- the line ---- */

static int complain(const char *text)
{
    return hx_args_complain(&spec, HX_E_INVAL, text);
}

static int new_server(char **words, struct hx_server *s)
{
    *s = (struct hx_server){0};
    if (!hx_name_ok(words[0]) || !hx_name_ok(words[1]))
        return complain("names of servers and zones have 1 to 63 of: letters, digits, '.', '_', '-'");
    if (strncmp(words[2], "https://", 8) != 0 || strlen(words[2]) > HX_URL_MAX || strpbrk(words[2], " \t\n,"))
        return complain("the address is https://HOST:PORT");
    snprintf(s->name, sizeof s->name, "%s", words[0]);
    snprintf(s->zone, sizeof s->zone, "%s", words[1]);
    snprintf(s->url, sizeof s->url, "%s", words[2]);
    return 0;
}

enum verb { LIST, ADD, DRAIN, REMOVE, VERBS };

/* The verb that the words say, with what it needs; VERBS: none. */
static enum verb verb_of(char **words, int count, const struct line *l)
{
    static const struct {
        const char *name;
        int words;
        bool volume;
    } verbs[] = {[LIST] = {"list", 1, false}, [ADD] = {"add", 4, false}, [DRAIN] = {"drain", 2, true},
                 [REMOVE] = {"remove", 2, true}};
    enum verb v = LIST;
    while (v < VERBS && (!count || strcmp(words[0], verbs[v].name)))
        v++;
    bool good = v < VERBS && verbs[v].words == count && (l->volume || !verbs[v].volume);
    return good && (v == DRAIN || !(l->check || l->undo || l->no_wait)) ? v : VERBS;
}

static int run(const struct line *l, enum verb verb, char **words)
{
    struct hx_server s = {0};
    struct hx_client_conf conf;
    int code = verb == ADD ? new_server(words + 1, &s) : 0;
    if (verb == DRAIN || verb == REMOVE) {
        if (!hx_name_ok(words[1]))
            return complain("that is no name of a server");
        snprintf(s.name, sizeof s.name, "%s", words[1]);
    }
    if (!code)
        code = admin_load(l->json, l->config, &conf);
    if (code)
        return code;
    if (verb == LIST)
        code = l->volume ? admin_list_volume(&conf, l->json, l->volume) : list(&conf, l->json);
    else if (verb == ADD)
        code = add(&conf, l, &s);
    else
        code = wish(&conf, l, verb == REMOVE ? HX_WISH_REMOVE : l->undo ? HX_WISH_UNDO : HX_WISH_DRAIN, &s);
    hx_client_conf_free(&conf);
    return code;
}

int admin_server_main(int argc, char **argv)
{
    struct hx_args a;
    const char *value;
    struct line l = {0};
    int opt;
    hx_args_init(&a, &spec, argc, argv);
    while ((opt = hx_args_next(&a, &value)) >= 0) {
        if (opt == OPT_CONFIG)
            l.config = value;
        else if (opt == OPT_VOLUME)
            l.volume = value;
        l.json |= opt == OPT_JSON;
        l.check |= opt == OPT_CHECK;
        l.undo |= opt == OPT_UNDO;
        l.no_wait |= opt == OPT_NO_WAIT;
    }
    if (opt != HX_ARGS_END)
        return opt == HX_ARGS_HELP ? HX_EXIT_OK : HX_EXIT_USAGE;
    int first = hx_args_operands(&a);
    enum verb verb = verb_of(argv + first, argc - first, &l);
    if (verb == VERBS || (l.volume && !hx_name_ok(l.volume)) || (l.check && l.undo))
        return complain("say list, add NAME ZONE URL, drain NAME --volume VOLUME, or remove NAME --volume VOLUME");
    return run(&l, verb, argv + first);
}
