/*
 * status.c - the volume as others see it: the JSON document, words, metrics, and the line about this writer that goes
 * along with heartbeats.
 *
 * Reads the parts, changes nothing in them but the writer's info text.  The document is described in doc/json.md;
 * members are only ever added.  Memory: each text is the caller's.
 */
#include "vol_private.h"

#include "hexad/heal.h"
#include "hexad/move.h"
#include "hexad/quorum.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct hx_writer *writer_of(const struct hx_vol *v)
{
    return hx_session_writer(v->session);
}

/* One segment server, over all PGs in which it is a member: the worst of what is known. */
struct member_sum {
    bool member;
    enum hx_member_state state;
    uint64_t lag, silent_ms;
    uint32_t rtt_us, segments;
    int last_error;
};

static int badness(enum hx_member_state s)
{
    static const int rank[] = {[HX_MEMBER_UNKNOWN] = 1, [HX_MEMBER_OK] = 0, [HX_MEMBER_BEHIND] = 2,
                               [HX_MEMBER_DOWN] = 3, [HX_MEMBER_REFUSED] = 4};
    return rank[s];
}

/* Of servers that answer, but take nothing, why: what to do is not the same. */
static const char *member_word(const struct member_sum *m)
{
    if (!m->member)
        return "SPARE";
    if (m->state == HX_MEMBER_DOWN && m->last_error == HX_E_NOSPACE)
        return "FULL";
    if (m->state == HX_MEMBER_DOWN && (m->last_error == HX_E_POISONED || m->last_error == HX_E_IO))
        return "POISONED";
    static const char *const words[] = {[HX_MEMBER_UNKNOWN] = "UNKNOWN", [HX_MEMBER_OK] = "OK",
                                        [HX_MEMBER_BEHIND] = "BEHIND", [HX_MEMBER_DOWN] = "DOWN",
                                        [HX_MEMBER_REFUSED] = "REFUSED"};
    return words[m->state];
}

static bool answers(enum hx_member_state s)
{
    return s == HX_MEMBER_OK || s == HX_MEMBER_BEHIND;
}

static struct member_sum *sum_members(struct hx_vol *v)
{
    const struct hx_geometry *g = hx_writer_geometry(writer_of(v));
    uint64_t now = hx_vol_now(v);
    struct member_sum *sums = calloc(g->server_count ? g->server_count : 1, sizeof(*sums));
    if (!sums)
        return NULL;
    for (uint32_t pg = 0, live = hx_geometry_live(g); pg < live; pg++)
        for (unsigned slot = 0; slot < HX_COPIES; slot++) {
            struct member_sum *s = &sums[g->pgs[pg].server[slot]];
            if (!hx_members_has(hx_row_slots(&g->pgs[pg]), slot))
                continue;
            struct hx_member_view m;
            hx_writer_member(writer_of(v), pg, slot, now, &m);
            if (!s->member || badness(m.state) > badness(s->state)) {
                s->state = m.state;
                s->last_error = m.last_error;
            }
            uint64_t pgcl = hx_writer_pgcl(writer_of(v), pg).v;
            uint64_t lag = pgcl > m.scl.v ? pgcl - m.scl.v : 0;
            if (lag > s->lag)
                s->lag = lag;
            if (m.silent_ms > s->silent_ms)
                s->silent_ms = m.silent_ms;
            if (m.rtt_us > s->rtt_us)
                s->rtt_us = m.rtt_us;
            s->member = true;
            s->segments++;
        }
    return sums;
}

/* ---- what goes along with heartbeats ---- */
void hx_vol_refresh_info(struct hx_vol *v)
{
    struct hx_writer_stats w;
    struct hx_cache_stats c;
    hx_writer_stats(writer_of(v), &w);
    hx_cache_stats(hx_session_cache(v->session), &c);
    v->info_ms = hx_vol_now(v);
    for (size_t keep = 1024;; keep /= 2) { /* a very long mount point is cut until all fits */
        char where[1025];
        snprintf(where, keep + 1, "%s", v->where);
        json_t *j = json_pack("{s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:s}", "host", v->host, "pid",
                              (json_int_t)getpid(), "mount", where, "version", HX_VERSION, "user_bytes",
                              (json_int_t)c.user_bytes, "record_bytes", (json_int_t)w.record_bytes, "wire_bytes",
                              (json_int_t)w.wire_bytes, "mtrs", (json_int_t)w.mtrs, "waiting", hx_vol_waiting(v));
        char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
        json_decref(j);
        bool fits = text && strlen(text) < HX_WRITER_INFO_MAX;
        if (fits)
            hx_writer_set_info(writer_of(v), text);
        free(text);
        if (fits || keep == 0)
            return;
    }
}

/* ---- who the other writer is ---- */
void hx_vol_holder_text(const struct hx_lookup_sum *s, char *text, size_t cap)
{
    json_t *j = json_loads(s->writer_text, 0, NULL);
    const char *host = "?", *mount = "?";
    json_int_t pid = 0;
    if (json_unpack(j, "{s?s, s?s, s?I}", "host", &host, "mount", &mount, "pid", &pid) == 0)
        snprintf(text, cap, "host %s, pid %lld, mounted on %s", host, (long long)pid, mount);
    else
        snprintf(text, cap, "a writer that did not say who it is");
    json_decref(j);
}

/* ---- the document ---- */
struct verdict {
    const char *state;
    char message[800];
    int code; /* 0, or HX_E_* */
};

static void judge(struct hx_vol *v, const struct member_sum *sums, struct verdict *ret)
{
    const struct hx_geometry *g = hx_writer_geometry(writer_of(v));
    unsigned down = 0, full = 0;
    uint32_t pg = 0;
    *ret = (struct verdict){.state = "OK"};
    if (hx_vol_state(v) == HX_VOL_FENCED) {
        ret->state = "FENCED";
        ret->code = HX_E_FENCED;
        snprintf(ret->message, sizeof(ret->message), "%s; unmount: hexad umount %.200s", hx_vol_why(v), v->where);
        return;
    }
    for (uint32_t i = 0; i < g->server_count; i++) {
        down += sums[i].member && !answers(sums[i].state) && sums[i].state != HX_MEMBER_UNKNOWN;
        full += strcmp(member_word(&sums[i]), "FULL") == 0;
    }
    unsigned fewest = hx_session_weakest(v->session, &pg);
    const struct hx_pg_members *row = &g->pgs[pg];
    unsigned need = hx_row_write_quorum(row), need_read = hx_row_read_quorum(row);
    uint64_t less = 0;
    for (uint32_t i = 0, live = hx_geometry_live(g); i < live; i++)
        less += hx_row_slots(&g->pgs[i]) != HX_MEMBERS_ALL;
    if (hx_vol_waiting(v)[0]) {
        ret->state = "WAITING";
        ret->code = fewest < need_read ? HX_E_NO_READ_QUORUM : HX_E_NO_WRITE_QUORUM;
        snprintf(ret->message, sizeof(ret->message), "%s", hx_vol_waiting(v));
    } else if (hx_vol_level(v) != HX_ROOM_PLENTY) {
        ret->state = "FULL";
        ret->code = HX_E_NOSPACE;
        snprintf(ret->message, sizeof(ret->message),
                 "fewer than a write quorum of segment servers have room left: %s get ENOSPC until there is more",
                 hx_vol_level(v) == HX_ROOM_SCARCE ? "bytes that need a new page" : "all changes but removals");
    } else if (down) {
        ret->state = "DEGRADED";
        ret->code = HX_E_DEGRADED;
        const char *how = full == down ? "are full" : full ? "do not answer or are full" : "do not answer";
        snprintf(ret->message, sizeof(ret->message),
                 "%u of %u segment servers %s; weakest is PG %u with %u of %u (writes need %u, reads %u)", down,
                 g->server_count, how, pg, fewest, hx_members_count(hx_row_slots(row)), need, need_read);
    } else if (less) {
        ret->state = "DEGRADED";
        ret->code = HX_E_DEGRADED;
        snprintf(ret->message, sizeof(ret->message),
                 "%llu groups have fewer than six members: their other places are given up, or to be filled again "
                 "(hexad status %.63s)", (unsigned long long)less, v->name);
    } else {
        snprintf(ret->message, sizeof(ret->message), "all segment servers answer");
    }
}

static json_t *segments_json(struct hx_vol *v, const struct member_sum *sums)
{
    const struct hx_geometry *g = hx_writer_geometry(writer_of(v));
    json_t *list = json_array();
    for (uint32_t i = 0; i < g->server_count; i++) {
        const struct member_sum *s = &sums[i];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:s}", "name", g->servers[i].name, "zone",
                            g->servers[i].zone, "url", g->servers[i].url, "state", member_word(s), "lag_lsns",
                            (json_int_t)s->lag, "rtt_us", (json_int_t)s->rtt_us, "silent_ms",
                            (json_int_t)s->silent_ms, "segments", (json_int_t)s->segments, "error",
                            s->last_error ? hx_err_text(s->last_error) : ""));
    }
    return list;
}

/* Who is being replaced by whom, and how far that is. */
static json_t *repair_json(struct hx_vol *v)
{
    const struct hx_geometry *g = hx_writer_geometry(writer_of(v));
    const struct hx_move *move = hx_session_driver(v->session);
    const struct hx_heal *heal = hx_session_heal(v->session);
    struct hx_heal_view h = {0};
    struct hx_change_view c;
    json_t *list = json_array();
    if (heal)
        hx_heal_view(heal, &h);
    for (size_t i = 0; move && hx_move_view(move, i, &c); i++)
        json_array_append_new(
            list, json_pack("{s:I, s:s, s:s, s:s, s:I, s:I, s:I, s:s}", "pg", (json_int_t)c.pg, "from",
                            g->servers[c.from].name, "to", g->servers[c.to].name, "state",
                            hx_change_state_name(c.state), "bytes_done", (json_int_t)c.bytes, "bytes_total",
                            (json_int_t)c.of, "since_ms", (json_int_t)c.since_ms, "error",
                            c.last_error ? hx_err_text(c.last_error) : ""));
    json_t *j = json_pack("{s:I, s:I, s:I, s:I, s:o}", "versions", (json_int_t)(move ? hx_move_versions(move) : 0),
                          "lost", (json_int_t)h.lost, "draining", (json_int_t)h.draining,
                          "no_spare", (json_int_t)h.no_spare, "changes", list);
    if (heal && h.after_ms != HX_HEAL_NEVER)
        json_object_set_new(j, "after_ms", json_integer((json_int_t)h.after_ms));
    return j;
}

static json_t *counters_json(struct hx_vol *v)
{
    struct hx_writer_stats w;
    struct hx_cache_stats c;
    struct hx_reader_stats r;
    struct hx_client_stats n;
    hx_writer_stats(writer_of(v), &w);
    hx_cache_stats(hx_session_cache(v->session), &c);
    hx_reader_stats(hx_session_reader(v->session), &r);
    hx_client_stats(v->client, &n);
    json_t *j = json_object();
#define COUNT(name, value) json_object_set_new(j, name, json_integer((json_int_t)(value)))
    COUNT("user_bytes", c.user_bytes);
    COUNT("record_bytes", w.record_bytes);
    COUNT("frame_bytes", w.frame_bytes);
    COUNT("wire_bytes", w.wire_bytes);
    COUNT("mtrs", w.mtrs);
    COUNT("records", w.records);
    COUNT("frames", w.frames);
    COUNT("room_waits", w.room_waits);
    COUNT("dropped_behind", w.dropped_behind);
    COUNT("cache_hits", c.hits);
    COUNT("cache_misses", c.misses);
    COUNT("cache_pages", c.pages);
    COUNT("pages_read", r.pages);
    COUNT("read_requests", r.requests);
    COUNT("read_hedges", r.hedges);
    COUNT("read_retries", r.retries);
    COUNT("pages_corrupt", r.corrupt);
    COUNT("requests", n.requests);
    COUNT("request_failures", n.failures);
    COUNT("bytes_sent", n.bytes_sent);
    COUNT("bytes_received", n.bytes_received);
#undef COUNT
    return j;
}

char *hx_vol_status_json(struct hx_vol *v, const struct hx_vol_usage *u)
{
    struct verdict verdict;
    const struct hx_writer *w = writer_of(v);
    struct member_sum *sums = w ? sum_members(v) : NULL;
    if (!sums)
        return NULL;
    const struct hx_geometry *g = hx_writer_geometry(w);
    judge(v, sums, &verdict);
    json_t *j = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:I, s:{s:s, s:I, s:s}, s:{s:I, s:I, s:I}, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
        "format", 1, "volume", v->name, "state", verdict.state, "message", verdict.message, "code", "", "epoch",
        (json_int_t)hx_writer_epoch(w).v, "writer", "host", v->host, "pid", (json_int_t)getpid(), "mount",
        v->where, "lsn", "last", (json_int_t)hx_writer_last(w).v, "vcl", (json_int_t)hx_writer_vcl(w).v,
        "vdl", (json_int_t)hx_writer_vdl(w).v, "protection_groups", (json_int_t)hx_geometry_live(g), "pg_bytes",
        (json_int_t)g->pg_bytes, "bytes", (json_int_t)(u->pages * HX_PAGE_SIZE), "bytes_used",
        (json_int_t)((u->pages - u->pages_free) * HX_PAGE_SIZE), "inodes", (json_int_t)u->inodes, "parked",
        (json_int_t)hx_vol_parked(v), "fuse_requests", (json_int_t)u->requests);
    if (j) {
        char code[16] = "";
        if (verdict.code)
            snprintf(code, sizeof code, "HX%04d", hx_err_info(verdict.code)->code);
        json_object_set_new(j, "code", json_string(code));
        json_object_set_new(j, "released_groups", json_integer((json_int_t)(g->pg_count - hx_geometry_live(g))));
        json_object_set_new(j, "segments", segments_json(v, sums));
        json_object_set_new(j, "repair", repair_json(v));
        json_object_set_new(j, "counters", counters_json(v));
    }
    char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
    json_decref(j);
    free(sums);
    return text;
}

/* ---- words ---- */
static void say(FILE *f, const char *label, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void say(FILE *f, const char *label, const char *fmt, ...)
{
    va_list ap;
    fprintf(f, "%*s: ", 8, label);
    va_start(ap, fmt);
    vfprintf(f, fmt, ap);
    va_end(ap);
    fputc('\n', f);
}

static void say_segments(FILE *f, struct hx_vol *v, const struct member_sum *sums)
{
    const struct hx_geometry *g = hx_writer_geometry(writer_of(v));
    fprintf(f, "%-16s %-12s %-8s %10s %10s  %s\n", "SEGMENT", "AZ", "STATE", "LAG", "ACK", "LAST");
    for (uint32_t i = 0; i < g->server_count; i++) {
        const struct member_sum *s = &sums[i];
        char ago[24];
        fprintf(f, "%-16s %-12s %-8s %10llu %7.1f ms  %s%s%s\n", g->servers[i].name, g->servers[i].zone,
                member_word(s), (unsigned long long)s->lag, s->rtt_us / 1000.0,
                s->silent_ms < 2000 ? "now" : hx_format_time(s->silent_ms, ago, sizeof ago),
                s->last_error ? "  " : "", s->last_error ? hx_err_text(s->last_error) : "");
    }
}

static void say_repair(FILE *f, struct hx_vol *v)
{
    const struct hx_geometry *g = hx_writer_geometry(writer_of(v));
    const struct hx_move *move = hx_session_driver(v->session);
    struct hx_heal_view h = {0};
    struct hx_change_view c;
    char far[HX_PROGRESS_TEXT];
    if (!move)
        return;
    hx_heal_view(hx_session_heal(v->session), &h);
    if (h.no_spare)
        say(f, "repair", "no spare for %llu segments, of %s and others: add a server in zone %s",
            (unsigned long long)h.no_spare, g->servers[h.no_spare_server].name, g->servers[h.no_spare_server].zone);
    if (h.draining)
        say(f, "drain", "%llu segments are still on servers that are to be emptied", (unsigned long long)h.draining);
    for (size_t i = 0; hx_move_view(move, i, &c); i++)
        if (c.state != HX_CHANGE_TELL)
            say(f, "repair", "PG %u: %s is replaced by %s: %s %s", c.pg, g->servers[c.from].name,
                g->servers[c.to].name, hx_change_state_name(c.state),
                hx_format_progress(c.bytes, c.of, c.since_ms, far));
}

char *hx_vol_status_text(struct hx_vol *v, const struct hx_vol_usage *u)
{
    struct verdict verdict;
    struct member_sum *sums = writer_of(v) ? sum_members(v) : NULL;
    char *text = NULL, total[24], used[24], a[24], b[24], c[24];
    size_t len;
    FILE *f = sums ? open_memstream(&text, &len) : NULL;
    if (!f) {
        free(sums);
        return NULL;
    }
    struct hx_writer_stats w;
    struct hx_cache_stats cs;
    hx_writer_stats(writer_of(v), &w);
    hx_cache_stats(hx_session_cache(v->session), &cs);
    judge(v, sums, &verdict);
    say(f, "volume", "%s   %s   %s used   epoch %llu (writer: %s pid %d, %s)", v->name,
        hx_format_size(u->pages * HX_PAGE_SIZE, total, sizeof total),
        hx_format_size((u->pages - u->pages_free) * HX_PAGE_SIZE, used, sizeof used),
        (unsigned long long)hx_writer_epoch(writer_of(v)).v, v->host, (int)getpid(), v->where);
    say(f, "state", "%s", verdict.state);
    say(f, "status", "%s", verdict.message);
    if (verdict.code)
        say(f, "see", "HX%04d, hexad-errors(7)", hx_err_info(verdict.code)->code);
    say(f, "log", "last LSN %llu, VCL %llu, VDL %llu; %zu operations wait",
        (unsigned long long)hx_writer_last(writer_of(v)).v, (unsigned long long)hx_writer_vcl(writer_of(v)).v,
        (unsigned long long)hx_writer_vdl(writer_of(v)).v, hx_vol_parked(v));
    say(f, "bytes", "%s written by programs, %s in records, %s on the wire (to six)",
        hx_format_size(cs.user_bytes, a, sizeof a), hx_format_size(w.record_bytes, b, sizeof b),
        hx_format_size(w.wire_bytes, c, sizeof c));
    say_repair(f, v);
    say_segments(f, v, sums);
    fclose(f);
    free(sums);
    return text;
}

/* ---- metrics ---- */
static void metric(FILE *f, const char *name, const char *type, const char *help, double value)
{
    fprintf(f, "# HELP hexad_%s %s\n# TYPE hexad_%s %s\nhexad_%s %.17g\n", name, help, name, type, name, value);
}

static void segment_metrics(FILE *f, struct hx_vol *v, const struct member_sum *sums)
{
    const struct hx_geometry *g = hx_writer_geometry(writer_of(v));
    fputs("# HELP hexad_segment_up Whether the segment server answers.\n# TYPE hexad_segment_up gauge\n", f);
    for (uint32_t i = 0; i < g->server_count; i++)
        fprintf(f, "hexad_segment_up{segment=\"%s\",zone=\"%s\"} %d\n", g->servers[i].name, g->servers[i].zone,
                answers(sums[i].state));
    fputs("# HELP hexad_segment_lag_lsns How far its SCL is behind.\n# TYPE hexad_segment_lag_lsns gauge\n", f);
    for (uint32_t i = 0; i < g->server_count; i++)
        fprintf(f, "hexad_segment_lag_lsns{segment=\"%s\",zone=\"%s\"} %llu\n", g->servers[i].name,
                g->servers[i].zone, (unsigned long long)sums[i].lag);
}

/* Only the kinds that have come: most never do. */
static void kind_metrics(FILE *f, const struct hx_vol_usage *u)
{
    if (!u->by_kind)
        return;
    fputs("# HELP hexad_fuse_requests Requests from the kernel, by kind.\n# TYPE hexad_fuse_requests counter\n", f);
    for (unsigned i = 0; i < u->kind_count; i++)
        if (u->by_kind[i] && u->kind_names[i])
            fprintf(f, "hexad_fuse_requests{kind=\"%s\"} %llu\n", u->kind_names[i], (unsigned long long)u->by_kind[i]);
}

char *hx_vol_metrics(struct hx_vol *v, const struct hx_vol_usage *u)
{
    struct member_sum *sums = writer_of(v) ? sum_members(v) : NULL;
    char *text = NULL;
    size_t len;
    FILE *f = sums ? open_memstream(&text, &len) : NULL;
    if (!f) {
        free(sums);
        return NULL;
    }
    struct hx_writer_stats w;
    struct hx_cache_stats c;
    struct hx_reader_stats r;
    hx_writer_stats(writer_of(v), &w);
    hx_cache_stats(hx_session_cache(v->session), &c);
    hx_reader_stats(hx_session_reader(v->session), &r);
    metric(f, "epoch", "gauge", "Volume epoch of this writer.", (double)hx_writer_epoch(writer_of(v)).v);
    metric(f, "fenced", "gauge", "1 when a newer writer owns the volume.", hx_vol_state(v) == HX_VOL_FENCED);
    metric(f, "lsn_last", "gauge", "Last LSN allocated.", (double)hx_writer_last(writer_of(v)).v);
    metric(f, "lsn_vdl", "gauge", "Volume durable LSN.", (double)hx_writer_vdl(writer_of(v)).v);
    metric(f, "parked_operations", "gauge", "Operations that wait.", (double)hx_vol_parked(v));
    metric(f, "volume_bytes", "gauge", "Bytes in protection groups.", (double)u->pages * HX_PAGE_SIZE);
    metric(f, "volume_free_bytes", "gauge", "Of them, not allocated.", (double)u->pages_free * HX_PAGE_SIZE);
    metric(f, "fuse_requests_total", "counter", "Requests from the kernel.", (double)u->requests);
    metric(f, "user_bytes_total", "counter", "Bytes written by programs.", (double)c.user_bytes);
    metric(f, "record_bytes_total", "counter", "Bytes of redo records.", (double)w.record_bytes);
    metric(f, "wire_bytes_total", "counter", "Bytes of append requests, to all servers.", (double)w.wire_bytes);
    metric(f, "mtrs_total", "counter", "Mini-transactions.", (double)w.mtrs);
    metric(f, "cache_hits_total", "counter", "Pages found in the cache.", (double)c.hits);
    metric(f, "cache_misses_total", "counter", "Pages not found in the cache.", (double)c.misses);
    metric(f, "cache_bytes", "gauge", "Bytes of cached pages.", (double)c.pages * HX_PAGE_SIZE);
    metric(f, "pages_read_total", "counter", "Pages fetched from segment servers.", (double)r.pages);
    metric(f, "read_requests_total", "counter", "Requests for pages, sent to segment servers.", (double)r.requests);
    metric(f, "read_retries_total", "counter", "Of them, to another server after one gave none.", (double)r.retries);
    metric(f, "read_hedges_total", "counter", "Reads that were also sent to a second server.", (double)r.hedges);
    metric(f, "pages_corrupt_total", "counter", "Page images that failed their checksum.", (double)r.corrupt);
    kind_metrics(f, u);
    segment_metrics(f, v, sums);
    fclose(f);
    free(sums);
    return text;
}
