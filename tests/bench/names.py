#!/usr/bin/env python3
"""A directory of many names: what making, finding, missing and listing one name costs as it grows; prints one JSON object.

  names.py DIR [MOST]     MOST names in the end (100,000); figures at 10^4, 10^5, ... of them

Times are microseconds a name.  create: the last 5,000 that were made.  lookup, missing: stat of 2,000 names at random that
are there, or are not, and that the kernel has forgotten (root only: it drops what it caches).  list: os.scandir of all,
the kernel's listing forgotten.  requests: what the mount was asked meanwhile, a name, where DIR is on a mount.
"""
import json
import os
import random
import sys
import time

base = sys.argv[1]
most = int(sys.argv[2]) if len(sys.argv) > 2 else 100000
directory = os.path.join(base, "names")
os.mkdir(directory)
rng = random.Random(5)


def mount_of(path):
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


metrics = os.path.join(mount_of(os.path.abspath(base)), ".hexad", "metrics")


def requests():
    try:
        with open(metrics) as f:
            return int(next(line for line in f if line.startswith("hexad_fuse_requests_total ")).split()[1])
    except OSError:
        return 0


def forget():
    try:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("2")
    except OSError:
        pass


def measured(once, things):
    before = requests()
    t = time.perf_counter()
    for x in things:
        once(x)
    t = time.perf_counter() - t
    return {"us": round(1e6 * t / len(things), 1), "requests": round((requests() - before) / len(things), 2)}


def name(i):
    return os.path.join(directory, "%d.some-name" % i)


def make(i):
    os.mknod(name(i))


def miss(i):
    try:
        os.stat(name(-i))
    except FileNotFoundError:
        return
    raise AssertionError


made = 0
sizes = []
size = 10000
while size <= most:
    while made < size - 5000:
        make(made)
        made += 1
    row = {"names": size, "create": measured(make, range(size - 5000, size))}
    made = size
    forget()
    row["lookup"] = measured(lambda i: os.stat(name(i)), rng.sample(range(size), 2000))
    row["missing"] = measured(miss, rng.sample(range(1, size), 2000))
    forget()
    before = requests()
    t = time.perf_counter()
    n = 0
    with os.scandir(directory) as it:
        for _ in it:
            n += 1
    assert n == size, n
    row["list"] = {"us": round(1e6 * (time.perf_counter() - t) / n, 2), "requests": round((requests() - before) / n, 4)}
    sizes.append(row)
    print(json.dumps(row), file=sys.stderr, flush=True)
    size *= 10
print(json.dumps(sizes))
