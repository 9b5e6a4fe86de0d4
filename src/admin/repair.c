/*
 * repair.c - `hexad repair VOLUME`: members that are gone are replaced while nothing is mounted.
 *
 * Opens the volume (drive.c) and lets its session heal, with a short repair-after, until every group has six members
 * that keep up, or nobody is left to take a place.  What it does is what a mount does after repair-after; so it may be
 * interrupted at any point, and a mount, or the same command, goes on.
 * Who is silent is asked for --after before he is replaced: one that is only being restarted stays.
 *
 * --lost is an operator's word that some servers are gone for good (doc/MEMBERSHIP.md, D2 and D3): groups of which
 * fewer than a write quorum are left go on with those, if what was acknowledged must be on one of them.  Refused while
 * one of those servers answers, and without the volume's name, typed; what cannot be had is said before anything is
 * changed.
 */
#include "status.h"

#include "hexad/heal.h"
#include "hexad/move.h"
#include "hexad/quorum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AFTER_DEFAULT_MS 5000u
#define LOST_MAX 1024u /* that a command line names */
#define RATE_MIN (64u << 10)
#define TELL_MS 3000u /* those who are gone need not hear that they are members no more */

enum { OPT_AFTER, OPT_CONFIG, OPT_CONFIRM, OPT_JSON, OPT_LOST, OPT_RATE, OPT_TAKEOVER };
static const struct hx_opt opts[] = {
    [OPT_AFTER] = {"after", 0, "TIME", "replace who is silent for so long (5s)"},
    [OPT_CONFIG] = {"config", 'c', "FILE", "configuration (see hexad(1), FILES)"},
    [OPT_CONFIRM] = {"confirm", 0, "VOLUME", "--lost: the volume's name, instead of typing it"},
    [OPT_JSON] = {"json", 0, NULL, "print one JSON document when it is through"},
    [OPT_LOST] = {"lost", 0, "NAME,...", "these servers are gone for good: go on with those that are left"},
    [OPT_RATE] = {"rate", 0, "SIZE", "copy at most so much a second (what the servers allow)"},
    [OPT_TAKEOVER] = {"takeover", 0, NULL, "also while a writer lives: it is fenced for ever"},
    {NULL, 0, NULL, NULL},
};
static const char *const examples[] = {"hexad repair vol0", "hexad repair vol0 --after 1min",
                                       "hexad repair vol0 --lost a1,b1,c1", NULL};
static const struct hx_args_spec spec = {
    .command = "hexad repair",
    .usage = "VOLUME [options]",
    .examples = examples,
    .opts = opts,
    .notes = "exit codes: 0 every group has six members, 3 some have not (add servers), 4 no write quorum,\n"
             "            5 no read quorum, unreachable",
};

struct repair {
    const char *volume, *config, *confirm;
    char *names; /* --lost, cut at its commas */
    struct hx_uuid lost[LOST_MAX];
    uint32_t lost_count;
    bool json, takeover;
    uint64_t after_ms, rate;
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
        snprintf(text, sizeof text, "%llu groups have fewer than six members: a zone is given up (hexad degrade)",
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

/* ---- --lost ---- */

static int refuse(const struct repair *r, int err, const char *why, const char *hint)
{
    char what[HX_NAME_MAX + 32];
    snprintf(what, sizeof what, "repair of %s", r->volume);
    return admin_fail(r->json, err, what, why, hint);
}

/* Is the server among those that are declared lost? */
static bool is_lost(const struct repair *r, const struct hx_server *s)
{
    for (uint32_t i = 0; i < r->lost_count; i++)
        if (hx_uuid_eq(&r->lost[i], &s->incarnation))
            return true;
    return false;
}

/* The incarnations that the names mean; an exit code, and it was said why not. */
static int find_lost(struct repair *r, const struct status *s)
{
    const struct hx_geometry *g = &s->sum.geometry;
    char why[HX_WHY_MAX];
    for (char *rest, *name = strtok_r(r->names, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        long i = hx_wish_find(g, name);
        if (i < 0 || r->lost_count == LOST_MAX) {
            snprintf(why, sizeof why, i < 0 ? "the volume has no server %.63s" : "too many names, from %.63s on", name);
            return refuse(r, HX_E_INVAL, why, "hexad server list --volume VOLUME names them");
        }
        if (s->servers[i].err == 0 && !s->servers[i].stranger) {
            snprintf(why, sizeof why, "server %.63s answers: it is not lost", name);
            return refuse(r, HX_E_IN_USE, why, "a server that is there is emptied by hexad server drain");
        }
        r->lost[r->lost_count++] = g->servers[i].incarnation;
    }
    return r->lost_count ? 0 : refuse(r, HX_E_INVAL, "--lost wants names of servers", "hexad repair --help");
}

/* Groups that go on with fewer (*RET_DECLARED); an exit code where of one too few are left (D3): all such are named. */
static int weigh(const struct repair *r, const struct hx_geometry *g, uint32_t *ret_declared)
{
    char why[HX_WHY_MAX];
    size_t n = 0;
    uint32_t dead = 0;
    *ret_declared = 0;
    for (uint32_t pg = 0; pg < hx_geometry_live(g); pg++) {
        hx_members stay = hx_row_slots(&g->pgs[pg]);
        for (unsigned i = 0; i < HX_COPIES; i++)
            if (is_lost(r, &g->servers[g->pgs[pg].server[i]]))
                stay &= (hx_members)~hx_members_add(0, i);
        if (hx_row_write(&g->pgs[pg], stay))
            continue;
        ++*ret_declared;
        if (hx_row_meets(&g->pgs[pg], stay))
            continue;
        if (n < sizeof why)
            n += (size_t)snprintf(why + n, sizeof why - n,
                                  dead ? ", %u" : "of these groups too few servers are left, so what was "
                                                  "acknowledged may be on none of them: PG %u", pg);
        dead++;
    }
    return dead ? refuse(r, HX_E_DATA_LOSS, why, "bring one of their servers back; nothing was changed") : 0;
}

/* The volume's name, by --confirm or typed. */
static bool is_confirmed(const struct repair *r, uint32_t declared)
{
    char line[HX_NAME_MAX + 2] = "";
    if (r->confirm)
        return strcmp(r->confirm, r->volume) == 0;
    fprintf(stderr, "%u servers of %s are declared lost for good.  They can never be members again, and %u groups go "
            "on with those that are left.\nIf they still run and somebody declares the others lost, the volume becomes "
            "two.  Type the volume's name to go on: ", r->lost_count, r->volume, declared);
    if (!fgets(line, sizeof line, stdin))
        return false;
    line[strcspn(line, "\n")] = '\0';
    return strcmp(line, r->volume) == 0;
}

static int lost_main(struct repair *r, const struct hx_client_conf *conf)
{
    struct status s = {.volume = r->volume};
    char why[HX_WHY_MAX] = "";
    uint32_t declared = 0;
    int err = status_collect(conf, &s, why);
    int code = err ? refuse(r, err, why, "three servers of group 0 must answer") : find_lost(r, &s);
    if (!code)
        code = weigh(r, &s.sum.geometry, &declared);
    if (!code && !is_confirmed(r, declared))
        code = refuse(r, HX_E_INVAL, "the volume's name was not typed, and nothing was changed",
                      "type it, or say --confirm VOLUME");
    status_fini(&s);
    return code;
}

static int run(struct repair *r)
{
    struct hx_client_conf conf;
    char why[HX_WHY_MAX] = "", what[HX_NAME_MAX + 32];
    int code = admin_load(r->json, r->config, &conf);
    if (code)
        return code;
    if (r->names)
        code = lost_main(r, &conf);
    if (code) {
        hx_client_conf_free(&conf);
        return code;
    }
    const struct admin_drive d = {.conf = &conf, .volume = r->volume, .where = "(hexad repair)",
                                  .takeover = r->takeover, .repair_after_ms = r->after_ms,
                                  .repair_rate = (uint32_t)r->rate, .lost = r->lost,
                                  .lost_count = r->lost_count, .look = look, .ctx = r};
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

static bool bad_rate(const char *value, uint64_t *ret)
{
    return hx_parse_size(value, ret) || *ret < RATE_MIN || *ret > UINT32_MAX;
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
        else if (opt == OPT_CONFIRM)
            r.confirm = value;
        else if (opt == OPT_LOST) {
            free(r.names);
            r.names = strdup(value);
        }
        else if (opt == OPT_RATE && bad_rate(value, &r.rate))
            return hx_args_complain(&spec, HX_E_INVAL, "--rate wants bytes a second from 64KiB, for example 16MiB");
        else if (opt == OPT_AFTER && (hx_parse_time(value, &r.after_ms) || !r.after_ms))
            return hx_args_complain(&spec, HX_E_INVAL, "--after wants a time, for example 30s");
    }
    if (opt != HX_ARGS_END)
        return opt == HX_ARGS_HELP ? HX_EXIT_OK : HX_EXIT_USAGE;
    int first = hx_args_operands(&a);
    if (argc - first != 1 || !hx_name_ok(argv[first]))
        return hx_args_complain(&spec, HX_E_INVAL, "one name of a volume is needed");
    r.volume = argv[first];
    int code = run(&r);
    free(r.names);
    return code;
}
