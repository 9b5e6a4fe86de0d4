#!/usr/bin/env python3
"""The same calls on two directories, and what is different:  posix.py CASE LOCAL OTHER root|user  or  posix.py --list.

A case calls the system in a fresh directory and tells what each call gave: success, errno, and what it changed (times
as "which of them moved", never their values; numbers of inodes and devices not at all).  What it tells of LOCAL, a
directory of a local filesystem, is right by definition; what it tells of OTHER must be the same, line by line.
`user` runs it as an ordinary user who is in two groups, on directories that root has prepared.
posix_kit.py has what the cases share, posix_edges.py those of sizes, alignments, locks and paths.
"""
import ctypes
import difflib
import errno
import os
import shutil
import socket
import stat
import struct
import sys
import traceback

import posix_kit as kit
import posix_edges  # noqa: F401 - has cases
from posix_kit import (acl, AT_FDCWD, AT_SYMLINK_FOLLOW, call, CAPS, case, CASES, fallocate, get, GROUP,
                       libc, put, renameat2, SECOND, show_acl, STRANGE, Trace, USER)


# ---- extended attributes ----
@case
def extended_attributes(t):
    put("f")
    os.mkdir("d")
    os.symlink("f", "l")
    os.mkfifo("p")
    for path in "f", "d", "l", "p":
        for name in "user.a", "trusted.a", "security.a", "foo.a", "user.", "a", "system.a":
            t.do("set %s of %s" % (name, path), os.setxattr, path, name, b"value", 0, follow_symlinks=False)
            t.do("get %s of %s" % (name, path), os.getxattr, path, name, follow_symlinks=False)
        t.say("list", path, sorted(os.listxattr(path, follow_symlinks=False)))
    t.do("create again", os.setxattr, "f", "user.a", b"x", os.XATTR_CREATE)
    t.do("replace nothing", os.setxattr, "f", "user.b", b"x", os.XATTR_REPLACE)
    t.do("replace", os.setxattr, "f", "user.a", b"other", os.XATTR_REPLACE)
    t.do("get", os.getxattr, "f", "user.a")
    for n in 0, 1, 5, 500, 1500, 5, 2500, 0:
        t.do("set %d bytes" % n, os.setxattr, "f", "user.a", b"%04d" % n * (n // 4) + b"z" * (n % 4))
        t.do("get %d bytes" % n, os.getxattr, "f", "user.a")
    buf = ctypes.create_string_buffer(2500)
    os.setxattr("f", "user.a", b"12345678")
    t.do("get, too small", call, "getxattr", "f", "user.a", buf, 7)
    t.do("get, just so", call, "getxattr", "f", "user.a", buf, 8)
    t.do("get, how much", call, "getxattr", "f", "user.a", None, 0)
    t.do("list, too small", call, "listxattr", "f", buf, 3)
    t.do("long name", os.setxattr, "f", "user." + "n" * 250, b"long")
    t.do("its value", os.getxattr, "f", "user." + "n" * 250)
    t.do("too long name", os.setxattr, "f", "user." + "n" * 251, b"long")
    t.do("too long value", os.setxattr, "f", "user.a", b"v" * 65537)
    t.do("remove", os.removexattr, "f", "user.a")
    t.do("remove again", os.removexattr, "f", "user.a")
    t.do("get removed", os.getxattr, "f", "user.a")
    t.times("set", ["f", "."], os.setxattr, "f", "user.t", b"1")
    t.times("set again", ["f", "."], os.setxattr, "f", "user.t", b"2")
    t.times("get", ["f", "."], os.getxattr, "f", "user.t")
    t.times("list", ["f", "."], lambda: len(os.listxattr("f")))
    t.times("remove", ["f", "."], os.removexattr, "f", "user.t")
    os.setxattr("f", "user.kept", b"k")
    os.rename("f", "g")
    os.link("g", "h")
    t.do("by another name", os.getxattr, "h", "user.kept")
    put("g", b"new content")
    t.do("after a write", os.getxattr, "h", "user.kept")
    for i in range(40):
        os.setxattr("d", "user.%d" % i, b"%d" % i)
    t.say(sorted(os.listxattr("d")))
    for i in range(0, 40, 3):
        os.removexattr("d", "user.%d" % i)
    t.say([(n, os.getxattr("d", n)) for n in sorted(os.listxattr("d")) if n.startswith("user")])
    t.do("missing file", os.getxattr, "none", "user.a")


@case
def attributes_of_what_others_own(t):
    if kit.IS_ROOT:
        return
    for path in "roots", "roots-dir", "roots-readable", "roots-sticky":
        for name in "user.a", "trusted.a", "security.a":
            t.do("get %s of %s" % (name, path), os.getxattr, path, name)
            t.do("set %s of %s" % (name, path), os.setxattr, path, name, b"value")
            t.do("remove %s of %s" % (name, path), os.removexattr, path, name)
        t.do("list " + path, lambda p=path: sorted(os.listxattr(p)))


@case
def capabilities_go_with_a_change(t):
    if not kit.IS_ROOT:
        return
    fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o755)

    def again(what, f, *a):
        os.setxattr("f", "security.capability", CAPS)
        t.do(what, f, *a)
        t.do("   capability after it", os.getxattr, "f", "security.capability")
    again("nothing", os.stat, "f")
    again("chmod", os.chmod, "f", 0o700)
    again("utime", os.utime, "f")
    again("rename", os.rename, "f", "f")
    again("write", os.write, fd, b"abc")
    again("write again", os.write, fd, b"abc")
    again("truncate", os.truncate, "f", 2)
    again("ftruncate", os.ftruncate, fd, 20)
    again("chown", os.chown, "f", 5, 5)
    again("chown to the same", os.chown, "f", 5, 5)
    again("fallocate", fallocate, fd, 0, 0, 8192)
    again("punch", fallocate, fd, 3, 0, 4096)
    again("open with O_TRUNC", lambda: os.close(os.open("f", os.O_WRONLY | os.O_TRUNC)))
    again("read", os.pread, fd, 10, 0)


# ---- set-id bits ----
SET_IDS = [0o4755, 0o2755, 0o6777, 0o2745, 0o2766, 0o6666, 0o1777]


@case
def set_id_bits_go_with_a_change(t):
    def opened(path, flags, act):
        fd = os.open(path, flags)
        try:
            act(fd)
        finally:
            os.close(fd)
    changes = [
        ("write", lambda p: opened(p, os.O_WRONLY, lambda fd: os.write(fd, b"x"))),
        ("write twice", lambda p: opened(p, os.O_WRONLY, lambda fd: [os.write(fd, b"x"), os.write(fd, b"y")])),
        ("write nothing", lambda p: opened(p, os.O_WRONLY, lambda fd: os.write(fd, b""))),
        ("append", lambda p: opened(p, os.O_WRONLY | os.O_APPEND, lambda fd: os.write(fd, b"x"))),
        ("write directly", lambda p: opened(p, os.O_WRONLY | os.O_SYNC, lambda fd: os.pwrite(fd, b"x", 5))),
        ("truncate", lambda p: os.truncate(p, 1)),
        ("truncate larger", lambda p: os.truncate(p, 100)),
        ("ftruncate to the same", lambda p: opened(p, os.O_WRONLY, lambda fd: os.ftruncate(fd, 8))),
        ("open with O_TRUNC", lambda p: opened(p, os.O_WRONLY | os.O_TRUNC, lambda fd: None)),
        ("creat", lambda p: opened(p, os.O_WRONLY | os.O_TRUNC | os.O_CREAT, lambda fd: None)),
        ("fallocate", lambda p: opened(p, os.O_WRONLY, lambda fd: fallocate(fd, 0, 0, 4096))),
        ("punch", lambda p: opened(p, os.O_WRONLY, lambda fd: fallocate(fd, 3, 0, 4096))),
        ("chown to the same", lambda p: os.chown(p, os.stat(p).st_uid, os.stat(p).st_gid)),
        ("chown of nothing", lambda p: os.chown(p, -1, -1)),
        ("chgrp", lambda p: os.chown(p, -1, SECOND)),
        ("utime", lambda p: os.utime(p)),
        ("chmod", lambda p: os.chmod(p, stat.S_IMODE(os.stat(p).st_mode))),
        ("link", lambda p: os.link(p, p + "-linked")),
    ]
    n = 0
    for group in (GROUP, STRANGE) if kit.IS_ROOT else (GROUP,):
        for what, act in changes:
            for mode in SET_IDS:
                n += 1
                p = "f%d" % n
                put(p, b"content!")
                if kit.IS_ROOT:
                    os.chown(p, USER, group)
                os.chmod(p, mode)
                t.do("%s of %o" % (what, mode), act, p)
                t.stat("  ", p)
    for i, mode in enumerate(SET_IDS):
        os.mkdir("d%d" % i)
        os.chmod("d%d" % i, mode)
        t.do("chown of directory %o" % mode, os.chown, "d%d" % i, -1, GROUP if not kit.IS_ROOT else 77)
        t.stat("  ", "d%d" % i)
    if not kit.IS_ROOT:  # a user's writes to what is not his
        for name in sorted(os.listdir("shared")):
            t.do("write to " + name, lambda p: opened(p, os.O_WRONLY, lambda fd: os.write(fd, b"x")), "shared/" + name)
            t.stat("  ", "shared/" + name)
            t.do("chmod of " + name, os.chmod, "shared/" + name, 0o6777)
        own = "own"
        put(own)
        os.chown(own, -1, SECOND)
        t.do("set-gid of a second group", os.chmod, own, 0o2755)
        t.stat("  ", own)
        t.do("chgrp to a group that it is not in", os.chown, own, -1, STRANGE)


@case
def set_gid_directories_hand_their_group_on(t):
    os.mkdir("d")
    if kit.IS_ROOT:
        os.chown("d", 0, STRANGE)
    else:
        os.chown("d", -1, SECOND)
    os.chmod("d", 0o2775)
    t.stat("d", "d")
    old = os.umask(0o022)
    os.mkdir("d/sub")
    t.stat("sub", "d/sub")
    os.mkdir("d/sub/sub", 0o700)
    t.stat("sub/sub", "d/sub/sub")
    put("d/f")
    t.stat("f", "d/f")
    os.close(os.open("d/g", os.O_CREAT | os.O_WRONLY, 0o2755))
    t.stat("g, 2755", "d/g")
    os.mkfifo("d/p")
    t.stat("p", "d/p")
    os.symlink("x", "d/l")
    t.stat("l", "d/l", follow_symlinks=False)
    os.rename("d/sub", "sub")
    t.stat("moved out", "sub")
    os.umask(old)
    if not kit.IS_ROOT:
        for name in "shared-gid-dir/a", "shared-gid-dir/b":
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o2775))
            t.stat(name, name)
        os.mkdir("shared-gid-dir/c", 0o2775)
        t.stat("c", "shared-gid-dir/c")


@case
def umask_and_modes(t):
    for mask in 0o000, 0o022, 0o077, 0o777:
        old = os.umask(mask)
        d = "m%o" % mask
        os.mkdir(d + "d", 0o1777)
        os.close(os.open(d + "f", os.O_CREAT | os.O_RDONLY, 0o7777))
        os.mkfifo(d + "p", 0o666)
        call("mknod", d + "s", stat.S_IFSOCK | 0o666, 0)
        os.symlink("x", d + "l")
        tmp = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o666)
        os.umask(old)
        t.stat("nameless", tmp)
        os.close(tmp)
        for kind in "dfpsl":
            t.stat(d + kind, d + kind, follow_symlinks=False)
    put("f")
    for mode in 0o7777, 0o1644, 0o0, 0o644:
        t.do("chmod %o" % mode, os.chmod, "f", mode)
        t.stat("f", "f")
    os.symlink("f", "l")
    t.do("chown of a link", os.chown, "l", os.getuid(), os.getgid(), follow_symlinks=False)
    t.stat("l", "l", follow_symlinks=False)


# ---- who may ----
@case
def sticky_directories(t):
    if kit.IS_ROOT:
        return
    for d in "sticky", "sticky-own":
        for name in sorted(os.listdir(d)):
            p = d + "/" + name
            t.do("rename " + p, os.rename, p, p + "-moved")
            t.do("rename over " + p, lambda p=p: [put("mine-%s-%s" % (d, name)), os.rename("mine-%s-%s" % (d, name), p)][1])
            t.do("exchange " + p, lambda p=p: [put(d + "/mine"), renameat2(d + "/mine", p, 2)][1])
            t.do("unlink " + p, os.unlink, p)
            t.do("rmdir " + p, os.rmdir, p)
        put(d + "/mine2")
        t.do("unlink what is its own", os.unlink, d + "/mine2")
        t.say(sorted(os.listdir(d)))


@case
def permissions(t):
    if kit.IS_ROOT:
        return
    for name in sorted(os.listdir("perms")):
        p = "perms/" + name
        if os.path.isdir(p):
            t.do("list " + p, os.listdir, p)
            t.do("look into " + p, lambda p=p: os.stat(p + "/in").st_size)
            t.fd("make in " + p, p + "/new", os.O_CREAT | os.O_WRONLY)
            t.do("mkdir in " + p, os.mkdir, p + "/newdir")
            t.do("mkfifo in " + p, os.mkfifo, p + "/newp")
            t.do("symlink in " + p, os.symlink, "x", p + "/newl")
            t.do("link into " + p, os.link, "own-file", p + "/newh")
            t.fd("O_TMPFILE in " + p, p, os.O_TMPFILE | os.O_RDWR)
            t.do("rename in " + p, os.rename, p + "/in", p + "/out")
            t.do("unlink in " + p, os.unlink, p + "/out")
            t.do("access " + p, lambda p=p: [os.access(p, m) for m in (os.R_OK, os.W_OK, os.X_OK)])
            continue
        for flags in "O_RDONLY", "O_WRONLY", "O_RDWR":
            t.fd("%s %s" % (flags, p), p, getattr(os, flags))
        t.fd("truncating open of " + p, p, os.O_WRONLY | os.O_TRUNC)
        t.do("truncate " + p, os.truncate, p, 3)
        t.do("chmod " + p, os.chmod, p, 0o777)
        t.do("chown " + p, os.chown, p, USER, -1)
        t.do("chgrp " + p, os.chown, p, -1, GROUP)
        t.do("utime now " + p, os.utime, p)
        t.do("utime then " + p, os.utime, p, (1, 1))
        t.do("access " + p, lambda p=p: [os.access(p, m) for m in (os.R_OK, os.W_OK, os.X_OK)])
        t.do("link " + p, os.link, p, name + "-link")
    t.do("mknod of a device", os.mknod, "dev", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    t.do("mknod of a whiteout", os.mknod, "whiteout", stat.S_IFCHR | 0o666, 0)


@case
def access_lists(t):
    put("f", b"x", 0o640)
    a = "system.posix_acl_access"
    full = acl("u::6", "U:%d:7" % (USER if kit.IS_ROOT else STRANGE), "g::4", "G:7:5", "m::5", "o::1")
    t.do("none yet", os.getxattr, "f", a)
    t.do("set", os.setxattr, "f", a, full)
    t.stat("f", "f")
    show_acl(t, "f", "f")
    t.say(sorted(os.listxattr("f")))
    for mode in 0o600, 0o777, 0o2644, 0o640:
        t.do("chmod %o" % mode, os.chmod, "f", mode)
        t.stat("f", "f")
        show_acl(t, "f", "f")
    t.do("one that is a mode", os.setxattr, "f", a, acl("u::7", "g::5", "o::4"))
    t.stat("f", "f")
    show_acl(t, "f", "f")
    t.do("set again", os.setxattr, "f", a, full)
    t.do("remove", os.removexattr, "f", a)
    t.do("remove again", os.removexattr, "f", a)
    t.stat("f", "f")
    show_acl(t, "f", "f")
    for bad in (b"", b"x", acl(), acl("u::7"), acl("u::7", "g::5", "o::9"), acl("g::5", "u::7", "o::1"),
                acl("u::7", "U:5:7", "g::5", "o::1"), acl("u::7", "g::5", "o::1", "o::1"), full[:-1]):
        t.do("set %r" % bad, os.setxattr, "f", a, bad)
    t.do("default of a file", os.setxattr, "f", "system.posix_acl_default", full)
    os.symlink("f", "l")
    t.do("of a link", os.setxattr, "l", a, full, 0, follow_symlinks=False)
    t.times("set", ["f"], os.setxattr, "f", a, full)
    t.times("remove", ["f"], os.removexattr, "f", a)
    if kit.IS_ROOT:
        os.chown("f", USER, STRANGE)
        os.chmod("f", 0o2755)
        os.setxattr("f", a, full)
        t.stat("set-gid, by root", "f")
    else:
        for name in sorted(os.listdir("acls")):
            p = "acls/" + name
            if os.path.isdir(p):
                t.do("look into " + p, os.listdir, p)
                t.fd("make in " + p, p + "/made", os.O_CREAT | os.O_WRONLY)
            for flags in "O_RDONLY", "O_WRONLY":
                t.fd("%s %s" % (flags, p), p, getattr(os, flags))
            t.do("set of " + p, os.setxattr, p, a, full)
            show_acl(t, p, p)
        os.chown("f", -1, SECOND)
        os.chmod("f", 0o2755)
        os.setxattr("f", a, full)
        t.stat("set-gid, by a member", "f")


@case
def default_access_lists(t):
    d = "system.posix_acl_default"
    lists = {
        "named": acl("u::7", "U:5:7", "g::5", "m::7", "o::1"),
        "plain": acl("u::7", "g::7", "o::7"),
        "tight": acl("u::6", "g::4", "o::0"),
        "mask": acl("u::7", "U:%d:6" % STRANGE, "g::7", "G:9:3", "m::4", "o::0"),
    }
    for name, bytes_ in lists.items():
        for mask in 0o022, 0o077, 0o000:
            os.umask(0o022)
            top = "%s-%o" % (name, mask)
            os.mkdir(top)
            t.times("set " + top, [top], os.setxattr, top, d, bytes_)
            t.stat(top, top)
            show_acl(t, top, top)
            os.umask(mask)
            os.mkdir(top + "/d", 0o755)
            os.mkdir(top + "/d/d")
            os.close(os.open(top + "/f", os.O_CREAT | os.O_WRONLY, 0o666))
            os.close(os.open(top + "/x", os.O_CREAT | os.O_WRONLY, 0o700))
            os.mkfifo(top + "/p", 0o640)
            os.symlink("f", top + "/l")
            fd = os.open(top, os.O_TMPFILE | os.O_RDWR, 0o666)
            call("linkat", AT_FDCWD, "/proc/self/fd/%d" % fd, AT_FDCWD, top + "/linked", AT_SYMLINK_FOLLOW)
            os.close(fd)
            for n in "d", "d/d", "f", "x", "p", "linked":
                t.stat(top + "/" + n, top + "/" + n)
                show_acl(t, top + "/" + n, top + "/" + n)
            t.stat(top + "/l", top + "/l", follow_symlinks=False)
            os.rename(top + "/f", top + "-moved")
            show_acl(t, "moved out", top + "-moved")
            t.do("remove", os.removexattr, top, d)
            os.mkdir(top + "/after")
            t.stat("made after", top + "/after")
            show_acl(t, "made after", top + "/after")
    os.umask(0o022)


# ---- names ----
@case
def files_without_a_name(t):
    fd = t.fd("O_TMPFILE", ".", os.O_TMPFILE | os.O_RDWR, 0o640)
    t.stat("it", fd)
    t.do("write", os.write, fd, b"content")
    t.say(sorted(os.listdir(".")))
    t.do("link", call, "linkat", AT_FDCWD, "/proc/self/fd/%d" % fd, AT_FDCWD, "named", AT_SYMLINK_FOLLOW)
    t.stat("it", fd)
    t.say(sorted(os.listdir(".")), get("named"))
    t.do("link again", call, "linkat", AT_FDCWD, "/proc/self/fd/%d" % fd, AT_FDCWD, "named2", AT_SYMLINK_FOLLOW)
    os.close(fd)
    t.stat("named", "named")
    os.unlink("named")
    t.stat("named2", "named2")
    fd = os.open("named2", os.O_RDONLY)
    os.unlink("named2")
    t.do("a name for what has lost its last", call, "linkat", AT_FDCWD, "/proc/self/fd/%d" % fd, AT_FDCWD, "back",
         AT_SYMLINK_FOLLOW)
    os.close(fd)
    fd = t.fd("O_TMPFILE with O_EXCL", ".", os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
    t.do("link of it", call, "linkat", AT_FDCWD, "/proc/self/fd/%d" % fd, AT_FDCWD, "no", AT_SYMLINK_FOLLOW)
    t.do("setxattr", os.setxattr, fd, "user.a", b"x")
    t.do("getxattr", os.getxattr, fd, "user.a")
    os.close(fd)
    t.fd("to read only", ".", os.O_TMPFILE | os.O_RDONLY)
    put("f")
    t.fd("in a file", "f", os.O_TMPFILE | os.O_RDWR)
    t.fd("in nothing", "none", os.O_TMPFILE | os.O_RDWR)
    t.times("O_TMPFILE", ["."], lambda: os.close(os.open(".", os.O_TMPFILE | os.O_RDWR)))
    t.say(sorted(os.listdir(".")))


@case
def renames(t):
    NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4

    def fresh():
        shutil.rmtree("r", ignore_errors=True)
        os.makedirs("r/d/sub")
        os.makedirs("r/full/in")
        os.mkdir("r/empty")
        put("r/f", b"f")
        put("r/g", b"g")
        os.link("r/f", "r/f2")
        os.symlink("f", "r/l")

    def tree():
        out = []
        for top, dirs, files in sorted(os.walk("r")):
            out.append("%s(%d)" % (top, os.stat(top).st_nlink))
            for n in sorted(files):
                s = os.lstat(top + "/" + n)
                out.append("%s/%s:%o:%d:%s" % (top, n, s.st_mode, s.st_nlink,
                                               get(top + "/" + n) if stat.S_ISREG(s.st_mode) else "-"))
        return " ".join(out)
    names = ["r/f", "r/g", "r/f2", "r/l", "r/d", "r/full", "r/empty", "r/d/sub", "r/none", "r/none/x", "r/f/x", "r/d/.",
             "r/d/..", "r", "r/g/", "r/d/"]
    flags = [0, NOREPLACE, EXCHANGE][:3 if kit.IS_ROOT else 1] + ([WHITEOUT, WHITEOUT | NOREPLACE, WHITEOUT | EXCHANGE] if kit.IS_ROOT else []) + [8, 3]
    for flag in flags:
        for a in names:
            for b in names:
                if flag in (8, 3) and b != "r/none":
                    continue
                fresh()
                t.do("%d %s %s" % (flag, a, b), renameat2, a, b, flag)
                t.say("  ", tree() if os.path.isdir("r") else "gone")
                if not os.path.isdir("r"):
                    shutil.rmtree("r/none", ignore_errors=True)
    fresh()
    t.times("rename", ["r", "r/d", "r/f", "r/g"], renameat2, "r/f", "r/d/g", 0)
    t.times("rename over", ["r", "r/d", "r/d/g", "r/g", "r/f2"], renameat2, "r/g", "r/d/g", 0)
    t.times("exchange", ["r", "r/d", "r/f2", "r/d/g"], renameat2, "r/f2", "r/d/g", 2)
    t.times("of a directory", ["r", "r/d", "r/full", "r/full/in"], renameat2, "r/full", "r/d/full", 0)
    t.times("to itself", ["r", "r/f2"], renameat2, "r/f2", "r/f2", 0)


@case
def names_and_links(t):
    for n in 254, 255, 256:
        t.fd("name of %d bytes" % n, "n" * n, os.O_CREAT | os.O_WRONLY)
        t.do("directory of %d bytes" % n, os.mkdir, "d" * n)
        t.do("lookup of %d bytes" % n, lambda: os.stat("x" * n).st_size)
    t.fd("name of bytes", b"\xff\xfe\x01", os.O_CREAT | os.O_WRONLY)
    t.say(sorted(os.listdir(b".")) == sorted(os.listdir(b".")), len(os.listdir(".")))
    for n in 1, 59, 60, 1000, 4095, 4096:
        t.do("link text of %d bytes" % n, os.symlink, "s" * n, "l%d" % n)
        t.do("text", lambda: len(os.readlink("l%d" % n)))
        t.stat("l%d" % n, "l%d" % n, follow_symlinks=False)
    t.do("empty text", os.symlink, "", "le")
    os.symlink("loop2", "loop1")
    os.symlink("loop1", "loop2")
    t.fd("loop", "loop1", os.O_RDONLY)
    t.fd("O_NOFOLLOW", "loop1", os.O_RDONLY | os.O_NOFOLLOW)
    put("f", b"f")
    t.do("link", os.link, "f", "h")
    t.stat("h", "h")
    t.do("link again", os.link, "f", "h")
    t.do("link of nothing", os.link, "none", "h2")
    t.do("link of a directory", os.link, ".", "h2")
    os.symlink("f", "s")
    t.do("link of a link", os.link, "s", "s2", follow_symlinks=False)
    t.stat("s2", "s2", follow_symlinks=False)
    t.do("link into nothing", os.link, "f", "none/h")
    t.do("link below a file", os.link, "f", "f/h")
    t.do("readlink of a file", os.readlink, "f")
    t.times("link", ["f", "."], os.link, "f", "h3")
    t.times("unlink", ["f", "."], os.unlink, "h3")
    t.times("symlink", ["."], os.symlink, "x", "sx")
    t.times("unlink of a link", ["."], os.unlink, "sx")
    for what in "f/", "none/", "s/":
        t.do("stat " + what, lambda: os.stat(what).st_size)
        t.do("unlink " + what, os.unlink, what)
        t.do("mkdir " + what, os.mkdir, what)
        t.do("rmdir " + what, os.rmdir, what)
    os.makedirs("dd/in")
    for what in "dd", "dd/in/.", "dd/in/..", "f", "none", "f/x", ".", "dd/in/", "dd":
        t.do("rmdir " + what, os.rmdir, what)
    os.mkdir("du")
    t.do("unlink of a directory", os.unlink, "du")
    t.do("mkdir again", os.mkdir, "du")
    t.do("mkdir over a file", os.mkdir, "f")
    t.do("mkdir over a dangling link", os.mkdir, "loop1")
    t.times("mkdir", ["."], os.mkdir, "dn")
    t.stat(".", ".")
    t.times("rmdir", ["."], os.rmdir, "dn")
    t.stat(".", ".")
    t.do("path of full length", lambda: os.stat("./" * 2047 + "f").st_size)
    t.do("path that is too long", lambda: os.stat("./" * 2048 + "f").st_size)


@case
def special_files(t):
    kinds = [("fifo", stat.S_IFIFO, 0), ("socket", stat.S_IFSOCK, 0), ("regular", stat.S_IFREG, 0), ("zero", 0, 0),
             ("directory", stat.S_IFDIR, 0), ("link", stat.S_IFLNK, 0), ("nonsense", 0o030000, 0)]
    if kit.IS_ROOT:
        kinds += [("null", stat.S_IFCHR, os.makedev(1, 3)), ("big", stat.S_IFBLK, os.makedev(259, 70000)),
                  ("whiteout", stat.S_IFCHR, 0), ("max", stat.S_IFCHR, os.makedev(4095, 1048575))]
    for name, kind, dev in kinds:
        t.times("mknod " + name, ["."], os.mknod, name, kind | 0o640, dev)
        t.stat(name, name, follow_symlinks=False)
        t.do("again", os.mknod, name, kind | 0o640, dev)
    t.fd("open a socket", "socket", os.O_RDWR)
    t.fd("open a fifo to write, nobody reads", "fifo", os.O_WRONLY | os.O_NONBLOCK)
    r = t.fd("open a fifo to read", "fifo", os.O_RDONLY | os.O_NONBLOCK)
    w = t.fd("open a fifo to write", "fifo", os.O_WRONLY | os.O_NONBLOCK)
    t.do("write", os.write, w, b"through")
    t.do("read", os.read, r, 100)
    t.stat("fifo", "fifo")
    t.do("truncate a fifo", os.truncate, "fifo", 0)
    t.do("seek", os.lseek, r, 0, 0)
    s = socket.socket(socket.AF_UNIX)
    t.do("bind", s.bind, "bound")
    t.stat("bound", "bound")
    s.listen()
    c = socket.socket(socket.AF_UNIX)
    t.do("connect", c.connect, "bound")
    t.do("connect to no one", socket.socket(socket.AF_UNIX).connect, "socket")
    t.do("chmod of a socket", os.chmod, "bound", 0o600)
    if kit.IS_ROOT:
        d = t.fd("open a device", "null", os.O_RDWR)
        if d is not None:
            t.do("write to it", os.write, d, b"gone")


# ---- bytes ----
@case
def allocation(t):
    KEEP, PUNCH, ZERO, UNSHARE = 1, 2, 0x10, 0x40
    data = bytes(range(1, 251)) * 200  # 50,000 bytes, none of them zero

    def told(fd):
        b = os.pread(fd, 200000, 0)
        runs, last = [], None
        for i, x in enumerate(b):
            z = x == 0
            if z != last:
                runs.append("%d%s" % (i, "z" if z else "d"))
                last = z
        return "%d bytes: %s" % (len(b), " ".join(runs))
    for mode in 0, KEEP, PUNCH, PUNCH | KEEP, ZERO, ZERO | KEEP, PUNCH | ZERO, PUNCH | ZERO | KEEP, 0x100, 0x4000:
        for off, n in (0, 4096), (100, 50), (100, 8000), (4096, 8192), (4000, 10000), (49000, 5000), (60000, 10000), \
                (0, 0), (-1, 5), (5, -1), (0, 100000), ((1 << 62) + 5, 1 << 61):
            put("f", data)
            fd = os.open("f", os.O_RDWR)
            t.do("mode %x off %d len %d" % (mode, off, n), fallocate, fd, mode, off, n)
            t.say("  ", told(fd))
            os.close(fd)
    put("f", data)
    fd = os.open("f", os.O_RDWR)
    for mode in 0, KEEP, PUNCH | KEEP, ZERO, ZERO | KEEP:
        t.times("mode %x" % mode, ["f"], fallocate, fd, mode, 0, 60000)
    ro = os.open("f", os.O_RDONLY)
    t.do("read-only descriptor", fallocate, ro, 0, 0, 10)
    ap = os.open("f", os.O_WRONLY | os.O_APPEND)
    t.do("append-only descriptor is none", fallocate, ap, 0, 0, 10)
    os.mkfifo("p")
    p = os.open("p", os.O_RDWR)
    t.do("of a fifo", fallocate, p, 0, 0, 10)
    d = os.open(".", os.O_RDONLY)
    t.do("of a directory", fallocate, d, 0, 0, 10)
    # what is allocated behind the end does not show when the file grows
    put("g", data)
    g = os.open("g", os.O_RDWR)
    t.do("behind the end", fallocate, g, KEEP, 40000, 100000)
    t.do("cut", os.ftruncate, g, 45000)
    t.do("grow", os.ftruncate, g, 150000)
    t.say(told(g))
    s = os.fstat(g)
    t.say("blocks of 512:", s.st_blocks * 512 >= 40000)
    t.do("all punched", fallocate, g, PUNCH | KEEP, 0, 150000)
    t.do("posix_fallocate", os.posix_fallocate, g, 0, 200000)
    t.say(told(g), os.fstat(g).st_blocks * 512 >= 200000)


@case
def data_and_holes(t):
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    P = 4096
    for at in 0, 5, 6, 20:
        os.pwrite(fd, b"d" * P, at * P)
    os.ftruncate(fd, 30 * P + 100)
    for off in [0, 1, P - 1, P, 2 * P, 5 * P, 6 * P + 5, 7 * P, 20 * P, 21 * P - 1, 21 * P, 30 * P, 30 * P + 99,
                30 * P + 100, 40 * P, -1]:
        t.do("data from %d" % off, os.lseek, fd, off, os.SEEK_DATA)
        t.do("hole from %d" % off, os.lseek, fd, off, os.SEEK_HOLE)
    os.ftruncate(fd, 0)
    t.do("data of nothing", os.lseek, fd, 0, os.SEEK_DATA)
    t.do("hole of nothing", os.lseek, fd, 0, os.SEEK_HOLE)
    t.do("seek before", os.lseek, fd, -1, os.SEEK_SET)
    t.do("seek far", os.lseek, fd, 1 << 40, os.SEEK_SET)
    t.do("write there", os.write, fd, b"x")
    t.do("data", os.lseek, fd, 0, os.SEEK_DATA)
    t.stat("f", "f")
    d = os.open(".", os.O_RDONLY)
    t.do("whence", os.lseek, fd, 0, 77)


@case
def reading_and_writing(t):
    fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644)
    t.times("write", ["f", "."], os.write, fd, b"0123456789")
    t.times("write nothing", ["f", "."], os.write, fd, b"")
    t.times("pwrite inside", ["f"], os.pwrite, fd, b"x", 3)
    t.times("pwrite behind", ["f"], os.pwrite, fd, b"x", 9000)
    t.stat("f", "f")
    t.say(os.pread(fd, 20, 0), os.pread(fd, 20, 8995), os.pread(fd, 20, 9001), os.pread(fd, 5, 100000))
    t.times("ftruncate smaller", ["f"], os.ftruncate, fd, 50)
    t.times("ftruncate to the same", ["f"], os.ftruncate, fd, 50)
    t.times("truncate to the same", ["f"], os.truncate, "f", 50)
    t.times("truncate larger", ["f"], os.truncate, "f", 5000)
    t.times("truncate to nothing", ["f"], os.truncate, "f", 0)
    t.times("truncate nothing to nothing", ["f"], os.truncate, "f", 0)
    t.times("open with O_TRUNC", ["f"], lambda: os.close(os.open("f", os.O_WRONLY | os.O_TRUNC)))
    t.do("negative truncate", os.ftruncate, fd, -1)
    t.do("far truncate", os.ftruncate, fd, 1 << 62)
    t.do("far write", os.pwrite, fd, b"x", 1 << 62)
    t.do("last byte of a file", os.pwrite, fd, b"x", (16 << 40) - 4096 - 1)
    t.stat("f", "f")
    os.ftruncate(fd, 0)
    ap = os.open("f", os.O_WRONLY | os.O_APPEND)
    os.write(ap, b"one")
    t.do("pwrite to an appending descriptor", os.pwrite, ap, b"two", 0)
    t.say(get("f"))
    ro = os.open("f", os.O_RDONLY)
    t.do("write to a reading descriptor", os.write, ro, b"x")
    t.do("ftruncate of a reading descriptor", os.ftruncate, ro, 1)
    wo = os.open("f", os.O_WRONLY)
    t.do("read from a writing descriptor", os.read, wo, 1)
    d = t.fd("open a directory to write", ".", os.O_WRONLY)
    d = t.fd("open a directory", ".", os.O_RDONLY)
    t.do("read a directory", os.read, d, 1)
    t.do("truncate a directory", os.truncate, ".", 0)
    t.fd("O_DIRECTORY of a file", "f", os.O_RDONLY | os.O_DIRECTORY)
    t.fd("O_EXCL", "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    t.fd("O_CREAT of a directory", ".", os.O_CREAT | os.O_RDONLY)
    t.fd("O_CREAT with a slash", "new/", os.O_CREAT | os.O_WRONLY)
    os.symlink("made", "dangling")
    t.fd("O_CREAT through a dangling link", "dangling", os.O_CREAT | os.O_WRONLY)
    t.stat("made", "made")
    t.fd("O_CREAT, O_EXCL and a link", "dangling", os.O_CREAT | os.O_WRONLY | os.O_EXCL)
    p = t.fd("O_PATH", "f", os.O_PATH)
    t.do("read from it", os.read, p, 1)
    t.stat("by it", p)
    put("src", bytes(range(256)) * 100)
    a, b = os.open("src", os.O_RDONLY), os.open("dst", os.O_RDWR | os.O_CREAT)
    t.do("copy_file_range", os.copy_file_range, a, b, 20000, 100, 7)
    t.do("copy_file_range behind the end", os.copy_file_range, a, b, 20000, 25000, 0)
    t.do("copy_file_range from the end", os.copy_file_range, a, b, 20000, 25600, 0)
    t.do("copy_file_range onto itself", os.copy_file_range, b, b, 100, 0, 50)
    t.say(hash(get("dst")) == hash(get("dst")), len(get("dst")), get("dst")[:20])
    t.times("copy_file_range", ["dst"], os.copy_file_range, a, b, 100, 0, 0)
    t.do("sendfile", os.sendfile, b, a, 0, 3000)
    t.stat("dst", "dst")
    v = os.statvfs(".")
    t.say("name max", v.f_namemax, "block", v.f_bsize, v.f_blocks >= v.f_bfree >= v.f_bavail, v.f_files >= v.f_ffree)


@case
def times(t):
    put("f", b"x" * 100)
    os.mkdir("d")
    os.symlink("f", "l")
    for path in "f", "d", "l":
        for spec in (0, 0), (1, 1), (-5, -5), (1 << 31, 1 << 31), ((1 << 33) + 1, 17):
            t.do("utime %s %r" % (path, spec), os.utime, path, spec, follow_symlinks=False)
            s = os.lstat(path)
            t.say("  ", int(s.st_atime), int(s.st_mtime))
        t.do("ns", os.utime, path, ns=(1111111111222222222, 1333333333444444444), follow_symlinks=False)
        s = os.lstat(path)
        t.say("  ", s.st_atime_ns, s.st_mtime_ns)
    t.times("utime", ["f"], os.utime, "f", (5, 5))
    t.times("chmod", ["f", "."], os.chmod, "f", 0o600)
    t.times("chmod to the same", ["f", "."], os.chmod, "f", 0o600)
    t.times("chown", ["f", "."], os.chown, "f", -1, GROUP)
    t.times("chown of nothing", ["f", "."], os.chown, "f", -1, -1)
    t.times("stat", ["f", "."], os.stat, "f")
    # relatime: what is read is newer than its atime, and then is not any more
    for i in range(2):
        put("d/%d" % i)
        t.times("list of what has changed", ["d"], lambda: len(os.listdir("d")))
        t.times("list again", ["d"], lambda: len(os.listdir("d")))
    t.times("readlink", ["l"], os.readlink, "l")
    fd = os.open("f", os.O_RDONLY)
    fcntl_drop(fd)
    os.utime("f", (100, 200))
    t.times("read of what has changed", ["f"], os.pread, fd, 5, 0)
    fcntl_drop(fd)
    t.times("read again", ["f"], os.pread, fd, 5, 0)
    os.utime("f", (100, 200))
    fcntl_drop(fd)
    na = os.open("f", os.O_RDONLY | os.O_NOATIME)
    t.times("read with O_NOATIME", ["f"], os.pread, na, 5, 0)
    t.times("fsync", ["f"], os.fsync, fd)
    t.times("make and remove", ["d"], lambda: [put("d/x"), os.unlink("d/x")][1])
    t.do("utime of nothing", os.utime, "none")


def fcntl_drop(fd):
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


# ---- directories and handles ----
class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("len", ctypes.c_uint16), ("type", ctypes.c_uint8),
                ("name", ctypes.c_char * 256)]


@case
def directory_positions(t):
    os.mkdir("d")
    for i in range(600):
        put("d/name-%04d" % i)
    libc.opendir.restype = ctypes.c_void_p
    libc.readdir.restype = ctypes.POINTER(Dirent)
    libc.telldir.restype = ctypes.c_long
    dp = ctypes.c_void_p(libc.opendir(b"d"))
    places, names = [], []
    while True:
        places.append(libc.telldir(dp))
        e = libc.readdir(dp)
        if not e:
            break
        names.append(e.contents.name)
    t.say(len(names), len(set(names)))
    # Names that stay are found again from every place, while others come and go.
    for i in range(0, 600, 7):
        os.unlink("d/name-%04d" % i)
    for i in range(300):
        put("d/other-%04d" % i)
    gone = {b"name-%04d" % i for i in range(0, 600, 7)}
    wrong = 0
    for k in range(0, len(names), 37):
        libc.seekdir(dp, ctypes.c_long(places[k]))
        seen = set()
        while True:
            e = libc.readdir(dp)
            if not e:
                break
            seen.add(e.contents.name)
        must = {n for n in names[k:] if n not in gone}
        wrong += len(must - seen) + len([n for n in seen if n in gone])
    t.say("missing or gone:", wrong)
    libc.rewinddir(dp)
    n = 0
    while libc.readdir(dp):
        n += 1
    t.say("after rewinddir:", n)
    fd = os.open("d", os.O_RDONLY)
    shutil.rmtree("d")
    t.do("list of what is removed", lambda: os.listdir(fd))
    t.stat("it", fd)
    t.fd("make in it", "x", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    t.do("look in it", lambda: os.stat("..", dir_fd=fd).st_nlink > 0)


@case
def removed_while_open(t):
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"content")
    os.link("f", "g")
    t.times("unlink", ["g", "."], os.unlink, "f")
    os.unlink("g")
    t.stat("it", fd)
    t.do("read", os.pread, fd, 10, 0)
    t.do("write", os.pwrite, fd, b"more", 100)
    t.do("fchmod", os.fchmod, fd, 0o640)
    t.do("ftruncate", os.ftruncate, fd, 10)
    t.do("fsync", os.fsync, fd)
    t.do("setxattr", os.setxattr, fd, "user.a", b"b")
    t.do("getxattr", os.getxattr, fd, "user.a")
    t.stat("it", fd)
    os.close(fd)
    put("a", b"a")
    put("b", b"b")
    fd = os.open("b", os.O_RDONLY)
    os.rename("a", "b")
    t.stat("replaced", fd)
    t.do("read", os.pread, fd, 10, 0)


@case
def handles(t):
    if not kit.IS_ROOT:
        return
    put("f", b"found")
    os.mkdir("d")
    mount = os.open(".", os.O_RDONLY)
    for name in "f", "d", ".":
        h = ctypes.create_string_buffer(struct.pack("<Ii", 128, 0), 8 + 128)
        mid = ctypes.c_int()
        t.do("name_to_handle_at " + name, call, "name_to_handle_at", AT_FDCWD, name, h, ctypes.byref(mid), 0)
        fd = t.do("open_by_handle_at", lambda: call("open_by_handle_at", mount, h, os.O_RDONLY) >= 0)
    h = ctypes.create_string_buffer(struct.pack("<Ii", 128, 0), 8 + 128)
    call("name_to_handle_at", AT_FDCWD, "f", h, ctypes.byref(mid), 0)
    os.unlink("f")
    t.do("of what is gone", call, "open_by_handle_at", mount, h, os.O_RDONLY)


# ---- what root prepares for the user ----
def prepare(d):
    def own(path, uid, gid, mode):
        os.chown(path, uid, gid)
        os.chmod(path, mode)
    put("roots", b"r", 0o600)
    put("roots-readable", b"r", 0o644)
    os.mkdir("roots-dir", 0o755)
    os.mkdir("roots-sticky")
    os.chmod("roots-sticky", 0o1777)
    for p in "roots", "roots-readable", "roots-dir", "roots-sticky":
        for name in "user.a", "trusted.a", "security.a":
            os.setxattr(p, name, b"root's")
    os.mkdir("shared", 0o755)
    for group in GROUP, SECOND, STRANGE, 0:
        for mode in 0o6777, 0o6766, 0o2777, 0o2766, 0o4777, 0o6676:
            p = "shared/%d-%o" % (group, mode)
            put(p, b"shared")
            own(p, 0, group, mode)
    os.mkdir("shared-gid-dir")
    own("shared-gid-dir", 0, STRANGE, 0o2777)
    put("own-file", b"mine")
    own("own-file", USER, GROUP, 0o644)
    for s, uid in ("sticky", 0), ("sticky-own", USER):
        os.mkdir(s)
        own(s, uid, GROUP, 0o1777)
        for name, u in ("roots", 0), ("mine-too", USER), ("strangers", STRANGE):
            put(s + "/" + name)
            own(s + "/" + name, u, GROUP, 0o666)
        os.mkdir(s + "/dir-of-root")
        own(s + "/dir-of-root", 0, 0, 0o777)
    os.mkdir("perms", 0o755)
    for who, uid, gid in ("owner", USER, STRANGE), ("group", 0, GROUP), ("second", 0, SECOND), ("other", 0, STRANGE):
        for mode in 0o000, 0o400, 0o200, 0o600, 0o040, 0o020, 0o004, 0o002, 0o666:
            p = "perms/%s-%03o" % (who, mode)
            put(p, b"perms")
            own(p, uid, gid, mode)
        for mode in 0o700, 0o070, 0o007, 0o777, 0o444, 0o222, 0o111, 0o333, 0o555:
            p = "perms/%s-dir-%03o" % (who, mode)
            os.mkdir(p)
            put(p + "/in", b"in")
            own(p + "/in", USER, GROUP, 0o644)
            own(p, uid, gid, mode)
    os.mkdir("acls", 0o755)
    a, d = "system.posix_acl_access", "system.posix_acl_default"
    for i, (mode, entries) in enumerate([
            (0o600, ["u::6", "U:%d:4" % USER, "g::0", "m::7", "o::0"]),
            (0o600, ["u::6", "U:%d:6" % USER, "g::0", "m::4", "o::0"]),
            (0o606, ["u::6", "U:%d:0" % USER, "g::0", "m::7", "o::6"]),
            (0o600, ["u::6", "g::0", "G:%d:6" % SECOND, "m::7", "o::0"]),
            (0o600, ["u::6", "g::0", "G:%d:6" % STRANGE, "m::7", "o::4"]),
            (0o660, ["u::6", "g::6", "G:%d:0" % GROUP, "G:%d:4" % SECOND, "m::6", "o::6"])]):
        p = "acls/f%d" % i
        put(p, b"listed")
        own(p, 0, STRANGE, mode)
        os.setxattr(p, a, acl(*entries))
        p = "acls/d%d" % i
        os.mkdir(p)
        own(p, 0, STRANGE, mode)
        os.setxattr(p, a, acl(*[e[:-1] + str(int(e[-1]) | (1 if int(e[-1]) else 0)) for e in entries]))
        os.setxattr(p, d, acl(*entries))
    put("acls/owned", b"own")
    own("acls/owned", USER, GROUP, 0o600)


def run(name, top, kind):
    """The lines that a case tells, run by a child in a directory of its own."""
    kit.IS_ROOT = kind == "root"
    d = os.path.join(top, name + "-" + kind)
    os.mkdir(d)
    os.chmod(d, 0o755)
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.chdir(d)
            os.umask(0o022)
            if not kit.IS_ROOT:
                prepare(d)
                os.chown(".", USER, GROUP)
                os.setgroups([GROUP, SECOND])
                os.setresgid(GROUP, GROUP, GROUP)
                os.setresuid(USER, USER, USER)
            t = Trace(d)
            try:
                CASES[name](t)
            except OSError as e:
                t.say("ended by", errno.errorcode.get(e.errno), "in line", sys.exc_info()[2].tb_next.tb_lineno
                      if sys.exc_info()[2].tb_next else sys.exc_info()[2].tb_lineno)
            with os.fdopen(w, "w", errors="backslashreplace") as f:
                f.write("\n".join(t.lines) + "\n")
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(w)
    with os.fdopen(r, errors="backslashreplace") as f:
        text = f.read()
    if os.waitpid(pid, 0)[1] != 0:
        text += "the case broke\n"
    return text.splitlines()


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
        return 0
    name, local, other, kind = sys.argv[1:]
    want, have = run(name, local, kind), run(name, other, kind)
    if "the case broke" in want:
        print("\n".join(want[-5:]))
        return 1
    if want == have:
        return 0
    print("\n".join(difflib.unified_diff(want, have, "local", "other", lineterm="", n=1)))
    return 1


sys.exit(main())
