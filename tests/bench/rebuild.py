#!/usr/bin/env python3
"""How fast a lost segment is made anew, against the disk's sequential writes, and what commits feel of it.

  rebuild.py BUILD [--mib MIB] [--rounds N] [--rate RATE] [--option rate|-] [--dir DIR] [--json FILE]

Eleven servers on this machine (seven in the third zone, so that each round has a spare), a volume whose first group has
MIB in it, mounted with repair-after=6s.  In each round: MIB are written to a local file on the same disk, with one fsync;
a server of the third zone is killed and its directory removed; the time is taken from the first page that its
replacement asks for until the version that names the replacement is in use.  Rounds are in turn without other work, and
with commits (4 KiB pwrite + fdatasync), whose p99 is that of the rebuild alone and is compared with the one just before,
with six members, and with that of 300 commits with five, before anything is copied.
--rate is the servers' repair-rate (4GiB: none), --option the mount's.  Prints one JSON object; nothing is asserted.
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from commits import Commits, bulk
from scale import Fleet, sh

NAMES = ["a1", "a2", "b1", "b2"] + ["c%d" % i for i in range(1, 8)]


class Volume:
    def __init__(self, o, where):
        self.fleet = Fleet(os.path.abspath(o.build), where, NAMES, "[limits]\nrepair-rate = %s\n" % o.rate)
        self.mnt = os.path.join(where, "mnt")
        os.mkdir(self.mnt)
        for n in NAMES:
            self.fleet.start(n)
        sh(self.fleet.hexad, "create", "vol0", "--pg-size", "%dMiB" % (o.mib * 9 // 8), "--config", self.fleet.conf)
        options = "repair-after=6s" + (",repair-rate=" + o.option if o.option != "-" else "")
        with open(os.path.join(where, "mount.log"), "w") as log:
            self.mount = subprocess.Popen([self.fleet.hexad, "mount", "-f", "vol0", self.mnt, "-o", options, "--config",
                                           self.fleet.conf], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        while not os.path.exists(os.path.join(self.mnt, ".hexad/status.json")):
            if self.mount.poll() is not None:
                sys.exit("the mount has ended: see " + log.name)
            time.sleep(0.05)

    def status(self):
        with open(os.path.join(self.mnt, ".hexad/status.json")) as f:
            return json.load(f)

    def end(self):
        subprocess.run([self.fleet.hexad, "umount", self.mnt], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.mount.wait(20)
        except subprocess.TimeoutExpired:
            subprocess.run(["umount", "-l", self.mnt])
            self.mount.kill()
        self.fleet.end()


class Rebuild(threading.Thread):
    """Looks at the mount until nobody is missing; .began and .ended are when pages were copied."""

    def __init__(self, volume, victim):
        super().__init__(daemon=True)
        self.volume, self.victim, self.began, self.ended, self.bytes = volume, victim, 0, 0, 0
        self.start()

    def run(self):
        while not self.ended:
            s = self.volume.status()
            at = time.perf_counter()
            mine = [c for c in s["repair"]["changes"] if c["from"] == self.victim and c["pg"] == 0]
            if mine and mine[0]["state"] == "filling" and not self.began:
                self.began = at - mine[0]["since_ms"] / 1000
            if self.began and (not mine or mine[0]["state"] == "telling"):
                self.ended = at - (mine[0]["since_ms"] / 1000 if mine else 0)
            time.sleep(0.1)


def one(volume, o, number, top):
    local = os.path.join(top, "sequential")
    disk = o.mib / bulk(local, number, o.mib)
    os.unlink(local)
    held = {s["name"] for s in volume.status()["segments"] if s["segments"]}
    victim = sorted(n for n in held if n[0] == "c")[0]
    commits = Commits(volume.mnt)
    quiet = commits.until(lambda n: n >= 300)[0]
    volume.fleet.stop(victim, signal.SIGKILL)
    shutil.rmtree(os.path.join(top, victim + ".d"))
    time.sleep(0.5)
    five = commits.until(lambda n: n >= 300)[0]
    r = Rebuild(volume, victim)
    while not r.began:
        time.sleep(0.05)
    busy = commits.until(lambda n: r.ended)[0] if number % 2 else 0
    r.join()
    commits.close()
    took = r.ended - r.began
    out = {"disk_MiB_s": round(disk), "rebuild_MiB_s": round(o.mib / took, 1), "s": round(took, 2),
           "quiet_p99_ms": round(quiet * 1e3, 2)}
    if busy:
        out["five_p99_ms"] = round(five * 1e3, 2)
        out["busy_p99_ms"] = round(busy * 1e3, 2)
    print("round %d: %s" % (number, out), file=sys.stderr)
    return out


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("build")
    a.add_argument("--mib", type=int, default=1024)
    a.add_argument("--rounds", type=int, default=4)
    a.add_argument("--rate", default="4095MiB")
    a.add_argument("--option", default="-")
    a.add_argument("--dir")
    a.add_argument("--json")
    o = a.parse_args()
    top = tempfile.mkdtemp(prefix="hexad-rebuild.", dir=o.dir)
    volume = Volume(o, top)
    try:
        bulk(os.path.join(volume.mnt, "content"), 99, o.mib)
        rounds = [one(volume, o, i, top) for i in range(min(o.rounds, 5))]
    finally:
        volume.end()
        shutil.rmtree(top, ignore_errors=True)
    median = lambda v: sorted(v)[len(v) // 2] if v else None
    doc = {"mib": o.mib, "rounds": rounds,
           "rate": median([r["rebuild_MiB_s"] / r["disk_MiB_s"] for r in rounds if "busy_p99_ms" not in r]),
           "p99": median([r["busy_p99_ms"] / r["quiet_p99_ms"] for r in rounds if "busy_p99_ms" in r]),
           "p99_of_five": median([r["busy_p99_ms"] / r["five_p99_ms"] for r in rounds if "busy_p99_ms" in r])}
    print(json.dumps(doc))
    if o.json:
        with open(o.json, "w") as f:
            json.dump(doc, f, indent=1)


main()
