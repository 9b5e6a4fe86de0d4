/*
 * renew.c - takes new certificates into use while the program runs: looks whether the files have changed, reads and
 * judges them, and hands them to the client and the server of this process.
 *
 * Does not: end a connection, or make certificates (cert.c).
 *
 *   1. Connections that are made from then on use the new ones; those that there are go on as they are.
 *   2. All or nothing: CA, certificate and key are read together, and are taken when they fit together, are
 *      valid now, and name the same role and name as before.  Else the old ones stay in use.
 *   3. Who replaces three files replaces one after the other.  So what does not fit is complained about when it is
 *      still so at the next look, once; asked for (SIGHUP) it is said at once.
 *   4. What was refused is judged again at each look: "not valid yet" passes by itself.
 *   5. The files are looked at before they are read: a change in between is seen by the next look.
 *
 * Memory: what is in use is shared with client and server by reference.
 */
#include "renew.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS 2000u
#define DUE_AGAIN_MS (24u * 3600 * 1000)
#define FILES 3

struct mark { /* of one file: what changes when it is written or replaced */
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime, ctime;
    int err;
};

struct hx_renewal {
    struct hx_renewal_cfg cfg;
    struct hx_loop *loop;
    struct hx_timer *timer;
    char *path[FILES];
    struct mark seen[FILES];
    struct hx_peer self;
    bool refused, told; /* what is there now was refused; and that was said */
    uint64_t due_ms;    /* when it was last said that the certificate ends soon; 0: never */
    int64_t end_s;      /* of the certificate in use */
};

static void look_at(const struct hx_renewal *r, struct mark ret[FILES])
{
    memset(ret, 0, FILES * sizeof *ret); /* the padding, too: marks are compared as bytes */
    for (int i = 0; i < FILES; i++) {
        struct stat st;
        if (stat(r->path[i], &st)) {
            ret[i].err = 1;
            continue;
        }
        ret[i].dev = st.st_dev;
        ret[i].ino = st.st_ino;
        ret[i].size = st.st_size;
        ret[i].mtime = st.st_mtim;
        ret[i].ctime = st.st_ctim;
    }
}

static struct hx_tls_cfg files(const struct hx_renewal *r)
{
    return (struct hx_tls_cfg){r->path[0], r->path[1], r->path[2]};
}

/* 2 */
static int judge(const struct hx_renewal *r, struct hx_tls *ret, char why[HX_WHY_MAX])
{
    struct hx_peer who;
    const struct hx_tls_cfg cfg = files(r);
    int err = hx_tls_load_own(&cfg, ret, &who, why);
    if (!err && (who.role != r->self.role || strcmp(who.name, r->self.name))) {
        snprintf(why, HX_WHY_MAX, "certificate %.60s is for hexad://%.7s/%s, not for hexad://%.7s/%s", r->path[1],
                 hx_role_name(who.role), who.name, hx_role_name(r->self.role), r->self.name);
        hx_tls_fini(ret);
        err = HX_E_ROLE;
    }
    return err;
}

/* Both or none: what can fail comes first. */
static int hand_out(struct hx_renewal *r, const struct hx_tls *t)
{
    int err = r->cfg.server ? hx_server_net_use(r->cfg.server, t) : 0;
    return !err && r->cfg.client ? hx_client_use(r->cfg.client, t) : err;
}

static void tell(struct hx_renewal *r, enum hx_renewal_news news, const char *text)
{
    if (r->cfg.tell)
        r->cfg.tell(r->cfg.ctx, news, text);
}

static void tell_due(struct hx_renewal *r)
{
    uint64_t now = hx_loop_now_ms(r->loop);
    int64_t left = hx_cert_days_left(r->end_s);
    char text[HX_WHY_MAX];
    if (left >= HX_CERT_DUE_DAYS || (r->due_ms && now - r->due_ms < DUE_AGAIN_MS))
        return;
    r->due_ms = now;
    if (left < 0)
        snprintf(text, sizeof text, "certificate %.120s has expired", r->path[1]);
    else
        snprintf(text, sizeof text, "certificate %.120s ends in %lld days", r->path[1], (long long)left);
    tell(r, HX_RENEWAL_DUE, text);
}

static void refuse(struct hx_renewal *r, const char *why, bool now)
{
    if (r->refused && !r->told) /* 3: it was so before */
        now = true;
    r->refused = true;
    if (now && !r->told) {
        r->told = true;
        tell(r, HX_RENEWAL_REFUSED, why);
    }
}

static void look(struct hx_renewal *r, bool asked)
{
    struct mark now[FILES];
    struct hx_tls t = {0};
    char why[HX_WHY_MAX];
    look_at(r, now);
    bool changed = memcmp(now, r->seen, sizeof now) != 0;
    if (changed || asked)
        r->refused = r->told = false;
    if (changed || asked || r->refused) {
        memcpy(r->seen, now, sizeof now); /* 5 */
        int err = judge(r, &t, why);
        if (!err && (err = hand_out(r, &t)) != 0)
            snprintf(why, sizeof why, "%s", hx_err_text(err));
        if (err) {
            refuse(r, why, asked);
        } else {
            r->refused = r->told = false;
            r->end_s = hx_tls_end(&t);
            r->due_ms = 0;
            snprintf(why, sizeof why, "%.200s", r->path[1]);
            tell(r, HX_RENEWAL_TAKEN, why);
        }
        hx_tls_fini(&t);
    }
    tell_due(r);
    hx_timer_set(r->timer, r->cfg.look_ms);
}

static void on_timer(void *ctx)
{
    look(ctx, false);
}

void hx_renewal_look(struct hx_renewal *r)
{
    look(r, true);
}

/* The process may change its directory.  Links are not followed: they may be changed, too. */
static char *absolute(const char *path)
{
    char *dir = path[0] == '/' ? NULL : getcwd(NULL, 0), *text = NULL;
    if (!dir)
        return strdup(path);
    if (asprintf(&text, "%s/%s", dir, path) < 0)
        text = NULL;
    free(dir);
    return text;
}

int hx_renewal_new(struct hx_loop *l, const struct hx_tls_cfg *tls, const struct hx_renewal_cfg *cfg,
                   struct hx_renewal **ret, char why[HX_WHY_MAX])
{
    struct hx_renewal *r = calloc(1, sizeof *r);
    struct hx_tls t = {0};
    snprintf(why, HX_WHY_MAX, "%s", hx_err_text(HX_E_NOMEM));
    if (!r)
        return HX_E_NOMEM;
    const char *const from[FILES] = {tls->ca_file, tls->cert_file, tls->key_file};
    r->cfg = *cfg;
    r->cfg.look_ms = cfg->look_ms ? cfg->look_ms : LOOK_MS;
    r->loop = l;
    int err = hx_timer_new(l, on_timer, r, &r->timer);
    for (int i = 0; i < FILES && !err; i++)
        err = (r->path[i] = absolute(from[i])) ? 0 : HX_E_NOMEM;
    if (!err) {
        look_at(r, r->seen);
        const struct hx_tls_cfg c = files(r);
        err = hx_tls_load_own(&c, &t, &r->self, why);
    }
    if (!err)
        err = hand_out(r, &t); /* they were read by each for itself, perhaps in between */
    if (err) {
        hx_tls_fini(&t);
        hx_renewal_free(r);
        return err;
    }
    r->end_s = hx_tls_end(&t);
    hx_tls_fini(&t);
    hx_timer_set(r->timer, 0);
    *ret = r;
    return 0;
}

void hx_renewal_free(struct hx_renewal *r)
{
    if (!r)
        return;
    if (r->timer)
        hx_timer_free(r->timer);
    for (int i = 0; i < FILES; i++)
        free(r->path[i]);
    free(r);
}
