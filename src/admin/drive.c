/*
 * drive.c - a verb that opens a volume itself: a session without a file system, as long as the verb needs it.
 *
 * It is the volume's writer meanwhile, so it excludes every other one, and is refused while one lives (but for
 * takeover).  The verb looks at the session every LOOK_MS, and says when it is done; then everything is made durable
 * and the volume closed.  SIGINT and SIGTERM end it in order; what was half done is left as any driver leaves it: the
 * next one finds it (hexad/move.h).
 */
#include "admin.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 100u

struct drive {
    const struct admin_drive *what;
    struct hx_loop *loop;
    struct hx_timer *timer;
    struct hx_vol *vol;
    bool stopped;
    int err;
    char *why;
};

static void failed(struct drive *d, int err)
{
    if (!d->err) {
        d->err = err;
        snprintf(d->why, HX_WHY_MAX, "%s", hx_vol_why(d->vol));
    }
}

static void look(void *ctx)
{
    struct drive *d = ctx;
    if (hx_vol_state(d->vol) != HX_VOL_OPEN)
        return;
    if (d->what->look(d->what->ctx, d->vol))
        hx_vol_close(d->vol);
    else
        hx_timer_set(d->timer, LOOK_MS);
}

static void state(void *ctx, enum hx_vol_state now)
{
    struct drive *d = ctx;
    if (now == HX_VOL_OPEN) {
        hx_timer_set(d->timer, 0);
    } else if (now == HX_VOL_FENCED || now == HX_VOL_FAILED) {
        failed(d, hx_vol_error(d->vol));
        hx_loop_stop(d->loop);
    } else if (now == HX_VOL_CLOSED) {
        hx_loop_stop(d->loop);
    }
}

static void waiting(void *ctx, const char *text)
{
    struct drive *d = ctx;
    if (text[0])
        hx_log(HX_LOG_NOTE, "%s: waiting: %s", d->what->volume, text);
}

static void run(void *ctx, struct hx_parked *op) /* there are no operations */
{
    (void)ctx;
    (void)op;
}

static void idle(void *ctx)
{
    (void)ctx;
}

static void on_signal(void *ctx)
{
    struct drive *d = ctx;
    if (!d->err) {
        d->err = HX_E_CANCELED;
        snprintf(d->why, HX_WHY_MAX, "interrupted; the same command goes on where this one ended");
    }
    if (!d->vol || d->stopped || hx_vol_state(d->vol) != HX_VOL_OPEN)
        hx_loop_stop(d->loop);
    else
        hx_vol_close(d->vol);
    d->stopped = true;
}

static int make(struct drive *d)
{
    const struct admin_drive *w = d->what;
    int err = hx_loop_new(&d->loop);
    if (!err)
        err = hx_timer_new(d->loop, look, d, &d->timer);
    if (!err)
        err = hx_loop_on_signal(d->loop, SIGTERM, on_signal, d);
    if (!err)
        err = hx_loop_on_signal(d->loop, SIGINT, on_signal, d);
    const struct hx_vol_cfg cfg = {.loop = d->loop, .conf = w->conf, .name = w->volume, .where = w->where,
                                   .takeover = w->takeover, .soft_ms = ADMIN_DRIVE_OPEN_MS,
                                   .repair_after_ms = w->repair_after_ms, .repair_rate = w->repair_rate,
                                   .lost = w->lost,
                                   .lost_count = w->lost_count, .state = state, .waiting = waiting,
                                   .run = run, .idle = idle, .ctx = d};
    return err ? err : hx_vol_open(&cfg, &d->vol, d->why);
}

int admin_drive(const struct admin_drive *what, char why[HX_WHY_MAX])
{
    struct drive d = {.what = what, .why = why};
    why[0] = '\0';
    signal(SIGPIPE, SIG_IGN);
    hx_log_init("hexad", HX_LOG_STDERR, HX_LOG_NOTE);
    int err = make(&d);
    if (!err)
        err = hx_loop_run(d.loop);
    if (!err)
        err = d.err;
    if (d.vol)
        hx_vol_abandon(d.vol);
    hx_vol_free(d.vol);
    if (d.timer)
        hx_timer_free(d.timer);
    if (d.loop)
        hx_loop_free(d.loop);
    return err;
}
