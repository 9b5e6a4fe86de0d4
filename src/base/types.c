/*
 * types.c - text form of identities, and what happens when an invariant of ours is broken.
 */
#include "hexad/assert.h"
#include "hexad/err.h"
#include "hexad/types.h"

#include <stdio.h>
#include <stdlib.h>

void hx_uuid_format(const struct hx_uuid *id, char text[33])
{
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof id->b; i++) {
        text[2 * i] = digit[id->b[i] >> 4];
        text[2 * i + 1] = digit[id->b[i] & 15];
    }
    text[32] = '\0';
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int hx_uuid_parse(const char *text, struct hx_uuid *ret_id)
{
    struct hx_uuid id;
    if (strlen(text) != 32)
        return HX_E_INVAL;
    for (size_t i = 0; i < sizeof id.b; i++) {
        int hi = nibble(text[2 * i]), lo = nibble(text[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return HX_E_INVAL;
        id.b[i] = (uint8_t)(hi << 4 | lo);
    }
    *ret_id = id;
    return 0;
}

void hx_assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "hexad: broken invariant: %s (%s:%d)\n", what, file, line);
    abort();
}
