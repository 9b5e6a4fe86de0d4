/*
 * crc.h - CRC32C (Castagnoli) of stored and sent bytes; 0xE3069283 for "123456789".
 */
#ifndef HEXAD_CRC_H
#define HEXAD_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Continue CRC (0 at the start) over LEN bytes. */
uint32_t hx_crc32c(uint32_t crc, const void *p, size_t len);
/* The plain table version: the twin that the tests compare with. */
uint32_t hx_crc32c_table(uint32_t crc, const void *p, size_t len);

#endif
