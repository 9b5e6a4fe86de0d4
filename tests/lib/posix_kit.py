"""What the cases of posix.py share: the trace that they tell, calls that Python does not have, who they are."""
import ctypes
import errno
import os
import stat
import struct
import time

USER, GROUP, SECOND, STRANGE = 31001, 31002, 31003, 31004  # a user, its group, a group it is in, one that it is not in
COARSE = 5  # CLOCK_REALTIME_COARSE: what filesystems stamp with
AT_FDCWD, AT_SYMLINK_FOLLOW = -100, 0x400
libc = ctypes.CDLL(None, use_errno=True)
CASES = {}
IS_ROOT = True


def case(f):
    CASES[f.__name__] = f
    return f


class Trace:
    def __init__(self, d):
        self.d = d
        self.lines = []

    def say(self, *words):
        self.lines.append(" ".join(str(w) for w in words))

    def do(self, what, f, *a, **k):
        """Calls F; tells its answer or errno; gives the answer or None."""
        try:
            r = f(*a, **k)
        except OSError as e:
            self.say(what, "->", errno.errorcode.get(e.errno, e.errno))
            return None
        shown = isinstance(r, (int, str, bytes, list, tuple)) and not isinstance(r, os.stat_result)
        self.say(what, "->", r if shown else "ok")
        return r

    def fd(self, what, *a, **k):
        try:
            r = os.open(*a, **k)
        except OSError as e:
            self.say(what, "->", errno.errorcode.get(e.errno, e.errno))
            return None
        self.say(what, "->", "a descriptor")
        return r

    def stat(self, what, path, **k):
        """Everything of a stat that must be the same anywhere."""
        try:
            s = path if isinstance(path, os.stat_result) else os.fstat(path) if isinstance(path, int) \
                else os.stat(path, **k)
        except OSError as e:
            self.say(what, "stat ->", errno.errorcode.get(e.errno, e.errno))
            return
        size = "-" if stat.S_ISDIR(s.st_mode) else s.st_size
        dev = (os.major(s.st_rdev), os.minor(s.st_rdev)) if stat.S_ISCHR(s.st_mode) or stat.S_ISBLK(s.st_mode) else "-"
        self.say(what, "mode %o links %d owner %d:%d size %s device %s" %
                 (s.st_mode, s.st_nlink, s.st_uid, s.st_gid, size, dev))

    def times(self, what, paths, f, *a, **k):
        """Calls F, and tells which times of PATHS moved."""
        def look(p):
            try:
                s = os.fstat(p) if isinstance(p, int) else os.lstat(p)
            except OSError:
                return None
            return s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns
        tick()
        before = [look(p) for p in paths]
        self.do(what, f, *a, **k)
        for p, b in zip(paths, before):
            n = look(p)
            moved = "gone" if b and not n else "new" if n and not b else \
                " ".join(x for x, i in zip("amc", range(3)) if b and n and b[i] != n[i]) or "none"
            self.say("   times of", p if isinstance(p, str) else "it", "that moved:", moved)


def tick():
    """Until a filesystem's clock has moved on: its grain is a timer interrupt's, at most 10 ms."""
    t = time.clock_gettime(COARSE)
    end = t + 0.011
    while time.clock_gettime(COARSE) < end:
        os.sched_yield()


def call(name, *a):
    a = [x.encode() if isinstance(x, str) else ctypes.c_long(x) if isinstance(x, int) else x for x in a]
    ctypes.set_errno(0)
    r = getattr(libc, name)(*a)
    if r < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return r


def put(path, data=b"", mode=None):
    with open(path, "wb") as f:
        f.write(data)
    if mode is not None:
        os.chmod(path, mode)


def get(path):
    with open(path, "rb") as f:
        return f.read()


def fallocate(fd, mode, off, n):
    return call("fallocate", fd, mode, off, n)


def renameat2(a, b, flags):
    return call("renameat2", AT_FDCWD, a, AT_FDCWD, b, flags)


def acl(*entries):
    tags = {"u": 1, "U": 2, "g": 4, "G": 8, "m": 16, "o": 32}
    out = struct.pack("<I", 2)
    for e in entries:
        tag, ident, perm = e.split(":")
        out += struct.pack("<HHI", tags[tag], int(perm), int(ident) if ident else 0xffffffff)
    return out


def acl_text(b):
    names = {1: "u", 2: "U", 4: "g", 8: "G", 16: "m", 32: "o"}
    out = []
    for i in range(4, len(b), 8):
        tag, perm, ident = struct.unpack_from("<HHI", b, i)
        out.append("%s:%s:%d" % (names.get(tag, tag), ident if tag in (2, 8) else "", perm))
    return " ".join(out)


def show_acl(t, what, path):
    for kind in "access", "default":
        try:
            t.say(what, kind, acl_text(os.getxattr(path, "system.posix_acl_" + kind)))
        except OSError as e:
            t.say(what, kind, errno.errorcode[e.errno])


CAPS = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
