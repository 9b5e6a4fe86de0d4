/*
 * ahead.c - how far ahead of a reader pages are asked for (hexad/ahead.h).
 *
 * Does not know what a page is, nor whether it is there already.  A1..A4 are in the header.
 * A crash leaves nothing.  Memory: none.
 */
#include "hexad/ahead.h"

#include "hexad/assert.h"

static uint64_t held_by(const struct hx_ahead_stream *s)
{
    return s->until > s->next ? s->until - s->next : 0;
}

static void unlist(struct hx_ahead *a, struct hx_ahead_stream *s)
{
    if (!s->listed)
        return;
    *(s->newer ? &s->newer->older : &a->newest) = s->older;
    *(s->older ? &s->older->newer : &a->oldest) = s->newer;
    s->newer = s->older = NULL;
    s->listed = false;
    a->count--;
    hx_assert(a->held >= held_by(s));
    a->held -= held_by(s);
}

static void list(struct hx_ahead *a, struct hx_ahead_stream *s)
{
    s->older = a->newest;
    *(a->newest ? &a->newest->newer : &a->oldest) = s;
    a->newest = s;
    s->listed = true;
    a->count++;
    a->held += held_by(s);
}

/* What S holds it may not count on any more: it is asked for again when the reader gets there. */
static void forget(struct hx_ahead *a, struct hx_ahead_stream *s)
{
    unlist(a, s);
    s->until = s->next;
    s->window = 0;
}

void hx_ahead_init(struct hx_ahead *a, uint64_t window_max, uint64_t budget)
{
    budget -= budget % HX_AHEAD_UNIT;
    window_max -= window_max % HX_AHEAD_UNIT;
    *a = (struct hx_ahead){.window_max = window_max < budget ? window_max : budget, .budget = budget};
}

/* Does the reader go on?  Sets where it is. */
static bool goes_on(struct hx_ahead_stream *s, uint64_t off, uint64_t end)
{
    uint64_t back = s->window > HX_AHEAD_UNIT ? s->window : HX_AHEAD_UNIT;
    if (off == s->next || (off > s->next && off < s->until)) {
        s->next = end;
        s->proof += s->proof < HX_AHEAD_PROOF;
        return true;
    }
    return s->window > 0 && off < s->next && s->next - off <= back; /* A4: came late */
}

/* Makes room for MORE bytes: what others hold goes, the longest idle first (A2). */
static void make_room(struct hx_ahead *a, uint64_t more)
{
    hx_assert(more <= a->budget);
    while (a->held + more > a->budget)
        forget(a, a->oldest);
}

static uint64_t wider(const struct hx_ahead *a, uint64_t window)
{
    uint64_t share = a->budget / (a->count + 1), most = a->window_max < share ? a->window_max : share;
    window = window ? 2 * window : 2 * HX_AHEAD_UNIT;
    if (window > most)
        window = most;
    return window < HX_AHEAD_UNIT ? HX_AHEAD_UNIT : window;
}

bool hx_ahead_read(struct hx_ahead *a, struct hx_ahead_stream *s, uint64_t off, uint64_t len, uint64_t *ret_from,
                   uint64_t *ret_to)
{
    if (a->window_max == 0 || len == 0)
        return false;
    unlist(a, s);
    if (!goes_on(s, off, off + len)) { /* A1 */
        *s = (struct hx_ahead_stream){.next = off + len, .until = off + len};
        return false;
    }
    if (s->until < s->next)
        s->until = s->next;
    bool ask = s->proof >= HX_AHEAD_PROOF && s->until - s->next <= s->window / 2;
    if (ask) {
        s->window = wider(a, s->window);
        uint64_t to = s->next + s->window;
        to -= to % HX_AHEAD_UNIT; /* A3 */
        ask = to > s->until;
        if (ask) {
            make_room(a, to - s->next);
            *ret_from = s->until;
            *ret_to = s->until = to;
        }
    }
    if (held_by(s) > 0)
        list(a, s);
    return ask;
}

void hx_ahead_end(struct hx_ahead *a, struct hx_ahead_stream *s, uint64_t size)
{
    bool listed = s->listed;
    if (s->until <= size)
        return;
    unlist(a, s);
    s->until = size > s->next ? size : s->next;
    if (listed && held_by(s) > 0)
        list(a, s);
}

void hx_ahead_drop(struct hx_ahead *a, struct hx_ahead_stream *s)
{
    unlist(a, s);
    *s = (struct hx_ahead_stream){0};
}
