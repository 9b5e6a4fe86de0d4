/*
 * session.c - one opening of a volume: states, the drain, events to their parts, closing (hexad/session.h).
 *
 * Does no I/O and calls nobody back.  A turn of the drain: timers of all parts, their requests, a step of the state
 * machine, operations that may run; again until a turn in which nothing moved.  So a lone commit is handed out in the
 * drain in which its fsync came, and an answer of the quorum lets it go in the drain after it arrived.
 *
 * Invariants S1..S5 are in the header.  A state is left only through hx_session_move and the table below.
 * Late answers: a part that has gone is no longer asked; its requests are canceled before its memory goes (bury).
 * Memory: the parts', bounded by their configuration.
 */
#include "session_int.h"

#include "hexad/assert.h"
#include "hexad/mutant.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- states ---- */
const char *hx_session_state_name(enum hx_session_state state)
{
    static const char *const names[] = {"?", "LOOKUP", "RECOVERY", "OPEN", "FENCED", "CLOSING", "CLOSED", "FAILED"};
    return (unsigned)state < HX_ARRAY_LEN(names) ? names[state] : names[0];
}

static bool may_move(enum hx_session_state from, enum hx_session_state to)
{
    static const unsigned edges[] = {
        [HX_SESSION_LOOKUP] = 1u << HX_SESSION_RECOVERY | 1u << HX_SESSION_FAILED | 1u << HX_SESSION_CLOSED,
        [HX_SESSION_RECOVERY] = 1u << HX_SESSION_OPEN | 1u << HX_SESSION_FAILED | 1u << HX_SESSION_CLOSED,
        [HX_SESSION_OPEN] = 1u << HX_SESSION_FENCED | 1u << HX_SESSION_CLOSING | 1u << HX_SESSION_CLOSED,
        [HX_SESSION_FENCED] = 1u << HX_SESSION_CLOSED,
        [HX_SESSION_CLOSING] = 1u << HX_SESSION_FENCED | 1u << HX_SESSION_CLOSED,
        [HX_SESSION_CLOSED] = 0,
        [HX_SESSION_FAILED] = 1u << HX_SESSION_CLOSED,
    };
    return edges[from] >> to & 1u;
}

void hx_session_move(struct hx_session *s, enum hx_session_state to)
{
    hx_assert(may_move(s->state, to));
    s->state = to;
    s->moved = true;
}

void hx_session_fail(struct hx_session *s, int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->why, sizeof(s->why), fmt, ap);
    va_end(ap);
    s->error = err;
    hx_session_round_stop(s, &s->lookup);
    hx_session_bury_recovery(s);
    hx_session_move(s, HX_SESSION_FAILED);
}

void hx_session_say_waiting(struct hx_session *s, const char *text)
{
    if (strncmp(s->waiting, text, sizeof(s->waiting) - 1) == 0)
        return;
    snprintf(s->waiting, sizeof(s->waiting), "%s", text);
    s->news |= HX_NEWS_WAITING;
}

void hx_session_set_now(struct hx_session *s, uint64_t now_ms)
{
    if (now_ms > s->now_ms)
        s->now_ms = now_ms;
}

/* Something happened: the drain begins a new turn, and not in the middle of one that it has left. */
static void event(struct hx_session *s, uint64_t now_ms)
{
    hx_session_set_now(s, now_ms);
    s->phase = HX_PHASE_TICK;
}

/* splitmix64 */
uint64_t hx_session_random(struct hx_session *s)
{
    uint64_t x = s->rng += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* ---- making and unmaking ---- */
int hx_session_new(const struct hx_session_cfg *cfg, struct hx_session **ret)
{
    if (strlen(cfg->name) > HX_NAME_MAX || cfg->server_count == 0)
        return HX_E_INVAL;
    struct hx_session *s = calloc(1, sizeof(*s));
    if (!s)
        return HX_E_NOMEM;
    memcpy(s->name, cfg->name, strlen(cfg->name) + 1);
    s->servers = cfg->servers;
    s->server_count = cfg->server_count;
    s->takeover = cfg->takeover;
    s->lost = cfg->lost;
    s->lost_count = cfg->lost_count;
    s->read_only = cfg->read_only;
    s->cache_bytes = cfg->cache_bytes ? cfg->cache_bytes : HX_SESSION_CACHE_DEFAULT;
    s->window_bytes = cfg->window_bytes ? cfg->window_bytes : HX_SESSION_WINDOW_DEFAULT;
    s->soft_ms = cfg->soft_ms;
    s->repair_after_ms = cfg->repair_after_ms ? cfg->repair_after_ms : HX_HEAL_AFTER_DEFAULT_MS;
    s->repair_rate = cfg->repair_rate;
    s->owner = cfg->owner;
    s->rng = cfg->seed;
    s->now_ms = cfg->now_ms;
    s->state = s->told = HX_SESSION_LOOKUP;
    int err = hx_session_open_start(s);
    if (err) {
        hx_session_free(s);
        return err;
    }
    *ret = s;
    return 0;
}

/* What CANCEL_PART was about: all of that has been carried out. */
static void free_dying(struct hx_session *s)
{
    while (s->dying) {
        struct hx_session_asks *a = s->dying;
        s->dying = a->next_dying;
        hx_session_asks_free(a);
    }
    hx_recovery_free(s->dying_recovery);
    s->dying_recovery = NULL;
    hx_growth_free(s->dying_growth);
    s->dying_growth = NULL;
    hx_heal_free(s->dying_heal);
    s->dying_heal = NULL;
    hx_move_free(s->dying_driver);
    s->dying_driver = NULL;
}

void hx_session_bury_recovery(struct hx_session *s)
{
    if (!s->recovery)
        return;
    s->cancel_parts |= 1u << HX_PART_RECOVERY;
    s->dying_recovery = s->recovery; /* there is one recovery in a session */
    s->recovery = NULL;
}

void hx_session_bury_growth(struct hx_session *s)
{
    if (!s->growth)
        return;
    hx_assert(!s->dying_growth); /* a step buries at most one, and CANCEL_PART comes before the next step */
    s->cancel_parts |= 1u << HX_PART_GROWTH;
    s->dying_growth = s->growth;
    s->growth = NULL;
}

void hx_session_bury_driver(struct hx_session *s)
{
    if (!s->driver)
        return;
    s->cancel_parts |= 1u << HX_PART_MOVE;
    s->dying_driver = s->driver; /* there is one driver in a session */
    s->dying_heal = s->heal;
    s->heal = NULL;
    s->driver = NULL;
}

void hx_session_free(struct hx_session *s)
{
    if (!s)
        return;
    hx_session_round_stop(s, &s->lookup);
    hx_session_round_stop(s, &s->hello);
    free_dying(s);
    hx_growth_free(s->growth);
    hx_heal_free(s->heal);
    hx_move_free(s->driver);
    hx_reader_free(s->reader);
    hx_cache_free(s->cache);
    hx_recovery_free(s->recovery);
    hx_writer_free(s->writer);
    hx_notepager_fini(&s->pager);
    if (s->parking.buckets) {
        hx_parking_fail_all(&s->parking, HX_E_CANCELED);
        while (hx_parking_take(&s->parking) != NULL)
            ;
        hx_parking_fini(&s->parking);
    }
    hx_lookup_sum_fini(&s->sum);
    free(s);
}

/* ---- events ---- */
void hx_session_answer(struct hx_session *s, uint64_t now_ms, uint64_t now_us, uint64_t call, struct hx_bytes body)
{
    event(s, now_ms);
    switch (hx_call_part(call)) {
    case HX_PART_WRITER:
        if (s->writer)
            hx_writer_answer(s->writer, s->now_ms, call, body);
        break;
    case HX_PART_READER:
        if (s->reader) {
            hx_reader_answer(s->reader, s->now_ms, now_us, call, body);
            hx_session_take_pages(s);
        }
        break;
    case HX_PART_RECOVERY:
        if (s->recovery)
            hx_recovery_answer(s->recovery, s->now_ms, call, body);
        break;
    case HX_PART_GROWTH:
        if (s->growth)
            hx_growth_answer(s->growth, s->now_ms, call, body);
        break;
    case HX_PART_MOVE:
        if (s->driver)
            hx_move_answer(s->driver, s->now_ms, call, body);
        break;
    case HX_PART_LOOKUP:
        hx_session_lookup_answer(s, call, 0, body);
        break;
    default:
        hx_assert(hx_call_part(call) == HX_PART_HELLO);
        hx_session_room_answer(s, call, 0, body);
    }
}

void hx_session_failed(struct hx_session *s, uint64_t now_ms, uint64_t call, int err)
{
    event(s, now_ms);
    switch (hx_call_part(call)) {
    case HX_PART_WRITER:
        if (s->writer)
            hx_writer_failed(s->writer, s->now_ms, call, err);
        break;
    case HX_PART_READER:
        if (s->reader) {
            hx_reader_failed(s->reader, s->now_ms, call, err);
            hx_session_take_pages(s);
        }
        break;
    case HX_PART_RECOVERY:
        if (s->recovery)
            hx_recovery_failed(s->recovery, s->now_ms, call, err);
        break;
    case HX_PART_GROWTH:
        if (s->growth)
            hx_growth_failed(s->growth, s->now_ms, call, err);
        break;
    case HX_PART_MOVE:
        if (s->driver)
            hx_move_failed(s->driver, s->now_ms, call, err);
        break;
    case HX_PART_LOOKUP:
        hx_session_lookup_answer(s, call, err, (struct hx_bytes){NULL, 0});
        break;
    default:
        hx_assert(hx_call_part(call) == HX_PART_HELLO);
        hx_session_room_answer(s, call, err, (struct hx_bytes){NULL, 0});
    }
}

void hx_session_set_time(struct hx_session *s, uint64_t time_us)
{
    s->time_us = time_us;
    if (s->writer)
        hx_writer_set_time(s->writer, time_us);
}

void hx_session_set_info(struct hx_session *s, const char *text)
{
    if (s->writer)
        hx_writer_set_info(s->writer, text);
}

/* ---- timers ---- */
static void sooner(uint64_t *next, uint64_t ms)
{
    if (ms < *next)
        *next = ms;
}

/* Reads and growth end with the epoch: nobody waits for them any more. */
static bool lives(const struct hx_session *s)
{
    return s->state == HX_SESSION_OPEN || s->state == HX_SESSION_CLOSING;
}

static void tick_parts(struct hx_session *s)
{
    uint64_t next = HX_SESSION_IDLE_MS;
    if (s->soft_ms && (s->state == HX_SESSION_LOOKUP || s->state == HX_SESSION_RECOVERY)) {
        uint64_t spent = s->now_ms - s->opened_ms;
        sooner(&next, spent >= s->soft_ms ? 0 : s->soft_ms - spent);
    }
    sooner(&next, hx_session_round_wait(s, &s->lookup));
    sooner(&next, hx_session_round_wait(s, &s->hello));
    if (s->recovery)
        sooner(&next, hx_recovery_tick(s->recovery, s->now_ms));
    if (s->writer && lives(s))
        sooner(&next, hx_writer_tick(s->writer, s->now_ms));
    if (s->reader && lives(s)) {
        sooner(&next, hx_reader_tick(s->reader, s->now_ms));
        hx_session_take_pages(s);
    }
    if (s->growth)
        sooner(&next, hx_growth_tick(s->growth, s->now_ms));
    if (s->heal && s->state == HX_SESSION_OPEN)
        sooner(&next, hx_heal_tick(s->heal, s->now_ms));
    if (s->driver && lives(s))
        sooner(&next, hx_move_tick(s->driver, s->now_ms));
    if (s->parking.buckets && s->soft_ms)
        sooner(&next, hx_parking_tick(&s->parking, s->now_ms));
    s->wait_ms = next;
}

uint64_t hx_session_tick(struct hx_session *s, uint64_t now_ms)
{
    event(s, now_ms);
    s->idle_due = true;
    tick_parts(s);
    s->phase = HX_PHASE_CARRY;
    return s->wait_ms;
}

uint64_t hx_session_wait(const struct hx_session *s)
{
    return s->wait_ms;
}

/* ---- the writer moves on ---- */
static void fenced(struct hx_session *s)
{
    snprintf(s->why, sizeof(s->why), "a newer writer took over from our epoch %llu",
             (unsigned long long)hx_writer_epoch(s->writer).v);
    s->error = HX_E_FENCED;
    hx_parking_fail_all(&s->parking, HX_MUTANT(FENCED_BARRIER_OK) ? 0 : HX_E_FENCED); /* S3 */
    hx_session_bury_growth(s);
    hx_session_bury_driver(s);
    hx_session_say_waiting(s, "");
    hx_session_move(s, HX_SESSION_FENCED);
    hx_session_who_fenced(s);
}

/* No progress though somebody waits: say what is missing; and say when that is over. */
static void watch_progress(struct hx_session *s)
{
    char text[sizeof(s->waiting)];
    bool reads = s->parking.in_flight > 0, writes = hx_session_unsafe(s) > 0;
    if (!writes && !reads)
        s->progress_ms = s->now_ms;
    if (s->now_ms - s->progress_ms < HX_SESSION_STALL_MS) {
        hx_session_say_waiting(s, "");
        return;
    }
    hx_session_describe_quorum(s, writes, text, sizeof text);
    hx_session_say_waiting(s, text);
}

static void not_durable(struct hx_session *s)
{
    s->error = HX_E_NO_WRITE_QUORUM;
    snprintf(s->why, sizeof(s->why), "%llu records are not durable", (unsigned long long)hx_session_unsafe(s));
}

/* The end: nothing is asked any more. */
static void closed(struct hx_session *s)
{
    hx_session_round_stop(s, &s->lookup);
    hx_session_round_stop(s, &s->hello);
    hx_session_bury_recovery(s);
    hx_session_bury_growth(s);
    hx_session_bury_driver(s);
    hx_session_say_waiting(s, "");
    hx_session_move(s, HX_SESSION_CLOSED);
}

static bool closing_step(struct hx_session *s)
{
    if (!s->said_goodbye) {
        if (s->soft_ms && hx_session_unsafe(s) && s->now_ms - s->close_ms >= s->soft_ms) {
            not_durable(s);
            closed(s);
            return true;
        }
        if (hx_session_unsafe(s))
            return false;
        hx_writer_goodbye(s->writer, s->now_ms);
        s->said_goodbye = true;
        s->goodbye_ms = s->now_ms;
        return true;
    }
    if (hx_writer_idle(s->writer) || s->now_ms - s->goodbye_ms >= HX_SESSION_GOODBYE_MS) {
        closed(s);
        return true;
    }
    return false;
}

static bool writer_step(struct hx_session *s)
{
    bool moved = hx_session_growth_step(s);
    moved = hx_session_driver_step(s) || moved;
    if (hx_writer_state(s->writer)) {
        fenced(s);
        return true;
    }
    struct hx_lsn vdl = hx_writer_vdl(s->writer);
    uint64_t room = hx_writer_room_serial(s->writer);
    if (vdl.v > s->vdl.v || room != s->room_serial) {
        s->vdl = vdl;
        s->room_serial = room;
        s->progress_ms = s->now_ms;
        hx_parking_vdl(&s->parking, vdl); /* S1 */
        hx_parking_open(&s->parking, HX_E_ROOM);
        moved = true;
    }
    watch_progress(s);
    return s->state == HX_SESSION_CLOSING ? closing_step(s) || moved : moved;
}

static bool step(struct hx_session *s)
{
    switch (s->state) {
    case HX_SESSION_LOOKUP:
    case HX_SESSION_RECOVERY:
        return hx_session_open_step(s);
    case HX_SESSION_OPEN:
    case HX_SESSION_CLOSING:
        return writer_step(s);
    default:
        return false;
    }
}

/* ---- the drain ---- */
static int run(struct hx_session *s, struct hx_session_effect *ret)
{
    ret->op = s->parking.buckets ? hx_parking_take(&s->parking) : NULL;
    if (!ret->op)
        return 0;
    ret->kind = HX_SESSION_RUN;
    s->moved = true;
    return 1;
}

static int state_news(struct hx_session *s, struct hx_session_effect *ret)
{
    if (s->told == s->state)
        return 0;
    if (s->state == HX_SESSION_CLOSED && run(s, ret)) /* S3 */
        return 1;
    s->told = s->state;
    ret->kind = HX_SESSION_STATE;
    ret->state = s->state;
    return 1;
}

static int news(struct hx_session *s, struct hx_session_effect *ret)
{
    if (s->cancel_parts) {
        ret->kind = HX_SESSION_CANCEL_PART;
        ret->part = (enum hx_part)__builtin_ctz(s->cancel_parts);
        s->cancel_parts &= s->cancel_parts - 1;
        return 1;
    }
    free_dying(s);
    if (state_news(s, ret))
        return 1;
    if (!s->news)
        return 0;
    unsigned bit = s->news & -s->news;
    s->news &= ~bit;
    switch (bit) {
    case HX_NEWS_WAITING:
        ret->kind = HX_SESSION_WAITING;
        ret->text = s->waiting;
        break;
    case HX_NEWS_GREW:
        ret->kind = HX_SESSION_GREW;
        ret->count = hx_writer_geometry(s->writer)->pg_count;
        break;
    case HX_NEWS_NOT_GREW:
        ret->kind = HX_SESSION_NOT_GREW;
        ret->err = s->grow_news_err;
        break;
    case HX_NEWS_BAD_PAGE:
        ret->kind = HX_SESSION_BAD_PAGE;
        ret->page = s->bad_page;
        ret->err = s->bad_err;
        break;
    default:
        ret->kind = HX_SESSION_SUCCESSOR;
    }
    return 1;
}

static int carry(struct hx_session *s, struct hx_session_effect *ret)
{
    struct hx_effect *e = &ret->net;
    bool any = s->recovery && hx_recovery_next(s->recovery, e);
    any = any || (s->writer && s->state != HX_SESSION_CLOSED && hx_writer_next(s->writer, e));
    any = any || (s->reader && lives(s) && hx_reader_next(s->reader, e));
    any = any || (s->growth && hx_growth_next(s->growth, e));
    any = any || (s->driver && lives(s) && hx_move_next(s->driver, e));
    any = any || hx_session_round_next(s, &s->lookup, e) || hx_session_round_next(s, &s->hello, e);
    if (!any)
        return 0;
    ret->kind = e->kind == HX_EFFECT_SEND ? HX_SESSION_SEND : HX_SESSION_CANCEL;
    s->moved = true;
    return 1;
}

/* The end of a drain: 1 if there is one more effect. */
static int rest(struct hx_session *s, struct hx_session_effect *ret)
{
    bool tell = s->idle_due && s->state == HX_SESSION_OPEN;
    s->idle_due = false;
    s->phase = HX_PHASE_TICK;
    if (s->cache)
        hx_cache_trim(s->cache);
    if (tell)
        ret->kind = HX_SESSION_IDLE;
    return tell;
}

int hx_session_next(struct hx_session *s, struct hx_session_effect *ret)
{
    *ret = (struct hx_session_effect){0};
    for (;;) {
        if (news(s, ret))
            return 1;
        switch (s->phase) {
        case HX_PHASE_TICK:
            tick_parts(s);
            s->phase = HX_PHASE_CARRY;
            break;
        case HX_PHASE_CARRY:
            if (carry(s, ret))
                return 1;
            s->phase = HX_PHASE_STEP;
            break;
        case HX_PHASE_STEP:
            s->moved |= step(s);
            s->ran = 0;
            s->phase = HX_PHASE_RUN;
            break;
        case HX_PHASE_RUN:
            if (s->ran++ < HX_SESSION_RUN_BATCH && run(s, ret))
                return 1;
            s->phase = s->moved ? HX_PHASE_TICK : HX_PHASE_REST;
            s->moved = false;
            break;
        default: /* REST */
            return rest(s, ret);
        }
    }
}

/* ---- what it is ---- */
enum hx_session_state hx_session_state(const struct hx_session *s)
{
    return s->state;
}

uint64_t hx_session_now(const struct hx_session *s)
{
    return s->now_ms;
}

int hx_session_error(const struct hx_session *s)
{
    return s->error;
}

const char *hx_session_why(const struct hx_session *s)
{
    return s->why;
}

const char *hx_session_waiting(const struct hx_session *s)
{
    return s->waiting;
}

const struct hx_lookup_sum *hx_session_lookup(const struct hx_session *s)
{
    return &s->sum;
}

struct hx_writer *hx_session_writer(const struct hx_session *s)
{
    return s->writer;
}

struct hx_cache *hx_session_cache(const struct hx_session *s)
{
    return s->cache;
}

struct hx_move *hx_session_driver(const struct hx_session *s)
{
    return s->driver;
}

const struct hx_heal *hx_session_heal(const struct hx_session *s)
{
    return s->heal;
}

struct hx_reader *hx_session_reader(const struct hx_session *s)
{
    return s->reader;
}

const struct hx_recovery *hx_session_recovery(const struct hx_session *s)
{
    return s->recovery;
}

/* ---- ending ---- */
static void send_home(struct hx_session *s)
{
    if (s->parking.buckets)
        hx_parking_fail_all(&s->parking, HX_E_CANCELED);
}

void hx_session_close(struct hx_session *s, uint64_t now_ms)
{
    event(s, now_ms);
    switch (s->state) {
    case HX_SESSION_OPEN:
        s->close_ms = s->now_ms;
        hx_writer_want(s->writer, s->now_ms, hx_writer_last(s->writer));
        hx_session_move(s, HX_SESSION_CLOSING);
        send_home(s);
        break;
    case HX_SESSION_CLOSING:
    case HX_SESSION_CLOSED:
        break;
    default:
        hx_session_abandon(s, now_ms);
    }
}

void hx_session_abandon(struct hx_session *s, uint64_t now_ms)
{
    event(s, now_ms);
    if (s->state == HX_SESSION_CLOSED)
        return;
    send_home(s);
    if (s->error == 0 && hx_session_unsafe(s))
        not_durable(s);
    closed(s);
}
