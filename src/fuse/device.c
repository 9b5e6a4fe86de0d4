/*
 * device.c - the FUSE session: mounts, takes requests from the device when the loop says that there are any.
 *
 * Own loop instead of libfuse's: device, sockets and timers are watched by one event loop in one thread, so a lone
 * commit passes no thread on its way.  At most HX_FUSE_BATCH requests in a row, then the rest of the loop.
 *
 * What is asked of the kernel, and why:
 *   long timeouts          all changes come through this mount, so names and attributes cannot go stale
 *   keep_cache, no AUTO_INVAL_DATA, EXPLICIT_INVAL_DATA   the same for bytes; strictatime: an open begins without
 *                          bytes, targets and listings are not kept, so that what is read after it is heard of
 *   no WRITEBACK_CACHE     a write is in the log when write(2) returns; so fsync means what I7 says
 *   no POSIX/FLOCK locks   the kernel's own are exact on one mount
 *   HANDLE_KILLPRIV_V2     (wire.c) set-id bits and security.capability go with the change itself, and the kernel asks
 *                          for the latter when it meets an inode, not before each write
 *   POSIX_ACL, DONT_MASK   the kernel decides by ACLs, and leaves the umask to us: a default ACL takes its place
 *   EXPORT_SUPPORT         handles of files (open_by_handle_at) work also when the kernel has forgotten the inode
 *   ATOMIC_O_TRUNC, PARALLEL_DIROPS, ASYNC_READ, ASYNC_DIO, CACHE_SYMLINKS, NO_OPENDIR_SUPPORT, READDIRPLUS(_AUTO)
 *
 * Memory: one buffer of a little over 1 MiB.
 */
#include "fuse_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* From this version of the protocol on (Linux 6.16) a page that is being written back is waited for like any other
 * filesystem's; before, the kernel gave it back as soon as it had a copy of it in its queue. */
#define KERNEL_WAITS 43

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    const unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS |
                            FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA |
                            FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK | FUSE_CAP_EXPORT_SUPPORT |
                            FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO;
    struct hx_mount *m = userdata;
    conn->want = wanted & conn->capable;
    if (m->opts->strictatime)
        conn->want &= ~(unsigned)FUSE_CAP_CACHE_SYMLINKS;
    conn->max_write = HX_FUSE_IO_MAX;
    conn->max_read = HX_FUSE_IO_MAX;
    conn->max_readahead = HX_FUSE_IO_MAX;
    conn->max_background = HX_FUSE_BACKGROUND;
    conn->congestion_threshold = HX_FUSE_BACKGROUND * 3 / 4;
    m->answered = true;
    m->flushes = conn->proto_minor >= KERNEL_WAITS;
}

/* The kernel takes max_readahead as an upper bound of its own, smaller default; root may raise that.  Measured:
 * twice the default reads a file half as fast again; more does not help, and a fault in a mapping reads this much
 * around it. */
static void raise_readahead(const struct hx_place *place)
{
    char path[80];
    snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", place->major, place->minor);
    FILE *f = fopen(path, "we");
    if (!f)
        return; /* not root: the default it is */
    fprintf(f, "%u\n", HX_FUSE_READAHEAD_KIB);
    fclose(f);
}

static int make_session(struct hx_mount *m)
{
    struct fuse_lowlevel_ops ops = {.init = op_init};
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    hx_ops_name(&ops);
    hx_ops_inode(&ops);
    hx_ops_data(&ops);
    hx_ops_dir(&ops);
    hx_ops_xattr(&ops);
    int bad = fuse_opt_add_arg(&args, "hexad") || fuse_opt_add_arg(&args, "-o") ||
              fuse_opt_add_arg(&args, m->opts->fuse_opts);
    if (!bad && m->opts->debug)
        bad = fuse_opt_add_arg(&args, "-d");
    m->se = bad ? NULL : fuse_session_new(&args, &ops, sizeof ops, m);
    fuse_opt_free_args(&args);
    return m->se ? 0 : HX_E_FUSE;
}

static void gone(struct hx_mount *m)
{
    if (m->gone)
        return;
    m->gone = true;
    hx_device_watch(m, false);
    hx_mount_stop(m, 0);
}

static void ready(void *ctx)
{
    struct hx_mount *m = ctx;
    bool first = !m->answered;
    for (unsigned i = 0; i < HX_FUSE_BATCH && m->watch; i++) {
        int n = fuse_session_receive_buf(m->se, &m->buf);
        if (n == -EAGAIN || n == -EINTR)
            break;
        if (n <= 0) {
            gone(m);
            break;
        }
        m->requests++;
        hx_wire_look(&m->wire, &m->buf);
        fuse_session_process_buf(m->se, &m->buf);
    }
    if (first && m->answered)
        hx_mount_answered(m);
    hx_vol_kick(m->vol);
}

void hx_device_watch(struct hx_mount *m, bool on)
{
    if (on && !m->watch && !m->gone) {
        if (hx_watch_new(m->loop, fuse_session_fd(m->se), ready, m, &m->watch))
            hx_log(HX_LOG_ERR, "cannot watch the FUSE device");
    } else if (!on && m->watch) {
        hx_watch_free(m->watch);
        m->watch = NULL;
    }
}

int hx_device_mount(struct hx_mount *m)
{
    struct hx_place place;
    int err = make_session(m);
    if (err)
        return err;
    if (fuse_session_mount(m->se, m->opts->dir))
        return HX_E_FUSE;
    m->mounted = true;
    err = hx_wire_take(m->se);
    if (err)
        return err;
    int fd = fuse_session_fd(m->se);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return HX_E_FUSE;
    err = hx_note_new(m->loop, m->se, &m->note);
    if (err == 0)
        err = hx_place_find(m->opts->dir, &place);
    if (err)
        return err;
    raise_readahead(&place);
    err = hx_runfile_hold(&m->run, &place);
    if (err)
        hx_log(HX_LOG_WARN, "no run file: hexad umount will not be able to wait for this process");
    hx_device_watch(m, true);
    return m->watch ? 0 : HX_E_IO;
}

/* What the kernel is being told may wait for answers of ours: by now they are errors. */
static void serve_note(struct hx_mount *m)
{
    while (hx_note_ending(m->note)) {
        struct pollfd p = {.fd = fuse_session_fd(m->se), .events = POLLIN};
        (void)poll(&p, 1, HX_FUSE_NOTE_MS);
        int n = fuse_session_receive_buf(m->se, &m->buf);
        if (n > 0)
            fuse_session_process_buf(m->se, &m->buf);
        else if (n != -EAGAIN && n != -EINTR)
            break; /* the kernel's side has gone: nothing there waits any more */
    }
}

/* Whoever still waits was answered (hx_vol_abandon) or has gone with the kernel's side. */
void hx_device_end(struct hx_mount *m)
{
    hx_device_watch(m, false);
    if (!m->se)
        return;
    if (m->note)
        serve_note(m);
    hx_note_free(m->note);
    m->note = NULL;
    if (m->mounted)
        fuse_session_unmount(m->se); /* closes the device; detaches what is still mounted */
    while (m->files)
        hx_file_free(m, m->files);
    fuse_session_destroy(m->se);
    m->se = NULL;
    free(m->buf.mem);
    m->buf.mem = NULL;
}
