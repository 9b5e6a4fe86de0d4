/*
 * roster.c - `hexad server drain | remove`, and add of a server to a volume: says the wish (hexad/wish.h) until the
 * volume's geometry shows it.
 *
 * With a writer alive the servers are told, and it grants the wish; with none the verb opens the volume itself
 * (drive.c).  Which of the two is looked at anew each time, so a mount that comes or goes meanwhile does no harm; nor
 * does an interruption: what is granted is stored, and a drained server is emptied by whoever has the volume open.
 * drain ends when the server holds nothing; --check asks only whether it may be taken down now.
 */
#include "status.h"

#include "hexad/heal.h"
#include "hexad/place.h"
#include "hexad/quorum.h"
#include "hexad/wish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_MS 3000u
#define AGAIN_MS 500u
#define GIVE_UP_MS 60000u /* a wish that nobody grants */

static const struct hx_geometry *geometry(const struct status *s)
{
    return &s->sum.geometry;
}

/* ---- what there is ---- */

/* Segments of the volume that the geometry has on this server. */
static uint64_t held(const struct hx_geometry *g, long server)
{
    uint64_t n = 0;
    for (uint32_t pg = 0; pg < g->pg_count; pg++)
        for (unsigned k = 0; k < HX_COPIES && g->pgs[pg].kind != HX_ROW_RELEASED; k++)
            n += g->pgs[pg].server[k] == server && hx_members_has(hx_row_slots(&g->pgs[pg]), k);
    return n;
}

uint64_t admin_places(const struct hx_geometry *g, bool undo)
{
    uint64_t n = 0;
    for (uint32_t pg = 0, live = hx_geometry_live(g); pg < live; pg++)
        for (unsigned k = 0; k < HX_COPIES; k++) {
            bool away = g->servers[g->pgs[pg].server[k]].state == HX_SERVER_AWAY;
            bool member = hx_members_has(hx_row_slots(&g->pgs[pg]), k);
            n += undo ? !member : member && away;
        }
    return n;
}

/* What the verb waits for. */
static uint64_t left_of(const struct admin_wish *w, const struct hx_geometry *g)
{
    if (w->zone)
        return admin_places(g, w->wish.kind == HX_WISH_UNDO);
    return w->wish.kind == HX_WISH_DRAIN ? held(g, hx_wish_find(g, w->wish.server.name)) : 0;
}

/* An empty place that nobody in its zone can take. */
static bool has_no_taker(const struct hx_geometry *g, struct hx_place_move *ret)
{
    for (uint32_t pg = 0, live = hx_geometry_live(g); pg < live; pg++)
        for (unsigned k = 0; k < HX_COPIES; k++) {
            *ret = (struct hx_place_move){.pg = pg, .slot = k};
            bool empty = !hx_members_has(hx_row_slots(&g->pgs[pg]), k);
            if (empty && hx_place_spare(g, NULL, pg, k, &ret->to) == HX_E_NOSPACE)
                return true;
        }
    return false;
}

/* A segment of it that nobody in its zone can take. */
static bool has_no_spare(const struct hx_geometry *g, long server, struct hx_place_move *ret)
{
    for (uint32_t from = 0;; from = ret->pg + 1) {
        int err = hx_place_drain(g, NULL, server, from, ret);
        if (err)
            return err == HX_E_NOSPACE;
    }
}

static int refuse(const struct admin_wish *w, int err, const char *why, const char *hint)
{
    char what[2 * HX_NAME_MAX + 32];
    snprintf(what, sizeof what, "cannot %s %s of %s", hx_wish_kind_name(w->wish.kind), w->wish.server.name, w->volume);
    return admin_fail(w->json, err, what, why, hint);
}

/* 0: it may be wished for; else an exit code, and it was said why not. */
static int judge(const struct admin_wish *w, const struct hx_geometry *g)
{
    struct hx_geometry probe = {0};
    char why[HX_WHY_MAX];
    int err = hx_geometry_copy(&probe, g);
    long i = hx_wish_find(g, w->wish.server.name);
    if (!err)
        err = hx_wish_grant(&w->wish, &probe);
    hx_geometry_fini(&probe);
    switch (err) {
    case 0:
        return 0;
    case HX_E_NOENT:
        snprintf(why, sizeof why, "the volume has no server %.63s", w->wish.server.name);
        return refuse(w, HX_E_INVAL, why, "hexad server list --volume VOLUME names them");
    case HX_E_EXIST:
        snprintf(why, sizeof why, "the volume has another server of that name or address");
        return refuse(w, HX_E_INVAL, why, "remove that one first: hexad server remove NAME --volume VOLUME");
    case HX_E_IN_USE:
        if (w->wish.kind == HX_WISH_DEGRADE)
            return refuse(w, HX_E_INVAL, "another zone is given up already, and two cannot be",
                          "take that one back first: hexad degrade VOLUME --zone ZONE --undo");
        snprintf(why, sizeof why, "it holds %llu segments of the volume", (unsigned long long)held(g, i));
        return refuse(w, HX_E_INVAL, why, "empty it first: hexad server drain NAME --volume VOLUME");
    case HX_E_NOMEM:
        return refuse(w, err, NULL, NULL);
    default:
        snprintf(why, sizeof why, "it was declared lost, or is no server of this program");
        return refuse(w, err, why, NULL);
    }
}

/* ---- telling the servers ---- */

static int tell(const struct admin_wish *w, const struct status *s, char why[HX_WHY_MAX])
{
    uint8_t body[HX_WISH_BYTES];
    const struct hx_geometry *g = geometry(s);
    struct admin_ask asks[HX_COPIES];
    struct hx_wish wish = w->wish;
    unsigned heard = 0;
    wish.epoch = g->epoch;
    wish.g = g->g;
    wish.m = g->m;
    struct hx_enc e = hx_enc_init(body, sizeof body);
    hx_wish_encode(&wish, &e);
    for (unsigned i = 0; i < HX_COPIES; i++)
        asks[i] = (struct admin_ask){.server = &s->servers[g->pgs[0].server[i]].server, .type = HX_MSG_WISH,
                                     .volume = g->volume, .body = {body, e.len}};
    int err = admin_ask_all(w->conf, asks, HX_COPIES, LIMIT_MS, why);
    for (unsigned i = 0; i < HX_COPIES && !err; i++)
        heard += asks[i].err == 0;
    if (!err && !heard) {
        err = asks[0].err;
        snprintf(why, HX_WHY_MAX, "%.60s: %.180s", asks[0].server->name, asks[0].why);
    }
    admin_ask_fini(asks, HX_COPIES);
    return err;
}

/* ---- opening the volume ---- */

struct drive {
    struct admin_wish *w;
    int err;
    uint64_t shown_ms;
};

static void progress(struct admin_wish *w, const struct hx_geometry *g, uint64_t bytes, uint64_t of, uint64_t ms)
{
    char text[HX_PROGRESS_TEXT];
    uint64_t left = left_of(w, g);
    w->began = left > w->began ? left : w->began;
    w->left = left;
    if (!left || !isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r  %llu of %llu segments to go  %s\033[K", (unsigned long long)left,
            (unsigned long long)w->began, of ? hx_format_progress(bytes, of, ms, text) : "");
}

/* Is all done that the verb waits for? */
static bool is_done(struct admin_wish *w, const struct hx_geometry *g)
{
    if (!hx_wish_granted(&w->wish, g))
        return false;
    long i = hx_wish_find(g, w->wish.server.name);
    w->stuck = w->zone ? w->wish.kind == HX_WISH_UNDO && has_no_taker(g, &w->no_spare)
                       : w->wish.kind == HX_WISH_DRAIN && has_no_spare(g, i, &w->no_spare);
    w->left = left_of(w, g);
    return w->no_wait || !w->left || w->stuck;
}

static bool look(void *ctx, struct hx_vol *vol)
{
    struct drive *d = ctx;
    struct hx_session *s = hx_vol_session(vol);
    const struct hx_geometry *g = hx_writer_geometry(hx_session_writer(s));
    struct hx_change_view v;
    uint64_t bytes = 0, of = 0, since = 0;
    struct hx_wish wish = d->w->wish;
    wish.epoch = g->epoch;
    wish.g = g->g;
    wish.m = g->m;
    for (size_t i = 0; hx_move_view(hx_session_driver(s), i, &v); i++)
        if (v.state != HX_CHANGE_TELL) {
            bytes += v.bytes;
            of += v.of;
            since = v.since_ms > since ? v.since_ms : since;
        }
    progress(d->w, g, bytes, of, since);
    if (!hx_wish_granted(&wish, g)) {
        d->err = hx_session_wish(s, &wish);
        hx_vol_kick(vol);
        return d->err && d->err != HX_E_AGAIN && d->err != HX_E_NOMEM;
    }
    d->err = 0;
    bool telling = hx_move_view(hx_session_driver(s), 0, &v) && v.since_ms < LIMIT_MS;
    return is_done(d->w, g) && !telling; /* those who were replaced are to hear of it */
}

static int drive(struct admin_wish *w, char why[HX_WHY_MAX])
{
    struct drive d = {.w = w};
    const struct admin_drive how = {.conf = w->conf, .volume = w->volume, .where = "(hexad server)",
                                    .repair_after_ms = HX_HEAL_NEVER, .look = look, .ctx = &d};
    int err = admin_drive(&how, why);
    return err ? err : d.err;
}

/* ---- together ---- */

static void end_line(const struct admin_wish *w)
{
    if (w->began && isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
}

/* One look and, where it is not so yet, one word.  0: done; HX_E_AGAIN: once more; else an exit code in *RET_CODE. */
static int one_turn(struct admin_wish *w, int *ret_code)
{
    struct status s = {.volume = w->volume};
    char why[HX_WHY_MAX] = "";
    bool alone = false, done = false;
    int code = 0, err = status_collect(w->conf, &s, why);
    if (!err) {
        alone = s.sum.writer_alive == 0;
        done = is_done(w, geometry(&s));
        code = done || hx_wish_granted(&w->wish, geometry(&s)) ? 0 : judge(w, geometry(&s));
        progress(w, geometry(&s), 0, 0, 0);
    }
    if (!err && !code && !done && !alone && !hx_wish_granted(&w->wish, geometry(&s)))
        err = tell(w, &s, why);
    status_fini(&s);
    if (!err && !code && !done && alone) {
        err = drive(w, why);
        done = !err;
        err = err == HX_E_BUSY ? 0 : err; /* a mount was quicker */
    }
    if (err) {
        end_line(w);
        code = refuse(w, err, why, err == HX_E_NO_READ_QUORUM ? "start the segment servers named here" : NULL);
    }
    *ret_code = code;
    return code || done ? 0 : HX_E_AGAIN;
}

static int say(const struct admin_wish *w)
{
    if (w->quiet)
        return HX_EXIT_OK;
    static const char *const words[] = {[HX_WISH_ADD] = "takes segments of", [HX_WISH_DRAIN] = "is empty of",
                                        [HX_WISH_UNDO] = "stays in", [HX_WISH_REMOVE] = "has left"};
    const char *name = w->wish.server.name;
    bool full = w->wish.kind == HX_WISH_DRAIN && w->left;
    if (w->json)
        admin_print(json_pack("{s:i, s:s, s:s, s:s, s:I, s:b}", "format", 1, "volume", w->volume, "name", name, "done",
                              hx_wish_kind_name(w->wish.kind), "segments_left", (json_int_t)w->left, "no_spare",
                              w->stuck));
    else if (w->stuck)
        printf("hexad: server %s still has %llu segments of %s, and PG %u has no spare in that zone: add a server "
               "there; then it goes on by itself\n", name, (unsigned long long)w->left, w->volume, w->no_spare.pg);
    else if (full)
        printf("hexad: server %s is being emptied: %llu segments of %s to go\n", name, (unsigned long long)w->left,
               w->volume);
    else
        printf("hexad: server %s %s %s\n", name, words[w->wish.kind], w->volume);
    return hx_exit_code(w->stuck ? HX_E_DEGRADED : 0);
}

int admin_wish(struct admin_wish *w)
{
    const struct timespec pause = {0, AGAIN_MS * 1000000L};
    uint64_t start = hx_clock_mono_ms(), left = UINT64_MAX;
    int code = 0;
    while (one_turn(w, &code) == HX_E_AGAIN) {
        if (w->left != left) {
            left = w->left;
            start = hx_clock_mono_ms();
        }
        bool waits = w->zone && w->left && w->wish.kind == HX_WISH_DEGRADE; /* for members that are behind */
        if (waits && hx_clock_mono_ms() - start > GIVE_UP_MS)
            break;
        if (!w->left && hx_clock_mono_ms() - start > GIVE_UP_MS) {
            end_line(w);
            return refuse(w, HX_E_TIMEOUT, "the volume's writer has not granted it",
                          "is it a program of before? upgrade the mount; or unmount, and say it again");
        }
        nanosleep(&pause, NULL);
    }
    end_line(w);
    return code ? code : say(w);
}

/* ---- --check ---- */

int admin_may_go(const struct hx_client_conf *conf, bool json, const char *volume, const char *name)
{
    struct status s = {.volume = volume};
    char why[HX_WHY_MAX] = "", what[2 * HX_NAME_MAX + 32], reason[160] = "";
    snprintf(what, sizeof what, "cannot check %s of %s", name, volume);
    int err = status_collect(conf, &s, why);
    long i = err ? -1 : hx_wish_find(geometry(&s), name);
    if (!err && i < 0) {
        err = HX_E_INVAL;
        snprintf(why, sizeof why, "the volume has no server %.63s", name);
    }
    int code;
    if (err) {
        code = admin_fail(json, err, what, why, "hexad status VOLUME names them");
    } else {
        status_judge(&s);
        bool may = status_server_may_go(&s, (uint32_t)i, reason);
        if (json)
            admin_print(json_pack("{s:i, s:s, s:s, s:b, s:s, s:I}", "format", 1, "volume", volume, "name", name,
                                  "may_go", may, "why", reason, "segments", (json_int_t)held(geometry(&s), i)));
        else
            printf("  server: %s\n  may go: %s%s%s\n", name, may ? "yes, writes go on without it" : "no",
                   may ? "" : ": ", reason);
        code = may ? HX_EXIT_OK : hx_exit_code(HX_E_DEGRADED);
    }
    status_fini(&s);
    return code;
}

/* ---- list --volume ---- */

static const char *roster_word(const struct hx_server *s)
{
    static const char *const words[] = {[HX_SERVER_IN] = "IN", [HX_SERVER_DRAINED] = "DRAINED",
                                        [HX_SERVER_BURNT] = "BURNT", [HX_SERVER_GONE] = "GONE",
                                        [HX_SERVER_AWAY] = "AWAY"};
    return words[s->state];
}

static const char *state_word(const struct server_view *v)
{
    return v->segments ? status_seg_word(v->worst) : v->err ? "DOWN" : v->stranger ? "STRANGER" : "SPARE";
}

/* Bytes of the volume's segments there. */
static uint64_t bytes_of(const struct status *s, uint32_t server)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->seg_count; i++)
        n += s->segs[i].server == server && s->segs[i].known ? s->segs[i].st.disk_bytes : 0;
    return n;
}

/* Segments in percent of what a server has on the average of those that take some. */
static double load_of(const struct status *s, uint32_t server)
{
    uint64_t sum = 0, in = 0;
    for (uint32_t i = 0; i < geometry(s)->server_count; i++) {
        sum += s->servers[i].segments;
        in += s->servers[i].server.state == HX_SERVER_IN;
    }
    return sum && in ? 100.0 * (double)s->servers[server].segments * (double)in / (double)sum : 0;
}

static json_t *server_json(const struct status *s, uint32_t i)
{
    const struct server_view *v = &s->servers[i];
    const struct hx_server *server = &v->server;
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:f}", "name", server->name, "zone", server->zone,
                          "host", server->host, "url", server->url, "roster", roster_word(server), "state",
                          state_word(v), "segments", (json_int_t)v->segments, "segment_bytes",
                          (json_int_t)bytes_of(s, i), "load_percent", load_of(s, i));
    if (v->has_hello) {
        json_object_set_new(o, "disk_total", json_integer((json_int_t)v->hello.disk_total));
        json_object_set_new(o, "disk_free", json_integer((json_int_t)v->hello.disk_free));
    }
    if (v->err)
        json_object_set_new(o, "why", json_string(v->why));
    return o;
}

static void show_list(const struct status *s)
{
    int w = 6, z = 4, h = 4;
    for (uint32_t i = 0; i < geometry(s)->server_count; i++) {
        const struct hx_server *v = &s->servers[i].server;
        w = (int)strlen(v->name) > w ? (int)strlen(v->name) : w;
        z = (int)strlen(v->zone) > z ? (int)strlen(v->zone) : z;
        h = (int)strlen(v->host) > h ? (int)strlen(v->host) : h;
    }
    printf("  %-*s  %-*s  %-*s  %-8s  %-8s  %8s  %6s  %9s  %9s  %9s\n", w, "SERVER", z, "ZONE", h, "HOST", "ROSTER",
           "STATE", "SEGMENTS", "LOAD", "HOLDS", "FREE", "DISK");
    for (uint32_t i = 0; i < geometry(s)->server_count; i++) {
        const struct server_view *v = &s->servers[i];
        char holds[24], left[24] = "-", disk[24] = "-";
        if (v->has_hello) {
            hx_format_size(v->hello.disk_free, left, sizeof left);
            hx_format_size(v->hello.disk_total, disk, sizeof disk);
        }
        printf("  %-*s  %-*s  %-*s  %-8s  %-8s  %8u  %5.0f%%  %9s  %9s  %9s\n", w, v->server.name, z, v->server.zone, h,
               v->server.host, roster_word(&v->server), state_word(v), v->segments, load_of(s, i),
               hx_format_size(bytes_of(s, i), holds, sizeof holds), left, disk);
    }
}

int admin_list_volume(const struct hx_client_conf *conf, bool json, const char *volume)
{
    struct status s = {.volume = volume};
    char why[HX_WHY_MAX] = "", what[HX_NAME_MAX + 32];
    uint32_t bad = 0, there = 0;
    snprintf(what, sizeof what, "cannot list the servers of %s", volume);
    int err = status_collect(conf, &s, why), code;
    if (err) {
        code = admin_fail(json, err, what, why,
                          err == HX_E_NO_READ_QUORUM ? "start the segment servers named here" : NULL);
    } else {
        status_judge(&s);
        json_t *list = json_array();
        for (uint32_t i = 0; i < geometry(&s)->server_count; i++) {
            if (s.servers[i].server.state != HX_SERVER_GONE) {
                there++;
                bad += s.servers[i].err || s.servers[i].stranger;
            }
            json_array_append_new(list, server_json(&s, i));
        }
        if (json) {
            admin_print(json_pack("{s:i, s:s, s:O}", "format", 1, "volume", volume, "servers", list));
        } else {
            show_list(&s);
        }
        json_decref(list);
        code = !bad ? HX_EXIT_OK : hx_exit_code(bad < there ? HX_E_DEGRADED : HX_E_NO_READ_QUORUM);
    }
    status_fini(&s);
    return code;
}
