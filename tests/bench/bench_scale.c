/*
 * bench_scale.c - a client of one volume that writes one page in each of very many groups, or opens and looks at it.
 *
 *   bench_scale fill CONF VOLUME GROUPS   opens; grows to GROUPS, writes the first page of each new group, durably
 *   bench_scale open CONF VOLUME GROUPS   opens; reads the page of 64 groups, spread over all, and compares
 * Then it says what that cost, as a line of JSON, and kills itself: nothing is closed in order.  `tests/bench/scale.py`
 * runs it on six servers.  Uses the volume client (hexad/vol.h) as the mount does, without a filesystem on it.
 */
#include "bench.h"
#include "hexad/vol.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#define LOOKS 64u

struct job {
    struct hx_op op;
    struct hx_loop *loop;
    struct hx_vol *vol;
    bool fill;
    uint32_t groups, next, have, looked; /* next: group whose page comes next; have: groups that there were */
    uint64_t start_ns, open_ns;
};

static struct job job;

static void noop(void *ctx)
{
    (void)ctx;
}

static void say(void *ctx, const char *text)
{
    (void)ctx;
    if (text[0])
        fprintf(stderr, "waits: %s\n", text);
}

static void content(uint32_t group, uint8_t *page)
{
    for (size_t i = 0; i < HX_PAGE_SIZE; i += 4)
        memcpy(page + i, &(uint32_t){group * 2654435761u + (uint32_t)(i < 64 ? i : 0)}, 4);
}

static void finish(void)
{
    struct rusage u;
    uint64_t now = now_ns();
    getrusage(RUSAGE_SELF, &u);
    double open_s = (double)(job.open_ns - job.start_ns) / 1e9, work_s = (double)(now - job.open_ns) / 1e9;
    printf("{\"groups\": %u, \"had\": %u, \"open_s\": %.3f, \"work_s\": %.3f, \"rss_kib\": %ld, \"cpu_s\": %.2f}\n",
           job.next, job.have, open_s, work_s, u.ru_maxrss,
           (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
    fflush(stdout);
    kill(getpid(), SIGKILL);
}

static uint64_t group_pages(void)
{
    return hx_geometry_pg_pages(hx_writer_geometry(hx_session_writer(hx_vol_session(job.vol))));
}

static int fill_one(struct hx_pager *p)
{
    uint64_t page = job.next * group_pages();
    uint8_t *data;
    struct hx_lsn lsn;
    if (page >= hx_pager_pages(p))
        return HX_E_GROW;
    int err = hx_pager_begin(p);
    if (err)
        return err;
    err = hx_pager_edit(p, HX_PAGE(page), HX_EDIT_WHOLE, &data);
    if (err) {
        hx_pager_abort(p);
        return err;
    }
    content(job.next, data);
    err = hx_pager_commit(p, &lsn);
    job.next += err == 0;
    return err;
}

static int look_at_one(struct hx_pager *p)
{
    uint32_t group = (uint32_t)((uint64_t)job.looked * job.groups / LOOKS);
    uint8_t want[HX_PAGE_SIZE];
    const uint8_t *data;
    int err = hx_pager_get(p, HX_PAGE(group * group_pages()), &data);
    if (err)
        return err;
    content(group, want);
    if (memcmp(data, want, sizeof want) != 0)
        die("group %u: its page is not what was written", group);
    job.looked++;
    return 0;
}

static int run(struct hx_op *op)
{
    struct hx_pager *p = hx_vol_pager(job.vol);
    int err = 0;
    while (!err && (job.fill ? job.next < job.groups : job.looked < LOOKS))
        err = job.fill ? fill_one(p) : look_at_one(p);
    return err ? err : hx_vol_when_durable(job.vol, op);
}

static void durable(struct hx_op *op)
{
    (void)op;
    if (!job.fill)
        job.next = job.groups;
    finish();
}

static void fail(struct hx_op *op, int err)
{
    (void)op;
    die("HX%04d %s, after %u groups", hx_err_info(err)->code, hx_err_text(err), job.next);
}

static struct hx_op *keep(struct hx_op *op)
{
    return op;
}

static const struct hx_op_calls calls = {.run = run, .durable = durable, .fail = fail, .keep = keep};

static void again(void *ctx, struct hx_parked *op)
{
    (void)ctx;
    hx_vol_again(job.vol, op);
}

static void state(void *ctx, enum hx_vol_state now)
{
    (void)ctx;
    if (now == HX_VOL_FAILED)
        die("cannot open: %s", hx_vol_why(job.vol));
    if (now != HX_VOL_OPEN)
        return;
    job.open_ns = now_ns();
    job.have = hx_writer_geometry(hx_session_writer(hx_vol_session(job.vol)))->pg_count;
    job.next = job.have > 1 ? job.have : 0; /* a new volume's first group has no page yet, either */
    job.op = (struct hx_op){.calls = &calls, .changes = job.fill};
    hx_vol_start(job.vol, &job.op);
    hx_vol_kick(job.vol);
}

int main(int argc, char **argv)
{
    struct hx_client_conf conf;
    char why[HX_WHY_MAX];
    if (argc != 5)
        die("usage: bench_scale fill|open CONF VOLUME GROUPS");
    job.fill = strcmp(argv[1], "fill") == 0;
    job.groups = (uint32_t)strtoul(argv[4], NULL, 10);
    if (hx_client_conf_load(argv[2], &conf, why) || hx_loop_new(&job.loop))
        die("%s", why);
    struct hx_vol_cfg cfg = {.loop = job.loop, .conf = &conf, .name = argv[3], .where = "bench", .takeover = true,
                             .state = state, .waiting = say, .run = again, .idle = noop};
    job.start_ns = now_ns();
    if (hx_vol_open(&cfg, &job.vol, why))
        die("%s", why);
    hx_loop_run(job.loop);
    return 1;
}
