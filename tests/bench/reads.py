#!/usr/bin/env python3
"""What reading costs on a mount against a local directory of the same disk, in turns in one run; prints one JSON object.

  reads.py LOCAL MOUNT [--quick] [--floor DIR]      DIR: mounted by `bench_floor fuse DIR MIB`, MIB 128 (48 with --quick)

Of each row both sides run ROUNDS (5) times, in turns; given are both medians and the median of the ratios of the turns,
so that what else the machine does, which comes and goes, falls on both.

stat     os.stat of 2,000 files that the kernel knows, again and again for half a second
warm     a file of 128 MiB that was just read, read again in pieces of 1 MiB
cold     the same file, the kernel's pages of it dropped (of the servers' and the local disk too, as root) and pushed
         out of the mount's own cache by another file of that size
mapped   the same file, that was just read, through a mapping, in pieces of 1 MiB
floor    warm, the file of DIR in the place of the mount's: what any FUSE file system can give here
open     open, read 4 KiB, close of the 2,000 files: the kernel's pages are kept across opens
readers  4 KiB at random places, cold, by one process and by eight: reads a second (the mount only); and how much of the
         machine's processors was idle meanwhile: where nothing is, more readers cannot get more
"""
import json
import mmap
import os
import random
import statistics
import sys
import time

local, mount = sys.argv[1:3]
quick = "--quick" in sys.argv
floor = sys.argv[sys.argv.index("--floor") + 1] if "--floor" in sys.argv else None
ROUNDS = 3 if quick else 5
SIZE = (48 if quick else 128) << 20
FILES = 2000
MIB = 1 << 20


def make(base):
    d = os.path.join(base, "reads")
    os.makedirs(os.path.join(d, "files"), exist_ok=True)
    for name in ("one", "other"):
        with open(os.path.join(d, name), "wb") as f:
            noise = os.urandom(MIB)
            for i in range(SIZE // MIB):
                f.write(i.to_bytes(8, "little") + os.urandom(65536) + noise[65544:])
            f.flush()
            os.fsync(f.fileno())
    for i in range(FILES):
        with open(os.path.join(d, "files", str(i)), "wb") as f:
            f.write(b"x" * 5000)
    os.sync()
    return d


def read_all(path):
    f = os.open(path, os.O_RDONLY)
    buf = [bytearray(MIB)]
    t = time.perf_counter()
    n = 0
    while k := os.readv(f, buf):
        n += k
    t = time.perf_counter() - t
    os.close(f)
    return n / 1e6 / t


def forget(path):
    f = os.open(path, os.O_RDONLY)
    os.fsync(f)
    os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(f)
    try:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("1")
    except OSError:
        pass  # not root: what the servers have cached stays


def warm(d):
    read_all(os.path.join(d, "one"))
    return read_all(os.path.join(d, "one"))


def mapped(d):
    path = os.path.join(d, "one")
    read_all(path)
    f = os.open(path, os.O_RDONLY)
    t = time.perf_counter()
    with mmap.mmap(f, 0, prot=mmap.PROT_READ) as m:
        n = sum(len(m[i:i + MIB]) for i in range(0, len(m), MIB))
        t = time.perf_counter() - t
    os.close(f)
    return n / 1e6 / t


def cold(d):
    read_all(os.path.join(d, "other"))
    forget(os.path.join(d, "one"))
    return read_all(os.path.join(d, "one"))


def rate(names, once, seconds=0.5):
    for name in names:
        once(name)
    n = 0
    t = time.perf_counter()
    while time.perf_counter() - t < seconds:
        for name in names:
            once(name)
        n += len(names)
    return n / (time.perf_counter() - t)


def names(d):
    return [os.path.join(d, "files", str(i)) for i in range(FILES)]


def stat(d):
    return rate(names(d), os.stat)


def read_one(name):
    f = os.open(name, os.O_RDONLY)
    os.read(f, 4096)
    os.close(f)


def opens(d):
    return rate(names(d), read_one)


def reader(path, seed, seconds, pipe):
    rng = random.Random(seed)
    f = os.open(path, os.O_RDONLY)
    os.posix_fadvise(f, 0, 0, os.POSIX_FADV_RANDOM)
    n = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        os.pread(f, 4096, rng.randrange(SIZE // 4096) * 4096)
        n += 1
    os.write(pipe, b"%d\n" % n)


def readers(path, count, seed, seconds=0.5):
    r, w = os.pipe()
    for i in range(count):
        if os.fork() == 0:
            reader(path, seed * 1000 + i, seconds, w)
            os._exit(0)
    os.close(w)
    for i in range(count):
        os.wait()
    with os.fdopen(r) as f:
        return sum(int(x) for x in f) / seconds


def idle():
    """Of all processors, in ticks: idle, and all."""
    with open("/proc/stat") as f:
        ticks = [int(x) for x in f.readline().split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def parallel(d):
    """Each side from a cold start; what the eight read twice is too little to count."""
    path = os.path.join(d, "one")
    out = []
    for count in (1, 8):
        read_all(os.path.join(d, "other"))
        forget(path)
        was = idle()
        out.append(readers(path, count, random.randrange(1 << 30)))
        now = idle()
        out.append((now[0] - was[0]) / max(1, now[1] - was[1]))
    return out


here, there = make(mount), make(local)
rows = {}
for name, what in (("stat", stat), ("open", opens), ("warm", warm), ("floor", warm), ("mapped", mapped), ("cold", cold)):
    pairs = []
    if name == "floor" and not floor:
        continue
    for i in range(ROUNDS):
        pairs.append((what(floor if name == "floor" else here), what(there)))
    rows[name] = dict(mount=round(statistics.median(p[0] for p in pairs)),
                      local=round(statistics.median(p[1] for p in pairs)),
                      ratio=statistics.median(p[0] / p[1] for p in pairs),
                      all=[[round(x) for x in p] for p in pairs])
pairs = [parallel(here) for i in range(ROUNDS)]
middle = lambda k: statistics.median(p[k] for p in pairs)
rows["readers"] = dict(one=round(middle(0)), eight=round(middle(2)), ratio=statistics.median(p[2] / p[0] for p in pairs),
                       idle_one=middle(1), idle_eight=middle(3), all=pairs)
print(json.dumps(rows))
