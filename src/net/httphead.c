/*
 * httphead.c - the head of an HTTP/1.x answer, from a segment server whose certificate has been checked.
 *
 * Does not: read a body, remember anything: a head that is not complete is parsed again from its start.
 *
 * Strict where two readers could disagree about where an answer ends: one Content-Length of digits, or several
 * that say the same; no transfer encoding; no folded lines, no space before the colon, no NUL.  Lines may end
 * with LF alone.  Memory: none.
 */
#include "httphead.h"

#include "hexad/err.h"

#include <string.h>
#include <strings.h>

struct line {
    const char *p;
    size_t len; /* without its end */
};

/* The next line from *AT on; false: it has no end yet. */
static bool next_line(const char *p, size_t len, size_t *at, struct line *ret)
{
    const char *end = memchr(p + *at, '\n', len - *at);
    if (!end)
        return false;
    ret->p = p + *at;
    ret->len = (size_t)(end - ret->p);
    *at += ret->len + 1;
    if (ret->len && ret->p[ret->len - 1] == '\r')
        ret->len--;
    return true;
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* HTTP/1.x SP 3 digits, then nothing or SP and text. */
static bool status_line(const struct line *l, struct hx_httphead *h)
{
    const char *p = l->p;
    if (l->len < 12 || memcmp(p, "HTTP/1.", 7) || !digit(p[7]) || p[8] != ' ' || p[9] == '0' || !digit(p[9]) ||
        !digit(p[10]) || !digit(p[11]) || (l->len > 12 && p[12] != ' '))
        return false;
    h->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
    h->close = p[7] == '0';
    return true;
}

static bool is(const struct line *l, const char *name)
{
    return strlen(name) == l->len && !strncasecmp(l->p, name, l->len);
}

static bool content_length(const struct line *v, struct hx_httphead *h)
{
    uint64_t n = 0;
    if (!v->len || v->len > 18) /* no overflow; larger than anything that is taken */
        return false;
    for (size_t i = 0; i < v->len; i++) {
        if (!digit(v->p[i]))
            return false;
        n = n * 10 + (uint64_t)(v->p[i] - '0');
    }
    if (h->has_length && n != h->length)
        return false;
    h->has_length = true;
    h->length = n;
    return true;
}

static bool field(const struct line *l, struct hx_httphead *h)
{
    const char *colon = memchr(l->p, ':', l->len);
    if (!colon || colon == l->p || colon[-1] == ' ' || colon[-1] == '\t' || l->p[0] == ' ' || l->p[0] == '\t')
        return false;
    struct line name = {l->p, (size_t)(colon - l->p)}, v = {colon + 1, l->len - name.len - 1};
    while (v.len && (v.p[0] == ' ' || v.p[0] == '\t')) {
        v.p++;
        v.len--;
    }
    while (v.len && (v.p[v.len - 1] == ' ' || v.p[v.len - 1] == '\t'))
        v.len--;
    if (is(&name, "Content-Length"))
        return content_length(&v, h);
    if (is(&name, "Transfer-Encoding"))
        return false;
    if (is(&name, "Connection"))
        h->close = h->close || is(&v, "close");
    return true;
}

int hx_httphead_parse(const char *p, size_t len, struct hx_httphead *ret)
{
    struct hx_httphead h = {0};
    struct line l;
    size_t at = 0, most = len < HX_HTTPHEAD_MAX ? len : HX_HTTPHEAD_MAX;
    bool first = true;
    while (next_line(p, most, &at, &l)) {
        if (memchr(l.p, '\0', l.len) || (first ? !status_line(&l, &h) : l.len && !field(&l, &h)))
            return HX_E_BADMSG;
        if (!first && !l.len) {
            h.len = at;
            if (h.status < 200 || h.status == 204 || h.status == 304) {
                h.has_length = true;
                h.length = 0;
            }
            *ret = h;
            return 1;
        }
        first = false;
    }
    return most == HX_HTTPHEAD_MAX ? HX_E_BADMSG : 0;
}
