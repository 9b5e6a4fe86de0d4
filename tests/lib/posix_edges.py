"""Cases of posix.py: sizes, alignments, locks, paths: the edges of what the calls take.

The largest file of ext4 is a page shorter than ours; what lies between is not compared (test_posix.sh has ours).
"""
import array
import ctypes
import errno
import fcntl
import mmap
import os
import random
import resource
import signal
import stat
import struct

import posix_kit as kit
from posix_kit import case, call, fallocate, get, put

PAGE = 4096
TIB = 1 << 40
MAX = (1 << 32) - 1 << 12  # the largest size of a file of ext4 with pages of 4 KiB
LAST = MAX - PAGE


def blocks(path):
    s = os.fstat(path) if isinstance(path, int) else os.lstat(path)
    return s.st_blocks * 512


# ---- large files ----
@case
def large_files(t):
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    for at in 0, (1 << 31) - 3, (1 << 32) - 3, (1 << 40) + 17, 4 * TIB - 5, 8 * TIB, LAST:
        t.do("write at %d" % at, os.pwrite, fd, b"here%d" % (at % 1000), at)
    t.stat("f", fd)
    t.do("pages of it", lambda: blocks(fd) // PAGE <= 64)
    for off in 1 << 30, 8 * TIB + 5, 9 * TIB:  # before anything is read: see doc/FS.md
        t.do("data from %d" % off, os.lseek, fd, off // PAGE * PAGE, os.SEEK_DATA)
        t.do("hole from %d" % off, os.lseek, fd, off // PAGE * PAGE, os.SEEK_HOLE)
    for at in 0, (1 << 31) - 5, (1 << 32) - 5, (1 << 40) + 10, 4 * TIB - 9, 8 * TIB - 4, 12 * TIB, LAST, \
            MAX - 3, MAX, MAX + PAGE:
        t.do("read at %d" % at, os.pread, fd, 20, at)
    for size in 3 * TIB, 15 * TIB, MAX - 1, MAX, (1 << 44) + 1, 1 << 62, 100, 7 * TIB + 1, 0:
        t.do("truncate to %d" % size, os.ftruncate, fd, size)
        t.stat("   it", fd)
    t.do("write behind the largest size", os.pwrite, fd, b"x", 1 << 44)
    t.do("write of nothing behind it", os.pwrite, fd, b"", MAX + PAGE)
    t.do("allocate behind it", fallocate, fd, 0, MAX, 2 * PAGE)
    t.do("allocate the far end", fallocate, fd, 0, MAX - 3 * PAGE, 3 * PAGE)
    t.stat("f", fd)
    t.do("seek to the end", os.lseek, fd, 0, os.SEEK_END)
    m = t.do("map the far end", lambda: mmap.mmap(fd, PAGE, offset=MAX - 2 * PAGE))
    t.do("a byte through it", lambda: m.__setitem__(5, 65))
    t.do("the byte", os.pread, fd, 3, MAX - 2 * PAGE + 4)
    t.do("many pieces", lambda: [os.pwrite(fd, b"p", i * (TIB // 16) + i) for i in range(200)][-1])
    t.do("found again", lambda: [os.pread(fd, 1, i * (TIB // 16) + i) for i in range(200)] == [b"p"] * 200)
    t.do("cut off", os.ftruncate, fd, 5 * TIB)
    t.do("and made longer", os.ftruncate, fd, 9 * TIB)
    t.do("zeros", os.pread, fd, 5, 6 * TIB + 96)
    t.do("left", os.pread, fd, 5, 4 * TIB + 63)
    os.close(fd)


@case
def limits_of_a_process(t):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10000, resource.RLIM_INFINITY))
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    for what, f, a in [("write below", os.pwrite, (b"x" * 9000, 0)), ("write over it", os.pwrite, (b"y" * 9000, 5000)),
                       ("write at it", os.pwrite, (b"z", 10000)), ("write behind it", os.pwrite, (b"z", 20000)),
                       ("ftruncate behind it", os.ftruncate, (10001,)), ("ftruncate to it", os.ftruncate, (10000,)),
                       ("fallocate behind it", fallocate, (0, 5000, 10000)), ("keep size", fallocate, (1, 5000, 10000))]:
        t.do(what, f, fd, *a)
        t.stat("  ", fd)
    ap = os.open("f", os.O_WRONLY | os.O_APPEND)
    t.do("append", os.write, ap, b"x")
    t.do("truncate behind it", os.truncate, "f", 10001)


# ---- O_DIRECT ----
@case
def direct_io(t):
    m = mmap.mmap(-1, 1 << 20)
    base = bytes(range(256)) * 16

    def direct(flags):
        return os.open("f", flags | os.O_DIRECT | os.O_CREAT)
    fd = t.fd("open", "f", os.O_RDWR | os.O_DIRECT | os.O_CREAT)
    m[:1 << 16] = base * 16
    t.do("write, aligned", os.pwritev, fd, [memoryview(m)[:1 << 16]], 0)
    t.stat("f", fd)
    m[:] = bytes(1 << 20)
    t.do("read, aligned", os.preadv, fd, [memoryview(m)[:1 << 16]], 0)
    t.say(m[:1 << 16] == base * 16)
    t.do("read over the end", os.preadv, fd, [memoryview(m)[:1 << 17]], 32768)
    t.do("read at the end", os.preadv, fd, [memoryview(m)[:4096]], 65536)
    t.do("read behind the end", os.preadv, fd, [memoryview(m)[:4096]], 1 << 20)
    t.do("write behind the end", os.pwritev, fd, [memoryview(m)[:8192]], 1 << 20)
    t.stat("f", fd)
    t.do("hole", os.preadv, fd, [memoryview(m)[:8192]], 1 << 18)
    t.say(m[:8192] == bytes(8192))
    b = os.open("f", os.O_RDWR)
    t.do("buffered write", os.pwrite, b, b"buffered", 5000)
    t.do("direct read of it", os.preadv, fd, [memoryview(m)[:4096]], 4096)
    t.say(bytes(m[904:912]))
    m[:4096] = b"D" * 4096
    t.do("direct write", os.pwritev, fd, [memoryview(m)[:4096]], 4096)
    t.do("buffered read of it", lambda: os.pread(b, 4, 5000))
    s = mmap.mmap(b, 65536)
    s[8192:8196] = b"maps"
    t.do("direct read of what a map wrote", os.preadv, fd, [memoryview(m)[:4096]], 8192)
    t.say(bytes(m[:4]))
    m[:4096] = b"E" * 4096
    t.do("direct write under a map", os.pwritev, fd, [memoryview(m)[:4096]], 8192)
    t.say(bytes(s[8192:8196]))
    a = t.fd("with append", "f", os.O_WRONLY | os.O_DIRECT | os.O_APPEND)
    t.do("append", os.writev, a, [memoryview(m)[:4096]])
    t.stat("f", fd)
    t.do("flag set later", lambda: fcntl.fcntl(b, fcntl.F_SETFL, os.O_DIRECT))
    t.do("flags", lambda: fcntl.fcntl(b, fcntl.F_GETFL) & os.O_DIRECT)
    t.do("a large one", os.pwritev, fd, [memoryview(m)], 1 << 24)
    t.do("with two vectors", os.pwritev, fd, [memoryview(m)[:4096], memoryview(m)[8192:20480]], 1 << 25)
    t.stat("f", fd)


# ---- copying ----
@case
def copies(t):
    put("src", bytes(range(256)) * 400)  # 102,400 bytes
    a, b = os.open("src", os.O_RDWR), os.open("dst", os.O_RDWR | os.O_CREAT)
    c = os.copy_file_range
    t.do("all", c, a, b, 200000, 0, 0)
    t.say(get("src") == get("dst"))
    t.do("none", c, a, b, 0, 0, 0)
    t.do("with positions of the descriptors", lambda: [c(a, b, 100), c(a, b, 100)])
    t.do("positions", lambda: [os.lseek(a, 0, 1), os.lseek(b, 0, 1)])
    t.do("far away", c, a, b, 1000, 0, 1 << 33)
    t.stat("dst", b)
    t.do("overlapping", c, a, a, 1000, 0, 500)
    t.do("overlapping at the end", c, a, a, 1000, 500, 0)
    t.do("side by side", c, a, a, 1000, 0, 1000)
    t.do("from behind the end", c, a, b, 1000, 1 << 20, 0)
    ro, wo = os.open("src", os.O_RDONLY), os.open("dst", os.O_WRONLY)
    ap = os.open("dst", os.O_WRONLY | os.O_APPEND)
    d = os.open(".", os.O_RDONLY)
    t.do("to a reading descriptor", c, a, ro, 10, 0, 0)
    t.do("from a writing descriptor", c, wo, b, 10, 0, 0)
    t.do("to an appending descriptor", c, a, ap, 10)
    t.do("from a directory", c, d, b, 10, 0, 0)
    t.do("to a directory", c, a, d, 10, 0, 0)
    t.do("from far away", c, a, b, 10, 1 << 62, 0)
    t.do("too far", c, a, b, 10, 0, 1 << 44)
    t.do("flags", lambda: call("copy_file_range", a, None, b, None, 10, 1))
    r, w = os.pipe()
    t.do("from a pipe", c, r, b, 10)
    t.do("to a pipe", c, a, w, 10)
    t.do("splice to a pipe", lambda: os.splice(a, w, 1000, 200))
    t.do("splice from it", lambda: os.splice(r, b, 1000, None, 300))
    t.say(os.pread(b, 1000, 300) == get("src")[200:1200])
    t.do("sendfile", os.sendfile, b, a, 5, 70000)
    s = os.open("sparse", os.O_RDWR | os.O_CREAT)
    os.ftruncate(s, 1 << 24)
    os.pwrite(s, b"x", 1 << 23)
    e = os.open("copy", os.O_RDWR | os.O_CREAT)
    t.do("of a sparse file", lambda: sum(iter(lambda: c(s, e, 1 << 24), 0)))
    t.do("is the same", lambda: get("sparse") == get("copy"))
    t.do("clone", fcntl.ioctl, e, 0x40049409, s)


# ---- vectors and flags of single calls ----
@case
def single_calls(t):
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    t.do("pwritev", os.pwritev, fd, [b"a" * 10, b"", b"b" * 5000], 3)
    t.do("preadv", lambda: os.preadv(fd, [bytearray(5), bytearray(10)], 8))
    t.do("RWF_APPEND", os.pwritev, fd, [b"end"], 0, os.RWF_APPEND if hasattr(os, "RWF_APPEND") else 0x10)
    t.stat("f", fd)
    t.do("RWF_DSYNC", os.pwritev, fd, [b"sync"], 0, os.RWF_DSYNC)
    t.do("RWF_SYNC", os.pwritev, fd, [b"sync"], 0, os.RWF_SYNC)
    t.do("RWF_HIPRI", lambda: os.preadv(fd, [bytearray(4)], 0, os.RWF_HIPRI))
    t.do("too many vectors", os.writev, fd, [b"x"] * 1025)
    t.do("negative offset", os.pread, fd, 5, -1)
    t.do("negative offset", os.pwrite, fd, b"x", -1)
    for whence, off in [(0, -1), (0, 1 << 40), (1, -(1 << 41)), (1, 5), (2, -5017), (2, -5018), (2, 10), (7, 0)]:
        t.do("lseek %d %d" % (whence, off), os.lseek, fd, off, whence)
    t.do("write where nothing was", os.write, fd, b"gap")
    t.stat("f", fd)
    for advice in range(7):
        t.do("fadvise %d" % advice, os.posix_fadvise, fd, 0, 0, advice)
    t.do("readahead", call, "readahead", fd, 0, 10000)
    t.do("sync_file_range", call, "sync_file_range", fd, 0, 0, 7)
    t.do("syncfs", call, "syncfs", fd)
    t.do("FIONREAD", lambda: array.array("i", fcntl.ioctl(fd, 0x541B, b"\0\0\0\0"))[0] > 0)
    t.do("an unknown ioctl", fcntl.ioctl, fd, 0x1234)
    t.do("FIBMAP", fcntl.ioctl, fd, 1, b"\0\0\0\0") if not kit.IS_ROOT else None
    for name in "PC_NAME_MAX", "PC_PATH_MAX", "PC_PIPE_BUF", "PC_CHOWN_RESTRICTED", "PC_NO_TRUNC", \
            "PC_SYNC_IO":  # PC_LINK_MAX and PC_FILESIZEBITS come from a table of the C library
        t.do(name, os.fpathconf, fd, name)
    for flags in os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_EXCL, os.O_RDWR | os.O_DIRECTORY, 3, \
            os.O_RDONLY | os.O_CREAT | os.O_DIRECTORY, os.O_RDWR | os.O_NOFOLLOW, \
            os.O_RDWR | os.O_ASYNC, os.O_RDWR | os.O_SYNC:
        put("g", b"content")
        t.fd("open with %o" % flags, "g", flags)
        t.stat("g", "g")
    d = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    t.do("fsync of a directory", os.fsync, d)
    t.do("fdatasync of a directory", os.fdatasync, d)
    t.do("fchmod of a directory", os.fchmod, d, 0o755)
    t.do("ftruncate of a directory", os.ftruncate, d, 0)
    t.do("lseek of a directory", os.lseek, d, 0, 0)
    t.do("getdents into nothing", call, "syscall", 217, d, ctypes.create_string_buffer(10), 10)
    t.do("write of a directory", os.write, d, b"x")


# ---- maps ----
@case
def maps(t):
    put("f", b"0123456789" * 1000)
    fd = os.open("f", os.O_RDWR)
    m = mmap.mmap(fd, 10000)
    m2 = mmap.mmap(fd, 10000)
    p = mmap.mmap(fd, 10000, flags=mmap.MAP_PRIVATE)
    m[0:5] = b"share"
    t.say(m2[0:5], p[0:5], os.pread(fd, 5, 0))
    p[0:5] = b"prive"
    t.say(m2[0:5], os.pread(fd, 5, 0))
    os.pwrite(fd, b"written", 20)
    t.say(m[20:27], m2[20:27])
    m[8201]  # a read of the page is a read of the file
    t.times("a byte through it, and msync", ["f"], lambda: [m.__setitem__(8200, 67), m.flush()][0])
    os.ftruncate(fd, 5000)
    os.ftruncate(fd, 10000)
    t.say(m[4998:5002], bytes(m[9990:10000]))
    m[4999] = 65
    m[7000] = 66
    m.flush()
    t.say(get("f")[4990:5010], get("f")[6999:7002])
    ro, wo = os.open("f", os.O_RDONLY), os.open("f", os.O_WRONLY)
    t.do("shared and writable of a reading descriptor", lambda: mmap.mmap(ro, 100, prot=3) and None)
    t.do("private and writable of it", lambda: mmap.mmap(ro, 100, flags=2, prot=3) and None)
    t.do("of a writing descriptor", lambda: mmap.mmap(wo, 100, prot=3) and None)
    pid = os.fork()
    if pid == 0:
        try:
            n = mmap.mmap(fd, 5000)
            os.ftruncate(fd, 0)
            n[0]
        finally:
            os._exit(0)
    t.say("beyond the end:", os.waitpid(pid, 0)[1])


# ---- locks ----
def flock64(kind, start, n, pid=0):
    return struct.pack("hhqqi4x", kind, 0, start, n, pid)


SETLK, GETLK, OFD_GETLK, OFD_SETLK = fcntl.F_SETLK, fcntl.F_GETLK, 36, 37


def in_child(f):
    """F in a child that waits until it is told to end; (pid, its end of a pipe, what F gave)."""
    r, w = os.pipe()
    r2, w2 = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(w2)
        try:
            out = str(f())
        except OSError as e:
            out = errno.errorcode.get(e.errno, str(e.errno))
        os.write(w, out.encode())
        os.read(r2, 1)
        os._exit(0)
    os.close(w)
    os.close(r2)
    out = os.read(r, 1000).decode()
    os.close(r)
    return pid, w2, out


def end_child(c, how=None):
    if how:
        os.kill(c[0], how)
    os.close(c[1])
    os.waitpid(c[0], 0)


@case
def locks(t):
    put("f", b"x" * 100)
    fd = os.open("f", os.O_RDWR)

    def seen(cmd, f, kind, start, n):
        k, _, s, l, pid = struct.unpack("hhqqi4x", fcntl.fcntl(f, cmd, flock64(kind, start, n)))
        return "%d %d %d %s" % (k, s, l, "nobody" if pid == 0 else "a file" if pid == -1 else "a process")
    t.do("lock", fcntl.fcntl, fd, SETLK, flock64(fcntl.F_WRLCK, 10, 20))
    c = in_child(lambda: seen(GETLK, fd, fcntl.F_WRLCK, 0, 0))
    t.say("another sees", c[2])
    end_child(c)
    c = in_child(lambda: fcntl.fcntl(fd, SETLK, flock64(fcntl.F_WRLCK, 0, 0)))
    t.say("another may not", c[2])
    end_child(c)
    c = in_child(lambda: len(fcntl.fcntl(fd, SETLK, flock64(fcntl.F_WRLCK, 30, 10))))
    t.say("another may behind it", c[2])
    t.say("seen", seen(GETLK, fd, fcntl.F_WRLCK, 0, 0))
    t.do("not here", fcntl.fcntl, fd, SETLK, flock64(fcntl.F_RDLCK, 35, 1))
    end_child(c)
    t.do("it has gone", fcntl.fcntl, fd, SETLK, flock64(fcntl.F_RDLCK, 35, 1))
    c = in_child(lambda: len(fcntl.fcntl(os.open("f", os.O_RDWR), SETLK, flock64(fcntl.F_WRLCK, 50, 0))))
    t.say("another locks the rest", c[2])
    t.say("seen", seen(GETLK, fd, fcntl.F_WRLCK, 40, 0))
    end_child(c, signal.SIGKILL)
    t.say("killed", seen(GETLK, fd, fcntl.F_WRLCK, 40, 0))
    f2 = os.open("f", os.O_RDWR)
    os.close(f2)
    c = in_child(lambda: seen(GETLK, fd, fcntl.F_WRLCK, 0, 0))
    t.say("a close of another descriptor takes all", c[2])
    end_child(c)
    # of the open file
    o1, o2 = os.open("f", os.O_RDWR), os.open("f", os.O_RDWR)
    t.do("OFD lock", fcntl.fcntl, o1, OFD_SETLK, flock64(fcntl.F_WRLCK, 0, 10))
    t.do("by another open file", fcntl.fcntl, o2, OFD_SETLK, flock64(fcntl.F_RDLCK, 5, 10))
    t.say("seen", seen(OFD_GETLK, o2, fcntl.F_WRLCK, 0, 0))
    t.say("seen by process", seen(GETLK, o2, fcntl.F_WRLCK, 0, 0))
    o3 = os.dup(o1)
    os.close(o1)
    t.do("a copy holds it", fcntl.fcntl, o2, OFD_SETLK, flock64(fcntl.F_RDLCK, 5, 10))
    os.close(o3)
    t.do("closed", fcntl.fcntl, o2, OFD_SETLK, flock64(fcntl.F_RDLCK, 5, 10))
    ro = os.open("f", os.O_RDONLY)
    t.do("write lock of a reading descriptor", fcntl.fcntl, ro, SETLK, flock64(fcntl.F_WRLCK, 0, 1))
    t.do("nonsense", fcntl.fcntl, fd, SETLK, flock64(7, 0, 1))
    t.do("negative", fcntl.fcntl, fd, SETLK, flock64(0, -5, 1))
    # flock
    a, b = os.open("f", os.O_RDWR), os.open("f", os.O_RDONLY)
    t.do("flock shared", fcntl.flock, a, fcntl.LOCK_SH | fcntl.LOCK_NB)
    t.do("flock shared again", fcntl.flock, b, fcntl.LOCK_SH | fcntl.LOCK_NB)
    t.do("flock alone", fcntl.flock, a, fcntl.LOCK_EX | fcntl.LOCK_NB)
    t.do("unlock", fcntl.flock, b, fcntl.LOCK_UN)
    t.do("flock alone", fcntl.flock, a, fcntl.LOCK_EX | fcntl.LOCK_NB)
    t.do("and another", fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    c = in_child(lambda: fcntl.flock(os.open("f", os.O_RDONLY), fcntl.LOCK_SH | fcntl.LOCK_NB))
    t.say("another process", c[2])
    end_child(c)
    os.close(a)
    t.do("closed", fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    d = os.open(".", os.O_RDONLY)
    t.do("flock of a directory", fcntl.flock, d, fcntl.LOCK_EX | fcntl.LOCK_NB)
    # one that waits gets it when the owner dies
    for f in b, o2, ro:
        os.close(f)
    c = in_child(lambda: fcntl.lockf(os.open("f", os.O_RDWR), fcntl.LOCK_EX))
    w = os.fork()
    if w == 0:
        fcntl.lockf(fd, fcntl.LOCK_EX)
        os._exit(7)
    while not any("->" in x and " %d " % w in x for x in get("/proc/locks").decode().splitlines()):
        os.sched_yield()
    end_child(c, signal.SIGKILL)
    t.say("the waiter got it:", os.waitstatus_to_exitcode(os.waitpid(w, 0)[1]))


# ---- paths ----
@case
def long_paths(t):
    top = os.open(".", os.O_RDONLY)
    depth = 0
    for i in range(40):  # 40 * 251 bytes: deeper than any one path
        name = "%03d" % i + "d" * 247
        if t.do("mkdir %d" % i, os.mkdir, name) is None and not os.path.isdir(name):
            break
        os.chdir(name)
        depth += 1
    put("deep", b"deep")
    t.do("getcwd", lambda: len(os.getcwd()) > 4096)
    t.do("back up", lambda: os.stat("../" * depth + "000" + "d" * 247).st_nlink)
    os.fchdir(top)
    path = "/".join("%03d" % i + "d" * 247 for i in range(16))
    t.do("path of %d" % len(path), lambda: os.stat(path).st_nlink)
    for n in 78, 79, 80, 81:
        long = path + "/" + "./" * ((4095 - len(path) - 2 - 80 + n - 80) // 2)
        t.do("path of %d bytes" % len(long), lambda: os.stat(long).st_nlink)
    for n in 4094, 4095, 4096:
        p = "./" * ((n - 1) // 2) + ("/" if n % 2 == 0 else "") + "x"
        t.fd("create by a path of %d" % len(p), p, os.O_CREAT | os.O_RDWR)
        t.do("link text of %d" % len(p), os.symlink, p, "l%d" % n)
        t.do("through it", lambda: os.stat("l%d" % n).st_size)
    os.symlink("x", "s0")
    for i in range(1, 45):
        os.symlink("s%d" % (i - 1), "s%d" % i)
    for i in 1, 38, 39, 40, 41, 44:
        t.do("%d links" % (i + 1), lambda: os.stat("s%d" % i).st_size)
        t.do("%d links, of itself" % (i + 1), lambda: os.lstat("s%d" % i).st_size)
    os.mkdir("dir")
    os.symlink("dir", "ld")
    for p in "ld/", "ld/.", "ld/..", "x/", "x/.", "none/..", "dir/../x", "ld/../x", "", "/", "dir//", "s1/y":
        t.do("lstat %r" % p, lambda: stat.S_IFMT(os.lstat(p).st_mode))
        t.do("access %r" % p, lambda: os.access(p, os.R_OK))
    for f, name in (os.mkdir, "mkdir"), (os.unlink, "unlink"), (os.rmdir, "rmdir"):
        for p in "", "ld/", "x/", "none/x", "x/y", "n" * 256, "dir/.", "dir/..":
            t.do("%s %s" % (name, p[:20]), f, p)
    t.do("rename a long name", os.rename, "x", "n" * 256)
    t.do("rename to an empty name", os.rename, "x", "")


# ---- space ----
@case
def space(t):
    v = os.statvfs(".")
    t.say("block sizes", v.f_bsize, v.f_frsize, "name", v.f_namemax)
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    for what, act in [("nothing", lambda: None), ("a byte", lambda: os.pwrite(fd, b"x", 0)),
                      ("the second page", lambda: os.pwrite(fd, b"x", 4096)),
                      ("the tenth", lambda: os.pwrite(fd, b"x" * 4096, 40960)),
                      ("larger", lambda: os.ftruncate(fd, 1 << 30)),
                      ("allocated", lambda: fallocate(fd, 1, 1 << 20, 1 << 20)),
                      ("punched", lambda: fallocate(fd, 3, 0, 4096)),
                      ("zeroed", lambda: fallocate(fd, 0x10, 4096, 4096)),
                      ("cut", lambda: os.ftruncate(fd, 4096)), ("empty", lambda: os.ftruncate(fd, 0))]:
        t.do(what, act)
        os.fsync(fd)
        t.say("  ", blocks(fd))
    with open("big", "wb") as f:
        f.write(b"b" * (64 << 20))
        os.fsync(f.fileno())
    t.say("64 MiB:", blocks("big") >= 64 << 20, blocks("big") < 66 << 20)
    os.unlink("big")
    s = os.stat(".")
    t.say("block size", s.st_blksize)


@case
def identity(t):
    """What makes an inode the same one: number, links, generation in its handle."""
    put("f", b"one")
    os.link("f", "g")
    os.rename("f", "h")
    t.say(os.stat("g").st_ino == os.stat("h").st_ino, os.stat("g").st_dev == os.stat(".").st_dev)
    with os.scandir(".") as it:
        t.say(all(e.inode() == os.lstat(e.name).st_ino for e in it))
    with os.scandir(".") as it:
        t.say(sorted((e.name, e.is_file(follow_symlinks=False)) for e in it))
    t.say("the root of nothing else", os.stat("..").st_ino != os.stat(".").st_ino)
    os.mkdir("d")
    t.say(os.stat("d/..").st_ino == os.stat(".").st_ino, os.stat("d/.").st_ino == os.stat("d").st_ino)
    os.mkdir("e")
    os.rename("d", "e/d")
    t.say(os.stat("e/d/..").st_ino == os.stat("e").st_ino)


# ---- holes that a mapping may have changed ----
@case
def holes_that_were_read(t):
    """Data and holes are exact also in a file that is open for writing, was read and is mapped."""
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 64 * PAGE)
    os.pwrite(fd, b"x", 5 * PAGE)
    t.do("read all", lambda: len(os.pread(fd, 64 * PAGE, 0)))

    def segments(what):
        out, off = [], 0
        while off < 64 * PAGE:
            try:
                data = os.lseek(fd, off, os.SEEK_DATA)
            except OSError as e:
                out.append(errno.errorcode[e.errno])
                break
            off = os.lseek(fd, data, os.SEEK_HOLE)
            out.append((data // PAGE, off // PAGE))
        t.say(what, out)
    segments("read")
    with mmap.mmap(fd, 64 * PAGE) as m:
        segments("mapped")
        for page in 7, 9, 10, 63:
            m[page * PAGE + 7] = page
            segments("page %d" % page)
        t.say("in the mapping", [m[p * PAGE + 7] for p in (5, 7, 8, 9, 10, 63)])
        other = os.open("f", os.O_RDONLY)
        t.say("in the file", [os.pread(other, 1, p * PAGE + 7) for p in (5, 7, 8, 9, 10, 63)])
        fallocate(fd, 3, 9 * PAGE, PAGE)
        segments("punched")
        m[20 * PAGE] = 1
        os.close(fd)
        fd = os.open("f", os.O_RDONLY)
        segments("closed")
    segments("not mapped")
    os.close(fd)


# ---- directories that change while they are listed ----
class Stream:
    """A directory stream of the C library, whose places can be told and sought."""
    class Entry(ctypes.Structure):
        _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("len", ctypes.c_uint16),
                    ("type", ctypes.c_uint8), ("name", ctypes.c_char * 256)]

    def __init__(self, path):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.opendir.restype = ctypes.c_void_p
        self.libc.readdir.restype = ctypes.POINTER(Stream.Entry)
        self.libc.telldir.restype = ctypes.c_long
        self.p = ctypes.c_void_p(self.libc.opendir(path.encode()))

    def tell(self):
        return self.libc.telldir(self.p)

    def seek(self, place):
        self.libc.seekdir(self.p, ctypes.c_long(place))

    def rewind(self):
        self.libc.rewinddir(self.p)

    def names(self):
        while True:
            e = self.libc.readdir(self.p)
            if not e:
                return
            if e.contents.name not in (b".", b".."):
                yield e.contents.name.decode()

    def close(self):
        self.libc.closedir(self.p)


def touch(path):
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))


@case
def listings_of_what_changes(t):
    """What stays is listed exactly once, what comes and goes at most once; the same from any place told before."""
    os.mkdir("d")
    rng = random.Random(5)
    count = int(os.environ.get("HEXAD_NAMES", "4000"))
    there = {"name-%06d" % i for i in range(count)}
    for n in there:
        touch("d/" + n)
    for turn in range(3):
        first = set(there)
        going = rng.sample(sorted(there), count // 10)
        stays = first - set(going)
        places, order = [], []
        d = Stream("d")
        for n in d.names():
            order.append(n)
            if len(order) % (count // 40) == 0:
                places.append((d.tell(), len(order)))
            if going and len(order) % 9 == 0:
                for new in "new-%d-%d" % (turn, len(order)), "other-%d-%d" % (turn, len(order)):
                    touch("d/" + new)
                    there.add(new)
                gone = going.pop()
                os.unlink("d/" + gone)
                there.discard(gone)
        stays &= there
        t.say("turn", turn, "twice", len(order) - len(set(order)), "missing", len(stays - set(order)),
              "strange", len(set(order) - first - there))
        for place, at in rng.sample(places, 6):
            d.seek(place)
            seen = list(d.names())
            before, behind = set(order[:at]) & stays, set(order[at:]) & stays
            t.say("   sought: twice", len(seen) - len(set(seen)), "missing", len(behind - set(seen)),
                  "from before", len(before & set(seen)))
        d.rewind()
        t.say("   from the beginning:", sorted(d.names()) == sorted(there))
        d.close()


@case
def handles_of_numbers_used_again(t):
    """The handle of a file that is gone names nothing, whatever was made since then."""
    if not kit.IS_ROOT:
        return
    top = os.open(".", os.O_RDONLY)

    def handle(name):
        h = ctypes.create_string_buffer(struct.pack("<Ii", 128, 0), 8 + 128)
        call("name_to_handle_at", kit.AT_FDCWD, name, h, ctypes.byref(ctypes.c_int()), 0)
        return h

    old = []
    for turn in range(20):
        names = ["f%d" % i for i in range(20)]
        for n in names:
            put(n, b"%d" % turn)
        now = [handle(n) for n in names]
        os.mkdir("d")
        now.append(handle("d"))
        for h in now[:-1]:
            f = call("open_by_handle_at", top, h, os.O_RDONLY)
            assert os.read(f, 10) == b"%d" % turn
            os.close(f)
        for n in names:
            os.unlink(n)
        os.rmdir("d")
        old += now
    for n in ["f%d" % i for i in range(40)]:
        put(n, b"new")
    answers = set()
    for h in old:
        try:
            answers.add(os.read(call("open_by_handle_at", top, h, os.O_RDONLY), 10))
        except OSError as e:
            answers.add(errno.errorcode[e.errno])
    t.say("handles", len({h.raw for h in old}), "answers", answers)
