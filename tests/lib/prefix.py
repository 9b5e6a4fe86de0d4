#!/usr/bin/env python3
"""A seeded sequence of file operations, and the check that a tree is a prefix of it.

  prefix.py run DIR LOG SEED [--stop FILE]    carries operations 1, 2, 3, ... out below DIR until stopped or failing
  prefix.py check DIR LOG SEED                DIR must equal the model after k operations,
                                              last fsynced <= k <= last begun

Each operation is one system call that changes the volume, hence one mini-transaction: create, write (at most a million
bytes), append, rename (also over another file), link, symlink, unlink, mkdir, rmdir, truncate, chmod; now and then an
fsync of some file or of the directory, which makes everything before it durable. (Only a write that begins inside
a page may be two: the kernel sends the first page by itself when it has not got it. So a write may be found cut
there; the check then completes it.)
The log, outside the volume, gets
"? k" before operation k and "s k" after an fsync that followed operation k returned.  After a crash the next
run goes on from the k that the check found (it says so in the log: "= k").
"""
import argparse
import copy
import os
import random
import stat
import sys


class Model:
    """What the tree must look like; names are flat or one level down, files share content by identity (links)."""

    def __init__(self):
        self.names = {}  # name -> ["f", bytearray, mode] | ["l", target] | ["d"]

    def pick(self, rng, kind, top=None):
        found = sorted(n for n, e in self.names.items() if e[0] == kind and (top is None or ("/" in n) != top))
        return rng.choice(found) if found else None

    def step(self, k, rng):
        """Operation k as a tuple; the model is changed accordingly."""
        files = sum(e[0] == "f" for e in self.names.values())
        what = rng.choice(["create", "create", "write", "write", "append", "append", "rename", "over", "link",
                           "symlink", "unlink", "mkdir", "rmdir", "truncate", "chmod"])
        dirs = [""] + sorted(n + "/" for n, e in self.names.items() if e[0] == "d")
        fresh = rng.choice(dirs) + "f%d" % k
        old = self.pick(rng, "f")
        if files > 60:
            what = "unlink"
        links = sorted(n for n, e in self.names.items() if e[0] == "l")
        if len(links) > 20:
            del self.names[links[0]]
            return ("unlink", links[0])
        if what == "symlink":
            self.names[fresh] = ["l", ("to-%d" % k) * rng.randint(1, 9)]
            return ("symlink", fresh, self.names[fresh][1])
        if what == "mkdir" and len(dirs) < 6:
            self.names["d%d" % k] = ["d"]
            return ("mkdir", "d%d" % k)
        if what == "rmdir":
            empty = [d for d in dirs[1:] if not any(n.startswith(d) for n in self.names)]
            if empty:
                d = rng.choice(empty)[:-1]
                del self.names[d]
                return ("rmdir", d)
        if old is None or what in ("create", "mkdir", "rmdir"):
            self.names[fresh] = ["f", bytearray(), 0o644]
            return ("create", fresh)
        e = self.names[old]
        if what in ("write", "append"):
            size = rng.choice([1, 100, 4096, rng.randint(1, 9000), rng.randint(1, 40000)])
            at = len(e[1]) if what == "append" else rng.randint(0, len(e[1]) + 5000)
            if rng.random() < 0.04: # more than a frame takes, so that one mini-transaction is sent in pieces
                at, size = 0, rng.randint(300000, 1000000)
            elif len(e[1]) > 300000:
                at = rng.randint(0, 1000)
            data = rng.randbytes(size)
            if at > len(e[1]):
                e[1].extend(bytes(at - len(e[1])))
            e[1][at : at + len(data)] = data
            return ("write", old, at, data)
        if what == "truncate":
            size = rng.randint(0, len(e[1]) + 9000)
            e[1][:] = (e[1] + bytes(max(0, size - len(e[1]))))[:size]
            return ("truncate", old, size)
        if what == "chmod":
            e[2] = rng.choice([0o600, 0o640, 0o644, 0o755])
            return ("chmod", old, e[2])
        if what == "link":
            self.names[fresh] = e
            return ("link", old, fresh)
        if what == "unlink":
            del self.names[old]
            return ("unlink", old)
        to = self.pick(rng, "f") if what == "over" else fresh
        if self.names.get(to) is not e:  # renaming between two names of one file changes nothing
            self.names[to] = self.names.pop(old)
        return ("rename", old, to)

    def difference(self, tree):
        """Text, or None when TREE (as read_tree gives it) is this model."""
        if set(tree) != set(self.names):
            return "names: missing %s, surplus %s" % (sorted(set(self.names) - set(tree))[:5],
                                                      sorted(set(tree) - set(self.names))[:5])
        inode_of = {}
        for n, e in self.names.items():
            t = tree[n]
            if t[0] != e[0]:
                return "%s is a %s, not a %s" % (n, t[0], e[0])
            if e[0] == "l" and t[1] != e[1]:
                return "%s points to %s, not %s" % (n, t[1], e[1])
            if e[0] == "f":
                if t[1] != e[1]:
                    at = next((i for i, (x, y) in enumerate(zip(t[1], e[1])) if x != y), min(len(t[1]), len(e[1])))
                    return "%s differs at byte %d (%d bytes, expected %d)" % (n, at, len(t[1]), len(e[1]))
                if t[2] != e[2]:
                    return "%s has mode %o, not %o" % (n, t[2], e[2])
                if inode_of.setdefault(id(e), t[3]) != t[3]:
                    return "%s is not a link to the same file any more" % n
        return None


def carry_out(d, op):
    name = os.path.join(d, op[1])
    if op[0] == "create":
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    elif op[0] == "write":
        f = os.open(name, os.O_WRONLY)
        try:
            if os.pwrite(f, op[3], op[2]) != len(op[3]):
                raise OSError("short write")
        finally:
            os.close(f)
    elif op[0] == "truncate":
        os.truncate(name, op[2])
    elif op[0] == "chmod":
        os.chmod(name, op[2])
    elif op[0] == "symlink":
        os.symlink(op[2], name)
    elif op[0] in ("rename", "link"):
        getattr(os, op[0])(name, os.path.join(d, op[2]))
    else:
        getattr(os, op[0])(name)


def read_tree(d):
    tree = {}
    for base, dirs, files in os.walk(d):
        for n in dirs + files:
            path = os.path.join(base, n)
            s = os.lstat(path)
            key = os.path.relpath(path, d)
            if stat.S_ISLNK(s.st_mode):
                tree[key] = ("l", os.readlink(path))
            elif stat.S_ISDIR(s.st_mode):
                tree[key] = ("d",)
            else:
                with open(path, "rb") as f:
                    tree[key] = ("f", f.read(), stat.S_IMODE(s.st_mode), s.st_ino)
    return tree


def read_log(path):
    """(last begun, last durable, start of the present life) as the log tells."""
    begun = durable = start = 0
    if os.path.exists(path):
        for line in open(path):
            what, k = line[0], line[2:]
            if what == "?":
                begun = int(k)
            elif what == "s":
                durable = int(k)
            elif what == "=":
                begun = durable = start = int(k)
    return begun, durable, start


def rng_of(seed, k):
    return random.Random("%s/%d" % (seed, k))


def run(a):
    os.umask(0)
    model = Model()
    begun, durable, start = read_log(a.log)
    k = 0
    while k < start:
        k += 1
        model.step(k, rng_of(a.seed, k))
    log = os.open(a.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.makedirs(a.dir, exist_ok=True)
    try:
        while not (a.stop and os.path.exists(a.stop)):
            k += 1
            rng = rng_of(a.seed, k)
            op = model.step(k, rng)
            os.write(log, b"? %d\n" % k)
            carry_out(a.dir, op)
            if rng.random() < 0.15:
                some = model.pick(rng, "f") if rng.random() < 0.7 else None
                f = os.open(os.path.join(a.dir, some) if some else a.dir, os.O_RDONLY)
                try:
                    os.fsync(f)
                finally:
                    os.close(f)
                os.write(log, b"s %d\n" % k)
    except OSError as e:
        os.write(log, b"! %s\n" % str(e).encode())
        sys.exit("prefix: operation %d: %s" % (k, e))


def is_part_of(model, tree, op):
    """TREE is MODEL plus the first, partial page of the write OP."""
    name, at, data = op[1:]
    cut = 4096 - at % 4096
    if cut == 4096 or cut >= len(data):
        return False
    e = model.names[name]
    e[1].extend(bytes(max(0, at - len(e[1]))))
    e[1][at : at + cut] = data[:cut]
    return model.difference(tree) is None


def check(a):
    begun, durable, start = read_log(a.log)
    tree = read_tree(a.dir) if os.path.isdir(a.dir) else {}
    model = Model()
    why = []
    for k in range(0, begun + 1):
        if k:
            former = copy.deepcopy(model) if k > durable else None
            op = model.step(k, rng_of(a.seed, k))
            if former and op[0] == "write" and is_part_of(former, tree, op):
                carry_out(a.dir, op)
                tree = read_tree(a.dir)
        if k < durable:
            continue
        diff = model.difference(tree)
        if diff is None:
            with open(a.log, "a") as f:
                f.write("= %d\n" % k)
            print("prefix of %d operations; fsynced %d, begun %d" % (k, durable, begun))
            return
        why.append("k = %d: %s" % (k, diff))
    sys.exit("no k from %d (fsynced) to %d (begun) fits:\n%s" % (durable, begun, "\n".join(why[:8])))


p = argparse.ArgumentParser()
p.add_argument("what", choices=["run", "check"])
p.add_argument("dir")
p.add_argument("log")
p.add_argument("seed")
p.add_argument("--stop")
args = p.parse_args()
{"run": run, "check": check}[args.what](args)
