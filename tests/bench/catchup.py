#!/usr/bin/env python3
"""How fast a server that missed writes catches up, against the disk's sequential writes, and what commits feel of it.

  catchup.py HEXAD DEMO.JSON MIB ROUNDS

DEMO.JSON is what `hexad demo --json` has printed.  In each round: MIB are written to a local file on the same disk, with
one fsync; commits (4 KiB pwrite + fdatasync on the mount) are timed while nothing else goes on; a server is killed, MIB
are written to the mount, the server comes back, and commits are timed until it has everything again.  Prints one JSON
object: rates and p99 of each round, and the median of the rounds' ratios.  Nothing is asserted.
"""
import json
import os
import subprocess
import sys
import time

from commits import Commits, bulk

hexad, demo = sys.argv[1], json.load(open(sys.argv[2]))
mib, rounds = int(sys.argv[3]), int(sys.argv[4])
mnt, top, victim = demo["mount"], demo["dir"], demo["servers"][-1]["name"]
env = dict(os.environ, HEXAD_CONFIG=os.path.join(top, "hexad.conf"))


def verb(*args):
    subprocess.run([hexad, "demo", *args, "--dir", top], check=True, stdout=subprocess.DEVNULL)


class Level:
    """True when the victim is level with the others; asked of another process, now and then, so that commits go on."""

    def __init__(self):
        self.asked, self.at = None, 0

    def lacks(self, doc):
        by_pg = {}
        for s in doc["segments"]:
            by_pg.setdefault(s.get("pg", 0), {})[s["name"]] = s.get("scl")
        for scls in by_pg.values():
            others = sorted(v for n, v in scls.items() if n != victim and v is not None)
            if victim in scls and (scls[victim] is None or scls[victim] + 64 < others[0]):
                return True
        return False

    def __call__(self, count):
        if self.asked and self.asked.poll() is not None:
            text = self.asked.stdout.read()
            self.asked = None
            try:
                if count >= 50 and not self.lacks(json.loads(text)):
                    return True
            except ValueError:
                pass
        if not self.asked and time.perf_counter() >= self.at:
            self.at = time.perf_counter() + 0.1
            self.asked = subprocess.Popen([hexad, "status", "vol0", "--json"], env=env, stdout=subprocess.PIPE,
                                          stderr=subprocess.DEVNULL)
        return False


out = []
commits = Commits(mnt)
for i in range(rounds):
    disk = mib / bulk(os.path.join(top, "sequential"), i, mib)
    os.unlink(os.path.join(top, "sequential"))
    quiet, _ = commits.until(lambda n: n >= 200)
    verb("kill", victim)
    bulk(os.path.join(mnt, "bulk%d" % i), i, mib)
    verb("heal")
    start = time.perf_counter()
    busy, count = commits.until(Level())
    took = time.perf_counter() - start
    out.append({"disk_MiB_s": round(disk), "catch_up_MiB_s": round(mib / took, 1), "commits": count,
                "quiet_p99_ms": round(quiet * 1e3, 2), "busy_p99_ms": round(busy * 1e3, 2)})
    print("round %d: %s" % (i, out[-1]), file=sys.stderr)
median = lambda v: sorted(v)[len(v) // 2]
print(json.dumps({"mib": mib, "rounds": out, "rate": median([r["catch_up_MiB_s"] / r["disk_MiB_s"] for r in out]),
                  "p99": median([r["busy_p99_ms"] / r["quiet_p99_ms"] for r in out])}))
