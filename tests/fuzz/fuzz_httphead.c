/*
 * fuzz_httphead.c - the head of an answer, as a client reads it (src/net/httphead.c).
 *
 * Checked: a head that was accepted has its end where it says, its status is one, and it is read the same when it is
 * all there is, when more is behind it, and not at all when its last byte is missing.
 */
#include "fuzz.h"

#include "../../src/net/httphead.h"
#include "hexad/err.h"

#include <string.h>

static void head(const uint8_t *p, size_t len)
{
    struct hx_httphead h = {0}, again = {0};
    int got = hx_httphead_parse(p, len, &h);
    fuzz_check(got == 0 || got == 1 || got == HX_E_BADMSG);
    if (got != 1)
        return;
    fuzz_check(h.len >= 16 && h.len <= len && h.len <= HX_HTTPHEAD_MAX && !memcmp(p + h.len - 4, "\r\n\r\n", 4));
    fuzz_check(h.status >= 100 && h.status <= 999 && (h.status >= 200 || h.length == 0));
    fuzz_check(hx_httphead_parse(p, h.len, &again) == 1 && again.len == h.len && again.status == h.status &&
               again.length == h.length && again.close == h.close);
    fuzz_check(hx_httphead_parse(p, h.len - 1, &again) == 0);
}

static void seed(const char *name, const char *text)
{
    uint8_t b[512] = {0};
    size_t n = strlen(text);
    memcpy(b + 1, text, n);
    fuzz_seed(name, b, n + 1);
}

static void seeds(void)
{
    seed("ok", "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nDate: Mon, 23 Nov 2026 15:07:00 GMT\r\n"
               "Content-Length: 12\r\n\r\nbody");
    seed("refused", "HTTP/1.1 413 Request Entity Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    seed("continue", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    seed("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

static const struct fuzz_decoder decoders[] = {
    {"http-head", head, 0, "src/net/httphead.c src/net/httphead.h"}, {0}};

const struct fuzz_target fuzz_target = {.name = "httphead", .len_max = 512, .decoders = decoders, .seeds = seeds};
