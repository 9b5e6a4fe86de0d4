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

/* A decoder and nothing else: 10^8 executions of each are the aim, counted one by one (tests/fuzz/ledger). */
struct fuzz_decoder {
    const char *name;
    void (*run)(const uint8_t *p, size_t len); /* on what is behind the byte that chose it; NULL: end of the list */
    size_t len_max;                            /* of that; 0: the target's */
    const char *sources;                       /* as fuzz_target.sources */
};

struct fuzz_target {
    const char *name;
    size_t len_max;
    unsigned rounds;                     /* inputs at random, and changed ones, in a test; 0: as many as is usual */
    const struct fuzz_decoder *decoders; /* chosen by the first byte of the input; NULL: run */
    void (*run)(const uint8_t *p, size_t len);
    /* Makes lengths, magics and checksums fit the content, in place; NULL: nothing to repair. */
    void (*repair)(uint8_t *p, size_t len);
    void (*seeds)(void); /* calls fuzz_seed for each input that real encoders make */
    /* What the tested code is made of, besides src/base: files and directories, blanks between.  Executions count
     * for as long as these are what they were (ledger.py). */
    const char *sources;
};
extern const struct fuzz_target fuzz_target;

/* From seeds: one input; copied. */
void fuzz_seed(const char *name, const void *p, size_t len);
/* A finding: says which check failed, and stops. */
#define fuzz_check(cond) ((cond) ? (void)0 : fuzz_failed(#cond, __FILE__, __LINE__))
__attribute__((noreturn)) void fuzz_failed(const char *what, const char *file, int line);

/*
 * For targets with decoders: the one that the first byte chooses, on the rest of P, then on NEAR neighbours of it,
 * which differ from it in a few bytes or end earlier, half of them repaired.  They follow from P alone (F1), the first
 * ones of many are the same as those of few, they lie at the end of their memory, so that a sanitizer sees a byte read
 * too far, and cost no allocation each.
 */
#define FUZZ_NEAR 31u      /* in a test, and while new code is searched for */
#define FUZZ_NEAR_MAX 255u /* when executions are what is wanted, and when a finding is looked at */
void fuzz_decode(const uint8_t *p, size_t len, unsigned near);

/* Under the address sanitizer: looking at these bytes is a finding, or no longer one. */
void fuzz_poison(const void *p, size_t len);
void fuzz_unpoison(const void *p, size_t len);

#define FUZZ_DECODERS_MAX 32u
extern uint64_t fuzz_counts[FUZZ_DECODERS_MAX]; /* executions of each decoder so far */
extern int fuzz_only;                           /* the only decoder that fuzz_decode runs; -1: all */
unsigned fuzz_decoder_count(void);

/* splitmix64: of the drivers, the neighbours, the seeds. */
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
