/*
 * request.c - a request as an operation (hexad/op.h): what is copied of it when it must wait, and how it is answered.
 *
 * Does not know what requests mean (ops_*.c), nor what they wait for and when they run again (hexad/op.h).
 *
 * Invariants:
 *   R1 a request is answered exactly once: by run, by durable, or by answer_error (O1).  One that is held outside is
 *      started when it is resumed, unless a signal has ended it before.
 *   R2 a request that waits has changed nothing, or (durable) is committed and only its answer waits (O2).
 *   R4 a change, or a wait for durability, ends with ENOSPC when it has waited HX_FUSE_FULL_MS and full disks are why:
 *      what was committed stays so, and becomes durable when there is room; whoever asks again is told the truth again.
 *   R3 the bytes of parked requests in memory are bounded: above HX_FUSE_PARKED_MAX what writes bring goes to a file
 *      (spill.c), so that reads go on; where that has no room, the device is not read until some are done.
 *
 * Signals: the kernel tells us of any signal, once; must_end says which ones end the wait (EINTR).
 * An interrupt that comes late finds its request gone: libfuse drops it.  Memory: a parked request owns copies of its
 * names and data in one block with itself, or its data in the spill.
 */
#include "fuse_private.h"

#include "hexad/assert.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

struct hx_mount *hx_mount_of(fuse_req_t fr)
{
    return fuse_req_userdata(fr);
}

struct hx_req hx_req_of(fuse_req_t fr, uint64_t ino, int (*run)(struct hx_req *r))
{
    const struct fuse_ctx *ctx = fuse_req_ctx(fr);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (struct hx_req){
        .op.calls = &hx_req_calls,
        .m = hx_mount_of(fr),
        .fr = fr,
        .run = run,
        .ino = ino,
        .who = {.uid = ctx->uid,
                .gid = ctx->gid,
                .now = {now.tv_sec, (uint32_t)now.tv_nsec},
                .umask = ctx->umask},
    };
}

/* Is the caller in group GID?  Nearly nobody asks: only changes of set-gid files. */
static bool in_group(const struct hx_req *r, uint32_t gid)
{
    gid_t groups[256];
    int n = fuse_req_getgroups(r->fr, (int)HX_ARRAY_LEN(groups), groups);
    if (n > (int)HX_ARRAY_LEN(groups))
        n = (int)HX_ARRAY_LEN(groups);
    for (int i = 0; i < n; i++)
        if (groups[i] == gid)
            return true;
    return r->who.gid == gid;
}

bool hx_req_stranger(struct hx_req *r)
{
    struct hx_fs_attr a;
    if (r->who.uid == 0 || hx_fs_getattr(r->m->fs, r->ino, &a))
        return false; /* an inode that cannot be read is not changed either */
    return a.mode & S_ISGID && !in_group(r, a.gid);
}

/* ---- answers ---- */
int hx_req_errno(const struct hx_req *r, int err)
{
    switch (err) {
    case HX_E_FENCED:
        return r->op.changes || r->durable ? EROFS : EIO;
    case HX_E_EOF:
        return ENXIO; /* hx_fs_seek */
    case HX_E_TIMEOUT: /* soft: if there is a reason that can be named, it is */
        return (r->op.changes || r->durable) && hx_vol_full(r->m->vol) ? ENOSPC : EIO;
    default:
        return hx_err_errno(err);
    }
}

static struct hx_req *req_of(struct hx_op *op)
{
    return HX_CONTAINER_OF(op, struct hx_req, op);
}

static void answer_error(struct hx_op *op, int err)
{
    struct hx_req *r = req_of(op);
    if (err == HX_E_CORRUPT || err == HX_E_BADMSG)
        hx_log_every(1000, HX_LOG_ERR, "inode %llu: HX%04d %s: answered with EIO", (unsigned long long)r->ino,
                     hx_err_info(err)->code, hx_err_text(err));
    if (r->write_back && !r->durable) {
        hx_note_inode(r->m->note, r->ino, r->off, r->len);
        for (struct hx_file *f = r->m->files; f; f = f->next)
            if (f->ino == r->ino)
                f->lost = hx_req_errno(r, err); /* the kernel tells fsync itself, but only one close */
    }
    if (r->fr)
        fuse_reply_err(r->fr, hx_req_errno(r, err));
    else
        r->failed(r->m, err);
}

/* ---- keeping ---- */
static void drop_signalled(struct hx_req *r)
{
    for (struct hx_req **at = &r->m->signalled; *at; at = &(*at)->next_signalled)
        if (*at == r) {
            *at = r->next_signalled;
            return;
        }
}

static void let_go(struct hx_op *op)
{
    struct hx_req *r = req_of(op);
    if (!r->heap)
        return;
    struct hx_mount *m = r->m;
    *(r->kept_prev ? &r->kept_prev->kept_next : &m->kept) = r->kept_next;
    if (r->kept_next)
        r->kept_next->kept_prev = r->kept_prev;
    if (r->interrupted)
        drop_signalled(r);
    bool was_full = m->parked_bytes > HX_FUSE_PARKED_MAX;
    m->parked_bytes -= r->kept_bytes;
    if (r->spilled)
        hx_spill_drop(&m->spill, r->spilled, r->spilled_len, r->spilled_at);
    if (was_full && m->parked_bytes <= HX_FUSE_PARKED_MAX)
        hx_device_watch(m, true);
    free(r);
}

/*
 * Must the wait end?  A deadly signal: yes, as on a local disk (the kernel turns every one into SIGKILL).  One
 * that asks a program to stop, and that it handles itself: only while the quorum is missing, because programs
 * do not expect EINTR from a disk (a database may panic), but someone at a keyboard wants to get out.  Others
 * (timers, children): no.
 */
static bool must_end(const struct hx_req *r)
{
    const unsigned long long deadly = 1ull << (SIGKILL - 1);
    const unsigned long long asking =
        1ull << (SIGINT - 1) | 1ull << (SIGQUIT - 1) | 1ull << (SIGTERM - 1) | 1ull << (SIGHUP - 1);
    char path[64], line[256];
    pid_t pid = fuse_req_ctx(r->fr)->pid;
    if (pid <= 0)
        return true; /* another pid namespace: cannot be told */
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return true;
    unsigned long long pending = 0, blocked = 0, mask = 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "SigPnd: %llx", &mask) == 1 || sscanf(line, "ShdPnd: %llx", &mask) == 1)
            pending |= mask;
        else if (sscanf(line, "SigBlk: %llx", &mask) == 1)
            blocked = mask;
    fclose(f);
    pending &= ~blocked | deadly;
    return pending & (hx_vol_waiting(r->m->vol)[0] ? deadly | asking : deadly);
}

static void interrupted(fuse_req_t fr, void *data)
{
    struct hx_req *r = data;
    (void)fr;
    if (r->interrupted)
        return;
    r->interrupted = true;
    r->next_signalled = r->m->signalled;
    r->m->signalled = r;
    hx_timer_set(r->m->signal_timer, 0); /* not here: libfuse holds a lock */
}

static bool waits(const struct hx_req *r)
{
    return r->op.park.place != HX_PARK_NONE && r->op.park.place != HX_PARK_READY;
}

void hx_req_signals(void *ctx)
{
    struct hx_mount *m = ctx;
    bool more = false;
    for (struct hx_req *r = m->signalled, *next; r; r = next) {
        next = r->next_signalled;
        if (r->outside && must_end(r)) {
            answer_error(&r->op, HX_E_CANCELED);
            r->fr = NULL; /* it goes when it is resumed */
            drop_signalled(r);
        } else if (waits(r) && must_end(r)) {
            hx_vol_cancel(m->vol, &r->op.park, HX_E_CANCELED);
        } else {
            more = true; /* also one that is about to run: it may wait again, and nobody tells us twice */
        }
    }
    if (more)
        hx_timer_set(m->signal_timer, HX_FUSE_SIGNAL_MS);
}

void hx_req_full(void *ctx)
{
    struct hx_mount *m = ctx;
    uint64_t now = hx_loop_now_ms(m->loop);
    bool full = hx_vol_full(m->vol);
    for (struct hx_req *r = m->kept, *next; r; r = next) {
        next = r->kept_next;
        if (full && r->fr && (r->op.changes || r->durable) && waits(r) && now - r->kept_ms >= HX_FUSE_FULL_MS) /* R4 */
            hx_vol_cancel(m->vol, &r->op.park, HX_E_NOSPACE);
    }
    if (m->kept)
        hx_timer_set(m->full_timer, HX_FUSE_SIGNAL_MS);
}

static size_t name_bytes(const char *name)
{
    return name ? strlen(name) + 1 : 0;
}

/* A copy that may wait: everything borrowed from libfuse's buffer is copied behind it. */
static struct hx_op *keep(struct hx_op *op)
{
    struct hx_req *r = req_of(op);
    if (r->heap)
        return op;
    size_t n1 = name_bytes(r->name), n2 = name_bytes(r->name2), bytes = sizeof(*r) + n1 + n2;
    if (r->m->parked_bytes + r->data_len > HX_FUSE_PARKED_MAX) /* R3 */
        r->spilled = hx_spill_keep(&r->m->spill, r->data, r->data_len, &r->spilled_at);
    size_t own = r->spilled ? 0 : r->data_len;
    struct hx_req *k = malloc(bytes += own);
    if (!k) {
        if (r->spilled)
            hx_spill_drop(&r->m->spill, r->spilled, r->data_len, r->spilled_at);
        return NULL;
    }
    *k = *r;
    k->spilled_len = r->data_len;
    char *p = (char *)(k + 1);
    if (r->data_len)
        k->data = r->spilled ? r->spilled : memcpy(p, r->data, r->data_len);
    p += own;
    if (r->name)
        k->name = memcpy(p, r->name, n1);
    p += n1;
    if (r->name2)
        k->name2 = memcpy(p, r->name2, n2);
    k->heap = true;
    k->kept_ms = hx_loop_now_ms(k->m->loop);
    k->kept_next = k->m->kept;
    if (k->kept_next)
        k->kept_next->kept_prev = k;
    else
        hx_timer_set(k->m->full_timer, HX_FUSE_SIGNAL_MS);
    k->m->kept = k;
    k->kept_bytes = bytes;
    k->m->parked_bytes += bytes;
    if (k->m->parked_bytes > HX_FUSE_PARKED_MAX)
        hx_device_watch(k->m, false); /* R3 */
    if (k->fr)
        fuse_req_interrupt_func(k->fr, interrupted, k);
    return &k->op;
}

/* ---- running ---- */
static int run(struct hx_op *op)
{
    struct hx_req *r = req_of(op);
    if (r->m->fs)
        hx_fs_room(r->m->fs, hx_vol_level(r->m->vol));
    return r->run(r);
}

static void answer_durable(struct hx_op *op)
{
    struct hx_req *r = req_of(op);
    r->durable(r);
}

/* Space of deleted files comes before growth, and before ENOSPC (hexad/fs.h). */
static int reclaim(struct hx_op *op)
{
    struct hx_mount *m = req_of(op)->m;
    if (m->fs && hx_fs_has_work(m->fs))
        return hx_fs_reap(m->fs);
    return m->fs && hx_end_reopen(m);
}

const struct hx_op_calls hx_req_calls = {run, answer_durable, answer_error, keep, let_go, reclaim};

void hx_req_start(struct hx_req *r)
{
    hx_vol_start(r->m->vol, &r->op);
}

struct hx_req *hx_req_hold(struct hx_req *r)
{
    struct hx_op *op = keep(&r->op);
    if (!op)
        return NULL;
    req_of(op)->outside = true;
    return req_of(op);
}

void hx_req_resume(struct hx_req *r)
{
    r->outside = false;
    if (r->fr)
        hx_vol_start(r->m->vol, &r->op);
    else
        let_go(&r->op);
}

int hx_req_when_durable(struct hx_req *r, void (*durable)(struct hx_req *r))
{
    r->durable = durable;
    return hx_vol_when_durable(r->m->vol, &r->op);
}

void hx_req_again(void *ctx, struct hx_parked *op)
{
    struct hx_mount *m = ctx;
    hx_vol_again(m->vol, op);
}
