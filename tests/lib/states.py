#!/usr/bin/env python3
"""Crash states of a mount are prefixes: every file operation, and pairs, with kill -9 of the mount in or after them.

  states.py MNT LOCAL DEMO HEXAD [--seed N] [--lives N] [--pairs N] [--only "NAME NAME ..."]

A life: directories on the mount MNT get their first state each and are fsynced; then operations are carried out, one
after the other, each in a directory of its own (pairs: two in one), and during the last one or right after it the mount
is killed with -9 and started again (`HEXAD demo heal`).  What is found must be the state after some number k of these
operations in the order in which they were made, and k is not below the last fsync that returned.  What the states are is
learned on LOCAL, a directory of a local filesystem, by doing the same there: kind, mode, owner, links, length, bytes,
text, attributes, ACLs of everything.  (Times are each filesystem's own, but for those that an operation sets.)

Each operation is one mini-transaction as a program's calls reach the mount: no write begins inside one page and ends in
another (prefix.py says why), none changes what has a capability (the kernel removes that first, by itself), no range is
so large that it goes in parts.  All operations are tried, BATCH in a life,
unless --lives says how many lives; --only: these, in one life.  Prints TAP.
"""
import argparse
import ctypes
import hashlib
import os
import random
import shutil
import signal
import stat
import struct
import subprocess
import sys
import threading
import time

PAGE = 4096
BATCH = 8  # operations in one life
OLD = 1000000000
libc = ctypes.CDLL(None, use_errno=True)
KEPT = []  # descriptors that outlive their operation


# ---- the tree that each directory begins with ----
def acl(user, group, mask, other, named=None):
    entries = [(1, user, -1)] + ([(2, named, 1234)] if named is not None else []) + [(4, group, -1)]
    entries += ([(16, mask, -1)] if mask is not None else []) + [(32, other, -1)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *e) for e in entries)


FULL_ACL = acl(7, 5, 7, 1, named=6)
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
CAPS = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
KEEP, PUNCH, ZERO = 1, 2 | 1, 16
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
AT_FDCWD, AT_SYMLINK_FOLLOW = -100, 0x400


def data(n, seed=1):
    return random.Random(seed).randbytes(n)


def put(name, content=b"", mode=0o644, off=0, flags=0):
    f = os.open(name, os.O_WRONLY | os.O_CREAT | flags, mode)
    try:
        if content and os.pwrite(f, content, off) != len(content):
            raise OSError("short write")
    finally:
        os.close(f)


def prepare():
    for d in "a", "b", "c", "full", "full/inner", "empty":
        os.mkdir(d, 0o755)
    os.chmod("b", 0o2775)
    os.setxattr("c", DEFAULT, FULL_ACL)
    put("file", data(3 * PAGE))
    os.setxattr("file", "user.one", b"1" * 50)
    os.setxattr("file", "user.two", b"2" * 3000)
    os.chmod("file", 0o6755)
    for i in range(0, 12, 2):
        put("islands", data(100, i), off=i * PAGE)
    put("big", data(60 * PAGE, 7))
    os.symlink("somewhere", "link")
    os.mkfifo("pipe", 0o600)
    put("two", b"two names")
    os.link("two", "b/two")
    os.setxattr("two", ACCESS, FULL_ACL)
    put("spare", b"spare")
    put("capable", b"#!")
    os.setxattr("capable", "security.capability", CAPS)


# ---- what is done ----
def call(r):
    if r != 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))


def renameat2(a, b, flags):
    call(libc.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), flags))


def fallocate(name, mode, off, length):
    f = os.open(name, os.O_RDWR)
    try:
        call(libc.fallocate(f, mode, ctypes.c_long(off), ctypes.c_long(length)))
    finally:
        os.close(f)


def link_nameless():
    f = os.open("a", os.O_TMPFILE | os.O_RDWR, 0o640)
    try:
        os.write(f, data(PAGE, 3))
        call(libc.linkat(AT_FDCWD, b"/proc/self/fd/%d" % f, AT_FDCWD, b"a/named", AT_SYMLINK_FOLLOW))
    finally:
        os.close(f)


def unlink_open():
    KEPT.append(os.open("big", os.O_RDONLY))
    os.unlink("big")


def write_unlinked():
    KEPT.append(os.open("spare", os.O_RDWR))
    os.unlink("spare")
    os.pwrite(KEPT[-1], data(PAGE, 9), PAGE)


def fsync(name):
    f = os.open(name, os.O_RDONLY)
    try:
        os.fsync(f)
    finally:
        os.close(f)


OPS = {
    "create": lambda: put("new"),
    "create, long name": lambda: put("n" * 255),
    "create, set-gid directory": lambda: put("b/new"),
    "create, default ACL": lambda: put("c/new", mode=0o666),
    "fifo": lambda: os.mkfifo("new"),
    "socket": lambda: os.mknod("new", stat.S_IFSOCK | 0o600),
    "device": lambda: os.mknod("new", stat.S_IFCHR | 0o600, os.makedev(1, 3)),
    "mkdir": lambda: os.mkdir("new", 0o750),
    "mkdir, set-gid directory": lambda: os.mkdir("b/new"),
    "mkdir, default ACL": lambda: os.mkdir("c/new", 0o777),
    "symlink": lambda: os.symlink("elsewhere", "new"),
    "symlink, full length": lambda: os.symlink("s" * 4095, "new"),
    "link": lambda: os.link("file", "a/new"),
    "link a symlink": lambda: os.link("link", "a/new", follow_symlinks=False),
    "link a nameless file": link_nameless,
    "unlink": lambda: os.unlink("file"),
    "unlink one of two": lambda: os.unlink("two"),
    "unlink many pages": lambda: os.unlink("big"),
    "unlink islands": lambda: os.unlink("islands"),
    "unlink a symlink": lambda: os.unlink("link"),
    "unlink a fifo": lambda: os.unlink("pipe"),
    "unlink what is open": unlink_open,
    "unlink and write": write_unlinked,
    "rmdir": lambda: os.rmdir("empty"),
    "rmdir with an ACL": lambda: os.rmdir("c"),
    "rename": lambda: os.rename("file", "new"),
    "rename, other directory": lambda: os.rename("file", "b/new"),
    "rename a directory": lambda: os.rename("full", "b/new"),
    "rename over a file": lambda: os.rename("file", "spare"),
    "rename over one of two": lambda: os.rename("file", "b/two"),
    "rename over many pages": lambda: os.rename("spare", "big"),
    "rename over an empty directory": lambda: os.rename("full", "empty"),
    "rename, noreplace": lambda: renameat2("file", "a/new", NOREPLACE),
    "exchange files": lambda: renameat2("file", "b/two", EXCHANGE),
    "exchange file and directory": lambda: renameat2("full", "b/two", EXCHANGE),
    "exchange directories": lambda: renameat2("full/inner", "b", EXCHANGE),
    "whiteout": lambda: renameat2("file", "a/new", WHITEOUT),
    "whiteout over a file": lambda: renameat2("file", "spare", WHITEOUT),
    "write within a page": lambda: put("file", b"inside", off=100),
    "write a page": lambda: put("file", data(PAGE, 4), off=PAGE),
    "write pages": lambda: put("file", data(2 * PAGE, 5), off=PAGE),
    "write that grows": lambda: put("file", data(5 * PAGE, 5), off=PAGE),
    "append": lambda: put("spare", b"more", flags=os.O_APPEND),
    "write into a hole": lambda: put("islands", b"hole", off=3 * PAGE + 7),
    "write over islands": lambda: put("islands", data(10 * PAGE, 6), off=PAGE),
    "write far behind": lambda: put("spare", b"far", off=1 << 40),
    "write many frames": lambda: put("spare", data(1 << 20, 6)),
    "write, O_SYNC": lambda: put("file", data(PAGE, 8), flags=os.O_SYNC),
    "truncate": lambda: os.truncate("file", 0),
    "truncate within a page": lambda: os.truncate("file", 5000),
    "truncate, larger": lambda: os.truncate("file", 100000),
    "truncate many pages": lambda: os.truncate("big", PAGE + 1),
    "truncate islands": lambda: os.truncate("islands", 5),
    "open with O_TRUNC": lambda: os.close(os.open("file", os.O_WRONLY | os.O_TRUNC)),
    "chmod": lambda: os.chmod("file", 0o4600),
    "chmod with an ACL": lambda: os.chmod("two", 0o710),
    "chown": lambda: os.chown("file", 5, 6),
    "chown what has a capability": lambda: os.chown("capable", 5, 6),
    "chown a directory": lambda: os.chown("b", 5, -1),
    "utimes": lambda: os.utime("file", (1, 2)),
    "allocate": lambda: fallocate("file", 0, PAGE, 10 * PAGE),
    "punch within a page": lambda: fallocate("file", PUNCH, 100, 50),
    "punch a page": lambda: fallocate("file", PUNCH, PAGE, PAGE),
    "zero within a page": lambda: fallocate("file", ZERO | KEEP, 100, 50),
    "zero a page": lambda: fallocate("file", ZERO | KEEP, PAGE, PAGE),
    "set an attribute": lambda: os.setxattr("file", "user.new", b"n" * 30),
    "set it, other length": lambda: os.setxattr("file", "user.two", b"n" * 700),
    "set it, same length": lambda: os.setxattr("file", "user.two", b"n" * 3000),
    "set a trusted one": lambda: os.setxattr("full", "trusted.t", b"t"),
    "set a capability": lambda: os.setxattr("spare", "security.capability", CAPS),
    "set an access ACL": lambda: os.setxattr("spare", ACCESS, FULL_ACL),
    "set an ACL that is a mode": lambda: os.setxattr("two", ACCESS, acl(6, 4, None, 0)),
    "set a default ACL": lambda: os.setxattr("a", DEFAULT, FULL_ACL),
    "remove an attribute": lambda: os.removexattr("file", "user.one"),
    "remove a long attribute": lambda: os.removexattr("file", "user.two"),
    "remove an access ACL": lambda: os.removexattr("two", ACCESS),
    "remove a default ACL": lambda: os.removexattr("c", DEFAULT),
    "fsync": lambda: fsync("a"),
}
BARRIERS = ("fsync", "write, O_SYNC")


# ---- looking ----
def digest(path, size):
    """Of the bytes that are not zeros, with their places; holes are skipped."""
    h, at = hashlib.md5(), 0
    with open(path, "rb") as f:
        while at < size:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            block = os.pread(f.fileno(), PAGE - at % PAGE, at)
            if block.strip(b"\0"):
                h.update(b"%d:" % at + block.rstrip(b"\0"))
            at += len(block)
    return h.hexdigest()[:12]


def dump(d):
    """Everything below D, as lines."""
    found, lines = {}, []
    for base, dirs, files in os.walk(d):
        for n in sorted(dirs + files):
            path = os.path.join(base, n)
            s = os.lstat(path)
            rel = os.path.relpath(path, d)
            words = [stat.filemode(s.st_mode), s.st_uid, s.st_gid, s.st_nlink, s.st_ino]
            if s.st_mtime < OLD:
                words += ["times", s.st_atime_ns, s.st_mtime_ns]
            if stat.S_ISLNK(s.st_mode):
                words.append(os.readlink(path)[:30] + "... %d" % s.st_size)
            elif stat.S_ISREG(s.st_mode):
                words += [s.st_size, digest(path, s.st_size)]
            elif not stat.S_ISDIR(s.st_mode):
                words.append(s.st_rdev)
            for a in sorted(os.listxattr(path, follow_symlinks=False)):
                value = os.getxattr(path, a, follow_symlinks=False)
                words += [a, len(value), hashlib.md5(value).hexdigest()[:8]]
            lines.append([rel] + words)
    lines.sort(key=lambda w: w[0])
    for w in lines:  # which names are one inode, not which number it has
        w[5] = "=" + found.setdefault(w[5], w[0])
    return [" ".join(str(x) for x in w) for w in lines]


def difference(want, got):
    return ["%s: %s" % (d, line) for d in want
            for line in ["-" + x for x in want[d] if x not in got[d]] + ["+" + x for x in got[d] if x not in want[d]]]


# ---- the mount ----
class Mount:
    def __init__(self, a):
        self.mnt, self.demo, self.hexad = a.mnt, a.demo, a.hexad

    def pid(self):
        for p in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % p, "rb") as f:
                    words = f.read().split(b"\0")
                exe = os.readlink("/proc/%s/exe" % p)
            except OSError:
                continue
            mounts = any(os.path.basename(w) in (b"mount", b"hexadfs", b"mount.hexad") for w in words)
            if mounts and os.fsencode(self.mnt) in words and exe == os.path.realpath(self.hexad):
                return int(p)
        raise RuntimeError("no process serves %s" % self.mnt)

    def heal(self):
        end = time.monotonic() + 90
        again = 0
        while time.monotonic() < end:
            if time.monotonic() >= again:  # the first one may have come before the death of the mount was known
                r = subprocess.run([self.hexad, "demo", "heal", "--dir", self.demo], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
                again = time.monotonic() + 2
            try:
                with open(self.mnt + "/.hexad/status") as f:
                    if os.path.ismount(self.mnt) and f.read(1):
                        return
            except OSError:
                pass
            time.sleep(0.02)
        raise RuntimeError("the mount does not come back: " + r.stdout)


def inside(d, f):
    os.chdir(d)
    try:
        f()
    finally:
        os.chdir("/")


def close_kept():
    while KEPT:
        try:
            os.close(KEPT.pop())
        except OSError:
            pass


# ---- a life ----
def states_of(local, steps):
    """What every directory is after 0, 1, 2, ... of STEPS, or OSError when one cannot be done."""
    shutil.rmtree(local, ignore_errors=True)
    names = sorted({d for d, _ in steps})
    for d in names:
        os.makedirs(os.path.join(local, d))
        inside(os.path.join(local, d), prepare)
    state = {d: dump(os.path.join(local, d)) for d in names}
    states = [dict(state)]
    try:
        for d, what in steps:
            inside(os.path.join(local, d), OPS[what])
            state[d] = dump(os.path.join(local, d))
            states.append(dict(state))
    finally:
        close_kept()
    return states


def die(m, steps, rng):
    """Carries out STEPS below the mount and kills it in or after the last one.  Gives how many are durable for sure."""
    pid, durable = m.pid(), 0
    within, delay = rng.random() < 0.4, rng.random() * 0.0008
    barrier = rng.randrange(1, len(steps)) if len(steps) > 1 and rng.random() < 0.4 else None
    for k, (d, what) in enumerate(steps, 1):
        killer = None
        if k == len(steps) and within:
            killer = threading.Timer(delay, os.kill, (pid, signal.SIGKILL))
            killer.start()
        try:
            inside(os.path.join(m.mnt, d), OPS[what])
            if k == barrier:
                fsync(os.path.join(m.mnt, d))
            if what in BARRIERS or k == barrier:
                durable = k
        except OSError:
            if not killer:
                raise
        if killer:
            killer.join()
    if not within:
        os.kill(pid, signal.SIGKILL)
    close_kept()
    return durable


def life(m, local, number, steps, rng):
    """What is wrong, or None; and how many of the operations were found."""
    steps = [("%d.%d" % (number, d), what) for d, what in steps]
    states = states_of(local, steps)
    for d in states[0]:
        os.mkdir(os.path.join(m.mnt, d))
        inside(os.path.join(m.mnt, d), prepare)
    fsync(m.mnt)
    durable = die(m, steps, rng)
    m.heal()
    got = {d: dump(os.path.join(m.mnt, d)) for d in states[0]}
    for k in range(durable, len(states)):
        if states[k] == got:
            for d in states[0]:
                shutil.rmtree(os.path.join(m.mnt, d))
            return None, k
    k = min(range(durable, len(states)), key=lambda k: len(difference(states[k], got)))
    why = "no state from %d (durable) to %d of %s\nnearest: %d\n" % (durable, len(steps), steps, k)
    return why + "\n".join(difference(states[k], got)[:12]), None


def possible(local, draw):
    """What DRAW gives, once it can be done: of a pair the second may be impossible after the first."""
    while True:
        steps = draw()
        try:
            states_of(local, [(str(d), what) for d, what in steps])
            return steps
        except OSError:
            pass


def plan(a, local, rng):
    names = list(OPS)
    if a.only:
        return [list(enumerate(a.only.split(";")))]
    rng.shuffle(names)
    lives = [list(enumerate(names[k : k + BATCH])) for k in range(0, len(names), BATCH)][: a.lives]
    for _ in range(a.pairs):
        lives.append([])
        for d in range(BATCH // 2):
            lives[-1] += possible(local, lambda: [(d, rng.choice(names)), (d, rng.choice(names))])
    return lives


def main():
    p = argparse.ArgumentParser()
    for word in "mnt", "local", "demo", "hexad":
        p.add_argument(word)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--lives", type=int, help="at most so many lives of single operations")
    p.add_argument("--pairs", type=int, default=0, help="lives of pairs of operations in one directory")
    p.add_argument("--only", help="one life of these operations, with ; between them")
    a = p.parse_args()
    os.umask(0)
    m, rng = Mount(a), random.Random(a.seed)
    local = os.path.join(a.local, "tree")
    lives = plan(a, local, rng)
    print("1..%d" % len(lives), flush=True)
    bad = cut = 0
    for i, steps in enumerate(lives, 1):
        why, k = life(m, local, i, steps, rng)
        bad += why is not None
        cut += k is not None and k < len(steps)
        for line in (why or "").splitlines():
            print("# " + line)
        print("%sok %d - the mount killed in or after '%s': a prefix, %s of %d operations" %
              ("not " if why else "", i, steps[-1][1], k, len(steps)), flush=True)
    print("# in %d of %d lives some of the operations were lost" % (cut, len(lives)))
    sys.exit(bad > 0)


main()
