/*
 * status_show.c - the answer of `hexad status` for people and for programs (doc/json.md).
 *
 * Text that came over the network is printed without control characters.
 */
#include "status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAP_LINES 12u

static const char *writer_text(const struct status *s, const char *key)
{
    const char *v = json_string_value(json_object_get(s->writer, key));
    return v ? v : "?";
}

static uint64_t writer_number(const struct status *s, const char *key)
{
    json_int_t v = json_integer_value(json_object_get(s->writer, key));
    return v > 0 ? (uint64_t)v : 0;
}

/* C0, DEL, and C1 as UTF-8 (U+0080 to U+009F): terminals take U+009B for the beginning of an escape sequence. */
static char *clean(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++) {
        if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
            p[0] = p[1] = '?';
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
    return text;
}

static void label(const char *name, const char *text)
{
    printf("%8s: %s\n", name, text);
}

/* ---- text ---- */

static void show_head(const struct status *s)
{
    char size[24], used[24], who[512] = "", line[800], ago[24];
    const struct hx_geometry *g = &s->sum.geometry;
    if (s->sum.writer_alive && s->writer)
        snprintf(who, sizeof who, " (writer: %.100s pid %llu, %.200s)", writer_text(s, "host"),
                 (unsigned long long)writer_number(s, "pid"), writer_text(s, "mount"));
    else if (s->sum.writer_alive)
        snprintf(who, sizeof who, " (a writer is alive)");
    else if (s->writer && s->sum.writer_ago_ms != UINT64_MAX)
        snprintf(who, sizeof who, " (no writer; last: %.100s, %s ago)", writer_text(s, "host"),
                 hx_format_time(s->sum.writer_ago_ms, ago, sizeof ago));
    else
        snprintf(who, sizeof who, " (no writer)");
    snprintf(line, sizeof line, "%s   %s   %s used   epoch %llu%s", g->name,
             hx_format_size(g->pg_bytes * g->pg_count, size, sizeof size),
             hx_format_size(s->used_bytes, used, sizeof used), (unsigned long long)s->sum.epoch.v, who);
    label("volume", clean(line));
}

static void show_traffic(const struct status *s)
{
    char a[24], b[24], c[24], line[200];
    uint64_t user = writer_number(s, "user_bytes"), record = writer_number(s, "record_bytes"),
             wire = writer_number(s, "wire_bytes");
    if (!s->writer || user == 0)
        return;
    snprintf(line, sizeof line, "%s written by programs, %s in records (%.2f x), %s on the wire to six (%.2f x)",
             hx_format_size(user, a, sizeof a), hx_format_size(record, b, sizeof b), (double)record / (double)user,
             hx_format_size(wire, c, sizeof c), (double)wire / (double)user);
    label("traffic", line);
}

static void show_scrub(const struct status *s)
{
    const struct hx_scrub_status c = status_scrub_sum(s);
    char line[300], done[24], total[24];
    int n = snprintf(line, sizeof line, "%llu cycles finished", (unsigned long long)c.cycles);
    if (c.total)
        n += snprintf(line + n, sizeof line - (size_t)n, "; %s%.0f%% (%s of %s)", c.asked ? "on demand, " : "",
                      100.0 * (double)c.done / (double)c.total, hx_format_size(c.done, done, sizeof done),
                      hx_format_size(c.total, total, sizeof total));
    snprintf(line + n, sizeof line - (size_t)n,
             "; %llu damaged places found, %llu mended; %llu pages differed, %llu undecided",
             (unsigned long long)c.found, (unsigned long long)c.mended, (unsigned long long)c.differed,
             (unsigned long long)c.undecided);
    label("scrub", line);
}

static int width(const struct status *s, bool zone)
{
    size_t w = 7;
    for (uint32_t i = 0; i < s->sum.geometry.server_count; i++) {
        size_t n = strlen(zone ? s->servers[i].server.zone : s->servers[i].server.name);
        w = n > w ? n : w;
    }
    return (int)w;
}

static const char *idle_word(const struct server_view *v)
{
    static const char *const words[] = {[HX_SERVER_IN] = "SPARE", [HX_SERVER_DRAINED] = "DRAINED",
                                        [HX_SERVER_BURNT] = "BURNT", [HX_SERVER_GONE] = "GONE",
                                        [HX_SERVER_AWAY] = "AWAY"};
    return words[v->server.state];
}

static void show_server(const struct status *s, const struct server_view *v, int w, int z, bool colour)
{
    char lag[24] = "-", answer[24] = "-", disk[24] = "-";
    bool good = v->worst <= SEG_BEHIND;
    if (!v->err && !v->stranger)
        snprintf(lag, sizeof lag, "%s%llu", v->lag ? "+" : "", (unsigned long long)v->lag);
    if (!v->err)
        snprintf(answer, sizeof answer, "%.1f ms", (double)v->us / 1000.0);
    if (v->has_hello && v->hello.disk_total)
        snprintf(disk, sizeof disk, "%.0f%%",
                 100.0 * (1.0 - (double)v->hello.disk_free / (double)v->hello.disk_total));
    char why[HX_WHY_MAX];
    snprintf(why, sizeof why, "%s", v->err ? v->why : v->stranger ? "another data directory" : "");
    printf("  %-*s  %-*s  %s%-8s%s  %8u  %10s  %9s  %5s  %s\n", w, v->server.name, z, v->server.zone,
           colour ? (good ? "\033[32m" : "\033[31m") : "", v->segments ? status_seg_word(v->worst) : idle_word(v),
           colour ? "\033[0m" : "", v->segments, lag, answer, disk, clean(why));
    (void)s;
}

static void show_zones(const struct status *s)
{
    char line[HX_NAME_MAX + 256];
    uint32_t bad = 0;
    for (uint32_t i = 0; i < s->zone_count; i++) {
        if (s->zones[i].may_go)
            continue;
        bad++;
        snprintf(line, sizeof line, "%s must not be taken down now: %s", s->zones[i].name, s->zones[i].why);
        label("zones", clean(line));
    }
    if (s->zone_count && !bad)
        label("zones", "any one of them may be taken down now");
}

static void show_map(const struct status *s)
{
    struct status_map m;
    uint32_t groups = 0;
    if (status_map(s, &m))
        return;
    printf("  %-24s  %-8s  %s\n", "GROUPS", "MEMBERS", "WHERE");
    for (uint32_t i = 0; i < m.count && i < MAP_LINES; i++) {
        char numbers[25], where[HX_COPIES * (HX_NAME_MAX + 16)];
        status_map_groups(&m.alike[i], numbers, sizeof numbers);
        status_map_members(s, &m.alike[i], where, sizeof where);
        printf("  %-24s  %u/%d       %s\n", numbers, m.alike[i].good, HX_COPIES, clean(where));
    }
    for (uint32_t i = MAP_LINES; i < m.count; i++)
        groups += m.alike[i].count;
    if (groups)
        printf("  and %u groups more, none worse than these: --json has all\n", groups);
    status_map_fini(&m);
}

void status_show_text(const struct status *s)
{
    const char *no_color = getenv("NO_COLOR");
    bool colour = isatty(STDOUT_FILENO) && !(no_color && *no_color);
    char see[64];
    uint64_t damaged = 0;
    int w = width(s, false), z = width(s, true);
    show_head(s);
    label("state", s->word);
    label("status", s->text);
    if (s->err) {
        snprintf(see, sizeof see, "HX%04d, hexad-errors(7)", hx_err_info(s->err)->code);
        label("action", s->action);
        label("see", see);
    }
    show_traffic(s);
    show_scrub(s);
    show_zones(s);
    printf("  %-*s  %-*s  %-8s  %8s  %10s  %9s  %5s  %s\n", w, "SEGMENT", z, "AZ", "STATE", "SEGMENTS", "LAG", "ANSWER",
           "DISK", "WHY");
    for (uint32_t i = 0; i < s->sum.geometry.server_count; i++)
        if (s->servers[i].server.state != HX_SERVER_GONE)
            show_server(s, &s->servers[i], w, z, colour);
    show_map(s);
    for (size_t i = 0; i < s->seg_count; i++)
        damaged += s->segs[i].known ? s->segs[i].st.damaged : 0;
    if (damaged)
        printf("  errors: %llu damaged records\n", (unsigned long long)damaged);
    else
        printf("  errors: no known data errors\n");
}

/* ---- JSON ---- */

static void put(json_t *o, const char *key, uint64_t v)
{
    json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void put_text(json_t *o, const char *key, const char *text)
{
    json_t *v = json_string(text);
    json_object_set_new(o, key, v ? v : json_string("?")); /* not UTF-8 */
}

json_t *status_scrub_json(const struct hx_scrub_status *c)
{
    json_t *o = json_object();
    put(o, "cycles", c->cycles);
    put(o, "asked", c->asked);
    put(o, "bytes_done", c->done);
    put(o, "bytes_total", c->total);
    put(o, "found", c->found);
    put(o, "mended", c->mended);
    put(o, "differed", c->differed);
    put(o, "undecided", c->undecided);
    return o;
}

static json_t *server_json(const struct server_view *v)
{
    json_t *o = json_object();
    put_text(o, "name", v->server.name);
    put_text(o, "zone", v->server.zone);
    put_text(o, "url", v->server.url);
    put_text(o, "state", v->segments ? status_seg_word(v->worst) : v->err ? "DOWN" : "SPARE");
    put_text(o, "why", v->err ? v->why : "");
    put(o, "segments", v->segments);
    put(o, "lag_lsns", v->lag);
    if (!v->err)
        put(o, "answer_us", v->us);
    if (v->has_hello) {
        put(o, "disk_total", v->hello.disk_total);
        put(o, "disk_free", v->hello.disk_free);
    }
    return o;
}

static json_t *segment_json(const struct status *s, const struct seg_view *v)
{
    const struct hx_server *server = &s->servers[v->server].server;
    json_t *o = json_object();
    put_text(o, "name", server->name);
    put_text(o, "zone", server->zone);
    put(o, "pg", v->pg);
    put_text(o, "state", status_seg_word(v->state));
    if (!v->known)
        return o;
    put(o, "scl", v->st.scl.v);
    put(o, "highest", v->st.highest.v);
    put(o, "vdl", v->st.vdl.v);
    put(o, "gc", v->st.gc.v);
    put(o, "lag_lsns", v->lag);
    put(o, "epoch", v->st.top.v);
    put(o, "promised", v->st.promised.v);
    put(o, "disk_bytes", v->st.disk_bytes);
    put(o, "pages", v->st.pages);
    put(o, "records", v->st.records);
    put(o, "damaged", v->st.damaged);
    json_object_set_new(o, "scrub", status_scrub_json(&v->st.scrub));
    return o;
}

static json_t *zone_json(const struct zone_view *z)
{
    json_t *o = json_object();
    put_text(o, "name", z->name);
    json_object_set_new(o, "may_go", json_boolean(z->may_go));
    put_text(o, "why", z->why);
    return o;
}

/* Each group's servers, by their places in "servers", and how many of them are well. */
static json_t *groups_json(const struct status *s)
{
    json_t *list = json_array();
    for (uint32_t pg = 0; pg < s->sum.geometry.pg_count; pg++) {
        const struct seg_view *v = &s->segs[(size_t)pg * HX_COPIES];
        json_t *o = json_object(), *servers = json_array();
        unsigned good = 0;
        for (unsigned i = 0; i < HX_COPIES; i++) {
            json_array_append_new(servers, v[i].out ? json_null() : json_integer(v[i].server));
            good += !v[i].out && v[i].state <= SEG_BEHIND;
        }
        put(o, "pg", pg);
        put(o, "good", good);
        json_object_set_new(o, "servers", servers);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *writer_json(const struct status *s)
{
    json_t *o = json_is_object(s->writer) ? json_deep_copy(s->writer) : json_object();
    json_object_set_new(o, "alive", json_boolean(s->sum.writer_alive > 0));
    if (s->sum.writer_ago_ms != UINT64_MAX)
        put(o, "ago_ms", s->sum.writer_ago_ms);
    return o;
}

void status_show_json(const struct status *s)
{
    const struct hx_geometry *g = &s->sum.geometry;
    json_t *doc = json_object(), *servers = json_array(), *segments = json_array();
    char hex[33], code[16] = "";
    hx_uuid_format(&g->volume, hex);
    if (s->err)
        snprintf(code, sizeof code, "HX%04d", hx_err_info(s->err)->code);
    put(doc, "format", 1);
    put_text(doc, "volume", g->name);
    put_text(doc, "uuid", hex);
    put_text(doc, "state", s->word);
    put_text(doc, "message", s->text);
    put_text(doc, "action", s->action);
    put_text(doc, "code", code);
    put(doc, "epoch", s->sum.epoch.v);
    put(doc, "vdl", s->vdl.v);
    put(doc, "protection_groups", g->pg_count);
    put(doc, "released_groups", g->g - g->pg_count);
    put(doc, "pg_bytes", g->pg_bytes);
    put(doc, "bytes", g->pg_bytes * g->pg_count);
    put(doc, "bytes_used", s->used_bytes);
    put(doc, "created_us", g->created_us);
    json_object_set_new(doc, "writer", writer_json(s));
    const struct hx_scrub_status scrub = status_scrub_sum(s);
    json_object_set_new(doc, "scrub", status_scrub_json(&scrub));
    for (uint32_t i = 0; i < g->server_count; i++)
        json_array_append_new(servers, server_json(&s->servers[i]));
    for (size_t i = 0; i < s->seg_count; i++)
        if (!s->segs[i].out)
            json_array_append_new(segments, segment_json(s, &s->segs[i]));
    json_object_set_new(doc, "servers", servers);
    json_t *zones = json_array();
    for (uint32_t i = 0; i < s->zone_count; i++)
        json_array_append_new(zones, zone_json(&s->zones[i]));
    json_object_set_new(doc, "zones", zones);
    json_object_set_new(doc, "groups", groups_json(s));
    json_object_set_new(doc, "segments", segments);
    admin_print(doc);
}
