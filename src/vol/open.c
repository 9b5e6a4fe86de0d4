/*
 * open.c - from a name to an open volume: LOOKUP at the configured servers, then recovery, then the writer and
 * its cache.
 *
 * The protocol is in core (hx_lookup_sum, hx_recovery); here is who is asked, when to give up, and what is
 * said to people.
 * Giving up: a living writer (BUSY) unless takeover; nobody knows the volume (NO_VOLUME); certificates (TLS);
 * the bound soft_ms.  Otherwise it waits, and says for what.
 * A crash in the middle leaves an epoch that never opened: no trace (protocol.md).  Memory: what the parts own.
 */
#include "vol_private.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* Waiting: what is missing, then the details. */
static void tell(struct hx_vol *v, int err, const char *details)
{
    char text[480];
    if (hx_vol_now(v) - v->opened_ms < HX_VOL_OPEN_TELL_MS)
        return;
    snprintf(text, sizeof text, "%s: %s", hx_err_text(err), details);
    hx_vol_set_waiting(v, text);
}

/* Which quorum a recovery in this state lacks, if it lacks any. */
static int lacks(enum hx_recovery_state at)
{
    return at == HX_RECOVERY_FENCE || at == HX_RECOVERY_DECIDE ? HX_E_NO_READ_QUORUM : HX_E_NO_WRITE_QUORUM;
}

/* ---- LOOKUP ---- */

/* "lap-3 pid 812, /srv/db" out of what the writer says about itself. */
static void holder_text(const struct hx_lookup_sum *s, char *text, size_t cap)
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

static void lookup_answer(struct hx_vol *v, struct hx_vol_ask *a, int err, struct hx_bytes whole)
{
    if (err)
        return;
    a->err = hx_lookup_sum_add(&v->sum, whole);
    if (a->err)
        snprintf(a->why, sizeof(a->why), "%s", hx_err_text(a->err));
    a->answered = a->err == 0 || a->err == HX_E_NO_VOLUME || a->err == HX_E_ROLE;
}

/* What stands in the way of the look-up, in words, and the error that fits best. */
static int lookup_missing(const struct hx_vol *v, char *text, size_t cap)
{
    size_t n = 0;
    int err = HX_E_NO_READ_QUORUM;
    unsigned refused = 0, silent = 0;
    for (uint32_t i = 0; i < v->lookup.count; i++) {
        const struct hx_vol_ask *a = &v->lookup.asks[i];
        if (a->answered && a->err == 0)
            continue;
        if (a->err == HX_E_TLS || a->err == HX_E_ROLE)
            refused++, err = a->err;
        silent++;
        int k = snprintf(text + n, cap - n, "%s%s (%s)", n ? ", " : "no answer from ", a->server->name,
                         a->err ? hx_err_text(a->err) : "asked");
        n = k < 0 || n + (size_t)k >= cap ? cap - 1 : n + (size_t)k;
    }
    if (n == 0)
        snprintf(text, cap, "more servers of the volume must be in the configuration");
    return refused > 0 && silent == refused ? err : HX_E_NO_READ_QUORUM;
}

/* The first PG lies on six servers: when at most two of the configured ones cannot be asked, and none of the others
 * knows the volume, it does not exist. */
static bool nobody_knows(const struct hx_vol *v)
{
    uint32_t unsure = 0, no = 0;
    for (uint32_t i = 0; i < v->lookup.count; i++) {
        const struct hx_vol_ask *a = &v->lookup.asks[i];
        if (a->answered && a->err == HX_E_NO_VOLUME)
            no++;
        else
            unsure++;
    }
    return !v->sum.found && no > 0 && unsure <= HX_COPIES - HX_WRITE_QUORUM;
}

/* Everybody answered, and all that did not help was refused: waiting would not change it. */
static bool all_refused(const struct hx_vol *v)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; i < v->lookup.count; i++) {
        const struct hx_vol_ask *a = &v->lookup.asks[i];
        bool refused = !a->net && (a->err == HX_E_TLS || a->err == HX_E_ROLE);
        if (!refused && !(a->answered && a->err == 0))
            return false;
        bad += refused;
    }
    return bad > 0;
}

static int start_recovery(struct hx_vol *v)
{
    struct hx_recovery_cfg cfg = {
        .hint = &v->sum.geometry,
        .epoch_seen = v->sum.epoch,
        .seed = hx_random_u64(),
        .owner = hx_random_uuid(),
        .now_ms = hx_vol_now(v),
    };
    int err = hx_recovery_new(&cfg, &v->recovery);
    if (err == 0) {
        hx_vol_round_stop(&v->lookup);
        hx_vol_set_state(v, HX_VOL_RECOVERY);
    }
    return err;
}

static bool lookup_step(struct hx_vol *v)
{
    char text[400];
    if (hx_lookup_sum_enough(&v->sum)) {
        if (v->sum.writer_alive > 0 && !v->cfg.takeover) {
            holder_text(&v->sum, text, sizeof text);
            hx_vol_fail(v, HX_E_BUSY, "%s (epoch %llu, heard %llu ms ago)", text, (unsigned long long)v->sum.epoch.v,
                        (unsigned long long)v->sum.writer_ago_ms);
            return true;
        }
        int err = start_recovery(v);
        if (err)
            hx_vol_fail(v, err, "recovery cannot start");
        return true;
    }
    if (nobody_knows(v)) {
        hx_vol_fail(v, HX_E_NO_VOLUME, "%s", v->name);
        return true;
    }
    int err = lookup_missing(v, text, sizeof text);
    if (all_refused(v)) {
        hx_vol_fail(v, err, "%s", text);
        return true;
    }
    tell(v, HX_E_NO_READ_QUORUM, text);
    return false;
}

/* ---- RECOVERY ---- */
static size_t window_bytes(const struct hx_vol *v)
{
    uint64_t window = v->cfg.window_bytes ? v->cfg.window_bytes : HX_VOL_WINDOW_DEFAULT;
    return (size_t)window;
}

static int make_parts(struct hx_vol *v, const struct hx_recovery_result *res)
{
    struct hx_writer_cfg w = {
        .geometry = &res->geometry,
        .history = &res->history,
        .owner = res->owner,
        .pgs = res->pgs,
        .window_bytes = window_bytes(v),
        .now_ms = hx_vol_now(v),
    };
    struct hx_cache_cfg c = {.cache_bytes = (size_t)v->cfg.cache_bytes, .read_only = v->cfg.read_only};
    int err = hx_writer_new(&w, &v->writer);
    if (err == 0)
        err = hx_cache_new(&c, v->writer, &v->cache);
    if (err == 0)
        err = hx_reader_new(v->writer, hx_random_u64(), &v->reader);
    if (err == 0)
        err = hx_parking_init(&v->parking, v->cfg.cache_bytes / 4 / HX_PAGE_SIZE);
    if (err)
        return err;
    hx_notepager_init(&v->pager, hx_cache_pager(v->cache));
    v->owner = res->owner;
    v->vdl = hx_writer_vdl(v->writer);
    v->progress_ms = hx_vol_now(v);
    return 0;
}

static void opened(struct hx_vol *v)
{
    int err = make_parts(v, hx_recovery_result(v->recovery));
    hx_vol_cancel_part(v, HX_PART_RECOVERY);
    hx_recovery_free(v->recovery);
    v->recovery = NULL;
    if (err) {
        hx_vol_fail(v, err, "the client's parts cannot be made");
        return;
    }
    hx_vol_set_waiting(v, "");
    hx_log(HX_LOG_INFO, "volume %s is open: epoch %llu, %u protection groups, VDL %llu, after %llu ms", v->name,
           (unsigned long long)hx_writer_epoch(v->writer).v, hx_writer_geometry(v->writer)->pg_count,
           (unsigned long long)v->vdl.v, (unsigned long long)(hx_vol_now(v) - v->opened_ms));
    uint64_t room;
    hx_vol_refresh_info(v);
    hx_vol_set_state(v, HX_VOL_OPEN);
    if (v->state == HX_VOL_OPEN)
        (void)hx_vol_room(v, &room); /* asks, so that the first df knows */
}

static bool recovery_step(struct hx_vol *v)
{
    char text[400];
    switch (hx_recovery_state(v->recovery)) {
    case HX_RECOVERY_OPEN:
        opened(v);
        return true;
    case HX_RECOVERY_FAILED:
        hx_recovery_waiting(v->recovery, text, sizeof text);
        hx_vol_fail(v, hx_recovery_error(v->recovery), "%s", text);
        return true;
    default:
        if (hx_vol_now(v) - v->opened_ms < HX_VOL_OPEN_TELL_MS)
            return false;
        hx_recovery_waiting(v->recovery, text, sizeof text);
        tell(v, lacks(hx_recovery_state(v->recovery)), text);
        return false;
    }
}

/* ---- both ---- */
int hx_vol_open_start(struct hx_vol *v)
{
    v->opened_ms = hx_vol_now(v);
    v->lookup.answer = lookup_answer;
    return hx_vol_round_start(v, &v->lookup, HX_MSG_LOOKUP, v->cfg.conf->servers, v->cfg.conf->server_count);
}

static void too_late(struct hx_vol *v)
{
    char text[400];
    int err = HX_E_NO_READ_QUORUM;
    if (v->state == HX_VOL_LOOKUP) {
        err = lookup_missing(v, text, sizeof text);
    } else {
        hx_recovery_waiting(v->recovery, text, sizeof text);
        err = lacks(hx_recovery_state(v->recovery));
    }
    hx_vol_fail(v, err, "%s", text);
}

bool hx_vol_open_step(struct hx_vol *v)
{
    bool changed = v->state == HX_VOL_LOOKUP ? lookup_step(v) : recovery_step(v);
    if (!changed && v->cfg.soft_ms && hx_vol_now(v) - v->opened_ms >= v->cfg.soft_ms) {
        too_late(v);
        return true;
    }
    return changed;
}

/* ---- after a fence: who is it? ---- */
static void fence_answer(struct hx_vol *v, struct hx_vol_ask *a, int err, struct hx_bytes whole)
{
    char text[300];
    if (err == 0)
        err = hx_lookup_sum_add(&v->sum, whole);
    a->answered = v->fence_told; /* until it is known, everybody is asked again */
    uint64_t ours = hx_writer_epoch(v->writer).v;
    if (err || v->fence_told || v->sum.epoch.v <= ours)
        return;
    holder_text(&v->sum, text, sizeof text);
    snprintf(v->why, sizeof(v->why), "%s took over with epoch %llu from our epoch %llu",
             v->sum.writer_text[0] ? text : "a newer writer", (unsigned long long)v->sum.epoch.v,
             (unsigned long long)ours);
    if (v->sum.writer_text[0]) {
        v->fence_told = a->answered = true;
        hx_log(HX_LOG_ERR, "volume %s: fenced: %s", v->name, v->why);
    }
}

void hx_vol_who_fenced(struct hx_vol *v)
{
    hx_lookup_sum_fini(&v->sum);
    v->sum = (struct hx_lookup_sum){0};
    v->lookup.answer = fence_answer;
    (void)hx_vol_round_start(v, &v->lookup, HX_MSG_LOOKUP, v->cfg.conf->servers, v->cfg.conf->server_count);
}
