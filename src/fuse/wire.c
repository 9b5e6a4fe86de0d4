/*
 * wire.c - what the kernel says and this version of libfuse does not pass on, taken from the bytes of requests.
 *
 *   HANDLE_KILLPRIV_V2  set in the answer to INIT.  With it the kernel remembers of an inode that it has neither set-id
 *                       bits nor security.capability, and asks for the latter once, not before each write; and it says
 *                       with a change whether its caller may keep set-id bits (a capability that only it can see)
 *   TMPFILE             has the form of CREATE, of which the name means nothing: libfuse gets it as one
 * It counts requests by kind, too (.hexad/metrics): which ones a program's call costs is what makes it slow or quick.
 *
 * hx_wire_look reads a request before libfuse does; what it finds is true until the next one is read: whoever handles
 * the request copies it.  A newer libfuse that sets the flag itself is not in the way.  Nothing is written to a
 * request but the number of its operation.  Memory: none.
 */
#include "fuse_private.h"

#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

const char *const hx_wire_kinds[HX_WIRE_KINDS] = {
    [FUSE_LOOKUP] = "lookup",         [FUSE_FORGET] = "forget",
    [FUSE_GETATTR] = "getattr",       [FUSE_SETATTR] = "setattr",
    [FUSE_READLINK] = "readlink",     [FUSE_SYMLINK] = "symlink",
    [FUSE_MKNOD] = "mknod",           [FUSE_MKDIR] = "mkdir",
    [FUSE_UNLINK] = "unlink",         [FUSE_RMDIR] = "rmdir",
    [FUSE_RENAME] = "rename",         [FUSE_LINK] = "link",
    [FUSE_OPEN] = "open",             [FUSE_READ] = "read",
    [FUSE_WRITE] = "write",           [FUSE_SYNCFS] = "syncfs",
    [FUSE_RELEASE] = "release",       [FUSE_FSYNC] = "fsync",
    [FUSE_SETXATTR] = "setxattr",     [FUSE_GETXATTR] = "getxattr",
    [FUSE_LISTXATTR] = "listxattr",   [FUSE_REMOVEXATTR] = "removexattr",
    [FUSE_FLUSH] = "flush",           [FUSE_INIT] = "init",
    [FUSE_OPENDIR] = "opendir",       [FUSE_READDIR] = "readdir",
    [FUSE_RELEASEDIR] = "releasedir", [FUSE_FSYNCDIR] = "fsyncdir",
    [FUSE_ACCESS] = "access",         [FUSE_CREATE] = "create",
    [FUSE_INTERRUPT] = "interrupt",   [FUSE_DESTROY] = "destroy",
    [FUSE_IOCTL] = "ioctl",           [FUSE_BATCH_FORGET] = "batch_forget",
    [FUSE_FALLOCATE] = "fallocate",   [FUSE_READDIRPLUS] = "readdirplus",
    [FUSE_RENAME2] = "rename2",       [FUSE_LSEEK] = "lseek",
    [FUSE_COPY_FILE_RANGE] = "copy_file_range", [FUSE_TMPFILE] = "tmpfile",
    [FUSE_STATFS] = "statfs",
};

/* The argument behind the header, if all of it is there. */
static const void *argument(const struct fuse_buf *b, size_t size)
{
    const size_t head = sizeof(struct fuse_in_header);
    return b->size >= head + size ? (const char *)b->mem + head : NULL;
}

static bool kills(const struct fuse_buf *b, uint32_t opcode)
{
    switch (opcode) {
    case FUSE_WRITE: {
        const struct fuse_write_in *in = argument(b, sizeof *in);
        return in && in->write_flags & FUSE_WRITE_KILL_SUIDGID;
    }
    case FUSE_SETATTR: {
        const struct fuse_setattr_in *in = argument(b, sizeof *in);
        /* Nothing to set: chown to the present owner and group, or what comes before a change that takes them. */
        return in && (in->valid & FATTR_KILL_SUIDGID || !(in->valid & ~(unsigned)(FATTR_FH | FATTR_LOCKOWNER)));
    }
    case FUSE_OPEN: {
        const struct fuse_open_in *in = argument(b, sizeof *in);
        return in && in->open_flags & FUSE_OPEN_KILL_SUIDGID;
    }
    case FUSE_CREATE: {
        const struct fuse_create_in *in = argument(b, sizeof *in);
        return in && in->open_flags & FUSE_OPEN_KILL_SUIDGID;
    }
    default:
        return false;
    }
}

void hx_wire_look(struct hx_wire *w, struct fuse_buf *b)
{
    w->kills = w->tmpfile = false;
    if (b->flags & FUSE_BUF_IS_FD || !argument(b, 0))
        return;
    struct fuse_in_header *h = b->mem;
    if (h->opcode < HX_WIRE_KINDS)
        w->counts[h->opcode]++;
    if (h->opcode == FUSE_INIT) {
        const struct fuse_init_in *in = argument(b, offsetof(struct fuse_init_in, flags) + sizeof in->flags);
        w->init_unique = in && in->flags & FUSE_HANDLE_KILLPRIV_V2 ? h->unique : 0;
    } else if (h->opcode == FUSE_TMPFILE) {
        h->opcode = FUSE_CREATE;
        w->tmpfile = true;
    }
    w->kills = kills(b, h->opcode);
}

/* Also called by the thread that sends notifications, whose unique is 0. */
static ssize_t write_answer(int fd, struct iovec *iov, int count, void *userdata)
{
    struct hx_wire *w = &((struct hx_mount *)userdata)->wire;
    const struct fuse_out_header *h = iov[0].iov_base;
    if (h->unique != 0 && h->unique == w->init_unique) {
        struct fuse_init_out *out = count > 1 ? iov[1].iov_base : NULL;
        if (out && iov[1].iov_len >= offsetof(struct fuse_init_out, flags) + sizeof out->flags)
            out->flags |= FUSE_HANDLE_KILLPRIV_V2;
        w->init_unique = 0;
    }
    return writev(fd, iov, count);
}

static ssize_t read_request(int fd, void *buf, size_t cap, void *userdata)
{
    (void)userdata;
    return read(fd, buf, cap);
}

int hx_wire_take(struct fuse_session *se)
{
    static const struct fuse_custom_io io = {.writev = write_answer, .read = read_request};
    return fuse_session_custom_io(se, &io, fuse_session_fd(se)) == 0 ? 0 : HX_E_FUSE;
}
