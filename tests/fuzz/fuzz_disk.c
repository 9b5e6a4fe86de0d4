/*
 * fuzz_disk.c - a segment server started over files that somebody has damaged: meta slots, logs, sidecars, checkpoints.
 *
 * An input is a list of files, { u8 which, u16 length, bytes }, ended by which = FILES_END, and then a script:
 * requests to the server, time passing, restarts.  repair makes the checksums of all files fit, so that the rules
 * behind them are reached: the server must answer each request once (node_rig.c asserts that), whatever the bytes
 * say, and every start must end.  What it answers is nobody's business here: bytes with right checksums and wrong
 * content are not damage that anybody promises to see.  Of one input in four the files are looked into before (check,
 * dump: hexad/check.h), which must end, say only text, and change nothing.
 */
#include "fuzz.h"

#include "../../src/store/store.h"
#include "hexad/check.h"
#include "node_rig.h"

#include <stdio.h>
#include <stdlib.h>

#define FILES_END 0xff
#define LOGS 4u
#define FILES (5 + 2 * LOGS)
#define LEN_MAX 32768u
#define OPS_MAX 24u
#define LOG_BYTES 16384u
#define META_HEAD 104u
#define MARK 64u

/* which: 0, 1 meta slots; 2 .. 2 + LOGS - 1 logs; then their sidecars; then the checkpoints; the mark of the scrub. */
static uint64_t file_id(uint8_t which)
{
    unsigned k = which % FILES;
    if (k < 2)
        return k + 1;
    if (k == FILES - 1)
        return HX_SCRUB_FILE;
    if (k >= 2 + 2 * LOGS)
        return HX_CKPT_FILE + k - 2 - 2 * LOGS;
    return k < 2 + LOGS ? HX_LOG_FIRST_ID + k - 2 : (HX_LOG_FIRST_ID + k - 2 - LOGS) | HX_LOG_SIDE_BIT;
}

static struct hx_rig rig;

static void rig_ready(void)
{
    if (!rig.builder)
        hx_rig_init(&rig, 1, HX_PG_SIZE_MIN, 1, LOG_BYTES);
    hx_frame_builder_free(rig.builder); /* it remembers what compressed badly (F1) */
    fuzz_check(hx_frame_builder_new(&rig.builder) == 0);
    hx_rig_stop(&rig, 0);
    hx_mem_wipe(rig.farm[0]);
    rig.now_ms = 1000;
    rig.token = 0;
}

/* ---- repair ---- */
static void repair_meta(uint8_t *p, size_t len)
{
    if (len < META_HEAD)
        return;
    struct hx_uuid volume = hx_rig_uuid(500), server = hx_rig_uuid(100);
    memcpy(p, "HXM1", 4);
    if (p[4] % 8) /* else maybe of another version */
        hx_put_u16(p + 4, 1);
    memcpy(p + 16, volume.b, 16);
    hx_put_u32(p + 32, 0);
    memcpy(p + 40, server.b, 16);
    if (hx_get_u32(p + 36) > len - META_HEAD)
        hx_put_u32(p + 36, (uint32_t)(len - META_HEAD));
    hx_put_u32(p + 96, hx_crc32c(0, p + META_HEAD, hx_get_u32(p + 36)));
    hx_put_u32(p + 100, hx_crc32c(0, p, 100));
}

static void repair_frame(uint8_t *p, size_t len)
{
    struct hx_uuid volume = hx_rig_uuid(500);
    if (len < HX_FRAME_HEAD)
        return;
    hx_put_u32(p, HX_FRAME_MAGIC);
    hx_put_u16(p + 4, 1);
    p[6] &= 1;
    p[7] = 0;
    memcpy(p + 8, volume.b, 16);
    hx_put_u32(p + 24, 0);
    hx_put_u32(p + 100, (uint32_t)(len - HX_FRAME_HEAD));
    if (!p[6])
        hx_put_u32(p + 96, (uint32_t)(len - HX_FRAME_HEAD));
    hx_put_u32(p + 104, hx_crc32c(0, p + HX_FRAME_HEAD, len - HX_FRAME_HEAD));
    hx_put_u32(p + 108, hx_crc32c(0, p, 108));
}

/* Entries one behind the other: each gets its place, number and chain, unless its unused field says otherwise. */
static void repair_log(uint8_t *p, size_t len, uint64_t id)
{
    struct hx_disk_place at = hx_rig_place(&rig, 0);
    struct hx_uuid server = hx_rig_uuid(100);
    uint32_t salt = hx_log_salt(&at, &server), seq = 0, chain = 0;
    for (size_t off = 0; off + HX_LOG_ENV <= len;) {
        uint8_t *e = p + off;
        uint32_t body = hx_get_u32(e + 8);
        if (hx_get_u32(e) != HX_LOG_ENV_MAGIC || (e[88] & 0xf0) == 0x50) { /* a bad place, left as one */
            off += 8;
            continue;
        }
        bool bare = e[4] == HX_ENV_MARK || e[4] == HX_ENV_END;
        size_t left = len - off - HX_LOG_ENV;
        if (bare || body > left)
            hx_put_u32(e + 8, body = bare ? 0 : (uint32_t)left);
        if (body)
            repair_frame(e + HX_LOG_ENV, body);
        hx_put_u16(e + 6, e[6] == 0x77 ? HX_LOG_VERSION + 1 : e[6] % (HX_LOG_VERSION + 1)); /* newer ones are rare */
        hx_put_u32(e + 12, ++seq);
        hx_put_u32(e + 16, chain);
        hx_put_u32(e + 20, salt);
        hx_put_u64(e + 24, id);
        hx_put_u64(e + 32, off);
        hx_put_u32(e + 92, chain = hx_crc32c(0, e, 92));
        off += hx_env_bytes(body);
    }
}

static void repair_side(uint8_t *p, size_t len, uint64_t id)
{
    struct hx_disk_place at = hx_rig_place(&rig, 0);
    struct hx_uuid server = hx_rig_uuid(100);
    if (len < HX_LOG_SIDE_HEAD)
        return;
    hx_put_u32(p, HX_LOG_SIDE_MAGIC);
    if (p[4] % 8)
        hx_put_u16(p + 4, 1);
    hx_put_u64(p + 8, id & ~HX_LOG_SIDE_BIT);
    hx_put_u32(p + 72, (uint32_t)(len - HX_LOG_SIDE_HEAD));
    hx_put_u32(p + 76, hx_crc32c(0, p + HX_LOG_SIDE_HEAD, len - HX_LOG_SIDE_HEAD));
    hx_put_u32(p + 80, hx_log_salt(&at, &server));
    hx_put_u32(p + 108, hx_crc32c(0, p, 108));
}

static void repair_mark(uint8_t *p, size_t len)
{
    struct hx_disk_place at = hx_rig_place(&rig, 0);
    struct hx_uuid server = hx_rig_uuid(100);
    if (len < MARK)
        return;
    memcpy(p, "HXR1", 4);
    if (p[4] % 8)
        hx_put_u16(p + 4, 1);
    hx_put_u32(p + 40, hx_log_salt(&at, &server));
    hx_put_u32(p + MARK - 4, hx_crc32c(0, p, MARK - 4));
}

/* A checkpoint in an input: its head, then { u16 kind, u16 length, content } for each block.  Here it gets its blocks,
 * and all checksums are right: what a wrong one does is in test_checkpoint. */
static void put_ckpt(struct hx_disk *d, uint64_t id, struct hx_bytes b)
{
    static uint8_t block[HX_CKPT_BLOCK];
    struct hx_disk_place at = hx_rig_place(&rig, 0);
    struct hx_uuid server = hx_rig_uuid(100);
    struct hx_ckpt_head h;
    uint8_t head[HX_CKPT_HEAD];
    if (b.len < sizeof head)
        return;
    memcpy(head, b.p, sizeof head);
    memcpy(head, "HXC1\1\0", 6);
    head[8] = (uint8_t)((head[8] & 0xfe) | (id & 1));
    hx_put_u32(head + 16, hx_log_salt(&at, &server));
    hx_put_u64(head + 64, HX_PG_SIZE_MIN / HX_PAGE_SIZE);
    hx_put_u32(head + 76, hx_crc32c(0, head, 76));
    if (hx_ckpt_head_decode(head, sizeof head, &h))
        return;
    h.blocks = 0;
    for (size_t off = sizeof head; off + 4 <= b.len;) {
        uint16_t kind = hx_get_u16(b.p + off);
        size_t n = hx_get_u16(b.p + off + 2);
        off += 4;
        n = n < b.len - off ? n : b.len - off;
        n = n < HX_CKPT_ROOM ? n : HX_CKPT_ROOM;
        memcpy(block + HX_CKPT_BLOCK_HEAD, b.p + off, n);
        hx_ckpt_block_seal(block, &h, h.blocks, kind, (uint32_t)n);
        (void)d->ops->write(d, id, HX_CKPT_START + (uint64_t)h.blocks++ * HX_CKPT_BLOCK, block, sizeof block);
        off += n;
    }
    hx_ckpt_head_encode(&h, head);
    (void)d->ops->write(d, id, 0, head, sizeof head);
}

/* The other way: how a checkpoint stands in an input; its length, 0: there is none, or it does not fit into CAP. */
static size_t take_ckpt(const uint8_t *p, size_t len, uint8_t *to, size_t cap)
{
    struct hx_ckpt_head h;
    size_t n = HX_CKPT_HEAD;
    if (!p || cap < n || hx_ckpt_head_decode(p, len, &h))
        return 0;
    memcpy(to, p, n);
    for (uint32_t i = 0; i < h.blocks; i++) {
        const uint8_t *b = p + HX_CKPT_START + (size_t)i * HX_CKPT_BLOCK;
        uint16_t kind;
        uint32_t content;
        fuzz_check(b + HX_CKPT_BLOCK <= p + len && !hx_ckpt_block_check(b, &h, i, &kind, &content));
        if (n + 4 + content > cap)
            return 0;
        hx_put_u16(to + n, kind);
        hx_put_u16(to + n + 2, (uint16_t)content);
        memcpy(to + n + 4, b + HX_CKPT_BLOCK_HEAD, content);
        n += 4 + content;
    }
    return n;
}

static bool is_ckpt(uint64_t id)
{
    return id == HX_CKPT_FILE || id == HX_CKPT_FILE + 1;
}

static void repair(uint8_t *p, size_t len)
{
    rig_ready();
    for (size_t at = 0; at + 3 <= len && p[at] != FILES_END;) {
        uint64_t id = file_id(p[at]);
        size_t n = hx_get_u16(p + at + 1);
        at += 3;
        n = n < len - at ? n : len - at;
        if (id <= HX_META_SLOTS)
            repair_meta(p + at, n);
        else if (id == HX_SCRUB_FILE)
            repair_mark(p + at, n);
        else if (id & HX_LOG_SIDE_BIT)
            repair_side(p + at, n, id);
        else if (!is_ckpt(id))
            repair_log(p + at, n, id);
        at += n;
    }
}

/* ---- a run ---- */
static void put_files(struct fuzz_in *in)
{
    struct hx_disk_farm *farm = hx_mem_farm(rig.farm[0]);
    struct hx_disk *d;
    fuzz_check(farm->ops->open(farm, hx_rig_place(&rig, 0), true, &d) == 0);
    while (in->len) {
        uint8_t which = fuzz_u8(in);
        if (which == FILES_END)
            break;
        struct hx_bytes b = fuzz_take(in, fuzz_u16(in));
        uint64_t id = file_id(which);
        if (is_ckpt(id))
            put_ckpt(d, id, b);
        else if (d->ops->write(d, id, 0, b.p, b.len) == 0)
            d->ops->flush(d, id);
    }
    farm->ops->close(farm, d);
}

static void ask(unsigned type, unsigned role, uint64_t epoch, const uint8_t *p, size_t len)
{
    hx_rig_call(&rig, 0,
                &(struct hx_rig_ask){.type = type, .role = role, .epoch = epoch, .name = "a2", .body = {p, len}}, NULL);
}

static void fetch(struct fuzz_in *in, bool raw, uint64_t epoch)
{
    uint8_t b[21];
    hx_put_u64(b, fuzz_u16(in));
    hx_put_u64(b + 8, fuzz_u8(in) & 1 ? UINT64_MAX : fuzz_u16(in));
    hx_put_u32(b + 16, 1u << (fuzz_u8(in) % 24));
    b[20] = raw;
    ask(HX_MSG_FETCH, raw ? HX_NODE_ROLE_WRITER : HX_NODE_ROLE_SEGMENT, epoch, b, sizeof b);
}

static void read_pages(struct fuzz_in *in, uint64_t epoch)
{
    uint8_t b[12 + 16];
    hx_put_u64(b, fuzz_u8(in) & 1 ? fuzz_u64(in) : fuzz_u16(in));
    hx_put_u32(b + 8, 4);
    for (unsigned i = 0; i < 4; i++)
        hx_put_u32(b + 12 + 4 * i, fuzz_u8(in));
    ask(HX_MSG_READ, HX_NODE_ROLE_WRITER, epoch, b, sizeof b);
}

static void digest(struct fuzz_in *in, uint64_t epoch)
{
    uint8_t b[HX_DIGEST_ASK];
    struct hx_enc e = hx_enc_init(b, sizeof b);
    struct hx_digest_ask q = {.point = {fuzz_u8(in) & 1 ? fuzz_u64(in) : fuzz_u16(in)}, .first = fuzz_u8(in)};
    q.pages = 1 + fuzz_u8(in) % HX_DIGEST_PAGES_MAX;
    q.heads = 1 + fuzz_u16(in) % HX_DIGEST_HEADS_MAX;
    hx_digest_ask_encode(&q, &e);
    ask(HX_MSG_DIGEST, HX_NODE_ROLE_SEGMENT, epoch, b, sizeof b);
}

static void append(struct fuzz_in *in, uint64_t epoch)
{
    uint64_t prev = fuzz_u16(in), first = prev + 1 + fuzz_u8(in) % 4;
    size_t n = hx_rig_run(&rig, 0, epoch, prev, first, 1 + fuzz_u8(in) % 8, fuzz_u16(in));
    hx_rig_append(&rig, 0, epoch, fuzz_u16(in), fuzz_u16(in), rig.frame, n, NULL);
}

static void one_op(struct fuzz_in *in, uint64_t *epoch)
{
    uint8_t op = fuzz_u8(in);
    struct hx_inventory v = {0};
    switch (op % 12) {
    case 0:
        ask(op & 16 ? HX_MSG_SCRUB : HX_MSG_STATUS, HX_NODE_ROLE_WRITER, *epoch, NULL, 0);
        break;
    case 1:
        *epoch = fuzz_u8(in) & 1 ? fuzz_u64(in) : fuzz_u8(in);
        if (hx_rig_fence(&rig, 0, 0, *epoch, 900, &v) == 0)
            hx_inventory_fini(&v);
        break;
    case 2:
        fetch(in, true, *epoch);
        break;
    case 3:
        fetch(in, false, *epoch);
        break;
    case 4:
    case 5:
        read_pages(in, *epoch);
        break;
    case 6:
        append(in, *epoch);
        break;
    case 7:
        hx_rig_append(&rig, 0, *epoch, fuzz_u32(in), fuzz_u32(in), NULL, 0, NULL);
        break;
    case 8:
        if (op & 16)
            digest(in, *epoch);
        else
            ask(HX_MSG_HISTORY, HX_NODE_ROLE_SEGMENT, *epoch, NULL, 0);
        break;
    case 9:
        ask(HX_MSG_LOOKUP, HX_NODE_ROLE_WRITER, *epoch, (const uint8_t *)"\4\0vol0", 6);
        break;
    case 10:
        hx_rig_stop(&rig, 0);
        if (op & 16)
            hx_mem_crash(rig.farm[0], op);
        fuzz_check(hx_rig_start(&rig, 0) == 0);
        break;
    default:
        for (unsigned i = 0; i <= (op >> 4u); i++)
            hx_rig_step(&rig, 200);
    }
}

/* Check and dump: they come to their end, say nothing but text, and change nothing (hexad/check.h). */
static void line(void *ctx, const char *text)
{
    for (; *text; text++, ++*(size_t *)ctx)
        fuzz_check(*text >= ' ' && *text <= '~');
}

static void look(void)
{
    size_t said = 0;
    const struct hx_check_cfg cfg = {
        .server = hx_rig_uuid(100), .farm = hx_mem_farm(rig.farm[0]), .line = line, .ctx = &said};
    struct hx_disk_place at = hx_rig_place(&rig, 0);
    struct hx_check_sum sum;
    uint64_t calls = hx_mem_calls(rig.farm[0]);
    fuzz_check(hx_check_all(&cfg, &sum) == 0 && sum.segments == 1);
    fuzz_check(hx_dump_segment(&cfg, &at) == 0);
    for (unsigned k = 0; k < 4 + 2 * LOGS; k++) {
        size_t len;
        bool there = hx_mem_file(rig.farm[0], &at, file_id((uint8_t)k), &len) != NULL;
        fuzz_check(hx_dump_file(&cfg, &at, file_id((uint8_t)k)) == (there ? 0 : HX_E_NOENT));
    }
    fuzz_check(said > 0 && hx_mem_calls(rig.farm[0]) == calls);
}

static void run(const uint8_t *p, size_t len)
{
    struct fuzz_in in = {p, len};
    uint64_t epoch = 1;
    rig_ready();
    put_files(&in);
    if (len % 4 == 0) /* it costs as much as all the rest */
        look();
    if (hx_rig_start(&rig, 0))
        return;
    for (unsigned i = 0; i < OPS_MAX && (in.len || i < 6); i++)
        one_op(&in, &epoch);
    hx_rig_stop(&rig, 0);
    if (hx_rig_start(&rig, 0) == 0) /* what it wrote itself opens again */
        ask(HX_MSG_STATUS, HX_NODE_ROLE_WRITER, epoch, NULL, 0);
    hx_rig_stop(&rig, 0);
}

/* ---- seeds: the files of servers that have worked ---- */
static void dump(const char *name, uint8_t tail)
{
    static uint8_t b[LEN_MAX];
    struct hx_disk_place at = hx_rig_place(&rig, 0);
    size_t n = 0;
    for (uint8_t which = 0; which < FILES; which++) {
        static uint8_t ckpt[LEN_MAX];
        size_t len = 0;
        const uint8_t *p = hx_mem_file(rig.farm[0], &at, file_id(which), &len);
        if (is_ckpt(file_id(which))) {
            len = take_ckpt(p, len, ckpt, sizeof ckpt);
            p = len ? ckpt : NULL;
        }
        size_t there = len;
        while (p && len && p[len - 1] == 0)
            len--;
        len = len + 64 < there ? len + 64 : there; /* an entry may end with zeros of its own */
        if (!p || n + 3 + len + 40 > sizeof b)
            continue;
        b[n] = which;
        hx_put_u16(b + n + 1, (uint16_t)len);
        memcpy(b + n + 3, p, len);
        n += 3 + len;
    }
    b[n++] = FILES_END;
    for (uint8_t i = 0; i < 24; i++)
        b[n++] = (uint8_t)(i * 7 + tail);
    fuzz_seed(name, b, n);
}

static void write_some(unsigned frames, uint64_t vdl_lag, bool images)
{
    static uint8_t page[HX_PAGE_SIZE];
    uint64_t last = 0;
    rig_ready();
    fuzz_check(hx_rig_start(&rig, 0) == 0 && hx_rig_format(&rig, 0, 0) == 0);
    for (unsigned i = 0; i < frames; i++) {
        uint64_t vdl = last > vdl_lag ? last - vdl_lag : 0;
        size_t n;
        memset(page, (int)i + 1, 700);
        struct hx_rig_rec rec = {last + 1, i % 5, HX_REC_IMAGE, HX_REC_CPL, page, 700};
        if (images)
            n = hx_rig_frame(&rig, 0, 1, last, &rec, 1, (struct hx_rig_marks){vdl, vdl, vdl});
        else
            n = hx_rig_run(&rig, 0, 1, last, last + 1, 5, vdl);
        fuzz_check(hx_rig_append(&rig, 0, 1, vdl, vdl, rig.frame, n, NULL) == 0);
        last += images ? 1 : 5;
        if (i % 4 == 3)
            hx_rig_step(&rig, 200);
    }
}

static void seeds(void)
{
    write_some(0, 0, false);
    dump("formatted", 0);
    write_some(6, 5, false);
    dump("records", 1);
    write_some(40, 5, false);
    dump("many-records", 2);
    write_some(30, 2, true);
    dump("images", 3);
    for (unsigned i = 0; i < 20; i++)
        hx_rig_step(&rig, 500);
    dump("images-idle", 4);
    hx_rig_stop(&rig, 0);
    hx_mem_crash(rig.farm[0], 3);
    dump("images-crashed", 10);
    write_some(90, 2, false);
    for (unsigned i = 0; i < 20; i++)
        hx_rig_step(&rig, 500);
    dump("several-files", 5);
    hx_rig_stop(&rig, 0);
}

const struct fuzz_target fuzz_target = {
    .name = "disk", .len_max = LEN_MAX, .run = run, .repair = repair, .seeds = seeds, .sources = "src/core src/store"};
