/*
 * httphead.c - reads the head of an HTTP/1.1 answer, as server.c judges that of a request: one plain Content-Length and
 * no Transfer-Encoding, or it is refused.  So the end of a body is never in doubt.
 *
 * Does not: know connections (link.c), keep anything.  A head that was cut off is "not yet", whatever it
 * will turn out to be, except that what does not begin as HTTP/1.1 is refused at once.
 */
#include "httphead.h"

#include "hexad/err.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DIGITS "0123456789"

static const char version[] = "HTTP/1.1 ";

/* NAME is the first LEN bytes of a line, VALUE is what is behind its colon. */
static bool take_field(struct hx_httphead *h, const char *name, size_t len, char *value, int *lengths)
{
    static const struct {
        const char *name;
        enum { LENGTH, ENCODING, CONNECTION } what;
    } known[] = {{"Content-Length", LENGTH}, {"Transfer-Encoding", ENCODING}, {"Connection", CONNECTION}};
    size_t i = 0, digits = strspn(value, DIGITS);
    while (i < 3 && (strlen(known[i].name) != len || strncasecmp(known[i].name, name, len)))
        i++;
    if (i == 3)
        return true;
    switch (known[i].what) {
    case LENGTH:
        h->length = strtoull(value, NULL, 10);
        return (*lengths)++ == 0 && digits && digits < 19 && !value[digits];
    case CONNECTION:
        h->close = h->close || !strcasecmp(value, "close");
        return true;
    case ENCODING:
        break;
    }
    return false;
}

static bool take_status(struct hx_httphead *h, const char *line)
{
    const char *code = line + sizeof version - 1;
    if (strncmp(line, version, sizeof version - 1) || strspn(code, DIGITS) != 3 || *code == '0' ||
        (code[3] && code[3] != ' '))
        return false;
    h->status = atoi(code);
    return true;
}

int hx_httphead_parse(const uint8_t *p, size_t len, struct hx_httphead *ret)
{
    char text[HX_HTTPHEAD_MAX], *line = text, *next;
    size_t most = len < sizeof text ? len : sizeof text, start = sizeof version - 1;
    const uint8_t *end = memmem(p, most, "\r\n\r\n", 4);
    if (memcmp(p, version, most < start ? most : start))
        return HX_E_BADMSG;
    if (!end)
        return most < sizeof text ? 0 : HX_E_BADMSG;
    struct hx_httphead h = {.len = (size_t)(end - p) + 4};
    memcpy(text, p, h.len - 2); /* each line with its end */
    text[h.len - 2] = '\0';
    if (strlen(text) != h.len - 2)
        return HX_E_BADMSG;
    int lengths = 0;
    for (; *line; line = next + 2) {
        next = strstr(line, "\r\n");
        *next = '\0';
        size_t name = strcspn(line, ": \t"), blank = strspn(line + name + (line[name] == ':'), " \t");
        bool good = line == text ? take_status(&h, line)
                                 : name && line[name] == ':' &&
                                       take_field(&h, line, name, line + name + 1 + blank, &lengths);
        if (!good)
            return HX_E_BADMSG;
    }
    if (h.status < 200 ? lengths : !lengths)
        return HX_E_BADMSG;
    *ret = h;
    return 1;
}
