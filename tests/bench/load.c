/*
 * load.c - see load.h.
 */
#include "load.h"

#define MESSAGE_BYTES (2u << 20)
#define FRAME_PAGES 60u

static struct hx_uuid uuid(unsigned x)
{
    return (struct hx_uuid){{(uint8_t)x, (uint8_t)(x >> 8), 0x55, 2}};
}

void load_init(struct load *l)
{
    l->rng = 88172645463325252u;
    l->geometry = calloc(l->volumes, sizeof *l->geometry);
    l->lsn = calloc(l->volumes, sizeof *l->lsn);
    l->last = calloc(l->segments, sizeof *l->last);
    l->message = malloc(MESSAGE_BYTES);
    if (!l->geometry || !l->lsn || !l->last || !l->message || hx_frame_builder_new(&l->builder) ||
        hx_history_push(&l->history, (struct hx_history_entry){{1}, {0}, {0}, 1u << 20}))
        die("out of memory");
}

static void make_geometry(struct load *l, unsigned v)
{
    struct hx_geometry *g = &l->geometry[v];
    *g = (struct hx_geometry){.volume = uuid(1000 + v), .pg_bytes = l->mib << 20, .lal = 1u << 20, .epoch = {1}};
    snprintf(g->name, sizeof g->name, "vol%u", v);
    for (unsigned i = 0; i < HX_COPIES; i++) {
        struct hx_server s = {.incarnation = i ? uuid(i) : *hx_datadir_incarnation(l->data)};
        snprintf(s.name, sizeof s.name, "%c%u", "abc"[i / 2], i % 2 + 1);
        snprintf(s.zone, sizeof s.zone, "az-%c", "abc"[i / 2]);
        snprintf(s.url, sizeof s.url, "https://127.0.0.1:%u", 9600 + i);
        if (hx_geometry_add_server(g, &s))
            die("geometry");
    }
    for (unsigned i = 0; i * l->volumes + v < l->segments; i++)
        if (hx_geometry_add_pg(g, &(struct hx_pg_members){.server = {0, 1, 2, 3, 4, 5}}))
            die("geometry");
}

void load_open(struct load *l)
{
    char why[HX_WHY_MAX];
    if (hx_datadir_open(l->dir, "a1", "az-a", &l->data, why))
        die("%s: %s", l->dir, why);
    if (hx_farm_new(l->data, 0, &l->farm))
        die("no farm");
    struct hx_node_cfg cfg = {
        .name = "a1", .zone = "az-a", .incarnation = *hx_datadir_incarnation(l->data), .farm = l->farm, .seed = 1,
        .scrub_cycle_s = l->scrub_cycle_s, .scrub_bytes_per_s = l->scrub_bytes_per_s};
    int err = hx_node_new(&cfg, hx_clock_mono_ms(), &l->node);
    if (err)
        die("hx_node_new: HX%04d", -err);
    for (unsigned v = 0; v < l->volumes; v++)
        make_geometry(l, v);
}

void load_close(struct load *l)
{
    hx_node_free(l->node);
    hx_farm_free(l->farm);
    hx_datadir_close(l->data);
    for (unsigned v = 0; v < l->volumes; v++)
        hx_geometry_fini(&l->geometry[v]);
    hx_history_fini(&l->history);
    hx_frame_builder_free(l->builder);
    hx_buf_fini(&l->pages);
    free(l->geometry);
    free(l->lsn);
    free(l->last);
    free(l->message);
}

/* ---- answers ---- */
static void check_acks(struct hx_bytes body)
{
    struct hx_dec d = hx_dec_init(body.p, body.len);
    while (d.off < d.len) {
        struct hx_ack a;
        hx_ack_decode(&a, &d);
        if (d.err || a.status)
            die("acknowledgement: HX%04d", -a.status);
    }
}

static void take_pages(struct load *l, struct hx_bytes body)
{
    struct hx_dec d = hx_dec_init(body.p, body.len);
    for (unsigned i = 0; i < l->pages_raw; i++) {
        struct hx_read_page r;
        hx_read_page_decode(&r, &d);
        if (d.err || r.state != HX_READ_RAW)
            die("a page cannot be read");
    }
    if (d.len - d.off != (size_t)l->pages_raw * HX_PAGE_SIZE)
        die("an answer is too short");
    memcpy(l->pages.p, d.p + d.off, d.len - d.off);
}

void load_settle(struct load *l)
{
    struct hx_node_effect e;
    while (hx_node_next(l->node, &e)) {
        struct hx_reply_head h;
        struct hx_bytes body;
        if (e.kind == HX_NODE_SEND) {
            hx_node_answer(l->node, hx_clock_mono_ms(), e.call, HX_E_CONNECT, (struct hx_bytes){NULL, 0});
            continue;
        }
        if (hx_reply_decode(e.body.p, e.body.len, &h, &body) || h.status)
            die("answer: HX%04d", -h.status);
        if (h.type == HX_MSG_APPEND)
            check_acks(body);
        if (h.type == HX_MSG_READ)
            take_pages(l, body);
    }
}

/* ---- requests ---- */
/* The message of LEN bytes behind the head becomes whole. */
static void finish(struct load *l, unsigned type, unsigned k, size_t len)
{
    struct hx_msg_head h = {.type = (uint16_t)type, .req_id = 1, .volume = l->geometry[k % l->volumes].volume,
                            .pg = k / l->volumes, .epoch = {1}, .owner = uuid(900),
                            .server = *hx_datadir_incarnation(l->data)};
    struct hx_bytes body = {l->message + HX_MSG_HEAD, len};
    hx_msg_head_encode(&h, &body, 1, l->message);
    l->message_len = HX_MSG_HEAD + len;
}

static struct hx_enc body_of(struct load *l)
{
    return hx_enc_init(l->message + HX_MSG_HEAD, MESSAGE_BYTES - HX_MSG_HEAD);
}

void load_send(struct load *l)
{
    uint64_t now = hx_clock_mono_ms();
    hx_node_request(l->node, now, now * 1000, ++l->token, 1, HX_NODE_ROLE_WRITER, "w",
                    (struct hx_bytes){l->message, l->message_len});
}

void load_flush(struct load *l)
{
    hx_node_flush(l->node);
    load_settle(l);
}

uint64_t load_tick(struct load *l)
{
    uint64_t wait = hx_node_tick(l->node, hx_clock_mono_ms());
    load_settle(l);
    return wait;
}

void load_format(struct load *l, unsigned k)
{
    struct hx_enc e = body_of(l);
    hx_geometry_encode(&l->geometry[k % l->volumes], &e);
    hx_history_encode(&l->history, &e);
    if (e.err)
        die("geometry is too large");
    finish(l, HX_MSG_FORMAT, k, e.len);
    load_send(l);
    load_flush(l);
}

uint64_t load_dice(struct load *l)
{
    l->rng ^= l->rng << 13;
    l->rng ^= l->rng >> 7;
    l->rng ^= l->rng << 17;
    return l->rng;
}

static uint64_t pages_of(const struct load *l)
{
    return (l->mib << 20) / HX_PAGE_SIZE;
}

static struct hx_enc begin(struct load *l, unsigned k, unsigned frames)
{
    struct hx_lsn vdl = HX_LSN(l->lsn[k % l->volumes]);
    struct hx_append_head h = {.vdl = vdl, .floor = vdl, .frame_count = frames};
    struct hx_enc e = body_of(l);
    hx_append_head_encode(&h, &e);
    return e;
}

/* VDL: before this message. */
static void seal(struct load *l, struct hx_enc *e, uint64_t vdl)
{
    struct hx_lsn v = HX_LSN(vdl);
    size_t room = e->cap - e->len;
    if (room < hx_frame_builder_sealed_max(l->builder))
        die("a message is too large");
    e->len += hx_frame_builder_seal(l->builder, v, v, l->lagging ? HX_LSN(0) : v, 1, e->p + e->len);
}

static void add(struct load *l, unsigned k, uint32_t page, uint8_t kind, bool last, const void *p, size_t len)
{
    struct hx_bytes b = {p, len}, none = {NULL, 0};
    l->last[k] = ++l->lsn[k % l->volumes];
    hx_frame_builder_add(l->builder, HX_LSN(l->last[k]), page, kind, last ? HX_REC_CPL : 0, b, none);
}

static void fill(struct load *l, uint64_t *words, unsigned bytes)
{
    for (unsigned w = 0; w < (bytes + 7) / 8; w++)
        words[w] = load_dice(l) | 1;
}

static void reset(struct load *l, unsigned k)
{
    hx_frame_builder_reset(l->builder, &l->geometry[k % l->volumes].volume, k / l->volumes, HX_EPOCH(1),
                           HX_LSN(l->last[k]));
}

void load_images(struct load *l, unsigned k, uint64_t first, uint64_t step, unsigned count, unsigned bytes)
{
    uint64_t image[HX_PAGE_SIZE / 8], vdl = l->lsn[k % l->volumes];
    struct hx_enc e = begin(l, k, (count + FRAME_PAGES - 1) / FRAME_PAGES);
    for (unsigned i = 0; i < count; i++) {
        if (i % FRAME_PAGES == 0)
            reset(l, k);
        fill(l, image, bytes);
        add(l, k, (uint32_t)((first + i * step) % pages_of(l)), HX_REC_IMAGE, i + 1 == count, image, bytes);
        if (i + 1 == count || (i + 1) % FRAME_PAGES == 0)
            seal(l, &e, vdl);
    }
    finish(l, HX_MSG_APPEND, k, e.len);
}

void load_patches(struct load *l, unsigned k, uint64_t first, uint64_t step, unsigned count, unsigned bytes)
{
    uint64_t words[HX_PAGE_SIZE / 8], vdl = l->lsn[k % l->volumes];
    uint8_t patch[HX_PAGE_SIZE];
    struct hx_enc e = begin(l, k, 1);
    reset(l, k);
    for (unsigned i = 0; i < count; i++) {
        fill(l, words, bytes);
        hx_put_u16(patch, (uint16_t)(load_dice(l) % (HX_PAGE_SIZE - bytes)));
        hx_put_u16(patch + 2, (uint16_t)bytes);
        memcpy(patch + 4, words, bytes);
        add(l, k, (uint32_t)((first + i * step) % pages_of(l)), HX_REC_PATCH, i + 1 == count, patch, 4 + bytes);
    }
    seal(l, &e, vdl);
    finish(l, HX_MSG_APPEND, k, e.len);
}

void load_read(struct load *l, unsigned k, const uint32_t *pages, unsigned count)
{
    struct hx_enc e = body_of(l);
    size_t bytes = (size_t)count * HX_PAGE_SIZE;
    if (l->pages.cap < bytes && hx_buf_reserve(&l->pages, bytes))
        die("out of memory");
    hx_enc_u64(&e, l->lsn[k % l->volumes]);
    hx_enc_u32(&e, count);
    for (unsigned i = 0; i < count; i++)
        hx_enc_u32(&e, pages[i]);
    l->pages_raw = count;
    finish(l, HX_MSG_READ, k, e.len);
    load_send(l);
    load_settle(l);
}
