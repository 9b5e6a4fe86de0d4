#!/usr/bin/env python3
"""What an ordinary user does, on any directory; prints one JSON object of absolute figures.

  work.py DIR [SECONDS]     SECONDS of each timed part (3)

wal, delete, wal_100rows: SQLite commits of one row (100 rows) of 100 random bytes, synchronous=full, by one process.
bulk_random, bulk_text: sequential 1 MiB writes of BULK_MB (256) MiB and one fsync: incompressible, and text.
pwrite4k_sync: 4 KiB at random places of a big file, each with fdatasync.  create: small files made, written, closed.
"""
import json
import os
import random
import sqlite3
import sys
import time

directory = sys.argv[1]
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3.0
MIB = 1 << 20


def timed(once):
    """Calls ONCE until the time is up; sorted times in seconds."""
    times = []
    end = time.perf_counter() + seconds
    t = time.perf_counter()
    while t < end:
        once()
        now = time.perf_counter()
        times.append(now - t)
        t = now
    return sorted(times)


def spread(times, unit):
    at = lambda q: round(times[min(len(times) - 1, int(len(times) * q))] * 1e6)
    return {unit: round(len(times) / sum(times)), "p50_us": at(0.5), "p99_us": at(0.99),
            "max_ms": round(times[-1] * 1e3, 1)}


def commits(mode, rows):
    path = os.path.join(directory, "%s-%d.db" % (mode, rows))
    for suffix in ("", "-wal", "-shm", "-journal"):
        if os.path.exists(path + suffix):
            os.unlink(path + suffix)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("pragma journal_mode=" + mode)
    db.execute("pragma synchronous=full")
    db.execute("create table t(id integer primary key, v blob)")

    def once():
        if rows > 1:
            db.execute("begin")
        for _ in range(rows):
            db.execute("insert into t(v) values(?)", (os.urandom(100),))
        if rows > 1:
            db.execute("commit")

    times = timed(once)
    db.close()
    return spread(times, "tx_s")


def bulk(name, block):
    mib = int(os.environ.get("BULK_MB", "256"))
    t = time.perf_counter()
    f = os.open(os.path.join(directory, name), os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o644)
    for i in range(mib):
        os.write(f, block(i))
    os.fsync(f)
    os.close(f)
    return {"MB_s": round(mib * MIB / 1e6 / (time.perf_counter() - t))}


def random_block(noise=os.urandom(MIB)):
    # Fresh in parts, so that nothing can be found twice.
    return lambda i: i.to_bytes(8, "little") + os.urandom(65536) + noise[65544:]


def text_block():
    line = b"%07d in the course of human events, a fox jumped over a dog\n"
    block = b"".join(line % i for i in range(MIB // 60 + 1))[:MIB]
    return lambda i: block


def synced_pwrites():
    f = os.open(os.path.join(directory, "bulk_random"), os.O_RDWR)
    pages = os.fstat(f).st_size // 4096
    rng = random.Random(11)

    def once():
        os.pwrite(f, os.urandom(4096), rng.randrange(pages) * 4096)
        os.fdatasync(f)

    times = timed(once)
    os.close(f)
    return spread(times, "ops_s")


def creations():
    base = os.path.join(directory, "small")
    os.makedirs(base, exist_ok=True)
    numbers = iter(range(10**9))

    def once():
        f = os.open(os.path.join(base, str(next(numbers))), os.O_CREAT | os.O_WRONLY, 0o644)
        os.write(f, b"x" * 1000)
        os.close(f)

    return spread(timed(once), "ops_s")


out = {
    "wal": commits("wal", 1),
    "delete": commits("delete", 1),
    "wal_100rows": commits("wal", 100),
    "bulk_random": bulk("bulk_random", random_block()),
    "bulk_text": bulk("bulk_text", text_block()),
    "pwrite4k_sync": synced_pwrites(),
    "create": creations(),
}
print(json.dumps(out))
