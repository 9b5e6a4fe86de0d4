/*
 * err.h - the one table of errors: name, code, class, HTTP status, FUSE errno, text and hint.
 *
 * Functions return 0 or a negative HX_E_*.  The number is the code that users see (HX0104) and the
 * number on the wire, so a number is never reused.  errno is translated where the system call is
 * made (hx_err_from_errno) and back only where FUSE is answered (hx_err_errno).
 */
#ifndef HEXAD_ERR_H
#define HEXAD_ERR_H

#include <stdint.h>

enum hx_err_class {
    HX_CLASS_RETRY = 1, /* the same call may succeed later; nothing has changed */
    HX_CLASS_FENCED,    /* a newer writer owns the volume: for ever */
    HX_CLASS_CORRUPT,   /* stored or received bytes are not what was written */
    HX_CLASS_LIMIT,     /* a bound was reached: space, count, size, time */
    HX_CLASS_REFUSED,   /* identity, role or rights */
    HX_CLASS_USAGE,     /* the caller's words are off */
    HX_CLASS_SYSTEM,    /* the machine below us failed */
    HX_CLASS_FS,        /* an ordinary filesystem answer */
};

/* X(name, code, class, http status, errno, text, hint) */
#define HX_ERR_TABLE(X) \
    X(NOMEM, 1, SYSTEM, 503, ENOMEM, "out of memory", "give the process more memory, or lower cache=") \
    X(IO, 2, SYSTEM, 500, EIO, "input or output failed", "look at the system log of that machine") \
    X(NOSPACE, 3, LIMIT, 507, ENOSPC, "no space left", "free space on the segment servers' disks, or add servers") \
    X(BADMSG, 4, CORRUPT, 400, EIO, "malformed or damaged bytes", "check that both ends run the same version") \
    X(VERSION, 5, USAGE, 400, EIO, "unknown format or protocol version", "upgrade the older end") \
    X(TOOBIG, 6, LIMIT, 413, EFBIG, "too large", "see the limits in the manual") \
    X(TIMEOUT, 7, RETRY, 504, EIO, "no answer in time", "check that the server runs and is reachable") \
    X(CONNECT, 8, RETRY, 503, EIO, "cannot connect", "check that the server runs: hexad status VOLUME") \
    X(TLS, 9, REFUSED, 403, EIO, "TLS handshake or certificate refused", "compare the certificates: hexad cert show FILE") \
    X(ROLE, 10, REFUSED, 403, EACCES, "the certificate's role does not allow this", "use a certificate with the right role: hexad cert show FILE") \
    X(CANCELED, 11, RETRY, 499, EINTR, "canceled", "try again") \
    X(AGAIN, 12, RETRY, 503, EAGAIN, "not ready yet", "try again") \
    X(INVAL, 13, USAGE, 400, EINVAL, "invalid value", "see the manual") \
    X(CLOSED, 14, RETRY, 503, EIO, "the connection ended before the answer", "try again") \
    X(EOF, 15, CORRUPT, 400, EIO, "bytes end too early", "the file or message is truncated") \
    X(FENCED, 101, FENCED, 409, EROFS, "fenced: a newer writer owns the volume", "unmount; then mount again, with -o takeover if the other mount must go") \
    X(NEED_HISTORY, 102, RETRY, 409, EIO, "the segment has not got this epoch's history yet", "none needed: the writer sends it") \
    X(LAGGING, 103, RETRY, 409, EIO, "the segment has not got everything up to the read point", "none needed: another segment is asked") \
    X(NO_WRITE_QUORUM, 104, RETRY, 503, EIO, "write quorum missing", "hexad status VOLUME") \
    X(NO_READ_QUORUM, 105, RETRY, 503, EIO, "read quorum missing", "hexad status VOLUME") \
    X(TOO_OLD, 106, REFUSED, 409, EIO, "the read point is older than what is kept", "open the volume again") \
    X(DEGRADED, 107, RETRY, 200, EIO, "some segment servers are down", "start them: hexad status VOLUME names them") \
    X(STRANGER, 108, REFUSED, 409, EIO, "this is not the server that the volume knows by that name: its data directory is another one", "restore its data directory; an empty one cannot take its place") \
    X(NO_VOLUME, 109, REFUSED, 404, ENOENT, "no such volume", "hexad create VOLUME") \
    X(NO_SEGMENT, 110, RETRY, 404, EIO, "the server has no such segment", "none needed: the writer makes it") \
    X(EXISTS_VOLUME, 111, USAGE, 409, EEXIST, "the volume exists already", "choose another name, or mount it: hexad mount VOLUME DIR") \
    X(BUSY, 112, REFUSED, 409, EBUSY, "the volume is mounted elsewhere", "unmount it there, or take it over: hexad mount -o takeover VOLUME DIR") \
    X(DATA_LOSS, 113, CORRUPT, 500, EIO, "acknowledged records are missing: more was lost than the quorum covers", "bring back the missing servers; nothing has been changed") \
    X(CORRUPT, 114, CORRUPT, 500, EIO, "stored bytes fail their checksum", "none needed while a good copy is left; see hexad status VOLUME") \
    X(POISONED, 115, SYSTEM, 503, EIO, "a flush failed: the segment acknowledges nothing until it has re-read its disk", "look at that server's disk; the segment serves again by itself when the disk does") \
    X(LOCKED, 116, REFUSED, 423, EBUSY, "another process uses this data directory", "stop the other hexad-segmentd, or give this one its own directory") \
    X(WRONG_MEMBER, 117, REFUSED, 409, EIO, "the segment is not a member of this protection group any more", "none needed: the membership is read again") \
    X(UNKNOWN_RECORD, 118, CORRUPT, 409, EIO, "a record is damaged here and its content unknown", "none needed while a good copy is left") \
    X(READ_ONLY, 119, REFUSED, 409, EROFS, "the volume is read-only", "mount without -o ro") \
    X(MOUNTED, 120, USAGE, 409, EBUSY, "already mounted", "hexad umount DIR") \
    X(STALE_MOUNT, 121, USAGE, 409, ENOTCONN, "a dead mount is in the way", "umount -l DIR, then mount again") \
    X(FUSE, 122, SYSTEM, 500, EIO, "FUSE is not available", "install fuse3 and load the fuse module; /dev/fuse must be accessible") \
    X(CONFIG, 123, USAGE, 400, EINVAL, "configuration error", "see hexad(1), section FILES") \
    X(OPTION, 124, USAGE, 400, EINVAL, "unknown option", "see hexad mount --help") \
    X(IN_USE, 126, USAGE, 409, EBUSY, "the mount is in use", "end the programs that use it") \
    X(ADDRESS, 127, SYSTEM, 500, EADDRINUSE, "cannot listen on the address", "is the port in use? ss -ltnp shows by whom; or change [server] listen") \
    X(MADE_ANEW, 128, REFUSED, 409, EIO, "the segment was made anew meanwhile: another one was meant", "none needed: STATUS tells which one is there") \
    X(KEY_MODE, 125, REFUSED, 403, EACCES, "others can read the private key", "chmod 600 the key file") \
    X(MISS, 201, RETRY, 500, EIO, "a page must be fetched first", "internal") \
    X(ROOM, 202, RETRY, 500, EIO, "the log window is full", "internal") \
    X(GROW, 203, RETRY, 500, EIO, "the volume must grow first", "internal") \
    X(PERM, 301, FS, 403, EPERM, "operation not permitted", "") \
    X(NOENT, 302, FS, 404, ENOENT, "no such file or directory", "") \
    X(ACCES, 303, FS, 403, EACCES, "permission denied", "") \
    X(EXIST, 304, FS, 409, EEXIST, "file exists", "") \
    X(XDEV, 305, FS, 400, EXDEV, "cross-device link", "") \
    X(NOTDIR, 306, FS, 400, ENOTDIR, "not a directory", "") \
    X(ISDIR, 307, FS, 400, EISDIR, "is a directory", "") \
    X(FBIG, 308, FS, 413, EFBIG, "file too large", "") \
    X(MLINK, 309, FS, 400, EMLINK, "too many links", "") \
    X(NAMETOOLONG, 310, FS, 400, ENAMETOOLONG, "name too long", "") \
    X(NOTEMPTY, 311, FS, 400, ENOTEMPTY, "directory not empty", "") \
    X(NOTSUP, 312, FS, 400, EOPNOTSUPP, "not supported", "") \
    X(STALE, 313, FS, 400, ESTALE, "stale file handle", "") \
    X(NODATA, 314, FS, 404, ENODATA, "no such attribute", "") \
    X(RANGE, 315, FS, 400, ERANGE, "the answer does not fit", "")

enum hx_err {
    HX_OK = 0,
#define HX_ERR_ENUM(name, code, cls, http, eno, text, hint) HX_E_##name = -(code),
    HX_ERR_TABLE(HX_ERR_ENUM)
#undef HX_ERR_ENUM
};

struct hx_err_info {
    int code; /* positive: HX0104 is 104 */
    const char *name;
    enum hx_err_class class;
    int http_status;
    int fuse_errno; /* positive errno */
    const char *text;
    const char *hint;
};

/* Never NULL: an unknown number gets the entry of HX_E_IO.  ERR may be negative or positive. */
const struct hx_err_info *hx_err_info(int err);
const char *hx_err_text(int err);
int hx_err_errno(int err);      /* positive errno for FUSE; 0 for 0 */
int hx_err_from_errno(int eno); /* negative HX_E_*; 0 for 0 */
/* A status from the wire (positive code or 0) as negative error; unknown codes become HX_E_VERSION. */
int hx_err_from_wire(uint32_t code);
uint32_t hx_err_to_wire(int err);

#endif
