/*
 * rng.c - the simulator's only source of chance: xoroshiro128+ streams, each seeded by (seed, name, number).
 *
 * A stream belongs to one purpose, so that leaving one kind of fault out does not move the draws of the others (S2).
 * The generator and splitmix64 are those of Blackman and Vigna (2018).
 */
#include "sim.h"

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = *x += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

struct hx_rng hx_rng_fork(uint64_t seed, const char *stream, uint64_t number)
{
    uint64_t x = seed;
    for (const char *p = stream; *p; p++)
        x = splitmix(&x) ^ (uint8_t)*p;
    x = splitmix(&x) ^ number;
    struct hx_rng r = {{splitmix(&x), 0}};
    r.s[1] = splitmix(&x) | 1; /* never all zeros */
    return r;
}

static uint64_t rotl(uint64_t x, unsigned k)
{
    return x << k | x >> (64 - k);
}

uint64_t hx_rng_u64(struct hx_rng *r)
{
    uint64_t a = r->s[0], b = r->s[1], sum = a + b;
    b ^= a;
    r->s[0] = rotl(a, 24) ^ b ^ b << 16;
    r->s[1] = rotl(b, 37);
    return sum;
}

uint64_t hx_rng_below(struct hx_rng *r, uint64_t n)
{
    return n ? (uint64_t)(((unsigned __int128)hx_rng_u64(r) * n) >> 64) : 0;
}

uint64_t hx_rng_range(struct hx_rng *r, uint64_t lo, uint64_t hi)
{
    return lo + hx_rng_below(r, hi - lo + 1);
}

bool hx_rng_ppm(struct hx_rng *r, uint64_t ppm)
{
    return ppm && hx_rng_below(r, 1000000) < ppm;
}
