/*
 * version.c - tells a file of a newer program from a damaged one.
 *
 * Every head that the store writes keeps magic, version, identity and checksum where they are in all versions to come,
 * so that an older program can be sure: a head whose checksum fits and whose version is higher was written by a newer
 * one, and is no damage.  Such a segment is refused (HX_E_VERSION): nothing of it is served, changed or deleted.
 * The rule for both directions is in doc/FORMAT.md.  Pure; keeps nothing.
 */
#include "store.h"

int hx_version_check(const uint8_t *p, size_t len, uint32_t magic, unsigned newest, size_t crc_at)
{
    if (len < crc_at + 4 || hx_get_u32(p) != magic || hx_get_u32(p + crc_at) != hx_crc32c(0, p, crc_at))
        return HX_E_CORRUPT;
    unsigned version = hx_get_u16(p + 4);
    if (version > newest)
        return HX_E_VERSION;
    return version == 0 ? HX_E_CORRUPT : 0;
}
