#!/usr/bin/env python3
"""What one operation of a program costs: requests from the kernel, system calls, wake-ups, bytes.  Counted, not timed.

  cost.py DEMO.JSON [--count 200] [--only wal,delete] [--order] [--json]

DEMO.JSON is what `hexad demo --json` has printed; the mount must have nothing else to do.  Workloads, COUNT times each:

wal, delete   a one-row commit of SQLite, synchronous=FULL, a row of 100 random bytes
pwrite_sync   pwrite of 4 KiB, fdatasync
create        a file of 1,000 bytes made, written, closed
unlink        that file removed
read          a file of 1,000 bytes that is cached: open, read, close

Of each, per operation: requests by kind (hexad_fuse_requests of .hexad/metrics); system calls by name of the mount and of
one server (strace -c; left out where there is no strace); wake-ups of the program, the mount and a server (voluntary
context switches of all threads, in a run without strace), and the time that they were on a processor; mini-transactions, records, bytes of them, bytes of append requests to
all servers together, bytes that one server has given to its disk (write_bytes).  What the servers do later (folding records
into pages) falls into whatever runs then.  --order: instead, the requests of the last of three operations, in order.
"""
import argparse
import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile


class Demo:
    def __init__(self, path):
        with open(path) as f:
            d = json.load(f)
        self.dir, self.mnt, self.mount = d["dir"], d["mount"], d["mount_pid"]
        self.servers = [s["pid"] for s in d["servers"]]

    def figures(self):
        got = {}
        with open(self.mnt + "/.hexad/metrics") as f:
            for line in f:
                if not line.startswith("#"):
                    name, value = line.rsplit(None, 1)
                    got[name] = float(value)
        return got


def wake_ups(pid):
    total = 0
    for t in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/status" % (pid, t)) as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt"))
    return total


def cpu(pid):
    """Microseconds on a processor, of all threads."""
    total = 0
    for t in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, t)) as f:
            total += int(f.read().split()[0])
    return total / 1000


def disk_bytes(pid):
    with open("/proc/%d/io" % pid) as f:
        return int(next(line for line in f if line.startswith("write_bytes")).split()[1])


# ---- workloads: given a directory, what is to be counted, after it has run a few times ----
def commits(mode):
    def make(where):
        db = sqlite3.connect(where + "/app.db", isolation_level=None)
        db.execute("pragma journal_mode=" + mode)
        db.execute("pragma synchronous=full")
        db.execute("create table t(id integer primary key, v blob)")
        return lambda i: db.execute("insert into t(v) values(?)", (os.urandom(100),))
    return make


def pwrite_sync(where):
    fd = os.open(where + "/file", os.O_CREAT | os.O_RDWR, 0o644)

    def step(i):
        os.pwrite(fd, os.urandom(4096), i % 64 * 4096)
        os.fdatasync(fd)
    return step


def name_of(where, i):
    return "%s/%d" % (where, i)


def make_file(where, i):
    fd = os.open(name_of(where, i), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    os.write(fd, b"x" * 1000)
    os.close(fd)


def create(where):
    return lambda i: make_file(where, i)


def unlink(where):
    for i in range(-WARM, ARGS.count):
        make_file(where, i)
    return lambda i: os.unlink(name_of(where, i))


def read(where):
    make_file(where, 0)

    def step(i):
        fd = os.open(name_of(where, 0), os.O_RDONLY)
        os.read(fd, 4096)
        os.close(fd)
    return step


KINDS = {"wal": commits("wal"), "delete": commits("delete"), "pwrite_sync": pwrite_sync, "create": create,
         "unlink": unlink, "read": read}
WARM = 20


def calls_of(path):
    got = {}
    with open(path) as f:
        for line in f:
            words = line.split()
            if len(words) >= 5 and words[0][0].isdigit() and words[-1] != "total":
                got[words[-1]] = int(words[3])
    return got


class Strace:
    """Attached to one process from begin to end."""

    def __init__(self, pid, out, *options):
        self.out = out
        self.p = subprocess.Popen(["strace", "-f", "-o", out, "-p", str(pid), *options], stderr=subprocess.PIPE)
        while b"attached" not in self.p.stderr.readline():
            if self.p.poll() is not None:
                raise OSError("strace does not attach to %d" % pid)

    def end(self):
        self.p.terminate()
        self.p.communicate()


def count(demo, make, work):
    n, where = ARGS.count, tempfile.mkdtemp(dir=demo.mnt)
    step = make(where)
    for i in range(-WARM, 0):
        step(i)
    everyone = [os.getpid(), demo.mount] + demo.servers
    demo.figures()
    was = demo.figures() # the two that come next cost as much as these
    own = {k: v - w for (k, v), w in zip(demo.figures().items(), was.values())}
    before, woken, disk = demo.figures(), [wake_ups(p) for p in everyone], [disk_bytes(p) for p in demo.servers]
    busy = [cpu(p) for p in everyone]
    for i in range(n):
        step(i)
    busy = [cpu(p) - b for p, b in zip(everyone, busy)]
    woken = [wake_ups(p) - w for p, w in zip(everyone, woken)]
    disk = [disk_bytes(p) - b for p, b in zip(demo.servers, disk)]
    after = demo.figures()
    per = lambda k: (after[k] - before.get(k, 0) - own.get(k, 0)) / n
    got = {"requests": {k.split('"')[1]: round(per(k), 2) for k in after
                        if k.startswith("hexad_fuse_requests{") and per(k) >= 0.005},
           "wake_ups": {"program": woken[0] / n, "mount": woken[1] / n, "server": sum(woken[2:]) / 6 / n},
           "cpu_us": {"program": busy[0] / n, "mount": busy[1] / n, "server": sum(busy[2:]) / 6 / n},
           "transactions": per("hexad_mtrs_total"), "records": per("hexad_lsn_last"),
           "record_bytes": per("hexad_record_bytes_total"), "wire_bytes": per("hexad_wire_bytes_total"),
           "disk_bytes": sum(disk) / 6 / n}
    if shutil.which("strace") and make is not unlink: # what it removes is gone by now
        m, s = Strace(demo.mount, work + "/mount", "-c"), Strace(demo.servers[0], work + "/server", "-c")
        for i in range(n, 2 * n):
            step(i)
        m.end(), s.end()
        got["calls"] = {who: {k: round(v / n, 2) for k, v in calls_of(work + "/" + who).items() if v / n >= 0.05}
                        for who in ("mount", "server")}
    del step
    shutil.rmtree(where)
    return got


# ---- the order of requests ----
OPCODES = {1: "LOOKUP", 2: "FORGET", 3: "GETATTR", 4: "SETATTR", 10: "UNLINK", 14: "OPEN", 15: "READ", 16: "WRITE",
           18: "RELEASE", 20: "FSYNC", 22: "GETXATTR", 25: "FLUSH", 30: "FSYNCDIR", 35: "CREATE", 42: "BATCH_FORGET"}
NAMED = {"LOOKUP": 0, "UNLINK": 0, "GETXATTR": 8, "CREATE": 16} # bytes before the name


def order(demo, make, work):
    where = tempfile.mkdtemp(dir=demo.mnt)
    step = make(where)
    for i in range(-WARM, 2):
        step(i)
    s = Strace(demo.mount, work + "/order", "-xx", "-s", "160", "-e", "trace=read")
    step(2)
    os.stat(demo.mnt + "/.hexad/metrics") # a request by which the end is known
    s.end()
    with open(work + "/order") as f:
        for line in f:
            m = re.search(r'read\([^"]*"([^"]*)".*= (\d+)$', line)
            b = bytes.fromhex(m.group(1).replace("\\x", "")) if m else b""
            if len(b) < 40:
                continue
            _, op, _, ino = struct.unpack("<IIQQ", b[:24])
            name = OPCODES.get(op, "opcode %d" % op)
            more = b[40 + NAMED[name]:].split(b"\0")[0].decode() if name in NAMED else ""
            if name == "WRITE":
                more = "%d bytes at %d" % struct.unpack("<8xQI", b[40:60])[::-1]
            print("  %-9s inode %-8d %s" % (name, ino, more))
    del step
    shutil.rmtree(where)


def show(kind, got):
    print("%s: %.1f requests: %s" % (kind, sum(got["requests"].values()),
                                    ", ".join("%s %g" % kv for kv in sorted(got["requests"].items()))))
    print("  wake-ups: " + ", ".join("%s %.1f" % kv for kv in got["wake_ups"].items()))
    print("  processor, us: " + ", ".join("%s %.0f" % kv for kv in got["cpu_us"].items()))
    print("  log: %.1f transactions, %.1f records, %.0f bytes; append requests to all six %.0f bytes; disk of a server %.0f bytes"
          % tuple(got[k] for k in ("transactions", "records", "record_bytes", "wire_bytes", "disk_bytes")))
    for who, calls in got.get("calls", {}).items():
        print("  system calls, %s: %.1f: %s" % (who, sum(calls.values()), ", ".join(
            "%s %g" % kv for kv in sorted(calls.items(), key=lambda kv: -kv[1]))))


p = argparse.ArgumentParser()
p.add_argument("demo")
p.add_argument("--count", type=int, default=200)
p.add_argument("--only", default=",".join(KINDS))
p.add_argument("--order", action="store_true")
p.add_argument("--json", action="store_true")
ARGS = p.parse_args()
the_demo, all_of_it = Demo(ARGS.demo), {}
with tempfile.TemporaryDirectory() as scratch:
    for one in ARGS.only.split(","):
        if ARGS.order:
            print(one + ":")
            order(the_demo, KINDS[one], scratch)
        else:
            all_of_it[one] = count(the_demo, KINDS[one], scratch)
            if not ARGS.json:
                show(one, all_of_it[one])
            sys.stdout.flush()
if ARGS.json:
    print(json.dumps(all_of_it, indent=2))
