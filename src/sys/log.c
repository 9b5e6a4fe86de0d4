/*
 * log.c - the log of a program: one line per event, to stderr or syslog.
 *
 * Does not decide what is worth a line: callers do, once, where an error is consumed.
 *   L1 a line is one write(2), so lines of several threads and processes never mix.
 *   L2 control characters of foreign text never reach a terminal: they are shown as '?'.
 * Threads: any; the settings are made once, at the start.  Memory: none on the heap.
 */
#include "hexad/sys.h"
#include "sys_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

static struct {
    char program[32];
    enum hx_log_to to;
    enum hx_log_level level;
    bool prefix; /* stderr is read by the journal */
} log_state = {"hexad", HX_LOG_STDERR, HX_LOG_INFO, false};

void hx_log_init(const char *program, enum hx_log_to to, enum hx_log_level level)
{
    snprintf(log_state.program, sizeof log_state.program, "%s", program);
    log_state.to = to;
    log_state.level = level;
    log_state.prefix = getenv("JOURNAL_STREAM") != NULL && !isatty(STDERR_FILENO);
    if (to == HX_LOG_SYSLOG)
        openlog(log_state.program, LOG_PID, LOG_DAEMON);
}

const char *hx_log_program(void)
{
    return log_state.program;
}

enum hx_log_to hx_log_where(void)
{
    return log_state.to;
}

bool hx_log_on(enum hx_log_level level)
{
    return level <= log_state.level;
}

/* L2; keeps UTF-8. */
static void clean(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
}

void hx_vlog(enum hx_log_level level, const char *fmt, va_list ap)
{
    char text[1024], line[1152];
    if (!hx_log_on(level))
        return;
    vsnprintf(text, sizeof text, fmt, ap);
    clean(text);
    if (log_state.to == HX_LOG_SYSLOG) {
        syslog((int)level, "%s", text);
        return;
    }
    static const char *const word[] = {"", "", "", "error: ", "warning: ", "", "", "debug: "};
    int n = log_state.prefix ? snprintf(line, sizeof line, "<%d>%s: %s\n", (int)level, log_state.program, text)
                             : snprintf(line, sizeof line, "%s: %s%s\n", log_state.program,
                                        word[level & 7], text);
    if (n > 0)
        (void)hx_fd_write_all(STDERR_FILENO, line, (size_t)n);
}

void hx_log(enum hx_log_level level, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    hx_vlog(level, fmt, ap);
    va_end(ap);
}

/* Two threads in the same place at the same moment may let one line too many through: harmless. */
bool hx_log_limit_pass(struct hx_log_limit *l, uint64_t every_ms, uint64_t *ret_left_out)
{
    uint64_t now = hx_clock_mono_ms();
    if (now < __atomic_load_n(&l->next_ms, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&l->left_out, 1, __ATOMIC_RELAXED);
        return false;
    }
    __atomic_store_n(&l->next_ms, now + every_ms, __ATOMIC_RELAXED);
    *ret_left_out = __atomic_exchange_n(&l->left_out, 0, __ATOMIC_RELAXED);
    return true;
}
