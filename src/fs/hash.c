/*
 * hash.c - a name as a number: where entries of directories and attributes of inodes are in the tree.
 *
 * It does not deal with two names of one number: dir.c (D2) and xattr.c do, by a rank below the hash.
 *
 * SipHash-1-3, keyed by the volume's seed and the inode: who names files cannot choose names that meet.  The same on
 * every machine and for ever: it is part of the format (doc/FS.md).  Pure; allocates nothing.
 */
#include "fs_private.h"

#define HASH_BITS 43

_Static_assert(HX_HASH_RANK_BITS + HASH_BITS == 63, "a cookie is a positive off_t");

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t x, int b)
{
    return x << b | x >> (64 - b);
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1, s->v1 = rotl(s->v1, 13) ^ s->v0, s->v0 = rotl(s->v0, 32);
    s->v2 += s->v3, s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 += s->v3, s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 += s->v1, s->v1 = rotl(s->v1, 17) ^ s->v2, s->v2 = rotl(s->v2, 32);
}

uint64_t hx_hash_name(uint64_t seed, uint64_t ino, const char *name, size_t len)
{
    const uint8_t *p = (const uint8_t *)name;
    struct sip s = {seed ^ 0x736f6d6570736575, ino ^ 0x646f72616e646f6d, seed ^ 0x6c7967656e657261,
                    ino ^ 0x7465646279746573};
    uint8_t last[8] = {0};
    for (size_t left = len; left >= 8; left -= 8, p += 8) {
        uint64_t m = hx_get_u64(p);
        s.v3 ^= m;
        sip_round(&s);
        s.v0 ^= m;
    }
    memcpy(last, p, len % 8);
    last[7] = (uint8_t)len;
    s.v3 ^= hx_get_u64(last);
    sip_round(&s);
    s.v0 ^= hx_get_u64(last);
    s.v2 ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    uint64_t h = (s.v0 ^ s.v1 ^ s.v2 ^ s.v3) >> (64 - HASH_BITS);
    return (h ? h : 1) << HX_HASH_RANK_BITS;
}
