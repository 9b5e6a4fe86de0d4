/*
 * scrub.c - `hexad scrub VOLUME`: has all servers read again what they store, shows progress, says what was found.
 *
 * Starts a cycle on every server that answers (SCRUB), then asks for their status until each of them is through.  A
 * server that does not answer for SILENT_MS is no longer waited for.  One that is interrupted goes on by itself: the
 * servers scrub, this only watches; to start it twice is to watch the first.
 */
#include "status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_MS 3000u
#define POLL_MS 200u
#define SILENT_MS 30000u
#define MEND_MS 30000u /* damage that has not got less for so long is told as left */

enum { OPT_CONFIG, OPT_JSON, OPT_NO_WAIT };
static const struct hx_opt opts[] = {
    [OPT_CONFIG] = {"config", 'c', "FILE", "configuration (see hexad(1), FILES)"},
    [OPT_JSON] = {"json", 0, NULL, "print one JSON document when it is through"},
    [OPT_NO_WAIT] = {"no-wait", 0, NULL, "start it and end; `hexad status` shows how far it is"},
    {NULL, 0, NULL, NULL},
};
static const char *const examples[] = {"hexad scrub vol0", "hexad scrub vol0 --no-wait", NULL};
static const struct hx_args_spec spec = {
    .command = "hexad scrub",
    .usage = "VOLUME [options]",
    .examples = examples,
    .opts = opts,
    .notes = "exit codes, of the state afterwards: 0 ok, 3 degraded, 4 no write quorum, 5 no read quorum, unreachable",
};

struct line {
    const char *volume, *config;
    bool json, no_wait;
};

/* Or it has moved, or its group was released, meanwhile: then nobody has a use for the rest of it. */
static bool through(const struct seg_view *v, const struct hx_scrub_status *began)
{
    return v->gone || v->st.scrub.cycles >= began->asked;
}

/* Segments whose cycle is not over, on servers that answer. */
static size_t left(const struct status *s, const struct hx_scrub_status *began)
{
    size_t n = 0;
    for (size_t i = 0; i < s->seg_count; i++)
        n += began[i].asked && !s->servers[s->segs[i].server].err && !through(&s->segs[i], &began[i]);
    return n;
}

static void progress(const struct status *s, const struct hx_scrub_status *began)
{
    uint64_t done = 0, total = 0;
    char a[24], b[24];
    if (!isatty(STDERR_FILENO))
        return;
    for (size_t i = 0; i < s->seg_count; i++) {
        const struct hx_scrub_status *c = &s->segs[i].st.scrub;
        if (!began[i].asked)
            continue;
        bool over = through(&s->segs[i], &began[i]);
        done += over ? began[i].total : c->done;
        total += over ? began[i].total : c->total;
    }
    fprintf(stderr, "\r  %s of %s, %zu segments to go \033[K", hx_format_size(done, a, sizeof a),
            hx_format_size(total, b, sizeof b), left(s, began));
}

static uint64_t damaged(const struct status *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->seg_count; i++)
        n += s->segs[i].known && !s->segs[i].gone ? s->segs[i].st.damaged : 0;
    return n;
}

static int watch(const struct hx_client_conf *conf, struct status *s, const struct hx_scrub_status *began,
                 char why[HX_WHY_MAX])
{
    const struct timespec pause = {0, POLL_MS * 1000000L};
    uint64_t heard = hx_clock_mono_ms(), better = heard, least = UINT64_MAX;
    int err = 0;
    while (!err && (left(s, began) || (least && hx_clock_mono_ms() - better < MEND_MS))) {
        nanosleep(&pause, NULL);
        err = status_ask(conf, s, HX_MSG_STATUS, LIMIT_MS, why);
        bool silent = false;
        for (uint32_t i = 0; i < s->sum.geometry.server_count; i++)
            silent |= !s->servers[i].took && !s->servers[i].err;
        heard = silent ? heard : hx_clock_mono_ms();
        if (hx_clock_mono_ms() - heard < SILENT_MS) /* it may come back: keep asking */
            for (uint32_t i = 0; i < s->sum.geometry.server_count; i++)
                if (s->servers[i].err == HX_E_TIMEOUT || s->servers[i].err == HX_E_CONNECT)
                    s->servers[i].err = HX_E_AGAIN;
        if (left(s, began) || damaged(s) < least) {
            least = damaged(s);
            better = hx_clock_mono_ms();
        }
        progress(s, began);
    }
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    return err;
}

/* What this cycle changed: since the status BEGAN. */
static struct hx_scrub_status since(const struct status *s, const struct hx_scrub_status *began)
{
    struct hx_scrub_status sum = {0};
    for (size_t i = 0; i < s->seg_count; i++) {
        const struct hx_scrub_status *c = &s->segs[i].st.scrub;
        if (!began[i].asked)
            continue;
        bool same = c->found >= began[i].found; /* else it was started again in between */
        sum.cycles++;
        sum.asked += !through(&s->segs[i], &began[i]);
        sum.total += began[i].total;
        sum.done += through(&s->segs[i], &began[i]) ? began[i].total : c->done;
        sum.found += c->found - (same ? began[i].found : 0);
        sum.mended += c->mended - (same && c->mended >= began[i].mended ? began[i].mended : 0);
        sum.differed += c->differed - (same && c->differed >= began[i].differed ? began[i].differed : 0);
        sum.undecided += c->undecided;
    }
    return sum;
}

static void show(const struct line *l, const struct status *s, const struct hx_scrub_status *c)
{
    char size[24];
    const char *word = l->no_wait ? "STARTED" : c->asked ? "INCOMPLETE" : "DONE";
    if (l->json) {
        json_t *doc = status_scrub_json(c);
        json_object_set_new(doc, "format", json_integer(1));
        json_object_set_new(doc, "volume", json_string(s->sum.geometry.name));
        json_object_set_new(doc, "scrub", json_string(word));
        json_object_set_new(doc, "state", json_string(s->word));
        json_object_set_new(doc, "message", json_string(s->text));
        json_object_set_new(doc, "damaged", json_integer((json_int_t)damaged(s)));
        json_object_del(doc, "cycles");
        json_object_del(doc, "asked");
        json_object_set_new(doc, "segments", json_integer((json_int_t)c->cycles));
        json_object_set_new(doc, "segments_left", json_integer((json_int_t)c->asked));
        admin_print(doc);
        return;
    }
    printf("  volume: %s\n   scrub: %s, %s in %llu segments", s->sum.geometry.name, word,
           hx_format_size(c->total, size, sizeof size), (unsigned long long)c->cycles);
    if (c->asked)
        printf(", %llu of them not through", (unsigned long long)c->asked);
    if (!l->no_wait)
        printf("\n   found: %llu damaged places, %llu mended, %llu left; %llu pages differed, %llu undecided",
               (unsigned long long)c->found, (unsigned long long)c->mended, (unsigned long long)damaged(s),
               (unsigned long long)c->differed, (unsigned long long)c->undecided);
    printf("\n   state: %s\n  status: %s\n", s->word, s->text);
    if (s->err)
        printf("  action: %s\n     see: HX%04d, hexad-errors(7)\n", s->action, hx_err_info(s->err)->code);
}

/* The state afterwards is that of the volume as it is then. */
static int look_again(const struct line *l, const struct hx_client_conf *conf, struct status *s, char why[HX_WHY_MAX])
{
    bool gone = false;
    for (size_t i = 0; i < s->seg_count; i++)
        gone |= s->segs[i].gone;
    if (!gone)
        return 0;
    status_fini(s);
    *s = (struct status){.volume = l->volume};
    return status_collect(conf, s, why);
}

static int scrub(const struct line *l, const struct hx_client_conf *conf, struct status *s, char why[HX_WHY_MAX])
{
    int err = status_collect(conf, s, why);
    if (!err)
        err = status_ask(conf, s, HX_MSG_SCRUB, LIMIT_MS, why);
    struct hx_scrub_status *began = err ? NULL : calloc(s->seg_count + 1, sizeof *began);
    if (!began)
        return err ? err : HX_E_NOMEM;
    for (size_t i = 0; i < s->seg_count; i++)
        if (s->segs[i].known && s->servers[s->segs[i].server].took && s->segs[i].st.state != HX_E_POISONED)
            began[i] = s->segs[i].st.scrub;
    if (!l->no_wait)
        err = watch(conf, s, began, why);
    const struct hx_scrub_status c = since(s, began);
    if (!err)
        err = look_again(l, conf, s, why);
    if (!err) {
        status_judge(s);
        show(l, s, &c);
    }
    free(began);
    return err;
}

static int run(const struct line *l)
{
    struct status s = {.volume = l->volume};
    struct hx_client_conf conf;
    char why[HX_WHY_MAX] = "", what[HX_NAME_MAX + 32];
    int code = admin_load(l->json, l->config, &conf);
    if (code)
        return code;
    int err = scrub(l, &conf, &s, why);
    snprintf(what, sizeof what, "scrub of %s", l->volume);
    code = err ? admin_fail(l->json, err, what, why,
                            err == HX_E_NO_READ_QUORUM ? "start the segment servers named here" : NULL)
               : hx_exit_code(s.err);
    hx_client_conf_free(&conf);
    status_fini(&s);
    return code;
}

int admin_scrub_main(int argc, char **argv)
{
    struct hx_args a;
    const char *value;
    struct line l = {0};
    int opt;
    hx_args_init(&a, &spec, argc, argv);
    while ((opt = hx_args_next(&a, &value)) >= 0) {
        if (opt == OPT_CONFIG)
            l.config = value;
        else if (opt == OPT_JSON)
            l.json = true;
        else
            l.no_wait = true;
    }
    if (opt != HX_ARGS_END)
        return opt == HX_ARGS_HELP ? HX_EXIT_OK : HX_EXIT_USAGE;
    int first = hx_args_operands(&a);
    if (argc - first != 1 || !hx_name_ok(argv[first]))
        return hx_args_complain(&spec, HX_E_INVAL, "one name of a volume is needed");
    l.volume = argv[first];
    return run(&l);
}
