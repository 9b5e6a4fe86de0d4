#!/usr/bin/env python3
"""Proves that the simulator's checkers see: each mutant (include/hexad/mutant.h) must be killed by some seed.

  mutants.py search [--seeds N] [--jobs J] [--only NAME ...] [--write]
      the first of seeds 1..N (default 2000) that kills each mutant, as a table; exit 1 when one lives.  --write puts
      the table into tests/sim/mutants.txt.
  mutants.py recorded
      TAP: each mutant once more with its recorded seed, and that seed without a mutant, which must be clean.

Killed: the run ends with safety broken (or no progress, where progress is what the mutant breaks), or the code under
test stops itself, and the same seed without the mutant is clean.  A change of the pure layers changes what a seed does,
so a recorded seed that no longer kills is a pass with a diagnostic when one of the first NEAR seeds does, or for a few
one of those with the fault that it is about drawn more often (FOCUS).  No mutant may live.
HEXAD_BUILD and HEXAD_SOURCE say where programs and table are."""
import argparse
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

NEAR = 60
FOCUS = {  # those that the draws of a seed meet rarely
    "announce-any-top": ["rival_ppm=20000", "net_loss_ppm=80000", "pgs_max=3", "servers=8", "ops=400",
                         "gossip_ms=800", "client_crash_ppm=10000", "clients=3", "lal=8192", "pg_pages=256"],
    "blind-ignored": ["lie_aim_ppm=40000", "lie_aim_how=7", "victims=3", "log_kb=16", "ops=150"],
    "delete-unsided": ["lie_aim_ppm=40000", "lie_aim_how=8", "victims=3", "log_kb=16"],
    "delete-without-base": ["log_kb=16", "power_ppm=20000", "big_pct=20", "ops=400"],
    "fetch-unverified": ["lie_rot_ppm=20000", "victims=3"],
    "flush-retried": ["eio_flush_ppm=20000"],
    "geometry-steps-back": ["net_replay_ppm=50000", "net_late_ppm=50000", "pgs_max=4"],
    "growth-at-1": ["pgs_max=4", "pg_pages=256", "client_crash_ppm=20000", "clients=3", "big_pct=20",
                    "ops=800"],
    "identity-unchecked": ["lie_aim_ppm=40000", "lie_aim_how=7", "victims=3", "log_kb=16", "ops=150"],
    "many-as-one": ["eio_flush_ppm=20000", "pgs_max=4"],
    "move-before-copied": ["servers=9", "repair_ms=500", "wipe_ppm=40000", "victims=2", "part_ppm=20000",
                           "client_crash_ppm=20000", "ops=400"],
    "pgcl-falls": ["rollback_ppm=40000", "part_ppm=20000", "victims=3", "ops=400"],
    "restart-trusts-cache": ["crash_call_ppm=200000"],
    "sidecar-unchecked": ["lie_aim_ppm=40000", "lie_aim_how=7", "victims=3", "log_kb=16", "crash_ppm=40000",
                          "client_crash_ppm=20000", "ops=400"],
    "retired-before-stored": ["servers=9", "repair_ms=500", "wipe_ppm=40000", "victims=2", "part_ppm=20000",
                              "client_crash_ppm=20000", "ops=400"],
    "size-after-data": ["client_crash_ppm=40000", "net_late_ppm=100000", "lal=512", "ops=300"],
    "sum-ignored": ["lie_rot_ppm=20000", "victims=3"],
    "tail-cut-at-damage": ["lie_aim_ppm=40000", "lie_aim_how=2", "victims=3", "log_kb=16", "ops=150"],
}
BLOCK = 50
build = os.environ.get("HEXAD_BUILD", "build")
source = os.environ.get("HEXAD_SOURCE", ".")
with_mutants = os.path.join(build, "hexad-sim-mutants")
table_path = os.path.join(source, "tests/sim/mutants.txt")


def mutants():
    """Name, pitfall, expected invariant and text of each, from the program itself."""
    out = subprocess.run([with_mutants, "--list-mutants"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [line.split("\t") for line in out.splitlines()]


def run(first, last, *more):
    """The verdicts of seeds first..last that are not clean."""
    args = [with_mutants, "--json", "--jobs", "1", "--seeds", "%d..%d" % (first, last), *more]
    out = subprocess.run(args, stdout=subprocess.PIPE, text=True).stdout
    return [v for v in map(json.loads, out.splitlines()) if v.get("result", "ok") != "ok"]


def shape(v):
    return re.sub("[0-9]+", "#", v["invariant"] + v["text"])


class Clean:
    """Which seeds are clean without a mutant: only there does a failure speak of the mutant, and only if it is not of
    a kind that seeds without a mutant show, too."""

    def __init__(self):
        self.lock, self.upto, self.dirty, self.shapes = Lock(), 0, set(), set()

    def ranges(self, first, last):
        while first <= last:
            with self.lock:
                while self.upto < min(last, first + BLOCK):
                    bad = run(self.upto + 1, self.upto + BLOCK, "--keep-going")
                    self.dirty |= {v["seed"] for v in bad}
                    self.shapes |= {shape(v) for v in bad}
                    self.upto += BLOCK
                end = next((s for s in range(first, min(last, self.upto) + 1) if s in self.dirty), None)
                stop = min(last, self.upto) if end is None else end - 1
            if stop >= first:
                yield first, stop
            first = stop + (1 if end is None else 2)


clean = Clean()


def kills(v, expected):
    """Does this verdict speak against a mutant of which EXPECTED is broken?  A run without progress only where that
    is what is broken: it may be another trajectory's bad luck."""
    if shape(v) in clean.shapes:
        return False
    return v["result"] == "safety broken" or (v["result"] == "no progress" and expected == "I15")


def first_kill(mutant, expected, first, last):
    """The verdict that kills, or None."""
    for lo, hi in clean.ranges(first, last):
        while lo <= hi:
            bad = run(lo, hi, "--mutant", mutant)
            if not bad:
                break
            if kills(bad[0], expected):
                return bad[0]
            lo = bad[0]["seed"] + 1
    return None


def focus(mutant):
    return [x for s in FOCUS.get(mutant, []) for x in ("--set", s)]


def focused_kill(mutant, expected):
    """The same among the first NEAR seeds with FOCUS; each must be clean without the mutant."""
    sets = focus(mutant)
    for v in run(1, NEAR, "--mutant", mutant, "--keep-going", *sets) if sets else []:
        if kills(v, expected) and not run(v["seed"], v["seed"], *sets):
            return v
    return None


def recorded():
    """Name -> line of the table."""
    rows = {}
    with open(table_path) as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                name, pitfall, expected, caught, seed, text = line.rstrip("\n").split(None, 5)
                rows[name] = {"caught": caught, "focus": seed.endswith("+"),
                              "seed": int(seed.rstrip("+")) if seed != "-" else None}
    return rows


def search(a):
    wanted = [m for m in mutants() if not a.only or m[0] in a.only]
    rows, alive = [], []

    def one(m):
        v = first_kill(m[0], m[2], 1, a.seeds)
        if not v and (v := focused_kill(m[0], m[2])):
            v["seed"] = "%d+" % v["seed"]
        print("%-24s %s" % (m[0], "seed %s: %s: %s" % (v["seed"], v["invariant"] or "I15", v["text"]) if v else "LIVES"),
              file=sys.stderr, flush=True)
        return m, v

    with ThreadPoolExecutor(a.jobs) as pool:
        for (name, pitfall, expected, text), v in pool.map(one, wanted):
            rows.append("%-24s %3s  %-4s %-6s %4s  %s\n" % (name, pitfall, expected, (v["invariant"] or "I15") if v else "-",
                                                            v["seed"] if v else "-", text))
            if not v:
                alive.append(name)
    head = ("# Made by `make check-mutants WRITE=1`.  Each mutant, the pitfall that it is, the invariant that is "
            "expected to\n# catch it, the one that did, and the first seed that kills it (+: with FOCUS of mutants.py).\n"
            "# name                  pit  want got    seed  what is broken\n")
    print(head + "".join(rows), end="")
    print("%d mutants, %d killed within %d seeds" % (len(rows), len(rows) - len(alive), a.seeds))
    if a.write:
        with open(table_path) as f:  # those that were not searched stay
            lines = {line.split()[0]: line for line in f if line.strip() and not line.startswith("#")}
        lines.update((row.split()[0], row) for row in rows)
        with open(table_path, "w") as f:
            f.write(head + "".join(lines[m[0]] for m in mutants() if m[0] in lines))
    for name in alive:
        print("%s lives: a hole in workload or checker" % name, file=sys.stderr)
    return 1 if alive else 0


def check_recorded():
    rows, n = recorded(), 0
    known = mutants()
    names = [m[0] for m in known]
    complete = sorted(names) == sorted(rows) and all(r["seed"] for r in rows.values())
    print("%s 1 - the table lists every mutant, and none that lives" % ("ok" if complete else "not ok"))

    def one(m):
        name, row = m[0], rows.get(m[0])
        sets = focus(name) if row and row["focus"] else []
        bad = run(row["seed"], row["seed"], "--mutant", name, *sets) if row and row["seed"] else []
        if bad and kills(bad[0], m[2]) and not run(row["seed"], row["seed"], *sets):
            return name, row["seed"], True
        v = first_kill(name, m[2], 1, NEAR) or focused_kill(name, m[2])
        return name, v["seed"] if v else None, False

    with ThreadPoolExecutor(2) as pool:
        for n, (name, seed, as_recorded) in enumerate(pool.map(one, known), 2):
            if seed and not as_recorded:
                print("# %s: another seed than recorded kills it now: make check-mutants WRITE=1" % name)
            print("%s %d - %s is killed%s" % ("ok" if seed else "not ok", n, name, " by seed %d" % seed if seed else ""),
                  flush=True)
    print("1..%d" % (len(names) + 1))
    return 0


parser = argparse.ArgumentParser()
commands = parser.add_subparsers(dest="command", required=True)
s = commands.add_parser("search")
s.add_argument("--seeds", type=int, default=2000)
s.add_argument("--jobs", type=int, default=os.cpu_count())
s.add_argument("--only", nargs="*")
s.add_argument("--write", action="store_true")
commands.add_parser("recorded")
a = parser.parse_args()
sys.exit(search(a) if a.command == "search" else check_recorded())
