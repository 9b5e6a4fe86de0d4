/*
 * look.c - hexad-segmentd --check and --dump: the store of a server that does not run, as text on standard output.
 *
 * What is there to say is found out by the store itself (hexad/check.h); here are arguments, the data directory, and
 * exit codes.  Nothing is changed: the directory is opened for reading only, and its lock is shared meanwhile.
 * With --json: one document instead (doc/json.md).
 * Exit codes: 0 nothing is damaged; 1 damage, which peers would mend; 2 it cannot be looked at, or no start would serve
 * all of it, or wrong usage.
 */
#include "segd.h"

#include "hexad/check.h"
#include "hexad/sys.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_CLEAN 0
#define EXIT_DAMAGED 1
#define EXIT_NOT_LOOKED 2

struct look {
    struct hx_datadir *data;
    struct hx_check_cfg cfg;
};

static void line(void *ctx, const char *text)
{
    (void)ctx;
    puts(text);
}

/* ---- the same for programs ---- */
static const char *const states[] = {
    [HX_CHECK_CLEAN] = "CLEAN",     [HX_CHECK_TOUCHED] = "TOUCHED", [HX_CHECK_DAMAGED] = "DAMAGED",
    [HX_CHECK_REFUSED] = "REFUSED", [HX_CHECK_UNREAD] = "UNREAD",   [HX_CHECK_NOT_MADE] = "NOT MADE",
};

static void no_line(void *ctx, const char *text)
{
    (void)ctx;
    (void)text;
}

static void put(json_t *o, const char *name, uint64_t v)
{
    json_object_set_new(o, name, json_integer((json_int_t)v));
}

static void segment(void *ctx, const struct hx_check_segment *s)
{
    const struct hx_check_room *r = &s->room;
    json_t *o = json_object(), *room = json_object();
    char hex[33];
    hx_uuid_format(&s->at.volume, hex);
    json_object_set_new(o, "volume", json_string(hex));
    put(o, "pg", s->at.pg);
    json_object_set_new(o, "state", json_string(states[s->state]));
    json_object_set_new(o, "why", json_string(s->err ? hx_err_text(s->err) : ""));
    put(o, "files", s->files);
    put(o, "bytes", s->bytes);
    if (s->state <= HX_CHECK_DAMAGED) {
        put(o, "scl", s->scl);
        put(o, "vdl", s->hint);
        put(o, "oldest", s->oldest);
        put(o, "gc", s->gc);
        put(o, "pages", s->pages);
        put(o, "held", s->held);
        put(o, "damaged_places", s->places);
        put(o, "damaged_ranges", s->unknown);
        put(room, "bytes", r->size);
        put(room, "used", r->used);
        put(room, "dead", r->dead);
        put(room, "history", r->history);
        put(room, "ahead", r->ahead);
        put(room, "limit", r->limit);
        json_object_set(o, "log_files", room);
    }
    json_decref(room);
    json_array_append_new(ctx, o);
}

static json_t *document(const struct look *l, const char *dir, const struct hx_check_sum *s, json_t *segments)
{
    json_t *doc = json_object();
    put(doc, "format", 1);
    json_object_set_new(doc, "server", json_string(hx_datadir_server(l->data)));
    json_object_set_new(doc, "data", json_string(dir));
    put(doc, "files", s->files);
    put(doc, "bytes", s->bytes);
    put(doc, "damaged", s->damaged);
    put(doc, "refused", s->refused);
    put(doc, "unread", s->unread);
    put(doc, "touched", s->touched);
    json_object_set(doc, "segments", segments);
    return doc;
}

static int complain(int err, const char *dir, const char *why)
{
    const char *hint = err == HX_E_LOCKED ? "stop the server first; while it runs, hexad status and hexad scrub tell"
                       : err == HX_E_NOENT ? "name the directory that [server] data says"
                       : err == HX_E_VERSION ? "use the version of hexad that wrote it, or a newer one"
                                             : NULL;
    hx_complain(err, "cannot look into the data directory", why && *why ? why : dir, hint);
    return EXIT_NOT_LOOKED;
}

static int look_open(const char *dir, struct look *l)
{
    char why[HX_WHY_MAX] = "";
    *l = (struct look){.cfg = {.line = line}};
    int err = hx_datadir_look(dir, &l->data, why);
    if (!err)
        err = hx_farm_new(l->data, 0, &l->cfg.farm);
    if (err) {
        hx_datadir_close(l->data);
        return complain(err, dir, why);
    }
    l->cfg.server = *hx_datadir_incarnation(l->data);
    return 0;
}

static void look_close(struct look *l)
{
    hx_farm_free(l->cfg.farm);
    hx_datadir_close(l->data);
}

/* What could not be written was not said. */
static int written(int code)
{
    return fflush(stdout) || ferror(stdout) ? EXIT_NOT_LOOKED : code;
}

static int check_code(const struct hx_check_sum *s)
{
    return s->refused || s->unread ? EXIT_NOT_LOOKED : s->damaged ? EXIT_DAMAGED : EXIT_CLEAN;
}

static int check_json(struct look *l, const char *dir)
{
    struct hx_check_sum s;
    json_t *segments = json_array(), *doc = NULL;
    l->cfg.line = no_line;
    l->cfg.segment = segment;
    l->cfg.ctx = segments;
    int err = segments ? hx_check_all(&l->cfg, &s) : HX_E_NOMEM;
    if (!err) {
        doc = document(l, dir, &s, segments);
        err = doc && json_array_size(segments) == s.segments ? 0 : HX_E_NOMEM;
    }
    if (!err) {
        json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        putchar('\n');
    }
    json_decref(doc);
    json_decref(segments);
    look_close(l);
    return err ? complain(err, dir, NULL) : written(check_code(&s));
}

int segd_check(const char *dir, bool json)
{
    struct look l;
    struct hx_check_sum s;
    char size[32];
    int code = look_open(dir, &l);
    if (code || json)
        return code ? code : check_json(&l, dir);
    printf("server %s, %s\n", hx_datadir_server(l.data), dir);
    int err = hx_check_all(&l.cfg, &s);
    look_close(&l);
    if (err)
        return complain(err, dir, NULL);
    printf("%llu segments, %llu files, %s: ", (unsigned long long)s.segments, (unsigned long long)s.files,
           hx_format_size(s.bytes, size, sizeof size));
    if (!s.damaged && !s.refused && !s.unread && !s.touched)
        printf("clean\n");
    else if (!s.damaged && !s.refused && !s.unread)
        printf("nothing is lost; in %llu a start would make something anew\n", (unsigned long long)s.touched);
    else
        printf("%llu damaged, which peers would mend; %llu that no start would serve; %llu that cannot be looked at\n",
               (unsigned long long)s.damaged, (unsigned long long)s.refused, (unsigned long long)s.unread);
    return written(check_code(&s));
}

/* "<volume>-<group>", as its directory is called. */
static bool parse_segment(const char *text, struct hx_disk_place *ret)
{
    char hex[33];
    uint64_t pg;
    if (strlen(text) < 34 || text[32] != '-')
        return false;
    memcpy(hex, text, 32);
    hex[32] = '\0';
    if (hx_uuid_parse(hex, &ret->volume) || hx_parse_u64(text + 33, UINT32_MAX, &pg))
        return false;
    ret->pg = (uint32_t)pg;
    return true;
}

/* Its name, 16 hexadecimal digits, of which leading zeros may be left out. */
static bool parse_file(const char *text, uint64_t *ret)
{
    size_t n = strlen(text);
    *ret = n && n <= 16 && strspn(text, "0123456789abcdef") == n ? strtoull(text, NULL, 16) : 0;
    return *ret != 0;
}

int segd_dump(const char *dir, const char *segment, const char *file)
{
    struct look l;
    struct hx_disk_place at;
    uint64_t id = 0;
    if ((segment && !parse_segment(segment, &at)) || (file && !parse_file(file, &id))) {
        hx_complain(HX_E_INVAL, "usage", file ? file : segment, "hexad-segmentd --dump DIR lists segments, "
                    "--dump DIR SEGMENT files: name them like that");
        return EXIT_NOT_LOOKED;
    }
    int err, code = look_open(dir, &l);
    if (code)
        return code;
    if (file)
        err = hx_dump_file(&l.cfg, &at, id);
    else
        err = segment ? hx_dump_segment(&l.cfg, &at) : hx_dump_all(&l.cfg);
    look_close(&l);
    if (err)
        hx_complain(err, "cannot look into it", file ? file : segment ? segment : dir, NULL);
    return written(err ? EXIT_NOT_LOOKED : EXIT_CLEAN);
}
