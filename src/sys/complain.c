/*
 * complain.c - the three lines that a person gets when something fails, and exit codes.
 *
 * Does not choose the words: WHAT comes from the program, text and hint from the table in hexad/err.h.
 * Threads: any.  Memory: none on the heap.
 */
#include "sys_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

void hx_complain_text(int err, const char *what, const char *why, const char *hint, char *buf, size_t cap)
{
    const struct hx_err_info *e = hx_err_info(err);
    const char *h = hint && *hint ? hint : *e->hint ? e->hint : "see hexad(1)"; /* always three lines */
    bool has_why = why && *why;
    snprintf(buf, cap, "%s: %s: %s%s%s\nhint:  %s\nsee:   HX%04d, hexad-errors(7)\n", hx_log_program(), what,
             e->text, has_why ? ": " : "", has_why ? why : "", h, e->code);
}

void hx_complain(int err, const char *what, const char *why, const char *hint)
{
    char text[4096];
    hx_complain_text(err, what, why, hint, text, sizeof text);
    (void)hx_fd_write_all(STDERR_FILENO, text, strlen(text));
    if (hx_log_where() == HX_LOG_SYSLOG)
        syslog(LOG_ERR, "%s: %s%s%s", what, hx_err_text(err), why && *why ? ": " : "", why ? why : "");
}

int hx_exit_code(int err)
{
    switch (err) {
    case 0:
        return HX_EXIT_OK;
    case HX_E_INVAL:
    case HX_E_CONFIG:
    case HX_E_OPTION:
        return HX_EXIT_USAGE;
    case HX_E_DEGRADED:
        return HX_EXIT_DEGRADED;
    case HX_E_NO_WRITE_QUORUM:
        return HX_EXIT_NO_WRITE;
    case HX_E_NO_READ_QUORUM:
    case HX_E_CONNECT:
    case HX_E_TIMEOUT:
        return HX_EXIT_NO_READ;
    case HX_E_TLS:
    case HX_E_ROLE:
    case HX_E_KEY_MODE:
    case HX_E_ACCES:
    case HX_E_PERM:
        return HX_EXIT_REFUSED;
    case HX_E_BUSY:
    case HX_E_FENCED:
    case HX_E_LOCKED:
        return HX_EXIT_BUSY;
    default:
        return HX_EXIT_FAILED;
    }
}

int hx_sys_why(char why[HX_WHY_MAX], int eno, const char *fmt, ...)
{
    char text[HX_WHY_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char reason[80];
    const char *r = strerror_r(eno, reason, sizeof reason);
    int room = HX_WHY_MAX - 3 - (int)strlen(r);
    snprintf(why, HX_WHY_MAX, "%.*s: %s", room > 0 ? room : 0, text, r);
    return hx_err_from_errno(eno);
}
