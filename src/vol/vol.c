/*
 * vol.c - the volume client around its session: the loop, timers, requests, log lines, callbacks.
 *
 * Decides nothing: hexad/session.h does.  The pump drains the session once at the end of each iteration of the loop
 * in which anything happened, and when a timer of the session is due.  So a lone commit is sent in the iteration in
 * which its fsync came, and an answer of the quorum completes it in the iteration in which it arrived.
 *
 * Invariants V1..V3 are in hexad/vol.h.  Late answers: see calls.c.  Memory: the session's, and calls.c's.
 */
#include "vol_private.h"

#include "hexad/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Static_assert((int)HX_VOL_LOOKUP == (int)HX_SESSION_LOOKUP && (int)HX_VOL_RECOVERY == (int)HX_SESSION_RECOVERY &&
                   (int)HX_VOL_OPEN == (int)HX_SESSION_OPEN && (int)HX_VOL_FENCED == (int)HX_SESSION_FENCED &&
                   (int)HX_VOL_CLOSING == (int)HX_SESSION_CLOSING && (int)HX_VOL_CLOSED == (int)HX_SESSION_CLOSED &&
                   (int)HX_VOL_FAILED == (int)HX_SESSION_FAILED,
               "the states are the session's");

/* ---- what the session says ---- */
static void log_fenced(struct hx_vol *v)
{
    hx_log(HX_LOG_ERR,
           "volume %s: HX%04d fenced: %s; this mount answers every operation with an error from now on; "
           "%llu records were not durable; unmount: hexad umount %s",
           v->name, hx_err_info(HX_E_FENCED)->code, hx_vol_why(v), (unsigned long long)hx_vol_unsafe(v), v->where);
}

static void log_open(struct hx_vol *v)
{
    const struct hx_writer *w = hx_session_writer(v->session);
    hx_log(HX_LOG_INFO, "volume %s is open: epoch %llu, %u protection groups, VDL %llu, after %llu ms", v->name,
           (unsigned long long)hx_writer_epoch(w).v, hx_writer_geometry(w)->pg_count,
           (unsigned long long)hx_writer_vdl(w).v, (unsigned long long)(hx_vol_now(v) - v->opened_ms));
}

static void state_changed(struct hx_vol *v, enum hx_session_state to)
{
    const struct hx_lookup_sum *sum = hx_session_lookup(v->session);
    char text[300];
    hx_log(HX_LOG_DEBUG, "volume %s: now %s", v->name, hx_session_state_name(to));
    if (to == HX_SESSION_OPEN) {
        log_open(v);
        hx_vol_refresh_info(v);
    } else if (to == HX_SESSION_FENCED) {
        log_fenced(v);
    } else if (to == HX_SESSION_FAILED && hx_session_error(v->session) == HX_E_BUSY) {
        hx_vol_holder_text(sum, text, sizeof text);
        snprintf(v->why, sizeof(v->why), "%s (epoch %llu, heard %llu ms ago)", text, (unsigned long long)sum->epoch.v,
                 (unsigned long long)sum->writer_ago_ms);
    }
    v->cfg.state(v->cfg.ctx, (enum hx_vol_state)to);
}

static void successor(struct hx_vol *v)
{
    const struct hx_lookup_sum *sum = hx_session_lookup(v->session);
    char text[300];
    hx_vol_holder_text(sum, text, sizeof text);
    snprintf(v->why, sizeof(v->why), "%s took over with epoch %llu from our epoch %llu", text,
             (unsigned long long)sum->epoch.v,
             (unsigned long long)hx_writer_epoch(hx_session_writer(v->session)).v);
    hx_log(HX_LOG_ERR, "volume %s: fenced: %s", v->name, v->why);
}

static void carry_out(struct hx_vol *v, const struct hx_session_effect *e)
{
    switch (e->kind) {
    case HX_SESSION_SEND:
        hx_vol_send(v, &e->net);
        break;
    case HX_SESSION_CANCEL:
        hx_vol_cancel_call(v, e->net.call);
        break;
    case HX_SESSION_CANCEL_PART:
        hx_vol_cancel_part(v, e->part);
        break;
    case HX_SESSION_RUN:
        v->cfg.run(v->cfg.ctx, e->op);
        break;
    case HX_SESSION_STATE:
        state_changed(v, e->state);
        break;
    case HX_SESSION_WAITING:
        v->cfg.waiting(v->cfg.ctx, e->text);
        break;
    case HX_SESSION_GREW:
        hx_log(HX_LOG_INFO, "volume %s has grown to %u protection groups", v->name, e->count);
        break;
    case HX_SESSION_NOT_GREW:
        hx_log_every(10000, HX_LOG_WARN, "volume %s cannot grow: HX%04d %s", v->name, hx_err_info(e->err)->code,
                     hx_err_text(e->err));
        break;
    case HX_SESSION_BAD_PAGE:
        hx_log_every(1000, HX_LOG_ERR, "page %llu cannot be read: HX%04d %s", (unsigned long long)e->page.v,
                     hx_err_info(e->err)->code, hx_err_text(e->err));
        break;
    case HX_SESSION_SUCCESSOR:
        successor(v);
        break;
    case HX_SESSION_IDLE:
        v->pumping = false; /* what background work asks for with a kick comes in the next turn of the loop */
        v->cfg.idle(v->cfg.ctx);
        v->pumping = true;
        break;
    }
}

/* ---- the pump ---- */

/* True: stopped before all was done, to give others their turn. */
static bool drain(struct hx_vol *v)
{
    struct hx_session_effect e;
    unsigned ran = 0;
    bool outer = v->pumping;
    v->pumping = true;
    while (ran < HX_VOL_RUN_MAX && hx_session_next(v->session, &e)) {
        ran += e.kind == HX_SESSION_RUN;
        carry_out(v, &e);
    }
    v->pumping = outer;
    return ran >= HX_VOL_RUN_MAX;
}

static void pump(void *ctx)
{
    struct hx_vol *v = ctx;
    uint64_t now = hx_vol_now(v);
    hx_session_set_time(v->session, hx_clock_wall_us());
    if (hx_session_writer(v->session) && now - v->info_ms >= HX_VOL_INFO_MS)
        hx_vol_refresh_info(v);
    hx_session_tick(v->session, now);
    bool more = drain(v);
    uint64_t wait = hx_session_wait(v->session), room_wait = hx_vol_room_work(v);
    hx_timer_set(v->timer, more ? 0 : wait < room_wait ? wait : room_wait);
}

void hx_vol_kick(struct hx_vol *v)
{
    if (!v->pumping)
        hx_defer_call(v->defer);
}

/* ---- making and unmaking ---- */
static void certificates(void *ctx, enum hx_renewal_news news, const char *text)
{
    (void)ctx;
    if (news == HX_RENEWAL_TAKEN)
        hx_log(HX_LOG_NOTE, "new connections use %s as it is now", text);
    else if (news == HX_RENEWAL_REFUSED)
        hx_log(HX_LOG_ERR, "the certificates were changed, and cannot be used: %s; those of before stay in use: "
               "mend the "
               "files (hexad cert show FILE)", text);
    else
        hx_log(HX_LOG_WARN, "%s: hexad cert renew", text);
}

static int make_session(struct hx_vol *v)
{
    struct hx_session_cfg cfg = {
        .name = v->name,
        .servers = v->cfg.conf->servers,
        .server_count = v->cfg.conf->server_count,
        .takeover = v->cfg.takeover,
        .lost = v->cfg.lost,
        .lost_count = v->cfg.lost_count,
        .read_only = v->cfg.read_only,
        .cache_bytes = v->cfg.cache_bytes,
        .window_bytes = v->cfg.window_bytes,
        .soft_ms = v->cfg.soft_ms,
        .repair_after_ms = v->cfg.repair_after_ms,
        .repair_rate = v->cfg.repair_rate,
        .owner = hx_random_uuid(),
        .seed = hx_random_u64(),
        .now_ms = hx_vol_now(v),
    };
    v->opened_ms = cfg.now_ms;
    hx_room_init(&v->room, v->cfg.window_bytes ? v->cfg.window_bytes : HX_SESSION_WINDOW_DEFAULT);
    return hx_session_new(&cfg, &v->session);
}

int hx_vol_open(const struct hx_vol_cfg *cfg, struct hx_vol **ret, char why[HX_WHY_MAX])
{
    struct hx_vol *v = calloc(1, sizeof(*v));
    if (!v)
        return HX_E_NOMEM;
    v->cfg = *cfg;
    if (v->cfg.cache_bytes == 0)
        v->cfg.cache_bytes = HX_VOL_CACHE_DEFAULT;
    if (v->cfg.cache_bytes < HX_VOL_CACHE_MIN)
        v->cfg.cache_bytes = HX_VOL_CACHE_MIN;
    snprintf(v->name, sizeof(v->name), "%s", cfg->name);
    v->where = strdup(cfg->where ? cfg->where : "");
    if (gethostname(v->host, sizeof(v->host) - 1) < 0)
        snprintf(v->host, sizeof(v->host), "?");
    struct hx_tls_cfg tls = {cfg->conf->ca, cfg->conf->cert, cfg->conf->key};
    int err = v->where ? 0 : HX_E_NOMEM;
    if (err == 0)
        err = hx_tls_check(&tls, why);
    if (err == 0)
        err = hx_client_new(cfg->loop, &tls, &v->client, why);
    const struct hx_renewal_cfg renewal = {.client = v->client, .tell = certificates, .ctx = v};
    if (err == 0)
        err = hx_renewal_new(cfg->loop, &tls, &renewal, &v->renewal, why);
    if (err == 0)
        err = hx_timer_new(cfg->loop, pump, v, &v->timer);
    if (err == 0)
        err = hx_defer_new(cfg->loop, pump, v, &v->defer);
    if (err == 0)
        err = make_session(v);
    if (err) {
        hx_vol_free(v);
        return err;
    }
    hx_vol_kick(v);
    *ret = v;
    return 0;
}

void hx_vol_free(struct hx_vol *v)
{
    if (!v)
        return;
    hx_vol_cancel_part(v, 0); /* first: their bytes are the session's */
    hx_vol_room_fini(v);
    hx_session_free(v->session);
    if (v->defer)
        hx_defer_free(v->defer);
    if (v->timer)
        hx_timer_free(v->timer);
    hx_renewal_free(v->renewal);
    if (v->client)
        hx_client_free(v->client);
    free(v->where);
    free(v);
}

/* ---- what it is ---- */
const char *hx_vol_state_name(enum hx_vol_state state)
{
    return hx_session_state_name((enum hx_session_state)state);
}

enum hx_vol_state hx_vol_state(const struct hx_vol *v)
{
    return (enum hx_vol_state)hx_session_state(v->session);
}

int hx_vol_error(const struct hx_vol *v)
{
    return hx_session_error(v->session);
}

const char *hx_vol_why(const struct hx_vol *v)
{
    return v->why[0] ? v->why : hx_session_why(v->session);
}

const char *hx_vol_waiting(const struct hx_vol *v)
{
    return hx_session_waiting(v->session);
}

struct hx_session *hx_vol_session(struct hx_vol *v)
{
    return v->session;
}

/* ---- operations ---- */
struct hx_pager *hx_vol_pager(struct hx_vol *v)
{
    return hx_session_pager(v->session);
}

void hx_vol_begin(struct hx_vol *v)
{
    hx_session_set_now(v->session, hx_vol_now(v));
    hx_session_begin(v->session);
}

bool hx_vol_gated(const struct hx_vol *v)
{
    return hx_session_gated(v->session);
}

size_t hx_vol_parked(const struct hx_vol *v)
{
    return hx_session_parked(v->session);
}

void hx_vol_start(struct hx_vol *v, struct hx_op *op)
{
    hx_op_start(v->session, hx_vol_now(v), op);
    hx_vol_kick(v);
}

void hx_vol_again(struct hx_vol *v, struct hx_parked *parked)
{
    hx_op_again(v->session, hx_vol_now(v), parked);
    hx_vol_kick(v);
}

int hx_vol_when_durable(struct hx_vol *v, struct hx_op *op)
{
    hx_vol_kick(v);
    return hx_op_when_durable(v->session, op);
}

void hx_vol_cancel(struct hx_vol *v, struct hx_parked *op, int err)
{
    hx_session_cancel(v->session, op, err);
    hx_vol_kick(v);
}

struct hx_lsn hx_vol_last(const struct hx_vol *v)
{
    return hx_session_last(v->session);
}

struct hx_lsn hx_vol_vdl(const struct hx_vol *v)
{
    return hx_session_vdl(v->session);
}

void hx_vol_wrote(struct hx_vol *v, uint64_t bytes)
{
    hx_cache_add_user_bytes(hx_session_cache(v->session), bytes);
}

void hx_vol_note_free(struct hx_vol *v, uint64_t free_pages)
{
    hx_session_note_free(v->session, hx_vol_now(v), free_pages);
    hx_vol_kick(v);
}

int hx_vol_release(struct hx_vol *v, uint64_t keep)
{
    int err = hx_session_release(v->session, hx_vol_now(v), keep);
    hx_vol_kick(v);
    return err;
}

int hx_vol_unrelease(struct hx_vol *v)
{
    return hx_session_unrelease(v->session);
}

bool hx_vol_releasing(const struct hx_vol *v)
{
    return hx_session_releasing(v->session);
}

uint64_t hx_vol_unit(const struct hx_vol *v)
{
    return hx_session_unit(v->session);
}

uint64_t hx_vol_unsafe(const struct hx_vol *v)
{
    return hx_session_unsafe(v->session);
}

/* ---- ending: at once, for the caller's own end may follow (V2) ---- */
void hx_vol_close(struct hx_vol *v)
{
    hx_session_close(v->session, hx_vol_now(v));
    while (drain(v))
        ;
    hx_vol_kick(v);
}

void hx_vol_abandon(struct hx_vol *v)
{
    hx_session_abandon(v->session, hx_vol_now(v));
    while (drain(v))
        ;
    hx_vol_kick(v);
}
