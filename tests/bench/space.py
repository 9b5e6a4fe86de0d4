#!/usr/bin/env python3
"""Disk use of each replica, and bytes written to its disk per byte that a program wrote, while programs overwrite and
delete.

  space.py DEMO.JSON [--quick] [--json] [--only NAME ...]

DEMO.JSON is what `hexad demo --json` has printed.  For each workload: the bytes that the program wrote to files, the
live bytes at its end (as statfs of the mount says), the largest disk use of a replica while it ran and after it (du of
the data directory), and disk/file (write_bytes of /proc/PID/io over the six servers, a sixth of their sum).  "after" is measured when the
figure has stood still for 10 s, or after 60 s.  Figures, never asserted.
"""
import argparse
import json
import os
import random
import sqlite3
import sys
import threading
import time

MIB = 1 << 20


def du(top):
    total = 0
    for base, _, names in os.walk(top):
        for n in names:
            try:
                total += os.stat(os.path.join(base, n)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


class Watch:
    """The largest disk use of the replicas, once a quarter of a second."""

    def __init__(self, demo):
        self.dirs = [os.path.join(demo["dir"], "data", s["name"], "segments") for s in demo["servers"]]
        self.pids = [s["pid"] for s in demo["servers"]]
        self.peak, self.stop = 0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def now(self):
        return max(map(du, self.dirs))

    def run(self):
        while not self.stop.wait(0.25):
            self.peak = max(self.peak, self.now())

    def written(self):
        total = 0
        for p in self.pids:
            with open("/proc/%d/io" % p) as f:
                total += int(next(line for line in f if line.startswith("write_bytes")).split()[1])
        return total / len(self.pids)

    def settled(self):
        end, last, since = time.monotonic() + 60, None, time.monotonic()
        while time.monotonic() < end:
            now = self.now()
            if now != last:
                last, since = now, time.monotonic()
            if time.monotonic() - since >= 10:
                break
            time.sleep(0.5)
        return last, time.monotonic() - (end - 60)


def put(path, size, sync=True, flags=os.O_CREAT | os.O_RDWR, piece=MIB):
    fd = os.open(path, flags, 0o600)
    for at in range(0, size, piece):
        os.pwrite(fd, random.randbytes(min(piece, size - at)), at)
    if sync:
        os.fsync(fd)
    os.close(fd)
    return size


def bulk(mnt, size):
    return put(os.path.join(mnt, "bulk"), size)


def overwrite(mnt, size, rounds):
    return sum(put(os.path.join(mnt, "bulk"), size) for _ in range(rounds))


def random_pages(mnt, size, count):
    fd, r = os.open(os.path.join(mnt, "bulk"), os.O_RDWR), random.Random(5)
    for i in range(count):
        os.pwrite(fd, r.randbytes(4096), r.randrange(size // 4096) * 4096)
        if i % 64 == 63:
            os.fsync(fd)
    os.fsync(fd)
    os.close(fd)
    return count * 4096


def tree(mnt, files, rounds):
    user = 0
    for k in range(rounds):
        top = os.path.join(mnt, "tree")
        os.makedirs(top, exist_ok=True)
        for i in range(files):
            d = os.path.join(top, "d%d" % (i % 20))
            os.makedirs(d, exist_ok=True)
            user += put(os.path.join(d, "f%d" % i), 2000 + 977 * (i % 60), sync=False)
        os.sync()
        for base, dirs, names in os.walk(top, topdown=False):
            for n in names:
                os.unlink(os.path.join(base, n))
            for n in dirs:
                os.rmdir(os.path.join(base, n))
    os.sync()
    return user


def sqlite_wal(mnt, seconds, vacuums=2, rate=0):
    path = os.path.join(mnt, "app.db")
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("pragma journal_mode=wal")
    db.execute("pragma synchronous=full")
    db.execute("create table if not exists t(k integer primary key, v blob)")
    user, r, end, n = 0, random.Random(7), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        db.execute("begin")
        for _ in range(10):
            v = r.randbytes(200)
            db.execute("insert or replace into t values(?, ?)", (r.randrange(100000), v))
            user += len(v) + 8
        db.execute("commit")
        n += 1
        if rate:
            time.sleep(max(0, (n + 1) / rate - (time.monotonic() - end + seconds)))
    for _ in range(vacuums):
        db.execute("vacuum")
    db.close()
    print("%d transactions of 10 rows of 200 bytes" % n, file=sys.stderr)
    return user


def delete(mnt):
    for n in os.listdir(mnt):
        if n != ".hexad":
            os.unlink(os.path.join(mnt, n)) if os.path.isfile(os.path.join(mnt, n)) else os.rmdir(os.path.join(mnt, n))
    os.sync()
    return 0


def file_bytes():
    return int(next(line for line in open("/proc/self/io") if line.startswith("wchar")).split()[1])


def live(mnt):
    v = os.statvfs(mnt)
    return (v.f_blocks - v.f_bfree) * v.f_frsize


def main():
    p = argparse.ArgumentParser()
    p.add_argument("demo")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--json", action="store_true")
    p.add_argument("--only", nargs="+")
    p.add_argument("--wal-seconds", type=int, help="of the SQLite workload; 3600: an hour")
    p.add_argument("--wal-rate", type=float, default=0, help="transactions a second at most; 0: as fast as it goes")
    a = p.parse_args()
    demo = json.load(open(a.demo))
    mnt, part = demo["mount"], 8 if a.quick else 1
    size = 256 * MIB // part
    works = [
        ("bulk load", lambda: bulk(mnt, size)),
        ("overwritten 20 times", lambda: overwrite(mnt, size, 20)),
        ("random pages", lambda: random_pages(mnt, size, size // 4096)),
        ("half of it punched", lambda: (os.truncate(os.path.join(mnt, "bulk"), size // 2), os.sync(), 0)[2]),
        ("trees written and deleted", lambda: tree(mnt, 4000 // part, 5)),
        ("sqlite wal, vacuum", lambda: sqlite_wal(mnt, a.wal_seconds or 60 // part, rate=a.wal_rate)),
        ("all deleted", lambda: delete(mnt)),
    ]
    rows = []
    for name, work in works:
        if a.only and not any(o in name for o in a.only):
            continue
        w = Watch(demo)
        was, t, user = w.written(), time.monotonic(), file_bytes()
        work()
        user = file_bytes() - user
        t = time.monotonic() - t
        after, settle = w.settled()
        w.stop.set()
        row = {"work": name, "user": user, "live": live(mnt), "peak": max(w.peak, after), "after": after,
               "written": w.written() - was, "seconds": round(t, 1), "settled": round(settle, 1)}
        rows.append(row)
        ratio = "%.2f" % (row["written"] / user) if user > MIB else "-"
        print("%-26s file %7.1f live %6.1f peak %7.1f after %7.1f disk/file %5s  (MiB; %.0f s, settled %.0f s)" %
              (name, user / MIB, row["live"] / MIB, row["peak"] / MIB, row["after"] / MIB, ratio, t, settle),
              flush=True, file=sys.stderr if a.json else sys.stdout)
    if a.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
