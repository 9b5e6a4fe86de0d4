/*
 * fuzz_store.c - what a segment reads from its disk, piece by piece: envelopes, the list of a sidecar, a meta slot,
 * the heads of a checkpoint and of a filling position.
 *
 * The first byte chooses.  The meta slot is read through a disk of one file, as a start does.  Checked: what was
 * decoded and encodes again is the same; a list is walked in bounds and to its end.  Whole disks: fuzz_disk.c.
 */
#include "fuzz.h"

#include "../../src/store/store.h"

enum { ENVELOPE, SIDECAR, META, CKPT, FILL, KINDS };
#define META_HEAD 104u

static const struct hx_disk_place place = {{{9}}, 1};
static const struct hx_uuid server = {{7}};

static void envelope(const uint8_t *p, size_t len)
{
    struct hx_env e;
    uint8_t again[HX_LOG_ENV];
    if (len < HX_LOG_ENV || hx_env_decode(p, &e))
        return;
    fuzz_check(e.last >= e.first && e.prev_last >= e.prev_first);
    fuzz_check(e.body_len <= HX_FRAME_MAX && hx_env_bytes(e.body_len) >= HX_LOG_ENV + e.body_len);
    hx_env_encode(&e, again);
    if (e.version == HX_LOG_VERSION)
        fuzz_check(memcmp(again, p, sizeof again) == 0);
}

static void sidecar(const uint8_t *p, size_t len)
{
    size_t off = 0, last = 0;
    struct hx_side_frame f;
    const uint8_t *recs;
    int got;
    while ((got = hx_side_next(p, len, &off, &f, &recs)) > 0) {
        uint8_t again[HX_LOG_SIDE_FRAME];
        fuzz_check(recs == p + last + HX_LOG_SIDE_FRAME);
        fuzz_check(off == last + sizeof again + (size_t)f.count * HX_LOG_SIDE_REC);
        hx_side_frame_encode(&f, again);
        if (p[last + 15] == 0 && hx_get_u32(p + last + 60) == 0)
            fuzz_check(memcmp(again, p + last, sizeof again) == 0);
        for (uint32_t i = 0; i < f.count && i < 4; i++) {
            struct hx_side_rec r;
            uint8_t rec[HX_LOG_SIDE_REC];
            hx_side_rec_decode(recs + (size_t)i * HX_LOG_SIDE_REC, &r);
            hx_side_rec_encode(&r, rec);
            fuzz_check(memcmp(rec, recs + (size_t)i * HX_LOG_SIDE_REC, sizeof rec) == 0);
        }
        last = off;
    }
    fuzz_check(got < 0 || off == len);
}

struct slot {
    struct hx_disk disk;
    const uint8_t *p;
    size_t len;
};

static int slot_read(struct hx_disk *d, uint64_t file, uint64_t off, void *buf, size_t len, size_t *ret_len)
{
    const struct slot *s = HX_CONTAINER_OF(d, struct slot, disk);
    if (file != 1)
        return HX_E_NOENT;
    size_t n = off < s->len ? s->len - (size_t)off : 0;
    *ret_len = n < len ? n : len;
    if (*ret_len)
        memcpy(buf, s->p + off, *ret_len);
    return 0;
}

static void meta(const uint8_t *p, size_t len)
{
    static const struct hx_disk_ops ops = {.read = slot_read};
    struct slot s = {{&ops}, p, len};
    struct hx_meta m = {0};
    bool uneven = false;
    if (hx_meta_load(&s.disk, &place, &server, &m, &uneven))
        return;
    fuzz_check(uneven && hx_geometry_check(&m.geometry) == 0);
    fuzz_check(META_HEAD + hx_history_encoded_len(&m.history) + hx_geometry_encoded_len(&m.geometry) <= len);
    hx_meta_fini(&m);
}

static void ckpt(const uint8_t *p, size_t len)
{
    struct hx_ckpt_head h;
    uint8_t again[HX_CKPT_HEAD];
    if (hx_ckpt_head_decode(p, len, &h))
        return;
    fuzz_check(h.anchor <= h.hint && h.tail >= HX_LOG_FIRST_ID);
    hx_ckpt_head_encode(&h, again);
    if (hx_get_u16(p + 6) == 0 && hx_get_u32(p + 72) == 0)
        fuzz_check(memcmp(again, p, sizeof again) == 0);
}

static void fill(const uint8_t *p, size_t len)
{
    struct hx_fill_head h;
    uint8_t again[HX_FILL_HEAD];
    if (hx_fill_head_decode(p, len, &h))
        return;
    fuzz_check(h.since <= h.point);
    hx_fill_head_encode(&h, again);
    if (hx_get_u16(p + 4) == 2 && hx_get_u16(p + 6) == 0 && hx_get_u32(p + 48) == 0)
        fuzz_check(memcmp(again, p, sizeof again) == 0);
}

static void repair(uint8_t *p, size_t len)
{
    if (len == 0)
        return;
    unsigned kind = p[0] % KINDS;
    p++;
    len--;
    if (kind == ENVELOPE && len >= HX_LOG_ENV) {
        hx_put_u32(p, HX_LOG_ENV_MAGIC);
        hx_put_u32(p + HX_LOG_ENV - 4, hx_crc32c(0, p, HX_LOG_ENV - 4));
    } else if (kind == CKPT && len >= HX_CKPT_HEAD) {
        memcpy(p, "HXC1", 4);
        if (p[4] % 8)
            hx_put_u16(p + 4, 1);
        hx_put_u32(p + HX_CKPT_HEAD - 4, hx_crc32c(0, p, HX_CKPT_HEAD - 4));
    } else if (kind == FILL && len >= HX_FILL_HEAD) {
        memcpy(p, "HXH1", 4);
        if (p[4] % 8)
            hx_put_u16(p + 4, 2);
        hx_put_u32(p + HX_FILL_HEAD - 4, hx_crc32c(0, p, HX_FILL_HEAD - 4));
    } else if (kind == META && len >= META_HEAD) {
        if (p[4] % 8)
            hx_put_u16(p + 4, (uint16_t)(1 + p[4] % 2));
        if (p[6] % 8)
            hx_put_u16(p + 6, p[6] % 2 ? HX_META_FILLING : 0);
        memcpy(p, "HXM1", 4);
        memcpy(p + 16, place.volume.b, 16);
        hx_put_u32(p + 32, place.pg);
        memcpy(p + 40, server.b, 16);
        uint32_t body = hx_get_u32(p + 36);
        if (body > len - META_HEAD)
            hx_put_u32(p + 36, body = (uint32_t)(len - META_HEAD));
        hx_put_u32(p + 96, hx_crc32c(0, p + META_HEAD, body));
        hx_put_u32(p + 100, hx_crc32c(0, p, 100));
    }
}

/* ---- seeds: what a save writes ---- */
static uint8_t saved[1 + HX_META_RESERVE];

static int save_write(struct hx_disk *d, uint64_t file, uint64_t off, const void *buf, size_t len)
{
    (void)d;
    if (file == 1)
        memcpy(saved + 1 + off, buf, len);
    return 0;
}

static int save_flush(struct hx_disk *d, uint64_t file)
{
    (void)d;
    (void)file;
    return 0;
}

static void seed_meta(const char *name, uint16_t flags)
{
    static const struct hx_disk_ops ops = {.write = save_write, .flush = save_flush};
    struct hx_disk d = {&ops};
    struct hx_meta m = {.promised = {5}, .owner = {{3}}, .base = {40}, .oldest = {30}, .flags = flags};
    m.geometry = (struct hx_geometry){.volume = place.volume, .name = "vol0", .pg_bytes = HX_PG_SIZE_MIN, .lal = 9,
                                      .epoch = {1}};
    for (unsigned i = 0; i < HX_COPIES; i++) {
        struct hx_server s = {.name = "a", .zone = "z", .url = "https://h:1", .incarnation = {{(uint8_t)(i + 1)}}};
        s.name[0] = (char)('a' + i);
        fuzz_check(hx_geometry_add_server(&m.geometry, &s) == 0);
    }
    fuzz_check(hx_geometry_add_pg(&m.geometry, &(struct hx_pg_members){.server = {0, 1, 2, 3, 4, 5}}) == 0);
    fuzz_check(hx_history_push(&m.history, (struct hx_history_entry){{1}, {0}, {0}, 9}) == 0);
    fuzz_check(hx_history_push(&m.history, (struct hx_history_entry){{4}, {7}, {9}, 9}) == 0);
    fuzz_check(hx_meta_save(&d, &place, &server, &m) == 0);
    saved[0] = META;
    fuzz_seed(name, saved, 1 + META_HEAD + hx_get_u32(saved + 1 + 36));
    hx_meta_fini(&m);
}

static void seeds(void)
{
    uint8_t b[1 + 2 * HX_LOG_SIDE_FRAME + 3 * HX_LOG_SIDE_REC] = {ENVELOPE};
    struct hx_env e = {HX_ENV_FRAME, HX_ENV_BELIEVED, HX_LOG_VERSION, 300, 4, 77, 88, 16,
                       400, 300, 12, 13, 15, 10, 12, 0};
    hx_env_encode(&e, b + 1);
    fuzz_seed("envelope", b, 1 + HX_LOG_ENV);
    b[0] = SIDECAR;
    struct hx_side_frame f = {96, 500, 3, 400, 388, 5, HX_ENV_FRAME, HX_ENV_BELIEVED, 1, 41, 45, 40, 3};
    hx_side_frame_encode(&f, b + 1);
    for (unsigned i = 0; i < 3; i++)
        hx_side_rec_encode(&(struct hx_side_rec){i, 7, 99, 12, HX_REC_PATCH, i == 2}, b + 65 + 16 * i);
    f = (struct hx_side_frame){
        .off = 600, .kind = HX_ENV_FRAME, .flags = HX_ENV_DAMAGED, .first = 46, .last = UINT64_MAX};
    hx_side_frame_encode(&f, b + 65 + 48);
    fuzz_seed("sidecar", b, sizeof b);
    uint8_t c[1 + HX_CKPT_HEAD] = {CKPT};
    struct hx_ckpt_head h = {7, 20, 4096, 900, 850, 600, 256, 88, 3};
    hx_ckpt_head_encode(&h, c + 1);
    fuzz_seed("checkpoint", c, sizeof c);
    uint8_t l[1 + HX_FILL_HEAD] = {FILL};
    hx_fill_head_encode(&(struct hx_fill_head){9, 700, 600, 900, 17, 4096, 40, 88, 4, 65536}, l + 1);
    fuzz_seed("filling", l, sizeof l);
    seed_meta("meta", 0);
    seed_meta("meta-learner", HX_META_FILLING);
}

#define HEADERS "src/store/store.h"
#define HEAD "src/store/version.c " HEADERS
static const struct fuzz_decoder decoders[] = {
    [ENVELOPE] = {"log-envelope", envelope, 256, "src/store/log.c " HEADERS},
    [SIDECAR] = {"sidecar-list", sidecar, 1024, "src/store/side.c " HEADERS},
    [META] = {"meta-slot", meta, 0, "src/store/meta.c src/core/geometry.c src/core/history.c " HEAD},
    [CKPT] = {"checkpoint-head", ckpt, 256, "src/store/ckpt.c " HEAD},
    [FILL] = {"filling-head", fill, 256, "src/store/fill.c " HEAD},
    {0}};

const struct fuzz_target fuzz_target = {
    .name = "store", .len_max = 2048, .decoders = decoders, .repair = repair, .seeds = seeds};
