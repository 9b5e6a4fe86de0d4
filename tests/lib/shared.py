#!/usr/bin/env python3
"""Files that several processes share: mappings and locks.  One case a run, in a directory of its choice.

  shared.py --list            names of the cases
  shared.py CASE DIR          in DIR, which is emptied of it at the end; exit 0 when all is as a local filesystem has it

Processes are forked; each step is told to the next by a pipe, so nothing depends on time.
"""
import ctypes
import errno
import fcntl
import mmap
import os
import platform
import random
import signal
import struct
import sys
import traceback

PAGE = 4096
libc = ctypes.CDLL(None, use_errno=True)
cases = {}


def case(f):
    cases[f.__name__] = f
    return f


def child(f, *args):
    """A process that runs F; (pid, say, hear): bytes to it, bytes from it."""
    down, up = os.pipe(), os.pipe()
    pid = os.fork()
    if pid:
        os.close(down[0])
        os.close(up[1])
        return pid, down[1], up[0]
    try:
        os.close(down[1])
        os.close(up[0])
        f(down[0], up[1], *args)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def tell(fd, what=b"."):
    os.write(fd, what)


def hear(fd):
    got = os.read(fd, 1)
    assert got, "the other process has ended"
    return got


def ended(pid):
    status = os.waitpid(pid, 0)[1]
    assert status == 0, "a process ended with %d" % status


def together(children):
    """Each says that it is there; then all begin."""
    for _, _, up in children:
        hear(up)
    for _, down, _ in children:
        tell(down)
    for pid, _, _ in children:
        ended(pid)


def ready(down, up):
    tell(up)
    hear(down)


def opened(name, flags=os.O_RDWR | os.O_CREAT):
    return os.open(name, flags, 0o644)


def mapped(f, size=0, **kw):
    return mmap.mmap(f, size, **kw)


# ---- mappings ----
@case
def two_mappings_and_calls_see_each_other():
    f = opened("a")
    os.ftruncate(f, 8 * PAGE)

    def other(down, up):
        g = opened("a")
        m = mapped(g)
        for i in range(300):
            hear(down)
            at = i * 997 % (8 * PAGE - 8)
            n, = struct.unpack("<Q", m[at : at + 8] if i % 2 else os.pread(g, 8, at))
            assert n == i, "round %d: saw %d" % (i, n)
            if i % 3 == 0:
                os.pwrite(g, struct.pack("<Q", i + 1000), at)
            else:
                m[at : at + 8] = struct.pack("<Q", i + 1000)
            tell(up)

    pid, down, up = child(other)
    m = mapped(f)
    for i in range(300):
        at = i * 997 % (8 * PAGE - 8)
        if i % 5 < 2:
            os.pwrite(f, struct.pack("<Q", i), at)
        else:
            m[at : at + 8] = struct.pack("<Q", i)
        tell(down)
        hear(up)
        n, = struct.unpack("<Q", os.pread(f, 8, at) if i % 2 else m[at : at + 8])
        assert n == i + 1000, "round %d: came back as %d" % (i, n)
        if i % 50 == 0:
            m.flush()
    ended(pid)


@case
def neighbours_in_one_page_lose_nothing():
    """Four processes count in their own bytes of the same pages, by mapping, by write and by msync in turn."""
    f = opened("a")
    os.ftruncate(f, 4 * PAGE)

    def counter(down, up, me):
        g = opened("a")
        m = mapped(g)
        rng = random.Random(me)
        ready(down, up)
        for n in range(1, 401):
            at = n % 4 * PAGE + me * 8 + (PAGE // 2 if n % 3 else 0)
            new = struct.pack("<Q", struct.unpack("<Q", m[at : at + 8])[0] + 1)
            if rng.random() < 0.5:
                m[at : at + 8] = new
            else:
                os.pwrite(g, new, at)
            os.sched_yield()
            if rng.random() < 0.05:
                m.flush()
            if rng.random() < 0.05:
                os.fsync(g)

    together([child(counter, me) for me in range(4)])
    data = os.pread(f, 4 * PAGE, 0)
    for me in range(4):
        sums = [struct.unpack_from("<Q", data, p * PAGE + me * 8 + half)[0] for p in range(4) for half in (0, PAGE // 2)]
        assert sum(sums) == 400, "process %d counted %s" % (me, sums)


@case
def a_mapping_follows_truncation():
    f = opened("a")
    os.pwrite(f, b"x" * (3 * PAGE), 0)
    m = mapped(f)
    assert m[2 * PAGE] == ord("x")
    os.ftruncate(f, PAGE + 100)
    m[PAGE + 50] = ord("y")
    m[PAGE + 200] = ord("z")  # behind the end, in the last page: seen by nobody once the file grows

    def touch(down, up):
        signal.signal(signal.SIGBUS, signal.SIG_DFL)
        m[2 * PAGE]

    pid, _, _ = child(touch)
    assert os.waitpid(pid, 0)[1] & 127 == signal.SIGBUS
    m.flush(0, 2 * PAGE)
    os.ftruncate(f, 3 * PAGE)
    got = os.pread(f, 3 * PAGE, 0)
    assert got[: PAGE + 50] == b"x" * (PAGE + 50) and got[PAGE + 50] == ord("y")
    assert got[PAGE + 51 : PAGE + 100] == b"x" * 49
    assert got[PAGE + 100 :] == bytes(2 * PAGE - 100), "what was written behind the end came back"
    assert m[2 * PAGE : 3 * PAGE] == bytes(PAGE)


@case
def private_mappings_stay_private():
    f = opened("a")
    os.pwrite(f, b"x" * PAGE, 0)
    m = mapped(f, access=mmap.ACCESS_COPY)
    m[0:3] = b"abc"
    assert os.pread(f, 3, 0) == b"xxx"
    os.pwrite(f, b"yyy", 8)
    assert m[0:3] == b"abc"


@case
def a_mapping_outlives_its_descriptor_and_name():
    f = opened("a")
    os.ftruncate(f, 2 * PAGE)
    m = mapped(f)
    os.link("a", "b")
    os.close(f)
    os.unlink("a")
    m[PAGE : PAGE + 5] = b"hello"
    m.flush()
    with open("b", "rb") as g:
        assert g.read()[PAGE : PAGE + 5] == b"hello"
    os.unlink("b")
    m[0:5] = b"later"
    m.flush()
    assert m[0:5] == b"later" and m[PAGE : PAGE + 5] == b"hello"
    m.close()


@case
def holes_and_punched_ranges_in_a_mapping():
    f = opened("a")
    os.ftruncate(f, 64 * PAGE)
    m = mapped(f)
    m[33 * PAGE + 7] = 9
    assert os.pread(f, 1, 33 * PAGE + 7) == b"\x09"
    m[40 * PAGE : 42 * PAGE] = b"q" * 2 * PAGE
    r = libc.fallocate(f, 3, ctypes.c_long(40 * PAGE), ctypes.c_long(PAGE))  # PUNCH_HOLE | KEEP_SIZE
    assert r == 0, os.strerror(ctypes.get_errno())
    assert m[40 * PAGE : 41 * PAGE] == bytes(PAGE) and m[41 * PAGE : 42 * PAGE] == b"q" * PAGE
    m[40 * PAGE] = 5
    m.flush()
    assert os.pread(f, 1, 40 * PAGE) == b"\x05"


@case
def direct_and_mapped_agree():
    f = opened("a")
    os.ftruncate(f, 8 * PAGE)
    m = mapped(f)
    g = os.open("a", os.O_RDWR | os.O_DIRECT)
    buf = mapped(-1, PAGE)
    for i in range(1, 40):
        m[0:PAGE] = bytes([i]) * PAGE
        m.flush()
        assert os.preadv(g, [buf], 0) == PAGE and buf[:] == bytes([i]) * PAGE, "direct read, round %d" % i
        buf[:] = bytes([i + 100]) * PAGE
        assert os.pwrite(g, buf, PAGE) == PAGE
        assert os.pread(f, PAGE, PAGE) == buf[:], "read after direct write, round %d" % i
        assert m[PAGE : 2 * PAGE] == buf[:], "mapping after direct write, round %d" % i


@case
def mtime_moves_with_a_mapping():
    f = opened("a")
    os.ftruncate(f, PAGE)
    os.utime("a", (1, 1))
    m = mapped(f)
    m[0] = 1
    m.flush()
    assert os.fstat(f).st_mtime > 1000, os.fstat(f).st_mtime


# ---- locks ----
def lock_struct(kind, start, length, pid=0):
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, pid)


def getlk(f, kind, start, length, cmd=fcntl.F_GETLK):
    t, whence, s, n, pid = struct.unpack("hhqqi4x", fcntl.fcntl(f, cmd, lock_struct(kind, start, length)))
    return (t, s, n, pid)


F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 36, 37, 38


def setlk(f, kind, start, length, cmd=fcntl.F_SETLK):
    """True: got it; False: somebody has it."""
    try:
        fcntl.fcntl(f, cmd, lock_struct(kind, start, length))
        return True
    except OSError as e:
        assert e.errno in (errno.EAGAIN, errno.EACCES), e
        return False


def holder(down, up, f, ranges):
    for kind, start, length in ranges:
        assert setlk(f, kind, start, length)
    tell(up)
    os.read(down, 1)


@case
def getlk_names_the_first_conflict():
    f = opened("a")
    pid, down, up = child(lambda d, u: holder(d, u, opened("a"), [(fcntl.F_WRLCK, 100, 50), (fcntl.F_RDLCK, 300, 0)]))
    hear(up)
    assert getlk(f, fcntl.F_WRLCK, 0, 100)[0] == fcntl.F_UNLCK
    assert getlk(f, fcntl.F_RDLCK, 149, 1) == (fcntl.F_WRLCK, 100, 50, pid)
    assert getlk(f, fcntl.F_WRLCK, 0, 0) == (fcntl.F_WRLCK, 100, 50, pid)
    assert getlk(f, fcntl.F_RDLCK, 150, 0)[0] == fcntl.F_UNLCK
    assert getlk(f, fcntl.F_WRLCK, 150, 0) == (fcntl.F_RDLCK, 300, 0, pid)
    assert getlk(f, fcntl.F_WRLCK, 1 << 40, 1) == (fcntl.F_RDLCK, 300, 0, pid)
    assert not setlk(f, fcntl.F_RDLCK, 120, 1) and setlk(f, fcntl.F_RDLCK, 400, 1)
    tell(down)
    ended(pid)
    assert getlk(f, fcntl.F_WRLCK, 0, 0)[0] == fcntl.F_UNLCK


@case
def a_lock_goes_with_its_owner():
    """kill -9, an ordinary end, and the closing of any descriptor of the file."""
    f = opened("a")
    for how in "kill", "end", "close":
        def owner(down, up):
            g = opened("a")
            assert setlk(g, fcntl.F_WRLCK, 0, 10)
            tell(up)
            hear(down)
            if how == "close":
                os.close(opened("a", os.O_RDONLY))
                tell(up)
                hear(down)

        pid, down, up = child(owner)
        hear(up)
        assert not setlk(f, fcntl.F_WRLCK, 5, 1)
        if how == "kill":
            os.kill(pid, signal.SIGKILL)
            fcntl.fcntl(f, fcntl.F_SETLKW, lock_struct(fcntl.F_WRLCK, 5, 1))  # waits for nothing but the lock
            os.waitpid(pid, 0)
        else:
            tell(down)
            if how == "close":
                hear(up)
                assert setlk(f, fcntl.F_WRLCK, 5, 1)
                tell(down)
            ended(pid)
        assert setlk(f, fcntl.F_WRLCK, 0, 10), how
        setlk(f, fcntl.F_UNLCK, 0, 0)


def count_under_lock(lock, unlock):
    f = opened("a")
    os.pwrite(f, struct.pack("<Q", 0), 0)

    def worker(down, up):
        g = opened("a")
        ready(down, up)
        for _ in range(150):
            lock(g)
            n, = struct.unpack("<Q", os.pread(g, 8, 0))
            os.sched_yield()
            os.pwrite(g, struct.pack("<Q", n + 1), 0)
            unlock(g)

    together([child(worker) for _ in range(4)])
    assert struct.unpack("<Q", os.pread(f, 8, 0))[0] == 600


@case
def posix_locks_exclude():
    count_under_lock(lambda g: fcntl.fcntl(g, fcntl.F_SETLKW, lock_struct(fcntl.F_WRLCK, 0, 8)),
                     lambda g: fcntl.fcntl(g, fcntl.F_SETLK, lock_struct(fcntl.F_UNLCK, 0, 8)))


@case
def ofd_locks_exclude():
    count_under_lock(lambda g: fcntl.fcntl(g, F_OFD_SETLKW, lock_struct(fcntl.F_WRLCK, 0, 8)),
                     lambda g: fcntl.fcntl(g, F_OFD_SETLK, lock_struct(fcntl.F_UNLCK, 0, 8)))


@case
def flock_excludes():
    count_under_lock(lambda g: fcntl.flock(g, fcntl.LOCK_EX), lambda g: fcntl.flock(g, fcntl.LOCK_UN))


@case
def ranges_split_and_join():
    f = opened("a")

    def owner(down, up):
        g = opened("a")
        assert setlk(g, fcntl.F_WRLCK, 0, 100)
        assert setlk(g, fcntl.F_UNLCK, 40, 20)
        assert setlk(g, fcntl.F_RDLCK, 80, 40)
        tell(up)
        hear(down)
        assert setlk(g, fcntl.F_WRLCK, 40, 20)
        tell(up)
        hear(down)

    pid, down, up = child(owner)
    hear(up)
    seen = [getlk(f, fcntl.F_WRLCK, at, 1)[:3] for at in (0, 40, 60, 80, 119, 120)]
    assert seen[0] == (fcntl.F_WRLCK, 0, 40) and seen[1][0] == fcntl.F_UNLCK, seen
    assert seen[2] == (fcntl.F_WRLCK, 60, 20) and seen[3] == seen[4] == (fcntl.F_RDLCK, 80, 40), seen
    assert seen[5][0] == fcntl.F_UNLCK, seen
    tell(down)
    hear(up)
    assert getlk(f, fcntl.F_RDLCK, 0, 0)[:3] == (fcntl.F_WRLCK, 0, 80)
    tell(down)
    ended(pid)


@case
def a_circle_of_waiters_is_refused():
    f = opened("a")

    def other(down, up):
        g = opened("a")
        assert setlk(g, fcntl.F_WRLCK, 1, 1)
        tell(up)
        hear(down)
        try:
            fcntl.fcntl(g, fcntl.F_SETLKW, lock_struct(fcntl.F_WRLCK, 0, 1))
        except OSError as e:
            assert e.errno == errno.EDEADLK
            tell(up, b"d")
            os._exit(0)
        tell(up, b"g")

    assert setlk(f, fcntl.F_WRLCK, 0, 1)
    pid, down, up = child(other)
    hear(up)
    tell(down)
    try:
        fcntl.fcntl(f, fcntl.F_SETLKW, lock_struct(fcntl.F_WRLCK, 1, 1))
        refused = False
    except OSError as e:
        assert e.errno == errno.EDEADLK
        refused = True
    os.close(f)
    assert refused != (hear(up) == b"d"), "exactly one of the two is refused"
    ended(pid)


@case
def locks_of_descriptions_are_shared_by_fork_and_dup():
    f = opened("a")
    g = os.dup(f)
    h = opened("a")
    fcntl.flock(f, fcntl.LOCK_EX)
    assert setlk(f, fcntl.F_WRLCK, 0, 10, F_OFD_SETLK)
    for blocked in (lambda: fcntl.flock(h, fcntl.LOCK_SH | fcntl.LOCK_NB),
                    lambda: fcntl.fcntl(h, F_OFD_SETLK, lock_struct(fcntl.F_RDLCK, 9, 1))):
        try:
            blocked()
            raise AssertionError("a second description got the lock")
        except BlockingIOError:
            pass
    assert getlk(h, fcntl.F_RDLCK, 0, 0, F_OFD_GETLK) == (fcntl.F_WRLCK, 0, 10, -1)
    os.close(f)
    fcntl.flock(g, fcntl.LOCK_SH)  # still ours: dup
    fcntl.flock(h, fcntl.LOCK_SH | fcntl.LOCK_NB)
    assert not setlk(h, fcntl.F_RDLCK, 0, 1, F_OFD_SETLK)
    pid, down, up = child(lambda d, u: hear(d))
    os.close(g)
    assert not setlk(h, fcntl.F_RDLCK, 0, 1, F_OFD_SETLK), "a forked process still has the description"
    tell(down)
    ended(pid)
    assert setlk(h, fcntl.F_WRLCK, 0, 1, F_OFD_SETLK)


@case
def locks_stay_on_the_file_not_on_the_name():
    f = opened("a")
    pid, down, up = child(lambda d, u: holder(d, u, opened("a"), [(fcntl.F_WRLCK, 0, 0)]))
    hear(up)
    os.rename("a", "b")
    g = opened("b", os.O_RDWR)
    new = opened("a")
    assert not setlk(g, fcntl.F_WRLCK, 0, 1) and setlk(new, fcntl.F_WRLCK, 0, 0)
    os.unlink("b")
    assert not setlk(f, fcntl.F_WRLCK, 0, 1)
    tell(down)
    ended(pid)
    assert setlk(f, fcntl.F_WRLCK, 0, 1)


@case
def appends_of_many_processes_do_not_overlap():
    def worker(down, up, me):
        g = os.open("a", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        ready(down, up)
        for i in range(100):
            line = b"%d.%d %s\n" % (me, i, b"x" * (i * 61 % 5000))
            assert os.write(g, line) == len(line)

    together([child(worker, me) for me in range(4)])
    with open("a", "rb") as f:
        lines = f.read().splitlines()
    assert len(lines) == 400 and len(set(lines)) == 400
    for me in range(4):
        mine = [l for l in lines if l.startswith(b"%d." % me)]
        assert mine == [b"%d.%d %s" % (me, i, b"x" * (i * 61 % 5000)) for i in range(100)]


IO_SETUP, IO_GETEVENTS, IO_SUBMIT = {"x86_64": (206, 208, 209)}.get(platform.machine(), (0, 4, 2))


def direct_write(ctx, fd, address, length):
    """One asynchronous write at offset 0, waited for with io_getevents: struct iocb, little-endian."""
    words = struct.pack("<QIIHhIQQq", 0, 0, 0, 1, 0, fd, address, length, 0)
    iocb = ctypes.create_string_buffer(words.ljust(64, b"\0"), 64)
    one = (ctypes.c_void_p * 1)(ctypes.addressof(iocb))
    event = (ctypes.c_int64 * 4)()
    assert libc.syscall(IO_SUBMIT, ctx, ctypes.c_long(1), one) == 1, os.strerror(ctypes.get_errno())
    assert libc.syscall(IO_GETEVENTS, ctx, ctypes.c_long(1), ctypes.c_long(1), event, None) == 1
    assert event[2] == length, event[2]


@case
def a_direct_asynchronous_write_is_what_a_read_shows_when_it_has_ended():
    size = 160 * PAGE
    f = os.open("a", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(f, bytes(size))

    def reader(down, up):
        ready(down, up)
        g = os.open("a", os.O_RDONLY)
        while os.pread(g, 1, size) == b"":
            os.pread(g, size, 0)

    readers = [child(reader) for _ in range(3)]
    for _, _, up in readers:
        hear(up)
    for _, down, _ in readers:
        tell(down)
    d = os.open("a", os.O_RDWR | os.O_DIRECT)
    buf = mmap.mmap(-1, size)
    address = ctypes.addressof(ctypes.c_char.from_buffer(buf))
    ctx = ctypes.c_ulong(0)
    assert libc.syscall(IO_SETUP, ctypes.c_long(1), ctypes.byref(ctx)) == 0, os.strerror(ctypes.get_errno())
    stale = []
    for i in range(400):
        buf[:] = bytes([i % 255 + 1]) * size
        direct_write(ctx, d, address, size)
        got = os.pread(f, size, 0)
        if got.count(i % 255 + 1) != size:
            stale.append(i)
    os.pwrite(f, b"x", size)  # the readers' end
    for pid, _, _ in readers:
        ended(pid)
    assert not stale, "bytes of before: rounds %s" % stale[:9]


def main():
    if sys.argv[1] == "--list":
        print("\n".join(cases))
        return
    name, where = sys.argv[1:3]
    d = os.path.join(where, name)
    os.mkdir(d)
    os.chdir(d)
    cases[name]()
    os.chdir("/")
    for n in os.listdir(d):
        os.unlink(os.path.join(d, n))
    os.rmdir(d)


main()
