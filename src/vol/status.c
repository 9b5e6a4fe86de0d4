/*
 * status.c - the volume as others see it: what is missing, the JSON document, words, metrics, and the line about this
 * writer that goes along with heartbeats.
 *
 * Reads the parts, changes nothing in them but the writer's info text.  The document is described in doc/json.md;
 * members are only ever added.  Memory: each text is the caller's.
 */
#include "vol_private.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

static const char *member_word(enum hx_member_state s)
{
    static const char *const words[] = {[HX_MEMBER_UNKNOWN] = "UNKNOWN", [HX_MEMBER_OK] = "OK",
                                        [HX_MEMBER_BEHIND] = "BEHIND", [HX_MEMBER_DOWN] = "DOWN",
                                        [HX_MEMBER_REFUSED] = "REFUSED"};
    return words[s];
}

static bool answers(enum hx_member_state s)
{
    return s == HX_MEMBER_OK || s == HX_MEMBER_BEHIND;
}

static struct member_sum *sum_members(struct hx_vol *v)
{
    const struct hx_geometry *g = hx_writer_geometry(v->writer);
    uint64_t now = hx_vol_now(v);
    struct member_sum *sums = calloc(g->server_count ? g->server_count : 1, sizeof(*sums));
    if (!sums)
        return NULL;
    for (uint32_t pg = 0; pg < g->pg_count; pg++)
        for (unsigned slot = 0; slot < HX_COPIES; slot++) {
            struct member_sum *s = &sums[g->pgs[pg].server[slot]];
            struct hx_member_view m;
            hx_writer_member(v->writer, pg, slot, now, &m);
            if (!s->member || badness(m.state) > badness(s->state)) {
                s->state = m.state;
                s->last_error = m.last_error;
            }
            uint64_t pgcl = hx_writer_pgcl(v->writer, pg).v;
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

/* The PG with the fewest members that answer. */
static unsigned weakest(struct hx_vol *v, uint32_t *ret_pg)
{
    const struct hx_geometry *g = hx_writer_geometry(v->writer);
    unsigned fewest = HX_COPIES + 1;
    for (uint32_t pg = 0; pg < g->pg_count; pg++) {
        unsigned n = 0;
        for (unsigned slot = 0; slot < HX_COPIES; slot++) {
            struct hx_member_view m;
            hx_writer_member(v->writer, pg, slot, hx_vol_now(v), &m);
            n += answers(m.state);
        }
        if (n < fewest) {
            fewest = n;
            *ret_pg = pg;
        }
    }
    return fewest;
}

static void silent_names(struct hx_vol *v, uint32_t pg, char *text, size_t cap)
{
    const struct hx_geometry *g = hx_writer_geometry(v->writer);
    size_t n = 0;
    text[0] = '\0';
    for (unsigned slot = 0; slot < HX_COPIES; slot++) {
        struct hx_member_view m;
        hx_writer_member(v->writer, pg, slot, hx_vol_now(v), &m);
        if (answers(m.state) || n + HX_NAME_MAX + 2 > cap)
            continue;
        n += (size_t)snprintf(text + n, cap - n, "%s%s", n ? " " : "", g->servers[g->pgs[pg].server[slot]].name);
    }
}

void hx_vol_describe_quorum(struct hx_vol *v, bool writing, char *text, size_t cap)
{
    uint32_t pg = 0;
    char names[300];
    unsigned n = weakest(v, &pg), need = writing ? HX_WRITE_QUORUM : HX_READ_QUORUM;
    silent_names(v, pg, names, sizeof names);
    if (n < need)
        snprintf(text, cap, "%s quorum missing: %u of 6 segment servers answer in PG %u (need %u); silent: %s",
                 writing ? "write" : "read", n, pg, need, names);
    else
        snprintf(text, cap, "the segment servers are slow: %u of 6 answer in PG %u%s%s", n, pg,
                 names[0] ? "; silent: " : "", names);
}

/* ---- what goes along with heartbeats ---- */
void hx_vol_refresh_info(struct hx_vol *v)
{
    struct hx_writer_stats w;
    struct hx_cache_stats c;
    hx_writer_stats(v->writer, &w);
    hx_cache_stats(v->cache, &c);
    v->info_ms = hx_vol_now(v);
    for (size_t keep = 1024;; keep /= 2) { /* a very long mount point is cut until all fits */
        char where[1025];
        snprintf(where, keep + 1, "%s", v->where);
        json_t *j = json_pack("{s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:s}", "host", v->host, "pid",
                              (json_int_t)getpid(), "mount", where, "version", HX_VERSION, "user_bytes",
                              (json_int_t)c.user_bytes, "record_bytes", (json_int_t)w.record_bytes, "wire_bytes",
                              (json_int_t)w.wire_bytes, "mtrs", (json_int_t)w.mtrs, "waiting", v->waiting);
        char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
        json_decref(j);
        bool fits = text && strlen(text) < HX_WRITER_INFO_MAX;
        if (fits)
            hx_writer_set_info(v->writer, text);
        free(text);
        if (fits || keep == 0)
            return;
    }
}

/* ---- room on the servers' disks ---- */
void hx_vol_room_answer(struct hx_vol *v, struct hx_vol_ask *a, int err, struct hx_bytes whole)
{
    struct hx_reply_head head;
    struct hx_bytes body;
    struct hx_hello h;
    (void)v;
    if (err || hx_reply_decode(whole.p, whole.len, &head, &body) || head.status)
        return;
    struct hx_dec d = hx_dec_init(body.p, body.len);
    if (hx_hello_decode(&h, &d))
        return;
    a->free_bytes = h.disk_free;
}

/* What two different servers of the zone of server I can both take; one that did not answer is taken to be like the
 * best of its zone.  False: nobody in that zone answered. */
static bool zone_room(const struct hx_vol_round *r, uint32_t i, uint64_t *ret)
{
    uint64_t sum = 0, best = 0;
    uint32_t silent = 0, count = 0;
    for (uint32_t k = 0; k < r->count; k++) {
        const struct hx_vol_ask *a = &r->asks[k];
        if (strcmp(a->server->zone, r->asks[i].server->zone) != 0)
            continue;
        count++;
        silent += !a->answered;
        sum += a->free_bytes;
        if (a->free_bytes > best)
            best = a->free_bytes;
    }
    if (silent == count)
        return false;
    sum += silent * best;
    *ret = sum / 2 < sum - best ? sum / 2 : sum - best;
    return true;
}

/* Each page lies on two servers of each of three zones: the zone with the least room decides.  Servers that share a
 * disk are counted as if each had its own: they cannot be told apart from here. */
static bool room_of(struct hx_vol *v, uint64_t *ret)
{
    uint64_t least = UINT64_MAX, room;
    for (uint32_t i = 0; i < v->hello.count; i++)
        if (zone_room(&v->hello, i, &room) && room < least)
            least = room;
    *ret = least;
    return least != UINT64_MAX;
}

static int ask_room(struct hx_vol *v)
{
    const struct hx_geometry *g = hx_writer_geometry(v->writer);
    struct hx_server *s = calloc(g->server_count, sizeof(*s));
    if (!s)
        return HX_E_NOMEM;
    memcpy(s, g->servers, g->server_count * sizeof(*s));
    hx_vol_round_stop(&v->hello);
    free(v->hello_servers);
    v->hello_servers = s;
    v->hello.answer = hx_vol_room_answer;
    v->room_ms = hx_vol_now(v);
    return hx_vol_round_start(v, &v->hello, HX_MSG_HELLO, s, g->server_count);
}

int hx_vol_room(struct hx_vol *v, uint64_t *ret_bytes)
{
    uint64_t now = hx_vol_now(v), room;
    if (!v->writer)
        return HX_E_AGAIN;
    if (v->hello.count && room_of(v, &room)) {
        v->room_known = true;
        v->room_bytes = room;
    }
    if ((v->state == HX_VOL_OPEN || v->state == HX_VOL_CLOSING) &&
        (v->hello.count == 0 || now - v->room_ms >= HX_VOL_ROOM_AGE_MS))
        (void)ask_room(v);
    if (!v->room_known)
        return HX_E_AGAIN;
    *ret_bytes = v->room_bytes;
    return 0;
}

/* ---- the document ---- */
struct verdict {
    const char *state;
    char message[800];
    int code; /* 0, or HX_E_* */
};

static void judge(struct hx_vol *v, const struct member_sum *sums, struct verdict *ret)
{
    const struct hx_geometry *g = hx_writer_geometry(v->writer);
    unsigned down = 0;
    uint32_t pg = 0;
    *ret = (struct verdict){.state = "OK"};
    if (v->state == HX_VOL_FENCED) {
        ret->state = "FENCED";
        ret->code = HX_E_FENCED;
        snprintf(ret->message, sizeof(ret->message), "%s; unmount: hexad umount %.200s", v->why, v->where);
        return;
    }
    for (uint32_t i = 0; i < g->server_count; i++)
        down += sums[i].member && !answers(sums[i].state) && sums[i].state != HX_MEMBER_UNKNOWN;
    unsigned fewest = weakest(v, &pg);
    if (v->waiting[0]) {
        ret->state = "WAITING";
        ret->code = fewest < HX_READ_QUORUM ? HX_E_NO_READ_QUORUM : HX_E_NO_WRITE_QUORUM;
        snprintf(ret->message, sizeof(ret->message), "%s", v->waiting);
    } else if (down) {
        ret->state = "DEGRADED";
        ret->code = HX_E_DEGRADED;
        snprintf(ret->message, sizeof(ret->message),
                 "%u of %u segment servers do not answer; weakest is PG %u with %u of 6 (writes need %u, reads %u)",
                 down, g->server_count, pg, fewest, HX_WRITE_QUORUM, HX_READ_QUORUM);
    } else {
        snprintf(ret->message, sizeof(ret->message), "all segment servers answer");
    }
}

static json_t *segments_json(struct hx_vol *v, const struct member_sum *sums)
{
    const struct hx_geometry *g = hx_writer_geometry(v->writer);
    json_t *list = json_array();
    for (uint32_t i = 0; i < g->server_count; i++) {
        const struct member_sum *s = &sums[i];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:s}", "name", g->servers[i].name, "zone",
                            g->servers[i].zone, "url", g->servers[i].url, "state",
                            s->member ? member_word(s->state) : "SPARE", "lag_lsns", (json_int_t)s->lag, "rtt_us",
                            (json_int_t)s->rtt_us, "silent_ms", (json_int_t)s->silent_ms, "segments",
                            (json_int_t)s->segments, "error", s->last_error ? hx_err_text(s->last_error) : ""));
    }
    return list;
}

static json_t *counters_json(struct hx_vol *v)
{
    struct hx_writer_stats w;
    struct hx_cache_stats c;
    struct hx_reader_stats r;
    struct hx_client_stats n;
    hx_writer_stats(v->writer, &w);
    hx_cache_stats(v->cache, &c);
    hx_reader_stats(v->reader, &r);
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
    struct member_sum *sums = v->writer ? sum_members(v) : NULL;
    if (!sums)
        return NULL;
    const struct hx_geometry *g = hx_writer_geometry(v->writer);
    judge(v, sums, &verdict);
    json_t *j = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:I, s:{s:s, s:I, s:s}, s:{s:I, s:I, s:I}, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
        "format", 1, "volume", v->name, "state", verdict.state, "message", verdict.message, "code", "", "epoch",
        (json_int_t)hx_writer_epoch(v->writer).v, "writer", "host", v->host, "pid", (json_int_t)getpid(), "mount",
        v->where, "lsn", "last", (json_int_t)hx_writer_last(v->writer).v, "vcl", (json_int_t)hx_writer_vcl(v->writer).v,
        "vdl", (json_int_t)hx_writer_vdl(v->writer).v, "protection_groups", (json_int_t)g->pg_count, "pg_bytes",
        (json_int_t)g->pg_bytes, "bytes", (json_int_t)(u->pages * HX_PAGE_SIZE), "bytes_used",
        (json_int_t)((u->pages - u->pages_free) * HX_PAGE_SIZE), "inodes", (json_int_t)u->inodes, "parked",
        (json_int_t)v->parking.count, "fuse_requests", (json_int_t)u->requests);
    if (j) {
        char code[16] = "";
        if (verdict.code)
            snprintf(code, sizeof code, "HX%04d", hx_err_info(verdict.code)->code);
        json_object_set_new(j, "code", json_string(code));
        json_object_set_new(j, "segments", segments_json(v, sums));
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
    const struct hx_geometry *g = hx_writer_geometry(v->writer);
    fprintf(f, "%-16s %-12s %-8s %10s %10s  %s\n", "SEGMENT", "AZ", "STATE", "LAG", "ACK", "LAST");
    for (uint32_t i = 0; i < g->server_count; i++) {
        const struct member_sum *s = &sums[i];
        char ago[24];
        fprintf(f, "%-16s %-12s %-8s %10llu %7.1f ms  %s%s%s\n", g->servers[i].name, g->servers[i].zone,
                s->member ? member_word(s->state) : "SPARE", (unsigned long long)s->lag, s->rtt_us / 1000.0,
                s->silent_ms < 2000 ? "now" : hx_format_time(s->silent_ms, ago, sizeof ago),
                s->last_error ? "  " : "", s->last_error ? hx_err_text(s->last_error) : "");
    }
}

char *hx_vol_status_text(struct hx_vol *v, const struct hx_vol_usage *u)
{
    struct verdict verdict;
    struct member_sum *sums = v->writer ? sum_members(v) : NULL;
    char *text = NULL, total[24], used[24], a[24], b[24], c[24];
    size_t len;
    FILE *f = sums ? open_memstream(&text, &len) : NULL;
    if (!f) {
        free(sums);
        return NULL;
    }
    struct hx_writer_stats w;
    struct hx_cache_stats cs;
    hx_writer_stats(v->writer, &w);
    hx_cache_stats(v->cache, &cs);
    judge(v, sums, &verdict);
    say(f, "volume", "%s   %s   %s used   epoch %llu (writer: %s pid %d, %s)", v->name,
        hx_format_size(u->pages * HX_PAGE_SIZE, total, sizeof total),
        hx_format_size((u->pages - u->pages_free) * HX_PAGE_SIZE, used, sizeof used),
        (unsigned long long)hx_writer_epoch(v->writer).v, v->host, (int)getpid(), v->where);
    say(f, "state", "%s", verdict.state);
    say(f, "status", "%s", verdict.message);
    if (verdict.code)
        say(f, "see", "HX%04d, hexad-errors(7)", hx_err_info(verdict.code)->code);
    say(f, "log", "last LSN %llu, VCL %llu, VDL %llu; %zu operations wait",
        (unsigned long long)hx_writer_last(v->writer).v, (unsigned long long)hx_writer_vcl(v->writer).v,
        (unsigned long long)hx_writer_vdl(v->writer).v, v->parking.count);
    say(f, "bytes", "%s written by programs, %s in records, %s on the wire (to six)",
        hx_format_size(cs.user_bytes, a, sizeof a), hx_format_size(w.record_bytes, b, sizeof b),
        hx_format_size(w.wire_bytes, c, sizeof c));
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
    const struct hx_geometry *g = hx_writer_geometry(v->writer);
    fputs("# HELP hexad_segment_up Whether the segment server answers.\n# TYPE hexad_segment_up gauge\n", f);
    for (uint32_t i = 0; i < g->server_count; i++)
        fprintf(f, "hexad_segment_up{segment=\"%s\",zone=\"%s\"} %d\n", g->servers[i].name, g->servers[i].zone,
                answers(sums[i].state));
    fputs("# HELP hexad_segment_lag_lsns How far its SCL is behind.\n# TYPE hexad_segment_lag_lsns gauge\n", f);
    for (uint32_t i = 0; i < g->server_count; i++)
        fprintf(f, "hexad_segment_lag_lsns{segment=\"%s\",zone=\"%s\"} %llu\n", g->servers[i].name,
                g->servers[i].zone, (unsigned long long)sums[i].lag);
}

char *hx_vol_metrics(struct hx_vol *v, const struct hx_vol_usage *u)
{
    struct member_sum *sums = v->writer ? sum_members(v) : NULL;
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
    hx_writer_stats(v->writer, &w);
    hx_cache_stats(v->cache, &c);
    hx_reader_stats(v->reader, &r);
    metric(f, "epoch", "gauge", "Volume epoch of this writer.", (double)hx_writer_epoch(v->writer).v);
    metric(f, "fenced", "gauge", "1 when a newer writer owns the volume.", v->state == HX_VOL_FENCED);
    metric(f, "lsn_last", "gauge", "Last LSN allocated.", (double)hx_writer_last(v->writer).v);
    metric(f, "lsn_vdl", "gauge", "Volume durable LSN.", (double)hx_writer_vdl(v->writer).v);
    metric(f, "parked_operations", "gauge", "Operations that wait.", (double)v->parking.count);
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
    metric(f, "read_hedges_total", "counter", "Reads that were also sent to a second server.", (double)r.hedges);
    metric(f, "pages_corrupt_total", "counter", "Page images that failed their checksum.", (double)r.corrupt);
    segment_metrics(f, v, sums);
    fclose(f);
    free(sums);
    return text;
}
