#!/usr/bin/env python3
"""Cost against size, one case on one demo: large.py CASE SIZE DEMO.JSON HEXAD >> RESULTS (a line of JSON for each step).

sparse    SIZE GiB of a sparse file; 200 writes of 4 KiB a GiB at random pages, an fsync after 64; a tenth of them read
          again by a new mount; the file removed, until its space is free
tree      SIZE files of 200 bytes, 100 a directory, 100 directories a directory; all of them looked up by a new mount; removed
database  SIZE MiB of SQLite (WAL, synchronous=FULL): rows of 1,000 characters of text, 1,000 a transaction; 1,000 one-row
          updates at random; 2,000 rows read at random by a new mount; all of it read in order

Of each step: how many units, seconds, processor time in microseconds for each unit (the mount; the six servers together: what they
do later falls into whatever runs then), largest memory meanwhile (mount, a server) in KiB, and at the end disk use of one
server in KiB.  `open`: a new mount until it answers, milliseconds.  Stops with an error when the six have put more
than 7.5 GiB on the disk.
"""
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time

CASE, SIZE, DEMO, HEXAD = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
with open(DEMO) as demo_file:
    D = json.load(demo_file)
MNT = D["mount"]
HZ = os.sysconf("SC_CLK_TCK")
MOST = 7.5 * (1 << 30)


def mount_pid():
    out = subprocess.run([HEXAD, "demo", "status", "--dir", D["dir"], "--json"], capture_output=True).stdout
    try:
        return json.loads(out)["mount_pid"]
    except (ValueError, KeyError):
        pass
    for p in os.listdir("/proc"):
        if p.isdigit():
            try:
                with open("/proc/%s/cmdline" % p, "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if b"mount" in words[1:2] and MNT.encode() in words:
                return int(p)
    raise OSError("no process has mounted " + MNT)


def processes():
    return [[mount_pid()], [s["pid"] for s in D["servers"]]]


def cpu(pids):
    """Seconds, of all threads, those that have ended included."""
    total = 0
    for p in pids:
        with open("/proc/%d/stat" % p) as f:
            words = f.read().rsplit(")", 1)[1].split()
        total += int(words[11]) + int(words[12])
    return total / HZ


def peak(pids):
    most = 0
    for p in pids:
        with open("/proc/%d/status" % p) as f:
            most = max(most, next(int(line.split()[1]) for line in f if line.startswith("VmHWM")))
    return most


def disk(server):
    total = 0
    for base, _, names in os.walk(os.path.join(D["dir"], "data", server["name"])):
        for n in names:
            try:
                total += os.stat(os.path.join(base, n)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def step(name, units, f):
    who = processes()
    for p in who[0] + who[1]:
        with open("/proc/%d/clear_refs" % p, "w") as r:
            r.write("5")
    was, start = [cpu(w) for w in who], time.monotonic()
    f()
    took = time.monotonic() - start
    used = [cpu(w) - b for w, b in zip(who, was)]
    used_disk = [disk(s) for s in D["servers"]]
    print(json.dumps({"case": CASE, "size": SIZE, "step": name, "units": units, "s": round(took, 3),
                      "mount_us": round(used[0] * 1e6 / units, 1), "servers_us": round(used[1] * 1e6 / units, 1),
                      "mount_KiB": peak(who[0]), "server_KiB": peak(who[1]), "disk_KiB": max(used_disk) >> 10}), flush=True)
    if sum(used_disk) > MOST:
        sys.exit("large: %d MiB on the disk: too much" % (sum(used_disk) >> 20))


def reopen():
    """A new mount: its cache is empty."""
    was = mount_pid()
    subprocess.run(["umount", MNT], check=True)
    while os.path.exists("/proc/%d" % was): # it makes everything durable first
        time.sleep(0.005)
    start = time.monotonic()
    subprocess.run([HEXAD, "demo", "heal", "--dir", D["dir"]], check=True, stdout=subprocess.DEVNULL)
    while True:
        try:
            with open(MNT + "/.hexad/status") as f:
                if f.read():
                    break
        except OSError:
            pass
        time.sleep(0.005)
    took = time.monotonic() - start
    print(json.dumps({"case": CASE, "size": SIZE, "step": "open", "ms": round(took * 1000)}), flush=True)


def free_pages():
    return os.statvfs(MNT).f_blocks - os.statvfs(MNT).f_bfree


def sparse():
    path, r, n = MNT + "/sparse", random.Random(SIZE), SIZE * 200
    pages = [r.randrange(SIZE << 18) for _ in range(n)]
    fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    os.ftruncate(fd, SIZE << 30)

    def write():
        for i, page in enumerate(pages):
            os.pwrite(fd, r.randbytes(4096), page << 12)
            if i % 64 == 63:
                os.fsync(fd)
        os.fsync(fd)
    step("write", n, write)
    os.close(fd)
    reopen()
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    some = r.sample(pages, n // 10)
    step("read", len(some), lambda: [os.pread(fd, 4096, page << 12) for page in some])

    def holes():
        at, found = 0, 0
        while True:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
            except OSError:
                break
            found += 1
            at = os.lseek(fd, at, os.SEEK_HOLE)
        if found > n or found < n // 2:
            sys.exit("large: %d pieces of data of %d" % (found, n))
    step("find data", n, holes)
    os.close(fd)
    used = free_pages()

    def remove():
        os.unlink(path)
        os.fsync(os.open(MNT, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        while used - free_pages() < len(set(pages)):
            time.sleep(0.01)
    step("remove", n, remove)


def name_of(i):
    return "%s/tree/%d/%d/%d" % (MNT, i // 10000, i // 100, i)


def tree():
    def make():
        for i in range(SIZE):
            if i % 100 == 0:
                os.makedirs(os.path.dirname(name_of(i)))
            fd = os.open(name_of(i), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            os.write(fd, b"x" * 200)
            os.close(fd)
        fd = os.open(MNT, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(fd)
        os.close(fd)
    step("make", SIZE, make)
    reopen()
    step("look up", SIZE, lambda: [os.stat(name_of(i)) for i in range(SIZE)])
    step("list", SIZE, lambda: sum(len(names) for _, _, names in os.walk(MNT + "/tree")))
    step("remove", SIZE, lambda: shutil.rmtree(MNT + "/tree"))


def database():
    path, r = MNT + "/large.db", random.Random(SIZE)
    words = ["%x" % r.getrandbits(28) for _ in range(2000)]
    text = lambda: " ".join(r.choices(words, k=130))[:1000]

    def open_db():
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("pragma journal_mode=wal")
        db.execute("pragma synchronous=full")
        return db
    db, rows = open_db(), SIZE * 1000
    db.execute("create table t(k integer primary key, v text)")

    def fill():
        for base in range(0, rows, 1000):
            db.execute("begin")
            db.executemany("insert into t values(?, ?)", ((base + i, text()) for i in range(1000)))
            db.execute("commit")
    step("fill", rows, fill)
    step("update", 1000, lambda: [db.execute("update t set v = ? where k = ?", (text(), r.randrange(rows)))
                                  for _ in range(1000)])
    db.close()
    reopen()
    db = open_db()
    step("read", 2000, lambda: [db.execute("select v from t where k = ?", (r.randrange(rows),)).fetchone()
                                for _ in range(2000)])
    step("scan", rows, lambda: db.execute("select sum(length(v)) from t").fetchone())
    db.close()


{"sparse": sparse, "tree": tree, "database": database}[CASE]()
