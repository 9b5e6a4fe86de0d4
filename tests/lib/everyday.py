#!/usr/bin/env python3
"""What programs expect of a directory, one case a name:  everyday.py CASE DIR  or  everyday.py --list.

Each case works in a fresh directory below DIR and ends with an assertion's text when the filesystem behaves otherwise
than POSIX and Linux say.  Every case passes on a local filesystem (`everyday.py all /tmp`), which is how it
is known to be right.
"""
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import random
import signal
import stat
import struct
import subprocess
import sys
import tempfile

CASES = {}


def case(f):
    CASES[f.__name__] = f
    return f


def expect(condition, *text):
    if not condition:
        raise AssertionError(" ".join(str(t) for t in text) or "does not hold")


def fails_with(code, f, *a, **k):
    try:
        f(*a, **k)
    except OSError as e:
        expect(e.errno == code, "errno", errno.errorcode.get(e.errno), "instead of", errno.errorcode[code])
        return
    raise AssertionError("succeeded instead of failing with " + errno.errorcode[code])


def put(path, data, mode="wb"):
    with open(path, mode) as f:
        f.write(data)


def get(path):
    with open(path, "rb") as f:
        return f.read()


class Other:
    """Another process that evaluates Python expressions sent to it, with its own descriptors and locks."""

    def __init__(self):
        code = ("import sys,os,fcntl,struct,mmap,errno\n"
                "def tried(f,*a):\n"
                "    try: f(*a); return 'done'\n"
                "    except OSError as e: return errno.errorcode[e.errno]\n"
                "for line in sys.stdin:\n"
                "    try: r = repr(eval(line, globals()))\n"
                "    except SyntaxError: exec(line, globals()); r = 'None'\n"
                "    print(r, flush=True)\n")
        self.p = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True)

    def __call__(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()
        return eval(self.p.stdout.readline())

    def end(self):
        self.p.stdin.close()
        self.p.wait()


@case
def rename_over_an_open_file_keeps_the_old_content_readable(d):
    put(d + "/old", b"old" * 5000)
    put(d + "/new", b"new" * 100)
    f = open(d + "/old", "rb")
    os.rename(d + "/new", d + "/old")
    expect(f.read() == b"old" * 5000, "the open file changed")
    expect(get(d + "/old") == b"new" * 100, "the name shows something else")
    expect(os.listdir(d) == ["old"], os.listdir(d))
    expect(os.fstat(f.fileno()).st_nlink == 0, "nlink")


@case
def rename_moves_directories_and_refuses_loops(d):
    os.makedirs(d + "/a/b")
    os.mkdir(d + "/c")
    put(d + "/a/b/f", b"x")
    os.rename(d + "/a/b", d + "/c/b")
    expect(get(d + "/c/b/f") == b"x")
    expect(os.stat(d + "/a").st_nlink == 2 and os.stat(d + "/c").st_nlink == 3, "link counts of parents")
    fails_with(errno.EINVAL, os.rename, d + "/c", d + "/c/b/c")
    fails_with(errno.ENOTEMPTY, os.rename, d + "/a", d + "/c")
    fails_with(errno.ENOTEMPTY, os.rmdir, d + "/c")
    fails_with(errno.ENOTDIR, os.rename, d + "/a", d + "/c/b/f")
    fails_with(errno.EISDIR, os.rename, d + "/c/b/f", d + "/a")
    expect(os.path.realpath(d + "/c/b/..") == os.path.realpath(d + "/c"))
    # RENAME_NOREPLACE and RENAME_EXCHANGE
    libc = ctypes.CDLL(None, use_errno=True)
    put(d + "/p", b"p")
    put(d + "/q", b"q")
    r = libc.renameat2(-100, (d + "/p").encode(), -100, (d + "/q").encode(), 1)
    expect(r == -1 and ctypes.get_errno() == errno.EEXIST, "NOREPLACE: errno", ctypes.get_errno())


@case
def unlinked_files_live_until_the_last_close(d):
    f = open(d + "/f", "w+b")
    f.write(b"a" * 100000)
    f.flush()
    os.unlink(d + "/f")
    expect(os.listdir(d) == [], os.listdir(d))
    f.write(b"b" * 100000)
    f.flush()
    f.seek(0)
    expect(f.read() == b"a" * 100000 + b"b" * 100000, "content")
    os.ftruncate(f.fileno(), 10)
    expect(os.fstat(f.fileno()).st_size == 10 and os.fstat(f.fileno()).st_nlink == 0)
    os.fsync(f.fileno())
    put(d + "/f", b"another")
    f.seek(0)
    expect(f.read() == b"a" * 10, "mixed up with a new file of that name")


@case
def appends_of_two_processes_do_not_overwrite_each_other(d):
    code = ("import os,sys\nf=os.open(sys.argv[1],os.O_WRONLY|os.O_APPEND|os.O_CREAT,0o644)\n"
            "for i in range(500): os.write(f,(sys.argv[2]+'%03d'%i+'.'*50+'\\n').encode())\n")
    ps = [subprocess.Popen([sys.executable, "-c", code, d + "/log", who]) for who in "xy"]
    expect([p.wait() for p in ps] == [0, 0])
    lines = get(d + "/log").split(b"\n")[:-1]
    expect(len(lines) == 1000, len(lines), "lines")
    for who in b"x", b"y":
        mine = [l for l in lines if l[:1] == who]
        expect(mine == [who + b"%03d" % i + b"." * 50 for i in range(500)], "lines of", who)


@case
def synchronous_and_direct_opens_write_what_is_read(d):
    for flags in (os.O_SYNC, os.O_DSYNC):
        f = os.open(d + "/f", os.O_RDWR | os.O_CREAT | os.O_TRUNC | flags, 0o600)
        expect(os.write(f, b"z" * 12345) == 12345)
        expect(os.pwrite(f, b"Y" * 10, 6000) == 10)
        os.close(f)
        expect(get(d + "/f") == b"z" * 6000 + b"Y" * 10 + b"z" * 6335)
    try:
        f = os.open(d + "/f", os.O_RDWR | os.O_DIRECT)
    except OSError as e:
        expect(e.errno == errno.EINVAL, e)
        return
    m = mmap.mmap(-1, 8192)
    m[:] = b"D" * 8192
    expect(os.pwritev(f, [m], 4096) == 8192)
    os.close(f)
    expect(get(d + "/f")[4096:12288] == b"D" * 8192)


@case
def sparse_files_read_zeros_and_take_no_room(d):
    f = os.open(d + "/s", os.O_RDWR | os.O_CREAT)
    for at in (0, 10 << 20, (1 << 40) + 777):
        os.pwrite(f, b"data@%d" % at, at)
    os.fsync(f)
    expect(os.fstat(f).st_size == (1 << 40) + 777 + len(b"data@%d" % ((1 << 40) + 777)))
    for at in (0, 10 << 20, (1 << 40) + 777):
        expect(os.pread(f, 5, at) == b"data@")
    expect(os.pread(f, 100000, 1 << 20) == bytes(100000))
    expect(os.pread(f, 100000, 1 << 39) == bytes(100000))
    expect(os.fstat(f).st_blocks * 512 < 4 << 20, os.fstat(f).st_blocks, "blocks")
    os.close(f)


@case
def a_hole_written_through_a_mapping_is_data(d):
    """A copy that skips holes must not miss what a program has in a shared mapping and has not synced."""
    f = os.open(d + "/m", os.O_RDWR | os.O_CREAT)
    os.ftruncate(f, 1 << 20)
    with mmap.mmap(f, 1 << 20) as m:
        m[500000:500005] = b"bytes"
        seen = os.lseek(f, 0, os.SEEK_DATA)
        expect(seen <= 500000, "data begins at", seen)
        expect(os.lseek(f, 500000, os.SEEK_HOLE) >= 500005)
        m.flush()
    os.close(f)
    f = os.open(d + "/m", os.O_RDONLY)
    seen = os.lseek(f, 0, os.SEEK_DATA)
    expect(4096 < seen <= 500000, "without a mapping the hole in front is one; data at", seen)
    fails_with(errno.ENXIO, os.lseek, f, 1 << 20, os.SEEK_DATA)
    os.close(f)


@case
def truncation_cuts_and_extends_with_zeros(d):
    rng = random.Random(3)
    f = os.open(d + "/t", os.O_RDWR | os.O_CREAT)
    model = bytearray()
    for i in range(150):
        if rng.random() < 0.5:
            at, data = rng.randint(0, len(model) + 9000), rng.randbytes(rng.randint(1, 20000))
            os.pwrite(f, data, at)
            model.extend(bytes(max(0, at + len(data) - len(model))))
            model[at : at + len(data)] = data
        else:
            size = rng.choice([0, len(model) // 2, len(model) + 5000, rng.randint(0, 200000)])
            os.ftruncate(f, size)
            model = (model + bytes(max(0, size - len(model))))[:size]
        expect(os.fstat(f).st_size == len(model), "size after step", i)
        if i % 10 == 0:
            expect(os.pread(f, len(model) + 1, 0) == model, "content after step", i)
    os.close(f)
    expect(get(d + "/t") == model)
    put(d + "/t", b"short")
    expect(get(d + "/t") == b"short", "O_TRUNC")


@case
def a_shared_mapping_shows_writes_of_another_process(d):
    put(d + "/m", bytes(40000))
    f = os.open(d + "/m", os.O_RDWR)
    m = mmap.mmap(f, 40000)
    o = Other()
    o("f = os.open(%r, os.O_RDWR)" % (d + "/m"))
    o("m = mmap.mmap(f, 40000)")
    m[5000:5005] = b"hello"
    expect(o("m[5000:5005]") == b"hello", "mapping to mapping")
    o("m[30000:30003] = b'you'")
    expect(m[30000:30003] == b"you", "and back")
    o("os.pwrite(f, b'written', 12000)")
    expect(m[12000:12007] == b"written", "write to mapping")
    m[13000:13003] = b"abc"
    expect(o("os.pread(f, 3, 13000)") == b"abc", "mapping to read")
    m.flush()
    os.fsync(f)
    m.close()
    os.close(f)
    o.end()
    expect(get(d + "/m")[5000:5005] == b"hello" and get(d + "/m")[30000:30003] == b"you")


@case
def posix_locks_exclude_other_processes_and_go_with_any_close(d):
    put(d + "/l", bytes(100))
    f = os.open(d + "/l", os.O_RDWR)
    o = Other()
    o("f = os.open(%r, os.O_RDWR)" % (d + "/l"))
    fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0)
    expect(o("tried(fcntl.lockf, f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5)") == "EAGAIN", "overlap granted")
    expect(o("tried(fcntl.lockf, f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 10)") == "done", "neighbour refused")
    # Far beyond the end of file, as SQLite does.
    expect(o("tried(fcntl.lockf, f, fcntl.LOCK_SH | fcntl.LOCK_NB, 510, 0x40000002)") == "done")
    fails_with(errno.EAGAIN, fcntl.lockf, f, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0x40000003)
    fcntl.lockf(f, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 0x40000003)
    # Any close of the file by this process drops its locks.
    os.close(os.open(d + "/l", os.O_RDONLY))
    expect(o("tried(fcntl.lockf, f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5)") == "done", "close kept the lock")
    # F_GETLK names the holder.
    raw = fcntl.fcntl(f, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
    kind, _, _, _, pid = struct.unpack("hhqqi4x", raw)
    expect(kind != fcntl.F_UNLCK and pid == o.p.pid, "holder", pid, "instead of", o.p.pid)
    o.end()
    fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)


@case
def a_waiting_lock_is_granted_when_the_holder_dies(d):
    put(d + "/l", b"")
    o = Other()
    o("f = os.open(%r, os.O_RDWR)" % (d + "/l"))
    o("fcntl.lockf(f, fcntl.LOCK_EX)")
    waiter = subprocess.Popen([sys.executable, "-c", "import fcntl,os,sys\nf=os.open(sys.argv[1],os.O_RDWR)\n"
                               "print('asks',flush=True)\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint('has',flush=True)",
                               d + "/l"], stdout=subprocess.PIPE, text=True)
    expect(waiter.stdout.readline() == "asks\n")
    o.p.send_signal(signal.SIGKILL)
    o.p.wait()
    expect(waiter.stdout.readline() == "has\n")
    expect(waiter.wait() == 0)


@case
def ofd_locks_belong_to_the_open_file(d):
    F_OFD_SETLK = 37
    put(d + "/l", bytes(10))
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
    a, b = os.open(d + "/l", os.O_RDWR), os.open(d + "/l", os.O_RDWR)
    fcntl.fcntl(a, F_OFD_SETLK, lock)
    fails_with(errno.EAGAIN, fcntl.fcntl, b, F_OFD_SETLK, lock)
    os.close(os.open(d + "/l", os.O_RDONLY))
    fails_with(errno.EAGAIN, fcntl.fcntl, b, F_OFD_SETLK, lock)
    os.close(a)
    fcntl.fcntl(b, F_OFD_SETLK, lock)


@case
def flock_excludes_other_opens_and_is_inherited(d):
    put(d + "/l", b"")
    a, b = os.open(d + "/l", os.O_RDWR), os.open(d + "/l", os.O_RDWR)
    fcntl.flock(a, fcntl.LOCK_EX)
    fails_with(errno.EAGAIN, fcntl.flock, b, fcntl.LOCK_SH | fcntl.LOCK_NB)
    o = Other()
    o("f = os.open(%r, os.O_RDWR)" % (d + "/l"))
    expect(o("tried(fcntl.flock, f, fcntl.LOCK_EX | fcntl.LOCK_NB)") == "EAGAIN")
    c = os.dup(a)
    os.close(a)
    expect(o("tried(fcntl.flock, f, fcntl.LOCK_EX | fcntl.LOCK_NB)") == "EAGAIN", "a duplicate keeps the lock")
    os.close(c)
    expect(o("tried(fcntl.flock, f, fcntl.LOCK_EX | fcntl.LOCK_NB)") == "done")
    o.end()


@case
def five_thousand_names_are_listed_found_and_removed(d):
    names = ["name-%d-%s" % (i, "x" * (i % 150)) for i in range(5000)]
    for n in names:
        os.close(os.open(d + "/" + n, os.O_CREAT | os.O_WRONLY))
    expect(sorted(os.listdir(d)) == sorted(names), "listing")
    for n in names[::97]:
        expect(os.stat(d + "/" + n).st_size == 0)
    fails_with(errno.ENOENT, os.stat, d + "/name-5000-")
    # Removing while listing skips nothing that stays.
    seen = []
    with os.scandir(d) as it:
        for e in it:
            seen.append(e.name)
            if int(e.name.split("-")[1]) % 2:
                os.unlink(e.path)
    expect(len(set(seen)) == len(seen), "a name came twice")
    expect(set(names[::2]) <= set(seen), "a name was skipped")
    expect(sorted(os.listdir(d)) == sorted(names[::2]))


@case
def metadata_is_kept_to_the_nanosecond(d):
    put(d + "/f", b"x")
    os.chmod(d + "/f", 0o4751)
    os.utime(d + "/f", ns=(1234567890123456789, 987654321987654321))
    s = os.stat(d + "/f")
    expect(stat.S_IMODE(s.st_mode) == 0o4751, oct(s.st_mode))
    expect((s.st_atime_ns, s.st_mtime_ns) == (1234567890123456789, 987654321987654321), s.st_mtime_ns)
    os.utime(d + "/f", ns=(-5000000001, 5000000000 * 10**9))
    expect(os.stat(d + "/f").st_atime_ns == -5000000001 and os.stat(d + "/f").st_mtime_ns == 5000000000 * 10**9,
           "times before 1970 and after 2106")
    if os.geteuid() == 0:
        os.chown(d + "/f", 12345, 54321)
        s = os.stat(d + "/f")
        expect((s.st_uid, s.st_gid) == (12345, 54321))
    before = os.stat(d).st_mtime_ns
    put(d + "/g", b"")
    expect(os.stat(d).st_mtime_ns > before, "creating does not touch the directory's mtime")
    m = os.stat(d + "/g").st_mtime_ns
    put(d + "/g", b"more")
    expect(os.stat(d + "/g").st_mtime_ns > m and os.stat(d + "/g").st_ctime_ns > m, "writing does not touch mtime")


@case
def links_share_one_file_and_symlinks_are_only_text(d):
    put(d + "/a", b"1")
    os.link(d + "/a", d + "/b")
    expect(os.stat(d + "/a").st_ino == os.stat(d + "/b").st_ino and os.stat(d + "/a").st_nlink == 2)
    put(d + "/b", b"22")
    expect(get(d + "/a") == b"22")
    os.unlink(d + "/a")
    expect(get(d + "/b") == b"22" and os.stat(d + "/b").st_nlink == 1)
    for target in ("b", "nowhere", "x" * 4095):
        os.symlink(target, d + "/s")
        expect(os.readlink(d + "/s") == target and os.lstat(d + "/s").st_size == len(target))
        os.unlink(d + "/s")
    fails_with(errno.EEXIST, os.symlink, "x", d + "/b")
    os.mkdir(d + "/dir")
    fails_with(errno.EPERM, os.link, d + "/dir", d + "/dir2")
    fails_with(errno.ENAMETOOLONG, put, d + "/" + "n" * 256, b"")
    put(d + "/" + "n" * 255, b"")
    put(d + "/\xfc \n\t'\"*", b"odd")
    expect(get(d + "/\xfc \n\t'\"*") == b"odd")


@case
def a_big_file_reads_back_in_any_order(d):
    h, block = hashlib.sha256(), 1 << 20
    rng = random.Random(5)
    blocks = [rng.randbytes(block) for _ in range(4)]
    f = os.open(d + "/big", os.O_RDWR | os.O_CREAT)
    for i in range(64):
        b = b"%08d" % i + blocks[i % 4][8:]
        expect(os.write(f, b) == block)
    os.fsync(f)
    os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED)
    for i in rng.sample(range(64), 64):
        expect(os.pread(f, block, i * block) == b"%08d" % i + blocks[i % 4][8:], "block", i)
    expect(os.fstat(f).st_size == 64 * block)
    os.close(f)


@case
def exclusive_creation_has_one_winner(d):
    code = ("import os,sys\ntry: os.open(sys.argv[1],os.O_CREAT|os.O_EXCL); print('won')\n"
            "except FileExistsError: print('lost')")
    for i in range(5):
        ps = [subprocess.Popen([sys.executable, "-c", code, d + "/x%d" % i], stdout=subprocess.PIPE, text=True)
              for _ in range(4)]
        expect(sorted(p.communicate()[0] for p in ps) == ["lost\n"] * 3 + ["won\n"])


@case
def statfs_and_fsync_of_directories_answer(d):
    v = os.statvfs(d)
    expect(v.f_bsize >= 512 and v.f_blocks > 0 and v.f_bfree <= v.f_blocks and v.f_namemax == 255, v)
    f = os.open(d, os.O_RDONLY | os.O_DIRECTORY)
    put(d + "/x", b"1")
    os.fsync(f)
    os.fdatasync(f)
    os.close(f)
    os.sync()


def main():
    what, base = sys.argv[1], sys.argv[-1]
    if what == "--list":
        print("\n".join(CASES))
        return
    for name in CASES if what == "all" else [what]:
        d = tempfile.mkdtemp(prefix=name[:20] + ".", dir=base)
        CASES[name](d)
        if what == "all":
            print("ok", name)


main()
