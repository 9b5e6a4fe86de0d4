/*
 * session_open.c - from a name to an open volume: LOOKUP at the configured servers, then recovery, then the writer and
 * its cache; and after a fence, who it was.
 *
 * The protocol is in lookup.c and recovery.c; here is who is asked, when to give up, and what is said to people.
 * Giving up: a living writer (BUSY) unless takeover; nobody knows the volume (NO_VOLUME); certificates (TLS);
 * the bound soft_ms.  Otherwise it waits, and says for what.
 * A crash in the middle leaves an epoch that never opened: no trace (doc/PROTOCOL.md).  Memory: what the parts own.
 */
#include "session_int.h"

#include "hexad/assert.h"

#include <stdio.h>
#include <stdlib.h>

/* Waiting: what is missing, then the details. */
static void tell(struct hx_session *s, int err, const char *details)
{
    char text[480];
    if (s->now_ms - s->opened_ms < HX_SESSION_OPEN_TELL_MS)
        return;
    snprintf(text, sizeof text, "%s: %s", hx_err_text(err), details);
    hx_session_say_waiting(s, text);
}

/* Which quorum a recovery in this state lacks, if it lacks any: only the decision is content with three. */
static int lacks(enum hx_recovery_state at)
{
    return at == HX_RECOVERY_DECIDE ? HX_E_NO_READ_QUORUM : HX_E_NO_WRITE_QUORUM;
}

/* ---- LOOKUP ---- */

/* What is known is what the servers said last, and lately: a writer may have come or gone while others are waited
 * for, and a second one is refused only by those who know of the first. */
static void sum_up(struct hx_session *s)
{
    hx_lookup_sum_fini(&s->sum);
    for (uint32_t i = 0; i < s->lookup.asks->count; i++) {
        struct hx_session_ask *a = &s->lookup.asks->ask[i];
        if (!a->last || s->now_ms - a->last_ms > HX_SESSION_LOOKUP_AGE_MS + HX_SESSION_ASK_MS)
            continue;
        a->err = hx_lookup_sum_add(&s->sum, (struct hx_bytes){a->last, a->last_len});
        a->answered = a->err == 0 || a->err == HX_E_NO_VOLUME || a->err == HX_E_ROLE;
    }
}

static void opening_answer(struct hx_session *s, struct hx_session_ask *a, int err, struct hx_bytes body)
{
    free(a->last);
    a->last = err == 0 ? malloc(body.len) : NULL;
    a->last_len = body.len;
    a->last_ms = s->now_ms;
    if (a->last)
        memcpy(a->last, body.p, body.len);
    else if (err == 0)
        a->err = HX_E_NOMEM;
    a->answered = false;
    sum_up(s);
    uint32_t pause = a->answered ? HX_SESSION_LOOKUP_AGE_MS : HX_SESSION_ASK_AGAIN_MS;
    hx_session_round_again(&s->lookup, a, s->now_ms + pause);
}

/* What stands in the way of the look-up, in words, and the error that fits best. */
static int lookup_missing(const struct hx_session *s, char *text, size_t cap)
{
    size_t n = 0;
    int err = HX_E_NO_READ_QUORUM;
    unsigned refused = 0, silent = 0;
    for (uint32_t i = 0; i < s->lookup.asks->count; i++) {
        const struct hx_session_ask *a = &s->lookup.asks->ask[i];
        if (a->answered && a->err == 0)
            continue;
        if (a->err == HX_E_TLS || a->err == HX_E_ROLE)
            refused++, err = a->err;
        silent++;
        int k = snprintf(text + n, cap - n, "%s%s (%s)", n ? ", " : "no answer from ", a->server->name,
                         a->err ? hx_err_text(a->err) : "asked");
        hx_assert(k >= 0);
        n = n + (size_t)k >= cap ? cap - 1 : n + (size_t)k;
    }
    if (n == 0)
        snprintf(text, cap, "the servers that know all of the volume are not known yet");
    return refused > 0 && silent == refused ? err : HX_E_NO_READ_QUORUM;
}

/* The first PG lies on six servers: when at most two of the configured ones cannot be asked, and none of the others
 * knows the volume, it does not exist. */
static bool nobody_knows(const struct hx_session *s)
{
    uint32_t unsure = 0, no = 0;
    for (uint32_t i = 0; i < s->lookup.asks->count; i++) {
        const struct hx_session_ask *a = &s->lookup.asks->ask[i];
        if (a->answered && a->err == HX_E_NO_VOLUME)
            no++;
        else
            unsure++;
    }
    return !s->sum.found && no > 0 && unsure <= HX_COPIES - HX_WRITE_QUORUM;
}

/* Everybody answered, and all that did not help was refused: waiting would not change it. */
static bool all_refused(const struct hx_session *s)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; i < s->lookup.asks->count; i++) {
        const struct hx_session_ask *a = &s->lookup.asks->ask[i];
        bool refused = !a->call && (a->err == HX_E_TLS || a->err == HX_E_ROLE);
        if (!refused && !(a->answered && a->err == 0))
            return false;
        bad += refused;
    }
    return bad > 0;
}

static void start_recovery(struct hx_session *s)
{
    struct hx_recovery_cfg cfg = {
        .hint = &s->sum.geometry,
        .epoch_seen = s->sum.epoch,
        .seed = hx_session_random(s),
        .owner = s->owner,
        .now_ms = s->now_ms,
        .lost = s->lost,
        .lost_count = s->lost_count,
    };
    int err = hx_recovery_new(&cfg, &s->recovery);
    if (err) {
        hx_session_fail(s, err, "recovery cannot start");
        return;
    }
    hx_session_round_stop(s, &s->lookup);
    hx_session_move(s, HX_SESSION_RECOVERY);
}

/* Is this server, under this URL, among those of the round? */
static bool is_asked(const struct hx_session *s, const struct hx_server *server)
{
    for (uint32_t i = 0; i < s->lookup.asks->count; i++)
        if (strcmp(s->lookup.asks->ask[i].server->url, server->url) == 0)
            return true;
    return false;
}

/* Whoever answered named PG 0's members: those that the configuration does not have are asked, too, so that any few
 * servers of a volume are enough to find it.  Out of memory: at the next step. */
static void follow_way(struct hx_session *s)
{
    const struct hx_server *m, *more[HX_COPIES];
    uint32_t n = 0;
    for (unsigned slot = 0; (m = hx_lookup_sum_way(&s->sum, &slot)) != NULL;)
        if (!is_asked(s, m))
            more[n++] = m;
    if (n > 0)
        (void)hx_session_round_extend(s, &s->lookup, more, n);
}

static bool lookup_step(struct hx_session *s)
{
    char text[400];
    if (hx_lookup_sum_enough(&s->sum)) {
        if (s->sum.writer_alive > 0 && !s->takeover)
            hx_session_fail(s, HX_E_BUSY, "another writer is alive (epoch %llu, heard %llu ms ago)",
                            (unsigned long long)s->sum.epoch.v, (unsigned long long)s->sum.writer_ago_ms);
        else
            start_recovery(s);
        return true;
    }
    if (nobody_knows(s)) {
        hx_session_fail(s, HX_E_NO_VOLUME, "%s", s->name);
        return true;
    }
    follow_way(s);
    int err = lookup_missing(s, text, sizeof text);
    if (all_refused(s)) {
        hx_session_fail(s, err, "%s", text);
        return true;
    }
    tell(s, HX_E_NO_READ_QUORUM, text);
    return false;
}

/* ---- RECOVERY ---- */
static int make_parts(struct hx_session *s, const struct hx_recovery_result *res)
{
    struct hx_writer_cfg w = {
        .geometry = &res->geometry,
        .history = &res->history,
        .owner = res->owner,
        .pgs = res->pgs,
        .window_bytes = (size_t)s->window_bytes,
        .now_ms = s->now_ms,
    };
    struct hx_cache_cfg c = {.cache_bytes = (size_t)s->cache_bytes, .read_only = s->read_only};
    int err = hx_writer_new(&w, &s->writer);
    if (err == 0)
        err = hx_cache_new(&c, s->writer, &s->cache);
    if (err == 0)
        err = hx_reader_new(s->writer, hx_session_random(s), &s->reader);
    if (err == 0)
        err = hx_parking_init(&s->parking, s->cache_bytes / 4 / HX_PAGE_SIZE);
    if (err == 0 && !s->read_only)
        err = hx_move_new(s->writer, &res->owner, s->now_ms, &s->driver);
    if (err == 0 && s->driver)
        hx_move_rate(s->driver, s->repair_rate);
    if (err == 0 && s->driver)
        err = hx_heal_new(s->writer, s->driver, s->repair_after_ms, s->now_ms, &s->heal);
    if (err)
        return err;
    hx_notepager_init(&s->pager, hx_cache_pager(s->cache));
    hx_writer_set_time(s->writer, s->time_us);
    s->owner = res->owner;
    s->vdl = hx_writer_vdl(s->writer);
    s->progress_ms = s->now_ms;
    return 0;
}

static void opened(struct hx_session *s)
{
    uint64_t room;
    int err = make_parts(s, hx_recovery_result(s->recovery));
    hx_session_bury_recovery(s);
    if (err) {
        hx_session_fail(s, err, "the client's parts cannot be made");
        return;
    }
    hx_session_say_waiting(s, "");
    hx_session_move(s, HX_SESSION_OPEN);
    (void)hx_session_room(s, s->now_ms, &room); /* asks, so that the first df knows */
}

static bool recovery_step(struct hx_session *s)
{
    char text[400];
    switch (hx_recovery_state(s->recovery)) {
    case HX_RECOVERY_OPEN:
        opened(s);
        return true;
    case HX_RECOVERY_FAILED:
        hx_recovery_waiting(s->recovery, text, sizeof text);
        hx_session_fail(s, hx_recovery_error(s->recovery), "%s", text);
        return true;
    default:
        if (s->now_ms - s->opened_ms < HX_SESSION_OPEN_TELL_MS)
            return false;
        hx_recovery_waiting(s->recovery, text, sizeof text);
        tell(s, lacks(hx_recovery_state(s->recovery)), text);
        return false;
    }
}

/* ---- both ---- */
int hx_session_open_start(struct hx_session *s)
{
    s->opened_ms = s->now_ms;
    return hx_session_round_start(s, &s->lookup, HX_MSG_LOOKUP, s->servers, s->server_count, false);
}

static void too_late(struct hx_session *s)
{
    char text[400];
    int err = HX_E_NO_READ_QUORUM;
    if (s->state == HX_SESSION_LOOKUP) {
        err = lookup_missing(s, text, sizeof text);
    } else {
        hx_recovery_waiting(s->recovery, text, sizeof text);
        err = lacks(hx_recovery_state(s->recovery));
    }
    hx_session_fail(s, err, "%s", text);
}

bool hx_session_open_step(struct hx_session *s)
{
    bool changed = s->state == HX_SESSION_LOOKUP ? lookup_step(s) : recovery_step(s);
    if (!changed && s->soft_ms && s->now_ms - s->opened_ms >= s->soft_ms) {
        too_late(s);
        return true;
    }
    return changed;
}

/* ---- after a fence: who is it? ---- */
static void fenced_answer(struct hx_session *s, struct hx_session_ask *a, int err, struct hx_bytes body)
{
    struct hx_lookup_sum one = {0};
    uint64_t ours = hx_writer_epoch(s->writer).v;
    if (err == 0)
        err = hx_lookup_sum_add(&one, body);
    if (err == 0 && one.epoch.v > ours)
        snprintf(s->why, sizeof(s->why), "a newer writer took over with epoch %llu from our epoch %llu",
                 (unsigned long long)one.epoch.v, (unsigned long long)ours);
    /* A server that the newer one has not written to yet only knows what we said ourselves. */
    if (err || one.writer_epoch.v <= ours || one.writer_text[0] == '\0') {
        hx_lookup_sum_fini(&one);
        hx_session_round_again(&s->lookup, a, s->now_ms + HX_SESSION_ASK_AGAIN_MS);
        return;
    }
    hx_lookup_sum_fini(&s->sum);
    s->sum = one;
    s->news |= HX_NEWS_SUCCESSOR;
    hx_session_round_stop(s, &s->lookup);
}

void hx_session_who_fenced(struct hx_session *s)
{
    (void)hx_session_round_start(s, &s->lookup, HX_MSG_LOOKUP, s->servers, s->server_count, false);
}

void hx_session_lookup_answer(struct hx_session *s, uint64_t call, int err, struct hx_bytes body)
{
    struct hx_session_ask *a = hx_session_round_over(&s->lookup, call, err);
    if (!a)
        return;
    if (s->state == HX_SESSION_FENCED)
        fenced_answer(s, a, err, body);
    else
        opening_answer(s, a, err, body);
}
