/*
 * test_loop.c - the event loop: order of deferred work, timers, signals, and things that free themselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hexad/net.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define PIPES 100

struct seen {
    struct hx_loop *loop;
    struct hx_defer *defer;
    struct hx_watch *watch[PIPES];
    struct hx_timer *timer[4];
    int fd[PIPES][2];
    int ready, runs, ready_at_run, stop_after;
    int order[8], fired;
};

static int setup(void **state)
{
    struct seen *s = calloc(1, sizeof *s);
    *state = s;
    return s ? hx_loop_new(&s->loop) : -1;
}

static int teardown(void **state)
{
    struct seen *s = *state;
    hx_defer_free(s->defer);
    for (int i = 0; i < PIPES; i++) {
        hx_watch_free(s->watch[i]);
        if (s->fd[i][1]) {
            close(s->fd[i][0]);
            close(s->fd[i][1]);
        }
    }
    for (int i = 0; i < 4; i++)
        hx_timer_free(s->timer[i]);
    hx_loop_free(s->loop);
    free(s);
    return 0;
}

static void on_ready(void *ctx)
{
    struct seen *s = ctx;
    char c;
    for (int i = 0; i < PIPES; i++)
        if (s->fd[i][1] && read(s->fd[i][0], &c, 1) == 1) {
            s->ready++;
            break;
        }
    hx_defer_call(s->defer);
}

static void on_batch(void *ctx)
{
    struct seen *s = ctx;
    s->ready_at_run = s->ready;
    if (++s->runs == s->stop_after)
        hx_loop_stop(s->loop);
}

static void open_pipes(struct seen *s, int count)
{
    for (int i = 0; i < count; i++) {
        assert_int_equal(pipe2(s->fd[i], O_NONBLOCK | O_CLOEXEC), 0);
        assert_int_equal(hx_watch_new(s->loop, s->fd[i][0], on_ready, s, &s->watch[i]), 0);
    }
}

/* Promise: many descriptors that are ready together give one deferred call, after all of them.  30, because
 * the loop takes 32 from the kernel at a time at first. */
static void deferred_work_runs_once_after_all_that_was_ready(void **state)
{
    struct seen *s = *state;
    s->stop_after = 1;
    assert_int_equal(hx_defer_new(s->loop, on_batch, s, &s->defer), 0);
    open_pipes(s, 30);
    for (int i = 0; i < 30; i++)
        assert_int_equal(write(s->fd[i][1], "x", 1), 1);
    assert_int_equal(hx_loop_run(s->loop), 0);
    assert_int_equal(s->runs, 1);
    assert_int_equal(s->ready_at_run, 30);
}

static void again(void *ctx)
{
    struct seen *s = ctx;
    if (++s->runs == 1)
        assert_int_equal(write(s->fd[0][1], "x", 1), 1);
    if (s->runs > 1000 || s->ready)
        hx_loop_stop(s->loop);
    else
        hx_defer_call(s->defer);
}

/* Promise: work that defers itself for ever does not keep a ready descriptor from being handled. */
static void work_that_defers_itself_lets_descriptors_through(void **state)
{
    struct seen *s = *state;
    assert_int_equal(hx_defer_new(s->loop, again, s, &s->defer), 0);
    open_pipes(s, 1);
    hx_defer_call(s->defer);
    assert_int_equal(hx_loop_run(s->loop), 0);
    assert_int_equal(s->ready, 1);
    assert_in_range(s->runs, 1, 3);
}

static void free_myself(void *ctx)
{
    struct seen *s = ctx;
    s->runs++;
    hx_defer_free(s->defer);
    s->defer = NULL;
    hx_loop_stop(s->loop);
}

/* Promise: a deferred call may free itself, and one that is freed while pending does not run. */
static void deferred_work_can_be_freed(void **state)
{
    struct seen *s = *state;
    struct hx_defer *dropped;
    assert_int_equal(hx_defer_new(s->loop, free_myself, s, &s->defer), 0);
    assert_int_equal(hx_defer_new(s->loop, on_batch, s, &dropped), 0);
    hx_defer_call(dropped);
    hx_defer_call(s->defer);
    hx_defer_free(dropped);
    assert_int_equal(hx_loop_run(s->loop), 0);
    assert_int_equal(s->runs, 1);
}

static void fire_0(void *ctx)
{
    struct seen *s = ctx;
    s->order[s->fired++] = 0;
}

static void fire_1(void *ctx)
{
    struct seen *s = ctx;
    s->order[s->fired++] = 1;
    if (s->fired == 1)
        hx_timer_set(s->timer[1], 0); /* itself, once more */
}

static void fire_2(void *ctx)
{
    struct seen *s = ctx;
    s->order[s->fired++] = 2;
    hx_loop_stop(s->loop);
}

/* Promise: timers fire once and in the order of their times; setting again replaces, clearing disarms, and
 * 0 ms is the soonest. */
static void timers_fire_in_order_and_once(void **state)
{
    struct seen *s = *state;
    assert_int_equal(hx_timer_new(s->loop, fire_0, s, &s->timer[0]), 0);
    assert_int_equal(hx_timer_new(s->loop, fire_1, s, &s->timer[1]), 0);
    assert_int_equal(hx_timer_new(s->loop, fire_2, s, &s->timer[2]), 0);
    assert_int_equal(hx_timer_new(s->loop, fire_0, s, &s->timer[3]), 0);
    hx_timer_set(s->timer[2], 60);
    hx_timer_set(s->timer[0], 1);
    hx_timer_set(s->timer[0], 20); /* later than it was */
    hx_timer_set(s->timer[1], 0);
    hx_timer_set(s->timer[3], 0);
    hx_timer_clear(s->timer[3]);
    uint64_t before = hx_loop_now_ms(s->loop);
    assert_int_equal(hx_loop_run(s->loop), 0);
    assert_true(hx_loop_now_ms(s->loop) > before);
    assert_int_equal(s->fired, 4);
    const int want[4] = {1, 1, 0, 2};
    assert_memory_equal(s->order, want, sizeof want);
}

static void on_term(void *ctx)
{
    struct seen *s = ctx;
    s->runs++;
    hx_loop_stop(s->loop);
}

/* Promise: a signal is an event of the loop. */
static void a_signal_reaches_the_loop(void **state)
{
    struct seen *s = *state;
    assert_int_equal(hx_loop_on_signal(s->loop, SIGTERM, on_term, s), 0);
    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(s->runs, 0);
    assert_int_equal(hx_loop_run(s->loop), 0);
    assert_int_equal(s->runs, 1);
}

/* Promise: a stop that comes before the run ends the run at once, and only that one. */
static void a_stop_before_the_run_counts(void **state)
{
    struct seen *s = *state;
    s->stop_after = 1;
    assert_int_equal(hx_defer_new(s->loop, on_batch, s, &s->defer), 0);
    hx_defer_call(s->defer);
    hx_loop_stop(s->loop);
    assert_int_equal(hx_loop_run(s->loop), 0);
    assert_int_equal(s->runs, 0);
    assert_int_equal(hx_loop_run(s->loop), 0);
    assert_int_equal(s->runs, 1);
}

static void drop_watch(void *ctx)
{
    struct seen *s = ctx;
    s->ready++;
    hx_watch_free(s->watch[0]);
    s->watch[0] = NULL;
    hx_defer_call(s->defer);
}

/* Promise: a watch may free itself; the descriptor, still readable, is not reported again. */
static void a_watch_can_free_itself(void **state)
{
    struct seen *s = *state;
    s->stop_after = 1;
    assert_int_equal(hx_defer_new(s->loop, on_batch, s, &s->defer), 0);
    assert_int_equal(pipe2(s->fd[0], O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal(hx_watch_new(s->loop, s->fd[0][0], drop_watch, s, &s->watch[0]), 0);
    assert_int_equal(write(s->fd[0][1], "x", 1), 1);
    assert_int_equal(hx_loop_run(s->loop), 0);
    s->stop_after = 2;
    hx_defer_call(s->defer);
    assert_int_equal(hx_loop_run(s->loop), 0);
    assert_int_equal(s->ready, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(deferred_work_runs_once_after_all_that_was_ready, setup, teardown),
        cmocka_unit_test_setup_teardown(work_that_defers_itself_lets_descriptors_through, setup, teardown),
        cmocka_unit_test_setup_teardown(deferred_work_can_be_freed, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_fire_in_order_and_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_signal_reaches_the_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stop_before_the_run_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_watch_can_free_itself, setup, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
