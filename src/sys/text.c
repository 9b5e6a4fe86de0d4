/*
 * text.c - words, sizes and times as people write and read them.  Pure; no memory but small stack buffers.
 */
#include "hexad/sys.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define WORD_MAX 64 /* longer words have no near name */

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Slips of the finger between two words: a letter more, less, other, or two neighbours swapped. */
static size_t slips(const char *a, size_t n, const char *b, size_t m)
{
    size_t row[3][WORD_MAX + 1];
    for (size_t j = 0; j <= m; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t other = a[i - 1] == b[j - 1] ? 0 : 1;
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + other);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
    }
    return row[n % 3][m];
}

const char *hx_nearest(const char *word, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t n = strlen(word), least = n < 3 ? 1 : n < 6 ? 2 : 3;
    if (n > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t m = strlen(names[i]);
        if (m == 0 || m > WORD_MAX)
            continue;
        size_t d = slips(word, n, names[i], m);
        if (d < m && (d < least || (d == least && !best))) {
            least = d;
            best = names[i];
        }
    }
    return best;
}

int hx_parse_u64(const char *text, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;
    if (!isdigit((unsigned char)*text))
        return HX_E_INVAL;
    for (; isdigit((unsigned char)*text); text++)
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) || __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v))
            return HX_E_TOOBIG;
    if (*text)
        return HX_E_INVAL;
    if (v > max)
        return HX_E_TOOBIG;
    *ret = v;
    return 0;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static int parse_unit(const char *text, const struct unit *units, size_t count, uint64_t *ret)
{
    char digits[24];
    size_t n = strspn(text, "0123456789");
    uint64_t v;
    if (n == 0)
        return HX_E_INVAL;
    if (n >= sizeof digits)
        return HX_E_TOOBIG;
    memcpy(digits, text, n);
    digits[n] = '\0';
    int err = hx_parse_u64(digits, UINT64_MAX, &v);
    if (err)
        return err;
    const char *u = text + n + strspn(text + n, " ");
    for (size_t i = 0; i < count; i++) {
        if (strcmp(u, units[i].name) != 0)
            continue;
        if (__builtin_mul_overflow(v, units[i].factor, &v))
            return HX_E_TOOBIG;
        *ret = v;
        return 0;
    }
    return HX_E_INVAL;
}

int hx_parse_size(const char *text, uint64_t *ret_bytes)
{
    static const struct unit units[] = {
        {"B", 1},
        {"KiB", UINT64_C(1) << 10},
        {"MiB", UINT64_C(1) << 20},
        {"GiB", UINT64_C(1) << 30},
        {"TiB", UINT64_C(1) << 40},
        {"PiB", UINT64_C(1) << 50},
        {"kB", 1000},
        {"MB", 1000000},
        {"GB", UINT64_C(1000000000)},
        {"TB", UINT64_C(1000000000000)},
        {"PB", UINT64_C(1000000000000000)},
    };
    return parse_unit(text, units, HX_ARRAY_LEN(units), ret_bytes);
}

int hx_parse_time(const char *text, uint64_t *ret_ms)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000},
    };
    return parse_unit(text, units, HX_ARRAY_LEN(units), ret_ms);
}

char *hx_format_size(uint64_t bytes, char *buf, size_t cap)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t i = 0;
    double v = (double)bytes;
    for (; v >= 1024.0 && i + 1 < HX_ARRAY_LEN(unit); i++)
        v /= 1024.0;
    if (i == 0 || v >= 99.95)
        snprintf(buf, cap, "%.0f %s", v, unit[i]);
    else
        snprintf(buf, cap, "%.1f %s", v, unit[i]);
    return buf;
}

char *hx_format_time(uint64_t ms, char *buf, size_t cap)
{
    unsigned long long s = ms / 1000u;
    if (s < 60)
        snprintf(buf, cap, "%llus", s);
    else if (s < 3600)
        snprintf(buf, cap, "%llum%llus", s / 60, s % 60);
    else if (s < 86400)
        snprintf(buf, cap, "%lluh%llum", s / 3600, s / 60 % 60);
    else
        snprintf(buf, cap, "%llud%lluh", s / 86400, s / 3600 % 24);
    return buf;
}

bool hx_name_ok(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > HX_NAME_MAX || name[0] == '-' || name[0] == '.')
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("._-", *name))
            return false;
    return true;
}

char *hx_format_progress(uint64_t done, uint64_t total, uint64_t ms, char buf[HX_PROGRESS_TEXT])
{
    enum { WIDTH = 20 };
    char a[24], b[24], c[24], bar[WIDTH + 1];
    double part = total == 0 ? 0 : done >= total ? 1 : (double)done / (double)total;
    for (int i = 0; i < WIDTH; i++)
        bar[i] = i < (int)(part * WIDTH) ? '#' : '.';
    bar[WIDTH] = '\0';
    int n = snprintf(buf, HX_PROGRESS_TEXT, "[%s] %.0f%%, %s of %s", bar, 100 * part, hx_format_size(done, a, sizeof a),
                     hx_format_size(total, b, sizeof b));
    double rate = ms ? (double)done * 1000 / (double)ms : 0;
    double left = rate >= 1 && done < total ? (double)(total - done) / rate * 1000 : 0;
    if (left > 0 && left < 1e15)
        snprintf(buf + n, HX_PROGRESS_TEXT - (size_t)n, ", %s/s, %s left",
                 hx_format_size((uint64_t)rate, c, sizeof c),
                 hx_format_time((uint64_t)left, a, sizeof a));
    return buf;
}
