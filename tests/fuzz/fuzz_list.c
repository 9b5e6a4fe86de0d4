/*
 * fuzz_list.c - the lists that a peer or a meta slot sends: history, geometry, LOOKUP and FENCE answers.
 *
 * The first byte chooses the decoder.  Checked: nothing is allocated on the bytes' word alone (a sanitizer limits
 * that), a failed decode leaves the destination as it was, decoded lists keep the rules of their type, and encoding
 * them again gives the input, but for bytes that are ignored.
 */
#include "fuzz.h"

#include "hexad/msg.h"
#include "hexad/place.h"
#include "hexad/recovery.h"

enum { HISTORY, GEOMETRY, LOOKUP, INVENTORY, KINDS };

#define LEN_MAX 16384u
static uint8_t out[LEN_MAX], out2[LEN_MAX];

static void history_rules(const struct hx_history *h)
{
    for (size_t i = 0; i < h->count; i++) {
        const struct hx_history_entry *e = &h->e[i];
        fuzz_check(e->vdl.v <= e->end.v && e->lal > 0);
        fuzz_check(i == 0 || (e->epoch.v > e[-1].epoch.v && e->vdl.v >= e[-1].vdl.v && e->end.v > e[-1].end.v));
        fuzz_check(!hx_history_valid(h, e->end, e->epoch));
        if (i + 1 < h->count && e[1].vdl.v > e->end.v)
            fuzz_check(hx_history_valid(h, e[1].vdl, e->epoch));
        hx_history_successor(h, e->vdl);
    }
}

static void history(const uint8_t *p, size_t len)
{
    struct hx_history_entry kept = {{1}, {0}, {0}, 5};
    struct hx_history h = {&kept, 1, 1}, fresh = {0};
    struct hx_dec d = hx_dec_init(p, len);
    if (hx_history_decode(&fresh, &d)) {
        struct hx_dec f = hx_dec_init(p, len);
        fuzz_check(d.err && fresh.e == NULL && hx_history_decode(&h, &f) && h.e == &kept && h.count == 1);
        return;
    }
    history_rules(&fresh);
    struct hx_enc e = hx_enc_init(out, sizeof out);
    hx_history_encode(&fresh, &e);
    fuzz_check(e.err == 0 && e.len == d.off && e.len == hx_history_encoded_len(&fresh) && !memcmp(out, p, e.len));
    hx_history_fini(&fresh);
}

/* Of a whole geometry: each slice of it keeps the rules and its rows name the same servers. */
static void slices(const struct hx_geometry *g)
{
    for (uint32_t pg = 1; pg < g->pg_count && pg < 8; pg++) {
        struct hx_geometry s = {0};
        if (hx_geometry_slice(g, pg, &s))
            return;
        fuzz_check(hx_geometry_check(&s) == 0 && hx_geometry_compare(&s, g) == 0);
        const struct hx_pg_members *a = hx_geometry_row(&s, pg), *b = hx_geometry_row(g, pg);
        for (unsigned k = 0; k < HX_COPIES; k++)
            fuzz_check(!memcmp(&s.servers[a->server[k]], &g->servers[b->server[k]], sizeof *s.servers));
        hx_geometry_fini(&s);
    }
}

static void geometry(const uint8_t *p, size_t len)
{
    struct hx_geometry g = {0}, c = {0};
    struct hx_dec d = hx_dec_init(p, len);
    if (hx_geometry_decode_any(&g, &d)) {
        fuzz_check(d.err && !g.servers && !g.pgs);
        return;
    }
    fuzz_check(hx_geometry_check(&g) == 0);
    struct hx_enc e = hx_enc_init(out, sizeof out);
    hx_geometry_encode(&g, &e);
    fuzz_check(e.err == 0 && e.len == hx_geometry_encoded_len(&g));
    if (hx_get_u16(out) == hx_get_u16(p)) /* a 2 that a 1 can say becomes a 1 */
        fuzz_check(e.len == d.off && !memcmp(out, p, e.len));
    struct hx_dec f = hx_dec_init(out, e.len);
    fuzz_check(hx_geometry_decode_any(&c, &f) == 0 && hx_dec_end(&f) == 0 && hx_geometry_equal(&c, &g));
    slices(&g);
    struct hx_pg_members m;
    if (hx_geometry_copy(&c, &g) == 0) {
        fuzz_check(hx_geometry_equal(&c, &g) && hx_geometry_compare(&c, &g) == 0);
        if (!g.slice && g.server_count <= 64 && hx_place_group(&g, NULL, &m) == 0) {
            int err = hx_geometry_add_pg(&c, &m);
            fuzz_check((err == 0 || err == HX_E_NOMEM || err == HX_E_INVAL) && hx_geometry_check(&c) == 0);
        }
    }
    hx_geometry_fini(&c);
    hx_geometry_fini(&g);
}

static void lookup(const uint8_t *p, size_t len)
{
    static struct hx_lookup l, m;
    struct hx_dec d = hx_dec_init(p, len);
    memset(&l, 0, sizeof l);
    if (hx_lookup_decode(&l, &d)) {
        fuzz_check(!l.geometry.servers);
        return;
    }
    struct hx_enc e = hx_enc_init(out, sizeof out);
    hx_lookup_encode(&l, &e);
    fuzz_check(e.err == 0 && e.len <= d.off && e.len <= hx_lookup_encoded_max(&l));
    size_t at = e.len - hx_geometry_encoded_len(&l.geometry); /* of its version, as geometry() has it */
    fuzz_check(e.len == d.off || hx_get_u16(out + at) < hx_get_u16(p + at));
    struct hx_dec f = hx_dec_init(out, e.len);
    memset(&m, 0, sizeof m);
    fuzz_check(hx_lookup_decode(&m, &f) == 0 && hx_dec_end(&f) == 0 && hx_geometry_equal(&l.geometry, &m.geometry));
    fuzz_check(m.top.v == l.top.v && m.promised.v == l.promised.v && !strcmp(m.writer.text, l.writer.text));
    hx_geometry_fini(&l.geometry);
    hx_geometry_fini(&m.geometry);
}

static void inventory(const uint8_t *p, size_t len)
{
    struct hx_inventory v = {0}, w = {0};
    struct hx_dec d = hx_dec_init(p, len);
    if (hx_inventory_decode(&v, &d)) {
        fuzz_check(d.err && !v.entries && !v.unknowns && !v.history.e);
        return;
    }
    for (uint32_t i = 0; i < v.entry_count; i++)
        fuzz_check(v.entries[i].prev.v < v.entries[i].lsn.v);
    history_rules(&v.history);
    struct hx_enc e = hx_enc_init(out, sizeof out);
    hx_inventory_encode(&v, &e);
    fuzz_check(e.err == 0 && e.len == d.off && e.len == hx_inventory_encoded_len(&v));
    struct hx_dec f = hx_dec_init(out, e.len);
    fuzz_check(hx_inventory_decode(&w, &f) == 0 && hx_dec_end(&f) == 0);
    struct hx_enc e2 = hx_enc_init(out2, sizeof out2);
    hx_inventory_encode(&w, &e2);
    fuzz_check(e2.len == e.len && memcmp(out, out2, e.len) == 0);
    hx_inventory_fini(&v);
    hx_inventory_fini(&w);
}

/* Counts that fit the length: the bytes then go through the rules behind them. */
static void repair(uint8_t *p, size_t len)
{
    if (len < 5 || p[0] % KINDS != HISTORY)
        return;
    size_t count = (len - 5) / 32;
    hx_put_u32(p + 1, (uint32_t)count);
    for (size_t i = 0; i < count; i++) { /* ascending most of the time */
        uint8_t *e = p + 5 + 32 * i;
        if (e[7] % 8 == 0)
            continue;
        hx_put_u64(e, 1 + 3 * i + e[0] % 3);
        hx_put_u64(e + 16, 1000 * i + hx_get_u16(e + 16) % 900);
        hx_put_u64(e + 8, i ? hx_get_u64(e + 16 - 32) : 0);
    }
}

static void fill_geometry(struct hx_geometry *g, uint32_t servers, uint32_t pgs)
{
    static const char *const zone[] = {"az-a", "az-b", "az-c"};
    *g = (struct hx_geometry){.volume = {{9}}, .name = "vol0", .pg_bytes = HX_PG_SIZE_MIN, .lal = 1000,
                              .created_us = 5, .epoch = {3}, .m = 1};
    for (uint32_t i = 0; i < servers; i++) {
        struct hx_server s = {.incarnation = {{(uint8_t)(i + 1)}}, .url = "https://h:9621"};
        s.name[0] = (char)('a' + i % 26);
        s.name[1] = (char)('0' + i / 26);
        memcpy(s.zone, zone[i % 3], 5);
        fuzz_check(hx_geometry_add_server(g, &s) == 0);
    }
    for (uint32_t i = 0; i < pgs; i++) {
        struct hx_pg_members m;
        fuzz_check(hx_place_group(g, NULL, &m) == 0 && hx_geometry_add_pg(g, &m) == 0);
    }
}

static void seed(unsigned kind, const char *name, size_t len)
{
    memmove(out + 1, out, len);
    out[0] = (uint8_t)kind;
    fuzz_seed(name, out, len + 1);
}

static void seed_lookup(const struct hx_geometry *g)
{
    static struct hx_lookup l;
    l = (struct hx_lookup){.volume = g->volume, .top = {3}, .promised = {4},
                           .writer = {true, 5, {3}, {70}, "{\"host\":\"h\"}"}, .geometry = *g};
    struct hx_enc e = hx_enc_init(out, sizeof out - 1);
    hx_lookup_encode(&l, &e);
    seed(LOOKUP, "lookup", e.len);
}

/* The same with all that version 2 has, and a slice of it. */
static void seed_version_2(const struct hx_geometry *from)
{
    struct hx_geometry g = {0}, s = {0};
    fuzz_check(hx_geometry_copy(&g, from) == 0);
    g.walk_from = HX_LSN(40);
    memcpy(g.servers[1].host, "rack", 5);
    g.servers[2].state = HX_SERVER_BURNT;
    g.pgs[0].unmade = 3;
    g.pgs[1].kind = HX_ROW_DECLARED;
    g.pgs[1].survivors = 7;
    g.pgs[2].kind = HX_ROW_DEGRADED;
    g.pgs[2].survivors = 0x33;
    g.pgs[3].kind = HX_ROW_RELEASED;
    struct hx_enc e = hx_enc_init(out, sizeof out - 1);
    hx_geometry_encode(&g, &e);
    seed(GEOMETRY, "geometry-2", e.len);
    fuzz_check(hx_geometry_slice(&g, 2, &s) == 0);
    e = hx_enc_init(out, sizeof out - 1);
    hx_geometry_encode(&s, &e);
    seed(GEOMETRY, "slice", e.len);
    hx_geometry_fini(&g);
    hx_geometry_fini(&s);
}

static void seeds(void)
{
    struct hx_geometry g;
    struct hx_history h = {0};
    struct hx_enc e = hx_enc_init(out, sizeof out - 1);
    hx_history_encode(&h, &e);
    seed(HISTORY, "history-empty", e.len);
    for (uint64_t i = 0; i < 5; i++)
        fuzz_check(!hx_history_push(&h, (struct hx_history_entry){{2 * i + 1}, {90 * i}, {100 * i + 5}, 1000}));
    e = hx_enc_init(out, sizeof out - 1);
    hx_history_encode(&h, &e);
    seed(HISTORY, "history", e.len);
    fill_geometry(&g, 9, 4);
    e = hx_enc_init(out, sizeof out - 1);
    hx_geometry_encode(&g, &e);
    seed(GEOMETRY, "geometry", e.len);
    seed_version_2(&g);
    seed_lookup(&g);
    struct hx_inv_entry entries[3] = {{{401}, {395}, {9}, 0, 11}, {{402}, {401}, {9}, HX_INV_CPL, 12},
                                      {{404}, {402}, {9}, 0, 13}};
    struct hx_inv_unknown unknowns[2] = {{{405}, {407}}, {{409}, HX_LSN_MAX}};
    struct hx_inventory v = {.history = h, .scl = {404}, .base = {300}, .vdl_hint = {395}, .geometry = g,
                             .has_geometry = true, .hydrated = true, .entry_count = 3, .unknown_count = 2,
                             .entries = entries, .unknowns = unknowns};
    e = hx_enc_init(out, sizeof out - 1);
    hx_inventory_encode(&v, &e);
    seed(INVENTORY, "inventory", e.len);
    v.has_geometry = false;
    e = hx_enc_init(out, sizeof out - 1);
    hx_inventory_encode(&v, &e);
    seed(INVENTORY, "inventory-bare", e.len);
    hx_geometry_fini(&g);
    hx_history_fini(&h);
}

#define HISTORY_SOURCES "src/core/history.c include/hexad/history.h"
#define GEOMETRY_SOURCES "src/core/geometry.c include/hexad/geometry.h"
static const struct fuzz_decoder decoders[] = {
    [HISTORY] = {"history", history, 2048, HISTORY_SOURCES},
    [GEOMETRY] = {"geometry", geometry, 2048, GEOMETRY_SOURCES},
    [LOOKUP] = {"lookup", lookup, 2048, GEOMETRY_SOURCES " src/core/msg.c include/hexad/msg.h"},
    [INVENTORY] = {"inventory", inventory, 2048,
                   HISTORY_SOURCES " " GEOMETRY_SOURCES " src/core/inventory.c include/hexad/recovery.h"},
    {0}};

const struct fuzz_target fuzz_target = {
    .name = "list", .len_max = 4096, .decoders = decoders, .repair = repair, .seeds = seeds};
