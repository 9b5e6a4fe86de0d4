/*
 * degrade.c - `hexad degrade VOLUME --zone ZONE [--undo]`: a zone is given up for a time, or taken back.
 *
 * Says the wish (hexad/wish.h, R3) for each server of the zone, as `hexad server drain` does (roster.c), and waits
 * until every group counts by the four members that it has in the other zones: 3 of 4 for a write, 2 of 4 for a read,
 * so that writes go on with one more server lost (doc/MEMBERSHIP.md, D1).  With --undo the places are filled again, by
 * a copy of what the others have, and then the groups count by six.  Never by itself: a partition looks the same, and
 * the zone that is given up may be the one where the programs are.
 * Interrupted, a mount or the same command goes on: what is granted is stored.
 */
#include "status.h"

#include "hexad/quorum.h"

#include <stdio.h>
#include <string.h>

enum { OPT_CONFIG, OPT_JSON, OPT_NO_WAIT, OPT_UNDO, OPT_ZONE };
static const struct hx_opt opts[] = {
    [OPT_CONFIG] = {"config", 'c', "FILE", "configuration (see hexad(1), FILES)"},
    [OPT_JSON] = {"json", 0, NULL, "print one JSON document when it is through"},
    [OPT_NO_WAIT] = {"no-wait", 0, NULL, "end when it has begun; a mount, or the same again, goes on"},
    [OPT_UNDO] = {"undo", 0, NULL, "the zone is there again: fill its places, and count by six"},
    [OPT_ZONE] = {"zone", 0, "ZONE", "the zone that is given up"},
    {NULL, 0, NULL, NULL},
};
static const char *const examples[] = {"hexad degrade vol0 --zone az-b", "hexad degrade vol0 --zone az-b --undo",
                                       NULL};
static const struct hx_args_spec spec = {
    .command = "hexad degrade",
    .usage = "VOLUME --zone ZONE [options]",
    .examples = examples,
    .opts = opts,
    .notes = "exit codes: 0 all groups are as wished, 3 some wait (members are behind; --undo: no server is there),\n"
             "            4 no write quorum, 5 no read quorum, unreachable",
};

struct degrade {
    struct hx_client_conf conf;
    const char *volume, *zone, *config;
    bool json, undo, no_wait;
};

static bool is_meant(const struct degrade *d, const struct hx_server *s)
{
    if (strcmp(s->zone, d->zone) || s->state == HX_SERVER_GONE || s->state == HX_SERVER_BURNT)
        return false;
    return !d->undo || s->state == HX_SERVER_AWAY;
}

static int refuse(const struct degrade *d, int err, const char *why, const char *hint)
{
    char what[2 * HX_NAME_MAX + 48];
    snprintf(what, sizeof what, "cannot %s zone %s of %s", d->undo ? "take back" : "give up", d->zone, d->volume);
    return admin_fail(d->json, err, what, why, hint);
}

/* The volume has no such zone: which has it? */
static int no_zone(const struct degrade *d, const struct hx_geometry *g)
{
    char why[HX_WHY_MAX];
    int n = snprintf(why, sizeof why, "the volume has no such zone; it has");
    for (uint32_t i = 0; i < g->server_count && n > 0 && (size_t)n < sizeof why; i++) {
        bool seen = g->servers[i].state == HX_SERVER_GONE;
        for (uint32_t k = 0; k < i && !seen; k++)
            seen = !strcmp(g->servers[k].zone, g->servers[i].zone);
        if (!seen)
            n += snprintf(why + n, sizeof why - (size_t)n, " %.63s", g->servers[i].zone);
    }
    return refuse(d, HX_E_INVAL, why, "hexad server list --volume VOLUME shows servers and zones");
}

/* Says it of each server of the zone; then waits for the groups.  An exit code. */
static int wish(const struct degrade *d, const struct hx_geometry *g, struct admin_wish *w)
{
    bool any = false, known = false;
    int code = 0;
    *w = (struct admin_wish){.conf = &d->conf, .volume = d->volume, .json = d->json, .quiet = true, .zone = d->zone,
                             .wish.kind = d->undo ? HX_WISH_UNDO : HX_WISH_DEGRADE};
    for (uint32_t i = 0; i < g->server_count && !code; i++) {
        known = known || (!strcmp(g->servers[i].zone, d->zone) && g->servers[i].state != HX_SERVER_GONE);
        if (!is_meant(d, &g->servers[i]))
            continue;
        any = w->no_wait = true;
        w->wish.server = (struct hx_server){.state = HX_SERVER_IN};
        memcpy(w->wish.server.name, g->servers[i].name, sizeof g->servers[i].name);
        code = admin_wish(w);
    }
    if (!known)
        return no_zone(d, g);
    for (uint32_t i = 0; i < g->server_count && !any; i++) /* nobody is away: perhaps places are still empty */
        if (!strcmp(g->servers[i].zone, d->zone) && g->servers[i].state == HX_SERVER_IN) {
            memcpy(w->wish.server.name, g->servers[i].name, sizeof g->servers[i].name);
            any = true;
        }
    if (code || d->no_wait || !any)
        return code;
    w->no_wait = false;
    return admin_wish(w);
}

/* What has come of it. */
static int say(const struct degrade *d, const struct admin_wish *w)
{
    struct status s = {.volume = d->volume};
    char why[HX_WHY_MAX] = "";
    uint64_t degraded = 0, left = 0;
    int err = status_collect(&d->conf, &s, why);
    for (uint32_t pg = 0; !err && pg < s.sum.geometry.pg_count; pg++)
        degraded += hx_row_slots(&s.sum.geometry.pgs[pg]) != HX_MEMBERS_ALL;
    if (!err)
        left = admin_places(&s.sum.geometry, d->undo);
    status_fini(&s);
    if (err)
        return refuse(d, err, why, NULL);
    if (d->json)
        admin_print(json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:b}", "format", 1, "volume", d->volume, "zone", d->zone,
                              "done", d->undo ? "undo" : "degrade", "groups_degraded", (json_int_t)degraded,
                              "places_left", (json_int_t)left, "no_spare", w->stuck));
    else if (w->stuck)
        printf("hexad: %llu places of %s in zone %s are empty, and PG %u has nobody there to take its: add a server "
               "there; then it goes on by itself\n", (unsigned long long)left, d->volume, d->zone, w->no_spare.pg);
    else if (left)
        printf("hexad: zone %s of %s: %llu places to go%s\n", d->zone, d->volume, (unsigned long long)left,
               d->undo ? "" : "; groups wait whose other members are behind: hexad status names them");
    else if (d->undo)
        printf("hexad: zone %s of %s is taken back: every group has six members\n", d->zone, d->volume);
    else
        printf("hexad: zone %s of %s is given up: %llu groups have four members, of which 3 make a write durable\n"
               "back:  hexad degrade %s --zone %s --undo\n", d->zone, d->volume, (unsigned long long)degraded,
               d->volume, d->zone);
    return hx_exit_code(left && !d->no_wait ? HX_E_DEGRADED : 0);
}

static int run(struct degrade *d)
{
    struct status s = {.volume = d->volume};
    struct admin_wish w = {.left = 0};
    char why[HX_WHY_MAX] = "";
    int code = admin_load(d->json, d->config, &d->conf);
    if (code)
        return code;
    int err = status_collect(&d->conf, &s, why);
    if (err)
        code = refuse(d, err, why, err == HX_E_NO_READ_QUORUM ? "start the segment servers named here" : NULL);
    else
        code = wish(d, &s.sum.geometry, &w);
    status_fini(&s);
    if (!code)
        code = say(d, &w);
    hx_client_conf_free(&d->conf);
    return code;
}

int admin_degrade_main(int argc, char **argv)
{
    struct hx_args a;
    const char *value;
    struct degrade d = {.json = false};
    int opt;
    hx_args_init(&a, &spec, argc, argv);
    while ((opt = hx_args_next(&a, &value)) >= 0) {
        if (opt == OPT_CONFIG)
            d.config = value;
        else if (opt == OPT_ZONE)
            d.zone = value;
        d.json |= opt == OPT_JSON;
        d.undo |= opt == OPT_UNDO;
        d.no_wait |= opt == OPT_NO_WAIT;
    }
    if (opt != HX_ARGS_END)
        return opt == HX_ARGS_HELP ? HX_EXIT_OK : HX_EXIT_USAGE;
    int first = hx_args_operands(&a);
    if (argc - first != 1 || !hx_name_ok(argv[first]) || !d.zone || !hx_name_ok(d.zone))
        return hx_args_complain(&spec, HX_E_INVAL, "one name of a volume, and --zone ZONE, are needed");
    d.volume = argv[first];
    return run(&d);
}
