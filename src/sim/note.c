/*
 * note.c - the trace hash, the trace, and the verdict.
 *
 * The hash folds every note in (FNV-like multiply and rotate over its five numbers); the text exists only when
 * somebody reads
 * it.  S3: the first verdict stays.
 */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const hx_sim_note_name[HX_NOTE_COUNT] = {
#define X(name) #name,
    HX_SIM_NOTES(X)
#undef X
};

static bool in_story(enum hx_sim_note what)
{
    switch (what) {
    case HX_NOTE_CRASH:
    case HX_NOTE_START:
    case HX_NOTE_WIPE:
    case HX_NOTE_ROLLBACK:
    case HX_NOTE_PARTITION:
    case HX_NOTE_HEAL:
    case HX_NOTE_FREEZE:
    case HX_NOTE_THAW:
    case HX_NOTE_OPENING:
    case HX_NOTE_OPEN:
    case HX_NOTE_FENCED:
    case HX_NOTE_DIE:
    case HX_NOTE_GROW:
    case HX_NOTE_FAULT:
    case HX_NOTE_PHASE:
    case HX_NOTE_CHECK:
        return true;
    default:
        return false;
    }
}

static uint64_t fold(uint64_t h, uint64_t x)
{
    h = (h ^ x) * UINT64_C(0x9ddfea08eb382d69);
    return h ^ h >> 29;
}

void hx_sim_note(struct hx_sim *s, enum hx_sim_note what, char kind, uint32_t who, uint64_t a, uint64_t b, uint64_t c)
{
    s->counts[what]++;
    uint64_t h = fold(s->hash, s->now_us << 16 ^ (uint64_t)what << 8 ^ (uint8_t)kind);
    h = fold(h, who ^ a << 8);
    s->hash = fold(fold(h, b), c);
    if (!s->trace || (s->story && !in_story(what)))
        return;
    char line[200];
    int n = snprintf(line, sizeof line, "%10llu.%06llu  %-9s ", (unsigned long long)(s->now_us / 1000000),
                     (unsigned long long)(s->now_us % 1000000), hx_sim_note_name[what]);
    if (kind)
        n += snprintf(line + n, sizeof line - (size_t)n, "%c%u ", kind, who);
    snprintf(line + n, sizeof line - (size_t)n, "%llu %llu %llu", (unsigned long long)a, (unsigned long long)b,
             (unsigned long long)c);
    s->trace(s->trace_ctx, line);
}

static void judge(struct hx_sim *s, enum hx_sim_exit exit, const char *invariant, const char *fmt, va_list ap)
{
    if (s->verdict.exit != HX_SIM_OK)
        return;
    s->verdict.exit = exit;
    s->verdict.at_us = s->now_us;
    snprintf(s->verdict.invariant, sizeof s->verdict.invariant, "%s", invariant);
    vsnprintf(s->verdict.text, sizeof s->verdict.text, fmt, ap);
    if (s->trace)
        s->trace(s->trace_ctx, s->verdict.text);
}

void hx_sim_broken(struct hx_sim *s, const char *invariant, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    judge(s, HX_SIM_UNSAFE, invariant, fmt, ap);
    va_end(ap);
}

void hx_sim_stuck(struct hx_sim *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    judge(s, HX_SIM_STUCK, "I15", fmt, ap);
    va_end(ap);
}

void hx_sim_harness(struct hx_sim *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    judge(s, HX_SIM_HARNESS, "", fmt, ap);
    va_end(ap);
}
