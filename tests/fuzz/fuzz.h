/*
 * fuzz.h - one fuzz target: what it runs, how bytes are made whole again, which inputs it begins with.
 *
 * A target is a program of its own, tests/fuzz/fuzz_NAME.c, that defines fuzz_target.  It is linked with one of two
 * drivers (driver.c): libFuzzer's, in a build --with-fuzzing, or ours, which any compiler takes and `make check` runs.
 * Both give it bytes; a target that finds something wrong stops the process (abort, an assert, a sanitizer).
 *
 * Rules for targets:
 *   F1 run depends on its bytes alone: no clock, no randomness, no state that an earlier run left.
 *   F2 run ends: loops over what a target simulates are bounded by the target itself.
 *   F3 bytes that repair has been over may still be refused; repair only makes that unlikely.
 */
#ifndef HEXAD_TESTS_FUZZ_H
#define HEXAD_TESTS_FUZZ_H

#include "hexad/types.h"

struct fuzz_target {
    const char *name;
    size_t len_max;
    unsigned rounds;              /* inputs at random, and changed ones, in a test; 0: as many as is usual */
    bool stateless;               /* a decoder and nothing else: counted per decoder, 10^8 executions are the aim */
    const char *const *decoders;  /* names for fuzz_ran, NULL at the end; NULL: one, named as the target */
    void (*run)(const uint8_t *p, size_t len);
    /* Makes lengths, magics and checksums fit the content, in place; NULL: nothing to repair. */
    void (*repair)(uint8_t *p, size_t len);
    void (*seeds)(void); /* calls fuzz_seed for each input that real encoders make */
};
extern const struct fuzz_target fuzz_target;

/* From seeds: one input; copied. */
void fuzz_seed(const char *name, const void *p, size_t len);
/* From run: DECODER (index into decoders) was executed once on bytes of its own. */
void fuzz_ran(unsigned decoder);

/* A finding: says which check failed, and stops. */
#define fuzz_check(cond) ((cond) ? (void)0 : fuzz_failed(#cond, __FILE__, __LINE__))
__attribute__((noreturn)) void fuzz_failed(const char *what, const char *file, int line);

/*
 * For stateless targets: ONE on P, then on FUZZ_NEAR neighbours of P, which differ from it in a few bytes or end
 * earlier, half of them repaired.  They follow from P alone (F1), lie at the end of their memory, so that a sanitizer
 * sees a byte read too far, and cost no allocation each.
 */
#define FUZZ_NEAR 31u
void fuzz_near(const uint8_t *p, size_t len, void (*one)(const uint8_t *p, size_t len));

/* splitmix64: of the drivers and the neighbours. */
uint64_t fuzz_random(uint64_t *state);
/* One small change in place; the new length, at most CAP (> 0). */
size_t fuzz_change(uint64_t *random, uint8_t *p, size_t len, size_t cap);

/* Bytes that a target takes its decisions from: zeros behind the end. */
struct fuzz_in {
    const uint8_t *p;
    size_t len;
};
uint8_t fuzz_u8(struct fuzz_in *in);
uint16_t fuzz_u16(struct fuzz_in *in);
uint32_t fuzz_u32(struct fuzz_in *in);
uint64_t fuzz_u64(struct fuzz_in *in);
/* At most LEN bytes, as many as there are. */
struct hx_bytes fuzz_take(struct fuzz_in *in, size_t len);

#endif
