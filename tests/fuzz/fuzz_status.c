/*
 * fuzz_status.c - what `hexad status` says about answers of servers: the judgement, the words, the document.
 *
 * An input says how many servers and groups there are, what each segment answered, and the text that the writer sent
 * about itself (JSON from the network).  Checked: nothing that came over the network reaches the terminal as a control
 * character, the document is one JSON value, the judgement names a state.
 */
#include "fuzz.h"

#include "../../src/admin/status.h"

#include <stdio.h>
#include <stdlib.h>

#define SERVERS_MAX 9u
#define PGS_MAX 3u

static void fill_text(struct fuzz_in *in, char *out, size_t cap)
{
    struct hx_bytes b = fuzz_take(in, fuzz_u8(in) % cap);
    if (b.len)
        memcpy(out, b.p, b.len);
    out[b.len] = '\0';
}

static void fill_segment(struct fuzz_in *in, struct seg_view *v)
{
    v->known = fuzz_u8(in) & 1;
    v->state = (enum seg_state)(fuzz_u8(in) % (SEG_DOWN + 1));
    v->st.pg = v->pg;
    v->st.scl = HX_LSN(fuzz_u32(in));
    v->st.highest = HX_LSN(fuzz_u64(in));
    v->st.vdl = HX_LSN(fuzz_u32(in));
    v->st.disk_bytes = fuzz_u64(in);
    v->st.damaged = fuzz_u8(in) & 3;
    v->st.state = hx_err_from_wire(fuzz_u8(in));
}

static void fill_server(struct fuzz_in *in, struct server_view *v, unsigned i)
{
    v->server.name[0] = (char)('a' + i);
    memcpy(v->server.zone, "az", 3);
    fill_text(in, v->server.url, 40);
    v->err = fuzz_u8(in) & 3 ? 0 : hx_err_from_wire(fuzz_u8(in));
    fill_text(in, v->why, 60);
    v->us = fuzz_u32(in);
    v->stranger = fuzz_u8(in) % 8 == 0;
    v->has_hello = fuzz_u8(in) & 1;
    v->hello.disk_total = fuzz_u64(in);
    v->hello.disk_free = fuzz_u64(in);
}

static void fill(struct fuzz_in *in, struct status *s)
{
    struct hx_geometry *g = &s->sum.geometry;
    *g = (struct hx_geometry){.name = "vol0", .pg_bytes = HX_PG_SIZE_MIN, .lal = 5, .epoch = {1}, .volume = {{1}}};
    unsigned servers = 6 + fuzz_u8(in) % (SERVERS_MAX - 5), pgs = 1 + fuzz_u8(in) % PGS_MAX;
    s->servers = calloc(servers + 1, sizeof *s->servers);
    s->segs = calloc((size_t)pgs * HX_COPIES + 1, sizeof *s->segs);
    fuzz_check(s->servers && s->segs);
    s->seg_count = (size_t)pgs * HX_COPIES;
    for (unsigned i = 0; i < servers; i++) {
        fill_server(in, &s->servers[i], i);
        fuzz_check(hx_geometry_add_server(g, &s->servers[i].server) == 0);
    }
    for (unsigned i = 0; i < pgs; i++) {
        struct hx_pg_members m = {0};
        for (unsigned k = 0; k < HX_COPIES; k++)
            m.server[k] = (uint16_t)((i + k) % servers);
        fuzz_check(hx_geometry_add_pg(g, &m) == 0);
    }
    for (size_t i = 0; i < s->seg_count; i++) {
        s->segs[i].pg = (uint32_t)(i / HX_COPIES);
        s->segs[i].server = g->pgs[s->segs[i].pg].server[i % HX_COPIES];
        fill_segment(in, &s->segs[i]);
    }
    s->volume = g->name;
    s->sum.found = true;
    s->sum.answers = fuzz_u8(in) % 7;
    s->sum.writer_alive = fuzz_u8(in) % 7;
    s->sum.writer_ago_ms = fuzz_u8(in) & 1 ? UINT64_MAX : fuzz_u64(in);
    s->sum.epoch = HX_EPOCH(fuzz_u64(in));
    s->used_bytes = fuzz_u64(in);
    struct hx_bytes b = fuzz_take(in, sizeof s->sum.writer_text - 1);
    if (b.len)
        memcpy(s->sum.writer_text, b.p, b.len);
}

/* What FN prints on standard output; caller frees. */
static char *printed(void (*fn)(const struct status *s), const struct status *s, size_t *ret_len)
{
    char *text = NULL;
    FILE *was = stdout;
    fflush(stdout);
    stdout = open_memstream(&text, ret_len);
    fuzz_check(stdout);
    fn(s);
    fclose(stdout);
    stdout = was;
    return text;
}

static void run(const uint8_t *p, size_t len)
{
    static struct status s;
    struct fuzz_in in = {p, len};
    size_t n;
    memset(&s, 0, sizeof s);
    fill(&in, &s);
    status_judge(&s);
    fuzz_check(s.word && s.word[0]);
    char *text = printed(status_show_text, &s, &n);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        fuzz_check(c == '\n' || (c >= 0x20 && c != 0x7f));
        unsigned char d = (unsigned char)text[i + 1];
        fuzz_check(c != 0xc2 || d < 0x80 || d > 0x9f); /* C1: as good as an escape */
    }
    free(text);
    text = printed(status_show_json, &s, &n);
    json_t *doc = json_loads(text, 0, NULL);
    fuzz_check(json_is_object(doc));
    json_decref(doc);
    free(text);
    json_decref(s.writer);
    hx_geometry_fini(&s.sum.geometry);
    free(s.servers);
    free(s.segs);
}

static void seeds(void)
{
    static const char writer[] = "{\"host\":\"h\",\"pid\":12,\"mount\":\"/srv/db\",\"user_bytes\":5,\"wire_bytes\":90,"
                                 "\"x\":\"\\u001b[2J\",\"mtrs\":7}";
    uint8_t b[1200];
    for (unsigned k = 0; k < 3; k++) {
        char name[16];
        uint64_t random = k;
        size_t fixed = k ? 420 + 30 * k : 380;
        for (size_t i = 0; i < fixed; i++)
            b[i] = k == 0 ? 0 : (uint8_t)(fuzz_random(&random) & (k == 1 ? 0x11 : 0xff));
        memcpy(b + fixed, writer, sizeof writer - 1);
        snprintf(name, sizeof name, "status-%u", k);
        fuzz_seed(name, b, fixed + sizeof writer - 1);
    }
}

const struct fuzz_target fuzz_target = {
    .name = "status", .len_max = 2048, .run = run, .seeds = seeds, .sources = "src/admin src/sys src/core"};
