/*
 * repair.c - `hexad repair VOLUME`: members that are gone are replaced while nothing is mounted.
 *
 * Opens the volume (drive.c) and lets its session heal, with a short repair-after, until every group has six members
 * that keep up, or nobody is left to take a place.  What it does is what a mount does after repair-after; so it may be
 * interrupted at any point, and a mount, or the same command, goes on.
 * Who is silent is asked for --after before he is replaced: one that is only being restarted stays.
 */
#include "admin.h"

#include "hexad/heal.h"
#include "hexad/move.h"
#include "hexad/quorum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AFTER_DEFAULT_MS 5000u
#define TELL_MS 3000u /* those who are gone need not hear that they are members no more */

enum { OPT_AFTER, OPT_CONFIG, OPT_JSON, OPT_TAKEOVER };
static const struct hx_opt opts[] = {
    [OPT_AFTER] = {"after", 0, "TIME", "replace who is silent for so long (5s)"},
    [OPT_CONFIG] = {"config", 'c', "FILE", "configuration (see hexad(1), FILES)"},
    [OPT_JSON] = {"json", 0, NULL, "print one JSON document when it is through"},
    [OPT_TAKEOVER] = {"takeover", 0, NULL, "also while a writer lives: it is fenced for ever"},
    {NULL, 0, NULL, NULL},
};
static const char *const examples[] = {"hexad repair vol0", "hexad repair vol0 --after 1min", NULL};
static const struct hx_args_spec spec = {
    .command = "hexad repair",
    .usage = "VOLUME [options]",
    .examples = examples,
    .opts = opts,
    .notes = "exit codes: 0 every group has six members, 3 some have not (add servers), 4 no write quorum,\n"
             "            5 no read quorum, unreachable",
};

struct repair {
    const char *volume, *config;
    bool json, takeover;
    uint64_t after_ms;
    struct hx_geometry before;
    bool began;
    uint64_t began_ms, shown_ms, moved, copied, left;
    unsigned full;          /* members whose disks are full: they have what they have, and are not moved */
    uint64_t no_spare, degraded;
    char where[2 * HX_NAME_MAX + 32]; /* who has no spare, in which zone */
};

/* ---- how far it is ---- */

struct members {
    uint64_t wait, gone, full; /* behind or not heard of yet; to be replaced; with a full disk */
};

static struct members count(struct hx_session *s)
{
    const struct hx_writer *w = hx_session_writer(s);
    const struct hx_geometry *g = hx_writer_geometry(w);
    struct members n = {0};
    for (uint32_t pg = 0, live = hx_geometry_live(g); pg < live; pg++)
        for (unsigned i = 0; i < HX_COPIES; i++) {
            struct hx_member_view v;
            bool away = g->servers[g->pgs[pg].server[i]].state == HX_SERVER_AWAY;
            if (away || !hx_members_has(hx_row_slots(&g->pgs[pg]), i))
                continue;
            hx_writer_member(w, pg, i, hx_session_now(s), &v);
            bool bad = v.state == HX_MEMBER_DOWN || v.state == HX_MEMBER_REFUSED;
            n.wait += v.state == HX_MEMBER_UNKNOWN || v.state == HX_MEMBER_BEHIND;
            n.full += bad && v.last_error == HX_E_NOSPACE;
            n.gone += bad && v.last_error != HX_E_NOSPACE;
        }
    return n;
}

/* Changes that are not over; what they have copied, and of how much. */
static uint64_t under_way(struct hx_session *s, uint64_t *ret_bytes, uint64_t *ret_of)
{
    struct hx_change_view v;
    uint64_t n = 0;
    *ret_bytes = *ret_of = 0;
    for (size_t i = 0; hx_move_view(hx_session_driver(s), i, &v); i++) {
        bool over = v.state == HX_CHANGE_TELL || v.state == HX_CHANGE_UNDO;
        n += !over || v.since_ms < TELL_MS;
        *ret_bytes += over ? 0 : v.bytes;
        *ret_of += over ? 0 : v.of;
    }
    return n;
}

static uint64_t moved(const struct repair *r, const struct hx_geometry *g)
{
    uint64_t n = 0;
    for (uint32_t pg = 0; pg < hx_geometry_live(&r->before); pg++)
        for (unsigned i = 0; i < HX_COPIES; i++)
            n += r->before.pgs[pg].server[i] != g->pgs[pg].server[i];
    return n;
}

static void progress(struct repair *r, uint64_t now_ms, uint64_t bytes, uint64_t of)
{
    char text[HX_PROGRESS_TEXT];
    uint64_t every = isatty(STDERR_FILENO) ? 200 : 10000;
    if (now_ms - r->shown_ms < every || (!of && !r->left))
        return;
    r->shown_ms = now_ms;
    hx_format_progress(bytes, of, now_ms - r->began_ms, text);
    fprintf(stderr, "%s  %llu of %llu segments moved; now %s%s", isatty(STDERR_FILENO) ? "\r" : "",
            (unsigned long long)r->moved, (unsigned long long)(r->moved + r->left), text,
            isatty(STDERR_FILENO) ? "\033[K" : "\n");
}

static bool look(void *ctx, struct hx_vol *vol)
{
    struct repair *r = ctx;
    struct hx_session *s = hx_vol_session(vol);
    const struct hx_geometry *g = hx_writer_geometry(hx_session_writer(s));
    struct hx_heal_view h;
    uint64_t bytes, of, now = hx_session_now(s);
    if (!r->began) {
        if (hx_geometry_copy(&r->before, g))
            return false; /* there was no memory: a moment later */
        r->began = true;
        r->began_ms = r->shown_ms = now;
    }
    struct members n = count(s);
    uint64_t busy = under_way(s, &bytes, &of);
    hx_heal_view(hx_session_heal(s), &h);
    r->moved = moved(r, g);
    r->left = n.gone;
    r->full = (unsigned)n.full;
    r->copied = now - r->began_ms;
    r->no_spare = h.no_spare;
    if (h.no_spare)
        snprintf(r->where, sizeof r->where, "%s, zone %s", g->servers[h.no_spare_server].name,
                 g->servers[h.no_spare_server].zone);
    progress(r, now, bytes, of);
    r->degraded = h.degraded;
    return !busy && !n.wait && n.gone + h.empty == h.no_spare;
}

/* ---- the end ---- */

static int say(const struct repair *r)
{
    char text[sizeof r->where + 128], took[24];
    int err = r->no_spare || r->full || r->degraded ? HX_E_DEGRADED : 0;
    if (r->no_spare)
        snprintf(text, sizeof text,
                 "%llu segments have no spare (%s): start a server there and add it, or hexad repair once it is back",
                 (unsigned long long)r->no_spare, r->where);
    else if (r->full)
        snprintf(text, sizeof text, "%u segments take nothing, for their disks are full: make room there", r->full);
    else if (r->degraded)
        snprintf(text, sizeof text, "%llu groups have four members, for a zone is given up (hexad degrade --undo)",
                 (unsigned long long)r->degraded);
    else
        snprintf(text, sizeof text, "every group has six members");
    if (r->json)
        admin_print(json_pack("{s:i, s:s, s:s, s:I, s:I, s:I, s:I, s:s}", "format", 1, "volume", r->volume, "repair",
                              err ? "DEGRADED" : "DONE", "segments_moved", (json_int_t)r->moved, "no_spare",
                              (json_int_t)r->no_spare, "full", (json_int_t)r->full, "ms", (json_int_t)r->copied,
                              "message", text));
    else
        printf("  volume: %s\n  repair: %s, %llu segments moved in %s\n  status: %s\n", r->volume,
               err ? "DEGRADED" : "DONE", (unsigned long long)r->moved, hx_format_time(r->copied, took, sizeof took),
               text);
    return hx_exit_code(err);
}

static int run(struct repair *r)
{
    struct hx_client_conf conf;
    char why[HX_WHY_MAX] = "", what[HX_NAME_MAX + 32];
    int code = admin_load(r->json, r->config, &conf);
    if (code)
        return code;
    const struct admin_drive d = {.conf = &conf, .volume = r->volume, .where = "(hexad repair)",
                                  .takeover = r->takeover, .repair_after_ms = r->after_ms, .look = look, .ctx = r};
    int err = admin_drive(&d, why);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    snprintf(what, sizeof what, "repair of %s", r->volume);
    code = err ? admin_fail(r->json, err, what, why,
                            err == HX_E_BUSY ? "the mount repairs by itself (repair-after); or hexad repair --takeover"
                                             : NULL)
               : say(r);
    hx_geometry_fini(&r->before);
    hx_client_conf_free(&conf);
    return code;
}

int admin_repair_main(int argc, char **argv)
{
    struct hx_args a;
    const char *value;
    struct repair r = {.after_ms = AFTER_DEFAULT_MS};
    int opt;
    hx_args_init(&a, &spec, argc, argv);
    while ((opt = hx_args_next(&a, &value)) >= 0) {
        if (opt == OPT_CONFIG)
            r.config = value;
        else if (opt == OPT_JSON)
            r.json = true;
        else if (opt == OPT_TAKEOVER)
            r.takeover = true;
        else if (hx_parse_time(value, &r.after_ms) || !r.after_ms)
            return hx_args_complain(&spec, HX_E_INVAL, "--after wants a time, for example 30s");
    }
    if (opt != HX_ARGS_END)
        return opt == HX_ARGS_HELP ? HX_EXIT_OK : HX_EXIT_USAGE;
    int first = hx_args_operands(&a);
    if (argc - first != 1 || !hx_name_ok(argv[first]))
        return hx_args_complain(&spec, HX_E_INVAL, "one name of a volume is needed");
    r.volume = argv[first];
    return run(&r);
}
