/*
 * vol.c - the volume client: states, the pump, parked operations, growth, closing.
 *
 * The pump runs once at the end of each iteration of the loop in which anything happened: timers of all parts,
 * their effects, what became ready, again until quiet.  So a lone commit is sent in the iteration in which its
 * fsync came, and an answer of the quorum completes it in the iteration in which it arrived.
 *
 * Invariants V1..V3 are in hexad/vol.h.  A state is left only through hx_vol_set_state and the table below.
 * Late answers: calls of a part that is gone are canceled with it (calls.c).  Memory: the parts', bounded by their
 * configuration.
 */
#include "vol_private.h"

#include "hexad/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void pump(void *ctx);

/* ---- states ---- */
const char *hx_vol_state_name(enum hx_vol_state state)
{
    static const char *const names[] = {"?", "LOOKUP", "RECOVERY", "OPEN", "FENCED", "CLOSING", "CLOSED", "FAILED"};
    return (unsigned)state < HX_ARRAY_LEN(names) ? names[state] : names[0];
}

static bool may_move(enum hx_vol_state from, enum hx_vol_state to)
{
    static const unsigned edges[] = {
        [HX_VOL_LOOKUP] = 1u << HX_VOL_RECOVERY | 1u << HX_VOL_FAILED | 1u << HX_VOL_CLOSED,
        [HX_VOL_RECOVERY] = 1u << HX_VOL_OPEN | 1u << HX_VOL_FAILED | 1u << HX_VOL_CLOSED,
        [HX_VOL_OPEN] = 1u << HX_VOL_FENCED | 1u << HX_VOL_CLOSING | 1u << HX_VOL_CLOSED,
        [HX_VOL_FENCED] = 1u << HX_VOL_CLOSED,
        [HX_VOL_CLOSING] = 1u << HX_VOL_FENCED | 1u << HX_VOL_CLOSED,
        [HX_VOL_CLOSED] = 0,
        [HX_VOL_FAILED] = 1u << HX_VOL_CLOSED,
    };
    return edges[from] >> to & 1u;
}

void hx_vol_set_state(struct hx_vol *v, enum hx_vol_state to)
{
    hx_assert(may_move(v->state, to));
    hx_log(HX_LOG_DEBUG, "volume %s: %s -> %s", v->name, hx_vol_state_name(v->state), hx_vol_state_name(to));
    v->state = to;
    v->cfg.state(v->cfg.ctx, to);
}

void hx_vol_fail(struct hx_vol *v, int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(v->why, sizeof(v->why), fmt, ap);
    va_end(ap);
    v->error = err;
    hx_vol_round_stop(&v->lookup);
    hx_vol_set_state(v, HX_VOL_FAILED);
}

void hx_vol_set_waiting(struct hx_vol *v, const char *text)
{
    if (strcmp(v->waiting, text) == 0)
        return;
    snprintf(v->waiting, sizeof(v->waiting), "%s", text);
    v->cfg.waiting(v->cfg.ctx, v->waiting);
}

/* ---- making and unmaking ---- */
int hx_vol_open(const struct hx_vol_cfg *cfg, struct hx_vol **ret, char why[HX_WHY_MAX])
{
    struct hx_vol *v = calloc(1, sizeof(*v));
    if (!v)
        return HX_E_NOMEM;
    v->cfg = *cfg;
    v->state = HX_VOL_LOOKUP;
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
    if (err == 0)
        err = hx_timer_new(cfg->loop, pump, v, &v->timer);
    if (err == 0)
        err = hx_defer_new(cfg->loop, pump, v, &v->defer);
    if (err == 0)
        err = hx_vol_open_start(v);
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
    hx_vol_round_stop(&v->lookup);
    hx_vol_round_stop(&v->hello);
    hx_vol_cancel_part(v, 0);
    hx_growth_free(v->growth);
    hx_reader_free(v->reader);
    hx_cache_free(v->cache);
    hx_recovery_free(v->recovery);
    hx_writer_free(v->writer);
    hx_notepager_fini(&v->pager);
    if (v->parking.buckets)
        hx_parking_fini(&v->parking);
    hx_lookup_sum_fini(&v->sum);
    free(v->hello_servers);
    if (v->defer)
        hx_defer_free(v->defer);
    if (v->timer)
        hx_timer_free(v->timer);
    if (v->client)
        hx_client_free(v->client);
    free(v->where);
    free(v);
}

enum hx_vol_state hx_vol_state(const struct hx_vol *v)
{
    return v->state;
}

int hx_vol_error(const struct hx_vol *v)
{
    return v->error;
}

const char *hx_vol_why(const struct hx_vol *v)
{
    return v->why;
}

const char *hx_vol_waiting(const struct hx_vol *v)
{
    return v->waiting;
}

void hx_vol_kick(struct hx_vol *v)
{
    if (!v->pumping)
        hx_defer_call(v->defer);
}

/* ---- growth ---- */
static void start_growth(struct hx_vol *v)
{
    uint64_t now = hx_vol_now(v);
    if (v->growth || v->state != HX_VOL_OPEN || now < v->grow_again_ms)
        return;
    v->grow_err = hx_growth_new(v->writer, &v->owner, now, &v->growth);
    if (v->grow_err)
        v->grow_again_ms = now + HX_VOL_GROW_PAUSE_MS;
    hx_vol_kick(v);
}

/* Growth has ended: the new pages exist, or cannot be had; both let those who wait look again. */
static bool growth_step(struct hx_vol *v)
{
    int err = v->growth ? hx_growth_state(v->growth) : HX_E_AGAIN;
    if (err == HX_E_AGAIN)
        return false;
    if (err == 0)
        err = hx_writer_add_pg(v->writer, hx_growth_geometry(v->growth));
    v->grow_err = err;
    if (err == 0) {
        hx_log(HX_LOG_INFO, "volume %s has grown to %u protection groups", v->name,
               hx_writer_geometry(v->writer)->pg_count);
    } else if (err == HX_E_FENCED) {
        hx_writer_fence(v->writer);
    } else {
        v->grow_again_ms = hx_vol_now(v) + HX_VOL_GROW_PAUSE_MS;
        hx_log_every(10000, HX_LOG_WARN, "volume %s cannot grow: HX%04d %s", v->name, hx_err_info(err)->code,
                     hx_err_text(err));
    }
    hx_vol_cancel_part(v, HX_PART_GROWTH);
    hx_growth_free(v->growth);
    v->growth = NULL;
    hx_parking_open(&v->parking, HX_E_GROW);
    return true;
}

void hx_vol_note_free(struct hx_vol *v, uint64_t free_pages)
{
    if (v->state != HX_VOL_OPEN || v->cfg.read_only || v->growth)
        return;
    uint64_t low = hx_geometry_pg_pages(hx_writer_geometry(v->writer)) / 8;
    uint64_t cap = (UINT64_C(64) << 20) / HX_PAGE_SIZE;
    if (free_pages < (low < cap ? low : cap))
        start_growth(v);
}

/* ---- operations ---- */
struct hx_pager *hx_vol_pager(struct hx_vol *v)
{
    return &v->pager.base;
}

void hx_vol_begin(struct hx_vol *v)
{
    hx_notepager_reset(&v->pager);
}

bool hx_vol_gated(const struct hx_vol *v)
{
    return hx_parking_gated(&v->parking);
}

size_t hx_vol_parked(const struct hx_vol *v)
{
    return v->parking.count;
}

/* Why an operation cannot wait in this state; 0: it can. */
static int closed_to_operations(const struct hx_vol *v)
{
    switch (v->state) {
    case HX_VOL_OPEN:
        return 0;
    case HX_VOL_FENCED:
        return HX_E_FENCED;
    default:
        return HX_E_CANCELED;
    }
}

/* Takes the pages that operations asked for out of the cache's list and has them fetched, or tells the cache
 * that they will not be: then the next run of the operation asks for them again (K4). */
static void fetch_wants(struct hx_vol *v, bool fetch)
{
    struct hx_cache_want wants[256];
    size_t n;
    while ((n = hx_cache_take_wants(v->cache, wants, HX_ARRAY_LEN(wants))) > 0) {
        if (fetch) {
            hx_reader_fetch(v->reader, hx_vol_now(v), wants, n);
            continue;
        }
        for (size_t i = 0; i < n; i++)
            hx_cache_fill_failed(v->cache, wants[i], HX_E_AGAIN);
    }
}

static int park_on_pages(struct hx_vol *v, struct hx_parked *op)
{
    struct hx_notepager *n = &v->pager;
    hx_assert(n->count > 0 || n->nomem);
    if (n->nomem || n->count > UINT32_MAX) {
        fetch_wants(v, false);
        return HX_E_NOMEM;
    }
    if (!hx_parking_admits(&v->parking, (uint32_t)n->count)) {
        fetch_wants(v, false);
        hx_parking_on_budget(&v->parking, op, hx_vol_now(v), v->cfg.soft_ms, (uint32_t)n->count);
        return 0;
    }
    int err = hx_parking_on_pages(&v->parking, op, hx_vol_now(v), v->cfg.soft_ms, n->pages, (uint32_t)n->count);
    fetch_wants(v, err == 0);
    return err;
}

int hx_vol_park(struct hx_vol *v, struct hx_parked *op, int err)
{
    int closed = closed_to_operations(v);
    if (closed)
        return closed;
    if (op->deadline_ms && op->deadline_ms <= hx_vol_now(v))
        return HX_E_TIMEOUT;
    hx_vol_kick(v);
    switch (err) {
    case HX_E_MISS:
        return park_on_pages(v, op);
    case HX_E_GROW:
        start_growth(v);
        if (!v->growth)
            return v->grow_err ? v->grow_err : HX_E_NOSPACE;
        break;
    case HX_E_ROOM:
        hx_writer_want(v->writer, hx_vol_now(v), hx_writer_last(v->writer));
        break;
    default:
        return err;
    }
    hx_parking_on_turn(&v->parking, op, hx_vol_now(v), v->cfg.soft_ms, err);
    return 0;
}

int hx_vol_park_durable(struct hx_vol *v, struct hx_parked *op, struct hx_lsn lsn)
{
    int closed = closed_to_operations(v);
    if (closed)
        return closed;
    if (hx_writer_state(v->writer))
        return HX_E_FENCED;
    if (hx_writer_vdl(v->writer).v >= lsn.v)
        return 0; /* V1 */
    hx_writer_want(v->writer, hx_vol_now(v), lsn);
    hx_parking_on_lsn(&v->parking, op, hx_vol_now(v), v->cfg.soft_ms, lsn);
    hx_vol_kick(v);
    return 1;
}

void hx_vol_cancel(struct hx_vol *v, struct hx_parked *op, int err)
{
    hx_parking_cancel(&v->parking, op, err);
    hx_vol_kick(v);
}

struct hx_lsn hx_vol_last(const struct hx_vol *v)
{
    return hx_writer_last(v->writer);
}

struct hx_lsn hx_vol_vdl(const struct hx_vol *v)
{
    return hx_writer_vdl(v->writer);
}

void hx_vol_wrote(struct hx_vol *v, uint64_t bytes)
{
    hx_cache_add_user_bytes(v->cache, bytes);
}

uint64_t hx_vol_unsafe(const struct hx_vol *v)
{
    if (!v->writer)
        return 0;
    uint64_t last = hx_writer_last(v->writer).v, vdl = hx_writer_vdl(v->writer).v;
    return last > vdl ? last - vdl : 0;
}

/* Lets those run that may; true if any did. */
static bool run_ready(struct hx_vol *v)
{
    struct hx_parked *op;
    unsigned n = 0;
    while (n < HX_VOL_RUN_BATCH && (op = hx_parking_take(&v->parking)) != NULL) {
        v->cfg.run(v->cfg.ctx, op);
        n++;
    }
    return n > 0;
}

/* ---- the writer moves on ---- */
static void fenced(struct hx_vol *v)
{
    snprintf(v->why, sizeof(v->why), "a newer writer took over from our epoch %llu",
             (unsigned long long)hx_writer_epoch(v->writer).v);
    v->error = HX_E_FENCED;
    hx_log(HX_LOG_ERR,
           "volume %s: HX%04d fenced: %s; this mount answers every operation with an error from now on; "
           "%llu records were not durable; unmount: hexad umount %s",
           v->name, hx_err_info(HX_E_FENCED)->code, v->why, (unsigned long long)hx_vol_unsafe(v), v->where);
    hx_parking_fail_all(&v->parking, HX_E_FENCED); /* V3 */
    hx_vol_set_waiting(v, "");
    hx_vol_set_state(v, HX_VOL_FENCED);
    if (v->state == HX_VOL_FENCED)
        hx_vol_who_fenced(v);
}

/* No progress though somebody waits: say what is missing; and say when that is over. */
static void watch_progress(struct hx_vol *v, uint64_t now)
{
    char text[400];
    bool reads = v->parking.in_flight > 0, writes = hx_vol_unsafe(v) > 0;
    if (!writes && !reads)
        v->progress_ms = now;
    if (now - v->progress_ms < HX_VOL_STALL_MS) {
        hx_vol_set_waiting(v, "");
        return;
    }
    hx_vol_describe_quorum(v, writes, text, sizeof text);
    hx_vol_set_waiting(v, text);
}

static bool closing_step(struct hx_vol *v, uint64_t now)
{
    if (!v->said_goodbye) {
        if (v->cfg.soft_ms && hx_vol_unsafe(v) && now - v->close_ms >= v->cfg.soft_ms) {
            v->error = HX_E_NO_WRITE_QUORUM;
            snprintf(v->why, sizeof(v->why), "%llu records are not durable", (unsigned long long)hx_vol_unsafe(v));
            hx_vol_set_state(v, HX_VOL_CLOSED);
            return true;
        }
        if (hx_vol_unsafe(v))
            return false;
        hx_writer_goodbye(v->writer, now);
        v->said_goodbye = true;
        v->goodbye_ms = now;
        return true;
    }
    if (hx_writer_idle(v->writer) || now - v->goodbye_ms >= HX_VOL_GOODBYE_MS) {
        hx_vol_set_state(v, HX_VOL_CLOSED);
        return true;
    }
    return false;
}

static bool writer_step(struct hx_vol *v)
{
    uint64_t now = hx_vol_now(v);
    bool moved = growth_step(v);
    if (hx_writer_state(v->writer)) {
        fenced(v);
        return true;
    }
    struct hx_lsn vdl = hx_writer_vdl(v->writer);
    uint64_t room = hx_writer_room_serial(v->writer);
    if (vdl.v > v->vdl.v || room != v->room_serial) {
        v->vdl = vdl;
        v->room_serial = room;
        v->progress_ms = now;
        hx_parking_vdl(&v->parking, vdl);
        hx_parking_open(&v->parking, HX_E_ROOM);
        moved = true;
    }
    watch_progress(v, now);
    if (now - v->info_ms >= HX_VOL_INFO_MS)
        hx_vol_refresh_info(v);
    return v->state == HX_VOL_CLOSING ? closing_step(v, now) || moved : moved;
}

/* ---- the pump ---- */
static void sooner(uint64_t *next, uint64_t ms)
{
    if (ms < *next)
        *next = ms;
}

static uint64_t tick(struct hx_vol *v, uint64_t now)
{
    uint64_t next = HX_VOL_INFO_MS;
    if (v->state == HX_VOL_LOOKUP || v->state == HX_VOL_FENCED)
        sooner(&next, hx_vol_round_tick(v, &v->lookup));
    if (v->cfg.soft_ms && (v->state == HX_VOL_LOOKUP || v->state == HX_VOL_RECOVERY)) {
        uint64_t spent = now - v->opened_ms;
        sooner(&next, spent >= v->cfg.soft_ms ? 0 : v->cfg.soft_ms - spent);
    }
    if (v->recovery)
        sooner(&next, hx_recovery_tick(v->recovery, now));
    if (v->writer && v->state != HX_VOL_FENCED)
        sooner(&next, hx_writer_tick(v->writer, now));
    if (v->reader)
        sooner(&next, hx_reader_tick(v->reader, now));
    if (v->growth)
        sooner(&next, hx_growth_tick(v->growth, now));
    if (v->parking.buckets && v->cfg.soft_ms)
        sooner(&next, hx_parking_tick(&v->parking, now));
    return next;
}

static bool step(struct hx_vol *v)
{
    switch (v->state) {
    case HX_VOL_LOOKUP:
    case HX_VOL_RECOVERY:
        return hx_vol_open_step(v);
    case HX_VOL_OPEN:
    case HX_VOL_CLOSING:
        return writer_step(v);
    default:
        return false;
    }
}

static void pump(void *ctx)
{
    struct hx_vol *v = ctx;
    uint64_t next;
    bool busy, limit = false;
    v->pumping = true;
    if (v->writer)
        hx_writer_set_time(v->writer, hx_clock_wall_us());
    unsigned rounds = 0;
    do {
        next = tick(v, hx_vol_now(v));
        busy = hx_vol_carry_out(v);
        busy |= step(v);
        if (v->parking.buckets)
            busy |= run_ready(v);
        limit = ++rounds >= 8;
    } while (busy && !limit);
    if (v->cache)
        hx_cache_trim(v->cache);
    v->pumping = false;
    hx_timer_set(v->timer, busy ? 0 : next);
    if (v->state == HX_VOL_OPEN)
        v->cfg.idle(v->cfg.ctx);
}

/* ---- ending ---- */

/* V3: whoever waits is told. */
static void send_home(struct hx_vol *v)
{
    struct hx_parked *op;
    if (!v->parking.buckets)
        return;
    hx_parking_fail_all(&v->parking, HX_E_CANCELED);
    while ((op = hx_parking_take(&v->parking)) != NULL)
        v->cfg.run(v->cfg.ctx, op);
}

void hx_vol_close(struct hx_vol *v)
{
    uint64_t now = hx_vol_now(v);
    switch (v->state) {
    case HX_VOL_OPEN:
        v->close_ms = now;
        hx_writer_want(v->writer, now, hx_writer_last(v->writer));
        hx_vol_set_state(v, HX_VOL_CLOSING);
        send_home(v);
        break;
    case HX_VOL_CLOSING:
    case HX_VOL_CLOSED:
        break;
    default:
        hx_vol_abandon(v);
    }
    hx_vol_kick(v);
}

void hx_vol_abandon(struct hx_vol *v)
{
    if (v->state == HX_VOL_CLOSED)
        return;
    send_home(v);
    if (v->state == HX_VOL_CLOSED)
        return;
    if (hx_vol_unsafe(v) && v->error == 0) {
        v->error = HX_E_NO_WRITE_QUORUM;
        snprintf(v->why, sizeof(v->why), "%llu records are not durable", (unsigned long long)hx_vol_unsafe(v));
    }
    hx_vol_round_stop(&v->lookup);
    hx_vol_set_state(v, HX_VOL_CLOSED);
}
