/*
 * test_httphead.c - heads of HTTP answers (src/net/httphead.c): good ones are read whatever piece they come in, what
 * two readers could read differently is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/net/httphead.h"
#include "hexad/err.h"
#include "hexad/types.h"

#include <stdlib.h>
#include <string.h>

struct good {
    const char *text;
    int status;
    bool close;
    uint64_t length;
};

/* Promise: a head says its status, length and whether the connection ends, and how long it is, whatever comes behind
 * it; as long as it is not complete, it is not read. */
static void good_heads_are_read(void **state)
{
    static const struct good all[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", 200, false, 12},
        {"HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", 200, false, 0},
        {"HTTP/1.1 200 OK\r\nCONTENT-LENGTH:\t 007\r\n\r\n", 200, false, 7},
        {"HTTP/1.1 503 Service Unavailable\r\nX: y: z\r\nEmpty:\r\nconnection: CLOSE\r\nContent-Length: 1\r\n\r\n", 503,
         true, 1},
        {"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\nX-Content-Length: 4\r\n\r\n", 200,
         false, 3},
        {"HTTP/1.1 100 Continue\r\n\r\n", 100, false, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\n", 200, false, UINT64_C(999999999999999999)},
    };
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(all); i++) {
        struct hx_httphead h;
        size_t len = strlen(all[i].text);
        uint8_t *p = malloc(len + 4);
        assert_non_null(p);
        memcpy(p, all[i].text, len);
        memcpy(p + len, "\r\n\r\n", 4); /* of the body */
        for (size_t n = 0; n < len; n++) {
            uint8_t *part = malloc(n ? n : 1);
            assert_non_null(part);
            memcpy(part, p, n);
            assert_int_equal(hx_httphead_parse(part, n, &h), 0);
            free(part);
        }
        for (size_t n = len; n <= len + 4; n++) {
            assert_int_equal(hx_httphead_parse(p, n, &h), 1);
            assert_int_equal(h.len, len);
            assert_int_equal(h.status, all[i].status);
            assert_true(h.close == all[i].close && h.length == all[i].length);
        }
        free(p);
    }
}

/* Promise: what is no head of an answer, or not certainly one, is refused; what does not begin like one, at once. */
static void odd_heads_are_refused(void **state)
{
    static const char *const all[] = {
        "\r", "S", "HTTP/1.0 200 OK\r\n", "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n", /* where does it end? */
        "HTTP/1.1 100 Continue\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n folded: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1 \r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551617\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\ntransfer-encoding:\r\n\r\n",
    };
    struct hx_httphead h;
    static char big[HX_HTTPHEAD_MAX + 100];
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(all); i++)
        assert_int_equal(hx_httphead_parse((const uint8_t *)all[i], strlen(all[i]), &h), HX_E_BADMSG);
    static const char nul[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX: \0\r\n\r\n";
    assert_int_equal(hx_httphead_parse((const uint8_t *)nul, sizeof nul - 1, &h), HX_E_BADMSG);
    memset(big, 'x', sizeof big);
    memcpy(big, "HTTP/1.1 200 OK\r\nX: ", 20);
    assert_int_equal(hx_httphead_parse((const uint8_t *)big, HX_HTTPHEAD_MAX - 1, &h), 0);
    assert_int_equal(hx_httphead_parse((const uint8_t *)big, sizeof big, &h), HX_E_BADMSG);
}

/* Promise: whatever the bytes are, nothing behind them is read, and a head is never longer than they are.
 * Method: good heads with bytes changed, in memory of exactly their length (for the sanitizers). */
static void any_bytes_do_no_harm(void **state)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\nX: y\r\n\r\nbody";
    static const char bytes[] = "\r\n\0 :\t,19HTcC-/.";
    uint64_t x = 88172645463325252u;
    unsigned whole = 0;
    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        struct hx_httphead h;
        size_t n = sizeof text - 1;
        uint8_t *p = malloc(n);
        assert_non_null(p);
        memcpy(p, text, n);
        for (unsigned k = 0; k < 1 + i % 4; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            p[x % n] = (uint8_t)bytes[(x >> 32) % (sizeof bytes - 1)];
        }
        int got = hx_httphead_parse(p, n, &h);
        assert_true(got == 0 || got == 1 || got == HX_E_BADMSG);
        if (got == 1) {
            assert_in_range(h.len, 16, n); /* a status and two ends of lines */
            whole++;
        }
        free(p);
    }
    assert_in_range(whole, 1000, 199999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_heads_are_read),
        cmocka_unit_test(odd_heads_are_refused),
        cmocka_unit_test(any_bytes_do_no_harm),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("httphead", tests, NULL, NULL);
}
