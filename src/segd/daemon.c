/*
 * daemon.c - carries out what a hx_node decides: one thread, one loop, real sockets, real files.
 *
 * Decides nothing itself.  An iteration of the loop:
 *   1 requests, answers of peers and the timer are given to the node as they arrive;
 *   2 the deferred batch: hx_node_flush (one flush per segment for all that has gathered), then hx_node_next until
 *     it is empty: answers go out, requests to peers are posted.
 *   B1 No answer leaves before the flush of its batch: only batch() calls hx_node_next, after hx_node_flush.
 *   B2 A token is the hx_request itself: the network layer keeps it until its one answer.
 * SIGHUP has the certificates read again.  SIGTERM ends the loop after a last batch: what has been taken in is durable;
 * an answer that is still in a buffer is lost, as in a crash, and asked for again.  kill -9 is as safe.
 * Threads: one.  Memory: one struct send per request to a peer that is under way, with a copy of its body.
 */
#include "segd.h"

#include "hexad/assert.h"
#include "hexad/net.h"
#include "hexad/node.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert((unsigned)HX_ROLE_SEGMENT == HX_NODE_ROLE_SEGMENT && (unsigned)HX_ROLE_WRITER == HX_NODE_ROLE_WRITER &&
                   (unsigned)HX_ROLE_ADMIN == HX_NODE_ROLE_ADMIN && (unsigned)HX_ROLE_READER == HX_NODE_ROLE_READER,
               "net.h and node.h name roles by the same bits");

#define NEWER "nothing was changed there: install that version again, or a newer one, and start the server"

struct segd {
    const struct hx_segmentd_conf *conf;
    struct hx_loop *loop;
    struct hx_datadir *data;
    struct hx_disk_farm *farm;
    struct hx_node *node;
    struct hx_client *client;
    struct hx_server_net *server;
    struct hx_renewal *renewal;
    struct hx_timer *timer;
    struct hx_defer *batch;
    struct send *sends; /* under way */
    char other_version[HX_NAME_MAX + 1]; /* who was last refused for his version */
    uint64_t failures, revived, read_only; /* of segments, as last logged */
};

/* A request to a peer. */
struct send {
    struct send *next, **link;
    struct segd *d;
    uint64_t call;
    struct hx_call *post;
    struct iovec iov;
    uint8_t body[];
};

static void send_free(struct send *s)
{
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    free(s);
}

static void peer_answered(void *ctx, int err, struct hx_bytes body)
{
    struct send *s = ctx;
    struct segd *d = s->d;
    if (err)
        hx_log(HX_LOG_DEBUG, "peer: %s: %s", hx_err_text(err), hx_client_why(d->client));
    hx_node_answer(d->node, hx_loop_now_ms(d->loop), s->call, err, body);
    send_free(s);
    hx_defer_call(d->batch);
}

static void send_to_peer(struct segd *d, const struct hx_node_effect *e)
{
    static const struct hx_bytes none;
    struct send *s = malloc(sizeof *s + e->body.len);
    int err = HX_E_NOMEM;
    if (s) {
        *s = (struct send){.next = d->sends, .link = &d->sends, .d = d, .call = e->call};
        memcpy(s->body, e->body.p, e->body.len);
        s->iov = (struct iovec){s->body, e->body.len};
        if (s->next)
            s->next->link = &s->next;
        d->sends = s;
        err = hx_client_post(d->client, e->url, e->name, &s->iov, 1, e->timeout_ms, peer_answered, s, &s->post);
        if (err)
            send_free(s);
    }
    if (err)
        hx_node_answer(d->node, hx_loop_now_ms(d->loop), e->call, err, none);
}

/* B1 */
static void batch(void *ctx)
{
    struct segd *d = ctx;
    struct hx_node_effect e;
    hx_node_flush(d->node);
    while (hx_node_next(d->node, &e) == 1) {
        if (e.kind == HX_NODE_REPLY)
            hx_request_reply((struct hx_request *)(uintptr_t)e.token, e.body); /* B2 */
        else
            send_to_peer(d, &e);
    }
}

/* The node refuses what it cannot read; the log says why, once for each who comes with it. */
static void tell_version(struct segd *d, const struct hx_peer *peer, struct hx_bytes body)
{
    int v = hx_msg_version_of(body);
    if (v < 0 || v == HX_MSG_VERSION || !strcmp(peer->name, d->other_version))
        return;
    memcpy(d->other_version, peer->name, sizeof d->other_version);
    hx_log(HX_LOG_WARN, "%s speaks protocol version %d, this server %u, and is refused: upgrade %s", peer->name, v,
           HX_MSG_VERSION, v > (int)HX_MSG_VERSION ? "this server" : "that program");
}

static void request(void *ctx, struct hx_request *r, uint64_t conn, const struct hx_peer *peer, struct hx_bytes body)
{
    struct segd *d = ctx;
    tell_version(d, peer, body);
    hx_node_request(d->node, hx_loop_now_ms(d->loop), hx_clock_wall_us(), (uint64_t)(uintptr_t)r, conn,
                    (unsigned)peer->role, peer->name, body);
    hx_defer_call(d->batch);
}

static void closed(void *ctx, uint64_t conn)
{
    struct segd *d = ctx;
    hx_node_closed(d->node, hx_loop_now_ms(d->loop), conn);
    hx_defer_call(d->batch);
}

/* An operator who reads the log should know when a disk began to fail, and that it works again. */
static void tell_disks(struct segd *d)
{
    struct hx_node_stats st;
    hx_node_stats(d->node, &st);
    if (st.failures != d->failures)
        hx_log(HX_LOG_ERR, "%llu segments stopped: their disk failed, or cannot be read; see hexad status",
               (unsigned long long)(st.failures - d->failures));
    if (st.revived != d->revived)
        hx_log(HX_LOG_NOTE, "%llu segments serve again", (unsigned long long)(st.revived - d->revived));
    if (st.read_only && !d->read_only)
        hx_log(HX_LOG_ERR, "the disk of %s is read-only: mount it for writing; if that needs an unmount, stop this "
               "server before, and start it again", d->conf->data);
    d->failures = st.failures;
    d->read_only = st.read_only;
    d->revived = st.revived;
}

static void tick(void *ctx)
{
    struct segd *d = ctx;
    tell_disks(d);
    hx_timer_set(d->timer, hx_node_tick(d->node, hx_loop_now_ms(d->loop)));
    hx_defer_call(d->batch);
}

static void certificates(void *ctx, enum hx_renewal_news news, const char *text)
{
    const struct segd *d = ctx;
    if (news == HX_RENEWAL_TAKEN)
        hx_log(HX_LOG_NOTE, "new connections use %s as it is now", text);
    else if (news == HX_RENEWAL_REFUSED)
        hx_log(HX_LOG_ERR, "the certificates were changed, and cannot be used: %s; those of before stay in use: "
               "mend the "
               "files (hexad cert show FILE, hexad-segmentd -c %s --check-config)", text, d->conf->path);
    else
        hx_log(HX_LOG_WARN, "%s: hexad cert renew", text);
}

static void reload(void *ctx)
{
    const struct segd *d = ctx;
    hx_renewal_look(d->renewal);
}

static void stop(void *ctx)
{
    struct segd *d = ctx;
    hx_notify("STOPPING=1");
    hx_loop_stop(d->loop);
}

/* A store that a newer program has written is left as it is: serving the rest of it would write beside what we cannot
 * read. */
static int check_versions(const struct segd *d)
{
    for (size_t i = 0; i < hx_node_places(d->node); i++) {
        struct hx_segment_look l;
        char hex[33], why[HX_WHY_MAX];
        hx_node_look_at(d->node, i, &l);
        if (l.error != HX_E_VERSION)
            continue;
        hx_uuid_format(&l.at.volume, hex);
        snprintf(why, sizeof why, "%.120s/segments/%s-%u was written by a newer version of hexad", d->conf->data, hex,
                 l.at.pg);
        hx_complain(HX_E_VERSION, "cannot open the segments", why, NEWER);
        return HX_E_VERSION;
    }
    return 0;
}

static int open_store(struct segd *d)
{
    char why[HX_WHY_MAX];
    const struct hx_segmentd_conf *c = d->conf;
    int err = hx_datadir_open(c->data, c->name, c->zone, &d->data, why);
    if (err) {
        const char *hint = err == HX_E_STRANGER ? "set [server] name and zone, or data, to what belongs together"
                           : err == HX_E_EXIST  ? "give the server a directory of its own: [server] data"
                           : err == HX_E_NOENT  ? "make the directory above it, or change [server] data"
                           : err == HX_E_VERSION ? NEWER
                                                : NULL;
        hx_complain(err, "cannot use the data directory", why, hint);
        return err;
    }
    err = hx_farm_new(d->data, c->files_max, &d->farm);
    const struct hx_node_cfg cfg = {
        .name = c->name,
        .zone = c->zone,
        .incarnation = *hx_datadir_incarnation(d->data),
        .farm = d->farm,
        .gossip_ms = c->gossip_ms,
        .log_file_bytes = c->log_file_bytes,
        .scrub_cycle_s = c->scrub_cycle_s,
        .scrub_bytes_per_s = c->scrub_bytes_per_s,
        .repair_bytes_per_s = c->repair_bytes_per_s,
        .seed = hx_random_u64(),
    };
    if (!err)
        err = hx_node_new(&cfg, hx_loop_now_ms(d->loop), &d->node);
    if (err)
        hx_complain(err, "cannot open the segments", c->data, NULL);
    return err ? err : check_versions(d);
}

/* The certificate that others will see must carry our name, or every client refuses us. */
static int check_identity(const struct segd *d)
{
    char text[2048], want[HX_NAME_MAX + 32], why[HX_WHY_MAX];
    int err = hx_cert_show(d->conf->cert, text, sizeof text);
    snprintf(want, sizeof want, "hexad://segment/%s", d->conf->name);
    const char *at = err ? NULL : strstr(text, want);
    if (err || (at && strcspn(at, " \t\n,") == strlen(want)))
        return err;
    snprintf(why, sizeof why, "%.120s is not for %.80s", d->conf->cert, want);
    hx_complain(HX_E_ROLE, "cannot start", why, "hexad cert show FILE; make one with hexad cert create-server");
    return HX_E_ROLE;
}

static int open_network(struct segd *d)
{
    char why[HX_WHY_MAX] = "";
    const struct hx_segmentd_conf *c = d->conf;
    const struct hx_tls_cfg tls = {c->ca, c->cert, c->key};
    const struct hx_server_cfg cfg = {
        .listen = c->listen,
        .tls = tls,
        .body_max = HX_MSG_BODY_MAX + HX_MSG_HEAD,
        .idle_ms = c->idle_ms,
        .connections_max = c->connections_max,
        .request = request,
        .closed = closed,
        .ctx = d,
    };
    int err = hx_client_new(d->loop, &tls, &d->client, why);
    if (err) {
        hx_complain(err, "cannot start", why, NULL);
        return err;
    }
    err = hx_server_net_new(d->loop, &cfg, &d->server, why);
    if (err == HX_E_BUSY || err == HX_E_ACCES || err == HX_E_IO || err == HX_E_INVAL) /* of bind and listen */
        err = HX_E_ADDRESS;
    const struct hx_renewal_cfg renewal = {.client = d->client, .server = d->server, .tell = certificates, .ctx = d};
    if (!err)
        err = hx_renewal_new(d->loop, &tls, &renewal, &d->renewal, why);
    if (!err)
        err = hx_loop_on_signal(d->loop, SIGHUP, reload, d);
    if (err)
        hx_complain(err, "cannot start", why, NULL);
    return err;
}

static int open_loop(struct segd *d)
{
    int err = hx_loop_new(&d->loop);
    if (!err)
        err = hx_timer_new(d->loop, tick, d, &d->timer);
    if (!err)
        err = hx_defer_new(d->loop, batch, d, &d->batch);
    static const int ends[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < HX_ARRAY_LEN(ends) && !err; i++)
        err = hx_loop_on_signal(d->loop, ends[i], stop, d);
    if (err)
        hx_complain(err, "cannot start", NULL, NULL);
    return err;
}

/* The address with the port that was really taken. */
static void announce(struct segd *d, int ready_fd)
{
    struct hx_node_stats stats;
    const char *colon = strrchr(d->conf->listen, ':');
    int host = (int)(colon - d->conf->listen), port = hx_server_net_port(d->server);
    hx_node_stats(d->node, &stats);
    hx_log(HX_LOG_NOTE, "%s (%s) listens on %.*s:%d, %llu segments", d->conf->name, d->conf->zone, host,
           d->conf->listen, port, (unsigned long long)stats.segments);
    hx_notify("READY=1\nSTATUS=%s (%s) listens on %.*s:%d, %llu segments", d->conf->name, d->conf->zone, host,
              d->conf->listen, port, (unsigned long long)stats.segments);
    if (ready_fd < 0)
        return;
    char text[16];
    int n = snprintf(text, sizeof text, "%d\n", port);
    (void)hx_fd_write_all(ready_fd, text, (size_t)n);
    close(ready_fd);
}

static void close_all(struct segd *d)
{
    hx_renewal_free(d->renewal);
    hx_server_net_free(d->server);
    hx_client_free(d->client); /* no completions from here on */
    while (d->sends)
        send_free(d->sends);
    hx_node_free(d->node);
    hx_farm_free(d->farm);
    hx_datadir_close(d->data);
    hx_defer_free(d->batch);
    hx_timer_free(d->timer);
    hx_loop_free(d->loop);
}

int segd_run(const struct segd_start *start)
{
    struct segd d = {.conf = start->conf};
    char why[HX_WHY_MAX] = "";
    const struct hx_tls_cfg tls = {d.conf->ca, d.conf->cert, d.conf->key};
    int err = hx_tls_check(&tls, why);
    if (err)
        hx_complain(err, "cannot start", why, NULL);
    if (!err)
        err = check_identity(&d);
    if (!err)
        err = open_loop(&d);
    if (!err)
        err = open_store(&d);
    if (!err)
        err = open_network(&d);
    if (!err) {
        announce(&d, start->ready_fd);
        tick(&d);
        err = hx_loop_run(d.loop);
        batch(&d);
        hx_log(HX_LOG_INFO, "%s ends%s%s", d.conf->name, err ? ": " : "", err ? hx_err_text(err) : "");
    }
    close_all(&d);
    return hx_exit_code(err);
}
