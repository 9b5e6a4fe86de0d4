/*
 * fuzz_frame.c - frames and records: heads, bodies raw and compressed, the walk, applying to a page, and the difference
 * of two pages.
 *
 * The first byte chooses what is run.  Checked: a head that was accepted encodes to the same bytes; a walk ends,
 * hands out only bytes of the body, and has seen all of them when it ends well; a malformed payload leaves the page
 * as it was; the difference of two pages, applied, gives the second one.
 */
#include "fuzz.h"

#include "hexad/crc.h"
#include "hexad/frame.h"

enum { HEAD, FRAME, WALK, APPLY, DIFF, KINDS };

#define LEN_MAX 12288u
static uint8_t page[HX_PAGE_SIZE], before[HX_PAGE_SIZE], payload[HX_PAGE_SIZE], buf[HX_FRAME_RAW_MAX];

static struct hx_frame_opener *opener;

static int head(const uint8_t *p, size_t len, struct hx_frame_head *ret)
{
    uint8_t again[HX_FRAME_HEAD];
    int err = hx_frame_head_decode(p, len, ret);
    if (err)
        return err;
    fuzz_check(hx_frame_bytes(ret) <= HX_FRAME_MAX && ret->raw_len <= HX_FRAME_RAW_MAX);
    hx_frame_head_encode(ret, again);
    fuzz_check(memcmp(again, p, sizeof again) == 0);
    return 0;
}

static void apply(uint8_t kind, const uint8_t *p, size_t len)
{
    memset(page, 0x5a, sizeof page);
    if (hx_rec_apply(page, kind, p, len)) {
        for (size_t i = 0; i < sizeof page; i += 61)
            fuzz_check(page[i] == 0x5a);
    } else if (hx_rec_is_base(kind)) {
        /* The same page comes out whatever was there. */
        memset(before, 0xa5, sizeof before);
        fuzz_check(hx_rec_apply(before, kind, p, len) == 0 && memcmp(before, page, sizeof page) == 0);
    }
}

static void walk(const struct hx_frame_head *h, const uint8_t *raw)
{
    struct hx_frame_walk w;
    struct hx_rec r;
    uint32_t count = 0, bytes = h->count * HX_REC_HEAD;
    struct hx_lsn last = h->prev;
    int got;
    hx_frame_walk_init(&w, h, raw);
    while ((got = hx_frame_walk_next(&w, &r)) > 0) {
        fuzz_check(++count <= h->count && r.prev.v == last.v && r.lsn.v > last.v && r.lsn.v <= h->last.v);
        fuzz_check(r.payload == raw + bytes && r.len <= HX_PAGE_SIZE);
        bytes += r.len;
        fuzz_check(bytes <= h->raw_len);
        if (count <= 8)
            apply(r.kind, r.payload, r.len);
        last = r.lsn;
    }
    fuzz_check(got < 0 || (count == h->count && bytes == h->raw_len && last.v == h->last.v));
}

static void frame(const uint8_t *p, size_t len)
{
    struct hx_frame_head h;
    const uint8_t *raw;
    if (head(p, len, &h) || hx_frame_bytes(&h) > len)
        return;
    if (!opener)
        fuzz_check(hx_frame_opener_new(&opener) == 0);
    if (hx_frame_open(opener, &h, p + HX_FRAME_HEAD, buf, &raw) == 0)
        walk(&h, raw);
}

/* A raw body without its frame: the first 12 bytes say what its head would. */
static void walk_only(const uint8_t *p, size_t len)
{
    if (len < 12)
        return;
    struct hx_frame_head h = {.count = hx_get_u16(p), .first = {hx_get_u32(p + 2)}, .raw_len = (uint32_t)(len - 12)};
    h.last = HX_LSN(h.first.v + hx_get_u32(p + 6));
    h.prev = HX_LSN(h.first.v - hx_get_u16(p + 10));
    if (h.count == 0 || h.raw_len < h.count * HX_REC_HEAD || h.first.v <= h.prev.v)
        return;
    walk(&h, p + 12);
}

static void apply_only(const uint8_t *p, size_t len)
{
    if (len)
        apply(p[0], p + 1, len - 1);
}

/* Both pages are made of runs: { u8 how, u16 offset, u8 length, byte }. */
static void diff(const uint8_t *p, size_t len)
{
    memset(before, 0, sizeof before);
    struct fuzz_in in = {p, len};
    bool over_zeros = fuzz_u8(&in) & 1, same = fuzz_u8(&in) & 1, shared = true;
    memset(page, 0, sizeof page);
    while (in.len >= 5) {
        uint8_t how = fuzz_u8(&in);
        size_t off = fuzz_u16(&in) % HX_PAGE_SIZE, n = (size_t)fuzz_u8(&in) * (how & 8 ? 16 : 1);
        n = n < HX_PAGE_SIZE - off ? n : HX_PAGE_SIZE - off;
        uint8_t byte = fuzz_u8(&in);
        if (how & 1)
            memset(page + off, byte, n);
        if (how & 2 && !over_zeros)
            memset(before + off, byte, n);
        shared = shared && (how & 3) == 3;
    }
    if (same)
        memcpy(page, before, sizeof page);
    uint16_t n;
    int kind = hx_rec_diff(over_zeros ? NULL : before, page, over_zeros, payload, &n);
    fuzz_check(n <= HX_PAGE_SIZE);
    if (kind == 0)
        fuzz_check(memcmp(before, page, sizeof page) == 0);
    else
        fuzz_check(hx_rec_apply(before, (uint8_t)kind, kind == HX_REC_IMAGE ? page : payload, n) == 0);
    fuzz_check(memcmp(before, page, sizeof page) == 0);
    fuzz_check(!same || over_zeros || kind == 0);
    kind = hx_rec_diff(NULL, page, false, payload, &n); /* the former content is not known */
    memset(before, 0x77, sizeof before);
    fuzz_check(kind != 0 && hx_rec_is_base((uint8_t)kind));
    fuzz_check(hx_rec_apply(before, (uint8_t)kind, kind == HX_REC_IMAGE ? page : payload, n) == 0);
    fuzz_check(memcmp(before, page, sizeof page) == 0);
}

static void head_only(const uint8_t *p, size_t len)
{
    struct hx_frame_head h;
    head(p, len, &h);
}

static void repair(uint8_t *p, size_t len)
{
    if (len < 1 + HX_FRAME_HEAD || p[0] % KINDS > FRAME)
        return;
    p++;
    len--;
    hx_put_u32(p, HX_FRAME_MAGIC);
    hx_put_u16(p + 4, HX_FRAME_VERSION);
    p[6] &= 1;
    p[7] = 0;
    uint32_t body = (uint32_t)(len - HX_FRAME_HEAD);
    hx_put_u32(p + 100, body);
    if (p[6] == 0)
        hx_put_u32(p + 96, body);
    hx_put_u32(p + 104, hx_crc32c(0, p + HX_FRAME_HEAD, body));
    hx_put_u32(p + 108, hx_crc32c(0, p, 108));
}

static size_t make(struct hx_frame_builder *b, unsigned records, bool dense, uint8_t *out)
{
    static const uint8_t kinds[] = {HX_REC_SPARSE, HX_REC_IMAGE, HX_REC_PATCH, HX_REC_ZERO, HX_REC_FREE};
    uint8_t data[512];
    uint64_t random = records;
    hx_frame_builder_reset(b, &(struct hx_uuid){{9}}, 1, HX_EPOCH(3), HX_LSN(40));
    for (unsigned i = 0; i < records; i++) {
        uint8_t kind = kinds[i % 5];
        size_t n = kind >= HX_REC_ZERO && kind <= HX_REC_FREE ? 0 : 100;
        for (size_t k = 0; k < n; k++)
            data[k] = dense ? (uint8_t)fuzz_random(&random) : (uint8_t)i;
        hx_put_u16(data, (uint16_t)(8 * i));
        hx_put_u16(data + 2, 96);
        hx_frame_builder_add(b, HX_LSN(41 + 2 * i), i, kind, i + 1 == records ? HX_REC_CPL : 0,
                             (struct hx_bytes){data, n}, (struct hx_bytes){NULL, 0});
    }
    return hx_frame_builder_seal(b, HX_LSN(40), HX_LSN(30), HX_LSN(20), 99, out);
}

static void seeds(void)
{
    static uint8_t b[1 + HX_FRAME_MAX];
    struct hx_frame_builder *fb;
    fuzz_check(hx_frame_builder_new(&fb) == 0);
    b[0] = FRAME;
    size_t n = make(fb, 5, false, b + 1);
    fuzz_seed("frame-raw", b, 1 + n);
    fuzz_check(make(fb, 12, false, b + 1) > 0);
    n = make(fb, 12, false, b + 1);
    fuzz_check(b[1 + 6] == 1); /* compressed */
    fuzz_seed("frame-zstd", b, 1 + n);
    n = make(fb, 7, true, b + 1);
    fuzz_seed("frame-dense", b, 1 + n);
    b[0] = HEAD;
    fuzz_seed("head", b, 1 + HX_FRAME_HEAD);
    make(fb, 5, true, b + 1);
    uint8_t w[13 + 1024] = {WALK};
    size_t raw = hx_get_u32(b + 1 + 96);
    hx_put_u16(w + 1, 5);
    hx_put_u32(w + 3, 41);
    hx_put_u32(w + 7, 8);
    hx_put_u16(w + 11, 1);
    memcpy(w + 13, b + 1 + HX_FRAME_HEAD, raw);
    fuzz_seed("walk", w, 13 + raw);
    uint8_t a[] = {APPLY, HX_REC_PATCH, 16, 0, 4, 0, 1, 2, 3, 4, 0, 15, 2, 0, 9, 9};
    fuzz_seed("apply-patch", a, sizeof a);
    a[1] = HX_REC_IMAGE;
    fuzz_seed("apply-image", a, sizeof a);
    uint8_t d[] = {DIFF, 0, 0, 3, 0, 1, 200, 7, 1, 16, 1, 9, 5, 2, 0, 8, 250, 3, 9, 0, 2, 255, 1};
    fuzz_seed("diff", d, sizeof d);
    d[1] = 1;
    fuzz_seed("diff-zeros", d, sizeof d);
    hx_frame_builder_free(fb);
}

#define SOURCES "src/core/frame.c include/hexad/frame.h"
#define RECORD_SOURCES "src/core/record.c include/hexad/frame.h"
static const struct fuzz_decoder decoders[] = {
    [HEAD] = {"frame-head", head_only, 256, SOURCES},
    [FRAME] = {"frame", frame, 4096, SOURCES " src/core/record.c"},
    [WALK] = {"frame-walk", walk_only, 4096, SOURCES " src/core/record.c"},
    [APPLY] = {"record-apply", apply_only, 4200, RECORD_SOURCES},
    [DIFF] = {"record-diff", diff, 512, RECORD_SOURCES},
    {0}};

const struct fuzz_target fuzz_target = {
    .name = "frame", .len_max = LEN_MAX, .decoders = decoders, .repair = repair, .seeds = seeds};
