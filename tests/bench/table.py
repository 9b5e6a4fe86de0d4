#!/usr/bin/env python3
"""Puts what bench.sh measured into a table of absolute figures, ratios and targets:  table.py WORKDIR [--json]"""
import datetime
import json
import os
import platform
import sys

base = sys.argv[1]


def load(name):
    try:
        with open(os.path.join(base, name)) as f:
            return json.load(f)
    except (OSError, ValueError):
        return {}


local = {**load("local.work"), **load("local.read")}
mount = {**load("mount.work"), **load("mount.read")}
transport = load("transport.json")
ratios = load("ratios.json") or []
catchup = load("catchup.json")
pairs = load("pairs.json")
reads = load("reads.json")
floor = load("floor.json")
names = load("names.json") or []
memory = {}
with open(os.path.join(base, "memory")) as f:
    for line in f:
        k, v = line.split()
        memory.setdefault(k, []).append(float(v))

rows = []


def row(name, unit, here, there, target=None, lower=False):
    """TARGET: the ratio to reach (for times: not to exceed)."""
    ratio = round(here / there, 3) if here and there else None
    met = None if target is None or ratio is None else (ratio <= target if lower else ratio >= target)
    rows.append(dict(name=name, unit=unit, mount=here, local=there, ratio=ratio, target=target, met=met,
                     better="lower" if lower else "higher"))


def absolute(name, unit, value, target=None, lower=True):
    met = None if target is None or value is None else (value <= target if lower else value >= target)
    rows.append(dict(name=name, unit=unit, mount=value, local=None, ratio=None, target=target, met=met,
                     better="lower" if lower else "higher"))


get = lambda d, a, b: d.get(a, {}).get(b)
both = lambda a, b: (get(mount, a, b), get(local, a, b))
row("SQLite WAL, one-row commits", "1/s", *both("wal", "tx_s"), target=0.14)
row("SQLite DELETE journal, one-row commits", "1/s", *both("delete", "tx_s"), target=0.2)
row("SQLite WAL, 100-row commits", "1/s", *both("wal_100rows", "tx_s"))
row("sequential write + fsync, incompressible", "MB/s", *both("bulk_random", "MB_s"), target=0.08)
row("sequential write + fsync, text", "MB/s", *both("bulk_text", "MB_s"), target=0.2)
row("4 KiB pwrite + fdatasync", "1/s", *both("pwrite4k_sync", "ops_s"))
row("  p50", "us", *both("pwrite4k_sync", "p50_us"), lower=True)
row("create, write, close small files", "1/s", *both("create", "ops_s"))
absolute("  of these on the mount", "1/s", get(mount, "create", "ops_s"), target=1500, lower=False)
trees = (("create", "files of 1,000 bytes made, one directory", 0.15), ("untar", "untar of this source tree", 0.15),
         ("remove", "rm -r of that tree", None), ("clone", "git clone of this repository", 0.3),
         ("pgbench", "pgbench, scale 5, 4 clients", 0.35))
for kind, name, target in trees:
    if kind in pairs:  # the median over pairs, not the ratio of the two medians
        p = pairs[kind]
        rows.append(dict(name=name, unit=p["unit"], mount=p["mount"], local=p["local"], ratio=p["ratio"], target=target,
                         met=None if target is None else p["ratio"] >= target, better="higher"))
row("cold random 4 KiB read, p50", "us", *both("rand4k", "p50_us"), target=6, lower=True)
row("cold sequential read", "MB/s", *both("seq", "MB_s"))
alone = transport.get("p50_us")
here = get(mount, "pwrite4k_sync", "p50_us")
rows.append(dict(name="a commit, against the transport alone", unit="us", mount=here, local=alone,
                 ratio=round(here / alone, 2) if here and alone else None, target=1.8,
                 met=(here / alone <= 1.8) if here and alone else None, better="lower"))
first = lambda k: memory.get(k, [None])[0]
mib = lambda k: round(first(k) / 1024) if first(k) else None
absolute("large copy", "MB/s", round(first("copy_MB_s")) if first("copy_MB_s") else None, lower=False)
absolute("mount: peak memory during it (cache 64 + 64)", "MiB", mib("mount_peak_KiB"), target=128)
absolute("largest server: peak memory during it", "MiB", mib("server_peak_KiB"), target=128)
absolute("opening after kill -9, slowest of three", "ms", max(memory.get("open_ms", [0])) or None, target=2000)
if catchup:
    last = catchup["rounds"][-1]
    missed = "a server that missed %d MiB" % catchup["mib"]
    rows.append(dict(name=missed + ", against a sequential write", unit="MiB/s", mount=last["catch_up_MiB_s"],
                     local=last["disk_MiB_s"], ratio=round(catchup["rate"], 2), target=0.4, met=catchup["rate"] >= 0.4,
                     better="higher"))
    rows.append(dict(name="  commits p99 meanwhile, against without", unit="ms", mount=last["busy_p99_ms"],
                     local=last["quiet_p99_ms"], ratio=round(catchup["p99"], 2), target=1.5, met=catchup["p99"] <= 1.5,
                     better="lower"))
READS = [("stat", "stat of files that the kernel knows", "1/s", 0.3), ("open", "open, read, close of the same files", "1/s", None),
         ("warm", "warm reads", "MB/s", 0.8), ("floor", "  the least that any FUSE file system does", "MB/s", None),
         ("mapped", "  through a mapping", "MB/s", None), ("cold", "cold sequential reads, in turns", "MB/s", 0.8)]
for kind, name, unit, target in READS:  # medians of turns
    if kind in reads:
        p = reads[kind]
        met = None if target is None else p["ratio"] >= target or (kind == "cold" and p["mount"] >= 400)
        rows.append(dict(name=name, unit=unit, mount=p["mount"], local=p["local"], ratio=round(p["ratio"], 3), target=target,
                         met=met, better="higher"))
if "readers" in reads:
    p = reads["readers"]
    rows.append(dict(name="eight cold readers, 4 KiB, against one (right)", unit="1/s", mount=p["eight"], local=p["one"],
                     ratio=round(p["ratio"], 2), target=4, met=p["ratio"] >= 4, better="higher"))
    if "idle_eight" in p:
        rows.append(dict(name="  processors idle meanwhile", unit="%", mount=round(100 * p["idle_eight"]),
                         local=round(100 * p["idle_one"]), ratio=None, target=None, met=None, better="lower"))
if floor:
    rows.append(dict(name="write + flush: 4 of 6 processes, against one", unit="us", mount=floor["six_us"], local=floor["one_us"],
                     ratio=round(floor["ratio"], 2), target=None, met=None, better="higher"))
for n in names:
    for kind in ("create", "lookup", "missing", "list"):
        absolute("%s, of %d names" % (kind, n["names"]), "us", n[kind]["us"])
for r in ratios:  # bench_ratios: the median over pairs, not the ratio of the two figures
    lower = r["better"] == "lower"
    rows.append(dict(name=r["name"], unit=r["unit"], mount=r["store"], local=r["plain"], ratio=r["ratio"], target=r["target"],
                     met=r["ratio"] <= r["target"] if lower else r["ratio"] >= r["target"], better=r["better"]))

if "--json" in sys.argv:
    print(json.dumps(dict(date=datetime.datetime.now().isoformat(timespec="seconds"), cpus=os.cpu_count(),
                          kernel=platform.release(), rows=rows, local=local, mount=mount, memory=memory,
                          transport=transport, ratios=ratios, catchup=catchup, pairs=pairs, reads=reads, floor=floor, names=names), indent=2))
    sys.exit()
show = lambda v: "-" if v is None else "%g" % v
print("%s   %d processors   Linux %s" % (datetime.date.today(), os.cpu_count(), platform.release()))
print("%-45s %-5s %9s %9s %7s  %s" % ("", "", "mount", "local", "ratio", "target"))
for r in rows:
    goal = "" if r["target"] is None else ("%s %g%s" % ("<=" if r["better"] == "lower" else ">=", r["target"],
                                           "" if r["met"] is None else "  met" if r["met"] else "  MISSED"))
    figures = (r["name"], r["unit"], show(r["mount"]), show(r["local"]), show(r["ratio"]), goal)
    print("%-45s %-5s %9s %9s %7s  %s" % figures)
