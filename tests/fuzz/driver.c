/*
 * driver.c - runs a fuzz target: under libFuzzer (HX_FUZZING), or by itself as a test that speaks TAP.
 *
 * By itself, in a build of any compiler:
 *   fuzz_NAME               seeds, corpus, bytes at random, changed seeds and corpus; always the same ones
 *   fuzz_NAME FILE...       each file once: to look at a finding
 * What stops the process is left as fuzz_NAME.finding in the working directory, with the line that replays it.
 *
 * The corpus is tests/fuzz/corpus/NAME.pack (u32 length and bytes, one input after the other: what libFuzzer found to
 * reach new code) and single files tests/fuzz/corpus/NAME-*: inputs that once found something.
 *
 * Under libFuzzer the mutator is libFuzzer's own, followed mostly by the target's repair.  At the end the number of
 * executions of each decoder is added to the file that HEXAD_FUZZ_COUNTS names: "TARGET DECODER COUNT MILLISECONDS" a
 * line, with its part of the processor's time.
 *   HEXAD_FUZZ_SEEDS=DIR      writes seeds and corpus there and ends
 *   HEXAD_FUZZ_LIST=1         says which decoders there are and what they are made of, for ledger.py, and ends
 *   HEXAD_FUZZ_DECODER=NAME   this decoder of the target alone, each input with FUZZ_NEAR_MAX neighbours
 *
 * Does not know what a target does.  Memory: the inputs, until the end.
 */
#include "fuzz.h"

#include "hexad/codec.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void run_target(const uint8_t *p, size_t len, unsigned near)
{
    if (fuzz_target.decoders) {
        fuzz_decode(p, len, near);
    } else {
        fuzz_counts[0]++;
        fuzz_target.run(p, len);
    }
}

static char *source_path(const char *tail)
{
    char *path;
    const char *source = getenv("HEXAD_SOURCE");
    fuzz_check(asprintf(&path, "%s/tests/fuzz/corpus/%s", source ? source : ".", tail) > 0);
    return path;
}

static uint8_t *read_all(const char *path, size_t *ret_len)
{
    struct stat st;
    uint8_t *p = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        p = malloc((size_t)st.st_size + 1);
        fuzz_check(p && read(fd, p, (size_t)st.st_size) == st.st_size);
        *ret_len = (size_t)st.st_size;
    }
    if (fd >= 0)
        close(fd);
    return p;
}

/* Everything in the tree's corpus goes through fuzz_seed. */
static void seeds_of_corpus(void)
{
    char name[128];
    snprintf(name, sizeof name, "%s.pack", fuzz_target.name);
    char *path = source_path(name), *dir = source_path("");
    size_t len = 0, at = 0;
    uint8_t *p = read_all(path, &len);
    for (unsigned i = 0; p && len - at >= 4 && hx_get_u32(p + at) <= len - at - 4; i++) {
        size_t n = hx_get_u32(p + at);
        snprintf(name, sizeof name, "pack-%u", i);
        fuzz_seed(name, p + at + 4, n);
        at += 4 + n;
    }
    fuzz_check(at == len);
    free(p);
    struct dirent **list = NULL;
    int count = scandir(dir, &list, NULL, alphasort);
    size_t own = (size_t)snprintf(name, sizeof name, "%s-", fuzz_target.name);
    for (int i = 0; i < count; i++) {
        char *one = source_path(list[i]->d_name);
        if (strncmp(list[i]->d_name, name, own) == 0 && (p = read_all(one, &len))) {
            fuzz_seed(list[i]->d_name, p, len);
            free(p);
        }
        free(one);
        free(list[i]);
    }
    free(list);
    free(path);
    free(dir);
}

#ifdef HX_FUZZING

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *p, size_t len, size_t max);

static void save_counts(void)
{
    const char *path = getenv("HEXAD_FUZZ_COUNTS");
    FILE *f = path ? fopen(path, "ae") : NULL;
    if (!f)
        return;
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    double ms = (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6, sum = 1;
    for (unsigned i = 0; i < FUZZ_DECODERS_MAX; i++)
        sum += (double)fuzz_counts[i];
    for (unsigned i = 0; i < fuzz_decoder_count() || i == 0; i++)
        fprintf(f, "%s %s %llu %.0f\n", fuzz_target.name, fuzz_target.decoders ? fuzz_target.decoders[i].name : "-",
                (unsigned long long)fuzz_counts[i], ms * (double)fuzz_counts[i] / sum);
    fclose(f);
}

static void list_decoders(void)
{
    for (unsigned i = 0; i < fuzz_decoder_count(); i++)
        printf("%s %s %s\n", fuzz_target.name, fuzz_target.decoders[i].name, fuzz_target.decoders[i].sources);
    if (!fuzz_target.decoders)
        printf("%s - %s\n", fuzz_target.name, fuzz_target.sources);
}

/* The longest input: of the only decoder, or of all. */
static size_t choose_decoder(const char *name)
{
    size_t max = fuzz_target.len_max;
    for (unsigned i = 0; name && i < fuzz_decoder_count(); i++)
        if (!strcmp(fuzz_target.decoders[i].name, name)) {
            fuzz_only = (int)i;
            max = fuzz_target.decoders[i].len_max ? fuzz_target.decoders[i].len_max + 1 : max;
        }
    fuzz_check(!name || fuzz_only >= 0);
    return max;
}

/* libFuzzer learns the longest input. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char max[40];
    if (getenv("HEXAD_FUZZ_LIST")) {
        list_decoders();
        exit(0);
    }
    if (getenv("HEXAD_FUZZ_SEEDS")) {
        fuzz_target.seeds();
        seeds_of_corpus();
        exit(0);
    }
    char **more = calloc((size_t)*argc + 2, sizeof *more);
    fuzz_check(more);
    snprintf(max, sizeof max, "-max_len=%zu", choose_decoder(getenv("HEXAD_FUZZ_DECODER")));
    more[0] = (*argv)[0];
    more[1] = max;
    for (int i = 1; i < *argc; i++)
        more[i + 1] = (*argv)[i];
    *argv = more;
    ++*argc;
    atexit(save_counts);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    run_target(p, len, fuzz_only >= 0 ? FUZZ_NEAR_MAX : FUZZ_NEAR);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed)
{
    if (fuzz_only >= 0 && len > 0) {
        p[0] = (uint8_t)fuzz_only;
        len = 1 + LLVMFuzzerMutate(p + 1, len - 1, max - 1);
    } else {
        len = LLVMFuzzerMutate(p, len, max);
    }
    if (fuzz_target.repair && seed % 8 != 0)
        fuzz_target.repair(p, len);
    return len;
}

void fuzz_seed(const char *name, const void *p, size_t len)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("HEXAD_FUZZ_SEEDS"), name);
    FILE *f = fopen(path, "we");
    fuzz_check(f && fwrite(p, 1, len, f) == len && fclose(f) == 0);
}

#else

struct input {
    char name[64];
    uint8_t *p;
    size_t len;
};
static struct input *inputs;
static size_t input_count;
static const struct input *running;
static struct input scratch;

static void finding(int signo)
{
    char path[128], text[400];
    signal(signo, SIG_DFL);
    int n = snprintf(path, sizeof path, "fuzz_%s.finding", fuzz_target.name);
    int fd = running && n > 0 ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
    if (fd >= 0 && write(fd, running->p, running->len) >= 0) {
        n = snprintf(text, sizeof text, "# stopped by signal %d on %s\n# replay: fuzz_%s %s\nnot ok - %s\n", signo,
                     running->name, fuzz_target.name, path, fuzz_target.name);
        if (n > 0)
            (void)!write(STDOUT_FILENO, text, (size_t)n);
    }
    raise(signo);
}

static void run_one(const struct input *in, unsigned near)
{
    running = in;
    run_target(in->p, in->len, near);
    running = NULL;
}

/* On memory that ends where the input ends. */
static void run_exact(const struct input *in, unsigned near)
{
    struct input copy = *in;
    copy.p = malloc(in->len ? in->len : 1);
    fuzz_check(copy.p);
    if (in->len)
        memcpy(copy.p, in->p, in->len);
    run_one(&copy, near);
    free(copy.p);
}

static void add(const char *name, const void *p, size_t len)
{
    inputs = realloc(inputs, (input_count + 1) * sizeof *inputs);
    fuzz_check(inputs);
    struct input *in = &inputs[input_count++];
    snprintf(in->name, sizeof in->name, "%s", name);
    in->len = len;
    in->p = malloc(len ? len : 1);
    fuzz_check(in->p);
    if (len)
        memcpy(in->p, p, len);
}

void fuzz_seed(const char *name, const void *p, size_t len)
{
    fuzz_check(len <= fuzz_target.len_max);
    add(name, p, len);
}

/* Bytes at random, without (COUNT of) and with repair. */
static void run_random(uint64_t count)
{
    uint64_t random = 11;
    size_t max = fuzz_target.len_max < 2048 ? fuzz_target.len_max : 2048;
    for (uint64_t i = 0; i < count; i++) {
        scratch.len = (size_t)(fuzz_random(&random) % (max + 1));
        for (size_t k = 0; k < scratch.len; k++)
            scratch.p[k] = (uint8_t)fuzz_random(&random);
        snprintf(scratch.name, sizeof scratch.name, "random bytes %llu", (unsigned long long)i);
        if (i & 1 && fuzz_target.repair)
            fuzz_target.repair(scratch.p, scratch.len);
        run_exact(&scratch, FUZZ_NEAR);
    }
}

static void run_changed(uint64_t count)
{
    uint64_t random = 12;
    for (uint64_t i = 0; i < count && input_count; i++) {
        const struct input *from = &inputs[fuzz_random(&random) % input_count];
        scratch.len = from->len < fuzz_target.len_max ? from->len : fuzz_target.len_max;
        memcpy(scratch.p, from->p, scratch.len);
        uint64_t how = fuzz_random(&random);
        for (uint64_t k = 0; k <= how % 6; k++)
            scratch.len = fuzz_change(&random, scratch.p, scratch.len, fuzz_target.len_max);
        snprintf(scratch.name, sizeof scratch.name, "%.30s, changed (%llu)", from->name, (unsigned long long)i);
        if (how >> 8 & 3 && fuzz_target.repair)
            fuzz_target.repair(scratch.p, scratch.len);
        run_exact(&scratch, FUZZ_NEAR);
    }
}

static int replay_files(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t len;
        uint8_t *p = read_all(argv[i], &len);
        if (!p) {
            perror(argv[i]);
            return 1;
        }
        add(argv[i], p, len);
        free(p);
        run_exact(&inputs[input_count - 1], FUZZ_NEAR_MAX);
        printf("%s: fine\n", argv[i]);
    }
    return 0;
}

static void test(void)
{
    const char *often = getenv("HEXAD_FUZZ_ROUNDS");
    uint64_t rounds = often ? strtoull(often, NULL, 10)
                      : fuzz_target.rounds ? fuzz_target.rounds : fuzz_target.decoders ? 2000 : 200;
    setvbuf(stdout, NULL, _IOLBF, 0);
    size_t seeds = input_count;
    printf("1..4\n");
    for (size_t i = 0; i < seeds; i++)
        run_exact(&inputs[i], FUZZ_NEAR);
    printf("%s 1 - %s: what our own encoders make (%zu inputs)\n", seeds ? "ok" : "not ok", fuzz_target.name, seeds);
    seeds_of_corpus();
    for (size_t i = seeds; i < input_count; i++)
        run_exact(&inputs[i], FUZZ_NEAR);
    printf("%s 2 - %s: every input of the corpus (%zu)\n", input_count > seeds ? "ok" : "not ok", fuzz_target.name,
           input_count - seeds);
    run_random(rounds);
    printf("ok 3 - %s: bytes at random (%llu inputs)\n", fuzz_target.name, (unsigned long long)rounds);
    run_changed(rounds);
    printf("ok 4 - %s: changed inputs, checksums repaired (%llu)\n", fuzz_target.name, (unsigned long long)rounds);
    for (unsigned i = 0; i < fuzz_decoder_count(); i++)
        printf("# %s: %llu executions\n", fuzz_target.decoders[i].name, (unsigned long long)fuzz_counts[i]);
}

int main(int argc, char **argv)
{
    static const int fatal[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    int rc = 0;
    scratch.p = malloc(fuzz_target.len_max + 1);
    fuzz_check(scratch.p);
    for (size_t i = 0; i < HX_ARRAY_LEN(fatal); i++)
        signal(fatal[i], finding);
    if (argc > 1) {
        rc = replay_files(argc, argv);
    } else {
        fuzz_target.seeds();
        test();
    }
    for (size_t i = 0; i < input_count; i++)
        free(inputs[i].p);
    free(inputs);
    free(scratch.p);
    return rc;
}

#endif
