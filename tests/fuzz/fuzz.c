/*
 * fuzz.c - what targets and drivers share: small changes to bytes, neighbours of an input, reading decisions.
 *
 * Knows no target and no driver.  Everything follows from what is given; only the counts are kept.  Under sanitizers
 * the end of a shortened neighbour is poisoned while it is looked at.  Memory: one buffer for all neighbours of an
 * input.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FUZZ_ASAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define FUZZ_ASAN
#endif
#ifdef FUZZ_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

void fuzz_poison(const void *p, size_t len)
{
    ASAN_POISON_MEMORY_REGION(p, len);
}

void fuzz_unpoison(const void *p, size_t len)
{
    ASAN_UNPOISON_MEMORY_REGION(p, len);
}

void fuzz_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: %s does not hold\n", file, line, what);
    abort();
}

uint64_t fuzz_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static const uint64_t telling[] = {0, 1, 2, 4, 8, 12, 16, 127, 128, 255, 256, 4095, 4096, 4097, 0x7fff, 0x8000, 0xffff,
                                   0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000,
                                   0xfffffffffffffffe, 0xffffffffffffffff};

/* A number of 1, 2, 4 or 8 bytes at AT becomes another one. */
static void change_number(uint64_t r, uint8_t *p, size_t len, size_t at)
{
    size_t n = (size_t)1 << (r & 3);
    uint64_t v = 0;
    if (n > len - at)
        n = 1;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[at + i] << 8 * i;
    switch (r >> 2 & 3) {
    case 0:
        v = telling[(r >> 4) % HX_ARRAY_LEN(telling)];
        break;
    case 1:
        v += (r >> 4 & 15) + 1;
        break;
    case 2:
        v -= (r >> 4 & 15) + 1;
        break;
    default:
        v ^= UINT64_C(1) << (r >> 4 & 63);
    }
    for (size_t i = 0; i < n; i++)
        p[at + i] = (uint8_t)(v >> 8 * i);
}

size_t fuzz_change(uint64_t *random, uint8_t *p, size_t len, size_t cap)
{
    uint64_t r = fuzz_random(random), how = r & 15;
    if (len == 0) {
        p[0] = (uint8_t)(r >> 8);
        return 1;
    }
    size_t at = (size_t)(r >> 32) % len, n = (size_t)(r >> 8 & 31) + 1;
    if (how < 10) {
        change_number(r >> 8, p, len, at);
    } else if (how < 12) {
        p[at] = (uint8_t)(r >> 8);
    } else if (how == 12) { /* bytes go */
        n = n < len - at ? n : len - at;
        memmove(p + at, p + at + n, len - at - n);
        len -= n;
    } else if (how == 13 && len + n <= cap) { /* bytes come */
        memmove(p + at + n, p + at, len - at);
        len += n;
    } else { /* a copy of other bytes */
        size_t from = (size_t)(r >> 16) % len;
        n = n < len - at ? n : len - at;
        n = n < len - from ? n : len - from;
        memmove(p + at, p + from, n);
    }
    return len;
}

uint64_t fuzz_counts[FUZZ_DECODERS_MAX];
int fuzz_only = -1;

unsigned fuzz_decoder_count(void)
{
    unsigned n = 0;
    while (fuzz_target.decoders && fuzz_target.decoders[n].run)
        n++;
    fuzz_check(n <= FUZZ_DECODERS_MAX);
    return n;
}

/* Neighbour of P in B, of as many bytes; its length.  The first byte stays, it is not the decoder's. */
static size_t make_neighbour(uint64_t *random, uint8_t *b, const uint8_t *p, size_t len)
{
    size_t n = len - 1;
    memcpy(b, p, len);
    uint64_t how = fuzz_random(random);
    for (unsigned k = 0; k <= (how & 3) && n > 0; k++)
        n = fuzz_change(random, b + 1, n, n);
    if (how >> 2 & 1 && fuzz_target.repair)
        fuzz_target.repair(b, n + 1);
    return n + 1;
}

void fuzz_decode(const uint8_t *p, size_t len, unsigned near)
{
    if (len == 0)
        return;
    unsigned kind = p[0] % fuzz_decoder_count();
    const struct fuzz_decoder *d = &fuzz_target.decoders[kind];
    if (fuzz_only >= 0 && (unsigned)fuzz_only != kind)
        return;
    fuzz_counts[kind]++;
    d->run(p + 1, len - 1);
    uint64_t random = len;
    for (size_t i = 0; i < len; i += 8 + len / 16)
        random = (random ^ p[i]) * UINT64_C(0x100000001b3);
    uint8_t *b = malloc(len);
    for (unsigned i = 0; i < near && b; i++) {
        size_t n = make_neighbour(&random, b, p, len);
        fuzz_counts[kind]++;
        if (n < len)
            fuzz_poison(b + n, len - n);
        d->run(b + 1, n - 1);
        if (n < len)
            fuzz_unpoison(b, len);
    }
    free(b);
}

uint8_t fuzz_u8(struct fuzz_in *in)
{
    if (in->len == 0)
        return 0;
    in->len--;
    return *in->p++;
}

uint16_t fuzz_u16(struct fuzz_in *in)
{
    uint16_t low = fuzz_u8(in);
    return (uint16_t)(low | fuzz_u8(in) << 8);
}

uint32_t fuzz_u32(struct fuzz_in *in)
{
    uint32_t low = fuzz_u16(in);
    return low | (uint32_t)fuzz_u16(in) << 16;
}

uint64_t fuzz_u64(struct fuzz_in *in)
{
    uint64_t low = fuzz_u32(in);
    return low | (uint64_t)fuzz_u32(in) << 32;
}

struct hx_bytes fuzz_take(struct fuzz_in *in, size_t len)
{
    len = len < in->len ? len : in->len;
    struct hx_bytes b = {in->p, len};
    in->p += len;
    in->len -= len;
    return b;
}
