/*
 * test_golden.c - stores of every format version that ever was, packed in tests/golden, against the program as it is;
 * and the program as it is against stores of a version to come.
 *
 * Promises (doc/FORMAT.md, 1.0): an older store is opened, nothing in it counts as damage, every page reads as it was,
 * byte by byte, at every kept read point, and goes on to take records, also after a restart; one of the present version
 * the same.  With a file of a newer version, whichever it is, the segment is refused (VERSION), and that file and all
 * others stay as they are.
 * Method: `test_golden --make FILE` does random work on one segment, so that there are log files with entries of all
 * kinds, raw and compressed, sidecars, a checkpoint, a scrub position and a history of two epochs, and packs its files
 * and what the model says of its pages.  A pack is never made again: it is what that version wrote.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/store/node_private.h"
#include "hexad/check.h"
#include "seg_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES (16u << 10)
#define POINTS 4u
#define ITEM_HEAD 32u
#define PACK_MAX (4u << 20)
enum item { ITEM_END, ITEM_FILE, ITEM_PAGE, ITEM_STATE };
static const struct {
    const char *name;
    unsigned version;
    bool end; /* its checkpoint has END; those of before are ignored (ckpt.c K3) */
} packs[] = {{"store-0.pack", 0, false}, {"store-1.pack", 1, false}, {"store-1-end.pack", 1, true}};

/* ---- a pack: { u64 kind, a, b; u32 length, stored; bytes }, zeros at the end left out ---- */
struct pack {
    uint8_t *p;
    size_t len;
};

static void put_item(FILE *f, enum item kind, uint64_t a, uint64_t b, const uint8_t *p, size_t len)
{
    uint8_t head[ITEM_HEAD];
    size_t stored = len;
    while (stored && !p[stored - 1])
        stored--;
    hx_put_u64(head, kind);
    hx_put_u64(head + 8, a);
    hx_put_u64(head + 16, b);
    hx_put_u32(head + 24, (uint32_t)len);
    hx_put_u32(head + 28, (uint32_t)stored);
    assert_int_equal(fwrite(head, sizeof head, 1, f), 1);
    assert_int_equal(fwrite(p, 1, stored, f), stored);
}

struct one {
    enum item kind;
    uint64_t a, b;
    const uint8_t *p;
    size_t stored;
    uint32_t len;
};

static bool next_item(const struct pack *k, size_t *off, struct one *ret)
{
    assert_true(k->len - *off >= ITEM_HEAD);
    const uint8_t *h = k->p + *off;
    *ret = (struct one){(enum item)hx_get_u64(h), hx_get_u64(h + 8), hx_get_u64(h + 16), h + ITEM_HEAD,
                        hx_get_u32(h + 28), hx_get_u32(h + 24)};
    *off += ITEM_HEAD + ret->stored;
    assert_true(*off <= k->len);
    return ret->kind != ITEM_END;
}

static struct pack open_pack(const char *name)
{
    char path[1024];
    const char *source = getenv("HEXAD_SOURCE");
    struct pack k = {malloc(PACK_MAX), 0};
    snprintf(path, sizeof path, "%s/tests/golden/%s", source ? source : ".", name);
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot open %s", path);
    k.len = fread(k.p, 1, PACK_MAX, f);
    fclose(f);
    assert_true(k.len > ITEM_HEAD && k.len < PACK_MAX);
    return k;
}

/* ---- making one ---- */
static const struct hx_seg *segment(struct hx_rig *r)
{
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    const struct hx_seg *s = hx_node_find(r->node[0], &at.volume, at.pg);
    assert_non_null(s);
    return s;
}

static void second_epoch(struct hx_rig *r, struct hx_model *m)
{
    struct hx_history h = {0};
    uint64_t end = m->acked + HX_RIG_LAL, top, scl;
    assert_int_equal(hx_history_copy(&h, &r->history), 0);
    assert_int_equal(hx_history_push(&h, (struct hx_history_entry){HX_EPOCH(2), HX_LSN(m->acked), HX_LSN(end),
                                                                   HX_RIG_LAL}), 0);
    assert_int_equal(hx_rig_fence(r, 0, HX_MODEL_PG, 2, 900, NULL), 0);
    assert_int_equal(hx_rig_adopt(r, 0, HX_MODEL_PG, 2, &h, &top, &scl), 0);
    assert_int_equal(top, 2);
    hx_history_fini(&h);
}

static void pack_files(struct hx_rig *r, FILE *f)
{
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    struct hx_disk_farm *farm = hx_mem_farm(r->farm[0]);
    struct hx_disk *d;
    struct hx_disk_file list[64];
    size_t n;
    assert_int_equal(farm->ops->open(farm, at, false, &d), 0);
    assert_int_equal(d->ops->list(d, 0, list, HX_ARRAY_LEN(list), &n), 0);
    assert_true(n > 8 && n < HX_ARRAY_LEN(list));
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const uint8_t *p = hx_mem_file(r->farm[0], &at, list[i].id, &len);
        put_item(f, ITEM_FILE, list[i].id, 0, p, len);
    }
    farm->ops->close(farm, d);
}

static void make(const char *path)
{
    struct hx_rig r;
    struct hx_model m;
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    hx_model_init(&m, 5);
    hx_model_start(&r, FILE_BYTES);
    hx_rig_stop(&r, 0);
    r.scrub_cycle_s = 1;
    assert_int_equal(hx_rig_start(&r, 0), 0);
    while (m.last < 420 || !segment(&r)->ckpt.good || !segment(&r)->scrub.saved) {
        assert_int_equal(hx_model_step(&r, &m), 0);
        hx_rig_step(&r, 100);
    }
    m.vdl = m.acked;
    second_epoch(&r, &m);
    uint64_t last = m.acked;
    for (unsigned i = 0; i < 6; i++) {
        struct hx_rig_rec rec = {i ? last + 1 : last + HX_RIG_LAL + 1, HX_MODEL_PAGES + i, HX_REC_IMAGE, HX_REC_CPL,
                                 (const uint8_t *)"two", 3};
        size_t n = hx_rig_frame(&r, HX_MODEL_PG, 2, last, &rec, 1, (struct hx_rig_marks){m.acked, m.floor, m.floor});
        assert_int_equal(hx_rig_append(&r, 0, 2, m.acked, m.floor, r.frame, n, NULL), 0);
        last = rec.lsn;
    }
    hx_rig_stop(&r, 0);
    pack_files(&r, f);
    for (unsigned i = 0; i < POINTS; i++) {
        uint64_t point = m.floor + (m.acked - m.floor) * (i + 1) / POINTS;
        for (uint32_t page = 0; page < HX_MODEL_PAGES; page++) {
            uint8_t want[HX_PAGE_SIZE], crc[4];
            hx_model_fold(&m, page, point, want);
            hx_put_u32(crc, hx_crc32c(0, want, sizeof want));
            if (i + 1 == POINTS)
                put_item(f, ITEM_PAGE, point, page, want, sizeof want);
            else /* older points by their checksums: the pack need not be large */
                put_item(f, ITEM_PAGE, point, page, crc, sizeof crc);
        }
    }
    put_item(f, ITEM_STATE, last, m.acked, NULL, 0); /* SCL; highest LSN of epoch 1 */
    put_item(f, ITEM_END, 0, 0, NULL, 0);
    assert_int_equal(fclose(f), 0);
    hx_model_fini(&m);
    hx_rig_fini(&r);
}

/* ---- opening one ---- */
/* A rig whose only server finds the files of K. */
static void unpack(struct hx_rig *r, const struct pack *k)
{
    struct hx_disk *d;
    struct one x;
    size_t off = 0;
    hx_rig_init(r, 1, 1u << 20, 2, FILE_BYTES);
    hx_rig_stop(r, 0);
    struct hx_disk_farm *farm = hx_mem_farm(r->farm[0]);
    assert_int_equal(farm->ops->open(farm, hx_rig_place(r, HX_MODEL_PG), true, &d), 0);
    while (next_item(k, &off, &x)) {
        uint8_t *p = x.kind == ITEM_FILE ? calloc(1, x.len + 1) : NULL;
        if (!p)
            continue;
        memcpy(p, x.p, x.stored);
        assert_int_equal(d->ops->write(d, x.a, 0, p, x.len), 0);
        assert_int_equal(d->ops->flush(d, x.a), 0);
        free(p);
    }
    farm->ops->close(farm, d);
}

static void check_page(struct hx_rig *r, const struct one *x)
{
    uint8_t got[HX_PAGE_SIZE] = {0}, want[HX_PAGE_SIZE] = {0};
    struct hx_read_page p;
    assert_int_equal(hx_rig_read(r, 0, HX_MODEL_PG, 2, x->a, (uint32_t)x->b, got, &p), 0);
    assert_true(p.state == HX_READ_RAW || p.state == HX_READ_ZEROS);
    if (p.state == HX_READ_ZEROS)
        memset(got, 0, sizeof got);
    memcpy(want, x->p, x->stored);
    if (x->len == HX_PAGE_SIZE)
        assert_memory_equal(got, want, HX_PAGE_SIZE);
    else
        assert_int_equal(hx_get_u32(want), hx_crc32c(0, got, HX_PAGE_SIZE));
}

/* Everything in K is there; its SCL was MORE higher when it was packed.  The last LSN. */
static uint64_t check(struct hx_rig *r, const struct pack *k, uint64_t more)
{
    struct one x;
    struct hx_segment_look l;
    unsigned pages = 0;
    uint64_t scl = 0;
    assert_int_equal(hx_node_look(r->node[0], hx_rig_place(r, HX_MODEL_PG), &l), 0);
    assert_int_equal(l.error, 0);
    assert_int_equal(l.damaged, 0);
    for (size_t off = 0; next_item(k, &off, &x);) {
        if (x.kind == ITEM_PAGE)
            check_page(r, &x);
        pages += x.kind == ITEM_PAGE;
        if (x.kind != ITEM_STATE)
            continue;
        scl = x.a + more;
        assert_int_equal(l.scl.v, scl);
    }
    assert_int_equal(pages, POINTS * HX_MODEL_PAGES);
    assert_true(scl > 0);
    return scl;
}

static unsigned newest_version_in(struct hx_rig *r, uint64_t id, unsigned *ret_oldest)
{
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    size_t len;
    const uint8_t *p = hx_mem_file(r->farm[0], &at, id, &len);
    unsigned newest = 0, oldest = UINT32_MAX;
    struct hx_env e;
    for (size_t off = 0; p && off + HX_LOG_ENV <= len && !hx_env_decode(p + off, &e); off += hx_env_bytes(e.body_len)) {
        newest = e.version > newest ? e.version : newest;
        oldest = e.version < oldest ? e.version : oldest;
    }
    *ret_oldest = oldest;
    return newest;
}

static void every_version_is_read_and_goes_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(packs); i++) {
        struct pack k = open_pack(packs[i].name);
        struct hx_rig r;
        uint8_t data[HX_PAGE_SIZE];
        struct hx_read_page p;
        unsigned oldest;
        unpack(&r, &k);
        struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
        uint64_t tail = hx_mem_last_log(r.farm[0], &at);
        assert_int_equal(newest_version_in(&r, tail, &oldest), packs[i].version);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        assert_int_equal(segment(&r)->ckpt.loaded > 0, packs[i].end);
        uint64_t scl = check(&r, &k, 0);
        struct hx_rig_rec rec = {scl + 1, HX_MODEL_PAGES, HX_REC_IMAGE, HX_REC_CPL, (const uint8_t *)"more", 4};
        size_t n = hx_rig_frame(&r, HX_MODEL_PG, 2, scl, &rec, 1, (struct hx_rig_marks){0});
        assert_int_equal(hx_rig_append(&r, 0, 2, 0, 0, r.frame, n, NULL), 0);
        assert_int_equal(newest_version_in(&r, tail, &oldest), HX_LOG_VERSION); /* in the same file */
        assert_int_equal(oldest, packs[i].version);
        for (unsigned again = 0; again < 2; again++) { /* by the checkpoint; by the sidecars, after a scrub and ticks */
            hx_model_restart(&r);
            check(&r, &k, 1);
            assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 2, scl + 1, HX_MODEL_PAGES, data, &p), 0);
            assert_memory_equal(data, "more", 5);
            for (unsigned t = 0; t < 20; t++)
                hx_rig_step(&r, 500);
            hx_mem_remove_file(r.farm[0], &at, HX_CKPT_FILE);
            hx_mem_remove_file(r.farm[0], &at, HX_CKPT_FILE + 1);
        }
        hx_rig_fini(&r);
        free(k.p);
    }
}

/* The pack at PATH as the data directory DIR (which is there, empty) of a server a1, for tests/fault/test_check.sh. */
static void unpack_to(const char *path, const char *dir)
{
    struct pack k = {malloc(PACK_MAX), 0};
    struct one x;
    struct hx_uuid server = hx_rig_uuid(100), volume = hx_rig_uuid(500);
    char hex[33], name[1024], text[256];
    FILE *f = fopen(path, "rb");
    assert_true(f && k.p);
    k.len = fread(k.p, 1, PACK_MAX, f);
    fclose(f);
    hx_uuid_format(&server, hex);
    int n = snprintf(text, sizeof text, "hexad-data 1\nserver a1\nzone az-a\nincarnation %s\n", hex);
    snprintf(name, sizeof name, "%s/identity", dir);
    assert_non_null(f = fopen(name, "wb"));
    fprintf(f, "%scrc32c %08x\n", text, hx_crc32c(0, text, (size_t)n));
    fclose(f);
    snprintf(name, sizeof name, "%s/segments", dir);
    assert_int_equal(mkdir(name, 0700), 0);
    hx_uuid_format(&volume, hex);
    snprintf(name, sizeof name, "%s/segments/%s-%u", dir, hex, HX_MODEL_PG);
    assert_int_equal(mkdir(name, 0700), 0);
    for (size_t off = 0; next_item(&k, &off, &x);) {
        if (x.kind != ITEM_FILE)
            continue;
        snprintf(name, sizeof name, "%s/segments/%s-%u/%016llx", dir, hex, HX_MODEL_PG, (unsigned long long)x.a);
        assert_non_null(f = fopen(name, "wb"));
        assert_int_equal(fwrite(x.p, 1, x.stored, f), x.stored);
        assert_int_equal(fflush(f) || ftruncate(fileno(f), x.len), 0);
        fclose(f);
    }
    free(k.p);
}

/* ---- the other direction ---- */
static uint8_t *file_of(struct hx_rig *r, uint64_t id, size_t *ret_len)
{
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    uint8_t *p = hx_mem_file(r->farm[0], &at, id, ret_len);
    assert_non_null(p);
    return p;
}

/* The head of a file says VERSION now, and all its sums fit. */
static void lift(uint8_t *p, size_t crc_at)
{
    hx_put_u16(p + 4, (uint16_t)(hx_get_u16(p + 4) + 3)); /* a slot may be of version 1 to 3 */
    hx_put_u32(p + crc_at, hx_crc32c(0, p, crc_at));
}

static void lift_envelope(uint8_t *p)
{
    hx_put_u16(p + 6, HX_LOG_VERSION + 1);
    hx_put_u32(p + HX_LOG_ENV - 4, hx_crc32c(0, p, HX_LOG_ENV - 4));
}

static uint64_t checkpoint_of(struct hx_rig *r)
{
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    size_t len;
    return hx_mem_file(r->farm[0], &at, HX_CKPT_FILE, &len) ? HX_CKPT_FILE : HX_CKPT_FILE + 1;
}

/* The first closed log file, and the sidecar that makes it closed. */
static uint64_t closed(struct hx_rig *r)
{
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    size_t len;
    uint64_t id = HX_LOG_FIRST_ID, last = hx_mem_last_log(r->farm[0], &at);
    while (id < last && !hx_mem_file(r->farm[0], &at, id | HX_LOG_SIDE_BIT, &len))
        id++;
    assert_true(id < last);
    return id;
}

static const char *const places[] = {
    "the first slot", "the second slot", "the geometry", "the first entry of the open file", "another entry of it",
    "an entry behind a bad one", "a frame", "a closed file without its sidecar", "a sidecar", "the checkpoint",
    "the scrub position"};

static void lift_slot(uint8_t *p, bool body)
{
    if (!body) {
        lift(p, 100);
        return;
    }
    size_t len = hx_get_u32(p + 36), at = 104;
    for (unsigned i = 0; i < hx_get_u32(p + 104); i++) /* behind the history */
        at += 32;
    at += 4;
    assert_int_equal(hx_get_u16(p + at), 1);
    hx_put_u16(p + at, 99);
    hx_put_u32(p + 96, hx_crc32c(0, p + 104, len));
    hx_put_u32(p + 100, hx_crc32c(0, p, 100));
}

static void lift_in_log(uint8_t *p, unsigned where)
{
    struct hx_env e;
    size_t off = 0;
    if (where > 3)
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(hx_env_decode(p + off, &e), 0);
            if (where == 5 && i == 1)
                p[off + 20] ^= 1; /* damage in front */
            off += hx_env_bytes(e.body_len);
        }
    if (where != 6) {
        lift_envelope(p + off);
        return;
    }
    while (!hx_env_decode(p + off, &e) && !e.body_len)
        off += HX_LOG_ENV;
    assert_int_equal(hx_get_u32(p + off + HX_LOG_ENV), HX_FRAME_MAGIC);
    lift(p + off + HX_LOG_ENV, HX_FRAME_HEAD - 4);
}

static void lift_place(struct hx_rig *r, unsigned where)
{
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    size_t len;
    if (where < 2)
        lift_slot(file_of(r, where + 1, &len), false);
    else if (where == 2)
        lift_slot(file_of(r, 2, &len), true);
    else if (where < 7)
        lift_in_log(file_of(r, hx_mem_last_log(r->farm[0], &at), &len), where);
    else if (where == 7) {
        uint64_t id = closed(r);
        hx_mem_remove_file(r->farm[0], &at, id | HX_LOG_SIDE_BIT);
        lift_in_log(file_of(r, id, &len), 3);
    } else if (where == 8)
        lift(file_of(r, closed(r) | HX_LOG_SIDE_BIT, &len), HX_LOG_SIDE_HEAD - 4);
    else if (where == 9)
        lift(file_of(r, checkpoint_of(r), &len), HX_CKPT_HEAD - 4);
    else
        lift(file_of(r, HX_SCRUB_FILE, &len), 60);
}

/* A sum over all files from number FROM to TO. */
static uint32_t sum_of(struct hx_rig *r, uint64_t from, uint64_t to)
{
    struct hx_disk_farm *farm = hx_mem_farm(r->farm[0]);
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    struct hx_disk_file list[64];
    struct hx_disk *d;
    size_t n, len;
    uint32_t sum = 0;
    assert_int_equal(farm->ops->open(farm, at, false, &d), 0);
    assert_int_equal(d->ops->list(d, from, list, HX_ARRAY_LEN(list), &n), 0);
    for (size_t i = 0; i < n && list[i].id <= to; i++) {
        const uint8_t *p = hx_mem_file(r->farm[0], &at, list[i].id, &len);
        sum = hx_crc32c(hx_crc32c(sum, &list[i].id, sizeof list[i].id), p, len);
    }
    farm->ops->close(farm, d);
    return sum;
}

/* ---- the tools (hexad/check.h) ---- */
static void line(void *ctx, const char *text)
{
    *(size_t *)ctx += strlen(text);
}

/* All that check and dump have to say; how many segments no start would serve. */
static uint64_t look(struct hx_rig *r, struct hx_check_sum *ret)
{
    struct hx_disk_place at = hx_rig_place(r, HX_MODEL_PG);
    size_t said = 0, len;
    uint64_t calls = hx_mem_calls(r->farm[0]);
    const struct hx_check_cfg cfg = {
        .server = hx_rig_uuid(100), .farm = hx_mem_farm(r->farm[0]), .line = line, .ctx = &said};
    assert_int_equal(hx_check_all(&cfg, ret), 0);
    assert_int_equal(ret->segments, 1);
    assert_int_equal(hx_dump_segment(&cfg, &at), 0);
    for (uint64_t id = 1; id < 64; id++)
        for (unsigned k = 0; k < 2; k++) {
            uint64_t file = id | (k ? HX_LOG_SIDE_BIT : 0);
            int err = hx_dump_file(&cfg, &at, file);
            assert_int_equal(err, hx_mem_file(r->farm[0], &at, file, &len) ? 0 : HX_E_NOENT);
        }
    assert_true(said > 1000);
    assert_int_equal(hx_mem_calls(r->farm[0]), calls);
    return ret->refused;
}

/* The tools read stores of every version, whole, with any bit flipped, and with sectors that cannot be read. */
static void the_tools_read_every_version(void **state)
{
    (void)state;
    for (size_t i = 0; i < HX_ARRAY_LEN(packs); i++) {
        struct pack k = open_pack(packs[i].name);
        struct hx_model dice = {.rng = 77};
        struct hx_check_sum sum;
        struct hx_rig r;
        unpack(&r, &k);
        assert_int_equal(look(&r, &sum), 0);
        assert_true(!sum.damaged && !sum.unread);
        hx_rig_fini(&r);
        for (unsigned n = 0; n < 120; n++) {
            size_t len;
            unpack(&r, &k);
            struct hx_disk_place at = hx_rig_place(&r, HX_MODEL_PG);
            uint64_t last = hx_mem_last_log(r.farm[0], &at), id = 1 + hx_model_dice(&dice) % last;
            id |= hx_model_dice(&dice) % 3 ? 0 : HX_LOG_SIDE_BIT;
            uint8_t *p = hx_mem_file(r.farm[0], &at, id, &len);
            for (unsigned f = 0; p && f <= n % 8; f++)
                p[hx_model_dice(&dice) % len] ^= (uint8_t)(1u << f);
            if (n % 5 == 4 && p)
                hx_mem_bad_range(r.farm[0], id, hx_model_dice(&dice) % len / 512 * 512, 1024);
            look(&r, &sum);
            hx_rig_fini(&r);
        }
        free(k.p);
    }
}

static void a_newer_store_is_refused_and_left_alone(void **state)
{
    (void)state;
    struct pack k = open_pack(packs[HX_ARRAY_LEN(packs) - 1].name);
    for (unsigned where = 0; where < HX_ARRAY_LEN(places); where++) {
        struct hx_rig r;
        struct hx_segment_look l;
        unpack(&r, &k);
        r.scrub_cycle_s = 1;
        lift_place(&r, where);
        /* The position is read when a scrub begins: what the segment did until then was not the scrub's. */
        uint64_t from = where == 10 ? HX_SCRUB_FILE : 0, to = where == 10 ? HX_SCRUB_FILE : UINT64_MAX;
        uint32_t sum = sum_of(&r, from, to);
        struct hx_check_sum found;
        assert_int_equal(look(&r, &found), where != 10);
        assert_int_equal(hx_rig_start(&r, 0), 0);
        if (where == 10) /* found when the scrub begins */
            hx_rig_step(&r, 0);
        assert_int_equal(hx_node_look(r.node[0], hx_rig_place(&r, HX_MODEL_PG), &l), 0);
        if (l.error != HX_E_VERSION)
            fail_msg("%s: error %d", places[where], l.error);
        assert_int_equal(hx_rig_read(&r, 0, HX_MODEL_PG, 2, 400, 1, NULL, NULL), HX_E_VERSION);
        for (unsigned t = 0; t < 20; t++)
            hx_rig_step(&r, 500);
        hx_rig_stop(&r, 0);
        if (sum_of(&r, from, to) != sum)
            fail_msg("%s: something was changed", places[where]);
        hx_rig_fini(&r);
    }
    free(k.p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_version_is_read_and_goes_on),
        cmocka_unit_test(a_newer_store_is_refused_and_left_alone),
        cmocka_unit_test(the_tools_read_every_version),
    };
    if (argc == 3 && !strcmp(argv[1], "--make")) {
        make(argv[2]);
        return 0;
    }
    if (argc == 4 && !strcmp(argv[1], "--unpack")) {
        unpack_to(argv[2], argv[3]);
        return 0;
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
