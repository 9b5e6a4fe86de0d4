/*
 * crc.c - CRC32C through libisal, and the table twin that the tests compare it with.  Pure.
 */
#include "hexad/crc.h"

#include <isa-l/crc.h>
#include <limits.h>

uint32_t hx_crc32c(uint32_t crc, const void *p, size_t len)
{
    /* libisal takes an int length and works on the inverted register. */
    unsigned char *at = (unsigned char *)(uintptr_t)p;
    while (len > INT_MAX) {
        crc = ~crc32_iscsi(at, INT_MAX, ~crc);
        at += INT_MAX;
        len -= INT_MAX;
    }
    return ~crc32_iscsi(at, (int)len, ~crc);
}

uint32_t hx_crc32c_table(uint32_t crc, const void *p, size_t len)
{
    const unsigned char *at = p;
    crc = ~crc;
    while (len--) {
        crc ^= *at++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82F63B78u & (0u - (crc & 1u)));
    }
    return ~crc;
}
